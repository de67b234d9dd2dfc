"""What an index and its wheels say, read for the audit: tags, METADATA and evidence, each wheel once across runs."""

from __future__ import annotations

import contextlib
import email.parser
import hashlib
import json
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from kgen.audit.evidence import KINDS, Evidence, Found
from kgen.index import Index, IndexFile
from kgen.matrix.records import Platform
from kgen.served.cache import keep, kept
from kgen.wheels import WheelReader, is_metadata

_HEADER = "kgen-audit 2"
_PARSING = threading.Lock()
"""Held while markers are parsed: CPython 3.11 fails now and then when two threads parse at once."""


class Wheel(NamedTuple):
    """A wheel as its name and its index describe it.

    Attributes:
        file: as the index names it.
        version: its version.
        tags: interpreter, ABI and platform, one triple for each tag that its name stands for.
    """

    file: IndexFile
    version: Version
    tags: frozenset[tuple[str, str, str]]

    def glibc(self, platform: Platform) -> Version | None:
        """The least glibc that its tags ask for on a platform; 0 where none applies.

        Returns:
            None if it is not for that platform.
        """
        floors = [floor for _, _, tag in self.tags if (floor := _floor(tag, platform)) is not None]
        return min(floors, default=None)

    def serves(self, python: str) -> bool:
        """Whether CPython of this minor can install it."""
        number = int(python.partition(".")[2])
        try:
            allowed = SpecifierSet(self.file.requires_python).contains(f"{python}.99", prereleases=True)
        except InvalidSpecifier:
            allowed = True
        return allowed and any(_runs(interpreter, abi, number) for interpreter, abi, _ in self.tags)


def _floor(tag: str, platform: Platform) -> Version | None:
    system, machine = platform.markers["sys_platform"], platform.markers["platform_machine"].lower()
    if tag == "any":
        return Version("0")
    if system == "linux":
        for old, minor in (("manylinux1", 5), ("manylinux2010", 12), ("manylinux2014", 17)):
            if tag == f"{old}_{machine}":  # PEP 600 names the minor of glibc 2 that the older tags stand for
                return Version(f"2.{minor}")
        parts = tag.split("_", 3)
        if parts[0] == "manylinux" and len(parts) == 4 and parts[3] == machine:  # noqa: PLR2004 - manylinux_2_28_x86_64
            return Version(f"{parts[1]}.{parts[2]}")
        return Version("0") if tag == f"linux_{machine}" else None
    if system == "darwin":
        return Version("0") if tag.startswith("macosx_") and tag.endswith((f"_{machine}", "_universal2")) else None
    return Version("0") if tag == f"win_{machine}" else None


def _runs(interpreter: str, abi: str, minor: int) -> bool:
    digits = interpreter[3:]
    if interpreter == f"cp3{minor}":
        return abi in {interpreter, f"{interpreter}m", "abi3", "none"}
    if not interpreter.startswith(("cp3", "py3")):
        return False
    older = not digits or (digits.isdecimal() and int(digits) <= minor)
    return older and (abi == "abi3" if interpreter.startswith("cp3") else abi == "none")


class _Project(NamedTuple):
    """A project as its index has it, by version: its wheels, and every file of it."""

    wheels: Mapping[Version, Sequence[Wheel]]
    files: Mapping[Version, Sequence[IndexFile]]


class Reader:
    """Reads what an audit asks for; safe to use from many threads.

    Args:
        index: what is asked for pages.
        wheels: what reads parts of wheels.
        cache: the folder for what was read; None for none.
    """

    def __init__(self, index: Index, wheels: WheelReader, *, cache: Path | None) -> None:
        self._index = index
        self._wheels = wheels
        self._cache = cache
        self._guard = threading.Lock()
        self._pages: dict[str, _Project] = {}
        self._turns: dict[str, threading.Lock] = {}

    def releases(self, project: str) -> Mapping[Version, Sequence[Wheel]]:
        """Version -> its wheels, of a project; source distributions are versions without a wheel. {} if there is none.

        Raises:
            OutsideError: the index cannot be asked.
        """
        return self._project(project).wheels

    def files(self, project: str, version: Version) -> Sequence[IndexFile]:
        """Every file of a release, source distributions too.

        Raises:
            OutsideError: the index cannot be asked.
        """
        return self._project(project).files.get(version, ())

    def _project(self, name: str) -> _Project:
        """A project's page, which is asked for and understood once."""
        with self._guard:
            turn = self._turns.setdefault(name, threading.Lock())
        with turn:
            if name not in self._pages:
                listed = self._index.project(name)
                self._pages[name] = _understood(name, () if listed is None else listed.files)
            return self._pages[name]

    def requires(self, wheel: Wheel) -> tuple[str, ...]:
        """Its Requires-Dist, as METADATA has them.

        Raises:
            Unreadable: its server knows no ranges.
            OutsideError: it cannot be fetched.
        """
        text = self._kept(wheel, "requires")
        if text is None:
            text = json.dumps(self._requires(wheel))
            self._keep(wheel, "requires", text)
        return tuple(json.loads(text))

    def _requires(self, wheel: Wheel) -> list[str]:
        file = wheel.file
        if file.sidecar is not None:
            page = self._wheels.page(f"{file.url}.metadata", name=f"the METADATA of {file.filename}", headers={})
            if page.status == 200 and (not file.sidecar or hashlib.sha256(page.body).hexdigest() == file.sidecar):  # noqa: PLR2004 - as in HTTP
                return _requires_dist(page.body)
        found = self._wheels.members(file.url, filename=file.filename, sha256=file.sha256, wanted=is_metadata)
        if not found:
            raise Unreadable(f"{file.filename}: its server knows no ranges")
        return _requires_dist(next(iter(found.values())))

    def evidence(self, wheel: Wheel, one: Evidence, path: str, toolkits: Collection[Version]) -> Found:
        """What a file in a wheel says; nothing if it is not there.

        Args:
            wheel: the wheel.
            one: how the file is read.
            path: the file, with the major of the build filled in.
            toolkits: the toolkits of that major.

        Raises:
            Unreadable: its server knows no ranges.
            OutsideError: it cannot be fetched.
        """
        key = f"{one.kind} {path} {json.dumps(one.fields, sort_keys=True)}"
        text = self._kept(wheel, key)
        if text is None:
            found = Found()
            streams = self._wheels.stream(
                wheel.file.url, filename=wheel.file.filename, sha256=wheel.file.sha256, wanted=lambda name: name == path
            )
            if streams is None:
                raise Unreadable(f"{wheel.file.filename}: its server knows no ranges")
            for _, pieces in streams:
                found = KINDS[one.kind](pieces, one.fields, toolkits)
            text = json.dumps([found.toolkit, *(None if part is None else sorted(part) for part in found[1:])])
            self._keep(wheel, key, text)
        toolkit, sass, ptx = json.loads(text)
        return Found(
            toolkit=toolkit,
            sass=None if sass is None else frozenset(sass),
            ptx=None if ptx is None else frozenset(ptx),
        )

    def _place(self, wheel: Wheel, key: str) -> Path | None:
        if self._cache is None or not wheel.file.sha256:
            return None
        return self._cache / f"{wheel.file.sha256}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"

    def _kept(self, wheel: Wheel, key: str) -> str | None:
        place = self._place(wheel, key)
        if place is None:
            return None
        with contextlib.suppress(OSError, ValueError):
            body = kept(place, _HEADER)
            return None if body is None else body.decode()
        return None

    def _keep(self, wheel: Wheel, key: str, text: str) -> None:
        place = self._place(wheel, key)
        if place is not None:
            with contextlib.suppress(OSError):
                keep(place, _HEADER, text.encode())


class Unreadable(Exception):  # noqa: N818 - it is a result, and no error
    """A field that cannot be compared; the message says why."""


def _understood(project: str, files: Iterable[IndexFile]) -> _Project:
    wheels: dict[Version, list[Wheel]] = {}
    every: dict[Version, list[IndexFile]] = {}
    for file in files:
        with contextlib.suppress(InvalidVersion):
            every.setdefault(Version(file.version.replace("_", "+", 1)), []).append(file)
        if not file.filename.endswith(".whl"):
            with contextlib.suppress(InvalidVersion):
                wheels.setdefault(Version(file.version), [])
            continue
        try:
            name, version, _, tags = parse_wheel_filename(file.filename)
        except (InvalidWheelFilename, InvalidVersion):
            continue
        if name == canonicalize_name(project):
            triples = frozenset((tag.interpreter, tag.abi, tag.platform) for tag in tags)
            wheels.setdefault(version, []).append(Wheel(file, version, triples))
    return _Project(wheels, every)


def _requires_dist(metadata: bytes) -> list[str]:
    message = email.parser.HeaderParser().parsestr(metadata.decode(errors="replace"))
    return [" ".join(str(value).split()) for value in message.get_all("Requires-Dist", ())]


def applying(
    requires: Iterable[str], platform: Platform, python: str, extras: Collection[str]
) -> dict[str, tuple[SpecifierSet, frozenset[str]]]:
    """Project -> range and extras, of the requirements that hold on a platform and Python.

    Raises:
        Unreadable: one of them is not a requirement.
    """
    found: dict[str, tuple[SpecifierSet, frozenset[str]]] = {}
    for text in requires:
        try:
            with _PARSING:
                requirement = Requirement(text)
        except InvalidRequirement:
            raise Unreadable(f"`{text}` is not a requirement") from None
        if not _holds(requirement.marker, platform, python, extras):
            continue
        name = canonicalize_name(requirement.name)
        specifier, more = found.get(name, (SpecifierSet(), frozenset()))
        found[name] = (specifier & requirement.specifier, more | requirement.extras)
    return found


def _holds(marker: Marker | None, platform: Platform, python: str, extras: Collection[str]) -> bool:
    if marker is None:
        return True
    return any(marker.evaluate(platform.marker_environment(python, extra)) for extra in ("", *extras))
