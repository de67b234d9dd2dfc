"""Files held to the schemas of who reads them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LIGHT = Path(__file__).parent / "fakes" / "light"
"""A folder for PYTHONPATH: what validates by jsonschema starts without a grammar that takes seconds to build, and that
is needed for the formats `iri` and `iri-reference` only."""


def assert_taken(schema: str, *paths: Path | str) -> None:
    """Every file has the form that its reader takes.

    Args:
        schema: its name in check-jsonschema, which comes with the schemas of well-known readers.
        paths: the files.
    """
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", schema, *map(str, paths)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(LIGHT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def assert_sound_workflow(path: Path) -> None:
    """It has the form that GitHub takes, and zizmor knows of nothing that may go wrong in it."""
    assert_taken("vendor.github-workflows", path)
    command = [str(Path(sys.executable).with_name("zizmor")), "--offline", "--quiet", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
