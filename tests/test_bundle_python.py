"""`kgen bundle --with-python`: interpreters for machines that have none of the right minor."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.bundles import members, pack, without_network
from tests.command import CUTOFF, UV, Kgen
from tests.index import Index
from tests.standalone import installed_by_uv, make

from kgen.errors import UsageError
from kgen.formats import vendor
from kgen.formats.wheels import standalone
from kgen.formats.wheels.standalone import Standalone

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
LOCK = ("lock", "--python", OWN, "--platform", "linux-64", "--exclude-newer", CUTOFF)
"""The interpreter that is moved is that of the tests, whichever that is."""


@pytest.fixture(scope="session", name="bundled_once")
def _bundled_once(tmp_path_factory: pytest.TempPathFactory, healthy: Index) -> Path:
    """A bundle with an interpreter, which uv had installed and which is no longer where it was."""
    folder = tmp_path_factory.mktemp("bundled") / "project"
    folder.mkdir()
    kgen = Kgen(folder=folder, temporary=folder.parent).at(healthy.url)
    assert kgen(*LOCK, "numpy").status == 0
    interpreters = folder.parent / "interpreters"
    installed_by_uv(interpreters)
    # that which runs the tests cannot be moved: uv's own is taken although the other is found first
    done = kgen("bundle", "numpy", "--with-python", "-o", "project.tar", UV_PYTHON_INSTALL_DIR=str(interpreters))
    assert done.status == 0, done.stderr
    assert f" files, CPython {sys.version.partition(' ')[0]}, " in done.stderr
    interpreters.rename(interpreters.with_name("elsewhere"))
    return folder / "project.tar"


def python_of(bundle: Path) -> tuple[str, bytes]:
    return next((name, content) for name, content in members(bundle).items() if name.startswith("pythons/"))


class TestThereAndBack:
    def test_an_environment_where_no_python_of_the_minor_is(
        self, kgen: Kgen, bundled_once: Path, tmp_path: Path
    ) -> None:
        there, cache = tmp_path / "there", tmp_path / "cache"
        there.mkdir()
        # uv sees none but its own, of which there is none, and neither is pyenv there
        apart = {
            "UV_PYTHON_PREFERENCE": "only-managed",
            "UV_PYTHON_INSTALL_DIR": str(tmp_path / "none"),
            "PYENV_ROOT": str(tmp_path / "none"),
            "PATH": os.defpath,
        }
        came = without_network(kgen, "unbundle", str(bundled_once), "--json", folder=there, cache=cache, **apart)
        assert came.status == 0, came.stderr
        assert json.loads(came.stdout)["pythons"] == [OWN]
        doctor = without_network(kgen, "doctor", folder=there, cache=cache, **apart)
        assert "there is no CPython" not in doctor.stdout + doctor.stderr
        made = without_network(kgen, "sync", "numpy", folder=there, cache=cache, **apart)
        assert made.status == 0, made.stderr
        moved = there / vendor.PYTHONS / OWN
        script = "import sys, keras; print(keras.__name__, sys.base_prefix)"
        words = ("run", "--no-sync", "numpy", "--", "python", "-c", script)
        ran = without_network(kgen, *words, folder=there, cache=cache, **apart)
        assert ran.stdout.split() == ["keras", str(moved).replace(str(tmp_path), "[TEMP]")], ran.stderr
        assert (moved.parent / ".gitignore").read_text().endswith("*\n")
        before = (moved / "bin").stat().st_ino
        again = without_network(kgen, "unbundle", str(bundled_once), folder=there, cache=cache, **apart)
        assert again.status == 0
        assert (moved / "bin").stat().st_ino == before
        # without what the bundle brought, there is no interpreter
        (moved / vendor.MARK).unlink()
        shutil.rmtree(there / ".kgen/envs")
        failed = without_network(kgen, "sync", "numpy", folder=there, cache=cache, **apart)
        assert failed.status == 4
        assert f"is locked for CPython {OWN}, and uv finds none" in failed.stderr

    def test_the_same_interpreter_gives_the_same_bytes(self, bundled_once: Path, tmp_path: Path) -> None:
        prefix = bundled_once.parents[1] / "elsewhere"
        one = Standalone(OWN, "x", next(prefix.glob("cpython-*")))
        standalone.pack(one, tmp_path / "again.tar")
        assert python_of(bundled_once)[1] == (tmp_path / "again.tar").read_bytes()


class TestRefusals:
    def test_one_that_is_tied_to_its_place(self, kgen: Kgen) -> None:
        """The interpreter of the tests is compiled for its place, or the system's."""
        assert kgen(*LOCK, "numpy").status == 0
        done = kgen("bundle", "numpy", "--with-python", "-o", "b.tar")
        assert done.status == 2
        lines = done.stderr.splitlines()
        assert lines[0].startswith(f"error: the bundle needs a CPython {OWN} that runs on other machines, and ")
        assert " cannot be moved: " in lines[0]
        assert lines[1:] == ["", f"hint: {UV} python install {OWN}"]
        assert not (kgen.folder / "b.tar").exists()

    def test_another_platform(self, kgen: Kgen, project: Path) -> None:
        assert kgen(*LOCK, "numpy").status == 0
        here = project / "locks/numpy-cpu/pylock.linux-64.toml"
        here.with_name("pylock.linux-aarch64.toml").write_text(here.read_text().replace("linux-64", "linux-aarch64"))
        done = kgen("bundle", "--platform", "linux-aarch64", "--with-python", "-o", "arm.tar")
        assert done.status == 2
        assert "an interpreter for linux-aarch64 cannot be had from this machine, which is linux-64" in done.stderr

    def test_a_library_of_the_system(self, tmp_path: Path) -> None:
        prefix = make(tmp_path / "python")
        assert standalone.ties(prefix, OWN) is None
        (prefix / "lib/libz.so").write_bytes(Path("/bin/sh").resolve().read_bytes().replace(b"libc.so.6", b"libx.so.6"))
        assert standalone.ties(prefix, OWN) == "its lib/libz.so needs libx.so.6, which is outside of it"

    def test_a_link_out_of_it(self, tmp_path: Path) -> None:
        prefix = make(tmp_path / "python")
        (prefix / "lib/elsewhere").symlink_to(tmp_path)
        with pytest.raises(UsageError, match="lib/elsewhere leads to"):
            standalone.pack(Standalone(OWN, "x", prefix), tmp_path / "x.tar")

    def test_one_that_finds_its_library_elsewhere(self, tmp_path: Path) -> None:
        prefix = make(tmp_path / "python")
        program = prefix / f"bin/python{OWN}"
        program.rename(prefix / "bin/real")
        program.write_text(f'#!/bin/sh\nexec {prefix / "bin/real"} "$@"\n')
        program.chmod(0o755)
        one = Standalone(OWN, "x", prefix)
        # a script is left out, and with it the program
        standalone.pack(one, tmp_path / "x.tar")
        with pytest.raises(UsageError, match="in another place it does not run"):
            standalone.require_moves(one, tmp_path / "x.tar")


class TestDamage:
    def bundle(self, path: Path, *interpreter: tuple[tarfile.TarInfo, bytes]) -> Path:
        """A bundle of nothing but an interpreter, in which is what is given."""
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as archive:
            for info, content in interpreter:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        sha256 = hashlib.sha256(made.getvalue()).hexdigest()
        name = f"pythons/{sha256}/cpython-{OWN}.0.tar"
        listed = {
            "schema": 1,
            "platform": "linux-64",
            "environments": [],
            "files": [{"path": name, "sha256": sha256, "size": len(made.getvalue())}],
        }
        pack(path, {"kgen-bundle.json": json.dumps(listed).encode(), name: made.getvalue()})
        return path

    @pytest.mark.parametrize(
        "member",
        [
            lambda: (tarfile.TarInfo("../evil"), b"x"),
            lambda: (tarfile.TarInfo("/evil"), b"x"),
            lambda: (tarfile.TarInfo("lib/../../evil"), b"x"),
            lambda: (_link("evil", "/etc"), b""),
            lambda: (_link("evil", ".."), b""),
            lambda: (_link("lib/evil", "../../x"), b""),
            lambda: (_link("lib/evil", "x/../../../y"), b""),
            lambda: (_link("evil", "lib", tarfile.LNKTYPE), b""),
            lambda: (_link("evil", "", tarfile.FIFOTYPE), b""),
        ],
    )
    def test_what_no_interpreter_has(
        self, kgen: Kgen, tmp_path: Path, member: Callable[[], tuple[tarfile.TarInfo, bytes]]
    ) -> None:
        bad = self.bundle(tmp_path / "bad.tar", member())
        done = kgen("unbundle", str(bad), "--into", str(tmp_path / "there"))
        assert done.status == 2, done.stderr
        assert " is not an interpreter of a bundle: " in done.stderr
        assert not list(tmp_path.rglob("*evil*"))
        assert not (tmp_path / "there/locks").exists()

    def test_through_a_link(self, kgen: Kgen, tmp_path: Path) -> None:
        bad = self.bundle(tmp_path / "bad.tar", (_link("link", "lib"), b""), (tarfile.TarInfo("link/evil"), b""))
        done = kgen("unbundle", str(bad), "--into", str(tmp_path / "there"))
        assert (done.status, "leads out of the interpreter" in done.stderr) == (2, True)

    def test_one_that_does_not_run_here(self, kgen: Kgen, tmp_path: Path) -> None:
        info = tarfile.TarInfo(f"bin/python{OWN}")
        info.mode = 0o755
        bad = self.bundle(tmp_path / "bad.tar", (info, b"\x7fELF"))
        done = kgen("unbundle", str(bad), "--into", str(tmp_path / "there"))
        assert done.status == 4
        assert f"the CPython {OWN} of the bundle does not run on this machine" in done.stderr
        assert not (tmp_path / "there" / vendor.PYTHONS / OWN).exists()


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_the_environment_is_that_of_the_tests() -> None:
    """Else `own_interpreter` would say nothing, and the first test would not show what it should."""
    assert not [name for name in os.environ if name.startswith("UV_PYTHON") and name != "UV_PYTHON_DOWNLOADS"]
