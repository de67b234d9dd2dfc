"""`kgen doctor`: what on this machine will break an environment, and the command that mends it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from kgen import doctor, host, lockfiles, project, surroundings, uvtool
from kgen.cli import console
from kgen.cli.environments import find
from kgen.doctor import Finding, Patient
from kgen.errors import ExitStatus, KgenError, UsageError
from kgen.installers import environment as environments
from kgen.matrix import origin
from kgen.validate import pins


def run(arguments: argparse.Namespace) -> ExitStatus:
    """Examine this machine for the environments named, or all that are locked for it."""
    root = project.find_root(Path.cwd())
    names = list(arguments.environments)
    if not names:
        here = host.subdir() or ""
        names = [one.name for one in lockfiles.environments(root) if here in one.platforms]
    if not names:
        raise UsageError(f"nothing in {root} is locked for this machine", hints=["kgen lock"])
    patients = _patients(names, arguments.envs)
    machine = host.inspect()
    around = surroundings.gather(doctor.VARIABLES)
    known = {
        f"lib{stem}": doctor.SystemLibrary(row["title"], tuple(row["packages"]))
        for stem, row in pins.libraries().items()
    }
    found = doctor.examine(machine, around, patients, origin.current(), known)
    if arguments.json:
        console.data({"machine": _machine(machine), "findings": [finding._asdict() for finding in found]})
    else:
        console.result(_text(found, patients, machine))
    return ExitStatus.CHECK_FAILED if any(finding.kind == "fault" for finding in found) else ExitStatus.DONE


def _patients(names: Sequence[str], envs: str | None) -> list[Patient]:
    interpreters: dict[str, bool | None] = {}
    patients = []
    for source in [find(name, envs) for name in names]:
        lock = lockfiles.read(source.lock)
        whole = environments.is_whole(source)
        if not whole and lock.python not in interpreters:
            interpreters[lock.python] = _has_interpreter(lock.python)
        patients.append(
            Patient(
                lock=lock,
                prefix=source.prefix,
                whole=whole,
                interpreter=interpreters.get(lock.python),
                free=surroundings.free_bytes(source.prefix),
            )
        )
    return patients


def _has_interpreter(minor: str) -> bool | None:
    try:
        return uvtool.find_interpreter(uvtool.find(), minor) is not None
    except KgenError:
        return None


def _machine(machine: host.Host) -> Mapping[str, object]:
    return {
        "platform": machine.platform,
        "glibc": None if machine.glibc is None else str(machine.glibc),
        "driver": None if machine.driver is None else str(machine.driver),
        "gpus": [{"name": gpu.name, "capability": str(gpu.capability)} for gpu in machine.gpus],
    }


def _text(found: Sequence[Finding], patients: Sequence[Patient], machine: host.Host) -> str:
    gpus = ", ".join(f"{gpu.name} ({gpu.capability})" for gpu in machine.gpus) or "no GPU"
    driver = f"driver {machine.driver}" if machine.driver else "no NVIDIA driver"
    lines = [f"this machine: {machine.platform}, {gpus}, {driver}"]
    for finding in found:
        concerned = ", ".join(finding.environments) or "every environment"
        lines += [
            "",
            f"{finding.kind}: {finding.what}",
            f"  in:    {concerned}",
            f"  where: {finding.where}",
            f"  why:   {finding.why}",
            f"  mend:  {finding.mend}",
        ]
    faults = sum(finding.kind == "fault" for finding in found)
    examined = ", ".join(one.lock.environment for one in patients)
    summary = f"{faults} fault{'s' if faults != 1 else ''}" if faults else "nothing here will break it"
    return "\n".join([*lines, "", f"{examined}: {summary}"])
