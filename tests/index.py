"""A Python package index on the loopback interface, which misbehaves when it is told to."""

from __future__ import annotations

import contextlib
import hashlib
import html
import re
from dataclasses import dataclass, field
from typing import Literal, cast

from packaging.utils import canonicalize_name, parse_sdist_filename
from tests.loopback import Handler, Server, running
from tests.wheelhouse import Wheel, Wheelhouse

Fault = Literal["500", "401", "html", "hang", "hang up", "wrong hash", "no ranges"]

_PAGE = {"Content-Type": "text/html"}


@dataclass
class Behaviour:
    """What is wrong with the index.

    Attributes:
        fault: the fault; None if all is well.
        at: what has it: a regular expression that is searched for in the asking program and the path.
    """

    fault: Fault | None = None
    at: str = ""
    asked: list[str] = field(default_factory=list)


class _Handler(Handler):
    def answer(self) -> None:
        index = cast("Index", self.server)
        behaviour = index.behaviour
        with index.guard:
            behaviour.asked.append(self.path)
        agent = self.headers.get("User-Agent", "")
        fault = behaviour.fault if re.search(behaviour.at, f"{agent} {self.path}") else None
        if fault == "hang":
            self.hang()
        elif fault == "hang up":
            self.close_connection = True
        elif fault == "html":
            self.send(200, b"<html><body><h1>Please log in</h1></body></html>", _PAGE)
        elif fault is not None and fault.isdecimal():
            self.send(int(fault), b"<h1>no</h1>", _PAGE)
        elif match := re.fullmatch(r"/simple/([a-z0-9-]+)/", self.path):
            self._project(index, match[1], wrong=fault == "wrong hash")
        elif match := re.fullmatch(r"/files/([^/]+)", self.path):
            self._file(index, match[1], ranges=fault != "no ranges")
        else:
            self.send(404)

    def _project(self, index: Index, name: str, *, wrong: bool) -> None:
        with index.guard:
            wheels = index.wheelhouse.wheels(name)
            page = "".join(_link(wheel, wrong=wrong) for wheel in wheels)
        if not wheels:
            self.send(404)
            return
        self.send(200, f"<!DOCTYPE html><html><body>{page}</body></html>".encode(), _PAGE)

    def _file(self, index: Index, filename: str, *, ranges: bool) -> None:
        about = filename.endswith(".metadata")
        filename = filename.removesuffix(".metadata")
        name = _project_of(filename)
        with index.guard:
            found = [wheel for wheel in index.wheelhouse.wheels(name) if wheel.filename == filename]
            content = b"" if not found else found[0].metadata if about else found[0].content
        if not found:
            self.send(404)
            return
        asked = self.range_of(len(content)) if ranges else None
        headers = {"Content-Type": "application/octet-stream", **({"Accept-Ranges": "bytes"} if ranges else {})}
        if asked is None:
            self.send(200, content, headers)
            return
        start, end = asked
        self.send(206, content[start:end], {**headers, "Content-Range": f"bytes {start}-{end - 1}/{len(content)}"})


def _project_of(filename: str) -> str:
    """The project that a file is of; the names of wheel variants, and of the file about them, are no names of today."""
    if filename.endswith(".tar.gz"):
        return parse_sdist_filename(filename)[0]
    return canonicalize_name(filename.partition("-")[0])


def _link(wheel: Wheel, *, wrong: bool) -> str:
    digest = "0" * 64 if wrong else wheel.sha256
    python = f' data-requires-python="{html.escape(wheel.requires_python)}"' if wheel.requires_python else ""
    withdrawn = "" if wheel.yanked is None else f' data-yanked="{html.escape(wheel.yanked)}"'
    core = f' data-core-metadata="sha256={hashlib.sha256(wheel.metadata).hexdigest()}"' if wheel.is_built else ""
    return (
        f'<a href="/files/{wheel.filename.replace("+", "%2B")}#sha256={digest}"{python}'
        f"{core}{withdrawn}"
        f' data-upload-time="{wheel.uploaded.isoformat()}T12:00:00Z">{wheel.filename}</a>\n'
    )


class Index(Server):
    """An index that serves a wheelhouse."""

    def __init__(self, wheelhouse: Wheelhouse) -> None:
        super().__init__(_Handler)
        self.wheelhouse = wheelhouse
        self.behaviour = Behaviour()

    def misbehave(self, fault: Fault, *, at: str = "") -> None:
        """From now on; `at` is a regular expression for the paths that are affected."""
        self.behaviour = Behaviour(fault=fault, at=at)

    @property
    def url(self) -> str:
        return f"{self.root}/simple"


def serving(wheelhouse: Wheelhouse) -> contextlib.AbstractContextManager[Index]:
    """An index at work."""
    return running(Index(wheelhouse))
