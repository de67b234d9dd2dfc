"""A kernel spec, with which Jupyter runs notebooks in an environment."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from kgen import accelerators, files, host, lockfiles, storage
from kgen.actions.choose import choose
from kgen.actions.requirement_settings import Place
from kgen.errors import OutsideError
from kgen.formats import interface
from kgen.formats.environment import Source, site_packages
from kgen.model.format import Format
from kgen.project import SHARE

KERNEL = "ipykernel"
"""What Jupyter talks to."""


_PYTHON = "/bin/python"
"""The end of the path of an environment's interpreter."""


class Kernel(NamedTuple):
    """A kernel that Jupyter offers: its folder, and what Jupyter calls it."""

    folder: Path
    name: str


def without_ipykernel(root: Path, name: str, form: Format | None = None) -> Place | None:
    """Where in the settings ipykernel is to be required for an environment.

    None where its lock has it, or the lock is of a form that names packages otherwise.

    Args:
        root: the project's folder.
        name: the environment.
        form: the form of its lock; None where the name says it.

    Raises:
        UsageError: there is no such environment.
        SettingsError: the lock is wrong.
    """
    choice = choose(root, name, form)
    path = lockfiles.lock_path(choice.environment, choice.form, host.subdir() or "")
    if path is None or not choice.form.is_default or KERNEL in lockfiles.read(path).versions:
        return None
    backends = lockfiles.read(path).backends
    joint = accelerators.without_ending(choice.environment.name) if len(backends) > 1 else None
    return Place(None if joint else backends[0], joint)


def install_kernel(source: Source) -> Kernel:
    """Write the kernel spec where this user's Jupyter looks for them.

    Args:
        source: the environment, which is on disk.

    Raises:
        OutsideError: the environment has no ipykernel, or the folder cannot be written.
    """
    name = source.name
    variables = interface.read(source.form, source.lock, host.subdir()).variables
    # what packages have put into the folder of their scripts is run before the kernel is
    way = [] if source.form.scripts is None else ["/bin/sh", str(source.prefix / SHARE / "run.sh")]
    site = site_packages(source.prefix)
    if site is None or not files.is_folder(site / KERNEL):
        raise OutsideError(
            f"{name} has no ipykernel in it, which Jupyter talks to",
            hints=[
                f"kgen add {KERNEL}{source.form.words and '   # then: kgen lock' + source.form.words}",
                f"kgen sync {name}",
            ],
        )
    folder, shown = _place(source)
    spec = {
        "argv": [*way, str(source.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": shown,
        "language": "python",
        "env": {**variables, "KGEN_ENVIRONMENT": name, **source.variables},
        "metadata": {"debugger": True},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.unwritable(folder, error, hints=["set JUPYTER_DATA_DIR to another folder"]) from error
    storage.write_file(folder / "kernel.json", (json.dumps(spec, indent=1) + "\n").encode())
    return Kernel(folder, shown)


def _place(source: Source) -> tuple[Path, str]:
    """The folder of an environment's kernel, and what Jupyter calls it: by the project's folder.

    Where another project of that name has such a kernel, the folder around it is part of the name, and so on.
    """
    parts = source.environment.folder.parent.parent.parts
    projects = ("/".join(parts[-count:]) for count in range(1, len(parts)))
    places = [(_folder(f"kgen-{project}-{source.name}"), f"{source.name} ({project})") for project in projects]
    free = (place for place in places if not _serves_another(place[0] / "kernel.json", source.prefix))
    return next(free, places[-1])


def _folder(name: str) -> Path:
    return _kernels() / re.sub(r"[^a-z0-9._-]+", "-", name.lower())


def _serves_another(spec: Path, prefix: Path) -> bool:
    """Whether a kernel spec starts the Python of an environment that is there and is not this one."""
    try:
        words = json.loads(files.read(spec, files.SMALL))["argv"]
        paths = [Path(word) for word in words if isinstance(word, str) and word.endswith(_PYTHON)]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False
    return any(files.exists(path) and not path.is_relative_to(prefix) for path in paths)


def _kernels() -> Path:
    """The folder of the user's kernel specs: where `jupyter --paths` looks first."""
    named = host.variable("JUPYTER_DATA_DIR")
    if named:
        return Path(named, "kernels")
    data = host.variable("XDG_DATA_HOME")
    home = host.home()
    if not data and home is None:
        raise OutsideError("there is no home folder for Jupyter's kernels", hints=["set JUPYTER_DATA_DIR"])
    return Path(data or (home or Path()) / ".local/share", "jupyter/kernels")
