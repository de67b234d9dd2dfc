"""Kinds of files that a project is taken over from: one module each, which calls its :class:`Source` `SOURCE`."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kgen.actions.takeover.source import Source


@functools.cache
def known() -> tuple[Source, ...]:
    """All kinds, those that can be named without a file first."""
    names = sorted(one.name for one in pkgutil.iter_modules(__path__))
    found: list[Source] = [importlib.import_module(f"{__name__}.{name}").SOURCE for name in names]
    return tuple(sorted(found, key=lambda one: one.tool is None))
