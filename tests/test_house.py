"""The house rules: types, lint, the one-way layers, modules that import alone, and what must not be committed."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from tests import lock_tools

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "generator" / "kgen"
MODULES = sorted(
    ".".join(path.relative_to(ROOT / "generator").with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if "step" not in path.parts  # another interpreter's program, which kgen never imports
)
# spelled so that this file does not hold them itself
FOREIGN = re.compile(
    r"py[p]i\.org|python[h]osted\.org|d[e]bian\.org|npm[j]s\.(org|com)|/roo[t]/|/wor[k]/|/op[t]/(wheels|pypi)"
)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "tool",
    [
        pytest.param(("mypy",), marks=pytest.mark.long),
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("lint-imports",),
        ("zizmor", "--offline", "--quiet", ".github", "action.yml"),
    ],
    ids=" ".join,
)
def test_linter(tool: tuple[str, ...]) -> None:
    program = Path(sys.executable).parent / tool[0]
    done = _run(str(program), *tool[1:])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_oldest_python_is_the_same_everywhere() -> None:
    """The one that is promised is the one that linters hold the code to, that tools are locked for and that CI runs."""
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest = project["project"]["requires-python"].removeprefix(">=")
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    pythons = workflow["jobs"]["pythons"]["strategy"]["matrix"]["python"]
    assert pythons[0] == oldest
    assert all(Version(python) > Version(oldest) for python in pythons[1:])
    assert project["tool"]["mypy"]["python_version"] == oldest
    assert project["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert oldest in lock_tools.WORDS
    named = [one.rpartition(" ")[2] for one in project["project"]["classifiers"] if ":: Python :: 3." in one]
    assert (named[0], named[-1]) == (oldest, pythons[-1])
    assert f"kgen needs Python {oldest} or newer" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_paths_are_looked_at_in_one_way() -> None:
    """Before Python 3.13 `Path` fails on a link to itself, and before 3.14 in a shut folder; `kgen.files` never does.

    What is read of `/sys` is shut to nobody, and of kgen's own modules there is no such link.
    """
    methods = {"resolve", "exists", "is_file", "is_dir", "is_symlink"}
    others = {
        "files",
        "os.path",
        "entry",
        "one",
        "item",
        "resolver",
        "Path(__file__)",
    }  # entries of folders and archives; YAML's
    found = []
    for path in PACKAGE.rglob("*.py"):
        if {"step", "accelerators"}.isdisjoint(path.relative_to(PACKAGE).parts):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods:
                    found += [f"{path.name}:{node.lineno}"] if ast.unparse(node.func.value) not in others else []
    assert found == []


def test_every_module_imports_alone() -> None:
    """In an interpreter of its own and with warnings as errors, so no module leans on who imported what before."""
    check = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [module for module in sys.modules if module.split(".")[0] == "kgen"]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""
    done = _run(
        sys.executable, "-W", "error", "-c", check, *(name for name in MODULES if not name.endswith("__main__"))
    )
    assert done.returncode == 0, done.stderr


def _committed() -> list[str]:
    """The files that are committed, or would be."""
    listed = _run("git", "ls-files", "-co", "--exclude-standard")
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return listed.stdout.splitlines()


def test_nothing_committed_names_an_index_host_or_a_path_of_one_machine() -> None:
    found = []
    for name in _committed():
        path = ROOT / name
        if not path.is_file() or path.suffix in {".png", ".whl"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if FOREIGN.search(line):
                found.append(f"{name}:{number}: {line.strip()[:120]}")
    assert not found, "\n".join(found)


def test_no_link_is_committed_that_leads_out_of_the_repository() -> None:
    links = [path for path in map(ROOT.joinpath, _committed()) if path.is_symlink()]
    assert [link for link in links if not link.resolve().is_relative_to(ROOT.resolve())] == []


def test_the_tools_are_locked() -> None:
    """Each by a hash, from whatever index there is, and as `pyproject.toml` asks for them."""
    text = (ROOT / "tests" / "requirements.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE), "an option of pip"
    rows = re.findall(
        r"^([a-z0-9.-]+)==(\S+)((?: ;.*)?) \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    )
    assert len(rows) == len(re.findall(r"^\S+==", text, re.MULTILINE))
    locked: dict[str, list[Version]] = {}
    for name, version, *_ in rows:
        locked.setdefault(name, []).append(Version(version))
    data = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [row for rows in data["dependency-groups"].values() for row in rows if isinstance(row, str)]
    asked = [
        *data["project"]["dependencies"],
        *itertools.chain(*data["project"]["optional-dependencies"].values()),
        *groups,
    ]
    for requirement in map(Requirement, asked):
        versions = locked[canonicalize_name(requirement.name)]
        assert all(version in requirement.specifier for version in versions), requirement


def test_a_backend_is_data() -> None:
    """No module branches on the name of a backend."""
    branch = re.compile(r"""(==|!=|\bin\b)\s*[({\[]?["'](tensorflow|jax|torch|numpy|openvino)["']""")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in PACKAGE.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if branch.search(line)
    ]
    assert not found


_FORM = re.compile(r"_?((is|as|for|of|with)_)*conda")
_FORM_IS_DATA = ("formats", "matrix", "step")
"""Folders where it may be named: its own package, the facts about it, and what looks at an environment from inside."""

_SETTINGS = {"settings.py": {"conda"}}
"""What is in a conda environment is a setting, and settings are attributes."""


def forms_named_in(source: str) -> Iterator[str]:
    """Parameters, arguments, attributes and fields that are called after a form of locks."""
    for node in ast.walk(ast.parse(source)):
        name = None
        if isinstance(node, ast.arg | ast.keyword):
            name = node.arg
        elif isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        if name is not None and _FORM.fullmatch(name):
            yield name


def test_a_form_of_locks_is_a_package() -> None:
    """Nobody asks which form it is: whatever differs is in the form, or behind its interface."""
    found = {
        f"{path.relative_to(PACKAGE).as_posix()}: {name}"
        for path in PACKAGE.rglob("*.py")
        if not {*path.relative_to(PACKAGE).parts} & {*_FORM_IS_DATA}
        for name in forms_named_in(path.read_text(encoding="utf-8"))
        if name not in _SETTINGS.get(path.name, set())
    }
    assert not found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("def find(name, *, conda=False): ...", ["conda"]),
        ("sync(one, for_conda=True)", ["for_conda"]),
        ("if source.conda: ...", ["conda"]),
        ("class Lock:\n    is_conda: bool = False", ["is_conda"]),
        ("host.conda_program()", []),
        ("def run(form): ...", []),
    ],
)
def test_forms_are_known_from_other_names(line: str, found: list[str]) -> None:
    assert list(forms_named_in(line)) == found


def prose_in(source: str) -> Iterator[str]:
    """The strings of a module that hold two words one after the other, documentation apart; `X` stands for a value."""
    tree = ast.parse(source)
    apart = {
        id(part)
        for node in ast.walk(tree)
        for part in (
            [node.value] if isinstance(node, ast.Expr) else node.values if isinstance(node, ast.JoinedStr) else []
        )
        if isinstance(part, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in apart:
            text = node.value
        else:
            continue
        if re.search(r"[A-Za-z]{2,},? \w|\w,? [A-Za-z]{2,}", text):
            yield f"{node.lineno}: {text}"


def test_the_solver_holds_no_prose() -> None:
    """What it answers are values; the words for them are in `kgen.explain`."""
    found = [
        f"{path.relative_to(ROOT)}:{text}"
        for path in sorted((PACKAGE / "solver").rglob("*.py"))
        for text in prose_in(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('x = f"needs {role}"', ["1: needs X"]),
        ('x = f"{change} gives"', ["1: X gives"]),
        ('raise ValueError("no release fits")', ["1: no release fits"]),
        ('"""What a module is about."""', []),
        ('x = f"{name}=={version}"', []),
        ('x = ", ".join(names)', []),
    ],
)
def test_prose_is_known_from_values(line: str, found: list[str]) -> None:
    assert list(prose_in(line)) == found


# -- who does and who prints -------------------------------------------------------------------------------------------

# What a command stands on: actions and what they return, words for values, the place where it was called, and what asks
# or enters a terminal.
_OF_COMMANDS = {
    *(
        "INTERRUPTED",
        "__version__",
        "accelerators",
        "actions",
        "api",
        "cli",
        "emitters",
        "errors",
        "explain",
        "fields",
        "model",
    ),
    *(
        "files",
        "host",
        "limits",
        "matrix.origin",
        "process",
        "project",
        "pythonpath",
        "replay",
        "shells",
        "storage",
        "tables",
        "templates",
    ),
}
# What else a command imports: values to print, and what is yet to move into an action. Nothing is to be added here
# that does something.
_OTHERWISE = {
    "bundle": {"formats.bundlefile"},
    "candidates": {"lockfiles", "settings"},  # what a shell offers while somebody types
    "compare": {"validation.comparison"},
    "environments": {"formats.environment"},
    "init": {"gittool"},
    "check_installed": {"formats.environment", "formats.verify"},
    "lock": {"formats.outcome"},
    "fleets": {"findings", "fleet.shape", "matrix.compatibility"},
    "lock_call": {"formats.outcome", "matrix.compatibility"},
    "matrix_audit": {"audit.run", "matrix.compatibility"},
    "matrix_plot": {"solver.overlap"},
    "matrix_refresh": {"refresh.run"},
    "matrix_show": {"matrix.compatibility"},
    "outcomes": {"formats.outcome"},
    "shell": {"formats.environment"},
    "shells": {"formats.environment"},
    "sync": {"formats.environment"},
    "validate": {"parsers", "validation.judge", "validation.pins", "validation.receipts"},
}


def imports_of(source: str) -> Iterator[str]:
    """The modules that a module imports, wherever in it; a name from a package of kgen as the module that it may be."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = str(node.module)
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield full if module == "kgen" or full in MODULES else module


def test_commands_leave_the_doing_to_actions() -> None:
    found = {}
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        modules = {
            name.removeprefix("kgen.")
            for name in imports_of(path.read_text(encoding="utf-8"))
            if name.startswith("kgen.")
        }
        astray = {one for one in modules if not {one, one.partition(".")[0]} & _OF_COMMANDS}
        if astray:
            found[path.stem] = astray
    assert found == _OTHERWISE


def test_actions_neither_print_nor_parse() -> None:
    """They take values and return results, so that a program can call them."""
    printing = {"kgen.cli", "argparse", "click", "rich", "typer"}
    found = []
    for path in sorted((PACKAGE / "actions").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        found += [f"{path.name}: imports {name}" for name in imports_of(text) if _within(name, printing)]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "input"}:
                found.append(f"{path.name}:{node.lineno}: calls {node.func.id}")
            if isinstance(node, ast.Attribute) and node.attr in {"argv", "stderr", "stdin", "stdout"}:
                of = node.value.id if isinstance(node.value, ast.Name) else ""
                found += [f"{path.name}:{node.lineno}: uses sys.{node.attr}"] if of == "sys" else []
    assert not found, "\n".join(found)


def _within(name: str, packages: set[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in packages)


@pytest.mark.parametrize(
    ("line", "modules"),
    [
        ("from kgen import host, lockfiles", ["kgen.host", "kgen.lockfiles"]),
        ("from kgen.cli import console", ["kgen.cli.console"]),
        ("from kgen.errors import KgenError", ["kgen.errors"]),
        ("def f():\n    import rich.console", ["rich.console"]),
    ],
)
def test_imports_are_known(line: str, modules: list[str]) -> None:
    assert list(imports_of(line)) == modules
