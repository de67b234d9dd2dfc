"""Measures an environment of Nix beside uv's, with JAX for the CPU; nixpkgs is the small one of the tests.

    python benchmarks/nix_shells.py    # nix, and the index that uv is configured for

Prints medians and ratios of one run; judges nothing.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import resource
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

from run import UV, Taken, timed

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


MAX_JOBS = ("1", "auto")
"""Nix's own default, and that of NixOS: then it looks through one wheel while the next is unpacked."""


def measure(rounds: int, builds: int) -> None:
    """An environment of Nix against uv's, with JAX for the CPU; nixpkgs is the small one of the tests."""
    # kept out of the other measurements' way: it needs the tests beside this folder
    sys.path.insert(0, str(ROOT))
    from tests import nix as support  # noqa: PLC0415

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kgen-benchmarks"
    project, wheels = support.locked_wheels(cache, ["jax"])
    taken: dict[str, list[tuple[Taken, Taken]]] = {jobs: [] for jobs in MAX_JOBS}
    # all of it goes at the end: a file system that has just lost many files takes much longer to make new ones
    with tempfile.TemporaryDirectory() as folder:
        for round_, jobs in itertools.product(range(builds), MAX_JOBS):
            work = Path(folder, f"{round_}-{jobs}")
            work.mkdir()
            store = support.Nix.at(work / "nix")
            repository = support.copy_of_repository(work / "repository")
            shutil.copytree(project / "locks", work / "project" / "locks")
            flake = FLAKE.replace("REPOSITORY", str(repository)).replace("SYSTEM", support.SYSTEM)
            (work / "project" / "flake.nix").write_text(flake)
            store.seed(wheels)
            jax, empty = ([*_develop(store, work / "project", shell)] for shell in ("jax", "empty"))
            _nix_timed(store, [*empty, "true"])
            nix = _nix_timed(store, [*jax[:2], "--max-jobs", jobs, *jax[2:], "true"])
            taken[jobs].append((nix, _uv_build(work, wheels, next(project.glob("locks/*/pylock.*.toml")))))
            if (round_, jobs) == (builds - 1, MAX_JOBS[-1]):
                _compare_shells(store, jax, empty, work / "venv" / "bin" / "python", rounds)
        # what is in a store cannot be written, and so not removed either
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)
    for jobs, pairs in taken.items():
        ours, uvs = [our for our, _ in pairs], [other for _, other in pairs]
        _show(f"build: nix develop, seeded store, max-jobs {jobs}", ours)
        _show("build: uv venv + uv pip sync, from a wheelhouse", uvs)
        _show_ratio("build: nix / uv", ours, uvs)


def _compare_shells(store: Nix, ours: list[str], empty: list[str], python: Path, rounds: int) -> None:
    importing = ["-c", "import keras"]
    shell = store.run(*ours, "bash", "-c", "type -P python").stdout.strip()
    environment = {"KERAS_BACKEND": "jax"}
    runs: dict[str, tuple[list[str], dict[str, str]]] = {
        "jax": ([*ours, "true"], {}),
        "empty": ([*empty, "true"], {}),
        "shell": ([shell, *importing], environment),
        "venv": ([str(python), *importing], environment),
    }
    taken: dict[str, list[Taken]] = {name: [] for name in runs}
    for round_ in range(rounds + 1):
        # who comes first pays for what the other finds warm
        for name in runs if round_ % 2 else reversed(runs):
            taken[name].append(_nix_timed(store, *runs[name]))
    counted = {name: values[1:] for name, values in taken.items()}
    _show("warm: nix develop .#jax -c true", counted["jax"])
    _show("warm: nix develop .#empty -c true", counted["empty"])
    _show_ratio("warm: jax / empty", counted["jax"], counted["empty"])
    _show("import keras, the shell's Python", counted["shell"])
    _show("import keras, a venv of uv's", counted["venv"])
    _show_ratio("import keras: shell / venv", counted["shell"], counted["venv"])


def _develop(store: Nix, project: Path, shell: str) -> tuple[str, ...]:
    return (
        "nix", "develop", f"path:{project}#{shell}", "--override-input", "nixpkgs", f"path:{store.nixpkgs}",
        "--no-write-lock-file", "-c",
    )  # fmt: skip


def _nix_timed(store: Nix, words: Sequence[str], variables: Mapping[str, str] | None = None) -> Taken:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    store.run(*words, variables=variables)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _uv_build(work: Path, wheels: Sequence[Path], lock: Path) -> Taken:
    """What uv's way took from the same files, without its cache of unpacked wheels, as Nix has none either."""
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
    synced = timed(sync, cwd=house)
    return Taken(made.seconds + synced.seconds, made.cpu + synced.cpu)


def _show(what: str, taken: Sequence[Taken]) -> None:
    _line(what, "s by the clock", [one.seconds for one in taken])
    _line("", "s of processor time", [one.cpu for one in taken])


def _show_ratio(what: str, ours: Sequence[Taken], others: Sequence[Taken]) -> None:
    pairs = list(zip(ours, others, strict=True))
    _line(what, "by the clock", [our.seconds / other.seconds for our, other in pairs])
    _line("", "of processor time", [our.cpu / other.cpu for our, other in pairs])


def _line(what: str, unit: str, values: Sequence[float]) -> None:
    print(f"{what:<48} {statistics.median(values):6.2f}  ({min(values):.2f}-{max(values):.2f})  {unit}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds, after one that is not (default 7)")
    parser.add_argument("--builds", type=int, default=2, help="environments built from nothing (default 2)")
    given = parser.parse_args()
    measure(given.rounds, given.builds)


if __name__ == "__main__":
    main()
