"""Picks the wheel of each package that uv resolved: the best one for the target, by hash, and no unasked build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from packaging.pylock import Package, Pylock
from packaging.version import Version

from kgen.errors import MalformedAnswerError, OutsideError, UnavailableError
from kgen.fields import allow_build_command
from kgen.formats.wheels.lock import LockedWheel, best_wheel, supported_tags
from kgen.matrix.records import Platform
from kgen.model.lockfile import LockedFile
from kgen.model.request import EnvironmentRequest
from kgen.model.resolution import Resolution

if TYPE_CHECKING:
    from kgen.formats.wheels.direct import DirectWheel


def choose(
    answer: Resolution,
    platform: Platform,
    closed: Pylock,
    *,
    own: Mapping[str, str],
    named: Mapping[str, DirectWheel],
) -> tuple[dict[str, LockedWheel], list[Package]]:
    """Pick the best wheel of each package; returns them, and the packages that have none for the target.

    Args:
        answer: what was to be closed.
        platform: its platform.
        closed: what uv made of it.
        own: package -> the index that it alone comes from.
        named: package -> the wheel that the request names by its place.

    Raises:
        OutsideError: uv wants to build what nobody vouched for, or a file has no hash, or another than is asked for.
    """
    request = answer.request
    supported = supported_tags(platform, request.python, request.glibc, request.macos)
    chosen: dict[str, LockedWheel] = {}
    misfits = []
    placed = {one.name: one for one in answer.direct}
    _require_known(answer, [package.name for package in closed.packages if package.sdist is not None])
    for package in sorted(closed.packages, key=lambda package: package.name):
        if package.archive is not None:
            if package.name in placed:
                file = placed[package.name].file
                if file is not None:
                    chosen[package.name] = _of_file(file)
                continue
            if package.name in named:
                chosen[package.name] = _named(request, package, named[package.name])
                continue
        wheel = package.sdist or best_wheel(package, supported)
        sha256 = "" if wheel is None else wheel.hashes.get("sha256", "")
        if wheel is None or package.version is None:
            misfits.append(package)
            continue
        if not sha256:
            raise UnavailableError(
                f"{request.environment}: the index gives no sha256 for {wheel.filename}",
                hints=["use an index that serves hashes: a lock without them protects nobody"],
            )
        chosen[package.name] = LockedWheel(
            name=package.name,
            version=package.version,
            filename=wheel.filename,
            url=wheel.url or str(wheel.path),
            sha256=sha256,
            size=wheel.size,
            requires_python=None if package.requires_python is None else str(package.requires_python),
            index=own.get(package.name),
        )
    return chosen, misfits


def _named(request: EnvironmentRequest, package: Package, wheel: DirectWheel) -> LockedWheel:
    """A wheel that the request names, as the resolver has read and hashed it.

    Raises:
        OutsideError: it has another digest than the request says, or no version.
    """
    assert package.archive is not None  # noqa: S101 - that is what is looked at
    sha256 = package.archive.hashes.get("sha256", "")
    if package.version is None or not sha256:
        raise MalformedAnswerError(
            f"{request.environment}: uv gives no version or no sha256 of {wheel.reference.text}",
            hints=["pip install --upgrade uv"],
        )
    wheel.require(sha256)
    return LockedWheel(
        name=package.name,
        version=package.version,
        filename=wheel.reference.filename,
        url=wheel.url,
        sha256=sha256,
        size=package.archive.size,
        requires_python=None if package.requires_python is None else str(package.requires_python),
        direct=True,
        path=wheel.path,
    )


def _require_known(answer: Resolution, sources: Sequence[str]) -> None:
    """Check that nothing is built but what somebody has vouched for: the matrix, or the user by name.

    Raises:
        OutsideError: uv was told to build something else.
    """
    known = {one.name for one in answer.sources}
    others = [name for name in sources if name not in known]
    if others:
        names = ", ".join(others)
        raise OutsideError(
            f"{answer.request.environment}: uv is configured to build {names} from source (`no-binary`), and kgen"
            " does not lock builds that neither the matrix nor the settings allow",
            hints=[
                f"take {names} out of `no-binary` in uv's configuration",
                f"or let kgen's settings allow it: {allow_build_command(others)}",
            ],
        )


def _of_file(file: LockedFile) -> LockedWheel:
    return LockedWheel(
        name=file.name,
        version=Version(file.version),
        filename=file.filename,
        url=str(file.url),
        sha256=file.sha256,
        size=file.size,
        requires_python=None,
        direct=True,
        path=file.path,
    )
