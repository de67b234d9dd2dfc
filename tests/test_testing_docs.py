"""`docs/how-to/testing.md`: what it tells maintainers to write works, on three backends and three Pythons."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.command import CUTOFF, Kgen
from tests.index import serving
from tests.wheelhouse import Wheel, Wheelhouse

from kgen import uvtool
from kgen.matrix.compatibility import CompatibilityMatrix

TEXT = (Path(__file__).parents[1] / "docs/how-to/testing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PYTHONS = ("3.11", "3.12", "3.13")
NAMES = {
    f"{backend}-cpu-py{python.replace('.', '')}" for backend in ("tensorflow", "jax", "numpy") for python in PYTHONS
}
KERAS = b"""\
import os


class backend:
    @staticmethod
    def backend():
        return os.environ["KERAS_BACKEND"]
"""
PYTEST = b"""\
import sys
sys.path.insert(0, ".")
import conftest
print("%d.%d" % sys.version_info[:2], *sys.argv[1:], conftest.pytest_report_header())
"""
"""What stands for pytest: the real one is tested elsewhere."""


def block(kind: str, holding: str = "") -> str:
    """The one block of a kind that holds a text."""
    (found,) = [text for of, text in BLOCKS if of == kind and holding in text]
    return str(found)


@pytest.fixture(name="library", scope="module")
def _library(matrix: CompatibilityMatrix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kgen]:
    """A project whose files are those of the page, locked."""
    for python in PYTHONS:
        if not uvtool.has_interpreter(python):
            pytest.skip(f"no CPython {python} here")
    folder = tmp_path_factory.mktemp("library") / "project"
    folder.mkdir()
    house = Wheelhouse(matrix, [*PYTHONS])
    house.put(Wheel(name="pytest", version="8.4", files={"pytest/__main__.py": PYTEST}))
    for wheel in house.wheels("keras"):
        house.put(
            Wheel(
                name="keras",
                version=wheel.version,
                requires=wheel.requires,
                uploaded=wheel.uploaded,
                files={"keras/__init__.py": KERAS},
            )
        )
    (folder / "kgen.toml").write_text(
        f'{block("toml")}platforms = ["linux-64"]\nnix = false\nexclude-newer = {CUTOFF}\n', encoding="utf-8"
    )
    (folder / "noxfile.py").write_text(block("python", "import nox"), encoding="utf-8")
    (folder / "tox.ini").write_text(block("ini"), encoding="utf-8")
    (folder / "conftest.py").write_text(block("python", "pytest_report_header"), encoding="utf-8")
    programs = folder.parent / "bin"
    programs.mkdir()
    kgen = programs / "kgen"
    kgen.write_text(f'#!/bin/sh\nexec {shlex.join(Kgen.words())} "$@"\n', encoding="utf-8")
    kgen.chmod(0o755)
    with serving(house) as index:
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        command = Kgen(folder=folder, temporary=folder.parent, environment=environment).at(index.url)
        done = command("lock")
        assert done.status == 0, done.stderr
        assert {path.name for path in (folder / "locks").glob("[!.]*")} == NAMES
        yield command


def run(library: Kgen, *words: str) -> str:
    done = subprocess.run(
        words, cwd=library.folder, env=library.env(), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def ran(output: str) -> set[tuple[str, str, str]]:
    """The Python, the backend and the environment of each run."""
    return set(re.findall(r"^(3\.\d+) .*keras: on (\w+), in (\S+)$", output, re.MULTILINE))


EVERY = {(f"3.{name[-2:]}", name.partition("-")[0], name) for name in NAMES}


def test_one(library: Kgen) -> None:
    (line,) = [text for kind, text in BLOCKS if kind == "sh" and text.startswith("kgen run")]
    assert ran(run(library, "sh", "-c", line)) == {("3.11", "jax", "jax-cpu-py311")}


def test_a_loop(library: Kgen) -> None:
    assert ran(run(library, "sh", "-c", block("sh", "for lock in"))) == EVERY


def test_nox(library: Kgen) -> None:
    nox = (sys.executable, "-m", "nox", "--no-error-on-missing-interpreters")
    assert ran(run(library, *nox)) == EVERY
    one = run(library, *nox, "--session", "tests(jax-cpu-py311)", "--", "-x")
    assert "3.11 -x keras: on jax, in jax-cpu-py311\n" in one
    assert 'nox --session "tests(jax-cpu-py311)" -- -x' in TEXT


def test_tox(library: Kgen) -> None:
    tox = (sys.executable, "-m", "tox", "run")
    assert ran(run(library, *tox)) == EVERY
    assert "3.11 -x keras: on jax, in jax-cpu-py311\n" in run(library, *tox, "-e", "jax-on311", "--", "-x")
    assert "`tox run -e jax-on311 -- -x`" in TEXT


def test_the_ini_is_whole() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(block("ini"))
    assert parser["testenv"]["commands"].startswith("kgen run ")


def test_the_condition_of_a_backend(library: Kgen) -> None:
    text = block("python", "needs_gradients").replace("import pytest\n", "class pytest: pass\n", 1)
    text += "\n" if text.endswith("\n") else ""
    marks = "class mark:\n    @staticmethod\n    def skipif(holds, reason):\n        return holds\npytest.mark = mark\n"
    head, _, rest = text.partition("class pytest: pass\n")
    script = f"{head}class pytest: pass\n{marks}{rest}print(needs_gradients)"
    for backend, skipped in (("numpy", "True"), ("jax", "False")):
        output = run(library, "kgen", "run", f"{backend}-cpu-py311", "--", "python", "-c", script)
        # what kgen says follows, where no test before this one has made the environment
        assert output.splitlines()[0] == skipped


def test_every_export_that_it_names(library: Kgen) -> None:
    for line in re.findall(r"`(kgen export [^`>]+?)\s*>", TEXT):
        assert run(library, "sh", "-c", line).startswith("# Made by kgen")
