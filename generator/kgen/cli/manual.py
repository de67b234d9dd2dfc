"""The manual: a page for each command, read off the declarations that calls are parsed by.

python -m kgen.cli.manual docs/man
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from kgen import __version__
from kgen.cli import arguments
from kgen.errors import MEANINGS
from kgen.templates import render

_STATUSES = tuple((str(int(status)), meaning) for status, meaning in MEANINGS.items())


def pages() -> Mapping[str, str]:
    """File name -> page, of `kgen` itself and of each command."""
    commands = dict(arguments.commands())
    found = {"kgen.1": _page("kgen", "reproducible, GPU-proven Keras environments", arguments.parser([]), commands)}
    for name, purpose in commands.items():
        top = arguments.parser([name])
        (parser,) = (
            choices[name]
            for action in top._actions  # noqa: SLF001 - argparse shows it no other way
            if isinstance(choices := action.choices, dict) and name in choices
        )
        found[f"kgen-{name}.1"] = _page(f"kgen-{name}", purpose, parser, commands)
    return found


def _page(name: str, purpose: str, parser: argparse.ArgumentParser, commands: Mapping[str, str]) -> str:
    sections: list[dict[str, object]] = []
    for group in parser._action_groups:  # noqa: SLF001 - as above
        rows = [row for action in group._group_actions for row in _rows(action)]  # noqa: SLF001 - as above
        if rows:
            sections.append({"heading": _text((group.title or "").upper()), "rows": rows})
    if name == "kgen":
        sections = [
            *(section for section in sections if section["heading"] == "OPTIONS"),
            *_groups(commands),
        ]
    others = [f"kgen-{one}" for one in commands if f"kgen-{one}" != name]
    return render(
        "manual/page.1.j2",
        title=_text(name.upper()),
        version=__version__,
        name=_text(name),
        purpose=_text(purpose),
        usage=_text(_usage(parser)),
        sections=sections,
        statuses=_STATUSES,
        others=",\n".join(_text(f"{one}(1)") for one in ("kgen", *others) if one != name),
    )


def _groups(commands: Mapping[str, str]) -> list[dict[str, object]]:
    """The commands by what one wants to do."""
    return [
        {"heading": heading.upper(), "rows": [(_text(f"kgen-{one}(1)"), _text(commands[one])) for one in several]}
        for heading, several in arguments.GROUPS.items()
    ]


def _usage(parser: argparse.ArgumentParser) -> str:
    """The call in a line. argparse's own differs between Pythons."""
    words = [parser.prog]
    for action in parser._actions:  # noqa: SLF001 - as above
        if action.option_strings:
            words += [] if "[OPTION ...]" in words else ["[OPTION ...]"]
            continue
        name = str(action.metavar or action.dest)
        words.append(
            {"?": f"[{name}]", "*": f"[{name} ...]", argparse.REMAINDER: f"[{name} ...]"}.get(str(action.nargs), name)
        )
    return " ".join(words)


def _rows(action: argparse.Action) -> list[tuple[str, str]]:
    if isinstance(action.choices, dict):
        return [(_text(name), _text(_purpose(action, name))) for name in action.choices]
    names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    value = f" {action.metavar or action.dest.upper()}" if action.option_strings and action.nargs is None else ""
    if action.choices is not None and action.option_strings:
        value = f" {{{','.join(map(str, action.choices))}}}"
    help_text = (action.help or "").replace("%%", "%")
    return [(_text(names + value), _text(help_text))]


def _purpose(action: argparse.Action, name: str) -> str:
    described = {one.dest: one.help for one in action._choices_actions}  # type: ignore[attr-defined]  # noqa: SLF001
    return described.get(name) or ""


def _text(text: str) -> str:
    """Text for roff: a backslash, a hyphen, and a line that begins like a request are not what they look like."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped.split("\n"))


def main() -> None:
    """Write the pages into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
