"""What README and docs say: commands are run and their output compared, programs are run, links lead somewhere."""

from __future__ import annotations

import ast
import dataclasses
import functools
import html
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import tomli
from tests.browser import AXE, BROWSER, drawn, looked_at
from tests.command import Kgen, tree
from tests.recorded import REFERENCE, RecordedIndex, load, serving
from tests.test_reference_locks import at, without_frozen

from kgen import accelerators, lockfiles, tables
from kgen.cli import command, main
from kgen.fields import LOCKED

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
PAGES = [ROOT / "README.md", *EXAMPLES, *sorted(path for path in DOCS.rglob("*.md") if "findings" not in path.parts)]

_MARK = re.compile(r"^<!-- (?P<word>file|project|typed by|not run): (?P<what>.+) -->$")
_LONGEST_README = 130
OTHERS = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "nix/README.md")]
_ALL_PAGES = " ".join(word for page in PAGES for word in page.read_text(encoding="utf-8").split())
_MOUSE = "primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"
_SCHEMES = {"dark": "preferredColorScheme=0", "light": "preferredColorScheme=1"}
"""How the browser's settings write what the system prefers."""

_JUDGE = """
addEventListener("load", async () => {
  await new Promise(done => setTimeout(done, 500));  // until the theme has done its part
  const found = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]});
  const said = document.createElement("pre");
  said.id = "said";
  said.textContent = JSON.stringify({
    scheme: document.body.dataset.mdColorScheme, passes: found.passes.length,
    faults: found.violations.map(one => [one.id, one.nodes.map(node => node.html.slice(0, 200))]),
  });
  document.body.append(said);
});
"""


@dataclass(frozen=True)
class Block:
    """A fenced block, with the marks above it."""

    language: str
    text: str
    marks: tuple[tuple[str, str], ...] = ()


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    marks: list[tuple[str, str]] = []
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    for line in lines:
        mark = _MARK.match(line)
        if mark is not None:
            marks.append((mark["word"], mark["what"]))
        elif line.startswith("```"):
            inside = []
            for inner in lines:
                if inner == "```":
                    break
                inside.append(inner)
            yield Block(line.removeprefix("```"), "\n".join(inside) + "\n", tuple(marks))
            marks = []
        elif line.strip():
            marks = []


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def index() -> Iterator[RecordedIndex]:
    record = load()
    with serving(RecordedIndex(record, hidden=record.backfilled)) as served:
        yield served


@pytest.mark.parametrize("page", [page for page in PAGES if "```console" in page.read_text()], ids=named)
def test_what_is_shown_is_what_is_printed(
    page: Path, kgen: Kgen, project: Path, tmp_path: Path, index: RecordedIndex
) -> None:
    """A page is a session in one folder, with the index and the matrix of the tests."""
    there = at(kgen, index, tmp_path / "caches")
    for block in blocks(page):
        for word, what in block.marks:
            if word == "file":
                (project / what).write_text(block.text, encoding="utf-8")
            elif word == "project":  # of the day of the record, and otherwise as kgen decides
                asked = tomli.loads((REFERENCE / "kgen.toml").read_text(encoding="utf-8"))
                kept = (f"{key} = {json.dumps(asked[key], default=str)}\n" for key in ("python", "exclude-newer"))
                (project / "kgen.toml").write_text("".join(kept), encoding="utf-8")
        if block.language == "console":
            shown = list(calls(block.text))
            assert shown, block.text
            for words, output in shown:
                shown_here = normal(there.filtered(output))
                assert printed(there, words, upto=shown_here) == shown_here, shlex.join(words)


def calls(text: str) -> Iterator[tuple[list[str], str]]:
    """The commands of a block, each with what it prints."""
    parts = re.split(r"(?m)^\$ (.*)\n", text)
    assert parts[0] == "", text
    for line, output in zip(parts[1::2], parts[2::2], strict=True):
        assert line.startswith("kgen "), line
        yield shlex.split(line)[1:], output


def printed(kgen: Kgen, words: list[str], *, upto: str) -> str:
    """What a command prints on both streams, as far down as it is shown."""
    done = kgen(*words, timeout=300)
    both = normal(f"{done.stdout}{done.stderr}".strip() + "\n")
    shown = normal(upto)
    return (
        both
        if len(shown.splitlines()) >= len(both.splitlines())
        else f"{chr(10).join(both.splitlines()[: len(shown.splitlines())])}\n"
    )


def normal(text: str) -> str:
    """Without what depends on the machine: the widths of columns, which times and sizes decide."""
    return re.sub(r"(?<=\S) {2,}", "  ", text).strip() + "\n"


@pytest.mark.parametrize("page", EXAMPLES, ids=named)
def test_an_example_works_from_a_fresh_copy(page: Path, kgen: Kgen, project: Path) -> None:
    """Its settings are those that its page shows, and its data are what its program makes."""
    shutil.copytree(page.parent, project, dirs_exist_ok=True)
    (shown,) = (block.text for block in blocks(page) if block.language == "toml")
    assert (project / "kgen.toml").read_text(encoding="utf-8") == shown
    done = kgen("solve")
    assert done.status == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines() if ": Python" in line] == [
        f"{name}-cpu" for name in tomli.loads(shown)["backends"]
    ]


@pytest.mark.parametrize("page", EXAMPLES, ids=named)
def test_what_an_example_commits_is_in_order(page: Path, kgen: Kgen, project: Path) -> None:
    """Its locks satisfy its settings with the matrix that comes with kgen, and its workflow is what kgen exports."""
    shutil.copytree(page.parent, project, dirs_exist_ok=True)
    shipped = dataclasses.replace(kgen, environment=without_frozen(kgen))
    checked = shipped("check", "--json")
    faults = [one for one in json.loads(checked.stdout)["findings"] if one["kind"] == "fault"]
    assert (checked.status, faults) == (0, [])
    asked = tomli.loads((project / "kgen.toml").read_text(encoding="utf-8"))
    assert {path.name for path in (project / "locks").glob("[!.]*")} == {f"{name}-cpu" for name in asked["backends"]}
    assert not [path for path in (project / "locks").rglob("pylock.*") if "://" in path.read_text(encoding="utf-8")]
    exported = shipped("export", "github-actions").stdout
    assert (project / ".github/workflows/kgen.yml").read_text(encoding="utf-8") == exported


@pytest.mark.parametrize("notebook", sorted((ROOT / "examples").glob("*/*.ipynb")), ids=named)
def test_a_notebook_is_one(notebook: Path) -> None:
    """By the schema of nbformat; its cells are Python, and hold no output of anybody's machine."""
    schema = json.loads((ROOT / "tests/data/nbformat-4.5.schema.json").read_text(encoding="utf-8"))
    data = json.loads(notebook.read_text(encoding="utf-8"))
    assert [fault.message for fault in jsonschema.Draft4Validator(schema).iter_errors(data)] == []
    cells = [cell for cell in data["cells"] if cell["cell_type"] == "code"]
    assert cells
    for cell in cells:
        compile("".join(cell["source"]), notebook.name, "exec")
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert data["metadata"]["kernelspec"]["name"] in {path.name for path in (notebook.parent / "locks").glob("[!.]*")}


def test_the_readme_is_read_in_a_minute() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= _LONGEST_README


BLOCKS = [page for page in sorted((*PAGES, *(DOCS / "findings").glob("*.md"))) if "```" in page.read_text()]


@pytest.mark.parametrize("page", BLOCKS, ids=named)
def test_every_block_is_run_or_says_why_it_is_not(page: Path) -> None:
    """Here (`console`), held to the schema (settings), made from the code, typed by a test that reads it, or marked."""
    made = hooks().pages().get(named(page).removeprefix("docs/"), "") if page.is_relative_to(DOCS) else ""
    of_code = (
        made if "<!-- made: " not in made else "".join(re.findall(r"<!-- made: .*?<!-- made -->", made, re.DOTALL))
    )
    for block in blocks(page):
        marks = dict(block.marks)
        fenced = f"```{block.language}\n{block.text}```\n"
        if block.language in {"console", "toml"} or fenced in of_code:
            assert not marks.keys() & {"typed by", "not run"}, fenced
        elif "typed by" in marks:
            refuse_unread(page, block, marks["typed by"])
        else:
            assert "not run" in marks, f"no test runs this, and no mark says why:\n{fenced}"
            for name in re.findall(r"\btest_\w+\.py\b", marks["not run"]):
                assert (ROOT / "tests" / name).is_file(), name


def refuse_unread(page: Path, block: Block, test: str) -> None:
    """That there is a test of this name, whose module reads this page, and picks the block by something in it."""
    file, _, name = test.partition("::")
    module = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    declared = {one.name for one in ast.walk(module) if isinstance(one, ast.FunctionDef | ast.ClassDef)}
    assert name in declared, test
    texts = {one.value for one in ast.walk(module) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    linked = {target for text in texts for target in re.findall(rf"\[{re.escape(text)}\]\(([^)#]+)\)", _ALL_PAGES)}
    assert any(text.endswith(page.name) for text in texts | linked), f"{file} does not read {named(page)}"
    picks = {text for text in texts if text in block.text or text == block.language}
    assert picks, f"nothing in {file} picks:\n{block.text}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_exists_with_its_options(page: Path) -> None:
    for block in blocks(page):
        for line in block.text.splitlines() if block.language == "sh" else ():
            for part in re.split(r"&&|[|;\"()]", line.partition(" #")[0]):
                words = part.split()
                if words[:1] == ["kgen"]:
                    refuse_unknown(words[1:])


def refuse_unknown(words: list[str]) -> None:
    """That a call has only options that its command has."""
    context = command.context_of(main.kgen(), [], lenient=True)
    words = words[: words.index("--")] if "--" in words else words
    while isinstance(context.command, command.Group):
        found = context.command.get_command(context, words[0])
        assert found is not None, words
        context = found.make_context(words[0], [], parent=context, resilient_parsing=True)
        words = words[1:]
    known = {name for one in context.command.params for name in (*one.opts, *one.secondary_opts)} | {
        "--help",
        "--debug",
    }
    for word in words:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, (context.command_path, word)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_settings_that_are_shown_are_settings(page: Path) -> None:
    checker = jsonschema.Draft7Validator(json.loads((DOCS / "kgen.schema.json").read_text()))
    for block in blocks(page):
        if block.language == "toml":
            data = tomli.loads(block.text)
            own = data.get("tool", {}).get("kgen", {}) if "tool" in data or "project" in data else data
            assert [error.message for error in checker.iter_errors(json.loads(json.dumps(own, default=str)))] == []


GENERATED = re.compile(r"(?ms)^<!-- made:.*?^<!-- made -->$|^```.*?^```$|^<!--.*?-->$")
"""What nobody types: parts that are made from the code, examples, and remarks."""


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=named)
def test_lines_of_prose_are_short_enough_to_compare(page: Path) -> None:
    """So that a change of a word is a change of a line; tables, and what holds no space, cannot be folded."""
    if "errors" in page.parts:  # made from the code as a whole
        return
    lines = GENERATED.sub("", page.read_text(encoding="utf-8")).splitlines()
    typed = (line for line in lines if not line.startswith("|") and " " in line.strip())
    assert [line for line in typed if len(line) > 100] == []


@functools.cache
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", DOCS / "site/hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_about_locks_knows_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """What kgen writes into a lock and reads of it are the keys that the reference is made of, and no others."""
    made: list[tables.Table] = []
    make = tables.Table.__init__

    def noted(self: tables.Table, *words: Any) -> None:  # noqa: ANN401 - whatever it is made of
        make(self, *words)
        made.append(self)

    monkeypatch.setattr(tables.Table, "__init__", noted)
    used: set[str] = set()
    for path in sorted((ROOT / "locks").glob("*/pylock.*.toml")):
        kgen = lockfiles.parse(path, path.read_bytes())[1]["tool"]["kgen"]
        (table,) = [one for one in made if one.data is kgen]
        used |= {*kgen, *table._known}
    asked = {key for _, entry in LOCKED for key in entry.keys}
    assert not {*lockfiles.DECIDED} & asked
    kinds = {kind.name for kind in accelerators.known()}
    # every lock is asked for the version and the limit of its own kind, which the CPU has none of
    assert used - {"cpu", "cpu-limit"} <= {*lockfiles.DECIDED, *asked, *kinds}
    assert {*lockfiles.DECIDED} <= used


@pytest.mark.parametrize("name", sorted(hooks().pages()))
def test_what_is_made_from_the_code_is_up_to_date(name: str) -> None:
    """`python docs/site/hooks.py` makes it again."""
    assert (DOCS / name).read_text(encoding="utf-8") == hooks().pages()[name]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=.?(?:https?:)?//[^\s>]+", text) == [], page


def test_the_site_is_searchable_and_lists_its_pages(site: Path) -> None:
    found = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))
    assert any("nccl" in one["text"].lower() for one in found["docs"])
    listed = (site / "llms.txt").read_text(encoding="utf-8")
    assert "[Your first environment in ten minutes](tutorials/first-environment)" in listed
    assert (site / "kgen.schema.json").read_bytes() == (DOCS / "kgen.schema.json").read_bytes()


@pytest.mark.skipif(BROWSER is None or AXE is None, reason="no browser here, or KGEN_AXE names no axe.min.js")
@pytest.mark.parametrize(("page", "scheme"), [
    ("index", "dark"), ("tutorials/first-environment", "light"), ("how-to/proofs", "light"), ("how-to/proofs", "dark"),
    ("reference/settings", "dark"),
])  # fmt: skip
def test_the_site_keeps_to_wcag(site: Path, tmp_path: Path, page: str, scheme: str) -> None:
    """Levels A and AA, by axe-core, in both schemes, with a mouse: the theme has code scrolled by the keyboard then."""
    head, _, tail = (site / f"{page}.html").read_text(encoding="utf-8").rpartition("</body>")
    looked_at = (site / page).with_name(f"axe-{scheme}.html")
    brought = Path(str(AXE)).read_text(encoding="utf-8")
    looked_at.write_text(f"{head}<script>{brought}</script><script>{_JUDGE}</script></body>{tail}", encoding="utf-8")
    try:
        shown = drawn(
            looked_at.as_uri(), tmp_path, "--virtual-time-budget=20000", f"--blink-settings={_MOUSE},{_SCHEMES[scheme]}"
        )
    finally:
        looked_at.unlink()
    (said,) = re.findall(r'<pre id="said">(.+?)</pre>', shown, re.DOTALL)
    found = json.loads(html.unescape(said))
    assert found["scheme"] == {"dark": "slate", "light": "default"}[scheme]
    assert found["passes"] > 10
    assert found["faults"] == []


@pytest.mark.skipif(BROWSER is None, reason="no browser here")
@pytest.mark.parametrize("page", ["reference/settings", "index"])
def test_on_a_phone_nothing_is_behind_the_edge(site: Path, page: str) -> None:
    """No table, and not the page itself; code scrolls, with a shadow that shows that it does."""
    where = site / f"{page}.html"
    program = """
      await new Promise(done => setTimeout(done, 500));
      const ends = [...document.querySelectorAll(".md-typeset table")].map(one => one.getBoundingClientRect().right);
      const code = [...document.querySelectorAll("pre > code")].filter(one => one.scrollWidth > one.clientWidth);
      return {ends, page: document.documentElement.scrollWidth,
              shown: code.every(one => getComputedStyle(one).backgroundAttachment.includes("local"))};
    """
    # below the page's own folder, so that it finds its styles
    seen = looked_at(where.read_text(encoding="utf-8"), program, where.parent, width=390)
    (where.parent / "frame.html").unlink()
    assert seen["ends"]
    assert max(seen["ends"]) <= 390
    assert (seen["page"], seen["shown"]) == (390, True)


@pytest.mark.parametrize("page", [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")], ids=named)
def test_links_of_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_the_examples_change_nothing_here() -> None:
    assert tree(ROOT / "docs").keys() >= {"index.md", "uv.md"}
