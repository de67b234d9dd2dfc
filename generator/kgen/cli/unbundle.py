"""`kgen unbundle`: what a bundle holds, in a project, without a network."""

from __future__ import annotations

__command__ = {
    "panel": "For others, and the facts",
    "rank": 2,
    "purpose": "take a bundle out into a project, every byte verified, without a network",
    "example": "kgen unbundle project.tar",
}

from pathlib import Path
from typing import Annotated

from kgen import host
from kgen.actions.unbundle import unbundle
from kgen.cli import console
from kgen.cli.options import OUTPUT, Json, argument, option
from kgen.cli.transfers import counting
from kgen.errors import ExitStatus
from kgen.matrix import origin
from kgen.project import find_root


def run(
    file: Annotated[str, argument("FILE", "what `kgen bundle` wrote", panel=OUTPUT)],
    *,
    into: Annotated[
        str | None,
        option("--into", metavar="DIR", text="the project's folder; by default the one that this is in", panel=OUTPUT),
    ] = None,
    json: Json = False,
) -> ExitStatus:
    """Take a bundle out into the project.

    Raises:
        KgenError: it is damaged or incomplete, or the project cannot take it.
    """
    root = find_root(Path.cwd()) if into is None else Path(into).absolute()
    with counting("verifying") as report:
        done = unbundle(Path(file), root, origin.current(), report=report)
    if json:
        console.data({**done._asdict(), "root": str(done.root)})
        return ExitStatus.DONE
    named = ", ".join(done.environments)
    interpreters = "".join(f", CPython {minor}" for minor in done.pythons)
    console.say(f"{named} for {done.platform}: {done.files} files{interpreters} verified, {done.added} of them new")
    if done.platform != host.subdir():
        console.say(f"note: this machine is {host.subdir()}; the environments are made on one that is {done.platform}")
    console.result(str(done.root))
    console.say(f"\nnext: kgen sync {done.environments[0]}")
    return ExitStatus.DONE
