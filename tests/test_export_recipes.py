"""Exports for what runs an environment, read by who they are for: hadolint, pip, editors, GitHub, Slurm, CycloneDX."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import tomli
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests import slurm
from tests.command import CUTOFF, LOCK, PYTHON, Kgen, Result
from tests.index import Index
from tests.schemas import assert_sound_workflow

from kgen import lockfiles
from kgen.emitters import cyclonedx, recipes, uvproject
from kgen.formats.wheels import FORMAT
from kgen.model.lockfile import LockedFile, Lockfile
from kgen.uvtool import find


@pytest.fixture(scope="module", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory, healthy: Index) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "project"
    folder.mkdir()
    done = Kgen(folder=folder, temporary=folder).at(healthy.url)(*LOCK, "numpy", "torch", "--cuda", "12")
    assert done.status == 0, done.stderr
    return folder


@pytest.fixture(name="locked")
def _locked(kgen: Kgen, made: Path) -> Kgen:
    """A project with an environment for the CPU and one for CUDA."""
    shutil.copytree(made, kgen.folder, dirs_exist_ok=True, symlinks=True)
    return kgen


def exported(kgen: Kgen, *words: str) -> str:
    result = kgen("export", *words)
    assert (result.status, result.stderr) == (0, ""), result.stderr
    return result.stdout


def lock(**changes: object) -> Lockfile:
    file = LockedFile(name="keras", version="3.15.1", filename="k.whl", url=None, sha256="a" * 64, size=1)
    plain = {
        "path": Path("pylock.linux-64.toml"),
        "form": FORMAT,
        "digest": "0" * 64,
        "environment": "jax-cpu",
        "backends": ("jax",),
        "accelerator": "cpu",
        "python": "3.12",
        "platform": "linux-64",
        "runtime": None,
        "cudnn": None,
        "driver": None,
        "packages": {"keras": "3.15.1"},
        "libraries": {},
        "variables": {"KERAS_BACKEND": "jax"},
        "files": (file,),
    }
    return Lockfile(**{**plain, **changes})  # type: ignore[arg-type]


class TestDockerfile:
    def hadolint(self, text: str) -> list[str]:
        program = Path(sys.executable).with_name("hadolint")
        done = subprocess.run(
            [program, "--format", "json", "-"], input=text, capture_output=True, text=True, check=False, timeout=60
        )
        return [f"{found['code']}: {found['message']}" for found in json.loads(done.stdout)]

    @pytest.mark.parametrize("environment", ["numpy", "torch"])
    def test_hadolint_finds_nothing(self, locked: Kgen, environment: str) -> None:
        assert self.hadolint(exported(locked, "dockerfile", environment)) == []

    def test_hadolint_would_find_something(self, locked: Kgen) -> None:
        text = exported(locked, "dockerfile", "numpy")
        assert self.hadolint(text.replace("WORKDIR /workspace", "WORKDIR workspace")) != []

    def test_of_the_host_only_the_driver_is_wanted(self, locked: Kgen) -> None:
        on_gpu, on_cpu = exported(locked, "dockerfile", "torch"), exported(locked, "dockerfile", "numpy")
        assert "--gpus all" in on_gpu
        assert "of the host it takes the driver, 525.60.13 or newer" in on_gpu
        assert "gpus" not in on_cpu
        # PyTorch compiles with the system's compiler, NumPy does not
        assert " g++ " in on_gpu
        assert "apt-get" not in on_cpu

    @pytest.mark.parametrize("form", ["dockerfile", "apptainer"])
    def test_pip_installs_what_it_names_and_nothing_else(self, locked: Kgen, tmp_path: Path, form: str) -> None:
        text = exported(locked, form, "numpy")
        command = re.search(
            r"^(?:RUN )?(pip install .*) <<'REQUIREMENTS'\n(.*?)^REQUIREMENTS$", text, re.MULTILINE | re.DOTALL
        )
        assert command is not None
        words, files = shlex.split(command[1]), command[2]
        subprocess.run(
            [
                *(sys.executable, "-m", *words, "--python-version", PYTHON, "--target", str(tmp_path / "site")),
                *("--index-url", index_of(locked), "--quiet"),
            ],
            check=True,
            capture_output=True,
            env=locked.env(),
            input=files,
            text=True,
        )
        path = locked.folder / "locks/numpy-cpu/pylock.linux-64.toml"
        packages = tomli.loads(path.read_text())["packages"]
        installed = {folder.name.lower().replace("_", "-") for folder in (tmp_path / "site").glob("*.dist-info")}
        assert installed == {f"{package['name']}-{package['version']}.dist-info" for package in packages}
        damaged = re.sub(r"sha256:\w{8}", "sha256:00000000", files, count=1)
        refused = subprocess.run(
            [sys.executable, "-m", *words, "--target", tmp_path / "other", "--index-url", index_of(locked)],
            capture_output=True,
            text=True,
            check=False,
            env=locked.env(),
            input=damaged,
        )
        assert refused.returncode != 0
        assert "DO NOT MATCH THE HASHES" in refused.stderr

    def test_a_hostile_value_stays_a_value(self) -> None:
        made = lock(variables={"A": 'x"; RUN rm -rf / # $HOME \\'})
        text = recipes.render_dockerfile(made, requirements="x==1", programs=[])
        assert 'ENV A="x\\"; RUN rm -rf / # \\$HOME \\\\"\n' in text
        with pytest.raises(ValueError, match="no `ENV` of a Dockerfile can hold"):
            recipes.render_dockerfile(lock(variables={"A": "x\nRUN id"}), requirements="x==1", programs=[])


class TestApptainer:
    @staticmethod
    def sections(text: str) -> dict[str, str]:
        """A line that begins with `%` begins a section, wherever it stands; before them stands the header."""
        header, *rest = re.split(r"^%(\w+)\n", text, flags=re.MULTILINE)
        return {"": header, **dict(zip(rest[::2], rest[1::2], strict=True))}

    @pytest.mark.parametrize("environment", ["numpy", "torch"])
    def test_its_sections_are_sound(self, locked: Kgen, environment: str) -> None:
        page = (Path(__file__).parents[1] / "docs/how-to/slurm.md").read_text(encoding="utf-8")
        assert "\nkgen export apptainer jax-cuda12 > jax-cuda12.def\n" in page
        found = self.sections(exported(locked, "apptainer", environment))
        assert list(found) == ["", "post", "environment", "runscript", "test"]
        keys = [line.partition(":")[0] for line in found[""].splitlines() if line and not line.startswith("#")]
        assert keys == ["Bootstrap", "From"]
        for name in ("post", "environment", "runscript", "test"):
            words = ["shellcheck", "--shell=sh", "--severity=info", "-"]
            done = subprocess.run(words, input=found[name], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout

    def test_of_the_host_only_the_driver_is_wanted(self, locked: Kgen) -> None:
        on_gpu, on_cpu = exported(locked, "apptainer", "torch"), exported(locked, "apptainer", "numpy")
        assert "#   apptainer exec --nv torch-cuda12.sif python train.py\n" in on_gpu
        assert "of the host it takes the driver, 525.60.13 or newer" in on_gpu
        assert "#   apptainer exec numpy-cpu.sif python train.py\n" in on_cpu
        assert " g++" in self.sections(on_gpu)["post"]
        assert "apt-get" not in on_cpu

    def test_the_backend_is_selected(self, locked: Kgen) -> None:
        script = self.sections(exported(locked, "apptainer", "torch"))["environment"]
        said = subprocess.run(
            ["sh", "-c", f"{script}\necho $KERAS_BACKEND"], capture_output=True, text=True, check=True, env={}
        )
        assert said.stdout == "torch\n"

    @pytest.mark.parametrize("value", ["x\n%post\nid", "{{ argument }}"])
    def test_a_hostile_value_is_refused(self, value: str) -> None:
        with pytest.raises(ValueError, match="no `%environment` of Apptainer can hold"):
            recipes.render_apptainer(lock(variables={"A": value}), requirements="x==1", programs=[])
        quoted = recipes.render_apptainer(lock(variables={"A": "it's $(id)"}), requirements="x==1", programs=[])
        assert "export A='it'\\''s $(id)'\n" in quoted


class TestUv:
    @pytest.mark.parametrize("environment", ["numpy", "torch"])
    def test_uv_resolves_to_what_is_locked(
        self, locked: Kgen, tmp_path: Path, interpreter: str, environment: str
    ) -> None:
        text = exported(locked, "uv", environment)
        (roots,) = re.findall(r"^#   uv add (.*)$", text, re.MULTILINE)
        project = f'[project]\nname = "x"\nversion = "1"\nrequires-python = "=={PYTHON}.*"\n'
        (tmp_path / "pyproject.toml").write_text(f"{project}dependencies = {json.dumps(roots.split())}\n\n{text}")
        words = [find(), "lock", "--quiet", "--exclude-newer", CUTOFF, "--python", interpreter]
        done = subprocess.run(words, cwd=tmp_path, env=locked.env(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = tomli.loads((tmp_path / "uv.lock").read_text(encoding="utf-8"))["package"]
        (path,) = (locked.folder / "locks").glob(f"{environment}-*/pylock.linux-64.toml")
        wanted = {one["name"]: one["version"] for one in tomli.loads(path.read_text())["packages"]}
        assert {one["name"]: one["version"] for one in found if one["name"] != "x"} == wanted

    def test_the_own_index_of_a_framework_is_named(self) -> None:
        file = LockedFile(name="torch", version="2.13.0+cpu", filename="t.whl", url=None, sha256="a" * 64, size=1)
        made = lock(backends=("torch",), files=(file,), packages={"torch": "2.13.0"})
        indexes = {"torch": {"a": "https://index.example/whl/cpu"}}
        text = uvproject.render_uv({"a": made}, indexes, roots=("torch",))
        table = tomli.loads(text)["tool"]["uv"]
        assert table["constraint-dependencies"] == ["torch==2.13.0+cpu"]
        assert table["index"] == [{"name": "torch-own", "url": "https://index.example/whl/cpu", "explicit": True}]
        assert table["sources"] == {"torch": {"index": "torch-own"}}

    def test_own_indexes_that_differ_between_platforms(self, tmp_path: Path) -> None:
        """CUDA's on one, the CPU's on another, and none on a third."""
        marked = {
            name: f"sys_platform == '{name}' and platform_machine == '{machine}'"
            for name, machine in {"linux": "x86_64", "win32": "AMD64", "darwin": "arm64"}.items()
        }
        labels = {"linux": "+cu128", "win32": "+cpu", "darwin": ""}
        locks = {
            marked[name]: lock(
                files=(
                    LockedFile(
                        name="torch", version=f"2.9{label}", filename="t.whl", url=None, sha256="a" * 64, size=1
                    ),
                )
            )
            for name, label in labels.items()
        }
        urls = {marked[name]: f"https://index.example/{label[1:]}" for name, label in labels.items() if label}
        text = uvproject.render_uv(locks, {"torch": urls}, roots=("torch",))
        table = tomli.loads(text)["tool"]["uv"]
        assert [(one["name"], one["url"]) for one in table["index"]] == [
            ("torch-own", "https://index.example/cu128"),
            ("torch-own-1", "https://index.example/cpu"),
        ]
        assert table["sources"]["torch"] == [
            {"index": "torch-own", "marker": marked["linux"]},
            {"index": "torch-own-1", "marker": marked["win32"]},
        ]
        # uv takes it: what it lacks is the index, which is nowhere
        project = '[project]\nname = "x"\nversion = "1"\ndependencies = ["torch"]\n'
        (tmp_path / "pyproject.toml").write_text(f"{project}\n{text}")
        done = subprocess.run([find(), "lock", "--offline"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "Failed to parse" not in done.stderr, done.stderr
        assert "torch" in done.stderr

    def test_platforms_that_differ(self) -> None:
        one, other = (
            LockedFile(name="x", version=version, filename="x.whl", url=None, sha256="a" * 64, size=1)
            for version in ("1", "2")
        )
        text = uvproject.render_uv({"a == 'b'": lock(files=(one,)), "c == 'd'": lock(files=(other,))}, {}, roots=())
        table = tomli.loads(text)["tool"]["uv"]
        assert table["environments"] == ["a == 'b'", "c == 'd'"]
        assert table["constraint-dependencies"] == ["x==1 ; (a == 'b')", "x==2 ; (c == 'd')"]


def index_of(kgen: Kgen) -> str:
    return kgen.environment["UV_DEFAULT_INDEX"]


DOCKER = """\
#!/bin/sh
printf '%s\\n' "$*" >> {asked}
case "$1" in
  inspect) echo '[{{"Id": "sha256:0", "Architecture": "amd64", "Os": "linux", "Config": {{"Env": []}}}}]' ;;
  version) echo 27.0.0 ;;
  buildx) exit 1 ;;
  run) sleep 0.2; exit 1 ;;
esac
"""
"""A Docker that writes down what is asked of it, and does none of it."""


class TestDevcontainer:
    def test_what_it_says(self, locked: Kgen) -> None:
        text = exported(locked, "devcontainer", "torch")
        content = json.loads("".join(line for line in text.splitlines() if not line.startswith("//")))
        assert content["name"] == "torch-cuda12"
        assert content["build"] == {"dockerfile": "Dockerfile"}
        assert content["containerEnv"] == {"KERAS_BACKEND": "torch"}
        assert content["runArgs"] == ["--gpus", "all"]
        # the user that the editor becomes is one that the Dockerfile makes
        assert f"--uid 1000 {content['remoteUser']}\n" in exported(locked, "dockerfile", "torch")
        assert "gpu" not in exported(locked, "devcontainer", "numpy")

    def told(self, locked: Kgen, tmp_path: Path, environment: str) -> list[str]:
        """What the reference implementation of development containers asks of Docker, for what is exported."""
        program = shutil.which("devcontainer")
        if program is None:
            pytest.skip("no devcontainer here: npm install @devcontainers/cli")
        workspace, docker, asked = tmp_path / "mine", tmp_path / "docker", tmp_path / "asked"
        (workspace / ".devcontainer").mkdir(parents=True)
        for name, form in (("devcontainer.json", "devcontainer"), ("Dockerfile", "dockerfile")):
            (workspace / ".devcontainer" / name).write_text(exported(locked, form, environment), encoding="utf-8")
        docker.write_text(DOCKER.format(asked=shlex.quote(str(asked))), encoding="utf-8")
        docker.chmod(0o755)

        def call(action: str) -> dict[str, object]:
            words = [program, action, "--workspace-folder", str(workspace), "--docker-path", str(docker)]
            environ = {**os.environ, "TMPDIR": str(tmp_path)}
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100, env=environ)
            answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
            return answer

        read = call("read-configuration")
        assert read["workspace"] == {
            "workspaceFolder": "/workspaces/mine",
            "workspaceMount": f"type=bind,source={workspace},target=/workspaces/mine",
        }
        assert call("build")["outcome"] == "success"
        # no container comes up here; but what one would be started with has been said
        assert call("up")["outcome"] == "error"
        return asked.read_text(encoding="utf-8").splitlines()

    def test_the_reference_implementation_starts_it(self, locked: Kgen, tmp_path: Path) -> None:
        asked = self.told(locked, tmp_path, "torch")
        (started,) = [line for line in asked if line.startswith("run ")]
        assert " -e KERAS_BACKEND=torch " in started
        assert " --gpus all " in started
        # it has read the Dockerfile: what that builds on, and who is to be in it
        base = re.findall(r"^FROM (\S+)", exported(locked, "dockerfile", "torch"), re.MULTILINE)[0]
        assert f"inspect --type image {base}" in asked
        assert any(" --build-arg REMOTE_USER=keras " in line for line in asked)

    def test_without_a_gpu(self, locked: Kgen, tmp_path: Path) -> None:
        (started,) = [line for line in self.told(locked, tmp_path, "numpy") if line.startswith("run ")]
        assert " -e KERAS_BACKEND=numpy " in started
        assert "--gpus" not in started


class TestWorkflow:
    @pytest.mark.parametrize("words", [(), ("torch",)])
    def test_it_is_what_github_takes(self, locked: Kgen, tmp_path: Path, words: tuple[str, ...]) -> None:
        path = tmp_path / "kgen.yml"
        path.write_text(exported(locked, "github-actions", *words))
        assert_sound_workflow(path)
        rows = yaml.safe_load(path.read_text())["jobs"]["test"]["strategy"]["matrix"]["include"]
        found = {row["environment"]: (row["python"], row["device"]) for row in rows}
        both = {"numpy-cpu": ("3.11", "cpu"), "torch-cuda12": ("3.11", "gpu")}
        assert found == ({"torch-cuda12": both["torch-cuda12"]} if words else both)

    def test_no_program_of_a_package_gets_the_token(self, locked: Kgen) -> None:
        """`actions/checkout` leaves it in the folder unless it is told not to."""
        jobs = yaml.safe_load(exported(locked, "github-actions"))["jobs"].values()
        steps = [
            step for job in jobs for step in job["steps"] if str(step.get("uses", "")).startswith("actions/checkout@")
        ]
        assert [step["with"] for step in steps] == [{"persist-credentials": False}] * 2

    def test_its_commands_are_commands(self, locked: Kgen) -> None:
        jobs = yaml.safe_load(exported(locked, "github-actions"))["jobs"]
        lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
        commands = [shlex.split(line)[1:] for line in lines if line.startswith("kgen ")]
        assert [command[0] for command in commands] == ["check", "sync", "run", "validate"]
        for name, *rest in commands:
            options = {word for word in rest if word.startswith("--") and word != "--"}
            assert options <= set(re.findall(r"--[a-z-]+", locked(name, "--help").stdout))

    def test_the_project_s_tests_run_where_pytest_is_locked(self, locked: Kgen) -> None:
        def rows() -> dict[str, bool]:
            found = yaml.safe_load(exported(locked, "github-actions"))["jobs"]["test"]["strategy"]["matrix"]["include"]
            return {row["environment"]: row["tests"] for row in found}

        assert rows() == {"numpy-cpu": False, "torch-cuda12": False}
        lock = locked.folder / "locks/numpy-cpu/pylock.linux-64.toml"
        # any package that is called so
        lock.write_text(lock.read_text().replace('name = "rich"', 'name = "pytest"', 1))
        assert rows() == {"numpy-cpu": True, "torch-cuda12": False}

    def test_each_platform_has_its_runner(self, locked: Kgen) -> None:
        """What has none is named."""
        for name in ("numpy-cpu", "torch-cuda12"):
            here = locked.folder / f"locks/{name}/pylock.linux-64.toml"
            for platform in ("linux-aarch64", "osx-arm64"):
                here.with_name(f"pylock.{platform}.toml").write_text(here.read_text().replace("linux-64", platform))
        text = exported(locked, "github-actions")
        rows = yaml.safe_load(text)["jobs"]["test"]["strategy"]["matrix"]["include"]
        assert [(row["environment"], row["runner"]) for row in rows] == [
            ("numpy-cpu", "ubuntu-latest"),
            ("numpy-cpu", "ubuntu-24.04-arm"),
            ("torch-cuda12", ["self-hosted", "gpu"]),
            ("torch-cuda12", ["self-hosted", "ARM64", "gpu"]),
        ]
        assert text.splitlines()[2] == (
            "# Left out, as kgen was tried on Linux alone: numpy-cpu (osx-arm64), torch-cuda12 (osx-arm64)."
        )
        assert "kgen-${{ runner.arch }}-${{ matrix.environment }}-" in text

    def test_what_is_kept_between_runs_goes_with_the_lock(self, locked: Kgen) -> None:
        steps = yaml.safe_load(exported(locked, "github-actions"))["jobs"]["test"]["steps"]
        (cache,) = [step["with"] for step in steps if str(step.get("uses", "")).startswith("actions/cache@")]
        assert cache["path"] == "~/.cache/uv"
        assert "hashFiles(format('locks/{0}/*', matrix.environment))" in cache["key"]

    @pytest.mark.parametrize("form", ["github-actions", "github-actions-update"])
    @pytest.mark.parametrize("name", ["packages/serve", "a b/it's ${{ github.token }}: {x}"])
    def test_a_project_below_the_top_of_its_repository(
        self, locked: Kgen, tmp_path: Path, form: str, name: str
    ) -> None:
        """A workflow lies at the top, and begins there."""
        (tmp_path / ".git").mkdir()
        folder = tmp_path / name
        shutil.copytree(locked.folder, folder)
        path = tmp_path / "kgen.yml"
        path.write_text(exported(replace(locked, folder=folder), form))
        assert_sound_workflow(path)
        workflow = yaml.safe_load(path.read_text())
        # what GitHub makes of an expression with a text in it
        place = workflow["defaults"]["run"]["working-directory"]
        assert place.replace("${{ '${{' }}", "${{") == name
        assert "${{ github" not in place
        if form == "github-actions":
            steps = workflow["jobs"]["test"]["steps"]
            (key,) = [step["with"]["key"] for step in steps if "cache" in step.get("uses", "")]
            above = name if " " not in name else "**"
            assert f"hashFiles(format('{above}/locks/{{0}}/*', matrix.environment))" in key

    def test_nothing_for_its_runners(self, kgen: Kgen) -> None:
        assert kgen(*LOCK, "numpy").status == 0
        here = kgen.folder / "locks/numpy-cpu/pylock.linux-64.toml"
        here.with_name("pylock.osx-arm64.toml").write_text(here.read_text().replace("linux-64", "osx-arm64"))
        here.unlink()
        assert kgen("export", "github-actions") == Result(
            2,
            "",
            (
                "error: nothing is locked for linux-64 or linux-aarch64\n\n"
                f"hint: kgen lock numpy --cpu --python {PYTHON} --platform linux-64 --exclude-newer {CUTOFF}\n"
            ),
        )
        for form in ("dockerfile", "slurm", "devcontainer"):
            assert kgen("export", form) == Result(
                2,
                "",
                "error: numpy-cpu is locked for osx-arm64, and this is for Linux\n\n"
                f"hint: kgen lock numpy --python {PYTHON} --exclude-newer {CUTOFF} --platform linux-64\n",
            )


class TestUpdates:
    """The weekly workflow, its steps run against a repository and a `gh` of the test's own."""

    @pytest.fixture(name="folder", params=["", "packages/model"])
    def _folder(self, request: pytest.FixtureRequest) -> str:
        """Where the project is in its repository."""
        return str(request.param)

    @pytest.fixture(name="top")
    def _top(self, locked: Kgen, tmp_path: Path, folder: str) -> Path:
        """The repository, with the project in it."""
        shutil.copytree(locked.folder, tmp_path / "top" / folder, dirs_exist_ok=True)
        return tmp_path / "top"

    @pytest.fixture(name="own")
    def _own(self, locked: Kgen, top: Path, folder: str) -> Kgen:
        return replace(locked, folder=top / folder)

    @pytest.fixture(name="repository")
    def _repository(self, own: Kgen, top: Path, tmp_path: Path) -> Path:
        """Where the project's locks are pushed to; `kgen`, `gh` and `pip` are on a PATH of their own."""
        origin = tmp_path / "origin.git"
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        for words in (
            ["init", "-q", "--bare", str(origin)],
            ["init", "-q", "-b", "main"],
            ["remote", "add", "origin", str(origin)],
            ["add", "--all"],
            ["commit", "-qm", "locks"],
            ["push", "-q", "origin", "main"],
        ):
            subprocess.run(["git", *identity, *words], cwd=top, check=True)
        programs = tmp_path / "programs"
        programs.mkdir()
        (tmp_path / "open").write_text("0")
        texts = {
            "kgen": f'exec {shlex.join(own.words())} "$@"',
            "pip": "exit 0",
            "gh": f'echo "$*" >> {tmp_path}/asked\ncase $2 in list) cat {tmp_path}/open ;; *) cat "${{*##* }}" ;; esac',
        }
        for name, text in texts.items():
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
        return tmp_path

    def run(self, own: Kgen, folder: Path) -> list[str]:
        """What was asked of `gh`, after all steps have run: those that propose in a checkout of its own."""
        workflow = yaml.safe_load(exported(own, "github-actions-update"))
        jobs, inside = workflow["jobs"], workflow.get("defaults", {}).get("run", {}).get("working-directory", "")
        (folder / "asked").write_text("")
        for name in ("update", "checkout"):
            shutil.rmtree(folder / name, ignore_errors=True)
        subprocess.run(["git", "clone", "-q", "-b", "main", "origin.git", "checkout"], cwd=folder, check=True)
        for name, where in (("lock", folder / "top" / inside), ("propose", folder / "checkout" / inside)):
            environment = own.env(
                PATH=f"{folder / 'programs'}:{os.environ['PATH']}", RUNNER_TEMP=str(folder), **jobs[name].get("env", {})
            )
            for step in jobs[name]["steps"]:
                if "run" in step:
                    command = ["bash", "-e", "-c", step["run"].replace("kgen lock --upgrade", "true")]
                    done = subprocess.run(
                        command, cwd=where, env=environment, capture_output=True, text=True, check=False
                    )
                    assert done.returncode == 0, done.stderr
        return (folder / "asked").read_text().splitlines()

    def test_it_is_what_github_takes(self, locked: Kgen, tmp_path: Path) -> None:
        path = tmp_path / "kgen-update.yml"
        path.write_text(exported(locked, "github-actions-update"))
        assert_sound_workflow(path)
        steps = yaml.safe_load(path.read_text())["jobs"]["lock"]["steps"]
        assert "kgen lock --upgrade" in [step.get("run") for step in steps]

    def test_what_is_built_to_lock_gets_no_token(self, locked: Kgen) -> None:
        """Whatever runs beside it, as a hook that it leaves in `.git` would."""
        written = yaml.safe_load(exported(locked, "github-actions-update"))
        jobs = written["jobs"]
        assert (written["permissions"], jobs["lock"]["permissions"]) == ({}, {"contents": "read"})
        assert "env" not in jobs["lock"]
        assert "token" not in str(jobs["lock"])
        assert not re.search(
            r"\b(kgen |pip|python)", " ".join(step.get("run", "") for step in jobs["propose"]["steps"])
        )

    def test_nothing_but_locks_is_proposed(self, own: Kgen, repository: Path, folder: str) -> None:
        lock = own.folder / "locks/numpy-cpu/pylock.linux-64.toml"
        lock.write_text(lock.read_text() + "# another\n")
        (own.folder / "setup.py").write_text("import os\n")
        subprocess.run(["git", "add", "setup.py"], cwd=own.folder, check=True)
        self.run(own, repository)
        assert "setup.py" in (repository / "update/locks.patch").read_text()
        changed = ["git", "diff", "--name-only", "main", "kgen-update"]
        done = subprocess.run(changed, cwd=repository / "origin.git", capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == [f"{folder}/locks/numpy-cpu/{lock.name}".lstrip("/")]

    def test_where_nothing_is_new_nothing_is_opened(self, own: Kgen, repository: Path) -> None:
        assert self.run(own, repository) == []

    def test_what_is_new_becomes_a_pull_request_and_then_renews_it(
        self, own: Kgen, repository: Path, folder: str
    ) -> None:
        lock = own.folder / "locks/numpy-cpu/pylock.linux-64.toml"
        version = lockfiles.read(lock).versions["numpy"]
        lock.write_text(
            lock.read_text().replace(f'name = "numpy"\nversion = "{version}"', 'name = "numpy"\nversion = "9.9"')
        )
        listed, created = self.run(own, repository)
        assert listed == "pr list --head kgen-update --state open --json number --jq length"
        assert created.startswith(
            "pr create --head kgen-update --title locks: the newest that work together --body-file"
        )
        assert f"| numpy | {version} | 9.9 | up |" in (repository / "update/changes.md").read_text()
        origin = [
            "git",
            "--git-dir",
            str(repository / "origin.git"),
            "show",
            f"kgen-update:{folder}/locks/numpy-cpu/{lock.name}".replace(":/", ":"),
        ]
        assert 'version = "9.9"' in subprocess.run(origin, capture_output=True, text=True, check=True).stdout

        lock.write_text(lock.read_text().replace('name = "numpy"\nversion = "9.9"', 'name = "numpy"\nversion = "9.8"'))
        (repository / "open").write_text("1")
        assert [line.split()[1] for line in self.run(own, repository)] == ["list", "edit"]
        assert f"| numpy | {version} | 9.8 | up |" in (repository / "update/changes.md").read_text()


class TestBillOfMaterials:
    @pytest.mark.parametrize("environment", ["numpy", "torch"])
    def test_it_is_valid_and_whole(self, locked: Kgen, environment: str) -> None:
        text = exported(locked, "cyclonedx", environment)
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"library"', '"lib"')) is not None
        path = next((locked.folder / "locks").glob(f"{environment}-*/pylock.linux-64.toml"))
        packages = tomli.loads(path.read_text())["packages"]
        assert {(c["purl"], c["hashes"][0]["content"]) for c in json.loads(text)["components"]} == {
            (f"pkg:pypi/{p['name']}@{p['version']}", p["wheels"][0]["hashes"]["sha256"]) for p in packages
        }
        assert exported(locked, "cyclonedx", environment) == text

    def test_what_differs_between_platforms_says_where_it_is(self) -> None:
        (keras,) = lock().files
        numpy = [keras._replace(name="numpy", version="2.4.6", sha256=digit * 64) for digit in "bc"]
        only = keras._replace(name="nvidia-x", version="1+a", sha256="d" * 64)
        locks = [lock(files=(keras, numpy[0], only)), lock(files=(keras, numpy[1]), platform="osx-arm64")]
        found = {one["name"]: one for one in json.loads(cyclonedx.render(locks))["components"]}
        assert {name: len(one["hashes"]) for name, one in found.items()} == {"keras": 1, "numpy": 2, "nvidia-x": 1}
        assert found["nvidia-x"]["purl"] == "pkg:pypi/nvidia-x@1%2Ba"
        assert found["nvidia-x"]["properties"] == [{"name": "kgen:platform", "value": "linux-64"}]
        assert "properties" not in found["numpy"]


_ONE_NODE = """\
GresTypes=gpu
ResumeProgram=/bin/true
SuspendProgram=/bin/true
SuspendTime=600
NodeName=node1 CPUs=16 RealMemory=65536 Gres=gpu:1 State=CLOUD
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
"""A node with a GPU that is switched on when it is needed."""


class TestSlurm:
    @pytest.mark.skipif(not slurm.is_there("slurmctld", "munged"), reason="no Slurm here, or nobody who may start it")
    def test_sbatch_takes_it(self, locked: Kgen, tmp_path: Path) -> None:
        script = tmp_path / "torch.sh"
        script.write_text(exported(locked, "slurm", "torch"))
        # the path of a socket must be short, and those of pytest are not
        with tempfile.TemporaryDirectory(prefix="slurm") as folder, slurm.cluster(Path(folder), _ONE_NODE) as cluster:

            def tested() -> subprocess.CompletedProcess[str]:
                words = ["sbatch", "--test-only", str(script), "python", "train.py"]
                return subprocess.run(
                    words, env=cluster.environment, capture_output=True, text=True, check=False, timeout=60
                )

            done = tested()
            assert done.returncode == 0, done.stderr
            assert "using 8 processors on nodes node1" in done.stderr
            # that it was read at all: the node has one GPU
            script.write_text(script.read_text().replace("gpu:1", "gpu:2"))
            assert tested().returncode != 0

    def test_what_it_runs(self, locked: Kgen, tmp_path: Path) -> None:
        """With an `srun` and a `kgen` that say how they were called."""
        programs = tmp_path / "bin"
        programs.mkdir()
        for name in ("srun", "kgen"):
            text = '#!/bin/sh\necho "$0: $PWD: $*"\ncase "$0" in */srun) exec "$@";; esac\n'
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        script = exported(locked, "slurm", "numpy")
        assert "gpu" not in script
        done = subprocess.run(
            ["sh", "-s", "python", "a b.py"],
            input=script,
            env={"PATH": f"{programs}:/bin:/usr/bin", "SLURM_SUBMIT_DIR": str(locked.folder)},
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
        )
        here, place = str(locked.folder), str(programs)
        assert done.stdout.splitlines() == [
            f"{place}/kgen: {here}: doctor numpy-cpu",
            f"{place}/srun: {here}: kgen run --no-sync numpy-cpu -- python a b.py",
            f"{place}/kgen: {here}: run --no-sync numpy-cpu -- python a b.py",
        ]
