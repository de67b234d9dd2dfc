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
import urllib.parse
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import tomli
from platformdirs import user_cache_path
from tests.command import CUTOFF
from tests.nix import MINOR, SYSTEM, Nix, copy_of_repository

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


def _find_links() -> str | None:
    return os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS")


def _prepared(cache: Path, backends: tuple[str, ...]) -> Path:
    """A project with the locks of these backends for the CPU, and every file of theirs in the cache's wheelhouse."""
    project = cache / "-".join(backends)
    if not (project / "done").exists():
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir(parents=True)
        kgen = Path(sys.executable).parent / "kgen"
        words = ("lock", *backends, "--cpu", "--python", MINOR, "--platform", "linux-64", "--exclude-newer", CUTOFF)
        environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
        links = _find_links()
        done = subprocess.run(
            [kgen, *words],
            cwd=project,
            env={**environment, **({"UV_FIND_LINKS": links} if links else {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0 and links is None and "torch" in backends:
            pytest.skip("no wheel of PyTorch for the CPU: UV_FIND_LINKS names no folder of them")
        if done.returncode != 0 and "CI" not in os.environ and "uv failed" in done.stderr:
            pytest.skip(f"the index cannot be reached: {done.stderr[:200]}")
        assert done.returncode == 0, done.stderr
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda url: _fetch(url, cache / "wheels"), _urls(project)))
        (project / "done").touch()
    return project


def _urls(project: Path) -> list[str]:
    locks = [tomli.loads(path.read_text()) for path in sorted(project.glob("locks/*/pylock.*.toml"))]
    return list(dict.fromkeys(package["wheels"][0]["url"] for lock in locks for package in lock["packages"]))


def _filename(url: str) -> str:
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])


def _fetch(url: str, folder: Path) -> None:
    """Nix judges the content: it finds a file under its hash only."""
    folder.mkdir(exist_ok=True)
    target = folder / _filename(url)
    if target.exists():
        return
    partial = target.with_suffix(".part")
    if url.startswith("file:"):
        shutil.copy(urllib.parse.unquote(urllib.parse.urlsplit(url).path), partial)
    else:
        answer = requests.get(url, timeout=120)
        answer.raise_for_status()
        partial.write_bytes(answer.content)
    partial.rename(target)


@pytest.fixture(scope="module", name="cache")
def _cache(matrix: CompatibilityMatrix, _environment: Mapping[str, str]) -> Path:
    outside = _environment.get("KGEN_TEST_CACHE") or _environment.get("XDG_CACHE_HOME")
    home = Path(_environment["HOME"]) / ".cache" if "HOME" in _environment else user_cache_path()
    folder = (Path(outside) if outside else home) / "kgen-tests" / f"{matrix.revision}-{MINOR}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module", name="nix")
def _nix(tmp_path_factory: pytest.TempPathFactory) -> Nix:
    return Nix.at(tmp_path_factory.mktemp("nix"))


@pytest.mark.parametrize("backends", [("jax", "numpy"), ("tensorflow",), ("torch",)], ids="-".join)
def test_a_training_step_in_the_shell(nix: Nix, cache: Path, tmp_path: Path, backends: tuple[str, ...]) -> None:
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        prepared = _prepared(cache, backends)
    wheels = [cache / "wheels" / _filename(url) for url in _urls(prepared)]
    nix.seed(wheels)
    project = tmp_path / "project"
    shutil.copytree(prepared, project)
    repository = copy_of_repository(tmp_path / "repository")
    flake = project / "flake.nix"
    assert '"flake:kgen"' in flake.read_text()
    flake.write_text(flake.read_text().replace('"flake:kgen"', f'"path:{repository}"'))
    (project / "step.py").write_text(STEP)

    for backend in backends:
        shell = f"path:{project}#{backend}"
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
    venv = Path(json.loads(nix.flake("build", "--no-link", "--json", shell))[0]["outputs"]["out"])
    checked = subprocess.run(
        [uv, "pip", "check", "--python", venv / "bin" / "python"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
