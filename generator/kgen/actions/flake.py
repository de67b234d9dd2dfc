"""The `flake.nix` of the project: what it says, and writing it where there is none."""

from __future__ import annotations

from collections.abc import Sequence

from kgen import lockfiles, storage
from kgen.emitters.nix import PLATFORMS, default_environment, render_flake
from kgen.settings import Settings

NAME = "flake.nix"


def text(settings: Settings, backends: Sequence[str], *, default: str | None = None) -> str:
    """The text of the project's `flake.nix`.

    Args:
        settings: the project's settings.
        backends: the backends in the project's order.
        default: the environment of the shell without a name; None for that of the first backend that is locked.
    """
    return render_flake(flake=settings.flake, default=default or default_environment(served(settings), backends))


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
