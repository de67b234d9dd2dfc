"""Two branches that upgraded different packages of a conda lock: merged by the driver, or by `kgen lock --merge`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
from tests.command import Kgen, Result
from tests.conda_packages import MINOR, TAG, Channel
from tests.test_conda_lock import locked
from tests.test_keeping import commit, git

from kgen.formats.conda import RECORDS, condafiles, text

ASK = ("lock", "--conda", "--python", MINOR, "--platform", "linux-64", "numpy", "--cpu")
FOLDER = "locks/numpy-cpu"
FILES = ("conda-lock.yml", "conda-records.json", "environment.yml", "virtual-packages.yml")


def good(result: Result) -> Result:
    assert result.status == 0, result.stderr
    return result


@dataclasses.dataclass
class Branches:
    """A repository on `main`; `other` is the other branch."""

    kgen: Kgen
    words: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return self.kgen.folder

    def merge(self, *, status: int = 0) -> str:
        return git(self.folder, "merge", "--no-edit", "other", status=status, **self.kgen.environment)

    def expect_both(self) -> None:
        found = locked(self.folder, "numpy-cpu")
        # what both sides have stays, although there is a newer one
        assert (found["keras"], found["scipy"], found["numpy"]) == ("3.16.0", "1.20.0", "2.3.0")
        file = condafiles.read(self.folder / FOLDER / RECORDS)
        written = {name: (self.folder / FOLDER / name).read_text() for name in FILES}
        assert written == text.files(file)


@pytest.fixture(name="repository")
def _repository(conda: Kgen) -> Kgen:
    """kgen in a project that git keeps, with nothing in it."""
    names = {f"GIT_{who}_{what}": "t@t.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{Path(sys.executable).parent}:{conda.environment['PATH']}"
    git(conda.folder, "init", "-q", "-b", "main")
    return dataclasses.replace(
        conda, environment={**conda.environment, **names, "PATH": path, "GIT_CONFIG_GLOBAL": "/dev/null"}
    )


@pytest.fixture(name="branches")
def _branches(repository: Kgen, built: Channel, tmp_path: Path) -> Branches:
    kgen = repository
    channel = built.copy(tmp_path / "grown")
    words = (*ASK, "--channel", channel.folder.as_uri())
    (kgen.folder / "kgen.toml").write_text(f'cpu = true\nchannels = ["{channel.folder.as_uri()}"]\n')
    good(kgen(*words))
    commit(kgen.folder, "old")
    abi = f"cp{MINOR.replace('.', '')}"
    needs = ["python", f"python_abi {MINOR}.* *_{abi}"]
    channel.add("keras", "3.16.0", subdir="noarch", depends=["python >=3.9"])
    channel.add("scipy", "1.19.0", f"{TAG}_0", depends=[*needs, "numpy >=2"])
    channel.add("numpy", "2.4.0", f"{TAG}_0", depends=needs)
    channel.index()
    git(kgen.folder, "branch", "other")
    good(kgen(*words, "--upgrade-package", "keras", "--upgrade-package", "scipy"))
    commit(kgen.folder, "keras and scipy")
    git(kgen.folder, "switch", "-q", "other")
    channel.add("scipy", "1.20.0", f"{TAG}_0", depends=[*needs, "numpy >=2"])
    channel.index()
    good(kgen(*words, "--upgrade-package", "scipy"))
    commit(kgen.folder, "another scipy")
    git(kgen.folder, "switch", "-q", "main")
    return Branches(kgen, words)


class TestMerge:
    def test_the_driver_that_init_sets_up(self, branches: Branches) -> None:
        good(branches.kgen("init", "--git"))
        said = branches.merge()
        for name in ("conda-lock.yml", "conda-records.json"):
            assert f"{FOLDER}/{name}: solved again, keeping what both sides share" in said
        branches.expect_both()
        assert git(branches.folder, "status", "--porcelain", "--untracked-files=no") == ""
        assert good(branches.kgen("check")).status == 0

    @pytest.mark.parametrize("known_to_git", [True, False])
    def test_a_conflict_is_solved_by_lock(self, branches: Branches, *, known_to_git: bool) -> None:
        branches.merge(status=1)
        path = branches.folder / FOLDER / RECORDS
        damaged = path.read_bytes()
        assert b"<<<<<<< HEAD" in damaged
        if not known_to_git:
            git(branches.folder, "add", "-A")
        assert branches.kgen(*branches.words) == Result(
            2,
            "",
            f"error: [TEMP]/project/{FOLDER}/{RECORDS} is in conflict after a merge\n\n"
            "hint: `kgen lock --merge` solves it again and keeps what both sides share\n",
        )
        assert path.read_bytes() == damaged
        good(branches.kgen(*branches.words, "--merge"))
        branches.expect_both()

    def test_sides_that_ask_for_different_things_are_for_a_person(self, branches: Branches) -> None:
        good(branches.kgen("init", "--git"))
        good(branches.kgen(*branches.words, "--require", "scipy<2"))
        commit(branches.folder, "a wish")
        said = branches.merge(status=1)
        for name in ("conda-lock.yml", "conda-records.json"):
            path = f"{FOLDER}/{name}"
            assert f"{path}: not merged: the two sides were locked for different requests (request)\n" in said
            assert "<<<<<<< ours" in (branches.folder / path).read_text()
        assert "hint: merge the settings, then `kgen lock --merge`\n" in said

    def test_a_channel_that_is_gone(self, branches: Branches, tmp_path: Path) -> None:
        good(branches.kgen("init", "--git"))
        (tmp_path / "grown").rename(tmp_path / "elsewhere")
        said = branches.merge(status=1)
        assert f"{FOLDER}/{RECORDS}: not merged: the conda channel file://" in said
        assert "<<<<<<< ours" in (branches.folder / FOLDER / RECORDS).read_text()

    def test_elsewhere_than_in_a_merge(self, branches: Branches, tmp_path: Path) -> None:
        """Nobody tells whose conda-lock.yml it is, and it alone does not say enough."""
        good(branches.kgen("init", "--git"))
        for side, revision in (("ours", "main"), ("theirs", "other"), ("base", "main~1")):
            shown = git(branches.folder, "show", f"{revision}:{FOLDER}/conda-lock.yml")
            (tmp_path / side).write_text(shown)
        sides = [str(tmp_path / side) for side in ("base", "ours", "theirs")]
        done = branches.kgen("merge-driver", *sides, f"{FOLDER}/conda-lock.yml")
        assert done.status == 1
        assert "not merged: git does not say which conda-records.json the two sides have\n" in done.stderr
        assert "<<<<<<< ours" in (tmp_path / "ours").read_text()

    def test_with_wheels_in_it_it_is_for_lock(self, repository: Kgen, built: Channel, tmp_path: Path) -> None:
        """Its wheels are those of the pylock, which git has perhaps not merged yet."""
        channel = built.copy(tmp_path / "grown")
        (repository.folder / "kgen.toml").write_text(
            f'cpu = true\nconda = "base"\nchannels = ["{channel.folder.as_uri()}"]\n'
        )
        good(repository(*ASK))
        good(repository("init", "--git"))
        commit(repository.folder, "old")
        channel.add("pip", "26.1", subdir="noarch", depends=["python", "setuptools"])
        channel.add("setuptools", "81.0", subdir="noarch", depends=["python"])
        channel.index()
        git(repository.folder, "branch", "other")
        good(repository(*ASK, "--upgrade-package", "pip"))
        commit(repository.folder, "pip")
        git(repository.folder, "switch", "-q", "other")
        good(repository(*ASK, "--upgrade-package", "setuptools"))
        commit(repository.folder, "setuptools")
        said = git(repository.folder, "merge", "--no-edit", "main", status=1, **repository.environment)
        why = 'with `conda = "base"` its wheels are those of the pylock'
        for name in ("conda-lock.yml", "conda-records.json"):
            assert f"{FOLDER}/{name}: not merged: {why}\nhint: merge the settings, then `kgen lock --merge`\n" in said
        good(repository(*ASK, "--merge"))
        found = locked(repository.folder, "numpy-cpu")
        assert {name: found[name] for name in ("pip", "setuptools")} == {"pip": "26.1", "setuptools": "81.0"}
        assert good(repository("check")).status == 0

    @pytest.mark.parametrize("way", ["rebase", "cherry-pick"])
    def test_other_ways_to_bring_branches_together(self, branches: Branches, way: str) -> None:
        """Merged where git says enough; where it does not, `kgen lock --merge` does it."""
        good(branches.kgen("init", "--git"))
        commit(branches.folder, "attributes")
        git(branches.folder, "switch", "-q", "other") if way == "rebase" else None
        words = ("rebase", "main") if way == "rebase" else ("cherry-pick", "other")
        git(branches.folder, *words, status=None, **branches.kgen.environment)
        if (branches.folder / FOLDER / "conda-lock.yml").read_text().count("<<<<<<< "):
            good(branches.kgen(*branches.words, "--merge"))
        branches.expect_both()
