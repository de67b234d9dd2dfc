"""Every locked environment of a project on one page that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kgen import __version__, accelerators, fields, freshness, lockfiles
from kgen.actions.plot import picture
from kgen.emitters import plot
from kgen.errors import UsageError
from kgen.explain.commands import flags_of
from kgen.explain.facts import requires_text, subject_text
from kgen.explain.reasons import reason_rule, reason_subject
from kgen.explain.sizes import size_text
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model.direct import DYNAMIC
from kgen.model.lockfile import Lockfile
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.model.resolution import Resolution
from kgen.solver.explanation import explain
from kgen.solver.keeping import keeping
from kgen.solver.resolve import solve
from kgen.templates import render
from kgen.validation import receipts


class ReportPage(NamedTuple):
    """A page about locked environments: its HTML, and how many locks it is about."""

    text: str
    locks: int


def page(root: Path, matrix: CompatibilityMatrix) -> ReportPage:
    """The page about everything that a project has locked.

    Args:
        root: the project's folder.
        matrix: the facts.

    Raises:
        UsageError: nothing is locked.
        SettingsError: a lock cannot be read, or is of something that the matrix does not know.
    """
    locked = lockfiles.environments(root)
    if not locked:
        raise UsageError(f"nothing is locked in {root}", hints=["kgen lock"])
    found = [_environment(path, matrix) for one in locked for path in one.platforms.values()]
    shown = sorted({one["accelerator"] for one in found})
    plotted = [one for one in map(accelerators.named, shown) if any(row.accelerator == one for row in matrix.cudnn)]
    text = render(
        "report/page.html.j2",
        title=f"{root.name}: Keras environments",
        version=__version__,
        revision=matrix.revision,
        environments=found,
        accelerators=shown,
        backends=[name for name in matrix.backends if any(name in one["backends"] for one in found)],
        pictures=[plot.render_svg(picture(matrix, one)) for one in plotted],
    )
    return ReportPage(text, len(found))


def _environment(path: Path, matrix: CompatibilityMatrix) -> Mapping[str, Any]:
    """What the page says of a lock."""
    lock, data = lockfiles.parse(path, lockfiles.content_of(path))
    require_known(matrix, lock)
    decided = data["tool"]["kgen"]
    request = _request(decided)
    stale = () if request is None else freshness.stale(lock, request, request, matrix)
    names = [name for name in lock.packages if name in matrix.framework_names]
    return {
        "id": f"{lock.environment}.{lock.platform}",
        "name": lock.environment,
        "platform": lock.platform,
        "accelerator": lock.accelerator,
        "backends": lock.backends,
        "licences": _licences(lock),
        "python": lock.python,
        "frameworks": [f"{name} {lock.packages[name]}" for name in (*names[1:], *names[:1])],
        "runtime": lock.runtime,
        "kind": accelerators.kind(lock.computes_on.kind).title,
        "cudnn": lock.cudnn,
        "driver": lock.driver,
        "size": size_text(lock.size),
        "why": decided.get("why", []),
        "newer": [] if request is None else list(_newer(matrix, request, lock)),
        "faults": [one.what for one in stale],
        "receipts": [_receipt(one) for one in receipts.find(path.parent) if one.platform == lock.platform],
        "packages": [
            {
                "name": file.name,
                "version": file.version,
                "size": size_text(file.size),
                "licence": lock.licences.get(file.name, ""),
            }
            for file in lock.files
        ]
        + [
            {"name": tree.name, "version": tree.version or DYNAMIC, "size": tree.shown, "licence": ""}
            for tree in lock.trees
        ],
    }


def _licences(lock: Lockfile) -> list[tuple[str, int]]:
    """The licences that its packages declare and how many of them each, the most frequent first."""
    counted = Counter(lock.licences.get(file.name, "") for file in lock.files) if lock.licences else Counter()
    unknown = counted.pop("", 0)
    listed = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    return [*listed, *([("not declared", unknown)] if unknown else [])]


def _request(decided: Mapping[str, Any]) -> EnvironmentRequest | None:
    try:
        return fields.request_of(decided)._replace(python_open=False)
    except ValueError:
        return None


def _newer(matrix: CompatibilityMatrix, request: EnvironmentRequest, lock: Lockfile) -> Iterator[Mapping[str, object]]:
    """The frameworks of which there is a newer release, with what kept it out of this lock."""
    held = tuple(Requirement(f"{name}=={version}") for name, version in lock.packages.items())
    kept = keeping(matrix, request._replace(held=held))
    resolution = solve(matrix, kept)
    if not isinstance(resolution, Resolution):
        return
    # what the lock has is no reason: the question is what else is
    for one in explain(matrix, resolution._replace(request=request)):
        if one.newest > one.version:
            causes = [f"{subject_text(cause)}: {requires_text(cause)}" for cause in one.causes]
            causes = causes or [
                f"{reason_subject(reason)} {reason_rule(reason, request.cutoff_flag)}"
                for reason in one.reasons
                if one.ways is None
            ]
            yield {
                "package": one.package,
                "newest": str(one.newest),
                "causes": causes or [_takes(lock, one.package)],
                "ways": [flags_of(way.changes, request) for way in one.ways or ()],
            }


def _takes(lock: Lockfile, package: str) -> str:
    """That a newer release may be had, as far as is known: who has its labelled builds, the matrix does not say."""
    _, _, label = lock.versions.get(package, "").partition("+")
    if not label:
        return "nothing: `kgen lock --upgrade` takes it"
    return (
        "nothing that the matrix knows: `kgen lock --upgrade` takes it if an index or a folder that uv is configured"
        f" for has its build +{label}"
    )


def _receipt(receipt: receipts.Receipt) -> Mapping[str, object]:
    return {
        "device": receipt.device,
        "driver": receipt.driver or "-",
        "verdict": receipt.verdict,
        "date": receipt.date,
        "stale": receipt.stale,
    }
