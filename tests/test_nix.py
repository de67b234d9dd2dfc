"""The Nix library: locks are read or refused, files are found by hash, wheels come out as an installer has them."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import io
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tomli
from tests.loopback import Handler, Server, running
from tests.nix import (
    LIBRARIES,
    LIBRARY_FOLDERS,
    MINOR,
    ROOT,
    STUB,
    File,
    Nix,
    lock_text,
    serving_files,
    with_executables,
    write_environment,
)
from tests.wheelhouse import Wheel

from kgen.emitters.nix import PLATFORMS
from kgen.emitters.quoting import quote_nix

pytestmark = [pytest.mark.nix, pytest.mark.skipif(shutil.which("nix") is None, reason="there is no nix on PATH")]

SITE = f"lib/python{MINOR}/site-packages"
NUMPY = ROOT / "locks" / "numpy-cpu" / "pylock.linux-64.toml"
HOSTILE = [
    "",
    '${builtins.abort "run"}',
    "$${x} $$$ $ {",
    "\\${x} \\\\",
    '"; builtins.abort "run',
    "''; '' ''${x}",
    "a\nb\rc\td",
    "é \U0001f600 \u2028",
    "\x1b[31m \x7f",
]


@pytest.fixture(scope="module", name="nix")
def _nix(tmp_path_factory: pytest.TempPathFactory) -> Nix:
    return Nix.at(tmp_path_factory.mktemp("nix"))


@pytest.fixture(name="make")
def _make(nix: Nix, tmp_path: Path) -> Callable[..., Path]:
    """Locks files, puts them into the store, and builds the environment."""

    def make(*files: File, cuda: str | None = None, name: str = "numpy-cpu") -> Path:
        lock = write_environment(tmp_path / "locks", name, lock_text(name, files, cuda=cuda))
        nix.seed(file.written(tmp_path / "wheels") for file in files)
        built = nix.build(f"kgen.mkVenv {{ inherit pkgs; lock = {lock}; }}")
        assert isinstance(built, Path)
        return built

    return make


def python(venv: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in the environment's Python, which gets nothing else of this process."""
    return subprocess.run(
        [venv / "bin" / "python", "-c", code], capture_output=True, text=True, check=True, env=environment
    )


def unsealed(lock: Path) -> str:
    """A lock's text without what says that it was not edited."""
    return re.sub(r"(?m)^(hooks = |# sha256 of the lines above: ).*\n", "", lock.read_text())


class TestReadLock:
    def test_expected_values(self, nix: Nix) -> None:
        lock = nix.evaluate(f"kgen.readLock {NUMPY}")
        data = tomli.loads(NUMPY.read_text())
        assert isinstance(lock, dict)
        assert {key: lock[key] for key in lock if key not in {"wheels", "file", "activate"}} == {
            "environment": "numpy-cpu",
            "platform": "linux-64",
            "system": "x86_64-linux",
            "python": "3.12",
            "size": data["tool"]["kgen"]["size"],
            "backends": ["numpy"],
            "accelerator": "cpu",
            "runtime": None,
            "build": [],
            "sources": [],
            "buildsProject": False,
            "places": [],
            "variables": data["tool"]["kgen"]["variables"],
        }
        assert lock["variables"] == {"KERAS_BACKEND": "numpy"}
        assert lock["wheels"] == [
            {
                "name": package["name"],
                "version": package["version"],
                "filename": package["wheels"][0]["path"],
                "sha256": package["wheels"][0]["hashes"]["sha256"],
                "size": package["wheels"][0]["size"],
                "url": None,
            }
            for package in data["packages"]
        ]

    def test_a_lock_with_urls(self, nix: Nix, tmp_path: Path) -> None:
        file = File(name="torch", version="2.0+cpu", filename="torch-2.0+cpu-cp311-cp311-linux_x86_64.whl", content=b"")
        lock = tmp_path / "pylock.linux-64.toml"
        lock.write_text(lock_text("torch-cpu", [file], root="https://index.example/a/b"))
        wheel = nix.evaluate(f"builtins.head (kgen.readLock {lock}).wheels")
        assert isinstance(wheel, dict)
        assert wheel["filename"] == file.filename
        assert wheel["url"] == "https://index.example/a/b/torch-2.0%2Bcpu-cp311-cp311-linux_x86_64.whl"

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("schema = 1", "schema = 2", "is of schema 2, and this flake reads 1"),
            ("[tool.kgen]", "[tool.other]", "is none of kgen's: it has no table [tool.kgen] with a `schema`"),
            ("# Made by kgen:", "# by uv", "is none of kgen's: it does not begin with `# Made by kgen:`"),
            ("size = 137673,", "size = 137674,", "its files do not add up to the 151666344 bytes"),
            ("size = 137673,", "size = -1,", "has -1 as absl-py's `size`"),
            ('name = "h5py"', 'name = "absl-py"', "names a package twice"),
            ('name = "h5py"', 'name = "../h5py"', 'has \\"../h5py\\" as a package\'s `name`'),
            ('version = "3.14.0"', 'version = "$(id)"', "as h5py's `version`"),
            ("721200f2", "721200g2", "as absl-py's `sha256`"),
            ("sha256 = ", "md5 = ", "has null as absl-py's `sha256`"),
            ('path = "absl', 'path = "../absl', "as absl-py's `filename`"),
            ('path = "absl', 'path = ".absl', "as absl-py's `filename`"),
            ('path = "absl', 'url = "ssh://absl', "as absl-py's `url`"),
            ('path = "absl', 'url = "https://x/ absl', "as absl-py's `url`"),
            ('path = "absl', 'url = "https://x/a", path = "absl', "not exactly one of `url` and `path`"),
            ('python = "3.12"', 'python = "3.13"', "requires-python does not say Python 3.13"),
            ('python = "3.12"', 'python = "${x}"', "as [tool.kgen] `python`"),
            ('platform = "linux-64"', 'platform = "win-64"', "is for win-64, where there is no Nix"),
            ('environment = "numpy-cpu"', 'environment = "a/b"', "as [tool.kgen] `environment`"),
            ('lock-version = "1.0"', 'lock-version = "2.0"', "has the lock-version"),
        ],
    )
    def test_refused(self, nix: Nix, tmp_path: Path, old: str, new: str, said: str) -> None:
        lock = tmp_path / "pylock.linux-64.toml"
        text = unsealed(NUMPY)
        assert old in text
        lock.write_text(text.replace(old, new, 1))
        done = nix.evaluate(f"builtins.deepSeq (kgen.readLock {lock}) 1", fails=True)
        assert said.replace('\\"', '"') in str(done).replace('\\"', '"')
        assert str(lock) in str(done)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("# Do not edit", "# Edited"),
            ('rule = "newest release"', 'rule = "a guess"'),
            ("# sha256 of the lines above: ", "# sha256 of the lines above: 0"),
            ("# sha256 of the lines above: ", "# "),
        ],
    )
    def test_edited(self, nix: Nix, tmp_path: Path, old: str, new: str) -> None:
        """What else would be taken for what it says: kgen seals a lock with its last line."""
        lock = tmp_path / "pylock.linux-64.toml"
        text = NUMPY.read_text()
        assert old in text
        lock.write_text(text.replace(old, new, 1))
        said = str(nix.evaluate(f"(kgen.readLock {lock}).environment", fails=True))
        assert f"{lock} was changed by hand: the sha256 in its last line" in said
        lock.write_text(text + "# more\n")
        assert "was changed by hand" in str(nix.evaluate(f"(kgen.readLock {lock}).environment", fails=True))

    def test_other_hooks(self, nix: Nix, tmp_path: Path) -> None:
        """A shell runs them when it is entered; an environment without a shell needs none."""
        folder = tmp_path / NUMPY.parent.name
        shutil.copytree(NUMPY.parent, folder)
        read = f"kgen.readLock {folder / NUMPY.name}"
        assert nix.evaluate(f"toString ({read}).activate") == str(folder / "activate.d" / "kgen.sh")
        (folder / "activate.d" / "mine.sh").write_text("true\n")
        assert nix.evaluate(f"toString ({read}).activate") == str(folder / "activate.d" / "kgen.sh")
        with (folder / "activate.d" / "kgen.sh").open("a") as hook:
            hook.write("true\n")
        assert "has other hooks beside it" in str(nix.evaluate(f"toString ({read}).activate", fails=True))
        assert nix.evaluate(f"({read}).environment") == "numpy-cpu"

    def test_places(self, nix: Nix, tmp_path: Path) -> None:
        """Keras's settings cannot be in a folder of the environment's own: whoever enters a shell is told."""
        lock = tmp_path / "numpy-cpu" / NUMPY.name
        shutil.copytree(NUMPY.parent, lock.parent)
        lock.write_text(unsealed(NUMPY) + '[tool.kgen.places]\nKERAS_HOME = "{prefix}/keras"\n')
        assert nix.evaluate(f"(kgen.readLock {lock}).places") == ["KERAS_HOME"]
        shell = f"(kgen.mkKerasShell {{ inherit pkgs; lock = {lock}; }}).name"
        assert "asks for KERAS_HOME in a folder of its own" in nix.said(shell)
        assert "folder of its own" not in nix.said(shell.replace(str(lock), str(NUMPY)))

    @pytest.mark.parametrize(
        ("old", "new"),
        [("[[packages]]", "[[["), ('created-by = "kgen"', "upload-time = 2026-11-20T00:00:00Z")],
    )
    def test_no_toml_that_nix_reads(self, nix: Nix, tmp_path: Path, old: str, new: str) -> None:
        """What Nix says of TOML names no file; the trace does."""
        lock = tmp_path / "pylock.linux-64.toml"
        lock.write_text(unsealed(NUMPY).replace(old, new, 1))
        words = (
            "nix",
            "eval",
            "--show-trace",
            "--impure",
            "--expr",
            f"import {ROOT}/nix/read-lock.nix {{ matrix = {{ }}; systems = {{ }}; }} {lock}",
        )
        assert f"while reading the lock {lock}" in nix.run(*words, fails=True).stderr

    def test_no_lock(self, nix: Nix, tmp_path: Path) -> None:
        said = str(nix.evaluate(f"(kgen.readLock {tmp_path}/pylock.linux-64.toml).python", fails=True))
        assert f"{tmp_path}/pylock.linux-64.toml is not there; `kgen lock` writes it" in said

    @pytest.mark.parametrize("hostile", HOSTILE[1:])
    def test_nothing_in_it_is_evaluated(self, nix: Nix, tmp_path: Path, hostile: str) -> None:
        """In a place that is passed on, it is refused; in any other it stays the text that it is."""
        lock = tmp_path / "pylock.linux-64.toml"
        quoted = json.dumps(hostile, ensure_ascii=False).replace("\x7f", "\\u007f")
        lock.write_text(
            unsealed(NUMPY)
            .replace('rule = "', f'rule = {quoted}\nold = "', 1)
            .replace('kgen = "', f'kgen = {quoted}\nold = "', 1)
        )
        assert nix.evaluate(f"(kgen.readLock {lock}).environment") == "numpy-cpu"
        lock.write_text(unsealed(NUMPY).replace('environment = "numpy-cpu"', f"environment = {quoted}", 1))
        assert "as [tool.kgen] `environment`" in str(nix.evaluate(f"(kgen.readLock {lock}).environment", fails=True))


class TestChoosing:
    def test_locks_in_a_folder(self, nix: Nix, tmp_path: Path) -> None:
        for name in ("jax-cpu/pylock.linux-64.toml", "jax-cpu/pylock.win-64.toml", "x/pylock.osx-arm64.toml"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("no lock is read")
        for name in (".jax-cpu.kgen-new", "empty", "win"):
            (tmp_path / name).mkdir()
        (tmp_path / "win" / "pylock.win-64.toml").write_text("")
        assert nix.evaluate(f"builtins.mapAttrs (_: builtins.mapAttrs (_: toString)) (kgen.locksIn {tmp_path})") == {
            "jax-cpu": {"linux-64": f"{tmp_path}/jax-cpu/pylock.linux-64.toml"},
            "x": {"osx-arm64": f"{tmp_path}/x/pylock.osx-arm64.toml"},
        }

    def test_platforms_are_those_of_kgen(self, nix: Nix) -> None:
        systems = nix.evaluate("kgen.systems")
        assert isinstance(systems, dict)
        assert set(systems) == set(PLATFORMS)

    @pytest.mark.parametrize("lock", [f"{NUMPY}", f"{NUMPY.parent}", f"(kgen.readLock {NUMPY})"])
    def test_another_platform_is_no_error_until_asked_for(self, nix: Nix, lock: str) -> None:
        other = 'pkgs // { stdenv.hostPlatform.system = "aarch64-linux"; }'
        assert nix.evaluate(f"(kgen.mkVenv {{ inherit pkgs; lock = {lock}; }}).lock.platform") == "linux-64"
        said = str(nix.evaluate(f"(kgen.mkVenv {{ pkgs = {other}; lock = {lock}; }}).lock.platform", fails=True))
        assert "numpy-cpu has no lock for linux-aarch64 (aarch64-linux); it has one for linux-64" in said
        assert "`kgen lock --platform linux-aarch64`" in said

    def test_a_python_that_nixpkgs_has_not(self, nix: Nix) -> None:
        less = 'builtins.removeAttrs pkgs [ "python312" ]'
        said = str(nix.evaluate(f"(kgen.mkVenv {{ pkgs = {less}; lock = {NUMPY}; }}).drvPath", fails=True))
        assert "numpy-cpu is locked for Python 3.12, and this nixpkgs has no python312" in said


class TestFetchWheel:
    FILE = File.of(Wheel(name="some-thing", version="1.0+cpu"))

    def fetch(self, file: File, arguments: str = "", *, url: str | None = None, sha256: str = "") -> str:
        wheel = {"name": file.name, "version": file.version, "filename": file.filename, "url": url}
        wheel["sha256"] = sha256 or file.sha256
        return f"kgen.fetchWheel {{ inherit pkgs; wheel = builtins.fromJSON ''{json.dumps(wheel)}''; {arguments} }}"

    def unique(self, name: str) -> File:
        """A file that no other test has put into the store."""
        return File.of(Wheel(name=name, version="1.0", files={f"{name}.py": name.encode()}))

    def pages(self, file: File, form: str) -> dict[str, tuple[str, bytes]]:
        found: dict[str, tuple[str, bytes]] = {f"/f/{file.filename}": ("application/zip", file.content)}
        href = f"../../f/{file.filename.replace('+', '%2B')}"
        if form == "json":
            page = {"files": [{"filename": file.filename, "url": href, "hashes": {"sha256": file.sha256}}]}
            return {
                **found,
                f"/simple/{file.name}/": ("application/vnd.pypi.simple.v1+json", json.dumps(page).encode()),
            }
        page_text = (
            f'<a href="/f/other-1.0-py3-none-any.whl">x</a><a href="{href}#sha256={file.sha256}">{file.filename}</a>'
        )
        return {**found, f"/simple/{file.name}/": ("text/html", page_text.encode())}

    @pytest.mark.parametrize("form", ["html", "json"])
    def test_from_the_page_of_its_project(self, nix: Nix, form: str) -> None:
        file = self.unique(f"on-{form}")
        with serving_files(self.pages(file, form)) as (root, asked):
            built = nix.build(self.fetch(file, f'index = "{root}/simple/";'))
        assert isinstance(built, Path)
        assert built.read_bytes() == file.content
        assert asked == [f"/simple/{file.name}/", f"/f/{file.filename}"]

    def test_from_the_first_index_that_has_it(self, nix: Nix) -> None:
        file = self.unique("second")
        with serving_files(self.pages(file, "html")) as (root, asked):
            arguments = f'index = [ "{root}/none" "{root}/simple" ];'
            nix.build(self.fetch(file, arguments))
        assert asked == [f"/none/{file.name}/", f"/simple/{file.name}/", f"/f/{file.filename}"]

    def test_from_the_url_of_the_lock(self, nix: Nix) -> None:
        file = self.unique("by-url")
        with serving_files(self.pages(file, "html")) as (root, asked):
            nix.build(self.fetch(file, url=f"{root}/f/{file.filename}"))
        assert asked == [f"/f/{file.filename}"]

    def test_from_where_nixpkgs_looks(self, tmp_path: Path) -> None:
        file = self.unique("legacy")
        path = f"/packages/py3/l/legacy/{file.filename}"
        with serving_files({path: ("application/zip", file.content)}) as (root, asked):
            Nix.at(tmp_path / "nix", pypi=root).build(self.fetch(file))
        assert asked == [path]

    def test_from_the_index_in_the_environment(self, nix: Nix) -> None:
        """Of whoever evaluates, where that may be impure."""
        file = self.unique("environment")
        with serving_files(self.pages(file, "html")) as (root, asked):
            words = ("nix", "build", "--impure", "--no-link", "--expr", nix._bound(self.fetch(file)))
            nix.run(*words, variables={"KGEN_INDEX": f"{root}/simple"})
        assert asked[-1] == f"/f/{file.filename}"

    @pytest.mark.parametrize("form", ["html", "json"])
    def test_from_a_private_index(self, nix: Nix, tmp_path: Path, form: str) -> None:
        """With the login of a netrc file, which is in no derivation and goes to no other host."""
        file, secret = self.unique(f"private-{form}"), "s3cret"
        wanted = "Basic " + base64.b64encode(f"me:{secret}".encode()).decode()
        pages, others = self.pages(file, form), []

        class Elsewhere(Handler):
            def answer(self) -> None:
                others.append(self.headers.get("Authorization"))
                self.send(200, file.content)

        class Private(Handler):
            def answer(self) -> None:
                if self.headers.get("Authorization") != wanted:
                    self.send(401, b"")
                elif self.path.startswith("/f/"):
                    self.send(302, b"", {"Location": elsewhere.root.replace("127.0.0.1", "localhost")})
                else:
                    kind, content = pages[self.path]
                    self.send(200, content, {"Content-Type": kind})

        logins = tmp_path / "netrc"
        logins.write_text(f"machine 127.0.0.1 login me password {secret}\n")
        with running(Server(Elsewhere)) as elsewhere, running(Server(Private)) as server:
            expression = nix._bound(self.fetch(file, f'index = "{server.root}/simple";'))
            words = ("nix", "build", "--no-link", "--impure", "--expr", expression)
            refused = nix.run(*words, fails=True).stderr
            assert "Unauthorized; NETRC of the process that builds names a netrc file with logins" in refused
            missing = nix.run(*words, fails=True, variables={"NETRC": f"{tmp_path}/none"}).stderr
            assert f"NETRC names {tmp_path}/none, which cannot be read: No such file or directory" in missing
            nix.run(*words, variables={"NETRC": str(logins)})
            # of the process that builds, which is in no derivation
            silent = nix._bound(self.fetch(file, 'index = "";'))
            again = ("nix", "build", "--no-link", "--rebuild", "--impure", "--expr", silent)
            there = server.root.replace("://", f"://me:{secret}@")
            assert secret not in nix.run(*again, variables={"KGEN_INDEX": f"{there}/simple"}).stderr
        assert others == [None, None]
        derivation = Path(str(nix.evaluate(f"({self.fetch(file)}).drvPath")))
        assert secret not in derivation.read_text()

    def test_by_nix_with_its_own_logins(self, nix: Nix, tmp_path: Path) -> None:
        """Those of its setting `netrc-file`, which a sandbox does not see; no derivation and no log has them."""
        file, secret = self.unique("netrc-file"), "s3cret"
        wanted = "Basic " + base64.b64encode(f"me:{secret}".encode()).decode()

        class Private(Handler):
            def answer(self) -> None:
                allowed = self.headers.get("Authorization") == wanted
                self.send(200 if allowed else 401, file.content if allowed else b"")

        logins = tmp_path / "netrc"
        logins.write_text(f"machine 127.0.0.1 login me password {secret}\n")
        with running(Server(Private)) as server:
            url = f"{server.root}/{file.filename}"
            fetch = self.fetch(file, "netrc = true;", url=url)
            words = ("nix", "build", "--no-link", "--impure", "--print-build-logs", "--expr", nix._bound(fetch))
            assert "401" in nix.run(*words, fails=True).stderr
            said = nix.run(*words, "--option", "netrc-file", str(logins)).stderr
        made = nix.evaluate(f"[ ({fetch}).drvPath ({fetch}).outPath ({self.fetch(file)}).outPath ]")
        assert isinstance(made, list)
        assert secret not in said + Path(made[0]).read_text()
        assert made[1] == made[2]
        assert Path(made[1]).read_bytes() == file.content

    def test_by_nix_without_a_url(self, nix: Nix) -> None:
        said = str(nix.evaluate(f"({self.fetch(self.FILE, 'netrc = true;')}).drvPath", fails=True))
        assert f"kgen: the lock has no URL of {self.FILE.filename}, and with `netrc` nothing else is asked" in said

    def test_a_login_in_the_index_is_refused(self, nix: Nix) -> None:
        """It would be in a derivation, which everybody can read; nor is it printed."""
        for index in (
            '"http://me:s3cret@127.0.0.1:1/simple"',
            '[ "http://127.0.0.1:1" "http://s3cret@127.0.0.1:1/x" ]',
        ):
            said = str(nix.evaluate(f"({self.fetch(self.FILE, f'index = {index};')}).drvPath", fails=True))
            assert "kgen: an `index`, or KGEN_INDEX, holds a login" in said
            assert "s3cret" not in said.partition("error:")[2]

    def test_the_index_changes_no_store_path(self, nix: Nix, tmp_path: Path) -> None:
        paths = {
            str(nix.evaluate(f"({self.fetch(self.FILE, arguments, url=url)}).outPath"))
            for arguments in ("", 'index = "http://127.0.0.1:1/simple";')
            for url in (None, "http://127.0.0.1:1/x.whl")
        }
        nix.seed([self.FILE.written(tmp_path)])
        assert len(paths) == 1
        assert Path(paths.pop()).read_bytes() == self.FILE.content

    def test_a_wrong_hash(self, nix: Nix) -> None:
        file = self.unique("wrong-hash")
        with serving_files(self.pages(file, "html")) as (root, _):
            said = str(nix.build(self.fetch(file, url=f"{root}/f/{file.filename}", sha256="0" * 64), fails=True))
        assert f"{file.filename} could not be had" in said
        assert f"has another content: its sha256 is {file.sha256}, and the lock has {'0' * 64}" in said

    def test_an_index_that_has_another_file_of_the_name(self, nix: Nix) -> None:
        file = self.unique("another")
        with serving_files(self.pages(file, "html")) as (root, asked):
            arguments = f'index = "{root}/simple";'
            said = str(nix.build(self.fetch(file, arguments, sha256="0" * 64), fails=True))
        assert f"lists another file of this name, with sha256 {file.sha256}" in said
        assert asked == [f"/simple/{file.name}/"]

    def test_nobody_has_it(self, nix: Nix) -> None:
        file = self.unique("nowhere")
        with serving_files({"/simple/nowhere/": ("text/html", b"<a href='x.whl'>x.whl</a>")}) as (root, _):
            said = str(nix.build(self.fetch(file, f'index = [ "{root}/simple" "{root}/no" ];'), fails=True))
        assert f"{root}/simple/nowhere/ does not list it" in said
        assert f"{root}/no/nowhere/: Not Found" in said
        assert f"hint: with the file at hand: nix-store --add-fixed sha256 {file.filename}" in said

    def test_a_connection_that_breaks_is_taken_up_again(self, nix: Nix) -> None:
        """Where it broke off; the first answer ends in the middle."""
        file = self.unique("broken-off")
        with breaking_off(file.content) as (root, asked):
            built = nix.build(self.fetch(file, url=f"{root}/{file.filename}"))
        assert isinstance(built, Path)
        assert built.read_bytes() == file.content
        assert asked == [None, f"bytes={len(file.content) // 2}-"]


@contextlib.contextmanager
def breaking_off(content: bytes) -> Iterator[tuple[str, list[str | None]]]:
    """A server whose first answer ends in the middle; gives its root, and the ranges that it was asked for."""
    asked: list[str | None] = []

    class Breaking(Handler):
        def answer(self) -> None:
            asked.append(self.headers["Range"])
            start, _ = self.range_of(len(content)) or (0, 0)
            rest = content[start:]
            self.send(206 if start else 200, rest if start else rest[: len(content) // 2], size=len(rest))

    with running(Server(Breaking)) as server:
        yield server.root, asked


class TestMkVenv:
    def test_everything_a_wheel_can_hold(self, make: Callable[..., Path]) -> None:
        readlink = Path("/usr/bin/readlink").read_bytes()
        files = {
            "feature/__init__.py": b"def main(): print('main of', __name__)\n",
            "feature/template.py": b"def {{ name }}(): no module\n",
            "feature/bin/where": readlink,
            "feature/run.sh": b"#!/bin/sh\necho run\n",
            "feature-1.0.data/purelib/pure.py": b"x = 1\n",
            "feature-1.0.data/platlib/plat.py": b"x = 2\n",
            "feature-1.0.data/scripts/hello": b"#!python\nimport sys; print('hello', sys.prefix)\n",
            "feature-1.0.data/scripts/flags": b"#!pythonw -sS\nimport sys; print(sys.flags.no_site)\n",
            "feature-1.0.data/scripts/plain": b"#!/bin/sh\necho plain\n",
            "feature-1.0.data/data/share/feature/data.txt": b"data",
            "feature-1.0.data/headers/feature.h": b"#define FEATURE\n",
            "feature-1.0.dist-info/entry_points.txt": (
                b"[console_scripts]\nfeature = feature:main\nFeature.2 = feature : main [extra]\n"
                b"[gui_scripts]\nwindow = feature:main\n[other]\nx = y\n"
            ),
        }
        wheel = Wheel(name="feature", version="1.0", files=files)
        venv = make(File.of(wheel, with_executables(wheel, ["feature/bin/where", "feature/run.sh"])))

        def run(name: str, *words: str) -> str:
            return subprocess.run([venv / name, *words], capture_output=True, text=True, check=True, env={}).stdout

        assert run("bin/feature") == run("bin/Feature.2") == run("bin/window") == "main of feature\n"
        assert run("bin/hello") == f"hello {venv}\n"
        assert run("bin/flags") == "1\n"
        assert run("bin/plain") == "plain\n"
        assert run(f"{SITE}/feature/run.sh") == "run\n"
        # the kernel says where a program lies, and that is in the environment
        assert run(f"{SITE}/feature/bin/where", "/proc/self/exe") == f"{venv}/{SITE}/feature/bin/where\n"
        assert not os.access(venv / SITE / "feature" / "__init__.py", os.X_OK)
        assert (venv / "share/feature/data.txt").read_text() == "data"
        assert (venv / f"include/site/python{MINOR}/feature/feature.h").read_text() == "#define FEATURE\n"
        assert python(venv, "import pure, plat; print(pure.x, plat.x)").stdout == "1 2\n"

    def test_programs_are_loaded_by_the_loader_of_nix(self, nix: Nix, make: Callable[..., Path]) -> None:
        """NixOS has none where programs of wheels look for it; nothing else in them changes."""
        program = Path("/usr/bin/readlink").read_bytes()
        foreign = program.replace(b"/lib64/ld-linux-x86-64.so.2", b"/lib64/ld-other-x86-64.so.2")
        paths = ["loads/bin/where", "loads/bin/other"]
        files = {"loads/__init__.py": b"", **dict(zip(paths, (program, foreign), strict=True))}
        wheel = Wheel(name="loads", version="1.0", files=files)
        venv = make(File.of(wheel, with_executables(wheel, paths)))
        there = venv / SITE / "loads" / "bin" / "where"
        listed = subprocess.run(["readelf", "-lW", there], capture_output=True, text=True, check=True).stdout
        loader = nix.evaluate("pkgs.stdenv.cc.bintools.dynamicLinker")
        assert f"[Requesting program interpreter: {loader}]" in listed
        assert there.read_bytes()[: len(program)].count(b"/lib64/ld-linux-x86-64.so.2") == 1
        assert len(there.read_bytes()) == len(program) + len(str(loader)) + 1
        done = subprocess.run([there, "/proc/self/exe"], capture_output=True, text=True, check=True, env={})
        assert done.stdout == f"{there}\n"
        # another loader is another system's
        assert (venv / SITE / "loads" / "bin" / "other").read_bytes() == foreign

    def test_the_metadata_says_where_the_files_are(self, make: Callable[..., Path]) -> None:
        files = {
            "listed.py": b"",
            "listed-1.0.data/scripts/run": b"#!python\n",
            "listed-1.0.data/data/etc/listed": b"",
            "listed-1.0.data/headers/listed.h": b"",
            "listed-1.0.dist-info/entry_points.txt": b"[console_scripts]\nlisted = listed:main\n",
        }
        venv = make(File.of(Wheel(name="listed", version="1.0", files=files)))
        code = """
from importlib import metadata
files = metadata.files("listed")
assert all(file.locate().exists() for file in files), files
print(metadata.version("listed"), metadata.distribution("listed").read_text("INSTALLER").strip(), len(files))
"""
        assert python(venv, code).stdout == "1.0 kgen 10\n"

    def test_it_is_a_virtual_environment(self, make: Callable[..., Path]) -> None:
        venv = make(File.of(Wheel(name="one", version="1.0")))
        code = """
import sys, site, one
print(sys.prefix, sys.executable, sys.prefix != sys.base_prefix, site.ENABLE_USER_SITE)
print(one.__file__, one.__cached__)
print(one.__spec__.loader.get_code("one").co_filename)
"""
        cached = f"{venv}/{SITE}/one/__pycache__/__init__.cpython-{MINOR.replace('.', '')}.pyc"
        assert python(venv, code).stdout.splitlines() == [
            f"{venv} {venv}/bin/python True False",
            f"{venv}/{SITE}/one/__init__.py {cached}",
            f"{venv}/{SITE}/one/__init__.py",
        ]
        # compiled so that neither time nor content is asked: bits 0 and 1 of the flags
        assert Path(cached).read_bytes()[4:8] == b"\x01\x00\x00\x00"
        assert python(venv, "import sys; print(sys.path)", PATH="/usr/bin").stdout.count("site-packages") == 1

    def test_libraries_find_those_of_other_wheels(self, make: Callable[..., Path]) -> None:
        """$ORIGIN/../../b/lib, as the kernel resolves it; the files are links, the folders are not."""
        a = Wheel(name="nvidia-a", version="1", files={"nvidia/a/lib/liba.so": b"a", "nvidia/__init__.py": b""})
        b = Wheel(name="nvidia-b", version="1", files={"nvidia/b/lib/libb.so": b"b", "nvidia/__init__.py": b""})
        venv = make(File.of(a), File.of(b))
        origin = f"{venv}/{SITE}/nvidia/a/lib"
        assert Path(f"{origin}/liba.so").is_symlink()
        with open(f"{origin}/../../b/lib/libb.so", "rb") as file:  # noqa: PTH123 - not normalised
            assert file.read() == b"b"
        links = {name for folder, names, _ in os.walk(venv) for name in names if Path(folder, name).is_symlink()}
        assert links == set()

    def test_compiled_modules_are_linked_at_once_where_one_wheel_has_them(self, make: Callable[..., Path]) -> None:
        same = {"space/same.py": b"", "same.py": b""}
        a = Wheel(name="a", version="1", files={"a/__init__.py": b"", "space/a.py": b"", **same})
        b = Wheel(name="b", version="1", files={"b/__init__.py": b"", "space/b.py": b"", **same})
        venv = make(File.of(a), File.of(b))
        names = ["a", "b", "same", "space.a", "space.b", "space.same"]
        code = f"""
import importlib, os
print(*(name for name in {names} if os.path.exists(importlib.import_module(name).__cached__)))
"""
        assert python(venv, code).stdout.split() == names
        site = venv / SITE
        assert (site / "a" / "__pycache__").is_symlink()
        assert (site / "b" / "__pycache__").is_symlink()
        shared = site / "space" / "__pycache__"
        assert not shared.is_symlink()
        assert {path.name.partition(".")[0] for path in shared.iterdir()} == {"a", "b", "same"}
        assert all(path.is_symlink() for path in shared.iterdir())

    def test_one_path_with_two_contents_names_both(self, nix: Nix, tmp_path: Path) -> None:
        left = {"same.py": b"", "lib/x.so": b"left", "top/a": b"", "bottom": b""}
        right = {"same.py": b"", "lib/x.so": b"right", "top": b"", "bottom/a": b""}
        wheels = (Wheel(name="left", version="1", files=left), Wheel(name="right", version="2", files=right))
        files = [File.of(wheel) for wheel in wheels]
        lock = write_environment(tmp_path / "locks", "numpy-cpu", lock_text("numpy-cpu", files))
        nix.seed(file.written(tmp_path / "wheels") for file in files)
        said = str(nix.build(f"kgen.mkVenv {{ inherit pkgs; lock = {lock}; }}", fails=True))
        assert "kgen: numpy-cpu: wheels own the same paths with different content" in said
        for path in ("lib/x.so", "top", "bottom/a"):
            assert f"  {SITE}/{path}: in left 1 and in right 2" in said
        assert "same" not in said.partition("hint:")[0].replace("the same paths", "")

    @pytest.mark.parametrize(
        ("files", "said"),
        [
            ({"../evil.py": b""}, "holds a file whose path leads out of it: '../evil.py'"),
            ({"/evil.py": b""}, "holds a file whose path leads out of it: '/evil.py'"),
            ({"a/../../evil.py": b""}, "holds a file whose path leads out of it"),
            ({"bad-1.data/stdlib/x.py": b""}, "and there is no such place in an installation"),
            ({"bad-1.dist-info/entry_points.txt": b"[console_scripts]\nx = os:system('id')\n"}, "has an entry point"),
            ({"bad-1.dist-info/entry_points.txt": b"[console_scripts]\n../x = os:path\n"}, "has an entry point"),
            ({"bad-1.dist-info/entry_points.txt": b"[[[\nx"}, "has entry points that cannot be read"),
            ({"other-1.dist-info/WHEEL": b""}, "has not one `.dist-info` folder but 2"),
            ({"bad-1.data/scripts/python": b"#!/bin/sh\n"}, "bin/python: in the interpreter and in bad 1"),
        ],
    )
    def test_a_wheel_that_is_refused(self, nix: Nix, tmp_path: Path, files: dict[str, bytes], said: str) -> None:
        file = File.of(Wheel(name="bad", version="1", files=files))
        lock = write_environment(tmp_path / "locks", "numpy-cpu", lock_text("numpy-cpu", [file]))
        nix.seed([file.written(tmp_path / "wheels")])
        heard = str(nix.build(f"kgen.mkVenv {{ inherit pkgs; lock = {lock}; }}", fails=True))
        assert said in heard
        assert "bad-1-py3-none-any.whl" in heard or "in bad 1" in heard

    @pytest.mark.parametrize("content", [b"", b"no zip" * 1000])
    def test_a_file_that_is_no_wheel(self, nix: Nix, tmp_path: Path, content: bytes) -> None:
        file = File.of(Wheel(name="bad", version="1"), content)
        lock = write_environment(tmp_path / "locks", "numpy-cpu", lock_text("numpy-cpu", [file]))
        nix.seed([file.written(tmp_path / "wheels")])
        said = str(nix.build(f"kgen.mkVenv {{ inherit pkgs; lock = {lock}; }}", fails=True))
        assert "kgen: the wheel bad-1-py3-none-any.whl is not a zip file: " in said
        assert "Traceback" not in said

    def test_a_module_that_cannot_be_compiled(self, make: Callable[..., Path]) -> None:
        """Packages hold templates and code for other Pythons; they come out as they are."""
        files = {"odd/syntax.py": b"def f(:\n", "odd/null.py": b"\0", "odd/deep.py": b"(" * 5000, "odd/fine.py": b""}
        venv = make(File.of(Wheel(name="odd", version="1", files=files)))
        assert {name: (venv / SITE / name).read_bytes() for name in files} == files
        compiled = {path.name.partition(".")[0] for path in (venv / SITE / "odd" / "__pycache__").iterdir()}
        assert compiled == {"fine"}

    def test_tests_are_not_compiled(self, make: Callable[..., Path]) -> None:
        """They are a quarter of it, and nobody imports them; who does finds them all the same."""
        tests = ["kit/tests/__init__.py", "kit/tests/deep/helper.py", "kit/layer_test.py", "conftest.py"]
        others = ["kit/__init__.py", "kit/test_util.py", "kit/testing/__init__.py", "kit/test/__init__.py", "tests.py"]
        venv = make(File.of(Wheel(name="kit", version="1", files=dict.fromkeys([*tests, *others], b"x = 7\n"))))
        cached = {path: importlib.util.cache_from_source(str(venv / SITE / path)) for path in (*tests, *others)}
        assert [path for path, compiled in cached.items() if Path(compiled).exists()] == others
        code = "import conftest, kit.layer_test, kit.tests.deep.helper as helper; print(helper.x)"
        assert python(venv, code).stdout == "7\n"

    def test_a_small_wheel_that_is_refused_beside_others(self, nix: Nix, tmp_path: Path) -> None:
        """They are unpacked together, and the one that is wrong is named."""
        files = [File.of(Wheel(name=name, version="1")) for name in ("before", "wrong", "zealous")]
        files[1] = File.of(Wheel(name="wrong", version="1"), b"no zip" * 1000)
        lock = write_environment(tmp_path / "locks", "numpy-cpu", lock_text("numpy-cpu", files))
        nix.seed(file.written(tmp_path / "wheels") for file in files)
        said = str(nix.build(f"kgen.mkVenv {{ inherit pkgs; lock = {lock}; }}", fails=True))
        assert "kgen: the wheel wrong-1-py3-none-any.whl is not a zip file: " in said
        assert "Traceback" not in said

    def test_a_wheel_that_is_large_is_shared(self, nix: Nix, tmp_path: Path) -> None:
        """Environments that differ in small wheels build the others once."""
        large = File.of(Wheel(name="large", version="1", files={"large.bin": os.urandom(1_100_000)}))
        small = [File.of(Wheel(name=name, version="1")) for name in ("one", "two")]
        nix.seed(file.written(tmp_path / "wheels") for file in (large, *small))
        needed = []
        for place, files in (("a", [large, small[0]]), ("b", [large, small[1]])):
            lock = write_environment(tmp_path / place, "numpy-cpu", lock_text("numpy-cpu", files))
            venv = nix.build(f"kgen.mkVenv {{ inherit pkgs; lock = {lock}; }}")
            needed.append(set(nix.run("nix-store", "--query", "--references", venv).stdout.split()))
        shared, apart = needed[0] & needed[1], needed[0] ^ needed[1]
        assert [path for path in shared if path.endswith("-large-1")]
        assert [Path(path).name.partition("-")[2] for path in apart] == ["small-wheels"] * 2

    def test_a_size_that_is_not_the_locks(self, nix: Nix, tmp_path: Path) -> None:
        file = File.of(Wheel(name="size", version="1"))
        text = lock_text("numpy-cpu", [file]).replace(f"size = {len(file.content)}", "size = 7")
        lock = write_environment(tmp_path / "locks", "numpy-cpu", text)
        nix.seed([file.written(tmp_path / "wheels")])
        said = str(nix.build(f"kgen.mkVenv {{ inherit pkgs; lock = {lock}; }}", fails=True))
        assert f"the wheel size-1-py3-none-any.whl has {len(file.content)} bytes, and the lock says 7" in said

    def test_built_again_bit_for_bit(self, nix: Nix, make: Callable[..., Path]) -> None:
        """The environment and every wheel in it; with another number of processes, too (it takes three)."""
        source = b"".join(
            b"def f%d(a, b=(1, 'x')):\n    return a in {'p', 'q', 'r'}\n" % number for number in range(500)
        )
        files = {f"many/m{number}.py": source for number in range(100)}
        wheels = [Wheel(name=name, version="1.0", files={f"{name}/__init__.py": source}) for name in ("few", "one")]
        wheels.append(Wheel(name="many", version="1.0", files={**files, "many/__init__.py": b""}))
        venv = make(*map(File.of, wheels))
        derivation = nix.run("nix-store", "--query", "--deriver", venv).stdout.strip()
        needed = nix.run("nix-store", "--query", "--references", derivation).stdout.split()
        built = [path for path in needed if path.endswith(("-many-1.0.drv", "-small-wheels.drv", "-few-1.0.drv"))]
        assert sorted(Path(path).name.partition("-")[2] for path in built) == ["many-1.0.drv", "small-wheels.drv"]
        for cores in ("1", "3"):
            nix.run("nix-store", "--realise", "--check", "--cores", cores, derivation, *built)

    def test_nothing_in_it_can_be_written_or_is_of_today(self, make: Callable[..., Path]) -> None:
        venv = make(File.of(Wheel(name="still", version="1")))
        for path in venv.rglob("*"):
            status = path.lstat()
            assert status.st_mtime == 1
            assert path.is_symlink() or not status.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


BACKEND = b"""
import os, zipfile

def get_requires_for_build_wheel(settings):
    return WANTED

def build_wheel(folder, settings, metadata):
    import helper
    name = "sourced-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        def write(path, text):
            wheel.writestr(zipfile.ZipInfo(path), text)
        write("sourced.py", open("sourced.py").read() + "built_with = %r\\n" % helper.VERSION)
        write("sourced-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: sourced\\nVersion: 1.0\\n")
        write("sourced-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        write("sourced-1.0.dist-info/entry_points.txt", "[console_scripts]\\nsourced = sourced:main\\n")
        write("sourced-1.0.dist-info/RECORD", "")
    return name
"""
"""A build backend that writes down which version of another package it was built with."""


class TestSources:
    """Source distributions: built by what the lock has for that, and by nothing else."""

    def sdist(self, **files: str) -> File:
        """An archive of sources, with these files beside those of every one; None takes one out."""
        system = '[build-system]\nrequires = ["maker", "helper"]\nbuild-backend = "maker"\n'
        whole = {"pyproject.toml": system, "sourced.py": "def main(): print('main', built_with)\n", **files}
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for path, text in whole.items():
                member = tarfile.TarInfo(f"sourced-1.0/{path}")
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
        return File(name="sourced", version="1.0", filename="Sourced-1.0.tar.gz", content=buffer.getvalue())

    def written(
        self,
        nix: Nix,
        tmp_path: Path,
        sdist: File,
        *,
        wanted: str = '["helper"]',
        python: str = MINOR,
        seeded: bool = True,
    ) -> str:
        """An expression of the environment, with what is in its lock in the store."""
        maker = Wheel(name="maker", version="1", files={"maker.py": BACKEND.replace(b"WANTED", wanted.encode())})
        helper = Wheel(name="helper", version="2", files={"helper.py": b"VERSION = 2\n"})
        build = [File.of(maker), File.of(helper)]
        text = lock_text("some-cpu", [File.of(Wheel(name="one", version="1")), sdist], build=build, python=python)
        lock = write_environment(tmp_path / "locks", "some-cpu", text)
        nix.seed(file.written(tmp_path / "wheels") for file in (*build, *([sdist] if seeded else [])))
        nix.seed([File.of(Wheel(name="one", version="1")).written(tmp_path / "wheels")])
        return f"kgen.mkVenv {{ inherit pkgs; lock = {lock}; }}"

    @pytest.mark.parametrize("minor", ["3.7", MINOR])
    def test_built_by_what_is_locked(self, nix: Nix, tmp_path: Path, minor: str) -> None:
        """For the environment's Python; what builds it is not in the environment."""
        if minor not in json.loads((nix.nixpkgs / "machine.json").read_text())["pythons"]:
            pytest.skip(f"there is no CPython {minor} here")
        venv = nix.build(self.written(nix, tmp_path, self.sdist(), python=minor))
        assert isinstance(venv, Path)
        assert subprocess.run([venv / "bin/sourced"], capture_output=True, text=True, check=True).stdout == "main 2\n"
        code = "import sys, sourced, importlib.util as u; print(sys.version_info[:2], u.find_spec('maker'))"
        assert python(venv, code).stdout == f"({minor.replace('.', ', ')}) None\n"

    def test_built_again_bit_for_bit(self, nix: Nix, tmp_path: Path) -> None:
        venv = nix.build(self.written(nix, tmp_path, self.sdist(**{"again.txt": "again"})))
        derivation = nix.run("nix-store", "--query", "--deriver", str(venv)).stdout.strip()
        needed = nix.run("nix-store", "--query", "--requisites", derivation).stdout.split()
        (built,) = [path for path in needed if path.endswith("-sourced-1.0.whl.drv")]
        nix.run("nix-store", "--realise", "--check", built)

    @pytest.mark.parametrize(
        ("files", "wanted", "said"),
        [
            ({}, '["helper", "more>=1"]', "more>=1"),
            ({"pyproject.toml": "[[["}, "[]", "has a pyproject.toml that cannot be read"),
            (
                {"../evil": ""},
                "[]",
                "kgen: the sources of sourced 1.0 holds what leads out of it: 'sourced-1.0/../evil'",
            ),
            ({"../../evil/x": ""}, "[]", "holds what leads out of it"),
            (
                {"pyproject.toml": "[build-system]\nbuild-backend = 1\n"},
                "[]",
                "does not say in its pyproject.toml what",
            ),
        ],
    )
    def test_sources_that_cannot_be_built(
        self, nix: Nix, tmp_path: Path, files: dict[str, str], wanted: str, said: str
    ) -> None:
        heard = str(nix.build(self.written(nix, tmp_path, self.sdist(**files), wanted=wanted), fails=True))
        assert said in heard
        if "helper" in wanted:
            assert "kgen: sourced 1.0 cannot be built with what the lock has for that" in heard

    def test_no_archive(self, nix: Nix, tmp_path: Path) -> None:
        broken = File(name="sourced", version="1.0", filename="sourced-1.0.tar.gz", content=b"none")
        said = str(nix.build(self.written(nix, tmp_path, broken), fails=True))
        assert "kgen: the sources of sourced 1.0 cannot be unpacked: " in said
        assert "Traceback" not in said

    def test_from_where_nixpkgs_looks(self, tmp_path: Path) -> None:
        """Sources lie beside wheels there, below the name that the file has."""
        sdist = self.sdist(**{"where.txt": "there"})
        path = "/packages/source/S/Sourced/Sourced-1.0.tar.gz"
        with serving_files({path: ("application/gzip", sdist.content)}) as (root, asked):
            nix = Nix.at(tmp_path / "nix", pypi=root)
            nix.build(self.written(nix, tmp_path, sdist, seeded=False))
        assert asked == [path]


class TestPreload:
    """What a Python with a C library of its own must be given; the driver is a library of another name here."""

    MAPS = "open('/proc/self/maps').read()"

    @pytest.fixture(name="driver")
    @staticmethod
    def _driver(tmp_path: Path) -> Path:
        folder = tmp_path / "driver"
        folder.mkdir()
        source = next(f"{place}/{LIBRARIES[2]}" for place in LIBRARY_FOLDERS if Path(place, LIBRARIES[2]).exists())
        for name in ("libcuda.so.1", "libnvidia-ptxjitcompiler.so.1", "libnvidia-ml.so.1"):
            shutil.copy(source, folder / name)
        shutil.copy(source, folder / "libunrelated.so.1")
        return folder

    @pytest.fixture(name="venv")
    @staticmethod
    def _venv(make: Callable[..., Path]) -> Path:
        return make(File.of(Wheel(name="one", version="1.0")), cuda="12.8", name="jax-cuda12")

    def loaded(self, venv: Path, imports: str, **environment: str) -> set[str]:
        code = f"import {imports}\nprint({self.MAPS})"
        lines = python(venv, code, **environment).stdout.splitlines()
        return {Path(line).name for line in lines if "/" in line}

    def test_at_the_first_import_of_something_installed(self, venv: Path, driver: Path) -> None:
        before = self.loaded(venv, "json, html.parser", KGEN_DRIVER_DIR=str(driver))
        after = self.loaded(venv, "one", KGEN_DRIVER_DIR=str(driver))
        new = {name for name in after - before if not name.startswith(("_ctypes", "libffi"))}
        assert {"libcuda.so.1", "libnvidia-ptxjitcompiler.so.1", "libnvidia-ml.so.1"} <= new
        assert any(name.startswith("libstdc++") for name in after)
        assert not any(name.startswith(("libunrelated", "libcuda")) for name in before | (after - new))

    def test_what_it_starts_sees_nothing_of_it(self, venv: Path, driver: Path) -> None:
        code = "import one, subprocess, os; subprocess.run(['/usr/bin/env'])"
        said = python(venv, code, KGEN_DRIVER_DIR=str(driver)).stdout
        assert "LD_" not in said
        assert "PYTHON" not in said

    def test_the_cpu_needs_no_driver(self, make: Callable[..., Path], driver: Path) -> None:
        venv = make(File.of(Wheel(name="one", version="1.0")))
        assert "libcuda.so.1" not in self.loaded(venv, "one", KGEN_DRIVER_DIR=str(driver))

    def test_a_driver_that_cannot_be_loaded_is_told_of(self, venv: Path, driver: Path) -> None:
        (driver / "libcuda.so.1").write_text("no library")
        done = python(venv, "import one; print('on')", KGEN_DRIVER_DIR=str(driver))
        assert done.stdout == "on\n"
        assert done.stderr.startswith(f"kgen: {driver}/libcuda.so.1 cannot be loaded: ")

    def test_no_driver(self, venv: Path, tmp_path: Path) -> None:
        done = python(venv, "import one; print('on')", KGEN_DRIVER_DIR=str(tmp_path))
        assert (done.stdout, done.stderr) == ("on\n", "")

    def test_nothing_of_a_driver_is_in_the_store(self, nix: Nix, venv: Path) -> None:
        closure = nix.run("nix-store", "--query", "--requisites", venv).stdout.split()
        assert closure
        names = [path.name for root in closure for path in [Path(root), *Path(root).glob("lib/lib*")]]
        assert not any(name.startswith(("libcuda", "libnvidia")) for name in names)


class TestNixpkgs:
    """What is used of nixpkgs is what its own files have: tests run with a small one in its place."""

    KNOWN = tomli.loads((STUB / "attributes.toml").read_text())["attributes"]

    def test_what_is_used(self) -> None:
        texts = [path.read_text() for path in (*(ROOT / "nix").rglob("*.nix"), ROOT / "flake.nix")]
        code = re.sub(r"(?m)(^|\s)#.*$", "", "\n".join(texts))
        used = {one.rstrip(".") for one in re.findall(r"(?<![\w.])pkgs\.([A-Za-z][\w.-]*)", code)}
        whole = {name for name in self.KNOWN if any(one == name or one.startswith(f"{name}.") for one in used)}
        assert not {one for one in used if not any(one == name or one.startswith(f"{name}.") for name in self.KNOWN)}
        assert whole == set(self.KNOWN), "a row that nothing uses"

    def test_the_one_of_the_tests(self, nix: Nix) -> None:
        """It has all of that, and takes nothing that the real one does not."""
        for name, row in self.KNOWN.items():
            assert nix.evaluate(f"pkgs ? {name}"), name
            arguments = row.get("arguments")
            if arguments is not None:
                taken = nix.evaluate(f"builtins.attrNames (builtins.functionArgs pkgs.{name})")
                assert isinstance(taken, list)
                assert set(taken) <= set(arguments), name


def test_quoted_texts_arrive(nix: Nix) -> None:
    assert nix.evaluate(f"[ {' '.join(map(quote_nix, HOSTILE))} ]") == HOSTILE
