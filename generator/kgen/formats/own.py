"""Installs the project itself into an environment, editable: built apart from it, with what the lock pins for that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kgen import editable, process, storage, uvtool
from kgen.editable import ProjectBuild
from kgen.errors import OutsideError
from kgen.formats.environment import Source
from kgen.formats.wheels.installer import Uv
from kgen.model.grammar import printable
from kgen.model.lockfile import Lockfile
from kgen.model.requirement import canonical_name, parse_requirement
from kgen.project import PYPROJECT

_WANTS_MORE = 3
"""The exit status of the program that builds where something is missing for it."""


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
    with storage.scratch() as folder:
        report(f"building {build.name}")
        builder = folder / "builder"
        builder.mkdir()
        uv.create(builder, python=lock.python, prompt=f"building {build.name}")
        python = str(builder / "bin/python")
        uv.install(lock._replace(files=lock.build, build=(), indexes={}), builder)
        wheels = folder / "wheels"
        wheels.mkdir()
        program = Path(__file__).with_name("wheels") / "pep517.py"
        words = [python, str(program), build.backend, build.path and str(root / build.path), str(wheels), "editable"]
        # what the backend writes on stdout beside the names is shown to nobody
        done = process.run(words, cwd=root, env={"PYTHONPATH": "", "PYTHONHOME": ""})
        if done.status == _WANTS_MORE:
            wanted = ", ".join(done.stdout.split("\n")[:-1])
            raise OutsideError(
                f"{build.name} cannot be built: {build.backend} also needs {wanted}, which no lock pins",
                hints=[f"name it in `build-system.requires` of {PYPROJECT}, then: kgen lock"],
            )
        wheel = next(wheels.glob("*.whl"), None)
        if done.status != 0 or wheel is None:
            said = next(
                (line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "it gave no reason"
            )
            raise OutsideError(
                f"{build.name} could not be built: {uvtool.bounded(printable(said))}",
                hints=[f"kgen sync {of.name} --no-project   # everything but the project itself"],
            )
        report(f"installing {build.name}")
        uv.install_wheel(wheel, of.prefix)
        name = "-".join(wheel.name.split("-")[:2])
        try:
            (of.prefix / editable.RECORD).write_bytes(editable.record(name, root))
        except OSError as error:
            raise OutsideError(f"{of.prefix / editable.RECORD} cannot be written: {error.strerror or error}") from error
