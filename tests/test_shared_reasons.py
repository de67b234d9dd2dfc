"""A release that was chosen so that environments share its files says so; a lock holds what its own request gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli
from tests.command import LOCK, SOLVE, Kgen

THREE = ("jax", "torch", "tensorflow", "--cuda", "12")


def shared(stdout: str) -> dict[str, dict[str, str]]:
    """Environment -> what is shared in it -> in which words."""
    data = json.loads(stdout)
    several = data.get("environments") or data["solutions"]
    return {
        one["environment"]: {row["subject"]: row["rule"] for row in one["why"] if row["kind"] == "shared"}
        for one in several
    }


def version(project: Path, environment: str, name: str) -> str:
    lock = tomli.loads((project / f"locks/{environment}/pylock.linux-64.toml").read_text())
    return next(str(one["version"]) for one in lock["packages"] if one["name"] == name)


@pytest.mark.parametrize("command", [LOCK, SOLVE], ids=["lock", "solve"])
def test_a_library_of_the_accelerator(kgen: Kgen, command: tuple[str, ...]) -> None:
    """PyTorch has one cuDNN, and JAX alone would have a newer one."""
    alone = kgen(*SOLVE, "jax", "--cuda", "12")
    done = kgen(*command, *THREE, "--json")
    assert done.status == 0, done.stderr
    why = shared(done.stdout)
    (cudnn,) = (subject for subject in why["jax-cuda12"] if subject.startswith("nvidia-cudnn-cu12 "))
    assert why["jax-cuda12"][cudnn] == "the same as in torch-cuda12 and tensorflow-cuda12, so that it is on disk once"
    assert cudnn not in why["torch-cuda12"]
    assert ", cuDNN " in alone.stdout
    assert f", cuDNN {cudnn.partition(' ')[2]}," not in alone.stdout


def test_explain_says_so(kgen: Kgen) -> None:
    said = kgen("explain", *LOCK[1:], *THREE, "--newest", "nvidia-cudnn-cu12").stdout
    jax = said[said.index("jax-cuda12") :]
    assert "    the same as in torch-cuda12 and tensorflow-cuda12, so that it is on disk once\n" in jax


def test_a_library_of_the_resolver(kgen: Kgen, project: Path) -> None:
    """One environment wants an older NumPy, and the other takes it along; the reason is the other's alone."""
    (project / "kgen.toml").write_text(
        'cpu = true\n[environment.one]\nbackends = ["jax", "openvino"]\ndependencies = ["numpy<2.4"]\n'
        '[environment.two]\nbackends = ["jax", "openvino"]\n'
    )
    done = kgen(*LOCK, "one", "two", "--json")
    assert done.status == 0, done.stderr
    numpy = version(project, "two-cpu", "numpy")
    assert shared(done.stdout) == {
        "one-cpu": {},
        "two-cpu": {f"numpy {numpy}": "the same as in one-cpu, so that it is on disk once"},
    }
    assert version(project, "one-cpu", "numpy") == numpy


def test_what_else_is_locked_leaves_no_trace_in_a_lock(kgen: Kgen, project: Path) -> None:
    """The same request gives the same lock, whichever others were locked in the same call."""
    assert kgen(*LOCK, *THREE).status == 0
    lock = project / "locks/jax-cuda12/pylock.linux-64.toml"
    together = lock.read_bytes()
    assert b"on disk once" not in together
    lock.write_bytes(together.replace(b"sha256 = ", b"sha256  = ", 1))
    assert kgen(*LOCK, "jax", "--cuda", "12").status == 0
    assert lock.read_bytes() == together
