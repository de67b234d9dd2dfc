"""What a lock would have built, and so run, that the project's own files do not name: kgen does not install it.

A lock may be somebody else's. Flags that shaped it say nothing of what its owner of today wants; the settings do.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kgen.actions.requirements import unnamed_trees
from kgen.fields import allow_build_command
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.selection import unknown_sources
from kgen.model.lockfile import LockedTree, Lockfile
from kgen.settings import Settings


class Unvouched(NamedTuple):
    """Something that only a lock names, and that is built.

    Attributes:
        name: the package; None where no settings can name it.
        what: what is wrong with it, behind the name of the lock.
        fix: the command that has the settings name it; None where there is none.
        tree: whether it is a source tree.
    """

    name: str | None
    what: str
    fix: str | None
    tree: bool = False


def unvouched(matrix: CompatibilityMatrix, written: Settings, lock: Lockfile) -> Iterator[Unvouched]:
    """What of a lock would be built although neither the matrix nor the project names it.

    Args:
        matrix: the facts.
        written: the settings, without flags and without what the project requires.
        lock: the lock.

    Raises:
        SettingsError: what the project requires cannot be read.
    """
    for source in unknown_sources(matrix, lock, written.build) if lock.form.follows_matrix else ():
        fix = None if source.name is None else allow_build_command([source.name])
        yield Unvouched(source.name, source.what, fix)
    for tree in unnamed_trees(written, lock):
        what = f"has {tree.name} from {tree.shown}, which neither the settings nor the project's own files name"
        place = shlex.quote(f"{tree.name} @ {_place(tree, lock.path, written.root)}")
        yield Unvouched(tree.name, what, f"kgen add {place}", tree=True)


def fixes(found: Iterable[Unvouched]) -> Iterator[str]:
    """The commands that have the settings name all of it."""
    found = list(found)
    sources = [one.name for one in found if one.name is not None and not one.tree]
    if sources:
        yield allow_build_command(sources)
    yield from (one.fix for one in found if one.tree and one.fix is not None)


def _place(tree: LockedTree, lock: Path, root: Path) -> str:
    """Where a tree is from, as a requirement of the project would name it."""
    folder = tree.folder(lock)
    if folder is not None:
        relative = Path(os.path.relpath(folder, root)).as_posix()
        return relative if relative.startswith("..") else f"./{relative}"
    revision = f"@{tree.revision or tree.commit}"
    return f"git+{tree.url}{revision}" + (f"#subdirectory={tree.subdirectory}" if tree.subdirectory else "")
