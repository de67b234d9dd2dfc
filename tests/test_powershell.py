"""PowerShell's scripts, as a grammar of PowerShell reads them: their syntax is checked where `pwsh` is missing.

What they do is tested in `test_hooks.py`, where `pwsh` is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_powershell
from hypothesis import given
from hypothesis import strategies as st
from tests.command import LOCK, Kgen

from kgen.shells import recognised

ROOT = Path(__file__).resolve().parents[1]
HOOKS = sorted([*ROOT.glob("locks/*/*activate.d/*.ps1"), *ROOT.glob("tests/golden/hooks/*/*/*.ps1")])
PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))


def faults(node: tree_sitter.Node) -> Iterator[str]:
    """Where a script is not PowerShell: line and text."""
    if node.is_error or node.is_missing:
        yield f"line {node.start_point[0] + 1}: {(node.text or b'')[:80].decode()}"
    for child in node.children:
        yield from faults(child)


def check(text: str) -> list[str]:
    return list(faults(PARSER.parse(text.encode()).root_node))


@pytest.mark.parametrize("path", HOOKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_hooks(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not check(text)
    assert check(text.replace("{\n", "\n", 1)), "a missing brace is not found"
    assert check(text + "if ($true) {"), "a brace too many is not found"


def test_completion(kgen: Kgen) -> None:
    done = kgen("completion", "pwsh")
    assert done.status == 0
    assert not check(done.stdout)
    assert check(done.stdout.replace("{", "", 1))


def test_entering_an_environment(kgen: Kgen) -> None:
    assert kgen(*LOCK, "numpy").status == 0
    assert kgen("sync", "numpy").status == 0
    done = kgen("activate", "numpy", "--shell", "pwsh")
    assert done.status == 0, done.stderr
    assert "activate" in done.stdout
    assert not check(done.stdout)
    assert check(done.stdout + "if ($true) {")


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))))
def test_what_is_quoted_is_one_value(text: str) -> None:
    script = f"$env:A = {recognised('pwsh').quote(text)}\n"
    tree = PARSER.parse(script.encode()).root_node
    assert not list(faults(tree))
    assert len(tree.named_children) == 1
