"""Makes a lock's environment on disk: a new one, exactly as locked, which replaces the previous one."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import tomli

from kgen import editable, host, lockfiles, process, project, storage, uvsettings, uvtool
from kgen.errors import (
    WITH_A_NETWORK,
    BuildError,
    FailedProgramError,
    HashMismatchError,
    MissingProgramError,
    OfflineError,
    OutsideError,
    UnavailableError,
)
from kgen.explain.names import few
from kgen.explain.sizes import size_text
from kgen.formats import vendor
from kgen.formats.environment import (
    METADATA,
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
from kgen.formats.wheels import builder, pylock
from kgen.lockfiles import digest
from kgen.model.lockfile import LockedFile, Lockfile

if TYPE_CHECKING:  # slow to import, and seldom asked for
    from kgen.formats.verify import Difference

T = TypeVar("T")


def prepare(of: Source, beside: Callable[[Lockfile], Beside], *, thorough: bool) -> Installation:
    """Read the lock and find uv; see :class:`kgen.formats.interface.Installer`."""
    lock = lockfiles.read(of.lock)
    own = beside(lock)
    root = of.environment.folder.parent.parent
    program = uvtool.find()
    uv = Uv(program, root=root, own=lambda: uvtool.own_indexes(program, root, project.torch_index(root)))
    return Installation(lambda report: realise(of, lock, uv, thorough=thorough, beside=own, report=report))


def differences(of: Source) -> tuple[Difference, ...]:
    """Every difference between an environment and its lock, sorted by path."""
    from kgen.formats.wheels import verify  # noqa: PLC0415 - as above

    return verify.differences(of, lockfiles.read(of.lock))


def lost(_prefix: Path) -> Sequence[str]:
    """Nothing: a virtual environment contains no configuration of the user."""
    return ()


class Uv:
    """uv as the installer: its command line. The lock determines what it may install."""

    def __init__(
        self, program: str, *, root: Path, own: Callable[[], Callable[[str, str], str] | None] = lambda: None
    ) -> None:
        """Use this uv, which looks for its configuration from the project's root on.

        Args:
            program: the path of uv.
            root: the project's root.
            own: returns the frameworks' own indexes, as :func:`kgen.uvtool.own_indexes` does; called only if a lock
                contains something from them.
        """
        self._program = program
        self._root = root
        self._own = own
        self._hear: Callable[[str], None] | None = None

    def create(self, prefix: Path, *, python: str, prompt: str) -> None:
        """Make an empty, relocatable virtual environment in an empty folder.

        Raises:
            OutsideError: there is no such interpreter, or uv failed.
        """
        words = ("venv", str(prefix), "--no-project", "--relocatable", "--prompt", prompt, "--python")
        # uv would start every interpreter of the machine, one after the other, before it finds these
        near = [one for one in (vendor.interpreter(self._root, python), host.own_interpreter(python)) if one]
        for number, interpreter in enumerate(near):
            done = self._run(*words, str(interpreter), *(["--allow-existing"] if number else []))
            if done.status == 0:
                return
        done = self._run(*words, uvtool.python_request(python), *(["--allow-existing"] if near else []))
        reason = uvtool.words(done.stderr)
        if done.status != 0 and uvtool.lacks_interpreter(reason):
            for interpreter in host.pyenv_interpreters(python):
                done = self._run(*words, str(interpreter), "--allow-existing")
                if done.status == 0:
                    break
        if done.status == 0:
            return
        if uvtool.lacks_interpreter(reason):
            raise MissingProgramError(
                f"{prompt} is locked for CPython {python}, and uv finds none on this machine",
                hints=[
                    f"{uvtool.typed()} python install {python}",
                    "or install it with the system's package manager or pyenv; uv finds it on PATH",
                ],
            )
        raise uvtool.failure(reason, "sync")

    def install(
        self,
        lock: Lockfile,
        prefix: Path,
        *,
        anew: Sequence[str] = (),
        own: Path | None = None,
        report: Callable[[str], None] = lambda _stage: None,
    ) -> bool:
        """Install every file of the lock, each by its hash, and nothing else.

        If all files came with a bundle, they are installed from there without network. Otherwise uv is asked by name
        and hash first, so that it takes a file from its cache or from any configured index, even if the lock names
        another. Files that no index has are fetched from the URL in the lock, if there is one.

        Args:
            lock: the lock.
            prefix: the environment.
            anew: packages to fetch again, ignoring uv's cache.
            own: a wheel that was built here, to install along: uv inspects every new environment, which takes as long
                as installing.
            report: called with the progress of fetching.

        Returns:
            Whether `own` was installed along.

        Raises:
            OutsideError: a file cannot be fetched, has another hash, or does not fit this machine.
        """
        self._hear = Downloads(lock, report).hear
        python = str(prefix / "bin/python")
        again = [word for name in anew for word in ("--reinstall-package", name)]
        if anew:
            self._run("cache", "clean", *anew)
        with storage.scratch() as folder:
            build = folder / "build.txt"
            build.write_text(_pins(lock.build, lock), encoding="utf-8")
            allowed = [word for file in lock.files if file.is_source for word in ("--no-binary", file.name)]
            # uv builds outside the environment, with exactly these
            allowed += ["--build-constraints", str(build)] if lock.build else []
            brought = vendor.complete(self._root, lock)
            if brought:
                here = vendor.laid_out(self._root, lock, folder / "wheels")
                # all of them are in one folder, whatever places the lock names
                by_hash = _by_hash([file._replace(direct=False) for file in lock.files], lock, folder, own)
                apart = ("--no-index", "--offline", "--find-links", str(here))
                done = self._run("pip", "sync", "--python", python, *again, *allowed, *apart, *by_hash)
            elif lock.indexes:
                done = self._install_from_several(lock, python, [*again, *allowed], folder)
            else:
                by_hash = _by_hash(lock.files, lock, folder, own)
                done = self._run("pip", "sync", "--python", python, *again, *allowed, *by_hash)
            along = own is not None and done.status == 0 and (brought or not lock.indexes)
            if done.status != 0 and not brought and all(file.location(lock.path) for file in lock.files):
                done = self._run("pip", "sync", "--python", python, *again, *allowed, _without_trees(lock, folder))
        if done.status != 0:
            if host.is_offline():
                self._refuse_uncached(lock, python)
            raise _install_failure(lock, uvtool.words(done.stderr))
        return along

    def _refuse_uncached(self, lock: Lockfile, python: str) -> None:
        """Check that all files of a lock are on this machine, if none may be fetched.

        Raises:
            OutsideError: some are not; names them.
        """
        words = ("pip", "install", "--dry-run", "--no-deps", "--offline", "--python", python)
        missing = []
        for file in lock.files:
            with storage.scratch() as folder:
                if self._run(*words, "--reinstall", "--requirements", *_by_hash([file], lock, folder)).status != 0:
                    missing.append(file)
        if missing:
            named = few([f"{file.name} {file.version} ({size_text(file.size)})" for file in missing])
            size = sum(file.size or 0 for file in missing)
            raise OfflineError(
                f"{lock.environment}: {len(missing)} of {len(lock.files)} files, {size_text(size)}, are not on this"
                f" machine, and `--offline` keeps uv from fetching them: {named}",
                hints=[
                    WITH_A_NETWORK,
                    f"kgen bundle {lock.environment} -o {lock.environment}.tar   # there, then `kgen unbundle` here",
                ],
            )

    def install_wheel(self, wheel: Path, prefix: Path) -> None:
        """Install a wheel that was built here, and nothing else; replaces an installed version of the project.

        Raises:
            OutsideError: it cannot be installed.
        """
        python = str(prefix / "bin/python")
        done = self._run("pip", "install", "--no-deps", "--offline", "--reinstall", "--python", python, str(wheel))
        if done.status != 0:
            raise uvtool.failure(uvtool.words(done.stderr), "sync")

    def _install_from_several(
        self, lock: Lockfile, python: str, again: Sequence[str], folder: Path
    ) -> process.Completed:
        """Install files from a framework's own index from there, and all others as usual, each by its hash."""
        own = self._own()
        if own is None and not all(file.location(lock.path) for file in lock.files):
            named = ", ".join(f"{name} ({label})" for name, label in lock.indexes.items())
            raise UnavailableError(
                f"{lock.environment} has packages of a framework's own index, and the settings name none: {named}",
                hints=["set `torch-index = true`, or the URL of a mirror, in the settings"],
            )
        words = ("pip", "install", "--no-deps", "--python", python, *again)
        groups: dict[str | None, list[LockedFile]] = {None: []}
        for file in lock.files:
            label = lock.indexes.get(file.name)
            groups.setdefault(None if label is None or own is None else own(file.name, label), []).append(file)
        done = process.Completed(args=(), status=0, stdout="", stderr="")
        for index, files in groups.items():
            at = () if index is None else ("--default-index", index)
            *options, requirements = _by_hash(files, lock, folder)
            done = self._run(*words, *at, *options, "--requirements", requirements)
            if done.status != 0:
                break
        return done

    def _run(self, *arguments: str) -> process.Completed:
        uvsettings.require_environments(self._root)
        return uvtool.run(
            [self._program, *arguments, *uvtool.PLAIN],
            env={"VIRTUAL_ENV": ""},
            cwd=self._root,
            hear=self._hear,
        )


class Downloads:
    """The progress of uv's downloads, from its output, which mentions large files only, when they are complete."""

    def __init__(
        self, lock: Lockfile, report: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Count the downloads for one lock.

        Args:
            lock: the lock, which has the sizes.
            report: called with a text for people.
            clock: returns seconds since any moment.
        """
        self._sizes = {file.name: file.size or 0 for file in lock.files}
        self._report = report
        self._clock = clock
        self._begun: float | None = None
        self._wanted: set[str] = set()
        self._come: set[str] = set()

    def hear(self, line: str) -> None:
        """Process a line of uv's output."""
        said = _FETCHED.fullmatch(line)
        if said is None or said["name"] not in self._sizes:
            return
        if self._begun is None:
            self._begun = self._clock()
        (self._come if said["done"] else self._wanted).add(said["name"])
        done = sum(self._sizes[name] for name in self._come)
        # uv may announce more files later; the total covers those that it has announced
        total = sum(self._sizes[name] for name in self._wanted | self._come)
        passed = self._clock() - self._begun
        rate = f", {size_text(round(done / passed))}/s" if done and passed > 0 else ""
        self._report(f"downloading, {size_text(done)} of {size_text(total)}{rate}")


_FETCHED = re.compile(r" *Download(?:ing|(?P<done>ed)) (?P<name>[a-z0-9-]+)(?: \([^)]*\))?")


def _by_hash(files: Iterable[LockedFile], lock: Lockfile, folder: Path, own: Path | None = None) -> tuple[str, ...]:
    """Arguments that request exactly these files of a lock, and a wheel that was built here."""
    requirements = folder / "requirements.txt"
    text = _pins(files, lock)
    if own is not None:
        text += f"{own.name.partition('-')[0]} @ {own.as_uri()} --hash=sha256:{digest(own.read_bytes())}\n"
    requirements.write_text(text, encoding="utf-8")
    return ("--require-hashes", "--only-binary", ":all:", str(requirements))


def _pins(files: Iterable[LockedFile], lock: Lockfile) -> str:
    return "".join(f"{file.pin(lock.path)} --hash=sha256:{file.sha256}\n" for file in files)


def _without_trees(lock: Lockfile, folder: Path) -> str:
    """A lock in the form for the installer: kgen itself installs what is built from trees."""
    if not lock.trees:
        return str(lock.path)
    data = tomli.loads(lockfiles.content_of(lock.path).decode())
    data["packages"] = [one for one in data["packages"] if not {"directory", "vcs"} & set(one)]
    for one in data["packages"]:
        if "path" in one.get("archive", {}):
            one["archive"]["path"] = os.path.normpath(lock.path.absolute().parent / one["archive"]["path"])
    copy = folder / lock.path.name
    copy.write_text(pylock.again(data), encoding="utf-8")
    return str(copy)


def _install_failure(lock: Lockfile, reason: str) -> OutsideError:
    shown = uvtool.bounded(reason)
    lowered = reason.lower()
    if "hash mismatch" in lowered or ("hash" in lowered and "does not match" in lowered):
        return HashMismatchError(
            f"{lock.environment}: a file has another hash than the lock, and was not installed: {shown}",
            hints=[
                "see whether the lock came as it was committed: `git status locks/`",
                "if it did, the index serves another file under that name: tell its maintainers",
            ],
        )
    if "failed to build" in lowered or "failed to download and build" in lowered:
        names = " and ".join(file.filename for file in lock.files if file.is_source)
        return BuildError(
            f"{lock.environment}: {names or 'a source distribution'} could not be built: {shown}",
            hints=["the last lines above are the build's own error; a compiler or Python's headers may be missing"],
        )
    if "no solution found" in lowered or "no matching distribution" in lowered:
        return UnavailableError(
            f"{lock.environment}: the index that uv is configured for does not offer a locked file: {shown}",
            hints=[
                "configure uv for an index that has it (`uv.toml`, UV_DEFAULT_INDEX, UV_FIND_LINKS), then sync again"
            ],
        )
    failure = uvtool.failure(reason, "sync")
    failure.prefix(f"{lock.environment} was not installed: ")
    return failure


def realise(
    of: Source,
    lock: Lockfile,
    uv: Uv,
    *,
    thorough: bool,
    beside: Beside,
    report: Callable[[str], None],
) -> None:
    """Make the environment again and move it to its place.

    The previous environment stays until the new one is complete, or if that fails. Call this under
    :func:`kgen.storage.exclusive`.

    Args:
        of: the lock, and where the environment is.
        lock: the lock, parsed.
        uv: the installer.
        thorough: whether to compare every file with its hash afterwards. An installer links files to those in its
            cache, so editing one in an environment damages the cache and every environment made from it.
        beside: the files besides the packages, and the project's own wheel if there is one.
        report: called with each stage.

    Raises:
        OutsideError: the environment could not be made; the previous one is unchanged.
    """
    texts = _ahead(beside.files)
    root = of.environment.folder.parent.parent
    with storage.staged_folder(of.prefix, owned=is_kgens) as staged:
        report("looking for an interpreter")
        uv.create(staged, python=lock.python, prompt=lock.environment)
        report("installing")
        along = beside.own if uv.install(lock, staged, own=beside.own, report=report) else None
        builder.install_trees(lock, uv, staged, root, report)
        if thorough:
            report("comparing every file")
            from kgen.formats.verify import changed_files  # noqa: PLC0415 - slow to import, and seldom asked for

            damaged = sorted({path.package.split()[0] for path in changed_files(staged) if path.package})
            if damaged:
                report("fetching again what was damaged in uv's cache")
                uv.install(lock, staged, anew=damaged)
        report("finishing")
        own = put_beside(staged, texts())
        for name, folder in beside.links.items():
            link(staged / name, folder)
        site = site_packages(staged)
        if site is None:
            raise FailedProgramError(f"{lock.environment}: uv has made no folder for packages in {staged}")
        for path in sorted([*site.glob("*.py"), *site.glob("*.pth")]):
            if path.name.startswith("_virtualenv"):
                own[path.relative_to(staged).as_posix()] = digest(path.read_bytes())
        found = installed(site, of.form)
        if along is not None:
            name = editable.metadata_name(along)
            found.pop(f"{name}{METADATA}", None)
            (staged / editable.RECORD).write_bytes(editable.record(name, root))
        record = Record(lock=of.digest, python=_python_version(staged), installed=found, own=own)
        (staged / SOURCE).write_bytes(of.state)
        (staged / RECORD).write_text(record_text(record), encoding="utf-8")


def _ahead(find: Callable[[], T]) -> Callable[[], T]:
    """Start a computation in the background and return a function that waits for its result; uv runs meanwhile."""
    found: list[T] = []
    faults: list[BaseException] = []

    def work() -> None:
        try:
            found.append(find())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            faults.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()

    def wait() -> T:
        worker.join()
        if faults:
            raise faults[0]
        return found[0]

    return wait


def _python_version(prefix: Path) -> str:
    for line in (prefix / "pyvenv.cfg").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition("=")
        if key.strip() in {"version_info", "version"}:
            return value.strip()
    return ""
