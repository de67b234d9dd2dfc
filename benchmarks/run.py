"""Measures kgen as whole processes, beside uv doing the same by hand, in one run on one machine.

    python benchmarks/run.py solve            # no network
    python benchmarks/run.py lock             # the index that uv is configured for
    python benchmarks/run.py validate         # the same; installs JAX and TensorFlow for the CPU in a temporary folder

Prints medians and ratios; judges nothing. The commands of a round follow each other, so that a machine (or an index)
whose speed drifts slows all of them alike. `kgen` and `uv` are those beside the interpreter that runs this.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
KGEN = str(BIN / "kgen")
UV = shutil.which("uv", path=str(BIN)) or "uv"
PYTHON = "3.12"
TOGETHER = ("solve", "tensorflow", "jax", "torch", "--together", "all", "--cuda", "12", "--python", PYTHON)
SOLVES: dict[str, tuple[str, ...]] = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "kgen --version": (KGEN, "--version"),
    "solve, one backend": (KGEN, "solve", "torch", "--cuda", "12", "--python", PYTHON),
    "solve, one backend, Python left open": (KGEN, "solve", "torch", "--cuda", "12"),
    "solve, three together": (KGEN, *TOGETHER),
    "refusal, TensorFlow and torch 2.6": (
        KGEN, "solve", "tensorflow", "torch", "--together", "all", "--cuda", "12", "--python", "3.11",
        "--require", "torch==2.6.0",
    ),
    "refusal, three and TensorFlow 2.21": (KGEN, *TOGETHER, "--require", "tensorflow==2.21.0"),
    "refusal, no wheel for Python 3.14": (KGEN, *TOGETHER[:-1], "3.14"),
}  # fmt: skip
REQUESTS: dict[str, str] = {
    "tensorflow": "keras tensorflow[and-cuda]",
    "jax": "keras jax[cuda12]",
    "torch": "keras torch<2.11",
    "numpy": "keras numpy scipy jax",
}
"""What a user would write by hand; `<2.11` is what they have to know for CUDA 12."""


TRAINED = ("jax", "tensorflow")
BARE = Path(__file__).with_name("bare_step.py")


def timed(command: Sequence[str], *, cwd: Path, text: str | None = None) -> float:
    """Seconds of one whole process; its output is read and thrown away."""
    started = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=cwd,
        input=text,
        capture_output=True,
        text=True,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode not in {0, 3}:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return seconds


def solve(rounds: int) -> None:
    """`kgen solve` and `kgen --version` against an interpreter that does nothing."""
    taken: dict[str, list[float]] = {name: [] for name in SOLVES}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds + 1):
            for name, command in SOLVES.items():
                taken[name].append(timed(command, cwd=Path(folder)))
    for name, seconds in taken.items():
        counted = sorted(seconds[1:])
        low, high = counted[0] * 1000, counted[-1] * 1000
        print(f"{name:<40} {statistics.median(counted) * 1000:7.0f} ms  ({low:.0f}-{high:.0f})")


def lock(rounds: int) -> None:
    """`kgen lock --cuda 12` against `uv pip compile --generate-hashes` of the same four, one after the other."""
    whole: list[float] = []
    each: dict[str, list[float]] = {name: [] for name in REQUESTS}
    for round_ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            seconds = timed([KGEN, "lock", "--cuda", "12", "--python", PYTHON], cwd=Path(folder))
            alone = {
                name: timed(
                    [
                        UV, "pip", "compile", "-", "--generate-hashes", "--quiet", "--output-file", f"{name}.txt",
                        "--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_28",
                    ],
                    cwd=Path(folder),
                    text=request.replace(" ", "\n"),
                )
                for name, request in REQUESTS.items()
            }  # fmt: skip
        if round_ > 0:  # the first one warms the caches
            whole.append(seconds)
            for name, one in alone.items():
                each[name].append(one)
    sums = [sum(seconds) for seconds in zip(*each.values(), strict=True)]
    slowest = [max(seconds) for seconds in zip(*each.values(), strict=True)]
    _row("kgen lock --cuda 12, four backends", whole, "s")
    for name, taken in each.items():
        _row(f"uv pip compile, {name}", taken, "s")
    for what, others in (("their sum", sums), ("the slowest of them", slowest)):
        _row(f"kgen / {what}, round by round", [ours / theirs for ours, theirs in zip(whole, others, strict=True)], " ")


def spent(command: Sequence[str], *, cwd: Path) -> tuple[float, float]:
    """Seconds by the clock, and seconds of processors: the second hardly minds what else the machine does."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = timed(command, cwd=cwd)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def validate(rounds: int) -> None:
    """`kgen validate ENV` against the same steps written by hand, run by the same interpreter."""
    bare: dict[str, list[tuple[float, float]]] = {}
    ours: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        timed([KGEN, "lock", *TRAINED, "--cpu", "--python", "3.11"], cwd=root)
        for backend in TRAINED:
            place = root / ".kgen" / "envs" / f"{backend}-cpu"
            timed([UV, "venv", "--python", "3.11", str(place)], cwd=root)
            lock = root / "locks" / f"{backend}-cpu" / "pylock.linux-64.toml"
            timed([UV, "pip", "sync", "--python", str(place), str(lock)], cwd=root)
        for _ in range(rounds + 1):
            for backend in TRAINED:
                python = str(root / ".kgen" / "envs" / f"{backend}-cpu" / "bin" / "python")
                words = ["env", f"KERAS_BACKEND={backend}", "CUDA_VISIBLE_DEVICES=-1", python, str(BARE)]
                bare.setdefault(backend, []).append(spent(words, cwd=root))
                ours.setdefault(backend, []).append(spent([KGEN, "validate", backend], cwd=root))
    for backend in TRAINED:  # the first round writes byte code
        for which, what in enumerate(("wall clock", "processor")):
            one = [spent[which] for spent in bare[backend][1:]]
            other = [spent[which] for spent in ours[backend][1:]]
            _row(f"bare script, {backend}, {what}", one, "s")
            _row(f"kgen validate {backend}, {what}", other, "s")
            _row("kgen / bare, round by round", [a / b for a, b in zip(other, one, strict=True)], " ")


def _row(what: str, values: Sequence[float], unit: str) -> None:
    print(f"{what:<45} {statistics.median(values):6.2f} {unit}  ({min(values):.2f}-{max(values):.2f})")


def main() -> None:
    """Run what was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("solve", "lock", "validate"))
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds, after one that is not (default 7)")
    arguments = parser.parse_args()
    {"solve": solve, "lock": lock, "validate": validate}[arguments.what](arguments.rounds)


if __name__ == "__main__":
    main()
