"""What kgen says the loader opens is what the loader opens: small libraries are compiled, and both are asked."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from packaging.version import Version
from tests import elves

from kgen import files, verified_files
from kgen.loader import cache, elf, environment, owners, search, versions
from kgen.loader.environment import Carried, OpenedLibrary
from kgen.loader.owners import DoubledProject, MissingFile, SharedFile
from kgen.loader.search import Process
from kgen.served import cache as served

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler here")

_HOST = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **words) {
  for (int i = 1; i < count; i++)
    if (!dlopen(words[i], RTLD_LAZY | RTLD_GLOBAL)) { puts(dlerror()); return 1; }
  return 0;
}
"""
_ASKED = """
import os, sys
from pathlib import Path
from kgen.loader import search
rules = search.system(os.environ)
os.seteuid(65534)
process = search.Process(rules, Path(sys.argv[1]))
process.open(Path(sys.argv[2]))
found = next(one for one in process.openings if one.name == "libx.so.1")
print(found.path, found.fault)
"""
_OPENER = r"""
#include <dlfcn.h>
__attribute__((constructor)) static void start(void) { dlopen(NAME, RTLD_LAZY); }
"""


class Library(NamedTuple):
    """A library to compile.

    Attributes:
        path: where, below the folder of the case.
        soname: its soname; empty for none.
        needed: libraries of the case that it needs, by their paths.
        rpath: its DT_RPATH.
        runpath: its DT_RUNPATH.
        opens: what it opens by name when it is loaded.
        content: what is in the file instead of a library.
        damage: places, and the bytes that are put there.
        size: so much of the file is there only.
        link: where a link leads that is in its place.
        program: whether it is a program, for all its name.
    """

    path: str
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: str = ""
    runpath: str = ""
    opens: str = ""
    content: bytes | None = None
    damage: tuple[tuple[int, bytes], ...] = ()
    size: int | None = None
    link: str = ""
    program: bool = False


class Case(NamedTuple):
    """What is there, what is started, and what the loader must take; paths are below the folder of the case."""

    libraries: tuple[Library, ...]
    start: tuple[str, ...]
    taken: tuple[str, ...]
    variables: Mapping[str, str] = {}
    fails: bool = False
    program_rpath: str = ""


_TWO = (Library("own/libx.so.1", "libx.so.1"), Library("other/libx.so.1", "libx.so.1"))
_OTHER = {"LD_LIBRARY_PATH": "{root}/other"}
_FOREIGN = b"\x7fELF\x01\x01\x01" + bytes(120)

CASES = {
    "rpath goes before LD_LIBRARY_PATH": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",), rpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"), _OTHER,
    ),
    "LD_LIBRARY_PATH goes before runpath": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "other/libx.so.1"), _OTHER,
    ),
    "runpath alone": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/nowhere:${ORIGIN}/own")),
        ("m.so",), ("m.so", "own/libx.so.1"),
    ),
    "an rpath serves what its file loads": Case(
        (*_TWO, Library("deep/libmid.so", "libmid.so", needed=("own/libx.so.1",)),
         Library("m.so", needed=("deep/libmid.so",), rpath="$ORIGIN/own:$ORIGIN/deep")),
        ("m.so",), ("m.so", "deep/libmid.so", "own/libx.so.1"), _OTHER,
    ),
    "a runpath does not": Case(
        (*_TWO, Library("deep/libmid.so", "libmid.so", needed=("own/libx.so.1",)),
         Library("m.so", needed=("deep/libmid.so",), runpath="$ORIGIN/own:$ORIGIN/deep")),
        ("m.so",), ("m.so", "deep/libmid.so", "other/libx.so.1"), _OTHER,
    ),
    "a file with a runpath looks at no rpath, its loader's neither": Case(
        (*_TWO, Library("deep/libmid.so", "libmid.so", needed=("own/libx.so.1",), runpath="$ORIGIN/nowhere"),
         Library("m.so", needed=("deep/libmid.so",), rpath="$ORIGIN/own:$ORIGIN/deep")),
        ("m.so",), ("m.so", "deep/libmid.so", "other/libx.so.1"), _OTHER,
    ),
    "the rpath of the program serves all": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",))),
        ("m.so",), ("m.so", "own/libx.so.1"), _OTHER, program_rpath="$ORIGIN/own",
    ),
    "what is loaded already is taken by its soname": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",), rpath="$ORIGIN/own")),
        ("other/libx.so.1", "m.so"), ("other/libx.so.1", "m.so"),
    ),
    "the soname decides, not the file's name": Case(
        (*_TWO, Library("other/renamed.so", "libx.so.1"),
         Library("m.so", needed=("own/libx.so.1",), rpath="$ORIGIN/own")),
        ("other/renamed.so", "m.so"), ("other/renamed.so", "m.so"),
    ),
    "LD_PRELOAD goes before all": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",), rpath="$ORIGIN/own")),
        ("m.so",), ("other/libx.so.1", "m.so"), {"LD_PRELOAD": "{root}/other/libx.so.1"},
    ),
    "all that is preloaded is there before what one of it needs": Case(
        (*_TWO, Library("other/libpre.so", "libpre.so", needed=("own/libx.so.1",), rpath="$ORIGIN/../own"),
         Library("m.so", needed=("own/libx.so.1",), rpath="$ORIGIN/own")),
        ("m.so",), ("other/libpre.so", "other/libx.so.1", "m.so"),
        {"LD_PRELOAD": "{root}/other/libpre.so:{root}/other/libx.so.1"},
    ),
    "what cannot be preloaded is ignored": Case(
        (*_TWO, Library("empty.so", content=b""), Library("m.so", needed=("own/libx.so.1",), rpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"), {"LD_PRELOAD": "{root}/empty.so {root}/missing.so libmissing.so.9"},
    ),
    "but not what a preloaded library needs": Case(
        (*_TWO, Library("other/libpre.so", "libpre.so", needed=("own/libx.so.1",)), Library("m.so")),
        ("m.so",), ("m.so", "other/libpre.so"), {"LD_PRELOAD": "{root}/other/libpre.so"}, fails=True,
    ),
    "a library that opens another by name has its own runpath": Case(
        (*_TWO, Library("m.so", opens="libx.so.1", runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"),
    ),
    "and LD_LIBRARY_PATH before it": Case(
        (*_TWO, Library("m.so", opens="libx.so.1", runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "other/libx.so.1"), _OTHER,
    ),
    "and its own rpath before that": Case(
        (*_TWO, Library("m.so", opens="libx.so.1", rpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"), _OTHER,
    ),
    "an empty file ends the search": Case(
        (_TWO[0], Library("other/libx.so.1", content=b""),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so",), _OTHER, fails=True,
    ),
    "an empty file that is not looked at ends nothing": Case(
        (_TWO[0], Library("other/libx.so.1", content=b""),
         Library("m.so", needed=("own/libx.so.1",), rpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"), _OTHER,
    ),
    "a text file ends the search": Case(
        (_TWO[0], Library("other/libx.so.1", content=b"INPUT(libx.so.2) " * 8),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so",), _OTHER, fails=True,
    ),
    "a file of another word size is passed over": Case(
        (_TWO[0], Library("other/libx.so.1", content=_FOREIGN),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"), _OTHER,
    ),
    "nowhere": Case(
        (_TWO[0], Library("m.so", needed=("own/libx.so.1",))), ("m.so",), ("m.so",), fails=True,
    ),
    "words in braces and without": Case(
        (*_TWO, Library("other/lib/x/libx.so.1", "libx.so.1"),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGINAL:${ORIGIN:$ORIGIN/$LIBRARY:${ORIGIN}/own")),
        ("m.so",), ("m.so", "own/libx.so.1"),
    ),
    "the word for the folder of this distribution's libraries": Case(
        (_TWO[0], Library("other/{lib}/libx.so.1", "libx.so.1"), Library("m.so", needed=("own/libx.so.1",))),
        ("m.so",), ("m.so", "other/{lib}/libx.so.1"), {"LD_LIBRARY_PATH": "{root}/other/$LIB"},
    ),
    "the word for the processor, in a runpath": Case(
        (_TWO[0], Library("other/{platform}/libx.so.1", "libx.so.1"),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/other/${PLATFORM}")),
        ("m.so",), ("m.so", "other/{platform}/libx.so.1"),
    ),
    "what is preloaded may have such words": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",), rpath="$ORIGIN/own")),
        ("m.so",), ("other/libx.so.1", "m.so"), {"LD_PRELOAD": "$ORIGIN/other/libx.so.1"},
    ),
    "a file for another processor is passed over": Case(
        (_TWO[0], Library("other/libx.so.1", "libx.so.1", damage=((18, b"\xf3\x00"),)),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"), _OTHER,
    ),
    "so is one for another processor of another byte order": Case(
        (_TWO[0], Library("other/libx.so.1", "libx.so.1", damage=((5, b"\x02"), (18, b"\x00\x16"))),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"), _OTHER,
    ),
    "one of another byte order alone is not": Case(
        (_TWO[0], Library("other/libx.so.1", "libx.so.1", damage=((5, b"\x02"),)),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so",), _OTHER, fails=True,
    ),
    "nor one for another system": Case(
        (_TWO[0], Library("other/libx.so.1", "libx.so.1", damage=((7, b"\x09"),)),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so",), _OTHER, fails=True,
    ),
    "nor an object file that was never linked": Case(
        (_TWO[0], Library("other/libx.so.1", "libx.so.1", damage=((16, b"\x01"),)),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so",), _OTHER, fails=True,
    ),
    "a file that was not written whole": Case(
        (_TWO[0], Library("other/libx.so.1", "libx.so.1", size=9000),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so",), _OTHER, fails=True,
    ),
    "a program is not a library": Case(
        (_TWO[0], Library("other/libx.so.1", program=True),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so",), _OTHER, fails=True,
    ),
    "a folder of that name ends the search": Case(
        (_TWO[0], Library("other/libx.so.1/file", content=b""),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so",), _OTHER, fails=True,
    ),
    "a link that leads nowhere is passed over": Case(
        (_TWO[0], Library("other/libx.so.1", link="nowhere"),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"), _OTHER,
    ),
    "links are followed, and what they lead to has its own origin": Case(
        (*_TWO, Library("store/libx.so.1.2", "libx.so.1"), Library("links/libx.so.1", link="../store/libx.so.1.2"),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/links")),
        ("m.so",), ("m.so", "links/libx.so.1"),
    ),
    "LD_LIBRARY_PATH has its order, and semicolons": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",))),
        ("m.so",), ("m.so", "own/libx.so.1"), {"LD_LIBRARY_PATH": "{root}/nowhere;{root}/own:{root}/other"},
    ),
    "a folder below the working folder": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "other/libx.so.1"), {"LD_LIBRARY_PATH": "other"},
    ),
    "an empty entry at the end is the working folder": Case(
        (_TWO[0], Library("libx.so.1", "libx.so.1"), Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "libx.so.1"), {"LD_LIBRARY_PATH": "{root}/nowhere:"},
    ),
    "so is one at the beginning": Case(
        (*_TWO, Library("libx.so.1", "libx.so.1"), Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "libx.so.1"), {"LD_LIBRARY_PATH": ":{root}/other"},
    ),
    "two empty ones and nothing else": Case(
        (_TWO[0], Library("libx.so.1", "libx.so.1"), Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "libx.so.1"), {"LD_LIBRARY_PATH": ":"},
    ),
    "nothing at all is not a folder": Case(
        (_TWO[0], Library("libx.so.1", "libx.so.1"), Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"), {"LD_LIBRARY_PATH": ""},
    ),
    "slashes at the end, in between, and folders above": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "other/libx.so.1"), {"LD_LIBRARY_PATH": "{root}//own/..///other///"},
    ),
    "a space is a part of a folder's name": Case(
        (*_TWO, Library("a b/libx.so.1", "libx.so.1"), Library("m.so", needed=("own/libx.so.1",))),
        ("m.so",), ("m.so", "a b/libx.so.1"), {"LD_LIBRARY_PATH": "{root}/a b"},
    ),
    "the folder of the program, in LD_LIBRARY_PATH": Case(
        (*_TWO, Library("deep/m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/../own")),
        ("deep/m.so",), ("deep/m.so", "other/libx.so.1"), {"LD_LIBRARY_PATH": "$ORIGIN/other"},
    ),
    "what has both, and a folder that is a file": Case(
        (*_TWO, Library("file", content=b"x"),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/file:$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"), {"LD_LIBRARY_PATH": "{root}/file"},
    ),
    "an empty entry of an rpath is the working folder": Case(
        (_TWO[0], Library("libx.so.1", "libx.so.1"),
         Library("deep/m.so", needed=("own/libx.so.1",), rpath="$ORIGIN/nowhere:")),
        ("deep/m.so",), ("deep/m.so", "libx.so.1"),
    ),
    "folders far above, as those of wheels": Case(
        (Library("nvidia/cudnn/lib/libx.so.1", "libx.so.1"), _TWO[1],
         Library("torch/lib/m.so", needed=("nvidia/cudnn/lib/libx.so.1",), rpath="$ORIGIN/../../nvidia/cudnn/lib")),
        ("torch/lib/m.so",), ("torch/lib/m.so", "nvidia/cudnn/lib/libx.so.1"), _OTHER,
    ),
    "a link to a folder, with the origin of what it was asked by": Case(
        (*_TWO, Library("links", link="other"), Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/links")),
        ("m.so",), ("m.so", "links/libx.so.1"),
    ),
    "a file that two names lead to is loaded once": Case(
        (_TWO[0], Library("own/liby.so.1", link="libx.so.1"),
         Library("m.so", opens="liby.so.1", needed=("own/libx.so.1",), rpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"),
    ),
    "a name is found by LD_PRELOAD where LD_LIBRARY_PATH leads": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",), rpath="$ORIGIN/own")),
        ("m.so",), ("other/libx.so.1", "m.so"), {"LD_PRELOAD": "libx.so.1", **_OTHER},
    ),
    "what is preloaded from the working folder": Case(
        (*_TWO, Library("m.so", needed=("own/libx.so.1",), rpath="$ORIGIN/own")),
        ("m.so",), ("other/libx.so.1", "m.so"), {"LD_PRELOAD": "  other/libx.so.1 : :"},
    ),
    "a library without a soname goes by the name that was asked for": Case(
        (Library("own/libx.so.1"), Library("other/libx.so.1"),
         Library("m.so", opens="libx.so.1", runpath="$ORIGIN/own")),
        ("other/libx.so.1", "m.so"), ("other/libx.so.1", "m.so", "own/libx.so.1"),
    ),
    "a soname that is a path is opened by that": Case(
        (Library("own/libx.so.1", "own/libx.so.1"), _TWO[1], Library("m.so", needed=("own/libx.so.1",))),
        ("m.so",), ("m.so", "own/libx.so.1"), _OTHER,
    ),
    "a file of zeros is not a library": Case(
        (_TWO[0], Library("other/libx.so.1", content=bytes(4096)),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so",), _OTHER, fails=True,
    ),
    "a link to itself is passed over": Case(
        (_TWO[0], Library("other/libx.so.1", link="libx.so.1"),
         Library("m.so", needed=("own/libx.so.1",), runpath="$ORIGIN/own")),
        ("m.so",), ("m.so", "own/libx.so.1"), _OTHER,
    ),
    "a link to itself ends the list of folders that it is in": Case(
        (_TWO[0], Library("other/libx.so.1", link="libx.so.1"), Library("m.so", needed=("own/libx.so.1",))),
        ("m.so",), ("m.so",), {"LD_LIBRARY_PATH": "{root}/other:{root}/own"}, fails=True,
    ),
    "so does one that leads through a file": Case(
        (_TWO[0], Library("other/libx.so.1", link="../own/libx.so.1/x"), Library("m.so", needed=("own/libx.so.1",))),
        ("m.so",), ("m.so",), {"LD_LIBRARY_PATH": "{root}/other:{root}/own"}, fails=True,
    ),
    "not one that leads nowhere": Case(
        (_TWO[0], Library("other/libx.so.1", link="../none/x"), Library("m.so", needed=("own/libx.so.1",))),
        ("m.so",), ("m.so", "own/libx.so.1"), {"LD_LIBRARY_PATH": "{root}/other:{root}/own"},
    ),
    "nor a folder of the list that is a file": Case(
        (_TWO[0], Library("other", content=b""), Library("m.so", needed=("own/libx.so.1",))),
        ("m.so",), ("m.so", "own/libx.so.1"), {"LD_LIBRARY_PATH": "{root}/other:{root}/own"},
    ),
    "nor a link to itself in a folder for this processor": Case(
        (Library("own/libx.so.1", "libx.so.1"), Library("other/glibc-hwcaps/x86-64-v2/libx.so.1", link="libx.so.1"),
         Library("m.so", needed=("own/libx.so.1",))),
        ("m.so",), ("m.so", "own/libx.so.1"), {"LD_LIBRARY_PATH": "{root}/other:{root}/own"},
    ),
}  # fmt: skip


def build(root: Path, case: Case) -> Path:
    """Compiles what a case has; gives the program."""
    for library in case.libraries:
        path = root / library.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if library.link:
            path.symlink_to(library.link)
            continue
        if library.program:
            _compile(path, _HOST, ["-ldl"])
            continue
        if library.content is not None:
            path.write_bytes(library.content)
            continue
        words = ["-shared", "-fPIC", *([f'-DNAME="{library.opens}"'] if library.opens else [])]
        words += [f"-Wl,-soname,{library.soname}"] if library.soname else []
        words += [f"-Wl,--disable-new-dtags,-rpath,{library.rpath}"] if library.rpath else []
        words += [f"-Wl,--enable-new-dtags,-rpath,{library.runpath}"] if library.runpath else []
        words += ["-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *(str(root / one) for one in library.needed)]
        _compile(path, _OPENER if library.opens else "int value;", words)
        if library.damage or library.size is not None:
            data = bytearray(path.read_bytes())
            for at, new in library.damage:
                data[at : at + len(new)] = new
            path.write_bytes(data[: library.size])
    rpath = [f"-Wl,--disable-new-dtags,-rpath,{case.program_rpath}"] if case.program_rpath else []
    program = root / "program"
    _compile(program, _HOST, ["-ldl", *rpath])
    return program


def _compile(path: Path, text: str, words: Sequence[str]) -> None:
    subprocess.run(["gcc", "-x", "c", "-", "-x", "none", *words, "-o", str(path)], input=text.encode(), check=True)


@pytest.mark.parametrize("name", CASES)
def test_the_loader_takes_what_kgen_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path.resolve()
    monkeypatch.chdir(root)
    case = _of_this_machine(CASES[name])
    program = build(root, case)
    variables = {key: value.format(root=root) for key, value in case.variables.items()}
    started = [str(root / one) for one in case.start]
    done = subprocess.run(
        [str(program), *started],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "LD_LIBRARY_PATH": "", **variables, "LD_DEBUG": "files"},
    )
    mapped = [
        match[1]
        for match in re.finditer(r"file=\S+ \[0\];  generating link map|calling init: (.+)", done.stderr)
        if match[1]
    ]
    # what a folder below the working folder led to has the name that it was found by
    mapped = [os.path.join(root, path) for path in mapped]  # noqa: PTH118
    real = sorted({os.path.relpath(path, root) for path in mapped if Path(path).is_relative_to(root)})
    process = Process(search.system({**variables}), program)
    for path in case.start:
        opening = process.open(root / path)
        library = next(one for one in case.libraries if one.path == path)
        if library.opens and opening.path is not None:
            process.open_name(library.opens, opening.path)
    # the faults of a library that is missing or broken, which the loader says once and then ends
    faults = [one for one in process.openings if one.path is None or one.fault]
    opened = {os.path.relpath(one.path, root) for one in process.openings if one.path and not one.fault}
    told = sorted(path for path in opened if not path.startswith(".."))
    assert bool(faults) is case.fails
    assert (done.returncode != 0) is case.fails, done.stdout
    assert told == sorted(case.taken)
    if not case.fails:  # what was mapped before the loader gave up has no `calling init`
        assert real == told


def _of_this_machine(case: Case) -> Case:
    """A case with the loader's own words as it says them itself."""
    loader = next(path for path in map(Path, search._LOADERS.values()) if path.exists())
    told = subprocess.run([str(loader), "--list-diagnostics"], capture_output=True, check=False, text=True).stdout
    said = dict(re.findall(r'^(dl_dst_lib|dl_platform)="(.*)"$', told, re.MULTILINE))
    words = {"lib": said.get("dl_dst_lib", "lib"), "platform": said.get("dl_platform", os.uname().machine)}

    def of(path: str) -> str:
        return re.sub(r"\{(lib|platform)\}", lambda match: words[match[1]], path)

    libraries = tuple(one._replace(path=of(one.path)) for one in case.libraries)
    return case._replace(libraries=libraries, taken=tuple(map(of, case.taken)))


def _libraries_here() -> list[Path]:
    places = [Path("/lib/x86_64-linux-gnu"), Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64")]
    found = [path for place in places if place.is_dir() for path in sorted(place.glob("*.so*"))]
    return [path for path in found if path.is_file()][:200]


@pytest.mark.skipif(not _libraries_here(), reason="no libraries where this looks")
def test_what_is_read_of_this_machines_libraries_is_what_pyelftools_reads() -> None:
    seen = 0
    for path in _libraries_here():
        try:
            mine = elf.read(path)
        except ValueError:
            continue
        with path.open("rb") as file:
            section = next(one for one in ELFFile(file).iter_segments() if isinstance(one, DynamicSegment))
            tags = [(tag.entry.d_tag, tag) for tag in section.iter_tags()]

        def texts(kind: str, name: str) -> list[str]:
            return [getattr(tag, name) for found, tag in tags if found == kind]  # noqa: B023 - called in the same turn

        assert mine.needed == tuple(texts("DT_NEEDED", "needed")), path
        assert ([mine.soname] if mine.soname else []) == texts("DT_SONAME", "soname"), path
        assert ([] if mine.runpath is None else [":".join(mine.runpath)]) == texts("DT_RUNPATH", "runpath"), path
        seen += 1
    assert seen > 10


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:40],
        lambda data: data[:70],
        lambda data: data[:32] + struct.pack("<Q", 1 << 62) + data[40:],
        lambda data: data[:54] + struct.pack("<HH", 56, 0xFFFF) + data[58:],
        lambda data: data[:0],
        lambda data: bytes(len(data)),
    ],
)
def test_a_broken_file_is_a_value_error(damage: object, tmp_path: Path) -> None:
    _compile(tmp_path / "lib.so", "int x;", ["-shared", "-fPIC"])
    broken = tmp_path / "broken.so"
    broken.write_bytes(damage((tmp_path / "lib.so").read_bytes()))  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"."):
        elf.read(broken)


def test_the_folders_of_the_loader_are_those_that_it_says_itself() -> None:
    place = search._LOADERS[search.X86_64]
    if not Path(place).exists():
        pytest.skip("no loader for x86-64 here")
    told = subprocess.run([place, "--list-diagnostics"], capture_output=True, check=False, text=True).stdout
    folders = re.findall(r'^path\.system_dirs\[\w+\]="(.*)/"$', told, re.MULTILINE)
    if not folders:
        pytest.skip("this glibc is older than 2.33 and does not tell")
    assert search.loader(place).folders == tuple(folders)


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        ("usr/lib64", search.Loader("lib64", ("/lib64", "/usr/lib64"))),
        ("usr/lib", search.Loader("lib", ("/lib", "/usr/lib"))),
        (
            "lib/aarch64-linux-gnu",
            search.Loader(
                "lib/aarch64-linux-gnu", ("/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib", "/usr/lib")
            ),
        ),
        (
            "nix/store/1a2b-glibc-2.40/lib",
            search.Loader("lib", ("/nix/store/1a2b-glibc-2.40/lib",), cached=False),
        ),
    ],
)
def test_a_loader_serves_the_folder_that_it_is_in(
    place: str, wanted: search.Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path: f"/{place}/ld.so" if path == "/x/ld.so" else real(path))
    search.loader.cache_clear()
    assert search.loader("/x/ld.so") == wanted
    search.loader.cache_clear()


@pytest.fixture(name="reachable")
def _reachable() -> Iterator[Path]:
    """A folder that every user reaches: those of pytest may lie in the home of one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed, whom a file refuses")
@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_file_that_may_not_be_read_is_passed_over(elsewhere: bool, reachable: Path) -> None:  # noqa: FBT001 - a case
    root = reachable
    runpath = "$ORIGIN/own" if elsewhere else "$ORIGIN/nowhere"
    program = build(root, Case((*_TWO, Library("m.so", needed=("own/libx.so.1",), runpath=runpath)), (), ()))
    for folder in (root / "own", root / "other"):
        folder.chmod(0o755)
    (root / "other/libx.so.1").chmod(0)
    nobody = 65534
    done = subprocess.run(
        [str(program), str(root / "m.so")],
        check=False,
        capture_output=True,
        user=nobody,
        env={"LD_LIBRARY_PATH": f"{root}/other"},
    )
    asked = subprocess.run(
        [sys.executable, "-c", _ASKED, str(program), str(root / "m.so")],
        check=False,
        capture_output=True,
        text=True,
        env={"LD_LIBRARY_PATH": f"{root}/other", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode == 0) is elsewhere
    told = "own/libx.so.1 None" if elsewhere else "other/libx.so.1 Permission denied"
    assert asked.stdout == f"{root}/{told}\n", asked.stderr


def test_a_file_of_the_system_names_what_is_preloaded_after_the_variable(tmp_path: Path) -> None:
    """ld.so(8): words with spaces, colons or lines between them, and comments; the real one is root's."""
    for name in ("a", "b"):
        (tmp_path / f"lib{name}.so").write_bytes(elves.shared_object(soname=f"lib{name}.so"))
    (tmp_path / "preload").write_text(f"# ours\n{tmp_path}/libb.so:{tmp_path}/missing.so # {tmp_path}/libc.so\n")
    rules = search.system({"LD_PRELOAD": f"{tmp_path}/liba.so"}, preload_file=tmp_path / "preload")
    found = Process(rules, tmp_path / "none").openings
    assert [(one.path, one.via) for one in found] == [
        (tmp_path / "liba.so", "LD_PRELOAD"),
        (tmp_path / "libb.so", "/etc/ld.so.preload"),
    ]


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "libx.so.1")
    with pytest.raises(OSError, match="not a regular file"):
        elf.read(tmp_path / "libx.so.1")


_LEVEL_2 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"
_LEVEL_3 = f"{_LEVEL_2} avx avx2 bmi1 bmi2 f16c fma abm movbe"
_LEVEL_4 = f"{_LEVEL_3} avx512f avx512bw avx512cd avx512dq avx512vl"


@pytest.mark.parametrize(
    ("machine", "maker", "flags", "glibc", "wanted"),
    [
        (search.X86_64, "AuthenticAMD", _LEVEL_3, "2.37", ("x86_64", ("x86-64-v3", "x86-64-v2"), ())),
        (search.X86_64, "GenuineIntel", _LEVEL_2, "2.39", ("x86_64", ("x86-64-v2",), ())),
        (search.X86_64, "GenuineIntel", _LEVEL_3, None, ("haswell", ("x86-64-v3", "x86-64-v2"), ())),
        (search.X86_64, "AuthenticAMD", _LEVEL_2, "2.36", ("x86_64", ("x86-64-v2",), ("tls", "x86_64", "x86_64"))),
        # RHEL 8
        (
            search.X86_64, "GenuineIntel", _LEVEL_4, "2.28",
            ("haswell", (), ("tls", "haswell", "avx512_1", "x86_64")),
        ),
        (
            search.X86_64, "GenuineIntel", f"{_LEVEL_3} avx512cd avx512er avx512pf", "2.28",
            ("xeon_phi", (), ("tls", "xeon_phi", "x86_64")),
        ),
        (search.AARCH64, None, "fp asimd atomics", "2.35", ("aarch64", (), ("tls", "aarch64", "atomics"))),
        (search.AARCH64, None, "fp asimd", "2.39", ("aarch64", (), ())),
    ],
)  # fmt: skip
def test_a_processor_is_called_as_its_glibc_calls_it(
    machine: int, maker: str | None, flags: str, glibc: str | None, wanted: tuple[object, ...]
) -> None:
    """Names of before 2.37 as `--list-diagnostics` and LD_DEBUG have them; Intel's are of `sysdeps/x86`."""
    text = f"vendor_id\t: {maker}\nflags\t\t: {flags} fpu\n" if maker else f"Features\t: {flags}\n"
    assert search.processor(machine, text, None if glibc is None else Version(glibc)) == wanted


def test_this_processor_is_called_as_the_loader_says() -> None:
    place = next(path for path in map(Path, search._LOADERS.values()) if path.exists())
    told = subprocess.run([str(place), "--list-diagnostics"], capture_output=True, check=False, text=True).stdout
    said = dict(re.findall(r'^(dl_platform|dl_hwcaps_subdirs)="(.*)"$', told, re.MULTILINE))
    if not said:
        pytest.skip("this glibc is older than 2.33 and does not tell")
    found = search.system({}).processor
    assert found.platform == said["dl_platform"]
    assert ":".join(found.levels) in said["dl_hwcaps_subdirs"]


def test_folders_of_an_old_glibc_are_searched_with_the_most_words_first(tmp_path: Path) -> None:
    words = search.Processor(words=("tls", "haswell", "x86_64"))
    places = ["tls/haswell/x86_64", "tls/haswell", "tls/x86_64", "tls", "haswell/x86_64", "haswell", "x86_64", "."]
    for place in places:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "libx.so.1").touch()
    found = search.Folders().paths((str(tmp_path),), "libx.so.1", words)
    assert [os.path.relpath(one.removesuffix("/libx.so.1"), tmp_path) for one in found] == places
    assert list(search.Folders().paths((str(tmp_path),), "libx.so.1", search.Processor())) == [f"{tmp_path}/libx.so.1"]


class TestFolders:
    PROCESSOR = search.Processor(levels=("x86-64-v3", "x86-64-v2"))

    def test_the_best_for_the_processor_first_and_folder_by_folder(self, tmp_path: Path) -> None:
        places = ["b/glibc-hwcaps/x86-64-v2", "b/glibc-hwcaps/x86-64-v3", "b/glibc-hwcaps/x86-64-v4", "b", "a"]
        for place in places:
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            (tmp_path / place / "libx.so.1").touch()
        (tmp_path / "c").mkdir()
        (tmp_path / "c/libx.so.1").symlink_to("nowhere")
        (tmp_path / "file").touch()
        folders = tuple(str(tmp_path / name) for name in ("c", "file", "missing", "b", "a"))
        found = [os.path.relpath(one, tmp_path) for one in search.Folders().paths(folders, "libx.so.1", self.PROCESSOR)]
        assert found == [f"{place}/libx.so.1" for place in (places[1], places[0], "b", "a")]
        assert list(search.Folders().paths(folders, "libx.so", self.PROCESSOR)) == []

    def test_a_folder_that_may_not_be_listed_is_asked_for_each_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The loader opens what it may open: who may go into a folder need not be able to list it."""
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        (tmp_path / "b/libx.so.1").touch()
        listed = os.listdir

        def refusing(path: str) -> list[str]:
            if path == str(tmp_path / "b"):
                raise PermissionError(13, "Permission denied", path)
            return listed(path)

        monkeypatch.setattr(os, "listdir", refusing)
        folders = (str(tmp_path / "a"), str(tmp_path / "b"))
        assert list(search.Folders().paths(folders, "libx.so.1", search.Processor())) == [f"{tmp_path}/b/libx.so.1"]
        assert list(search.Folders().paths(folders, "liby.so.1", search.Processor())) == []

    def test_a_file_with_many_paths_is_read_once_and_again_when_it_changes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _compile(tmp_path / "one.so", "int x;", ["-shared", "-fPIC", "-Wl,-soname,libone.so"])
        os.link(tmp_path / "one.so", tmp_path / "two.so")
        read: list[Path] = []
        real = elf.read

        def counted(path: Path, machine: int | None = None) -> elf.Elf:
            read.append(path)
            return real(path, machine)

        monkeypatch.setattr(elf, "read", counted)
        assert search._elf(tmp_path / "one.so", search.X86_64) == search._elf(tmp_path / "two.so", search.X86_64)
        assert read == [tmp_path / "one.so"]
        _compile(tmp_path / "new.so", "int x;", ["-shared", "-fPIC", "-Wl,-soname,libnew.so"])
        (tmp_path / "new.so").replace(tmp_path / "one.so")
        assert search._elf(tmp_path / "one.so", search.X86_64).soname == "libnew.so"


@pytest.mark.skipif(shutil.which("ldconfig", path="/sbin:/usr/sbin") is None, reason="no ldconfig here")
class TestCache:
    def test_this_machines_cache_is_what_ldconfig_prints(self) -> None:
        program = shutil.which("ldconfig", path="/sbin:/usr/sbin")
        assert program is not None
        printed = subprocess.run([program, "-p"], capture_output=True, check=True, text=True).stdout
        wanted: dict[str, str] = {}
        for name, path in re.findall(r"^\t(\S+) \(libc6,x86-64\) => (\S+)$", printed, re.MULTILINE):
            wanted.setdefault(name, path)
        found = {name: str(path) for name, path in cache.read(search.X86_64, ()).items()}
        assert {name: found.get(name) for name in wanted} == wanted
        assert wanted

    def test_one_of_its_own(self, tmp_path: Path) -> None:
        program = shutil.which("ldconfig", path="/sbin:/usr/sbin")
        assert program is not None
        folder = tmp_path / "libs"
        folder.mkdir()
        _compile(folder / "libx.so.1.2.3", "int x;", ["-shared", "-fPIC", "-Wl,-soname,libx.so.1"])
        (tmp_path / "conf").write_text(f"{folder}\n")
        subprocess.run([program, "-C", str(tmp_path / "cache"), "-f", str(tmp_path / "conf")], check=True)
        found = cache.read(search.X86_64, (), tmp_path / "cache")
        assert found["libx.so.1"] == folder / "libx.so.1"
        assert cache.read(search.AARCH64, (), tmp_path / "cache") == {}

    @pytest.mark.parametrize(
        "data", [b"", b"ld.so-1.7.0", b"glibc-ld.so.cache1.1", b"glibc-ld.so.cache1.1" + b"\xff" * 60]
    )
    def test_another_format_is_nothing(self, data: bytes) -> None:
        assert cache.parse(data, search.X86_64, ()) == {}


class TestVersionsOfDebian:
    """dpkg's own files, as NVIDIA's packages are described in them."""

    STATUS = """Package: libcudnn9-cuda-12
Status: install ok installed
Architecture: amd64
Version: 9.10.2.21-1
Description: cuDNN
 runtime libraries

Package: libnccl2
Status: install ok installed
Version: 1:2.21.5-1+cuda12.4

Package: cudnn-of-nobody
Status: install ok installed
"""
    LISTS: ClassVar = {
        "libcudnn9-cuda-12:amd64": ("/.", "/usr/lib/x86_64-linux-gnu/libcudnn.so.9", "/lib/x/libcudnn_ops.so.9.10.2"),
        "libnccl2": ("/usr/lib/x86_64-linux-gnu/libnccl.so.2.21.5",),
        "cudnn-of-nobody": ("/opt/libcudnn.so.8",),
    }

    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        (tmp_path / "info").mkdir()
        (tmp_path / "status").write_text(self.STATUS)
        for name, lines in self.LISTS.items():
            (tmp_path / f"info/{name}.list").write_text("".join(f"{line}\n" for line in lines))
        return tmp_path

    @pytest.mark.parametrize(
        ("path", "version"),
        [
            ("/usr/lib/x86_64-linux-gnu/libcudnn.so.9", "9.10.2.21"),
            ("/lib/x86_64-linux-gnu/libcudnn.so.9", "9.10.2.21"),
            ("/usr/lib/x/libcudnn_ops.so.9.10.2", "9.10.2.21"),
            ("/usr/lib/x86_64-linux-gnu/libnccl.so.2.21.5", "2.21.5"),
            ("/usr/local/lib/libcudnn.so.9", None),
            ("/opt/libcudnn.so.8", None),
            ("/opt/driver", None),
        ],
    )
    def test_are_those_of_the_package_that_owns_the_file(self, path: str, version: str | None, database: Path) -> None:
        assert versions.of_dpkg(Path(path), database) == version

    def test_without_dpkg_there_are_none(self, tmp_path: Path) -> None:
        assert versions.of_dpkg(Path("/usr/lib/x86_64-linux-gnu/libcudnn.so.9"), tmp_path) is None

    @pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="no Debian")
    def test_of_this_machine_it_is_dpkgs_own_answer(self) -> None:
        library = next((path for path in Path("/usr/lib").glob("*-linux-gnu/libz.so.1")), None)
        if library is None:
            pytest.skip("no zlib here")
        shown = ["dpkg-query", "-W", "-f", "${source:Upstream-Version}", "zlib1g"]
        wanted = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
        assert versions.of_dpkg(library) == wanted


class TestVersionsOfOtherDistributions:
    """What rpm prints, and pacman's own files; NVIDIA's and Arch's packages as they are named there."""

    LIBRARY = Path("/usr/lib64/libcudnn.so.9")

    @pytest.mark.parametrize(
        ("answer", "version"),
        [
            ("printf '9.10.2.21\\n'", "9.10.2.21"),
            ("echo 'file /usr/lib64/libcudnn.so.9 is not owned by any package'; exit 1", None),
            # two packages own it: no telling which one put it there
            ("printf '9.10.2.21\\n9.1.0\\n'", None),
            ("printf ''", None),
        ],
    )
    def test_rpm_is_asked_for_the_owner(
        self, answer: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = '[ "$*" = "-q --queryformat %{VERSION}\\n -f /usr/lib64/libcudnn.so.9" ] || exit 2'
        (tmp_path / "rpm").write_text(f"#!/bin/sh\n{asked}\n{answer}\n")
        (tmp_path / "rpm").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        versions.of_rpm.cache_clear()
        assert versions.of_rpm(self.LIBRARY) == version
        versions.of_rpm.cache_clear()

    def test_without_rpm_there_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        versions.of_rpm.cache_clear()
        assert versions.of_rpm(self.LIBRARY) is None
        versions.of_rpm.cache_clear()

    @pytest.mark.skipif(shutil.which("rpm") is None, reason="no rpm here")
    def test_rpm_itself_takes_the_question(self, tmp_path: Path) -> None:
        versions.of_rpm.cache_clear()
        assert versions.of_rpm(tmp_path / "of-nobody.so") is None

    def test_pacman(self, tmp_path: Path) -> None:
        for name, rows in (
            ("cudnn-9.10.2.21-1", "%FILES%\nusr/\nusr/lib/\nusr/lib/libcudnn.so.9\n\n"),
            ("nccl-1:2.29.3-2", "%FILES%\nusr/lib/libnccl.so.2\n"),
            ("broken-1-1", None),
        ):
            (tmp_path / name).mkdir()
            if rows is not None:
                (tmp_path / name / "files").write_text(rows)
        assert versions.of_pacman(Path("/usr/lib/libcudnn.so.9"), tmp_path) == "9.10.2.21"
        assert versions.of_pacman(Path("/usr/lib/libnccl.so.2"), tmp_path) == "2.29.3"
        assert versions.of_pacman(Path("/opt/libcudnn.so.9"), tmp_path) is None
        assert versions.of_pacman(Path("/usr/lib/libcudnn.so.9"), tmp_path / "none") is None


class TestEnvironment:
    """An environment whose frameworks are small libraries of the real ones' names and rules."""

    KNOWN: ClassVar = {"cudnn": Carried(("nvidia-cudnn-cu12",)), "cudart": Carried(("nvidia-cuda-runtime-cu12",))}
    SITE = "env/lib/python3.12/site-packages"
    CUDNN = f"{SITE}/nvidia/cudnn/lib/libcudnn.so.9"
    OTHER = "other/nvidia/cudnn/lib/libcudnn.so.9"

    def opened(self, root: Path, libraries: tuple[Library, ...], **variables: str) -> dict[str, OpenedLibrary]:
        program = build(root, Case((*self.libraries(), *libraries), (), ()))
        for site, version in ((self.SITE, "9.10.2.21"), ("other", "9.1.0.70")):
            info = root / site / f"nvidia_cudnn_cu12-{version}.dist-info"
            info.mkdir()
            (info / "RECORD").write_text("nvidia/cudnn/lib/libcudnn.so.9,sha256=x,1\n")
        prefix = root / "env"
        values = {name: value.format(root=root) for name, value in variables.items()}
        cache_file = root / "ld.so.cache"
        rules = search.system(values, cache_file=cache_file)
        rows = environment.inspect(prefix, root / self.SITE, program, rules, self.KNOWN).opened
        return {row.name: row for row in rows}

    def libraries(self) -> tuple[Library, ...]:
        return (Library(self.CUDNN, "libcudnn.so.9"), Library(self.OTHER, "libcudnn.so.9"))

    FRAMEWORK = "$ORIGIN/../nvidia/cudnn/lib"
    AWAY: ClassVar = {"LD_LIBRARY_PATH": "{root}/other/nvidia/cudnn/lib"}

    def test_tensorflows_runpath_comes_after_ld_library_path(self, tmp_path: Path) -> None:
        framework = Library(f"{self.SITE}/tensorflow/libtensorflow_framework.so.2", runpath=self.FRAMEWORK)
        row = self.opened(tmp_path, (framework,), **self.AWAY)["libcudnn.so.9"]
        assert (row.via, row.inside, row.version) == ("LD_LIBRARY_PATH", False, "9.1.0.70")
        assert row.path == str(tmp_path / self.OTHER)
        assert row.own == str(tmp_path / self.CUDNN)
        assert row.by == "lib/python3.12/site-packages/tensorflow/libtensorflow_framework.so.2"

    def test_and_serves_without_it(self, tmp_path: Path) -> None:
        framework = Library(f"{self.SITE}/tensorflow/libtensorflow_framework.so.2", runpath=self.FRAMEWORK)
        row = self.opened(tmp_path, (framework,))["libcudnn.so.9"]
        assert (row.via, row.inside) == ("DT_RUNPATH", True)

    def test_torchs_rpath_goes_before_it(self, tmp_path: Path) -> None:
        rpath = "$ORIGIN/../../nvidia/cudnn/lib"
        framework = Library(f"{self.SITE}/torch/lib/libtorch_global_deps.so", needed=(self.CUDNN,), rpath=rpath)
        row = self.opened(tmp_path, (framework,), **self.AWAY)["libcudnn.so.9"]
        assert (row.via, row.inside, row.required) == ("DT_RPATH", True, True)

    def test_jax_opens_its_own_by_their_paths_first(self, tmp_path: Path) -> None:
        framework = Library(f"{self.SITE}/jax_plugins/xla_cuda12/xla_cuda_plugin.so", runpath="$ORIGIN/nowhere")
        row = self.opened(tmp_path, (framework,), **self.AWAY)
        assert {Path(name).name: (one.via, one.inside) for name, one in row.items() if one.path} == {
            "libcudnn.so.9": ("by its path", True)
        }
        assert not any(one.required for one in row.values() if one.path is None)

    def test_a_part_that_the_wheel_lacks_comes_from_the_machine(self, tmp_path: Path) -> None:
        part = "libcudnn_engines_tensor_ir.so.9"
        framework = Library(f"{self.SITE}/tensorflow/libtensorflow_framework.so.2", runpath=self.FRAMEWORK)
        libraries = (framework, Library(f"system/{part}", part))
        rows = self.opened(tmp_path, libraries, LD_LIBRARY_PATH="{root}/system")
        assert (rows[part].via, rows[part].inside, rows[part].own) == ("LD_LIBRARY_PATH", False, None)
        assert rows[part].by == f"{self.CUDNN.removeprefix('env/')}"
        assert rows["libcudnn.so.9"].inside

    def test_the_parts_of_cudnn_8_are_called_otherwise(self, tmp_path: Path) -> None:
        """`Could not load library libcudnn_cnn_infer.so.8`: a toolkit's cuDNN on LD_LIBRARY_PATH goes before."""
        folder, own = f"{self.SITE}/nvidia/cudnn/lib", "libcudnn_cnn_infer.so.8"
        framework = Library(f"{self.SITE}/torch/lib/libtorch_global_deps.so", needed=(f"{folder}/libcudnn.so.8",))
        libraries = (
            Library(f"{folder}/libcudnn.so.8", "libcudnn.so.8", runpath="$ORIGIN"),
            Library(f"{folder}/{own}", own),
            Library(f"toolkit/{own}", own),
            Library("toolkit/libcudnn_adv_train.so.8", "libcudnn_adv_train.so.8"),
            Library("toolkit/libcudnn_graph.so.8", "libcudnn_graph.so.8"),
            framework._replace(rpath="$ORIGIN/../../nvidia/cudnn/lib"),
        )
        rows = self.opened(tmp_path, libraries, LD_LIBRARY_PATH="{root}/toolkit")
        assert rows["libcudnn.so.8"].inside
        assert (rows[own].via, rows[own].inside, rows[own].own) == (
            "LD_LIBRARY_PATH",
            False,
            str(tmp_path / folder / own),
        )
        assert rows["libcudnn_adv_train.so.8"].own is None
        assert "libcudnn_graph.so.8" not in rows
        assert "libcudnn_cnn_infer.so.9" not in rows

    def test_a_record_is_read_whatever_its_rows_are_like(self) -> None:
        """A name within a folder of that ending, a row of several, a quoted one, and the last without an end."""
        rows = [
            "a.so/readme,sha256=1,1", "b.sources.py,sha256=2,1", "lib/libb.so.1,sha256=3,1", '"odd,name.so",sha256=4,1',
            "c.so.d/libc.so,sha256=5,1", "libd.so,,", "e.py,sha256=6,1", "lib/libe.so.2.so,sha256=7,1",
        ]  # fmt: skip
        for end in ("", "\n", "\r\n"):
            found = list(owners._libraries((end or "\n").join(rows).encode() + end.encode()))
            assert [(name.decode(), digest.decode()) for name, digest in found if b".py" not in name] == [
                ("lib/libb.so.1", "sha256=3"), ("c.so.d/libc.so", "sha256=5"), ("libd.so", ""),
                ("lib/libe.so.2.so", "sha256=7"),
            ], end  # fmt: skip

    def test_owners_are_found_by_records(self, tmp_path: Path) -> None:
        (tmp_path / "same.so").touch()
        for name, digest in (("nvidia_nccl_cu12-2.29.3", "12"), ("nvidia_nccl_cu13-2.29.7", "13")):
            info = tmp_path / f"{name}.dist-info"
            info.mkdir()
            rows = (
                "nvidia/__init__.py,sha256=x,0",
                f"nvidia/nccl/lib/libnccl.so.2,sha256={digest},1",
                "same.so,sha256=s,1",
            )
            (info / "RECORD").write_text("".join(f"{row}\n" for row in rows))
        assert owners.shared(tmp_path) == (
            SharedFile("nvidia/nccl/lib/libnccl.so.2", ("nvidia_nccl_cu12-2.29.3", "nvidia_nccl_cu13-2.29.7")),
        )
        assert len(owners.shared(tmp_path, [("nvidia-nccl-cu12", "numpy")])) == 1
        assert owners.shared(tmp_path, [("nvidia-nccl-cu12", "nvidia-nccl-cu13")]) == ()
        lost = [(one.path, one.owner) for one in owners.inspect(tmp_path).missing]
        assert lost == [
            ("nvidia/nccl/lib/libnccl.so.2", "nvidia_nccl_cu12-2.29.3"),
            ("nvidia/nccl/lib/libnccl.so.2", "nvidia_nccl_cu13-2.29.7"),
        ]

    @pytest.mark.parametrize(
        ("records", "found"),
        [
            (("keras-3.15.1 keras a", "keras_nightly-3.16 keras b"), ["keras/__init__.py"]),
            (("keras-3.15.1 keras a", "keras-3.12.4 keras b"), ["keras/__init__.py"]),
            (("tensorflow-2.21 tensorflow a", "tensorflow_cpu-2.21 x/tensorflow b"), []),
            (("keras-3.15.1 keras a", "keras_nightly-3.15.1 keras a"), []),
            # a folder that many share belongs to none of them
            (("nvidia_nccl_cu12-2 nvidia a", "nvidia_cudnn_cu12-9 nvidia b"), []),
        ],
    )
    def test_packages_of_two_distributions(self, records: tuple[str, ...], found: list[str], tmp_path: Path) -> None:
        for number, (name, package, digest) in enumerate(record.split(" ") for record in records):
            (tmp_path / f"{name}.dist-info").mkdir()
            before = "a.py,,\n" * number
            (tmp_path / f"{name}.dist-info/RECORD").write_text(f"{before}{package}/__init__.py,sha256={digest},1\n")
        assert [one.path for one in owners.shared(tmp_path)] == found

    def test_a_project_with_two_folders_of_metadata(self, tmp_path: Path) -> None:
        """One of them has no RECORD: a removal ended halfway."""
        for name in ("ml_dtypes-0.5.1", "ml_dtypes-0.6.0", "keras-3.15.1", "keras_nightly-3.16"):
            (tmp_path / f"{name}.dist-info").mkdir()
        (tmp_path / "ml_dtypes-0.6.0.dist-info/RECORD").write_text("ml_dtypes/__init__.py,sha256=a,1\n")
        found = owners.inspect(tmp_path)
        assert found.doubled == (
            DoubledProject("ml-dtypes", ("ml_dtypes-0.5.1.dist-info", "ml_dtypes-0.6.0.dist-info")),
        )
        assert found.missing == (MissingFile("ml_dtypes/__init__.py", "ml_dtypes-0.6.0"),)
        (tmp_path / "ml_dtypes").mkdir()
        (tmp_path / "ml_dtypes/__init__.py").touch()
        assert owners.inspect(tmp_path).missing == ()

    @pytest.fixture
    def record(self, tmp_path: Path) -> Path:
        """A RECORD that nothing has touched for a while."""
        (tmp_path / "keras-3.15.1.dist-info").mkdir()
        record = tmp_path / "keras-3.15.1.dist-info/RECORD"
        record.write_text("keras/__init__.py,sha256=a,1\nkeras/libk.so,sha256=b,1\n")
        (tmp_path / "keras").mkdir()
        (tmp_path / "keras/__init__.py").touch()
        return record

    def test_a_record_is_read_once_and_again_when_it_has_changed(
        self, record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        later = time.time_ns() + 60 * 10**9
        monkeypatch.setattr(time, "time_ns", lambda: later)
        read: list[Path] = []
        whole = files.read

        def watched(path: Path) -> bytes:
            read.append(path)
            return whole(path)

        monkeypatch.setattr(files, "read", watched)

        def told() -> list[str]:
            notes = owners.RecordNotes(tmp_path / "cache/records")
            found = owners.inspect(tmp_path, notes=notes).missing
            notes.save()
            return [one.path for one in found]

        assert (told(), told(), read) == (["keras/libk.so"], ["keras/libk.so"], [record])
        # as many bytes as before, and the time of before: that it was written is seen all the same
        facts = record.stat()
        record.write_text("keras/__init__.py,sha256=a,1\nkeras/libl.so,sha256=b,1\n")
        os.utime(record, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        assert (told(), told(), read) == (["keras/libl.so"], ["keras/libl.so"], [record, record])

    def test_a_record_that_was_written_a_moment_ago_is_not_noted(self, record: Path, tmp_path: Path) -> None:
        """A filesystem counts time in steps, and does not tell two changes in one of them apart."""
        notes = owners.RecordNotes(tmp_path / "records")
        assert [one.owner for one in owners.inspect(tmp_path, notes=notes).missing] == ["keras-3.15.1"]
        notes.save()
        assert record.exists()
        assert not (tmp_path / "records").exists()

    @pytest.mark.parametrize("noted", ["[]", "{", "null", '{"%s": [%s]}', '{"%s": [%s, [["x", 1]], 3]}', '{"%s": 7}'])
    def test_notes_that_nobody_wrote_so_are_not_believed(self, noted: str, record: Path, tmp_path: Path) -> None:
        stamp = verified_files.stamp_of(record)
        assert stamp is not None
        text = noted % ((str(record), [*stamp]) if noted.count("%s") > 1 else str(record)) if "%s" in noted else noted
        served.keep(tmp_path / "records", "kgen-records 1", text.encode())
        for notes in (owners.RecordNotes(tmp_path / "records"), owners.RecordNotes(tmp_path)):
            assert [one.path for one in owners.inspect(tmp_path, notes=notes).missing] == ["keras/libk.so"]
        owners.RecordNotes(record).save()

    def test_a_library_for_another_processor_is_named_where_there_is_no_other(self, tmp_path: Path) -> None:
        foreign = ((18, b"\xb7\x00"),)
        rpath = "$ORIGIN/../../nvidia/cudnn/lib"
        name = f"{self.SITE}/torch/lib/libtorch_global_deps.so"
        framework = Library(name, needed=(self.OTHER,), rpath=rpath)
        own = Library(self.CUDNN, "libcudnn.so.9", damage=foreign)
        row = self.opened(tmp_path, (own, framework))["libcudnn.so.9"]
        assert (row.inside, row.fault) == (True, "for another processor")

    @pytest.mark.parametrize(
        ("levels", "place"),
        [
            (("x86-64-v4", "x86-64-v3", "x86-64-v2"), "glibc-hwcaps/x86-64-v4/"),
            (("x86-64-v3", "x86-64-v2"), "glibc-hwcaps/x86-64-v3/"),
            (("x86-64-v2",), "glibc-hwcaps/x86-64-v2/"),
            ((), ""),
        ],
    )
    def test_a_row_of_a_level_that_the_processor_has_goes_before_others(
        self, tmp_path: Path, levels: Sequence[str], place: str
    ) -> None:
        assert cache.read(search.X86_64, levels, _cached(tmp_path)) == {
            "libx.so.1": Path(f"/opt/{place}libx.so.1"),
            **({"liby.so.1": Path("/opt/glibc-hwcaps/x86-64-v4/liby.so.1")} if "x86-64-v4" in levels else {}),
        }

    def test_the_loader_takes_the_row_that_is_read(self, tmp_path: Path) -> None:
        """In a root of its own, where the loader reads the cache of this test."""
        cached = _cached(tmp_path)
        program = tmp_path / "program"
        _compile(program, "int main(void) { return 0; }", ["-Wl,--no-as-needed", str(tmp_path / "opt/libx.so.1")])
        told = subprocess.run(["ldd", str(program)], capture_output=True, check=True, text=True).stdout
        for text in re.findall(r"(/\S+) \(0x", told):
            if not text.startswith(str(tmp_path)):
                (tmp_path / text[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(text, tmp_path / text[1:])
        asked = ["unshare", "--user", "--map-root-user", "chroot", str(tmp_path), "/program"]
        try:
            env = {"LD_DEBUG": "files", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
            done = subprocess.run(asked, capture_output=True, env=env, check=False, text=True)
        except FileNotFoundError:
            pytest.skip("no unshare here")
        opened = re.findall(r"calling init: (/opt/\S*libx\.so\.1)", done.stderr)
        if done.returncode != 0 and not opened:
            pytest.skip("no root of one's own here")
        found = cache.read(search.X86_64, search.system({}).processor.levels, cached)
        assert opened == [str(found["libx.so.1"])]


def _cached(root: Path) -> Path:
    """The cache that ldconfig makes of a root with a library for each level, and one for the best alone."""
    for level in ("", "glibc-hwcaps/x86-64-v2/", "glibc-hwcaps/x86-64-v3/", "glibc-hwcaps/x86-64-v4/"):
        place = root / "opt" / level
        place.mkdir(parents=True, exist_ok=True)
        _compile(place / "libx.so.1", "int x;", ["-shared", "-fPIC", "-Wl,-soname,libx.so.1"])
    best = root / "opt/glibc-hwcaps/x86-64-v4/liby.so.1"
    _compile(best, "int y;", ["-shared", "-fPIC", "-Wl,-soname,liby.so.1"])
    (root / "etc").mkdir()
    (root / "etc/ld.so.conf").write_text("/opt\n")
    program = shutil.which("ldconfig", path="/sbin:/usr/sbin")
    assert program is not None
    subprocess.run([program, "-X", "-r", str(root), "-f", "/etc/ld.so.conf", "-C", "/etc/ld.so.cache"], check=True)
    return root / "etc/ld.so.cache"


class TestSymbolVersions:
    """What a library lacks is what the loader ends for."""

    OLD, NEW = "X_1.0 { value; };", "X_1.0 { value; }; X_2.0 { newer; };"

    def build(self, root: Path, *, script: str = NEW, weak: bool = False) -> Path:
        """An environment whose file needs `X_2.0` of libx, and another libx beside it."""
        site = root / "lib/python3.12/site-packages/jaxlib"
        site.mkdir(parents=True)
        for folder, text in (("lib", self.NEW), ("other", script)):
            (root / folder).mkdir(exist_ok=True)
            (root / f"{folder}.map").write_text(text)
            words = ["-shared", "-fPIC", "-Wl,-soname,libx.so.1"]
            words += [f"-Wl,--version-script={root / folder}.map"] if text else []
            _compile(root / folder / "libx.so.1", "int value; int newer(void) { return 1; }", words)
        declared = "__attribute__((weak)) " if weak else ""
        code = f"{declared}int newer(void); int use(void) {{ return newer ? newer() : 0; }}"
        words = ["-shared", "-fPIC", str(root / "lib/libx.so.1"), "-Wl,-rpath,$ORIGIN/../../../../lib"]
        _compile(site / "_jax.so", code, [*words, "-Wl,--enable-new-dtags"])
        _compile(root / "program", _HOST, ["-ldl"])
        return site / "_jax.so"

    @pytest.mark.parametrize(
        ("script", "weak", "variable", "lost"),
        [
            (OLD, False, "LD_LIBRARY_PATH", ("X_2.0",)),
            (OLD, False, "LD_PRELOAD", ("X_2.0",)),
            (NEW, False, "LD_LIBRARY_PATH", ()),
            (NEW, False, "LD_PRELOAD", ()),
            (OLD, True, "LD_LIBRARY_PATH", ()),
            # one that says nothing of versions is taken as it is
            ("", False, "LD_LIBRARY_PATH", ()),
            (OLD, False, "", ()),
        ],
    )
    def test_what_is_lacking(
        self, script: str, variable: str, lost: tuple[str, ...], tmp_path: Path, *, weak: bool
    ) -> None:
        root = tmp_path.resolve()
        file = self.build(root / "e", script=script, weak=weak)
        (root / "e/other").rename(root / "other")
        value = {"LD_PRELOAD": str(root / "other/libx.so.1")}.get(variable, str(root / "other"))
        variables = {variable: value} if variable else {}
        done = subprocess.run([root / "e/program", file], env=variables, capture_output=True, text=True, check=False)
        site = root / "e/lib/python3.12/site-packages"
        found = environment.inspect(root / "e", site, root / "e/program", search.system(variables), {}).too_old
        assert [one.versions for one in found] == ([lost] if lost else [])
        assert (done.returncode != 0) is bool(lost), done.stdout
        assert ("version `X_2.0' not found" in done.stdout) is bool(lost)
        if lost:
            told = (str(root / "other/libx.so.1"), variable, "lib/python3.12/site-packages/jaxlib/_jax.so")
            assert found[0][:3] == told

    def test_they_are_what_pyelftools_reads(self) -> None:
        compared = 0
        for path in _libraries_here()[:80]:
            with path.open("rb") as stream:
                try:
                    read = ELFFile(stream)
                except ELFError:
                    continue
                given: Any = read.get_section_by_name(".gnu.version_d")
                wanted: Any = read.get_section_by_name(".gnu.version_r")
                found = elf.symbol_versions(path)
                names = {next(auxiliary).name for _, auxiliary in given.iter_versions()} if given else None
                assert found.given == names
                rows = {
                    version.name: tuple(one.name for one in auxiliary if not one["vna_flags"] & 2)
                    for version, auxiliary in (wanted.iter_versions() if wanted else ())
                }
                assert found.wanted == rows
                compared += 1
        assert compared


_FINDS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
int main(void) {
  struct link_map *found;
  void *library = dlopen("libx.so.1", RTLD_LAZY);
  if (!library || dlinfo(library, RTLD_DI_LINKMAP, &found)) { puts("None"); return 0; }
  puts(found->l_name);
  return 0;
}
"""
_FOUND = """
import os, sys
from pathlib import Path
from kgen.loader import search
os.setgid(65534)
os.setuid(65534)
program = Path(sys.argv[1])
print(search.Process(search.system(os.environ), program).open_name("libx.so.1", program).path)
"""
_BINDS_LOW_PORTS = b"\x01\x00\x00\x02\x00\x04\x00\x00" + bytes(12)
"""What `setcap cap_net_bind_service+ep` writes."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a program more rights")
@pytest.mark.parametrize("right", ["none", "capability", "setuid", "setgid"])
@pytest.mark.parametrize(
    "leads", ["LD_LIBRARY_PATH", "LD_PRELOAD", "DT_RPATH", "DT_RUNPATH", "DT_RPATH of a whole path"]
)
def test_a_program_with_more_rights_than_its_user_heeds_no_variable(leads: str, right: str) -> None:
    """A Python with `setcap cap_net_bind_service` finds nothing by LD_LIBRARY_PATH."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "led").mkdir(mode=0o755)
        library = ["gcc", "-shared", "-fPIC", "-x", "c", "/dev/null", "-Wl,-soname,libx.so.1", "-o"]
        subprocess.run([*library, str(root / "led/libx.so.1")], check=True)
        (root / "host.c").write_text(_FINDS)
        start = f"{root}/led" if leads == "DT_RPATH of a whole path" else "$ORIGIN/led"
        dtags = "--enable-new-dtags" if leads == "DT_RUNPATH" else "--disable-new-dtags"
        flags = [f"-Wl,{dtags},-rpath,{start}"] if leads.startswith("DT_") else []
        program = root / "host"
        subprocess.run(["gcc", str(root / "host.c"), *flags, "-ldl", "-o", str(program)], check=True)
        program.chmod({"setuid": 0o4755, "setgid": 0o2755}.get(right, 0o755))
        if right == "capability":
            os.setxattr(program, "security.capability", _BINDS_LOW_PORTS)
        values = {"LD_LIBRARY_PATH": f"{root}/led", "LD_PRELOAD": f"{root}/led/libx.so.1"}
        variables = {"PATH": os.environ["PATH"]} | {key: value for key, value in values.items() if key == leads}
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        real = subprocess.run([str(program)], env=variables, capture_output=True, text=True, check=True, **nobody)  # type: ignore[call-overload]
        told = subprocess.run(
            [sys.executable, "-c", _FOUND, str(program)], env=variables, capture_output=True, text=True, check=True
        )
        wanted = "None" if right != "none" and leads != "DT_RPATH of a whole path" else f"{root}/led/libx.so.1"
        assert real.stdout.strip() == wanted
        assert told.stdout.strip() == wanted
