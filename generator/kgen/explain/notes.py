"""Combines equal notes about several environments or platforms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kgen.model.request import EnvironmentRequest

_COMMAND = "kgen lock "
"""The beginning of the command to type, which is the end of a note."""


def folded(said: Iterable[tuple[EnvironmentRequest, str]]) -> Iterator[str]:
    """Notes about environments, each once with the names of all environments and platforms that it is about.

    Args:
        said: requests and notes; a note begins with the name of its environment if it is about that one.
    """
    groups: dict[tuple[bool, str], _Folded] = {}
    for request, text in said:
        rest = text.removeprefix(f"{request.environment}: ")
        stem, _, command = rest.partition(_COMMAND)
        one = groups.setdefault((rest != text, stem), _Folded({}, {}))
        one.environments[request.environment] = None
        words = command.replace(_on(request.platform), _PLATFORMS)
        one.commands.setdefault(words, (request.environment, []))[1].append(request.platform)
    for (named, stem), one in groups.items():
        command, (environment, platforms) = next(iter(one.commands.items()))
        command = command.replace(_PLATFORMS, "".join(map(_on, dict.fromkeys(platforms))))
        here = f"(here {environment}) " if len(one.commands) > 1 else ""
        whose = f"{', '.join(one.environments)}: " if named else ""
        yield f"{whose}{stem}" + (f"{here}{_COMMAND}{command}" if command else "")


class _Folded(NamedTuple):
    """The environments of a note; and its commands, without platforms -> the first of them, and its platforms."""

    environments: dict[str, None]
    commands: dict[str, tuple[str, list[str]]]


_PLATFORMS = "\0"
"""The placeholder for platforms in a command."""


def _on(platform: str) -> str:
    return f" --platform {platform}"
