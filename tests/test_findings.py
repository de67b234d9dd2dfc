"""Each rule of the doctor on its cases: `tests/findings/IDENTIFIER/CASE.toml`, and its page in the documentation."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli
from packaging.version import Version
from tests.test_doctor import AROUND, EXAMINED, LIBRARIES, having

from kgen import findings
from kgen.accelerators import Condition, Gpu
from kgen.cli import main, validate
from kgen.errors import UsageError
from kgen.findings import ExaminedEnvironment, Finding, manual, phrases
from kgen.limits import Processors
from kgen.loader import plugins
from kgen.loader.environment import LibraryTooOld, OpenedLibrary
from kgen.loader.flags import UnknownFlags
from kgen.loader.owners import DoubledProject, MissingFile, SharedFile
from kgen.loader.plugins import RivalPlugins
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import format as formats
from kgen.model.driver import DriverVersion
from kgen.model.lockfile import LockedFile
from kgen.surroundings import (
    Assembler,
    DeviceFault,
    DriverLibrary,
    KerasSettings,
    Library,
    Scratch,
    Server,
    Surroundings,
)
from kgen.validation import judge

_COMMANDS = {
    "kgen",
    "rm",
    "export",
    "unset",
    "sudo",
    "nvidia-smi",
    "ls",
    "grep",
    "dpkg",
    "ps",
    "mv",
    "mkdir",
    "docker",
    "taskset",
}
CASES = Path(__file__).parent / "findings"
PAGES = Path(__file__).parents[1] / "docs" / "findings"
_LIBRARY = {"by": "", "fault": None, "inside": False, "version": None, "own": None, "required": True, "path": None}


def cases() -> list[Path]:
    return sorted(CASES.glob("*/*.toml"))


def _around(data: Mapping[str, Any]) -> Surroundings:
    changes: dict[str, Any] = dict(data)
    kinds: dict[str, Any] = {
        "gpu_vendors": frozenset,
        "modules": frozenset,
        "processor": frozenset,
        "interfaces": frozenset,
        "distribution": tuple,
        "processors": lambda row: Processors(**{**row, "usable": tuple(row["usable"])}),
    }
    for key, of in kinds.items():
        if key in changes:
            changes[key] = of(changes[key])
    if changes.get("pci") is False:
        changes["gpu_vendors"] = None
    changes.pop("pci", None)
    if "keras" in changes:
        changes["keras"] = KerasSettings(Path("/home/u/.keras/keras.json"), changes["keras"].get("values"))
    if "nodes" in changes:
        changes["nodes"] = frozenset(changes["nodes"])
    if "server" in changes:
        changes["server"] = Server(**{"runs": None, **changes["server"]})
    if "scratch" in changes:
        changes["scratch"] = Scratch(**{"free": None, **changes["scratch"]})
    changes["faults"] = tuple(DeviceFault(**row) for row in changes.get("faults", ()))
    if "driver_library" in changes:
        library = dict(changes["driver_library"])
        if "version" in library:
            library["version"] = DriverVersion(library["version"])
        changes["driver_library"] = DriverLibrary(**{"answers": None, **library})
    changes["assemblers"] = tuple(Assembler(**row) for row in changes.get("assemblers", ()))
    changes["libraries"] = tuple(Library(**{"version": None, **row}) for row in changes.get("libraries", ()))
    changes["set_in"] = {name: tuple(places) for name, places in changes.get("set_in", {}).items()}
    return AROUND._replace(**changes)


def _examined(data: Mapping[str, Any]) -> ExaminedEnvironment:
    own = ("whole", "interpreter", "free", "free_threaded")
    changes: dict[str, Any] = {key: data[key] for key in own if key in data}
    if "prefix" in data:
        changes["prefix"] = Path(data["prefix"])
    lock: dict[str, Any] = {
        key: tuple(value) if key == "backends" else value for key, value in data.get("lock", {}).items()
    }
    if "form" in lock:
        lock["form"] = formats.named(lock["form"])
    if "files" in data:
        pairs = [(name, version or "0") for name, _, version in (text.partition("==") for text in data["files"])]
        lock["files"] = tuple(LockedFile(name, version, name, None, "0" * 64, None) for name, version in pairs)
    if "wheels_locked" in data:
        lock["files"] = tuple(
            LockedFile(name, version, f"{name}-{version}-py3-none-any.whl", None, "0" * 64, None)
            for name, version in data["wheels_locked"].items()
        )
    changes["versions"] = data.get("versions", {})
    if "wheels" in data:
        named = [(name.partition("-")[0], name) for name in data["wheels"]]
        lock["files"] = tuple(LockedFile(of, "1", name, None, "0" * 64, None) for of, name in named)
    return EXAMINED._replace(
        lock=EXAMINED.lock._replace(**lock),
        opened=tuple(OpenedLibrary(**{**_LIBRARY, **row}) for row in data.get("opened", ())),
        missing=tuple(MissingFile(**row) for row in data.get("missing", ())),
        too_old=tuple(LibraryTooOld(**{**row, "versions": tuple(row["versions"])}) for row in data.get("too_old", ())),
        unknown_flags=tuple(
            UnknownFlags(**{"source": "", **row, "flags": tuple(row["flags"])}) for row in data.get("unknown_flags", ())
        ),
        doubled=tuple(DoubledProject(row["name"], tuple(row["distributions"])) for row in data.get("doubled", ())),
        shared=tuple(SharedFile(row["path"], tuple(row["owners"])) for row in data.get("shared", ())),
        **changes,
    )


def _rivals(case: Mapping[str, Any], site: Path) -> tuple[RivalPlugins, ...]:
    for name in case.get("environment", {}).get("site", ()):
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return plugins.rivals(site)


def _condition(data: Mapping[str, Any]) -> Condition:
    changes = dict(data)
    if "partitions" in changes:
        changes["partitions"] = tuple(Gpu(name, architecture, 0) for name, architecture in changes["partitions"])
    changes["processes"] = tuple(changes.get("processes", ()))
    return Condition(**{"number": 0, "name": "NVIDIA H100", **changes})


@pytest.mark.parametrize("path", cases(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(path: Path, matrix: CompatibilityMatrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    case = _read(path, tmp_path)
    found = examined(path, tmp_path, matrix)
    here = [one for one in found if one.identifier == path.parent.name]
    told = [{"kind": one.kind, "what": one.what, "where": one.where, "fix": one.fix} for one in here]
    wanted = case["finds"]
    assert [{key: row[key] for key in want} for row, want in zip(told, wanted, strict=False)] == wanted, told
    assert len(told) == len(wanted), told


def _read(path: Path, folder: Path) -> Mapping[str, Any]:
    return tomli.loads(path.read_text(encoding="utf-8").replace("{folder}", str(folder)))


def examined(path: Path, tmp_path: Path, matrix: CompatibilityMatrix) -> tuple[Finding, ...]:
    """What all rules find in a case."""
    case = _read(path, tmp_path)
    for name in case.get("files", ()):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    machine = case.get("machine", {"driver": "580.65.06", "gpus": [["NVIDIA H100", "9.0"]]})
    gpus = [Gpu(name, architecture, 0, *selector) for name, architecture, *selector in machine.get("gpus", ())]
    host = having(machine.get("driver"), *gpus, note=machine.get("note"))
    if machine.get("two_versions"):
        host = host._replace(devices={"cuda": host.of("cuda")._replace(two_versions=True)})
    if "glibc" in machine:
        # an empty one is another C library
        host = host._replace(glibc=Version(machine["glibc"]) if machine["glibc"] else None)
    environments = [_examined(case.get("environment", {}))._replace(rivals=_rivals(case, tmp_path / "site"))]
    states = {"cuda": tuple(_condition(row) for row in case.get("conditions", ()))}
    around = _around(case.get("around", {}))
    return findings.examine(
        host,
        around,
        environments,
        matrix,
        LIBRARIES,
        conditions=states,
        folder=str(tmp_path / case.get("folder", "project")),
    )


def kgen_calls(text: str) -> list[list[str]]:
    """The words of the calls of kgen in a hint, or in what it says between backquotes."""
    told = re.findall(r"(?:^|&& |`)kgen ([^`#]*)", text)
    return [shlex.split(one.replace("…", "").partition(" && ")[0]) for one in told]


def parses(words: list[str]) -> bool:
    """Whether the command line takes a call, whatever it would do then."""
    try:
        main.parse(words)
    except UsageError:
        return False
    return True


def test_every_call_of_kgen_that_a_finding_ends_with_is_one(
    matrix: CompatibilityMatrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fixes = {one.fix for path in cases() for one in examined(path, tmp_path, matrix)}
    calls = [(fix, call) for fix in sorted(fixes) for call in kgen_calls(fix)]
    assert len({tuple(call[:1]) for _, call in calls}) > 1
    assert [fix for fix, call in calls if not parses(call)] == []


def test_every_fix_of_a_finding_is_the_shells(
    matrix: CompatibilityMatrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What begins as a command is one that a shell can read."""
    monkeypatch.chdir(tmp_path)
    fixes = {one.fix for path in cases() for one in examined(path, tmp_path, matrix)}
    commands = [one for one in fixes if one.split()[0] in _COMMANDS]
    assert len(commands) > len(_COMMANDS)
    for one in commands:
        done = subprocess.run(["sh", "-n", "-c", one], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), one


@pytest.mark.parametrize("name", ["diagnoses", "variables"])
def test_every_call_of_kgen_that_a_failed_validation_ends_with_is_one(name: str) -> None:
    rows = tomli.loads((Path(judge.__file__).parent / f"{name}.toml").read_text(encoding="utf-8"))
    told = {row[key] for kind in rows.values() for row in kind for key in ("hint", "unlocked") if key in row}
    told |= set(validate._HINTS.values())
    assert set(validate._HINTS) == set(judge.Fault)
    texts = {text.replace("{environment}", "jax-cuda12").replace(" SM`", " 9.0`") for text in told}
    calls = [(text, call) for text in texts for call in kgen_calls(re.sub(r" V`", " 3.11`", text))]
    assert calls
    assert [text for text, call in calls if not parses([*call, "1"] if call[-1:] == ["S"] else call)] == []


def test_each_rule_has_a_case_that_it_finds_and_one_that_it_does_not() -> None:
    found = {path.parent.name: set() for path in cases()}  # type: dict[str, set[bool]]
    for path in cases():
        found[path.parent.name].add(bool(tomli.loads(path.read_text(encoding="utf-8"))["finds"]))
    assert found == {name: {True, False} for name in findings.known()}


def test_a_folder_with_a_space_stands_in_quotes() -> None:
    assert phrases.made_again(EXAMINED._replace(prefix=Path("/my files/e"))) == (
        "rm -r '/my files/e' && kgen sync jax-cuda12"
    )


def test_each_rule_has_its_page_and_no_other_is_there() -> None:
    wanted = manual.pages()
    assert {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")} == dict(wanted), (
        "run: python -m kgen.findings.manual docs/findings"
    )


def test_an_identifier_is_the_name_of_its_module() -> None:
    assert set(findings.known()) == {
        findings.identifier(path.stem)
        for path in (Path(findings.__file__).parent / "rules").glob("*.py")
        if path.stem != "__init__"
    }
