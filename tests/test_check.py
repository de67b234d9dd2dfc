"""`kgen check`: locks, hooks and receipts, without network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen, Result
from tests.index import Index


@pytest.fixture(scope="session")
def locks(tmp_path_factory: pytest.TempPathFactory, healthy: Index) -> Path:
    folder = tmp_path_factory.mktemp("locked")
    assert Kgen(folder=folder, temporary=folder).at(healthy.url)(*LOCK, "numpy", "jax").status == 0
    return folder / "locks"


@pytest.fixture
def locked(kgen: Kgen, locks: Path) -> Kgen:
    shutil.copytree(locks, kgen.folder / "locks")
    return kgen


def test_in_order(locked: Kgen) -> None:
    assert locked("check") == Result(0, "", "jax-cpu, numpy-cpu: in order\n")
    assert locked("check", "numpy") == Result(0, "", "numpy-cpu: in order\n")
    assert json.loads(locked("check", "--json").stdout) == {"findings": []}


def test_hooks(locked: Kgen) -> None:
    folder = locked.folder / "locks/numpy-cpu"
    (folder / "activate.d/kgen.fish").unlink()
    with (folder / "deactivate.d/kgen.sh").open("a") as file:
        file.write("export MINE=1\n")
    assert locked("check") == Result(
        1,
        "fault: numpy-cpu: locks/numpy-cpu/activate.d/kgen.fish is missing\n"
        "fault: numpy-cpu: locks/numpy-cpu/deactivate.d/kgen.sh is not what kgen writes: it was edited, or is of"
        " another kgen\n",
        "\nhint: kgen lock\n\nnumpy-cpu: out of order\n",
    )


def test_a_lock_edited_by_hand(locked: Kgen) -> None:
    path = locked.folder / "locks/jax-cpu/pylock.linux-64.toml"
    path.write_text(path.read_text().replace('environment = "jax-cpu"', 'environment = "mine"'))
    assert locked("check").stdout == (
        "fault: jax-cpu: locks/jax-cpu/pylock.linux-64.toml cannot be relied on: tool.kgen.environment: is `mine`, and"
        " the folder is jax-cpu\n"
    )
    (found,) = json.loads(locked("check", "jax", "--json").stdout)["findings"]
    assert (found["kind"], found["mend"]) == ("fault", "kgen lock")


def test_a_receipt_older_than_the_lock(locked: Kgen) -> None:
    reference = Path(__file__).parents[1] / "locks"
    receipts = sorted(reference.glob("*/receipts/*.json"))
    folder = locked.folder / "locks/numpy-cpu/receipts"
    folder.mkdir()
    data = json.loads(receipts[0].read_text()) if receipts else None
    if data is None:
        pytest.skip("no receipt is committed yet")
    (folder / "cpu.json").write_text(json.dumps({**data, "environment": "numpy-cpu"}))
    assert locked("check") == Result(
        0,
        "note: numpy-cpu: locks/numpy-cpu/receipts/cpu.json is older than the lock: it proves another one\n",
        "\nhint: kgen validate numpy-cpu\n\njax-cpu, numpy-cpu: in order\n",
    )


def test_nothing_locked(kgen: Kgen) -> None:
    assert kgen("check") == Result(2, "", "error: nothing is locked in [TEMP]/project\n\nhint: kgen lock\n")
