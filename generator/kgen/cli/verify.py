"""`kgen verify`: whether receipts are signed by whom you trust, and are about the locks that you have. Offline."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 5,
    "purpose": "verify signed receipts, offline",
    "example": "kgen verify jax-cuda12 --key key.pub",
}

import datetime as dt
from pathlib import Path
from typing import Annotated

from kgen import project
from kgen.actions.attest import Verified, VerifyOptions, every_receipt, verify
from kgen.cli import console
from kgen.cli.attest import Receipts, console_signer
from kgen.cli.options import Json, option
from kgen.cli.signers import Identities, Issuer, Keys, TrustConfig, trust_of
from kgen.errors import ExitStatus, UsageError

_PROVES = (
    "a signature proves who vouches for a receipt, and that it has not changed since",
    "it does not prove on which machine it was made, nor that the signer ran what it says",
)


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:7]) < 10**6:
        raise UsageError("`--max-age` is not a number of days", hints=["leave it out, or give one such as 90"])
    return int(text)


def run(
    names: Receipts = None,
    *,
    key: Keys = None,
    identity: Identities = None,
    issuer: Issuer = None,
    trust_config: TrustConfig = None,
    lock: Annotated[
        str | None,
        option("--lock", metavar="FILE", text="the lock that the receipts must be about; that beside them without it"),
    ] = None,
    max_age: Annotated[
        int | None,
        option("--max-age", metavar="DAYS", text="refuse receipts that are older", parse=_days),
    ] = None,
    json: Json = False,
) -> ExitStatus:
    """Verify the receipts, and say what that proves.

    Raises:
        UsageError: neither a key nor an identity is given.
    """
    options = VerifyOptions(
        trust=trust_of(key, identity, issuer, trust_config),
        lock=None if lock is None else Path(lock),
        days=max_age,
    )
    paths = every_receipt(project.find_root(Path.cwd()), names or ())
    found = verify(paths, options, dt.datetime.now(dt.timezone.utc).date())
    if json:
        console.data({"receipts": [_data(one) for one in found], "means": list(_PROVES)})
    else:
        _print(found)
    return ExitStatus.CHECK_FAILED if any(one.faults for one in found) else ExitStatus.DONE


def _print(found: tuple[Verified, ...]) -> None:
    rows = [
        (
            one.environment,
            one.device,
            one.verdict,
            ", ".join(console_signer(signer.kind, signer.name) for signer in one.signers) or "-",
            "no" if one.faults else "yes",
        )
        for one in found
    ]
    console.result(console.table(("environment", "device", "verdict", "signed by", "verified"), rows))
    for one in found:
        for fault in one.faults:
            console.say(f"error: {one.receipt}: {fault}")
    if any(one.signers for one in found):
        console.say("")
        for line in _PROVES:
            console.say(f"note: {line}")
    console.hints([remedy for one in found for remedy in one.remedies])


def _data(one: Verified) -> dict[str, object]:
    return {
        "receipt": str(one.receipt),
        "environment": one.environment,
        "device": one.device,
        "verdict": one.verdict,
        "signers": [signer._asdict() for signer in one.signers],
        "faults": list(one.faults),
    }
