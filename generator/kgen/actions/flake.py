"""The `flake.nix` of the project, and the library that it may import: what they say, and writing them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kgen import __version__, files, host, lockfiles, parsers, replay, resources, storage
from kgen.emitters.nix import CARRIED, PLATFORMS, carries, default_environment, render_flake
from kgen.errors import KgenError
from kgen.project import LOCKS
from kgen.settings import Settings
from kgen.validation import program

NAME = "flake.nix"
PROJECT = "keras-kgen"
_COMMIT = "[0-9a-f]{40,64}"
_STAMP = "VERSION"
"""In a carried library: which kgen's it is."""
_PACKAGE = "package"
"""In a carried library: what runs of kgen's own package, where `sources.nix` looks for it."""
_TABLES = ("accelerators.toml", "backends.toml", "generations.toml")
"""The files of the matrix that `matrix.nix` reads."""
_LEFT_OUT = frozenset({"kgen.nix"})
"""The files of the library that build kgen itself, from the repository."""


def text(settings: Settings, backends: Sequence[str], *, default: str | None = None) -> str:
    """The text of the project's `flake.nix`.

    Args:
        settings: the project's settings.
        backends: the backends in the project's order.
        default: the environment of the shell without a name; None for that of the first backend that is locked.
    """
    found = own() if settings.flake is None else settings.flake
    return render_flake(flake=found, default=default or default_environment(served(settings), backends))


def own() -> str | None:
    """Where kgen's own flake is: at the commit that this kgen was installed from; None if that is not known.

    Installers write down where a project is from that they took out of a repository (PEP 610).
    """
    import importlib.metadata  # noqa: PLC0415 - slow to import, and a flake that is there says it

    try:
        said = importlib.metadata.distribution(PROJECT).read_text("direct_url.json")
        return _of_repository(json.loads(said or "{}"))
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        return None


def _of_repository(origin: object) -> str:
    """The flake of a commit of a git repository.

    Raises:
        ValueError: it is from none, or not as it should be.
    """
    if not isinstance(origin, Mapping) or not isinstance(origin.get("vcs_info"), Mapping):
        raise ValueError("not from a repository")  # noqa: TRY004 - what is in a file, not how this is called
    repository = origin["vcs_info"]
    url, commit = origin.get("url"), repository.get("commit_id")
    if repository.get("vcs") != "git" or not isinstance(url, str) or not isinstance(commit, str):
        raise ValueError("not from a repository of git")
    if re.fullmatch(_COMMIT, commit) is None or "?" in url or "#" in url:
        raise ValueError("not a commit by its name")
    return parsers.parse_flake(f"git+{url}?rev={commit}")


def served(settings: Settings) -> list[str]:
    """The project's locked environments that Nix can have a shell for."""
    return [one.name for one in lockfiles.environments(settings.root) if not one.platforms.keys().isdisjoint(PLATFORMS)]


def is_missing(settings: Settings) -> bool:
    """Whether locking would write the project's `flake.nix`, or what that imports: it is wanted, and not there."""
    if settings.nix is False or not served(settings):
        return False
    replay.looked(settings.root / NAME)
    if not files.exists(settings.root / NAME):
        return True
    return _carries(settings) and _read(settings.root / LOCKS / CARRIED / _STAMP) != _stamp()


def left_out(settings: Settings) -> str | None:
    """Why a `flake.nix` that is missing is not written; None where none is, or where it can be."""
    root = settings.root
    refused = files.refusal(root) if is_missing(settings) else None
    return None if refused is None else f"{NAME} is left out, as {root} cannot be written: {refused.strerror}"


def emit(settings: Settings, backends: Sequence[str]) -> bool:
    """Write the project's `flake.nix` if it is wanted, of use and not there yet, and the library that it may import.

    Args:
        settings: the project's settings.
        backends: the backends in the project's order.

    Returns:
        Whether `flake.nix` was written.

    Raises:
        OutsideError: that was impossible.
    """
    if settings.nix is False or not served(settings):
        return False
    place = settings.root / NAME
    new = not files.exists(place) and storage.create_file(place, text(settings, backends).encode())
    if _carries(settings):
        carry(settings.root)
    return new


def carry(root: Path) -> None:
    """Have a project carry this kgen's library for Nix, and nothing else where that lies.

    Args:
        root: the project's folder, which has locks.

    Raises:
        OutsideError: that was impossible.
    """
    locks = root / LOCKS
    with storage.exclusive(locks):
        storage.replace_folder(locks / CARRIED, dict(_carried()), owned=lambda _path: True)


def _carries(settings: Settings) -> bool:
    """Whether the library belongs into the project: its flake imports it, and Nix is in use here."""
    wanted = settings.nix or host.has_program("nix")
    return wanted and carries((_read(settings.root / NAME) or b"").decode(errors="replace"))


def _read(path: Path) -> bytes | None:
    """What is in a file; None if there is none, or it is nothing that kgen wrote."""
    try:
        return files.read(path, files.SMALL)
    except (OSError, KgenError):
        return None


def _stamp() -> bytes:
    return f"{__version__}\n".encode()


def _carried() -> Iterator[tuple[str, bytes]]:
    """The files of the library as a project carries it: path in its folder, and content."""
    library, package = resources.folder("nix"), Path(__file__).resolve().parents[1]
    yield _STAMP, _stamp()
    yield "README.md", (resources.folder("templates") / "nix/README.md").read_bytes()
    for path in sorted([*library.glob("*.nix"), *library.glob("builders/*.py")]):
        if path.name not in _LEFT_OUT:
            yield path.relative_to(library).as_posix(), path.read_bytes()
    programs = [
        package / "formats/wheels/pep517.py",
        program.REFERENCE,
        program.REFERENCE.with_suffix(".json"),
        *program.step_files(),
    ]
    for path in programs:
        yield f"{_PACKAGE}/{path.relative_to(package).as_posix()}", path.read_bytes()
    for name in _TABLES:
        yield f"{_PACKAGE}/_data/matrix/{name}", (resources.folder("matrix") / name).read_bytes()
