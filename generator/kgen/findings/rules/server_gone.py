"""Processes go through a server that is gone, or share the GPU by it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Literal

from kgen.findings.phrases import kind_of
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    server = facts.around.server
    for one in facts.accelerated:
        says = kind_of(one.lock).driver_help.server
        if server is None or says is None:
            continue
        grade: Literal["fault", "note"] = "note"
        if not server.serves:
            what, why = f"{says.variable} names a folder where no {says.title} serves", "processes do without it"
            fix = f"{says.start}   # or, if none is wanted: unset {says.variable}"
        elif server.runs is False:
            grade, what = "fault", f"processes go through {says.title}, which is not running"
            why = "they cannot reach the GPU"
            fix = f"{says.start}   # or, to do without: rm -r {shlex.quote(server.folder)}"
        elif server.owner is not None:
            what = f"processes go through {says.title} of user {server.owner}"
            why = "unless root has started it, it serves that user alone"
            fix = f'export {says.variable}="$(mktemp -d)"   # an empty folder: processes do without'
        else:
            what, fix = f"processes go through {says.title}", says.stop
            why = "they share the GPU, and may be given a part of it and of its memory"
        yield Finding(grade, (one.lock.environment,), what, server.folder, why, fix)


RULE = Rule(
    rank=46,
    title="Processes go through a server that is gone, or share the GPU by it",
    about=(
        "With NVIDIA's Multi-Process Service (MPS) processes share a GPU through a server. CUDA takes "
        "that way wherever the server's folder has its pipe, also when the server has ended and the pipe "
        "was left behind: then no process reaches the GPU. A server that root has not started serves the user "
        "who did; where CUDA_MPS_PIPE_DIRECTORY names a folder without one, processes do without."
    ),
    fixing=("Start the server again, or remove the folder that it left."),
    examine=_examine,
)
