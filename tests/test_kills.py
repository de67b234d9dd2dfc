"""SIGKILL at any moment of `sync` and `lock`: the next run is fine, and nothing is left behind by then.

A run is cut into slices of equal length, and is killed once in each, at a moment that is random with a fixed seed. No
part is left out, as may be where all moments are random. How far a run has come by then depends on the machine.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.command import LOCK, PYTHON, Kgen, tree
from tests.index import Index

ENVS = ".kgen/envs"
SEEDS = 5
KILLS = 5
"""Of one test: the tests of one command have all slices among them, each of a twenty-fifth of its time."""
_EARLIEST = 0.05
"""Seconds in which Python has not begun with kgen yet."""

_MARK = "KGEN_TEST_RUN"
_GONE = 5.0
"""Seconds after which whatever a killed run had started has ended."""

linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="tells processes by their environment")
interpreter = pytest.mark.skipif(
    shutil.which(f"python{PYTHON}") is None and f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON,
    reason=f"no CPython {PYTHON} on this machine",
)


def family(mark: str) -> list[str]:
    """The processes that were started by the run with this mark, and what each of them is."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            if f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(f"{folder.name} {(folder / 'cmdline').read_bytes()!r}")
        except OSError:
            continue
    return found


def assert_gone(mark: str) -> None:
    deadline = time.monotonic() + _GONE
    while (left := family(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def kill(kgen: Kgen, words: tuple[str, ...], ready: Callable[[float], bool]) -> bool:
    """Starts a run and kills it alone when it is time; says whether it was still alive."""
    mark = uuid.uuid4().hex
    run = kgen.start(*words, **{_MARK: mark})
    begun = time.monotonic()
    while run.poll() is None and not ready(time.monotonic() - begun):
        time.sleep(0.001)
    alive = run.poll() is None
    run.kill()
    run.communicate(timeout=30)
    assert_gone(mark)
    return alive


def kill_alive(kgen: Kgen, words: tuple[str, ...], moment: float) -> None:
    """Kills a run after so many seconds, or earlier where it ends before: it may be faster this time."""
    alive = False
    while not alive:
        begun, wanted = time.monotonic(), moment
        alive = kill(kgen, words, lambda since, wanted=wanted: since >= wanted)  # type: ignore[misc]
        moment = min(moment, time.monotonic() - begun) * 0.95


def slices(seed: int, lasts: float, moments: random.Random) -> Iterator[float]:
    """The moments of one test, one in each of its slices.

    >>> [[int(one) for one in slices(seed, 25 + 0.05, random.Random(0))] for seed in (0, 4)]
    [[0, 5, 10, 15, 20], [4, 9, 14, 19, 24]]
    """
    wide = (lasts - _EARLIEST) / (SEEDS * KILLS)
    for number in range(KILLS):
        yield _EARLIEST + (number * SEEDS + seed + moments.random() * 0.9) * wide


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory, healthy: Index) -> Path:
    folder = tmp_path_factory.mktemp("locked")
    done = Kgen(folder=folder, temporary=folder).at(healthy.url)(*LOCK, "numpy")
    assert done.status == 0, done.stderr
    return folder / "locks"


@pytest.fixture
def alone(kgen: Kgen, tmp_path: Path) -> Kgen:
    """The command with a folder for temporary files of its own, in which what is left over is seen."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    return dataclasses.replace(kgen, environment={**kgen.environment, "TMPDIR": str(temporary)})


def left(kgen: Kgen) -> list[str]:
    """What is left over of runs that have ended."""
    temporary = Path(kgen.environment["TMPDIR"])
    folders = [kgen.folder, kgen.folder / "locks", kgen.folder / ENVS]
    hidden = [path.name for folder in folders if folder.is_dir() for path in folder.iterdir() if ".kgen" in path.name]
    below = [path.name for path in (kgen.folder / "locks").rglob("*.kgen*")]
    return sorted({*hidden, *below} - {".kgen"}) + [path.name for path in temporary.iterdir()]


def duration(kgen: Kgen, *words: str) -> float:
    begun = time.monotonic()
    done = kgen(*words)
    assert done.status == 0, done.stderr
    return time.monotonic() - begun


@linux
@interpreter
@pytest.mark.parametrize("seed", range(SEEDS))
def test_sync(alone: Kgen, locks: Path, seed: int) -> None:
    moments = random.Random(seed)  # noqa: S311 - no secret
    shutil.copytree(locks, alone.folder / "locks")
    prefix = alone.folder / ENVS / "numpy-cpu"
    duration(alone, "sync", "numpy")
    lasts = duration(alone, "sync", "numpy", "--reinstall")
    whole = set(tree(prefix))
    for moment in slices(seed, lasts, moments):
        fresh = bool(moments.randrange(2))
        if fresh:
            shutil.rmtree(prefix)
        kill_alive(alone, ("sync", "numpy", "--reinstall"), moment)
        if not fresh:  # the old one stands, or the new one
            assert (prefix / "bin/python").exists()
            assert (prefix / "share/kgen/environment.json").exists()
        # any kind of run removes what was left
        word = moments.choice((("sync", "numpy"), ("run", "numpy", "--", "true")))
        done = alone(*word)
        assert done.status == 0, done.stderr
        assert left(alone) == []
        assert {path for path in tree(prefix) if "__pycache__" not in path} == {
            path for path in whole if "__pycache__" not in path
        }
    assert alone("check", "--installed", "numpy").status == 0


@linux
@pytest.mark.parametrize("seed", range(SEEDS))
def test_lock(alone: Kgen, locks: Path, seed: int) -> None:
    moments = random.Random(seed)  # noqa: S311 - no secret
    shutil.copytree(locks, alone.folder / "locks")
    other = (*LOCK, "numpy", "--dependency", "six")
    before = tree(alone.folder / "locks")
    lasts = duration(alone, *other)
    locked = tree(alone.folder / "locks")
    assert before != locked
    for moment in slices(seed, lasts, moments):
        shutil.rmtree(alone.folder / "locks")
        shutil.copytree(locks, alone.folder / "locks")
        kill_alive(alone, other, moment)
        done = alone(*other)
        assert done.status == 0, done.stderr
        assert left(alone) == []
        assert tree(alone.folder / "locks") == locked


@linux
@interpreter
def test_sync_while_it_installs(alone: Kgen, locks: Path) -> None:
    """Aimed at the moments in which a survivor would go on writing."""
    shutil.copytree(locks, alone.folder / "locks")
    envs = alone.folder / ENVS
    for _ in range(3):
        shutil.rmtree(envs, ignore_errors=True)
        assert kill(
            alone,
            ("sync", "numpy"),
            lambda _since: any(envs.glob(".*.kgen-stage/made/lib/python*/site-packages/*")),
        )
        assert list(envs.glob(".*.kgen-stage"))
        done = alone("sync", "numpy")
        assert (done.status, left(alone)) == (0, []), done.stderr
