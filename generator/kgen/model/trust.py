"""Whose signatures count."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Trust(NamedTuple):
    """Whose signatures of receipts count; none where it names no key and no identity.

    Attributes:
        keys: files with public keys, PEM.
        identities: identities that Sigstore vouches for.
        issuer: who must have vouched for them; None for anybody whom Sigstore's authority believes.
        config: which authority Sigstore is; None for the public one.
    """

    keys: tuple[Path, ...] = ()
    identities: tuple[str, ...] = ()
    issuer: str | None = None
    config: Path | None = None

    def __bool__(self) -> bool:
        """Whether it names anybody."""
        return bool(self.keys or self.identities)


NOBODY = Trust()
"""No signature counts."""
