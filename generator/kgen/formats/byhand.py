"""Packages that the user installed into an environment by hand: kgen keeps them when it makes the environment anew."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import files, storage
from kgen.formats import environment as environments
from kgen.formats.environment import METADATA, Source
from kgen.formats.verify import recorded
from kgen.model.requirement import canonical_name


class Kept(NamedTuple):
    """What became of packages that were installed by hand, each as `name-version`.

    Attributes:
        packages: those that are there again.
        gone: those that are not: the lock has the package, or it was for another Python.
    """

    packages: Sequence[str] = ()
    gone: Sequence[str] = ()


@contextlib.contextmanager
def carried(of: Source) -> Iterator[list[Kept]]:
    """Puts what was installed by hand back once the environment was made anew.

    Args:
        of: the environment, which may not exist yet.

    Yields:
        A list that has what became of it, in the end.
    """
    told: list[Kept] = []
    names = environments.gained(of)
    old = environments.site_packages(of.prefix)
    if not names or old is None:
        yield told
        return
    inside = old.relative_to(of.prefix)
    with storage.scratch() as folder:
        files = {name: list(_copied(of.prefix, inside, f"{name}{METADATA}", folder)) for name in names}
        yield told
        new = environments.site_packages(of.prefix)
        fits = new is not None and new.relative_to(of.prefix) == inside
        locked = {_project(one) for one in (new.glob(f"*{METADATA}") if new is not None else ())}
        kept = [name for name in names if fits and files[name] and _project(Path(name)) not in locked]
        for name in kept:
            for path in files[name]:
                _put(folder / path, of.prefix / path)
        told.append(Kept(kept, [name for name in names if name not in kept]))


def _project(folder: Path) -> str:
    return canonical_name(folder.name.removesuffix(METADATA).rpartition("-")[0])


def _copied(prefix: Path, site: Path, folder: str, to: Path) -> Iterator[Path]:
    """Copies the files of a package out of an environment; gives their paths in it."""
    paths = {Path(path) for path, _ in recorded(prefix, prefix / site, folder)}
    paths |= {path.relative_to(prefix) for path in (prefix / site / folder).glob("**/*")}
    for path in sorted(paths):
        # a RECORD may name files anywhere: those outside stay what they are
        if path.is_absolute() or ".." in path.parts or not files.is_file(prefix / path):
            continue
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(prefix / path, to / path)
        yield path


def _put(file: Path, place: Path) -> None:
    """Puts a file where none is; what the lock brings stays."""
    if files.exists(place):
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place)
    except OSError as error:
        raise files.unwritable(place, error) from error
