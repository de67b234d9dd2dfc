"""A refreshed `matrix/` changes no answer that the tests expect: they are those of a frozen copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.command import SOLVE, Kgen
from tests.recorded import MATRIX

from kgen import resources
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix, load


@pytest.fixture
def refreshed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """kgen's own matrix with every release of Keras under another version, in the place of the shipped one."""
    folder = tmp_path / "matrix"
    shutil.copytree(resources.folder("matrix"), folder)
    keras = folder / "keras.toml"
    text = keras.read_text(encoding="utf-8")
    keras.write_text(text.replace('[[release]]\nversion = "', '[[release]]\nversion = "9'), encoding="utf-8")
    monkeypatch.setattr(resources, "folder", lambda _name: folder)
    return folder


def versions(matrix: CompatibilityMatrix) -> set[str]:
    return {str(release.version) for release in matrix.framework("keras").releases}


def test_the_tests_do_not_see_it(refreshed: Path, matrix: CompatibilityMatrix, tmp_path: Path) -> None:
    assert versions(load(refreshed)).isdisjoint(versions(load(MATRIX)))
    assert origin.shipped_folder() == MATRIX
    assert origin.current(tmp_path).revision == matrix.revision == load(MATRIX).revision


def test_without_the_variable_it_is_seen(refreshed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(origin.FOLDER_VARIABLE)
    assert origin.shipped_folder() == refreshed
    assert origin.current(tmp_path).revision == load(refreshed).revision


def test_a_process_of_its_own_has_the_copy_too(kgen: Kgen, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(MATRIX, other)
    text = (other / "keras.toml").read_text(encoding="utf-8")
    (other / "keras.toml").write_text(text.replace('version = "3.15.1"', 'version = "3.15.9"'), encoding="utf-8")
    frozen = kgen(*SOLVE, "jax")
    assert frozen.status == 0, frozen.stderr
    changed = kgen(*SOLVE, "jax", **{origin.FOLDER_VARIABLE: str(other)})  # type: ignore[arg-type]
    assert "3.15.9" in changed.stdout
    assert "3.15.9" not in frozen.stdout
