"""Which of the accelerator's libraries an environment's frameworks would open on this machine."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomli

from kgen import files
from kgen.loader import versions
from kgen.loader.elf import SymbolVersions, symbol_versions
from kgen.loader.search import GIVEN, LIBRARY_PATH, LOADED, PRELOAD, PRELOAD_FILE, Opening, Process, System

_WILD = re.compile(r"[*?[]")
_NAME = re.compile(r"lib(?P<stem>[A-Za-z0-9_+]+)\.so(?:\.(?P<number>[0-9.]+))?$")


class Carried(NamedTuple):
    """A library that some package carries.

    Attributes:
        packages: the packages, one of which carries it.
        text: what stands in its file before its version, as a pattern with one group; None if nothing does.
    """

    packages: tuple[str, ...]
    text: str | None = None


class OpenedLibrary(NamedTuple):
    """A library of the accelerator, and the file that would be opened for it.

    Attributes:
        name: its soname, such as `libcudnn.so.9`.
        stem: what it is called without that, such as `cudnn`.
        by: the file that asks for it, below the environment where it is there; empty if Python does.
        path: the file that is opened; None if there is none.
        via: the rule that finds it: `DT_RPATH`, `LD_LIBRARY_PATH`, `ld.so.cache` ….
        fault: why the loader fails on it; None if it does not.
        inside: whether it is the environment's own file.
        version: its version; None if nothing tells.
        own: the environment's own file of this soname; None if it has none.
        required: whether the process fails where it is not found.
        passed_over: whether the file is one that the loader passes over, and there is no other.
    """

    name: str
    stem: str
    by: str
    path: str | None
    via: str
    fault: str | None
    inside: bool
    version: str | None
    own: str | None
    required: bool
    passed_over: bool = False


class LibraryTooOld(NamedTuple):
    """A library that lacks versions of symbols.

    Attributes:
        path: the file that is opened.
        via: the rule that finds it: `LD_LIBRARY_PATH`, `LD_PRELOAD` or `/etc/ld.so.preload`.
        by: the file that needs them, below the environment where it is there.
        versions: the versions, such as `GLIBCXX_3.4.30`.
    """

    path: str
    via: str
    by: str
    versions: tuple[str, ...]


def stem_of(name: str) -> str | None:
    """`cudnn` of `libcudnn.so.9`; None of what is not a library's name."""
    match = _NAME.match(os.path.basename(name))  # noqa: PTH119 - asked of each name of each process
    return None if match is None else match["stem"]


class Inspection(NamedTuple):
    """What an environment's frameworks would open on this machine.

    Attributes:
        opened: the libraries of an accelerator, each once a framework.
        too_old: the libraries that a variable puts in the place of others, and that lack what its files need.
    """

    opened: tuple[OpenedLibrary, ...] = ()
    too_old: tuple[LibraryTooOld, ...] = ()


def inspect(prefix: Path, site: Path, interpreter: Path, rules: System, known: Mapping[str, Carried]) -> Inspection:
    """What an environment's frameworks would open.

    Args:
        prefix: the environment.
        site: its folder of packages.
        interpreter: its Python.
        rules: what the loader goes by here.
        known: stem, as `cudnn` -> who carries it; its parts, such as `cudnn_ops`, go with it. None for one for the CPU.
    """
    led = bool(rules.library_path or rules.preload or rules.preload_file)
    own = _own(prefix, site, known) if known else {}
    found: dict[tuple[str, str | None], OpenedLibrary] = {}
    lacking: dict[tuple[str, str], LibraryTooOld] = {}
    for framework in rows()["framework"] if known or led else ():
        files = _matching(site, framework["files"])
        if files:
            process, by_name = _imported(framework, files, site, own, Process(rules, interpreter))
            for number, opening in enumerate(process.openings if known else ()):
                stem = stem_of(opening.name)
                if stem is not None and _carrier(stem, known) is not None and opening.via != LOADED:
                    row = _row(opening, stem, prefix, own, known, required=number < by_name)
                    found.setdefault((row.name, row.path), row)
            for one in _lacking(process.openings, prefix) if led else ():
                lacking.setdefault((one.path, one.by), one)
    return Inspection(tuple(found.values()), tuple(lacking.values()))


def _lacking(openings: Sequence[Opening], prefix: Path) -> Iterator[LibraryTooOld]:
    by_variable = {
        one.path: one.via
        for one in openings
        if one.path is not None and one.fault is None and one.via in {LIBRARY_PATH, PRELOAD, PRELOAD_FILE}
    }
    for one in openings:
        via = None if one.path is None else by_variable.get(one.path)
        if via is None or one.path is None or one.by is None or _below(one.path, prefix):
            continue
        try:
            wanted = _versions(one.by).wanted.get(os.path.basename(one.name), ())  # noqa: PTH119 - as text
            given = _versions(one.path).given if wanted else None
        except (OSError, ValueError):
            continue
        lost = () if given is None else tuple(version for version in wanted if version not in given)
        if lost:
            yield LibraryTooOld(str(one.path), via, _shown(one.by, prefix), lost)


@functools.cache
def _versions(path: Path) -> SymbolVersions:
    return symbol_versions(path)


def _imported(
    framework: Mapping[str, Any], files: Sequence[Path], site: Path, own: Mapping[str, Path], process: Process
) -> tuple[Process, int]:
    """A process that has imported a framework and worked with it; and how many files it opened before it worked."""
    for path in (*_matching(site, framework["first"]), *files):
        process.open(path)
    by_name = len(process.openings)
    for name in own:
        if stem_of(name) in framework["opens"]:
            process.open_name(name, files[-1])
    for library in rows()["library"]:
        _open_parts(process, library)
    return process, by_name


def _matching(site: Path, patterns: Sequence[str]) -> list[Path]:
    """The files of these patterns, those of each sorted; a folder that has no wildcard and is not there has none."""
    return [
        path
        for pattern in patterns
        if os.path.exists(f"{site}/{_WILD.split(pattern)[0].rpartition('/')[0]}")  # noqa: PTH110 - spares globbing
        for path in sorted(site.glob(pattern))
    ]


def _open_parts(process: Process, library: Mapping[str, Any]) -> None:
    """Has a library that is loaded open its parts, as it does when it works."""
    loaded = [
        (opening.path, match["number"])
        for opening in process.openings
        if opening.path is not None and opening.fault is None and opening.via != LOADED
        if (match := _NAME.match(opening.name.rpartition("/")[2]))
        and match["stem"] == library["name"]
        and match["number"]
        and library["majors"][0] <= int(match["number"].partition(".")[0]) <= library["majors"][1]
    ]
    for path, number in loaded[:1]:
        for stem in library["opens"]:
            process.open_name(f"lib{stem}.so.{number}", path)


def _own(prefix: Path, site: Path, known: Mapping[str, Carried]) -> dict[str, Path]:
    """The accelerator's libraries in the environment: name -> file."""
    makers = [f"{site}/nvidia/{name}" for name in _names(f"{site}/nvidia")]
    places = (*(f"{one}/lib" for one in makers), *(f"{one}/lib64" for one in makers), f"{prefix}/lib")
    found: dict[str, Path] = {}
    for place in places:
        for name in _names(place):
            if name.startswith("lib") and ".so." in name and name not in found:
                stem = stem_of(name)
                if stem is not None and _carrier(stem, known) is not None:
                    found[name] = Path(place, name)
    return found


def _names(folder: str) -> list[str]:
    """The names in a folder, sorted; none where it cannot be listed."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - as text: there are hundreds
    except OSError:
        return []


def _carrier(stem: str, known: Mapping[str, Carried]) -> Carried | None:
    """Who carries a library, or the library that it is a part of."""
    return known.get(stem) or known.get(stem.partition("_")[0])


def _row(
    opening: Opening,
    stem: str,
    prefix: Path,
    own: Mapping[str, Path],
    known: Mapping[str, Carried],
    *,
    required: bool,
) -> OpenedLibrary:
    carried = _carrier(stem, known)
    assert carried is not None  # noqa: S101 - the caller has checked
    inside = opening.path is not None and _below(opening.path, prefix)
    foreign = opening.path is not None and not inside and opening.fault is None
    name = os.path.basename(opening.name)  # noqa: PTH119 - asked of each name of each process
    return OpenedLibrary(
        name=name,
        stem=stem,
        by="" if opening.by is None or opening.via == GIVEN else _shown(opening.by, prefix),
        path=None if opening.path is None else str(opening.path),
        via=opening.via,
        fault=opening.fault,
        inside=inside,
        version=versions.of(opening.path, carried.packages, carried.text) if foreign and opening.path else None,
        own=str(own[name]) if name in own else None,
        required=required,
        passed_over=opening.passed_over,
    )


def _below(path: Path, prefix: Path) -> bool:
    return str(path).startswith(f"{prefix}/") or files.resolved(path).is_relative_to(files.resolved(prefix))


def _shown(path: Path, prefix: Path) -> str:
    return str(path).removeprefix(f"{prefix}/")


def offered(rules: System, known: Mapping[str, Carried]) -> Iterator[tuple[str, Path, str]]:
    """The accelerator's libraries that this machine offers to any process: stem, file and what offers it."""
    for words, via in ((rules.preload, PRELOAD), (rules.preload_file, PRELOAD_FILE)):
        yield from ((stem, Path(word), via) for word in words if (stem := stem_of(word)) is not None)
    for folder in rules.library_path:
        yield from ((stem, path, "LD_LIBRARY_PATH") for stem, path in _in_folder(Path(folder or "."), known))
    for name, path in rules.cache.items():
        stem = stem_of(name)
        if stem is not None and stem in known:
            yield stem, path, "ldconfig"


def _in_folder(folder: Path, known: Mapping[str, Carried]) -> Iterator[tuple[str, Path]]:
    try:
        names: Sequence[str] = sorted(path.name for path in folder.iterdir())
    except OSError:
        return
    for name in names:
        stem = stem_of(name)
        if stem is not None and stem in known:
            yield stem, folder / name


@functools.cache
def rows() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """What `opened.toml` says, by its tables."""
    return tomli.loads((Path(__file__).parent / "opened.toml").read_text(encoding="utf-8"))
