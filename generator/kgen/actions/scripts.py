"""What a script says about itself: the block `# /// script` of PEP 723."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import tomli

from kgen import files

SUFFIX = ".py"

_BLOCK = re.compile(r"(?m)^# /// script$\s(?P<content>(?:^#(?:| .*)$\s)+)^# ///$")


class Script(NamedTuple):
    """What a script requires.

    Attributes:
        dependencies: the requirements, as they stand there.
        requires_python: the range of Pythons; None where it does not say.
        tools: the tools whose tables it has, such as `uv`.
    """

    dependencies: tuple[str, ...]
    requires_python: str | None
    tools: tuple[str, ...]


def read(path: Path) -> Script:
    """Read the block.

    Args:
        path: the script.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not text, it has no such block, or one that makes no sense.
    """
    text = files.read_text(path, encoding="utf-8-sig").replace("\r\n", "\n")
    # what ends the file ends the block, too
    found = list(_BLOCK.finditer(f"{text}\n"))
    if len(found) != 1:
        there = f"{len(found)} of them" if found else "none"
        raise ValueError(f"a script names its requirements in one block `# /// script`, and this one has {there}")
    lines = found[0]["content"].splitlines()
    try:
        data = tomli.loads("\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines))
    except (tomli.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"its block `# /// script` is not valid TOML: {error}") from None
    required, python, tool = (data.get(key) for key in ("dependencies", "requires-python", "tool"))
    if required is not None and not (isinstance(required, list) and all(isinstance(one, str) for one in required)):
        raise ValueError("its block `# /// script`: dependencies: should be an array of texts")
    if python is not None and not isinstance(python, str):
        raise ValueError("its block `# /// script`: requires-python: should be text")
    return Script(tuple(required or ()), python, tuple(tool) if isinstance(tool, dict) else ())
