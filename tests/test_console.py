"""Tables: as wide as they need to be where programs read them, and no wider than a terminal, with words whole."""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.command import LOCK, Kgen
from tests.recorded import REFERENCE

from kgen.actions.export import FORMATS
from kgen.cli import compare, console, fleets, progress
from kgen.cli.console import table

HEADINGS = ("environment", "frameworks", "CUDA", "cuDNN", "packages", "download", "time", "lock")
ROWS = (
    ("tensorflow-cuda12", "tensorflow 2.21.0, keras 3.15.1", "12.9", "9.28.0.42", "61", "3.28 GB", "4.1 s", "written"),
    ("numpy-cpu", "numpy 2.5.5, jax 0.12.0.1, keras 3.15.1", "-", "-", "17", "152 MB", "0.6 s", "unchanged"),
)
CELLS = st.text("abc12., -", max_size=30).map(lambda text: " ".join(text.split()))


def test_elsewhere_a_row_is_a_line() -> None:
    headings, *rows = table(HEADINGS, ROWS, room=0).splitlines()
    frameworks = len("tensorflow-cuda12") + 2
    assert headings.index("frameworks") == frameworks
    assert rows[1][frameworks:].startswith("numpy 2.5.5, jax 0.12.0.1, keras 3.15.1  -     -")
    assert len(rows) == 2


def test_cells_are_folded_between_their_items() -> None:
    assert table(HEADINGS, ROWS, room=100) == (
        "environment        frameworks                  CUDA  cuDNN      packages  download  time   lock\n"
        "tensorflow-cuda12  tensorflow 2.21.0,          12.9  9.28.0.42  61        3.28 GB   4.1 s  written\n"
        "                   keras 3.15.1\n"
        "numpy-cpu          numpy 2.5.5, jax 0.12.0.1,  -     -          17        152 MB    0.6 s  unchanged\n"
        "                   keras 3.15.1"
    )


def test_a_row_that_no_table_has_room_for_is_a_paragraph() -> None:
    assert table(HEADINGS, ROWS, room=72) == (
        "tensorflow-cuda12\n"
        "  frameworks tensorflow 2.21.0, keras 3.15.1; CUDA 12.9;\n"
        "  cuDNN 9.28.0.42; packages 61; download 3.28 GB; time 4.1 s;\n"
        "  lock written\n"
        "numpy-cpu\n"
        "  frameworks numpy 2.5.5, jax 0.12.0.1, keras 3.15.1; CUDA -; cuDNN -;\n"
        "  packages 17; download 152 MB; time 0.6 s; lock unchanged"
    )


@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=4),
    room=st.integers(min_value=1, max_value=60),
)
def test_no_line_is_too_wide_and_no_word_is_broken(rows: list[tuple[str, str, str]], room: int) -> None:
    headings = ("one", "two", "three")
    words = [word for row in (headings, *rows) for cell in row for word in cell.split()]
    # in a paragraph a word may have an indent before it, and a separator behind it
    longest = max(max(map(len, words)) + 3, *(len(row[0]) for row in rows))
    text = table(headings, rows, room=room)
    assert all(len(line) <= max(room, longest) for line in text.splitlines())
    there = text.replace(";", " ").split()
    assert all(word in there for row in rows for cell in row for word in cell.split())


def on_a_terminal(kgen: Kgen, *words: str, columns: int, status: int | None = 0) -> list[str]:
    """The lines that a command prints on a terminal of this width, all of them where any status will do."""
    ours, theirs = pty.openpty()
    environment = {**kgen.env(COLUMNS=str(columns)), "NO_COLOR": "1"}
    with subprocess.Popen(
        kgen.words(*words),
        cwd=kgen.folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs if status is None else subprocess.PIPE,
    ) as running:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # its other end was closed
            pass
    os.close(ours)
    assert status in {None, running.returncode}
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())  # what moves the cursor has no width
    return text.replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_facts_on_a_terminal(kgen: Kgen, columns: int) -> None:
    lines = on_a_terminal(kgen, "matrix", "show", "jax", columns=columns)
    assert lines[0] == "jax"
    assert max(map(len, lines)) <= columns
    piped = kgen("matrix", "show", "jax").stdout
    shown = {word.strip(";,") for line in lines for word in line.split()}
    assert {word.strip(";,") for word in piped.split()} <= shown | {"version"}  # its heading


@pytest.mark.parametrize("words", [("--help",), ("lock", "--help")])
def test_help_on_a_narrow_terminal(kgen: Kgen, words: tuple[str, ...]) -> None:
    """It is folded once, and an example that is folded can be pasted."""
    lines = on_a_terminal(kgen, *words, columns=40)
    assert max(map(len, lines)) <= 40
    head = lines.index("Example:")
    purpose = lines[lines.index("") + 1 : head - 1]
    assert purpose
    assert not any(line.startswith(" ") for line in purpose)
    example = lines[head + 1 : lines.index("", head)]
    assert [line.endswith(" \\") for line in example] == [*[True] * (len(example) - 1), False]


def test_a_lock_that_is_tried_twice_on_a_terminal(kgen: Kgen) -> None:
    """It is tried with what the lock that is there has, and then without: both are one line of what moves."""
    assert kgen(*LOCK, "jax", "--cpu").status == 0
    words = (*LOCK, "jax", "--cpu", "--dependency", "no-such-package")
    lines = on_a_terminal(kgen, *words, columns=100, status=None)
    assert any("no-such-package was not found" in line for line in lines), lines
    assert not any("a bug in kgen" in line for line in lines), lines


def test_the_table_of_locks_on_a_terminal(kgen: Kgen) -> None:
    assert kgen(*LOCK, "jax", "numpy", "--cuda", "12").status == 0
    lines = on_a_terminal(kgen, *LOCK, "jax", "numpy", "--cuda", "12", columns=80)
    assert max(map(len, lines)) <= 80
    shown = " ".join(" ".join(lines).split())
    for word in ("jax-cuda12", "numpy-cpu", "packages", "unchanged", "download"):
        assert word in shown


LONG = "keras2-tensorflow-cuda12-py311"


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("headings", [compare._HEADINGS, fleets._HEADINGS], ids=["compare", "fleet"])
def test_tables_of_what_was_run_elsewhere(headings: tuple[str, ...], columns: int) -> None:
    """With names as long as they get, and figures in all other cells."""
    row = (LONG, *(f"{at}.123 ms of NVIDIA-H200-141GB" for at in range(1, len(headings))))
    lines = table(headings, [row], room=columns).splitlines()
    assert max(map(len, lines)) <= columns
    shown = " ".join(lines).replace(";", " ").split()
    assert all(word in shown for cell in (*headings[1:], *row) for word in cell.split())


TO_PASTE = ("hint: ", "next: ", "  fix:   ")
"""A command, which stays on one line: it could not be pasted otherwise."""


@pytest.fixture(name="reference")
def _reference(kgen: Kgen) -> Kgen:
    """The command in a project with many locks, some with receipts."""
    shutil.copytree(REFERENCE, kgen.folder, dirs_exist_ok=True)
    for name in ("numpy-cpu", "openvino-cpu"):
        receipts = Path(__file__).parents[1] / "locks" / name / "receipts"
        shutil.copytree(receipts, kgen.folder / "locks" / name / "receipts", dirs_exist_ok=True)
    return kgen


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("matrix", "show"),
        ("matrix", "plot"),
        ("plan", "--cuda", "13"),
        ("solve",),
        ("solve", "jax", "--cuda", "12", "--driver", "300"),
        ("explain", "tensorflow"),
        ("list", "jax-cuda12"),
        ("status",),
        ("proven",),
        ("receipts", "list"),
        ("validate", "--list"),
        ("verify", "numpy-cpu"),
        ("bisect", "locks/torch-cuda12", "locks/torch-cuda13"),
        ("check",),
        ("doctor",),
        ("diff", "locks/torch-cuda12", "locks/torch-cuda13"),
        ("tree", "jax-cuda12"),
        ("help",),
        ("help", "compare"),
        ("help", "lock"),
        ("matrix", "--help"),
        ("help", "K410"),
    ],
    ids=" ".join,
)
def test_nothing_is_wider_than_the_terminal(reference: Kgen, words: tuple[str, ...]) -> None:
    columns = 80 if words[-1:] == ("plot",) else 60
    lines = on_a_terminal(reference, *words, columns=columns, status=None)
    assert len(lines) > 1
    # one word may be as long as it likes
    wide = [line for line in lines if len(line) > columns and " " in line.strip() and not line.startswith(TO_PASTE)]
    assert wide == []


class TestHelp:
    """The help of commands where there is little room."""

    def test_meanings_are_not_squeezed_beside_a_long_option(self, kgen: Kgen) -> None:
        lines = on_a_terminal(kgen, "lock", "--help", columns=60)
        at = lines.index("  --outside-folders, --no-outside-folders")
        assert lines[at + 1] == f"{'':23}allow dependencies on folders"
        # those beside it are in the same column
        assert f"  --torch-index [URL]{'':2}also use builds that only PyTorch's" in lines

    @pytest.mark.parametrize("columns", [60, 80])
    def test_no_name_is_torn_at_its_hyphen(self, kgen: Kgen, columns: int) -> None:
        words = " ".join(on_a_terminal(kgen, "export", "--help", columns=columns)).replace(",", " ").split()
        assert {*FORMATS} <= {*words}

    @pytest.mark.parametrize("command", [("bisect",), ("merge-driver",), ("receipts", "merge")], ids=" ".join)
    def test_an_example_is_one_command_however_it_is_folded(self, kgen: Kgen, command: tuple[str, ...]) -> None:
        wide, narrow = (on_a_terminal(kgen, *command, "--help", columns=columns) for columns in (200, 60))
        first, last = narrow.index("Example:") + 1, narrow.index("", narrow.index("Example:"))
        shown = narrow[first:last]
        assert len(shown) > 1
        assert shlex.split("\n".join(shown).replace("\\\n", " ")) == shlex.split(wide[wide.index("Example:") + 1])
        assert all(line.endswith(" \\") for line in shown[:-1])


def test_a_folded_line_goes_on_below_its_last_column(reference: Kgen) -> None:
    lines = on_a_terminal(reference, "doctor", columns=60, status=None)
    at = next(at for at, line in enumerate(lines) if line.startswith("  in:    all-cuda12, jax-cuda12"))
    assert lines[at + 1].startswith(" " * 9)
    assert lines[at + 1][9] != " "


def test_a_quoted_command_is_not_torn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "is_terminal", lambda _stream: True)
    monkeypatch.setenv("COLUMNS", "40")
    console.say("note: as locked; `kgen solve --upgrade` solves as if nothing were")
    console.say("hint: kgen lock jax --cuda 12 --python 3.12 --platform linux-64")
    assert capsys.readouterr().err.splitlines() == [
        "note: as locked; `kgen solve --upgrade`",
        "  solves as if nothing were",
        "hint: kgen lock jax --cuda 12 --python 3.12 --platform linux-64",
    ]
    console.say("next: kgen run jax-cpu -- python …   # trains with it")
    console.say('next: `kgen run jax-cpu -- python …`, `kgen shell jax-cpu`, or `eval "$(kgen activate jax-cpu)"`')
    assert capsys.readouterr().err.splitlines() == [
        "next: kgen run jax-cpu -- python …",
        "      # trains with it",
        "next: `kgen run jax-cpu -- python …`,",
        "  `kgen shell jax-cpu`, or",
        '  `eval "$(kgen activate jax-cpu)"`',
    ]
    monkeypatch.setattr(console, "is_terminal", lambda _stream: False)
    console.say("note: as locked; `kgen solve --upgrade` solves as if nothing were")
    assert len(capsys.readouterr().err.splitlines()) == 1


PROGRESS = """
from kgen.cli import progress
# what stood there last is drawn at the end, however busy the machine is
with progress.line("[red]preparing[/]"):
    pass
with progress.line("preparing") as report:
    report("jax [bold]\\x1b[2J")
for stages in (["training [cpu]"], ["training", "passed [cpu]"]):
    with progress.lines({1: "torch [blink]"}, ends={"passed [cpu]"}) as report:
        for stage in stages:
            report(1, stage)
with progress.bars() as report:
    report("[rows]", 1, 2)
"""


def test_progress_is_text_and_no_markup() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}
    with subprocess.Popen([sys.executable, "-c", PROGRESS], env=environment, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # its other end was closed
            pass
    os.close(ours)
    text = shown.decode()
    assert running.returncode == 0, text
    stages = ("training [cpu]", "passed [cpu]")
    for said in ("[red]preparing[/]", "jax [bold]\\x1b[2J", "torch [blink]", *stages, "reading [rows]"):
        assert said in text
    assert "\x1b[2J" not in text


def test_progress_is_silent_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.line("preparing") as report:
        report("jax")
    with progress.lines({1: "torch"}) as update, progress.bars() as bars:
        update(1, "training")
        bars("rows", 1, 2)
    assert capsys.readouterr() == ("", "")
    assert not progress.is_shown()


def test_one_module_shows_what_moves() -> None:
    """Names from elsewhere are escaped in one place; another counts bytes on their way."""
    movers = [path.name for path in Path(console.__file__).parent.glob("*.py") if "from rich." in path.read_text()]
    assert sorted(movers) == ["progress.py", "transfers.py"]


@pytest.mark.parametrize("columns", [40, 80])
def test_what_is_said_of_a_command_stands_below_it_where_it_is_too_long(kgen: Kgen, columns: int) -> None:
    """The command itself can be pasted, and so can its comment, line by line."""
    assert kgen(*LOCK, "numpy", "--cpu").status == 0
    lines = on_a_terminal(kgen, columns=columns)
    at = lines.index("next: kgen run numpy-cpu -- python …")
    assert max(map(len, lines[at:])) <= columns
    end = lines.index("      kgen help   # all commands")
    comment = lines[at + 1 : end]
    assert all(line.startswith("      # ") for line in comment)
    assert " ".join(line.strip(" #") for line in comment) == (
        "run a program in it; `kgen validate numpy-cpu` trains in it"
    )
