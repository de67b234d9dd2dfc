"""A lock as `[tool.uv]` of pyproject.toml: uv resolves to its versions, in a lock of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping

from kgen.model.lockfile import Lockfile
from kgen.templates import render


def render_uv(
    locks: Mapping[str, Lockfile], indexes: Mapping[str, Mapping[str, str]], *, roots: tuple[str, ...]
) -> str:
    """The table that keeps uv at what is locked.

    Args:
        locks: the environment marker of a platform -> its lock.
        indexes: framework -> the environment marker of a platform -> the URL of the framework's own index there, for
            those whose locked files are from it.
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
        indexes=[
            {"name": json.dumps(index), "url": json.dumps(url)}
            for name, urls in indexes.items()
            for url, index in _named(name, urls).items()
        ],
        sources=[f"{json.dumps(name)} = {_source(name, urls, len(locks))}" for name, urls in indexes.items()],
    )


def _constraint(pin: str, markers: list[str], platforms: int) -> str:
    """A pin, on the platforms that have it where others have another or none."""
    return pin if len(markers) == platforms else f"{pin} ; {' or '.join(f'({one})' for one in markers)}"


def _named(framework: str, urls: Mapping[str, str]) -> Mapping[str, str]:
    """What the indexes of a framework are called: one on all platforms, as a rule."""
    several = dict.fromkeys(urls.values())
    return {url: f"{framework}-own{f'-{place}' if place else ''}" for place, url in enumerate(several)}


def _source(framework: str, urls: Mapping[str, str], platforms: int) -> str:
    """Where uv takes a framework from, on the platforms on which that is not an index of the project's."""
    named = _named(framework, urls)
    if len(named) == 1 and len(urls) == platforms:
        return f"{{ index = {json.dumps(*named.values())} }}"
    rows = [f"{{ index = {json.dumps(named[url])}, marker = {json.dumps(marker)} }}" for marker, url in urls.items()]
    return f"[{', '.join(rows)}]"
