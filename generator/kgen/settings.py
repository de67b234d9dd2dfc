"""The project's settings: `kgen.toml`, or `[tool.kgen]` of `pyproject.toml`, as one frozen value.

Says what the user asks for, nothing of what that leads to. The parsers of single values serve
the command line too.
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
"""The fewest backends of a joint environment."""


class JointEnvironment(NamedTuple):
    """Several backends in one environment.

    Attributes:
        name: what it is called before its accelerator.
        backends: at least two, the most important first.
        dependencies: what else is in it.
    """

    name: str
    backends: tuple[str, ...]
    dependencies: tuple[Requirement, ...] = ()


class Target(NamedTuple):
    """A kind of machine that locks are for.

    Attributes:
        name: what the settings call it.
        accelerator: what it computes on; without a version where the newest is meant that it can have.
        platforms: conda's names of its platforms; None where it says nothing of them.
        glibc: its glibc; None where it says nothing of it.
        macos: its macOS, the same.
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
        """What a request says of it."""
        return TargetMachine(self.name, self.driver, self.gpu)


class ProjectRequirements(NamedTuple):
    """What the project requires by itself, wherever it says so.

    Attributes:
        dependencies: those of its `pyproject.toml` and its files of requirements.
        notes: what was read, and what was not, a sentence each.
    """

    dependencies: tuple[Requirement, ...] = ()
    notes: tuple[str, ...] = ()


class Settings(NamedTuple):
    """What the project asks for; where it says nothing, None or what kgen does by itself.

    Attributes:
        root: the project's folder, in which `locks` is.
        file: where the settings are; None if there are none.
        backends: the backends, in the order of the settings.
        accelerator: what is computed on; a kind without a version where kgen is to choose the best one; None where
            the settings leave it open.
        python: the CPython minor, as `3.12`.
        pythons: several minors, in the place of one: each environment is made for each.
        platforms: conda's names of the platforms.
        keras: the range of Keras.
        dependencies: what is in every environment.
        portable: whether locks carry no index host.
        installers: what locks are written for: `uv`, `conda`.
        channels: conda's channels, by name or URL, without credentials.
        conda: `full` for all from conda's channels, `base` for Python from there and the rest as wheels.
        conda_names: what conda calls projects of the index, where kgen knows it otherwise or not.
        glibc: the oldest glibc that the environments must run on.
        macos: the oldest macOS that they must run on.
        driver: the driver of the target machines.
        gpu: architectures of GPUs that must be served.
        described: the machines that locks are for, by the names of the settings.
        targets: the names of those that are meant; none for all.
        require: constraints on what the matrix follows.
        exclude_newer: nothing published after this day is used.
        torch_index: where builds are that only PyTorch's own index has: :data:`OWN_INDEX` for that index as uv knows
            it, or the URL of a mirror; None where they are not to be used.
        backend_dependencies: backend -> what is in its environment only.
        environments: the joint environments by name.
        envs: the folder of the environments on disk, relative to `root` or absolute.
        nix: whether `kgen lock` writes a `flake.nix` where there is none, and the library that it may import; None for
            the library only where Nix is installed.
        flake: where that finds kgen's own flake, as Nix writes it; None for where this kgen is from, if that is a
            commit of a repository, else for a copy in the project of what it needs.
        generation: the generation of Keras; None if it follows from the other settings.
        hubs: which libraries of models are in every environment: `cv`, `nlp`.
        isolate_config: whether each environment has Keras's settings in its own folder.
        outside_folders: whether folders outside of the repository may be dependencies.
        project: whether what `pyproject.toml` requires, and its range of Pythons, are asked for too.
        extras: the extras of the project that are in every environment.
        groups: the dependency groups that are in every environment.
        requirement_files: files of requirements, relative to `root` or absolute.
        constraint_files: files of constraints, the same.
        constraints: what the files of constraints say; as with the next, empty until it was read.
        uv: what uv is configured with that shapes a lock; empty until it was read.
        other_frameworks: what becomes of frameworks that dependencies bring in: `joint`, `cpu`.
        allow_overlap: pairs of packages, as `first+second`, that may own the same files.
        build: projects that may be built from source where they have no wheel.
        project_build: what builds the project itself; empty where it is not a package, and until it was read.
        required: what else that comes to; empty until :func:`kgen.actions.requirements.with_project` has read it.
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
        values: the keys, with what TOML would give for them.
        matrix: the facts.

    Raises:
        SettingsError: one is wrong; with every fault.
    """
    faults: list[str] = []
    found = _Reader(matrix).settings(Table(values, "", faults), root, root / KGEN_TOML)
    if faults:
        raise SettingsError("\n".join(map(grammar.printable, faults)), hints=["kgen init --help"])
    return found


def settled(settings: Settings, matrix: CompatibilityMatrix, *, strict: bool = True) -> Settings:
    """The settings with the full name of each backend: `keras2-theano` for `theano`, in its generation.

    Args:
        settings: as they were read.
        matrix: the facts.
        strict: whether a backend that the generation lacks is a fault; else it is left out, as where a flag asks for
            another generation than the settings were written for.

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
    """What kgen calls a backend.

    Args:
        name: by whatever name.
        generation: the generation that is asked for; None for the first that has it, in a release that is required.
        matrix: the facts.
        settings: what they require of the framework.

    Raises:
        ValueError: there is none of this name.
    """
    row = matrix.backend_named(name, generation)
    if row is not None:
        return row.name if generation is not None else _of_required_release(row, matrix, settings).name
    own = [one.short for one in matrix.backends.values() if one.generation == generation]
    title = "Keras" if generation is None else matrix.generations[generation].title
    raise ValueError(f"unknown backend `{parsers.shown(name)}` for {title}; it has {', '.join(own) or 'none'}")


def _of_required_release(row: Backend, matrix: CompatibilityMatrix, settings: Settings) -> Backend:
    """The backend of the generation that is for what the settings require of the framework; no Keras 3 is for 2.8.

    The one that is given where it is for such a release, or no other is; and where something is required of Keras,
    which decides then.
    """
    wishes = [wish.specifier for wish in _required(settings) if wish.name == row.framework]
    if not wishes or row.generation != next(iter(matrix.generations)) or generation_required(settings, matrix):
        return row
    versions = [release.version for release in matrix.framework(row.framework).releases]
    named = (version_or_none(one.version) for wish in wishes for one in wish if one.operator == "==")
    # a release that the matrix does not know is one of the generation that its number is of
    fitting = [version for version in versions if all(version in one for one in wishes)] or [*filter(None, named)]
    rows = [one for one in matrix.backends.values() if (one.framework, one.short) == (row.framework, row.short)]
    found = [one for one in rows if any(version in one.releases for version in fitting)]
    return row if row in found else next(iter(found), row)


def _required(settings: Settings) -> tuple[Requirement, ...]:
    """All that the settings, or what belongs to the project, require."""
    return (*settings.require, *settings.dependencies, *settings.required.dependencies)


def generation_asked(settings: Settings, matrix: CompatibilityMatrix) -> str | None:
    """The generation that the settings name, or that alone has what they require of Keras; None for no matter which."""
    if settings.generation is not None:
        return settings.generation
    required = generation_required(settings, matrix)
    return None if required == next(iter(matrix.generations)) else required


def generation_required(settings: Settings, matrix: CompatibilityMatrix) -> str | None:
    """The first generation that has what the settings require of Keras; None where they require nothing of it."""
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
        names: backends, by whatever name, which it must have; what is the name of none does not matter.
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
    """The machine that a table describes with the keys of a target, wherever the table stands.

    Args:
        row: the table; what is wrong in it is among its faults afterwards.
        name: what the machine is called.
        matrix: the facts.

    Returns:
        None where it does not say what the machine computes on.
    """
    return _Reader(matrix).target(row, name)


def target_of(settings: Settings, name: str) -> Target:
    """The target of this name.

    Raises:
        UsageError: the settings describe none.
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

    The example is empty where the kind has no such thing: TPUs report no version of a driver.
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
    """The kinds of accelerator that a driver, or an architecture, is of."""
    for kind in accelerators.known():
        with contextlib.suppress(ValueError):
            (kind.parse_driver if name == "driver" else kind.parse_architecture)(text)
            yield kind.name


def check_name(name: str, matrix: CompatibilityMatrix) -> None:
    """See that a joint environment may have this name.

    Raises:
        UsageError: it may not.
    """
    problem = _name_problem(name, matrix)
    if problem is not None:
        raise UsageError(
            f"--together: `{parsers.shown(name)}` {problem}", hints=["choose another, such as `--together all`"]
        )


class _Reader:
    """Reads the tables of the settings against a matrix; notes faults, raises nothing for them."""

    def __init__(self, matrix: CompatibilityMatrix) -> None:
        self._matrix = matrix
        self._backend: Callable[[str], str] = functools.partial(parsers.parse_backend, matrix=matrix)

    def settings(self, table: Table, root: Path, file: Path) -> Settings:
        """What the table of the settings says; for what is wrong in it, the default stands in."""
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
        """What a table computes on, by the key; more than one is a fault."""
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
        """What a table says of a machine; None where it does not say what that computes on."""
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
        """See that driver and GPUs are of the accelerator, and there where its version depends on them."""
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
        """The value of a field; its initial one where the table has none, or a wrong one."""
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
    """A value by name; None where there is none, or where it is wrong."""
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
    """The array at `key`, which must hold something, and nothing twice; None if it is missing."""
    values = table.parsed_texts(key, parse)
    if table.raw(key) == []:
        table.fault(key, "is empty")
    for value, count in Counter(values).items():
        if count > 1:
            table.fault(key, f"`{value}` is in it twice")
    return tuple(dict.fromkeys(values)) or None


def _yes_or_value(table: Table, key: str, parse: Callable[[str], object]) -> object:
    """True, false (which says nothing), or a text that is a value."""
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
