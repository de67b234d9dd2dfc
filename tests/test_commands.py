"""The command line as it is declared: a command is a module, loaded when it is called; flags come from the fields."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from tests.command import Kgen

from kgen import cli, fields
from kgen.cli import command, main, options, registry, request
from kgen.cli.completion import completions
from kgen.errors import UsageError
from kgen.fields import FIELDS, Scope, Shape
from kgen.model import grammar

HELLO = '''"""`kgen say-hello`: a command that tests make up."""

from __future__ import annotations

__command__ = {
    "panel": "Made up",
    "purpose": "greet somebody",
    "example": "kgen say-hello Ada --loud",
}

from typing import Annotated

from kgen.cli import candidates, console
from kgen.cli.options import argument, option
from kgen.errors import ExitStatus


def run(
    name: Annotated[str, argument("NAME", "who is greeted", values=candidates.of("Ada", "Grace"))],
    *,
    loud: Annotated[bool, option("--loud", text="so that everybody hears it", panel="Output")] = False,
) -> ExitStatus:
    """Greet."""
    console.result(f"hello {name.upper() if loud else name}")
    return ExitStatus.CHECK_FAILED
'''
ACTION = (
    HELLO.replace("kgen say-hello", "kgen matrix twice")
    .replace("say-hello", "twice")
    .replace('    "panel": "Made up",\n', "")
)
RUNNER = """
import sys
import kgen.cli
kgen.cli.__path__.append(sys.argv.pop(1))
from kgen.__main__ import main
main()
"""


@pytest.fixture(name="made_up")
def _made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder beside kgen's own with a command, and an action of `kgen matrix`, that tests make up."""
    folder = tmp_path / "commands"
    folder.mkdir()
    (folder / "say_hello.py").write_text(HELLO)
    (folder / "matrix_twice.py").write_text(ACTION)
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(folder)])
    yield folder
    for name in ("say_hello", "matrix_twice"):
        sys.modules.pop(f"kgen.cli.{name}", None)


class TestMadeUp:
    """A command is a module: nothing else is touched."""

    def run(self, kgen: Kgen, folder: Path, *words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-c", RUNNER, str(folder), *words],
            cwd=kgen.folder,
            env=kgen.env(COLUMNS="80"),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def test_help(self, kgen: Kgen, made_up: Path) -> None:
        status, shown, _ = self.run(kgen, made_up, "--help")
        assert status == 0
        assert "\nMade up:\n  say-hello  greet somebody\n" in shown
        assert self.run(kgen, made_up, "help", "say-hello")[:2] == (
            0,
            """\
usage: kgen say-hello [OPTION ...] NAME

Greet somebody.

Example:
  kgen say-hello Ada --loud

Which environments:
  NAME  who is greeted

Output:
  --loud  so that everybody hears it

Options:
  -h, --help  show this help

Exit status: 0 done, 1 a check said no, 2 wrong call or settings, 3 no
solution, 4 something outside failed, 5 a bug in kgen.
""",
        )

    def test_it_runs(self, kgen: Kgen, made_up: Path) -> None:
        assert self.run(kgen, made_up, "say-hello", "--loud", "Ada") == (1, "hello ADA\n", "")
        assert self.run(kgen, made_up, "matrix", "twice", "Ada") == (1, "hello Ada\n", "")
        assert self.run(kgen, made_up, "say-hi", "Ada")[2] == (
            "error: unknown command `say-hi`\n\nhint: did you mean `kgen say-hello Ada`?\nhint: kgen --help\n"
        )
        assert self.run(kgen, made_up, "say-hello")[2] == (
            "error: `kgen say-hello` needs NAME: who is greeted\n\n"
            "hint: kgen say-hello Ada\nhint: kgen say-hello --help\n"
        )

    @pytest.mark.usefixtures("made_up")
    def test_completion(self) -> None:
        assert ("say-hello", "greet somebody") in completions(main.kgen(), [], "say")
        assert completions(main.kgen(), ["say-hello"], "") == [("Ada", ""), ("Grace", "")]
        assert completions(main.kgen(), ["say-hello"], "G") == [("Grace", "")]
        assert ("--loud", "so that everybody hears it") in completions(main.kgen(), ["say-hello", "Ada"], "--")
        assert {value for value, _ in completions(main.kgen(), ["matrix"], "")} == {
            *("show", "refresh", "plot", "audit", "twice")
        }

    @pytest.mark.usefixtures("made_up")
    def test_an_action_is_no_command_of_its_own(self) -> None:
        assert "matrix-twice" not in registry.declarations()
        assert registry.declaration("", "matrix-twice") is None
        assert registry.declaration("matrix", "twice") is not None
        assert list(registry.declarations("matrix")) == ["twice", "show", "refresh", "plot", "audit"]


EVERY = [
    *(("", name) for name in registry.declarations()),
    *(("matrix", name) for name in registry.declarations("matrix")),
]


class TestDeclarations:
    @pytest.mark.parametrize(("group", "name"), EVERY, ids=" ".join)
    def test_the_example_is_a_call_of_the_command(self, group: str, name: str) -> None:
        declared = registry.declaration(group, name)
        assert declared is not None
        words = shlex.split(re.sub(r"^eval \"\$\((.*)\)\"$", r"\1", declared.example).partition(" > ")[0])
        if words[0] == "git":  # which calls it
            words = [word.replace("%", "x") for word in words[-1].split()]
        assert words[0] == "kgen"
        path = f"{group} {name}".strip()
        assert main.parse(words[1:]).command.startswith(path)
        assert not declared.purpose.endswith(".")
        assert group or declared.panel in registry.PANELS

    @pytest.mark.parametrize(("group", "name"), EVERY, ids=" ".join)
    def test_all_that_can_be_typed_is_explained(self, group: str, name: str) -> None:
        context = command.context_of(main.kgen(), [*group.split(), name], lenient=True)
        shown = context.command
        assert isinstance(shown, command.Command | command.Group)
        for panel, rows in shown.panels(context).items():
            assert panel
            assert all(term and text for term, text in rows), rows

    def test_the_whole_command_line_reads_alike_at_every_width(self, kgen: Kgen) -> None:
        for columns in (60, 80, 200):
            shown = kgen("lock", "--help", COLUMNS=str(columns)).stdout
            assert max(map(len, shown.splitlines())) <= min(columns, 100)
            assert "\x1b" not in shown

    def test_a_panel_that_a_command_alone_declares_comes_last(self, made_up: Path) -> None:
        assert made_up.is_dir()
        assert list(registry.declarations())[-1] == "say-hello"


class TestLoading:
    """What a call imports."""

    def loaded(self, kgen: Kgen, *words: str) -> set[str]:
        code = "import sys; from kgen.cli.main import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=kgen.folder,
            env=kgen.env(),
            capture_output=True,
            text=True,
            check=True,
        )
        return set(done.stderr.splitlines()[-1].split())

    def commands(self, modules: set[str]) -> set[str]:
        every = {f"kgen.cli.{name.replace('-', '_')}" for name in registry.declarations()}
        every |= {f"kgen.cli.matrix_{name}" for name in registry.declarations("matrix")}
        return {name.removeprefix("kgen.cli.") for name in modules & every}

    @pytest.mark.parametrize("words", [("--help",), ("--version",), ("nonsense",), ("help",)])
    def test_the_list_of_commands_imports_none(self, kgen: Kgen, words: tuple[str, ...]) -> None:
        modules = self.loaded(kgen, *words)
        assert self.commands(modules) <= {"help"}
        # a word that is no command may be a backend, which the matrix knows
        matrix = () if words == ("nonsense",) else ("kgen.matrix",)
        assert not any(name.startswith(("kgen.solver", "kgen.actions", *matrix)) for name in modules)

    @pytest.mark.parametrize(
        ("words", "own"),
        [
            (("solve", "numpy", "--cpu"), {"solve"}),
            (("run", "nothing", "--", "true"), {"run"}),
            (("matrix", "show", "cuda"), {"matrix", "matrix_show"}),
            (("completion", "bash", "--", "sy"), {"completion"}),
        ],
    )
    def test_a_command_imports_its_own(self, kgen: Kgen, words: tuple[str, ...], own: set[str]) -> None:
        assert self.commands(self.loaded(kgen, *words)) == own

    @pytest.mark.parametrize("words", [("solve", "numpy", "--cpu"), ("lock", "--help"), ("run", "nothing", "--", "x")])
    def test_what_no_call_needs_is_not_imported(self, kgen: Kgen, words: tuple[str, ...]) -> None:
        """Typer would bring pydantic for every value, and rich for its help: each takes as long as the call."""
        assert not {"pydantic", "rich", "argparse"} & self.loaded(kgen, *words)


class TestFields:
    @pytest.mark.parametrize(
        ("name", "scope"), [("solve", Scope.REQUEST), ("explain", Scope.REQUEST), ("lock", Scope.LOCK)]
    )
    def test_every_flag_of_the_scope_is_there_and_no_other_of_a_field(self, name: str, scope: Scope) -> None:
        context = command.context_of(main.kgen(), [name], lenient=True)
        has = {word for one in context.command.get_params(context) for word in one.opts if word.startswith("--")}
        assert {field.flag for field in fields.flags_of(scope)} <= has
        others = {field.flag for field in FIELDS} - {field.flag for field in fields.flags_of(scope)}
        assert not others & has

    @pytest.mark.parametrize("field", fields.flags_of(Scope.LOCK), ids=lambda field: field.name)
    def test_what_is_typed_arrives(self, field: fields.Field) -> None:
        flag = str(field.flag)
        words, value = {
            Shape.YES: ([flag], True),
            Shape.SWITCH: ([flag], True),
            Shape.MANY: ([flag, field.example, flag, field.example], [field.example, field.example]),
            Shape.PAIRS: ([flag, field.example], [field.example]),
            Shape.OPTIONAL: ([flag], grammar.YES),
        }.get(field.shape, ([flag, field.example], field.example))
        parsed = main.parse(["lock", "jax", *words])
        asked = request.flags_from(parsed.command, parsed.parameters)
        assert asked.names == ("jax",)
        assert asked.flags[field.name] == value
        assert {name for name, one in asked.flags.items() if one} == {field.name}

    def test_no_is_another_answer_than_none(self) -> None:
        for words, value in ((["--no-nix"], False), (["--nix"], True), ([], None)):
            parsed = main.parse(["lock", *words])
            assert request.flags_from("lock", parsed.parameters).flags["nix"] is value

    @pytest.mark.parametrize(
        ("words", "value"),
        [
            (["--torch-index"], grammar.YES),
            (["--torch-index", "--json"], grammar.YES),
            (["--torch-index", "--", "jax"], grammar.YES),
            (["--torch-index", "https://mirror.example/whl"], "https://mirror.example/whl"),
            (["--torch-index=https://mirror.example/whl", "jax"], "https://mirror.example/whl"),
            (["--", "--torch-index"], None),
        ],
    )
    def test_a_value_that_may_be_left_out(self, words: list[str], value: str | None) -> None:
        assert main.parse(["solve", *words]).parameters["torch_index"] == value


class TestPassedOn:
    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            (["--", "python", "-c", "x", "--", "--help"], ["--", "python", "-c", "x", "--", "--help"]),
            (["python", "--version", "-h"], ["python", "--version", "-h"]),
            (["--", "--conda"], ["--", "--conda"]),
        ],
    )
    def test_what_follows_the_environment_is_the_programs(self, typed: list[str], words: list[str]) -> None:
        parsed = main.parse(["run", "--no-sync", "jax", *typed])
        assert list(parsed.parameters["words"]) == words
        assert parsed.parameters["environment"] == "jax"
        assert parsed.parameters["no_sync"] is True
        assert parsed.parameters["as_conda"] is False


class TestValues:
    @pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "", "ten"])
    def test_no_length_of_time(self, text: str) -> None:
        with pytest.raises(UsageError):
            options.seconds(text)

    def test_a_length_of_time(self) -> None:
        assert main.parse(["validate", "--timeout", "1.5"]).parameters["timeout"] == 1.5
        assert main.parse(["validate"]).parameters["timeout"] == 900.0

    def test_help_wins_over_what_is_missing(self) -> None:
        with pytest.raises(typer.Exit) as caught:
            main.parse(["run", "--help"])
        assert caught.value.exit_code == 0

    @pytest.mark.parametrize(
        "words", [["lock", "--x=1"], ["-x"], ["unbundle"], ["merge-driver", "a"], [""], ["run", "--conda"]]
    )
    def test_every_wrong_word_is_an_error_of_kgens(self, words: list[str]) -> None:
        with pytest.raises(UsageError) as caught:
            main.parse(words)
        assert caught.value.hints
