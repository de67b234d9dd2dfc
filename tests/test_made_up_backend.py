"""A backend is data and a module of the step: a made-up one in a temporary tree, and no other file is touched."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
from tests.command import LOCK, PYTHON, SOLVE, Kgen
from tests.index import serving
from tests.recorded import MATRIX
from tests.test_validate import FAKES, put_on_disk
from tests.wheelhouse import Wheelhouse

import kgen as api
from kgen.matrix.compatibility import load
from kgen.matrix.origin import FOLDER_VARIABLE
from kgen.validation import program

_ROW = """
[abacus]
framework = "abacus"
default = false
accelerated = false
keras = ">=3"
step = "counting_frame"
source = "made up"
checked = 2026-11-21

[abacus.environment]
KERAS_BACKEND = "abacus"
ABACUS_BEADS = "ten"
"""
_FRAMEWORK = """\
[project]
name = "abacus"
title = "Abacus"

[[release]]
version = "1.0"
released = 2025-01-01

[[release.build]]
pythons = ["3.11", "3.12"]
platforms = { linux-64 = "2.17" }
install = ["abacus==1.0"]
requires = ["numpy>=1.26"]
source = "made up"
checked = 2026-11-21
"""
_CONDA = """
[framework.abacus]
packages = ["abacus"]
source = "made up"
checked = 2026-11-21

[[framework.abacus.build]]
platforms = ["linux-64"]
pythons = ["3.11", "3.12"]
source = "made up"
checked = 2026-11-21
"""
_STEP = '''\
"""The abacus: a forward pass, counted by hand."""

from kgen_step.forward import TRAINS, built, device, places, prove, watch

__all__ = ["MODULES", "TRAINS", "WATCHED", "built", "device", "hold", "places", "prove", "watch"]

MODULES = ()
WATCHED = ("ABACUS_BEADS",)


def hold(environ, _device, _folder):
    """Nothing but one hand."""
    environ["ABACUS_HANDS"] = "1"
'''


@pytest.fixture(name="facts")
def made_up_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The matrix with two rows and a file more."""
    folder = tmp_path / "matrix"
    shutil.copytree(MATRIX, folder)
    for name, rows in {"backends.toml": _ROW, "conda.toml": _CONDA}.items():
        (folder / name).write_text((folder / name).read_text() + rows)
    (folder / "abacus.toml").write_text(_FRAMEWORK)
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


@pytest.fixture(name="abacus")
def command(facts: Path, kgen: Kgen) -> Iterator[Kgen]:
    """The command with these facts, and with an index that has the wheels they speak of."""
    with serving(Wheelhouse(load(facts), [PYTHON])) as index:
        served = kgen.at(index.url)
        yield dataclasses.replace(served, environment={**served.environment, FOLDER_VARIABLE: str(facts)})


def test_is_solved_and_shown(abacus: Kgen) -> None:
    done = abacus(*SOLVE, "abacus", "--cpu", "--json")
    assert done.status == 0, done.stderr
    solution = json.loads(done.stdout)["solution"]
    assert (solution["environment"], solution["packages"]["abacus"]) == ("abacus-cpu", "1.0")
    assert "abacus" in json.loads(abacus("matrix", "show", "abacus", "--json").stdout)["facts"]
    wrong = abacus(*SOLVE, "abacsu")
    assert wrong.stderr == "error: unknown backend `abacsu`\n\nhint: did you mean `abacus`?\n"


def test_is_refused_with_what_the_matrix_knows(abacus: Kgen) -> None:
    done = abacus("solve", "abacus", "--cpu", "--python", "3.14", "--platform", "linux-64")
    assert done.status == 3
    assert "no stable Abacus for the CPU on linux-64 has a wheel for Python 3.14\n" in done.stderr
    assert "  abacus 1.0 needs python 3.11-3.12\n" in done.stderr
    assert "hint: kgen solve abacus --cpu --python 3.12 --platform linux-64   # gives abacus 1.0\n" in done.stderr


def test_is_locked_with_its_hooks(abacus: Kgen, project: Path) -> None:
    done = abacus(*LOCK, "abacus", "--cpu")
    assert done.status == 0, done.stderr
    folder = project / "locks" / "abacus-cpu"
    data = tomli.loads((folder / "pylock.linux-64.toml").read_text())
    assert data["tool"]["kgen"]["backends"] == ["abacus"]
    assert {package["name"] for package in data["packages"]} >= {"abacus", "keras", "numpy"}
    (hook,) = (folder / "activate.d").glob("*.sh")
    shown = subprocess.run(
        ["/bin/sh", "-c", f". '{hook}'; echo $KERAS_BACKEND $ABACUS_BEADS"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "abacus ten\n"
    assert abacus("check").status == 0


def test_its_step_is_found(abacus: Kgen, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module is found by the name in the row, in a copy of the program to which it was added."""
    assert abacus(*LOCK, "abacus", "--cpu").status == 0
    put_on_disk(project, "abacus")
    monkeypatch.setenv("PYTHONPATH", str(FAKES))
    (without,) = api.validate(root=project).validations
    assert without.verdicts["abacus"].outcome.value == "failed"
    step = tmp_path / "step"
    shutil.copytree(program.STEP, step)
    (step / "kgen_step" / "backends" / "counting_frame.py").write_text(_STEP)
    monkeypatch.setattr(program, "STEP", step)
    (validation,) = api.validate(root=project).validations
    verdict = validation.verdicts["abacus"]
    assert (verdict.outcome.value, verdict.message) == (
        "passed",
        "forward pass only: Keras cannot train on abacus",
    )
    assert verdict.result["held"]["ABACUS_HANDS"] == "1"
    assert validation.receipt == project / "locks/abacus-cpu/receipts/cpu.json"
