"""What is odd about py-rattler, each with a test that fails when it is so no longer, and what kgen does about it."""

from __future__ import annotations

import asyncio
import datetime
import json
import subprocess
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest
import rattler
from rattler.exceptions import InvalidMatchSpecError, SolverError
from rattler.install import install
from rattler.shell import ActivationVariables, Shell, activate
from tests.channel import ChannelServer
from tests.conda_packages import Channel

from kgen.rattlertool import Query, Rattler, Unsolvable, _told, channel_failure

T = TypeVar("T")
MACHINE = (("__archspec", "1 x86_64"), ("__glibc", "2.28"), ("__linux", "5.10"), ("__unix", "0"))


def run(work: Awaitable[T]) -> T:
    async def settled() -> T:
        try:
            return await work
        finally:
            await asyncio.sleep(0.05)

    return asyncio.run(settled())


def query(channel: str, *specs: str, cutoff: datetime.date | None = None, cuda: bool = True) -> Query:
    virtuals = (*MACHINE, *((("__cuda", "12.0"),) if cuda else ()))
    return Query(platform="linux-64", channels=(channel,), specs=specs, virtuals=virtuals, cutoff=cutoff)


@pytest.fixture(name="tool")
def _tool(tmp_path: Path) -> Rattler:
    return Rattler(tmp_path / "cache")


class TestSpecs:
    def test_text_is_parsed_strictly(self, built: Channel) -> None:
        with pytest.raises(InvalidMatchSpecError):
            run(rattler.solve(sources=[built.folder.as_uri()], specs=["jaxlib=*=cuda12*"], platforms=["linux-64"]))

    def test_kgen_takes_both_forms(self, tool: Rattler, built: Channel) -> None:
        both = [query(built.folder.as_uri(), spec) for spec in ("jaxlib * cuda12*", "jaxlib=*=cuda12*")]
        first, second = tool.solve(both)
        assert isinstance(first, list)
        assert first == second


class TestSolve:
    def test_without_a_driver_there_is_no_cuda(self, tool: Rattler, built: Channel) -> None:
        (answer,) = tool.solve([query(built.folder.as_uri(), "jaxlib * cuda12*", cuda=False)])
        assert isinstance(answer, Unsolvable)
        assert "__cuda" in answer.tree

    def test_keras_3_stays_keras_3(self, tool: Rattler, built: Channel) -> None:
        old, new = tool.solve([query(built.folder.as_uri(), spec) for spec in ("keras <3", "keras >=3")])
        assert isinstance(old, list)
        assert isinstance(new, list)
        assert [{one["name"]: one["version"] for one in each}["keras"] for each in (old, new)] == ["2.12.0", "3.15.0"]

    def test_a_cutoff_is_in_utc(self, built: Channel, tool: Rattler) -> None:
        """A cut-off with another zone is misread by rattler: it takes the clock's face for UTC."""
        published = datetime.datetime.fromtimestamp(1_790_000_000, datetime.timezone.utc)
        east = datetime.timezone(datetime.timedelta(hours=10))
        moment = (published - datetime.timedelta(hours=1)).astimezone(east)
        asked = {"sources": [built.folder.as_uri()], "specs": [rattler.MatchSpec("cuda-version")]}
        assert run(rattler.solve(**asked, platforms=["linux-64", "noarch"], exclude_newer=moment))  # type: ignore[arg-type]
        utc = moment.astimezone(datetime.timezone.utc)
        with pytest.raises(SolverError):
            run(rattler.solve(**asked, platforms=["linux-64", "noarch"], exclude_newer=utc))  # type: ignore[arg-type]
        day = published.date()
        url = built.folder.as_uri()
        before, on = tool.solve(
            [query(url, "cuda-version", cutoff=one) for one in (day - datetime.timedelta(days=1), day)]
        )
        assert isinstance(before, Unsolvable)
        assert isinstance(on, list)

    def test_no_process_ends_with_a_signal(self, built: Channel, tmp_path: Path) -> None:
        """pyo3-async-runtimes issue 40; without care one in four does, on CPython 3.11."""
        script = """
import pathlib, sys
from kgen.rattlertool import Query, Rattler
query = Query("linux-64", (sys.argv[1],), ("cuda-version",), (("__unix", "0"), ("__cuda", "12.0")), None)
(answer,) = Rattler(pathlib.Path(sys.argv[2])).solve([query])
assert isinstance(answer, list), answer
"""
        words = [sys.executable, "-c", script, built.folder.as_uri(), str(tmp_path)]
        assert [subprocess.run(words, check=False).returncode for _ in range(10)] == [0] * 10


class TestLocked:
    """What `locked_packages` means to rattler, and what kgen makes of it."""

    @pytest.fixture(name="poorer")
    @staticmethod
    def _poorer(built: Channel, tmp_path: Path) -> tuple[Channel, tuple[dict[str, object], ...]]:
        """A channel, and what was locked of it before it lost one of its packages."""
        channel = built.copy(tmp_path / "channel")
        channel.add("cuda-version", "12.10", "h0_3", subdir="noarch")
        channel.index()
        (before,) = Rattler(tmp_path / "before").solve([query(channel.folder.as_uri(), "cuda-version <12.11")])
        assert isinstance(before, list)
        del channel.records["noarch"]["cuda-version-12.10-h0_3.conda"]
        channel.index()
        return channel, tuple(dict(one) for one in before)

    def test_rattler_keeps_what_the_channel_has_lost(
        self, poorer: tuple[Channel, tuple[dict[str, object], ...]], tool: Rattler
    ) -> None:
        channel, before = poorer
        kept = run(
            rattler.solve(
                sources=[channel.folder.as_uri()],
                specs=[rattler.MatchSpec("cuda-version <12.11")],
                platforms=["linux-64", "noarch"],
                locked_packages=tool.records(before),
            )
        )
        assert [str(one.version) for one in kept] == ["12.10"]

    def test_kgen_does_not(self, poorer: tuple[Channel, tuple[dict[str, object], ...]], tool: Rattler) -> None:
        channel, before = poorer
        asked = query(channel.folder.as_uri(), "cuda-version <12.11")._replace(locked=before)
        (answer,) = tool.solve([asked])
        assert isinstance(answer, list)
        assert [one["version"] for one in answer] == ["12.9"]


class TestInstall:
    def test_specs_are_wanted_as_their_inner_object(self, tmp_path: Path) -> None:
        specs = [rattler.MatchSpec("keras")]
        with pytest.raises(TypeError):
            run(install(records=[], target_prefix=tmp_path / "p", requested_specs=specs, show_progress=False))

    def test_records_are_those_of_the_lock(self, tool: Rattler, built: Channel) -> None:
        (answer,) = tool.solve([query(built.folder.as_uri(), "keras >=3")])
        assert isinstance(answer, list)
        again = sorted((json.loads(one.to_json()) for one in tool.records(answer)), key=lambda one: one["name"])
        assert again == answer


def test_a_fault_in_rust_is_no_exception(tmp_path: Path) -> None:
    """So `except Exception` would let it through to the user, with a traceback."""
    made = rattler.LockFile([rattler.LockPlatform("linux-64")])
    made.set_channels("default", [rattler.LockChannel("conda-forge")])
    made.to_path(tmp_path / "pixi.lock")
    environment = rattler.LockFile.from_path(tmp_path / "pixi.lock").environment("default")
    assert environment is not None
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - its class is in no module
        environment.conda_repodata_records_for_platform(rattler.LockPlatform("linux-64"))
    assert caught.typename == "PanicException"
    assert not isinstance(caught.value, Exception)
    assert _told(caught.value)


def test_activation_of_rattlers_runs_what_is_in_a_value(tmp_path: Path) -> None:
    """Why kgen's own values are in its hooks, and not in `conda-meta/state` or `env_vars.d`."""
    (tmp_path / "conda-meta").mkdir()
    state = {"env_vars": {"HOSTILE": f"$(touch {tmp_path}/ran)"}}
    (tmp_path / "conda-meta/state").write_text(json.dumps(state))
    made = activate(tmp_path, ActivationVariables(None, ["/usr/bin", "/bin"]), Shell.bash).script
    subprocess.run(["bash", "-c", made], check=True)
    assert (tmp_path / "ran").exists()


def test_shards_of_a_plain_server_are_not_asked_for(tool: Rattler, served: ChannelServer) -> None:
    tool.solve([query(served.url, "cuda-version")])
    assert not [path for path in served.asked if "shard" in path]


def test_no_credentials_are_told() -> None:
    told = channel_failure("error sending request for url (https://me:secret@x.example/t/tk-1/ch/noarch)", ("x",))
    assert "secret" not in told.message
    assert "tk-1" not in told.message
