"""Installs the project itself into an environment, editable: built apart from it, with what the lock pins for that."""

from __future__ import annotations

from collections.abc import Callable

from kgen import editable, uvtool
from kgen.editable import ProjectBuild
from kgen.errors import OutsideError
from kgen.formats.environment import Source
from kgen.formats.wheels.building import builder
from kgen.formats.wheels.installer import Uv
from kgen.model.lockfile import Lockfile
from kgen.model.requirement import canonical_name, parse_requirement


def lacking(build: ProjectBuild, lock: Lockfile) -> list[str]:
    """What builds the project and is not pinned in a lock."""
    pinned = {canonical_name(file.name) for file in lock.build}
    wanted = [parse_requirement(text) for text in build.requires]
    return [one.name for one in wanted if one.marker is None and one.name not in pinned]


def install(of: Source, lock: Lockfile, build: ProjectBuild, report: Callable[[str], None]) -> None:
    """Build the project and install it, with its programs, over what was there of it.

    Args:
        of: the environment, which is whole.
        lock: its lock.
        build: how the project is built.
        report: called with each stage.

    Raises:
        OutsideError: what builds it could not be had, or it cannot be built; the environment stands as locked.
    """
    root = of.environment.folder.parent.parent
    uv = Uv(uvtool.find(), root=root)
    report(f"building {build.name}")
    with builder(lock, uv, build.name) as building:
        otherwise = f"kgen sync {of.name} --no-project   # everything but the project itself"
        wheel = building.wheel(root, build, otherwise=otherwise)
        report(f"installing {build.name}")
        uv.install_wheel(wheel, of.prefix)
        name = "-".join(wheel.name.split("-")[:2])
        try:
            (of.prefix / editable.RECORD).write_bytes(editable.record(name, root))
        except OSError as error:
            raise OutsideError(f"{of.prefix / editable.RECORD} cannot be written: {error.strerror or error}") from error
