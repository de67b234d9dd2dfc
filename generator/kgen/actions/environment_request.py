"""Settings + accelerator + platform -> the request of an environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packaging.version import Version

from kgen import host
from kgen.errors import SettingsError, UsageError
from kgen.matrix.compatibility import KERAS, CompatibilityMatrix
from kgen.matrix.records import Generation
from kgen.model.accelerator import CPU, Accelerator
from kgen.model.request import EnvironmentRequest
from kgen.model.requirement import Requirement, parse_requirement
from kgen.settings import JointEnvironment, Settings, Target


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
    # kgen chooses the build of an environment's own frameworks; what the project says about them is which versions
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


def platforms_of(settings: Settings, accelerator: Accelerator, matrix: CompatibilityMatrix) -> tuple[str, ...]:
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
