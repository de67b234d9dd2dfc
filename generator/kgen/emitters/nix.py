"""The flake of a user's project: a shell for each of its locks, by kgen's library for Nix.

The locks are data that the flake reads; nothing of what is in them is in its text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kgen import accelerators
from kgen.emitters.quoting import quote_nix
from kgen.templates import render

PLATFORMS = ("linux-64", "linux-aarch64", "osx-arm64")
"""The platforms, by conda's names, whose locks kgen's flake serves: there is no Nix on Windows."""

_REGISTERED = re.compile(r"(?:flake:)?(?P<name>[a-zA-Z][a-zA-Z0-9_-]*)")


CARRIED = ".nix"
"""The folder beside the locks in which a project carries kgen's library for Nix."""

_IMPORTS = re.compile(r"^[^#\n]*\bimport \./locks/\.nix\b", re.MULTILINE)


def render_flake(*, flake: str | None, default: str | None) -> str:
    """Render the `flake.nix` of a project.

    Args:
        flake: where kgen's own flake is, as Nix writes it; None where the project carries what it needs of that.
        default: the environment of the shell that has no name; None for no such shell.

    Raises:
        ValueError: a text holds NUL.
    """
    registered = None if flake is None else _REGISTERED.fullmatch(flake)
    return render(
        "nix/flake.nix.j2",
        flake=None if flake is None else quote_nix(flake),
        default=None if default is None else quote_nix(default),
        registered=registered and registered["name"],
    )


def carries(flake: str) -> bool:
    """Whether the text of a flake takes kgen's library from the folder :data:`CARRIED`."""
    return _IMPORTS.search(flake) is not None


def default_environment(environments: Sequence[str], backends: Sequence[str]) -> str | None:
    """The environment that a project means when it names none: that of its first backend.

    Args:
        environments: the environments that are locked.
        backends: the backends in the project's order.
    """

    def place(environment: str) -> tuple[int, str]:
        match = re.fullmatch(rf"(?P<name>.+)-{accelerators.pattern()}", environment)
        name = environment if match is None else match["name"]
        return (backends.index(name) if name in backends else len(backends)), environment

    return min(environments, key=place, default=None)
