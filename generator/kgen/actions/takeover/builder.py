"""Collects what other tools' files say, as settings of kgen."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import tomli
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from kgen import files, parsers
from kgen.actions.pythons import RequiresPython
from kgen.actions.requirements import given_in
from kgen.errors import SettingsError, UsageError
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import grammar
from kgen.model.requirement import Requirement
from kgen.settings import Settings
from kgen.tables import mismatch

_NO_DEFAULTS = "nodefaults"
"""The entry that keeps conda from reading channels that the file does not name."""

_PATCHES = 40
"""A number of patch releases that no minor of CPython has reached."""


class Entry(NamedTuple):
    """A key of the settings.

    Attributes:
        key: the key.
        values: the texts of its array.
        comment: the comment beside it.
    """

    key: str
    values: tuple[str, ...]
    comment: str


class Takeover(NamedTuple):
    """Settings from other tools' files.

    Attributes:
        backends: the backends whose frameworks are required; empty if the files have none.
        platforms: the platforms that the matrix knows; empty if the files have none.
        python: the allowed Pythons; None if the files do not restrict them.
        entries: further settings.
        left: what is left out, each with the reason.
    """

    backends: tuple[str, ...]
    platforms: tuple[str, ...]
    python: RequiresPython | None
    entries: tuple[Entry, ...]
    left: tuple[str, ...]


@dataclass
class TakeoverBuilder:
    """Collects what the files of one project say.

    Attributes:
        root: the project's folder.
        matrix: the facts.
        backends: the backends whose frameworks are required.
        platforms: the platforms that the matrix knows.
        python: the range of Pythons, in the standard's form.
        lists: the texts of each key of the settings.
        left: what is left out, each with the reason.
    """

    root: Path
    matrix: CompatibilityMatrix
    backends: list[str] = field(default_factory=list)
    platforms: list[str] = field(default_factory=list)
    python: str | None = None
    lists: dict[str, list[str]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def found(self, source: str) -> Takeover:
        """The collected settings.

        Args:
            source: the files, as the user named them.
        """
        return Takeover(
            backends=tuple(dict.fromkeys(self.backends)),
            platforms=tuple(dict.fromkeys(self.platforms)),
            python=self._allowed(),
            entries=tuple(
                Entry(key, tuple(dict.fromkeys(values)), f"Taken over from {source}.")
                for key, values in self.lists.items()
                if values
            ),
            left=tuple(dict.fromkeys(map(grammar.printable, self.left))),
        )

    def _allowed(self) -> RequiresPython | None:
        if self.python is None:
            return None
        try:
            allowed = SpecifierSet(self.python)
        except InvalidSpecifier:
            self.left.append(f"python {self.python}: it is not a range of versions")
            return None
        known = (row.version for row in self.matrix.pythons)
        minors = tuple(one for one in known if any(f"{one}.{patch}" in allowed for patch in range(_PATCHES)))
        if not minors:
            self.left.append(f"python {self.python}: the matrix knows no such Python")
            return None
        return RequiresPython(self.python, minors)

    def add(self, text: str, *, known: bool = False) -> None:
        """Take over a requirement.

        Args:
            text: the requirement, in the standard's form.
            known: whether kgen reads it from its file anyway, so that it only tells about backends.
        """
        try:
            requirement = parsers.parse_dependency(text)
        except ValueError as error:
            self.left.append(str(error))
            return
        backend = self._backend_of(requirement)
        if backend is not None:
            self.backends.append(backend)
        if known:
            return
        decided = backend is not None or requirement.name in {one.package for one in self.matrix.generations.values()}
        if not decided:
            self.lists.setdefault("dependencies", []).append(str(requirement))
        elif requirement.specifier:
            wanted = Requirement(f"{requirement.name}{requirement.specifier}")
            self.lists.setdefault("require", []).append(str(wanted))

    def _backend_of(self, requirement: Requirement) -> str | None:
        """The backend whose framework this is; None for packages that are also required on their own, as NumPy."""
        default = self.matrix.default_backends(None)
        rows = [self.matrix.backends[name] for name in default]
        return next((row.short for row in rows if row.accelerated and row.framework == requirement.name), None)

    def add_row(self, name: str, value: object, version: object, ranges: Callable[[str], str]) -> None:
        """Take over a row of a table of Poetry or pixi.

        Args:
            name: the package.
            value: the row: a version, or a table.
            version: the version in it.
            ranges: converts a range to the standard's form.
        """
        extras = texts_in(value.get("extras")) if isinstance(value, Mapping) else []
        foreign = {"git", "path", "url", "file"} & set(value) if isinstance(value, Mapping) else set()
        named = f"[{','.join(extras)}]" if extras else ""
        if foreign and isinstance(value, Mapping):
            self.add(f"{name}{named} @ {place_of(value)}")
            return
        if isinstance(version, list):
            self.left.append(f"{name}: it has a list of versions, and kgen locks one requirement for all")
            return
        if not isinstance(version, str):
            self.left.append(f"{name}: its version {mismatch(version, str)}")
            return
        self.add(f"{name}{named}{ranges(version)}")

    def add_channels(self, names: Sequence[str]) -> None:
        """Take over channels for `kgen lock --conda`, except the default ones."""
        found = []
        for name in dict.fromkeys(names):
            if name == _NO_DEFAULTS:  # kgen asks no such channel
                continue
            try:
                found.append(parsers.parse_channel(name))
            except ValueError as error:
                self.left.append(f"channel {grammar.shown(name)}: {error}")
        distinct = list(dict.fromkeys(found))
        if distinct and tuple(distinct) != Settings(root=self.root).channels:
            self.lists["channels"] = distinct

    def add_platforms(self, names: Sequence[str]) -> None:
        """Take over platforms by their conda names."""
        for name in names:
            if name in self.matrix.platforms:
                self.platforms.append(name)
            else:
                self.left.append(f"platform {name}: the matrix does not know it")

    def add_file(self, path: Path, texts: Sequence[str]) -> None:
        """Have kgen read a file whenever it locks; if the file cannot be locked as it is, take over the parts that can.

        Args:
            path: a requirements file, or a script.
            texts: its requirements.
        """
        before = len(self.left)
        for text in texts:
            self.add(text, known=True)
        if len(self.left) == before:
            self._name(path)
            return
        for text in texts:
            self.add(text)

    def _name(self, path: Path) -> None:
        inside = files.resolved(path).is_relative_to(files.resolved(self.root))
        place = os.path.relpath(files.resolved(path), files.resolved(self.root)) if inside else str(path)
        named = (place,) if inside else given_in(Path.cwd(), self.root, [place])
        self.lists.setdefault("requirements", []).extend(named)


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        UsageError: there is no such file.
        SettingsError: the file cannot be read.
    """
    try:
        return files.read_text(path, files.SMALL, encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"--from: {path} is not there", hints=["kgen init"]) from None
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is not text"
        raise SettingsError(f"{path} cannot be read: {said}", hints=[f"ls -l {files.typed(path)}"]) from None


def toml_of(path: Path) -> Mapping[str, Any]:
    """The content of a TOML file.

    Raises:
        UsageError: there is no such file.
        SettingsError: the file cannot be read, or is not TOML.
    """
    try:
        return tomli.loads(text_of(path))
    except (tomli.TOMLDecodeError, RecursionError) as error:
        said = grammar.shown(str(error).partition("\n")[0])
        raise SettingsError(f"{path} is not valid TOML: {said}", hints=[f"edit {files.typed(path)}"]) from None


def table_in(of: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """A table of a file; empty if the file does not have it.

    Raises:
        SettingsError: the key is not a table.
    """
    value = of.get(key, {})
    if not isinstance(value, Mapping):
        raise SettingsError(f"{where}, {key}: {mismatch(value, dict)}")
    return value


def texts_in(value: object) -> list[str]:
    """The texts of an array; other values are left out."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def place_of(row: Mapping[str, Any]) -> str:
    """The place from which Poetry or pixi take a package, in the standard's form."""
    if isinstance(row.get("git"), str):
        at = next((f"@{row[key]}" for key in ("rev", "tag", "branch") if isinstance(row.get(key), str)), "")
        below = f"#subdirectory={row['subdirectory']}" if isinstance(row.get("subdirectory"), str) else ""
        # `git@host:path` is ssh's short form, which no URL is
        url = re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"ssh://git@\1/", row["git"])
        return f"git+{url}{at}{below}"
    return str(next(row[key] for key in ("path", "file", "url") if key in row))
