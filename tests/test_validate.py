"""`kgen validate` as its users meet it, without a framework: a fake Keras answers, or misbehaves."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.command import PYTHON, Kgen, Result, is_alive

from kgen import lockfiles
from kgen.actions import validate as action
from kgen.emitters.hooks import render_hooks
from kgen.formats import environment
from kgen.host import Host
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import format as formats
from kgen.validation import program, receipts

FAKES = Path(__file__).parent / "fakes"
_SCHEMA = json.loads((program.STEP.parent / "receipt.schema.json").read_text(encoding="utf-8"))
_LOCK = """\
lock-version = "1.0"
created-by = "kgen"

{packages}
[tool.kgen]
schema = 1
environment = "{environment}"
backends = [{backends}]
accelerator = "{accelerator}"
python = "{python}"
platform = "linux-64"

[tool.kgen.packages]

[tool.kgen.variables]
KERAS_BACKEND = "{backend}"
"""


_PACKAGE = """\
[[packages]]
name = "{name}"
version = "{version}"
wheels = [{{ path = "{file}-{version}-py3-none-any.whl", hashes = {{ sha256 = "%s" }} }}]
""" % ("0" * 64)


def lock(project: Path, environment: str, *backends: str, packages: Mapping[str, str] | None = None) -> Path:
    """Writes a lock with these pins; of NumPy's own version where none are given."""
    folder = project / "locks" / environment
    folder.mkdir(parents=True)
    name, _, accelerator = environment.rpartition("-")
    pins = {"numpy": metadata.version("numpy")} if packages is None else packages
    rows = [_PACKAGE.format(name=name, file=name.replace("-", "_"), version=version) for name, version in pins.items()]
    text = _LOCK.format(
        environment=environment,
        accelerator=accelerator,
        python=PYTHON,
        backends=", ".join(f'"{backend}"' for backend in backends or (name,)),
        packages="\n".join(rows),
        backend=(backends or (name,))[0],
    )
    (folder / "pylock.linux-64.toml").write_text(text)
    for hook, content in render_hooks(environment, {"KERAS_BACKEND": (backends or (name,))[0]}).items():
        (folder / hook).parent.mkdir(exist_ok=True)
        (folder / hook).write_text(content)
    return folder


def put_on_disk(project: Path, name: str) -> None:
    """The environment of a lock, with the interpreter of these tests; kgen takes it for whole."""
    chosen = lockfiles.choose(project, name)
    source = environment.source(chosen, chosen.platforms["linux-64"], project / ".kgen" / "envs", formats.default())
    (source.prefix / f"lib/python{PYTHON}/site-packages").mkdir(parents=True)
    (source.prefix / "bin").mkdir()
    source.python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    source.python.chmod(0o755)
    (source.prefix / environment.SOURCE).parent.mkdir(parents=True)
    (source.prefix / environment.SOURCE).write_bytes(source.state)
    record = environment.Record(lock=source.digest, python="3", installed={}, own={})
    (source.prefix / environment.RECORD).write_text(environment.record_text(record))


def checked(path: Path) -> dict[str, Any]:
    """What a receipt says, which is as its schema has it, and names nothing of this machine."""
    text = path.read_text(encoding="utf-8")
    jsonschema.validate(json.loads(text), _SCHEMA)
    data = dict(receipts.parse(path, text.encode()))
    assert receipts.render(data).decode() == text
    for local in (str(Path.home()), os.environ["HOME"], os.uname().nodename, "/tmp/", str(path.parents[3])):  # noqa: S108
        assert local == "/" or local not in text, local
    return data


@pytest.fixture
def validate(kgen: Kgen, project: Path) -> Kgen:
    """`kgen` in a project with a lock for NumPy, and a Python on whose path the fakes are."""
    lock(project, "numpy-cpu")
    return dataclasses.replace(kgen, environment={**kgen.environment, "PYTHONPATH": str(FAKES)})


def fake(command: Kgen, *arguments: str, **environment: str) -> Result:
    return within(command, environment)("validate", "--python", sys.executable, *arguments)


def within(command: Kgen, environment: Mapping[str, str]) -> Kgen:
    """The command with more in its environment."""
    return dataclasses.replace(command, environment=command.env(**environment))


def test_forward_pass_passes_and_leaves_a_receipt(validate: Kgen, project: Path) -> None:
    done = fake(validate, "numpy")
    assert done.status == 0, done.stderr
    heading, row = done.stdout.splitlines()
    assert heading.split() == [
        "environment",
        "backend",
        "device",
        "verdict",
        "found",
        "off",
        "by",
        "first",
        "step",
        "step",
    ]
    assert row.startswith("numpy-cpu    numpy    cpu     passed   forward pass only: Keras cannot train on numpy")
    data = checked(project / "locks" / "numpy-cpu" / "receipts" / "cpu.json")
    assert data["verdict"] == "passed"
    assert data["installed"] == {"as_locked": True, "differences": []}
    (step,) = data["steps"]
    assert step["contract"] == "forward"
    assert step["placed"] == {"outputs": ["cpu:0"]}
    assert step["distance"]["outputs"] < 1e-6


def test_the_list_says_what_is_proven_and_what_has_changed_since(validate: Kgen, project: Path) -> None:
    lock(project, "jax-cpu")
    fake(validate, "numpy")
    listed = validate("validate", "--list")
    assert listed.status == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["environment", "numpy-cpu"]
    assert "this one" in listed.stdout
    assert listed.stderr == "not proven anywhere: jax-cpu\n\nhint: kgen validate\n"
    path = project / "locks" / "numpy-cpu" / "pylock.linux-64.toml"
    path.write_text(path.read_text().replace("[tool.kgen]\n", '[tool.kgen]\nmatrix = "another"\n'))
    assert "this one" in validate("validate", "--list", "numpy").stdout
    assert [receipt.stale for receipt in receipts.find(path.parent)] == [False]
    path.write_text(path.read_text().replace("0" * 64, "1" * 64))
    assert "changed since" in validate("validate", "--list", "numpy").stdout
    assert [receipt.stale for receipt in receipts.find(path.parent)] == [True]
    assert len(receipts.stale(path.parent)) == 1
    data = json.loads(validate("validate", "--list", "--json").stdout)
    assert data["receipts"][0]["current"] is False


def test_what_a_lock_installs_has_a_digest(project: Path) -> None:
    locked = lockfiles.read(lock(project, "one-cpu", packages={"one": "1", "two": "2"}) / "pylock.linux-64.toml")
    others = [
        locked._replace(python="3.10"),
        locked._replace(platform="linux-aarch64"),
        locked._replace(backends=("jax", *locked.backends)),
        locked._replace(variables={"KERAS_BACKEND": "jax"}),
        locked._replace(places={"THEANO_FLAGS": "base_compiledir={prefix}"}),
        locked._replace(configuration={"keras.json": "{}"}),
        locked._replace(files=()),
        locked._replace(build=locked.files),
    ]
    assert len({one.content for one in (locked, *others)}) == len(others) + 1
    again = locked._replace(digest="0" * 64, libraries={"numpy": "1"}, files=locked.files[::-1])
    assert again.content == locked.content


def test_as_data(validate: Kgen) -> None:
    done = fake(validate, "numpy", "--json")
    (environment,) = json.loads(done.stdout)["environments"]
    assert environment["receipt"] == "locks/numpy-cpu/receipts/cpu.json"
    assert environment["steps"][0]["verdict"] == "passed"
    assert environment["steps"][0]["result"]["contract"] == "forward"


def test_training_contract_follows_the_reference(validate: Kgen, project: Path) -> None:
    lock(project, "jax-cpu")
    done = fake(validate, "jax")
    assert done.status == 0, done.stderr
    assert "1 convolutions compiled by xla" in done.stdout
    data = checked(project / "locks" / "jax-cpu" / "receipts" / "cpu.json")
    (step,) = data["steps"]
    assert step["distance"]["losses"] < 1e-6
    assert step["proof"]["custom_calls"] == ["__cudnn$convForward"]
    assert step["held"]["JAX_PLATFORMS"] == "cpu"


def test_every_backend_of_a_joint_environment_is_trained(validate: Kgen, project: Path) -> None:
    lock(project, "all-cpu", "jax", "numpy")
    done = fake(validate, "all")
    assert done.status == 0, done.stderr
    assert [step["backend"] for step in checked(project / "locks/all-cpu/receipts/cpu.json")["steps"]] == [
        "jax",
        "numpy",
    ]


def test_all_environments_one_after_the_other(validate: Kgen, project: Path) -> None:
    """Those that cannot be installed are told, and the others are run all the same."""
    lock(project, "jax-cpu")
    put_on_disk(project, "numpy-cpu")
    done = validate("validate")
    assert done.status == 4
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["jax-cpu", "numpy-cpu"]
    assert "failed   will not install" in done.stdout
    assert "passed" in done.stdout
    # which of the two uv notices first depends on the interpreter: another hash, or a wheel for another Python
    why = (
        "a file has another hash than the lock, and was not installed: ",
        "the index that uv is configured for does not",
    )
    assert done.stderr.startswith(tuple(f"\nerror: jax-cpu: {one}" for one in why))


# -- failures, told apart ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "fault", "message"),
    [
        ("import fails", "will not import", "RuntimeError: libfake.so.1: cannot open shared object file"),
        ("import crashes", "will not import", "ended by SIGSEGV in the stage `import`"),
        ("import exits", "will not import", "SystemExit: the framework has had enough"),
        ("build is killed", "compiles and fails", "ended by SIGABRT in the stage `build`"),
        ("compile fails", "compiles and fails", "RuntimeError: libfake.so.1: cannot open shared object file"),
        ("compile crashes", "compiles and fails", "ended by SIGSEGV in the stage `compile`"),
        ("is wrong", "runs with wrong numbers", "outputs are off by 0.25"),
    ],
)
def test_failures_are_told_apart(validate: Kgen, project: Path, how: str, fault: str, message: str) -> None:
    done = fake(validate, "numpy", FAKE_KERAS=how)
    assert done.status == 1
    assert f"error: numpy-cpu {fault} on cpu: {message}" in done.stderr
    assert "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr
    data = checked(project / "locks" / "numpy-cpu" / "receipts" / "cpu.json")
    assert (data["verdict"], data["steps"][0]["fault"]) == ("failed", fault)


def test_wrong_numbers_of_training(validate: Kgen, project: Path) -> None:
    lock(project, "jax-cpu")
    done = fake(validate, "jax", FAKE_KERAS="is wrong")
    assert done.status == 1
    assert "runs with wrong numbers on cpu: losses are off by 0.0" in done.stderr
    assert "the reference has 2." in done.stderr


def test_a_loss_that_is_no_number_is_a_fault_of_its_own(validate: Kgen, project: Path) -> None:
    lock(project, "jax-cpu")
    done = fake(validate, "jax", FAKE_KERAS="is nan")
    assert done.status == 1
    assert (
        "error: jax-cpu runs into NaN or infinity on cpu: the loss of step 1 is nan; the reference has 2.40556"
    ) in done.stderr
    (step,) = checked(project / "locks/jax-cpu/receipts/cpu.json")["steps"]
    assert (step["fault"], step["losses"]) == ("runs into NaN or infinity", ["nan"] * 6)


def test_another_backend_is_named_with_the_wanted_one(validate: Kgen) -> None:
    done = fake(validate, "numpy", KERAS_BACKEND="torch")
    assert done.status == 1
    assert (
        "error: numpy-cpu selects another backend on cpu: Keras runs on `torch`, and this environment is for `numpy`; "
        "KERAS_BACKEND is `torch`"
    ) in done.stderr
    assert "hint: unset KERAS_BACKEND" in done.stderr


def test_what_does_not_end_is_ended_with_its_children(validate: Kgen, tmp_path: Path) -> None:
    started = time.monotonic()
    pid = tmp_path / "pid"
    done = fake(validate, "numpy", "--timeout", "12", FAKE_KERAS="compile hangs", FAKE_PID_FILE=str(pid))
    assert time.monotonic() - started < 60
    assert done.status == 1
    assert "compiles and fails on cpu: did not end within 12 s; it was in the stage `compile`" in done.stderr
    assert "in _hang" in done.stderr
    assert not is_alive(int(pid.read_text()))


def test_whoever_ends_kgen_ends_the_step(validate: Kgen, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = within(validate, {"FAKE_KERAS": "compile hangs", "FAKE_PID_FILE": str(pid)})
    with command.start("validate", "--python", sys.executable, "numpy") as process:
        deadline = time.monotonic() + 60
        while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    assert not is_alive(int(pid.read_text()))


def test_a_terminal_sees_the_stage(validate: Kgen) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        validate.words("validate", "--python", sys.executable, "numpy"),
        cwd=validate.folder,
        env=validate.env(TERM="xterm", FAKE_KERAS="compile dawdles"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 4096):
                said += chunk
        assert process.wait(60) == 0
    os.close(ours)
    assert b"numpy-cpu on cpu" in said
    assert b"compile" in said


def test_what_a_framework_prints_damages_nothing(validate: Kgen) -> None:
    done = fake(validate, "numpy", FAKE_KERAS="prints garbage")
    assert done.status == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_not_compiled_is_no_pass(validate: Kgen, project: Path) -> None:
    lock(project, "jax-cpu")
    done = fake(validate, "jax", JAX_DISABLE_JIT="1")
    assert done.status == 1
    assert "jax-cpu is not compiled on cpu: no convolution in what was compiled: 0 programs" in done.stderr
    assert "JAX_DISABLE_JIT=1 turns JAX's compiler off" in done.stderr
    assert "hint: unset JAX_DISABLE_JIT" in done.stderr


def test_pins_that_are_not_kept_are_told_and_recorded(validate: Kgen, project: Path) -> None:
    lock(project, "jax-cpu", packages={"numpy": "1.0", "not-there": "2.0"})
    done = fake(validate, "jax")
    assert done.status == 0
    assert f"  numpy 1.0 is locked, {metadata.version('numpy')} is installed\n" in done.stderr
    assert "  and 1 other package differs; `--json` lists what differs\n" in done.stderr
    path = project / "locks" / "jax-cpu" / "receipts" / "cpu.json"
    data = checked(path)
    assert data["installed"]["as_locked"] is False
    # a receipt of exactly what is locked is not given up for one that is not
    path.write_bytes(receipts.render({**data, "installed": {"as_locked": True, "differences": []}}))
    assert "kept the receipt that is there: it is of what is locked" in fake(validate, "jax").stderr
    assert checked(path)["installed"]["as_locked"] is True


def test_without_a_lock_nothing_is_written(validate: Kgen, project: Path) -> None:
    done = fake(validate, "--no-lock", "jax")
    assert done.status == 0, done.stderr
    assert not list(project.rglob("receipts"))


# -- GPUs that do not exist: made up ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a made-up NVML that shows a GPU, and a libcuda that says it is a stub."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("driver")
    _compile(compiler, folder / "libnvidia-ml.so.1", "nvml.c")
    _compile(compiler, folder / "libcuda.so.1", "cuda.c", "-DINIT=34")
    return folder


def _compile(compiler: str, target: Path, source: str, *arguments: str) -> None:
    words = [compiler, "-shared", "-fPIC", "-w", f"-Wl,-soname,{target.name}", "-o", str(target), str(FAKES / source)]
    subprocess.run([*words, *arguments], check=True)


def test_auto_without_a_gpu_says_so_on_every_line(validate: Kgen, project: Path) -> None:
    lock(project, "jax-cuda12")
    lock(project, "all-cuda12", "jax")
    done = validate("validate", "--python", sys.executable, "jax")
    assert done.status == 0, done.stderr
    assert "jax-cuda12   jax      cpu (no GPU here)  passed" in done.stdout
    assert (project / "locks/jax-cuda12/receipts/cpu.json").exists()


@pytest.mark.parametrize(("environment", "reason"), [("jax-cuda12", "no GPU here"), ("numpy-cpu", "it is for the CPU")])
def test_a_gpu_that_is_asked_for_and_not_there_is_skipped(
    validate: Kgen, project: Path, environment: str, reason: str
) -> None:
    lock(project, "jax-cuda12")
    done = validate("validate", "--device", "gpu", environment)
    assert done.status == 1
    assert f"skipped  {reason}" in done.stdout
    assert not list(project.rglob("receipts"))


def test_a_gpu_that_is_there_and_not_used_is_a_failure(validate: Kgen, project: Path, driver: Path) -> None:
    lock(project, "jax-cuda12")
    done = fake(validate, "jax", LD_LIBRARY_PATH=str(driver))
    assert done.status == 1
    assert "error: jax-cuda12 imports without the device on gpu: JAX computes on cpu:0" in done.stderr
    assert "the libcuda that was found is a stub, made for linking only" in done.stderr
    assert "LD_LIBRARY_PATH is set" in done.stderr
    data = checked(project / "locks/jax-cuda12/receipts/nvidia-made-up-9000.json")
    assert data["device"] == {
        "kind": "gpu", "accelerator": "cuda", "name": "NVIDIA Made-up 9000", "capability": "9.0",
        "driver": "535.183.01",
    }  # fmt: skip
    assert data["verdict"] == "failed"


def test_weights_that_live_elsewhere_are_a_failure(validate: Kgen, project: Path, driver: Path) -> None:
    lock(project, "jax-cuda12")
    done = fake(validate, "jax", LD_LIBRARY_PATH=str(driver), FAKE_JAX_PLATFORM="gpu", FAKE_JAX_WEIGHTS="cpu")
    assert done.status == 1
    assert "jax-cuda12 runs on another device on gpu: the step's arrays were on cpu:0, not on the gpu" in done.stderr


@pytest.mark.parametrize("number", ["91002", "90800", "8907"])
def test_what_was_loaded_is_asked_and_compared(
    validate: Kgen, project: Path, driver: Path, tmp_path: Path, number: str
) -> None:
    """On a made-up GPU, with libraries of NVIDIA's names that answer as NVIDIA's do."""
    compiler = shutil.which("gcc") or shutil.which("cc") or ""
    names = ["libcudnn.so.9", "libcudart.so.12", "libcublas.so.12", "libnccl.so.2", "libnvrtc.so.12"]
    site = tmp_path / "site"
    for name in names:
        place = site / "nvidia" / "lib" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        _compile(compiler, place, "libraries.c", f"-DCUDNN={number}")
    pins = {
        "nvidia-cudnn-cu12": "9.10.2.21", "nvidia-cuda-runtime-cu12": "12.8.90", "nvidia-cublas-cu12": "12.8.4.1",
        "nvidia-nccl-cu12": "2.27.5", "nvidia-cuda-nvrtc-cu12": "12.8.93",
    }  # fmt: skip
    for name, version in pins.items():
        folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText: 1\n")
    lock(project, "jax-cuda12", packages=pins)
    done = fake(
        validate,
        "jax",
        LD_LIBRARY_PATH=str(driver),
        PYTHONPATH=os.pathsep.join((str(FAKES), str(site))),
        FAKE_JAX_PLATFORM="gpu",
        FAKE_LIBRARIES=os.pathsep.join(str(site / "nvidia" / "lib" / name) for name in names),
    )
    data = checked(project / "locks/jax-cuda12/receipts/nvidia-made-up-9000.json")
    (step,) = data["steps"]
    told = {row["name"]: row["version"] for row in step["libraries"]}
    said = {"91002": "9.10.2", "90800": "9.8.0", "8907": "8.9.7"}[number]
    assert told == {"cudnn": said, "cudart": "12.8", "cublas": "12.8.4", "nccl": "2.27.5", "nvrtc": "12.8"}
    assert {row["path"] for row in step["libraries"]} == {f"nvidia/lib/{name}" for name in names}
    assert {row["where"] for row in step["libraries"]} == {"environment"}
    if said == "9.10.2":
        assert done.status == 0, done.stderr
        assert data["installed"]["as_locked"] is True
    else:
        assert done.status == 1
        assert (
            f"jax-cuda12 loads other libraries on gpu: cuDNN {said} was loaded (nvidia/lib/libcudnn.so.9), "
            "and nvidia-cudnn-cu12 is 9.10.2.21"
        ) in done.stderr
        assert step["mismatches"][0]["library"] == "cuDNN"


# -- wrong calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ("numpy-cpi",),
            "there is no locked environment `numpy-cpi` in [TEMP]/project/locks",
            "did you mean `numpy-cpu`?",
        ),
        (("--no-lock", "jax"), "`--no-lock` is for an environment that kgen did not make", "kgen validate --no-lock"),
        (
            ("--python", "/usr/bin/env"),
            "`--python` needs the one environment that it is compared with",
            "kgen validate",
        ),
        (("--python", "/nowhere", "numpy"), "`--python`: there is no interpreter /nowhere", "ls /nowhere"),
        (("--no-lock", "--python", "/usr/bin/env", "jaxx"), "unknown backend `jaxx`", "did you mean `jax`?"),
        (("--timeout", "0"), "`--timeout` is not a number of seconds", "leave it out"),
        (("--device", "tpu"), "unknown device `tpu`", "did you mean `--device gpu`?"),
    ],
)
def test_wrong_calls(validate: Kgen, arguments: tuple[str, ...], message: str, hint: str) -> None:
    done = validate("validate", *arguments)
    assert done.status == 2, done.stderr
    assert f"error: {message}" in done.stderr
    assert hint in done.stderr


def test_a_name_with_several_accelerators(shipped_matrix: CompatibilityMatrix, project: Path) -> None:
    lock(project, "jax-cpu")
    lock(project, "jax-cuda12")
    (target,) = action.targets(project, shipped_matrix, Host("linux-64"), ["jax"])
    assert (target.name, target.skip) == ("jax-cpu", None)
    named, unnamed = (
        action.targets(project, shipped_matrix, Host("linux-64"), names) for names in (["jax-cuda12"], [])
    )
    assert [one.skip for one in named] == [None]
    assert {one.name: one.skip for one in unnamed} == {
        "jax-cpu": None,
        "jax-cuda12": "no GPU here; name it to train on the CPU",
    }


def test_a_project_without_locks(kgen: Kgen) -> None:
    done = kgen("validate")
    assert done.status == 2
    assert done.stderr.endswith("\n\nhint: kgen lock\n")


def test_what_is_no_receipt_is_named(validate: Kgen, project: Path) -> None:
    path = project / "locks" / "numpy-cpu" / "receipts" / "cpu.json"
    path.parent.mkdir()
    path.write_text("{}")
    done = validate("validate", "--list")
    assert done.status == 2
    assert "cpu.json is not a receipt of this version of kgen" in done.stderr


def test_what_is_no_interpreter_is_told(validate: Kgen, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("no program")
    done = validate("validate", "--python", str(tmp_path / "python"), "numpy")
    assert done.status == 4
    assert "cannot be executed: permission denied" in done.stderr


def test_a_library_with_two_owners_is_the_first_cause(validate: Kgen, tmp_path: Path) -> None:
    """Whichever was installed last has won, and the other package is not what it says."""
    place = tmp_path / "env"
    site = place / "lib/python3.11/site-packages"
    for name, digest in (("nvidia_cudnn_cu12-9.10.2.21", "a"), ("nvidia_cudnn_cu13-9.19.0.56", "b")):
        (site / f"{name}.dist-info").mkdir(parents=True)
        (site / f"{name}.dist-info/RECORD").write_text(f"nvidia/cudnn/lib/libcudnn.so.9,sha256={digest},1\n")
    (place / "bin").mkdir()
    (place / "bin/python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (place / "bin/python").chmod(0o755)
    command = within(validate, {"FAKE_KERAS": "compile fails"})
    done = command("validate", "--json", "--python", str(place), "numpy")
    (step,) = json.loads(done.stdout)["environments"][0]["steps"]
    assert step["causes"][0] == (
        "libcudnn.so.9 is of nvidia_cudnn_cu12-9.10.2.21 and nvidia_cudnn_cu13-9.19.0.56, and one of them is broken"
    )
    assert step["hints"][0] == "uninstall these packages, and install the one that is locked"
    good = validate("validate", "--json", "--python", str(place), "numpy")
    assert json.loads(good.stdout)["environments"][0]["steps"][0]["causes"] == []
