"""Which locked environment a name means on this machine.

Kept light: a name that one environment has is looked up among folders, and no device is asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kgen import accelerators, host, lockfiles
from kgen.errors import LOCK, Unlocked, UsageError
from kgen.lockfiles import LockedEnvironment
from kgen.model.accelerator import CPU
from kgen.model.format import Format

if TYPE_CHECKING:
    from kgen.accelerators import Devices


class Choice(NamedTuple):
    """A locked environment that a name means.

    Attributes:
        environment: the environment.
        form: the form of its locks.
        named: whether its accelerator was named, so that it is wanted whatever this machine has.
        note: why it was chosen among several; None where it was the only one.
    """

    environment: LockedEnvironment
    form: Format
    named: bool = True
    note: str | None = None


def choose(root: Path, name: str, form: Format | None = None) -> Choice:
    """The environment that a name means here: of several of a backend the one whose lock fits this machine.

    Args:
        root: the project's folder.
        name: its name, on disk or among the locks, or that of its backend.
        form: the form of locks that is meant; None where the name says it.

    Raises:
        UsageError: there is none; or several fit, as those of several Pythons.
    """
    called, every, form = lockfiles.called_in_form(root, name, form)
    found: Sequence[LockedEnvironment] = every
    note = None
    if len(found) > 1:
        found, note = _fitting(found, form, called)
    chosen = lockfiles.only(called, found)
    lockfiles.require_form(chosen, form)
    return Choice(chosen, form, chosen.name == called, note)


def choose_unnamed(root: Path, form: Format) -> Choice | None:
    """The environment that is meant where none is named: that of the only backend that is locked for this machine.

    Args:
        root: the project's folder.
        form: the form of locks that is meant.

    Returns:
        It, and why it was chosen among several; None where several backends or Pythons may be meant, or nothing.
    """
    fitting = locked_here(root, form)
    backends = {accelerators.without_ending(one.name) for one in fitting}
    if len(backends) != 1:
        return None
    found, note = _fitting(fitting, form, *backends)
    if len(found) != 1:
        return None
    if note is None and len(lockfiles.environments(root)) > 1:
        where = host.subdir() if form.is_default else form.name
        note = f"{found[0].name} is the only environment that is locked for {where}"
    return Choice(found[0], form, named=False, note=note)


def locked_here(root: Path, form: Format) -> list[LockedEnvironment]:
    """The environments that are locked for this machine's platform, in a form."""
    here = host.subdir() or ""
    return [one for one in lockfiles.environments(root) if lockfiles.lock_path(one, form, here) is not None]


def lacks_device(choice: Choice) -> bool:
    """Whether an environment is for an accelerator that this machine does not have."""
    kind = accelerators.in_name(choice.environment.name).kind
    return kind != CPU.kind and not accelerators.kind(kind).probe().found


def without_device(choice: Choice) -> UsageError:
    """That an environment is not downloaded to this machine unasked, and what to do."""
    environment, form = choice.environment.name, choice.form
    accelerator = accelerators.in_name(environment)
    name, device = f"{environment}{form.suffix}", accelerators.kind(accelerator.kind).device_noun
    short = accelerators.without_ending(environment)
    return UsageError(
        f"{name} is for {accelerators.title(accelerator)}, and this machine has no {device}",
        hints=[LOCK, f"kgen sync {name}   # downloads it all the same"],
        unlocked=Unlocked(f"{short}-{CPU.kind}", installer=form.name),
    )


def _fitting(
    found: Sequence[LockedEnvironment], form: Format, name: str
) -> tuple[Sequence[LockedEnvironment], str | None]:
    """Those of several environments whose locks fit this machine best, and why."""
    here = host.subdir() or ""
    groups: dict[str, list[LockedEnvironment]] = {}
    for one in found:
        if lockfiles.lock_path(one, form, here) is not None:
            groups.setdefault(accelerators.in_name(one.name).name, []).append(one)
    if len(groups) <= 1:
        return next(iter(groups.values()), list(found)), None
    unfit: list[str] = []
    for kind in accelerators.known():
        own = sorted((one for one in groups if accelerators.named(one).kind == kind.name), key=_major, reverse=True)
        devices = kind.probe() if own and kind.name != CPU.kind else None
        for accelerator in own:
            group = groups[accelerator]
            if devices is None:
                why = "; ".join(unfit) or "this machine has no GPU"
            elif not devices.found:
                unfit.append(f"this machine has no {kind.device_noun}")
                break
            elif not _runs(group[0], form, here, devices):
                unfit.append(f"{group[0].name} does not fit {_words(devices)}")
                continue
            else:
                why = f"it fits {_words(devices)}"
            chosen = ", ".join(one.name for one in group)
            return group, f"`{name}` is {chosen} here: {why}"
    return list(found), None


def _major(accelerator: str) -> int:
    return accelerators.named(accelerator).major or 0


def _words(devices: Devices) -> str:
    gpus = dict.fromkeys(gpu.name for gpu in devices.gpus)
    driver = () if devices.driver is None else (f"driver {devices.driver}",)
    return " with ".join((", ".join(gpus) or "this machine", *driver))


def _runs(environment: LockedEnvironment, form: Format, platform: str, devices: Devices) -> bool:
    """Whether the driver and every GPU that is there run what is locked."""
    from kgen.formats import interface  # noqa: PLC0415 - most names mean one environment
    from kgen.matrix import origin  # noqa: PLC0415
    from kgen.matrix.candidates import runs_on  # noqa: PLC0415

    lock = interface.read(form, lockfiles.lock_of(environment, form, platform), platform)
    return runs_on(origin.current(), lock, devices.driver, devices.architectures)
