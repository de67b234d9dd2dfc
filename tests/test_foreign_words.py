"""Words of other tools: each is answered with a call that parses, and with what kgen does otherwise."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen
from tests.index import Index

from kgen.cli import foreign, main, registry
from kgen.cli.command import Command, context_of, is_call

PYPROJECT = """
[project]
name = "mine"
version = "1"
optional-dependencies = { plot = ["rich"], Big_Data = ["attrs"] }

[dependency-groups]
dev = ["pytest"]
"""
NEEDS = {
    **{name: ["jax"] for name in ("run", "shell", "activate", "tree", "bundle", "compare")},
    **{name: ["rich"] for name in ("add", "remove")},
    "unbundle": ["x.kgen"],
    "completion": ["bash"],
    "export": ["requirements"],
}
"""What a command needs besides its options."""

VALUES = {
    "json": "json",
    "requirements.*": "requirements.txt",
    "auto": "auto",
    "cpu": "cpu",
    r"\.": ".",
    r"\.(?:\[.*\])?": ".",
    r"\.\[([^],]+)\]": ".[plot]",
    ".*/.*": "./mine",
    r".*\.ya?ml": "environment.yml",
    r"(.*)/[^/]+\.toml": "mine/pixi.toml",
    r"(?:python|cp)?([23])\.?([0-9]+)(?:\.[0-9]+)?": "python3.12",
    r"(?:cu)?([0-9]{2})\.?([0-9]+)": "cu128",
    "(?:cu)?([0-9]{2})": "cu12",
}
"""A value for each expression."""


def hints(text: str) -> list[str]:
    return [re.sub(r"^did you mean `(.*)`\?$", r"\1", one.strip()) for one in text.split("\nhint: ")[1:]]


class TestList:
    """What `foreign.toml` says holds."""

    def test_a_command_of_kgens_is_no_foreign_word(self) -> None:
        words = [word for row in foreign.rows()["command"] for word in row.words]
        assert not {*words} & {*registry.declarations()}
        assert len({*words}) == len(words)

    @pytest.mark.parametrize("row", foreign.rows()["command"], ids=lambda row: row.words[0])
    def test_a_command_is_meant_that_there_is(self, row: foreign.Row) -> None:
        assert row.means or row.says
        if row.means == "":  # of a tool, whose own words follow
            assert all(foreign.command([word, "lock", "x"]) for word in row.words)
            return
        for word in row.words:
            found = foreign.command([*word.split(), "x"])
            assert found is not None
            assert found.typed == word
        if row.means and not row.means.startswith("-"):
            name, *rest = row.means.split()
            assert registry.declaration("", name) is not None
            last = (
                ["x"]
                if rest[-1:] and rest[-1].startswith("--") and rest[-1] not in {"--reinstall", "--dry-run"}
                else []
            )
            assert is_call(main.kgen(), [name, *rest, *last, *NEEDS.get(name, [])])

    @pytest.mark.parametrize("row", foreign.rows()["option"], ids=lambda row: f"{row.words[0]} {row.when or ''}")
    def test_an_option_is_unknown_where_it_is_foreign_and_the_answer_parses(self, row: foreign.Row) -> None:
        assert row.program or row.means is not None or row.call is not None or row.says
        group = main.kgen()
        for name in row.of or ("lock", "sync"):
            context = context_of(group, [name], lenient=True)
            assert isinstance(context.command, Command)
            known = {word for one in context.command.get_params(context) for word in (*one.opts, *one.secondary_opts)}
            assert not known & {*row.words} or not row.of, (name, known & {*row.words})
            value = VALUES.get(row.when or "") or ("https://download.pytorch.org/whl/" if row.when else "x")
            if "whl/(" in (row.when or ""):
                value += "cu128" if "cu(" in str(row.when) else "cpu"
            rest = (
                []
                if "{}" in (row.means or "") and name not in {"add", "remove", "export", "compare"}
                else NEEDS.get(name, [])
            )
            typed = [name, row.words[0], *([value] if row.takes_value else []), *rest]
            found = foreign.option(typed, row.words[0], lambda _kind: ("one", "two"))
            assert found is not None
            assert found.row is not None
            assert found.row.words == row.words
            if found.words is not None:
                assert is_call(group, found.words), found.words


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        # commands
        ("install", "kgen sync"),
        ("upgrade optax", "kgen update optax"),
        ("why jax", "kgen explain jax"),
        ("freeze jax", "kgen export requirements jax"),
        ("env list", "kgen status"),
        ("env create -n mine -f environment.yml", "kgen init --from environment.yml"),
        ("pip install -U rich", "kgen add rich"),
        ("pip install -r requirements.txt", "kgen lock -r requirements.txt"),
        ("pip install -e .", "kgen sync"),
        ("pip uninstall -y rich", "kgen remove rich"),
        ("pip-compile requirements.in -o requirements.txt --generate-hashes", "kgen lock -r requirements.in"),
        ("python pin 3.11", "kgen lock --python 3.11"),
        ("install --no-root", "kgen sync --no-project"),
        ("version", "kgen --version"),
        ("uv sync --frozen", "kgen sync"),
        ("uv pip install -U rich", "kgen add rich"),
        ("uv lokc jax", "kgen lock jax"),
        ("poetry install --no-root", "kgen sync --no-project"),
        ("conda env create -f environment.yml", "kgen init --from environment.yml"),
        ("export -f requirements.txt -o x", "kgen export requirements"),
        ("conda install -c conda-forge numpy", "kgen add numpy"),
        ("conda install --channel conda-forge -c nvidia rich attrs", "kgen add rich attrs"),
        ("conda install --file requirements.txt", "kgen lock -r requirements.txt"),
        (
            "pip install rich -r a.txt -r b.txt attrs",
            "kgen lock -r a.txt --dependency rich -r b.txt --dependency attrs",
        ),
        ("update --dry-run rich attrs", "kgen lock --dry-run --upgrade-package rich --upgrade-package attrs"),
        ("update --dry-run", "kgen lock --dry-run --upgrade"),
        ("rye sync", "kgen sync"),
        ("source activate foo", "kgen activate foo"),
        ("pdm add -d rich", "kgen add rich"),
        # what is locked
        ("lock --all-extras", "kgen lock --extra big-data --extra plot"),
        ("lock jax --all-groups --cpu", "kgen lock jax --group dev --cpu"),
        ("lock --dev", "kgen lock --group dev"),
        ("lock --no-dev", "kgen lock"),
        ("lock --with=dev -E plot", "kgen lock --group dev --extra plot"),
        ("lock --frozen", "kgen check"),
        ("lock --locked jax", "kgen check"),
        ("lock -U", "kgen lock --upgrade"),
        ("lock -P numpy", "kgen lock --upgrade-package numpy"),
        ("lock -p3.11 -Eplot", "kgen lock --python 3.11 --extra plot"),
        ("lock -p python3.11", "kgen lock --python 3.11"),
        ("lock -e .[plot]", "kgen lock --extra plot"),
        ("lock --torch-backend=cu128 torch", "kgen lock --cuda 12.8 torch"),
        ("lock --backend jax --cpu", "kgen lock jax --cpu"),
        ("update -p numpy", "kgen update numpy"),
        ("update --all", "kgen update"),
        ("add --dev pytest", "kgen add pytest"),
        # where it is from
        ("lock jax --index-url https://mirror/simple", "UV_DEFAULT_INDEX=https://mirror/simple kgen lock jax"),
        (
            "lock --extra-index-url https://download.pytorch.org/whl/cu126 torch",
            "kgen lock --torch-index --cuda 12.6 torch",
        ),
        ("lock --pre --index-url 'https://a b'", "UV_PRERELEASE=allow UV_DEFAULT_INDEX='https://a b' kgen lock"),
        ("-C 'a b' lock jax", "cd 'a b' && kgen lock jax"),
        ("lock --directory sub", "cd sub && kgen lock"),
        # environments
        ("sync --frozen jax", "kgen sync jax"),
        ("sync --all-extras", "kgen lock --extra big-data --extra plot"),
        ("run --with rich jax -- python x.py", "kgen add rich"),
        ("run --locked jax -- python --frozen", "kgen run jax -- python --frozen"),
        ("list --format json", "kgen list --json"),
        ("sync --cuda 12 jax", "kgen status"),
        # words where a backend is expected
        ("lock requirements.txt", "kgen lock -r requirements.txt"),
        ("lock jax environment.yml", "kgen init --from environment.yml"),
        ("lock jax .", "kgen lock jax"),
        ("lock --cpu uv.lock", "kgen lock --cpu --from uv.lock"),
        ("init environment.yml", "kgen init --from environment.yml"),
    ],
)
def test_what_is_meant(kgen: Kgen, project: Path, typed: str, meant: str) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT)
    refused = kgen(*shlex.split(typed))
    assert refused.status == 2
    assert hints(refused.stderr)[0] == meant


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("python install 3.12", "unknown command `python install`: kgen takes the interpreters of this machine: "),
        ("tool install black", "unknown command `tool`: kgen installs no programs for all projects"),
        ("poetry", "unknown command `poetry`: kgen has its own commands in their place: "),
        ("docker build .", "unknown command `docker`: kgen builds and starts no images; "),
        ("conda rename -n a b", "unknown command `conda rename`: an environment is named after its backend"),
        ("nox -s tests", "unknown command `nox`: `kgen run ENV -- PROGRAM …` runs a program in an environment"),
        (
            "add -c mine rich",
            "`kgen add`: unknown option `-c`: channels are those of the settings; `kgen lock --conda --channel mine` ",
        ),
        ("self update", "unknown command `self`: what installed kgen updates it"),
        ("lock --no-dev", "`kgen lock`: unknown option `--no-dev`: a group is locked only where "),
        (
            "lock -e ./lib",
            "`kgen lock`: unknown option `-e`: a folder stands behind the name of its project: `kgen add",
        ),
        ("lock --all-extras", "`kgen lock`: unknown option `--all-extras`: the project has no extras"),
    ],
)
def test_what_kgen_does_otherwise_is_said(kgen: Kgen, typed: str, said: str) -> None:
    refused = kgen(*shlex.split(typed))
    assert refused.status == 2
    assert refused.stderr.startswith(f"error: {said}")


@pytest.mark.parametrize("typed", ["pip install", "x", "add --dev", "lock --nonsense", "uv qqqq", "uv --qqqq"])
def test_where_no_call_is_known_the_help_is_named(kgen: Kgen, typed: str) -> None:
    refused = kgen(*typed.split())
    assert refused.status == 2
    assert all(hint.endswith("--help") for hint in hints(refused.stderr))


def test_settings_that_cannot_be_read_are_no_part_of_the_answer(kgen: Kgen, project: Path) -> None:
    (project / "pyproject.toml").write_text("[project\n")
    refused = kgen("lock", "--all-extras")
    assert (refused.status, hints(refused.stderr)[0]) == (2, "kgen lock")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["lock", "-r", "requirements.txt"], ["lock", "-r", "requirements.txt"]),
        (["lock", "requirements.txt"], ["lock", "-r", "requirements.txt"]),
    ],
)
def test_the_value_of_an_option_is_no_word(words: Sequence[str], meant: Sequence[str]) -> None:
    row = foreign.Row(("x",))
    found = foreign.meant(words, lambda _: None, lambda *_: None, lambda _: (), foreign.Meant(None, row=row))
    assert found is not None
    assert found.words == tuple(meant)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("python", "train.py"), "kgen run numpy-cpu -- python train.py"),
        (("--", "python", "-c", "1"), "kgen run numpy-cpu -- python -c 1"),
        (("--", "sh"), "kgen run numpy-cpu -- sh"),
        (("nothing", "like", "it"), None),
    ],
)
def test_a_program_in_the_place_of_an_environment(
    kgen: Kgen, healthy: Index, typed: tuple[str, ...], meant: str | None
) -> None:
    kgen = kgen.at(healthy.url)
    assert kgen(*LOCK, "numpy").status == 0
    refused = kgen("run", *typed)
    assert refused.status == 2
    assert refused.stderr.startswith("error: there is no locked environment `")
    backends = "the backends are tensorflow, jax, torch, numpy, openvino, theano, theano-pymc, cntk"
    expected = ["locked are numpy-cpu", backends] if meant is None else [meant, "locked are numpy-cpu"]
    assert hints(refused.stderr) == expected


def test_a_script_before_anything_is_locked(kgen: Kgen, project: Path) -> None:
    (project / "plain.py").write_text("print(1)\n")
    (project / "train.py").write_text("# /// script\n# dependencies = ['rich']\n# ///\n")
    said = {name: hints(kgen("run", name).stderr) for name in ("plain.py", "train.py")}
    assert said == {
        "plain.py": ["kgen lock   # which makes one"],
        "train.py": ["kgen lock -r train.py   # which makes one"],
    }


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("list envs", "kgen status"),
        ("list backends", "kgen matrix show"),
        ("list gpus", "kgen matrix show gpus"),
        ("list all", "kgen list"),
        ("sync all", "kgen sync --all"),
        ("validate all", "kgen validate"),
        ("check everything", "kgen check"),
        ("lock everything", "kgen lock"),
        ("lock help", "kgen lock --help"),
        ("status numpy", "kgen status"),
        ("run train.py --epochs 3", "kgen run numpy-cpu -- python train.py --epochs 3"),
        ("remove numpy-cpu", "rm -r locks/numpy-cpu   # removes the lock"),
        ("sync both", "kgen lock both --python 3.11 --exclude-newer 2026-11-20"),
        ("remove numpy", "take numpy out of `backends` in [TEMP]/project/kgen.toml: it is a backend"),
        ("remove jax", "kgen list"),
        # words of a sentence
        ("solve jax on cuda 12", "kgen solve jax --cuda 12"),
        ("lock jax and torch with cuda 13", "kgen lock jax torch --cuda 13"),
        ("explain jax on python 3.12", "kgen explain jax --python 3.12"),
        ("lock for jax", "kgen lock jax"),
    ],
)
def test_words_in_the_place_of_names(kgen: Kgen, project: Path, healthy: Index, typed: str, meant: str) -> None:
    kgen = kgen.at(healthy.url)
    (project / "kgen.toml").write_text(
        'backends = ["numpy"]\ndependencies = ["rich"]\n[environment.both]\nbackends = ["numpy", "openvino"]\n'
        '[environment.all]\nbackends = ["numpy", "jax"]\n'
        if typed == "sync both"
        else 'backends = ["numpy"]\ndependencies = ["rich"]\n'
    )
    assert kgen(*LOCK, "numpy").status == 0
    refused = kgen(*typed.split())
    assert refused.status == 2
    assert hints(refused.stderr)[0] == meant


def test_an_environment_of_the_settings_that_is_called_all(kgen: Kgen, project: Path, healthy: Index) -> None:
    """It is not locked, and no word for all of them."""
    (project / "kgen.toml").write_text('[environment.all]\nbackends = ["numpy", "jax"]\n')
    assert kgen.at(healthy.url)(*LOCK, "numpy").status == 0
    for command in ("sync", "validate", "list"):
        assert hints(kgen(command, "all").stderr)[0].startswith("kgen lock all ")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("jax", ["kgen lock jax   # solves and locks it", "kgen run jax -- python train.py", "kgen shell jax"]),
        ("torch-cuda12", ["kgen lock torch-cuda12   # solves and locks it"]),
        ("jax run python train.py", ["kgen run jax python train.py"]),
        ("jax lock --cuda 12", ["kgen lock jax --cuda 12"]),
        ("environment", ["kgen status"]),
        ("backends", ["kgen matrix show"]),
        ("gpus", ["kgen matrix show gpus"]),
        ("matrix list", ["kgen matrix show"]),
        ("matrix update", ["kgen matrix refresh"]),
        ("delete rich", ["kgen remove rich"]),
        ("switch torch", ["kgen shell torch"]),
        ("repair", ["kgen doctor"]),
        ("versions jax", ["kgen list jax"]),
        ("check --all", ["kgen check"]),
        ("nothing-like-it", ["kgen --help"]),
    ],
)
def test_words_in_the_place_of_commands(kgen: Kgen, typed: str, meant: list[str]) -> None:
    refused = kgen(*typed.split())
    assert refused.status == 2
    assert hints(refused.stderr)[: len(meant)] == meant
