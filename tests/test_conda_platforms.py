"""`kgen lock --conda` for several platforms in one run, on real records where they are at hand."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.channel import mirrored, serving
from tests.command import PYTHON, Kgen, Result
from tests.index import Index
from tests.index import serving as serving_wheels
from tests.test_conda_forge import sample
from tests.wheelhouse import Wheelhouse

from kgen.matrix.compatibility import CompatibilityMatrix

__all__ = ["sample"]

PLATFORMS = ("linux-64", "linux-aarch64", "osx-arm64")
ASK = ("lock", "--conda", "--python", "3.12", "jax", "numpy", *(w for one in PLATFORMS for w in ("--platform", one)))


def good(result: Result) -> Result:
    assert result.status == 0, result.stderr
    return result


@contextlib.contextmanager
def at_conda_forge(kgen: Kgen, sample: Path) -> Iterator[Kgen]:
    """The command with the records in the place of conda-forge."""
    with serving(sample) as server:
        mirrored(kgen.temporary / "config", f"{server.url}/large")
        more = {"XDG_CONFIG_HOME": str(kgen.temporary / "config"), "RATTLER_CACHE_DIR": str(kgen.temporary / "rattler")}
        yield dataclasses.replace(kgen, environment={**kgen.environment, **more})


def lock_of(project: Path, environment: str) -> Mapping[str, Any]:
    found = yaml.safe_load((project / "locks" / environment / "conda-lock.yml").read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def platforms(matrix: CompatibilityMatrix) -> Iterator[Index]:
    """An index with wheels for all of these platforms."""
    with serving_wheels(Wheelhouse(matrix, ["3.12"], PLATFORMS)) as index:
        yield index


def test_all_in_one_file(kgen: Kgen, platforms: Index, sample: Path, project: Path, tmp_path: Path) -> None:
    with at_conda_forge(kgen.at(platforms.url), sample) as ready:
        _all_in_one_file(ready, project, tmp_path)


def _all_in_one_file(kgen: Kgen, project: Path, tmp_path: Path) -> None:
    result = good(kgen(*ASK, "--cpu"))
    for environment, carrier in (("jax-cpu", "jaxlib"), ("numpy-cpu", "numpy")):
        lock = lock_of(project, environment)
        assert lock["metadata"]["platforms"] == list(PLATFORMS)
        assert set(lock["metadata"]["content_hash"]) == set(PLATFORMS)
        rows = {row["platform"]: row for row in lock["package"] if row["name"] == carrier}
        assert set(rows) == set(PLATFORMS)
        for platform, row in rows.items():
            assert carrier == "numpy" or row["build"].startswith("cpu_")
            assert f"/{platform}/" in row["url"]
        assert {row["url"].split("/")[-2] for row in lock["package"]} == {*PLATFORMS, "noarch"}
        assert f"{environment} (conda)" in result.stdout
        assert f"{environment} (conda osx-arm64)" in result.stdout
    words = ("render", "-k", "explicit", str(project / "locks/jax-cpu/conda-lock.yml"))
    subprocess.run([sys.executable, "-m", "conda_lock", *words], check=True, capture_output=True, cwd=tmp_path)
    assert {path.name for path in tmp_path.glob("conda-*.lock")} == {f"conda-{one}.lock" for one in PLATFORMS}
    # made again, and checked offline
    before = (project / "locks/jax-cpu/conda-lock.yml").read_bytes()
    assert "unchanged" in good(kgen(*ASK, "--cpu")).stdout
    assert (project / "locks/jax-cpu/conda-lock.yml").read_bytes() == before
    good(kgen("check"))


def test_a_platform_that_has_none(kgen: Kgen, sample: Path, project: Path) -> None:
    """TensorFlow for CUDA is not built for aarch64: no file of half of it is written, and the wheels are."""
    asked = ("lock", "--conda", "--python", PYTHON, "tensorflow", "--cuda", "12")
    with at_conda_forge(kgen, sample) as ready:
        result = ready(*asked, "--platform", "linux-64", "--platform", "linux-aarch64")
    assert result.status == 3
    assert "conda-forge has no build of TensorFlow for this\n  tensorflow is built for the CPU on linux-aarch64" in (
        result.stderr
    )
    assert not (project / "locks/tensorflow-cuda12/conda-lock.yml").exists()
