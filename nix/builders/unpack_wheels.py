"""The builder of unpacked wheels: each laid out as an installer would, all but what depends on where the venv is.

A wheel has below `$out`, or below its folder there that `$wheels` names, `site` (what goes into site-packages), `bin`
(scripts as they are in the wheel), `data`, `headers`, and `scripts.json` (the scripts that entry points ask for).
Modules are byte-compiled, but for tests. Its arguments are in the environment, put there by installed.nix. Needs a
CPython and its standard library only.
"""

from __future__ import annotations

import csv
import gc
import importlib.util
import json
import marshal
import mmap
import os
import re
import shutil
import sys
import warnings
import zipfile

TYPE_CHECKING = False  # as `typing` has it, without importing it for every wheel
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn, TypedDict

    Placed = tuple[str, zipfile.ZipInfo]
    """Where a member of the archive goes, and the member."""
    Portion = tuple["_Wheel", list[Placed]]

    class Described(TypedDict):
        """A wheel in the arguments."""

        wheel: str
        project: str
        size: int | None
        folder: str


SCHEMES = {"purelib": "site", "platlib": "site", "scripts": "bin", "data": "data", "headers": "headers"}
EXECUTABLE = 0o111
CHUNK = 1 << 20
# what a file costs, in bytes that are unpacked in the same time: one that is there at all, and each byte of a module
COST_OF_FILE = 50_000
COST_OF_COMPILING = 60
PORTION = 64_000_000
UNCHECKED_HASH = 0b01
# Tests that packages bring along, a quarter of all that there is to compile. Nobody imports them but who runs them, and
# then Python compiles them in memory. A module that is called `test_…` may be one for writing tests, and frameworks
# import theirs at their start.
TESTS = re.compile(r"(?:.*/)?tests/.*|.*_test\.py|(?:.*/)?conftest\.py")


def main(given: dict[str, str]) -> None:
    """Unpack the wheels that the environment describes to `$out`.

    `$wheels` is a list as JSON: `wheel` is the file, `project` its project, `size` its bytes by the lock or null, and
    `folder` its place below `$out`, which is `$out` itself where there is none.
    """
    wheels = [_Wheel(described, given["out"]) for described in json.loads(given["wheels"])]
    portions = [(wheel, portion) for wheel in wheels for portion in _portions(wheel.places.items())]
    portions.sort(key=lambda one: _cost(one[1]), reverse=True)
    _in_processes(lambda one: _extract(*one), portions, _cores(given["NIX_BUILD_CORES"]))
    for wheel in wheels:
        wheel.finish(given["minor"])


class _Wheel:
    """A wheel on its way into the store.

    Attributes:
        name: what its file is called.
        archive: the file, opened.
        out: where it is unpacked to; its folders are there.
        places: what goes where, relative to `out`.
    """

    def __init__(self, described: Described, out: str) -> None:
        wheel = described["wheel"]
        # the store's name of the file begins with a hash that says nothing to anybody
        self.name = os.path.basename(wheel).partition("-")[2]
        self.out = os.path.join(out, described["folder"]) if described["folder"] else out
        self._project = described["project"]
        size = os.path.getsize(wheel)
        if described["size"] is not None and size != described["size"]:
            _fail(self.name, f"has {size} bytes, and the lock says {described['size']}")
        try:
            self.archive = _open(wheel)
        except zipfile.BadZipFile as error:
            _fail(self.name, f"is not a zip file: {error}")
        members = [member for member in self.archive.infolist() if not member.is_dir()]
        self._info = _dist_info([member.filename for member in members], self.name)
        # of two members for one place the last stays
        self.places = {_place(member.filename, self._info, self.name): member for member in members}
        _make_folders(self.out, self.places)

    def finish(self, minor: str) -> None:
        """Write what is not a member of the archive, once all of them are there."""
        info = os.path.join(self.out, "site", self._info)
        scripts = _entry_points(os.path.join(info, "entry_points.txt"), self.name)
        with open(os.path.join(self.out, "scripts.json"), "w", encoding="utf-8") as file:
            json.dump(scripts, file, indent=1)
        with open(os.path.join(info, "INSTALLER"), "w", encoding="utf-8") as file:
            file.write("kgen\n")
        _rewrite_record(os.path.join(info, "RECORD"), self._info, scripts, f"python{minor}/{self._project}")


class _Mapped(mmap.mmap):
    """A file that forked processes read without moving each other's position."""

    def seekable(self) -> bool:
        """As files have it, and memory maps only from Python 3.13 on."""
        return True


def _open(wheel: str) -> zipfile.ZipFile:
    if os.path.getsize(wheel) == 0:
        raise zipfile.BadZipFile("it is empty")
    with open(wheel, "rb") as file:
        mapped = _Mapped(file.fileno(), 0, access=mmap.ACCESS_READ)
    archive: zipfile.ZipFile = zipfile.ZipFile(mapped)  # type: ignore[call-overload] # `seek` returns nothing
    return archive


def _cores(text: str) -> int:
    """How many processes Nix lets this builder have; its 0 is all there are."""
    return int(text) or os.cpu_count() or 1


def _dist_info(names: list[str], wheel: str) -> str:
    found = {name.partition("/")[0] for name in names if re.fullmatch(r"[^/]+\.dist-info/WHEEL", name)}
    if len(found) != 1:
        _fail(wheel, f"has not one `.dist-info` folder but {len(found)}")
    return found.pop()


def _place(member: str, info: str, wheel: str) -> str:
    """Where a member of the archive goes, relative to `$out`."""
    parts = member.split("/")
    if member.startswith("/") or "\\" in member or {"", ".", ".."} & set(parts):
        _fail(wheel, f"holds a file whose path leads out of it: {member!r}")
    if parts[0] != _data_folder(info):
        return os.path.join("site", *parts)
    if len(parts) < 3 or parts[1] not in SCHEMES:  # noqa: PLR2004 - folder, scheme, and something in it
        _fail(wheel, f"holds {member!r}, and there is no such place in an installation")
    return os.path.join(SCHEMES[parts[1]], *parts[2:])


def _data_folder(info: str) -> str:
    return info[: -len(".dist-info")] + ".data"


def _is_compiled(place: str) -> bool:
    return place.endswith(".py") and place.startswith("site" + os.sep) and TESTS.fullmatch(place) is None


def _make_folders(out: str, places: Iterable[str]) -> None:
    folders = {os.path.dirname(place) for place in places}
    folders |= {os.path.dirname(importlib.util.cache_from_source(place)) for place in places if _is_compiled(place)}
    for folder in sorted(folders):
        os.makedirs(os.path.join(out, folder), exist_ok=True)


def _cost(portion: Iterable[Placed]) -> int:
    return sum(
        COST_OF_FILE + member.file_size * (COST_OF_COMPILING if _is_compiled(place) else 1) for place, member in portion
    )


def _portions(places: Iterable[Placed]) -> list[list[Placed]]:
    """The members in portions that depend on nothing but the archive."""
    portions: list[list[Placed]] = [[]]
    cost = 0
    for placed in places:
        if cost >= PORTION:
            portions.append([])
            cost = 0
        portions[-1].append(placed)
        cost += _cost([placed])
    return portions


def _in_processes(work: Callable[[Portion], None], portions: Iterable[Portion], cores: int) -> None:
    """Do the work on each portion in a process of its own, so many at a time, in this order.

    Compiled code tells a little of what its process did before. Each process begins where this one is, so that it is
    the same on every machine, however many cores that has.
    """
    running = 0
    failed = False
    for portion in portions:
        if running == cores:
            failed |= os.wait()[1] != 0
            running -= 1
        if os.fork() == 0:
            try:
                work(portion)
            except BaseException as error:  # noqa: BLE001 - whatever it is: this process must not go on as the other
                sys.stderr.write(f"{error}\n")
                os._exit(1)
            os._exit(0)
        running += 1
    for _ in range(running):
        failed |= os.wait()[1] != 0
    if failed:
        sys.exit(1)


def _extract(wheel: _Wheel, portion: list[Placed]) -> None:
    """Write members of a wheel and compile the modules among them."""
    warnings.simplefilter("ignore")
    gc.disable()  # the process ends before it would pay
    for place, member in portion:
        target = os.path.join(wheel.out, place)
        try:
            if _is_compiled(place):
                content = wheel.archive.read(member)
                with open(target, "wb") as file:
                    file.write(content)
                _compile(content, target, place[len("site" + os.sep) :])
            else:
                with wheel.archive.open(member) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file, CHUNK)
        except zipfile.BadZipFile as error:
            _fail(wheel.name, f"is damaged: {error}")
        # what zipfile extracts by itself has lost this bit, and programs inside of packages (ptxas) need it
        if member.external_attr >> 16 & EXECUTABLE or place.startswith("bin" + os.sep):
            os.chmod(target, 0o755)  # noqa: S103 - as every store has it


def _compile(content: bytes, path: str, shown: str) -> None:
    """Write a module's compiled form beside it, as PEP 552 lays it out for files that do not change."""
    try:
        # the path that tracebacks show is put right at import; what is in the file must not depend on the store
        code = compile(content, shown, "exec", dont_inherit=True)
    except Exception:  # noqa: BLE001 - a package may hold templates that are no modules; installers pass over them too
        return
    with open(importlib.util.cache_from_source(path), "wb") as file:
        # every file in a store is of the same second: a time would tell nothing
        file.write(importlib.util.MAGIC_NUMBER + UNCHECKED_HASH.to_bytes(4, "little"))
        file.write(importlib.util.source_hash(content) + marshal.dumps(code))


def _entry_points(path: str, wheel: str) -> dict[str, str]:
    """The scripts that entry points ask for: name -> `module:object`."""
    if not os.path.exists(path):
        return {}
    import configparser  # noqa: PLC0415 - takes as long as all else, and few wheels have scripts

    parser = configparser.RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # names keep their case
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        _fail(wheel, f"has entry points that cannot be read: {error}")
    scripts = {}
    for section in ("console_scripts", "gui_scripts"):
        for name, value in parser.items(section) if parser.has_section(section) else ():
            # extras, which nobody reads any more, may follow in brackets
            target = re.sub(r"\s|\[.*\]\s*$", "", value)
            if not re.fullmatch(r"[\w.+-]+", name) or not re.fullmatch(r"[\w.]+:[\w.]+", target):
                _fail(wheel, f"has an entry point that is none: {name} = {value}")
            scripts[name] = target
    return scripts


def _rewrite_record(path: str, info: str, scripts: dict[str, str], headers: str) -> None:
    """Make the list of the wheel's files say where they are installed; whoever reads the metadata asks it."""
    up = "../../.."
    places = {
        "purelib": "",
        "platlib": "",
        "scripts": f"{up}/bin/",
        "data": f"{up}/",
        "headers": f"{up}/include/site/{headers}/",
    }
    rows = []
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            folder, _, rest = row[0].partition("/")
            scheme, _, inside = rest.partition("/")
            if folder == _data_folder(info):
                # a script is changed once more where it is installed
                rows.append([places[scheme] + inside, *(["", ""] if scheme == "scripts" else row[1:])])
            elif row[0] != f"{info}/RECORD":
                rows.append(row)
    rows += [[f"{up}/bin/{name}", "", ""] for name in scripts]
    rows += [[f"{info}/INSTALLER", "", ""], [f"{info}/RECORD", "", ""]]
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _fail(wheel: str, what: str) -> NoReturn:
    sys.exit(f"kgen: the wheel {wheel} {what}")


if __name__ == "__main__":
    main(dict(os.environ))
