"""The public API: what the command line does, for programs."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.command import PYTHON, Kgen
from tests.test_validate import FAKES, lock, put_on_disk

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
    assert not again.made
    (note,) = again.notes
    assert note.startswith("numpy-cpu: installed by hand, and kept: ours-1; `kgen add ours` locks it, ")
    exact = api.sync("numpy", root=project, exact=True)
    assert (exact.made, exact.notes) == (True, ("numpy-cpu: what was installed by hand is gone: ours-1",))
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


def test_no_module_hides_a_function() -> None:
    """`import kgen.x` puts the module `x` in the place of `kgen.x`, whoever imports it."""
    modules = {module.name for module in pkgutil.iter_modules(api.__path__)}
    assert not modules & set(api.__all__)


def test_everything_offered_is_documented() -> None:
    for name in api.__all__:
        documented = getattr(api, name).__doc__
        assert documented, name
    for name in ("solve", "lock", "check", "validate", "doctor", "diff", "export", "read_lock"):
        assert "Returns:" in getattr(api, name).__doc__, name
        assert "Raises:" in getattr(api, name).__doc__, name


@pytest.fixture(name="training")
def training_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose NumPy environment is locked and on disk, with the fake Keras on its path."""
    lock(project, "numpy-cpu")
    put_on_disk(project, "numpy")
    monkeypatch.setenv("PYTHONPATH", str(FAKES))
    return project


def test_validate_gives_verdicts_and_receipts(training: Path) -> None:
    stages: list[tuple[str, str]] = []
    result = api.validate(root=training, progress=lambda target, stage: stages.append((target.name, stage)))
    (one,) = result.validations
    assert (result.status, one.error, one.target.device) == (0, None, "cpu")
    assert {name: verdict.outcome.value for name, verdict in one.verdicts.items()} == {"numpy": "passed"}
    assert one.receipt == training / "locks/numpy-cpu/receipts/cpu.json"
    assert one.receipt.is_file()
    assert stages[-1] == ("numpy-cpu", "passed")
    assert result.agreement is None


def test_what_fails_is_a_value(training: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that cannot be installed does not keep the others from being validated."""
    lock(training, "jax-cpu", packages={"not-there": "1.0"})
    result = api.validate(root=training)
    failed, passed = result.validations
    assert (failed.target.name, failed.installed) == ("jax-cpu", False)
    assert isinstance(failed.error, api.KgenError)
    assert (passed.error, passed.verdicts["numpy"].outcome.value) == (None, "passed")
    assert result.status == failed.error.status != 0
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(api.KgenError, match="unknown device `tpu`"):
        api.validate(root=training, options=api.ValidateOptions(device="tpu"))
    with pytest.raises(api.KgenError, match="`--python` needs the one environment"):
        api.validate(root=training, options=api.ValidateOptions(python=sys.executable))


def test_doctor_gives_findings(training: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    result = api.doctor(root=training)
    assert result.environments == ("numpy-cpu",)
    assert [(one.kind, one.fix) for one in result.faults] == [("fault", "unset KERAS_BACKEND")]
    monkeypatch.delenv("KERAS_BACKEND")
    assert api.doctor(["numpy"], root=training).faults == ()


def test_diff_gives_changes(training: Path, tmp_path: Path) -> None:
    other = lock(tmp_path, "numpy-cpu", packages={"numpy": "1.0"})
    (found,) = api.diff(str(other), str(training / "locks" / "numpy-cpu"), root=training)
    assert (found.state, [(one.what, one.before, one.direction) for one in found.changes]) == (
        "changed",
        [("numpy", "1.0", "up")],
    )
    assert api.diff(str(other), str(other), root=training) == ()


def test_export_gives_what_the_command_prints(kgen: Kgen, training: Path) -> None:
    text = api.export("requirements", "numpy", root=training)
    assert f"{text}\n" == kgen("export", "requirements", "numpy").stdout
    with pytest.raises(api.KgenError, match="unknown format `dockerfil`"):
        api.export("dockerfil", "numpy", root=training)


def blocks() -> list[str]:
    page = (Path(__file__).parents[1] / "docs/reference/python-api.md").read_text(encoding="utf-8")
    section = page.partition("\n## ")[0]
    return [part.partition("```")[0] for part in section.split("```python\n")[1:]]


def test_the_examples_of_the_documentation(
    kgen: Kgen, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All are run as they stand; nox is played by a recorder, as it is not a tool of this project."""
    solving, sessions, checking, _ = blocks()
    monkeypatch.chdir(project)
    exec(solving, {})  # noqa: S102 - what the documentation says is to be run
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


def test_the_example_that_trains(training: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(training)
    space: dict[str, Any] = {}
    exec(blocks()[3], space)  # noqa: S102 - what the documentation says is to be run
    space["test_every_locked_environment_trains"]()
    assert (training / "locks/numpy-cpu/receipts/cpu.json").is_file()
    monkeypatch.setenv("PYTHONPATH", os.devnull)
    with pytest.raises(AssertionError, match="numpy-cpu, numpy: "):
        space["test_every_locked_environment_trains"]()
