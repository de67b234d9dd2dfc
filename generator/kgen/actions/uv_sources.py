"""What uv is configured with that shapes what is asked for, and what of that a lock cannot follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kgen import uvsettings
from kgen.errors import SettingsError
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.request import EnvironmentRequest
from kgen.settings import Settings


def require_lockable(shaped: uvsettings.Shape, settings: Settings) -> None:
    """Check that a lock can be made with uv's configuration.

    Raises:
        SettingsError: it cannot.
    """
    unbuilt = [error for name, error in shaped.unbuilt.items() if name not in settings.build]
    for error in (*shaped.refused, *unbuilt):
        raise error


def from_sources(
    request: EnvironmentRequest, shaped: uvsettings.Shape, settings: Settings, matrix: CompatibilityMatrix
) -> EnvironmentRequest:
    """The request with the indexes of uv's configuration that its own dependencies are from.

    Args:
        request: what is asked.
        shaped: what uv is configured with.
        settings: the settings, of which extras and groups count.
        matrix: the facts; on what it follows it decides.
    """
    names = sorted({one.name for one in request.dependencies if not matrix.follows(one.name)} & shaped.sources.keys())
    found = ((name, _source_of(name, request, shaped, settings, matrix)) for name in names)
    sources = (uvsettings.recorded_source(name, one.name) for name, one in found if one is not None and one.name)
    return request._replace(uv=tuple(sorted({*request.uv, *sources})))


def _source_of(
    name: str,
    request: EnvironmentRequest,
    shaped: uvsettings.Shape,
    settings: Settings,
    matrix: CompatibilityMatrix,
) -> uvsettings.PackageSource | None:
    """Where uv takes a package from for what is asked; None where no row of its `sources` is about that."""
    parts = {("extra", one) for one in settings.extras} | {("group", one) for one in settings.groups}
    for one in shaped.sources.get(name, ()):
        is_asked = one.part is None or one.part in parts
        if is_asked and (one.marker is None or matrix.holds(one.marker, request)):
            return one
    return None


def unfollowed(
    requests: Sequence[EnvironmentRequest], settings: Settings, shaped: uvsettings.Shape, matrix: CompatibilityMatrix
) -> Iterator[str]:
    """What uv is configured with that a lock does not follow.

    Raises:
        SettingsError: it cannot be followed, or leaves out what is asked for.
    """
    for request in requests:
        if shaped.environments and not any(matrix.holds(text, request) for text in shaped.environments):
            said = " or ".join(shaped.environments)
            raise SettingsError(
                f"{request.environment}: uv's `environments` ({said}) leave out {request.platform}",
                hints=["kgen lock --platform P, with one of them, or take `environments` out of uv's configuration"],
            )
        for wish in request.dependencies:
            source = _source_of(wish.name, request, shaped, settings, matrix)
            if source is not None and source.place and wish.url is None and not matrix.follows(wish.name):
                what = f"uv's `sources` take {wish.name} from {source.place}, which kgen cannot lock"
                mend = (
                    f"build a wheel of {wish.name} (`uv build --wheel`) and name its folder: export UV_FIND_LINKS=dist"
                )
                raise SettingsError(f"{request.environment}: {what}", hints=[mend])
    followed = {name for request in requests for name in (matrix.backends[b].framework for b in request.backends)}
    for name in sorted(followed & shaped.sources.keys()):
        mirror = mirror_in_sources(shaped, name, matrix)
        if mirror is None:
            yield f"uv's `sources` of {name} are not followed: the matrix decides on its builds; see `torch-index`"
        elif settings.torch_index is None:
            yield (
                f"uv's `sources` of {name} are not followed: the matrix decides on its builds;"
                f" `--torch-index {mirror}` takes them from there"
            )
    if shaped.day is not None and any(request.cutoff == shaped.day for request in requests):
        yield f"nothing published after {shaped.day} counts, as uv's `exclude-newer` says"


def mirror_in_sources(shaped: uvsettings.Shape, framework: str, matrix: CompatibilityMatrix) -> str | None:
    """The folder of the index that uv's `sources` name for a framework, as `torch-index` takes it.

    Returns:
        `https://mirror.example/whl` where the index is `https://mirror.example/whl/cu126`; None where no index is
        named, or its last folder is not the label of a build.
    """
    labels = {build.local for release in matrix.framework(framework).releases for build in release.builds}
    for one in shaped.sources.get(framework, ()):
        base, _, label = (one.url or "").rstrip("/").rpartition("/")
        if base and label in labels:
            return base
    return None
