"""Every locked environment of a project on one page that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kgen import __version__, accelerators, fields, freshness, lockfiles
from kgen.actions.plot import picture
from kgen.actions.proven import Proof, Proven, proven
from kgen.actions.receipts import Collected, collect
from kgen.emitters import plot
from kgen.errors import NotLockedError
from kgen.explain.causes import requires_text, subject_text
from kgen.explain.commands import flags_of
from kgen.explain.reasons import reason_rule, reason_subject
from kgen.explain.sizes import size_text, step_text
from kgen.host import Host
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model.direct import SHOWN_DYNAMIC
from kgen.model.lockfile import Lockfile
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.model.resolution import Resolution
from kgen.model.trust import NOBODY, Trust
from kgen.solver.explanation import explain
from kgen.solver.resolve import solve
from kgen.solver.retention import keeping
from kgen.templates import render
from kgen.validation import receipts


class ReportPage(NamedTuple):
    """A page about locked environments.

    Attributes:
        text: its HTML.
        locks: how many locks it is about.
        collected: the receipts that it tells of, and what was no receipt.
    """

    text: str
    locks: int
    collected: Collected


def page(
    root: Path,
    matrix: CompatibilityMatrix,
    *,
    machine: Host,
    sources: Sequence[str] = (),
    trust: Trust = NOBODY,
    report: Callable[[str], None] = lambda _: None,
) -> ReportPage:
    """The page about everything that a project has locked.

    Args:
        root: the project's folder.
        matrix: the facts.
        machine: this machine, whose devices are places where something can be proven.
        sources: folders, files and git revisions with receipts; the project's own locks without any.
        trust: whose signatures count.
        report: takes remarks about the receipts.

    Raises:
        UsageError: nothing is locked, or a source or a key is none.
        SettingsError: a lock cannot be read, or is of something that the matrix does not know.
    """
    locked = lockfiles.environments(root)
    if not locked:
        raise NotLockedError(f"nothing is locked in {root}", hints=["kgen lock"])
    collected = collect(root, sources, report=report)
    proof = proven(root, collected, machine, trust)
    found = [
        _environment(path, one.name if len(one.platforms) == 1 else f"{one.name} on {platform}", matrix, proof)
        for one in locked
        for platform, path in one.platforms.items()
    ]
    shown = sorted({one["accelerator"] for one in found})
    plotted = [one for one in map(accelerators.named, shown) if any(row.accelerator == one for row in matrix.cudnn)]
    text = render(
        "report/page.html.j2",
        title=f"{root.name}: Keras environments",
        version=__version__,
        revision=matrix.revision,
        verdict=list(_verdict(found)),
        shared=list(_shared(found)),
        proofs=[_proof(one) for one in proof.proofs],
        unknown=proof.unknown,
        signed=bool(trust),
        environments=found,
        accelerators=shown,
        backends=[name for name in matrix.backends if any(name in one["backends"] for one in found)],
        pictures=[plot.render_figure(picture(matrix, one)) for one in plotted],
    )
    return ReportPage(text, len(found), collected)


def _verdict(found: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, str]]:
    """What is proven of everything together, what failed and what is out of date: the first that a reader sees."""
    verdicts: dict[str, list[str]] = {"failed": [], "passed": [], "": []}
    for one in found:
        now = {row["verdict"] for row in one["receipts"] if not row["stale"]}
        verdicts["failed" if "failed" in now else "passed" if now else ""].append(one["label"])
    passed, failed, open_ = verdicts["passed"], verdicts["failed"], verdicts[""]
    several = f"of {len(found)} environment{'s' if len(found) != 1 else ''}"
    old = [one["label"] for one in found if one["faults"]]
    for kind, lead, labels, command in (
        ("failed", "failed", failed, ""),
        ("failed", "out of date", old, "kgen lock"),
        ("passed", "proven as locked", passed, ""),
        ("stale", "proven nowhere", open_, "kgen validate"),
    ):
        if labels:
            text = f"{len(labels)} {several} ({', '.join(labels)})"
            yield {"kind": kind, "lead": lead, "text": text, "command": command}


def _shared(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Which cuDNN the environments of each accelerator have, and whether it is one for all of them."""
    grouped: dict[str, dict[str, list[str]]] = {}
    for one in found:
        if one["cudnn"]:
            grouped.setdefault(one["accelerator"], {}).setdefault(one["cudnn"], []).append(one["label"])
    for name, versions in sorted(grouped.items()):
        spoken = accelerators.title(accelerators.named(name))
        if len(versions) == 1:
            ((version, labels),) = versions.items()
            shared = "has" if len(labels) == 1 else "share"
            yield f"{spoken}: {', '.join(labels)} {shared} cuDNN {version}."
        else:
            listed = "; ".join(f"{version} in {', '.join(labels)}" for version, labels in sorted(versions.items()))
            yield f"{spoken}: the environments do not share a cuDNN: {listed}."


def _proof(one: Proof) -> Mapping[str, Any]:
    return {
        **one._asdict(),
        "device": one.place.device,
        "driver": one.place.driver or "-",
        "step": step_text(one.step),
        "signers": "-" if one.signers is None else one.signers,
    }


def _environment(path: Path, label: str, matrix: CompatibilityMatrix, proof: Proven) -> Mapping[str, Any]:
    """What the page says about a lock."""
    lock, data = lockfiles.parse(path, lockfiles.content_of(path))
    require_known(matrix, lock)
    decided = data["tool"]["kgen"]
    request = _request(decided)
    stale = () if request is None else freshness.stale(lock, request, request, matrix)
    names = [name for name in lock.packages if name in matrix.framework_names]
    licences, undeclared = _licences(lock)
    proofs = [
        {**_proof(one), "stale": False}
        for one in proof.proofs
        if (one.environment, one.platform) == (lock.environment, lock.platform) and one.verdict is not None
    ]
    mine = (lock.environment, lock.platform)
    there = receipts.find(path.parent)
    before = [_receipt(one) for one in there if (one.environment, one.platform) == mine and one.stale]
    return {
        "id": f"{lock.environment}.{lock.platform}",
        "name": lock.environment,
        "label": label,
        "platform": lock.platform,
        "accelerator": lock.accelerator,
        "backends": lock.backends,
        "licences": licences,
        "undeclared": undeclared,
        "python": lock.python,
        "frameworks": [f"{name} {lock.packages[name]}" for name in (*names[1:], *names[:1])],
        "runtime": lock.runtime,
        "kind": accelerators.kind(lock.computes_on.kind).title,
        "cudnn": lock.cudnn,
        "driver": lock.driver,
        "size": size_text(lock.size),
        "why": [{**row, "sources": _sources(row["source"])} for row in decided.get("why", [])],
        "newer": [] if request is None else list(_newer(matrix, request, lock)),
        "faults": [one.what for one in stale],
        "receipts": [*proofs, *before],
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
            {"name": tree.name, "version": tree.version or SHOWN_DYNAMIC, "size": tree.shown, "licence": ""}
            for tree in lock.trees
        ],
    }


def _sources(text: str) -> list[str]:
    """The parts of a source, a line each: names of wheels are long, and a line of several cannot be read."""
    return [part for part in text.split("; ") if part]


def _licences(lock: Lockfile) -> tuple[list[tuple[str, int]], int]:
    """The licences that its packages declare and how many each, the most frequent first; how many declare none."""
    counted = Counter(lock.licences.get(file.name, "") for file in lock.files) if lock.licences else Counter()
    unknown = counted.pop("", 0)
    listed = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    return listed, unknown


def _request(decided: Mapping[str, Any]) -> EnvironmentRequest | None:
    try:
        return fields.request_of(decided)._replace(python_open=False)
    except ValueError:
        return None


def _newer(matrix: CompatibilityMatrix, request: EnvironmentRequest, lock: Lockfile) -> Iterator[Mapping[str, object]]:
    """The frameworks that have a newer release, with what kept it out of this lock."""
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
