"""Measures conda's part: solving on real records, locking beside wheels, installing from a cache.

    python benchmarks/conda.py solve --records FOLDER    # a folder with real records, as the tests take one
    python benchmarks/conda.py lock --records FOLDER     # and the index that uv is configured for, or `--mirror URL`
    python benchmarks/conda.py sync                      # a small channel that is built here

Prints medians and ratios of one run; judges nothing. Rounds are interleaved, and ratios are taken round by round. Needs
what the tests need: channels are served on loopback by their server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mirror import index_url, mirror
from run import KGEN, PYTHON, Taken, forget, row, timed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.channel import mirrored, serving, sharded
from tests.conda_packages import MINOR, small_channel

_SOLVE = f"""
import json, pathlib, resource, sys, time
from kgen import resources
from kgen.formats.conda.target import target
from kgen.matrix.compatibility import load
from kgen.model.accelerator import Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.formats.conda.rattlertool import Rattler
request = EnvironmentRequest(
    name="all", backends=("tensorflow", "jax", "torch"), accelerator=Accelerator("cuda", (12,)), python="{PYTHON}",
    platform="linux-64",
)
query = target(load(resources.folder("matrix")), request, ("conda-forge",)).query()
tool = Rattler(pathlib.Path(sys.argv[1]))
tool.records([])
seconds = []
for _ in range(2):
    started = time.perf_counter()
    (answer,) = tool.solve([query])
    seconds.append(time.perf_counter() - started)
assert isinstance(answer, list), answer
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"first": seconds[0], "again": seconds[1], "packages": len(answer), "peak": peak}}))
"""
_BARE = """
import asyncio, json, pathlib, sys
from rattler.install import install
from kgen.formats.conda.rattlertool import Rattler
records = json.loads(pathlib.Path(sys.argv[1]).read_text())["platforms"]["linux-64"]["packages"]
made = Rattler().records(records)

async def main():
    await install(records=made, target_prefix=sys.argv[2], cache_dir=sys.argv[3], show_progress=False)
    await asyncio.sleep(0.05)

asyncio.run(main())
"""


def solve(rounds: int, records: Path, folder: Path) -> None:
    """All three backends for CUDA 12 on the large sample: with the channel's answer in the cache, and once more."""
    found = []
    with _conda_forge(records, folder) as environment:
        for _ in range(rounds + 1):
            done = subprocess.run(
                [sys.executable, "-c", _SOLVE, str(folder / "cache")], env=environment, check=True, capture_output=True
            )
            found.append(json.loads(done.stdout))
    loads = [one["first"] - one["again"] for one in found[1:]]
    solves = [one["again"] for one in found[1:]]
    print(f"load, cached:  {_span(loads)} s (the first solve less the second)")
    print(f"solve:         {_span(solves)} s, {found[-1]['packages']} packages")
    print(f"peak memory:   {max(one['peak'] for one in found[1:]):.0f} MiB, the whole process")


def lock(rounds: int, records: Path, folder: Path, index: str | None) -> None:
    """`kgen lock --cuda 12` of four backends, with `--conda` and without."""
    forms: dict[str, tuple[str, ...]] = {"kgen lock": (), "kgen lock --conda": ("--conda",)}
    # with nothing known of before, and then where uv, the index and the channel answer as they did
    states = ("nothing known of before", "the same again")
    taken: dict[str, dict[str, list[Taken]]] = {state: {name: [] for name in forms} for state in states}
    cache = folder / "kgen"
    with _conda_forge(records, folder) as environment, mirror(index) if index else contextlib.nullcontext() as mirrored:
        environment["RATTLER_CACHE_DIR"] = str(folder / "cache")
        with _within(environment):
            for _ in range(rounds + 1):
                for name, flags in forms.items():
                    forget(cache)
                    for state in states:
                        with tempfile.TemporaryDirectory() as project:
                            words = ("--cuda", "12", "--python", PYTHON, "--platform", "linux-64", *flags)
                            one = timed([KGEN, "lock", *words], cwd=Path(project), index=mirrored, cache=cache)
                            taken[state][name].append(one)
    for state, each in taken.items():
        print(f"{state}:")
        for name, counted in each.items():
            row(name, counted[1:], 1, "s", 2)
        _ratios("with conda / without", each["kgen lock --conda"], each["kgen lock"])


def sync(rounds: int, folder: Path) -> None:
    """`kgen sync --conda` from a cache, against rattler's own `install` of the same records into the same cache."""
    channel = small_channel(folder / "channel")
    environment = {**os.environ, "RATTLER_CACHE_DIR": str(folder / "cache")}
    ours: list[Taken] = []
    bare: list[Taken] = []
    with _within(environment):
        asked = ("lock", "--conda", "torch", "--cuda", "12", "--python", MINOR, "--platform", "linux-64")
        timed([KGEN, *asked, "--channel", channel.folder.as_uri()], cwd=folder)
        lockfile = folder / "locks/torch-cuda12/conda-records.json"
        for _ in range(rounds + 1):
            shutil.rmtree(folder / ".kgen", ignore_errors=True)
            shutil.rmtree(folder / "bare", ignore_errors=True)
            ours.append(timed([KGEN, "sync", "torch-cuda12-conda"], cwd=folder))
            words = [sys.executable, "-c", _BARE, str(lockfile), str(folder / "bare"), str(folder / "cache/pkgs")]
            bare.append(timed(words, cwd=folder))
    row("kgen sync, from the cache", ours[1:], 1, "s", 2)
    row("rattler's install", bare[1:], 1, "s", 2)
    _ratios("kgen / rattler", ours, bare)


@contextlib.contextmanager
def _conda_forge(records: Path, folder: Path) -> Iterator[dict[str, str]]:
    """An environment in which conda-forge is on this machine, as shards, which is how it is served."""
    sharded(records / "large", folder / "served")
    with serving(folder / "served") as server:
        server.tagged = True  # as conda-forge does
        mirrored(folder / "config", server.url)
        yield {**os.environ, "XDG_CONFIG_HOME": str(folder / "config"), "NO_PROXY": "127.0.0.1"}


class _within:  # noqa: N801 - a context
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._new, self._old = environment, dict(os.environ)

    def __enter__(self) -> None:
        os.environ.update(self._new)

    def __exit__(self, *_: object) -> None:
        os.environ.clear()
        os.environ.update(self._old)


def _span(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def _ratios(name: str, ours: Sequence[Taken], theirs: Sequence[Taken]) -> None:
    whole: list[tuple[str, Callable[[Taken], float]]] = [
        ("clock", lambda one: one.seconds), ("processor", lambda one: one.cpu),
    ]  # fmt: skip
    for what, of in whole:
        found = [of(one) / of(other) for one, other in list(zip(ours, theirs, strict=True))[1:]]
        print(f"  {name}, {what}: {statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("solve", "lock", "sync"))
    parser.add_argument("--records", type=Path, help="a folder with `large/SUBDIR/repodata.json.zst`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--mirror", metavar="URL", type=index_url, help="lock from a mirror of this index that sends cache headers"
    )
    arguments = parser.parse_args()
    if arguments.what != "sync" and arguments.records is None:
        parser.error("--records is needed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.what == "sync":
            sync(arguments.rounds, folder)
        elif arguments.what == "solve":
            solve(arguments.rounds, arguments.records, folder)
        else:
            lock(arguments.rounds, arguments.records, folder, arguments.mirror)


if __name__ == "__main__":
    main()
