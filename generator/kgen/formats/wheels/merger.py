"""Merges two pylocks of one request: solved again, keeping what both have."""

from __future__ import annotations

from pathlib import Path

from kgen import __version__, files, lockfiles, project
from kgen.emitters.hooks import render_hooks
from kgen.explain.reasons import recorded_in
from kgen.fields import differing, request_of
from kgen.formats.wheels import pylock
from kgen.formats.wheels.assembly import resolve
from kgen.formats.wheels.kept import shared
from kgen.formats.wheels.outside import Outside
from kgen.matrix import origin
from kgen.matrix.selection import selection
from kgen.model.requirement import Requirement
from kgen.solver.retention import keeping


def merged(ours: bytes, theirs: bytes, name: Path) -> str:
    """The lock that both sides' request gives now; see :class:`kgen.formats.interface.Merger`.

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
    matrix = origin.current()
    held = shared(ours, theirs)
    kept = tuple(Requirement(f"{name}=={held[name]}") for name in sorted(held))
    recorded = tuple(row for row in recorded_in(data["tool"]["kgen"]) if row.package in held)
    root = files.resolved(name).parents[2]
    (outcome,) = resolve(
        matrix,
        Outside(root),
        [keeping(matrix, request._replace(held=kept, recorded=recorded))],
        torch_index=project.torch_index(root),
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
