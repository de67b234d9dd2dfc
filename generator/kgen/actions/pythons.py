"""Which Pythons the project itself allows: `requires-python` of its `pyproject.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import tomli
from packaging.version import Version

from kgen import files
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import grammar
from kgen.model.ranges import VersionRange
from kgen.project import PYPROJECT

_PATCHES = 40
"""More patch releases than a minor of CPython ever had."""


class RequiresPython(NamedTuple):
    """What a project requires of its Python.

    Attributes:
        text: as its `pyproject.toml` has it.
        minors: the CPython minors of the matrix that have a patch release within, oldest first.
    """

    text: str
    minors: tuple[str, ...]


def required(root: Path, matrix: CompatibilityMatrix) -> RequiresPython | None:
    """What the project in this folder requires of its Python.

    Args:
        root: the project's folder.
        matrix: the facts, which know the minors.

    Returns:
        None where the project does not say, or says what is no range: who builds it gets an error.
    """
    try:
        content = files.read_text(root / PYPROJECT, files.LARGE)
        data = tomli.loads(content)
    except (OSError, ValueError, RecursionError):
        return None
    project = data.get("project")
    text = project.get("requires-python") if isinstance(project, Mapping) else None
    if not isinstance(text, str) or not grammar.is_line(text):
        return None
    try:
        allowed = VersionRange(text)
    except ValueError:
        return None
    return RequiresPython(text, tuple(row.version for row in matrix.pythons if _allows(allowed, row.version)))


def _allows(allowed: VersionRange, minor: str) -> bool:
    """Whether any patch release of the minor is within the range."""
    return any(Version(f"{minor}.{patch}") in allowed for patch in range(_PATCHES))
