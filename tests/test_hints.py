"""Hints of refusals are commands that repeat the whole call; the scenarios' own are run in `test_scenarios.py`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tests.command import CUTOFF, LOCK, PYTHON, SOLVE, Kgen

DAY = f'exclude-newer = "{CUTOFF}"\n'
ASKED = f"--python {PYTHON} --platform linux-64"


def hints_of(stderr: str) -> list[str]:
    return [line.removeprefix("hint: ") for line in stderr.splitlines() if line.startswith("hint: ")]


def test_a_setting_that_no_flag_takes_away_is_named(kgen: Kgen, project: Path) -> None:
    """`gpu` in the settings would be there again: the command works once it is out of them, and not before."""
    file = project / "kgen.toml"
    file.write_text(f'cuda = "12"\n{DAY}gpu = ["3.5"]\n')
    done = kgen("solve", "torch", "--python", PYTHON, "--platform", "linux-64")
    assert done.status == 3
    command = f"kgen solve torch --cuda 12 {ASKED} --exclude-newer {CUTOFF}"
    without = f"{command}   # gives torch 2.10.0, once `gpu` is out of kgen.toml"
    assert without in hints_of(done.stderr)
    words = shlex.split(without, comments=True)[1:]
    assert kgen(*words).status == 3
    file.write_text(f'cuda = "12"\n{DAY}')
    assert "  torch  2.10.0 " in kgen(*words).stdout


def test_a_setting_that_a_flag_replaces_is_not(kgen: Kgen, project: Path) -> None:
    (project / "kgen.toml").write_text(f'cuda = "13"\n{DAY}')
    done = kgen("solve", "tensorflow", "--python", PYTHON, "--platform", "linux-64")
    assert done.status == 3
    found = hints_of(done.stderr)
    assert len(found) > 1
    for hint in found:
        assert "once" not in hint
        assert kgen(*shlex.split(hint, comments=True)[1:]).status == 0, hint


def test_what_shapes_the_lock_alone_is_repeated(kgen: Kgen, project: Path) -> None:
    done = kgen(*LOCK, "numpy", "--cpu", "--require", "numpy==99", "--portable", "--no-nix")
    assert done.status == 3
    (hint,) = hints_of(done.stderr)
    command, _, gives = hint.partition("   # gives ")
    assert command == (
        f"kgen lock numpy --cpu {ASKED} --require numpy==2.4.6 --exclude-newer {CUTOFF} --portable --no-nix"
    )
    again = kgen(*shlex.split(hint, comments=True)[1:])
    assert again.status == 0, again.stderr
    text = (project / "locks" / "numpy-cpu" / "pylock.linux-64.toml").read_text()
    assert f'numpy = "{gives.removeprefix("numpy ")}"' in text
    assert "url = " not in text
    assert not (project / "flake.nix").exists()


def test_the_folder_of_a_mirror_is_repeated(kgen: Kgen) -> None:
    mirror = "https://mirror.example/whl"
    asked = ("torch", "--cuda", "12", "--gpu", "3.5", "--torch-index", mirror)
    done = kgen(*SOLVE, *asked, "--json")
    assert done.status == 3
    commands = [one["command"] for one in json.loads(done.stdout)["conflict"]["suggestions"]]
    assert commands
    assert all(f"--torch-index {mirror}" in command for command in commands)
    assert {kgen(*shlex.split(command)[1:]).status for command in commands} == {0}


def test_ways_of_an_explanation_work(kgen: Kgen) -> None:
    explained = kgen("explain", *SOLVE[1:], "torch", "jax", "--together", "both", "--cuda", "12", "--json")
    (environment,) = json.loads(explained.stdout)["environments"]
    ways = [way for one in environment["versions"] for way in one["ways"]]
    assert ways
    for way in ways:
        printed = json.loads(kgen(*shlex.split(way["command"])[1:], "--json").stdout)
        solutions = printed.get("solutions") or [printed["solution"]]
        packages = {name: version for one in solutions for name, version in one["packages"].items()}
        assert packages.items() >= way["gives"].items(), way
