"""`kgen completion`: the script that makes a shell complete `kgen`, and what that script asks.

The scripts know no command: each asks kgen, whose answer is read off the same declarations that calls are parsed by.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from kgen import lockfiles, shells
from kgen.cli import arguments as declared
from kgen.cli import console
from kgen.errors import ExitStatus, KgenError
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.grammar import printable
from kgen.project import find_root
from kgen.templates import render

Candidate = tuple[str, str]
"""What may stand there, and what it is."""


def run(arguments: argparse.Namespace) -> ExitStatus:
    """Print the script, or the candidates for the last of the words after `--`."""
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        console.program(render(f"completion/{arguments.shell}.j2").rstrip("\n"))
        return ExitStatus.DONE
    *before, current = words
    describes = next(shell.describes for shell in shells.known() if shell.name == arguments.shell)
    for value, text in candidates(before, current):
        shown = (value, text) if describes else (value,)
        console.program("\t".join(map(printable, shown)))
    return ExitStatus.DONE


def candidates(before: Sequence[str], current: str) -> list[Candidate]:
    """What the word that is being typed may become.

    Args:
        before: the words after `kgen` that are there.
        current: what there is of the one being typed.
    """
    try:
        found = list(_candidates(before, current))
    except KgenError:  # nobody wants to read a fault while typing; the command will tell it
        return []
    return [(value, text) for value, text in found if value.startswith(current)]


def _candidates(before: Sequence[str], current: str) -> Iterable[Candidate]:
    if "--" in before:
        return ()
    parser = declared.parser(before)
    rest = list(before)
    while (choices := _commands(parser)) and rest and rest[0] in choices:
        parser = choices[rest.pop(0)]
    awaiting = parser._option_string_actions.get(rest[-1]) if rest else None  # noqa: SLF001 - argparse shows it no other way
    if awaiting is not None and awaiting.nargs is None:
        return _values(awaiting)
    if current.startswith("-"):
        given = set(rest)
        return [
            (option, action.help or "")
            for action in parser._actions  # noqa: SLF001 - as above
            for option in action.option_strings
            if option.startswith("--") and (option not in given or isinstance(action, argparse._AppendAction))  # noqa: SLF001
        ]
    if _commands(parser):
        return declared.commands() if not before else [(name, "") for name in _commands(parser)]
    place = _place(parser, rest)
    given = set(rest)
    return [] if place is None else [one for one in _values(place) if one[0] not in given]


def _commands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001 - as above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def _place(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Action | None:
    """The positional argument that the next word is."""
    options = parser._option_string_actions  # noqa: SLF001 - as above
    taken = 0
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in options and options[word].nargs is None
        else:
            taken += 1
    places = [action for action in parser._actions if not action.option_strings]  # noqa: SLF001 - as above
    for place in places:
        if place.nargs == "*" or taken == 0:
            return place
        taken -= 1
    return None


def _values(action: argparse.Action) -> Iterable[Candidate]:
    """What an argument may be, where that can be known."""
    if action.choices is not None:
        return [(str(choice), "") for choice in action.choices]
    find = _KNOWN.get(action.dest)
    return () if find is None else find()


def _matrix() -> CompatibilityMatrix:
    return origin.current()


def _environments() -> Iterable[Candidate]:
    """The locked environments, and the backends that name one by themselves."""
    locked = lockfiles.environments(find_root(Path.cwd()))
    for one in locked:
        yield one.name, f"locked for {', '.join(one.platforms)}"
    shorts = [one.name.rpartition("-")[0] for one in locked]
    for short in dict.fromkeys(shorts):
        if short and shorts.count(short) == 1:
            yield short, "where it is locked once"


def _backends() -> Iterable[Candidate]:
    from kgen import settings  # noqa: PLC0415 - slow to import, and only these commands ask

    matrix = _matrix()
    for name, row in matrix.backends.items():
        yield name, f"Keras on {row.framework}"  # its title is in a file that takes a while to read
    for name, joint in settings.read(find_root(Path.cwd()), matrix).environments.items():
        yield name, " and ".join(joint.backends)


def _formats() -> Iterable[Candidate]:
    from kgen.cli.exporting import FORMATS  # noqa: PLC0415 - as above

    return [(name, "") for name in FORMATS]


_KNOWN: Mapping[str, Callable[[], Iterable[Candidate]]] = {
    "environment": _environments,
    "environments": _environments,
    "backends": _backends,
    "format": _formats,
    "shell": lambda: [(shell.name, "") for shell in shells.known()],
    "platforms": lambda: [(name, "") for name in _matrix().platforms],
    "platform": lambda: [(name, "") for name in _matrix().platforms],
    "python": lambda: [(row.version, f"released {row.released}") for row in reversed(_matrix().pythons)],
    "framework": lambda: [(name, "") for name in _matrix().framework_names],
    "cuda": lambda: [
        ("auto", "the newest that this machine can use"),
        *((str(major), "") for major in _matrix().cuda_majors),
    ],
}
"""Argument -> what gives its values."""
