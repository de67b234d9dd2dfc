"""How channels are reached: aliases, mirrors, credentials, as rattler and conda are configured; and one that hangs."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import select
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest
import trustme
import yaml
from tests.channel import CONDA_FORGE, ChannelServer, mirrored, serving
from tests.command import Kgen, Result
from tests.conda_packages import MINOR, Channel
from tests.loopback import Handler, Server, running

from kgen.errors import OutsideError, SettingsError, UsageError
from kgen.formats.conda import condarc, rattlertool

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
ASK = ("lock", "--conda", "--python", MINOR, "--platform", "linux-64", "numpy", "--cpu")


def good(result: Result) -> Result:
    assert result.status == 0, result.stderr
    return result


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    (tmp_path / "home/.config").mkdir(parents=True)
    return tmp_path / "home"


def at_home(kgen: Kgen, home: Path, *words: str, **environment: str) -> Result:
    named = {*kgen.environment} - {*PROXIES, *(one.upper() for one in PROXIES), *CERTIFICATES}
    there = {name: kgen.environment[name] for name in named}
    inside = {**there, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), **environment}
    return dataclasses.replace(kgen, environment=inside)(*words)


def numpy_of(channel: str) -> rattlertool.Query:
    return rattlertool.Query("linux-64", (channel,), ("numpy",), (("__glibc", "2.28"),), None)


def asked_for_numpy(home: Path, channel: str) -> object:
    """What a session of its own says of it."""
    (answer,) = rattlertool.Rattler(home / "cache").solve([numpy_of(channel)])
    return answer


@pytest.fixture(name="plain")
def _plain(home: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies and certificates, of a user whose home that is."""
    for name in (*PROXIES, *(one.upper() for one in PROXIES), *CERTIFICATES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    return monkeypatch


def texts(project: Path) -> str:
    return "".join(path.read_text() for path in (project / "locks/numpy-cpu").rglob("*") if path.is_file())


class TestWhereTheChannelIs:
    """A lock names the channel as the settings do, wherever it was fetched from."""

    @pytest.fixture(name="below")
    @staticmethod
    def _below(built: Channel, tmp_path: Path) -> Path:
        """A server's folder with the channel below it, by its name."""
        (tmp_path / "www/mirror").mkdir(parents=True)
        (tmp_path / "www/mirror/conda-forge").symlink_to(built.folder)
        return tmp_path / "www"

    @pytest.mark.parametrize(
        "text",
        [
            "channel_alias: {}/mirror\n",
            "channel_alias: {}/mirror/\nchannels: [defaults]\n",
            "custom_channels:\n  conda-forge: {}/mirror\n",
            "mirrored_channels:\n  conda-forge:\n    - {}/mirror/conda-forge\n",
            "channel_alias: ${{WHERE}}/mirror\n",
        ],
    )
    def test_by_condarc(self, conda: Kgen, home: Path, project: Path, below: Path, text: str) -> None:
        with serving(below) as server:
            (home / ".condarc").write_text(text.format(server.url))
            good(at_home(conda, home, *ASK, WHERE=server.url))
            assert any(path.startswith("/mirror/conda-forge/noarch/") for path in server.asked)
            good(at_home(conda, home, "sync", "numpy-cpu-conda", WHERE=server.url))
            assert any("/mirror/conda-forge/linux-64/numpy-" in path for path in server.asked)
            assert server.url not in texts(project).replace("environment.json", "")
        rows = yaml.safe_load((project / "locks/numpy-cpu/conda-lock.yml").read_text())
        assert {row["url"].rpartition("/")[0].rpartition("/")[0] for row in rows["package"]} == {CONDA_FORGE}
        assert rows["metadata"]["channels"] == [{"url": "conda-forge", "used_env_vars": []}]

    def test_rattlers_configuration_wins(self, conda: Kgen, home: Path, below: Path) -> None:
        with serving(below) as server:
            (home / ".condarc").write_text("custom_channels:\n  conda-forge: http://127.0.0.1:9/nobody\n")
            mirrored(home / ".config", f"{server.url}/mirror/conda-forge")
            good(at_home(conda, home, *ASK, "--dry-run"))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("channel_alias: [a\n", "error: [TEMP]/home/.condarc is not YAML: "),
            ("- a\n", "error: [TEMP]/home/.condarc is not a configuration of conda: it is not a map of keys\n"),
            (
                "channel_alias: 3\n",
                "error: conda's configuration cannot be used: channel_alias: `3` is not a URL ([TEMP]/home/.condarc)",
            ),
            *(
                (text, f"error: conda's configuration cannot be used: {said} ([TEMP]/home/.condarc)")
                for text, said in (
                    ("custom_channels: [a]\n", "custom_channels: should be a table, is an array"),
                    ("custom_channels: {a: 1}\n", "custom_channels.a: `1` is not a URL"),
                    ("mirrored_channels: {a: {b: c}}\n", "mirrored_channels.a: should be an array, is a table"),
                    ("custom_multichannels: x\n", "custom_multichannels: should be a table, is text"),
                    ("proxy_servers: x\n", "proxy_servers: should be a table, is text"),
                    ("ssl_verify: {a: b}\n", "ssl_verify: should be text or true or false, is a table"),
                    (
                        "remote_read_timeout_secs: soon\n",
                        "remote_read_timeout_secs: could not convert string to float: 'soon'",
                    ),
                )
            ),
        ],
    )
    def test_damaged(self, conda: Kgen, home: Path, project: Path, text: str, said: str) -> None:
        """The wheels are locked all the same."""
        (home / ".condarc").write_text(text)
        result = at_home(conda, home, *ASK)
        assert result.status == 2
        assert said in result.stderr
        assert (project / "locks/numpy-cpu/pylock.linux-64.toml").exists()

    @pytest.mark.parametrize(
        ("file", "environment"),
        [
            (None, {"CONDA_CHANNEL_ALIAS": "{}/mirror"}),
            ("miniforge/.condarc", {"CONDA_EXE": "{home}/miniforge/bin/conda"}),
            ("root/condarc", {"CONDA_ROOT": "{home}/root"}),
        ],
    )
    def test_by_the_environment_and_by_the_file_beside_conda(
        self, conda: Kgen, home: Path, below: Path, file: str | None, environment: Mapping[str, str]
    ) -> None:
        with serving(below) as server:
            if file is not None:
                (home / file).parent.mkdir()
                (home / file).write_text(f"channel_alias: {server.url}/mirror\n")
            named = {name: value.format(server.url, home=home) for name, value in environment.items()}
            good(at_home(conda, home, *ASK, "--dry-run", **named))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "custom_multichannels:\n  mine: [conda-forge, {}/other]\n",
                "`mine` is not one channel: conda's configuration ([TEMP]/home/.condarc) has it stand for several",
            ),
            ("denylist_channels: [mine]\n", "([TEMP]/home/.condarc) does not allow the channel mine"),
            ("denylist_channels: ['{}/mirror/mine/']\n", None),
            ("allowlist_channels: [conda-forge]\n", "([TEMP]/home/.condarc) does not allow the channel mine"),
            ("allowlist_channels: [conda-forge, mine]\n", None),
        ],
    )
    def test_what_may_not_be_asked(
        self, *, conda: Kgen, home: Path, project: Path, below: Path, text: str, said: str | None
    ) -> None:
        """The wheels are locked all the same, and the channel that a stranger has by that name is not asked."""
        (below / "mirror/mine").symlink_to(below / "mirror/conda-forge")
        with serving(below) as server:
            (home / ".condarc").write_text(f"channel_alias: {server.url}/mirror\n{text.format(server.url)}")
            result = at_home(conda, home, *ASK, "--channel", "mine")
            assert result.status == (0 if said is None else 2), result.stderr
            assert (said or "") in result.stderr
            assert bool(server.asked) is (said is None)
            assert (project / "locks/numpy-cpu/pylock.linux-64.toml").exists()

    @pytest.mark.usefixtures("plain")
    def test_what_cannot_be_heeded(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (home / ".condarc").write_text("channel_priority: flexible\noffline: true\n")
        first, second = condarc.read().remarks
        assert first.startswith("kgen ignores `channel_priority: flexible` of conda's configuration: ")
        assert second.startswith("kgen ignores `offline` of conda's configuration, and ")
        (home / ".condarc").write_text("channel_priority: strict\noffline: false\n")
        assert condarc.read().remarks == ()
        monkeypatch.setenv("CONDA_CHANNEL_PRIORITY", "disabled")
        monkeypatch.setenv("CONDA_OFFLINE", "1")
        said = " ".join(condarc.read().remarks)
        assert "`channel_priority: disabled`" in said
        assert "`offline`" in said
        monkeypatch.delenv("CONDA_CHANNEL_PRIORITY")
        monkeypatch.delenv("CONDA_OFFLINE")
        # what would choose or forbid packages
        (home / ".condarc").write_text(
            "disallowed_packages: [keras]\npinned_packages: numpy=1.26\ntrack_features: []\nuse_only_tar_bz2: false\n"
        )
        disallowed, pinned = condarc.read().remarks
        assert disallowed.startswith("kgen ignores `disallowed_packages` of conda's configuration: a lock may hold ")
        assert pinned.startswith("kgen ignores `pinned_packages` of conda's configuration: `--require` ")
        (home / ".condarc").write_text("pinned_packages: { a: b }\n")
        with pytest.raises(SettingsError, match="conda's configuration cannot be used"):
            condarc.read()
        (home / ".condarc").unlink()
        monkeypatch.setenv("CONDA_OVERRIDE_GLIBC", "2.17")
        monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "")
        assert condarc.overridden() == (
            "kgen ignores CONDA_OVERRIDE_GLIBC: `--cuda`, `--driver` and `--glibc` say what machine a lock is for",
        )

    def test_the_nearest_file_counts(self, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
        (home / ".conda/condarc.d").mkdir(parents=True)
        (home / ".conda/condarc.d/a.yaml").write_text("channel_alias: http://far\ncustom_channels: {a: http://a}\n")
        (home / ".condarc").write_text("custom_channels: {b: http://b/}\nssl_verify: false\n")
        (tmp_path / "named").write_text("channel_alias: http://near\nremote_read_timeout_secs: 5.2\n")
        monkeypatch.setenv("CONDARC", str(tmp_path / "named"))
        found = condarc.read()
        assert (found.alias, found.verify, found.timeout) == ("http://near", False, 5)
        assert found.mirrors == {"a": ("http://a/a",), "b": ("http://b/b",)}
        assert len(found.files) == 3
        monkeypatch.setenv("CONDA_REMOTE_READ_TIMEOUT_SECS", "7")
        assert condarc.read().timeout == 7


class _Proxy(Handler):
    """Fetches what is asked for, or lets through what it cannot read, and writes down both."""

    def answer(self) -> None:
        cast("ProxyServer", self.server).asked.append(f"{self.command} {self.path}")
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self.path) as answer:
                self.send(200, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                self.send(error.code)

    def do_CONNECT(self) -> None:  # noqa: N802 - http.server's name for it
        cast("ProxyServer", self.server).asked.append(f"CONNECT {self.path}")
        name, _, port = self.path.rpartition(":")
        with socket.create_connection((name, int(port))) as there:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: there, there: self.connection}
            while ready := select.select([*ends], [], [], 10)[0]:
                for end in ready:
                    if not (data := end.recv(65536)):
                        return
                    ends[end].sendall(data)


class ProxyServer(Server):
    """A proxy on loopback."""

    def __init__(self) -> None:
        super().__init__(_Proxy)
        self.asked: list[str] = []


@pytest.fixture(name="proxy")
def _proxy() -> Iterator[ProxyServer]:
    with running(ProxyServer()) as server:
        yield server


class TestProxies:
    """As the environment says, else as conda is configured; the channel itself is asked for nothing then."""

    NOBODY = "http://127.0.0.1:9"

    @pytest.mark.parametrize(
        ("text", "environment", "through"),
        [
            ("", {}, False),
            ("", {"http_proxy": "http://{}"}, True),
            ("", {"ALL_PROXY": "http://{}"}, True),
            ("", {"http_proxy": "http://{}", "NO_PROXY": "127.0.0.1"}, False),
            ("proxy_servers:\n  http: http://{}\n", {}, True),
            ("proxy_servers:\n  http: {}\n", {}, True),
            ("proxy_servers:\n  all: http://${{WHERE}}\n  https:\n", {}, True),
            ("proxy_servers:\n  http: http://me:s3cr3t@{}\n", {}, True),
            ("proxy_servers:\n  https: http://{}\n", {}, False),
            ("proxy_servers:\n  http: http://{}\n", {"no_proxy": "other.example, 127.0.0.1"}, False),
            ("proxy_servers:\n  http: http://127.0.0.1:9\n", {"HTTP_PROXY": "http://{}"}, True),
        ],
    )
    def test_asked(
        self,
        *,
        home: Path,
        proxy: ProxyServer,
        served: ChannelServer,
        plain: pytest.MonkeyPatch,
        text: str,
        environment: Mapping[str, str],
        through: bool,
    ) -> None:
        plain.setenv("WHERE", proxy.place)
        for name, value in environment.items():
            plain.setenv(name, value.format(proxy.place))
        (home / ".condarc").write_text(text.format(proxy.place))
        tool = rattlertool.Rattler(home / "cache")
        (answer,) = tool.solve([numpy_of(served.url)])
        assert isinstance(answer, list), answer
        assert [one.partition(" ")[2].startswith(served.url) for one in proxy.asked] == [True] * len(proxy.asked)
        assert bool(proxy.asked) == through
        assert len(served.asked) >= len(proxy.asked)
        assert not through or len(served.asked) == len(proxy.asked)

    def test_locked_and_installed_through_it(
        self, conda: Kgen, home: Path, project: Path, proxy: ProxyServer, served: ChannelServer
    ) -> None:
        """What cannot be heeded of conda's configuration is told, once."""
        single = "http://one.example: http://127.0.0.1:9"
        (home / ".condarc").write_text(
            f"proxy_servers:\n  http: http://me:s3cr3t@{proxy.place}\n  {single}\nclient_ssl_cert: mine.pem\n"
        )
        result = good(at_home(conda, home, *ASK, "--channel", served.url))
        said = "note: kgen ignores proxies for single hosts in conda's configuration (`proxy_servers`): http://one.example\n"
        assert result.stderr.count(said) == 1
        assert "note: kgen ignores `client_ssl_cert` of conda's configuration: rattler does not" in result.stderr
        assert len(proxy.asked) == len(served.asked)
        result = good(at_home(conda, home, "sync", "numpy-cpu-conda"))
        assert said in result.stderr
        assert [one for one in proxy.asked if one.startswith("GET") and "/linux-64/numpy-" in one]
        assert "s3cr3t" not in texts(project) + result.stderr

    def test_out_of_order(self, conda: Kgen, home: Path, served: ChannelServer) -> None:
        (home / ".condarc").write_text(f"proxy_servers:\n  http: {self.NOBODY}\n")
        result = at_home(conda, home, *ASK, "--channel", served.url)
        assert result.status == 4
        assert "cannot be reached" in result.stderr
        assert "hint: check the network, the proxy and the mirrors" in result.stderr
        assert not served.asked


class TestCertificates:
    """A channel whose certificate is of an authority that nobody knows."""

    @pytest.fixture(name="authority")
    @staticmethod
    def _authority(tmp_path: Path) -> trustme.CA:
        made = trustme.CA()
        made.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        return made

    @pytest.fixture(name="secure")
    @staticmethod
    def _secure(served: ChannelServer, authority: trustme.CA) -> Iterator[str]:
        """The same channel, over TLS; gives its address."""
        server = ChannelServer(served.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        with running(server):
            yield f"https://localhost:{server.server_port}"

    def test_not_trusted(self, conda: Kgen, home: Path, secure: str) -> None:
        result = at_home(conda, home, *ASK, "--channel", secure)
        assert result.status == 4
        assert "has a certificate that is not trusted: " in result.stderr
        assert "hint: name the authority: `ssl_verify: PATH` in .condarc, or SSL_CERT_FILE\n" in result.stderr

    def test_trusted_by_condarc(self, conda: Kgen, home: Path, project: Path, secure: str) -> None:
        (home / ".condarc").write_text("ssl_verify: ${PEMS}/authority.pem\n")
        pems = str(home.parent)
        good(at_home(conda, home, *ASK, "--channel", secure, PEMS=pems))
        good(at_home(conda, home, "sync", "numpy-cpu-conda", PEMS=pems))
        assert (project / ".kgen/envs/numpy-cpu-conda/bin/python").exists()

    @pytest.mark.parametrize(
        ("text", "environment"),
        [
            ("", {"SSL_CERT_FILE": "{}"}),
            ("", {"REQUESTS_CA_BUNDLE": "{}"}),
            ("", {"CONDA_SSL_VERIFY": "{}"}),
            ("ssl_verify: true\n", {"CURL_CA_BUNDLE": "{}"}),
            ("ssl_verify: false\n", {}),
            ("ssl_verify: true\n", {"CONDA_SSL_VERIFY": "no"}),
        ],
    )
    def test_trusted(
        self, home: Path, secure: str, plain: pytest.MonkeyPatch, text: str, environment: Mapping[str, str]
    ) -> None:
        (home / ".condarc").write_text(text)
        for name, value in environment.items():
            plain.setenv(name, value.format(home.parent / "authority.pem"))
        before = dict(os.environ)
        tool = rattlertool.Rattler(home / "cache")
        assert dict(os.environ) == before
        (answer,) = tool.solve([numpy_of(secure)])
        assert isinstance(answer, list), answer
        unchecked = "{}" not in environment.values() and "authority" not in str(environment)
        assert list(tool.remarks) == (
            ["kgen does not check the certificates of channels, because conda's configuration says so (`ssl_verify`)"]
            if unchecked
            else []
        )

    @pytest.mark.usefixtures("plain")
    def test_through_a_proxy(self, home: Path, proxy: ProxyServer, secure: str) -> None:
        (home / ".condarc").write_text(
            f"ssl_verify: {home.parent}/authority.pem\nproxy_servers: {{https: 'http://{proxy.place}'}}\n"
        )
        answer = asked_for_numpy(home, secure)
        assert isinstance(answer, list), answer
        assert {*proxy.asked} == {f"CONNECT {secure.removeprefix('https://')}"}

    def test_a_folder_of_authorities(self, home: Path, plain: pytest.MonkeyPatch, secure: str) -> None:
        """Each is there under the hash of its subject, as OpenSSL and so conda want it."""
        folder = home / "authorities"
        folder.mkdir()
        (home / ".condarc").write_text(f"ssl_verify: {folder}\n")
        plain.setenv("SSL_CERT_FILE", str(home / "none.pem"))
        trustme.CA().cert_pem.write_to_path(str(folder / "another.pem"))
        subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)
        assert isinstance(asked_for_numpy(home, secure), OutsideError)
        shutil.copy(home.parent / "authority.pem", folder)
        subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)
        before = dict(os.environ)
        answer = asked_for_numpy(home, secure)
        assert isinstance(answer, list), answer
        assert dict(os.environ) == before

    def test_the_systems(self, home: Path, plain: pytest.MonkeyPatch, secure: str) -> None:
        (home / ".condarc").write_text("ssl_verify: truststore\n")
        assert condarc.read().truststore
        assert isinstance(asked_for_numpy(home, secure), OutsideError)
        plain.setenv("SSL_CERT_FILE", str(home.parent / "authority.pem"))  # what OpenSSL takes for the system's
        answer = asked_for_numpy(home, secure)
        assert isinstance(answer, list), answer

    def test_not_there(self, conda: Kgen, home: Path, project: Path, secure: str) -> None:
        (home / ".condarc").write_text("ssl_verify: /nowhere/authority.pem\n")
        result = at_home(conda, home, *ASK, "--channel", secure)
        assert result.status == 2
        assert (
            "error: conda's configuration cannot be used: ssl_verify: certificates are to be in /nowhere/authority.pem,"
            " which is not there ([TEMP]/home/.condarc)\n"
        ) in result.stderr
        assert (project / "locks/numpy-cpu/pylock.linux-64.toml").exists()

    def test_no_certificates(self, home: Path, plain: pytest.MonkeyPatch) -> None:
        (home / "empty.pem").write_text("nothing\n")
        plain.setenv("SSL_CERT_FILE", str(home / "empty.pem"))
        with pytest.raises(UsageError, match=r"see whether the certificates in .*empty\.pem are some"):
            rattlertool.Rattler(home / "cache")


class TestCredentials:
    """In rattler's store or in netrc; never in the settings, never in a lock."""

    @pytest.fixture(name="guarded")
    @staticmethod
    def _guarded(served: ChannelServer) -> ChannelServer:
        served.wanted = "Bearer s3cr3t"
        return served

    def test_none(self, conda: Kgen, home: Path, guarded: ChannelServer) -> None:
        result = at_home(conda, home, *ASK, "--channel", guarded.url)
        assert result.status == 4
        assert "the conda channel http://[INDEX] refuses to answer" in result.stderr
        assert "hint: log in with `rattler auth login`" in result.stderr

    @pytest.mark.parametrize(
        ("stored", "wanted"),
        [
            ({"BearerToken": "s3cr3t"}, "Bearer s3cr3t"),
            (
                {"BasicHTTP": {"username": "me", "password": "s3cr3t"}},
                f"Basic {base64.b64encode(b'me:s3cr3t').decode()}",
            ),
            ({"CondaToken": "s3cr3t"}, "s3cr3t"),
        ],
    )
    def test_rattlers_store(
        self, conda: Kgen, project: Path, guarded: ChannelServer, stored: object, wanted: str
    ) -> None:
        home = conda.temporary
        guarded.wanted = wanted
        path = home / "auth.json"
        path.write_text(json.dumps({"127.0.0.1": stored}))
        result = good(at_home(conda, home, *ASK, "--channel", guarded.url, RATTLER_AUTH_FILE=str(path)))
        good(at_home(conda, home, "sync", "numpy-cpu-conda", RATTLER_AUTH_FILE=str(path)))
        assert "s3cr3t" not in texts(project) + result.stdout + result.stderr

    def test_netrc(self, conda: Kgen, home: Path, project: Path, guarded: ChannelServer) -> None:
        guarded.wanted = f"Basic {base64.b64encode(b'me:s3cr3t').decode()}"
        (home / ".netrc").write_text("machine 127.0.0.1 login me password s3cr3t\n")
        good(at_home(conda, home, *ASK, "--channel", guarded.url, NETRC=str(home / ".netrc")))
        assert "s3cr3t" not in texts(project)

    @pytest.mark.parametrize("url", ["http://me:s3cr3t@127.0.0.1:9/main", "http://127.0.0.1:9/t/s3cr3t/main"])
    def test_in_the_settings_they_are_refused(self, conda: Kgen, project: Path, url: str) -> None:
        result = conda(*ASK, "--channel", url)
        assert result.status == 2
        assert "holds credentials, which a lock would carry on" in result.stderr
        assert "s3cr3t" not in result.stderr
        assert not (project / "locks").exists()


def test_a_folder_on_the_way_to_a_channel_is_no_token(
    conda: Kgen, home: Path, project: Path, built: Channel, tmp_path: Path
) -> None:
    """`/t/NAME` is one in the URLs of servers only."""
    (tmp_path / "srv/t").mkdir(parents=True)
    (tmp_path / "srv/t/main").symlink_to(built.folder)
    channel = (tmp_path / "srv/t/main").as_uri()
    good(at_home(conda, home, *ASK, "--channel", channel))
    assert f'"{channel}"' in (project / "locks/numpy-cpu/environment.yml").read_text(encoding="utf-8")
    good(at_home(conda, home, "sync", "numpy-cpu-conda"))
    (tmp_path / "srv/t/main").unlink()
    failed = at_home(conda, home, *ASK, "--channel", channel, "--upgrade")
    assert failed.status == 4
    assert "/srv/t/main" in failed.stderr


def test_a_channel_that_says_nothing(conda: Kgen, home: Path, project: Path, served: ChannelServer) -> None:
    """Told apart from one that is not there; the wheels are written, what was locked before stands."""
    good(at_home(conda, home, *ASK, "--channel", served.url))
    before = (project / "locks/numpy-cpu/conda-lock.yml").read_bytes()
    (project / "locks/numpy-cpu/pylock.linux-64.toml").unlink()
    (home / ".condarc").write_text("remote_read_timeout_secs: 1\n")
    served.misbehave("hang")
    result = at_home(conda, home, *ASK, "--channel", served.url, RATTLER_CACHE_DIR=str(home / "cache"))
    assert result.status == 4
    assert "the conda channel http://[INDEX] did not answer in time: " in result.stderr
    assert result.stderr.endswith("not locked for conda: numpy-cpu; existing locks are unchanged\n")
    assert (project / "locks/numpy-cpu/conda-lock.yml").read_bytes() == before
    assert (project / "locks/numpy-cpu/pylock.linux-64.toml").exists()


def test_the_first_channel_has_the_say(conda: Kgen, project: Path, built: Channel, tmp_path: Path) -> None:
    """Strictly: what the first has at all comes from there, also where the next has a newer one."""
    newer = Channel(folder=tmp_path / "newer")
    newer.add("keras", "3.99.0", subdir="noarch", depends=["python"])
    newer.add("scipy", "1.99.0", "0", depends=["python"])
    newer.index()
    first, second = built.folder.as_uri(), newer.folder.as_uri()
    good(conda(*ASK, "--channel", first, "--channel", second))
    rows = yaml.safe_load((project / "locks/numpy-cpu/conda-lock.yml").read_text())["package"]
    assert {row["name"]: row["version"] for row in rows}["keras"] == "3.15.0"
    good(conda(*ASK, "--channel", second, "--channel", first))
    rows = yaml.safe_load((project / "locks/numpy-cpu/conda-lock.yml").read_text())["package"]
    assert {row["name"]: row["version"] for row in rows}["keras"] == "3.99.0"
