"""Finds what will break a locked environment on a machine, each with the command that fixes it.

Examines facts that others have gathered, and starts nothing, so that every finding can be reproduced from recorded
facts. Each kind of finding is a module in `rules`, whose name is the identifier of the finding; kgen needs nothing
else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from kgen.accelerators import Condition
from kgen.findings.rules import identifier, known
from kgen.findings.shape import ExaminedEnvironment, Facts, Finding, Rule, SystemLibrary
from kgen.host import Host
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.surroundings import Surroundings
from kgen.validation import variables

__all__ = [
    "ExaminedEnvironment",
    "Facts",
    "Finding",
    "Rule",
    "SystemLibrary",
    "examine",
    "identifier",
    "known",
    "variables_told",
]

_NEVER_UNSET = {"PATH"}
"""Variables that every start-up file mentions."""


def variables_told() -> tuple[str, ...]:
    """Patterns of the variables whose places in start-up files the findings report."""
    told = {row.name for row in variables.known()} - _NEVER_UNSET
    return "KERAS_[A-Z_]+", "PYTHONHOME", "(?:NCCL|GLOO)_SOCKET_IFNAME", *sorted(told)


def examine(
    machine: Host,
    around: Surroundings,
    examined: Sequence[ExaminedEnvironment],
    matrix: CompatibilityMatrix,
    libraries: Mapping[str, SystemLibrary],
    *,
    target: str = "",
    conditions: Mapping[str, tuple[Condition, ...]] = MappingProxyType({}),
    folder: str = "",
) -> tuple[Finding, ...]:
    """Every finding, faults first.

    Args:
        machine: the drivers and the GPUs.
        around: the surroundings of the environments.
        examined: the environments.
        matrix: the facts about GPUs.
        libraries: stem of a shared library, such as `libcudnn` -> what it is.
        target: the target in the settings that describes the machine; empty for this machine.
        conditions: kind of accelerator -> the state of each of its devices.
        folder: the project's folder; empty for another machine.
    """
    facts = Facts(machine, around, tuple(examined), matrix, libraries, target, conditions, folder)
    rules = {name: rule for name, rule in known().items() if rule.of_description or not target}
    found = [one._replace(identifier=name) for name, rule in rules.items() for one in rule.examine(facts)]
    return tuple(sorted(_merged(found), key=lambda finding: finding.kind))


def _merged(found: Sequence[Finding]) -> Iterator[Finding]:
    """Findings that differ only in their environment, combined."""
    environments: dict[Finding, list[str]] = {}
    for finding in found:
        environments.setdefault(finding._replace(environments=()), []).extend(finding.environments)
    for finding, names in environments.items():
        yield finding._replace(environments=tuple(dict.fromkeys(names)))
