"""Sizes and times, in words."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000


def size_text(count: int | None) -> str:
    """Bytes as people read them: `3.28 GB`; `?` if unknown."""
    if count is None:
        return "?"
    value = float(count)
    for unit in _UNITS:
        if value < _STEP or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if unit in _UNITS[:2] else f"{value:.3g} {unit}"
        value /= _STEP
    return ""


def step_text(seconds: float | None) -> str:
    """The time of a step as people read it: `5.48 ms`; `-` if unknown."""
    return "-" if seconds is None else f"{seconds * 1000:.3g} ms"
