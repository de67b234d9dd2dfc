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
from kgen.cli.environments import find, lock_of
from kgen.cli.options import CondaAlone, Environments, Envs, Json
from kgen.doctor import Finding, Patient
from kgen.errors import ExitStatus, KgenError, UsageError
from kgen.formats import environment as realised
from kgen.formats.conda import condafiles
from kgen.formats.environment import Source
from kgen.matrix import origin
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model.accelerator import Accelerator
from kgen.model.grammar import printable
from kgen.model.lockfile import Lockfile
from kgen.validate import pins


def run(
    environments: Environments = None, *, conda: CondaAlone = False, envs: Envs = None, json: Json = False
) -> ExitStatus:
    """Examine this machine for the environments named, or all that are locked for it."""
    root = project.find_root(Path.cwd())
    matrix = origin.current()
    names = environments or _names(root, conda=conda)
    if not names:
        hint = "kgen lock --conda" if conda else "kgen lock"
        raise UsageError(f"nothing in {root} is locked for this machine", hints=[hint])
    patients = _patients([find(name, envs, conda=conda) for name in names], matrix)
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


def _names(root: Path, *, conda: bool) -> list[str]:
    """What is locked for this machine, and what of conda's is."""
    here = host.subdir() or ""
    known = lockfiles.environments(root)
    names = [] if conda else [one.name for one in known if here in one.platforms]
    names += [
        f"{one.name}{lockfiles.CONDA}"
        for one in filter(lockfiles.for_conda, known)
        if here in condafiles.read(one.folder / condafiles.RECORDS).platforms
    ]
    return sorted(names)


def _patients(sources: Sequence[Source], matrix: CompatibilityMatrix) -> list[Patient]:
    interpreters: dict[str, bool | None] = {}
    patients = []
    for source in sources:
        lock = lock_of(source)
        require_known(matrix, lock)
        if lock.conda:
            lock = _with_facts(lock, matrix)
        whole = realised.is_whole(source)
        # an environment of conda's has its interpreter among its packages
        if not whole and not lock.conda and lock.python not in interpreters:
            interpreters[lock.python] = _has_interpreter(lock.python)
        patients.append(
            Patient(
                lock=lock,
                prefix=source.prefix,
                whole=whole,
                interpreter=None if lock.conda else interpreters.get(lock.python),
                free=surroundings.free_bytes(source.prefix),
            )
        )
    return patients


def _with_facts(lock: Lockfile, matrix: CompatibilityMatrix) -> Lockfile:
    """What kgen's own solver would have said of a lock of conda's: the frameworks by their names, and the driver."""
    names = (*(matrix.backends[name].framework for name in lock.backends if name in matrix.backends), KERAS)
    versions = {name: lock.versions.get(matrix.conda.names.get(name, name)) for name in names}
    major = matrix.cuda_majors.get(Accelerator.parse(lock.accelerator.removeprefix("cuda")).cuda or 0)
    return lock._replace(
        packages={name: version for name, version in versions.items() if version is not None},
        driver=None if major is None else str(major.driver),
    )


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
