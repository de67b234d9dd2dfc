"""Keras itself in Nix shells: locks of fixed files of the real index, built from a wheelhouse, trained in.

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
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_cache_path
from tests import pinned
from tests.command import CUTOFF, PYTHON
from tests.index import Index
from tests.loopback import running
from tests.nix import MINOR, SECONDS, SYSTEM, LockError, Nix, copy_of_repository, locked_wheels
from tests.pinned import MissingLockError

from kgen import __version__
from kgen.emitters.nix import render_flake
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.validation import reference
from kgen.validation.program import STEP

pytestmark = [
    pytest.mark.nix,
    pytest.mark.network,
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("nix") is None, reason="there is no nix on PATH"),
]

TRAINED = {"jax", "tensorflow", "torch"}
"""The others cannot train: theirs is a forward pass, and nothing of theirs is compiled."""

STEPPED = {"jax", "numpy"}
"""Those that take the step in the shell, too. The others compile for long, and their checks take it."""

IMPORTED = """\
import importlib.util, os, sys, keras
paths = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
modules = [path for path in paths if path.endswith(".py") and "site-packages" in path]
print(keras.backend.backend(), [path for path in modules if not os.path.exists(importlib.util.cache_from_source(path))])
"""
"""Imports Keras, and prints its backend and the modules that had to be compiled for that."""


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


def _step(nix: Nix, shell: str, backend: str, folder: Path) -> dict[str, Any]:
    """The result of kgen's own training step, run by the shell's Python."""
    folder.mkdir()
    spec, events = folder / "spec.json", folder / "events.jsonl"
    ends = time.time() + SECONDS
    values = {"backend": backend, "import": "keras", "device": "cpu", "folder": str(folder), "ends": ends}
    spec.write_text(json.dumps(values))
    nix.flake("develop", shell, "-c", "python", "-B", STEP, spec, events, variables={"TF_CPP_MIN_LOG_LEVEL": "2"})
    result: dict[str, Any] = json.loads(events.read_text().splitlines()[-1])
    assert result["event"] == "result"
    return result


@pytest.mark.parametrize("backends", [("jax", "numpy"), ("tensorflow",), ("torch",)], ids="-".join)
def test_a_training_step_in_the_shell(nix: Nix, cache: Path, tmp_path: Path, backends: tuple[str, ...]) -> None:
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            prepared, wheels = locked_wheels(cache, backends)
        except MissingLockError as error:
            pytest.skip(str(error))
        except LockError as error:
            if "CI" in os.environ and "UV_FIND_LINKS" not in error.args[0]:
                raise
            pytest.skip(str(error))
    nix.seed(wheels)
    project = tmp_path / "project"
    shutil.copytree(prepared, project)
    repository = copy_of_repository(tmp_path / "repository")
    (project / "flake.nix").write_text(render_flake(flake=f"path:{repository}", default=None))

    shells = {backend: f"path:{project}#{backend}" for backend in backends}
    for backend, shell in shells.items():
        if backend == "torch" and shutil.which("g++") is None:
            pytest.skip("PyTorch compiles with a C++ compiler, and there is none here")
        if backend in STEPPED:
            result = _step(nix, shell, backend, tmp_path / backend)
            assert (result["proof"]["convolutions"] > 0) == (backend in TRAINED), result["proof"]
            assert reference.distance(result).within(reference.TOLERANCES["cpu"])
        # the tests of packages are not compiled, and so nobody may import them at a start
        assert nix.flake("develop", shell, "-c", "python", "-c", IMPORTED) == f"{backend} []\n"

    # the step in the sandbox, by the flake's own checks
    nix.flake("flake", "check", f"path:{project}")
    for backend in backends:
        words = ("build", "--no-link", "--json", f"path:{project}#checks.{SYSTEM}.{backend}-cpu")
        built = json.loads(nix.flake(*words))
        done = "trained" if backend in TRAINED else "computed"
        assert f"{backend}-cpu: {backend} {done} as the reference does" in Path(built[0]["outputs"]["out"]).read_text()

    # an installer's metadata, and everything that the packages need of each other
    uv = Path(sys.executable).parent / "uv"
    built = json.loads(nix.flake("build", "--no-link", "--json", shells[backends[0]]))
    venv = Path(built[0]["outputs"]["out"])
    checked = subprocess.run(
        [uv, "pip", "check", "--python", venv / "bin" / "python"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_sources_of_the_real_index(nix: Nix, tmp_path: Path) -> None:
    """Theano, which has no wheel, and the CPython that it is for."""
    locks = pinned.LOCKS / "keras2-theano-3.7"
    (lock,) = locks.glob("*/pylock.linux-64.toml")
    if "3.7" not in json.loads((nix.nixpkgs / "machine.json").read_text())["pythons"]:
        pytest.skip("there is no CPython 3.7 here")
    with running(pinned.PinnedIndex(pinned.hashes(lock))) as index:
        venv = nix.build(f'kgen.mkVenv {{ inherit pkgs; lock = {lock}; index = "{index.url}"; }}')
    assert isinstance(venv, Path)
    code = "import theano, pkg_resources as p; print(theano.__version__, p.get_distribution('theano').version)"
    done = subprocess.run(
        [venv / "bin/python", "-c", code],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1.0.5 1.0.5\n"


def test_kgen_from_its_own_lock(nix: Nix, tmp_path: Path, index: Index) -> None:
    """Where there is no Python and no uv: what the package has is enough to lock."""
    repository = copy_of_repository(tmp_path / "repository")
    locked = json.loads((repository / "nix" / "kgen-lock.json").read_text())
    with running(pinned.PinnedIndex({name: row["sha256"] for name, row in locked["files"].items()})) as files:
        version = ("run", f"path:{repository}#kgen", "--", "--version")
        assert nix.flake(*version, variables={"KGEN_INDEX": files.url}) == f"kgen {__version__}\n"
    project = tmp_path / "project"
    project.mkdir()
    built = json.loads(nix.flake("build", "--no-link", "--json", f"path:{repository}#kgen"))
    out = Path(built[0]["outputs"]["out"])
    assert (out / "share/man/man1/kgen.1").exists()
    assert {path.name for path in (out / "bin").iterdir()} == {"kgen"}
    environment = {
        "HOME": str(tmp_path / "home"),
        "PATH": "/nonexistent",
        "UV_DEFAULT_INDEX": index.url,
        "UV_PYTHON_DOWNLOADS": "never",
    }
    words = ("lock", "numpy", "--cpu", "--python", PYTHON, "--platform", "linux-64", "--exclude-newer", CUTOFF)
    done = subprocess.run(
        [out / "bin/kgen", *words], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (project / "locks/numpy-cpu/pylock.linux-64.toml").exists()
