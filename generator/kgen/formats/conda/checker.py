"""Compares a conda lock with the matrix, with what is made of it, and with the wheels beside it; offline."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version

from kgen import accelerators, files, host, process
from kgen.accelerators import title
from kgen.errors import FailedProgramError, KgenError, MissingExtraError, UsageError
from kgen.fields import BY_NAME, differing
from kgen.formats.conda import CONDA_LOCK, RECORDS, SOURCE, VIRTUALS, condafiles, text
from kgen.formats.conda.condafiles import CondaFile
from kgen.formats.interface import Asked, Flaw
from kgen.matrix.candidates import BuildTarget, candidate
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Release
from kgen.matrix.selection import Selection, differences
from kgen.model import grammar
from kgen.model.accelerator import CPU
from kgen.model.lockfile import Lockfile
from kgen.solver.problem import parts_of


def flaws(folder: Path, locks: Sequence[Lockfile], matrix: CompatibilityMatrix, asked: Asked) -> Iterator[Flaw]:
    """What is wrong with a conda lock; see :class:`kgen.formats.interface.Checker`."""
    records = folder / RECORDS
    try:
        file = condafiles.read(records)
    except KgenError as error:
        yield Flaw("fault", records, f"cannot be relied on: {error.message.removeprefix(f'{records} ')}")
        return
    selected = Selection(file.variables, file.places, file.configuration, file.shared)
    for key, what in differences(matrix, file.backends, file.accelerator, selected):
        yield Flaw("fault", records, f"cannot be relied on: {key} {what}")
    yield from (Flaw("fault", records, what) for what in _not_as_asked(file, asked))
    yield from _rendered(folder, file)
    for lock in locks:
        other = _other_versions(file, lock, matrix)
        if other:
            where = f" on {lock.platform}" if len(file.platforms) > 1 else ""
            yield Flaw("note", folder / CONDA_LOCK, f"has other versions than the wheels{where}: {other}")


_ELSEWHERE = frozenset({"backends", "platforms", "python", "isolate-config", "torch-index"})
"""What of a request is compared with the matrix and the name, or is about wheels alone."""


def _not_as_asked(file: CondaFile, asked: Asked) -> Iterator[str]:
    """What a lock was made for that is not asked for now; settings that say nothing leave it as it is."""
    settings = asked.settings
    for field, found, wanted in (
        (BY_NAME["channels"], file.channels, settings.channels),
        (BY_NAME["conda"], file.mode, settings.conda),
        (BY_NAME["conda_names"], dict(file.names), dict(settings.conda_names)),
    ):
        if settings.file is not None and getattr(settings, field.name) != field.initial and found != wanted:
            yield f"was made for another `{field.key}` than {settings.file.name} asks for"
    for platform, one in file.platforms.items():
        request = asked.requests.get(platform)
        if request is None:
            continue
        try:
            made_for = condafiles.request_of(file, platform, one)
        except ValueError as error:
            yield f"does not say what it was made for on {platform}: {error}"
            continue
        keys = [key for key in differing(request, made_for) if key not in _ELSEWHERE]
        if keys:
            where = f" on {platform}" if len(file.platforms) > 1 else ""
            yield f"was made for another request than is asked for now{where}: {', '.join(f'`{key}`' for key in keys)}"


_JUDGE = """\
import json, pathlib, sys, warnings
warnings.simplefilter("ignore")
from conda_lock.content_hash import compute_content_hashes
from conda_lock.lockfile import parse_conda_lock_file
from conda_lock.src_parser import make_lock_spec
from conda_lock.virtual_package import virtual_package_repo_from_specification
lock, source, virtuals = map(pathlib.Path, sys.argv[1:])
said = {}
try:
    found = parse_conda_lock_file(lock)
except Exception as error:
    said["parser"] = f"{type(error).__name__}: {error}"
else:
    spec = make_lock_spec(src_files=[source], mapping_url="file:///dev/null")
    hashes = compute_content_hashes(spec, virtual_package_repo_from_specification(virtuals))
    locked = dict(found.metadata.content_hash)
    said["other"] = sorted(one for one in {*hashes, *locked} if hashes.get(one) != locked.get(one))
print(json.dumps(said))
"""
"""What conda-lock, run in a separate process, says about a lock: that its parser refuses it, and which hash differs."""

_PATIENCE = 120.0


def judged(folder: Path) -> Iterator[Flaw]:
    """What conda-lock itself finds wrong; see :class:`kgen.formats.interface.Judge`."""
    if importlib.util.find_spec("conda_lock") is None:
        raise MissingExtraError("conda-lock is not installed beside kgen", hints=["pip install conda-lock"])
    places = [str(folder / name) for name in (CONDA_LOCK, SOURCE, VIRTUALS)]
    done = process.run([sys.executable, "-c", _JUDGE, *places], timeout=host.seconds(_PATIENCE))
    lines = done.stdout.splitlines()
    try:
        said: Mapping[str, Any] = json.loads(lines[-1] if done.status == 0 and lines else "")
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise FailedProgramError(f"conda-lock failed on {folder / CONDA_LOCK}: {grammar.shown(last)}") from None
    if "parser" in said:
        yield Flaw("fault", folder / CONDA_LOCK, f"is refused by conda-lock: {grammar.shown(str(said['parser']))}")
    for platform in said.get("other", ()):
        what = f"has another content_hash for {platform} than conda-lock makes of {SOURCE} and {VIRTUALS}"
        yield Flaw("fault", folder / CONDA_LOCK, what)


def _rendered(folder: Path, file: CondaFile) -> Iterator[Flaw]:
    """What of the files that are made from the records is not as kgen makes it."""
    try:
        expected = text.files(file)
    except UsageError as error:
        yield Flaw("note", folder / CONDA_LOCK, f"was not compared: {error.message}")
        expected = {}
    for place, content in expected.items():
        path = folder / place
        try:
            actual = files.read(path)
        except FileNotFoundError:
            yield Flaw("fault", path, "is missing")
            continue
        except OSError as error:
            yield Flaw("fault", path, f"cannot be read: {error.strerror or error}")
            continue
        if actual != content.encode():
            yield Flaw("fault", path, "is not what kgen writes: it was edited, or is of another kgen")


def _other_versions(file: CondaFile, lock: Lockfile, matrix: CompatibilityMatrix) -> str:
    """The frameworks and their parts that conda's lock has in another version, each with both, and why."""
    locked = file.platforms.get(lock.platform)
    ours = {one["name"]: one["version"] for one in locked.packages} if locked else {}
    names = matrix.conda.names
    by_reason: dict[str, list[str]] = {}
    for name, version in sorted(lock.packages.items()):
        found = ours.get(names.get(name, name))
        if found is not None and found != version.partition("+")[0]:
            reason = _why_other(file, lock, matrix, name, found)
            by_reason.setdefault(reason, []).append(f"{name} {found} (as a wheel {version})")
    return "; ".join(f"{', '.join(listed)}, as {reason}" for reason, listed in by_reason.items())


def _why_other(file: CondaFile, lock: Lockfile, matrix: CompatibilityMatrix, name: str, found: str) -> str:
    """Why a channel and the index have a framework in different versions, as far as the matrix and the locks tell."""
    if Version(found) < Version(lock.packages[name]):
        had = "had" if len(file.channels) == 1 else "have"
        return f"{' and '.join(file.channels)} {had} no newer build that fits when it was locked"
    known = _release_with(matrix, lock, name, Version(found))
    if known is None:
        return "the matrix knows no wheel of it"
    framework, release = known
    accelerator = accelerators.named(lock.accelerator) if framework in matrix.accelerated_frameworks else CPU
    # a build with a label is on an index of its framework's own, which is not where the wheels are from
    if candidate(matrix, framework, release, BuildTarget(accelerator, lock.platform, lock.python)).obstacle is not None:
        return f"there is no wheel of it for {title(accelerator)} and Python {lock.python} on {lock.platform}"
    return f"the wheels beside it hold it back (`kgen explain {lock.environment}` says which)"


def _release_with(
    matrix: CompatibilityMatrix, lock: Lockfile, name: str, version: Version
) -> tuple[str, Release] | None:
    """The framework and its release that a package in a version is, or is a part of, as jaxlib is of JAX."""
    if name in matrix.framework_names:
        release = matrix.release(name, version)
        return None if release is None else (name, release)
    for framework in (one for one in matrix.framework_names if one in lock.packages):
        rows = [(release, build) for release in matrix.framework(framework).releases for build in release.builds]
        parts = parts_of(framework, [build for _, build in rows]).get(name, ())
        having = [release for (release, _), part in zip(rows, parts, strict=False) if part == version]
        if having:
            return framework, max(having, key=lambda release: release.version)
    return None
