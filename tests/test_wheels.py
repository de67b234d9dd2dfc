"""kgen.wheels against an index of the test's own, on the loopback interface."""

from __future__ import annotations

import contextlib
import functools
import gc
import gzip
import hashlib
import io
import os
import socket
import ssl
import struct
import subprocess
import threading
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
import urllib3.util.ssl_
from tests.loopback import Handler, Server, running

from kgen.errors import Cancelled, ExitStatus, OutsideError
from kgen.model.licence import Declared
from kgen.served import archive, cache, client
from kgen.wheels import Overlap, WheelListing, WheelReader, overlaps

NAME = "thing-1.0-py3-none-any.whl"


def make_wheel(files: dict[str, bytes], *, padding: int = 0) -> bytes:
    """A wheel; `padding` puts so many incompressible bytes before its list of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.mkdir("thing") if hasattr(archive, "mkdir") else archive.writestr("thing/", b"")
        for path, content in files.items():
            archive.writestr(path, content)
        if padding:
            archive.writestr("thing/padding", bytes(padding))
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


SMALL = make_wheel({"thing/__init__.py": b"", "thing/code.py": b"x = 1\n"})
LARGE = make_wheel({"thing/code.py": b"x = 1\n"}, padding=400_000)
ENTRY = (zlib.crc32(b"x = 1\n"), 6)


@functools.cache
def many() -> bytes:
    """A wheel whose list of files is longer than what is asked for at first; it takes most of a second."""
    return make_wheel({f"thing/module_with_a_name_{number}.py": b"" for number in range(30_000)})


class Answer(Handler):
    """Serves the index's files; each of its `faults` is used up by one request."""

    def answer(self) -> None:
        index = cast("Index", self.server)
        asked = self.headers.get("Range")
        with index.guard:
            index.asked.append((self.path, asked))
            index.headers.append({key.lower(): value for key, value in self.headers.items()})
            fault = index.faults.pop(0) if index.faults else None
        if fault is None:
            fault = index.constant
        if fault == "redirect":
            self.send(302, b"", {"Location": f"{index.root}/moved{self.path}"})
        elif fault == "hang up":
            self.close_connection = True
        elif fault == "html":
            self.send(200, b"<html>please log in</html>", {"Content-Type": "text/html; charset=utf-8"})
        elif fault == "silent":
            self.hang()
        elif fault is not None and fault.isdecimal():
            self.send(int(fault), b"<h1>no</h1>", {"Content-Type": "text/html"})
        else:
            self.serve(index, asked, fault)

    def serve(self, index: Index, asked: str | None, fault: str | None) -> None:
        content = index.files[self.path.rpartition("/")[2]]
        size = len(content)
        span = self.range_of(size)
        suffix = (asked or "").startswith("bytes=-")
        if span is None or fault == "no ranges":
            headers = {"Accept-Ranges": "bytes"} if fault in {"no suffix", "416"} else {}
            if fault == "gzip":
                content, headers = gzip.compress(content), {"Content-Encoding": "gzip"}
            self.send(200, content, headers, size=index.claimed)
        elif suffix and fault == "no suffix":
            self.send(416)
        elif suffix and fault == "no suffix, size":
            self.send(416, headers={"Content-Range": f"bytes */{size}"})
        elif suffix and fault == "gzip":
            self.send(206, b"?", {"Content-Range": f"bytes 0-9/{size}", "Content-Encoding": "gzip"})
        else:
            start, end = span
            if suffix and fault == "misread suffix":
                start, end = 0, min(size, size - start + 1)
            if fault == "other range":
                start += 1
            part = content[start:end]
            shown = {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
            self.send(206, part[:-10] if fault == "truncated" else part, shown, size=len(part))


class Index(Server):
    def __init__(self) -> None:
        super().__init__(Answer)
        self.files = {"small.whl": SMALL, "large.whl": LARGE, "many.whl": many()}
        self.faults: list[str] = []
        self.constant: str | None = None
        self.claimed: int | None = None
        self.asked: list[tuple[str, str | None]] = []
        self.headers: list[dict[str, str]] = []

    def url(self, name: str) -> str:
        return f"{self.root}/files/{name}"

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked in self.asked]


@pytest.fixture(name="index")
def _index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(client, "_PAUSES", (0.001, 0.001))
    with running(Index()) as index:
        yield index


@pytest.fixture(name="reader")
def _reader(index: Index) -> Iterator[WheelReader]:
    del index
    with WheelReader(cache=None) as reader:
        yield reader


def read(reader: WheelReader, index: Index, name: str) -> WheelListing:
    return reader.read(index.url(name), filename=NAME, sha256=sha256(index.files[name]))


def connections_to(index: Index) -> list[socket.socket]:
    """The open connections of this process to the index."""
    there = [one for one in gc.get_objects() if isinstance(one, socket.socket) and one.fileno() != -1]
    return [one for one in there if _peer(one) == index.server_port]


def _peer(one: socket.socket) -> int | None:
    try:
        return int(one.getpeername()[1])
    except (OSError, IndexError, ValueError):
        return None


def refusal(reader: WheelReader, index: Index, name: str = "large.whl") -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        read(reader, index, name)
    assert NAME in caught.value.message
    assert caught.value.hints
    assert not caught.value.message.endswith(".")
    return caught.value


class TestRanges:
    def test_the_end_of_a_large_wheel_is_enough(self, index: Index, reader: WheelReader) -> None:
        listing = read(reader, index, "large.whl")
        assert listing.size == len(LARGE)
        assert listing.complete
        assert listing.entries["thing/code.py"] == ENTRY
        assert set(listing.entries) == {"thing/code.py", "thing/padding"}
        assert index.ranges == ["bytes=-131072"]
        assert index.headers[0]["accept-encoding"] == "identity"

    def test_a_small_wheel_is_read_whole(self, index: Index, reader: WheelReader) -> None:
        listing = read(reader, index, "small.whl")
        assert dict(listing.entries) == {"thing/__init__.py": (0, 0), "thing/code.py": ENTRY}
        assert listing.size == len(SMALL)

    def test_a_long_list_takes_one_more_request(self, index: Index, reader: WheelReader) -> None:
        listing = read(reader, index, "many.whl")
        assert len(listing.entries) == 30_000
        first, second = index.ranges
        assert first == "bytes=-131072"
        assert second is not None
        start, end = map(int, second.removeprefix("bytes=").split("-"))
        assert end == len(many()) - 131072 - 1
        with zipfile.ZipFile(io.BytesIO(many())) as archive:
            assert 0 <= archive.start_dir - start < 65536

    def test_zip64(self, index: Index, reader: WheelReader, monkeypatch: pytest.MonkeyPatch) -> None:
        # As if the wheel had more than 65,535 files, without the seconds that it takes to make one.
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("thing/padding", bytes(200_000))
            for number in range(6_000):
                archive.writestr(f"thing/a_longer_name_{number}", b"")
        index.files["zip64.whl"] = buffer.getvalue()
        assert b"PK\x06\x07" in buffer.getvalue()[-200:]
        listing = read(reader, index, "zip64.whl")
        assert len(listing.entries) == 6_001
        assert listing.entries["thing/padding"] == (zlib.crc32(bytes(200_000)), 200_000)
        assert len(index.asked) == 2

    @pytest.mark.parametrize("fault", ["no suffix", "no suffix, size", "misread suffix"])
    @pytest.mark.parametrize("name", ["small.whl", "large.whl", "many.whl"])
    def test_servers_that_know_no_ranges_from_the_end(
        self, index: Index, reader: WheelReader, fault: str, name: str
    ) -> None:
        index.constant = fault
        listing = read(reader, index, name)
        assert listing.complete
        assert listing.size == len(index.files[name])

    @pytest.mark.parametrize("status", ["400", "416", "501"])
    def test_a_refused_range_is_followed_by_the_plain_question(
        self, index: Index, reader: WheelReader, status: str
    ) -> None:
        index.faults = [status]
        assert read(reader, index, "large.whl").complete
        assert index.ranges[:2] == ["bytes=-131072", None]

    def test_redirects_keep_the_range(self, index: Index, reader: WheelReader) -> None:
        index.faults = ["redirect"]
        assert read(reader, index, "large.whl").complete
        assert index.asked == [
            ("/files/large.whl", "bytes=-131072"),
            ("/moved/files/large.whl", "bytes=-131072"),
        ]

    def test_another_range_than_asked_for(self, index: Index, reader: WheelReader) -> None:
        index.faults = ["", "other range"]
        assert "another range" in refusal(reader, index, "many.whl").message


class TestNoRanges:
    def test_read_whole_and_verified(self, index: Index, reader: WheelReader) -> None:
        index.constant = "no ranges"
        assert read(reader, index, "large.whl").entries["thing/code.py"] == ENTRY
        assert len(index.asked) == 1

    def test_too_large_to_be_read(self, index: Index, reader: WheelReader) -> None:
        index.constant = "no ranges"
        index.claimed = 3_000_000_000
        listing = read(reader, index, "large.whl")
        assert listing == WheelListing(size=3_000_000_000, entries={}, complete=False)
        assert len(index.asked) == 1

    def test_too_large_but_ranges_from_the_beginning(
        self, index: Index, reader: WheelReader, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client, "WHOLE", 200_000)
        index.constant = "no suffix"
        assert read(reader, index, "large.whl").complete
        assert index.ranges == ["bytes=-131072", None, f"bytes={len(LARGE) - 131072}-{len(LARGE) - 1}"]

    def test_compressed_on_the_way_against_our_wish(self, index: Index, reader: WheelReader) -> None:
        index.constant = "gzip"
        listing = read(reader, index, "large.whl")
        assert listing.size == len(LARGE)
        assert listing.complete

    def test_a_list_longer_than_any(self, index: Index, reader: WheelReader, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client, "WHOLE", 200_000)
        monkeypatch.setattr(archive, "WHOLE", 200_000)
        assert "longer than any" in refusal(reader, index, "many.whl").message


class TestFaults:
    @pytest.mark.parametrize("name", ["small.whl", "large.whl"])
    def test_wrong_hash_of_a_whole_wheel(self, index: Index, reader: WheelReader, name: str) -> None:
        index.constant = "no ranges"
        with pytest.raises(OutsideError) as caught:
            reader.read(index.url(name), filename=NAME, sha256="0" * 64)
        digest = sha256(index.files[name])
        assert caught.value.message == (
            f"{NAME} is not the file that the index names: sha256 {digest}, expected {'0' * 64}"
        )
        assert caught.value.hints
        assert caught.value.status == ExitStatus.OUTSIDE

    @pytest.mark.parametrize("status", ["401", "403", "404", "410", "304"])
    def test_refusals_are_not_repeated(self, index: Index, reader: WheelReader, status: str) -> None:
        index.constant = status
        assert f"127.0.0.1:{index.server_port} answered {status}" in refusal(reader, index).message
        assert len(index.asked) == 1

    def test_credentials_are_hinted_at(self, index: Index, reader: WheelReader) -> None:
        index.constant = "401"
        assert refusal(reader, index).hints == (f"curl --head --location {index.url('large.whl')}",)
        with WheelReader(cache=None, indexes=[index.url("simple/")]) as own:
            assert ".netrc" in refusal(own, index).hints[0]

    def test_500_then_ok(self, index: Index, reader: WheelReader) -> None:
        index.faults = ["500", "503"]
        assert read(reader, index, "large.whl").complete
        assert len(index.asked) == 3

    def test_500_for_ever(self, index: Index, reader: WheelReader) -> None:
        index.constant = "502"
        assert "answered 502" in refusal(reader, index).message
        assert len(index.asked) == 3

    def test_a_broken_connection_is_tried_again(self, index: Index, reader: WheelReader) -> None:
        index.faults = ["hang up", "truncated"]
        assert read(reader, index, "large.whl").complete
        assert len(index.asked) == 3

    def test_truncated_for_ever(self, index: Index, reader: WheelReader) -> None:
        index.constant = "truncated"
        assert "broke" in refusal(reader, index).message
        assert len(index.asked) == 3

    def test_a_web_page_instead_of_a_wheel(self, index: Index, reader: WheelReader) -> None:
        index.constant = "html"
        assert "web page" in refusal(reader, index).message

    def test_no_zip(self, index: Index, reader: WheelReader) -> None:
        index.files["large.whl"] = bytes(range(256)) * 2000
        assert "is not a wheel" in refusal(reader, index).message

    @pytest.mark.parametrize("offset", range(4, 22))
    def test_a_damaged_end(self, index: Index, reader: WheelReader, offset: int) -> None:
        content = bytearray(LARGE)
        content[len(content) - 22 + offset] ^= 0xFF
        index.files["large.whl"] = bytes(content)
        # Whatever zipfile makes of it: an answer or a fault that names the file.
        with contextlib.suppress(OutsideError):
            read(reader, index, "large.whl")

    def test_connection_refused(self, index: Index, reader: WheelReader) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            with pytest.raises(OutsideError, match=f"{NAME}: 127.0.0.1:{port} cannot be reached: .*refused"):
                reader.read(f"http://127.0.0.1:{port}/x.whl", filename=NAME, sha256="0" * 64)
        assert not index.asked

    def test_no_answer(self, index: Index, reader: WheelReader, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client, "_TIMEOUT", (0.1, 0.1))
        index.constant = "silent"
        assert "did not answer in time" in refusal(reader, index).message
        assert len(index.asked) == 1

    @pytest.mark.parametrize(
        "url",
        ["s3://bucket/x.whl", "http://", "http://[::1/x.whl", "http://*.example/x", "http://" + "a" * 70],
    )
    def test_no_url(self, reader: WheelReader, url: str) -> None:
        with pytest.raises(OutsideError, match=NAME):
            reader.read(url, filename=NAME, sha256="0" * 64)

    def test_no_hash(self, index: Index, reader: WheelReader) -> None:
        with pytest.raises(OutsideError, match="not a sha256"):
            reader.read(index.url("small.whl"), filename=NAME, sha256="../../etc/passwd")

    def test_passwords_are_never_shown(self, index: Index, reader: WheelReader) -> None:
        url = index.url("large.whl").replace("//", "//me:geheim@") + "?token=geheim"
        for fault in ("404", "401", "502", "truncated", "html", "hang up"):
            index.constant = fault
            with pytest.raises(OutsideError) as caught:
                reader.read(url, filename=NAME, sha256=sha256(LARGE))
            assert "geheim" not in caught.value.message + "".join(caught.value.hints)
        assert index.headers[0]["authorization"].startswith("Basic ")

    def test_netrc(self, index: Index, reader: WheelReader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password word\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        read(reader, index, "large.whl")
        assert index.headers[0]["authorization"].startswith("Basic ")

    def test_cancel(self, index: Index) -> None:
        cancel = threading.Event()
        index.constant = "500"
        cancel.set()
        with WheelReader(cache=None, cancel=cancel) as reader, pytest.raises(Cancelled) as caught:
            read(reader, index, "large.whl")
        assert caught.value.status == ExitStatus.INTERRUPTED
        assert not index.asked

    @pytest.mark.parametrize("faults", [[], ["500"]], ids=["in its answer", "between two questions"])
    def test_a_thread_that_outlives_the_reader_leaves_no_connection(self, index: Index, faults: list[str]) -> None:
        """Who gives up waits for no thread; a connection left open would be a warning in whatever runs later."""
        arrived, goes_on = threading.Event(), threading.Event()

        class Paused(threading.Event):
            """The thread waits wherever the reader looks whether it was cancelled, or pauses."""

            def is_set(self) -> bool:
                if index.asked:
                    arrived.set()
                    goes_on.wait(30)
                return False

            def wait(self, timeout: float | None = None) -> bool:
                del timeout
                return self.is_set()

        index.faults = faults
        with ThreadPoolExecutor(1) as pool:
            with WheelReader(cache=None, cancel=Paused()) as reader:
                reading = pool.submit(read, reader, index, "small.whl")
                assert arrived.wait(30)
            goes_on.set()
            with pytest.raises(Cancelled):
                reading.result(timeout=30)
            with pytest.raises(Cancelled):
                pool.submit(read, reader, index, "large.whl").result(timeout=30)
        assert connections_to(index) == []

    def test_cancel_while_it_waits_to_ask_again(self, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client, "_PAUSES", (60.0, 60.0))
        cancel = threading.Event()
        index.constant = "500"
        threading.Timer(0.1, cancel.set).start()
        with WheelReader(cache=None, cancel=cancel) as reader, pytest.raises(Cancelled):
            read(reader, index, "large.whl")
        assert len(index.asked) == 1


class TestFiles:
    @pytest.mark.parametrize("as_url", [True, False])
    def test_local(self, tmp_path: Path, *, as_url: bool) -> None:
        file = tmp_path / "with space+ü.whl"
        file.write_bytes(LARGE)
        with WheelReader(cache=tmp_path / "cache") as reader:
            url = file.as_uri() if as_url else str(file)
            listing = reader.read(url, filename=NAME, sha256=sha256(LARGE).upper())
            assert listing.entries["thing/code.py"] == ENTRY
            assert listing.size == len(LARGE)
            with pytest.raises(OutsideError, match="is not the file that the index names"):
                reader.read(url, filename=NAME, sha256="0" * 64)
        assert not (tmp_path / "cache").exists()

    def test_missing(self, tmp_path: Path) -> None:
        with WheelReader(cache=None) as reader, pytest.raises(OutsideError, match="No such file"):
            reader.read((tmp_path / "x.whl").as_uri(), filename=NAME, sha256="0" * 64)

    def test_no_zip(self, tmp_path: Path) -> None:
        (tmp_path / "x.whl").write_bytes(b"none")
        with WheelReader(cache=None) as reader, pytest.raises(OutsideError, match="is not a wheel"):
            reader.read(str(tmp_path / "x.whl"), filename=NAME, sha256=sha256(b"none"))


class TestLicence:
    METADATA = b"Metadata-Version: 2.4\nName: thing\nVersion: 1.0\nLicense-Expression: MIT\n\nLicense: no\n"
    SAID = Declared("MIT", "", ())

    def wheel(self, *, last: bool, metadata: bytes = METADATA) -> bytes:
        """A large wheel with its METADATA beside the list of files, or far from it."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            paths = {"thing/padding": bytes(400_000), "thing-1.0.dist-info/METADATA": metadata}
            for path in paths if last else reversed(paths):
                archive.writestr(path, paths[path])
        return buffer.getvalue()

    def test_beside_the_list_it_costs_nothing(self, index: Index, reader: WheelReader) -> None:
        index.files["thing.whl"] = self.wheel(last=True)
        assert read(reader, index, "thing.whl").declared == self.SAID
        assert index.ranges == ["bytes=-131072"]

    def test_elsewhere_it_costs_one_question_once(self, index: Index, tmp_path: Path) -> None:
        index.files["thing.whl"] = self.wheel(last=False)
        for _ in range(2):
            with WheelReader(cache=tmp_path) as reader:
                assert read(reader, index, "thing.whl").declared == self.SAID
        assert len(index.ranges) == 2
        assert str(index.ranges[1]).startswith("bytes=0-")

    def test_of_a_file_here(self, tmp_path: Path) -> None:
        file = tmp_path / "thing.whl"
        file.write_bytes(self.wheel(last=False))
        with WheelReader(cache=None) as reader:
            found = reader.read(str(file), filename=NAME, sha256=sha256(file.read_bytes()))
        assert found.declared == self.SAID

    @pytest.mark.parametrize("faults", [["404"], ["500"] * 3, ["other range"], ["hang up"] * 3])
    def test_one_that_cannot_be_had_is_done_without_and_asked_for_again(
        self, index: Index, tmp_path: Path, faults: list[str]
    ) -> None:
        index.files["thing.whl"] = self.wheel(last=False)
        index.faults = ["none", *faults]
        with WheelReader(cache=tmp_path) as reader:
            found = read(reader, index, "thing.whl")
        assert (found.declared, found.complete, len(found.entries)) == (None, True, 2)
        with WheelReader(cache=tmp_path) as reader:
            assert read(reader, index, "thing.whl").declared == self.SAID

    def test_one_that_is_damaged_is_done_without(self, index: Index, reader: WheelReader) -> None:
        content = self.wheel(last=True)
        index.files["thing.whl"] = content.replace(b"License-Expression: MIT", b"License-Expression: BSD")
        assert read(reader, index, "thing.whl").declared is None

    def test_fields_are_bounded_and_what_is_no_text_is_no_fault(self, index: Index, reader: WheelReader) -> None:
        lines = [b"License: " + b"x" * 5000, *[b"Classifier: License :: A\xff"] * 50, b"Classifier: Topic :: B"]
        index.files["thing.whl"] = self.wheel(last=True, metadata=b"\n".join(lines))
        found = read(reader, index, "thing.whl").declared
        assert found is not None
        assert (len(found.text), len(found.classifiers), found.classifiers[0]) == (600, 8, "License :: A\ufffd")


class TestCache:
    def test_hits_make_no_requests(self, index: Index, tmp_path: Path) -> None:
        cache = tmp_path / "a" / "b"
        with WheelReader(cache=cache) as reader:
            first = read(reader, index, "large.whl")
            assert read(reader, index, "large.whl") is first
        with WheelReader(cache=cache) as reader:
            assert read(reader, index, "large.whl") == first
        assert len(index.asked) == 1
        assert [path.name for path in cache.iterdir()] == [sha256(LARGE)]

    @pytest.mark.parametrize(
        "damage",
        [
            lambda _: b"",
            lambda content: content[:-1],
            lambda content: content[: len(content) // 2],
            lambda content: content.replace(b"listing 2 ", b"listing 1 "),
            lambda content: content.replace(b"code", b"c0de"),
            lambda content: b"\xff" + content,
            lambda _: b"kgen-wheel-listing 2 %08x\n[]" % zlib.crc32(b"[]"),
            lambda _: b"kgen-wheel-listing 2 %08x\n[1,[]]" % zlib.crc32(b"[1,[]]"),
            lambda _: b"kgen-wheel-listing 2 %08x\n[1,{},[]]" % zlib.crc32(b"[1,{},[]]"),
        ],
    )
    def test_damage_is_mended(self, index: Index, tmp_path: Path, damage: object) -> None:
        for round_ in range(3):
            with WheelReader(cache=tmp_path) as reader:
                listing = read(reader, index, "large.whl")
            assert listing.entries["thing/code.py"] == ENTRY
            assert len(index.asked) == (1 if round_ == 0 else 2)
            file = tmp_path / sha256(LARGE)
            if round_ == 0:
                assert callable(damage)
                file.write_bytes(damage(file.read_bytes()))

    def test_an_incomplete_listing_is_not_kept(self, index: Index, tmp_path: Path) -> None:
        index.constant = "no ranges"
        index.claimed = 3_000_000_000
        with WheelReader(cache=tmp_path) as reader:
            assert not read(reader, index, "large.whl").complete
        index.constant = index.claimed = None
        with WheelReader(cache=tmp_path) as reader:
            assert read(reader, index, "large.whl").complete

    def test_a_cache_that_cannot_be_written(self, index: Index, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with WheelReader(cache=tmp_path / "file" / "cache") as reader:
            assert read(reader, index, "large.whl").complete


def test_many_threads(index: Index, tmp_path: Path) -> None:
    for number in range(40):
        index.files[f"{number}.whl"] = make_wheel({f"thing/{number}.py": b"x = 1\n"}, padding=200_000)
    with WheelReader(cache=tmp_path) as reader, ThreadPoolExecutor(16) as pool:
        names = [f"{number % 40}.whl" for number in range(160)]
        listings = list(pool.map(lambda name: read(reader, index, name), names))
    for name, listing in zip(names, listings, strict=True):
        assert f"thing/{name.removesuffix('.whl')}.py" in listing.entries
    # Who asks for what another thread is reading waits for it.
    assert len(index.asked) == 40
    assert len(list(tmp_path.iterdir())) == 40


def test_certificates_are_those_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("")
    for value, expected in [
        (str(bundle), str(bundle)),
        (str(tmp_path / "none"), True),
        ("", True),
        (None, True),
    ]:
        with WheelReader(cache=None, certificates=value) as reader:
            session = reader._client._session()
            settings = session.merge_environment_settings("https://x.example", {}, stream=True, verify=None, cert=None)
            assert settings["verify"] == expected


def listing(entries: dict[str, bytes]) -> WheelListing:
    return WheelListing(
        size=1, entries={path: (zlib.crc32(content), len(content)) for path, content in entries.items()}
    )


class TestOverlaps:
    def test_the_same_path_with_different_content(self) -> None:
        found = overlaps(
            {
                "cudnn13": listing({"nvidia/b.so": b"13", "nvidia/a.so": b"13", "nvidia/LICENSE": b"same"}),
                "cudnn12": listing({"nvidia/a.so": b"12", "nvidia/b.so": b"12", "nvidia/LICENSE": b"same"}),
                "other": listing({"other/a.so": b"x"}),
            }
        )
        assert found == [Overlap(first="cudnn12", second="cudnn13", paths=("nvidia/a.so", "nvidia/b.so"))]

    def test_pairs_of_three(self) -> None:
        found = overlaps({"a": listing({"x": b"1"}), "b": listing({"x": b"2"}), "c": listing({"x": b"1"})})
        assert [(item.first, item.second) for item in found] == [("a", "b"), ("b", "c")]

    def test_compared_as_installed(self) -> None:
        found = overlaps(
            {
                "a": listing({"pkg/x.py": b"1", "pkg/y.py": b"1", "pkg/z.py": b"1", "top.dist-info": b"1"}),
                "b": listing({"b-1.data/purelib/pkg/x.py": b"2", "b-1.data/platlib/pkg/y.py": b"2"}),
                "c": listing({"c-1.data/scripts/pkg/z.py": b"2", "c-1.data/data/pkg/z.py": b"3"}),
                "d": listing({"top.dist-info": b"2"}),
            }
        )
        assert found == [
            Overlap(first="a", second="b", paths=("pkg/x.py", "pkg/y.py")),
            Overlap(first="a", second="d", paths=("top.dist-info",)),
        ]

    def test_what_is_every_wheels_own(self) -> None:
        assert not overlaps(
            {
                "a": listing({"a-1.dist-info/RECORD": b"1", "c-1.dist-info/RECORD": b"1"}),
                "b": listing({"c-1.dist-info/RECORD": b"2"}),
            }
        )

    def test_an_empty_init_overlaps_with_a_full_one(self) -> None:
        assert overlaps({"a": listing({"n/__init__.py": b""}), "b": listing({"n/__init__.py": b"#"})})

    def test_size_alone_is_enough(self) -> None:
        one = WheelListing(size=1, entries={"x": (7, 1)})
        other = WheelListing(size=1, entries={"x": (7, 2)})
        assert overlaps({"a": one, "b": other})

    def test_a_wheel_does_not_overlap_with_itself(self) -> None:
        assert not overlaps({"a": listing({"p/x.py": b"1", "a-1.data/purelib/p/x.py": b"2"})})

    def test_a_file_that_a_hundred_wheels_share(self) -> None:
        listings = {
            f"wheel{wheel}": WheelListing(
                size=1, entries={f"package{wheel}/module.py": (wheel, 1), "nvidia/__init__.py": (int(wheel == 50), 0)}
            )
            for wheel in range(100)
        }
        found = overlaps(listings)
        assert {one.paths for one in found} == {("nvidia/__init__.py",)}
        assert len(found) == 99
        assert all("wheel50" in (one.first, one.second) for one in found)


def test_a_wheel_with_a_comment_at_its_end(index: Index, reader: WheelReader) -> None:
    comment = b"c" * 60_000
    content = LARGE[:-2] + struct.pack("<H", len(comment)) + comment
    index.files["large.whl"] = content
    assert read(reader, index, "large.whl").size == len(content)


class TestTrust:
    @pytest.fixture(name="secured")
    def _secured(self, index: Index, tmp_path: Path) -> tuple[Index, Path]:
        """The index with a certificate of its own, that only who is told of it trusts."""
        certificate, secret = tmp_path / "own.pem", tmp_path / "secret.pem"
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "2", "-subj", "/CN=index", "-addext", "subjectAltName=IP:127.0.0.1",
                "-out", certificate, "-keyout", secret,
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, secret)
        index.socket = context.wrap_socket(index.socket, server_side=True)
        return index, certificate

    @pytest.fixture(autouse=True)
    def _no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)

    def url(self, index: Index, host: str = "127.0.0.1") -> str:
        return f"https://{host}:{index.server_port}/files/small.whl"

    def listing(self, url: str, certificates: str | None) -> WheelListing:
        with WheelReader(cache=None, certificates=certificates) as reader:
            return reader.read(url, filename=NAME, sha256=sha256(SMALL))

    def test_who_is_trusted_is_read(self, secured: tuple[Index, Path]) -> None:
        index, certificate = secured
        assert self.listing(self.url(index), str(certificate)).size == len(SMALL)

    def test_a_folder_of_certificates(self, secured: tuple[Index, Path], tmp_path: Path) -> None:
        index, certificate = secured
        folder = tmp_path / "trusted"
        folder.mkdir()
        named = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", certificate], check=True, capture_output=True, text=True
        )
        (folder / f"{named.stdout.strip()}.0").write_bytes(certificate.read_bytes())
        assert self.listing(self.url(index), str(folder)).size == len(SMALL)

    def test_who_is_not_is_refused(self, secured: tuple[Index, Path]) -> None:
        index, _ = secured
        with pytest.raises(OutsideError, match=r"the certificate of .* was not accepted"):
            self.listing(self.url(index), None)
        assert index.asked == []

    def test_who_goes_by_another_name_is_refused(
        self, secured: tuple[Index, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        index, certificate = secured
        monkeypatch.setenv("NO_PROXY", "localhost")
        with pytest.raises(OutsideError, match=r"the certificate of localhost:.* was not accepted"):
            self.listing(self.url(index, "localhost"), str(certificate))
        assert index.asked == []

    @pytest.mark.parametrize("content", [None, "", "no certificate"])
    def test_a_bundle_that_is_none(
        self, secured: tuple[Index, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
    ) -> None:
        index, _ = secured
        bundle = tmp_path / "bundle.pem"
        if content is not None:
            bundle.write_text(content)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        with pytest.raises(OutsideError, match=r"the certificate of .* was not accepted"):
            self.listing(self.url(index), None)

    def test_certificates_are_read_once_for_all_threads(
        self, secured: tuple[Index, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        index, certificate = secured
        made = []
        real = urllib3.util.ssl_.create_urllib3_context

        def create() -> ssl.SSLContext:
            made.append(real())
            return made[-1]

        monkeypatch.setattr(urllib3.util.ssl_, "create_urllib3_context", create)
        with WheelReader(cache=None, certificates=str(certificate)) as reader, ThreadPoolExecutor(8) as pool:
            pages = [pool.submit(reader.page, self.url(index), name="it", headers={}) for _ in range(24)]
            assert {page.result().status for page in pages} == {200}
        assert len(made) == 1


def test_what_a_killed_run_left_in_the_cache_goes_when_it_is_looked_for_again(tmp_path: Path) -> None:
    file = tmp_path / "a-1[x].listing"
    left, another, busy = (
        tmp_path / name for name in (".a-1[x].listing.abc.part", ".b.abc.part", ".a-1[x].listing.d.part")
    )
    for path in (left, another, busy):
        path.write_bytes(b"half")
    for path in (left, another):
        os.utime(path, (0, 0))
    cache.keep(file, "header", b"body")
    assert cache.kept(file, "header") == b"body"
    assert sorted(tmp_path.iterdir()) == sorted([file, another, busy])
