"""Run the user's own training script, unchanged, in several locked environments, and compare the results."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kgen import files, host, process, storage
from kgen.actions import sync, validate
from kgen.actions.validate import ValidateOptions, ValidationTarget
from kgen.errors import ExitStatus, KgenError, OutsideError, TimedOut, UsageError
from kgen.host import Host
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU
from kgen.model.grammar import shown
from kgen.model.requirement import canonical_name
from kgen.validation import comparison, observation, program
from kgen.validation.comparison import Training
from kgen.validation.diagnosis import NOTHING, Diagnosis, diagnose
from kgen.validation.judge import Fault
from kgen.validation.seats import ANY, Seat, Seats, at_once

SEED = 20150327
"""The seed of `--same-start`; its value does not matter."""

_KEPT = 1 << 20
_ENDED = 0


class CompareOptions(NamedTuple):
    """How to compare a training.

    Attributes:
        device: as in :class:`ValidateOptions`.
        repeat: the number of runs in each environment.
        same_start: whether every run begins with the same weights and seed.
        tolerance: the greatest relative distance of losses at a step.
        timeout: the limit for each run in seconds.
        envs: the folder of the environments; None for the settings' folder.
        jobs: the greatest number of runs at once. Each of them has a GPU, or waits for one; on the CPU one runs at a
            time.
    """

    device: str = "auto"
    repeat: int = 1
    same_start: bool = False
    tolerance: float = comparison.TOLERANCE
    timeout: float = 3600.0
    envs: str | None = None
    jobs: int = 1


@dataclass(slots=True, kw_only=True)
class Contestant:
    """An environment with one of its backends.

    Attributes:
        name: the environment's name, with the backend if the environment has several.
        target: the environment and its device.
        backend: the backend that Keras must load.
        runs: the results of the runs.
        skip: why it does not run.
        failure: how a run failed; None if none did.
        diagnosis: the cause of the failure.
    """

    name: str
    target: ValidationTarget
    backend: str
    runs: list[Training] = field(default_factory=list)
    skip: str | None = None
    failure: str | None = None
    diagnosis: Diagnosis = NOTHING

    @property
    def trained(self) -> bool:
        """Whether every run trained to its end."""
        return bool(self.runs) and self.failure is None and self.skip is None


class CompareResult(NamedTuple):
    """The result of a comparison.

    Attributes:
        contestants: each environment and backend, in the requested order.
        verdict: which is fastest, and whether they agree.
        options: how they were compared.
    """

    contestants: tuple[Contestant, ...]
    verdict: comparison.Verdict
    options: CompareOptions

    @property
    def status(self) -> ExitStatus:
        """`CHECK_FAILED` if a run failed, nothing trained, or the results disagree; else `DONE`."""
        failed = any(one.failure is not None for one in self.contestants)
        trained = any(one.trained for one in self.contestants)
        return (
            ExitStatus.DONE if trained and not failed and self.verdict.agree is not False else ExitStatus.CHECK_FAILED
        )


def compare(
    root: Path,
    matrix: CompatibilityMatrix,
    machine: Host,
    command: Sequence[str],
    *,
    names: Sequence[str] = (),
    options: CompareOptions | None = None,
    progress: Callable[[str, str], None] | None = None,
    notify: Callable[[str], None] = validate.ignore,
) -> CompareResult:
    """Run a command in environments, and compare what it trained.

    Args:
        root: the project's folder.
        matrix: the facts.
        machine: this machine's devices.
        command: the words of the program; it runs in kgen's working directory.
        names: environments; empty for all that are locked for this machine.
        options: how to compare them.
        progress: called with the name and the stage of each contestant.
        notify: called with each note for the user.

    Raises:
        UsageError: there is no such environment, or no command.
        SettingsError: a lock cannot be read.
    """
    if not command:
        raise UsageError("what is to be compared?", hints=["kgen compare jax torch -- python train.py"])
    asked = options or CompareOptions()
    chosen = validate.targets(root, matrix, machine, names, ValidateOptions(asked.device, envs=asked.envs))
    contestants = tuple(
        Contestant(
            name=target.name if len(target.backends) == 1 else f"{target.name}/{backend}",
            target=target,
            backend=backend,
            skip=target.skip or _unable(matrix, backend),
        )
        for target in chosen
        for backend in target.backends
    )
    with storage.scratch() as folder:
        # every environment once before any runs again, so that a machine that warms up slows all of them alike
        lent = Lent(matrix, machine, several=asked.jobs > 1)
        start = folder / "start.npz"
        for number in range(asked.repeat):
            runner = _Runner(root, matrix, asked, folder / f"{number}", progress, notify, lent)
            wanted = [one for one in contestants if one.skip is None and one.failure is None]
            calls = [functools.partial(runner.run, one, tuple(command), start) for one in wanted]
            while calls and asked.same_start and not files.exists(start):
                calls.pop(0)()  # the others begin with what it began with
            at_once(asked.jobs, calls, lent.cancel)
    trained = {one.name: one.runs for one in contestants if one.trained}
    verdict = comparison.judge(trained, tolerance=asked.tolerance, same_start=asked.same_start)
    return CompareResult(contestants, verdict, asked)


def _unable(matrix: CompatibilityMatrix, backend: str) -> str | None:
    row = matrix.backends[backend]
    return None if observation.trains(row.step) else f"Keras cannot train on {row.selected}"


class Lent:
    """Lends devices, and lets one environment install at a time.

    Attributes:
        cancel: an event that ends all runs.
        installing: a lock for installing an environment.
    """

    def __init__(self, matrix: CompatibilityMatrix, machine: Host, *, several: bool) -> None:
        self.cancel = threading.Event()
        self.installing = threading.Lock()
        # two trainings on one processor would slow each other
        self._kinds = {CPU.kind: Seats((ANY,))}
        for kind in matrix.accelerators:
            # without parallel runs, all train on the same device
            every = validate.seats_of(kind, matrix, machine) if several else ()
            self._kinds[kind] = Seats(every or (ANY,))

    def device(self, target: ValidationTarget) -> AbstractContextManager[Seat]:
        """A device for the block alone."""
        kind = target.kind if target.device != CPU.kind and target.kind in self._kinds else CPU.kind
        return self._kinds[kind].taken(over=self.cancel.is_set)


@dataclass(frozen=True, slots=True)
class _Runner:
    root: Path
    matrix: CompatibilityMatrix
    options: CompareOptions
    folder: Path
    progress: Callable[[str, str], None] | None
    notify: Callable[[str], None]
    lent: Lent

    def run(self, one: Contestant, command: tuple[str, ...], start: Path) -> None:
        """Run the command once for a contestant, on a device of its own."""
        with self.lent.device(one.target) as seat:
            if not self.lent.cancel.is_set():
                self._run(one, command, start, seat)

    def _run(self, one: Contestant, command: tuple[str, ...], start: Path, seat: Seat) -> None:
        self._report(one, "preparing")
        try:
            with self.lent.installing:
                words, variables = self._way(one)
            variables = {**variables, **seat.variables}
        except KgenError as error:
            one.failure = f"{Fault.INSTALL.value}: {error.message}"
            one.diagnosis = Diagnosis(hints=error.hints)
            self._report(one, "failed")
            return
        place = self.folder / one.name.replace("/", "-")
        place.mkdir(parents=True)
        events, spec = place / "events.jsonl", place / "watch.json"
        values = {"events": str(events), "began": time.time(), "start": None, "seed": None}
        if self.options.same_start:
            values |= {"start": str(start), "seed": SEED}
        spec.write_text(json.dumps(values), encoding="utf-8")
        own = host.variable("PYTHONPATH")
        chosen = [f"PYTHONPATH={program.WATCH}{f':{own}' if own else ''}", f"KGEN_WATCH={spec}"]
        self._report(one, "training")
        try:
            done = process.run(
                [*words, *chosen, *command],
                env=variables,
                timeout=self.options.timeout,
                keep=_KEPT,
                cancel=self.lent.cancel,
            )
            status: int | None = done.status
            output = done.stdout + done.stderr
        except TimedOut as error:
            status, output = None, error.stdout + error.stderr
        except OutsideError as error:
            status, output = None, error.message
        training = comparison.read(observation.read_events(events))
        one.runs.append(training)
        failure = self._failure(one, training, status)
        if failure is not None:
            fault, one.failure = failure
            lock = one.target.locked
            one.diagnosis = diagnose(
                fault.value,
                environment=one.target.name,
                output=output,
                failure={},
                watched={},
                missing=(),
                status=status,
                locked=None if lock is None else set(map(canonical_name, lock.versions)),
            )
            if not one.diagnosis.quotes:
                lines = [line.strip() for line in output.splitlines() if line.strip()]
                one.diagnosis = one.diagnosis._replace(quotes=tuple(map(shown, lines[-1:])))
        self._report(one, "failed" if failure else "passed")

    def _report(self, one: Contestant, stage: str) -> None:
        if self.progress is not None:
            self.progress(one.name, stage)

    def _way(self, one: Contestant) -> tuple[list[str], Mapping[str, str]]:
        """The words that enter the environment, and the variables for them."""
        locked = one.target.locked
        assert locked is not None  # noqa: S101 - `no_lock` is not asked for
        row = self.matrix.backends[one.backend]
        variables = dict(row.environment)
        if one.target.device == CPU.kind:
            hiding = [name for kind in self.matrix.accelerators.values() for name in kind.hiding]
            variables |= dict.fromkeys(hiding, "-1")
        elif one.target.kind in self.matrix.accelerators:
            variables = {**self.matrix.accelerators[one.target.kind].environment, **variables}
        validate.installed(
            self.root,
            locked,
            variables,
            self.options.envs,
            report=lambda stage: self._report(one, stage),
            notify=self.notify,
        )
        source = sync.find(self.root, locked.environment, self.options.envs)
        entering, inside = sync.way_in(source)
        chosen = [f"{name}={value}" for name, value in sorted(variables.items())]
        return [*entering, "/usr/bin/env", *chosen], inside

    def _failure(self, one: Contestant, training: Training, status: int | None) -> tuple[Fault, str] | None:
        """How a run failed, in the terms of `kgen validate`; None if it did not."""
        selected = self.matrix.backends[one.backend].selected
        if status is None:
            how = f"did not end within {self.options.timeout:g} s"
        elif status < 0:
            how = f"was ended by signal {-status}"
        else:
            how = f"ended with exit status {status}"
        if training.backend is None:
            hidden = "never imported Keras where kgen could see it (Python's -E and -I hide it)"
            return Fault.IMPORT, hidden if status == _ENDED else f"{how} before it imported Keras"
        if training.backend != selected:
            return Fault.BACKEND, f"Keras runs on `{training.backend}`, and this environment is for `{selected}`"
        if not training.steps:
            what = "ended" if status == _ENDED else how
            return Fault.FAILS, f"{what} without a step of `fit`"
        if status != _ENDED or not training.ended:
            return Fault.FAILS, f"{how} after {len(training.steps)} steps"
        if training.start:
            return Fault.FAILS, f"cannot begin with the common weights: {training.start}"
        return None
