"""Makes a conda lock's environment: a new prefix that conda, mamba and micromamba recognise replaces the old one."""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kgen import files, host, process, storage, uvsettings, uvtool
from kgen.errors import WITH_A_NETWORK, HashMismatchError, OfflineError, OutsideError
from kgen.explain.names import few
from kgen.explain.sizes import size_text
from kgen.formats import vendor
from kgen.formats.conda import condafiles
from kgen.formats.conda.condafiles import CondaFile, CondaPlatform
from kgen.formats.conda.rattlertool import Rattler, opened
from kgen.formats.environment import (
    RECORD,
    SOURCE,
    Record,
    Source,
    installed,
    is_kgens,
    link,
    put_beside,
    record_text,
    site_packages,
)
from kgen.formats.interface import Beside, Installation
from kgen.model.lockfile import LockedFile, Lockfile

if TYPE_CHECKING:
    from kgen.formats.verify import Difference

_KNOWN = ".conda/environments.txt"
_SCRIPT = 4096
"""Bytes of a program that are searched for the folder that it was made in."""

_UNPACKED = "unpacked"
"""The folder of the packages that came with a bundle, unpacked for rattler to link."""

_STATE = "conda-meta/state"
_UNSET = "***unset***"
"""What conda stores for a variable that was set once and then unset."""


def prepare(of: Source, beside: Callable[[Lockfile], Beside], *, thorough: bool) -> Installation:
    """Read the lock and open rattler; see :class:`kgen.formats.interface.Installer`."""
    file = condafiles.read(of.lock)
    locked = condafiles.platform_of(file, host.subdir())
    lock = condafiles.lockfile(file, of.lock, host.subdir())
    own = beside(lock)
    root = of.environment.folder.parent.parent
    brought = root if vendor.complete(root, lock) else None
    # packages from a bundle are unpacked beside them, in the project: this machine may have no other cache
    rattler = opened(root / vendor.FOLDER / _UNPACKED if brought else None)

    def make(report: Callable[[str], None]) -> None:
        if brought is not None:
            report("unpacking")
            for one in locked.packages:
                stem = re.sub(r"\.(conda|tar\.bz2)$", "", one["fn"])
                rattler.unpack(vendor.path_of(brought, _file_of(lock, one)), one["sha256"], stem)
        realise(
            of,
            file,
            locked,
            rattler=rattler,
            uv=uvtool.find,
            texts=own.files,
            links=own.links,
            report=report,
            thorough=thorough,
            brought=None if brought is None else (brought, lock),
        )
        if rattler.registers:
            register(of.prefix)

    return Installation(make, rattler.remarks)


def _file_of(lock: Lockfile, record: Mapping[str, Any]) -> LockedFile:
    return next(file for file in lock.files if (file.filename, file.sha256) == (record["fn"], record["sha256"]))


def differences(of: Source) -> tuple[Difference, ...]:
    """Every difference between an environment and its lock, sorted by path."""
    from kgen.formats.conda import verify  # noqa: PLC0415 - brings threads; rarely asked for

    return verify.differences(of, condafiles.platform_of(condafiles.read(of.lock), host.subdir()))


def lost(prefix: Path) -> Sequence[str]:
    """The variables that somebody has added to an environment with `conda env config vars set`."""
    try:
        data: Any = json.loads(files.read(prefix / _STATE))
        names = sorted(name for name, value in data["env_vars"].items() if value != _UNSET)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    return (f"what `conda env config vars set` had set is gone: {', '.join(names)}",) if names else ()


def realise(
    of: Source,
    file: CondaFile,
    locked: CondaPlatform,
    *,
    rattler: Rattler,
    uv: Callable[[], str],
    texts: Callable[[], Mapping[str, str]],
    report: Callable[[str], None],
    thorough: bool = False,
    links: Mapping[str, Path] = MappingProxyType({}),
    brought: tuple[Path, Lockfile] | None = None,
) -> None:
    """Make the environment again and move it to its place; call this under :func:`kgen.storage.exclusive`.

    The previous environment stays until the new one is complete, or if that fails.

    Args:
        of: the lock, and where the environment is.
        file: the lock.
        locked: the part of it for this platform.
        rattler: the installer of packages.
        uv: returns the installer of wheels, if there are any.
        texts: returns the files besides the packages: path in the environment -> text.
        report: called with each stage.
        thorough: whether to compare every file with its digest afterwards. An installer links files to those in its
            cache, so editing one in an environment damages the cache and every environment made from it.
        links: path in the environment -> the folder outside that it links to, which is created if it is missing.
        brought: the project's folder and the lock, if a bundle brought everything in the lock.

    Raises:
        OutsideError: the environment could not be made; the previous one is unchanged.
    """
    with storage.staged_folder(of.prefix, owned=is_kgens) as staged:
        report("installing")
        try:
            if host.is_offline():
                _refuse_uncached(of, rattler.uncached(locked.packages), len(locked.packages))
            rattler.install(locked.packages, staged, locked.specs, place=of.prefix)
        except OutsideError as error:
            error.prefix(f"{of.name}: ")
            raise
        if not files.exists(staged / "bin/python"):
            raise OutsideError(f"{of.name}: the packages of the lock have no interpreter", hints=["kgen lock --conda"])
        if thorough:
            report("comparing every file")
            from kgen.formats.conda.verify import damaged_in_cache  # noqa: PLC0415 - brings threads; rarely asked for

            damaged = damaged_in_cache(staged)
            if damaged:
                raise HashMismatchError(
                    f"{of.name}: the cache of conda's packages is damaged: {', '.join(damaged)}",
                    hints=[f"rm -r {shlex.quote(str(path))}" for path in damaged.values()],
                )
        if locked.wheels:
            report("installing wheels")
            _install_wheels(of, locked, staged, uv(), brought)
            _make_scripts_movable(staged, of.prefix)
        report("finishing")
        own = put_beside(staged, texts())
        for name, folder in links.items():
            link(staged / name, folder)
        site = site_packages(staged)
        if site is None:
            raise OutsideError(f"{of.name}: the packages of the lock have no folder for modules")
        python = next(one["version"] for one in locked.packages if one["name"] == "python")
        record = Record(lock=file.digest, python=python, installed=installed(site, of.form), own=own)
        (staged / SOURCE).write_bytes(of.state)
        (staged / RECORD).write_text(record_text(record), encoding="utf-8")


def _refuse_uncached(of: Source, missing: Sequence[Mapping[str, Any]], number: int) -> None:
    if missing:
        named = few([f"{one['name']} {one['version']} ({size_text(one.get('size'))})" for one in missing])
        size = size_text(sum(one.get("size") or 0 for one in missing))
        raise OfflineError(
            f"{len(missing)} of {number} packages, {size}, are not on this machine, and `--offline` keeps rattler from"
            f" fetching them: {named}",
            hints=[WITH_A_NETWORK, f"kgen bundle {of.name} -o {of.name}.tar   # there, then `kgen unbundle` here"],
        )


def register(prefix: Path) -> None:
    """Add an environment to the list from which `conda env list` knows those outside conda's own folder.

    conda and micromamba add each environment that they make, and remove those that no longer exist. kgen adds one only
    if either of them is, or was, on this machine, because nothing else reads the list. Like conda, it ignores a list
    that cannot be written.
    """
    home = host.home()
    if home is None or "\n" in str(prefix):
        return
    known = home / _KNOWN
    if host.conda_program() is None and not files.exists(known):
        return
    with contextlib.suppress(OSError, ValueError):
        text = known.read_text(encoding="utf-8") if files.exists(known) else ""
        if str(prefix) not in text.splitlines():
            known.parent.mkdir(parents=True, exist_ok=True)
            with known.open("a", encoding="utf-8") as file:
                file.write(f"{'' if not text or text.endswith(chr(10)) else chr(10)}{prefix}\n")


def _install_wheels(
    of: Source, locked: CondaPlatform, prefix: Path, uv: str, brought: tuple[Path, Lockfile] | None
) -> None:
    """Install every wheel of the lock by its hash, without resolving dependencies, which are all in the lock."""
    uvsettings.require_environments(of.environment.folder.parent.parent)
    with storage.scratch() as folder:
        requirements = folder / "requirements.txt"
        apart: tuple[str, ...] = ()
        if brought is not None:
            here = vendor.laid_out(*brought, folder / "wheels")
            apart = ("--no-index", "--offline", "--find-links", str(here))

        def install(place: Callable[[Mapping[str, str]], str]) -> process.Completed:
            lines = (f"{one['name']}{place(one)} --hash=sha256:{one['sha256']}\n" for one in locked.wheels)
            requirements.write_text("".join(lines), encoding="utf-8")
            words = ("pip", "install", "--python", str(prefix / "bin/python"), "--no-deps", "--only-binary", ":all:")
            # a Python of conda's may be marked as managed (PEP 668); here kgen manages it, and this folder is kgen's
            managed = ("--break-system-packages",)
            return uvtool.run(
                [uv, *words, *managed, *apart, "--require-hashes", "--requirements", str(requirements), *uvtool.PLAIN],
                env={"VIRTUAL_ENV": "", "CONDA_PREFIX": ""},
                cwd=of.environment.folder.parent.parent,
            )

        # from uv's cache or its configured index, or else from the URL in the lock
        done = install(lambda one: f"=={one['version']}")
        if done.status != 0 and brought is None:
            done = install(lambda one: f" @ {one['url']}")
    if done.status == 0:
        return
    failure = uvtool.failure(uvtool.words(done.stderr), "sync")
    failure.prefix(f"{of.name} was not installed: ")
    raise failure


def _make_scripts_movable(staged: Path, place: Path) -> None:
    """Make programs of wheels, which name the interpreter beside which they were installed, independent of its path."""
    before, after = str(staged).encode(), str(place).encode()
    changed = {}
    for path in (staged / "bin").iterdir():
        if files.is_link(path) or not files.is_file(path):
            continue
        with path.open("rb") as program:
            start = program.read(_SCRIPT)
        if start.startswith(b"#!") and before in start:
            content = path.read_bytes().replace(before, after)
            # a new file: the existing one may be a link into the cache
            new = path.with_name(f".{path.name}.kgen")
            new.write_bytes(content)
            shutil.copymode(path, new)
            new.replace(path)
            changed[path] = content
    if changed:
        _record_again(staged, changed)


def _record_again(staged: Path, changed: Mapping[Path, bytes]) -> None:
    """Update the RECORDs of wheels for their changed programs."""
    site = site_packages(staged)
    for path in sorted(site.glob("*.dist-info/RECORD")) if site is not None else ():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        found = False
        for row in rows:
            content = changed.get(Path(os.path.normpath(path.parents[1] / row[0]))) if row else None
            if content is not None:
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                row[1:] = [f"sha256={digest}", str(len(content))]
                found = True
        if found:
            text = io.StringIO(newline="")
            csv.writer(text, lineterminator="\n").writerows(rows)
            new = path.with_name("RECORD.kgen")
            new.write_text(text.getvalue(), encoding="utf-8")
            new.replace(path)
