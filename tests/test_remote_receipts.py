"""Receipts in folders on other machines: a web server's, and one that only a library knows."""

from __future__ import annotations

import functools
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from tests.command import Kgen
from tests.test_receipts import LOCKS

from kgen.errors import OutsideError, UsageError
from kgen.validation import remote

RECEIPT = LOCKS / "numpy-cpu/receipts/cpu.json"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Lists folders as web servers do, and says nothing of it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL that it is served at."""
    folder = tmp_path / "served"
    (folder / "numpy-cpu").mkdir(parents=True)
    shutil.copy(RECEIPT, folder / "numpy-cpu/cpu.json")
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def test_a_folder_of_the_web_is_listed_merged_and_shown(kgen: Kgen, served: tuple[Path, str]) -> None:
    folder, url = served
    (folder / "numpy-cpu/notes.txt").write_text("no receipt")
    done = kgen("receipts", "list", url)
    assert done.status == 0, done.stderr
    assert "numpy-cpu" in done.stdout
    assert kgen("receipts", "merge", url, "--output", "collected").status == 0
    (merged,) = (kgen.folder / "collected").rglob("*.json")
    assert merged.parent.name == "numpy-cpu"


def test_what_is_gone_there_is_gone_here(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    first = remote.fetch(url, tmp_path / "cache")
    assert [path.name for path in first.rglob("*.json")] == ["cpu.json"]
    assert (first / "numpy-cpu/cpu.json").read_bytes() == RECEIPT.read_bytes()
    (folder / "numpy-cpu/cpu.json").rename(folder / "numpy-cpu/other.json")
    (folder / "numpy-cpu/other.dsse").write_text("{}")
    second = remote.fetch(url, tmp_path / "cache")
    assert second == first
    assert sorted(path.name for path in second.rglob("*") if path.is_file()) == ["other.dsse", "other.json"]


def test_a_folder_of_any_protocol(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/receipts/numpy-cpu/cpu.json", RECEIPT.read_bytes())
    found = remote.fetch("memory://receipts", tmp_path)
    assert (found / "numpy-cpu/cpu.json").read_bytes() == RECEIPT.read_bytes()


def test_what_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(OutsideError, match=r"http://127\.0\.0\.1:9/x/ cannot be read") as caught:
        remote.fetch("http://me:secret@127.0.0.1:9/x/?token=secret", tmp_path)
    assert "secret" not in str(caught.value)
    with pytest.raises((UsageError, OutsideError), match="nothing://x cannot be read"):
        remote.fetch("nothing://x", tmp_path)


def test_nothing_is_fetched_offline(kgen: Kgen, served: tuple[Path, str]) -> None:
    done = kgen("--offline", "receipts", "list", served[1])
    assert done.status == 4
    assert "is on another machine, and nothing may be fetched" in done.stderr


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(UsageError, match="fsspec, which reads s3://bucket/x, is not installed") as caught:
        remote.fetch("s3://bucket/x", tmp_path)
    assert caught.value.hints == ("pip install 'keras-kgen[remote]'",)
