"""`kgen init`: writes the settings, from what this machine has."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 1,
    "purpose": "write settings that suit this machine",
    "example": "kgen init jax torch",
}

import shlex
from pathlib import Path
from typing import Annotated, NamedTuple

from kgen import files, gittool, host, lockfiles, storage
from kgen.actions.init import write_settings
from kgen.cli import candidates, console
from kgen.cli.options import ASKED, argument, option
from kgen.cli.request import of_field
from kgen.errors import ExitStatus, SettingsError, UsageError
from kgen.fields import BY_NAME
from kgen.matrix import origin
from kgen.model import format as formats
from kgen.project import find_root, locate

_ATTRIBUTES = ".gitattributes"
_MERGED = tuple(f"locks/*/{name} merge=kgen" for form in formats.known() for name in form.files)


class Wishes(NamedTuple):
    """What the settings are to say, whatever this machine has.

    Attributes:
        backends: the backends; none for those that suit.
        cuda: the CUDA; None for the newest that suits.
        cpu: whether it is for the CPU.
        python: the CPython minor; None for what the project says.
    """

    backends: tuple[str, ...] = ()
    cuda: str | None = None
    cpu: bool = False
    python: str | None = None


def run(
    backends: Annotated[
        list[str] | None,
        argument("BACKEND", "the backends of the project", panel=ASKED, values=candidates.backends),
    ] = None,
    *,
    cuda: Annotated[str | None, of_field(BY_NAME["cuda"])] = None,
    cpu: Annotated[bool, of_field(BY_NAME["cpu"])] = False,
    python: Annotated[str | None, of_field(BY_NAME["python"])] = None,
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
    wishes = Wishes(tuple(backends or ()), cuda, cpu, python)
    root = find_root(Path.cwd())
    if git and not gittool.is_repository(root):
        raise UsageError(f"{root} is in no git repository", hints=["git init"])
    there = locate(root)
    if not git or there is None:
        _write_settings(wishes, root)
    if git:
        _set_git_up(root)
    return ExitStatus.DONE


def _set_git_up(root: Path) -> None:
    """Have git merge locks with `kgen merge-driver`: which files is committed, how is told to this clone."""
    path = root / _ATTRIBUTES
    try:
        text = files.read_text(path)
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise lockfiles.unreadable(path, error) from None
    except ValueError:
        raise SettingsError(f"{path} is not UTF-8 text", hints=[f"edit {shlex.quote(str(path))}"]) from None
    missing = [line for line in _MERGED if line not in text.splitlines()]
    if missing:
        start = text if text.endswith("\n") or not text else f"{text}\n"
        storage.write_file(path, (start + "".join(f"{line}\n" for line in missing)).encode())
    gittool.configure(root, "merge.kgen.name", "locks are solved again, keeping what both sides share")
    gittool.configure(root, "merge.kgen.driver", "kgen merge-driver %O %A %B %P")
    console.say(
        f"git merges locks by solving them again: {_ATTRIBUTES} says which, and is to be committed; that `kgen` does it"
        " is in the configuration of this clone, so that every other needs its own `kgen init --git`"
    )


def _write_settings(wishes: Wishes, root: Path) -> None:
    matrix = origin.current()
    path, text = write_settings(
        root,
        host.inspect(),
        matrix,
        cuda=wishes.cuda,
        cpu=wishes.cpu,
        backends=wishes.backends,
        python=wishes.python,
        nix=host.has_program("nix"),
    )
    console.result(text.rstrip("\n"))
    console.say(f"\nwritten to {path.name}; next: kgen lock")
    kin = host.conda_program()
    if kin is not None:
        console.say(
            f"{kin} is on this machine: `kgen lock --conda` makes conda-lock.yml too, and"
            ' `installers = ["uv", "conda"]` in the settings has it made every time'
        )
