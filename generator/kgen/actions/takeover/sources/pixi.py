"""pixi's own file, or its table in `pyproject.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgen import files
from kgen.actions.requirements import PIXI
from kgen.actions.takeover import condaspecs
from kgen.actions.takeover.builder import TakeoverBuilder, table_in, texts_in, toml_of
from kgen.actions.takeover.source import Source, table_of_tool
from kgen.errors import SettingsError
from kgen.project import PYPROJECT
from kgen.tables import mismatch

_LEFT_OUT = {
    "feature": "features",
    "tasks": "tasks",
    "activation": "activation",
    "host-dependencies": "host-dependencies",
    "build-dependencies": "build-dependencies",
    "dependency-overrides": "dependency-overrides",
    "constraints": "constraints",
    "pypi-options": "options of pip's index",
}
"""Tables of pixi that are not taken over -> what is in them."""


class _Pixi(Source):
    tool = "pixi"
    stands_alone = True
    files = (PIXI,)
    usual = (PIXI,)

    def read(self, builder: TakeoverBuilder, path: Path | None) -> None:
        if path is None and files.is_file(builder.root / PIXI):
            path = builder.root / PIXI
        if path is None:
            _add(builder, table_of_tool(builder, self.tool), PYPROJECT)
        else:
            _add(builder, toml_of(path), path.name)


def _add(builder: TakeoverBuilder, table: Mapping[str, Any], where: str) -> None:
    head = table_in(table, "workspace" if "workspace" in table else "project", where)
    builder.add_platforms(texts_in(head.get("platforms")))
    # a channel of pixi's may have a priority, which their order says too
    rows = head.get("channels", [])
    if not isinstance(rows, list):
        raise SettingsError(f"{where}, channels: {mismatch(rows, list)}")
    builder.add_channels(texts_in([one.get("channel") if isinstance(one, Mapping) else one for one in rows]))
    _add_packages(builder, table, where)
    for name, value in table_in(table, "pypi-dependencies", where).items():
        version = value.get("version", "*") if isinstance(value, Mapping) else value
        if not (isinstance(value, Mapping) and value.get("editable")):
            builder.add_row(name, value, version, lambda text: "" if text == "*" else text)
    targets = table_in(table, "target", where)
    for platform in targets:
        target = table_in(targets, platform, where)
        if platform in condaspecs.SELECTORS:
            _add_packages(builder, target, where, condaspecs.SELECTORS[platform])
        if others := sorted(target.keys() - ({"dependencies"} if platform in condaspecs.SELECTORS else ())):
            builder.left.append(f"target.{platform} of {where} ({', '.join(others)}): kgen has no such thing")
    for key, what in _LEFT_OUT.items():
        if rows := table_in(table, key, where):
            builder.left.append(f"{what} of {where} ({', '.join(rows)}): kgen has no such thing")
    if table.get("system-requirements"):
        rows = table_in(table, "system-requirements", where)
        wanted = ", ".join(f"{name} {value}" for name, value in rows.items())
        builder.left.append(f"system-requirements {wanted}: kgen asks for `cuda`, `driver` and `glibc` by themselves")


def _add_packages(builder: TakeoverBuilder, table: Mapping[str, Any], where: str, marker: str = "") -> None:
    for name, value in table_in(table, "dependencies", where).items():
        version = value.get("version", "*") if isinstance(value, Mapping) else value
        if isinstance(version, str):
            condaspecs.add_match(builder, name, "" if version == "*" else version, marker)
        else:
            builder.left.append(f"{name}: its version {mismatch(version, str)}")


SOURCE = _Pixi()
