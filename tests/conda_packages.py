"""Small packages of conda, built here: a CPython of this machine, and fakes with the metadata of the real ones."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import shutil
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path, PurePath

from conda_package_streaming.create import conda_builder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


def tag_of(minor: str) -> str:
    """What a build for a Python begins with, as `py312`."""
    return f"py{minor.replace('.', '')}"


TAG = tag_of(MINOR)
_DAY = 1_790_000_000_000
"""When everything was published, in milliseconds: 2026-09-21."""

_LEFT_OUT = frozenset(
    {"test", "tests", "site-packages", "__pycache__", "idlelib", "tkinter", "turtledemo", "ensurepip"}
)


@dataclass(kw_only=True)
class Channel:
    """A channel in a folder.

    Attributes:
        folder: the folder.
        records: subdir -> file name -> record, as they are indexed.
    """

    folder: Path
    records: dict[str, dict[str, dict[str, object]]] = field(default_factory=lambda: {"noarch": {}, "linux-64": {}})

    def add(
        self,
        name: str,
        version: str,
        build: str = "0",
        *,
        depends: Sequence[str] = (),
        constrains: Sequence[str] = (),
        files: Mapping[str, bytes] | None = None,
        prefix: Path | None = None,
        subdir: str = "linux-64",
        timestamp: int = _DAY,
    ) -> Path:
        """Build a package and put it into the channel; noarch is for Python."""
        number = int(tail) if (tail := build.rpartition("_")[2]).isdecimal() else 0
        index = {
            "name": name,
            "version": version,
            "build": build,
            "build_number": number,
            "depends": list(depends),
            "constrains": list(constrains),
            "subdir": subdir,
            "timestamp": timestamp,
            "license": "MIT",
            **({"noarch": "python"} if subdir == "noarch" else {}),
        }
        place = self.folder / subdir
        place.mkdir(parents=True, exist_ok=True)
        stem = f"{name}-{version}-{build}"
        _build(place, stem, index, files or {}, prefix)
        path = place / f"{stem}.conda"
        content = path.read_bytes()
        hashes = {"md5": hashlib.md5(content).hexdigest(), "sha256": hashlib.sha256(content).hexdigest()}
        self.records.setdefault(subdir, {})[path.name] = {**index, **hashes, "size": len(content)}
        return path

    def add_python(self, minor: str | None = None, *, managed: bool = False) -> None:
        """Build packages of the interpreter that is at work here, or with nothing in them for this minor.

        Args:
            minor: the minor; None for the interpreter here.
            managed: whether conda marks the interpreter as managed (PEP 668), against pip.
        """
        version = ".".join(map(str, sys.version_info[:3])) if minor is None else f"{minor}.0"
        prefix = Path(sys.base_prefix).resolve() if minor is None else None
        files = {} if prefix is None else _site(prefix, managed=managed)
        self.add("python", version, "h0_0_cpython", depends=["python_abi"], files=files, prefix=prefix)
        minor = minor or MINOR
        self.add("python_abi", minor, f"0_{_abi(minor)}", subdir="noarch", constrains=[f"python {minor}.*"])

    def add_installed(self, names: Sequence[str]) -> None:
        """Build packages of distributions that are installed here, and of all that they require."""
        waiting, done = [canonicalize_name(name) for name in names], set[str]()
        while waiting:
            name = waiting.pop()
            if name in done:
                continue
            done.add(name)
            found = metadata.distribution(name)
            needs = [
                one
                for one in map(Requirement, found.requires or ())
                if one.marker is None or one.marker.evaluate({"extra": ""})
            ]
            waiting += [canonicalize_name(one.name) for one in needs]
            files = {_place_of(path): Path(str(found.locate_file(path))) for path in found.files or ()}
            depends = ["python", *(f"{canonicalize_name(one.name)} {one.specifier}".strip() for one in needs)]
            content = {
                place: path.read_bytes()
                for place, path in files.items()
                if path.is_file() and "__pycache__" not in path.parts
            }
            self.add(name, found.version, subdir="noarch", depends=depends, files=content)

    def copy(self, folder: Path) -> Channel:
        """The same channel in another folder, to be changed."""
        shutil.copytree(self.folder, folder)
        return Channel(folder=folder, records=copy.deepcopy(self.records))

    def index(self) -> None:
        """Write what the channel has."""
        for subdir, rows in self.records.items():
            data = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": rows, "repodata_version": 1}
            (self.folder / subdir).mkdir(parents=True, exist_ok=True)
            (self.folder / subdir / "repodata.json").write_text(json.dumps(data), encoding="utf-8")


def _build(
    place: Path, stem: str, index: Mapping[str, object], files: Mapping[str, bytes], prefix: Path | None
) -> None:
    paths = []
    with conda_builder(stem, str(place), compression_level=3) as builder:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755 if name.startswith("bin/") else 0o644
            builder.addfile(member, io.BytesIO(content))
            paths.append(_path(name, content))
        for path in interpreter_files(prefix) if prefix else ():
            name = path.relative_to(prefix).as_posix() if prefix else ""
            builder.add(str(path), arcname=name, recursive=False)
            content = path.read_bytes()
            paths.append({**_path(name, content), "path_type": "softlink" if path.is_symlink() else "hardlink"})
        for name in ("bin/python", "bin/python3") if prefix else ():
            if name not in {path["_path"] for path in paths}:  # Debian's own has no `python`
                member = tarfile.TarInfo(name)
                member.type, member.linkname = tarfile.SYMTYPE, f"python{MINOR}"
                builder.addfile(member)
                content = Path(str(prefix), f"bin/python{MINOR}").read_bytes()
                paths.append({**_path(name, content), "path_type": "softlink"})
        info = {
            "info/index.json": json.dumps(index),
            "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
            "info/files": "".join(f"{path['_path']}\n" for path in paths),
            "info/about.json": "{}",
            **(
                {"info/link.json": json.dumps({"noarch": {"type": "python"}, "package_metadata_version": 1})}
                if index["subdir"] == "noarch"
                else {}
            ),
        }
        for name, text in info.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            builder.addfile(member, io.BytesIO(text.encode()))


def _abi(minor: str) -> str:
    return f"cp{minor.replace('.', '')}"


def _place_of(path: PurePath) -> str:
    """Where a package that serves any Python has a file that is installed here; programs are beside the packages."""
    inside = path.as_posix().lstrip("./")
    return inside if path.parts[0] == ".." else f"site-packages/{inside}"


def _path(name: str, content: bytes) -> dict[str, object]:
    return {
        "_path": name,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_in_bytes": len(content),
    }


def interpreter_files(prefix: Path) -> list[Path]:
    """The files of an interpreter and its standard library, without what no test needs."""
    found = [prefix / "bin" / name for name in ("python", "python3", f"python{MINOR}")]
    found += [path for path in (prefix / "lib").glob("libpython*.so*") if path.is_file()]
    library = prefix / "lib" / f"python{MINOR}"
    for path in sorted(library.rglob("*")):
        parts = path.relative_to(library).parts
        if path.name in {"sitecustomize.py", _MANAGED}:  # of this system, and not of the interpreter
            continue
        if path.is_file() and not _LEFT_OUT.intersection(parts) and not parts[0].startswith("config-"):
            found.append(path)
    return [path for path in found if path.exists()]


_MANAGED = "EXTERNALLY-MANAGED"
_SITE = b"""\
import site, sys, sysconfig
for scheme in {"posix_local", "deb_system"} & {*sysconfig.get_scheme_names()}:
    sysconfig._INSTALL_SCHEMES[scheme] = sysconfig._INSTALL_SCHEMES["posix_prefix"]
site.addsitedir("%s/lib/python%d.%d/site-packages" % (sys.prefix, *sys.version_info[:2]))
"""


def _site(prefix: Path, *, managed: bool) -> dict[str, bytes]:
    """What makes an interpreter use conda's folders, where Debian's own uses others; and the mark of a managed one."""
    library = f"lib/python{MINOR}"
    patched = "dist-packages" in (prefix / library / "site.py").read_text(encoding="utf-8")
    mark = b"[externally-managed]\nError=conda manages this environment.\n"
    found = {f"{library}/sitecustomize.py": _SITE} if patched else {}
    return {**found, f"{library}/{_MANAGED}": mark} if managed else found


_KERAS = b"""\
import os
__version__ = "3.15.0"
def backend():
    return os.environ.get("KERAS_BACKEND", "tensorflow")
"""


def _dist_info(name: str, version: str) -> dict[str, bytes]:
    folder = f"site-packages/{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    return {f"{folder}/METADATA": metadata, f"{folder}/INSTALLER": b"conda"}


def small_channel(folder: Path, minor: str | None = None) -> Channel:
    """A channel with a real CPython, and fakes of Keras and its frameworks for the CPU, CUDA 12 and CUDA 13.

    Args:
        folder: where it is made.
        minor: for which Python, of which nothing but the name is there; None for the one at work here, whole.
    """
    channel = Channel(folder=folder)
    channel.add_python(minor, managed=True)
    minor = minor or MINOR
    abi, tag = _abi(minor), tag_of(minor)
    setuptools = {"site-packages/setuptools/__init__.py": b"", **_dist_info("setuptools", "80.0")}
    channel.add("setuptools", "80.0", subdir="noarch", depends=["python"], files=setuptools)
    pip = {"site-packages/pip/__init__.py": b"", **_dist_info("pip", "26.0")}
    channel.add("pip", "26.0", subdir="noarch", depends=["python", "setuptools"], files=pip)
    numpy = {f"lib/python{minor}/site-packages/numpy/__init__.py": b"__version__ = '2.3.0'\n"}
    channel.add("numpy", "2.3.0", f"{tag}_0", depends=["python", f"python_abi {minor}.* *_{abi}"], files=numpy)
    scipy = {f"lib/python{minor}/site-packages/scipy/__init__.py": b"__version__ = '1.18.0'\n"}
    needs = ["python", "numpy >=2", f"python_abi {minor}.* *_{abi}"]
    channel.add("scipy", "1.18.0", f"{tag}_0", depends=needs, files=scipy)
    for keras, content in (("2.12.0", b""), ("3.15.0", _KERAS)):
        files = {"site-packages/keras/__init__.py": content, **_dist_info("keras", keras)}
        limits = ["pytorch >=2.6.0", "tensorflow >=2.18.0", "jax >=0.5.0"] if keras >= "3" else []
        channel.add("keras", keras, subdir="noarch", depends=["python >=3.9"], constrains=limits, files=files)
    for cuda in ("12.6", "12.9", "13.0"):
        channel.add("cuda-version", cuda, "h0_3", subdir="noarch", constrains=[f"__cuda >={cuda.partition('.')[0]}"])
    channel.add("libcudnn", "9.13.1.26", "h0_0", depends=["__glibc >=2.28,<3.0.a0", "cuda-version >=12,<13.0a0"])
    channel.add("libcudnn", "9.20.0.48", "h0_0", depends=["__glibc >=2.28,<3.0.a0", "cuda-version >=13,<14.0a0"])
    site = f"lib/python{minor}/site-packages"
    for name, version in (("jaxlib", "0.9.2"), ("pytorch", "2.12.0")):
        module = name.replace("pytorch", "torch")
        for build, for_cuda in ((f"cpu_{tag}_0", False), (f"cuda129_{tag}_200", True)):
            needs = ["python", "numpy", "__glibc >=2.17,<3.0.a0"]
            if for_cuda:
                needs += ["__cuda", "cuda-version >=12.9,<13", "libcudnn >=9.10,<10.0a0"]
            files = {f"{site}/{module}/__init__.py": f"build = {build!r}\n".encode()}
            channel.add(name, version, build, depends=needs, files=files)
    jax = {"site-packages/jax/__init__.py": b"import jaxlib\n", **_dist_info("jax", "0.9.2")}
    channel.add("jax", "0.9.2", "pyhd_0", subdir="noarch", depends=["python", "jaxlib >=0.9.2,<=0.9.2"], files=jax)
    needs = ["python", "__cuda", "cuda-version >=13.0,<14", "libcudnn >=9.20,<10.0a0"]
    channel.add("pytorch", "2.12.0", f"cuda130_{tag}_200", depends=needs)
    channel.index()
    return channel
