"""No accelerator: the machine's own processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kgen.accelerators import Devices, DriverHelp, Fit, Kind
from kgen.model.grammar import shown

if TYPE_CHECKING:
    from kgen.model.architecture import DeviceCode


class _Cpu(Kind):
    name = "cpu"
    title = "the CPU"
    maker = ""
    device = ""
    help = "for the CPU"
    example = ""
    primitives = ""
    architecture = "architecture"
    architecture_example = ""
    driver_example = ""
    in_wheels = True
    rank = 1000
    driver_help = DriverHelp()

    def parse_architecture(self, text: str) -> str:
        raise ValueError(f"`{shown(text)}` is not an architecture of a GPU")

    def parse_driver(self, text: str) -> str:
        raise ValueError(f"`{shown(text)}` is not a version of a driver")

    def fit(self, code: DeviceCode, architecture: str) -> Fit:  # noqa: ARG002 - nothing of it runs on a device
        return Fit.NONE

    def probe(self) -> Devices:
        return Devices()


KIND = _Cpu()
