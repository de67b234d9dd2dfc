"""The program that trains in an environment, as files: who writes them elsewhere needs nothing of what runs it."""

from __future__ import annotations

from pathlib import Path

STEP = Path(__file__).parent / "step"
"""Its folder. It is data to kgen, which never imports it."""

REFERENCE = Path(__file__).with_name("reference.py")
"""What compares its numbers with the reference, which lies beside it."""

WATCH = STEP / "watch"
"""What watches a user's own training, which proves nothing."""


def step_files() -> list[Path]:
    """The files of the program, sorted."""
    return sorted(path for path in STEP.rglob("*.py") if path.relative_to(STEP).parts[0] != WATCH.name)
