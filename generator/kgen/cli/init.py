"""`kgen init`: writes the settings, from what this machine has."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 1,
    "purpose": "write settings that suit this machine",
    "example": "kgen init jax torch",
}

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple

from kgen import gittool, host
from kgen.actions.gitattributes import ATTRIBUTES, merge_locks_with_git
from kgen.actions.init import interpreter_here, wheels_here, write_settings
from kgen.actions.machines import accelerator_of
from kgen.actions.takeover import names, source_in, take_over
from kgen.cli import candidates, console
from kgen.cli.options import ASKED, argument, option
from kgen.cli.request import of_field, offering_accelerators
from kgen.errors import ExitStatus, UsageError
from kgen.fields import BY_NAME, Raw
from kgen.matrix import origin
from kgen.project import find_root, locate


class InitOptions(NamedTuple):
    """What the settings are to say, whatever this machine has.

    Attributes:
        backends: the backends; none for those that suit.
        accelerator: name of a kind of accelerator -> what its flag was given; all None for the one that suits best.
        python: the CPython minor; None for what the project says.
        source: what an existing project is taken over from; None for nothing.
    """

    backends: tuple[str, ...] = ()
    accelerator: Mapping[str, Raw] = MappingProxyType({})
    python: str | None = None
    source: str | None = None


@offering_accelerators
def run(
    backends: Annotated[
        list[str] | None,
        argument("BACKEND", "the backends of the project", panel=ASKED, values=candidates.backends),
    ] = None,
    *,
    accelerator: Mapping[str, Raw],
    python: Annotated[str | None, of_field(BY_NAME["python"])] = None,
    source: Annotated[
        str | None,
        option(
            "--from",
            metavar="SOURCE",
            text="take an existing project over: environment.yml, requirements.txt, a script, uv, poetry or pixi",
            panel=ASKED,
            values=candidates.of(*names()),
        ),
    ] = None,
    git: Annotated[
        bool,
        option(
            "--git",
            text="have git merge locks by solving them again; settings that are there stay",
            panel="Output",
        ),
    ] = False,
) -> ExitStatus:
    """Write the settings and say where; set git up, where that is asked."""
    options = InitOptions(tuple(backends or ()), accelerator, python, source)
    root = find_root(Path.cwd())
    if git and not gittool.is_repository(root):
        raise UsageError(f"{root} is in no git repository", hints=["git init"])
    there = locate(root)
    if not git or there is None:
        _write_settings(options, root)
    if git:
        merge_locks_with_git(root)
        console.say(
            f"git merges locks by solving them again: {ATTRIBUTES} lists them, so commit it; that `kgen` merges them is"
            " in the configuration of this clone, so every other clone needs its own `kgen init --git`"
        )
    return ExitStatus.DONE


def _write_settings(options: InitOptions, root: Path) -> None:
    matrix = origin.current()
    source, notes = (options.source, ()) if options.source is not None else source_in(root, matrix)
    taken = None if source is None else take_over(root, source, matrix)
    path, text = write_settings(
        root,
        host.inspect(),
        matrix,
        accelerator=accelerator_of(options.accelerator, matrix),
        backends=options.backends,
        python=options.python,
        nix=host.has_program("nix"),
        find_links=wheels_here(),
        installed=interpreter_here,
        taken=taken,
    )
    console.result(text.rstrip("\n"))
    for note in notes:
        console.say(f"note: {note}")
    for one in () if taken is None else taken.left:
        console.say(f"note: left out: {one}")
    console.say(f"\nwritten to {path.name}; next: kgen lock")
    conda = host.conda_program()
    if conda is not None:
        console.say(
            f"{conda} is on this machine: `kgen lock --conda` makes conda-lock.yml too, and"
            ' `installers = ["uv", "conda"]` in the settings has it made every time'
        )
