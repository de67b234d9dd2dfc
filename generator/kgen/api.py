"""What `import kgen` offers: the actions behind the command line, for programs.

Whatever a flag can ask for is a keyword with the name of its field (:data:`kgen.fields.FIELDS`): `cuda="12"`,
`python="3.12"`, `gpu=["8.0"]`, `dependencies=["optax"]`, `portable=True`. The settings of the project stand where
nothing is asked. Every error is a :class:`KgenError`, whose `message` and `hints` are what the command line prints and
whose `status` is its exit status.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kgen import lockfiles, project
from kgen.actions import check as checking
from kgen.actions import lock as locking
from kgen.actions import plan
from kgen.actions import sync as syncing
from kgen.actions.check import CheckResult
from kgen.actions.lock import AS_USUAL, LockOptions, LockResult
from kgen.actions.plan import RequestFlags
from kgen.actions.sync import SyncResult
from kgen.errors import KgenError, UsageError
from kgen.fields import BY_NAME, Raw, Shape
from kgen.matrix import origin
from kgen.model.lockfile import Lockfile
from kgen.model.resolution import Conflict, Resolution
from kgen.solver.resolve import solve as solve_request
from kgen.tables import nearest

__all__ = [
    "CheckResult",
    "Conflict",
    "KgenError",
    "LockOptions",
    "LockResult",
    "Lockfile",
    "Resolution",
    "SyncResult",
    "check",
    "lock",
    "read_lock",
    "solve",
    "sync",
]


def solve(
    names: Sequence[str] = (), *, root: Path | str = ".", together: str | None = None, **asked: Raw
) -> tuple[Resolution | Conflict, ...]:
    """What fits, from the matrix alone: offline, and in milliseconds.

    Args:
        names: backends, or joint environments of the settings; none for those of the settings.
        root: a folder of the project.
        together: the name of the one environment that all backends are to be in; None for one each.
        asked: fields by their names, each as text or as a list of texts, as a flag takes it.

    Returns:
        For each environment on each platform its resolution, or why there is none.

    Raises:
        UsageError: what is asked makes no sense.
        SettingsError: the settings of the project are wrong.

    >>> [answer.cuda for answer in solve(["jax"], cuda="12", python="3.12", platforms=["linux-64"])]
    ['12.8']
    """
    matrix = origin.current(Path(root))
    planned = plan.make(_flags("solve", names, together, asked), matrix, Path(root))
    return tuple(solve_request(matrix, request) for request in planned.requests)


def lock(
    names: Sequence[str] = (),
    *,
    root: Path | str = ".",
    together: str | None = None,
    options: LockOptions = AS_USUAL,
    **asked: Raw,
) -> LockResult:
    """Solve, resolve with the index that uv is configured for, verify, and write `locks/`.

    Args:
        names: backends, or joint environments of the settings; none for those of the settings.
        root: a folder of the project.
        together: the name of the one environment that all backends are to be in; None for one each.
        options: how locks are made: `dry_run`, `upgrade`, `upgrade_packages`, `merge`, `installers`.
        asked: fields by their names, as for :func:`solve`.

    Returns:
        What became of each environment: its lock, or the conflict or error that stands in the way; whether its folder
        changed; seconds and sizes in bytes.

    Raises:
        KgenError: nothing could be begun. What goes wrong with one environment is in its outcome.
    """
    matrix = origin.current(Path(root))
    flags = _flags("lock", names, together, asked)
    planned = plan.make(flags, matrix, Path(root))
    given = flags.given
    return locking.lock(matrix, planned, options._replace(all_platforms="platforms" not in given, given=given))


def check(names: Sequence[str] = (), *, root: Path | str = ".") -> CheckResult:
    """Compare the locks of a project with its settings, the matrix and themselves; offline.

    Args:
        names: environments; none for all of them.
        root: a folder of the project.

    Returns:
        Faults and notes, and which environments have a fault.

    Raises:
        UsageError: there is no such environment, or nothing is locked.
        SettingsError: the settings are wrong.
    """
    top = project.find_root(Path(root).absolute())
    return checking.check(top, origin.current(top), names)


def sync(name: str, *, root: Path | str = ".", envs: Path | str | None = None, reinstall: bool = False) -> SyncResult:
    """Make an environment on disk exactly as locked; does nothing if it is.

    Args:
        name: the environment, or its backend if that is locked once; `jax-cuda12-conda` is the conda environment.
        root: a folder of the project.
        envs: the folder of the environments; None for that of the settings.
        reinstall: make it anew, whatever is there, and compare every file with its hash.

    Returns:
        Where it is (`result.source.prefix`) and its interpreter (`result.source.python`), whether it had to be made, in
        how many seconds, and what was lost with the one that was there.

    Raises:
        UsageError: there is no such environment, or it is not locked for this machine.
        SettingsError: the settings or the lock are wrong.
        OutsideError: it could not be made; what was there stands.
    """
    top = project.find_root(Path(root).absolute())
    source = syncing.find(top, name, None if envs is None else str(envs))
    syncing.sweep(source)
    return syncing.sync(source, again=reinstall)


def read_lock(path: Path | str) -> Lockfile:
    """What a lock says: its environment, backends, accelerator, versions and files.

    Args:
        path: a `pylock.PLATFORM.toml` that kgen wrote.

    Returns:
        The lock; sizes are in bytes, hashes are sha256.

    Raises:
        OutsideError: it cannot be read.
        SettingsError: it is none that kgen writes; with every fault and its place.
    """
    return lockfiles.read(Path(path))


def _flags(command: str, names: Sequence[str], together: str | None, asked: dict[str, Raw]) -> RequestFlags:
    for name, value in asked.items():
        field = BY_NAME.get(name)
        if field is None or field.flag is None:
            near = nearest(name, [one.name for one in BY_NAME.values() if one.flag is not None])
            raise UsageError(
                f"there is no field `{name}` to ask for", hints=[f"did you mean `{near}`?"] if near else []
            )
        if field.shape is Shape.MANY and isinstance(value, str):
            raise UsageError(f"`{name}` takes a list, such as [{field.example!r}]")
    return RequestFlags(command=command, names=tuple(names), together=together, flags=asked)
