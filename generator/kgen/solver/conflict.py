"""Why a problem has no solution: a minimal set of facts and wishes that exclude each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from packaging.version import Version

from kgen.matrix.candidates import builds_on, ptx_driver
from kgen.matrix.records import Build, Release
from kgen.model.ranges import VersionRange
from kgen.model.resolution import Cause
from kgen.solver.problem import CUDNN, REQUEST, Choice, Need, Problem, Unit, spell
from kgen.solver.search import search


def minimal_units(problem: Problem) -> frozenset[Unit]:
    """Units that have no solution together, while any of them left out leaves one.

    The least telling units are left out first, so that what remains is what a person would name. Most can go, so they
    are left out many at a time; what cannot go together is halved. (Who is not missed among many is not missed alone.)
    """
    active = frozenset(problem.units)
    waiting = [problem.units]
    while waiting:
        units = waiting.pop()
        without = active.difference(units)
        if search(problem, without) is None:
            active = without
        elif len(units) > 1:
            half = len(units) // 2
            waiting += [units[half:], units[:half]]
    return active


def impossible(problem: Problem) -> Choice | None:
    """The first framework that has no build at all for the accelerator, platform and Python of the request."""
    return next((choice for choice in problem.choices if not choice.base), None)


def causes(problem: Problem) -> tuple[Cause, ...]:
    """The causes of a problem that has no solution, wishes first."""
    barren = impossible(problem)
    if barren is not None:
        return (_barren_cause(problem, barren),)
    units = minimal_units(problem)
    found = [_cause(problem, unit, units) for unit in units]
    found += [fact for unit in units if unit.owner == REQUEST for fact in _lonely(problem, unit)]
    return tuple(sorted(found, key=lambda cause: (cause.subject != REQUEST, cause.subject, cause.requires)))


def span(versions: Sequence[Version], every: Sequence[Version]) -> str:
    """Versions as runs of neighbours among all releases: `2.1.0-2.4.1, 2.6.0`."""
    positions = [every.index(version) for version in versions]
    runs = []
    for _, group in groupby(enumerate(positions), key=lambda pair: pair[1] - pair[0]):
        run = [position for _, position in group]
        first, last = every[run[0]], every[run[-1]]
        runs.append(f"{first}" if first == last else f"{first}-{last}")
    return ", ".join(runs)


def _source(builds: Sequence[Build | None]) -> str:
    newest = next((build for build in reversed(builds) if build is not None), None)
    return "" if newest is None else newest.provenance.source


# -- a framework without a single build --------------------------------------------------------------------------------


def describe_build(build: Build) -> str:
    """What a build is for: `CUDA 12.8`, `the CPU only`."""
    own = "" if build.local is None else " in its own index"
    return "the CPU only" if build.cuda is None else f"CUDA {build.cuda}{own}"


def built_for(problem: Problem, choice: Choice) -> list[tuple[Release, Build]]:
    """The releases of a framework that have a build for the accelerator and platform, of those that are asked about."""
    return [
        (release, build)
        for release, build in zip(choice.releases, choice.builds, strict=True)
        if build is not None and problem.is_of_generation(choice.name, release.version)
    ]


def _barren_cause(problem: Problem, choice: Choice) -> Cause:
    request = problem.request
    on_platform = [
        (release, build)
        for release in choice.releases
        if not (release.yanked or release.version.is_prerelease)
        and problem.is_of_generation(choice.name, release.version)
        for build in builds_on(request.platform, release)
    ]
    built = built_for(problem, choice)
    usable = [(release, build) for release, build in built if problem.is_sound(choice.name, release)]
    if usable:
        return Cause(
            subject=f"{choice.name} {span([release.version for release, _ in usable], choice.versions)}",
            requires="python " + _by_value([(r, pythons_of(b)) for r, b in usable], choice.versions),
            source=_source([build for _, build in usable]),
        )
    if built:
        return Cause(
            subject=f"{choice.name} {span([release.version for release, _ in built], choice.versions)}",
            requires=_by_value(
                [(release, f"to be avoided: {_doubt(release)}") for release, _ in built], choice.versions
            ),
            source=_source([build for _, build in built]),
        )
    if not on_platform:
        return Cause(
            subject=choice.name,
            requires=f"a platform other than {request.platform}: no release has a wheel for it",
            source=_source([build for release in choice.releases for build in release.builds]),
        )
    return Cause(
        subject=f"{choice.name} {span(_distinct([release for release, _ in on_platform]), choice.versions)}",
        requires=_by_value([(release, describe_build(build)) for release, build in on_platform], choice.versions),
        source=_source([build for _, build in on_platform]),
    )


def _doubt(release: Release) -> str:
    return f"yanked ({release.yanked})" if release.yanked else release.known_bad or "a pre-release"


def _distinct(releases: Sequence[Release]) -> list[Version]:
    return list(dict.fromkeys(release.version for release in releases))


def pythons_of(build: Build) -> str:
    """The Pythons that a build has wheels for: `3.9-3.13`."""
    return "-".join(dict.fromkeys((*build.pythons[:1], *build.pythons[-1:])))


def _by_value(rows: Sequence[tuple[Release, str]], every: Sequence[Version], most: int = 4) -> str:
    """`CPU only (2.1.0-2.10.0), CUDA 13.0 (2.11.0-2.14.1)`, the newest first."""
    by_value: dict[str, list[Version]] = {}
    for release, value in reversed(rows):
        versions = by_value.setdefault(value, [])
        if versions[:1] != [release.version]:
            versions.insert(0, release.version)
    if len(by_value) == 1:
        return next(iter(by_value))
    parts = [f"{value} ({span(versions, every)})" for value, versions in by_value.items()]
    if len(parts) > most:
        parts[most - 1 : -1] = ["…"]
    return ", ".join(parts)


# -- units as causes ---------------------------------------------------------------------------------------------------


def _cause(problem: Problem, unit: Unit, units: frozenset[Unit]) -> Cause:
    if unit.owner == REQUEST:
        return _wish(problem, unit)
    variable = problem.variables[unit.owner]
    if not isinstance(variable, Choice):
        return _library_fact(problem, unit)
    # what the framework's own facts and the wishes about it leave of it: only these releases are spoken of
    others = frozenset(other for other in units if other != unit)
    allowed = variable.allowed(others)
    if unit.rule.startswith("needs "):
        return _need(problem, variable, unit, allowed)
    held = [
        (variable.releases[position], build)
        for position, build in enumerate(variable.builds)
        if build is not None and allowed >> position & 1
    ]
    texts = [(release, _framework_fact(problem, unit.rule, build)) for release, build in held]
    return Cause(
        subject=f"{unit.owner} {span([release.version for release, _ in held], variable.versions)}",
        requires=_by_value(texts, variable.versions),
        source=_source([build for _, build in held]),
    )


def _wish(problem: Problem, unit: Unit) -> Cause:
    request = problem.request
    values = {
        "driver": f"driver {request.driver}",
        "glibc": f"glibc {request.glibc or problem.platform.glibc}",
        "cutoff": f"nothing published after {request.cutoff}",
    }
    if unit.rule in values:
        explicit = unit.rule != "glibc" or request.glibc is not None
        flags = {"driver": "--driver", "glibc": "--glibc", "cutoff": request.cutoff_flag}
        source = flags[unit.rule] if explicit else f"the floor of {request.platform}"
    elif unit.rule.startswith("gpu "):
        source = "--gpu"
    elif request.keras and unit.rule == f"{problem.keras}{request.keras}":
        source = "--keras"
    else:
        places = {
            "--require": request.requirements,
            "dependencies": request.dependencies,
            "the lock that is there": request.held,
        }
        source = next(place for place, wishes in places.items() if unit.rule in map(str, wishes))
    return Cause(subject=REQUEST, requires=values.get(unit.rule, unit.rule), source=source)


def _lonely(problem: Problem, unit: Unit) -> Iterator[Cause]:
    """The facts behind a wish that no candidate of a framework meets: what the releases it names are for."""
    about = problem.frameworks if unit.rule == "cutoff" else problem.matrix.framework_names
    for name, variable in problem.variables.items():
        mask = next((mask for units, mask in variable.filters if units == (unit,)), None)
        if mask is None or mask & variable.base or not variable.base or name not in about:
            continue
        releases = problem.matrix.framework(name).releases
        if unit.rule == "cutoff":
            fitting = [release for position, release in enumerate(releases) if variable.base >> position & 1]
            first = min(fitting, key=lambda release: release.released)
            rows = [(first, f"a cut-off of {first.released} or later")]
        else:
            named = [release for position, release in enumerate(releases) if mask >> position & 1]
            rows = [(release, _purpose(problem, name, release)) for release in named]
        if rows:
            yield Cause(
                subject=f"{name} {span([release.version for release, _ in rows], variable.versions)}",
                requires=_by_value(rows, variable.versions),
                source=_source([problem.build_of(name, release) or release.builds[0] for release, _ in rows]),
            )


def _purpose(problem: Problem, name: str, release: Release) -> str:
    platform, build = problem.request.platform, problem.build_of(name, release)
    if build is None:
        others = dict.fromkeys(map(describe_build, builds_on(platform, release)))
        return " and ".join(others) or f"a platform other than {platform}"
    return f"python {pythons_of(build)}" if problem.is_sound(name, release) else f"to be avoided: {_doubt(release)}"


def _framework_fact(problem: Problem, rule: str, build: Build) -> str:
    if rule == "glibc":
        return f"glibc >={build.platforms[problem.platform.name]}"
    if rule == "driver" and build.cuda_major is not None:
        major = problem.matrix.cuda_majors[build.cuda_major]
        return f"driver >={major.driver} (CUDA {build.cuda_major})"
    gpus = VersionRange() if build.cuda_major is None else problem.matrix.cuda_majors[build.cuda_major].gpus
    if Version(rule.removeprefix("gpu ")) not in gpus:
        return f"a GPU of compute capability {spell(gpus)} (CUDA {build.cuda_major})"
    floor = ptx_driver(build, problem.matrix) if build.ptx and problem.request.driver is not None else None
    return f"a GPU of {served_gpus(build)}" + (f" (PTX from driver {floor})" if floor else "")


def served_gpus(build: Build) -> str:
    """What a build serves, as a person would say it: `7.0, 7.5, 8.0, 9.0+PTX`, or `PTX 9.0` without machine code."""
    names = [f"{sass}+PTX" if sass in build.ptx else str(sass) for sass in build.sass]
    names += [f"PTX {ptx}" for ptx in build.ptx if ptx not in build.sass]
    served = ", ".join(names) or "unknown architectures"
    failing = "".join(f", not {spell(failure.gpus)}" for failure in build.gpu_failures)
    return f"compute capability {served}{failing}"


def _need(problem: Problem, choice: Choice, unit: Unit, allowed: int) -> Cause:
    package = unit.rule.removeprefix("needs ")
    role = problem.role(package)
    request, needed = problem.request, problem.variables.get(package)
    masks = [
        need.mask if package in problem.matrix.framework_names else -1
        for position, needs in enumerate(choice.needs)
        if allowed >> position & 1
        for need in needs
        if need.package == package
    ]
    lacking = needed is not None and not any(needed.base & mask for mask in masks)
    nowhere = f", of which none fits Python {request.python} on {request.platform}" if lacking else ""
    rows = []
    source = ""
    for position, needs in enumerate(choice.needs):
        if not allowed >> position & 1:
            continue
        about = _tightest([need for need in needs if need.package == package])
        if about:
            texts = ",".join(filter(None, dict.fromkeys(need.text for need in about)))
            rows.append((choice.releases[position], f"{role} {texts}".strip() + nowhere))
            source = about[0].source
    return Cause(
        subject=f"{choice.name} {span([release.version for release, _ in rows], choice.versions)}",
        requires=_by_value(rows, choice.versions),
        source=source,
    )


def _tightest(needs: Sequence[Need]) -> list[Need]:
    """The needs of one package, without those that the needs of libraries of models imply."""
    return [
        need
        for at, need in enumerate(needs)
        if not any(
            other.library and other.mask | need.mask == need.mask and (other.mask != need.mask or after > at)
            for after, other in enumerate(needs)
        )
    ]


def _library_fact(problem: Problem, unit: Unit) -> Cause:
    variable = problem.variables[unit.owner]
    role = problem.role(unit.owner)
    library = problem.matrix.library(unit.owner)
    source = library.provenance.source if library else unit.owner
    accelerator = problem.request.accelerator
    if role == CUDNN and (unit.rule == "driver" or unit.rule.startswith("gpu ")):
        rows = sorted(
            (spell(row.cudnn), spell(row.gpus), row.driver, row.provenance.source)
            for row in problem.matrix.cudnn
            if row.cuda == accelerator.cuda
        )
        texts = [f"{cudnn} serves GPUs {gpus} from driver {driver}" for cudnn, gpus, driver, _ in rows]
        text = "; ".join(texts) or f"none is known to serve {accelerator}"
        return Cause(subject=unit.owner, requires=f"{role}: {text}", source=rows[-1][-1] if rows else source)
    fits = variable.allowed(frozenset({unit, Unit(REQUEST, unit.rule)}))
    kept = [version for position, version in enumerate(variable.versions) if fits >> position & 1]
    text = f"at most {kept[-1]}" if kept else "no release"
    return Cause(subject=unit.owner, requires=f"{unit.rule}: {text} fits", source=source)


def unit_text(problem: Problem, unit: Unit) -> str:
    """A unit in a few words: `driver 570.124`, `--require torch==2.6.0`."""
    if unit.owner != REQUEST:
        return f"{unit.owner} ({unit.rule})"
    if unit.rule == "cutoff":
        return f"{problem.request.cutoff_flag} {problem.request.cutoff}"
    return _wish(problem, unit).requires
