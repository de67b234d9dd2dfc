"""What conda has packages of and the Python index has not, by name: libraries of the system, CUDA and its parts."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import tomli


class OnlyInConda(NamedTuple):
    """What only conda has packages of.

    Attributes:
        kinds: `cuda`, `parts`, `builds` and `system` -> patterns of names.
        python: the names that a pattern is not meant for.
        projects: another name of conda for a project -> the project.
    """

    kinds: Mapping[str, Sequence[str]]
    python: frozenset[str]
    projects: Mapping[str, str]

    def kind_of(self, name: str) -> str | None:
        """Which of the kinds a package is of; None for one that is for Python."""
        if name in self.python or name in self.projects:
            return None
        return next((kind for kind, rows in self.kinds.items() if any(fnmatchcase(name, row) for row in rows)), None)


@functools.cache
def packages() -> OnlyInConda:
    """What `conda_only.toml` lists."""
    data = tomli.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return OnlyInConda(
        kinds={kind: data[kind] for kind in ("cuda", "parts", "builds", "system")},
        python=frozenset(data["python"]),
        projects=data["projects"],
    )
