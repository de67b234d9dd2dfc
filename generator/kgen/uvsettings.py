"""uv's configuration, read as uv reads it: variables, and the files of the project, the user and the system."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import functools
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from kgen import files, host, logins, replay
from kgen.errors import SettingsError
from kgen.model import grammar
from kgen.model.requirement import Requirement, canonical_name
from kgen.workspace import workspace_of

if TYPE_CHECKING:  # slow to import, and not needed where nothing is read
    from kgen.wheels import WheelReader

_OWN, _PROJECTS = "uv.toml", "pyproject.toml"

_CONFIGURATION = 1 << 20
"""Size limit in bytes of a configuration file."""


class Treatment(enum.Enum):
    """What kgen does about a setting of uv."""

    RECORDED = "honoured by uv, and recorded in the lock"
    DAY = "honoured by kgen's solver too, and recorded as `exclude-newer`"
    TARGETS = "honoured: a target that it leaves out is refused"
    SOURCES = "honoured and recorded: an index, by its marker; a path, URL, repository or the workspace for all targets"
    BUILT = "refused, but for packages that `build` in kgen's settings names"
    SOURCELESS = "refused where there are `sources`"
    REFUSED = "refused"


class UvSetting(NamedTuple):
    """A setting of uv that affects resolution, and therefore locks.

    Attributes:
        key: its key in `[tool.uv]`, `[tool.uv.pip]` or `uv.toml`.
        treatment: what kgen does about it.
        why: for a refusal the reason; otherwise what the setting does.
        variable: the environment variable that overrides it; None if there is none.
        files: whether the variable names requirements files.
        usual: the values that change nothing.
    """

    key: str
    treatment: Treatment
    why: str
    variable: str | None = None
    files: bool = False
    usual: tuple[object, ...] = (False, [], {})


_WHEELS = "kgen locks wheels, and builds only what `build` names, with pinned tools"
_NEWEST = "kgen looks for the newest versions that work together"

SETTINGS: tuple[UvSetting, ...] = (
    UvSetting("constraint-dependencies", Treatment.RECORDED, "bounds of what comes in", "UV_CONSTRAINT", files=True),
    UvSetting("override-dependencies", Treatment.RECORDED, "what others require, replaced", "UV_OVERRIDE", files=True),
    UvSetting("exclude-dependencies", Treatment.RECORDED, "packages that are left out", "UV_EXCLUDE", files=True),
    UvSetting("dependency-metadata", Treatment.RECORDED, "requirements in place of a package's own"),
    UvSetting("exclude-newer", Treatment.DAY, "the last day that counts", "UV_EXCLUDE_NEWER"),
    UvSetting("exclude-newer-package", Treatment.RECORDED, "the same for a package", "UV_EXCLUDE_NEWER_PACKAGE"),
    UvSetting(
        "prerelease", Treatment.RECORDED, "which pre-releases count", "UV_PRERELEASE",
        usual=("if-necessary-or-explicit", "disallow"),
    ),
    UvSetting(
        "index-strategy", Treatment.RECORDED, "which of several indexes is taken", "UV_INDEX_STRATEGY",
        usual=("first-index",),
    ),
    UvSetting("sources", Treatment.SOURCES, "where a package is from"),
    UvSetting("environments", Treatment.TARGETS, "the targets that are locked for"),
    UvSetting("resolution", Treatment.REFUSED, _NEWEST, "UV_RESOLUTION", usual=("highest",)),
    UvSetting("no-binary", Treatment.BUILT, _WHEELS, "UV_NO_BINARY"),
    UvSetting("no-binary-package", Treatment.BUILT, _WHEELS, "UV_NO_BINARY_PACKAGE"),
    UvSetting(
        "torch-backend", Treatment.REFUSED, "the matrix decides on PyTorch's builds; `torch-index` lets it take more",
        "UV_TORCH_BACKEND",
    ),
    UvSetting("no-deps", Treatment.REFUSED, "a lock holds all that is needed"),
    UvSetting("no-emit-package", Treatment.REFUSED, "a lock holds all that is needed"),
    UvSetting(
        "no-sources", Treatment.SOURCELESS, "kgen takes packages from where `sources` says", "UV_NO_SOURCES",
    ),
    UvSetting(
        "no-sources-package", Treatment.SOURCELESS, "kgen takes packages from where `sources` says",
        "UV_NO_SOURCES_PACKAGE",
    ),
    UvSetting("no-extra", Treatment.REFUSED, "`extras` in kgen's settings names the extras of the project"),
    UvSetting("group", Treatment.REFUSED, "`groups` in kgen's settings names the groups of the project"),
    UvSetting("extra", Treatment.REFUSED, "`extras` in kgen's settings names the extras of the project"),
    UvSetting("all-extras", Treatment.REFUSED, "`extras` in kgen's settings names the extras of the project"),
)  # fmt: skip
"""All of them; the documentation has them in a table."""

_PLACES = ("target", "prefix")
"""Settings of `[tool.uv.pip]` that say where uv installs."""

_ALL = ":all:"
"""uv's name for every package."""

_HERE = " (of this machine)"
"""The suffix of what kgen records about variables, and about files outside the project."""


class PackageSource(NamedTuple):
    """Where uv takes a package from, according to one row of `sources`.

    Attributes:
        name: the name of the index; None for another place.
        url: the URL of the index; None for another place.
        place: another place in words, which a lock of wheels cannot hold; None for an index.
        marker: the targets for which the row holds; None for all.
        part: `extra` or `group`, and the name of that part of the project, if the row holds only when it is requested.
    """

    name: str | None = None
    url: str | None = None
    place: str | None = None
    marker: str | None = None
    part: tuple[str, str] | None = None


class Shape(NamedTuple):
    """The part of uv's configuration that affects a lock.

    Attributes:
        recorded: `key: value`, sorted, with a suffix for what is not part of the project.
        day: the last whole day that counts; None for no limit.
        environments: markers, of which a target must satisfy one; () for all targets.
        sources: package -> where it comes from; of several rows, the first that is true for a target counts.
        refused: settings with which kgen cannot make a lock.
        unbuilt: package, or `:all:` -> why kgen must take its wheels, which uv's settings exclude.
    """

    recorded: tuple[str, ...] = ()
    day: dt.date | None = None
    environments: tuple[str, ...] = ()
    sources: Mapping[str, tuple[PackageSource, ...]] = MappingProxyType({})
    refused: tuple[SettingsError, ...] = ()
    unbuilt: Mapping[str, SettingsError] = MappingProxyType({})

    @property
    def of_project(self) -> tuple[str, ...]:
        """The part of the record that belongs to the project, and is therefore the same on every machine."""
        return of_project(self.recorded)


def of_project(recorded: Iterable[str]) -> tuple[str, ...]:
    """The part of a record that belongs to the project."""
    return tuple(one for one in recorded if not one.endswith(_HERE))


def shape(root: Path, today: dt.date | None = None) -> Shape:
    """The part of uv's configuration that affects locks.

    Args:
        root: the folder from which uv looks for its configuration.
        today: the day from which relative dates count; None for today.
    """
    found = _Shape(root, today or dt.datetime.now(dt.timezone.utc).date())
    found.read()
    return Shape(
        tuple(sorted(dict.fromkeys(found.recorded))),
        found.day,
        found.environments,
        found.sources,
        tuple(found.refused),
        found.unbuilt,
    )


class _Shape:
    """Reads the configuration of one project."""

    def __init__(self, root: Path, today: dt.date) -> None:
        self._root = root
        self._today = today
        self.recorded: list[str] = []
        self.day: dt.date | None = None
        self.environments: tuple[str, ...] = ()
        self.sources: dict[str, tuple[PackageSource, ...]] = {}
        self.refused: list[SettingsError] = []
        self.unbuilt: dict[str, SettingsError] = {}

    def read(self) -> None:
        """Look at every setting, in variables and in files."""
        tables = list(_configuration_files(self._root))
        shared = _top(self._root)
        for table in _declared(self._root):
            if isinstance(sources := table.get("sources"), Mapping):
                self._note_sources(sources)
        for setting in SETTINGS:
            typed = None if setting.variable is None else host.variable(setting.variable)
            if typed:
                values = list(self._in_files(typed)) if setting.files else [typed]
                self._note(setting, values, str(setting.variable), mark=_HERE)
            for path, table in tables:
                pip = table.get("pip")
                for part in (table, pip if isinstance(pip, Mapping) else {}):
                    value = part.get(setting.key)
                    if value is None or value in setting.usual or setting.treatment is Treatment.SOURCES:
                        continue
                    mark = "" if path.is_relative_to(shared) else _HERE
                    self._note(setting, value if isinstance(value, list) else [value], path.name, mark=mark)

    def _in_files(self, typed: str) -> Iterator[str]:
        for name in typed.split():
            try:
                lines = files.read_text(self._root / name, encoding="utf-8-sig").splitlines()
            except (OSError, ValueError):
                continue  # uv says what is wrong with it
            yield from filter(None, (line.partition("#")[0].strip() for line in lines))

    def _note(self, setting: UvSetting, values: Sequence[object], where: str, *, mark: str) -> None:
        is_refused = setting.treatment is Treatment.SOURCELESS and self.sources
        if is_refused or setting.treatment in {Treatment.REFUSED, Treatment.BUILT}:
            self._note_refused(setting, values, where)
        if setting.treatment is Treatment.RECORDED:
            self.recorded += [f"{setting.key}: {_said(value)}{mark}" for value in values if value not in setting.usual]
        elif setting.treatment is Treatment.DAY and self.day is None:
            self.day = _last_whole_day(str(values[0]), self._today)
        elif setting.treatment is Treatment.TARGETS:
            self.environments = self.environments or tuple(map(str, values))

    def _note_refused(self, setting: UvSetting, values: Sequence[object], where: str) -> None:
        if values in (["false"], ["0"]) or set(map(str, values)) <= set(map(str, setting.usual)):
            return
        said = ", ".join(map(_said, values))
        mend = f"unset {setting.variable}" if where == setting.variable else f"take `{setting.key}` out of {where}"
        what = f"uv is configured with `{setting.key}` ({grammar.shown(said)}) in {where}"
        error = SettingsError(f"{what}: {setting.why}", hints=[mend])
        if setting.treatment is not Treatment.BUILT:
            self.refused.append(error)
            return
        for value in values:
            for name in value.split() if isinstance(value, str) else [_ALL]:
                self.unbuilt[_ALL if name in {_ALL, "true", "1"} else canonical_name(name)] = error

    def _note_sources(self, table: Mapping[str, Any]) -> None:
        urls = _indexes(self._root)
        for name, rows in table.items():
            listed = [row for row in (rows if isinstance(rows, list) else [rows]) if isinstance(row, Mapping)]
            if listed:
                self.sources.setdefault(canonical_name(name), tuple(_source_in(row, urls) for row in listed))


def _source_in(row: Mapping[str, Any], urls: Mapping[str, str]) -> PackageSource:
    """What a row of `sources` says.

    Args:
        row: the row.
        urls: the indexes that uv's configuration names, by their names.
    """
    parts = ((kind, canonical_name(row[kind])) for kind in ("extra", "group") if isinstance(row.get(kind), str))
    found = PackageSource(marker=_text(row.get("marker")), part=next(parts, None))
    index = _text(row.get("index"))
    if index is not None and index in urls:
        return found._replace(name=index, url=urls[index])
    return found._replace(
        place=_ELSEWHERE[next((key for key in ("git", "url", "path", "workspace") if key in row), "index")]
    )


def _indexes(root: Path) -> Mapping[str, str]:
    """The indexes with a name in uv's configuration: name -> URL."""
    urls: dict[str, str] = {}
    for table in _configuration(root):
        listed = table.get("index")
        for row in listed if isinstance(listed, list) else []:
            name, url = (_text(row.get(key)) for key in ("name", "url")) if isinstance(row, Mapping) else (None, None)
            if name and url:
                urls.setdefault(name, url)
    return urls


_ELSEWHERE = {
    "git": "a repository",
    "url": "a URL",
    "path": "a folder or file",
    "workspace": "the workspace",
    "index": "an index that uv's configuration does not name",
}


def recorded_source(package: str, index: str) -> str:
    """The record in a lock that a package comes from an index in uv's configuration."""
    return f"sources: {package} from {index}"


def indexes_of(recorded: Iterable[str], root: Path) -> Mapping[str, str]:
    """The packages that are from an index of uv's configuration, and its URL.

    Args:
        recorded: what a request records of uv's configuration.
        root: the folder from which on uv looks for its configuration.
    """
    named = [text.removeprefix(_SOURCES).partition(" from ") for text in recorded if text.startswith(_SOURCES)]
    urls = _indexes(root) if named else {}
    return {package: urls[index] for package, _, index in named if index in urls}


_SOURCES = recorded_source("", "").partition(" ")[0] + " "
"""How such a record begins."""


@functools.lru_cache(maxsize=64)
def bounds(recorded: tuple[str, ...], key: str = "constraint-dependencies") -> tuple[Requirement, ...]:
    """What uv is configured with that bounds versions; what cannot be read is left to uv to complain about.

    Args:
        recorded: what a request or a lock records of uv's configuration.
        key: the setting; `override-dependencies` bounds what kgen itself requires, and loosens what others do.
    """
    found = []
    for text in recorded:
        of, _, said = text.removesuffix(_HERE).partition(": ")
        with contextlib.suppress(ValueError):
            one = Requirement(said) if of == key else None
            found += [] if one is None or one.url is not None else [one]
    return tuple(found)


def days_of_packages(recorded: Iterable[str], today: dt.date | None = None) -> dict[str, dt.date | None]:
    """Package -> the last day of its own that counts for it; None where no day counts for it.

    Args:
        recorded: what a request or a lock records of uv's configuration.
        today: the day that durations are counted from; None for today.
    """
    found: dict[str, dt.date | None] = {}
    today = today or dt.datetime.now(dt.timezone.utc).date()
    for text in recorded:
        key, _, said = text.removesuffix(_HERE).partition(": ")
        if key != "exclude-newer-package":
            continue
        name, typed, day = said.partition("=")  # as in the variable; files have a table
        try:
            rows = json.loads(said) if said.startswith("{") else {name: day} if typed else {}
        except ValueError:
            continue
        for package, value in rows.items():
            found[canonical_name(package)] = None if value is False else _last_whole_day(str(value), today)
    return found


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)


def _last_whole_day(text: str, today: dt.date) -> dt.date | None:
    """The last day that counts in full, from what uv takes for a day: a date, a moment, or a duration until now.

    None where it is none of these, which uv itself complains about.
    """
    with contextlib.suppress(ValueError):
        moment = grammar.moment(text)
        day = moment.date()
        # without a zone it is a day for uv, whatever the hour, and all of that day counts
        return day if moment.tzinfo is None or day == dt.date.min else day - dt.timedelta(days=1)
    days = _duration(text)
    return None if days is None else today - days


def require_environments(root: Path) -> None:
    """See that uv installs into the environment that it is given, and nowhere else.

    Args:
        root: the folder from which on uv looks for its configuration.

    Raises:
        SettingsError: it is configured to install into a folder of its own.
    """
    for path, table in _configuration_files(root):
        pip = table.get("pip")
        places = {key: pip.get(key) for key in _PLACES} if isinstance(pip, Mapping) else {}
        for key, place in places.items():
            if place is not None:
                raise SettingsError(
                    f"uv is configured with `{key}` ({grammar.shown(_said(place))}) in {path}: it would install there,"
                    " and not into an environment of kgen",
                    hints=[f"take `{key}` out: edit {files.typed(path)}"],
                )


_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "month": 2592000, "year": 31536000}
_ISO = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T.*)?", re.IGNORECASE)


def _duration(text: str) -> dt.timedelta | None:
    """A duration in whole days, at least one, such as `7 days` or `P7D`; None if it is none."""
    written = _ISO.fullmatch(text.strip())
    if written is not None:
        years, months, weeks, days = (int(one or 0) for one in written.groups())
        return dt.timedelta(days=max(1, 365 * years + 30 * months + 7 * weeks + days))
    parts = re.findall(r"(\d+)\s*([a-z]+?)s?\b", text.lower())
    if not parts or any(unit not in _UNITS for _, unit in parts):
        return None
    seconds = sum(int(number) * _UNITS[unit] for number, unit in parts)
    return dt.timedelta(days=max(1, -(-seconds // _UNITS["day"])))


_NO_MATTER = re.compile(
    r"UV_(CACHE_DIR|NO_CACHE|PYTHON_DOWNLOADS|NO_PROGRESS|LINK_MODE|PROJECT_ENVIRONMENT|OFFLINE|COMPILE_BYTECODE"
    r"|CONCURRENT_\w+|HTTP_\w+|NATIVE_TLS|SYSTEM_CERTS|LOG_\w+|TOOL_\w+)"
)
"""Variables that no lock depends on."""

_SECRET = ("_PASSWORD", "_USERNAME", "_TOKEN")


def fingerprint(root: Path) -> str:
    """What is another text where uv is configured otherwise; no credentials go into it.

    Args:
        root: the folder from which on uv looks for its configuration.
    """
    variables = {
        name: [logins.apart(word)[0] for word in value.split()]
        for name, value in sorted(host.variables().items())
        if name.startswith("UV_") and not _NO_MATTER.fullmatch(name) and not name.endswith(_SECRET)
    }
    tables = [_without_logins(table) for table in _configuration(root)]
    said = json.dumps([variables, tables], sort_keys=True, default=str)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def _without_logins(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _without_logins(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_logins(one) for one in value]
    return logins.apart(value)[0] if isinstance(value, str) and "://" in value else value


def configured(root: Path) -> tuple[str, ...]:
    """The URLs of all indexes that uv is configured with, each with the credentials that uv has for it.

    uv tells no program which indexes have names, and so to which of them `UV_INDEX_<NAME>_PASSWORD` belongs, nor does
    it tell the credentials on what it has resolved. What it reads is read here: variables, and the files `uv.toml` and
    `pyproject.toml` of the project, the user and the system. What cannot be read is left to uv to complain about.

    Args:
        root: the folder from which on uv looks for its configuration.
    """
    named: list[tuple[str | None, str]] = []
    for variable in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        for word in (host.variable(variable) or "").split():
            name, separator, url = word.partition("=")
            is_named = bool(separator) and "://" not in name
            named.append((name, url) if is_named else (None, word))
    for table in _configuration(root):
        listed = table.get("index")
        rows = [row for row in listed if isinstance(row, Mapping)] if isinstance(listed, list) else []
        named += [(_text(row.get("name")), _text(row.get("url")) or "") for row in rows]
        pip = table.get("pip")
        for part in (table, pip if isinstance(pip, Mapping) else {}):
            extra = part.get("extra-index-url")
            urls = [part.get("index-url"), *(extra if isinstance(extra, list) else [extra])]
            named += [(None, url) for url in map(_text, urls) if url]
    return tuple(logins.with_variables([row for row in named if "://" in row[1]], host.variables()))


def wheel_reader(
    root: Path, *, cancel: threading.Event, cache: Path | None = None, within: float | None = None
) -> WheelReader:
    """A reader of wheels that trusts, logs in and waits as this machine and the project are configured.

    Args:
        root: the folder from which on uv looks for its configuration.
        cancel: set it to make the reader stop.
        cache: the folder for listings; None for no cache.
        within: seconds that all answers together may take, from now on; None for no such limit.

    Raises:
        SettingsError: KGEN_TIMEOUT is not a number of seconds.
    """
    from kgen.served.file import PATIENCE  # noqa: PLC0415 - slow to import, and not needed where nothing is read
    from kgen.wheels import WheelReader  # noqa: PLC0415 - as above

    return WheelReader(
        cache=cache,
        cancel=cancel,
        certificates=host.variable("SSL_CERT_FILE"),
        indexes=configured(root),
        patience=min(PATIENCE, host.seconds(PATIENCE)),
        within=within,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _configuration(root: Path) -> Iterator[Mapping[str, Any]]:
    """What is in uv's configuration files, the nearest first, and what of it a member of a workspace has itself."""
    found = [table for _, table in _configuration_files(root)]
    yield from found
    yield from (table for table in _declared(root) if table not in found)


def _top(root: Path) -> Path:
    """The folder whose files are part of the project: that of its workspace, where it is a member of one."""
    workspace = workspace_of(root)
    return root if workspace is None else workspace.root


def _declared(root: Path) -> Iterator[Mapping[str, Any]]:
    """`[tool.uv]` of the project, then of its workspace: where uv reads `sources`, and the indexes that they name."""
    for folder in dict.fromkeys((root, _top(root))):
        table = _table(folder / _PROJECTS)
        if table is not None:
            yield table


def _configuration_files(root: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The configuration files of uv, the nearest first, with what is in them."""
    only = host.variable("UV_CONFIG_FILE")
    if only:
        yield from _one_of(Path(only))
    elif not host.variable("UV_NO_CONFIG"):
        top = _top(root)  # what its members have is none of uv's configuration
        nearest = (found for folder in (top, *top.parents) for found in _one_of(folder / _OWN, folder / _PROJECTS))
        yield from itertools.islice(nearest, 1)
        home, config = host.home(), host.variable("XDG_CONFIG_HOME")
        folders = [Path(config)] if config else [home / ".config"] if home else []
        folders += map(Path, filter(None, (host.variable("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")))
        for folder in (*folders, Path("/etc")):
            yield from _one_of(folder / "uv" / _OWN)


def _one_of(*paths: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The first of these files that has a configuration; nothing if none has."""
    for path in paths:
        table = _table(path)
        if table is not None:
            yield path, table
            return


def _table(path: Path) -> Mapping[str, Any] | None:
    import tomli  # noqa: PLC0415 - not every use of uv needs it

    replay.looked(path)
    try:
        if not files.is_file(path) or path.stat().st_size > _CONFIGURATION:
            return None
        data: Mapping[str, Any] = tomli.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    if path.name != _PROJECTS:
        return data
    tool = data.get("tool")
    own = tool.get("uv") if isinstance(tool, Mapping) else None
    return own if isinstance(own, Mapping) else None
