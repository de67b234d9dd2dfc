"""Examine this machine for what breaks locked environments: facts are gathered here, and judged in `kgen.findings`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import accelerators, condafiles, findings, host, lockfiles, surroundings, uvtool
from kgen.actions import sync
from kgen.errors import KgenError, UsageError
from kgen.findings import ExaminedEnvironment, Finding
from kgen.formats import environment as environments
from kgen.formats.environment import Source
from kgen.host import Host
from kgen.loader import environment, owners, search
from kgen.loader.environment import Carried
from kgen.loader.search import System
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model.lockfile import Lockfile
from kgen.validation import pins


class DoctorResult(NamedTuple):
    """What was found.

    Attributes:
        machine: what this machine has.
        environments: the names of the environments that it was examined for.
        findings: what breaks them, or may; the faults first.
    """

    machine: Host
    environments: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that break something that is locked."""
        return tuple(one for one in self.findings if one.kind == "fault")


def examine(
    root: Path,
    matrix: CompatibilityMatrix,
    names: Sequence[str] = (),
    *,
    conda: bool = False,
    envs: str | None = None,
) -> DoctorResult:
    """Examine this machine for environments of a project.

    Args:
        root: the project's folder.
        matrix: the facts.
        names: environments; none for all that are locked for this machine.
        conda: whether conda environments alone are meant.
        envs: the folder of the environments; None for that of the settings.

    Raises:
        UsageError: there is no such environment, or nothing is locked for this machine.
        SettingsError: a lock cannot be read, or is of something that the matrix does not know.
    """
    chosen = names or locked_here(root, conda=conda)
    if not chosen:
        hint = "kgen lock --conda" if conda else "kgen lock"
        raise UsageError(f"nothing in {root} is locked for this machine", hints=[hint])
    sources = [sync.find(root, name, envs, conda=conda) for name in chosen]
    rows = pins.libraries()
    carried = {stem: Carried(tuple(row["packages"]), row.get("text")) for stem, row in rows.items()}
    rules = search.system(host.variables())
    examined = list(_examined(sources, matrix, carried, rules))
    machine = host.inspect()
    libraries = {
        f"lib{stem}": findings.SystemLibrary(row["title"], tuple(row["packages"])) for stem, row in rows.items()
    }
    kinds = dict.fromkeys(one.lock.computes_on.kind for one in examined if one.lock.accelerated)
    around = surroundings.gather(findings.VARIABLES, carried, [accelerators.kind(kind) for kind in kinds], rules)
    found = findings.examine(machine, around, examined, matrix, libraries)
    return DoctorResult(machine, tuple(one.lock.environment for one in examined), found)


def locked_here(root: Path, *, conda: bool = False) -> tuple[str, ...]:
    """The environments that are locked for this machine, as they are called on disk.

    Args:
        root: the project's folder.
        conda: whether conda environments alone are meant.
    """
    here = host.subdir() or ""
    known = lockfiles.environments(root)
    names = [] if conda else [one.name for one in known if here in one.platforms]
    names += [
        f"{one.name}{lockfiles.CONDA}"
        for one in filter(lockfiles.for_conda, known)
        if here in condafiles.read(one.folder / condafiles.RECORDS).platforms
    ]
    return tuple(sorted(names))


def _examined(
    sources: Sequence[Source], matrix: CompatibilityMatrix, carried: Mapping[str, Carried], rules: System
) -> Iterator[ExaminedEnvironment]:
    interpreters: dict[str, bool | None] = {}
    for source in sources:
        lock = sync.lock_of(source)
        require_known(matrix, lock)
        if lock.conda:
            lock = _with_facts(lock, matrix)
        whole = environments.is_whole(source)
        site = source.prefix / f"lib/python{lock.python}/site-packages"
        # a conda environment has its interpreter among its packages
        if not whole and not lock.conda and lock.python not in interpreters:
            interpreters[lock.python] = _has_interpreter(lock.python)
        yield ExaminedEnvironment(
            lock=lock,
            prefix=source.prefix,
            whole=whole,
            interpreter=None if lock.conda else interpreters.get(lock.python),
            free=surroundings.free_bytes(source.prefix),
            opened=_opened(source.prefix, site, rules, carried) if whole and lock.accelerated else (),
            shared=owners.shared(site) if whole else (),
        )


def _opened(
    prefix: Path, site: Path, rules: System, carried: Mapping[str, Carried]
) -> tuple[environment.OpenedLibrary, ...]:
    return environment.opened(prefix, site, prefix / "bin/python", rules, carried)


def _with_facts(lock: Lockfile, matrix: CompatibilityMatrix) -> Lockfile:
    """A conda lock with what kgen's own solver knows: the frameworks by their names, and the driver."""
    names = (*(matrix.backends[name].framework for name in lock.backends if name in matrix.backends), KERAS)
    versions = {name: lock.versions.get(matrix.conda.names.get(name, name)) for name in names}
    major = matrix.major_of(accelerators.named(lock.accelerator))
    return lock._replace(
        packages={name: version for name, version in versions.items() if version is not None},
        driver=None if major is None or major.driver is None else str(major.driver),
    )


def _has_interpreter(minor: str) -> bool | None:
    # asking uv takes longer than all the rest, and what is in plain sight needs no asking
    if host.own_interpreter(minor) is not None or host.pyenv_interpreters(minor):
        return True
    try:
        return uvtool.find_interpreter(uvtool.find(), minor) is not None
    except KgenError:
        return None
