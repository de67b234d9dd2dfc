"""Which Pythons a project and its scripts allow: `requires-python`, or what Poetry and setuptools have for it."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import tomli
from packaging.version import Version

from kgen import files
from kgen.actions import scripts
from kgen.editable import SETUP_CFG, setup_cfg
from kgen.errors import CallChange, SettingsError
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import grammar
from kgen.model.ranges import VersionRange
from kgen.project import PYPROJECT
from kgen.settings import Settings
from kgen.tables import mismatch

_PATCHES = 40
"""A number of patch releases that no minor of CPython has reached."""

_COMPATIBLE = "~="
_UNLIKE = "!="
_WHOLE_MINOR: Mapping[str, str] = MappingProxyType(
    {
        "==": "=={minor}.*",
        "===": "=={minor}.*",
        "<=": "<{next}",
        _UNLIKE: "!={minor}.*",
        _COMPATIBLE: "~={minor}.0",
    }
)
"""Operators with which a bare minor means only its first release -> how to write the whole minor."""


class RequiresPython(NamedTuple):
    """A project's requirement on its Python.

    Attributes:
        text: the range, in the standard's form (PEP 440).
        minors: the CPython minors of the matrix with a patch release in the range, oldest first.
        file: the name of the file that has the range.
    """

    text: str
    minors: tuple[str, ...]
    file: str = PYPROJECT


def allowed_by(settings: Settings, matrix: CompatibilityMatrix) -> RequiresPython | None:
    """The Pythons that a project, and the scripts among its requirement files, allow together.

    Args:
        settings: the settings.
        matrix: the facts, with CPython's minors.

    Returns:
        The requirement; None if none of them has one.

    Raises:
        SettingsError: a file has something else than a range of versions.
    """
    own = required(settings.root, matrix) if settings.project else None
    found = [] if own is None else [own]
    for path in settings.requirement_files:
        if path.endswith(scripts.SUFFIX):
            with contextlib.suppress(OSError, ValueError):  # reading its requirements reports this
                found += of_script(settings.root / path, path, matrix)
    if not found:
        return None
    first, *others = found
    return RequiresPython(
        ",".join(dict.fromkeys(one.text for one in found)),
        tuple(minor for minor in first.minors if all(minor in one.minors for one in others)),
        " and ".join(dict.fromkeys(one.file for one in found)),
    )


def of_script(path: Path, name: str, matrix: CompatibilityMatrix) -> Sequence[RequiresPython]:
    """A script's requirement on its Python; empty if it has none.

    Args:
        path: the script.
        name: the script's name in messages.
        matrix: the facts, with CPython's minors.

    Raises:
        OSError: the script cannot be read.
        ValueError: it has no valid block of metadata (PEP 723).
        SettingsError: its `requires-python` is not a range of versions.
    """
    text = scripts.read(path).requires_python
    if text is None or not text.strip():
        return ()
    try:
        return (_within(grammar.line(text), matrix)._replace(file=grammar.printable(name)),)
    except ValueError as error:
        raise SettingsError(
            f"{grammar.printable(name)}: requires-python: {grammar.printable(str(error))}",
            hints=[f"edit {shlex.quote(grammar.printable(name))}"],
        ) from None


def required(root: Path, matrix: CompatibilityMatrix) -> RequiresPython | None:
    """The requirement of the project in this folder on its Python.

    Args:
        root: the project's folder.
        matrix: the facts, with CPython's minors.

    Returns:
        The requirement; None if the project has none.

    Raises:
        SettingsError: its `requires-python` is not a range of versions.
    """
    try:
        content = files.read_text(root / PYPROJECT, files.LARGE, encoding="utf-8-sig")
        data = tomli.loads(content)
    except FileNotFoundError:
        data = {}
    except (OSError, ValueError, RecursionError):
        return None
    project = data.get("project")
    if not isinstance(project, Mapping) or "requires-python" not in project:
        return _said_otherwise(data, root, matrix)
    text = project["requires-python"]
    try:
        if not isinstance(text, str):
            raise ValueError(mismatch(text, str))  # noqa: TRY301, TRY004 - one message for all that is not a range
        return _within(grammar.line(text), matrix) if text.strip() else None
    except ValueError as error:
        around = CallChange("kgen lock --no-project", meant=("--no-project",))
        wrong = SettingsError(
            f"{PYPROJECT}: project.requires-python: {grammar.printable(str(error))}",
            hints=[f"edit {PYPROJECT}", around.hint],
        )
        wrong.changes = (around,)
        raise wrong from None


def _said_otherwise(data: Mapping[str, Any], root: Path, matrix: CompatibilityMatrix) -> RequiresPython | None:
    """The range in Poetry's table, else in setuptools' `setup.cfg`, if it is a plain one."""
    table: object = data
    for key in ("tool", "poetry", "dependencies", "python"):
        table = table.get(key) if isinstance(table, Mapping) else None
    texts = [(PYPROJECT, poetry_range(table))] if isinstance(table, str) else []
    project = data.get("project")
    left = project.get("dynamic") if isinstance(project, Mapping) else ["requires-python"]
    if isinstance(left, list) and "requires-python" in left:
        texts.append((SETUP_CFG, setup_cfg(root, "options", "python_requires") or ""))
    for file, text in texts:
        with contextlib.suppress(ValueError):
            if text and (found := _within(grammar.line(text), matrix)):
                return found._replace(file=file)
    return None


def _within(text: str, matrix: CompatibilityMatrix) -> RequiresPython:
    """The requirement that a range states.

    Raises:
        ValueError: the text is not a range.
    """
    try:
        allowed = VersionRange(text)
    except ValueError:
        meant = next((f"; did you mean `{one}`?" for one in _range_meant_by(text)), "")
        raise ValueError(f"`{grammar.shown(text)}` is not a range of versions such as >=3.11,<3.14{meant}") from None
    return RequiresPython(text, tuple(row.version for row in matrix.pythons if _allows(allowed, row.version)))


def _range_meant_by(text: str) -> Iterator[str]:
    """The ranges that the author of an invalid one may have meant: `^3.11`, `3.12`, `>=3.11 <3.14`."""
    caret = re.fullmatch(r"\s*\^\s*(?P<least>(?P<major>[0-9]+)(?:\.[0-9]+)*)\s*", text)
    if caret is not None:
        yield f">={caret['least']},<{int(caret['major']) + 1}"
    bare = re.fullmatch(r"\s*=?\s*(3\.[0-9]+)(?:\.(?:[0-9]+|[*x]))?\s*", text)
    if bare is not None:
        yield f"=={bare[1]}.*"
    apart = re.findall(r"[<>=!~]+\s*[0-9.*]+", text)
    if len(apart) > 1 and "".join(apart).replace(" ", "") == text.replace(" ", ""):
        yield ",".join(one.replace(" ", "") for one in apart)


def misread(allowed: RequiresPython, python: str | None) -> Iterator[str]:
    """Warnings where a range may not say what its author means, since a bare minor is its first release.

    Args:
        allowed: the range.
        python: the requested minor; None for one within the range.
    """
    about = f"requires-python `{allowed.text}` of {allowed.file}"
    for sign, minor, meant in _of_minors(allowed.text):
        others = [one for one in allowed.minors if one != minor]
        if sign == _COMPATIBLE and others and python is None:
            yield f"{about} allows {', '.join(others)} too; `{meant}` allows {minor} alone"
        elif sign == _UNLIKE and minor in allowed.minors and python in (None, minor):
            yield f"{about} rules out {minor}.0 alone of Python {minor}; `{meant}` rules out all of it"
        elif sign != _COMPATIBLE and minor in allowed.minors and python in (None, minor):
            yield (
                f"{about} allows {minor}.0 alone of Python {minor}, and uv and pip refuse its other releases; kgen"
                f" takes it for `{meant}`: write that"
            )


def meant_by(text: str) -> Iterator[str]:
    """The ranges that the author may have meant by a bare minor."""
    return (meant for sign, _, meant in _of_minors(text) if sign != _COMPATIBLE)


def _of_minors(text: str) -> Iterator[tuple[str, str, str]]:
    """The comparisons with a bare minor: the operator, the minor, and the range with the whole minor instead."""
    parts = text.split(",")
    for place, part in enumerate(parts):
        match = re.fullmatch(r"\s*([<>=!~]+)\s*(3\.[0-9]+)\s*", part)
        if match is not None and match[1] in _WHOLE_MINOR:
            written = _WHOLE_MINOR[match[1]].format(minor=match[2], next=f"3.{int(match[2].partition('.')[2]) + 1}")
            yield match[1], match[2], ",".join((*parts[:place], written, *parts[place + 1 :]))


def _allows(allowed: VersionRange, minor: str) -> bool:
    """Whether the range has any patch release of the minor."""
    return any(Version(f"{minor}.{patch}") in allowed for patch in range(_PATCHES))


def poetry_range(text: str) -> str:
    """Poetry's range in the standard's form (PEP 440). Unions of ranges stay as they are: PEP 440 has none."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return ",".join(_one_range(part) for part in parts if part != "*")


def _one_range(text: str) -> str:
    match = re.fullmatch(r"([\^~])\s*v?([0-9]+(?:\.[0-9]+)*)([a-z0-9.+-]*)", text)
    if match is None:
        return text if re.match(r"[<>=!~]", text) else f"=={text}"
    numbers = [int(number) for number in match[2].split(".")]
    if match[1] == "~":
        at = min(1, len(numbers) - 1)
    else:
        at = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
    below = [*numbers[:at], numbers[at] + 1]
    return f">={match[2]}{match[3]},<{'.'.join(map(str, below))}"
