"""Compare on a fleet: every kind of node trains in its environments, and what they measured is put side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kgen import files, storage
from kgen.actions import fleet
from kgen.actions.compare import CompareOptions, CompareResult, Contestant
from kgen.actions.validate import ValidationTarget, ignore
from kgen.errors import ContradictionError, KgenError, UsageError
from kgen.fleet import answers
from kgen.fleet.shape import Engine, Job, Limits, Progress, Returned, Slot, State
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU
from kgen.model.grammar import shown
from kgen.validation import comparison
from kgen.validation.comparison import Training
from kgen.validation.diagnosis import Diagnosis

_NOTHING = "it ended without an answer"


def compare_on_fleet(
    root: Path,
    matrix: CompatibilityMatrix,
    site: str,
    command: Sequence[str],
    *,
    names: Sequence[str] = (),
    options: CompareOptions | None = None,
    image: str | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] = ignore,
) -> CompareResult:
    """Run a command in environments on the nodes of a fleet, and compare what it trained.

    Args:
        root: the project's folder, in which the command runs on the nodes.
        matrix: the facts.
        site: the file of a site's configuration, or `k8s:` and a context.
        command: the words of the program.
        names: environments; none for all that are locked for a kind of node there.
        options: how they are compared.
        image: the image of the pods, which has kgen, the project and so the program; None for what has no pods.
        progress: receives what happens to each job.
        notify: called with each remark that a person should read.

    Raises:
        UsageError: there is no such environment, or no command; the runs are to begin alike, which nodes that share no
            file cannot.
        SettingsError: a lock or the settings cannot be read.
    """
    asked = options or CompareOptions()
    engine = fleet.engine_of(site, matrix, image)
    if not command:
        raise UsageError("what is to be compared?", hints=["kgen compare --fleet SITE -- python train.py"])
    if asked.same_start:
        raise ContradictionError(
            "`--same-start` contradicts `--fleet`: the weights of one node are not on the others",
            hints=["keep one of the two"],
        )
    fitting = fleet.fits(root, matrix, engine, names)
    for name in fitting.nowhere:
        notify(f"note: no node there is what {name} is locked for")
    way = fleet.Way("compare", asked.device, asked.timeout, asked.envs, asked.repeat, receipts=False)
    more = ("--repeat", str(asked.repeat), "--", *command)
    jobs = [fleet.job_of(root, pool, lock, way, more) for pool, lock in fitting.locks]
    returned = _run(root, engine, jobs, progress or _silent, notify)
    contestants = tuple(found for job in jobs for found in _contestants(job, returned))
    trained = {one.name: one.runs for one in contestants if one.trained}
    return CompareResult(contestants, comparison.judge(trained, tolerance=asked.tolerance, same_start=False), asked)


def _silent(_job: str, _what: str) -> None:
    pass


def _run(
    root: Path, engine: Engine, jobs: Sequence[Job], progress: Progress, notify: Callable[[str], None]
) -> Sequence[Returned]:
    """What came back; where the engine itself failed, what had come back until then."""
    folder = root / fleet.FOLDER / engine.name
    storage.make_folder(folder)
    place = folder / "compare"
    with storage.exclusive(folder, who="kgen compare --fleet"):
        shutil.rmtree(place, ignore_errors=True)
        storage.make_folder(place)
        try:
            return engine.run(jobs, place, Limits(), progress)
        except KgenError as error:
            notify(f"error: {error.message}")
            return engine.gather(place)


def _contestants(job: Job, returned: Sequence[Returned]) -> Iterator[Contestant]:
    mine = [one for one in returned if (one.slot.pool, one.slot.environment) == (job.pool.name, job.environment)]
    for one in mine or [Returned(Slot(job.pool.name, job.environment), None, None)]:
        said = None if one.folder is None else _said(one.folder / answers.ANSWER)
        if said is not None:
            yield from (_read(job, row) for row in said)
            continue
        for backend in job.lock.backends:
            yield Contestant(
                name=_name(job, backend),
                target=_target(job, backend),
                backend=backend,
                failure=_lost(one),
            )


def _lost(one: Returned) -> str:
    """Why nothing came back, told apart as :func:`kgen.fleet.answers.judge` does."""
    if one.node is None:
        return f"{State.NOT_SCHEDULED.value}: {one.reason or 'it never began'}"
    return f"{State.LOST.value}: {one.reason or _NOTHING}"


def _said(path: Path) -> Sequence[Mapping[str, Any]] | None:
    """The rows of what `kgen compare --json` printed; None where it printed none."""
    try:
        rows: Any = json.loads(files.read(path))["environments"]
        return tuple(rows) if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _read(job: Job, row: Mapping[str, Any]) -> Contestant:
    backend = str(row.get("backend"))
    failed, skipped = row.get("failed"), row.get("skipped")
    found = Contestant(
        name=_name(job, backend),
        target=_target(job, backend),
        backend=backend,
        skip=None if skipped is None else shown(str(skipped)),
        failure=None if failed is None else shown(str(failed)),
    )
    quotes, causes = (tuple(shown(str(one)) for one in row.get(key) or ()) for key in ("quotes", "causes"))
    found.diagnosis = Diagnosis(causes=causes, quotes=quotes)
    try:
        found.runs = [_training(run) for run in row["runs"]]
    except (LookupError, TypeError, ValueError, AttributeError):
        found.failure = (
            found.failure or "the node's answer does not have this kgen's form; is the same kgen installed there?"
        )
    return found


def _training(run: Mapping[str, Any]) -> Training:
    known = {name: value for name, value in run.items() if name in Training._fields}
    return Training(**known)._replace(
        steps=tuple(map(float, known["steps"])),
        losses=tuple(map(float, known["losses"])),
        final={str(name): float(value) for name, value in known["final"].items()},
    )


def _name(job: Job, backend: str) -> str:
    one = job.environment if len(job.lock.backends) == 1 else f"{job.environment}/{backend}"
    return f"{one} on {job.pool.name}"


def _target(job: Job, backend: str) -> ValidationTarget:
    kind = job.pool.target.accelerator.kind if job.accelerated else CPU.kind
    return ValidationTarget(
        name=job.environment,
        locked=job.lock,
        backends=(backend,),
        device="gpu" if job.accelerated else CPU.kind,
        kind=kind,
    )
