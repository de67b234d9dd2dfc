"""The compatibility facts as rows, one table each framework and subject."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from kgen import accelerators
from kgen.errors import UnknownNameError
from kgen.explain.causes import gpus_text, pythons_text
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build, Release
from kgen.model.driver import DriverVersion
from kgen.model.ranges import spell
from kgen.model.requirement import parse_requirement
from kgen.solver.conflict import pythons_of, served_gpus
from kgen.tables import nearest

Facts = list[dict[str, object]]
"""Rows: the name of a column -> its value."""


def tables(matrix: CompatibilityMatrix, name: str | None = None) -> Mapping[str, Facts]:
    """The facts by what they are about.

    Args:
        matrix: the facts.
        name: one of :func:`subjects`, or a framework; None for all frameworks and generations.

    Raises:
        UsageError: the matrix does not have it.
    """
    about = subjects(matrix)
    known = [*matrix.framework_names, *about]
    if name is not None and name not in known:
        near = nearest(name, known)
        raise UnknownNameError(
            f"`{name}` is not in the matrix",
            hints=[f"did you mean `{near}`?"] if near else [f"it knows {', '.join(known)}"],
        )
    names = [name] if name else ["generations", *matrix.framework_names]
    return {one: about[one](matrix) if one in about else _framework(matrix, one) for one in names}


def subjects(matrix: CompatibilityMatrix) -> Mapping[str, Callable[[CompatibilityMatrix], Facts]]:
    """What there are tables of besides frameworks: name -> what makes its rows."""
    return {
        **{kind: functools.partial(_accelerator, kind=kind) for kind, row in matrix.accelerators.items() if row.majors},
        "cudnn": _cudnn,
        "generations": _generations,
        "gpus": _gpus,
        "images": _images,
    }


def _framework(matrix: CompatibilityMatrix, name: str) -> Facts:
    return [
        _build_row(matrix, release, build)
        for release in reversed(matrix.framework(name).releases)
        for build in release.builds
    ]


def _build_row(matrix: CompatibilityMatrix, release: Release, build: Build) -> dict[str, object]:
    texts = [*build.requires, *build.adds]
    requirements = [parse_requirement(text) for text in [*texts, *(e for t in texts for e in matrix.expand(t))]]
    roles: dict[str, str] = {}
    for requirement in requirements:
        library = matrix.library(requirement.name)
        role = requirement.name if library is None else library.role
        roles.setdefault(role, spell(requirement.specifier))
    return {
        "version": str(release.version),
        "released": release.released.isoformat(),
        **_built_for(build),
        "cudnn": roles.get("cudnn", ""),
        "nccl": roles.get("nccl", ""),
        "numpy": roles.get("numpy", ""),
        "python": pythons_text(pythons_of(build)),
        "glibc": {name: None if glibc is None else str(glibc) for name, glibc in build.platforms.items()},
        "gpus": gpus_text(served_gpus(build)) if build.accelerated else "",
        "yanked": release.yanked,
        "known-bad": release.known_bad or build.known_bad,
        "install": list(build.install),
        "requires": list(build.requires),
        "adds": dict(build.adds),
        "source": build.provenance.source,
        "checked": build.provenance.checked.isoformat(),
    }


def _built_for(build: Build) -> dict[str, object]:
    """What a build is for: the version under its kind, `cpu` or the label of a CPU build under the first kind."""
    if build.accelerated:
        return {build.accelerator.kind: build.accelerator.number}
    return {accelerators.probed()[0].name: "cpu" if build.local is None else f"+{build.local}"}


def _generations(matrix: CompatibilityMatrix) -> Facts:
    return [
        {
            "generation": one.name,
            "title": one.title,
            "package": f"{one.package}{spell(one.range)}",
            "python": spell(one.pythons),
            "since": one.since.isoformat(),
            "supported until": None if one.ended is None else one.ended.day.isoformat(),
            "backends": ", ".join(row.short for row in matrix.backends.values() if row.generation == one.name),
            "environments": ", ".join(row.name for row in matrix.backends.values() if row.generation == one.name),
            "why": None if one.ended is None else one.ended.why,
            "from source": [f"{source.name} {source.version}" for source in one.sources],
            "hubs": {hub: list(texts) for hub, texts in one.hubs.items()},
            "source": one.provenance.source,
            "checked": one.provenance.checked.isoformat(),
        }
        for one in matrix.generations.values()
    ]


def _gpus(matrix: CompatibilityMatrix) -> Facts:
    """The GPUs that can be asked for by name, those of one architecture in a row."""
    rows: dict[tuple[str, str], list[str]] = {}
    for kind, row in matrix.accelerators.items():
        for name, architecture in row.architectures.items():
            rows.setdefault((kind, architecture), []).append(name)
    return [
        {
            "accelerator": kind,
            "architecture": architecture,
            "names": ", ".join(names),
            "source": matrix.accelerators[kind].provenance.source,
            "checked": matrix.accelerators[kind].provenance.checked.isoformat(),
        }
        for (kind, architecture), names in rows.items()
    ]


def _images(matrix: CompatibilityMatrix) -> Facts:
    """The images whose versions can be taken, the newest last."""
    return [
        {
            "image": one.name,
            "title": one.title,
            "python": one.python,
            "platform": one.platform,
            "accelerator": accelerators.title(one.accelerator),
            "frameworks": ", ".join(
                f"{name} {version}" for name, version in one.packages.items() if name in matrix.framework_names
            ),
            "packages": {name: str(version) for name, version in one.packages.items()},
            "lacks": list(one.lacks),
            "source": one.provenance.source,
            "checked": one.provenance.checked.isoformat(),
        }
        for one in matrix.images.values()
    ]


def _drivers(driver: DriverVersion | None, drivers: Mapping[str, DriverVersion]) -> dict[str, str]:
    """The oldest driver, and in a column of its own those of platforms that number theirs otherwise."""
    others = [f"{platform} >={other}" for platform, other in drivers.items()]
    return {"driver": "" if driver is None else f">={driver}", "drivers": ", ".join(others)}


def _accelerator(matrix: CompatibilityMatrix, kind: str) -> Facts:
    majors: Facts = [
        {
            kind: row.accelerator.number,
            **_drivers(row.driver, row.drivers),
            "gpus": str(row.architectures),
            "what": "what it compiles for" if row.driver is None else "minor-version compatibility",
            "source": row.provenance.source,
            "checked": row.provenance.checked.isoformat(),
        }
        for row in matrix.majors(kind).values()
    ]
    forward: Facts = [
        {
            kind: row.accelerator.number,
            **_drivers(None, {}),
            "gpus": ", ".join(matrix.accelerators[kind].data_center),
            "what": f"{row.name}: on drivers {', '.join(map(str, row.bases))} as if it were {row.driver}",
            "source": row.provenance.source,
            "checked": row.provenance.checked.isoformat(),
        }
        for row in reversed(matrix.accelerators[kind].forward)
    ]
    toolkits: Facts = [
        {
            kind: str(row.version),
            **_drivers(row.driver, row.drivers),
            "gpus": "",
            "what": "toolkit and its PTX",
            "source": row.provenance.source,
            "checked": row.provenance.checked.isoformat(),
        }
        for row in reversed(matrix.toolkits_of(kind))
    ]
    return [*majors, *toolkits, *forward]


def _cudnn(matrix: CompatibilityMatrix) -> Facts:
    return [
        {
            row.accelerator.kind: row.accelerator.number,
            "cudnn": spell(row.cudnn),
            "gpus": str(row.gpus),
            **_drivers(row.driver, row.drivers),
            "source": row.provenance.source,
            "checked": row.provenance.checked.isoformat(),
        }
        for row in matrix.cudnn
    ]
