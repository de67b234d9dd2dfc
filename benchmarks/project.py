"""Measures what a project does every day: `kgen sync` with the project itself in it, beside `uv sync`; `kgen status`
and `kgen doctor` of ten environments; `kgen bundle` beside copying its bytes.

    python benchmarks/project.py --python 3.12 sync status doctor bundle    # from uv's index

Prints medians and ratios of one run; judges nothing. Rounds are interleaved, and ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from run import KGEN, UV, Taken, row, timed

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "measured"
version = "1.0"
requires-python = "=={python}.*"
dependencies = [{dependencies}]
[project.scripts]
measured = "measured:main"
[tool.kgen]
backends = ["{backend}"]
cpu = true
python = "{python}"
"""
ENVIRONMENTS = 10


def project(folder: Path, python: str, backend: str, dependencies: Sequence[str] = ()) -> None:
    """A project that is a package."""
    (folder / "src/measured").mkdir(parents=True, exist_ok=True)
    (folder / "src/measured/__init__.py").write_text("def main() -> None:\n    print('here')\n")
    listed = ", ".join(f'"{one}"' for one in dependencies)
    text = PYPROJECT.format(python=python, backend=backend, dependencies=listed)
    (folder / "pyproject.toml").write_text(text)


def ratio(what: str, ours: Sequence[Taken], theirs: Sequence[Taken]) -> None:
    """Prints how much longer it took, round by round."""
    found = [one.seconds / other.seconds for one, other in zip(ours, theirs, strict=True)][1:]
    print(f"  {what}: {statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})")


def sync(backend: str, python: str, rounds: int, folder: Path) -> None:
    """`kgen sync` with an editable install, against `uv sync` of the same project and packages."""
    import tomllib  # noqa: PLC0415 - the interpreter that measures is new enough

    project(folder, python, backend)
    timed([KGEN, "lock"], cwd=folder)
    lock = next((folder / "locks").glob("*/pylock.*.toml"))
    packages = tomllib.loads(lock.read_text())["packages"]
    by_uv = folder / "by-uv"
    project(by_uv, python, backend, [f"{one['name']}=={one['version']}" for one in packages])
    timed([UV, "lock", "--quiet", "--python", python], cwd=by_uv)
    ours: list[Taken] = []
    theirs: list[Taken] = []
    for _ in range(rounds + 1):
        shutil.rmtree(folder / ".kgen", ignore_errors=True)
        shutil.rmtree(by_uv / ".venv", ignore_errors=True)
        ours.append(timed([KGEN, "sync", backend], cwd=folder))
        theirs.append(timed([UV, "sync", "--quiet", "--locked", "--python", python], cwd=by_uv))
    row(f"kgen sync {backend}, with the project", ours[1:], 1, "s", 2)
    row("uv sync, the same", theirs[1:], 1, "s", 2)
    ratio("kgen / uv sync", ours, theirs)


def ten_environments(python: str, folder: Path) -> int:
    """Lock ten environments for the CPU in a folder; how many there are."""
    named = "\n".join(
        f'[tool.kgen.environment.e{number}]\nbackends = ["numpy", "openvino"]\n' for number in range(ENVIRONMENTS)
    )
    text = f'[tool.kgen]\ncpu = true\npython = "{python}"\n{named}'
    (folder / "pyproject.toml").write_text(text)
    timed([KGEN, "lock", *(f"e{number}" for number in range(ENVIRONMENTS))], cwd=folder)
    return len(list((folder / "locks").glob("*/pylock.*.toml")))


def above_nothing(what: str, command: str, rounds: int, folder: Path) -> None:
    """A command of kgen's above `python -c pass`."""
    ours: list[Taken] = []
    empty: list[Taken] = []
    for _ in range(rounds + 1):
        ours.append(timed([KGEN, command], cwd=folder))
        empty.append(timed([sys.executable, "-c", "pass"], cwd=folder))
    row(f"kgen {command}, {what}", ours[1:], 1000, "ms", 0)
    row("python -c pass", empty[1:], 1000, "ms", 0)
    above = [(one.seconds - other.seconds) * 1000 for one, other in zip(ours, empty, strict=True)][1:]
    print(f"  above it: {statistics.median(above):.0f} ms ({min(above):.0f}-{max(above):.0f})")


def status(python: str, rounds: int, folder: Path) -> None:
    """`kgen status` of ten environments, above `python -c pass`."""
    locked = ten_environments(python, folder)
    above_nothing(f"{locked} environments", "status", rounds, folder)


def doctor(python: str, rounds: int, folder: Path) -> None:
    """`kgen doctor` of ten environments that are installed, above `python -c pass`."""
    locked = ten_environments(python, folder)
    timed([KGEN, "sync", "--all"], cwd=folder)
    above_nothing(f"{locked} installed environments", "doctor", rounds, folder)


def bundle(backends: Sequence[str], python: str, rounds: int, folder: Path) -> None:
    """`kgen bundle` whose files are on this machine, against copying what it wrote."""
    timed([KGEN, "lock", *backends, "--cpu", "--python", python], cwd=folder)
    written, copy, anew = folder / "bundle.tar", folder / "copy.tar", folder / "anew.tar"
    command = [KGEN, "bundle", *(f"{backend}-cpu" for backend in backends), "-o"]
    timed([*command, str(written)], cwd=folder)
    timed([KGEN, "unbundle", str(written)], cwd=folder)  # its files lie in the project then
    time.sleep(3)  # what was written just now is compared once more
    by_turns: dict[str, Callable[[int], Path]] = {
        "the bundle is there": lambda _turn: written,
        "written anew, and gone since": lambda _turn: anew,
        "written anew, by another name each time": lambda turn: folder / f"anew{turn}.tar",
    }
    for text, place in by_turns.items():
        pairs = [against_cp(command, place(turn), written, copy, turn) for turn in range(-3, rounds)][3:]
        show(f"kgen bundle {' '.join(backends)}, {text}", written, pairs)
    wheels = list((folder / ".kgen/wheels").rglob("*.*"))
    for text, output in {"the bundle is there": written, "written anew": anew}.items():
        pairs = []
        for _ in range(rounds + 1):
            time.sleep(3)
            for path in (written, *wheels):
                path.touch()
            pairs.append(against_cp(command, output, written, copy, 0))
        show(f"kgen bundle {' '.join(backends)}, {text}, each file has changed its times", written, pairs[1:])


def against_cp(command: Sequence[str], output: Path, written: Path, copy: Path, turn: int) -> tuple[Taken, Taken]:
    """`kgen bundle` to a file, and `cp` of what it wrote, one after the other; before turn 0 with time between."""
    if turn < 0:
        time.sleep(3)  # what was written just now is compared once more
    try:
        took = timed([*command, str(output)], cwd=written.parent)
        return took, timed(["cp", str(written), str(copy)], cwd=written.parent)
    finally:
        copy.unlink(missing_ok=True)
        if output != written:
            output.unlink(missing_ok=True)


def show(what: str, written: Path, pairs: Sequence[tuple[Taken, Taken]]) -> None:
    """Print what both took, and how much longer kgen took, turn by turn."""
    ours, theirs = zip(*pairs, strict=True)
    row(what, ours, 1, "s", 3)
    row(f"  cp of {written.stat().st_size >> 20} MB", theirs, 1, "s", 3)
    found = [one.seconds / other.seconds for one, other in pairs]
    print(f"  kgen / cp: {statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=("sync", "status", "doctor", "bundle"))
    parser.add_argument("--backend", nargs="+", default=["jax"], help="several for `bundle`, the first for `sync`")
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    for what in asked.what:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            if what in {"status", "doctor"}:
                (status if what == "status" else doctor)(asked.python, asked.rounds, folder)
            elif what == "sync":
                sync(asked.backend[0], asked.python, asked.rounds, folder)
            else:
                bundle(asked.backend, asked.python, asked.rounds, folder)


if __name__ == "__main__":
    main()
