"""Measures kgen as whole processes, beside uv doing the same by hand, in one run on one machine.

    python benchmarks/run.py solve            # no network
    python benchmarks/run.py lock             # the index that uv is configured for
    python benchmarks/run.py again            # locking where nothing is to be done, beside `uv lock`
    python benchmarks/run.py fresh            # locking all anew, beside `uv lock --upgrade`
    python benchmarks/run.py elf              # what reading the needs of compiled files adds to that
    python benchmarks/run.py grow             # four locks, and the forty of five Pythons and two platforms
    python benchmarks/run.py lock --mirror URL    # a mirror of that index, made here, that sends cache headers

Prints medians and ratios; judges nothing. The commands of a round follow each other, so that a machine (or an index)
whose speed drifts slows all of them alike. `kgen` and `uv` are those beside the interpreter that runs this.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mirror import index_url, mirror

BIN = Path(sys.executable).parent
KGEN = str(BIN / "kgen")
UV = shutil.which("uv", path=str(BIN)) or "uv"
PYTHON = "3.12"
TOGETHER = ("solve", "tensorflow", "jax", "torch", "--together", "all", "--cuda", "12", "--python", PYTHON)
SOLVES: dict[str, tuple[str, ...]] = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "kgen --version": (KGEN, "--version"),
    "kgen --help": (KGEN, "--help"),
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
WAYS: dict[str, tuple[str, ...]] = {"by hand": (), "--python": ("--python", sys.executable)}


_AGE = 3
"""Seconds after which kgen believes that a file has not changed since it looked."""


class Taken(NamedTuple):
    """Seconds on the clock, and seconds of processor time."""

    seconds: float
    cpu: float


def timed(
    command: Sequence[str],
    *,
    cwd: Path,
    text: str | None = None,
    index: str | None = None,
    allowed: Collection[int] = (0, 3),
    cache: Path | None = None,
) -> Taken:
    """What one whole process took, with all that it started; its output is read and thrown away."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=cwd,
        input=text,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "UV_PYTHON_DOWNLOADS": "never",
            **({"UV_DEFAULT_INDEX": index} if index else {}),
            **({"KGEN_CACHE_DIR": str(cache)} if cache else {}),
        },
        check=False,
    )
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in allowed:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return Taken(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def interleaved(rounds: int, runs: Mapping[str, Callable[[], Taken]]) -> dict[str, list[Taken]]:
    """What each run took in the counted rounds; in a round they follow each other, and the first round warms caches."""
    taken: dict[str, list[Taken]] = {what: [] for what in runs}
    for _ in range(rounds + 1):
        for what, run in runs.items():
            taken[what].append(run())
    return {what: counted[1:] for what, counted in taken.items()}


def solve(rounds: int) -> None:
    """`kgen solve` and `kgen --version` against an interpreter that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        taken = interleaved(
            rounds, {name: partial(timed, command, cwd=Path(folder)) for name, command in SOLVES.items()}
        )
    for name, counted in taken.items():
        row(name, counted, 1000, "ms", 0)


def lock(rounds: int, index: str | None) -> None:
    """`kgen lock --cuda 12` against `uv pip compile --generate-hashes` of the same four, one after the other.

    Twice: as one types it, where uv looks for an interpreter like the target's, and with `--python`, where it does not.
    """
    whole = "kgen lock --cuda 12, four backends"

    def run(command: Sequence[str], text: str | None = None) -> Taken:
        with tempfile.TemporaryDirectory() as folder:  # uv would prefer the versions of an output that is there
            return timed(command, cwd=Path(folder), text=text, index=index)

    runs = {whole: partial(run, (KGEN, "lock", "--cuda", "12", "--python", PYTHON))}
    for way, options in WAYS.items():
        for name, request in REQUESTS.items():
            command = (
                UV, "pip", "compile", "-", "--generate-hashes", "--quiet", "--output-file", "locked.txt",
                "--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_28", *options,
            )  # fmt: skip
            runs[f"uv pip compile {way}, {name}"] = partial(run, command, request.replace(" ", "\n"))
    taken = interleaved(rounds, runs)
    row(whole, taken[whole], 1, "s", 2)
    for way in WAYS:
        each = [f"uv pip compile {way}, {name}" for name in REQUESTS]
        for what in each:
            row(what, taken[what], 1, "s", 2)
        peers = list(zip(*(taken[what] for what in each), strict=True))
        for words, of in (("their sum", sum), ("the slowest of them", max)):
            found = [
                ours.seconds / of(one.seconds for one in theirs)
                for ours, theirs in zip(taken[whole], peers, strict=True)
            ]
            spread(f"kgen / {words}", found)


def three_extras(folder: Path) -> None:
    """Write the project with three conflicting extras, which both tools lock."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    extras = "".join(f'{key} = ["{text.split()[1]}"]\n' for key, text in REQUESTS.items() if key != "numpy")
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "again"\nversion = "0"\nrequires-python = "=={python}.*"\n'
        f"[project.optional-dependencies]\n{extras}"
        "[tool.uv]\nenvironments = [\"sys_platform == 'linux' and platform_machine == 'x86_64'\"]\n"
        'conflicts = [[{ extra = "tensorflow" }, { extra = "jax" }, { extra = "torch" }]]\n'
        f'[tool.kgen]\ncuda = "12"\npython = "{python}"\n',
        encoding="utf-8",
    )


def forget(cache: Path) -> None:
    """Forget what came of locking before, so that all is solved, read and judged again."""
    shutil.rmtree(cache / "repeat", ignore_errors=True)


def fresh(rounds: int, index: str | None) -> None:
    """All locked anew, with warm caches: `kgen lock --upgrade` of four environments against `uv lock --upgrade`.

    Once where the answers of the index are those of before, as in most weeks, and once with nothing known of before.
    """
    known, unknown = "kgen lock --upgrade, four environments", "the same, nothing known of before"
    commands: dict[str, tuple[str, ...]] = {
        known: (KGEN, "lock", "--upgrade"),
        unknown: (KGEN, "lock", "--upgrade"),
        "uv lock --upgrade, three conflicting extras": (UV, "lock", "--upgrade", "--python", sys.executable),
    }
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as caches:
        cache = Path(caches)
        three_extras(Path(name))
        timed((KGEN, "lock"), cwd=Path(name), index=index, cache=cache)

        def run(what: str) -> Taken:
            if what == unknown:
                forget(cache)
            return timed(commands[what], cwd=Path(name), index=index, cache=cache)

        taken = interleaved(rounds, {what: partial(run, what) for what in commands})
    for what, counted in taken.items():
        row(what, counted, 1, "s", 2)
    *ours, theirs = taken.values()
    for what, mine in zip(commands, ours, strict=False):
        print(f"{what}, divided by uv's:")
        ratios(mine, theirs)


def ratios(ours: Sequence[Taken], theirs: Sequence[Taken]) -> None:
    """Print the ratios of two commands, round by round."""
    for what, found in (
        ("by the clock", [one.seconds / other.seconds for one, other in zip(ours, theirs, strict=True)]),
        ("by processor time", [one.cpu / other.cpu for one, other in zip(ours, theirs, strict=True)]),
    ):
        spread(what, found)


def spread(what: str, found: Sequence[float]) -> None:
    """Print ratios that were taken round by round: the median and the range."""
    print(f"{f'  {what}, round by round':<45} {statistics.median(found):6.2f}    ({min(found):.2f}-{max(found):.2f})")


_RUN = """
from kgen.formats.wheels import judge
{}
from kgen.__main__ import main
main()
"""
_NOTHING_READ = "judge.is_to_be_read = lambda *_: False"


def elf(rounds: int, index: str | None) -> None:
    """`kgen lock --upgrade` with warm caches, with and without what the compiled files of wheels need."""
    commands: dict[str, tuple[str, ...]] = {
        "kgen lock --upgrade, needs read": (sys.executable, "-c", _RUN.format(""), "lock"),
        "the same, needs not read": (sys.executable, "-c", _RUN.format(_NOTHING_READ), "lock"),
    }
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as caches:
        cache = Path(caches)
        three_extras(Path(name))
        timed((KGEN, "lock"), cwd=Path(name), index=index, cache=cache)

        def run(command: Sequence[str]) -> Taken:
            forget(cache)
            return timed((*command, "--upgrade"), cwd=Path(name), index=index, cache=cache)

        taken = interleaved(rounds, {what: partial(run, command) for what, command in commands.items()})
    for what, counted in taken.items():
        row(what, counted, 1, "s", 2)
    read, unread = taken.values()
    ratios(read, unread)


def again(rounds: int, index: str | None) -> None:
    """`kgen lock` and `uv lock` where all is locked already, against an interpreter that does nothing.

    kgen twice: where nothing has changed since it looked, and where it has to look at everything again.
    """
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as caches:
        folder, cache = Path(name), Path(caches)
        three_extras(folder)

        def looking() -> Taken:
            shutil.rmtree(cache / "replay", ignore_errors=True)
            return timed((KGEN, "lock"), cwd=folder, index=index, cache=cache)

        commands: dict[str, tuple[str, ...]] = {
            "python -c pass": (sys.executable, "-c", "pass"),
            "kgen lock, four environments, nothing to do": (KGEN, "lock"),
            "uv lock, three conflicting extras, the same": (UV, "lock", "--offline", "--python", sys.executable),
        }
        locked: tuple[tuple[str, ...], ...] = ((KGEN, "lock"), (UV, "lock", "--python", sys.executable))
        for command in locked:
            timed(command, cwd=folder, index=index, cache=cache)
        time.sleep(_AGE)
        runs: dict[str, Callable[[], Taken]] = {"the same, everything looked at again": looking}
        runs |= {
            what: partial(timed, command, cwd=folder, index=index, cache=cache) for what, command in commands.items()
        }
        taken = interleaved(rounds, runs)
    for what, counted in taken.items():
        row(what, counted, 1000, "ms", 0)


def grow(rounds: int, index: str | None) -> None:
    """Four locks (JAX for CUDA and for the CPU, NumPy, OpenVINO), and the forty of five Pythons and two platforms."""
    pythons = ("3.10", "3.11", "3.12", "3.13", "3.14")
    places = 'platforms = ["linux-64", "linux-aarch64"]\n'
    head = 'backends = ["jax", "numpy", "openvino"]\n'
    targets = '[target.laptop]\ncpu = true\n[target.server]\ncuda = "12"\n'
    settings = {
        "kgen lock, four locks": f'{head}python = "{PYTHON}"\n{targets}',
        "kgen lock, forty locks": f"{head}pythons = {json.dumps(pythons)}\n{places}{targets}",
    }
    with tempfile.TemporaryDirectory() as caches:

        def run(text: str) -> Taken:
            forget(Path(caches))
            with tempfile.TemporaryDirectory() as name:
                (Path(name) / "kgen.toml").write_text(text, encoding="utf-8")
                return timed([KGEN, "lock"], cwd=Path(name), index=index, cache=Path(caches))

        taken = interleaved(rounds, {what: partial(run, text) for what, text in settings.items()})
    for what, counted in taken.items():
        row(what, counted, 1, "s", 2)


def row(what: str, counted: Sequence[Taken], factor: int, unit: str, digits: int) -> None:
    """Print what was measured: the median, the range, and the processor time."""
    walls = [one.seconds * factor for one in counted]
    cpu = statistics.median(one.cpu for one in counted) * factor
    print(
        f"{what:<45} {statistics.median(walls):6.{digits}f} {unit}  ({min(walls):.{digits}f}-{max(walls):.{digits}f}),"
        f" processor {cpu:.{digits}f} {unit}"
    )


def main() -> None:
    """Run what was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("solve", "lock", "fresh", "elf", "again", "grow"))
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds, after one that is not (default 7)")
    parser.add_argument(
        "--mirror", metavar="URL", type=index_url, help="lock from a mirror of this index that sends cache headers"
    )
    arguments = parser.parse_args()
    if arguments.what == "solve":
        solve(arguments.rounds)
    else:
        with mirror(arguments.mirror) if arguments.mirror else contextlib.nullcontext() as index:
            {"lock": lock, "fresh": fresh, "elf": elf, "again": again, "grow": grow}[arguments.what](
                arguments.rounds, index
            )


if __name__ == "__main__":
    main()
