"""The token by which kgen knows the environments that one user made."""

from __future__ import annotations

import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from kgen import usertoken


@pytest.fixture(name="system")
def _system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder that the system has for the user; HOME and XDG_STATE_HOME are others."""
    home = tmp_path / "system"
    home.mkdir()
    monkeypatch.setattr(pwd, "getpwuid", lambda _user: SimpleNamespace(pw_dir=str(home)))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return home


def test_it_is_made_once_for_the_user_alone(system: Path, tmp_path: Path) -> None:
    made = usertoken.token()
    assert len(made) == 32
    assert usertoken.token() == made
    assert (tmp_path / "state/kgen/token").stat().st_mode & 0o777 == 0o600
    assert not any(system.iterdir())


def test_that_of_the_home_folder_of_the_system_is_taken(system: Path, tmp_path: Path) -> None:
    place = system / ".local/state/kgen/token"
    place.parent.mkdir(parents=True)
    place.write_text("abc123\n")
    assert usertoken.token() == "abc123"
    assert not (tmp_path / "state").exists()
    (tmp_path / "state/kgen").mkdir(parents=True)
    (tmp_path / "state/kgen/token").write_text("def456")
    assert usertoken.token() == "def456"
    assert usertoken.tokens() == {"abc123", "def456"}


def test_what_is_no_token_is_none(system: Path) -> None:
    place = system / ".local/state/kgen/token"
    place.parent.mkdir(parents=True)
    place.write_text("no such\nthing")
    assert usertoken.tokens() == frozenset()
    assert len(usertoken.token()) == 32


def test_a_home_folder_of_another_user(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = system / ".local/state/kgen/token"
    place.parent.mkdir(parents=True)
    place.write_text("abc123")
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    assert usertoken.tokens() == frozenset()


def test_no_home_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_user: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert usertoken.places() == ()
    assert usertoken.token() == ""
