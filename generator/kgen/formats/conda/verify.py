"""Does a conda environment equal its lock, file by file?

Each package's file in `conda-meta` names its files with their digests.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from kgen import files
from kgen.formats.conda.condafiles import CondaPlatform
from kgen.formats.environment import RECORD, SOURCE, Source, read_record, site_packages
from kgen.formats.verify import BYTECODE, Difference, compare, expected_files, files_in, own_differences, sha256


def differences(of: Source, locked: CondaPlatform) -> tuple[Difference, ...]:
    """Everything in an environment that is not as locked, sorted by path."""
    prefix = of.prefix
    record, site = read_record(prefix), site_packages(prefix)
    if site is None:
        return (Difference("removed", ".", None),)
    wanted = {
        f"{one['name']}-{one['version']}-{one['build']}": f"{one['name']} {one['version']}" for one in locked.packages
    }
    found: set[Difference] = set()
    known: dict[str, tuple[str, str]] = {}
    present = {path.stem: path for path in sorted((prefix / "conda-meta").glob("*.json"))}
    for stem in wanted.keys() - present.keys():
        found.add(Difference("removed", f"conda-meta/{stem}.json", wanted[stem]))
    for stem in present.keys() - wanted.keys():
        found.add(Difference("added", f"conda-meta/{stem}.json", None))
    for stem in wanted.keys() & present.keys():
        known |= {path: (sha, wanted[stem]) for path, sha in _linked(present[stem])}
    for stem in (wanted.keys() & present.keys()) if record is not None else ():
        sha = record.installed.get(f"conda-meta/{stem}.json", ("", 0, 0))[0] if record else ""
        actual = sha256(present[stem])
        if actual is not None and actual.hex() != sha:
            found.add(Difference("changed", f"conda-meta/{stem}.json", wanted[stem]))
    wheels = {path: row for path, row in expected_files(prefix, site).items() if path not in known}
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        compared = [
            *pool.map(lambda item: _compare_linked(prefix, item[0], *item[1]), known.items()),
            *pool.map(lambda item: compare(prefix, item[0], *item[1]), wheels.items()),
        ]
    found |= {difference for difference in compared if difference is not None}
    own = {} if record is None else record.own
    found |= set(own_differences(prefix, own))
    expected = {*known, *wheels, *own, RECORD, SOURCE}
    inside = site.relative_to(prefix).as_posix()
    found |= {
        Difference("added", path, None) for path in files_in(prefix) if path not in expected and path.startswith(inside)
    }
    return tuple(sorted(found, key=lambda one: (one.path, one.kind)))


def damaged_in_cache(prefix: Path) -> dict[str, Path]:
    """The packages whose files are not what they say right after they were linked: name -> where the cache has them.

    Environments are made of links to rattler's cache, which is changed by who changes a file in one of them.
    """
    found = {}
    for metadata in sorted((prefix / "conda-meta").glob("*.json")):
        if any(_compare_linked(prefix, path, sha, metadata.stem) for path, sha in _linked(metadata)):
            found[metadata.stem] = Path(str(json.loads(files.read(metadata)).get("extracted_package_dir", "")))
    return found


def _linked(metadata: Path) -> Iterator[tuple[str, str]]:
    """The files of a package of conda, each with its digest in this environment, or nothing for a link."""
    try:
        data = json.loads(files.read(metadata))
        rows = [(str(row["_path"]), row) for row in data["paths_data"]["paths"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
    for path, row in rows:
        linked = row.get("path_type") == "softlink" or PurePosixPath(path).parent.name == BYTECODE
        yield path, "" if linked else str(row.get("sha256_in_prefix") or row.get("sha256") or "")


def _compare_linked(prefix: Path, path: str, sha: str, package: str) -> Difference | None:
    if PurePosixPath(path).parent.name == BYTECODE:
        return None
    actual = sha256(prefix / path)
    if actual is None:
        return Difference("removed", path, package)
    return None if not sha or actual.hex() == sha else Difference("changed", path, package)
