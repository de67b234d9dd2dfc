"""Installs the project itself into an environment, editable: built apart from it, with what the lock pins for that."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from kgen import editable, files, host, storage, uvtool
from kgen.editable import ProjectBuild
from kgen.errors import KgenError
from kgen.formats.environment import Source
from kgen.formats.wheels.builder import builder
from kgen.formats.wheels.installer import Uv
from kgen.model.lockfile import Lockfile
from kgen.model.requirement import canonical_name, parse_requirement


def lacking(build: ProjectBuild, lock: Lockfile) -> list[str]:
    """What builds the project and is not pinned in a lock."""
    pinned = {canonical_name(file.name) for file in lock.build}
    wanted = [parse_requirement(text) for text in build.requires]
    return [one.name for one in wanted if one.marker is None and one.name not in pinned]


def kept_wheel(root: Path, lock: Lockfile, build: ProjectBuild) -> Path | None:
    """The editable wheel that was built before of a project as it is, with the tools of this lock; None if none was."""
    return None if build.dynamic else next(iter(sorted(_place_of_wheel(root, lock, build).glob("*.whl"))), None)


def install(
    of: Source, lock: Lockfile, build: ProjectBuild, report: Callable[[str], None], *, anew: bool = False
) -> None:
    """Build the project and install it, with its programs, over what was there of it.

    What was built before of the same metadata, with the same tools and at the same place, is taken again.

    Args:
        of: the environment, which is whole.
        lock: its lock.
        build: how the project is built.
        report: called with each stage.
        anew: build it in any case.

    Raises:
        OutsideError: what builds it could not be had, or it cannot be built; the environment stands as locked.
    """
    root = of.environment.folder.parent.parent
    uv = Uv(uvtool.find(), root=root)
    wheel = None if anew else kept_wheel(root, lock, build)
    if wheel is not None:
        _install(of, uv, wheel, root)
        return
    kept = None if build.dynamic else _place_of_wheel(root, lock, build)
    report(f"building {build.name}")
    with builder(lock, uv, build.name) as building:
        otherwise = f"kgen sync {of.name} --no-project   # everything but the project itself"
        wheel = building.wheel(root, build, otherwise=otherwise)
        report(f"installing {build.name}")
        _install(of, uv, wheel, root)
        if kept is not None:
            with contextlib.suppress(OSError, KgenError):  # who cannot keep it builds again next time
                kept.mkdir(parents=True, exist_ok=True)
                storage.write_file(kept / wheel.name, wheel.read_bytes())


def _install(of: Source, uv: Uv, wheel: Path, root: Path) -> None:
    uv.install_wheel(wheel, of.prefix)
    try:
        (of.prefix / editable.RECORD).write_bytes(editable.record(editable.metadata_name(wheel), root))
    except OSError as error:
        raise files.unwritable(of.prefix / editable.RECORD, error) from error


def _place_of_wheel(root: Path, lock: Lockfile, build: ProjectBuild) -> Path:
    """Where the editable wheel of a project is kept, by all that it is made from.

    Backends look at which modules there are, but not into them: that is what an editable wheel is for.
    """
    folders = (root, root / "src")
    modules = [
        sorted(path.name for path in folder.glob("[!.]*") if path.suffix == ".py" or files.is_folder(path))
        for folder in folders
    ]
    tools = sorted(f"{file.filename} {file.sha256}" for file in lock.build)
    key = json.dumps([lock.python, build.backend, build.path, tools, modules]).encode() + editable.built_from(root)
    cache = host.cache("built")
    return cache / hashlib.sha256(key).hexdigest()
