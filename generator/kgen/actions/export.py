"""Locks in the forms of other tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from kgen import host, lockfiles, project, settings, uvtool
from kgen.actions import flake
from kgen.emitters import cyclonedx, kubernetes, recipes, requirements, uvproject
from kgen.errors import LOCK, NotLockedError, OtherPlatformError, Unlocked, UsageError
from kgen.fields import lock_command, request_of
from kgen.formats import interface
from kgen.formats.wheels import pylock
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import require_known
from kgen.model import format as formats
from kgen.model.format import Format as LockFormat
from kgen.model.lockfile import Lockfile
from kgen.model.requirement import parse_requirement
from kgen.settings import Settings
from kgen.shells.sh import SHELL as SH
from kgen.tables import nearest

_TESTS = "pytest"
"""What runs a project's tests."""

_ALIKE = 0.75
"""How alike what was typed must be to a format: `modulefile` is much like `dockerfile`, and something else."""

_HOUR = 3600.0
"""Seconds that an exported job may take, which people change as they like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is to be exported.

    Attributes:
        settings: the project's settings.
        backends: the backends in the project's order.
        environment: the environment that was named, which is locked; None if none was.
        matrix: the facts.
        platform: the platform that was named; None if none was.
    """

    settings: Settings
    backends: tuple[str, ...]
    environment: str | None
    matrix: CompatibilityMatrix
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A form to export to.

    Attributes:
        render: makes its text.
        of_one: whether it is of one environment, so that one must be named where several are locked.
        of_platform: whether it is of one platform, so that one can be named.
    """

    render: Callable[[Export], str]
    of_one: bool
    of_platform: bool = False


def _locks(export: Export) -> Mapping[str, Lockfile]:
    """The environment's locks by platform; the matrix knows each platform."""
    locked = lockfiles.choose(export.settings.root, str(export.environment))
    locks = {name: lockfiles.read(path) for name, path in locked.platforms.items()}
    for lock in locks.values():
        require_known(export.matrix, lock)
    return locks


def _on_linux(export: Export) -> Mapping[str, Lockfile]:
    """Its locks for Linux, which is what containers and clusters run."""
    locks = _locks(export)
    found = {name: lock for name, lock in locks.items() if export.matrix.platforms[name].glibc is not None}
    if not found:
        raise OtherPlatformError(
            f"{export.environment} is locked for {', '.join(locks)}, and this is for Linux",
            hints=[LOCK],
            unlocked=Unlocked(str(export.environment), "linux-64"),
        )
    return found


def _pinned(export: Export, locks: Mapping[str, Lockfile]) -> str:
    """The requirements of an environment, as pip takes them.

    Raises:
        UsageError: it has packages that no hash pins.
    """
    for lock in locks.values():
        if lock.trees:
            raise UsageError(
                f"{lock.environment} has packages that are built from source trees, which no hash pins for pip:"
                f" {', '.join(f'{tree.name} ({tree.shown})' for tree in lock.trees)}",
                hints=[
                    f"kgen sync {lock.environment}   # builds them as locked",
                    "or build wheels of them (`uv build --wheel`), and name those in `dependencies`",
                ],
            )
    return requirements.render(
        {pylock.marker(export.matrix.platforms[name]): lock for name, lock in locks.items()},
        list(dict.fromkeys(index for lock in locks.values() for index in _own_indexes(export, lock))),
    )


def _own_indexes(export: Export, lock: Lockfile) -> Iterator[str]:
    """The frameworks' own indexes that files of a lock are from: as it says, or where it says no host, as uv knows.

    Raises:
        UsageError: neither says it.
    """
    if not lock.indexes:
        return
    data = lockfiles.parse(lock.path, lockfiles.content_of(lock.path))[1]
    stated = {one["name"]: one.get("index") for one in data["packages"]}
    own = None
    for name, label in lock.indexes.items():
        index = stated.get(name)
        if index is None:
            root = export.settings.root
            own = own or uvtool.own_indexes(uvtool.find(), root, project.torch_index(root))
            if own is None:
                raise UsageError(
                    f"{lock.environment} has {name} ({label}) of a framework's own index, and the settings name none",
                    hints=["set `torch-index = true`, or the URL of a mirror, in the settings"],
                )
            index = own(name, label)
        yield index


def _image(export: Export, render: Callable[..., str]) -> str:
    locks = _on_linux(export)
    lock = next(iter(locks.values()))
    local = [file.filename for file in lock.files if file.is_local]
    if local:
        made_for = request_of(lockfiles.parse(lock.path, lockfiles.content_of(lock.path))[1]["tool"]["kgen"])
        index = project.torch_index(export.settings.root)
        again = lock_command(made_for._replace(own_index=True), torch_index=index)
        raise UsageError(
            f"{lock.environment} names files of this machine, which the image does not have: {', '.join(local)}",
            hints=[f"{again}   # takes builds of PyTorch from its own index"],
        )
    inside = [file.path for file in lock.files if file.path is not None]
    if inside:
        raise UsageError(
            f"{lock.environment} has files of the project, which the image does not have: {', '.join(inside)}",
            hints=["put them where a URL leads to, and name that in `dependencies`"],
        )
    programs = [program for backend in lock.backends for program in export.matrix.backends[backend].programs]
    return render(lock, requirements=_pinned(export, locks), programs=list(dict.fromkeys(programs)))


def _module(export: Export, form: recipes.ModuleForm) -> str:
    """The module of an environment, on disk or not yet."""
    prefix = project.envs(export.settings.root) / str(export.environment)
    return recipes.render_module(
        next(iter(_on_linux(export).values())), form, script=str(prefix / project.SHARE / f"activate.{SH.suffix}")
    )


def _uv(export: Export) -> str:
    locks = {pylock.marker(export.matrix.platforms[name]): lock for name, lock in _locks(export).items()}
    indexes: dict[str, dict[str, str]] = {}
    for marker, lock in locks.items():
        for name, url in zip(lock.indexes, _own_indexes(export, lock), strict=True):
            indexes.setdefault(name, {})[marker] = url
    roots = tuple(dict.fromkeys(name for lock in locks.values() for name in _roots(lock)))
    return uvproject.render_uv(locks, indexes, roots=roots)


def _workflow(export: Export) -> str:
    """The locks of one environment, or of all, that there are runners for."""
    names = (
        [export.environment]
        if export.environment
        else [one.name for one in lockfiles.environments(export.settings.root)]
    )
    jobs, left_out = [], []
    for name in names:
        for platform, path in lockfiles.choose(export.settings.root, str(name)).platforms.items():
            lock = lockfiles.read(path)
            if platform in recipes.RUNNERS:
                tested = _TESTS in lock.versions
                jobs.append(recipes.Job(lock.environment, lock.python, lock.accelerated, tested, platform))
            else:
                left_out.append(f"{lock.environment} ({platform})")
    if not jobs:
        first, *others = recipes.RUNNERS
        raise OtherPlatformError(
            f"nothing is locked for {' or '.join([first, *others])}", hints=[LOCK], unlocked=Unlocked(None, first)
        )
    return recipes.render_workflow(jobs, left_out, _folder(export))


def _folder(export: Export) -> str:
    """Where the project is in its repository; empty for its top."""
    root = export.settings.root
    top = project.repository(root) or root
    return "" if root == top else root.relative_to(top).as_posix()


def _kubernetes(export: Export) -> str:
    lock = next(iter(_on_linux(export).values()))
    lock.require_grammar()
    name = lock.environment
    device = "gpu" if lock.accelerated else "cpu"
    try:
        return kubernetes.render_job(
            label=name,
            name=kubernetes.name_of(name),
            image=f"{name}:latest",
            words=("kgen", "validate", name, "--json", "--device", device),
            accelerator=lock.computes_on.kind,
            seconds=_HOUR,
            selector={},
        )
    except ValueError as error:
        raise UsageError(f"{name}: {error}", hints=[f"kgen export slurm {name}"]) from None


def _vscode(export: Export) -> str:
    """The prefix of the environment, on disk or not yet; in the project by the editor's name of its folder."""
    root = export.settings.root
    python = project.envs(root) / str(export.environment) / "bin/python"
    inside = python.is_relative_to(root)
    shown = f"${{workspaceFolder}}/{python.relative_to(root).as_posix()}" if inside else str(python)
    return recipes.render_vscode(next(iter(_locks(export).values())), interpreter=shown)


def _envrc(export: Export) -> str:
    locks = _locks(export)
    files = [lock.path.relative_to(export.settings.root).as_posix() for lock in locks.values()]
    return recipes.render_envrc(next(iter(locks.values())), files=files)


def _of(form: LockFormat, render: Callable[[Path, str], str]) -> Callable[[Export], str]:
    """A form of what is locked in another one: on the platform named, else this machine's, else the only one."""

    def rendered(export: Export) -> str:
        chosen, _ = lockfiles.choose_on_disk(export.settings.root, str(export.environment), form)
        path = lockfiles.lock_path(chosen, form, export.platform)
        platforms = [] if path is None else [lock.platform for lock in interface.read_every(form, path)]
        only = platforms[0] if len(platforms) == 1 else None
        platform = export.platform or next((one for one in (host.subdir(), only) if one in platforms), None)
        if path is None or platform is None or platform not in platforms:
            listed = ", ".join(platforms)
            what = f"is not locked for {form.name} on {platform}" if platform else "is locked for several platforms"
            raise UsageError(f"{chosen.name} {what}", hints=[f"give one of these with `--platform`: {listed}"])
        return render(path, platform)

    return rendered


def _roots(lock: Lockfile) -> Iterator[str]:
    """What a project has to require to get all that is locked: what was decided, asked for, or needed unsaid."""
    yield from (*lock.packages, *lock.libraries)
    data = lockfiles.parse(lock.path, lockfiles.content_of(lock.path))[1]["tool"]["kgen"]
    asked = (parse_requirement(text).name for text in data.get("dependencies", ()))
    explained = (row["subject"].partition(" ")[0] for row in data.get("why", ()))
    yield from (name for name in (*asked, *explained) if name in lock.versions)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "nix": Format(
            render=lambda export: flake.text(export.settings, export.backends, default=export.environment),
            of_one=False,
        ),
        "requirements": Format(render=lambda export: _pinned(export, _locks(export)), of_one=True),
        "uv": Format(render=_uv, of_one=True),
        "dockerfile": Format(render=lambda export: _image(export, recipes.render_dockerfile), of_one=True),
        "apptainer": Format(render=lambda export: _image(export, recipes.render_apptainer), of_one=True),
        "devcontainer": Format(
            render=lambda export: recipes.render_devcontainer(next(iter(_on_linux(export).values()))), of_one=True
        ),
        "github-actions": Format(render=_workflow, of_one=False),
        "github-actions-update": Format(render=lambda export: recipes.render_updates(_folder(export)), of_one=False),
        "slurm": Format(
            render=lambda export: recipes.render_slurm(next(iter(_on_linux(export).values()))), of_one=True
        ),
        "lmod": Format(render=lambda export: _module(export, recipes.LMOD), of_one=True),
        "modulefile": Format(render=lambda export: _module(export, recipes.ENVIRONMENT_MODULES), of_one=True),
        "kubernetes": Format(render=_kubernetes, of_one=True),
        "vscode": Format(render=_vscode, of_one=True),
        "envrc": Format(render=_envrc, of_one=True),
        "cyclonedx": Format(render=lambda export: cyclonedx.render(list(_locks(export).values())), of_one=True),
        **{
            name: Format(render=_of(form, render), of_one=True, of_platform=True)
            for form in formats.known()
            for name, render in interface.exports(form).items()
        },
    }
)
"""Every format, by its name."""


OF_PLATFORM = tuple(name for name, one in FORMATS.items() if one.of_platform)
"""The formats that are of one platform."""


_INSTEAD = MappingProxyType(
    {
        **dict.fromkeys(("nox", "tox", "pytest"), "docs/how-to/testing.md has a noxfile.py and a tox.ini to copy"),
        **dict.fromkeys(("module", "modules"), "kgen export lmod ENV, or kgen export modulefile ENV"),
        **dict.fromkeys(("singularity", "sif"), "kgen export apptainer ENV"),
        **dict.fromkeys(("pip", "pip-tools"), "kgen export requirements ENV"),
        **dict.fromkeys(("sbom", "cdx"), "kgen export cyclonedx ENV"),
        **dict.fromkeys(("conda", "mamba", "environment"), "kgen export environment-yml ENV"),
        **dict.fromkeys(("github", "gha", "ci", "actions"), "kgen export github-actions"),
        **dict.fromkeys(("k8s", "kube"), "kgen export kubernetes ENV"),
        **dict.fromkeys(("direnv",), "kgen export envrc ENV"),
        **dict.fromkeys(("lock", "pylock"), "locks/ENV/pylock.linux-64.toml is one already, which pip and uv read"),
    }
)
"""What is asked for as if it were a format -> what there is instead."""


def export(
    root: Path,
    matrix: CompatibilityMatrix,
    format_name: str,
    environment: str | None = None,
    *,
    platform: str | None = None,
) -> str:
    """The project's locks, or one environment of them, in a format.

    Args:
        root: the project's folder.
        matrix: the facts.
        format_name: one of :data:`FORMATS`.
        environment: the locked environment; None for the only one, or for all in formats that hold all.
        platform: the platform, as a conda subdir, for :data:`OF_PLATFORM`; None for this machine's, or the only one.

    Raises:
        UsageError: the format or the environment is unknown, or the format cannot hold it.
        SettingsError: the settings or a lock cannot be read.
    """
    chosen = FORMATS.get(format_name)
    if chosen is None:
        near = nearest(format_name, FORMATS, _ALIKE)
        instead = _INSTEAD.get(format_name.lower())
        if instead is not None:
            raise UsageError(f"`{format_name}` is not a format that is exported", hints=[instead])
        raise UsageError(
            f"unknown format `{format_name}`",
            hints=[f"did you mean `{near}`?"] if near else [f"known are {', '.join(FORMATS)}"],
        )
    if platform is not None and not chosen.of_platform:
        known = ", ".join(OF_PLATFORM)
        raise UsageError(f"`--platform` is not for {format_name}", hints=[f"these are of one platform: {known}"])
    found = settings.read(root, matrix)
    if environment is not None or chosen.of_one:
        environment = _environment(found.root, environment, format_name)
    backends = found.backends or tuple(matrix.backends)
    asked = Export(settings=found, backends=backends, environment=environment, matrix=matrix, platform=platform)
    return chosen.render(asked).removesuffix("\n")


def _environment(root: Path, name: str | None, format_name: str) -> str:
    """The locked environment of this name; where none is named, the only one."""
    if name is not None:
        chosen, form = lockfiles.choose_on_disk(root, name)
        if not form.is_default and format_name not in interface.exports(form):
            raise UsageError(
                f"{format_name} is of wheels, and `{name}` is locked for {form.name}",
                hints=[
                    f"kgen export {format_name} {chosen.name}   # of the same environment as wheels",
                    f"of {form.name}'s lock there are {', '.join(interface.exports(form))}",
                ],
            )
        return chosen.name
    known = [one.name for one in lockfiles.environments(root)]
    if not known:
        raise NotLockedError(f"nothing is locked in {root}", hints=["kgen lock"])
    if len(known) > 1:
        raise UsageError(
            f"which environment? Locked are {', '.join(known)}", hints=[f"kgen export {format_name} {known[0]}"]
        )
    return known[0]
