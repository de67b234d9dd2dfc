"""Merge two locks of the same request: it is solved again, keeping what both sides have.

Where the sides ask for different things the settings are in question, which only a person can merge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from kgen import __version__, condafiles, files, gittool, lockfiles, project
from kgen.actions import keep, lock
from kgen.condafiles import CondaFile, CondaPlatform
from kgen.emitters.hooks import render_hooks
from kgen.errors import KgenError
from kgen.fields import differing, from_text, request_of
from kgen.formats.wheels import pylock
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import selection
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.solver.keeping import keeping

_OF_CONDA = (condafiles.RECORDS, condafiles.CONDA_LOCK, "environment.yml", "virtual-packages.yml")


class MergeConflict(ValueError):  # noqa: N818 - what git calls it
    """Two sides that cannot be merged; the text says why."""


def merge(folder: Path, base: Path, ours: Path, theirs: Path, name: Path) -> None:
    """Merge into the file of our side; where that is impossible, git's conflict markers are put into it.

    Args:
        folder: a folder of the repository.
        base: the file that both sides come from.
        ours: the file of our side, which gets the result.
        theirs: the file of their side.
        name: where the lock is in the project.

    Raises:
        MergeConflict: the sides cannot be merged; our file has conflict markers.
    """
    merged = _merged_for_conda if name.name in _OF_CONDA else _merged
    try:
        text = merged(origin.current(folder), files.read(ours), files.read(theirs), name)
    except (KgenError, ValueError, OSError) as error:
        gittool.mark_conflict(folder, ours, base, theirs)
        raise MergeConflict(error.message if isinstance(error, KgenError) else str(error)) from error
    ours.write_text(text, encoding="utf-8")


def _merged(matrix: CompatibilityMatrix, ours: bytes, theirs: bytes, name: Path) -> str:
    """The lock that both sides' request gives now.

    Raises:
        ValueError: the sides are no locks, or were made for different requests.
        KgenError: there is no such lock.
    """
    _, data = lockfiles.parse(name, ours)
    _, other = lockfiles.parse(name, theirs)
    request, asked_there = (request_of(one["tool"]["kgen"]) for one in (data, other))
    if request != asked_there:
        raise ValueError(
            f"the two sides were locked for different requests ({', '.join(differing(request, asked_there))})"
        )
    held = keep.shared(ours, theirs)
    kept = tuple(Requirement(f"{name}=={held[name]}") for name in sorted(held))
    root = name.resolve().parents[2]
    (outcome,) = lock.resolve(
        matrix, root, [keeping(matrix, request._replace(held=kept))], torch_index=project.torch_index(root)
    )
    if outcome.error is not None:
        raise outcome.error
    if outcome.lock is None:
        raise ValueError("nothing fits what both sides ask for; `kgen explain` says why")
    selected = selection(matrix, request.backends, request.accelerator.name, isolated=request.isolated)
    return pylock.render(
        outcome.lock,
        platform=matrix.platforms[request.platform],
        variables=selected.variables,
        hooks=render_hooks(request.environment, selected.variables),
        **selected.own,
        revision=matrix.revision,
        version=__version__,
        portable=all("url" not in wheel for package in data["packages"] for wheel in package.get("wheels", ())),
    )


def _merged_for_conda(matrix: CompatibilityMatrix, ours: bytes, theirs: bytes, name: Path) -> str:
    """The same for a file of a conda lock; all of them are made from its records.

    Raises:
        ValueError: the sides are no locks, or were made for different requests, or git does not tell what they are of.
        KgenError: there is no such lock.
    """
    from kgen import rattlertool  # noqa: PLC0415 - for who locks for conda
    from kgen.formats.conda import text  # noqa: PLC0415
    from kgen.formats.conda.session import CondaSession  # noqa: PLC0415

    records = name.with_name(condafiles.RECORDS)
    both = (ours, theirs) if name == records else gittool.beside(Path.cwd(), name, ours, theirs, records)
    if both is None:
        raise ValueError(f"git does not say which {condafiles.RECORDS} the two sides have")
    mine, other = (condafiles.parse(records.absolute(), side) for side in both)
    apart = [key for key, one, another in _asked_for_conda(mine, other) if one != another]
    if apart:
        raise ValueError(f"the two sides were locked for different requests ({', '.join(apart)})")
    if mine.mode != "full":
        raise ValueError(f'with `conda = "{mine.mode}"` its wheels are those of the pylock')
    session = CondaSession(
        matrix,
        mine.channels,
        rattlertool.opened,
        locked=lambda request: condafiles.shared(mine, other, request.platform),
    )
    locks = []
    for platform, one in mine.platforms.items():
        outcome = session.full(_request_of(mine, platform, one))
        if outcome.error is not None:
            raise outcome.error
        if outcome.lock is None:
            raise ValueError("nothing fits what both sides ask for")
        locks.append(outcome.lock)
    made = text.file_of(matrix, locks, mode=mine.mode, version=__version__)
    own = selection(matrix, mine.backends, mine.accelerator, isolated=bool(mine.configuration)).own
    return text.files(made._replace(**own))[name.name]


def _asked_for_conda(ours: CondaFile, theirs: CondaFile) -> Iterator[tuple[str, object, object]]:
    for key in ("backends", "accelerator", "python", "mode", "channels", *condafiles.OWN_FOLDER):
        yield key, getattr(ours, key), getattr(theirs, key)
    for key in ("request", "virtuals"):
        yield key, _by_platform(ours, key), _by_platform(theirs, key)


def _by_platform(file: CondaFile, key: str) -> Mapping[str, object]:
    return {platform: getattr(one, key) for platform, one in file.platforms.items()}


def _request_of(file: CondaFile, platform: str, locked: CondaPlatform) -> EnvironmentRequest:
    """The request that a conda lock says it was made for, which has lists as text."""
    head = {name: getattr(file, name) for name in ("environment", "backends", "accelerator", "python")}
    return request_of({**head, "platform": platform, **from_text(locked.request)})
