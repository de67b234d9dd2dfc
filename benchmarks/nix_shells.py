"""Measures an environment of Nix beside uv's, with JAX for the CPU; nixpkgs is the small one of the tests.

    python benchmarks/nix_shells.py    # nix, and the index that uv is configured for

Prints medians and ratios of one run; judges nothing.
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

from run import UV, timed

if TYPE_CHECKING:
    from tests.nix import Nix

ROOT = Path(__file__).resolve().parents[1]
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


def measure(rounds: int) -> None:
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
    _show("build: nix develop, from a seeded store", builds["nix"], "s")
    _show("build: uv venv + uv pip sync, from a wheelhouse", builds["uv"], "s")
    _show("build: nix / uv", [a / b for a, b in zip(builds["nix"], builds["uv"], strict=True)], " ")


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
    _show("warm: nix develop .#jax -c true", counted["jax"], "s")
    _show("warm: nix develop .#empty -c true", counted["empty"], "s")
    _show("warm: jax / empty", [a / b for a, b in zip(counted["jax"], counted["empty"], strict=True)], " ")
    _show("import keras, the shell's Python", counted["shell"], "s")
    _show("import keras, a venv of uv's", counted["venv"], "s")
    _show("import keras: shell / venv", [a / b for a, b in zip(counted["shell"], counted["venv"], strict=True)], " ")


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
    made = timed([UV, "venv", "-q", "--python", base, str(venv)], cwd=house)
    return made.seconds + timed(sync, cwd=house).seconds


def _show(what: str, values: Sequence[float], unit: str) -> None:
    print(f"{what:<45} {statistics.median(values):6.2f} {unit}  ({min(values):.2f}-{max(values):.2f})")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds, after one that is not (default 7)")
    measure(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
