"""The command line: what it answers to wrong calls, to a world that fails, and to being interrupted."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.version import Version
from tests.command import LOCK, PYTHON, SOLVE, Kgen, Result, tree
from tests.index import Fault, Index
from tests.recorded import MATRIX
from tests.wheelhouse import Wheel

from kgen import __main__, __version__, uvtool
from kgen.cli import main
from kgen.cli.main import run
from kgen.errors import ExitStatus
from kgen.matrix.origin import FOLDER_VARIABLE

CPU_NOTE = "note: for the CPU, as nothing else was asked; for a GPU choose CUDA: --cuda 12, or --cuda auto\n"
PYTHONS = "3.6, 3.7, 3.8, 3.9, 3.10, 3.11, 3.12, 3.13, 3.14, 3.15"
NOT_LOCKED = "\nnot locked: numpy-cpu; existing locks are unchanged\n"
NETWORK_HINT = (
    "hint: check the network and the index that uv is configured for (`uv.toml`, UV_DEFAULT_INDEX), then lock again\n"
)


@pytest.fixture(name="old")
def _old(project: Path) -> Iterator[dict[str, bytes]]:
    """A lock from before; whatever goes wrong, it is there afterwards, to the byte, and nothing is beside it."""
    for name, content in {"numpy-cpu/pylock.linux-64.toml": "old\n", "jax-cuda12/activate.d/kgen.sh": "#\n"}.items():
        path = project / "locks" / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
    before = tree(project / "locks")
    yield before
    assert tree(project / "locks") == before


@pytest.fixture(name="inside")
def _inside(
    kgen: Kgen, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Inside]:
    """The command in this process, for worlds that only a monkeypatch can make."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.chdir(project)
    for name, value in kgen.environment.items():
        monkeypatch.setenv(name, value)
    yield Inside(kgen, capsys)
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Inside:
    def __init__(self, kgen: Kgen, capsys: pytest.CaptureFixture[str]) -> None:
        self._kgen = kgen
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Result:
        status = run(arguments)
        out, err = self._capsys.readouterr()
        return Result(int(status), self._kgen.filtered(out), self._kgen.filtered(err))


class TestTalk:
    def test_version(self, kgen: Kgen) -> None:
        for flag in ("--version", "-V"):
            assert kgen(flag) == Result(0, f"kgen {__version__}\n", "")

    def test_without_command(self, kgen: Kgen, project: Path) -> None:
        """Where one is, and what comes next: each of the four stages of a project."""
        help_line = "      kgen help   # all commands\n"
        new = kgen()
        assert (new.status, new.stderr) == (0, "")
        assert new.stdout.startswith(
            "[TEMP]/project has no settings of kgen, and nothing locked\n\nnext: kgen init   # "
        )
        assert new.stdout.endswith(help_line)
        (project / "kgen.toml").write_text(f'backends = ["numpy"]\ncpu = true\npython = "{PYTHON}"\n', encoding="utf-8")
        assert kgen().stdout.startswith("[TEMP]/project has settings, and nothing locked\n\nnext: kgen lock   # ")
        assert kgen("lock").status == 0
        ready = "[TEMP]/project has locks that are in order: numpy-cpu\n\nnext: kgen run numpy-cpu -- python …   # "
        assert kgen().stdout.startswith(ready)
        (project / "kgen.toml").write_text('backends = ["numpy"]\ncpu = true\npython = "3.12"\n', encoding="utf-8")
        stale = "[TEMP]/project has locks that are out of order: numpy-cpu\n\nnext: kgen check   # "
        assert kgen().stdout.startswith(stale)
        (project / "kgen.toml").write_text("backends = 3\n", encoding="utf-8")
        assert kgen().status == 2

    def test_version_for_a_report(self, kgen: Kgen) -> None:
        said = kgen("--version", "--verbose").stdout
        assert [line.split()[0] for line in said.splitlines()] == ["kgen", "Python", "platform", "matrix", "uv"]
        assert str(Path.home()) not in said

    @pytest.mark.parametrize("command", [(), ("init",), ("solve",), ("lock",), ("matrix",), ("matrix", "show")])
    def test_help(self, kgen: Kgen, command: tuple[str, ...]) -> None:
        result = kgen(*command, "--help")
        assert (result.status, result.stderr) == (0, "")
        assert result.stdout.startswith(" ".join(["usage: kgen", *command]))

    def test_a_reader_who_has_seen_enough(self, kgen: Kgen) -> None:
        words = f"'{sys.executable}' -m kgen matrix show | head -1; echo ${{PIPESTATUS[0]}}"
        bash = ["bash", "-c", words]
        done = subprocess.run(bash, check=False, capture_output=True, text=True, cwd=kgen.folder, env=kgen.env())
        assert done.stdout == "generations\n0\n"
        # Whether it gets as far as to its last word is a matter of buffers.
        assert done.stderr == "" or done.stderr.startswith("\nmatrix ")

    @pytest.mark.parametrize("framework", ["torch", "cuda", "cudnn", "gpus", "images"])
    def test_matrix_show(self, inside: Inside, framework: str) -> None:
        result = inside("matrix", "show", framework)
        lines = result.stdout.splitlines()
        assert (result.status, lines[0]) == (0, framework)
        assert result.stderr.startswith("\nmatrix ")
        data = inside("matrix", "show", framework, "--json")
        rows = json.loads(data.stdout)["facts"][framework]
        assert (data.status, data.stderr, len(rows)) == (0, "", len(lines) - 2)
        assert all(row["source"] and row["checked"] for row in rows)
        assert json.loads(data.stdout)["revision"] in result.stderr

    def test_progress_only_on_a_terminal(self, kgen: Kgen) -> None:
        status, screen = on_terminal(kgen, *LOCK, "numpy")
        assert status == 0
        assert "numpy-cpu (linux-64)" in screen
        piped = kgen(*LOCK, "numpy")
        assert "closing" not in piped.stdout + piped.stderr
        assert "\x1b" not in piped.stdout + piped.stderr

    def test_a_terminal_sees_what_takes_long(self, kgen_alone: Kgen, index: Index) -> None:
        """Of stages that end at once, none has to be drawn."""
        index.misbehave("hang", at=r"^uv")
        status, screen = on_terminal(kgen_alone, *LOCK, "numpy", until="resolving with uv")
        assert "resolving with uv" in screen
        assert status == 128 + signal.SIGINT

    def test_colour_is_respected(self, kgen: Kgen) -> None:
        """Without NO_COLOR a terminal gets colours; with it none (what moves the cursor is not a colour)."""
        assert "\x1b[3" not in on_terminal(kgen, *LOCK, "numpy")[1]
        assert "\x1b[3" in on_terminal(kgen, *LOCK, "numpy", "--upgrade", NO_COLOR="")[1]


def on_terminal(kgen: Kgen, *arguments: str, until: str = "", **environment: str) -> tuple[int, str]:
    """Runs it with stderr on a terminal; to its end, or until that stands there, when it is interrupted."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        kgen.words(*arguments),
        cwd=kgen.folder,
        env=kgen.env(TERM="xterm-256color", COLUMNS="100", **environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=follower,
    ) as child:
        os.close(follower)
        screen = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(leader, 65536):
                screen += chunk
                if until and until.encode() in screen:
                    until = ""
                    child.send_signal(signal.SIGINT)
        os.close(leader)
        return child.wait(), screen.decode()


class TestSolve:
    def test_several(self, inside: Inside) -> None:
        assert inside(*SOLVE, "jax", "numpy", "--cuda", "12") == Result(
            0,
            """\
jax-cuda12: Python 3.11, linux-64, CUDA 12.9, cuDNN 9.28.0.42, driver 525.60.13 or newer
  keras              3.15.1      newest release
  jax                0.10.2      newest that fits: 0.11.0 has no wheel for Python 3.11
  jaxlib             0.10.2
  jax-cuda12-plugin  0.10.2
  jax-cuda12-pjrt    0.10.2

numpy-cpu: Python 3.11, linux-64
  keras  3.15.1      newest release
  numpy  2.4.6       newest that fits: 2.5.0 has no wheel for Python 3.11
  jax    0.10.2      newest that keras can import, which it does without declaring it; for the CPU
""",
            "",
        )

    def test_one_as_data(self, inside: Inside) -> None:
        result = inside(*SOLVE, "jax", "--cuda", "12", "--json")
        assert (result.status, result.stderr) == (0, "")
        data = json.loads(result.stdout)
        assert list(data) == ["solution"]
        assert data["solution"]["environment"] == "jax-cuda12"
        assert data["solution"]["packages"]["jax"] == "0.10.2"

    def test_several_as_data(self, inside: Inside) -> None:
        data = json.loads(inside(*SOLVE, "jax", "numpy", "--cuda", "12", "--json").stdout)
        assert [row["environment"] for row in data["solutions"]] == ["jax-cuda12", "numpy-cpu"]
        assert list(data) == ["solutions"]

    def test_conflict(self, inside: Inside, project: Path) -> None:
        words = (*SOLVE, "tensorflow", "torch", "--together", "both", "--cuda", "13")
        result = inside(*words)
        assert (result.status, result.stdout) == (3, "")
        assert result.stderr.startswith(
            "error: both-cuda13: the matrix has no row for a stable TensorFlow for CUDA 13 on linux-64\n"
        )
        data = inside(*words, "--json")
        assert data.status == 3
        assert data.stderr == result.stderr
        conflict = json.loads(data.stdout)["conflict"]
        assert conflict["message"] == "the matrix has no row for a stable TensorFlow for CUDA 13 on linux-64"
        assert all(set(cause) == {"kind", "subject", "requires", "source"} for cause in conflict["causes"])
        gives = {"tensorflow": "2.20.0", "torch": "2.10.0"}
        command = (
            f"kgen solve tensorflow torch --together both --cuda 12 --python {PYTHON} --platform linux-64"
            " --exclude-newer 2026-11-20"
        )
        suggestion = {"kind": "accelerator", "change": "--cuda 12", "command": command, "gives": gives}
        assert suggestion in conflict["suggestions"]
        assert f"\n\nhint: {command}   # gives tensorflow 2.20.0, torch 2.10.0\n" in result.stderr
        assert list(project.iterdir()) == []

    def test_a_conflict_among_several(self, inside: Inside) -> None:
        result = inside(*SOLVE, "tensorflow", "jax", "--cuda", "13", "--json")
        data = json.loads(result.stdout)
        assert result.status == 3
        assert [row["environment"] for row in data["solutions"]] == ["jax-cuda13"]
        assert [row["environment"] for row in data["conflicts"]] == ["tensorflow-cuda13"]


WRONG_CALLS: dict[tuple[str, ...], str] = {
    ("lock", "jaxx"): "unknown backend `jaxx`\n\nhint: did you mean `jax`?",
    (
        "lock",
        "../evil",
    ): "unknown backend `../evil`\n\n"
    "hint: the backends are tensorflow, jax, torch, numpy, openvino, theano, theano-pymc, cntk",
    ("lock", "--cuda", "banana"): (
        "--cuda: `banana` is not a version of CUDA; give a major or major.minor such as 12 or 12.6, or auto"
    ),
    (
        "lock",
        "--cuda",
        "",
    ): "--cuda: `` is not a version of CUDA; give a major or major.minor such as 12 or 12.6, or auto",
    ("lock", "--cuda", "14"): "--cuda: unknown CUDA `14`; known are 11, 12, 13",
    ("lock", "--cuda", "12", "--cpu"): "`--cuda` and `--cpu` contradict each other\n\nhint: give one of them",
    ("lock", "--python", "2.7"): f"--python: unknown Python `2.7`; known are {PYTHONS}",
    ("lock", "--python", "3.11.4"): "--python: `3.11.4` names a patch release; give the minor, `3.11`",
    ("lock", "--platform", "linux"): (
        "--platform: unknown platform `linux`; did you mean `linux-64`?"
        " Known are linux-64, linux-aarch64, osx-arm64, win-64"
    ),
    ("lock", "--glibc", "3"): "--glibc: `3` is not a version of glibc such as 2.28",
    ("lock", "--driver", "new"): "--driver: `new` is not a driver version such as 535.183 or 580.65.06",
    ("lock", "--gpu", "Voodoo5"): (
        "--gpu: `Voodoo5` is not a compute capability such as 8.0 or sm_80;"
        " `nvidia-smi --query-gpu=name,compute_cap --format=csv` prints that of a GPU"
    ),
    ("lock", "--keras", "three"): "--keras: `three` is not a range of versions such as >=3.10,<4",
    ("lock", "--require", "torch=2"): "--require: `torch=2` is how conda writes it; a requirement says torch==2.*",
    ("lock", "--dependency", "a @ https://u:p@a.test/a.whl"): (
        "--dependency: `https://…` holds credentials, which the lock would carry on; leave them to netrc"
    ),
    ("lock", "--exclude-newer", "yesterday"): "--exclude-newer: `yesterday` is not a date such as 2026-11-20",
    ("lock", "jax", "torch", "--together", "../evil"): (
        "--together: `../evil` is not made of a-z, 0-9 and inner hyphens\n\n"
        "hint: choose another, such as `--together all`"
    ),
    ("lock", "jax", "torch", "--together", "jax"): (
        "--together: `jax` is that of a backend\n\nhint: choose another, such as `--together all`"
    ),
    ("lock", "jax", "--together", "all"): (
        "`--together all` needs at least two backends\n\nhint: kgen lock tensorflow jax torch --together all"
    ),
    ("lock", "--channel", "conda-forge"): "`--channel` is for conda\n\nhint: give `--conda` with it",
    ("lock", "--conda", "--channel", "a b"): (
        "--channel: `a b` names several; `--channel a --channel b` asks for each"
    ),
    ("lokc", "jax", "--cuda", "12"): (
        "unknown command `lokc`\n\nhint: did you mean `kgen lock jax --cuda 12`?\nhint: kgen --help"
    ),
    ("--halp",): "unknown option `--halp`\n\nhint: did you mean `kgen --help`?\nhint: kgen --help",
    ("qqq",): "unknown command `qqq`\n\nhint: kgen --help",
    ("install", "jax"): "unknown command `install`\n\nhint: did you mean `kgen sync jax`?\nhint: kgen --help",
    ("exec", "jax", "--", "pytest", "-k", "a b"): (
        "unknown command `exec`\n\nhint: did you mean `kgen run jax -- pytest -k 'a b'`?\nhint: kgen --help"
    ),
    ("help", "lokc"): ("unknown command `lokc`\n\nhint: did you mean `kgen lock --help`?\nhint: kgen --help"),
    ("matrix", "refrehs", "--check"): (
        "unknown command `matrix refrehs`\n\n"
        "hint: did you mean `kgen matrix refresh --check`?\nhint: kgen matrix --help"
    ),
    ("matrix",): (
        "`kgen matrix` needs an action: show, refresh, plot, audit\n\n"
        "hint: kgen matrix show\nhint: kgen matrix refresh\nhint: kgen matrix plot\nhint: kgen matrix audit\n"
        "hint: kgen matrix --help"
    ),
    ("matrix", "show", "torchh"): "`torchh` is not in the matrix\n\nhint: did you mean `torch`?",
    ("lock", "jax", "--cudaa=12", "--keras", ">=3"): (
        "`kgen lock`: unknown option `--cudaa`\n\n"
        "hint: did you mean `kgen lock jax --cuda=12 --keras '>=3'`?\nhint: kgen lock --help"
    ),
    ("lock", "-z"): "`kgen lock`: unknown option `-z`\n\nhint: kgen lock --help",
    ("lock", "--cuda"): "`kgen lock`: `--cuda` needs a value: --cuda V\n\nhint: kgen lock --help",
    ("lock", "--upgrade=yes"): "`kgen lock`: `--upgrade` takes no value\n\nhint: kgen lock --help",
    ("lock", "--no-portable"): (
        "`kgen lock`: unknown option `--no-portable`\n\n"
        "hint: did you mean `kgen lock --portable`?\nhint: kgen lock --help"
    ),
    ("add", "-r", "more.txt"): (
        "`kgen add`: unknown option `-r`\n\nhint: did you mean `kgen lock -r more.txt`?\nhint: kgen add --help"
    ),
    ("update", "--extra", "dev"): (
        "`kgen update`: unknown option `--extra`\n\n"
        "hint: did you mean `kgen lock --extra dev`?\nhint: kgen update --help"
    ),
    ("add", "six", "--python", "3.12"): "`kgen add`: unknown option `--python`\n\nhint: kgen add --help",
    ("add", "--python"): "`kgen add`: unknown option `--python`\n\nhint: kgen add --help",
    ("run",): (
        "`kgen run` needs ENV: a locked environment, or its backend where that is locked once\n\n"
        "hint: kgen run numpy-cpu -- python\nhint: kgen run --help"
    ),
    ("run", "jax", "--no-sync", "--", "python", "-c", "1 + 1"): (
        "`--no-sync` is not a program: options of `kgen run` stand before the environment\n\n"
        "hint: kgen run --no-sync jax -- python -c '1 + 1'"
    ),
    ("run", "jax", "--no-sync"): (
        "`--no-sync` is not a program: options of `kgen run` stand before the environment\n\n"
        "hint: kgen run --no-sync jax -- python train.py"
    ),
    ("run", "jax", "-c", "1"): (
        "`-c` is not a program: options of `kgen run` stand before the environment\n\nhint: kgen run --help"
    ),
    (
        "tree",
        "jax",
        "--invert",
        "rich",
    ): "`kgen tree`: unexpected `rich`\n\nhint: kgen tree jax --invert --package rich",
    ("tree", "rich", "rich"): "`kgen tree`: unexpected `rich`\n\nhint: kgen tree rich --package rich",
    ("export", "slurm", "jax", "torch"): "`kgen export`: unexpected `torch`\n\nhint: kgen export slurm jax",
    ("lock", "jax", "--cuda12"): (
        "`kgen lock`: unknown option `--cuda12`\n\n"
        "hint: did you mean `kgen lock jax --cuda 12`?\nhint: kgen lock --help"
    ),
    ("export", "slrum"): "unknown format `slrum`\n\nhint: did you mean `slurm`?",
    ("validate", "--device", "gup"): "unknown device `gup`\n\nhint: did you mean `--device gpu`?",
    ("validate", "--device", "tensor"): "unknown device `tensor`\n\nhint: give one of gpu, cpu, auto",
    ("validate", "--timeout", "long"): (
        "`--timeout` is not a number of seconds\n\nhint: leave it out, or give one such as 900"
    ),
    ("completion", "bsh"): "unknown shell `bsh`\n\nhint: did you mean `kgen completion bash`?",
    ("completion", "tcsh"): "unknown shell `tcsh`\n\nhint: give one of bash, fish, nu, pwsh, zsh",
}


@pytest.mark.parametrize("arguments", WRONG_CALLS, ids=" ".join)
@pytest.mark.usefixtures("old")
def test_wrong_calls(inside: Inside, arguments: tuple[str, ...]) -> None:
    assert inside(*arguments) == Result(2, "", f"error: {WRONG_CALLS[arguments]}\n")


class TestSettings:
    def test_unknown_key(self, inside: Inside, project: Path, old: dict[str, bytes]) -> None:
        del old
        (project / "kgen.toml").write_text('cudaa = "12"\n[backend.jaxx]\n')
        result = inside("lock")
        assert (result.status, result.stdout) == (2, "")
        first, second, *rest = result.stderr.splitlines()
        assert first.startswith("error: kgen.toml: ")
        assert second.startswith("kgen.toml: ")
        assert "cudaa" in result.stderr
        assert "did you mean `cuda`?" in result.stderr
        assert "did you mean `jax`?" in result.stderr
        assert rest == ["", "hint: edit [TEMP]/project/kgen.toml"]

    @pytest.mark.parametrize("name", ["kgen.toml", "pyproject.toml"])
    def test_in_conflict_after_a_merge(self, inside: Inside, project: Path, old: dict[str, bytes], name: str) -> None:
        del old
        head = "" if name == "kgen.toml" else "[tool.kgen]\n"
        (project / name).write_text(
            f"{head}cpu = true\n<<<<<<< HEAD\nkeras = '3'\n=======\nglibc = '2.28'\n>>>>>>> b\n"
        )
        assert inside("check") == Result(
            2,
            "",
            f"error: [TEMP]/project/{name} is in conflict after a merge (at line {2 + bool(head)})\n\n"
            f"hint: edit [TEMP]/project/{name}\nhint: kgen lock --merge   # then solves the locks again\n",
        )

    def test_two_files(self, inside: Inside, project: Path, old: dict[str, bytes]) -> None:
        del old
        (project / "kgen.toml").write_text("")
        (project / "pyproject.toml").write_text("[tool.kgen]\n")
        assert inside("lock") == Result(
            2,
            "",
            "error: there are settings in [TEMP]/project/kgen.toml and in [tool.kgen] of"
            " [TEMP]/project/pyproject.toml; kgen reads one of the two\n\n"
            "hint: remove [tool.kgen] from pyproject.toml, or remove kgen.toml\n",
        )

    def test_an_environment_that_is_a_path(self, inside: Inside, project: Path, old: dict[str, bytes]) -> None:
        del old
        (project / "kgen.toml").write_text('[environment."../../evil"]\nbackends = ["jax", "torch"]\n')
        result = inside("lock")
        assert result.status == 2
        assert '"../../evil": the name is not made of a-z, 0-9 and inner hyphens' in result.stderr

    def test_a_wrong_python_version_file(self, inside: Inside, project: Path, old: dict[str, bytes]) -> None:
        del old
        (project / ".python-version").write_text("3.5\n")
        result = inside("lock", "numpy")
        assert result == Result(2, "", f"error: Python `3.5` is not in the matrix\n\nhint: give one of {PYTHONS}\n")

    def test_flags_win(self, inside: Inside, project: Path) -> None:
        (project / "kgen.toml").write_text('cuda = "12"\npython = "3.12"\nbackends = ["torch"]\n')
        data = json.loads(inside(*SOLVE, "jax", "--cpu", "--json").stdout)["solution"]
        assert (data["environment"], data["python"]) == ("jax-cpu", PYTHON)

    def test_init_then_lock(self, kgen: Kgen, project: Path) -> None:
        result = kgen("init", "numpy", "--cpu", "--python", PYTHON)
        assert (result.status, result.stderr) == (0, "\nwritten to kgen.toml; next: kgen lock\n")
        assert (project / "kgen.toml").read_text() == result.stdout
        again = kgen("init")
        assert again == Result(
            2,
            "",
            "error: there are settings already, in [TEMP]/project/kgen.toml\n\n"
            "hint: edit [TEMP]/project/kgen.toml\nhint: kgen lock --dry-run\n",
        )
        assert kgen("lock", *LOCK[3:]).status == 0
        assert [path.name for path in (project / "locks").glob("[!.]*")] == ["numpy-cpu"]


class TestNoSolution:
    def test_a_requirement_that_excludes_every_release(self, kgen: Kgen, old: dict[str, bytes]) -> None:
        del old
        command = f"kgen lock numpy --cpu --python {PYTHON} --platform linux-64 --require numpy==2.4.6"
        assert kgen(*LOCK, "numpy", "--require", "numpy==99") == Result(
            3,
            "",
            f"""\
{CPU_NOTE}
error: numpy-cpu: there is no NumPy for the CPU and Python 3.11 that fits the request
  you asked for numpy==99 (--require)
  numpy has no release 99 that the matrix knows: 2.5.5 is the nearest

hint: {command} --exclude-newer 2026-11-20   # gives numpy 2.4.6
{NOT_LOCKED}""",
        )

    def test_the_others_are_locked(self, kgen: Kgen, project: Path) -> None:
        result = kgen(*LOCK, "tensorflow", "numpy", "--cuda", "13", "--json")
        assert result.status == 3
        assert result.stderr.endswith("\nnot locked: tensorflow-cuda13; existing locks are unchanged\n")
        conflict, numpy = json.loads(result.stdout)["environments"]
        assert conflict["environment"] == "tensorflow-cuda13"
        assert conflict["conflict"]["causes"]
        assert numpy["changed"] is True
        assert [path.name for path in (project / "locks").glob("[!.]*")] == ["numpy-cpu"]

    def test_no_lock_to_upgrade(self, inside: Inside) -> None:
        assert inside(*LOCK, "jax", "--upgrade-package", "numpy") == Result(
            2,
            "",
            f"{CPU_NOTE}error: `--upgrade-package`: jax-cpu has no lock for linux-64 yet\n\nhint: kgen lock jax\n",
        )

    def test_a_lock_of_nobody_to_upgrade(self, inside: Inside, old: dict[str, bytes]) -> None:
        del old
        result = inside(*LOCK, "numpy", "--upgrade-package", "numpy")
        assert (result.status, result.stdout) == (2, "")
        where = "[TEMP]/project/locks/numpy-cpu/pylock.linux-64.toml"
        assert result.stderr.startswith(f"{CPU_NOTE}error: {where}: not a lock of kgen: ")
        assert result.stderr.endswith("\n\nhint: kgen lock\n")


@pytest.mark.usefixtures("old")
class TestIndex:
    """Old locks stand, whatever the index does."""

    def test_unreachable(self, kgen: Kgen) -> None:
        result = kgen(*LOCK, "numpy", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple")
        assert result == Result(
            4,
            "",
            f"""\
{CPU_NOTE}
error: uv failed: Failed to fetch: http://[INDEX]/simple/[PACKAGE]/ error sending request for url \
(http://[INDEX]/simple/[PACKAGE]/) client error (Connect) tcp connect error Connection refused (os error 111)

{NETWORK_HINT}{NOT_LOCKED}""",
        )

    def test_500(self, kgen_alone: Kgen, index: Index) -> None:
        index.misbehave("500")
        assert kgen_alone(*LOCK, "numpy") == Result(
            4,
            "",
            f"""\
{CPU_NOTE}
error: uv failed: Failed to fetch: http://[INDEX]/simple/[PACKAGE]/ HTTP status server error \
(500 Internal Server Error) for url (http://[INDEX]/simple/[PACKAGE]/)

{NETWORK_HINT}{NOT_LOCKED}""",
        )

    def test_slow(self, kgen_alone: Kgen, index: Index) -> None:
        """Uv's own timeout ends it."""
        index.misbehave("hang")
        assert kgen_alone(*LOCK, "numpy", UV_HTTP_TIMEOUT="1") == Result(
            4,
            "",
            f"""\
{CPU_NOTE}
error: uv failed: Failed to fetch: http://[INDEX]/simple/[PACKAGE]/ error sending request for url \
(http://[INDEX]/simple/[PACKAGE]/) operation timed out

{NETWORK_HINT}{NOT_LOCKED}""",
        )

    def test_credentials_are_missing(self, kgen_alone: Kgen, index: Index) -> None:
        index.misbehave("401")
        assert kgen_alone(*LOCK, "numpy") == Result(
            4,
            "",
            f"""\
{CPU_NOTE}
error: uv failed: An index URL (http://[INDEX]/simple) could not be queried due to a lack of valid authentication \
credentials (401 Unauthorized)

hint: give uv the credentials of the index (`uv auth login`, or a netrc file), then lock again
{NOT_LOCKED}""",
        )

    def test_html_that_is_no_index(self, kgen_alone: Kgen, index: Index) -> None:
        index.misbehave("html")
        result = kgen_alone(*LOCK, "numpy")
        missing = r"there is no version of (keras|numpy)==[0-9.]+ and you require \1==[0-9.]+"
        assert dataclasses.replace(result, stderr=re.sub(missing, "[MISSING]", result.stderr)) == Result(
            4,
            "",
            f"""\
{CPU_NOTE}
error: numpy-cpu: uv finds no solution in the index that it is configured for
[MISSING]

hint: check the name, and that the index (`uv.toml`, UV_DEFAULT_INDEX) is one and has it
{NOT_LOCKED}""",
        )

    def test_a_wrong_hash(self, kgen_alone: Kgen, index: Index) -> None:
        index.misbehave("wrong hash", at="/simple/absl-py/")
        (wheel,) = index.wheelhouse.wheels("absl-py")
        assert kgen_alone(*LOCK, "numpy") == Result(
            4,
            "",
            f"""\
{CPU_NOTE}
error: {wheel.filename} is not the file that the index names: sha256 {wheel.sha256}, expected {"0" * 64}

hint: curl --silent --show-error --location http://[INDEX]/files/{wheel.filename} | sha256sum
{NOT_LOCKED}""",
        )

    @pytest.mark.parametrize("fault", ["500", "hang up"])
    def test_files_cannot_be_had(self, kgen_alone: Kgen, index: Index, fault: Fault) -> None:
        index.misbehave(fault, at=r"^kgen.*/rich-")
        (wheel,) = index.wheelhouse.wheels("rich")
        said = {"500": "[INDEX] answered 500 Internal Server Error", "hang up": "[INDEX] broke the connection off"}
        assert kgen_alone(*LOCK, "numpy") == Result(
            4,
            "",
            f"""\
{CPU_NOTE}
error: {wheel.filename}: {said[fault]}

hint: curl --head --location http://[INDEX]/files/{wheel.filename}
{NOT_LOCKED}""",
        )


def test_an_index_without_ranges(kgen_alone: Kgen, index: Index, project: Path) -> None:
    index.misbehave("no ranges", at="/files/")
    assert kgen_alone(*LOCK, "numpy").status == 0
    assert (project / "locks/numpy-cpu/pylock.linux-64.toml").exists()


def test_passwords_are_not_shown(kgen_alone: Kgen, index: Index) -> None:
    index.misbehave("500")
    secret = index.url.replace("http://", "http://user:se-cr-et@")
    result = kgen_alone(*LOCK, "numpy", UV_DEFAULT_INDEX=secret)
    assert result.status == 4
    assert "se-cr-et" not in result.stdout + result.stderr


@pytest.mark.usefixtures("old")
class TestUv:
    """The resolver is missing or beside itself."""

    def test_missing(self, inside: Inside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "uv", None)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert inside(*LOCK, "numpy") == Result(
            4,
            "",
            f"{CPU_NOTE}error: uv was not found: kgen needs it to close a lock and to install one\n\n"
            "hint: pip install uv\n",
        )

    def test_the_one_on_the_path(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "uv", None)
        program = tmp_path / "uv"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert uvtool.find() == str(program)

    GARBAGE = (
        ("echo 'thread main panicked' >&2; exit 101", "uv failed: thread main panicked"),
        ("exit 2", "uv failed: it gave no reason"),
        ("kill -9 $$", "uv failed: it gave no reason"),
        ("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 2", f"uv failed: {'x' * 400} …"),
        ("printf '\\033[2Jerror: \\377\\n' >&2; exit 2", None),
        ("exit 0", None),
        ("echo '<html>' > \"$out\"", None),
        ('echo \'lock-version = "2.0"\' > "$out"', None),
        ('printf \'lock-version = "1.0"\\ncreated-by = "uv"\\npackages = 1\\n\' > "$out"', None),
        ('printf \'lock-version = "1.0"\\ncreated-by = "uv"\\npackages = []\\n\' > "$out"', None),
    )

    @pytest.mark.parametrize(("script", "error"), GARBAGE, ids=[script for script, _ in GARBAGE])
    def test_failing(
        self, inside: Inside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, error: str | None
    ) -> None:
        program = tmp_path / "uv"
        find = 'while [ $# -gt 0 ]; do [ "$1" = --output-file ] && out=$2; shift; done'
        program.write_text(f"#!/bin/sh\n{find}\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(uvtool, "find", lambda: str(program))
        result = inside(*LOCK, "numpy")
        assert (result.status, result.stdout) == (4, "")
        assert "Traceback" not in result.stderr
        assert len(result.stderr) < 2000
        assert result.stderr.startswith(f"{CPU_NOTE}\nerror: {error or ''}")
        assert result.stderr.endswith(NOT_LOCKED)
        assert "\x1b" not in result.stderr
        assert "\nhint: " in result.stderr


@pytest.mark.usefixtures("old")
def test_a_damaged_matrix(inside: Inside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = tmp_path / "matrix"
    shutil.copytree(MATRIX, copy)
    monkeypatch.setenv(FOLDER_VARIABLE, str(copy))
    jax = (copy / "jax.toml").read_text(encoding="utf-8")
    (copy / "jax.toml").write_text(jax.replace("[[release]]", "[[release", 1), encoding="utf-8")
    for command in (LOCK, SOLVE):
        result = inside(*command, "jax")
        assert (result.status, result.stdout) == (2, "")
        assert "error: the compatibility matrix has " in result.stderr
        assert "jax.toml: " in result.stderr
        assert result.stderr.endswith(
            "\n\nhint: reinstall kgen, or undo the last edit of the file that the message names\n"
        )
    (copy / "jax.toml").write_bytes(b"\xff")
    assert inside(*SOLVE, "jax").stderr.startswith("error: the compatibility matrix has 1 fault:\n  jax.toml: ")


class TestDisk:
    def test_locks_is_a_file(self, kgen: Kgen, project: Path) -> None:
        (project / "locks").write_text("mine")
        result = kgen(*LOCK, "numpy")
        assert (result.status, result.stdout) == (4, "")
        assert result.stderr.startswith(f"{CPU_NOTE}error: [TEMP]/project/locks cannot be locked: ")
        assert (project / "locks").read_text() == "mine"

    def test_another_at_the_same_time(self, kgen_alone: Kgen, index: Index, project: Path) -> None:
        index.misbehave("hang")
        with busy(kgen_alone, index) as first:
            assert kgen_alone(*LOCK, "jax") == Result(
                4,
                "",
                f"{CPU_NOTE}error: another `kgen lock` is at work in [TEMP]/project/locks\n\n"
                "hint: wait for it to end, or end it\n",
            )
            assert kgen_alone(*SOLVE, "jax").status == 0
            first.send_signal(signal.SIGINT)
            assert first.wait(20) == 130
        assert list(project.iterdir()) == []

    @pytest.mark.parametrize("trouble", ["full", "read-only"])
    def test_full_or_read_only(self, kgen: Kgen, project: Path, old: dict[str, bytes], trouble: str) -> None:
        """On a filesystem of its own, in a mount namespace of its own."""
        if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
            pytest.skip("needs to be allowed to mount")
        size = {"full": "36k", "read-only": "1m"}[trouble]
        after = project.parent / "after"
        script = (
            'set -e; cp -a locks ../held; mount -t tmpfs -o "size=$1" tmpfs locks; cp -a ../held/. locks;'
            ' [ "$2" = full ] || mount -o remount,ro locks;'
            ' shift 2; set +e; "$@"; status=$?; cp -a locks "$AFTER"; exit $status'
        )
        words = ["unshare", "-m", "sh", "-c", script, "sh", size, trouble, *kgen.words(*LOCK, "numpy")]
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, cwd=project, env=kgen.env(AFTER=str(after))
        )
        said = {"full": "No space left on device", "read-only": "Read-only file system"}[trouble]
        assert (done.returncode, done.stdout) == (4, ""), done.stderr
        assert f"error: {project}/locks" in done.stderr
        assert said in done.stderr
        assert tree(after) == old


# --- interrupted -----------------------------------------------------------------------------------------------------


def family(mark: str) -> list[int]:
    """The processes that carry this mark in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdecimal() and mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


@contextlib.contextmanager
def busy(kgen: Kgen, index: Index, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A `kgen lock` that has got as far as to hang in the index."""
    mark = str(kgen.temporary)
    with kgen.start(*(arguments or (*LOCK, "numpy", "jax")), MARK=mark) as child:
        try:
            assert index.hanging.wait(30)
            yield child
        finally:
            for number in family(f"MARK={mark}"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)


class TestInterrupted:
    @pytest.mark.parametrize(
        ("number", "group"),
        [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGHUP, True)],
    )
    @pytest.mark.usefixtures("old")
    def test_while_uv_is_at_work(self, kgen_alone: Kgen, index: Index, number: signal.Signals, *, group: bool) -> None:
        index.misbehave("hang")
        with busy(kgen_alone, index) as child:
            mark = f"MARK={kgen_alone.temporary}"
            assert len(family(mark)) > 1
            started = time.monotonic()
            os.killpg(child.pid, number) if group else child.send_signal(number)
            out, err = child.communicate(timeout=20)
            assert time.monotonic() - started < 5
            assert (child.returncode, out) == (128 + number, "")
            assert err == f"{CPU_NOTE}interrupted; nothing is half-written\n"
            assert family(mark) == []

    @pytest.mark.usefixtures("old")
    def test_while_files_are_read(self, kgen_alone: Kgen, index: Index) -> None:
        """Nobody waits for a server that says nothing."""
        index.misbehave("hang", at=r"^kgen")
        with busy(kgen_alone, index) as child:
            started = time.monotonic()
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=20)
            assert time.monotonic() - started < 5
            assert (child.returncode, err) == (130, f"{CPU_NOTE}interrupted; nothing is half-written\n")

    @pytest.mark.parametrize("module", ["kgen.cli.main", "kgen.cli.command", "kgen.cli.console", "kgen.errors"])
    @pytest.mark.parametrize(("ignored", "status"), [(False, 130), (True, 0)])
    def test_while_kgen_is_imported(self, module: str, *, ignored: bool, status: int) -> None:
        """Python's own answer to the signal would be a traceback."""
        script = (
            "import os, signal, sys\n"
            "class Finder:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            f"        if name == {module!r}:\n"
            "            os.kill(os.getpid(), signal.SIGINT)\n"
            f"signal.signal(signal.SIGINT, signal.{'SIG_IGN' if ignored else 'default_int_handler'})\n"
            "sys.meta_path.insert(0, Finder())\n"
            "sys.argv = ['kgen', 'completion', 'bash']\n"
            "from kgen.__main__ import main\n"
            "sys.exit(main())\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        said = "" if ignored else "interrupted; nothing is half-written\n"
        assert (done.returncode, done.stderr) == (status, said)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_where_python_lets_no_exception_out(self, number: signal.Signals) -> None:
        """Each import ends with a callback in which an interrupt would be reported, and then forgotten."""
        script = (
            "import os, sys, time\n"
            "class Dying:\n"
            "    def __del__(self):\n"
            f"        os.kill(os.getpid(), {number:d})\n"
            "        sum(range(1000))\n"
            "class Finder:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name == 'kgen.cli.completion':\n"
            "            Dying()\n"
            "            time.sleep(20)\n"
            "sys.meta_path.insert(0, Finder())\n"
            "sys.argv = ['kgen', 'completion', 'bash']\n"
            "from kgen.__main__ import main\n"
            "sys.exit(main())\n"
        )
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (128 + number, "interrupted; nothing is half-written\n")
        assert time.monotonic() - started < 15

    @pytest.mark.parametrize("home", ["/other/python", ""])
    def test_the_standard_library_of_another_python(self, home: str) -> None:
        """What PYTHONHOME leads to begins with modules that import, and fails at one that is compiled."""
        script = (
            "import os, sys\n"
            "class Finder:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name == 'typer':\n"
            "            raise ModuleNotFoundError(\"No module named '_posixsubprocess'\")\n"
            "sys.meta_path.insert(0, Finder())\n"
            f"os.environ['PYTHONHOME'] = {home!r}\n"
            "sys.argv = ['kgen', 'doctor']\n"
            "from kgen.__main__ import main\n"
            "sys.exit(main())\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        told = (
            "error: PYTHONHOME='/other/python' leads Python to another standard library: No module named"
            " '_posixsubprocess'\n\nhint: unset PYTHONHOME\n"
        )
        # without the variable it is a bug, and is shown as one
        assert (done.returncode, done.stderr == told) == ((4, True) if home else (1, False))
        assert int(ExitStatus.OUTSIDE) == __main__._OUTSIDE

    def test_little_is_imported_before_it_is_heeded(self) -> None:
        """What Python answers until then is a traceback."""
        before = "import sys; bare = set(sys.modules); import kgen.__main__; print(*sorted(set(sys.modules) - bare))"
        words = [sys.executable, "-S", "-c", before]
        root = str(Path(uvtool.__file__).parents[1])
        done = subprocess.run(words, capture_output=True, text=True, check=True, env={"PYTHONPATH": root})
        slow = {"typing", "importlib", "contextlib", "re", "inspect", "pathlib", "typer", "argparse", "tempfile"}
        assert not slow & set(done.stdout.split())
        assert "kgen.__main__" in done.stdout.split()

    def test_killed_then_again(self, kgen_alone: Kgen, index: Index, project: Path) -> None:
        index.misbehave("hang")
        with busy(kgen_alone, index) as child:
            child.kill()
            child.wait()
        assert {path.name for path in (project / "locks").iterdir()} <= {".kgen.lock"}
        index.behaviour.fault = None
        index.wheelhouse.put(Wheel(name="demo", version="1"))
        assert kgen_alone(*LOCK, "numpy", "--dependency", "demo").status == 0
        assert [path.name for path in (project / "locks").glob("[!.]*")] == ["numpy-cpu"]


FIRST = "3.12.0 alone of Python 3.12"
REFUSED = f"{FIRST}, and uv and pip refuse its other releases; kgen takes it for"


class TestRequiresPython:
    """The project's own range of Pythons is kept to without being asked."""

    PROJECT = '[project]\nname = "x"\nversion = "0"\nrequires-python = "{}"\n'

    def test_the_python_is_within(self, kgen: Kgen, project: Path) -> None:
        words = ("solve", "jax", "--cuda", "12", "--platform", "linux-64", "--json")
        free = json.loads(kgen(*words).stdout)["solution"]["python"]
        (project / "pyproject.toml").write_text(self.PROJECT.format(f">=3.10,<{free}"))
        done = kgen(*words[:-1])
        within = json.loads(kgen(*words).stdout)["solution"]["python"]
        assert Version("3.10") <= Version(within) < Version(free)
        note = (
            f"note: the Python is one of requires-python `>=3.10,<{free}` of pyproject.toml; `--python` chooses another"
        )
        assert note in done.stderr

    def test_another_that_is_asked_for_is_taken_and_told(self, kgen: Kgen, project: Path) -> None:
        (project / "pyproject.toml").write_text(self.PROJECT.format("<3.12"))
        done = kgen("solve", "jax", "--cuda", "12", "--python", "3.12")
        assert done.status == 0
        assert "note: Python 3.12 is outside of requires-python `<3.12` of pyproject.toml\n" in done.stderr

    @pytest.mark.parametrize("text", ["<3.4", ">=4"])
    def test_no_python_at_all(self, kgen: Kgen, project: Path, text: str) -> None:
        (project / "pyproject.toml").write_text(self.PROJECT.format(text))
        assert kgen("solve", "jax", "--cuda", "12") == Result(
            2,
            "",
            f"error: requires-python `{text}` of pyproject.toml allows no Python that the matrix knows\n\n"
            "hint: give one with `--python`, such as `--python 3.12`\n",
        )

    def test_a_range_as_poetry_has_it(self, kgen: Kgen, project: Path) -> None:
        (project / "pyproject.toml").write_text(self.PROJECT.format("^3.10"))
        done = kgen("solve", "jax", "--cuda", "12")
        assert done.stderr.startswith(
            "error: pyproject.toml: project.requires-python: `^3.10` is not a range of versions such as >=3.11,<3.14;"
            " did you mean `>=3.10,<4`?\n"
        )

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("==3.12", f"allows {REFUSED} `==3.12.*`: write that"),
            (">=3.11, <=3.12", f"allows {REFUSED} `>=3.11,<3.13`: write that"),
            (">=3.11,!=3.12,<3.13", f"rules out {FIRST}; `>=3.11,!=3.12.*,<3.13` rules out all of it"),
            ("~=3.12,<3.14", "allows 3.13 too; `~=3.12.0,<3.14` allows 3.12 alone"),
            ("~=3.12,<3.13", None),
            ("~=3.12.0", None),
            ("==3.12.*", None),
            ("==3.12.4", None),
            (">=3.11,!=3.9", None),
        ],
    )
    def test_a_minor_in_the_place_of_its_releases(self, kgen: Kgen, project: Path, text: str, said: str | None) -> None:
        """It is the first of them, which hardly anybody means."""
        (project / "pyproject.toml").write_text(self.PROJECT.format(text))
        done = kgen("solve", "jax", "--cpu")
        notes = [line for line in done.stderr.splitlines() if "alone" in line]
        assert notes == ([] if said is None else [f"note: requires-python `{text}` of pyproject.toml {said}"])
        assert "alone" not in kgen("solve", "jax", "--cpu", "--python", "3.10").stderr

    @pytest.mark.parametrize(
        ("text", "meant"),
        [("3.12", "==3.12.*"), ("=3.12.4", "==3.12.*"), ("3.12.x", "==3.12.*"), (">=3.11 <3.14", ">=3.11,<3.14")],
    )
    def test_what_is_nearly_a_range(self, kgen: Kgen, project: Path, text: str, meant: str) -> None:
        (project / "pyproject.toml").write_text(self.PROJECT.format(text))
        assert f"; did you mean `{meant}`?\n" in kgen("solve", "jax", "--cpu").stderr
        (project / "pyproject.toml").write_text(self.PROJECT.format(meant))
        assert kgen("solve", "jax", "--cpu").status == 0

    def test_a_minor_that_is_compared_as_text(self, kgen: Kgen, project: Path) -> None:
        (project / "pyproject.toml").write_text(self.PROJECT.format("===3.12"))
        assert "\nhint: did you mean `==3.12.*`?\n" in kgen("solve", "jax", "--cpu").stderr

    @pytest.mark.parametrize("text", ["nonsense", "3.12; rm -rf /", "\\u001b[2J"])
    def test_what_is_no_range_is_refused_until_it_is_left_out(self, kgen: Kgen, project: Path, text: str) -> None:
        (project / "pyproject.toml").write_text(self.PROJECT.format(text))
        done = kgen("solve", "jax", "--cuda", "12")
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr.startswith("error: pyproject.toml: project.requires-python: `")
        assert done.stderr.endswith("\n\nhint: edit pyproject.toml\nhint: kgen solve jax --cuda 12 --no-project\n")
        assert kgen("solve", "jax", "--cuda", "12", "--no-project").status == 0


def test_a_gpu_that_nothing_serves_is_the_cause_whatever_the_python(kgen: Kgen) -> None:
    """With the Python left open it is explained on one that the framework has wheels for."""
    done = kgen("solve", "tensorflow", "--cuda", "12", "--gpu", "12.0", "--platform", "linux-64")
    assert done.status == 3
    assert "you asked for gpu 12.0 (--gpu)" in done.stderr
    assert "wheel for Python" not in done.stderr


@pytest.mark.parametrize("interrupted", [True, False])
def test_what_becomes_of_an_interrupt_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, interrupted: bool
) -> None:
    """As Python makes a RuntimeError of it where a class is being made, in a module that is being imported."""

    def fail(_: object) -> int:
        raise RuntimeError("Error calling __set_name__") from (KeyboardInterrupt() if interrupted else OSError())

    monkeypatch.setattr(main, "_run", fail)
    assert main.run(["solve", "jax"]) == (130 if interrupted else 5)
    assert ("a bug in kgen" in capsys.readouterr().err) is not interrupted
