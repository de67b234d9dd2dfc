"""Parses, calls a command, and is the one boundary where errors become text and an exit status."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from kgen import __version__
from kgen.cli import arguments, console
from kgen.errors import ExitStatus, KgenError

_COMMANDS = {
    "init": "kgen.cli.initialise",
    "solve": "kgen.cli.solving",
    "lock": "kgen.cli.locking",
    "check": "kgen.cli.checking",
    "explain": "kgen.cli.explaining",
    "diff": "kgen.cli.differing",
    "merge-driver": "kgen.cli.merging",
    **dict.fromkeys(("sync", "run", "shell", "activate"), "kgen.cli.environments"),
    "validate": "kgen.cli.validating",
    "doctor": "kgen.cli.examining",
    "export": "kgen.cli.exporting",
    "report": "kgen.cli.reporting",
    "matrix": "kgen.cli.facts",
    "completion": "kgen.cli.completing",
}
"""Command -> the module whose `run(arguments) -> ExitStatus` is it; imported only when it is called."""


def run(argv: Sequence[str]) -> int:
    """Run one command line; returns its exit status, and prints no traceback for a fault that is no bug of kgen.

    A bug ends with a status of its own and one line about it; `--debug` shows where it is.
    """
    words, debug = arguments.without_debug(argv)
    try:
        status = _run(words)
        status = console.finished(status)
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - this is the end of the line; faults in Rust are no `Exception`
        console.bug(error, words, debug=debug)
        return ExitStatus.BUG
    return status


def _run(argv: Sequence[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        parser = arguments.parser(argv)
        parsed = parser.parse_args(argv)
        if parsed.version:
            console.result(f"kgen {__version__}")
            return ExitStatus.DONE
        if parsed.command is None:
            parser.print_help(sys.stderr)
            return ExitStatus.USAGE
        status: ExitStatus = importlib.import_module(_COMMANDS[parsed.command]).run(parsed)
    except KgenError as error:
        console.error(error)
        return error.status
    except KeyboardInterrupt as interrupt:
        console.say("interrupted; nothing is half-written")
        return 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)
    except SystemExit as end:  # of argparse, that has printed its help; of a program that is not there
        return end.code if isinstance(end.code, int) else ExitStatus.DONE
    return status


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Whoever ends kgen otherwise than by ctrl-C gets the same orderly end: no child process stays behind."""
    raise KeyboardInterrupt(number)
