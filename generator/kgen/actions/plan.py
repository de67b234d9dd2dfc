"""Flags + settings + matrix + this machine -> the environments that are asked for."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from packaging.version import Version

from kgen import accelerators, host, parsers, uvsettings
from kgen import settings as settings_module
from kgen.accelerators import AUTO, Kind
from kgen.actions import did_you_mean
from kgen.actions.pythons import RequiresPython, allowed_by
from kgen.actions.requirements import FILES, given_in, unnamed_trees_of, with_project
from kgen.errors import ContradictionError, SettingsError, UnknownNameError, UsageError
from kgen.explain.notes import folded
from kgen.fields import ACCELERATORS, BY_NAME, Field, Raw, Scope, accelerators_in, allow_build_command, flags_of
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.matrix.records import Generation
from kgen.model import format as formats
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.grammar import shown
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Marker, Requirement, parse_requirement
from kgen.project import find_root
from kgen.settings import JointEnvironment, Settings, Target

_REPEATED = frozenset({"project", "constraint_files"})
"""Fields of a request that no other flag of a command can stand for, though a lock has none of them by itself."""


_PLACING = frozenset({"dependencies", "requirement_files", "extras", "groups", "outside_folders"})
"""Fields whose flags may bring in source trees."""


class Plan(NamedTuple):
    """What one run is to do.

    Attributes:
        settings: the settings, with the flags over them.
        requests: an environment on a platform each; platforms of one environment stand together.
        notes: choices that were made for the user and that they may want to make themselves.
        written: the settings without the flags.
        form: what flags ask for that is not part of a request, or more than it holds: field -> value.
    """

    settings: Settings
    requests: tuple[EnvironmentRequest, ...]
    notes: tuple[str, ...]
    written: Settings
    form: Mapping[str, object] = MappingProxyType({})


class RequestFlags(NamedTuple):
    """What was typed behind `solve`, `explain` or `lock`.

    Attributes:
        command: which of them it was.
        names: backends, and joint environments of the settings.
        together: the name of the one environment that all backends are to be in; None for one each.
        as_of: the day to go back to, together with the Keras of that day.
        like: the image whose versions are taken, as far as they go together here.
        flags: name of a field -> what its flag was given; fields that were not given may be left out, or None.
        installers: the names of the forms of locks that were asked for besides the default one.
    """

    command: str = "lock"
    names: tuple[str, ...] = ()
    together: str | None = None
    as_of: str | None = None
    like: str | None = None
    flags: Mapping[str, Raw] = MappingProxyType({})
    installers: tuple[str, ...] = ()

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the fields that were asked for."""
        return tuple(name for name, raw in self.flags.items() if raw is not None and raw != [])

    @property
    def is_of_settings(self) -> bool:
        """Whether the settings alone say what is asked for."""
        return not (self.names or self.given or self.together or self.as_of or self.like)

    def command_for(self, names: Iterable[str], more: Mapping[str, Sequence[str]] = MappingProxyType({})) -> str:
        """The same command, as it is typed, for other names.

        Args:
            names: backends and joint environments.
            more: name of a field that takes several values -> what its flag is given besides.
        """
        flags: dict[str, Raw] = dict(self.flags)
        for name, values in more.items():
            given = flags.get(name)
            flags[name] = tuple(dict.fromkeys((*(given if isinstance(given, Sequence) else ()), *values)))
        whole = {"--together": self.together, "--as-of": self.as_of, "--like": self.like}
        words = ["kgen", self.command, *names]
        words += [word for flag, value in whole.items() if value is not None for word in (flag, value)]
        for name, raw in flags.items():
            words += BY_NAME[name].typed(tuple(raw) if isinstance(raw, Sequence) and not isinstance(raw, str) else raw)
        return shlex.join([*words, *(formats.named(one).flag for one in self.installers)])

    def on(self, kind: Kind, value: str, more: Mapping[str, Sequence[str]] = MappingProxyType({})) -> str:
        """The same command, as it is typed, for another accelerator.

        Args:
            kind: its kind.
            value: its version; nothing where the kind has none.
            more: name of a field that takes several values -> what its flag is given besides.
        """
        kinds = {field.name for field in ACCELERATORS}
        flags = {name: raw for name, raw in self.flags.items() if name not in kinds}
        return self._replace(flags={kind.name: value or True, **flags}).command_for(self.names, more)

    def solving(self) -> RequestFlags:
        """The same request to `kgen solve`, which has fewer flags."""
        known = {field.name for field in flags_of(Scope.REQUEST)}
        flags = {name: raw for name, raw in self.flags.items() if name in known}
        return self._replace(command="solve", flags=flags, installers=())


class Draft(NamedTuple):
    """What one run is to do, but for the Pythons that are left to kgen.

    Attributes:
        settings: the settings, with the flags over them.
        requests: an environment on a platform each, without its Python; platforms of one environment stand together.
        python: the Python of all of them, where one is asked for.
        allowed: the Pythons that the project allows; None for all.
        as_of: whether a day was named together with the Keras of then.
        notes: choices that were made for the user and that they may want to make themselves.
        written: the settings without the flags.
        form: what flags ask for that is not part of a request, or more than it holds: field -> value.
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
        """Generation of Keras -> the requests for it, which have their Python together."""
        found: dict[str, list[EnvironmentRequest]] = {}
        for request in self.requests:
            found.setdefault(matrix.generation_of(request.backends).name, []).append(request)
        return {name: tuple(alike) for name, alike in found.items()}

    def on(self, pythons: Mapping[str, Sequence[str]], matrix: CompatibilityMatrix) -> Plan:
        """The plan, with these Pythons.

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
    """The plan with the best Python where it is left to kgen.

    Args:
        drafted: what the call asks for.
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
    """What a call asks for.

    Args:
        asked: what was typed.
        matrix: the facts.
        folder: where kgen was called; the settings are looked for from here on.

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
        _require_lockable(shaped, settings)
    settings = settings._replace(uv=shaped.recorded, exclude_newer=settings.exclude_newer or shaped.day)
    named = asked.names or asked.together is not None
    by_project = () if named else required_backends(settings, matrix)
    environments = _environments(asked, settings, matrix, by_project)
    _require_accelerator_for(asked, settings, matrix)
    notes = [*likeness, *settings.required.notes, *_generation_of_day(written, settings, asked, matrix)]
    if by_project:
        alone = " and ".join(matrix.backends[name].short for name in by_project)
        notes.append(
            f"for {alone} alone, as the project requires no other framework; `backends` in the settings chooses others,"
            f" and so do names behind `kgen {asked.command}`"
        )
    requests = tuple(from_sources(one, shaped, matrix) for one in _drafts(environments, settings, matrix, notes, asked))
    if asked.command == "lock":
        notes += _shaped(requests, settings, shaped, matrix)
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
    """What flags alone allow to be built: a lock that has it is not installed before the settings say the same."""
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
    """That a GPU which is asked for is in no machine of the platform."""
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


def _require_lockable(shaped: uvsettings.Shape, settings: Settings) -> None:
    """See that a lock can be made with uv's configuration.

    Raises:
        SettingsError: it cannot.
    """
    unbuilt = [error for name, error in shaped.unbuilt.items() if name not in settings.build]
    for error in (*shaped.refused, *unbuilt):
        raise error


def from_sources(
    request: EnvironmentRequest, shaped: uvsettings.Shape, matrix: CompatibilityMatrix
) -> EnvironmentRequest:
    """The request with the indexes of uv's configuration that its own dependencies are from.

    Args:
        request: what is asked.
        shaped: what uv is configured with.
        matrix: the facts; on what it follows it decides.
    """
    named = sorted({one.name for one in request.dependencies if not matrix.follows(one.name)} & shaped.sources.keys())
    sources = (uvsettings.recorded_source(name, shaped.sources[name][0]) for name in named)
    return request._replace(uv=tuple(sorted({*request.uv, *sources})))


def _shaped(
    requests: Sequence[EnvironmentRequest], settings: Settings, shaped: uvsettings.Shape, matrix: CompatibilityMatrix
) -> Iterator[str]:
    """What uv is configured with that a lock does not follow.

    Raises:
        SettingsError: it cannot be followed, or leaves out what is asked for.
    """
    for request in requests:
        if shaped.environments and not any(_holds(text, request, matrix) for text in shaped.environments):
            said = " or ".join(shaped.environments)
            raise SettingsError(
                f"{request.environment}: uv's `environments` ({said}) leave out {request.platform}",
                hints=["kgen lock --platform P, with one of them, or take `environments` out of uv's configuration"],
            )
        for wish in request.dependencies:
            where = shaped.elsewhere.get(wish.name)
            if where is not None and wish.url is None and not matrix.follows(wish.name):
                what = f"uv's `sources` take {wish.name} from {where}, which kgen cannot lock"
                mend = (
                    f"build a wheel of {wish.name} (`uv build --wheel`) and name its folder: export UV_FIND_LINKS=dist"
                )
                raise SettingsError(f"{request.environment}: {what}", hints=[mend])
    followed = {name for request in requests for name in (matrix.backends[b].framework for b in request.backends)}
    for name in sorted(followed & {*shaped.sources, *shaped.elsewhere}):
        mirror = mirror_in_sources(shaped, name, matrix)
        if mirror is None:
            yield f"uv's `sources` of {name} are not followed: the matrix decides on its builds; see `torch-index`"
        elif settings.torch_index is None:
            yield (
                f"uv's `sources` of {name} are not followed: the matrix decides on its builds;"
                f" `--torch-index {mirror}` takes them from there"
            )
    if shaped.day is not None and any(request.cutoff == shaped.day for request in requests):
        yield f"nothing published after {shaped.day} counts, as uv's `exclude-newer` says"


def mirror_in_sources(shaped: uvsettings.Shape, framework: str, matrix: CompatibilityMatrix) -> str | None:
    """The folder of the index that uv's `sources` name for a framework, as `torch-index` takes it.

    Returns:
        `https://mirror.example/whl` where the index is `https://mirror.example/whl/cu126`; None where no index is
        named, or its last folder is not the label of a build.
    """
    _, url = shaped.sources.get(framework, ("", ""))
    base, _, label = url.rstrip("/").rpartition("/")
    labels = {build.local for release in matrix.framework(framework).releases for build in release.builds}
    return base if base and label in labels else None


def _holds(text: str, request: EnvironmentRequest, matrix: CompatibilityMatrix) -> bool:
    """Whether a target fulfils a marker; one that cannot be read is uv's to complain about."""
    try:
        return Marker(text).evaluate(matrix.platforms[request.platform].marker_environment(request.python))
    except ValueError:
        return True


def _form(
    asked: RequestFlags, settings: Settings, shaped: uvsettings.Shape, matrix: CompatibilityMatrix
) -> Mapping[str, object]:
    """What a command must repeat of flags and settings beside a request, to come to the same."""
    given = [BY_NAME[name] for name, raw in asked.flags.items() if raw is not None and raw != []]
    form: dict[str, object] = {
        field.name: getattr(settings, field.name)
        for field in given
        if field.lock is None and (field.scope is Scope.LOCK or field.name in _REPEATED)
    }
    # a request holds only whether the index is used, and not where its mirror is
    frameworks = {one.framework for one in matrix.backends.values()} & {*shaped.sources}
    mirrors = (mirror_in_sources(shaped, name, matrix) for name in sorted(frameworks))
    index = settings.torch_index or next(filter(None, mirrors), None)
    return form if index is None else {**form, "torch_index": index}


def _required_python(allowed: RequiresPython, python: str | None) -> Iterator[str]:
    """What the project's own range of Pythons means for a call.

    Raises:
        UsageError: it leaves no Python to choose.
    """
    if python is None and not allowed.minors:
        raise UsageError(
            f"requires-python `{allowed.text}` of {allowed.file} allows no Python that the matrix knows",
            hints=["give one with `--python`, such as `--python 3.12`"],
        )
    if python is None:
        yield f"the Python is one of requires-python `{allowed.text}` of {allowed.file}; `--python` chooses another"
    elif python not in allowed.minors:
        yield f"Python {python} is outside of requires-python `{allowed.text}` of {allowed.file}"


def merge(settings: Settings, asked: RequestFlags, matrix: CompatibilityMatrix, folder: Path) -> Settings:
    """The settings with the flags over them, and what the project requires by itself.

    Args:
        settings: the settings.
        asked: what was typed.
        matrix: the facts.
        folder: where kgen was called: files that flags name are relative to it.

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
    """What a flag says, by the attribute of the settings; where it is repeated and may be, another one has it."""
    plural = None if field.plural is None else BY_NAME[field.plural]
    several = plural is not None and isinstance(raw, Sequence) and not isinstance(raw, str) and len(set(raw)) > 1
    if plural is not None:
        yield plural.name, field._replace(shape=plural.shape).from_flag(raw, matrix) if several else plural.initial
    yield field.name, field.initial if several else field.from_flag(raw, matrix)


def _from_folder(settings: Settings, given: Collection[str], folder: Path) -> Settings:
    """The settings, with the files that flags name as the settings would name them."""
    paths = {name: given_in(folder, settings.root, getattr(settings, name)) for name in FILES if name in given}
    return settings._replace(**paths)  # type: ignore[arg-type]


def accelerator_of(flags: Mapping[str, Raw], matrix: CompatibilityMatrix) -> Accelerator | None:
    """What the flags say that is computed on; None where they say nothing.

    Raises:
        UsageError: a flag is wrong, or they contradict each other.
    """
    given = {field.name: flags.get(field.name) for field in ACCELERATORS}
    asked = [f"`{field.flag}`" for field in ACCELERATORS if given[field.name] not in (None, False)]
    if len(asked) > 1:
        raise ContradictionError(f"{' and '.join(asked)} contradict each other", hints=["give one of them"])
    values = {name: None if raw is None else BY_NAME[name].from_flag(raw, matrix) for name, raw in given.items()}
    return next(iter(accelerators_in(values).values()), None)


def _as_of(settings: Settings, text: str, asked: RequestFlags, matrix: CompatibilityMatrix) -> Settings:
    """The settings on an earlier day, with the Keras of that day if they do not say which."""
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
    """That a generation was taken because of the day alone."""
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
    """The backends whose frameworks the project requires by itself; none where the settings name backends.

    What every backend needs for its own sake, as NumPy, says nothing.
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
    """The environments by name, each with its backends; a single backend is an environment of its own name.

    Args:
        asked: what was typed.
        settings: what is asked for.
        matrix: the facts.
        required: the backends whose frameworks the project requires, where that decides.
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
    """What the settings may be meant by: each backend that they name (every one, if they name none), each joint one."""
    alone = {
        name: JointEnvironment(name=name, backends=(name,), dependencies=())
        for name in settings.backends or tuple(matrix.backends)
    }
    return {**alone, **settings.environments}


def _platforms(settings: Settings, accelerator: Accelerator, matrix: CompatibilityMatrix) -> tuple[str, ...]:
    """The platforms of the settings; else that which the GPUs are built into, or this machine's.

    Where the accelerator does not run on this one, it is the first that it runs on.
    """
    if settings.platforms:
        return settings.platforms
    row = matrix.accelerators.get(accelerator.kind)
    built_in = {None if row is None else row.only_platform(gpu) for gpu in settings.gpu}
    if len(built_in) == 1 and built_in <= matrix.platforms.keys():
        return tuple(one for one in built_in if one is not None)
    here = host.subdir()
    first = next(iter(matrix.platforms))
    if here is None or here not in matrix.platforms:
        return (first,)
    if accelerator == CPU or row is None or here in row.platforms:
        return (here,)
    return row.platforms[:1] or (first,)


def request_for(
    environment: JointEnvironment,
    settings: Settings,
    accelerator: Accelerator,
    platform: str,
    matrix: CompatibilityMatrix,
    *,
    targets: Sequence[Target] = (),
) -> EnvironmentRequest:
    """The request of an environment on a platform, its Python still to be chosen where the settings name none.

    Args:
        environment: the environment.
        settings: what is asked for.
        accelerator: what it computes on.
        platform: the platform.
        matrix: the facts.
        targets: the machines that it is for; none where they are not named, and the settings describe the one.
    """
    own = [settings.backend_dependencies.get(backend, ()) for backend in environment.backends]
    stated = settings.required.dependencies
    several = (settings.require, settings.dependencies, stated, *own, environment.dependencies)
    named = {wish.name for wishes in several for wish in wishes}
    backends = tuple(matrix.in_place_of(backend, named) for backend in environment.backends)
    accelerated = any(matrix.backends[backend].accelerated for backend in backends)
    frameworks = {matrix.backends[backend].framework for backend in backends}
    generation = matrix.generation_of(backends)
    dependencies = (
        *settings.dependencies,
        *_hubs(settings, generation, frameworks),
        *(one for several in own for one in several),
        *environment.dependencies,
    )
    # kgen chooses the build of an environment's own frameworks; what the project says of them is which versions
    about = [one for one in stated if one.name in frameworks]
    for one in (*about, *dependencies):
        if one.url is not None and matrix.follows(one.name):
            raise SettingsError(
                f"{one.name} is to come from {one.url}, and the matrix decides on its builds",
                hints=[f"name its versions alone, in `require` of the settings, such as {one.name}>=1"],
            )
    dependencies = (
        *dependencies,
        *(one for one in stated if one.name not in frameworks and one not in dependencies),
    )
    system = matrix.platforms[platform]
    frameworks |= {KERAS, generation.package, "numpy"}
    libraries = {one.name for one in generation.libraries} & {one.name for one in dependencies}
    asked = tuple(
        wish
        for wish in settings.require
        if _concerns(wish, frameworks, matrix) or matrix.is_imported(wish.name, generation, libraries)
    )
    unknown = tuple(wish for wish in asked if not matrix.follows(wish.name))
    return EnvironmentRequest(
        name=environment.name,
        backends=backends,
        accelerator=accelerator if accelerated else CPU,
        python=settings.python or matrix.pythons[-1].version,
        platform=platform,
        glibc=(
            _glibc(settings, platform, matrix, targets, accelerator if accelerated else CPU)
            if system.glibc is not None
            else None
        ),
        macos=_macos(settings, targets) if system.macos is not None else None,
        driver=settings.driver if accelerated and not targets else None,
        gpus=settings.gpu if accelerated and not targets else (),
        targets=tuple(one.machine for one in targets) if accelerated and accelerator != CPU else (),
        keras=settings.keras,
        requirements=tuple(dict.fromkeys((*(wish for wish in asked if wish not in unknown), *map(_bare, about)))),
        dependencies=(*unknown, *dependencies),
        constraints=settings.constraints,
        uv=settings.uv,
        project_build=settings.project_build,
        cutoff=settings.exclude_newer,
        isolated=settings.isolate_config,
        own_index=settings.torch_index is not None,
        other_frameworks=settings.other_frameworks,
        allow_overlap=settings.allow_overlap,
        build=settings.build,
    )


def _glibc(
    settings: Settings,
    platform: str,
    matrix: CompatibilityMatrix,
    targets: Sequence[Target],
    accelerator: Accelerator,
) -> Version | None:
    """The oldest glibc of the target machines; by default that of machines with the accelerator."""
    said = [one.glibc or settings.glibc for one in targets] or [settings.glibc]
    if not any(said):
        kind = matrix.accelerators.get(accelerator.kind)
        return None if kind is None else kind.glibc
    return min(one for one in (glibc or matrix.platforms[platform].glibc for glibc in said) if one is not None)


def _macos(settings: Settings, targets: Sequence[Target]) -> Version | None:
    """The oldest macOS of the target machines; None where the request names none."""
    return min((one.macos for one in targets if one.macos is not None), default=settings.macos)


def _hubs(settings: Settings, generation: Generation, frameworks: set[str]) -> Iterator[Requirement]:
    """What brings the libraries of models that the settings name, but for what a backend brings anyway."""
    own = {name for framework in frameworks for name in (framework, f"{framework}-cpu")}
    for hub in settings.hubs:
        if hub not in generation.hubs:
            raise UsageError(
                f"`--with-hub {hub}`: {generation.title} has no such library of models",
                hints=["leave it out, or name a package with `--dependency`"],
            )
        yield from (wish for wish in map(parse_requirement, generation.hubs[hub]) if wish.name not in own)


def _bare(wish: Requirement) -> Requirement:
    """A requirement without its extras."""
    marker = "" if wish.marker is None else f"; {wish.marker}"
    return parse_requirement(f"{wish.name}{wish.specifier}{marker}")


def _concerns(wish: Requirement, frameworks: set[str], matrix: CompatibilityMatrix) -> bool:
    """Whether a requirement is about an environment by itself: one on another backend's framework is not."""
    return wish.name in frameworks or wish.name not in matrix.framework_names


# -- on what -----------------------------------------------------------------------------------------------------------


def _drafts(
    environments: Sequence[JointEnvironment],
    settings: Settings,
    matrix: CompatibilityMatrix,
    notes: list[str],
    asked: RequestFlags,
) -> list[EnvironmentRequest]:
    """A request for each environment, accelerator and platform, their Pythons still to be chosen."""
    targets = _targets(settings)
    if not targets:
        accelerator = _accelerator(settings, environments, matrix, notes, asked)
        return [
            request_for(environment, settings, accelerator, platform, matrix)
            for environment in environments
            for platform in _platforms(settings, accelerator, matrix)
        ]
    chosen = [_with_version(one, settings, environments, matrix, notes, asked=asked) for one in targets]
    return [
        request_for(environment, settings, accelerator, platform, matrix, targets=there)
        for environment in environments
        for accelerator, of in by_accelerator(environment, chosen, matrix).items()
        for platform, there in by_platform(of, settings, accelerator, matrix).items()
    ]


def _targets(settings: Settings) -> tuple[Target, ...]:
    """The targets of the settings that are meant, with what flags say of them; none where flags describe a machine.

    Raises:
        UsageError: there is none of a name that is asked for, or what is asked for contradicts it.
    """
    described, asked = settings.described, settings.accelerator
    flag = BY_NAME["targets"].flag
    for name in settings.targets:
        settings_module.target_of(settings, name)
    machine = [str(BY_NAME[name].flag) for name in ("driver", "gpu") if getattr(settings, name)]
    if settings.targets and machine:
        raise ContradictionError(
            f"`{flag}` and `{machine[0]}` contradict each other: a target says what its machine has",
            hints=[f"give one of them, such as `{flag} {settings.targets[0]}`"],
        )
    if machine:
        return ()
    found = [one for name, one in described.items() if name in (settings.targets or described)]
    if asked is None:
        return tuple(found)
    for one in found:
        if settings.targets and one.accelerator.kind != asked.kind:
            raise UsageError(
                f"{flag}: target {one.name} is for {accelerators.title(one.accelerator)}, and"
                f" {accelerators.title(asked)} is asked for",
                hints=[f"give one of them, such as `{flag} {one.name}`"],
            )
    return tuple(
        one._replace(accelerator=asked if asked.version else one.accelerator)
        for one in found
        if one.accelerator.kind == asked.kind
    )


def _with_version(
    target: Target,
    settings: Settings,
    environments: Sequence[JointEnvironment],
    matrix: CompatibilityMatrix,
    notes: list[str],
    *,
    asked: RequestFlags,
) -> Target:
    """A target with the version of its accelerator, which is the newest that it can have where it says none.

    Raises:
        UsageError: there is none that every backend can have there.
    """
    kind = accelerators.kind(target.accelerator.kind)
    if not kind.versioned or target.accelerator.version:
        return target
    alone = settings._replace(driver=target.driver, gpu=target.gpu, platforms=target.platforms or settings.platforms)
    return target._replace(
        accelerator=_newest(alone, environments, matrix, notes, flags=asked, kind=kind, target=target.name)
    )


def by_accelerator(
    environment: JointEnvironment, targets: Sequence[Target], matrix: CompatibilityMatrix
) -> dict[Accelerator, list[Target]]:
    """The targets that share a lock of an environment: by what it computes on there, at most at the oldest minor."""
    accelerated = any(matrix.backends[backend].accelerated for backend in environment.backends)
    groups: dict[str, list[Target]] = {}
    for one in targets:
        groups.setdefault(one.accelerator.name if accelerated else CPU.name, []).append(one)
    found = {}
    for own in groups.values():
        limits = [one.accelerator for one in own if one.accelerator.minor is not None]
        least = min(limits, key=lambda one: one.version, default=own[0].accelerator)
        found[least if accelerated else CPU] = own
    return found


def by_platform(
    targets: Sequence[Target], settings: Settings, accelerator: Accelerator, matrix: CompatibilityMatrix
) -> dict[str, list[Target]]:
    """The targets by their platforms; those that name none have that of the settings, or else of this machine."""
    found: dict[str, list[Target]] = {}
    for one in targets:
        for platform in one.platforms or _platforms(settings, accelerator, matrix):
            found.setdefault(platform, []).append(one)
    return found


def _accelerator(
    settings: Settings,
    environments: Sequence[JointEnvironment],
    matrix: CompatibilityMatrix,
    notes: list[str],
    asked: RequestFlags,
) -> Accelerator:
    wanted = settings.accelerator
    if wanted is None:
        notes.append("for the CPU, as nothing else was asked; for a GPU choose CUDA: --cuda 12, or --cuda auto")
        return CPU
    kind = accelerators.kind(wanted.kind)
    if wanted != CPU:
        _require_vocabulary(settings, kind)
    if kind.versioned and not wanted.version:
        return _auto(settings, environments, matrix, notes, kind=kind, asked=asked)
    return wanted


def _require_accelerator_for(asked: RequestFlags, settings: Settings, matrix: CompatibilityMatrix) -> None:
    """Check that a request with a GPU or a driver names an accelerator: neither counts for the CPU.

    Raises:
        UsageError: nothing says it.
    """
    if settings.accelerator is not None or _targets(settings):
        return
    flags = {"gpu": list(settings.gpu), "driver": [] if settings.driver is None else [str(settings.driver)]}
    flags = {name: _as_typed(asked, name) or values for name, values in flags.items() if values}
    if not flags:
        return
    kinds = [
        row
        for row in map(accelerators.kind, matrix.accelerators)
        if not list(settings_module.foreign_facts(row, settings.driver, settings.gpu))
    ]
    named = [f"`{shlex.join((str(BY_NAME[name].flag), one))}`" for name, values in flags.items() for one in values]
    makers = " or ".join(dict.fromkeys(kind.maker for kind in kinds))
    raise UsageError(
        f"{' and '.join(named)} {'speaks' if len(named) == 1 else 'speak'} of GPUs of {makers or 'several makers'}, "
        "and no accelerator is asked for",
        hints=[asked.command_for(asked.names, {kind.name: (AUTO,) if kind.versioned else ()}) for kind in kinds]
        or ["name an accelerator, such as --cuda auto"],
    )


def _as_typed(asked: RequestFlags, name: str) -> list[str]:
    """The values of a flag as they were typed: the name of a GPU where the settings have its architecture."""
    raw = asked.flags.get(name)
    return [raw] if isinstance(raw, str) else list(raw) if isinstance(raw, Sequence) else []


def _require_vocabulary(settings: Settings, kind: Kind) -> None:
    """See that the driver and the GPUs are of the accelerator that is asked for.

    Raises:
        UsageError: one is of another.
    """
    for field, why, example in settings_module.foreign_facts(kind, settings.driver, settings.gpu):
        instead = f"give one such as `{field.flag} {example}`" if example else f"leave `{field.flag}` out"
        raise UsageError(f"{field.flag}: {why}", hints=[instead])


def _auto(
    settings: Settings,
    environments: Sequence[JointEnvironment],
    matrix: CompatibilityMatrix,
    notes: list[str],
    *,
    kind: Kind,
    asked: RequestFlags,
) -> Accelerator:
    """The newest version that every backend can have on the driver and GPUs that are named, or on this machine's."""
    driver, gpus, flag = settings.driver, settings.gpu, f"--{kind.name}"
    if driver is None and not gpus:
        machine = kind.probe()
        driver, gpus = machine.driver, machine.architectures
        if not machine.found:
            there = {"driver": [kind.driver_example], "gpu": [kind.architecture_example]}
            raise UsageError(
                f"`{flag} auto`: no {kind.maker} driver was found on this machine"
                + (f" ({machine.note})" if machine.note else ""),
                hints=[
                    f"{asked.on(kind, AUTO, there)}   # for a machine elsewhere: its driver and GPU",
                    f"{asked.on(kind, kind.example)}   # for {kind.title} {kind.example}, whatever machine has it",
                    asked.on(accelerators.kind(CPU.kind), ""),
                ],
            )
    return _newest(settings._replace(driver=driver, gpu=gpus), environments, matrix, notes, flags=asked, kind=kind)


def _newest(
    settings: Settings,
    environments: Sequence[JointEnvironment],
    matrix: CompatibilityMatrix,
    notes: list[str],
    *,
    flags: RequestFlags,
    kind: Kind,
    target: str = "",
) -> Accelerator:
    """The newest version that every backend can have on the driver and GPUs of the settings, which are a target's.

    Raises:
        UsageError: there is none.
    """
    flag = f"--{kind.name}"
    asked = f"target {target}: {kind.name} `auto`" if target else f"`{flag} auto`"
    accelerator = newest_accelerator(settings, environments, matrix, kind.name)
    if accelerator is not None:
        where = "there" if target else "here"
        chosen = accelerators.title(accelerator)
        said = asked if target else f"{flag} auto"
        notes.append(f"{said} is {chosen}, the newest that every backend asked for can have {where}")
        return accelerator
    majors = matrix.majors(kind.name)
    solving = flags.solving().on(kind, str(max(majors, default="")), {"targets": [target]} if target else {})
    hints = [f"{solving}   # says what stands in the way"] if majors else []
    raise UsageError(
        f"{asked}: no {kind.title} major serves every backend on this driver and these GPUs",
        hints=[*hints, *(["or ask for fewer backends"] if len(environments) > 1 else [])],
    )


def newest_accelerator(
    settings: Settings,
    environments: Sequence[JointEnvironment],
    matrix: CompatibilityMatrix,
    kind: str,
    python: str | None = None,
) -> Accelerator | None:
    """The newest version of a kind that every environment can have on the driver and GPUs of the settings, if any.

    Args:
        settings: what is asked for; their accelerator does not matter.
        environments: the environments.
        matrix: the facts.
        kind: the kind of accelerator.
        python: the CPython minor where the settings name none; None to choose the best one.
    """
    from kgen.solver.accelerator import newest_version  # noqa: PLC0415 - a question that names its version needs none of it

    def requests_for(accelerator: Accelerator) -> list[EnvironmentRequest]:
        return [
            request_for(environment, settings, accelerator, platform, matrix)
            for environment in environments
            for platform in _platforms(settings, accelerator, matrix)
        ]

    return newest_version(matrix, kind, requests_for, settings.python or python)
