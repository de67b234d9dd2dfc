"""Lock requests for conda: refuse, solve, explain, judge. This module writes no file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kgen import accelerators
from kgen.errors import JudgementError, OutsideError
from kgen.fields import BY_NAME
from kgen.formats.conda import FORMAT, condarc, judge, rattlertool
from kgen.formats.conda.condafiles import declared_licences
from kgen.formats.conda.explain import explain, no_modules, not_for_python, suggestions
from kgen.formats.conda.names import Names
from kgen.formats.conda.rattlertool import CondaRecord, Query, Rattler, Unsolvable
from kgen.formats.conda.taken import TakenVersions, others_than, wished, with_most
from kgen.formats.conda.target import MatchSpec, Target, base, driver_runs, refusal, target
from kgen.formats.outcome import Outcome, Summary
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.causes import Origin, Refusal, RefusalKind
from kgen.model.request import EnvironmentRequest
from kgen.model.requestfield import RequestField
from kgen.model.resolution import Conflict

if TYPE_CHECKING:  # importing it takes longer than the rest of this module
    from kgen.formats.wheels.lock import Lock, LockedWheel


@dataclass(frozen=True, kw_only=True)
class CondaLock:
    """A closed conda environment on one platform.

    Attributes:
        target: the target that rattler solved.
        records: the conda packages, sorted by name.
        cuda: the CUDA version of the builds, as major.minor; None on the CPU.
        cudnn: the cuDNN version; None on the CPU.
        wheels: the wheels beside the conda packages, sorted by name.
    """

    target: Target
    records: tuple[CondaRecord, ...]
    cuda: str | None
    cudnn: str | None
    wheels: tuple[LockedWheel, ...] = ()

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each conda package."""
        return {record["name"]: record["version"] for record in self.records}

    @functools.cached_property
    def summary(self) -> Summary:
        """What kgen prints about the lock, with the frameworks under their conda names."""
        versions = self.versions
        backends = self.target.request.backends
        names = [name for name, _ in self.target.carriers] or [name for name in backends if name in versions]
        shown = (*names, KERAS, *(() if names else ("python",)))
        return Summary(
            frameworks={name: versions[name] for name in shown if name in versions},
            runtime=None
            if self.cuda is None
            else Accelerator.numbered(self.target.request.accelerator.kind, self.cuda),
            cudnn=self.cudnn,
            versions={**versions, **{wheel.name: str(wheel.version) for wheel in self.wheels}},
            licences=declared_licences(self.records),
        )

    @property
    def size(self) -> int | None:
        """The download size in bytes; None if the size of a file is not known."""
        sizes = [*(record.get("size") for record in self.records), *(wheel.size for wheel in self.wheels)]
        return None if None in sizes else sum(size for size in sizes if size is not None)


CondaOutcome = Outcome[CondaLock]

_BESIDE = frozenset({RequestField.DEPENDENCY, RequestField.REQUIREMENT, RequestField.CONSTRAINT})
"""The fields that ask for packages beside the frameworks."""
_MOST_TRIED = 24
"""The greatest number of such packages of which kgen finds those that cost a newer framework, a solve for each."""


class CondaSession:
    """One run of the locker for conda over several requests."""

    def __init__(
        self,
        matrix: CompatibilityMatrix,
        channels: Sequence[str],
        open_rattler: Callable[[], Rattler],
        *,
        chosen: Sequence[tuple[str, str]] = (),
        locked: Callable[[EnvironmentRequest], tuple[CondaRecord, ...]] = lambda _request: (),
        taken: TakenVersions | None = None,
    ) -> None:
        """Prepare the session; it reads no channel yet.

        Args:
            matrix: the facts.
            channels: the channels, highest priority first.
            open_rattler: opens rattler once there is something to solve.
            chosen: the conda names of projects from the settings.
            locked: returns the packages of an older lock that kgen keeps where it can.
            taken: the versions of another tool's lock, which kgen takes where they fit.
        """
        self._names = Names.of(matrix, chosen)
        self._there: dict[str, Names] = {}
        self._matrix = matrix
        self._locked = locked
        self._taken = taken or TakenVersions()
        self._channels = tuple(channels)
        self._open = open_rattler
        self._rattler: Rattler | None = None
        self._down: OutsideError | None = None

    def full(self, request: EnvironmentRequest) -> CondaOutcome:
        """Lock everything from conda's channels."""
        outcome = CondaOutcome(request=request, form=FORMAT)
        with _timed(outcome):
            outcome.conflict = self._older(request)
            if outcome.conflict is None:
                asked = self.target(request)
                refused = refusal(self._matrix, request, self._channels)
                if refused is None:
                    self._lock(outcome, asked)
                else:
                    works = suggestions(self._matrix, asked._replace(locked=()), self._solve)
                    outcome.conflict = refused._replace(suggestions=tuple(works))
        return outcome

    def base(self, request: EnvironmentRequest, wheels: Lock) -> CondaOutcome:
        """Lock Python and what it needs from conda's channels, and all else as the wheels of a lock.

        A package that both have comes from conda, in the wheel's version if the channel has that.
        """
        outcome = CondaOutcome(request=request, form=FORMAT)
        with _timed(outcome):
            outcome.conflict = self._older(request)
            if outcome.conflict is not None:
                return outcome
            asked = base(self._matrix, request, self._channels, self._names)._replace(locked=self._locked(request))
            self._lock(outcome, asked)
            if outcome.lock is None:
                return outcome
            there = judge.packages_of(asked.names, {one["name"]: one for one in outcome.lock.records})
            shared = [wheel for wheel in wheels.wheels if wheel.name in there]
            if shared:
                pins = [MatchSpec(f"{there[one.name]} =={one.version}", Origin.WHEELS, asked=False) for one in shared]
                found = self._solve(asked._replace(specs=(*asked.specs, *pins)).query())
                if isinstance(found, list):
                    outcome.lock = dataclasses.replace(outcome.lock, records=tuple(found))
                else:
                    other = [
                        f"{there[wheel.name]} {outcome.lock.versions[there[wheel.name]]} (as a wheel {wheel.version})"
                        for wheel in shared
                    ]
                    outcome.notes.append(f"{request.environment}: from conda in another version: {', '.join(other)}")
            provided = judge.packages_of(asked.names, {one["name"]: one for one in outcome.lock.records})
            rest = tuple(wheel for wheel in wheels.wheels if wheel.name not in provided)
            self._judge(outcome, asked, outcome.lock.records, rest)
        return outcome

    def target(self, request: EnvironmentRequest) -> Target:
        """The target of a request that is locked from conda's channels alone."""
        asked = target(self._matrix, request, self._channels, self.names(request))
        return asked._replace(locked=self._locked(request))

    def names(self, request: EnvironmentRequest) -> Names:
        """The conda names of a request's projects; kgen reads the channels for names that it does not know."""
        wanted = (*request.requirements, *request.dependencies, *request.constraints)
        if all(self._names.is_settled(one.name) and not one.extras for one in wanted):
            return self._names
        if request.platform not in self._there:
            found = self._down or self.open().names(self._channels, request.platform)
            if isinstance(found, OutsideError):
                self._down = found
                return self._names
            self._there[request.platform] = self._names.asked(found)
        return self._there[request.platform]

    def _older(self, request: EnvironmentRequest) -> Conflict | None:
        """The refusal of a request for a generation that the matrix has no conda packages for."""
        generation = self._matrix.generation_of(request.backends)
        if generation.name == next(iter(self._matrix.generations)):
            return None
        return Conflict(
            request=request,
            refusals=(Refusal(RefusalKind.WHEELS_ONLY, (generation.title,)),),
            causes=(),
            suggestions=(),
        )

    def give_up(self, error: OutsideError) -> None:
        """Stop asking channels: one does not answer, and would make every environment wait."""
        self._down = error

    def open(self) -> Rattler:
        """Rattler, which the first call opens.

        Raises:
            KgenError: it cannot be opened.
        """
        if self._rattler is None:
            self._rattler = self._open()
        return self._rattler

    # -- one request -----------------------------------------------------------------------------------------------

    def _lock(self, outcome: CondaOutcome, asked: Target) -> None:
        environment = outcome.request.environment
        outcome.notes += [f"{environment}: {remark}" for remark in asked.remarks]
        found = self._solve(asked.query())
        if asked.preferences and isinstance(found, list):
            preferred = self._solve(asked.query(preferring=True))
            older = self._older_frameworks(asked, preferred, found) if isinstance(preferred, list) else {}
            if isinstance(preferred, list) and not older:
                found = preferred
            elif not isinstance(preferred, OutsideError):
                version = {one["name"]: one["version"] for one in found}.get(self._matrix.conda.version)
                kind, runs = accelerators.kind(self._matrix.conda.kind), driver_runs(self._matrix, outcome.request)
                instead = ", ".join(f"{name} {old}" for name, old in older.items())
                outcome.notes.append(
                    f"{environment}: conda's builds bring {kind.title} {version}, newer than driver"
                    f" {outcome.request.oldest_driver} ({kind.title} {runs}):"
                    " minor-version compatibility, code that is compiled at run time needs a newer driver"
                    + (f"; `{BY_NAME[kind.name].flag} {runs}` gives {instead}" if instead else "")
                )
        outcome.remarks += (*self.open().remarks, *condarc.overridden())
        if isinstance(found, OutsideError):
            outcome.error = found
        elif isinstance(found, Unsolvable):
            outcome.tree = found.tree
            outcome.conflict = explain(self._matrix, asked, self._solve)
        else:
            outcome.notes += [f"{environment}: {one}" for one in self._aged_by_wishes(asked, found)]
            outcome.notes += [f"{environment}: {one}" for one in self._aged_by_glibc(asked, found)]
            outcome.notes += [f"{environment}: {one}" for one in self._kept(asked, found)]
            outcome.notes += [f"{environment}: {one}" for one in self._undated(asked, found)]
            records = self._with_taken(outcome, asked, found)
            others = no_modules(asked, records)
            if others:
                outcome.conflict = not_for_python(self._matrix, asked, others, self._solve)
            else:
                self._judge(outcome, asked, records, ())

    def _with_taken(self, outcome: CondaOutcome, asked: Target, found: Sequence[CondaRecord]) -> Sequence[CondaRecord]:
        """The packages with as many versions of another tool's lock as fit; a note names the others."""
        versions = self._taken.of.get(asked.request.platform)
        if not versions:
            return found
        wishes = wished(asked, found, versions)
        best = with_most(asked, found, wishes, self._solve)
        number, others = others_than(best, wishes)
        if wishes:
            said = f"; otherwise: {', '.join(others)}" if others else ""
            outcome.notes.append(
                f"{outcome.request.environment}: {number} versions of {self._taken.source} for conda{said}"
            )
        return best

    def _aged_by_wishes(self, asked: Target, found: Sequence[CondaRecord]) -> Iterator[str]:
        """A note on frameworks that are older because of requested packages, naming these packages."""
        frameworks = {name for name, _ in asked.carriers} | {*self._matrix.conda.frameworks[KERAS].packages}
        wishes = [
            wish
            for wish in (*asked.specs, *asked.constraints)
            if wish.source in _BESIDE and wish.package not in frameworks
        ]
        older = self._newer_without(asked, wishes, found) if wishes else {}
        if not older:
            return
        dropped = wishes
        for wish in wishes if len(wishes) <= _MOST_TRIED else ():
            fewer = [one for one in dropped if one != wish]
            if fewer and self._newer_without(asked, fewer, found) == older:
                dropped = fewer
        named = ", ".join(dict.fromkeys(wish.spec for wish in dropped))
        versions = {one["name"]: one["version"] for one in found}
        instead = ", ".join(f"{name} {versions[name]} instead of {version}" for name, version in older.items())
        yield f"conda has {instead} for {named}"

    def _aged_by_glibc(self, asked: Target, found: Sequence[CondaRecord]) -> Iterator[str]:
        """A note on frameworks that are older because of the requested glibc."""
        request = asked.request
        usual = self._matrix.platforms[request.platform].glibc
        if request.glibc is None or usual is None or request.glibc >= usual:
            return
        virtuals = tuple(sorted({**dict(asked.virtuals), "__glibc": str(usual)}.items()))
        newer = self._newer_in(asked._replace(virtuals=virtuals), asked, found)
        if newer:
            versions = {one["name"]: one["version"] for one in found}
            instead = ", ".join(f"{name} {versions[name]} instead of {version}" for name, version in newer.items())
            yield f"conda has {instead} for glibc {request.glibc}; `{BY_NAME['glibc'].flag} {usual}` gives these"

    def _kept(self, asked: Target, found: Sequence[CondaRecord]) -> Iterator[str]:
        """A note on frameworks that stay older because the lock has them."""
        newer = self._newer_without(asked._replace(locked=()), (), found) if asked.locked else {}
        has = {one["name"]: one["version"] for one in asked.locked}
        versions = {one["name"]: one["version"] for one in found}
        kept = [f"{name} {versions[name]} ({new} is there)" for name, new in newer.items() if name in has]
        if kept:
            yield f"conda keeps {', '.join(kept)}; `kgen lock --upgrade` takes the newest"

    def _undated(self, asked: Target, found: Sequence[CondaRecord]) -> Iterator[str]:
        """A note on requested packages that are older because the newer ones have no publishing date."""
        # conda's main channel has the date of every package
        if asked.cutoff is None or asked.channels == (self._matrix.conda.channel,):
            return
        free = self._solve(asked._replace(undated=True).query())
        if not isinstance(free, list):
            return
        wanted = {wish.package for wish in asked.specs}
        older = _older((one["name"] for one in free if one["name"] in wanted), found, free)
        versions = {one["name"]: one["version"] for one in free}
        instead = [f"{name} {version} instead of {versions[name]}" for name, version in older.items()]
        if instead:
            yield (f"conda has {', '.join(instead)} for `exclude-newer`: channels do not say when these were published")

    def _newer_without(
        self, asked: Target, wishes: Sequence[MatchSpec], found: Sequence[CondaRecord]
    ) -> dict[str, str]:
        """The frameworks that are newer without these wishes, with the newer versions."""
        fewer = asked._replace(
            specs=tuple(one for one in asked.specs if one not in wishes),
            constraints=tuple(one for one in asked.constraints if one not in wishes),
        )
        return self._newer_in(fewer, asked, found)

    def _newer_in(self, other: Target, asked: Target, found: Sequence[CondaRecord]) -> dict[str, str]:
        """The frameworks that are newer for another target, with the newer versions."""
        free = self._solve(other.query())
        if not isinstance(free, list) or not self._older_frameworks(asked, found, free):
            return {}
        versions = {one["name"]: one["version"] for one in free}
        return {name: versions[name] for name in self._older_frameworks(asked, found, free)}

    def _older_frameworks(
        self, asked: Target, preferred: Sequence[CondaRecord], found: Sequence[CondaRecord]
    ) -> dict[str, str]:
        """The frameworks, and Keras, that are older in the first solution, with their versions in it."""
        keras = self._matrix.conda.frameworks[KERAS].packages
        return _older((*(name for name, _ in asked.carriers), *keras), preferred, found)

    def _judge(
        self,
        outcome: CondaOutcome,
        asked: Target,
        records: Sequence[CondaRecord],
        wheels: tuple[LockedWheel, ...],
    ) -> None:
        wrong = judge.faults(self._matrix, asked, records, wheels)
        if wrong:
            listed = "\n".join(f"  {fault}" for fault in wrong)
            outcome.lock = None
            outcome.error = JudgementError(
                f"{outcome.request.environment}: the environment that rattler solved for {outcome.request.platform}"
                f" is not fit to be written\n{listed}",
                hints=["look at `dependencies` and `channels`: one of them brings these in"],
            )
            return
        versions, conda = {one["name"]: one["version"] for one in records}, self._matrix.conda
        brought = judge.brought_for_cpu(self._matrix, asked, records)
        outcome.notes += [f"{outcome.request.environment}: {one}" for one in brought]
        outcome.lock = CondaLock(
            target=asked,
            records=tuple(records),
            cuda=versions.get(conda.version),
            cudnn=next((versions[name] for name in conda.cudnn if name in versions), None),
            wheels=wheels,
        )

    def _solve(self, query: Query) -> list[CondaRecord] | Unsolvable | OutsideError:
        if self._down is not None:  # a channel that does not answer fails for every environment
            return self._down
        (answer,) = self.open().solve([query])
        if isinstance(answer, OutsideError):
            self._down = answer
        return answer


@contextlib.contextmanager
def _timed(outcome: CondaOutcome) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        outcome.seconds += time.monotonic() - started


def _older(names: Iterable[str], preferred: Sequence[CondaRecord], found: Sequence[CondaRecord]) -> dict[str, str]:
    """The packages that are older in the first solution than in the second, with their versions in the first."""
    first, second = ({one["name"]: one["version"] for one in some} for some in (preferred, found))
    return {
        name: first[name]
        for name in names
        if name in first and name in second and rattlertool.is_older(first[name], second[name])
    }
