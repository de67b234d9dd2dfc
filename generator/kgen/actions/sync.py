"""Environments on disk: which one a name means, whether it matches its lock, and making it so.

The first half is light: `kgen run` needs no more if it finds its environment complete.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kgen import editable, files, host, leftovers, lockfiles, project
from kgen.actions.choose import Choice, choose, choose_unnamed, lacks_device, locked_here, without_device
from kgen.editable import ProjectBuild
from kgen.errors import (
    LOCK,
    ContradictionError,
    MissingProgramError,
    NotLockedError,
    OtherPlatformError,
    SettingsError,
    Unlocked,
    UsageError,
)
from kgen.formats import environment as environments
from kgen.formats.environment import Source
from kgen.lockfiles import LockedEnvironment
from kgen.model import format as formats
from kgen.model.format import Format

if TYPE_CHECKING:  # a run that finds its environment complete reads no lock
    from kgen.formats.interface import Beside
    from kgen.matrix.selection import Selection
    from kgen.model.lockfile import Lockfile

Progress = Callable[[str], AbstractContextManager[Callable[[str], None]]]
"""Shows the progress of the environment with this name; yields a function to call with each stage."""


class SyncResult(NamedTuple):
    """An environment after a sync.

    Attributes:
        source: the lock, and where the environment is.
        made: whether it had to be made.
        seconds: the time that took.
        notes: what the user should know: what was lost of the previous environment, and how its tools are configured.
    """

    source: Source
    made: bool
    seconds: float
    notes: tuple[str, ...] = ()


# -- finding -----------------------------------------------------------------------------------------------------------


def find(root: Path, name: str, envs: str | None = None, form: Format | None = None) -> Source:
    """The environment of this name for this machine, as it should be on disk.

    Args:
        root: the project's folder.
        name: its name, or the name of its backend for the lock that fits this machine; `jax-cuda12-conda` is the conda
            environment.
        envs: the folder of the environments; None for the one in the settings.
        form: the form of locks; None if the name includes it.

    Raises:
        UsageError: there is no such environment, or it is not locked for this platform.
        SettingsError: the settings or the lock cannot be read.
    """
    choice = choose(root, name, form)
    return source_of(root, choice.environment, choice.form, envs)


_HEAD = 1024
"""Bytes at the start of a script that contain its interpreter."""


def source_of(root: Path, chosen: LockedEnvironment, form: Format, envs: str | None = None) -> Source:
    """A locked environment of a project, as it should be on disk.

    Args:
        root: the project's folder.
        chosen: the environment.
        form: the form of its lock.
        envs: the folder of the environments; None for the one in the settings.

    Raises:
        UsageError: it is not locked for this platform, or that folder cannot contain environments.
        SettingsError: the settings or the lock cannot be read.
    """
    lock = lockfiles.lock_of(chosen, form, host.subdir())
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
        return environments.source(chosen, lock, folder, form)
    except OSError as error:
        raise files.unreadable(lock, error) from error


def chosen(root: Path, names: Sequence[str], *, every: bool = False, form: Format | None = None) -> list[Choice]:
    """The environments that a call selects, each once.

    Args:
        root: the project's folder.
        names: their names; none for the one that fits this machine, if only one backend is locked for it.
        every: whether to select all that are locked for this machine.
        form: the form of locks; None for the default one, unless a name includes another.

    Raises:
        UsageError: there is no such environment, or none is named although several backends or Pythons are locked.
    """
    if names and every:
        raise ContradictionError("`--all` and names of environments contradict each other", hints=["give one of them"])
    if names:
        found = [choose(root, name, form) for name in names]
        return list({(one.environment.name, one.form.name): one for one in found}.values())
    if not lockfiles.environments(root):
        raise NotLockedError(f"nothing is locked in {root}", hints=["kgen lock"])
    wanted = form or formats.default()
    fitting = locked_here(root, wanted)
    if not fitting:
        where = host.subdir() or "" if wanted.is_default else wanted.name
        raise OtherPlatformError(
            f"nothing in {root / project.LOCKS} is locked for {where}",
            hints=[LOCK],
            unlocked=Unlocked(None, host.subdir(), wanted.name),
        )
    if every:
        return [Choice(one, wanted, named=False) for one in fitting]
    meant = choose_unnamed(root, wanted)
    if meant is None:
        listed = ", ".join(one.name for one in fitting)
        raise NotLockedError(
            f"which environment? Locked are {listed}",
            hints=[f"kgen sync{wanted.words} {fitting[0].name}", f"kgen sync{wanted.words} --all"],
        )
    return [meant]


def wanted_here(sources: Sequence[tuple[Choice, Source]]) -> list[tuple[Choice, Source]]:
    """The environments to make: those that the call names, that this machine has a device for, or that are on disk.

    Raises:
        UsageError: none is left.
    """
    kept = [
        (choice, source)
        for choice, source in sources
        if choice.named or environments.is_whole(source) or not lacks_device(choice)
    ]
    if not kept:
        raise without_device(sources[0][0])
    return kept


def sweep(source: Source) -> None:
    """Remove leftovers of ended runs beside an environment, in its project, and in the temporary folder."""
    locks = source.environment.folder.parent
    leftovers.sweep(locks.parent, locks, source.prefix.parent)


def require_place(source: Source) -> None:
    """Check that the environment's programs can be found in its folder.

    Raises:
        UsageError: PATH cannot contain the folder, so that the system's Python would silently run instead.
    """
    if ":" in str(source.prefix):
        raise UsageError(
            f"{source.prefix} cannot be on PATH: `:` separates its folders",
            hints=[f"kgen sync {source.name} --envs ~/.kgen-envs"],
        )


def entered(source: Source) -> dict[str, str | None]:
    """The changes of variables for a process that runs in this environment, without hooks."""
    path = host.variable("PATH")
    return {
        **source.variables,
        "VIRTUAL_ENV_PROMPT": source.name,
        "PATH": f"{source.prefix / 'bin'}{f':{path}' if path else ''}",
        "PYTHONHOME": None,
    }


def way_in(source: Source) -> tuple[tuple[str, ...], dict[str, str]]:
    """The words that run a program in this environment, including hooks, and the variables to start them with."""
    inside = {name: value for name, value in entered(source).items() if value is not None}
    return ("/bin/sh", str(source.prefix / project.SHARE / "run.sh")), inside


def refuse_foreign_pip(source: Source, command: Sequence[str]) -> None:
    """Check that a command does not run a pip outside the environment, which would install packages elsewhere.

    Args:
        source: the environment.
        command: the command to run in it.

    Raises:
        UsageError: the environment has no pip; with the command that installs packages instead.
    """
    name, number = command[0], 1
    if re.fullmatch(r"python[0-9.]*", name) is not None and list(command[1:3]) == ["-m", "pip"]:
        name, number = "pip", 3
        there = any(source.prefix.glob("lib/*/site-packages/pip/__init__.py"))
        what = ""
    else:
        there = files.exists(source.prefix / "bin" / name)
        what = ", and that of another Python would install elsewhere"
    if there or re.fullmatch(r"pip[0-9.]*", name) is None:
        return
    from kgen.actions import instead_of_pip  # noqa: PLC0415 - on the way to an error only

    raise UsageError(
        f"{source.environment.name} has no `{name}`{what}",
        hints=instead_of_pip.hints(source, list(command[number:])),
    )


def is_of_another_python(source: Source, program: str) -> bool:
    """Whether a program belongs to a Python outside the environment, or is that Python.

    Args:
        source: the environment.
        program: the path of the program.
    """
    path = Path(program)
    if path.is_relative_to(source.prefix):
        return False
    if re.fullmatch(r"python[0-9.]*", path.name) is not None:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    first, _, rest = head.partition(b"\n")
    # pyenv's programs are shell scripts that start those of its Pythons
    return first.startswith(b"#!") and (b"python" in first or b"pyenv" in rest)


# -- making ------------------------------------------------------------------------------------------------------------


def _silent(_name: str) -> AbstractContextManager[Callable[[str], None]]:
    return nullcontext(lambda _stage: None)


def sync(
    source: Source,
    *,
    again: bool = False,
    exact: bool = False,
    own: bool = True,
    progress: Progress = _silent,
    waiting: Callable[[], None] = lambda: None,
) -> SyncResult:
    """Make an environment match its lock; does nothing if it does already.

    Args:
        source: the lock, and where the environment is.
        again: whether to make it again even if it seems complete, and to compare every file with its hash.
        exact: whether to remove packages that were installed by hand, too.
        own: whether to install the project itself, editable, if it is a package; otherwise it is left out until a call
            asks for it.
        progress: shows the progress, once there is something to do.
        waiting: called when another process is making it.

    Returns:
        Whether it was made, in how many seconds, and what the user should know.

    Raises:
        KgenError: the lock is damaged, or the environment could not be made; the previous one is unchanged.
    """
    started = time.monotonic()
    require_place(source)
    if not again and _stands(source, exact=exact, own=own):
        return SyncResult(source, made=False, seconds=time.monotonic() - started, notes=_kept(source))
    # making an environment takes seconds; finding it complete should not pay for these imports
    from kgen import storage  # noqa: PLC0415
    from kgen.formats import byhand, interface  # noqa: PLC0415

    installer = interface.installer(source.form)
    prepared = installer.prepare(source, lambda lock: _beside(source, lock, own=own and not again), thorough=again)
    _prepare(source.prefix.parent, source.environment.folder.parent.parent)
    guard = storage.guard_of(source.prefix)
    with contextlib.ExitStack() as after, storage.exclusive(guard, who="kgen sync", wait=waiting):
        # only the run that creates it removes it, so a killed run leaves it behind
        after.callback(_remove_empty, guard)
        if not again and _stands(source, exact=exact, own=own):
            return SyncResult(source, made=False, seconds=time.monotonic() - started, notes=_kept(source))
        if not again and _stands(source, exact=exact):
            with progress(source.name) as report:
                said = (*_install_project(source, report, own=own), *_kept(source))
            return SyncResult(source, made=False, seconds=time.monotonic() - started, notes=said)
        added = environments.gained(source)
        notes = [*prepared.notes, *(f"{source.name}: {what}" for what in installer.lost(source.prefix))]
        with (
            progress(source.name) as report,
            contextlib.nullcontext([byhand.Kept(gone=added)]) if exact else byhand.carried(source) as told,
        ):
            try:
                prepared.make(report)
            except MissingProgramError as error:
                raise _without_interpreter(source, error) from None
        if not own or not _has_own(source):
            with progress(source.name) as report:
                notes += _install_project(source, report, own=own, anew=again)
    gone = [name for one in told for name in one.gone]
    if gone:
        notes.append(f"{source.name}: what was installed by hand is gone: {', '.join(gone)}")
    notes += _kept(source)
    return SyncResult(source, made=True, seconds=time.monotonic() - started, notes=tuple(notes))


def _without_interpreter(source: Source, error: MissingProgramError) -> MissingProgramError:
    """The error for a missing interpreter; it mentions that another Python may do as well."""
    from kgen.actions.interpreters import with_another  # noqa: PLC0415 - on the way to an error only

    another = with_another(source)
    return MissingProgramError(error.message, hints=(*filter(None, [another]), *error.hints))


def _stands(source: Source, *, exact: bool, own: bool | None = None) -> bool:
    """Whether nothing needs to be done; with `own` None, the project itself does not count."""
    if not is_whole(source) or (exact and environments.gained(source)):
        return False
    if own is None:
        return True
    if not own:
        return editable.is_left_out(source.prefix)
    return has_project(source) and not (
        editable.is_left_out(source.prefix) and _project_build(source.environment.folder.parent.parent) is not None
    )


def is_whole(source: Source) -> bool:
    """Whether an environment matches its lock; the project itself does not count."""
    root = source.environment.folder.parent.parent
    return environments.is_whole(source) and not editable.has_moved(source.prefix, root)


def has_project(source: Source) -> bool:
    """Whether the project itself is installed in an environment as it should be, was left out, or is not a package."""
    if editable.is_left_out(source.prefix):
        return True
    return _has_own(source) or _project_build(source.environment.folder.parent.parent) is None


def _has_own(source: Source) -> bool:
    """Whether the project itself, in its current state, is installed in an environment."""
    root = source.environment.folder.parent.parent
    return editable.is_installed(source.prefix, root, environments.METADATA)


def _project_build(root: Path) -> ProjectBuild | None:
    """How the project in this folder is built; None if it is not a package, or the settings leave it out.

    Raises:
        SettingsError: its `pyproject.toml` declares that wrongly.
    """
    try:
        content = _content_of_pyproject(root)
        said = b"build-system" in content or any(files.is_file(root / name) for name in editable.SETUPTOOLS)
        if not said or not project.is_package(root):
            return None
        import tomli  # noqa: PLC0415 - most projects are no packages

        return editable.project_build(tomli.loads(content.decode("utf-8-sig")), root)
    except (OSError, UnicodeDecodeError, RecursionError):
        return None
    except ValueError as error:
        raise SettingsError(
            f"{project.PYPROJECT}: {error}", hints=[f"edit {files.typed(root / project.PYPROJECT)}"]
        ) from None


def _content_of_pyproject(root: Path) -> bytes:
    """The content of a project's `pyproject.toml`; empty if there is none."""
    try:
        return files.read(root / project.PYPROJECT, files.LARGE)
    except FileNotFoundError:
        return b""


def _install_project(source: Source, report: Callable[[str], None], *, own: bool, anew: bool = False) -> list[str]:
    """Install the project itself, or note that it is left out; returns what the user should know about that."""
    from kgen.formats import interface  # noqa: PLC0415 - see `sync`
    from kgen.formats import own as own_project  # noqa: PLC0415

    root = source.environment.folder.parent.parent
    build = _project_build(root) if own else None
    if build is None:
        if not own:
            (source.prefix / editable.RECORD).write_bytes(editable.record(editable.LEFT_OUT, root))
        return []
    lock = interface.read(source.form, source.lock, host.subdir())
    lacking = own_project.lacking(build, lock)
    if lacking:
        wanted = ", ".join(lacking)
        (source.prefix / editable.RECORD).write_bytes(editable.record(editable.LEFT_OUT, root))
        left_out = f"{source.name}: {build.name} itself is left out: the lock does not pin {wanted}, which builds it"
        return [f"{left_out}; `kgen lock{source.form.words}` does, then `kgen sync {source.name}`"]
    own_project.install(source, lock, build, report, anew=anew)
    return []


def _kept(source: Source) -> tuple[str, ...]:
    """What the user should know about packages that the lock does not contain."""
    added = environments.gained(source)
    if not added:
        return ()
    names = shlex.join(name.rpartition("-")[0].replace("_", "-") for name in added)
    kept = f"{source.name}: installed by hand, and kept: {', '.join(added)}"
    return (f"{kept}; `kgen add {names}` locks it, `kgen sync {source.name} --exact` removes it",)


def _beside(source: Source, lock: Lockfile, *, own: bool) -> Beside:
    """What an environment contains besides its packages: what selects its backend, according to the matrix.

    Args:
        source: the environment.
        lock: its lock.
        own: whether an earlier build of the project itself may be installed along.

    Raises:
        SettingsError: the lock contradicts the matrix.
    """
    from kgen.formats import interface  # noqa: PLC0415 - see `sync`
    from kgen.formats import own as own_project  # noqa: PLC0415

    selected = _selection(source, lock)
    root = source.environment.folder.parent.parent
    build = _project_build(root) if own else None
    wheel = None if build is None or own_project.lacking(build, lock) else own_project.kept_wheel(root, lock, build)
    return interface.Beside(lambda: _activation(source, lock, selected), _links(selected), wheel)


def _selection(source: Source, lock: Lockfile) -> Selection:
    """What selects the environment's backend: derived from the matrix, with which the lock must agree.

    Hooks, and other files that kgen writes into the environment, come from this. What the lock says is only compared,
    never executed or written.

    Raises:
        SettingsError: the lock contradicts the matrix.
    """
    from kgen.matrix import origin  # noqa: PLC0415 - see `sync`
    from kgen.matrix.selection import Selection, differences, selection, unknown_sources  # noqa: PLC0415

    matrix = origin.shipped()
    found = Selection(lock.variables, lock.places, lock.configuration, lock.shared)
    wrong = [
        f"{source.lock}: {key} {what}" for key, what in differences(matrix, lock.backends, lock.accelerator, found)
    ]
    ways: list[str] = []
    # only the project's own files can vouch for what is built, which few locks contain
    if not wrong and (lock.trees or (lock.form.follows_matrix and any(unknown_sources(matrix, lock)))):
        from kgen import settings  # noqa: PLC0415
        from kgen.actions.unvouched_builds import fixes, unvouched  # noqa: PLC0415

        unnamed = list(unvouched(matrix, settings.read(source.environment.folder.parents[1], matrix), lock))
        wrong = [f"{source.lock} {one.what}" for one in unnamed]
        ways = [f"{way}   # if you trust what it runs" for way in fixes(unnamed)]
    if wrong:
        hints = [*ways, f"git log -p -- {shlex.quote(str(source.lock))}", f"kgen lock{lock.form.words}"]
        raise SettingsError("\n".join(wrong), hints=hints)
    return selection(matrix, lock.backends, lock.accelerator, isolated=bool(lock.configuration))


def _activation(source: Source, lock: Lockfile, selected: Selection) -> Mapping[str, str]:
    """What selects an environment's backend for each way to enter it: path in the environment -> text."""
    from kgen.emitters.activation import at, render_activation  # noqa: PLC0415 - see `sync`
    from kgen.emitters.hooks import render_hooks  # noqa: PLC0415

    variables = {**selected.variables, **at(source.prefix, selected.places)}
    return render_activation(
        source.name,
        prefix=source.prefix,
        python=lock.python,
        variables=variables,
        hooks=render_hooks(source.environment.name, variables, in_locks=False),
        scripts=source.form.scripts,
        configuration=selected.configuration,
    )


def _links(selected: Selection) -> dict[str, Path]:
    """Links in an environment to the folders in which Keras keeps its downloads for all environments."""
    from kgen.matrix.selection import OWN_KERAS  # noqa: PLC0415 - see `sync`

    named = host.variable("KERAS_HOME")
    shared = Path(named).expanduser() if named else (host.home() or Path("/tmp")) / ".keras"  # noqa: S108 - as Keras does
    return {f"{OWN_KERAS}/{name}": shared / name for name in selected.shared}


def _prepare(envs: Path, root: Path) -> None:
    """Create the folder of the environments, which git ignores."""
    try:
        inside = envs.is_relative_to(root)
        folders = [folder for folder in (envs, *envs.parents) if not inside or folder.is_relative_to(root)]
        made = [folder for folder in folders if not files.exists(folder)]
        envs.mkdir(parents=True, exist_ok=True)
        if not inside and not os.path.lexists(envs / project.ENVS_MARK):
            (envs / project.ENVS_MARK).write_text("# environments of kgen, which `envs` in settings may name\n")
        # Git should ignore the outermost folder that is new, but not an existing one with files of others.
        own = made[-1] if inside and made else (root / project.ENVS.parts[0] if envs == root / project.ENVS else envs)
        ignore = own / ".gitignore"
        if not os.path.lexists(ignore) and (own in made or envs == root / project.ENVS):
            ignore.write_text("# made by kgen\n*\n", encoding="utf-8")
        refused = files.refusal(envs)
        if refused is not None:
            raise refused
    except OSError as error:
        raise files.unwritable(
            envs, error, hints=["name another folder with `--envs`, or `envs` in the settings"]
        ) from error


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
