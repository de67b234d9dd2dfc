"""What uv is configured with, as it reads it: variables, and the files of the project, the user and the system."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kgen import host, logins

_OWN, _PROJECTS = "uv.toml", "pyproject.toml"

_CONFIGURATION = 1 << 20
"""Bytes that a configuration file has at most."""

_NO_MATTER = ("UV_CACHE_DIR", "UV_PYTHON_DOWNLOADS", "UV_NO_PROGRESS", "UV_LINK_MODE", "UV_PROJECT_ENVIRONMENT")
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
        if name.startswith("UV_") and name not in _NO_MATTER and not name.endswith(_SECRET)
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


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _configuration(root: Path) -> Iterator[Mapping[str, Any]]:
    """What is in uv's configuration files, the nearest first."""
    only = host.variable("UV_CONFIG_FILE")
    if only:
        yield from _one_of(Path(only))
    elif not host.variable("UV_NO_CONFIG"):
        nearest = (table for folder in (root, *root.parents) for table in _one_of(folder / _OWN, folder / _PROJECTS))
        yield from itertools.islice(nearest, 1)
        home, config = host.home(), host.variable("XDG_CONFIG_HOME")
        folders = [Path(config)] if config else [home / ".config"] if home else []
        folders += map(Path, filter(None, (host.variable("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")))
        for folder in (*folders, Path("/etc")):
            yield from _one_of(folder / "uv" / _OWN)


def _one_of(*paths: Path) -> Iterator[Mapping[str, Any]]:
    """The configuration in the first of these files that has one; nothing if none has."""
    for path in paths:
        table = _table(path)
        if table is not None:
            yield table
            return


def _table(path: Path) -> Mapping[str, Any] | None:
    import tomli  # noqa: PLC0415 - not every use of uv needs it

    try:
        if not path.is_file() or path.stat().st_size > _CONFIGURATION:
            return None
        data: Mapping[str, Any] = tomli.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if path.name != _PROJECTS:
        return data
    tool = data.get("tool")
    own = tool.get("uv") if isinstance(tool, Mapping) else None
    return own if isinstance(own, Mapping) else None
