"""The parts of a fleet: pools of nodes of one kind, slots to fill, jobs that fill them, and their results."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from kgen.model.lockfile import Lockfile
from kgen.settings import Target


class Pool(NamedTuple):
    """Nodes of one kind, as an engine knows them.

    Attributes:
        name: the engine's name for them: a partition with its system, or a GPU product.
        target: the machine that each node is.
        envs: the folder of the environments there; None for the project's.
        project: the project's folder there; None if it has the same path as here.
        program: the words that start kgen there; empty for the same words as here.
        limited: whether the engine has its own time limit for them.
    """

    name: str
    target: Target
    envs: str | None = None
    project: str | None = None
    program: tuple[str, ...] = ()
    limited: bool = False

    @property
    def kind(self) -> tuple[str, tuple[str, ...]]:
        """The kind of the nodes: the accelerator, and the architectures of the GPUs."""
        return str(self.target.accelerator), self.target.gpu


class Slot(NamedTuple):
    """A place for one answer.

    Attributes:
        pool: the name of the pool.
        environment: the environment's name on disk.
        node: the node; empty for any node of the pool.
    """

    pool: str
    environment: str
    node: str = ""


class State(enum.Enum):
    """The state of a slot."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_SCHEDULED = "not scheduled"
    LOST = "engine failure"
    BREAKS = "would break"


class Job(NamedTuple):
    """An environment to validate, or to compare, on the nodes of a pool.

    Attributes:
        pool: the pool.
        environment: the environment's name on disk.
        lock: its lock for the pool's platform.
        words: the words after the program: a command, the environment and options, without the folder for receipts.
        accelerated: whether it takes a GPU.
        seconds: its time limit in seconds.
        receipts: whether it writes receipts; if not, its answer is its output.
    """

    pool: Pool
    environment: str
    lock: Lockfile
    words: tuple[str, ...]
    accelerated: bool
    seconds: float
    receipts: bool = True


class Returned(NamedTuple):
    """The result that an engine has for a slot.

    Attributes:
        slot: the slot.
        folder: the folder with `answer.json` and `receipts/`; None without a result.
        node: the node that it ran on; None if it never ran.
        reason: the engine's reason for a job that failed; empty if it gives none.
        attempts: the number of tries.
    """

    slot: Slot
    folder: Path | None
    node: str | None
    reason: str = ""
    attempts: int = 1


class Answer(NamedTuple):
    """The state of a slot.

    Attributes:
        slot: the slot.
        state: the state.
        reason: the reason in words; empty if there is none.
        receipt: the receipt on this machine; None if there is none.
        node: the node that it ran on; None if it did not run.
        device: the device of the proof; None without a receipt.
        driver: the driver there; None without a receipt.
        date: the receipt's date; None without a receipt.
        attempts: the number of the engine's tries.
        stands: whether the receipt existed before, so that nothing ran.
        notes: further notes for the user.
    """

    slot: Slot
    state: State
    reason: str = ""
    receipt: Path | None = None
    node: str | None = None
    device: str | None = None
    driver: str | None = None
    date: str | None = None
    attempts: int = 0
    stands: bool = False
    notes: tuple[str, ...] = ()


class Limits(NamedTuple):
    """The limits for an engine.

    Attributes:
        each_node: whether to run on every node of a pool instead of any one.
        retries: how often to repeat a job without an answer.
        standing: slots that must not run again.
    """

    each_node: bool = False
    retries: int = 0
    standing: frozenset[Slot] = frozenset()


Progress = Callable[[str, str], None]
"""Takes a job, such as `lab:h200, jax-cuda12`, and what happens to it."""


class Engine(Protocol):
    """Runs jobs on nodes, and brings answers back."""

    @property
    def name(self) -> str:
        """The name of the fleet in the names of folders."""

    @property
    def title(self) -> str:
        """The engine's name for people."""

    @property
    def pools(self) -> Mapping[str, Pool]:
        """The pools by their names."""

    def run(self, jobs: Sequence[Job], folder: Path, limits: Limits, progress: Progress) -> list[Returned]:
        """Run jobs to their end.

        Args:
            jobs: the jobs.
            folder: an empty folder for the engine's files.
            limits: the limits.
            progress: called with each change of a job.

        Raises:
            OutsideError: the engine itself failed; earlier results are in the folder.
        """

    def gather(self, folder: Path) -> list[Returned]:
        """The results in the folder of a run, whether or not the run has ended."""
