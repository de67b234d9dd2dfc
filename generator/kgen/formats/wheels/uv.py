"""uv as the resolver that resolves and hashes wheels: its command line and its answers. Decides nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import tomli
from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from kgen import files, lockfiles, storage, uvsettings
from kgen.errors import FailedProgramError, OutsideError, UnavailableError
from kgen.formats.wheels import questions
from kgen.formats.wheels.questions import Asker, Question
from kgen.matrix.records import Platform
from kgen.model import direct
from kgen.model.requirement import Requirement, parse_requirement
from kgen.model.resolution import Resolution, SourceRelease
from kgen.uvtool import bounded

_PREMISES = re.compile(r"[Bb]ecause (.*?), we can conclude")
_PIN = re.compile(r"\b([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?(?:\{[^}]*\})?==([0-9][A-Za-z0-9.+!]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclosed:
    """A resolution for which uv found no solution.

    Attributes:
        named: the pins in uv's explanation: package -> version.
        reason: uv's explanation, in one paragraph.
    """

    named: Mapping[str, Version]
    reason: str

    @property
    def cause(self) -> str:
        """The facts in the explanation, without the reasoning."""
        return bounded("; ".join(_PREMISES.findall(self.reason)) or self.reason)


_EXTRA = re.compile(r"\bextra == [\"']([A-Za-z0-9._-]+)[\"']")
_NO_DEPENDENCIES = "--no-deps"


class Uv:
    """Runs uv to resolve requirements for one target at a time; safe to use from several threads."""

    def __init__(
        self,
        asker: Asker,
        *,
        root: Path,
        own: Callable[[str, str], str] | None = None,
    ) -> None:
        """Set up how uv is asked.

        Args:
            asker: starts uv.
            root: the project's root, to which paths in requirements are relative.
            own: returns the framework's own index with the build of a framework and label; None to use none.
        """
        self._asker = asker
        self._root = root
        self._own = own

    def own_indexes(self, resolution: Resolution) -> Mapping[str, str]:
        """Framework -> its own index, for each build of a resolution that comes from there, and for its dependencies.

        Raises:
            OutsideError: the URL of the index cannot be determined.
        """
        if self._own is None:
            return {}
        own = {name: self._own(name, label) for name, label in resolution.local.items()}
        return own | {name: own[framework] for name, framework in resolution.beside.items()}

    def close(
        self,
        resolution: Resolution,
        platform: Platform,
        *,
        constraints: Sequence[str] = (),
        added: Sequence[str] = (),
        offline: bool = False,
        in_flight: int | None = None,
        facts: Mapping[str, str] = MappingProxyType({}),
    ) -> Pylock | Unclosed:
        """Resolve everything else for a resolution's Python and platform, wheels only.

        Args:
            resolution: the solver's decision.
            platform: the target.
            constraints: versions that other environments use.
            added: requirements besides those of the resolution.
            offline: whether to use only uv's cache.
            in_flight: the number of concurrent requests to the index; None for uv's own or the user's choice.
            facts: variables that tell uv about the target what it would otherwise find out about this machine.

        Raises:
            OutsideError: uv, the index or the network failed.
        """
        request = resolution.request
        # The frameworks require these libraries anyway. Naming them makes uv request all of them at once instead of one
        # after the other, and uv spends most of its time waiting for the index.
        libraries = [
            f"{name}=={version}" if name in resolution.pinned else name
            for name, version in resolution.libraries.items()
        ]
        placed = {one.name for one in resolution.direct}
        dependencies = [str(one) for one in resolution.dependencies if one.name not in placed or one.url is None]
        requirements = [*resolution.install, *libraries, *self._here(dependencies), *added]
        decided = {*resolution.packages, *resolution.pinned}
        wishes = [
            str(wish)
            for wish in (*request.requirements, *request.constraints)
            if canonicalize_name(wish.name) not in decided and not wish.extras
        ]
        kept = [wish for wish in request.held if wish.name not in decided and wish.url is None]
        arguments = [
            "--python-version", request.python,
            "--python-platform", uv_platform(platform, request.glibc),
            *_cutoff(request.cutoff, resolution.republished),
            *(["--offline"] if offline else []),
        ]  # fmt: skip
        asked = {one.name for one in request.dependencies} - decided
        urls = uvsettings.indexes_of(request.uv, self._root)
        own = {name: url for name, url in urls.items() if name in asked} | dict(self.own_indexes(resolution))
        macos = _macos(resolution, platform)
        narrowed = [*wishes, *resolution.constraints, *constraints]
        if not resolution.sources and not resolution.direct:
            return self._compile(requirements, narrowed, arguments, in_flight, kept, own=own, macos=macos, facts=facts)
        with _for_sources(resolution.sources) as folder, storage.scratch() as apart:
            standing_in = stand_ins(resolution.sources, folder)
            standing = _placed(resolution, apart)
            named = [text for is_asked, text in standing if is_asked]
            # a place that another package names only applies where that package's requirement does
            brought = [text for is_asked, text in standing if not is_asked]
            closed = self._compile(
                [*requirements, *named], [*narrowed, *brought], arguments, in_flight, kept,
                beside=folder if resolution.sources else None, own=own, macos=macos, facts=facts,
            )  # fmt: skip
            if isinstance(closed, Unclosed):
                return closed
            return self._with_sources(closed, standing_in, resolution, platform)

    def _here(self, dependencies: Iterable[str]) -> Iterator[str]:
        """Requirements that uv understands in any folder, with paths of this machine."""
        for text in dependencies:
            wish = parse_requirement(text)
            reference = direct.reference_of(wish)
            path = None if reference is None else reference.path(self._root)
            if reference is None or path is None:
                yield text
            else:
                yield str(direct.placed(wish, reference._replace(location=path.as_uri())))

    def _with_sources(
        self, closed: Pylock, standing_in: Mapping[str, SourceRelease], resolution: Resolution, platform: Platform
    ) -> Pylock:
        """The result, with source distributions instead of the wheels that replaced them."""
        taken = [standing_in[name] for package in closed.packages for name in _files_of(package) if name in standing_in]
        if not taken:
            return closed
        texts = [f"{one.name}=={one.version}" for one in taken]
        unbuilt = [word for one in taken for word in ("--no-binary", one.name)]
        found = self._compile(texts, [], [*_alone(resolution, platform), *unbuilt], macos=_macos(resolution, platform))
        if isinstance(found, Unclosed):
            raise UnavailableError(
                f"{resolution.request.environment}: the index that uv is configured for has no source distribution of"
                f" {' and '.join(texts)}: {found.cause}",
                hints=["use an index that has it (`uv.toml`, UV_DEFAULT_INDEX): it was never published as a wheel"],
            )
        sources = {package.name: package for package in found.packages}
        packages = [sources.get(package.name, package) for package in closed.packages]
        return dataclasses.replace(closed, packages=packages)

    def building(self, names: Collection[str], resolution: Resolution, platform: Platform) -> Pylock | Unclosed:
        """The wheels that build these source distributions and trees, and the project itself.

        Args:
            names: the projects that are not wheels.
            resolution: the resolution that contains them.
            platform: the target.

        Raises:
            OutsideError: uv, the index or the network failed.
        """
        texts = dict.fromkeys(text for one in resolution.sources if one.name in names for text in one.build)
        placed = [one for one in resolution.direct if one.name in names]
        texts |= dict.fromkeys(text for one in placed for text in one.build)
        texts |= dict.fromkeys(map(str, resolution.request.project_build))
        asked = _target(resolution, platform)
        if resolution.request.project_build or placed:
            asked.remove(_NO_DEPENDENCIES)  # the matrix names all that builds a source distribution, a project does not
        # build tools may be newer than the source distribution that they build, so the cut-off day does not apply
        day = [] if names else _cutoff(resolution.request.cutoff)
        return self._compile(list(texts), [], [*asked, *day], macos=_macos(resolution, platform))

    def offers(self, requirement: str, resolution: Resolution, platform: Platform) -> bool:
        """Whether a configured index or folder has a wheel for this exact requirement."""
        found = self._compile(
            [requirement], [], _alone(resolution, platform),
            own=self.own_indexes(resolution), macos=_macos(resolution, platform),
        )  # fmt: skip
        return isinstance(found, Pylock)

    def beside_default_index(self, name: str, resolution: Resolution, platform: Platform) -> Version | None:
        """The newest wheel of a project outside uv's default index; None if there is none."""
        with storage.scratch() as nothing:
            arguments = [*_alone(resolution, platform), "--default-index", nothing.as_uri()]
            found = self._compile([name], [], arguments, macos=_macos(resolution, platform))
        return found.packages[0].version if isinstance(found, Pylock) and found.packages else None

    def _compile(
        self,
        requirements: Sequence[str],
        constraints: Sequence[str],
        arguments: Sequence[str],
        in_flight: int | None = None,
        kept: Sequence[Requirement] = (),
        *,
        beside: Path | None = None,
        own: Mapping[str, str] = MappingProxyType({}),
        macos: Version | None,
        facts: Mapping[str, str] = MappingProxyType({}),
    ) -> Pylock | Unclosed:
        answer = self._asker.ask(
            Question(
                tuple(requirements),
                tuple(constraints),
                tuple(arguments),
                preferred=_preferences(kept) if kept else "",
                own=tuple(own.items()),
                in_flight=in_flight,
                macos="" if macos is None else f"{macos.major}.{macos.minor}",
                beside=None if beside is None else str(beside),
                facts=tuple(sorted(facts.items())),
            )
        )
        return _read(answer.lock) if answer.lock else Unclosed(named=_named(answer.refusal), reason=answer.refusal)


def _placed(resolution: Resolution, folder: Path) -> list[tuple[bool, str]]:
    """Requirements on wheels that replace what is built; whether each is requested, or only brought in by another."""
    releases = {one.name: one for one in resolution.direct}
    standing = {
        one.name: folder / filename
        for filename, one in stand_ins(
            [SourceRelease(one.name, Version(one.version), one.requires, one.build) for one in releases.values()],
            folder,
        ).items()
    }
    found = []
    for wish in resolution.request.dependencies:
        if wish.name in standing and wish.url is not None:
            marker = "" if wish.marker is None else f" ; {wish.marker}"
            found.append((True, f"{wish.head} @ {standing[wish.name].as_uri()}{marker}"))
    found += [(False, f"{name} @ {standing[name].as_uri()}") for name, one in releases.items() if not one.asked]
    return found


@contextlib.contextmanager
def _for_sources(sources: Sequence[SourceRelease]) -> Iterator[Path]:
    """A folder for replacements of these: always the same one, so that uv's input is too; else a scratch folder."""
    place = questions.stand_ins() / lockfiles.digest(repr(sorted(sources)).encode("utf-8", "surrogatepass"))
    try:
        place.mkdir(parents=True, exist_ok=True)
        stand_ins(sources, place)
    except (OSError, OutsideError):  # the cache cannot be written
        with storage.scratch() as folder:
            yield folder
    else:
        yield place


def stand_ins(sources: Sequence[SourceRelease], folder: Path) -> Mapping[str, SourceRelease]:
    """Write wheels with only metadata as replacements of source distributions; file name -> what it replaces.

    They tell uv the requirements without building anything: locking runs no code of a package, and the interpreter that
    runs kgen may be too new to build such an old release. Existing files stay unchanged.

    Raises:
        OutsideError: a file cannot be written.
    """
    made = {}
    for one in sources:
        stem = f"{one.name.replace('-', '_')}-{one.version}"
        texts = {
            "METADATA": "".join(
                [
                    f"Metadata-Version: 2.1\nName: {one.name}\nVersion: {one.version}\n",
                    *(f"Requires-Dist: {text}\n" for text in one.requires),
                    *(f"Provides-Extra: {extra}\n" for extra in sorted(set(_EXTRA.findall(" ".join(one.requires))))),
                ]
            ),
            "WHEEL": "Wheel-Version: 1.0\nGenerator: kgen\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, text in texts.items():
                archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/{name}"), text)
        filename = f"{stem}-py3-none-any.whl"
        path = folder / filename
        if not files.is_file(path) or path.read_bytes() != content.getvalue():
            storage.write_file(path, content.getvalue())
        made[filename] = one
    return made


def _files_of(package: Package) -> list[str]:
    return [wheel.filename for wheel in package.wheels or ()]


def _preferences(kept: Sequence[Requirement]) -> str:
    """A lock in the place where uv will write one: uv keeps its versions where it can."""
    rows = [(wish.name, *(one.version for one in wish.specifier)) for wish in kept]
    head = 'lock-version = "1.0"\ncreated-by = "kgen"\n'
    return head + "".join(f'[[packages]]\nname = "{name}"\nversion = "{version}"\n' for name, version in rows)


def _alone(resolution: Resolution, platform: Platform) -> list[str]:
    """Arguments for one package without its dependencies."""
    return [*_target(resolution, platform), *_cutoff(resolution.request.cutoff)]


def _target(resolution: Resolution, platform: Platform) -> list[str]:
    """Arguments for the target, without the cut-off day."""
    request = resolution.request
    return [
        _NO_DEPENDENCIES, "--python-version", request.python,
        "--python-platform", uv_platform(platform, request.glibc),
    ]  # fmt: skip


def _cutoff(cutoff: datetime.date | None, republished: Mapping[str, datetime.date] = MappingProxyType({})) -> list[str]:
    """Arguments for the cut-off day, in UTC and including the whole day, so that locks are the same everywhere."""
    if cutoff is None:
        return []
    later = [f"{name}={_end_of(day)}" for name, day in sorted(republished.items()) if day > cutoff]
    words = [word for text in later for word in ("--exclude-newer-package", text)]
    return ["--exclude-newer", _end_of(cutoff), *words]


def _end_of(day: datetime.date) -> str:
    return f"{day + datetime.timedelta(days=1)}T00:00:00Z"


def _macos(resolution: Resolution, platform: Platform) -> Version | None:
    """The macOS floor of a target, which uv reads from a variable; None on other systems."""
    return resolution.request.macos or platform.macos


def uv_platform(platform: Platform, glibc: Version | None) -> str:
    """The name of a target in uv.

    If uv does not have the glibc floor, the next newer one is used; kgen judges the lock by the real floor.
    """
    floor = glibc or platform.glibc
    if floor is None:
        return platform.uv
    known = [version for version in platform.uv_glibc if version >= floor] or [platform.uv_glibc[-1]]
    return platform.uv.format(glibc=f"{known[0].major}_{known[0].minor}")


def _read(text: str) -> Pylock:
    try:
        return Pylock.from_dict(tomli.loads(text))
    except (ValueError, PylockValidationError) as error:
        raise FailedProgramError(
            f"uv wrote a lock that cannot be read: {error}", hints=["pip install --upgrade uv"]
        ) from None


def _named(reason: str) -> dict[str, Version]:
    named: dict[str, Version] = {}
    for name, text in _PIN.findall(reason):
        try:
            named[canonicalize_name(name)] = Version(text.rstrip("."))
        except InvalidVersion:
            continue
    return named
