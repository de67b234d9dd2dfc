"""Finds the commands: each is a module in this package whose head declares `__command__`.

The declaration is a literal before the imports. It is read without importing the module, so that a list of all commands
does not cost their imports. A command needs nothing but a module in this folder.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import NamedTuple

from kgen import cli

PANELS = ("Choose and lock", "Work in an environment", "Prove it, and keep it true", "For others, and the facts")
"""The panels of the help, in order; a panel that only some command declares comes after them."""

_DECLARATION = "__command__"
_NAME = r"[a-z]+(-[a-z]+)*"
_FIRST_IMPORT = re.compile(r"^(?:import|from(?! __future__\b))\b", re.MULTILINE)


class Declaration(NamedTuple):
    """What the head of a module declares about its command.

    Attributes:
        purpose: what it does, as a phrase without a full stop.
        example: a valid call.
        panel: the panel of the help that lists it.
        rank: its position in the panel; equal ranks are sorted by name.
        actions: whether it has commands of its own, in modules `<its module>_<action>`.
        passes_on: whether everything after the first word belongs to another program.
        program: the usage of the part after `--` if that is the call of another program, which is then in the context:
            `-- COMMAND ...`, in brackets if it is optional; empty for none.
        program_by: the command that runs a program if this one does not; empty for none.
        options_by: the command that users confuse with this one, and that has the options which they try; empty for
            none.
        instead: the parameter of an option that replaces arguments which the command otherwise needs; empty for none.
        leftover: the option for which users usually mean a superfluous word; empty for none.
    """

    purpose: str
    example: str
    panel: str = ""
    rank: int = 0
    actions: bool = False
    passes_on: bool = False
    program: str = ""
    program_by: str = ""
    options_by: str = ""
    instead: str = ""
    leftover: str = ""


def declarations(group: str = "") -> Mapping[str, Declaration]:
    """The commands of a group by name, in the order of the help.

    Args:
        group: the command that has these actions; empty for the commands of kgen itself.
    """
    every = dict(_declared())
    groups = tuple(f"{name}_" for name, one in every.items() if one.actions)
    prefix = f"{group}_" if group else ""
    found = {
        module.removeprefix(prefix).replace("_", "-"): one
        for module, one in every.items()
        if (module.startswith(prefix) if prefix else not module.startswith(groups))
    }
    panels = dict.fromkeys((*PANELS, *sorted(one.panel for one in found.values())))
    places = {panel: place for place, panel in enumerate(panels)}
    order = sorted(found, key=lambda name: (places[found[name].panel], found[name].rank, name))
    return {name: found[name] for name in order}


def declaration(group: str, name: str) -> Declaration | None:
    """The declaration of a command; None if there is no such command. Reads only the command's module.

    Args:
        group: the command that has this action; empty for a command of kgen itself.
        name: its name.
    """
    if not re.fullmatch(_NAME, name):
        return None
    module = _module(group, name)
    words = [] if group else module.split("_")
    above = ("_".join(words[:count]) for count in range(1, len(words)))
    if any(one is not None and one.actions for one in map(_declared_in, above)):
        return None  # an action of another command
    return _declared_in(module)


def load(group: str, name: str) -> ModuleType:
    """Import and return the module of a command."""
    return importlib.import_module(f"{cli.__name__}.{_module(group, name)}")


def _module(group: str, name: str) -> str:
    return f"{group}_{name}".lstrip("_").replace("-", "_")


def _declared() -> Iterator[tuple[str, Declaration]]:
    for _, module, is_package in pkgutil.iter_modules(cli.__path__):
        found = None if is_package else _declared_in(module)
        if found is not None:
            yield module, found


def _declared_in(module: str) -> Declaration | None:
    text = _source(f"{cli.__name__}.{module}")
    first = _FIRST_IMPORT.search(text)
    head = text[: first.start()] if first else text
    if _DECLARATION in head:
        for statement in ast.parse(head).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == _DECLARATION:
                return Declaration(**ast.literal_eval(statement.value))
    return None


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    # asked by its name: `importlib.abc`, which declares it, imports ten modules more
    source = getattr(None if spec is None else spec.loader, "get_source", None)
    return "" if source is None else source(module) or ""
