"""`kgen add`: requirements into the settings, and into the locks."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 4,
    "purpose": "add packages to the settings, and lock",
    "example": "kgen add optax --backend jax",
    "options_by": "lock",
    "instead": "build",
}

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from kgen import files, host
from kgen.actions import locked_requests
from kgen.actions.init import interpreter_here, wheels_here, write_settings
from kgen.actions.requirement_settings import Edit, Place, add
from kgen.cli import console
from kgen.cli.edit import BackendOf, EnvironmentOf, NoLock, apply
from kgen.cli.options import ASKED, Json, argument
from kgen.cli.request import of_field
from kgen.errors import ExitStatus, KgenError, UsageError
from kgen.fields import BY_NAME
from kgen.matrix import origin
from kgen.project import PYPROJECT, find_root, locate
from kgen.storage import write_file


def run(
    packages: Annotated[list[str] | None, argument("PKG", "a requirement, such as optax>=0.2", panel=ASKED)] = None,
    *,
    build: Annotated[list[str] | None, of_field(BY_NAME["build"])] = None,
    backend: BackendOf = None,
    environment: EnvironmentOf = None,
    no_lock: NoLock = False,
    json: Json = False,
) -> ExitStatus:
    """Add the packages, and lock; settings that no lock follows from are put back.

    Raises:
        UsageError: there are no settings, and none ask for what is locked.
    """
    edit = edited(find_root(Path.cwd()), packages or (), Place(backend, environment), build or ())
    if edit.unasked is not None:
        console.say(
            f"note: `backends` in {edit.path.name} leave {edit.unasked} out, so that nothing is locked with it;"
            f" `kgen lock {edit.unasked}` locks that"
        )
    return apply(edit, added, no_lock=no_lock, json=json)


def added(edit: Edit) -> str:
    """What the settings require now."""
    said = [f"requires {', '.join(edit.changed)}"] if edit.changed else []
    said += [f"allows {', '.join(edit.built)} to be built from source"] if edit.built else []
    return f"{edit.path.name} {' and '.join(said)}"


def edited(root: Path, packages: Sequence[str], place: Place, build: Sequence[str] = ()) -> Edit:
    """The settings with packages; where there are none, they are written as those that ask for what is locked.

    Args:
        root: the project's folder.
        packages: the requirements.
        place: where they belong.
        build: packages that may be built from source.

    Raises:
        UsageError: there are no settings, and none ask for what is locked; or a requirement is none.
        SettingsError: the settings are wrong.
    """
    matrix = origin.current()
    built = BY_NAME["build"].from_flag(tuple(build), matrix)
    assert isinstance(built, tuple)  # noqa: S101 - its field takes several
    if locate(root) is not None:
        return add(root, matrix, packages, place, built)
    asked = locked_requests.requests(root)
    if asked and not locked_requests.settings(root, asked, matrix):
        raise UsageError(
            "no settings say what is to be locked, and what is locked was asked for in several ways",
            hints=[
                *locked_requests.commands(
                    asked,
                    *(f"--dependency {shlex.quote(one)}" for one in packages),
                    *(f"--build {one}" for one in built),
                ),
                "kgen init   # writes settings",
            ],
        )
    before = {path: path.read_bytes() for path in (root / PYPROJECT,) if files.is_file(path)}
    made, _ = write_settings(root, host.inspect(), matrix, find_links=wheels_here(), installed=interpreter_here)
    try:
        edit = add(root, matrix, packages, place, built)
    except KgenError:  # what is refused leaves no settings behind
        if made in before:
            write_file(made, before[made])
        else:
            made.unlink()
        raise
    those = "ask for what is locked" if asked else "suit this machine"
    console.say(f"there were no settings; {made.name} has those that {those}")
    return edit._replace(before=before.get(made))
