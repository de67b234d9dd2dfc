"""Reads source distributions that the user allows to be built, without running anything in them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.parser import Parser
from typing import TYPE_CHECKING

import tomli
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from kgen.errors import BuildError, HashMismatchError, MalformedAnswerError, UnavailableError
from kgen.formats.wheels.age import Releases, fits_on
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import SourceRelease

if TYPE_CHECKING:
    from kgen.index import IndexFile
    from kgen.wheels import WheelReader

_BY_DEFAULT = ("setuptools", "wheel")
"""The build requirements of a project that declares none (PEP 517)."""

_COMPILED = re.compile(r"\.(?:c|cc|cpp|cxx|cu|f|f90|go|hip|pyx|rs)$", re.IGNORECASE)
_ASIDE = ("test", "doc", "example")
"""The beginnings of paths that do not belong to the package itself."""

_LARGEST = 4 * 1024 * 1024
"""The largest size in bytes of a text that is read from a source distribution."""

_WHEELS = "wheels"
"""The folder in hints for wheels that the user builds."""

_ARCHIVE = ".tar.gz"
_HEADING = re.compile(r"\[(?P<extra>[^:\]]*)(?::(?P<marker>[^\]]*))?\]")


def source_releases(
    matrix: CompatibilityMatrix, request: EnvironmentRequest, releases: Releases, reader: WheelReader
) -> Iterator[SourceRelease]:
    """What may be built for the projects that the user names: the newest release of each, if it has no wheel.

    Args:
        matrix: the facts.
        request: the request.
        releases: the releases on the indexes.
        reader: fetches a source distribution.

    Raises:
        OutsideError: a project cannot be built: it needs a compiler, or its files do not state enough.
    """
    known = {one.name for one in matrix.generation_of(request.backends).sources}
    wishes = (*request.dependencies, *request.requirements, *request.constraints)
    for name in request.build:
        if name in known:
            continue
        allowed = {
            version: files
            for version, files in releases.of(name).items()
            if not version.is_prerelease
            and all(version in wish.specifier for wish in wishes if wish.name == name)
            and not any(file.yanked is not None for file in files)
            and (request.cutoff is None or any(_was_there(file, request) for file in files))
        }
        newest = max(allowed, default=None)
        if newest is None or fits_on(matrix, request, allowed[newest], request.python):
            continue  # it is not there, which uv says best; or its wheel is taken
        file = next((one for one in allowed[newest] if one.filename.endswith(_ARCHIVE)), None)
        if file is None:
            raise UnavailableError(
                f"{request.environment}: {name} {newest} has neither a wheel for the target nor a source distribution",
                hints=[f"take {name} out of `build`, or ask for another version of it"],
            )
        yield _release(request, name, newest, file, reader)


def _was_there(file: IndexFile, request: EnvironmentRequest) -> bool:
    return file.uploaded is None or request.cutoff is None or file.uploaded <= request.cutoff


def _release(
    request: EnvironmentRequest, name: str, version: Version, file: IndexFile, reader: WheelReader
) -> SourceRelease:
    content = reader.page(file.url, name=file.filename, headers={"Accept-Encoding": "identity"}, absent=()).body
    if file.sha256 and hashlib.sha256(content).hexdigest() != file.sha256:
        raise HashMismatchError(
            f"{request.environment}: {file.filename} has another sha256 than its index says",
            hints=["the index serves another file under that name: tell its maintainers"],
        )
    return SourceRelease(name, version, *read_source(request, f"{name}=={version}", file.filename, content))


def read_source(
    request: EnvironmentRequest, wish: str, filename: str, content: bytes
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The run-time requirements and the build requirements of a source distribution.

    Args:
        request: the request.
        wish: the requirement with which pip installs it.
        filename: the file's name.
        content: the file.

    Raises:
        OutsideError: it cannot be read, or needs a compiler.
    """
    try:
        compiled, texts = _read(content)
    except (tarfile.TarError, OSError, EOFError, UnicodeDecodeError) as error:
        raise MalformedAnswerError(
            f"{request.environment}: {filename} cannot be read: {error}",
            hints=["take it out of `build`, or ask for another version of it"],
        ) from None
    if compiled:
        raise BuildError(
            f"{request.environment}: {filename} is not pure Python ({compiled}): what compiles it cannot be pinned",
            hints=[f"{by_hand(request, wish)}   # then: export UV_FIND_LINKS={_WHEELS}, and require it by its name"],
        )
    return tuple(_requires(texts)), tuple(_build_requires(texts))


def by_hand(request: EnvironmentRequest, *releases: str) -> str:
    """The command that builds wheels of source distributions into a folder, using the compilers of this machine.

    Args:
        request: the request, for its Python.
        releases: what to build, as requirements.
    """
    return f"python{request.python} -m pip wheel --no-deps -w {_WHEELS} {' '.join(map(shlex.quote, releases))}"


def compiled_file(paths: Iterable[str]) -> str:
    """The first file of a project that needs a compiler; empty if there is none."""
    return next((one for one in paths if _COMPILED.search(one) and not one.startswith(_ASIDE)), "")


def _read(content: bytes) -> tuple[str, Mapping[str, str]]:
    """The first file that needs a compiler, or empty; and the texts that state what a project needs."""
    compiled, texts = "", {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            path = member.name.partition("/")[2]
            if not member.isfile():
                continue
            compiled = compiled or compiled_file((path,))
            name = path.rpartition("/")[2]
            if path in {"pyproject.toml", "PKG-INFO"} or (
                name == "requires.txt" and path.partition("/")[0].endswith(".egg-info")
            ):
                extracted = archive.extractfile(member)
                if extracted is not None:
                    texts[name] = extracted.read(_LARGEST).decode("utf-8-sig")
    return compiled, texts


def _requires(texts: Mapping[str, str]) -> Iterator[str]:
    """The run-time requirements that the source distribution was made with."""
    stated = Parser().parsestr(texts.get("PKG-INFO", "")).get_all("Requires-Dist") or []
    for text in stated or _egg_requires(texts.get("requires.txt", "")):
        with contextlib.suppress(InvalidRequirement):
            yield str(Requirement(text))


def _egg_requires(text: str) -> Iterator[str]:
    """The requirements that setuptools records, under headings that name an extra, a marker, or both."""
    extra = marker = ""
    for line in map(str.strip, text.splitlines()):
        heading = _HEADING.fullmatch(line)
        if heading is not None:
            extra, marker = heading["extra"], heading["marker"] or ""
        elif line:
            conditions = [f"({marker})"] if marker else []
            conditions += [f'extra == "{extra}"'] if extra else []
            yield f"{line}; {' and '.join(conditions)}" if conditions else line


def _build_requires(texts: Mapping[str, str]) -> Sequence[str]:
    try:
        found = tomli.loads(texts.get("pyproject.toml", "")).get("build-system", {}).get("requires", _BY_DEFAULT)
        return [str(Requirement(text)) for text in found] or _BY_DEFAULT
    except (ValueError, AttributeError, TypeError):
        return _BY_DEFAULT
