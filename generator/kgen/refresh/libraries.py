"""Pages of libraries and of the toolkit's meta package -> their files in the matrix."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tomli
from packaging.utils import canonicalize_name
from packaging.version import Version

from kgen.errors import MalformedAnswerError
from kgen.index import NO_WHEEL, IndexFile
from kgen.matrix import writer
from kgen.matrix.writer import Fit as LibraryFit
from kgen.model.ranges import spell
from kgen.refresh.fits import fit_of, glibc_text, is_for_any_python
from kgen.refresh.requirements import parse
from kgen.refresh.rows import Contradiction, RowContext, by_version, first_day, yank
from kgen.refresh.wheel_facts import WheelFacts

CUDA_PACKAGE = re.compile(r"nvidia-[a-z0-9-]+|cuda-(bindings|pathfinder|toolkit)")
"""Packages that the matrix adds as soon as a build requires them: they decide which builds work together."""

_SUFFIX = re.compile(r"-cu(\d\d)$")
_EXTRA = re.compile(r"""extra == ["']([^"']+)["']""")


def new_library(name: str) -> dict[str, Any]:
    """The beginning of a file for a library that the matrix does not have yet; its name contains its role."""
    suffix = _SUFFIX.search(name)
    role = re.sub(r"^(nvidia-cuda-|nvidia-|cuda-)", "", _SUFFIX.sub("", name))
    return {"role": role, **({"cuda": int(suffix[1])} if suffix else {})}


def page_fits(files: Sequence[IndexFile], context: RowContext) -> dict[str, list[LibraryFit]]:
    """The stable releases of a library, by version, without those that have no wheel for any platform."""
    found = {}
    for version, wheels in by_version(files).items():
        binary = [file for file in wheels if file.tags != NO_WHEEL]
        day = first_day(binary)  # an installer that looks no further than a day sees no wheel before it
        if version.is_prerelease or version.local is not None or day is None:
            continue
        any_python = all(map(is_for_any_python, binary))
        groups: dict[tuple[str, ...], dict[str, str]] = {}
        for platform, serves in fit_of(wheels, context.targets, context.minors).items():
            pythons = () if any_python and len(serves) == len(context.minors) else tuple(serves)
            groups.setdefault(pythons, {})[platform] = glibc_text(serves)
        if groups:
            text = binary[0].version
            found[text] = [
                LibraryFit(version=text, platforms=platforms, pythons=pythons, day=day)
                for pythons, platforms in groups.items()
            ]
    return found


class Update:
    """A library's file, and the changes from its page."""

    def __init__(self, name: str, text: str | None, files: Sequence[IndexFile], context: RowContext) -> None:
        """Compare; nothing is written.

        Args:
            name: the library.
            text: its file; None if there is none yet.
            files: the wheels on its page.
            context: the context of rows.
        """
        self.name = name
        self._text = text
        self._data: dict[str, Any] = new_library(name) if text is None else tomli.loads(text)
        self.added: list[str] = []
        self.changed: list[str] = []
        self.yanked: dict[str, str] = {}
        self.restored: list[str] = []
        self.gone: list[str] = []
        self.contradictions: list[Contradiction] = []
        old: dict[str, list[LibraryFit]] = {}
        for fit in writer.fits(self._data):
            old.setdefault(fit.version, []).append(fit)
        self._new = page_fits(files, context)
        wheels = by_version(files)
        known = {Version(version): version for version in old}
        known_yanked = {Version(version): version for version in self._data.get("yanked", {})}
        floor = min([*known, *known_yanked], default=None)
        self._kept = dict(old)
        for text_, fits in self._new.items():
            version = Version(text_)
            reason = yank(wheels[version])
            if version in known:
                if reason is not None:
                    self.yanked[known[version]] = reason
                else:
                    self._compare(known[version], old[known[version]], fits)
            elif version in known_yanked:
                if reason is None:
                    self.restored.append(known_yanked[version])
                    self._kept[known_yanked[version]] = fits
            elif floor is None or version > floor:
                if reason is not None:
                    self.yanked[text_] = reason
                else:
                    self.added.append(text_)
                    self._kept[text_] = fits
        there = set(wheels)
        self.gone = [version for parsed, version in known.items() if parsed not in there]

    def _compare(self, version: str, old: Sequence[LibraryFit], new: Sequence[LibraryFit]) -> None:
        """Take what the index has in addition; note where it contradicts."""
        page = f"index page of {self.name}"
        source = str(self._data.get("source", page))
        mine = {(platform, python) for fit in old for platform in fit.platforms for python in (fit.pythons or ("",))}
        theirs = {(platform, python) for fit in new for platform in fit.platforms for python in (fit.pythons or ("",))}
        if old[0].day != new[0].day:
            self._against(version, f"released {old[0].day}", source, f"first uploaded {new[0].day}", page)
        floors = {platform: glibc for fit in new for platform, glibc in fit.platforms.items()}
        for platform, glibc in [item for fit in old for item in fit.platforms.items()]:
            needed = floors.get(platform)
            if needed and glibc and Version(needed) > Version(glibc):
                where = f"{version}, {platform}"
                self._against(where, f"runs on glibc {glibc}", source, f"its wheels need glibc {needed}", page)
        if mine - theirs:
            listed = ", ".join(sorted(" ".join(filter(None, pair)) for pair in mine - theirs))
            self._against(version, f"wheels for {listed}", source, "no such wheel", page)
        elif theirs - mine:
            self.changed.append(version)
            self._kept[version] = [fit._replace(version=version, day=old[0].day) for fit in new]

    def _against(self, subject: str, matrix: str, source: str, index: str, page: str) -> None:
        self.contradictions.append(Contradiction(f"{self.name} {subject}", matrix, source, index, page))

    @property
    def is_new(self) -> bool:
        """Whether the matrix has no file for it yet."""
        return self._text is None

    def text(self, today: dt.date) -> str | None:
        """The updated file; None if nothing changes."""
        yanked = {**self._data.get("yanked", {}), **self.yanked}
        for version in self.restored:
            del yanked[version]
        if not (self.added or self.changed or self.restored or set(yanked) != set(self._data.get("yanked", {}))):
            return None
        fits = [fit for version, found in self._kept.items() if version not in yanked for fit in found]
        if self._text is not None and not writer.is_canonical(self._text):
            return self._beside(yanked, fits, today)
        names = [name for name in ("role", "cuda") if name in self._data]
        head: dict[str, Any] = {name: self._data[name] for name in names}
        head |= {"source": self._data.get("source", f"index page of {self.name}"), "checked": today}
        if yanked:
            head["yanked"] = {version: yanked[version] for version in sorted(yanked, key=writer.version_key)}
        if "known-bad" in self._data:
            head["known-bad"] = self._data["known-bad"]
        return writer.library_text({**head, "files": writer.grouped(fits)})

    def _beside(self, yanked: Mapping[str, str], fits: Sequence[LibraryFit], today: dt.date) -> str:
        """The same for a file that was edited by hand: its lines stay in place, and new releases come last."""
        import tomlkit  # noqa: PLC0415 - slow to import, and few files are like that

        document: Any = tomlkit.parse(self._text or "")
        document["checked"] = today
        if yanked:
            writer.put_after(document, "yanked", dict(yanked), after="checked")
        elif "yanked" in document:
            del document["yanked"]
        moved = {*self.changed, *self.yanked}
        for group in document.get("files", []):
            for version in [version for version in group["releases"] if version in moved]:
                del group["releases"][version]
        anew = [fit for fit in fits if fit.version in {*self.added, *self.changed, *self.restored}]
        return writer.with_releases(tomlkit.dumps(document), writer.grouped(anew))


def toolkit_row(
    version: str, day: dt.date, file: IndexFile, facts: WheelFacts, *, context: RowContext, today: dt.date
) -> dict[str, Any]:
    """A release of the CUDA toolkit, from its meta package's METADATA.

    Raises:
        OutsideError: it contains an invalid requirement.
    """
    extras: dict[str, set[str]] = {}
    for text in facts.requires:
        try:
            requirement = parse(text)
        except ValueError as error:
            raise MalformedAnswerError(f"{file.filename}: {error}") from None
        marker = "" if requirement.marker is None else str(requirement.marker)
        named = dict.fromkeys(_EXTRA.findall(marker))
        name = canonicalize_name(requirement.name)
        machines = {
            platform.markers["platform_machine"]: requirement.marker is None
            or any(
                requirement.marker.evaluate(platform.marker_environment(context.minors[-1], extra)) for extra in named
            )
            for platform in context.platforms.values()
            if platform.markers["sys_platform"] == "linux"
        }
        holding = [machine for machine, holds in machines.items() if holds]
        if not holding:  # CUDA's libraries are followed for Linux; what is for other platforms alone does not help here
            continue
        rest = "" if all(machines.values()) else f'; platform_machine == "{holding[0]}"'
        for extra in named:
            extras.setdefault(extra, set()).add(f"{name}{spell(requirement.specifier)}{rest}")
    listed = {
        extra: texts[0] if len(texts) == 1 else texts
        for extra, texts in sorted((extra, sorted(texts)) for extra, texts in extras.items())
        if extra != "all"
    }
    return {
        "version": version,
        "released": day,
        "source": f"{file.filename}: METADATA",
        "checked": today,
        **({"extras": listed} if listed else {}),
    }
