"""The full suite: what its parts come to, and its receipts. On real frameworks it is in `test_validate_frameworks`."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.machinery
import importlib.util
import json
import math
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.command import Kgen
from tests.test_validate import checked, fake, validate
from tests.test_validate_judge import SUBJECT, result, seen

from kgen.validation import parts
from kgen.validation.judge import Fault, Outcome, judge
from kgen.validation.program import STEP

__all__ = ["validate"]

FULL = dataclasses.replace(SUBJECT, suite="full")
GOOD: dict[str, Any] = {
    "part": "predict",
    "outcome": "measured",
    "numbers": [{"what": "outputs", "distance": 1e-7, "limit": 1e-6}],
    "seconds": 0.5,
}
CANNOT: dict[str, Any] = {"part": "two-processes", "outcome": "absent", "why": "one device is here", "seconds": 0.1}


def measured(**number: Any) -> dict[str, Any]:  # noqa: ANN401 - as JSON
    return {**GOOD, "part": "recurrent", "numbers": [{"what": "weights", "distance": 1e-7, "limit": 1e-6, **number}]}


def broken(message: str) -> dict[str, Any]:
    return {
        "part": "attention",
        "outcome": "failed",
        "errors": [{"type": "RuntimeError", "message": message}],
        "frames": [],
    }


def test_parts_that_are_near_enough_pass_and_what_is_not_here_is_counted() -> None:
    never = {"part": "attention", "outcome": "contract", "why": "this Keras has no layer MultiHeadAttention"}
    verdict = judge(FULL, seen(result(parts=[GOOD, never, measured(), CANNOT])), {})
    assert verdict.outcome is Outcome.PASSED
    assert verdict.message == ("4 convolutions compiled by inductor; 2 parts passed, 1 not in its contract, 1 not here")
    assert [one.outcome for one in verdict.parts] == ["passed", "contract", "passed", "absent"]
    assert [one.distance for one in verdict.parts] == [1e-7, None, 1e-7, None]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (measured(distance=2e-6), "recurrent: weights are off by 2e-06, and may be by 1e-06"),
        (measured(distance="inf"), "recurrent: weights are off by inf, and may be by 1e-06"),
        (measured(distance="nan"), "recurrent: weights are off by nan, and may be by 1e-06"),
        (
            measured(distance=1e-7, least=1e-4),
            "recurrent: weights are within 1e-07, nearer than what was to be computed can be (0.0001)",
        ),
        ({**GOOD, "numbers": []}, "predict: nothing was measured"),
        (broken("cuDNN has no plan"), "attention: RuntimeError: cuDNN has no plan"),
    ],
)
def test_one_part_that_is_wrong_fails_the_whole(row: dict[str, Any], said: str) -> None:
    verdict = judge(FULL, seen(result(parts=[GOOD, row])), {})
    assert (verdict.outcome, verdict.fault) == (Outcome.FAILED, Fault.PART)
    assert verdict.message == said


class TestWhatReleasesAreKnownToComputeWrongly:
    """Keras Core 0.1.5 with JAX 0.4.13, as it was run: outputs right, weights as before the step."""

    ROW = GOOD | {
        "part": "recurrent",
        "numbers": [
            {"what": "outputs", "distance": 5.1e-8, "limit": 1e-6},
            {"what": "weights", "distance": 0.0268, "limit": 1e-5},
        ],
    }

    def judged(self, row: dict[str, Any], device: str = "cpu", **versions: str) -> parts.Part:
        (part,) = parts.judged({"parts": [row], "versions": versions, "device": {"kind": device}})
        return part

    @pytest.mark.parametrize(
        ("version", "kind", "message"),
        [
            (
                "2.4.4",
                "InvalidArgumentError",
                (
                    "No OpKernel was registered to support Op 'Conv2D' used by {{node model/conv2d/Conv2D}} with these"
                    " attrs: [dilations=[1, 1, 1, 1], T=DT_BFLOAT16, data_format=NHWC]"
                ),
            ),
            ("2.6.5", "InternalError", "Missing 0-th output from node model_2/conv2d_2/Conv2D  [Op:__inference_1870]"),
            (
                "2.8.4",
                "InternalError",
                (
                    "Graph execution error:\n\nDetected at node 'model/conv2d/Conv2D' defined at:\n"
                    "Missing 0-th output from {{node model/conv2d/Conv2D}} [Op:__inference_train_function_400]"
                ),
            ),
        ],
    )
    def test_and_what_they_end_with(self, version: str, kind: str, message: str) -> None:
        row = broken(message) | {"part": "mixed-precision", "errors": [{"type": kind, "message": message}]}
        part = self.judged(row, tensorflow=version, keras="2.6.0")
        assert (part.outcome, part.failure) == ("contract", {})
        assert part.receipt["why"] == "TensorFlow before 2.9 has no convolution in bfloat16 on the CPU"
        assert self.judged(row, tensorflow="2.9.0").outcome == "failed"
        assert self.judged(row, "gpu", tensorflow=version).outcome == "failed"
        assert self.judged({**row, "part": "attention"}, tensorflow=version).outcome == "failed"
        other = {**row, "errors": [{"type": kind, "message": "out of disk"}]}
        assert self.judged(other, tensorflow=version).outcome == "failed"

    @pytest.mark.parametrize("version", ["0.1.0", "0.1.6"])
    def test_is_their_contract_with_its_numbers(self, version: str) -> None:
        part = self.judged(self.ROW, keras_core=version, jax="0.4.13", numpy="1.26.4")
        assert part.outcome == "contract"
        assert part.why.startswith("Keras Core before 0.1.7 does not train recurrent layers on JAX")
        assert part.receipt["numbers"] == self.ROW["numbers"]

    @pytest.mark.parametrize(
        "versions",
        [
            {"keras_core": "0.1.7", "jax": "0.4.13"},
            {"keras_core": "0.1.5", "torch": "2.0.1"},
            {"keras": "3.15.1", "jax": "0.10.2"},
            {"keras_core": "unknown", "jax": "0.4.13"},
            {},
        ],
    )
    def test_and_a_failure_of_any_other(self, versions: dict[str, str]) -> None:
        part = self.judged(self.ROW, **versions)
        assert (part.outcome, part.why) == ("failed", "weights are off by 0.027, and may be by 1e-05")

    def test_hides_nothing_else_that_is_wrong(self) -> None:
        here = {"keras_core": "0.1.5", "jax": "0.4.13"}
        outputs = [{**one, "distance": 0.5} for one in self.ROW["numbers"]]
        assert self.judged({**self.ROW, "numbers": outputs}, **here).outcome == "failed"
        assert self.judged({**self.ROW, "numbers": outputs[:1]}, **here).outcome == "failed"
        assert self.judged({**self.ROW, "numbers": []}, **here).outcome == "failed"
        assert self.judged({**self.ROW, "part": "predict"}, **here).outcome == "failed"
        assert self.judged(GOOD, **here).outcome == "passed"


def test_the_network_itself_comes_first_and_a_full_suite_without_parts_is_none() -> None:
    wrong = judge(FULL, seen(result(losses=[1.0], parts=[GOOD])), {})
    assert wrong.fault is Fault.NUMBERS
    nothing = judge(FULL, seen(result()), {})
    assert (nothing.fault, nothing.message) == (Fault.PART, "the step reported none")
    assert judge(SUBJECT, seen(result()), {}).outcome is Outcome.PASSED


def test_a_part_that_runs_out_of_memory_is_not_a_part_that_is_wrong() -> None:
    message = "CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0 has a total capacity of 139.80 GiB"
    verdict = judge(FULL, seen(result(parts=[broken(message)])), {})
    assert verdict.fault is Fault.MEMORY


def test_a_part_that_ends_the_process_is_named() -> None:
    verdict = judge(FULL, seen({"event": "begin", "stage": "attention"}, status=-11), {})
    assert (verdict.fault, verdict.message) == (Fault.PART, "ended by SIGSEGV in the stage `attention`")


def test_a_receipt_has_of_an_error_its_kind_alone() -> None:
    (part,) = parts.judged({"parts": [broken("cannot open /home/somebody/libcudnn.so")]})
    assert part.receipt == {"part": "attention", "outcome": "failed", "why": "RuntimeError"}
    assert part.why == "RuntimeError: cannot open /home/somebody/libcudnn.so"


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - a module that is not part of kgen
    monkeypatch.syspath_prepend(str(STEP))
    return importlib.import_module("kgen_step.parts")


@pytest.mark.parametrize(
    ("own", "wanted"),
    [({"__version__": "3.15.1"}, "3.15.1"), ({}, "2.15.0")],
    ids=["Keras 3", "what TensorFlow 2.15 has as tensorflow.keras"],
)
def test_the_version_of_keras_is_its_packages_where_it_has_none_itself(
    step: Any,  # noqa: ANN401
    own: dict[str, str],
    wanted: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert step.known()
    package, module = types.ModuleType("made_up_keras"), types.ModuleType("tensorflow.keras")
    vars(package)["__version__"] = "2.15.0"
    monkeypatch.setitem(sys.modules, "made_up_keras", package)
    vars(module).update(own, Model=type("Model", (), {"__module__": "made_up_keras.src.engine.training"}))
    assert importlib.import_module("kgen_step.program")._version_of(module) == wanted


def test_an_error_between_two_stages_is_told_and_one_in_a_stage_once(step: Any, tmp_path: Path) -> None:  # noqa: ANN401
    assert step.known()
    events = importlib.import_module("kgen_step.events").Events(str(tmp_path / "events"))
    inside, between = ValueError("in a stage"), AttributeError("between two")
    with pytest.raises(ValueError, match="in a stage"), events.stage("proof"):
        raise inside
    events.failed(inside)
    events.failed(between)
    told = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [(one["stage"], one["errors"][0]["message"]) for one in told if one["event"] == "failed"] == [
        ("proof", "in a stage"),
        ("end", "between two"),
    ]
    verdict = judge(SUBJECT, seen(told[-1], status=1), {})
    assert (verdict.fault, verdict.message) == (Fault.FAILS, "AttributeError: between two")


def test_a_distance_is_infinite_where_there_is_nothing_to_compare(step: Any) -> None:  # noqa: ANN401
    assert step.number("x", [1.0, 2.0], [1.0, 4.0], 1.0)["distance"] == 2.0
    assert step.number("x", [1.0, 2.0], [1.0, 4.0], 1.0, relative=True)["distance"] == 0.5
    assert math.isinf(step.number("x", [1.0], [1.0, 2.0], 1.0)["distance"])
    assert math.isinf(step.number("x", [math.nan, 1.0], [1.0, 2.0], 1.0)["distance"])


def test_every_part_says_whether_it_trains_and_is_called_as_its_file(step: Any) -> None:  # noqa: ANN401
    found = dict(step.known())
    files = {path.stem for path in (STEP / "kgen_step" / "parts").glob("[!_]*.py")}
    assert {name.replace("-", "_") for name in found} == files
    assert all(isinstance(module.TRAINS, bool) and module.__doc__ for module in found.values())


def test_what_a_keras_cannot_is_told_before_what_is_not_installed(step: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """A part that Keras has nowhere is its contract, and is not tried; one that is missing here alone is absent."""
    program = importlib.import_module("kgen_step.program")
    told: list[Any] = []
    events = types.SimpleNamespace(tell=lambda *_words, **_named: told.append(_named))
    spec = {"device": "cpu", "folder": str(tmp_path)}
    of_keras_2 = types.SimpleNamespace(TRAINS=True, CANNOT=importlib.import_module("kgen_step.backends").TAKES_ARRAYS)
    keras = types.SimpleNamespace(layers=types.SimpleNamespace(), utils=types.SimpleNamespace())

    def outcomes(backend: object) -> dict[str, tuple[str, str]]:
        rows = [
            program._part(name, module, keras=keras, backend=backend, spec=spec, events=events)
            for name, module in step.known()
            if name.startswith(("pipeline-", "two-")) and name != "pipeline-numpy"
        ]
        return {row["part"]: (row["outcome"], row["why"]) for row in rows}

    arrays = "this Keras takes arrays, generators and Sequences alone"
    assert outcomes(of_keras_2) == {
        "pipeline-dataloader": ("contract", "this Keras takes no loader of PyTorch's"),
        "pipeline-sequence": ("contract", "this Keras has neither PyDataset nor Sequence"),
        "pipeline-tf-data": ("contract", arrays),
        "two-processes": ("contract", "this backend joins no processes"),
    }
    for folder in tmp_path.iterdir():
        folder.rmdir()
    found = outcomes(types.SimpleNamespace(TRAINS=True))
    assert found["pipeline-tf-data"] == ("absent", "tensorflow is not installed")
    assert found["pipeline-dataloader"] == ("absent", "torch is not installed")


def test_the_gradient_by_differences_is_that_of_the_formula(step: Any) -> None:  # noqa: ANN401
    """On a function whose gradient is known: the sum of a w^3."""
    gradient = importlib.import_module(step.__name__ + "._gradient")
    weights = [np.array([[0.5, -1.0]]), np.array([2.0])]
    found = gradient._by_differences(lambda values: sum((one**3).sum() for one in values), weights)
    for one, weight in zip(found, weights, strict=True):
        assert np.abs(one - 3 * weight**2).max() < 1e-9


def test_the_layers_in_float64_are_what_they_are_called(step: Any) -> None:  # noqa: ANN401
    """Properties that no wrong formula has: a gate that is shut keeps the state; equal keys give the mean."""
    recurrent = importlib.import_module(step.__name__ + ".recurrent")
    units, features = recurrent._UNITS, recurrent._FEATURES
    shut = np.concatenate([np.full(units, gate) for gate in (-50.0, 50.0, 0.0, 50.0)])
    weights = [np.ones((features, 4 * units)), np.zeros((units, 4 * units)), shut]
    assert np.abs(recurrent._forward(weights, np.ones((2, 3, features)))).max() < 1e-12
    attention = importlib.import_module(step.__name__ + ".attention")
    values = np.arange(2 * 3 * 1 * 2, dtype="float64").reshape((2, 3, 1, 2))
    alike = np.ones_like(values)
    assert np.allclose(attention._attended(values, alike, values), values.mean(axis=1, keepdims=True))


def test_a_step_that_fails_in_every_part_leaves_a_receipt_of_its_own(validate: Kgen, project: Path) -> None:
    """The fake has no layer but those of the network; `predict` and `save` it does not know either."""
    assert fake(validate, "numpy").status == 0
    done = fake(validate, "numpy", "--suite", "full")
    assert done.status == 1
    assert "numpy-cpu fails in a part of the full suite on cpu: pipeline-numpy: AttributeError" in done.stderr
    folder = project / "locks/numpy-cpu/receipts"
    assert checked(folder / "cpu.json")["suite"] == "basic"
    data = checked(folder / "cpu-full.json")
    assert (data["suite"], data["verdict"]) == ("full", "failed")
    rows = {row["part"]: row for row in data["steps"][0]["parts"]}
    assert rows["mixed-precision"] == {
        "part": "mixed-precision", "outcome": "contract", "why": "Keras cannot train on this backend"
    }  # fmt: skip
    assert rows["recurrent"]["outcome"] == rows["attention"]["outcome"] == "contract"
    assert rows["recurrent"]["why"] == "this Keras has no layer LSTM"
    assert rows["predict"]["why"] == "AttributeError"
    listed = validate("validate", "--list").stdout
    assert [line.split()[3] for line in listed.splitlines()[1:]] == ["full", "basic"]
    told = json.loads(fake(validate, "numpy", "--suite", "full", "--json").stdout)["environments"][0]["steps"][0]
    assert {row["part"] for row in told["parts"]} == set(rows)


def test_an_unknown_suite_is_no_suite(validate: Kgen) -> None:
    done = fake(validate, "numpy", "--suite", "fulll")
    assert (done.status, done.stdout) == (2, "")
    assert "unknown suite `fulll`" in done.stderr
    assert "hint: did you mean `--suite full`?" in done.stderr


# -- short cuts --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("step")
def test_a_short_cut_is_taken_unless_it_failed_or_the_user_has_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = importlib.import_module("kgen_step.program")
    backend = importlib.import_module("kgen_step.backends.torch")
    every = {
        "TORCHINDUCTOR_VEC_ISA_OK": "1",
        "TORCHDYNAMO_CAPTURE_SCALAR_OUTPUTS": "1",
        "TORCH_DYNAMO_RUN_GC_AFTER_COMPILE": "0",
    }
    for name in every:
        monkeypatch.delenv(name, raising=False)
    assert program._short_cuts({}, backend) == every
    assert program._short_cuts({"plain": True}, backend) == {}
    for name in [*every]:
        monkeypatch.setenv(name, "0")
        del every[name]
        assert program._short_cuts({}, backend) == every
    assert program._short_cuts({}, importlib.import_module("kgen_step.backends.numpy")) == {}


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize(
    ("error", "taken", "again"),
    [
        ("LoweringException: no float of which the value is not known", True, True),
        ("Unsupported: data dependent operator", True, True),
        ("InvalidCxxCompiler: No working C++ compiler found", True, False),
        ("LoweringException: no float of which the value is not known", False, False),
    ],
)
def test_which_failures_begin_again(monkeypatch: pytest.MonkeyPatch, error: str, *, taken: bool, again: bool) -> None:
    program = importlib.import_module("kgen_step.program")
    backend = importlib.import_module("kgen_step.backends.torch")
    ran: list[Any] = []
    monkeypatch.setattr(program, "_begin_again", lambda *call: ran.append(call))
    monkeypatch.setattr(backend, "watch", list)
    monkeypatch.setattr(backend, "prepare", lambda _: None)
    monkeypatch.setattr(backend, "hasten", lambda: None)

    class Runner:
        model = None

        def step(self, _: int) -> None:
            raise RuntimeError(error)

    with pytest.raises(RuntimeError):
        program._compile(Runner(), backend, {}, {}, backend.SHORT_CUTS if taken else {})
    assert bool(ran) is again


@pytest.mark.usefixtures("step")
def test_a_step_that_failed_with_a_short_cut_begins_again_without_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    program = importlib.import_module("kgen_step.program")
    spec = tmp_path / "spec.json"
    ran: list[Any] = []
    monkeypatch.setattr("sys.argv", ["step", str(spec), "events"])
    monkeypatch.setattr("os.execve", lambda *call: ran.append(call))
    program._begin_again({"backend": "torch"}, {"HOME": "/x"})
    assert json.loads(spec.read_text()) == {"backend": "torch", "plain": True}
    assert ran == [(sys.executable, [sys.executable, "-B", "step", str(spec), "events"], {"HOME": "/x"})]


class Codes:
    """What inductor has for a program of C++: takes a text with an entry `kernel`, and gives the module of it."""

    def __init__(self, folder: Path, refused: str = "\0") -> None:
        self.given: list[tuple[str, dict[str, Any]]] = []
        self._folder = folder
        self._refused = refused

    def load_async(self, code: str, _: str = "cpu", **named: Any) -> Any:  # noqa: ANN401
        def load() -> Any:  # noqa: ANN401
            self.given.append((code, named))
            if self._refused in code:
                message = "C++ compile error"
                raise RuntimeError(message)
            name = f"unit{len(self.given)}"
            source, library = self._folder / f"{name}.cpp", self._folder / f"{name}.so"
            source.write_text(code)
            include = f"-I{sysconfig.get_path('include')}"
            subprocess.run(["g++", "-shared", "-fPIC", include, str(source), "-o", str(library)], check=True)
            loader = importlib.machinery.ExtensionFileLoader("kernel", str(library))
            module = importlib.util.module_from_spec(importlib.util.spec_from_loader("kernel", loader))  # type: ignore[arg-type]
            loader.exec_module(module)
            return module

        return load


def kernel(value: int) -> str:
    """A kernel and its binding as inductor writes them, which gives this number."""
    return f"""#include <cstdlib>
extern "C" void kernel(long* out) {{ *out = {value}; }}
#define PY_SSIZE_T_CLEAN
#include <Python.h>
template <typename T> static inline T parse_arg(PyObject*) {{ return T(0); }}
template <> inline long parse_arg<long>(PyObject* made) {{ return PyLong_AsLong(made); }}
static PyObject* kernel_py(PyObject*, PyObject* added) {{
    long out; kernel(&out); return PyLong_FromLong(out + parse_arg<long>(added)); }}
static PyMethodDef py_methods[] = {{ {{"kernel", kernel_py, METH_O, ""}}, {{NULL, NULL, 0, NULL}} }};
static struct PyModuleDef py_module = {{PyModuleDef_HEAD_INIT, "kernel", NULL, -1, py_methods}};
PyMODINIT_FUNC PyInit_kernel(void) {{ return PyModule_Create(&py_module); }}
"""


def inductor_of(codes: Codes, patch: pytest.MonkeyPatch, **config: Any) -> Any:  # noqa: ANN401
    """kgen's module on inductor, where that is this one; gives (the cache, what is counted)."""

    class Cache:
        @classmethod
        def load_async(cls, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            return codes.load_async(*arguments, **named)

        load_pybinding_async = load_async

    class AsyncCompile:
        cpp_pybinding = True

    settings = types.SimpleNamespace(**{"cpp_cache_precompile_headers": True, "compile_threads": 2, **config})
    package = types.ModuleType("torch._inductor")
    made = {
        "torch": types.ModuleType("torch"),
        "torch._inductor": package,
        "torch._inductor.codecache": types.SimpleNamespace(CppPythonBindingsCodeCache=Cache),
    }
    package.async_compile = types.SimpleNamespace(AsyncCompile=AsyncCompile)  # type: ignore[attr-defined]
    package.config = settings  # type: ignore[attr-defined]
    for name, module in made.items():
        patch.setitem(sys.modules, name, module)
    return Cache, importlib.import_module("kgen_step.inductor").compile_together(), settings


@pytest.mark.usefixtures("step")
def test_kernels_that_wait_for_each_other_are_compiled_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    codes = Codes(tmp_path)
    cache, counted, settings = inductor_of(codes, monkeypatch)
    assert settings.cpp_cache_precompile_headers is False
    forward = [cache.load_async(kernel(value), "cpu", submit_fn=print) for value in (1, 2, 3)]
    assert codes.given == []
    assert [load().kernel(10) for load in [*forward, *forward]] == [11, 12, 13, 11, 12, 13]
    backward = [cache.load_async(kernel(value), "cpu", submit_fn=print) for value in (4, 5)]
    other = cache.load_async(kernel(6), "cpu", submit_fn=print, extra_flags=("-O1",))
    assert [load().kernel(0) for load in (*backward, other)] == [4, 5, 6]
    assert [named for _, named in codes.given] == [{}, {}, {"extra_flags": ("-O1",)}]
    assert (counted.kernels, counted.compilations) == (6, 3)


@pytest.mark.usefixtures("step")
def test_what_cannot_be_compiled_together_is_compiled_one_by_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An error of a kernel's own is raised as without."""
    cache, counted, _ = inductor_of(Codes(tmp_path, "namespace"), monkeypatch)
    loads = [cache.load_async(kernel(value), "cpu") for value in (1, 2)]
    assert [load().kernel(0) for load in loads] == [1, 2]
    assert (counted.kernels, counted.compilations) == (2, 2)
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(STEP))
    cache, _, _ = inductor_of(Codes(tmp_path, "Python.h"), monkeypatch)
    with pytest.raises(RuntimeError, match="C\\+\\+ compile error"):
        cache.load_async(kernel(1), "cpu")()


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize("case", ["one thread", "threads untold", "no openssl", "another inductor", "no torch"])
def test_where_kernels_are_left_to_pytorch(case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PyTorch reads its header with openssl before it compiles it: without, a user's own training fails."""
    if case == "no openssl":
        monkeypatch.setenv("PATH", str(tmp_path))
    if case == "no torch":
        monkeypatch.setitem(sys.modules, "torch._inductor", None)
        assert importlib.import_module("kgen_step.inductor").compile_together() is None
        return
    if case == "another inductor":
        monkeypatch.setattr("kgen_step.inductor.ExtensionFileLoader", None)
        monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
        monkeypatch.setitem(sys.modules, "torch._inductor", types.ModuleType("torch._inductor"))
        assert importlib.import_module("kgen_step.inductor").compile_together() is None
        return
    threads = {"one thread": 1, "threads untold": None}.get(case, 8)
    _, counted, settings = inductor_of(Codes(tmp_path), monkeypatch, compile_threads=threads)
    assert counted is None
    assert settings.cpp_cache_precompile_headers is True


# -- what the step holds -----------------------------------------------------------------------------------------------


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for sockets below it, as pytest's own do not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def settle(folder: Path, variables: Mapping[str, str]) -> Mapping[str, str]:
    """What a step for PyTorch on the CPU holds, in this folder and with these variables."""
    program = importlib.import_module("kgen_step.program")
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", "/what/a/.pth/file/found/before")
        patch.setattr("os.environ", dict(variables))
        program._settle({"folder": str(folder)})
        importlib.import_module("kgen_step.backends.torch").hold(os.environ, "cpu", str(folder))
        held = dict(program._held(dict(variables), str(folder)))
        assert ("TMPDIR" in held) == (Path(tempfile.gettempdir()) == folder / "tmp")
        return held


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize("given", [{}, {"TMPDIR": "/"}, {"TMPDIR": "/tmp"}], ids=["none", "root", "above"])  # noqa: S108 - a value
def test_temporary_files_are_the_runs_own_with_what_is_cached_among_them(short: Path, given: dict[str, str]) -> None:
    held = settle(short, given)
    assert held["TMPDIR"] == "$FOLDER/tmp"
    assert "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS" not in held
    assert settle(short, given) == held  # where it begins again, the folder is there


@pytest.mark.usefixtures("step")
def test_the_longest_folder_that_takes_temporary_files_has_room_for_a_socket(short: Path) -> None:
    longest = short / ("x" * (75 - len(f"{short}//tmp")))
    assert settle(longest, {})["TMPDIR"] == "$FOLDER/tmp"
    # as multiprocessing calls its own
    place = longest / "tmp" / "pymp-12345678" / "listener-12345678"
    place.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
    held = settle(longest.with_name(longest.name + "x"), {})
    assert "TMPDIR" not in held
    assert held["TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS"] == "0"


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ("--a", "--a --dump=/f/x", "$XLA_FLAGS --dump=$FOLDER/x"),
        (" --a ", "--a  --dump=/f/x", "$XLA_FLAGS  --dump=$FOLDER/x"),
        (" --a", " --a --dump=/f/x", "$XLA_FLAGS --dump=$FOLDER/x"),
        ("/", "/f/x", "$FOLDER/x"),
        ("", "--dump=/f/x", "--dump=$FOLDER/x"),
    ],
    ids=["appended", "stripped", "with a space", "replaced", "empty"],
)
def test_what_is_held_is_told_without_what_is_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, before: str, now: str, told: str
) -> None:
    monkeypatch.setattr("os.environ", {"XLA_FLAGS": now, "HOME": "/f"})
    assert importlib.import_module("kgen_step.program")._held({"XLA_FLAGS": before, "HOME": "/f"}, "/f") == {
        "XLA_FLAGS": told
    }


@pytest.mark.usefixtures("step")
def test_of_an_endless_message_the_beginning_and_the_end_are_kept() -> None:
    events = importlib.import_module("kgen_step.events")
    message = "C++ compile error\n" + "warning\n" * 5000 + "fatal error: No space left on device"
    (kept,) = events.failure(RuntimeError(message))["errors"]
    assert kept["message"].startswith("C++ compile error\nwarning\n")
    assert kept["message"].endswith("warning\nfatal error: No space left on device")
    assert len(kept["message"]) <= 4000
    (whole,) = events.failure(RuntimeError("x" * 4000))["errors"]
    assert whole["message"] == "x" * 4000
