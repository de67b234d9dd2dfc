"""Rows of the matrix -> the text of its files, in their common form.

Rows are added and changed, but files are never rewritten: everything else in a file, including comments and order,
stays byte for byte.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import tomli
from packaging.version import InvalidVersion, Version

_WIDTH = 130
"""Characters of an array's texts, without quotes, that fit on one line."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_COMMENTS = re.compile(r"(?m)(?:^#[^\n]*\n)+\Z")
_VERSION = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
_FEW = 3
"""The number of tables in an array that stay on one line, however long, because their texts would not get shorter."""


def toml(value: object) -> str:
    """A value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, dt.date)):
        return str(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key(name)} = {toml(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, value))}]"
    # JSON's escapes are TOML's, but for DEL, which JSON leaves as it is
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """A key, quoted if necessary."""
    return name if _BARE.fullmatch(name) else toml(name)


def _line(name: str, value: object) -> str:
    """A key with its value; a long array has one item per line."""
    if isinstance(value, (list, tuple)):
        tables = any(isinstance(item, Mapping) for item in value)
        if len(value) > _FEW if tables else len(", ".join(map(str, value))) > _WIDTH:
            return f"{key(name)} = [\n" + "".join(f"    {toml(item)},\n" for item in value) + "]"
    return f"{key(name)} = {toml(value)}"


def _block(heading: str, row: Mapping[str, Any], *, single: bool = False) -> str:
    lines = [f"{key(name)} = {toml(value)}" if single else _line(name, value) for name, value in row.items()]
    return "\n".join([heading, *lines]) + "\n"


def release_text(row: Mapping[str, Any]) -> str:
    """A release of a framework, in the form of its file."""
    own = {name: value for name, value in row.items() if name != "build"}
    blocks = [_block("[[release]]", own), *(_block("[[release.build]]", build) for build in row.get("build", ()))]
    return "\n".join(blocks)


def toolkit_text(row: Mapping[str, Any]) -> str:
    """A release of the CUDA toolkit, in the form of `toolkits.toml`."""
    own = {name: value for name, value in row.items() if name != "extras"}
    blocks = [_block("[[toolkit]]", own)]
    if row.get("extras"):
        blocks.append(_block("[toolkit.extras]", row["extras"], single=True))
    return "\n".join(blocks)


def row_text(heading: str, row: Mapping[str, Any]) -> str:
    """A row without tables, in the form of its file."""
    return _block(heading, row)


def library_text(data: Mapping[str, Any]) -> str:
    """The file of a library.

    Args:
        data: the content, as `tomli` parses it; `files` has what wheels support and when they were published.
    """
    own = {name: value for name, value in data.items() if name != "files"}
    # what was yanked may be long; it has always stood on one line
    blocks = ["".join(f"{key(name)} = {toml(value)}\n" for name, value in own.items())]
    for group in data.get("files", ()):
        fits = {name: value for name, value in group.items() if name != "releases"}
        blocks += [_block("[[files]]", fits, single=True), _block("[files.releases]", group["releases"])]
    return "\n".join(blocks)


def version_key(text: str) -> Version:
    """A sort key for versions; invalid text comes first."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


def rows(text: str, heading: str) -> tuple[str, dict[str, str]]:
    """The beginning of a file, and its rows by version; together they are the file.

    Args:
        text: the file.
        heading: the heading of each row, `[[release]]`; comments directly above it belong to the row.
    """
    parts = re.split(rf"(?m)^(?={re.escape(heading)}\n)", text)
    for place in range(len(parts) - 1):
        comments = _COMMENTS.search(parts[place])
        if comments is not None:
            parts[place] = parts[place][: comments.start()]
            parts[place + 1] = comments[0] + parts[place + 1]
    found: dict[str, str] = {}
    for part in parts[1:]:
        match = _VERSION.search(part)
        found[match[1] if match else f"?{len(found)}"] = part
    return parts[0], found


def with_rows(text: str, heading: str, added: Mapping[str, str]) -> str:
    """The file with added rows, each before the first of a newer version; one of the same version is replaced.

    Args:
        text: the file.
        heading: the heading of each row.
        added: version -> its row.
    """
    head, found = rows(text, heading)
    parts = list(found.items())
    for version in sorted(added, key=version_key):
        row = added[version].strip("\n") + "\n"
        same = next((place for place, (other, _) in enumerate(parts) if other == version), None)
        if same is not None:
            parts[same] = (version, row if same == len(parts) - 1 else f"{row}\n")
            continue
        place = next(
            (place for place, (other, _) in enumerate(parts) if version_key(other) > version_key(version)), len(parts)
        )
        if place == len(parts):
            before, old = parts[-1] if parts else ("", head)
            old = old.rstrip("\n") + "\n\n" if old else old
            head = head if parts else old
            parts[-1:] = [(before, old)] if parts else []
        parts.insert(place, (version, row if place >= len(parts) else f"{row}\n"))
    return head + "".join(row for _, row in parts)


def edited(row: str, heading: str, change: Callable[[Any], None]) -> str:
    """A row with changed values, and everything else in it unchanged, including comments.

    Args:
        row: the text of the row.
        heading: its heading, `[[release]]`.
        change: changes the row, a tomlkit table.
    """
    import tomlkit  # noqa: PLC0415 - slow to import, and most refreshes change no row

    document = tomlkit.parse(row)
    change(document[heading.strip("[]")][0])
    return tomlkit.dumps(document)


def with_builds(row: str, builds: Iterable[Mapping[str, Any]]) -> str:
    """The text of a release with added builds after its own."""
    own = row.rstrip("\n")
    return f"{own}\n" + "".join(f"\n{_block('[[release.build]]', build)}" for build in builds) + row[len(own) + 1 :]


def put_after(table: Any, name: str, value: object, *, after: str) -> None:  # noqa: ANN401 - a table of tomlkit's
    """Set a key of a row; a new key comes after another one."""
    import tomlkit  # noqa: PLC0415 - as above

    if name in table:
        table[name] = value
        return
    item = tomlkit.item(value)
    names = list(table)
    if after in names:
        table._insert_after(after, name, item) if hasattr(table, "_insert_after") else table.value._insert_after(  # noqa: SLF001
            after, name, item
        )
    else:
        table.append(name, item)


class Fit(NamedTuple):
    """A release of a library on platforms with wheels for the same Pythons.

    Attributes:
        version: its version.
        platforms: platform -> the glibc that its wheels need, empty where glibc does not apply.
        pythons: CPython minors that have a wheel; () for any.
        day: the day on which its first file was published.
    """

    version: str
    platforms: Mapping[str, str]
    pythons: tuple[str, ...]
    day: dt.date


def grouped(fits: Iterable[Fit]) -> list[dict[str, Any]]:
    """Releases of a library, grouped by what their wheels support, in the form of `files` in its file."""
    groups: dict[tuple[object, ...], dict[str, Any]] = {}
    for fit in sorted(fits, key=lambda fit: version_key(fit.version)):
        group = groups.setdefault(
            (tuple(fit.platforms.items()), fit.pythons),
            {
                "platforms": dict(fit.platforms),
                **({"pythons": list(fit.pythons)} if fit.pythons else {}),
                "releases": {},
            },
        )
        group["releases"][fit.version] = fit.day
    return list(groups.values())


def fits(data: Mapping[str, Any]) -> list[Fit]:
    """The releases in a library's file, in its order."""
    return [
        Fit(version=version, platforms=group["platforms"], pythons=tuple(group.get("pythons", ())), day=day)
        for group in data.get("files", ())
        for version, day in group["releases"].items()
    ]


def is_canonical(text: str) -> bool:
    """Whether a library's file is exactly as kgen would write it, so that writing it loses nothing."""
    return library_text(tomli.loads(text)) == text


def with_releases(text: str, groups: Iterable[Mapping[str, Any]]) -> str:
    """A hand-written library file with groups of releases added at its end."""
    blocks = [library_text({"files": [group]}) for group in groups]
    return text.rstrip("\n") + "\n" + "".join(f"\n{block.lstrip(chr(10))}" for block in blocks)
