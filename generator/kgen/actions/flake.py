"""The `flake.nix` of the project: what it says, and writing it where there is none."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence

from kgen import lockfiles, parsers, storage
from kgen.emitters.nix import PLATFORMS, default_environment, render_flake
from kgen.settings import Settings

NAME = "flake.nix"
PROJECT = "keras-kgen"
_COMMIT = "[0-9a-f]{40,64}"


def text(settings: Settings, backends: Sequence[str], *, default: str | None = None) -> str:
    """The text of the project's `flake.nix`.

    Args:
        settings: the project's settings.
        backends: the backends in the project's order.
        default: the environment of the shell without a name; None for that of the first backend that is locked.
    """
    found = own() if settings.flake == parsers.FLAKE else settings.flake
    return render_flake(flake=found, default=default or default_environment(served(settings), backends))


def own() -> str:
    """Where kgen's own flake is: at the commit that this kgen was installed from, or else whatever Nix's registry says.

    Installers write down where a project is from that they took out of a repository (PEP 610).
    """
    try:
        said = importlib.metadata.distribution(PROJECT).read_text("direct_url.json")
        return _of_repository(json.loads(said or "{}"))
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        return parsers.FLAKE


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
    """Whether locking would write the project's `flake.nix`: it is wanted, of use, and not there."""
    return settings.nix and not (settings.root / NAME).exists() and bool(served(settings))


def emit(settings: Settings, backends: Sequence[str]) -> bool:
    """Write the project's `flake.nix` if it is wanted, of use, and not there yet; says whether that was so."""
    if not settings.nix or not served(settings):
        return False
    return storage.create_file(settings.root / NAME, text(settings, backends).encode())
