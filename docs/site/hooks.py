"""The reference, made from the code: `python docs/site/hooks.py` makes it again; mkdocs adds `llms.txt`."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kgen
from kgen import lockfiles, schema
from kgen.accelerators import known
from kgen.cli import manual
from kgen.errors import MEANINGS
from kgen.explain import codes
from kgen.fields import FIELDS, LOCKED, Shape
from kgen.matrix import records
from kgen.validation import program

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

_HERE = Path(__file__).parents[1]
_MADE = re.compile(r"(<!-- made: (\w+) -->).*?(<!-- made -->)", re.DOTALL)
_SEARCH = 'data-md-component="search" role="dialog"'
_ROWS = (
    records.Framework,
    records.Release,
    records.Build,
    records.GpuFailure,
    records.Library,
    records.LibraryRelease,
    records.Companion,
    records.AcceleratorKind,
    records.AcceleratorMajor,
    records.Toolkit,
    records.CudnnSupport,
    records.Platform,
    records.PythonMinor,
    records.Generation,
    records.Backend,
    records.Image,
)
"""The kinds of rows that the page about the matrix describes."""

_SHAPES = {
    Shape.ONE: "text",
    Shape.MANY: "list of text",
    Shape.PAIRS: "table of text",
    Shape.YES: "`true`",
    Shape.SWITCH: "`true` or `false`",
    Shape.OPTIONAL: "`true` or text",
    Shape.DAY: "date",
}


def on_post_build(config: MkDocsConfig) -> None:
    """Write the list of pages for language models."""
    titles = []
    for path in sorted(Path(config.docs_dir).rglob("*.md")):
        where = path.relative_to(config.docs_dir).with_suffix("").as_posix()
        head = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        titles.append(f"- [{head}]({where.removesuffix('README').removesuffix('index')})")
    text = "# kgen\n\n> One reproducible, GPU-proven environment per Keras backend.\n\n## Pages\n\n"
    Path(config.site_dir, "llms.txt").write_text(text + "\n".join(titles) + "\n", encoding="utf-8")


def on_post_page(output: str, **_: object) -> str:
    """Name the search dialog, which the theme leaves without a name for screen readers."""
    return output.replace(_SEARCH, f'{_SEARCH} aria-label="Search"')


def pages() -> dict[str, str]:
    """File below `docs` -> its text, with what is made from the code as it is now."""
    made = {
        "settings": settings_table,
        "statuses": statuses_table,
        "api": api_reference,
        "lock": lock_table,
        "receipt": receipt_tables,
        "matrix": matrix_tables,
    }
    found = {"reference/commands.md": commands(), "kgen.schema.json": schema.text()}
    found |= {f"errors/{name}": text for name, text in codes.pages().items()}
    for path in sorted((_HERE / "reference").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if _MADE.search(text):
            name = path.relative_to(_HERE).as_posix()
            found[name] = _MADE.sub(lambda mark: f"{mark[1]}\n\n{made[mark[2]]().strip()}\n\n{mark[3]}", text)
    return found


def commands() -> str:
    """Every command with its options, as `kgen help` groups them."""
    return "\n".join(["# Commands", "", *_commands()])


def _commands() -> Iterator[str]:
    for command in manual.described():
        yield f"## `{command.name}`"
        yield ""
        yield f"{command.purpose[:1].upper()}{command.purpose[1:]}."
        yield ""
        yield from ("```sh", command.example, "```", "") if command.example else ()
        for heading, rows in command.panels.items():
            yield f"| {heading} | |"
            yield "|---|---|"
            yield from (f"| `{_cell(term)}` | {_cell(text)} |" for term, text in rows)
            yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def settings_table() -> str:
    """A row for each key of the settings."""
    rows = ["| key | value | flag | what it says |", "|---|---|---|---|"]
    for field in FIELDS:
        if field.key is not None:
            flag = f"`{field.flag}`" if field.flag else ""
            rows.append(f"| `{field.key}` | {_SHAPES[field.shape]} | {flag} | {_cell(field.help)} |")
    rows.append("| `envs` | text |  | the folder of the environments on disk |")
    return "\n".join(rows)


def statuses_table() -> str:
    """A row for each exit status."""
    rows = [f"| {int(status)} | {meaning} |" for status, meaning in MEANINGS.items()]
    return "\n".join(["| exit status | meaning |", "|---|---|", *rows])


def lock_table() -> str:
    """A row for each key of a lock's `[tool.kgen]`: what kgen decided, then the request."""
    decided = dict(lockfiles.DECIDED)
    decided |= {kind.name: f"the version of {kind.title} in the environment" for kind in known() if kind.versioned}
    asked = {
        key: meaning or field.help.removesuffix("; repeatable")
        for field, entry in LOCKED
        for key, meaning in entry.keys.items()
    }
    rows = ["| key | meaning |", "|---|---|"]
    for heading, keys in (("**what kgen decided**", decided), ("**the request**", asked)):
        rows.append(f"| {heading} | |")
        rows += [f"| `{key}` | {_cell(meaning)} |" for key, meaning in keys.items()]
    return "\n".join(rows)


def receipt_tables() -> str:
    """A table for each part of a receipt, as its schema describes it."""
    schema = json.loads((program.STEP.parent / "receipt.schema.json").read_text(encoding="utf-8"))
    parts = {"": schema, **{f"### `{name}`": schema["$defs"][name] for name in ("detail", "step")}}
    rows: list[str] = []
    for heading, node in parts.items():
        rows += [heading, "", node["description"][:1].upper() + node["description"][1:] + ".", ""] if heading else []
        rows += ["| value | meaning |", "|---|---|"]
        rows += [f"| `{path}` | {_cell(meaning)} |" for path, meaning in _described(node, "")]
        rows.append("")
    return "\n".join(rows)


def _described(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Every value below a part of a schema, with its description; a value of another part only by itself."""
    if path:
        choices = [one for one in node.get("enum", ()) if one is not None]
        listed = f": {', '.join(f'`{one}`' for one in choices)}" if choices else ""
        yield path, node["description"] + listed
    for name, inner in node.get("properties", {}).items():
        shown = f'["{name}"]' if ":" in name else f".{name}" if path else name
        yield from _described(inner, path + shown)
    if "properties" in node.get("items", {}):
        yield from ((f"{path}[].{name}", meaning) for name, meaning in _described(node["items"], ""))


def matrix_tables() -> str:
    """A table for each kind of row, from what the code says of its values."""
    return "\n".join(line for record in _ROWS for line in _recorded(record))


def _recorded(record: type) -> Iterator[str]:
    about, _, attributes = (inspect.getdoc(record) or "").partition("\n\nAttributes:\n")
    yield from (f"### {re.sub('(?<=[a-z])(?=[A-Z])', ' ', record.__name__)}", "", " ".join(about.split()), "")
    yield from ("| value | meaning |", "|---|---|")
    for name, text in re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", attributes, re.DOTALL | re.MULTILINE):
        yield f"| `{name}` | {_cell(' '.join(text.split()))} |"
    yield ""


def api_reference() -> str:
    """Signature and docstring of everything that `import kgen` offers."""
    return "\n".join(line for name in kgen.__all__ for line in _documented(name, getattr(kgen, name)))


def _documented(name: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - a class or a function
    yield f"### `{name}`"
    yield ""
    if inspect.isfunction(value):
        yield from ("```python", re.sub(r" at 0x[0-9a-f]+", "", f"kgen.{name}{inspect.signature(value)}"), "```", "")
    yield from ("```text", textwrap.dedent(inspect.getdoc(value) or "").strip(), "```", "")


if __name__ == "__main__":
    for place, content in pages().items():
        (_HERE / place).write_text(content, encoding="utf-8")
