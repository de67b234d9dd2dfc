"""What fixes the tests of real frameworks: their locks, and the index that has nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli
from tests.command import LOCK, Kgen
from tests.index import Index
from tests.loopback import running
from tests.pinned import LOCKS, MissingLockError, PinnedIndex, hashes, pinned
from tests.record_locks import questions
from tests.test_house import FOREIGN
from tests.wheelhouse import Wheel

from kgen.matrix.compatibility import CompatibilityMatrix

COMMITTED = sorted(LOCKS.glob("*/*/pylock.*.toml"))


def lock_of(kgen: Kgen) -> Path:
    return kgen.folder / "locks/numpy-cpu/pylock.linux-64.toml"


def test_each_question_has_its_lock_and_no_lock_is_of_nothing() -> None:
    assert {path.parents[1].name for path in COMMITTED} == set(questions())


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parents[1].name)
def test_they_name_no_host_and_are_of_the_matrix_of_the_tests(path: Path, matrix: CompatibilityMatrix) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert FOREIGN.search(text) is None
    data = tomli.loads(text)
    assert data["tool"]["kgen"]["matrix"] == matrix.revision
    packages = [*data["packages"], *data["tool"]["kgen"].get("build", ())]
    assert len(hashes(path)) == len(packages)


def test_a_release_that_appears_later_is_not_seen(
    kgen_alone: Kgen, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locked again, with caches in which nothing is yet, it is the same; from the index itself it is not."""
    assert kgen_alone(*LOCK, "numpy").status == 0
    fixed = hashes(lock_of(kgen_alone))
    assert "rich-0.1.2-py3-none-any.whl" in fixed
    index.wheelhouse.put(*index.wheelhouse.wheels("rich"), Wheel(name="rich", version="0.1.3"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    with running(PinnedIndex(fixed)) as there:
        done = kgen_alone(*LOCK, "numpy", "--upgrade", UV_DEFAULT_INDEX=there.url)
    assert done.status == 0, done.stderr
    assert hashes(lock_of(kgen_alone)) == fixed
    assert kgen_alone(*LOCK, "numpy", "--upgrade").status == 0
    changed = hashes(lock_of(kgen_alone)).keys() - fixed.keys()
    assert changed == {"rich-0.1.3-py3-none-any.whl"}


def test_a_file_with_other_content_is_not_listed(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    (rich,) = index.wheelhouse.wheels("rich")
    for sha256, listed in ((rich.sha256, [rich.filename]), ("0" * 64, [])):
        with running(PinnedIndex({rich.filename: sha256})) as there:
            assert [one.filename for one in there.page("rich")] == listed
            assert list(there.page("six")) == []


def test_a_build_that_kgen_asks_for_by_its_version_is_there(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dependency may require another one instead, which kgen finds only after it asked."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    with running(PinnedIndex({})) as there:
        assert {one.version for one in there.page("tensorflow-cpu")} >= {"2.15.0", "2.21.0"}
        assert list(there.page("rich")) == []


def test_a_lock_that_is_not_there() -> None:
    with pytest.raises(MissingLockError) as caught:
        pinned("nobody")
    assert str(caught.value) == "no lock in tests/data/locks/nobody: python -m tests.record_locks nobody"
