"""The arguments of each command. Declares; decides nothing."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from kgen.errors import UsageError
from kgen.tables import nearest

_INVALID_CHOICE = re.compile(r"argument (?P<what>\w+): invalid choice: '(?P<wrong>.*)' \(choose from (?P<known>.*)\)")
_EPILOG = "Exit status: 0 done, 1 a check said no, 2 wrong call or settings, 3 no solution, 4 something outside failed."


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are kgen's errors."""

    def error(self, message: str) -> NoReturn:
        hints = []
        if message.startswith("unrecognized arguments: "):
            wrong = message.removeprefix("unrecognized arguments: ").split()[0]
            near = nearest(wrong.split("=")[0], self._option_string_actions)
            message = f"`{self.prog}` has no argument `{wrong}`"
            hints += [f"did you mean `{near}`?"] if near else []
        choice = _INVALID_CHOICE.fullmatch(message)
        if choice is not None:
            known = re.findall(r"[a-z]+", choice["known"])
            message = f"`{self.prog}` has no {choice['what'].lower()} `{choice['wrong']}`"
            near = nearest(choice["wrong"], known)
            hints.append(f"did you mean `{near}`?" if near else f"known are {', '.join(known)}")
        raise UsageError(message, hints=[*hints, f"{self.prog} --help"])


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = _Parser(
        prog="kgen",
        description="One reproducible, GPU-proven Keras environment per backend.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    top.add_argument("-V", "--version", action="store_true", help="print the version and exit")
    chosen = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    init = chosen.add_parser("init", help="write the settings, from what this machine has", allow_abbrev=False)
    init.add_argument("backends", nargs="*", metavar="BACKEND", help="the backends of the project")
    _accelerator(init)
    init.add_argument("--python", metavar="V", help="the CPython minor, such as 3.12")
    solve = chosen.add_parser("solve", help="what fits? from the matrix alone, without network", allow_abbrev=False)
    _request(solve)
    lock = chosen.add_parser("lock", help="solve, lock and write locks/ and the hooks", allow_abbrev=False)
    _request(lock)
    lock.add_argument("--portable", action="store_true", default=None, help="locks name files, not index hosts")
    lock.add_argument("--conda", action="store_true", help="conda-lock.yml beside the pylock (not in this version)")
    lock.add_argument("--channel", action="append", metavar="URL", help="a conda channel (not in this version)")
    lock.add_argument(
        "--nix", action=argparse.BooleanOptionalAction, help="write a flake.nix where there is none (the default)"
    )
    lock.add_argument("--flake", metavar="URL", help="where that flake.nix finds kgen's own, such as flake:kgen")
    lock.add_argument("--dry-run", action="store_true", help="do everything but write")
    export = chosen.add_parser("export", help="a lock in another form, on stdout", allow_abbrev=False)
    export.add_argument("format", metavar="FORMAT", help="nix")
    export.add_argument(
        "environment", nargs="?", metavar="ENV", help="the environment, or its name without the accelerator"
    )
    matrix = chosen.add_parser("matrix", help="the compatibility facts", allow_abbrev=False)
    actions = matrix.add_subparsers(dest="action", metavar="ACTION", parser_class=_Parser, required=True)
    show = actions.add_parser("show", help="print the facts as a table", allow_abbrev=False)
    show.add_argument("framework", nargs="?", metavar="FRAMEWORK", help="torch, jax, cuda, cudnn, …")
    show.add_argument("--json", action="store_true", help="as data")
    return top


def _accelerator(command: argparse.ArgumentParser) -> None:
    command.add_argument("--cuda", metavar="V", help="CUDA major or major.minor, or auto")
    command.add_argument("--cpu", action="store_true", default=None, help="for the CPU")


def _request(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "backends", nargs="*", metavar="BACKEND", help="backends, or joint environments of the settings"
    )
    _accelerator(command)
    command.add_argument("--together", metavar="NAME", help="all backends in one environment of this name")
    command.add_argument("--python", metavar="V", help="the CPython minor, such as 3.12")
    command.add_argument(
        "--platform", action="append", metavar="P", help="linux-64, linux-aarch64, osx-arm64, win-64; repeatable"
    )
    command.add_argument("--glibc", metavar="V", help="the oldest glibc to run on, such as 2.28")
    command.add_argument("--driver", metavar="V", help="the NVIDIA driver of the target, such as 535.183")
    command.add_argument(
        "--gpu", action="append", metavar="SM", help="compute capability to serve, such as 8.0; repeatable"
    )
    command.add_argument("--keras", metavar="RANGE", help="the range of Keras, such as '>=3.10'")
    command.add_argument(
        "--require", action="append", metavar="SPEC", help="a further requirement, such as torch==2.6.0; repeatable"
    )
    command.add_argument(
        "--dependency", action="append", metavar="SPEC", help="installed in every environment; repeatable"
    )
    command.add_argument("--exclude-newer", metavar="DATE", help="nothing published after this day, as 2026-11-20")
    command.add_argument(
        "--upgrade-package",
        action="append",
        metavar="P",
        help="take the newest P, whatever the old lock has; repeatable",
    )
    command.add_argument("--json", action="store_true", help="the result as data on stdout")
