"""Diagnoses why a validation failed, from the framework's log and from the rows of `diagnoses.toml`."""

from __future__ import annotations

import functools
import re
import signal
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import tomli

from kgen.model.requirement import canonical_name
from kgen.validation import variables
from kgen.validation.variables import Variable

_MOST = 4
"""The largest number of causes in a diagnosis; the first ones fit best."""

_QUOTED = 6
_HEADER = "(most recent call first):"
_FRAMES = 2
_WIDEST = 240
_TELLING = re.compile(
    r"(?i)error|fail|cannot|could not|unable|not found|no such|missing|insufficient|incompatib|mismatch|warning"
    r"|fatal|segmentation|aborted|illegal|denied|disabled|fall(?:ing)? ?back|lib\w+\.so"
)
_NOISE = re.compile(
    r"oneDNN custom operations|cpu_feature_guard|rebuild TensorFlow with|AVX|absl::InitializeLog|^\s*File \""
    r"|Unable to register cu\w+ factory|computation placer already registered|^Extension modules:"
)


_TOOLS = r"(?:ptxas|nvlink|nvcc|fatbinary|libdevice[\w.]*)\b"
"""The parts of a toolkit that compilers for NVIDIA GPUs use."""


_SYNC, _CHECK = "kgen sync ", "python -m pip check   # with this Python: it names what is missing or does not fit"
"""What a hint begins with that mends environments which are made from a lock; and the one in its place for others."""


class Diagnosis(NamedTuple):
    """The explanation of a failure.

    Attributes:
        causes: the causes, in kgen's words, which contain nothing about this machine.
        quotes: lines of the framework's own output.
        hints: commands to type next.
    """

    causes: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


NOTHING = Diagnosis()


def diagnose(
    fault: str,
    *,
    environment: str,
    output: str,
    failure: Mapping[str, Any],
    watched: Mapping[str, str],
    missing: Sequence[Mapping[str, str]],
    installed: Mapping[str, str] = MappingProxyType({}),
    foreign: bool = False,
    synced: bool = True,
    locked: Collection[str] | None = None,
    status: int | None = None,
) -> Diagnosis:
    """Look for the cause of a failure.

    Args:
        fault: how it failed.
        environment: the environment's name, for hints.
        output: the framework's output.
        failure: the step's `failed` event; empty if it reported none.
        watched: variables that were set and can misdirect the framework.
        missing: rows of package and file: libraries that should be on disk but are not.
        installed: normalised name -> version of the installed packages.
        foreign: whether a library of an accelerator, other than the driver's, was loaded from outside the environment.
        synced: whether `kgen sync` makes the environment from a lock.
        locked: the normalised names of what the lock installs, if a program of the user ran, which may need more.
        status: its exit status, or the negative signal number; None if it ran out of time.
    """
    causes: list[str] = []
    hints: list[str] = []
    rows = _rows()
    facts = failure.get("facts", {})
    # The step has already explained what it refused itself.
    raised = [] if failure.get("kind") else failure.get("errors", ())
    errors = [f"{error['type']}: {error['message']}" for error in raised]
    reasons = [str(reason) for reason in facts.get("reasons", ())]
    text = "\n".join([*errors, *reasons, output])
    driver = facts.get("driver") or {}
    # if the driver's library was queried, its answer counts
    spoken = () if driver.get("init") else [row for row in rows["driver"] if "pattern" in row]
    matches = [(row, match) for row in (*spoken, *rows["log"]) if (match := re.search(row["pattern"], text))]
    effects = {
        "libraries": bool(_is_stub(driver, rows["driver"]) or foreign or any(row.get("loader") for row, _ in matches)),
        "modules": any(entry in text for entry in watched.get("PYTHONPATH", "").split(":") if entry),
    }
    for package in dict.fromkeys(row["package"] for row in missing):
        files = [Path(row["file"]).name for row in missing if row["package"] == package]
        causes.append(
            f"{files[0]} of {package.replace('_', '-')} is not on disk"
            + (f", and {len(files) - 1} more" if files[1:] else "")
        )
        hints.append(f"kgen sync {environment}")
    told = [
        *_of_driver(facts.get("driver"), rows["driver"]),
        *(_of_variable(row, watched) for row in _variables(fault, watched) if row.effect is None),
        *(
            (row["says"], row["hint"].format(environment=environment))
            for row in rows["installed"]
            if fault in row["faults"] and _are_there(row["packages"], installed)
        ),
    ]
    for cause, hint in told:
        causes.append(cause)
        hints.append(hint)
    known: list[str] = []
    for row, match in matches:
        known.append(_line(text, match.start()))
        causes.append(row["says"].format(match[0], *(group or "" for group in match.groups())))
        hint = row.get("hint", "")
        if locked is not None and "unlocked" in row and canonical_name(match[1].partition(".")[0]) not in locked:
            hint = row["unlocked"]  # a sync does not install what is not locked
        hints.append(hint.format(match[0], *match.groups(), environment=environment))
    for cause, hint in _of_signal(status, rows["signal"]):
        causes.append(cause)
        hints.append(hint)
    # variables that may or may not have an effect come last, and only if an effect was seen
    for variable in _variables(fault, watched):
        led = variable.effect == "toolkit" and _leads_to_toolkit(watched[variable.name], text)
        if variable.effect is not None and (led or effects.get(variable.effect)):
            cause, hint = _of_variable(variable, watched)
            causes.append(cause)
            hints.append(hint)
    return Diagnosis(
        causes=tuple(dict.fromkeys(causes))[:_MOST],
        quotes=_quotes([*reasons, *known[:_MOST]], errors, output),
        hints=tuple(dict.fromkeys(hint if synced or not hint.startswith(_SYNC) else _CHECK for hint in hints if hint))[
            :_MOST
        ],
    )


def _of_driver(driver: Mapping[str, Any] | None, rows: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    if driver is None:
        return
    if not driver["loaded"]:
        yield "the driver's library libcuda.so.1 cannot be loaded", "nvidia-smi; install NVIDIA's driver"
    elif driver.get("stub"):
        row = next(row for row in rows if "stub" in row["says"])
        yield row["says"], row["hint"]
    elif driver["init"] != 0:
        known = next((row for row in rows if row["code"] == driver["init"]), None)
        if known is not None:
            yield known["says"], known["hint"]
        elif driver["init"] is not None:
            yield f"the driver does not start (cuInit: {driver['init']})", "nvidia-smi"
    elif driver["devices"] == 0:
        yield "the driver starts and has no GPU to give", "nvidia-smi"


def _of_signal(status: int | None, rows: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    numbers = {row["name"]: getattr(signal, row["name"], None) for row in rows}
    return ((row["says"], row["hint"]) for row in rows if status is not None and numbers[row["name"]] == -status)


def _is_stub(driver: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the driver's library that was found has no driver behind it, according to its path or its answer."""
    return bool(driver.get("stub")) or any(row["code"] == driver.get("init") for row in rows if row.get("stub"))


def _variables(fault: str, watched: Mapping[str, str]) -> Iterable[Variable]:
    """The rows of the table that may be behind a failure."""
    return (row for row in variables.known() if fault in row.faults and row.fits(watched))


def _of_variable(row: Variable, watched: Mapping[str, str]) -> tuple[str, str]:
    return row.says.format(watched[row.name]), row.hint or f"unset {row.name}"


def _leads_to_toolkit(value: str, text: str) -> bool:
    """Whether a compiler said that it took a tool, or its library, from a folder in the variable."""
    folders = (re.escape(one.rstrip("/")) for one in value.split(":") if one.strip("/"))
    return any(re.search(rf"(?<![\w./-]){folder}/(?:\S*/)?{_TOOLS}", text) for folder in folders)


def out_of_memory(failure: Mapping[str, Any]) -> bool:
    """Whether the framework's error says that the memory was exhausted."""
    text = "\n".join(f"{error['type']}: {error['message']}" for error in failure.get("errors", ()))
    return any(row.get("memory") and re.search(row["pattern"], text) for row in _rows()["log"])


def folded(text: str) -> str:
    """The first line of a framework's message, shortened for people; `--json` has all of it."""
    lines = text.strip().splitlines()
    return _shown(lines[0]) if lines else ""


def _are_there(packages: Mapping[str, str], installed: Mapping[str, str]) -> bool:
    """Whether each of these packages is installed in a version of its range."""
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415 - only a failure pays for it

    return all(name in installed and installed[name] in SpecifierSet(text) for name, text in packages.items())


def _line(text: str, place: int) -> str:
    """The line at a position of a text."""
    return text[text.rfind("\n", 0, place) + 1 :].partition("\n")[0]


def _quotes(known: Sequence[str], errors: Sequence[str], output: str) -> tuple[str, ...]:
    """The framework's own lines: those that kgen recognised, its errors, and the last informative ones of its log."""
    log = [line for line in output.splitlines() if _TELLING.search(line) and not _NOISE.search(line)]
    if _HEADER in output:
        # Python's stack when the process crashed or ran out of time; the main thread comes last.
        frames = output.rpartition(_HEADER)[2].splitlines()[1 : 1 + _FRAMES]
        log += [frame for frame in frames if frame.lstrip().startswith("File ")]
    lines = [*known, *(line for error in errors[:2] for line in error.splitlines()[:2]), *log[-_QUOTED:]]
    return tuple(dict.fromkeys(_shown(line) for line in lines if line.strip()))[: _QUOTED + 2]


def _shown(line: str) -> str:
    """A line of a framework's output, made safe for a terminal and shortened."""
    text = "".join(character if character.isprintable() else "�" for character in line.strip())
    return text if len(text) <= _WIDEST else text[:_WIDEST] + "…"


@functools.cache
def _rows() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    return tomli.loads((Path(__file__).parent / "diagnoses.toml").read_text(encoding="utf-8"))
