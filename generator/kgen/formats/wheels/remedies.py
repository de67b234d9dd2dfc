"""Commands and settings that help where kgen cannot lock a request; kgen tries each one before it prints it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NoReturn

from packaging.version import Version

from kgen import accelerators, host, uvsettings, uvtool
from kgen.errors import JudgementError, OutsideError, UnavailableError
from kgen.fields import allow_build_command
from kgen.formats.wheels import refusal
from kgen.formats.wheels.closer import Closer, Unclosable
from kgen.formats.wheels.closure import Closed
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.causes import LockFault, OverlappingFiles
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement, canonical_name
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.resolve import solve

_BUILDS = 4
"""How often kgen adds to what is to be built from source what uv then names: each time, uv resolves all of it."""

_SAID_OTHERWISE = {"python": "`--python` chooses an environment's Python"}
_OF_CONDA = {
    "cuda": "`--cuda` chooses CUDA, and wheels bring it along",
    "parts": "the wheels of the frameworks bring along what they need of CUDA",
    "builds": "`--cpu`, `--cuda` and the like choose the builds of frameworks",
    "system": "it is of the system or of conda, and the Python package index does not have it (or check the name)",
}
"""What to do without packages that only conda has, by their kinds."""


def _where_to_look(request: EnvironmentRequest, reason: str) -> str:
    """Which requirements exclude each other, where uv speaks of what the user names alone."""
    named = dict.fromkeys(one.name for one in (*request.dependencies, *request.constraints) if one.name in reason)
    if named and " depends on " not in reason:
        return f"look at what requires {' and '.join(named)}: dependencies, files of requirements and of constraints"
    return "look at `dependencies` and `--require`: uv found them to exclude the frameworks"


def _no_such_version(wish: Requirement) -> str:
    return f"check the version: the index has none of {wish.name} that is {wish.specifier}"


class Remedies:
    """Finds requests that can be locked in the place of one that cannot."""

    def __init__(
        self, matrix: CompatibilityMatrix, closer: Closer, made_fit: Callable[[Closed], Closed | None]
    ) -> None:
        """Prepare; nothing is tried.

        Args:
            matrix: the facts.
            closer: resolves what is tried.
            made_fit: judges a resolution as the locker does, and resolves again what judging teaches; None where no
                lock would be written.
        """
        self._matrix = matrix
        self._closer = closer
        self._made_fit = made_fit

    def require_accelerator(self, request: EnvironmentRequest) -> None:
        """Refuse dependencies whose names say that they are for another major, before uv looks for them in vain.

        Raises:
            JudgementError: there is such a dependency.
        """
        wanted, others = request.accelerator.whole, self._matrix.named_for_another(request)
        if not others:
            return
        renamed = tuple(
            Requirement(self._matrix.named_for(wish.name, wanted)) if wish in others else wish
            for wish in request.dependencies
        )
        names = [one.name for one in renamed if one not in request.dependencies]
        listed = "".join(
            f"\n  you asked for {wish} (dependencies), which is of {accelerators.title(own)}"
            for wish, own in others.items()
        )
        raise JudgementError(
            f"{request.environment}: what is asked for is of another {accelerators.kind(wanted.kind).title} than the"
            f" environment, which is for {accelerators.title(wanted)}{listed}",
            hints=[
                *self._tried(request._replace(dependencies=renamed), *names),
                *self.on_another_accelerator(request, others.values()),
            ],
        )

    def refuse(self, unclosable: Unclosable) -> NoReturn:
        """Refuse a request that uv could not resolve, with what to do about it.

        Raises:
            UnavailableError: always.
        """
        request, reason = unclosable
        raise UnavailableError(
            f"{request.environment}: uv finds no solution in the index that it is configured for\n{reason}",
            hints=self._for_unclosable(request, reason),
        )

    def _for_unclosable(self, request: EnvironmentRequest, reason: str) -> Iterator[str]:
        named = {wish.name for wish in request.dependencies}
        absent, without_wheels = refusal.absent(reason), refusal.without_wheels(reason)
        # an index that lacks what kgen itself asks for by version has nothing of it, or is none
        absent += [name for name in refusal.unmatched(reason) if name not in named]
        renamed = list(self._renamed(request, absent, without_wheels))
        if absent or renamed:
            yield from (
                renamed
                or list(self._of_conda_alone(request, absent))
                or ["check the name, and that the index (`uv.toml`, UV_DEFAULT_INDEX) is one and has it"]
            )
            return
        if uvtool.VARIANTS in reason:
            yield (
                "require a release of it that has a wheel without a variant's label: variants are drafts (PEP 817, 825"
                " and 850), and uv writes none into a lock"
            )
            return
        fitting = self._closer.fitting_releases(request, [name for name in without_wheels if name in named])
        # of one that has wheels which fit, it is something else that rules them out, whatever uv says of other releases
        without_wheels = [name for name in without_wheels if not fitting.get(name)]
        names = [name for name in without_wheels if name not in request.build]
        built = self._to_be_built(request, names) if names else ()
        if built:
            more = request._replace(build=(*request.build, *map(canonical_name, built)))
            yield f"{self._closer.command(more.as_asked)}   # builds {', '.join(built)} from source"
            yield f"or let the settings allow it: {allow_build_command(more.build)}"
            return
        if names:
            yield from self._on_newer_glibc(request, names)
            yield self._by_hand(request, reason, names)
        elif without_wheels:  # which may be built, and cannot be
            yield self._by_hand(request, reason, without_wheels)
        else:
            general = _where_to_look(request, reason)
            loose = list(self.unbounded(request, [one.name for one in request.dependencies if one.name in reason]))
            missing = [one for one in request.dependencies if one.name in refusal.unmatched(reason)]
            without = [] if loose and missing else list(map(_no_such_version, missing)) or [general]
            yield from self._withdrawn(request, reason) or without
            yield from self._of_later_day(request, reason)
            yield from loose
            yield from self._for_what_is_needed(request, reason)
        yield from self._on_other_python(request, names)

    def _withdrawn(self, request: EnvironmentRequest, reason: str) -> list[str]:
        """What to do about dependencies that only withdrawn releases fulfil; empty where there are none."""
        hints = []
        for wish in request.dependencies:
            releases = [version for name, version in refusal.yanked(reason) if name == wish.name]
            if not releases or wish.url is not None or self._closer.cancelled:
                continue
            exact = Requirement(f"{wish.head}=={releases[-1]}")
            others = tuple(exact if one is wish else one for one in request.dependencies)
            without = f"do without {wish.name} {releases[-1]}, which its makers have withdrawn"
            tried = list(self._tried(request._replace(dependencies=others), wish.name))
            hints.append(f"{without}; or take it all the same: {tried[0]}" if tried else without)
        return hints

    def _of_later_day(self, request: EnvironmentRequest, reason: str) -> Iterator[str]:
        """Which setting ignores releases after a day, where that excludes what the request needs."""
        named = [wish.name for wish in request.dependencies if wish.name in reason]
        days = uvsettings.days_of_packages(request.uv)
        for name in named:
            if days.get(name) is not None:
                yield f"look at `exclude-newer-package` in uv's settings: of {name}, nothing after {days[name]} counts"
        found = self.closed(request._replace(cutoff=None)) if named and request.cutoff is not None else None
        if found is not None:
            given = self.given(found, *named)
            yield f"or name a later day than {request.cutoff} as `exclude-newer`: without one, it gives {given}"

    def _renamed(self, request: EnvironmentRequest, absent: Sequence[str], unusable: Sequence[str]) -> Iterator[str]:
        """The command with the right name of a project, for each dependency whose name the index does not know.

        Args:
            request: the request.
            absent: the projects that no index has.
            unusable: the projects without a usable wheel; kgen renames those that the matrix lists as wrong names.
        """
        for wish in request.dependencies:
            meant = None
            if wish.name in absent:
                meant = self._matrix.meant_by(wish.name)
            elif wish.name in unusable:
                meant = self._matrix.other_name_of(wish.name)
            if meant is None or wish.url is not None or self._closer.cancelled:
                continue
            others = tuple(Requirement(meant) if one is wish else one for one in request.dependencies)
            asked = request._replace(dependencies=tuple(dict.fromkeys(others)))
            yield from list(self._tried(asked, meant)) or [f"did you mean `{meant}`?"]

    def _of_conda_alone(self, request: EnvironmentRequest, absent: Sequence[str]) -> Iterator[str]:
        """What to do about dependencies by names that only conda knows, as `cudatoolkit` and `python`."""
        from kgen import conda_only  # noqa: PLC0415 - few refusals are about a name that is nowhere

        for wish in request.dependencies:
            known = conda_only.packages()
            if wish.name not in absent:
                continue
            told = _SAID_OTHERWISE.get(wish.name) or _OF_CONDA.get(known.kind_of(wish.name) or "")
            if wish.name in known.projects:
                yield f"did you mean `{known.projects[wish.name]}`? {wish.name} is what conda calls it"
            elif told is not None:
                yield f"do without {wish.name}: {told}"

    def unbounded(self, request: EnvironmentRequest, blamed: Collection[str]) -> Iterator[str]:
        """The command without the bound of a dependency that uv blames, for each where that command locks."""
        for wish in request.dependencies:
            if wish.name not in blamed or wish.url is not None or not wish.specifier or self._closer.cancelled:
                continue
            free = Requirement(wish.head)
            others = tuple(free if one is wish else one for one in request.dependencies)
            yield from self._tried(request._replace(dependencies=others), wish.name)

    def _for_what_is_needed(self, request: EnvironmentRequest, reason: str) -> Iterator[str]:
        """The commands that give the framework that a dependency needs, as `torchvision` its `torch`, if they lock."""
        frameworks = {self._matrix.backends[backend].framework for backend in request.backends}
        for name, bound in refusal.bounds(reason):
            if name not in frameworks:
                continue
            needed = Requirement(f"{name}{bound}")
            answer = solve(self._matrix, request._replace(constraints=(*request.constraints, needed), held=()))
            for suggestion in answer.suggestions if isinstance(answer, Conflict) else ():
                (changed, *others) = suggestion.requests
                if others or needed not in changed.constraints or self._closer.cancelled:
                    continue
                yield from self._tried(changed._replace(constraints=request.constraints))

    def _tried(self, request: EnvironmentRequest, *more: str) -> Iterator[str]:
        """The command for a request and what it gives, if it locks.

        Args:
            request: the request.
            more: packages whose versions are named beside those of the frameworks.
        """
        found = self.closed(request)
        if found is not None:
            yield self._gives(request, found, *more)

    def _gives(self, request: EnvironmentRequest, found: Closed, *more: str) -> str:
        return f"{self._closer.command(request.as_asked)}   # gives {self.given(found, *more)}"

    def closed(self, request: EnvironmentRequest) -> Closed | None:
        """The resolution of a request that keeps nothing of an old lock; None where no lock would be written."""
        found = self._resolved(request)
        return self._fit(found) if isinstance(found, Closed) else None

    def _resolved(self, request: EnvironmentRequest) -> Closed | Conflict | Unclosable | None:
        """What closing a request comes to that keeps nothing of an old lock; None where something outside failed."""
        try:
            return self._closer.close(request.as_asked, [])
        except OutsideError:
            return None

    def _fit(self, found: Closed) -> Closed | None:
        """A resolution that is fit to be written; None where it is not made so."""
        try:
            return self._made_fit(found)
        except OutsideError:
            return None

    def _on_newer_glibc(self, request: EnvironmentRequest, names: Sequence[str]) -> Iterator[str]:
        """The command for machines with the newer glibc that wheels of these packages need, if it locks."""
        platform = self._matrix.platforms[request.platform]
        floor = request.glibc or platform.glibc
        tried = self._closer.fitting_releases(request, names)
        for glibc in platform.uv_glibc:
            if floor is None or glibc <= floor or self._closer.cancelled:
                continue
            newer = request._replace(glibc=glibc)
            fitting = self._closer.fitting_releases(newer, names)
            # for the same releases uv would find no solution once more
            if frozenset() in fitting.values() or (fitting == tried and None not in fitting.values()):
                continue
            tried = fitting
            found = list(self._tried(newer, *names))
            yield from found
            if found:
                return

    def _by_hand(self, request: EnvironmentRequest, reason: str, names: Sequence[str]) -> str:
        """Where to put wheels that no index has, and how to make them where there are sources."""
        wheels = f"a wheel of {' and of '.join(names)}"
        return (
            f"name a folder with {wheels} for {request.platform} and Python {request.python} in UV_FIND_LINKS: no index"
            f" has one that fits{_built_by_hand(request, refusal.source_only(reason), names)}"
        )

    def _to_be_built(self, request: EnvironmentRequest, names: Sequence[str]) -> Sequence[str]:
        """What has to be built from source for the request to lock: these, and what uv only names after them.

        Empty where it does not lock so, either.
        """
        wanted = list(names)
        for _ in range(_BUILDS):
            more = request._replace(build=(*request.build, *map(canonical_name, wanted)))
            try:
                found = self._closer.close(more.as_asked, []) if self._closer.builds else None
                if isinstance(found, Closed):
                    return wanted if self._made_fit(found) is not None else ()
            except OutsideError:
                return ()
            others = refusal.without_wheels(found.reason) if isinstance(found, Unclosable) else ()
            others = [name for name in others if name not in more.build]
            if not others or self._closer.cancelled:
                return ()
            wanted += others
        return ()

    def can_build(self, request: EnvironmentRequest, names: Sequence[str]) -> bool:
        """Whether the request locks once uv may build these packages from source."""
        more = request._replace(build=(*request.build, *map(canonical_name, names)))
        return self._closer.builds and self.closed(more) is not None

    def _on_other_python(self, request: EnvironmentRequest, wanting: Sequence[str] = ()) -> Iterator[str]:
        """The command for the newest other Python for which the request locks, if there is one.

        Args:
            request: the request.
            wanting: what has no wheel for the Python of the request.
        """
        pythons = self._matrix.generation_of(request.backends).pythons
        nearly: Unclosable | None = None
        for row in reversed(self._matrix.pythons):
            if row.version == request.python or Version(row.version) not in pythons or self._closer.cancelled:
                continue
            moved = request.as_asked._replace(python=row.version)
            if not self._closer.may_have_wheels(moved, wanting):
                continue
            answer = solve(self._matrix, moved)
            if not isinstance(answer, Resolution) or answer.local:
                continue
            closed = self._resolved(moved)
            found = None if not isinstance(closed, Closed) else self._fit(closed)
            if found is not None:
                if request.python_open:
                    self._closer.suggest_python(row.version)
                yield self._gives(moved, found)
                return
            if isinstance(closed, Unclosable) and nearly is None:
                nearly = closed
        if nearly is not None and wanting:
            yield from self._with_wheels_made(nearly, wanting)

    def _with_wheels_made(self, unclosable: Unclosable, wanting: Sequence[str]) -> Iterator[str]:
        """The command for another Python once wheels were made for it, which what is wanted has wheels for itself."""
        request, reason = unclosable
        lacking = [name for name in refusal.without_wheels(reason) if name not in wanting]
        made = _built_by_hand(request, refusal.source_only(reason), lacking) if lacking else ""
        if made:
            without = f"for Python {request.python} there is a wheel of {' and '.join(wanting)}, and none of"
            command = f"UV_FIND_LINKS=wheels {self._closer.command(request.as_asked)}"
            yield f"{without} {' and of '.join(lacking)}{made}, and then: {command}"

    def on_another_accelerator(self, request: EnvironmentRequest, owners: Collection[Accelerator]) -> Iterator[str]:
        """The command for the one accelerator that all these packages are for, if there is one and it locks."""
        meant = {*owners}
        if len(meant) != 1 or self._closer.cancelled:
            return
        other = request._replace(accelerator=meant.pop(), driver=None, gpus=(), targets=())
        found = list(self._tried(other))
        if not found and request.python_open:
            # a Python that was chosen for this accelerator may be too new for those packages; it stays the choice here
            found = list(self._on_other_python(other._replace(python_open=False)))
        yield from found

    def given(self, found: Closed, *more: str) -> str:
        """These packages and the frameworks of a resolution, with their versions."""
        frameworks = (name for name in found.resolution.packages if name in self._matrix.framework_names)
        # a framework is called as the solver calls it: its package for the CPU may be another
        versions = {**found.resolution.packages, **found.versions}
        return ", ".join(f"{name} {versions[name]}" for name in dict.fromkeys((*more, *frameworks)) if name in versions)


def _built_by_hand(request: EnvironmentRequest, sources: Mapping[str, str | None], names: Sequence[str]) -> str:
    """How to make the wheels that are wanting, where all of them have sources and are for machines like this one."""
    if request.platform != host.subdir() or not sources.keys() >= {*names}:
        return ""
    from kgen.formats.wheels import source  # noqa: PLC0415 - few refusals are about sources

    releases = [f"{name}=={sources[name]}" if sources[name] else name for name in names]
    return f"; `{source.by_hand(request, *releases)}` builds {'one' if len(names) == 1 else 'them'} from source"


def allowing(
    request: EnvironmentRequest,
    faults: Sequence[LockFault],
    decided: Collection[str],
    command: Callable[[EnvironmentRequest], str],
) -> Iterator[str]:
    """The command that allows overlapping files, where the judgement found nothing else.

    Never for two that share a framework's files, as keras and keras-nightly: the environment would have half of each.
    """
    overlaps = [one for one in faults if isinstance(one, OverlappingFiles)]
    pairs = [f"{one.first}+{one.second}" for one in overlaps]
    if len(pairs) == len(faults) and not any({one.first, one.second} & {*decided} for one in overlaps):
        allowed = tuple(dict.fromkeys((*request.allow_overlap, *pairs)))
        yield (
            "or lock both, if it does not matter to you whose file is installed:"
            f" {command(request._replace(allow_overlap=allowed, held=()))}"
        )
