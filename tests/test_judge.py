"""kgen.formats.wheels.judge: every fault that makes a lock unfit, found in locks made by hand."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import zlib
from pathlib import Path

import pytest
from packaging.version import Version
from tests.command import PYTHON

from kgen.elf import Needs
from kgen.explain.faults import fault_text
from kgen.formats.verify import changed_files
from kgen.formats.wheels.judge import faults, is_to_be_read
from kgen.formats.wheels.lock import Lock, LockedWheel
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Resolution
from kgen.solver.resolve import solve
from kgen.wheels import WheelListing

CUDA12 = Accelerator("cuda", (12,))


def resolution(matrix: CompatibilityMatrix, *backends: str, accelerator: Accelerator = CUDA12) -> Resolution:
    name = backends[0] if len(backends) == 1 else "all"
    answer = solve(
        matrix,
        EnvironmentRequest(
            name=name,
            backends=backends,
            accelerator=accelerator,
            python=PYTHON,
            platform="linux-64",
        ),
    )
    assert isinstance(answer, Resolution)
    return answer


def wheel(name: str, version: str | Version) -> LockedWheel:
    stem = f"{name.replace('-', '_')}-{version}"
    return LockedWheel(
        name=name,
        version=Version(str(version)),
        filename=f"{stem}-py3-none-any.whl",
        url=f"https://files.test/{stem}-py3-none-any.whl",
        sha256="0" * 64,
        size=1,
        requires_python=None,
    )


def lock_of(answer: Resolution, *more: LockedWheel, without: str = "") -> Lock:
    """The lock that the resolution asks for, with these wheels over it and one package left out."""
    found = {name: wheel(name, version) for name, version in {**answer.packages, **answer.libraries}.items()}
    found |= {one.name: one for one in more}
    found.pop(without, None)
    return Lock(resolution=answer, wheels=tuple(found[name] for name in sorted(found)))


def judged(matrix: CompatibilityMatrix, lock: Lock, **contents: dict[str, bytes]) -> tuple[str, ...]:
    listings = {
        name.replace("_", "-"): WheelListing(
            size=1, entries={path: (zlib.crc32(data), len(data)) for path, data in files.items()}
        )
        for name, files in contents.items()
    }
    return tuple(map(fault_text, faults(matrix, lock, listings)))


@pytest.fixture(name="jax", scope="module")
def _jax(matrix: CompatibilityMatrix) -> Resolution:
    return resolution(matrix, "jax")


@pytest.mark.parametrize("backends", [("tensorflow",), ("jax",), ("torch",), ("tensorflow", "jax", "torch")])
def test_what_was_decided_is_fit(matrix: CompatibilityMatrix, backends: tuple[str, ...]) -> None:
    assert judged(matrix, lock_of(resolution(matrix, *backends))) == ()


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch", "numpy", "openvino"])
def test_the_cpu_is_fit(matrix: CompatibilityMatrix, backend: str) -> None:
    assert judged(matrix, lock_of(resolution(matrix, backend, accelerator=CPU))) == ()


def test_the_local_label_of_a_decided_version_is_the_locks_own(matrix: CompatibilityMatrix) -> None:
    answer = resolution(matrix, "torch", accelerator=CPU)
    assert judged(matrix, lock_of(answer, wheel("torch", f"{answer.packages['torch']}+cpu"))) == ()


def test_another_framework_version(matrix: CompatibilityMatrix, jax: Resolution) -> None:
    assert judged(matrix, lock_of(jax, wheel("jax", "0.0.1"))) == (
        f"jax {jax.packages['jax']} was decided on, and the lock has 0.0.1",
    )


def test_no_framework(matrix: CompatibilityMatrix, jax: Resolution) -> None:
    assert judged(matrix, lock_of(jax, without="jax")) == (
        f"jax {jax.packages['jax']} was decided on, and the lock has none",
    )


def test_another_version_of_a_pinned_library(matrix: CompatibilityMatrix, jax: Resolution) -> None:
    assert judged(matrix, lock_of(jax, wheel("nvidia-cudnn-cu12", "9.1.0.70"))) == (
        f"nvidia-cudnn-cu12 {jax.libraries['nvidia-cudnn-cu12']} was decided on, and the lock has 9.1.0.70",
    )


def test_another_numpy_is_the_resolvers_own_choice(matrix: CompatibilityMatrix, jax: Resolution) -> None:
    assert judged(matrix, lock_of(jax, wheel("numpy", "2.0.2"))) == ()


@pytest.mark.parametrize("name", ["nvidia-nccl-cu12", "nvidia-cudnn-cu12", "nvidia-cuda-nvcc-cu12"])
def test_an_incomplete_cuda_build(matrix: CompatibilityMatrix, jax: Resolution, name: str) -> None:
    assert judged(matrix, lock_of(jax, without=name)) == (
        f"the chosen builds need {name}, and the lock has none: it would not be complete",
    )


def test_another_cuda_by_its_suffix(matrix: CompatibilityMatrix, jax: Resolution) -> None:
    other = jax.libraries["nvidia-nccl-cu12"]
    assert judged(matrix, lock_of(jax, wheel("nvidia-nccl-cu13", "2.30.7"))) == (
        "nvidia-nccl-cu13 2.30.7 is of CUDA 13, in an environment for CUDA 12",
        f"there are several NCCL in it: nvidia-nccl-cu12 {other} and nvidia-nccl-cu13 2.30.7",
    )


def test_another_cuda_by_the_suffix_of_a_package_that_the_matrix_does_not_follow(
    matrix: CompatibilityMatrix, jax: Resolution
) -> None:
    assert matrix.library("nvidia-dali-cu13") is None
    assert judged(matrix, lock_of(jax, wheel("nvidia-dali-cu13", "1.51"), wheel("nvidia-dali-cu12", "1.51"))) == (
        "nvidia-dali-cu13 1.51 is of CUDA 13, in an environment for CUDA 12",
    )


@pytest.mark.parametrize(("name", "version"), [("nvidia-cublas", "13.1.0.3"), ("nvidia-cufft", "12.0.0.61")])
def test_another_cuda_by_its_version(matrix: CompatibilityMatrix, jax: Resolution, name: str, version: str) -> None:
    """CUDA 13's cuFFT has major version 12, and none of its packages has a suffix."""
    assert judged(matrix, lock_of(jax, wheel(name, version))) == (
        f"{name} {version} is of CUDA 13, in an environment for CUDA 12",
    )


def test_another_cuda_from_the_other_side(matrix: CompatibilityMatrix) -> None:
    jax = resolution(matrix, "jax", accelerator=Accelerator("cuda", (13,)))
    assert judged(matrix, lock_of(jax, wheel("nvidia-cublas-cu12", "12.8.4.1"))) == (
        "nvidia-cublas-cu12 12.8.4.1 is of CUDA 12, in an environment for CUDA 13",
    )


@pytest.mark.parametrize(
    ("backend", "accelerator", "plugin", "said"),
    [
        ("jax", CPU, ("jax-rocm7-plugin", "0.12.0"), "is of ROCm 7, in an environment for the CPU"),
        ("jax", CPU, ("jax-cuda12-pjrt", "0.10.2"), "is of CUDA 12, in an environment for the CPU"),
        ("jax", CUDA12, ("jax-rocm7-plugin", "0.12.0"), "is of ROCm 7, in an environment for CUDA 12"),
        ("tensorflow", CPU, ("tensorflow-metal", "1.1.0"), "is of Metal, in an environment for the CPU"),
    ],
)
def test_a_plugin_of_another_accelerator_is_loaded_wherever_it_is(
    matrix: CompatibilityMatrix, backend: str, accelerator: Accelerator, plugin: tuple[str, str], said: str
) -> None:
    answer = resolution(matrix, backend, accelerator=accelerator)
    name, version = plugin
    assert judged(matrix, lock_of(answer, wheel(name, version))) == (f"{name} {version} {said}",)


def test_a_library_of_cuda_beside_builds_for_the_cpu_lies_there_unused(matrix: CompatibilityMatrix) -> None:
    """XGBoost asks for NCCL on every Linux."""
    answer = resolution(matrix, "jax", accelerator=CPU)
    assert judged(matrix, lock_of(answer, wheel("nvidia-nccl-cu12", "2.27.5"))) == ()


def test_which_projects_are_plugins(shipped_matrix: CompatibilityMatrix) -> None:
    assert set(shipped_matrix.plugins_of("jax")) == {
        f"jax-{kind}-{part}" for kind in ("cuda12", "cuda13", "rocm60", "rocm7") for part in ("plugin", "pjrt")
    }
    assert set(shipped_matrix.plugins_of("tensorflow")) == {"tensorflow-metal", "tensorflow-rocm"}
    assert set(shipped_matrix.plugins_of("torch")) == set()


def test_two_cudnn(matrix: CompatibilityMatrix, jax: Resolution) -> None:
    cudnn = jax.libraries["nvidia-cudnn-cu12"]
    found = judged(matrix, lock_of(jax, wheel("nvidia-cudnn-cu13", "9.26.0.51")))
    assert found == (
        "nvidia-cudnn-cu13 9.26.0.51 is of CUDA 13, in an environment for CUDA 12",
        f"there are several cuDNN in it: nvidia-cudnn-cu12 {cudnn} and nvidia-cudnn-cu13 9.26.0.51",
    )


def test_two_cudnn_for_the_cpu(matrix: CompatibilityMatrix) -> None:
    numpy = resolution(matrix, "numpy", accelerator=CPU)
    more = wheel("nvidia-cudnn-cu12", "9.10.2.21"), wheel("nvidia-cudnn-cu13", "9.26.0.51")
    assert judged(matrix, lock_of(numpy, *more)) == (
        "there are several cuDNN in it: nvidia-cudnn-cu12 9.10.2.21 and nvidia-cudnn-cu13 9.26.0.51",
    )


def test_a_cpu_build_for_cuda(matrix: CompatibilityMatrix) -> None:
    torch = resolution(matrix, "torch")
    version = torch.packages["torch"]
    assert judged(matrix, lock_of(torch, wheel("torch", f"{version}+cpu"))) == (
        f"torch {version}+cpu is a CPU build, in an environment for CUDA 12",
    )


def test_two_owners_of_one_path(matrix: CompatibilityMatrix, jax: Resolution) -> None:
    found = judged(
        matrix,
        lock_of(jax),
        nvidia_cudnn_cu12={"nvidia/__init__.py": b"", "nvidia/cudnn/a.so": b"12", "nvidia/cudnn/b.so": b"12"},
        nvidia_other={"nvidia/__init__.py": b"", "nvidia/cudnn/a.so": b"13", "nvidia/cudnn/b.so": b"13"},
        third={"nvidia/cudnn/b.so": b"12"},
    )
    assert found == (
        "nvidia-cudnn-cu12 and nvidia-other both own nvidia/cudnn/a.so and 1 more, with different content",
        "nvidia-other and third both own nvidia/cudnn/b.so, with different content",
    )


def test_every_fault_is_named(matrix: CompatibilityMatrix, jax: Resolution) -> None:
    lock = lock_of(jax, wheel("jax", "0.0.1"), wheel("nvidia-cublas", "13.1.0.3"), without="nvidia-nccl-cu12")
    assert len(judged(matrix, lock, first={"a": b"1"}, second={"a": b"2"})) == 4


def test_sizes(jax: Resolution) -> None:
    lock = lock_of(jax)
    assert lock.size == len(lock.wheels)
    assert dataclasses.replace(lock, wheels=(dataclasses.replace(lock.wheels[0], size=None),)).size is None


def needing(
    matrix: CompatibilityMatrix, lock: Lock, files: dict[str, Needs], *, own: tuple[str, ...] = (), given: str = ""
) -> tuple[str, ...]:
    """The faults of a lock in which `plugin` has these compiled files, and the first package of all this file."""
    listings = {one.name: WheelListing(size=1, entries={}) for one in lock.wheels}
    listings["plugin"] = WheelListing(size=1, entries=dict.fromkeys((*files, *own), (1, 1)))
    listings[lock.wheels[0].name] = WheelListing(size=1, entries={given: (2, 2)} if given else {})
    return tuple(map(fault_text, faults(matrix, lock, listings, {"plugin": files})))


def asks(*needed: str, loaded: tuple[str, ...] = ()) -> Needs:
    return Needs(needed, loaded)


@pytest.fixture(name="plugged", scope="module")
def _plugged(jax: Resolution) -> Lock:
    return lock_of(jax, wheel("plugin", "2.0"))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.so": asks("libcudart.so.13", "libcublas.so.13")}, "libcublas.so.13 and libcudart.so.13 (a.so)"),
        ({"a.so": asks("libc.so.6"), "b.so": asks("libnvrtc.so.11.2")}, "libnvrtc.so.11.2 (b.so)"),
        ({"a.so": asks("libcufft.so.12")}, "libcufft.so.12 (a.so)"),
        ({"a.so": asks("libcudart.so.14")}, "libcudart.so.14 (a.so)"),
        ({"a.so": asks(loaded=("libcudart.so.13",))}, "libcudart.so.13 (a.so)"),
        ({"a.so": asks("libcudart.so.13"), "b.so": asks("libcublas.so.12")}, "libcudart.so.13 (a.so)"),
        ({"a.pyd": asks("kernel32.dll", "cudart64_13.dll")}, "cudart64_13.dll (a.pyd)"),
        ({"a.dll": asks(loaded=("nvrtc64_130_0.dll",))}, "nvrtc64_130_0.dll (a.dll)"),
        ({"a.dll": asks("cublaslt64_14.dll")}, "cublaslt64_14.dll (a.dll)"),
    ],
    ids=[
        "several",
        "older",
        "cuFFT of CUDA 13 is 12",
        "one that nobody knows",
        "opened",
        "another library fits",
        "Windows",
        "Windows, opened",
        "Windows, one that nobody knows",
    ],
)
def test_a_file_that_needs_another_major(
    matrix: CompatibilityMatrix, plugged: Lock, files: dict[str, Needs], said: str
) -> None:
    assert needing(matrix, plugged, files) == (f"plugin 2.0 needs {said}, in an environment for CUDA 12",)


@pytest.mark.parametrize(
    "files",
    [
        {"a.so": asks("libc.so.6", "libm.so.6", "libstdc++.so.6", "libcuda.so.1")},
        {"a.so": asks(loaded=("libcudart.so.13", "libcudart.so.12"))},
        {"cuda13.so": asks("libcudart.so.13"), "cuda12.so": asks("libcudart.so.12")},
    ],
    ids=["none of CUDA", "opens one or the other", "one file for each CUDA"],
)
def test_files_that_do_no_harm(matrix: CompatibilityMatrix, plugged: Lock, files: dict[str, Needs]) -> None:
    assert needing(matrix, plugged, files, given="nvidia/cuda_runtime/lib/libcudart.so.12") == ()


def test_a_file_brings_its_own(matrix: CompatibilityMatrix, plugged: Lock) -> None:
    files = {"a.so": asks("libcudart.so.11.0", loaded=("libcudart.so.11.0",))}
    assert needing(matrix, plugged, files, own=("plugin.libs/libcudart.so.11.0",)) == ()


def test_a_library_that_nothing_has(matrix: CompatibilityMatrix, plugged: Lock) -> None:
    needed = "libcufft.so.11 of nvidia-cufft-cu12 and libcurand.so.10 of nvidia-curand-cu12"
    files = {"a.so": asks("libcudart.so.12"), "b.so": asks("libcurand.so.10", "libcufft.so.11")}
    assert needing(matrix, plugged, files, given="nvidia/cuda_runtime/lib/libcudart.so.12") == (
        f"plugin 2.0 needs {needed} (b.so), and nothing in the lock has it",
    )


def test_windows_minds_no_capitals(matrix: CompatibilityMatrix, plugged: Lock) -> None:
    files = {"a.pyd": asks("cublaslt64_12.dll", "cudart64_12.dll", "cufft64_11.dll", "kernel32.dll")}
    given = needing(matrix, plugged, files, own=("plugin/lib/cudart64_12.dll",), given="torch/lib/cublasLt64_12.dll")
    assert given == ("plugin 2.0 needs cufft64_11.dll of nvidia-cufft-cu12 (a.pyd), and nothing in the lock has it",)


@pytest.mark.parametrize(
    ("package", "read"),
    [("jax", False), ("jax-cuda12-pjrt", False), ("nvidia-cublas-cu12", False), ("numpy", False), ("plugin", True)],
)
def test_what_the_matrix_knows_is_not_read(
    matrix: CompatibilityMatrix, jax: Resolution, package: str, *, read: bool
) -> None:
    assert is_to_be_read(matrix, jax, package) is read
    assert not is_to_be_read(matrix, resolution(matrix, "jax", accelerator=CPU), package)


def test_a_file_of_two_packages_is_as_either_has_it(tmp_path: Path) -> None:
    """Which of them was installed last is the installer's business, where the user allowed both."""
    site = tmp_path / "lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (site / "module.py").write_bytes(b"one")
    for name, content in (("first", b"one"), ("second", b"two")):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        (site / f"{name}-1.dist-info").mkdir()
        (site / f"{name}-1.dist-info/RECORD").write_text(f"module.py,sha256={digest},3\n")
    assert changed_files(tmp_path) == ()
    (site / "module.py").write_bytes(b"six")
    assert [(one.kind, one.path) for one in changed_files(tmp_path)] == [
        ("changed", "lib/python3.11/site-packages/module.py")
    ]
