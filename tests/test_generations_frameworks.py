"""The older generations of Keras for real: locked, installed and trained on interpreters of their time, on the CPU.

The numbers are those of the same reference as for Keras 3. An interpreter that is not on this machine is a failure
where `CI` is set, and a skip elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.command import CUTOFF, Kgen, Result
from tests.pinned import locking
from tests.test_validate import checked, within
from tests.test_validate_frameworks import _LONG, World, _alone, lock_pinned, world

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
        beyond: what comes of the parts of the full suite that do not pass; None where the basic one is run.
    """

    backend: str
    python: str
    compiler: str | None
    words: tuple[str, ...] = ()
    beyond: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        return f"{self.backend}-cpu"

    @property
    def backends(self) -> tuple[str, ...]:
        return (self.backend,)

    @property
    def asked(self) -> tuple[str, ...]:
        """What `kgen lock` is asked for."""
        until = () if "--as-of" in self.words else ("--exclude-newer", CUTOFF)
        return (*self.backends, "--cpu", *self.words, "--python", self.python, "--platform", "linux-64", *until)

    @property
    def label(self) -> str:
        words = (word for word in self.words[1:] if not word.startswith("--"))
        return "-".join((self.backend, self.python, *(word.rpartition("=")[2] for word in words)))


_OF_KERAS_2 = dict.fromkeys(
    ("attention", "mixed-precision", "pipeline-dataloader", "pipeline-tf-data", "two-processes"), "contract"
)
_OF_TENSORFLOW_2_3 = dict.fromkeys(("attention", "pipeline-dataloader", "two-processes"), "contract")
_OF_JAX_0_4 = {"pipeline-dataloader": "absent", "two-processes": "contract"}
_OF_NUMPY = {
    "mixed-precision": "contract", "pipeline-dataloader": "absent", "two-processes": "contract"
}  # fmt: skip
THEANO = Case("keras2-theano", "3.7", "theano", ("--isolate-config",))
TENSORFLOW_1 = Case("keras2-tensorflow", "3.7", "xla", ("--require", "tensorflow==1.15.5"), _OF_KERAS_2)
PYMC = Case("keras2-theano", "3.7", "theano", ("--require", "theano-pymc"))
CNTK = Case("keras2-cntk", "3.6", "cntk's engine")
CASES = (
    THEANO,
    PYMC,
    TENSORFLOW_1,
    Case("keras2-tensorflow", "3.7", "xla", ("--require", "tensorflow==2.2.3")),
    Case("tf-keras-tensorflow", "3.7", "xla", ("--require", "tensorflow==2.3.4"), _OF_TENSORFLOW_2_3),
    Case("keras-core-jax", "3.9", "xla", beyond=_OF_JAX_0_4),
    Case("keras-core-jax", "3.10", "xla"),
    Case("keras-core-numpy", "3.10", None, beyond=_OF_NUMPY),
    Case("keras-core-tensorflow", "3.11", "xla"),
    Case("keras-core-torch", "3.11", "inductor"),
)


@dataclasses.dataclass(frozen=True)
class Together(Case):
    """An environment of several backends, by its own name."""

    of: tuple[str, ...] = ()

    @property
    def backends(self) -> tuple[str, ...]:
        return (*self.of, "--together", self.backend)

    @property
    def label(self) -> str:
        return f"{self.backend}-{self.python}"


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
            lock_pinned(kgen, case.asked, case.label)
            synced = kgen("sync", case.name, timeout=_LONG, HOME=str(folder / "home"))
            assert synced.status == 0, synced.stderr
    return kgen


def validate(kgen: Kgen, *arguments: str, **environment: str) -> Result:
    return within(kgen, environment)("validate", *arguments, timeout=_LONG)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_the_step_passes(world: World, case: Case) -> None:
    kgen = project(world, case)
    full = case.beyond is not None
    done = validate(kgen, case.name, *(("--suite", "full") if full else ()))
    assert done.status == 0, done.stdout + done.stderr
    data = checked(kgen.folder / "locks" / case.name / "receipts" / ("cpu-full.json" if full else "cpu.json"))
    assert data["installed"] == {"as_locked": True, "differences": []}
    (step,) = data["steps"]
    if case.beyond is not None:
        outcomes = {row["part"]: row["outcome"] for row in step["parts"]}
        assert outcomes == {**dict.fromkeys(outcomes, "passed"), **case.beyond}
        assert len(outcomes) == 10
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
    if case.backend == "keras2-tensorflow":
        # twice: as who trains with it has it, and as one program of XLA's that the executed graph ran
        assert step["uncompiled"] == pytest.approx(step["losses"], rel=2e-6)
        assert (step["proof"]["convolutions"], step["proof"]["convolutions_left"], step["proof"]["run"]) == (5, 0, 1)
        assert "5 convolutions compiled by xla; the same uncompiled" in done.stdout


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


def test_theano_pymc_comes_in_the_place_of_theano(world: World) -> None:
    """They are one module: the one is locked or the other, with the folder for its C; a GPU is refused alike."""
    kgen = project(world, PYMC)
    lock = (kgen.folder / "locks" / PYMC.name / "pylock.linux-64.toml").read_text(encoding="utf-8")
    assert 'name = "theano-pymc"\nversion = "1.0.12"\n' in lock
    assert 'name = "theano"\n' not in lock
    told = "import keras, theano; print(keras.backend.backend(), theano.__version__, theano.config.compiledir)"
    done = kgen("run", PYMC.name, "--", "python", "-c", told, timeout=_LONG)
    assert done.status == 0, done.stderr
    backend, version, compiled = done.stdout.split()
    assert (backend, version) == ("theano", "1.0.12")
    assert "/envs/keras2-theano-cpu/share/kgen/theano/" in compiled
    refused = kgen("lock", "theano", "--require", "theano-pymc", "--cuda", "12", "--python", PYMC.python)
    assert refused.status == 3
    assert "conda's `conda-forge` has theano with pygpu and libgpuarray" in refused.stderr
    with locking(kgen, PYMC.label, THEANO.label) as there:
        both = there("lock", "theano", "--require", "theano-pymc", "--dependency", "theano", "--python", PYMC.python)
    assert both.status == 4
    assert "theano and theano-pymc are both the module `theano`" in both.stderr
    assert kgen("check", PYMC.name).status == 0


AS_OF = Together(
    backend="day",
    python="3.10",
    compiler=None,
    words=("--as-of", "2023-09-01"),
    of=("tensorflow", "jax", "numpy"),
)


def test_the_environment_that_one_would_have_made_then(world: World) -> None:
    """Matrix, index and Python of a day in 2023, when Keras 3 was keras-core: all of it trains."""
    kgen = project(world, AS_OF)
    done = validate(kgen, AS_OF.name)
    assert done.status == 0, done.stdout + done.stderr
    data = checked(kgen.folder / "locks" / AS_OF.name / "receipts" / "cpu.json")
    assert data["installed"] == {"as_locked": True, "differences": []}
    steps = {step["backend"]: step for step in data["steps"]}
    assert steps.keys() == {"keras-core-tensorflow", "keras-core-jax", "keras-core-numpy"}
    assert steps["keras-core-numpy"]["distance"]["outputs"] < 1e-6
    for name in ("keras-core-tensorflow", "keras-core-jax"):
        assert steps[name]["distance"]["losses"] < 2e-6
        assert steps[name]["proof"]["compiler"] == "xla"
    lock = (kgen.folder / "locks" / AS_OF.name / "pylock.linux-64.toml").read_text(encoding="utf-8")
    for name, version in {
        "keras-core": "0.1.5",
        "jax": "0.4.13",
        "jaxlib": "0.4.13",
        "tensorflow-cpu": "2.13.0",
    }.items():
        assert f'name = "{name}"\nversion = "{version}"\n' in lock


# -- libraries of models -----------------------------------------------------------------------------------------------

# of a day, because uv takes a minute to close what all later releases of their dependencies say
_CV_AND_NLP = ("--as-of", "2023-11-20", "--with-hub", "cv", "--with-hub", "nlp")
HUBS = (
    Case("keras-core-jax", "3.10", None, _CV_AND_NLP),
    Together("hubs", "3.10", None, (*_CV_AND_NLP, "--generation", "keras-core"), of=("tensorflow", "numpy")),
)
HUB = Case("tensorflow", "3.11", "xla", ("--with-hub", "nlp"))
EVERY = (*CASES, CNTK, AS_OF, *HUBS, HUB)
"""What is locked once, by `tests/record_locks.py`."""

_MODELS = """
import importlib, json, keras_core, keras_cv, keras_nlp, numpy
layers, random = keras_core.layers, numpy.random.default_rng(0)
pixels, labels = random.uniform(0, 255, size=(6, 8, 8, 3)).astype("float32"), numpy.arange(6) % 3
gray = numpy.asarray(keras_cv.layers.Grayscale(output_channels=3)(pixels))
image = layers.Input((8, 8, 3))
squeezed = keras_cv.layers.SqueezeAndExcite2D(8)(layers.Conv2D(8, 3)(image))
encoded = keras_nlp.layers.TransformerEncoder(intermediate_dim=16, num_heads=2)(layers.Reshape((36, 8))(squeezed))
model = keras_core.Model(image, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(encoded)))
model.set_weights([random.normal(scale=0.3, size=weight.shape) for weight in model.get_weights()])
model.compile(optimizer=keras_core.optimizers.SGD(0.05), loss="sparse_categorical_crossentropy")
def loss():
    return float(-numpy.log(numpy.asarray(model.predict_on_batch(gray / 255))[numpy.arange(6), labels]).mean())
backend, losses = keras_core.backend.backend(), [loss()]
for _ in range(0 if backend == "numpy" else 3):
    model.train_on_batch(gray / 255, labels)
    losses.append(loss())
switches = [importlib.import_module(f"{one}.src.backend.config").multi_backend() for one in ("keras_cv", "keras_nlp")]
array = type(model.trainable_variables[0].value).__module__.partition(".")[0]
gray = bool(numpy.allclose(gray[..., 0], gray[..., 2]))
print(json.dumps([backend, switches, array, gray, losses]))
"""

_HUB = """
import json, keras, keras_hub, numpy
layer = keras_hub.layers.TransformerEncoder(intermediate_dim=16, num_heads=2)
layers = [keras.layers.Input((6, 8)), layer, keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3, "softmax")]
model = keras.Sequential(layers)
model.compile(optimizer=keras.optimizers.SGD(0.05), loss="sparse_categorical_crossentropy")
batch = numpy.random.default_rng(0).normal(size=(6, 6, 8)).astype("float32")
losses = [float(model.train_on_batch(batch, numpy.arange(6) % 3)) for _ in range(4)]
print(json.dumps([keras.backend.backend(), losses]))
"""


def used(kgen: Kgen, case: Case, program: str, backend: str = "") -> list[Any]:
    """What a program says in the environment, which the hook has activated and nothing else, on a backend of it."""
    prefix = kgen.folder / ".kgen" / "envs" / case.name
    outside = {name: value for name, value in kgen.env(HOME=str(kgen.folder / "home")).items() if "KERAS" not in name}
    chosen = f"KERAS_BACKEND={backend}" if backend else ""
    words = ["sh", "-c", f'. "{prefix}/share/kgen/activate.sh"; exec env {chosen} python -c "$1"', "sh", program]
    done = subprocess.run(words, env=outside, capture_output=True, text=True, check=False, timeout=_LONG)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("case", HUBS, ids=lambda case: case.backend)
def test_kerascv_and_kerasnlp_compute_on_the_backend_that_is_selected(world: World, case: Case) -> None:
    """The multi-backend switch is on though their files in the home folder say that it is off; NumPy does not train."""
    kgen = project(world, case)
    home = kgen.folder / "home" / ".keras"
    home.mkdir(exist_ok=True)
    for name in ("keras-cv.json", "keras_nlp.json"):
        (home / name).write_text('{"multi_backend": false}', encoding="utf-8")
    same_everywhere = [1.148755, 1.141092, 1.134549, 1.128973]
    for chosen in case.of if isinstance(case, Together) else ("",):
        backend, switches, array, gray, losses = used(kgen, case, _MODELS, chosen)
        assert backend == (chosen or "jax")
        assert (switches, array, gray) == ([True, True], {"jax": "jaxlib"}.get(backend, backend), True)
        assert losses == pytest.approx(same_everywhere[: 1 if backend == "numpy" else None], rel=2e-6)


def test_kerashub_trains_beside_the_whole_tensorflow(world: World) -> None:
    """tensorflow-text requires `tensorflow`, whose files are those of tensorflow-cpu: one of them is locked."""
    kgen = project(world, HUB)
    lock = (kgen.folder / "locks" / HUB.name / "pylock.linux-64.toml").read_text(encoding="utf-8")
    assert 'name = "tensorflow-text"\n' in lock
    assert 'name = "tensorflow"\n' in lock
    assert 'name = "tensorflow-cpu"\n' not in lock
    assert "nvidia" not in lock
    backend, losses = used(kgen, HUB, _HUB)
    assert backend == "tensorflow"
    assert losses[-1] < losses[0]
    assert kgen("check", HUB.name).status == 0


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
