"""`kgen validate --jobs`: several environments at once, each with a device of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.command import Kgen
from tests.test_validate import FAKES, lock, put_on_disk, within

from kgen.accelerators import Gpu
from kgen.validation.sharing import ANY, Seat, Seats, seats

VARIABLE = "CUDA_VISIBLE_DEVICES"
GPU = Gpu("NVIDIA H200", "9.0", 1)


@pytest.mark.parametrize(
    ("shown", "devices", "given"),
    [
        (None, [GPU, GPU], [(0, "0"), (1, "1")]),
        (None, [], []),
        ("2,0", [GPU, GPU, GPU], [(2, "2"), (0, "0")]),
        (" GPU-5f , 1,", [GPU, GPU], [(None, "GPU-5f"), (1, "1")]),
        ("", [GPU, GPU], []),
        # instances of a divided GPU have no numbers of their own
        (None, [GPU._replace(selector="MIG-1"), GPU._replace(selector="MIG-2")], [(0, "MIG-1"), (1, "MIG-2")]),
    ],
)
def test_the_devices_that_this_process_may_give_away(
    shown: str | None, devices: list[Gpu], given: list[tuple[int | None, str]]
) -> None:
    found = seats(VARIABLE, shown, devices)
    assert found == tuple(Seat(place, {VARIABLE: name}) for place, name in given)


def test_no_device_is_taken_twice_and_each_comes_back() -> None:
    free = Seats(seats(VARIABLE, None, [GPU, GPU]))
    taken: list[str] = []
    most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most
        with free.taken(over=lambda: False) as seat:
            name = seat.variables[VARIABLE]
            with lock:
                assert name not in taken
                taken.append(name)
                most = max(most, len(taken))
            time.sleep(0.02)
            with lock:
                taken.remove(name)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, taken) == (2, [])


def test_who_waits_for_a_device_hears_that_it_is_over() -> None:
    free = Seats(seats(VARIABLE, None, [GPU]))
    over = threading.Event()
    with free.taken(over=over.is_set):
        threading.Timer(0.05, over.set).start()
        with free.taken(over=over.is_set) as seat:
            assert seat is ANY


@pytest.fixture
def several(kgen: Kgen, project: Path) -> Kgen:
    """Two environments on disk, whose Keras is the fake and dawdles."""
    for name in ("numpy-cpu", "other-cpu"):
        lock(project, name, "numpy")
        put_on_disk(project, name)
    return within(kgen, {"PYTHONPATH": str(FAKES), "FAKE_KERAS": "compile dawdles"})


def _stages(done: Mapping[str, object]) -> list[str]:
    return [str(one["environment"]) for one in done["environments"]]  # type: ignore[attr-defined]


def test_several_at_once_come_out_as_one_after_the_other(several: Kgen, project: Path) -> None:
    names = ("numpy-cpu", "other-cpu")
    started = time.monotonic()
    single = several("validate", "--json", *names)
    between = time.monotonic()
    both = several("validate", "--json", "--jobs", "2", *names)
    assert (single.status, both.status) == (0, 0), single.stderr + both.stderr
    # each dawdles for three seconds
    assert time.monotonic() - between < between - started
    assert _stages(json.loads(both.stdout)) == list(names)
    for name in names:
        assert (project / "locks" / name / "receipts/cpu.json").is_file()


@pytest.mark.parametrize("number", ["0", "-1", "two", "99999"])
def test_what_is_no_number(several: Kgen, number: str) -> None:
    done = several("validate", "numpy-cpu", f"--jobs={number}")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("error: `--jobs` is not a number of environments\n\nhint: leave it out")


def test_one_that_fails_keeps_no_other_from_its_verdict(several: Kgen, project: Path) -> None:
    lock_file = project / "locks/numpy-cpu/pylock.linux-64.toml"
    lock_file.write_text(lock_file.read_text().replace('python = "3.11"', 'python = "3.10"'))
    done = several("validate", "--json", "--jobs", "3", "numpy-cpu", "other-cpu")
    first, second = json.loads(done.stdout)["environments"]
    assert "error" in first
    assert second["steps"][0]["verdict"] == "passed"
