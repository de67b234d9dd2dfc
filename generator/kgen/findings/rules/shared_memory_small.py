"""The container has little shared memory."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule

_MB = 10**6
_ENOUGH = 512 * _MB
"""Eight batches of images of 224 x 224 in float32, of 128 each, are 616 MB: what two workers have under way."""

_FIXES = {
    "docker": "docker run --shm-size 8g …",
    "podman": "podman run --shm-size 8g …",
    "kubernetes": "kubectl explain pod.spec.volumes.emptyDir   # and mount one of `medium: Memory` at /dev/shm",
}
_PLACE = "/dev/shm"  # noqa: S108 - named, not written to

_LOADS = "torch"
"""Whose DataLoader hands batches from its workers to the process in shared memory."""


def _examine(facts: Facts) -> Iterator[Finding]:
    around = facts.around
    size, container = around.shared_memory, around.container
    if size is None or size >= _ENOUGH or container not in _FIXES:
        return
    for one in facts.examined:
        if _LOADS in one.lock.packages or _LOADS in one.lock.versions:
            yield Finding(
                "note",
                (one.lock.environment,),
                f"{_PLACE} has {size / _MB:.0f} MB",
                f"{_PLACE}, in a container ({container})",
                "a DataLoader with workers hands its batches over in it, and is killed by SIGBUS once it is full",
                _FIXES[container],
            )


RULE = Rule(
    rank=115,
    title="The container has little shared memory",
    about=(
        "Containers have 64 MB of shared memory unless more is asked for. PyTorch's DataLoader with `num_workers` "
        "hands batches over in it: the first large ones end a worker by SIGBUS, with `DataLoader worker is killed by "
        "signal: Bus error`."
    ),
    fixing=("Start the container with more shared memory, or load data with `num_workers=0`."),
    examine=_examine,
)
