"""The codes of errors: each kind has one, each code a page, and whoever sees an error on a terminal is told."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.command import Kgen, Result

from kgen.errors import BUG_CODE, CONFLICT_CODE, ExitStatus, KgenError
from kgen.explain.codes import PAGES, text_of
from kgen.served.file import DamagedMemberError

DOCS = Path(__file__).parents[1] / "docs/errors"


def kinds(top: type[KgenError] = KgenError) -> Iterator[type[KgenError]]:
    """Every kind of error but the one that stands for none."""
    for one in top.__subclasses__():
        # what begins with an underscore is caught where it is raised, or shown as the kind above it
        if one.__module__.startswith("kgen.") and not one.__name__.startswith("_"):
            yield one
            yield from kinds(one)


def test_every_kind_has_a_code_of_its_own_with_a_page() -> None:
    assert DamagedMemberError in set(kinds())
    codes = {one: one.__dict__.get("code", "K200" if one.__name__ == "UsageError" else None) for one in kinds()}
    assert len(codes) > 6
    assert len(set(codes.values())) == len(codes)
    assert {*codes.values(), CONFLICT_CODE, BUG_CODE} == set(PAGES)
    for one, code in codes.items():
        assert code is not None
        assert int(code[1]) == one.status or one.status is ExitStatus.INTERRUPTED
        assert one("x").code == code if one.__name__ not in {"MatrixError", "TimedOut"} else True


@pytest.mark.parametrize("code", PAGES)
def test_a_terminal_shows_what_the_docs_have(code: str) -> None:
    shown = text_of(code)
    assert shown.startswith(f"{code}: {PAGES[code].title}\n\n")
    written = (DOCS / f"{code}.md").read_text(encoding="utf-8")
    for paragraph in shown.split("\n\n")[1:]:
        assert paragraph in written


def test_help_prints_the_page(kgen: Kgen) -> None:
    assert kgen("help", "K201") == kgen("help", "k201") == Result(0, f"{text_of('K201')}\n", "")


def test_an_unknown_code(kgen: Kgen) -> None:
    listed = ", ".join(PAGES)
    assert kgen("help", "K999") == Result(
        2, "", f"error: there is no error K999\n\nhint: kgen help K200\nhint: the codes are {listed}\n"
    )


def on_a_terminal(kgen: Kgen, *words: str) -> str:
    """What somebody sees on a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        kgen.words(*words), cwd=kgen.folder, env=kgen.env(), stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    seen = b""
    try:
        while piece := os.read(leader, 65536):
            seen += piece
    except OSError:  # the last of them has closed it
        pass
    process.wait(timeout=60)
    os.close(leader)
    return seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("check", "--nonesuch"), "K200"),
        (("lock",), "K201"),
        (("solve", "jax", "--cuda", "12", "--driver", "300", "--python", "3.11"), CONFLICT_CODE),
    ],
)
def test_on_a_terminal_it_is_the_last_line(kgen: Kgen, project: Path, words: tuple[str, ...], code: str) -> None:
    (project / "kgen.toml").write_text('nonesuch = "x"\n' if code == "K201" else "")
    seen = on_a_terminal(kgen, *words)
    assert seen.endswith(f"\n\nmore: kgen help {code}\n"), seen
    assert re.search(r"^error: ", seen, re.MULTILINE)
    assert "more:" not in kgen(*words).stderr
