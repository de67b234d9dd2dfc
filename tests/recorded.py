"""An index as it was on a day: pages, METADATA and ends of wheels, recorded once and served on the loopback interface.

`python -m tests.record_index` makes the record. It holds what a lock of the reference environments asks for:
of pages the wheels that these environments can use, of a large wheel its size, its list of files and its METADATA.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import lzma
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tests.loopback import Handler, Server, running

DATA = Path(__file__).parent / "data"
RECORD = DATA / "index.json.xz"
MATRIX = DATA / "matrix"
"""The matrix whose answers the tests expect: a copy, so that a refreshed one changes no answer."""

REFERENCE = DATA / "reference"
"""The settings and the locks that were made from the record with that matrix."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A wheel as a page names it.

    Attributes:
        filename: its name.
        sha256: its digest.
        requires_python: what the page says about Python; empty if nothing.
        uploaded: the day, in ISO form; empty if the index does not say.
        yanked: why it was yanked; None if it was not.
    """

    filename: str
    sha256: str
    requires_python: str = ""
    uploaded: str = ""
    yanked: str | None = None

    @property
    def release(self) -> str:
        """Name and version as the file name has them."""
        return "-".join(self.filename.split("-")[:2]).lower()


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept of a wheel.

    Attributes:
        size: of the whole wheel, in bytes.
        parts: first byte -> bytes, as far as they are kept; the rest is served as zeros.
    """

    size: int
    parts: dict[int, bytes]

    def piece(self, start: int, end: int) -> bytes:
        """The bytes of a range."""
        found = bytearray(end - start)
        for begin, part in self.parts.items():
            first, last = max(start, begin), min(end, begin + len(part))
            if first < last:
                found[first - start : last - start] = part[first - begin : last - begin]
        return bytes(found)


@dataclass(kw_only=True)
class Record:
    """Everything that is known of an index.

    Attributes:
        pages: project -> its wheels, in the page's order.
        metadata: file name of a wheel -> its METADATA.
        wheels: file name of a wheel -> what is kept of it.
        backfilled: releases, as `Listed.release`, that appeared below the cut-off after the locks had been made.
    """

    pages: dict[str, list[Listed]] = field(default_factory=dict)
    metadata: dict[str, bytes] = field(default_factory=dict)
    wheels: dict[str, Kept] = field(default_factory=dict)
    backfilled: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Writes the record; the same content gives the same bytes."""
        data = {
            "pages": {name: [vars(row) for row in rows] for name, rows in self.pages.items()},
            "metadata": {name: text.decode() for name, text in self.metadata.items()},
            "wheels": {
                name: [kept.size, {str(at): base64.b64encode(part).decode() for at, part in kept.parts.items()}]
                for name, kept in self.wheels.items()
            },
            "backfilled": sorted(self.backfilled),
        }
        path.write_bytes(lzma.compress(json.dumps(data, sort_keys=True).encode(), preset=9))


def load(path: Path = RECORD) -> Record:
    """The record in a file."""
    data: Any = json.loads(lzma.decompress(path.read_bytes()))
    return Record(
        pages={name: [Listed(**row) for row in rows] for name, rows in data["pages"].items()},
        metadata={name: text.encode() for name, text in data["metadata"].items()},
        wheels={
            name: Kept(size=size, parts={int(at): base64.b64decode(part) for at, part in parts.items()})
            for name, (size, parts) in data["wheels"].items()
        },
        backfilled=data["backfilled"],
    )


class _Handler(Handler):
    def answer(self) -> None:
        index = cast("RecordedIndex", self.server)
        if match := re.fullmatch(r"/simple/([a-z0-9-]+)/", self.path):
            self._page(index, match[1])
            return
        filename = self.path.removeprefix("/files/").replace("%2B", "+")
        if filename.endswith(".metadata"):
            text = index.metadata(filename.removesuffix(".metadata"))
            self._missing(index) if text is None else self.send(200, text)
            return
        kept = index.wheel(filename)
        if kept is None:
            self._missing(index)
            return
        start, end = self.range_of(kept.size) or (0, kept.size)
        headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {start}-{end - 1}/{kept.size}"}
        self.send(206 if self.headers.get("Range") else 200, kept.piece(start, end), headers)

    def _missing(self, index: RecordedIndex) -> None:
        with index.guard:
            index.missed.append(self.path)
        self.send(404)

    def _page(self, index: RecordedIndex, name: str) -> None:
        rows = index.page(name)
        if rows is None:
            self._missing(index)
            return
        links = "".join(map(_link, rows))
        body = f"<!DOCTYPE html><html><body>{links}</body></html>"
        self.send(200, body.encode(), {"Content-Type": "text/html"})


def _link(row: Listed) -> str:
    said = {"data-requires-python": row.requires_python or None, "data-yanked": row.yanked}
    said["data-upload-time"] = f"{row.uploaded}T12:00:00Z" if row.uploaded else None
    text = "".join(f' {key}="{html.escape(value)}"' for key, value in said.items() if value is not None)
    place = row.filename.replace("+", "%2B")
    return f'<a href="../../files/{place}#sha256={row.sha256}" data-core-metadata="true"{text}>{row.filename}</a>\n'


class RecordedIndex(Server):
    """Serves a record.

    Args:
        record: what is served.
        hidden: releases that are not on the pages yet.
        complete: is given a record and what was asked for and is not in it, to put it there; None if nothing can.

    Attributes:
        missed: the paths that were asked for and are not in the record.
    """

    def __init__(
        self,
        record: Record,
        *,
        hidden: Collection[str] = (),
        complete: Callable[[Record, str, str], None] | None = None,
    ) -> None:
        super().__init__(_Handler)
        self.record = record
        self.hidden = frozenset(hidden)
        self.missed: list[str] = []
        self._complete = complete

    @property
    def url(self) -> str:
        return f"{self.root}/simple"

    def page(self, name: str) -> list[Listed] | None:
        """The wheels of a project that are not hidden."""
        self._look("pages", name)
        rows = self.record.pages.get(name)
        return None if rows is None else [row for row in rows if row.release not in self.hidden]

    def metadata(self, filename: str) -> bytes | None:
        """The METADATA of a wheel."""
        self._look("metadata", filename)
        return self.record.metadata.get(filename)

    def wheel(self, filename: str) -> Kept | None:
        """What is kept of a wheel."""
        self._look("wheels", filename)
        return self.record.wheels.get(filename)

    def _look(self, kind: str, name: str) -> None:
        if self._complete is not None and name not in getattr(self.record, kind):
            self._complete(self.record, kind, name)


def serving(index: RecordedIndex) -> contextlib.AbstractContextManager[RecordedIndex]:
    """The index at work."""
    return running(index)
