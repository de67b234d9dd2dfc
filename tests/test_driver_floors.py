"""The drivers that builds need: as each platform numbers them, and with NVIDIA's packages for an older one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.command import Kgen
from tests.test_doctor import AROUND, EXAMINED, LIBRARIES, having

from kgen import accelerators, findings, surroundings
from kgen.accelerators import Gpu
from kgen.findings import Finding
from kgen.matrix.candidates import compiling_driver, forward_package, is_data_center_device, usable_majors
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.driver import DriverVersion
from kgen.surroundings import DriverLibrary, Surroundings

SOLVE = ("solve", "torch", "--python", "3.12")


def _driver(text: str) -> DriverVersion:
    return DriverVersion(text)


# -- as platforms number them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "driver", "majors"),
    [
        ("linux-64", "525.60.13", ["12", "11"]),
        ("win-64", "525.60.13", ["11"]),
        ("win-64", "527.41", ["12", "11"]),
        ("linux-64", "450.80.02", ["11"]),
        ("win-64", "451.82", []),
        ("win-64", "580.88", ["13", "12", "11"]),
    ],
)
def test_a_driver_is_compared_as_its_platform_numbers_it(
    platform: str, driver: str, majors: list[str], shipped_matrix: CompatibilityMatrix
) -> None:
    found = usable_majors(shipped_matrix, "cuda", platform, _driver(driver), ["8.0"])
    assert [one.number for one in found] == majors


def test_what_compiles_ptx_is_numbered_by_platform(shipped_matrix: CompatibilityMatrix) -> None:
    build = next(
        build
        for release in shipped_matrix.framework("torch").releases
        for build in release.builds
        if build.accelerator == Accelerator("cuda", (12, 8))
    )
    assert {
        platform: str(compiling_driver(build, shipped_matrix, platform)) for platform in ("linux-64", "win-64")
    } == {
        "linux-64": "570.26",
        "win-64": "570.65",
    }


def test_every_toolkit_has_a_driver_or_says_that_none_was_found(shipped_matrix: CompatibilityMatrix) -> None:
    """From CUDA 13 on Windows' drivers come without the toolkit, by branches that all platforms share."""
    for row in shipped_matrix.toolkits_of("cuda"):
        source = row.provenance.source
        assert row.driver is not None or "was not found" in source, row.version
        if row.version.major < 13:
            assert "win-64" in row.drivers or "that of Windows was not found" in source, row.version
    drivers = {str(row.version): str(row.driver) for row in shipped_matrix.toolkits_of("cuda")}
    assert drivers["13.4.1.0"] == drivers["13.4.3"] == "615"
    assert drivers["11.0.0"] == "450.51.05"


@pytest.mark.parametrize(("driver", "status"), [("527.41", 0), ("526.99", 3)])
def test_windows_is_solved_by_its_own_numbers(driver: str, status: int, shipped_kgen: Kgen) -> None:
    said = shipped_kgen(*SOLVE, "--cuda", "12", "--driver", driver, "--platform", "win-64", "--torch-index")
    assert said.status == status, said.stderr
    if status:
        assert "needs driver >=527.41 (CUDA 12)" in said.stderr
        assert "--driver 527.41" in said.stderr
        # it was asked for already
        assert "PyTorch's own index has its builds for CUDA on Windows" not in said.stderr


@pytest.mark.parametrize(("driver", "status"), [("610.43.02", 3), ("615.71.09", 0)])
def test_a_gpu_that_came_later_needs_a_later_driver(driver: str, status: int, shipped_kgen: Kgen) -> None:
    said = shipped_kgen(*SOLVE, "--cuda", "13", "--driver", driver, "--gpu", "10.7")
    assert said.status == status, said.stderr
    if status:
        assert "serves GPUs 10.7 from driver 615" in said.stderr
    assert shipped_kgen(*SOLVE, "--cuda", "13", "--driver", "580.65.06", "--gpu", "10.3").status == 0


# -- packages for an older driver --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "driver", "package"),
    [
        ((13,), "535.183.01", "cuda-compat-13-4"),
        ((13, 0), "535.183.01", "cuda-compat-13-0"),
        ((12, 9), "535", "cuda-compat-12-9"),
        ((12, 7), "535", "cuda-compat-12-8"),  # there was no CUDA 12.7
        ((13, 1), "580.65.06", "cuda-compat-13-1"),
        ((12, 9), "580.65.06", None),  # the driver is newer than the package
        ((13,), "550.54.15", None),  # a branch whose support has ended
        ((13,), "615.71.09", None),  # nothing is newer
    ],
)
def test_the_package_for_an_older_driver(
    version: tuple[int, ...], driver: str, package: str | None, shipped_matrix: CompatibilityMatrix
) -> None:
    found = forward_package(shipped_matrix, Accelerator("cuda", version), "linux-64", _driver(driver))
    assert (None if found is None else found.name) == package
    assert forward_package(shipped_matrix, Accelerator("cuda", version), "win-64", _driver(driver)) is None


def test_a_package_has_to_be_new_enough(shipped_matrix: CompatibilityMatrix) -> None:
    cuda = Accelerator("cuda", (12, 3))
    found = forward_package(shipped_matrix, cuda, "linux-64", _driver("535"), floor=_driver("570.26"))
    assert found is not None
    assert found.name == "cuda-compat-12-8"


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("NVIDIA H100 80GB HBM3", True),
        ("NVIDIA A100-SXM4-80GB", True),
        ("Tesla T4", True),
        ("NVIDIA A10G", True),
        ("NVIDIA GeForce RTX 4090", False),
        ("NVIDIA RTX A6000", False),
        ("NVIDIA GeForce MX450", False),
        ("NVIDIA GB10", False),
    ],
)
def test_what_the_packages_serve(name: str, *, served: bool, shipped_matrix: CompatibilityMatrix) -> None:
    assert is_data_center_device(shipped_matrix, "cuda", name) is served


def test_an_old_driver_is_told_of_the_package(shipped_kgen: Kgen) -> None:
    said = shipped_kgen(*SOLVE, "--cuda", "13", "--driver", "535", "--gpu", "9.0")
    assert said.status == 3
    assert (
        "driver 535 runs it where NVIDIA's package cuda-compat-13-4 is installed, on data-center GPUs (H100, H200,"
        " GH200), not on a GeForce: ask with `--driver 615` for such a machine"
    ) in said.stderr
    assert shipped_kgen(*SOLVE, "--cuda", "13", "--driver", "615", "--gpu", "9.0").status == 0


def test_it_is_told_whatever_python_is_taken(shipped_kgen: Kgen) -> None:
    """The newest Python has no build at all; the driver is all that is in the way of another."""
    said = shipped_kgen("solve", "torch", "--cuda", "13", "--driver", "570", "--gpu", "H100").stderr
    assert "; driver 570 runs it where NVIDIA's package cuda-compat-13-" in said.partition("\n")[0]


@pytest.mark.parametrize(
    "words",
    [
        ("--cuda", "13", "--driver", "535", "--gpu", "12.1"),  # no such GPU is one for data centers
        ("--cuda", "13", "--driver", "535", "--gpu", "7.0"),  # nor does a newer driver help
        ("--cuda", "13", "--driver", "535", "--platform", "win-64", "--torch-index"),
        ("--cuda", "13", "--driver", "470"),
    ],
)
def test_nobody_else_is(words: tuple[str, ...], shipped_kgen: Kgen) -> None:
    said = shipped_kgen(*SOLVE, *words)
    assert said.status == 3
    assert "cuda-compat" not in said.stderr


# -- the doctor --------------------------------------------------------------------------------------------------------

LOCK = EXAMINED.lock._replace(driver="580")


def _outdated(matrix: CompatibilityMatrix, around: Surroundings, *names: str) -> list[Finding]:
    host = having("535.183.01", *(Gpu(name, "9.0", 0) for name in names))
    examined = [EXAMINED._replace(lock=LOCK)]
    found = findings.examine(host, around, examined, matrix, LIBRARIES)
    return [one for one in found if one.identifier == "driver-outdated"]


def test_the_doctor_names_the_package(shipped_matrix: CompatibilityMatrix) -> None:
    (found,) = _outdated(shipped_matrix, AROUND, "NVIDIA H100 80GB HBM3")
    package = forward_package(shipped_matrix, LOCK.computes_on, LOCK.platform, _driver("535"), floor=_driver("580"))
    if package is None:
        assert "cuda-compat" not in found.fix
    else:
        assert f"NVIDIA's package {package.name}, beside the driver 535.183.01" in found.fix


@pytest.mark.parametrize("names", [("NVIDIA GeForce RTX 4090",), ("NVIDIA H100", "NVIDIA GeForce RTX 4090"), ()])
def test_the_doctor_names_it_for_data_centers_alone(
    names: tuple[str, ...], shipped_matrix: CompatibilityMatrix
) -> None:
    (found,) = _outdated(shipped_matrix, AROUND, *names)
    assert "cuda-compat" not in found.fix


@pytest.mark.parametrize(
    ("version", "answers", "outdated"),
    [("615.71.09", True, False), ("575.57.08", True, True), ("615.71.09", False, True), (None, True, True)],
)
def test_where_the_package_is_at_work_its_library_counts(
    version: str | None, *, answers: bool, outdated: bool, shipped_matrix: CompatibilityMatrix
) -> None:
    library = DriverLibrary(
        "libcuda",
        "/usr/local/cuda/compat/libcuda.so.1",
        "LD_LIBRARY_PATH",
        answers,
        version=None if version is None else _driver(version),
    )
    found = _outdated(shipped_matrix, AROUND._replace(driver_library=library), "NVIDIA H100")
    assert bool(found) is outdated


def test_the_version_of_a_library_is_that_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.615.71.09").touch()
    (tmp_path / "libcuda.so.1").symlink_to("libcuda.so.615.71.09")
    (tmp_path / "other").touch()
    assert surroundings.version_of(tmp_path / "libcuda.so.1") == _driver("615.71.09")
    assert surroundings.version_of(tmp_path / "other") is None
    assert accelerators.kind("cuda").driver_help.library_file == "libcuda.so.1"
