"""`kgen bundle`: all that environments take on a machine without a network, in one file."""

from __future__ import annotations

__command__ = {
    "panel": "For others, and the facts",
    "rank": 2,
    "purpose": "write all that environments take on a machine without a network into one file",
    "example": "kgen bundle jax-cuda12 torch-cuda12 -o project.tar",
}

import shlex
from pathlib import Path
from typing import Annotated

from kgen.actions.bundle import bundle
from kgen.cli import console
from kgen.cli.options import OUTPUT, Environments, Json, Platform, option
from kgen.cli.transfers import counting
from kgen.errors import ExitStatus, UsageError
from kgen.explain.sizes import size_text
from kgen.formats import bundlefile
from kgen.matrix import origin
from kgen.project import find_root


def run(
    environments: Environments = None,
    *,
    output: Annotated[
        str | None, option("-o", "--output", metavar="FILE", text="where to write it, as project.tar", panel=OUTPUT)
    ] = None,
    platform: Platform = None,
    with_python: Annotated[
        bool,
        option("--with-python", text="include interpreters, for machines that have none of that minor", panel=OUTPUT),
    ] = False,
    json: Json = False,
) -> ExitStatus:
    """Write a bundle of the environments named, or of all that are locked for the platform.

    Raises:
        KgenError: it cannot be written, or something that belongs into it cannot be had.
    """
    if output is None:
        raise UsageError("`kgen bundle` needs a file to write", hints=["kgen bundle -o project.tar"])
    root = find_root(Path.cwd())
    with counting("fetching") as report:
        done = bundle(
            root,
            origin.current(),
            tuple(environments or ()),
            Path(output),
            platform=platform,
            with_python=with_python,
            report=report,
        )
    if json:
        console.data({**done._asdict(), "path": str(done.path)})
        return ExitStatus.DONE
    for note in done.notes:
        console.say(f"note: {note}")
    named = ", ".join(done.environments)
    interpreters = "".join(f", CPython {version}" for version in done.pythons)
    console.say(
        f"{named} for {done.platform}: {done.files} files{interpreters}, {size_text(done.size)}, of which"
        f" {size_text(done.fetched)} were fetched"
    )
    console.result(str(done.path))
    name = Path(output).name
    unbundle = f"kgen unbundle {shlex.quote(name)}"
    console.say(f"\nnext, where there is no network: {unbundle}, then kgen sync {done.environments[0]}")
    if done.kgen is not None:
        console.say(f"without kgen there, first: {bundlefile.installation(name, done.kgen)}")
    return ExitStatus.DONE
