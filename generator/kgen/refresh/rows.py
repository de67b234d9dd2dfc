"""Wheels of one release -> the rows of that release, and contradictions between existing rows and the index."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from kgen import accelerators
from kgen.errors import MalformedAnswerError
from kgen.index import IndexFile
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Platform
from kgen.refresh.fits import Fit, Target, chosen, fit_of, glibc_text, targets
from kgen.refresh.recipes import Compiled, Made, Recipe, Variant
from kgen.refresh.requirements import asked_extras, brought_by, parse, row_requirements
from kgen.refresh.wheel_facts import WheelFacts

RUNTIME = "runtime"
_DLL = re.compile(r"64_(\d{2})(\d)")
Releases = Mapping[str, Mapping[Version, Sequence[IndexFile]]]
"""Distribution -> version -> its wheels."""


class Read(Protocol):
    """Returns the facts of wheels."""

    def __call__(self, file: IndexFile) -> WheelFacts:
        """The content of METADATA and of the recipe's module.

        Raises:
            Unread: the wheel would have to be downloaded completely.
            OutsideError: it cannot be fetched, or contains invalid facts.
        """

    def compiled(self, file: IndexFile, compiled: Compiled, toolkits: Collection[Version]) -> tuple[str, ...]:
        """The facts in a compiled file of the wheel; () if it does not exist, or contains none.

        Raises:
            Unread: the wheel would have to be downloaded completely.
            OutsideError: it cannot be fetched, or contains invalid facts.
        """


class Unread(Exception):  # noqa: N818 - it is a decision, and no error
    """A wheel that would have to be downloaded completely; the message names it."""


class WheelBuild(NamedTuple):
    """One build on one platform, according to its wheels.

    Attributes:
        install: requirements with which an installer selects it.
        shape: the same without versions, which distinguishes kinds of builds.
        platform: the platform, as a conda subdir.
        glibc: the glibc that its wheels need; empty where glibc does not apply.
        pythons: CPython minors that have a wheel.
        cuda: such as `12.8`; None for the CPU; empty if it is built for an unknown CUDA version.
        requires: its requirements on packages in the matrix.
        sass: compute capabilities with machine code.
        ptx: compute capabilities with PTX.
        wheels: the wheels that were read, the framework's own first.
        notes: additional remarks for the row's source.
        brought: the requirements that its extras add, in the matrix or not, all of which must be available.
        made: its accelerator, if that is neither CUDA nor the CPU.
    """

    install: tuple[str, ...]
    shape: tuple[str, ...]
    platform: str
    glibc: str
    pythons: tuple[str, ...]
    cuda: str | None
    requires: tuple[str, ...]
    sass: tuple[str, ...]
    ptx: tuple[str, ...]
    wheels: tuple[IndexFile, ...]
    notes: tuple[str, ...]
    brought: tuple[str, ...]
    made: Made | None = None

    @property
    def purpose(self) -> str:
        """What it is for, in words."""
        if self.made is not None:
            return purpose_text(self.made)
        return "the CPU" if self.cuda is None else f"CUDA {self.cuda}"


def purpose_text(made: Made) -> str:
    """What a row is for: `ROCm 7`, `TPU`."""
    kind, version = made
    title = accelerators.kind(kind).title
    return title if version is True else f"{title} {version}"


class RowContext(NamedTuple):
    """The context of rows: the present matrix, and the projects that it covers."""

    matrix: CompatibilityMatrix
    platforms: Mapping[str, Platform]
    targets: tuple[Target, ...]
    minors: tuple[str, ...]
    followed: frozenset[str]
    roles: Mapping[str, str]

    @classmethod
    def of(cls, matrix: CompatibilityMatrix, names: Collection[str]) -> RowContext:
        """The context of a matrix; `names` are additional libraries that it will cover."""
        roles = {name: library.role for name in matrix.library_names if (library := matrix.library(name)) is not None}
        return cls(
            matrix=matrix,
            platforms=matrix.platforms,
            targets=targets(matrix.platforms),
            minors=tuple(row.version for row in matrix.pythons),
            followed=frozenset({*matrix.library_names, *matrix.framework_names, *names}),
            roles=roles,
        )


def by_version(files: Sequence[IndexFile]) -> dict[Version, list[IndexFile]]:
    """The wheels of each version; names without a version are skipped."""
    written: dict[str, list[IndexFile]] = {}
    for file in files:
        written.setdefault(file.version, []).append(file)
    found: dict[Version, list[IndexFile]] = {}
    for text, own in written.items():
        version = _version(text)
        if version is not None:
            found.setdefault(version, []).extend(own)
    return found


@functools.lru_cache(32768)
def _version(text: str) -> Version | None:
    """The version in a file's name; None if there is none."""
    try:
        return Version(text.replace("_", "+", 1))
    except InvalidVersion:
        return None


def yank(files: Sequence[IndexFile]) -> str | None:
    """Why a release was yanked; None if it was not, or only in part."""
    if not files or any(file.yanked is None for file in files):
        return None
    return next((file.yanked.strip() for file in files if file.yanked and file.yanked.strip()), "no reason given")


def first_day(files: Sequence[IndexFile]) -> dt.date | None:
    """The day of the first upload among these; None if the index does not state it."""
    return min((file.uploaded for file in files if file.uploaded is not None), default=None)


def wheel_builds(
    recipe: Recipe, version: Version, releases: Releases, context: RowContext, read: Read
) -> list[WheelBuild]:
    """The builds of a release, one for each platform of each kind.

    Raises:
        Unread: a wheel would have to be downloaded completely.
        OutsideError: a wheel cannot be fetched, or contains invalid facts.
    """
    found: list[WheelBuild] = []
    served: set[tuple[str, Made | int | None]] = set()
    for variant in recipe.variants:
        for install, made in variant.for_majors(context.matrix.majors):
            for wheel_build in _variant(
                recipe, variant, install, made, version=version, releases=releases, context=context, read=read
            ):
                kind = (wheel_build.platform, made or (None if wheel_build.cuda is None else _major(wheel_build)))
                if kind not in served:
                    served.add(kind)
                    found.append(wheel_build)
    return found


def _major(wheel_build: WheelBuild) -> int:
    return int(wheel_build.cuda.partition(".")[0]) if wheel_build.cuda else -1


def _variant(
    recipe: Recipe,
    variant: Variant,
    install: Sequence[Requirement],
    made: Made | None,
    *,
    version: Version,
    releases: Releases,
    context: RowContext,
    read: Read,
) -> Iterator[WheelBuild]:
    own = install[0]
    names: list[str] = [canonicalize_name(requirement.name) for requirement in install]
    files = releases.get(names[0], {}).get(version, [])
    if not files:
        return
    fits = {names[0]: fit_of(files, context.targets, context.minors)}
    versions = {names[0]: version}
    if len(names) > 1:
        asked = read(_example(files, recipe, context))
        for name in names[1:]:
            part = _part(name, version, asked, own, releases=releases, context=context)
            if part is None:
                return
            versions[name] = part
            fits[name] = fit_of(releases[name][part], context.targets, context.minors)
    elsewhere = set() if made is None else {*context.platforms} - {*context.matrix.accelerators[made[0]].platforms}
    for platform, target in context.platforms.items():
        if platform in elsewhere or any(platform not in fit for fit in fits.values()):
            continue
        pythons = [minor for minor in context.minors if all(minor in fit[platform] for fit in fits.values())]
        if not pythons:
            continue
        python = _preferred(recipe, pythons)
        wheels = {name: _chosen(releases[name][versions[name]], platform, python, context) for name in names}
        wheel_build = wheel_build_of(
            recipe,
            install,
            versions=versions,
            wheels=wheels,
            target=target,
            pythons=tuple(pythons),
            fits=fits,
            context=context,
            read=read,
        )
        meant = None if wheel_build is None else _meant(variant, own, made, wheel_build)
        if meant is not None:
            yield meant


def _meant(variant: Variant, own: Requirement, made: Made | None, wheel_build: WheelBuild) -> WheelBuild | None:
    """The build as one of the kind in question; None if it is of another kind."""
    if made is not None:
        if not wheel_build.brought:  # this release has no such extra yet
            return None
        note = f"for {purpose_text(made)}, as {own} asks for {', '.join(wheel_build.brought)}"
        return wheel_build._replace(made=made, cuda=None, sass=(), ptx=(), notes=(note,))
    wrong = (variant.accelerator == "cuda" and wheel_build.cuda is None) or (
        variant.accelerator == "cpu" and wheel_build.cuda is not None
    )
    return None if wrong else wheel_build


def _preferred(recipe: Recipe, pythons: Sequence[str]) -> str:
    return recipe.python if recipe.python in pythons else pythons[-1]


def _example(files: Sequence[IndexFile], recipe: Recipe, context: RowContext) -> IndexFile:
    """One of the framework's own wheels, which states the versions of its parts."""
    for platform, serves in fit_of(files, context.targets, context.minors).items():
        if serves:
            return _chosen(files, platform, _preferred(recipe, list(serves)), context)
    return files[0]


def _part(
    name: str, version: Version, asked: WheelFacts, own: Requirement, *, releases: Releases, context: RowContext
) -> Version | None:
    """The version of a part for a release: the newest that the framework's own wheel allows."""
    limits = []
    for text in asked.requires:
        try:
            requirement = parse(text)
        except ValueError:
            continue
        if canonicalize_name(requirement.name) == name:
            extras = {
                part.split("==")[-1].strip("\"' ") for part in str(requirement.marker).split("and") if "extra" in part
            }
            if not extras or extras & own.extras:
                limits.append(requirement.specifier)
    fitting = [
        one
        for one, files in releases.get(name, {}).items()
        if all(limit.contains(one, prereleases=True) for limit in limits)
        and (limits or one == version)
        and fit_of(files, context.targets, context.minors)
    ]
    return version if version in fitting else max(fitting, default=None)


def first_choice(
    files: Sequence[IndexFile], platform: str, pythons: Sequence[str], recipe: Recipe, context: RowContext
) -> IndexFile | None:
    """The wheel of a release that represents all of them on a platform; None if there is none for it."""
    return chosen(files, platform, _preferred(recipe, pythons), context.targets, context.minors) if pythons else None


def _chosen(files: Sequence[IndexFile], platform: str, python: str, context: RowContext) -> IndexFile:
    """The wheel of a release for one target, which must exist."""
    return chosen(files, platform, python, context.targets, context.minors) or files[0]


def wheel_build_of(
    recipe: Recipe,
    install: Sequence[Requirement],
    *,
    versions: Mapping[str, Version],
    wheels: Mapping[str, IndexFile],
    target: Platform,
    pythons: tuple[str, ...],
    fits: Mapping[str, Fit],
    context: RowContext,
    read: Read,
) -> WheelBuild | None:
    """A build on one platform; None if its wheel only refers to another distribution."""
    facts = {name: read(file) for name, file in wheels.items()} if recipe.metadata else {}
    if recipe.module is not None and not facts[next(iter(wheels))].has_module:
        return None
    extras: dict[str, set[str]] = {name: set() for name in wheels}
    requires: set[str] = set()
    contributed = set()
    brought: set[str] = set()
    runtime: list[str] = []
    for requirement in install:
        name = canonicalize_name(requirement.name)
        extras[name] |= requirement.extras
        if name not in facts:
            continue
        try:
            asked_extras(facts[name].requires, extras[name], extras, target=target, python=pythons[-1])
            brought |= set(brought_by(facts[name].requires, platform=target, pythons=pythons, extras=extras[name]))
            for other, text in row_requirements(
                facts[name].requires, platform=target, pythons=pythons, extras=extras[name], followed=context.followed
            ):
                requires.add(text)
                contributed.add(name)
                if context.roles.get(other) == RUNTIME:
                    runtime.append(text)
        except ValueError as error:
            raise MalformedAnswerError(f"{wheels[name].filename}: {error}") from None
    names = list(wheels)
    cuda, sass, ptx, notes = _built_for(recipe, facts.get(names[0]), runtime, wheels[names[0]])
    if recipe.compiled is not None and cuda:
        cuda, sass, ptx, notes = _compiled(recipe.compiled, (cuda, sass, ptx, notes), wheels, context, read)
    glibc = [glibc_text({minor: fit[target.name][minor] for minor in pythons}) for fit in fits.values()]
    return WheelBuild(
        install=tuple(
            f"{_shape(requirement)}=={versions[canonicalize_name(requirement.name)]}" for requirement in install
        ),
        shape=tuple(map(_shape, install)),
        platform=target.name,
        glibc=max(glibc, key=lambda text: Version(text or "0")),
        pythons=pythons,
        cuda=cuda,
        requires=tuple(sorted(requires)),
        sass=sass,
        ptx=ptx,
        wheels=tuple(wheels[name] for name in names if name == names[0] or name in contributed),
        notes=notes,
        brought=tuple(sorted(brought)),
    )


def _shape(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{canonicalize_name(requirement.name)}{extras}"


def shape_of(install: Sequence[str]) -> tuple[str, ...]:
    """The kind of build that a row's `install` stands for."""
    return tuple(_shape(parse(text)) for text in install)


def _built_for(
    recipe: Recipe, facts: WheelFacts | None, runtime: Sequence[str], file: IndexFile
) -> tuple[str | None, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """CUDA, SASS, PTX and notes from a wheel's module, or else from its requirements."""
    module = recipe.module
    if module is None:
        floors = [Version(part.lstrip(">=")) for text in runtime for part in _floors(text)]
        if not floors:
            return None, (), (), ()
        cuda = f"{min(floors).major}.{min(floors).minor}"
        return cuda, (), (), (f"CUDA {cuda}: smallest in METADATA, toolkit of the build not known",)
    if facts is None or not facts.has_module:
        return None, (), (), ()
    value = facts.values.get(module.cuda)
    built = facts.values.get(module.built) if module.built else None
    if built is False or str(built) == "False":
        return None, (), (), ()
    if not value:
        # built for CUDA, and silent about which; or for the CPU
        return ("" if built else None), (), (), ()
    named = _toolkit_named(str(value))
    if named is None:
        raise MalformedAnswerError(f"{file.filename}: {module.path} says that its CUDA is {value!r}")
    cuda = named
    listed = facts.values.get(module.architectures) if module.architectures else None
    sass, ptx = architectures(listed) if isinstance(listed, (list, tuple)) else ((), ())
    notes = [f"{module.path} (CUDA {cuda})" if module.architectures else module.path]
    if module.says and (sass or ptx):
        notes.append(module.says)
    return cuda, sass, ptx, tuple(notes)


def _toolkit_named(text: str) -> str | None:
    """Major and minor of a toolkit in a build's terms: `12.5.1`, or `64_112` after cudart64_112.dll on Windows."""
    windows = _DLL.fullmatch(text)
    if windows is not None:
        return f"{windows[1]}.{windows[2]}"
    try:
        version = Version(text)
    except InvalidVersion:
        return None
    return f"{version.major}.{version.minor}"


def _compiled(
    compiled: Compiled,
    known: tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    wheels: Mapping[str, IndexFile],
    context: RowContext,
    read: Read,
) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """CUDA, SASS, PTX and notes, with facts from a compiled file instead of guesses."""
    cuda, sass, ptx, notes = known
    major = cuda.partition(".")[0]
    own = compiled.for_major(major)
    toolkits = [one.version for one in context.matrix.toolkits if str(one.version.major) == major]
    said = read.compiled(wheels[own.distribution], own, toolkits) if own.distribution in wheels else ()
    if own.holds == "toolkit":
        return known if len(said) != 1 else (said[0], sass, ptx, (f"{own.path} (CUDA {said[0]})",))
    if not said:
        return known
    code, intermediate = architectures(said)
    # to the compiler `compute_90` is PTX alone; it stands beside `sm_90` where there is machine code too
    code = tuple(one for one in code if f"sm_{one.replace('.', '')}" in {name.rstrip("af") for name in said})
    text = "sass and ptx" if intermediate else "sass, and that there is no PTX"
    return cuda, code, intermediate, (*notes, f"{text}: architecture flags in {own.path}")


def _floors(text: str) -> Iterator[str]:
    for specifier in parse(text).specifier:
        if specifier.operator in {">=", "==", "~="}:
            yield specifier.version.removesuffix(".*")


def architectures(listed: Sequence[object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Compute capabilities from `sm_70` (machine code) and `compute_90` (machine code, and PTX for newer ones)."""
    sass, ptx = set(), set()
    for one in listed:
        kind, _, number = str(one).rstrip("af").partition("_")
        digits = number.replace(".", "")
        if kind not in {"sm", "compute"} or not digits.isdecimal() or len(digits) < 2:  # noqa: PLR2004 - major and minor
            continue
        capability = f"{digits[:-1]}.{digits[-1]}"
        sass.add(capability)
        if kind == "compute":
            ptx.add(capability)
    return tuple(sorted(sass, key=Version)), tuple(sorted(ptx, key=Version))


# -- rows --------------------------------------------------------------------------------------------------------------


def release_row(
    recipe: Recipe,
    version: Version,
    day: dt.date,
    found: Sequence[WheelBuild],
    *,
    prior: Sequence[Mapping[str, Any]],
    today: dt.date,
) -> dict[str, Any]:
    """A release in the form of its file.

    What wheels do not state is assumed to be as in the previous release's build of the same kind, CUDA and platform,
    and the source says so: the GPUs that it has code for, and where that fails.

    Args:
        recipe: the framework's recipe.
        version: the release.
        day: the day of its publication.
        found: its builds.
        prior: older releases as in their file, newest first.
        today: the current day.
    """
    builds: dict[tuple[object, ...], tuple[dict[str, Any], list[WheelBuild], list[str]]] = {}
    for one in found:
        wheel_build, carried, notes = _completed(one, prior)
        key = (
            wheel_build.install,
            wheel_build.made,
            wheel_build.cuda,
            wheel_build.pythons,
            wheel_build.requires,
            str(carried),
        )
        row = {**_row_of(wheel_build, carried), "platforms": {}}
        kept, members, _ = builds.setdefault(key, (row, [], notes))
        kept["platforms"][wheel_build.platform] = wheel_build.glibc
        members.append(wheel_build)
    listed = []
    for row, members, notes in builds.values():
        listed.append({**row, "source": _source(recipe, members, notes), "checked": today})
    listed += _local_rows(listed, found, prior, today)
    return {
        "version": str(version),
        "released": day,
        "build": listed,
    }


def _row_of(wheel_build: WheelBuild, carried: Mapping[str, Any]) -> dict[str, Any]:
    """A build on its platform, without its source."""
    return {
        **({"cuda": wheel_build.cuda} if wheel_build.cuda else {}),
        **({} if wheel_build.made is None else dict([wheel_build.made])),
        "pythons": list(wheel_build.pythons),
        "platforms": {wheel_build.platform: wheel_build.glibc},
        "install": list(wheel_build.install),
        "requires": list(wheel_build.requires),
        **carried,
    }


def row_of_build(
    recipe: Recipe, wheel_build: WheelBuild, carried: Mapping[str, Any], notes: Sequence[str], today: dt.date
) -> dict[str, Any]:
    """A build on its platform, in the form of a row.

    Args:
        recipe: the framework's recipe.
        wheel_build: the build.
        carried: what is taken over from another release.
        notes: additional remarks for the source.
        today: the current day.
    """
    return {**_row_of(wheel_build, carried), "source": _source(recipe, [wheel_build], notes), "checked": today}


def _completed(
    wheel_build: WheelBuild, prior: Sequence[Mapping[str, Any]]
) -> tuple[WheelBuild, dict[str, Any], list[str]]:
    """A build with what is taken over from an older release, and what the source says about that."""
    notes = list(wheel_build.notes)
    if wheel_build.made is not None:
        before, build = _before(wheel_build, prior)
        if build is None or "code" not in build:
            return wheel_build, {}, notes
        return wheel_build, {"code": build["code"]}, [*notes, f"code assumed from {before}"]
    if wheel_build.cuda is None:
        return wheel_build, {}, notes
    before, build = _before(wheel_build, prior)
    if not wheel_build.cuda:
        if build is None or "cuda" not in build:
            return wheel_build._replace(cuda=None), {}, notes
        wheel_build = wheel_build._replace(cuda=build["cuda"])
        notes.append(f"CUDA assumed from {before}, the module no longer names it")
    carried: dict[str, Any] = {}
    if wheel_build.sass or wheel_build.ptx:
        carried = {"sass": list(wheel_build.sass), **({"ptx": list(wheel_build.ptx)} if wheel_build.ptx else {})}
        same = build is not None and [build.get("sass"), build.get("ptx", [])] == [
            list(wheel_build.sass),
            list(wheel_build.ptx),
        ]
    else:
        same = build is not None and build.get("cuda") == wheel_build.cuda
        if same and build is not None and ("sass" in build or "ptx" in build):
            carried = {name: build[name] for name in ("sass", "ptx") if name in build}
            notes.append(f"sass and ptx assumed from {before}")
    if same and build is not None and "gpu-fails" in build:
        carried["gpu-fails"] = build["gpu-fails"]
    return wheel_build, carried, notes


def _before(wheel_build: WheelBuild, prior: Sequence[Mapping[str, Any]]) -> tuple[str, Mapping[str, Any] | None]:
    """The build of the same kind in the newest older release that has one on this platform."""
    for release in prior:
        for build in release.get("build", ()):
            if (
                "local" not in build
                and wheel_build.platform in build["platforms"]
                and shape_of(build["install"])[: len(wheel_build.shape)] == wheel_build.shape
            ):
                return release["version"], build
    return "", None


def _source(recipe: Recipe, members: Sequence[WheelBuild], notes: Sequence[str]) -> str:
    if not recipe.metadata:
        return f"index page of {recipe.name}: wheel tags, requires-python"
    first = members[0]
    names = ", ".join(file.filename for file in first.wheels)
    others = dict.fromkeys(
        file.tags[2].split(".")[0]
        for wheel_build in members[1:]
        for file, own in zip(wheel_build.wheels, first.wheels, strict=False)
        if file.filename != own.filename
    )
    also = f" and {', '.join(others)}" if others else ""
    paths = [recipe.module.path] if recipe.module is not None else []
    if recipe.compiled is not None:
        paths.append(recipe.compiled.path.partition("{")[0])
    modules = [note for note in notes if note.startswith(tuple(paths))]
    rest = [note for note in notes if note not in modules]
    return "; ".join([f"{names}{also}: {', '.join(['METADATA', *modules])}", *rest])


def _local_rows(
    listed: Sequence[Mapping[str, Any]], found: Sequence[WheelBuild], prior: Sequence[Mapping[str, Any]], today: dt.date
) -> list[dict[str, Any]]:
    """CPU builds that only the framework's own index has, if the previous release had them."""
    rows = []
    for build in prior[0].get("build", ()) if prior else ():
        label = build.get("local")
        if label is None or made_for(build) is not None:
            continue
        version = parse(listed[0]["install"][0]).specifier if listed else ""
        for platform in build["platforms"]:
            wheel_build = next(
                (one for one in found if one.platform == platform and one.shape == shape_of(build["install"])), None
            )
            if wheel_build is None:
                continue
            rows.append(
                {
                    "pythons": list(wheel_build.pythons),
                    "platforms": {platform: wheel_build.glibc},
                    "install": [f"{wheel_build.shape[0]}{version}+{label}"],
                    "requires": list(build.get("requires", ())),
                    "local": label,
                    "source": f"assumed from {prior[0]['version']}, for its own index was not read;"
                    f" pythons and glibc as in {wheel_build.wheels[0].filename}",
                    "checked": today,
                }
            )
    return rows


# -- what is there -----------------------------------------------------------------------------------------------------


def made_for(build: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The accelerator kind that a row is for, and its version; None for the CPU."""
    return next(((kind, build[kind]) for kind in accelerators.names() if kind in build), None)


class Contradiction(NamedTuple):
    """A fact of the matrix that the index contradicts; the matrix keeps it.

    Attributes:
        subject: its subject: `torch 2.15.0, linux-64`.
        matrix: the fact in the matrix.
        source: the source of that fact.
        found: the fact on the index.
        page: the source of that fact.
    """

    subject: str
    matrix: str
    source: str
    found: str
    page: str


class Gain(NamedTuple):
    """Additional wheels of a release since its row was written: the build, and all of its Pythons now."""

    build: int
    pythons: tuple[str, ...]


def compare(
    recipe: Recipe, release: Mapping[str, Any], releases: Releases, context: RowContext
) -> tuple[list[Contradiction], list[Gain]]:
    """Where the index contradicts a release's rows, and where it has more."""
    against: list[Contradiction] = []
    gains = []
    own = Version(release["version"])
    files = releases.get(recipe.name, {}).get(own, [])
    day = first_day(files)
    page = f"index page of {recipe.name}"
    if day is not None and day != release["released"]:
        source = release["build"][0]["source"]
        text = (f"released {release['released']}", source, f"first uploaded {day}", page)
        against.append(Contradiction(f"{recipe.name} {own}", *text))
    builds = [build for build in release.get("build", ()) if "local" not in build]
    fits = [_fit_of_build(build, releases, context) for build in builds]
    for build, fit in zip(builds, fits, strict=True):
        if fit is None:
            continue
        for platform, glibc in build["platforms"].items():
            subject = f"{recipe.name} {own}, {platform}"
            serves = fit.get(platform, {})
            missing = [minor for minor in build["pythons"] if minor not in serves]
            if missing:
                text = (f"wheels for Python {', '.join(missing)}", build["source"], "no such wheel", page)
                against.append(Contradiction(subject, *text))
            needed = glibc_text({minor: serves[minor] for minor in build["pythons"] if minor in serves})
            if needed and glibc and Version(needed) > Version(glibc):
                text = (f"runs on glibc {glibc}", build["source"], f"its wheels need glibc {needed}", page)
                against.append(Contradiction(subject, *text))
        taken = {
            minor
            for other in builds
            if made_for(other) == made_for(build) and set(other["platforms"]) & set(build["platforms"])
            for minor in other["pythons"]
        }
        common = [
            minor for minor in context.minors if all(minor in fit.get(platform, {}) for platform in build["platforms"])
        ]
        # an old release may run on fewer Pythons than its pure wheels are tagged for: its row was written by hand
        if own >= recipe.since and set(common) > taken and taken == set(build["pythons"]):
            place = next(index for index, one in enumerate(release["build"]) if one is build)
            gains.append(Gain(place, tuple(common)))
    return against, gains


def _fit_of_build(build: Mapping[str, Any], releases: Releases, context: RowContext) -> Fit | None:
    """What all pinned distributions of a row support together; None if the index does not have all of them."""
    fits = []
    for text in build["install"]:
        requirement = parse(text)
        name = canonicalize_name(requirement.name)
        pinned = [specifier.version for specifier in requirement.specifier if specifier.operator == "=="]
        if not pinned or pinned[0].endswith(".*"):
            continue
        if name not in releases:  # its page was not asked for, so nothing is known of the whole
            return None
        files = releases[name].get(Version(pinned[0]))
        if files is None:
            return None
        fits.append(fit_of(files, context.targets, context.minors))
    if not fits:
        return None
    together: Fit = {}
    for platform in context.platforms:
        if all(platform in fit for fit in fits):
            together[platform] = {
                minor: max((fit[platform][minor] for fit in fits), key=lambda glibc: glibc or Version("0"))
                for minor in context.minors
                if all(minor in fit[platform] for fit in fits)
            }
    return together
