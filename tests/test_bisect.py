"""`kgen bisect`: from versions that pass to versions that fail, through valid ones; and with environments on disk."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.command import LOCK, PYTHON, Kgen, Result
from tests.index import Index
from tests.test_validate_frameworks import World, world
from tests.wheelhouse import Wheel

from kgen.actions import bisect as action
from kgen.actions import validate
from kgen.errors import ExitStatus, KgenError, OtherPlatformError
from kgen.validation.bisection import Culprit, Outcome, applied, between, changes, moves, search

__all__ = ["world"]

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
SINCE = """\
import importlib.metadata, sys
name, first = sys.argv[1:]
version = importlib.metadata.version(name)
print("found", name, version, file=sys.stderr)
if tuple(map(int, version.split("."))) >= tuple(map(int, first.split("."))):
    sys.exit(int(sys.argv[0].rpartition("since-")[2].removesuffix(".py")))
"""

# -- the way and the search --------------------------------------------------------------------------------------------

BEFORE = {"a": "1", "b": "1", "c": "1", "gone": "1"}
AFTER = {"a": "2", "b": "2", "c": "2", "new": "1"}


def none(_versions: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    return ()


def fits(_versions: Mapping[str, str]) -> None:
    return None


def test_what_changes_and_what_comes_of_it() -> None:
    assert changes(BEFORE, AFTER) == {"a", "b", "c", "gone", "new"}
    assert applied(BEFORE, AFTER, {"a", "gone", "new"}) == {"a": "2", "b": "1", "c": "1", "new": "1"}


def test_without_constraints_each_goes_alone() -> None:
    found = moves(BEFORE, AFTER, broken=none, misfits=fits)
    assert [move.packages for move in found] == [("a",), ("b",), ("c",), ("gone",), ("new",)]
    assert found[-1].versions == AFTER


def test_what_asks_for_each_other_goes_together() -> None:
    def broken(versions: Mapping[str, str]) -> Iterable[tuple[str, str]]:
        if versions["a"] != versions["b"]:
            yield "a", "b"
        if "new" in versions and versions["c"] == "1":
            yield "new", "c"

    found = moves(BEFORE, AFTER, broken=broken, misfits=fits)
    assert [move.packages for move in found] == [("c",), ("gone",), ("new",), ("a", "b")]
    assert all(not list(broken(move.versions)) for move in found)


def test_what_was_broken_on_either_side_is_taken_as_it_is() -> None:
    found = moves(BEFORE, AFTER, broken=lambda _: [("a", "never-there")], misfits=fits)
    assert len(found) == 5


def test_what_the_matrix_keeps_together_goes_together() -> None:
    def misfits(versions: Mapping[str, str]) -> frozenset[str] | None:
        return None if versions["a"] == versions["c"] else frozenset({"a", "c"})

    found = moves(BEFORE, AFTER, broken=none, misfits=misfits)
    assert [move.packages for move in found] == [("b",), ("gone",), ("new",), ("a", "c")]


def test_where_nobody_says_what_is_in_the_way_all_goes_together() -> None:
    found = moves(BEFORE, AFTER, broken=none, misfits=lambda versions: None if versions == AFTER else frozenset())
    assert [move.packages for move in found] == [("a", "b", "c", "gone", "new")]


@pytest.mark.parametrize("seed", range(20))
def test_every_step_is_valid_and_the_last_is_the_end(seed: int) -> None:
    """With requirements drawn at random, of which both ends are free."""
    dice = random.Random(seed)  # noqa: S311 - not for secrets
    names = [f"p{number}" for number in range(12)]
    before, after = dict.fromkeys(names, "1"), dict.fromkeys(names, "2")
    pairs = {(dice.choice(names), dice.choice(names)) for _ in range(8)}

    def broken(versions: Mapping[str, str]) -> Iterable[tuple[str, str]]:
        return [(one, other) for one, other in pairs if versions[one] == "2" and versions[other] == "1"]

    found = moves(before, after, broken=broken, misfits=fits)
    assert all(not broken(move.versions) for move in found)
    assert sorted(name for move in found for name in move.packages) == sorted(names)
    assert found[-1].versions == after


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_the_search_finds_each_place(count: int) -> None:
    for place in range(1, count + 1):
        asked: list[int] = []

        def outcome(number: int, place: int = place, asked: list[int] = asked) -> Outcome:
            asked.append(number)
            return "fails" if number >= place else "passes"

        assert search(count, outcome) == Culprit(place - 1, place)
        assert len(asked) == len(set(asked)) <= max(1, count.bit_length())


def test_what_cannot_be_tried_is_gone_around() -> None:
    def outcome(number: int) -> Outcome:
        return "skipped" if 3 <= number <= 6 else "passes" if number < 3 else "fails"

    found = search(10, outcome)
    assert found == Culprit(2, 7)
    steps = moves(dict.fromkeys("abcdefghij", "1"), dict.fromkeys("abcdefghij", "2"), broken=none, misfits=fits)
    assert between(steps, found) == ("c", "d", "e", "f", "g")


# -- the command -------------------------------------------------------------------------------------------------------

installs = pytest.mark.skipif(
    shutil.which(f"python{PYTHON}") is None and MINOR != PYTHON, reason=f"no CPython {PYTHON} on this machine"
)


@pytest.fixture
def project_with_two(kgen_alone: Kgen, index: Index) -> Kgen:
    """Two locks of one environment: three plugins are newer in the second, of which two go together."""
    for version in ("1.0", "2.0"):
        index.wheelhouse.put(
            Wheel(name="pair-a", version=version, requires=(f"pair-b=={version}",)),
            Wheel(name="pair-b", version=version),
            Wheel(name="single", version=version),
        )
    (kgen_alone.folder / "since-1.py").write_text(SINCE)
    (kgen_alone.folder / "since-125.py").write_text(SINCE)
    for version, name in (("1.0", "good.toml"), ("2.0", "bad.toml")):
        words = [word for one in ("pair-a", "single") for word in ("--dependency", f"{one}=={version}")]
        done = kgen_alone(*LOCK, "numpy", *words)
        assert done.status == 0, done.stderr
        shutil.copy(kgen_alone.folder / "locks/numpy-cpu/pylock.linux-64.toml", kgen_alone.folder / name)
    return kgen_alone


def bisect(kgen: Kgen, *words: str, program: tuple[str, ...]) -> Result:
    return kgen("bisect", *words, "--", "python", *program)


def data(result: Result) -> dict[str, Any]:
    assert result.status == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@installs
def test_the_package_is_found(project_with_two: Kgen) -> None:
    done = bisect(project_with_two, "good.toml", "bad.toml", program=("since-1.py", "single", "2.0"))
    assert done == Result(
        0,
        """\
numpy-cpu passes before, and fails with:
  single 1.0 -> 2.0
  exit status 1, found single 2.0
on the lock that passes, that alone makes it fail
tried 3 locks
""",
        """\
good.toml: passes
bad.toml: fails: exit status 1, found single 2.0
3 packages differ, in 2 steps that are valid
step 1 of 2: fails: exit status 1, found single 2.0
""",
    )


@installs
def test_what_can_only_go_together_is_told_together(project_with_two: Kgen) -> None:
    """And a second run of the same question tries nothing again."""
    program = ("since-1.py", "pair-b", "2.0")
    found = data(bisect(project_with_two, "good.toml", "bad.toml", "--json", program=program))
    assert found["packages"] == [
        {"name": "pair-a", "before": "1.0", "after": "2.0"},
        {"name": "pair-b", "before": "1.0", "after": "2.0"},
    ]
    assert found["steps"] == [["single"], ["pair-a", "pair-b"]]
    assert (found["passes"], found["fails"], found["alone"]) == (1, 2, "fails")
    assert (found["tried"], found["known"]) == (4, 0)
    again = data(bisect(project_with_two, "good.toml", "bad.toml", "--json", program=program))
    assert (again["tried"], again["known"]) == (0, 4)
    assert {**again, "tried": 4, "known": 0} == found
    anew = data(bisect(project_with_two, "good.toml", "bad.toml", "--json", "--again", program=program))
    assert (anew["tried"], anew["known"]) == (4, 0)


@installs
def test_it_goes_on_where_it_was_broken_off(project_with_two: Kgen) -> None:
    program = ("since-1.py", "single", "2.0")
    first = bisect(project_with_two, "good.toml", "bad.toml", program=program)
    assert first.status == 0, first.stderr
    state = project_with_two.folder / ".kgen/bisect/numpy-cpu/state.json"
    kept = json.loads(state.read_text())
    kept["outcomes"] = dict(list(kept["outcomes"].items())[:2])
    state.write_text(json.dumps(kept))
    found = data(bisect(project_with_two, "good.toml", "bad.toml", "--json", program=program))
    assert (found["tried"], found["known"]) == (1, 2)
    state.write_text("{")
    found = data(bisect(project_with_two, "good.toml", "bad.toml", "--json", program=program))
    assert (found["tried"], found["known"]) == (3, 0)


@installs
def test_what_is_slower_fails(project_with_two: Kgen) -> None:
    (project_with_two.folder / "wait.py").write_text(
        "import importlib.metadata, time\ntime.sleep(2.0 if importlib.metadata.version('single') == '2.0' else 0.2)\n"
    )
    words = ("good.toml", "bad.toml", "--slower", "100")
    found = data(bisect(project_with_two, *words, "--json", program=("wait.py",)))
    assert [one["name"] for one in found["packages"]] == ["single"]
    assert "s are allowed" in found["said"]


@installs
def test_a_revision_is_of_the_other_lock_s_file(project_with_two: Kgen) -> None:
    folder = project_with_two.folder
    lock = "locks/numpy-cpu/pylock.linux-64.toml"
    shutil.copy(folder / "good.toml", folder / lock)
    for words in (["init", "-q"], ["add", lock], ["-c", "user.name=x", "-c", "user.email=x@x.x", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    shutil.copy(folder / "bad.toml", folder / lock)
    for good in ("HEAD", f"HEAD:{lock}"):
        found = data(bisect(project_with_two, good, lock, "--json", program=("since-1.py", "single", "2.0")))
        assert [one["name"] for one in found["packages"]] == ["single"]
    status = subprocess.run(["git", "status", "--porcelain"], cwd=folder, check=True, capture_output=True, text=True)
    assert ".kgen" not in status.stdout


@installs
def test_ends_that_are_none(project_with_two: Kgen) -> None:
    done = bisect(project_with_two, "good.toml", "bad.toml", program=("since-1.py", "single", "1.0"))
    assert done.status == 2
    assert "error: good.toml does not pass: exit status 1, found single 1.0\n" in done.stderr
    done = bisect(project_with_two, "good.toml", "bad.toml", program=("since-1.py", "single", "3.0"))
    assert done.status == 2
    assert "error: bad.toml passes too\n" in done.stderr
    done = bisect(project_with_two, "good.toml", "bad.toml", program=("since-125.py", "single", "2.0"))
    assert done.status == 2
    assert "error: bad.toml cannot be tried: exit status 125, found single 2.0\n" in done.stderr


def test_locks_that_are_no_pair(project_with_two: Kgen) -> None:
    folder = project_with_two.folder
    done = project_with_two("bisect", "good.toml", "good.toml")
    assert (done.status, done.stderr.partition("\n")[0]) == (2, "error: good.toml and good.toml have the same versions")
    done = project_with_two("bisect", "nothing.toml", "good.toml")
    assert done.status == 2
    assert "`nothing.toml:good.toml` is not a lock" in done.stderr
    done = project_with_two(*LOCK, "jax", "--cuda", "12")
    assert done.status == 0, done.stderr
    done = project_with_two("bisect", "good.toml", "locks/jax-cuda12/pylock.linux-64.toml")
    assert done.status == 2
    assert done.stderr.startswith(
        "error: the locks differ in more than packages: environment numpy-cpu (good.toml) and"
    )
    (folder / "half.toml").write_text("[tool")
    assert project_with_two("bisect", "half.toml", "good.toml").status == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--slower", "fast"), "`--slower` is not a percentage"),
        (("--slower", "-3"), "`--slower` is not a percentage"),
        (("--repeat", "0"), "`--repeat` is not a number from 1 to 100"),
        (("--timeout", "-1"), "`--timeout` is not a number of seconds"),
    ],
)
def test_wrong_words(kgen: Kgen, words: tuple[str, ...], said: str) -> None:
    done = kgen("bisect", "a", "b", *words)
    assert done.status == 2
    assert said in done.stderr


def test_what_keeps_a_validation_from_running_keeps_its_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A lock for another platform is not a fault of the outside: `kgen validate` alone would end with status 2."""
    met = OtherPlatformError("numpy-cpu is locked for osx-arm64", hints=["kgen lock numpy"])
    result = SimpleNamespace(validations=(SimpleNamespace(error=met),))
    monkeypatch.setattr(validate, "targets", lambda *_words: ())
    monkeypatch.setattr(validate, "validate", lambda *_words: result)
    unused: Any = None
    options = action.BisectOptions()
    tries = action._Tries(tmp_path, unused, unused, unused, (), options, unused, unused)
    lock: Any = SimpleNamespace(environment="numpy-cpu")
    with pytest.raises(KgenError) as caught:
        tries._validated(lock)
    assert caught.value is met
    assert (caught.value.code, caught.value.status) == ("K204", ExitStatus.USAGE)


# -- real packages -----------------------------------------------------------------------------------------------------


@pytest.mark.network
@pytest.mark.frameworks
def test_what_jax_took_away_is_found(world: World, tmp_path: Path) -> None:
    """JAX 0.9.0 has `custom_transpose`, and 0.10.2 has not: real wheels, a real failure, on the CPU."""
    kgen = dataclasses.replace(world.kgen, folder=tmp_path)
    for name, cutoff in (("good.toml", "2026-02-01"), ("bad.toml", "2026-11-20")):
        asked = ("numpy", "--cpu", "--python", "3.11", "--exclude-newer", cutoff, "--upgrade")
        done = kgen("lock", *asked, timeout=300)
        assert done.status == 0, done.stderr
        shutil.copy(tmp_path / "locks/numpy-cpu/pylock.linux-64.toml", tmp_path / name)
    program = ("python", "-c", "from jax import custom_transpose")
    found = data(kgen("bisect", "good.toml", "bad.toml", "--json", "--", *program, timeout=600))
    assert "jax" in [one["name"] for one in found["packages"]]
    assert "custom_transpose" in found["said"]
