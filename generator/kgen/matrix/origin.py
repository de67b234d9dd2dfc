"""Selects the matrix in use: the one that ships with kgen, overlaid by a refreshed one in the project or the cache.

A refreshed matrix is a folder with the files that differ from kgen's own, and :data:`MARK`, which states what they were
made from. kgen's own matrix is the base: if its files have changed since, the refreshed rows are overlaid one by one,
and kgen's row wins if both have one.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tomli
from packaging.version import Version

from kgen import files, host, project, resources
from kgen.matrix import reader
from kgen.matrix.compatibility import CompatibilityMatrix, Folder
from kgen.matrix.compiled_cache import CompiledFiles
from kgen.model import grammar
from kgen.tables import Table

MARK = "refresh.toml"
"""The file that makes a folder a refreshed matrix."""

NAME = "matrix"
"""The name of the folder, beside a project's settings and in the cache."""

FOLDER_VARIABLE = "KGEN_MATRIX_DIR"
"""A variable with a folder to use instead of the matrix that ships with kgen.

kgen's tests pin answers of a frozen copy with it, so that a refreshed `matrix/` changes none of them.
"""

_LIBRARIES = "libraries/"
_REFRESHED = r"(?:libraries/)?[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.toml"
_OWN = frozenset(
    f"{name}.toml"
    for name in ("backends", "conda", "cuda", "cudnn", "generations", "names", "platforms", "python", "refresh")
)
"""Files that no refresh writes, including those that select an environment's backend: no repository can change them."""

_CONDA_NAMES = "conda-names.toml"
_SONAMES = "sonames.toml"
_TOOLKITS = "toolkits.toml"

Kind = Literal["shipped", "cache", "project"]


class Origin(NamedTuple):
    """The origin of a matrix.

    Attributes:
        kind: whether it is only kgen's own, or was refreshed in the user's cache or in the project.
        folder: the folder of the refreshed matrix; kgen's own if there is none.
        checked: the day of the refresh; None for kgen's own.
        note: why an existing refreshed matrix is not used; empty if all is well.
    """

    kind: Kind
    folder: Path
    checked: dt.date | None = None
    note: str = ""


def cache_folder() -> Path:
    """The folder of a matrix refreshed without `--project`: `matrix` in kgen's cache."""
    return host.cache(NAME)


def shipped_folder() -> Path:
    """The folder of the matrix that ships with kgen; :data:`FOLDER_VARIABLE` overrides it, for kgen's own tests.

    Raises:
        OutsideError: the installation has lost its data.
    """
    named = host.variable(FOLDER_VARIABLE)
    return Path(named) if named else resources.folder("matrix")


def project_folder(root: Path) -> Path:
    """The folder of a project's own matrix, beside its settings."""
    return root / NAME


def current(start: Path | None = None) -> CompatibilityMatrix:
    """The matrix in use in this folder, or in the working folder."""
    texts, _ = texts_in_use(start)
    return _compiled(texts)


def shipped() -> CompatibilityMatrix:
    """The matrix that ships with kgen, without the overlay of a project or the cache.

    Raises:
        OutsideError: the installation has lost its data.
    """
    return _compiled(Folder(shipped_folder()))


def _compiled(texts: Mapping[str, str]) -> CompatibilityMatrix:
    return CompatibilityMatrix(texts, CompiledFiles(host.cache("compiled-matrix")))


def texts_in_use(start: Path | None = None) -> tuple[Mapping[str, str], Origin]:
    """The files of the matrix in use, and its origin."""
    shipped = shipped_folder()
    root = project.find_root(start or Path.cwd())
    if project_folder(root) == shipped:  # in kgen's own repository the project's matrix is kgen's
        return Folder(shipped), Origin("shipped", shipped)
    note = ""
    folders: tuple[tuple[Kind, Path], ...] = (("project", project_folder(root)), ("cache", cache_folder()))
    for kind, folder in folders:
        mark = _mark(folder)
        if mark is None:
            continue
        if isinstance(mark, str):
            note = mark
            continue
        damaged = _damaged(folder, mark) if kind == "cache" else None  # users may edit a project's matrix
        if damaged is not None:
            note = f"{folder / damaged} is damaged, and what was refreshed is not used"
            continue
        return Layered(Folder(shipped), folder, mark), Origin(kind, folder, mark.checked, note)
    return Folder(shipped), Origin("shipped", shipped, note=note)


def layered(folder: Path) -> Mapping[str, str]:
    """The shipped files overlaid by a refreshed matrix in this folder, if there is a valid one."""
    shipped = Folder(shipped_folder())
    mark = _mark(folder)
    sound = isinstance(mark, Mark) and (folder != cache_folder() or _damaged(folder, mark) is None)
    return Layered(shipped, folder, mark) if isinstance(mark, Mark) and sound else shipped


def _damaged(folder: Path, mark: Mark) -> str | None:
    """The first file of a refreshed matrix that differs from what was written; None if there is none."""
    return next((name for name, (_, own) in mark.files.items() if _crc(folder / name) != own), None)


class Mark(NamedTuple):
    """What a refreshed matrix records: the day, and file -> (checksum of the shipped file then, of its own)."""

    checked: dt.date
    files: Mapping[str, tuple[str, str]]


def _mark(folder: Path) -> Mark | str | None:
    """The mark of a refreshed matrix; None if the folder has none, an error text if it is invalid."""
    path = folder / MARK
    try:
        data = tomli.loads(files.read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        return _damage(path, grammar.shown(str(error)))
    faults: list[str] = []
    table = Table(data, "", faults)
    checked = table.date("checked")
    table.get("file", dict, required=True)
    section = table.table("file")
    found = {}
    for name in section:
        row = section.table(name)
        found[name] = (row.text("base"), row.text("own"))
        row.close()
        if re.fullmatch(_REFRESHED, name) is None or name in _OWN:
            section.fault(name, "is not a file that a refresh writes")
    table.close()
    return Mark(checked, found) if not faults else _damage(path, "; ".join(faults))


def _damage(path: Path, why: str) -> str:
    return f"{path} is damaged, and the matrix beside it is not used: {why}"


def mark_text(checked: dt.date, files: Mapping[str, str], shipped: Mapping[str, str]) -> str:
    """The text of :data:`MARK` for these files, made from kgen's own."""
    rows = "".join(
        f'\n[file."{name}"]\nbase = "{checksum(shipped[name]) if name in shipped else ""}"\nown = "{checksum(text)}"\n'
        for name, text in sorted(files.items())
    )
    return (
        "# Made by `kgen matrix refresh`: what an index knew that kgen's own matrix did not; and what of kgen's own\n"
        "# these files were made over, so that a newer kgen's are not hidden by them.\n"
        f"checked = {checked}\n" + (rows or "\n[file]\n")
    )


def checksum(text: str) -> str:
    """A checksum that changes when a file does."""
    return f"{zlib.crc32(text.encode()):08x}"


def _crc(path: Path) -> str:
    try:
        return f"{zlib.crc32(files.read(path, files.SMALL)):08x}"
    except OSError:
        return ""


class Layered(Mapping[str, str]):
    """The files of two layers: the upper file if it was made from exactly this lower one, else a merge of both."""

    def __init__(self, lower: Mapping[str, str], upper: Path, mark: Mark) -> None:
        self._lower = lower
        self._upper = Folder(upper)
        self._mark = mark

    @functools.cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(sorted({*self._lower, *self._mark.files}))

    def __getitem__(self, name: str) -> str:
        if name not in self._mark.files or name not in self._upper:
            return self._lower[name]
        upper = self._upper[name]
        if name not in self._lower:
            return upper
        lower = self._lower[name]
        return upper if checksum(lower) == self._mark.files[name][0] else merged(name, lower, upper)

    def __contains__(self, name: object) -> bool:
        return name in self._lower or (name in self._mark.files and name in self._upper)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def merged(name: str, lower: str, upper: str) -> str:
    """A shipped file with the additional rows of the refreshed one; a release is yanked if either says so."""
    from kgen.matrix import writer  # noqa: PLC0415 - only after an upgrade of kgen

    if not _is_sound(name, upper):
        return upper  # reading it reports what is wrong with it
    try:
        if name == _CONDA_NAMES:
            # a complete list instead of rows: take the newer one
            newer = [tomli.loads(text)["origin"]["version"] for text in (lower, upper)]
            return upper if Version(newer[1]) > Version(newer[0]) else lower
        if name == _SONAMES:
            # facts read from wheels: take those from newer wheels
            return upper if _day_of(upper) > _day_of(lower) else lower
        if name.startswith(_LIBRARIES):
            return _merged_library(tomli.loads(lower), tomli.loads(upper))
        heading = "[[toolkit]]" if name == _TOOLKITS else "[[release]]"
        _, mine = writer.rows(lower, heading)
        _, theirs = writer.rows(upper, heading)
        added = {version: row for version, row in theirs.items() if version not in mine}
        for version in mine.keys() & theirs.keys():
            why = _row(theirs[version], heading).get("yanked")
            if why is not None and "yanked" not in _row(mine[version], heading):
                added[version] = _yanked(mine[version], heading, why)
            more = _more_builds(_row(mine[version], heading), _row(theirs[version], heading))
            if more:
                added[version] = writer.with_builds(added.get(version, mine[version]), more)
    except tomli.TOMLDecodeError:
        return upper  # reading it reports what is wrong with it
    return writer.with_rows(lower, heading, added)


def _day_of(text: str) -> dt.date:
    """The latest day on which somebody checked a row."""
    return max((row["checked"] for row in tomli.loads(text).get("provider", ())), default=dt.date.min)


def _is_sound(name: str, text: str) -> bool:
    """Whether a file of a refreshed matrix can be read."""
    faults: list[str] = []
    try:
        table = Table(tomli.loads(text), "", faults)
    except (ValueError, RecursionError):
        return False
    stem = name.removesuffix(".toml")
    if name == _CONDA_NAMES:
        reader.read_conda_names(table)
    elif name == _SONAMES:
        reader.read_sonames(table)
    elif name.startswith(_LIBRARIES):
        reader.read_library(table, stem)
    elif name == _TOOLKITS:
        reader.read_toolkits(table)
    else:
        reader.read_framework(table, stem)
    return not faults


def _more_builds(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The builds from a framework's own index that only the refreshed row has."""
    known = {(build.get("local"), platform) for build in mine.get("build", ()) for platform in build["platforms"]}
    return [
        build
        for build in theirs.get("build", ())
        if "local" in build and not any((build["local"], platform) in known for platform in build["platforms"])
    ]


def _yanked(row: str, heading: str, why: str) -> str:
    from kgen.matrix import writer  # noqa: PLC0415 - as above

    def change(table: Any) -> None:  # noqa: ANN401 - a table of tomlkit's
        writer.put_after(table, "yanked", why, after="released")

    return writer.edited(row, heading, change)


def _row(text: str, heading: str) -> Mapping[str, Any]:
    rows: Mapping[str, Any] = tomli.loads(text)[heading.strip("[]")][0]
    return rows


def _merged_library(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> str:
    from kgen.matrix import writer  # noqa: PLC0415 - as above

    yanked = {**upper.get("yanked", {}), **lower.get("yanked", {})}
    mine = writer.fits(lower)
    known = {fit.version for fit in mine} | set(yanked)
    fits = [fit for fit in mine if fit.version not in yanked]
    fits += [fit for fit in writer.fits(upper) if fit.version not in known]
    head = {key: value for key, value in lower.items() if key not in {"files", "yanked"}}
    if yanked:
        head["yanked"] = {version: yanked[version] for version in sorted(yanked, key=writer.version_key)}
    return writer.library_text({**head, "files": writer.grouped(fits)})
