"""`kgen proven`: the map of what is proven where, and what fills its gaps."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 7,
    "purpose": "show what is proven on which GPUs, and what is not",
    "example": "kgen proven locks collected --key key.pub",
}

from pathlib import Path

from kgen import host, project
from kgen.actions.proven import Proof, Proven, proven
from kgen.actions.receipts import collect
from kgen.cli import console
from kgen.cli.options import Json
from kgen.cli.receipts import Sources, remark
from kgen.cli.receipts_list import told_skipped
from kgen.cli.signers import Identities, Issuer, Keys, TrustConfig, trust_of
from kgen.errors import ExitStatus
from kgen.explain.sizes import step_text


def run(
    sources: Sources = None,
    *,
    key: Keys = None,
    identity: Identities = None,
    issuer: Issuer = None,
    trust_config: TrustConfig = None,
    json: Json = False,
) -> ExitStatus:
    """Print the map."""
    root = project.find_root(Path.cwd())
    trust = trust_of(key, identity, issuer, trust_config)
    collected = collect(root, sources or (), report=remark)
    found = proven(root, collected, host.inspect(), trust)
    if json:
        console.data(
            {
                "proofs": [{**one._asdict(), "place": one.place._asdict()} for one in found.proofs],
                "unknown": list(found.unknown),
            }
        )
    else:
        _print(found, signed=bool(trust))
    return told_skipped(collected) if collected.skipped else ExitStatus.DONE


def _print(found: Proven, *, signed: bool) -> None:
    headings = ["environment", "platform", "device", "driver", "suite", "verdict", "date", "step", "receipts"]
    rows = [_row(one, signed=signed) for one in found.proofs]
    if signed:
        headings.append("signers")
    if rows:
        console.result(console.table(headings, rows))
    else:
        console.say("nothing is locked")
        console.hints(["kgen lock"])
    for name in found.unknown:
        console.say(f"note: there are receipts of {name}, which is not locked here")
    if found.gaps:
        count = len(found.gaps)
        console.say(f"\n{count} gap{'s' if count != 1 else ''}; on a machine with that device:")
        console.hints([one.command for one in found.gaps if one.command is not None])


def _row(one: Proof, *, signed: bool) -> tuple[str, ...]:
    gap = "not proven since the lock changed" if one.older else "not proven"
    return (
        one.environment,
        one.platform,
        one.place.device,
        one.place.driver or "-",
        "-" if one.verdict is None else one.suite,
        one.verdict or gap,
        one.date or "-",
        step_text(one.step),
        str(one.receipts),
        *(["-" if one.signers is None or one.verdict is None else str(one.signers)] if signed else []),
    )
