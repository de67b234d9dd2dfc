"""Environments on disk: what `kgen sync`, `run`, `shell` and `activate` have in common."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kgen import host, leftovers, lockfiles, project
from kgen.cli import console
from kgen.errors import OutsideError, SettingsError, UsageError
from kgen.formats import environment as environments
from kgen.formats.environment import Source
from kgen.lockfiles import LockedEnvironment

if TYPE_CHECKING:  # a run that finds its environment whole reads no lock
    from kgen.formats.conda.condafiles import CondaFile
    from kgen.matrix.selection import Selection
    from kgen.model.lockfile import Lockfile

SHARE = "share/kgen"
"""The folder in an environment that holds what kgen put there."""


class Synced(NamedTuple):
    """An environment after a sync: what it is made from, whether it had to be made, and in how many seconds."""

    source: Source
    made: bool
    seconds: float


def find(name: str, envs: str | None, *, conda: bool = False) -> Source:
    """The environment of this name for this machine, as it should be on disk.

    Args:
        name: its name, or that of its backend if that is locked once; `jax-cuda12-conda` is that of conda's.
        envs: the folder of the environments; None for that of the settings.
        conda: whether the one for conda is meant.

    Raises:
        UsageError: there is no such environment, or it is not locked for this platform.
        SettingsError: the settings or the lock cannot be read.
    """
    root = project.find_root(Path.cwd())
    chosen, conda = lockfiles.choose_on_disk(root, name, conda=conda)
    return source_of(root, chosen, envs, conda=conda)


def lock_of(source: Source) -> Lockfile:
    """What the lock of an environment says, for this machine's platform.

    Raises:
        KgenError: it is damaged, or not for this platform.
    """
    if not source.conda:
        return lockfiles.read(source.lock)
    from kgen.formats.conda import condafiles  # noqa: PLC0415 - for who has such an environment

    return condafiles.lockfile(condafiles.read(source.lock), source.lock, host.subdir())


def source_of(root: Path, chosen: LockedEnvironment, envs: str | None, *, conda: bool) -> Source:
    """A locked environment of a project, as it should be on disk.

    Args:
        root: the project's folder.
        chosen: the environment.
        envs: the folder of the environments; None for that of the settings.
        conda: whether the one for conda is meant.

    Raises:
        UsageError: it is not locked for this platform, or nothing can be in that folder.
        SettingsError: the settings or the lock cannot be read.
    """
    lock = chosen.folder / lockfiles.CONDA_RECORDS if conda else lockfiles.lock_of(chosen, host.subdir())
    if envs is None:
        folder = project.envs(root)
    else:
        try:
            folder = project.chosen_envs(root, envs)
        except ValueError as error:
            raise UsageError(
                f"--envs: {error}", hints=["leave it out, or name a folder for environments alone"]
            ) from None
    try:
        return environments.source(chosen, lock, folder, conda=conda)
    except OSError as error:
        raise lockfiles.unreadable(lock, error) from error


def realised(name: str, envs: str | None, *, conda: bool, no_sync: bool) -> Source:
    """The environment of this name, on disk as locked; it is made if it is not.

    Args:
        name: its name, or that of its backend if that is locked once.
        envs: the folder of the environments; None for that of the settings.
        conda: whether the one for conda is meant.
        no_sync: whether it may not be made.

    Raises:
        KgenError: there is no such environment, or it could not be made.
    """
    source = find(name, envs, conda=conda)
    sweep(source)
    _require_place(source)
    if environments.is_whole(source):
        return source
    if no_sync:
        raise OutsideError(
            f"{source.name} is not on disk as it is locked, and `--no-sync` forbids to make it",
            hints=[f"kgen sync {source.name}"],
        )
    synced = sync(source)
    console.say(f"{source.name}: made in {synced.seconds:.1f} s in {_shown(source.prefix)}")
    return source


def sweep(source: Source) -> None:
    """Removes what ended runs have left beside an environment, in its project, and among temporary files."""
    locks = source.environment.folder.parent
    leftovers.sweep(locks.parent, locks, source.prefix.parent)


def sync(source: Source, *, again: bool = False, report: Callable[[str], None] | None = None) -> Synced:
    """Make an environment be what its lock says; does nothing if it is.

    Args:
        source: what it is made from.
        again: make it anew even if it seems to be whole, and compare every file with its hash.
        report: called with each stage; None for a line on the terminal.

    Raises:
        KgenError: the lock is damaged, or the environment could not be made.
    """
    started = time.monotonic()
    _require_place(source)
    if not again and environments.is_whole(source):
        return Synced(source, made=False, seconds=time.monotonic() - started)
    from kgen import storage  # noqa: PLC0415 - what follows takes seconds; who finds an environment whole pays not

    name = source.name
    make = (_maker_for_conda if source.conda else _maker)(source, thorough=again)
    envs = source.prefix.parent
    _prepare(envs, source.environment.folder.parent.parent)
    guard = storage.guard_of(source.prefix)
    waiting = f"waiting for another `kgen sync` of {name}"
    with (
        contextlib.ExitStack() as after,
        storage.exclusive(guard, who="kgen sync", wait=lambda: console.say(waiting)),
    ):
        # a killed run leaves it behind, and only who creates it removes it
        after.callback(_remove_empty, guard)
        if not again and environments.is_whole(source):
            return Synced(source, made=False, seconds=time.monotonic() - started)
        gone = environments.gained(source.prefix)
        variables = environments.set_by_hand(source.prefix) if source.conda else []
        with _progress(name) if report is None else contextlib.nullcontext(report) as told:
            make(told)
    if gone:
        console.say(f"note: {name}: what was installed by hand is gone: {', '.join(gone)}")
        console.say("note: to keep a package, add it to `dependencies` in the settings and lock again")
    if variables:
        console.say(f"note: {name}: what `conda env config vars set` had set is gone: {', '.join(variables)}")
    return Synced(source, made=True, seconds=time.monotonic() - started)


def _require_place(source: Source) -> None:
    """See that the environment's programs can be found where it is.

    Raises:
        UsageError: PATH has no way to name the folder, and the system's Python would be run without a word.
    """
    if ":" in str(source.prefix):
        raise UsageError(
            f"{source.prefix} cannot be on PATH: `:` separates its folders",
            hints=[f"kgen sync {source.name} --envs ~/.kgen-envs"],
        )


def _maker(source: Source, *, thorough: bool) -> Callable[[Callable[[str], None]], None]:
    """What makes an environment of wheels; its lock is read before anything is touched."""
    from kgen import uvtool  # noqa: PLC0415 - see `sync`
    from kgen.formats.wheels.install import Uv, realise  # noqa: PLC0415

    lock = lockfiles.read(source.lock)
    selected = _selection(source, lock)
    links = _links(selected)
    root = source.environment.folder.parent.parent
    program = uvtool.find()
    return lambda report: realise(
        source,
        lock,
        Uv(program, root=root, own=lambda: uvtool.own_indexes(program, root, project.torch_index(root))),
        thorough=thorough,
        files=lambda: _activation(source, lock, selected),
        links=links,
        report=report,
    )


def _selection(source: Source, locked: Lockfile | CondaFile) -> Selection:
    """What selects the environment's backend: as the matrix has it, which the lock must agree with.

    Hooks, and what is written into the environment beside its packages, are made from this; what a repository says is
    compared, and neither executed nor written.

    Raises:
        SettingsError: the lock says something else.
    """
    from kgen import resources  # noqa: PLC0415 - see `sync`
    from kgen.matrix.compatibility import load  # noqa: PLC0415
    from kgen.matrix.selection import Selection, differences, selection, unknown_sources  # noqa: PLC0415
    from kgen.model.lockfile import Lockfile  # noqa: PLC0415

    matrix = load(resources.folder("matrix"))
    found = Selection(locked.variables, locked.places, locked.configuration, locked.shared)
    wrong = [f"{source.lock}: {key} {what}" for key, what in differences(matrix, locked.backends, found)]
    if not wrong and isinstance(locked, Lockfile):
        wrong = [f"{source.lock} {what}" for what in unknown_sources(matrix, locked)]
    if wrong:
        flag = " --conda" if source.conda else ""
        hints = [f"git log -p -- {shlex.quote(str(source.lock))}", f"kgen lock{flag}"]
        raise SettingsError("\n".join(wrong), hints=hints)
    return selection(matrix, locked.backends, isolated=bool(locked.configuration))


def _activation(source: Source, locked: Lockfile | CondaFile, selected: Selection) -> Mapping[str, str]:
    """What selects an environment's backend whichever way leads in: path in the environment -> text."""
    from kgen.emitters.activation import at, render_activation  # noqa: PLC0415 - see `sync`
    from kgen.emitters.hooks import render_hooks  # noqa: PLC0415

    variables = {**selected.variables, **at(source.prefix, selected.places)}
    return render_activation(
        source.name,
        prefix=source.prefix,
        python=locked.python,
        variables=variables,
        hooks=render_hooks(locked.environment, variables, in_locks=False),
        conda=source.conda,
        configuration=selected.configuration,
    )


def _links(selected: Selection) -> dict[str, Path]:
    """Links in an environment to where Keras keeps what it has downloaded for all of them."""
    from kgen.matrix.selection import OWN_KERAS  # noqa: PLC0415 - see `sync`

    named = host.variable("KERAS_HOME")
    shared = Path(named).expanduser() if named else (host.home() or Path("/tmp")) / ".keras"  # noqa: S108 - as Keras does
    return {f"{OWN_KERAS}/{name}": shared / name for name in selected.shared}


def _maker_for_conda(source: Source, *, thorough: bool) -> Callable[[Callable[[str], None]], None]:
    """What makes an environment of conda's."""
    from kgen import uvtool  # noqa: PLC0415 - see `sync`
    from kgen.formats.conda import condafiles  # noqa: PLC0415 - see `sync`
    from kgen.formats.conda.install import realise, register  # noqa: PLC0415
    from kgen.formats.conda.rattlertool import opened  # noqa: PLC0415

    file = condafiles.read(source.lock)
    locked = condafiles.platform_of(file, host.subdir())
    selected = _selection(source, file)
    rattler = opened()
    links = _links(selected)
    for remark in rattler.remarks:
        console.say(f"note: {remark}")

    def make(report: Callable[[str], None]) -> None:
        realise(
            source,
            file,
            locked,
            rattler=rattler,
            uv=uvtool.find,
            files=lambda: _activation(source, file, selected),
            links=links,
            report=report,
            thorough=thorough,
        )
        if rattler.registers:
            register(source.prefix)

    return make


def _prepare(envs: Path, root: Path) -> None:
    """The folder of the environments, which git is told to ignore."""
    try:
        inside = envs.is_relative_to(root)
        folders = [folder for folder in (envs, *envs.parents) if not inside or folder.is_relative_to(root)]
        made = [folder for folder in folders if not folder.exists()]
        envs.mkdir(parents=True, exist_ok=True)
        if not inside and not os.path.lexists(envs / project.ENVS_MARK):
            (envs / project.ENVS_MARK).write_text("# environments of kgen, which `envs` in settings may name\n")
        # The outermost folder that is new is kgen's; what was there has files of others, which git is not to ignore.
        own = made[-1] if inside and made else (root / project.ENVS.parts[0] if envs == root / project.ENVS else envs)
        ignore = own / ".gitignore"
        if not os.path.lexists(ignore) and (own in made or envs == root / project.ENVS):
            ignore.write_text("# made by kgen\n*\n", encoding="utf-8")
    except OSError as error:
        raise OutsideError(
            f"{envs} cannot be written: {error.strerror or error}",
            hints=["name another folder with `--envs`, or `envs` in the settings"],
        ) from error


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[str], None]]:
    """A line with the stage where stderr is a terminal; silence elsewhere."""
    if not host.is_terminal(sys.stderr):
        yield lambda _stage: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it

    with Console(stderr=True).status(name) as status:
        yield lambda stage: status.update(f"{name}: {stage}")


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def entered(source: Source) -> dict[str, str | None]:
    """What is different in the environment of a process that runs in this environment, but for the hooks."""
    path = host.variable("PATH")
    return {
        "VIRTUAL_ENV": str(source.prefix),
        "VIRTUAL_ENV_PROMPT": source.name,
        "PATH": f"{source.prefix / 'bin'}{f':{path}' if path else ''}",
        "PYTHONHOME": None,
        **({"CONDA_PREFIX": str(source.prefix)} if source.conda else {}),
    }
