"""What a project that setuptools builds requires by files other than the standard's table: read, and never run.

`setup.cfg` has lists, and `pyproject.toml` may name files of requirements in `[tool.setuptools.dynamic]`. `setup.py` is
a program: whether it says more is found by the words in it, and named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kgen import files
from kgen.editable import SETUP_CFG, setup_cfg, setup_cfg_section
from kgen.model.requirement import canonical_name
from kgen.project import PYPROJECT

DEPENDENCIES = "dependencies"
EXTRAS = "optional-dependencies"
"""The fields of the standard's table that another file may have in its place."""

_SETUP_PY = "setup.py"
_DYNAMIC = ("tool", "setuptools", "dynamic")
_SAYS_MORE = re.compile(r"\b(install_requires|extras_require)\b|\bsetup\s*\([^)]*\*\*")
_FROM_FILES = "file:"
_COMMENT = re.compile(r"(^|\s)#.*")


class DeclaredList(NamedTuple):
    """A list of requirements.

    Attributes:
        file: the file of the project that has it.
        place: where in it.
        texts: the requirements.
    """

    file: str
    place: str
    texts: tuple[str, ...]


class SetuptoolsRequirements(NamedTuple):
    """What other files say beside the standard's table.

    Attributes:
        dependencies: what is always required; None where that is not said.
        extras: the extras, each with its name as the index writes it.
        unread: a file that may say more, as only a run of it would tell; None if there is none.
    """

    dependencies: DeclaredList | None = None
    extras: Mapping[str, DeclaredList] = {}
    unread: str | None = None


def declared(root: Path, data: Mapping[str, Any]) -> SetuptoolsRequirements:
    """What setuptools' files say where the standard's table leaves it to them.

    Args:
        root: the project's folder.
        data: what is in its `pyproject.toml`.

    Raises:
        ValueError: a file of requirements that is named cannot be taken; the text begins with the file that names it.
    """
    project = data.get("project")
    left = {DEPENDENCIES, EXTRAS}
    if isinstance(project, Mapping):
        dynamic = project.get("dynamic")
        left &= {one for one in dynamic if isinstance(one, str)} if isinstance(dynamic, list) else set()
    if not left:
        return SetuptoolsRequirements()
    dependencies = _dependencies(root, data) if DEPENDENCIES in left else None
    extras = dict(_extras(root, data)) if EXTRAS in left else {}
    return SetuptoolsRequirements(dependencies, extras, _SETUP_PY if _says_more(root) else None)


def _dependencies(root: Path, data: Mapping[str, Any]) -> DeclaredList | None:
    row = _table(data, *_DYNAMIC).get(DEPENDENCIES)
    if isinstance(row, Mapping):
        return _of_dynamic(root, DEPENDENCIES, row)
    text = setup_cfg(root, "options", "install_requires")
    return None if text is None else _of_cfg(root, "options.install_requires", text)


def _extras(root: Path, data: Mapping[str, Any]) -> Iterator[tuple[str, DeclaredList]]:
    for name, text in setup_cfg_section(root, "options.extras_require").items():
        yield canonical_name(name), _of_cfg(root, f"options.extras_require.{name}", text.strip())
    for name, row in _table(data, *_DYNAMIC, EXTRAS).items():
        if isinstance(row, Mapping):
            yield canonical_name(name), _of_dynamic(root, f"{EXTRAS}.{name}", row)


def _of_cfg(root: Path, place: str, text: str) -> DeclaredList:
    if text.startswith(_FROM_FILES):
        paths = re.split(r"[,\n]", text.removeprefix(_FROM_FILES))
        return DeclaredList(SETUP_CFG, place, tuple(_in_files(root, SETUP_CFG, place, paths)))
    rows = text.splitlines() if "\n" in text else text.split(";")
    return DeclaredList(SETUP_CFG, place, tuple(_plain(rows)))


def _of_dynamic(root: Path, key: str, row: Mapping[str, Any]) -> DeclaredList:
    place = f"tool.setuptools.dynamic.{key}"
    named = row.get("file")
    paths = [named] if isinstance(named, str) else named
    if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
        raise ValueError(f"{PYPROJECT}: {place}.file: should be a file, or an array of files")
    return DeclaredList(PYPROJECT, place, tuple(_in_files(root, PYPROJECT, place, paths)))


def _in_files(root: Path, file: str, place: str, paths: Sequence[str]) -> Iterator[str]:
    """The requirements in files that setuptools would read, which takes none from elsewhere.

    Raises:
        ValueError: one cannot be read, or is outside of the project.
    """
    for path in filter(None, map(str.strip, paths)):
        where = files.resolved(root / path)
        if not where.is_relative_to(files.resolved(root)):
            raise ValueError(f"{file}: {place}: {path} is outside of the project")
        try:
            text = files.read_text(where, files.LARGE, encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ValueError(f"{file}: {place}: {path} cannot be read: {said}") from None
        yield from _plain(text.splitlines())


def _plain(rows: Sequence[str]) -> Iterator[str]:
    """Lines without comments, and without those that are empty then."""
    return filter(None, (_COMMENT.sub("", row).strip() for row in rows))


def _says_more(root: Path) -> bool:
    """Whether a project has a `setup.py` that requires something by itself, as far as words tell."""
    try:
        return _SAYS_MORE.search(files.read_text(root / _SETUP_PY, encoding="utf-8-sig")) is not None
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True


def _table(data: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    table: object = data
    for key in keys:
        table = table.get(key) if isinstance(table, Mapping) else None
    return table if isinstance(table, Mapping) else {}
