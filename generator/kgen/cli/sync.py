"""`kgen sync`: environments on disk, exactly as locked."""

from __future__ import annotations

__command__ = {
    "panel": "Work in an environment",
    "rank": 1,
    "purpose": "make environments on disk exactly as locked",
    "example": "kgen sync --all",
}

from pathlib import Path
from typing import Annotated

from kgen import project
from kgen.actions.sync import SyncResult, chosen, source_of, sweep, wanted_here
from kgen.cli import console
from kgen.cli.environments import sync
from kgen.cli.formats import OneFormat, naming_formats
from kgen.cli.options import PLACE, Environments, Envs, Json, option
from kgen.errors import ExitStatus
from kgen.formats.environment import read_record


@naming_formats
def run(
    environments: Environments = None,
    *,
    every: Annotated[
        bool, option("--all", text="every environment that is locked for this platform", panel=PLACE)
    ] = False,
    reinstall: Annotated[bool, option("--reinstall", text="install everything again", panel=PLACE)] = False,
    exact: Annotated[
        bool, option("--exact", text="also remove packages that were installed by hand", panel=PLACE)
    ] = False,
    own: Annotated[
        bool,
        option("--project/--no-project", text="install the project itself, editable (the default)", panel=PLACE),
    ] = True,
    form: OneFormat = None,
    envs: Envs = None,
    json: Json = False,
) -> ExitStatus:
    """Make the environments on disk be as locked.

    Raises:
        KgenError: one of them is not locked, or could not be made.
    """
    root = project.find_root(Path.cwd())
    found = chosen(root, environments or (), every=every, form=form)
    choices = [(one, source_of(root, one.environment, one.form, envs)) for one in found]
    wanted = wanted_here(choices)
    for choice, source in choices:
        if choice.note is not None:
            console.say(f"note: {choice.note}")
        if (choice, source) not in wanted:
            console.say(f"note: {source.name} is left out, as this machine has no GPU for it; name it to make it")
    sources = [source for _, source in wanted]
    for source in sources[:1]:
        sweep(source)
    done = []
    for source in sources:
        synced = sync(source, again=reinstall, exact=exact, own=own)
        done.append(synced)
        if not json:
            state = f"made in {synced.seconds:.1f} s" if synced.made else "is as locked, nothing to do"
            console.say(f"{source.name}: {state}")
    if json:
        console.data({"environments": [_data(synced) for synced in done]})
    else:
        for source in sources:
            console.result(str(source.prefix))
        first = sources[0].name
        console.say(
            f'\nnext: `kgen run {first} -- python …`, `kgen shell {first}`, or `eval "$(kgen activate {first})"`'
        )
    return ExitStatus.DONE


def _data(synced: SyncResult) -> dict[str, object]:
    record = read_record(synced.source.prefix)
    return {
        "environment": synced.source.environment.name,
        "format": synced.source.form.name,
        "prefix": str(synced.source.prefix),
        "python": None if record is None else record.python,
        "lock": f"sha256:{synced.source.digest}",
        "changed": synced.made,
        "seconds": round(synced.seconds, 3),
    }
