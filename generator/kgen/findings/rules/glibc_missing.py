"""The machine has another C library than glibc, and a locked file needs that."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule
from kgen.model.wheelname import needed_glibc


def _examine(facts: Facts) -> Iterator[Finding]:
    # a description may leave it open
    if facts.machine.glibc is not None or facts.target:
        return
    for one in facts.examined:
        file = next((file for file in one.lock.files if needed_glibc(file.filename) is not None), None)
        if file is not None:
            yield Finding(
                "fault",
                (one.lock.environment,),
                f"this machine's C library is not glibc, which {file.filename} needs",
                "the C library of this process",
                "the frameworks have no wheels for another one, such as Alpine's musl",
                f"docker run --rm -it python:{one.lock.python}-slim bash   # Debian's, with glibc; or another machine",
            )


RULE = Rule(
    rank=4,
    title="The machine has no glibc",
    about=(
        "Wheels of JAX, TensorFlow and PyTorch for Linux are built for glibc. Alpine and other distributions with musl "
        "have another C library, whose loader also searches by other rules than those that kgen judges by."
    ),
    fixing="Use a distribution, or an image, with glibc: Debian, Ubuntu, Fedora and most others.",
    examine=_examine,
)
