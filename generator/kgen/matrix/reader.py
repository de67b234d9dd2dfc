"""TOML text of one matrix file -> records. Reports every fault of the file with its dotted path."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable, Iterator

from packaging.version import Version

from kgen import accelerators
from kgen.matrix.records import (
    AcceleratorKind,
    AcceleratorMajor,
    Backend,
    Build,
    Companion,
    Conda,
    CondaBuild,
    CondaFramework,
    CondaLimit,
    CondaNames,
    CudnnSupport,
    Elsewhere,
    Ended,
    ForwardPackage,
    Framework,
    Generation,
    GpuFailure,
    Image,
    Library,
    LibraryRelease,
    ModelLibrary,
    Platform,
    ProjectNames,
    Provenance,
    PythonMinor,
    Release,
    SonameProvider,
    SourceDistribution,
    Toolkit,
)
from kgen.model import grammar
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.architecture import Architectures, DeviceCode
from kgen.model.driver import DriverVersion
from kgen.model.ranges import VersionRange
from kgen.model.requirement import parse_requirement
from kgen.tables import Table

_NUMBER = r"[0-9]{1,4}"
_PROGRAM = r"[a-z0-9][a-z0-9+.-]{1,60}"
"""A Debian package, by Debian's policy."""
_ZERO = Version("0")
_NO_DRIVER = DriverVersion("000")

DEFAULT_GENERATION = "keras3"
"""The generation of a backend whose row names none."""

ONLY_GENERATION = Generation(
    name=DEFAULT_GENERATION,
    title="Keras",
    package="keras",
    module="keras",
    range=VersionRange(),
    pythons=VersionRange(),
    since=datetime.date.min,
    ended=None,
    home="KERAS_HOME",
    configuration={},
    shared=(),
    hubs={},
    libraries=(),
    sources=(),
    provenance=Provenance(source="", checked=datetime.date.min),
)
"""That of a matrix which does not tell generations apart."""


@functools.cache
def _version(text: str) -> Version:
    return Version(grammar.version(text))


def _specifiers(text: str) -> VersionRange:
    try:
        return VersionRange(text)
    except ValueError:
        raise ValueError(f"`{text}` is not a range of versions") from None


def _minor(text: str) -> str:
    try:
        return grammar.python(text)
    except ValueError:
        raise ValueError(f"`{grammar.shown(text)}` is not of the form major.minor") from None


def _program(text: str) -> str:
    if re.fullmatch(_PROGRAM, text) is None:
        raise ValueError(f"`{grammar.shown(text)}` is not a package of Debian's")
    return text


def _requirement_text(text: str) -> str:
    parse_requirement(text)
    return text


def _number(text: str) -> int:
    if re.fullmatch(_NUMBER, text) is None:
        raise ValueError(f"`{grammar.shown(text)}` is not a whole number")
    return int(text)


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groupindex
    except re.error as error:
        raise ValueError(f"`{grammar.shown(text)}` is not a regular expression: {error}") from None
    if "major" not in groups:
        raise ValueError(f"`{grammar.shown(text)}` has no group `major`")
    return text


def _built_for(row: Table) -> Accelerator:
    """The accelerator of a build, which its key states: `cuda = "12.8"`, `tpu = true`; the CPU without one."""

    def read(kind: str) -> Accelerator | None:
        if accelerators.kind(kind).versioned:
            return row.parsed(kind, lambda text: Accelerator.numbered(kind, text))
        if not row.get(kind, bool):
            row.fault(kind, "should be true, or not be there")
        return Accelerator(kind)

    return _of_kind(row, read) or CPU


def _major_text(row: Table) -> Accelerator:
    """The kind and major of a row, which is mandatory: `cuda = "12"`."""

    def read(kind: str) -> Accelerator | None:
        number = row.parsed(kind, _number)
        return None if number is None else Accelerator(kind, (number,))

    if not any(row.has(kind) for kind in accelerators.names()):
        row.fault("cuda", "is missing, or another kind of accelerator in its place")
    return _of_kind(row, read) or CPU


def _major(row: Table) -> Accelerator | None:
    """The kind and major of a row, if it has one: `cuda = 12`."""

    def read(kind: str) -> Accelerator | None:
        number = row.get(kind, int)
        return None if number is None else Accelerator(kind, (number,))

    return _of_kind(row, read)


def _of_kind(row: Table, read: Callable[[str], Accelerator | None]) -> Accelerator | None:
    there = [kind for kind in accelerators.names() if row.has(kind)]
    found = [read(kind) for kind in there]
    for other in there[1:]:
        row.fault(other, f"is there beside `{there[0]}`")
    return found[0] if found else None


def _names(file: Table, parse: Callable[[str], str]) -> Iterator[str]:
    """The names of the tables in a file; reports invalid ones."""
    for name in file:
        try:
            yield parse(name)
        except ValueError as error:
            file.fault(name, str(error))


def _provenance(row: Table) -> Provenance:
    return Provenance(source=row.text("source"), checked=row.date("checked"))


def _glibc_by_platform(row: Table) -> dict[str, Version | None]:
    inner = row.table("platforms", required=True)
    return {
        name: inner.parsed(name, _version) if text else None for name, text in row.mapping("platforms", str).items()
    }


def read_accelerators(file: Table) -> dict[str, AcceleratorKind]:
    """`accelerators.toml`: the accelerator kinds by name."""
    kinds = {}
    for name in file:
        if name not in accelerators.names():
            file.fault(name, f"no module of this kind; known are {', '.join(accelerators.names())}")
            continue
        row = file.table(name)
        kinds[name] = AcceleratorKind(
            name=name,
            majors=_majors(row, name),
            platforms=row.parsed_texts("platforms", grammar.platform),
            glibc=row.parsed("glibc", _version),
            runtime=row.get("runtime", str),
            unique=row.parsed_mapping("unique", grammar.project, grammar.line),
            versioned=row.texts("versioned"),
            toolkit=row.parsed("toolkit", grammar.project),
            packages=row.parsed("packages", _pattern),
            architectures=row.parsed_mapping("architectures", grammar.line, grammar.architecture),
            exact=row.parsed_texts("exact", grammar.architecture),
            built_in=_built_in(row),
            data_center=row.parsed_texts("data-center", grammar.line),
            forward=_forward(row, name),
            hiding=row.parsed_texts("hiding", grammar.variable),
            environment=row.parsed_mapping("environment", grammar.variable, grammar.line),
            devices=row.parsed_mapping("devices", grammar.variable, grammar.line),
            provenance=_provenance(row),
        )
        row.close()
    return kinds


def _built_in(kind: Table) -> dict[str, tuple[str, ...]]:
    """Platform -> architectures."""
    table = kind.table("built-in", required=False)
    found = {}
    for name in table:
        try:
            platform = grammar.platform(name)
        except ValueError as error:
            table.fault(name, str(error))
            continue
        found[platform] = table.parsed_texts(name, grammar.architecture)
    return found


def _majors(kind: Table, name: str) -> dict[int, AcceleratorMajor]:
    majors: dict[int, AcceleratorMajor] = {}
    for row in kind.tables("major"):
        versioned = accelerators.kind(name).versioned
        major = row.parsed("version", _number, required=versioned) or 0
        if not versioned and (row.has("version") or majors):
            row.fault("version", f"{name} has no versions, and so one row without any")
        majors[major] = AcceleratorMajor(
            accelerator=Accelerator(name, (major,) if versioned else ()),
            driver=row.parsed("driver", DriverVersion),
            drivers=_drivers(row),
            architectures=row.parsed("gpu", Architectures.parse, required=True) or Architectures(),
            provenance=_provenance(row),
        )
        row.close()
    return dict(sorted(majors.items()))


def _drivers(row: Table) -> dict[str, DriverVersion]:
    """The drivers of platforms that number theirs differently."""
    return row.parsed_mapping("drivers", grammar.platform, DriverVersion)


def _numbered(kind: str) -> Callable[[str], Accelerator]:
    return lambda text: Accelerator.numbered(kind, text)


def _forward(kind: Table, name: str) -> tuple[ForwardPackage, ...]:
    """The forward-compatibility packages, oldest first."""
    found = []
    for row in kind.tables("forward"):
        found.append(
            ForwardPackage(
                name=row.parsed("name", grammar.project, required=True) or "",
                accelerator=row.parsed("version", _numbered(name), required=True) or Accelerator(name, ()),
                platforms=row.parsed_texts("platforms", grammar.platform),
                driver=row.parsed("driver", DriverVersion, required=True) or _NO_DRIVER,
                bases=tuple(map(DriverVersion, row.parsed_texts("bases", grammar.driver))),
                provenance=_provenance(row),
            )
        )
        row.close()
    return tuple(sorted(found, key=lambda package: package.accelerator.version))


def read_pythons(file: Table) -> tuple[PythonMinor, ...]:
    """`python.toml`: the CPython minors, oldest first."""
    rows = []
    for row in file.tables("python"):
        rows.append(
            PythonMinor(
                version=row.parsed("version", _minor, required=True) or "0.0",
                released=row.date("released"),
                provenance=_provenance(row),
            )
        )
        row.close()
    file.close()
    return tuple(sorted(rows, key=lambda row: Version(row.version)))


def read_platforms(file: Table) -> dict[str, Platform]:
    """`platforms.toml`: the target platforms by conda subdir."""
    platforms = {}
    for name in _names(file, grammar.platform):
        row = file.table(name)
        platforms[name] = Platform(
            name=name,
            markers={
                "platform_machine": row.text("machine"),
                "sys_platform": row.text("sys-platform"),
                "platform_system": row.text("platform-system"),
                "os_name": row.text("os-name"),
            },
            glibc=row.parsed("glibc", _version),
            macos=row.parsed("macos", _version),
            uv=row.text("uv"),
            uv_glibc=tuple(sorted(row.parsed_texts("uv-glibc", _version))),
            provenance=_provenance(row),
        )
        row.close()
    return platforms


def read_backends(file: Table) -> dict[str, Backend]:
    """`backends.toml`: the backends, in the order of the file, which is their order everywhere."""
    backends = {}
    for name in _names(file, grammar.backend):
        row = file.table(name)
        environment = row.parsed_mapping("environment", grammar.variable, grammar.line)
        backends[name] = Backend(
            name=name,
            generation=row.get("generation", str) or DEFAULT_GENERATION,
            framework=row.parsed("framework", grammar.project, required=True) or "",
            instead_of=row.get("instead-of", str),
            releases=row.parsed("releases", _specifiers) or VersionRange(),
            default=row.get("default", bool) or False,
            accelerated=row.get("accelerated", bool, required=True) or False,
            elsewhere=row.get("elsewhere", str),
            keras=row.parsed("keras", _specifiers) or VersionRange(),
            needs=row.parsed_texts("needs", _requirement_text),
            programs=row.parsed_texts("programs", _program),
            environment=environment,
            places=row.parsed_mapping("places", grammar.variable, grammar.line),
            step=row.get("step", str) or environment.get("KERAS_BACKEND", name),
            provenance=_provenance(row),
        )
        row.close()
    return backends


def read_generations(file: Table) -> dict[str, Generation]:
    """`generations.toml`: the generations of Keras, in the order of the file; the first is the default."""
    generations = {}
    for name in _names(file, grammar.backend):
        row = file.table(name)
        hubs = row.table("hubs")
        generations[name] = Generation(
            name=name,
            title=row.text("title"),
            package=row.parsed("package", grammar.project, required=True) or "",
            module=row.parsed("module", grammar.module, required=True) or "",
            range=row.parsed("range", _specifiers, required=True) or VersionRange(),
            pythons=row.parsed("pythons", _specifiers) or VersionRange(),
            since=row.date("since"),
            ended=_ended(row),
            home=row.parsed("home", grammar.variable, required=True) or "",
            configuration=row.parsed_mapping("configuration", grammar.file, grammar.line),
            shared=row.parsed_texts("shared", grammar.file),
            hubs={hub: hubs.parsed_texts(hub, _requirement_text) for hub in hubs},
            libraries=tuple(_model_library(one) for one in row.tables("library")),
            sources=tuple(_source_distribution(one) for one in row.tables("source-distribution")),
            provenance=_provenance(row),
        )
        row.close()
    return generations


def _model_library(row: Table) -> ModelLibrary:
    found = ModelLibrary(
        name=row.text("name"), needs=row.parsed_texts("needs", _requirement_text), provenance=_provenance(row)
    )
    row.close()
    return found


def _source_distribution(row: Table) -> SourceDistribution:
    found = SourceDistribution(
        name=row.text("name"),
        version=row.parsed("version", _version, required=True) or _ZERO,
        requires=row.parsed_texts("requires", _requirement_text),
        build=row.parsed_texts("build", _requirement_text),
        provenance=_provenance(row),
    )
    row.close()
    return found


def _ended(row: Table) -> Ended | None:
    if not row.has("ended"):
        return None
    inner = row.table("ended")
    found = Ended(day=inner.date("day"), why=inner.text("why"))
    inner.close()
    return found


def _read_build(row: Table) -> Build:
    failures = []
    for failure in row.tables("gpu-fails"):
        failures.append(
            GpuFailure(
                gpus=failure.parsed("gpu", Architectures.parse, required=True) or Architectures(),
                reason=failure.text("reason"),
                source=failure.text("source"),
            )
        )
        failure.close()
    adds = {}
    for add in row.tables("adds"):
        adds[add.parsed("requires", _requirement_text, required=True) or ""] = add.text("source")
        add.close()
    build = Build(
        accelerator=_built_for(row),
        pythons=row.texts("pythons"),
        platforms=_glibc_by_platform(row),
        install=row.texts("install"),
        requires=row.texts("requires"),
        adds=adds,
        code=DeviceCode(
            machine=(*row.parsed_texts("sass", grammar.architecture), *row.parsed_texts("code", grammar.architecture)),
            portable=row.parsed_texts("ptx", grammar.architecture),
        ),
        gpu_failures=tuple(failures),
        local=row.parsed("local", grammar.label),
        beside=row.parsed_texts("beside", grammar.project),
        known_bad=row.get("known-bad", str),
        republished=row.mapping("republished", datetime.date),
        provenance=_provenance(row),
    )
    for key, value in (("platforms", build.platforms), ("install", build.install)):
        if not value and row.has(key):
            row.fault(key, "is empty")
    row.close()
    return build


def read_framework(file: Table, name: str) -> Framework:
    """The file of a framework.

    Args:
        file: the file's top table.
        name: the project that the file must be about.
    """
    project = file.table("project")
    if project.text("name") not in {name, ""}:
        project.fault("name", f"should be `{name}`, as the file is called")
    title = project.text("title")
    ended = _ended(project)
    module = project.get("module", str) or name
    elsewhere = tuple(_elsewhere(row) for row in project.tables("elsewhere"))
    project.close()
    releases = []
    seen = set()
    for row in file.tables("release"):
        version = row.parsed("version", _version, required=True) or _ZERO
        if version in seen:
            row.fault("version", f"{version} is there twice")
        seen.add(version)
        releases.append(
            Release(
                version=version,
                released=row.date("released"),
                yanked=row.get("yanked", str),
                known_bad=row.get("known-bad", str),
                builds=tuple(_read_build(build) for build in row.tables("build")),
            )
        )
        row.close()
    file.close()
    if not releases:
        file.fault("release", "has no row")
    return Framework(
        name=name,
        title=title,
        releases=tuple(sorted(releases, key=lambda row: row.version)),
        ended=ended,
        module=module,
        elsewhere=elsewhere,
    )


def _elsewhere(row: Table) -> Elsewhere:
    found = Elsewhere(
        releases=row.parsed("releases", _specifiers, required=True) or VersionRange(),
        text=row.text("text"),
        accelerator=row.get("accelerator", str),
        major=row.parsed("version", _number),
        platforms=row.parsed_texts("platforms", grammar.platform),
        gpus=row.parsed("gpu", Architectures.parse),
        own_index=row.get("own-index", bool) or False,
        written_for=row.parsed_mapping("written-for", grammar.project, _version),
        provenance=_provenance(row),
    )
    if found.accelerator is not None and found.accelerator not in accelerators.names():
        row.fault("accelerator", f"no module of this kind; known are {', '.join(accelerators.names())}")
    row.close()
    return found


def read_library(file: Table, name: str) -> Library:
    """The file of a library."""
    releases = []
    for files in file.tables("files"):
        platforms = _glibc_by_platform(files)
        pythons = files.texts("pythons")
        published = files.mapping("releases", datetime.date)
        inner = files.table("releases", required=True)
        for text, day in published.items():
            try:
                version = _version(text)
            except ValueError as error:
                inner.fault(text, str(error))
                continue
            releases.append(LibraryRelease(version=version, released=day, platforms=platforms, pythons=pythons))
        files.close()
    library = Library(
        name=name,
        role=file.text("role"),
        accelerator=_major(file),
        releases=tuple(sorted(releases, key=lambda release: release.version)),
        yanked=dict(file.mapping("yanked", str)),
        known_bad=_known_bad(file),
        provenance=_provenance(file),
    )
    file.close()
    return library


def _known_bad(file: Table) -> dict[Version, str]:
    inner = file.table("known-bad")
    found = {}
    for text, why in file.mapping("known-bad", str).items():
        try:
            found[_version(text)] = why
        except ValueError as error:
            inner.fault(text, str(error))
    return found


def read_toolkits(file: Table) -> tuple[Toolkit, ...]:
    """`toolkits.toml`: the releases of the CUDA toolkit, oldest first."""
    toolkits = []
    for row in file.tables("toolkit"):
        extras = row.table("extras")
        row.get("extras", dict)
        toolkits.append(
            Toolkit(
                version=row.parsed("version", _version, required=True) or _ZERO,
                released=row.get("released", datetime.date),
                driver=row.parsed("driver", DriverVersion),
                drivers=_drivers(row),
                extras={extra: _extra(extras, extra) for extra in extras},
                provenance=_provenance(row),
            )
        )
        row.close()
    file.close()
    return tuple(sorted(toolkits, key=lambda toolkit: toolkit.version))


def _extra(extras: Table, name: str) -> tuple[str, ...]:
    return extras.texts(name) if extras.is_array(name) else (extras.text(name),)


def read_cudnn(file: Table) -> tuple[CudnnSupport, ...]:
    """`cudnn.toml`: the GPUs that each cuDNN supports."""
    rows = []
    for row in file.tables("support"):
        rows.append(
            CudnnSupport(
                accelerator=_major_text(row),
                cudnn=row.parsed("cudnn", _specifiers, required=True) or VersionRange(),
                gpus=row.parsed("gpu", Architectures.parse, required=True) or Architectures(),
                driver=row.parsed("driver", DriverVersion, required=True) or _NO_DRIVER,
                drivers=_drivers(row),
                provenance=_provenance(row),
            )
        )
        row.close()
    file.close()
    return tuple(rows)


def read_sonames(file: Table) -> tuple[SonameProvider, ...]:
    """`sonames.toml`: the projects that provide shared libraries."""
    rows = []
    for row in file.tables("provider"):
        rows.append(
            SonameProvider(
                accelerator=_major_text(row),
                project=row.parsed("project", grammar.project, required=True) or "",
                versions=tuple(row.parsed_texts("versions", _version)),
                sonames=row.parsed_texts("sonames", grammar.soname),
                provenance=_provenance(row),
            )
        )
        row.close()
    file.close()
    return tuple(rows)


def read_companions(file: Table) -> tuple[Companion, ...]:
    """`companions.toml`: projects that belong to releases of a framework without declaring it."""
    rows = []
    for row in file.tables("companion"):
        inner = row.table("releases", required=True)
        found = {text: inner.parsed(text, _specifiers, required=True) or VersionRange() for text in inner}
        ranges = []
        for text, companions in found.items():
            try:
                ranges.append((_specifiers(text), companions))
            except ValueError as error:
                inner.fault(text, str(error))
        rows.append(
            Companion(
                project=row.parsed("project", grammar.project, required=True) or "",
                framework=row.parsed("framework", grammar.project, required=True) or "",
                releases=tuple(ranges),
                needs=row.parsed_texts("needs", _requirement_text),
                provenance=_provenance(row),
            )
        )
        row.close()
    file.close()
    return tuple(rows)


def read_images(file: Table) -> dict[str, Image]:
    """`images.toml`: the packages of widely used images, by name."""
    images = {}
    for name in _names(file, grammar.backend):
        row = file.table(name)
        packages = row.table("packages", required=True)
        images[name] = Image(
            name=name,
            title=row.text("title"),
            python=row.parsed("python", _minor, required=True) or "0.0",
            platform=row.parsed("platform", grammar.platform, required=True) or "",
            accelerator=_major_text(row),
            packages={one: packages.parsed(one, _version, required=True) or _ZERO for one in packages},
            lacks=row.texts("lacks"),
            provenance=_provenance(row),
        )
        packages.close()
        row.close()
    return images


def _conda_framework(row: Table) -> CondaFramework:
    builds = []
    for build in row.tables("build"):
        builds.append(
            CondaBuild(
                accelerator=_major(build) or CPU,
                platforms=build.texts("platforms"),
                pythons=build.parsed_texts("pythons", _minor),
                provenance=_provenance(build),
            )
        )
        build.close()
    framework = CondaFramework(
        packages=row.texts("packages"),
        carrier=row.get("carrier", str),
        range=row.parsed("range", _specifiers) or VersionRange(),
        builds=tuple(builds),
        provenance=_provenance(row),
    )
    if not framework.packages:
        row.fault("packages", "is empty")
    row.close()
    return framework


def read_conda_names(file: Table) -> CondaNames:
    """`conda-names.toml`: the names of projects on conda's main channel."""
    origin = file.table("origin", required=True)
    found = CondaNames(
        packages=file.parsed_mapping("names", grammar.project, grammar.conda_package),
        provenance=_provenance(origin),
    )
    origin.text("project")
    origin.text("version")
    origin.close()
    file.close()
    return found


def read_project_names(file: Table) -> ProjectNames:
    """`names.toml`: what people type for projects with other names."""
    origin = file.table("origin", required=True)
    usual, variants = file.table("usual"), file.table("variants")
    found = ProjectNames(
        projects=file.parsed_mapping("names", grammar.project, grammar.project),
        usual=usual.parsed_texts("projects", grammar.project),
        variants={ending: variants.texts(ending) for ending in variants},
        provenance=_provenance(origin),
    )
    usual.close()
    variants.close()
    origin.close()
    file.close()
    return found


def read_conda(file: Table) -> Conda:
    """`conda.toml`: what conda's main channel builds."""
    channel = file.table("channel")
    kind = next((name for name in accelerators.names() if file.has(name)), "")
    if not kind:
        file.fault("cuda", "is missing, or another kind of accelerator in its place")
    built = file.table(kind)
    provenances = [_provenance(channel), _provenance(built)]
    virtuals = {}
    section = file.table("virtual")
    for platform in section:
        row = section.table(platform)
        virtuals[platform] = row.mapping("packages", str)
        provenances.append(_provenance(row))
        row.close()
    frameworks = file.table("framework")
    limits = []
    for row in file.tables("limit"):
        limits.append(
            CondaLimit(
                accelerator=_major(row) or CPU,
                packages=row.texts("packages"),
                range=row.parsed("range", _specifiers, required=True) or VersionRange(),
                provenance=_provenance(row),
            )
        )
        row.close()
    found = Conda(
        channel=channel.text("name"),
        kind=kind,
        version=built.text("version"),
        virtual=built.text("virtual"),
        architecture=built.text("architecture"),
        cudnn=built.texts("cudnn"),
        build=built.text("build"),
        cpu_build=built.text("cpu-build"),
        virtuals=virtuals,
        names=file.mapping("names", str),
        frameworks={name: _conda_framework(frameworks.table(name)) for name in frameworks},
        limits=tuple(limits),
        provenances=tuple(provenances),
    )
    channel.close()
    built.close()
    file.close()
    return found
