"""The folder for temporary files does not serve compilers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule

_MB = 10**6
_LEAST, _LEAST_WITH_HEADERS = 100 * _MB, 200 * _MB
"""More than compiling a small network leaves there: PyTorch's compiler for the CPU begins with its headers, 156 MB."""

_COMPILES, _ELSEWHERE = "torch", "TORCHINDUCTOR_CACHE_DIR"
"""Whose compiler loads what it has compiled from there; and the variable that gives it another place."""


def _examine(facts: Facts) -> Iterator[Finding]:
    scratch = facts.around.scratch
    if scratch is None:
        return
    for one in facts.examined:
        by_torch = _COMPILES in one.lock.packages or _COMPILES in one.lock.versions
        least = _LEAST_WITH_HEADERS if by_torch and not one.lock.accelerated else _LEAST
        if scratch.free is not None and scratch.free < least:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"{scratch.free / _MB:.0f} MB are free for temporary files",
                scratch.folder,
                "compilers write there what they make of a step, and fail",
                f"du -xah {shlex.quote(scratch.folder)} | sort -h | tail   # or: export TMPDIR=/a/larger/disk",
            )
        elif not scratch.executable and by_torch:
            # a validation has caches of its own there, whatever the variable says
            yield Finding(
                "note" if _ELSEWHERE in facts.around.variables else "fault",
                (one.lock.environment,),
                "no library may be loaded from the folder for temporary files",
                f"{scratch.folder}, mounted noexec",
                "`kgen validate` has PyTorch's compiler load from there what it has compiled"
                if _ELSEWHERE in facts.around.variables
                else "PyTorch's compiler loads what it compiles from there: `failed to map segment from shared object`",
                "mkdir -p ~/.cache/tmp && export TMPDIR=~/.cache/tmp   # or a folder on any disk without noexec",
            )


RULE = Rule(
    rank=116,
    title="The folder for temporary files does not serve compilers",
    about=(
        "What frameworks make of a training step is written to the folder for temporary files: TMPDIR, or /tmp. A full "
        "one fails every framework that compiles. From one that is mounted `noexec` nothing can be loaded, and "
        "PyTorch's compiler, which builds libraries there, fails. TORCHINDUCTOR_CACHE_DIR gives it another place, but "
        "not in `kgen validate`, whose caches are its own: it needs TMPDIR."
    ),
    fixing=("Give TMPDIR a folder on another disk: PyTorch's compiler and `kgen validate` both go there."),
    examine=_examine,
)
