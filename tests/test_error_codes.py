"""The codes of errors: each kind has one, each code a page, and whoever sees an error on a terminal is told."""

from __future__ import annotations

import ast
import errno
import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tomli
from tests.command import Kgen, Result

from kgen import files, process, resources, storage, uvtool
from kgen.errors import BUG_CODE, CONFLICT_CODE, ExitStatus, KgenError
from kgen.explain.codes import PAGES, text_of
from kgen.served.file import DamagedMemberError

DOCS = Path(__file__).parents[1] / "docs/errors"
SOURCES = Path(__file__).parents[1] / "generator/kgen"


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
        (("sync", "torch-cuda13"), "K203"),
        (("lock", "keras"), "K205"),
        (("lock", "numpi"), "K205"),
        (("sync", "--all", "torch-cpu"), "K206"),
        (("lock", "jax", "--as-of", "2026-01-01", "--exclude-newer", "2026-01-01"), "K206"),
        (("solve", "jax", "--cuda", "12", "--driver", "300", "--python", "3.11"), CONFLICT_CODE),
    ],
)
def test_on_a_terminal_it_is_the_last_line(kgen: Kgen, project: Path, words: tuple[str, ...], code: str) -> None:
    (project / "kgen.toml").write_text('nonesuch = "x"\n' if code == "K201" else "")
    seen = on_a_terminal(kgen, *words)
    assert seen.endswith(f"\n\nmore: kgen help {code}\n"), seen
    assert re.search(r"^error: ", seen, re.MULTILINE)
    assert "more:" not in kgen(*words).stderr


def refused(work: Callable[[], object]) -> KgenError:
    with pytest.raises(KgenError) as caught:
        work()
    return caught.value


def held(folder: Path) -> None:
    with storage.exclusive(folder), storage.exclusive(folder):
        pass


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("Failed to fetch: `http://index/simple/jax/`: tcp connect error", "K406"),
        ("HTTP status client error (401 Unauthorized) for url (http://index/simple/jax/)", "K406"),
        ("failed to write to file: No space left on device (os error 28)", "K405"),
        ("Failed to initialize cache at `/home/x/.cache/uv`: failed to create directory: Permission denied", "K405"),
        ("Because jax was not found in the cache, … because the network was disabled", "K407"),
        ("error: unexpected argument '--nonesuch' found", "K409"),
    ],
)
def test_what_uv_says_has_the_code_of_what_to_do(monkeypatch: pytest.MonkeyPatch, reason: str, code: str) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1" if code == "K407" else "0")
    assert uvtool.failure(reason, "lock").code == code


def test_what_the_system_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nothing")
    wrong = tmp_path / "file/below"
    assert refused(lambda: storage.write_file(wrong, b"")).code == "K405"
    assert refused(lambda: storage.replace_folder(tmp_path / "link", {}, owned=lambda _: True)).code == "K414"
    assert refused(lambda: storage.replace_folder(tmp_path / "file", {}, owned=lambda _: True)).code == "K414"
    assert refused(lambda: held(tmp_path)).code == "K413"
    assert refused(lambda: process.run(["no-such-program"])).code == "K408"
    assert refused(lambda: process.run([str(tmp_path / "file")])).code == "K408"
    assert refused(lambda: process.run(["true"], cwd=wrong)).code == "K405"
    assert refused(lambda: resources.folder("nonesuch")).code == "K415"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOENT, "mkdir -p /a/b"),
        (errno.ENOSPC, "df -h /"),
        (errno.EROFS, "findmnt --target /"),
        (errno.EACCES, "ls -ld /a/b '/a/b/c d'"),
        (errno.EIO, "ls -ld /a/b '/a/b/c d'"),
    ],
)
def test_the_hint_of_a_file_is_what_the_system_said(number: int, hint: str) -> None:
    """What is said of a disk names a folder that is there."""
    path = Path("/a/b/c d")
    error = files.unwritable(path, OSError(number, os.strerror(number), "/a/b"))
    assert (error.message, error.hints) == (f"{path} cannot be written: {os.strerror(number)} (/a/b)", (hint,))
    assert files.unwritable(path, OSError(number, "x"), hints=["this"]).hints == ("this",)
    read = files.unreadable(path, OSError(number, os.strerror(number), str(path)))
    assert (read.message, read.hints) == (f"{path} cannot be read: {os.strerror(number)}", ("ls -ld /a/b '/a/b/c d'",))
    assert read.code == error.code == "K405"


def test_one_place_words_what_the_system_refuses() -> None:
    """Nothing else builds such a message by hand, as an error of its own kind."""
    by_hand = [
        path.relative_to(SOURCES).as_posix()
        for path in sorted(SOURCES.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in {"OutsideError", "FileError"}
        and "strerror" in ast.unparse(call)
    ]
    assert by_hand == ["cli/console.py", "files.py"], "stdout has no path"


def test_what_has_a_code_of_its_own_is_not_raised_as_the_kind_above() -> None:
    """K400 is what nobody can be told more about; words that have a page are not among it."""
    told = re.compile(
        r"--offline|cannot be (?:read|written|executed)|not on this machine|hash|sha256|on PATH|in the way|at work in"
    )
    found = [
        f"{path.relative_to(SOURCES)}:{call.lineno}"
        for path in sorted(SOURCES.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "OutsideError"
        and told.search(ast.unparse(call.args[0]))
    ]
    assert found == []


def test_extras_that_a_hint_names_exist() -> None:
    declared = tomli.loads((SOURCES.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(declared["optional-dependencies"])
    texts = [path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py")]
    texts += [path.read_text(encoding="utf-8") for path in DOCS.parent.rglob("*.md")]
    named = {
        (match["name"], extra.strip())
        for text in texts
        for match in re.finditer(r"'(?P<name>(?:keras-)?kgen)\[(?P<extras>[a-z, -]+)\]'", text)
        for extra in match["extras"].split(",")
    }
    assert len(named) > 3
    assert named <= {(declared["name"], extra) for extra in extras}
