"""Measures kgen as whole processes, beside uv doing the same by hand, in one run on one machine.

    python benchmarks/run.py solve            # no network
    python benchmarks/run.py lock             # the index that uv is configured for
    python benchmarks/run.py nix              # the same, and nix

Prints medians and ratios; judges nothing. The commands of a round follow each other, so that a machine (or an index)
whose speed drifts slows all of them alike. `kgen` and `uv` are those beside the interpreter that runs this.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from tests.nix import Nix

ROOT = Path(__file__).resolve().parents[1]
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


FLAKE = """\
{
  inputs.kgen.url = "path:REPOSITORY";
  inputs.kgen.inputs.nixpkgs.follows = "nixpkgs";
  outputs = { nixpkgs, kgen, ... }: let
    locked = kgen.lib.mkOutputs { inherit nixpkgs; locks = ./locks; };
    pkgs = nixpkgs.legacyPackages.SYSTEM;
  in locked // { devShells.SYSTEM = locked.devShells.SYSTEM // { empty = pkgs.mkShellNoCC { }; }; };
}
"""


def nix(rounds: int) -> None:
    """An environment of Nix against uv's, with JAX for the CPU; nixpkgs is the small one of the tests."""
    # kept out of the other measurements' way: it needs the tests beside this folder
    sys.path.insert(0, str(ROOT))
    from tests import nix as support  # noqa: PLC0415

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kgen-benchmarks"
    project, wheels = support.locked_wheels(cache, ["jax"])
    builds: dict[str, list[float]] = {"nix": [], "uv": []}
    for round_ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            store = support.Nix.at(work / "nix")
            repository = support.copy_of_repository(work / "repository")
            shutil.copytree(project / "locks", work / "project" / "locks")
            flake = FLAKE.replace("REPOSITORY", str(repository)).replace("SYSTEM", support.SYSTEM)
            (work / "project" / "flake.nix").write_text(flake)
            store.seed(wheels)
            ours, empty = ([*_develop(store, work / "project", shell)] for shell in ("jax", "empty"))
            _nix_timed(store, [*empty, "true"])
            builds["nix"].append(_nix_timed(store, [*ours, "true"]))
            builds["uv"].append(_uv_build(work, wheels, next(project.glob("locks/*/pylock.*.toml"))))
            if round_ == 1:
                _compare_shells(store, ours, empty, work / "venv" / "bin" / "python", rounds)
            # what is in a store cannot be written, and so not removed either
            subprocess.run(["chmod", "-R", "u+w", str(work / "nix")], check=True)
    _row("build: nix develop, from a seeded store", builds["nix"], "s")
    _row("build: uv venv + uv pip sync, from a wheelhouse", builds["uv"], "s")
    _row("build: nix / uv", [a / b for a, b in zip(builds["nix"], builds["uv"], strict=True)], " ")


def _compare_shells(store: Nix, ours: list[str], empty: list[str], python: Path, rounds: int) -> None:
    taken: dict[str, list[float]] = {"jax": [], "empty": [], "shell": [], "venv": []}
    importing = ["-c", "import keras"]
    shell = store.run(*ours, "bash", "-c", "type -P python").stdout.strip()
    environment = {"KERAS_BACKEND": "jax"}
    for _ in range(rounds + 1):
        taken["jax"].append(_nix_timed(store, [*ours, "true"]))
        taken["empty"].append(_nix_timed(store, [*empty, "true"]))
        taken["shell"].append(_nix_timed(store, [shell, *importing], environment))
        taken["venv"].append(_nix_timed(store, [str(python), *importing], environment))
    counted = {name: seconds[1:] for name, seconds in taken.items()}
    _row("warm: nix develop .#jax -c true", counted["jax"], "s")
    _row("warm: nix develop .#empty -c true", counted["empty"], "s")
    _row("warm: jax / empty", [a / b for a, b in zip(counted["jax"], counted["empty"], strict=True)], " ")
    _row("import keras, the shell's Python", counted["shell"], "s")
    _row("import keras, a venv of uv's", counted["venv"], "s")
    _row("import keras: shell / venv", [a / b for a, b in zip(counted["shell"], counted["venv"], strict=True)], " ")


def _develop(store: Nix, project: Path, shell: str) -> tuple[str, ...]:
    return (
        "nix", "develop", f"path:{project}#{shell}", "--override-input", "nixpkgs", f"path:{store.nixpkgs}",
        "--no-write-lock-file", "-c",
    )  # fmt: skip


def _nix_timed(store: Nix, words: Sequence[str], variables: Mapping[str, str] | None = None) -> float:
    started = time.perf_counter()
    store.run(*words, variables=variables)
    return time.perf_counter() - started


def _uv_build(work: Path, wheels: Sequence[Path], lock: Path) -> float:
    """Seconds of uv's way from the same files, without its cache of unpacked wheels, as Nix has none either."""
    house = work / "wheels"
    house.mkdir()
    for wheel in wheels:
        (house / wheel.name).symlink_to(wheel)
    text = re.sub(r'url = "[^"]*/([^"/]*)"', lambda match: f'path = "{unquote(match[1])}"', lock.read_text())
    (house / "pylock.toml").write_text(text)
    venv = work / "venv"
    sync = [UV, "pip", "sync", "-q", "--no-cache", "--compile-bytecode", "--python", str(venv), "pylock.toml"]
    base = sys._base_executable  # type: ignore[attr-defined] # noqa: SLF001 - the Python of the shell
    return timed([UV, "venv", "-q", "--python", base, str(venv)], cwd=house) + timed(sync, cwd=house)


def _row(what: str, values: Sequence[float], unit: str) -> None:
    print(f"{what:<45} {statistics.median(values):6.2f} {unit}  ({min(values):.2f}-{max(values):.2f})")


def main() -> None:
    """Run what was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("solve", "lock", "nix"))
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds, after one that is not (default 7)")
    arguments = parser.parse_args()
    {"solve": solve, "lock": lock, "nix": nix}[arguments.what](arguments.rounds)


if __name__ == "__main__":
    main()
