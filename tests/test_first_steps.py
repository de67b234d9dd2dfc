"""What people stumble over who use kgen for the first time."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
import tomli
from tests.command import LOCK, UV, Kgen
from tests.test_diff import LOCK as PYLOCK
from tests.test_diff import older, repository

from kgen import lockfiles
from kgen.actions import interpreters
from kgen.actions.init import write_settings
from kgen.host import Host
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU
from kgen.model.request import EnvironmentRequest

__all__ = ["repository"]


class TestDiff:
    def test_without_a_side_it_compares_with_the_last_commit(self, kgen: Kgen, repository: Path) -> None:
        assert kgen("diff").stdout == "no lock has changed\n"
        newest = older(repository / "locks/numpy-cpu" / PYLOCK, "numpy")
        assert kgen("diff").stdout == f"numpy-cpu (linux-64): changed\n  numpy {newest} -> 0.1 (down)\n"
        assert kgen("diff").stdout == kgen("diff", "HEAD").stdout

    def test_without_a_repository_it_says_what_to_name(self, kgen: Kgen) -> None:
        assert kgen("diff").stderr == (
            "error: `HEAD` is not a file or a folder, and [TEMP]/project is not in a git repository\n\n"
            "hint: name two locks or two folders: kgen diff A B\n"
        )

    def test_units_keep_their_letters_in_markdown(self, kgen: Kgen, repository: Path) -> None:
        lock = repository / "locks/numpy-cpu" / PYLOCK
        bytes_there = lockfiles.read(lock).size
        assert bytes_there is not None
        file = next(one for one in lockfiles.read(lock).files if one.size)
        lock.write_text(lock.read_text().replace(f"size = {file.size}", f"size = {(file.size or 0) + 10**6}", 1))
        older(lock, "numpy")
        done = subprocess.run(
            kgen.words("diff", "--markdown"), cwd=repository, env=kgen.env(), capture_output=True, text=True, check=True
        )
        assert " MB -> " in done.stdout
        assert "Download " in done.stdout
        assert " mb" not in done.stdout


class TestAPythonThatIsNotHere:
    def request(self, python: str, *, open_: bool) -> EnvironmentRequest:
        return EnvironmentRequest(
            name="numpy",
            backends=("numpy",),
            accelerator=CPU,
            python=python,
            platform="linux-64",
            python_open=open_,
        )

    def test_it_is_named_with_one_that_is_as_good(
        self, matrix: CompatibilityMatrix, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kgen.host.subdir", lambda: "linux-64")
        monkeypatch.setattr("kgen.uvtool.has_interpreter", lambda minor: minor == "3.12")
        request = self.request("3.13", open_=True)
        install = f"{UV} python install 3.13"
        absent = interpreters.AbsentPython("3.13", ("numpy-cpu",), "3.12", install)
        assert interpreters.absent(matrix, [request]) == (absent,)
        assert interpreters.absent(matrix, [self.request("3.13", open_=False)]) == ()
        assert interpreters.absent(matrix, [request._replace(platform="osx-arm64")]) == ()
        assert interpreters.absent(matrix, [self.request("3.12", open_=True)]) == ()

    def test_where_uv_cannot_tell_nothing_is_said(
        self, matrix: CompatibilityMatrix, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kgen.host.subdir", lambda: "linux-64")
        monkeypatch.setattr("kgen.uvtool.has_interpreter", lambda _minor: None)
        assert interpreters.absent(matrix, [self.request("3.13", open_=True)]) == ()


def test_a_refusal_names_no_python_that_nobody_asked_for(kgen: Kgen) -> None:
    call = ("solve", "torch", "--cuda", "12.4", "--driver", "550", "--gpu", "12.0")
    refused = kgen(*call)
    assert refused.status == 3
    head = refused.stderr.partition("\n")[0]
    assert "Python" not in head
    assert "Python 3.12" in kgen(*call, "--python", "3.12").stderr.partition("\n")[0]


@pytest.mark.parametrize(("fault", "ignored", "runs"), [(0, "", True), (1, "", False), (1, "ignore", True)])
def test_a_batch_job_ends_at_a_fault_unless_it_is_told_not_to(
    kgen: Kgen, tmp_path: Path, *, fault: int, ignored: str, runs: bool
) -> None:
    assert kgen(*LOCK, "numpy").status == 0
    script = tmp_path / "job.sh"
    script.write_text(kgen("export", "slurm", "numpy").stdout)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"kgen": f"exit {fault}", "srun": 'echo "ran $*"'}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(stat.S_IRWXU)
    done = subprocess.run(
        ["sh", script, "python", "train.py"],
        env={"PATH": f"{programs}:{os.defpath}", "SLURM_SUBMIT_DIR": str(tmp_path), "KGEN_FAULTS": ignored},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if runs else 1)
    assert done.stdout == ("ran kgen run --no-sync numpy-cpu -- python train.py\n" if runs else "")


PINNED = {
    "requirements.txt": ("requirements.txt", "jax==0.4.30\nrich\n"),
    "environment.yml": ("environment.yml", "name: c\ndependencies:\n- jax=0.4.30\n- pip:\n  - rich\n"),
    "poetry": (
        "pyproject.toml",
        '[tool.poetry]\nname = "p"\nversion = "1"\n[tool.poetry.dependencies]\npython = "^3.10"\njax = "0.4.30"\n',
    ),
    "uv": ("pyproject.toml", '[project]\nname = "p"\nversion = "1"\ndependencies = ["jax==0.4.30"]\n[tool.uv]\n'),
}


@pytest.mark.parametrize("source", PINNED)
def test_what_is_chosen_fits_what_the_project_requires(kgen: Kgen, project: Path, source: str) -> None:
    """JAX 0.4.30 has no wheel for the newest Pythons, nor for CUDA 13, and can be had as written."""
    name, text = PINNED[source]
    (project / name).write_text(text)
    done = kgen("init", "--from", source)
    assert done.status == 0, done.stderr
    written = next(path for path in (project / "pyproject.toml", project / "kgen.toml") if path.exists())
    assert 'backends = ["jax"]' in written.read_text()
    solved = kgen("solve")
    assert solved.status == 0, solved.stderr
    assert "  jax     0.4.30 " in solved.stdout


def test_the_python_is_one_that_the_requirement_has(project: Path, matrix: CompatibilityMatrix) -> None:
    """Whichever are installed: of those that are equally good for the newest JAX, none has this one."""
    (project / "pyproject.toml").write_text(
        '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["jax==0.4.30"]\n'
    )
    _, text = write_settings(project, Host(), matrix, backends=["jax"], installed=lambda minor: minor != "3.12")
    python = tomli.loads(text)["tool"]["kgen"]["python"]
    assert python in {"3.10", "3.11"}


def test_a_requirement_that_cannot_be_read_is_left_to_the_lock(kgen: Kgen, project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[project]\nname = "p"\nversion = "1"\ndependencies = ["not a requirement"]\n'
    )
    assert kgen("init", "jax").status == 0
    refused = kgen("lock")
    assert refused.status == 2
    assert "not a requirement" in refused.stderr


class TestFilesThatAreThere:
    """`kgen init` takes over the one file that says what the project requires."""

    @pytest.mark.parametrize("name", ["requirements.txt", "environment.yml"])
    def test_one(self, kgen: Kgen, project: Path, name: str) -> None:
        (project / name).write_text(PINNED[name][1])
        done = kgen("init")
        assert done.status == 0, done.stderr
        assert f"note: {name} is taken over, as with `kgen init --from {name}`\n" in done.stderr
        data = tomli.loads((project / "kgen.toml").read_text())
        assert data["backends"] == ["jax"]
        assert data.get("requirements") == (["requirements.txt"] if name == "requirements.txt" else None)

    def test_a_table_of_poetry(self, kgen: Kgen, project: Path) -> None:
        """kgen itself reads of it what is as the standard writes it; a range with `^` is not."""
        path = project / "pyproject.toml"
        path.write_text(PINNED["poetry"][1].replace('"0.4.30"', '"^0.4.30"'))
        done = kgen("init")
        assert done.status == 0, done.stderr
        assert "note: poetry is taken over, as with `kgen init --from poetry`\n" in done.stderr
        table = tomli.loads(path.read_text())["tool"]["kgen"]
        assert (table["backends"], table["require"]) == (["jax"], ["jax<0.5,>=0.4.30"])

    def test_several(self, kgen: Kgen, project: Path) -> None:
        for name in ("requirements.txt", "environment.yml"):
            (project / name).write_text(PINNED[name][1])
        done = kgen("init")
        assert done.status == 0, done.stderr
        assert (
            "note: environment.yml and requirements.txt are not read; `kgen init --from environment.yml` or"
            " `kgen init --from requirements.txt`, in the place of these settings, takes one over\n"
        ) in done.stderr
        assert "requirements" not in tomli.loads((project / "kgen.toml").read_text())

    def test_one_that_cannot_be_read(self, kgen: Kgen, project: Path) -> None:
        (project / "environment.yml").write_text("dependencies: [\n")
        done = kgen("init", "numpy")
        assert done.status == 0, done.stderr
        assert "note: environment.yml is not taken over: " in done.stderr
        assert tomli.loads((project / "kgen.toml").read_text())["backends"] == ["numpy"]

    def test_none_beside_a_pyproject_or_locks(self, kgen: Kgen, project: Path) -> None:
        (project / "requirements.txt").write_text("rich\n")
        (project / "pyproject.toml").write_text("[project]\nname = 'p'\nversion = '1'\n")
        assert "requirements.txt" not in kgen("init", "numpy").stderr
        (project / "pyproject.toml").unlink()
        assert kgen(*LOCK, "numpy", "--cpu").status == 0
        assert "taken over" not in kgen("init").stderr


@pytest.mark.parametrize("name", ["requirements.txt", "environment.yml"])
def test_a_file_that_is_not_read_is_named(kgen: Kgen, project: Path, name: str) -> None:
    (project / name).write_text(PINNED[name][1])
    words = (*LOCK, "numpy", "--cpu")
    for _ in range(2):  # made, and standing
        assert f"note: kgen ignores {name}; " in kgen(*words).stderr
    (project / "more.txt").write_text("six\n")
    assert "kgen ignores" not in kgen(*words, "-r", "more.txt").stderr
    assert "kgen ignores" not in kgen(*words, "--no-project").stderr
    assert kgen("init").status == 0
    assert "kgen ignores" not in kgen("solve").stderr


def test_what_takes_one_of_several_files_over(kgen: Kgen, project: Path) -> None:
    """Where there are several, `kgen init` alone takes none."""
    files = {"requirements.txt": "rich\n", "environment.yml": "dependencies: [attrs]\n"}
    files["environment.yaml"] = files["environment.yml"]
    for name, text in files.items():
        (project / name).write_text(text)
    said = kgen("solve", "numpy", "--cpu").stderr
    calls = re.findall(r"`kgen (init[^`]*)` takes", said)
    assert len(calls) == len(files)
    for call in calls:
        done = kgen(*call.split())
        assert done.status == 0, done.stderr
        table = tomli.loads((project / "kgen.toml").read_text())
        assert table.get("requirements") == ["requirements.txt"] or table["dependencies"] == ["attrs"]
        (project / "kgen.toml").unlink()
