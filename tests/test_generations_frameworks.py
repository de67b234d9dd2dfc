"""The older generations of Keras for real: locked, installed and trained on interpreters of their time, on the CPU.

The numbers are those of the same reference as for Keras 3. An interpreter that is not on this machine is a failure
where `CI` is set, and a skip elsewhere.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest
from tests.command import Kgen, Result
from tests.test_validate import checked, within
from tests.test_validate_frameworks import _CUTOFF, _LONG, World, _alone, world

from kgen.uvtool import find, find_interpreter

__all__ = ["world"]

pytestmark = [pytest.mark.network, pytest.mark.frameworks]


@dataclasses.dataclass(frozen=True)
class Case:
    """An environment of an older generation.

    Attributes:
        backend: its full name.
        python: the CPython minor.
        compiler: what compiles its training step; None where Keras cannot train.
        words: what else is asked of `kgen lock`.
    """

    backend: str
    python: str
    compiler: str | None
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.backend}-cpu"

    @property
    def label(self) -> str:
        return "-".join((self.backend, self.python, *(word.rpartition("=")[2] for word in self.words[1:])))


THEANO = Case("keras2-theano", "3.7", "theano", ("--isolate-config",))
TENSORFLOW_1 = Case("keras2-tensorflow", "3.7", "tensorflow's engine", ("--require", "tensorflow==1.15.5"))
CNTK = Case("keras2-cntk", "3.6", "cntk's engine")
CASES = (
    THEANO,
    TENSORFLOW_1,
    Case("keras2-tensorflow", "3.7", "tensorflow's engine", ("--require", "tensorflow==2.2.3")),
    Case("keras-core-jax", "3.9", "xla"),
    Case("keras-core-jax", "3.10", "xla"),
    Case("keras-core-numpy", "3.10", None),
    Case("keras-core-tensorflow", "3.11", "xla"),
    Case("keras-core-torch", "3.11", "inductor"),
)


def project(world: World, case: Case) -> Kgen:
    """The command in a project of this case, with its environment on disk."""
    if find_interpreter(find(), case.python) is None:
        if "CI" in os.environ:
            pytest.fail(f"there is no CPython {case.python} here")
        pytest.skip(f"no CPython {case.python} here")
    folder = world.folder / case.label
    kgen = dataclasses.replace(world.kgen, folder=folder)
    with _alone(world.folder / f"{case.label}.lock"):
        if not (folder / ".kgen" / "envs" / case.name).exists():
            (folder / "home").mkdir(parents=True, exist_ok=True)
            words = (*case.words, "--python", case.python, "--exclude-newer", _CUTOFF)
            locked = kgen("lock", case.backend, "--cpu", *words, timeout=_LONG)
            if "+cpu" in locked.stderr:
                pytest.skip("no CPU build of PyTorch here: UV_FIND_LINKS names no folder with one")
            assert locked.status == 0, locked.stderr
            synced = kgen("sync", case.name, timeout=_LONG, HOME=str(folder / "home"))
            assert synced.status == 0, synced.stderr
    return kgen


def validate(kgen: Kgen, *arguments: str, **environment: str) -> Result:
    return within(kgen, environment)("validate", *arguments, timeout=_LONG)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_the_step_passes(world: World, case: Case) -> None:
    kgen = project(world, case)
    done = validate(kgen, case.name)
    assert done.status == 0, done.stdout + done.stderr
    data = checked(kgen.folder / "locks" / case.name / "receipts" / "cpu.json")
    assert data["installed"] == {"as_locked": True, "differences": []}
    (step,) = data["steps"]
    assert step["python"].startswith(f"{case.python}.")
    if case.compiler is None:
        assert step["contract"] == "forward"
        assert step["distance"]["outputs"] < 1e-6
        return
    assert step["proof"]["compiler"] == case.compiler
    assert step["proof"]["convolutions"] >= 2
    assert step["distance"]["losses"] < 2e-6
    assert step["distance"]["weights"] < 1e-6
    assert step["placed"]["weights"] == ["cpu:0"]


def test_theano_is_selected_without_a_word_in_the_home_folder(world: World) -> None:
    """Sources are built and installed as locked; each way in selects Theano; its settings and C are in its folder."""
    kgen = project(world, THEANO)
    lock = (kgen.folder / "locks" / THEANO.name / "pylock.linux-64.toml").read_text(encoding="utf-8")
    assert 'sdist = { url = "' in lock
    assert lock.count("[[tool.kgen.build]]") == 2
    assert kgen("check", THEANO.name).status == 0
    assert kgen("check", "--installed", THEANO.name).status == 0
    prefix = kgen.folder / ".kgen" / "envs" / THEANO.name
    home = kgen.folder / "home"
    told = (
        "import keras, os, theano; print(keras.backend.backend(), theano.config.compiledir, os.environ['KERAS_HOME'])"
    )
    for words in (
        [str(prefix / "bin" / "python"), "-c", told],
        ["sh", "-c", f'. "{prefix}/share/kgen/activate.sh"; python -c "{told}"'],
    ):
        outside = {name: value for name, value in kgen.env(HOME=str(home)).items() if not name.startswith("THEANO")}
        done = subprocess.run(words, env=outside, capture_output=True, text=True, check=False, timeout=_LONG)
        assert done.returncode == 0, done.stderr
        backend, compiled, settings = done.stdout.split()
        assert backend == "theano"
        assert compiled.startswith(f"{prefix}/share/kgen/theano/")
        assert settings == f"{prefix}/share/kgen/keras"
    assert '"backend": "theano"' in (prefix / "share/kgen/keras/keras.json").read_text(encoding="utf-8")
    assert not (home / ".keras" / "keras.json").exists()
    assert (prefix / "share/kgen/keras/datasets").resolve() == home / ".keras" / "datasets"


def test_theano_without_a_compiler_is_not_compiled(world: World) -> None:
    kgen = project(world, THEANO)
    done = validate(kgen, "--python", str(kgen.folder / ".kgen/envs" / THEANO.name), THEANO.name, THEANO_FLAGS="cxx=")
    assert done.status == 1
    assert "keras2-theano-cpu is not compiled on cpu: no convolution in what was compiled: 0 of " in done.stderr
    assert "Theano finds no C++ compiler" in done.stderr


def test_theano_that_says_cuda_and_computes_on_the_cpu(world: World) -> None:
    """What the user's flags claim is not what counts: the arrays' place is."""
    kgen = project(world, THEANO)
    place = kgen.folder / ".kgen/envs" / THEANO.name
    done = validate(kgen, "--python", str(place), "--device", "gpu", "--no-lock", "theano", THEANO_FLAGS="device=cuda")
    assert "passed" not in done.stdout
    assert done.status == 1


def test_keras_2_2_4_on_tensorflow_1_15_is_found_out(world: World, tmp_path: Path) -> None:
    kgen = project(world, TENSORFLOW_1)
    place = dataclasses.replace(world, kgen=kgen)
    broken = tmp_path / "broken"
    subprocess.run(
        ["cp", "-a", str(kgen.folder / ".kgen/envs" / TENSORFLOW_1.name), str(broken)], check=True, capture_output=True
    )
    place.uv("pip", "install", "--quiet", "--no-deps", "--python", str(broken), "keras==2.2.4")
    done = validate(kgen, "--python", str(broken), TENSORFLOW_1.name)
    assert done.status == 1, done.stdout
    assert "keras2-tensorflow-cpu runs with wrong numbers on cpu: losses are off by 0." in done.stderr
    assert "Keras 2.2.4 and 2.2.5 train wrongly on TensorFlow 1.15" in done.stderr
    assert "  keras 2.3.1 is locked, 2.2.4 is installed" in done.stderr


def test_cntk_says_what_is_missing(world: World) -> None:
    """Its libmpi is in no wheel: without it kgen says so, with it (a folder of links on LD_LIBRARY_PATH) it trains."""
    kgen = project(world, CNTK)
    done = validate(kgen, CNTK.name)
    if done.status == 0:
        data = checked(kgen.folder / "locks" / CNTK.name / "receipts" / "cpu.json")
        assert data["steps"][0]["distance"]["losses"] < 2e-6
        return
    assert "will not import on cpu: ImportError: libmpi" in done.stderr
    assert "  CNTK loads Open MPI 1.10, which no wheel has" in done.stderr
