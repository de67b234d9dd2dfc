"""What is proven where: the locked environments, the GPUs in receipts, and the gaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import lockfiles
from kgen.actions.receipts import Collected
from kgen.formats import interface
from kgen.host import Host
from kgen.model import format as formats
from kgen.model.accelerator import CPU
from kgen.model.lockfile import Lockfile
from kgen.model.trust import NOBODY, Trust
from kgen.validation import signing
from kgen.validation.collection import Entry
from kgen.validation.receipts import BASIC
from kgen.validation.witnesses import witnesses


class Place(NamedTuple):
    """A kind of machine on which environments can be proven.

    Attributes:
        kind: `cpu`, or the kind of accelerator.
        device: the device's name.
        driver: its driver; None for the CPU, and where the driver does not matter.
    """

    kind: str
    device: str
    driver: str | None


class Proof(NamedTuple):
    """The state of an environment at a place.

    Attributes:
        environment: the environment's name on disk.
        platform: the platform, as a conda subdir.
        place: the place.
        verdict: the newest receipt's verdict, `passed` or `failed`; None for a gap.
        date: the newest receipt's date.
        receipts: the number of receipts for what the lock installs.
        independent: the number of independent witnesses of a training step, see :mod:`kgen.validation.witnesses`.
        signers: the number of trusted signers of a passed receipt; None if no signer is trusted.
        step: the duration of a step in seconds.
        suite: the proven suite, one of :data:`kgen.validation.receipts.SUITES`; for a gap the smallest of them.
        older: whether all receipts are for what the lock installed before.
        command: the command that fills the gap on a machine with such a device; None if there is no gap.
    """

    environment: str
    platform: str
    place: Place
    verdict: str | None
    date: str | None = None
    receipts: int = 0
    independent: int = 0
    signers: int | None = None
    step: float | None = None
    suite: str = BASIC
    older: bool = False
    command: str | None = None


class Proven(NamedTuple):
    """The map of what is proven.

    Attributes:
        proofs: a row for each environment and place, gaps included, by environment.
        unknown: environments with receipts that the project does not lock.
    """

    proofs: tuple[Proof, ...]
    unknown: tuple[str, ...]

    @property
    def gaps(self) -> tuple[Proof, ...]:
        """The environments and places without a receipt."""
        return tuple(one for one in self.proofs if one.verdict is None)


def proven(root: Path, collected: Collected, machine: Host, trust: Trust = NOBODY) -> Proven:
    """The map of a project.

    Args:
        root: the project's folder.
        collected: the receipts.
        machine: this machine, whose devices are places too.
        trust: the keys and identities whose signatures count.

    Raises:
        SettingsError: a lock cannot be read.
        UsageError: a key is invalid, or the libraries for verifying are not installed.
    """
    signing.require_keys(trust)
    locks = [
        lock
        for form in formats.known()
        for one in lockfiles.environments(root)
        for path in sorted(one.folder.iterdir())
        if form.platform_of(path.name) is not None
        for lock in interface.read_every(form, path)
    ]
    places = _places(collected.entries, machine)
    rows = [row for lock in locks for row in _of_lock(lock, collected, places, trust)]
    known = {lock.environment for lock in locks}
    unknown = sorted({entry.environment for entry in collected.entries} - known)
    return Proven(tuple(rows), tuple(unknown))


def _places(entries: Sequence[Entry], machine: Host) -> Mapping[str, tuple[Place, ...]]:
    """All known places by kind, regardless of their drivers."""
    found: dict[str, dict[str, Place]] = {CPU.kind: {CPU.kind: Place(CPU.kind, CPU.kind, None)}}
    for entry in entries:
        found.setdefault(entry.kind, {}).setdefault(entry.device, Place(entry.kind, entry.device, None))
    for kind, devices in machine.devices.items():
        for gpu in devices.gpus:
            found.setdefault(kind, {}).setdefault(gpu.name, Place(kind, gpu.name, None))
    return {kind: tuple(places.values()) for kind, places in found.items()}


def _of_lock(
    lock: Lockfile, collected: Collected, places: Mapping[str, tuple[Place, ...]], trust: Trust
) -> Iterator[Proof]:
    mine = [one for one in collected.entries if (one.environment, one.platform) == (lock.environment, lock.platform)]
    now = [one for one in mine if one.content == lock.content]
    groups: dict[tuple[Place, str], list[Entry]] = {}
    for entry in now:
        groups.setdefault((Place(entry.kind, entry.device, entry.driver), entry.suite), []).append(entry)
    for (place, suite), entries in groups.items():
        newest = max(entries, key=lambda one: (one.date, one.as_locked))
        independent = len(witnesses(entries, collected.signatures, trust))
        yield Proof(
            environment=lock.environment,
            platform=lock.platform,
            place=place,
            verdict=newest.verdict,
            date=newest.date,
            receipts=len(entries),
            independent=independent,
            signers=independent if trust else None,
            step=newest.step,
            suite=suite,
        )
    kind = lock.computes_on.kind
    anywhere = (Place(kind, "any", None),)
    proven_at = {(place.kind, place.device) for place, _ in groups}
    for place in places.get(kind, anywhere) or anywhere:
        if (place.kind, place.device) not in proven_at:
            device = "cpu" if kind == CPU.kind else "gpu"
            yield Proof(
                environment=lock.environment,
                platform=lock.platform,
                place=place,
                verdict=None,
                older=any((one.kind, one.device) == place[:2] for one in mine),
                command=f"kgen validate {lock.environment} --device {device}",
            )
