"""Locks of other tools that hold projects of the Python index."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import tomli

from kgen.matrix.compatibility import CompatibilityMatrix

_PINNED = re.compile(r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*(?P<version>[A-Za-z0-9.+!]+)")


def _of_toml(text: str, _platform: str, _matrix: CompatibilityMatrix) -> Iterator[tuple[str, str]]:
    """The arrays of tables of PEP 751, uv, Poetry and PDM, which are alike in what matters."""
    data = tomli.loads(text)
    for row in data.get("packages", data.get("package", [])):
        if "version" in row:  # a folder or a repository has none
            yield row["name"], row["version"]


def _of_requirements(text: str, _platform: str, _matrix: CompatibilityMatrix) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        found = _PINNED.match(line)
        if found is not None:
            yield found["name"], found["version"]


IMPORTS: Mapping[str, Callable[[str, str, CompatibilityMatrix], Iterator[tuple[str, str]]]] = {
    "pylock.toml": _of_toml,
    "pylock.*.toml": _of_toml,
    "uv.lock": _of_toml,
    "*.py.lock": _of_toml,
    "poetry.lock": _of_toml,
    "pdm.lock": _of_toml,
    "*.txt": _of_requirements,
}
"""See :class:`kgen.formats.interface.Importer`."""

SIGNS: Mapping[str, re.Pattern[str]] = {}
"""Names tell them all."""
