"""Measures environments on disk: `kgen sync` beside uv doing the same by hand, `kgen validate` beside a
bare script that does the same steps, `kgen run`, and the hooks.

    python benchmarks/environments.py --python 3.11 jax    # a backend to lock for the CPU, from uv's index

Prints medians and ratios of one run; judges nothing. Rounds are interleaved, and ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from run import KGEN, UV, Taken, row, timed

BARE = Path(__file__).with_name("bare_step.py")


def sync(backend: str, python: str, rounds: int, folder: Path) -> None:
    """`kgen sync` from a warm cache, against an empty environment and `uv pip sync` of the same lock."""
    timed([KGEN, "lock", backend, "--cpu", "--python", python, "--portable"], cwd=folder)
    name = f"{backend}-cpu"
    lock = next((folder / "locks" / name).glob("pylock.*.toml"))
    requirements = folder / f"{name}.txt"
    import tomllib  # noqa: PLC0415 - the interpreter that measures is new enough

    packages = tomllib.loads(lock.read_text())["packages"]
    requirements.write_text(
        "".join(f"{p['name']}=={p['version']} --hash=sha256:{p['wheels'][0]['hashes']['sha256']}\n" for p in packages)
    )
    ours: list[Taken] = []
    empty: list[Taken] = []
    theirs: list[Taken] = []
    again: list[Taken] = []
    for _ in range(rounds + 1):
        shutil.rmtree(folder / ".kgen", ignore_errors=True)
        shutil.rmtree(folder / "by-hand", ignore_errors=True)
        ours.append(timed([KGEN, "sync", name], cwd=folder))
        again.append(timed([KGEN, "sync", name], cwd=folder))
        empty.append(timed([UV, "venv", "--quiet", "--no-project", "--python", python, "by-hand"], cwd=folder))
        install = [UV, "pip", "sync", "--quiet", "--require-hashes", "--python", "by-hand/bin/python"]
        theirs.append(timed([*install, str(requirements)], cwd=folder))
    row(f"kgen sync {name}", ours[1:], 1, "s", 2)
    row("  again, with nothing to do", again[1:], 1000, "ms", 0)
    row("uv venv", empty[1:], 1, "s", 2)
    row("uv pip sync, by hash", theirs[1:], 1, "s", 2)
    for what, peers in (("uv venv and uv pip sync", zip(empty, theirs, strict=True)),):
        ratios = [
            mine.seconds / sum(one.seconds for one in peer) for mine, peer in list(zip(ours, peers, strict=True))[1:]
        ]
        print(f"  kgen / {what}: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")


def run(backend: str, rounds: int, folder: Path) -> None:
    """`kgen run ENV -- true`, and what a shell takes for the hook."""
    name = f"{backend}-cpu"
    hook = folder / "locks" / name / "activate.d/kgen"
    commands = {
        "true": ["true"],
        f"kgen run {name} -- true": [KGEN, "run", name, "--", "true"],
    }
    for shell, suffix in (("sh", "sh"), ("bash", "sh"), ("zsh", "sh"), ("fish", "fish")):
        if shutil.which(shell):
            flags = ["--no-config"] if shell == "fish" else []
            commands[f"{shell}, nothing"] = [shell, *flags, "-c", ":"]
            commands[f"{shell}, the hook"] = [shell, *flags, "-c", f". {hook}.{suffix}"]
    taken: dict[str, list[Taken]] = {what: [] for what in commands}
    for _ in range(rounds * 3 + 1):
        for what, command in commands.items():
            taken[what].append(timed(command, cwd=folder))
    for what, counted in taken.items():
        row(what, counted[1:], 1000, "ms", 1)


def validate(backend: str, rounds: int, folder: Path) -> None:
    """`kgen validate ENV` against the same steps written by hand, run by the same interpreter."""
    name = f"{backend}-cpu"
    python = str(folder / ".kgen/envs" / name / "bin/python")
    words = ["env", f"KERAS_BACKEND={backend}", "CUDA_VISIBLE_DEVICES=-1", python, str(BARE)]
    bare: list[Taken] = []
    ours: list[Taken] = []
    for _ in range(rounds + 1):  # the first round writes byte code
        bare.append(timed(words, cwd=folder))
        ours.append(timed([KGEN, "validate", name], cwd=folder))
    row(f"bare script, {backend}", bare[1:], 1, "s", 2)
    row(f"kgen validate {name}", ours[1:], 1, "s", 2)
    for what, place in (("clock", 0), ("processor", 1)):
        ratios = [one[place] / other[place] for one, other in zip(ours[1:], bare[1:], strict=True)]
        print(f"  kgen / bare, {what}: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")


def main() -> None:
    """Measure each backend that was named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends", nargs="+")
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds, after one that is not (default 7)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for backend in arguments.backends:
            sync(backend, arguments.python, arguments.rounds, folder)
            validate(backend, arguments.rounds, folder)
        run(arguments.backends[0], arguments.rounds, folder)


if __name__ == "__main__":
    main()
