"""`kgen merge-driver`: what git calls to merge two locks, once `kgen init --git` has told it to.

Two locks of the same request are solved again, keeping what both have. Where the sides ask for different things the
settings are in question, which only a person can merge: git's own conflict markers are left then.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kgen import __version__, gittool, lockfiles, project
from kgen.cli import console, holding, locking
from kgen.emitters.activation import own_folder
from kgen.emitters.hooks import render_hooks
from kgen.errors import ExitStatus, KgenError
from kgen.freshness import recorded
from kgen.lockers import pylock
from kgen.matrix import origin
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement
from kgen.solver.keeping import keeping


def run(arguments: argparse.Namespace) -> ExitStatus:
    """Merge into the file of our side; anything but 0 tells git that it is in conflict."""
    ours, theirs, name = Path(arguments.ours), Path(arguments.theirs), Path(arguments.path)
    try:
        merged = _merged(ours.read_bytes(), theirs.read_bytes(), name)
    except (KgenError, ValueError, OSError) as error:
        gittool.mark_conflict(Path.cwd(), ours, Path(arguments.base), theirs)
        reason = error.message if isinstance(error, KgenError) else str(error)
        console.say(f"{name}: not merged: {reason}")
        console.say("hint: merge the settings, then `kgen lock --merge`")
        return ExitStatus.CHECK_FAILED
    ours.write_text(merged, encoding="utf-8")
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
    request, asked_there = (recorded(one["tool"]["kgen"]) for one in (data, other))
    if request != asked_there:
        differing = [key for key in EnvironmentRequest._fields if getattr(request, key) != getattr(asked_there, key)]
        raise ValueError(f"the two sides were asked for something else ({', '.join(differing)})")
    matrix = origin.current()
    held = holding.shared(ours, theirs)
    kept = tuple(Requirement(f"{name}=={held[name]}") for name in sorted(held))
    root = name.resolve().parents[2]
    (outcome,) = locking.lock(
        matrix, root, [keeping(matrix, request._replace(held=kept))], torch_index=project.torch_index(root)
    )
    if outcome.error is not None:
        raise outcome.error
    if outcome.lock is None:
        raise ValueError("nothing fits what both sides ask for; `kgen explain` says why")
    backend = matrix.backends[request.backends[0]]
    return pylock.render(
        outcome.lock,
        platform=matrix.platforms[request.platform],
        variables=backend.environment,
        hooks=render_hooks(request.environment, backend.environment),
        **own_folder(request, backend, matrix.generations[backend.generation]),
        revision=matrix.revision,
        version=__version__,
        portable=all("url" not in wheel for package in data["packages"] for wheel in package.get("wheels", ())),
    )
