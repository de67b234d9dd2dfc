"""Blocks of pages that no journey types: each is typed line by line, in a project as its page has it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
from tests.command import Kgen
from tests.index import Index
from tests.recorded import REFERENCE
from tests.test_journeys import ROOT, TRAIN, Terminal, block, typed
from tests.wheelhouse import Wheel

SETTINGS = 'backends = ["jax"]\ncpu = true\npython = "3.11"\nplatforms = ["linux-64"]\nnix = false\n'


@pytest.fixture(name="jax")
def _jax(kgen: Kgen, project: Path, tmp_path: Path) -> Terminal:
    """Somebody in a repository with a lock of JAX for the CPU, committed, and changed since."""
    terminal = Terminal(kgen=kgen, programs=tmp_path / "bin")
    (project / "kgen.toml").write_text(SETTINGS)
    (project / "train.py").write_text(TRAIN)
    (project / ".vscode").mkdir()
    terminal.type("git init -q . && git add . && git commit -qm settings")
    terminal.type("kgen lock && git add . && git commit -qm locks")
    return terminal


def test_the_first_environment(kgen: Kgen, project: Path, tmp_path: Path) -> None:
    """The tutorial but for what it compares with its output, on a machine as it is."""
    page = "docs/tutorials/first-environment.md"
    terminal = Terminal(kgen=kgen, programs=tmp_path / "bin")
    (init,) = typed(page, "kgen init")
    terminal.type(init)
    (project / "kgen.toml").unlink()
    settings = block(page, "toml").replace('"3.12"', '"3.11"')
    (project / "kgen.toml").write_text(settings)
    for name in ("train.py", "predict.py"):
        (project / name).write_text(TRAIN)
    terminal.type("git init -q . && kgen lock && git add *.py")
    train, predict, stay = typed(page, "kgen run jax")
    assert "trained on jax\n" in terminal.type(train)
    assert "trained on numpy\n" in terminal.type(predict)
    terminal.type(stay)
    (commit,) = typed(page, "git add")
    terminal.type(commit)


def test_a_page_about_environments(jax: Terminal) -> None:
    page = "docs/how-to/environments.md"
    sync, run, shell, activate, status, check, tree = typed(page, "kgen sync jax")
    assert ".kgen/envs/jax-cpu" in jax.type(sync)
    assert "trained on jax\n" in jax.type(run)
    jax.type(shell)
    assert jax.type(f"{activate}; echo $KERAS_BACKEND").endswith("jax\n")
    assert "jax-cpu" in jax.type(status)
    assert "jax-cpu" in jax.type(check)
    assert jax.type(tree).startswith("jax-cpu")


def test_a_page_about_checks(jax: Terminal, project: Path) -> None:
    since, between = typed("docs/how-to/check-in-ci.md", "kgen diff HEAD~1")
    assert jax.type(since) == "no lock has changed\n"
    shutil.copytree(REFERENCE / "locks/numpy-cpu", project / "locks/numpy-cpu")
    assert "numpy-cpu" in jax.type(since)
    jax.type("git add . && git commit -qm numpy")
    said = jax.type(between)
    assert "numpy-cpu" in said
    assert "jax-cpu" not in said


def test_a_page_about_merges(jax: Terminal, project: Path) -> None:
    page = "docs/how-to/merges-and-bots.md"
    init, merge = typed(page, "kgen init --git")
    jax.type(init)
    assert "kgen merge-driver" in (project / ".git/config").read_text()
    assert "jax-cpu" in jax.type(merge)


def test_a_page_about_editors(jax: Terminal, index: Index, project: Path, tmp_path: Path) -> None:
    index.wheelhouse.put(Wheel(name="ipykernel", version="7.1", files={"ipykernel/__init__.py": b""}))
    environment = {**jax.kgen.environment, "JUPYTER_DATA_DIR": str(tmp_path / "jupyter")}
    there = dataclasses.replace(jax, kgen=dataclasses.replace(jax.kgen, environment=environment).at(index.url))
    notebook, vscode, envrc = typed("docs/how-to/editors-and-notebooks.md", "--jupyter")
    assert "requires ipykernel" in there.type(notebook)
    assert (tmp_path / "jupyter/kernels/kgen-project-jax-cpu/kernel.json").is_file()
    there.type(vscode)
    settings = json.loads((project / ".vscode/settings.json").read_text())
    assert settings["python.defaultInterpreterPath"] == "${workspaceFolder}/.kgen/envs/jax-cpu/bin/python"
    there.type(envrc)
    assert "kgen activate --shell bash 'jax-cpu'" in (project / ".envrc").read_text()


def test_a_page_about_proofs(kgen: Kgen, project: Path, tmp_path: Path) -> None:
    """The receipts are those of this repository."""
    terminal = Terminal(kgen=kgen, programs=tmp_path / "bin")
    shutil.copytree(REFERENCE, project, dirs_exist_ok=True)
    for folder in ("collected", ".kgen/fleet"):
        shutil.copytree(ROOT / "locks/numpy-cpu", project / folder / "numpy-cpu")
    own, collected = typed("docs/how-to/proofs.md", "kgen proven locks collected")
    terminal.type(own)
    assert "numpy-cpu" in terminal.type(collected)
    (fleet,) = typed("docs/how-to/fleet.md", "kgen proven locks")
    assert "numpy-cpu" in terminal.type(fleet)


def test_older_generations(kgen: Kgen, project: Path, tmp_path: Path) -> None:
    """Each line solves to the environment, the Keras and the Pythons that its comment names."""
    assert not (project / "kgen.toml").exists()
    terminal = Terminal(kgen=kgen, programs=tmp_path / "bin")
    lines = block("docs/how-to/older-keras.md", "sh").splitlines()
    for line in lines:
        command, _, said = line.partition("  #")
        solved = terminal.type(command.strip().replace("kgen lock", "kgen solve --platform linux-64", 1))
        if name := re.match(r" ?([a-z\d-]+-cpu)\b", said):
            assert solved.startswith(f"{name[1]}: ")
        if keras := re.search(r"[Kk]eras(?:-core)? (\d[\d.]*\d)", said):
            assert re.search(rf"^  (?:tf-)?keras(?:-core)? +{re.escape(keras[1])}\b", solved, re.MULTILINE), solved
