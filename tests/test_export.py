"""`kgen export`, and the flake.nix that `kgen lock` writes: who gets one, and what is asked back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen, Result
from tests.index import Index

from kgen import host, lockfiles, settings, storage
from kgen.actions import flake as actions_flake
from kgen.actions.export import FORMATS
from kgen.actions.init import write_settings
from kgen.emitters import requirements
from kgen.emitters.nix import carries, default_environment
from kgen.emitters.quoting import quote_nix
from kgen.errors import OutsideError, SettingsError
from kgen.host import Host
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.settings import Settings


def lay(project: Path, *names: str) -> None:
    """Locks that nobody reads."""
    for name in names:
        folder = project / "locks" / name
        folder.mkdir(parents=True)
        (folder / "pylock.linux-64.toml").write_text("")


class TestExport:
    def test_nix_is_what_lock_writes(self, kgen: Kgen, project: Path) -> None:
        done = kgen(*LOCK, "numpy")
        assert "\nnext: commit locks/ and flake.nix (for `nix develop`); `kgen shell numpy-cpu`" in done.stderr
        text = (project / "flake.nix").read_text()
        assert kgen("export", "nix") == Result(0, text, "")
        assert '      default = "numpy-cpu";\n' in text
        assert "          import ./locks/.nix\n" in text

    @pytest.mark.parametrize(
        ("origin", "flake"),
        [
            (
                {"url": "https://host.example/kgen.git", "vcs_info": {"vcs": "git", "commit_id": "0a" * 20}},
                f"git+https://host.example/kgen.git?rev={'0a' * 20}",
            ),
            (
                {"url": "ssh://git@host.example/kgen", "vcs_info": {"vcs": "git", "commit_id": "b" * 64}},
                f"git+ssh://git@host.example/kgen?rev={'b' * 64}",
            ),
            ({"url": "https://me:pw@host.example/k", "vcs_info": {"vcs": "git", "commit_id": "0a" * 20}}, None),
            ({"url": "https://host.example/k?x=1", "vcs_info": {"vcs": "git", "commit_id": "0a" * 20}}, None),
            ({"url": "https://host.example/k", "vcs_info": {"vcs": "git", "commit_id": "main"}}, None),
            ({"url": "https://host.example/k", "vcs_info": {"vcs": "hg", "commit_id": "0a" * 20}}, None),
            ({"url": "file:///home/me/kgen", "dir_info": {"editable": True}}, None),
            ({"url": 1, "vcs_info": {"vcs": "git"}}, None),
            ([], None),
            (None, None),
        ],
    )
    def test_nix_finds_kgen_where_it_is_from(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: object, flake: str | None
    ) -> None:
        """At the commit that it was installed from; else in the project, and what the settings say comes first."""
        info = tmp_path / "keras_kgen-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: keras-kgen\nVersion: 1\n")
        if origin is not None:
            (info / "direct_url.json").write_text(json.dumps(origin))
        monkeypatch.syspath_prepend(tmp_path)
        text = actions_flake.text(Settings(root=tmp_path), [])
        assert (f'    kgen.url = "{flake}";\n' in text, carries(text)) == (flake is not None, flake is None)
        own = Settings(root=tmp_path, flake="path:../kgen")
        assert '    kgen.url = "path:../kgen";\n' in actions_flake.text(own, [])

    def test_an_environment_is_the_default(self, kgen: Kgen, project: Path) -> None:
        lay(project, "jax-cpu", "torch-cuda12", "torch-cpu")
        assert 'default = "torch-cuda12";' in kgen("export", "nix", "torch-cuda12").stdout
        assert 'default = "jax-cpu";' in kgen("export", "nix", "jax").stdout
        # of several, that of the first backend of the project, which is TensorFlow, JAX, …
        assert 'default = "jax-cpu";' in kgen("export", "nix").stdout

    def test_nothing_locked(self, kgen: Kgen) -> None:
        assert "default" not in kgen("export", "nix").stdout.replace("(the default)", "")
        assert kgen("export", "nix", "jax") == Result(
            2,
            "",
            "error: nothing is locked in [TEMP]/project: there is no locks/ with an environment\n\n"
            "hint: kgen lock jax\n",
        )

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (
                ("nix", "jux"),
                ("there is no locked environment `jux` in [TEMP]/project/locks\n\nhint: did you mean `jax-cpu`?\n"),
            ),
            (
                ("nix", "openvino"),
                (
                    "there is no locked environment `openvino` in [TEMP]/project/locks\n\n"
                    "hint: kgen lock openvino\n"
                    "hint: locked are jax-cpu, torch-cpu, torch-cuda12\n"
                ),
            ),
            (
                ("nix", "torch"),
                (
                    "`torch` is locked more than once: torch-cpu, torch-cuda12\n\n"
                    "hint: kgen export nix torch-cpu\nhint: kgen export nix torch-cuda12\n"
                ),
            ),
            (
                ("requirements",),
                (
                    "which environment? Locked are jax-cpu, torch-cpu, torch-cuda12\n\n"
                    "hint: kgen export requirements jax-cpu\n"
                ),
            ),
            *(
                (
                    (name,),
                    (
                        f"`{name}` is not a format that is exported\n\n"
                        "hint: docs/how-to/testing.md has a noxfile.py and a tox.ini to copy\n"
                    ),
                )
                for name in ("nox", "tox")
            ),
            *(
                ((name,), f"`{name}` is not a format that is exported\n\nhint: {hint}\n")
                for name, hint in (
                    ("modules", "kgen export lmod ENV, or kgen export modulefile ENV"),
                    ("singularity", "kgen export apptainer ENV"),
                )
            ),
            (("nixx",), "unknown format `nixx`\n\nhint: did you mean `nix`?\n"),
            (("zip",), "unknown format `zip`\n\nhint: known are {}\n"),
        ],
    )
    def test_wrong_calls(self, kgen: Kgen, project: Path, words: tuple[str, ...], said: str) -> None:
        lay(project, "jax-cpu", "torch-cuda12", "torch-cpu")
        assert kgen("export", *words) == Result(2, "", f"error: {said.format(', '.join(FORMATS))}")


class TestRequirements:
    def test_pip_takes_exactly_these(self, kgen: Kgen, project: Path, tmp_path: Path, healthy: Index) -> None:
        """With a wrong hash it takes none."""
        assert kgen(*LOCK, "numpy").status == 0
        lock = lockfiles.read(project / "locks/numpy-cpu/pylock.linux-64.toml")
        done = kgen("export", "requirements", "numpy")
        assert done.status == 0
        file = tmp_path / "requirements.txt"
        pip = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "--require-hashes")
        platforms = [word for minor in range(5, 40) for word in ("--platform", f"manylinux_2_{minor}_x86_64")]
        target = ("--python-version", lock.python, "--only-binary", ":all:", *platforms)
        index = ("-i", healthy.url, "-d", str(tmp_path / "got"), "-r", str(file))
        for wrong in (False, True):
            sha256 = lock.files[0].sha256
            file.write_text(done.stdout.replace(sha256, "0" * 64) if wrong else done.stdout)
            came = subprocess.run([*pip, *target, *index], capture_output=True, text=True, check=False)
            assert (came.returncode != 0) == wrong, came.stderr
            if not wrong:
                names = sorted(path.name for path in (tmp_path / "got").iterdir())
                assert names == sorted(one.filename for one in lock.files)

    def test_platforms_have_markers(self) -> None:
        lock = lockfiles.read(Path(__file__).parents[1] / "locks/numpy-cpu/pylock.linux-64.toml")
        lines = requirements.render({"sys_platform == 'linux'": lock, "sys_platform == 'win32'": lock}).splitlines()[2:]
        first = lock.files[0]
        pinned = f"{first.name}=={first.version} ; sys_platform == 'linux' --hash=sha256:{first.sha256}"
        assert (lines[0], len(lines)) == (pinned, 2 * len(lock.files))

    def test_one_must_be_named(self, kgen: Kgen, project: Path) -> None:
        lay(project, "jax-cpu", "torch-cpu")
        assert kgen("export", "requirements").status == 2


class TestFlakeOfLock:
    @pytest.mark.parametrize("how", ["flag", "setting", "dry"])
    def test_not_wanted(self, kgen: Kgen, project: Path, how: str) -> None:
        if how == "setting":
            (project / "kgen.toml").write_text("nix = false\n")
        flags = {"flag": ["--no-nix"], "setting": [], "dry": ["--dry-run"]}[how]
        done = kgen(*LOCK, "numpy", *flags)
        assert (done.status, "flake.nix" in done.stderr) == (0, False)
        assert not (project / "flake.nix").exists()

    def test_the_flag_wins(self, kgen: Kgen, project: Path) -> None:
        (project / "kgen.toml").write_text('nix = false\nflake = "github:a/b"\n')
        kgen(*LOCK, "numpy", "--nix", "--flake", "path:../kgen")
        assert '    kgen.url = "path:../kgen";\n' in (project / "flake.nix").read_text()

    def test_not_without_a_platform_that_nix_has(self, kgen: Kgen, project: Path) -> None:
        lay(project)
        folder = project / "locks" / "jax-cpu"
        folder.mkdir(parents=True)
        (folder / "pylock.win-64.toml").write_text("")
        assert "default" not in kgen("export", "nix").stdout

    def test_a_dangling_link_is_somebodys(self, kgen: Kgen, project: Path) -> None:
        (project / "flake.nix").symlink_to("nowhere")
        assert "flake.nix" not in kgen(*LOCK, "numpy").stderr
        assert (project / "flake.nix").is_symlink()

    def test_the_order_of_the_backends(self) -> None:
        names = ["all-cuda12", "jax-cpu", "jax-cuda12", "numpy-cpu", "torch-cpu"]
        assert default_environment(names, ["torch", "jax"]) == "torch-cpu"
        assert default_environment(names, ["tensorflow", "jax"]) == "jax-cpu"
        assert default_environment(names, []) == "all-cuda12"
        assert default_environment([], ["jax"]) is None


class TestSettings:
    def test_keys(self, tmp_path: Path, matrix: CompatibilityMatrix) -> None:
        assert (Settings(root=tmp_path).nix, Settings(root=tmp_path).flake) == (None, None)
        (tmp_path / "kgen.toml").write_text('nix = false\nflake = "git+ssh://git@host.example/kgen"\n')
        found = settings.read(tmp_path, matrix)
        assert (found.nix, found.flake) == (False, "git+ssh://git@host.example/kgen")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("nix = 1", "nix: should be true or false, is a whole number"),
            ('flake = "kgen"', "flake: `kgen` is not a flake such as flake:kgen or git+ssh://host/kgen"),
            ('flake = "path:a b"', "flake: `path:a b` is not a flake"),
            ('flake = "https://user:secret@x/y"', "holds credentials, which flake.nix would carry on"),
        ],
    )
    def test_wrong(self, tmp_path: Path, matrix: CompatibilityMatrix, text: str, said: str) -> None:
        (tmp_path / "kgen.toml").write_text(f"{text}\n")
        with pytest.raises(SettingsError) as caught:
            settings.read(tmp_path, matrix)
        assert said in caught.value.message

    def test_init_offers_it_where_nix_is(self, tmp_path: Path, matrix: CompatibilityMatrix) -> None:
        _, text = write_settings(tmp_path, Host(platform="linux-64"), matrix, nix=True)
        assert text.endswith(
            "# Whether kgen lock writes a flake.nix for `nix develop`, where there is none.\n"
            "# Nix is installed here.\nnix = true\n"
        )
        assert settings.read(tmp_path, matrix).nix is True

    @pytest.mark.parametrize("there", [True, False])
    def test_init_looks_for_nix(self, kgen: Kgen, tmp_path: Path, *, there: bool) -> None:
        programs = tmp_path / "bin"
        programs.mkdir()
        if there:
            (programs / "nix").write_text("#!/bin/sh\n")
            (programs / "nix").chmod(0o755)
        assert ("nix = true" in kgen("init", "--cpu", PATH=str(programs)).stdout) is there

    def test_has_program(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert not host.has_program("nix")
        (tmp_path / "nix").touch(mode=0o755)
        assert host.has_program("nix")


class TestCreateFile:
    def test_whole_and_once(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        assert storage.create_file(path, b"one")
        assert not storage.create_file(path, b"two")
        assert path.read_bytes() == b"one"
        assert [one.name for one in tmp_path.iterdir()] == ["x"]
        assert path.stat().st_nlink == 1

    def test_somebody_was_faster(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "x"
        path.write_bytes(b"theirs")
        monkeypatch.setattr(os.path, "lexists", lambda _path: False)
        assert not storage.create_file(path, b"ours")
        assert path.read_bytes() == b"theirs"
        assert [one.name for one in tmp_path.iterdir()] == ["x"]

    def test_a_filesystem_without_second_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        assert storage.create_file(tmp_path / "x", b"one")
        assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("x", b"one")]

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OutsideError):
            storage.create_file(tmp_path / "gone" / "x", b"")


def test_a_string_of_nix() -> None:
    assert quote_nix('a"b\\c${d}\n\t\r$') == '"a\\"b\\\\c\\${d}\\n\\t\\r\\$"'
    with pytest.raises(ValueError, match="NUL"):
        quote_nix("\0")
