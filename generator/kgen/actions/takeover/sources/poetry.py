"""Poetry's table in `pyproject.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kgen.actions.pythons import poetry_range
from kgen.actions.takeover.builder import TakeoverBuilder, table_in
from kgen.actions.takeover.source import Source, table_of_tool
from kgen.project import PYPROJECT


class _Poetry(Source):
    tool = "poetry"
    stands_alone = True

    def read(self, builder: TakeoverBuilder, path: Path | None) -> None:
        del path
        table = table_of_tool(builder, self.tool)
        named = table_in(table, "group", PYPROJECT)
        groups = {name: table_in(named, name, PYPROJECT) for name in named}
        for name, group in groups.items():
            if group.get("optional"):
                builder.left.append(f"group {name} of Poetry: it is optional; `kgen add` takes what is in it")
        every = [
            table_in(table, "dependencies", PYPROJECT),
            table_in(table, "dev-dependencies", PYPROJECT),
            *(table_in(group, "dependencies", PYPROJECT) for group in groups.values() if not group.get("optional")),
        ]
        for rows in every:
            for name, value in rows.items():
                version = value.get("version", "*") if isinstance(value, Mapping) else value
                if name == "python":
                    builder.python = poetry_range(str(version))
                    continue
                if isinstance(value, Mapping) and value.get("optional") is True:
                    builder.left.append(f"{name}: it is optional, for an extra of Poetry; `kgen add {name}` takes it")
                    continue
                builder.add_row(name, value, version, poetry_range)
        if table.get("source"):
            builder.left.append("[[tool.poetry.source]]: uv asks its own indexes; name them as `[[index]]` in uv.toml")


SOURCE = _Poetry()
