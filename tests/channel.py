"""Conda channels on the loopback interface: real records, or small packages that are built here."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Literal, cast

import rattler
from tests.loopback import Handler, Server, running

Fault = Literal["500", "401", "404", "html", "hang", "truncated", "other bytes"]

CONDA_FORGE = rattler.Channel("conda-forge").base_url.rstrip("/")
"""Where rattler looks for it."""


class _Handler(Handler):
    def answer(self) -> None:
        served = cast("ChannelServer", self.server)
        served.asked.append(self.path)
        if served.wanted is not None and served.wanted not in {
            self.headers.get("Authorization"),
            *self.path.split("/"),
        }:
            self.send(401, b"no")
            return
        if served.wanted is not None:
            self.path = self.path.replace(f"/t/{served.wanted}", "")
        fault = served.fault if re.search(served.at, self.path) else None
        if fault == "hang":
            self.hang()
            return
        if fault is not None and fault.isdecimal():
            self.send(int(fault), b"no")
            return
        path = served.folder / self.path.lstrip("/").partition("?")[0]
        if not path.is_file():
            self.send(404, b"")
            return
        content = path.read_bytes()
        if fault == "html":
            content = b"<html><body><h1>Please log in</h1></body></html>"
        elif fault == "truncated":
            content = content[: len(content) // 2]
        elif fault == "other bytes":
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.send(200, content)


class ChannelServer(Server):
    """Serves a folder, and misbehaves when it is told to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(_Handler)
        self.folder = folder
        self.fault: Fault | None = None
        self.at = ""
        self.asked: list[str] = []
        self.wanted: str | None = None
        """Without this in the header for it, or as a token in the path, nothing is answered."""

    @property
    def url(self) -> str:
        return self.root

    def misbehave(self, fault: Fault, *, at: str = "") -> None:
        """From now on; `at` is a regular expression for the paths that are affected."""
        self.fault, self.at = fault, at


def serving(folder: Path) -> contextlib.AbstractContextManager[ChannelServer]:
    """A server at work."""
    return running(ChannelServer(folder))


def mirrored(config: Path, url: str) -> None:
    """Write rattler's configuration such that conda-forge is found at this address."""
    folder = config / "rattler"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(
        f'[mirrors]\n"{CONDA_FORGE}" = ["{url}"]\n[repodata-config]\ndisable-sharded = true\n', encoding="utf-8"
    )
