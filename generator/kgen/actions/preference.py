"""What receipts saw train, as versions to prefer: requests -> requests that hold them where they fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from packaging.version import InvalidVersion, Version

from kgen.actions.lock_options import Trust
from kgen.actions.plan import Plan
from kgen.actions.receipts import collect
from kgen.errors import UsageError
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.project import LOCKS
from kgen.solver.keeping import keeping
from kgen.validation.collection import Entry

_WITHOUT = "; solved without `--proven`"


class Preference(NamedTuple):
    """Versions that were seen to train.

    Attributes:
        versions: project -> version, of the frameworks that were asked for and of Keras.
        receipts: the receipts that saw it.
    """

    versions: Mapping[str, str]
    receipts: tuple[Entry, ...]


def with_proven(matrix: CompatibilityMatrix, planned: Plan, trust: Trust | None, notes: list[str]) -> Plan:
    """The plan with what receipts of the project saw train; as it is where nothing of them is asked.

    Args:
        matrix: the facts.
        planned: what is asked.
        trust: what receipts are to count for; None for nothing.
        notes: takes what is to be said of it.

    Raises:
        UsageError: nothing else is to be taken, and not enough receipts saw one of the environments train, or what they
            saw cannot be had.
    """
    if trust is None:
        return planned
    root = planned.settings.root
    entries = collect(root).entries if (root / LOCKS).exists() else ()
    requests, said = preferring(matrix, planned.requests, entries, trust.least)
    if trust.only:
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
    """Whether a request is not held to all that was seen to train."""
    frameworks = {matrix.backends[backend].framework for backend in before.backends}
    return not {*frameworks, KERAS} <= {one.name for one in after.held}


def preferring(
    matrix: CompatibilityMatrix, requests: Sequence[EnvironmentRequest], entries: Sequence[Entry], least: int
) -> tuple[tuple[EnvironmentRequest, ...], tuple[str, ...]]:
    """The requests with the newest versions that enough receipts saw train, as far as they fit; and what to say of it.

    Args:
        matrix: the facts.
        requests: what is asked.
        entries: the receipts.
        least: so many receipts must have seen the same versions train on the kind of device that is asked for.
    """
    found, notes = [], []
    for request in requests:
        preference = preferred(matrix, request, entries, least)
        if preference is None:
            count = f"{least} receipts" if least != 1 else "receipt"
            notes.append(f"{request.environment}: no {count} saw it train on {_kind(request)}{_WITHOUT}")
            found.append(request)
            continue
        held = tuple(Requirement(f"{name}=={version}") for name, version in sorted(preference.versions.items()))
        kept = keeping(matrix, request._replace(held=held))
        found.append(kept)
        notes.append(_note(request, preference, {one.name for one in kept.held}))
    return tuple(found), tuple(notes)


def preferred(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, entries: Iterable[Entry], least: int
) -> Preference | None:
    """The newest versions that enough receipts saw train for a request; None if there are none."""
    frameworks = tuple(matrix.backends[backend].framework for backend in request.backends)
    asked = {gpu for gpus in (request.gpus, *(one.gpus for one in request.targets)) for gpu in gpus}
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        versions = dict(_versions(entry))
        trained = {step["backend"] for step in entry.data["steps"]}
        there = entry.kind == request.accelerator.kind and entry.platform == request.platform
        there = there and (not asked or entry.capability in asked)
        if entry.verdict == "passed" and there and trained >= set(request.backends):
            wanted = tuple(versions.get(name, "") for name in (*frameworks, KERAS))
            if all(wanted):
                groups.setdefault(wanted, []).append(entry)
    enough = [key for key, seen in groups.items() if len({one.digest for one in seen}) >= least]
    if not enough:
        return None
    newest = max(enough, key=lambda key: tuple(map(Version, key)))
    return Preference(dict(zip((*frameworks, KERAS), newest, strict=True)), tuple(groups[newest]))


def _versions(entry: Entry) -> Iterator[tuple[str, str]]:
    """Project -> its public version, as it was imported; what is no version is left out."""
    for step in entry.data["steps"]:
        versions = step.get("versions")
        for name, text in versions.items() if isinstance(versions, Mapping) else ():
            try:
                yield name, Version(str(text)).public
            except InvalidVersion:
                continue


def _kind(request: EnvironmentRequest) -> str:
    gpus = sorted({gpu for gpus in (request.gpus, *(one.gpus for one in request.targets)) for gpu in gpus})
    return f"{request.accelerator.kind} {', '.join(gpus)}".rstrip()


def _note(request: EnvironmentRequest, preference: Preference, held: set[str]) -> str:
    named = ", ".join(f"{name} {version}" for name, version in preference.versions.items())
    seen = preference.receipts
    where = ", ".join(sorted({one.device for one in seen}))
    text = f"{request.environment}: {len(seen)} receipt{'s' if len(seen) != 1 else ''} saw {named} train on {where}"
    gone = [name for name in preference.versions if name not in held]
    return f"{text}; {', '.join(gone)} cannot be had as it was" if gone else text
