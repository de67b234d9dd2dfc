"""A lock of conda in the forms that others have: URLs, an environment.yml with every version pinned, pixi's lock.

Each is of one platform: builds differ from one to the next. What conda knows nothing of, the wheels, is in all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kgen.formats.conda import condafiles
from kgen.formats.conda.condafiles import CondaFile, CondaPlatform
from kgen.formats.conda.names import needs


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
        *(f"{record['url']}#{record['md5']}" for record in in_order(locked.packages)),
        *(f"# pip {wheel['name']} @ {wheel['url']}#sha256={wheel['sha256']}" for wheel in locked.wheels),
    ]
    return "\n".join(lines) + "\n"


def in_order(packages: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Packages so that each comes after those that it needs, and else by name; conda links a list as it stands.

    Python needs pip in older builds, which needs Python: what closes such a circle comes last.
    """
    by_name = {one["name"]: one for one in packages}
    wanted = {name: sorted(set(needs(one)) & by_name.keys() - {name}) for name, one in by_name.items()}
    if "python" in wanted:
        wanted["python"] = [name for name in wanted["python"] if "python" not in wanted[name]]
    found: dict[str, Mapping[str, Any]] = {}
    for start in sorted(by_name):
        open_names: dict[str, Iterator[str]] = {start: iter(wanted[start])} if start not in found else {}
        while open_names:
            name = next(reversed(open_names))
            other = next((one for one in open_names[name] if one not in found and one not in open_names), None)
            if other is None:
                del open_names[name]
                found[name] = by_name[name]
            else:
                open_names[other] = iter(wanted[other])
    return tuple(found.values())


def _variables(file: CondaFile) -> Iterator[str]:
    return (f"{name}={value}" for name, value in sorted(file.variables.items()))


def render_environment(file: CondaFile, platform: str) -> str:
    """The packages of one platform as `conda env create` and `micromamba create --file` take them.

    Version and build are pinned; the form has no room for conda's hashes. The wheels have theirs, which pip compares.
    `variables` is what selects the backend when the environment is activated. Each package names its channel, so that
    none comes from conda's defaults: `nodefaults`, which would keep them out, is a channel's name for conda 26.7.
    """
    locked = file.platforms[platform]
    lines = [
        f"# Made by kgen: {file.environment} on {platform}, every package pinned. The hashes are in conda-lock.yml.",
        "# conda env create --prefix PREFIX --file FILE",
        f"name: {file.environment}",
        "channels:",
        *(f"  - {json.dumps(channel)}" for channel in file.channels),
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
    """`channel::name=version=build`."""
    spec = f"{record['name']}={record['version']}={record['build']}"
    base = str(record["channel"]).rstrip("/")
    return f"{_channel_at(file, base) or base}::{spec}"


def _channel_at(file: CondaFile, base: str) -> str | None:
    """The channel of a lock that is at an address: of `main` and `mine/main`, the one that has more of it."""
    plain = {one: one.strip("/") for one in file.channels}
    there = [one for one, name in plain.items() if base == name or base.endswith(f"/{name}")]
    return max(there, key=len, default=None)


def _pip(locked: CondaPlatform) -> Iterator[str]:
    if not locked.wheels:
        return
    yield "  - pip:"
    for wheel in locked.wheels:
        # pip compares what such a URL ends with, and conda-lock knows no other way to say it
        requirement = f"{wheel['name']} @ {wheel['url']}#sha256={wheel['sha256']}"
        yield f"      - {json.dumps(requirement)}"


_KEPT = (
    "build_number", "sha256", "md5", "depends", "constrains", "noarch", "features", "track_features",
    "license", "license_family", "size", "timestamp", "python_site_packages_path",
)  # fmt: skip
"""What version 6 of the form holds of a package that the URL does not say, in its order."""


def render_rattler_lock(file: CondaFile, platform: str) -> str:
    """The packages of one platform as pixi.lock has them, in version 6 of the form, which pixi reads since 0.35."""
    locked = file.platforms[platform]
    lines = ["version: 6", "environments:", "  default:", "    channels:"]
    lines += [f"    - url: {json.dumps(url)}" for url in _channel_urls(file, locked)]
    lines += ["    packages:", f"      {platform}:"]
    lines += [f"      - conda: {json.dumps(one['url'])}" for one in locked.packages]
    lines += [f"      - pypi: {json.dumps(one['url'])}" for one in locked.wheels]
    lines += ["packages:"]
    for record in sorted(locked.packages, key=lambda one: str(one["url"])):
        lines.append(f"- conda: {json.dumps(record['url'])}")
        # JSON is YAML
        kept = ((key, record.get(key)) for key in _KEPT)
        lines += [f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in kept if value not in (None, [])]
    for wheel in locked.wheels:
        lines.append(f"- pypi: {json.dumps(wheel['url'])}")
        lines += [f"  {key}: {json.dumps(wheel[key])}" for key in ("name", "version", "sha256")]
    return "\n".join(lines) + "\n"


def _channel_urls(file: CondaFile, locked: CondaPlatform) -> Iterator[str]:
    """The addresses of the channels, which pixi wants in the place of names; of one that gave nothing, its name."""
    bases = dict.fromkeys(str(record["channel"]).rstrip("/") for record in locked.packages)
    for channel in file.channels:
        yield next((f"{one}/" for one in bases if _channel_at(file, one) == channel), channel)


EXPORTS: Mapping[str, Callable[[Path, str], str]] = MappingProxyType(
    {
        "conda-explicit": lambda path, platform: render_explicit(condafiles.read(path), platform),
        "rattler-lock": lambda path, platform: render_rattler_lock(condafiles.read(path), platform),
        "environment-yml": lambda path, platform: render_environment(condafiles.read(path), platform),
    }
)
"""See :class:`kgen.formats.interface.Exporter`."""
