"""`kgen lock`: solve, resolve, verify, write."""

from __future__ import annotations

__command__ = {
    "panel": "Choose and lock",
    "rank": 3,
    "purpose": "solve, resolve all packages, and write locks/ with its hooks",
    "example": "kgen lock jax torch --cuda 12",
}

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from kgen import host, replay
from kgen.actions import flake, plan
from kgen.actions.lock_options import LockOptions
from kgen.actions.plan import Draft
from kgen.actions.request_flags import RequestFlags
from kgen.actions.uptodate import all_up_to_date, unnamed
from kgen.cli import console, outcomes
from kgen.cli.formats import MoreFormats, naming_formats
from kgen.cli.options import LOCKING, Json, option
from kgen.cli.proof_options import OnlyProven, Proven, ProvenBy, proven_options
from kgen.cli.request import asking
from kgen.cli.signers import Identities, Issuer, Keys, TrustConfig
from kgen.errors import ExitStatus
from kgen.explain.commands import CommandForm
from kgen.fields import Scope, lock_command
from kgen.formats.outcome import Locked, Outcome
from kgen.matrix import origin
from kgen.model.request import EnvironmentRequest


@asking(Scope.LOCK, "lock")
@naming_formats
def run(
    asked: RequestFlags,
    *,
    installers: MoreFormats = (),
    dry_run: Annotated[bool, option("--dry-run", text="do everything but write", panel=LOCKING)] = False,
    upgrade: Annotated[
        bool, option("--upgrade", text="take the newest of everything, whatever the old locks have", panel=LOCKING)
    ] = False,
    upgrade_package: Annotated[
        list[str] | None,
        option("--upgrade-package", metavar="P", text="take the newest P and keep the rest; repeatable", panel=LOCKING),
    ] = None,
    merge: Annotated[
        bool,
        option("--merge", text="solve locks in conflict again, keeping what both sides share", panel=LOCKING),
    ] = False,
    take_over: Annotated[
        str | None,
        option(
            "--from",
            metavar="LOCK",
            text="begin with the versions of another tool's lock: uv.lock, poetry.lock, pixi.lock, conda-lock.yml, …",
            panel=LOCKING,
        ),
    ] = None,
    proven: Proven = None,
    only_proven: OnlyProven = False,
    proven_by: ProvenBy = None,
    key: Keys = None,
    identity: Identities = None,
    issuer: Issuer = None,
    trust_config: TrustConfig = None,
    json: Json = False,
) -> ExitStatus:
    """Lock what was asked, and print what became of it."""
    asked = asked._replace(installers=tuple(installers))
    receipts = proven_options(
        proven,
        only=only_proven,
        sources=proven_by,
        key=key,
        identity=identity,
        issuer=issuer,
        trust_config=trust_config,
    )
    options = LockOptions(
        dry_run=dry_run,
        upgrade=upgrade,
        upgrade_packages=tuple(upgrade_package or ()),
        merge=merge,
        take_over=None if take_over is None else Path(take_over),
        installers=installers,
        given=asked.given,
        proven=receipts,
        all_platforms=not {"platforms", "targets"} & set(asked.given),
    )

    return lock_and_tell(asked, options, json=json)


def lock_and_tell(
    asked: RequestFlags, options: LockOptions, *, json: bool = False, done: str | None = None
) -> ExitStatus:
    """Lock what a call asks for, and print what became of it.

    Args:
        asked: what was typed.
        options: how.
        json: whether the result is printed as data.
        done: what was done besides, to be said before what comes next; nothing where not all could be locked.

    Raises:
        KgenError: nothing could be begun.
    """
    matrix = origin.current()
    drafted = plan.draft(asked, matrix, Path.cwd())
    options = options._replace(everything=asked.is_of_settings)
    there = all_up_to_date(matrix, drafted, options)
    options = options._replace(reasons=json, standing=json and there is not None and not options.dry_run)
    if there is not None and not json:
        replay.settle()
        return _tell_current(there, drafted, options, done=done)
    replay.forget()
    from kgen.cli import lock_call  # noqa: PLC0415 - to print what is locked takes no solver

    return lock_call.lock_and_tell(matrix, plan.complete(drafted, matrix), options, json=json, done=done)


def _tell_current(
    there: Sequence[Outcome[Locked]], drafted: Draft, options: LockOptions, *, done: str | None
) -> ExitStatus:
    """Print that all that is asked for is locked already."""
    for note in drafted.notes:
        console.say(f"note: {note}")
    written = {} if options.dry_run else {one.request.environment: False for one in there}
    console.result(outcomes.table(there, written))
    outcomes.tell(there, CommandForm(lock_command), standing=True, portable=drafted.settings.portable)
    if not options.dry_run:
        left_out = flake.left_out(drafted.settings)
        if left_out is not None:
            console.say(f"note: {left_out}")
        requests = [one.request for one in there]
        tell_unnamed(unnamed(drafted.settings, requests, options))
        tell_next(requests, new_flake=False, done=done)
    return ExitStatus.DONE


def tell_unnamed(others: Sequence[str]) -> None:
    """Say which locks are of environments that the settings name no longer: kgen removes none.

    Args:
        others: the environments.
    """
    if others:
        folders = " ".join(f"locks/{name}" for name in others)
        console.say(f"note: the settings do not name {', '.join(others)}: `rm -r {folders}` removes the locks")


def tell_next(requests: Sequence[EnvironmentRequest], *, new_flake: bool, done: str | None) -> None:
    """Say what comes after locking.

    Args:
        requests: what was locked.
        new_flake: whether a `flake.nix` was written.
        done: what was done besides locking; None for nothing.
    """
    if done is not None:
        console.say(done)
    here = next((request.environment for request in requests if request.platform == host.subdir()), None)
    console.say(
        f"\nnext: commit locks/{f' and {flake.NAME} (for `nix develop`)' if new_flake else ''}"
        + (f"; `kgen shell {here}` enters the environment, `kgen validate {here}` trains in it" if here else "")
    )
