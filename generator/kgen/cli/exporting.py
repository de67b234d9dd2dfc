"""`kgen export`: what is locked, in the forms of other tools, on stdout."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from kgen import resources, settings
from kgen.cli import console, flake
from kgen.errors import ExitStatus, UsageError
from kgen.matrix.compatibility import load
from kgen.settings import Settings
from kgen.tables import nearest

_LOCK = re.compile(r"pylock\.[a-z0-9-]+\.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is to be exported.

    Attributes:
        settings: the project's settings.
        backends: the backends in the project's order.
        environment: the environment that was named, which is locked; None if none was.
    """

    settings: Settings
    backends: tuple[str, ...]
    environment: str | None

    @property
    def locks(self) -> Path:
        """The folder of the project's locks."""
        return self.settings.root / "locks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A form to export to.

    Attributes:
        render: makes its text.
        of_one: whether it is of one environment, so that one must be named where several are locked.
    """

    render: Callable[[Export], str]
    of_one: bool


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "nix": Format(
            render=lambda export: flake.text(export.settings, export.backends, default=export.environment),
            of_one=False,
        ),
    }
)
"""Every format, by its name on the command line."""


def run(arguments: argparse.Namespace) -> ExitStatus:
    """Print the project's locks, or one environment of them, in a format."""
    chosen = FORMATS.get(arguments.format)
    if chosen is None:
        near = nearest(arguments.format, FORMATS)
        raise UsageError(
            f"there is no format `{arguments.format}` to export to",
            hints=[f"did you mean `{near}`?"] if near else [f"known are {', '.join(FORMATS)}"],
        )
    matrix = load(resources.folder("matrix"))
    found = settings.read(settings.find_root(Path.cwd()), matrix)
    environment = arguments.environment
    if environment is not None or chosen.of_one:
        environment = _environment(found.root / "locks", environment)
    backends = found.backends or tuple(matrix.backends)
    console.result(chosen.render(Export(settings=found, backends=backends, environment=environment)).removesuffix("\n"))
    return ExitStatus.DONE


def _environment(locks: Path, name: str | None) -> str:
    """The locked environment of this name, or the one whose name begins with it; where none is named, the only one."""
    try:
        folders = [path for path in sorted(locks.iterdir()) if not path.name.startswith(".") and path.is_dir()]
        known = [path.name for path in folders if any(_LOCK.fullmatch(file.name) for file in path.iterdir())]
    except (FileNotFoundError, NotADirectoryError):
        known = []
    if not known:
        raise UsageError(f"nothing is locked: {locks} holds no lock", hints=["kgen lock"])
    meant = [one for one in known if name in {one, None, _short(one)}]
    chosen = name if name in known else meant[0] if len(meant) == 1 else None
    if chosen is not None:
        return chosen
    if meant:
        what = "no environment is named" if name is None else f"`{name}` is more than one environment"
        raise UsageError(f"{what}: {', '.join(meant)} are locked", hints=[f"name {meant[0]}, or another of them"])
    near = nearest(name or "", [*known, *map(_short, known)])
    raise UsageError(
        f"`{name}` is not locked: {locks} holds {', '.join(known)}",
        hints=[f"did you mean `{near}`?"] if near else [f"kgen lock {name}"],
    )


def _short(environment: str) -> str:
    """Its name without the accelerator."""
    return environment.rpartition("-")[0]
