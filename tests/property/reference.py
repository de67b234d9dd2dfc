"""The rules written out once more, slowly and plainly, over the model: what the solver is judged by."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from tests.property.strategies import (
    ACCELERATED,
    DEFAULT_GLIBC,
    MAJOR_DRIVERS,
    MAJOR_GPUS,
    RUNTIME_FLOORS,
    TOOLKIT_DRIVERS,
    Ask,
    Build,
    Library,
    LibraryRelease,
    Model,
    Need,
    Range,
    Release,
    V,
)

Exclusion = frozenset[tuple[str, str]]


def pair(text: str) -> tuple[int, int]:
    """`7.5` as numbers."""
    first, second = text.split(".")
    return int(first), int(second)


def holds(wanted: Range | None, version: V) -> bool:
    """Whether a range holds a version, by PEP 440."""
    for operator, bound in wanted.parts if wanted else ():
        same_number = version.number == bound.number
        if not {
            ">=": version >= bound,
            "<=": version <= bound,
            "==": version == bound,
            "!=": version != bound,
            # a release candidate of the bound itself is not below it
            "<": version < bound and not (same_number and not version.final),
        }[operator]:
            return False
    return True


def driver_at_least(driver: str, floor: str) -> bool:
    """A branch alone stands for any driver of the branch."""
    have, want = [[int(part) for part in text.split(".")] for text in (driver, floor)]
    return have[0] >= want[0] if len(have) == 1 else have >= want


def said_of(ask: Ask, package: str) -> list[Range]:
    """What the request says about a package."""
    said = [n.range for n in ask.requirements if n.package == package and n.python in {None, ask.python}]
    if package == "keras" and ask.keras is not None:
        said.append(ask.keras)
    return said


def glibc_fits(ask: Ask, needed: str) -> bool:
    if not needed or not ask.platform.startswith("linux"):
        return True
    return pair(needed) <= pair(ask.glibc or DEFAULT_GLIBC)


def build_for(ask: Ask, framework: str, release: Release) -> Build | None:
    """The build that the request can use: its platform, its Python, its CUDA."""
    for build in release.builds:
        if ask.platform not in dict(build.platforms) or ask.python not in build.pythons:
            continue
        if build.cuda is None:
            if ask.cuda is None or framework not in ACCELERATED:
                return build
        elif ask.cuda is not None:
            major, minor = pair(build.cuda)
            if major == ask.cuda and (ask.minor is None or minor <= ask.minor):
                return build
    return None


def serves(build: Build, gpu: str, driver: str | None) -> bool:
    assert build.cuda is not None
    first, end = MAJOR_GPUS[pair(build.cuda)[0]]
    if not pair(first) <= pair(gpu) < pair(end):
        return False
    if build.fails_below is not None and pair(gpu) < pair(build.fails_below):
        return False
    if not build.sass and not build.ptx:
        return True
    if any(pair(sass)[0] == pair(gpu)[0] and pair(sass)[1] <= pair(gpu)[1] for sass in build.sass):
        return True
    if not any(pair(ptx) <= pair(gpu) for ptx in build.ptx):
        return False
    floor = TOOLKIT_DRIVERS[build.cuda]
    return driver is None or (floor is not None and driver_at_least(driver, floor))


def sound(ask: Ask, framework: str, release: Release) -> bool:
    """Doubtful releases only if one is pinned."""
    if release.version.final and release.doubt is None:
        return True
    pinned = [
        ("==", release.version) in said.parts and holds(said, release.version) for said in said_of(ask, framework)
    ]
    return any(pinned)


def usable(ask: Ask, framework: str, release: Release) -> Build | None:
    """The build of a release that passes every rule that concerns it alone."""
    build = build_for(ask, framework, release)
    if build is None:
        return None
    passes = [
        sound(ask, framework, release),
        all(holds(said, release.version) for said in said_of(ask, framework)),
        ask.cutoff is None or release.day <= ask.cutoff,
        glibc_fits(ask, dict(build.platforms)[ask.platform]),
    ]
    if build.cuda is not None:
        floor = MAJOR_DRIVERS[pair(build.cuda)[0]]
        passes.append(ask.driver is None or driver_at_least(ask.driver, floor))
        passes += [serves(build, gpu, ask.driver) for gpu in ask.gpus]
    return build if all(passes) else None


def library_cuda(library: Library, version: V) -> int | None:
    if library.cuda is not None or library.name != "runtime":
        return library.cuda
    reached = [pair(toolkit)[0] for toolkit, floor in RUNTIME_FLOORS.items() if version.number >= floor]
    return max(reached)


def library_usable(model: Model, ask: Ask, library: Library, release: LibraryRelease) -> bool:
    """Whether a release of a library passes every rule that concerns it alone."""
    platforms = dict(release.platforms)
    return (
        ask.platform in platforms
        and glibc_fits(ask, platforms[ask.platform])
        and (not release.pythons or ask.python in release.pythons)
        and (ask.cutoff is None or release.day <= ask.cutoff)
        and all(holds(said, release.version) for said in said_of(ask, library.name))
        and (ask.cuda is None or library_cuda(library, release.version) in {None, ask.cuda})
        and (library.name != "runtime" or runtime_fits(ask, release.version))
        and (library.role != "cudnn" or cudnn_fits(model, ask, release.version))
    )


def runtime_fits(ask: Ask, version: V) -> bool:
    """Whether the runtime is of no newer toolkit than the request allows."""
    if ask.cuda is None or ask.minor is None:
        return True
    toolkits = {pair(toolkit): floor for toolkit, floor in RUNTIME_FLOORS.items()}
    later = [floor for (major, minor), floor in toolkits.items() if major == ask.cuda and minor > ask.minor]
    return all(version.number < floor for floor in later)


def cudnn_fits(model: Model, ask: Ask, version: V) -> bool:
    """Whether the driver and each GPU that is named has a row that knows of this cuDNN."""
    rows = [row for row in model.cudnn if row.cuda == ask.cuda and holds(row.cudnn, version)]
    if ask.driver is not None:
        rows = [row for row in rows if driver_at_least(ask.driver, row.driver)]
        if not rows:
            return False
    return all(any(pair(row.gpus[0]) <= pair(gpu) < pair(row.gpus[1]) for row in rows) for gpu in ask.gpus)


def versions_of(model: Model, ask: Ask, package: str) -> list[V]:
    """The versions of something needed that pass every rule that concerns them alone, oldest first."""
    if package in model.frameworks:
        # needed and not asked for: the same rules, whatever GPU and driver there are
        return [r.version for r in model.frameworks[package] if usable(ask, package, r) is not None]
    library = next(library for library in model.libraries if library.name == package)
    return [r.version for r in library.releases if library_usable(model, ask, library, r)]


def needs_of(model: Model, ask: Ask, framework: str, build: Build) -> list[Need]:
    needs = [need for need in (*build.requires, *build.adds) if need.python in {None, ask.python}]
    wanted = model.keras.get(framework)
    if framework in ask.backends and wanted is not None:
        needs.append(Need("keras", wanted))
    return needs


def together(model: Model, ask: Ask, chosen: Mapping[str, Release]) -> dict[str, list[V]] | None:
    """Package -> the versions that serve all chosen releases; None if some need is not met."""
    found: dict[str, list[V]] = {}
    for framework, release in chosen.items():
        build = usable(ask, framework, release)
        if build is None:
            return None
        for need in needs_of(model, ask, framework, build):
            if need.package in chosen:
                if not holds(need.range, chosen[need.package].version):
                    return None
                continue
            before = found.get(need.package)
            if before is None:
                before = versions_of(model, ask, need.package)
            found[need.package] = [version for version in before if holds(need.range, version)]
            if not found[need.package]:
                return None
    return found


def order(ask: Ask) -> tuple[str, ...]:
    """The frameworks in the order of their weight."""
    return (*ask.backends, "keras")


def solutions(model: Model, ask: Ask) -> Iterator[tuple[dict[str, V], dict[str, list[V]]]]:
    """Every choice of releases that works, the best first."""
    names = order(ask)
    newest_first = [sorted(model.frameworks[name], key=lambda r: r.version, reverse=True) for name in names]
    for releases in itertools.product(*newest_first):
        chosen = dict(zip(names, releases, strict=True))
        libraries = together(model, ask, chosen)
        if libraries is not None:
            yield {name: release.version for name, release in chosen.items()}, libraries


def best(model: Model, ask: Ask) -> tuple[dict[str, V], dict[str, list[V]]] | None:
    """The best choice, by trying all."""
    return next(solutions(model, ask), None)
