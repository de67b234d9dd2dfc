"""`kgen doctor`: what on this machine breaks an environment, and the command that fixes it."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 2,
    "purpose": "find what on this machine breaks an environment, and the command that fixes it",
    "example": "kgen doctor jax-cuda12",
}

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from kgen import accelerators, project
from kgen.actions.doctor import DoctorResult, examine, examine_target
from kgen.cli import console
from kgen.cli.formats import OnlyFormat, naming_formats
from kgen.cli.options import Environments, Envs, Json, option
from kgen.errors import ExitStatus
from kgen.host import Host
from kgen.matrix import origin
from kgen.model.grammar import printable


@naming_formats
def run(
    environments: Environments = None,
    *,
    target: Annotated[
        str | None,
        option("--target", metavar="NAME", text="judge the locks for a target of the settings, not for this machine"),
    ] = None,
    form: OnlyFormat = None,
    envs: Envs = None,
    json: Json = False,
) -> ExitStatus:
    """Examine this machine, or a target of the settings, for the environments named or all that are locked for it."""
    root, matrix, names = project.find_root(Path.cwd()), origin.current(), environments or ()
    if target is None:
        found = examine(root, matrix, names, form=form, envs=envs)
    else:
        found = examine_target(root, matrix, target, names, form=form)
    if json:
        console.data(
            {"machine": _machine(found.machine), "findings": [finding._asdict() for finding in found.findings]}
        )
    else:
        console.result(_text(found))
    return ExitStatus.CHECK_FAILED if found.faults else ExitStatus.DONE


def _machine(machine: Host) -> Mapping[str, object]:
    here = machine.of(machine.best)
    return {
        "platform": machine.platform,
        "glibc": None if machine.glibc is None else str(machine.glibc),
        "driver": None if here.driver is None else str(here.driver),
        "accelerator": machine.best if here.found else None,
        "gpus": [{"name": gpu.name, "capability": gpu.architecture} for gpu in here.gpus],
    }


def _text(found: DoctorResult) -> str:
    machine = found.machine
    here, maker = machine.of(machine.best), accelerators.kind(machine.best).maker
    gpus = ", ".join(f"{gpu.name} ({gpu.architecture})" for gpu in here.gpus) or "no GPU"
    driver = f"driver {here.driver}" if here.driver else f"{'a' if here.gpus else 'no'} {maker} driver"
    which = f"target {found.target}" if found.target else "this machine"
    lines = [f"{which}: {', '.join(filter(None, (machine.platform, gpus, driver)))}"]
    for finding in found.findings:
        concerned = ", ".join(finding.environments) or "every environment"
        lines += [
            "",
            f"{finding.kind}: {printable(finding.what)}",
            f"  in:    {concerned}",
            f"  where: {printable(finding.where)}",
            f"  why:   {printable(finding.why)}",
            f"  fix:   {printable(finding.fix)}",
        ]
    faults = len(found.faults)
    summary = f"{faults} fault{'s' if faults != 1 else ''}" if faults else "no faults"
    return "\n".join([*lines, "", f"{', '.join(found.environments)}: {summary}"])
