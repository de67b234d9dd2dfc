"""How locks are made, whatever is in them; apart from the making, which what stands does not need."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kgen.model.trust import NOBODY, Trust


class ProvenOptions(NamedTuple):
    """How receipts decide on versions.

    Attributes:
        least: how many independent receipts must have seen the same versions train on a device of the kind asked for.
        only: whether kgen refuses everything else.
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
        upgrade: whether no version of the existing locks is kept.
        upgrade_packages: packages whose versions are not kept.
        merge: whether locks in conflict are solved again, keeping what both sides share.
        installers: forms of locks that are made beside those that the settings ask for, such as `conda`.
        given: names of the fields that were asked for with a call, such as `channels`.
        take_over: the lock of another tool; kgen takes its versions where they fit and no lock of kgen has others.
        reasons: whether the result gives the reason of each version, for which kgen solves again.
        standing: whether the locks of all requests stand, so that nothing is written: only the reasons are asked for.
        together: whether kgen writes nothing unless every request can be locked.
        proven: how receipts decide; None if they do not.
        all_platforms: whether the requests are for all platforms of their environments, so that no other stays.
        everything: whether all is asked for that the settings ask for, and nothing else.
        let_go: the packages, normalised, of which the user has just said that they are no longer wanted.
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
    standing: bool = False
    together: bool = False
    proven: ProvenOptions | None = None
    everything: bool = False
    let_go: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether anything may be written."""
        return not (self.dry_run or self.standing)

    @property
    def anew(self) -> bool:
        """Whether everything is solved, though a lock of the same request may be there."""
        from_elsewhere = self.take_over is not None or self.proven is not None
        return self.upgrade or bool(self.upgrade_packages) or self.merge or self.reasons or from_elsewhere


AS_USUAL = LockOptions()
"""Write, and keep what the locks that are there have where that still fits."""
