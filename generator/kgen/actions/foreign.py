"""Locks of other tools, as far as a lock of kgen can start from them: package -> version."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path

from packaging.version import InvalidVersion, Version

from kgen import files
from kgen.errors import SettingsError, UsageError
from kgen.formats import interface
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.requirement import canonical_name

_PROJECTS = frozenset({"pixi.toml", "pyproject.toml"})


def versions_in(path: Path, platform: str, matrix: CompatibilityMatrix) -> Mapping[str, str]:
    """The versions that a lock of another tool has for a platform; without projects that it has several of.

    Args:
        path: the file, whose name says what lock it is.
        platform: the platform, as a conda subdir, for locks that are for several.
        matrix: the facts, for what other indexes call projects.

    Raises:
        OutsideError: it cannot be read.
        SettingsError: it is not what its name says.
        UsageError: kgen knows no lock of this name, or what reads it is not installed.
    """
    known = {name: read for form in formats.known() for name, read in interface.imports(form).items()}
    # the pattern that says the most: `*explicit.txt` rather than `*.txt`
    matching = sorted((one for one in known if fnmatch.fnmatchcase(path.name, one)), key=len)
    if not matching and not files.is_file(path):
        raise _unknown(path, known)
    try:
        text = files.read_text(path, files.LARGE)
    except OSError as error:
        raise files.unreadable(path, error) from None
    except ValueError as error:
        raise SettingsError(f"{path} is not text: {error}") from None
    signs = {name: sign for form in formats.known() for name, sign in interface.signs(form).items()}
    matching += [name for name, sign in signs.items() if sign.search(text)]
    if not matching:
        raise _unknown(path, known)
    pattern = matching[-1]
    found: dict[str, set[str]] = {}
    try:
        for name, version in known[pattern](text, platform, matrix):
            # conda has packages, such as `_libgcc_mutex`, whose names are none of projects
            if _is_version(version) and re.fullmatch(grammar.PROJECT, name) is not None:
                found.setdefault(canonical_name(name), set()).add(version)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0]
        said = grammar.printable(said)
        raise SettingsError(f"{path} is not a lock that kgen understands ({pattern}): {said}") from None
    if not found:
        raise SettingsError(
            f"{path} has no versions for {platform}", hints=["kgen lock --platform P, with one of its own"]
        )
    return {name: min(several) for name, several in found.items() if len(several) == 1}


def _unknown(path: Path, known: Collection[str]) -> UsageError:
    hints = [f"give one of {', '.join(known)}"]
    if path.name in _PROJECTS or path.suffix in {".yml", ".yaml"}:
        hints.insert(0, f"kgen init --from {shlex.quote(str(path))}   # takes over what a project asks for")
    return UsageError(f"`--from {path}`: kgen knows no lock of this name", hints=hints)


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
