"""What a new lock keeps of an old one, or of the two sides of a merge conflict."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import tomli

from kgen import files, lockfiles
from kgen.errors import KgenError, SettingsError, UsageError
from kgen.explain.reasons import recorded_in
from kgen.fields import request_of
from kgen.formats.conflict import sides
from kgen.formats.wheels.kept import shared, versions_in
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import grammar
from kgen.model.request import BoundedVersion, EnvironmentRequest, ProvenVersion
from kgen.model.requirement import Requirement, canonical_name
from kgen.solver.problem import Problem
from kgen.solver.resolve import select
from kgen.solver.retention import keeping
from kgen.tables import nearest


def keep(
    matrix: CompatibilityMatrix,
    requests: Sequence[EnvironmentRequest],
    locks: Path,
    *,
    upgraded: Sequence[str],
    known: Collection[str] = (),
    allowed: Collection[str] | None = None,
    merge: bool,
    notes: list[str],
) -> tuple[EnvironmentRequest, ...]:
    """The requests with the versions of their old locks, as far as they are still allowed.

    Args:
        matrix: the facts.
        requests: the requests.
        locks: the folder of the locks.
        upgraded: packages whose versions are not kept.
        known: further names that may be upgraded, as another lock has them.
        allowed: the Pythons that the project allows; None for all.
        merge: whether to read locks with merge conflicts; without it they are an error.
        notes: a list for notes on locks that cannot be read.

    Raises:
        UsageError: a package to upgrade has no lock, or its lock does not have it.
        SettingsError: a lock has a merge conflict, or is invalid and has a package to upgrade.
    """
    names = frozenset(map(canonical_name, upgraded))
    found = []
    for request in _on_their_pythons(matrix, requests, locks, allowed, notes):
        path = locks / request.environment / lockfiles.filename(request.platform)
        versions = _versions(path, request, upgraded=upgraded, merge=merge, notes=notes)
        missing = sorted(names - {*versions, *map(canonical_name, known)})
        if missing:
            near = nearest(missing[0], versions)
            raise UsageError(
                f"`--upgrade-package {missing[0]}`: {path} holds no such package",
                hints=[f"did you mean `{near}`?"] if near else [f"kgen list {request.environment}"],
            )
        # what is preferred to the old lock stands in the request already
        free = {*names, *(wish.name for wish in request.held)}
        recorded = _recorded(path, {wish.name for wish in request.held} | names, merge=merge)
        commits = {} if names >= versions.keys() else _commits(path, request)
        held = (
            commits.get(name) or Requirement(f"{name}=={versions[name]}")
            for name in sorted(versions)
            if name not in free
        )
        again = request._replace(held=(*request.held, *held), recorded=(*request.recorded, *recorded))
        found.append(keeping(matrix, again))
    return tuple(found)


def _recorded(path: Path, free: Collection[str], *, merge: bool) -> Iterator[ProvenVersion | BoundedVersion]:
    """The recorded reasons for the kept versions that the matrix alone does not give."""
    try:
        content = files.read(path)
        both = sides(path, content, merge=merge)
        content = content if both is None else both[0]
        # few locks have any, and to parse one takes a while
        some = b"\nreceipts = " in content or b"\nnewer = " in content
        data = lockfiles.parse(path, content)[1] if some else {"tool": {"kgen": {}}}
    except (OSError, KgenError):
        return
    yield from (row for row in recorded_in(data["tool"]["kgen"]) if row.package not in free)


def _commits(path: Path, request: EnvironmentRequest) -> Mapping[str, Requirement]:
    """The commits of repositories in a lock, for requirements that are unchanged since."""
    if not any((one.url or "").startswith("git+") for one in request.dependencies):
        return {}
    try:
        lock, data = lockfiles.parse(path, files.read(path))
        made_for = {one.name: one.url for one in request_of(data["tool"]["kgen"]).dependencies}
    except (OSError, KgenError):
        return {}
    asked = {one.name: one.url for one in request.dependencies if one.url is not None}
    return {
        tree.name: Requirement(f"{tree.name} @ git+{tree.url}@{tree.commit}")
        for tree in lock.trees
        if tree.commit is not None and tree.name in asked and made_for.get(tree.name) == asked[tree.name]
    }


def _on_their_pythons(
    matrix: CompatibilityMatrix,
    requests: Sequence[EnvironmentRequest],
    locks: Path,
    allowed: Collection[str] | None,
    notes: list[str],
) -> Iterator[EnvironmentRequest]:
    """The requests, each on the Python of its old lock unless the user chose one.

    Environments of one generation of Keras share their Python: they keep it only if their locks agree and all of them
    can be solved on it.
    """
    groups: dict[str, list[EnvironmentRequest]] = {}
    for request in requests:
        groups.setdefault(matrix.generation_of(request.backends).name, []).append(request)
    kept = {}
    for name, group in groups.items():
        if not all(one.python_open for one in group):
            continue
        newest = group[0].python
        there = {_python(locks / one.environment / lockfiles.filename(one.platform)) for one in group} - {None}
        python = there.pop() if len(there) == 1 else None
        if python is None or python == newest or (allowed is not None and python not in allowed):
            continue
        if all(select(Problem(matrix, one._replace(python=python))) is not None for one in group):
            kept[name] = python
            environments = ", ".join(dict.fromkeys(one.environment for one in group))
            notes.append(f"{environments}: still for Python {python}, as locked; `--python {newest}` changes that")
    for request in requests:
        yield request._replace(python=kept.get(matrix.generation_of(request.backends).name, request.python))


def _python(path: Path) -> str | None:
    """The Python of a lock; None if there is no readable lock."""
    try:
        return grammar.python(tomli.loads(files.read_text(path, files.LARGE))["tool"]["kgen"]["python"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _versions(
    path: Path, request: EnvironmentRequest, *, upgraded: Sequence[str], merge: bool, notes: list[str]
) -> Mapping[str, str]:
    """The versions that may be kept of a lock; empty if there is none."""
    try:
        content = files.read(path)
    except (FileNotFoundError, NotADirectoryError):
        if not upgraded:
            return {}
        raise UsageError(
            f"`--upgrade-package`: {request.environment} has no lock for {request.platform} yet",
            hints=[f"kgen lock {request.name}"],
        ) from None
    except OSError as error:
        raise files.unreadable(path, error) from error
    both = sides(path, content, merge=merge)
    try:
        return versions_in(content) if both is None else shared(*both)
    except ValueError as error:
        if upgraded:
            raise SettingsError(f"{path}: {error}", hints=["kgen lock"]) from None
        notes.append(f"nothing is kept of {path}: {error}".splitlines()[0])
        return {}
