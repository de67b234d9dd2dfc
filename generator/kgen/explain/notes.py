"""What is said of several environments, or for several platforms, said once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kgen.model.request import EnvironmentRequest

_COMMAND = "kgen lock "
"""With this begins what a note says to type, which is its end."""


def folded(said: Iterable[tuple[EnvironmentRequest, str]]) -> Iterator[str]:
    """What is said of environments, each once: what is said of several, or for several platforms, names them all.

    Args:
        said: a request, and what is said of it; it begins with the name of the environment where it is about that one.
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
    """Of whom the same is said; and the commands in it, but for platforms -> the first of these, and its platforms."""

    environments: dict[str, None]
    commands: dict[str, tuple[str, list[str]]]


_PLATFORMS = "\0"
"""Stands for the platforms in a command."""


def _on(platform: str) -> str:
    return f" --platform {platform}"
