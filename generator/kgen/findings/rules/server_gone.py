"""Processes go through a server that is gone, or share the GPU by it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule
from kgen.findings.wording import kind_of


def _examine(facts: Facts) -> Iterator[Finding]:
    server = facts.around.server
    for one in facts.accelerated:
        says = kind_of(one.lock).driver_help.server
        if server is None or says is None:
            continue
        gone = server.runs is False
        yield Finding(
            "fault" if gone else "note",
            (one.lock.environment,),
            f"processes go through {says.title}, which is not running"
            if gone
            else f"processes go through {says.title}",
            server.folder,
            "they cannot reach the GPU"
            if gone
            else "they share the GPU, and may be given a part of it and of its memory",
            f"{says.start}   # or, to do without: rm -r {shlex.quote(server.folder)}" if gone else says.stop,
        )


RULE = Rule(
    rank=46,
    title="Processes go through a server that is gone, or share the GPU by it",
    about=(
        "With NVIDIA's Multi-Process Service (MPS) processes share a GPU through a server. CUDA takes "
        "that way wherever the server's folder has its pipe, also when the server has ended and the pipe "
        "was left behind: then no process reaches the GPU."
    ),
    fixing=("Start the server again, or remove the folder that it left."),
    examine=_examine,
)
