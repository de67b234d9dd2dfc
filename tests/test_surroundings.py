"""What the kernel and the driver tell about this machine, read from answers that were written down."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kgen import accelerators, surroundings
from kgen.surroundings import DeviceFault, Server

CUDA = accelerators.kind("cuda")

LOG = (
    "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  580.159.04  Release Build",
    "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
    "NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.",
    "NVRM: Xid (PCI:0000:d8:00): 13, pid=2177, name=python, Graphics Exception: ESR 0x504648=0x1000e",
    "NVRM: Xid (PCI:0000:d8:00): 13, pid=2177, name=python, Graphics SM Warp Exception on (GPC 0, TPC 0, SM 0)",
    "NVRM: Xid (0000:17:00): 48, pid=77, An uncorrectable double bit error (DBE) has been detected on GPU",
    "usb 1-1: Xid 79",
)
"""Lines of the forms that NVIDIA's driver has had; the third and the last are of something else."""


def test_the_faults_that_the_kernel_has_logged_each_once() -> None:
    assert surroundings.faults(CUDA, LOG) == (
        DeviceFault("0000:3b:00", "79", 1),
        DeviceFault("0000:d8:00", "13", 2),
        DeviceFault("0000:17:00", "48", 1),
    )


def test_the_kernels_log_is_read_record_by_record_and_may_be_none_of_the_users(tmp_path: Path) -> None:
    pipe = tmp_path / "kmsg"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    try:
        os.write(held, f"4,1051,7000,-;{LOG[1]}".encode())
        assert surroundings._kernel_log(pipe) == (LOG[1],)
        assert surroundings._kernel_log(pipe) == ()
    finally:
        os.close(held)
    assert surroundings._kernel_log(tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("system", "most", "used", "left"),
    [
        ("MemTotal: 9 kB\nMemAvailable:    2048 kB\n", None, None, 2048 * 1024),
        ("MemTotal: 9 kB\nMemAvailable:    2048 kB\n", "max", "5", 2048 * 1024),
        ("MemTotal: 9 kB\nMemAvailable:    2048 kB\n", "1000000", "400000", 600000),
        ("MemTotal: 9 kB\nMemAvailable:    2048 kB\n", "1000", "4000", 0),
        ("", "1000000", "400000", 600000),
        ("", None, None, None),
    ],
)
def test_the_memory_that_is_left(
    tmp_path: Path, system: str, most: str | None, used: str | None, left: int | None
) -> None:
    (tmp_path / "meminfo").write_text(system)
    for name, text in (("memory.max", most), ("memory.current", used)):
        if text is not None:
            (tmp_path / name).write_text(f"{text}\n")
    assert surroundings.memory_left(tmp_path / "meminfo", tmp_path) == left


def test_a_server_that_processes_go_through(tmp_path: Path) -> None:
    folder = tmp_path / "mps"
    variables = {"CUDA_MPS_PIPE_DIRECTORY": str(folder)}
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") is None
    folder.mkdir()
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") is None
    (folder / "control").touch()
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") == Server(str(folder), None)
    (folder / "nvidia-cuda-mps-control.pid").write_text("4711\n")
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") == Server(str(folder), runs=False)
    (tmp_path / "proc/4711").mkdir(parents=True)
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") == Server(str(folder), runs=True)
    assert surroundings.server_of(accelerators.kind("rocm"), variables, tmp_path / "proc") is None
