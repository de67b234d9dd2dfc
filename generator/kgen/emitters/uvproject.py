"""A lock as `[tool.uv]` of pyproject.toml: uv resolves to its versions, in a lock of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping

from kgen.model.lockfile import Lockfile
from kgen.templates import render


def render_uv(locks: Mapping[str, Lockfile], indexes: Mapping[str, str], *, roots: tuple[str, ...]) -> str:
    """The table that keeps uv at what is locked.

    Args:
        locks: the environment marker of a platform -> its lock.
        indexes: framework -> the URL of its own index, for those whose locked files are from there.
        roots: what a project has to require to get what is locked.

    Raises:
        ValueError: a value is none that a lock can have.
    """
    for lock in locks.values():
        lock.require_grammar()
    first = next(iter(locks.values()))
    pins: dict[str, list[str]] = {}
    for marker, lock in locks.items():
        for file in lock.files:
            if not file.direct:
                pins.setdefault(f"{file.name}=={file.version}", []).append(marker)
    return render(
        "exports/uv.toml.j2",
        label=first.environment,
        python=first.python,
        platforms=", ".join(lock.platform for lock in locks.values()),
        variables=" and ".join(f"{name}={value}" for name, value in sorted(first.variables.items())),
        packages=" ".join(roots),
        environments=[json.dumps(marker) for marker in locks],
        constraints=[json.dumps(_constraint(pin, on, len(locks))) for pin, on in sorted(pins.items())],
        indexes=[{"name": json.dumps(_index_of(name)), "url": json.dumps(url)} for name, url in indexes.items()],
        sources=[f"{json.dumps(name)} = {{ index = {json.dumps(_index_of(name))} }}" for name in indexes],
    )


def _constraint(pin: str, markers: list[str], platforms: int) -> str:
    """A pin, on the platforms that have it where others have another or none."""
    return pin if len(markers) == platforms else f"{pin} ; {' or '.join(f'({one})' for one in markers)}"


def _index_of(framework: str) -> str:
    return f"{framework}-own"
