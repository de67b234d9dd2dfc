"""The calls that make a lock which is missing, with the flags that the locks which are there were made with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from kgen import host, lockfiles, settings
from kgen.actions import did_you_mean, locked_requests
from kgen.actions.request_flags import RequestFlags
from kgen.errors import LOCK, NotLockedError, Unlocked, UsageError
from kgen.fields import ACCELERATORS, BY_NAME, MACHINE, Raw, accelerator_words
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Backend
from kgen.model import format as formats
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import parse_requirement
from kgen.settings import Settings

_MOST = 3
"""So many calls are hints, where locks are there for more accelerators."""

_KINDS = frozenset(field.name for field in ACCELERATORS)
_OF_GPUS = frozenset({"driver", "gpu"})
"""Fields that say nothing of an environment for the CPU."""
_PORTABLE = "portable"
_OF_PLATFORM = ("glibc", "macos")
"""Fields of the oldest system that a lock runs on, which is one of its own platform."""


def hints(root: Path, error: UsageError, matrix: CompatibilityMatrix) -> tuple[str, ...]:
    """The hints of an error about a lock that is missing, with the calls that make the lock.

    Args:
        root: the project's folder.
        error: the error.
        matrix: the facts.

    Raises:
        SettingsError: the settings are wrong.
    """
    if error.unlocked is None or LOCK not in error.hints:
        return error.hints
    made = _calls(root, error.unlocked, matrix)[:_MOST]
    others = [one for one in error.hints if one != LOCK]
    if not made and not any(one.startswith(("did you mean", "kgen ")) for one in others):
        return (*others, f"the backends are {', '.join(matrix.short_names)}")
    at = error.hints.index(LOCK)
    return (*others[:at], *made, *others[at:])


def _calls(root: Path, unlocked: Unlocked, matrix: CompatibilityMatrix) -> list[str]:
    """The calls that make a lock; none where its name is that of nothing that can be locked."""
    written = settings.read(root, matrix)
    locked = locked_requests.requests(root)
    form = formats.default() if unlocked.installer is None else formats.named(unlocked.installer)
    if unlocked.environment is None and locked and written.file is None:
        more = [str(BY_NAME[_PORTABLE].flag)] if locked_requests.is_portable(root) else []
        return _again(locked, unlocked.platform, [*more, *filter(None, [form.flag])], matrix)
    asked = [RequestFlags()]
    if unlocked.environment is not None:
        asked = _of_name(root, unlocked.environment, written, locked, matrix)
    installers = () if form.is_default else (form.name,)
    if unlocked.platform is not None and (locked or unlocked.platform != host.subdir()):
        asked = [_on(unlocked.platform, one, matrix) for one in asked]
    whole = (one._replace(installers=tuple(dict.fromkeys((*one.installers, *installers)))) for one in asked)
    return list(dict.fromkeys(one.command_for(one.names) for one in whole))


def _on(platform: str, asked: RequestFlags, matrix: CompatibilityMatrix) -> RequestFlags:
    """A request on a platform: for the CPU, where its accelerator does not run there."""
    flags: dict[str, Raw] = {name: raw for name, raw in asked.flags.items() if name not in _OF_PLATFORM}
    if any(not _runs_on(name, platform, matrix) for name in _KINDS.intersection(flags)):
        flags = {CPU.kind: True, **{name: raw for name, raw in flags.items() if name not in {*_KINDS, *_OF_GPUS}}}
    return asked._replace(flags={**flags, "platforms": [platform]})


def _runs_on(kind: str, platform: str, matrix: CompatibilityMatrix) -> bool:
    row = matrix.accelerators.get(kind)
    return row is None or platform in row.platforms


def _again(
    locked: Sequence[EnvironmentRequest], platform: str | None, more: Sequence[str], matrix: CompatibilityMatrix
) -> list[str]:
    """The calls that lock all that is locked, on another platform or in another form."""
    moved: dict[str, EnvironmentRequest] = {}
    for one in locked:
        again = one
        if platform is not None:
            again = one._replace(platform=platform, glibc=None, macos=None)
            if not _runs_on(one.accelerator.kind, platform, matrix):
                again = again._replace(accelerator=CPU, driver=None, gpus=())
        moved[f"{again.environment} {again.platform}"] = again
    return list(locked_requests.commands(list(moved.values()), *more))


def _of_name(
    root: Path, name: str, written: Settings, locked: Sequence[EnvironmentRequest], matrix: CompatibilityMatrix
) -> list[RequestFlags]:
    """The requests for an environment of this name; none where it names none."""
    names = _locked_as(root, lockfiles.form_of(name)[0])
    own = [one for one in locked if one.environment in names]
    if own:
        first = own[0]
        asked = RequestFlags(names=(first.name,))
        if first.joint and first.name not in written.environments:
            asked = RequestFlags(names=first.backends, together=first.name)
        return _with_shared(asked, own, root, written, matrix)
    meant = did_you_mean.locking(name, matrix, written.environments)
    if meant is None or (not meant.flags and _locked_as(root, meant.names[0])):  # it is like a name that is locked
        return []
    return _with_shared(meant, locked, root, written, matrix)


def _locked_as(root: Path, name: str) -> Collection[str]:
    """The environments that are locked under a name."""
    try:
        return {one.name for one in lockfiles.called(root, name)}
    except NotLockedError:
        return ()


def _with_shared(
    asked: RequestFlags,
    locked: Sequence[EnvironmentRequest],
    root: Path,
    written: Settings,
    matrix: CompatibilityMatrix,
) -> list[RequestFlags]:
    """A request with the flags that locks share and settings do not say; one for each accelerator that may be meant."""
    rows = [row for row in matrix.backends.values() if {row.name, row.short}.intersection(asked.names)]
    is_open = written.accelerator is None and not written.described and not _KINDS.intersection(asked.flags)
    groups: dict[Accelerator | None, list[EnvironmentRequest]] = {}
    for one in locked if is_open and (not rows or any(row.accelerated for row in rows)) else ():
        if any(matrix.backends[backend].accelerated for backend in one.backends):
            groups.setdefault(one.accelerator, []).append(one)
    foreign = _foreign_projects(rows, matrix) if rows else frozenset()
    found = []
    for accelerator, group in (groups or {None: list(locked)}).items():
        flags = {**_accelerator_flag(accelerator), **asked.flags}
        shared = _shared(group, root, written, foreign)
        gone = _OF_GPUS if CPU.kind in flags or (not _KINDS.intersection(flags) and not written.described) else ()
        flags |= {name: raw for name, raw in shared.items() if name not in {*flags, *gone}}
        found.append(asked._replace(flags=flags))
    return found


def _accelerator_flag(accelerator: Accelerator | None) -> dict[str, Raw]:
    return {} if accelerator is None else {accelerator.kind: list(accelerator_words(accelerator)[1:]) or True}


def _foreign_projects(own: Sequence[Backend], matrix: CompatibilityMatrix) -> Collection[str]:
    """The projects of the frameworks that some backends do not need."""
    others = {row.framework for row in matrix.backends.values()} - {row.framework for row in own}
    return {project for framework in others for project in (framework, *matrix.distributions_of(framework))}


def _shared(
    locked: Sequence[EnvironmentRequest], root: Path, written: Settings, foreign: Collection[str]
) -> dict[str, Raw]:
    """What all of some locks were asked for and settings do not say: name of a field -> what its flag is given."""
    found: dict[str, Raw] = {}
    every = [{field.name: values for field, values in locked_requests.flags(root, one)} for one in locked]
    for name, values in (every[0] if every else {}).items():
        said = getattr(written, name) != BY_NAME[name].initial or (BY_NAME[name] in MACHINE and written.described)
        kept = [one for one in values if parse_requirement(one).name not in foreign] if name == "require" else values
        if not said and all(one.get(name) == values for one in every) and (kept or not values):
            found[name] = kept or True
    if locked and written.portable == BY_NAME[_PORTABLE].initial and locked_requests.is_portable(root):
        found[_PORTABLE] = True
    return found
