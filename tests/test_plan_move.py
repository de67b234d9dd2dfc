"""`kgen plan`: what a move to another version of an accelerator means for a project."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.command import CUTOFF, LOCK, PYTHON, Kgen, Result

from kgen.explain.moves import gpus_text
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.origin import FOLDER_VARIABLE

SETTINGS = f"""\
backends = ["tensorflow", "jax", "torch", "numpy"]
cuda = "12"
python = "{PYTHON}"
platforms = ["linux-64"]
exclude-newer = "{CUTOFF}"

[environment.all]
backends = ["tensorflow", "jax", "torch"]
"""


@pytest.fixture(name="project_of_four")
def _project(kgen: Kgen) -> Kgen:
    (kgen.folder / "kgen.toml").write_text(SETTINGS)
    return kgen


def test_many_gpus_of_one_architecture_are_counted() -> None:
    pascal = [(name, "6.1") for name in ("P40", "P4", "GTX 1050", "GTX 1060")]
    assert gpus_text([("P100", "6.0"), *pascal, ("V100", "7.0")]) == "P100 (6.0); P40, P4 and 2 more (6.1); V100 (7.0)"
    assert gpus_text(pascal[:3]) == "P40, P4, GTX 1050 (6.1)"


def planned(kgen: Kgen, *words: str) -> tuple[Result, dict[str, dict[str, Any]]]:
    done = kgen("plan", *words, "--json")
    return done, {one["environment"]: one for one in json.loads(done.stdout)["environments"]}


def test_what_moves_and_who_waits_for_whom(project_of_four: Kgen) -> None:
    done, found = planned(project_of_four, "--cuda", "13")
    assert done.status == 1
    assert list(found) == ["tensorflow-cuda12", "jax-cuda12", "torch-cuda12", "all-cuda12"]
    assert {name: bool(one["command"]) for name, one in found.items()} == {
        "tensorflow-cuda12": False,
        "jax-cuda12": True,
        "torch-cuda12": True,
        "all-cuda12": False,
    }
    assert found["torch-cuda12"]["becomes"] == "torch-cuda13"
    assert found["torch-cuda12"]["moves"][:1] == [{"name": "torch", "old": "2.10.0", "new": "2.15.0"}]
    assert found["torch-cuda12"]["driver"] == {"old": "525.60.13", "new": "580.65.06"}
    for name, waiting in (("tensorflow-cuda12", []), ("all-cuda12", ["JAX", "PyTorch"])):
        (waits,) = found[name]["waits-for"]
        assert (waits["framework"], waits["newest"], waits["built-for"]) == ("tensorflow", "2.21.0", "CUDA 12.5")
        assert waits["early"] == {"version": "2.22.0rc0", "built-for": "CUDA 12.5"}
        assert found[name]["waiting"] == waiting
        assert found[name]["moves"] == []
    assert json.loads(done.stdout)["unaffected"] == ["numpy-cpu"]


def test_the_gpus_that_fall_out_are_those_that_run_what_is_there(project_of_four: Kgen) -> None:
    """PyTorch 2.10 has no code for Pascal, so that it cannot lose it; JAX has."""
    _, found = planned(project_of_four, "--cuda", "13")
    lost = {name: {gpu["name"] for gpu in one["loses"]} for name, one in found.items()}
    assert lost["torch-cuda12"] == {"V100"}
    assert lost["jax-cuda12"] == {"P100", "P40", "V100"}
    assert "A100" not in set().union(*lost.values())
    gained = {gpu["architecture"] for gpu in found["jax-cuda12"]["gains"]}
    assert gained <= {"11.0", "10.1"}


def test_a_device_of_another_platform_is_not_spoken_of(kgen: Kgen, matrix: CompatibilityMatrix, tmp_path: Path) -> None:
    """On the data center's machines nobody gains a Jetson Thor, and nobody loses a Jetson Nano."""
    files = Path(os.environ[FOLDER_VARIABLE])
    shutil.copytree(files, tmp_path / "matrix")
    file = tmp_path / "matrix/accelerators.toml"
    text = file.read_text()
    if not matrix.accelerators["cuda"].built_in:
        text = text.replace("[cuda]\n", '[cuda]\nbuilt-in = { linux-aarch64 = ["5.3", "8.7", "11.0"] }\n', 1)
    file.write_text(text)
    there = dataclasses.replace(kgen, environment={**kgen.environment, FOLDER_VARIABLE: str(tmp_path / "matrix")})
    for platform, named in (("linux-64", False), ("linux-aarch64", True)):
        done = there("plan", "jax", "--cuda", "13", "--platform", platform, "--python", PYTHON)
        assert done.status == 0, done.stderr
        assert ("Jetson T5000 (11.0)" in done.stdout) is named
    told = there("solve", "jax", "--cuda", "13", "--gpu", "11.0", "--python", PYTHON)
    assert told.stdout.startswith(f"jax-cuda13: Python {PYTHON}, linux-aarch64")
    told = there("solve", "jax", "--cuda", "13", "--gpu", "11.0", "--python", PYTHON, "--platform", "linux-64")
    assert "(Jetson T5000) are in machines of linux-aarch64 alone: `--platform linux-aarch64`" in told.stderr


def test_what_there_was_nothing_of_loses_nothing(kgen: Kgen) -> None:
    done, found = planned(kgen, "jax", "--cuda", "12", "--python", PYTHON)
    (one,) = found.values()
    assert done.status == 0
    assert one["nothing-before"] == "the matrix has no row for a stable JAX for CUDA 11 on linux-64"
    assert (one["loses"], one["gains"]) == ([], [])
    text = kgen("plan", "jax", "--cuda", "12", "--python", PYTHON).stdout
    assert f"\njax-cuda12: Python {PYTHON}, linux-64\n  new     nothing to move from: the matrix has no row" in text


def test_no_python_is_named_where_none_was_chosen(kgen: Kgen) -> None:
    done = kgen("plan", "jax", "--cuda", "13", "--platform", "win-64")
    assert done.status == 1
    assert "\njax-cuda13: win-64\n" in done.stdout


def test_each_command_that_it_gives_works(project_of_four: Kgen) -> None:
    done, found = planned(project_of_four, "--cuda", "13")
    commands = [str(one["command"]) for one in found.values() if one["command"]]
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command)
        assert words[:2] == ["kgen", "lock"]
        again = project_of_four("solve", *words[2:])
        assert again.status == 0, again.stderr
        assert "-cuda13: Python" in again.stdout
    assert done.stderr == ""


def test_it_fits_80_columns(project_of_four: Kgen) -> None:
    done = project_of_four("plan", "--cuda", "13")
    assert done.status == 1
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.startswith("CUDA 12 -> CUDA 13: 2 of 4 environments can move\n")
    assert "  waits   for TensorFlow: the matrix has no build of it for CUDA 13; 2.21.0 is\n" in done.stdout
    assert "  with it JAX and PyTorch have builds for CUDA 13 and wait in one environment\n" in done.stdout


def test_all_that_can_move_is_in_order(project_of_four: Kgen) -> None:
    done, found = planned(project_of_four, "jax", "torch", "--cuda", "13")
    assert done.status == 0
    assert json.loads(done.stdout)["complete"] is True
    assert all(one["waits-for"] == [] for one in found.values())


def test_a_machine_that_stands_against_it_is_named_beside_what_would_move(project_of_four: Kgen) -> None:
    done, found = planned(project_of_four, "torch", "--cuda", "13", "--driver", "550", "--gpu", "8.0")
    assert done.status == 1
    one = found["torch-cuda12"]
    assert one["command"] is None
    assert any("driver" in line and "580" in line for line in one["obstacle"])
    assert one["moves"]


def test_it_starts_from_what_is_locked(kgen: Kgen) -> None:
    done = kgen(*LOCK, "jax", "--cuda", "12", "--require", "jax==0.6.2", "--no-nix")
    assert done.status == 0, done.stderr
    (kgen.folder / "kgen.toml").write_text(SETTINGS.replace('"tensorflow", "jax", "torch", "numpy"', '"jax"'))
    _, found = planned(kgen, "jax", "--cuda", "13", "--require", "jax>=0.6.2")
    moves = {one["name"]: (one["old"], one["new"]) for one in found["jax-cuda12"]["moves"]}
    assert moves["jax"] == ("0.6.2", "0.10.2")


def test_without_settings_it_is_the_major_before(kgen: Kgen) -> None:
    done = kgen("plan", "torch", "--cuda", "13", "--python", PYTHON)
    assert done.status == 0, done.stderr
    assert done.stdout.startswith("CUDA 12 -> CUDA 13: 1 of 1 environments can move\n")
    assert kgen("plan", "jax", "--rocm", "7", "--python", PYTHON).stdout.startswith("ROCm 6 -> ROCm 7: ")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--cpu"], "kgen plan needs the version to move to", "kgen plan --cuda 13"),
        ([], "kgen plan needs the version to move to", "kgen plan --rocm 7"),
        (["--cuda", "auto"], "kgen plan needs the version to move to", "kgen plan --cuda 13"),
        (["--tpu"], "kgen plan needs the version to move to", "kgen plan --cuda 13"),
        (["--cuda", "11"], "the matrix knows nothing before CUDA 11 to move from", "kgen solve --cuda 11"),
        (["--cuda", "99"], "--cuda: unknown CUDA `99`", ""),
    ],
)
def test_what_is_no_move(kgen: Kgen, words: list[str], message: str, hint: str) -> None:
    done = kgen("plan", "torch", *words)
    assert done.status == 2
    assert f"error: {message}" in done.stderr
    assert f"hint: {hint}" in done.stderr or not hint
