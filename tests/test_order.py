"""The order of the tests among the workers, against how pytest-xdist itself hands them out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.order import import_part, spread

ROOT = Path(__file__).resolve().parents[1]


def stretches(count: int, workers: int) -> list[range]:
    """What each worker gets of so many tests, as `xdist.scheduler.WorkStealingScheduling` gives it."""
    found, start = [], 0
    for worker in range(workers):
        size = (count - start) // (workers - worker)
        found.append(range(start, start + size))
        start += size
    return found


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize(("longs", "others"), [(0, 0), (0, 9), (5, 0), (5, 1), (12, 100), (70, 6001)])
def test_each_worker_begins_with_its_part(workers: int, longs: int, others: int) -> None:
    first = [f"long {number}" for number in range(longs)]
    rest = [f"short {number}" for number in range(others)]
    order = spread(first, rest, workers)
    assert sorted(order) == sorted([*first, *rest])
    assert [one for one in order if one in set(rest)] == rest
    if others < longs:
        return
    for worker, stretch in enumerate(stretches(len(order), workers)):
        own = [order[position] for position in stretch]
        mine = first[worker::workers]
        assert own[: len(mine)] == mine
        assert not set(own[len(mine) :]) & set(first)


CONFTEST = """
import os
from tests.order import import_part, spread
def pytest_collection_modifyitems(items):
    long, short = ([item for item in items if ("long" in item.name) is wanted] for wanted in (True, False))
    items[:] = spread(long, short, int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
def pytest_runtest_logstart(nodeid):
    with open("began-" + os.environ.get("PYTEST_XDIST_WORKER", "controller"), "a") as file:
        file.write(nodeid + chr(10))
"""
TESTS = """
import pytest, time
@pytest.mark.parametrize("number", range(40))
def test_short(number): time.sleep(0.01)
@pytest.mark.parametrize("number", range(4))
def test_long(number): time.sleep(0.01)
"""


def test_the_stretches_are_those_of_pytest_xdist(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_them.py").write_text(TESTS)
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**outside, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "44 passed" in done.stdout
    began = [(tmp_path / f"began-gw{worker}").read_text().splitlines() for worker in range(2)]
    # the first stretch is for the worker that is ready first
    assert sorted([one.partition("::")[2] for one in names[:2]] for names in began) == [
        ["test_long[0]", "test_long[2]"],
        ["test_long[1]", "test_long[3]"],
    ]


def test_each_worker_imports_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module is imported by one of them; one that cannot be, or is skipped, keeps no other from it."""
    texts = {
        "a": "",
        "b": "raise OSError",
        "c": "import pytest; pytest.skip(allow_module_level=True)",
        "d": "",
        "e": "",
    }
    for name, text in texts.items():
        (tmp_path / f"test_part_{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "part_helper.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    imported = []
    for worker in range(2):
        before = set(sys.modules)
        import_part(tmp_path, worker, 2)
        imported.append(sorted(set(sys.modules) - before))
    assert imported == [["test_part_a", "test_part_e"], ["test_part_d"]]
