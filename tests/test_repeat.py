"""Where uv and the index answer as they did before, what came of that comes again; else it is made anew."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen, Result
from tests.index import Index, serving
from tests.test_aging import notes
from tests.test_lock import versions
from tests.wheelhouse import Wheel

from kgen import uvtool
from kgen.cli.main import run
from kgen.errors import OutsideError
from kgen.formats import notes as notes_kept
from kgen.formats.wheels.questions import Asker, Question
from kgen.process import Completed
from kgen.served import client

ASKED = (*LOCK, "numpy", "--cpu", "--dependency", "named")
SESSION = "kgen.formats.wheels.session"


@pytest.fixture(name="watched")
def _watched(kgen_alone: Kgen, index: Index, tmp_path: Path) -> Kgen:
    """The command, which says when it imports what solves, judges and renders; with a package in its index."""
    index.wheelhouse.put(Wheel(name="named", version="1.0", requires=("brought",)), Wheel(name="brought", version="1"))
    place = tmp_path / "watch"
    place.mkdir()
    (place / "sitecustomize.py").write_text(
        "import sys\n"
        "def watch(event, args):\n"
        f"    if event == 'import' and args[0] == {SESSION!r}:\n"
        "        print('made anew', file=sys.stderr)\n"
        "sys.addaudithook(watch)\n",
        encoding="utf-8",
    )
    return dataclasses.replace(kgen_alone, environment={**kgen_alone.environment, "PYTHONPATH": str(place)})


def contents(folder: Path) -> Mapping[str, bytes]:
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def anew(result: Result) -> bool:
    """Whether all was solved and judged; what was asked for was locked in any case."""
    assert result.status == 0, result.stderr
    return "made anew" in result.stderr


def test_nothing_is_new(watched: Kgen, project: Path) -> None:
    first = watched(*ASKED)
    assert anew(first)
    before = contents(project / "locks")
    again = watched(*ASKED, "--upgrade")
    assert not anew(again)
    assert contents(project / "locks") == before
    assert again.stdout.replace("unchanged", "written") == first.stdout
    assert watched("check").status == 0


def test_in_another_folder(watched: Kgen, project: Path, tmp_path: Path) -> None:
    """The locks of a colleague's clone, or of a folder in which they were thrown away."""
    assert anew(watched(*ASKED))
    other = tmp_path / "other"
    other.mkdir()
    assert not anew(watched(*ASKED, cwd=other))
    assert contents(other / "locks") == contents(project / "locks")


@pytest.mark.parametrize("name", ["named", "brought"])
def test_a_new_release_is_taken(watched: Kgen, project: Path, index: Index, name: str) -> None:
    assert anew(watched(*ASKED))
    index.wheelhouse.put(Wheel(name=name, version="1.5", requires=("brought",) if name == "named" else ()))
    assert anew(watched(*ASKED, "--upgrade"))
    assert versions(project, "numpy-cpu")[name] == "1.5"


def test_a_new_release_that_cannot_be_had_is_told(watched: Kgen, index: Index) -> None:
    """uv closes the same as before; only the page of what is named has changed."""
    assert notes(watched(*ASKED).stderr, "named") == []
    index.wheelhouse.put(Wheel(name="named", version="2.0", requires_python=">=3.12"))
    told = watched(*ASKED, "--upgrade")
    assert anew(told)
    assert "named 1.0 is taken, and 2.0 is the newest: 2.0 requires Python >=3.12" in told.stderr
    repeated = watched(*ASKED, "--upgrade")
    assert not anew(repeated)
    assert notes(repeated.stderr, "named") == notes(told.stderr, "named")


def test_another_request(watched: Kgen, project: Path) -> None:
    assert anew(watched(*ASKED))
    assert anew(watched(*LOCK, "numpy", "--cpu", "--dependency", "brought", "--upgrade"))
    assert "named" not in versions(project, "numpy-cpu")


def test_another_configuration_of_uv(watched: Kgen, project: Path, index: Index) -> None:
    index.wheelhouse.put(Wheel(name="brought", version="2"))
    assert anew(watched(*ASKED))
    (project / "uv.toml").write_text('constraint-dependencies = ["brought<2"]\n')
    assert anew(watched(*ASKED, "--upgrade"))
    assert versions(project, "numpy-cpu")["brought"] == "1"


def test_an_index_that_fails_is_an_error_as_ever(watched: Kgen, project: Path, index: Index) -> None:
    assert anew(watched(*ASKED))
    before = contents(project / "locks")
    index.misbehave("500")
    fresh = watched(*ASKED, "--upgrade", KGEN_CACHE_DIR=str(project / "none"))
    failed = watched(*ASKED, "--upgrade")
    assert failed.status == 4
    assert failed.stderr == fresh.stderr
    assert failed.stderr.count("error: ") == 1
    assert contents(project / "locks") == before


def test_reasons_are_found_out(watched: Kgen) -> None:
    first = watched(*ASKED, "--json", "--upgrade")
    again = watched(*ASKED, "--json", "--upgrade")
    assert anew(first)
    assert anew(again)
    for result in (first, again):
        assert json.loads(result.stdout)["environments"][0]["why"]


def test_a_dry_run_writes_nothing_and_notes_nothing(watched: Kgen, project: Path) -> None:
    assert anew(watched(*ASKED, "--dry-run"))
    assert not (project / "locks").exists()
    assert anew(watched(*ASKED))


def test_what_failed_is_not_waited_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def failing(args: Sequence[str], **_: object) -> Completed:
        called.append(args)
        return Completed(tuple(args), 2, "", "error: the index is away\n")

    monkeypatch.setattr(uvtool, "run", failing)
    asker = Asker("uv", root=tmp_path, cancel=threading.Event())
    for _ in range(2):
        with pytest.raises(OutsideError, match="the index is away"):
            asker.ask(Question(("numpy",)))
    assert len(called) == 1


def test_what_stands_for_source_distributions_is_gone(watched: Kgen, project: Path, tmp_path: Path) -> None:
    assert anew(watched(*ASKED))
    before = contents(project / "locks")
    shutil.rmtree(tmp_path / "kgen-cache" / "stand-ins")
    assert anew(watched(*ASKED, "--upgrade"))
    assert contents(project / "locks") == before
    assert not anew(watched(*ASKED, "--upgrade"))


@pytest.mark.parametrize("damage", [b"", b"kgen-repeat 1 00000000\n", b"\xff\xfe"], ids=["empty", "sum", "no text"])
def test_a_damaged_note(watched: Kgen, project: Path, tmp_path: Path, damage: bytes) -> None:
    assert anew(watched(*ASKED))
    before = contents(project / "locks")
    (note,) = (tmp_path / "kgen-cache" / "repeat").iterdir()
    note.write_bytes(damage)
    assert anew(watched(*ASKED, "--upgrade"))
    assert contents(project / "locks") == before
    assert not anew(watched(*ASKED, "--upgrade"))


def test_what_is_at_a_place_is_looked_at_each_time(watched: Kgen, project: Path) -> None:
    wheel = Wheel(name="tool", version="1")
    (project / wheel.filename).write_bytes(wheel.content)
    words = (*LOCK, "numpy", "--cpu", "--dependency", f"tool @ ./{wheel.filename}")
    first, again = watched(*words), watched(*words, "--upgrade")
    assert (anew(first), anew(again)) == (True, True)


def test_what_could_not_be_compared_is_tried_again(
    kgen_alone: Kgen,
    index: Index,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in kgen_alone.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(kgen_alone.folder)
    monkeypatch.setattr(client, "WHOLE", 1)
    index.misbehave("no ranges", at="/files/")
    assert run([*LOCK, "numpy", "--cpu"]) == 0
    assert "were not compared" in capsys.readouterr().err
    assert not (tmp_path / "kgen-cache/repeat").exists()
    monkeypatch.undo()
    assert kgen_alone(*LOCK, "numpy", "--cpu", "--upgrade").status == 0
    assert (tmp_path / "kgen-cache/repeat").exists()


def test_few_notes_are_kept(tmp_path: Path) -> None:
    for number in range(notes_kept.KEPT + 3):
        note = tmp_path / f"{number:03}"
        note.write_bytes(b"")
        os.utime(note, (time.time() + number,) * 2)
    notes_kept.keep_few(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        f"{number:03}" for number in range(3, notes_kept.KEPT + 3)
    ]


def test_two_indexes_with_other_files(watched: Kgen, index: Index, project: Path) -> None:
    """The same versions from an index whose files have other hashes."""
    assert anew(watched(*ASKED))
    changed = index.wheelhouse.copy()
    changed.put(Wheel(name="brought", version="1", files={"brought.py": b"x = 1\n"}))
    before = contents(project / "locks")
    with serving(changed) as other:
        assert anew(watched.at(other.url)(*ASKED, "--upgrade"))
    assert contents(project / "locks") != before
