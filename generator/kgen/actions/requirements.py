"""What the project itself requires: in its `pyproject.toml`, its requirements files and its constraints files."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomli

from kgen import files, parsers, replay, trees
from kgen.actions import requirement_files, scripts, setuptools_files
from kgen.actions.pythons import poetry_range
from kgen.actions.requirement_files import RequirementFile
from kgen.actions.setuptools_files import SetuptoolsRequirements
from kgen.editable import SETUP_CFG, SETUPTOOLS_MODULE, ProjectBuild, finds_packages, project_build, setup_cfg
from kgen.errors import CallChange, KgenError, SettingsError, UsageError
from kgen.model import direct, grammar
from kgen.model.direct import DirectReference
from kgen.model.lockfile import LockedTree, Lockfile
from kgen.model.ranges import VersionRange
from kgen.model.requirement import Requirement, canonical_name
from kgen.project import LOCKS, PYPROJECT, repository
from kgen.settings import ProjectRequirements, Settings
from kgen.tables import mismatch, nearest
from kgen.workspace import workspace_of

FILES = ("requirement_files", "constraint_files")
"""The fields that name files."""


class _ForeignTable(NamedTuple):
    """A table of another tool that contains requirements.

    Attributes:
        tool: the tool.
        keys: the path of the table.
        on_index: whether its names are those of the Python index.
        command: the command that takes it over in a form that kgen reads.
    """

    tool: str
    keys: tuple[str, ...]
    on_index: bool
    command: str


_FOREIGN = (
    _ForeignTable("Poetry", ("tool", "poetry", "dependencies"), True, "uvx migrate-to-uv"),  # noqa: FBT003
    _ForeignTable("pixi", ("tool", "pixi", "pypi-dependencies"), True, "kgen add PACKAGE"),  # noqa: FBT003
    _ForeignTable("pixi", ("tool", "pixi", "dependencies"), False, "kgen add PACKAGE"),  # noqa: FBT003
)
PIXI = "pixi.toml"
"""The file in which pixi keeps its tables if `pyproject.toml` has none."""

_THEIR_PYTHON = "python"
"""An entry among the packages of a foreign table that is not a package."""


def given_in(folder: Path, root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Files that were named in a folder, in the form that the project's settings would have."""
    if files.resolved(folder) == root:
        return tuple(paths)
    return tuple(path if Path(path).is_absolute() else os.path.relpath(folder / path, root) for path in paths)


def with_project(settings: Settings) -> Settings:
    """The settings with what the project itself requires, as far as the settings include it.

    Raises:
        SettingsError: a requirement is invalid, or cannot be locked; names every fault.
        UsageError: there is no such extra or group.
        OutsideError: a file cannot be read.
    """
    reader = _Reader(settings)
    found = reader.read()
    if reader.faults:
        hints = [f"edit {files.typed(reader.faulty)}"] if reader.faulty else reader.where_to_edit()
        around = reader.around_faults() if reader.faulty else ()
        hints += [one.hint for one in around]
        error = SettingsError("\n".join(map(grammar.printable, reader.faults)), hints=hints)
        error.changes = tuple(around)
        raise error
    return found


class Part(NamedTuple):
    """A part of a project that is locked only on request.

    Attributes:
        field: the field of the settings that requests it, `extras` or `groups`.
        name: its name.
        brings: the packages that only it requires, among everything that is requested.
    """

    field: str
    name: str
    brings: frozenset[str]


def parts_of(settings: Settings, names: Collection[str]) -> tuple[Part, ...]:
    """The extras and groups of a project, not requested, that explain some packages; the largest first.

    Args:
        settings: the settings, with what the project requires.
        names: the packages.
    """
    if not settings.project:
        return ()
    asked = {"extras": settings.extras, "groups": settings.groups}
    found: list[Part] = []
    without = {one.name for one in settings.required.dependencies}
    for field, known in named_parts(settings.root).items():
        for name in (one for one in known if one not in asked[field]):
            with contextlib.suppress(KgenError):  # reported if it is requested
                wider = (*asked[field], name)
                other = settings._replace(extras=wider) if field == "extras" else settings._replace(groups=wider)
                more = with_project(other).required.dependencies
                own = [one for one in more if one.name not in without]
                # a requirement with a marker may be for another machine
                if {one.name for one in own if one.marker is None} <= {*names}:
                    found.append(Part(field, name, frozenset(one.name for one in own if one.name in names)))
    parts, left = [], {*names}
    for part in sorted(found, key=lambda one: -len(one.brings)):
        if part.brings & left:
            parts.append(part)
            left -= part.brings
    return tuple(parts)


def named_parts(root: Path) -> Mapping[str, Sequence[str]]:
    """The extras and groups that a project has, by the names of their fields.

    Raises:
        SettingsError: `pyproject.toml` cannot be read.
    """
    data = _pyproject(root)
    extras = {*_table(data, "project", "optional-dependencies")}
    with contextlib.suppress(ValueError):  # errors in them are reported if they are requested
        extras |= {*setuptools_files.declared(root, data).extras}
    every = {"extras": extras, "groups": _table(data, "dependency-groups")}
    return {field: sorted(set(map(canonical_name, names))) for field, names in every.items()}


def unnamed_trees(settings: Settings, lock: Lockfile) -> Iterator[LockedTree]:
    """The source trees that only the lock names; building one runs its code.

    The settings, the project's `pyproject.toml` and the folders that these name may name trees.

    Args:
        settings: the settings, without what the project requires.
        lock: the lock.

    Raises:
        SettingsError: what the project requires cannot be read.
    """
    if not lock.trees:
        return
    named = _named_places(settings)
    for tree in lock.trees:
        folder = tree.folder(lock.path)
        if (tree.url if folder is None else str(folder)) not in named:
            yield tree


def unnamed_trees_of(settings: Settings, requirements: Iterable[Requirement]) -> Iterator[Requirement]:
    """The requirements on source trees that only flags name.

    Args:
        settings: the settings, without flags and without what the project requires.
        requirements: the requirements.

    Raises:
        SettingsError: what the project requires cannot be read.
    """
    trees = [(one, direct.parse(one.url)) for one in requirements if one.url is not None]
    trees = [(one, reference) for one, reference in trees if reference.kind is not direct.Kind.FILE]
    named = _named_places(settings) if trees else frozenset()
    for one, reference in trees:
        path = reference.path(settings.root)
        if (reference.location if path is None else str(path)) not in named:
            yield one


def _named_places(settings: Settings) -> frozenset[str]:
    """The folders, and the URLs of repositories, that a project names."""
    settings = with_project(settings)
    root = settings.root
    lists = (
        settings.dependencies,
        settings.required.dependencies,
        *settings.backend_dependencies.values(),
        *(one.dependencies for one in settings.environments.values()),
    )
    data = _pyproject(root)
    optional, groups = _table(data, "project", "optional-dependencies"), _table(data, "dependency-groups")
    texts = [
        text for several in (*optional.values(), *groups.values()) if isinstance(several, list) for text in several
    ]
    found: set[str] = set()
    queue: list[tuple[Path, list[str]]] = [
        (root, [one.url for one in itertools.chain(*lists) if one.url is not None] + _urls_in(texts))
    ]
    for folder, urls in queue:
        references: list[DirectReference] = []
        with contextlib.suppress(ValueError, OSError):  # an invalid file names nothing
            references += trees.Places(trees.reading(folder), folder).every()
        for url in urls:
            with contextlib.suppress(ValueError):
                references.append(direct.parse(url))
        for reference in references:
            path = reference.path(folder)
            place = reference.location if path is None else str(path)
            if place not in found:
                found.add(place)
                if path is not None:
                    replay.looked(path)
                if path is not None and files.is_folder(path):
                    inner = _table(_pyproject(path), "project").get("dependencies", [])
                    queue.append((path, _urls_in(inner if isinstance(inner, list) else [])))
    return frozenset(found)


def _urls_in(texts: Sequence[object]) -> list[str]:
    found = []
    for text in texts:
        with contextlib.suppress(ValueError):
            url = Requirement(text).url if isinstance(text, str) else None
            found += [] if url is None else [url]
    return found


_PARTS = {"extra": "extra", "group": "dependency group"}
"""The flags, without their hyphens, that name parts of a project -> what such a part is."""


class _Source(NamedTuple):
    """A list of requirements.

    Attributes:
        place: where it is.
        what: a word or two for it.
        texts: the requirements.
        parse: parses one of them.
        file: the file that contains it.
    """

    place: str
    what: str
    texts: Sequence[object]
    parse: Callable[[str], Requirement] = parsers.parse_dependency
    file: str = PYPROJECT


class _Reader:
    """Reads what one project requires; collects faults."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.faults: list[str] = []
        self.faulty: str | None = None
        self._own: Sequence[Requirement] = ()
        self._faulty_parts: dict[str, None] = {}
        self._notes: list[str] = []
        self._build: tuple[Requirement, ...] = ()
        self._own_extras: list[str] = []
        self._inner_constraints: list[str] = []

    def read(self) -> Settings:
        """The settings with all requirements of the project."""
        files = list(self._of_files(self.settings.requirement_files, "requirement", parsers.parse_dependency))
        (noted, self._notes), (wrong, self.faults) = (self._notes, []), (self.faults, [])
        self._own = list(self._of_pyproject())
        dependencies = [*self._own, *files]
        self._notes += noted
        self.faults += wrong
        listed = dict.fromkeys((*self.settings.constraint_files, *self._inner_constraints))
        constraints = list(self._of_files(tuple(listed), "constraint", parsers.parse_requirement_flag))
        for one in constraints:
            if one.extras:
                self.faults.append(f"constraint `{one}`: a constraint brings nothing in, and so no extra")
        settings = self.settings
        required = ProjectRequirements(self._placed(dependencies), tuple(self._notes))
        return settings._replace(
            constraints=tuple(dict.fromkeys(constraints)),
            required=required,
            project_build=self._build,
            dependencies=self._placed(settings.dependencies),
            backend_dependencies={name: self._placed(own) for name, own in settings.backend_dependencies.items()},
            environments={
                name: one._replace(dependencies=self._placed(one.dependencies))
                for name, one in settings.environments.items()
            },
        )

    def where_to_edit(self) -> list[str]:
        """The files that may contain an invalid requirement, as hints; none if it can only come from a flag."""
        named = [*self.settings.requirement_files, *self.settings.constraint_files]
        if self.settings.file is not None:
            named.append(self.settings.file.name)
        return [f"edit {' or '.join(named)}"] if named else ["kgen lock --help   # `--dependency` is what names it"]

    def around_faults(self) -> Sequence[CallChange]:
        """The change of a call that leaves out what is wrong in the project's own file; nothing where none does."""
        if not (self.settings.extras or self.settings.groups):
            return (CallChange("kgen lock --no-project", meant=("--no-project",)),)
        kind, _, name = next(iter(self._faulty_parts), "").partition(" ")
        if len(self._faulty_parts) > 1 or kind not in _PARTS:
            return ()
        return (CallChange(f"leave `{name}` out: {_asks(f'--{kind}')}", (f"--{kind}", name)),)

    def _is_faulty(self, file: str, what: str) -> None:
        """Note that a part of the project is wrong, as `group dev`."""
        self.faulty = file
        self._faulty_parts[what] = None

    # -- places --------------------------------------------------------------------------------------------------------

    def _placed(self, requirements: Sequence[Requirement]) -> tuple[Requirement, ...]:
        """The requirements, with the places that the project takes them from, as its settings would name these."""
        return tuple(dict.fromkeys(map(self._in_place, requirements)))

    def _in_place(self, one: Requirement) -> Requirement:
        if one.url is None and self._places is None:
            return one
        root = self.settings.root
        try:
            reference = direct.reference_of(one) if self._places is None else self._places.of(one)
            if reference is None:
                return one
            reference = direct.within(reference, root, root, self._repository)
            self._require_place(one, reference)
        except ValueError as error:
            self.faulty = self.faulty or (PYPROJECT if one.url is None or one in self._own else None)
            self.faults.append(f"`{one.name}`: {error}" if f"`{one.name}`" not in str(error) else str(error))
            return one
        return direct.placed(one, reference)

    def _require_place(self, one: Requirement, reference: DirectReference) -> None:
        """Check that a place exists and may be a dependency.

        Raises:
            ValueError: it is not.
        """
        name, path = one.name, reference.path(self.settings.root)
        if path is None:
            return
        replay.looked(path)
        if reference.kind is direct.Kind.FILE:
            if not files.is_file(path):
                raise ValueError(f"`{name}` is to come from {path}, and there is no such file")
            return
        if path == self.settings.root:
            if self.settings.project and project_build(_pyproject(path), path) is None:
                raise ValueError(
                    f"`{name}` is the project itself, and no `build-system` in {PYPROJECT} says what builds it"
                )
            raise ValueError(f"`{name}` is the project itself, which `kgen sync` installs by itself")
        if not files.is_folder(path):
            instead = direct.as_range(one, reference)
            meant = "" if instead is None else f"; a version of the index is `{instead}`"
            raise ValueError(f"`{name}` is to come from {path}, and there is no such folder{meant}")
        if not reference.is_path and not self.settings.outside_folders:
            raise ValueError(
                f"`{name}` is to come from {path}, outside of the repository, where others do not have it;"
                " `outside-folders = true` (--outside-folders) allows that"
            )

    @functools.cached_property
    def _repository(self) -> Path | None:
        """The top folder of the project's repository."""
        return repository(self.settings.root)

    @functools.cached_property
    def _places(self) -> trees.Places | None:
        """Where `[tool.uv.sources]`, or that of the workspace, takes packages from; None where nothing is said."""
        root = self.settings.root
        workspace = workspace_of(root)
        if "sources" not in {
            **({} if workspace is None else workspace.settings),
            **_table(_pyproject(root), "tool", "uv"),
        }:
            return None
        try:
            return trees.Places(trees.reading(root), root)
        except ValueError as error:
            self.faulty = PYPROJECT
            self.faults.append(f"{PYPROJECT}: {error}")
            return None

    # -- pyproject.toml ------------------------------------------------------------------------------------------------

    def _of_pyproject(self) -> Iterator[Requirement]:
        settings = self.settings
        if not settings.project:
            if settings.extras or settings.groups:
                flag = "--extra" if settings.extras else "--group"
                error = UsageError(
                    f"`{flag}` names a part of {PYPROJECT}, and `project = false` (--no-project) has that left out",
                    hints=["kgen lock --project"],
                )
                error.changes = (
                    CallChange("kgen lock --project", ("--no-project",)),
                    CallChange("kgen lock --project", meant=("--project",)),
                )
                raise error
            named = PYPROJECT if _pyproject(settings.root) else None
            if named is None and setuptools_files.declared(settings.root, {}).dependencies is not None:
                named = SETUP_CFG
            if named is not None:
                self._notes.append(f"what {named} requires is left out: `project = false`")
            return
        data = _pyproject(settings.root)
        build = self._built(data)
        self._build = tuple(self._builds(data, build))
        beside = self._beside(data, build)
        sources = [*self._project(data, beside), *self._groups(data)]
        _require_compatible(data, [source.what for source in sources])
        for source in sources:
            yield from self._parsed(source)
        foreign = list(self._foreign(data))
        yield from foreign
        self._note_unread_tools(data)
        self._note_unread_files()
        counted: dict[str, list[str]] = {}
        for source in sources:
            if source.texts:
                counted.setdefault(source.file, []).append(f"{len(source.texts)} of {source.what}")
        if foreign:
            counted.setdefault(PYPROJECT, []).append(f"{len(foreign)} of tool tables")
        for file, said in counted.items():
            self._notes.append(
                f"{file} requires more, which is locked too: {', '.join(said)}; `project = false` leaves it out"
            )

    def _built(self, data: Mapping[str, Any]) -> ProjectBuild | None:
        """How the project itself is built; None if it is not built, or declares that wrongly."""
        try:
            return project_build(data, self.settings.root)
        except ValueError as error:
            self.faulty = PYPROJECT
            self.faults.append(f"{PYPROJECT}: {error}")
            return None

    def _beside(self, data: Mapping[str, Any], build: ProjectBuild | None) -> SetuptoolsRequirements:
        """What setuptools' own files require; nothing if the project's build backend does not read them."""
        if build is not None and build.backend.partition(".")[0] != SETUPTOOLS_MODULE:
            # a backend of the project's own, around setuptools, leaves `setup.cfg` to say what is built
            named = setup_cfg(self.settings.root, "metadata", "name")
            if isinstance(data.get("project"), Mapping) or named != build.name:
                return SetuptoolsRequirements()
        try:
            found = setuptools_files.declared(self.settings.root, data)
        except ValueError as error:
            self.faulty = str(error).partition(":")[0]
            self.faults.append(str(error))
            return SetuptoolsRequirements()
        if found.unread is not None:
            self._notes.append(f"what {found.unread} requires is not read, as it is a program; `--dependency` names it")
        return found

    def _builds(self, data: Mapping[str, Any], build: ProjectBuild | None) -> Iterator[Requirement]:
        """The build requirements of the project itself."""
        if build is not None:
            if finds_packages(data, build, self.settings.root):
                self._notes.append(
                    f"setuptools finds the packages of this project by itself, and takes {LOCKS}/ for one:"
                    f" `{_packages_named(build.name, self.settings.root)}` in [tool.setuptools] of {PYPROJECT}"
                    " leaves it out"
                )
            yield from self._parsed(
                _Source("build-system.requires", "build requirements", build.requires, parsers.parse_requirement_flag)
            )

    def _project(self, data: Mapping[str, Any], beside: SetuptoolsRequirements) -> Iterator[_Source]:
        project = data.get("project")
        if not isinstance(project, Mapping):
            project = {"name": setup_cfg(self.settings.root, "metadata", "name")}
        dynamic = project.get("dynamic")
        always = beside.dependencies
        if always is None and beside.unread is None and isinstance(dynamic, list) and "dependencies" in dynamic:
            self._notes.append(f"the dependencies of {PYPROJECT} are dynamic, and not read; `--dependency` names them")
        if always is None:
            yield _Source("project.dependencies", "dependencies", self._list(project, "project", "dependencies"))
        else:
            yield _Source(always.place, "dependencies", always.texts, file=always.file)
        optional = project.get("optional-dependencies", {})
        keys = {canonical_name(key): key for key in optional} if isinstance(optional, Mapping) else {}
        table: Mapping[str, object] = {**keys, **beside.extras}
        own = canonical_name(name) if isinstance(name := project.get("name"), str) else None
        queue = [*self.settings.extras, *(one for one in self._own_extras if one not in self.settings.extras)]
        for extra in queue:  # grows while extras name other extras of the project
            if extra not in table:
                file = next((one.file for one in beside.extras.values()), PYPROJECT)
                groups = map(canonical_name, _table(_pyproject(self.settings.root), "dependency-groups"))
                raise _unknown(self.settings.root / file, "extra", extra, {"extra": set(table), "group": set(groups)})
            listed = beside.extras.get(extra)
            texts: Sequence[object]
            if listed is None:
                key = keys[extra]
                source = _Source(f"project.optional-dependencies.{key}", f"extra {key}", ())
                texts = self._list(optional, "project.optional-dependencies", key)
            else:
                source = _Source(listed.place, f"extra {extra}", (), file=listed.file)
                texts = listed.texts
            rest = []
            for text in texts:
                inner = _extras_of(text, own)
                queue += [one for one in inner if one not in queue]
                if not inner:
                    rest.append(text)
            yield source._replace(texts=rest)

    def _groups(self, data: Mapping[str, Any]) -> Iterator[_Source]:
        if not self.settings.groups:
            return
        groups = data.get("dependency-groups", {})
        names = {canonical_name(key) for key in groups} if isinstance(groups, Mapping) else set()
        from packaging.dependency_groups import resolve_dependency_groups  # noqa: PLC0415 - few ask for a group
        from packaging.errors import ExceptionGroup  # noqa: PLC0415

        for group in self.settings.groups:
            if group not in names:
                extras = set(map(canonical_name, _table(data, "project", "optional-dependencies")))
                raise _unknown(self.settings.root / PYPROJECT, "group", group, {"extra": extras, "group": names})
            wrong = [] if not isinstance(groups, Mapping) else list(_wrong_in(groups, group))
            texts: Sequence[object] = ()
            try:
                texts = () if wrong else resolve_dependency_groups(groups, group)
            except (ValueError, LookupError, TypeError, ExceptionGroup) as error:
                wrong = [f"{group}: {one}" for one in _leaves(error)]
            if wrong:
                self._is_faulty(PYPROJECT, f"group {group}")
                self.faults += [f"{PYPROJECT}: dependency-groups.{one}".splitlines()[0] for one in wrong]
                continue
            yield _Source(f"dependency-groups.{group}", f"group {group}", texts)

    def _list(self, table: Mapping[str, Any], path: str, key: str) -> list[object]:
        value = table.get(key, [])
        if not isinstance(value, list):
            self._is_faulty(PYPROJECT, "dependencies" if path == "project" else f"extra {key}")
            self.faults.append(f"{PYPROJECT}: {path}.{key}: should be an array")
            return []
        return value

    def _parsed(self, source: _Source) -> Iterator[Requirement]:
        for text in source.texts:
            if not isinstance(text, str):
                self._is_faulty(source.file, source.what)
                self.faults.append(f"{source.file}: {source.place}: {mismatch(text, str)}")
                continue
            try:
                yield source.parse(text)
            except ValueError as error:
                self._is_faulty(source.file, source.what)
                self.faults.append(f"{source.file}: {source.place}: {error}")

    def _foreign(self, data: Mapping[str, Any]) -> Iterator[Requirement]:
        """Requirements in tables of other tools that mean the same as in the standard's; the rest is only reported."""
        standard = data.get("project") if isinstance(data.get("project"), Mapping) else None
        for foreign in _FOREIGN:
            table = _table(data, *foreign.keys)
            taken = {one.name for one in (*self.settings.dependencies, *self.settings.require)}
            taken |= _names_in(() if standard is None else standard.get("dependencies"))
            ignored = []
            for name, value in table.items():
                if name == _THEIR_PYTHON:
                    # Poetry's table has the project's Python range; in pixi's, Python is a conda package
                    if not (_is_range(value) if foreign.on_index else self.settings.python or standard):
                        ignored.append(name)
                    continue
                # beside the standard's table, Poetry's has the sources of packages, and what concerns Poetry only
                found = _plain(name, value) if foreign.on_index and standard is None else None
                if found is not None:
                    yield found
                elif canonical_name(name) not in taken:  # otherwise `kgen init --from` put it into the settings
                    ignored.append(name)
            self._note_ignored(ignored, ".".join(foreign.keys), foreign)

    def _note_ignored(self, names: Sequence[str], table: str, foreign: _ForeignTable) -> None:
        if names:
            self._notes.append(
                grammar.printable(
                    f"kgen ignores {', '.join(names)} in [{table}] of {PYPROJECT}, which only {foreign.tool} reads;"
                    f" `{foreign.command}` converts it"
                )
            )

    def _note_unread_tools(self, data: Mapping[str, Any]) -> None:
        """Report Poetry's groups, and pixi's own file, which only `kgen init --from` reads."""
        taken = {one.name for one in (*self.settings.dependencies, *self.settings.require)}
        poetry = _table(data, "tool", "poetry")
        groups = {
            f"group.{name}.dependencies": _table(poetry, "group", name, "dependencies")
            for name in _table(poetry, "group")
        }
        for key, rows in {**groups, "dev-dependencies": _table(poetry, "dev-dependencies")}.items():
            ignored = [name for name in rows if canonical_name(name) not in taken]
            self._note_ignored(ignored, f"tool.poetry.{key}", _FOREIGN[0])
        replay.looked(self.settings.root / PIXI)
        if self.settings.file is None and files.is_file(self.settings.root / PIXI):
            self._notes.append(f"kgen ignores {PIXI}, which only pixi reads; `kgen init --from pixi` takes it over")

    def _note_unread_files(self) -> None:
        """Report files with requirements of a project without settings, which kgen reads only if they are named."""
        root = self.settings.root
        replay.looked(root / PYPROJECT)
        if self.settings.file is not None or self.settings.requirement_files or files.exists(root / PYPROJECT):
            return
        for name, how in _UNREAD_FILES.items():
            replay.looked(root / name)
            if files.is_file(root / name):
                self._notes.append(f"kgen ignores {name}; {how}")

    def _is_own(self, one: Requirement) -> bool:
        """Whether a requirement in a file is the project itself, which `kgen sync` installs."""
        root = self.settings.root
        if one.url is None or not self.settings.project:
            return False
        with contextlib.suppress(ValueError):
            reference = direct.reference_of(one)
            path = None if reference is None else reference.path(root)
            if path is None or files.resolved(path) != root:
                return False
            return project_build(_pyproject(root), root) is not None
        return False

    def _note_unread(self, read: Iterable[RequirementFile]) -> None:
        """Report what files contain besides requirements; keep the constraints files that they name."""
        for one in read:
            found = sorted({match[1] for match in _UNREAD.finditer(one.text)})
            if found:
                said = f"kgen ignores {', '.join(found)} in {grammar.printable(one.path)}"
                self._notes.append(
                    f"{said}: the lock has hashes of its own, and uv is configured for indexes in uv.toml"
                )
            self._inner_constraints += one.constraints

    # -- files ---------------------------------------------------------------------------------------------------------

    def _of_files(self, paths: Sequence[str], what: str, parse: Callable[[str], Requirement]) -> Iterator[Requirement]:
        root = self.settings.root
        for path in paths:
            try:
                script = scripts.read(root / path) if path.endswith(scripts.SUFFIX) else None
            except OSError:
                script = None  # uv reports why
            except ValueError as error:
                self.faults.append(f"{path}: {error}")
                continue
            inner = tuple(requirement_files.with_inner(path, root)) if script is None else ()
            texts = () if script is None else script.dependencies
            if script is None:
                texts = requirement_files.requirements_in(path, root, inner)
            for text in texts:
                try:
                    one = parse(text)
                except ValueError as error:
                    self.faults.append(f"{path}: {error}")
                    continue
                if self._is_own(one):
                    # `-e .[plot]`: `kgen sync` installs the project, and what the extra brings in is locked
                    self._own_extras += sorted(map(canonical_name, one.extras))
                    texts = tuple(other for other in texts if other != text)
                else:
                    yield one
            self._note_unread(inner)
            self._notes += [
                f"[tool.{tool}] in {grammar.printable(path)} is not read"
                for tool in (() if script is None else script.tools)
            ]
            self._notes.append(f"{len(texts)} {what}{'' if len(texts) == 1 else 's'} of {grammar.printable(path)}")


_UNREAD_FILES = {
    "requirements.txt": "`-r requirements.txt` has what is in it locked, and `kgen init --from requirements.txt` takes"
    " it over",
    "environment.yml": "`kgen init --from environment.yml` takes it over",
    "environment.yaml": "`kgen init --from environment.yaml` takes it over",
}
"""Files that other tools read by default, and the command that makes kgen read them."""

_UNREAD = re.compile(
    r"(?m)(?:^|(?<=\s))(--(?:hash|index-url|extra-index-url|find-links|no-index|no-binary|only-binary|pre|trusted-host"
    r"|config-settings?|global-option|use-feature)|-i|-f)(?=[\s=]|$)"
)
"""Options in requirements files about how pip fetches packages: uv has its own indexes, and a lock has hashes."""


def _pyproject(root: Path) -> Mapping[str, Any]:
    """The content of the project's `pyproject.toml`; empty if there is none.

    Raises:
        SettingsError: it is not TOML.
    """
    try:
        content = files.read(root / PYPROJECT, files.SMALL)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(
            f"{root / PYPROJECT} cannot be read: {error.strerror or error}",
            hints=[f"ls -l {files.typed(root / PYPROJECT)}"],
        ) from None
    try:
        return tomli.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        said = grammar.printable(str(error))
        raise SettingsError(
            f"{root / PYPROJECT} is not valid TOML: {said}",
            hints=[f"edit {files.typed(root / PYPROJECT)}"],
        ) from None


def _table(data: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """A table by its keys; an empty one if there is none."""
    table: object = data
    for key in keys:
        table = table.get(key) if isinstance(table, Mapping) else None
    return table if isinstance(table, Mapping) else {}


def _require_compatible(data: Mapping[str, Any], asked: Collection[str]) -> None:
    """Check that the requested extras and groups do not exclude each other according to the project.

    Args:
        data: the content of `pyproject.toml`.
        asked: the requested parts of the project, as `extra dev` and `group test`.

    Raises:
        UsageError: they do.
    """
    there = {(kind, canonical_name(name)) for kind, _, name in (one.partition(" ") for one in asked)}
    sets = _table(data, "tool", "uv").get("conflicts")
    for one in sets if isinstance(sets, list) else ():
        rows = [row for row in one if isinstance(row, Mapping)] if isinstance(one, list) else []
        named = ((kind, row.get(kind)) for row in rows for kind in ("extra", "group"))
        both = [(kind, name) for kind, name in named if isinstance(name, str) and (kind, canonical_name(name)) in there]
        if len(both) > 1:
            listed = " and ".join(f"{kind} {grammar.shown(name)}" for kind, name in both)
            hints = [f"leave {kind} {grammar.shown(name)} out" for kind, name in both]
            error = UsageError(
                f"{listed} exclude each other, as `conflicts` of [tool.uv] in {PYPROJECT} says", hints=hints
            )
            error.changes = tuple(
                CallChange(hint, (f"--{kind}", name)) for hint, (kind, name) in zip(hints, both, strict=True)
            )
            raise error


def _wrong_in(groups: Mapping[str, Any], name: str) -> Iterator[str]:
    """The requirements of a dependency group, and of those that it includes, which are none: each behind its group."""
    keys = {canonical_name(key): key for key in groups}
    queue = [canonical_name(name)]
    for one in queue:  # grows by the groups that it includes
        listed = groups[keys[one]] if one in keys else ()
        for item in listed if isinstance(listed, list) else ():
            inner = item.get("include-group") if isinstance(item, Mapping) else None
            if isinstance(inner, str) and canonical_name(inner) not in queue:
                queue.append(canonical_name(inner))
            if isinstance(item, str):
                try:
                    parsers.parse_dependency(item)
                except ValueError as error:
                    yield f"{keys[one]}: {error}"


def _asks(flag: str) -> str:
    return f"`{flag}`, or `{flag.strip('-')}s` in the settings, asks for it"


def _unknown(file: Path, kind: str, name: str, parts: Mapping[str, Collection[str]]) -> UsageError:
    """That a project has no extra or dependency group of a name.

    Args:
        file: the file that has them.
        kind: what was asked for, `extra` or `group`.
        name: its name.
        parts: kind -> the names that there are.
    """
    typed = (f"--{kind}", name)
    if not files.is_file(file):
        hint = "kgen lock --dependency PACKAGE   # a package by its own name"
        error = UsageError(
            f"there is no {file.name} in {file.parent}, which `{' '.join(typed)}` names a part of", hints=[hint]
        )
        error.changes = (CallChange(hint, typed),)
        return error
    what, there = _PARTS[kind], parts[kind]
    near, other = nearest(name, there), next((one for one in _PARTS if one != kind and name in parts[one]), None)
    listed = f"there are {', '.join(sorted(there))}" if there else f"it has no {what}"
    meant: tuple[str, ...] = ()
    if other is not None:
        listed = f"`{name}` is {'an' if other[0] in 'aeiou' else 'a'} {_PARTS[other]}"
        hint, meant = f"ask for it by `--{other}`", (f"--{other}", name)
    elif near is not None:
        hint, meant = f"did you mean `{near}`? {_asks(typed[0])}", (typed[0], near)
    else:
        hint = f"edit {file.name}, or leave `{name}` out: {_asks(typed[0])}"
    error = UsageError(f"{file.name} has no {what} `{name}`; {listed}", hints=[hint])
    error.changes = (CallChange(hint, typed, meant),)
    return error


def _extras_of(text: object, own: str | None) -> Sequence[str]:
    """The extras of the project itself in a requirement; () if it is on another package."""
    if own is None or not isinstance(text, str):
        return ()
    try:
        found = Requirement(text)
    except ValueError:
        return ()
    return tuple(sorted(map(canonical_name, found.extras))) if found.name == own else ()


def _packages_named(name: str, root: Path) -> str:
    """The setting that tells setuptools the project's packages, given their usual name."""
    module = canonical_name(name).replace("-", "_")
    for place in (module, f"{module}.py"):
        replay.looked(root / place)
    if files.is_file(root / f"{module}.py"):
        return f'py-modules = ["{module}"]'
    return f'packages.find.include = ["{module if files.is_folder(root / module) else "PACKAGE"}*"]'


def _names_in(texts: object) -> set[str]:
    """The packages in a list of requirements."""
    found = set()
    for text in texts if isinstance(texts, list | tuple) else ():
        with contextlib.suppress(ValueError):
            found |= {Requirement(text).name} if isinstance(text, str) else set()
    return found


def _is_range(value: object) -> bool:
    """Whether kgen can read a Python range in Poetry's syntax."""
    with contextlib.suppress(ValueError):
        return isinstance(value, str) and VersionRange(poetry_range(value)) is not None
    return False


def _plain(name: str, value: object) -> Requirement | None:
    """A row of a foreign table as a requirement; None if it does not mean the same by the standard."""
    if not isinstance(value, str):
        return None
    try:
        return parsers.parse_requirement_flag(name if value.strip() == "*" else f"{name}{_pinned(value)}")
    except ValueError:
        return None


def _pinned(value: str) -> str:
    """A valid specifier, or ValueError: a version alone is not one, and tools read it differently."""
    return str(parsers.parse_specifiers(value))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    inner: Callable[[], Sequence[BaseException]] | Sequence[BaseException] | None = getattr(error, "exceptions", None)
    if isinstance(inner, Sequence):
        for one in inner:
            yield from _leaves(one)
    else:
        yield error
