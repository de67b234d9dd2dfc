"""`kgen init`: writes the settings, from what this machine has."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from kgen import files, gittool, host, lockfiles, storage
from kgen.actions.init import write_settings
from kgen.cli import console
from kgen.errors import ExitStatus, SettingsError, UsageError
from kgen.matrix import origin
from kgen.project import find_root, locate

_ATTRIBUTES = ".gitattributes"
_MERGED = tuple(
    f"locks/*/{name} merge=kgen"
    for name in ("pylock.*.toml", "conda-records.json", "conda-lock.yml", "environment.yml", "virtual-packages.yml")
)


def run(arguments: argparse.Namespace) -> ExitStatus:
    """Write the settings and say where; set git up, where that is asked."""
    root = find_root(Path.cwd())
    if arguments.git and not gittool.is_repository(root):
        raise UsageError(f"{root} is in no git repository", hints=["git init"])
    there = locate(root)
    if not arguments.git or there is None:
        _write_settings(arguments, root)
    if arguments.git:
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


def _write_settings(arguments: argparse.Namespace, root: Path) -> None:
    matrix = origin.current()
    path, text = write_settings(
        root,
        host.inspect(),
        matrix,
        cuda=arguments.cuda,
        cpu=bool(arguments.cpu),
        backends=arguments.backends,
        python=arguments.python,
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
