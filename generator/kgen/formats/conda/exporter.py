"""A lock of conda in the forms that conda itself has: a list of URLs, and an environment.yml with every version pinned.

Either is of one platform: builds differ from one to the next. What conda knows nothing of, the wheels, is in both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kgen.formats.conda import condafiles
from kgen.formats.conda.condafiles import CondaFile, CondaPlatform


def render_explicit(file: CondaFile, platform: str) -> str:
    """The packages of one platform as `conda create --file` and `micromamba create --file` take them.

    Nothing is solved then, and each package is compared with its md5, which is what every reader of this form knows.
    The wheels are comments in the form of conda-lock, with their sha256: it installs them, and others leave them out.
    """
    locked = file.platforms[platform]
    lines = [
        f"# Made by kgen: {file.environment} for Python {file.python}.",
        "# conda create --prefix PREFIX --file FILE; the same with mamba and micromamba. The backend is selected by",
        f"# conda env config vars set --prefix PREFIX {' '.join(_variables(file))}",
        f"# platform: {platform}",
        "@EXPLICIT",
        *(f"{record['url']}#{record['md5']}" for record in locked.packages),
        *(f"# pip {wheel['name']} @ {wheel['url']}#sha256={wheel['sha256']}" for wheel in locked.wheels),
    ]
    return "\n".join(lines) + "\n"


def _variables(file: CondaFile) -> Iterator[str]:
    return (f"{name}={value}" for name, value in sorted(file.variables.items()))


def render_environment(file: CondaFile, platform: str) -> str:
    """The packages of one platform as `conda env create` and `micromamba create --file` take them.

    Version and build are pinned; the form has no room for conda's hashes. The wheels have theirs, which pip compares.
    `variables` is what selects the backend when the environment is activated.
    """
    locked = file.platforms[platform]
    lines = [
        f"# Made by kgen: {file.environment} on {platform}, every package pinned. The hashes are in conda-lock.yml.",
        "# conda env create --prefix PREFIX --file FILE",
        f"name: {file.environment}",
        "channels:",
        *(f"  - {json.dumps(channel)}" for channel in file.channels),
        "  - nodefaults",
        "platforms:",
        f"  - {platform}",
        "dependencies:",
        *(f"  - {json.dumps(_pinned(file, record), ensure_ascii=False)}" for record in locked.packages),
        *_pip(locked),
        "variables:",
        *(f"  {name}: {json.dumps(value)}" for name, value in sorted(file.variables.items())),
    ]
    return "\n".join(lines) + "\n"


def _pinned(file: CondaFile, record: Mapping[str, Any]) -> str:
    """`name=version=build`, with its channel where there are several to choose from."""
    spec = f"{record['name']}={record['version']}={record['build']}"
    if len(file.channels) == 1:
        return spec
    base = str(record["channel"]).rstrip("/")
    channel = next((one for one in file.channels if base == one.rstrip("/") or base.endswith(f"/{one}")), base)
    return f"{channel}::{spec}"


def _pip(locked: CondaPlatform) -> Iterator[str]:
    if not locked.wheels:
        return
    yield "  - pip:"
    for wheel in locked.wheels:
        # pip compares what such a URL ends with, and conda-lock knows no other way to say it
        requirement = f"{wheel['name']} @ {wheel['url']}#sha256={wheel['sha256']}"
        yield f"      - {json.dumps(requirement)}"


EXPORTS: Mapping[str, Callable[[Path, str], str]] = MappingProxyType(
    {
        "conda-explicit": lambda path, platform: render_explicit(condafiles.read(path), platform),
        "environment-yml": lambda path, platform: render_environment(condafiles.read(path), platform),
    }
)
"""See :class:`kgen.formats.interface.Exporter`."""
