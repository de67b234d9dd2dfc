"""The sharded indexes in rattler's cache, and whether they are current, determined without rattler.

A sharded channel has an index for each platform, with a digest of everything about each package. rattler stores it with
the header of the HTTP response: a mark, the length of the header, the header, and the decompressed index. The header is
MessagePack; this module finds a few texts in it by the bytes before them. What it does not find, it leaves to rattler,
which takes longer to start than everything in this module.
"""

from __future__ import annotations

import calendar
import contextlib
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from kgen import host, lockfiles
from kgen.model import grammar

NAME = "repodata_shards.msgpack.zst"
_KEPT = ".shards-cache-v1"
_MARK = b"SHARD-CACHE-V1"
_PATIENCE = 10
"""Seconds within which a channel has to confirm that nothing is new; a slower one is left to rattler."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_UNCHANGED = 304


class KeptIndex(NamedTuple):
    """An index in the cache.

    Attributes:
        digest: the digest of the index.
        written: when rattler wrote it, after fetching or confirming it, in nanoseconds.
        etag: the server's tag for this state; None if it sent none.
        fresh_until: until when it is fresh according to the server, in seconds; rattler does not ask before.
    """

    digest: str
    written: int
    etag: str | None
    fresh_until: float


class Place(NamedTuple):
    """The URLs of an index.

    Attributes:
        url: its URL on its channel.
        asked: the URL to query, which differs for a mirror; None if only rattler can query it.
    """

    url: str
    asked: str | None


def usual_cache() -> Path:
    """The folder in which tools based on rattler cache channels' answers and packages, on Linux and macOS."""
    named = host.variable("RATTLER_CACHE_DIR")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path(host.home() or "/", "Library/Caches/rattler/cache")
    caches = host.variable("XDG_CACHE_HOME")
    return Path(caches or Path(host.home() or "/", ".cache"), "rattler", "cache")


def kept(cache: Path, urls: Iterable[str]) -> dict[str, KeptIndex]:
    """The indexes with these URLs in the cache.

    Args:
        cache: rattler's cache.
        urls: their URLs on their channels.

    Returns:
        URL -> index; without those that are missing, or that exist twice.
    """
    wanted = {url.encode(): url for url in urls}
    found: dict[str, KeptIndex | None] = {}
    for path in (cache / "repodata").glob(f"*{_KEPT}"):
        try:
            written = path.stat().st_mtime_ns
            content = path.read_bytes()
        except OSError:
            continue
        start = len(_MARK) + 4
        end = start + int.from_bytes(content[len(_MARK) : start], "little")
        head = content[start:end]
        url = next((text for asked, text in wanted.items() if _is_text(head, asked)), None)
        if url is None or not content.startswith(_MARK) or end >= len(content):
            continue
        mine = KeptIndex(lockfiles.digest(content[end:]), written, _etag(head), _fresh_until(head, written / 1e9))
        found[url] = None if url in found else mine
    return {url: index for url, index in found.items() if index is not None}


def state(indexes: Sequence[tuple[str, str]]) -> str:
    """A digest of the state of channels.

    Args:
        indexes: the URL and the digest of each index, in the order of the channels.
    """
    return lockfiles.digest(repr(list(indexes)).encode())


def unchanged(cache: Path, places: Sequence[Place]) -> str | None:
    """The state of channels, if the indexes in the cache are current; determined without rattler.

    An index is current if it is still fresh according to its server, or if the server confirms that nothing is new.

    Args:
        cache: rattler's cache.
        places: the indexes, in the order of the channels.

    Returns:
        The state; None if an index has changed, or cannot be checked.
    """
    found = kept(cache, (place.url for place in places))
    if len(found) < len(places):
        return None
    now = time.time()
    asked = []
    for place in places:
        index = found[place.url]
        if index.fresh_until > now:
            continue
        if index.etag is None or place.asked is None:
            return None
        asked.append((place.asked, index.etag))
    if asked and (host.is_offline() or not _confirmed(asked)):
        return None
    return state([(place.url, found[place.url].digest) for place in places])


def _confirmed(asked: Sequence[tuple[str, str]]) -> bool:
    """Whether the servers confirm that each of these URLs still has this tag."""
    proxied = any(host.variable(name) or host.variable(name.upper()) for name in _PROXIES)
    import http.client  # noqa: PLC0415 - with TLS, and only where a channel is asked

    connections: dict[tuple[str, str], http.client.HTTPConnection] = {}
    try:
        for url, etag in asked:
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or grammar.without_credentials(url) != url:
                return False
            if proxied and not _direct(parts.netloc):
                return False
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            where = parts.scheme, parts.netloc
            if where not in connections:
                connections[where] = kind(parts.netloc, timeout=_PATIENCE)
            connections[where].request("GET", parts.path, headers={"If-None-Match": etag, "User-Agent": "kgen"})
            with connections[where].getresponse() as answer:
                # any other status is left to rattler
                if answer.status != _UNCHANGED:
                    return False
                answer.read()
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        for connection in connections.values():
            connection.close()
    return True


def _direct(netloc: str) -> bool:
    """Whether the proxy settings in the environment exempt this host."""
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # noqa: PLC0415 - as above

    return bool(proxy_bypass_environment(netloc))


# -- the head ----------------------------------------------------------------------------------------------------------


def _is_text(head: bytes, text: bytes) -> bool:
    """Whether the header contains this as a complete text."""
    size = len(text)
    short = bytes([0xD9, size]) if size < 1 << 8 else b"\xda" + size.to_bytes(2, "big")
    return any(before + text in head for before in (short, *([bytes([0xA0 | size])] if size < 1 << 5 else [])))


def _header(head: bytes, name: bytes) -> bytes | None:
    """The value of a header field of the response, stored as an array of bytes; None unless it occurs once."""
    # the request comes first, with header fields of its own
    marked = bytes([0xA0 | len(name)]) + name + b"\x91"
    found = list(re.finditer(re.escape(marked) + rb"(?:([\x90-\x9f])|\xdc(..))", head, re.DOTALL))
    if len(found) != 1:
        return None
    few, many = found[0].groups()
    size = few[0] & 0x0F if few is not None else int.from_bytes(many, "big")
    value = head[found[0].end() : found[0].end() + size]
    # bytes above 127 take two bytes; none of the fields that are read here has any
    return value if len(value) == size and all(byte < 1 << 7 for byte in value) else None


def _etag(head: bytes) -> str | None:
    value = _header(head, b"etag")
    text = None if value is None else value.decode("ascii")
    # a weak tag confirms that two responses mean the same, not that they have the same bytes; here that is enough
    return text if text is not None and text.isprintable() and text.removeprefix("W/")[:1] == '"' else None


def _fresh_until(head: bytes, came: float) -> float:
    """Until when the response is fresh according to its server, in seconds; 0 if the server does not say.

    Args:
        head: the header.
        came: when the response arrived, in seconds.
    """
    control, date = (_header(head, name) for name in (b"cache-control", b"date"))
    if control is None or date is None:
        return 0
    said = {part.strip().lower() for part in control.decode("ascii").split(",")}
    holds = next((part.removeprefix("max-age=") for part in said if part.startswith("max-age=")), "")
    age = (_header(head, b"age") or b"0").decode("ascii")
    if said & {"no-cache", "no-store"} or not holds.isdecimal() or not age.isdecimal():
        return 0
    from email.utils import parsedate  # noqa: PLC0415 - few servers say so

    with contextlib.suppress(OverflowError, ValueError, TypeError):
        # a copy from an intermediate cache has spent some of its lifetime there
        return came + int(holds) - max(int(age), came - calendar.timegm(parsedate(date.decode("ascii")) or ()))
    return 0
