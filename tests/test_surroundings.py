"""What the kernel and the driver tell about this machine, read from answers that were written down."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kgen import accelerators, limits, surroundings
from kgen.loader import search
from kgen.surroundings import Assembler, DeviceFault, Server

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


MEMINFO = "MemTotal: 9 kB\nMemAvailable:    2048 kB\n"
V2, V1 = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")


@pytest.mark.parametrize(
    ("system", "own", "groups", "left"),
    [
        (MEMINFO, "", {}, 2048 * 1024),
        (MEMINFO, "0::/\n", {"": (V2, "max", "5", "")}, 2048 * 1024),
        (MEMINFO, "0::/\n", {"": (V2, "1000000", "400000", "")}, 600000),
        (MEMINFO, "0::/\n", {"": (V2, "1000", "4000", "")}, 0),
        ("", "0::/\n", {"": (V2, "1000000", "400000", "")}, 600000),
        ("", "", {}, None),
        # files that the kernel keeps in memory are given back
        (MEMINFO, "0::/\n", {"": (V2, "1000000", "990000", "anon 10000\ninactive_file 980000\n")}, 990000),
        # a limit further up is one too, as that of a job around its step
        (
            MEMINFO,
            "0::/system.slice/job_7/step_0/task_1\n",
            {
                "system.slice/job_7/step_0/task_1": (V2, "max", "300", ""),
                "system.slice/job_7": (V2, "800000", "500000", ""),
            },
            300000,
        ),
        # a container that has no view of its own sees its group at the mount, whatever it is called
        (MEMINFO, "0::/docker/1a2b\n", {"": (V2, "1000000", "400000", "")}, 600000),
        # control groups of the first version, alone and beside the second
        (
            MEMINFO,
            "12:cpu,cpuacct:/x\n4:memory:/slurm/uid_0/job_1\n0::/\n",
            {"memory/slurm/uid_0/job_1": (V1, "700000", "200000", "inactive_file 1\ntotal_inactive_file 100000\n")},
            600000,
        ),
        (MEMINFO, "4:memory:/\n", {"memory": (V1, "9223372036854771712", "200000", "")}, 2048 * 1024),
        (MEMINFO, "0::/\n", {"unified": (V2, "1000000", "400000", "")}, 600000),
    ],
)
def test_the_memory_that_is_left(
    tmp_path: Path,
    system: str,
    own: str,
    groups: dict[str, tuple[tuple[str, str], str, str, str]],
    left: int | None,
) -> None:
    (tmp_path / "meminfo").write_text(system)
    (tmp_path / "cgroup").write_text(own)
    for path, (names, most, used, stat) in groups.items():
        folder = tmp_path / "mounted" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / names[0]).write_text(f"{most}\n")
        (folder / names[1]).write_text(f"{used}\n")
        (folder / "memory.stat").write_text(stat)
    assert limits.memory_left(tmp_path / "meminfo", tmp_path / "cgroup", tmp_path / "mounted") == left


def test_what_is_told_of_a_folder_for_temporary_files(tmp_path: Path) -> None:
    found = surroundings.scratch(tmp_path)
    assert found.folder == str(tmp_path)
    assert found.free is not None
    assert found.free > 0
    assert found.executable
    assert surroundings.scratch(tmp_path / "none") == surroundings.Scratch(str(tmp_path / "none"), None)


def test_nothing_is_loaded_from_a_folder_that_is_mounted_noexec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = os.statvfs(tmp_path)
    fields = [*facts[:8], facts.f_flag | os.ST_NOEXEC, facts.f_namemax]
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
    assert not surroundings.scratch(tmp_path).executable


def test_a_server_that_processes_go_through(tmp_path: Path) -> None:
    folder = tmp_path / "mps"
    variables = {"CUDA_MPS_PIPE_DIRECTORY": str(folder)}
    none = Server(str(folder), None, serves=False)
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") == none
    folder.mkdir()
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") == none
    (folder / "control").touch()
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") == Server(str(folder), None)
    (folder / "nvidia-cuda-mps-control.pid").write_text("4711\n")
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") == Server(str(folder), runs=False)
    (tmp_path / "proc/4711").mkdir(parents=True)
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") == Server(str(folder), runs=True)
    assert surroundings.server_of(accelerators.kind("rocm"), variables, tmp_path / "proc") is None


def test_a_server_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "control").touch()
    variables = {"CUDA_MPS_PIPE_DIRECTORY": str(tmp_path)}
    own = Server(str(tmp_path), None)
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") == own
    facts = os.stat_result([*(tmp_path / "control").stat()[:4], 4711, *(tmp_path / "control").stat()[5:]])
    monkeypatch.setattr(Path, "stat", lambda *_, **__: facts)
    assert surroundings.server_of(CUDA, variables, tmp_path / "proc") == own._replace(owner=4711)


def test_a_servers_folder_that_is_closed_to_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "stat", refuse)
    assert surroundings.server_of(CUDA, {}, tmp_path / "proc") is None


def test_a_drivers_library_for_another_word_size_is_none(tmp_path: Path) -> None:
    """Programs of 32 bits have theirs beside; to a process of 64 bits it is not there."""
    (tmp_path / "libcuda.so.1").write_bytes(b"\x7fELF\x01\x01\x01" + bytes(121))
    rules = search.system({"LD_LIBRARY_PATH": str(tmp_path)}, cache_file=tmp_path / "none")
    found = surroundings._driver_library(CUDA, rules)
    assert found is None or Path(found.path).parent != tmp_path
    (tmp_path / "libcuda.so.1").write_bytes(b"")
    empty = surroundings._driver_library(CUDA, rules)
    assert empty is not None
    assert (empty.path, empty.answers, empty.fault) == (str(tmp_path / "libcuda.so.1"), False, "file too short")


@pytest.mark.parametrize("folder", ["run/opengl-driver/lib", ".singularity.d/libs", "usr/local/nvidia/lib64"])
def test_a_drivers_library_where_only_a_variable_leads(folder: str, tmp_path: Path) -> None:
    assert surroundings.driver_elsewhere(CUDA, tmp_path) is None
    (tmp_path / folder).mkdir(parents=True)
    assert surroundings.driver_elsewhere(CUDA, tmp_path) is None
    (tmp_path / folder / "libcuda.so.1").touch()
    assert surroundings.driver_elsewhere(CUDA, tmp_path) == f"/{folder}/libcuda.so.1"
    assert surroundings.driver_elsewhere(accelerators.kind("cpu"), tmp_path) is None


@pytest.mark.parametrize(
    ("text", "version"),
    [("echo Cuda compilation tools, release 11.8, V11.8.89", "11.8"), ("echo none; exit 1", None), ("exit 1", None)],
)
def test_an_assembler_that_a_variable_leads_to_says_its_release(text: str, version: str | None, tmp_path: Path) -> None:
    program = tmp_path / "bin/ptxas"
    assert list(surroundings.assemblers(CUDA, {"PATH": str(program.parent), "CUDA_HOME": str(tmp_path)})) == []
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    wanted = Assembler("PATH", str(program), version)
    assert list(surroundings.assemblers(CUDA, {"PATH": str(program.parent)})) == [wanted]
    home = list(surroundings.assemblers(CUDA, {"PATH": "", "CUDA_HOME": str(tmp_path)}))
    assert home == [wanted._replace(variable="CUDA_HOME")]
    assert list(surroundings.assemblers(accelerators.kind("rocm"), {"PATH": str(program.parent)})) == []


@pytest.mark.parametrize(
    ("files", "variables", "kind"),
    [
        ({}, {}, None),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "docker"),
        ({"run/.containerenv": ""}, {"container": "podman"}, "podman"),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"proc/self/mountinfo": "40 31 0:1 / /.lock ro,nosuid,noexec - overlay overlay rw\n"}, {}, "enroot"),
        ({"proc/self/mountinfo": "40 31 0:1 / /srv/.lock ro - ext4 /dev/sda1 rw\n"}, {}, None),
        ({".enroot/enroot-mount": ""}, {}, "enroot"),
        ({}, {"CH_RUNNING": "Weird Al Yankovic"}, "charliecloud"),
        ({"run/systemd/container": "lxc\n"}, {}, "lxc"),
        ({}, {"container": "systemd-nspawn"}, "systemd-nspawn"),
        ({"run/systemd/container": "wsl\n"}, {}, None),
        ({}, {"container": "my own/variable"}, None),
    ],
)
def test_the_kind_of_container(
    tmp_path: Path, files: dict[str, str], variables: dict[str, str], kind: str | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert surroundings._container(variables, tmp_path) == kind


@pytest.mark.parametrize(
    ("own", "written", "share"),
    [
        ("0::/kubepods/pod1\n", {"kubepods/pod1/cpu.max": "250000 100000", "kubepods/cpu.max": "max 100000"}, 2.5),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "50000 100000"}, 0.5),
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        (
            "3:cpu,cpuacct:/docker/1\n0::/\n",
            {"cpu/docker/1/cpu.cfs_quota_us": "150000", "cpu/docker/1/cpu.cfs_period_us": "100000"},
            1.5,
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("", {}, None),
    ],
)
def test_the_processors_that_a_process_may_use(
    tmp_path: Path, own: str, written: dict[str, str], share: float | None
) -> None:
    found = limits.processors(_written(tmp_path, own, written), tmp_path / "mounted")
    assert found == (os.cpu_count(), tuple(sorted(os.sched_getaffinity(0))), share)


@pytest.mark.parametrize(
    ("own", "written", "left"),
    [
        ("0::/a\n", {"a/pids.max": "100", "a/pids.current": "40", "pids.max": "max", "pids.current": "900"}, 60),
        ("8:pids:/a\n", {"pids/a/pids.max": "100", "pids/a/pids.current": "140"}, 0),
        ("0::/a\n", {"a/pids.max": "max", "a/pids.current": "40"}, None),
    ],
)
def test_the_threads_that_are_left(
    tmp_path: Path, own: str, written: dict[str, str], left: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert limits.threads_left(_written(tmp_path, own, written), tmp_path / "mounted", tmp_path / "proc") == left


@pytest.mark.skipif(os.getuid() != 0, reason="needs to give files away")
def test_the_threads_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread of every process counts; a file in `/proc` is no process."""
    for name in ("7/task/7", "7/task/8", "12/task/12", "self/task/7"):
        (tmp_path / name).mkdir(parents=True)
    os.chown(tmp_path / "12", 1000, -1)
    os.chown(tmp_path / "7", 1000, -1)
    (tmp_path / "9/task/9").mkdir(parents=True)  # somebody else's
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 10))
    assert limits.threads_left(tmp_path / "none", tmp_path, tmp_path) == 7


def _written(folder: Path, own: str, written: dict[str, str]) -> Path:
    for name, text in written.items():
        file = folder / "mounted" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    (folder / "cgroup").write_text(own)
    return folder / "cgroup"


def test_one_processor_is_seen_where_one_is_given() -> None:
    number = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-c", "from kgen import surroundings; print(surroundings.gather(()).processors.usable)"],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {number}),
    )
    assert done.stdout == f"({number},)\n"


@pytest.mark.parametrize("answer", ["refused", "unknown", "taken"])
def test_whether_a_filter_of_system_calls_refuses_threads(filtered: Callable[..., list[str]], answer: str) -> None:
    asked = [sys.executable, "-c", "from kgen import surroundings; print(surroundings.gather(()).threads_refused)"]
    done = subprocess.run(filtered(answer, *asked), capture_output=True, text=True, check=True)
    assert done.stdout == f"{answer == 'refused'}\n"
