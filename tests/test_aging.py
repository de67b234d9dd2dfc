"""What is asked for by name and is older in a lock than its newest: never without a word."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from packaging.version import Version
from tests.command import CUTOFF, LOCK, PYTHON, Kgen
from tests.index import Index, serving
from tests.test_lock import versions
from tests.test_whole_lock import kgen_table
from tests.wheelhouse import Wheel, Wheelhouse

from kgen import uvtool
from kgen.formats.wheels.closure import Closed
from kgen.formats.wheels.newest import Newest
from kgen.formats.wheels.remedies import Remedies
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU
from kgen.model.request import EnvironmentRequest

NEXT = "3.12"
OPEN = ("lock", "--platform", "linux-64", "--exclude-newer", CUTOFF)


@pytest.fixture(scope="module")
def every_python(matrix: CompatibilityMatrix) -> Wheelhouse:
    """The wheels of the matrix for each of its Pythons."""
    return Wheelhouse(matrix, [row.version for row in matrix.pythons])


@pytest.fixture
def index(every_python: Wheelhouse) -> Iterator[Index]:
    with serving(every_python.copy()) as index:
        yield index


def only_for(python: str, name: str, version: str) -> Wheel:
    tag = f"cp{python.replace('.', '')}"
    return Wheel(name=name, version=version, tag=f"{tag}-{tag}-manylinux_2_17_x86_64")


def notes(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("note: ") and f" {name} " in line]


def test_the_newest_is_no_news(kgen_alone: Kgen, index: Index) -> None:
    index.wheelhouse.put(Wheel(name="named", version="1.0"), Wheel(name="named", version="2.0"))
    result = kgen_alone(*LOCK, "numpy", "--dependency", "named")
    assert result.status == 0, result.stderr
    assert notes(result.stderr, "named") == []


@pytest.mark.parametrize(
    ("newest", "reason"),
    [
        (Wheel(name="named", version="2.0", requires_python=">=3.12"), "2.0 requires Python >=3.12"),
        (only_for(NEXT, "named", "2.0"), "2.0 has no wheel for Python 3.11, only for 3.12"),
    ],
    ids=["requires-python", "tag"],
)
def test_a_release_for_another_python(
    kgen_alone: Kgen, project: Path, index: Index, newest: Wheel, reason: str
) -> None:
    index.wheelhouse.put(Wheel(name="named", version="1.0"), newest)
    result = kgen_alone(*LOCK, "numpy", "--dependency", "named")
    assert result.status == 0, result.stderr
    assert versions(project, "numpy-cpu")["named"] == "1.0"
    (note,) = notes(result.stderr, "named")
    start = f"note: numpy-cpu: named 1.0 is taken, and 2.0 is the newest: {reason}; it is in kgen lock numpy --cpu "
    assert note.startswith(start)
    done = kgen_alone(*shlex.split(note.partition("it is in kgen ")[2]))
    assert done.status == 0, done.stderr
    assert versions(project, "numpy-cpu")["named"] == "2.0"
    assert notes(done.stderr, "named") == []


def test_no_wheel_for_the_platform(kgen_alone: Kgen, index: Index) -> None:
    index.wheelhouse.put(
        Wheel(name="named", version="1.0"), Wheel(name="named", version="2.0", tag="py3-none-win_amd64")
    )
    result = kgen_alone(*LOCK, "numpy", "--dependency", "named")
    assert result.status == 0, result.stderr
    assert notes(result.stderr, "named") == [
        "note: numpy-cpu: named 1.0 is taken, and 2.0 is the newest: 2.0 has no wheel for linux-64 with glibc 2.28"
    ]


def test_another_requirement_keeps_it_back(kgen_alone: Kgen, index: Index) -> None:
    index.wheelhouse.put(
        Wheel(name="named", version="1.0"),
        Wheel(name="named", version="2.0"),
        Wheel(name="other", version="1.0", requires=("named<2",)),
    )
    result = kgen_alone(*LOCK, "numpy", "--dependency", "named", "--dependency", "other")
    assert result.status == 0, result.stderr
    (note,) = notes(result.stderr, "named")
    assert "named 1.0 is taken, and 2.0 is the newest: 2.0 does not fit what else is there: " in note
    assert "named<2" in note


@pytest.mark.parametrize(
    "words",
    [("--dependency", "named<2"), ("--dependency", "named", "--exclude-newer", "2026-10-01")],
    ids=["bound", "day"],
)
def test_what_is_asked_for_is_no_age(kgen_alone: Kgen, index: Index, words: tuple[str, ...]) -> None:
    index.wheelhouse.put(
        Wheel(name="named", version="1.0"), Wheel(name="named", version="2.0", uploaded=dt.date(2026, 11, 1))
    )
    day = () if "--exclude-newer" in words else ("--exclude-newer", CUTOFF)
    result = kgen_alone("lock", "--python", PYTHON, "--platform", "linux-64", *day, "numpy", *words)
    assert result.status == 0, result.stderr
    assert notes(result.stderr, "named") == []


def test_a_pre_release(kgen_alone: Kgen, project: Path, index: Index) -> None:
    index.wheelhouse.put(Wheel(name="named", version="0.3.1.dev3"))
    result = kgen_alone(*LOCK, "numpy", "--dependency", "named")
    assert result.status == 0, result.stderr
    assert versions(project, "numpy-cpu")["named"] == "0.3.1.dev3"
    assert "note: numpy-cpu: named 0.3.1.dev3 is a pre-release, as all of its releases are\n" in result.stderr


class TestOpenPython:
    """Nobody says which Python: it is one on which named dependencies are new."""

    @pytest.fixture(autouse=True)
    @staticmethod
    def _hub(index: Index) -> None:
        """KerasHub, as it was: its newest needs a package that has no wheel for the newest Python."""
        index.wheelhouse.put(
            Wheel(name="hub", version="0.19"),
            Wheel(name="hub", version="0.32", requires=("text-ops>=2",)),
            only_for(NEXT, "text-ops", "2.0"),
        )

    def test_it_is_chosen(self, kgen_alone: Kgen, project: Path) -> None:
        result = kgen_alone(*OPEN, "numpy", "--dependency", "hub")
        assert result.status == 0, result.stderr
        assert versions(project, "numpy-cpu")["hub"] == "0.32"
        assert f"numpy-cpu: for Python {NEXT} in place of " in result.stderr
        assert ": that gives hub 0.32 in place of 0.19\n" in result.stderr
        assert kgen_alone("check").status == 0

    def test_why_it_is_one_that_is_not_here(self, kgen_alone: Kgen, tmp_path: Path) -> None:
        """The only interpreter here is an older one of pyenv's: the note says that it would do as well."""
        (tmp_path / "versions/3.13.9/bin").mkdir(parents=True)
        (tmp_path / "versions/3.13.9/bin/python3.13").touch()
        place = str(tmp_path)
        result = kgen_alone(*OPEN, "numpy", PATH=place, PYENV_ROOT=place, UV_PYTHON_PREFERENCE="only-managed")
        assert result.status == 0, result.stderr
        assert (
            f"note: numpy-cpu: Python 3.14 is not on this machine: `{shlex.quote(uvtool.find())} python install 3.14`;"
            " `--python 3.13`, which is, gives the same frameworks\n"
        ) in result.stderr

    def test_a_named_one_stays(self, kgen_alone: Kgen, project: Path) -> None:
        result = kgen_alone(*OPEN, "numpy", "--dependency", "hub", "--python", "3.13")
        assert result.status == 0, result.stderr
        assert versions(project, "numpy-cpu")["hub"] == "0.19"
        (note,) = notes(result.stderr, "hub")
        assert f"; it is in kgen lock numpy --cpu --python {NEXT} " in note


def test_one_that_is_years_older_has_a_way_to_a_nearer_one(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """The newest framework leaves room for an ancient release alone; an older one for what people use today."""
    *_, older, newest = (wheel.version for wheel in index.wheelhouse.wheels("keras"))
    day = dt.date.fromisoformat(CUTOFF)
    for version, years, requires in (
        ("1.0", 4, ()),
        ("2.0", 1, (f"keras=={older}",)),
        ("3.0", 0, ("keras<3",)),
    ):
        uploaded = day - dt.timedelta(days=365 * years + 1)
        index.wheelhouse.put(Wheel(name="named", version=version, requires=requires, uploaded=uploaded))
    result = kgen_alone(*LOCK, "numpy", "--dependency", "named")
    assert result.status == 0, result.stderr
    assert (versions(project, "numpy-cpu")["named"], versions(project, "numpy-cpu")["keras"]) == ("1.0", newest)
    (note,) = notes(result.stderr, "named")
    assert "named 1.0 is taken, and 3.0 is the newest: " in note
    command, _, gives = note.rpartition("; ")[2].partition(" gives ")
    assert gives.startswith(f"named 2.0, keras {older}, ")
    again = kgen_alone(*shlex.split(command)[1:], "--upgrade")
    assert again.status == 0, again.stderr
    assert versions(project, "numpy-cpu")["named"] == "2.0"


@pytest.mark.parametrize("backend", ["numpy", "tensorflow"])  # whose package for the CPU has a name of its own
def test_an_open_python_gives_one_that_is_nearer(kgen_alone: Kgen, project: Path, index: Index, backend: str) -> None:
    """No Python has the newest release; one has a release of today, where the others have an ancient one."""
    day = dt.date.fromisoformat(CUTOFF)
    for wheel, years in (
        (Wheel(name="named", version="1.0"), 6),
        (only_for(NEXT, "named", "2.0"), 1),
        (Wheel(name="named", version="3.0", tag="cp312-cp312-win_amd64"), 0),
    ):
        uploaded = day - dt.timedelta(days=365 * years + 1)
        index.wheelhouse.put(dataclasses.replace(wheel, uploaded=uploaded))
    result = kgen_alone(*OPEN, backend, "--dependency", "named")
    assert result.status == 0, result.stderr
    assert versions(project, f"{backend}-cpu")["named"] == "2.0"
    assert ": that gives named 2.0 in place of 1.0\n" in result.stderr
    assert "named 2.0 is taken, and 3.0 is the newest: 3.0 has no wheel for linux-64" in result.stderr
    older = kgen_alone(*OPEN, backend, "--dependency", "named", "--python", "3.13", "--upgrade")
    assert older.status == 0, older.stderr
    assert versions(project, f"{backend}-cpu")["named"] == "1.0"


def test_one_that_is_a_year_older_has_none(kgen_alone: Kgen, index: Index) -> None:
    day = dt.date.fromisoformat(CUTOFF)
    for version, days, requires in (("1.0", 400, ()), ("2.0", 300, ("keras<3.13",)), ("3.0", 1, ("keras<3",))):
        uploaded = day - dt.timedelta(days=days)
        index.wheelhouse.put(Wheel(name="named", version=version, requires=requires, uploaded=uploaded))
    (note,) = notes(kgen_alone(*LOCK, "numpy", "--dependency", "named").stderr, "named")
    assert " gives " not in note


def test_a_python_that_is_open_is_one_for_which_it_can_be_closed(kgen_alone: Kgen, project: Path, index: Index) -> None:
    index.wheelhouse.put(only_for(NEXT, "solo", "1.0"))
    result = kgen_alone(*OPEN, "numpy", "--dependency", "solo")
    assert result.status == 0, result.stderr
    assert versions(project, "numpy-cpu")["solo"] == "1.0"
    (moved,) = [line for line in result.stderr.splitlines() if "for Python" in line and "in place of" in line]
    assert moved.startswith(f"note: numpy-cpu: for Python {NEXT} in place of 3.")
    assert moved.endswith("for which no fitting release of solo has a wheel")
    named = kgen_alone(*LOCK, "numpy", "--dependency", "solo")
    assert (named.status, f"--python {NEXT} " in named.stderr.partition("hint: ")[2]) == (4, True)


def test_the_newest_is_taken_where_uv_goes_back_too_far(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """uv gives up a named package for the sake of the newest of what nobody asked for."""
    index.wheelhouse.put(
        Wheel(name="named", version="0.0.0a0"),
        Wheel(name="named", version="2.0", requires=("shared<2",)),
        Wheel(name="first", version="1.0", requires=("shared",)),
        Wheel(name="shared", version="1.0"),
        Wheel(name="shared", version="2.0"),
    )
    result = kgen_alone(*LOCK, "numpy", "--dependency", "first", "--dependency", "named")
    assert result.status == 0, result.stderr
    locked = versions(project, "numpy-cpu")
    assert (locked["named"], locked["shared"]) == ("2.0", "1.0")
    assert notes(result.stderr, "named") == []


def test_a_project_of_pre_releases_alone_is_asked_for_them_by_its_name(kgen_alone: Kgen, index: Index) -> None:
    index.wheelhouse.put(Wheel(name="named", version="1.0.dev1"), Wheel(name="named", version="1.0.dev2"))
    newest = kgen_alone(*LOCK, "numpy", "--dependency", "named")
    assert newest.status == 0, newest.stderr
    early = "is a pre-release, as all of its releases are"
    assert notes(newest.stderr, "named") == [f"note: numpy-cpu: named 1.0.dev2 {early}"]
    index.wheelhouse.put(only_for(NEXT, "named", "1.0.dev3"))
    _, note = notes(kgen_alone(*LOCK, "numpy", "--dependency", "named", "--upgrade").stderr, "named")
    assert "named 1.0.dev2 is taken, and 1.0.dev3 is the newest: 1.0.dev3 has no wheel for Python 3.11" in note


def test_a_release_is_taken_on_another_python_than_a_pre_release(kgen_alone: Kgen, project: Path, index: Index) -> None:
    index.wheelhouse.put(only_for(NEXT, "named", "1.0"), Wheel(name="named", version="1.1.dev1"))
    result = kgen_alone(*OPEN, "numpy", "--dependency", "named")
    assert result.status == 0, result.stderr
    assert versions(project, "numpy-cpu")["named"] == "1.0"


def test_a_newer_glibc_is_named(kgen_alone: Kgen, project: Path, index: Index) -> None:
    old, new = (f"cp311-cp311-manylinux_2_{minor}_x86_64" for minor in (17, 34))
    index.wheelhouse.put(
        Wheel(name="named", version="1.0", tag=old),
        Wheel(name="named", version="2.0", tag=new),
        Wheel(name="alone", version="1.0", tag=new),
    )
    result = kgen_alone(*LOCK, "numpy", "--dependency", "named")
    assert result.status == 0, result.stderr
    (note,) = notes(result.stderr, "named")
    reason, _, command = note.partition("; kgen ")
    assert reason.endswith("2.0 has no wheel for linux-64 with glibc 2.28, only for 2.34")
    command, _, gives = command.partition(" gives ")
    assert gives.startswith("named 2.0, ")
    done = kgen_alone(*shlex.split(command))
    assert done.status == 0, done.stderr
    assert versions(project, "numpy-cpu")["named"] == "2.0"
    refused = kgen_alone(*LOCK, "numpy", "--dependency", "alone")
    assert refused.status == 4
    hint = next(line for line in refused.stderr.splitlines() if line.startswith("hint: kgen "))
    command, _, gives = hint.removeprefix("hint: kgen ").partition("   # gives ")
    assert "--glibc 2.34" in command
    assert gives.startswith("alone 1.0, ")
    again = kgen_alone(*shlex.split(command))
    assert again.status == 0, again.stderr
    assert versions(project, "numpy-cpu")["alone"] == "1.0"


def test_a_hint_is_what_would_be_written(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """uv closes it on the newest other Python, where the judgement refuses it: that is not a way out."""
    index.wheelhouse.put(
        Wheel(name="owner", version="1.0", files={"named/core.py": b"x = 1"}),
        *(
            replace(only_for(python, "named", "1.0"), requires=("owner",), files={"named/core.py": content})
            for python, content in (("3.13", b"x = 2"), (NEXT, b"x = 1"))
        ),
    )
    result = kgen_alone(*LOCK, "numpy", "--dependency", "named")
    assert result.status == 4
    (hint,) = [line for line in result.stderr.splitlines() if line.startswith("hint: kgen ")]
    command, _, gives = hint.removeprefix("hint: kgen ").partition("   # gives ")
    assert f"--python {NEXT}" in command
    assert gives.startswith("keras ")
    assert kgen_alone(*shlex.split(command)).status == 0
    assert versions(project, "numpy-cpu")["named"] == "1.0"


def test_the_next_release_is_judged_too(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """The newest does not fit, which is not why the one before it was not taken."""
    old, new = (f"cp311-cp311-manylinux_2_{minor}_x86_64" for minor in (17, 34))
    index.wheelhouse.put(
        Wheel(name="named", version="1.0", tag=old),
        Wheel(name="named", version="2.0", tag=new),
        Wheel(name="named", version="3.0", tag=old, requires=("keras<3",)),
    )
    result = kgen_alone(*LOCK, "numpy", "--dependency", "named")
    assert result.status == 0, result.stderr
    (note,) = notes(result.stderr, "named")
    assert "named 1.0 is taken, and 3.0 is the newest: 3.0 does not fit what else is there: " in note
    assert "; 2.0 has no wheel for linux-64 with glibc 2.28, only for 2.34; kgen " in note
    done = kgen_alone(*shlex.split(note.partition("; kgen ")[2].partition(" gives named 2.0, ")[0]))
    assert done.status == 0, done.stderr
    assert versions(project, "numpy-cpu")["named"] == "2.0"


def test_a_library_of_the_matrix_ages_as_others_do(kgen_alone: Kgen, index: Index) -> None:
    """One that the matrix follows, and nothing but the user's word brings in."""
    index.wheelhouse.put(
        Wheel(name="triton", version="1.0", uploaded=dt.date(2020, 1, 1)),
        Wheel(name="triton", version="99.0", requires=("keras<3",)),
    )
    (note,) = notes(kgen_alone(*LOCK, "numpy", "--dependency", "triton").stderr, "triton")
    assert "is taken, and 99.0 is the newest: 99.0 does not fit what else is there: triton" in note


def test_python_is_one_for_what_comes_along(kgen_alone: Kgen, project: Path) -> None:
    """Nobody says which; the newest one of JAX has no TensorFlow."""
    words = (*OPEN, "jax", "--cuda", "12")
    alone = kgen_alone(*words)
    assert alone.status == 0, alone.stderr
    newest = python_of(project, "jax-cuda12")
    result = kgen_alone(*words, "--dependency", "tensorflow", "--upgrade")
    assert result.status == 0, result.stderr
    assert {"jax", "tensorflow"} <= versions(project, "jax-cuda12").keys()
    chosen = python_of(project, "jax-cuda12")
    assert chosen != newest
    assert (
        f"for Python {chosen} in place of {newest}, for which the matrix has no versions that go together"
        in result.stderr
    )


def test_a_release_that_only_an_old_python_has_takes_the_frameworks_along(
    kgen_alone: Kgen, project: Path, index: Index
) -> None:
    """What the user names is worth an old Python; that it costs the frameworks' newest releases is said."""
    index.wheelhouse.put(only_for("3.10", "named", "1.0"))
    words = (*OPEN, "jax", "--cpu")
    assert kgen_alone(*words).status == 0
    newest, jax = python_of(project, "jax-cpu"), versions(project, "jax-cpu")["jax"]
    result = kgen_alone(*words, "--dependency", "named", "--upgrade", "--json")
    assert result.status == 0, result.stderr
    assert python_of(project, "jax-cpu") == "3.10"
    older = versions(project, "jax-cpu")["jax"]
    assert older != jax
    (locked,) = json.loads(result.stdout)["environments"]
    (note,) = [one for one in locked["notes"] if "for Python 3.10" in one]
    start = f"jax-cpu: for Python 3.10 in place of {newest}, for which no fitting release of named has a wheel; so "
    assert note.startswith(start)
    assert f"jax is {older} in place of {jax}" in note
    assert locked["seconds"] > 0.1  # uv was started for both


def test_the_way_to_another_major_may_need_another_python(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """The Python that nobody chose is too new for the package that is meant for the other CUDA."""
    index.wheelhouse.put(only_for(NEXT, "thing-cuda12x", "1.0"))
    result = kgen_alone(*OPEN, "jax", "--cuda", "13", "--dependency", "thing-cuda12x")
    assert result.status == 4
    (hint,) = [line for line in result.stderr.splitlines() if line.startswith("hint: ")]
    assert "--cuda 12 " in hint
    assert f"--python {NEXT} " in hint
    again = kgen_alone(*shlex.split(hint.removeprefix("hint: kgen ").partition("   #")[0]))
    assert again.status == 0, again.stderr
    assert versions(project, "jax-cuda12")["thing-cuda12x"] == "1.0"


def test_a_way_to_the_newest_is_judged_with_what_comes_along(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """On another Python uv would take it, with a PyTorch for another CUDA."""
    torch = [wheel.version for wheel in index.wheelhouse.wheels("torch")][-1]
    index.wheelhouse.put(
        Wheel(name="named", version="1.0", requires=("torch==2.10.0",)),
        Wheel(name="named", version="2.0", requires=(f"torch=={torch}",)),
    )
    result = kgen_alone(*OPEN, "tensorflow", "--cuda", "12", "--dependency", "named")
    assert result.status == 0, result.stderr
    assert versions(project, "tensorflow-cuda12")["torch"] == "2.10.0"
    (note,) = [line for line in notes(result.stderr, "named") if "is the newest" in line]
    assert note.endswith(f"what else is there: named>=2.0 depends on torch=={torch} and you require torch==2.10.0")
    assert "it is in kgen lock" not in note


def python_of(project: Path, environment: str) -> str:
    return kgen_table(project, environment)["python"]  # type: ignore[no-any-return]


def test_what_comes_along_by_name_is_solved_and_explained_with_the_others(kgen_alone: Kgen, project: Path) -> None:
    """`solve` comes to what `lock` takes, and `explain` promises nothing that locking again would not give."""
    words = ("jax", "--platform", "linux-64", "--exclude-newer", CUTOFF, "--cuda", "12")
    asked = (*words, "--dependency", "tensorflow==2.16.2")
    solved = kgen_alone("solve", *asked, "--json")
    assert solved.status == 0, solved.stderr
    answer = json.loads(solved.stdout)["solution"]
    assert kgen_alone("lock", *asked).status == 0
    locked = versions(project, "jax-cuda12")
    assert {name: locked[name] for name in answer["packages"]} == answer["packages"]
    assert (answer["packages"]["tensorflow"], answer["python"]) == ("2.16.2", python_of(project, "jax-cuda12"))
    (explained,) = json.loads(kgen_alone("explain", "jax-cuda12", "--json").stdout)["environments"]
    told = {one["package"]: one for one in explained["versions"]}
    assert "tensorflow" in told
    text = kgen_alone("explain", "jax-cuda12").stdout
    assert "it is as locked" not in text
    again = kgen_alone("lock", *asked, "--upgrade")
    assert again.status == 0, again.stderr
    assert versions(project, "jax-cuda12") == locked


def test_where_no_python_will_do_the_best_one_is_told_about(kgen_alone: Kgen) -> None:
    """That the newest Python has no old TensorFlow is true, and no reason: no other Python would help."""
    result = kgen_alone(*OPEN, "jax", "--cuda", "12", "--dependency", "tensorflow==2.15.0.post1")
    assert result.status == 3
    assert "tensorflow 2.15.0.post1 needs nccl ==2.16.5" in result.stderr
    assert "has a wheel for Python" not in result.stderr
    (hint, *_) = [line for line in result.stderr.splitlines() if line.startswith("hint: ")]
    assert hint.startswith("hint: kgen lock jax --cuda 12 --python 3.11 ")
    assert "tensorflow>=" in hint


def test_a_framework_that_is_older_for_a_companion_is_told(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """tensorflow-io does not say which TensorFlow it is compiled against; the matrix does."""
    index.wheelhouse.put(Wheel(name="tensorflow-io", version="0.37.1"))
    words = (*LOCK, "tensorflow", "--cuda", "12")
    assert kgen_alone(*words).status == 0
    newest = versions(project, "tensorflow-cuda12")["tensorflow"]
    result = kgen_alone(*words, "--dependency", "tensorflow-io", "--upgrade")
    assert result.status == 0, result.stderr
    old = versions(project, "tensorflow-cuda12")["tensorflow"]
    assert old.startswith("2.16.")
    told = f"tensorflow is {old} and not {newest}: tensorflow-io goes with nothing newer"
    assert f"note: tensorflow-cuda12: {told}\n" in result.stderr
    index.wheelhouse.put(Wheel(name="torchaudio", version="2.10.0"))
    fits = kgen_alone(*LOCK, "torch", "--cuda", "12", "--dependency", "torchaudio")
    assert (fits.status, "goes with nothing newer" in fits.stderr) == (0, False)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("python>=3.11", "do without python: `--python` chooses an environment's Python"),
        ("cudatoolkit", "do without cudatoolkit: `--cuda` chooses CUDA, and wheels bring it along"),
        ("cudnn", "do without cudnn: the wheels of the frameworks bring along what they need of CUDA"),
        ("cpuonly", "do without cpuonly: `--cpu`, `--cuda` and the like choose the builds of frameworks"),
        ("py-xgboost-gpu", "did you mean `xgboost`? py-xgboost-gpu is what conda calls it"),
    ],
)
def test_what_only_conda_has_by_that_name(kgen_alone: Kgen, name: str, hint: str) -> None:
    result = kgen_alone(*LOCK, "numpy", "--dependency", name)
    assert result.status == 4
    assert [line for line in result.stderr.splitlines() if line.startswith("hint: ")] == [f"hint: {hint}"]


def test_no_hint_is_for_another_major_than_a_dependency_is_named_for(kgen_alone: Kgen) -> None:
    """A library of CUDA 12 has no place in an environment for CUDA 13, which locking would refuse."""
    result = kgen_alone(*LOCK, "torch", "--cuda", "12", "--dependency", "nvidia-cudnn-cu12==8.9.7.29")
    assert result.status == 3
    hints = [line for line in result.stderr.splitlines() if line.startswith("hint: ")]
    assert any("'nvidia-cudnn-cu12>=" in hint for hint in hints)
    assert not any("--cuda 13" in hint for hint in hints)


def test_a_constraint_that_keeps_it_back_is_told(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """uv names it beside what was tried; that the newest was is no reason."""
    index.wheelhouse.put(Wheel(name="named", version="1.0"), Wheel(name="named", version="2.0"))
    (project / "uv.toml").write_text('constraint-dependencies = ["named<2"]\n')
    (note,) = notes(kgen_alone(*LOCK, "numpy", "--dependency", "named").stderr, "named")
    assert note.endswith("2.0 does not fit what else is there: you require named<2")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("numpy<2",), "numpy<2"),
        (("numpy<2", "ml-dtypes<9"), "numpy<2"),
        (("numpy<9", "scipy>=1"), None),
    ],
)
def test_a_framework_that_is_older_for_a_bound_on_what_it_needs_is_told(
    kgen_alone: Kgen, asked: tuple[str, ...], told: str | None
) -> None:
    words = [word for text in asked for word in ("--dependency", text)]
    plain = kgen_alone(*LOCK, "jax", "--cpu", "--dry-run", "--json")
    done = kgen_alone(*LOCK, "jax", "--cpu", *words, "--dry-run", "--json")
    assert done.status == 0, done.stderr
    newest, taken = (json.loads(one.stdout)["environments"][0]["packages"]["jax"] for one in (plain, done))
    note = f"note: jax-cpu: jax is {taken} and not {newest}, as {told} is asked for"
    assert [line for line in done.stderr.splitlines() if "is asked for" in line] == ([note] if told else [])
    assert (taken != newest) == (told is not None)


@pytest.mark.parametrize(("words", "wish"), [(("--glibc", "2.17"), "glibc 2.17"), ((), None)])
def test_a_framework_that_is_older_for_the_machine_is_told(
    kgen_alone: Kgen, words: tuple[str, ...], wish: str | None
) -> None:
    done = kgen_alone(*LOCK, "jax", "--cpu", *words, "--dry-run", "--json")
    assert done.status == 0, done.stderr
    version = json.loads(done.stdout)["environments"][0]["packages"]["jax"]
    told = [line for line in done.stderr.splitlines() if "kept out" in line]
    if wish is None:
        assert told == []
    else:
        (line,) = told
        assert line.startswith(f"note: jax-cpu: jax {version} is the newest that fits: ")
        assert line.endswith(f" is kept out by {wish}")


def test_a_framework_that_is_older_for_what_the_machine_leaves_of_its_libraries_is_told(kgen_alone: Kgen) -> None:
    """glibc 2.17 runs JAX 0.6 itself, and no cuDNN that it takes."""
    done = kgen_alone(*LOCK, "jax", "--cuda", "12", "--glibc", "2.17", "--dry-run", "--json")
    assert done.status == 0, done.stderr
    version = json.loads(done.stdout)["environments"][0]["packages"]["jax"]
    assert version == "0.5.3"
    said = "0.6.0 needs cudnn >=9.8,<10.0, of which glibc 2.17 leaves no release"
    assert f"note: jax-cuda12: jax 0.5.3 is the newest that fits: {said}\n" in done.stderr


def test_many_releases_that_do_not_fit_a_glibc_that_uv_has_no_name_for(kgen_alone: Kgen, index: Index) -> None:
    """uv is asked for the next newer glibc; what does not run on the real one is ruled out at once."""
    old, new = (f"py3-none-manylinux_2_{minor}_x86_64" for minor in (17, 28))
    index.wheelhouse.put(
        *(Wheel(name="long-lived", version=f"1.{minor}", tag=old) for minor in range(3)),
        *(Wheel(name="long-lived", version=f"2.{minor}", tag=new) for minor in range(20)),
    )
    done = kgen_alone(*LOCK, "numpy", "--cpu", "--dependency", "long-lived", "--dry-run", "--glibc", "2.26")
    assert done.status == 0, done.stderr
    assert "long-lived 1.2 is taken, and 2.19 is the newest" in done.stderr


def test_a_framework_that_is_older_for_a_bound_on_keras_is_told(kgen_alone: Kgen) -> None:
    done = kgen_alone(*LOCK, "tensorflow", "--cpu", "--dependency", "keras<3.12", "--dry-run", "--json")
    assert done.status == 0, done.stderr
    version = json.loads(done.stdout)["environments"][0]["packages"]["tensorflow"]
    assert f"note: tensorflow-cpu: tensorflow is {version} and not 2.21.0, as keras<3.12 is asked for\n" in done.stderr


class TestAFrameworkWhosePackageIsAnother:
    """TensorFlow for the CPU is `tensorflow` on some Pythons and `tensorflow-cpu` on others."""

    def answer(self, package: str, version: str) -> Closed:
        resolution = SimpleNamespace(packages={"tensorflow": Version(version)})
        versions = {package: Version(version)}
        return cast("Closed", SimpleNamespace(resolution=resolution, versions=versions))

    @pytest.mark.parametrize(("before", "after", "kept"), [("2.20.0", "2.21.0", True), ("2.21.0", "2.20.0", False)])
    def test_its_versions_are_compared(
        self, matrix: CompatibilityMatrix, *, before: str, after: str, kept: bool
    ) -> None:
        newest = object.__new__(Newest)
        newest._matrix = matrix
        locked = self.answer("tensorflow-cpu", after)
        newest._remedies = cast("Remedies", SimpleNamespace(closed=lambda _request: locked))
        request = EnvironmentRequest(
            name="tensorflow", backends=("tensorflow",), accelerator=CPU, python="3.12", platform="linux-64"
        )
        assert newest._would_be_locked(request, self.answer("tensorflow", before), ()) is kept

    def test_it_is_named(self, matrix: CompatibilityMatrix) -> None:
        remedies = object.__new__(Remedies)
        remedies._matrix = matrix
        assert remedies.given(self.answer("tensorflow-cpu", "2.21.0")) == "tensorflow 2.21.0"
