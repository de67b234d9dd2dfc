"""Where kgen ends: a bug has a status of its own, and streams that are closed, full or unread cost no traceback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.command import LOCK, SOLVE, Kgen
from tests.index import Index

from kgen import pythonpath
from kgen.cli import main
from kgen.errors import MEANINGS, ExitStatus

FULL = Path("/dev/full")
BROKEN = """
import sys
from kgen.matrix import origin
from kgen.cli.main import run
def fail():
    raise {fault}
origin.current = fail
sys.exit(run(sys.argv[1:]))
"""


def broken(folder: Path, fault: str, *words: str) -> subprocess.CompletedProcess[str]:
    """kgen with a bug in it."""
    program = BROKEN.format(fault=fault)
    return subprocess.run(
        [sys.executable, "-c", program, *words], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("KeyError('cuda')", "KeyError: 'cuda'"),
        ("RuntimeError()", "RuntimeError"),
        ("RecursionError('too deep')", "RecursionError: too deep"),
        ("OSError(28, 'No space left on device')", "OSError: [Errno 28] No space left on device"),
        ("ValueError('a\\x1b[31mb\\nc')", "ValueError: a\\x1b[31mb c"),
        ("type('PanicException', (BaseException,), {})('at core.rs:1')", "PanicException: at core.rs:1"),
        ("MemoryError()", "MemoryError"),
    ],
)
def test_a_bug_is_one_line_and_says_where_to_report_it(tmp_path: Path, fault: str, told: str) -> None:
    done = broken(tmp_path, fault, "solve", "jax", "--cuda", "12")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == (
        f"error: a bug in kgen: {told}\n\nhint: report it with the output of: kgen solve --debug jax --cuda 12\n"
    )


@pytest.mark.parametrize("name", ["random.py", "json.py", "typing.py", "queue/__init__.py"])
def test_a_module_in_pythonpath_that_is_called_like_pythons_own(kgen: Kgen, tmp_path: Path, name: str) -> None:
    file = tmp_path / "mine" / name
    file.parent.mkdir(parents=True)
    file.write_text("HERE = 1\n")
    done = kgen("doctor", PYTHONPATH=f"/nowhere:{tmp_path / 'mine'}")
    assert done.status != 0
    if "PYTHONPATH" in done.stderr:  # what kgen does not import is for the doctor to tell
        assert done.stderr.startswith("error: PYTHONPATH has a module called like Python's own: ")
        assert done.stderr.endswith(f"/mine/{name.partition('/')[0]}\n\nhint: unset PYTHONPATH\n")
        assert done.status == 4
    else:
        assert "Traceback" not in done.stderr + done.stdout
        assert "a bug in kgen" not in done.stderr


@pytest.mark.parametrize("name", ["random.py", "json.py", "typing.py", "signal.py", "enum.py", "queue/__init__.py"])
def test_a_module_in_the_folder_that_is_called_like_pythons_own(kgen: Kgen, name: str) -> None:
    """`python -m` searches the folder that it is typed in first."""
    expected = kgen("solve", "numpy", "--cuda", "12", "--exclude-newer", "2026-11-20")
    assert expected.status == 0
    file = kgen.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("HERE = 1\n")
    assert kgen("solve", "numpy", "--cuda", "12", "--exclude-newer", "2026-11-20") == expected


@pytest.mark.skipif(sys.version_info < (3, 11), reason="3.10 has no flag for it")
def test_a_module_in_the_folder_that_python_has_imported_before_kgen_begins(kgen: Kgen) -> None:
    """Which they are differs from Python to Python; some import all of these before they look into the folder."""
    (kgen.folder / "probe.py").write_text("import sys; print(*sys.modules)\n")
    words = [sys.executable, "-m", "probe"]
    before = subprocess.run(words, cwd=kgen.folder, capture_output=True, text=True, check=True).stdout.split()
    module = next((one for one in ("warnings", "pkgutil") if one in before), None)
    if module is None:
        pytest.skip("this Python imports neither of two modules that can be spared")
    file = kgen.folder / f"{module}.py"
    file.write_text("HERE = 1\n")
    done = kgen("solve", "numpy", "--gpu", "it's mine")
    told, hint = done.stderr.split("\n\nhint: ")
    assert done.status == 4
    assert told.endswith(
        f"/{module}.py is called like a module of Python's own, and `python -m` imports it in the place of that"
    )
    again = subprocess.run(
        ["sh", "-c", hint.strip()], cwd=kgen.folder, env=kgen.env(), capture_output=True, text=True, check=False
    )
    assert "it's mine" in again.stderr
    assert f"{module}.py" not in again.stderr


def test_a_folder_in_which_kgen_itself_is_installed() -> None:
    """What it needs is beside it (`pip install --target`)."""
    done = subprocess.run(
        [sys.executable, "-m", "kgen", "solve", "numpy", "--cuda", "12"],
        cwd=Path(main.__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="3.10 has no flag for it")
def test_kgen_is_started_by_kgen_whatever_modules_the_folder_has(kgen: Kgen) -> None:
    (kgen.folder / "types.py").write_text("HERE = 1\n")
    words = [*pythonpath.program(), "--version"]
    done = subprocess.run(words, cwd=kgen.folder, env=kgen.env(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_empty_pythonpath_is_not_blamed(kgen: Kgen) -> None:
    (kgen.folder / "random.py").write_text("HERE = 1\n")
    done = broken(kgen.folder, "ImportError('nothing')", "solve", "jax")
    assert done.stderr.startswith("error: a bug in kgen: ImportError: nothing\n")


REFUSED = (
    "error: a filter of system calls (seccomp) refuses every thread: kgen needs some, and so does every framework\n"
    "\nhint: docker run --security-opt seccomp=unconfined …   # or update Docker to 20.10.10 or newer\n"
)
LIMITED = (
    "error: the limit of threads is reached (`ulimit -u`, or that of a container or a job): kgen needs some, and so"
    " does every framework\n\nhint: ulimit -u $(ulimit -Hu)   # in a container: --pids-limit=-1\n"
)


@pytest.mark.parametrize(("answer", "told"), [("refused", REFUSED), ("unknown", LIMITED)])
def test_a_thread_that_does_not_start_is_no_bug(
    tmp_path: Path, filtered: Callable[..., list[str]], answer: str, told: str
) -> None:
    program = BROKEN.format(fault='RuntimeError("can\'t start new thread")')
    call = filtered(answer, sys.executable, "-c", program, "solve", "jax")
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (4, told)


@pytest.mark.parametrize(
    "words", [("--debug", "solve", "jax"), ("solve", "--debug", "jax"), ("solve", "jax", "--debug")]
)
def test_a_traceback_only_with_debug(tmp_path: Path, words: Sequence[str]) -> None:
    done = broken(tmp_path, "KeyError('cuda')", *words)
    assert done.returncode == 5
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith(
        "KeyError: 'cuda'\nerror: a bug in kgen: KeyError: 'cuda'\n"
        "\nhint: report it to the authors of kgen with all that is above\n"
    )


def test_debug_changes_nothing_else(kgen: Kgen) -> None:
    assert kgen(*SOLVE, "numpy", "--debug") == kgen(*SOLVE, "numpy")
    assert kgen("--debug", "solve", "nonsense").status == 2
    assert "Traceback" not in kgen("--debug", "solve", "nonsense").stderr


@pytest.mark.parametrize(
    ("words", "kept", "debug"),
    [
        (["run", "jax", "--", "prog", "--debug"], ["run", "jax", "--", "prog", "--debug"], False),
        (["run", "jax", "prog", "--debug"], ["run", "jax", "prog", "--debug"], False),
        (["run", "--debug", "jax", "prog"], ["run", "jax", "prog"], True),
        (["--debug", "run", "jax", "--", "prog", "--debug"], ["run", "jax", "--", "prog", "--debug"], True),
        (["check", "--debug"], ["check"], True),
        (["--debug"], [], True),
        ([], [], False),
    ],
)
def test_whose_debug_it_is(words: list[str], kept: list[str], debug: bool) -> None:  # noqa: FBT001 - a row of a table
    assert main.without_debug(words) == (kept, debug)


def test_every_status_has_a_meaning_and_is_documented() -> None:
    assert set(MEANINGS) == set(ExitStatus) - {ExitStatus.INTERRUPTED}
    page = (Path(__file__).parents[1] / "docs/reference/exit-statuses.md").read_text(encoding="utf-8")
    for status in MEANINGS:
        assert f"\n| {int(status)} | " in page


def shell(kgen: Kgen, line: str) -> subprocess.CompletedProcess[str]:
    """A line of shell in which `kgen` is kgen."""
    quoted = f"'{sys.executable}' -m kgen"
    return subprocess.run(
        ["bash", "-c", re.sub(r"(?<![\w./-])kgen(?= )", lambda _: quoted, line)],
        cwd=kgen.folder,
        env=kgen.env(),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, healthy: Index) -> Path:
    folder = tmp_path_factory.mktemp("locked")
    done = Kgen(folder=folder, temporary=folder).at(healthy.url)(*LOCK, "numpy")
    assert done.status == 0, done.stderr
    return folder


@pytest.fixture
def locked(kgen: Kgen, made: Path) -> Kgen:
    shutil.copytree(made, kgen.folder, dirs_exist_ok=True)
    return kgen


LOST = "error: the result could not be printed: No space left on device\n"


class TestStreams:
    @pytest.mark.parametrize(
        ("line", "status"),
        [
            ("kgen check {}", 0),
            ("kgen check --json {}", 0),
            ("kgen matrix show {}", 0),
            ("kgen export requirements numpy {}", 0),
            ("kgen --version {}", 0),
            ("kgen --help {}", 0),
            ("kgen solve --help {}", 0),
            ("kgen completion bash {}", 0),
            ("kgen solve nonsense {}", 2),
            ("kgen {}", 0),
            ("kgen nonsense {}", 2),
        ],
    )
    @pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
    def test_closed_ones_change_no_status(self, locked: Kgen, line: str, status: int, streams: str) -> None:
        done = shell(locked, line.format(streams))
        assert done.returncode == status
        assert "Traceback" not in done.stdout + done.stderr
        assert "Exception ignored" not in done.stderr

    @pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
    @pytest.mark.parametrize(
        "line",
        ["check --json", "matrix show", "export requirements numpy", "--version", "--help", "solve --help"],
    )
    def test_a_result_that_is_lost_is_a_fault(self, locked: Kgen, line: str) -> None:
        done = shell(locked, f"kgen {line} >/dev/full")
        assert (done.returncode, done.stderr[-len(LOST) :]) == (4, LOST)
        assert "Traceback" not in done.stderr

    @pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
    def test_a_status_that_says_more_is_kept(self, locked: Kgen) -> None:
        (locked.folder / "kgen.toml").write_text('backends = ["numpy"]\ncpu = true\npython = "3.12"\n')
        assert locked("check").status == 1
        for streams in (">/dev/full", ">/dev/full 2>/dev/full", ">&-", "2>&-"):
            assert shell(locked, f"kgen check {streams}").returncode == 1

    @pytest.mark.parametrize("line", ["matrix show", "export requirements numpy", "check --json"])
    def test_nobody_who_reads_on_is_no_fault(self, locked: Kgen, line: str) -> None:
        done = shell(locked, f"set -o pipefail; kgen {line} | true")
        assert done.returncode == 0
        assert "error" not in done.stderr
        assert "Traceback" not in done.stderr

    def test_what_is_run_gets_the_streams_as_they_are(self, locked: Kgen) -> None:
        assert locked("sync", "numpy").status == 0
        done = shell(locked, "kgen run numpy -- sh -c 'echo here; exit 7' 2>&-")
        assert (done.returncode, done.stdout) == (7, "here\n")

    def test_no_file_gets_the_place_of_a_closed_stream(self, locked: Kgen) -> None:
        before = {path: path.read_bytes() for path in (locked.folder / "locks").rglob("*") if path.is_file()}
        done = shell(locked, f"kgen {' '.join(LOCK)} numpy <&- >&- 2>&-")
        assert done.returncode == 0
        assert {path: path.read_bytes() for path in (locked.folder / "locks").rglob("*") if path.is_file()} == before
        assert sorted(path.name for path in locked.folder.iterdir()) == ["flake.nix", "locks"]


class TestOutput:
    """`-o`: what is not a regular file is written to, and stays what it is."""

    COMMANDS = (("report", "-o"), ("matrix", "plot", "--cuda", "12", "-o"))

    def test_a_pipe(self, locked: Kgen, tmp_path: Path) -> None:
        fifo = tmp_path / "page.html"
        os.mkfifo(fifo)
        with subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE, text=True) as reader:
            assert locked("report", "-o", str(fifo)).status == 0
            assert reader.communicate(timeout=30)[0].startswith("<!doctype html>")
        assert fifo.is_fifo()

    def test_a_device(self, locked: Kgen) -> None:
        assert locked("report", "-o", "/dev/null").status == 0
        assert Path("/dev/null").is_char_device()

    @pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
    def test_a_full_device(self, locked: Kgen) -> None:
        done = locked("report", "-o", "/dev/full")
        assert done.status == 4
        assert done.stderr.startswith("error: /dev/full cannot be written: No space left on device")
        assert FULL.is_char_device()

    def test_standard_output(self, locked: Kgen, tmp_path: Path) -> None:
        done = shell(locked, "kgen report -o /dev/stdout | head -c 15")
        assert done.stdout == "<!doctype html>"
        (tmp_path / "log").write_text("before\n")
        assert shell(locked, f"kgen report -o /dev/stdout >> '{tmp_path}/log'").returncode == 0
        assert (tmp_path / "log").read_text().startswith("before\n<!doctype html>")

    def test_a_link_to_a_device(self, locked: Kgen, tmp_path: Path) -> None:
        link = tmp_path / "plot.svg"
        link.symlink_to("/dev/null")
        assert locked("matrix", "plot", "--cuda", "12", "-o", str(link)).status == 0
        assert link.is_symlink()
        assert Path("/dev/null").is_char_device()

    def test_a_link_to_a_file(self, locked: Kgen, tmp_path: Path) -> None:
        (tmp_path / "real.html").write_text("old")
        link = tmp_path / "page.html"
        link.symlink_to("real.html")
        assert locked("report", "-o", str(link)).status == 0
        assert link.is_symlink()
        assert (tmp_path / "real.html").read_text().startswith("<!doctype html>")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_folder(self, locked: Kgen, tmp_path: Path, command: Sequence[str]) -> None:
        (tmp_path / "x.svg").mkdir()
        done = locked(*command, str(tmp_path / "x.svg"))
        assert done.status == 4
        assert "Is a directory" in done.stderr
