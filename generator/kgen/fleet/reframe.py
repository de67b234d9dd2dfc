"""ReFrame as an engine: it reads a site's configuration into pools, and runs the jobs on nodes as one check.

kgen uses only what ReFrame documents: its command line, its configuration and its report. Only ReFrame reads the site's
file, which may be a Python program that imports the site's own modules. kgen adds a second configuration, in which the
locks are the programming environments of each partition.
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kgen import files, host, process, pythonpath, settings, storage
from kgen.errors import FailedProgramError, SettingsError, UsageError
from kgen.fields import ACCELERATORS
from kgen.fleet import answers
from kgen.fleet.shape import Job, Limits, Pool, Progress, Returned, Slot
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU
from kgen.model.grammar import printable
from kgen.settings import Target
from kgen.tables import Table, mismatch
from kgen.templates import render

INSTALL = "pip install 'keras-kgen[fleet]'"
EXTRAS = "kgen"
"""The key in a partition's `extras` under which the site describes its nodes."""

_OWN = ("envs", "project", "program")
"""The keys of the extras that do not describe a machine."""

_PROGRAM = "reframe"
_CHECK, _PLAN, _SLOT, _SITE = "kgen_validate", "plan.json", "slot.json", "site.json"
_STAGE, _REPORT, _LOG = "stage", "report.json", "reframe.log"
_LINE = re.compile(r"\[\s*(RUN|OK|FAIL|SKIP|ABORT)\s*\].* @(\S+?)\+([A-Za-z0-9_-]+)(?:\s|$)")
_RULE = re.compile("--- std(?:out|err) ---")
_STAGES: Mapping[str, str] = {
    "RUN": "submitted",
    "OK": "answered",
    "FAIL": "no answer",
    "SKIP": "its receipt stands",
    "ABORT": "given up",
}
_OWN_SYSTEM = {
    "name": "generic",
    "descr": "Generic example system",
    "hostnames": [".*"],
    "partitions": [{"name": "default", "scheduler": "local", "launcher": "local", "environs": ["builtin"]}],
}
"""The system that ReFrame falls back to where no system of the site matches this host."""

_FRAME = re.compile(r'\s*File "(.*)", line \d+')
_KEPT = 1 << 20
_QUOTED = 8
_SHOWN = 300


class ReFrame:
    """A site with a ReFrame configuration.

    Args:
        file: the site's configuration.
        matrix: the facts.

    Raises:
        UsageError: there is no such file, or ReFrame is not installed.
        SettingsError: ReFrame cannot read the file, or a partition describes its nodes wrongly.
    """

    title = "ReFrame"

    def __init__(self, file: Path, matrix: CompatibilityMatrix) -> None:
        self._file = file.absolute()
        if not files.is_file(self._file):
            raise UsageError(
                f"`--fleet`: there is no site configuration {file}",
                hints=["give a configuration of ReFrame's, or `k8s:CONTEXT`"],
            )
        self._program = _program()
        self._system = self._read_system()
        self.pools: Mapping[str, Pool] = self._read_pools(matrix)

    @property
    def name(self) -> str:
        """The name of the site's folder; it depends on the file's whole path."""
        import hashlib  # noqa: PLC0415 - loads OpenSSL

        digest = hashlib.sha256(str(self._file).encode()).hexdigest()
        return f"{re.sub('[^a-z0-9]+', '-', self._file.stem.lower()).strip('-') or 'site'}-{digest[:8]}"

    # -- the site ------------------------------------------------------------------------------------------------------

    def _read_system(self) -> Mapping[str, Any]:
        quoted = shlex.quote(str(self._file))
        words = [self._program, "-C", str(self._file), "--nocolor", "--show-config=systems"]
        done = process.run(words, timeout=host.seconds(120.0))
        try:
            found: Any = json.loads(done.stdout[done.stdout.index("[\n") :]) if done.status == 0 else None
        except ValueError:
            found = None
        if not isinstance(found, list) or not found or not isinstance(found[0], dict):
            raise SettingsError(
                f"ReFrame cannot read {self._file}:\n{_end_of(done.stdout + done.stderr, self._file)}",
                # ReFrame does not say why it cannot run a Python file; Python does
                hints=[
                    *([f"python3 {quoted}"] if self._file.suffix == ".py" else ()),
                    f"{_PROGRAM} -C {quoted} --show-config=systems",
                ],
            )
        system: Mapping[str, Any] = found[0]
        if system == _OWN_SYSTEM:
            raise SettingsError(
                f"no system in {self._file} is for this host, `{printable(platform.node())}`",
                hints=[
                    "name the system: RFM_SYSTEM=NAME kgen validate --fleet " + quoted,
                    f"edit `hostnames` in {self._file}",
                ],
            )
        return system

    def _read_pools(self, matrix: CompatibilityMatrix) -> dict[str, Pool]:
        faults: list[str] = []
        pools = {}
        for row in self._system["partitions"]:
            name = f"{self._system['name']}:{row['name']}"
            extras = row.get("extras") or {}
            said = extras.get(EXTRAS)
            if said is not None and type(said) is not dict:
                faults.append(f"{name}: extras.{EXTRAS} {mismatch(said, dict)}")
                continue
            pools[name] = _pool(name, said or {}, matrix, faults, limited="time_limit" in row)
        if faults:
            raise SettingsError(
                "\n".join(f"{self._file}: {printable(fault)}" for fault in faults),
                hints=[f"edit {files.typed(self._file)}"],
            )
        return pools

    # -- running -------------------------------------------------------------------------------------------------------

    def run(self, jobs: Sequence[Job], folder: Path, limits: Limits, progress: Progress) -> list[Returned]:
        """See :class:`kgen.fleet.shape.Engine`."""
        by_environ = {_environ(job.environment): job.environment for job in jobs}
        self._write(jobs, folder, limits)

        def hear(line: str) -> None:
            found = _LINE.search(line)
            if found is not None:
                stage, pool, environ = found.groups()
                progress(f"{pool}, {by_environ.get(environ, environ)}", _STAGES[stage])

        words = [
            *(self._program, "-C", str(self._file), "-C", str(folder / _SITE), "--system", self._system["name"]),
            *("-c", str(folder / f"{_CHECK}.py"), "--nocolor", "--keep-stage-files", "--exec-policy", "async"),
            *("--prefix", str(folder), "-s", str(folder / _STAGE), "-o", str(folder / "output")),
            *("--report-file", str(folder / _REPORT), "--max-retries", str(limits.retries)),
            *(("--distribute=all",) if limits.each_node else ()),
            "-r",
        ]
        done = process.run(words, keep=_KEPT, hear=hear, cwd=folder)
        found = self.gather(folder)
        if not files.is_file(folder / _REPORT):
            raise FailedProgramError(
                f"ReFrame ended without a report:\n{_end_of(done.stdout + done.stderr)}",
                hints=[f"see {folder / _LOG}"],
            )
        return found

    def _write(self, jobs: Sequence[Job], folder: Path, limits: Limits) -> None:
        planned: dict[str, dict[str, Any]] = {}
        for job in jobs:
            pool = job.pool
            planned.setdefault(pool.name, {})[_environ(job.environment)] = {
                "words": [*(pool.program or own_program()), *job.words],
                "project": pool.project or str(job.lock.path.parents[2]),
                "receipts": job.receipts,
                "gpus": 1 if job.accelerated else None,
                # a time limit that the site has set wins
                "limit": None if pool.limited else f"{int(job.seconds)}s",
            }
        plan = {
            "jobs": planned,
            "environments": {_environ(job.environment): job.environment for job in jobs},
            "standing": sorted(limits.standing),
        }
        names = {
            "plan": _PLAN,
            "slot": _SLOT,
            "node": answers.NODE,
            "receipts": answers.RECEIPTS,
            "answer": answers.ANSWER,
        }
        texts = {
            f"{_CHECK}.py": render("fleet/check.py.j2", check=_CHECK, **names),
            _PLAN: json.dumps(plan, indent=1),
            _SITE: json.dumps(self._configuration(planned, folder), indent=1),
        }
        for name, text in texts.items():
            storage.write_file(folder / name, text.encode())

    def _configuration(self, planned: Mapping[str, Mapping[str, Any]], folder: Path) -> Mapping[str, Any]:
        """The site's system with the locks as the programming environments of its partitions."""
        system = self._system
        rows = [
            {**row, "environs": sorted(planned[name])}
            for row in system["partitions"]
            if (name := f"{system['name']}:{row['name']}") in planned
        ]
        environs = sorted({name for jobs in planned.values() for name in jobs})
        return {
            "systems": [{**system, "partitions": rows}],
            "environments": [{"name": name, "target_systems": [system["name"]]} for name in environs],
            "logging": [
                {
                    # stderr reports progress as it happens; stdout would arrive only at the end
                    "handlers$": [{"type": "stream", "name": "stderr", "level": "info", "format": "%(message)s"}],
                    "handlers": [{"type": "file", "name": str(folder / _LOG), "level": "debug2", "append": False}],
                    "handlers_perflog": [],
                }
            ],
        }

    # -- what came back ------------------------------------------------------------------------------------------------

    def gather(self, folder: Path) -> list[Returned]:
        """See :class:`kgen.fleet.shape.Engine`."""
        reasons, unplaced = _reported(folder / _REPORT)
        places: dict[Slot, list[Path]] = {}
        for slot, place in _stages(folder / _STAGE):
            places.setdefault(slot, []).append(place)
        returned = []
        for slot, tried in sorted(places.items()):
            # each try has its own folder, and an answer from any of them counts
            place = max(tried, key=lambda one: (answers.is_answered(one), one.stat().st_mtime))
            node = _text_of(place / answers.NODE)
            returned.append(Returned(slot, place, node, reasons.get(str(place), ""), len(tried)))
        begun = {(slot.pool, _environ(slot.environment)) for slot in places}
        return returned + [one for one in unplaced if (one.slot.pool, one.slot.environment) not in begun]


def own_program() -> tuple[str, ...]:
    """The words that start this kgen on a node that sees this machine's files."""
    return pythonpath.program()


def _program() -> str:
    """The ReFrame beside kgen, else the one on PATH.

    Raises:
        UsageError: ReFrame is not installed.
    """
    beside = Path(sys.executable).parent / _PROGRAM
    if files.is_file(beside):
        return str(beside)
    if host.has_program(_PROGRAM):
        return _PROGRAM
    raise UsageError("`--fleet`: ReFrame is not installed", hints=[INSTALL])


def _environ(environment: str) -> str:
    """The name of an environment, in the characters that ReFrame accepts."""
    return re.sub("[^A-Za-z0-9_-]", "_", environment)


def _pool(name: str, said: Mapping[str, Any], matrix: CompatibilityMatrix, faults: list[str], *, limited: bool) -> Pool:
    place = f"{name}: extras.{EXTRAS}"
    row = Table({key: value for key, value in said.items() if key not in _OWN}, place, faults)
    own = Table({key: value for key, value in said.items() if key in _OWN}, place, faults)
    before = len(faults)
    target = settings.described(row, name, matrix) if row.data else Target(name, CPU)
    if target is None:
        if len(faults) == before:
            known = ", ".join(str(field.key) for field in ACCELERATORS)
            faults.append(f"{place} does not say what it computes on: give one of {known}")
        target = Target(name, CPU)
    envs, project = own.get("envs", str), own.get("project", str)
    program = own.texts("program")
    return Pool(name, target, envs=envs, project=project, program=program, limited=limited)


def _stages(stage: Path) -> Iterator[tuple[Slot, Path]]:
    for path in sorted(stage.rglob(_SLOT)):
        with contextlib.suppress(OSError, ValueError, TypeError):
            yield Slot(*json.loads(files.read(path))), path.parent


def _reported(report: Path) -> tuple[dict[str, str], list[Returned]]:
    """The reasons of failed jobs by their folders, and the jobs that failed before they had a folder."""
    reasons: dict[str, str] = {}
    unplaced: dict[tuple[str, str], Returned] = {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        data: Any = json.loads(files.read(report))
        for case in (case for run in data["runs"] for case in run["testcases"]):
            if case.get("fail_reason"):
                reason = _sentence(str(case["fail_reason"]))
                said = _last_line(Path(str(case.get("stagedir"))) / str(case.get("job_stderr")))
                reasons[str(case.get("stagedir"))] = f"{reason}: {said}" if said else reason
                pool, environ = f"{case['system']}:{case['partition']}", str(case["environ"])
                unplaced[pool, environ] = Returned(Slot(pool, environ), None, None, reason)
    return reasons, list(unplaced.values())


def _last_line(path: Path) -> str:
    """Why a job ended: kgen's error line, else the last line of its output, which may be the scheduler's."""
    try:
        lines = [line.strip() for line in files.read_text(path, errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    errors = [line for line in lines if line.startswith("error: ")]
    return printable((errors or lines)[-1][:_SHOWN]) if lines else ""


def _sentence(reason: str) -> str:
    """ReFrame's reason for a failure, with the output of the failed program but without the exception's name."""
    first, *rest = [line.strip() for line in reason.splitlines() if line.strip()] or [""]
    said = [line for line in rest if not _RULE.fullmatch(line)] if first.endswith(":") else []
    plain = re.sub(r"^[a-z ]*error: (?:\[jobid=[^]]*\] )?", "", first)
    return printable(" ".join([plain, *said]))[:_SHOWN]


def _text_of(path: Path) -> str | None:
    try:
        return printable(files.read_text(path).strip()) or None
    except (OSError, UnicodeDecodeError):
        return None


def _end_of(text: str, file: Path | None = None) -> str:
    """The last lines of a program's output; of a traceback, only the frame in the site's file and the error."""
    lines = [line for line in text.splitlines() if line.strip()]
    frames = [(at, match[1]) for at, line in enumerate(lines) if (match := _FRAME.match(line))]
    if frames:
        own = [at for at, name in frames if file is not None and name == str(file)]
        # below the last frame stands what the interpreter shows of a file that it cannot parse
        whole = bool(own) and own[-1] == frames[-1][0]
        lines = lines[own[-1] :] if whole else [*(lines[at].strip() for at in own[-1:]), lines[-1]]
    return "\n".join(f"  {printable(line)}" for line in lines[-_QUOTED:])
