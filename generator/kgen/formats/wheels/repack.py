"""Recreates a wheel from what is installed, so that a bundle can bring kgen to a machine without a network."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name

from kgen import __version__, files
from kgen.errors import InstallationError
from kgen.formats.archive import digest
from kgen.formats.wheels.ownwheels import KeptWheel

_WRITTEN_BY_INSTALLERS = frozenset({"INSTALLER", "REQUESTED", "RECORD", "RECORD.jws", "direct_url.json"})
_DAY = (1980, 1, 1, 0, 0, 0)
"""The date of every file in an archive, so that equal content gives equal bytes."""


def closure(name: str) -> tuple[importlib.metadata.Distribution, ...]:
    """An installed project and all its dependencies here, sorted by name.

    Args:
        name: the project.

    Raises:
        OutsideError: a dependency is not installed.
    """
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [Requirement(name)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            distribution = importlib.metadata.distribution(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            raise InstallationError(
                f"{wanted.name} is not installed beside kgen, which needs it", hints=["pip install keras-kgen"]
            ) from None
        found[key[0]] = distribution
        for text in distribution.requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                waiting.append(needed)
    return tuple(found[name] for name in sorted(found))


def kept_wheel_of(
    distribution: importlib.metadata.Distribution, kept: Path, *, source: Mapping[str, Path], again: bool = False
) -> KeptWheel:
    """Like :func:`wheel_of`, but cached, because recreating a wheel takes longer than everything else in a bundle.

    A package that was installed from a wheel shows by its own list of files whether it is unchanged. The digest is that
    of the wheel when it was made; every use of the file compares it.

    Args:
        distribution: the installed distribution.
        kept: the folder of cached wheels.
        source: as for :func:`wheel_of`.
        again: whether to first compare a cached wheel with its digest.

    Raises:
        OutsideError: the installed distribution is incomplete.
    """
    record = distribution.read_text("RECORD")
    own = kept / canonicalize_name(distribution.name)
    if record is None or _is_editable(distribution):
        return _kept(own / "editable", *wheel_of(distribution, source=source))
    said = (__version__, distribution.name, distribution.version, record, distribution.read_text("WHEEL"))
    folder = own / hashlib.sha256(repr(said).encode()).hexdigest()
    there = next(folder.glob("*/*.whl"), None)
    if there is not None and not (again and _has_changed(there)):
        return KeptWheel(there.name, there.parent.name, there.stat().st_size, there)
    return _kept(folder, *wheel_of(distribution, source=source))


def _kept(folder: Path, name: str, content: bytes) -> KeptWheel:
    """Cache a wheel as the only file in a folder that is named after its digest; if that fails, keep its bytes."""
    made = KeptWheel(name, hashlib.sha256(content).hexdigest(), len(content), content)
    with contextlib.suppress(OSError):  # works without the cache, too
        shutil.rmtree(folder.parent, ignore_errors=True)
        (folder / made.sha256).mkdir(parents=True)
        part = folder / f".{name}.{os.getpid()}"
        part.write_bytes(content)
        return made._replace(content=part.replace(folder / made.sha256 / name))
    return made


def _has_changed(wheel: Path) -> bool:
    """Whether a cached wheel differs from what its folder's name says."""
    with wheel.open("rb") as content:
        return digest(content) != wheel.parent.name


def wheel_of(
    distribution: importlib.metadata.Distribution, *, source: Mapping[str, Path] | None = None
) -> tuple[str, bytes]:
    """The wheel that a distribution was installed from, or an equivalent one: its name and its bytes.

    Args:
        distribution: the installed distribution.
        source: for an editable one, the folders that contain its code: path in the wheel -> folder.

    Raises:
        OutsideError: the installed distribution is incomplete.
    """
    head = HeaderParser().parsestr(distribution.read_text("WHEEL") or "")
    tags = [tag for text in head.get_all("Tag") or ["py3-none-any"] for tag in parse_tag(text)]
    parts = (
        ".".join(dict.fromkeys(part))
        for part in zip(*sorted((t.interpreter, t.abi, t.platform) for t in tags), strict=True)
    )
    stem = f"{canonicalize_name(distribution.name).replace('-', '_')}-{distribution.version}"
    content = dict(_installed(distribution, stem))
    if source is not None and _is_editable(distribution):
        metadata = {name: text for name, text in content.items() if name.startswith(f"{stem}.dist-info/")}
        content = {**metadata, **{name: text for top, folder in source.items() for name, text in _below(top, folder)}}
    rows = [f"{name},sha256={_hash(text)},{len(text)}" for name, text in sorted(content.items())]
    record = f"{stem}.dist-info/RECORD"
    content[record] = "".join(f"{row}\n" for row in [*rows, f"{record},,"]).encode()
    packed = io.BytesIO()  # uncompressed: compressing takes longer than everything else in a bundle
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in sorted(content.items()):
            info = zipfile.ZipInfo(name, _DAY)
            info.external_attr = (0o100755 if ".data/scripts/" in name else 0o100644) << 16
            archive.writestr(info, text)
    return f"{stem}-{'-'.join(parts)}.whl", packed.getvalue()


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    said = json.loads(distribution.read_text("direct_url.json") or "{}")
    return bool(said.get("dir_info", {}).get("editable"))


def _installed(distribution: importlib.metadata.Distribution, stem: str) -> Iterator[tuple[str, bytes]]:
    """Path in a wheel and content of everything installed, without what an installer writes itself."""
    programs = {point.name for point in distribution.entry_points if point.group.endswith("_scripts")}
    for path in distribution.files or ():
        pure = PurePosixPath(path)
        if "__pycache__" in pure.parts or pure.suffix == ".pyc":
            continue
        inside = ".." not in pure.parts
        # packages may contain metadata of others, deeper inside
        if inside and len(pure.parts) == 2 and pure.parts[0].endswith(".dist-info"):  # noqa: PLR2004 - folder and file
            if pure.name in _WRITTEN_BY_INSTALLERS:
                continue
            # its folder may be spelled differently from that in a new wheel
            place = f"{stem}.dist-info/{pure.name}"
        elif inside:
            place = pure.as_posix().replace(f"{pure.parts[0]}/", f"{stem}.dist-info/", 1)
            place = place if pure.parts[0].endswith(".dist-info") else pure.as_posix()
        else:
            outside = [part for part in pure.parts if part != ".."]
            if outside[0] == "bin":
                if pure.name in programs:
                    continue
                place = f"{stem}.data/scripts/{pure.name}"
            else:
                place = f"{stem}.data/data/{'/'.join(outside)}"
        try:
            content = Path(str(distribution.locate_file(path))).read_bytes()
        except OSError as error:
            raise InstallationError(
                f"{distribution.name} is not whole where kgen is installed: {path}: {error.strerror}",
                hints=[f"pip install --force-reinstall {distribution.name}=={distribution.version}"],
            ) from error
        yield place, content


def _below(top: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if files.is_file(path) and "__pycache__" not in path.parts:
            yield f"{top}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
