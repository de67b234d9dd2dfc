"""`kgen lock --conda`: solved on channels that are built here, read back by conda-lock, with channels out of order."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli
import yaml
from hypothesis import given
from hypothesis import strategies as some
from tests.channel import ChannelServer
from tests.command import PYTHON, Kgen, Result, tree
from tests.conda_packages import Channel, tag_of

from kgen.actions.lock import lock as lock_planned
from kgen.actions.lock_options import LockOptions
from kgen.actions.plan import Plan
from kgen.errors import UsageError
from kgen.formats.conda import RECORDS, condafiles, rattlertool, text, uptodate
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
TAG = tag_of(PYTHON)
ASK = ("lock", "--conda", "--python", PYTHON, "--platform", "linux-64")


@pytest.fixture(name="built", scope="session")
def _built(to_lock: Channel) -> Channel:
    """Nothing is installed here, and what is said of the wheels is that of the tests' Python."""
    return to_lock


def lock(project: Path, environment: str) -> dict[str, Any]:
    found = yaml.safe_load((project / "locks" / environment / "conda-lock.yml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def locked(project: Path, environment: str, manager: str = "conda") -> dict[str, str]:
    rows = lock(project, environment)["package"]
    return {row["name"]: row["version"] for row in rows if row["manager"] == manager}


def build_of(project: Path, environment: str, name: str) -> str:
    (found,) = [row["build"] for row in lock(project, environment)["package"] if row["name"] == name]
    assert isinstance(found, str)
    return found


def files(project: Path, environment: str) -> set[str]:
    return {path.name for path in (project / "locks" / environment).iterdir() if path.is_file()}


def good(result: Result) -> Result:
    assert result.status == 0, result.stderr
    return result


class TestLocks:
    def test_cuda(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        result = good(conda(*ASK, "jax", "--cuda", "12", "--channel", served.url))
        assert "jax-cuda12 (conda)" in result.stdout
        found = locked(project, "jax-cuda12")
        assert (found["keras"], found["jax"], found["cuda-version"]) == ("3.15.0", "0.9.2", "12.9")
        assert found["libcudnn"] == "9.13.1.26"
        assert build_of(project, "jax-cuda12", "jaxlib").startswith("cuda129_")
        assert files(project, "jax-cuda12") == {
            "pylock.linux-64.toml",
            "conda-lock.yml",
            "conda-records.json",
            "environment.yml",
            "virtual-packages.yml",
        }

    def test_several_backends_on_one_cudnn(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        good(conda(*ASK, "jax", "torch", "--together", "two", "--cuda", "12", "--channel", served.url))
        assert build_of(project, "two-cuda12", "jaxlib").startswith("cuda129_")
        assert build_of(project, "two-cuda12", "pytorch").startswith("cuda129_")

    def test_the_cpu_gets_no_cuda(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        good(conda(*ASK, "jax", "--cpu", "--channel", served.url))
        assert "cuda-version" not in locked(project, "jax-cpu")
        assert build_of(project, "jax-cpu", "jaxlib").startswith("cpu_")

    def test_the_same_again(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        words = (*ASK, "jax", "--cuda", "12", "--channel", served.url)
        good(conda(*words))
        first = {name: (project / "locks/jax-cuda12" / name).read_bytes() for name in files(project, "jax-cuda12")}
        again = good(conda(*words, cwd=project))
        assert "unchanged" in again.stdout
        assert {name: (project / "locks/jax-cuda12" / name).read_bytes() for name in first} == first

    def test_from_the_settings(self, conda: Kgen, project: Path, built: Channel) -> None:
        (project / "kgen.toml").write_text(
            f'backends = ["torch"]\ncuda = "12"\npython = "{PYTHON}"\nplatforms = ["linux-64"]\n'
            f'installers = ["uv", "conda"]\nchannels = ["{built.folder.as_uri()}"]\n'
        )
        good(conda("lock"))
        assert locked(project, "torch-cuda12")["pytorch"] == "2.12.0"
        # a run without the flag leaves what it was not asked for
        (project / "kgen.toml").write_text(
            f'backends = ["torch"]\ncuda = "12"\npython = "{PYTHON}"\nplatforms = ["linux-64"]\n'
        )
        good(conda("lock"))
        assert "conda-lock.yml" in files(project, "torch-cuda12")

    def test_base(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        (project / "kgen.toml").write_text('conda = "base"\n')
        good(conda(*ASK, "torch", "--cuda", "12", "--channel", served.url))
        ours, wheels = locked(project, "torch-cuda12"), locked(project, "torch-cuda12", "pip")
        assert {"python", "pip"} <= ours.keys()
        assert "pytorch" not in ours
        assert {"torch", "keras", "nvidia-cudnn-cu12"} <= wheels.keys()
        assert not ours.keys() & wheels.keys()

    def test_dry(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        result = good(conda(*ASK, "jax", "--cpu", "--channel", served.url, "--dry-run"))
        assert "jax-cpu (conda)" in result.stdout
        assert not (project / "locks").exists()

    def test_data(self, conda: Kgen, served: ChannelServer) -> None:
        result = good(conda(*ASK, "jax", "--cpu", "--channel", served.url, "--json"))
        wheels, row = json.loads(result.stdout)["environments"]
        assert (wheels["format"], row["format"]) == ("uv", "conda")
        assert (row["environment"], row["locked"]["jaxlib"]) == ("jax-cpu", "0.9.2")
        assert row["frameworks"]["keras"] == row["locked"]["keras"] == "3.15.0"
        assert list(row) == list(wheels), "one shape, whatever the form"

    def test_base_as_data(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        (project / "kgen.toml").write_text('conda = "base"\n')
        result = good(conda(*ASK, "numpy", "--cpu", "--channel", served.url, "--json"))
        wheels, row = json.loads(result.stdout)["environments"]
        assert {"python", "keras"} <= row["locked"].keys()
        assert row["locked"]["keras"] == wheels["locked"]["keras"]

    def test_it_is_offered_where_conda_is(self, kgen: Kgen, tmp_path: Path) -> None:
        programs = tmp_path / "programs"
        programs.mkdir()
        (programs / "micromamba").write_text("#!/bin/sh\n")
        (programs / "micromamba").chmod(0o755)
        result = good(kgen("init", PATH=f"{programs}:{kgen.environment['PATH']}"))
        assert result.stderr.endswith(
            "micromamba is on this machine: `kgen lock --conda` makes conda-lock.yml too, and"
            ' `installers = ["uv", "conda"]` in the settings has it made every time\n'
        )

    def test_other_platforms_stay(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        """What was locked for another platform stays when one is locked alone, and goes with the settings."""
        words = (*ASK, "jax", "--cpu", "--channel", served.url)
        good(conda(*words))
        path = project / "locks/jax-cpu" / RECORDS
        found = condafiles.read(path)
        both = {**found.platforms, "linux-aarch64": found.platforms["linux-64"]}
        path.write_text(condafiles.text(found._replace(platforms=both)), encoding="utf-8")
        good(conda(*words))
        assert lock(project, "jax-cpu")["metadata"]["platforms"] == ["linux-64", "linux-aarch64"]
        assert {row["platform"] for row in lock(project, "jax-cpu")["package"]} == {"linux-64", "linux-aarch64"}
        (project / "kgen.toml").write_text('platforms = ["linux-64"]\n')
        good(conda(*(word for word in words if word not in {"--platform", "linux-64"})))
        assert lock(project, "jax-cpu")["metadata"]["platforms"] == ["linux-64"]

    def test_a_channel_needs_conda(self, kgen: Kgen) -> None:
        assert kgen("lock", "jax", "--channel", "conda-forge") == Result(
            2, "", "error: `--channel` is for conda\n\nhint: give `--conda` with it\n"
        )

    def test_a_framework_that_comes_along_for_the_cpu(
        self, conda: Kgen, project: Path, built: Channel, tmp_path: Path
    ) -> None:
        channel = Channel(folder=tmp_path / "more", records={name: dict(rows) for name, rows in built.records.items()})
        channel.add("pytorch", "9.9.0", f"cpu_{TAG}_0", depends=["python"])
        channel.add("vision", "1.0", f"{TAG}_0", depends=["python", "pytorch 9.9.*"])
        channel.index()
        names = '[conda-names]\nscipy = "vision"\n'
        (project / "kgen.toml").write_text(f'dependencies = ["scipy"]\n{names}', encoding="utf-8")
        said = good(conda(*ASK, "jax", "--cuda", "12", "--channel", channel.folder.as_uri())).stderr
        brought = f"pytorch 9.9.0, which other packages bring along, is build cpu_{TAG}_0, not one for CUDA 12"
        assert f"note: jax-cuda12: {brought}\n" in said
        assert "bring along" not in good(conda(*ASK, "jax", "--cpu", "--channel", channel.folder.as_uri())).stderr

    def test_a_hint_about_the_wheels_asks_for_conda_too(self, conda: Kgen, served: ChannelServer) -> None:
        """Without `--conda` a channel would be refused, and the lock for conda would be left out."""
        refused = conda(*ASK, "jax", "--cuda", "12", "--channel", served.url, "--require", "keras>=99")
        (hint, *_) = re.findall(r"^hint: (kgen lock .*?)   #", refused.stderr, re.MULTILINE)
        assert hint.endswith(" --channel http://[INDEX] --conda")
        words = [word.replace("http://[INDEX]", served.url) for word in shlex.split(hint)[1:]]
        # it was solved for the wheels; this channel has none of that version
        again = conda(*words)
        assert again.status == 3
        assert re.search(r"^jax-cuda12 .* written$", again.stdout, re.MULTILINE)
        assert "error: jax-cuda12: http://[INDEX] has no packages for this" in again.stderr

    def test_a_name_that_is_another_for_conda(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        (project / "kgen.toml").write_text(
            'dependencies = ["scipy"]\n[conda-names]\nscipy = "nothing-there"\n', encoding="utf-8"
        )
        result = conda(*ASK, "jax", "--cpu", "--channel", served.url)
        assert result.status == 3
        assert "  you asked for nothing-there, which is scipy of the Python index (dependencies)\n" in result.stderr


class TestUpgrades:
    """A new lock keeps what still fits, as with wheels; `--upgrade-package` moves what it names, `--upgrade` all."""

    @pytest.fixture(name="grown")
    @staticmethod
    def _grown(conda: Kgen, project: Path, built: Channel, tmp_path: Path) -> tuple[Kgen, tuple[str, ...]]:
        """A lock, and after it newer builds of much."""
        channel = built.copy(tmp_path / "grown")
        words = (*ASK, "torch", "--cuda", "12", "--channel", channel.folder.as_uri())
        good(conda(*words))
        assert locked(project, "torch-cuda12")["pytorch"] == "2.12.0"
        abi = f"cp{PYTHON.replace('.', '')}"
        site = f"lib/python{PYTHON}/site-packages"
        channel.add("keras", "3.16.0", subdir="noarch", depends=["python >=3.9"], constrains=["pytorch >=2.6.0"])
        channel.add("numpy", "2.4.0", f"{TAG}_0", depends=["python", f"python_abi {PYTHON}.* *_{abi}"])
        # the newest needs a newer cuDNN, which is to move with it
        channel.add("libcudnn", "9.13.2.1", "h0_0", depends=["cuda-version >=12,<13.0a0"])
        needs = ["python", "numpy", "__cuda", "cuda-version >=12.9,<13", "libcudnn >=9.13.2,<10.0a0"]
        files = {f"{site}/torch/__init__.py": b""}
        channel.add("pytorch", "2.13.0", f"cuda129_{TAG}_200", depends=needs, files=files)
        channel.index()
        return conda, words

    def test_all(self, grown: tuple[Kgen, tuple[str, ...]], project: Path) -> None:
        kgen, words = grown
        good(kgen(*words, "--upgrade"))
        found = locked(project, "torch-cuda12")
        assert [found[name] for name in ("pytorch", "keras", "numpy")] == ["2.13.0", "3.16.0", "2.4.0"]

    def test_none(self, grown: tuple[Kgen, tuple[str, ...]], project: Path) -> None:
        kgen, words = grown
        before = tree(project / "locks")
        again = good(kgen(*words))
        assert tree(project / "locks") == before
        assert "unchanged" in again.stdout
        result = good(kgen(*words, "--keras", ">3.15.0"))
        assert locked(project, "torch-cuda12")["pytorch"] == "2.12.0"
        assert locked(project, "torch-cuda12")["keras"] == "3.16.0"
        assert "moved as well" not in result.stderr

    def test_a_damaged_lock_is_written_again(self, grown: tuple[Kgen, tuple[str, ...]], project: Path) -> None:
        kgen, words = grown
        path = project / "locks/torch-cuda12/conda-records.json"
        path.write_text("<<<<<<< HEAD\n" + path.read_text())
        assert kgen("sync", "torch-cuda12-conda").stderr.endswith("hint: `kgen lock --conda` writes it again\n")
        good(kgen(*words))
        assert condafiles.read(path).platforms

    def test_what_the_channel_has_no_longer(
        self, grown: tuple[Kgen, tuple[str, ...]], project: Path, tmp_path: Path
    ) -> None:
        kgen, words = grown
        path = tmp_path / "grown/linux-64/repodata.json"
        text = path.read_text()
        assert "numpy-2.3.0-" in text
        data = json.loads(text)
        rows = data["packages.conda"]
        data["packages.conda"] = {name: row for name, row in rows.items() if not name.startswith("numpy-2.3.0-")}
        path.write_text(json.dumps(data))
        good(kgen(*words))
        found = locked(project, "torch-cuda12")
        assert (found["numpy"], found["pytorch"], found["keras"]) == ("2.4.0", "2.12.0", "3.15.0")

    def test_what_is_newer_than_the_cut_off(
        self, grown: tuple[Kgen, tuple[str, ...]], project: Path, tmp_path: Path
    ) -> None:
        """What is locked does not get past a cut-off that has come since."""
        kgen, words = grown
        path = tmp_path / "grown/noarch/repodata.json"
        data = json.loads(path.read_text())
        for name, row in data["packages.conda"].items():
            if name.startswith("keras-3.16"):
                row["timestamp"] = 1_795_100_000_000
        path.write_text(json.dumps(data))
        good(kgen(*words, "--upgrade"))
        assert locked(project, "torch-cuda12")["keras"] == "3.16.0"
        good(kgen(*words, "--exclude-newer", "2026-11-15"))
        assert locked(project, "torch-cuda12")["keras"] == "3.15.0"

    def test_one(self, grown: tuple[Kgen, tuple[str, ...]], project: Path) -> None:
        kgen, words = grown
        before = locked(project, "torch-cuda12")
        result = good(kgen(*words, "--upgrade-package", "keras"))
        assert locked(project, "torch-cuda12") == {**before, "keras": "3.16.0"}
        assert "moved as well" not in result.stderr

    def test_what_it_needs_moves_with_it(self, grown: tuple[Kgen, tuple[str, ...]], project: Path) -> None:
        """A project goes by its own name as well as by conda's."""
        kgen, words = grown
        before = locked(project, "torch-cuda12")
        result = good(kgen(*words, "--upgrade-package", "torch"))
        assert locked(project, "torch-cuda12") == {**before, "pytorch": "2.13.0", "libcudnn": "9.13.2.1"}
        assert (
            "note: torch-cuda12: moved as well, as what is upgraded needs it: libcudnn 9.13.1.26 -> 9.13.2.1\n"
            in result.stderr
        )

    def test_what_only_conda_has(self, grown: tuple[Kgen, tuple[str, ...]], project: Path) -> None:
        kgen, words = grown
        wheels = (project / "locks/torch-cuda12/pylock.linux-64.toml").read_bytes()
        before = locked(project, "torch-cuda12")
        good(kgen(*words, "--upgrade-package", "libcudnn"))
        assert locked(project, "torch-cuda12") == {**before, "libcudnn": "9.13.2.1"}
        assert (project / "locks/torch-cuda12/pylock.linux-64.toml").read_bytes() == wheels
        wrong = kgen(*words, "--upgrade-package", "libcudnx")
        assert wrong.status == 2
        assert "holds no such package" in wrong.stderr

    def test_the_sources_are_as_without_it(self, grown: tuple[Kgen, tuple[str, ...]], project: Path) -> None:
        """What is kept is not asked for: the lock says the same request, and conda-lock sees the same input."""
        kgen, words = grown
        before = lock(project, "torch-cuda12")["metadata"]
        source = (project / "locks/torch-cuda12/environment.yml").read_bytes()
        good(kgen(*words, "--upgrade-package", "keras"))
        assert lock(project, "torch-cuda12")["metadata"] == before
        assert (project / "locks/torch-cuda12/environment.yml").read_bytes() == source

    def test_a_lock_for_something_else_holds_nothing(
        self, grown: tuple[Kgen, tuple[str, ...]], project: Path, built: Channel
    ) -> None:
        kgen, words = grown
        other = (*words[:-1], built.folder.as_uri())
        good(kgen(*other, "--upgrade-package", "keras"))
        rows = {row["name"]: row["url"] for row in lock(project, "torch-cuda12")["package"]}
        assert all(url.startswith(built.folder.as_uri()) for url in rows.values())

    @pytest.mark.parametrize("file", ["conda-lock.yml", "pixi.lock"])
    def test_from_the_lock_of_another_tool(
        self, grown: tuple[Kgen, tuple[str, ...]], project: Path, tmp_path: Path, file: str
    ) -> None:
        """Its builds are kept where the channel has them and they fit, and what could not be is named."""
        kgen, words = grown
        before = locked(project, "torch-cuda12")
        text = (project / "locks/torch-cuda12/conda-lock.yml").read_text()
        if file == "pixi.lock":
            text = subprocess.run(
                kgen.words("export", "rattler-lock", "torch-cuda12-conda"),
                cwd=project, env=kgen.env(), capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
        # as another tool has it, of another place
        (tmp_path / file).write_text(text.replace((tmp_path / "grown").as_uri(), "https://other.example/channel"))
        shutil.rmtree(project / "locks")
        said = good(kgen(*words, "--from", str(tmp_path / file))).stderr
        assert locked(project, "torch-cuda12") == before
        assert f"note: torch-cuda12: {len(before)} packages of conda of {file}\n" in said
        shutil.rmtree(project / "locks")
        said = good(kgen(*words, "--keras", ">3.15.0", "--from", str(tmp_path / file))).stderr
        assert locked(project, "torch-cuda12") == {**before, "keras": "3.16.0"}
        kept = f"{len(before) - 1} packages of conda of {file}; otherwise: keras 3.16.0 0 (it has 3.15.0 0)"
        assert f"note: torch-cuda12: {kept}\n" in said
        # kgen's own lock has the say
        good(kgen(*words, "--upgrade"))
        after = locked(project, "torch-cuda12")
        good(kgen(*words, "--from", str(tmp_path / file)))
        assert locked(project, "torch-cuda12") == after

    def test_versions_of_a_lock_of_wheels(self, conda: Kgen, project: Path, built: Channel, tmp_path: Path) -> None:
        """As many as fit are taken where a package for Python is the project; what comes in otherwise is named."""
        channel = built.copy(tmp_path / "older")
        abi = f"python_abi {PYTHON}.* *_cp{PYTHON.replace('.', '')}"
        channel.add("numpy", "2.2.0", f"{TAG}_0", depends=["python", abi])
        # this one contradicts the NumPy of the lock
        channel.add("scipy", "1.17.0", f"{TAG}_0", depends=["python", "numpy >=2.3", abi])
        channel.index()
        (project / "kgen.toml").write_text('dependencies = ["scipy"]\n', encoding="utf-8")
        versions = {"numpy": "2.2.0", "scipy": "1.17.0", "keras": "3.15.0", "torch": "1.0+cu1", "unknown": "1"}
        (tmp_path / "requirements.txt").write_text("".join(f"{name}=={one}\n" for name, one in versions.items()))
        words = (*ASK, "numpy", "--cpu", "--channel", channel.folder.as_uri())
        said = good(conda(*words, "--from", str(tmp_path / "requirements.txt"))).stderr
        found = locked(project, "numpy-cpu")
        assert [found[name] for name in ("numpy", "scipy", "keras")] == ["2.2.0", "1.18.0", "3.15.0"]
        kept = "2 versions of requirements.txt for conda; otherwise: scipy 1.18.0 (it has 1.17.0)"
        assert f"note: numpy-cpu: {kept}\n" in said


class TestStanding:
    """What is locked as it is asked for is taken as it is, as with wheels; each of these has it solved again."""

    @pytest.fixture(name="words")
    @staticmethod
    def _words(conda: Kgen, served: ChannelServer) -> tuple[str, ...]:
        words = (*ASK, "jax", "--cuda", "12", "--channel", served.url)
        good(conda(*words))
        served.asked.clear()
        return words

    def test_nothing_is_asked(
        self, conda: Kgen, project: Path, served: ChannelServer, words: tuple[str, ...], tmp_path: Path
    ) -> None:
        before = {path: path.stat().st_mtime_ns for path in (project / "locks").rglob("*")}
        served.misbehave("500")
        (tmp_path / "rattler.py").write_text("raise SystemExit('rattler was imported')\n")
        again = good(conda(*words, PYTHONPATH=str(tmp_path)))
        assert [line.split()[-1] for line in again.stdout.splitlines()[1:]] == ["unchanged"] * 2
        assert served.asked == []
        assert {path: path.stat().st_mtime_ns for path in (project / "locks").rglob("*")} == before
        # the check would find what happened: it is imported when it is solved
        assert "rattler was imported" in conda(*words, "--upgrade", PYTHONPATH=str(tmp_path)).stderr

    @pytest.mark.parametrize("base", [False, True], ids=["full", "base"])
    def test_the_table_and_the_notes_are_those_of_the_first_time(
        self, conda: Kgen, project: Path, served: ChannelServer, *, base: bool
    ) -> None:
        def said(result: Result) -> list[str]:
            rows = [line.partition(" s ")[0].rpartition("  ")[0] for line in result.stdout.splitlines()]
            return [*rows, *(line for line in result.stderr.splitlines() if line.startswith("note:"))]

        (project / "kgen.toml").write_text(f'conda = "{"base" if base else "full"}"\n')
        words = (*ASK, "jax", "--cuda", "12", "--driver", "535.183", "--channel", served.url)
        first = said(good(conda(*words)))
        served.asked.clear()
        assert said(good(conda(*words))) == first
        assert served.asked == []
        assert base or any("newer than driver 535.183" in line for line in first)

    @pytest.mark.parametrize(
        "more",
        [("--keras", ">=3.10"), ("--conda-name", "six=python-six")],
        ids=lambda words: words[0],
    )
    def test_another_request(
        self, conda: Kgen, served: ChannelServer, words: tuple[str, ...], more: tuple[str, ...]
    ) -> None:
        conda(*words, *more)
        assert served.asked

    def test_another_channel(self, conda: Kgen, project: Path, built: Channel, words: tuple[str, ...]) -> None:
        good(conda(*words[:-1], built.folder.as_uri()))
        assert built.folder.as_uri() in (project / "locks/jax-cuda12/conda-lock.yml").read_text()

    def test_another_mode(self, conda: Kgen, project: Path, words: tuple[str, ...]) -> None:
        (project / "kgen.toml").write_text('conda = "base"\n')
        good(conda(*words))
        assert "jax" in locked(project, "jax-cuda12", "pip")

    def test_a_file(self, conda: Kgen, project: Path, words: tuple[str, ...]) -> None:
        for name, gone in (
            (RECORDS, False),
            ("conda-lock.yml", False),
            ("environment.yml", True),
            ("virtual-packages.yml", True),
        ):
            path = project / "locks/jax-cuda12" / name
            sound = path.read_bytes()
            if gone:
                path.unlink()
            else:
                path.write_bytes(sound.replace(b"\n", b" \n", 1))
            good(conda(*words))
            assert path.read_bytes() == sound, name

    def test_the_names_that_conda_has(
        self, conda: Kgen, served: ChannelServer, words: tuple[str, ...], tmp_path: Path
    ) -> None:
        """They are no part of the matrix's revision, and shape what is asked of a channel all the same."""
        matrix = Path(shutil.copytree(conda.environment["KGEN_MATRIX_DIR"], tmp_path / "other-matrix"))
        moved = str(matrix)
        good(conda(*words, KGEN_MATRIX_DIR=moved))
        assert served.asked == []
        listed = (ROOT / "matrix/conda-names.toml").read_text()
        (matrix / "conda-names.toml").write_text(listed)
        good(conda(*words, KGEN_MATRIX_DIR=moved))
        assert served.asked

    def test_another_machine(self, conda: Kgen, served: ChannelServer, words: tuple[str, ...], tmp_path: Path) -> None:
        """A conda lock has no seal: who did not make it solves once."""
        elsewhere = str(tmp_path / "elsewhere")
        good(conda(*words, KGEN_CACHE_DIR=elsewhere))
        assert served.asked
        served.asked.clear()
        good(conda(*words, KGEN_CACHE_DIR=elsewhere))
        assert served.asked == []

    def test_one_that_failed(self, conda: Kgen, served: ChannelServer) -> None:
        words = (*ASK, "jax", "--cpu", "--channel", served.url)
        served.misbehave("500")
        assert conda(*words).status == 4
        assert conda(*words).status == 4
        served.fault = None
        assert "jax-cpu (conda)" in good(conda(*words)).stdout

    def test_what_a_lock_was_made_for(
        self, project: Path, matrix: CompatibilityMatrix, words: tuple[str, ...], served: ChannelServer
    ) -> None:
        """One that the settings dropped is to go, unless a flag asks for some of the platforms alone.

        What another kgen made, or with another matrix, is made again.
        """
        assert words
        folder = project / "locks/jax-cuda12"
        file = condafiles.read(folder / RECORDS)
        request = condafiles.request_of(file, "linux-64", file.platforms["linux-64"])
        given = Settings(root=project, platforms=("linux-64",), channels=(served.url,))
        assert uptodate.made_for(folder, request, matrix, given, every=True) is not None
        more = file._replace(platforms={**file.platforms, "osx-arm64": file.platforms["linux-64"]})
        (folder / RECORDS).write_text(condafiles.text(more))
        assert uptodate.made_for(folder, request, matrix, given, every=True) is None
        assert uptodate.made_for(folder, request, matrix, given, every=False) is not None
        for change in ({"kgen": "0.0.1"}, {"matrix": "0" * 16}, {"channels": ("other",)}, {"mode": "base"}):
            (folder / RECORDS).write_text(condafiles.text(file._replace(**change)))
            assert uptodate.made_for(folder, request, matrix, given, every=True) is None, change


class TestRefusedAtOnce:
    def test_without_the_extra(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, matrix: CompatibilityMatrix
    ) -> None:
        monkeypatch.setattr(rattlertool, "available", lambda: False)
        planned = Plan(Settings(root=tmp_path), (), (), written=Settings(root=tmp_path))
        with pytest.raises(UsageError) as caught:
            lock_planned(matrix, planned, LockOptions(dry_run=True, installers=("conda",)))
        assert caught.value.message == "conda locks need py-rattler, which is not installed"
        assert caught.value.hints == ("pip install 'keras-kgen[conda]'",)
        assert lock_planned(matrix, planned, LockOptions(dry_run=True)).outcomes == []

    def test_portable_and_base(self, conda: Kgen, project: Path) -> None:
        (project / "kgen.toml").write_text('conda = "base"\nportable = true\n')
        result = conda(*ASK, "jax", "--cpu")
        assert result.status == 2
        assert 'error: `portable` and `conda = "base"` contradict each other' in result.stderr


_WRITTEN_BY_CONDA_LOCK = """
import json, pathlib, sys
from conda_lock.content_hash import compute_content_hashes
from conda_lock.lockfile import write_conda_lock_file
from conda_lock.lockfile.v2prelim.models import HashModel, LockedDependency, Lockfile, LockMeta
from conda_lock.models.channel import Channel
from conda_lock.src_parser import make_lock_spec
from conda_lock.virtual_package import virtual_package_repo_from_specification
import yaml

here = pathlib.Path()
of = json.loads((here / "conda-records.json").read_text())
spec = make_lock_spec(src_files=[here / "environment.yml"], mapping_url="file:///dev/null")
hashes = compute_content_hashes(spec, virtual_package_repo_from_specification(here / "virtual-packages.yml"))
packages = []
for platform, locked in of["platforms"].items():
    for one in locked["packages"]:
        needs = {}
        for text in sorted(one["depends"]):
            name, _, rest = text.partition(" ")
            assert name not in needs, "the form has room for one"
            needs[name] = rest
        packages.append(LockedDependency(
            name=one["name"], version=one["version"], manager="conda", platform=platform, dependencies=needs,
            url=one["url"], hash=HashModel(md5=one["md5"], sha256=one["sha256"]), build=one["build"],
            categories={"main"},
        ))
    for one in locked["wheels"]:
        packages.append(LockedDependency(
            name=one["name"], version=one["version"], manager="pip", platform=platform, dependencies={},
            url=one["url"], hash=HashModel(sha256=one["sha256"]), categories={"main"},
        ))
custom = yaml.safe_load((here / "conda-lock.yml").read_text())["metadata"]["custom_metadata"]
metadata = LockMeta(
    content_hash=hashes, channels=[Channel(url=url, used_env_vars=[]) for url in of["channels"]],
    platforms=sorted(of["platforms"]), sources=["environment.yml"], custom_metadata=custom,
)
write_conda_lock_file(Lockfile(package=packages, metadata=metadata), pathlib.Path(sys.argv[1]), None, False)
"""


class TestReadByCondaLock:
    """conda-lock's own parser, writer, rendering and hash."""

    @pytest.fixture(name="folder")
    @staticmethod
    def _folder(conda: Kgen, project: Path, served: ChannelServer) -> Path:
        words = (*ASK, "jax", "torch", "--together", "two", "--cuda", "12", "--driver", "580", "--keras", ">=3.10")
        good(conda(*words, "--channel", served.url))
        return project / "locks/two-cuda12"

    def test_parsed_and_written(self, folder: Path, tmp_path: Path) -> None:
        script = """
import pathlib, sys
from conda_lock.lockfile import parse_conda_lock_file, write_conda_lock_file
write_conda_lock_file(parse_conda_lock_file(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]), None, False)
"""
        again = tmp_path / "again.yml"
        done = _python("-c", script, str(folder / "conda-lock.yml"), str(again))
        assert done.returncode == 0, done.stderr
        before = yaml.safe_load((folder / "conda-lock.yml").read_text())
        after = yaml.safe_load(again.read_text())
        assert after == before
        custom = before["metadata"]["custom_metadata"]
        assert custom["kgen-accelerator"] == "cuda12"
        # conda-lockfiles, by which conda itself reads the file, requires it
        assert custom["created_by"] == f"kgen {custom['kgen']}"

    @pytest.mark.parametrize("mode", ["full", "base"])
    def test_it_is_what_conda_lock_would_write(
        self, conda: Kgen, project: Path, served: ChannelServer, tmp_path: Path, mode: str
    ) -> None:
        """Byte for byte: each package through its models, its own hash of the sources, and its own writer."""
        (project / "kgen.toml").write_text(f'conda = "{mode}"\n')
        good(conda(*ASK, "torch", "--cuda", "12", "--driver", "580", "--channel", served.url))
        folder = project / "locks/torch-cuda12"
        done = _python("-c", _WRITTEN_BY_CONDA_LOCK, str(tmp_path / "theirs.yml"), cwd=folder)
        assert done.returncode == 0, done.stderr
        ours = (folder / "conda-lock.yml").read_text()
        content = ours[ours.index("version: 1\n") :]
        assert all(line.startswith("#") for line in ours.removesuffix(content).splitlines())
        assert content == (tmp_path / "theirs.yml").read_text()

    def test_rendered(self, folder: Path, tmp_path: Path, served: ChannelServer) -> None:
        done = _python("-m", "conda_lock", "render", "-k", "explicit", str(folder / "conda-lock.yml"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (rendered,) = tmp_path.glob("conda-linux-64.lock")
        lines = [line for line in rendered.read_text().splitlines() if line.startswith("http")]
        assert len(lines) == len(lock(folder.parent.parent, folder.name)["package"])
        assert all(line.startswith(served.url) and "#" in line for line in lines)

    @given(
        some.recursive(
            some.sampled_from(["", "1.10", "1e3", "yes", "~", "2026-11-29", " a", "a: b", "- c", ">=1,<2", "*"])
            | some.text()
            | some.booleans()
            | some.integers(),
            lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
            max_leaves=20,
        )
    )
    def test_its_text_is_what_pyyaml_writes(self, value: object) -> None:
        data = {"of the lock": value}
        assert text.yaml_text(data) == yaml.dump(data, sort_keys=False, Dumper=yaml.CSafeDumper)

    def test_its_hash_is_conda_locks(self, folder: Path) -> None:
        script = """
import pathlib, sys
from conda_lock.content_hash import compute_content_hashes
from conda_lock.src_parser import make_lock_spec
from conda_lock.virtual_package import virtual_package_repo_from_specification
spec = make_lock_spec(src_files=[pathlib.Path("environment.yml")], mapping_url="file:///dev/null")
print(compute_content_hashes(spec, virtual_package_repo_from_specification(pathlib.Path("virtual-packages.yml"))))
"""
        done = _python("-c", script, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(lock(folder.parent.parent, folder.name)["metadata"]["content_hash"])

    def test_it_takes_it_for_its_own(self, folder: Path, tmp_path: Path) -> None:
        copied = tmp_path / "copied"
        shutil.copytree(folder, copied)
        (copied / "map.json").write_text("{}")
        words = ("lock", "-f", "environment.yml", "--check-input-hash", "--conda", sys.executable)
        mapping = ("--pypi_to_conda_lookup_file", (copied / "map.json").as_uri())
        done = _python("-m", "conda_lock", *words, *mapping, "--lockfile", "conda-lock.yml", cwd=copied)
        assert "Spec hash already locked for ['linux-64']. Skipping solve." in done.stdout + done.stderr
        assert done.returncode == 0


def _python(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], check=False, capture_output=True, text=True, cwd=cwd)


class TestChannelsOutOfOrder:
    """The wheels are locked all the same; the old conda lock stands; the exit status says so."""

    @pytest.mark.parametrize(
        ("fault", "told"),
        [
            ("404", "is not there"),
            ("500", "is out of order"),
            ("401", "refuses to answer"),
            ("html", "is damaged"),
            ("truncated", "is damaged"),
        ],
    )
    def test_told_apart(self, conda: Kgen, project: Path, served: ChannelServer, fault: Any, told: str) -> None:  # noqa: ANN401
        served.misbehave(fault)
        result = conda(*ASK, "jax", "--cpu", "--channel", served.url)
        assert result.status == 4
        assert f"the conda channel http://[INDEX] {told}" in result.stderr
        assert result.stderr.endswith("not locked for conda: jax-cpu; existing locks are unchanged\n")
        assert "jax-cpu" in result.stdout
        assert files(project, "jax-cpu") == {"pylock.linux-64.toml"}

    def test_unreachable(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        good(conda(*ASK, "jax", "--cpu", "--channel", served.url))
        before = (project / "locks/jax-cpu/conda-lock.yml").read_bytes()
        result = conda(*ASK, "jax", "--cpu", "--channel", "http://127.0.0.1:9/nobody")
        assert result.status == 4
        assert "cannot be reached" in result.stderr
        assert (project / "locks/jax-cpu/conda-lock.yml").read_bytes() == before

    def test_a_folder_that_is_not_there(self, conda: Kgen, tmp_path: Path) -> None:
        result = conda(*ASK, "jax", "--cpu", "--channel", (tmp_path / "nothing").as_uri())
        assert result.status == 4
        assert "is not there" in result.stderr

    def test_no_solution(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        result = conda(*ASK, "jax", "--cuda", "13", "--channel", served.url)
        assert result.status == 3
        assert files(project, "jax-cuda13") == {"pylock.linux-64.toml"}
        assert "  jax-cuda13 needs jaxlib * cuda13*\n" in result.stderr
        command = f"kgen lock jax --cuda 12 --python {PYTHON} --platform linux-64 --channel http://[INDEX] --conda"
        assert f"hint: {command}   # gives jax 0.9.2, keras 3.15.0\n" in result.stderr
        data = json.loads(conda(*ASK, "jax", "--cuda", "13", "--channel", served.url, "--json").stdout)
        (row,) = [one for one in data["environments"] if one["format"] == "conda"]
        assert "cuda13" in row["tree"]


class TestRecords:
    def test_are_read_as_they_were_written(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        good(conda(*ASK, "jax", "--cpu", "--channel", served.url))
        path = project / "locks/jax-cpu/conda-records.json"
        found = condafiles.read(path)
        assert condafiles.text(found) == path.read_text(encoding="utf-8")
        assert found.platforms["linux-64"].virtuals["__glibc"] == "2.28"


class TestChecked:
    def test_in_order(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        good(conda(*ASK, "jax", "--cpu", "--channel", served.url))
        result = good(conda("check"))
        wheels = {row["name"]: row["version"] for row in _pylock(project, "jax-cpu")}
        assert result.stdout == (
            "note: jax-cpu: locks/jax-cpu/conda-lock.yml has other versions than the wheels: "
            f"jax 0.9.2 (as a wheel {wheels['jax']}), jaxlib 0.9.2 (as a wheel {wheels['jaxlib']}),"
            f" keras 3.15.0 (as a wheel {wheels['keras']}),"
            " as http://[INDEX] had no newer build that fits when it was locked\n"
        )

    @pytest.mark.parametrize(
        ("settings", "what"),
        [
            ('channels = ["conda-forge"]\n', None),
            ('channels = ["https://conda.example/main"]\n', "`channels` than kgen.toml asks for"),
            ('conda = "base"\n', "`conda` than kgen.toml asks for"),
            ('conda-names = { six = "six" }\n', "`conda-names` than kgen.toml asks for"),
            ('keras = ">=3.10"\n', "request than is asked for now: `keras`"),
            ('dependencies = ["numpy"]\nglibc = "2.34"\n', "request than is asked for now: `glibc`, `dependencies`"),
        ],
    )
    def test_settings_that_ask_for_something_else(
        self, conda: Kgen, project: Path, served: ChannelServer, settings: str, what: str | None
    ) -> None:
        """Those that say nothing of it leave what flags asked for as it is."""
        good(conda(*ASK, "jax", "--cpu", "--channel", served.url))
        head = f'backends = ["jax"]\ncpu = true\npython = "{PYTHON}"\nplatforms = ["linux-64"]\n'
        (project / "kgen.toml").write_text(head + settings)
        lines = [line for line in conda("check").stdout.splitlines() if RECORDS in line]
        found = [line.partition(" was made for another ")[2] for line in lines]
        assert found == ([] if what is None else [what])

    def test_the_order_of_dependencies_is_nothing(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        head = f'backends = ["jax"]\ncpu = true\npython = "{PYTHON}"\nplatforms = ["linux-64"]\n'
        channels = f'channels = ["{served.url}"]\ninstallers = ["uv", "conda"]\n'
        for names in (["scipy", "numpy"], ["numpy", "scipy"]):
            (project / "kgen.toml").write_text(f"{head}{channels}dependencies = {json.dumps(names)}\n")
            good(conda("lock"))
            assert not [line for line in good(conda("check")).stdout.splitlines() if line.startswith("fault")]

    def test_whatever_is_asked_for_besides(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        """The files are the same whether they are made of what was asked or of the records that say it."""
        (project / "kgen.toml").write_text(
            f'backends = ["jax"]\npython = "{PYTHON}"\nplatforms = ["linux-64"]\nchannels = ["{served.url}"]\n'
            'installers = ["uv", "conda"]\ndependencies = ["numpy"]\nglibc = "2.31"\ncpu = true\n'
        )
        good(conda("lock"))
        asked = condafiles.read(project / "locks/jax-cpu/conda-records.json").platforms["linux-64"].request
        assert asked.keys() == {"dependencies", "glibc"}
        assert not [line for line in good(conda("check")).stdout.splitlines() if line.startswith("fault")]

    def test_conda_lock_judges(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        """Its parser and its hash of the sources, whatever kgen thinks of the files."""
        good(conda(*ASK, "jax", "--cpu", "--channel", served.url))
        assert "conda-lock makes of" not in good(conda("check", "--conda-lock")).stdout
        source = project / "locks/jax-cpu/environment.yml"
        text = source.read_text()
        source.write_text(text.replace('"keras >=3', '"keras >=3.1,>=3'))
        assert source.read_text() != text
        result = conda("check", "--conda-lock")
        assert result.status == 1
        assert (
            "fault: jax-cpu: locks/jax-cpu/conda-lock.yml has another content_hash for linux-64 than conda-lock makes"
            " of environment.yml and virtual-packages.yml\n"
        ) in result.stdout
        source.write_text(text)
        lock = project / "locks/jax-cpu/conda-lock.yml"
        lock.write_text(lock.read_text().replace("content_hash:", "content_hush:"))
        said = conda("check", "--conda-lock").stdout
        assert "locks/jax-cpu/conda-lock.yml is refused by conda-lock: " in said

    def test_locked_again_without_conda(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        good(conda(*ASK, "jax", "--cpu", "--channel", served.url, "--keras", ">=3.10"))
        good(conda(*(word for word in ASK if word != "--conda"), "jax", "--cpu"))
        result = conda("check")
        assert result.status == 1
        (line,) = [line for line in result.stdout.splitlines() if RECORDS in line]
        assert line.endswith("was made for another request than is asked for now: `keras`")
        assert "hint: kgen lock --conda" in result.stderr
        assert project.is_dir()

    @pytest.mark.parametrize(
        ("asked", "version", "why"),
        [
            # PyTorch's wheels go on for CUDA 13 alone
            (("torch",), "2.12.0", f"there is no wheel of it for CUDA 12 and Python {PYTHON} on linux-64"),
            (
                ("jax", "--require", "jax<0.8"),
                "0.9.2",
                "the wheels beside it hold it back (`kgen explain jax-cuda12` says which)",
            ),
            (("jax",), "0.99.0", "the matrix knows no wheel of it"),
        ],
    )
    def test_newer_than_the_wheels(
        self, conda: Kgen, served: ChannelServer, asked: tuple[str, ...], version: str, why: str
    ) -> None:
        project, beside = conda.folder, conda.folder.with_name("beside")
        beside.mkdir()
        name = f"{asked[0]}-cuda12"
        good(conda(*ASK[:1], *ASK[2:], *asked, "--cuda", "12"))
        good(conda(*ASK, asked[0], "--cuda", "12", "--channel", served.url, cwd=beside))
        text = (beside / "locks" / name / RECORDS).read_text()
        built = {"torch": "2.12.0", "jax": "0.9.2"}[asked[0]]
        path = project / "locks" / name / RECORDS
        path.write_text(text.replace(f'"{built}"', f'"{version}"'), encoding="utf-8")
        wheels = {row["name"]: row["version"] for row in _pylock(project, name)}
        told = conda("check").stdout
        assert f"{asked[0]} {version} (as a wheel {wheels[asked[0]]})" in told
        assert f", as {why}" in told
        # what is true of JAX is so of its jaxlib
        (said,) = [line for line in told.splitlines() if " has other versions than the wheels: " in line]
        reasons = [part for part in said.partition(" the wheels: ")[2].split("; ") if asked[0] in part]
        assert [part.endswith(f", as {why}") for part in reasons] == [True]

    def test_edited(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        good(conda(*ASK, "jax", "--cpu", "--channel", served.url))
        path = project / "locks/jax-cpu/conda-lock.yml"
        path.write_text(path.read_text().replace("0.9.2", "0.9.3"))
        (project / "locks/jax-cpu/virtual-packages.yml").unlink()
        result = conda("check")
        assert result.status == 1
        assert "fault: jax-cpu: locks/jax-cpu/conda-lock.yml is not what kgen writes" in result.stdout
        assert "fault: jax-cpu: locks/jax-cpu/virtual-packages.yml is missing\n" in result.stdout
        assert result.stderr.endswith("hint: kgen lock --conda\n\njax-cpu: out of order\n") or (
            "hint: kgen lock --conda" in result.stderr
        )


def _pylock(project: Path, environment: str) -> list[dict[str, Any]]:
    text = (project / "locks" / environment / "pylock.linux-64.toml").read_text(encoding="utf-8")
    found = tomli.loads(text)["packages"]
    assert isinstance(found, list)
    return found
