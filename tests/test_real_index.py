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

from kgen.matrix.compatibility import CompatibilityMatrix

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
    assert {name: (row["cuda"], row["cudnn"]) for name, row in rows.items()} == {
        "tensorflow-cuda12": ("12.8", "==9.10.2.21"),
        "jax-cuda12": ("12.8", "==9.10.2.21"),
        "torch-cuda12": ("12.8", "==9.10.2.21"),
        "numpy-cpu": (None, None),
    }
    versions = {name: version for row in rows.values() for name, version in row["packages"].items()}
    expected = {"keras": "3.15.1", "tensorflow": "2.21.0", "jax": "0.12.0.1", "torch": "2.10.0", "numpy": "2.5.5"}
    assert {name: versions[name] for name in expected} == expected
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
    locked = _kgen("lock", "numpy", "--cpu", "--python", minor, cwd=tmp_path)
    _skip_without_index(locked)
    assert locked.returncode == 0, locked.stderr
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
def test_reference_locks_made_again_are_the_same(tmp_path: Path, call: Sequence[str]) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = _kgen("lock", *call, cwd=tmp_path)
    _skip_without_index(done)
    assert done.returncode == 0, done.stderr
    made = sorted(path for path in (tmp_path / "locks").rglob("*") if path.is_file())
    assert made
    for path in made:
        committed = ROOT / path.relative_to(tmp_path)
        assert path.read_bytes() == committed.read_bytes(), (
            f"{committed}: write it again with `kgen lock {' '.join(call)}`"
        )


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.parent.name)
def test_reference_lock_is_portable_and_of_this_matrix(path: Path, matrix: CompatibilityMatrix) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    data = tomli.loads(text)
    assert data["tool"]["kgen"]["matrix"] == matrix.revision
    for package in Pylock.from_dict(data).packages:
        (wheel,) = package.wheels or ()
        assert wheel.path == wheel.filename
        assert set(wheel.hashes) == {"sha256"}
        assert (wheel.size or 0) > 0
