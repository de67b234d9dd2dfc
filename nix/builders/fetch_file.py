"""The builder of one file of a lock: finds it by name, takes nothing that is not of the lock's sha256.

Its arguments are in the environment, put there by fetch-file.nix. Needs a CPython and its standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import html.parser
import http.client
import json
import netrc
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

ATTEMPTS = 4
SECONDS = 60
CHUNK = 1 << 20
JSON = "application/vnd.pypi.simple.v1+json"
ACCEPTED = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
FAILURES = (urllib.error.URLError, http.client.HTTPException, OSError, ValueError)


class _Anchors(html.parser.HTMLParser):
    """The links of a project's page: their text, and where they lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._target: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._target, self._text = dict(attrs).get("href"), ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._target is not None:
            self.found.append((self._text.strip(), self._target))
            self._target = None


def links(page: str, kind: str, address: str) -> Iterator[tuple[str, str, str | None]]:
    """Each file of a project's page, in JSON or HTML: its name, its URL, and its sha256 where the page tells it."""
    if "json" in kind:
        for file in json.loads(page)["files"]:
            yield file["filename"], urllib.parse.urljoin(address, file["url"]), file.get("hashes", {}).get("sha256")
        return
    anchors = _Anchors()
    anchors.feed(page)
    for text, target in anchors.found:
        url, fragment = urllib.parse.urldefrag(urllib.parse.urljoin(address, target))
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
        digest = re.search(r"sha256=([0-9a-f]{64})", fragment)
        for spelling in {text, name}:
            yield spelling, url, digest[1] if digest else None


class Logins:
    """Who may ask a host, from a netrc file."""

    def __init__(self, path: str | None) -> None:
        """Read the file; a LookupError says why that is impossible, and nothing of what is in it."""
        self._known: netrc.netrc | None = None
        self._of_urls: dict[str, tuple[str, str]] = {}
        if path:
            try:
                self._known = netrc.netrc(path)
            except OSError as error:
                raise LookupError(f"NETRC names {path}, which cannot be read: {error.strerror}") from None
            except (netrc.NetrcParseError, ValueError):
                raise LookupError(f"NETRC names {path}, which is not a netrc file") from None

    def request(self, url: str, headers: dict[str, str]) -> urllib.request.Request:
        """A request for the URL; a redirect does not take the login to another host."""
        parts = urllib.parse.urlsplit(url)
        found = self._known.authenticators(parts.hostname or "") if self._known else None
        login, _, password = found or ("", "", "")
        if parts.username is not None:  # of KGEN_INDEX in the process that builds, which is in no derivation
            parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
            named = urllib.parse.urlsplit(url)
            self._of_urls[parts.netloc] = (
                urllib.parse.unquote(named.username or ""),
                urllib.parse.unquote(named.password or ""),
            )
            url = parts.geturl()
        # its pages name files without it
        login, password = self._of_urls.get(parts.netloc, (login, password))
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the user's own index
        if login or password:
            value = base64.b64encode(f"{login}:{password}".encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {value}")
        return request


def shown(url: str) -> str:
    """A URL for messages, without what may be secret in it."""
    return re.sub(r"://[^/@\s]*@", "://…@", url)


def find(root: str, project: str, filename: str, sha256: str, logins: Logins) -> str:
    """The URL of a file in a simple repository; a LookupError says why there is none."""
    address = f"{root.rstrip('/')}/{project}/"
    request = logins.request(address, {"Accept": ACCEPTED})
    address = shown(address)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            page = answer.read().decode("utf-8", "replace")
            named = list(links(page, answer.headers.get("Content-Type", ""), answer.url))
    except FAILURES as error:
        raise LookupError(f"{address}: {_reason(error)}") from None
    files = [(url, digest) for name, url, digest in named if name == filename]
    if not files:
        raise LookupError(f"{address} does not list it")
    for url, digest in files:
        if digest in {None, sha256}:
            return url
    raise LookupError(f"{address} lists another file of this name, with sha256 {files[0][1]}")


def download(url: str, target: str, logins: Logins) -> str:
    """Write what is at the URL, going on where a connection broke; returns its sha256."""
    for attempt in range(ATTEMPTS):
        there = os.path.getsize(target) if os.path.exists(target) else 0
        headers = {"Range": f"bytes={there}-"} if there else {}
        request = logins.request(url, headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
                resumed = there > 0 and answer.status == http.client.PARTIAL_CONTENT
                _save(answer, target, "ab" if resumed else "wb")
            break
        except FAILURES as error:
            final = isinstance(error, urllib.error.HTTPError) and error.code < http.client.INTERNAL_SERVER_ERROR
            if final or attempt + 1 == ATTEMPTS:
                raise LookupError(f"{shown(url)}: {_reason(error)}") from None
            time.sleep(2**attempt)
    digest = hashlib.sha256()
    with open(target, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _save(answer: http.client.HTTPResponse, target: str, mode: str) -> None:
    expected = answer.headers.get("Content-Length")
    received = 0
    with open(target, mode) as file:
        for chunk in iter(lambda: answer.read(CHUNK), b""):
            file.write(chunk)
            received += len(chunk)
    if expected is not None and received < int(expected):
        raise http.client.IncompleteRead(b"", int(expected) - received)


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError) and error.code in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
        return f"{error.reason}; NETRC of the process that builds names a netrc file with logins"
    return str(getattr(error, "reason", None) or str(error) or type(error).__name__)


def _give_up(filename: str, reasons: list[str]) -> NoReturn:
    lines = [f"kgen: {filename} could not be had", *(f"  {reason}" for reason in reasons), ""]
    lines.append('hint: name the index that has it: `index = "…"` in the flake, or KGEN_INDEX with `--impure`')
    lines.append(f"hint: with the file at hand: nix-store --add-fixed sha256 {filename}")
    sys.exit("\n".join(lines))


def main(given: dict[str, str]) -> None:
    """Fetch the file that the environment describes to `$out`."""
    filename, sha256 = given["filename"], given["sha256"]
    # before the first TLS context is made
    os.environ["SSL_CERT_FILE"] = given.get("NIX_SSL_CERT_FILE") or given["certificates"]
    reasons: list[str] = []
    urls = given["urls"].split()
    try:
        logins = Logins(given.get("NETRC"))
    except LookupError as error:
        _give_up(filename, [str(error)])
    roots = (given.get("roots") or given.get("KGEN_INDEX") or "").split()
    if roots:
        urls = []
        for root in roots:
            try:
                urls.append(find(root, given["project"], filename, sha256, logins))
                break
            except LookupError as error:
                reasons.append(str(error))
    for url in urls:
        try:
            found = download(url, given["out"], logins)
        except LookupError as error:
            reasons.append(str(error))
            continue
        if found == sha256:
            return
        reasons.append(f"{shown(url)} has another content: its sha256 is {found}, and the lock has {sha256}")
        os.unlink(given["out"])
    _give_up(filename, reasons)


if __name__ == "__main__":
    main(dict(os.environ))
