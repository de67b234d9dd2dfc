"""Locks the tools of the development environment: `python -m tests.lock_tools [--upgrade]`, in the repository's root.

Writes `tests/requirements.txt` from `pyproject.toml`: every version by hash, for each Python that kgen runs on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kgen.uvtool import find

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "tests" / "requirements.txt"
WORDS = (
    "--group",
    "dev",
    "--extra",
    "conda",
    "--extra",
    "sign",
    "--extra",
    "fleet",
    "--universal",
    "--python-version",
    "3.10",
    "--generate-hashes",
)


def main() -> int:
    """Runs uv; returns its exit status."""
    command = [
        *(find(), "pip", "compile", "pyproject.toml", *WORDS, "--no-annotate", "--quiet"),
        *("--custom-compile-command", "python -m tests.lock_tools", "-o", str(LOCK.relative_to(ROOT))),
        *sys.argv[1:],
    ]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
