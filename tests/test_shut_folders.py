"""Folders that this user may not look into: what is in them is not there, whichever Python runs kgen."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen, Result

from kgen import files

_PRIVILEGES = "--bounding-set=-dac_override,-dac_read_search"
"""Without these root may look into no more than other users."""

As = Callable[..., Result]


@pytest.fixture(name="shut")
def _shut(project: Path) -> Iterator[Path]:
    """A folder of the project with things in it, which nobody may look into."""
    folder = project / "shut"
    (folder / "home").mkdir(parents=True)
    (folder / "r.txt").touch()
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@pytest.fixture(name="unprivileged")
def _unprivileged(kgen: Kgen, shut: Path) -> As:
    """Kgen as a user who is not root calls it, in a project with a lock."""
    assert kgen(*LOCK, "numpy", "--cpu").status == 0
    before: list[str] = []
    if os.geteuid() == 0:
        before = [shutil.which("setpriv") or pytest.skip("no setpriv here"), _PRIVILEGES]
        if subprocess.run([*before, "ls", shut], check=False, capture_output=True).returncode == 0:
            pytest.skip("root looks into every folder here")

    def call(*words: str, **environment: str) -> Result:
        done = subprocess.run(
            [*before, *kgen.words(*words)],
            cwd=kgen.folder,
            env=kgen.env(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "a bug in kgen" not in done.stderr, done.stderr
        return Result(done.returncode, kgen.filtered(done.stdout), kgen.filtered(done.stderr))

    return call


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ((*LOCK, "numpy", "-r", "shut/r.txt"), 4, "shut/r.txt is not there"),
        ((*LOCK, "numpy", "--constraints", "shut/r.txt"), 4, "shut/r.txt is not there"),
        ((*LOCK, "numpy", "--dependency", "x @ ./shut/lib"), 2, "shut/lib, and there is no such folder"),
        (("validate", "numpy", "--python", "shut/python"), 2, "there is no interpreter shut/python"),
        (("bundle", "numpy", "-o", "shut/x.tar"), 4, "shut/x.tar cannot be written: Permission denied"),
        (("report", "-o", "shut/x"), 4, "shut/x cannot be written: Permission denied"),
        (("unbundle", "shut/x.tar"), 2, "shut/x.tar cannot be read as a bundle: Permission denied"),
        (("init", "--from", "shut/pixi.toml"), 2, "shut/pixi.toml cannot be read: Permission denied"),
        (("diff", "shut/a", "locks"), 2, "`shut/a` is not a file or a folder"),
        (("check",), 0, ""),
        (("status",), 0, ""),
    ],
    ids=lambda one: " ".join(one[:1] if one[0] != "lock" else one[-2:]) if isinstance(one, tuple) else None,
)
def test_what_is_in_it(unprivileged: As, words: tuple[str, ...], status: int, says: str) -> None:
    done = unprivileged(*words)
    assert (done.status, says in done.stderr) == (status, True), done.stderr


def test_the_doctor_looks_at_the_rest(unprivileged: As, shut: Path) -> None:
    done = unprivileged("doctor")
    assert done.stdout.startswith("this machine: "), done.stderr
    elsewhere = {"HOME": str(shut / "home"), "PYENV_ROOT": str(shut / "pyenv"), "LD_LIBRARY_PATH": str(shut)}
    assert unprivileged("doctor", **elsewhere).stdout.startswith("this machine: ")


def test_a_project_in_a_home_that_is_shut(unprivileged: As, shut: Path) -> None:
    done = unprivileged("run", "numpy", "--", "python", "-c", "print('ran')", HOME=str(shut / "home"))
    assert (done.status, done.stdout) == (0, "ran\n"), done.stderr


@pytest.mark.parametrize("look", [files.exists, files.is_file, files.is_folder, files.is_link])
def test_no_look_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, look: Callable[[Path], bool]) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("a\0b", "a" * 300):
        assert not look(tmp_path / name)
    monkeypatch.setattr(os, "stat", refused)
    monkeypatch.setattr(os, "lstat", refused)
    assert not look(tmp_path)
    assert files.matching(Path("/nowhere\0"), "*") == []
