"""The rules of the solver one by one: each file in scenarios/ is a small matrix, a request and the whole answer.

A scenario names the rows that its rule is about; what a row must have and the rule does not care for is filled in here.
A new one is written without `[expected]`, and `KGEN_ACCEPT=1 pytest tests/test_scenarios.py` writes the answer below,
to be read and judged before it is committed.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli
import tomlkit
from packaging.version import Version
from tests.matrices import cuda_table, shipped_kinds

from kgen.cli.main import run
from kgen.errors import ExitStatus
from kgen.explain import report
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.origin import FOLDER_VARIABLE
from kgen.model.accelerator import Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.resolve import solve

FOLDER = Path(__file__).parent / "scenarios"
SCENARIOS = sorted(path for path in FOLDER.glob("*/*.toml") if path.parent.name != "_base")
ACCEPT = "KGEN_ACCEPT" in os.environ  # the fixtures clear the environment
DAY = datetime.date(2024, 1, 1)
TITLES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch", "numpy": "NumPy", "openvino": "OpenVINO"}
KINDS = {
    "newer": r"--require '[\w-]+>=.*'",
    "older": r"--require '[\w-]+==.*'",
    "dependency": r"dependencies .*",
    "keras": r"dropping `--keras .*`",
    "cutoff": r"dropping `--exclude-newer`",
    "python": r"--python .*",
    "glibc": r"--glibc .*",
    "cuda": r"--cuda .*",
    "rocm": r"--rocm .*",
    "own index": r"--torch-index",
    "driver": r"--driver .*",
    "gpu": r"dropping `--gpu .*`",
    "apart": r"an environment for each backend.*",
    "platform": r"--platform .*",
    "cpu": r"--cpu( --torch-index)?",
}
"""Kind of a suggestion -> how it reads."""
CAUSES = {
    "required": r"request \| .* \| --require",
    "keras": r"request \| .* \| --keras",
    "dependency": r"request \| .* \| dependencies",
    "held": r"request \| .* \| the lock that is there",
    "driver": r"request \| driver .* \| --driver",
    "gpu": r"request \| gpu .* \| --gpu",
    "glibc": r"request \| glibc .* \| --glibc",
    "assumed glibc": r"request \| glibc .* \| the floor of .*",
    "cutoff": r"request \| nothing published after .* \| --exclude-newer",
    "need": r"\w+ [\w., -]+ \| [\w-]+ [<>=!].* \| .*",
    "framework's driver": r"\w+ [\w., -]+ \| driver .* \| .*",
    "framework's GPUs": r"\w+ [\w., -]+ \| a GPU of .* \| .*",
    "framework's glibc": r"\w+ [\w., -]+ \| glibc .* \| .*",
    "framework's python": r"\w+ [\w., -]+ \| python .* \| .*",
    "framework's CUDA": r"\w+ [\w., -]+ \| CUDA .* \| .*",
    "framework's ROCm": r"\w+ [\w., -]+ \| ROCm .* \| .*",
    "framework on the CPU": r"\w+ [\w., -]+ \| .*the CPU only.* \| .*",
    "framework's platform": r"\w+ \| a platform other than .* \| .*",
    "framework's day": r"\w+ [\w., -]+ \| a cut-off of .* \| .*",
    "no release": r"\w+ \| no release .* that the matrix knows: .* \| .*",
    "companion": r"[\w-]+ \| \w+ \d[\w., -]* \| .*",
    "label": r"\w+ \| (no build )?[\w.]+\+\w+ .* \| .*",
    "doubtful": r"\w+ [\w., -]+ \| to be avoided: .* \| .*",
    "library's glibc": r"nvidia-[\w-]+ \| glibc: .* \| .*",
    "cuDNN's GPUs": r"nvidia-cudnn-[\w-]+ \| cudnn: .* serves GPUs .* \| .*",
    "no cuDNN": r"nvidia-cudnn-[\w-]+ \| cudnn: none is known to serve .* \| .*",
}
"""Kind of a cause -> how it reads, as subject | requires | source."""


def read(path: Path) -> dict[str, Any]:
    return tomli.loads(path.read_text())


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are laid over each other; anything else is replaced."""
    found = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            found[key] = merged(below[key], above[key])
    return found


def with_base(scenario: dict[str, Any]) -> dict[str, Any]:
    base = scenario.pop("base", None)
    return merged(with_base(read(FOLDER / "_base" / f"{base}.toml")), scenario) if base else scenario


def matrix_of(scenario: Mapping[str, Any], seen: str) -> CompatibilityMatrix:
    """The rows of a scenario as a matrix."""
    return CompatibilityMatrix(texts_of(scenario, seen))


def texts_of(scenario: Mapping[str, Any], seen: str) -> dict[str, str]:
    """The rows of a scenario as the files of a matrix."""
    seen_there = {"source": seen, "checked": DAY}
    frameworks: Mapping[str, Any] = scenario["frameworks"]
    files: dict[str, Any] = {
        "platforms": {name: {"uv": name, **row, **seen_there} for name, row in scenario["platforms"].items()},
        "python": {
            "python": [{"version": f"3.{minor}", "released": DAY, **seen_there} for minor in range(10, 15)],
        },
        "backends": {
            name: {"framework": name, **row, **seen_there}
            for name, row in scenario["backends"].items()
            if name in frameworks
        },
        "accelerators": {
            **cuda_table(_versions(scenario, "major", seen_there)),
            **{kind: _kind(kind, scenario["platforms"]) for kind in scenario.get("kinds", ())},
        },
        "toolkits": {"toolkit": _versions(scenario, "toolkit", seen_there)},
        "cudnn": {"support": [{**seen_there, **row} for row in scenario.get("cudnn", [])]},
        "companions": {"companion": [{**seen_there, **row} for row in scenario.get("companions", ())]},
        **{f"libraries/{name}": _library(row, seen_there) for name, row in scenario.get("libraries", {}).items()},
    }
    for name, releases in frameworks.items():
        files[name] = {
            "project": {"name": name, "title": TITLES.get(name, name.title())},
            "release": [_release(name, version, row, seen_there) for version, row in releases.items()],
        }
    return {f"{name}.toml": tomlkit.dumps(file) for name, file in files.items()}


def _kind(name: str, platforms: Collection[str]) -> dict[str, Any]:
    """A kind of accelerator as it is shipped, on the platforms that a scenario has."""
    row = shipped_kinds()[name]
    return {**row, "platforms": [one for one in row["platforms"] if one in platforms]}


def _library(row: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
    groups = row.get("files", [{key: row[key] for key in ("releases", "platforms", "pythons") if key in row}])
    kept = {key: value for key, value in row.items() if key not in {"files", "releases", "platforms", "pythons"}}
    everywhere = {"linux-64": "2.17", "linux-aarch64": "2.17", "osx-arm64": ""}
    return {
        **kept,
        **seen,
        "files": [
            {
                "platforms": everywhere,
                **group,
                "releases": group["releases"]
                if isinstance(group["releases"], dict)
                else dict.fromkeys(group["releases"], DAY),
            }
            for group in groups
        ],
    }


def _release(name: str, version: str, row: Any, seen: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - TOML
    rows = row if isinstance(row, list) else [row]
    own = {key: rows[0][key] for key in ("released", "yanked", "known-bad") if key in rows[0]}
    plain: dict[str, Any] = {
        "pythons": ["3.11", "3.12", "3.13"],
        "platforms": {"linux-64": "2.17"},
        "install": [f"{name}=={version}"],
    }
    builds = [{**plain, **{key: value for key, value in build.items() if key not in own}, **seen} for build in rows]
    return {"version": version, "released": DAY, **own, "build": builds}


def accelerator_of(text: str) -> Accelerator:
    """`12`, `12.6` of CUDA; `cpu`, `rocm7`."""
    return Accelerator.numbered("cuda", text) if text[0].isdigit() else Accelerator.named(text)


def _versions(scenario: Mapping[str, Any], kind: str, seen_there: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"version": version, **seen_there, **row} for version, row in scenario["cuda"].get(kind, {}).items()]


def request_of(asked: Mapping[str, Any]) -> EnvironmentRequest:
    known = set(EnvironmentRequest._fields) | {"accelerator"}
    assert not set(asked) - known, f"no such wish: {set(asked) - known}"
    several = {key: tuple(map(Requirement, asked.get(key, ()))) for key in ("requirements", "dependencies", "held")}
    return EnvironmentRequest(
        name=asked.get("name", asked["backends"][0] if len(asked["backends"]) == 1 else "all"),
        backends=tuple(asked["backends"]),
        accelerator=accelerator_of(asked.get("accelerator", "12")),
        python=asked.get("python", "3.12"),
        platform=asked.get("platform", "linux-64"),
        glibc=Version(asked["glibc"]) if "glibc" in asked else None,
        driver=DriverVersion(asked["driver"]) if "driver" in asked else None,
        gpus=tuple(asked.get("gpus", ())),
        keras=VersionRange(asked.get("keras", "")),
        cutoff=asked.get("cutoff"),
        requirements=several["requirements"],
        dependencies=several["dependencies"],
        held=several["held"],
        own_index=asked.get("own_index", False),
    )


def answer(scenario: Mapping[str, Any], seen: str) -> dict[str, Any]:
    """The answer as `[expected]` holds it."""
    matrix = matrix_of(scenario, seen)
    matrix.check()
    found = solve(matrix, request_of(scenario["request"]))
    if isinstance(found, Resolution):
        data = report.solution_data(found)
        kept = {key: data[key] for key in ("packages", "libraries", "cuda", "cudnn", "driver", "warnings") if data[key]}
        if found.local:
            kept["local"] = dict(found.local)
        return {**kept, "why": [reason["rule"] for reason in data["why"]]}
    data = report.conflict_data(found)
    return {
        "message": data["message"],
        "causes": [" | ".join(cause[key] for key in ("subject", "requires", "source")) for cause in data["causes"]],
        "suggestions": {suggestion["change"]: suggestion["gives"] for suggestion in data["suggestions"]},
    }


def scenario_name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", SCENARIOS, ids=scenario_name)
def test_scenario(path: Path) -> None:
    scenario = with_base(read(path))
    expected = scenario.pop("expected", None)
    found = answer(scenario, "seen")
    if expected is None and ACCEPT:
        accept(path, found)
        expected = found
    assert found == expected
    if "suggestions" in found:
        # a mapping compares in any order, and the order is the answer's
        assert list(found["suggestions"]) == list(expected["suggestions"])


@pytest.mark.parametrize(
    "path", [path for path in SCENARIOS if read(path).get("expected", {}).get("suggestions")], ids=scenario_name
)
def test_every_hint_is_a_command_that_works(
    path: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each hint is typed as it stands, comment included, and gives what it says."""
    scenario = with_base(read(path))
    texts = texts_of(scenario, "seen")
    request = request_of(scenario["request"])
    found = solve(CompatibilityMatrix(texts), request)
    assert isinstance(found, Conflict)
    for name, text in texts.items():
        file = project / "matrix-of-scenario" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setenv(FOLDER_VARIABLE, str(project / "matrix-of-scenario"))
    monkeypatch.chdir(project)
    hints = report.hints(found)
    assert len(hints) == len(found.suggestions) > 0
    for hint, suggestion in zip(hints, found.suggestions, strict=True):
        command, _, comment = hint.partition("   # gives ")
        assert comment == ", ".join(f"{name} {version}" for name, version in suggestion.gives.items())
        assert report.suggestion_data(suggestion, request)["command"] == command
        assert shlex.split(hint, comments=True) == shlex.split(command)
        status = run([*shlex.split(command)[1:], "--json"])
        printed = json.loads(capsys.readouterr().out)
        assert status == ExitStatus.DONE, command
        if not request.held:  # an old lock holds what it has, and a project without one is free
            solutions = printed.get("solutions") or [printed["solution"]]
            packages = {name: version for one in solutions for name, version in one["packages"].items()}
            assert packages.items() >= suggestion.gives.items(), command


def accept(path: Path, found: Mapping[str, Any]) -> None:
    document = tomlkit.table()
    for key, value in found.items():
        item = tomlkit.item(value)
        if isinstance(value, list) and len(value) > 1:
            item.multiline(multiline=True)
        document.add(key, item)
    path.write_text(f"{path.read_text().rstrip()}\n\n{tomlkit.dumps({'expected': document})}")


def expected_of(key: str) -> Iterator[str]:
    for path in SCENARIOS:
        yield from read(path).get("expected", {}).get(key, ())


@pytest.mark.parametrize(("key", "kinds"), [("suggestions", KINDS), ("causes", CAUSES)])
def test_every_kind_has_a_scenario(key: str, kinds: Mapping[str, str]) -> None:
    texts = list(expected_of(key))
    assert [kind for kind, pattern in kinds.items() if not any(re.fullmatch(pattern, text) for text in texts)] == []
    assert [text for text in texts if not any(re.fullmatch(pattern, text) for pattern in kinds.values())] == []


def test_a_scenario_says_what_it_is_about() -> None:
    assert [path.name for path in SCENARIOS if not path.read_text().startswith("# ")] == []
