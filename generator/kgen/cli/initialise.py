"""`kgen init`: writes the settings, from what this machine has."""

from __future__ import annotations

import argparse
from pathlib import Path

from kgen import host
from kgen.cli import console
from kgen.cli.init import write_settings
from kgen.errors import ExitStatus
from kgen.matrix import origin
from kgen.project import find_root


def run(arguments: argparse.Namespace) -> ExitStatus:
    """Write the settings and say where."""
    matrix = origin.current()
    path, text = write_settings(
        find_root(Path.cwd()),
        host.inspect(),
        matrix,
        cuda=arguments.cuda,
        cpu=bool(arguments.cpu),
        backends=arguments.backends,
        python=arguments.python,
        nix=host.has_program("nix"),
    )
    console.result(text.rstrip("\n"))
    console.say(f"\nwritten to {path.name}; next: kgen lock")
    kin = host.conda_program()
    if kin is not None:
        console.say(
            f"{kin} is on this machine: `kgen lock --conda` makes conda-lock.yml too, and"
            ' `installers = ["uv", "conda"]` in the settings has it made every time'
        )
    return ExitStatus.DONE
