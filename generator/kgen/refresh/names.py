"""The conda-forge names of projects, from a project that publishes them -> `conda-names.toml`."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from kgen.errors import MalformedAnswerError
from kgen.index import NO_WHEEL, IndexFile
from kgen.matrix.writer import key, toml
from kgen.model import grammar

FILE = "conda-names.toml"
PROJECT = "conda-pypi"
MEMBER = "conda_pypi/grayskull_pypi_mapping.json"

LARGEST = 32 << 20
"""The largest size in bytes of the file that is read; that of 2026 has two million."""

_NO_NAME = re.compile(r"[0-9a-f]{32,}")
"""Digests among the projects: somebody took the path of a file for its name."""

_HEAD = """\
# What conda-forge calls projects of the Python index, where that is not their normalised name; rows of conda.toml win.
# `kgen matrix refresh` writes this file.
"""


def newest(files: Sequence[IndexFile]) -> IndexFile | None:
    """The wheel of the newest final release that was not yanked; None if there is none."""
    wheels = [one for one in files if one.tags != NO_WHEEL and one.yanked is None]
    final = [one for one in wheels if not Version(one.version).is_prerelease]
    return max(final, key=lambda one: Version(one.version), default=None)


def names(content: bytes) -> dict[str, str]:
    """Project -> package, for projects whose names differ, sorted.

    Raises:
        OutsideError: the content is not such a list.
    """
    try:
        data: Any = json.loads(content)
        rows = [(str(row["pypi_name"]), str(row["conda_name"])) for row in data.values()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = grammar.shown(str(error))
        raise MalformedAnswerError(f"{MEMBER} of {PROJECT} is not a list of names: {said}") from None
    found = {}
    for project, package in sorted(rows):
        try:
            name = canonicalize_name(grammar.project(project))
            grammar.conda_package(package)
        except ValueError:
            continue
        if package != name and not _NO_NAME.match(name):
            found[str(name)] = package
    if not found:
        raise MalformedAnswerError(f"{MEMBER} of {PROJECT} has no names")
    return found


def text(packages: Mapping[str, str], version: str, today: dt.date) -> str:
    """The text of the file."""
    origin = {
        "project": PROJECT,
        "version": version,
        "source": f"{PROJECT} {version}: {MEMBER}",
        "checked": today,
    }
    lines = [_HEAD, "[origin]", *(f"{name} = {toml(value)}" for name, value in origin.items())]
    lines += ["", "[names]", *(f"{key(name)} = {toml(package)}" for name, package in packages.items())]
    return "\n".join(lines) + "\n"
