"""A Python index on the loopback interface that serves what a test gives it, in the way that the test wants."""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import re
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from tests.loopback import NOTHING, Handler, Server, running
from tests.wheelhouse import Wheel

Fault = Literal[
    "500", "404", "403", "login", "truncated", "cut", "hang", "wrong range", "garbage", "empty", "wrong sidecar"
]

Form = Literal["html", "json"]

_PAGE = {"Content-Type": "text/html"}


@dataclass
class Served:
    """What is served, and how.

    Attributes:
        wheels: of all projects.
        yanked: file name -> why.
        form: the pages' form.
        sidecar: whether METADATA is served beside the wheels.
        ranges: whether ranges are known.
        tags: whether pages have an ETag.
        hashes: whether pages name the wheels' sha256.
        fault: what is wrong; None if nothing is.
        at: what has the fault: a regular expression for paths.
        delay: seconds before each answer.
        asked: method and path of every request, with the range.
        sent: bytes of the bodies that were sent.
    """

    wheels: list[Wheel] = field(default_factory=list)
    yanked: dict[str, str] = field(default_factory=dict)
    form: Form = "html"
    sidecar: bool = False
    ranges: bool = True
    tags: bool = False
    hashes: bool = True
    fault: Fault | None = None
    at: str = ""
    delay: float = 0.0
    asked: list[str] = field(default_factory=list)
    sent: int = 0

    def of(self, name: str) -> list[Wheel]:
        return [wheel for wheel in self.wheels if re.sub(r"[-_.]+", "-", wheel.name).lower() == name]


class _Handler(Handler):
    def answer(self) -> None:
        server = cast("Repository", self.server)
        served = server.served
        with server.guard:
            served.asked.append(f"{self.path} {self.headers.get('Range', '')}".strip())
        if served.delay:
            time.sleep(served.delay)
        fault = served.fault if re.search(served.at, self.path) else None
        if fault == "hang":
            self.hang()
        elif fault in {"500", "404", "403"}:
            self._counted(int(fault), b"no", _PAGE)
        elif fault == "login":
            self._counted(200, b"<html><body><h1>Please log in</h1></body></html>", _PAGE)
        elif match := re.fullmatch(r"/simple/(?:([a-z0-9.]+)/)?([a-z0-9-]+)/", self.path):
            self._project(served, match[2], fault, label=match[1])
        elif self.path.startswith("/files/"):
            self._file(served, self.path.removeprefix("/files/"), fault)
        else:
            self._counted(404)

    def _project(self, served: Served, name: str, fault: Fault | None, *, label: str | None) -> None:
        """A project's page; below a folder, of the builds with that label or none, as PyTorch's own index has it."""
        wheels = [wheel for wheel in served.of(name) if label is None or wheel.version.partition("+")[2] in {label, ""}]
        if not wheels:
            self._counted(404)
            return
        wants_json = served.form == "json" and "simple.v1+json" in self.headers.get("Accept", "")
        body = (_json(served, wheels, name) if wants_json else _html(served, wheels)).encode()
        headers = {"Content-Type": "application/vnd.pypi.simple.v1+json"} if wants_json else _PAGE
        if fault == "garbage":
            body = b"\xff\xfe{" + body[: len(body) // 2]
        elif fault == "empty":
            body = b"<!DOCTYPE html><html><body></body></html>"
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if served.tags and self.headers.get("If-None-Match") == tag:
            self._counted(304)
            return
        self._counted(
            200, body, {**headers, **({"ETag": tag} if served.tags else {})}, cut=fault in {"truncated", "cut"}
        )

    def _file(self, served: Served, path: str, fault: Fault | None) -> None:
        about = path.endswith(".metadata")
        path = urllib.parse.unquote(path)
        wheel = next((one for one in served.wheels if one.filename == path.removesuffix(".metadata")), None)
        if wheel is None or (about and not served.sidecar):
            self._counted(404)
            return
        content = wheel.metadata if about else wheel.content
        if about and fault == "wrong sidecar":
            content += b"Requires-Dist: evil\n"
        asked = self.range_of(len(content)) if served.ranges else None
        headers = {"Content-Type": "application/octet-stream"}
        if served.ranges:
            headers["Accept-Ranges"] = "bytes"
        if asked is None:
            self._counted(200, content, headers)
            return
        start, end = asked
        body = content[start:end]
        if fault == "garbage":
            body = bytes(len(body))
        shown = start + 1 if fault == "wrong range" else start
        headers["Content-Range"] = f"bytes {shown}-{end - 1}/{len(content)}"
        self._counted(206, body, headers, cut=fault in {"truncated", "cut"})

    def _counted(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] = NOTHING, *, cut: bool = False
    ) -> None:
        """An answer whose bytes are counted; half of it is missing if it is to be cut."""
        server = cast("Repository", self.server)
        with server.guard:
            server.served.sent += len(body)
        self.send(status, body[: len(body) // 2] if cut else body, headers, size=len(body))


def _html(served: Served, wheels: list[Wheel]) -> str:
    rows = []
    for wheel in wheels:
        digest = f"#sha256={wheel.sha256}" if served.hashes else ""
        python = f' data-requires-python="{html.escape(wheel.requires_python)}"' if wheel.requires_python else ""
        yanked = served.yanked.get(wheel.filename)
        yank = "" if yanked is None else f' data-yanked="{html.escape(yanked)}"'
        about = f' data-core-metadata="sha256={hashlib.sha256(wheel.metadata).hexdigest()}"' if served.sidecar else ""
        rows.append(
            f'<a href="/files/{wheel.filename.replace("+", "%2B")}{digest}"{python}{yank}{about}'
            f' data-upload-time="{wheel.uploaded.isoformat()}T12:00:00.123456Z">{wheel.filename}</a><br/>'
        )
    return "<!DOCTYPE html><html><body>\n" + "\n".join(rows) + "\n</body></html>"


def _json(served: Served, wheels: list[Wheel], name: str) -> str:
    files = [
        {
            "filename": wheel.filename,
            "url": f"/files/{wheel.filename}",
            "hashes": {"sha256": wheel.sha256},
            "requires-python": wheel.requires_python,
            "upload-time": f"{wheel.uploaded.isoformat()}T12:00:00.123456Z",
            "yanked": served.yanked.get(wheel.filename, False) or (wheel.filename in served.yanked),
            "core-metadata": {"sha256": hashlib.sha256(wheel.metadata).hexdigest()} if served.sidecar else False,
            "size": len(wheel.content),
        }
        for wheel in wheels
    ]
    return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files})


class Repository(Server):
    """An index at work."""

    def __init__(self, served: Served) -> None:
        super().__init__(_Handler)
        self.served = served

    @property
    def url(self) -> str:
        return f"{self.root}/simple"


def serving(served: Served) -> contextlib.AbstractContextManager[Repository]:
    """Serve it."""
    return running(Repository(served))
