"""`kgen tree`: which package of an environment needs which."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 2,
    "purpose": "show which package of an environment needs which",
    "example": "kgen tree jax --invert --package numpy",
    "leftover": "--package",
}

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from kgen.actions.tree import Need, Tree, holding, require, tree
from kgen.cli import console
from kgen.cli.options import OUTPUT, Environment, Envs, Json, option
from kgen.errors import ExitStatus, NotLockedError, UsageError
from kgen.project import find_root

_AGAIN = " (*)"
"""Behind a package that stands in the tree already, with what it needs."""


def run(
    environment: Environment,
    *,
    invert: Annotated[
        bool, option("--invert", text="show what needs a package, not what it needs", panel=OUTPUT)
    ] = False,
    package: Annotated[
        list[str] | None,
        option("--package", metavar="PKG", text="begin at this package; repeatable", panel=OUTPUT),
    ] = None,
    envs: Envs = None,
    json: Json = False,
) -> ExitStatus:
    """Print the packages as a tree."""
    root = find_root(Path.cwd())
    try:
        found = tree(root, environment, envs)
    except NotLockedError:
        holder = holding(root, environment)
        if holder is None or package:
            raise
        words = ["kgen", "tree", holder, *(["--invert"] if invert else []), "--package", environment]
        raise UsageError(
            f"`{console.plain(environment)}` is a package, and `kgen tree` begins with an environment",
            hints=[shlex.join(words)],
        ) from None
    begin = [require(found, name) for name in package or ()]
    if json:
        console.data(_data(found))
        return ExitStatus.DONE
    below = found.needed_by if invert else found.needs
    roots = begin or ([name for name in found.versions if not found.needs[name]] if invert else found.roots)
    lines = [found.environment, *_lines(found, below, roots)]
    console.result("\n".join(lines))
    if any(line.endswith(_AGAIN) for line in lines):
        console.say("(*) is in the tree above with all that is below it")
    return ExitStatus.DONE


def _lines(found: Tree, below: Mapping[str, Sequence[Need]], roots: Sequence[str]) -> Iterator[str]:
    shown: set[str] = set()
    # by hand, as a chain of packages may be longer than Python's own calls may be deep
    waiting = [(Need(name), "", at == len(roots) - 1) for at, name in enumerate(roots)][::-1]
    while waiting:
        need, lead, last = waiting.pop()
        again = need.name in shown and bool(below[need.name])
        extras = f"[{','.join(sorted(need.extras))}]" if need.extras else ""
        wanted = f" ({need.range})" if need.range else ""
        branch = "└── " if last else "├── "
        yield f"{lead}{branch}{need.name}{extras} {found.versions[need.name]}{wanted}{_AGAIN if again else ''}"
        if not again:
            shown.add(need.name)
            inner, own = lead + ("    " if last else "│   "), below[need.name]
            waiting += [(one, inner, at == len(own) - 1) for at, one in enumerate(own)][::-1]


def _data(found: Tree) -> dict[str, object]:
    return {
        "environment": found.environment,
        "packages": {
            name: {
                "version": version,
                "needs": [
                    {"name": one.name, "extras": sorted(one.extras), "range": one.range} for one in found.needs[name]
                ],
            }
            for name, version in sorted(found.versions.items())
        },
    }
