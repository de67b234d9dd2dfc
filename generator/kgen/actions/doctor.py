"""Examine this machine for what breaks locked environments: facts are gathered here, and judged in `kgen.findings`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packaging.version import Version

from kgen import accelerators, files, findings, host, lockfiles, project, surroundings
from kgen.actions import sync
from kgen.errors import LOCK, OtherPlatformError, Unlocked
from kgen.findings import ExaminedEnvironment, Finding
from kgen.formats import environment as environments
from kgen.formats import interface
from kgen.formats.environment import Source
from kgen.host import Host
from kgen.loader import environment, flags, owners, plugins, search
from kgen.loader.environment import Carried
from kgen.loader.search import System
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model import format as formats
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.format import Format
from kgen.model.lockfile import Lockfile
from kgen.validation import pins

if TYPE_CHECKING:
    from kgen.settings import Target


class DoctorResult(NamedTuple):
    """The result of examining a machine.

    Attributes:
        machine: what the machine has.
        environments: the names of the environments that it was examined for.
        findings: what breaks them, or may; faults first.
        target: the target in the settings that describes the machine; empty for this machine.
    """

    machine: Host
    environments: tuple[str, ...]
    findings: tuple[Finding, ...]
    target: str = ""

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that break something that is locked."""
        return tuple(one for one in self.findings if one.kind == "fault")


def examine(
    root: Path,
    matrix: CompatibilityMatrix,
    names: Sequence[str] = (),
    *,
    form: Format | None = None,
    envs: str | None = None,
) -> DoctorResult:
    """Examine this machine for environments of a project.

    Args:
        root: the project's folder.
        matrix: the facts.
        names: environments; none for all that are locked for this machine.
        form: the form of locks that alone is meant; None for all of them.
        envs: the folder of the environments; None for that of the settings.

    Raises:
        UsageError: there is no such environment, or nothing is locked for this machine.
        SettingsError: a lock cannot be read, or is of something that the matrix does not know.
    """
    chosen = names or locked_here(root, form)
    if not chosen:
        raise OtherPlatformError(
            f"nothing in {root} is locked for this machine",
            hints=[LOCK],
            unlocked=Unlocked(None, host.subdir(), None if form is None else form.name),
        )
    sources = [sync.find(root, name, envs, form) for name in chosen]
    rows = pins.libraries()
    carried = {stem: Carried(tuple(row["packages"]), row.get("text")) for stem, row in rows.items()}
    rules = search.system(host.variables())
    examined = list(_examined(sources, matrix, carried, rules))
    machine = host.inspect()
    libraries = {
        f"lib{stem}": findings.SystemLibrary(row["title"], tuple(row["packages"])) for stem, row in rows.items()
    }
    kinds = dict.fromkeys(one.lock.computes_on.kind for one in examined if one.lock.accelerated)
    around = surroundings.gather(findings.variables_told(), carried, [accelerators.kind(kind) for kind in kinds], rules)
    conditions = {kind: accelerators.kind(kind).conditions() for kind in kinds if machine.of(kind).found}
    found = findings.examine(machine, around, examined, matrix, libraries, conditions=conditions, folder=str(root))
    return DoctorResult(machine, tuple(one.lock.environment for one in examined), found)


def examine_target(
    root: Path, matrix: CompatibilityMatrix, name: str, names: Sequence[str] = (), *, form: Format | None = None
) -> DoctorResult:
    """Judge the locks for another machine by its description in the settings; nothing of this machine matters.

    Args:
        root: the project's folder.
        matrix: the facts.
        name: the target.
        names: environments; none for all that are locked for the target.
        form: the form of locks that alone is meant; None for all of them.

    Raises:
        UsageError: there is no such target or environment, or nothing is locked for it.
        SettingsError: the settings or a lock cannot be read.
    """
    from kgen import settings  # noqa: PLC0415 - who examines this machine needs none

    asked = settings.read(root, matrix)
    target = settings.target_of(asked, name)
    wanted = [lockfiles.choose_on_disk(root, one, form) for one in names]
    every = [
        (one, of)
        for of in ((form,) if form is not None else formats.known())
        for one in lockfiles.environments(root)
        if lockfiles.lock_path(one, of) is not None
    ]
    platforms = target.platforms or asked.platforms
    locks = [
        interface.reader(of).as_matrix(lock, matrix)
        for one, of in wanted or every
        for path in dict.fromkeys(lockfiles.lock_path(one, of, platform) for platform in platforms or one.platforms)
        if path is not None
        for lock in interface.read_every(of, path)
        if platforms is None or lock.platform in platforms
    ]
    for lock in locks:
        require_known(matrix, lock)
    fitting = [lock for lock in locks if wanted or is_for(lock, target.accelerator, matrix)]
    if not fitting:
        raise OtherPlatformError(
            f"nothing in {root / project.LOCKS} is locked for target {name}", hints=[f"kgen lock --target {name}"]
        )
    return judge_described(target, fitting, matrix, glibc=asked.glibc, platforms=platforms)


def judge_described(
    target: Target,
    locks: Sequence[Lockfile],
    matrix: CompatibilityMatrix,
    *,
    glibc: Version | None = None,
    platforms: Sequence[str] | None = None,
) -> DoctorResult:
    """Judge locks for a machine by its description.

    Args:
        target: the machine.
        locks: the locks, as the matrix has them.
        matrix: the facts.
        glibc: its glibc where the description does not say it.
        platforms: its platforms, where the description does not.
    """
    name = target.name
    gpus = tuple(accelerators.Gpu(f"GPU of {name}", one, 0) for one in target.gpu)
    devices = {target.accelerator.kind: accelerators.Devices(target.driver, gpus)} if target.machine.known else {}
    machine = Host((platforms or target.platforms or (None,))[0], target.glibc or glibc, devices)
    examined = [
        ExaminedEnvironment(lock=lock, prefix=Path(), whole=False, interpreter=None, free=None) for lock in locks
    ]
    found = findings.examine(machine, surroundings.UNKNOWN, examined, matrix, {}, target=name)
    return DoctorResult(machine, tuple(dict.fromkeys(lock.environment for lock in locks)), found, name)


def is_for(lock: Lockfile, accelerator: Accelerator, matrix: CompatibilityMatrix) -> bool:
    """Whether a lock is one for this accelerator: on the CPU only that of backends that have nothing else there."""
    has = lock.computes_on
    if has == CPU and accelerator != CPU:
        return not any(matrix.backends[backend].accelerated for backend in lock.backends)
    return has.kind == accelerator.kind and accelerator.major in {None, has.major}


def locked_here(root: Path, form: Format | None = None) -> tuple[str, ...]:
    """The environments that are locked for this machine, as they are called on disk.

    Args:
        root: the project's folder.
        form: the form of locks that alone is meant; None for all of them.
    """
    here = host.subdir() or ""
    return tuple(
        sorted(
            f"{one.name}{of.suffix}"
            for of in ((form,) if form is not None else formats.known())
            for one in lockfiles.environments(root)
            if (path := lockfiles.lock_path(one, of, here)) is not None
            and (of.platform_of(path.name) or any(lock.platform == here for lock in interface.read_every(of, path)))
        )
    )


def _examined(
    sources: Sequence[Source], matrix: CompatibilityMatrix, carried: Mapping[str, Carried], rules: System
) -> Iterator[ExaminedEnvironment]:
    interpreters: dict[str, bool | None] = {}
    notes = owners.RecordNotes(host.cache("records"))
    for source in sources:
        lock = interface.read(source.form, source.lock, host.subdir())
        require_known(matrix, lock)
        lock = interface.reader(source.form).as_matrix(lock, matrix)
        whole = environments.is_whole(source)
        site = source.prefix / f"lib/python{lock.python}/site-packages"
        if not whole and not lock.form.brings_python and lock.python not in interpreters:
            interpreters[lock.python] = _has_interpreter(source, lock.python)
        known = carried if lock.accelerated else {}
        inspected = _inspected(source.prefix, site, rules, known) if whole else environment.Inspection()
        owned = owners.inspect(site, lock.allow_overlap, notes) if whole else owners.Ownership()
        yield ExaminedEnvironment(
            lock=lock,
            prefix=source.prefix,
            whole=whole,
            interpreter=None if lock.form.brings_python else interpreters.get(lock.python),
            free=surroundings.free_bytes(source.prefix),
            opened=inspected.opened,
            shared=owned.shared,
            missing=owned.missing,
            doubled=owned.doubled,
            versions=owners.installed(site) if not whole and environments.is_altered(source) else {},
            rivals=plugins.rivals(site) if whole else (),
            too_old=inspected.too_old,
            unknown_flags=flags.unknown(site, host.variables()) if whole else (),
            free_threaded=_is_free_threaded(source.prefix, lock.python),
        )
    notes.save()


def _has_interpreter(source: Source, python: str) -> bool | None:
    """Whether an environment that is not there finds its interpreter: brought along, or uv's; None without uv."""
    from kgen import uvtool  # noqa: PLC0415 - only who has still to sync pays for it
    from kgen.formats import vendor  # noqa: PLC0415 - as above

    brought = vendor.interpreter(source.environment.folder.parent.parent, python)
    return True if brought is not None else uvtool.has_interpreter(python)


def _is_free_threaded(prefix: Path, python: str) -> bool | None:
    """Whether the folder of an environment's packages is that of a free-threaded CPython; None if neither is there."""
    usual, free = (files.is_folder(prefix / f"lib/python{python}{ending}") for ending in ("", "t"))
    return free if usual or free else None


def _inspected(prefix: Path, site: Path, rules: System, carried: Mapping[str, Carried]) -> environment.Inspection:
    return environment.inspect(prefix, site, prefix / "bin/python", rules, carried)
