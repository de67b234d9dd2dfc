"""A note, a warning or an error that several environments or platforms have in common is printed once."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.command import LOCK, Kgen
from tests.index import Index
from tests.wheelhouse import Wheel

from kgen.explain.notes import folded
from kgen.model.accelerator import CPU
from kgen.model.request import EnvironmentRequest


def request(name: str, platform: str = "linux-64") -> EnvironmentRequest:
    return EnvironmentRequest(name=name, backends=(name,), accelerator=CPU, python="3.12", platform=platform)


JAX, MAC, TORCH = request("jax"), request("jax", "osx-arm64"), request("torch")


def test_who_has_the_same_note_is_named_in_one() -> None:
    said = [(one, f"{one.environment}: six 1.0 is taken") for one in (JAX, MAC, TORCH)]
    assert list(folded([*said, (TORCH, "torch-cpu: rich 2.0 is taken")])) == [
        "jax-cpu, torch-cpu: six 1.0 is taken",
        "torch-cpu: rich 2.0 is taken",
    ]


def test_of_no_environment() -> None:
    assert list(folded([(JAX, "the channel is slow"), (TORCH, "the channel is slow")])) == ["the channel is slow"]


def test_a_command_for_each_platform() -> None:
    note = "jax-cpu: six is one; for another: kgen lock jax --platform {} --cpu"
    said = [(JAX, note.format("linux-64")), (MAC, note.format("osx-arm64"))]
    assert list(folded(said)) == [
        "jax-cpu: six is one; for another: kgen lock jax --platform linux-64 --platform osx-arm64 --cpu"
    ]


def test_a_command_for_each_environment() -> None:
    said = [(one, f"{one.environment}: six is one; for both: kgen lock {one.name} --cpu") for one in (JAX, TORCH)]
    assert list(folded(said)) == ["jax-cpu, torch-cpu: six is one; for both: (here jax-cpu) kgen lock jax --cpu"]


def test_notes_of_locks(kgen_alone: Kgen, index: Index) -> None:
    index.wheelhouse.put(Wheel(name="odd", version="1"), Wheel(name="odd", version="2", requires=("no-such",)))
    done = kgen_alone(*LOCK, "numpy", "jax", "--dependency", "odd")
    assert done.status == 0, done.stderr
    (note,) = re.findall(r"^note: .*\bodd 1\b.*$", done.stderr, re.MULTILINE)
    assert note.startswith("note: numpy-cpu, jax-cpu: odd 1 is taken, and 2 is the newest: ")


def test_errors_of_locks(kgen: Kgen) -> None:
    done = kgen(*LOCK, "numpy", "jax", "--dependency", "no-such-project-anywhere")
    assert done.status != 0
    assert done.stderr.count("no-such-project-anywhere") < 5
    (error,) = re.findall(r"^error: .*$", done.stderr, re.MULTILINE)
    assert error.startswith("error: numpy-cpu, jax-cpu: ")
    assert "\nnot locked: numpy-cpu, jax-cpu" in done.stderr


def test_what_is_built_from_this_machine(kgen_alone: Kgen, index: Index, tmp_path: Path) -> None:
    """It came from no folder that uv is configured for, and no portable lock has it for others."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "pyproject.toml").write_text('[project]\nname = "lib"\nversion = "1"\n', encoding="utf-8")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(library))
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "x")):
        subprocess.run([*git, *words], check=True)
    index.wheelhouse.put(Wheel(name="setuptools", version="80.0"), Wheel(name="wheel", version="0.45"))
    done = kgen_alone(*LOCK, "numpy", "jax", "--dependency", f"lib @ git+file://{library}")
    assert done.status == 0, done.stderr
    (warning,) = re.findall(r"^warning: .*$", done.stderr, re.MULTILINE)
    assert warning == (
        "warning: numpy-cpu, jax-cpu: lib is built from a place of this machine, which others do not have; a repository"
        " that they reach, or a folder in the project's own, is there for all"
    )
