"""The Python API, `import kgen`: the actions behind the command line, for programs.

Everything that a flag can request is a keyword with the name of its field (:data:`kgen.fields.FIELDS`): `cuda="12"`,
`python="3.12"`, `gpu=["8.0"]`, `dependencies=["optax"]`, `portable=True`. The project's settings fill in what the call
leaves out. Every error is a :class:`KgenError`, with the `message` and `hints` that the command line prints, and its
exit status in `status`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kgen import host, lockfiles, project
from kgen.actions import check as check_action
from kgen.actions import diff as diff_action
from kgen.actions import doctor as doctor_action
from kgen.actions import export as export_action
from kgen.actions import lock as lock_action
from kgen.actions import plan
from kgen.actions import solve as solve_action
from kgen.actions import sync as sync_action
from kgen.actions import validate as validate_action
from kgen.actions.check import CheckResult
from kgen.actions.diff import Change, Difference
from kgen.actions.doctor import DoctorResult
from kgen.actions.lock import LockResult
from kgen.actions.lock_options import AS_USUAL, LockOptions
from kgen.actions.request_flags import RequestFlags
from kgen.actions.sync import SyncResult
from kgen.actions.validate import ValidateOptions, ValidateResult, Validation, ValidationTarget
from kgen.errors import KgenError, UsageError
from kgen.fields import BY_NAME, Raw, Shape
from kgen.findings import Finding
from kgen.matrix import origin
from kgen.model import format as formats
from kgen.model.lockfile import Lockfile
from kgen.model.resolution import Conflict, Resolution
from kgen.tables import nearest
from kgen.validation.judge import Verdict

__all__ = [
    "Change",
    "CheckResult",
    "Conflict",
    "Difference",
    "DoctorResult",
    "Finding",
    "KgenError",
    "LockOptions",
    "LockResult",
    "Lockfile",
    "Resolution",
    "SyncResult",
    "ValidateOptions",
    "ValidateResult",
    "Validation",
    "ValidationTarget",
    "Verdict",
    "check",
    "diff",
    "doctor",
    "export",
    "lock",
    "read_lock",
    "solve",
    "sync",
    "validate",
]


def solve(
    names: Sequence[str] = (), *, root: Path | str = ".", together: str | None = None, **asked: Raw
) -> tuple[Resolution | Conflict, ...]:
    """Choose versions from the matrix: offline, and in milliseconds.

    Args:
        names: backends, or joint environments in the settings; none for all in the settings.
        root: a folder of the project.
        together: the name of one environment for all backends; None for an environment each.
        asked: fields by name, each as a text or a list of texts, in the form that the flag takes.

    Returns:
        For each environment on each platform its resolution, or why there is none.

    Raises:
        UsageError: the request contradicts itself, or names something unknown.
        SettingsError: the settings of the project are wrong.

    >>> [answer.runtime.number for answer in solve(["jax"], cuda="12", python="3.12", platforms=["linux-64"])]
    ['12.8']
    """
    asking = _flags("solve", names, together, asked)
    return solve_action.solve(asking, origin.current(Path(root)), Path(root)).answers


def lock(
    names: Sequence[str] = (),
    *,
    root: Path | str = ".",
    together: str | None = None,
    options: LockOptions = AS_USUAL,
    **asked: Raw,
) -> LockResult:
    """Solve, resolve with uv's configured index, verify, and write `locks/`.

    Args:
        names: backends, or joint environments in the settings; none for all in the settings.
        root: a folder of the project.
        together: the name of one environment for all backends; None for an environment each.
        options: how to make locks: `dry_run`, `upgrade`, `upgrade_packages`, `merge`, `installers`.
        asked: fields by name, as for :func:`solve`.

    Returns:
        For each environment its lock, or the conflict or error that prevents it; whether its folder changed; seconds
            and
        sizes in bytes.

    Raises:
        KgenError: the call failed before it came to any environment. An outcome holds the error of its environment.
    """
    matrix = origin.current(Path(root))
    flags = _flags("lock", names, together, asked)
    planned = plan.make(flags, matrix, Path(root))
    given = flags.given
    return lock_action.lock(matrix, planned, options._replace(all_platforms="platforms" not in given, given=given))


def check(names: Sequence[str] = (), *, root: Path | str = ".") -> CheckResult:
    """Compare the locks of a project with its settings, the matrix and themselves; offline.

    Args:
        names: environments; none for all.
        root: a folder of the project.

    Returns:
        Faults and notes, and which environments have a fault.

    Raises:
        UsageError: there is no such environment, or nothing is locked.
        SettingsError: the settings are wrong.
    """
    top = project.find_root(Path(root).absolute())
    return check_action.check(top, origin.current(top), names)


def validate(
    names: Sequence[str] = (),
    *,
    root: Path | str = ".",
    options: ValidateOptions = validate_action.AS_USUAL,
    progress: Callable[[ValidationTarget, str], None] | None = None,
    notify: Callable[[str], None] = validate_action.ignore,
) -> ValidateResult:
    """Install locked environments that are not on disk, train in them, and write `receipts/` beside the locks.

    Args:
        names: environments; none for all that are locked for this machine.
        root: a folder of the project.
        options: how to validate: `device`, `timeout` in seconds, `form`, `envs`, `python`, `no_lock`.
        progress: called with each environment and its current stage, possibly from another thread.
        notify: called with each remark about the environments that a person should read.

    Returns:
        For each environment the verdict on each backend (passed, failed or skipped, with the reason) with its duration
            in
        seconds, and its receipt. `status` is 0 only if everything passed.

    Raises:
        UsageError: there is no such environment, nothing is locked for this machine, or the options contradict each
            other.
        SettingsError: a lock cannot be read. Later errors of one environment are in its validation.
    """
    top = project.find_root(Path(root).absolute())
    matrix, machine = origin.current(top), host.inspect()
    chosen = validate_action.targets(top, matrix, machine, names, options)
    return validate_action.validate(top, matrix, machine, chosen, options, progress=progress, notify=notify)


def doctor(
    names: Sequence[str] = (), *, root: Path | str = ".", form: str | None = None, envs: str | None = None
) -> DoctorResult:
    """Examine this machine for what breaks locked environments.

    Args:
        names: environments; none for all that are locked for this machine.
        root: a folder of the project.
        form: the only form of locks to examine, as in `installers`: `uv`, `conda`; None for all of them.
        envs: the folder of the environments; None for the one in the settings.

    Returns:
        The findings, faults first, each with the command to type; and what this machine has.

    Raises:
        UsageError: there is no such environment, or nothing is locked for this machine.
        SettingsError: the settings or a lock cannot be read.
    """
    top = project.find_root(Path(root).absolute())
    return doctor_action.examine(
        top, origin.current(top), names, form=None if form is None else formats.named(form), envs=envs
    )


def diff(before: str, after: str | None = None, *, root: Path | str = ".") -> tuple[Difference, ...]:
    """Compare two locks, or two sets of locks.

    One side may be a revision or the working tree without any locks: then all locks of the other side are new, or gone.

    Args:
        before: a lock, a folder of locks, or a git revision.
        after: the same; None for the locks of the working tree.
        root: a folder of the project.

    Returns:
        The locks that differ, each with its changes; sizes are in bytes.

    Raises:
        UsageError: a side is none of these, a folder holds no locks, or neither side has any.
        SettingsError: a lock cannot be read.
    """
    return diff_action.diff(project.find_root(Path(root).absolute()), before, after)


def export(
    format_name: str, environment: str | None = None, *, root: Path | str = ".", platform: str | None = None
) -> str:
    """Write a lock in the format of another tool.

    Args:
        format_name: one of :data:`kgen.actions.export.FORMATS`, such as `requirements`, `dockerfile`, `cyclonedx`.
        environment: a locked environment; None for the only one, or for all in formats that hold all.
        root: a folder of the project.
        platform: the platform, as a conda subdir, for formats of one platform; None for this machine's.

    Returns:
        The text, without a final newline.

    Raises:
        UsageError: the format or the environment is unknown, or the format cannot hold it.
        SettingsError: the settings or a lock cannot be read.
    """
    top = project.find_root(Path(root).absolute())
    return export_action.export(top, origin.current(top), format_name, environment, platform=platform)


def sync(
    name: str,
    *,
    root: Path | str = ".",
    envs: Path | str | None = None,
    reinstall: bool = False,
    exact: bool = False,
) -> SyncResult:
    """Make an environment on disk match its lock exactly; does nothing if it does already.

    Args:
        name: the environment, or its backend if that is locked once; `jax-cuda12-conda` is the conda environment.
        root: a folder of the project.
        envs: the folder of the environments; None for the one in the settings.
        reinstall: whether to install everything again and compare every file with its hash.
        exact: whether to remove packages that were installed by hand, too.

    Returns:
        Its folder (`result.source.prefix`) and interpreter (`result.source.python`), whether it had to be made, in how
            many
        seconds, and what was lost of the previous environment.

    Raises:
        UsageError: there is no such environment, or it is not locked for this machine.
        SettingsError: the settings or the lock are wrong.
        OutsideError: the environment could not be made; the previous one is unchanged.
    """
    top = project.find_root(Path(root).absolute())
    source = sync_action.find(top, name, None if envs is None else str(envs))
    sync_action.sweep(source)
    return sync_action.sync(source, again=reinstall, exact=exact)


def read_lock(path: Path | str) -> Lockfile:
    """Read a lock: its environment, backends, accelerator, versions and files.

    Args:
        path: a `pylock.PLATFORM.toml` that kgen wrote.

    Returns:
        The lock; sizes are in bytes, hashes are sha256.

    Raises:
        OutsideError: the file cannot be read.
        SettingsError: kgen did not write it, or it is damaged; the message lists every fault with its place.
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
        if field.shape in {Shape.MANY, Shape.PAIRS} and isinstance(value, str):
            raise UsageError(f"`{name}` takes a list, such as [{field.example!r}]")
    return RequestFlags(command=command, names=tuple(names), together=together, flags=asked)
