"""Where builds are to be had that the matrix has no rows of: said where it helps, and nowhere else."""

from __future__ import annotations

import pytest
from packaging.version import Version
from tests.recorded import MATRIX

from kgen.errors import MatrixError
from kgen.explain import report
from kgen.matrix.compatibility import CompatibilityMatrix, Folder
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Conflict
from kgen.solver.resolve import solve

_ROWS = """
[[project.elsewhere]]
releases = ">=2.0"
accelerator = "cuda"
platforms = ["win-64"]
text = "another index has builds for Windows"
source = "made up"
checked = 2026-11-28

[[project.elsewhere]]
releases = ">=2.0"
accelerator = "cuda"
gpu = ">=13.0"
text = "a container image has code for this GPU"
source = "made up"
checked = 2026-11-28

[[project.elsewhere]]
releases = ">=2.0"
accelerator = "rocm"
text = "another index has builds for ROCm"
source = "made up"
checked = 2026-11-28
"""


def matrix_with(rows: str) -> CompatibilityMatrix:
    texts = dict(Folder(MATRIX))
    title = 'title = "PyTorch"\n'
    assert title in texts["torch.toml"]
    return CompatibilityMatrix({**texts, "torch.toml": texts["torch.toml"].replace(title, title + rows, 1)})


@pytest.fixture(scope="module")
def elsewhere() -> CompatibilityMatrix:
    return matrix_with(_ROWS)


def message(matrix: CompatibilityMatrix, accelerator: Accelerator, platform: str, *gpus: str) -> str:
    request = EnvironmentRequest(
        name="torch",
        backends=("torch",),
        accelerator=accelerator,
        python="3.12",
        platform=platform,
        gpus=gpus,
        glibc=Version("2.28") if platform.startswith("linux") else None,
    )
    found = solve(matrix, request)
    assert isinstance(found, Conflict)
    return report.message(found)


@pytest.mark.parametrize(
    ("accelerator", "platform", "gpus", "said"),
    [
        (Accelerator("cuda", (12,)), "win-64", (), "another index has builds for Windows"),
        (Accelerator("cuda", (12,)), "osx-arm64", (), ""),
        (Accelerator("cuda", (13,)), "linux-64", ("13.0",), "a container image has code for this GPU"),
        (Accelerator("cuda", (13,)), "linux-64", ("7.0",), ""),
        (Accelerator("rocm", (7,)), "linux-64", (), "another index has builds for ROCm"),
    ],
)
def test_it_is_said_of_the_accelerator_platform_and_gpu_that_it_is_about(
    elsewhere: CompatibilityMatrix, accelerator: Accelerator, platform: str, gpus: tuple[str, ...], said: str
) -> None:
    text = message(elsewhere, accelerator, platform, *gpus)
    texts = ("another index has builds for Windows", "a container image", "another index has builds for ROCm")
    assert [one for one in texts if one in text] == [one for one in texts if said and one in said]


def test_of_the_cpu_nothing_is_said(elsewhere: CompatibilityMatrix) -> None:
    request = EnvironmentRequest(
        name="torch", backends=("torch",), accelerator=CPU, python="3.7", platform="linux-64", glibc=Version("2.28")
    )
    found = solve(elsewhere, request)
    assert isinstance(found, Conflict)
    assert "another index" not in report.message(found)


@pytest.mark.parametrize(
    ("true", "false", "fault"),
    [
        ('accelerator = "rocm"', 'accelerator = "rcm"', "no module of this kind"),
        ('platforms = ["win-64"]', 'platforms = ["win 64"]', "`win 64`"),
        ('gpu = ">=13.0"', 'gpu = "newest one"', "`newest one`"),
    ],
)
def test_a_row_that_makes_no_sense(true: str, false: str, fault: str) -> None:
    assert true in _ROWS
    with pytest.raises(MatrixError) as refused:
        matrix_with(_ROWS.replace(true, false)).check()
    assert any(fault in one for one in refused.value.faults), refused.value.faults
