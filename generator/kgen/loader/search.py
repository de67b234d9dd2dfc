"""Where glibc's loader finds a library, rule by rule and in its order (`elf/dl-load.c`; ld.so(8)).

Libraries that are loaded already match by soname. Then come DT_RPATH of the requesting file and of those that loaded
it, LD_LIBRARY_PATH, DT_RUNPATH of the requesting file, the cache, and the default folders. kgen opens files only to
read their headers, and runs nothing in them.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

from kgen import files, host
from kgen.loader import cache, elf
from kgen.loader.elf import Elf, ForeignElfError

X86_64, AARCH64 = 62, 183
_LOADERS = {X86_64: "/lib64/ld-linux-x86-64.so.2", AARCH64: "/lib/ld-linux-aarch64.so.1"}
"""Where programs look for the loader; distributions link it to the folder of their libraries."""

_PLATFORMS = {X86_64: "x86_64", AARCH64: "aarch64"}
"""The kernel's name for a processor (AT_PLATFORM)."""

_OF_INTEL = {
    "xeon_phi": "avx512cd avx512er avx512pf",
    "haswell": "avx2 bmi1 bmi2 abm movbe popcnt",
}
"""What glibc calls Intel's processors instead -> what they have for that, the first that fits
(`sysdeps/x86/cpu-features.c`)."""

_ADDITIONS = {
    "avx512_1": "avx512cd avx512bw avx512dq avx512vl",
    "atomics": "atomics",
}
"""Folders for additions to a processor, of a glibc that has no levels -> what Linux calls these additions."""

_LEVELS = {
    "x86-64-v4": "avx512f avx512bw avx512cd avx512dq avx512vl",
    "x86-64-v3": "avx avx2 bmi1 bmi2 f16c fma abm movbe",
    "x86-64-v2": "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3",
}
"""Levels of a processor, the best first -> what Linux calls its additions to the level below."""

_HWCAPS = "glibc-hwcaps"

_LEVELS_SINCE, _WORDS_UNTIL = Version("2.33"), Version("2.36")
"""The glibc that looks into `glibc-hwcaps` first, and the one that looks into folders called by the processor last."""

_MOST = 4096
"""The largest number of files to follow: more than any process maps."""


class Opening(NamedTuple):
    """What the loader does when a file requests a library.

    Attributes:
        name: the requested name, such as `libcudnn.so.9`.
        by: the requesting file; None for what is opened by its absolute path.
        path: the file that is opened; None if none is found.
        via: the rule that finds it, one of :data:`RULES`.
        setting: what the rule followed, such as `LD_LIBRARY_PATH` or the file with the DT_RPATH; empty without one.
        fault: why the loader fails on the file; None if it does not.
        passed_over: whether the loader skipped this file and found no other, so that the request fails.
    """

    name: str
    by: Path | None
    path: Path | None
    via: str
    setting: str = ""
    fault: str | None = None
    passed_over: bool = False


LOADED, GIVEN, PRELOAD, PRELOAD_FILE, RPATH, LIBRARY_PATH, RUNPATH, CACHE, DEFAULT, NOWHERE = (
    "loaded already", "by its path", "LD_PRELOAD", "/etc/ld.so.preload", "DT_RPATH", "LD_LIBRARY_PATH", "DT_RUNPATH",
    "ld.so.cache", "the default folders", "nowhere",
)  # fmt: skip


class _Mapped(NamedTuple):
    """A file in the process."""

    path: Path
    elf: Elf
    parent: _Mapped | None


class Folders:
    """The content of folders, each listed once: frameworks search twenty folders for each of their libraries."""

    def __init__(self) -> None:
        """Start without any listing."""
        self._indexes: dict[tuple[str, ...], Mapping[str, Sequence[str]] | None] = {}
        self._plain: dict[str, str] = {}

    def paths(self, folders: tuple[str, ...], name: str, processor: Processor) -> Iterator[str]:
        """The files of this name in the order of the folders, and within a folder the one for the best processor first.

        An error other than a missing or unreadable file ends the search (`elf/dl-load.c: open_path`).
        """
        if folders not in self._indexes:
            self._indexes[folders] = _index(folders, processor)
        index = self._indexes[folders]
        if index is None:
            every = frozenset((_HWCAPS, *processor.words))
            places: Sequence[str] = [place for one in folders for place in _places(one, processor, every)]
        else:
            places = index.get(name, ())
        for place in places:
            path = os.path.join(place, name)  # noqa: PTH118 - paths are thousands, and objects are slow
            try:
                os.stat(path)  # noqa: PTH116 - as above
            except (FileNotFoundError, PermissionError):  # such as a dangling link
                continue
            except (OSError, ValueError):
                # a path through a circular link, or through a file, ends the search of this list
                if place in folders and os.path.isdir(place):  # noqa: PTH112 - as above
                    return
                continue
            yield path

    def plain(self, path: str) -> Path:
        """A path without `..`, if that leads to the same file."""
        if ".." not in path:
            return Path(path)
        folder, _, name = path.rpartition("/")
        if folder not in self._plain:
            self._plain[folder] = _plain(folder)
        return Path(self._plain[folder], name)


def _index(folders: Sequence[str], processor: Processor) -> Mapping[str, Sequence[str]] | None:
    """Name -> the folders that contain it; None if some folder can be entered but not listed."""
    found: dict[str, list[str]] = {}
    for folder in folders:
        within = _listed(folder)
        if within is None:
            return None
        for place in _places(folder, processor, within):
            names = within if place == folder else _listed(place)
            if names is None:
                return None
            for name in names:
                found.setdefault(name, []).append(place)
    return found


def _places(folder: str, processor: Processor, names: AbstractSet[str]) -> Iterator[str]:
    """A folder with these names, after its subfolders for this processor."""
    if _HWCAPS in names:
        yield from (os.path.join(folder, _HWCAPS, level) for level in processor.levels)  # noqa: PTH118
    # a folder for several words is inside the folder for the first of them
    if not names.isdisjoint(processor.words):
        yield from (os.path.join(folder, *words) for words in _together(processor.words))  # noqa: PTH118
    yield folder


def leading_to(folder: Path) -> tuple[Path, ...]:
    """The folders that make the loader search this one: the folder itself, or one around it."""
    words = {_HWCAPS, *_LEVELS, "tls", *_OF_INTEL, *_ADDITIONS, *_PLATFORMS.values()}
    around = itertools.takewhile(lambda one: one.name in words, (folder, *folder.parents))
    return folder, *(one.parent for one in around)


@functools.cache
def _together(words: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Non-empty subsets of the words, in the loader's order: those with the first word first, and so on."""
    every = itertools.product((True, False), repeat=len(words))
    return tuple(dict.fromkeys(tuple(itertools.compress(words, taken)) for taken in every if any(taken)))


def _listed(folder: str) -> frozenset[str] | None:
    """The names in a folder; None if it cannot be listed."""
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except (OSError, ValueError):
        return None


class Processor(NamedTuple):
    """A processor, in the loader's terms.

    Attributes:
        platform: the value of `$PLATFORM`.
        levels: the names of supported folders in `glibc-hwcaps`, best first.
        words: names of folders, and of subfolders of these, that a glibc before 2.37 searches for it.
    """

    platform: str = ""
    levels: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class Loader(NamedTuple):
    """A loader, as it was built.

    Attributes:
        lib: the value of `$LIB`.
        folders: the folders that it searches last.
        cached: whether it reads the system's cache.
    """

    lib: str = "lib"
    folders: tuple[str, ...] = ("/lib", "/usr/lib")
    cached: bool = True


@functools.cache
def loader(path: str) -> Loader:
    """The loader with this path; its folder shows which folder it was built for.

    `/usr/lib/x86_64-linux-gnu` on Debian, `/usr/lib64` on Fedora, `/usr/lib` on Arch, and with Nix a folder of its own,
    where the loader does not read the system's cache.
    """
    folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120 - as text
    lib = folder.removeprefix("/usr").removeprefix("/")
    if not re.fullmatch(r"lib(?:32|64|x32)?(?:/[\w-]+-linux-\w+)?", lib):
        return Loader(os.path.basename(folder), (folder,), cached=False)  # noqa: PTH119 - as text
    own = (f"/{lib}", f"/usr/{lib}")
    return Loader(lib, own if "/" not in lib else (*own, "/lib", "/usr/lib"))


class System(NamedTuple):
    """The loader's rules on a machine, which are the same for all processes.

    Attributes:
        library_path: the folders of LD_LIBRARY_PATH, as written.
        preload: the words of LD_PRELOAD.
        preload_file: the words of `/etc/ld.so.preload`, which come after.
        cache: soname -> file, from the cache.
        loader: the loader that programs of this machine usually request.
        processor: the processor, in the loader's terms.
        machine: `e_machine` of the processes.
        listed: listings of folders; None if each process lists them itself.
    """

    library_path: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    preload_file: tuple[str, ...] = ()
    cache: Mapping[str, Path] = {}
    loader: Loader = Loader()
    processor: Processor = Processor()
    machine: int = X86_64
    listed: Folders | None = None


def system(
    variables: Mapping[str, str],
    machine: int = X86_64,
    cache_file: Path = cache.CACHE,
    preload_file: Path = Path(PRELOAD_FILE),
) -> System:
    """The loader's rules on this machine.

    Args:
        variables: the variables of the processes.
        machine: `e_machine` of the processes.
        cache_file: the loader's cache.
        preload_file: the file that names what every process of the machine loads first.
    """
    described = processor(machine, _described(), host.glibc())
    # an empty variable has no effect, but an empty entry beside others is the working folder
    written = variables.get("LD_LIBRARY_PATH", "")
    return System(
        library_path=tuple(re.split("[:;]", written)) if written else (),
        preload=tuple(word for word in re.split("[ :]+", variables.get("LD_PRELOAD", "")) if word),
        preload_file=tuple(re.sub("#.*", "", _reads(preload_file)).replace(":", " ").split()),
        cache=cache.read(machine, described.levels, cache_file),
        loader=loader(_LOADERS.get(machine, "/lib/ld.so.1")),
        processor=described,
        machine=machine,
        listed=Folders(),
    )


@functools.cache
def _described() -> str:
    """Linux's description of this machine's processors; empty if unknown."""
    return _reads(Path("/proc/cpuinfo"))


def additions() -> frozenset[str] | None:
    """Linux's names for this processor's extensions of x86-64; None for another processor, or if unknown."""
    found = re.search(r"^flags\s*:(.*)$", _described(), re.MULTILINE)
    return None if found is None else frozenset(found[1].split())


def _reads(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


@functools.cache
def processor(machine: int, text: str, glibc: Version | None) -> Processor:
    """A processor, in the loader's terms.

    Args:
        machine: `e_machine` of the processes.
        text: the content of `/proc/cpuinfo`.
        glibc: the version of the loader; None for a new one.
    """
    found = dict(re.findall(r"^(vendor_id|flags|Features)\s*:(.*)$", text, re.MULTILINE))
    flags = set((found.get("flags") or found.get("Features") or "").split())

    def fitting(rows: Mapping[str, str]) -> list[str]:
        return [name for name, wanted in rows.items() if flags.issuperset(wanted.split())]

    kernels = _PLATFORMS.get(machine, "")
    intel = machine == X86_64 and found.get("vendor_id", "").strip() == "GenuineIntel"
    platform = next(iter(fitting(_OF_INTEL)), kernels) if intel else kernels
    levels: list[str] = []
    if machine == X86_64 and (glibc is None or glibc >= _LEVELS_SINCE):
        for name in reversed(_LEVELS):
            if name not in fitting(_LEVELS):
                break
            levels.insert(0, name)
    words: list[str] = []
    if glibc is not None and glibc <= _WORDS_UNTIL and kernels:
        # on x86-64 the loader searches for extensions only on Intel's processors, besides the processor's own name
        added = fitting(_ADDITIONS) if intel or machine != X86_64 else []
        words = ["tls", platform, *added, *([kernels] if machine == X86_64 else [])]
    return Processor(platform, tuple(levels), tuple(words))


def has_privileges(program: Path) -> bool:
    """Whether a program runs with more privileges than its user: the loader then ignores variables and $ORIGIN.

    That is the kernel's AT_SECURE. It is set for setuid programs, and for those with capabilities, for example a Python
    to which `setcap` gave the right to open ports below 1024.
    """
    try:
        facts = program.stat()
        unheeded = os.statvfs(program).f_flag & os.ST_NOSUID
    except OSError:
        return False
    if unheeded or "NoNewPrivs:\t1" in _reads(Path("/proc/self/status")):
        return False
    another_user = facts.st_mode & stat.S_ISUID and facts.st_uid != os.getuid()
    another_group = facts.st_mode & stat.S_ISGID and facts.st_mode & stat.S_IXGRP and facts.st_gid != os.getgid()
    return bool(another_user or another_group) or (os.getuid() != 0 and _has_capabilities(program))


def _has_capabilities(program: Path) -> bool:
    """Whether a file gives capabilities (`struct vfs_cap_data` in `linux/capability.h`)."""
    try:
        words = os.getxattr(program, "security.capability")
    except (OSError, AttributeError):
        return False
    effective, permitted = words[0] & 1, words[4:8] + words[12:16]
    return bool(effective) or any(permitted)


def _without_origin(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in folders if "ORIGIN" not in one)


_READ: dict[tuple[int, int, int, int], Elf] = {}
"""The parsed content of files. A file has many paths, because installers link environments from their cache."""


def _elf(path: str | Path, machine: int, facts: os.stat_result | None = None) -> Elf:
    facts = facts or os.stat(path)  # noqa: PTH116 - mostly of text
    key = facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size
    found = _READ.get(key)
    if found is None:
        if len(_READ) >= _MOST:
            _READ.clear()
        found = _READ[key] = elf.read(Path(path), machine)
    return found


class Process:
    """The loader in one process: what it has opened decides what it opens next."""

    def __init__(self, rules: System, program: Path) -> None:
        """A process of a program that has just started.

        Args:
            rules: the loader's rules.
            program: the program; if it cannot be read, the search goes on without it.
        """
        self.openings: list[Opening] = []
        self._rules = rules
        self._listed = rules.listed or Folders()
        self._names: dict[str, Path] = {}
        self._files: dict[tuple[int, int], Path] = {}
        self._main: _Mapped | None = None
        self._loader = rules.loader
        real = files.resolved(program)
        with contextlib.suppress(OSError, ValueError):
            read = _elf(real, rules.machine)
            if has_privileges(real):
                self._rules = rules = rules._replace(library_path=(), preload=())
                runpath = None if read.runpath is None else _without_origin(read.runpath)
                read = read._replace(rpath=_without_origin(read.rpath), runpath=runpath)
            self._main = _Mapped(real, read, None)
            if self._main.elf.interpreter is not None:
                self._loader = loader(self._main.elf.interpreter)
        # preloaded files come before everything that they or the program need
        words = [(word, PRELOAD) for word in rules.preload] + [(word, PRELOAD_FILE) for word in rules.preload_file]
        given = [self._map(word, self._main, via) for word, via in words]
        # the loader reports those that it cannot preload and goes on; a missing dependency of one ends the process
        self.openings = [one for one in self.openings if one.path is not None and one.fault is None]
        there = [self._main, *(mapped for _, mapped in given)]
        self._follow([one for one in there if one is not None])

    def open(self, path: Path) -> Opening:
        """Open a file by its path, as Python opens its modules, with everything that it needs."""
        return self._open(str(path), None, via=GIVEN)

    def open_name(self, name: str, by: Path) -> Opening:
        """Open a library by its name, as a loaded file may, with everything that it needs."""
        caller = self._main
        if self._main is None or files.resolved(by) != self._main.path:
            with contextlib.suppress(OSError, ValueError):
                caller = _Mapped(by, _elf(by, self._rules.machine), self._main)
        return self._open(name, caller, via=None)

    def _open(self, name: str, by: _Mapped | None, *, via: str | None) -> Opening:
        opening, mapped = self._map(name, by, via)
        self._follow([] if mapped is None else [mapped])
        return opening

    def _follow(self, begun: Sequence[_Mapped]) -> None:
        """Map what these files need, and what that needs, and so on: nearest first."""
        queue = collections.deque((name, by) for by in begun for name in by.elf.needed)
        while queue and len(self.openings) < _MOST:
            name, by = queue.popleft()
            _, mapped = self._map(name, by, None)
            if mapped is not None:
                queue.extend((needed, mapped) for needed in mapped.elf.needed)

    def _map(self, name: str, by: _Mapped | None, rule: str | None) -> tuple[Opening, _Mapped | None]:
        asker = None if by is None else by.path
        if name in self._names:
            return self._noted(Opening(name, asker, self._names[name], LOADED)), None
        if "/" in name:
            given = self._expanded(name, "" if by is None else str(by.path.parent))
            there = os.path.exists(given)  # noqa: PTH110 - as text
            found: Iterable[tuple[str, str, str]] = [(given, rule or GIVEN, "")] if there else []
        else:
            found = self._candidates(name, by)
        barred: Opening | None = None
        plain = self._listed.plain
        for text, via, setting in found:
            try:
                facts = os.stat(text)  # noqa: PTH116 - as text: there are hundreds
                read = _elf(text, self._rules.machine, facts)
            except ForeignElfError as error:
                barred = barred or Opening(name, asker, plain(text), rule or via, setting, str(error), passed_over=True)
                continue
            except PermissionError as error:
                # such files are skipped; if no other is found, the first one is the reason
                told = error.strerror
                barred = barred or Opening(name, asker, plain(text), rule or via, setting, told, passed_over=True)
                continue
            except (OSError, ValueError) as error:
                told = getattr(error, "strerror", None) or str(error)
                return self._noted(Opening(name, asker, plain(text), rule or via, setting, told)), None
            if read.unfit is not None:
                return self._noted(Opening(name, asker, plain(text), rule or via, setting, read.unfit)), None
            same = self._files.get((facts.st_dev, facts.st_ino))
            path = same or plain(text)
            self._names[name] = path
            if same is not None:
                return self._noted(Opening(name, asker, same, LOADED)), None
            self._files[facts.st_dev, facts.st_ino] = path
            if read.soname:
                self._names.setdefault(read.soname, path)
            return self._noted(Opening(name, asker, path, rule or via, setting)), _Mapped(path, read, by or self._main)
        return self._noted(barred or Opening(name, asker, None, NOWHERE)), None

    def _noted(self, opening: Opening) -> Opening:
        self.openings.append(opening)
        return opening

    def _candidates(self, name: str, by: _Mapped | None) -> Iterator[tuple[str, str, str]]:
        """The files that the loader would try, in its order; it takes the first that fits."""
        if by is None or by.elf.runpath is None:
            one: _Mapped | None = by
            while one is not None:
                yield from self._in(one.elf.rpath, name, one, RPATH, str(one.path))
                one = one.parent
            if self._main is not None and by is None:
                yield from self._in(self._main.elf.rpath, name, self._main, RPATH, str(self._main.path))
        yield from self._in(self._rules.library_path, name, self._main, LIBRARY_PATH, LIBRARY_PATH)
        if by is not None and by.elf.runpath is not None:
            yield from self._in(by.elf.runpath, name, by, RUNPATH, str(by.path))
        defaults = by is None or not by.elf.no_defaults
        cached = self._rules.cache.get(name) if self._loader.cached else None
        if cached is not None and files.exists(cached) and (defaults or not self._is_default(cached)):
            yield str(cached), CACHE, ""
        if defaults:
            yield from self._in(self._loader.folders, name, None, DEFAULT, "")

    def _is_default(self, path: Path) -> bool:
        return str(path).startswith(tuple(f"{folder}/" for folder in self._loader.folders))

    def _in(
        self, folders: Sequence[str], name: str, of: _Mapped | None, via: str, setting: str
    ) -> Iterator[tuple[str, str, str]]:
        origin = "" if of is None else os.path.dirname(of.path)  # noqa: PTH120
        words = origin, self._loader.lib, self._rules.processor.platform
        for path in self._listed.paths(_all_expanded(tuple(folders), *words), name, self._rules.processor):
            yield path, via, setting

    def _expanded(self, text: str, origin: str) -> str:
        return _expanded(text, origin, self._loader.lib, self._rules.processor.platform)


def _plain(folder: str) -> str:
    plain = os.path.normpath(folder)
    try:
        return plain if os.path.samefile(plain, folder) else folder  # noqa: PTH121 - as text
    except OSError:
        return folder


@functools.lru_cache(maxsize=_MOST)
def _all_expanded(folders: tuple[str, ...], origin: str, lib: str, platform: str) -> tuple[str, ...]:
    """The folders to search; an empty one is the working folder."""
    return tuple(_expanded(folder, origin, lib, platform) or "." for folder in folders)


def _expanded(text: str, origin: str, lib: str, platform: str) -> str:
    """A path with the loader's tokens replaced."""
    if "$" not in text:
        return text
    words = {"ORIGIN": origin, "LIB": lib, "PLATFORM": platform}
    return re.sub(r"\$(?:(ORIGIN|LIB|PLATFORM)|\{(ORIGIN|LIB|PLATFORM)\})", lambda m: words[m[1] or m[2]], text)
