"""Who saw an environment train: which receipts are independent of each other, and which are one and the same witness.

This is the one place that decides it, for the map of what is proven, for the report and for `--proven`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from kgen.model.trust import NOBODY, Trust
from kgen.validation import signing
from kgen.validation.collection import Entry

Signatures = Callable[[Entry, str], Sequence[bytes]]
"""Reads what lies beside a receipt, by the ending of its name."""


class Witness(NamedTuple):
    """Who, or what, saw an environment train.

    Attributes:
        kind: `key` or `identity` of a signer; `device` for receipts without a signature that counts.
        name: the digest of the key, the identity, or the device with its driver.
    """

    kind: str
    name: str


def witnesses(entries: Iterable[Entry], signatures: Signatures, trust: Trust = NOBODY) -> frozenset[Witness]:
    """The independent witnesses among receipts; those that say that training failed are none.

    Where somebody's signatures count, each signer is one witness, and what none of them has signed has no witness.
    Where none count, a receipt holds no user, host or serial number that could tell two machines apart: receipts of
    the same kind of device with the same driver are one witness.

    Args:
        entries: receipts of the same versions.
        signatures: gives what lies beside a receipt.
        trust: whose signatures count.

    Raises:
        UsageError: a key is none, or what verifies is not installed.
        OutsideError: a signature cannot be read.
    """
    return frozenset(witness for entry in entries for witness in witnesses_of(entry, signatures, trust))


def witnesses_of(entry: Entry, signatures: Signatures, trust: Trust = NOBODY) -> frozenset[Witness]:
    """The witnesses of one receipt, as :func:`witnesses` has it."""
    if entry.verdict != "passed":
        return frozenset()
    if not trust:
        return frozenset({Witness("device", device_text(entry))})
    payload = signing.canonical(entry.data)
    found = set()
    for ending in signing.endings_of(trust):
        for content in signatures(entry, ending):
            try:
                signers = signing.signers_of(content, ending, payload, trust)
            except signing.BadSignature:
                continue
            found |= {Witness(signer.kind, signer.name) for signer in signers}
    return frozenset(found)


def device_text(entry: Entry) -> str:
    """A device with its driver, for people: `NVIDIA H200 (driver 570.1)`."""
    return entry.device if entry.driver is None else f"{entry.device} (driver {entry.driver})"
