"""Locks once what the tests of real frameworks install: `python -m tests.record_locks [NAME…]`, in the root.

Writes `tests/data/locks/<name>` from the index that uv is configured for, with the tests' matrix: portable, so that no
host is in it. `questions()` says what a name stands for. PyTorch's locks need its CPU build: `UV_FIND_LINKS` names the
folder that has it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.command import CUTOFF
from tests.pinned import LOCKS
from tests.recorded import MATRIX

from kgen.matrix.origin import FOLDER_VARIABLE

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""Those that may run the tests; some tests make an environment for the one that runs them."""

_ON_EACH = {"numpy": PYTHONS, "jax": PYTHONS, "tensorflow": PYTHONS[:-1], "torch": ("3.11",), "openvino": ("3.11",)}
JUPYTER = ("ipykernel", "jupyter-client")


def label(backend: str, python: str) -> str:
    """The name of the lock of one backend for the CPU."""
    return f"{backend}-{python}"


def cpu(*words: str) -> tuple[str, ...]:
    """What `kgen lock` is asked for: backends and flags for the CPU, and last the CPython minor."""
    return (*words[:-1], "--cpu", "--python", words[-1], "--platform", "linux-64", "--exclude-newer", CUTOFF)


def questions() -> Mapping[str, tuple[str, ...]]:
    """Name of a lock -> what `kgen lock` is asked for it."""
    from tests.test_generations_frameworks import EVERY  # noqa: PLC0415 - it imports this module

    each = {label(one, python): cpu(one, python) for one, pythons in _ON_EACH.items() for python in pythons}
    wanted = [word for name in JUPYTER for word in ("--dependency", name)]
    return {**each, "jupyter": cpu("numpy", *wanted, "3.11"), **{case.label: case.asked for case in EVERY}}


def record(name: str, asked: tuple[str, ...]) -> None:
    """Locks, and keeps the lock alone.

    Raises:
        RuntimeError: kgen refused; says what it said.
    """
    environment = {**os.environ, FOLDER_VARIABLE: str(MATRIX), "UV_PYTHON_DOWNLOADS": "never"}
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "kgen", "lock", *asked, "--portable"]
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{name}: {done.stderr}")
        shutil.rmtree(LOCKS / name, ignore_errors=True)
        for path in Path(folder, "locks").glob("*/pylock.*.toml"):
            target = LOCKS / name / path.relative_to(Path(folder, "locks"))
            target.parent.mkdir(parents=True)
            shutil.copy(path, target)


def main() -> None:
    """Records the locks that are named, or all."""
    known = questions()
    for name in sys.argv[1:] or known:
        record(name, known[name])
        sys.stdout.write(f"{(LOCKS / name).relative_to(Path.cwd())}\n")


if __name__ == "__main__":
    main()
