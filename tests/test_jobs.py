"""`kgen validate --jobs`: several environments at once, each with a device of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.command import Kgen
from tests.recorded import MATRIX
from tests.test_validate import FAKES, checked, driver, lock, put_on_disk, within

from kgen.accelerators import Condition, Gpu
from kgen.matrix.compatibility import load
from kgen.validation.seats import ANY, Seat, Seats, seats

__all__ = ["driver"]

VARIABLE = "CUDA_VISIBLE_DEVICES"
GPU = Gpu("NVIDIA H200", "9.0", 1)


FIRST, SECOND = (GPU._replace(selector=f"GPU-{name}-11ec") for name in ("5f00", "5e00"))
PARTS = [GPU._replace(selector="MIG-1"), GPU._replace(selector="MIG-2")]


@pytest.mark.parametrize(
    ("shown", "devices", "given"),
    [
        (None, [GPU, GPU], [(0, "0"), (1, "1")]),
        # CUDA's order is not the driver's: who can be named is
        (None, [FIRST, SECOND], [(0, "GPU-5f00-11ec"), (1, "GPU-5e00-11ec")]),
        (None, [], []),
        ("2,0", [GPU, GPU, GPU], [(2, "2"), (0, "0")]),
        (" GPU-5f , 1,", [GPU, GPU], [(None, "GPU-5f"), (1, "1")]),
        ("GPU-5e,GPU-5", [FIRST, SECOND], [(1, "GPU-5e"), (None, "GPU-5")]),
        ("", [GPU, GPU], []),
        # instances of a divided GPU have no numbers of their own
        (None, PARTS, [(0, "MIG-1"), (1, "MIG-2")]),
        ("MIG-2", PARTS, [(1, "MIG-2")]),
    ],
)
def test_the_devices_that_this_process_may_give_away(
    shown: str | None, devices: list[Gpu], given: list[tuple[int | None, str]]
) -> None:
    found = seats([VARIABLE], {} if shown is None else {VARIABLE: shown}, devices)
    assert found == tuple(Seat(place, {VARIABLE: name}) for place, name in given)


@pytest.mark.parametrize(
    ("shown", "given"),
    [
        ({}, [{"ROCR_VISIBLE_DEVICES": "GPU-01"}, {"HIP_VISIBLE_DEVICES": "1"}]),
        # what a scheduler shows is all that there is, and HIP counts on from there
        ({"ROCR_VISIBLE_DEVICES": "1"}, [{"ROCR_VISIBLE_DEVICES": "1"}]),
        ({"ROCR_VISIBLE_DEVICES": "0,1", "HIP_VISIBLE_DEVICES": "1"}, [{"HIP_VISIBLE_DEVICES": "1"}]),
        ({"CUDA_VISIBLE_DEVICES": ""}, [{"ROCR_VISIBLE_DEVICES": "GPU-01"}, {"HIP_VISIBLE_DEVICES": "1"}]),
    ],
)
def test_devices_that_two_variables_choose(shown: dict[str, str], given: list[dict[str, str]]) -> None:
    devices = [Gpu("AMD Instinct MI300X", "gfx942", 1, "GPU-01"), Gpu("AMD gfx1101", "gfx1101", 1)]
    names = load(MATRIX).accelerators["rocm"].hiding
    assert [dict(one.variables) for one in seats(names, shown, devices)] == given


def test_devices_that_have_numbers_alone() -> None:
    devices = [Gpu("Intel GPU 0", "pci0", 0), Gpu("Intel GPU 1", "pci1", 0)]
    names = load(MATRIX).accelerators["xpu"].hiding
    assert [dict(one.variables) for one in seats(names, {}, devices)] == [
        {"ZE_AFFINITY_MASK": "0"}, {"ZE_AFFINITY_MASK": "1"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "refusing", "given"),
    [
        (None, {FIRST.selector}, [SECOND.selector]),
        (None, {FIRST.selector, SECOND.selector}, [FIRST.selector, SECOND.selector]),
        ("GPU-5f,GPU-5e", {FIRST.selector}, ["GPU-5e"]),
        # CUDA may count otherwise
        ("0,1", {FIRST.selector}, ["0", "1"]),
    ],
)
def test_a_device_that_refuses_is_given_to_nobody(shown: str | None, refusing: set[str], given: list[str]) -> None:
    found = seats([VARIABLE], {} if shown is None else {VARIABLE: shown}, [FIRST, SECOND], refusing)
    assert [one.variables[VARIABLE] for one in found] == given


@pytest.mark.parametrize(
    ("shown", "given"),
    [
        ("1,7,0", ["1"]),
        ("GPU-5e,GPU-77,GPU-5f", ["GPU-5e"]),
        ("GPU-5e,GPU-5f", ["GPU-5e", "GPU-5f"]),
        ("GPU-5e,1", ["GPU-5e"]),
        ("GPU-5", ["GPU-5"]),
        ("GPU-77,GPU-78", ["GPU-77"]),
    ],
)
def test_what_stands_behind_the_end_of_the_list_is_given_to_nobody(shown: str, given: list[str]) -> None:
    found = seats([VARIABLE], {VARIABLE: shown}, [FIRST, SECOND], begin=("GPU-", "MIG-"))
    assert [one.variables[VARIABLE] for one in found] == given


@pytest.mark.parametrize(
    ("condition", "served", "refuses"),
    [
        (Condition(0, "x"), False, False),
        (Condition(0, "x", processes=(1,)), False, False),
        (Condition(0, "x", sharing="exclusive"), False, False),
        (Condition(0, "x", sharing="exclusive", processes=(1,)), False, True),
        (Condition(0, "x", sharing="exclusive", processes=(1,)), True, False),
        (Condition(0, "x", sharing="prohibited"), True, True),
    ],
)
def test_when_a_device_refuses(condition: Condition, served: bool, refuses: bool) -> None:  # noqa: FBT001 - a case
    assert condition.refuses(served=served) is refuses


def test_no_device_is_taken_twice_and_each_comes_back() -> None:
    free = Seats(seats([VARIABLE], {}, [GPU, GPU]))
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
    free = Seats(seats([VARIABLE], {}, [GPU]))
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


def test_several_at_once_come_out_as_one_after_the_other(several: Kgen, project: Path, tmp_path: Path) -> None:
    names = ("numpy-cpu", "other-cpu")
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    meets = within(several, {"FAKE_KERAS": "compile meets others"})
    single = meets("validate", "--json", *names, FAKE_MEETING=str(alone), FAKE_MEET="1")
    # each goes on only once the other is at work too
    both = meets("validate", "--json", "--jobs", "2", *names, FAKE_MEETING=str(together), FAKE_MEET="2")
    assert (single.status, both.status) == (0, 0), single.stderr + both.stderr
    (_, ended), (began, _) = sorted([float(one) for one in path.read_text().split()] for path in alone.iterdir())
    assert ended < began
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


@pytest.fixture
def four(kgen: Kgen, project: Path, driver: Path, tmp_path: Path) -> Kgen:
    """Four environments for CUDA on disk, and a made-up driver; the fake JAX writes down which GPU it was shown."""
    names = [f"jax{number}-cuda12" for number in range(4)]
    for name in names:
        lock(project, name, "jax")
        put_on_disk(project, name)
    made_up = {"LD_LIBRARY_PATH": str(driver), "FAKE_JAX_PLATFORM": "gpu", "FAKE_SEEN": str(tmp_path / "seen")}
    return within(kgen, {"PYTHONPATH": str(FAKES), **made_up})


def _gpu(number: int) -> str:
    return f"GPU-0000000{number}-0000-4000-8000-000000000000"


def test_each_has_a_gpu_of_its_own_by_its_name(four: Kgen, tmp_path: Path, project: Path) -> None:
    done = four("validate", "--json", "--jobs", "4", FAKE_GPUS="4")
    assert done.status == 0, done.stderr
    assert sorted((tmp_path / "seen").read_text().split()) == [_gpu(number) for number in range(4)]
    assert "GPU-" not in done.stdout
    for number in range(4):
        folder = project / f"locks/jax{number}-cuda12/receipts"
        data = checked(folder / "nvidia-made-up-9000.json")
        assert data["device"]["name"] == "NVIDIA Made-up 9000"
        assert "GPU-0" not in json.dumps(data)


def test_one_that_another_process_keeps_is_left_to_it(four: Kgen, tmp_path: Path) -> None:
    done = four("validate", "--jobs", "4", FAKE_GPUS="3", FAKE_TAKEN="1")
    assert done.status == 0, done.stderr
    seen = (tmp_path / "seen").read_text().split()
    assert (len(seen), set(seen)) == (4, {_gpu(0), _gpu(2)})


def test_a_gpu_that_fails_ends_no_other(four: Kgen) -> None:
    done = four("validate", "--json", "--jobs", "2", FAKE_GPUS="2", FAKE_BROKEN_GPU=_gpu(1))
    assert done.status == 1
    environments = json.loads(done.stdout)["environments"]
    told = [one["steps"][0] for one in environments]
    failed = [one for one in told if one["verdict"] == "failed"]
    assert len(told) == 4
    assert 1 <= len(failed) <= 3
    assert {one["verdict"] for one in told} == {"passed", "failed"}
    # what kgen itself has set is not a cause
    assert "CUDA_VISIBLE_DEVICES" not in json.dumps([one.get("causes", []) for one in failed])


def test_where_the_user_chose_no_other_gpu_is_taken(four: Kgen, tmp_path: Path) -> None:
    done = four("validate", "--jobs", "4", FAKE_GPUS="4", CUDA_VISIBLE_DEVICES="GPU-00000003,GPU-00000001")
    assert done.status == 0, done.stderr
    assert set((tmp_path / "seen").read_text().split()) == {"GPU-00000003", "GPU-00000001"}


def test_the_doctor_knows_the_gpus_by_their_names(four: Kgen) -> None:
    """Through NVML, as a process would be shown them; the two plugins lie in the environment on disk."""

    def told(value: str) -> list[str]:
        done = four("doctor", "jax0-cuda12", "--json", FAKE_GPUS="2", CUDA_VISIBLE_DEVICES=value)
        findings = json.loads(done.stdout)["findings"]
        return [one["what"] for one in findings if one["identifier"] == "gpu-hidden"]

    assert told(f"{_gpu(1)},GPU-00000000") == []
    assert told("GPU-77") == ["CUDA_VISIBLE_DEVICES=GPU-77 begins with GPU-77, which is not a GPU of this machine"]
    assert told("GPU-0000000") == [
        "CUDA_VISIBLE_DEVICES=GPU-0000000 begins with GPU-0000000, which begins the names of several GPUs here"
    ]


def test_the_doctor_finds_two_plugins_side_by_side(four: Kgen, project: Path) -> None:
    (site,) = (project / ".kgen/envs/jax1-cuda12/lib").glob("python3.*/site-packages")

    def told() -> list[list[str]]:
        findings = json.loads(four("doctor", "jax0-cuda12", "jax1-cuda12", "--json").stdout)["findings"]
        return [one["environments"] for one in findings if one["identifier"] == "plugins-rival"]

    for major in ("12", "13"):
        assert told() == []
        (site / f"jax_plugins/xla_cuda{major}").mkdir(parents=True)
        (site / f"jax_plugins/xla_cuda{major}/__init__.py").touch()
    assert told() == [["jax1-cuda12"]]
