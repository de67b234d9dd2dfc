"""What the project requires by itself: in its `pyproject.toml`, in files of requirements and of constraints."""

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
from kgen.actions import scripts, setuptools_files
from kgen.actions.pythons import poetry_range
from kgen.actions.setuptools_files import SetuptoolsRequirements
from kgen.editable import SETUP_CFG, SETUPTOOLS_MODULE, ProjectBuild, finds_packages, project_build, setup_cfg
from kgen.errors import KgenError, SettingsError, UsageError
from kgen.model import direct, grammar
from kgen.model.direct import DirectReference
from kgen.model.lockfile import LockedTree, Lockfile
from kgen.model.ranges import VersionRange
from kgen.model.requirement import Requirement, canonical_name
from kgen.project import LOCKS, PYPROJECT
from kgen.settings import ProjectRequirements, Settings
from kgen.tables import mismatch, nearest

FILES = ("requirement_files", "constraint_files")
"""The fields that name files."""


class _ForeignTable(NamedTuple):
    """A table of another tool that names requirements.

    Attributes:
        tool: the tool.
        keys: where the table is.
        on_index: whether its names are those of the Python index.
        command: what says it in a form that kgen reads.
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
"""The file that pixi keeps its tables in, where `pyproject.toml` has none."""

_THEIR_PYTHON = "python"
"""What is among the packages of a foreign table, and is none."""


def given_in(folder: Path, root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Files that were named in a folder, as the settings of the project would name them."""
    if files.resolved(folder) == root:
        return tuple(paths)
    return tuple(path if Path(path).is_absolute() else os.path.relpath(folder / path, root) for path in paths)


def with_project(settings: Settings) -> Settings:
    """The settings with what the project requires by itself, as far as they ask for it.

    Raises:
        SettingsError: a requirement is none, or one that cannot be locked; with every fault.
        UsageError: there is no such extra or group.
        OutsideError: a file cannot be read.
    """
    reader = _Reader(settings)
    found = reader.read()
    if reader.faults:
        hints = (
            [f"edit {files.typed(reader.faulty)}", "kgen lock --no-project"]
            if reader.faulty
            else reader.where_to_edit()
        )
        raise SettingsError("\n".join(map(grammar.printable, reader.faults)), hints=hints)
    return found


class Part(NamedTuple):
    """A part of a project that is locked where it is asked for.

    Attributes:
        field: the field of the settings that asks for it, `extras` or `groups`.
        name: its name.
        brings: the packages that it requires, and nothing else that is asked for does.
    """

    field: str
    name: str
    brings: frozenset[str]


def parts_of(settings: Settings, names: Collection[str]) -> tuple[Part, ...]:
    """The extras and groups of a project, not asked for, that are the reason for some packages; the largest first.

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
            with contextlib.suppress(KgenError):  # one that is asked for is reported
                wider = (*asked[field], name)
                other = settings._replace(extras=wider) if field == "extras" else settings._replace(groups=wider)
                more = with_project(other).required.dependencies
                own = [one for one in more if one.name not in without]
                # one with a marker may be for another machine
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
    with contextlib.suppress(ValueError):  # what is wrong with them is reported where they are asked for
        extras |= {*setuptools_files.declared(root, data).extras}
    every = {"extras": extras, "groups": _table(data, "dependency-groups")}
    return {field: sorted(set(map(canonical_name, names))) for field, names in every.items()}


def unnamed_trees(settings: Settings, lock: Lockfile) -> Iterator[LockedTree]:
    """The source trees that only the lock names: building one runs what is in it.

    What counts is what the settings, the project's `pyproject.toml` and the folders that these name say.

    Args:
        settings: the settings, without what is required by the project.
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
    """The requirements on source trees that flags alone name.

    Args:
        settings: the settings, without flags and without what is required by the project.
        requirements: what is asked.

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
    """The folders, and the URLs of the repositories, that a project names."""
    settings = with_project(settings)
    root = settings.root
    repository = _repository(root)
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
        with contextlib.suppress(ValueError, OSError):  # what makes no sense names nothing
            references += trees.Places(trees.reading(folder), folder, repository or root).every()
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


def _repository(root: Path) -> Path | None:
    """The top of the repository that a folder is in."""
    for folder in (root, *root.parents):
        replay.looked(folder / ".git")
        if files.exists(folder / ".git"):
            return folder
    return None


class _Source(NamedTuple):
    """A list of requirements.

    Attributes:
        place: where it is.
        what: what it is called in one word or two.
        texts: the requirements.
        parse: reads one of them.
        file: the file that has it.
    """

    place: str
    what: str
    texts: Sequence[object]
    parse: Callable[[str], Requirement] = parsers.parse_dependency
    file: str = PYPROJECT


class _Reader:
    """Reads what one project requires; notes faults."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.faults: list[str] = []
        self.faulty: str | None = None
        self._notes: list[str] = []
        self._build: tuple[Requirement, ...] = ()
        self._own_extras: list[str] = []
        self._inner_constraints: list[str] = []

    def read(self) -> Settings:
        """The settings with all of it."""
        files = list(self._of_files(self.settings.requirement_files, "requirement", parsers.parse_dependency))
        (noted, self._notes), (wrong, self.faults) = (self._notes, []), (self.faults, [])
        dependencies = [*self._of_pyproject(), *files]
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
        """The files in which a requirement may stand that is no good, as hints; without any, it was a flag's."""
        named = [*self.settings.requirement_files, *self.settings.constraint_files]
        if self.settings.file is not None:
            named.append(self.settings.file.name)
        return [f"edit {' or '.join(named)}"] if named else ["kgen lock --help   # `--dependency` is what names it"]

    # -- places --------------------------------------------------------------------------------------------------------

    def _placed(self, requirements: Sequence[Requirement]) -> tuple[Requirement, ...]:
        """The requirements, with the places that the project has them from as its settings would name them."""
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
            self.faulty = self.faulty or (PYPROJECT if one.url is None else None)
            self.faults.append(f"`{one.name}`: {error}" if f"`{one.name}`" not in str(error) else str(error))
            return one
        return direct.placed(one, reference)

    def _require_place(self, one: Requirement, reference: DirectReference) -> None:
        """See that a place is there, and one that may be a dependency.

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
        """The top of the repository that the project is in."""
        return _repository(self.settings.root)

    @functools.cached_property
    def _places(self) -> trees.Places | None:
        """Where `[tool.uv.sources]` takes packages from; None where it says nothing."""
        root = self.settings.root
        if "sources" not in _table(_pyproject(root), "tool", "uv"):
            return None
        try:
            return trees.Places(trees.reading(root), root, self._repository or root)
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
                raise UsageError(
                    f"`{flag}` names a part of {PYPROJECT}, and `project = false` (--no-project) has that left out",
                    hints=["kgen lock --project"],
                )
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
        """How the project itself is built; None where it is not, or says that wrongly."""
        try:
            return project_build(data, self.settings.root)
        except ValueError as error:
            self.faulty = PYPROJECT
            self.faults.append(f"{PYPROJECT}: {error}")
            return None

    def _beside(self, data: Mapping[str, Any], build: ProjectBuild | None) -> SetuptoolsRequirements:
        """What setuptools' own files require; nothing where what builds the project reads none of them."""
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
        """What builds the project itself."""
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
        for extra in queue:  # grows by what the extras name of the project's own
            if extra not in table:
                file = next((one.file for one in beside.extras.values()), PYPROJECT)
                raise _unknown(self.settings.root / file, "extra", "--extra", extra, set(table))
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
                raise _unknown(self.settings.root / PYPROJECT, "dependency group", "--group", group, names)
            try:
                texts = resolve_dependency_groups(groups, group)
            except (ValueError, LookupError, TypeError, ExceptionGroup) as error:
                self.faulty = PYPROJECT
                for one in _leaves(error):
                    self.faults.append(f"{PYPROJECT}: dependency-groups.{group}: {one}".splitlines()[0])
                continue
            yield _Source(f"dependency-groups.{group}", f"group {group}", texts)

    def _list(self, table: Mapping[str, Any], path: str, key: str) -> list[object]:
        value = table.get(key, [])
        if not isinstance(value, list):
            self.faulty = PYPROJECT
            self.faults.append(f"{PYPROJECT}: {path}.{key}: should be an array")
            return []
        return value

    def _parsed(self, source: _Source) -> Iterator[Requirement]:
        for text in source.texts:
            if not isinstance(text, str):
                self.faulty = source.file
                self.faults.append(f"{source.file}: {source.place}: {mismatch(text, str)}")
                continue
            try:
                yield source.parse(text)
            except ValueError as error:
                self.faulty = source.file
                self.faults.append(f"{source.file}: {source.place}: {error}")

    def _foreign(self, data: Mapping[str, Any]) -> Iterator[Requirement]:
        """What tables of other tools say as plainly as the standard's; the rest is named."""
        standard = data.get("project") if isinstance(data.get("project"), Mapping) else None
        for foreign in _FOREIGN:
            table = _table(data, *foreign.keys)
            taken = {one.name for one in (*self.settings.dependencies, *self.settings.require)}
            taken |= _names_in(() if standard is None else standard.get("dependencies"))
            ignored = []
            for name, value in table.items():
                if name == _THEIR_PYTHON:
                    # `requires-python` is read from Poetry's table; in pixi's it is one of conda's packages
                    if not (_is_range(value) if foreign.on_index else self.settings.python or standard):
                        ignored.append(name)
                    continue
                # beside the standard's table, Poetry's says where its packages are from, and more to Poetry alone
                found = _plain(name, value) if foreign.on_index and standard is None else None
                if found is not None:
                    yield found
                elif canonical_name(name) not in taken:  # else `kgen init --from` has put it into the settings
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
        """Name the groups of Poetry, and pixi's own file, which are read by `kgen init --from` alone."""
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
        """Name the files that say what a project without settings requires, and are read where they are named alone."""
        root = self.settings.root
        replay.looked(root / PYPROJECT)
        if self.settings.file is not None or self.settings.requirement_files or files.exists(root / PYPROJECT):
            return
        for name, how in _UNREAD_FILES.items():
            replay.looked(root / name)
            if files.is_file(root / name):
                self._notes.append(f"kgen ignores {name}; {how}")

    def _is_own(self, one: Requirement) -> bool:
        """Whether a requirement of a file is the project itself, which `kgen sync` installs."""
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

    def _note_unread(self, read: Iterable[_RequirementFile]) -> None:
        """Name what files say besides requirements; keep the constraints that they name."""
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
        if not paths:
            return
        from kgen import uvtool  # noqa: PLC0415 - few name such files

        for path in paths:
            try:
                script = scripts.read(root / path) if path.endswith(scripts.SUFFIX) else None
            except OSError:
                script = None  # uv says why
            except ValueError as error:
                self.faults.append(f"{path}: {error}")
                continue
            inner = tuple(_with_inner(path, root)) if script is None else ()
            # where a variable is part of a path, only uv knows which file it has read
            reads = None if any("${" in one.text for one in inner) else [root / one.path for one in inner]
            texts = () if script is None else script.dependencies
            if script is None:
                texts = uvtool.requirements_in(uvtool.find(), root / path, root=root, reads=reads)
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
    "requirements.txt": "`-r requirements.txt` has what is in it locked, and `kgen init` takes it over",
    "environment.yml": "`kgen init` takes it over",
}
"""Files that other tools read by themselves, and what has kgen read them."""

_UNREAD = re.compile(
    r"(?m)(?:^|(?<=\s))(--(?:hash|index-url|extra-index-url|find-links|no-index|no-binary|only-binary|pre|trusted-host"
    r"|config-settings?|global-option|use-feature)|-i|-f)(?=[\s=]|$)"
)
"""Options of a file of requirements that say how pip gets it: uv is configured with indexes, and a lock has hashes."""


_INNER = re.compile(r"(?m)^\s*(?:(?P<constraint>-c|--constraints?)|-r|--requirements?)\s*=?\s*(?P<file>\S.*?)\s*$")
"""A line of a file of requirements that names another one."""


class _RequirementFile(NamedTuple):
    """A file of requirements, besides its requirements.

    Attributes:
        path: the file, as it was named from the project's folder.
        text: what is in it, without comments and with its lines joined.
        constraints: the files of constraints that it names, from the project's folder.
    """

    path: str
    text: str
    constraints: tuple[str, ...]


def _with_inner(path: str, root: Path) -> Iterator[_RequirementFile]:
    """A file of requirements and those that it names with `-r`; one that cannot be read is left out.

    uv reads requirements through `-r` by itself, and says nothing of a `-c`.

    Args:
        path: the file, from the project's folder.
        root: the project's folder.
    """
    queue, seen = [path], set[Path]()
    for one in queue:
        place = files.resolved(root / one)
        if place in seen:
            continue
        seen.add(place)
        try:
            lines = files.read_text(root / one, files.LARGE, encoding="utf-8-sig").splitlines()
        except (OSError, ValueError):
            continue
        text = re.sub(r"\\\n", " ", "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in lines))
        constraints: list[str] = []
        for match in _INNER.finditer(text):
            named = match["file"].strip("\"'")
            inner = os.path.normpath(Path(one).parent / named)  # uv has refused those at a URL
            (queue if match["constraint"] is None else constraints).append(inner)
        yield _RequirementFile(one, text, tuple(constraints))


def _pyproject(root: Path) -> Mapping[str, Any]:
    """What the project's `pyproject.toml` says; nothing where there is none.

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
    """A table by its keys; an empty one where there is none."""
    table: object = data
    for key in keys:
        table = table.get(key) if isinstance(table, Mapping) else None
    return table if isinstance(table, Mapping) else {}


def _require_compatible(data: Mapping[str, Any], asked: Collection[str]) -> None:
    """See that no extras and groups are asked for together that the project says exclude each other.

    Args:
        data: what is in `pyproject.toml`.
        asked: what is locked of the project, as `extra dev` and `group test`.

    Raises:
        UsageError: they are.
    """
    there = {(kind, canonical_name(name)) for kind, _, name in (one.partition(" ") for one in asked)}
    sets = _table(data, "tool", "uv").get("conflicts")
    for one in sets if isinstance(sets, list) else ():
        rows = [row for row in one if isinstance(row, Mapping)] if isinstance(one, list) else []
        named = ((kind, row.get(kind)) for row in rows for kind in ("extra", "group"))
        both = [(kind, name) for kind, name in named if isinstance(name, str) and (kind, canonical_name(name)) in there]
        if len(both) > 1:
            listed = " and ".join(f"{kind} {grammar.shown(name)}" for kind, name in both)
            raise UsageError(
                f"{listed} exclude each other, as `conflicts` of [tool.uv] in {PYPROJECT} says",
                hints=[f"ask for one of them, such as `--{both[0][0]} {grammar.shown(both[0][1])}`"],
            )


def _unknown(file: Path, what: str, flag: str, name: str, there: set[str]) -> UsageError:
    if not files.is_file(file):
        return UsageError(
            f"there is no {file.name} in {file.parent}, which `{flag} {name}` names a part of",
            hints=["kgen lock --dependency PACKAGE   # a package by its own name"],
        )
    near = nearest(name, there)
    listed = f"there are {', '.join(sorted(there))}" if there else f"it has no {what}"
    asks = f"`{flag}`, or `{flag.strip('-')}s` in the settings, asks for it"
    return UsageError(
        f"{file.name} has no {what} `{name}`; {listed}",
        hints=[f"did you mean `{near}`? {asks}" if near else f"edit {file.name}, or leave `{name}` out: {asks}"],
    )


def _extras_of(text: object, own: str | None) -> Sequence[str]:
    """Which extras of the project itself a requirement names; () where it is on another package."""
    if own is None or not isinstance(text, str):
        return ()
    try:
        found = Requirement(text)
    except ValueError:
        return ()
    return tuple(sorted(map(canonical_name, found.extras))) if found.name == own else ()


def _packages_named(name: str, root: Path) -> str:
    """How a project tells setuptools its packages, by the name that they have as a rule."""
    module = canonical_name(name).replace("-", "_")
    for place in (module, f"{module}.py"):
        replay.looked(root / place)
    if files.is_file(root / f"{module}.py"):
        return f'py-modules = ["{module}"]'
    return f'packages.find.include = ["{module if files.is_folder(root / module) else "PACKAGE"}*"]'


def _names_in(texts: object) -> set[str]:
    """The packages that a list of requirements names."""
    found = set()
    for text in texts if isinstance(texts, list | tuple) else ():
        with contextlib.suppress(ValueError):
            found |= {Requirement(text).name} if isinstance(text, str) else set()
    return found


def _is_range(value: object) -> bool:
    """Whether kgen can read a range of Pythons as Poetry writes it."""
    with contextlib.suppress(ValueError):
        return isinstance(value, str) and VersionRange(poetry_range(value)) is not None
    return False


def _plain(name: str, value: object) -> Requirement | None:
    """A row of a foreign table as a requirement; None where it is not one by the standard."""
    if not isinstance(value, str):
        return None
    try:
        return parsers.parse_requirement_flag(name if value.strip() == "*" else f"{name}{_pinned(value)}")
    except ValueError:
        return None


def _pinned(value: str) -> str:
    """A version alone is not the standard's way to say anything, and means another thing to each tool."""
    return str(parsers.parse_specifiers(value))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    inner: Callable[[], Sequence[BaseException]] | Sequence[BaseException] | None = getattr(error, "exceptions", None)
    if isinstance(inner, Sequence):
        for one in inner:
            yield from _leaves(one)
    else:
        yield error
