"""Validates on a fleet: engine and locks -> jobs -> answers, and receipts in the project.

Each slot's receipt is kept in `.kgen/fleet/<site>/receipts`, so that a fleet can be resumed. The project's own
receipts, one for each kind of device, are derived from them: if one node of a kind failed, the receipt says so.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import accelerators, files, lockfiles, project, settings, storage
from kgen.actions.doctor import is_for, judge_described
from kgen.errors import ExitStatus, KgenError, OtherPlatformError, UsageError
from kgen.findings import Finding
from kgen.fleet import answers
from kgen.fleet.kubernetes import PREFIX, Kubernetes
from kgen.fleet.reframe import ReFrame
from kgen.fleet.shape import Answer, Engine, Job, Limits, Pool, Progress, Returned, Slot, State
from kgen.formats import interface
from kgen.host import subdir
from kgen.lockfiles import LockedEnvironment
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model import format as formats
from kgen.model.accelerator import CPU
from kgen.model.driver import DriverVersion
from kgen.model.format import Format
from kgen.model.lockfile import Lockfile
from kgen.validation import receipts

FOLDER = Path(".kgen/fleet")
"""Where a project keeps its fleets' state."""

INSTALLING = 1800.0
"""Seconds that a job has for installing its environment, in addition to the time for training."""

_FORGOTTEN = dt.timedelta(days=7)
"""How long the folder of an unfinished run is kept: its jobs may still be waiting."""

_JOBS = "jobs.json"


class FleetOptions(NamedTuple):
    """How to validate on a fleet.

    Attributes:
        device: as in :class:`kgen.actions.validate.ValidateOptions`.
        timeout: seconds for each backend.
        form: the only form of locks to validate; None for all of them.
        envs: the folder of the environments on the nodes; None for the one of the site or the settings.
        each_node: whether to validate on every node instead of one of each kind.
        resume: whether to skip what has a receipt.
        retries: how often to repeat a job without an answer.
        driver: the driver to judge nodes with GPUs for, and to try; None for any.
        suite: what to prove, one of :data:`kgen.validation.receipts.SUITES`.
    """

    device: str = "auto"
    timeout: float = 900.0
    form: Format | None = None
    envs: str | None = None
    each_node: bool = False
    resume: bool = False
    retries: int = 0
    driver: DriverVersion | None = None
    suite: str = receipts.BASIC


AS_USUAL = FleetOptions()


class FleetResult(NamedTuple):
    """The answers of a fleet.

    Attributes:
        answers: one for each slot.
        findings: pool -> what breaks its environments with the driver in question.
        receipts: the receipts that were written beside the locks.
        fault: why the engine did not finish; None if it did.
    """

    answers: tuple[Answer, ...]
    findings: Mapping[str, tuple[Finding, ...]]
    receipts: tuple[Path, ...]
    fault: KgenError | None = None

    @property
    def status(self) -> ExitStatus:
        """`DONE` if everything passed; `OUTSIDE` if an engine failed; else `CHECK_FAILED`."""
        if self.fault is not None:
            return self.fault.status
        states = {one.state for one in self.answers}
        if State.LOST in states:
            return ExitStatus.OUTSIDE
        return ExitStatus.DONE if states <= {State.PASSED} else ExitStatus.CHECK_FAILED


class _Environment(NamedTuple):
    environment: LockedEnvironment
    form: Format
    named: bool

    @property
    def name(self) -> str:
        return f"{self.environment.name}{self.form.suffix}"


def engine_of(site: str, matrix: CompatibilityMatrix, image: str | None = None) -> Engine:
    """The engine for a site.

    Args:
        site: the configuration file of a site, or `k8s:` and a context.
        matrix: the facts.
        image: the image of the pods; None for a site without pods.

    Raises:
        UsageError: there is no such site, or the engine is missing.
        SettingsError: the site's description is invalid.
        OutsideError: the site cannot be reached.
    """
    if site.startswith(PREFIX):
        return Kubernetes(site.removeprefix(PREFIX), image)
    if image is not None:
        raise UsageError("`--image` is for `--fleet k8s:CONTEXT`", hints=["leave out `--image`"])
    return ReFrame(Path(site), matrix)


def validate(
    root: Path,
    matrix: CompatibilityMatrix,
    engine: Engine,
    names: Sequence[str] = (),
    options: FleetOptions = AS_USUAL,
    *,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> FleetResult:
    """Validate environments on the nodes of a fleet.

    Args:
        root: the project's folder.
        matrix: the facts.
        engine: the fleet.
        names: environments; none for all that are locked for a kind of node there.
        options: how to validate.
        progress: called with what happens to each job.
        notify: called with what a person should read at once.

    Raises:
        UsageError: there is no such environment, or none is for the fleet.
        SettingsError: a lock or the settings cannot be read.
        OutsideError: another kgen uses the same fleet.
    """
    run = _Run(root, matrix, engine, options, progress=progress or _silent, notify=notify or _unheard)
    return run.validate(names)


class Fitting(NamedTuple):
    """The parts of a project that are for the nodes of a fleet.

    Attributes:
        locks: each kind of node with a lock for it.
        nowhere: the environments that were named and are for no node.
    """

    locks: tuple[tuple[Pool, Lockfile], ...]
    nowhere: tuple[str, ...]


class Way(NamedTuple):
    """How to run a command on nodes.

    Attributes:
        command: the command.
        device: as in :class:`kgen.actions.validate.ValidateOptions`.
        timeout: seconds for each backend.
        envs: the folder of the environments on the nodes; None for the one of the site or the settings.
        repeat: how often it trains.
        receipts: whether it writes receipts.
    """

    command: str
    device: str
    timeout: float
    envs: str | None
    repeat: int = 1
    receipts: bool = True


def fits(
    root: Path, matrix: CompatibilityMatrix, engine: Engine, names: Sequence[str], form: Format | None = None
) -> Fitting:
    """The parts of a project that are for the nodes of a fleet.

    Args:
        root: the project's folder.
        matrix: the facts.
        engine: the fleet.
        names: environments; none for all that are locked for a kind of node there.
        form: the only form of locks to consider; None for all of them.

    Raises:
        UsageError: there is no such environment, or none is for the fleet.
        SettingsError: a lock or the settings cannot be read.
    """
    asked = settings.read(root, matrix)
    found: list[tuple[Pool, Lockfile]] = []
    nowhere = []
    for one in _environments(root, names, form):
        before = len(found)
        for pool in engine.pools.values():
            lock = _lock(one, pool, asked.platforms)
            if lock is None:
                continue
            require_known(matrix, lock)
            viewed = interface.reader(one.form).as_matrix(lock, matrix)
            if is_for(viewed, pool.target.accelerator, matrix):
                found.append((pool, lock))
        if one.named and len(found) == before:
            nowhere.append(one.name)
    if not found and not nowhere:
        pools = engine.pools.values()
        known = ", ".join(f"{pool.name} ({pool.target.accelerator})" for pool in pools) or "there is none"
        raise OtherPlatformError(
            f"nothing in {root / project.LOCKS} is locked for a kind of node there: {known}",
            hints=["kgen lock"],
        )
    return Fitting(tuple(found), tuple(nowhere))


def _lock(one: _Environment, pool: Pool, platforms: Sequence[str] | None) -> Lockfile | None:
    """The lock of an environment for the machines of a pool; None if it is not locked for them."""
    here = subdir()
    wanted = pool.target.platforms or ((here,) if here else platforms or ())
    for platform in wanted:
        path = lockfiles.lock_path(one.environment, one.form, platform)
        for lock in () if path is None else interface.read_every(one.form, path):
            if lock.platform == platform:
                return lock
    return None


def job_of(root: Path, pool: Pool, lock: Lockfile, way: Way, more: Sequence[str] = ()) -> Job:
    """The job of an environment on the nodes of a pool.

    Args:
        root: the project's folder.
        pool: the nodes.
        lock: the environment's lock for them.
        way: how to run the command.
        more: further words of the call.
    """
    environment = lock.environment
    accelerated = CPU not in {pool.target.accelerator, lock.computes_on}
    device = way.device if way.device != "auto" else "gpu" if accelerated else "cpu"
    envs = way.envs or pool.envs
    if envs is None and pool.project is None:
        envs = str(project.envs(root))
    words = [way.command, environment, "--json", "--device", device, "--timeout", f"{way.timeout:g}"]
    words += [] if envs is None else ["--envs", envs]
    seconds = way.timeout * way.repeat * len(lock.backends) + INSTALLING
    return Job(pool, environment, lock, (*words, *more), accelerated and device == "gpu", seconds, way.receipts)


def _silent(_job: str, _what: str) -> None:
    pass


def _unheard(_remark: str) -> None:
    pass


class _Run:
    """One run on a fleet."""

    def __init__(
        self,
        root: Path,
        matrix: CompatibilityMatrix,
        engine: Engine,
        options: FleetOptions,
        *,
        progress: Progress,
        notify: Callable[[str], None],
    ) -> None:
        self._root, self._matrix, self._engine, self._options = root, matrix, engine, options
        self._progress, self._notify = progress, notify
        self._folder = root / FOLDER / engine.name
        self._today = _today()
        self._answers: dict[Slot, Answer] = {}
        self._findings: dict[str, tuple[Finding, ...]] = {}
        self._jobs: dict[tuple[str, str], Job] = {}
        self._fault: KgenError | None = None

    def validate(self, names: Sequence[str]) -> FleetResult:
        """See :func:`validate`."""
        self._plan(names)
        storage.make_folder(self._folder)
        with storage.exclusive(self._folder, who="kgen validate --fleet"):
            self._take_leftovers()
            if self._options.driver is not None:
                self._judge_drivers(self._options.driver)
            standing = self._standing() if self._options.resume else {}
            if not self._options.each_node:
                self._answers |= standing
            open_jobs = [
                job for job in self._jobs.values() if Slot(job.pool.name, job.environment) not in self._answers
            ]
            if self._options.driver is not None:
                open_jobs = self._canaries(open_jobs, self._options.driver)
            if open_jobs and self._fault is None:
                each = self._options.each_node
                limits = Limits(each, self._options.retries, frozenset(standing) if each else frozenset())
                self._submit(open_jobs, limits, standing)
            written = self._publish()
        ordered = sorted(self._answers.values(), key=lambda one: one.slot)
        return FleetResult(tuple(ordered), self._findings, written, self._fault)

    # -- what is to be run ---------------------------------------------------------------------------------------------

    def _plan(self, names: Sequence[str]) -> None:
        fitting = fits(self._root, self._matrix, self._engine, names, self._options.form)
        for pool, lock in fitting.locks:
            self._jobs[pool.name, lock.environment] = self._job(pool, lock)
        for name in fitting.nowhere:
            slot = Slot("-", name)
            self._answers[slot] = Answer(slot, State.NOT_SCHEDULED, "no node there is what it is locked for")

    def _job(self, pool: Pool, lock: Lockfile) -> Job:
        options = self._options
        suite = () if options.suite == receipts.BASIC else ("--suite", options.suite)
        way = Way("validate", options.device, options.timeout, options.envs)
        return job_of(self._root, pool, lock, way, suite)

    # -- before anything is submitted ----------------------------------------------------------------------------------

    def _judge_drivers(self, driver: DriverVersion) -> None:
        """Report what would break with a driver, and do not submit it."""
        for pool in self._engine.pools.values():
            jobs = [job for job in self._jobs.values() if job.pool == pool]
            if not jobs or pool.target.accelerator == CPU:
                continue
            kind = accelerators.kind(pool.target.accelerator.kind)
            try:
                kind.parse_driver(str(driver))
            except ValueError:
                continue  # the driver of another kind of accelerator
            views = {job.environment: interface.reader(job.lock.form).as_matrix(job.lock, self._matrix) for job in jobs}
            target = pool.target._replace(driver=driver)
            found = judge_described(target, list(views.values()), self._matrix, platforms=[jobs[0].lock.platform])
            self._findings[pool.name] = found.findings
            for job in jobs:
                why = [one.what for one in found.faults if views[job.environment].environment in one.environments]
                if why:
                    slot = Slot(pool.name, job.environment)
                    self._answers[slot] = Answer(slot, State.BREAKS, "; ".join(why))

    def _canaries(self, jobs: Sequence[Job], driver: DriverVersion) -> list[Job]:
        """Try one node of each kind first; returns the jobs for the kinds whose canary trained."""
        pools: dict[tuple[str, tuple[str, ...]], str] = {}
        for job in jobs:
            if job.accelerated:
                pools.setdefault(job.pool.kind, job.pool.name)
        first = [job for job in jobs if job.accelerated and pools[job.pool.kind] == job.pool.name]
        if not first:
            return list(jobs)
        self._notify(f"one node of each kind first: {', '.join(sorted(set(pools.values())))}")
        self._submit(first, Limits(retries=self._options.retries), {})
        trained = {(job.pool.kind, job.environment) for job in first if self._has_trained(job, driver)}
        rest = []
        for job in jobs:
            slot = Slot(job.pool.name, job.environment)
            if job.accelerated and (job.pool.kind, job.environment) not in trained:
                why = f"it did not pass on the one node of {pools[job.pool.kind]} that was tried first"
                self._answers.setdefault(slot, Answer(slot, State.NOT_SCHEDULED, why))
            elif job not in first or self._options.each_node:
                self._answers.pop(slot, None)  # if each node should answer, the canary's answers under its own name
                rest.append(job)
        return rest

    def _has_trained(self, job: Job, driver: DriverVersion) -> bool:
        """Whether the canary has passed with the driver in question."""
        slot = Slot(job.pool.name, job.environment)
        answer = self._answers[slot]
        if answer.state is State.PASSED and not _has(answer.driver, driver):
            why = f"the node has driver {answer.driver or 'unknown'}, and {driver} was asked about"
            self._answers[slot] = answer._replace(state=State.SKIPPED, reason=why)
        return self._answers[slot].state is State.PASSED

    # -- running -------------------------------------------------------------------------------------------------------

    def _submit(self, jobs: Sequence[Job], limits: Limits, standing: Mapping[Slot, Answer]) -> None:
        place = self._folder / f"run-{_moment()}"
        storage.make_folder(place)
        since = {"since": self._today.isoformat()}
        storage.write_file(place / _JOBS, json.dumps(since).encode())
        try:
            returned = self._engine.run(jobs, place, limits, self._progress)
        except KgenError as error:
            self._fault = error
            returned = self._gathered(place)
        wanted = {(job.pool.name, job.environment): job for job in jobs}
        self._take(returned, wanted, self._today, standing)
        for pool, environment in wanted:
            if not any((slot.pool, slot.environment) == (pool, environment) for slot in self._answers):
                slot = Slot(pool, environment)
                self._answers[slot] = Answer(slot, State.NOT_SCHEDULED, f"{self._engine.title} did not submit it")
        lost = any(self._answers[one.slot].state is State.LOST for one in returned if one.slot in self._answers)
        if self._fault is None and not lost:  # keep what is needed to examine lost jobs, whose results may still come
            shutil.rmtree(place, ignore_errors=True)

    def _gathered(self, place: Path) -> list[Returned]:
        """What has come back from a run; nothing if the engine cannot say."""
        try:
            return self._engine.gather(place)
        except KgenError as error:
            self._notify(f"note: {error.message}")
            return []

    def _take(
        self,
        returned: Sequence[Returned],
        wanted: Mapping[tuple[str, str], Job],
        since: dt.date,
        standing: Mapping[Slot, Answer],
    ) -> None:
        """Judge what came back, and keep the receipts."""
        for one in returned:
            job = wanted.get((one.slot.pool, one.slot.environment))
            if job is None:
                continue
            if one.slot in standing:
                self._answers[one.slot] = standing[one.slot]
                continue
            answer = answers.judge(one, job, answers.Span(since, _today()))
            self._answers[one.slot] = self._kept(answer)
        for slot, answer in standing.items():
            if (slot.pool, slot.environment) in wanted:
                self._answers.setdefault(slot, answer)

    def _kept(self, answer: Answer) -> Answer:
        """The answer, with its receipt if it should be kept."""
        if answer.receipt is None:
            return answer
        path = self._place_of(answer.slot)
        storage.make_folder(path.parent)
        storage.write_file(path, files.read(answer.receipt))
        return answer._replace(receipt=path)

    def _place_of(self, slot: Slot) -> Path:
        named = [re.sub("[^A-Za-z0-9._-]+", "-", part) for part in (slot.pool, slot.environment, slot.node or "any")]
        return self._folder / "receipts" / named[0] / named[1] / f"{named[2]}.json"

    def _take_leftovers(self) -> None:
        """Take the results of runs that did not finish."""
        for place in sorted(self._folder.glob("run-*")):
            try:
                since = dt.date.fromisoformat(json.loads(files.read(place / _JOBS))["since"])
            except (OSError, ValueError, KeyError, TypeError):
                since = self._today - _FORGOTTEN
            returned = self._gathered(place)
            before = dict(self._answers)
            self._take(returned, self._jobs, since, {})
            self._answers = before  # their receipts are kept, and count when somebody resumes
            answered = all(one.folder is not None and answers.is_answered(one.folder) for one in returned)
            if (answered and returned) or self._today - since >= _FORGOTTEN:
                shutil.rmtree(place, ignore_errors=True)

    def _standing(self) -> dict[Slot, Answer]:
        """The slots that have a receipt for this lock and this kind of node."""
        found = {}
        for job in self._jobs.values():
            folder = self._place_of(Slot(job.pool.name, job.environment)).parent
            for path in sorted(folder.glob("*.json")):
                slot = Slot(job.pool.name, job.environment, "" if path.stem == "any" else path.stem)
                if bool(slot.node) != self._options.each_node:
                    continue
                try:
                    data = receipts.load(path, "")
                except KgenError as error:
                    self._notify(f"note: {error.message}")
                    continue
                if receipts.suite_of(data) == self._options.suite and answers.receipt_fault(data, job) is None:
                    found[slot] = answers.of_receipt(slot, path, data)._replace(stands=True)
        return found

    # -- what the project says -----------------------------------------------------------------------------------------

    def _publish(self) -> tuple[Path, ...]:
        """Write the receipts beside the locks: one for each kind of device, a failure if there is one."""
        chosen: dict[Path, tuple[Lockfile, Path]] = {}
        for answer in self._answers.values():
            job = self._jobs.get((answer.slot.pool, answer.slot.environment))
            if job is None or answer.receipt is None or answer.stands:
                continue
            data = receipts.load(answer.receipt, "")
            path = receipts.path_of(job.lock, data["device"], receipts.suite_of(data))
            if path not in chosen or answer.state is State.FAILED:
                chosen[path] = (job.lock, answer.receipt)
        written = []
        if chosen:
            with storage.exclusive(self._root / project.LOCKS, wait=lambda: self._notify("waiting for another kgen")):
                for lock, receipt in chosen.values():
                    kept = receipts.write(lock, receipts.load(receipt, ""))
                    written += [] if kept is None else [kept]
        return tuple(written)


def _has(found: str | None, wanted: DriverVersion) -> bool:
    """Whether a driver belongs to the requested release: 595 stands for any of that branch."""
    numbers = wanted.numbers
    try:
        return found is not None and DriverVersion(found).numbers[: len(numbers)] == numbers
    except ValueError:
        return False


def _environments(root: Path, names: Sequence[str], form: Format | None) -> list[_Environment]:
    if names:
        found = {}
        for name in names:
            called, every, of = lockfiles.called_in_form(root, name, form)
            if not every:
                lockfiles.only(called, every)
            for one in every:
                lockfiles.require_form(one, of)
                found[one.name, of.name] = _Environment(one, of, named=True)
        return list(found.values())
    return [
        _Environment(one, of, named=False)
        for of in ((form,) if form is not None else formats.known())
        for one in lockfiles.environments(root)
        if lockfiles.lock_path(one, of) is not None
    ]


def _today() -> dt.date:
    return dt.datetime.now(dt.timezone.utc).date()


def _moment() -> str:
    return dt.datetime.now(dt.timezone.utc).strftime("%Y%m%dT%H%M%S%f")
