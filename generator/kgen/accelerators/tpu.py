"""TPU, Google's accelerators."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from kgen.accelerators import Devices, DriverHelp, Fit, Gpu, Kind
from kgen.model.grammar import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kgen.model.architecture import DeviceCode

_GENERATION = r"(?:tpu[ -]?)?v?(?P<number>[2-9])[ ]?(?P<variant>e|p|i|t|x|litepod|lite)?"
_SPELLED = {"5litepod": "v5e", "5lite": "v5e", "7": "tpu7x", "7x": "tpu7x", "8i": "tpu8i", "8t": "tpu8t"}
"""Names that Google gives a generation -> what JAX calls it; the others are `v` and the name."""
_KNOWN = ("v2", "v3", "v4", "v5e", "v5p", "v6e", "tpu7x", "tpu8i", "tpu8t")
_VENDOR = "0x1ae0"
_CHIPS = {
    "0x0027": "v3",
    "0x005e": "v4",
    "0x0062": "v5p",
    "0x0063": "v5e",
    "0x006f": "v6e",
    "0x0076": "tpu7x",
    "0x0083": "tpu8i",
    "0x007c": "tpu8t",
}
"""The number of a device on the PCI bus -> its generation, as jax/_src/hardware_utils.py has it; v2 has that of v3."""
_DOCKER = ("--privileged", "--net=host")


class Tpu(Kind):
    """TPU, and where the kernel tells of its devices.

    Attributes:
        root: the kernel's file system of devices.
        nodes: the folder of what a process opens to compute.
    """

    name = "tpu"
    title = "TPU"
    maker = "Google"
    device = "a Google TPU"
    help = "for TPUs"
    example = ""
    primitives = "libtpu"
    architecture = "generation"
    architecture_example = "v5e"
    driver_example = ""
    in_wheels = True
    rank = 2
    driver_help = DriverHelp(
        interface="the nodes of TPUs in /dev",
        status="ls /dev/accel* /dev/vfio",
        listing="ls /dev/accel* /dev/vfio",
        too_old="libtpu does not start",
        no_code="libtpu does not know this generation",
        vendor=_VENDOR.removeprefix("0x"),
        docker=_DOCKER,
        containers={
            "docker": f"docker run {' '.join(_DOCKER)} …",
            "podman": f"podman run {' '.join(_DOCKER)} …",
            "kubernetes": "kubectl explain pod.spec.containers.resources.limits   # and ask for google.com/tpu: 4",
        },
    )

    def __init__(self, root: Path = Path("/sys"), nodes: Path = Path("/dev")) -> None:
        """That of this machine, or of what was recorded on another."""
        self.root = root
        self.nodes = nodes

    def parse_architecture(self, text: str) -> str:
        """`v5e`, also as `TPU v5e`, `v5litepod` or `tpu7x`."""
        match = re.fullmatch(_GENERATION, text.strip().lower())
        if match is not None:
            name = f"{match['number']}{match['variant'] or ''}"
            found = _SPELLED.get(name, f"v{name}")
            if found in _KNOWN:
                return found
        raise ValueError(f"`{shown(text)}` is not a generation of TPUs: one of {', '.join(_KNOWN)}")

    def parse_driver(self, text: str) -> str:
        """None: it tells no version."""
        raise ValueError(f"`{shown(text)}` is not a version of a driver: TPUs report no version of a driver")

    def fit(self, code: DeviceCode, architecture: str) -> Fit:
        """Libtpu compiles on the machine for what is there; a build that names its generations runs on no other."""
        return Fit.NATIVE if architecture in code.machine else Fit.NONE

    def probe(self) -> Devices:
        """Asks the PCI bus, as JAX does, whatever TPU_VISIBLE_CHIPS hides; opens no device and asks no network."""
        found = list(self._chips())
        if not found:
            return Devices()
        note = None
        if not self._nodes("accel") and not [one for one in self._nodes("vfio/") if one.name.isdecimal()]:
            note = f"there is no {self.nodes / 'accel0'} and no {self.nodes / 'vfio/0'} to compute through"
        return Devices(None, tuple(Gpu(f"TPU {one.removeprefix('tpu')}", one, 0) for one in found), note)

    def _chips(self) -> Iterator[str]:
        for path in sorted((self.root / "bus/pci/devices").glob("*.0/vendor")):
            if _read(path) == _VENDOR:
                generation = _CHIPS.get(_read(path.with_name("device")))
                if generation is not None:
                    yield generation

    def _nodes(self, name: str) -> list[Path]:
        return sorted(self.nodes.glob(f"{name}[0-9]*"))


def _read(path: Path) -> str:
    """The text of one of the kernel's small files; empty where there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip().lower()
    except OSError:
        return ""


KIND = Tpu()
