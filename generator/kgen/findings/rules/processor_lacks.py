"""The processor lacks what a framework's code is made of."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tomli

from kgen.findings.shape import Facts, Finding, Rule

_VIRTUAL = "hypervisor"
"""What Linux lists among the additions in a virtual machine."""

_UNHIDE = "lscpu   # a virtual machine may hide it: have QEMU or Proxmox show the host's processor (cpu: host)"


def _examine(facts: Facts) -> Iterator[Finding]:
    has = facts.around.processor
    if has is None:
        return
    for one in facts.examined:
        locked = {*one.lock.packages, *one.lock.versions, *(file.name for file in one.lock.files)}
        for row in _rows():
            if row["package"] in locked and row["flag"] not in has:
                yield Finding(
                    "fault",
                    (one.lock.environment,),
                    f"this processor has no {row['says']}, which {row['package']} is compiled for",
                    "/proc/cpuinfo",
                    "the import ends with `Illegal instruction`, or with an error that says so",
                    _UNHIDE if _VIRTUAL in has else "kgen lock torch   # its code takes what the processor has",
                )


@functools.cache
def _rows() -> Sequence[Mapping[str, str]]:
    text = (Path(__file__).parents[1] / "processors.toml").read_text(encoding="utf-8")
    rows: Sequence[Mapping[str, str]] = tomli.loads(text)["package"]
    return rows


RULE = Rule(
    rank=108,
    title="The processor lacks what a framework's code is made of",
    about=(
        "The wheels of TensorFlow and JAX for x86-64 have code for AVX, and end on a processor without it. Most are "
        "virtual machines that hide it, as those of QEMU and Proxmox do by default, or small processors (Atom, "
        "Celeron). kgen looks at what Linux says of this processor."
    ),
    fixing=(
        "Have the virtual machine show the host's processor, or take PyTorch, whose code takes what the processor has."
    ),
    examine=_examine,
)
