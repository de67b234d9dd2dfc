"""`kgen export`: what is locked, in the formats of other tools, on stdout."""

from __future__ import annotations

__command__ = {
    "panel": "For others, and the facts",
    "rank": 1,
    "purpose": "print a lock in the format of another tool",
    "example": "kgen export dockerfile jax-cuda12 > Dockerfile",
}

from pathlib import Path
from typing import Annotated

from kgen.actions.export import FORMATS, OF_PLATFORM, export
from kgen.cli import candidates, console
from kgen.cli.options import OUTPUT, MaybeEnvironment, argument, option
from kgen.errors import ExitStatus
from kgen.matrix import origin
from kgen.project import find_root


def run(
    format_name: Annotated[
        str, argument("FORMAT", f"one of {', '.join(FORMATS)}", panel=OUTPUT, values=candidates.formats)
    ],
    environment: MaybeEnvironment = None,
    *,
    platform: Annotated[
        str | None,
        option(
            "--platform",
            metavar="P",
            text=f"the platform of {', '.join(OF_PLATFORM[:-1])} or {OF_PLATFORM[-1]}; by default this machine's",
            panel=OUTPUT,
            values=candidates.platforms,
        ),
    ] = None,
) -> ExitStatus:
    """Print the project's locks, or one environment of them, in a format."""
    console.program(export(find_root(Path.cwd()), origin.current(), format_name, environment, platform=platform))
    return ExitStatus.DONE
