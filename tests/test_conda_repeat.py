"""Where every channel has what it had, what came of locking for conda comes again; else it is solved anew."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.channel import ChannelServer, serving, sharded
from tests.command import Kgen, Result
from tests.conda_packages import MINOR, Channel

from kgen.formats.conda.rattlertool import Rattler
from kgen.formats.conda.shards import unchanged

ASKED = ("lock", "--conda", "--upgrade", "numpy", "--cpu", "--python", MINOR, "--platform", "linux-64")
LOCK = Path("locks/numpy-cpu/conda-records.json")


@pytest.fixture(name="watched")
def _watched(conda: Kgen, tmp_path: Path) -> Kgen:
    """The command, which says when it imports what only the rendering of a new lock needs."""
    place = tmp_path / "watch"
    place.mkdir()
    (place / "sitecustomize.py").write_text(
        "import sys\n"
        "def watch(event, args):\n"
        "    if event == 'import' and args[0] == 'yaml':\n"
        "        print('made anew', file=sys.stderr)\n"
        "sys.addaudithook(watch)\n",
        encoding="utf-8",
    )
    own = {"PYTHONPATH": str(place), "KGEN_CACHE_DIR": str(tmp_path / "kgen-cache")}
    return dataclasses.replace(conda, environment={**conda.environment, **own})


@pytest.fixture(name="grown")
def _grown(built: Channel, tmp_path: Path) -> Channel:
    """A channel that may be changed, without its packages."""
    channel = Channel(folder=tmp_path / "grown", records={name: dict(rows) for name, rows in built.records.items()})
    channel.index()
    return channel


@pytest.fixture(name="shards")
def _shards(grown: Channel, tmp_path: Path) -> Iterator[ChannelServer]:
    """The same channel, served as shards."""
    with serving(sharded(grown.folder, tmp_path / "shards")) as server:
        yield server


def release(channel: Channel) -> None:
    """A new release of what is locked."""
    (name, old), *_ = [row for row in channel.records["linux-64"].items() if row[0].startswith("numpy-")]
    channel.records["linux-64"][name.replace("2.3.0", "2.9.0")] = {**old, "version": "2.9.0", "sha256": "9" * 64}
    channel.index()


def served_again(channel: Channel, server: ChannelServer) -> None:
    shutil.rmtree(server.folder)
    sharded(channel.folder, server.folder)


def anew(result: Result) -> bool:
    """Whether a new lock was made; what was asked for was locked in any case."""
    assert result.status == 0, result.stderr
    return "made anew" in result.stderr


def contents(project: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in (project / LOCK.parent).iterdir() if path.is_file()}


def rows(result: Result) -> list[list[str]]:
    """The table without the times."""
    return [[word for word in line.split("  ") if word and " s" not in word] for line in result.stdout.splitlines()]


def test_nothing_is_new(watched: Kgen, project: Path, shards: ChannelServer) -> None:
    words = (*ASKED, "--channel", shards.url)
    first = watched(*words)
    assert anew(first)
    before = contents(project)
    shutil.rmtree(project / "locks")
    again = watched(*words)
    assert not anew(again)
    assert contents(project) == before
    assert rows(again) == rows(first)
    # the channel was asked all the same
    assert shards.asked[-1].endswith("repodata_shards.msgpack.zst")


def test_what_a_repeated_lock_imports(conda: Kgen, project: Path, shards: ChannelServer, tmp_path: Path) -> None:
    """Readers of PEP 508 and of YAML, and the writers of locks, take longer to import than all that is done."""
    own = {"KGEN_CACHE_DIR": str(tmp_path / "kgen-cache"), "PYTHONPROFILEIMPORTTIME": "1"}
    watched = dataclasses.replace(conda, environment={**conda.environment, **own})
    words = (*ASKED, "--channel", shards.url)
    slow = {"packaging.pylock", "packaging.specifiers", "yaml", "kgen.formats.wheels.pylock"}
    assert slow <= imported(watched(*words))
    shutil.rmtree(project / "locks")
    again = imported(watched(*words))
    assert "rattler" in again
    assert not slow & again


SLOW = {"rattler", "asyncio", "yaml"}


@pytest.fixture(name="profiled")
def _profiled(conda: Kgen, tmp_path: Path) -> Kgen:
    """The command, which says what it imports."""
    own = {"KGEN_CACHE_DIR": str(tmp_path / "kgen-cache"), "PYTHONPROFILEIMPORTTIME": "1"}
    return dataclasses.replace(conda, environment={**conda.environment, **own})


def locked(profiled: Kgen, project: Path, shards: ChannelServer, *more: str) -> tuple[set[str], Mapping[str, bytes]]:
    """Lock in a project without a lock: which slow modules that imports, and what is locked."""
    shutil.rmtree(project / "locks", ignore_errors=True)
    shards.asked.clear()
    found = imported(profiled(*ASKED, "--channel", shards.url, *more))
    return SLOW & found, contents(project)


def indexes(shards: ChannelServer) -> int:
    """How often the channel was asked for an index of shards."""
    return sum(path.endswith("repodata_shards.msgpack.zst") for path in shards.asked)


def test_a_channel_that_says_that_nothing_is_new(
    profiled: Kgen, project: Path, grown: Channel, shards: ChannelServer
) -> None:
    """kgen asks it itself: rattler takes longer to start than all that is done."""
    shards.tagged = True
    made, before = locked(profiled, project, shards)
    assert made == SLOW
    assert locked(profiled, project, shards) == (set(), before)
    assert indexes(shards) == len(shards.asked) == 2
    release(grown)
    served_again(grown, shards)
    made, after = locked(profiled, project, shards)
    assert made == SLOW
    assert b'"version": "2.9.0"' in after[LOCK.name]
    assert locked(profiled, project, shards) == (set(), after)


def test_an_answer_that_holds(profiled: Kgen, project: Path, grown: Channel, shards: ChannelServer) -> None:
    """rattler would not ask the channel either before its answer's time is over."""
    shards.headers = {"Cache-Control": "public, max-age=3600"}
    _, before = locked(profiled, project, shards)
    assert locked(profiled, project, shards) == (set(), before)
    assert not shards.asked
    # another cache knows of no answer
    release(grown)
    shutil.rmtree(profiled.folder.parent / "rattler")
    served_again(grown, shards)
    made, after = locked(profiled, project, shards)
    assert made == SLOW
    assert b'"version": "2.9.0"' in after[LOCK.name]


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache-Control": "public, max-age=60", "Age": "3600"},
        {"Cache-Control": "max-age=3600, no-cache"},
        {"Cache-Control": "max-age=0"},
        {"Cache-Control": "max-age=soon"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
def test_an_answer_that_does_not_hold(
    profiled: Kgen, project: Path, shards: ChannelServer, headers: dict[str, str]
) -> None:
    shards.headers = headers
    shards.tagged = True
    _, before = locked(profiled, project, shards)
    assert locked(profiled, project, shards) == (set(), before)
    assert indexes(shards) == 2


def test_what_kgen_does_not_ask_itself(shards: ChannelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a channel is reached through a proxy, or with a login, is rattler's to know."""
    shards.tagged = True
    tool = Rattler(tmp_path / "rattler")
    state, places = tool.state([shards.url], "linux-64"), tool.places([shards.url], "linux-64")
    assert state is not None
    assert unchanged(tmp_path / "rattler", places) == state
    assert unchanged(tmp_path / "other", places) is None
    assert unchanged(tmp_path / "rattler", [one._replace(asked=None) for one in places]) is None
    login = [one._replace(asked=one.url.replace("http://", "http://me:secret@")) for one in places]
    assert unchanged(tmp_path / "rattler", login) is None
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert unchanged(tmp_path / "rattler", places) is None
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert unchanged(tmp_path / "rattler", places) == state
    shards.wanted = "secret"
    assert unchanged(tmp_path / "rattler", places) is None


def test_rattler_has_more_to_heed(shards: ChannelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its configuration says besides one mirror: certificates, proxies, a choice of mirrors."""
    place = tmp_path / "config/rattler/config.toml"
    place.parent.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for text, asked in {
        "": shards.url,
        f'[mirrors]\n"{shards.url}" = ["http://one.example/x"]': "http://one.example/x",
        f'[mirrors]\n"{shards.url}" = ["http://one.example/x", "http://two.example/x"]': None,
        "tls-no-verify = true": None,
        '[proxy-config]\nhttp = "http://proxy.example"': None,
    }.items():
        place.write_text(text, encoding="utf-8")
        first, _ = Rattler(tmp_path / "rattler").places([shards.url], "linux-64")
        assert first.url == f"{shards.url}/linux-64/repodata_shards.msgpack.zst"
        assert first.asked == (asked and f"{asked}/linux-64/repodata_shards.msgpack.zst"), text


def test_rattler_is_configured_otherwise(profiled: Kgen, project: Path, grown: Channel, shards: ChannelServer) -> None:
    shards.tagged = True
    _, before = locked(profiled, project, shards)
    config = profiled.folder.parent / "config"
    release(grown)
    with serving(sharded(grown.folder, grown.folder.parent / "mirror")) as mirror:
        (config / "rattler").mkdir(parents=True)
        (config / "rattler/config.toml").write_text(f'[mirrors]\n"{shards.url}" = ["{mirror.url}"]\n', encoding="utf-8")
        environment = {**profiled.environment, "XDG_CONFIG_HOME": str(config)}
        other = dataclasses.replace(profiled, environment=environment)
        made, after = locked(other, project, shards)
        assert made >= {"rattler", "yaml"}
        assert after != before
        mirror.tagged = True
        locked(other, project, shards)
        mirror.asked.clear()
        assert locked(other, project, shards) == (set(), after)
        # the mirror is asked, and the channel is not
        assert (indexes(mirror), indexes(shards)) == (2, 0)


def imported(result: Result) -> set[str]:
    """The modules that a command imported, which it says on stderr."""
    assert result.status == 0, result.stderr
    lines = (line.rsplit("|", 1) for line in result.stderr.splitlines() if line.startswith("import time:"))
    return {name.strip() for _, name in lines}


def test_what_conda_is_told_of_another_machine(watched: Kgen, project: Path, shards: ChannelServer) -> None:
    words = (*ASKED, "--channel", shards.url)
    overridden = dataclasses.replace(watched, environment={**watched.environment, "CONDA_OVERRIDE_CUDA": "12.4"})
    for again in (False, True):
        shutil.rmtree(project / "locks", ignore_errors=True)
        done = overridden(*words)
        assert anew(done) is not again
        assert "note: kgen ignores CONDA_OVERRIDE_CUDA: `--cuda`, " in done.stderr


def test_a_damaged_note(watched: Kgen, tmp_path: Path, shards: ChannelServer) -> None:
    words = (*ASKED, "--channel", shards.url)
    assert anew(watched(*words))
    (note,) = (tmp_path / "kgen-cache" / "repeat").glob("conda-*")
    content = note.read_bytes()
    note.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert anew(watched(*words))
    assert not anew(watched(*words))


def test_a_new_release_is_taken(watched: Kgen, project: Path, grown: Channel, shards: ChannelServer) -> None:
    words = (*ASKED, "--channel", shards.url)
    assert anew(watched(*words))
    release(grown)
    served_again(grown, shards)
    assert anew(watched(*words))
    assert '"version": "2.9.0"' in (project / LOCK).read_text(encoding="utf-8")


def test_shards_that_are_served_no_longer(watched: Kgen, project: Path, grown: Channel, shards: ChannelServer) -> None:
    """What the cache has of them is not of now."""
    words = (*ASKED, "--channel", shards.url)
    assert anew(watched(*words))
    release(grown)
    shutil.rmtree(shards.folder)
    shutil.copytree(grown.folder, shards.folder)
    assert anew(watched(*words))
    assert '"version": "2.9.0"' in (project / LOCK).read_text(encoding="utf-8")
    assert anew(watched(*words))


def test_a_folder(watched: Kgen, project: Path, grown: Channel) -> None:
    words = (*ASKED, "--channel", grown.folder.as_uri())
    assert anew(watched(*words))
    assert not anew(watched(*words))
    release(grown)
    assert anew(watched(*words))
    assert '"version": "2.9.0"' in (project / LOCK).read_text(encoding="utf-8")


def test_something_else_is_asked(watched: Kgen, project: Path, shards: ChannelServer) -> None:
    words = (*ASKED, "--channel", shards.url)
    assert anew(watched(*words))
    assert anew(watched(*words, "--dependency", "scipy"))
    (project / "kgen.toml").write_text('conda-names = { scipy = "scipy" }\n', encoding="utf-8")
    assert anew(watched(*words, "--dependency", "scipy"))
    assert not anew(watched(*words, "--dependency", "scipy"))


def test_other_platforms_of_the_lock_are_part_of_it(watched: Kgen, project: Path, shards: ChannelServer) -> None:
    """With `--platform` what is there for others stays, so that the file is another where another was there."""
    words = (*ASKED, "--channel", shards.url)
    assert anew(watched(*words))
    data = json.loads((project / LOCK).read_bytes())
    data["platforms"]["osx-arm64"] = {**data["platforms"]["linux-64"], "packages": []}
    (project / LOCK).write_text(json.dumps(data), encoding="utf-8")
    assert anew(watched(*words))
    assert list(json.loads((project / LOCK).read_bytes())["platforms"]) == ["linux-64", "osx-arm64"]
    assert not anew(watched(*words))
    shutil.rmtree(project / "locks")
    assert not anew(watched(*words))
    assert list(json.loads((project / LOCK).read_bytes())["platforms"]) == ["linux-64"]
