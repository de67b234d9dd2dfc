"""The public API: what the command line does, for programs."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.command import PYTHON, Kgen

import kgen as api

HERE: dict[str, Any] = {"python": PYTHON, "platforms": ["linux-64"]}


def test_solve_gives_what_the_command_gives(kgen: Kgen, project: Path) -> None:
    answers = api.solve(["jax", "torch"], root=project, cuda="12", **HERE)
    assert all(isinstance(answer, api.Resolution) for answer in answers)
    words = ("--cuda", "12", "--python", PYTHON, "--platform", "linux-64", "--json")
    printed = json.loads(kgen("solve", "jax", "torch", *words).stdout)["solutions"]
    assert [
        {name: str(version) for name, version in answer.packages.items()}
        for answer in answers
        if isinstance(answer, api.Resolution)
    ] == [row["packages"] for row in printed]


def test_a_conflict_is_a_value(project: Path) -> None:
    (answer,) = api.solve(["tensorflow"], root=project, cuda="13", **HERE)
    assert isinstance(answer, api.Conflict)
    assert answer.causes


def test_settings_stand_where_nothing_is_asked(project: Path) -> None:
    (project / "kgen.toml").write_text(f'backends = ["numpy"]\ncpu = true\npython = "{PYTHON}"\n')
    (answer,) = api.solve(root=project)
    assert answer.request.environment == "numpy-cpu"
    assert answer.request.python == PYTHON


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"cudaa": "12"}, "there is no field `cudaa` to ask for"),
        ({"gpu": "8.0"}, "`gpu` takes a list, such as ['8.0']"),
        ({"cuda": "99"}, "--cuda: unknown CUDA `99`; known are 11, 12, 13"),
        ({"installers": ["uv"]}, "there is no field `installers` to ask for"),
    ],
)
def test_wrong_questions(project: Path, asked: dict[str, str], message: str) -> None:
    with pytest.raises(api.KgenError) as caught:
        api.solve(["jax"], root=project, **asked)
    assert caught.value.message == message


def test_lock_check_and_read(kgen: Kgen, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in kgen.environment.items():
        monkeypatch.setenv(name, value)
    dry = api.lock(["numpy"], root=project, cpu=True, options=api.LockOptions(dry_run=True), **HERE)
    assert dry.status == 0
    assert not (project / "locks").exists()
    result = api.lock(["numpy"], root=project, cpu=True, **HERE)
    assert (result.status, dict(result.written)) == (0, {"numpy-cpu": True})
    lock = api.read_lock(project / "locks/numpy-cpu/pylock.linux-64.toml")
    (outcome,) = result.outcomes
    assert outcome.lock is not None
    assert lock.versions == {name: str(version) for name, version in outcome.lock.summary.versions.items()}
    assert api.check(root=project).faulty == ()
    path = project / "locks/numpy-cpu/pylock.linux-64.toml"
    path.write_text(path.read_text().replace("numpy", "nunpy", 1))
    assert api.check(root=project).faulty == ("numpy-cpu",)


def test_sync(kgen: Kgen, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in kgen.environment.items():
        monkeypatch.setenv(name, value)
    assert kgen("lock", "numpy", "--cpu", "--python", PYTHON).status == 0
    result = api.sync("numpy", root=project)
    assert (result.made, result.notes) == (True, ())
    assert result.source.prefix == project.resolve() / ".kgen/envs/numpy-cpu"
    assert result.source.python.exists()
    assert not api.sync("numpy", root=project).made
    (site,) = result.source.prefix.glob("lib/python*/site-packages")
    (site / "ours-1.dist-info").mkdir()
    (site / "ours-1.dist-info/RECORD").touch()
    again = api.sync("numpy", root=project)
    assert again.made
    assert again.notes == (
        "numpy-cpu: what was installed by hand is gone: ours-1",
        "to keep a package, add it to `dependencies` in the settings and lock again",
    )
    assert capsys.readouterr() == ("", ""), "an action prints nothing"
    with pytest.raises(api.KgenError) as caught:
        api.sync("torch", root=project)
    assert caught.value.status == 2


def test_importing_kgen_imports_nothing_else() -> None:
    code = "import sys, kgen; print([name for name in sys.modules if name.startswith('kgen')]); kgen.solve"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['kgen']\n"
    assert set(api.__all__) <= set(dir(api))
    with pytest.raises(AttributeError):
        _ = api.nothing


def blocks() -> list[str]:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## From Python\n")[2].partition("\n## ")[0]
    return [part.partition("```")[0] for part in section.split("```python\n")[1:]]


def test_the_examples_of_the_readme(
    kgen: Kgen, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first and the last are run as they stand; nox is played by a recorder, as it is no tool of this project."""
    solving, sessions, checking = blocks()
    monkeypatch.chdir(project)
    exec(solving, {})  # noqa: S102 - what the README says is to be run
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["jax-cuda12", "torch-cuda12"]
    assert kgen("lock", "numpy", "--cpu", "--python", PYTHON).status == 0
    ran: list[tuple[str, ...]] = []
    names: list[str] = []

    def parametrize(_key: str, values: list[str]) -> Callable[[object], object]:
        names.extend(values)
        return lambda function: function

    nox = types.ModuleType("nox")
    nox.session = lambda **_options: lambda function: function  # type: ignore[attr-defined]
    nox.parametrize = parametrize  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nox", nox)
    space: dict[str, Any] = {}
    exec(sessions, space)  # noqa: S102 - as above
    recorder = types.SimpleNamespace(run=lambda *words: ran.append(words))
    for name in names:
        space["tests"](recorder, name)
    assert ran == [("kgen", "run", "numpy-cpu", "--", "python", "-m", "pytest")]
    space = {}
    exec(checking, space)  # noqa: S102 - as above
    space["test_the_locks_are_what_the_settings_ask_for"]()
