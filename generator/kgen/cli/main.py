"""Parses, calls a command, and is the one boundary where errors become text and an exit status."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from kgen import INTERRUPTED, __version__, host
from kgen.cli import command, console, foreign
from kgen.cli.options import option
from kgen.cli.registry import Declaration
from kgen.errors import LOCK, ExitStatus, KgenError, UsageError
from kgen.project import find_root

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

OFFLINE = "--offline"
"""Read likewise: every command has it."""

DEBUG = "--debug"
"""Read before the arguments are parsed: parsing may fail, and so may importing what does it."""

_MOMENT = 0.01
"""Seconds after which an interrupt that was lost comes again."""

_CALLS = 3
"""So many calls are hints; the message lists all names."""

_DECLARATION = Declaration(
    purpose="one reproducible, GPU-proven Keras environment per backend",
    example="kgen lock tensorflow jax torch --cuda 12",
)


def run(argv: Sequence[str]) -> int:
    """Run one command line; returns its exit status, and prints no traceback for a fault that is not a bug of kgen.

    A bug ends with a status of its own and one line about it; `--debug` shows where it is.
    """
    words, debug = without_debug(argv)
    words, offline = without(OFFLINE, words)
    console.called(words, offline=offline)
    try:
        with host.lent({host.OFFLINE: "1"} if offline else {}):
            status = _run(words)
        status = console.finished(status)
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - this is the end of the line; faults in Rust are no `Exception`
        if _follows_interrupt(error):
            console.say(INTERRUPTED)
            return ExitStatus.INTERRUPTED
        return console.bug(error, words, debug=debug)
    return status


def _calls(argv: Sequence[str], fault: KgenError) -> tuple[str, ...]:
    """The whole call with each word that an ambiguous or unknown one may stand for; nothing where none is."""
    word, meant = fault.readings or ("", ())
    if word not in argv:
        return ()
    if not meant:
        found = foreign.word(argv, word)
        is_call = found is not None and command.is_call(kgen(), found.words or ())
        return (found.text,) if found is not None and found.text is not None and is_call else ()
    at = argv.index(word)
    return tuple(shlex.join(["kgen", *argv[:at], one, *argv[at + 1 :]]) for one in meant[:_CALLS])


def _changed(argv: Sequence[str], fault: KgenError) -> tuple[str, ...]:
    """The hints of an error, with whole calls in the place of those that changes of the call stand for."""
    hints = list(fault.hints)
    for change in fault.changes:
        call = foreign.changed(argv, change.typed, change.meant)
        if change.hint in hints and call is not None and command.is_call(kgen(), call):
            hints[hints.index(change.hint)] = shlex.join(["kgen", *call])
    return tuple(hints)


def _locking(fault: KgenError) -> tuple[str, ...]:
    """The hints of an error about a lock that is missing, with the calls that make it; nothing where none is."""
    if not isinstance(fault, UsageError) or fault.unlocked is None:
        return ()
    from kgen.actions import lock_hints  # noqa: PLC0415 - only a mistake pays for it
    from kgen.matrix import origin  # noqa: PLC0415

    try:
        return lock_hints.hints(find_root(Path.cwd()), fault, origin.current())
    except KgenError:  # about something else; the next call reports it
        return ()


def _run(argv: Sequence[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    sys.unraisablehook = _interrupt_again
    try:
        # Not `main()`, which handles an interrupt and a stream without a reader in its own way.
        group = kgen()
        with group.make_context("kgen", list(argv)) as context:
            status: int = group.invoke(context)
    except KgenError as error:
        locking = _locking(error)
        is_known = any(hint.startswith(f"{LOCK} ") for hint in locking)
        error.hints = (() if is_known else _calls(argv, error)) or locking or _changed(argv, error)
        console.error(error)
        return error.status
    except KeyboardInterrupt as interrupt:
        console.say(INTERRUPTED)
        return 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)
    except typer.Exit as end:  # of the help, which has been printed; of a program that is not there
        return end.exit_code
    return status


def _follows_interrupt(error: BaseException) -> bool:
    """Whether an error is what became of ctrl-C: a library that is interrupted may raise another one for it."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    return seen is not None


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """End as orderly on other signals as on ctrl-C: no child process stays behind."""
    raise KeyboardInterrupt(number)


def _interrupt_again(lost: UnraisableHookArgs) -> None:
    """Raise an interrupt again that came up where Python lets no exception out: of the callbacks that each import has.

    Any other exception of that kind is reported as ever. What is raised in here would be lost as well, so that it
    comes a moment later.
    """
    error = lost.exc_value
    if not isinstance(error, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    number = int(error.args[0]) if error.args else signal.SIGINT
    signal.signal(signal.SIGALRM, lambda _number, frame: _interrupt(number, frame))
    signal.setitimer(signal.ITIMER_REAL, _MOMENT)


def kgen() -> command.Group:
    """All commands of kgen, as yet without what they import."""
    made = command.group_of(typer.Typer(add_completion=False, rich_markup_mode=None), "", _top)
    made.declaration = _DECLARATION
    return made


def _top(
    context: typer.Context,
    *,
    version: Annotated[bool, option("-V", "--version", text="print the version", panel="Options")] = False,
    verbose: Annotated[
        bool, option("--verbose", text="with --version: what a bug report should have", panel="Options")
    ] = False,
    debug: Annotated[
        bool,
        option(DEBUG, text="show where in kgen an unexpected fault came up; anywhere before `--`", panel="Options"),
    ] = False,
    offline: Annotated[
        bool, option(OFFLINE, text="fetch nothing, and say what is missing; anywhere before `--`", panel="Options")
    ] = False,
) -> None:
    del debug, offline  # see `without_debug`
    if version and not verbose:
        console.result(f"kgen {__version__}")
        raise typer.Exit(ExitStatus.DONE)
    if context.invoked_subcommand is None:
        from kgen.cli import first  # noqa: PLC0415 - a command needs none of it

        if version:
            first.say_version()
            raise typer.Exit(ExitStatus.DONE)
        raise typer.Exit(first.say_where())


class Parsed(NamedTuple):
    """A command line, parsed and not run.

    Attributes:
        command: the command, with its action where it has one.
        parameters: its parameters and their values.
    """

    command: str
    parameters: Mapping[str, Any]


def parse(argv: Sequence[str]) -> Parsed:
    """Parse a command line without running it.

    Raises:
        UsageError: it is wrong.
        typer.Exit: it asks for help.
    """
    context = command.context_of(kgen(), argv)
    return Parsed(context.command_path.partition(" ")[2], context.params)


def without_debug(argv: Sequence[str]) -> tuple[list[str], bool]:
    """The words without `--debug`, which every command has, and whether it was among them; not what is behind `--`."""
    return without(DEBUG, argv)


def without(flag: str, argv: Sequence[str]) -> tuple[list[str], bool]:
    """The words without a flag that every command has, and whether it was among them; not what is behind `--`.

    Args:
        flag: the flag.
        argv: the words.
    """
    words = list(argv)
    own = words[: words.index("--")] if "--" in words else words
    # of these commands what follows the environment is another program's, also without `--`
    if own[:1] == ["run"]:
        first = next((place for place, word in enumerate(own) if place and not word.startswith("-")), len(own))
        own = own[: first + 1]
    kept = [word for word in own if word != flag]
    return [*kept, *words[len(own) :]], len(kept) != len(own)
