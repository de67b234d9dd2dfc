"""Builds packages outside the environment that they are for, with exactly what its lock pins for building."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kgen import editable, gittool, host, process, storage, trees, uvtool
from kgen.editable import ProjectBuild
from kgen.errors import BuildError, SettingsError
from kgen.model.grammar import printable
from kgen.model.lockfile import LockedTree, Lockfile
from kgen.project import PYPROJECT

if TYPE_CHECKING:
    from kgen.formats.wheels.installer import Uv

_WANTS_MORE = 3
"""The exit status of the build program if something that it needs is missing."""

_LINES = 8
"""The number of lines of a build backend's output that messages show."""

_WRONG = re.compile(r"(?i:error|fatal)\b|[A-Za-z_.]+(?:Error|Exception|Exit): ")
"""The beginning of a line that states an error."""

_PROGRAM = Path(__file__).with_name("pep517.py")


class Builder(NamedTuple):
    """An environment with what a lock pins for building.

    Attributes:
        prefix: its folder.
        folder: the folder for wheels.
    """

    prefix: Path
    folder: Path

    def wheel(self, root: Path, build: ProjectBuild, *, kind: str = "editable", otherwise: str) -> Path:
        """Build a wheel.

        Args:
            root: the folder of the source tree.
            build: how it is built.
            kind: `editable`, or `wheel` for one that does not need the tree any more.
            otherwise: what to do if it cannot be built.

        Raises:
            OutsideError: it cannot be built with what is pinned.
        """
        place = self.folder / build.name
        place.mkdir()
        path = str(root / build.path) if build.path else ""
        words = [str(self.prefix / "bin/python"), str(_PROGRAM), build.backend, path, str(place), kind]
        # the backend may print more than the names to stdout, which kgen ignores. A backend may call a program, and
        # expects it where other build frontends put it: first on PATH
        path_of_programs = os.pathsep.join([str(self.prefix / "bin"), host.variable("PATH") or os.defpath])
        env = {"PYTHONPATH": "", "PYTHONHOME": "", "PATH": path_of_programs, "RUST_BACKTRACE": "0"}
        done = process.run(words, cwd=root, env=env)
        if done.status == _WANTS_MORE:
            wanted = ", ".join(done.stdout.split("\n")[:-1])
            raise BuildError(
                f"{build.name} cannot be built: {build.backend} also needs {wanted}, which no lock pins",
                hints=[f"name it in `build-system.requires` of its {PYPROJECT}, then: kgen lock"],
            )
        wheel = next(place.glob("*.whl"), None)
        if done.status != 0 or wheel is None:
            raise BuildError(f"{build.name} could not be built:{_reason(done.stderr)}", hints=[otherwise])
        return wheel


def _reason(stderr: str) -> str:
    """The end of a build backend's output, without the location in its own code.

    A compiler, or a program that the backend calls, states the error before the last line.
    """
    kept: list[str] = []
    traced = False
    for line in stderr.splitlines():
        if line.startswith(
            ("Traceback (most recent call last)", "During handling of the above", "The above exception")
        ):
            traced = True
        elif traced and line[:1].isspace():
            continue
        elif line.strip():
            traced = False
            kept.append(uvtool.bounded(printable(line.strip())))
    if not kept:
        return " it gave no reason"
    # many lines of advice may follow the error
    last = next((number for number in reversed(range(len(kept))) if _WRONG.match(kept[number])), 0)
    start = min(last, max(len(kept) - _LINES, 0))
    return f" {kept[0]}" if len(kept) == 1 else "\n".join(["", *(f"  {line}" for line in kept[start : start + _LINES])])


@contextlib.contextmanager
def builder(lock: Lockfile, uv: Uv, what: str) -> Iterator[Builder]:
    """Make an environment for building, which is removed at the end of the `with` block.

    Args:
        lock: the lock.
        uv: the installer.
        what: what will be built.

    Raises:
        OutsideError: what builds it cannot be fetched.
    """
    with storage.scratch() as folder:
        prefix, built = folder / "builder", folder / "wheels"
        prefix.mkdir()
        built.mkdir()
        uv.create(prefix, python=lock.python, prompt=f"building {what}")
        if lock.build:
            uv.install(lock._replace(files=lock.build, build=(), indexes={}, trees=()), prefix)
        yield Builder(prefix, built)


def install_trees(lock: Lockfile, uv: Uv, prefix: Path, root: Path, report: Callable[[str], None]) -> None:
    """Build and install what a lock takes from source trees: folders as editable, and commits of repositories.

    Args:
        lock: the lock, whose files are installed.
        uv: the installer.
        prefix: the environment.
        root: the project's folder.
        report: called with each stage.

    Raises:
        SettingsError: a folder has changed since it was locked.
        OutsideError: a commit cannot be fetched, or a package cannot be built.
    """
    if not lock.trees:
        return
    with builder(lock, uv, lock.environment) as building:
        for tree in lock.trees:
            report(f"building {tree.name}")
            with _sources(lock, tree) as folder:
                build = _build(lock, tree, folder)
                wheel = building.wheel(
                    folder,
                    build,
                    kind="editable" if tree.url is None else "wheel",
                    otherwise=f"see what is wrong with {tree.shown}, or lock without {tree.name}",
                )
                uv.install_wheel(wheel, prefix)
    place = prefix / editable.TREES
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(editable.trees_record(root))


@contextlib.contextmanager
def _sources(lock: Lockfile, tree: LockedTree) -> Iterator[Path]:
    """The folder of a tree in its locked state."""
    folder = tree.folder(lock.path)
    if folder is not None:
        yield folder
        return
    gittool.require(f"{lock.environment}: {tree.name} is from a git repository")
    cache = host.cache("git")
    with storage.scratch() as apart:
        try:
            parts = gittool.parts(str(tree.url), str(tree.commit), cache, offline=host.is_offline())
        except ValueError as error:
            said = f"{tree.name} ({tree.shown}) {printable(str(error))}"
            raise SettingsError(f"{lock.environment}: {said}", hints=["name another commit of it"]) from None
        for part in parts:
            gittool.check_out(part.repository, part.commit, apart / "source" / part.path)
        yield apart / "source" / (tree.subdirectory or "")


def _build(lock: Lockfile, tree: LockedTree, folder: Path) -> ProjectBuild:
    """How a tree is built, which must be as locked.

    Raises:
        SettingsError: its metadata has changed since.
    """
    again = [f"kgen lock   # again, with what {tree.name} says now"]
    try:
        read = trees.reading(folder)
        found = trees.source_tree(read, extras=False)
    except (OSError, ValueError) as error:
        said = f"{tree.name} ({tree.shown}) {printable(str(error))}"
        raise SettingsError(f"{lock.environment}: {said}", hints=again) from None
    if tree.sha256 not in {None, found.sha256} or found.name != tree.name:
        said = f"{tree.name} ({tree.shown}) says something else in {PYPROJECT} than when it was locked"
        raise SettingsError(f"{lock.environment}: {said}", hints=again)
    return found.build
