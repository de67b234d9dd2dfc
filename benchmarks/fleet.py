"""Measures a fleet: so many partitions of ReFrame's local scheduler, with `tests/fakes/node.py` for kgen on each node.

    python benchmarks/fleet.py [--nodes 200]

Prints how long ReFrame took, and how long all else: planning, judging and keeping the receipts, collecting again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests import fleets
from tests.fleets import ON_CPU, partition, site

from kgen.actions import fleet
from kgen.actions.fleet import FleetOptions
from kgen.fleet.reframe import ReFrame
from kgen.fleet.shape import Job, Limits, Progress, Returned
from kgen.matrix.compatibility import load

ROOT = Path(__file__).resolve().parents[1]


class Timed(ReFrame):
    """ReFrame, and how long it was at work.

    Attributes:
        seconds: so long.
    """

    seconds = 0.0

    def run(self, jobs: Sequence[Job], folder: Path, limits: Limits, progress: Progress) -> list[Returned]:
        """Runs, and notes how long that took."""
        begun = time.perf_counter()
        try:
            return super().run(jobs, folder, limits, progress)
        finally:
            self.seconds += time.perf_counter() - begun


def main() -> None:
    """Measures once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=200)
    count = parser.parse_args().nodes
    matrix = load(ROOT / "tests/data/matrix")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder
        root = fleets.copied(Path(folder) / "project", "numpy-cpu")
        lock = fleets.lock(root, "numpy-cpu")
        made = Path(folder) / "made"
        fleets.written(made, lock, "passed", fleets.receipt(lock, ON_CPU))
        parts = [partition(f"n{number}", "passed", made, extras={"cpu": True}) for number in range(count)]
        place = site(root / "site.py", parts)
        for what, options in (("all", FleetOptions()), ("nothing left", FleetOptions(resume=True))):
            begun = time.perf_counter()
            engine = Timed(place, matrix)
            read = time.perf_counter()
            result = fleet.validate(root, matrix, engine, (), options)
            taken = time.perf_counter() - read
            assert len(result.answers) == count  # noqa: S101 - else it has measured something else
            print(
                f"{count} nodes, {what}: ReFrame read the site in {read - begun:.1f} s and ran {engine.seconds:.1f} s;"
                f" the rest took {taken - engine.seconds:.2f} s"
            )


if __name__ == "__main__":
    main()
