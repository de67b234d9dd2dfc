"""Builds that only a framework's own index has, such as `torch 2.14.1+cu126`: separate rows beside a release's others.

Such an index has a page for each label, often without days and without yanks, and wheels that are tagged for any Linux.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from kgen import accelerators
from kgen.index import IndexFile
from kgen.refresh.fits import Fit, fit_of, glibc_text
from kgen.refresh.recipes import FOLLOWED, Made, Majors, Recipe
from kgen.refresh.requirements import parse
from kgen.refresh.rows import (
    Contradiction,
    Read,
    RowContext,
    WheelBuild,
    by_version,
    first_choice,
    made_for,
    row_of_build,
    wheel_build_of,
)

_CUDA = re.compile(r"cu(\d+)(\d)")
_NUMBERED = re.compile(r"([a-z]+)(\d+\.\d+)")
_CPU = "cpu"
_MINORS = 6
"""The number of minors to query for each major of other kinds: such an index does not list its folders."""
_CUDNN = "cudnn"


class Addition(NamedTuple):
    """A build to add to the row of a release.

    Attributes:
        version: the release, as in its row.
        label: the build's local version label.
        row: the build, in the form of a row.
    """

    version: str
    label: str
    row: dict[str, Any]


class Found(NamedTuple):
    """Where a framework's own index has more than the matrix, or contradicts it.

    Attributes:
        additions: builds.
        contradictions: facts of existing rows that the index contradicts.
        notes: what was left out, and why.
        gone: builds in rows that the index does not have.
    """

    additions: list[Addition]
    contradictions: list[Contradiction]
    notes: list[str]
    gone: list[str]


def labels(
    recipe: Recipe, toolkits: Iterable[Version], releases: Iterable[Mapping[str, Any]], majors: Majors
) -> tuple[str, ...]:
    """The labels to query on a framework's own index.

    Args:
        recipe: the framework's recipe.
        toolkits: every version of CUDA.
        releases: the framework's releases as in their file, whose labels count too.
        majors: returns the majors of other kinds.
    """
    known = [f"{major}{minor}" for major, minor in sorted({(one.major, one.minor) for one in toolkits})]
    made = []
    for text in recipe.own:
        kind = text.partition("{")[2].partition("}")[0]
        others = [f"{major}.{minor}" for major in (majors(kind) if kind else ()) for minor in range(_MINORS)]
        numbers = known if kind == FOLLOWED else others if kind else [""]
        made += [text.replace(f"{{{kind}}}", number) for number in numbers]
    there = [build["local"] for row in releases for build in row.get("build", ()) if "local" in build]
    return tuple(dict.fromkeys([*made, *there]))


def cuda_of(label: str) -> str | None:
    """The CUDA version in a label: `cu126` is 12.6; None for any other label."""
    match = _CUDA.fullmatch(label)
    return None if match is None else f"{match[1]}.{match[2]}"


def made_of(label: str) -> Made | None:
    """The kind of accelerator other than CUDA that a label names, as a row has it; None of any other label.

    >>> made_of("rocm6.4"), made_of("xpu"), made_of("cu126"), made_of("cpu")
    (('rocm', '6.4'), ('xpu', True), None, None)
    """
    match = _NUMBERED.fullmatch(label)
    kind = label if match is None else match[1]
    if kind in {FOLLOWED, _CPU} or kind not in accelerators.names():
        return None
    if accelerators.kind(kind).versioned is not (match is not None):
        return None
    return kind, True if match is None else match[2]


class OwnIndex:
    """The pages of a framework's own index, label by label, compared with the rows of the matrix."""

    def __init__(
        self,
        recipe: Recipe,
        title: str,
        pages: Mapping[str, Sequence[IndexFile]],
        releases: Sequence[Mapping[str, Any]],
        context: RowContext,
    ) -> None:
        """Compare; nothing is read.

        Args:
            recipe: the framework's recipe.
            title: the name that people use.
            pages: label -> the files on its page.
            releases: the framework's releases as in their file, including new ones.
            context: the context of rows.
        """
        self._recipe = recipe
        self._title = title
        self._context = context
        self._releases = {Version(row["version"]): row for row in releases}
        self._places = tuple(context.platforms)
        self._linux = [name for name, platform in context.platforms.items() if platform.glibc is not None]
        self._bare: set[str] = set()
        self._files: dict[tuple[str, Version], list[IndexFile]] = {}
        for label, files in pages.items():
            for version, wheels in by_version(files).items():
                public = Version(version.public)
                if (
                    version.local == label
                    and public in self._releases
                    and not (public.is_prerelease or public.is_devrelease)
                ):
                    self._files[label, public] = [self._with_floor(one, public) for one in wheels if one.yanked is None]
        self._labels = tuple(pages)

    def _with_floor(self, file: IndexFile, version: Version) -> IndexFile:
        """A wheel that is tagged for any Linux, retagged for the glibc that the release's plain wheels need."""
        tag = file.tags[2]
        for name in self._linux:
            machine = self._context.platforms[name].markers["platform_machine"]
            if tag == f"linux_{machine}":
                floors = [
                    build["platforms"][name]
                    for build in self._releases[version].get("build", ())
                    if name in build["platforms"] and build["platforms"][name]
                ]
                if floors:
                    self._bare.add(file.filename)
                    glibc = floors[0].replace(".", "_")
                    return file._replace(tags=(file.tags[0], file.tags[1], f"manylinux_{glibc}_{machine}"))
        return file

    # -- what is to be read --------------------------------------------------------------------------------------------

    def _wanted(self) -> Iterator[tuple[str, Version, str, Fit]]:
        """Label, release and platform of each build that has no row in the matrix and may be needed."""
        for (label, version), files in sorted(self._files.items(), key=lambda item: (item[0][1], item[0][0])):
            fit = fit_of(files, self._context.targets, self._context.minors)
            builds = self._releases[version].get("build", ())
            for platform in self._platforms_of(label):
                mine = [build for build in builds if platform in build["platforms"]]
                known = any(build.get("local") == label for build in mine)
                plain = {(build.get("cuda"), made_for_other(build)) for build in mine if "local" not in build}
                # what the plain wheels are need not be fetched from elsewhere
                if (
                    self._is_followed(label)
                    and platform in fit
                    and version >= self._recipe.since
                    and not known
                    and (cuda_of(label), made_of(label)) not in plain
                ):
                    yield label, version, platform, fit

    def _is_followed(self, label: str) -> bool:
        """Whether a label stands for a known accelerator version, or the CPU."""
        cuda, made = cuda_of(label), made_of(label)
        if made is not None:
            kind, version = made
            return version is True or int(str(version).partition(".")[0]) in self._context.matrix.majors(kind)
        return label == _CPU if cuda is None else int(cuda.partition(".")[0]) in self._context.matrix.majors(FOLLOWED)

    def _platforms_of(self, label: str) -> Iterator[str]:
        """The platforms that may have builds with a label; for CPU builds only Linux, because the others' are plain."""
        made = made_of(label)
        kind = FOLLOWED if cuda_of(label) is not None else made[0] if made is not None else None
        row = None if kind is None else self._context.matrix.accelerators.get(kind)
        served = self._linux if row is None else row.platforms
        return (name for name in self._places if name in served)

    def _doubted(self) -> Iterator[tuple[str, Version, int, Mapping[str, Any]]]:
        """The CUDA builds whose rows have another source than the wheel."""
        for version, row in self._releases.items():
            for place, build in enumerate(row.get("build", ())):
                label = build.get("local")
                if (label, version) in self._files and "cuda" in build and ".whl: METADATA" not in build["source"]:
                    yield label, version, place, build

    def reading(self) -> list[IndexFile]:
        """Every wheel that :meth:`found` will read."""
        wanted = [
            self._wheel(label, version, platform, list(fit[platform]))
            for label, version, platform, fit in self._wanted()
        ]
        doubted = [
            self._wheel(label, version, platform, list(build["pythons"]))
            for label, version, _, build in self._doubted()
            for platform in build["platforms"]
        ]
        return [one for one in (*wanted, *doubted) if one is not None]

    def _wheel(self, label: str, version: Version, platform: str, pythons: Sequence[str]) -> IndexFile | None:
        return first_choice(self._files[label, version], platform, pythons, self._recipe, self._context)

    # -- what comes of it ----------------------------------------------------------------------------------------------

    def found(self, read: Read, today: dt.date) -> Found:
        """The rows for what is new, and the contradictions to existing ones.

        Args:
            read: returns the facts of a wheel.
            today: the day to record for new rows.

        Raises:
            Unread: a wheel would have to be downloaded completely.
            OutsideError: a wheel cannot be fetched, or contains invalid facts.
        """
        result = Found([], [], [], [])
        unknown = [label for label in self._labels if not self._is_followed(label) and cuda_of(label) is not None]
        others = [label for label in self._labels if not self._is_followed(label) and cuda_of(label) is None]
        if unknown:
            result.notes.append(
                f"builds of {self._title}'s own index for {', '.join(unknown)} were left out: accelerators.toml knows"
                " no driver for that CUDA"
            )
        if others:
            result.notes.append(
                f"builds of {self._title}'s own index for {', '.join(others)} were left out: accelerators.toml has no"
                " row for what that names"
            )
        bundled = []
        for label, version, platform, fit in self._wanted():
            wheel_build = self._wheel_build(label, version, platform, fit, read)
            name = f"{self._recipe.name} {version}+{label}"
            if wheel_build is None or (wheel_build.cuda or None) != cuda_of(label):
                says = "nothing" if wheel_build is None or not wheel_build.cuda else f"CUDA {wheel_build.cuda}"
                result.notes.append(
                    f"{name} was left out: its wheel says {says}, and its label {cuda_of(label) or 'the CPU'}"
                )
            elif made_of(label) is not None:
                row = self._row_of_other(label, version, wheel_build, read, today)
                result.additions.append(Addition(str(self._releases[version]["version"]), label, row))
            # on Windows the wheels bring CUDA's libraries themselves
            elif (
                wheel_build.cuda
                and platform in self._linux
                and not any(self._context.roles.get(parse(text).name) == _CUDNN for text in wheel_build.requires)
            ):
                bundled.append(f"{version}+{label}")
            else:
                result.additions.append(
                    Addition(
                        str(self._releases[version]["version"]), label, self._row(label, version, wheel_build, today)
                    )
                )
        if bundled:
            listed = ", ".join(dict.fromkeys(bundled))
            result.notes.append(
                f"{self._recipe.name} {listed}: left out, for their wheels require no cuDNN, and what they bring is not"
                " known"
            )
        result.contradictions.extend(self._against(read))
        result.gone.extend(
            f"{version}+{build['local']}"
            for version, release in sorted(self._releases.items())
            for build in release.get("build", ())
            if build.get("local") in self._labels and (build["local"], version) not in self._files
        )
        return result

    def _wheel_build(self, label: str, version: Version, platform: str, fit: Fit, read: Read) -> WheelBuild | None:
        wheel = self._wheel(label, version, platform, list(fit[platform]))
        if wheel is None:
            return None
        name = self._recipe.name
        return wheel_build_of(
            self._recipe,
            [Requirement(name)],
            versions={name: Version(f"{version}+{label}")},
            wheels={name: wheel},
            target=self._context.platforms[platform],
            pythons=tuple(fit[platform]),
            fits={name: fit},
            context=self._context,
            read=read,
        )

    def _row(self, label: str, version: Version, wheel_build: WheelBuild, today: dt.date) -> dict[str, Any]:
        """A build in the form of a row, with the GPUs of the closest release with the same CUDA."""
        notes = list(wheel_build.notes)
        carried: dict[str, Any] = {}
        if wheel_build.cuda:
            before, like = self._alike(label, version, wheel_build)
            carried = {name: like[name] for name in ("sass", "ptx", "gpu-fails") if name in like}
            notes += [f"sass and ptx assumed from {before}"] if carried else []
        if wheel_build.wheels[0].filename in self._bare:
            notes.append("tagged for any Linux; glibc as of the plain wheels")
        row = row_of_build(self._recipe, wheel_build, carried, notes, today)
        source, checked = row.pop("source"), row.pop("checked")
        # only what is true of every build of a release, such as that it names no NumPy that it cannot use
        added = [build.get("adds") for build in self._releases[version].get("build", ()) if "adds" in build]
        return {
            **row,
            **({"adds": added[0]} if added else {}),
            "local": label,
            "source": f"{self._title}'s own index; {source}",
            "checked": checked,
        }

    def _code_of(self, made: Made | None, version: Version) -> tuple[str, dict[str, Any]]:
        """The code of the closest older build for the same accelerator, and its release."""
        for one in sorted(self._releases, reverse=True):
            for build in self._releases[one].get("build", ()):
                if one <= version and "code" in build and made is not None and build.get(made[0]) == made[1]:
                    return str(one), {"code": build["code"]}
        return "", {}

    def _row_of_other(
        self, label: str, version: Version, wheel_build: WheelBuild, read: Read, today: dt.date
    ) -> dict[str, Any]:
        """A build for another kind than CUDA: its code is assumed, because no file that is read states it."""
        made = made_of(label)
        other = wheel_build._replace(made=made, cuda=None, sass=(), ptx=())
        before, carried = self._code_of(made, version)
        note = f"code assumed from {before}" if carried else "which devices it has code for was not read"
        notes = [*(one for one in wheel_build.notes if "sass" not in one), note]
        if wheel_build.wheels[0].filename in self._bare:
            notes.append("tagged for any Linux; glibc as of the plain wheels")
        row = row_of_build(self._recipe, other, carried, notes, today)
        source, checked = row.pop("source"), row.pop("checked")
        needed = {canonicalize_name(parse(text).name) for text in read(wheel_build.wheels[0]).requires}
        beside = sorted(name for name in needed if self._recipe.beside and re.fullmatch(self._recipe.beside, name))
        return {
            **row,
            "local": label,
            **({"beside": beside} if beside else {}),
            "source": f"{self._title}'s own index; {source}",
            "checked": checked,
        }

    def _alike(self, label: str, version: Version, wheel_build: WheelBuild) -> tuple[str, Mapping[str, Any]]:
        """The build that most likely has code for the same GPUs: with this CUDA and platform, in the closest release.

        Older releases come first, and within a release the build with the same label.
        """
        older = sorted((one for one in self._releases if one <= version), reverse=True)
        newer = sorted(one for one in self._releases if one > version)
        for one in (*older, *newer):
            builds = [
                build
                for build in self._releases[one].get("build", ())
                if build.get("cuda") == wheel_build.cuda
                and wheel_build.platform in build["platforms"]
                and "sass" in build
            ]
            for build in sorted(builds, key=lambda build: build.get("local") != label):
                return f"{one}{'+' + build['local'] if 'local' in build else ''}", build
        return "", {}

    def _against(self, read: Read) -> Iterator[Contradiction]:
        """Where the index contradicts existing rows."""
        for version, release in sorted(self._releases.items()):
            for build in release.get("build", ()):
                label = build.get("local", "")
                files = self._files.get((label, version))
                if files is None or version < self._recipe.since:
                    continue
                about = f"{self._recipe.name} {version}+{label}"
                page = f"{self._title}'s own index, page of {label}"
                fit = fit_of(files, self._context.targets, self._context.minors)
                for platform, glibc in build["platforms"].items():
                    serves = fit.get(platform, {})
                    missing = [minor for minor in build["pythons"] if minor not in serves]
                    if missing:
                        says = f"wheels for Python {', '.join(missing)}"
                        yield Contradiction(f"{about}, {platform}", says, build["source"], "no such wheel", page)
                    needed = glibc_text({minor: serves[minor] for minor in build["pythons"] if minor in serves})
                    if needed and glibc and Version(needed) > Version(glibc):
                        says = f"runs on glibc {glibc}"
                        text = f"its wheels need glibc {needed}"
                        yield Contradiction(f"{about}, {platform}", says, build["source"], text, page)
        for label, version, _, build in self._doubted():
            for platform in build["platforms"]:
                yield from self._against_wheel(label, version, platform, build, read)

    def _against_wheel(
        self, label: str, version: Version, platform: str, build: Mapping[str, Any], read: Read
    ) -> Iterator[Contradiction]:
        """Where a wheel contradicts its row."""
        fit = fit_of(self._files[label, version], self._context.targets, self._context.minors)
        wheel_build = self._wheel_build(label, version, platform, fit, read) if platform in fit else None
        if wheel_build is None:
            return
        about = f"{self._recipe.name} {version}+{label}, {platform}"
        page = f"{wheel_build.wheels[0].filename}: METADATA"
        module = self._recipe.module
        if wheel_build.cuda != build["cuda"]:
            where = page if module is None else f"{wheel_build.wheels[0].filename}: {module.path}"
            yield Contradiction(
                about, f"CUDA {build['cuda']}", build["source"], f"CUDA {wheel_build.cuda or 'none'}", where
            )
        says = {parse(text).name: text for text in wheel_build.requires}
        for text in build.get("requires", ()):
            other = says.get(canonicalize_name(parse(text).name), "nothing of it")
            if other != text:
                yield Contradiction(about, f"needs {text}", build["source"], f"needs {other}", page)
        named = {parse(text).name for text in build.get("requires", ())}
        more = [text for name, text in sorted(says.items()) if name not in named]
        if more:
            yield Contradiction(
                about, f"needs {len(named)} of the packages followed", build["source"], f"needs {', '.join(more)}", page
            )
        has = (list(wheel_build.sass), list(wheel_build.ptx))
        said = (list(build.get("sass", ())), list(build.get("ptx", ())))
        if any(has) and has != said:
            yield Contradiction(about, _code_text(*said), build["source"], _code_text(*has), page)


def made_for_other(build: Mapping[str, Any]) -> Made | None:
    """The kind other than CUDA that a row is for."""
    found = made_for(build)
    return None if found is None or found[0] == FOLLOWED else found


def _code_text(machine: Sequence[str], portable: Sequence[str]) -> str:
    text = f"has code for {', '.join(machine) or 'no GPU'}"
    return text + (f", and PTX for {', '.join(portable)}" if portable else "")
