"""Names that the package index has nothing useful for: what is meant is said, and locked as it is said."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen
from tests.index import Index
from tests.recorded import MATRIX
from tests.test_lock import versions
from tests.wheelhouse import Wheel

from kgen.errors import MatrixError
from kgen.matrix.compatibility import CompatibilityMatrix, Folder


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sklearn", "scikit-learn"),
        ("cv2", "opencv-python"),
        ("pytorch", "torch"),
        ("tranformers", "transformers"),
        ("skleran", "scikit-learn"),
        ("tensorflow-gpu", "tensorflow"),
        ("something-else", None),
    ],
)
def test_what_is_meant(matrix: CompatibilityMatrix, name: str, meant: str | None) -> None:
    assert matrix.meant_by(name) == meant


@pytest.mark.parametrize(
    "case",
    [
        ("cv2", None, "opencv-python"),
        ("tranformers", None, "transformers"),
        ("sklearn", Wheel(name="sklearn", version="0.0", tag="cp27-cp27m-manylinux1_x86_64"), "scikit-learn"),
    ],
    ids=["module", "misspelled", "placeholder"],
)
def test_the_hint_locks_what_is_meant(
    kgen_alone: Kgen, project: Path, index: Index, case: tuple[str, Wheel | None, str]
) -> None:
    name, there, meant = case
    index.wheelhouse.put(Wheel(name=meant, version="1.0"), *([] if there is None else [there]))
    refused = kgen_alone(*LOCK, "numpy", "--dependency", name)
    assert refused.status == 4
    (hint,) = [line for line in refused.stderr.splitlines() if line.startswith("hint: ")]
    command, _, gives = hint.removeprefix("hint: kgen ").partition("   # gives ")
    assert gives.startswith(f"{meant} 1.0, ")
    again = kgen_alone(*shlex.split(command))
    assert again.status == 0, again.stderr
    assert versions(project, "numpy-cpu")[meant] == "1.0"


def test_what_is_meant_and_cannot_be_had_is_asked(kgen_alone: Kgen) -> None:
    refused = kgen_alone(*LOCK, "numpy", "--dependency", "tranformers")
    assert refused.status == 4
    assert "hint: did you mean `transformers`?\n" in refused.stderr


def test_what_the_index_has_is_nobody_elses_name(kgen_alone: Kgen, project: Path, index: Index) -> None:
    index.wheelhouse.put(Wheel(name="tf", version="1.2"))
    result = kgen_alone(*LOCK, "numpy", "--dependency", "tf")
    assert result.status == 0, result.stderr
    assert versions(project, "numpy-cpu")["tf"] == "1.2"


def test_names_are_no_part_of_the_revision(matrix: CompatibilityMatrix) -> None:
    texts = dict(Folder(MATRIX))
    del texts["names.toml"]
    without = CompatibilityMatrix(texts)
    assert without.revision == matrix.revision
    assert without.meant_by("sklearn") is None


def test_a_name_that_makes_no_sense() -> None:
    texts = dict(Folder(MATRIX))
    texts["names.toml"] = texts["names.toml"].replace('"opencv-python"', '"opencv python"', 1)
    with pytest.raises(MatrixError) as refused:
        CompatibilityMatrix(texts).check()
    assert [one for one in refused.value.faults if one.startswith("names.")], refused.value.faults


def test_a_project_without_releases_is_absent(kgen_alone: Kgen, index: Index) -> None:
    """Its page is there, and empty."""
    index.wheelhouse._own["haiku"] = []
    index.wheelhouse.put(Wheel(name="dm-haiku", version="1.0"))
    refused = kgen_alone(*LOCK, "numpy", "--dependency", "haiku")
    assert refused.status == 4
    assert "--dependency dm-haiku" in refused.stderr
