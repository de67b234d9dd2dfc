"""Why a validation failed, in words: from what the framework logged, and from the rows of `diagnoses.toml`."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import tomli

_MOST = 4
"""So many causes are said; the first fit best."""

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


class Diagnosis(NamedTuple):
    """What is said about a failure.

    Attributes:
        causes: what it comes from, in kgen's words: they name nothing of this machine.
        quotes: lines of the framework's own.
        hints: what to type next.
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
) -> Diagnosis:
    """Looks for the cause of a failure.

    Args:
        fault: how it failed.
        environment: the environment's name, for hints.
        output: what the framework printed.
        failure: the step's `failed` event; empty if it reported none.
        watched: the variables that can turn the framework aside and were set.
        missing: rows of package and file: libraries that should be on disk and are not.
        installed: normalised name -> version of what is there.
    """
    causes: list[str] = []
    hints: list[str] = []
    rows = _rows()
    for package in dict.fromkeys(row["package"] for row in missing):
        files = [Path(row["file"]).name for row in missing if row["package"] == package]
        causes.append(
            f"{files[0]} of {package.replace('_', '-')} is not on disk"
            + (f", and {len(files) - 1} more" if files[1:] else "")
        )
        hints.append(f"kgen sync {environment}")
    facts = failure.get("facts", {})
    for cause, hint in (*_of_driver(facts.get("driver"), rows["driver"]), *_of_variables(fault, watched, rows)):
        causes.append(cause)
        hints.append(hint)
    for row in rows["installed"]:
        if fault in row["faults"] and _are_there(row["packages"], installed):
            causes.append(row["says"])
            hints.append(row["hint"].format(environment=environment))
    # What the step refused by itself is said already.
    raised = [] if failure.get("kind") else failure.get("errors", ())
    errors = [f"{error['type']}: {error['message']}" for error in raised]
    reasons = [str(reason) for reason in facts.get("reasons", ())]
    text = "\n".join([*errors, *reasons, output])
    known: list[str] = []
    for row in rows["log"]:
        match = re.search(row["pattern"], text)
        if match is not None:
            known.append(_line(text, match.start()))
            causes.append(row["says"].format(match[0], *(group or "" for group in match.groups())))
            hints.append(row.get("hint", "").format(environment=environment))
    return Diagnosis(
        causes=tuple(dict.fromkeys(causes))[:_MOST],
        quotes=_quotes([*reasons, *known[:_MOST]], errors, output),
        hints=tuple(dict.fromkeys(hint for hint in hints if hint))[:_MOST],
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


def _of_variables(
    fault: str, watched: Mapping[str, str], rows: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterable[tuple[str, str]]:
    for row in rows["variable"]:
        value = watched.get(row["name"])
        if value is not None and fault in row["faults"] and re.fullmatch(row["pattern"], value):
            yield row["says"].format(value), f"unset {row['name']}"


def _are_there(packages: Mapping[str, str], installed: Mapping[str, str]) -> bool:
    """Whether each of these packages is there in a version of its range."""
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415 - only a failure pays for it

    return all(name in installed and installed[name] in SpecifierSet(text) for name, text in packages.items())


def _line(text: str, place: int) -> str:
    """The line around a place of a text."""
    return text[text.rfind("\n", 0, place) + 1 :].partition("\n")[0]


def _quotes(known: Sequence[str], errors: Sequence[str], output: str) -> tuple[str, ...]:
    """The framework's own lines: those that were understood, what it raised, and the last of its log that tell."""
    log = [line for line in output.splitlines() if _TELLING.search(line) and not _NOISE.search(line)]
    if _HEADER in output:
        # Where Python was when the process crashed or ran out of time; the main thread comes last.
        frames = output.rpartition(_HEADER)[2].splitlines()[1 : 1 + _FRAMES]
        log += [frame for frame in frames if frame.lstrip().startswith("File ")]
    lines = [*known, *(line for error in errors[:2] for line in error.splitlines()[:2]), *log[-_QUOTED:]]
    return tuple(dict.fromkeys(_shown(line) for line in lines if line.strip()))[: _QUOTED + 2]


def _shown(line: str) -> str:
    """A line of whatever a framework printed, safe for a terminal and not endless."""
    text = "".join(character if character.isprintable() else "�" for character in line.strip())
    return text if len(text) <= _WIDEST else text[:_WIDEST] + "…"


@functools.cache
def _rows() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    return tomli.loads((Path(__file__).parent / "diagnoses.toml").read_text(encoding="utf-8"))
