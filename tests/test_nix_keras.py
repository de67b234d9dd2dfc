"""Keras itself in Nix shells: locks that kgen makes on the real index, built from a wheelhouse, trained in.

What was fetched stays in a cache (`$KGEN_TEST_CACHE`, or else the user's), by the revision of the matrix: a second run
needs no network.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from platformdirs import user_cache_path
from tests.nix import MINOR, SYSTEM, LockError, Nix, copy_of_repository, locked_wheels

from kgen.matrix.compatibility import CompatibilityMatrix

pytestmark = [
    pytest.mark.nix,
    pytest.mark.network,
    pytest.mark.skipif(shutil.which("nix") is None, reason="there is no nix on PATH"),
]

STEP = """
import os
import numpy as np
import keras

keras.utils.set_random_seed(7)
backend = keras.backend.backend()
assert backend == os.environ["KERAS_BACKEND"], backend
x = np.random.default_rng(0).normal(size=(64, 8, 8, 1)).astype("float32")
y = (x.mean(axis=(1, 2, 3)) > 0).astype("float32")
layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(1)]
model = keras.Sequential([keras.layers.Input((8, 8, 1)), *layers])
before = [weight.copy() for weight in model.get_weights()]
model.compile(
    optimizer="adam", loss=keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=os.environ["COMPILE"] == "1"
)
if backend == "numpy":
    losses = [float(model.evaluate(x, y, verbose=0))]
else:
    losses = model.fit(x, y, epochs=3, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < losses[0], losses
    assert any((old != new).any() for old, new in zip(before, model.get_weights()))
assert all(np.isfinite(losses)), losses
print("trained", backend, model.jit_compile)
"""
"""A step that is compiled where the backend compiles for the CPU without a compiler of the machine's."""

COMPILED = {"jax": "1", "tensorflow": "1", "torch": "0", "numpy": "0"}


@pytest.fixture(scope="module", name="cache")
def _cache(matrix: CompatibilityMatrix, _environment: Mapping[str, str]) -> Path:
    outside = _environment.get("KGEN_TEST_CACHE") or _environment.get("XDG_CACHE_HOME")
    home = Path(_environment["HOME"]) / ".cache" if "HOME" in _environment else user_cache_path()
    folder = (Path(outside) if outside else home) / "kgen-tests" / f"{matrix.revision}-{MINOR}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module", name="nix")
def _nix(tmp_path_factory: pytest.TempPathFactory) -> Nix:
    """One store for all processes that run tests: most of the wheels are in more than one environment."""
    mine = tmp_path_factory.getbasetemp()
    folder = (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "nix-keras"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return Nix.at(folder)


@pytest.mark.parametrize("backends", [("jax", "numpy"), ("tensorflow",), ("torch",)], ids="-".join)
def test_a_training_step_in_the_shell(nix: Nix, cache: Path, tmp_path: Path, backends: tuple[str, ...]) -> None:
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            prepared, wheels = locked_wheels(cache, backends)
        except LockError as error:
            if "CI" in os.environ and "UV_FIND_LINKS" not in error.args[0]:
                raise
            pytest.skip(str(error))
    nix.seed(wheels)
    project = tmp_path / "project"
    shutil.copytree(prepared, project)
    repository = copy_of_repository(tmp_path / "repository")
    flake = project / "flake.nix"
    assert '"flake:kgen"' in flake.read_text()
    flake.write_text(flake.read_text().replace('"flake:kgen"', f'"path:{repository}"'))
    (project / "step.py").write_text(STEP)

    shells = {backend: f"path:{project}#{backend}" for backend in backends}
    for backend, shell in shells.items():
        said = nix.flake(
            "develop",
            shell,
            "-c",
            "python",
            project / "step.py",
            variables={"COMPILE": COMPILED[backend], "TF_CPP_MIN_LOG_LEVEL": "2"},
        )
        assert f"trained {backend} {COMPILED[backend] == '1'}" in said
        imported = nix.flake("develop", shell, "-c", "python", "-c", "import keras; print(keras.backend.backend())")
        assert imported == f"{backend}\n"

    # the same by the flake's own checks, from what has been built
    nix.flake("flake", "check", f"path:{project}")
    for backend in backends:
        words = ("build", "--no-link", "--json", f"path:{project}#checks.{SYSTEM}.{backend}-cpu-imports-keras")
        built = json.loads(nix.flake(*words))
        assert Path(built[0]["outputs"]["out"]).read_text().endswith(f" on {backend}\n")

    # an installer's metadata, and everything that the packages need of each other
    uv = Path(sys.executable).parent / "uv"
    built = json.loads(nix.flake("build", "--no-link", "--json", shells[backends[0]]))
    venv = Path(built[0]["outputs"]["out"])
    checked = subprocess.run(
        [uv, "pip", "check", "--python", venv / "bin" / "python"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
