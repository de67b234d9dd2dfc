"""Does an environment of wheels equal its lock, file by file?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from kgen import editable
from kgen.formats.environment import METADATA, RECORD, SOURCE, Record, Source, installed, read_record, site_packages
from kgen.formats.verify import (
    Difference,
    changed_files,
    expected_files,
    files_in,
    folders_of,
    label,
    own_differences,
    recorded,
)
from kgen.model.lockfile import LockedFile, Lockfile
from kgen.model.requirement import canonical_name

_IN_PREFIX = re.compile(r"\{prefix\}/([^,:;\s]+)")


def differences(of: Source, lock: Lockfile) -> tuple[Difference, ...]:
    """Everything in the environment that is not as locked, sorted by path.

    What Python itself leaves behind (`__pycache__`) is not a difference, nor what is in a folder that a variable of the
    environment names for what is made at run time, such as Theano's compiled modules.
    """
    prefix = of.prefix
    record, site = read_record(prefix), site_packages(prefix)
    if site is None:
        return (Difference("removed", ".", None),)
    own_project = f"{editable.installed_name(prefix)}{METADATA}"
    of_project = {path for path, _ in recorded(prefix, site, own_project)}
    found = {*_packages(prefix, site, lock, record), *changed_files(prefix)}
    found = {one for one in found if one.path not in of_project and PurePosixPath(one.path).name != own_project}
    own = {} if record is None else record.own
    found |= set(own_differences(prefix, own))
    known = {*expected_files(prefix, site), *own, RECORD, SOURCE, editable.RECORD, editable.TREES, *of_project}
    filled = tuple(f"{place}/" for text in lock.places.values() for place in _IN_PREFIX.findall(text))
    found |= {
        Difference("added", path, None)
        for path in files_in(prefix)
        if path not in known and not path.startswith(filled)
    }
    return tuple(sorted(found, key=lambda one: (one.path, one.kind)))


def _packages(prefix: Path, site: Path, lock: Lockfile, record: Record | None) -> Iterator[Difference]:
    """Packages that are there and should not be, or the other way round, or whose RECORD has changed."""
    # as the file spells them, which is how the folder of metadata is called
    wanted = {label(*_spelled(file)) for file in lock.files}
    present = folders_of(site)
    inside = site.relative_to(prefix).as_posix()
    # the version of a tree is known when it is built
    built = {canonical_name(tree.name) for tree in lock.trees}
    for folder, name in present.items():
        if name not in wanted and canonical_name(name.split()[0]) not in built:
            yield Difference("added", f"{inside}/{folder}", name)
    gone = built - {canonical_name(name.split()[0]) for name in present.values()}
    for name in sorted({*(wanted - set(present.values())), *gone}):
        yield Difference("removed", inside, name)
    if record is not None:
        now = installed(site, lock.form)
        for folder, (sha, _, _) in record.installed.items():
            if folder in now and now[folder][0] != sha:
                yield Difference("changed", f"{inside}/{folder}/RECORD", present[folder])


def _spelled(file: LockedFile) -> tuple[str, str]:
    if file.is_source:
        name, _, version = re.sub(r"\.(?:tar\.gz|zip)$", "", file.filename).rpartition("-")
    else:
        name, version = file.filename.split("-")[:2]
    return name, version
