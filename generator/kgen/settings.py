"""The project's settings: `kgen.toml`, or `[tool.kgen]` of `pyproject.toml`, as one frozen value.

Says what the user asks for, nothing of what that leads to. The parsers of single values serve
the command line too.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from packaging.version import InvalidVersion, Version

from kgen.errors import SettingsError, UsageError
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.model import grammar
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange
from kgen.model.requirement import Requirement, parse_requirement
from kgen.project import ENVS, KGEN_TOML, PYPROJECT, load, parse_envs
from kgen.tables import Table, mismatch, nearest

T = TypeVar("T")

INSTALLERS = ("uv", "conda")
FLAKE = "flake:kgen"
"""Where a project finds kgen's own flake if it does not say: by its name in Nix's registry, which has no host in it."""
CONDA = ("full", "base")
"""How an environment of conda is filled."""

# as text: most questions ask for few of them, and compiling all costs a run some milliseconds
_BARE_KEY = r"[A-Za-z0-9_-]+"
_CUDA = r"(?P<major>[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2}))?"
_GLIBC = r"2\.(?:0|[1-9][0-9]{0,2})"
_GPU = r"(?:(?:sm|compute)_?)?(?P<major>[1-9][0-9]?)\.?(?P<minor>[0-9])[a-z]?"
_OLDEST_GPU = Version("3.0")
_MOMENT = r"(?s)(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ][0-9].*"
_PATCH = r"(?P<minor>[0-9]+\.[0-9]+)\.[0-9]+\S*"
_CREDENTIALS = r"://[^/@\s]*@|/t/[^/\s]+"
_SECRET = r"://[^/@\s]*:[^/@\s]*@|https?://[^/@\s]*@"  # noqa: S105 - a pattern of one
"""A user alone, as in `ssh://git@host`, is no secret."""
OWN_INDEX = "true"
"""The value of `torch-index` that stands for PyTorch's own index, wherever uv finds that."""

_CHANNEL = r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*|" + grammar.URL
_FLAKE = r"[a-zA-Z][a-zA-Z0-9+._-]*:[!-~]+"
_ACCELERATOR = r".*-(?:cpu|cuda[0-9]*)"
_JOINT = 2
"""Backends that it takes to make a joint environment."""


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


class Settings(NamedTuple):
    """What the project asks for; where it says nothing, None or what kgen does by itself.

    Attributes:
        root: the project's folder, in which `locks` is.
        file: where the settings are; None if there are none.
        backends: the backends, in the order of the settings.
        cuda: `12`, `12.6` or `auto`.
        cpu: whether there is to be no CUDA; never true together with `cuda`.
        python: the CPython minor, as `3.12`.
        platforms: conda's names of the platforms.
        keras: the range of Keras.
        dependencies: what is in every environment.
        portable: whether locks carry no index host.
        installers: what locks are written for: `uv`, `conda`.
        channels: conda's channels, by name or URL, without credentials.
        conda: `full` for all from conda's channels, `base` for Python from there and the rest as wheels.
        glibc: the oldest glibc that the environments must run on.
        driver: the driver of the target machines.
        gpu: compute capabilities that must be served.
        require: constraints on what the matrix follows.
        exclude_newer: nothing published after this day is used.
        torch_index: where builds are that only PyTorch's own index has: :data:`OWN_INDEX` for that index as uv knows
            it, or the URL of a mirror; None where they are not to be used.
        backend_dependencies: backend -> what is in its environment only.
        environments: the joint environments by name.
        envs: the folder of the environments on disk, relative to `root` or absolute.
        nix: whether `kgen lock` writes a `flake.nix` where there is none.
        flake: where that finds kgen's own flake, as Nix writes it.
        generation: the generation of Keras; None if it follows from what else is said.
        hubs: which libraries of models are in every environment: `cv`, `nlp`.
        isolate_config: whether each environment has Keras's settings in its own folder.
    """

    root: Path
    file: Path | None = None
    backends: tuple[str, ...] | None = None
    cuda: str | None = None
    cpu: bool = False
    python: str | None = None
    platforms: tuple[str, ...] | None = None
    keras: VersionRange = VersionRange()
    dependencies: tuple[Requirement, ...] = ()
    portable: bool = False
    installers: tuple[str, ...] = ("uv",)
    channels: tuple[str, ...] = ("conda-forge",)
    conda: str = "full"
    glibc: Version | None = None
    driver: DriverVersion | None = None
    gpu: tuple[Version, ...] = ()
    require: tuple[Requirement, ...] = ()
    exclude_newer: dt.date | None = None
    torch_index: str | None = None
    backend_dependencies: Mapping[str, tuple[Requirement, ...]] = MappingProxyType({})
    environments: Mapping[str, JointEnvironment] = MappingProxyType({})
    envs: Path = ENVS
    nix: bool = True
    flake: str = FLAKE
    generation: str | None = None
    hubs: tuple[str, ...] = ()
    isolate_config: bool = False


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
            "\n".join(f"{file.name}: {grammar.printable(fault)}" for fault in faults), hints=[f"edit {file}"]
        )
    return settings


def settled(settings: Settings, matrix: CompatibilityMatrix, *, strict: bool = True) -> Settings:
    """The settings with each backend by its full name: `keras2-theano` where `theano` is said, in its generation.

    Args:
        settings: as they were read.
        matrix: the facts.
        strict: whether a backend that the generation has not is a fault; else it is left out, as where a flag asks for
            another generation than the settings were written for.

    Raises:
        ValueError: the generation has no such backend.
    """
    generation = generation_asked(settings, matrix)

    def full(names: tuple[str, ...]) -> tuple[str, ...]:
        kept = names if strict else [name for name in names if matrix.backend_named(name, generation)]
        return tuple(full_name(name, generation, matrix) for name in kept)

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


def full_name(name: str, generation: str | None, matrix: CompatibilityMatrix) -> str:
    """What kgen calls a backend.

    Args:
        name: by whatever name.
        generation: the generation that is asked for; None for the first that has it.
        matrix: the facts.

    Raises:
        ValueError: there is none of this name.
    """
    row = matrix.backend_named(name, generation)
    if row is not None:
        return row.name
    own = [one.short for one in matrix.backends.values() if one.generation == generation]
    title = "Keras" if generation is None else matrix.generations[generation].title
    raise ValueError(f"`{_shown(name)}` is no backend of {title}; it has {', '.join(own) or 'none'}")


def generation_asked(settings: Settings, matrix: CompatibilityMatrix) -> str | None:
    """The generation that the settings name, or that alone has what they require of Keras; None for no matter which."""
    if settings.generation is not None:
        return settings.generation
    required = generation_required(settings, matrix)
    return None if required == next(iter(matrix.generations)) else required


def generation_required(settings: Settings, matrix: CompatibilityMatrix) -> str | None:
    """The first generation that has what the settings require of Keras; None where they require nothing of it."""
    for generation in matrix.generations.values():
        ranges = [
            wish.specifier for wish in (*settings.require, *settings.dependencies) if wish.name == generation.package
        ]
        if generation.package == KERAS and settings.keras:
            ranges.append(settings.keras)
        if ranges and any(
            all(version in one for one in (*ranges, generation.range))
            for version in (release.version for release in matrix.framework(generation.package).releases)
        ):
            return generation.name
    return None


def generation_of_day(day: dt.date, matrix: CompatibilityMatrix) -> str | None:
    """The newest generation that had a release by this day; None if that is the default one, or none had."""
    there = [one for one in matrix.generations.values() if one.since <= day]
    found = max(there, key=lambda one: one.since, default=None)
    return None if found is None or found.name == next(iter(matrix.generations)) else found.name


def check_name(name: str, matrix: CompatibilityMatrix) -> None:
    """See that a joint environment may have this name.

    Raises:
        UsageError: it may not.
    """
    problem = _name_problem(name, matrix)
    if problem is not None:
        raise UsageError(f"--together: `{_shown(name)}` {problem}", hints=["choose another, such as `--together all`"])


def parse_backend(text: str, matrix: CompatibilityMatrix) -> str:
    """The name of a backend that the matrix knows.

    Raises:
        ValueError: it knows none of this name.
    """
    return text if text in matrix.backends else _known(text, matrix.short_names, "backend")


def parse_generation(text: str, matrix: CompatibilityMatrix) -> str:
    """The name of a generation of Keras that the matrix knows.

    Raises:
        ValueError: it knows none of this name.
    """
    return _known(text, tuple(matrix.generations), "generation")


def parse_hub(text: str, matrix: CompatibilityMatrix) -> str:
    """What a library of models is for: `cv`, `nlp`.

    Raises:
        ValueError: no generation has such a library.
    """
    hubs = dict.fromkeys(hub for generation in matrix.generations.values() for hub in generation.hubs)
    return _known(text, tuple(hubs), "library of models")


def parse_platform(text: str, matrix: CompatibilityMatrix) -> str:
    """Conda's name of a platform that the matrix knows.

    Raises:
        ValueError: it knows none of this name.
    """
    return _known(text, tuple(matrix.platforms), "platform")


def parse_python(text: str, matrix: CompatibilityMatrix) -> str:
    """A CPython minor that the matrix knows, as `3.12`.

    Raises:
        ValueError: it knows no such minor, or this is none.
    """
    known = [row.version for row in matrix.pythons]
    if text in known:
        return text
    patch = re.fullmatch(_PATCH, text)
    if patch is not None and patch["minor"] in known:
        raise ValueError(f"`{_shown(text)}` names a patch release; give the minor, `{patch['minor']}`")
    raise ValueError(f"unknown Python `{_shown(text)}`; known are {', '.join(known)}")


def parse_cuda(text: str, matrix: CompatibilityMatrix) -> str:
    """`12`, `12.6` or `auto`.

    Raises:
        ValueError: it is none of these, or the matrix knows no such major.
    """
    if text == "auto":
        return text
    majors = ", ".join(str(major) for major in sorted(matrix.cuda_majors))
    match = re.fullmatch(_CUDA, text)
    if match is None:
        raise ValueError(
            f"`{_shown(text)}` is no version of CUDA; give a major or major.minor such as 12 or 12.6, or auto"
        )
    if int(match["major"]) not in matrix.cuda_majors:
        raise ValueError(f"unknown CUDA `{text}`; known are {majors}")
    return text


def parse_installer(text: str) -> str:
    """`uv` or `conda`.

    Raises:
        ValueError: it is neither.
    """
    return _known(text, INSTALLERS, "installer")


def parse_conda(text: str) -> str:
    """`full` or `base`.

    Raises:
        ValueError: it is neither.
    """
    return _known(text, CONDA, "way to fill a conda environment")


def parse_channel(text: str) -> str:
    """A channel of conda, by its name or its URL.

    Raises:
        ValueError: it is neither, or holds credentials: a lock names its channels, and is committed.
    """
    grammar.line(text)
    if re.search(_CREDENTIALS, text):
        raise ValueError(f"`{_shown(text)}` holds credentials, which a lock would carry on; leave them to conda")
    if re.fullmatch(_CHANNEL, text) is None:
        raise ValueError(f"`{_shown(text)}` is no channel such as conda-forge or https://conda.example/main")
    return text


def parse_flake(text: str) -> str:
    """Where a flake is, as Nix writes it: `flake:kgen`, `github:owner/repository`, `path:../kgen`.

    Raises:
        ValueError: it is none, or holds credentials: `flake.nix` is committed.
    """
    grammar.line(text)
    if re.search(_SECRET, text):
        raise ValueError(
            f"`{_shown(text)}` holds credentials, which flake.nix would carry on; leave them to Nix or git"
        )
    if re.fullmatch(_FLAKE, text) is None:
        raise ValueError(f"`{_shown(text)}` is no flake such as flake:kgen or git+ssh://host/kgen")
    return text


def parse_requirement_flag(text: str) -> Requirement:
    """A requirement on a package of the index; its name is normalised.

    Raises:
        ValueError: it is none, or names a URL. A lock pins what an index has.
    """
    try:
        requirement = parse_requirement(grammar.line(text))
    except ValueError:
        raise ValueError(f"`{_shown(text)}` is no requirement such as scikit-learn>=1.5") from None
    if requirement.url is not None:
        raise ValueError(f"`{_shown(requirement.name)}` is wanted from a URL; locks pin files of an index only")
    return requirement


def parse_specifiers(text: str) -> VersionRange:
    """A range of versions, as `>=3.10`.

    Raises:
        ValueError: it is none.
    """
    try:
        return VersionRange(grammar.line(text))
    except ValueError:
        pass
    try:
        example = f"=={Version(text)}"
    except InvalidVersion:
        raise ValueError(f"`{_shown(text)}` is no range of versions such as >=3.10,<4") from None
    raise ValueError(f"`{_shown(text)}` is no range of versions; for this version only, write {example}")


def parse_glibc(text: str) -> Version:
    """A version of glibc, as `2.28`.

    Raises:
        ValueError: it is none.
    """
    if re.fullmatch(_GLIBC, text) is None:
        raise ValueError(f"`{_shown(text)}` is no version of glibc such as 2.28")
    return Version(text)


def parse_driver(text: str) -> DriverVersion:
    """A version of NVIDIA's driver, as `535.183` or `580.65.06`, or a branch alone, as `580`.

    Raises:
        ValueError: it is none.
    """
    try:
        return DriverVersion(text)
    except ValueError:
        raise ValueError(f"`{_shown(text)}` is no driver version such as 535.183 or 580.65.06") from None


def parse_gpu(text: str) -> Version:
    """A compute capability, as `8.0`, `80`, `sm_80`, `compute_80` or `sm_90a`.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(_GPU, text)
    if match is not None:
        capability = Version(f"{match['major']}.{match['minor']}")
        # Without a dot the last digit is the minor: `12` would be 1.2, and 12.0 was meant.
        if capability >= _OLDEST_GPU:
            return capability
    raise ValueError(
        f"`{_shown(text)}` is no compute capability such as 8.0 or sm_80;"
        " `nvidia-smi --query-gpu=name,compute_cap --format=csv` tells that of a GPU"
    )


def parse_torch_index(text: str) -> str:
    """`true`, or the URL of a mirror of PyTorch's own index: of the folder that holds `cpu`, `cu126` and so on.

    Raises:
        ValueError: it is neither, or holds credentials: settings are committed.
    """
    if text == OWN_INDEX:
        return text
    grammar.line(text)
    if re.search(_CREDENTIALS, text):
        raise ValueError(f"`{_shown(text)}` holds credentials, which settings would carry on; put them into ~/.netrc")
    if re.fullmatch(grammar.URL, text) is None:
        raise ValueError(f"`{_shown(text)}` is neither true nor a URL such as https://mirror.example/whl")
    return text.rstrip("/")


def parse_date(text: str) -> dt.date:
    """A day, as `2026-11-20`.

    Raises:
        ValueError: it is none. A moment is refused: the matrix knows the day of a release and no more.
    """
    moment = re.fullmatch(_MOMENT, text)
    if moment is not None:
        raise ValueError(f"`{_shown(text)}` is a moment; give the day alone, {moment['day']}")
    try:
        return grammar.day(text)
    except ValueError:
        raise ValueError(f"`{_shown(text)}` is no day such as 2026-11-20") from None


class _Reader:
    """Reads the tables of the settings against a matrix; notes faults, raises nothing for them."""

    def __init__(self, matrix: CompatibilityMatrix) -> None:
        self._matrix = matrix
        self._backend: Callable[[str], str] = functools.partial(parse_backend, matrix=matrix)

    def settings(self, table: Table, root: Path, file: Path) -> Settings:
        """What the table of the settings says; for what is wrong in it, the default stands in."""
        settings = Settings(
            root=root,
            file=file,
            backends=_distinct(table, "backends", self._backend),
            cuda=table.parsed("cuda", functools.partial(parse_cuda, matrix=self._matrix)),
            cpu=table.get("cpu", bool) or False,
            python=table.parsed("python", functools.partial(parse_python, matrix=self._matrix)),
            platforms=_distinct(table, "platforms", functools.partial(parse_platform, matrix=self._matrix)),
            keras=table.parsed("keras", parse_specifiers) or VersionRange(),
            dependencies=table.parsed_texts("dependencies", parse_requirement_flag),
            portable=table.get("portable", bool) or False,
            installers=_distinct(table, "installers", parse_installer) or ("uv",),
            channels=_distinct(table, "channels", parse_channel) or ("conda-forge",),
            conda=table.parsed("conda", parse_conda) or "full",
            glibc=table.parsed("glibc", parse_glibc),
            driver=table.parsed("driver", parse_driver),
            gpu=tuple(dict.fromkeys(table.parsed_texts("gpu", parse_gpu))),
            require=table.parsed_texts("require", parse_requirement_flag),
            exclude_newer=_day(table, "exclude-newer"),
            torch_index=_torch_index(table),
            backend_dependencies=self._backends(table.table("backend")),
            environments=self._environments(table.table("environment")),
            envs=table.parsed("envs", parse_envs) or ENVS,
            nix=_on_unless_said(table, "nix"),
            flake=table.parsed("flake", parse_flake) or FLAKE,
            generation=table.parsed("generation", functools.partial(parse_generation, matrix=self._matrix)),
            hubs=_distinct(table, "with-hub", functools.partial(parse_hub, matrix=self._matrix)) or (),
            isolate_config=table.get("isolate-config", bool) or False,
        )
        if settings.cuda is not None and settings.cpu:
            table.fault("cpu", "contradicts `cuda`; keep one of the two")
        if file.name == KGEN_TOML and table.raw("tool") is not None:
            table.fault("tool", f"in {KGEN_TOML} the keys stand at the top, in no table `tool.kgen`")
        table.close()
        return settings

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
            found[name] = row.parsed_texts("dependencies", parse_requirement_flag)
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
                dependencies=row.parsed_texts("dependencies", parse_requirement_flag),
            )
            row.close()
        return found


def _on_unless_said(table: Table, key: str) -> bool:
    return table.get(key, bool) is not False


def _distinct(table: Table, key: str, parse: Callable[[str], T]) -> tuple[T, ...] | None:
    """The array at `key`, which must hold something, and nothing twice; None if it is missing."""
    values = table.parsed_texts(key, parse)
    if table.raw(key) == []:
        table.fault(key, "is empty")
    for value, count in Counter(values).items():
        if count > 1:
            table.fault(key, f"`{value}` is in it twice")
    return tuple(dict.fromkeys(values)) or None


def _torch_index(table: Table) -> str | None:
    value = table.raw("torch-index")
    if type(value) is bool:
        return OWN_INDEX if value else None
    if type(value) is str:
        return table.parsed("torch-index", parse_torch_index)
    if value is not None:
        table.fault("torch-index", mismatch(value, bool, str))
    return None


def _day(table: Table, key: str) -> dt.date | None:
    value = table.raw(key)
    if type(value) is dt.date:
        return value
    if type(value) is dt.datetime:
        table.fault(key, f"`{value.isoformat()}` is a moment; give the day alone, {value.date().isoformat()}")
    elif type(value) is str:
        return table.parsed(key, parse_date)
    elif value is not None:
        table.fault(key, mismatch(value, dt.date, str))
    return None


def _known(text: str, known: tuple[str, ...], what: str) -> str:
    if text in known:
        return text
    near = nearest(text, known)
    guess = f"did you mean `{near}`? Known" if near else "known"
    raise ValueError(f"unknown {what} `{_shown(text)}`; {guess} are {', '.join(known)}")


def _name_problem(name: str, matrix: CompatibilityMatrix) -> str | None:
    """Why an environment may not have this name, as the rest of a sentence."""
    if re.fullmatch(grammar.NAME, name) is None:
        return "is not made of a-z, 0-9 and inner hyphens"
    if len(name) > grammar.LONGEST_NAME:
        return f"is longer than {grammar.LONGEST_NAME} characters"
    if any(name in {row.name, row.selected, row.short} for row in matrix.backends.values()):
        return "is that of a backend"
    if re.fullmatch(_ACCELERATOR, name) is not None:
        return "ends like an accelerator, which kgen adds by itself"
    return None


def _key(name: str) -> str:
    """A name as a TOML key."""
    if re.fullmatch(_BARE_KEY, name):
        return name
    import json  # noqa: PLC0415 - only such a name pays for it

    return json.dumps(name, ensure_ascii=False)


def _shown(text: str) -> str:
    """A wrong value for a message: printable, not endless, and without what is secret in a URL."""
    hidden = re.sub(_CREDENTIALS, lambda match: "://…@" if match[0].startswith(":") else "/t/…", text)
    return grammar.shown(hidden)
