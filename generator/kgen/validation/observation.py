"""Runs the training step with an environment's interpreter, and gathers what it reported, however it ended."""

from __future__ import annotations

import ast
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgen import process, storage
from kgen.errors import TimedOut
from kgen.validation import program

_KEPT = 1 << 20
"""Bytes of each stream that are kept: what a framework printed last is what tells."""

_TICK = 0.2
"""Seconds between two looks at the stage."""


def trains(step: str) -> bool:
    """Whether Keras can train on a backend, as the step's module for it says.

    Args:
        step: the name of that module.
    """
    name = f"kgen_step.backends.{step}"
    while True:
        tree = ast.parse((program.STEP / Path(*name.split("."))).with_suffix(".py").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TRAINS":
                return bool(ast.literal_eval(node.value))
        name = next(
            str(node.module)
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and any(alias.name == "TRAINS" for alias in node.names)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is to be validated.

    Attributes:
        name: what people call it, for messages.
        backend: the backend that Keras must come up with.
        device: `cpu` or `gpu`.
        interpreter: the environment's Python.
        variables: what the environment's activation sets.
        timeout: seconds.
        module: the package to train with.
        step: which of the step's modules knows how to look at it; None for that of the backend's name.
        way: the words of a program that enters the environment and then becomes the interpreter; none where its
            variables are all there is to entering it.
        accelerator: how the framework calls what must compute; None if that does not matter.
        hiding: variables that hide devices from a process, where the CPU is to compute.
        listed: which list of installed packages, of those that the step reports, is compared with its lock.
        suite: what is proven, one of :data:`kgen.validation.receipts.SUITES`.
        selecting: variables that give a process some of the devices: the first by their numbers.
    """

    name: str
    backend: str
    device: str
    interpreter: Path
    variables: Mapping[str, str]
    timeout: float
    module: str = "keras"
    step: str | None = None
    way: tuple[str, ...] = ()
    accelerator: str | None = None
    hiding: tuple[str, ...] = ()
    listed: str = "installed"
    suite: str = "basic"
    selecting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a run of the step reported.

    Attributes:
        events: its events in order; a line that was cut short is left out.
        status: its exit status, minus the signal's number if one ended it; None if it ran out of time.
        output: the end of what it printed, stdout before stderr.
        seconds: how long it took.
    """

    events: tuple[Mapping[str, Any], ...]
    status: int | None
    output: str
    seconds: float

    def last(self, event: str) -> Mapping[str, Any]:
        """The last event of this kind; empty if there is none."""
        return next((one for one in reversed(self.events) if one.get("event") == event), {})

    @property
    def stage(self) -> str | None:
        """The stage that began last and did not end; None if the step had not begun, or came to its end."""
        begun = None
        for event in self.events:
            if event.get("event") == "begin":
                begun = event.get("stage")
            elif event.get("event") == "end":
                begun = None
        return begun


def observe(subject: Subject, report: Callable[[str], None], cancel: threading.Event | None = None) -> Observation:
    """Runs the step to its end, or ends it with all its children when its time is over.

    Args:
        subject: what to run.
        report: called with the name of each stage, from another thread.
        cancel: set by another thread to have it ended.

    Raises:
        OutsideError: the interpreter is missing or cannot be executed.
        Cancelled: `cancel` was set.
    """
    with storage.scratch() as folder:
        events, spec, own = folder / "events.jsonl", folder / "spec.json", folder / "own"
        own.mkdir()
        values = {
            "backend": subject.backend,
            "import": subject.module,
            "step": subject.step or subject.backend,
            "device": subject.device,
            "hiding": list(subject.hiding),
            "selecting": list(subject.selecting),
            "suite": subject.suite,
            "folder": str(own),
            "ends": time.time() + subject.timeout,
        }
        spec.write_text(json.dumps(values), encoding="utf-8")
        started = time.monotonic()
        with _following(events, report):
            try:
                done = process.run(
                    [*subject.way, str(subject.interpreter), "-B", str(program.STEP), str(spec), str(events)],
                    env=subject.variables,
                    timeout=subject.timeout,
                    cancel=cancel,
                    keep=_KEPT,
                )
                status: int | None = done.status
                output = done.stdout + done.stderr
            except TimedOut as error:
                status, output = None, error.stdout + error.stderr
        return Observation(
            events=tuple(read_events(events)), status=status, output=output, seconds=time.monotonic() - started
        )


def read_events(path: Path) -> Iterator[Mapping[str, Any]]:
    """The events in a file of JSON lines; without a line that was cut short."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        # A process that was killed while writing leaves half a line.
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                yield event


@contextlib.contextmanager
def _following(path: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Reports each stage while the block runs."""
    over = threading.Event()

    def follow() -> None:
        reported = None
        while not over.wait(_TICK):
            begun = [event.get("stage") for event in read_events(path) if event.get("event") == "begin"]
            if begun and begun[-1] != reported:
                reported = begun[-1]
                report(str(reported))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
