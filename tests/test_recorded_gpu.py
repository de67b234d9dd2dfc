"""What an H200 answered, recorded: receipts of PyTorch and JAX that passed there, and what was installed beside them.

`exact` are of locks with the very releases that were installed, `latest` of locks with newer ones. Places of libraries
are those of a Debian machine; nothing else was changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.test_validate_judge import SUBJECT, seen

from kgen.validation import pins, program, receipts, reference
from kgen.validation.judge import Fault, Outcome, judge

FOLDER = Path(__file__).parent / "data" / "gpu"
RECEIPTS = sorted(FOLDER.glob("*.json"))
_SCHEMA = json.loads((program.STEP.parent / "receipt.schema.json").read_text(encoding="utf-8"))


def recorded(name: str) -> Mapping[str, Any]:
    path = FOLDER / f"{name}.json"
    return receipts.parse(path, path.read_bytes(), "")


def installed() -> dict[str, str]:
    """Name -> version of what was installed there."""
    lines = (FOLDER / "installed.txt").read_text(encoding="utf-8").split()
    return {re.sub("[-_.]+", "-", name).lower(): version for name, _, version in (one.partition("==") for one in lines)}


def result(step: Mapping[str, Any], device: Mapping[str, Any]) -> dict[str, Any]:
    """The step's result behind a receipt; of the weights a receipt has the distance only, and they were as near."""
    shown = {key: device.get(key) for key in ("kind", "name", "capability")}
    libraries = [{**row, "file": Path(row["path"]).name} for row in step["libraries"]]
    told = {key: value for key, value in step.items() if key not in {"verdict", "fault", "causes", "distance"}}
    weights = reference.load()["weights"]
    return {
        **told, "event": "result", "libraries": libraries, "weights": weights,
        "device": {**shown, "placed": step["placed"]},
    }  # fmt: skip


@pytest.mark.parametrize("path", RECEIPTS, ids=lambda path: path.stem)
def test_a_recorded_receipt_is_read_and_is_one_of_today_once_it_is_written(path: Path) -> None:
    data = receipts.parse(path, path.read_bytes(), "")
    assert (data["device"]["name"], data["device"]["capability"], data["verdict"]) == ("NVIDIA H200", "9.0", "passed")
    assert receipts.suite_of(data) == "basic"
    assert receipts.slug(data["device"], "basic") == "nvidia-h200"
    written = receipts.render(data)
    jsonschema.validate(json.loads(written), _SCHEMA)
    again = receipts.parse(path, written, "")
    assert again["steps"] == data["steps"]


@pytest.mark.parametrize("path", RECEIPTS, ids=lambda path: path.stem)
def test_what_passed_there_passes_here_with_the_same_distance(path: Path) -> None:
    """The losses are compared anew; the libraries with what was installed."""
    data = receipts.parse(path, path.read_bytes(), "")
    there = installed()
    for step in data["steps"]:
        told = result(step, data["device"])
        observation = seen({"event": "installed", "installed": there}, told)
        verdict = judge(SUBJECT, observation, {})
        assert verdict.outcome is Outcome.PASSED, verdict.message
        assert verdict.distance is not None
        assert verdict.distance.losses == pytest.approx(step["distance"]["losses"], rel=1e-12)
        assert not [one for one in verdict.mismatches if one.judged]
        # TF32 is off by a thousand times as much
        astray = {**told, "losses": [loss * (1 + 5e-4) for loss in step["losses"]]}
        assert judge(SUBJECT, seen(astray), {}).fault is Fault.NUMBERS


def test_the_libraries_of_the_newer_lock_are_not_those_that_were_loaded() -> None:
    """What the lock wanted, had it been installed, is another cuDNN than the one in the memory map."""
    data = recorded("latest-torch-cuda13")
    (step,) = data["steps"]
    wanted = {row["package"]: row["locked"] for row in data["installed"]["differences"]}
    told = result(step, data["device"])
    verdict = judge(SUBJECT, seen({"event": "installed", "installed": {**installed(), **wanted}}, told), wanted)
    assert verdict.fault is Fault.LIBRARIES
    assert "9.19.0 was loaded" in " ".join(verdict.diagnosis.causes)


@pytest.mark.parametrize(
    ("name", "first", "others"),
    [
        ("exact-torch-cuda13", [], 8),
        ("latest-torch-cuda13", ["torch", "numpy", "triton"], 15),
    ],
)
def test_what_a_proof_depends_on_comes_first(name: str, first: list[str], others: int) -> None:
    data = recorded(name)
    rows = [pins.Difference(**row) for row in data["installed"]["differences"]]
    versions = {package for step in data["steps"] for package in step["versions"]}
    telling, left = pins.telling(rows, versions)
    names = [one.package for one in telling]
    assert set(first) <= set(names)
    assert left + len(telling) == len(rows)
    assert left == others, names
    assert all(name in versions or re.match("nvidia-|cuda-", name) for name in names), names


def test_two_backends_of_one_environment_agreed() -> None:
    one, other = recorded("exact-both-cuda13")["steps"]
    assert {one["backend"], other["backend"]} == {"jax", "torch"}
    assert reference.apart(one["losses"], other["losses"]) == pytest.approx(2.1e-7, rel=0.5)
    cudnn = {row["version"] for step in (one, other) for row in step["libraries"] if row["name"] == "cudnn"}
    assert cudnn == {"9.19.0"}
