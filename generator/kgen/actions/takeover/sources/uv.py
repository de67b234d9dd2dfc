"""uv's groups and sources, in `pyproject.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kgen.actions.takeover.builder import TakeoverBuilder, table_in, texts_in, toml_of
from kgen.actions.takeover.source import Source, add_project
from kgen.project import PYPROJECT


class _Uv(Source):
    tool = "uv"

    def read(self, builder: TakeoverBuilder, path: Path | None) -> None:
        del path
        data = toml_of(builder.root / PYPROJECT)
        add_project(builder, data)
        table = table_in(table_in(data, "tool", PYPROJECT), self.tool, PYPROJECT)
        groups = table_in(data, "dependency-groups", PYPROJECT)
        wanted = table.get("default-groups", ["dev"])
        chosen = list(groups) if wanted == "all" else [name for name in texts_in(wanted) if name in groups]
        if chosen:
            builder.lists["groups"] = chosen
        for text in texts_in(table.get("dev-dependencies")):
            builder.add(text)
        for name, row in table_in(table, "sources", PYPROJECT).items():
            rows = row if isinstance(row, list) else [row]
            # one place is read from there whenever kgen locks
            if len(rows) > 1 and not all(isinstance(one, Mapping) and "index" in one for one in rows):
                builder.left.append(f"the sources of {name} in [tool.uv.sources]: kgen locks one place for all")


SOURCE = _Uv()
