"""What limits, control groups and filters of system calls leave the processes of this machine."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_CLONE3 = 435
"""The number of the system call with which glibc 2.34 and newer starts a thread; the same on every processor."""


class Processors(NamedTuple):
    """The processors of this machine.

    Attributes:
        there: how many there are.
        usable: the numbers of those that this process may run on.
        share: the time of so many processors is what its control groups get; None where that is not limited.
    """

    there: int
    usable: tuple[int, ...]
    share: float | None = None


class _Counter(NamedTuple):
    """Where a version of the kernel's control groups counts memory.

    Attributes:
        most: the file with the limit.
        used: the file with what is in use, files that the kernel keeps in memory among it.
        kept: what of it, in `memory.stat`, is such files and is given back when memory is wanted.
    """

    most: str
    used: str
    kept: str


_COUNTERS = {
    1: _Counter("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: _Counter("memory.max", "memory.current", "inactive_file"),
}


def addresses() -> int | None:
    """The bytes that a process may have addresses for (`ulimit -v`); None where there is no limit."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def memory_left(system: Path, own: Path, mounted: Path) -> int | None:
    """The bytes that processes may still take: of the machine, and of each control group where that has fewer.

    Args:
        system: `/proc/meminfo`.
        own: `/proc/self/cgroup`, the groups that this process is in.
        mounted: where the groups are mounted.
    """
    match = re.search(r"^MemAvailable: +([0-9]+) kB$", _reads(system), re.MULTILINE)
    left = [int(match[1]) * 1024] if match is not None else []
    for version, folder in _groups(own, mounted, "memory"):
        counter = _COUNTERS[version]
        most, used = _reads(folder / counter.most), _reads(folder / counter.used)
        if most.isdigit() and used.isdigit():
            kept = re.search(rf"^{counter.kept} ([0-9]+)$", _reads(folder / "memory.stat"), re.MULTILINE)
            taken = max(int(used) - (int(kept[1]) if kept is not None else 0), 0)
            left.append(max(int(most) - taken, 0))
    return min(left, default=None)


def processors(own: Path, mounted: Path) -> Processors | None:
    """The processors that processes may use; None where the system does not tell.

    Args:
        own: `/proc/self/cgroup`, the groups that this process is in.
        mounted: where the groups are mounted.
    """
    try:
        usable = tuple(sorted(os.sched_getaffinity(0)))
    except (AttributeError, OSError):  # macOS has none
        return None
    shares = []
    for version, folder in _groups(own, mounted, "cpu"):
        if version == 1:
            quota, period = _reads(folder / "cpu.cfs_quota_us"), _reads(folder / "cpu.cfs_period_us")
        else:
            quota, _, period = _reads(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            shares.append(int(quota) / int(period))
    return Processors(os.cpu_count() or len(usable), usable, min(shares, default=None))


def threads_left(own: Path, mounted: Path, running: Path) -> int | None:
    """So many threads may still be started, by the user's limit and by those of control groups; None without a limit.

    Args:
        own: `/proc/self/cgroup`, the groups that this process is in.
        mounted: where the groups are mounted.
        running: `/proc`.
    """
    left = []
    for _, folder in _groups(own, mounted, "pids"):
        most, used = _reads(folder / "pids.max"), _reads(folder / "pids.current")
        if most.isdigit() and used.isdigit():
            left.append(max(int(most) - int(used), 0))
    limit, user = resource.getrlimit(resource.RLIMIT_NPROC)[0], os.getuid()
    if limit != resource.RLIM_INFINITY and user:  # root has no such limit
        left.append(max(limit - _threads_of(user, running), 0))
    return min(left, default=None)


def are_threads_refused() -> bool:
    """Whether a filter of system calls has glibc start no thread.

    glibc falls back to an older call where this one is unknown, but not where it is refused.
    """
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
    except (AttributeError, OSError):
        return False
    call(_CLONE3, None, 0)  # starts nothing: what it is to start has a size of 0
    return ctypes.get_errno() == errno.EPERM


def why_no_thread() -> str:
    """Why a thread was not started, for people."""
    if are_threads_refused():
        return "a filter of system calls (seccomp) refuses every thread"
    return "the limit of threads is reached (`ulimit -u`, or that of a container or a job)"


def more_threads() -> str:
    """What to type so that threads start."""
    if are_threads_refused():
        return "docker run --security-opt seccomp=unconfined …   # or update Docker to 20.10.10 or newer"
    return "ulimit -u $(ulimit -Hu)   # in a container: --pids-limit=-1"


def _threads_of(user: int, running: Path) -> int:
    count = 0
    for folder in running.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if folder.stat().st_uid == user:
                count += len(list((folder / "task").iterdir()))
    return count


def _groups(own: Path, mounted: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """The folders of a process's control groups and of those around them, each with the version of its interface.

    A container may see its own group alone, and by another path.
    """
    for line in _reads(own).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            found = [(2, mounted), (2, mounted / "unified")]
        elif controller in controllers.split(","):
            found = [(1, mounted / controller)]
        else:
            found = []
        for version, top in found:
            here = top / path.strip("/")
            for folder in (here, *(one for one in here.parents if one.is_relative_to(top))):
                yield version, folder


def _reads(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
