"""What a new lock keeps of the old one, and what becomes of two that a merge could not bring together."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen, Result
from tests.index import Index
from tests.test_lock import states, versions
from tests.wheelhouse import Wheel

from kgen.actions import keep
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.solver.retention import keeping

PYLOCK = "locks/jax-cpu/pylock.linux-64.toml"
OLD = ("--require", "scipy<1.16", "--require", "ml-dtypes<0.5.3", "--require", "jax<0.10")


class TestKept:
    """Of a request's held versions, those that there is a solution with."""

    @staticmethod
    def request(*held: str, requirements: tuple[str, ...] = (), name: str = "torch") -> EnvironmentRequest:
        return EnvironmentRequest(
            name=name,
            backends=(name,),
            accelerator=Accelerator("cuda", (12,)),
            python="3.12",
            platform="linux-64",
            requirements=tuple(map(Requirement, requirements)),
            held=tuple(map(Requirement, held)),
        )

    def kept(self, matrix: CompatibilityMatrix, *held: str, requirements: tuple[str, ...] = ()) -> list[str]:
        return list(map(str, keeping(matrix, self.request(*held, requirements=requirements)).held))

    def test_all_that_is_possible(self, matrix: CompatibilityMatrix) -> None:
        held = ["torch==2.9.0", "keras==3.12.0", "nvidia-cudnn-cu12==9.10.2.21", "absl-py==1"]
        assert self.kept(matrix, *held) == held

    def test_frameworks_before_what_they_need(self, matrix: CompatibilityMatrix) -> None:
        # cuDNN of torch 2.6 cannot stay beside torch 2.9
        held = ("nvidia-cudnn-cu12==9.1.0.70", "keras==3.12.0", "torch==2.9.0")
        assert self.kept(matrix, *held) == ["torch==2.9.0", "keras==3.12.0"]

    def test_what_is_asked_comes_first(self, matrix: CompatibilityMatrix) -> None:
        held = ("torch==2.9.0", "nvidia-cudnn-cu12==9.10.2.21", "six==1")
        kept = self.kept(matrix, *held, requirements=("torch==2.6.0",))
        assert kept == ["six==1"]

    def test_what_the_matrix_does_not_know_or_will_not_have(self, matrix: CompatibilityMatrix) -> None:
        yanked = next(str(one.version) for one in matrix.framework("jax").releases if one.yanked)
        for held in ("jax==99", f"jax=={yanked}"):
            request = self.request(held, "keras==3.12.0", name="jax")
            assert list(map(str, keeping(matrix, request).held)) == ["keras==3.12.0"]

    def test_nothing_where_nothing_fits_anyway(self, matrix: CompatibilityMatrix) -> None:
        assert self.kept(matrix, "keras==3.12.0", requirements=("torch==99",)) == []


class TestPython:
    """The Python of the old locks stays where none is asked for."""

    @staticmethod
    def kept(
        matrix: CompatibilityMatrix, locks: Path, there: Mapping[str, str], *asked: str, python_open: bool = True
    ) -> tuple[dict[str, str], list[str]]:
        for name, python in there.items():
            (locks / f"{name}-cuda12").mkdir(parents=True)
            text = f'packages = []\n[tool.kgen]\npython = "{python}"\npackages = {{}}\n'
            (locks / f"{name}-cuda12" / "pylock.linux-64.toml").write_text(text)
        requests = [TestKept.request(name=name)._replace(python="3.13", python_open=python_open) for name in asked]
        notes: list[str] = []
        found = keep.keep(matrix, requests, locks, upgraded=(), merge=False, notes=notes)
        return {one.name: one.python for one in found}, notes

    def test_it_stays_and_new_environments_get_it_too(self, matrix: CompatibilityMatrix, tmp_path: Path) -> None:
        pythons, notes = self.kept(matrix, tmp_path, {"torch": "3.11"}, "torch", "jax")
        assert pythons == {"torch": "3.11", "jax": "3.11"}
        assert notes == ["torch-cuda12, jax-cuda12: still for Python 3.11, as locked; `--python 3.13` changes that"]

    @pytest.mark.parametrize(
        ("there", "python_open"),
        [
            ({"torch": "3.11"}, False),
            ({"torch": "3.11", "jax": "3.12"}, True),
            ({"torch": "3.6"}, True),
            ({"torch": "banana"}, True),
            ({}, True),
        ],
        ids=["another is asked for", "two", "nothing solves it", "none", "nothing is locked"],
    )
    def test_it_does_not_stay(
        self, matrix: CompatibilityMatrix, tmp_path: Path, there: Mapping[str, str], *, python_open: bool
    ) -> None:
        found = self.kept(matrix, tmp_path, there, "torch", "jax", python_open=python_open)
        assert found == ({"torch": "3.13", "jax": "3.13"}, [])

    def test_a_lock_that_is_made_again(self, kgen: Kgen) -> None:
        assert kgen(*LOCK, "numpy", "--cpu").status == 0
        words = [word for word in LOCK if word not in {"--python", "3.11"}]
        done = kgen(*words, "numpy", "--cpu")
        assert done.status == 0, done.stderr
        assert "unchanged" in done.stdout
        done = kgen(*words, "numpy", "--cpu", "--dependency", "six")
        assert done.status == 0, done.stderr
        assert "note: numpy-cpu: still for Python 3.11, as locked; `--python 3." in done.stderr


class TestLock:
    @pytest.fixture(name="old")
    @staticmethod
    def _old(kgen: Kgen) -> dict[str, str]:
        assert kgen(*LOCK, "jax", "--cpu", *OLD).status == 0
        found = versions(kgen.folder, "jax-cpu")
        assert found["scipy"].startswith("1.15.")
        assert found["jax"].startswith("0.9."), found["jax"]
        return found

    def test_keeps_what_is_allowed_and_says_what_would_fit(self, kgen: Kgen, old: dict[str, str]) -> None:
        result = kgen(*LOCK, "jax", "--cpu")
        assert (result.status, states(result)) == (0, {"jax-cpu": "written"})  # that there was a wish is gone
        assert versions(kgen.folder, "jax-cpu") == old
        assert result.stderr.startswith(
            f"note: jax-cpu keeps jax {old['jax']}; the matrix has 0.10.2 for it\n"
            "note: `kgen lock --upgrade` tries the newest of all, `--upgrade-package P` that of P\n"
        )
        assert states(kgen(*LOCK, "jax", "--cpu")) == {"jax-cpu": "unchanged"}

    def test_what_is_no_longer_allowed_moves_alone(self, kgen: Kgen, old: dict[str, str]) -> None:
        assert kgen(*LOCK, "jax", "--cpu", "--require", "scipy>=1.16").status == 0
        now = versions(kgen.folder, "jax-cpu")
        assert {name for name in old if now[name] != old[name]} == {"scipy"}

    def test_upgrade_is_as_if_there_were_none(self, kgen: Kgen, old: dict[str, str], tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        assert kgen(*LOCK, "jax", "--cpu", cwd=elsewhere).status == 0
        result = kgen(*LOCK, "jax", "--cpu", "--upgrade")
        assert (result.status, "the matrix has" in result.stderr) == (0, False)
        assert (kgen.folder / PYLOCK).read_bytes() == (elsewhere / PYLOCK).read_bytes()
        assert versions(kgen.folder, "jax-cpu")["jax"] != old["jax"]

    def test_a_lock_that_is_none_is_replaced_and_told(self, kgen: Kgen, old: dict[str, str]) -> None:
        (kgen.folder / PYLOCK).write_text("broken")
        result = kgen(*LOCK, "jax", "--cpu")
        assert result.status == 0
        assert f"note: nothing is kept of [TEMP]/project/{PYLOCK}: not a lock of kgen" in result.stderr
        assert versions(kgen.folder, "jax-cpu")["jax"] != old["jax"]


def git(folder: Path, *words: str, status: int | None = 0, **environment: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t.test", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment or None,
    )
    if status is not None:
        assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


class TestMerge:
    """Two branches, each of which upgraded another package of the lock."""

    @pytest.fixture(name="branches")
    @staticmethod
    def _branches(kgen: Kgen) -> Kgen:
        """A repository on one of the branches; `other` is the other one."""
        folder = kgen.folder
        kgen = dataclasses.replace(
            kgen,
            environment={
                **kgen.environment,
                "PATH": f"{Path(sys.executable).parent}:{kgen.environment['PATH']}",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_AUTHOR_NAME": "t",
                "GIT_COMMITTER_NAME": "t",
                "GIT_AUTHOR_EMAIL": "t@t.test",
                "GIT_COMMITTER_EMAIL": "t@t.test",
            },
        )
        git(folder, "init", "-q", "-b", "main")
        for words in (OLD, ()):
            assert kgen(*LOCK, "jax", "--cpu", *words).status == 0
        commit(folder, "old")
        git(folder, "branch", "other")
        assert kgen(*LOCK, "jax", "--cpu", "--upgrade-package", "scipy").status == 0
        commit(folder, "scipy")
        git(folder, "switch", "-q", "other")
        for change in (("--require", "scipy>=1.16,<1.17"), ("--upgrade-package", "ml-dtypes")):
            assert kgen(*LOCK, "jax", "--cpu", *change).status == 0
        commit(folder, "ml-dtypes, and another scipy")
        git(folder, "switch", "-q", "main")
        return kgen

    def merged(self, kgen: Kgen, *, status: int = 0) -> str:
        return git(kgen.folder, "merge", "--no-edit", "other", status=status, **kgen.environment)

    def expect_both(self, kgen: Kgen) -> None:
        old, ours, theirs = (self.at(kgen, revision) for revision in ("main~1", "main", "other"))
        moved = {name for name in old if ours[name] != old[name]}, {name for name in old if theirs[name] != old[name]}
        assert moved == ({"scipy"}, {"ml-dtypes", "scipy"})
        assert ours["scipy"] != theirs["scipy"]
        assert versions(kgen.folder, "jax-cpu") == {**ours, "ml-dtypes": theirs["ml-dtypes"]}
        assert "<<<<<<<" not in (kgen.folder / PYLOCK).read_text()

    def at(self, kgen: Kgen, revision: str) -> dict[str, str]:
        folder = kgen.temporary / revision
        (folder / PYLOCK).parent.mkdir(parents=True)
        (folder / PYLOCK).write_text(git(kgen.folder, "show", f"{revision}:{PYLOCK}"))
        return versions(folder, "jax-cpu")

    def test_the_driver_that_init_sets_up(self, branches: Kgen) -> None:
        kgen = branches
        settings = kgen.folder / "kgen.toml"
        settings.write_text("cpu = true\n")
        result = kgen("init", "--git")
        assert (result.status, result.stdout) == (0, "")
        assert settings.read_text() == "cpu = true\n"
        attributes = (kgen.folder / ".gitattributes").read_text()
        assert attributes.splitlines() == [
            "locks/** -text",
            "locks/*/pylock.*.toml merge=kgen",
            "locks/*/conda-records.json merge=kgen",
            "locks/*/conda-lock.yml merge=kgen",
            "locks/*/environment.yml merge=kgen",
            "locks/*/virtual-packages.yml merge=kgen",
        ]
        assert kgen("init", "--git") == result
        assert (kgen.folder / ".gitattributes").read_text() == attributes
        commit(kgen.folder, "attributes")
        git(kgen.folder, "tag", "before")
        assert f"{PYLOCK}: solved again, keeping what both sides share" in self.merged(kgen)
        git(kgen.folder, "branch", "-f", "result")
        git(kgen.folder, "reset", "-q", "--hard", "before~1")
        git(kgen.folder, "checkout", "-q", "result", "--", PYLOCK)
        self.expect_both(kgen)

    def test_sides_that_ask_for_different_things_are_for_a_person(self, branches: Kgen) -> None:
        kgen = branches
        assert kgen("init", "jax", "--git", "--cpu").status == 0
        assert kgen(*LOCK, "jax", "--cpu", "--require", "jax<0.10").status == 0
        commit(kgen.folder, "a wish")
        said = self.merged(kgen, status=1)
        assert f"{PYLOCK}: not merged: the two sides were locked for different requests (require)\n" in said
        assert "hint: merge the settings, then `kgen lock --merge`\n" in said
        assert "<<<<<<< ours" in (kgen.folder / PYLOCK).read_text()
        assert git(kgen.folder, "diff", "--name-only", "--diff-filter=U").split() == [PYLOCK]

    @pytest.mark.parametrize("known_to_git", [True, False])
    def test_a_conflict_is_solved_by_lock(self, branches: Kgen, *, known_to_git: bool) -> None:
        kgen = branches
        self.merged(kgen, status=1)
        damaged = (kgen.folder / PYLOCK).read_bytes()
        assert b"<<<<<<< HEAD" in damaged
        if not known_to_git:
            git(kgen.folder, "add", PYLOCK)
        refused = kgen(*LOCK, "jax", "--cpu")
        assert refused == Result(
            2,
            "",
            f"error: [TEMP]/project/{PYLOCK} is in conflict after a merge\n\n"
            "hint: `kgen lock --merge` solves it again and keeps what both sides share\n",
        )
        assert (kgen.folder / PYLOCK).read_bytes() == damaged
        assert kgen(*LOCK, "jax", "--cpu", "--merge").status == 0
        self.expect_both(kgen)

    def test_outside_a_repository(self, kgen: Kgen) -> None:
        assert kgen("init", "--git") == Result(
            2, "", "error: [TEMP]/project is in no git repository\n\nhint: git init\n"
        )


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


def test_a_framework_that_comes_along_and_is_older_for_what_is_kept_is_told(
    kgen_alone: Kgen, project: Path, index: Index
) -> None:
    index.wheelhouse.put(Wheel(name="brings", version="1.0", requires=("tensorflow",)))
    assert kgen_alone(*LOCK, "numpy", "--cpu").status == 0
    done = kgen_alone(*LOCK, "numpy", "--cpu", "--dependency", "brings")
    assert done.status == 0, done.stderr
    assert versions(project, "numpy-cpu")["tensorflow"] == "2.20.0"
    assert "note: numpy-cpu keeps tensorflow 2.20.0; the matrix has 2.21.0 for it\n" in done.stderr


def test_what_other_environments_have_costs_no_framework_a_newer_release(kgen_alone: Kgen, project: Path) -> None:
    """A lock that stands is shared with as far as a new environment has what it would have by itself."""
    assert kgen_alone(*LOCK, "numpy", "--cpu").status == 0
    alone = kgen_alone("solve", "tensorflow", "--cpu", *LOCK[1:], "--json")
    newest = json.loads(alone.stdout)["solution"]["packages"]["tensorflow"]
    assert kgen_alone(*LOCK, "tensorflow", "numpy", "--cpu").status == 0
    assert versions(project, "tensorflow-cpu")["tensorflow-cpu"] == newest
    # of what it takes as well, both have one
    shared = ("optree", "ml-dtypes", "namex")
    locked = [versions(project, name) for name in ("numpy-cpu", "tensorflow-cpu")]
    assert len({tuple(one[name] for name in shared) for one in locked}) == 1
