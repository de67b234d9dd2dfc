"""The judge on what runs on GPUs have told.

A result that passes is one that was recorded on an H200 (`tests/data/gpu`), and so are the causes of
`TestCausesOfAnH200`. What went wrong on other GPUs is made up from the messages of sources and issue threads.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import types
from pathlib import Path
from typing import Any

import pytest

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.validation import pins, reference, variables
from kgen.validation.judge import Fault, Outcome, judge
from kgen.validation.observation import Observation, Subject, read_events
from kgen.validation.program import STEP

SUBJECT = Subject(
    name="torch-cuda13", backend="torch", device="gpu", interpreter=Path("python"), variables={}, timeout=9.0
)
RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "gpu" / "exact-torch-cuda13.json").read_text(encoding="utf-8")
)
GPU: dict[str, Any] = RECORDED["steps"][0]["placed"]


def result(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - as JSON
    """The result of PyTorch on an H200, but for the weights, which no receipt has: here they are the reference's."""
    (step,) = RECORDED["steps"]
    kept = ("contract", "step", "backend", "python", "proof", "losses", "versions", "built", "held", "seconds")
    device = {key: RECORDED["device"][key] for key in ("kind", "name", "capability")}
    return {
        **{key: step[key] for key in kept}, "event": "result", "device": {**device, "placed": GPU}, "libraries": [],
        "weights": reference.load()["weights"], **changes,
    }  # fmt: skip


def seen(*events: dict[str, Any], status: int | None = 0, output: str = "", **started: str) -> Observation:
    begin: tuple[dict[str, Any], ...] = (
        {"event": "begin", "stage": "start"},
        {"event": "started", "watched": started},
        {"event": "installed", "installed": {}},
        {"event": "end", "stage": "start"},
    )
    return Observation(events=(*begin, *events), status=status, output=output, seconds=1.0)


def failed(stage: str, message: str, kind: str | None = None, **facts: Any) -> dict[str, Any]:  # noqa: ANN401
    error = {"type": "RuntimeError", "message": message}
    return {"event": "failed", "stage": stage, "kind": kind, "errors": [error], "facts": facts}


def test_a_gpu_result_that_follows_the_reference_passes() -> None:
    verdict = judge(SUBJECT, seen(result()), {})
    assert verdict.outcome is Outcome.PASSED
    assert verdict.message == "4 convolutions compiled by inductor"


def test_another_accelerator_than_the_environment_is_for_is_a_failure() -> None:
    """All of them are called `gpu` somewhere: what the framework itself calls them decides."""
    device = {**result()["device"], "accelerator": "cuda"}
    amd = dataclasses.replace(SUBJECT, accelerator="rocm")
    verdict = judge(amd, seen(result(device=device)), {})
    assert (verdict.outcome, verdict.fault) == (Outcome.FAILED, Fault.ELSEWHERE)
    assert verdict.message == "the step ran on cuda, and this environment is for rocm"
    assert judge(amd, seen(result(device={**device, "accelerator": "rocm"})), {}).outcome is Outcome.PASSED
    # a framework that does not tell is judged by the rest
    assert judge(amd, seen(result()), {}).outcome is Outcome.PASSED


@pytest.mark.parametrize("asked", ["cuda", "rocm", "tpu", "metal", "xpu"])
@pytest.mark.parametrize("found", ["cuda", "rocm", "tpu", "metal", "xpu"])
def test_each_kind_of_device_is_asserted_as_its_own(asked: str, found: str) -> None:
    device = {**result()["device"], "accelerator": found}
    verdict = judge(dataclasses.replace(SUBJECT, accelerator=asked), seen(result(device=device)), {})
    if asked == found:
        assert verdict.outcome is Outcome.PASSED
    else:
        assert (verdict.outcome, verdict.fault) == (Outcome.FAILED, Fault.ELSEWHERE)
        assert verdict.message == f"the step ran on {found}, and this environment is for {asked}"


@pytest.mark.parametrize(
    ("platform", "version", "kind", "accelerator"),
    [
        ("cpu", "", "cpu", "cpu"),
        ("gpu", "PJRT C API\ncuda 13000", "gpu", "cuda"),
        ("gpu", "PJRT C API\nrocm 70002", "gpu", "rocm"),
        ("gpu", "PJRT C API", "gpu", None),
        ("gpu", "", "gpu", None),
        ("cuda", "", "gpu", "cuda"),
        ("rocm", "", "gpu", "rocm"),
        ("tpu", "", "gpu", "tpu"),
        ("METAL", "", "gpu", "metal"),
        ("interpreter", "", "interpreter", "interpreter"),
    ],
)
def test_how_jax_calls_a_device(
    monkeypatch: pytest.MonkeyPatch, platform: str, version: str, kind: str, accelerator: str | None
) -> None:
    """What is no CPU is not therefore an accelerator; which one it is, its own name says."""
    monkeypatch.syspath_prepend(str(STEP))
    module = importlib.import_module("kgen_step.backends.jax")
    device = types.SimpleNamespace(platform=platform, client=types.SimpleNamespace(platform_version=version), id=0)
    assert (module._kind(device), module._accelerator(device)) == (kind, accelerator)
    assert module.places(types.SimpleNamespace(devices=lambda: [device])) == [f"{kind}:0"]


def test_a_training_before_compilation_was_switched_on_counts_too() -> None:
    """Who trains without XLA must get the right numbers too; the distance is that of the farther of both."""
    plain = result(proof={"compiler": "xla", "convolutions": 5})
    also = {"contract": "training", "losses": plain["losses"], "weights": plain["weights"]}
    good = judge(SUBJECT, seen({**plain, "uncompiled": also}), {})
    assert good.outcome is Outcome.PASSED
    assert good.message == "5 convolutions compiled by xla; the same uncompiled"
    astray = [loss * 1.01 for loss in plain["losses"]]
    bad = judge(SUBJECT, seen({**plain, "uncompiled": {**also, "losses": astray}}), {})
    assert bad.fault is Fault.NUMBERS
    assert bad.distance is not None
    assert bad.distance.losses == pytest.approx(0.01, abs=1e-6)  # what was recorded is itself off by 4e-7
    assert f"losses are off by 0.01 and weights by 0 uncompiled: {astray[0]:.6g}, " in bad.message
    other = judge(SUBJECT, seen({**plain, "losses": astray, "uncompiled": also}), {})
    assert other.fault is Fault.NUMBERS
    assert "losses are off by 0.01 and weights by 0: " in other.message


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"device": {"placed": {**GPU, "weights": ["cpu:0"]}}}, Fault.ELSEWHERE),
        ({"device": {"placed": {**GPU, "outputs": ["cpu:0"]}}}, Fault.ELSEWHERE),
        ({"device": {"placed": {}}}, Fault.ELSEWHERE),
        ({"proof": {"compiler": "xla", "convolutions": 5, "target": "cpu"}}, Fault.ELSEWHERE),
        ({"proof": {"compiler": "inductor", "convolutions": 0, "instead": "no graph"}}, Fault.NOT_COMPILED),
        ({"losses": [value * 1.0002 for value in reference.load()["losses"]]}, Fault.NUMBERS),
        ({"losses": reference.load()["losses"][:-1]}, Fault.NUMBERS),
        ({"losses": [*reference.load()["losses"][:-1], "nan"]}, Fault.NOT_FINITE),
        ({"losses": [*reference.load()["losses"][:-1], "inf"]}, Fault.NOT_FINITE),
        ({"weights": {**reference.load()["weights"], "output/bias": ["-inf"] * 10}}, Fault.NOT_FINITE),
        ({"contract": "forward", "outputs": [["nan"] * 10] * 8}, Fault.NOT_FINITE),
        ({"weights": {}}, Fault.NUMBERS),
    ],
)
def test_what_is_no_pass(changes: dict[str, Any], fault: Fault) -> None:
    verdict = judge(SUBJECT, seen(result(**changes)), {})
    assert (verdict.outcome, verdict.fault) == (Outcome.FAILED, fault)


def test_the_first_number_that_is_none_is_named() -> None:
    losses = reference.load()["losses"]
    verdict = judge(SUBJECT, seen(result(losses=[*losses[:2], "inf", *["nan"] * 3])), {})
    assert verdict.message == f"the loss of step 3 is inf; the reference has {losses[2]:.6g}"
    weights = {**reference.load()["weights"], "output/bias": ["nan"] * 10}
    assert judge(SUBJECT, seen(result(weights=weights)), {}).message == (
        "`output/bias` has nan in it, where the reference has a number"
    )


def test_a_loss_handed_back_in_the_hosts_memory_is_right_for_a_gpu_program() -> None:
    changes = {
        "device": {"placed": {**GPU, "outputs": ["cpu:0"]}},
        "proof": {"compiler": "xla", "convolutions": 5, "target": "gpu"},
    }
    assert judge(SUBJECT, seen(result(**changes)), {}).outcome is Outcome.PASSED


_GPU_FULL, _HOST_FULL = "the GPU's memory was full", "this machine's own memory was full"


@pytest.mark.parametrize(
    ("kind", "message", "cause"),
    [
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 MiB.", _GPU_FULL),
        ("OutOfMemoryError", "HIP out of memory. Tried to allocate 2.00 MiB.", _GPU_FULL),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 1 GB)", _GPU_FULL),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", _GPU_FULL),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", _GPU_FULL),
        ("RuntimeError", "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)", _GPU_FULL),
        ("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.", _GPU_FULL),
        ("XlaRuntimeError", "RESOURCE_EXHAUSTED: Failed to allocate request for 2.0GiB (2147483648B)", _GPU_FULL),
        ("XlaRuntimeError", "INTERNAL: Failed to allocate 4194304 bytes for new constant", _GPU_FULL),
        (
            "ResourceExhaustedError",
            "OOM when allocating tensor with shape[8,8] on /device:GPU:0 by allocator GPU_0_bfc [Op:Mul]",
            _GPU_FULL,
        ),
        ("ResourceExhaustedError", "{{function_node __wrapped}} failed to allocate memory [Op:Mul]", _GPU_FULL),
        (
            "ResourceExhaustedError",
            "OOM when allocating tensor with shape[8,8] on /device:CPU:0 by allocator mklcpu [Op:Mul]",
            _HOST_FULL,
        ),
        (
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory",
            _HOST_FULL,
        ),
        ("RuntimeError", "std::bad_alloc", _HOST_FULL),
        ("MemoryError", "", _HOST_FULL),
        ("numpy._core._exceptions._ArrayMemoryError", "Unable to allocate 7.45 GiB for an array", _HOST_FULL),
        ("OSError", "[Errno 12] Cannot allocate memory", _HOST_FULL),
    ],
)
def test_memory_that_is_full_is_a_class_of_its_own_whoever_says_it(kind: str, message: str, cause: str) -> None:
    event = {**failed("compile", ""), "errors": [{"type": kind, "message": message}]}
    verdict = judge(SUBJECT, seen(event, status=1), {})
    assert (verdict.fault, verdict.diagnosis.causes) == (Fault.MEMORY, (cause,))


@pytest.mark.parametrize(
    "message", ["the model has MemoryErrors layers", "failed to allocate a name", "CUDNN_STATUS_BAD_PARAM"]
)
def test_what_only_resembles_that_is_none(message: str) -> None:
    assert judge(SUBJECT, seen(failed("compile", message), status=1), {}).fault is Fault.FAILS


@pytest.mark.parametrize(
    ("event", "output", "fault", "cause"),
    [
        (
            failed(
                "device",
                "PyTorch sees no GPU",
                "no-device",
                reasons=["The NVIDIA driver on your system is too old (found version 11040)."],
                driver={"loaded": True, "init": 0, "devices": 1, "stub": False},
            ),
            "",
            Fault.NO_DEVICE,
            "the NVIDIA driver is too old for this environment's CUDA",
        ),
        (
            failed("device", "TensorFlow sees no GPU", "no-device"),
            "W gpu_device.cc:2342] Cannot dlopen some GPU libraries. Please make sure the missing libraries …",
            Fault.NO_DEVICE,
            "TensorFlow could not load some of its GPU libraries; it does not say which",
        ),
        (
            failed("device", "JAX computes on cpu:0", "no-device", driver={"loaded": False, "error": "no such file"}),
            "",
            Fault.NO_DEVICE,
            "the driver's library libcuda.so.1 cannot be loaded",
        ),
        (
            failed("device", "JAX computes on cpu:0", "no-device", driver={"loaded": True, "init": 803}),
            "",
            Fault.NO_DEVICE,
            "the driver's kernel module and its libraries are of different versions (cuInit: 803)",
        ),
        (
            failed("compile", "FAILED_PRECONDITION: DNN library initialization failed."),
            "E cuda_dnn.cc:456] Loaded runtime CuDNN library: 9.1.0 but source was compiled with: 9.8.0.",
            Fault.FAILS,
            "cuDNN 9.1.0 was loaded, and the framework was built with 9.8.0",
        ),
        (
            failed("compile", "CUDA error: no kernel image is available for execution on the device"),
            "",
            Fault.FAILS,
            "this build has no code for this GPU's architecture",
        ),
        (
            failed("import", "libcudnn.so.9: cannot open shared object file: No such file or directory"),
            "",
            Fault.IMPORT,
            "libcudnn.so.9 is not there",
        ),
        (
            failed("compile", "RESOURCE_EXHAUSTED: CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
            "",
            Fault.MEMORY,
            "the GPU's memory was full",
        ),
        (
            failed("compile", "OSError: /tmp/k/inductor/wz/c.main.so: failed to map segment from shared object."),
            "",
            Fault.FAILS,
            "what was compiled may not be loaded from the folder for temporary files, which is mounted noexec",
        ),
        (
            failed("compile", "C++ compile error\n\nOutput:\nfatal error: when writing: No space left on device"),
            "",
            Fault.FAILS,
            "a disk was full, or a quota used up",
        ),
        (
            failed("compile", "RuntimeError: Python 3.11+ not yet supported for torch.compile"),
            "",
            Fault.FAILS,
            "this PyTorch compiles on a Python older than 3.11 only; what is not compiled trains on this one too",
        ),
    ],
)
def test_what_failures_mean(event: dict[str, Any], output: str, fault: Fault, cause: str) -> None:
    verdict = judge(SUBJECT, seen(event, status=1, output=output), {})
    assert verdict.fault is fault
    assert cause in verdict.diagnosis.causes
    assert verdict.diagnosis.hints


def test_a_variable_that_hides_the_gpu_is_named() -> None:
    event = failed("device", "PyTorch sees no GPU", "no-device")
    verdict = judge(SUBJECT, seen(event, status=1, CUDA_VISIBLE_DEVICES="-1"), {})
    assert "CUDA_VISIBLE_DEVICES=-1 hides every GPU" in verdict.diagnosis.causes
    assert "unset CUDA_VISIBLE_DEVICES" in verdict.diagnosis.hints


def test_a_library_from_the_system_is_told_and_no_fault() -> None:
    """Where no package provides it: an environment that kgen did not make."""
    row = {"name": "cudnn", "file": "libcudnn.so.9", "where": "system", "path": "/usr/lib/libcudnn.so.9", "stub": False}
    verdict = judge(SUBJECT, seen(result(libraries=[{**row, "version": "9.1.0"}])), {"nvidia-cudnn-cu13": "9.10.2.21"})
    assert verdict.outcome is Outcome.PASSED
    assert [(one.title, one.loaded, one.judged) for one in verdict.mismatches] == [("cuDNN", "9.1.0", False)]


@pytest.mark.parametrize("stage", ["import", "device", "compile", "steps", "libraries"])
def test_a_process_that_was_ended_is_told_apart_by_its_last_stage(stage: str) -> None:
    begin = {"event": "begin", "stage": stage}
    killed = judge(SUBJECT, seen(begin, status=-9), {})
    assert killed.message == f"ended by SIGKILL in the stage `{stage}`"
    late = judge(SUBJECT, seen(begin, status=None), {})
    assert late.message == f"did not end within 9 s; it was in the stage `{stage}`"
    assert killed.fault is late.fault


def test_what_a_framework_printed_cannot_steer_a_terminal() -> None:
    verdict = judge(SUBJECT, seen(failed("compile", "error \x1b[2J\x07"), status=1, output="\x1b]0;error\x07\n"), {})
    assert verdict.diagnosis.quotes
    assert all(line.isprintable() for line in verdict.diagnosis.quotes)


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({"event": "begin", "stage": "import"}) + '\n{"event": "en')
    assert [event["event"] for event in read_events(path)] == ["begin"]


H200 = {"LD_LIBRARY_PATH": "/usr/lib/x86_64-linux-gnu", "PYTHONPATH": "/opt/brought"}
"""What that machine sets: the driver's folder, as most containers with a GPU do, and Keras in a folder of its own."""


class TestCausesOfAnH200:
    """What an H200 answered (driver 580.159.04, torch 2.11.0, jax 0.11.2): only what mattered is a cause."""

    def causes(self, event: dict[str, Any], status: int | None = 1, output: str = "", **more: str) -> tuple[str, ...]:
        return judge(SUBJECT, seen(event, status=status, output=output, **{**H200, **more}), {}).diagnosis.causes

    def test_a_hidden_gpu(self) -> None:
        driver = {"loaded": True, "init": 100, "devices": None, "stub": False}
        reasons = ["No CUDA GPUs are available"]
        event = failed("device", "PyTorch sees no GPU", "no-device", reasons=reasons, driver=driver)
        assert self.causes(event, CUDA_VISIBLE_DEVICES="") == (
            "the driver sees no GPU (cuInit: 100)", "CUDA_VISIBLE_DEVICES= hides every GPU",
        )  # fmt: skip

    def test_jax_kept_on_the_cpu(self) -> None:
        event = failed("device", "JAX computes on cpu:0", "no-device", reasons=["JAX_PLATFORMS is cpu"])
        assert self.causes(event, JAX_PLATFORMS="cpu") == ("JAX_PLATFORMS=cpu keeps JAX on the CPU",)

    def test_a_timeout(self) -> None:
        assert self.causes({"event": "begin", "stage": "compile"}, status=None) == ()

    def test_a_full_gpu_is_a_failure_of_its_own(self) -> None:
        text = "CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0 has a total capacity of 139.80 GiB " + "x" * 500
        verdict = judge(SUBJECT, seen(failed("compile", text), status=1, **H200), {})
        assert verdict.fault is Fault.MEMORY
        assert verdict.diagnosis.causes == ("the GPU's memory was full",)
        assert verdict.message.endswith("…")
        assert len(verdict.message) < 300
        assert verdict.whole == (f"RuntimeError: {text}",)

    def test_a_stub(self) -> None:
        driver = {"loaded": True, "init": 34, "devices": None, "stub": True}
        event = failed("device", "PyTorch sees no GPU", "no-device", driver=driver)
        assert self.causes(event, LD_LIBRARY_PATH="/opt/stub:/usr/lib/x86_64-linux-gnu") == (
            "the libcuda that was found is a stub, made for linking only",
            "LD_LIBRARY_PATH is set, and goes before the environment's own libraries",
        )

    def test_a_library_from_there_is_a_cause(self) -> None:
        event = failed("import", "/usr/lib/x86_64-linux-gnu/libcudnn.so.9: undefined symbol: cudnnFoo")
        assert self.causes(event)[-1] == "LD_LIBRARY_PATH is set, and goes before the environment's own libraries"

    @pytest.mark.parametrize(
        ("output", "causes"),
        [
            ("ptxas fatal: unsupported version: /opt/cuda-11.2/bin/ptxas", ("CUDA_HOME", "PATH")),
            ("Can't find libdevice, looked in /opt/cuda-11.2/nvvm/libdevice/libdevice.10.bc", ("CUDA_HOME",)),
            ("ptxas fatal: /usr/lib/python3/nvidia/cuda_nvcc/bin/ptxas died", ()),
            ("/mnt/opt/cuda-11.2/bin/ptxas", ()),
            ("CUDA_ERROR_ILLEGAL_ADDRESS", ()),
        ],
    )
    def test_a_toolkit_is_a_cause_where_something_of_it_was_taken(self, output: str, causes: tuple[str, ...]) -> None:
        """Whoever has a toolkit has it on PATH and in CUDA_HOME; most frameworks bring their own ptxas."""
        event = failed("compile", "INTERNAL: the compiler failed")
        variables = {"CUDA_HOME": "/opt/cuda-11.2/", "PATH": "/usr/bin:/opt/cuda-11.2/bin:"}
        verdict = judge(SUBJECT, seen(event, status=1, output=output, **{**H200, **variables}), {})
        named = [one.partition(" ")[0] for one in verdict.diagnosis.causes if "another toolkit" in one]
        assert tuple(named) == causes
        assert "unset PATH" not in verdict.diagnosis.hints

    def test_a_module_from_pythonpath_is_a_cause(self) -> None:
        event = failed("import", "cannot import name 'ops' from 'keras' (/opt/brought/keras/__init__.py)")
        assert "PYTHONPATH is set, and goes before what is installed in the environment" in self.causes(event)


def test_what_a_proof_depends_on_is_told_by_name_and_the_rest_is_a_count() -> None:
    """Of an H200 with the wheels of NVIDIA and PyTorch, and other pure Python than was locked."""
    found = pins.differences(
        {"filelock": "4.3.1", "fsspec": "2026.9.0", "nvidia-cudnn-cu13": "9.26.0.51", "torch": "2.15.0"},
        {"filelock": "3.32.5", "fsspec": "2026.7.0", "nvidia-cudnn-cu13": "9.19.0.56", "torch": "2.11.0"},
    )
    telling, others = pins.telling(found, {"torch", "keras"})
    assert [one.package for one in telling] == ["torch", "nvidia-cudnn-cu13"]
    assert others == 2


@pytest.mark.parametrize("value", ["", " ", "-1", "-1,0", "NoDevFiles", "all", "none"])
@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"])
def test_what_hides_every_device(name: str, value: str) -> None:
    event = {
        "event": "failed", "stage": "device", "kind": "no-device", "facts": {}, "frames": [],
        "errors": [{"type": "Refused", "message": "PyTorch sees no GPU"}],
    }  # fmt: skip
    verdict = judge(SUBJECT, seen(event, status=1, **{name: value}), {})
    assert verdict.diagnosis.causes[0] == f"{name}={value} hides every GPU"
    assert f"unset {name}" in verdict.diagnosis.hints
    assert not judge(SUBJECT, seen(event, status=1, **{name: "1"}), {}).diagnosis.causes


@pytest.mark.parametrize(
    ("value", "twice"),
    [("0,0", True), ("00,0", True), ("2, +01,1", True), ("10,1,0", False), ("100,00", False)],
)
def test_a_number_is_the_same_however_it_is_written(value: str, *, twice: bool) -> None:
    (row,) = (one for one in variables.of("CUDA_VISIBLE_DEVICES") if "twice" in one.says)
    assert row.fits({"CUDA_VISIBLE_DEVICES": value}) is twice


@pytest.mark.parametrize(
    ("locked", "hints"),
    [
        ({"torch": "2.11.0"}, ["kgen sync torch-cuda12"]),
        ({}, ["python -m pip check   # with this Python: it names what is missing or does not fit"]),
    ],
    ids=["locked", "of no lock"],
)
@pytest.mark.parametrize("set_to", [None, "/usr/lib/driver:/opt/cuda"])
def test_no_hint_takes_the_drivers_folder_away_or_syncs_what_is_not_locked(
    locked: dict[str, str], hints: list[str], set_to: str | None
) -> None:
    event: dict[str, Any] = {
        "event": "failed", "stage": "import", "kind": None, "facts": {}, "frames": [],
        "errors": [{"type": "ImportError", "message": "libtorch_cuda.so: undefined symbol: ncclCommResume"}],
    }  # fmt: skip
    watched = {} if set_to is None else {"LD_LIBRARY_PATH": set_to}
    verdict = judge(dataclasses.replace(SUBJECT, name="torch-cuda12"), seen(event, status=1, **watched), locked)
    wanted = list(hints)
    if set_to is not None:
        entry = "take out the entry that leads to another library; `kgen doctor` names it"
        wanted.append(f"echo \"$LD_LIBRARY_PATH\" | tr : '\\n'   # {entry}")
    assert list(verdict.diagnosis.hints) == wanted


def test_the_step_watches_every_variable_of_the_table(
    monkeypatch: pytest.MonkeyPatch, shipped_matrix: CompatibilityMatrix
) -> None:
    monkeypatch.syspath_prepend(str(STEP))
    names = ["jax", "torch", "tensorflow"]
    watched = {name for one in names for name in importlib.import_module(f"kgen_step.backends.{one}").WATCHED}
    watched |= set(importlib.import_module("kgen_step.libraries").WATCHED)
    # and those that choose devices of the kind that an environment is for, of which each has a row
    choosing = {name for kind in shipped_matrix.accelerators.values() for name in kind.hiding}
    assert choosing <= {row.name for row in variables.known()}
    watched |= choosing
    assert {row.name for row in variables.known()} - watched == set()
