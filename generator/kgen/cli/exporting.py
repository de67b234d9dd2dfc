"""`kgen export`: what is locked, in the forms of other tools, on stdout."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from kgen import lockfiles, settings
from kgen.cli import console, flake
from kgen.emitters import requirements
from kgen.errors import ExitStatus, UsageError
from kgen.lockers import pylock
from kgen.matrix import origin
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.project import find_root
from kgen.settings import Settings
from kgen.tables import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is to be exported.

    Attributes:
        settings: the project's settings.
        backends: the backends in the project's order.
        environment: the environment that was named, which is locked; None if none was.
        matrix: the facts.
    """

    settings: Settings
    backends: tuple[str, ...]
    environment: str | None
    matrix: CompatibilityMatrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A form to export to.

    Attributes:
        render: makes its text.
        of_one: whether it is of one environment, so that one must be named where several are locked.
    """

    render: Callable[[Export], str]
    of_one: bool


def _requirements(export: Export) -> str:
    locked = lockfiles.choose(export.settings.root, str(export.environment))
    locks = {name: lockfiles.read(path) for name, path in locked.platforms.items()}
    unknown = next((name for name in locks if name not in export.matrix.platforms), None)
    if unknown is not None:
        raise UsageError(f"{locked.name} is locked for {unknown}, which the matrix does not know", hints=["kgen check"])
    return requirements.render({pylock.marker(export.matrix.platforms[name]): lock for name, lock in locks.items()})


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "nix": Format(
            render=lambda export: flake.text(export.settings, export.backends, default=export.environment),
            of_one=False,
        ),
        "requirements": Format(render=_requirements, of_one=True),
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
    matrix = origin.current()
    found = settings.read(find_root(Path.cwd()), matrix)
    environment = arguments.environment
    if environment is not None or chosen.of_one:
        environment = _environment(found.root, environment)
    backends = found.backends or tuple(matrix.backends)
    console.result(
        chosen.render(Export(settings=found, backends=backends, environment=environment, matrix=matrix)).removesuffix(
            "\n"
        )
    )
    return ExitStatus.DONE


def _environment(root: Path, name: str | None) -> str:
    """The locked environment of this name; where none is named, the only one."""
    if name is not None:
        return lockfiles.choose(root, name).name
    known = [one.name for one in lockfiles.environments(root)]
    if not known:
        raise UsageError(f"nothing is locked in {root}", hints=["kgen lock"])
    if len(known) > 1:
        raise UsageError(
            f"no environment is named: {', '.join(known)} are locked", hints=[f"name {known[0]}, or another of them"]
        )
    return known[0]
