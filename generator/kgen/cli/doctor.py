"""`kgen doctor`: what on this machine will break an environment, and the command that mends it."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 2,
    "purpose": "find what on this machine will break an environment, and the command that mends it",
    "example": "kgen doctor jax-cuda12",
}

from collections.abc import Mapping, Sequence
from pathlib import Path

from kgen import doctor, host, lockfiles, project, surroundings, uvtool
from kgen.cli import console
from kgen.cli.environments import find
from kgen.cli.formats import OnlyFormat, naming_formats
from kgen.cli.options import Environments, Envs, Json
from kgen.doctor import Finding, Patient
from kgen.errors import ExitStatus, KgenError, UsageError
from kgen.formats import environment as realised
from kgen.formats import interface
from kgen.formats.environment import Source
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model import format as formats
from kgen.model.format import Format
from kgen.model.grammar import printable
from kgen.validate import pins


@naming_formats
def run(
    environments: Environments = None, *, form: OnlyFormat = None, envs: Envs = None, json: Json = False
) -> ExitStatus:
    """Examine this machine for the environments named, or all that are locked for it."""
    root = project.find_root(Path.cwd())
    matrix = origin.current()
    names = environments or _names(root, form)
    if not names:
        words = "" if form is None else form.words
        raise UsageError(f"nothing in {root} is locked for this machine", hints=[f"kgen lock{words}"])
    patients = _patients([find(name, envs, form) for name in names], matrix)
    machine = host.inspect()
    around = surroundings.gather(doctor.VARIABLES)
    known = {
        f"lib{stem}": doctor.SystemLibrary(row["title"], tuple(row["packages"]))
        for stem, row in pins.libraries().items()
    }
    found = doctor.examine(machine, around, patients, matrix, known)
    if json:
        console.data({"machine": _machine(machine), "findings": [finding._asdict() for finding in found]})
    else:
        console.result(_text(found, patients, machine))
    return ExitStatus.CHECK_FAILED if any(finding.kind == "fault" for finding in found) else ExitStatus.DONE


def _names(root: Path, form: Format | None) -> list[str]:
    """What is locked for this machine: in one form, or in whichever."""
    here = host.subdir() or ""
    return sorted(
        f"{one.name}{of.suffix}"
        for of in ((form,) if form is not None else formats.known())
        for one in lockfiles.environments(root)
        if (path := lockfiles.lock_path(one, of, here)) is not None
        and (of.platform_of(path.name) or any(lock.platform == here for lock in interface.read_every(of, path)))
    )


def _patients(sources: Sequence[Source], matrix: CompatibilityMatrix) -> list[Patient]:
    interpreters: dict[str, bool | None] = {}
    patients = []
    for source in sources:
        lock = interface.read(source.form, source.lock, host.subdir())
        require_known(matrix, lock)
        lock = interface.reader(source.form).as_matrix(lock, matrix)
        whole = realised.is_whole(source)
        if not whole and not lock.form.brings_python and lock.python not in interpreters:
            interpreters[lock.python] = _has_interpreter(lock.python)
        patients.append(
            Patient(
                lock=lock,
                prefix=source.prefix,
                whole=whole,
                interpreter=None if lock.form.brings_python else interpreters.get(lock.python),
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
            f"{finding.kind}: {printable(finding.what)}",
            f"  in:    {concerned}",
            f"  where: {printable(finding.where)}",
            f"  why:   {printable(finding.why)}",
            f"  mend:  {printable(finding.mend)}",
        ]
    faults = sum(finding.kind == "fault" for finding in found)
    examined = ", ".join(one.lock.environment for one in patients)
    summary = f"{faults} fault{'s' if faults != 1 else ''}" if faults else "nothing here will break it"
    return "\n".join([*lines, "", f"{examined}: {summary}"])
