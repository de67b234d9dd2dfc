"""The documentation of the findings: a page for each rule, generated from the rule itself."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from kgen.findings.rules import known

_WIDTH = 100


def pages() -> Mapping[str, str]:
    """File name in `docs/findings` -> its text; `README.md` lists the others."""
    found = {f"{name}.md": _page(name) for name in known()}
    rows = [f"- [`{name}`]({name}.md): {rule.title}." for name, rule in sorted(known().items())]
    head = _filled(
        "What `kgen doctor` finds, by the identifiers that `kgen doctor --json` has."
        " `python -m kgen.findings.manual docs/findings` makes these pages from the code."
    )
    return {"README.md": "\n".join(["# Findings of `kgen doctor`", "", head, "", *rows, ""]), **found}


def _page(name: str) -> str:
    rule = known()[name]
    return "\n".join(
        [f"# {rule.title}", "", f"Identifier: `{name}`", "", _filled(rule.about), "", "## What to do", "",
         _filled(rule.fixing), ""]
    )  # fmt: skip


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    for file, text in pages().items():
        (Path(sys.argv[1]) / file).write_text(text, encoding="utf-8")
