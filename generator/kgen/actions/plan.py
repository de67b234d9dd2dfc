"""Derives the requested environments from flags, settings, the matrix and this machine."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from kgen import accelerators, host, parsers, uvsettings
from kgen import settings as settings_module
from kgen.actions import did_you_mean
from kgen.actions.environment_request import platforms_of, request_for
from kgen.actions.machines import (
    accelerator_of,
    by_accelerator,
    by_platform,
    chosen_accelerator,
    require_accelerator,
    targets_of,
    with_version,
)
from kgen.actions.pythons import RequiresPython, allowed_by, meant_by, misread
from kgen.actions.request_flags import RequestFlags
from kgen.actions.requirements import FILES, given_in, unnamed_trees_of, with_project
from kgen.actions.uv_sources import from_sources, mirror_in_sources, require_lockable, unfollowed
from kgen.errors import ContradictionError, UnknownNameError, UsageError
from kgen.explain.notes import folded
from kgen.fields import ACCELERATORS, BY_NAME, Field, Raw, Scope, allow_build_command
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.grammar import shown
from kgen.model.request import EnvironmentRequest
from kgen.project import find_root
from kgen.settings import JointEnvironment, Settings

_REPEATED = frozenset({"project", "constraint_files"})
"""Fields of a request that a command must repeat although a lock does not store them."""


_PLACING = frozenset({"dependencies", "requirement_files", "extras", "groups", "outside_folders"})
"""Fields whose flags may bring in source trees."""


class Plan(NamedTuple):
    """What one run has to do.

    Attributes:
        settings: the settings, overridden by flags.
        requests: a request for each environment on each platform; the platforms of one environment are consecutive.
        notes: choices that kgen made and that the user may want to make.
        written: the settings without the flags.
        form: field -> value, for flags that are not part of a request, or say more than it does.
    """

    settings: Settings
    requests: tuple[EnvironmentRequest, ...]
    notes: tuple[str, ...]
    written: Settings
    form: Mapping[str, object] = MappingProxyType({})


class Draft(NamedTuple):
    """What one run has to do, without the Pythons that kgen chooses.

    Attributes:
        settings: the settings, overridden by flags.
        requests: a request for each environment on each platform, without its Python; the platforms of one environment
            are consecutive.
        python: the requested Python for all of them, if there is one.
        allowed: the Pythons that the project allows; None for all.
        as_of: whether the user named a day together with the Keras of that day.
        notes: choices that kgen made and that the user may want to make.
        written: the settings without the flags.
        form: field -> value, for flags that are not part of a request, or say more than it does.
    """

    settings: Settings
    requests: tuple[EnvironmentRequest, ...]
    python: str | None
    allowed: RequiresPython | None
    as_of: bool
    notes: tuple[str, ...]
    written: Settings
    form: Mapping[str, object]

    def of_generations(self, matrix: CompatibilityMatrix) -> Mapping[str, tuple[EnvironmentRequest, ...]]:
        """Generation of Keras -> the requests for it, which share a Python."""
        found: dict[str, list[EnvironmentRequest]] = {}
        for request in self.requests:
            found.setdefault(matrix.generation_of(request.backends).name, []).append(request)
        return {name: tuple(alike) for name, alike in found.items()}

    def on(self, pythons: Mapping[str, Sequence[str]], matrix: CompatibilityMatrix) -> Plan:
        """The plan with these Pythons.

        Args:
            pythons: generation of Keras -> the Pythons of its environments.
            matrix: the facts.
        """
        requests = tuple(
            draft._replace(
                python=minor,
                python_named=bool(self.settings.pythons),
                python_open=self.python is None and not self.settings.pythons,
                as_of=self.as_of,
            )
            for _, alike in itertools.groupby(self.requests, key=lambda draft: (draft.name, draft.accelerator.name))
            for group in (tuple(alike),)
            for minor in pythons[matrix.generation_of(group[0].backends).name]
            for draft in group
        )
        return Plan(self.settings, requests, self.notes, self.written, self.form)


def make(asked: RequestFlags, matrix: CompatibilityMatrix, folder: Path) -> Plan:
    """The plan of a call; see :func:`draft` for arguments and errors."""
    return complete(draft(asked, matrix, folder), matrix)


def complete(drafted: Draft, matrix: CompatibilityMatrix) -> Plan:
    """The plan, with the best Python if kgen chooses it.

    Args:
        drafted: the draft.
        matrix: the facts.
    """
    from kgen.solver.python import best_python  # noqa: PLC0415 - who only looks at locks solves nothing

    minors = None if drafted.allowed is None else drafted.allowed.minors
    pythons = {
        generation: drafted.settings.pythons or (drafted.python or best_python(matrix, alike, minors),)
        for generation, alike in drafted.of_generations(matrix).items()
    }
    return drafted.on(pythons, matrix)


def draft(asked: RequestFlags, matrix: CompatibilityMatrix, folder: Path) -> Draft:
    """The draft of a call.

    Args:
        asked: the flags of the call.
        matrix: the facts.
        folder: the folder in which kgen was called, from which it looks for the settings.

    Raises:
        UsageError: a flag is wrong, or flags contradict each other.
        SettingsError: the settings are wrong.
    """
    root = find_root(folder)
    likeness: tuple[str, ...] = ()
    if asked.like is not None:
        from kgen.actions.like import as_image  # noqa: PLC0415 - it plans by itself what an image leaves possible

        asked, likeness = as_image(asked, matrix, folder)
    written = settings_module.read(root, matrix)
    settings = merge(written, asked, matrix, folder)
    shaped = uvsettings.shape(root)
    if asked.command == "lock":
        require_lockable(shaped, settings)
    settings = settings._replace(uv=shaped.recorded, exclude_newer=settings.exclude_newer or shaped.day)
    named = asked.names or asked.together is not None
    by_project = () if named else required_backends(settings, matrix)
    environments = _environments(asked, settings, matrix, by_project)
    require_accelerator(asked, settings, matrix)
    notes = [*likeness, *settings.required.notes, *_generation_of_day(written, settings, asked, matrix)]
    if by_project:
        alone = " and ".join(matrix.backends[name].short for name in by_project)
        notes.append(
            f"for {alone} alone, as the project requires no other framework; `backends` in the settings chooses others,"
            f" and so do names behind `kgen {asked.command}`"
        )
    drafts = _drafts(environments, settings, matrix, notes, asked)
    requests = tuple(from_sources(one, shaped, settings, matrix) for one in drafts)
    if asked.command == "lock":
        notes += unfollowed(requests, settings, shaped, matrix)
        notes += _vouched_for_by_flags(written, asked, requests, matrix)
    notes += folded((one, note) for one in requests for note in _built_into_others(one, matrix))
    python = settings.python or (None if settings.pythons else host.python_version_file(root))
    allowed = allowed_by(settings, matrix)
    if allowed is not None:
        for one in settings.pythons or (python,):
            notes += _required_python(allowed, one)
    if python is not None and python not in (row.version for row in matrix.pythons):
        raise UnknownNameError(
            f"Python `{python}` is not in the matrix",
            hints=[f"give one of {', '.join(row.version for row in matrix.pythons)}"],
        )
    return Draft(
        settings,
        requests,
        python,
        allowed,
        asked.as_of is not None,
        tuple(notes),
        written,
        _form(asked, settings, shaped, matrix),
    )


def _vouched_for_by_flags(
    written: Settings, asked: RequestFlags, requests: Sequence[EnvironmentRequest], matrix: CompatibilityMatrix
) -> Iterator[str]:
    """Notes on what only flags allow to be built: the lock cannot be installed before the settings allow the same."""
    known = {one.name for request in requests for one in matrix.generation_of(request.backends).sources}
    allowed = {*written.build, *known}
    built = [name for name in dict.fromkeys(name for one in requests for name in one.build) if name not in allowed]
    wishes = dict.fromkeys(wish for one in requests for wish in one.dependencies)
    written = written._replace(outside_folders=written.outside_folders or "outside_folders" in asked.given)
    trees = list(unnamed_trees_of(written, wishes)) if _PLACING & {*asked.given} else []
    ways = [allow_build_command(built)] if built else []
    ways += [f"kgen add {shlex.join(map(str, trees))}"] if trees else []
    names = ", ".join((*built, *(one.name for one in trees)))
    if names:
        lists = " and ".join(f"`{way}`" for way in ways)
        yield f"`kgen sync` builds {names} only where the settings name {'it' if ',' not in names else 'them'}: {lists}"


def _built_into_others(request: EnvironmentRequest, matrix: CompatibilityMatrix) -> Iterator[str]:
    """Notes that a requested GPU does not exist in machines of the platform."""
    row = matrix.accelerators.get(request.accelerator.kind)
    if row is None:
        return
    for gpu in request.every_gpu:
        only = row.only_platform(gpu)
        if only is not None and only != request.platform:
            named = ", ".join(name for name, architecture in row.architectures.items() if architecture == gpu)
            yield (
                f"{request.environment}: GPUs of {accelerators.kind(row.name).architecture} {gpu}"
                f"{f' ({named})' if named else ''} are in machines of {only} alone: `--platform {only}`"
            )


def _form(
    asked: RequestFlags, settings: Settings, shaped: uvsettings.Shape, matrix: CompatibilityMatrix
) -> Mapping[str, object]:
    """What a command must repeat of flags and settings besides a request, to have the same result."""
    given = [BY_NAME[name] for name, raw in asked.flags.items() if raw is not None and raw != []]
    form: dict[str, object] = {
        field.name: getattr(settings, field.name)
        for field in given
        if field.lock is None and (field.scope is Scope.LOCK or field.name in _REPEATED)
    }
    # a request contains whether the index is used, but not the URL of its mirror
    frameworks = {one.framework for one in matrix.backends.values()} & {*shaped.sources}
    mirrors = (mirror_in_sources(shaped, name, matrix) for name in sorted(frameworks))
    index = settings.torch_index or next(filter(None, mirrors), None)
    return form if index is None else {**form, "torch_index": index}


def _required_python(allowed: RequiresPython, python: str | None) -> Iterator[str]:
    """Notes on what the project's own Python range means for a call.

    Raises:
        UsageError: it leaves no Python to choose.
    """
    if python is None and not allowed.minors:
        raise UsageError(
            f"requires-python `{allowed.text}` of {allowed.file} allows no Python that the matrix knows",
            hints=[
                *(f"did you mean `{one}`?" for one in meant_by(allowed.text)),
                "give one with `--python`, such as `--python 3.12`",
            ],
        )
    if python is None:
        yield f"the Python is one of requires-python `{allowed.text}` of {allowed.file}; `--python` chooses another"
    elif python not in allowed.minors:
        yield f"Python {python} is outside of requires-python `{allowed.text}` of {allowed.file}"
    yield from misread(allowed, python)


def merge(settings: Settings, asked: RequestFlags, matrix: CompatibilityMatrix, folder: Path) -> Settings:
    """The settings, overridden by flags, with what the project itself requires.

    Args:
        settings: the settings.
        asked: the flags of the call.
        matrix: the facts.
        folder: the folder in which kgen was called, to which files in flags are relative.

    Raises:
        UsageError: a flag is wrong, or flags contradict each other.
        SettingsError: what the project requires cannot be read.
    """
    given = {name: asked.flags[name] for name in asked.given}
    accelerator = accelerator_of(given, matrix)
    kinds = {field.name for field in ACCELERATORS}
    changes = {
        name: value
        for field, raw in given.items()
        if field not in kinds
        for name, value in _values(BY_NAME[field], raw, matrix)
    }
    if accelerator is not None:
        changes["accelerator"] = accelerator
    merged = settings._replace(**changes)  # type: ignore[arg-type]
    told = {name: changes[name] for name in ("platforms", "glibc") if name in changes}
    merged = merged._replace(described={name: one._replace(**told) for name, one in merged.described.items()})  # type: ignore[arg-type]
    merged = with_project(_from_folder(merged, given, folder))
    if asked.as_of is not None:
        merged = _as_of(merged, asked.as_of, asked, matrix)
    return settings_module.settled(merged, matrix, strict=False)


def _values(field: Field, raw: Raw, matrix: CompatibilityMatrix) -> Iterator[tuple[str, object]]:
    """The value of a flag, by attribute of the settings; a repeated flag may set another attribute."""
    plural = None if field.plural is None else BY_NAME[field.plural]
    several = plural is not None and isinstance(raw, Sequence) and not isinstance(raw, str) and len(set(raw)) > 1
    if plural is not None:
        yield plural.name, field._replace(shape=plural.shape).from_flag(raw, matrix) if several else plural.initial
    yield field.name, field.initial if several else field.from_flag(raw, matrix)


def _from_folder(settings: Settings, given: Collection[str], folder: Path) -> Settings:
    """The settings, with files in flags named as the settings would name them."""
    paths = {name: given_in(folder, settings.root, getattr(settings, name)) for name in FILES if name in given}
    return settings._replace(**paths)  # type: ignore[arg-type]


def _as_of(settings: Settings, text: str, asked: RequestFlags, matrix: CompatibilityMatrix) -> Settings:
    """The settings on an earlier day, with the Keras of that day if they name none."""
    if asked.flags.get("exclude_newer") is not None:
        raise ContradictionError(
            "`--as-of` and `--exclude-newer` contradict each other",
            hints=["give one of them: `--as-of` also takes the Keras of that day"],
        )
    try:
        day = parsers.parse_date(text)
    except ValueError as error:
        raise UsageError(f"--as-of: {error}") from None
    named = settings.generation or settings_module.generation_required(settings, matrix)
    generation = named or settings_module.generation_of_day(day, matrix, asked.names)
    return settings._replace(exclude_newer=day, generation=generation)


def _generation_of_day(
    written: Settings, settings: Settings, asked: RequestFlags, matrix: CompatibilityMatrix
) -> Iterator[str]:
    """Notes that a generation was chosen only because of the day."""
    said = written.generation or asked.flags.get("generation")
    taken = settings.generation
    if asked.as_of is None or said or taken is None:
        return
    if settings_module.generation_required(settings._replace(generation=None), matrix) is None:
        default = next(iter(matrix.generations.values()))
        yield (
            f"{matrix.generations[taken].title}, as {default.title} came out on {default.since};"
            " `--generation` chooses another"
        )


# -- which environments ------------------------------------------------------------------------------------------------


def required_backends(settings: Settings, matrix: CompatibilityMatrix) -> tuple[str, ...]:
    """The backends whose frameworks the project itself requires; none if the settings name backends.

    Packages that every backend needs anyway, such as NumPy, do not count.
    """
    if settings.backends is not None:
        return ()
    required = {one.name for one in settings.required.dependencies}
    default = matrix.default_backends(settings_module.generation_asked(settings, matrix))
    rows = [matrix.backends[name] for name in default]
    return tuple(
        row.name
        for row in rows
        if row.accelerated and required and not required.isdisjoint(matrix.distributions_of(row.framework))
    )


def _environments(
    asked: RequestFlags, settings: Settings, matrix: CompatibilityMatrix, required: Sequence[str]
) -> list[JointEnvironment]:
    """The environments by name, each with its backends; a single backend is an environment with its own name.

    Args:
        asked: the flags of the call.
        settings: the settings.
        matrix: the facts.
        required: the backends whose frameworks the project requires, if they decide.
    """
    generation = settings_module.generation_asked(settings, matrix)
    known = {**dict.fromkeys(matrix.backends), **settings.environments}
    known |= dict.fromkeys(matrix.short_names)
    for name in asked.names:
        if name not in known:
            fault = UnknownNameError(
                f"unknown backend{' or environment' if settings.environments else ''} `{shown(name)}`",
                hints=did_you_mean.hints(name, asked, matrix, settings.environments),
            )
            fault.readings = (name, ())
            raise fault
    named = tuple(
        dict.fromkeys(
            name if name in settings.environments else _full_name(name, generation, matrix, settings)
            for name in asked.names
        )
    )
    default = settings.backends or required or matrix.default_backends(generation)
    if asked.together is not None:
        settings_module.check_name(asked.together, matrix)
        backends = tuple(name for name in named or default if name in matrix.backends)
        if len(backends) < len(named):
            raise UsageError(f"`--together {asked.together}` takes backends, not environments")
        if len(backends) < 2:  # noqa: PLR2004 - together means at least two
            raise UsageError(
                f"`--together {asked.together}` needs at least two backends",
                hints=[f"kgen {asked.command} tensorflow jax torch --together {asked.together}"],
            )
        return [JointEnvironment(name=asked.together, backends=backends, dependencies=())]
    names = named or (*default, *settings.environments)
    return [
        settings.environments.get(name) or JointEnvironment(name=name, backends=(name,), dependencies=())
        for name in names
    ]


def _full_name(name: str, generation: str | None, matrix: CompatibilityMatrix, settings: Settings) -> str:
    try:
        return settings_module.full_name(name, generation, matrix, settings)
    except ValueError as error:
        raise UsageError(str(error), hints=["kgen matrix show generations"]) from None


def known_environments(settings: Settings, matrix: CompatibilityMatrix) -> dict[str, JointEnvironment]:
    """What the settings may mean: each backend that they name (all, if they name none), and each joint environment."""
    alone = {
        name: JointEnvironment(name=name, backends=(name,), dependencies=())
        for name in settings.backends or tuple(matrix.backends)
    }
    return {**alone, **settings.environments}


# -- on what -----------------------------------------------------------------------------------------------------------


def _drafts(
    environments: Sequence[JointEnvironment],
    settings: Settings,
    matrix: CompatibilityMatrix,
    notes: list[str],
    asked: RequestFlags,
) -> list[EnvironmentRequest]:
    """A request for each environment, accelerator and platform, without the Python."""
    targets = targets_of(settings)
    if not targets:
        accelerator = chosen_accelerator(settings, environments, matrix, notes, asked)
        return [
            request_for(environment, settings, accelerator, platform, matrix)
            for environment in environments
            for platform in platforms_of(settings, accelerator, matrix)
        ]
    chosen = [with_version(one, settings, environments, matrix, notes, asked=asked) for one in targets]
    return [
        request_for(environment, settings, accelerator, platform, matrix, targets=there)
        for environment in environments
        for accelerator, of in by_accelerator(environment, chosen, matrix).items()
        for platform, there in by_platform(of, settings, accelerator, matrix).items()
    ]
