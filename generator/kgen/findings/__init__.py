"""What on a machine will break a locked environment, each with the command that fixes it.

Looks at facts that others have gathered and starts nothing, so that every finding can be had from written-down facts.
A kind of finding is a module in `rules`, and all that kgen has to know of it: its name is the finding's identifier.
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
"""Every start-up file mentions it."""


def variables_told() -> tuple[str, ...]:
    """Patterns of the variables whose place in start-up files is worth knowing."""
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
    """Every finding, the faults first.

    Args:
        machine: the drivers and the GPUs.
        around: what surrounds the environments.
        examined: the environments.
        matrix: what serves which GPU.
        libraries: stem of a shared library, as `libcudnn` -> what it is.
        target: the target of the settings that the machine is, which is judged by its description; empty for this one.
        conditions: kind of accelerator -> the state that each of its devices is in.
        folder: the project's; empty for another machine.
    """
    facts = Facts(machine, around, tuple(examined), matrix, libraries, target, conditions, folder)
    rules = {name: rule for name, rule in known().items() if rule.of_description or not target}
    found = [one._replace(identifier=name) for name, rule in rules.items() for one in rule.examine(facts)]
    return tuple(sorted(_merged(found), key=lambda finding: finding.kind))


def _merged(found: Sequence[Finding]) -> Iterator[Finding]:
    """What is the same but for the environment, once."""
    environments: dict[Finding, list[str]] = {}
    for finding in found:
        environments.setdefault(finding._replace(environments=()), []).extend(finding.environments)
    for finding, names in environments.items():
        yield finding._replace(environments=tuple(dict.fromkeys(names)))
