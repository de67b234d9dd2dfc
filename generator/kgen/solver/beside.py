"""Frameworks that no backend of a request is of and that Keras, or a library of models, imports all the same.

Each is for the CPU: who imports TensorFlow for its nested structures must not have its CUDA libraries beside those of
the framework that computes. Where something requires it by the name of its whole distribution, that is what there is;
what it makes of the CUDA that is beside it can be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from packaging.version import Version

from kgen.matrix.candidates import BuildTarget, build_for
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import parse_requirement
from kgen.model.resolution import Reason
from kgen.solver.problem import CUDNN, Problem, newest
from kgen.solver.search import Selection


class Beside(NamedTuple):
    """A framework that is only imported.

    Attributes:
        name: the framework.
        version: its release.
        build: the build for the CPU.
        whole: whether Keras requires it by its own name, so that no build for the CPU alone can stand for it.
    """

    name: str
    version: Version
    build: Build
    whole: bool

    @property
    def install(self) -> tuple[str, ...]:
        """What the resolver is to be asked for."""
        return (f"{self.name}=={self.version}",) if self.whole else self.build.install


def beside(problem: Problem, selection: Selection, picked: Mapping[str, Build]) -> Iterator[Beside]:
    """What is imported beside the frameworks that compute.

    Args:
        problem: the problem.
        selection: its answer.
        picked: the build of each framework and of Keras.
    """
    rows = [problem.matrix.backends[backend] for backend in problem.request.backends]
    needs = [*(row.needs for row in rows), *(library.needs for library in problem.libraries)]
    needed = {parse_requirement(text).name for texts in needs for text in texts} & {*problem.matrix.framework_names}
    names = {*(choice.name for choice in problem.imported), *needed} - {choice.name for choice in problem.choices}
    declared = {parse_requirement(text).name for build in picked.values() for text in build.requires}
    for name in sorted(names):
        if name not in selection.masks:  # it is needed on other Pythons or platforms
            continue
        release = problem.matrix.framework(name).releases[newest(selection.masks[name])]
        build = problem.plain_build(release)
        if build is not None:
            yield Beside(name, release.version, build, whole=name in declared)


def why(problem: Problem, one: Beside, picked: Mapping[str, Build], cudnn: Version | None) -> Reason:
    """Why it is there, and whose CUDA and cuDNN it has."""
    asked = [(library.name, text, library.provenance.source) for library in problem.libraries for text in library.needs]
    asked += [(owner, text, source) for owner, build in picked.items() for text, source in build.adds.items()]
    rows = {owner: source for owner, text, source in asked if _is_about(text, one.name)} or {problem.keras: ""}
    *others, last = rows
    importers = f"{', '.join(others)} and {last}" if others else last
    does = "they do" if others else "it does"
    how = f"and require{'' if others else 's'} by that name" if one.whole else f"which {does} without declaring it"
    matrix, request = problem.matrix, problem.request
    where = whole(matrix, request, one.name, one.version, cudnn) if one.whole else for_the_cpu(matrix, request)
    return Reason(
        subject=f"{one.name} {one.version}",
        rule=f"newest that {importers} can import, {how}; {where}",
        source="; ".join(filter(None, (*dict.fromkeys(rows.values()), one.build.provenance.source))),
    )


def for_the_cpu(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> str:
    """That a framework computes on the CPU, and whose CUDA and cuDNN there are for that reason."""
    return "for the CPU" + (_alone(matrix, request) if request.accelerator.cuda is not None else "")


def whole(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, name: str, version: Version, cudnn: Version | None
) -> str:
    """What the whole of a framework makes of the CUDA that is beside it.

    Args:
        matrix: the facts.
        request: what is asked.
        name: the framework.
        version: its release.
        cudnn: the cuDNN of the environment.
    """
    release = matrix.release(name, version)
    if request.accelerator.cuda is None or release is None:
        return "for the CPU"
    build = build_for(matrix, name, release, BuildTarget.of(request))
    if build is not None and build.cuda_major is not None:
        wanted = {asked.major for asked in _cudnn_of(matrix, build)}
        if cudnn is not None and wanted == {cudnn.major}:
            computing = " and ".join(_frameworks(matrix, request))
            return (
                f"built for CUDA {build.cuda}, it may compute with that of {computing}: both have the one cuDNN {cudnn}"
            )
    return f"it finds no CUDA and cuDNN that it is built for, and computes on the CPU{_alone(matrix, request)}"


def _cudnn_of(matrix: CompatibilityMatrix, build: Build) -> Iterator[Version]:
    """The bounds on cuDNN of a build, which are all of one major."""
    for text in (*build.requires, *build.adds):
        requirement = parse_requirement(text)
        library = matrix.library(requirement.name)
        if library is not None and library.role == CUDNN:
            yield from (
                Version(one.version.removesuffix(".*")) for one in requirement.specifier if one.operator[0] in ">="
            )


def _alone(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> str:
    return f", so that CUDA and cuDNN are those of {' and '.join(_frameworks(matrix, request))} alone"


def _frameworks(matrix: CompatibilityMatrix, request: EnvironmentRequest) -> Iterator[str]:
    yield from dict.fromkeys(matrix.backends[backend].framework for backend in request.backends)


def _is_about(requirement: str, name: str) -> bool:
    return parse_requirement(requirement).name == name
