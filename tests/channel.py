"""Conda channels on the loopback interface: real records, or small packages that are built here."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal, cast

import msgpack
import rattler
from tests.loopback import Handler, Server, running
from tests.zstandard import zstd

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
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {**({"ETag": etag} if served.tagged else {}), **served.headers}
        if served.tagged and self.headers.get("If-None-Match") == etag:
            self.send(304, headers=headers)
        else:
            self.send(200, content, headers)


class ChannelServer(Server):
    """Serves a folder, and misbehaves when it is told to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(_Handler)
        self.folder = folder
        self.fault: Fault | None = None
        self.at = ""
        self.asked: list[str] = []
        self.tagged = False
        """Whether answers say what this state of them is called, and that nothing is new where it is asked for."""
        self.headers: dict[str, str] = {}
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


def sharded(source: Path, folder: Path, *, base: str = "") -> Path:
    """The same channel as shards, as CEP 16 has them; only what its index has, no packages.

    Args:
        source: a channel with `repodata.json` or `repodata.json.zst`.
        folder: where the shards are to be.
        base: the address below which the index says that packages and shards are; none says, where it is.
    """
    for path in source.glob("*/repodata.json*"):
        content = path.read_bytes()
        data = json.loads(zstd.decompress(content) if path.suffix == ".zst" else content)
        shards: dict[str, dict[str, dict[str, object]]] = {}
        for kind in ("packages", "packages.conda"):
            for name, record in data.get(kind, {}).items():
                mine = shards.setdefault(record["name"], {"packages": {}, "packages.conda": {}})
                hashes = {one: bytes.fromhex(record[one]) for one in ("md5", "sha256") if one in record}
                mine[kind][name] = {**record, **hashes}
        subdir = path.parent.name
        (folder / subdir).mkdir(parents=True)
        places = dict.fromkeys(("base_url", "shards_base_url"), f"{base}/{subdir}/" if base else "")
        index: dict[str, Any] = {"version": 1, "info": {"subdir": subdir, **places}, "shards": {}}
        for name, shard in shards.items():
            packed = zstd.compress(msgpack.packb({**shard, "removed": []}))
            index["shards"][name] = hashlib.sha256(packed).digest()
            (folder / subdir / f"{index['shards'][name].hex()}.msgpack.zst").write_bytes(packed)
        (folder / subdir / "repodata_shards.msgpack.zst").write_bytes(zstd.compress(msgpack.packb(index)))
    return folder


def mirrored(config: Path, url: str) -> None:
    """Write rattler's configuration such that conda-forge is found at this address."""
    folder = config / "rattler"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(f'[mirrors]\n"{CONDA_FORGE}" = ["{url}"]\n', encoding="utf-8")
