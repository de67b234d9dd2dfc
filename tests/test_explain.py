"""`kgen explain`: why these versions, what holds each back, and what would give the newest."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import tomli
from tests.command import CUTOFF, LOCK, PYTHON, SOLVE, Kgen, Result
from tests.test_report import solved
from tests.test_scenarios import FOLDER, matrix_of, read, with_base

from kgen.explain import explanation
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.solver.explanation import explain, may_be_had
from kgen.solver.resolve import attempt

EXPLAIN = ("explain", *SOLVE[1:])
REFERENCE = Path(__file__).parents[1] / "locks"


def versions(done: Result) -> dict[str, dict[str, Any]]:
    (environment,) = json.loads(done.stdout)["environments"]
    return {one["package"]: one for one in environment["versions"]}


def explained(scenario: str, package: str | None = None) -> str:
    resolution = solved(scenario)
    matrix = matrix_of(with_base(read(FOLDER / f"{scenario}.toml")), "seen")
    return explanation.text(resolution, explain(matrix, resolution, package))


def test_what_company_holds_back() -> None:
    assert explained("order/the-other-backend-decides", "tensorflow").splitlines()[2:5] == [
        "  tensorflow is 2.20, and the newest is 2.21.",
        "    newest beside torch 2.10: 2.21 needs nccl ==2.27, torch 2.10 needs ==2.25",
        "    it would be had with",
    ]
    assert explained("order/the-other-backend-decides", "tensorflow").splitlines()[5:] == [
        (
            "      kgen solve torch tensorflow --together all --cuda 12 --python 3.12 --platform linux-64"
            " --require tensorflow==2.21   # gives torch 2.9, tensorflow 2.21"
        ),
    ]


def test_backends_apart(kgen: Kgen) -> None:
    done = kgen(
        *EXPLAIN, "torch", "tensorflow", "--together", "all", "--cuda", "12", "--newest", "tensorflow", "--json"
    )
    tensorflow = versions(done)["tensorflow"]
    apart = "an environment for each backend: dropping `--together all`"
    assert {way["change"]: way["gives"]["tensorflow"] for way in tensorflow["ways"]}[apart] == tensorflow["newest"]


def test_the_newest_build_for_a_cuda(kgen: Kgen) -> None:
    torch = versions(kgen(*EXPLAIN, "torch", "--cuda", "12", "--json"))["torch"]
    assert (torch["version"], torch["newest"]) == ("2.10.0", "2.15.0")
    (reason,) = torch["reasons"]
    assert reason["rule"].startswith("newest build for CUDA 12: 2.11.0 is built for CUDA 13")
    assert all(cause["source"] for cause in torch["held-by"])
    assert next((way["change"], way["gives"]) for way in torch["ways"]) == ("--cuda 13", {"torch": "2.15.0"})
    # what is promised holds
    again = versions(kgen(*EXPLAIN, "torch", "--cuda", "13", "--newest", "torch", "--json"))
    assert again["torch"]["version"] == "2.15.0"
    assert list(again) == ["torch"]


def test_as_text(kgen: Kgen) -> None:
    done = kgen(*EXPLAIN, "torch", "--cuda", "12", "--newest", "torch")
    assert done.status == 0
    assert "\n  torch is 2.10.0, and the newest is 2.15.0.\n    newest build for CUDA 12: 2.11.0" in done.stdout
    assert "    2.15.0 is held back, as\n      torch 2.15.0 is built for CUDA 13" in done.stdout
    assert "        source: torch-2.15.0-" in done.stdout
    words = f"kgen solve torch --cuda 13 --python {PYTHON} --platform linux-64 --require torch==2.15.0"
    assert f"    it would be had with\n      {words} --exclude-newer {CUTOFF}   # gives torch 2.15.0\n" in done.stdout


def test_a_wish_of_the_users_own(kgen: Kgen) -> None:
    keras = versions(kgen(*EXPLAIN, "jax", "--keras", "<3.10", "--json"))["keras"]
    assert [cause["source"] for cause in keras["held-by"]] == ["--keras"]
    assert "dropping `--keras '<3.10'`" in [way["change"] for way in keras["ways"]]


def test_a_library_by_its_role(kgen: Kgen) -> None:
    (cudnn,) = versions(kgen(*EXPLAIN, "torch", "--cuda", "12", "--newest", "cudnn", "--json")).values()
    assert cudnn["package"] == "nvidia-cudnn-cu12"
    assert [reason["rule"] for reason in cudnn["reasons"]] == [f"needs cudnn =={cudnn['version']}"]
    assert cudnn["version"] != cudnn["newest"]


def test_a_locked_environment(kgen: Kgen) -> None:
    shutil.copytree(REFERENCE / "torch-cuda12", kgen.folder / "locks/torch-cuda12")
    done = kgen("explain", "torch-cuda12", "--json")
    (environment,) = json.loads(done.stdout)["environments"]
    assert (environment["environment"], environment["python"]) == ("torch-cuda12", "3.12")
    (kgen.folder / "locks/torch-cuda12/pylock.linux-64.toml").write_text("")
    assert kgen("explain", "torch-cuda12").status == 2


def test_a_lock_is_explained_as_it_is_and_so_is_what_would_be_locked(kgen: Kgen) -> None:
    """JAX and PyTorch share the cuDNN that PyTorch needs: a lock has it, and so have both explanations."""
    asked = ("jax", "torch", "--cuda", "12", *LOCK[1:])
    assert kgen("lock", *asked).status == 0
    locked = {}
    for name in ("jax-cuda12", "torch-cuda12"):
        data = tomli.loads((kgen.folder / f"locks/{name}/pylock.linux-64.toml").read_text())["tool"]["kgen"]
        locked[name] = {"cuda": data["cuda"], **data["packages"], **data["libraries"]}
    cudnn = {one["nvidia-cudnn-cu12"] for one in locked.values()}
    assert len(cudnn) == 1
    for words in (("jax-cuda12", "torch-cuda12"), asked):
        done = kgen("explain", *words, "--json")
        assert done.status == 0, done.stderr
        for environment in json.loads(done.stdout)["environments"]:
            said = {one["package"]: one["version"] for one in environment["versions"]}
            mine = locked[environment["environment"]]
            assert {name: version for name, version in said.items() if name in mine} == {
                name: mine[name] for name in said if name in mine
            }, (words, environment["environment"])
            assert "nvidia-cudnn-cu12" in said


def test_no_solution(kgen: Kgen) -> None:
    done = kgen(*EXPLAIN, "jax", "--cuda", "12", "--require", "jax<0.1", "--json")
    assert done.status == 3
    assert json.loads(done.stdout)["conflicts"][0]["causes"]


def test_wrong_calls(kgen: Kgen) -> None:
    assert kgen(*EXPLAIN, "jax", "--newest", "jaxx") == Result(
        2, "", "error: `--newest jaxx`: none of these environments has it\n\nhint: did you mean `jax`?\n"
    )
    assert kgen(*EXPLAIN, "jux").status == 2


def test_what_is_not_solved_has_no_solution(matrix: CompatibilityMatrix) -> None:
    """Whether a release has a build at all is looked at first, and must never rule out what solving would find."""
    ruled_out = 0
    for name in ("tensorflow", "jax", "torch", "openvino"):
        row = matrix.backends[name]
        newest = [one.version for one in matrix.framework(row.framework).releases[-2:]]
        for version, python, platform in itertools.product(newest, ("3.9", "3.11", "3.13"), matrix.platforms):
            for accelerator in (CPU, Accelerator("cuda", (12,)), Accelerator("cuda", (13,))):
                request = EnvironmentRequest(
                    name=name, backends=(name,), accelerator=accelerator, python=python, platform=platform,
                    requirements=(Requirement(f"{row.framework}=={version}"),),
                )  # fmt: skip
                if not may_be_had(matrix, row.framework, version, request):
                    ruled_out += 1
                    assert attempt(matrix, request) is None
    assert ruled_out > 100


def test_a_way_asks_for_no_release_beside_a_wider_bound(kgen: Kgen) -> None:
    """The way widens what the user asked for; the release that it is to give is not one more wish."""
    found = versions(kgen(*EXPLAIN, "tensorflow", "--cpu", "--require", "tensorflow<2.20", "--json"))["tensorflow"]
    (way, *_) = found["ways"]
    assert way["change"].startswith("--require 'tensorflow>=")
    assert way["command"].count("--require") == 1
    assert way["gives"]["tensorflow"] == found["newest"]


def test_a_package_that_the_matrix_does_not_follow(kgen: Kgen) -> None:
    """What brought it in is what the installed environment knows; it is not a backend to be asked for."""
    shutil.copytree(REFERENCE, kgen.folder / "locks")
    done = kgen("explain", "jax-cuda12", "rich")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr == (
        "error: the matrix does not follow rich, which is in jax-cuda12 as something needs it\n\n"
        "hint: kgen tree jax-cuda12 --invert --package rich\n"
    )


def test_what_keeps_a_library_back(kgen: Kgen) -> None:
    """The newest cuDNN does not serve an old GPU: that is said without being asked for."""
    done = kgen(*EXPLAIN, "jax", "--cuda", "12", "--gpu", "6.0")
    assert done.status == 0, done.stderr
    (told,) = (part for part in done.stdout.split("\n\n") if part.lstrip().startswith("nvidia-cudnn-cu12"))
    assert "kept out by gpu 6.0" in told
    newest = kgen(*EXPLAIN, "jax", "--cuda", "12", "--gpu", "8.0")
    assert "kept out" not in newest.stdout


def test_a_bound_on_what_a_framework_needs_is_named(kgen: Kgen) -> None:
    done = kgen(*SOLVE, "jax", "--cpu", "--dependency", "numpy<2")
    assert done.status == 0, done.stderr
    assert "needs numpy >=2.0, of which numpy<2 leaves no release" in done.stdout
