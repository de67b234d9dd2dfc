"""Measures `kgen matrix refresh`: everything from nothing beside one request after the other, and with nothing new.

    python benchmarks/refresh.py nothing-new [--mirror]      # whole processes; from a copy of the index made here
    python benchmarks/refresh.py from-nothing [--one-in N]   # the index that uv is configured for; minutes

`from-nothing` takes all but the oldest release out of every framework's rows, reads them again with several requests
in flight and with one, both without a cache, and compares the files that come out, byte for byte. `--one-in N` leaves
only every Nth release to be read, for who has less time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from mirror import mirror
from run import KGEN, timed

from kgen import resources, uvtool, wheels
from kgen.index import Index
from kgen.matrix import writer
from kgen.matrix.compatibility import Folder
from kgen.refresh.recipes import recipes
from kgen.refresh.run import IN_FLIGHT, Refresh, Refreshed
from kgen.refresh.wheel_facts import FactReader

RELEASE = "[[release]]"


def without_rows(one_in: int) -> dict[str, str]:
    """The matrix that ships, with releases taken out."""
    texts = dict(Folder(resources.folder("matrix")))
    for name in recipes():
        head, rows = writer.rows(texts[f"{name}.toml"], RELEASE)
        kept = [row for place, row in enumerate(rows.values()) if place == 0 or place % one_in]
        texts[f"{name}.toml"] = head + "".join(kept)
    return texts


def refreshed(texts: Mapping[str, str], urls: tuple[str, ...], in_flight: int) -> tuple[float, Refreshed]:
    """One refresh without a cache: seconds on the clock, and what it found."""
    cancel = threading.Event()
    started = time.perf_counter()
    with wheels.WheelReader(cache=None, cancel=cancel) as reader:
        found = Refresh(
            texts,
            Index(urls, reader, cache=None),
            lambda count: FactReader(reader, cache=None, count=count),
            today=dt.date(2026, 11, 21),
            cancel=cancel,
            in_flight=in_flight,
        ).run()
    return time.perf_counter() - started, found


def from_nothing(one_in: int) -> None:
    texts = without_rows(one_in)
    urls = uvtool.indexes(uvtool.find(), Path.cwd())
    several, first = refreshed(texts, urls, IN_FLIGHT)
    print(f"{IN_FLIGHT} in flight: {several:.1f} s, {first.pages} pages, {first.wheels} wheels", flush=True)
    alone, second = refreshed(texts, urls, 1)
    print(f"1 in flight: {alone:.1f} s, {second.pages} pages, {second.wheels} wheels")
    print(f"{alone / several:.1f} times faster; the same files: {first.files == second.files}")


def nothing_new(rounds: int, urls: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder, "cache")

        os.environ["KGEN_CACHE_DIR"] = str(environment)
        command = (KGEN, "matrix", "refresh")
        for _ in range(2):
            timed(command, cwd=Path(folder), index=urls[0])  # now nothing is new, and that is known
        for what in ("the same pages as the last time", "every page looked at"):
            taken = []
            for _ in range(rounds):
                if what == "every page looked at":
                    (environment / "pages" / "unchanged").unlink()
                taken.append(timed(command, cwd=Path(folder), index=urls[0]))
            seconds = [one.seconds for one in taken]
            print(
                f"nothing new, {what}: {statistics.median(seconds):.2f} s ({min(seconds):.2f}-{max(seconds):.2f}),"
                f" processor {statistics.median(one.cpu for one in taken):.2f} s"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("nothing-new", "from-nothing"))
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds of nothing-new (default 7)")
    parser.add_argument("--one-in", type=int, default=1, metavar="N", help="read every Nth release again (default 1)")
    parser.add_argument("--mirror", action="store_true", help="nothing-new: ask a copy of the index, made here")
    arguments = parser.parse_args()
    if arguments.what == "from-nothing":
        from_nothing(arguments.one_in)
        return
    urls = uvtool.indexes(uvtool.find(), Path.cwd())
    if not arguments.mirror:
        nothing_new(arguments.rounds, urls)
        return
    with mirror(urls[0]) as url:
        nothing_new(arguments.rounds, (url,))


if __name__ == "__main__":
    main()
