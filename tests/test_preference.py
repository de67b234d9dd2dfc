"""`--proven`: what receipts saw train is preferred, where it fits."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli
from tests.command import LOCK, SOLVE, Kgen
from tests.test_receipts import LOCKS, parsed

from kgen.validation.receipts import DETAIL


def seen(folder: Path, number: int, *, backend: str = "jax", versions: Mapping[str, str], **changes: Any) -> None:  # noqa: ANN401 - any of the detail
    """A receipt of the project: so many versions trained, on the CPU."""
    data = parsed(LOCKS / "numpy-cpu/receipts/cpu.json")
    detail = data["predicate"][DETAIL]
    detail["steps"][0].update(backend=backend, versions=dict(versions))
    detail.update(environment=f"{backend}-cpu", date=f"2026-11-{number:02}", **changes)
    data["predicate"]["passedTests"] = [backend]
    path = folder / f"locks/elsewhere/receipts/{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def solved(kgen: Kgen, *words: str) -> tuple[dict[str, str], str]:
    done = kgen(*SOLVE, "jax", "--cpu", *words, "--json")
    assert done.status == 0, done.stderr
    packages = json.loads(done.stdout)["solution"]["packages"]
    said = kgen(*SOLVE, "jax", "--cpu", *words).stderr
    return {name: one["version"] if isinstance(one, dict) else one for name, one in packages.items()}, said


@pytest.fixture
def alone(kgen: Kgen, tmp_path: Path) -> Kgen:
    return dataclasses.replace(kgen, environment={**kgen.environment, "KGEN_CACHE_DIR": str(tmp_path / "cache")})


def older(kgen: Kgen) -> dict[str, str]:
    """Versions that fit and are not the newest."""
    newest, _ = solved(kgen)
    found = kgen(*SOLVE, "jax", "--cpu", "--require", f"jax<{newest['jax']}", "--json")
    packages = json.loads(found.stdout)["solution"]["packages"]
    return {
        name: packages[name]["version"] if isinstance(packages[name], dict) else packages[name]
        for name in ("jax", "keras")
    }


def test_what_was_seen_to_train_is_preferred(alone: Kgen, project: Path) -> None:
    newest, _ = solved(alone)
    versions = older(alone)
    assert versions["jax"] != newest["jax"]
    seen(project, 1, versions=versions)
    found, said = solved(alone, "--proven")
    assert found["jax"] == versions["jax"]
    assert f"note: jax-cpu: 1 receipt saw jax {versions['jax']}, keras {versions['keras']} train on cpu\n" in said
    assert solved(alone)[0] == newest


def test_so_many_receipts_are_needed(alone: Kgen, project: Path) -> None:
    versions = older(alone)
    seen(project, 1, versions=versions)
    found, said = solved(alone, "--proven", "2")
    assert found["jax"] != versions["jax"]
    assert "note: jax-cpu: no 2 receipts saw it train on cpu; solved without `--proven`\n" in said
    seen(project, 2, versions=versions)
    assert solved(alone, "--proven", "2")[0]["jax"] == versions["jax"]


GPU = {"kind": "gpu", "accelerator": "cuda", "name": "NVIDIA H200", "capability": "9.0", "driver": "570.1"}


@pytest.mark.parametrize(
    "changes",
    [{"backend": "torch"}, {"device": GPU}, {"platform": "linux-aarch64"}],
    ids=["another backend", "another device", "another platform"],
)
def test_what_saw_something_else_does_not_count(alone: Kgen, project: Path, changes: dict[str, Any]) -> None:
    versions = older(alone)
    seen(project, 1, versions=versions, **changes)
    found, said = solved(alone, "--proven")
    assert found["jax"] != versions["jax"]
    assert "no receipt saw it train on cpu" in said


def test_what_cannot_be_had_is_told(alone: Kgen, project: Path) -> None:
    newest, _ = solved(alone)
    seen(project, 1, versions={"jax": "0.0.1", "keras": newest["keras"]})
    found, said = solved(alone, "--proven")
    assert found == newest
    assert "; jax cannot be had as it was\n" in said


def test_a_lock_takes_it_in_the_place_of_what_was_locked(alone: Kgen, project: Path) -> None:
    versions = older(alone)
    assert alone(*LOCK, "jax", "--cpu").status == 0
    path = project / "locks/jax-cpu/pylock.linux-64.toml"
    before = tomli.loads(path.read_text())["tool"]["kgen"]["packages"]["jax"]
    seen(project, 1, versions=versions)
    done = alone(*LOCK, "jax", "--cpu", "--proven")
    assert done.status == 0, done.stderr
    assert "1 receipt saw jax " in done.stderr
    after = tomli.loads(path.read_text())["tool"]["kgen"]["packages"]["jax"]
    assert (before != versions["jax"], after) == (True, versions["jax"])
    # from then on it is what is locked, and kept without being asked for
    assert alone("check").status == 0


@pytest.mark.parametrize("value", ["0", "x", "-1", "1.5"])
def test_what_is_no_number(alone: Kgen, value: str) -> None:
    done = alone(*SOLVE, "jax", f"--proven={value}")
    assert done.status == 2
    assert "`--proven` is not a number of receipts" in done.stderr


def test_only_what_was_seen_to_train(alone: Kgen, project: Path) -> None:
    done = alone(*LOCK, "jax", "--cpu", "--only-proven")
    assert (done.status, done.stdout) == (2, "")
    assert (
        done.stderr
        == "error: jax-cpu: no receipt saw it train on cpu\n\nhint: kgen proven\nhint: leave out `--only-proven`\n"
    )
    assert not (project / "locks").exists()
    versions = older(alone)
    seen(project, 1, versions=versions)
    found, _ = solved(alone, "--only-proven")
    assert found["jax"] == versions["jax"]
    assert alone(*SOLVE, "jax", "--cpu", "--proven", "2", "--only-proven").status == 2
    # what was seen contradicts what is asked
    newer = alone(*SOLVE, "jax", "--cpu", "--only-proven", "--require", f"jax>{versions['jax']}")
    assert newer.status == 2
    assert "cannot be had as it was" in newer.stderr


def test_without_locks_nothing_is_proven(alone: Kgen, project: Path) -> None:
    done = alone(*LOCK, "jax", "--cpu", "--proven")
    assert done.status == 0, done.stderr
    assert "note: jax-cpu: no receipt saw it train on cpu; solved without `--proven`\n" in done.stderr
    assert (project / "locks/jax-cpu").is_dir()


def test_a_receipt_of_another_gpu_does_not_count(alone: Kgen, project: Path) -> None:
    newest = alone(*SOLVE, "jax", "--cuda", "12", "--json")
    assert newest.status == 0, newest.stderr
    packages = json.loads(newest.stdout)["solution"]["packages"]
    versions = {
        name: packages[name]["version"] if isinstance(packages[name], dict) else packages[name]
        for name in ("jax", "keras")
    }
    gpu = {"kind": "gpu", "accelerator": "cuda", "name": "H100", "capability": "9.0", "driver": "580.65.06"}
    seen(project, 1, versions=versions, device=gpu)
    words = (*SOLVE, "jax", "--cuda", "12", "--proven")
    assert "1 receipt saw jax " in alone(*words).stderr
    assert "1 receipt saw jax " in alone(*words, "--gpu", "9.0").stderr
    other = alone(*words, "--gpu", "8.0").stderr
    assert "no receipt saw it train on cuda 8.0; solved without `--proven`\n" in other
