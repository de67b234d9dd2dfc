"""How channels are reached: aliases, mirrors, credentials, as rattler and conda are configured; and one that hangs."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

import pytest
import yaml
from tests.channel import CONDA_FORGE, ChannelServer, mirrored, serving
from tests.command import Kgen, Result
from tests.conda_packages import MINOR, Channel

from kgen import condarc

ASK = ("lock", "--conda", "--python", MINOR, "--platform", "linux-64", "numpy", "--cpu")


def good(result: Result) -> Result:
    assert result.status == 0, result.stderr
    return result


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    (tmp_path / "home/.config").mkdir(parents=True)
    return tmp_path / "home"


def at_home(kgen: Kgen, home: Path, *words: str, **environment: str) -> Result:
    inside = {**kgen.environment, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), **environment}
    return dataclasses.replace(kgen, environment=inside)(*words)


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
            ("channel_alias: [a\n", "error: [TEMP]/home/.condarc is no YAML: "),
            ("- a\n", "error: [TEMP]/home/.condarc is no configuration of conda: it is no map of keys\n"),
            ("channel_alias: 3\n", "error: conda's configuration cannot be used: `3` is no URL ([TEMP]/home/.condarc)"),
            ("custom_channels: [a]\n", "error: conda's configuration cannot be used: "),
        ],
    )
    def test_damaged(self, conda: Kgen, home: Path, project: Path, text: str, said: str) -> None:
        """The wheels are locked all the same."""
        (home / ".condarc").write_text(text)
        result = at_home(conda, home, *ASK)
        assert result.status == 2
        assert said in result.stderr
        assert (project / "locks/numpy-cpu/pylock.linux-64.toml").exists()

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
    assert result.stderr.endswith("not locked for conda: numpy-cpu; what is there of it was left as it is\n")
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
