"""Plans moving a project's environments to another accelerator: what moves, what waits, and what is left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

from kgen import accelerators
from kgen.actions import machines
from kgen.actions.request_flags import RequestFlags
from kgen.actions.solve import solve
from kgen.errors import UsageError
from kgen.explain import report
from kgen.explain.causes import cause_text
from kgen.explain.moves import Waiting
from kgen.fields import ACCELERATORS, accelerator_words, lock_command
from kgen.matrix.candidates import BuildTarget, candidate, is_doubtful, locked_build, serves
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build, Framework, Release
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Conflict, Resolution
from kgen.project import find_root
from kgen.settings import read
from kgen.solver.sharing import solve_together


class PackageMove(NamedTuple):
    """A package of the matrix, before and after.

    Attributes:
        name: its normalised name.
        old: its version before; None if there was no solution.
        new: its version after.
    """

    name: str
    old: str | None
    new: str


class Gpu(NamedTuple):
    """A GPU by its product name.

    Attributes:
        name: the product.
        architecture: the architecture that code is compiled for.
    """

    name: str
    architecture: str


class EnvironmentMove(NamedTuple):
    """What becomes of an environment on a platform.

    Attributes:
        old: the present environment.
        nothing_before: why there is no such environment to move from, so that this one is new; empty if there is one.
        new: the name after the move.
        platform: the platform.
        python: the Python after; the one before if it cannot move; None if there is neither.
        moves: the packages that change; () if it waits.
        driver: the driver that it needs before and after; None if none is known.
        waits_for: the frameworks that have no build for it.
        waiting: titles of the other frameworks in the environment, which wait for those.
        obstacle: why it cannot move although every framework has a build, and the source of that; () if it can, or
            waits.
        leaves: GPUs that run it now and would not after the move.
        gains: GPUs that do not run it now and would after the move.
        command: the command that locks it; empty if it cannot move.
    """

    old: str
    nothing_before: str
    new: str
    platform: str
    python: str | None
    moves: tuple[PackageMove, ...]
    driver: tuple[str | None, str | None]
    waits_for: tuple[Waiting, ...]
    waiting: tuple[str, ...]
    obstacle: tuple[str, ...]
    leaves: tuple[Gpu, ...]
    gains: tuple[Gpu, ...]
    command: str

    @property
    def name(self) -> str:
        """Its name, before and after."""
        return self.new if self.nothing_before else f"{self.old} -> {self.new}"

    @property
    def can_move(self) -> bool:
        """Whether it can be locked for the requested accelerator."""
        return bool(self.command)


class MovePlan(NamedTuple):
    """The plan of a move.

    Attributes:
        old: the accelerator before.
        new: the accelerator after.
        environments: what becomes of each environment on each platform.
        unaffected: environments that compute only on the CPU.
        notes: choices that kgen made.
    """

    old: Accelerator
    new: Accelerator
    environments: tuple[EnvironmentMove, ...]
    unaffected: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every environment can move."""
        return all(one.can_move for one in self.environments)


def plan_move(asked: RequestFlags, matrix: CompatibilityMatrix, folder: Path) -> MovePlan:
    """Plan a move to the requested accelerator.

    The state before comes from the settings and the locks. If the settings name no other version of the same kind, it
    is the major before the new one.

    Args:
        asked: the flags of the call, with the accelerator to move to.
        matrix: the facts.
        folder: a folder of the project.

    Raises:
        UsageError: no accelerator with versions is requested, or the request is invalid.
        SettingsError: the settings are wrong.
    """
    new = machines.accelerator_of(asked.flags, matrix)
    if new is None or new == CPU or not new.version:
        raise UsageError(
            "kgen plan needs the version to move to",
            hints=[f"kgen plan --{kind.name} {max(matrix.majors(kind.name))}" for kind in _versioned(matrix)],
        )
    old = _before(new, read(find_root(folder), matrix).accelerator, matrix)
    flags = {name: raw for name, raw in asked.flags.items() if name not in {field.name for field in ACCELERATORS}}
    after = solve(asked, matrix, folder)  # first: an error about the request repeats the words that the user typed
    before = solve(asked._replace(flags={**flags, old.kind: old.number}), matrix, folder)
    answers = {_key(one.request): one for one in before.answers}
    moves, unaffected = [], []
    for answer in after.answers:
        if answer.request.accelerator == CPU:
            unaffected.append(answer.request.environment)
        else:
            moves.append(_move(matrix, old, answers.get(_key(answer.request)), answer))
    notes = tuple(dict.fromkeys((*before.plan.notes, *after.plan.notes)))
    return MovePlan(old, new, tuple(moves), tuple(dict.fromkeys(unaffected)), notes)


def _versioned(matrix: CompatibilityMatrix) -> list[accelerators.Kind]:
    return [kind for kind in accelerators.probed() if kind.versioned and matrix.majors(kind.name)]


def _before(new: Accelerator, settled: Accelerator | None, matrix: CompatibilityMatrix) -> Accelerator:
    """The accelerator before: that of the settings, or else the major before the new one.

    Raises:
        UsageError: there is none before.
    """
    if settled is not None and settled.kind == new.kind and settled.version and settled.whole != new.whole:
        return settled
    older = [major for major in matrix.majors(new.kind) if major < (new.major or 0)]
    if not older:
        first = accelerators.title(new.whole)
        raise UsageError(
            f"the matrix knows nothing before {first} to move from",
            hints=[f"kgen solve {' '.join(accelerator_words(new))}"],
        )
    return Accelerator(new.kind, (max(older),))


def _key(request: EnvironmentRequest) -> tuple[str, str, tuple[str, ...]]:
    return request.name, request.platform, request.backends


def _move(
    matrix: CompatibilityMatrix, old: Accelerator, before: Resolution | Conflict | None, after: Resolution | Conflict
) -> EnvironmentMove:
    request = after.request
    was = before if isinstance(before, Resolution) else None
    then, obstacle = _answer(matrix, after)
    frameworks = [
        matrix.framework(name)
        for name in dict.fromkeys(matrix.backends[backend].framework for backend in request.backends)
        if name in matrix.accelerated_frameworks
    ]
    waits = () if then is not None else tuple(_waiting(matrix, request, frameworks))
    names = {one.framework for one in waits}
    builds = [() if one is None else tuple(_builds(matrix, one)) for one in (was, then)]
    sides = (old, request.accelerator)
    leaves, gains = ((), ()) if was is None else _gpus(matrix, sides, request.platform, builds, (was, then))
    name = was.request.environment if was is not None else request._replace(accelerator=old).environment
    return EnvironmentMove(
        old=name,
        nothing_before=report.message(before._replace(refusals=before.refusals[:1]))
        if isinstance(before, Conflict)
        else "",
        new=request.environment,
        platform=request.platform,
        python=None if then is None and was is None else (then or was or after).request.python,
        moves=() if then is None else tuple(_packages(was, then)),
        driver=(_driver(was), _driver(then)),
        waits_for=waits,
        waiting=tuple(one.title for one in frameworks if waits and one.name not in names),
        obstacle=() if waits else obstacle,
        leaves=leaves,
        gains=gains if then is not None else (),
        command=lock_command(request) if isinstance(after, Resolution) else "",
    )


def _answer(matrix: CompatibilityMatrix, after: Resolution | Conflict) -> tuple[Resolution | None, tuple[str, ...]]:
    """What would be locked; if only the named machines prevent that, the lock for any machine, and what prevents it."""
    if isinstance(after, Resolution):
        return after, ()
    why = (report.message(after), *(cause_text(one, after.request) for one in after.causes))
    anywhere = after.request._replace(driver=None, gpus=(), targets=())
    if anywhere == after.request:
        return None, why
    (answer,) = solve_together(matrix, [anywhere])
    return (answer if isinstance(answer, Resolution) else None), why


def _packages(was: Resolution | None, then: Resolution) -> Iterator[PackageMove]:
    """The frameworks, Keras and cuDNN that change."""
    old = {} if was is None else {**was.packages, **({"cudnn": was.cudnn} if was.cudnn else {})}
    new = {**then.packages, **({"cudnn": then.cudnn} if then.cudnn else {})}
    for name, version in new.items():
        before = old.get(name)
        if before != version:
            yield PackageMove(name, None if before is None else str(before), str(version))


def _driver(resolution: Resolution | None) -> str | None:
    return None if resolution is None or resolution.driver is None else str(resolution.driver)


def _waiting(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, frameworks: Sequence[Framework]
) -> Iterator[Waiting]:
    """The frameworks without a build for the requested accelerator, on any index that the matrix has rows for."""
    target = BuildTarget(request.accelerator.whole, request.platform, None, own_index=True)
    for framework in frameworks:
        if any(candidate(matrix, framework.name, one, target).obstacle is None for one in framework.releases):
            continue
        here = [one for one in framework.releases if _on(request.platform, one)]
        stable = [one for one in here if not is_doubtful(one)]
        if not stable:
            continue
        newest = stable[-1]
        early = next((one for one in reversed(here) if one.version.is_prerelease), None)
        yield Waiting(
            framework=framework.name,
            title=framework.title,
            newest=str(newest.version),
            built_for=_built_for(newest, target),
            early=(str(early.version), _built_for(early, target))
            if early is not None and early.version > newest.version
            else None,
            elsewhere=tuple(
                one.text
                for one in framework.elsewhere
                if one.concerns(newest.version, request.accelerator, request.platform) and one.gpus is None
            ),
        )


def _on(platform: str, release: Release) -> bool:
    return any(platform in build.platforms for build in release.builds)


def _built_for(release: Release, target: BuildTarget) -> str:
    """What a release is built for on a platform, for a kind of accelerator, newest toolkit first: `CUDA 12.5`."""
    here = {one.accelerator for one in release.builds if target.platform in one.platforms}
    builds = sorted((one for one in here if one.kind == target.accelerator.kind), reverse=True)
    return " and ".join(map(accelerators.title, builds)) or accelerators.title(CPU)


def _builds(matrix: CompatibilityMatrix, resolution: Resolution) -> Iterator[Build]:
    request = resolution.request
    target = BuildTarget(request.accelerator, request.platform, request.python)
    for name in matrix.accelerated_frameworks:
        version = resolution.packages.get(name)
        if version is not None:
            label = resolution.local.get(name)
            full = Version(f"{version}+{label}") if label else version
            build = locked_build(matrix, name, full, target)
            if build is not None and build.accelerated:
                yield build


def _gpus(
    matrix: CompatibilityMatrix,
    sides: tuple[Accelerator, Accelerator],
    platform: str,
    builds: Sequence[Sequence[Build]],
    answers: tuple[Resolution | None, Resolution | None],
) -> tuple[tuple[Gpu, ...], tuple[Gpu, ...]]:
    """The GPUs in the matrix that only one of the two sides runs: those of the old side, those of the new side."""
    kind = matrix.accelerators[sides[1].kind]
    left, gained = [], []
    for name, architecture in kind.architectures.items():
        if kind.only_platform(architecture) not in {None, platform}:
            continue
        runs = [
            _runs(matrix, side, platform, own, None if answer is None else answer.cudnn, gpu=architecture)
            for side, own, answer in zip(sides, builds, answers, strict=True)
        ]
        if runs == [True, False]:
            left.append(Gpu(name, architecture))
        elif runs == [False, True]:
            gained.append(Gpu(name, architecture))
    return tuple(left), tuple(gained)


def _runs(
    matrix: CompatibilityMatrix,
    accelerator: Accelerator,
    platform: str,
    builds: Sequence[Build],
    cudnn: Version | None,
    *,
    gpu: str,
) -> bool:
    """Whether all builds and their cuDNN run on a GPU; without builds, whether the major does at all."""
    row = matrix.major_of(accelerator)
    if row is None or gpu not in row.architectures:
        return False
    covered = cudnn is None or any(
        cudnn in one.cudnn and gpu in one.gpus for one in matrix.cudnn if one.accelerator == accelerator.whole
    )
    return covered and all(serves(build, gpu, None, matrix, platform) for build in builds)
