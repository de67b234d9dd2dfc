"""`kgen sync`: environments on disk, exactly as locked."""

from __future__ import annotations

__command__ = {
    "panel": "Work in an environment",
    "rank": 1,
    "purpose": "make environments on disk exactly as locked",
    "example": "kgen sync --all",
}

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from kgen import host, lockfiles, project
from kgen.cli import console
from kgen.cli.environments import Synced, source_of, sweep, sync
from kgen.cli.options import PLACE, Conda, Environments, Envs, Json, option
from kgen.errors import ExitStatus, UsageError
from kgen.formats.environment import read_record
from kgen.lockfiles import LockedEnvironment


def run(
    environments: Environments = None,
    *,
    every: Annotated[
        bool, option("--all", text="every environment that is locked for this platform", panel=PLACE)
    ] = False,
    reinstall: Annotated[bool, option("--reinstall", text="make it anew, whatever is there", panel=PLACE)] = False,
    conda: Conda = False,
    envs: Envs = None,
    json: Json = False,
) -> ExitStatus:
    """Make the environments on disk be as locked.

    Raises:
        KgenError: one of them is not locked, or could not be made.
    """
    root = project.find_root(Path.cwd())
    sources = [
        source_of(root, one, envs, conda=of_conda)
        for one, of_conda in _chosen(root, environments or (), every=every, conda=conda)
    ]
    for source in sources[:1]:
        sweep(source)
    done = []
    for source in sources:
        synced = sync(source, again=reinstall)
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
        console.say(f'\nnext: kgen run {first} -- python …, kgen shell {first}, or eval "$(kgen activate {first})"')
    return ExitStatus.DONE


def _chosen(root: Path, names: Sequence[str], *, every: bool, conda: bool) -> list[tuple[LockedEnvironment, bool]]:
    """What is to be made: the environment, and whether conda's."""
    if names and every:
        raise UsageError("`--all` and names of environments contradict each other", hints=["give one of them"])
    known = lockfiles.environments(root)
    here = host.subdir() or ""
    if every or (not names and len(known) == 1):
        fitting = [one for one in known if (lockfiles.for_conda(one) if conda else here in one.platforms)]
        if not fitting:
            where, flag = ("conda", " --conda") if conda else (here, "")
            raise UsageError(f"nothing in {root / project.LOCKS} is locked for {where}", hints=[f"kgen lock{flag}"])
        return [(one, conda) for one in fitting]
    if not names:
        listed = ", ".join(one.name for one in known)
        raise UsageError(
            f"which environment? Locked are {listed}" if known else f"nothing is locked in {root}",
            hints=[f"kgen sync {known[0].name}", "kgen sync --all"] if known else ["kgen lock"],
        )
    chosen = [lockfiles.choose_on_disk(root, name, conda=conda) for name in names]
    return list({(one.name, of_conda): (one, of_conda) for one, of_conda in chosen}.values())


def _data(synced: Synced) -> dict[str, object]:
    record = read_record(synced.source.prefix)
    return {
        "environment": synced.source.environment.name,
        "prefix": str(synced.source.prefix),
        "python": None if record is None else record.python,
        "lock": f"sha256:{synced.source.digest}",
        "changed": synced.made,
        "seconds": round(synced.seconds, 3),
    }
