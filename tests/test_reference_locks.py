"""The reference locks, made again from the index as it was recorded: the same bytes on any day."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import tomli
from packaging.version import Version
from tests import record_index
from tests.command import Kgen, tree
from tests.record_index import CALLS, packages
from tests.recorded import MATRIX, REFERENCE, Listed, Record, RecordedIndex, load, serving
from tests.test_house import FOREIGN

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.origin import FOLDER_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted((ROOT / "locks").glob("*/pylock.*.toml"))
LOCKS = sorted((REFERENCE / "locks").glob("*/pylock.*.toml"))


@pytest.fixture(scope="module")
def record() -> Record:
    return load()


@pytest.fixture
def reference(project: Path) -> Path:
    """The project that the locks are of, without the locks."""
    shutil.copy(REFERENCE / "kgen.toml", project)
    return project


def at(kgen: Kgen, index: RecordedIndex, caches: Path) -> Kgen:
    """The command with a recorded index, the matrix of its day, and caches in which nothing is yet."""
    more = {
        "UV_DEFAULT_INDEX": index.url,
        "UV_CACHE_DIR": str(caches / "uv"),
        "KGEN_CACHE_DIR": str(caches / "kgen"),
        FOLDER_VARIABLE: str(MATRIX),
    }
    return dataclasses.replace(kgen, environment={**kgen.environment, **more})


def lock_all(kgen: Kgen) -> None:
    for call in CALLS:
        done = kgen("lock", *call, timeout=300)
        assert done.status == 0, done.stderr


def locks_in(project: Path) -> dict[str, bytes]:
    """What is locked in a project, without the library for Nix, which is written where Nix is."""
    own = (".nix", ".kgen.lock")
    return {name: content for name, content in tree(project / "locks").items() if name.split("/")[0] not in own}


def month_of(record: Record, cutoff: str) -> Record:
    """The record with two more releases of every project, uploaded in the month of the cut-off."""
    pages, metadata = dict(record.pages), dict(record.metadata)
    for name, rows in record.pages.items():
        newest = max(rows, key=lambda row: Version(row.filename.split("-")[1]), default=None)
        if newest is None:
            continue
        old = newest.filename.split("-")[1]
        for new, day in ((f"{Version(old).release[0] + 7}.0", f"{cutoff[:8]}01"), (f"{old}.post77", f"{cutoff[:8]}02")):
            if "+" in new:
                continue
            filename = newest.filename.replace(f"-{old}-", f"-{new}-", 1)
            pages[name] = [
                *pages[name],
                Listed(filename=filename, sha256="7" * 64, requires_python=newest.requires_python, uploaded=day),
            ]
            metadata[filename] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {new}\n".encode()
    return Record(pages=pages, metadata=metadata, wheels=record.wheels, backfilled=record.backfilled)


def test_made_again_they_are_the_same(kgen: Kgen, reference: Path, tmp_path: Path, record: Record) -> None:
    with serving(RecordedIndex(record, hidden=record.backfilled)) as index:
        lock_all(at(kgen, index, tmp_path / "caches"))
    assert not [path for path in index.missed if not path.startswith("/simple/")]
    made, frozen = locks_in(reference), locks_in(REFERENCE)
    assert made.keys() == frozen.keys()
    for name, content in frozen.items():
        assert made[name] == content, name


@pytest.mark.parametrize("much", ["what really appeared", "two releases of everything"])
def test_what_an_index_backfills_changes_no_lock_that_is_there(
    kgen: Kgen, reference: Path, tmp_path: Path, record: Record, much: str
) -> None:
    shutil.copytree(REFERENCE / "locks", reference / "locks")
    before = locks_in(reference)
    cutoff = tomli.loads((REFERENCE / "kgen.toml").read_text())["exclude-newer"]
    there = record if much == "what really appeared" else month_of(record, cutoff)
    with serving(RecordedIndex(there)) as index:
        lock_all(at(kgen, index, tmp_path / "caches"))
    assert locks_in(reference) == before


def test_a_new_lock_takes_what_was_backfilled(kgen: Kgen, reference: Path, tmp_path: Path, record: Record) -> None:
    """Else the test above would show nothing."""
    assert record.backfilled
    with serving(RecordedIndex(record)) as index:
        lock_all(at(kgen, index, tmp_path / "caches"))
    made = set().union(*packages(reference / "locks").values())
    assert made >= set(record.backfilled)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.parent.name)
def test_every_wheel_is_on_the_recorded_pages(path: Path, record: Record) -> None:
    listed = {row.filename: row.sha256 for rows in record.pages.values() for row in rows}
    for package in tomli.loads(path.read_text())["packages"]:
        (wheel,) = package["wheels"]
        assert listed[wheel["path"]] == wheel["hashes"]["sha256"]
        assert record.wheels[wheel["path"]].size == wheel["size"]


def test_the_record_names_no_host(record: Record) -> None:
    for name, rows in record.pages.items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert not [row for row in rows if FOREIGN.search(" ".join(map(str, vars(row).values())))]
    assert not [name for name, text in record.metadata.items() if FOREIGN.search(text.decode())]


# -- the locks that come with kgen, and the matrix that does --------------------------------------------------------


def test_the_shipped_locks_are_in_order(kgen: Kgen, project: Path) -> None:
    """`kgen check` with the shipped matrix: a refreshed one that they no longer satisfy needs them locked again."""
    shutil.copy(ROOT / "pyproject.toml", project)
    shutil.copytree(ROOT / "locks", project / "locks")
    done = dataclasses.replace(kgen, environment=without_frozen(kgen))("check", "--json")
    faults = [one for one in json.loads(done.stdout)["findings"] if one["kind"] == "fault"]
    assert (done.status, faults) == (0, [])


def without_frozen(kgen: Kgen) -> dict[str, str]:
    return {name: value for name, value in kgen.environment.items() if name != FOLDER_VARIABLE}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_the_shipped_locks_are_portable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert FOREIGN.search(text) is None


def test_of_the_same_matrix_they_are_the_recorded_ones(
    matrix: CompatibilityMatrix, shipped_matrix: CompatibilityMatrix
) -> None:
    """Of a refreshed matrix each says so: a lock of neither revision belongs to no matrix that is here."""
    assert {path.parent.name for path in SHIPPED} == {path.parent.name for path in LOCKS}
    for path in SHIPPED:
        recorded = REFERENCE / "locks" / path.parent.name / path.name
        revision = tomli.loads(path.read_text(encoding="utf-8"))["tool"]["kgen"]["matrix"]
        assert revision in {matrix.revision, shipped_matrix.revision}, path.parent.name
        if revision == matrix.revision:
            assert path.read_bytes() == recorded.read_bytes(), path.parent.name


def test_recording_moves_the_matrix_only_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder with an index that has everything already: the tests' matrix stays, unless `--matrix` is given."""
    data = tmp_path / "data"
    shutil.copytree(MATRIX, data / "matrix")
    shutil.copytree(REFERENCE, data / "reference")
    (data / "matrix/keras.toml").write_text("# of another day\n", encoding="utf-8")
    for name, value in {"MATRIX": data / "matrix", "REFERENCE": data / "reference"}.items():
        monkeypatch.setattr(record_index, name, value)
    reached: list[str] = []

    def stop(*_: object) -> None:
        reached.append((data / "matrix/keras.toml").read_text(encoding="utf-8")[:16])
        raise InterruptedError

    monkeypatch.setattr(record_index, "Recorder", stop)
    for words in ([], ["--matrix"]):
        monkeypatch.setattr(sys, "argv", ["record_index", *words])
        with pytest.raises(InterruptedError):
            record_index.main()
    shipped = (ROOT / "matrix/keras.toml").read_text(encoding="utf-8")
    assert reached == ["# of another day", shipped[:16]]
