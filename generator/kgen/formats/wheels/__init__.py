"""Locks of wheels, for uv and other installers that read PEP 751: `pylock.PLATFORM.toml`."""

from __future__ import annotations

from kgen.lockfiles import PYLOCK
from kgen.model.format import Format

FORMAT = Format(
    name="uv",
    package=__name__,
    lock=PYLOCK,
    files=("pylock.*.toml",),
    title="wheels",
    is_default=True,
    follows_matrix=True,
    tidies="uv cache prune",
)
