"""Fleets for tests: a project with locks, receipts as nodes would leave them, and sites that ReFrame knows."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.recorded import REFERENCE

from kgen import lockfiles
from kgen.formats import interface
from kgen.model import format as formats
from kgen.model.lockfile import Lockfile
from kgen.validation import receipts

NODE = Path(__file__).parent / "fakes" / "node.py"
H200 = {"kind": "gpu", "accelerator": "cuda", "name": "NVIDIA H200", "capability": "9.0", "driver": "580.65.06"}
ON_CPU = {"kind": "cpu", "name": None, "capability": None, "driver": None}


def copied(root: Path, *environments: str) -> Path:
    """A project with some of the reference locks, without their receipts."""
    root.mkdir(exist_ok=True)
    (root / ".git").mkdir(exist_ok=True)
    for name in environments:
        shutil.copytree(REFERENCE / "locks" / name, root / "locks" / name, ignore=shutil.ignore_patterns("receipts"))
    return root


def lock(root: Path, environment: str) -> Lockfile:
    """A lock of the project."""
    path = lockfiles.choose(root, environment).platforms["linux-64"]
    (found,) = interface.read_every(formats.default(), path)
    return found


def receipt(
    of: Lockfile, device: Mapping[str, str | None] = H200, *, verdict: str = "passed", day: dt.date | None = None
) -> dict[str, Any]:
    """A receipt of a lock."""
    fault = None if verdict == "passed" else "compiles and fails"
    return {
        "schema": receipts.SCHEMA,
        "environment": of.environment,
        "platform": of.platform,
        "lock": {"file": of.path.name, "sha256": of.digest, "content": of.content},
        "device": dict(device),
        "verdict": verdict,
        "date": (day or today()).isoformat(),
        "kgen": "0",
        "installed": {"as_locked": True, "differences": []},
        "steps": [{"backend": backend, "verdict": verdict, "fault": fault, "causes": []} for backend in of.backends],
    }


def today() -> dt.date:
    """The day in receipts."""
    return dt.datetime.now(dt.timezone.utc).date()


def written(folder: Path, of: Lockfile, how: str, data: Mapping[str, Any]) -> None:
    """A receipt where `fakes/node.py` looks for it."""
    path = folder / of.environment / f"{how}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(receipts.render(data))


def partition(name: str, how: str | None, made: Path, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - ReFrame's
    """A partition on this machine; `how` is what its node does with a job, None for what kgen does."""
    extras = more.pop("extras", {"cuda": "13", "gpu": ["9.0"]})
    if how is not None:
        program = [sys.executable, "-S", str(NODE), how, str(made), str(made / "log")]
        extras = {**extras, "program": program}
    kgen = {"extras": {"kgen": extras}} if extras else {}
    return {
        "name": name,
        "scheduler": "local",
        "launcher": "local",
        "environs": ["builtin"],
        "max_jobs": 8,
        **kgen,
        **more,
    }


def site(file: Path, partitions: Sequence[Mapping[str, Any]], **system: Any) -> Path:  # noqa: ANN401 - ReFrame's
    """A site's configuration, in Python as most are."""
    made = {"name": "lab", "hostnames": [".*"], **system, "partitions": list(partitions)}
    configuration = {"systems": [made], "environments": [{"name": "builtin"}]}
    file.write_text(f"site_configuration = {configuration!r}\n")
    return file


def calls(made: Path) -> list[str]:
    """What the nodes of `fakes/node.py` were asked for."""
    path = made / "log"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def rows(text: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The answers in what `--json` prints: (pool, environment) -> answer."""
    return {(one["pool"], one["environment"]): one for one in json.loads(text)["answers"]}
