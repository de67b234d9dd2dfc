"""CUDA, on NVIDIA GPUs."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import TYPE_CHECKING, Any

from kgen.accelerators import (
    Condition,
    ContainerHelp,
    Devices,
    DriverHelp,
    Fit,
    Gpu,
    Kind,
    SharingServer,
    WslHelp,
)
from kgen.model.grammar import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kgen.model.architecture import DeviceCode
    from kgen.model.driver import DriverVersion

_CAPABILITY = r"(?:(?:sm|compute)_?)?(?P<major>[1-9][0-9]?)\.?(?P<minor>[0-9])[a-z]?"
_OLDEST = 3
"""The first major of a compute capability that CUDA still supported when this was written."""
_NVML = "libnvidia-ml.so.1"
_SHARING = ("shared", "exclusive", "prohibited", "exclusive")
"""NVML's compute modes by number: default, exclusive thread (obsolete), prohibited, exclusive process."""
_DRIVER = r"[0-9]{3,4}(?:\.[0-9]{1,6}){0,3}"


class _Cuda(Kind):
    name = "cuda"
    spelled = ("cu", "gpu", "nvidia", "cudatoolkit", "cuda-version")
    title = "CUDA"
    maker = "NVIDIA"
    device = "an NVIDIA GPU"
    help = "CUDA major or major.minor, or auto"
    example = "12"
    primitives = "cuDNN"
    architecture = "compute capability"
    architecture_example = "8.0"
    driver_example = "535.183"
    in_wheels = True
    rank = 0
    driver_help = DriverHelp(
        kubernetes="nvidia.com/gpu",
        interface="NVML",
        status="nvidia-smi",
        listing="nvidia-smi --list-gpus",
        too_old=(
            "CUDA will not start (`CUDA driver version is insufficient`), and some frameworks then train on the"
            " CPU without a word"
        ),
        consumer="a GeForce",
        no_code="its first kernel will fail: `no kernel image is available for execution on the device`",
        library="libcuda",
        library_file="libcuda.so.1",
        library_asked="cuDriverGetVersion",
        other_module="nouveau",
        stub="it is for linking only: every call fails with CUDA error 34, and the GPU seems not to be there",
        assembler="ptxas",
        assembler_packages=("nvidia-cuda-nvcc", "nvidia-cuda-runtime"),
        places=(
            "/run/opengl-driver/lib",  # NixOS
            "/.singularity.d/libs",  # Apptainer and Singularity, with --nv
            "/usr/local/nvidia/lib64",  # Google's nodes of Kubernetes
            "/usr/lib/wsl/lib",
            "/var/lib/snapd/lib/gl",
        ),
        vendor="10de",
        install={
            "ubuntu": "sudo ubuntu-drivers install",
            "debian": "sudo apt-get install nvidia-driver",
            "fedora": "sudo dnf install akmod-nvidia",
            "arch": "sudo pacman -S nvidia",
        },
        docker=("--gpus", "all"),
        containers={
            "docker": "docker run --gpus all …",
            "podman": "podman run --device nvidia.com/gpu=all …",
            "apptainer": "apptainer exec --nv …",
            "enroot": "enroot start --env NVIDIA_VISIBLE_DEVICES=all --env NVIDIA_DRIVER_CAPABILITIES=all …",
            "charliecloud": "ch-fromhost --nvidia IMAGE",
            "lxc": "lxc config device add CONTAINER gpu gpu   # with nvidia.runtime=true",
            "kubernetes": ("kubectl explain pod.spec.containers.resources.limits   # and ask for nvidia.com/gpu: 1"),
        },
        server=SharingServer(
            title="MPS",
            variable="CUDA_MPS_PIPE_DIRECTORY",
            folder="/tmp/nvidia-mps",  # noqa: S108 - the one that it has by default
            control="control",
            process="nvidia-cuda-mps-control.pid",
            start="nvidia-cuda-mps-control -d",
            stop="echo quit | nvidia-cuda-mps-control",
        ),
        contained=ContainerHelp(
            variable="NVIDIA_DRIVER_CAPABILITIES",
            compute="compute",
            every="all",
            nodes=("nvidiactl", "nvidia-uvm"),
            ask="utility",
            chooses="NVIDIA_VISIBLE_DEVICES",
            none=("", "none", "void"),
        ),
        wsl=WslHelp(folder="/usr/lib/wsl/lib", node="dxg"),
        logged=r"NVRM: Xid \((?:PCI:)?(?P<device>[0-9A-Fa-f:.]+)\): (?P<code>[0-9]+)",
        codes={
            "46": "it has stopped processing",
            "48": "an error of its memory that could not be corrected",
            "62": "its microcontroller halted",
            "64": "a faulty row of its memory could not be replaced",
            "74": "an error on NVLink",
            "79": "it has fallen off the bus",
            "94": "an error of its memory ended a process",
            "95": "an error of its memory reached other processes",
            "119": "its system processor does not answer",
            "120": "an error of its system processor",
            "140": "an error of its memory that could not be corrected",
        },
        reset="sudo nvidia-smi --gpu-reset -i {number}",
        names_begin=("GPU-", "MIG-"),
    )

    def parse_architecture(self, text: str) -> str:
        """A compute capability, such as `8.0`, `80`, `sm_80`, `compute_80` or `sm_90a`."""
        match = re.fullmatch(_CAPABILITY, text)
        # Without a dot the last digit is the minor: `12` would be 1.2, and 12.0 was meant.
        if match is not None and int(match["major"]) >= _OLDEST:
            return f"{match['major']}.{match['minor']}"
        raise ValueError(
            f"`{shown(text)}` is not a compute capability such as 8.0 or sm_80;"
            " `nvidia-smi --query-gpu=name,compute_cap --format=csv` prints that of a GPU"
        )

    def parse_driver(self, text: str) -> str:
        """`535.183`, `580.65.06`, or a branch alone, such as `580`."""
        if re.fullmatch(_DRIVER, text) is None:
            raise ValueError(f"`{shown(text)}` is not a driver version such as 535.183 or 580.65.06")
        return text

    def fit(self, code: DeviceCode, architecture: str) -> Fit:
        """SASS for X.Y runs on X.Z with Z >= Y; PTX for X.Y can be compiled for anything newer."""
        gpu = _number(architecture)
        if any(major == gpu[0] and minor <= gpu[1] for major, minor in map(_number, code.machine)):
            return Fit.NATIVE
        return Fit.COMPILED if any(_number(one) <= gpu for one in code.portable) else Fit.NONE

    def variant_facts(self, runs: str, architectures: Sequence[str]) -> Mapping[str, str]:
        """The facts of NVIDIA's variant provider, which replace those of this machine.

        It takes one architecture: the oldest, whose code also runs on the others of a major.
        """
        oldest = min(architectures, key=_number, default="")
        facts = {
            "NV_VARIANT_PROVIDER_FORCE_CUDA_DRIVER_VERSION": runs,
            "NV_VARIANT_PROVIDER_FORCE_SM_ARCH": oldest,
        }
        return {name: value for name, value in facts.items() if value}

    def probe(self) -> Devices:
        """Query NVML, which ignores CUDA_VISIBLE_DEVICES."""
        if sys.platform == "linux" and "pynvml" not in sys.modules and not _there(_NVML):
            return Devices()
        try:
            # The import takes a tenth of kgen's start-up time, and most commands do not need it.
            import pynvml  # noqa: PLC0415
        except ImportError as error:
            return Devices(note=f"the Python package nvidia-ml-py cannot be imported: {error}")
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError_LibraryNotFound:
            return Devices()
        except (pynvml.NVMLError, OSError) as error:
            two_versions = getattr(error, "value", None) == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
            return Devices(note=f"NVML is there and does not start: {error}", two_versions=two_versions)
        notes: list[str] = []
        try:
            driver, gpus = _driver(pynvml, notes), _gpus(pynvml, notes)
        finally:
            try:
                pynvml.nvmlShutdown()
            except pynvml.NVMLError as error:
                notes.append(f"NVML does not shut down: {error}")
        return Devices(driver, gpus, "; ".join(notes) or None)

    def conditions(self) -> tuple[Condition, ...]:
        """Query NVML for what may prevent a GPU that answers from computing."""
        if sys.platform == "linux" and "pynvml" not in sys.modules and not _there(_NVML):
            return ()
        try:
            import pynvml  # noqa: PLC0415 - as above
        except ImportError:
            return ()
        try:
            pynvml.nvmlInit()
        except (pynvml.NVMLError, OSError):
            return ()
        found = []
        try:
            for index in range(pynvml.nvmlDeviceGetCount()):
                with contextlib.suppress(pynvml.NVMLError, ValueError):
                    found.append(_condition(pynvml, index, pynvml.nvmlDeviceGetHandleByIndex(index)))
        except pynvml.NVMLError:
            return ()
        finally:
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
        return tuple(found)


def _there(library: str) -> bool:
    """Whether the loader finds a library; most machines have none, and need not import what queries it."""
    import ctypes  # noqa: PLC0415 - only who probes needs it

    try:
        ctypes.CDLL(library)
    except OSError as error:
        # NVML reports a library that exists but cannot be loaded
        return "No such file" not in str(error)
    return True


def _number(capability: str) -> tuple[int, int]:
    major, _, minor = capability.partition(".")
    return int(major), int(minor)


def _driver(nvml: Any, notes: list[str]) -> DriverVersion | None:  # noqa: ANN401 - it has no types
    from kgen.model.driver import DriverVersion  # noqa: PLC0415 - only who probes needs it

    try:
        return DriverVersion(nvml.nvmlSystemGetDriverVersion())
    except (nvml.NVMLError, ValueError) as error:
        notes.append(f"NVML does not tell the driver's version: {error}")
        return None


def _gpus(nvml: Any, notes: list[str]) -> tuple[Gpu, ...]:  # noqa: ANN401 - it has no types
    gpus: list[Gpu] = []
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        notes.append(f"NVML does not tell how many GPUs there are: {error}")
        return ()
    for index in range(count):
        # A GPU that has fallen off the bus must not hide the others.
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            gpu = _gpu(nvml, handle)
            partitions = _partitions(nvml, handle, gpu)
            gpus += [gpu] if partitions is None else partitions
        except (nvml.NVMLError, ValueError) as error:
            notes.append(f"GPU {index} does not answer: {error}")
    return tuple(gpus)


def _gpu(nvml: Any, handle: Any) -> Gpu:  # noqa: ANN401 - it has no types
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    found = Gpu(str(nvml.nvmlDeviceGetName(handle)), f"{major}.{minor}", _memory(nvml, handle))
    # NVML numbers GPUs by bus address, CUDA by its estimate of speed; only the selector is common to both
    return found._replace(selector=_selector(nvml, handle))


def _memory(nvml: Any, handle: Any) -> int:  # noqa: ANN401 - it has no types
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    except nvml.NVMLError:
        # Not supported where GPU and CPU share their memory.
        return 0


def _partitions(nvml: Any, handle: Any, gpu: Gpu) -> tuple[Gpu, ...] | None:  # noqa: ANN401 - it has no types
    """The instances of a GPU in MIG mode, on which CUDA computes instead; None for a GPU that is not in that mode."""
    try:
        if not nvml.nvmlDeviceGetMigMode(handle)[0]:
            return None
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:  # a GPU that has no such mode
        return None
    found = []
    for index in range(count):
        # also raised for numbers without an instance
        with contextlib.suppress(nvml.NVMLError):
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            one = Gpu(str(nvml.nvmlDeviceGetName(instance)), gpu.architecture, _memory(nvml, instance))
            # CUDA's numbers are for GPUs; only the selector chooses an instance
            found.append(one._replace(selector=_selector(nvml, instance)))
    return tuple(found)


def _selector(nvml: Any, handle: Any) -> str:  # noqa: ANN401 - it has no types
    try:
        return str(nvml.nvmlDeviceGetUUID(handle))
    except nvml.NVMLError:
        return ""


def _condition(nvml: Any, index: int, handle: Any) -> Condition:  # noqa: ANN401 - it has no types
    import ctypes  # noqa: PLC0415 - only who probes needs it

    gpu = _gpu(nvml, handle)
    found = Condition(index, gpu.name, partitions=_partitions(nvml, handle, gpu), selector=gpu.selector)
    # A GPU or a driver may not support a query, or may not allow it to every user.
    with contextlib.suppress(nvml.NVMLError, IndexError):
        found = found._replace(sharing=_SHARING[nvml.nvmlDeviceGetComputeMode(handle)])
    # For the form of an older driver's answer, the bindings raise an error that is not one of NVML's.
    with contextlib.suppress(nvml.NVMLError, getattr(nvml, "NVMLLibraryMismatchError", nvml.NVMLError)):
        running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        found = found._replace(processes=tuple(int(one.pid) for one in running))
    with contextlib.suppress(nvml.NVMLError):
        kind, since = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        found = found._replace(uncorrected=int(nvml.nvmlDeviceGetTotalEccErrors(handle, kind, since)))
    # only Ampere and later replace rows
    with contextlib.suppress(nvml.NVMLError):
        *_, pending, failed = nvml.nvmlDeviceGetRemappedRows(handle)
        found = found._replace(remapping=bool(pending), worn=bool(failed))
    # bindings and drivers before 525 know of no fabric
    with contextlib.suppress(nvml.NVMLError, AttributeError):
        fabric = nvml.c_nvmlGpuFabricInfo_t()
        nvml.nvmlDeviceGetGpuFabricInfo(handle, ctypes.byref(fabric))
        waiting = {nvml.NVML_GPU_FABRIC_STATE_NOT_STARTED, nvml.NVML_GPU_FABRIC_STATE_IN_PROGRESS}
        found = found._replace(joining=fabric.state in waiting)
    return found


KIND = _Cuda()
