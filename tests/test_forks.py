"""Calls of kgen that the tests fork: they do what processes of their own do, and what could differ is not forked."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from pathlib import Path

import pytest
from tests.command import LOCK, SOLVE, Kgen, tree
from tests.forks import Forks
from tests.index import Index

pytestmark = pytest.mark.usefixtures("there")

SOLVED = (*SOLVE, "jax", "--cpu")


@pytest.fixture(name="there")
def _there(forks: Forks | None) -> Forks:
    if forks is None:
        pytest.skip("kgen is not forked here")
    return forks


@pytest.mark.parametrize(
    "words",
    [("--version",), (), ("lokc",), SOLVED, (*SOLVED, "--require", "jax<0.1"), ("check",)],
    ids=lambda words: " ".join(words[:1]) or "nothing",
)
def test_it_says_and_exits_as_a_process_of_its_own(kgen: Kgen, words: tuple[str, ...]) -> None:
    assert kgen(*words) == dataclasses.replace(kgen, forks=None)(*words)


def test_it_writes_what_a_process_of_its_own_writes(kgen: Kgen, tmp_path: Path) -> None:
    """In the folder that it is called in, with the environment that it is given."""
    folders = [tmp_path / name for name in ("forked", "started")]
    for folder, command in zip(folders, (kgen, dataclasses.replace(kgen, forks=None)), strict=True):
        folder.mkdir()
        cache = tmp_path / f"cache-{folder.name}"
        done = command(*LOCK, "numpy", cwd=folder, KGEN_CACHE_DIR=str(cache))
        assert done.status == 0, done.stderr
        assert (cache / "repeat").is_dir()
    assert tree(folders[0]) == tree(folders[1])


def test_one_that_takes_too_long_is_killed(kgen_alone: Kgen, index: Index) -> None:
    index.misbehave("hang")
    with pytest.raises(subprocess.TimeoutExpired):
        kgen_alone(*LOCK, "numpy", timeout=5)
    ends = time.monotonic() + 10
    while _of_the_folder(kgen_alone.folder):
        assert time.monotonic() < ends
        time.sleep(0.1)


def _of_the_folder(folder: Path) -> list[Path]:
    """The processes that work in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if place.readlink() == folder:
                found.append(place)
        except OSError:
            continue
    return found


def test_what_a_call_could_tell_is_not_forked(there: Forks, tmp_path: Path) -> None:
    same = dict(os.environ)
    assert there.serves(tmp_path, same)
    assert there.serves(tmp_path, {**same, "KGEN_CACHE_DIR": "/elsewhere", "NO_COLOR": ""})
    for name in ("PYTHONPATH", "PYTHONHASHSEED", "LD_PRELOAD", "LC_ALL", "TZ", "TYPER_USE_RICH", "HOME"):
        assert not there.serves(tmp_path, {**same, name: "other"}), name
    (tmp_path / "notes.py").touch()
    assert there.serves(tmp_path, same)
    (tmp_path / "jinja2.py").touch()
    assert not there.serves(tmp_path, same)


def test_two_calls_in_a_row_have_another_order_of_sets(there: Forks, tmp_path: Path) -> None:
    """As two processes have: else nobody would see what depends on it."""
    assert there.serves(tmp_path, dict(os.environ))
    assert len(set(there.hashes)) == len(there.hashes) > 1
