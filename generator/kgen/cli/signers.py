"""The options that say whose signatures of receipts count, the same wherever receipts are believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from kgen.cli.options import option
from kgen.errors import UsageError
from kgen.model.trust import Trust

WHOM = "Whose signatures count"


def trust_config(panel: str) -> Any:  # noqa: ANN401 - as typer.Option
    """The option that names a Sigstore other than the public one.

    Args:
        panel: the panel of the help.
    """
    return option(
        "--trust-config",
        metavar="FILE",
        text="the authority, log and keys of a Sigstore of your own; the public one without it",
        panel=panel,
    )


Keys = Annotated[
    list[str] | None,
    option("--key", metavar="FILE", text="a public key whose signatures count, PEM; repeatable", panel=WHOM),
]
Identities = Annotated[
    list[str] | None,
    option(
        "--identity",
        metavar="WHO",
        text="an address or workflow that Sigstore vouches for, whose signatures count; repeatable",
        panel=WHOM,
    ),
]
Issuer = Annotated[
    str | None,
    option("--issuer", metavar="URL", text="with --identity: who must have known the signer", panel=WHOM),
]
TrustConfig = Annotated[str | None, trust_config(WHOM)]


def trust_of(keys: list[str] | None, identities: list[str] | None, issuer: str | None, config: str | None) -> Trust:
    """Whose signatures count, by the options.

    Raises:
        UsageError: an authority is named, and no identity.
    """
    if not identities and (issuer is not None or config is not None):
        raise UsageError("`--issuer` and `--trust-config` are for an identity", hints=["give `--identity WHO` with it"])
    return Trust(
        keys=tuple(map(Path, keys or ())),
        identities=tuple(identities or ()),
        issuer=issuer,
        config=None if config is None else Path(config),
    )
