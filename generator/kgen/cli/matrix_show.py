"""`kgen matrix show`: the compatibility facts as a table or as data."""

from __future__ import annotations

__command__ = {
    "rank": 1,
    "purpose": "print the facts as tables",
    "example": "kgen matrix show torch",
}

import functools
from collections.abc import Callable
from typing import Annotated

from kgen import __version__, accelerators
from kgen.cli import candidates, console
from kgen.cli.options import OUTPUT, Json, argument
from kgen.errors import ExitStatus, UsageError
from kgen.explain.facts import gpus_text, pythons_text
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.origin import Origin
from kgen.matrix.records import Build, Release
from kgen.model.ranges import spell
from kgen.model.requirement import parse_requirement
from kgen.solver.conflict import pythons_of, served_gpus
from kgen.tables import nearest

Facts = list[dict[str, object]]


def run(
    framework: Annotated[
        str | None,
        argument(
            "FRAMEWORK", "torch, jax, cuda, cudnn, …; by default all frameworks", panel=OUTPUT, values=candidates.facts
        ),
    ] = None,
    *,
    json: Json = False,
) -> ExitStatus:
    """Print one framework's facts, or those of all frameworks; CUDA and cuDNN by their names."""
    texts, source = origin.texts_in_use()
    matrix = CompatibilityMatrix(texts)
    matrix.check()
    special: dict[str, Callable[[CompatibilityMatrix], Facts]] = {
        **{name: functools.partial(_accelerator, kind=name) for name, row in matrix.accelerators.items() if row.majors},
        "cudnn": _cudnn,
        "generations": _generations,
    }
    known = [*matrix.framework_names, *special]
    name = framework
    if name is not None and name not in known:
        near = nearest(name, known)
        raise UsageError(
            f"`{name}` is not in the matrix",
            hints=[f"did you mean `{near}`?"] if near else [f"it knows {', '.join(known)}"],
        )
    names = [name] if name else ["generations", *matrix.framework_names]
    tables = {one: special[one](matrix) if one in special else _framework(matrix, one) for one in names}
    if json:
        console.data({"revision": matrix.revision, "origin": _origin_data(source), "facts": tables})
        return ExitStatus.DONE
    console.result("\n\n".join(_text(_headed(matrix, one), rows) for one, rows in tables.items()))
    console.say(f"\nmatrix {matrix.revision}, {_origin_text(source)}; sources and requirements of each row: --json")
    if source.note:
        console.say(f"warning: {source.note}")
    return ExitStatus.DONE


def _origin_text(source: Origin) -> str:
    if source.kind == "shipped":
        return f"as kgen {__version__} ships it"
    where = "for this project" if source.kind == "project" else "for this user"
    return f"refreshed {where} on {source.checked} ({source.folder})"


def _origin_data(source: Origin) -> dict[str, object]:
    return {
        "kind": source.kind,
        "folder": str(source.folder),
        "checked": None if source.checked is None else source.checked.isoformat(),
        "note": source.note or None,
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


def _headed(matrix: CompatibilityMatrix, name: str) -> str:
    """The name of a table, with the day until when what it is about was supported."""
    ended = matrix.framework(name).ended if name in matrix.framework_names else None
    return name if ended is None else f"{name} (no longer supported since {ended.day}: {ended.why})"


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


def _accelerator(matrix: CompatibilityMatrix, kind: str) -> Facts:
    majors: Facts = [
        {
            kind: row.accelerator.number,
            "driver": "" if row.driver is None else f">={row.driver}",
            "gpus": str(row.architectures),
            "what": "what it compiles for" if row.driver is None else "minor-version compatibility",
            "source": row.provenance.source,
            "checked": row.provenance.checked.isoformat(),
        }
        for row in matrix.majors(kind).values()
    ]
    return majors + [
        {
            kind: str(row.version),
            "driver": "" if row.driver is None else f">={row.driver}",
            "gpus": "",
            "what": "toolkit and its PTX",
            "source": row.provenance.source,
            "checked": row.provenance.checked.isoformat(),
        }
        for row in reversed(matrix.toolkits_of(kind))
    ]


def _cudnn(matrix: CompatibilityMatrix) -> Facts:
    return [
        {
            row.accelerator.kind: row.accelerator.number,
            "cudnn": spell(row.cudnn),
            "gpus": str(row.gpus),
            "driver": f">={row.driver}",
            "source": row.provenance.source,
            "checked": row.provenance.checked.isoformat(),
        }
        for row in matrix.cudnn
    ]


_WIDEST = 80
"""Characters of a list of architectures; one that is longer is shown by its first and its last."""
_FIRST = 4
_SHOWN = (
    *("generation", "package", "since", "supported until", "backends"),
    *(
        "version",
        "released",
        *(kind.name for kind in accelerators.probed()),
        "cudnn",
        "nccl",
        "numpy",
        "python",
        "driver",
        "gpus",
        "glibc",
        "what",
    ),
)


def _text(name: str, rows: Facts) -> str:
    """The columns that fit a screen; a column that is empty throughout is left out."""
    columns = [column for column in _SHOWN if any(row.get(column) for row in rows)]
    headings = ["platforms (glibc)" if column == "glibc" else column for column in columns]
    lines = [[_cell(row, column) for column in columns] for row in rows]
    return f"{name}\n{console.table(headings, lines)}"


def _cell(row: dict[str, object], column: str) -> str:
    value = row.get(column)
    if isinstance(value, dict):
        return " ".join(name if glibc is None else f"{name} ({glibc})" for name, glibc in value.items())
    text = "" if value is None else str(value)
    if column == "gpus" and len(text) > _WIDEST:
        # all of them are in the data
        several = text.split(", ")
        text = f"{', '.join(several[:_FIRST])}, … {several[-1]} ({len(several)})"
    marks = [mark for mark in ("yanked", "known-bad") if row.get(mark)] if column == "version" else []
    return " ".join([text, *(f"[{mark}]" for mark in marks)])
