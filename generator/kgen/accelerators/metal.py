"""Metal, on the GPUs of Apple processors."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from kgen.accelerators import Devices, DriverHelp, Fit, Gpu, Kind
from kgen.model.grammar import shown

if TYPE_CHECKING:
    from kgen.model.architecture import DeviceCode

_CHIP = r"(?:apple )?(?P<name>m[1-9][0-9]?)(?: (?:pro|max|ultra))?"
_BRAND = b"machdep.cpu.brand_string"
_LONGEST = 256


class Metal(Kind):
    """Metal, and how to find the processor of the machine.

    Attributes:
        system: the names of the system and the machine, as from `uname`; None for this machine's.
        brand: returns the kernel's name for the processor; empty if it has none.
    """

    name = "metal"
    spelled = ("mps",)
    title = "Metal"
    maker = "Apple"
    device = "an Apple GPU"
    help = "for the GPU of an Apple processor"
    example = ""
    primitives = "Metal Performance Shaders"
    architecture = "processor"
    architecture_example = "m4"
    driver_example = ""
    in_wheels = True
    rank = 3
    driver_help = DriverHelp(
        interface="the kernel of macOS",
        status="system_profiler SPDisplaysDataType",
        listing="system_profiler SPDisplaysDataType",
        too_old="macOS brings the driver",
        no_code="its first kernel will fail",
    )

    def __init__(self, system: tuple[str, str] | None = None, brand: Callable[[], str] | None = None) -> None:
        """Create the kind for this machine, or for one that was recorded elsewhere."""
        self.system = system
        self.brand = brand or _brand

    def parse_architecture(self, text: str) -> str:
        """`m4`, also as `Apple M4 Pro`."""
        match = re.fullmatch(_CHIP, text.strip().lower())
        if match is None:
            raise ValueError(f"`{shown(text)}` is not a processor of Apple's such as m4 or Apple M4 Pro")
        return match["name"]

    def parse_driver(self, text: str) -> str:
        """Always refused: the driver is part of the system."""
        raise ValueError(f"`{shown(text)}` is not a version of a driver: macOS brings that of Metal")

    def fit(self, code: DeviceCode, architecture: str) -> Fit:
        """Shaders are compiled on the machine; a build that names its processors runs on no others."""
        return Fit.NATIVE if architecture in code.machine else Fit.NONE

    def probe(self) -> Devices:
        """Every Apple processor has a GPU, which every process can use, even without a screen."""
        system = self.system
        if system is None:
            here = os.uname()
            system = (here.sysname, here.machine)
        if system != ("Darwin", "arm64"):
            return Devices()
        brand = self.brand()
        try:
            return Devices(gpus=(Gpu(brand, self.parse_architecture(brand), 0),))
        except ValueError:
            return Devices(note=f"the kernel calls the processor `{shown(brand)}`, whose GPU kgen does not know")


def _brand() -> str:
    import ctypes  # noqa: PLC0415 - slow to import, and every command imports this module

    size, text = ctypes.c_size_t(_LONGEST), ctypes.create_string_buffer(_LONGEST)
    try:
        failed = ctypes.CDLL(None).sysctlbyname(_BRAND, text, ctypes.byref(size), None, 0)
    except (OSError, AttributeError):
        return ""
    return "" if failed else text.value.decode(errors="replace")


KIND = Metal()
