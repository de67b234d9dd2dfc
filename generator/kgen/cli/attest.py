"""`kgen attest`: sign receipts, with a key or with an identity that Sigstore vouches for."""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 4,
    "purpose": "sign receipts",
    "example": "kgen attest jax-cuda12 --key key.pem",
}

from pathlib import Path
from typing import Annotated

from kgen import host, project
from kgen.actions.attest import SignOptions, attest, every_receipt
from kgen.cli import candidates, console
from kgen.cli.options import Json, argument, option
from kgen.cli.signers import trust_config
from kgen.errors import ContradictionError, ExitStatus, UsageError

PASSWORD = "KGEN_KEY_PASSWORD"  # noqa: S105 - the variable's name

_WHO = "Who signs"

Receipts = Annotated[
    list[str] | None,
    argument(
        "RECEIPT", "a receipt's file, or a locked environment for all of its receipts", values=candidates.environments
    ),
]


def run(
    names: Receipts = None,
    *,
    key: Annotated[
        str | None,
        option("--key", metavar="FILE", text=f"a private key, PEM; {PASSWORD} opens it if it is encrypted", panel=_WHO),
    ] = None,
    sigstore: Annotated[
        bool, option("--sigstore", text="sign as the identity that CI or a browser gives", panel=_WHO)
    ] = False,
    token: Annotated[
        str | None,
        option("--identity-token", metavar="TOKEN", text="with --sigstore: sign as this identity", panel=_WHO),
    ] = None,
    trust_config: Annotated[str | None, trust_config(_WHO)] = None,
    json: Json = False,
) -> ExitStatus:
    """Sign the receipts.

    Raises:
        UsageError: it is not clear who signs.
    """
    if (key is None) == (not sigstore):
        raise ContradictionError(
            "`kgen attest` signs by a key or by Sigstore" + (", not by both" if sigstore else ""),
            hints=["kgen attest --key key.pem", "kgen attest --sigstore"],
        )
    for flag, value in (("--identity-token", token), ("--trust-config", trust_config)):
        if value is not None and not sigstore:
            raise UsageError(f"`{flag}` is for Sigstore", hints=[f"kgen attest --sigstore {flag} …"])
    paths = every_receipt(project.find_root(Path.cwd()), names or ())
    options = SignOptions(
        None if key is None else Path(key),
        host.variable(PASSWORD),
        token,
        None if trust_config is None else Path(trust_config),
    )
    done = attest(paths, options)
    if json:
        rows = [
            {
                "receipt": str(one.receipt),
                "signature": str(one.signature),
                "signer": one.signer._asdict(),
                "verdict": one.verdict,
            }
            for one in done
        ]
        console.data({"signed": rows})
        return ExitStatus.DONE
    for one in done:
        console.result(f"{one.signature}: signed by {console_signer(one.signer.kind, one.signer.name)}")
    return ExitStatus.DONE


def console_signer(kind: str, name: str) -> str:
    """A signer, for people."""
    return f"key sha256:{name[:16]}" if kind == "key" else name
