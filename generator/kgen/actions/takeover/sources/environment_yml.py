"""conda's `environment.yml`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kgen import files
from kgen.actions.takeover import condaspecs
from kgen.actions.takeover.builder import TakeoverBuilder, text_of
from kgen.actions.takeover.source import Source
from kgen.actions.takeover.sources import requirements_txt
from kgen.errors import SettingsError
from kgen.model import grammar

_LISTS = frozenset({"channels", "dependencies", "platforms"})
_MERGE = "tag:yaml.org,2002:merge"


class _EnvironmentYml(Source):
    files = ("*.yml", "*.yaml")
    usual = ("environment.yml", "environment.yaml")
    shown = "environment.yml"

    def read(self, builder: TakeoverBuilder, path: Path | None) -> None:
        assert path is not None  # noqa: S101 - it has no tool's name
        _read(builder, path)


def _read(builder: TakeoverBuilder, path: Path) -> None:
    said = _Environment(text_of(path), path).found
    if "dependencies" not in said:
        raise SettingsError(f"{path} has no `dependencies`", hints=["conda env export --from-history"])
    for key, values in said.items():
        plain = [one.partition(condaspecs.SELECTED)[0] for one in values]
        if key == "dependencies":
            condaspecs.add_rows(builder, values)
        elif key == "pip":
            _add_rows_of_pip(builder, plain, path.parent)
        elif key == "channels":
            builder.add_channels(plain)
        elif key == "platforms":
            builder.add_platforms(plain)
        elif key == "variables":
            builder.left.append("variables: set them where you run the project")
        elif key not in {"name", "prefix"}:
            builder.left.append(f"{key}: kgen has no such thing")


def _add_rows_of_pip(builder: TakeoverBuilder, texts: Sequence[str], folder: Path) -> None:
    """Take over the `pip` section of a conda environment; the files in it are relative to the environment's file."""
    for text in texts:
        named = re.fullmatch(r"(?:-r|--requirement)[ =](?P<file>\S+)", text)
        egg = re.fullmatch(r"(?P<place>[a-z]+\+[^#\s]+)#egg=(?P<name>[A-Za-z0-9._-]+)", text)
        if named is not None and files.is_file(folder / named["file"]):
            requirements_txt.read(builder, folder / named["file"])
        elif egg is not None:
            builder.add(f"{egg['name']} @ {egg['place']}")
        elif text.startswith("-") and not re.match(r"-e|--editable", text):
            builder.left.append(f"pip's `{text}`: name files with `kgen lock -r`, and indexes in uv.toml")
        else:
            builder.add(text)


class _Environment:
    """The lists of an `environment.yml`, by their keys.

    kgen reads only YAML's nodes: a version stays the text in the file, and a node has its line, on which the selector
    of conda-lock is a comment.

    Raises:
        SettingsError: the text is not YAML, or does not have the form of an `environment.yml`.
    """

    def __init__(self, text: str, path: Path) -> None:
        import yaml  # noqa: PLC0415 - an environment is taken over once

        self._path = path
        self._lines = text.splitlines()
        self.found: dict[str, list[str]] = {}
        try:
            # libyaml bounds the nesting, which costs Python's own reader minutes
            top = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            before = text[: getattr(error, "position", 0) or 0]
            raise self._refused(mark.line if mark is not None else before.count("\n")) from None
        if top is None:
            return
        for key, value in {key.value: value for key, value in self._rows(top)}.items():
            self._add(key, value)

    def _rows(self, node: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - PyYAML's
        """The keys of a map and their values; merged maps come before the map's own keys."""
        if not isinstance(node.value, list) or node.id != "mapping":
            raise self._refused(node.start_mark.line)
        own = []
        for key, value in node.value:
            if key.id != "scalar":
                raise self._refused(key.start_mark.line)
            if key.tag != _MERGE:
                own.append((key, value))
            elif depth:  # nobody writes more, and maps that merge each other have no end
                raise self._refused(key.start_mark.line)
            else:
                yield from self._rows(value, depth + 1)
        yield from own

    def _add(self, key: str, node: Any) -> None:  # noqa: ANN401 - PyYAML's
        if key not in _LISTS:
            self.found.setdefault(key, [])
            return
        self.found[key] = []
        if node.id != "sequence":
            if node.id == "scalar" and not node.value:  # a key alone
                return
            raise self._refused(node.start_mark.line)
        for one in node.value:
            if one.id == "mapping":
                for inner, rows in self._rows(one):
                    found = self.found.setdefault(inner.value, [])
                    if rows.id == "sequence":
                        found += [text for row in rows.value for text in self._texts(row)]
                    elif rows.value:
                        raise self._refused(rows.start_mark.line)
            else:
                self.found[key] += [f"{text}{self._selector(one)}" for text in self._texts(one)]

    def _texts(self, node: Any) -> list[str]:  # noqa: ANN401 - PyYAML's
        """The requirements in a row; with `|`, one on each line."""
        if node.id != "scalar":
            raise self._refused(node.start_mark.line)
        return [line.strip() for line in node.value.splitlines() if line.strip()]

    def _selector(self, node: Any) -> str:  # noqa: ANN401 - PyYAML's
        """conda-lock's selector after a row."""
        line = self._lines[node.end_mark.line : node.end_mark.line + 1]
        behind = re.match(r"\s*#\s*\[([^\]]*)\]", line[0][node.end_mark.column :]) if line else None
        return f"{condaspecs.SELECTED}{behind[1].strip()}" if behind is not None else ""

    def _refused(self, line: int) -> SettingsError:
        # what is begun and has no end is noticed behind the last line
        line = min(line, max(len(self._lines) - 1, 0))
        shown = self._lines[line].strip() if self._lines else ""
        return SettingsError(
            f"{self._path}, line {line + 1}: not as environment.yml has it: {grammar.shown(shown)}",
            hints=["conda env export --from-history"],
        )


SOURCE = _EnvironmentYml()
