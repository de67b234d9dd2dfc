"""Merges two conda locks of one request: solved again, keeping what both have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from kgen import __version__, gittool
from kgen.formats.conda import RECORDS, condafiles, rattlertool, text
from kgen.formats.conda.condafiles import CondaFile
from kgen.formats.conda.session import CondaSession
from kgen.matrix import origin
from kgen.matrix.selection import selection


def merged(ours: bytes, theirs: bytes, name: Path) -> str:
    """A file of the lock; all of them are made from its records. See :class:`kgen.formats.interface.Merger`.

    Raises:
        ValueError: the sides are no locks, or were made for different requests, or git does not tell what they are of.
        KgenError: there is no such lock.
    """
    records = name.with_name(RECORDS)
    both = (ours, theirs) if name == records else gittool.beside(Path.cwd(), name, ours, theirs, records)
    if both is None:
        raise ValueError(f"git does not say which {RECORDS} the two sides have")
    mine, other = (condafiles.parse(records.absolute(), side) for side in both)
    apart = [key for key, one, another in _asked(mine, other) if one != another]
    if apart:
        raise ValueError(f"the two sides were locked for different requests ({', '.join(apart)})")
    if mine.mode != "full":
        raise ValueError(f'with `conda = "{mine.mode}"` its wheels are those of the pylock')
    matrix = origin.current()
    session = CondaSession(
        matrix,
        mine.channels,
        rattlertool.opened,
        chosen=tuple(mine.names.items()),
        locked=lambda request: condafiles.shared(mine, other, request.platform),
    )
    locks = []
    for platform, one in mine.platforms.items():
        outcome = session.full(condafiles.request_of(mine, platform, one))
        if outcome.error is not None:
            raise outcome.error
        if outcome.lock is None:
            raise ValueError("nothing fits what both sides ask for")
        locks.append(outcome.lock)
    made = text.file_of(matrix, locks, mode=mine.mode, version=__version__)
    own = selection(matrix, mine.backends, mine.accelerator, isolated=bool(mine.configuration)).own
    return text.files(made._replace(**own, names=mine.names))[name.name]


def _asked(ours: CondaFile, theirs: CondaFile) -> Iterator[tuple[str, object, object]]:
    for key in ("backends", "accelerator", "python", "mode", "channels", *condafiles.OPTIONAL):
        yield key, getattr(ours, key), getattr(theirs, key)
    for key in ("request", "virtuals"):
        yield key, _by_platform(ours, key), _by_platform(theirs, key)


def _by_platform(file: CondaFile, key: str) -> Mapping[str, object]:
    return {platform: getattr(one, key) for platform, one in file.platforms.items()}
