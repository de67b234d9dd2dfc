"""Which framework releases can share a cuDNN: the ranges of their builds for one accelerator, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from packaging.version import Version

from kgen.matrix.candidates import BuildTarget, build_for
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build
from kgen.model.accelerator import Accelerator
from kgen.model.ranges import spell
from kgen.model.requirement import parse_requirement
from kgen.model.resolution import Resolution
from kgen.solver.problem import CUDNN, mask_of

EVERY = "every"
SOME = "some"


class Bar(NamedTuple):
    """Releases of a framework that can use the same cuDNN.

    Attributes:
        releases: the releases, oldest first.
        cells: for each column `every`, `some` (a part of the releases) or None.
        range: the range that their builds state, in their spelling.
        chosen: the release in the best set; None if it is none of these.
        source: the source of the newest release's range.
    """

    releases: tuple[str, ...]
    cells: tuple[str | None, ...]
    range: str
    chosen: str | None
    source: str


class Lane(NamedTuple):
    """A framework and its bars, newest first."""

    title: str
    bars: tuple[Bar, ...]


class Overlap(NamedTuple):
    """The picture for one accelerator.

    Attributes:
        accelerator: the kind and major.
        columns: the minors of cuDNN, oldest first.
        lanes: the frameworks.
        chosen: the column of the cuDNN in the best set; None if nothing was solved.
        cudnn: that cuDNN.
        notes: lines to print below the picture.
    """

    accelerator: Accelerator
    columns: tuple[str, ...]
    lanes: tuple[Lane, ...]
    chosen: int | None
    cudnn: str | None
    notes: tuple[str, ...] = ()


def overlap(
    matrix: CompatibilityMatrix,
    accelerator: Accelerator,
    *,
    platform: str,
    frameworks: Sequence[str],
    best: Resolution | None,
) -> Overlap:
    """Place the builds of frameworks for an accelerator side by side, along the releases of cuDNN.

    Args:
        matrix: the facts.
        accelerator: the kind and major.
        platform: the platform of the builds.
        frameworks: the lanes.
        best: the set to mark.
    """
    axis = _Axis(tuple(_cudnn_versions(matrix, accelerator, frameworks)))
    picked = {} if best is None else best.packages
    found = {
        name: tuple(_bars(matrix, name, BuildTarget(accelerator, platform), axis, picked.get(name)))
        for name in frameworks
    }
    bars = [bar for several in found.values() for bar in several]
    kept = [position for position in range(len(axis.columns)) if any(bar.cells[position] for bar in bars)]
    lanes = tuple(
        Lane(
            matrix.framework(name).title,
            tuple(bar._replace(cells=tuple(bar.cells[position] for position in kept)) for bar in several),
        )
        for name, several in found.items()
    )
    columns = tuple(axis.columns[position] for position in kept)
    cudnn = None if best is None else best.cudnn
    mine = None if cudnn is None else f"{cudnn.major}.{cudnn.minor}"
    return Overlap(
        accelerator,
        columns,
        lanes,
        columns.index(mine) if mine in columns else None,
        None if cudnn is None else str(cudnn),
    )


class _Axis(NamedTuple):
    """The releases of cuDNN, oldest first."""

    versions: tuple[Version, ...]

    @property
    def minors(self) -> list[str]:
        """The minor of each release."""
        return [f"{version.major}.{version.minor}" for version in self.versions]

    @property
    def columns(self) -> list[str]:
        """Each minor once."""
        return list(dict.fromkeys(self.minors))


def _cudnn_versions(matrix: CompatibilityMatrix, accelerator: Accelerator, frameworks: Sequence[str]) -> list[Version]:
    """Every release of cuDNN for this accelerator, under any of the names that builds require."""
    names = {
        name
        for framework in frameworks
        for release in matrix.framework(framework).releases
        for build in release.builds
        if build.accelerator.whole == accelerator
        for name, _, _ in _asked(matrix, build)
    }
    libraries = [library for name in names if (library := matrix.library(name)) is not None]
    return sorted({release.version for library in libraries for release in library.releases})


def _asked(matrix: CompatibilityMatrix, build: Build) -> Iterator[tuple[str, str, str]]:
    """A build's requirements on cuDNN: package, requirement, source."""
    rows: Mapping[str, str] = {**dict.fromkeys(build.requires, build.provenance.source), **build.adds}
    for text, source in rows.items():
        name = parse_requirement(text).name
        library = matrix.library(name)
        if library is not None and library.role == CUDNN:
            yield name, text, source


def _bars(
    matrix: CompatibilityMatrix, framework: str, here: BuildTarget, axis: _Axis, chosen: Version | None
) -> Iterator[Bar]:
    versions, minors = axis.versions, axis.minors
    groups: list[tuple[int, str, list[Version], str]] = []
    for release in reversed(matrix.framework(framework).releases):
        if release.version.is_prerelease or release.yanked:
            continue
        build = build_for(matrix, framework, release, here) or build_for(
            matrix, framework, release, here._replace(own_index=True)
        )
        asked = [] if build is None else list(_asked(matrix, build))
        if not asked:
            continue
        mask = (1 << len(versions)) - 1
        for _, text, _ in asked:
            mask &= mask_of(parse_requirement(text).specifier, versions)
        spelled = ",".join(dict.fromkeys(spell(parse_requirement(text).specifier) for _, text, _ in asked))
        if groups and groups[-1][:2] == (mask, spelled):
            groups[-1][2].append(release.version)
        else:
            groups.append((mask, spelled, [release.version], asked[0][2]))
    for mask, spelled, releases, source in groups:
        cells = []
        for minor in axis.columns:
            own = [position for position, one in enumerate(minors) if one == minor]
            inside = [position for position in own if mask >> position & 1]
            cells.append(None if not inside else EVERY if len(inside) == len(own) else SOME)
        yield Bar(
            releases=tuple(map(str, reversed(releases))),
            cells=tuple(cells),
            range=spelled,
            chosen=str(chosen) if chosen in releases else None,
            source=source,
        )
