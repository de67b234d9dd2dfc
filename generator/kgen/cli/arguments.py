"""The arguments of each command. Declares; decides nothing."""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from kgen.cli import console
from kgen.cli.plan import RequestFlags
from kgen.errors import MEANINGS, UsageError
from kgen.fields import FIELDS, Field, Scope, Shape, flags_of
from kgen.parsers import OWN_INDEX

_INVALID_CHOICE = r"argument (?P<what>[\w-]+): invalid choice: '(?P<wrong>.*)' \(choose from (?P<known>.*)\)"
_UNASKED = 80
_ENVIRONMENT = "a locked environment, or its backend where that is locked once"
_CONDA = "the environment of conda's, from what `kgen lock --conda` has locked"
_EPILOG = f"Exit status: {', '.join(f'{status} {meaning}' for status, meaning in MEANINGS.items())}."
DEBUG = "--debug"
"""Declared here, and read before the arguments are parsed: parsing may fail, and so may importing what does it."""

_DEBUG_HELP = "show where in kgen an unexpected fault came up; anywhere before `--`"


class _Formatter(argparse.HelpFormatter):
    """The usual help; how wide the terminal is, which is slow to find out, is asked when there is something to show."""

    def __init__(self, prog: str, *, ask: bool = False) -> None:
        """A formatter; argparse makes one for each argument that is declared, only to look at its name."""
        super().__init__(prog, width=None if ask else _UNASKED)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are kgen's errors."""

    def format_help(self) -> str:
        """The help, as wide as the terminal."""
        self.formatter_class = functools.partial(_Formatter, ask=True)
        return super().format_help()

    def _print_message(self, message: str, file: object = None) -> None:
        # argparse itself would be silent about what cannot be printed
        if message:
            (console.say if file is sys.stderr else console.result)(message.removesuffix("\n"))

    def error(self, message: str) -> NoReturn:
        from kgen.tables import nearest  # noqa: PLC0415 - only a mistake pays for it

        hints = []
        if message.startswith("unrecognized arguments: "):
            wrong = (message.removeprefix("unrecognized arguments: ").split() or [""])[0]
            near = nearest(wrong.split("=")[0], self._option_string_actions)
            message = f"`{self.prog}` has no argument `{wrong}`"
            hints += [f"did you mean `{near}`?"] if near else []
        choice = re.fullmatch(_INVALID_CHOICE, message)
        if choice is not None:
            known = re.findall(r"[a-z]+", choice["known"])
            message = f"`{self.prog}` has no {choice['what'].lower()} `{choice['wrong']}`"
            if choice["what"].startswith("-"):
                message = f"`{self.prog} {choice['what']}` cannot be `{choice['wrong']}`"
            near = nearest(choice["wrong"], known)
            hints.append(f"did you mean `{near}`?" if near else f"known are {', '.join(known)}")
        raise UsageError(message, hints=[*hints, f"{self.prog} --help"])


class _Top(_Parser):
    """The parser of `kgen` itself, whose help has the commands by what one wants to do."""

    def format_help(self) -> str:
        """The help."""
        width = max(len(name) for name in _COMMANDS) + 2
        sections = [
            "\n".join([f"{heading}:", *(f"  {name:<{width}}{_COMMANDS[name][0]}" for name in names)])
            for heading, names in GROUPS.items()
        ]
        flags = "Flags:\n" + "\n".join(
            f"  {text:<{width}}{what}"
            for text, what in (
                ("-h, --help", "show this, or with a command its own"),
                ("-V, --version", "the version"),
                (DEBUG, _DEBUG_HELP),
            )
        )
        return "\n\n".join([self.format_usage().rstrip("\n"), str(self.description), *sections, flags, _EPILOG]) + "\n"


def parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of this command line.

    Where it begins with a command, no other is known to the parser, and only that one's arguments are declared: all of
    them would take longer than some commands do.
    """
    top = _Top(
        prog="kgen",
        description="One reproducible, GPU-proven Keras environment per backend.",
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    top.add_argument("-V", "--version", action="store_true", help="print the version and exit")
    top.add_argument(DEBUG, action="store_true", help=_DEBUG_HELP)
    chosen = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    called = argv[0] if argv and argv[0] in _COMMANDS else None
    for name in _COMMANDS if called is None else (called,):
        text, declare = _COMMANDS[name]
        command = chosen.add_parser(name, help=text, allow_abbrev=False, formatter_class=_Formatter)
        if called is not None or name in argv:
            declare(command)
    return top


def without_debug(argv: Sequence[str]) -> tuple[list[str], bool]:
    """The words without `--debug`, which every command has, and whether it was among them; not what is behind `--`."""
    words = list(argv)
    own = words[: words.index("--")] if "--" in words else words
    # of these commands what follows the environment is another program's, also without `--`
    if own[:1] == ["run"]:
        first = next((place for place, word in enumerate(own) if place and not word.startswith("-")), len(own))
        own = own[: first + 1]
    kept = [word for word in own if word != DEBUG]
    return [*kept, *words[len(own) :]], len(kept) != len(own)


def _init(command: argparse.ArgumentParser) -> None:
    command.add_argument("backends", nargs="*", metavar="BACKEND", help="the backends of the project")
    _accelerator(command)
    command.add_argument("--python", metavar="V", help="the CPython minor, such as 3.12")
    command.add_argument(
        "--git", action="store_true", help="have git merge locks by solving them again; settings stay if they are there"
    )


def _lock(command: argparse.ArgumentParser) -> None:
    _request(command, Scope.LOCK)
    command.add_argument("--conda", action="store_true", help="conda-lock.yml beside the pylock")
    command.add_argument("--dry-run", action="store_true", help="do everything but write")
    command.add_argument("--upgrade", action="store_true", help="take the newest of all, whatever the old locks have")
    command.add_argument(
        "--upgrade-package", action="append", metavar="P", help="take the newest P, and keep the rest; repeatable"
    )
    command.add_argument(
        "--merge", action="store_true", help="solve locks in conflict again, keeping what both sides share"
    )


def _sync(command: argparse.ArgumentParser) -> None:
    command.add_argument("environments", nargs="*", metavar="ENV", help=_ENVIRONMENT)
    command.add_argument("--all", action="store_true", help="every environment that is locked for this platform")
    command.add_argument("--reinstall", action="store_true", help="make it anew, whatever it looks like")
    command.add_argument("--conda", action="store_true", help=_CONDA)
    command.add_argument("--json", action="store_true", help="the result as data on stdout")
    _envs(command)


def _run(command: argparse.ArgumentParser) -> None:
    _entered(command)
    command.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command with its arguments")


def _shell(command: argparse.ArgumentParser) -> None:
    _activate(command)
    command.add_argument("--jupyter", action="store_true", help="install a kernel for Jupyter instead of a shell")


def _activate(command: argparse.ArgumentParser) -> None:
    _entered(command)
    from kgen import shells  # noqa: PLC0415 - only these commands need it

    names = ", ".join(shell.name for shell in shells.known())
    command.add_argument("--shell", metavar="SHELL", help=f"{names}; else the one you are in")


def _entered(command: argparse.ArgumentParser) -> None:
    command.add_argument("environment", metavar="ENV", help=_ENVIRONMENT)
    command.add_argument("--no-sync", action="store_true", help="do not make the environment if it is not there")
    command.add_argument("--conda", action="store_true", help=_CONDA)
    _envs(command)


def _envs(command: argparse.ArgumentParser) -> None:
    command.add_argument("--envs", metavar="DIR", help="the folder of the environments; .kgen/envs without it")


def _check(command: argparse.ArgumentParser) -> None:
    command.add_argument("environments", nargs="*", metavar="ENV", help=_ENVIRONMENT)
    command.add_argument("--installed", action="store_true", help="is what is on disk what the lock says?")
    command.add_argument("--json", action="store_true", help="the result as data on stdout")
    _envs(command)


def _doctor(command: argparse.ArgumentParser) -> None:
    command.add_argument("environments", nargs="*", metavar="ENV", help=_ENVIRONMENT)
    command.add_argument("--conda", action="store_true", help="those of conda's alone")
    command.add_argument("--json", action="store_true", help="the result as data on stdout")
    _envs(command)


def _export(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "format", metavar="FORMAT", help="requirements, dockerfile, slurm, …; a wrong one has them all named"
    )
    command.add_argument("environment", nargs="?", metavar="ENV", help=_ENVIRONMENT)
    command.add_argument("--platform", metavar="P", help="for conda-explicit and environment-yml; else this machine's")


def _report(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o", "--output", metavar="FILE", default="report.html", help="where to write it (default report.html)"
    )


def _completion(command: argparse.ArgumentParser) -> None:
    from kgen import shells  # noqa: PLC0415 - only this command needs it

    names = [shell.name for shell in shells.known() if shell.completes]
    command.add_argument("shell", choices=names, help="the shell")
    command.add_argument("words", nargs=argparse.REMAINDER, metavar="-- WORDS", help="what the script asks about")


def _matrix(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", metavar="ACTION", parser_class=_Parser, required=True)
    show = actions.add_parser("show", help="print the facts as a table", allow_abbrev=False, formatter_class=_Formatter)
    show.add_argument("framework", nargs="?", metavar="FRAMEWORK", help="torch, jax, cuda, cudnn, …")
    show.add_argument("--json", action="store_true", help="as data")
    refresh = actions.add_parser(
        "refresh",
        help="bring the facts up to date from the index that uv is configured for",
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    refresh.add_argument("--check", action="store_true", help="write nothing; exit status 1 if something would change")
    refresh.add_argument(
        "--project", action="store_true", help="into matrix/ beside the settings, for all who work on the project"
    )
    refresh.add_argument(
        "--torch-index",
        nargs="?",
        const="true",
        metavar="URL",
        help="also what only PyTorch's own index has, as with `torch-index` in the settings; URL of a mirror's folder",
    )
    refresh.add_argument("--json", action="store_true", help="the result as data on stdout")
    plot = actions.add_parser(
        "plot", help="which framework releases share a cuDNN", allow_abbrev=False, formatter_class=_Formatter
    )
    plot.add_argument("--cuda", action="append", metavar="V", help="a CUDA major; all without it; repeatable")
    plot.add_argument("--platform", metavar="P", help="whose builds are meant (default linux-64)")
    plot.add_argument("-o", "--output", metavar="FILE", help="a drawing: FILE.svg or FILE.html; text without it")
    plot.add_argument("--json", action="store_true", help="as data")


def _accelerator(command: argparse.ArgumentParser) -> None:
    command.add_argument("--cuda", metavar="V", help="CUDA major or major.minor, or auto")
    command.add_argument("--cpu", action="store_true", default=None, help="for the CPU")


def _validate(command: argparse.ArgumentParser) -> None:
    command.add_argument("environments", nargs="*", metavar="ENV", help="environments of locks/; all without any")
    command.add_argument(
        "--device",
        choices=("gpu", "cpu", "auto"),
        default="auto",
        help="where to train; auto: the GPU where the lock is for one and one is there",
    )
    command.add_argument("--python", metavar="PATH", help="the interpreter of an environment that kgen did not make")
    command.add_argument(
        "--no-lock", action="store_true", help="with --python: compare with no lock, leave no receipt; ENV is a backend"
    )
    command.add_argument("--timeout", metavar="S", type=float, default=900.0, help="seconds for each (default 900)")
    command.add_argument("--list", action="store_true", help="what is proven where; runs nothing")
    command.add_argument("--conda", action="store_true", help="those of conda's alone")
    _envs(command)
    command.add_argument("--json", action="store_true", help="the result as data on stdout")


def _request(command: argparse.ArgumentParser, scope: Scope = Scope.REQUEST) -> None:
    command.add_argument(
        "backends", nargs="*", metavar="BACKEND", help="backends, or joint environments of the settings"
    )
    for field in flags_of(scope):
        _field(command, field)
    command.add_argument("--together", metavar="NAME", help="all backends in one environment of this name")
    command.add_argument(
        "--as-of", metavar="DATE", help="what one would have made on that day: --exclude-newer, and the Keras of then"
    )
    command.add_argument("--json", action="store_true", help="the result as data on stdout")


def _field(command: argparse.ArgumentParser, field: Field) -> None:
    """The flag of a field."""
    actions: Mapping[Shape, Mapping[str, Any]] = {
        Shape.ONE: {"metavar": field.metavar},
        Shape.DAY: {"metavar": field.metavar},
        Shape.MANY: {"action": "append", "metavar": field.metavar},
        Shape.YES: {"action": "store_true", "default": None},
        Shape.SWITCH: {"action": argparse.BooleanOptionalAction},
        Shape.OPTIONAL: {"nargs": "?", "const": OWN_INDEX, "metavar": field.metavar},
    }
    command.add_argument(str(field.flag), dest=field.name, help=field.help, **actions[field.shape])


def request_flags(parsed: argparse.Namespace) -> RequestFlags:
    """What was typed behind a command that asks for environments."""
    return RequestFlags(
        command=parsed.command,
        names=tuple(parsed.backends),
        together=parsed.together,
        as_of=parsed.as_of,
        flags={field.name: getattr(parsed, field.name, None) for field in FIELDS if field.flag is not None},
    )


def _explain(command: argparse.ArgumentParser) -> None:
    _request(command)
    command.add_argument(
        "--newest", metavar="PKG", help="only what keeps this one from its newest: torch, keras, cudnn"
    )


def _merge_driver(command: argparse.ArgumentParser) -> None:
    for name, text in (("base", "what both come from"), ("ours", "our side, merged into"), ("theirs", "their side")):
        command.add_argument(name, metavar=name.upper(), help=f"the file of {text} (git's %%O, %%A, %%B)")
    command.add_argument("path", metavar="PATH", help="where the lock is in the project (git's %%P)")


def _diff(command: argparse.ArgumentParser) -> None:
    command.add_argument("before", metavar="A", help="a lock, a folder of locks, or a revision of git")
    command.add_argument("after", nargs="?", metavar="B", help="the same; the working tree without it")
    command.add_argument("--markdown", action="store_true", help="as Markdown, for a pull request")
    command.add_argument("--json", action="store_true", help="the result as data on stdout")


_COMMANDS: Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "init": ("write the settings, from what this machine has", _init),
    "solve": ("what fits? from the matrix alone, without network", _request),
    "lock": ("solve, lock and write locks/ and the hooks", _lock),
    "check": ("is what is there what it should be?", _check),
    "explain": ("why these versions, and what would give newer ones", _explain),
    "diff": ("what changed between two locks, in words", _diff),
    "merge-driver": ("merge two locks; git calls it, after `kgen init --git`", _merge_driver),
    "validate": ("train in an environment, and leave a receipt", _validate),
    "doctor": ("what on this machine will break a GPU environment", _doctor),
    "sync": ("the environment on disk, exactly as locked", _sync),
    "run": ("a command in the environment", _run),
    "shell": ("a shell in the environment", _shell),
    "activate": ('the text that brings this shell into it: eval "$(kgen activate ENV)"', _activate),
    "export": ("a lock in another form, on stdout", _export),
    "report": ("one page with every locked environment, its reasons and proofs", _report),
    "matrix": ("the compatibility facts", _matrix),
    "completion": ("the script that makes a shell complete `kgen`", _completion),
}
"""Command -> what it is for, and what declares its arguments."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Choose and lock": ("init", "solve", "lock", "explain"),
    "Work in an environment": ("sync", "run", "shell", "activate"),
    "Prove it, and keep it true": ("validate", "doctor", "check", "diff", "merge-driver"),
    "For others, and the facts": ("export", "report", "matrix", "completion"),
}
"""What one wants to do -> the commands for it."""


def commands() -> tuple[tuple[str, str], ...]:
    """Every command with what it is for, in the order of the help."""
    return tuple((name, _COMMANDS[name][0]) for names in GROUPS.values() for name in names)
