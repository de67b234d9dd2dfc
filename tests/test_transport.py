"""What a server can do to kgen's own requests: drip, send bombs, lead astray; and whose credentials it gets."""

from __future__ import annotations

import base64
import dataclasses
import errno
import gzip
import json
import os
import re
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
from tests.command import LOCK, Kgen, tree
from tests.index import Index as WheelIndex
from tests.loopback import Handler, Server, running

from kgen import files, host, transport, uvsettings, uvtool
from kgen.errors import OutsideError, SettingsError
from kgen.index import Index, parse
from kgen.logins import Login, Logins
from kgen.served.file import Page
from kgen.wheels import WheelReader

PATIENCE = 1.0


class Mean(Handler):
    def answer(self) -> None:
        server = cast("MeanServer", self.server)
        with server.guard:
            server.asked.append((self.path, self.headers.get("Authorization")))
        kind = self.path.strip("/").rpartition("/")[2]
        if kind == "drip":
            self.drip()
        elif kind == "drip-head":
            self.drip_head()
        elif kind.startswith("to="):
            self.send(302, b"", {"Location": server.targets[int(kind[3:])]})
        elif kind in server.packed:
            encoding, body = server.packed[kind]
            self.send(200, body, {"Content-Type": "text/html", "Content-Encoding": encoding})
        elif kind == "locked":
            wanted = "Basic " + base64.b64encode("mé:p@ss/w:rd".encode()).decode()
            given = self.headers.get("Authorization") == wanted
            self.send(
                200 if given else 401, b'<a href="/files/a-1-py3-none-any.whl">a</a>', {"Content-Type": "text/html"}
            )
        else:
            self.send(403)

    def drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.slowly(b"x")

    def drip_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.slowly(b"X-A: b\r\n")

    def slowly(self, piece: bytes) -> None:
        server = cast("MeanServer", self.server)
        self.close_connection = True
        try:
            while not server.closing.wait(0.05):
                self.wfile.write(piece)
        except OSError:
            return


class MeanServer(Server):
    def __init__(self) -> None:
        super().__init__(Mean)
        self.asked: list[tuple[str, str | None]] = []
        self.targets: list[str] = []
        self.packed: dict[str, tuple[str, bytes]] = {}


@pytest.fixture
def server() -> Iterator[MeanServer]:
    with running(MeanServer()) as made:
        yield made


@pytest.fixture
def reader() -> Iterator[WheelReader]:
    with WheelReader(cache=None, patience=PATIENCE) as made:
        yield made


def page(reader: WheelReader, url: str) -> Page:
    return reader.page(url, name="the page", headers={})


class TestTime:
    @pytest.mark.parametrize("kind", ["drip", "drip-head"])
    def test_a_byte_now_and_then_is_no_answer(self, server: MeanServer, reader: WheelReader, kind: str) -> None:
        begun = time.monotonic()
        with pytest.raises(OutsideError, match=r"did not answer in time|broke"):
            page(reader, f"{server.root}/{kind}")
        assert time.monotonic() - begun < 5 * PATIENCE

    def test_many_answers_that_are_each_in_time(self, server: MeanServer) -> None:
        """Each is quick, and together they would go on for ever."""
        server.packed["quick"] = ("gzip", gzip.compress(b"<html></html>"))
        begun = time.monotonic()
        with WheelReader(cache=None, within=0.5) as reader, pytest.raises(OutsideError) as caught:  # noqa: PT012 - whichever
            while time.monotonic() < begun + 60:
                page(reader, f"{server.root}/quick")
        assert "took longer than 0.5 s together" in caught.value.message
        assert caught.value.hints[-1].endswith("export KGEN_TIMEOUT=1")

    def test_a_wheel_too(self, server: MeanServer, reader: WheelReader) -> None:
        begun = time.monotonic()
        with pytest.raises(OutsideError):
            reader.read(f"{server.root}/drip", filename="a-1-py3-none-any.whl", sha256="0" * 64)
        assert time.monotonic() - begun < 5 * PATIENCE

    @pytest.mark.parametrize("words", [(*LOCK, "numpy"), ("matrix", "refresh", "--check")])
    def test_commands_end(self, kgen: Kgen, server: MeanServer, tmp_path: Path, words: tuple[str, ...]) -> None:
        class All(Mean):
            def answer(self) -> None:
                self.drip()

        server.RequestHandlerClass = All
        begun = time.monotonic()
        done = kgen.at(f"{server.root}/simple")(
            *words, KGEN_TIMEOUT="3", UV_CACHE_DIR=str(tmp_path / "uv"), KGEN_CACHE_DIR=str(tmp_path / "kgen")
        )
        assert done.status == 4
        said = ("did not answer in time", "had not ended after 3 s", "took longer than 3 s together")
        assert any(text in done.stderr for text in said), done.stderr
        assert time.monotonic() - begun < 30

    @pytest.mark.parametrize("text", ["x", "0", "-1", "nan", "inf", "1\x1b[31m"])
    def test_the_variable(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        assert host.seconds(7.0) == 7.0
        monkeypatch.setenv("KGEN_TIMEOUT", text)
        with pytest.raises(SettingsError, match=r"KGEN_TIMEOUT: .* is not a number of seconds") as caught:
            host.seconds(7.0)
        assert "\x1b" not in caught.value.message


class TestSize:
    def test_what_is_packed_as_it_was_asked_for(self, server: MeanServer, reader: WheelReader) -> None:
        text = b"".join(b"%d\n" % number for number in range(2_000_000))
        server.packed = {"gzip": ("gzip", gzip.compress(text, 1)), "deflate": ("deflate", zlib.compress(text, 1))}
        for kind in server.packed:
            assert page(reader, f"{server.root}/{kind}").body == text

    def test_bombs_of_many_cost_little(self, server: MeanServer) -> None:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(500)) + packer.flush()
        server.packed = {"bomb": ("gzip", bomb)}
        with WheelReader(cache=None) as reader:

            def ask(_: int) -> str:
                with pytest.raises(OutsideError) as caught:
                    page(reader, f"{server.root}/bomb")
                return caught.value.message

            tracemalloc.start()
            with ThreadPoolExecutor(8) as pool:
                told = list(pool.map(ask, range(16)))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert all("unpacks to more than 100 times what was sent" in one for one in told)
        assert peak < 128 << 20

    @pytest.mark.parametrize(
        ("encoding", "body", "told"),
        [
            ("gzip", b"no gzip at all", "is packed, and damaged"),
            ("gzip", gzip.compress(os.urandom(9000))[:-100], "is packed, and damaged"),
            ("br", b"x", "which was not asked for"),
            ("zstd", b"x", "which was not asked for"),
            ("gzip, gzip", b"x", "which was not asked for"),
        ],
    )
    def test_what_is_packed_otherwise(
        self, server: MeanServer, reader: WheelReader, encoding: str, body: bytes, told: str
    ) -> None:
        server.packed = {"x": (encoding, body)}
        with pytest.raises(OutsideError, match=told):
            page(reader, f"{server.root}/x")


class TestAstray:
    @pytest.mark.parametrize(
        "target",
        [
            "http://169.254.169.254/latest/meta-data/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "file:///etc/passwd",
            "ftp://127.0.0.1/x",
            "gopher://127.0.0.1/",
            "http://224.0.0.1/",
        ],
    )
    def test_redirects(self, server: MeanServer, reader: WheelReader, target: str) -> None:
        server.targets = [target]
        with pytest.raises(OutsideError, match=rf"^the page: {server.place} leads to ") as caught:
            page(reader, f"{server.root}/to=0")
        assert "netrc" not in str(caught.value.hints)

    def test_within_its_own_kind_of_place_it_may(self, server: MeanServer) -> None:
        server.targets = [f"{server.root}/fine"]
        server.packed = {"fine": ("identity", b"here")}
        with WheelReader(cache=None) as reader:
            assert page(reader, f"{server.root}/to=0").body == b"here"

    @pytest.mark.parametrize(
        ("origin", "target", "may"),
        [
            ("https://203.0.113.1/a", "https://203.0.113.2/b", True),
            ("http://203.0.113.1/a", "https://203.0.113.1/a", True),
            ("https://203.0.113.1/a", "http://203.0.113.1/a", False),
            ("https://203.0.113.1/a", "https://10.0.0.1/a", True),  # a mirror within an organisation
            ("https://203.0.113.1/a", "https://127.0.0.1/a", False),
            ("https://203.0.113.1/a", "https://127.1.2.3:8080/a", False),
            ("https://203.0.113.1/a", "https://localhost/a", False),
            ("https://203.0.113.1/a", "https://x.localhost/a", False),
            ("https://203.0.113.1/a", "https://[::1]/a", False),
            ("https://203.0.113.1/a", "https://0.0.0.0/a", False),
            ("https://203.0.113.1/a", "https://2130706433/a", False),
            ("https://203.0.113.1/a", "https://[fe80::1%25eth0]/a", False),
            ("http://127.0.0.1:1/a", "http://127.0.0.1:2/b", True),
            ("http://127.0.0.1:1/a", "http://169.254.1.1/b", False),
            ("http://169.254.1.1/a", "http://169.254.1.2/b", True),
            ("https://203.0.113.1/a", "https:///b", False),
            ("https://203.0.113.1/a", "data:text/html,x", False),
        ],
    )
    def test_where_one_may_be_led(self, origin: str, target: str, *, may: bool) -> None:
        assert (transport.why_not(origin, target) is None) is may

    @pytest.mark.parametrize(
        "link", ["file:///etc/a-1-py3-none-any.whl", "http://169.254.169.254/a-1-py3-none-any.whl"]
    )
    @pytest.mark.parametrize("form", ["html", "json"])
    def test_links_of_a_page(self, link: str, form: str) -> None:
        body = (
            f'<a href="{link}">a</a>'
            if form == "html"
            else json.dumps({"files": [{"filename": link[-23:], "url": link}]})
        )
        served = Page(url="http://203.0.113.1/simple/a/", status=200, kind=f"text/{form}", body=body.encode())
        with pytest.raises(OutsideError, match=r"^the page http://203\.0\.113\.1/simple/a leads to "):
            list(parse(served, "a"))

    def test_no_credentials_are_asked_for_a_server_of_anothers(self, server: MeanServer) -> None:
        with running(MeanServer()) as other, WheelReader(cache=None, indexes=[server.root]) as reader:
            other.packed = {}
            server.targets = [f"{other.root}/no"]
            with pytest.raises(OutsideError, match=f"{other.place} answered 403") as caught:
                page(reader, f"{server.root}/to=0")
            assert "netrc" not in str(caught.value.hints)
            with pytest.raises(OutsideError, match=f"{server.place} answered 403") as caught:
                page(reader, f"{server.root}/no")
            assert "netrc" in str(caught.value.hints)


SECRET = "m%C3%A9:p%40ss%2Fw%3Ard"  # noqa: S105 - of the tests' own server


class TestCredentials:
    def test_of_the_url_also_for_files_and_never_in_the_cache(
        self, server: MeanServer, tmp_path: Path, reader: WheelReader
    ) -> None:
        url = server.root.replace("://", f"://{SECRET}@")
        found = Index((url,), reader, cache=tmp_path).project("locked")
        assert found is not None
        assert "p%40ss" not in found.page.url + found.index + found.files[0].url
        with pytest.raises(OutsideError) as caught:
            reader.read(found.files[0].url, filename="a-1-py3-none-any.whl", sha256="0" * 64)
        assert server.asked[-1][1] is not None
        assert "ss" not in caught.value.message.replace("answered", "")
        assert not any(b"p%40ss" in content or b"p@ss" in content for content in tree(tmp_path).values())

    def test_not_for_another_server(self, server: MeanServer) -> None:
        with running(MeanServer()) as other:
            url = server.root.replace("://", f"://{SECRET}@")
            with WheelReader(cache=None, indexes=[url]) as reader, pytest.raises(OutsideError):
                page(reader, f"{other.root}/locked")
            assert other.asked == [("/locked", None)]

    @pytest.mark.parametrize(
        ("variables", "file"),
        [
            (
                {
                    "UV_INDEX": "my-corp=ROOT",
                    "UV_INDEX_MY_CORP_USERNAME": "mé",
                    "UV_INDEX_MY_CORP_PASSWORD": "p@ss/w:rd",
                },
                "",
            ),
            (
                {"UV_INDEX_MY_CORP_USERNAME": "mé", "UV_INDEX_MY_CORP_PASSWORD": "p@ss/w:rd"},
                '[[index]]\nname = "my-corp"\nurl = "ROOT"\n',
            ),
            ({"UV_DEFAULT_INDEX": "SECRET"}, ""),
            ({"UV_INDEX_URL": "SECRET"}, ""),
            ({"UV_EXTRA_INDEX_URL": "https://other.example/simple SECRET"}, ""),
            ({}, 'index-url = "SECRET"\n'),
            ({}, 'extra-index-url = ["SECRET"]\n'),
            ({}, '[pip]\nindex-url = "SECRET"\n'),
        ],
    )
    def test_as_uv_has_them(
        self,
        server: MeanServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        variables: dict[str, str],
        file: str,
    ) -> None:
        def filled(text: str) -> str:
            secret = server.root.replace("://", f"://{SECRET}@")
            return text.replace("ROOT", server.root).replace("SECRET", secret)

        monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, filled(value))
        (tmp_path / "uv.toml").write_text(filled(file), encoding="utf-8")
        (tmp_path / "below").mkdir()
        with WheelReader(cache=None, indexes=uvsettings.configured(tmp_path / "below")) as reader:
            assert page(reader, f"{server.root}/locked").status == 200

    @pytest.mark.parametrize(
        "text",
        ["index = 3", "index = [1]", "[[index]]\nname = 3\nurl = []", "pip = 3", "index-url = 3", "[" * 5000, "\0"],
    )
    def test_a_configuration_that_is_none(self, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("UV_DEFAULT_INDEX")
        (tmp_path / "uv.toml").write_text(text, encoding="utf-8")
        assert uvsettings.configured(tmp_path) == ()

    def test_the_nearest_path_counts(self) -> None:
        known = Logins(["https://a:1@x.example/one/simple", "https://b:2@x.example/two/simple", "https://y.example/"])
        assert known.of("https://x.example/two/files/x") == Login("b", "2")
        assert known.of("https://X.example:443/one/simple/p/") == Login("a", "1")
        assert known.of("https://y.example/") is None
        assert known.of("http://x.example/one/simple") is None
        assert known.configured("https://y.example/z")
        assert not known.configured("https://z.example/")

    def test_lock_where_uv_resolves(self, kgen: Kgen, index: WheelIndex, tmp_path: Path) -> None:
        """An index that answers nobody without the password, on everything; nothing of it is printed or kept."""
        password = "s3cr3t-p4ss"  # noqa: S105 - of the test's own index
        wanted = "Basic " + base64.b64encode(f"me:{password}".encode()).decode()
        open_handler = index.RequestHandlerClass

        class Guarded(open_handler):  # type: ignore[misc, valid-type]
            def answer(self) -> None:
                if self.headers.get("Authorization") == wanted:
                    super().answer()
                else:
                    self.send(401, b"", {"WWW-Authenticate": "Basic"})

        index.RequestHandlerClass = Guarded
        caches = {"UV_CACHE_DIR": str(tmp_path / "uv"), "KGEN_CACHE_DIR": str(tmp_path / "kgen")}
        ways = (
            {"UV_DEFAULT_INDEX": index.url.replace("://", f"://me:{password}@")},
            {
                "UV_DEFAULT_INDEX": f"corp={index.url}",
                "UV_INDEX_CORP_USERNAME": "me",
                "UV_INDEX_CORP_PASSWORD": password,
            },
            {"UV_DEFAULT_INDEX": index.url, "NETRC": str(tmp_path / "netrc")},
        )
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {password}\n")
        (tmp_path / "netrc").chmod(0o600)
        for way in ways:
            own = {**caches, "KGEN_CACHE_DIR": str(tmp_path / f"kgen{len(way)}"), **way}
            done = dataclasses.replace(kgen, environment={**kgen.environment, **own})(*LOCK, "numpy")
            assert done.status == 0, done.stderr
            assert password not in done.stdout + done.stderr
        kept = [path for path in (*kgen.folder.rglob("*"), *tmp_path.glob("kgen*/**/*")) if path.is_file()]
        assert not [path for path in kept if re.search(password.encode(), path.read_bytes())]


@pytest.mark.parametrize("port", ["40112", "34037", "4013", "403"])
def test_the_digits_of_a_url_are_no_status(port: str) -> None:
    reason = f"Failed to fetch: http://127.0.0.1:{port}/401/ HTTP status server error (500 Internal Server Error)"
    assert "check the network" in uvtool.failure(reason, "lock").hints[0]


def test_an_index_that_asks_for_a_login_is_told_as_one() -> None:
    reason = "Failed to fetch: http://127.0.0.1:8080/numpy/ HTTP status client error (401 Unauthorized)"
    assert "credentials" in uvtool.failure(reason, "lock").hints[0]


def test_a_cache_that_cannot_be_written_is_told_with_another() -> None:
    """As where HOME may not be written to."""
    reason = "Failed to initialize cache at `/home/x/.cache/uv`: Read-only file system (os error 30)"
    assert uvtool.failure(reason, "sync").hints[0].startswith("export UV_CACHE_DIR=/tmp/uv-cache ")


@pytest.mark.parametrize(
    "stderr",
    [
        "panicked: OS can't spawn worker thread: Resource temporarily unavailable (os error 11)",
        'on an `Err` value: Os { code: 11, kind: WouldBlock, message: "Resource temporarily unavailable" }',
        'Tokio executor failed: Os { code: 1, kind: PermissionDenied, message: "Operation not permitted" }',
    ],
)
def test_a_thread_that_uv_cannot_start(stderr: str) -> None:
    found = uvtool.failure(stderr, "lock")
    assert found.message == "uv failed: the limit of threads is reached (`ulimit -u`, or that of a container or a job)"
    assert found.hints == ("ulimit -u $(ulimit -Hu)   # in a container: --pids-limit=-1",)


def test_a_full_disk_is_told_first() -> None:
    """However much uv had to say before it."""
    stderr = (
        "Downloading jaxlib (82.8MiB)\nPrepared 16 packages in 4.16s\n"
        "warning: Failed to hardlink files; falling back to full copy.\n"
        "         If the cache and target directories are on different filesystems, hardlinking may not be supported.\n"
        "         If this is intentional, set `export UV_LINK_MODE=copy` to suppress this warning.\n"
        f"error: Failed to copy to `/{'x' * 900}`: No space left on device (os error 28)\n"
    )
    found = uvtool.failure(uvtool.words(stderr), "sync")
    assert found.message.startswith("uv failed: no space is left on a disk: Failed to copy to `/xxx")
    assert "`--envs`" in found.hints[0]
    assert "`--envs`" not in uvtool.failure("No space left on device", "lock").hints[0]


def test_a_folder_that_is_a_disk_of_its_own(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert files.unwritable(Path("/proc"), full).hints == ("df -h /proc",)
    assert files.unwritable(tmp_path / "x", full).hints == (f"df -h {tmp_path}",)
