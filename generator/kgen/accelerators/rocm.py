"""ROCm, on AMD's GPUs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from kgen.accelerators import Devices, DriverHelp, Fit, Gpu, Kind
from kgen.model.driver import DriverVersion
from kgen.model.grammar import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kgen.model.architecture import DeviceCode

_ARCHITECTURE = r"(?P<name>gfx[0-9]{1,2}[0-9a-f]{2})(?::[a-z]+[+-])*"
_GENERIC = {
    "gfx9-generic": ("gfx900", "gfx902", "gfx904", "gfx906", "gfx909", "gfx90c"),
    "gfx9-4-generic": ("gfx940", "gfx941", "gfx942", "gfx950"),
    "gfx10-1-generic": ("gfx1010", "gfx1011", "gfx1012", "gfx1013"),
    "gfx10-3-generic": ("gfx1030", "gfx1031", "gfx1032", "gfx1033", "gfx1034", "gfx1035", "gfx1036"),
    "gfx11-generic": ("gfx1100", "gfx1101", "gfx1102", "gfx1103", "gfx1150", "gfx1151", "gfx1152", "gfx1153"),
    "gfx12-generic": ("gfx1200", "gfx1201"),
}
"""Generic code -> the architectures that it runs on: LLVM, User Guide for AMDGPU Backend, generic processors."""
_DRIVER = r"[0-9]{1,2}(?:\.[0-9]{1,6}){1,3}"
_DOCKER = ("--device", "/dev/kfd", "--device", "/dev/dri", "--group-add", "video", "--group-add", "render")
_NODES = "class/kfd/kfd/topology/nodes"
"""Where the kernel lists what can compute, below `/sys`: processors too, which have no target version."""


class Rocm(Kind):
    """ROCm, and where the kernel tells of its devices.

    Attributes:
        root: the kernel's file system of devices.
        node: what a process opens to compute.
    """

    name = "rocm"
    spelled = ("hip", "amd")
    title = "ROCm"
    maker = "AMD"
    device = "an AMD GPU"
    help = "ROCm major or major.minor, or auto"
    example = "7"
    primitives = "MIOpen"
    architecture = "architecture"
    architecture_example = "gfx942"
    driver_example = "6.16.6"
    in_wheels = False
    rank = 1
    driver_help = DriverHelp(
        kubernetes="amd.com/gpu",
        interface="the amdgpu driver",
        status="rocminfo",
        listing="rocminfo | grep gfx",
        too_old="ROCm may not start, and some frameworks then train on the CPU without a word",
        no_code="its first kernel will fail: `invalid device function`",
        vendor="1002",
        names_begin=("GPU-",),
        docker=_DOCKER,
        containers={
            "docker": f"docker run {' '.join(_DOCKER)} …",
            "podman": "podman run --device /dev/kfd --device /dev/dri --group-add keep-groups …",
            "apptainer": "apptainer exec --rocm …",
            "kubernetes": "kubectl explain pod.spec.containers.resources.limits   # and ask for amd.com/gpu: 1",
        },
    )

    def __init__(self, root: Path = Path("/sys"), node: Path = Path("/dev/kfd")) -> None:
        """That of this machine, or of what was recorded on another."""
        self.root = root
        self.node = node

    def parse_architecture(self, text: str) -> str:
        """`gfx942`, also with the features that tools append: `gfx90a:sramecc+:xnack-`."""
        match = re.fullmatch(_ARCHITECTURE, text.lower())
        if match is None:
            raise ValueError(f"`{shown(text)}` is not an architecture such as gfx942; `rocminfo` prints that of a GPU")
        return match["name"]

    def parse_driver(self, text: str) -> str:
        """`6.16.6`: what `/sys/module/amdgpu/version` says."""
        if re.fullmatch(_DRIVER, text) is None:
            raise ValueError(f"`{shown(text)}` is not a version of amdgpu such as 6.16.6")
        return text

    def fit(self, code: DeviceCode, architecture: str) -> Fit:
        """Code for one architecture runs on no other; generic code on all of its family."""
        served = (one for name in code.machine for one in (name, *_GENERIC.get(name, ())))
        return Fit.NATIVE if architecture in served else Fit.NONE

    def probe(self) -> Devices:
        """Asks the kernel, whatever HIP_VISIBLE_DEVICES hides; a driver of the kernel's own tells no version."""
        if not (self.root / "module/amdgpu").is_dir():
            return Devices()
        notes: list[str] = []
        gpus = tuple(self._gpus(notes))
        if not (self.root / _NODES).is_dir():
            notes.append("amdgpu is loaded, and the kernel has no interface to compute with it (KFD)")
        elif gpus and not os.access(self.node, os.R_OK | os.W_OK):
            notes.append(f"{self.node} cannot be opened: the user may be in neither group of `render` and `video`")
        return Devices(self._driver(notes), gpus, "; ".join(notes) or None)

    def _driver(self, notes: list[str]) -> DriverVersion | None:
        text = _read(self.root / "module/amdgpu/version")
        if not text:
            return None
        try:
            return DriverVersion(self.parse_driver(text))
        except ValueError as error:
            notes.append(f"amdgpu does not tell its version: {error}")
            return None

    def _gpus(self, notes: list[str]) -> Iterator[Gpu]:
        nodes = (self.root / _NODES).glob("*/properties")
        for path in sorted(nodes, key=lambda one: (len(one.parent.name), one.parent.name)):
            values = dict(line.split(maxsplit=1) for line in _read(path).splitlines() if len(line.split()) > 1)
            version = values.get("gfx_target_version", "0").strip()
            if version == "0":
                continue
            if not version.isdecimal():
                notes.append(f"GPU {path.parent.name} does not tell its architecture")
                continue
            device = self.root / f"class/drm/renderD{values.get('drm_render_minor', '').strip()}/device"
            architecture = architecture_of(int(version))
            memory = _read(device / "mem_info_vram_total")
            unique = values.get("unique_id", "").strip()
            yield Gpu(
                name=_read(device / "product_name") or f"AMD {architecture}",
                architecture=architecture,
                memory_bytes=int(memory) if memory.isdecimal() else 0,
                # devices for consumers have none
                selector=f"GPU-{int(unique):016x}" if unique.isdecimal() and int(unique) else "",
            )


def architecture_of(version: int) -> str:
    """What the kernel's number stands for: major, minor and stepping have two decimal digits each.

    >>> architecture_of(90402), architecture_of(90010), architecture_of(110001)
    ('gfx942', 'gfx90a', 'gfx1101')
    """
    major, rest = divmod(version, 10000)
    minor, stepping = divmod(rest, 100)
    return f"gfx{major}{minor:x}{stepping:x}"


def _read(path: Path) -> str:
    """The text of one of the kernel's small files; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


KIND = Rocm()
