"""The training step on real frameworks, in environments that kgen locks itself; and in the same ones, broken.

Everything is for the CPU. What the CUDA builds say without a GPU is brought out by JAX's plugin, the one that is small.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from tests.command import Kgen, Result
from tests.pinned import LOCKS, frozen, hashes, locking
from tests.record_locks import cpu, label
from tests.test_validate import checked, driver, within

from kgen.loader import flags
from kgen.uvtool import find

__all__ = ["driver"]

pytestmark = [pytest.mark.network, pytest.mark.frameworks]

_PYTHON = "3.11"
_LONG = 1200.0


@dataclasses.dataclass(frozen=True)
class World:
    """A project with locks, and a place for the environments of all tests.

    Attributes:
        folder: where that is, shared by the workers of pytest-xdist.
        kgen: the command in the project.
    """

    folder: Path
    kgen: Kgen

    def environment(self, name: str) -> Path:
        """The environment of a lock, installed once."""
        place = self.folder / "project" / ".kgen" / "envs" / name
        with _alone(self.folder / f"{name}.lock"):
            if not place.exists():
                self._lock(name)
                synced = self.kgen("sync", name, timeout=_LONG)
                assert synced.status == 0, synced.stderr
        return place

    def _lock(self, name: str) -> None:
        backend = name.rpartition("-")[0]
        with _alone(self.folder / "locks.lock"):
            lock_pinned(self.kgen, cpu(backend, _PYTHON), label(backend, _PYTHON))

    def uv(self, *arguments: str) -> None:
        """uv, with the settings of this machine."""
        done = subprocess.run([find(), *arguments], env=self.kgen.env(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def broken(self, name: str, place: Path) -> Path:
        """A copy of an environment, to be broken: its files are links, so they are removed before they are written."""
        shutil.copytree(self.environment(name), place, copy_function=_link, symlinks=True)
        return place

    def validate(self, *arguments: str, **environment: str) -> Result:
        """`kgen validate`."""
        return within(self.kgen, environment)("validate", *arguments, timeout=_LONG)


def lock_pinned(kgen: Kgen, asked: Sequence[str], name: str) -> None:
    """Locks from nothing but the files of a committed lock, and compares what came out with it."""
    with locking(kgen, name) as there:
        locked = there("lock", *asked, timeout=_LONG)
    if locked.status != 0 and "+cpu" in locked.stderr and "CI" not in os.environ:
        pytest.skip("no CPU build of PyTorch here: UV_FIND_LINKS names no folder with one")
    assert locked.status == 0, locked.stderr
    for committed in (LOCKS / name).glob("*/pylock.*.toml"):
        assert hashes(kgen.folder / "locks" / committed.relative_to(LOCKS / name)) == hashes(committed)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, _environment: Mapping[str, str]) -> World:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "frameworks"
    project = folder / "project"
    project.mkdir(parents=True, exist_ok=True)
    outside = {
        name: value
        for name, value in _environment.items()
        if not name.startswith(("KERAS_", "KGEN_")) and name != "VIRTUAL_ENV"
    }
    # one user for all, whatever home a test gives: an environment of another is made again
    state = {"XDG_STATE_HOME": str(folder / "state")}
    environment = {**outside, "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1", "PYTHONPATH": "", **state}
    return World(folder=folder, kgen=frozen(Kgen(folder=project, temporary=folder, environment=environment)))


@pytest.fixture
def project(world: World, tmp_path: Path) -> Callable[..., Kgen]:
    """The command in a project of the test's own, with one of the locks."""

    def make(name: str, environment: str | None = None) -> Kgen:
        world.environment(name)
        folder = tmp_path / "project" / "locks" / (environment or name)
        folder.mkdir(parents=True)
        text = (world.kgen.folder / "locks" / name / "pylock.linux-64.toml").read_text(encoding="utf-8")
        if environment is not None:
            accelerator = environment.rpartition("-")[2]
            text = text.replace(f'environment = "{name}"', f'environment = "{environment}"')
            text = text.replace('accelerator = "cpu"', f'accelerator = "{accelerator}"')
        (folder / "pylock.linux-64.toml").write_text(text, encoding="utf-8")
        return dataclasses.replace(world.kgen, folder=tmp_path / "project", temporary=tmp_path)

    return make


def run(command: Kgen, place: Path, *arguments: str, **environment: str) -> Result:
    return within(command, environment)("validate", "--python", str(place), *arguments, timeout=_LONG)


# -- what must pass ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "compiler"),
    [("jax", "xla"), ("tensorflow", "xla"), ("torch", "inductor"), ("numpy", None), ("openvino", None)],
)
def test_the_step_passes(world: World, backend: str, compiler: str | None) -> None:
    """Locked by kgen, installed as locked, trained and compiled; the numbers are those of the reference."""
    world.environment(f"{backend}-cpu")
    done = world.validate(f"{backend}-cpu", "--suite", "full")
    assert done.status == 0, done.stdout + done.stderr
    data = checked(world.kgen.folder / "locks" / f"{backend}-cpu" / "receipts" / "cpu-full.json")
    assert (data["verdict"], data["suite"]) == ("passed", "full")
    assert data["installed"] == {"as_locked": True, "differences": []}
    (step,) = data["steps"]
    outcomes = {row["part"]: row["outcome"] for row in step["parts"]}
    missing = {"pipeline-dataloader": "torch", "pipeline-tf-data": "tensorflow"}
    absent = {part for part, module in missing.items() if module != backend}
    trained = {"mixed-precision", "two-processes"} if compiler is None else set()
    assert {part for part, outcome in outcomes.items() if outcome == "absent"} == absent
    assert {part for part, outcome in outcomes.items() if outcome == "contract"} == trained
    assert len(outcomes) == 10
    assert set(outcomes.values()) <= {"passed", "absent", "contract"}
    assert step["proof"]["compiler"] == compiler
    if compiler is None:
        assert step["contract"] == "forward"
        assert step["distance"]["outputs"] < 1e-6
        return
    assert step["contract"] == "training"
    assert step["proof"]["convolutions"] >= 4
    assert step["distance"]["losses"] < 2e-6
    assert step["distance"]["weights"] < 1e-6
    assert step["placed"]["weights"] == step["placed"]["outputs"] == ["cpu:0"]


def test_pytorch_compiles_three_programs_and_nothing_beside(
    world: World, project: Callable[[str], Kgen], tmp_path: Path
) -> None:
    """Forward, backward and the optimiser: no part is left to Python, and no compiler is asked what it can."""
    path, log = compiler(tmp_path)
    done = run(project("torch-cpu"), world.environment("torch-cpu"), "torch", PATH=path)
    assert done.status == 0, done.stdout + done.stderr
    data = checked(tmp_path / "project/locks/torch-cpu/receipts/cpu.json")
    (step,) = data["steps"]
    assert step["proof"]["programs"] == 3
    assert step["held"]["TORCHDYNAMO_CAPTURE_SCALAR_OUTPUTS"] == "1"
    sources = [word for line in log.read_text().splitlines() for word in line.split() if word.endswith(".cpp")]
    assert {word for word in sources if not word.endswith(".main.cpp")} == set()
    assert len(sources) == 3
    assert step["proof"]["compilations"] == 3
    assert step["proof"]["kernels"] > 3
    assert not [line for line in log.read_text().splitlines() if "c++-header" in line]


def test_a_compiler_that_knows_less_than_the_cpu(world: World, project: Callable[[str], Kgen], tmp_path: Path) -> None:
    """What was believed of it is taken back: the step begins again as PyTorch would have it, and passes."""
    path, _ = compiler(tmp_path, "-mavx")
    done = run(project("torch-cpu"), world.environment("torch-cpu"), "torch", PATH=path)
    assert done.status == 0, done.stdout + done.stderr
    (step,) = checked(tmp_path / "project/locks/torch-cpu/receipts/cpu.json")["steps"]
    assert "TORCHINDUCTOR_VEC_ISA_OK" not in step["held"]
    assert "compilations" not in step["proof"]
    assert step["proof"]["programs"] > 3


def compiler(folder: Path, unknown: str = "") -> tuple[str, Path]:
    """A PATH with a g++ that keeps how it was called, and that does not know options that begin so."""
    there, log = folder / "compilers", folder / "compiled"
    there.mkdir()
    lines = ["#!/bin/sh", f"echo \"$@\" >> '{log}'"]
    if unknown:
        lines.append(f"""case "$*" in *" {unknown}"*) echo "g++: error: unrecognized option" >&2; exit 1;; esac""")
    text = "\n".join([*lines, f'exec {shutil.which("g++")} "$@"', ""])
    (there / "g++").write_text(text)
    (there / "g++").chmod(0o755)
    return f"{there}:{os.environ['PATH']}", log


def test_a_hostile_keras_json_changes_nothing(world: World, tmp_path: Path) -> None:
    world.environment("jax-cpu")
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(
        '{"backend": "torch", "floatx": "float16", "image_data_format": "channels_first"}'
    )
    done = world.validate("jax-cpu", HOME=str(tmp_path), KERAS_HOME=str(tmp_path / ".keras"))
    assert done.status == 0, done.stderr


# -- what is really broken ---------------------------------------------------------------------------------------------


def test_another_backend_is_selected(world: World, project: Callable[[str], Kgen]) -> None:
    """The environment for NumPy has JAX in it too, because Keras wants it there."""
    done = run(project("numpy-cpu"), world.environment("numpy-cpu"), "numpy", KERAS_BACKEND="jax")
    assert done.status == 1
    assert "selects another backend on cpu: Keras runs on `jax`, and this environment is for `numpy`" in done.stderr
    assert "hint: unset KERAS_BACKEND" in done.stderr


def test_a_framework_was_removed(world: World, project: Callable[[str], Kgen], tmp_path: Path) -> None:
    place = world.broken("openvino-cpu", tmp_path / "broken")
    shutil.rmtree(place / f"lib/python{_PYTHON}/site-packages/openvino")
    done = run(project("openvino-cpu"), place, "openvino")
    assert done.status == 1
    assert "openvino-cpu will not import on cpu: ModuleNotFoundError: No module named 'openvino'" in done.stderr
    assert "openvino is not installed" in done.stderr
    assert "hint: kgen sync openvino-cpu" in done.stderr


def test_a_library_of_the_framework_is_gone(world: World, project: Callable[[str], Kgen], tmp_path: Path) -> None:
    place = world.broken("jax-cpu", tmp_path / "broken")
    next(place.glob(f"lib/python{_PYTHON}/site-packages/jaxlib/_jax*.so")).unlink()
    done = run(project("jax-cpu"), place, "jax")
    assert done.status == 1
    assert "jax-cpu will not import on cpu" in done.stderr
    assert "of jaxlib is not on disk" in done.stderr


def test_built_for_another_numpy(world: World, project: Callable[[str], Kgen], tmp_path: Path) -> None:
    """NumPy 2 under an ml-dtypes that was built for NumPy 1."""
    place = world.broken("jax-cpu", tmp_path / "broken")
    world.uv("pip", "install", "--quiet", "--no-deps", "--python", str(place), "ml-dtypes==0.3.2")
    done = run(project("jax-cpu"), place, "jax")
    assert done.status == 1
    assert "jax-cpu will not import on cpu" in done.stderr
    assert "something in the environment was built for another NumPy than the one that is installed" in done.stderr
    assert "  1 package differs; `--json` lists what differs" in done.stderr


@pytest.mark.parametrize(
    ("backend", "variable"),
    [("jax", "JAX_DISABLE_JIT"), ("torch", "TORCHDYNAMO_DISABLE"), ("tensorflow", "TF_DETERMINISTIC_OPS")],
)
def test_quietly_not_compiled(world: World, project: Callable[[str], Kgen], backend: str, variable: str) -> None:
    environment: dict[str, str] = {variable: "1"}
    done = run(project(f"{backend}-cpu"), world.environment(f"{backend}-cpu"), backend, **environment)
    assert done.status == 1
    assert f"{backend}-cpu is not compiled on cpu: no convolution in what was compiled" in done.stderr
    assert f"hint: unset {variable}" in done.stderr


def test_pytorch_without_a_compiler(world: World, project: Callable[[str], Kgen]) -> None:
    done = run(project("torch-cpu"), world.environment("torch-cpu"), "torch", CXX="no-such-compiler")
    assert done.status == 1
    assert "torch-cpu compiles and fails on cpu" in done.stderr
    assert "PyTorch compiles with a C++ compiler, and finds none" in done.stderr


def test_an_unknown_flag_of_xla(world: World, project: Callable[[str], Kgen]) -> None:
    done = run(project("jax-cpu"), world.environment("jax-cpu"), "jax", XLA_FLAGS="--xla_no_such_flag=1")
    assert done.status == 1
    assert "XLA does not know a flag of XLA_FLAGS and ends the process: --xla_no_such_flag" in done.stderr


@pytest.mark.parametrize(
    "value",
    [
        "--xla_no_such=1",
        "--xla_dump_to= xla_no_such",
        "-xla_dump_to=",
        "xla_dump_to=",
        "--xla_gpu_autotune",
        " --xla_dump_to=",
    ],
)
def test_what_the_doctor_says_of_flags_is_what_xla_does(world: World, value: str) -> None:
    place = world.environment("jax-cpu")
    done = subprocess.run(
        [place / "bin/python", "-c", "import jax; jax.numpy.ones(2).sum()"],
        env={"JAX_PLATFORMS": "cpu", "XLA_FLAGS": value},
        capture_output=True,
        text=True,
        check=False,
    )
    found = flags.unknown(place / f"lib/python{_PYTHON}/site-packages", {"XLA_FLAGS": value})
    assert bool(found) is ("Unknown flag" in done.stderr or "Could not open file" in done.stderr), done.stderr
    assert bool(found) is bool(done.returncode)


def test_wrong_numbers(world: World, project: Callable[[str], Kgen], tmp_path: Path) -> None:
    """A Keras whose momentum is a little off."""
    place = world.broken("jax-cpu", tmp_path / "broken")
    source = place / f"lib/python{_PYTHON}/site-packages/keras/src/optimizers/sgd.py"
    text = source.read_text(encoding="utf-8")
    assert "self.momentum = momentum" in text
    source.unlink()
    source.write_text(text.replace("self.momentum = momentum", "self.momentum = momentum * 1.001"), encoding="utf-8")
    done = run(project("jax-cpu"), place, "jax")
    assert done.status == 1, done.stdout
    assert "jax-cpu runs with wrong numbers on cpu: losses are off by 0.0" in done.stderr


def test_a_wrong_layer_beyond_the_network(world: World, project: Callable[[str], Kgen], tmp_path: Path) -> None:
    """A Keras whose LSTM forgets a little more than it should: the basic suite never sees it."""
    place = world.broken("numpy-cpu", tmp_path / "broken")
    source = place / f"lib/python{_PYTHON}/site-packages/keras/src/layers/rnn/lstm.py"
    text = source.read_text(encoding="utf-8")
    assert text.count("c = f * c_tm1 + i *") == 2
    source.unlink()
    source.write_text(text.replace("c = f * c_tm1 + i *", "c = 0.999 * f * c_tm1 + i *"), encoding="utf-8")
    command = project("numpy-cpu")
    assert run(command, place, "numpy").status == 0
    done = run(command, place, "numpy", "--suite", "full")
    assert done.status == 1, done.stdout
    assert "numpy-cpu fails in a part of the full suite on cpu: recurrent: outputs are off by " in done.stderr
    assert "predict" in done.stderr
    assert checked(command.folder / "locks/numpy-cpu/receipts/cpu-full.json")["verdict"] == "failed"


def test_cpu_builds_where_a_gpu_is_wanted(world: World, project: Callable[..., Kgen], driver: Path) -> None:
    """With a made-up GPU in the machine."""
    command = project("torch-cpu", "torch-cuda12")
    done = run(command, world.environment("torch-cpu"), "torch", LD_LIBRARY_PATH=str(driver))
    assert done.status == 1
    assert "torch-cuda12 imports without the device on gpu: PyTorch sees no GPU" in done.stderr
    assert "| this PyTorch is a build without CUDA" in done.stderr
    assert checked(command.folder / "locks/torch-cuda12/receipts/nvidia-made-up-9000.json")["verdict"] == "failed"


# -- JAX's CUDA plugin, which is real, on a GPU that is not ------------------------------------------------------------


@pytest.fixture
def plugin(world: World, tmp_path: Path) -> Path:
    place = world.broken("jax-cpu", tmp_path / "plugin")
    lock = (world.kgen.folder / "locks/jax-cpu/pylock.linux-64.toml").read_text(encoding="utf-8")
    version = lock.partition('name = "jaxlib"\nversion = "')[2].partition('"')[0]
    names = [f"jax-cuda12-plugin=={version}", f"jax-cuda12-pjrt=={version}", "nvidia-cuda-runtime-cu12==12.9.79"]
    world.uv("pip", "install", "--quiet", "--no-deps", "--python", str(place), *names)
    return place


def test_a_stub_of_libcuda(project: Callable[..., Kgen], plugin: Path, driver: Path) -> None:
    done = run(project("jax-cpu", "jax-cuda12"), plugin, "jax", LD_LIBRARY_PATH=str(driver))
    assert done.status == 1
    assert "jax-cuda12 imports without the device on gpu: JAX computes on " in done.stderr
    assert "the libcuda that was found is a stub, made for linking only" in done.stderr
    assert "hint: take the toolkit's `stubs` folder out of LD_LIBRARY_PATH" in done.stderr


def test_a_cudnn_library_was_renamed(project: Callable[..., Kgen], plugin: Path, driver: Path) -> None:
    site = plugin / f"lib/python{_PYTHON}/site-packages"
    (site / "nvidia/cudnn/lib").mkdir(parents=True)
    (site / "nvidia/cudnn/__init__.py").touch()
    (site / "nvidia/cudnn/lib/libcudnn.so.9.renamed").touch()
    told = site / "nvidia_cudnn_cu12-9.10.2.21.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-cudnn-cu12\nVersion: 9.10.2.21\n")
    (told / "RECORD").write_text("nvidia/cudnn/__init__.py,,\nnvidia/cudnn/lib/libcudnn.so.9,sha256=x,1\n")
    done = run(project("jax-cpu", "jax-cuda12"), plugin, "jax", LD_LIBRARY_PATH=str(driver))
    assert done.status == 1
    assert "imports without the device on gpu" in done.stderr
    assert "libcudnn.so.9 of nvidia-cudnn-cu12 is not on disk" in done.stderr
    assert "| RuntimeError: cuDNN not found." in done.stderr
    assert "hint: kgen sync jax-cuda12" in done.stderr


def test_a_cuda_environment_without_a_gpu_is_validated_on_the_cpu(project: Callable[..., Kgen], plugin: Path) -> None:
    done = run(project("jax-cpu", "jax-cuda12"), plugin, "jax")
    assert done.status == 0, done.stderr
    assert "jax-cuda12   jax      cpu (no GPU here)  passed" in done.stdout
