"""How conda writes requirements, as the standard writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from kgen import conda_only
from kgen.actions.takeover.builder import TakeoverBuilder
from kgen.matrix.compatibility import CompatibilityMatrix

_SPEC = re.compile(
    r"(?:[A-Za-z0-9_./:-]+::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)(?P<rest>(?:[ =<>!~][^\[]*)?)(?:\[(?P<inside>.*)\])?"
)
_IN_BRACKETS = re.compile(r"""([a-z_0-9]+)\s*=\s*('[^']*'|"[^"]*"|[^,'"\s]+)""")

SELECTED = "  # "
"""What stands between a requirement and its selector."""

SELECTORS: Mapping[str, str] = {
    "": "",
    "linux": "sys_platform == 'linux'",
    "linux64": "sys_platform == 'linux' and platform_machine == 'x86_64'",
    "linux-64": "sys_platform == 'linux' and platform_machine == 'x86_64'",
    "aarch64": "sys_platform == 'linux' and platform_machine == 'aarch64'",
    "linux-aarch64": "sys_platform == 'linux' and platform_machine == 'aarch64'",
    "osx": "sys_platform == 'darwin'",
    "arm64": "sys_platform == 'darwin' and platform_machine == 'arm64'",
    "osx-arm64": "sys_platform == 'darwin' and platform_machine == 'arm64'",
    "osx64": "sys_platform == 'darwin' and platform_machine == 'x86_64'",
    "osx-64": "sys_platform == 'darwin' and platform_machine == 'x86_64'",
    "unix": "sys_platform != 'win32'",
    "win": "sys_platform == 'win32'",
    "win64": "sys_platform == 'win32'",
    "win-64": "sys_platform == 'win32'",
}
"""Where a line of an `environment.yml` counts, as conda-lock reads it, as a marker of the standard."""


def _range(text: str) -> str | None:
    """Conda's way to write a range, in the standard's; None where that has no such thing."""
    text = text.strip()
    # the build behind a version is conda's alone
    text = re.sub(r"^(=?[0-9][^=\s,|]*)[=\s][^=].*$", r"\1", text)
    text = re.sub(r"(?<=[0-9*])\s+[^\s0-9<>=!~,|][^\s,|]*$|^=?\*(?:[=\s].*)?$", "", text)
    parts = []
    for part in filter(None, (one.strip().replace(" ", "") for one in text.split(","))):
        match = re.fullmatch(r"(?P<sign>==|=|>=|<=|>|<|!=|~=)?(?P<version>[0-9][0-9A-Za-z.]*?)(?P<star>\.?\*)?", part)
        if match is None:
            return None
        sign, version = match["sign"] or "=", match["version"]
        if sign == "=" or (sign in {"==", "!="} and match["star"]):
            parts.append(f"{'!=' if sign == '!=' else '=='}{version}.*")
        else:
            parts.append(f"{sign}{version}")
    return ",".join(parts)


def add_rows(builder: TakeoverBuilder, texts: Sequence[str]) -> None:
    """Take over dependencies, each with the selector behind it, if any, as a marker.

    Args:
        builder: collects them.
        texts: as conda writes them.
    """
    for text in texts:
        spec, _, selector = text.partition(SELECTED)
        match = _SPEC.fullmatch(spec)
        if match is None:
            builder.left.append(f"{spec}: it is not a requirement that kgen can read")
        elif selector and selector not in SELECTORS:
            builder.left.append(
                f"{spec}  # [{selector}]: kgen knows the selectors {', '.join(filter(None, SELECTORS))}"
            )
        else:
            inside = dict(_IN_BRACKETS.findall(match["inside"] or ""))
            version = inside.get("version", match["rest"].strip()).strip("'\"")
            add_match(builder, match["name"], version, SELECTORS.get(selector, ""))


def add_match(builder: TakeoverBuilder, name: str, version: str, marker: str = "") -> None:
    """Take over what conda calls a package, in its own way to write versions.

    Args:
        builder: collects it.
        name: conda's name of it.
        version: the range, and what comes after it.
        marker: where it is wanted; none for everywhere.
    """
    ranges = _range(version)
    if ranges is None and not _only_in_conda(builder.matrix, name, version):
        builder.left.append(f"{name} {version}: only conda reads such versions")
        return
    if name == "python" and ranges is not None:
        builder.python = ranges
    elif name in {"pip", "setuptools", "wheel"}:
        builder.left.append(f"{name}: no environment of kgen needs it")
    elif reason := _only_in_conda(builder.matrix, name, version):
        builder.left.append(f"{f'{name} {version}'.strip()}: {reason}")
    else:
        project = builder.matrix.channel_projects.get(name) or conda_only.packages().projects.get(name, name)
        builder.add(f"{project}{ranges or ''}{marker and f'; {marker}'}")


def _only_in_conda(matrix: CompatibilityMatrix, name: str, version: str) -> str | None:
    """Why a package of conda is nothing to take over; None for one of a project of the index."""
    only = conda_only.packages()
    kind = only.kind_of(name)
    number = re.match(r"[=<>~!\s]*([0-9]+(?:\.[0-9]+)?)", version)
    if kind == "cuda":
        asks = f"; `kgen lock --cuda {number[1]}` asks for it" if number is not None else ""
        return f"kgen chooses CUDA{asks}"
    if kind == "parts" or name in matrix.channel_runtimes:
        return "kgen chooses it, with CUDA"
    if kind == "builds":
        return "it says which build is meant; `kgen lock --cpu` or `--cuda` says that to kgen"
    return "it is not a Python package; the system has it, or wheels bring it along" if kind == "system" else None
