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
    """How to make locks, independent of what is in them.

    Attributes:
        dry_run: whether to write nothing.
        upgrade: whether to keep no version of the existing locks.
        upgrade_packages: packages whose versions are not kept.
        merge: whether to solve locks with merge conflicts again, keeping what both sides share.
        installers: additional forms of locks, such as `conda`, besides those in the settings.
        given: names of the fields that the call sets, such as `channels`.
        take_over: the lock of another tool, whose versions kgen takes where they fit and no lock of kgen has others.
        reasons: whether the result includes the reason for each version, for which kgen solves again.
        standing: whether the locks of all requests exist and are fresh, so that only their reasons are wanted.
        together: whether to write nothing unless every request can be locked.
        proven: how receipts influence the choice; None if they do not.
        all_platforms: whether the requests cover all platforms of their environments, so that locks for others go.
        everything: whether the requests are exactly those of the settings.
        let_go: packages, by normalised name, that the user has just removed.
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
