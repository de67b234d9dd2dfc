"""Measures how fast thousands of receipts are collected: from the files the first time, from the index after that.

    python benchmarks/receipts.py RECEIPT.json --count 3000

Prints medians of one run; judges nothing. The receipts are copies of the one that is given, each with another time of
its step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from kgen.validation import collection
from kgen.validation.receipts import DETAIL


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("receipt", type=Path)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    text = asked.receipt.read_text()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "receipts"
        for number in range(asked.count):
            one = json.loads(text)
            detail = one["predicate"][DETAIL]
            detail["steps"][0]["seconds"]["step"] = number / 1000
            path = folder / f"node{number // 100}" / f"{number}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(one))
        taken: dict[str, list[float]] = {"from files": [], "from the index": []}
        for number in range(asked.rounds):
            for seconds in taken.values():
                started = time.perf_counter()
                with collection.Index(Path(name) / f"{number}.sqlite") as index:
                    found, bad = index.of_folder(folder)
                seconds.append(time.perf_counter() - started)
                if len(found) != asked.count or bad:
                    raise SystemExit(f"{len(found)} of {asked.count} receipts were read: {bad[:1]}")
    for what, seconds in taken.items():
        print(
            f"{asked.count} receipts {what}: {statistics.median(seconds):.2f} s ({min(seconds):.2f}-{max(seconds):.2f})"
        )


if __name__ == "__main__":
    main()
