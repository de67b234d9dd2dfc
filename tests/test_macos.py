"""The oldest macOS that an environment must run on decides which wheels are locked."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.command import CUTOFF, PYTHON, Kgen
from tests.index import Index
from tests.wheelhouse import Wheel

from kgen import lockfiles

LOCK = ("lock", "numpy", "--cpu", "--python", PYTHON, "--platform", "osx-arm64", "--exclude-newer", CUTOFF)


@pytest.fixture(autouse=True)
def _wheels(index: Index) -> None:
    for name in ("numpy", "jaxlib", "scipy", "ml-dtypes", "h5py", "optree"):
        linux = index.wheelhouse.wheels(name)
        index.wheelhouse.put(
            *linux, *(replace(one, tag=re.sub("manylinux.*", "macosx_11_0_arm64", one.tag)) for one in linux)
        )
    index.wheelhouse.put(
        *(
            Wheel(name="native", version=version, tag=f"cp311-cp311-macosx_{macos}_0_arm64")
            for version, macos in {"1.0": 11, "2.0": 13, "3.0": 14, "4.0": 15}.items()
        )
    )


def locked(kgen: Kgen, *words: str) -> str:
    done = kgen(*LOCK, "--dependency", "native", *words)
    assert done.status == 0, done.stderr
    return lockfiles.read(kgen.folder / "locks/numpy-cpu/pylock.osx-arm64.toml").versions["native"]


@pytest.mark.parametrize(
    ("words", "version"),
    [((), "3.0"), (("--macos", "13"), "2.0"), (("--macos", "12.3"), "1.0"), (("--macos", "15.1"), "4.0")],
)
def test_the_newest_that_runs_there(kgen_alone: Kgen, words: tuple[str, ...], version: str) -> None:
    assert locked(kgen_alone, *words) == version


def test_the_lock_remembers_it(kgen_alone: Kgen, project: Path) -> None:
    locked(kgen_alone, "--macos", "15")
    (project / "kgen.toml").unlink(missing_ok=True)
    (project / "pyproject.toml").write_text(
        '[tool.kgen]\nbackends = ["numpy"]\nplatforms = ["osx-arm64"]\nmacos = "13"\ndependencies = ["native"]\n'
    )
    checked = kgen_alone("check")
    assert checked.status == 1
    assert "which needs macOS 15.0, and 13 is asked for" in checked.stdout


def test_it_is_no_matter_elsewhere(kgen_alone: Kgen) -> None:
    words = [word if word != "osx-arm64" else "linux-64" for word in LOCK]
    assert kgen_alone(*words, "--macos", "15").status == 0
    text = (kgen_alone.folder / "locks/numpy-cpu/pylock.linux-64.toml").read_text()
    assert "\nmacos = " not in text
