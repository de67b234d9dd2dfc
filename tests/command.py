"""The `kgen` command as its users meet it: a process of its own; what it says, without the accidents."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.forks import Forks

from kgen import uvtool

CUTOFF = "2026-11-20"
"""The day whose answers the tests expect; later rows of the matrix change nothing in them."""

PYTHON = "3.11"
"""The Python whose answers the tests expect."""

UV = uvtool.typed()
"""How a hint has uv typed: by its name where PATH has it."""

LOCK = ("lock", "--python", PYTHON, "--platform", "linux-64", "--exclude-newer", CUTOFF)
SOLVE = ("solve", *LOCK[1:])

_SECONDS = 120
_FILTERS = (
    (re.compile(r"127\.0\.0\.1:\d+"), "[INDEX]"),
    (re.compile(r"/simple/[a-z0-9-]+/"), "/simple/[PACKAGE]/"),  # uv asks for many at once
    (re.compile(r" +\d+\.\d s(?= )"), "  [TIME]"),
    (re.compile(r"\b\d+(\.\d+)? [kMG]?B\b"), "[SIZE]"),
)


@dataclass(frozen=True)
class Result:
    """What a command has answered; `stdout` and `stderr` are filtered."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, kw_only=True)
class Kgen:
    """Runs `kgen` in a folder.

    Attributes:
        folder: where it runs.
        temporary: the folder that is called `[TEMP]` in what it says.
        environment: the whole environment that it gets.
        forks: what a call may be forked from; None if each is to be started as a user's shell does.
    """

    folder: Path
    temporary: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    forks: Forks | None = None

    def at(self, url: str) -> Kgen:
        """The same with another index."""
        return dataclasses.replace(self, environment={**self.environment, "UV_DEFAULT_INDEX": url})

    def __call__(
        self, *arguments: str, cwd: Path | None = None, timeout: float = _SECONDS, **environment: str
    ) -> Result:
        """Runs it to its end."""
        folder, its_own = cwd or self.folder, self.env(**environment)
        if self.forks is not None and self.forks.serves(folder, its_own):
            forked = self.forks.run(arguments, folder=folder, environment=its_own, timeout=timeout)
            return Result(forked.returncode, self.filtered(forked.stdout), self.filtered(forked.stderr))
        done = subprocess.run(
            self.words(*arguments),
            capture_output=True,
            check=False,
            cwd=folder,
            env=its_own,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout,
        )
        return Result(done.returncode, self.filtered(done.stdout), self.filtered(done.stderr))

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Starts it, in a process group of its own."""
        return subprocess.Popen(
            self.words(*arguments),
            cwd=self.folder,
            env=self.env(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    @staticmethod
    def words(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "kgen", *arguments]

    def env(self, **environment: str) -> dict[str, str]:
        """The environment of a run; an empty value takes a variable out."""
        merged = {**self.environment, **environment}
        return {name: value for name, value in merged.items() if value}

    def filtered(self, text: str) -> str:
        text = text.replace(str(self.temporary), "[TEMP]")
        for pattern, replacement in _FILTERS:
            text = pattern.sub(replacement, text)
        return text


def new_cache(folder: Path) -> Path:
    """A cache for kgen in which nothing is but the matrix as other runs have compiled it, under its own digest.

    Args:
        folder: where it is to be; its parent need not be there.
    """
    compiled = Path(os.environ["KGEN_CACHE_DIR"], "compiled-matrix")
    compiled.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / compiled.name).exists():
        (folder / compiled.name).symlink_to(compiled)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content; folders too, as they must not be left over either."""
    return {
        path.relative_to(folder).as_posix(): b"" if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about is none that runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
