"""Bisect between a lock that passes and one that fails, through valid locks in between, to the packages that matter."""

from __future__ import annotations

import copy
import json
import shlex
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import tomli
from packaging.requirements import Requirement as Needed

from kgen import fields, files, gittool, host, lockfiles, process, storage
from kgen.actions import sync, validate
from kgen.actions.tree import Packages, markers_of, packages, requirements
from kgen.actions.validate import ValidateOptions
from kgen.errors import OtherPlatformError, OutsideError, TimedOut, UsageError
from kgen.formats.environment import Source
from kgen.formats.wheels import pylock
from kgen.host import Host
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.grammar import shown
from kgen.model.lockfile import Lockfile
from kgen.model.requirement import Requirement, canonical_name
from kgen.model.resolution import Resolution
from kgen.project import LOCKS
from kgen.solver.resolve import solve
from kgen.validation import bisection
from kgen.validation.bisection import Culprit, Move, Outcome, Versions

FOLDER = Path(".kgen/bisect")
"""The folder for the environments in between and their results."""

_STATE = "state.json"
_SCHEMA = 1
_SKIP = 125
"""The exit status of a program that cannot judge an environment, as for `git bisect run`."""

_KEPT = 1 << 16


class BisectOptions(NamedTuple):
    """How to try locks.

    Attributes:
        device: as in :class:`kgen.actions.validate.ValidateOptions`, if there is no program.
        slower: a lock fails if it takes so many percent longer than the first lock; None to ignore the time.
        repeat: the number of timings of each lock, of which the median counts.
        timeout: the limit for each run in seconds.
        again: whether to ignore results of earlier runs.
    """

    device: str = "auto"
    slower: float | None = None
    repeat: int = 1
    timeout: float = 3600.0
    again: bool = False


class Trial(NamedTuple):
    """The result of trying a lock.

    Attributes:
        outcome: whether it passed.
        seconds: how long it took; None if it was not timed.
        said: why it failed or was skipped, as the last line of the program.
        known: whether the result is from an earlier run.
    """

    outcome: Outcome
    seconds: float | None = None
    said: str = ""
    known: bool = False


class Bisected(NamedTuple):
    """The result of a bisection.

    Attributes:
        environment: the environment.
        moves: the steps from the one lock to the other.
        culprit: the step at which passing ends.
        packages: the packages that change in that step.
        before: the versions of the lock that passes.
        after: the versions of the lock that fails.
        alone: the result of these packages alone on the lock that passes; None if they cannot change alone.
        trial: the result of the first lock that fails.
        tried: the number of locks tried in this run.
        known: the number of locks with a known result.
    """

    environment: str
    moves: tuple[Move, ...]
    culprit: Culprit
    packages: tuple[str, ...]
    before: Versions
    after: Versions
    alone: Outcome | None
    trial: Trial
    tried: int
    known: int


class Side(NamedTuple):
    """One of the two locks.

    Attributes:
        shown: the user's name for it.
        lock: the lock.
        data: the whole content of its file.
    """

    shown: str
    lock: Lockfile
    data: Mapping[str, Any]


Progress = Callable[[str], None]


def bisect(
    root: Path,
    good: str,
    bad: str,
    command: Sequence[str] = (),
    *,
    matrix: CompatibilityMatrix,
    machine: Host,
    options: BisectOptions | None = None,
    progress: Progress = validate.ignore,
    notify: Progress = validate.ignore,
) -> Bisected:
    """Find the packages that differ between a lock that passes and one that fails, and that cause the failure.

    Args:
        root: the project's folder.
        good: the lock that passes: a file, `REVISION:FILE`, or a git revision for the file that `bad` names.
        bad: the lock that fails, in the same forms.
        command: the program to run in each environment; empty for the training step of `kgen validate`.
        matrix: the facts.
        machine: this machine's devices.
        options: how to try locks.
        progress: called with each stage.
        notify: called with the result of each lock.

    Raises:
        UsageError: the locks are not two locks of one environment for this machine, or the first fails or the second
            passes.
        SettingsError: a lock cannot be read.
        OutsideError: an environment cannot be made.
    """
    asked = options or BisectOptions()
    sides = _sides(root, good, bad)
    refuse_others(*sides)
    before, after = sides[0].lock, sides[1].lock
    if not bisection.changes(before.versions, after.versions):
        raise UsageError(f"{sides[0].shown} and {sides[1].shown} have the same versions", hints=["kgen diff A B"])
    here = host.subdir()
    if before.platform != here:
        raise OtherPlatformError(
            f"the locks are for {before.platform}, and this machine is {here or 'none that kgen knows'}",
            hints=[f"run `kgen bisect` on {before.platform}"],
        )
    place = root / FOLDER / before.environment
    try:
        (place / LOCKS / before.environment).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.unreadable(place, error) from error
    tries = _Tries(place, matrix, machine, sides, tuple(command), asked, progress, notify)
    with storage.exclusive(place, who="kgen bisect", wait=lambda: progress("waiting for another `kgen bisect`")):
        storage.write_file(place / ".gitignore", b"*\n")
        tries.load()
        return tries.bisect()


# -- the two locks -----------------------------------------------------------------------------------------------------


def _sides(root: Path, good: str, bad: str) -> tuple[Side, Side]:
    """Both locks; a bare revision stands for the file that the other argument names."""
    paths = {text: Path(text) for text in (good, bad) if files.is_file(Path(text))}
    texts = [
        f"{text}:{_below(root, paths[other])}" if text not in paths and ":" not in text and other in paths else text
        for text, other in ((good, bad), (bad, good))
    ]
    return _side(root, texts[0]), _side(root, texts[1])


def _below(root: Path, path: Path) -> str:
    whole = path.absolute()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else path.as_posix()


def _side(root: Path, text: str) -> Side:
    path = Path(text)
    if files.is_file(path):
        content: bytes | None = lockfiles.content_of(path)
    else:
        revision, colon, name = text.partition(":")
        path = root / name
        content = None
        if colon and not revision.startswith("-") and gittool.is_repository(root):
            content = gittool.content(root, revision, Path(name))
    if content is None:
        raise UsageError(
            f"`{shown(text)}` is not a lock, nor REVISION:FILE of one in git",
            hints=["kgen bisect HEAD~1 locks/jax-cpu/pylock.linux-64.toml"],
        )
    if formats.of_file(path.name) not in {None, formats.default()}:
        raise UsageError(f"{shown(text)} is not a lock of wheels", hints=["kgen bisect takes pylock.*.toml"])
    lock, data = lockfiles.parse(_place(path, content), content)
    return Side(text, lock, data)


def _place(path: Path, content: bytes) -> Path:
    """The path of a lock in a project; a copy of a lock under another name counts as a lock too."""
    try:
        kgen = tomli.loads(content.decode())["tool"]["kgen"]
        return (
            path.parent
            / grammar.environment(kgen["environment"])
            / lockfiles.filename(grammar.platform(kgen["platform"]))
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        return path


def refuse_others(good: Side, bad: Side) -> None:
    """Check that both locks are of one environment.

    Raises:
        UsageError: they are not.
    """
    for what in ("environment", "platform", "python", "accelerator", "backends"):
        one, other = getattr(good.lock, what), getattr(bad.lock, what)
        if one != other:
            said = [", ".join(value) if isinstance(value, tuple) else value for value in (one, other)]
            raise UsageError(
                f"the locks differ in more than packages: {what} {said[0]} ({good.shown}) and {said[1]} ({bad.shown})",
                hints=[f"kgen diff {shlex.quote(good.shown)} {shlex.quote(bad.shown)}"],
            )


# -- trying them -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tries:
    """The results of the locks in between, from this run or earlier ones."""

    place: Path
    matrix: CompatibilityMatrix
    machine: Host
    sides: tuple[Side, Side]
    command: tuple[str, ...]
    options: BisectOptions
    progress: Progress
    notify: Progress
    outcomes: dict[str, Trial] = field(default_factory=dict)
    said: list[Packages] = field(default_factory=list)
    tried: int = 0
    known: int = 0
    limit: float | None = None

    @property
    def _key(self) -> str:
        told = [one.lock.content for one in self.sides], self.command, list(self.options._replace(again=False))
        return lockfiles.digest(json.dumps([_SCHEMA, *told]).encode())

    def load(self) -> None:
        """Take over the results of earlier runs with the same question."""
        try:
            data = json.loads(files.read_text(self.place / _STATE, files.LARGE))
            if data["key"] != self._key or self.options.again:
                return
            self.outcomes = {str(one): Trial(*trial)._replace(known=True) for one, trial in data["outcomes"].items()}
            self.said = [
                Packages(
                    {str(name): str(version) for name, version in side["versions"].items()},
                    {str(name): list(requirements(texts)) for name, texts in side["required"].items()},
                    markers_of(self.sides[0].lock.python),
                )
                for side in data["packages"]
            ]
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            self.outcomes, self.said = {}, []

    def _save(self) -> None:
        data = {
            "key": self._key,
            "outcomes": {content: trial[:3] for content, trial in self.outcomes.items()},
            "packages": [
                {
                    "versions": dict(one.versions),
                    "required": {name: list(map(str, needed)) for name, needed in one.required.items()},
                }
                for one in self.said
            ],
        }
        storage.write_file(self.place / _STATE, json.dumps(data).encode())

    def bisect(self) -> Bisected:
        before, after = (one.lock.versions for one in self.sides)
        self._ends()
        found = bisection.moves(before, after, broken=self._broken, misfits=self._misfits)
        self.notify(f"{len(bisection.changes(before, after))} packages differ, in {len(found)} steps that are valid")
        trials = {len(found): self._trial(after)}

        def outcome(number: int) -> Outcome:
            trials[number] = self._trial(found[number - 1].versions, f"step {number} of {len(found)}")
            return trials[number].outcome

        culprit = bisection.search(len(found), outcome)
        names = bisection.between(found, culprit)
        return Bisected(
            environment=self.sides[0].lock.environment,
            moves=found,
            culprit=culprit,
            packages=names,
            before=before,
            after=after,
            alone=self._alone(names, culprit, before, after),
            trial=trials[culprit.first],
            tried=self.tried,
            known=self.known,
        )

    def _ends(self) -> None:
        """Check that the first lock passes and the second fails."""
        good, bad = self.sides
        first = self._trial(good.lock.versions, good.shown)
        if first.outcome != "passes":
            raise UsageError(
                f"{good.shown} does not pass: {first.said}",
                hints=["kgen bisect GOOD BAD, where GOOD is a lock that passes"],
            )
        if self.options.slower is not None and first.seconds is not None:
            self.limit = first.seconds * (1 + self.options.slower / 100)
        second = self._trial(bad.lock.versions, bad.shown)
        if second.outcome != "fails":
            what = "passes too" if second.outcome == "passes" else f"cannot be tried: {second.said}"
            raise UsageError(f"{bad.shown} {what}", hints=["kgen bisect GOOD BAD, where BAD is a lock that fails"])

    def _alone(self, names: Sequence[str], culprit: Culprit, before: Versions, after: Versions) -> Outcome | None:
        """The result of the packages that matter, without those that changed before them."""
        if culprit.last == 0:
            return "fails"
        versions = bisection.applied(before, after, names)
        tolerated = {*self._broken(before), *self._broken(after)}
        if not set(self._broken(versions)) <= tolerated or self._misfits(versions) is not None:
            return None
        return self._trial(versions, f"{', '.join(names)} alone").outcome

    # -- what fits -----------------------------------------------------------------------------------------------------

    def _broken(self, versions: Versions) -> Iterator[tuple[str, str]]:
        """The requirements of packages that versions break."""
        good, bad = self.said
        required: dict[str, Sequence[Needed]] = {}
        for name, version in versions.items():
            side = good if good.versions.get(name) == version else bad
            required[name] = side.required.get(name, ())
        active = Packages(versions, required, good.markers).active()
        for name, needed in active.items():
            for one in needed:
                other = canonical_name(one.name)
                there = versions.get(other)
                if there is None or not one.specifier.contains(there, prereleases=True):
                    yield name, other

    def _misfits(self, versions: Versions) -> frozenset[str] | None:
        """The packages whose versions the matrix does not let fit together; None if they fit."""
        return None if self._resolution(versions) is not None else self._followed

    @property
    def _followed(self) -> frozenset[str]:
        return frozenset(name for one in self.sides for name in (*one.lock.packages, *one.lock.libraries))

    def _resolution(self, versions: Versions) -> Resolution | None:
        """The solver's resolution with these versions of the matrix's packages; None if they do not fit together."""
        request = fields.request_of(self.sides[1].data["tool"]["kgen"])
        pins = (
            Requirement(f"{name}=={versions[name].partition('+')[0]}")
            for name in sorted(self._followed)
            if name in versions
        )
        found = solve(self.matrix, request._replace(requirements=tuple(pins)))
        return found if isinstance(found, Resolution) else None

    # -- one lock ------------------------------------------------------------------------------------------------------

    def _trial(self, versions: Versions, what: str = "") -> Trial:
        """The result of the lock with these versions."""
        text = self._text(versions)
        path = self.place / LOCKS / self.sides[0].lock.environment / self.sides[1].lock.path.name
        lock, _ = lockfiles.parse(path, text.encode())
        found = self.outcomes.get(lock.content)
        if found is None:
            storage.write_file(path, text.encode())
            found = self._timed(lock, what)
            self.outcomes[lock.content] = found
            self.tried += 1
            self._save()
        elif what and found.known:
            self.known += 1
        if found.outcome == "passes" and self.limit is not None and found.seconds and found.seconds > self.limit:
            found = found._replace(outcome="fails", said=f"{found.seconds:.2f} s, and {self.limit:.2f} s are allowed")
        if what:
            ending = f": {found.said}" if found.said else ""
            self.notify(f"{what}: {found.outcome}{ending}{' (known)' if found.known else ''}")
        return found

    def _text(self, versions: Versions) -> str:
        """The lock with these versions, made of files that one of the two locks has."""
        good, bad = self.sides
        for side in self.sides:
            if versions == side.lock.versions:
                return pylock.again(side.data)
        data = copy.deepcopy(dict(bad.data))
        rows = [{canonical_name(row["name"]): row for row in side.data["packages"]} for side in (bad, good)]
        data["packages"] = [
            next(side[name] for side in rows if name in side and side[name]["version"] == version)
            for name, version in sorted(versions.items())
        ]
        kgen = data["tool"]["kgen"]
        for table in ("packages", "libraries"):
            names = {**good.data["tool"]["kgen"].get(table, {}), **kgen.get(table, {})}
            kgen[table] = {name: versions[name].partition("+")[0] for name in names if name in versions}
        kgen["licences"] = {
            name: side.lock.licences[name]
            for name, version in sorted(versions.items())
            for side in (good, bad)
            if side.lock.versions.get(name) == version and name in side.lock.licences
        }
        resolution = self._resolution(versions)
        if resolution is not None:
            decided = pylock.accelerator_data(resolution)
            kgen |= {name: value for name, value in decided.items() if value is not None}
            for name in [name for name, value in decided.items() if value is None]:
                kgen.pop(name, None)
        for derived in ("why", "warnings", "size"):
            kgen.pop(derived, None)
        return pylock.again(data)

    def _timed(self, lock: Lockfile, what: str) -> Trial:
        self.progress(f"{what}: installing")
        source = sync.find(self.place, lock.environment)
        made = sync.sync(source, own=False, progress=lambda _name: nullcontext(self.progress))
        for note in made.notes:
            self.notify(note)
        if len(self.said) < len(self.sides):
            self.said.append(packages(source))
        trials = []
        for number in range(self.options.repeat):
            self.progress(f"{what}: run {number + 1} of {self.options.repeat}")
            trials.append(self._run(source) if self.command else self._validated(lock))
            if trials[-1].outcome != "passes":
                return trials[-1]
        return Trial("passes", statistics.median(one.seconds for one in trials if one.seconds is not None))

    def _run(self, source: Source) -> Trial:
        """The program's verdict on an environment."""
        entering, inside = sync.way_in(source)
        words = (*entering, *self.command)
        began = time.monotonic()
        try:
            done = process.run(words, env=inside, timeout=self.options.timeout, keep=_KEPT)
        except TimedOut:
            return Trial("fails", said=f"did not end within {self.options.timeout:g} s")
        except OutsideError as error:
            error.hints = ("kgen bisect GOOD BAD -- python train.py",)
            raise
        took = time.monotonic() - began
        if done.status == 0:
            return Trial("passes", took)
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = f"exit status {done.status}" if done.status > 0 else f"signal {-done.status}"
        return Trial(
            "skipped" if done.status == _SKIP else "fails",
            said=f"{said}, {shown(lines[-1])}" if lines else said,
        )

    def _validated(self, lock: Lockfile) -> Trial:
        """The verdict of `kgen validate` on a lock."""
        options = ValidateOptions(self.options.device, timeout=self.options.timeout)
        chosen = validate.targets(self.place, self.matrix, self.machine, [lock.environment], options)
        (found,) = validate.validate(self.place, self.matrix, self.machine, chosen, options).validations
        if found.error is not None:
            raise found.error
        verdicts = list(found.verdicts.values())
        for verdict in verdicts:
            if verdict.outcome.value != "passed":
                outcome: Outcome = "skipped" if verdict.outcome.value == "skipped" else "fails"
                return Trial(outcome, said=shown(verdict.message.partition("\n")[0]))
        return Trial("passes", sum(verdict.seconds for verdict in verdicts))
