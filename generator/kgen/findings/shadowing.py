"""What a folder that Python searches has in the place of what is locked."""

from __future__ import annotations

import os
import re
import sys
from importlib.machinery import FrozenImporter
from pathlib import Path

from kgen import files
from kgen.findings.shape import ExaminedEnvironment

_ANYBODYS = frozenset(("benchmarks", "docs", "examples", "scripts", "test", "tests", "tools"))
"""Packages that some distributions install by mistake, and that nobody imports from there."""

_UNUSED = frozenset(
    ("antigravity", "distutils", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo")
)
"""Modules of Python's own that no framework imports, or that setuptools brings in the place of."""


def shadowed(one: ExaminedEnvironment, folder: str) -> list[str]:
    """The locked packages, and what else is installed, that a folder has modules of, sorted.

    Args:
        one: the environment.
        folder: the folder, which may not be there, or be the environment's own.
    """
    python = one.lock.python
    site = one.prefix / f"lib/python{python}/site-packages"
    if _same(folder, site):
        return []
    known = [*(file.name for file in one.lock.files), *one.lock.packages]
    names = {name: name for name in _installed(site) - _ANYBODYS} if one.whole else {}
    names |= {re.sub(r"[-_.]+", "_", name): name for name in known}
    return sorted({names[name] for name in _modules(folder, python) if name in names})


def shadowed_of_python(one: ExaminedEnvironment, folder: str) -> list[str]:
    """The modules of Python's own that a folder has others of, sorted; nothing goes before what is built in."""
    found = _modules(folder, one.lock.python) & sys.stdlib_module_names - _UNUSED
    return sorted(name for name in found - {*sys.builtin_module_names} if FrozenImporter.find_spec(name) is None)


def _same(folder: str, other: Path) -> bool:
    try:
        return os.path.samefile(folder, other)  # noqa: PTH121 - as text
    except (OSError, ValueError):
        return False


def _names(folder: str | Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names alone
    except (OSError, ValueError):
        return []


def _installed(site: Path) -> frozenset[str]:
    """What may be imported from a folder of packages, parts of a package without a file of its own too."""
    found = (re.fullmatch(r"(\w+)(?:\.py|(?:\.[\w-]+)?\.so)?", name) for name in _names(site))
    return frozenset(match[1] for match in found if match is not None and not match[1].startswith("_"))


def _modules(folder: str, python: str) -> frozenset[str]:
    """What this Python imports from a folder in the place of what comes later, by the names of packages and modules."""
    names = _names(folder)
    starts = ("__init__.py", "__init__.pyc")
    packages = {name for name in names if any(files.is_file(Path(folder) / name / start) for start in starts)}
    tag = f"cpython-{python.replace('.', '')}"
    found = (re.fullmatch(rf"(\w+)(?:\.pyc?|(?:\.{tag}t?-[\w-]+|\.abi3)?\.so)", name) for name in names)
    return frozenset(packages | {match[1] for match in found if match is not None})
