"""`kgen merge-driver`: what git calls to merge two locks, once `kgen init --git` has told it to.

Two locks of the same request are solved again, keeping what both have. Where the sides ask for different things the
settings are in question, which only a person can merge: git's own conflict markers are left then.
"""

from __future__ import annotations

__command__ = {
    "panel": "Prove it, and keep it true",
    "rank": 5,
    "purpose": "merge two locks; git calls it, after `kgen init --git`",
    "example": "git config merge.kgen.driver 'kgen merge-driver %O %A %B %P'",
}

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from kgen import __version__, files, gittool, lockfiles, project
from kgen.actions import keep, lock
from kgen.cli import console
from kgen.cli.options import argument
from kgen.emitters.hooks import render_hooks
from kgen.errors import ExitStatus, KgenError
from kgen.fields import differing, from_text, request_of
from kgen.formats.conda import condafiles
from kgen.formats.conda.condafiles import CondaFile, CondaPlatform
from kgen.formats.wheels import pylock
from kgen.matrix import origin
from kgen.matrix.selection import selection
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.solver.keeping import keeping

_OF_CONDA = (condafiles.RECORDS, condafiles.CONDA_LOCK, "environment.yml", "virtual-packages.yml")


_FILES = "What git gives"


def run(
    base: Annotated[str, argument("BASE", "the file that both sides come from (%O)", panel=_FILES)],
    ours: Annotated[str, argument("OURS", "the file of our side, which gets the result (%A)", panel=_FILES)],
    theirs: Annotated[str, argument("THEIRS", "the file of their side (%B)", panel=_FILES)],
    path: Annotated[str, argument("PATH", "where the lock is in the project (%P)", panel=_FILES)],
) -> ExitStatus:
    """Merge into the file of our side; anything but 0 tells git that it is in conflict."""
    mine, other, name = Path(ours), Path(theirs), Path(path)
    try:
        merge = _merged_for_conda if name.name in _OF_CONDA else _merged
        merged = merge(files.read(mine), files.read(other), name)
    except (KgenError, ValueError, OSError) as error:
        gittool.mark_conflict(Path.cwd(), mine, Path(base), other)
        reason = error.message if isinstance(error, KgenError) else str(error)
        console.say(f"{name}: not merged: {reason}")
        console.say("hint: merge the settings, then `kgen lock --merge`")
        return ExitStatus.CHECK_FAILED
    mine.write_text(merged, encoding="utf-8")
    console.say(f"{name}: solved again, keeping what both sides share")
    return ExitStatus.DONE


def _merged(ours: bytes, theirs: bytes, name: Path) -> str:
    """The lock that both sides' request gives now.

    Raises:
        ValueError: the sides are no locks, or were made for different requests.
        KgenError: there is no such lock.
    """
    _, data = lockfiles.parse(name, ours)
    _, other = lockfiles.parse(name, theirs)
    request, asked_there = (request_of(one["tool"]["kgen"]) for one in (data, other))
    if request != asked_there:
        raise ValueError(f"the two sides were asked for something else ({', '.join(differing(request, asked_there))})")
    matrix = origin.current()
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
    selected = selection(matrix, request.backends, isolated=request.isolated)
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


def _merged_for_conda(ours: bytes, theirs: bytes, name: Path) -> str:
    """The same for a file of a conda lock; all of them are made from its records.

    Raises:
        ValueError: the sides are no locks, or were made for different requests, or git does not tell what they are of.
        KgenError: there is no such lock.
    """
    from kgen.formats.conda import rattlertool, text  # noqa: PLC0415 - for who locks for conda
    from kgen.formats.conda.session import CondaSession  # noqa: PLC0415

    records = name.with_name(condafiles.RECORDS)
    both = (ours, theirs) if name == records else gittool.beside(Path.cwd(), name, ours, theirs, records)
    if both is None:
        raise ValueError(f"git does not say which {condafiles.RECORDS} the two sides have")
    mine, other = (condafiles.parse(records.absolute(), side) for side in both)
    apart = [key for key, one, another in _asked_for_conda(mine, other) if one != another]
    if apart:
        raise ValueError(f"the two sides were asked for something else ({', '.join(apart)})")
    if mine.mode != "full":
        raise ValueError(f'with `conda = "{mine.mode}"` its wheels are those of the pylock')
    matrix = origin.current()
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
    own = selection(matrix, mine.backends, isolated=bool(mine.configuration)).own
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
