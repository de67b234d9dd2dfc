"""On any tree of libraries kgen takes the files that this machine's loader takes, and fails where that fails."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

import pytest
from tests import elves

from kgen.loader import search
from kgen.loader.search import Process

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None or not Path(search._LOADERS[search.X86_64]).exists(),
    reason="no C compiler here, or another loader than that of x86-64",
)

_TREES = 120
_HOST = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
static int show(struct dl_phdr_info *one, size_t size, void *unused) { printf("%s\n", one->dlpi_name); return 0; }
int main(int count, char **words) {
  dl_iterate_phdr(show, 0);
  for (int i = 1; i < count; i++) {
    puts("---");
    if (!dlopen(words[i], RTLD_LAZY | RTLD_GLOBAL)) { printf("error: %s\n", dlerror()); return 1; }
    dl_iterate_phdr(show, 0);
  }
  return 0;
}
"""
_NAMES = ("libx.so.1", "liby.so.1", "libz.so.1")
_LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
_NO_DEFAULTS = 0x800
_OFTEN, _SELDOM = 0.35, 0.1


class Start(NamedTuple):
    """What is started in a tree.

    Attributes:
        program: the program.
        words: what it opens, one after the other.
        variables: of its environment.
    """

    program: Path
    words: tuple[str, ...]
    variables: Mapping[str, str]


class Outcome(NamedTuple):
    """How far a process came.

    Attributes:
        stages: the libraries of the tree that are mapped when it has started, and after each word.
        failure: the name of the library that ended it; None if nothing did.
    """

    stages: tuple[frozenset[str], ...]
    failure: str | None


class Tree:
    """A tree of libraries that may be anything, made of a seed."""

    def __init__(self, root: Path, seed: int, lib: str) -> None:
        self.root = root
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.places = ["a", "b", "deep/c", f"a/{lib}", "b/x86_64"]
        self.places += [f"a/glibc-hwcaps/{self.random.choice(_LEVELS)}"]

    def some(self, most: int = 2) -> list[str]:
        return self.random.sample(_NAMES, self.random.choices(range(most + 1), [3, 4, 2][: most + 1])[0])

    def folder(self, *, origin: str) -> str:
        """A folder as somebody would write it; `origin` leads from where it stands to the root."""
        place = self.random.choice(["a", "b", "deep/c"])
        forms = [
            f"{self.root}/{place}", f"{self.root}/{place}/", f"{self.root}/deep/../{place}", f"{origin}/{place}",
            f"{origin}/nowhere", "$ORIGIN", f"{self.root}/a/$LIB", f"{self.root}/b/${{PLATFORM}}", place, "",
        ]  # fmt: skip
        return self.random.choices(forms, [6, 2, 2, 6, 1, 3, 2, 2, 1, 1])[0]

    def folders(self, *, origin: str) -> str:
        return ":".join(self.folder(origin=origin) for _ in range(self.random.randint(1, 3)))

    def library(self, name: str, *, depth: int) -> bytes:
        origin = "/".join(["${ORIGIN}", *([".."] * depth)])
        return elves.shared_object(
            *(one for one in self.some() if one != name),
            soname=self.random.choices([name, "", self.random.choice(_NAMES)], [8, 2, 1])[0],
            flags=_NO_DEFAULTS if self.random.random() < _SELDOM else 0,
            rpath=self.folders(origin=origin) if self.random.random() < _OFTEN else "",
            runpath=self.folders(origin=origin) if self.random.random() < _OFTEN else "",
        )

    def fill(self) -> None:
        for place in self.places:
            folder = self.root / place
            folder.mkdir(parents=True, exist_ok=True)
            for name in _NAMES:
                if self.random.random() < 0.55:
                    self.put(folder / name)

    def put(self, path: Path) -> None:
        library = self.library(path.name, depth=len(path.relative_to(self.root).parts) - 1)
        kind = self.random.choices(
            ["whole", "link", "hard", "nowhere", "empty", "text", "narrow", "foreign", "folder", "cut"],
            [30, 4, 2, 2, 1, 1, 2, 2, 1, 1],
        )[0]
        others = [one for one in self.root.rglob("lib*.so.1") if one.is_file()]
        if kind in {"link", "hard"} and others:
            other = self.random.choice(others)
            if kind == "link":
                path.symlink_to(os.path.relpath(other, path.parent))
            else:
                path.hardlink_to(other)
        elif kind == "nowhere":
            path.symlink_to("nowhere")
        elif kind == "folder":
            path.mkdir()
        else:
            changed = {
                "empty": b"",
                "text": b"INPUT(libx.so) " * 9,
                "narrow": b"\x7fELF\x01\x01\x01" + bytes(120),
                "foreign": library[:18] + b"\xb7\x00" + library[20:],
                "cut": library[:100],
            }
            path.write_bytes(changed.get(kind, library))

    def start(self, programs: list[Path]) -> Start:
        program = self.root / "program"
        os.link(self.random.choice(programs), program)
        module = self.root / self.random.choice(["m.so", "a/m.so", "deep/c/m.so"])
        module.write_bytes(self.library("", depth=len(module.relative_to(self.root).parts) - 1))
        whole = [str(module), *(str(self.root / place / name) for place in self.places for name in _NAMES)]
        words = [str(module) if self.random.random() < 0.7 else self.random.choice(_NAMES)]
        if self.random.random() < 0.4:
            words.insert(self.random.randint(0, 1), self.random.choice([*_NAMES, *whole]))
        variables = {}
        if self.random.random() < 0.6:
            variables["LD_LIBRARY_PATH"] = self.folders(origin="$ORIGIN").replace(":", self.random.choice(":;"))
        if self.random.random() < 0.3:
            chosen = self.random.sample([*_NAMES, *whole, "$ORIGIN/a/libx.so.1"], self.random.randint(1, 2))
            variables["LD_PRELOAD"] = self.random.choice(" :").join(chosen)
        return Start(program, tuple(words), variables)


@pytest.fixture(scope="module", name="programs")
def _programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    folder = tmp_path_factory.mktemp("programs")
    made = []
    for number, words in enumerate(((), ("-Wl,--disable-new-dtags",), ("-Wl,--enable-new-dtags",))):
        path = folder / str(number)
        paths = ["-Wl,-rpath,$ORIGIN/b"] if words else []
        command = ["gcc", "-x", "c", "-", "-x", "none", *words, *paths, "-ldl", "-o", str(path)]
        subprocess.run(command, input=_HOST.encode(), check=True)
        made.append(path)
    yield made
    shutil.rmtree(folder)


def judged(start: Start, root: Path) -> Outcome:
    """What the loader itself does."""
    done = subprocess.run(
        [start.program, *start.words], cwd=root, env=start.variables, capture_output=True, check=False, text=True
    )
    stages = [
        frozenset(os.path.relpath(os.path.realpath(root / line), root) for line in stage.splitlines() if line)
        for stage in re.sub(r"^error: .*\n", "", done.stdout, flags=re.MULTILINE).split("---\n")
    ]
    told = re.search(
        r"(?:^error|error while loading shared libraries): ([^:]+): ", done.stdout + done.stderr, re.MULTILINE
    )
    if done.returncode == 0:
        return Outcome(tuple(map(_of_tree, stages)), None)
    assert told is not None, done
    kept = stages[:-1] if done.stdout else []
    return Outcome(tuple(map(_of_tree, kept)), Path(told[1]).name)


def foretold(start: Start, root: Path) -> Outcome:
    """What kgen says that it does."""
    # the system"s cache has none of these libraries, and its thousands of rows take longer to read than all of this
    process = Process(search.system(start.variables, cache_file=root / "none"), start.program)
    stages: list[frozenset[str]] = []
    for word in ("", *start.words):
        if "/" in word:
            process.open(Path(word))
        elif word:
            process.open_name(word, start.program)
        wrong = next((one for one in process.openings if one.path is None or one.fault), None)
        if wrong is not None:
            return Outcome(tuple(stages), Path(wrong.path or wrong.name).name)
        paths = {os.path.relpath(os.path.realpath(one.path), root) for one in process.openings if one.path}
        stages.append(_of_tree(paths))
    return Outcome(tuple(stages), None)


def _of_tree(paths: AbstractSet[str]) -> frozenset[str]:
    """Without the system's own libraries, the kernel's that is in no file, and the program."""
    return frozenset(path for path in paths if not path.startswith(("..", "linux-vdso")) and path != "program")


def test_kgen_takes_what_the_loader_takes(
    programs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lib = search.loader(search._LOADERS[search.X86_64]).lib
    outcomes = []
    for seed in range(_TREES):
        root = (tmp_path / str(seed)).resolve()
        root.mkdir()
        tree = Tree(root, seed, lib)
        tree.fill()
        start = tree.start(programs)
        monkeypatch.chdir(root)
        wanted = judged(start, root)
        assert foretold(start, root) == wanted, (seed, start)
        outcomes.append(wanted)
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(root)
    # the trees are worth their time: most maps something of them, and many a one ends in a failure
    mapped = sum(any(one.stages[1:]) for one in outcomes)
    failed = sum(one.failure is not None for one in outcomes)
    assert mapped > _TREES / 4, mapped
    assert failed > _TREES / 10, failed
