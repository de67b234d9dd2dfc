"""A shell is a module and its templates: one that nobody has heard of, added to a copy of kgen."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen, Result

from kgen import resources, shells

MODULE = """
from kgen.shells import Entry, Shell


class Elm(Shell):
    name = "elm"
    programs = ("elm", "elmish")
    suffix = "el"
    completes = True

    def quote(self, text):
        return "<" + text + ">"

    def enter(self, program, share, borrowed):
        return Entry(["/bin/echo", program, "enters", str(share / "activate.el")])


SHELL = Elm()
"""
TEMPLATES = {
    "hooks/activate.el.j2": "set {{ environment }}{% for name, value in variables %} {{ name }}={{ value }}"
    "{% endfor %}\n",
    "hooks/deactivate.el.j2": "unset {{ environment }}\n",
    "activation/activate.el.j2": "go to {{ bin }}\n{% if hooks %}{{ hooks.activate }}\n{% endif %}",
    "activation/variables.el.py.j2": 'WRITERS["el"] = str\n',
    "completion/elm.j2": "ask kgen completion elm\n",
}


@pytest.fixture(name="other")
def _other(kgen: Kgen, tmp_path: Path) -> Kgen:
    """A copy of kgen with one more shell in it."""
    top = tmp_path / "other"
    package = Path(shells.__file__).parents[1]
    shutil.copytree(package, top / "generator/kgen", ignore=shutil.ignore_patterns("__pycache__", "_data"))
    for data in resources.FOLDERS:
        shutil.copytree(resources.folder(data), top / data)
    (top / "generator/kgen/shells/elm.py").write_text(MODULE)
    for name, text in TEMPLATES.items():
        (top / "templates" / name).write_text(text)
    return dataclasses.replace(kgen, environment={**kgen.environment, "PYTHONPATH": str(top / "generator")})


def test_a_lock_that_was_made_before_the_shell_was_known_stays_good(kgen: Kgen, other: Kgen) -> None:
    assert kgen(*LOCK, "numpy").status == 0
    before = {path: path.read_bytes() for path in (kgen.folder / "locks").rglob("*") if path.is_file()}
    assert other("check").status == 0
    done = other("sync", "numpy")
    assert done.status == 0, done.stderr
    text = other("activate", "numpy", "--shell", "elmish").stdout
    prefix = kgen.folder / ".kgen/envs/numpy-cpu"
    assert text == "go to <[TEMP]/project/.kgen/envs/numpy-cpu/bin>\nset <numpy-cpu> KERAS_BACKEND=<numpy>\n\n"
    assert (prefix / "bin/activate.el").read_text() == f"go to <{prefix}/bin>\n"
    assert other("shell", "numpy", "--shell", "elm").stdout == (
        "elm enters [TEMP]/project/.kgen/envs/numpy-cpu/share/kgen/activate.el\n"
    )
    assert other(*LOCK, "numpy").status == 0
    assert {path: path.read_bytes() for path in (kgen.folder / "locks").rglob("*") if path.is_file()} == before


def test_it_completes_and_is_named(other: Kgen) -> None:
    assert other("completion", "elm") == Result(0, "ask kgen completion elm\n", "")
    assert "elm, elmish, fish" in other("activate", "numpy", "--shell", "rc").stderr


def test_an_environment_of_a_kgen_that_did_not_know_the_shell(kgen: Kgen, other: Kgen) -> None:
    assert kgen(*LOCK, "numpy").status == 0
    assert kgen("sync", "numpy").status == 0
    assert other("activate", "numpy", "--shell", "elm").stdout.startswith("go to <")
