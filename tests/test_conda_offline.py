"""`--offline` with conda: what rattler has in its caches serves, and no channel is asked."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.channel import ChannelServer, serving, sharded
from tests.command import Kgen, Result
from tests.conda_packages import MINOR, Channel

WHEELS = ("lock", "numpy", "--cpu", "--python", MINOR, "--platform", "linux-64")
LOCK = (*WHEELS, "--conda", "--channel")
RECORDS = Path("locks/numpy-cpu/conda-records.json")


@pytest.fixture(name="server", params=["whole", "shards"])
def _server(request: pytest.FixtureRequest, built: Channel, tmp_path: Path) -> Iterator[ChannelServer]:
    """The channel with one file for each platform, or with shards."""
    folder = built.folder if request.param == "whole" else sharded(built.folder, tmp_path / "shards")
    with serving(folder) as server:
        yield server


@pytest.fixture(name="own")
def _own(conda: Kgen, tmp_path: Path) -> Kgen:
    """The command with a cache of its own too, so that nothing is repeated from a note of another test."""
    return dataclasses.replace(conda, environment={**conda.environment, "KGEN_CACHE_DIR": str(tmp_path / "kgen-cache")})


def named(refused: Result) -> list[str]:
    return [line for line in refused.stderr.splitlines() if line.startswith(("error: ", "hint: "))]


def test_a_channel_that_is_cached_is_not_asked(own: Kgen, project: Path, server: ChannelServer) -> None:
    assert own(*LOCK, server.url).status == 0
    before = (project / RECORDS).read_bytes()
    for more in ((), ("--upgrade",)):
        shutil.rmtree(project / "locks")
        shutil.rmtree(Path(own.environment["KGEN_CACHE_DIR"], "repeat"), ignore_errors=True)
        server.asked.clear()
        again = own(*LOCK, server.url, "--offline", *more)
        assert again.status == 0, again.stderr
        assert server.asked == []
        assert (project / RECORDS).read_bytes() == before


def test_a_channel_that_is_not_cached_is_named(own: Kgen, project: Path, server: ChannelServer) -> None:
    assert own(*WHEELS).status == 0
    refused = own(*LOCK, server.url, "--offline")
    assert refused.status == 4
    head, hint = named(refused)
    said = "rattler's cache does not have all that the conda channel http://[INDEX] says, and `--offline` keeps rattler"
    assert head == f"error: {said} from asking it"
    assert hint == f"hint: kgen {' '.join(LOCK)} http://[INDEX]   # where there is a network"
    assert server.asked == []
    assert not (project / RECORDS).exists()


def test_a_package_that_is_not_cached_is_none_that_is_missing(
    own: Kgen, project: Path, built: Channel, tmp_path: Path
) -> None:
    """Of a channel with shards, the cache has those packages alone that somebody has asked for."""
    with serving(sharded(built.folder, tmp_path / "shards")) as server:
        more = ("--dependency", "setuptools")
        assert own(*WHEELS, *more).status == 0
        shutil.rmtree(project / "locks")
        assert own(*LOCK, server.url).status == 0
        before = (project / RECORDS).read_bytes()
        server.asked.clear()
        refused = own(*LOCK, server.url, *more, "--offline")
        assert refused.status == 4, server.asked
        assert named(refused)[0].endswith("and `--offline` keeps rattler from asking it")
        assert server.asked == []
        assert (project / RECORDS).read_bytes() == before


def test_a_channel_in_a_folder_is_there(own: Kgen, project: Path, built: Channel) -> None:
    assert own(*WHEELS).status == 0
    done = own(*LOCK, built.folder.as_uri(), "--offline")
    assert done.status == 0, done.stderr
    synced = own("sync", "numpy-cpu-conda", "--offline")
    assert synced.status == 0, synced.stderr
    assert (project / ".kgen/envs/numpy-cpu-conda/bin/python").exists()


def test_packages_that_are_not_cached_are_named(own: Kgen, project: Path, served: ChannelServer) -> None:
    assert own(*LOCK, served.url).status == 0
    served.asked.clear()
    refused = own("sync", "numpy-cpu-conda", "--offline")
    assert refused.status == 4
    head, _, *hints = refused.stderr.splitlines()
    assert "packages, [SIZE], are not on this machine, and `--offline` keeps rattler from fetching them: " in head
    assert head.startswith("error: numpy-cpu-conda: ")
    assert hints == [
        "hint: kgen sync numpy-cpu-conda   # where there is a network",
        "hint: kgen bundle numpy-cpu-conda -o numpy-cpu-conda.tar   # there, then `kgen unbundle` here",
    ]
    assert served.asked == []
    assert own("sync", "numpy-cpu-conda").status == 0
    shutil.rmtree(project / ".kgen")
    served.asked.clear()
    again = own("sync", "numpy-cpu-conda", "--offline")
    assert again.status == 0, again.stderr
    assert served.asked == []
