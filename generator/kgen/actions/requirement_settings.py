"""Adds requirements to the settings of a project, and removes them, without changing anything else in the file."""

from __future__ import annotations

import codecs
import contextlib
import re
import shlex
from collections.abc import Callable, MutableMapping, MutableSequence, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomlkit

from kgen import accelerators, files, lockfiles, parsers, settings
from kgen.actions import did_you_mean
from kgen.actions.requirements import with_project
from kgen.editable import SETUP_CFG
from kgen.errors import ContradictionError, KgenError, SettingsError, UnknownNameError, UsageError
from kgen.fields import BY_NAME
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model import direct, grammar
from kgen.model.requirement import Requirement, canonical_name
from kgen.project import KGEN_TOML, LOCKS, PYPROJECT, locate
from kgen.storage import write_file
from kgen.tables import nearest

_DEPENDENCIES = "dependencies"
_ALIKE = 0.75
"""Similarity, from 0 to 1, from which a name is suggested for removal."""

_BUILD = str(BY_NAME["build"].key)


class Place(NamedTuple):
    """The list of requirements to edit.

    Attributes:
        backend: the backend whose environments have the list; None for another list.
        environment: the joint environment that has the list; None for another list.
    """

    backend: str | None = None
    environment: str | None = None

    @property
    def words(self) -> str:
        """What the user types for it, after a space; empty for the list of every environment."""
        given = (("--backend", self.backend), ("--env", self.environment))
        return "".join(f" {flag} {shlex.quote(value)}" for flag, value in given if value is not None)


EVERY = Place()
"""The list of requirements for every environment."""


class Edit(NamedTuple):
    """A settings file, before and after.

    Attributes:
        path: the file.
        before: its content; None if there was no file.
        after: its new content.
        changed: the name of each requirement in messages: its text, or its package.
        built: the packages that may now be built from source.
        unasked: the backend whose environments get the addition, if the settings request none of them.
    """

    path: Path
    before: bytes | None
    after: bytes
    changed: tuple[str, ...]
    built: tuple[str, ...] = ()
    unasked: str | None = None

    def write(self) -> None:
        """Write the new content.

        Raises:
            OutsideError: the file cannot be written.
        """
        write_file(self.path, self.after)

    def undo(self) -> None:
        """Write the previous content.

        Raises:
            OutsideError: the file cannot be written.
        """
        if self.before is None:
            self.path.unlink(missing_ok=True)
        else:
            write_file(self.path, self.before)


def add(
    root: Path,
    matrix: CompatibilityMatrix,
    texts: Sequence[str],
    place: Place = EVERY,
    built: Sequence[str] = (),
) -> Edit:
    """The settings with additional requirements; one on a package that is listed already replaces that.

    Args:
        root: the project's folder, which has settings.
        matrix: the facts.
        texts: the requirements.
        place: the list to add them to.
        built: packages that may be built from source.

    Raises:
        UsageError: one is not a requirement, or there is no such list.
        SettingsError: the settings are wrong.
    """
    wanted = [_parsed(text, "add", place, matrix) for text in texts]
    for text, one in zip(texts, wanted, strict=True):
        if one.marker is not None and re.search(r"\bextra\b", str(one.marker)):
            raise UsageError(
                f"`{one}` is never installed: a marker on `extra` holds for what a package offers alone",
                hints=[f"kgen add {shlex.quote(f'{one.head}{one.specifier}')}{place.words}"],
            )
        if one.name in matrix.short_names and not one.specifier:
            raise UnknownNameError(
                f"`{one.name}` is a backend, and kgen chooses its release for each environment",
                hints=[did_you_mean.call(text, matrix) or f"kgen lock {one.name}"],
            )
    _require_places(root, wanted, place)

    def change(rows: MutableMapping[str, Any]) -> tuple[str, ...]:
        array = _array(rows, _DEPENDENCIES) if wanted else []
        for requirement in wanted:
            there = [at for at, one in enumerate(array) if _name_of(one) == requirement.name]
            if there:
                array[there[0]] = str(requirement)
            else:
                array.append(str(requirement))
        return tuple(map(str, wanted))

    def allow(top: MutableMapping[str, Any]) -> None:
        array = _array(top, _BUILD) if built else []
        has = {canonical_name(str(one)) for one in array}
        for name in built:
            if name not in has:
                array.append(name)

    edit = _edited(root, matrix, place, change, allow)
    return edit._replace(built=tuple(built), unasked=_unasked(root, matrix, place))


def _unasked(root: Path, matrix: CompatibilityMatrix, place: Place) -> str | None:
    """The backend of a list, if the settings name backends but not this one."""
    if place.backend is None:
        return None
    known = settings.read(root, matrix)
    name = parsers.parse_backend(place.backend, matrix)
    asked = {*(known.backends or (name,)), *(one for joint in known.environments.values() for one in joint.backends)}
    return None if name in asked else name


def _array(rows: MutableMapping[str, Any], key: str) -> MutableSequence[Any]:
    """A list in the settings, created if it is missing."""
    if key not in rows:
        rows[key] = tomlkit.array()
    found: MutableSequence[Any] = rows[key]
    return found


def _elsewhere(root: Path, matrix: CompatibilityMatrix, name: str, place: Place) -> list[str]:
    """Where a package is required outside the lists of the settings, as hints."""
    found = settings.read(root, matrix)
    lists = {
        EVERY: found.dependencies,
        **{Place(backend=backend): own for backend, own in found.backend_dependencies.items()},
        **{Place(environment=one): own.dependencies for one, own in found.environments.items()},
    }
    others = [other for other, own in lists.items() if other != place and name in {one.name for one in own}]
    if others:
        return [f"kgen remove {shlex.quote(name)}{other.words}" for other in others]
    with contextlib.suppress(KgenError):  # `kgen lock` reports what is wrong with it
        if name in {one.name for one in with_project(found).required.dependencies}:
            named = [name for name in (PYPROJECT, SETUP_CFG) if found.project and files.is_file(root / name)]
            return [f"edit {' or '.join([*named, *found.requirement_files])}: it is required there"]
    return []


def _as_backend(root: Path, matrix: CompatibilityMatrix, name: str) -> list[str]:
    """What to do to remove a backend or an environment that the user named like a requirement, as hints."""
    path = locate(root)
    locked = [one.name for one in lockfiles.environments(root)]
    gone = [one for one in locked if name in {one, accelerators.without_ending(one)}]
    found = [f"rm -r {LOCKS}/{one}   # removes the lock" for one in gone]
    if path is not None and name in (settings.read(root, matrix).backends or (matrix.short_names if gone else ())):
        found.insert(0, f"take {name} out of `backends` in {files.typed(path)}: it is a backend")
    return found


def remove(root: Path, matrix: CompatibilityMatrix, names: Sequence[str], place: Place = EVERY) -> Edit:
    """The settings without their requirements for some packages.

    Args:
        root: the project's folder, which has settings.
        matrix: the facts.
        names: the packages.
        place: the list to remove them from.

    Raises:
        UsageError: the list has no requirement for one of them, or there is no such list.
        SettingsError: the settings are wrong.
    """
    wanted = [_parsed(name, "remove", place, matrix).name for name in names]

    def change(rows: MutableMapping[str, Any]) -> tuple[str, ...]:
        array = rows.get(_DEPENDENCIES, ())
        has = [_name_of(one) for one in array]
        for name in wanted:
            if name not in has:
                near = nearest(name, [one for one in has if one is not None], _ALIKE)
                listed = ", ".join(filter(None, has)) or "nothing"
                hints = [f"kgen remove {near}{place.words}"] if near else ["kgen list"]
                raise UsageError(
                    f"the settings do not require `{name}` there; they require {listed}",
                    hints=_elsewhere(root, matrix, name, place) or _as_backend(root, matrix, name) or hints,
                )
        for at in reversed(range(len(has))):
            if has[at] in wanted:
                del array[at]
        return tuple(wanted)

    return _edited(root, matrix, place, change)


def _parsed(text: str, command: str, place: Place, matrix: CompatibilityMatrix) -> Requirement:
    try:
        return parsers.parse_dependency(text)
    except ValueError as error:
        parts = parsers.several(text, parsers.parse_dependency)
        if parts:
            raise UsageError(
                f"`{grammar.shown(text)}` names several packages",
                hints=[f"kgen {command} {shlex.join(parts)}{place.words}"],
            ) from None
        _require_no_flag(text, matrix)
        named = parsers.with_name(text)
        general = "give a package of the index, such as scikit-learn>=1.5, or the place of one: mylib @ ./libs/mylib"
        fault = UsageError(
            str(error), hints=[general if named is None else f"kgen {command} {shlex.quote(named)}{place.words}"]
        )
        meant = parsers.as_requirement(text)
        fault.readings = (text, (meant,)) if meant is not None else None
        raise fault from None


def _require_no_flag(text: str, matrix: CompatibilityMatrix) -> None:
    """Check that a package is not something that a flag requests.

    Raises:
        UsageError: it is, like conda's `python=3.11` and `cudatoolkit=11.8`.
    """
    call = did_you_mean.call(text, matrix, flags_alone=True)
    if call is not None:
        raise UsageError(f"`{grammar.shown(text)}` is not a package of the index, but part of a request", hints=[call])


def bound_of(text: str) -> Requirement | None:
    """A requirement that says more than a package's name; None if it does not, or is not a requirement."""
    with contextlib.suppress(ValueError):
        found = parsers.parse_dependency(text)
        return found if found.specifier or found.url is not None else None
    return None


def _require_places(root: Path, wanted: Sequence[Requirement], place: Place) -> None:
    """Check that local packages exist, before the settings name them.

    Raises:
        UsageError: one does not; with the call that was meant, if the place is a version.
    """
    calls: list[str] = []
    missing, versions = None, True
    for one in wanted:
        reference = direct.reference_of(one)
        path = None if reference is None else reference.path(root)
        if reference is None or path is None or files.exists(path):
            calls.append(str(one))
            continue
        instead = direct.as_range(one, reference)
        versions = versions and instead is not None
        calls.append(instead or str(one))
        if missing is None:
            what = "file" if reference.kind is direct.Kind.FILE else "folder"
            missing = f"`{one.name}` is to come from {grammar.printable(str(path))}, and there is no such {what}"
            if instead is not None:
                missing += "; what follows `@` is a place, and no version"
    if missing is not None:
        # a package of the same name on the index may be another one
        begins = f"a path begins at {grammar.printable(str(root))}, the project's folder"
        meant = f"kgen add {shlex.join(calls)}{place.words}" if versions else begins
        raise UsageError(missing, hints=[meant])


def _name_of(text: object) -> str | None:
    """The package of a requirement in the settings, which were checked before."""
    return canonical_name(Requirement(str(text)).name) if isinstance(text, str) else None


def _edited(
    root: Path,
    matrix: CompatibilityMatrix,
    place: Place,
    change: Callable[[MutableMapping[str, Any]], tuple[str, ...]],
    change_top: Callable[[MutableMapping[str, Any]], None] = lambda _top: None,
) -> Edit:
    path = locate(root)
    if path is None:
        raise SettingsError(f"there are no settings in {root}", hints=["kgen init"])
    known = settings.read(root, matrix)
    before = files.read(path, files.SMALL)
    document = tomlkit.parse(before.decode("utf-8-sig"))
    top: MutableMapping[str, Any] = document
    if path.name != KGEN_TOML:
        top = document["tool"]["kgen"]
    changed = change(_table(top, place, known, matrix))
    change_top(top)
    return Edit(path, before, _as_before(tomlkit.dumps(document).encode(), before), changed)


def _as_before(after: bytes, before: bytes) -> bytes:
    """The new content with the byte order mark and the line endings of the file."""
    if b"\r\n" in before and before.count(b"\n") == before.count(b"\r\n"):
        after = after.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return codecs.BOM_UTF8 + after if before.startswith(codecs.BOM_UTF8) else after


def _table(
    top: MutableMapping[str, Any], place: Place, known: settings.Settings, matrix: CompatibilityMatrix
) -> MutableMapping[str, Any]:
    """The table that has the list, created if it is a backend's."""
    if place.backend is not None and place.environment is not None:
        raise ContradictionError("`--backend` and `--env` contradict each other", hints=["give one of them"])
    if place.environment is not None:
        if place.environment not in known.environments:
            near = nearest(place.environment, known.environments)
            backend = accelerators.without_ending(place.environment)
            known_names = ", ".join(known.environments) or "none"
            raise UnknownNameError(
                f"the settings have no joint environment `{grammar.shown(place.environment)}`; they have {known_names}",
                hints=[
                    f"did you mean `--backend {backend}`?"
                    if backend in matrix.backends
                    else f"did you mean `--env {near}`?"
                    if near
                    else "kgen add --help"
                ],
            )
        found: MutableMapping[str, Any] = top["environment"][place.environment]
        return found
    if place.backend is None:
        return top
    try:
        name = parsers.parse_backend(place.backend, matrix)
    except ValueError as error:
        raise UsageError(f"--backend: {error}") from None
    if "backend" not in top:
        top["backend"] = tomlkit.table(is_super_table=True)
    of = top["backend"]
    if name not in of:
        of[name] = tomlkit.table()
    row: MutableMapping[str, Any] = of[name]
    return row
