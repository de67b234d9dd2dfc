"""The builder of an environment: a virtual environment made of links into unpacked wheels.

Folders are real and files are links: a library that looks for another beside itself ($ORIGIN/../..) finds it, whichever
wheel it is of. What must know where the environment is (scripts), or is told by the kernel where it really lies
(programs), is copied. Its arguments are in the environment, put there by mk-venv.nix. Needs a CPython and its standard
library only.
"""

from __future__ import annotations

import filecmp
import json
import os
import py_compile
import re
import shutil
import struct
import sys
from typing import BinaryIO, NamedTuple

INTERPRETER = "the interpreter"
PRELOAD = "_kgen_preload"
PROJECT = "_kgen_project"
VARIABLES = "_kgen_environment"
SHOWN = 20
ELF_HEADER = 64
ELF_64_BITS = 2
ET_EXEC = 2
PT_INTERP = 3
SCRIPT = """\
#!{python}
import sys
from {module} import {first}
sys.exit({attribute}())
"""


class Venv:
    """An environment in the making: who owns each of its paths, and what two want to own."""

    def __init__(self, root: str, interpreter: str, minor: str, loader: str = "") -> None:
        self.root = root
        self.loader = loader
        self.python = f"{root}/bin/python"
        self.site = f"lib/python{minor}/site-packages"
        self.include = f"include/site/python{minor}"
        self.conflicts: list[str] = []
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {"": INTERPRETER}
        self._linked: dict[str, str] = {}
        os.mkdir(root)
        # beside pyvenv.cfg and not resolved: that is how a Python knows that it is in an environment
        for name, target in (("python", interpreter), ("python3", "python"), (f"python{minor}", "python")):
            self._claim(f"bin/{name}", INTERPRETER)
            os.symlink(target, f"{root}/bin/{name}")
        settings = f"home = {os.path.dirname(interpreter)}\ninclude-system-site-packages = false\nversion = {minor}\n"
        self.write("pyvenv.cfg", settings, INTERPRETER)

    def write(self, path: str, text: str, owner: str, mode: int = 0o644) -> None:
        """Write a file that belongs to this environment alone."""
        content = text.encode("utf-8", "surrogateescape")
        target = f"{self.root}/{path}"
        other = self._claim(path, owner)
        if other is None:
            with open(target, "wb") as file:
                file.write(content)
            os.chmod(target, mode)
        elif not os.path.isfile(target) or open(target, "rb").read() != content:  # noqa: SIM115 - ends soon
            self._conflict(path, owner, other)

    def add(self, source: str, path: str, owner: str) -> None:
        """Put a file of a wheel in its place."""
        target = f"{self.root}/{path}"
        other = self._claim(path, owner)
        if other is not None:
            if not os.path.isfile(target) or not filecmp.cmp(source, target, shallow=False):
                self._conflict(path, owner, other)
        elif os.access(source, os.X_OK) and is_program(source):
            shutil.copy(source, target)
            if self.loader:
                set_loader(target, self.loader)
        else:
            os.symlink(source, target)

    def add_folder(self, source: str, path: str, owner: str) -> bool:
        """Put a folder of a wheel in its place, as one link for as long as it is this wheel's alone; if it is."""
        if self._claim(path, owner) is not None:
            return False
        self._folders[path] = self._files.pop(path)
        self._linked[path] = source
        os.symlink(source, f"{self.root}/{path}")
        return True

    def _claim(self, path: str, owner: str) -> str | None:
        """Whoever has the path already; None if it is this owner's from now on, and its folder is there."""
        other = self._open(path.rpartition("/")[0], owner) or self._files.get(path) or self._folders.get(path)
        if other is None:
            self._files[path] = owner
        return other

    def _open(self, folder: str, owner: str) -> str | None:
        """See to it that a folder is there; who has a file where it should be."""
        if folder in self._linked:
            self._unfold(folder)
        if folder in self._folders:
            return None
        other = self._files.get(folder) or self._open(folder.rpartition("/")[0], owner)
        if other is None:
            self._folders[folder] = owner
            os.mkdir(f"{self.root}/{folder}")
        return other

    def _unfold(self, folder: str) -> None:
        """Make a folder of the link to one, now that it is not one wheel's alone."""
        source, owner = self._linked.pop(folder), self._folders[folder]
        os.unlink(f"{self.root}/{folder}")
        os.mkdir(f"{self.root}/{folder}")
        for name in sorted(os.listdir(source)):
            self.add(f"{source}/{name}", f"{folder}/{name}", owner)

    def _conflict(self, path: str, owner: str, other: str) -> None:
        # the compiled form of a module differs wherever the module does
        if "/__pycache__/" not in path:
            self.conflicts.append(f"{path}: in {other} and in {owner}")


def is_program(path: str) -> bool:
    """Whether an ELF file can be run by itself: it is of type EXEC, or names its own loader."""
    with open(path, "rb") as file:
        kind, headers = _headers(file)
    return kind == ET_EXEC or any(header.kind == PT_INTERP for header in headers)


class _Header(NamedTuple):
    """A program header of an ELF file: where it is, what it is of, and how integers in it are written."""

    place: int
    kind: int
    order: str


def _headers(file: BinaryIO) -> tuple[int, list[_Header]]:
    """The type of an ELF file of 64 bits and its program headers; of any other file none."""
    head = file.read(ELF_HEADER)
    if len(head) < ELF_HEADER or head[:4] != b"\x7fELF" or head[4] != ELF_64_BITS:
        return 0, []
    order = "<" if head[5] == 1 else ">"
    kind, start, size, count = struct.unpack(f"{order}16xH14xQ14xHH6x", head)
    file.seek(start)
    table = file.read(size * count)
    places = range(0, len(table), size) if size else ()
    kinds = ((at, found) for at in places for found in struct.unpack_from(f"{order}I", table, at))
    return kind, [_Header(start + at, found, order) for at, found in kinds]


def set_loader(path: str, loader: str) -> None:
    """Have a program be loaded by this loader, if it asks for one of that name by another path, as systems have it.

    The kernel reads the path from the file, wherever in it the header says that it is: a longer one comes to the end,
    and nothing else in the file moves.
    """
    with open(path, "r+b") as file:
        for header in _headers(file)[1]:
            if header.kind != PT_INTERP:
                continue
            file.seek(header.place + 8)
            (offset,) = struct.unpack(f"{header.order}Q", file.read(8))
            file.seek(header.place + 32)
            (size,) = struct.unpack(f"{header.order}Q", file.read(8))
            file.seek(offset)
            asked = file.read(size).rstrip(b"\0").decode("utf-8", "surrogateescape")
            if asked == loader or os.path.basename(asked) != os.path.basename(loader):
                return
            text = os.fsencode(loader) + b"\0"
            end = file.seek(0, os.SEEK_END)
            file.write(text)
            file.seek(header.place + 8)
            file.write(struct.pack(f"{header.order}Q", end))
            file.seek(header.place + 32)
            file.write(struct.pack(f"{header.order}Q", len(text)))
            return


def add_wheel(venv: Venv, wheel: dict[str, str]) -> None:
    """Put an unpacked wheel into the environment."""
    place, owner = wheel["path"], wheel["owner"]
    targets = {"site": venv.site, "data": "", "headers": f"{venv.include}/{wheel['project']}", "bin": "bin"}
    for part, target in targets.items():
        root = f"{place}/{part}"
        for folder, folders, files in os.walk(root):
            folders.sort()
            prefix = (target + folder[len(root) :]).lstrip("/")
            if _is_compiled(prefix, folders, files, venv) and venv.add_folder(folder, prefix, owner):
                continue
            for name in sorted(files):
                path = f"{prefix}/{name}" if prefix else name
                if part != "bin" or not _add_script(venv, f"{folder}/{name}", path, owner):
                    venv.add(f"{folder}/{name}", path, owner)
    for name, text in _entry_scripts(place, venv.python):
        venv.write(f"bin/{name}", text, owner, mode=0o755)


def _entry_scripts(place: str, python: str) -> list[tuple[str, str]]:
    """The scripts that an unpacked wheel's entry points ask for, by their names."""
    with open(f"{place}/scripts.json", encoding="utf-8") as file:
        scripts: dict[str, str] = json.load(file)
    found = []
    for name, value in scripts.items():
        module, _, attribute = value.partition(":")
        first = attribute.partition(".")[0]
        found.append((name, SCRIPT.format(python=python, module=module, first=first, attribute=attribute)))
    return found


def _is_compiled(path: str, folders: list[str], files: list[str], venv: Venv) -> bool:
    """Whether a folder holds compiled modules and nothing else, and is not that of site-packages, which is everybody's.

    Nobody looks for anything relative to such a folder, so that it may be a link; and half of all files are in them.
    """
    return (
        path.endswith("/__pycache__")
        and path != f"{venv.site}/__pycache__"
        and not folders
        and all(name.endswith(".pyc") for name in files)
    )


def _add_script(venv: Venv, source: str, path: str, owner: str) -> bool:
    """Whether it is a script for whatever Python it is installed for; if so it gets this one's."""
    text = _script(source, venv.python)
    if text is None:
        return False
    venv.write(path, text, owner, mode=0o755)
    return True


def _script(source: str, python: str) -> str | None:
    """A script for whatever Python it is installed for, as one of this Python; None for anything else."""
    with open(source, "rb") as file:
        asked = re.match(rb"#!pythonw?([ \t][^\r\n]*)?\r?\n", file.readline())
        if asked is None:
            return None
        rest = file.read().decode("utf-8", "surrogateescape")
    flags = (asked[1] or b"").decode("utf-8", "surrogateescape").rstrip()
    return f"#!{python}{flags}\n{rest}"


def main(given: dict[str, str]) -> None:
    """Make the environment, or the editable project, that the process's environment describes in `$out`."""
    if "editable" in given:
        _link_project(given["editable"], given["python"], given["out"])
        return
    venv = Venv(given["out"], given["interpreter"], given["minor"], given.get("loader", ""))
    for wheel in json.loads(given["wheels"]):
        add_wheel(venv, wheel)
    if given["preload"]:
        _add_preload(venv, given)
    if given.get("project"):
        _add_module(venv, given["project"], PROJECT)
        venv.write(f"{venv.site}/{PROJECT}.pth", f"import {PROJECT}; {PROJECT}.install()\n", "kgen")
    variables = json.loads(given.get("variables", "{}"))
    if variables:
        _add_variables(venv, variables)
    if venv.conflicts:
        _fail(given["environment"], venv.conflicts)


def _link_project(place: str, python: str, out: str) -> None:
    """Make of an unpacked editable wheel its metadata in `site` and its programs in `bin`, for another environment."""
    os.makedirs(f"{out}/bin")
    os.symlink(f"{place}/site", f"{out}/site")
    for name in sorted(os.listdir(f"{place}/bin")) if os.path.isdir(f"{place}/bin") else ():
        text = _script(f"{place}/bin/{name}", python)
        if text is None:
            os.symlink(f"{place}/bin/{name}", f"{out}/bin/{name}")
        else:
            _write_script(f"{out}/bin/{name}", text)
    for name, text in _entry_scripts(place, python):
        _write_script(f"{out}/bin/{name}", text)


def _write_script(path: str, text: str) -> None:
    with open(path, "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    os.chmod(path, 0o755)  # noqa: S103 - as every store has it


def _add_preload(venv: Venv, given: dict[str, str]) -> None:
    """Have every Python of this environment call the module that loads libraries."""
    _add_module(venv, given["preload"], PRELOAD)
    # `site` runs this one line
    arguments = f"{given['libraries'].split()!r}, driver={given['driver'].split()!r}"
    venv.write(f"{venv.site}/{PRELOAD}.pth", f"import {PRELOAD}; {PRELOAD}.install({arguments})\n", "kgen")


def _add_module(venv: Venv, path: str, name: str) -> None:
    """Put a module of kgen's own into the environment, byte-compiled as the others are."""
    with open(path, encoding="utf-8") as file:
        venv.write(f"{venv.site}/{name}.py", file.read(), "kgen")
    py_compile.compile(
        f"{venv.root}/{venv.site}/{name}.py",
        dfile=f"{name}.py",
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _add_variables(venv: Venv, variables: dict[str, str]) -> None:
    """Have every Python of this environment select its backend, where the process's environment does not say one."""
    # `site` runs this one line
    setting = f"for name, value in {variables!r}.items(): os.environ.setdefault(name, value)"
    venv.write(f"{venv.site}/{VARIABLES}.pth", f"import os; exec({setting!r}, {{'os': os}})\n", "kgen")


def _fail(environment: str, conflicts: list[str]) -> None:
    lines = [f"kgen: {environment}: wheels own the same paths with different content"]
    lines += [f"  {conflict}" for conflict in conflicts[:SHOWN]]
    lines += [f"  and {len(conflicts) - SHOWN} more"] if len(conflicts) > SHOWN else []
    sys.exit("\n".join([*lines, "", "hint: `kgen lock` makes locks in which this does not happen"]))


if __name__ == "__main__":
    main(dict(os.environ))
