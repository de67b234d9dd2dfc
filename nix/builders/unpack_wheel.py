"""The builder of one wheel, unpacked: laid out as an installer would, all but what depends on where the venv is.

Below `$out` are `site` (what goes into site-packages), `bin` (scripts as they are in the wheel), `data`, `headers`, and
`scripts.json` (the scripts that entry points ask for). Modules are byte-compiled. Its arguments are in the environment,
put there by mk-venv.nix. Needs a CPython and its standard library only.
"""

import compileall
import configparser
import csv
import json
import os
import py_compile
import re
import sys
import zipfile
from typing import Dict, List, NoReturn

SCHEMES = {"purelib": "site", "platlib": "site", "scripts": "bin", "data": "data", "headers": "headers"}
EXECUTABLE = 0o111
CHUNK = 1 << 20


def main(given: Dict[str, str]) -> None:
    """Unpack the wheel that the environment describes to `$out`."""
    wheel, out = given["wheel"], given["out"]
    # the store's name of the file begins with a hash that says nothing to anybody
    name = os.path.basename(wheel).partition("-")[2]
    size = os.path.getsize(wheel)
    if given["size"] and size != int(given["size"]):
        _fail(name, f"has {size} bytes, and the lock says {given['size']}")
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = _dist_info(archive.namelist(), name)
            for member in archive.infolist():
                if not member.is_dir():
                    _extract(archive, member, _place(member.filename, info, name), out)
    except zipfile.BadZipFile as error:
        _fail(name, f"is no zip file: {error}")
    site = os.path.join(out, "site")
    scripts = _entry_points(os.path.join(site, info, "entry_points.txt"), name)
    with open(os.path.join(out, "scripts.json"), "w", encoding="utf-8") as file:
        json.dump(scripts, file, indent=1)
    with open(os.path.join(site, info, "INSTALLER"), "w", encoding="utf-8") as file:
        file.write("kgen\n")
    _rewrite_record(os.path.join(site, info, "RECORD"), info, scripts, given)
    compileall.compile_dir(
        site,
        maxlevels=100,
        quiet=2,  # a package may hold templates that are no modules; installers pass over them too
        # the path that tracebacks show is put right at import; what is in the file must not depend on the store
        stripdir=site,
        # every file in a store is of the same second: a time would tell nothing, and the store does not change
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        workers=_cores(given.get("NIX_BUILD_CORES", "1")),
    )


def _cores(text: str) -> int:
    """How many processes Nix lets this builder have; its 0 is all there are."""
    return int(text) or os.cpu_count() or 1


def _dist_info(names: List[str], wheel: str) -> str:
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


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str, out: str) -> None:
    target = os.path.join(out, place)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with archive.open(member) as source, open(target, "wb") as file:
        for chunk in iter(lambda: source.read(CHUNK), b""):
            file.write(chunk)
    # what zipfile extracts by itself has lost this bit, and programs inside of packages (ptxas) need it
    if member.external_attr >> 16 & EXECUTABLE or place.startswith("bin" + os.sep):
        os.chmod(target, 0o755)


def _entry_points(path: str, wheel: str) -> Dict[str, str]:
    """The scripts that entry points ask for: name -> `module:object`."""
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


def _rewrite_record(path: str, info: str, scripts: Dict[str, str], given: Dict[str, str]) -> None:
    """Make the list of the wheel's files say where they are installed; whoever reads the metadata asks it."""
    up = "../../.."
    places = {
        "purelib": "",
        "platlib": "",
        "scripts": f"{up}/bin/",
        "data": f"{up}/",
        "headers": f"{up}/include/site/python{given['minor']}/{given['project']}/",
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
