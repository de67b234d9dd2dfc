"""The disk has no room for the environment."""

from __future__ import annotations

from collections.abc import Iterator

from kgen.findings.shape import Facts, Finding, Rule

_ON_DISK = (2, 4)
"""An environment takes so many times its download: wheels of a GPU's libraries twice, pure Python four times."""
_GB = 10**9


def _examine(facts: Facts) -> Iterator[Finding]:
    for one in facts.examined:
        size = one.lock.size
        if one.whole or size is None or one.free is None:
            continue
        least, most = (factor * size for factor in _ON_DISK)
        if one.free < most:
            yield Finding(
                "fault" if one.free < least else "note",
                (one.lock.environment,),
                f"{one.free / _GB:.1f} GB are free, and the environment takes {least / _GB:.1f} to {most / _GB:.1f} GB",
                str(one.prefix.parent),
                "the environment may not fit",
                f"kgen sync {one.lock.environment} --envs /a/larger/disk"
                + (f"   # or: {one.lock.form.tidies}" if one.lock.form.tidies else ""),
            )


RULE = Rule(
    rank=113,
    title="The disk has no room for the environment",
    about=(
        "An environment takes two to four times its download: wheels with a GPU's libraries twice, pure "
        "Python four times."
    ),
    fixing=("Put the environments on a larger disk, or clear uv's cache."),
    examine=_examine,
)
