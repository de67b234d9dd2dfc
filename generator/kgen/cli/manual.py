"""The manual: a page for each command, made from the declarations that calls are parsed by.

python -m kgen.cli.manual docs/man
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kgen import __version__
from kgen.cli import command, main
from kgen.cli.command import Group
from kgen.errors import MEANINGS
from kgen.templates import render

if TYPE_CHECKING:  # a base of Typer's own classes, which it exports by no public name
    from typer._click import Context

_STATUSES = tuple((str(int(status)), meaning) for status, meaning in MEANINGS.items())


class Described(NamedTuple):
    """What the declarations of a command say.

    Attributes:
        name: as it is typed: `kgen matrix show`.
        purpose: what it does.
        usage: the words behind the name.
        example: a call.
        panels: heading -> options and arguments, each with what it says.
    """

    name: str
    purpose: str
    usage: str
    example: str
    panels: Mapping[str, Sequence[tuple[str, str]]]


def described() -> Iterator[Described]:
    """Every command, `kgen` itself first."""
    for context in _contexts(command.context_of(main.kgen(), [], lenient=True)):
        own = context.command
        assert isinstance(own, command.Command | Group)  # noqa: S101 - all commands are
        panels = {heading: tuple(rows) for heading, rows in own.panels(context).items()}
        usage = " ".join(own.usage(context))
        yield Described(context.command_path, own.declaration.purpose, usage, own.declaration.example, panels)


def pages() -> Mapping[str, str]:
    """File name -> page: of `kgen` itself, of each command, and of each action of one."""
    contexts = list(_contexts(command.context_of(main.kgen(), [], lenient=True)))
    names = [_name(one) for one in contexts]
    return {f"{name}.1": _page(name, one, names) for name, one in zip(names, contexts, strict=True)}


def _contexts(context: Context) -> Iterator[Context]:
    """The context of a command, and those of all commands below it."""
    yield context
    if isinstance(context.command, Group):
        for name in context.command.list_commands(context):
            found = context.command.get_command(context, name)
            if found is not None:
                yield from _contexts(found.make_context(name, [], parent=context, resilient_parsing=True))


def _name(context: Context) -> str:
    return context.command_path.replace(" ", "-")


def _page(name: str, context: Context, names: list[str]) -> str:
    own = context.command
    assert isinstance(own, command.Command | Group)  # noqa: S101 - all commands are
    sections = []
    for panel, rows in own.panels(context).items():
        listed = [(f"{name}-{term}(1)" if f"{name}-{term}" in names else term, text) for term, text in rows]
        sections.append({"heading": _text(panel.upper()), "rows": [(_text(one), _text(text)) for one, text in listed]})
    return render(
        "manual/page.1.j2",
        title=_text(name.upper()),
        version=__version__,
        name=_text(name),
        purpose=_text(own.declaration.purpose),
        usage=_text(" ".join([context.command_path, *own.usage(context)])),
        example=_text(own.declaration.example),
        sections=sections,
        statuses=_STATUSES,
        others=",\n".join(_text(f"{one}(1)") for one in names if one != name),
    )


def _text(text: str) -> str:
    """Text for roff: a backslash, a hyphen, and a line that begins like a request are not what they look like."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped.split("\n"))


def write(folder: Path) -> None:
    """Write the pages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
