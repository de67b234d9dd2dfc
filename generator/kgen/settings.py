"""The project's settings: `kgen.toml`, or `[tool.kgen]` in `pyproject.toml`, as one frozen value.

Holds what the user asks for, nothing that is derived from it. The command line uses the same parsers of single values.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from packaging.version import Version

from kgen import accelerators, files, parsers
from kgen.accelerators import Kind
from kgen.errors import SettingsError, UnknownNameError, UsageError
from kgen.fields import ACCELERATORS, BY_NAME, FIELDS, MACHINE, Field, Shape, accelerators_in
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.matrix.records import Backend
from kgen.model import grammar
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange, version_or_none
from kgen.model.request import JOINT, TargetMachine
from kgen.model.requirement import Requirement
from kgen.project import ENVS, KGEN_TOML, PYPROJECT, load, parse_envs
from kgen.tables import Table, mismatch, nearest

T = TypeVar("T")


# as text: most questions ask for few of them, and compiling all costs a run some milliseconds
_BARE_KEY = r"[A-Za-z0-9_-]+"
_JOINT = 2
"""The smallest number of backends in a joint environment."""


class JointEnvironment(NamedTuple):
    """Several backends in one environment.

    Attributes:
        name: its name, to which kgen adds the accelerator.
        backends: at least two, the most important first.
        dependencies: additional requirements.
    """

    name: str
    backends: tuple[str, ...]
    dependencies: tuple[Requirement, ...] = ()


class Target(NamedTuple):
    """A kind of machine that locks are for.

    Attributes:
        name: its name in the settings.
        accelerator: what it computes on; without a version to take the newest one that works.
        platforms: its platforms, as conda subdirs; None if unspecified.
        glibc: its glibc; None if unspecified.
        macos: its macOS; None if unspecified.
        driver: its accelerator's driver; None if unknown.
        gpu: the architectures of its GPUs.
    """

    name: str
    accelerator: Accelerator
    platforms: tuple[str, ...] | None = None
    glibc: Version | None = None
    macos: Version | None = None
    driver: DriverVersion | None = None
    gpu: tuple[str, ...] = ()

    @property
    def machine(self) -> TargetMachine:
        """The machine, as requests have it."""
        return TargetMachine(self.name, self.driver, self.gpu)


class ProjectRequirements(NamedTuple):
    """What the project itself requires, in whichever file it declares it.

    Attributes:
        dependencies: the requirements in its `pyproject.toml` and its requirements files.
        notes: what kgen read and what it left out, a sentence each.
    """

    dependencies: tuple[Requirement, ...] = ()
    notes: tuple[str, ...] = ()


class Settings(NamedTuple):
    """What the project asks for. Unset settings are None, or have kgen's default.

    Attributes:
        root: the project's folder, which contains `locks`.
        file: the file with the settings; None if there is none.
        backends: the backends, in the order of the settings.
        accelerator: what to compute on; a kind without a version to let kgen choose the best one; None if unset.
        python: the CPython minor, such as `3.12`.
        pythons: several minors instead of one: kgen makes each environment for each of them.
        platforms: the platforms, as conda subdirs.
        keras: the range of Keras.
        dependencies: requirements of every environment.
        portable: whether locks contain no index host.
        installers: the installers that locks are written for: `uv`, `conda`.
        channels: conda channels, by name or URL, without credentials.
        conda: `full` to take everything from conda channels, `base` to take Python from there and the rest as wheels.
        conda_names: conda names of projects, which override those that kgen knows.
        glibc: the oldest glibc that the environments must run on.
        macos: the oldest macOS that the environments must run on.
        driver: the driver of the target machines.
        gpu: architectures of GPUs to support.
        described: the machines that locks are for, by name.
        targets: the names of the selected machines; () for all.
        require: constraints on packages that the matrix covers.
        exclude_newer: the last day whose publications kgen uses.
        torch_index: the source of builds that only PyTorch's own index has: :data:`OWN_INDEX` for that index as uv
            knows it, or the URL of a mirror; None to use no such builds.
        backend_dependencies: backend -> requirements of its environment only.
        environments: the joint environments, by name.
        envs: the folder of the environments on disk, relative to `root` or absolute.
        nix: whether `kgen lock` writes a `flake.nix` where there is none, and the library that it may import; None for
            the library only, and only where Nix is installed.
        flake: the flake reference of kgen itself, for that `flake.nix`; None for the commit that this kgen is from, or
            else for a copy of what it needs in the project.
        generation: the generation of Keras; None to derive it from the other settings.
        hubs: libraries of models for every environment: `cv`, `nlp`.
        isolate_config: whether each environment has Keras's settings in its own folder.
        outside_folders: whether folders outside the repository are allowed as dependencies.
        project: whether to include the requirements and the Python range of `pyproject.toml`.
        extras: extras of the project for every environment.
        groups: dependency groups for every environment.
        requirement_files: requirements files, relative to `root` or absolute.
        constraint_files: constraints files, relative to `root` or absolute.
        constraints: the content of the constraints files; like `uv`, empty until kgen has read it.
        uv: uv's settings that affect a lock; empty until kgen has read them.
        other_frameworks: what to do with frameworks that dependencies bring in: `joint`, `cpu`.
        allow_overlap: pairs of packages, as `first+second`, that may own the same files.
        build: projects that may be built from source if they have no wheel.
        project_build: the build requirements of the project itself; empty if it is not a package, or not read yet.
        required: what the project itself requires; empty until :func:`kgen.actions.requirements.with_project` has read
            it.
    """

    root: Path
    file: Path | None = None
    backends: tuple[str, ...] | None = None
    accelerator: Accelerator | None = None
    python: str | None = None
    pythons: tuple[str, ...] = ()
    platforms: tuple[str, ...] | None = None
    keras: VersionRange = VersionRange()
    dependencies: tuple[Requirement, ...] = ()
    portable: bool = False
    installers: tuple[str, ...] = ("uv",)
    channels: tuple[str, ...] = ("conda-forge",)
    conda: str = "full"
    conda_names: tuple[parsers.CondaName, ...] = ()
    glibc: Version | None = None
    macos: Version | None = None
    driver: DriverVersion | None = None
    gpu: tuple[str, ...] = ()
    described: Mapping[str, Target] = MappingProxyType({})
    targets: tuple[str, ...] = ()
    require: tuple[Requirement, ...] = ()
    exclude_newer: dt.date | None = None
    torch_index: str | None = None
    backend_dependencies: Mapping[str, tuple[Requirement, ...]] = MappingProxyType({})
    environments: Mapping[str, JointEnvironment] = MappingProxyType({})
    envs: Path = ENVS
    nix: bool | None = None
    flake: str | None = None
    generation: str | None = None
    hubs: tuple[str, ...] = ()
    isolate_config: bool = False
    outside_folders: bool = False
    project: bool = True
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    requirement_files: tuple[str, ...] = ()
    constraint_files: tuple[str, ...] = ()
    constraints: tuple[Requirement, ...] = ()
    uv: tuple[str, ...] = ()
    other_frameworks: str = JOINT
    allow_overlap: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    project_build: tuple[Requirement, ...] = ()
    required: ProjectRequirements = ProjectRequirements()


def read(root: Path, matrix: CompatibilityMatrix) -> Settings:
    """The settings of the project in this folder; the defaults if it has none.

    Raises:
        SettingsError: with every fault, each with the file's name and the key's dotted path.
    """
    file, data = load(root)
    if file is None:
        return Settings(root=root)
    faults: list[str] = []
    table = Table(data, "", faults)
    if file.name == PYPROJECT:
        table = table.table("tool").table("kgen")
    settings = _Reader(matrix).settings(table, root, file)
    if not faults:
        try:
            settings = settled(settings, matrix)
        except ValueError as error:
            table.fault("backends", str(error))
    if faults:
        raise SettingsError(
            "\n".join(f"{file.name}: {grammar.printable(fault)}" for fault in faults),
            hints=[f"edit {files.typed(file)}"],
        )
    return settings


def of_keys(root: Path, values: Mapping[str, object], matrix: CompatibilityMatrix) -> Settings:
    """The settings that a project in this folder would have with these keys.

    Args:
        root: the folder.
        values: key -> its value, as TOML would give it.
        matrix: the facts.

    Raises:
        SettingsError: a value is wrong; names every fault.
    """
    faults: list[str] = []
    found = _Reader(matrix).settings(Table(values, "", faults), root, root / KGEN_TOML)
    if faults:
        raise SettingsError("\n".join(map(grammar.printable, faults)), hints=["kgen init --help"])
    return found


def settled(settings: Settings, matrix: CompatibilityMatrix, *, strict: bool = True) -> Settings:
    """The settings with the full name of each backend: `keras2-theano` for `theano`, in its generation.

    Args:
        settings: the settings as they were read.
        matrix: the facts.
        strict: whether to reject a backend that the generation lacks. Otherwise it is left out, for example if a flag
            asks for another generation than the settings do.

    Raises:
        ValueError: the generation has no such backend.
    """
    generation = generation_asked(settings, matrix)

    def full(names: tuple[str, ...]) -> tuple[str, ...]:
        kept = names if strict else [name for name in names if matrix.backend_named(name, generation)]
        return tuple(full_name(name, generation, matrix, settings) for name in kept)

    joints = {name: (joint, full(joint.backends)) for name, joint in settings.environments.items()}
    return settings._replace(
        backends=full(settings.backends or ()) or None,
        backend_dependencies={
            found: own for name, own in settings.backend_dependencies.items() for found in full((name,))
        },
        environments={
            name: joint._replace(backends=backends)
            for name, (joint, backends) in joints.items()
            if len(backends) == len(joint.backends)
        },
    )


def full_name(name: str, generation: str | None, matrix: CompatibilityMatrix, settings: Settings) -> str:
    """The full name of a backend.

    Args:
        name: any of its names.
        generation: the requested generation; None for the first one that has the backend, in a required release.
        matrix: the facts.
        settings: the settings, whose requirements on the framework count.

    Raises:
        ValueError: there is no such backend.
    """
    row = matrix.backend_named(name, generation)
    if row is not None:
        return row.name if generation is not None else _of_required_release(row, matrix, settings).name
    own = [one.short for one in matrix.backends.values() if one.generation == generation]
    title = "Keras" if generation is None else matrix.generations[generation].title
    raise ValueError(f"unknown backend `{parsers.shown(name)}` for {title}; it has {', '.join(own) or 'none'}")


def _of_required_release(row: Backend, matrix: CompatibilityMatrix, settings: Settings) -> Backend:
    """The backend of the generation that supports the required releases of the framework; Keras 3 does not support 2.8.

    Returns the given backend if it supports them, if no other does, or if there is a requirement on Keras, which then
    decides.
    """
    wishes = [wish.specifier for wish in _required(settings) if wish.name == row.framework]
    if not wishes or row.generation != next(iter(matrix.generations)) or generation_required(settings, matrix):
        return row
    versions = [release.version for release in matrix.framework(row.framework).releases]
    named = (version_or_none(one.version) for wish in wishes for one in wish if one.operator == "==")
    # a release that the matrix does not know belongs to the generation whose range its number is in
    fitting = [version for version in versions if all(version in one for one in wishes)] or [*filter(None, named)]
    rows = [one for one in matrix.backends.values() if (one.framework, one.short) == (row.framework, row.short)]
    found = [one for one in rows if any(version in one.releases for version in fitting)]
    return row if row in found else next(iter(found), row)


def _required(settings: Settings) -> tuple[Requirement, ...]:
    """All requirements of the settings and of the project itself."""
    return (*settings.require, *settings.dependencies, *settings.required.dependencies)


def generation_asked(settings: Settings, matrix: CompatibilityMatrix) -> str | None:
    """The generation that the settings name or that their requirements on Keras imply; None for the default one."""
    if settings.generation is not None:
        return settings.generation
    required = generation_required(settings, matrix)
    return None if required == next(iter(matrix.generations)) else required


def generation_required(settings: Settings, matrix: CompatibilityMatrix) -> str | None:
    """The first generation with the Keras releases that the settings require; None if they require none."""
    for generation in matrix.generations.values():
        ranges = [wish.specifier for wish in _required(settings) if wish.name == generation.package]
        if generation.package == KERAS and settings.keras:
            ranges.append(settings.keras)
        if ranges and any(
            all(version in one for one in (*ranges, generation.range))
            for version in (release.version for release in matrix.framework(generation.package).releases)
        ):
            return generation.name
    return None


def generation_of_day(day: dt.date, matrix: CompatibilityMatrix, names: Iterable[str] = ()) -> str | None:
    """The newest generation that had a release by this day; None if that is the default one, or none had.

    Args:
        day: the last day that counts.
        matrix: the facts.
        names: backends that it must have, by any of their names; unknown names are ignored.
    """
    named = [name for name in names if matrix.backend_named(name, None) is not None]
    there = [
        one
        for one in matrix.generations.values()
        if one.since <= day and all(matrix.backend_named(name, one.name) is not None for name in named)
    ]
    found = max(there, key=lambda one: one.since, default=None)
    return None if found is None or found.name == next(iter(matrix.generations)) else found.name


def described(row: Table, name: str, matrix: CompatibilityMatrix) -> Target | None:
    """The machine that a table describes with the keys of a target, wherever the table is.

    Args:
        row: the table; errors in it are added to its faults.
        name: the name of the machine.
        matrix: the facts.

    Returns:
        None if the table does not say what the machine computes on.
    """
    return _Reader(matrix).target(row, name)


def target_of(settings: Settings, name: str) -> Target:
    """The target of this name.

    Raises:
        UsageError: the settings describe no such target.
    """
    if name in settings.described:
        return settings.described[name]
    flag, near = BY_NAME["targets"].flag, nearest(name, settings.described)
    known = ", ".join(settings.described) or "none"
    keys = ["target", parsers.shown(name)]
    table = ".".join(keys if settings.file is None or settings.file.name == KGEN_TOML else ["tool", "kgen", *keys])
    instead = f"or name one of them, such as `{flag} {next(iter(settings.described))}`" if settings.described else ""
    raise UnknownNameError(
        f"{flag}: the settings describe no target `{parsers.shown(name)}`; they describe {known}",
        hints=[f"did you mean `{flag} {near}`?"]
        if near
        else [f"describe it in the settings, in a table [{table}]", *filter(None, [instead])],
    )


def foreign_facts(kind: Kind, driver: DriverVersion | None, gpus: Sequence[str]) -> Iterator[tuple[Field, str, str]]:
    """The driver and GPUs that belong to another kind of accelerator: field, reason, and an example of this kind.

    The example is empty if the kind has no such value: TPUs report no driver version.
    """
    for name, texts, parse, example in (
        ("driver", () if driver is None else (str(driver),), kind.parse_driver, kind.driver_example),
        ("gpu", gpus, kind.parse_architecture, kind.architecture_example),
    ):
        for text in texts:
            try:
                parse(text)
            except ValueError as error:
                others = [one for one in map(accelerators.kind, _kinds_of(name, text)) if one.name != kind.name]
                of = (
                    f"`{text}` is of {' or '.join(one.maker for one in others)} (`{others[0].name}`)"
                    if others
                    else error
                )
                yield BY_NAME[name], f"{kind.title} is asked for, and {of}", example


def _kinds_of(name: str, text: str) -> Iterator[str]:
    """The kinds of accelerator that this driver or architecture belongs to."""
    for kind in accelerators.known():
        with contextlib.suppress(ValueError):
            (kind.parse_driver if name == "driver" else kind.parse_architecture)(text)
            yield kind.name


def check_name(name: str, matrix: CompatibilityMatrix) -> None:
    """Check that a joint environment may have this name.

    Raises:
        UsageError: it may not.
    """
    problem = _name_problem(name, matrix)
    if problem is not None:
        raise UsageError(
            f"--together: `{parsers.shown(name)}` {problem}", hints=["choose another, such as `--together all`"]
        )


class _Reader:
    """Reads the tables of the settings against a matrix; collects faults instead of raising them."""

    def __init__(self, matrix: CompatibilityMatrix) -> None:
        self._matrix = matrix
        self._backend: Callable[[str], str] = functools.partial(parsers.parse_backend, matrix=matrix)

    def settings(self, table: Table, root: Path, file: Path) -> Settings:
        """The settings in this table; a wrong value is replaced by its default."""
        plain = {field.name: self._value(table, field) for field in FIELDS if field.key is not None}
        asked = self._accelerators(table, plain)
        for field in ACCELERATORS:
            del plain[field.name]
        if table.has("target"):
            for key in (*asked, *(key for key in ("driver", "gpu") if table.has(key))):
                table.fault(key, "contradicts the tables `target`, which each describe a machine of their own")
        for field in FIELDS:
            if field.plural is not None and table.has(str(field.key)) and table.has(field.plural):
                table.fault(field.plural, f"contradicts `{field.key}`; keep one of the two")
        settings = Settings(
            root=root,
            file=file,
            backend_dependencies=self._backends(table.table("backend")),
            environments=self._environments(table.table("environment")),
            described=self._targets(table.table("target")),
            envs=table.parsed("envs", parse_envs) or ENVS,
            accelerator=next(iter(asked.values()), None),
            **plain,  # type: ignore[arg-type]
        )
        if file.name == KGEN_TOML and table.raw("tool") is not None:
            table.fault("tool", f"in {KGEN_TOML} the keys stand at the top, in no table `tool.kgen`")
        table.close()
        return settings

    @staticmethod
    def _accelerators(table: Table, plain: Mapping[str, object]) -> dict[str, Accelerator]:
        """The accelerators in a table, by key; more than one is a fault."""
        asked = accelerators_in(plain)
        for other in tuple(asked)[1:]:
            table.fault(other, f"contradicts `{next(iter(asked))}`; keep one of the two")
        return asked

    def _targets(self, section: Table) -> dict[str, Target]:
        found = {}
        for name in section:
            try:
                parsers.parse_target(name)
            except ValueError as error:
                section.fault(_key(name), str(error))
                continue
            row = section.table(name)
            target = self.target(row, name)
            if target is not None:
                found[name] = target
            elif not any(row.has(field.name) for field in ACCELERATORS):
                known = ", ".join(str(field.key) for field in ACCELERATORS)
                section.fault(_key(name), f"does not say what it computes on: give one of {known}")
        return found

    def target(self, row: Table, name: str) -> Target | None:
        """The machine that a table describes; None if it does not say what the machine computes on."""
        asked = self._accelerators(row, {field.name: self._value(row, field) for field in ACCELERATORS})
        facts = {field.name: self._value(row, field) for field in MACHINE}
        row.close()
        if not asked:
            return None
        found = Target(name, next(iter(asked.values())), **facts)  # type: ignore[arg-type]
        self._require_vocabulary(row, found)
        return found

    @staticmethod
    def _require_vocabulary(row: Table, target: Target) -> None:
        """Check that driver and GPUs belong to the accelerator, and are given if its version depends on them."""
        kind = accelerators.kind(target.accelerator.kind)
        if target.accelerator == CPU:
            for key in ("driver", "gpu"):
                if row.has(key):
                    row.fault(key, f"contradicts `{CPU.kind}`; keep one of the two")
            return
        for field, why, _ in foreign_facts(kind, target.driver, target.gpu):
            row.fault(str(field.key), why)
        if kind.versioned and not target.accelerator.version and target.driver is None and not target.gpu:
            row.fault(kind.name, f"`{accelerators.AUTO}` needs the target's `driver` or `gpu`")

    def _value(self, table: Table, field: Field) -> object:
        """The value of a field; its default if the table has none, or a wrong one."""
        key, parse = str(field.key), functools.partial(self._parsed, field)
        if field.shape in {Shape.YES, Shape.SWITCH}:
            found: object = table.get(key, bool)
        elif field.shape is Shape.MANY and field.distinct:
            found = _distinct(table, key, parse)
        elif field.shape is Shape.MANY:
            found = tuple(dict.fromkeys(table.parsed_texts(key, parse)))
        elif field.shape is Shape.PAIRS:
            found = _pairs(table, key, parse)
        elif field.shape is Shape.DAY:
            found = _day(table, key)
        elif field.shape is Shape.OPTIONAL:
            found = _yes_or_value(table, key, parse)
        else:
            found = table.parsed(key, parse)
        return field.initial if found is None else found

    def _parsed(self, field: Field, text: str) -> object:
        return field.parse(text, self._matrix)

    def _backends(self, section: Table) -> dict[str, tuple[Requirement, ...]]:
        found = {}
        for name in section:
            key = _key(name)
            try:
                self._backend(name)
            except ValueError as error:
                section.fault(key, str(error))
                continue
            row = section.table(name)
            found[name] = row.parsed_texts("dependencies", parsers.parse_dependency)
            row.close()
        return found

    def _environments(self, section: Table) -> dict[str, JointEnvironment]:
        found = {}
        for name in section:
            problem = _name_problem(name, self._matrix)
            if problem is not None:
                section.fault(_key(name), f"the name {problem}")
                continue
            row = section.table(name)
            if not row.has("backends"):
                row.fault("backends", "is missing")
            backends = _distinct(row, "backends", self._backend) or ()
            given = row.raw("backends")
            if type(given) is list and len(given) == 1:
                row.fault("backends", f"names one backend; a joint environment has at least {_JOINT}")
            found[name] = JointEnvironment(
                name=name,
                backends=backends,
                dependencies=row.parsed_texts("dependencies", parsers.parse_dependency),
            )
            row.close()
        return found


def _pairs(table: Table, key: str, parse: Callable[[str], object]) -> tuple[object, ...] | None:
    """The values by name; None if the table is missing or wrong."""
    if not table.has(key):
        return None
    found = []
    rows = table.table(key)
    for name in rows:
        value = rows.get(name, str)
        try:
            found += [] if value is None else [parse(f"{name}={value}")]
        except ValueError as error:
            rows.fault(_key(name), str(error))
    return tuple(found)


def _distinct(table: Table, key: str, parse: Callable[[str], T]) -> tuple[T, ...] | None:
    """The array at `key`, which must be non-empty and without duplicates; None if it is missing."""
    values = table.parsed_texts(key, parse)
    if table.raw(key) == []:
        table.fault(key, "is empty")
    for value, count in Counter(values).items():
        if count > 1:
            table.fault(key, f"`{value}` is in it twice")
    return tuple(dict.fromkeys(values)) or None


def _yes_or_value(table: Table, key: str, parse: Callable[[str], object]) -> object:
    """:data:`OWN_INDEX` for true, None for false, or the parsed text."""
    value = table.raw(key)
    if type(value) is bool:
        return parsers.OWN_INDEX if value else None
    if type(value) is str:
        return table.parsed(key, parse)
    if value is not None:
        table.fault(key, mismatch(value, bool, str))
    return None


def _day(table: Table, key: str) -> dt.date | None:
    value = table.raw(key)
    if type(value) is dt.date:
        return value
    if type(value) is dt.datetime:
        table.fault(key, f"`{value.isoformat()}` is a moment; give the day alone, {value.date().isoformat()}")
    elif type(value) is str:
        return table.parsed(key, parsers.parse_date)
    elif value is not None:
        table.fault(key, mismatch(value, dt.date, str))
    return None


def _name_problem(name: str, matrix: CompatibilityMatrix) -> str | None:
    """Why an environment may not have this name, as the rest of a sentence."""
    if re.fullmatch(grammar.NAME, name) is None:
        return "is not made of a-z, 0-9 and inner hyphens"
    if len(name) > grammar.LONGEST_NAME:
        return f"is longer than {grammar.LONGEST_NAME} characters"
    if any(name in {row.name, row.selected, row.short} for row in matrix.backends.values()):
        return "is that of a backend"
    if re.fullmatch(f".*-{accelerators.pattern()}", name) is not None:
        return "ends like an accelerator, which kgen adds by itself"
    return None


def _key(name: str) -> str:
    """A name as a TOML key."""
    if re.fullmatch(_BARE_KEY, name):
        return name
    import json  # noqa: PLC0415 - only such a name pays for it

    return json.dumps(name, ensure_ascii=False)
