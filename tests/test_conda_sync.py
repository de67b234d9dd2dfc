"""`kgen sync --conda` and the ways into such an environment, with a real CPython as a package of conda."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rattler.shell import ActivationVariables, Shell, activate
from tests.channel import ChannelServer, serving
from tests.command import Kgen, Result
from tests.conda_packages import MINOR, Channel
from tests.index import Index
from tests.wheelhouse import Wheel

ASK = ("lock", "--conda", "--python", MINOR, "--platform", "linux-64", "--cuda", "12")
NAME = "torch-cuda12"


def good(result: Result) -> Result:
    assert result.status == 0, result.stderr
    return result


@pytest.fixture(name="locked")
def _locked(conda: Kgen, served: ChannelServer) -> Kgen:
    good(conda(*ASK, "torch", "--channel", served.url))
    return conda


@pytest.fixture(name="prefix")
def _prefix(project: Path) -> Path:
    return project / ".kgen/envs" / f"{NAME}-conda"


class TestSync:
    def test_made_and_whole(self, locked: Kgen, prefix: Path, served: ChannelServer) -> None:
        result = good(locked("sync", NAME, "--conda"))
        assert result.stdout == f"[TEMP]/project/.kgen/envs/{NAME}-conda\n"
        names = {json.loads(path.read_text())["name"] for path in (prefix / "conda-meta").glob("*.json")}
        assert {"python", "keras", "pytorch", "numpy", "libcudnn", "cuda-version"} <= names
        script = "import sys, keras, torch, ssl, sqlite3; print(sys.prefix, keras.__version__, torch.build[:7])"
        done = subprocess.run([prefix / "bin/python", "-c", script], check=True, capture_output=True, text=True)
        assert done.stdout.split() == [str(prefix), "3.15.0", "cuda129"]
        asked = len(served.asked)
        again = good(locked("sync", NAME, "--conda"))
        assert f"{NAME}-conda: is as locked, nothing to do" in again.stderr
        assert len(served.asked) == asked

    def test_beside_the_wheels(self, locked: Kgen, prefix: Path) -> None:
        good(locked("sync", NAME, "--conda"))
        assert prefix.is_dir()
        assert not prefix.with_name(NAME).exists()

    def test_conda_meta_is_complete(self, locked: Kgen, prefix: Path) -> None:
        """What conda and mamba read: the whole record, the files, and what was asked for."""
        good(locked("sync", NAME, "--conda"))
        (path,) = (prefix / "conda-meta").glob("pytorch-*.json")
        record = json.loads(path.read_text())
        assert any(one.startswith("cuda-version") for one in record["depends"])
        assert record["files"]
        assert record["sha256"]
        assert (prefix / "conda-meta/history").exists()

    def test_keras_settings_in_its_own_folder(
        self, conda: Kgen, served: ChannelServer, prefix: Path, tmp_path: Path
    ) -> None:
        """Whichever way leads in finds them; data sets and weights are shared, and the home folder gets no settings."""
        home = tmp_path / "home"
        home.mkdir()
        good(conda(*ASK, "torch", "--channel", served.url, "--isolate-config"))
        records = prefix.parents[2] / "locks" / NAME / "conda-records.json"
        assert json.loads(records.read_text())["places"] == {"KERAS_HOME": "{prefix}/share/kgen/keras"}
        good(conda("sync", NAME, "--conda", HOME=str(home)))
        own = prefix / "share/kgen/keras"
        assert json.loads((own / "keras.json").read_text())["backend"] == "torch"
        assert (own / "datasets").resolve() == home / ".keras/datasets"
        assert sorted(path.name for path in (home / ".keras").iterdir()) == ["datasets", "models"]
        hooks = prefix / "etc/conda"
        script = (
            f'KERAS_HOME=before; export KERAS_HOME; . "{hooks}/activate.d/kgen.sh"; echo "$KERAS_HOME $KERAS_BACKEND"\n'
            f'. "{hooks}/deactivate.d/kgen.sh"; echo "$KERAS_HOME ${{KERAS_BACKEND-none}}"'
        )
        for words in (["sh", "-euc", script], ["bash", "-euc", script]):
            done = subprocess.run(words, check=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
            assert done.stdout == f"{own} torch\nbefore none\n"
        told = "import os; print(os.environ['KERAS_HOME'], os.environ['KERAS_BACKEND'])"
        done = subprocess.run(
            [prefix / "bin/python", "-c", told], check=True, capture_output=True, text=True, env={"HOME": str(home)}
        )
        assert done.stdout == f"{own} torch\n"
        assert good(conda("run", f"{NAME}-conda", "--", "python", "-c", told)).stdout.endswith("keras torch\n")
        assert good(conda("check", "--installed", f"{NAME}-conda")).stdout.endswith("every file is as locked\n")

    def test_without_settings_of_its_own(self, locked: Kgen, prefix: Path) -> None:
        good(locked("sync", NAME, "--conda"))
        assert not (prefix / "share/kgen/keras").exists()
        assert "KERAS_HOME" not in (prefix / "etc/conda/activate.d/kgen.sh").read_text()
        records = json.loads((prefix.parents[2] / "locks" / NAME / "conda-records.json").read_text())
        assert not {"places", "configuration", "shared"} & set(records)

    def test_a_name_that_no_variable_has(self, conda: Kgen, served: ChannelServer, project: Path) -> None:
        good(conda(*ASK, "torch", "--channel", served.url, "--isolate-config"))
        path = project / "locks" / NAME / "conda-records.json"
        path.write_text(path.read_text().replace('"KERAS_HOME"', '"KERAS HOME"'))
        result = conda("sync", NAME, "--conda")
        assert result.status == 2
        assert "`KERAS HOME` is not the name of an environment variable" in result.stderr

    def test_from_the_cache_with_the_server_down(self, conda: Kgen, built: Channel, prefix: Path) -> None:
        with serving(built.folder) as server:
            good(conda(*ASK, "torch", "--channel", server.url))
            good(conda("sync", NAME, "--conda"))
        shutil.rmtree(prefix)
        good(conda("sync", NAME, "--conda"))
        assert (prefix / "bin/python").exists()

    def test_without_cache_with_the_server_down(self, conda: Kgen, built: Channel, prefix: Path) -> None:
        with serving(built.folder) as server:
            good(conda(*ASK, "torch", "--channel", server.url))
        result = conda("sync", NAME, "--conda")
        assert result.status == 4
        assert result.stderr.startswith(f"error: {NAME}-conda: a package could not be installed: ")
        assert not prefix.exists()
        assert not list(prefix.parent.glob(".*kgen-new"))

    @pytest.mark.parametrize("fault", ["truncated", "other bytes"])
    def test_another_file(self, locked: Kgen, served: ChannelServer, prefix: Path, fault: str) -> None:
        served.misbehave(fault, at=r"pytorch.*\.conda")  # type: ignore[arg-type]
        result = locked("sync", NAME, "--conda")
        assert result.status == 4
        assert f"error: {NAME}-conda: a package " in result.stderr
        assert not prefix.exists()

    def test_a_package_that_the_channel_has_no_longer(self, locked: Kgen, served: ChannelServer, prefix: Path) -> None:
        served.misbehave("404", at=r"pytorch.*\.conda")
        result = locked("sync", NAME, "--conda")
        assert result.status == 4
        assert (
            f"error: {NAME}-conda: a package could not be installed, as its channel has it no longer: " in result.stderr
        )
        assert result.stderr.endswith("\nhint: kgen lock --conda --upgrade   # locks what the channels have now\n")
        assert not prefix.exists()

    def test_a_package_that_a_folder_has_no_longer(
        self, conda: Kgen, built: Channel, tmp_path: Path, prefix: Path
    ) -> None:
        channel = built.copy(tmp_path / "folder")
        good(conda(*ASK, "torch", "--channel", channel.folder.as_uri()))
        (path,) = channel.folder.rglob("pytorch-2.12.0-cuda129*.conda")
        path.unlink()
        hint = "\nhint: kgen lock --conda --upgrade   # locks what the channels have now\n"
        result = conda("sync", NAME, "--conda")
        assert result.status == 4
        assert (
            f"error: {NAME}-conda: a package could not be installed, as its channel has it no longer: " in result.stderr
        )
        assert result.stderr.endswith(hint)
        assert not prefix.exists()
        result = conda("bundle", f"{NAME}-conda", "-o", "conda.tar")
        assert result.status == 4
        assert f"/linux-64 has {path.name} no longer: " in result.stderr
        assert result.stderr.endswith(hint)

    def test_a_lock_that_was_edited(self, locked: Kgen, project: Path) -> None:
        path = project / "locks" / NAME / "conda-records.json"
        path.write_text(path.read_text().replace('"sha256": "', '"sha256": "x'))
        result = locked("sync", NAME, "--conda")
        assert result.status == 2
        assert "is not a conda lock of kgen" in result.stderr

    def test_not_locked_for_conda(self, kgen: Kgen) -> None:
        good(kgen("lock", "jax", "--cpu", "--python", MINOR, "--platform", "linux-64"))
        assert kgen("sync", "jax", "--conda") == Result(
            2, "", f"error: jax-cpu is not locked for conda\n\nhint: kgen lock jax --cpu --python {MINOR} --conda\n"
        )

    def test_base(self, conda: Kgen, project: Path, served: ChannelServer) -> None:
        (project / "kgen.toml").write_text('conda = "base"\n')
        good(conda("lock", "--conda", "--python", MINOR, "--platform", "linux-64", "--channel", served.url, "numpy"))
        good(conda("sync", "numpy", "--conda"))
        prefix = project / ".kgen/envs/numpy-cpu-conda"
        meta = [path.name for path in (prefix / "conda-meta").glob("*.json")]
        assert not any(name.startswith("keras-") for name in meta)
        folders = {path.name.partition("-")[0] for path in prefix.glob("lib/python*/site-packages/*.dist-info")}
        assert {"keras", "numpy"} <= folders
        assert "is as locked" in good(conda("sync", "numpy", "--conda")).stderr

    @pytest.mark.parametrize("envs", [".kgen/envs", "my envs"])
    def test_programs_of_wheels(
        self, conda: Kgen, project: Path, served: ChannelServer, index: Index, envs: str
    ) -> None:
        """They name the interpreter where it is now, and their RECORD has the hashes of what they are now."""
        files = {
            "tool/__init__.py": b"import sys\ndef main():\n    print(sys.prefix)\n",
            "tool-1.0.dist-info/entry_points.txt": b"[console_scripts]\ntool = tool:main\n",
            "tool-1.0.data/scripts/other": b"#!python\nimport sys\nprint(sys.executable)\n",
        }
        index.wheelhouse.put(Wheel(name="tool", version="1.0", files=files))
        there = conda.at(index.url)
        (project / "kgen.toml").write_text('conda = "base"\n')
        words = ("--python", MINOR, "--platform", "linux-64", "--channel", served.url, "--dependency", "tool", "numpy")
        good(there("lock", "--conda", *words))
        good(there("sync", "numpy-cpu-conda", "--envs", envs))
        prefix = project / envs / "numpy-cpu-conda"
        for name, told in (("tool", f"{prefix}\n"), ("other", f"{prefix}/bin/python\n")):
            done = subprocess.run([prefix / "bin" / name], check=True, capture_output=True, text=True)
            assert done.stdout == told
        installed = there("check", "--installed", "numpy-cpu-conda", "--envs", envs)
        assert installed == Result(0, "numpy-cpu-conda: every file is as locked\n", "")
        with (prefix / "bin/tool").open("a") as program:
            program.write("print('more')\n")
        changed = there("check", "--installed", "numpy-cpu-conda", "--envs", envs)
        assert "  changed bin/tool  (tool 1.0)\n" in changed.stdout
        assert "is as locked, nothing to do" in good(there("sync", "numpy-cpu-conda", "--envs", envs)).stderr

    def test_away_and_back_again(self, conda: Kgen, built: Channel, prefix: Path) -> None:
        """Made, run, removed, and made again from the cache when the channel has gone."""
        words = ("-c", "import keras, sys; print(keras.backend(), sys.prefix)")
        with serving(built.folder) as server:
            good(conda(*ASK, "torch", "--channel", server.url))
            first = good(conda("run", f"{NAME}-conda", "--", "python", *words)).stdout
        shutil.rmtree(prefix)
        again = conda("run", "--no-sync", f"{NAME}-conda", "--", "python", *words)
        assert again.stderr.endswith(f"\nhint: kgen sync {NAME}-conda\n")
        assert good(conda("run", f"{NAME}-conda", "--", "python", *words)).stdout == first
        assert not list(prefix.parent.glob(".*kgen*"))

    def test_conda_is_told_of_it(self, conda: Kgen, built: Channel, prefix: Path, tmp_path: Path) -> None:
        """By `~/.conda/environments.txt`, once, where there is a conda; and not where its configuration says so."""
        home = tmp_path / "home"
        (home / "programs").mkdir(parents=True)
        known = home / ".conda/environments.txt"
        path = {"PATH": f"{home / 'programs'}:/usr/bin:/bin", "HOME": str(home)}
        at_home = dataclasses.replace(conda, environment={**conda.environment, **path})
        good(at_home(*ASK, "torch", "--channel", built.folder.as_uri()))
        good(at_home("sync", f"{NAME}-conda"))
        assert not known.exists()
        (home / "programs/conda").write_text("#!/bin/sh\n")
        (home / "programs/conda").chmod(0o755)
        (home / ".condarc").write_text("register_envs: false\n")
        good(at_home("sync", f"{NAME}-conda", "--reinstall"))
        assert not known.exists()
        (home / ".condarc").unlink()
        good(at_home("sync", f"{NAME}-conda", "--reinstall"))
        assert known.read_text() == f"{prefix}\n"
        known.write_text("/some/other")
        shutil.rmtree(prefix)
        for _ in range(2):
            good(at_home("sync", f"{NAME}-conda", "--reinstall"))
            assert known.read_text() == f"/some/other\n{prefix}\n"

    def test_what_the_lock_lost_is_gone(self, conda: Kgen, prefix: Path, served: ChannelServer) -> None:
        words = (*ASK, "torch", "--channel", served.url)
        good(conda(*words, "--dependency", "scipy"))
        good(conda("sync", f"{NAME}-conda"))
        assert list((prefix / "conda-meta").glob("scipy-*"))
        good(conda(*words))
        good(conda("sync", f"{NAME}-conda"))
        assert not list((prefix / "conda-meta").glob("scipy-*"))
        assert not (prefix / f"lib/python{MINOR}/site-packages/scipy").exists()

    def test_a_folder_with_a_space(self, locked: Kgen, project: Path) -> None:
        good(locked("sync", NAME, "--conda", "--envs", "my envs"))
        python = project / f"my envs/{NAME}-conda/bin/python"
        script = "import sys, torch; print(sys.prefix)"
        done = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True)
        assert done.stdout == f"{python.parents[1]}\n"


class TestEntered:
    def test_run(self, locked: Kgen, prefix: Path) -> None:
        script = "import os, sys; print(sys.prefix, *(os.environ.get(n) for n in ('KERAS_BACKEND', 'CONDA_PREFIX')))"
        result = good(locked("run", f"{NAME}-conda", "--", "python", "-c", script))
        inside = f"[TEMP]/project/.kgen/envs/{prefix.name}"
        assert result.stdout == f"{inside} torch {inside}\n"
        again = good(locked("run", "--conda", NAME, "--", "python", "-c", script))
        assert (again.stdout, again.stderr) == (result.stdout, "")

    def test_what_conda_sets(self, locked: Kgen, prefix: Path) -> None:
        """Of packages and of the user; what was set by hand goes with a new environment, and that is said."""
        good(locked("sync", NAME, "--conda"))
        (prefix / "etc/conda/env_vars.d").mkdir()
        (prefix / "etc/conda/env_vars.d/theirs.json").write_text('{"ROOT": "theirs", "OVER": "theirs"}')
        state = {"OVER": "it's `mine` $HOME", "LEFT": "***unset***"}
        (prefix / "conda-meta/state").write_text(json.dumps({"version": 1, "env_vars": state}))
        script = "import os; print(*(os.environ.get(n) for n in ('ROOT', 'OVER', 'LEFT')), sep='|')"
        result = good(locked("run", f"{NAME}-conda", "--", "python", "-c", script))
        assert (result.stdout, result.stderr) == ("theirs|it's `mine` $HOME|None\n", "")
        result = good(locked("sync", NAME, "--conda", "--reinstall"))
        said = f"note: {NAME}-conda: what `conda env config vars set` had set is gone: OVER\n"
        assert said in result.stderr
        assert good(locked("run", f"{NAME}-conda", "--", "python", "-c", script)).stdout == "None|None|None\n"

    def test_the_interpreter_alone(self, locked: Kgen, prefix: Path) -> None:
        good(locked("sync", NAME, "--conda"))
        done = subprocess.run(
            [prefix / "bin/python", "-c", "import keras; print(keras.backend())"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout == "torch\n"

    @pytest.mark.shells
    @pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "fish"])
    def test_activated(self, locked: Kgen, prefix: Path, shell: str, tmp_path: Path) -> None:
        """By `kgen activate`, with what packages bring of their own, and back to what was there."""
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed")
        good(locked("sync", NAME, "--conda"))
        suffix = "fish" if shell == "fish" else "sh"
        _their_own(prefix, suffix)
        script = good(locked("activate", NAME, "--conda", "--shell", shell)).stdout
        path = tmp_path / f"script.{suffix}"
        path.write_text(script.replace("[TEMP]", str(tmp_path)), encoding="utf-8")
        show = (
            "python -c \"import os; print(os.getenv('KERAS_BACKEND'), os.getenv('THEIRS'), os.getenv('CONDA_PREFIX'))\""
        )
        strict = "" if shell == "fish" else "set -u; "
        words = f"{strict}. '{path}'; {show}; deactivate; echo ${{KERAS_BACKEND}} ${{THEIRS}} ${{CONDA_PREFIX}}"
        words = words.replace("${", "{$") if shell == "fish" else words.replace("}", "-none}")
        if shell == "fish":
            words = words.replace(". '", "source '")
        done = subprocess.run(
            [shell, "-c", words], check=False, capture_output=True, text=True, env=locked.env(CONDA_PREFIX="")
        )
        assert done.returncode == 0, done.stderr
        first, _, second = done.stdout.partition("\n")
        assert first == f"torch theirs {prefix}"
        assert second.strip() == ("" if shell == "fish" else "none none none")
        assert done.stderr == ""

    @pytest.mark.shells
    def test_activated_in_nushell(self, locked: Kgen, prefix: Path, tmp_path: Path) -> None:
        """The scripts that packages bring for a POSIX shell count, and what conda itself sets."""
        program = shutil.which("nu")
        if program is None:
            pytest.skip("nu is not installed")
        good(locked("sync", NAME, "--conda"))
        _their_own(prefix, "sh")
        (prefix / "etc/conda/activate.d/more.sh").write_text('echo loud\nexport MORE="it\'s more"\nunset GONE\n')
        (prefix / "conda-meta/state").write_text('{"env_vars": {"MINE": "by \\"hand\\"\\n"}}')
        entering = prefix / "share/kgen/activate.nu"
        names = ["KERAS_BACKEND", "THEIRS", "MORE", "MINE", "GONE", "CONDA_PREFIX"]
        shown = f"print ([{', '.join(f'$env.{name}?' for name in names)}] | to json --raw)"
        script = tmp_path / "script.nu"
        script.write_text(f"source '{entering}'\n{shown}\ndeactivate\n{shown}\n")
        done = subprocess.run(
            [program, "--no-config-file", script],
            check=False,
            capture_output=True,
            text=True,
            env=locked.env(GONE="there", MORE="mine"),
        )
        assert (done.returncode, done.stderr) == (0, "loud\n")
        inside, outside = map(json.loads, done.stdout.splitlines())
        assert inside == ["torch", "theirs", "it's more", 'by "hand"\n', None, str(prefix)]
        assert outside == [None, None, "mine", None, "there", None]

    @pytest.mark.shells
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_by_conda_alone(self, locked: Kgen, prefix: Path, shell: str) -> None:
        """The script that conda's kin would make of the prefix selects the backend, without kgen."""
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed")
        good(locked("sync", NAME, "--conda"))
        made = activate(prefix, ActivationVariables(None, ["/usr/bin", "/bin"]), getattr(Shell, shell)).script
        show = "python -c \"import os; print(os.environ['KERAS_BACKEND'])\""
        done = subprocess.run([shell, "-c", f"{made}\n{show}"], check=True, capture_output=True, text=True)
        assert done.stdout == "torch\n"

    @pytest.mark.shells
    @pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "fish"])
    def test_a_shell(self, locked: Kgen, prefix: Path, shell: str) -> None:
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed")
        good(locked("sync", NAME, "--conda"))
        _their_own(prefix, "fish" if shell == "fish" else "sh")
        show = "import os; print(os.getenv('KERAS_BACKEND'), os.getenv('THEIRS'), os.getenv('CONDA_PREFIX'))"
        done = subprocess.run(
            locked.words("shell", NAME, "--conda", "--no-sync", "--shell", shell),
            input=f'python -c "{show}"\nexit 3\n',
            check=False,
            capture_output=True,
            text=True,
            env=locked.env(),
            cwd=locked.folder,
        )
        assert done.returncode == 3, done.stderr
        assert f"torch theirs {prefix}\n" in done.stdout

    def test_jupyter(self, locked: Kgen, prefix: Path, tmp_path: Path) -> None:
        """The kernel is started as Jupyter starts it: from the words and variables of its spec."""
        asked = ("shell", f"{NAME}-conda", "--jupyter")
        hints = "hint: kgen add ipykernel   # then: kgen lock --conda\nhint: kgen sync torch-cuda12-conda\n"
        assert locked(*asked).stderr.endswith(hints)
        kernel = prefix / f"lib/python{MINOR}/site-packages/ipykernel/__init__.py"
        kernel.parent.mkdir()
        kernel.touch()
        show = "import os, sys; print(os.environ['KERAS_BACKEND'], os.environ['THEIRS'], sys.argv[1:])"
        (prefix / f"lib/python{MINOR}/site-packages/ipykernel_launcher.py").write_text(show)
        _their_own(prefix, "sh")
        good(locked(*asked, JUPYTER_DATA_DIR=str(tmp_path / "jupyter")))
        spec = json.loads((tmp_path / f"jupyter/kernels/kgen-project-{NAME}-conda/kernel.json").read_text())
        words = [word.replace("{connection_file}", "/the/file") for word in spec["argv"]]
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=locked.env(**spec["env"]))
        assert done.stdout == "torch theirs ['-f', '/the/file']\n"


class TestInstalled:
    def test_every_file_is_compared(self, locked: Kgen, prefix: Path) -> None:
        name = f"{NAME}-conda"
        good(locked("sync", NAME, "--conda"))
        assert good(locked("check", "--installed", name)).stdout == f"{name}: every file is as locked\n"
        site = prefix / f"lib/python{MINOR}/site-packages"
        (site / "torch/__init__.py").unlink()
        (site / "torch/__init__.py").write_text("build = 'other'\n")
        (site / "extra.py").write_text("")
        (prefix / "etc/conda/activate.d/kgen.sh").unlink()
        result = locked("check", "--installed", name)
        assert result.status == 1
        assert (
            result.stdout
            == f"""\
{name}: 1 added, 1 changed, 1 removed
  removed etc/conda/activate.d/kgen.sh
  added   lib/python{MINOR}/site-packages/extra.py
  changed lib/python{MINOR}/site-packages/torch/__init__.py  (pytorch 2.12.0)
"""
        )
        assert result.stderr == f"\nhint: kgen sync --reinstall {NAME}-conda\n"
        good(locked("sync", "--reinstall", "--conda", NAME))
        good(locked("check", "--installed", name))

    def test_an_edit_that_reached_the_cache(self, locked: Kgen, prefix: Path) -> None:
        """A file that was edited in place is the cache's too; whoever makes the environment anew hears of it."""
        good(locked("sync", NAME, "--conda"))
        file = prefix / f"lib/python{MINOR}/site-packages/torch/__init__.py"
        linked = file.stat().st_nlink > 1
        with file.open("a") as opened:
            opened.write("print('edited')\n")
        result = locked("sync", "--reinstall", NAME, "--conda")
        if linked:  # where the file system has no links, the cache has a copy of its own
            assert result.status == 4
            assert result.stderr.startswith(
                f"error: {NAME}-conda: the cache of conda's packages is damaged: pytorch-2.12.0-"
            )
            assert "\nhint: rm -r [TEMP]/rattler/pkgs/pytorch-2.12.0-" in result.stderr
            assert prefix.exists()
            shutil.rmtree(
                next(path for path in (prefix.parents[3] / "rattler/pkgs").glob("pytorch-*") if path.is_dir())
            )
            good(locked("sync", "--reinstall", NAME, "--conda"))
        good(locked("check", "--installed", f"{NAME}-conda"))


def _their_own(prefix: Path, suffix: str) -> None:
    """What a package of CUDA would bring."""
    set_, unset = (
        ("set -gx THEIRS theirs", "set -e THEIRS") if suffix == "fish" else ("export THEIRS=theirs", "unset THEIRS")
    )
    for phase, text in (("activate", set_), ("deactivate", unset)):
        (prefix / f"etc/conda/{phase}.d/theirs.{suffix}").write_text(f"{text}\n", encoding="utf-8")


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    """A CPython for each test is much to keep."""
    yield
    for name in ("project/.kgen", "rattler"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
