"""XPU, on Intel's GPUs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from kgen.accelerators import Devices, DriverHelp, Fit, Gpu, Kind
from kgen.model.grammar import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kgen.model.architecture import DeviceCode

_ARCHITECTURE = r"pci(?P<number>[0-9a-f]{4})"
_DRIVERS = ("xe", "i915")
"""The modules of the kernel that serve Intel's GPUs: `xe` the newer ones."""
_OWN = "0000:00:02.0"
"""Where the GPU of a processor of Intel's is on the bus."""
_VENDOR = "0x8086"
_DISPLAY = "0x03"
"""The class of what draws or computes on the PCI bus; Intel's bus has much else."""
_DOCKER = ("--device", "/dev/dri")


class Xpu(Kind):
    """XPU, and where the kernel tells of its devices.

    Attributes:
        root: the kernel's file system of devices.
        nodes: the folder of what a process opens to compute.
    """

    name = "xpu"
    title = "XPU"
    maker = "Intel"
    device = "an Intel GPU"
    help = "for Intel's GPUs"
    example = ""
    primitives = "oneDNN"
    architecture = "PCI device"
    architecture_example = "pcie20b"
    driver_example = ""
    in_wheels = True
    rank = 4
    driver_help = DriverHelp(
        interface="the kernel's drivers xe and i915",
        status="ls -l /dev/dri",
        listing="ls -l /dev/dri/by-path",
        too_old="Level Zero may not start",
        no_code="its first kernel will fail",
        docker=_DOCKER,
        containers={
            "docker": f"docker run {' '.join(_DOCKER)} …",
            "podman": f"podman run {' '.join(_DOCKER)} --group-add keep-groups …",
            "kubernetes": "kubectl explain pod.spec.containers.resources.limits   # and ask for gpu.intel.com/xe: 1",
        },
    )

    def __init__(self, root: Path = Path("/sys"), nodes: Path = Path("/dev")) -> None:
        """That of this machine, or of what was recorded on another."""
        self.root = root
        self.nodes = nodes

    def parse_architecture(self, text: str) -> str:
        """`pcie20b`: the number of the device on the PCI bus, as `lspci -nn` shows it."""
        if re.fullmatch(_ARCHITECTURE, text.lower()) is None:
            raise ValueError(f"`{shown(text)}` is not a device of Intel's on the PCI bus such as pcie20b")
        return text.lower()

    def parse_driver(self, text: str) -> str:
        """None: the system brings it."""
        raise ValueError(f"`{shown(text)}` is not a version of a driver: the kernel brings that of Intel's GPUs")

    def fit(self, code: DeviceCode, architecture: str) -> Fit:
        """What is compiled ahead is for devices by their number; a build that names none compiles on the machine."""
        return Fit.NATIVE if architecture in code.machine else Fit.NONE

    def probe(self) -> Devices:
        """Asks the PCI bus for GPUs that a driver has taken, whatever ZE_AFFINITY_MASK hides.

        The GPU of a processor counts where there is no other: PyTorch computes on newer ones, and the bus does not
        tell which those are.
        """
        found = list(self._gpus())
        gpus = tuple(gpu for place, gpu in found if place != _OWN) or tuple(gpu for _, gpu in found)
        if not gpus:
            return Devices()
        lacking = None if list(self.nodes.glob("dri/renderD*")) else f"there is no {self.nodes / 'dri/renderD128'}"
        return Devices(None, gpus, lacking)

    def _gpus(self) -> Iterator[tuple[str, Gpu]]:
        for path in sorted((self.root / "bus/pci/devices").glob("*/vendor")):
            device = path.parent
            if _read(path) != _VENDOR or not _read(device / "class").startswith(_DISPLAY):
                continue
            if not any((self.root / "bus/pci/drivers" / name / device.name).exists() for name in _DRIVERS):
                continue
            number = _read(device / "device").removeprefix("0x")
            if re.fullmatch(_ARCHITECTURE, f"pci{number}") is not None:
                yield device.name, Gpu(f"Intel GPU {number}", f"pci{number}", 0)


def _read(path: Path) -> str:
    """The text of one of the kernel's small files; empty where there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip().lower()
    except OSError:
        return ""


KIND = Xpu()
