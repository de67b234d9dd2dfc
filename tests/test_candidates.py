"""The one answer to which build serves a target: whoever asks gets the same."""

from __future__ import annotations

import itertools

import pytest
from packaging.version import Version

from kgen.matrix.candidates import (
    BuildTarget,
    Obstacle,
    build_for,
    candidate,
    locked_build,
    newness,
    releases_with_builds,
)
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.causes import BuiltFor, Doubt, OtherPlatform, Pythons
from kgen.model.request import EnvironmentRequest
from kgen.solver import conflict
from kgen.solver.explanation import may_be_had
from kgen.solver.problem import Problem

ACCELERATORS = (
    CPU,
    Accelerator("cuda", (11,)),
    Accelerator("cuda", (12,)),
    Accelerator("cuda", (12, 6)),
    Accelerator("cuda", (13,)),
    Accelerator("rocm", (7,)),
)
BACKENDS = ("tensorflow", "jax", "torch", "numpy")


def targets(matrix: CompatibilityMatrix) -> list[BuildTarget]:
    pythons = [row.version for row in matrix.pythons][-6:]
    return [
        BuildTarget(accelerator, platform, python, own_index)
        for accelerator, platform, python, own_index in itertools.product(
            ACCELERATORS, matrix.platforms, pythons, (False, True)
        )
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_everybody_gets_the_same_answer(matrix: CompatibilityMatrix, backend: str) -> None:
    name = matrix.backends[backend].framework
    framework = matrix.framework(name)
    for target in targets(matrix):
        request = EnvironmentRequest(
            name=backend,
            backends=(backend,),
            accelerator=target.accelerator,
            python=str(target.python),
            platform=target.platform,
            own_index=target.own_index,
        )
        problem = Problem(matrix, request)
        usable = []
        for release in framework.releases:
            found = candidate(matrix, name, release, target)
            assert problem.build_of(name, release) is build_for(matrix, name, release, target)
            if found.obstacle is not None:
                continue
            assert found.build is not None
            usable.append((release, found.build))
            locked = Version(f"{release.version}+{found.build.local}" if found.build.local else str(release.version))
            assert locked_build(matrix, name, locked, target) == found.build
            assert may_be_had(matrix, name, release.version, request)
        sound = [
            (release, build)
            for release, build in reversed(usable)
            if not (release.yanked or release.known_bad or release.version.is_prerelease)
        ]
        assert list(releases_with_builds(matrix, framework, target)) == sound


def test_the_label_says_which_build_is_locked(matrix: CompatibilityMatrix) -> None:
    """Releases with a plain wheel and labelled ones for the same CUDA major: each is found as itself."""
    seen = 0
    for release in matrix.framework("torch").releases:
        for build in release.builds:
            if not build.accelerated:
                continue
            version = Version(f"{release.version}+{build.local}" if build.local else str(release.version))
            for platform, python in itertools.product(build.platforms, build.pythons):
                target = BuildTarget(build.accelerator.whole, platform, python)
                found = locked_build(matrix, "torch", version, target)
                assert found is not None
                assert found.local == build.local
                assert newness(found) >= newness(build)
                seen += build.local is not None
    assert seen


def test_a_label_that_no_row_has_is_taken_for_the_plain_build(matrix: CompatibilityMatrix) -> None:
    target = BuildTarget(Accelerator("cuda", (12,)), "linux-64", "3.12")
    plain = locked_build(matrix, "torch", Version("2.6.0"), target)
    assert plain is not None
    assert plain.local is None
    assert locked_build(matrix, "torch", Version("2.6.0+ours"), target) == plain


@pytest.mark.parametrize(
    ("framework", "version", "target", "obstacle"),
    [
        ("torch", "2.10.0", BuildTarget(Accelerator("cuda", (12,)), "linux-64", "3.12"), None),
        ("torch", "2.10.0", BuildTarget(Accelerator("cuda", (13,)), "linux-64", "3.12"), Obstacle.OWN_INDEX),
        ("torch", "2.3.0", BuildTarget(Accelerator("cuda", (13,)), "linux-64", "3.12"), Obstacle.ACCELERATOR),
        ("tensorflow", "2.21.0", BuildTarget(Accelerator("cuda", (12, 2)), "linux-64", "3.12"), Obstacle.MINOR),
        ("torch", "2.6.0", BuildTarget(Accelerator("cuda", (12,)), "linux-64", "3.14"), Obstacle.PYTHON),
        ("tensorflow", "2.21.0", BuildTarget(Accelerator("cuda", (12,)), "win-64", "3.12"), Obstacle.ACCELERATOR),
        ("tensorflow", "2.15.0", BuildTarget(CPU, "linux-riscv64", "3.11"), Obstacle.PLATFORM),
        ("tensorflow", "2.13.0", BuildTarget(Accelerator("cuda", (11,)), "linux-64", "3.11"), Obstacle.KNOWN_BAD),
        ("tensorflow", "2.22.0rc0", BuildTarget(CPU, "linux-64", "3.12"), Obstacle.DOUBTFUL),
        ("jax", "0.4.32", BuildTarget(CPU, "linux-64", "3.12"), Obstacle.DOUBTFUL),
    ],
)
def test_why_a_release_does_not_serve_a_target(
    matrix: CompatibilityMatrix, framework: str, version: str, target: BuildTarget, obstacle: Obstacle | None
) -> None:
    release = matrix.release(framework, Version(version))
    assert release is not None
    found = candidate(matrix, framework, release, target)
    assert found.obstacle is obstacle


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_the_cause_of_a_refusal_is_the_obstacle_of_the_candidates(matrix: CompatibilityMatrix, backend: str) -> None:
    """For each target without a candidate, the cause is the obstacle of the releases that come closest."""
    name = matrix.backends[backend].framework
    seen: set[frozenset[type]] = set()
    for target in targets(matrix):
        problem = Problem(
            matrix,
            EnvironmentRequest(
                name=backend,
                backends=(backend,),
                accelerator=target.accelerator,
                python=str(target.python),
                platform=target.platform,
                own_index=target.own_index,
            ),
        )
        variable = conflict.without_candidates(problem)
        if variable is None or variable.name != name:
            continue
        obstacles = {
            candidate(matrix, name, release, target).obstacle
            for release in matrix.framework(name).releases
            if problem.is_of_generation(name, release.version)
        }
        assert None not in obstacles
        (cause,) = conflict.causes(problem)
        facts = {type(stated.fact) for stated in cause.facts}
        expected: list[set[type]] = [{BuiltFor}, {OtherPlatform}]
        if Obstacle.PYTHON in obstacles:
            expected = [{Pythons}]
        elif obstacles & {Obstacle.DOUBTFUL, Obstacle.KNOWN_BAD}:
            expected = [{Doubt}]
        assert facts in expected, (target, obstacles)
        seen.add(frozenset(facts))
    assert len(seen) > 1
