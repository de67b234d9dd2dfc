"""`kgen compare`: a training that knows nothing of kgen, watched, timed, and compared; a fake Keras trains."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.command import Kgen, Result
from tests.test_validate import lock, put_on_disk

from kgen import host
from kgen.accelerators import Devices, Gpu
from kgen.actions.compare import Lent
from kgen.actions.validate import ValidationTarget
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.validation import observation, program
from kgen.validation.comparison import TOLERANCE, Training, distance, judge, read, summarise, warmup

GPU = Gpu("NVIDIA H200", "9.0", 1)
FAKES = Path(__file__).parent / "fakes" / "training"
TRAIN = """
import numpy, sys
import keras
model = keras.Model({size})
model.fit(numpy.zeros((320, 2)), batch_size=32, epochs=2, shuffle=False)
print("trained", keras.backend.backend())
"""


def enter(project: Path, name: str) -> None:
    """An environment on disk, with what enters it."""
    put_on_disk(project, name)
    prefix = project / ".kgen/envs" / name
    (prefix / "share/kgen/run.sh").write_text(f"export KERAS_BACKEND={name.partition('-')[0]}\n" + 'exec "$@"\n')


@pytest.fixture
def compare(kgen: Kgen, project: Path) -> Kgen:
    """`kgen` in a project with three environments on disk, and a fake Keras on the path of each."""
    for name in ("jax-cpu", "torch-cpu", "tensorflow-cpu"):
        lock(project, name)
        enter(project, name)
    (project / "train.py").write_text(TRAIN.format(size=4))
    return dataclasses.replace(kgen, environment={**kgen.environment, "PYTHONPATH": str(FAKES)})


def run(command: Kgen, *words: str, program: tuple[str, ...] = ("python", "train.py"), **variables: str) -> Result:
    return dataclasses.replace(command, environment=command.env(**variables))("compare", *words, "--", *program)


def data(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# -- several at once ---------------------------------------------------------------------------------------------------

OVERLAP = """
import os, pathlib, time
place = pathlib.Path("at")
began = time.time()
{train}
(place / f"{{began}}").write_text(str(time.time()))
"""


def test_on_one_processor_they_train_one_after_the_other(compare: Kgen, project: Path) -> None:
    (project / "at").mkdir()
    (project / "train.py").write_text(OVERLAP.format(train=TRAIN.format(size=4)))
    done = run(compare, "--jobs", "3", "--same-start", "--json")
    assert done.status == 0, done.stderr
    found = data(done)
    assert found["agree"] is True
    assert len(found["environments"]) == 3
    spans = sorted((float(path.name), float(path.read_text())) for path in (project / "at").iterdir())
    assert len(spans) == 3
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


def test_each_gets_a_gpu_of_its_own(matrix: CompatibilityMatrix) -> None:
    machine = host.inspect()._replace(devices={"cuda": Devices(gpus=(GPU, GPU))})
    target = ValidationTarget(name="jax-cuda12", locked=None, backends=("jax",), device="gpu", kind="cuda")
    lent = Lent(matrix, machine, several=True)
    with lent.device(target) as first, lent.device(target) as second:
        assert {one.variables["CUDA_VISIBLE_DEVICES"] for one in (first, second)} == {"0", "1"}
    alone = Lent(matrix, machine, several=False)
    with alone.device(target) as seat:
        assert seat.variables == {}


# -- the command -------------------------------------------------------------------------------------------------------


def test_an_unchanged_training_is_measured(compare: Kgen) -> None:
    found = data(run(compare, "jax", "torch", "--json", FAKE_STEP_JAX="0.02", FAKE_STEP_TORCH="0.1"))
    assert [one["environment"] for one in found["environments"]] == ["jax-cpu", "torch-cpu"]
    for one, step in zip(found["environments"], (0.02, 0.1), strict=True):
        assert one["failed"] is None
        (only,) = one["runs"]
        assert (only["fits"], len(only["steps"]), only["batch"], only["parameters"]) == (1, 20, 32, 4)
        assert 1 <= only["warmup"] <= 3
        assert only["steps"] == pytest.approx([step * 20, *[step] * 19])
        assert one["summary"]["step"] == pytest.approx(step)
        assert one["summary"]["compile"] == pytest.approx(step * 19)
        assert one["summary"]["rate"] == pytest.approx(32 / one["summary"]["step"])
        assert one["summary"]["host"] > 1 << 20
        assert one["summary"]["device"] is None
        assert only["first"] > only["steps"][0]
        assert only["final"]["accuracy"] == 0.5
    assert found["fastest"] == "jax-cpu"
    assert found["rivals"][0]["name"] == "torch-cpu"
    assert found["rivals"][0]["noise"] is False
    assert found["rivals"][0]["slower"] == pytest.approx(4)
    assert found["agree"] is None


MODEL = """
import numpy, sys
import keras

def build():
    return keras.Model(4), {"x": numpy.zeros((320, 2)), "batch_size": 32, "epochs": 2, "shuffle": False}

def plain():
    return keras.Model(4), numpy.zeros((320, 2))

def itself():
    keras.Model(4).fit(numpy.zeros((320, 2)), batch_size=32)

def nothing():
    return keras.Model(4)

class Inner:
    build = staticmethod(build)
"""


@pytest.mark.parametrize(("function", "steps"), [("build", 20), ("plain", 10), ("itself", 10), ("Inner.build", 20)])
def test_a_function_in_the_place_of_a_command(compare: Kgen, project: Path, function: str, steps: int) -> None:
    (project / "models.py").write_text(MODEL)
    done = compare("compare", "jax", "--json", "--model", f"models:{function}")
    (one,) = data(done)["environments"]
    assert (done.status, one["failed"], len(one["runs"][0]["steps"])) == (0, None, steps)


def test_a_function_that_gives_nothing_to_fit(compare: Kgen, project: Path) -> None:
    (project / "models.py").write_text(MODEL)
    done = compare("compare", "jax", "--model", "models:nothing")
    assert done.status == 1
    assert "models:nothing gives no compiled model with what to fit it to" in done.stdout + done.stderr
    for words in (["--model", "models"], ["--model", "a b:c"], ["--model", "m:f", "--", "python", "x.py"]):
        assert compare("compare", "jax", *words).status == 2


def test_a_difference_within_the_noise_is_called_one(compare: Kgen) -> None:
    words = ("jax", "torch", "--repeat", "2")
    done = run(compare, *words, FAKE_STEP_JAX="0.02", FAKE_STEP_TORCH="0.0202", FAKE_SPREAD="0.9")
    assert done.status == 0, done.stderr
    assert "no difference that counts" in done.stdout
    assert "which is within the noise" in done.stdout


def test_the_same_start_gives_the_same_losses(compare: Kgen) -> None:
    done = run(compare, "--same-start", "--json")
    assert done.status == 0, done.stderr
    found = data(done)
    assert found["agree"] is True
    assert {(one["one"], one["other"]) for one in found["agreements"]} == {
        ("jax-cpu", "tensorflow-cpu"),
        ("jax-cpu", "torch-cpu"),
    }
    losses = [one["runs"][0]["losses"] for one in found["environments"]]
    assert losses[0] == losses[1] == losses[2]
    assert len(losses[0]) == 20


def test_losses_that_go_apart_are_told(compare: Kgen) -> None:
    done = run(compare, "jax", "torch", "--same-start", FAKE_LOSS_TORCH="1.1")
    assert done.status == 1
    assert "losses: torch-cpu and jax-cpu are 9.1e-02 apart; more than 0.01 from step 1 on\n" in done.stdout
    assert run(compare, "jax", "torch", "--same-start", "--tolerance", "0.2", FAKE_LOSS_TORCH="1.1").status == 0


def test_losses_without_a_number_do_not_agree(compare: Kgen) -> None:
    found = data(run(compare, "jax", "torch", "--same-start", "--json", FAKE_LOSS_TORCH="nan"))
    assert found["agree"] is False
    assert found["agreements"][0]["distance"] == "inf"
    assert found["environments"][1]["runs"][0]["losses"][0] == "nan"


def test_another_model_in_one_of_them_is_told(compare: Kgen, project: Path) -> None:
    text = "import os\n" + TRAIN.format(size="5 if os.environ['KERAS_BACKEND'] == 'torch' else 4")
    (project / "train.py").write_text(text)
    done = run(compare, "jax", "torch", "--same-start")
    assert done.status == 1
    assert "error: torch-cpu: cannot begin with the common weights: the weights have other shapes here" in done.stderr


FAILING = {
    "fails": ("import sys; sys.exit(3)", "ended with exit status 3 before it imported Keras"),
    "no keras": ("print(1)", "never imported Keras where kgen could see it"),
    "no training": ("import keras", "ended without a step of `fit`"),
    "killed": ("import keras, os; os.kill(os.getpid(), 9)", "was ended by signal 9 without a step of `fit`"),
    "in the middle": (
        "import numpy, keras; keras.Model().fit(numpy.zeros((320, 1)), fail_at=4)",
        "ended with exit status 1 after 4 steps",
    ),
    "afterwards": (
        "import numpy, keras, sys; keras.Model().fit(numpy.zeros((320, 1))); sys.exit(5)",
        "ended with exit status 5 after 10 steps",
    ),
    "syntax": ("def", "ended with exit status 1 before it imported Keras"),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_training_that_fails(compare: Kgen, project: Path, name: str) -> None:
    program, words = FAILING[name]
    (project / "train.py").write_text(program)
    done = run(compare, "jax")
    assert done.status == 1
    assert f"error: jax-cpu: {words}" in done.stderr
    assert "hint: " in done.stderr
    assert [line.split()[2] for line in done.stdout.splitlines()[1:]] == ["failed"]


def test_a_failure_has_the_diagnosis_of_validate(compare: Kgen, project: Path) -> None:
    (project / "train.py").write_text(FAILING["in the middle"][0])
    done = run(compare, "jax")
    assert "  libfake.so.1 is not there\n" in done.stderr
    assert "hint: kgen sync jax-cpu\n" in done.stderr


@pytest.mark.parametrize(
    ("module", "missing", "hint"),
    [
        ("my_data.train", "my_data", "kgen add PROJECT, where my_data is a module of PROJECT and no file of yours"),
        ("numpy.gone", "numpy.gone", "kgen sync jax-cpu"),
    ],
)
def test_a_module_that_nobody_locked_is_brought_by_no_sync(
    compare: Kgen, project: Path, module: str, missing: str, hint: str
) -> None:
    (project / "train.py").write_text(f"import {module}\n")
    done = run(compare, "jax")
    assert f"  {missing} is not installed\n" in done.stderr
    assert f"hint: {hint}\n" in done.stderr


def test_one_failure_does_not_keep_the_others_from_training(compare: Kgen, project: Path) -> None:
    (project / "train.py").write_text(
        "import os, sys\nif os.environ['KERAS_BACKEND'] == 'jax': sys.exit(1)\n" + TRAIN.format(size=4)
    )
    found = data(run(compare, "--json", "--repeat", "2"))
    assert [one["failed"] is None for one in found["environments"]] == [False, True, True]
    assert [len(one["runs"]) for one in found["environments"]] == [1, 2, 2]


def test_another_backend_is_no_answer(compare: Kgen) -> None:
    done = run(compare, "jax", FAKE_BACKEND="torch")
    assert "error: jax-cpu: Keras runs on `torch`, and this environment is for `jax`" in done.stderr


def test_a_training_that_never_ends(compare: Kgen, project: Path) -> None:
    (project / "train.py").write_text("import keras, time; time.sleep(600)")
    done = run(compare, "jax", "--timeout", "3")
    assert "error: jax-cpu: did not end within 3 s without a step of `fit`" in done.stderr


def test_a_program_that_is_not_there(compare: Kgen) -> None:
    done = run(compare, "jax", program=("no-such-program",))
    assert done.status == 1
    assert "ended with exit status 127 before it imported Keras" in done.stderr


def test_a_backend_that_cannot_train_is_skipped(compare: Kgen, project: Path) -> None:
    lock(project, "numpy-cpu")
    done = run(compare, "jax", "numpy")
    assert done.status == 0
    assert "note: numpy-cpu is skipped: Keras cannot train on numpy\n" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare",), "what is to be compared?"),
        (("compare", "jax"), "what is to be compared?"),
        (("compare", "jax", "--"), "what is to be compared?"),
        (("compare", "nothing", "--", "python"), "nothing"),
        (("compare", "--repeat", "0", "--", "python"), "`--repeat` is not a number from 1 to 100"),
        (("compare", "--tolerance", "nan", "--", "python"), "`--tolerance` is not a relative distance"),
        (("compare", "--device", "tpu", "--", "python"), "unknown device `tpu`"),
        (("compare", "--nope", "--", "python"), "--nope"),
    ],
)
def test_a_wrong_call(compare: Kgen, words: tuple[str, ...], said: str) -> None:
    done = compare(*words)
    assert done.status == 2
    assert said in done.stderr
    assert "\n\nhint: " in done.stderr


def test_options_of_the_program_are_its_own(compare: Kgen, project: Path) -> None:
    (project / "train.py").write_text(
        "import sys\nassert sys.argv[1:] == ['--json', '--', '-x']\n" + TRAIN.format(size=4)
    )
    done = run(compare, "jax", program=("python", "train.py", "--json", "--", "-x"))
    assert done.status == 0, done.stderr
    assert done.stdout.startswith("environment")


def test_markdown_and_the_page(compare: Kgen, project: Path) -> None:
    done = run(compare, "jax", "torch", "--same-start", "--markdown", "-o", "compare.html")
    assert done.stdout.splitlines()[1].startswith("| --- |")
    assert done.stdout.splitlines()[2].startswith("| jax-cpu | cpu |")
    text = (project / "compare.html").read_text(encoding="utf-8")
    assert text.count("<polyline") == 2
    assert text.count('class="bar"') == 2
    assert "python train.py" in text
    assert "agrees with jax-cpu" in text
    assert "http" not in text.replace("http-equiv", "")


def test_a_page_quotes_what_a_program_printed(compare: Kgen, project: Path) -> None:
    (project / "train.py").write_text("raise RuntimeError('<script>alert(1)</script> error')")
    run(compare, "jax", "-o", "compare.html")
    text = (project / "compare.html").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


# -- watching ----------------------------------------------------------------------------------------------------------


def watched(tmp_path: Path, code: str, **spec: object) -> list[Mapping[str, Any]]:
    """What is told of a program, by an interpreter of its own."""
    events, path = tmp_path / "events.jsonl", tmp_path / "watch.json"
    path.write_text(json.dumps({"events": str(events), "began": 0, **spec}))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "PYTHONPATH": f"{program.WATCH}:{FAKES}",
            "KGEN_WATCH": str(path),
            "KERAS_BACKEND": "jax",
            "FAKE_STEP_JAX": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(observation.read_events(events))


@pytest.mark.parametrize(
    "given",
    ["", "callbacks=None", "callbacks=[]", "callbacks=()", "callbacks=[own]", "callbacks=(own,)", "callbacks=own"],
)
def test_a_callback_joins_those_that_are_there(tmp_path: Path, given: str) -> None:
    program = f"""
import numpy, keras
class Own(keras.callbacks.Callback):
    steps = 0
    def on_train_batch_end(self, *_): self.steps += 1
own = Own()
keras.Model().fit(numpy.zeros((64, 1)), {given})
assert own.steps == (2 if "own" in {given!r} else 0)
"""
    events = watched(tmp_path, program)
    assert [event["event"] for event in events] == ["imported", "fit", "step", "step", "epoch", "end"]


def test_keras_itself_stands_where_it_belongs(tmp_path: Path) -> None:
    program = """
import sys, keras, importlib.util
assert keras.__version__ == "3.0.0+fake", keras
assert sys.modules["keras"] is keras
assert "fakes" in keras.__file__
assert "kgen" not in importlib.util.find_spec("keras").origin
assert keras.Model.fit.__name__ == "fit"
"""
    assert [event["event"] for event in watched(tmp_path, program)] == ["imported"]


def test_without_keras_nothing_is_hidden(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import keras_core"],
        env={"PYTHONPATH": str(program.WATCH)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert "No module named 'keras_core'" in done.stderr


def test_keras_core_is_watched_too(tmp_path: Path) -> None:
    shutil.copytree(FAKES / "keras", tmp_path / "keras_core")
    program = f"import sys; sys.path.append({str(tmp_path)!r})\n" + TRAIN.format(size=2)
    events = watched(tmp_path, program.replace("import keras\n", "import keras_core as keras\n"))
    assert len([event for event in events if event["event"] == "step"]) == 20


def test_what_a_callback_trains_is_no_training_of_its_own(tmp_path: Path) -> None:
    program = """
import numpy, keras
class Nested(keras.callbacks.Callback):
    def on_epoch_end(self, *_): keras.Model().fit(numpy.zeros((64, 1)))
keras.Model().fit(numpy.zeros((64, 1)), callbacks=[Nested()])
keras.Model().fit(numpy.zeros((96, 1)))
"""
    found = read(watched(tmp_path, program))
    assert (found.fits, len(found.steps)) == (2, 3)


# -- judging -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ([], 0),
        ([9.0], 1),
        ([9.0, 1.0], 1),
        ([9.0, 1.0, 1.0, 1.0, 1.0], 1),
        ([9.0, 8.0, 1.0, 1.0, 1.0, 1.0], 2),
        ([9.0, 1.0, 7.0, 1.0, 1.0, 1.0], 1),
        ([1.0] * 8, 1),
        ([8.0, 7.0, 6.0, 5.0, 1.0, 1.0, 1.0, 1.0], 4),
    ],
)
def test_warmup(steps: list[float], count: int) -> None:
    assert warmup(steps) == count


def trained(*steps: float, losses: tuple[float, ...] = (), **values: Any) -> Training:  # noqa: ANN401 - any attribute
    return Training(backend="x", fits=1, ended=True, steps=(5.0, *steps), warmup=1, losses=losses, **values)


def test_a_summary() -> None:
    found = summarise([trained(1.0, 2.0, 3.0, batch=10, first=9.0, host=7), trained(2.0, 2.0, 2.0, first=11.0, host=9)])
    assert (found.step, found.low, found.high) == (2.0, 2.0, 2.0)
    assert (found.rate, found.first, found.host, found.device) == (5.0, 10.0, 9, None)
    assert found.compile == 3.0
    assert summarise([]).step is None


def test_steps_of_one_execution_are_counted() -> None:
    assert trained(4.0, 4.0, per_execution=4).steady == (1.0, 1.0)


def test_the_fastest_and_the_noise() -> None:
    runs = {"a": [trained(1.0, 1.1, 0.9, 1.0)], "b": [trained(1.04, 1.04, 1.04, 1.04)], "c": [trained(2.0, 2.0)]}
    found = judge(runs, tolerance=0.01, same_start=False)
    assert found.fastest == "a"
    assert [(one.name, one.noise) for one in found.rivals] == [("b", True), ("c", False)]
    # runs that differ among themselves are noise too
    runs = {"a": [trained(1.0, 1.0), trained(1.5, 1.5)], "b": [trained(1.4, 1.4)]}
    assert judge(runs, tolerance=0.01, same_start=False).rivals[0].noise


def test_agreement_needs_the_same_start() -> None:
    one, other = trained(1.0, losses=(1.0, 0.5), start=""), trained(1.0, losses=(1.0, 0.6), start="")
    assert judge({"a": [one], "b": [other]}, tolerance=0.01, same_start=False).agree is None
    found = judge({"a": [one], "b": [other]}, tolerance=0.01, same_start=True)
    assert (found.agree, found.agreements[0].step) == (False, 1)
    assert judge({"a": [one], "b": [other]}, tolerance=0.5, same_start=True).agree is True
    assert judge({"a": [one]}, tolerance=0.5, same_start=True).agree is None
    shorter = trained(1.0, losses=(1.0,), start="")
    assert judge({"a": [one], "b": [shorter]}, tolerance=0.5, same_start=True).agree is False


def test_distance() -> None:
    assert distance(0.0, 0.0) == 0.0
    assert distance(1e-9, 2e-9) < 0.01
    assert distance(1.0, 2.0) == 0.5
    assert distance(1.0, math.nan) == math.inf


@pytest.mark.parametrize(
    "event",
    [
        {"event": "step", "fit": 0, "took": "long"},
        {"event": "step", "fit": "x", "took": 1},
        {"event": "fit", "fit": 0, "batch": [], "per_execution": -1},
        {"event": "end", "fit": 0, "logs": 7, "host": "much"},
        {"event": 7},
        {},
    ],
)
def test_events_of_another_kind_are_left_out(event: Mapping[str, object]) -> None:
    found = read([{"event": "imported", "backend": "jax", "version": 3}, event])
    assert found.backend == "jax"
    assert found.steps == ()


@pytest.mark.parametrize("step", sorted(path.stem for path in (program.STEP / "kgen_step/backends").glob("[a-z]*.py")))
def test_who_trains_is_known_of_every_backend(step: str) -> None:
    assert observation.trains(step) is (step not in {"numpy", "openvino"})


def test_the_page_says_what_is_in_the_code() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs/how-to/compare.md").read_text(encoding="utf-8")
    assert f"`--tolerance` ({TOLERANCE})" in text
    call = next(line for line in text.splitlines() if line.startswith("kgen compare"))
    program = call.partition(" -- python ")[2]
    example = Path(__file__).resolve().parents[1] / program
    assert call in example.read_text(encoding="utf-8")
