"""Turns what receipts saw train into preferred versions: requests -> requests that hold them where possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from packaging.version import InvalidVersion, Version

from kgen import accelerators, files
from kgen.actions.lock_options import ProvenOptions
from kgen.actions.plan import Plan
from kgen.actions.receipts import Collected, collect
from kgen.errors import UsageError
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.model.request import EnvironmentRequest, ProvenVersion
from kgen.model.requirement import Requirement
from kgen.project import LOCKS
from kgen.solver.retention import keeping
from kgen.validation import signing
from kgen.validation.collection import Entry
from kgen.validation.witnesses import Witness, device_text, witnesses_of

_WITHOUT = "; solved without `--proven`"

_SHOWN = 5
"""The number of devices, and of receipts, that a reason lists; more are counted."""


class Preference(NamedTuple):
    """Versions that were seen to train.

    Attributes:
        versions: project -> version, for the requested frameworks and Keras.
        receipts: the receipts that saw them.
        independent: the number of independent receipts among them.
    """

    versions: Mapping[str, str]
    receipts: tuple[Entry, ...]
    independent: int


def with_proven(matrix: CompatibilityMatrix, planned: Plan, options: ProvenOptions | None, notes: list[str]) -> Plan:
    """The plan with what receipts saw train; unchanged if that was not requested.

    Args:
        matrix: the facts.
        planned: the plan.
        options: which receipts count; None for none.
        notes: receives notes.

    Raises:
        UsageError: proven versions are required, and not enough receipts saw one of the environments train, or those
            versions are not available; or there is no such source.
        OutsideError: a source cannot be read.
    """
    if options is None:
        return planned
    signing.require_keys(options.trust)
    root = planned.settings.root
    collected = Collected((), (), {})
    if options.sources or files.exists(root / LOCKS):
        collected = collect(root, options.sources, report=notes.append)
        notes += (f"{one.source} {one.what}: {one.why}" for one in collected.skipped)
    requests, said = preferring(matrix, planned.requests, collected, options)
    if options.only:
        lacking = [
            note
            for before, after, note in zip(planned.requests, requests, said, strict=True)
            if _lacks(matrix, before, after)
        ]
        if lacking:
            raise UsageError(
                "\n".join(note.removesuffix(_WITHOUT) for note in lacking),
                hints=["kgen proven", "leave out `--only-proven`"],
            )
    notes += said
    return planned._replace(requests=requests)


def _lacks(matrix: CompatibilityMatrix, before: EnvironmentRequest, after: EnvironmentRequest) -> bool:
    """Whether a request is not held to everything that was seen to train."""
    frameworks = {matrix.backends[backend].framework for backend in before.backends}
    return not {*frameworks, KERAS} <= {one.name for one in after.held}


def preferring(
    matrix: CompatibilityMatrix,
    requests: Sequence[EnvironmentRequest],
    collected: Collected,
    options: ProvenOptions,
) -> tuple[tuple[EnvironmentRequest, ...], tuple[str, ...]]:
    """The requests with the newest versions that enough receipts saw train, as far as they fit, and notes on that.

    Args:
        matrix: the facts.
        requests: the requests.
        collected: the receipts.
        options: which receipts count.

    Raises:
        UsageError: a key is not one, or the library that verifies is not installed.
    """
    found, notes = [], []
    for request in requests:
        every = preferences(matrix, request, collected, options)
        enough = [one for one in every if one.independent >= options.least]
        if not enough:
            notes.append(f"{request.environment}: {_lacking(request, every, options)}{_WITHOUT}")
            found.append(request)
            continue
        newest = max(enough, key=lambda one: tuple(map(Version, one.versions.values())))
        kept = keeping(matrix, request._replace(held=_held(newest), recorded=_proven(newest, collected)))
        found.append(kept)
        notes.append(_note(request, newest, {one.name for one in kept.held}))
    return tuple(found), tuple(notes)


def preferences(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, collected: Collected, options: ProvenOptions
) -> tuple[Preference, ...]:
    """All versions that receipts saw train on the requested kind of device.

    Args:
        matrix: the facts.
        request: the request.
        collected: the receipts.
        options: what receipts must show; those without a witness that counts are left out.
    """
    frameworks = tuple(matrix.backends[backend].framework for backend in request.backends)
    asked = {gpu for gpus in (request.gpus, *(one.gpus for one in request.targets)) for gpu in gpus}
    groups: dict[tuple[str, ...], list[tuple[Entry, frozenset[Witness]]]] = {}
    for entry in collected.entries:
        there = entry.kind == request.accelerator.kind and entry.platform == request.platform
        there = there and (not asked or entry.capability in asked)
        if entry.verdict != "passed" or not there:
            continue
        versions = dict(_versions(entry))
        trained = {step["backend"] for step in entry.data["steps"]}
        wanted = tuple(versions.get(name, "") for name in (*frameworks, KERAS))
        if trained >= set(request.backends) and all(wanted):
            saw = witnesses_of(entry, collected.signatures, options.trust)
            if saw:
                groups.setdefault(wanted, []).append((entry, saw))
    return tuple(
        Preference(
            dict(zip((*frameworks, KERAS), key, strict=True)),
            tuple(entry for entry, _ in seen),
            len(frozenset[Witness]().union(*(saw for _, saw in seen))),
        )
        for key, seen in groups.items()
    )


def _held(preference: Preference) -> tuple[Requirement, ...]:
    return tuple(Requirement(f"{name}=={version}") for name, version in sorted(preference.versions.items()))


def _proven(preference: Preference, collected: Collected) -> tuple[ProvenVersion, ...]:
    """The preference as a proven version for each project."""
    devices = sorted({device_text(entry) for entry in preference.receipts})
    sources = sorted({collected.origins.get(entry.digest, entry.source) for entry in preference.receipts})
    return tuple(
        ProvenVersion(name, Version(version), preference.independent, _some(devices), _some(sources))
        for name, version in sorted(preference.versions.items())
    )


def _some(every: Sequence[str]) -> tuple[str, ...]:
    more = len(every) - _SHOWN
    return (*every[:_SHOWN], f"{more} more") if more > 0 else tuple(every)


def _versions(entry: Entry) -> Iterator[tuple[str, str]]:
    """Project -> its public version, as imported; invalid versions are left out."""
    for step in entry.data["steps"]:
        versions = step.get("versions")
        for name, text in versions.items() if isinstance(versions, Mapping) else ():
            try:
                yield name, Version(str(text)).public
            except InvalidVersion:
                continue


def _kind(request: EnvironmentRequest) -> str:
    gpus = sorted({gpu for gpus in (request.gpus, *(one.gpus for one in request.targets)) for gpu in gpus})
    kind = accelerators.kind(request.accelerator.kind)
    device = kind.device or accelerators.title(request.accelerator)
    return f"{device} ({kind.architecture} {', '.join(gpus)})" if gpus else device


def _lacking(request: EnvironmentRequest, every: Sequence[Preference], options: ProvenOptions) -> str:
    """The text that not enough receipts saw it, and how many did."""
    wanted = "receipt" if options.least == 1 else f"{options.least} independent receipts"
    signed = " signed by a trusted key or identity" if options.trust else ""
    most = max(every, key=lambda one: (one.independent, len(one.receipts)), default=None)
    counted = "" if most is None else f" ({_counted(most)} did)"
    return f"no {wanted}{signed} saw it train on {_kind(request)}{counted}"


def _counted(preference: Preference) -> str:
    """The number of receipts, and the number of independent ones if that is smaller."""
    receipts, independent = len(preference.receipts), preference.independent
    text = f"{receipts} receipt{'s' if receipts != 1 else ''}"
    return text if independent == receipts else f"{text}, {independent} independent,"


def _note(request: EnvironmentRequest, preference: Preference, held: set[str]) -> str:
    named = ", ".join(f"{name} {version}" for name, version in preference.versions.items())
    where = ", ".join(sorted({one.device for one in preference.receipts}))
    text = f"{request.environment}: {_counted(preference)} saw {named} train on {where}"
    gone = [name for name in preference.versions if name not in held]
    return f"{text}; {', '.join(gone)} cannot be had as it was" if gone else text
