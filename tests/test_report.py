"""The words for people: whole texts, from the small matrices of the scenarios."""

from __future__ import annotations

import pytest
from tests.test_scenarios import FOLDER, matrix_of, read, request_of, with_base

from kgen.explain import report
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.resolve import solve


def answer(name: str) -> Resolution | Conflict:
    scenario = with_base(read(FOLDER / f"{name}.toml"))
    return solve(matrix_of(scenario, "seen"), request_of(scenario["request"]))


def solved(name: str) -> Resolution:
    found = answer(name)
    assert isinstance(found, Resolution)
    return found


def refused(name: str) -> Conflict:
    found = answer(name)
    assert isinstance(found, Conflict)
    return found


def test_a_solution_with_cuda() -> None:
    assert report.solution_text(solved("order/the-other-backend-decides")) == (
        "all-cuda12: Python 3.12, linux-64, CUDA 12.8, driver 525.60.13 or newer\n"
        "  keras       3.0         newest release\n"
        "  torch       2.10        newest release\n"
        "  tensorflow  2.20        newest beside torch 2.10: 2.21 needs nccl ==2.27, torch 2.10 needs ==2.25"
    )


def test_a_solution_with_cudnn_and_one_with_a_warning() -> None:
    assert report.solution_text(solved("cudnn/one-version")).splitlines()[0] == (
        "all-cuda12: Python 3.12, linux-64, CUDA 12.8, cuDNN 9.10, driver 525.60.13 or newer"
    )
    assert report.solution_text(solved("avoided/yanked-and-pinned")) == (
        "jax-cuda12: Python 3.12, linux-64, CUDA 12.1, driver 525.60.13 or newer\n"
        "  keras  3.0         newest release\n"
        "  jax    0.4.32      newest release\n"
        "  note: jax 0.4.32 was yanked: broken wheels"
    )


def test_a_solution_for_the_cpu() -> None:
    assert report.solution_text(solved("cpu/openvino")) == (
        "openvino-cpu: Python 3.12, linux-64\n"
        "  keras     3.8         newest that fits: 3.9 has no wheel for Python 3.12\n"
        "  openvino  2025.4      newest release"
    )


def test_a_conflict_between_frameworks() -> None:
    conflict = refused("nccl/require-down")
    assert report.conflict_text(conflict) == (
        "all-cuda12: there is no TensorFlow and PyTorch together for CUDA 12 and Python 3.12 that fits the request\n"
        "  you asked for tensorflow==2.21 (--require)\n"
        "  tensorflow 2.21 needs nccl >=2.27.7\n"
        "  torch 2.9-2.10 needs nccl ==2.27.5"
    )
    assert report.hints(conflict) == (
        (
            "kgen solve tensorflow torch --together all --cuda 12 --python 3.12 --platform linux-64"
            " --require tensorflow==2.20   # gives tensorflow 2.20, torch 2.10"
        ),
        (
            "kgen solve tensorflow torch --cuda 12 --python 3.12 --platform linux-64"
            " --require tensorflow==2.21   # gives tensorflow 2.21, torch 2.10"
        ),
    )


def test_a_framework_that_is_not_built_for_it() -> None:
    conflict = refused("cuda/cpu-only-platform")
    assert report.conflict_text(conflict) == (
        "torch-cuda12: the matrix has no row for a stable PyTorch for CUDA 12 on linux-aarch64\n"
        "  torch 2.10-2.11 has rows for CUDA 13.0 (2.11), the CPU only (2.10)"
    )
    assert report.hints(conflict) == (
        "kgen solve torch --cuda 13 --python 3.12 --platform linux-aarch64   # gives torch 2.11",
        "kgen solve torch --cuda 12 --python 3.12 --platform linux-64   # gives torch 2.10",
        "kgen solve torch --cpu --python 3.12 --platform linux-aarch64   # gives torch 2.10",
    )


def test_a_driver_that_is_too_old() -> None:
    assert report.conflict_text(refused("driver/major")) == (
        "torch-cuda13: there is no PyTorch for CUDA 13 and Python 3.12 that fits the request\n"
        "  you asked for driver 570.124 (--driver)\n"
        "  torch 2.15 needs driver >=580.65.06 (CUDA 13)"
    )


def test_nothing_to_suggest() -> None:
    assert report.hints(refused("cpu/no-cpu-build")) == (
        "kgen matrix show   # nothing close to this request works; these are the facts",
    )


@pytest.mark.parametrize(("name", "key"), [("cudnn/one-version", "why"), ("cudnn/apart", "suggestions")])
def test_data_holds_what_the_issue_promises(name: str, key: str) -> None:
    found = answer(name)
    head = {"environment", "python", "platform", "accelerator"}
    if isinstance(found, Resolution):
        data = report.solution_data(found)
        assert data.keys() >= {*head, "cuda", "cudnn", "driver", "packages", "warnings", key}
        assert all(reason.keys() == {"kind", "subject", "rule", "source"} for reason in data["why"])
    else:
        data = report.conflict_data(found)
        assert data.keys() >= {*head, "kind", "message", "causes", key}
        assert all(cause.keys() == {"kind", "subject", "requires", "source"} for cause in data["causes"])
        assert all(suggestion.keys() == {"kind", "change", "command", "gives"} for suggestion in data["suggestions"])
