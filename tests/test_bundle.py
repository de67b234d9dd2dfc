"""`kgen bundle` and `kgen unbundle`: environments where there is no network, and nothing that was tampered with."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.bundles import alone, members, pack, without_network
from tests.command import CUTOFF, LOCK, PYTHON, Kgen
from tests.index import Index
from tests.loopback import Handler, Server, running

from kgen import lockfiles, verified_files, wheels
from kgen.errors import Cancelled, OutsideError
from kgen.formats.wheels import ownwheels, repack

PYLOCK = "pylock.linux-64.toml"


@pytest.fixture(scope="session", name="bundled_once")
def _bundled_once(tmp_path_factory: pytest.TempPathFactory, healthy: Index) -> Path:
    """A project with two environments that have most of their files in common, and a bundle of them."""
    folder = tmp_path_factory.mktemp("bundled") / "project"
    folder.mkdir()
    kgen = Kgen(folder=folder, temporary=folder.parent).at(healthy.url)
    assert kgen(*LOCK, "numpy", "jax").status == 0
    done = kgen("bundle", "-o", "project.tar")
    assert (done.status, done.stdout) == (0, "project.tar\n")
    return folder


@pytest.fixture(name="bundled")
def _bundled(bundled_once: Path, project: Path) -> Path:
    """The same in the test's own project."""
    shutil.copytree(bundled_once, project, dirs_exist_ok=True)
    return project / "project.tar"


class TestThereAndBack:
    def test_each_file_once_and_all_that_is_listed(self, bundled: Path, project: Path) -> None:
        found = members(bundled)
        listed = json.loads(found.pop("kgen-bundle.json"))
        assert {row["path"]: row["sha256"] for row in listed["files"]} == {
            path: hashlib.sha256(content).hexdigest() for path, content in found.items()
        }
        assert [row["name"] for row in listed["environments"]] == ["jax-cpu", "numpy-cpu"]
        locks = [lockfiles.read(project / f"locks/{name}/{PYLOCK}") for name in ("jax-cpu", "numpy-cpu")]
        wanted = {f"wheels/{file.sha256}/{file.filename}" for lock in locks for file in (*lock.files, *lock.build)}
        assert {path for path in found if path.startswith("wheels/")} == wanted
        assert len(wanted) < sum(len(lock.files) for lock in locks)
        for name in ("jax-cpu", "numpy-cpu"):
            assert found[f"locks/{name}/{PYLOCK}"] == (project / f"locks/{name}/{PYLOCK}").read_bytes()

    def test_environments_are_made_without_a_network(self, kgen: Kgen, bundled: Path, tmp_path: Path) -> None:
        there, cache = tmp_path / "there", tmp_path / "cache"
        there.mkdir()
        came = without_network(kgen, "unbundle", str(bundled), folder=there, cache=cache)
        assert came.status == 0, came.stderr
        assert came.stderr.endswith("\nnext: kgen sync jax-cpu\n")
        assert without_network(kgen, "check", folder=there, cache=cache).status == 0
        made = without_network(kgen, "sync", "--all", folder=there, cache=cache)
        assert made.status == 0, made.stderr
        script = "import keras, numpy; print(keras.__name__)"
        ran = without_network(
            kgen, "run", "--no-sync", "numpy", "--", "python", "-c", script, folder=there, cache=cache
        )
        assert (ran.status, ran.stdout) == (0, "keras\n")
        again = without_network(kgen, "unbundle", str(bundled), "--json", folder=there, cache=cache)
        assert json.loads(again.stdout)["added"] == 0

    def test_kgen_itself_is_brought_along(self, bundled: Path, tmp_path: Path) -> None:
        with tarfile.open(bundled) as archive:
            names = [name for name in archive.getnames() if name.startswith("kgen/")]
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            for name in names:
                archive.extract(name, tmp_path)
        subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
        program = str(tmp_path / "venv/bin/kgen")
        pip = [str(tmp_path / "venv/bin/pip"), "install", "--quiet", "--no-index", "--find-links", "../kgen"]
        environment = {"PATH": os.defpath, "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
        there = tmp_path / "there"
        there.mkdir()
        for words in ([*pip, "keras-kgen"], [program, "unbundle", str(bundled)], [program, "sync", "numpy"]):
            done = subprocess.run(
                [*alone(), *words], env=environment, cwd=there, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr

    def test_what_an_older_bundle_has_is_not_fetched_again(self, kgen_alone: Kgen, index: Index, project: Path) -> None:
        assert kgen_alone(*LOCK, "numpy").status == 0
        first = json.loads(kgen_alone("bundle", "-o", "b.tar", "--json").stdout)
        assert first["fetched"] > 0
        before = (project / "b.tar").read_bytes()
        index.misbehave("500")
        second = json.loads(kgen_alone("bundle", "-o", "b.tar", "--json").stdout)
        assert (second["fetched"], second["files"]) == (0, first["files"])
        assert (project / "b.tar").read_bytes() == before
        # of one that is damaged nothing is taken
        (project / "b.tar").write_bytes(before.replace(b"keras/__init__.py", b"keras/__inti__.py"))
        failed = kgen_alone("bundle", "-o", "b.tar")
        assert failed.status == 4
        assert "answered 500" in failed.stderr

    def test_an_interrupted_call_goes_on_where_it_was(self, kgen_alone: Kgen, index: Index, project: Path) -> None:
        assert kgen_alone(*LOCK, "numpy").status == 0
        lock = lockfiles.read(project / f"locks/numpy-cpu/{PYLOCK}")
        last = next(file for file in lock.files if file.name == "rich")
        index.misbehave("500", at=f"/files/{last.filename}$")
        failed = kgen_alone("bundle", "-o", "b.tar")
        assert failed.status == 4
        assert last.filename in failed.stderr
        assert not (project / "b.tar").exists()
        index.misbehave("500", at=r"^(?!.*/rich)")
        index.behaviour.asked.clear()
        done = kgen_alone("bundle", "-o", "b.tar")
        store = Path(kgen_alone.environment["KGEN_CACHE_DIR"]).parent
        assert done.status == 0, (done.stderr, list(store.rglob("*.part")))
        assert all("rich" in path for path in index.behaviour.asked)


def test_a_symbolic_link_stays_one(kgen_alone: Kgen, project: Path, tmp_path: Path) -> None:
    assert kgen_alone(*LOCK, "numpy").status == 0
    (tmp_path / "large").mkdir()
    (project / "b.tar").symlink_to(tmp_path / "large/b.tar")
    assert kgen_alone("bundle", "-o", "b.tar").status == 0
    assert (project / "b.tar").is_symlink()
    assert tarfile.is_tarfile(tmp_path / "large/b.tar")
    assert [path.name for path in (tmp_path / "large").iterdir()] == ["b.tar"]


class TestDamage:
    def refused(self, kgen: Kgen, path: Path, tmp_path: Path) -> str:
        there = tmp_path / "there"
        done = kgen("unbundle", str(path), "--into", str(there))
        assert done.status in {2, 4}
        assert done.stdout == ""
        assert not (there / "locks").exists()
        return done.stderr.partition("\n")[0]

    @pytest.mark.parametrize(
        "is_meant",
        [
            lambda name: name.startswith("wheels/"),
            lambda name: name.startswith("kgen/"),
            lambda name: name.endswith(".toml"),
        ],
    )
    def test_another_byte(self, kgen: Kgen, bundled: Path, tmp_path: Path, is_meant: Callable[[str], bool]) -> None:
        content = members(bundled)
        name = next(filter(is_meant, content))
        text = content[name]
        content[name] = text[:-1] + bytes([text[-1] ^ 1])
        pack(tmp_path / "bad.tar", content)
        said = f"error: {name} is damaged: its sha256 is not the listed one"
        assert self.refused(kgen, tmp_path / "bad.tar", tmp_path) == said

    def test_a_file_is_missing(self, kgen: Kgen, bundled: Path, tmp_path: Path) -> None:
        content = members(bundled)
        name = next(name for name in content if name.startswith("wheels/"))
        del content[name]
        pack(tmp_path / "bad.tar", content)
        assert self.refused(kgen, tmp_path / "bad.tar", tmp_path).endswith(f"files are missing, the first is {name}")

    def test_it_breaks_off(self, kgen: Kgen, bundled: Path, tmp_path: Path) -> None:
        content = bundled.read_bytes()
        (tmp_path / "bad.tar").write_bytes(content[: len(content) * 2 // 3])
        assert "damaged" in self.refused(kgen, tmp_path / "bad.tar", tmp_path)

    @pytest.mark.parametrize(
        "path",
        [
            "../evil",
            "/etc/evil",
            "locks/numpy-cpu/../../evil",
            "locks/numpy-cpu/evil.sh",
            "locks/../evil",
            ".git/hooks/post-checkout",
            "kgen.toml",
            f"wheels/{'0' * 64}/../../evil.whl",
            "wheels/short/evil.whl",
        ],
    )
    def test_a_path_that_is_none_of_a_bundle(self, kgen: Kgen, bundled: Path, tmp_path: Path, path: str) -> None:
        content = members(bundled)
        listed = json.loads(content["kgen-bundle.json"])
        listed["files"].append({"path": path, "sha256": hashlib.sha256(b"evil").hexdigest(), "size": 4})
        pack(tmp_path / "bad.tar", {**content, "kgen-bundle.json": json.dumps(listed).encode(), path: b"evil"})
        said = self.refused(kgen, tmp_path / "bad.tar", tmp_path)
        assert "is not a bundle of kgen: " in said
        assert not list(tmp_path.rglob("*evil*"))

    def test_a_bundle_of_another_kgen(self, kgen: Kgen, bundled: Path, tmp_path: Path) -> None:
        content = members(bundled)
        listed = {**json.loads(content["kgen-bundle.json"]), "schema": 2, "kgen": "9.9"}
        pack(tmp_path / "new.tar", {**content, "kgen-bundle.json": json.dumps(listed).encode()})
        done = kgen("unbundle", str(tmp_path / "new.tar"), "--into", str(tmp_path / "there"))
        assert (done.status, done.stdout) == (2, "")
        assert "[TEMP]/new.tar is a bundle of kgen 9.9, whose form 2 this kgen " in done.stderr
        assert "\nhint: tar -xf [TEMP]/new.tar kgen && python3 -m venv kgen-venv && " in done.stderr
        assert not (tmp_path / "there").exists()

    def test_what_is_not_listed(self, kgen: Kgen, bundled: Path, tmp_path: Path) -> None:
        content = members(bundled)
        pack(tmp_path / "bad.tar", {**content, "kgen.toml": b"x = 1\n"})
        said = self.refused(kgen, tmp_path / "bad.tar", tmp_path)
        assert said == "error: [TEMP]/bad.tar has kgen.toml in it, which its own list does not name"

    def test_a_link(self, kgen: Kgen, bundled: Path, tmp_path: Path) -> None:
        content = members(bundled)
        name = next(name for name in content if name.endswith(".toml"))
        with tarfile.open(tmp_path / "bad.tar", "w") as archive:
            for path, text in content.items():
                info = tarfile.TarInfo(path)
                if path == name:
                    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                else:
                    info.size = len(text)
                archive.addfile(info, io.BytesIO(text))
        assert self.refused(kgen, tmp_path / "bad.tar", tmp_path).startswith(f"error: {name} is damaged")

    @pytest.mark.parametrize("content", [b"", b"no archive", b"\0" * 10240])
    def test_no_bundle(self, kgen: Kgen, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "bad.tar").write_bytes(content)
        said = self.refused(kgen, tmp_path / "bad.tar", tmp_path)
        assert said.startswith("error: [TEMP]/bad.tar ")

    def test_the_folder_leads_elsewhere(self, kgen: Kgen, bundled: Path, tmp_path: Path) -> None:
        there = tmp_path / "there"
        (there / ".kgen").mkdir(parents=True)
        (tmp_path / "elsewhere").mkdir()
        (there / ".kgen/wheels").symlink_to(tmp_path / "elsewhere")
        assert self.refused(kgen, bundled, tmp_path).endswith("leads out of the project")
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_another_lock_is_there(self, kgen: Kgen, bundled: Path, tmp_path: Path) -> None:
        there = tmp_path / "there"
        (there / "locks/numpy-cpu").mkdir(parents=True)
        lock = there / f"locks/numpy-cpu/{PYLOCK}"
        lock.write_text("# mine\n")
        done = kgen("unbundle", str(bundled), "--into", str(there))
        assert done.status == 2
        assert "is there already, and is not what the bundle has" in done.stderr
        assert lock.read_text() == "# mine\n"
        assert not (there / "locks/jax-cpu").exists()
        assert not (there / ".kgen").exists()
        hint = done.stderr.splitlines()[2].removeprefix("hint: kgen ").replace("[TEMP]", str(kgen.temporary))
        assert kgen(*shlex.split(hint)).status == 0
        (beside,) = tmp_path.glob("there-*")
        assert (beside / f"locks/numpy-cpu/{PYLOCK}").is_file()

    def test_a_lock_of_another_kgen(self, kgen: Kgen, bundled: Path, tmp_path: Path) -> None:
        """It is refused before anything is copied."""
        content = members(bundled)
        name = f"locks/numpy-cpu/{PYLOCK}"
        text = content[name].replace(b"[tool.kgen]\nschema = 1", b"[tool.kgen]\nschema = 99")
        assert text != content[name]
        listed = json.loads(content["kgen-bundle.json"])
        for one in listed["files"]:
            if one["path"] == name:
                one |= {"sha256": hashlib.sha256(text).hexdigest(), "size": len(text)}
        pack(tmp_path / "new.tar", {**content, "kgen-bundle.json": json.dumps(listed).encode(), name: text})
        self.refused(kgen, tmp_path / "new.tar", tmp_path)
        assert not (tmp_path / "there").exists()


class TestCalls:
    def test_wrong_ones(self, kgen: Kgen, project: Path) -> None:
        assert kgen("bundle").stderr == (
            "error: `kgen bundle` needs a file to write\n\nhint: kgen bundle -o project.tar\n"
        )
        assert kgen("bundle", "-o", "no/b.tar").stderr == (
            "error: no/b.tar cannot be written: there is no folder no\n\nhint: mkdir -p no\n"
        )
        os.mkfifo(project.parent / "pipe")
        for place in ("-", "/dev/full", "/dev/stdout", "../pipe"):
            assert kgen("bundle", "-o", place).stderr == (
                f"error: {place} is not a regular file, and a bundle is read back before it is put in its place\n\n"
                "hint: kgen bundle -o project.tar\n"
            )
        assert Path("/dev/full").is_char_device()
        # there are files in memory below /dev, too
        assert "nothing in [TEMP]/project/locks is locked" in kgen("bundle", "-o", "/dev/shm/kgen-b.tar").stderr  # noqa: S108
        assert kgen("bundle", "-o", ".").stderr == "error: . is a folder\n\nhint: kgen bundle -o project.tar\n"
        assert kgen("bundle", "-o", "b.tar", "--platform", "linux-64").stderr == (
            "error: nothing in [TEMP]/project/locks is locked for linux-64\n\nhint: kgen lock\n"
        )
        assert kgen("unbundle", "absent.tar").stderr == (
            "error: absent.tar cannot be read as a bundle: No such file or directory\n\nhint: ls -l absent.tar\n"
        )
        assert list(project.iterdir()) == []

    def test_another_platform(self, kgen: Kgen) -> None:
        assert kgen(*LOCK, "numpy").status == 0
        other = "osx-arm64"
        done = kgen("bundle", "numpy", "-o", "b.tar", "--platform", other)
        assert done.status == 2
        assert done.stderr.startswith("error: numpy-cpu is locked for linux-64, and not for ")
        assert done.stderr.endswith(
            f"\n\nhint: kgen lock numpy --python {PYTHON} --exclude-newer {CUTOFF} --platform {other}\n"
        )

    def test_a_place_that_cannot_be_written_is_found_before_anything_is_fetched(
        self, kgen_alone: Kgen, index: Index, project: Path
    ) -> None:
        assert kgen_alone(*LOCK, "numpy").status == 0
        index.behaviour.asked.clear()
        before = sorted(project.iterdir())
        name = "b" * os.pathconf(project, "PC_NAME_MAX")
        refused = kgen_alone("bundle", "-o", name)
        assert refused.status == 4
        assert refused.stderr.startswith(f"error: {name} cannot be written: File name too long")
        assert index.behaviour.asked == []
        assert sorted(project.iterdir()) == before

    def test_offline_says_what_is_missing(self, kgen_alone: Kgen, index: Index, project: Path) -> None:
        assert kgen_alone(*LOCK, "numpy").status == 0
        index.behaviour.asked.clear()
        refused = kgen_alone("bundle", "--offline", "-o", "b.tar")
        assert refused.status == 4
        files = lockfiles.read(project / f"locks/numpy-cpu/{PYLOCK}").files
        assert (
            f"error: {len(files)} of {len(files)} files, [SIZE], are not in a folder on this machine" in refused.stderr
        )
        assert f" and {len(files) - 5} more\n" in refused.stderr
        assert index.behaviour.asked == []
        assert not (project / "b.tar").exists()
        # what lies in a folder is taken
        (project / "wheels").mkdir()
        for file in files:
            served = {wheel.filename: wheel for wheel in index.wheelhouse.wheels(file.name)}
            (project / "wheels" / file.filename).write_bytes(served[file.filename].content)
        assert kgen_alone("bundle", "--offline", "-o", "b.tar", UV_FIND_LINKS="wheels").status == 0

    def test_for_another_platform_kgen_itself_is_left_out(self, kgen: Kgen, project: Path) -> None:
        assert kgen(*LOCK, "numpy").status == 0
        here = project / f"locks/numpy-cpu/{PYLOCK}"
        here.with_name("pylock.linux-aarch64.toml").write_text(here.read_text().replace("linux-64", "linux-aarch64"))
        done = kgen("bundle", "numpy", "--platform", "linux-aarch64", "-o", "arm.tar")
        assert done.status == 0
        assert done.stderr.startswith("note: kgen itself is left out: what is installed here is not for linux-aarch64")
        found = members(project / "arm.tar")
        assert not [name for name in found if name.startswith("kgen/")]
        assert [name for name in found if name.endswith(".toml")] == ["locks/numpy-cpu/pylock.linux-aarch64.toml"]


class _Breaking(Handler):
    """Sends half of what is asked for and hangs up, as often as it is told to."""

    def answer(self) -> None:
        server = self.server
        assert isinstance(server, _Halves)
        span = self.headers.get("Range", "")
        server.spans.append(span)
        start = int(span.removeprefix("bytes=").removesuffix("-")) if span and server.knows_ranges else 0
        rest = server.content[start:]
        status = 206 if span and server.knows_ranges else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(rest)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.end_headers()
        if server.breaks > 0:
            server.breaks -= 1
            self.wfile.write(rest[: len(rest) // 2])
            self.close_connection = True
        else:
            self.wfile.write(rest)


class _Halves(Server):
    def __init__(self, content: bytes, *, breaks: int, knows_ranges: bool) -> None:
        super().__init__(_Breaking)
        self.content = content
        self.breaks = breaks
        self.knows_ranges = knows_ranges
        self.spans: list[str] = []


class TestSaving:
    CONTENT = os.urandom(100_000)
    SHA256 = hashlib.sha256(CONTENT).hexdigest()

    @pytest.mark.parametrize(("knows_ranges", "spans"), [(True, ["", "bytes=50000-"]), (False, ["", "bytes=50000-"])])
    def test_the_rest_is_asked_for(self, tmp_path: Path, *, knows_ranges: bool, spans: list[str]) -> None:
        counts: list[int] = []
        with (
            running(_Halves(self.CONTENT, breaks=1, knows_ranges=knows_ranges)) as server,
            wheels.WheelReader(cache=None) as reader,
        ):
            target = tmp_path / "a.whl"
            reader.save(
                f"{server.root}/a.whl", filename="a.whl", sha256=self.SHA256, target=target, report=counts.append
            )
        assert target.read_bytes() == self.CONTENT
        assert server.spans == spans
        assert sum(counts) == len(self.CONTENT)
        assert [path.name for path in tmp_path.iterdir()] == ["a.whl"]

    def test_a_part_of_an_earlier_call_counts(self, tmp_path: Path) -> None:
        (tmp_path / "a.whl.part").write_bytes(self.CONTENT[:70_000])
        counts: list[int] = []
        with (
            running(_Halves(self.CONTENT, breaks=0, knows_ranges=True)) as server,
            wheels.WheelReader(cache=None) as reader,
        ):
            target = tmp_path / "a.whl"
            reader.save(
                f"{server.root}/a.whl", filename="a.whl", sha256=self.SHA256, target=target, report=counts.append
            )
        assert target.read_bytes() == self.CONTENT
        assert server.spans == ["bytes=70000-"]
        assert sum(counts) == len(self.CONTENT)

    def test_another_file_is_not_taken(self, tmp_path: Path) -> None:
        source = tmp_path / "source.whl"
        source.write_bytes(self.CONTENT)
        with wheels.WheelReader(cache=None) as reader, pytest.raises(OutsideError, match="not the file"):
            reader.save(str(source), filename="a.whl", sha256="0" * 64, target=tmp_path / "a.whl")
        assert [path.name for path in tmp_path.iterdir()] == ["source.whl"]

    def test_it_can_be_cancelled(self, tmp_path: Path) -> None:
        source = tmp_path / "source.whl"
        source.write_bytes(self.CONTENT)
        cancel = threading.Event()
        cancel.set()
        with wheels.WheelReader(cache=None, cancel=cancel) as reader, pytest.raises(Cancelled):
            reader.save(str(source), filename="a.whl", sha256=self.SHA256, target=tmp_path / "a.whl")
        assert not (tmp_path / "a.whl").exists()


def test_what_is_installed_gives_a_wheel_again() -> None:
    found = {one.name.lower(): one for one in repack.closure("keras-kgen")}
    assert {"uv", "typer", "packaging", "keras-kgen"} <= set(found)
    assert "pytest" not in found
    name, content = repack.wheel_of(found["uv"])
    assert repack.wheel_of(found["uv"]) == (name, content)
    assert name.startswith(f"uv-{found['uv'].version}-py3-none-")
    with pytest.raises(OutsideError, match="is not installed beside kgen"):
        repack.closure("absent-project")


def test_metadata_of_others_inside_of_a_package() -> None:
    """Setuptools brings along packages with metadata of their own; none of it stands for that of setuptools."""
    distribution = importlib.metadata.distribution("setuptools")
    _, content = repack.wheel_of(distribution)
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        names = set(wheel.namelist())
        info = f"setuptools-{distribution.version}.dist-info"
        assert wheel.read(f"{info}/METADATA").decode() == distribution.read_text("METADATA")
    assert len([name for name in names if name.startswith("setuptools/_vendor/") and name.endswith("/METADATA")]) > 1


def test_a_portable_lock_is_fetched_from_the_index_that_is_configured(kgen: Kgen, project: Path) -> None:
    assert kgen(*LOCK, "numpy", "--portable").status == 0
    nowhere = dataclasses.replace(
        kgen, environment={**kgen.environment, "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}
    )
    failed = nowhere("bundle", "-o", "b.tar")
    assert failed.status == 4
    assert not (project / "b.tar").exists()
    assert kgen("bundle", "-o", "b.tar").status == 0


class TestOwnWheels:
    """Kgen's own wheels, and those of what it needs: looked for again only where something may have changed."""

    @pytest.fixture(name="made")
    def _made(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The projects that were looked at, in the order in which they were."""
        monkeypatch.setattr(ownwheels, "SETTLED", 0)
        looked_at: list[str] = []
        closure = repack.closure

        def seen(name: str) -> tuple[importlib.metadata.Distribution, ...]:
            looked_at.append(name)
            return closure(name)

        monkeypatch.setattr(repack, "closure", seen)
        return looked_at

    def test_they_are_taken_again_until_something_changes(self, tmp_path: Path, made: list[str]) -> None:
        code, kept = tmp_path / "code", tmp_path / "kept"
        (code / "__pycache__").mkdir(parents=True)
        (code / "one.py").write_text("1\n")
        first = ownwheels.own_wheels("idna", kept, source={"kgen": code})
        (only,) = first
        assert isinstance(only.content, Path)
        content = only.content.read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (only.sha256, only.size)
        (code / "__pycache__/one.pyc").touch()  # which is not code
        assert ownwheels.own_wheels("idna", kept, source={"kgen": code}) == first
        assert made == ["idna"]
        (code / "one.py").write_text("2\n")
        assert ownwheels.own_wheels("idna", kept, source={"kgen": code}) == first
        assert made == ["idna"] * 2
        only.content.unlink()
        assert ownwheels.own_wheels("idna", kept, source={"kgen": code}) == first
        assert only.content.read_bytes() == content
        assert made == ["idna"] * 3

    def test_a_package_that_was_installed_beside_them(
        self, tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "site"
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))
        first = ownwheels.own_wheels("idna", tmp_path / "kept", source={})
        (folder / "idna-999.dist-info").mkdir()
        (folder / "idna-999.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: idna\nVersion: 999\n")
        (folder / "idna-999.dist-info/RECORD").write_text("idna-999.dist-info/METADATA,,\n")
        (second,) = ownwheels.own_wheels("idna", tmp_path / "kept", source={})
        assert second.filename == "idna-999-py3-none-any.whl"
        assert second not in first
        assert made == ["idna"] * 2

    def test_a_change_of_just_now_is_not_relied_on(
        self, tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ownwheels, "SETTLED", verified_files.SETTLED)
        (tmp_path / "code").mkdir()
        (tmp_path / "code/one.py").touch()
        for _ in range(2):
            ownwheels.own_wheels("idna", tmp_path / "kept", source={"kgen": tmp_path / "code"})
        assert made == ["idna"] * 2

    def test_one_that_was_damaged_is_made_anew_when_all_is_looked_at_again(
        self, tmp_path: Path, made: list[str]
    ) -> None:
        (first,) = ownwheels.own_wheels("idna", tmp_path / "kept", source={})
        assert isinstance(first.content, Path)
        whole = first.content.read_bytes()
        inode = first.content.stat().st_ino
        ownwheels.own_wheels("idna", tmp_path / "kept", source={}, again=True)
        assert first.content.stat().st_ino == inode  # it is what it was
        first.content.write_bytes(whole.replace(b"idna", b"odna"))
        (second,) = ownwheels.own_wheels("idna", tmp_path / "kept", source={}, again=True)
        assert second == first
        assert first.content.read_bytes() == whole
        assert made == ["idna"] * 3
