"""Reads a Python index: the page of a project, in JSON or in HTML, and the files that it lists.

Does not interpret the files.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import html
import json
import re
import urllib.parse
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from kgen.errors import MalformedAnswerError
from kgen.logins import apart
from kgen.model import grammar, wheelname
from kgen.served.cache import keep, kept
from kgen.served.file import Page
from kgen.transport import why_not

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.5, text/html;q=0.1"
"""JSON first: it has sizes, and upload times that HTML has only by convention."""

_ANCHOR = re.compile(r"""<a\b((?:[^>"']|"[^"]*"|'[^']*')*)>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([a-zA-Z][\w:-]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_BASE = re.compile(r"""<base\b[^>]*\bhref\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
_SHA256 = re.compile(r"sha256=([0-9a-f]{64})", re.IGNORECASE)
_FILES = (".whl", ".tar.gz", ".zip", ".egg", ".exe", ".tar.bz2", ".tgz", ".msi", ".rpm")
_WORDS = 300
_unescape = functools.lru_cache(4096)(html.unescape)
"""Unescapes attributes, of which there are few distinct values; usually only the sign in `>=3.10` is escaped."""

_OK, _UNCHANGED, _ABSENT = 200, 304, 404
_HEADER = "kgen-page 1"


class Asker(Protocol):
    """Fetches pages: :class:`kgen.wheels.WheelReader`."""

    def page(self, url: str, *, name: str, headers: Mapping[str, str], absent: Collection[int]) -> Page:
        """The response to a GET request with these headers."""


NO_WHEEL = ("", "", "")
"""The tag of a file that is not a wheel."""


class IndexFile(NamedTuple):
    """A wheel or a source distribution that an index lists.

    Attributes:
        filename: its name.
        url: its URL.
        sha256: its digest; empty if the index states none.
        version: the version in its name, as written there.
        tags: the three parts of a wheel's tag: Pythons, ABIs, platforms; `NO_WHEEL` for a source distribution.
        requires_python: the Python versions that the index states; empty if none.
        uploaded: the day of its upload, in UTC; None if the index does not state it.
        yanked: the reason why it was yanked; None if it was not.
        sidecar: the sha256 of the METADATA that the index serves beside the file (PEP 658), or empty if the digest is
            unknown; None if the index does not serve it.
        variant: the label of a wheel variant, with which its name ends (drafts of PEP 817 and 825); empty for other
            files. Tags do not tell on which machine such a wheel runs, and uv ignores it unless its preview of them is
            on.
    """

    filename: str
    url: str
    sha256: str
    version: str
    tags: tuple[str, str, str]
    requires_python: str
    uploaded: dt.date | None
    yanked: str | None
    sidecar: str | None
    variant: str = ""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A project on an index; its page is parsed when its files are requested.

    Attributes:
        index: the index's URL, without secrets.
        name: the project.
        page: the index's response.
    """

    index: str
    name: str
    page: Page

    @functools.cached_property
    def files(self) -> tuple[IndexFile, ...]:
        """The listed files, in the page's order.

        Raises:
            OutsideError: the response is not a page of an index.
        """
        return tuple(parse(self.page, self.name))

    @property
    def digest(self) -> str:
        """A digest that changes when the page changes."""
        return hashlib.sha256(f"{self.page.url} {self.page.kind}\n".encode() + self.page.body).hexdigest()


def shown(url: str) -> str:
    """A URL that is safe to print: without a password, and without a query, which may be one too."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


class Index:
    """Looks up projects on indexes, in their order of priority; safe to use from many threads.

    As with uv, the first index that has a project is the only one used for it. Pages are cached with the validators
    that the server gave, so that it can answer whether they have changed.

    Args:
        urls: URLs of simple indexes, the most important first.
        asker: fetches pages.
        cache: the folder for pages; None for no cache.
        absent: the statuses that mean that an index does not have the project. File stores without listings answer 403.
    """

    def __init__(
        self, urls: tuple[str, ...], asker: Asker, *, cache: Path | None, absent: Collection[int] = (_ABSENT,)
    ) -> None:
        self._urls = urls
        self._absent = absent
        self._asker = asker
        self._cache = cache

    def project(self, name: str) -> Listed | None:
        """A project; None if no index has it.

        Raises:
            OutsideError: an index cannot be queried.
        """
        for url in self._urls:
            page = self._page(f"{url.rstrip('/')}/{name}/", name)
            if page is not None:
                return Listed(index=shown(url), name=name, page=page)
        return None

    def _page(self, url: str, name: str) -> Page | None:
        kept = self._load(url)
        headers = {"Accept": ACCEPT}
        if kept is not None:
            headers |= {"If-None-Match": kept.tag} if kept.tag else {}
            headers |= {"If-Modified-Since": kept.modified} if kept.modified else {}
        page = self._asker.page(url, name=f"the page of {name}", headers=headers, absent=self._absent)
        if page.status == _UNCHANGED:
            if kept is None:
                raise MalformedAnswerError(f"the page of {name}: {shown(url)} says that nothing has changed, unasked")
            return kept
        if page.status != _OK:
            return None
        if page.tag or page.modified:
            self._store(url, page)
        return page

    def _file(self, url: str) -> Path | None:
        # without credentials: they could be guessed from the digest
        plain = apart(url)[0]
        return None if self._cache is None else self._cache / hashlib.sha256(plain.encode()).hexdigest()

    def _load(self, url: str) -> Page | None:
        """The cached page; None if there is none, or it is damaged."""
        file = self._file(url)
        if file is None:
            return None
        try:
            packed = kept(file, _HEADER)
            if packed is None:
                return None
            place, kind, tag, modified, body = json.loads(zlib.decompress(packed))
            return Page(url=place, status=_OK, kind=kind, body=body.encode(), tag=tag, modified=modified)
        except (OSError, ValueError, TypeError, AttributeError, zlib.error):
            return None

    def _store(self, url: str, page: Page) -> None:
        file = self._file(url)
        if file is None:
            return
        with contextlib.suppress(OSError, UnicodeDecodeError):
            text = json.dumps([page.url, page.kind, page.tag, page.modified, page.body.decode()])
            keep(file, _HEADER, zlib.compress(text.encode(), 1))


def parse(page: Page, name: str) -> Iterator[IndexFile]:
    """The files that a page lists.

    Raises:
        OutsideError: the response is not a page of an index.
    """
    try:
        text = page.body.decode()
        rows = _json_rows(json.loads(text)) if "json" in page.kind else _html_rows(text)
        found = list(rows)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MalformedAnswerError(
            f"the page of {name}: {shown(page.url)} is not a page of an index: {error}"[:_WORDS],
            hints=[f"curl --location {shown(page.url)}/"],
        ) from None
    if not found:
        raise MalformedAnswerError(
            f"the page of {name}: {shown(page.url)} names no file (is it a login page?)",
            hints=[f"curl --location {shown(page.url)}/"],
        )
    base = _BASE.search(text[:4096]) if "json" not in page.kind else None
    return _files(found, urllib.parse.urljoin(page.url, html.unescape(base[1])) if base else page.url, page.url)


@dataclass(slots=True)
class _Row:
    """A file as listed on a page."""

    filename: str
    url: str
    sha256: str
    requires_python: str
    uploaded: str
    yanked: str | None
    sidecar: str | None


def _json_rows(data: Any) -> Iterator[_Row]:  # noqa: ANN401 - whatever an index says
    for row in data["files"]:
        yanked = row.get("yanked", False)
        about = row.get("core-metadata", row.get("dist-info-metadata", False))
        yield _Row(
            filename=str(row["filename"]),
            url=str(row["url"]),
            sha256=str(row.get("hashes", {}).get("sha256", "")).lower(),
            requires_python=str(row.get("requires-python") or ""),
            uploaded=str(row.get("upload-time") or ""),
            yanked=None if yanked is False or yanked is None else "" if yanked is True else str(yanked),
            sidecar=None if not about else str(about.get("sha256", "")) if isinstance(about, dict) else "",
        )


def _html_rows(text: str) -> Iterator[_Row]:
    for match in _ANCHOR.finditer(text):
        found = {name.lower(): double or single or bare for name, double, single, bare in _ATTRIBUTE.findall(match[1])}
        if "&" in match[1]:
            found = {name: _unescape(value) if "&" in value else value for name, value in found.items()}
        href, _, fragment = found.get("href", "").partition("#")
        filename = href.partition("?")[0].rpartition("/")[2]
        filename = urllib.parse.unquote(filename) if "%" in filename else filename
        if not filename.endswith(_FILES):
            continue
        digest = _SHA256.search(fragment)
        about = found.get("data-core-metadata", found.get("data-dist-info-metadata"))
        named = _SHA256.search(about or "")
        yield _Row(
            filename=filename,
            url=href,
            sha256=digest[1].lower() if digest else "",
            requires_python=found.get("data-requires-python", ""),
            uploaded=found.get("data-upload-time", ""),
            yanked=found.get("data-yanked"),
            sidecar=None if about in {None, "", "false"} else named[1].lower() if named else "",
        )


def _files(rows: list[_Row], base: str, asked: str) -> Iterator[IndexFile]:
    login = urllib.parse.urlsplit(asked)
    plain = "@" not in login.netloc

    led: set[str] = set()

    def refuse_astray(url: str) -> None:
        place = "/".join(url.split("/", 3)[:3])
        if place not in led:
            reason = why_not(asked, url, downgrade=True)
            if reason is not None:
                raise MalformedAnswerError(
                    f"the page {shown(asked)} {reason}", hints=[f"curl --location {shown(asked)}/"]
                )
            led.add(place)

    def absolute(url: str) -> bool:
        # joining URLs takes longer than everything else, and nearly all of thousands of files need no joining
        return plain and url.startswith(("https://", "http://"))

    for row in rows:
        version, tags, variant = "", NO_WHEEL, ""
        wheel = wheelname.parse(row.filename)
        if wheel is not None:
            version, tags, variant = wheel.version, wheel.tags, wheel.variant
        elif row.filename.endswith((".tar.gz", ".zip")):
            version = row.filename.removesuffix(".tar.gz").removesuffix(".zip").rpartition("-")[2]
        if not version:
            continue
        url = row.url if absolute(row.url) else _with_login(urllib.parse.urljoin(base, row.url), login)
        refuse_astray(url)
        yield IndexFile(
            filename=row.filename,
            url=url,
            sha256=row.sha256,
            version=version,
            tags=tags,
            requires_python=row.requires_python,
            uploaded=_day(row.uploaded),
            yanked=row.yanked,
            sidecar=row.sidecar,
            variant=variant,
        )


def _with_login(url: str, asked: urllib.parse.SplitResult) -> str:
    """A file's URL with the credentials of its index, if both are on the same host, as uv does."""
    login, _, host = asked.netloc.rpartition("@")
    if not login:  # most
        return url
    parts = urllib.parse.urlsplit(url)
    same = (parts.scheme, parts.netloc) == (asked.scheme, host)
    return urllib.parse.urlunsplit(parts._replace(netloc=asked.netloc)) if same else url


@functools.lru_cache(4096)
def _day(text: str) -> dt.date | None:
    """The UTC day of a timestamp; None if the index states none."""
    try:
        # as the standard has it, thousands of times a page; in which second it was is nothing to kgen
        if text.endswith("Z") and text[10:11] == "T":
            return grammar.day(text[:10])
        return grammar.moment(text).date()
    except ValueError:
        return None
