"""The main job on the real index, and the reference locks of this project made again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import requests
import tomli
from packaging.pylock import Pylock
from tests.command import Kgen
from tests.pinned import frozen, locking
from tests.record_locks import cpu, label

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted((ROOT / "locks").glob("*/pylock.*.toml"))

pytestmark = pytest.mark.network


def _kgen(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "kgen"
    return subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def _skip_without_index(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode == 4 and "uv failed" in done.stderr and "CI" not in os.environ:
        pytest.skip(f"the index cannot be reached: {done.stderr[:200]}")


def test_main_job(tmp_path: Path) -> None:
    """`kgen lock --cuda 12` in an empty folder; the lock's own URLs hold what it says."""
    done = _kgen("lock", "--cuda", "12", "--python", "3.12", "--exclude-newer", "2026-11-20", "--json", cwd=tmp_path)
    _skip_without_index(done)
    assert done.returncode == 0, done.stderr
    rows = {row["environment"]: row for row in json.loads(done.stdout)["environments"]}
    assert {name: row["cuda"] is not None for name, row in rows.items()} == {
        "tensorflow-cuda12": True,
        "jax-cuda12": True,
        "torch-cuda12": True,
        "numpy-cpu": False,
    }
    for name, row in rows.items():
        assert (row["cuda"] or "12.").startswith("12.")
        assert (row["cudnn"] is None) == (row["cuda"] is None)
        assert {"keras", name.rpartition("-")[0]} <= row["packages"].keys()
    for name in rows:
        lock = Pylock.from_dict(tomli.loads((tmp_path / "locks" / name / "pylock.linux-64.toml").read_text()))
        smallest = min(
            (wheel for package in lock.packages for wheel in package.wheels or ()), key=lambda w: w.size or 0
        )
        head = requests.head(str(smallest.url), allow_redirects=True, timeout=60)
        assert int(head.headers["Content-Length"]) == smallest.size


def test_cpu_environment_installs_and_selects_its_backend(tmp_path: Path) -> None:
    """The whole way: lock, `uv pip sync`, hook, and Keras says which backend it runs on."""
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    with locking(frozen(Kgen(folder=tmp_path, temporary=tmp_path)), label("numpy", minor)) as kgen:
        locked = kgen("lock", *cpu("numpy", minor))
    assert locked.status == 0, locked.stderr
    uv = Path(sys.executable).parent / "uv"
    lock = tmp_path / "locks" / "numpy-cpu" / "pylock.linux-64.toml"
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--python", sys.executable, "env"],
        [uv, "pip", "sync", "--quiet", "--python", "env/bin/python", lock],
    ]
    for command in commands:
        subprocess.run(command, cwd=tmp_path, check=True)
    hook = lock.parent / "activate.d" / "kgen.sh"
    said = subprocess.run(
        ["sh", "-euc", f'. "{hook}"; exec env/bin/python -c "import keras; print(keras.backend.backend())"'],
        cwd=tmp_path,
        env={**os.environ, "KERAS_HOME": str(tmp_path / "keras")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "numpy\n"


@pytest.mark.parametrize("call", [(), ("jax", "torch", "--cuda", "13")], ids=["cuda12", "cuda13"])
def test_locking_over_the_reference_locks_changes_nothing(tmp_path: Path, call: Sequence[str]) -> None:
    """Whatever the index has got since; their bytes are tested in `test_reference_locks.py`."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "locks", tmp_path / "locks")
    done = _kgen("lock", *call, cwd=tmp_path)
    _skip_without_index(done)
    assert done.returncode == 0, done.stderr
    for path in LOCKS:
        assert (tmp_path / path.relative_to(ROOT)).read_bytes() == path.read_bytes(), path


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.parent.name)
def test_reference_lock_is_portable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    data = tomli.loads(text)
    for package in Pylock.from_dict(data).packages:
        (wheel,) = package.wheels or ()
        assert wheel.path == wheel.filename
        assert set(wheel.hashes) == {"sha256"}
        assert (wheel.size or 0) > 0
