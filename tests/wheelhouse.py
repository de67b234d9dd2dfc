"""Tiny wheels, valid in every respect but that they hold next to nothing.

:class:`Wheelhouse` fabricates the wheels that the matrix speaks of: the same names, versions, tags, days and
requirements as the real ones, with the extras that bring the CUDA libraries, and beside them the ordinary
packages that the real ones need. A wheel is made when it is first asked for.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.matrix.records import Build, Release

PLATFORM = "linux-64"
_SYSTEMS = {
    "linux-64": "manylinux_{floor}_x86_64",
    "linux-aarch64": "manylinux_{floor}_aarch64",
    "osx-arm64": "macosx_{floor}_arm64",
}
_MACOS = Version("11.0")
_EXTRA = re.compile(r"extra == [\"']([^\"']+)[\"']")
_LONG_AGO = dt.date(2020, 1, 1)
_EPOCH = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel: what it says of itself, and the files that it owns."""

    name: str
    version: str
    tag: str = "py3-none-any"
    requires: tuple[str, ...] = ()
    requires_python: str | None = ">=3.9"
    files: Mapping[str, bytes] = field(default_factory=dict)
    uploaded: dt.date = _LONG_AGO
    headers: tuple[str, ...] = ()
    yanked: str | None = None
    """Why its maker has withdrawn it; None if it is not."""

    @property
    def stem(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}"

    @property
    def filename(self) -> str:
        return f"{self.stem}-{self.tag}.whl"

    @property
    def is_built(self) -> bool:
        """Whether it is a wheel indeed."""
        return True

    @property
    def metadata(self) -> bytes:
        lines = ["Metadata-Version: 2.1", f"Name: {self.name}", f"Version: {self.version}"]
        if self.requires_python is not None:
            lines.append(f"Requires-Python: {self.requires_python}")
        extras = dict.fromkeys(extra for text in self.requires for extra in _EXTRA.findall(text))
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        lines += [f"Requires-Dist: {text}" for text in self.requires]
        lines += self.headers
        return ("\n".join(lines) + "\n").encode()

    @functools.cached_property
    def content(self) -> bytes:
        module = self.name.replace("-", "_")
        tags = "".join(f"Tag: {tag}\n" for tag in _expanded(self.tag))
        pure = "true" if self.tag.endswith("-any") else "false"
        info = f"{self.stem}.dist-info"
        files = {
            **(self.files or {f"{module}/__init__.py": f"# {self.filename}\n".encode()}),
            f"{info}/METADATA": self.metadata,
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: {pure}\n{tags}".encode(),
        }
        record = "".join(f"{path},sha256={_record(data)},{len(data)}\n" for path, data in files.items())
        files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path, data in files.items():
                archive.writestr(zipfile.ZipInfo(path, _EPOCH), data)
        return buffer.getvalue()

    @functools.cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class SourceDistribution(Wheel):
    """The same as a project of setuptools, which nobody has built: what it requires is known to who builds it."""

    @property
    def filename(self) -> str:
        return f"{self.stem}.tar.gz"

    @property
    def is_built(self) -> bool:
        return False

    @functools.cached_property
    def content(self) -> bytes:
        module = self.name.replace("-", "_")
        needed = ", ".join(map(repr, self.requires))
        setup = (
            f"from setuptools import setup\nsetup(name={self.name!r}, version={self.version!r}, py_modules=[{module!r}]"
        )
        files = {
            f"{module}.py": b"BUILT = True\n",
            "setup.py": f"{setup}, install_requires=[{needed}])\n".encode(),
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n".encode(),
            f"{module}.egg-info/requires.txt": "".join(f"{text}\n" for text in self.requires).encode(),
            **self.files,
        }
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for path, data in files.items():
                member = tarfile.TarInfo(f"{self.stem}/{path}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class VariantsFile(Wheel):
    """What an index says of the variants of a version, beside them (drafts of PEP 825 and 850)."""

    variants: Mapping[str, object]

    @property
    def filename(self) -> str:
        return f"{self.stem}-variants.json"

    @property
    def is_built(self) -> bool:
        return False

    @functools.cached_property
    def content(self) -> bytes:
        return json.dumps(variants_data(self.variants)).encode()


def variants_data(variants: Mapping[str, object]) -> dict[str, object]:
    """The same as data; a variant wheel holds it for itself, as `variant.json`."""
    provider = {
        "plugin-api": "nvidia_variant_provider.plugin:NvidiaVariantPlugin",
        "requires": ["nvidia-variant-provider>=0.0.1,<1.0.0"],
    }
    return {
        "$schema": "https://variants-schema.wheelnext.dev/peps/850/v0.2.0.json",
        "default-priorities": {"namespace": ["nvidia"]},
        "providers": {"nvidia": provider},
        "variants": dict(variants),
    }


def _expanded(tag: str) -> list[str]:
    pythons, abis, platforms = tag.split("-")[:3]  # behind them may stand the label of a variant
    return [
        f"{python}-{abi}-{platform}"
        for python in pythons.split(".")
        for abi in abis.split(".")
        for platform in platforms.split(".")
    ]


def _record(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


_ORDINARY: Mapping[str, tuple[str, ...]] = {
    "absl-py": (),
    "filelock": (),
    "fsspec": (),
    "jinja2": ("markupsafe>=0.1",),
    "markdown-it-py": ("mdurl>=0.1",),
    "markupsafe": (),
    "mdurl": (),
    "mpmath": (),
    "namex": (),
    "networkx": (),
    "openvino-telemetry": (),
    "opt-einsum": (),
    "packaging": (),
    "protobuf": (),
    "pygments": (),
    "rich": ("markdown-it-py>=0.1", "pygments>=0.1"),
    "setuptools": (),
    "six": (),
    "sympy": ("mpmath>=0.1",),
    "typing-extensions": (),
    "wrapt": (),
}
"""What the matrix does not follow: package -> its requirements. There is one version of each."""

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "jax": ("opt-einsum",),
    "keras": ("absl-py", "namex", "packaging", "rich"),
    "openvino": ("openvino-telemetry>=0.1",),
    "tensorflow": ("absl-py>=0.1", "protobuf>=0.1", "setuptools", "six>=0.1", "typing-extensions", "wrapt"),
    "tensorflow-cpu": ("absl-py>=0.1", "protobuf>=0.1", "setuptools", "six>=0.1", "typing-extensions", "wrapt"),
    "torch": ("filelock", "fsspec", "jinja2", "networkx", "sympy>=0.1", "typing-extensions>=0.1"),
    "optree": ("typing-extensions",),
    "h5py": ("numpy>=1.21",),
    "scipy": ("numpy>=1.21",),
    "ml-dtypes": ("numpy>=1.21",),
}
"""What is needed besides what the matrix says."""

_ORDINARY_VERSION = "0.1.2"


class Wheelhouse:
    """Every wheel there is, by the name of its package, for these Pythons on these platforms."""

    def __init__(
        self, matrix: CompatibilityMatrix, pythons: Iterable[str], platforms: Iterable[str] = (PLATFORM,)
    ) -> None:
        self._matrix = matrix
        self._pythons = tuple(dict.fromkeys(pythons))
        self._platforms = tuple(platforms)
        self._own: dict[str, list[Wheel]] = {}
        self._cache: dict[str, list[Wheel]] = {}

    def copy(self) -> Wheelhouse:
        """Another one that shares the wheels made so far and can be changed by itself."""
        other = Wheelhouse(self._matrix, self._pythons, self._platforms)
        other._cache = self._cache
        other._own = {name: list(wheels) for name, wheels in self._own.items()}
        return other

    def put(self, *wheels: Wheel) -> None:
        """Adds wheels; a package of theirs that the matrix has consists of nothing else from now on."""
        for wheel in wheels:
            self._own.setdefault(canonicalize_name(wheel.name), []).append(wheel)

    def remove(self, name: str, version: str) -> None:
        """Takes a release out."""
        self._own[name] = [wheel for wheel in self.wheels(name) if wheel.version != version]

    def wheels(self, name: str) -> list[Wheel]:
        """The wheels of a package, none of them with a local version."""
        if name in self._own:
            return self._own[name]
        if name not in self._cache:
            self._cache[name] = list(self._made(name))
        return self._cache[name]

    def local(self, name: str, version: str, label: str = "cpu", *, python: str | None = None) -> Wheel:
        """The wheel of a release that only the framework's own index has, as torch 2.13.0+cpu; for its first Python."""
        release = next(row for row in self._matrix.framework(name).releases if str(row.version) == version)
        build = next(row for row in release.builds if row.local == label and PLATFORM in row.platforms)
        return self._wheel(name, f"{version}+{build.local}", release, build, python=python or self._pythons[0])

    def _made(self, name: str) -> Iterator[Wheel]:
        if name in _ORDINARY:
            yield Wheel(name=name, version=_ORDINARY_VERSION, requires=_ORDINARY[name])
        elif (library := self._matrix.library(name)) is not None:
            for row in library.releases:
                pythons = [python for python in self._pythons if python in row.pythons] if row.pythons else [None]
                there = [platform for platform in self._platforms if platform in row.platforms]
                tags = dict.fromkeys(
                    _tag(one, platform, _floor(row.platforms, platform)) for platform in there for one in pythons
                )
                yield from self._library(name, row.version, row.released, list(tags))
        else:
            yield from self._framework(name)

    def _library(self, name: str, version: Version, released: dt.date, tags: list[str]) -> Iterator[Wheel]:
        requires: list[str] = list(_NEEDED.get(name, ()))
        for toolkit in self._matrix.toolkits if name == "cuda-toolkit" else ():
            if toolkit.version == version:
                requires += [_extra(text, extra) for extra, texts in toolkit.extras.items() for text in texts]
        files = {}
        if name.startswith("nvidia-"):
            # In the folder of its library, whatever the CUDA: wheels of two CUDA majors share it.
            folder = re.sub(r"^nvidia-|-cu\d\d$", "", name).replace("-", "_")
            content = f"{name} {version}".encode()
            files = {"nvidia/__init__.py": b"", f"nvidia/{folder}/lib/lib{folder}.so": content}
        for tag in tags:
            yield Wheel(
                name=name,
                version=str(version),
                tag=tag,
                requires=tuple(requires),
                files=files,
                uploaded=released,
            )

    def _framework(self, name: str) -> Iterator[Wheel]:
        """The wheels of a framework, or of a package that a framework's build installs."""
        for framework in self._matrix.framework_names:
            if framework == name or name.startswith((f"{framework}-", f"{framework}lib")):
                for release in self._matrix.framework(framework).releases:
                    made = [wheel for platform in self._platforms for wheel in self._release(name, release, platform)]
                    yield from {wheel.filename: wheel for wheel in made}.values()

    def _release(self, name: str, release: Release, platform: str) -> Iterator[Wheel]:
        builds = [row for row in release.builds if platform in row.platforms and row.local is None]
        holding = [row for row in builds if any(Requirement(text).name == name for text in row.install)]
        if not holding:
            return
        build = holding[0]
        texts = [Requirement(text) for text in build.install if Requirement(text).name == name]
        version = next((s.version for s in texts[0].specifier if s.operator == "=="), None)
        if version is None or "*" in version:
            return
        for python in self._pythons:
            if python in build.pythons:
                yield self._wheel(name, version, release, build, python=python, platform=platform, holding=holding)
                if self._pure(name, build, platform):
                    return

    @staticmethod
    def _pure(name: str, build: Build, platform: str) -> bool:
        return _floor(build.platforms, platform) is None or name == "jax"

    def _wheel(
        self,
        name: str,
        version: str,
        release: Release,
        build: Build,
        *,
        python: str,
        platform: str = PLATFORM,
        holding: Iterable[Build] = (),
    ) -> Wheel:
        requires = list(_NEEDED.get(name, ()))
        if name in self._matrix.framework_names or name.startswith("tensorflow"):
            requires += [text for text in build.requires if not _is_accelerators(text)]
            requires += [text for row in holding for text in self._extras(name, row)]
            if all("[" not in text for text in build.install):
                requires += [text for text in build.requires if _is_accelerators(text)]
            if name == "jax":
                requires.append(f"jaxlib=={version}")
        elif name.endswith("-plugin"):
            requires.append(f"{name.removesuffix('plugin')}pjrt=={version}")
            requires += [_extra(text, "with-cuda") for text in build.requires if _is_accelerators(text)]
        floor = _floor(build.platforms, platform)
        return Wheel(
            name=name,
            version=version,
            tag="py3-none-any" if self._pure(name, build, platform) else _tag(python, platform, floor),
            requires=tuple(dict.fromkeys(requires)),
            uploaded=release.released,
        )

    @staticmethod
    def _extras(name: str, build: Build) -> list[str]:
        """What the extra that a build is installed by brings: the plugin of JAX, or the libraries themselves."""
        requirements = [Requirement(text) for text in build.install]
        own = next(row for row in requirements if row.name == name)
        plugin = next((row for row in requirements if row.name.endswith("-plugin")), None)
        found = []
        for extra in own.extras:
            if plugin is not None:
                found.append(_extra(f"{plugin.name}[with-cuda]{plugin.specifier}", extra))
            else:
                found += [_extra(text, extra) for text in build.requires if _is_accelerators(text)]
        return found


def _extra(text: str, extra: str) -> str:
    requirement, _, marker = text.partition(";")
    condition = f"({marker.strip()}) and " if marker else ""
    return f'{requirement.strip()}; {condition}extra == "{extra}"'


def _is_accelerators(text: str) -> bool:
    """Whether a requirement is one for an accelerator, which stands behind an extra."""
    return text.startswith(("nvidia-", "cuda-", "triton", "libtpu"))


def _floor(platforms: Mapping[str, Version | None], platform: str) -> Version | None:
    """The libc or macOS that a wheel needs; None if it is for any machine. The matrix names no version of macOS."""
    if platform.startswith("osx-") and any(platforms.values()):
        return _MACOS
    return platforms[platform]


def _tag(python: str | None, platform: str, floor: Version | None) -> str:
    system = _SYSTEMS[platform].format(floor=f"{floor.major}_{floor.minor}") if floor else "any"
    if python is None:
        return f"py3-none-{system}"
    cpython = f"cp{python.replace('.', '')}"
    return f"{cpython}-{cpython}-{system}"
