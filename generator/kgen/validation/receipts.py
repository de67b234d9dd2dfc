"""Receipts of validations: `locks/<env>/receipts/<device>.json`, tied by digests to what a lock installs.

A receipt is an in-toto Statement with the predicate `test-result`, so that other tools can sign, store and evaluate it.
Its subjects are the lock file and what the lock installs; kgen's own details are in one extension field. It contains
nothing private about the machine: no user, no host, no path in a home folder. `receipt.schema.json` defines its form.

In this module a receipt is one flat mapping (:func:`compose`, :func:`parse`); only :func:`statement` and :func:`parse`
know its form in the file. :func:`parse` also reads receipts from before kgen wrote Statements.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kgen import __version__, files, lockfiles
from kgen.errors import KgenError, SettingsError
from kgen.formats import interface
from kgen.model import format as formats
from kgen.model import grammar
from kgen.model.lockfile import Lockfile
from kgen.tables import Table, mismatch

if TYPE_CHECKING:  # slow to import, and not needed to read receipts
    from kgen.validation.judge import Verdict

SCHEMA = 2
FOLDER = "receipts"

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
DETAIL = "urn:uuid:5a05e03d-7d09-4339-9df8-30eb8fbff261"
"""The extension field of a test result for kgen's details. Chosen once: a UUID needs no owner."""

SUITES = ("basic", "full")
"""What the user can ask to prove: that a network trains like the reference; or also the parts of Keras beyond that."""

BASIC, FULL = SUITES
"""Before there were several suites, every receipt was about the basic one."""

INSTALL_SET = "install-set"
"""The subject whose digest is that of what the lock installs; another kgen or matrix does not change it."""

STEP_PROGRAM = "kgen-step"
"""The configuration of the test: the program that trains."""

SKEW = dt.timedelta(days=1)
"""How far a date may be off: receipts state the day only, and clocks are in all time zones."""

_BARE = 1
"""The schema of receipts that were not Statements."""

_RESULTS = {"PASSED": "passed", "FAILED": "failed"}
_TESTS = {"passedTests": "passed", "failedTests": "failed"}
_SLUG = re.compile(r"[^a-z0-9]+")


class Receipt(NamedTuple):
    """A receipt on disk.

    Attributes:
        path: its file.
        data: its content, checked as far as the other attributes show.
        stale: whether the lock installs something else now, or is gone.
        environment: the environment's name on disk.
        platform: the platform, as a conda subdir.
        device: the device, in words.
        driver: the driver of the GPU; None without a GPU.
        verdict: `passed` or `failed`.
        date: the day, such as `2026-11-20`.
        as_locked: whether exactly what is locked was installed.
    """

    path: Path
    data: Mapping[str, Any]
    stale: bool
    environment: str
    platform: str
    device: str
    driver: str | None
    verdict: str
    date: str
    as_locked: bool

    @property
    def suite(self) -> str:
        """The suite that was run."""
        return suite_of(self.data)


def device_name(kind: str, name: str | None) -> str:
    """The name of a receipt's file without its suffix: `cpu`, `nvidia-h200`, or `gpu` for a GPU without a name."""
    return kind if kind == "cpu" or not name else _SLUG.sub("-", name.lower()).strip("-")


def date_fault(date: str, today: dt.date) -> str | None:
    """What is wrong with the date of a receipt; None if nothing is.

    Args:
        date: the date in the receipt.
        today: the current day.
    """
    ahead = dt.date.fromisoformat(date) > today + SKEW
    return f"it is dated {date}, in the future: a clock was wrong" if ahead else None


def slug(device: Mapping[str, str | None], suite: str) -> str:
    """The name of a receipt's file without its suffix: the device, and the suite if that is not the basic one."""
    name = device_name(str(device["kind"]), device["name"])
    return name if suite == BASIC else f"{name}-{suite}"


def suite_of(data: Mapping[str, Any]) -> str:
    """The suite of a receipt; older receipts do not state it."""
    return str(data.get("suite", BASIC))


def compose(
    locked: Lockfile,
    device: Mapping[str, str | None],
    verdicts: Mapping[str, Verdict],
    *,
    today: dt.date,
    suite: str = BASIC,
) -> dict[str, Any]:
    """The content of a receipt.

    Args:
        locked: the lock.
        device: kind, name, capability, driver; for a GPU also the kind of accelerator.
        verdicts: backend -> its verdict, without skipped ones.
        today: the current day.
        suite: the suite that was run, one of :data:`SUITES`.
    """
    from kgen.validation.judge import Outcome  # noqa: PLC0415 - see above

    differences = {row for verdict in verdicts.values() for row in verdict.differences}
    passed = all(verdict.outcome is Outcome.PASSED for verdict in verdicts.values())
    return {
        "schema": SCHEMA,
        "environment": locked.environment,
        "platform": locked.platform,
        "lock": {"file": locked.path.name, "sha256": locked.digest, "content": locked.content},
        "device": dict(device),
        "verdict": (Outcome.PASSED if passed else Outcome.FAILED).value,
        "date": today.isoformat(),
        "suite": suite,
        "kgen": __version__,
        "installed": {
            "as_locked": not differences,
            "differences": [dict(row._asdict()) for row in sorted(differences, key=lambda row: row.package)],
        },
        "steps": [_step(backend, verdict, str(device["kind"])) for backend, verdict in verdicts.items()],
        "step_program": step_digest(),
    }


def step_digest() -> str:
    """The digest of the program that trains: a sha256 over its files and their names."""
    import hashlib  # noqa: PLC0415 - loads OpenSSL

    from kgen.validation.program import STEP, step_files  # noqa: PLC0415 - see above

    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(STEP).as_posix()}" for path in step_files()
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _step(backend: str, verdict: Verdict, kind: str) -> dict[str, Any]:
    result = verdict.result
    row: dict[str, Any] = {
        "backend": backend,
        "verdict": verdict.outcome.value,
        "fault": None if verdict.fault is None else verdict.fault.value,
        # The framework's output is left out: it may contain names of paths and people.
        "causes": list(verdict.diagnosis.causes),
    }
    if not result:
        return row
    from kgen.validation.reference import TOLERANCES  # noqa: PLC0415 - see above

    tolerance = TOLERANCES[kind]
    distance = verdict.distance
    measured = {
        name: (value if math.isfinite(value) else str(value))
        for name in ("losses", "weights", "outputs")
        if distance is not None and (value := getattr(distance, name)) is not None
    }
    row |= {
        "contract": result["contract"],
        "step": result["step"],
        "python": result["python"],
        "versions": result["versions"],
        "built": result["built"],
        "placed": result["device"]["placed"],
        "proof": result["proof"],
        "libraries": [
            {key: value for key, value in library.items() if key != "file"} for library in result["libraries"]
        ],
        "mismatches": [
            {"library": one.title, "loaded": one.loaded, "package": one.package, "version": one.wanted}
            for one in verdict.mismatches
        ],
        "held": result["held"],
        "seconds": result["seconds"],
        "losses": result.get("losses", []),
        **({"uncompiled": result["uncompiled"]["losses"]} if "uncompiled" in result else {}),
        **({"parts": [one.receipt for one in verdict.parts]} if verdict.parts else {}),
        "distance": measured,
        "tolerance": {**{name: getattr(tolerance, name) for name in measured}, "reason": tolerance.reason},
    }
    return row


def statement(data: Mapping[str, Any]) -> dict[str, Any]:
    """A receipt as the in-toto Statement for its file."""
    lock, steps = data["lock"], data["steps"]
    content, program = lock.get("content"), data.get("step_program")
    apart = {"schema", "lock", "verdict", "step_program"}
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": lock["file"], "digest": {"sha256": lock["sha256"]}},
            *([{"name": INSTALL_SET, "digest": {"sha256": content}}] if content else []),
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "result": next(result for result, verdict in _RESULTS.items() if verdict == data["verdict"]),
            # older receipts do not state which program it was
            "configuration": [{"name": STEP_PROGRAM, "digest": {"sha256": program}}] if program else [],
            **{key: [one["backend"] for one in steps if one["verdict"] == verdict] for key, verdict in _TESTS.items()},
            DETAIL: {"schema": SCHEMA, **{key: value for key, value in data.items() if key not in apart}},
        },
    }


def render(data: Mapping[str, Any]) -> bytes:
    """The text of a receipt's file, identical for identical content."""
    return (json.dumps(statement(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def path_of(locked: Lockfile, device: Mapping[str, str | None], suite: str = BASIC) -> Path:
    """The path for a receipt of this lock, device and suite; different suites are different proofs."""
    return locked.path.parent / FOLDER / _file_name(locked, device, suite)


def _file_name(locked: Lockfile, device: Mapping[str, str | None], suite: str) -> str:
    return f"{slug(device, suite)}{locked.form.suffix}.json"


def write_below(folder: Path, locked: Lockfile, data: Mapping[str, Any]) -> Path:
    """Write a receipt as `<env>/<device>.json` below a folder that does not belong to a project.

    Returns:
        Its path.

    Raises:
        OutsideError: it cannot be written.
    """
    from kgen import storage  # noqa: PLC0415 - see above

    path = folder / locked.path.parent.name / _file_name(locked, data["device"], suite_of(data))
    storage.make_folder(path.parent)
    storage.write_file(path, render(data))
    return path


def write(locked: Lockfile, data: Mapping[str, Any]) -> Path | None:
    """Write a receipt, which replaces an older one for the same device.

    Returns:
        Its path; None if a stronger receipt exists: for the same lock, passed, with exactly what is locked, while the
            new
        one is about an environment with other packages.

    Raises:
        OutsideError: it cannot be written; the existing one is unchanged.
    """
    path = path_of(locked, data["device"], suite_of(data))
    old = _load(path)
    if old is not None and _is_stronger(old, data):
        return None
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise files.unwritable(path.parent, error, what="cannot be created") from error
    from kgen import storage  # noqa: PLC0415 - see above

    storage.write_file(path, render(data))
    return path


def _is_stronger(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    from kgen.validation.judge import Outcome  # noqa: PLC0415 - see above

    proven = old["lock"].get("content") == new["lock"]["content"] and old["verdict"] == Outcome.PASSED.value
    return bool(proven and old["installed"]["as_locked"] and not new["installed"]["as_locked"])


def find(folder: Path) -> tuple[Receipt, ...]:
    """The receipts in the folder of an environment, by device.

    Raises:
        OutsideError: they cannot be read.
        SettingsError: one of them is not a receipt.
    """
    return tuple(_found(folder))


def stale(folder: Path) -> tuple[Receipt, ...]:
    """The receipts in the folder of an environment whose lock installs something else now.

    Raises:
        OutsideError: they cannot be read.
        SettingsError: one of them is not a receipt.
    """
    return tuple(receipt for receipt in find(folder) if receipt.stale)


def _found(folder: Path) -> Iterator[Receipt]:
    try:
        paths = sorted(path for path in (folder / FOLDER).iterdir() if path.name.endswith(".json"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise files.unreadable(folder / FOLDER, error) from error
    for path in paths:
        data = _load(path)
        if data is None:
            continue
        device = data["device"]
        yield Receipt(
            path=path,
            data=data,
            stale=not _is_of(data, folder),
            environment=data["environment"],
            platform=data["platform"],
            device=device["name"] or device["kind"],
            driver=device["driver"],
            verdict=data["verdict"],
            date=data["date"],
            as_locked=data["installed"]["as_locked"],
        )


def _is_of(data: Mapping[str, Any], folder: Path) -> bool:
    """Whether the lock of a receipt still exists unchanged, or was written again for the same files."""
    proven = data["lock"]
    path = folder / proven["file"]
    try:
        content = files.read(path)
        if lockfiles.digest(content) == proven["sha256"]:
            return True
        form = formats.of_file(path.name)
        if form is None:
            return False
        locks = interface.reader(form).parse(path, content)
    except (OSError, KgenError):
        return False
    return any(one.platform == data["platform"] and one.content == proven.get("content") for one in locks)


def load(path: Path, environment: str | None = None) -> Mapping[str, Any]:
    """The receipt in a file; see :func:`parse`.

    Raises:
        OutsideError: the file cannot be read.
        SettingsError: it is not a receipt.
    """
    try:
        return parse(path, files.read(path), environment)
    except OSError as error:
        raise files.unreadable(path, error) from error


def is_current(data: Mapping[str, Any], folder: Path) -> bool:
    """Whether a receipt is about a lock in this folder: about its bytes, or about what it installs."""
    return _is_of(data, folder)


def _load(path: Path) -> Mapping[str, Any] | None:
    try:
        content = files.read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.unreadable(path, error) from error
    return parse(path, content)


def parse(path: Path, content: bytes, environment: str | None = None) -> Mapping[str, Any]:
    """The receipt in these bytes, in any form that `schema` allows.

    Args:
        path: the file, for messages.
        content: its bytes.
        environment: the environment that it must be for; None for the one whose folder contains the file, and empty for
            any, because a collection is in no environment's folder.

    Raises:
        SettingsError: it is not a receipt of this version of kgen; with every fault.
    """
    owner = path.parent.parent.name if environment is None else environment
    faults: list[str] = []
    try:
        data: Any = json.loads(content)
    except (ValueError, RecursionError):
        data, faults = None, ["it is not JSON"]
    if not faults and type(data) is not dict:
        faults.append(mismatch(data, dict))
    if not faults and "_type" in data:
        data = _flat(Table(data, "", faults))
        if not faults:
            _look(Table(data, f"predicate.{DETAIL}", faults), owner, SCHEMA)
    elif not faults:
        _look(Table(data, "", faults), owner, _BARE)
    if faults:
        listed = "".join(f"\n  {fault}" for fault in faults)
        raise SettingsError(
            f"{path} is not a receipt of this version of kgen:{listed}", hints=[f"rm {shlex.quote(str(path))}"]
        )
    found: Mapping[str, Any] = data
    return found


def _flat(top: Table) -> Mapping[str, Any]:
    """The content of a Statement, in the form of :func:`compose`; reports what is wrong with the Statement itself."""
    for key, wanted in (("_type", STATEMENT), ("predicateType", PREDICATE)):
        found = top.get(key, str, required=True)
        if found not in {wanted, None}:
            top.fault(key, f"is {grammar.shown(str(found))}, and this kgen reads {wanted}")
    digests = _digests(top, "subject")
    files_named = [name for name in digests if name != INSTALL_SET]
    if len(files_named) != 1:
        top.fault("subject", f"names {len(files_named)} lock files, and a receipt is about one")
    predicate = _part(top, "predicate")
    result = predicate.get("result", str, required=True)
    if result is not None and result not in _RESULTS:
        predicate.fault("result", "is neither PASSED nor FAILED")
    program = _digests(predicate, "configuration")
    detail = _part(predicate, DETAIL)
    if top.faults:
        return {}
    flat = {
        **detail.data,
        "lock": {"file": files_named[0], "sha256": digests[files_named[0]]},
        "verdict": _RESULTS[str(result)],
    }
    if INSTALL_SET in digests:
        flat["lock"]["content"] = digests[INSTALL_SET]
    if STEP_PROGRAM in program:
        flat["step_program"] = program[STEP_PROGRAM]
    _look_at_results(predicate, detail.data.get("steps"))
    return flat


def _look_at_results(predicate: Table, steps: object) -> None:
    """Report where the predicate, which any tool can read, contradicts kgen's own details."""
    if not isinstance(steps, list):  # reported with the details
        return
    rows = [one for one in steps if isinstance(one, dict)]
    for key, verdict in _TESTS.items():
        if predicate.texts(key) != tuple(one.get("backend") for one in rows if one.get("verdict") == verdict):
            predicate.fault(key, "is not what the steps say")
    passed = all(one.get("verdict") == _RESULTS["PASSED"] for one in rows)
    if passed != (_RESULTS[predicate.text("result")] == _RESULTS["PASSED"]):
        predicate.fault("result", "is not what the steps say")


def _digests(of: Table, key: str) -> dict[str, str]:
    """Name -> sha256 of the items in an array of resource descriptors."""
    found = {}
    for row in _rows(of, key):
        name = row.parsed("name", grammar.file, required=True)
        digest = _part(row, "digest").parsed("sha256", grammar.sha256, required=True)
        if name is not None and digest is not None:
            if name in found:
                row.fault("name", f"is there twice: {name}")
            found[name] = digest
    return found


def _look(top: Table, environment: str, wanted: int) -> None:
    """Report where a receipt violates its schema, as far as kgen or a person reads it."""
    schema = top.get("schema", int, required=True)
    if schema is not None and schema != wanted:
        top.fault("schema", f"is {schema}, and this kgen reads {wanted}")
    named = top.parsed("environment", grammar.environment, required=True)
    if named is not None and environment and formats.without_suffix(named) != environment:
        top.fault("environment", f"is `{named}`, and the folder is {grammar.shown(environment)}")
    top.parsed("platform", grammar.platform, required=True)
    top.parsed("date", grammar.day, required=True)
    if top.get("suite", str) not in {*SUITES, None}:
        top.fault("suite", f"is none of {', '.join(SUITES)}")
    top.parsed("kgen", grammar.line, required=True)
    lock = _part(top, "lock")
    lock.parsed("file", grammar.file, required=True)
    lock.parsed("sha256", grammar.sha256, required=True)
    lock.parsed("content", grammar.sha256)
    device = _part(top, "device")
    if device.get("kind", str, required=True) not in {"cpu", "gpu", None}:
        device.fault("kind", "is neither cpu nor gpu")
    device.get("accelerator", str)
    for key in ("name", "capability", "driver"):
        if not device.has(key):
            device.fault(key, "is missing")
        device.get(key, str)
    installed = _part(top, "installed")
    installed.get("as_locked", bool, required=True)
    steps = _rows(top, "steps")
    for row in (top, *steps):
        if row.get("verdict", str, required=True) not in {"passed", "failed", None}:
            row.fault("verdict", "is neither passed nor failed")
    for step in steps:
        step.parsed("backend", grammar.backend, required=True)


def _part(of: Table, key: str) -> Table:
    of.get(key, dict, required=True)
    return of.table(key)


def _rows(of: Table, key: str) -> tuple[Table, ...]:
    of.get(key, list, required=True)
    return tuple(of.tables(key))
