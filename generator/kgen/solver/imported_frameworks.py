"""Frameworks that implement no backend of a request but that Keras, or a library of models, imports all the same.

kgen installs their CPU builds: who imports TensorFlow for its nested structures must not get its CUDA libraries next to
those of the framework that computes. If something requires such a framework under the name of its complete
distribution, that is installed, and kgen can tell what it does with the CUDA in the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from packaging.version import Version

from kgen.matrix.candidates import BuildTarget, build_for
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build
from kgen.model.accelerator import CPU
from kgen.model.causes import ComputesOn, Computing, Import, Reason
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import parse_requirement
from kgen.model.resolution import Resolution
from kgen.solver.problem import CUDNN, Problem, newest
from kgen.solver.search import Assignment


class ImportedFramework(NamedTuple):
    """A framework that is only imported.

    Attributes:
        name: the framework.
        version: its release.
        build: the CPU build.
        whole: whether Keras requires it by its own name, so that a CPU-only distribution cannot replace it.
    """

    name: str
    version: Version
    build: Build
    whole: bool

    @property
    def install(self) -> tuple[str, ...]:
        """The requirements for the installer's resolver."""
        return (f"{self.name}=={self.version}",) if self.whole else self.build.install


def imported_frameworks(
    problem: Problem, assignment: Assignment, picked: Mapping[str, Build]
) -> Iterator[ImportedFramework]:
    """The frameworks that are imported while others compute.

    Args:
        problem: the problem.
        assignment: its solution.
        picked: the build of each framework and of Keras.
    """
    rows = [problem.matrix.backends[backend] for backend in problem.request.backends]
    needs = [*(row.needs for row in rows), *(library.needs for library in problem.libraries)]
    needed = {parse_requirement(text).name for texts in needs for text in texts} & {*problem.matrix.framework_names}
    names = {*(variable.name for variable in problem.imported), *needed} - {
        variable.name for variable in problem.framework_variables
    }
    declared = {parse_requirement(text).name for build in picked.values() for text in build.requires}
    for name in sorted(names):
        if name not in assignment.masks:  # needed only on other Pythons or platforms
            continue
        release = problem.matrix.framework(name).releases[newest(assignment.masks[name])]
        build = problem.imported_build(release)
        if build is not None:
            yield ImportedFramework(name, release.version, build, whole=name in declared)


def reason(problem: Problem, one: ImportedFramework, picked: Mapping[str, Build], cudnn: Version | None) -> Reason:
    """Why it is installed, and whose CUDA and cuDNN it has."""
    asked = [(library.name, text, library.provenance.source) for library in problem.libraries for text in library.needs]
    asked += [(owner, text, source) for owner, build in picked.items() for text, source in build.adds.items()]
    rows = {owner: source for owner, text, source in asked if _is_about(text, one.name)} or {problem.keras: ""}
    matrix, request = problem.matrix, problem.request
    computing = (
        computing_whole(matrix, request, one.name, one.version, cudnn) if one.whole else computing_part(matrix, request)
    )
    return Reason(
        package=one.name,
        version=one.version,
        ground=Import(tuple(rows), one.whole, computing),
        sources=tuple(filter(None, (*dict.fromkeys(rows.values()), one.build.provenance.source))),
    )


def computing_part(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Computing:
    """What an imported CPU build computes on, and whose CUDA and cuDNN are in the environment."""
    return Computing(ComputesOn.CPU_BUILD, request.accelerator, _frameworks(matrix, request))


def computing_whole(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, name: str, version: Version, cudnn: Version | None
) -> Computing:
    """What the complete distribution of a framework does with the CUDA in its environment.

    Args:
        matrix: the facts.
        request: the request.
        name: the framework.
        version: its release.
        cudnn: the cuDNN of the environment.
    """
    release = matrix.release(name, version)
    if request.accelerator == CPU or release is None:
        return Computing(ComputesOn.CPU_BUILD)
    frameworks = _frameworks(matrix, request)
    build = build_for(matrix, name, release, BuildTarget.of(request))
    if build is not None and build.accelerated:
        wanted = {asked.major for asked in _cudnn_of(matrix, build)}
        if cudnn is not None and wanted == {cudnn.major}:
            return Computing(ComputesOn.FOREIGN, build.accelerator, frameworks, cudnn)
    return Computing(ComputesOn.CPU_FOR_LACK, request.accelerator, frameworks)


def whole_instead_of_part(matrix: CompatibilityMatrix, answer: Resolution, given: Reason, part: str) -> Reason:
    """The reason for a complete framework that a dependency requires after all.

    Args:
        matrix: the facts.
        answer: the resolution, which has the CPU-only distribution.
        given: the reason for the framework in it.
        part: that distribution.
    """
    ground = given.ground
    if isinstance(ground, Import):
        name, version = given.package, answer.packages[given.package]
        computing = computing_whole(matrix, answer.request, name, version, answer.cudnn)
        ground = ground._replace(computing=computing)
    return given._replace(ground=ground, replaces=part)


def _cudnn_of(matrix: CompatibilityMatrix, build: Build) -> Iterator[Version]:
    """The bounds of a build on cuDNN, all of one major."""
    for text in (*build.requires, *build.adds):
        requirement = parse_requirement(text)
        library = matrix.library(requirement.name)
        if library is not None and library.role == CUDNN:
            yield from (
                Version(one.version.removesuffix(".*")) for one in requirement.specifier if one.operator[0] in ">="
            )


def _frameworks(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> tuple[str, ...]:
    """The frameworks whose CUDA libraries are in the environment; () on the CPU."""
    if request.accelerator == CPU:
        return ()
    return tuple(dict.fromkeys(matrix.backends[backend].framework for backend in request.backends))


def _is_about(requirement: str, name: str) -> bool:
    return parse_requirement(requirement).name == name
