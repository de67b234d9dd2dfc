"""Resolves one request: the solver picks frameworks, uv the rest; what uv cannot resolve goes back to the solver."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from packaging.pylock import Package, Pylock
from packaging.version import Version

from kgen import accelerators
from kgen.errors import OutsideError, UnavailableError
from kgen.fields import lock_command
from kgen.formats.outcome import Reporter, unreported
from kgen.formats.wheels import company, framework_age, refusal
from kgen.formats.wheels.choice import choose
from kgen.formats.wheels.closure import Closed
from kgen.formats.wheels.lessons import Lesson
from kgen.formats.wheels.lock import LockedWheel
from kgen.formats.wheels.questions import CLOSERS
from kgen.formats.wheels.uv import Unclosed, Uv
from kgen.matrix.candidates import reaches
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU
from kgen.model.causes import Newer, Reason, SetAside
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import parse_requirement
from kgen.model.resolution import Conflict, Resolution, SourceRelease
from kgen.solver.imported_frameworks import whole_instead_of_part
from kgen.solver.resolve import Incompatibility, solve
from kgen.solver.sharing import common_ceilings, shared_libraries

if TYPE_CHECKING:  # slow to import, and not needed before the first environment is closed
    from kgen.formats.wheels.age import Releases
    from kgen.formats.wheels.direct import DirectSources
    from kgen.index import IndexFile
    from kgen.wheels import WheelReader

ROUNDS = 8
"""How many times the solver gets another try after uv could not resolve its answer."""

_PROBES = 4
"""How many releases of a framework kgen asks uv's indexes for, where only the framework's own index has the build."""


class Unclosable(NamedTuple):
    """A request that uv could not resolve in any round.

    Attributes:
        request: the request, with the frameworks that dependencies brought along.
        reason: uv's words in the round that taught nothing, or else in the first one.
    """

    request: EnvironmentRequest
    reason: str


class _Wanted(NamedTuple):
    """Which releases of a framework something requires.

    Attributes:
        why: which package requires the newest of them, in words.
        unwanted: the releases that no package requires.
    """

    why: str
    unwanted: tuple[Version, ...]


@dataclass(slots=True, kw_only=True)
class _LearnedConstraints:
    """What the rounds of one request have taught so far.

    Attributes:
        ceilings: constraints that would give environments common versions; dropped at uv's first refusal.
        incompatibilities: sets of releases that the solver must not pick together.
        unfit: constraints against versions that have no wheel for the target.
        added: further requirements, for libraries that a compiled file needs.
        reason: the refusal that the user reads: the one that taught nothing, or else the first, which is about the
            versions that the user expects.
        notes: the refusals in words.
        aside: package -> the newest release of it that uv refused by itself, and why.
    """

    ceilings: tuple[str, ...]
    incompatibilities: list[Incompatibility] = field(default_factory=list)
    unfit: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    aside: dict[str, SetAside] = field(default_factory=dict)


class Closer:
    """Resolves requests, one at a time in each thread; writes nothing.

    Attributes:
        better_python: the Python to take instead where the user leaves it open; None while nothing speaks for another.
    """

    def __init__(
        self,
        matrix: CompatibilityMatrix,
        uv: Uv,
        open_reader: Callable[[], WheelReader],
        *,
        cancel: threading.Event,
        report: Reporter = unreported,
        in_flight: int | None = None,
        open_releases: Callable[[WheelReader], Releases] | None = None,
        sources: DirectSources | None = None,
        command: Callable[[EnvironmentRequest], str] = lock_command,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            matrix: the facts.
            uv: the resolver.
            open_reader: gives what reads wheels and source distributions.
            cancel: set when everything that is under way is to end.
            report: called with each request and its stage, from any thread.
            in_flight: how many requests to the index there may be at a time; None leaves it to uv.
            open_releases: gives what says which releases there are; None where nothing is built from source.
            sources: finds out what is at the places that requests name; None where they name none.
            command: the call that asks for a request, for hints.
        """
        self.command = command
        self.better_python: str | None = None
        self._matrix = matrix
        self._uv = uv
        self._open_reader = open_reader
        self._cancel = cancel
        self._report = report
        self._in_flight = in_flight
        self._open_releases = open_releases
        self._direct = sources
        self._built: dict[EnvironmentRequest, tuple[SourceRelease, ...]] = {}
        self._listed: dict[str, Mapping[Version, Sequence[IndexFile]]] = {}
        self._shares: Mapping[EnvironmentRequest, int] = {}
        self._preferred: Mapping[EnvironmentRequest, Mapping[str, Version]] = {}
        self._alone: set[EnvironmentRequest] = set()
        self._ceilings: Mapping[EnvironmentRequest, tuple[str, ...]] = {}
        self._ahead: Mapping[EnvironmentRequest, Resolution | Conflict] = {}

    @property
    def cancelled(self) -> bool:
        """Whether the user has interrupted kgen."""
        return self._cancel.is_set()

    @property
    def builds(self) -> bool:
        """Whether kgen can look up what the user allows uv to build from source."""
        return self._open_releases is not None

    def may_have_wheels(self, request: EnvironmentRequest, names: Sequence[str]) -> bool:
        """Whether each of these projects has a wheel for a request, by what the indexes list.

        True also where no index tells, as of what comes from a folder: then only uv knows.
        """
        fitting = self.fitting_releases(request, names)
        return all(fitting[name] != frozenset() for name in names)

    def fitting_releases(
        self, request: EnvironmentRequest, names: Sequence[str]
    ) -> Mapping[str, frozenset[Version] | None]:
        """The releases of each of these projects that a request allows and that have a wheel for it.

        None where no index tells.
        """
        from kgen.formats.wheels.age import fits_on, is_within_bounds  # noqa: PLC0415 - as there

        unknown = [name for name in names if name not in self._listed]
        if unknown and self._open_releases is not None:
            with self._open_reader() as reader:
                releases = self._open_releases(reader)
                releases.ask(unknown)
                self._listed.update((name, releases.of(name)) for name in unknown)
        found: dict[str, frozenset[Version] | None] = dict.fromkeys(names)
        for name in names:
            listed = self._listed.get(name)
            if listed:
                found[name] = frozenset(
                    version
                    for version, files in listed.items()
                    if is_within_bounds(request, name, version)
                    and fits_on(self._matrix, request, files, request.python)
                )
        return found

    def prefer(self, requests: Sequence[EnvironmentRequest]) -> None:
        """Solve all requests once ahead, to learn which CUDA libraries their environments can have in common."""
        answers = [solve(self._matrix, request) for request in requests]
        solved = [answer for answer in answers if isinstance(answer, Resolution)]
        self._preferred = {
            answer.request: versions for answer, versions in zip(solved, shared_libraries(solved), strict=True)
        }
        self._ahead = {answer.request: answer for answer in answers}
        if self._in_flight is not None and len(solved) > 1:
            self._shares = _shares(solved, self._in_flight)
        self._ceilings = {answer.request: texts for answer, texts in zip(solved, common_ceilings(solved), strict=True)}

    def versions_alone(self, found: Closed) -> dict[str, Version | None]:
        """The versions that an environment would have by itself; None where kgen does not know."""
        request = found.resolution.request
        ahead = self._ahead.get(request)
        libraries = ahead.libraries if isinstance(ahead, Resolution) else {}
        pinned = {name: libraries[name] for name in found.resolution.pinned if name in libraries}
        # what a ceiling has stopped would be newer, and how new is not known
        stopped = {
            name: None
            for name, version in found.versions.items()
            if f"{name}<={version}" in self._ceilings.get(request, ())
        }
        return {**found.versions, **pinned, **stopped}

    def suggest_python(self, python: str) -> None:
        """Note the Python to take instead where the user leaves it open; the first note counts."""
        self.better_python = self.better_python or python

    def close(
        self, request: EnvironmentRequest, notes: list[str], lesson: Lesson | None = None
    ) -> Closed | Conflict | Unclosable:
        """Resolve a request, or say why it has no resolution.

        Args:
            request: the request.
            notes: receives what the user should know about how the resolution came about.
            lesson: what judging earlier locks of the same request has taught.

        Raises:
            OutsideError: uv, an index or the network failed, or no index has a build that only one of its own has.
        """
        came = company.joined_by_name(self._matrix, request, functools.partial(self._solve, request, ()))
        request, brought = came.request, [*came.notes]
        learned = _LearnedConstraints(ceilings=self._ceilings.get(request, ()))
        if lesson is not None:
            learned.unfit, learned.added = lesson.constraints, lesson.added
        for _ in range(ROUNDS):
            self._report(request, "solving")
            answer = self._solve(request, learned.incompatibilities)
            if isinstance(answer, Conflict):
                if not learned.incompatibilities:
                    return self._on_best_python(request, answer)
                break
            if answer.local:
                answer = self._offered(answer, learned.incompatibilities)
            self._report(request, "resolving with uv")
            constraints = (*learned.ceilings, *learned.unfit)
            answer, closed = self.by_uv(answer, constraints, learned.added)
            if isinstance(closed, Unclosed):
                if not self._learn(answer, closed, learned):
                    break
                continue
            joined = self._with_company(answer, closed, brought)
            if joined != request:
                request = joined
                continue
            wheels, misfits = self._choose(answer, closed)
            if not misfits:
                told = (
                    *learned.notes,
                    *brought,
                    *company.together_note(self._matrix, answer, self.command),
                    *framework_age.notes(self._matrix, answer),
                )
                notes += [note for note in told if note not in notes]
                answer = answer._replace(why=tuple(_with_refusal(reason, learned.aside) for reason in answer.why))
                return self._complete(answer, closed, wheels, constraints, learned.added)
            self._learn_misfits(answer, misfits, learned)
        return Unclosable(request, learned.reason)

    def again(self, found: Closed, constraints: tuple[str, ...], *, offline: bool = False) -> Closed | Unclosed | None:
        """Resolve the same answer of the solver with other constraints.

        Args:
            found: the earlier resolution.
            constraints: these replace its own.
            offline: whether uv answers from its cache alone.

        Returns:
            The new resolution, or uv's refusal; None where it would no longer belong to the solver's answer, because
            another framework comes along or a package has no wheel for the target.

        Raises:
            OutsideError: uv, an index or the network failed.
        """
        return self._again(found.resolution, constraints, found.added, offline=offline)

    def apart(self, found: Closed, constraints: tuple[str, ...]) -> Closed | Unclosed | None:
        """Resolve without what an environment only has to be the same as others, and with further constraints.

        Args:
            found: the earlier resolution.
            constraints: these come to its own.

        Returns:
            As :meth:`again`; None also where the environment has nothing for the others' sake.

        Raises:
            OutsideError: uv, an index or the network failed.
        """
        request = found.resolution.request
        ceilings = self._ceilings.get(request, ())
        own = tuple(text for text in found.constraints if text not in ceilings)
        answer = self._ahead.get(request)
        if not isinstance(answer, Resolution) or answer.packages != found.resolution.packages:
            return None
        if own == found.constraints and not self._wishes(request):
            return None
        closed = self._again(answer, (*own, *constraints), found.added)
        if isinstance(closed, Closed):
            self._alone.add(request)
        return closed

    def _again(
        self, resolution: Resolution, constraints: tuple[str, ...], added: tuple[str, ...], *, offline: bool = False
    ) -> Closed | Unclosed | None:
        answer, closed = self.by_uv(resolution, constraints, added, offline=offline)
        if isinstance(closed, Unclosed):
            return closed
        if self._with_company(answer, closed, []) != answer.request:
            return None
        wheels, misfits = self._choose(answer, closed)
        return None if misfits else self._complete(answer, closed, wheels, constraints, added)

    def by_uv(
        self, answer: Resolution, constraints: Sequence[str], added: Sequence[str] = (), *, offline: bool = False
    ) -> tuple[Resolution, Pylock | Unclosed]:
        """Ask uv to resolve an answer of the solver; returns that answer, with what uv may build, and uv's.

        Where uv brings the whole of a framework beside its part for the CPU, the whole takes the part's place.

        Args:
            answer: what the solver decided.
            constraints: further constraints.
            added: further requirements.
            offline: whether uv answers from its cache alone.

        Raises:
            OutsideError: uv, an index or the network failed.
        """
        platform = self._matrix.platforms[answer.request.platform]
        if answer.request.build:
            answer = answer._replace(sources=tuple(dict.fromkeys((*answer.sources, *self._sources(answer.request)))))
        if self._direct is not None and any(one.url is not None for one in answer.request.dependencies):
            answer = answer._replace(direct=self._direct.releases(answer.request))

        def ask(resolution: Resolution) -> Pylock | Unclosed:
            return self._uv.close(
                resolution,
                platform,
                constraints=constraints,
                added=added,
                offline=offline,
                in_flight=self._shares.get(answer.request),
                facts=facts_of_target(self._matrix, answer.request),
            )

        closed = ask(answer)
        if isinstance(closed, Unclosed):
            return answer, closed
        whole = with_whole(self._matrix, answer, {one.name for one in closed.packages})
        return (answer, closed) if whole is None else (whole, ask(whole))

    def _complete(
        self,
        answer: Resolution,
        closed: Pylock,
        wheels: Mapping[str, LockedWheel],
        constraints: tuple[str, ...],
        added: tuple[str, ...],
    ) -> Closed:
        there = {package.name for package in closed.packages}
        placed = frozenset(one.name for one in answer.direct if one.tree is not None and one.name in there)
        return Closed(answer, constraints, wheels, self._building(answer, wheels, placed), added, placed)

    def _choose(self, answer: Resolution, closed: Pylock) -> tuple[dict[str, LockedWheel], list[Package]]:
        return choose(
            answer,
            self._matrix.platforms[answer.request.platform],
            closed,
            own=self._uv.own_indexes(answer),
            named={} if self._direct is None else self._direct.wheels(answer.request),
        )

    def _on_best_python(self, request: EnvironmentRequest, conflict: Conflict) -> Conflict:
        """The conflict to tell, where frameworks that came along have no wheel for the Python that was chosen.

        Another Python is suggested if it solves the request. If none does, the one on which most of the frameworks
        could be had tells more than that the newest has not all of them.
        """
        answer = company.on_best_python(self._matrix, request)
        if isinstance(answer, Resolution):
            self.suggest_python(answer.request.python)
        return answer if isinstance(answer, Conflict) else conflict

    def _with_company(self, answer: Resolution, closed: Pylock, notes: list[str]) -> EnvironmentRequest:
        """The request with the frameworks that uv's answer brings along as members."""
        coming = [one.name for one in closed.packages]
        return self._joined(answer.request, coming, notes, {*answer.packages, *answer.parts})

    def _joined(
        self, request: EnvironmentRequest, names: Collection[str], notes: list[str], decided: Collection[str]
    ) -> EnvironmentRequest:
        """The request with the frameworks among these packages as members."""
        found = company.joined(self._matrix, request, names, decided)
        notes += [note for note in found.notes if note not in notes]
        return found.request

    def _sources(self, request: EnvironmentRequest) -> tuple[SourceRelease, ...]:
        """The source distributions that the user allows uv to build; looked up once."""
        key = request.as_asked
        if self._open_releases is not None and key not in self._built:
            from kgen.formats.wheels.source import source_releases  # noqa: PLC0415 - few ask for it

            with self._open_reader() as reader:
                releases = self._open_releases(reader)
                self._built[key] = tuple(source_releases(self._matrix, key, releases, reader))
        return self._built.get(key, ())

    def _solve(
        self, request: EnvironmentRequest, incompatibilities: Sequence[Incompatibility]
    ) -> Resolution | Conflict:
        ahead = self._ahead.get(request)
        if isinstance(ahead, Conflict):
            return ahead
        preferred = {} if request in self._alone else self._preferred.get(request, {})
        if ahead is not None and not incompatibilities and preferred.items() <= ahead.libraries.items():
            return ahead  # it has what is preferred as it is
        return solve(self._matrix, request, incompatibilities=incompatibilities, preferred=preferred)

    def _offered(self, answer: Resolution, incompatibilities: list[Incompatibility]) -> Resolution:
        """The newest resolution whose labelled builds (`torch==2.13.0+cpu`) the indexes of uv really have."""
        request = answer.request
        platform = self._matrix.platforms[request.platform]
        current: Resolution | Conflict = answer
        offered: dict[str, Version] = {}
        for attempt in range(_PROBES):
            if not isinstance(current, Resolution):
                break
            missing = None
            for name in current.local:
                if offered.get(name) == current.packages[name]:
                    continue
                text = next(text for text in current.install if parse_requirement(text).name == name)
                self._report(request, f"looking for {text}")
                if not self._uv.offers(text, current, platform):
                    missing = name
                    break
            if missing is None:
                return current
            held = None
            if attempt == 0 and not request.own_index:
                held = self._uv.beside_default_index(missing, current, platform)
            if held is not None and held.local == current.local[missing]:
                offered[missing] = Version(held.public)
            incompatibilities += [
                frozenset({(missing, release.version)})
                for release in self._matrix.framework(missing).releases
                if release.version == current.packages[missing]
                or (held is not None and release.version > Version(held.public))
            ]
            current = self._solve(request, incompatibilities)
        name, label = next(iter(answer.local.items()))
        raise self._unoffered(request, name, label)

    def _unoffered(self, request: EnvironmentRequest, name: str, label: str) -> OutsideError:
        """The error for a build that no configured index has, and that only the framework's own index can have."""
        title = self._matrix.framework(name).title
        if request.own_index:
            return UnavailableError(
                f"{request.environment}: the index that `torch-index` names has no `{name}==…+{label}` for Python"
                f" {request.python} on {request.platform}",
                hints=["choose another Python with `--python`, or lock without `--torch-index`"],
            )
        on_cpu = {self._matrix.backends[backend].framework for backend in request.cpu_members}
        on = accelerators.title(CPU if name in on_cpu else request.accelerator)
        brought = {self._matrix.backends[backend].framework for backend in request.members} | on_cpu
        along = ", which `dependencies` bring along," if name in brought else ""
        return UnavailableError(
            f"{request.environment}: {title}{along} for {on} on {request.platform} needs a CPU build"
            f" (`{name}==…+{label}`), and no index or folder that uv is configured for has one for Python"
            f" {request.python}; the plain wheels of the Python package index are CUDA builds",
            hints=[
                f"name {title}'s own CPU index in uv's configuration, as an `[[index]]` of uv.toml, and lock again",
                f"or let kgen take it from there: {self.command(request.as_asked._replace(own_index=True))}",
                "or point UV_FIND_LINKS at a folder that holds such a wheel, with `--python` for the Python it is for",
                "or do without what requires it"
                if along
                else f"or lock the other backends: kgen lock {_others(self._matrix, request)}",
            ],
        )

    def _learn(self, answer: Resolution, unclosed: Unclosed, learned: _LearnedConstraints) -> bool:
        """Note what uv's refusal teaches; False if it names nothing that the solver could change."""
        if learned.ceilings:
            learned.ceilings = ()
            return True
        if self._goes_alone(answer.request, unclosed.named):
            return True
        absent = {name: v for name, v in unclosed.named.items() if f"no version of {name}" in unclosed.reason}
        incompatibility = self._incompatibility(answer, absent) or self._incompatibility(answer, unclosed.named)
        nowhere = any(f"{name} was not found in the package registry" in unclosed.reason for name in answer.packages)
        # no other release of a framework gives a wheel to what the user names
        named = {wish.name for wish in answer.request.dependencies}
        nowhere = nowhere or not named.isdisjoint(refusal.nowhere_usable(unclosed.reason))
        if incompatibility is None or nowhere:
            learned.reason = unclosed.cause
            return False
        learned.reason = learned.reason or unclosed.cause
        learned.incompatibilities.append(incompatibility)
        pins = " with ".join(f"{name} {version}" for name, version in sorted(incompatibility))
        environment = answer.request.environment
        why = f"uv found no solution with it: {unclosed.cause}"
        if len(incompatibility) == 1:
            ((name, incompatible),) = incompatibility
            wanted = self._wanted(name, unclosed.reason)
            if wanted:
                # a round for each release that nothing wants would leave none for one that is wanted
                learned.incompatibilities += [frozenset({(name, one)}) for one in wanted.unwanted]
                why = wanted.why
            else:
                excluding = refusal.excluding(name, incompatible, unclosed.reason)
                if excluding:
                    why = f"which {' and '.join(excluding)} cannot take"
            learned.aside.setdefault(name, SetAside(incompatible, why))
        learned.notes.append(f"{environment}: {pins} was set aside, {why}")
        return True

    def _goes_alone(self, request: EnvironmentRequest, named: Mapping[str, Version]) -> bool:
        """Whether an environment is to have libraries of its own from here on.

        It is if uv refuses one that is only there to be the same as in the other environments.
        """
        if self._wishes(request).isdisjoint(named.items()):
            return False
        self._alone.add(request)
        return True

    def _wishes(self, request: EnvironmentRequest) -> AbstractSet[tuple[str, Version]]:
        """The libraries that an environment has for the sake of others, and would have in another version."""
        ahead = self._ahead.get(request)
        if request in self._alone or not isinstance(ahead, Resolution):
            return frozenset()
        return self._preferred.get(request, {}).items() - ahead.libraries.items()

    def _wanted(self, name: str, reason: str) -> _Wanted | None:
        """Which releases of a framework its dependents exclude, by uv's words; None if these do not tell."""
        if name not in self._matrix.framework_names:
            return None
        versions = [release.version for release in self._matrix.framework(name).releases]
        ranges = refusal.depended_on(name, reason)
        newest = [max((one for one in versions if one in bound), default=None) for _, bound in ranges]
        if not ranges:
            return None
        # where none is wanted that the matrix has, each would only be refused in turn
        last = max((one for one in newest if one is not None), default=newest[0])
        who, bound = ranges[newest.index(last)]
        outside = tuple(one for one in versions if not any(one in bound for _, bound in ranges))
        return _Wanted(f"{who} depends on {name}{bound}", outside)

    def _learn_misfits(self, answer: Resolution, misfits: Sequence[Package], learned: _LearnedConstraints) -> None:
        """Note packages whose wheels do not fit although uv takes them: it knows fewer glibc floors than there are.

        Where the index tells, all releases are ruled out at once that are newer than the newest that fits.
        """
        fitting: Mapping[str, frozenset[Version] | None] | None = None
        for package in misfits:
            learned.reason = learned.reason or f"{package.name} {package.version} has no wheel for the target"
            incompatibility = self._incompatibility(answer, {package.name: package.version or Version("0")})
            if incompatibility is None:
                fitting = fitting or self.fitting_releases(answer.request, [one.name for one in misfits])
                newest = max(fitting[package.name] or (), default=None)
                unfit = {package.version, *(() if newest is None else self._listed[package.name])}
                learned.unfit += tuple(
                    f"{package.name}!={version}"
                    for version in sorted(one for one in unfit if one is not None)
                    if newest is None or version > newest or version == package.version
                )
            else:
                learned.incompatibilities.append(incompatibility)
                pins = " with ".join(f"{name} {version}" for name, version in sorted(incompatibility))
                why = f"{package.name} {package.version} has no wheel for the target"
                learned.notes.append(f"{answer.request.environment}: {pins} was set aside, as {why}")

    def _incompatibility(self, answer: Resolution, named: Mapping[str, Version]) -> Incompatibility | None:
        found = set()
        for name, version in named.items():
            owner = answer.parts.get(name, name)
            # what is only imported is a package by its framework's name, and its build for the CPU by none of its own
            solved = answer.packages.get(name, answer.packages.get(owner))
            if solved is not None and solved.public == version.public:
                found.add((owner, answer.packages[owner]))
            elif answer.libraries.get(name) == version and name in answer.pinned:
                found.add((name, version))
        return frozenset(found) or None

    def _building(
        self, answer: Resolution, wheels: Mapping[str, LockedWheel], placed: Collection[str]
    ) -> Mapping[str, LockedWheel]:
        """The wheels that build the source distributions and source trees among the files."""
        sources = [*(name for name, wheel in wheels.items() if wheel.is_source), *sorted(placed)]
        request = answer.request
        if not sources and not request.project_build:
            return {}
        self._report(request, "resolving what builds from source")
        closed = self._uv.building(sources, answer, self._matrix.platforms[request.platform])
        found: dict[str, LockedWheel] = {}
        if isinstance(closed, Unclosed):
            misfits = [closed.cause]
        else:
            found, packages = self._choose(answer, closed)
            misfits = [f"{package.name} has no wheel for the target" for package in packages]
        if misfits:
            built = " and ".join(sources) or "the project"
            raise UnavailableError(
                f"{request.environment}: what {built} is built with could not be had: {misfits[0]}",
                hints=["check the index that uv is configured for (`uv.toml`, UV_DEFAULT_INDEX)"],
            )
        return found


def facts_of_target(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Mapping[str, str]:
    """Variables that tell uv the driver and the GPUs of a request's machines, where its preview of variants is on."""
    kind, driver = request.accelerator.kind, request.oldest_driver
    came = ((one.version, one.driver_on(request.platform)) for one in matrix.toolkits_of(kind))
    runs = max((version for version, floor in came if driver and floor and reaches(driver, floor)), default=None)
    newest = "" if runs is None else f"{runs.major}.{runs.minor}"
    return accelerators.kind(kind).variant_facts(newest, request.every_gpu)


def with_whole(matrix: CompatibilityMatrix, answer: Resolution, closed: Collection[str]) -> Resolution | None:
    """The resolution with the whole of a framework in the place of its part for the CPU; None where the part will do.

    tensorflow-text requires `tensorflow`, and would bring it beside tensorflow-cpu, which has the same files. Without
    the extra that brings CUDA, the whole computes on the CPU as well, unless another framework's CUDA is one for it.
    """
    asked = {parse_requirement(text).name for text in answer.install}
    doubled = {part: of for part, of in answer.parts.items() if of not in asked and {of, part} <= {*closed}}
    if not doubled:
        return None

    instead = {of: part for part, of in reversed(doubled.items())}

    def replaced(text: str) -> str:
        requirement = parse_requirement(text)
        of = doubled.get(requirement.name)
        return text if of is None else f"{of}{requirement.specifier}"

    return answer._replace(
        install=tuple(map(replaced, answer.install)),
        packages={name: version for name, version in answer.packages.items() if name not in doubled},
        parts={name: of for name, of in answer.parts.items() if name not in doubled},
        why=tuple(
            whole_instead_of_part(matrix, answer, reason, instead[reason.package])
            if reason.package in instead
            else reason
            for reason in answer.why
        ),
    )


def _with_refusal(reason: Reason, aside: Mapping[str, SetAside]) -> Reason:
    """The reason for a version; where only the packages beside it exclude the next release, uv's words about that."""
    ground = aside.get(reason.package)
    unexplained = isinstance(reason.ground, Newer) and reason.ground.hindrance is None
    return reason if ground is None or not unexplained else reason._replace(ground=ground)


def _others(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> str:
    generation = matrix.generation_of(request.backends).name
    return " ".join(name for name in matrix.default_backends(generation) if name not in request.backends)


def _shares(solved: Sequence[Resolution], in_flight: int) -> dict[EnvironmentRequest, int]:
    """How many requests to the index each environment may have in flight: more where uv has more to ask for.

    As many as are closed at a time, whichever these are, keep within the sum.
    """
    sizes = {answer.request: len(answer.install) + len(answer.libraries) for answer in solved}
    largest = sum(sorted(sizes.values())[-CLOSERS:])
    return {request: max(1, in_flight * size // largest) for request, size in sizes.items()}
