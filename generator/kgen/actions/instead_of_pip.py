"""What to type instead of `pip install` in an environment that has no pip."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import fields, files, project, uvtool
from kgen.actions.interpreters import request_of
from kgen.formats.environment import Source

_FILES = ("-r", "--requirement")
_EDITABLE = ("-e", "--editable")
_WITH_VALUES = (
    *("-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-t", "--target"),
    *("--prefix", "--root", "--src", "--python", "--proxy", "--cert", "--cache-dir", "--log", "--platform", "--report"),
)
"""Options of pip that are followed by a value."""


class PipInstall(NamedTuple):
    """What `pip install` was asked for.

    Attributes:
        packages: requirements.
        places: folders and archives.
        files: files of requirements.
    """

    packages: tuple[str, ...]
    places: tuple[str, ...]
    files: tuple[str, ...]


def read(words: Sequence[str]) -> PipInstall:
    """Read what follows on `pip install`."""
    packages: list[str] = []
    places: list[str] = []
    files: list[str] = []
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        if not word.startswith("-"):
            (places if re.match(r"[./~]|.*(/|\.whl$|\.tar\.gz$)", word) and "@" not in word else packages).append(word)
        elif option in (*_FILES, *_EDITABLE, *_WITH_VALUES):
            given = value if equals else next(rest, "")
            if option not in _WITH_VALUES and given:
                (files if option in _FILES else places).append(given)
    return PipInstall(tuple(packages), tuple(places), tuple(files))


def hints(source: Source, words: Sequence[str]) -> Iterator[str]:
    """What does the same with kgen, and what does it by hand.

    Args:
        source: the environment.
        words: what pip was asked for, its command first.

    Raises:
        OutsideError: there is no uv.
    """
    root = source.environment.folder.parent.parent
    asked = read(words[1:]) if words[:1] == ["install"] else PipInstall((), (), ())
    here, top = Path.cwd(), files.resolved(root)
    own = [place for place in asked.places if files.resolved(here / place.partition("[")[0]) == top]
    if own:
        yield f"kgen sync {shlex.quote(source.environment.name)}   # installs the project itself, editable"
    elsewhere = [f"NAME @ {place}" for place in asked.places if place not in own]
    wanted = [*asked.packages, *elsewhere]
    if wanted or not (own or asked.files):
        yield f"kgen add {shlex.join(wanted) or 'PACKAGE'}   # locks it, for every environment"
    if asked.files:
        request = request_of(source)
        again = "kgen lock" if request is None else fields.lock_command(request, torch_index=project.torch_index(root))
        named = shlex.join(word for file in asked.files for word in ("-r", file))
        yield f"{again} {named}   # locks what is in it"
    what = shlex.join(words[1:]) if words[:1] == ["install"] and len(words) > 1 else "PACKAGE"
    yield f"{uvtool.typed()} pip install --python {shlex.quote(str(source.python))} {what}   # by hand; kgen keeps it"
