"""How locks are made, whatever is in them; apart from the making, which what stands does not need."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kgen.model.trust import NOBODY, Trust


class ProvenOptions(NamedTuple):
    """What receipts are to count for.

    Attributes:
        least: so many independent ones must have seen the same versions train on the kind of device that is asked for.
        only: whether nothing else is taken.
        sources: where they are, as :func:`kgen.actions.receipts.collect` has it; the project's locks without any.
        trust: whose signatures count; without any, receipts differ by device and driver.
    """

    least: int = 1
    only: bool = False
    sources: tuple[str, ...] = ()
    trust: Trust = NOBODY


class LockOptions(NamedTuple):
    """How locks are made, whatever is in them.

    Attributes:
        dry_run: whether nothing is written.
        upgrade: whether nothing of the locks that are there is kept.
        upgrade_packages: packages that are not kept.
        merge: whether locks in conflict are solved again, keeping what both sides share.
        installers: forms of locks that are made beside those that the settings ask for, as `conda`.
        given: names of the fields that were asked for with a call, as `channels`.
        take_over: the lock of another tool, whose versions are taken where they fit and no lock of kgen has others.
        reasons: whether it is to be told of every lock why it has its versions, which only solving anew can.
        together: whether nothing is written unless all that is asked for can be locked.
        proven: what receipts of the project are to count for; None for nothing.
        all_platforms: whether the requests are for all platforms of their environments, so that no other stays.
    """

    dry_run: bool = False
    upgrade: bool = False
    upgrade_packages: tuple[str, ...] = ()
    merge: bool = False
    installers: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    take_over: Path | None = None
    reasons: bool = False
    all_platforms: bool = True
    together: bool = False
    proven: ProvenOptions | None = None

    @property
    def anew(self) -> bool:
        """Whether everything is solved, though a lock of the same request may be there."""
        from_elsewhere = self.take_over is not None or self.proven is not None
        return self.upgrade or bool(self.upgrade_packages) or self.merge or self.reasons or from_elsewhere


AS_USUAL = LockOptions()
"""Write, and keep what the locks that are there have where that still fits."""
