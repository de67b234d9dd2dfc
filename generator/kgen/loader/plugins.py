"""Plugins of a framework that are installed side by side and want to be the same device."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kgen import files
from kgen.loader import environment


class RivalPlugins(NamedTuple):
    """Plugins that a framework loads in no fixed order, and takes one of.

    Attributes:
        framework: the framework, such as `jax`.
        device: what each of them wants to be, such as `cuda`.
        paths: the plugins, below `site-packages`.
        says: what the framework does with them.
    """

    framework: str
    device: str
    paths: tuple[str, ...]
    says: str


def rivals(site: Path) -> tuple[RivalPlugins, ...]:
    """The plugins in a folder of packages that stand in each other's way."""
    return tuple(one for row in environment.rows().get("plugins", ()) for one in _rivals(site, row))


def _rivals(site: Path, row: Mapping[str, Any]) -> Iterator[RivalPlugins]:
    devices: dict[str, list[str]] = {}
    for name in _packages(site / row["folder"]):
        match = re.fullmatch(row["pattern"], name)
        if match is not None:
            devices.setdefault(match[1], []).append(f"{row['folder']}/{name}")
    for device, paths in devices.items():
        if len(paths) > 1:
            yield RivalPlugins(row["name"], device, tuple(paths), row["says"])


def _packages(folder: Path) -> Sequence[str]:
    """The packages in a folder; what an uninstaller left of one is none."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names alone
    except OSError:
        return ()
    return sorted(name for name in names if files.is_file(folder / name / "__init__.py"))
