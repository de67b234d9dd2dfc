"""What a stranger's repository says is data: nothing of it is executed, written elsewhere, or sent to a terminal.

The seal of a lock and the digest of its hooks are no keys: anybody can make them again, and here somebody always does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgen import files, lockfiles
from kgen.cli import console
from kgen.cli.main import run
from kgen.emitters import hooks, recipes, requirements
from kgen.emitters.quoting import quote_comment, quote_docker, quote_markdown
from kgen.errors import SettingsError
from kgen.model import grammar
from kgen.model.lockfile import Lockfile
from kgen.validation.receipts import DETAIL

LOCKS = Path(__file__).parents[1] / "locks"
NIX = Path(__file__).parents[1] / "nix"
LOCK = "locks/numpy-cpu/pylock.linux-64.toml"
GPU = "locks/jax-cuda12/pylock.linux-64.toml"


class Said(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@pytest.fixture
def cloned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that was just cloned: two locks, no settings."""
    root = tmp_path / "cloned"
    (root / ".git").mkdir(parents=True)
    for name in ("numpy-cpu", "jax-cuda12"):
        shutil.copytree(LOCKS / name, root / "locks" / name)
    monkeypatch.chdir(root)
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    return root


@pytest.fixture
def kgen(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command, in this process: what it lets through fails the test."""

    def call(*words: str) -> Said:
        status = run(words)
        said = capfd.readouterr()
        return Said(int(status), said.out, said.err)

    return call


def reseal(path: Path, *changes: tuple[str, str]) -> None:
    """Edit a lock as somebody does who wants nobody to see it."""
    text = path.read_text().rpartition("# sha256 of the lines above: ")[0]
    for pattern, new in changes:
        assert re.search(pattern, text, re.MULTILINE), pattern
        text = re.sub(pattern, new.replace("\\", "\\\\"), text, count=1, flags=re.MULTILINE)
    path.write_text(lockfiles.seal(text))


def added(table: str, line: str) -> tuple[str, str]:
    return (r"^\[\[tool\.kgen\.why\]\]$", f"[tool.kgen.{table}]\n{line}\n\n[[tool.kgen.why]]")


# -- nothing is written because a lock has it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("configuration", r'"../../../../../outside" = "x"'),
        ("configuration", r'"keras.json" = "not what the matrix makes"'),
        ("places", r'PATH = "{prefix}/evil"'),
        ("places", r'LD_PRELOAD = "/tmp/evil.so"'),
        ("places", r'PROMPT_COMMAND = "touch /tmp/x"'),
        ("places", r'KERAS_HOME = "/elsewhere"'),
    ],
)
def test_what_the_matrix_does_not_make(cloned: Path, kgen: Callable[..., Said], table: str, line: str) -> None:
    reseal(cloned / LOCK, added(table, line))
    checked = kgen("check", "numpy-cpu")
    assert checked.status == 1
    assert table in checked.out
    before = sorted(path for path in cloned.rglob("*"))
    for words in (("sync", "numpy"), ("run", "numpy", "--", "true"), ("shell", "numpy"), ("activate", "numpy")):
        done = kgen(*words)
        assert (done.status, done.out) == (2, "")
        assert table in done.err
    assert sorted(path for path in cloned.rglob("*")) == before
    assert not (cloned.parent / "outside").exists()


@pytest.mark.parametrize("value", ['["../../../outside"]', '["/outside"]', '["models"]'])
def test_shared_folders(cloned: Path, kgen: Callable[..., Said], value: str) -> None:
    reseal(cloned / LOCK, (r"^schema = 1$", f"schema = 1\nshared = {value}"))
    assert kgen("check", "numpy-cpu").status == 1
    done = kgen("sync", "numpy")
    assert done.status == 2
    assert "shared" in done.err
    assert not (cloned / ".kgen").exists()


def test_an_edited_variable(cloned: Path, kgen: Callable[..., Said]) -> None:
    reseal(cloned / LOCK, (r'^KERAS_BACKEND = "numpy"$', 'KERAS_BACKEND = "numpy"\nPYTHONSTARTUP = "/tmp/evil.py"'))
    assert "tool.kgen.variables is not what selects numpy" in kgen("check", "numpy-cpu").out
    assert kgen("sync", "numpy").status == 2


def test_an_edited_hook_with_its_digest_and_seal_made_again(cloned: Path, kgen: Callable[..., Said]) -> None:
    folder = cloned / "locks/numpy-cpu"
    assert kgen("check", "numpy-cpu").status == 0
    with (folder / "activate.d/kgen.sh").open("a") as file:
        file.write("touch /tmp/evil\n")
    digest = lockfiles.digest_of_files({place: (folder / place).read_bytes() for place in hooks.places()})
    reseal(cloned / LOCK, (r'^hooks = ".*"$', f'hooks = "{digest}"'))
    done = kgen("check", "numpy-cpu")
    assert done.status == 1
    assert "activate.d/kgen.sh is not what kgen writes: it was edited, or is of another kgen" in done.out


def test_a_source_distribution_that_nobody_vouches_for(cloned: Path, kgen: Callable[..., Said]) -> None:
    sdist = '{ path = "evil-1.tar.gz", size = 1, hashes = { sha256 = "%s" } }'
    package = f'[[packages]]\nname = "evil"\nversion = "1"\nsdist = {sdist}'
    reseal(cloned / LOCK, (r"^\[\[packages\]\]$", package % ("0" * 64) + "\n\n[[packages]]"))
    said = "has evil-1.tar.gz: building it runs its code, and neither the matrix nor `build` in the settings names it"
    assert said in kgen("check", "numpy").out
    done = kgen("sync", "numpy")
    assert (done.status, (cloned / ".kgen").exists()) == (2, False)


@pytest.mark.parametrize("key", ["vcs", "directory", "archive"])
def test_another_source_that_uv_would_see(cloned: Path, kgen: Callable[..., Said], key: str) -> None:
    reseal(cloned / LOCK, (r'^name = "absl-py"$', f'name = "absl-py"\n{key} = {{ path = "evil" }}'))
    done = kgen("sync", "numpy")
    assert done.status == 2
    assert f"packages[0].name: `absl-py` has several sources (wheels and {key}); kgen locks one" in done.err


# -- values have a grammar ---------------------------------------------------------------------------------------------

BAD = [
    ('version = "2.5.1"', r'version = "1\nRUN touch /tmp/evil"'),
    ('version = "2.5.1"', 'version = "zz"'),
    ('version = "2.5.1"', f'version = "{"9" * 5000}"'),
    ('name = "absl-py"', r'name = "absl-py\n--extra-index-url https://evil"'),
    ('^name = "absl-py"', r'name = "\u001b[2Jabsl"'),
    ('^python = ".*"$', r'python = "3.12\ntouch /tmp/evil"'),
    ("^backends = .*$", "backends = []"),
    ("^backends = .*$", 'backends = ["nobody"]'),
    ('^platform = ".*"$', 'platform = "zz"'),
    ('^cuda = ".*"$', r'cuda = "12.9\ntouch /tmp/evil"'),
    ('^cuda = ".*"$', r'cuda = "\u001b]0;x\u0007"'),
    ('^driver = ".*"$', r'driver = ">=525\nrm -rf /"'),
    ('^cudnn = ".*"$', 'cudnn = "`id`"'),
    ('^accelerator = ".*"$', 'accelerator = "cuda"'),
    ('^KERAS_BACKEND = ".*"$', r'KERAS_BACKEND = "a\nb"'),
    ('^matrix = ".*"$', r'matrix = "a\nb"'),
    ("^schema = 1$", f"schema = 0x{'f' * 5000}"),
    ("size = [0-9]+", "size = -1"),
]  # fmt: skip


@pytest.mark.parametrize("change", BAD, ids=lambda one: one[1][:30].encode("unicode_escape").decode())
def test_a_value_that_is_none(cloned: Path, kgen: Callable[..., Said], change: tuple[str, str], tmp_path: Path) -> None:
    """Neither a traceback, nor a byte that steers a terminal, nor a line that is another's."""
    path = cloned / GPU
    if re.search(change[0], path.read_text(), re.MULTILINE) is None:
        pytest.fail("the lock has no such value")
    reseal(path, change)
    calls = [
        ("check", "jax-cuda12"), ("diff", str(LOCKS)), ("diff", str(LOCKS), "--markdown"), ("report", "-o",
        str(tmp_path / "r")),
        ("export", "slurm", "jax-cuda12"), ("export", "dockerfile", "jax-cuda12"), ("export",
        "requirements", "jax-cuda12"),
        ("explain", "jax-cuda12"), ("doctor", "jax-cuda12"), ("sync", "jax-cuda12"), ("validate", "jax-cuda12"),
    ]  # fmt: skip
    for words in calls:
        said = kgen(*words)
        # `doctor` looks at the machine, and asks the matrix nothing about a backend that it does not know
        allowed = {"diff": {0, 2}, "check": {1}, "doctor": {1, 2}}
        assert said.status in allowed.get(words[0], {2}), (words, said.err)
        assert said.text.replace("\n", "").isprintable()
        assert not re.search(r"(?m)^(RUN|touch|rm|--extra)", said.text)
    assert kgen("check", "jax-cuda12").status == 1


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20", "2026-11-20T00:00:00"),
        ("20261120", "2026-11-20T00:00:00"),
        ("2026-11-20T10:00", "2026-11-20T10:00:00"),
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00+00:00"),
        ("2026-11-20 10:00:00.123456789z", "2026-11-20T10:00:00+00:00"),
        ("20261120T100000,5+0200", "2026-11-20T08:00:00+00:00"),
        ("2026-11-20T23:30-05:30", "2026-11-21T05:00:00+00:00"),
        ("2026-11-20T10+02", "2026-11-20T08:00:00+00:00"),
        ("2026-12-31T23:59:60Z", "2026-12-31T23:59:59+00:00"),
    ],
)
def test_a_moment_is_the_same_on_every_python(text: str, moment: str) -> None:
    assert grammar.moment(text).isoformat() == moment


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026", "2026-W47-5", "2026-1120", "2026-13-01", "2026-11-20Z"),
        *("2026-11-20T24:00:00Z", "2026-11-20T10:60Z"),
        *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "\N{ARABIC-INDIC DIGIT TWO}026-11-20", "7 days"),
    ],
)  # fmt: skip
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="is not a moment such as"):
        grammar.moment(text)


@pytest.mark.parametrize("text", ["x" * 5000, "\x1b[2J", "-x"])
@pytest.mark.usefixtures("cloned")
def test_what_is_no_side_of_a_diff(kgen: Callable[..., Said], text: str) -> None:
    said = kgen("diff", "--", text)
    assert said.status == 2
    assert said.err.replace("\n", "").isprintable()
    assert len(said.err) < 1000


# -- receipts ----------------------------------------------------------------------------------------------------------


def changed(data: dict[str, Any], **values: object) -> str:
    """A receipt that says something else in its detail."""
    predicate = data["predicate"]
    detail = {**predicate[DETAIL], **values}
    return json.dumps({**data, "predicate": {**predicate, DETAIL: detail}})


@pytest.mark.parametrize(
    "change",
    [
        lambda _data: '{"a":' * 3000 + "1" + "}" * 3000,
        lambda _data: "[" * 100_000,
        lambda data: changed(data, environment="numpy-cpu\nhint: rm -rf ~"),
        lambda data: json.dumps({**data, "subject": [{**data["subject"][0], "name": "a\0b"}]}),
        lambda data: json.dumps({**data, "subject": [{**data["subject"][0], "name": "/dev/zero"}]}),
        lambda data: changed(data, platform=None),
        lambda data: changed(data, device={"kind": "cpu", "name": None, "capability": None}),
        lambda data: changed(data, device={"kind": "cpu", "name": "\x1b[2J", "capability": None, "driver": None}),
        lambda data: changed(data, steps=7),
        lambda data: changed(data, date=20261120),
        lambda data: changed(data, schema=10**400),
        lambda data: json.dumps({**data, "predicateType": "\x1b[2J"}),
        lambda data: json.dumps({**data, "predicate": "PASSED"}),
        lambda _data: "\udcff",
    ],
)
def test_a_damaged_receipt(cloned: Path, kgen: Callable[..., Said], tmp_path: Path, change: Callable[..., str]) -> None:
    path = cloned / "locks/numpy-cpu/receipts/cpu.json"
    path.write_bytes(change(json.loads(path.read_text())).encode("utf-8", "surrogateescape"))
    for words in (("check",), ("validate", "--list"), ("report", "-o", str(tmp_path / "r"))):
        said = kgen(*words)
        assert said.status == 2
        assert "is not a receipt of this version of kgen" in said.err
        assert said.text.replace("\n", "").isprintable()


# -- regular files only ------------------------------------------------------------------------------------------------


def obstacles(path: Path, kind: str) -> None:
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path.name)
    else:
        with path.open("wb") as file:
            file.truncate(files.LARGE + 1)


@pytest.mark.parametrize("kind", ["folder", "fifo", "endless", "loop", "too large"])
@pytest.mark.parametrize("place", ["pylock.linux-64.toml", "receipts/cpu.json", "activate.d/kgen.sh"])
def test_what_is_no_regular_file(cloned: Path, kgen: Callable[..., Said], place: str, kind: str) -> None:
    obstacles(cloned / "locks/numpy-cpu" / place, kind)
    said = kgen("check", "numpy-cpu")
    assert said.status in {1, 4}
    assert "cannot be read: " in said.text
    if place.startswith("pylock"):
        assert kgen("export", "requirements", "numpy-cpu").status == 4
        assert kgen("sync", "numpy").status == 4


@pytest.mark.parametrize("name", ["kgen.toml", "pyproject.toml", ".python-version"])
@pytest.mark.parametrize("kind", ["folder", "fifo", "endless", "loop", "too large"])
def test_settings_that_are_no_regular_file(cloned: Path, kgen: Callable[..., Said], name: str, kind: str) -> None:
    (cloned / name).touch()
    obstacles(cloned / name, kind)
    said = kgen("check")
    assert said.status == 4
    assert f"{name} cannot be read: " in said.err


def test_a_link_to_itself_is_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to("loop")
    found = {files.resolved(tmp_path / name) for name in ("loop", "link", "link/../loop")}
    assert found == {tmp_path.resolve() / "loop"}
    assert files.resolved(tmp_path / "loop/below") == tmp_path.resolve() / "loop/below"


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    for name in ("a\0b", "a" * 300):
        with pytest.raises(OSError, match="name"):
            files.read(tmp_path / name)


def test_the_metadata_of_an_overlay(cloned: Path, kgen: Callable[..., Said]) -> None:
    """A repository's own matrix adds releases; it has no say in how a backend is selected, nor in where files are."""
    (cloned / "matrix").mkdir()
    for name in ("backends.toml", "generations.toml", "../../outside.toml"):
        row = f'checked = 2026-11-21\n[file."{name}"]\nbase = "0"\nown = "0"\n'
        (cloned / "matrix/refresh.toml").write_text(row)
        said = kgen("check", "numpy-cpu")
        assert said.status == 0, said.text
    (cloned / "matrix/refresh.toml").write_text("a = " + "[" * 5000)
    assert kgen("check", "numpy-cpu").status == 0


# -- what is printed ---------------------------------------------------------------------------------------------------


@given(st.text())
def test_nothing_printed_steers_a_terminal(text: str) -> None:
    shown = console.plain(text)
    assert shown.replace("\n", "").isprintable()
    assert shown.count("\n") == text.count("\n")
    assert grammar.printable(text).isprintable()
    assert len(grammar.shown(text)) <= 10 * (grammar.SHOWN + 1)


@given(st.text())
def test_a_cell_of_markdown_is_one(text: str) -> None:
    cell = quote_markdown(text)
    assert cell.isprintable()
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<`*_\[]", cell)


@given(st.text())
def test_a_comment_is_one(text: str) -> None:
    assert quote_comment(text).isprintable()
    assert quote_comment(text).isascii()


@given(st.text())
def test_a_value_of_a_dockerfile(text: str) -> None:
    try:
        quoted = quote_docker(text)
    except ValueError:
        assert not text.isprintable()
        return
    assert quoted.isprintable()
    assert re.fullmatch(r'"(?:[^"\\$]|\\["\\$])*"', quoted)
    assert re.sub(r"\\(.)", r"\1", quoted[1:-1]) == text


@given(
    st.text(min_size=1), st.sampled_from(["environment", "python", "platform", "runtime", "driver", "name", "version"])
)
def test_no_export_takes_a_value_that_no_lock_has(text: str, key: str) -> None:
    lock = lockfiles.read(LOCKS / "jax-cuda12/pylock.linux-64.toml")
    if key in {"name", "version"}:
        changed = lock._replace(files=(lock.files[0]._replace(**{key: text}),))  # type: ignore[arg-type]
    else:
        changed = lock._replace(**{key: text})  # type: ignore[arg-type]

    def render(of: Lockfile) -> list[str]:
        pins = requirements.render({"": of})
        return [pins, recipes.render_dockerfile(of, requirements=pins, programs=()), recipes.render_slurm(of)]

    usual = [len(one.splitlines()) for one in render(lock._replace(files=lock.files[:1]))]
    try:
        texts = render(changed._replace(files=changed.files[:1]))
    except ValueError:
        return
    assert [len(one.splitlines()) for one in texts] == usual
    assert all(one.replace("\n", "").isprintable() for one in texts)


def test_names_are_the_same_in_nix() -> None:
    """Nix reads locks without kgen, and has the grammar of a name in its own language."""
    pattern = grammar.NAME.replace("(?:", "(")
    for file in ("locks-in.nix", "read-lock.nix"):
        assert f'"{pattern}"' in (NIX / file).read_text()


# -- looking executes nothing ------------------------------------------------------------------------------------------


def test_looking_starts_no_program_and_asks_nobody(
    cloned: Path, kgen: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`diff` may ask git for a revision, which is not asked for here."""
    (cloned / "matrix").mkdir()
    started: list[object] = []

    def refuse(*words: object, **_: object) -> None:
        started.append(words)
        raise AssertionError(words)

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "execvpe", refuse)
    monkeypatch.setattr(os, "posix_spawn", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    calls = [
        ("check",), ("diff", "locks", str(LOCKS)), ("report", "-o", str(tmp_path / "r.html")), ("validate", "--list"),
        ("export", "dockerfile", "numpy-cpu"), ("export", "slurm", "jax-cuda12"), ("export",
        "requirements", "numpy-cpu"),
        ("export", "cyclonedx", "numpy-cpu"), ("export", "github-actions"), ("export", "devcontainer", "numpy-cpu"),
        ("completion", "bash", "--", "run", ""), ("completion", "bash", "--", "sync", "n"), ("check", "--installed"),
    ]  # fmt: skip
    for words in calls:
        said = kgen(*words)
        assert said.status in {0, 1} or words == ("check", "--installed"), said.err
    assert started == []


def test_a_lock_says_every_fault_at_once(cloned: Path) -> None:
    path = cloned / LOCK
    reseal(
        path,
        ('^python = ".*"$', 'python = "zz"'),
        ('^platform = ".*"$', 'platform = "?"'),
        ("^schema = 1$", "schema = 2"),
    )
    with pytest.raises(SettingsError) as caught:
        lockfiles.read(path)
    said = caught.value.message
    assert [key in said for key in ("tool.kgen.python: ", "tool.kgen.platform: ", "tool.kgen.schema: ")] == [True] * 3
