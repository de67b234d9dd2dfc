"""The credentials for kgen's own requests: those that uv sends to the same index."""

from __future__ import annotations

import re
import threading
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, final


class Login(NamedTuple):
    """A name and a password; never print or store it."""

    name: str
    password: str


# a scheme is looked for at the start of a word: at every letter of a long one, time would grow with its square
_URL = re.compile(r"(?<![a-z0-9+.-])[a-z0-9+.-]+://[^\s)\]>\"'`]*", re.IGNORECASE)


def without_urls(text: str) -> str:
    """A tool's output without URLs, whose ports and hashes may contain the digits of an HTTP status."""
    return _URL.sub("", text)


def apart(url: str) -> tuple[str, Login | None]:
    """A URL without its credentials, and the credentials."""
    parts = urllib.parse.urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    name, _, password = login.partition(":")
    found = Login(urllib.parse.unquote(name), urllib.parse.unquote(password)) if login else None
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), found


@final
class Logins:
    """The configured indexes with their credentials; safe to use from many threads.

    As with uv, the credentials of an index apply to its whole server (scheme, host and port). If a server has several
    indexes, those of the index with the longest common path apply.
    """

    def __init__(self, urls: Iterable[str] = ()) -> None:
        self._guard = threading.Lock()
        self._known: dict[str, dict[str, Login | None]] = {}
        for url in urls:
            self.add(url)

    def add(self, url: str) -> str:
        """Add an index with the credentials in its URL; return the URL without them."""
        plain, login = apart(url)
        try:
            realm, path = _realm(plain)
        except ValueError:
            return plain
        with self._guard:
            paths = self._known.setdefault(realm, {})
            if login is not None or path not in paths:
                paths[path] = login
        return plain

    def of(self, url: str) -> Login | None:
        """The credentials for a request; None if there are none, apart from those in netrc."""
        try:
            realm, path = _realm(url)
        except ValueError:
            return None
        with self._guard:
            known = [(own, login) for own, login in self._known.get(realm, {}).items() if login is not None]
        return max(known, key=lambda row: _common(row[0], path))[1] if known else None

    def configured(self, url: str) -> bool:
        """Whether the user has configured an index on this server."""
        try:
            return _realm(url)[0] in self._known
        except ValueError:
            return False


def _common(one: str, other: str) -> int:
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    return next((place for place, (left, right) in enumerate(pairs) if left != right), len(one))


def _realm(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}", parts.path.rstrip("/")


def with_variables(indexes: Iterable[tuple[str | None, str]], variables: Mapping[str, str]) -> Iterator[str]:
    """The URLs of indexes, with the credentials in `UV_INDEX_<NAME>_USERNAME` and `…_PASSWORD`.

    Args:
        indexes: name and URL of each; credentials in a URL take precedence.
        variables: the process's environment variables.
    """
    for name, url in indexes:
        plain, login = apart(url)
        if login is None and name is not None:
            key = "UV_INDEX_" + "".join(letter if letter.isalnum() else "_" for letter in name.upper())
            user, password = variables.get(f"{key}_USERNAME"), variables.get(f"{key}_PASSWORD")
            if user is not None or password is not None:
                login = Login(user or "", password or "")
        if login is None:
            yield plain
            continue
        parts = urllib.parse.urlsplit(plain)
        netloc = (
            f"{urllib.parse.quote(login.name, safe='')}:{urllib.parse.quote(login.password, safe='')}@{parts.netloc}"
        )
        yield urllib.parse.urlunsplit(parts._replace(netloc=netloc))
