"""Checks whether the locks are what they should be: offline, and without solving."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kgen import accelerators, fields, files, freshness, host, lockfiles, project, settings, uvsettings
from kgen.accelerators import title
from kgen.actions import machines, plan, uv_sources
from kgen.actions.environment_request import request_for
from kgen.actions.pythons import allowed_by
from kgen.actions.requirements import with_project
from kgen.actions.unvouched_builds import unvouched
from kgen.emitters import hooks
from kgen.errors import KgenError, NotLockedError
from kgen.formats import interface
from kgen.formats.wheels import pylock
from kgen.lockfiles import LockedEnvironment
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import selection
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.lockfile import Lockfile
from kgen.model.request import EnvironmentRequest
from kgen.settings import JointEnvironment, Settings, Target

_LOCAL = "local"
"""The reason of a lock that names files of this machine, which locking again in the same way would repeat."""

_PLACE = "place"
"""The reason of a lock that takes a package from a place that others do not reach."""

_OUTSIDE = "requires-python"

_BUILT = frozenset({"build", "source"})
"""The reasons of a lock with something to build that only the lock allows."""

_WINDOWS = (
    "has the line endings of Windows, which git puts there where it is set to; `kgen init --git` has it leave locks as"
    " they are"
)
"""What is said of a file that git has changed on its way into the working tree."""


class Finding(NamedTuple):
    """Something that is wrong with a locked environment.

    Attributes:
        kind: `fault` if the lock cannot be relied on, `note` if it is only worth knowing.
        reason: the kind of reason, such as `python`, `known-bad`, `hook`.
        environment: the environment.
        path: the file, relative to the project.
        what: what is wrong with it.
        source: the source of the fact that contradicts it; None if that is not a fact of the matrix.
        fix: the command that fixes it; None if nothing needs to be fixed.
    """

    kind: Literal["fault", "note"]
    reason: str
    environment: str
    path: str
    what: str
    source: str | None
    fix: str | None


class CheckResult(NamedTuple):
    """The result of checking a project.

    Attributes:
        findings: faults and notes, in the order of the environments.
        environments: the environments that were checked.
    """

    findings: tuple[Finding, ...]
    environments: tuple[str, ...]

    @property
    def faulty(self) -> tuple[str, ...]:
        """The environments that have a fault."""
        return tuple(dict.fromkeys(one.environment for one in self.findings if one.kind == "fault"))


def check(root: Path, matrix: CompatibilityMatrix, names: Sequence[str] = (), *, judges: bool = False) -> CheckResult:
    """Compare the locks of a project with its settings, the matrix and themselves; offline, and without running code.

    Args:
        root: the project's folder.
        matrix: the facts.
        names: the environments to check; none for all, including those in the settings that have no lock.
        judges: whether to also ask the tools that read locks of other forms, each about its own.

    Raises:
        UsageError: there is no such environment, or nothing is locked at all; or a judge is not installed.
        OutsideError: a judge failed.
        SettingsError: the settings are wrong.
    """
    look = _Check(settings.read(root, matrix), matrix, host.python_version_file(root), judges=judges)
    asked = [lockfiles.choose_on_disk(root, name)[0] for name in names]
    named = list({one.name: one for one in asked}.values())
    chosen = named or list(lockfiles.environments(root))
    missing = [] if named else list(look.missing(chosen))
    if not chosen and not missing:
        raise NotLockedError(f"nothing is locked in {root}", hints=["kgen lock"])
    found = [*missing, *(finding for environment in chosen for finding in look.findings(environment))]
    return CheckResult((*found, *look.disagreements()), tuple(one.name for one in chosen))


_Finder = Callable[[Literal["fault", "note"], str, Path, str, str | None], Finding]

_Astray = tuple[Literal["fault", "note"], str, str, str | None]
"""Kind, reason, what, fix."""


class _Check:
    """The check of one project's locks.

    Only what the settings specify can be missing: if they name no backends, every locked environment counts, and if
    they name no Python, platform or accelerator, those of the lock count.
    """

    def __init__(
        self, written: Settings, matrix: CompatibilityMatrix, python: str | None, *, judges: bool = False
    ) -> None:
        self.written = written
        self.settings = asked = with_project(written)
        self.judges = judges
        self.matrix = matrix
        self.python = asked.python or python
        self.known = plan.known_environments(asked, matrix)
        self.allowed = allowed_by(asked, matrix)
        self.shaped = uvsettings.shape(asked.root)
        self.files: dict[str, dict[str, tuple[Lockfile, str]]] = {}

    def _asked(self, joint: JointEnvironment) -> Mapping[Accelerator | None, Sequence[Target]]:
        """The accelerators that the settings request, with the targets that share each; None if they leave it open.

        The kind of a target that leaves its version open has no version.
        """
        targets = tuple(self.settings.described.values())
        if targets:
            return dict(machines.by_accelerator(joint, targets, self.matrix).items())
        accelerated = any(self.matrix.backends[backend].accelerated for backend in joint.backends)
        asked = self.settings.accelerator
        if asked == CPU or not accelerated:
            return {CPU: ()}
        # without a version it is left open, for kinds that have versions
        return {None if asked is None or _is_open(asked) else asked: ()}

    def _asked_of(
        self, joint: JointEnvironment, accelerator: str, made_for: EnvironmentRequest
    ) -> tuple[Accelerator | None, Sequence[Target]] | None:
        """The accelerator and targets among these that a lock is for; None if it is for none of them."""
        for asked, targets in self._asked(joint).items():
            if _is_for(asked, accelerator):
                named = {one.name for one in made_for.targets}
                # which version a target has that leaves it open, only solving tells: its lock says that it is for it
                own = (
                    [one for one in targets if one.name in named] if asked is not None and _is_open(asked) else targets
                )
                return asked, own
        return None

    def missing(self, locked: Sequence[LockedEnvironment]) -> Iterator[Finding]:
        """What the settings request and is not locked."""
        there = {environment.name: environment for environment in locked}
        for name in (*(self.settings.backends or ()), *self.settings.environments):
            for asked, targets in self._asked(self.known[name]).items():
                yield from self._missing(name, asked, targets, there)

    def _missing(
        self,
        name: str,
        asked: Accelerator | None,
        targets: Sequence[Target],
        there: Mapping[str, LockedEnvironment],
    ) -> Iterator[Finding]:
        """The parts of an environment on an accelerator that are not locked."""
        fix = f"kgen lock {name}"
        has = []
        for ending in self._endings():
            wanted = f"{name}-{asked.name}{ending}" if asked is not None else f"{name}{ending}"
            found = [one for one in there if one == wanted or _is_open_as(one, name, ending, asked)]
            if not found:
                yield Finding(
                    "fault", "not-locked", wanted, f"{project.LOCKS}/{wanted}",
                    "is missing: the settings ask for it", None, fix,
                )  # fmt: skip
            has += found
        platforms = {platform for one in targets for platform in one.platforms or self.settings.platforms or ()}
        for one in has:
            for platform in sorted(platforms) if targets else self.settings.platforms or ():
                if platform not in there[one].platforms:
                    path = f"{project.LOCKS}/{one}/{lockfiles.filename(platform)}"
                    what = "is missing: the settings ask for the platform"
                    yield Finding("fault", "not-locked", one, path, what, None, fix)

    def _endings(self) -> tuple[str, ...]:
        """The ends of environment names that contain the Python; an empty one if there is only one Python."""
        return tuple(map(grammar.python_ending, self.settings.pythons)) or ("",)

    def findings(self, environment: LockedEnvironment) -> Iterator[Finding]:
        """The findings about an environment."""
        root, name = self.settings.root, environment.name

        def finding(
            kind: Literal["fault", "note"],
            reason: str,
            path: Path,
            what: str,
            fix: str | None,
            *,
            source: str | None = None,
        ) -> Finding:
            return Finding(kind, reason, name, path.relative_to(root).as_posix(), what, source, fix)

        fix = "kgen lock"
        locks = []
        requests: dict[str, EnvironmentRequest] = {}
        for path in environment.platforms.values():
            try:
                content = files.read(path)
                lock, data = lockfiles.parse(path, content)
                made_for = fields.request_of(data["tool"]["kgen"])
                is_own = pylock.is_own(content, data)
            except OSError as error:
                yield finding("fault", "unreadable", path, f"cannot be read: {error.strerror or error}", fix)
                continue
            except (KgenError, ValueError, KeyError, TypeError) as error:
                text = error.message if isinstance(error, KgenError) else str(error)
                said = text.removeprefix(f"{path}: ").removeprefix(f"{path} ")
                reason = "hash" if "hashes" in said else "unreadable"
                yield finding("fault", reason, path, f"cannot be relied on: {said}", fix)
                continue
            locks.append(lock)
            if self.settings.file is None:
                fix = _as_typed(made_for, lock)
            request, astray, fix = self._request(lock, made_for, fix)
            request = request._replace(uv=self.shaped.recorded)
            request = uv_sources.from_sources(request, self.shaped, self.settings, self.matrix)
            requests[lock.platform] = request
            for kind, reason, what, fixed in astray:
                yield finding(kind, reason, path, what, fixed)
            form = [*self._required_python(lock), *self._form(lock, data, is_own=is_own)]
            for one in (*form, *freshness.stale(lock, request, made_for, self.matrix)):
                yield finding("fault", one.reason, path, one.what, self._fix(one, made_for, fix), source=one.source)
            yield from self._places(lock, finding)
            for file in lock.files:
                self.files.setdefault(file.filename, {}).setdefault(file.sha256, (lock, fix))
        yield from self._hooks(environment, locks, fix, finding)
        yield from self._receipts(environment, finding)
        yield from self._other_forms(environment, locks, requests, finding)

    def _places(self, lock: Lockfile, finding: _Finder) -> Iterator[Finding]:
        """The source trees that only the lock names; `freshness` reports source distributions."""
        for one in unvouched(self.matrix, self.written, lock):
            if one.tree:
                yield finding("fault", "place", lock.path, one.what, one.fix)

    def _fix(self, stale: freshness.Stale, made_for: EnvironmentRequest, again: str) -> str:
        """The command that fixes a stale lock, usually the one that locks again."""
        if stale.reason == _LOCAL:
            return f"{again} --portable"
        if stale.reason == _PLACE:
            mend = "a place that others reach, or `outside-folders = true`"
            return f"edit {files.typed(self.settings.file or self.settings.root / project.KGEN_TOML)}   # {mend}"
        if stale.reason == _OUTSIDE:
            return again.replace(f" --python {made_for.python}", "")  # another Python is what is wanted
        if stale.reason in _BUILT and self.settings.file is None and made_for.build:
            return fields.allow_build_command(made_for.build)
        return again

    def _other_forms(
        self,
        environment: LockedEnvironment,
        locks: Sequence[Lockfile],
        requests: Mapping[str, EnvironmentRequest],
        finding: _Finder,
    ) -> Iterator[Finding]:
        """The findings about locks beside those of the default form."""
        asked = interface.Asked(self.settings, requests)
        for form in formats.others():
            if lockfiles.lock_path(environment, form) is not None:
                for flaw in interface.checker(form).flaws(environment.folder, locks, self.matrix, asked):
                    yield finding(flaw.kind, form.name, flaw.path, flaw.what, f"kgen lock{form.words}")
                judge = interface.judge(form) if self.judges else None
                for flaw in () if judge is None else judge.judged(environment.folder):
                    yield finding(flaw.kind, form.name, flaw.path, flaw.what, f"kgen lock{form.words}")

    def _required_python(self, lock: Lockfile) -> Iterator[freshness.Stale]:
        """That a lock is outside the Python range that the project requires."""
        if self.allowed is not None and lock.python not in self.allowed.minors:
            what = f"is for Python {lock.python}, outside of requires-python `{self.allowed.text}` of"
            yield freshness.Stale(_OUTSIDE, f"{what} {self.allowed.file}")

    def _form(self, lock: Lockfile, data: Mapping[str, Any], *, is_own: bool) -> list[freshness.Stale]:
        """The parts of a file that kgen did not write, or not in the requested form."""
        found = [*freshness.hand_edited(lock, data["tool"]["kgen"])]
        if not found and not is_own:
            said = "was edited: it is not as kgen writes what is in it"
            found.append(freshness.Stale("edited", _WINDOWS if _has_crlf(lockfiles.content_of(lock.path)) else said))
        if lock.local and not self.settings.outside_folders:
            trees = [tree.name for tree in lock.trees if tree.is_local]
            if len(lock.local) > len(trees):
                what = "names files that only this machine has; `portable = true` locks by name and hash"
                found.append(freshness.Stale(_LOCAL, what))
            if trees:
                what = f"builds {', '.join(trees)} from a place that only this machine has"
                found.append(freshness.Stale(_PLACE, what))
        if self.settings.portable and lock.names_hosts:
            found.append(freshness.Stale("portable", "names an index's host, and locks without are asked for"))
        return found

    def _hooks(
        self,
        environment: LockedEnvironment,
        locks: Sequence[Lockfile],
        fix: str,
        finding: _Finder,
    ) -> Iterator[Finding]:
        """The findings about hooks; they are only rendered again if they are not what the lock says."""
        there = {}
        if not locks or any(one not in self.matrix.backends for one in locks[0].backends):
            return  # what the hooks should be is unknown
        for place in hooks.places():
            path = environment.folder / place
            try:
                there[place] = files.read(path, files.SMALL)
            except FileNotFoundError:
                yield finding("fault", "hook", path, "is missing", fix)
            except OSError as error:
                yield finding("fault", "unreadable", path, f"cannot be read: {error.strerror or error}", fix)
        first = locks[0]
        variables = selection(self.matrix, first.backends, first.accelerator, isolated=False).variables
        if lockfiles.digest_of_files(there) == hooks.digest(environment.name, variables, cache=host.cache("hooks")):
            return
        for place, text in hooks.render_hooks(environment.name, variables).items():
            if place in there and there[place] != text.encode():
                said = "is not what kgen writes: it was edited, or is of another kgen"
                what = _WINDOWS if _has_crlf(there[place]) else said
                yield finding("fault", "hook", environment.folder / place, what, fix)

    def _receipts(self, environment: LockedEnvironment, finding: _Finder) -> Iterator[Finding]:
        if not os.path.lexists(environment.folder / "receipts"):
            return
        from kgen.validation import receipts  # noqa: PLC0415 - slow to import, and most environments have none

        for receipt in receipts.find(environment.folder):
            if receipt.stale:
                what = "is older than the lock: it proves another one"
                yield finding("note", "receipt", receipt.path, what, f"kgen validate {receipt.environment}")

    def _request(
        self, lock: Lockfile, made_for: EnvironmentRequest, fix: str
    ) -> tuple[EnvironmentRequest, list[_Astray], str]:
        """The settings' request for a lock; what they do not request of it; and the command that remakes it.

        Only the settings vouch for what is built from source, because a stranger may have made the lock.
        """
        if self.settings.file is None:
            return self._with_project(made_for)._replace(build=self.settings.build), [], fix
        name = _short(lock.environment)
        joint = self.known.get(name)
        if joint is None:
            folder = lock.path.parent.relative_to(self.settings.root).as_posix()
            what = f"is of an environment that {self.settings.file.name} does not name"
            return (
                made_for,
                [("fault", "not-asked", what, f"rm -r {files.typed(folder)}")],
                _as_typed(made_for, lock),
            )
        fix = f"kgen lock {name}"
        astray: list[_Astray] = []
        of = self._asked_of(joint, lock.accelerator, made_for)
        if of is None:
            asked = " and ".join(title(one) for one in self._asked(joint) if one is not None)
            what = f"is for {title(made_for.accelerator)}, as a flag asked for; the settings ask for {asked}"
            fix += f" {shlex.join(fields.accelerator_words(made_for.accelerator))}"
            astray.append(("note", "not-asked", what, None))
        accelerator, targets = of or (None, ())
        if accelerator is None or _is_open(accelerator):
            accelerator = made_for.accelerator
        there = [
            one for one in targets if lock.platform in (one.platforms or self.settings.platforms or (lock.platform,))
        ]
        platforms = self.settings.platforms
        named = bool(there) if targets else platforms is None or lock.platform in platforms
        if not named:
            what = f"is for {lock.platform}, which {self.settings.file.name} does not name"
            astray.append(("fault", "not-asked", what, fix))
        request = request_for(joint, self.settings, accelerator, lock.platform, self.matrix, targets=there)
        if self.settings.pythons and not (made_for.python_named and lock.python in self.settings.pythons):
            what = (
                f"is for Python {lock.python}, and {self.settings.file.name} names {', '.join(self.settings.pythons)}"
            )
            folder = lock.path.parent.relative_to(self.settings.root).as_posix()
            astray.append(("fault", "not-asked", what, f"rm -r {files.typed(folder)}"))
        elif made_for.python_named and not self.settings.pythons:
            astray.append(("note", "not-asked", "is one of several Pythons, as a flag asked for", None))
        python = None if made_for.python_named or self.settings.pythons else self.python
        return request._replace(python=python or lock.python, python_named=made_for.python_named), astray, fix

    def _with_project(self, made_for: EnvironmentRequest) -> EnvironmentRequest:
        """The request that a lock was made for, with what the project requires, if there are no settings."""
        required = self.settings.required
        build = self.settings.project_build
        if not (required.dependencies or build) or not set(made_for.backends) <= set(self.matrix.backends):
            return made_for
        joint = JointEnvironment(name=made_for.name, backends=made_for.backends)
        asked = request_for(joint, self.settings, made_for.accelerator, made_for.platform, self.matrix)
        return made_for._replace(
            requirements=tuple(dict.fromkeys((*made_for.requirements, *asked.requirements))),
            dependencies=tuple(dict.fromkeys((*made_for.dependencies, *asked.dependencies))),
            project_build=build,
        )

    def disagreements(self) -> Iterator[Finding]:
        """Files with different hashes in two locks: one was edited, or an index served inconsistent data."""
        for filename, by_hash in self.files.items():
            (first, _), *others = by_hash.values()
            for lock, fix in others:
                path = lock.path.relative_to(self.settings.root).as_posix()
                what = f"has another sha256 for {filename} than {first.environment}"
                yield Finding("fault", "hash", lock.environment, path, what, None, fix)


def _is_open(asked: Accelerator | None) -> bool:
    """Whether the version of the requested accelerator is left to kgen."""
    return asked is None or (accelerators.kind(asked.kind).versioned and not asked.version)


def _is_open_as(environment: str, name: str, ending: str, asked: Accelerator | None) -> bool:
    """Whether an environment has this name and Python, and any version of the requested accelerator."""
    on = accelerators.in_name(environment).name
    of_name = _short(environment) == name and environment.endswith(ending)
    return _is_open(asked) and of_name and _is_for(asked, on)


def _is_for(asked: Accelerator | None, accelerator: str) -> bool:
    """Whether a lock for an accelerator is one that is requested."""
    if asked is None or not _is_open(asked):
        return asked is None or asked.name == accelerator
    return accelerators.named(accelerator).kind == asked.kind


def _short(environment: str) -> str:
    """`jax` for jax-cuda12."""
    return accelerators.without_ending(environment)


def _as_typed(request: EnvironmentRequest, lock: Lockfile) -> str:
    """The command that makes this lock, if there are no settings."""
    return fields.lock_command(request, portable=not lock.names_hosts)


def _has_crlf(content: bytes) -> bool:
    return b"\r\n" in content
