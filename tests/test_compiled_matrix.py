"""The compiled matrix: the same records, never anything but records, and never more than a faster way to the TOML."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import time
from pathlib import Path

import pytest

from kgen import resources
from kgen.matrix import compiled_cache
from kgen.matrix.compatibility import CompatibilityMatrix, Folder
from kgen.matrix.compiled_cache import CompiledFiles


def everything(matrix: CompatibilityMatrix) -> list[object]:
    return [
        matrix.pythons,
        matrix.platforms,
        matrix.backends,
        matrix.generations,
        matrix.accelerators,
        matrix.toolkits,
        matrix.cudnn,
        matrix.conda,
        *(matrix.framework(name) for name in matrix.framework_names),
        *(matrix.library(name) for name in matrix.library_names),
    ]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return Path(shutil.copytree(resources.folder("matrix"), tmp_path / "matrix"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def matrix_of(sources: Path, cache: Path) -> CompatibilityMatrix:
    return CompatibilityMatrix(Folder(sources), CompiledFiles(cache))


def test_the_records_are_those_of_the_toml(sources: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = everything(CompatibilityMatrix(Folder(sources)))
    assert everything(matrix_of(sources, cache)) == plain
    assert len(list(cache.iterdir())) == len(plain)

    def no_toml(_matrix: CompatibilityMatrix, name: str, _faults: list[str]) -> None:
        raise AssertionError(f"{name} was parsed")

    monkeypatch.setattr(CompatibilityMatrix, "_parse", no_toml)
    assert everything(matrix_of(sources, cache)) == plain


def test_an_edited_file_is_read_again(sources: Path, cache: Path) -> None:
    before = matrix_of(sources, cache).majors("cuda")
    path = sources / "accelerators.toml"
    text = path.read_text()
    driver = str(before[12].driver)
    path.write_text(text.replace(driver, "999.99"))
    assert str(matrix_of(sources, cache).majors("cuda")[12].driver) == "999.99"
    path.write_text(text)
    assert matrix_of(sources, cache).majors("cuda") == before


def _sealed(old: bytes, payload: bytes) -> bytes:
    return old[:32] + hashlib.sha256(payload).digest() + payload


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch executed",)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _old: b"",
        lambda old: old[: len(old) // 2],
        lambda old: old[:-1] + bytes([old[-1] ^ 1]),
        lambda old: bytes(32) + old[32:],
        lambda old: _sealed(old, b"no pickle"),
        lambda old: _sealed(old, pickle.dumps(Evil())),
        lambda old: _sealed(old, b"cbuiltins\neval\n(S'1/0'\ntR."),
        lambda old: _sealed(old, b"\x80\x05" + b"(" * 100_000),
    ],
    ids=["empty", "torn", "flipped", "of other text", "not a pickle", "a command", "eval", "deep"],
)
def test_a_damaged_file_is_not_there(
    sources: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: object
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = matrix_of(sources, cache).majors("cuda")
    (path,) = cache.glob("accelerators.*")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))  # type: ignore[operator]
    assert matrix_of(sources, cache).majors("cuda") == expected
    assert path.read_bytes() == whole
    assert not (tmp_path / "executed").exists()


def test_no_other_kgen_uses_it(sources: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = matrix_of(sources, cache).majors("cuda")
    monkeypatch.setattr(compiled_cache, "_readers", lambda: "another kgen")
    assert CompiledFiles(cache).load("accelerators.toml", (sources / "accelerators.toml").read_text()) is None
    assert matrix_of(sources, cache).majors("cuda") == expected


def test_a_cache_that_cannot_be_written_is_done_without(sources: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert matrix_of(sources, blocked / "cache").majors("cuda") == CompatibilityMatrix(Folder(sources)).majors("cuda")


def test_what_nobody_reads_any_more_is_deleted(sources: Path, cache: Path) -> None:
    matrix_of(sources, cache).majors("cuda")
    (old,) = cache.glob("accelerators.*")
    long_ago = time.time() - 60 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    path = sources / "accelerators.toml"
    path.write_text(path.read_text() + "\n# edited\n")
    matrix_of(sources, cache).majors("cuda")
    (new,) = cache.glob("accelerators.*")
    assert new != old
