"""`--offline`: nothing is fetched, and what is missing is named."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen
from tests.index import Index

from kgen import host, uvtool
from kgen.cli import main


@pytest.mark.parametrize(
    ("words", "kept", "offline"),
    [
        (["--offline", "lock", "jax"], ["lock", "jax"], True),
        (["sync", "jax", "--offline"], ["sync", "jax"], True),
        (["run", "--offline", "jax", "pip", "--offline"], ["run", "jax", "pip", "--offline"], True),
        (["run", "jax", "--", "uv", "--offline"], ["run", "jax", "--", "uv", "--offline"], False),
        (["lock"], ["lock"], False),
    ],
)
def test_where_it_may_stand(words: list[str], kept: list[str], *, offline: bool) -> None:
    assert main.without(main.OFFLINE, words) == (kept, offline)


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False), ("", False), (None, False)])
def test_uvs_own_variable_counts(monkeypatch: pytest.MonkeyPatch, value: str | None, *, offline: bool) -> None:
    monkeypatch.delenv("UV_OFFLINE", raising=False)
    if value is not None:
        monkeypatch.setenv("UV_OFFLINE", value)
    assert host.is_offline() is offline
    assert uvtool.not_cached("numpy was not found in the cache and you require numpy==2.5") == (
        ("numpy",) if offline else ()
    )
    # as uv says it of a release with an extra, whose page it has not asked for
    assert uvtool.not_cached("Because there is no version of jax[cuda12]==0.7.2 and you require it") == (
        ("jax",) if offline else ()
    )
    assert uvtool.not_cached("Because there is no version of jax==0.7.2 and you require it") == ()


def test_what_a_sync_lacks_is_named(kgen_alone: Kgen, index: Index) -> None:
    assert kgen_alone(*LOCK, "numpy").status == 0
    index.behaviour.asked.clear()
    failed = kgen_alone("sync", "numpy", "--offline")
    assert failed.status == 4
    head, *hints = failed.stderr.splitlines()
    assert head.startswith("error: numpy-cpu: 17 of 17 files, [SIZE], are not on this machine, and `--offline` keeps")
    assert head.endswith(" and 12 more")
    assert hints == [
        "",
        "hint: kgen sync numpy   # where there is a network",
        "hint: kgen bundle numpy-cpu -o numpy-cpu.tar   # there, then `kgen unbundle` here",
    ]
    assert index.behaviour.asked == []
    assert kgen_alone("sync", "numpy").status == 0
    index.behaviour.asked.clear()
    assert kgen_alone("sync", "numpy", "--reinstall", "--offline").status == 0
    assert kgen_alone("run", "--offline", "numpy", "--", "python", "-c", "pass").status == 0
    assert index.behaviour.asked == []


def test_what_a_lock_lacks_is_named(kgen_alone: Kgen, index: Index, project: Path) -> None:
    failed = kgen_alone("--offline", *LOCK, "numpy")
    assert failed.status == 4
    assert "is not in uv's cache, and `--offline` keeps uv from fetching it" in failed.stderr
    # and no command that would lock something else
    again = f"kgen {shlex.join((*LOCK, 'numpy'))}   # where there is a network"
    assert re.findall("^hint: .*$", failed.stderr, re.MULTILINE) == [f"hint: {again}"]
    by_variable = kgen_alone(*LOCK, "numpy", UV_OFFLINE="1")
    assert by_variable.stderr == failed.stderr.replace(again, f"env -u UV_OFFLINE {again}")
    assert "look at `dependencies`" not in failed.stderr
    assert index.behaviour.asked == []
    assert not (project / "locks").exists()
    assert kgen_alone(*LOCK, "numpy").status == 0
    index.behaviour.asked.clear()
    assert kgen_alone(*LOCK, "numpy", "--upgrade", "--offline").status == 0
    assert index.behaviour.asked == []


def test_a_bundle_and_a_refresh_fetch_nothing(kgen_alone: Kgen, index: Index) -> None:
    assert kgen_alone(*LOCK, "numpy", "--portable").status == 0
    index.behaviour.asked.clear()
    for words, what in ((("bundle", "-o", "b.tar"), "them: "), (("matrix", "refresh", "--check"), "it")):
        failed = kgen_alone(*words, "--offline")
        assert failed.status == 4, words
        assert f"`--offline` keeps kgen from fetching {what}" in failed.stderr
        assert f"\nhint: kgen {shlex.join(words)}   # where there is a network\n" in failed.stderr
    assert index.behaviour.asked == []
