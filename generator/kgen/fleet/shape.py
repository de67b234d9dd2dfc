"""What a fleet is made of: pools of nodes of one kind, slots to fill, jobs that fill them, and what came back."""

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
        name: what the engine calls them: a partition with its system, or a product of a GPU.
        target: the machine that each of them is.
        envs: the folder of the environments there; None for that of the project.
        project: the project's folder there; None where it has the same path as here.
        program: the words that start kgen there; empty where it is called as here.
        limited: whether the engine has a time limit of its own for them.
    """

    name: str
    target: Target
    envs: str | None = None
    project: str | None = None
    program: tuple[str, ...] = ()
    limited: bool = False

    @property
    def kind(self) -> tuple[str, tuple[str, ...]]:
        """What kind of node they are: the accelerator, and the architectures of the GPUs."""
        return str(self.target.accelerator), self.target.gpu


class Slot(NamedTuple):
    """One answer that is wanted.

    Attributes:
        pool: the name of the pool.
        environment: the environment's name on disk.
        node: the node; empty where any node of the pool will do.
    """

    pool: str
    environment: str
    node: str = ""


class State(enum.Enum):
    """What became of a slot."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_SCHEDULED = "not scheduled"
    LOST = "engine failure"
    BREAKS = "would break"


class Job(NamedTuple):
    """An environment that is to be validated, or compared, on the nodes of a pool.

    Attributes:
        pool: the pool.
        environment: the environment's name on disk.
        lock: its lock for the pool's platform.
        words: what follows the program: a command, the environment and its options, but for where receipts go.
        accelerated: whether it takes a GPU.
        seconds: how long it may take.
        receipts: whether it leaves receipts; else its answer is what it prints.
    """

    pool: Pool
    environment: str
    lock: Lockfile
    words: tuple[str, ...]
    accelerated: bool
    seconds: float
    receipts: bool = True


class Returned(NamedTuple):
    """What an engine has brought back of a slot.

    Attributes:
        slot: the slot.
        folder: holds `answer.json` and `receipts/`; None where nothing came back.
        node: where it ran; None if it never ran.
        reason: what the engine says about a job that did not end well; empty where it says nothing.
        attempts: how often it was tried.
    """

    slot: Slot
    folder: Path | None
    node: str | None
    reason: str = ""
    attempts: int = 1


class Answer(NamedTuple):
    """What is known of a slot.

    Attributes:
        slot: the slot.
        state: what became of it.
        reason: why, in words; empty where there is nothing to say.
        receipt: the receipt on this machine; None where there is none.
        node: where it ran; None if it did not.
        device: what it was proven on; None without a receipt.
        driver: the driver there; None without one.
        date: the day of the receipt; None without one.
        attempts: how often the engine tried.
        stands: whether the receipt was there before, so that nothing was run.
        notes: what else a person should know.
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
    """How an engine goes about it.

    Attributes:
        each_node: whether every node of a pool is wanted, and not any one of them.
        retries: how often a job without an answer is tried again.
        standing: slots that are not to be run again.
    """

    each_node: bool = False
    retries: int = 0
    standing: frozenset[Slot] = frozenset()


Progress = Callable[[str, str], None]
"""Is told of a job, such as `lab:h200, jax-cuda12`, and what happens to it."""


class Engine(Protocol):
    """What brings jobs to nodes, and answers back."""

    @property
    def name(self) -> str:
        """What the fleet is called in the names of folders."""

    @property
    def title(self) -> str:
        """What people call the engine."""

    @property
    def pools(self) -> Mapping[str, Pool]:
        """The pools by their names."""

    def run(self, jobs: Sequence[Job], folder: Path, limits: Limits, progress: Progress) -> list[Returned]:
        """Runs jobs to their end.

        Args:
            jobs: the jobs.
            folder: an empty folder for whatever the engine keeps.
            limits: how.
            progress: is told how far it is.

        Raises:
            OutsideError: the engine itself failed; what had come back is in the folder.
        """

    def gather(self, folder: Path) -> list[Returned]:
        """What has come back into the folder of a run, whether or not the run has ended."""
