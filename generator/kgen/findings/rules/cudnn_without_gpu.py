"""cuDNN does not serve the GPU."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.version import Version

from kgen.findings.phrases import kind_of, lock_again
from kgen.findings.shape import Facts, Finding, Rule


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.accelerated:
        lock = one.lock
        if lock.cudnn is None:
            continue
        kind, whole = kind_of(lock), lock.computes_on.whole
        rows = [row for row in facts.matrix.cudnn if row.accelerator == whole and Version(lock.cudnn) in row.cudnn]
        for gpu in facts.machine.of(kind.name).models if rows else ():
            if not any(gpu.architecture in row.gpus for row in rows):
                yield Finding(
                    "fault",
                    (lock.environment,),
                    f"cuDNN {lock.cudnn} does not serve the {gpu.name} ({kind.architecture} {gpu.architecture})",
                    f"{facts.seen_by(kind.driver_help.interface)}; the matrix: {rows[0].provenance.source}",
                    "the first convolution will fail, though the GPU is listed",
                    lock_again(lock, kind, facts, f"--gpu {gpu.architecture}"),
                )


RULE = Rule(
    rank=55,
    title="cuDNN does not serve the GPU",
    about=(
        "Releases of cuDNN drop GPUs: the GPU is listed, and the first convolution fails. The matrix has "
        "the lists of NVIDIA's support matrix."
    ),
    fixing=("Lock for the GPU that is there."),
    examine=_examine,
    of_description=True,
)
