"""Hints of refusals are commands that repeat the whole call; the scenarios' own are run in `test_scenarios.py`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
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


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("tensorflow --require tensorflow==2.1.0", "keras2-tensorflow --cpu --python 3.7 --require tensorflow==2.1.4"),
        (
            "tensorflow --require tensorflow==2.3.5",
            "tf-keras-tensorflow --cpu --python 3.8 --require tensorflow==2.3.4",
        ),
        ("tensorflow --require tensorflow==2.12.5", "tensorflow --cpu --python 3.11 --require tensorflow==2.12.1"),
        ("jax --require jax==0.5.9", "jax --cpu --python 3.13 --require jax==0.5.3"),
    ],
)
def test_a_release_without_a_row_is_near_those_of_its_minor(kgen: Kgen, asked: str, hint: str) -> None:
    """Where the Python is open, that of the newest release does not decide what is near to an old one."""
    refused = kgen("solve", *asked.split(), "--cpu", "--platform", "linux-64")
    assert refused.status == 3
    first = hints_of(refused.stderr)[0]
    assert first.partition("   # gives ")[0].replace(" --platform linux-64", "") == f"kgen solve {hint}"
    assert kgen(*shlex.split(first, comments=True)[1:]).status == 0


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


@pytest.mark.parametrize(
    ("requirements", "causes"),
    [
        (("jax<0.5", "jax>0.6"), ["you asked for jax<0.5 (--require)", "you asked for jax>0.6 (--require)"]),
        (
            ("jax==0.4.5",),
            [
                "you asked for jax==0.4.5 (--require)",
                "jax has no release 0.4.5 that the matrix knows: 0.4.13 is the nearest",
            ],
        ),
        (
            ("jax>99",),
            [
                "you asked for jax>99 (--require)",
                "jax has no release >99 that the matrix knows: 0.12.0.1 is the newest",
            ],
        ),
        (
            ("jax==0.6.9",),
            [
                "you asked for jax==0.6.9 (--require)",
                "jax has no release 0.6.9 that the matrix knows: 0.6.2 and 0.7.0 are the nearest",
            ],
        ),
    ],
    ids=["contradiction", "too-old", "too-new", "between"],
)
def test_what_is_required_and_cannot_be_is_the_cause(
    kgen: Kgen, requirements: tuple[str, ...], causes: list[str]
) -> None:
    """Nobody says which Python: that which was tried last is not why."""
    words = [word for one in requirements for word in ("--require", one)]
    refused = kgen("solve", "jax", "--cpu", *words)
    assert refused.status == 3
    told, _, hints = refused.stderr.partition("\n\n")
    assert [line.strip() for line in told.splitlines()[1:]] == causes
    if hints.startswith("hint: kgen solve"):
        command = hints.splitlines()[0].removeprefix("hint: kgen ").partition("   #")[0]
        assert kgen(*shlex.split(command)).status == 0


def test_the_label_of_a_build_is_dropped_where_no_row_has_it(kgen: Kgen) -> None:
    refused = kgen("solve", "torch", "--cuda", "12", "--require", "torch==2.5.1+cu121")
    assert refused.status == 3
    hint = next(line for line in refused.stderr.splitlines() if line.startswith("hint: "))
    assert "--require torch==2.5.1   # gives torch 2.5.1" in hint


@pytest.mark.parametrize(
    ("files", "words", "hint"),
    [
        ({"kgen.toml": "["}, "check", "edit"),
        ({"kgen.toml": "nothing = 1"}, "check", "edit"),
        ({"pyproject.toml": "[tool.kgen]\ncpu = true\n[project]\ndependencies = 3\n"}, "solve numpy", "edit"),
        ({"kgen.toml": "cpu = true"}, "init", "edit"),
        ({"train.py": ""}, "bundle numpy -o nowhere/x.tar", "mkdir"),
        ({"x.tar": ""}, "unbundle x.tar", "ls"),
        ({"environment.yml": "["}, "init --from environment.yml", "conda"),
        ({"requirements.txt": "a b c\n"}, "lock numpy --cpu -r requirements.txt", "edit"),
    ],
)
def test_a_path_in_a_hint_is_one_word(kgen: Kgen, tmp_path: Path, files: dict[str, str], words: str, hint: str) -> None:
    folder = tmp_path / "a b #1 100% $HOME"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    refused = kgen(*words.split(), cwd=folder)
    assert refused.status in {2, 4}
    (said,) = [line for line in refused.stderr.splitlines() if line.startswith(f"hint: {hint}")]
    for word in shlex.split(said, comments=True):
        assert word not in {"b", "$HOME"}, said
    assert "#" not in said or folder.name in " ".join(shlex.split(said, comments=True))


@pytest.mark.parametrize("kind", ["cuda", "rocm"])
def test_auto_without_a_gpu_is_answered_with_whole_calls(kgen: Kgen, kind: str) -> None:
    """Each keeps what else was asked, and answers."""
    asked = ("jax", "numpy", f"--{kind}", "auto", "--keras", ">=3.10", *SOLVE[1:])
    refused = kgen("solve", *asked)
    assert refused.status == 2
    found = hints_of(refused.stderr)
    assert len(found) == 3
    for hint in found:
        words = shlex.split(hint, comments=True)
        assert words[:4] == ["kgen", "solve", "jax", "numpy"]
        assert {"--keras", ">=3.10"} <= {*words}
        assert kgen(*words[1:]).status == 0, hint


def test_auto_without_an_answer_names_the_whole_call_that_says_why(kgen: Kgen) -> None:
    refused = kgen(LOCK[0], "jax", "--cuda", "auto", "--driver", "300", "--portable", *LOCK[1:])
    assert refused.status == 2
    (hint,) = hints_of(refused.stderr)
    assert shlex.split(hint, comments=True)[:3] == ["kgen", "solve", "jax"]
    answer = kgen(*shlex.split(hint, comments=True)[1:])
    assert answer.status == 3
    assert "300" in answer.stderr


PARTS = """\
[project]
name = "x"
version = "0"
dependencies = ["numpy"]
optional-dependencies = {{ plot = ["pillow"], bad = ["x y"] }}
[tool.uv]
conflicts = [[{{ group = "test" }}, {{ extra = "plot" }}]]
[dependency-groups]
test = ["pytest"]
{}
"""


@pytest.mark.parametrize(
    ("groups", "flags", "instead"),
    [
        ("", "--group tset", ["--group test"]),
        ("", "--group=tset", ["--group test"]),
        ("", "--group Test --group Nothing", ["--group Test"]),
        ("", "--extra plto", ["--extra plot"]),
        ("", "--extra test", ["--group test"]),
        ("", "--group plot", ["--extra plot"]),
        ("", "--extra bad", ["edit pyproject.toml", ""]),
        ("", "--group test --extra plot", ["--extra plot", "--group test"]),
        ('dev = [{ include-group = "dev" }]', "--group dev", ["edit pyproject.toml", ""]),
        ('dev = [{ include-group = "none" }]', "--group test --group dev", ["edit pyproject.toml", "--group test"]),
        ('dev = ["py test"]', "--group dev --glibc 2.28", ["edit pyproject.toml", "--glibc 2.28"]),
        ('dev = ["x y"]\nall = [{ include-group = "dev" }]', "--group all", ["edit pyproject.toml", ""]),
        ('dev = [3]\nother = ["x y"]', "--group dev --group other", ["edit pyproject.toml"]),
        ('dev = ["x @ ./none"]', "--group dev", ["edit pyproject.toml"]),
        ("", "--no-project --group test", ["--group test"]),
    ],
)
def test_a_part_of_the_project_that_is_wrong(
    kgen: Kgen, project: Path, groups: str, flags: str, instead: list[str]
) -> None:
    """What may be typed in its place is the whole call, and solves."""
    (project / "pyproject.toml").write_text(PARTS.format(groups))
    call = f"solve jax --cuda 12 {ASKED} --keras '>=3.10'"
    refused = kgen(*shlex.split(f"{call} {flags}"))
    assert refused.status == 2, refused.stderr
    expected = [one if one.startswith("edit ") else shlex.split(f"kgen {call} {one}") for one in instead]
    found = [one if one.startswith("edit ") else shlex.split(one) for one in hints_of(refused.stderr)]
    assert found == expected
    for one in found:
        if isinstance(one, list):
            assert kgen(*one[1:]).status == 0


def test_a_requirement_of_a_group_that_is_none_is_named(kgen: Kgen, project: Path) -> None:
    (project / "pyproject.toml").write_text(PARTS.format('dev = ["x y"]\nall = ["a", { include-group = "Dev" }]'))
    said = kgen("solve", "jax", "--cpu", "--group", "all").stderr
    assert "dependency-groups.dev: `x y` is not a requirement such as scikit-learn>=1.5\n" in said


def test_a_part_of_the_project_that_the_settings_ask_for(kgen: Kgen, project: Path) -> None:
    """No flag takes it away."""
    (project / "pyproject.toml").write_text(PARTS.format('dev = ["x y"]\n[tool.kgen]\ngroups = ["dev"]'))
    for command in ("solve", "check", "lock"):
        assert hints_of(kgen(command).stderr) == [
            "edit pyproject.toml", "leave `dev` out: `--group`, or `groups` in the settings, asks for it"
        ]  # fmt: skip


def test_a_project_that_is_wrong(kgen: Kgen, project: Path) -> None:
    for text in ('dependencies = ["x y"]', 'requires-python = "new"'):
        (project / "pyproject.toml").write_text(f'[project]\nname = "x"\nversion = "0"\n{text}\n')
        asked = f"kgen solve jax --cuda 12 {ASKED}"
        found = hints_of(kgen(*asked.split()[1:]).stderr)
        assert found == ["edit pyproject.toml", f"{asked} --no-project"]
        assert kgen(*found[1].split()[1:]).status == 0
        assert hints_of(kgen("solve", "--", "jax").stderr)[1] == "kgen solve --no-project -- jax"
        assert hints_of(kgen("check").stderr)[1] == "kgen lock --no-project"
