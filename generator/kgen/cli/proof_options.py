"""The options by which receipts decide on versions, which `kgen solve` and `kgen lock` have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from kgen.cli.options import LOCKING, option
from kgen.cli.signers import trust_of
from kgen.errors import UsageError
from kgen.model.grammar import YES

if TYPE_CHECKING:
    from kgen.actions.lock_options import ProvenOptions


def _receipts(text: str) -> int:
    if text == YES:
        return 1
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:7]) < 10**6:
        raise UsageError(
            "`--proven` is not a number of receipts", hints=["leave the number out, or give one such as 2"]
        )
    return int(text)


Proven = Annotated[
    int | None,
    option(
        "--proven",
        metavar="[N]",
        text="prefer versions that N independent receipts saw train on this kind of device; 1 without N",
        panel=LOCKING,
        parse=_receipts,
    ),
]
OnlyProven = Annotated[
    bool,
    option("--only-proven", text="refuse what receipts did not see train on this kind of device", panel=LOCKING),
]
ProvenBy = Annotated[
    list[str] | None,
    option(
        "--proven-by",
        metavar="SOURCE",
        text="with --proven: a folder of receipts or its URL, or git:REVISION; the project's locks without it",
        panel=LOCKING,
    ),
]


def proven_options(
    least: int | None,
    *,
    only: bool,
    sources: list[str] | None,
    key: list[str] | None,
    identity: list[str] | None,
    issuer: str | None,
    trust_config: str | None,
) -> ProvenOptions | None:
    """What receipts are to count for; None where nothing of them is asked.

    Raises:
        UsageError: a signer or receipts are named, and no option uses receipts.
    """
    from kgen.actions.lock_options import ProvenOptions  # noqa: PLC0415 - the list of commands imports no action

    trust = trust_of(key, identity, issuer, trust_config)
    if least is not None or only:
        return ProvenOptions(least or 1, only, tuple(sources or ()), trust)
    for flag, given in (("--proven-by", sources), ("--key", key), ("--identity", identity)):
        if given:
            raise UsageError(f"`{flag}` is for `--proven` and `--only-proven`", hints=["give `--proven` with it"])
    return None
