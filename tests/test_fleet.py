"""`kgen validate --fleet` on sites of ReFrame's: real ReFrame with its local scheduler, on this machine.

Where a test is about what comes back, `fakes/node.py` stands for kgen on the node.
"""

from __future__ import annotations

import datetime as dt
import json
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import fleets
from tests.command import Kgen
from tests.fleets import H200, ON_CPU, partition, rows, site
from tests.schemas import LIGHT
from tests.test_validate import FAKES, put_on_disk, within
from tests.test_validate import lock as small_lock

from kgen import settings
from kgen.actions import fleet as action
from kgen.actions.fleet import FleetOptions
from kgen.errors import ExitStatus, OutsideError, UsageError
from kgen.fleet import answers
from kgen.fleet.shape import Job, Limits, Pool, Progress, Returned, Slot, State
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.model.driver import DriverVersion
from kgen.tables import Table
from kgen.validation import receipts


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """What nodes answer with."""
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


@pytest.fixture
def kgen(kgen: Kgen) -> Kgen:
    """The command; ReFrame starts in a third of the time."""
    return within(kgen, {"PYTHONPATH": str(LIGHT)})


# -- with kgen on the nodes --------------------------------------------------------------------------------------------


def test_partitions_and_environments_train(kgen: Kgen, project: Path, made: Path) -> None:
    """Two partitions of CPUs, two environments, real `kgen validate` in every job."""
    for name in ("numpy-cpu", "jax-cpu"):
        small_lock(project, name)
        put_on_disk(project, name)
    nodes = site(project / "site.py", [partition(name, None, made, extras={}) for name in ("fast", "slow")])
    done = within(kgen, {"PYTHONPATH": f"{FAKES}:{LIGHT}"})("validate", "--fleet", nodes.name, "--json")
    found = rows(done.stdout)
    assert {key: one["verdict"] for key, one in found.items()} == {
        (f"lab:{part}", name): "passed" for part in ("fast", "slow") for name in ("jax-cpu", "numpy-cpu")
    }, done.stderr
    assert done.status == 0
    assert "lab:fast, numpy-cpu: submitted\n" in done.stderr
    assert "lab:slow, jax-cpu: answered\n" in done.stderr
    for one in found.values():
        data = receipts.load(project / one["receipt"], one["environment"])
        assert (data["verdict"], data["device"]["kind"]) == ("passed", "cpu")
    assert json.loads(done.stdout)["receipts"] == [
        f"locks/{name}/receipts/cpu.json" for name in ("jax-cpu", "numpy-cpu")
    ]
    # the project's own receipts are those, and kgen's other commands read them
    assert "not proven" not in kgen("proven").stdout
    assert not list((project / ".kgen/fleet").glob("*/run-*")), "all came back, and nothing is left of the run"


# -- what comes back ---------------------------------------------------------------------------------------------------


def test_every_way_that_a_node_answers_is_told_apart(kgen: Kgen, project: Path, made: Path) -> None:
    fleets.copied(project, "jax-cuda13", "numpy-cpu")
    lock = fleets.lock(project, "jax-cuda13")
    good = fleets.receipt(lock)
    for how, data in {
        "passed": good,
        "failed": fleets.receipt(lock, verdict="failed"),
        "elsewhere": fleets.receipt(lock, ON_CPU),
        "another": {**good, "lock": {**good["lock"], "content": "0" * 64}},
        "ahead": fleets.receipt(lock, day=fleets.today() + dt.timedelta(days=9)),
    }.items():
        fleets.written(made, lock, how, data)
    future = made / "jax-cuda13/future.json"
    future.write_bytes(receipts.render(good).replace(b'"schema": 2', b'"schema": 9'))
    hows = ("passed", "failed", "elsewhere", "another", "ahead", "future", "skips", "errs", "dies", "recovers", "hangs")
    parts = [partition(how, how, made, **({"time_limit": "1s"} if how == "hangs" else {})) for how in hows]
    nodes = site(project / "site.py", parts)
    done = kgen("validate", "jax-cuda13", "numpy", "--fleet", nodes.name, "--retries", "1", "--json")
    assert done.status == 4, done.stderr
    found = {pool.removeprefix("lab:"): one for (pool, name), one in rows(done.stdout).items() if name == "jax-cuda13"}
    assert {name: one["verdict"] for name, one in found.items()} == {
        "passed": "passed",
        "failed": "failed",
        "elsewhere": "engine failure",
        "another": "engine failure",
        "ahead": "engine failure",
        "future": "engine failure",
        "skips": "skipped",
        "errs": "failed",
        "dies": "engine failure",
        "recovers": "passed",
        "hangs": "engine failure",
    }
    for name, words in {
        "passed": "",
        "failed": "jax compiles and fails",
        "elsewhere": "it was trained on the CPU, and lab:elsewhere has GPUs",
        "another": "it is a receipt of another lock than",
        "ahead": f"it is dated {fleets.today() + dt.timedelta(days=9)}, and today is {fleets.today()}",
        "future": "is 9, and this kgen reads 2",
        "skips": "no GPU here",
        "errs": "there is no CPython 3.12",
        "dies": "it left no receipt: error: there is no environment `x`",
        "recovers": "",
        "hangs": "timed out",
    }.items():
        assert words in found[name]["reason"], name
    assert {name: one["attempts"] for name, one in found.items() if one["attempts"] > 1} == {
        "dies": 2,
        "hangs": 2,
        "recovers": 2,
    }
    assert found["passed"]["device"] == "NVIDIA H200"
    # where one node of a kind failed, that is what the project's receipt says
    path = project / "locks/jax-cuda13/receipts/nvidia-h200.json"
    assert receipts.load(path)["verdict"] == "failed"
    # nothing is lost: what was refused is still there
    assert len(list((project / ".kgen/fleet").glob("*/run-*/stage/**/receipts/*/*.json"))) >= 4

    # what has a receipt stands; the rest is asked again, and what had been refused is not a receipt
    (made / "log").unlink()
    again = kgen("validate", "jax-cuda13", "--fleet", nodes.name, "--resume", "--json")
    stands = {pool.removeprefix("lab:") for (pool, _), one in rows(again.stdout).items() if one["stands"]}
    assert stands == {"passed", "failed", "recovers"}
    assert {line.split()[0] for line in fleets.calls(made)} == set(hows) - stands


def test_what_a_job_is_asked_for(kgen: Kgen, project: Path, made: Path) -> None:
    fleets.copied(project, "jax-cuda13", "numpy-cpu")
    for name, device in (("jax-cuda13", H200), ("numpy-cpu", ON_CPU)):
        lock = fleets.lock(project, name)
        fleets.written(made, lock, "passed", fleets.receipt(lock, device))
    parts = [
        partition("gpu", "passed", made, extras={"cuda": "13", "gpu": ["9.0"], "envs": "/scratch/envs"}),
        partition("cpu", "passed", made, extras={"cpu": True}),
        partition("amd", "passed", made, extras={"rocm": "7"}),
    ]
    nodes = site(project / "site.py", parts)
    done = kgen("validate", "--fleet", nodes.name, "--timeout", "7")
    own = f"{project}/.kgen/envs"
    assert fleets.calls(made) == sorted(
        [
            "passed validate jax-cuda13 --json --device gpu --timeout 7 --envs /scratch/envs",
            "passed validate numpy-cpu --json --device cpu --timeout 7 --envs /scratch/envs",
            f"passed validate numpy-cpu --json --device cpu --timeout 7 --envs {own}",
            f"passed validate numpy-cpu --json --device cpu --timeout 7 --envs {own}",
        ]
    )
    assert done.status == 0, done.stderr
    heading, *table = done.stdout.splitlines()
    assert heading.split() == ["environment", "nodes", "verdict", "device", "driver", "ran", "on", "what"]
    assert [line.split()[:5] for line in table] == [
        ["numpy-cpu", "lab:amd", "passed", "cpu", "-"],
        ["numpy-cpu", "lab:cpu", "passed", "cpu", "-"],
        ["jax-cuda13", "lab:gpu", "passed", "NVIDIA", "H200"],
        ["numpy-cpu", "lab:gpu", "passed", "cpu", "-"],
    ]


def test_what_was_interrupted_is_gathered_and_resumed(kgen: Kgen, project: Path, made: Path) -> None:
    fleets.copied(project, "jax-cuda13")
    lock = fleets.lock(project, "jax-cuda13")
    fleets.written(made, lock, "passed", fleets.receipt(lock))
    nodes = site(project / "site.py", [partition("one", "passed", made), partition("two", "hangs", made)])
    process = kgen.start("validate", "--fleet", nodes.name)
    assert process.stderr is not None
    for line in process.stderr:
        if line == "lab:one, jax-cuda13: answered\n":
            break
    process.kill()
    process.wait(30)
    process.stderr.close()
    if process.stdout is not None:
        process.stdout.close()
    site(project / "site.py", [partition("one", "dies", made), partition("two", "passed", made)])
    done = kgen("validate", "--fleet", nodes.name, "--resume", "--json")
    found = rows(done.stdout)
    assert {pool: (one["verdict"], one["stands"]) for (pool, _), one in found.items()} == {
        "lab:one": ("passed", True),
        "lab:two": ("passed", False),
    }, done.stderr
    assert done.status == 0


def test_each_node_answers_by_its_name(kgen: Kgen, project: Path, made: Path) -> None:
    fleets.copied(project, "numpy-cpu")
    lock = fleets.lock(project, "numpy-cpu")
    fleets.written(made, lock, "passed", fleets.receipt(lock, ON_CPU))
    nodes = site(project / "site.py", [partition("cpu", "passed", made, extras={"cpu": True})])
    for words, stands in (((), False), (("--resume",), True)):
        done = kgen("validate", "--fleet", nodes.name, "--each-node", "--json", *words)
        (one,) = json.loads(done.stdout)["answers"]
        assert (one["verdict"], one["stands"]) == ("passed", stands), done.stderr
        assert one["node"]
    assert len(fleets.calls(made)) == 1


# -- drivers -----------------------------------------------------------------------------------------------------------


class Recorded:
    """An engine that answers from receipts, and notes what it was asked to run."""

    title, name = "Recorded", "recorded"

    def __init__(
        self, pools: dict[str, Pool], answer: Callable[[Job], dict[str, Any] | None], *, breaks: bool = False
    ) -> None:
        self.pools, self._answer, self._breaks = pools, answer, breaks
        self.asked: list[tuple[list[str], Limits]] = []

    def run(self, jobs: Sequence[Job], folder: Path, limits: Limits, progress: Progress) -> list[Returned]:
        self.asked.append(([f"{job.pool.name} {job.environment}" for job in jobs], limits))
        for job in jobs:
            place = folder / job.pool.name / job.environment / answers.RECEIPTS / job.environment
            place.mkdir(parents=True)
            data = self._answer(job)
            if data is not None:
                (place / "gpu.json").write_bytes(receipts.render(data))
            progress(job.pool.name, "done")
        if self._breaks:
            raise OutsideError("the engine is gone", hints=["see its log"])
        return self.gather(folder)

    def gather(self, folder: Path) -> list[Returned]:
        places = sorted(folder.glob("*/*"))
        return [Returned(Slot(place.parent.name, place.name), place, "n1") for place in places if place.is_dir()]


def pools(matrix: CompatibilityMatrix, **gpus: str) -> dict[str, Pool]:
    """Pools of nodes with CUDA by the architectures of their GPUs."""
    found = {}
    for name, gpu in gpus.items():
        row = Table({"cuda": "auto", "gpu": [gpu], "driver": "580.65.06"}, "", [])
        target = settings.described(row, name, matrix)
        assert target is not None
        found[name] = Pool(name, target)
    return found


def answering(root: Path, driver: str, *bad: str) -> Callable[[Job], dict[str, Any]]:
    """Every node trains with this driver, but for those of some pools."""

    def answer(job: Job) -> dict[str, Any]:
        device = {**H200, "capability": job.pool.target.gpu[0], "driver": driver}
        verdict = "failed" if job.pool.name in bad else "passed"
        return fleets.receipt(fleets.lock(root, job.environment), device, verdict=verdict)

    return answer


def states(result: action.FleetResult) -> dict[str, tuple[State, str]]:
    return {f"{one.slot.pool} {one.slot.environment}": (one.state, one.reason) for one in result.answers}


def test_what_a_driver_breaks_is_told_and_not_submitted(project: Path, matrix: CompatibilityMatrix) -> None:
    fleets.copied(project, "jax-cuda12", "jax-cuda13")
    fleet = Recorded(pools(matrix, hopper="9.0"), answering(project, "570.124.06"))
    result = action.validate(project, matrix, fleet, (), FleetOptions(driver=DriverVersion("570")))
    found = states(result)
    assert found["hopper jax-cuda13"][0] is State.BREAKS
    assert "580" in found["hopper jax-cuda13"][1]
    assert found["hopper jax-cuda12"] == (State.PASSED, "")
    assert [asked for asked, _ in fleet.asked] == [["hopper jax-cuda12"]]
    assert [one.kind for one in result.findings["hopper"]] == ["fault"]
    assert result.status is ExitStatus.CHECK_FAILED


def test_one_node_of_each_kind_goes_first(project: Path, matrix: CompatibilityMatrix) -> None:
    fleets.copied(project, "jax-cuda12")
    kinds = pools(matrix, a1="8.0", a2="8.0", h1="9.0", h2="9.0")
    fleet = Recorded(kinds, answering(project, "595.10", "a1"))
    told: list[str] = []
    result = action.validate(
        project, matrix, fleet, ["jax"], FleetOptions(driver=DriverVersion("595")), notify=told.append
    )
    assert [asked for asked, _ in fleet.asked] == [["a1 jax-cuda12", "h1 jax-cuda12"], ["h2 jax-cuda12"]]
    assert states(result) == {
        "a1 jax-cuda12": (State.FAILED, "jax compiles and fails"),
        "a2 jax-cuda12": (State.NOT_SCHEDULED, "it did not pass on the one node of a1 that was tried first"),
        "h1 jax-cuda12": (State.PASSED, ""),
        "h2 jax-cuda12": (State.PASSED, ""),
    }
    assert told == ["one node of each kind first: a1, h1"]


def test_a_canary_with_another_driver_proves_nothing_about_the_one_asked(
    project: Path, matrix: CompatibilityMatrix
) -> None:
    fleets.copied(project, "jax-cuda12")
    fleet = Recorded(pools(matrix, h1="9.0", h2="9.0"), answering(project, "580.65.06"))
    result = action.validate(project, matrix, fleet, (), FleetOptions(driver=DriverVersion("595")))
    assert len(fleet.asked) == 1
    assert states(result)["h1 jax-cuda12"] == (
        State.SKIPPED,
        "the node has driver 580.65.06, and 595 was asked about",
    )
    assert states(result)["h2 jax-cuda12"][0] is State.NOT_SCHEDULED


def test_every_node_follows_the_canary(project: Path, matrix: CompatibilityMatrix) -> None:
    fleets.copied(project, "jax-cuda12")
    fleet = Recorded(pools(matrix, h1="9.0"), answering(project, "595.10"))
    options = FleetOptions(driver=DriverVersion("595.10"), each_node=True, retries=3)
    assert action.validate(project, matrix, fleet, (), options).status is ExitStatus.DONE
    assert [(limits.each_node, limits.retries) for _, limits in fleet.asked] == [(False, 3), (True, 3)]


def test_two_hundred_nodes(project: Path, matrix: CompatibilityMatrix) -> None:
    """One of them failed, and the project's receipt of that kind of GPU says so."""
    fleets.copied(project, "jax-cuda12")
    kinds = pools(matrix, **{f"n{number}": ("8.0", "9.0")[number % 2] for number in range(200)})
    lock = fleets.lock(project, "jax-cuda12")
    names = {"8.0": "NVIDIA A100", "9.0": "NVIDIA H200"}

    def answer(job: Job) -> dict[str, Any]:
        (gpu,) = job.pool.target.gpu
        verdict = "failed" if job.pool.name == "n7" else "passed"
        return fleets.receipt(lock, {**H200, "name": names[gpu], "capability": gpu}, verdict=verdict)

    result = action.validate(project, matrix, Recorded(kinds, answer))
    assert len(result.answers) == 200
    assert [one.slot.pool for one in result.answers if one.state is State.FAILED] == ["n7"]
    assert {path.stem: receipts.load(path)["verdict"] for path in result.receipts} == {
        "nvidia-a100": "passed",
        "nvidia-h200": "failed",
    }
    assert result.status is ExitStatus.CHECK_FAILED


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_an_engine_that_breaks_loses_nothing(project: Path, matrix: CompatibilityMatrix) -> None:
    fleets.copied(project, "jax-cuda12")
    fleet = Recorded(pools(matrix, h1="9.0"), answering(project, "580.65.06"), breaks=True)
    result = action.validate(project, matrix, fleet)
    assert (result.status, states(result)["h1 jax-cuda12"][0]) == (ExitStatus.OUTSIDE, State.PASSED)
    assert result.fault is not None
    assert result.fault.message == "the engine is gone"
    fleet = Recorded(fleet.pools, answering(project, "580.65.06"))
    again = action.validate(project, matrix, fleet, (), FleetOptions(resume=True))
    assert (again.status, fleet.asked) == (ExitStatus.DONE, [])


def test_a_receipt_of_the_lock_before_does_not_stand(project: Path, matrix: CompatibilityMatrix) -> None:
    fleets.copied(project, "jax-cuda12")
    fleet = Recorded(pools(matrix, h1="9.0"), answering(project, "580.65.06"))
    action.validate(project, matrix, fleet)
    path = next((project / ".kgen/fleet/recorded/receipts").rglob("*.json"))
    data = receipts.load(path, "")
    path.write_bytes(receipts.render({**data, "lock": {**data["lock"], "content": "1" * 64}}))
    action.validate(project, matrix, fleet, (), FleetOptions(resume=True))
    assert len(fleet.asked) == 2


def test_an_environment_that_no_node_can_have(project: Path, matrix: CompatibilityMatrix) -> None:
    fleets.copied(project, "jax-cuda12", "torch-cuda13")
    twelve = Pool("old", settings.Target("old", Accelerator.named("cuda12"), gpu=("9.0",)))
    fleet = Recorded({"old": twelve}, answering(project, "580.65.06"))
    result = action.validate(project, matrix, fleet, ["jax", "torch"])
    assert states(result) == {
        "- torch-cuda13": (State.NOT_SCHEDULED, "no node there is what it is locked for"),
        "old jax-cuda12": (State.PASSED, ""),
    }
    other = Pool("none such", settings.Target("none such", Accelerator.named("rocm7")))
    with pytest.raises(UsageError, match="is locked for a kind of node there: none such"):
        action.validate(project, matrix, Recorded({"none such": other}, lambda _: None))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--fleet", "nowhere.py"),
            "error: `--fleet`: there is no site configuration nowhere.py\n\nhint: give a configuration of ReFrame's",
        ),
        (("--each-node",), "error: `--each-node` is for `--fleet`\n\nhint: kgen validate --fleet SITE --each-node\n"),
        (("--retries", "x", "--fleet", "s"), "error: `--retries` is not a number from 0 to 100\n"),
        (("--driver", "new", "--fleet", "s"), "error: --driver: "),
        (("--list", "--fleet", "s"), "error: `--list` contradicts `--fleet`\n"),
    ],
)
def test_wrong_calls(kgen: Kgen, project: Path, words: tuple[str, ...], said: str) -> None:
    fleets.copied(project, "numpy-cpu")
    done = kgen("validate", *words)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith(said)


def test_a_site_that_reframe_cannot_read(kgen: Kgen, project: Path) -> None:
    fleets.copied(project, "numpy-cpu")
    (project / "site.py").write_text("site_configuration = {'systems': 7}\n")
    done = kgen("validate", "--fleet", "site.py")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ReFrame cannot read [TEMP]/project/site.py:\n  ")
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("site.py --show-config=systems\n")


def test_a_site_that_describes_its_nodes_wrongly(kgen: Kgen, project: Path, made: Path) -> None:
    fleets.copied(project, "numpy-cpu")
    parts = [
        partition("one", None, made, extras={"cuda": "13", "gpus": ["9.0"]}),
        partition("two", None, made, extras={"gpu": ["9.0"]}),
        partition("three", None, made, extras={"cpu": True, "gpu": ["9.0"]}),
    ]
    site(project / "site.py", parts)
    done = kgen("validate", "--fleet", "site.py")
    assert (done.status, done.stdout) == (2, "")
    for line in (
        "site.py: lab:one: extras.kgen.gpus: unknown key; did you mean `gpu`?",
        "site.py: lab:two: extras.kgen does not say what it computes on: give one of ",
        "site.py: lab:three: extras.kgen.gpu: contradicts `cpu`; keep one of the two",
    ):
        assert line in done.stderr, done.stderr


def test_the_site_of_the_documentation_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, matrix: CompatibilityMatrix
) -> None:
    page = (Path(__file__).parents[1] / "docs/how-to/fleet.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "site.py").write_text(block)
    monkeypatch.setenv("RFM_SYSTEM", "lab")
    monkeypatch.setenv("PYTHONPATH", str(LIGHT))
    found = action.engine_of(str(tmp_path / "site.py"), matrix).pools
    assert {name: (str(pool.target.accelerator.name), pool.target.gpu) for name, pool in found.items()} == {
        "lab:h200": ("cuda13", ("9.0",)),
        "lab:cpu": ("cpu", ()),
    }
    assert str(found["lab:h200"].target.driver) == "580"


def test_without_reframe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin/python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "site.py").write_text("")
    with pytest.raises(UsageError, match="ReFrame is not installed") as caught:
        action.engine_of(str(tmp_path / "site.py"), matrix)
    assert caught.value.hints == ("pip install 'keras-kgen[fleet]'",)


def test_a_receipt_of_another_suite_does_not_stand(project: Path, matrix: CompatibilityMatrix) -> None:
    fleets.copied(project, "jax-cuda12")
    words: list[str] = []

    def answer(job: Job) -> dict[str, Any] | None:
        words.append(" ".join(job.words))
        return answering(project, "580.65.06")(job)

    fleet = Recorded(pools(matrix, h1="9.0"), answer)
    action.validate(project, matrix, fleet)
    action.validate(project, matrix, fleet, (), FleetOptions(resume=True, suite=receipts.FULL))
    assert ["--suite full" in one for one in words] == [False, True]


# -- a site that cannot be used ----------------------------------------------------------------------------------------


def test_a_site_of_other_hosts_is_none_here(kgen: Kgen, project: Path, made: Path) -> None:
    """ReFrame then takes a system of its own: this machine would be tried, and called the cluster."""
    fleets.copied(project, "numpy-cpu")
    site(project / "site.py", [partition("fast", "passed", made, extras={})], hostnames=["login[0-9]+"])
    done = kgen("validate", "--fleet", "site.py")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: no system in [TEMP]/project/site.py is for this host, `{platform.node()}`\n\n"
        "hint: name the system: RFM_SYSTEM=NAME kgen validate --fleet [TEMP]/project/site.py\n"
        "hint: edit `hostnames` in [TEMP]/project/site.py\n"
    )
    assert not fleets.calls(made)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (", ['  File "[TEMP]/project/site.py", line 1', "SyntaxError: '(' was never closed"]),
        ("import nothing_there", ["is not a valid Python configuration file"]),
    ],
)
def test_a_site_that_is_no_python(kgen: Kgen, project: Path, text: str, said: list[str]) -> None:
    """Where it is wrong is said, and nothing of how ReFrame found out."""
    fleets.copied(project, "numpy-cpu")
    (project / "site.py").write_text(text + "\n")
    done = kgen("validate", "--fleet", "site.py")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ReFrame cannot read [TEMP]/project/site.py:\n")
    assert "\n\nhint: python3 [TEMP]/project/site.py\n" in done.stderr
    assert all(one in done.stderr for one in said), done.stderr
    assert "ast.py" not in done.stderr


# -- comparing ---------------------------------------------------------------------------------------------------------

TRAINING = FAKES / "training"


def test_nodes_are_compared(kgen: Kgen, project: Path, made: Path) -> None:
    """Two partitions, two environments, a real `kgen compare` in each job; of one partition nothing comes back."""
    for name in ("jax-cpu", "torch-cpu"):
        small_lock(project, name)
        put_on_disk(project, name)
        prefix = project / ".kgen/envs" / name
        backend = name.partition("-")[0]
        (prefix / "share/kgen/run.sh").write_text(f'export KERAS_BACKEND={backend}\nexec "$@"\n')
    (project / "train.py").write_text(
        "import numpy\nimport keras\nkeras.Model(4).fit(numpy.zeros((320, 2)), batch_size=32, shuffle=False)\n"
    )
    parts = [partition("fast", None, made, extras={}), partition("dead", "dies", made, extras={"cpu": True})]
    nodes = site(project / "site.py", parts)
    asked = within(kgen, {"PYTHONPATH": f"{TRAINING}:{LIGHT}", "FAKE_STEP_TORCH": "0.05"})
    done = asked("compare", "--fleet", nodes.name, "--json", "--", "python", "train.py")
    assert done.status == 1, done.stderr
    found = {(one["name"]): one for one in json.loads(done.stdout)["environments"]}
    assert set(found) == {f"{name} on lab:{part}" for part in ("fast", "dead") for name in ("jax-cpu", "torch-cpu")}
    for name in ("jax-cpu", "torch-cpu"):
        assert len(found[f"{name} on lab:fast"]["runs"][0]["steps"]) == 10
        assert found[f"{name} on lab:dead"]["failed"].startswith("engine failure: ")
    assert json.loads(done.stdout)["fastest"] == "jax-cpu on lab:fast"
    table = asked("compare", "jax", "--fleet", nodes.name, "--", "python", "train.py").stdout
    assert "jax-cpu on lab:fast" in table


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fleet", "site.py", "--same-start"), "`--same-start` contradicts `--fleet`"),
        (("--fleet", "site.py", "--jobs", "2"), "`--jobs` contradicts `--fleet`"),
        (("--fleet", "none.py"), "there is no site configuration none.py"),
    ],
)
def test_wrong_comparisons(kgen: Kgen, project: Path, made: Path, words: tuple[str, ...], said: str) -> None:
    site(project / "site.py", [partition("fast", None, made, extras={})])
    small_lock(project, "jax-cpu")
    done = kgen("compare", *words, "--", "python", "train.py")
    assert done.status == 2
    assert said in done.stderr
