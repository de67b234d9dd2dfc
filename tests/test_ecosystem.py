"""What kgen offers to other tools: hooks, an action, an image, forms for reports; and what is released."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
import yaml
from packaging.requirements import Requirement
from tests.channel import serving
from tests.command import LOCK, PYTHON, Kgen
from tests.conda_packages import MINOR, Channel
from tests.nix import Nix
from tests.schemas import assert_taken

from kgen import __version__
from kgen.formats.wheels import repack

BUILD = """
import sys
from rattler_build import Stage0Recipe, ToolConfiguration, VariantConfig

recipe, output, channel = sys.argv[1:]
(variant,) = Stage0Recipe.from_file(recipe).render(VariantConfig())
tools = ToolConfiguration(test_strategy="native", compression_threads=1)
result = variant.run_build(tools, output, [channel], package_format="conda:1")
print(*result.log, sep="\\n")
"""
ROOT = Path(__file__).parents[1]
NIXPKGS = ROOT / "tests/nixpkgs"
BIN = Path(sys.executable).parent


def run(*words: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def loaded(name: str) -> Any:  # noqa: ANN401 - whatever is in the file
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


SCHEMAS = {
    "action.yml": "vendor.github-actions",
    "CITATION.cff": "vendor.citation-file-format",
    ".github/workflows/ci.yml": "vendor.github-workflows",
    ".github/workflows/release.yml": "vendor.github-workflows",
    ".github/dependabot.yml": "vendor.dependabot",
    ".github/ISSUE_TEMPLATE/fault.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/matrix.yml": "vendor.github-issue-forms",
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_it_has_the_form_that_its_reader_takes(name: str) -> None:
    assert_taken(SCHEMAS[name], ROOT / name)


def test_an_action_is_the_same_release_wherever_it_is_used() -> None:
    """Here, and in what is exported: by the commit, beside the name that the release has."""
    table = (ROOT / "templates/exports/actions.j2").read_text(encoding="utf-8")
    known = {
        name: f"{name}@{commit} # {release}"
        for name, release, commit in re.findall(r'"(\S+)": \("(v[\d.]+)", "([0-9a-f]{40})"\)', table)
    }
    own = [ROOT / "action.yml", *(ROOT / ".github/workflows").glob("*.yml")]
    used = [use for path in own for use in re.findall(r"uses: (.+)", path.read_text(encoding="utf-8"))]
    assert [use for use in used if use != known.get(use.partition("@")[0])] == []
    exported = [path.read_text(encoding="utf-8") for path in (ROOT / "templates/exports").glob("github-*.j2")]
    rendered = [name for text in exported for name in re.findall(r'action\("(\S+)"\)', text)]
    assert {use.partition("@")[0] for use in used} | {*rendered} == {*known}


class TestPreCommit:
    def test_the_hooks_are_hooks(self) -> None:
        done = run(BIN / "pre-commit", "validate-manifest", ".pre-commit-hooks.yaml")
        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize("hook", loaded(".pre-commit-hooks.yaml"), ids=lambda hook: hook["id"])
    def test_each_runs_on_what_it_is_about(self, hook: dict[str, Any], kgen: Kgen, project: Path) -> None:
        (project / "kgen.toml").write_text(
            f'backends = ["numpy"]\ncpu = true\npython = "{PYTHON}"\nplatforms = ["linux-64"]\n', encoding="utf-8"
        )
        assert kgen("lock").status == 0
        words = shlex.split(hook["entry"])
        assert words[0] == "kgen"
        assert kgen(*words[1:]).status == 0
        assert re.search(hook["files"], "kgen.toml")
        assert not re.search(hook["files"], "src/kgen.toml.py")

    def test_check_fails_where_it_should(self, kgen: Kgen, project: Path) -> None:
        (project / "kgen.toml").write_text('backends = ["numpy"]\ncpu = true\n', encoding="utf-8")
        assert kgen("check").status == 1

    def test_they_run_in_a_repository(self, kgen: Kgen, project: Path, tmp_path: Path) -> None:
        """By pre-commit itself, in the environment that the tests are in: to install one it would ask an index."""
        hooks = loaded(".pre-commit-hooks.yaml")
        local = [{**hook, "language": "system", "entry": f"{sys.executable} -m {hook['entry']}"} for hook in hooks]
        (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [{"repo": "local", "hooks": local}]}))
        (project / "kgen.toml").write_text(
            f'backends = ["numpy"]\ncpu = true\npython = "{PYTHON}"\nplatforms = ["linux-64"]\n', encoding="utf-8"
        )
        for words in (("init", "-q"), ("add", ".pre-commit-config.yaml", "kgen.toml")):
            assert run("git", *words, cwd=project).returncode == 0
        env = kgen.env(PRE_COMMIT_HOME=str(tmp_path / "pre-commit"))
        done = run(BIN / "pre-commit", "run", "--all-files", cwd=project, **env)
        assert "kgen check" in done.stdout
        assert re.search(r"kgen check\.+Failed", done.stdout), done.stdout  # nothing was locked yet
        assert re.search(r"kgen lock\.+Passed", done.stdout), done.stdout
        assert run("git", "add", ".", cwd=project).returncode == 0
        done = run(BIN / "pre-commit", "run", "--all-files", cwd=project, **env)
        assert done.returncode == 0, done.stdout


class TestAction:
    def test_its_steps_do_what_they_say(self, kgen: Kgen, project: Path, tmp_path: Path) -> None:
        """By bash, as a runner does it, with this kgen in the place of the one that would be installed."""
        assert kgen(*LOCK, "numpy").status == 0
        programs = tmp_path / "bin"
        programs.mkdir()
        called, made = tmp_path / "called", tmp_path / "as the settings say"
        (programs / "kgen").write_text(
            f'#!/bin/sh\necho "$@" >> {called}\n[ "$1" = sync ] && echo "{made}/$2" && exit 0\n'
            f'exec {sys.executable} -m kgen "$@"\n'
        )
        (programs / "kgen").chmod(0o755)
        output = tmp_path / "output"
        for step in loaded("action.yml")["runs"]["steps"]:
            if "run" in step and step["name"] != "Install kgen":
                env = kgen.env(GITHUB_OUTPUT=str(output), ENVIRONMENTS="numpy-cpu other")
                env["PATH"] = f"{programs}:{env['PATH']}"
                done = run("bash", "-euo", "pipefail", "-c", step["run"], cwd=project, **env)
                assert done.returncode == 0, done.stderr
        assert called.read_text().splitlines() == ["check", "sync numpy-cpu", "sync other"]
        assert output.read_text() == f"envs={made}\n"

    def test_every_call_of_kgen_is_in_the_projects_folder(self) -> None:
        calling = [
            step for step in loaded("action.yml")["runs"]["steps"] if re.search(r"\bkgen [a-z]", step.get("run", ""))
        ]
        assert len(calling) == 2
        assert {step["working-directory"] for step in calling} == {"${{ inputs.working-directory }}"}
        assert "inputs.working-directory" in loaded("action.yml")["runs"]["steps"][0]["with"]["key"]

    def test_no_input_is_put_into_a_script(self) -> None:
        """A runner replaces `${{ }}` in the text of a script, whatever is in it: inputs come as variables."""
        assert all("${{" not in step.get("run", "") for step in loaded("action.yml")["runs"]["steps"])


class TestImage:
    """The Dockerfile of kgen itself."""

    def test_it_is_sound(self) -> None:
        done = run(BIN / "hadolint", "Dockerfile")
        assert done.returncode == 0, done.stdout

    def test_its_lines_make_kgen(self, tmp_path: Path) -> None:
        """Typed here, with a folder for the root of each stage, and an index of what is installed here."""
        made = Typed(tmp_path / "root", index_of_what_is_here(tmp_path / "wheels"))
        for word, rest in instructions(ROOT / "Dockerfile"):
            made.follow(word, rest)
        assert not (made.root / "source").exists()  # the last stage has nothing of the first but what it copied
        assert made.call() == 0, made.said
        assert made.said.startswith("usage: kgen")
        assert made.call("solve", "jax", "--cpu") == 0, made.said
        assert made.said.startswith("jax-cpu: ")


def index_of_what_is_here(folder: Path) -> Path:
    """A folder with wheels of all that kgen and its build need, as they are installed."""
    folder.mkdir()
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = (*project["project"]["dependencies"], *project["build-system"]["requires"])
    for name in {Requirement(text).name for text in needed}:
        for distribution in repack.closure(name):
            filename, content = repack.wheel_of(distribution)
            (folder / filename).write_bytes(content)
    return folder


def linked(name: str) -> dict[str, str]:
    """Where a project, and all that it needs, lies in a package of nixpkgs -> where it lies here."""
    links = {}
    for distribution in repack.closure(name):
        for file in distribution.files or ():
            top = file.parts[0]
            if top not in {"..", "__pycache__"}:
                links[f"lib/python{MINOR}/site-packages/{top}"] = str(distribution.locate_file(top))
    return links


def unpacked(sdist: Path, folder: Path) -> Path:
    """The folder in a source distribution that holds everything."""
    if hasattr(tarfile, "data_filter"):
        shutil.unpack_archive(sdist, folder, filter="data")
    else:  # as Debian 12's Python 3.11.2
        shutil.unpack_archive(sdist, folder)
    (source,) = folder.iterdir()
    return source


def instructions(path: Path) -> Iterator[tuple[str, str]]:
    """The instructions of a Dockerfile, each with the rest of its line."""
    for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


@dataclasses.dataclass
class Typed:
    """What the instructions of a Dockerfile make, in a folder that stands for the root.

    A stage that is done moves aside, so that what the next copies of it is found where the image would have it.
    """

    root: Path
    wheels: Path
    stages: dict[str, Path] = dataclasses.field(default_factory=dict)
    name: str = ""
    there: str = "/"
    variables: dict[str, str] = dataclasses.field(default_factory=dict)
    entry: list[str] = dataclasses.field(default_factory=list)
    default: list[str] = dataclasses.field(default_factory=list)
    said: str = ""

    def follow(self, word: str, rest: str) -> None:
        """Do what an instruction says."""
        known: dict[str, Callable[[str], None]] = {
            "FROM": self._begin,
            "WORKDIR": self._enter,
            "COPY": self._copy,
            "ENV": self._set,
            "RUN": self._run,
            "ENTRYPOINT": lambda text: self.entry.extend(json.loads(text)),
            "CMD": lambda text: self.default.extend(json.loads(text)),
        }
        known[word](rest)

    def call(self, *words: str) -> int:
        """Run the image; the exit status."""
        done = subprocess.run(
            [*self.entry, *(words or self.default)],
            cwd=self.at(self.there), env=self._environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.said = done.stdout + done.stderr
        return done.returncode

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _begin(self, text: str) -> None:
        if self.name:
            self.stages[self.name] = self.root.rename(self.root.with_name(self.name))
        image, _, self.name = text.partition(" AS ")
        assert re.fullmatch(r"python:3\.\d+-slim", image)
        self.root.mkdir()
        self.there, self.variables = "/", {}

    def _enter(self, text: str) -> None:
        self.there = text
        self.at(text).mkdir(parents=True)

    def _copy(self, text: str) -> None:
        *options, source, target = text.split()
        if options:
            (option,) = options
            stage = self.stages[option.removeprefix("--from=")]
            shutil.copytree(stage / source.lstrip("/"), self.at(target), symlinks=True, copy_function=os.link)
            return
        assert (source, target) == (".", ".")
        left_out = {line.rstrip("/") for line in (ROOT / ".dockerignore").read_text().split()}
        listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").stdout.split("\0")
        for path in filter(None, listed):
            if (ROOT / path).is_file() and path.partition("/")[0] not in left_out:
                (self.at(self.there) / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / path, self.at(self.there) / path)

    def _set(self, text: str) -> None:
        self.variables |= dict(one.split("=", 1) for one in shlex.split(text))

    def _run(self, text: str) -> None:
        done = run("sh", "-euc", re.sub(r"(?<![\w.])/opt\b", str(self.at("/opt")), text),
                   cwd=self.at(self.there), **self._environment())  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def _environment(self) -> dict[str, str]:
        """The variables of the stage, with the paths of the root that they name."""
        kept = {name: os.environ[name] for name in ("HOME", "LD_LIBRARY_PATH") if name in os.environ}
        path = self.variables.get("PATH", "$PATH")
        path = re.sub(r"(?:^|(?<=:))/opt\b", str(self.at("/opt")), path).replace("$PATH", f"{BIN}:{os.environ['PATH']}")
        index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_NO_COMPILE": "1"}
        return {**kept, **index, **self.variables, "PATH": path}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The distributions of a release, built twice from copies in different folders."""
    made = []
    for name in ("one", "other"):
        source = tmp_path_factory.mktemp(name) / "kgen"
        source.mkdir()
        listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").stdout.split("\0")
        for path in filter(None, listed):
            if (ROOT / path).is_file() and not path.startswith("tests/data"):
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / path, source / path)
        words = (sys.executable, "-m", "build", "--no-isolation", "--outdir", str(source / "dist"), str(source))
        done = run(*words, SOURCE_DATE_EPOCH="1700000000")
        assert done.returncode == 0, done.stdout + done.stderr
        made.append(source / "dist")
    return made[0], made[1]


class TestRelease:
    def test_twice_built_is_the_same(self, released: tuple[Path, Path]) -> None:
        sums = [
            {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
            for folder in released
        ]
        assert sums[0] == sums[1]
        assert sorted(path.rpartition(".")[2] for path in sums[0]) == ["gz", "whl"]

    def test_an_index_would_take_it(self, released: tuple[Path, Path]) -> None:
        done = run(BIN / "twine", "check", "--strict", *map(str, released[0].iterdir()))
        assert done.returncode == 0, done.stdout

    def test_it_holds_what_it_needs_and_no_tests(self, released: tuple[Path, Path]) -> None:
        (wheel,) = released[0].glob("*.whl")
        inside = set(zipfile.ZipFile(wheel).namelist())
        assert {"kgen/__main__.py", "kgen/_data/matrix/jax.toml", "kgen/_data/templates/pylock.toml.j2"} <= inside
        assert not [name for name in inside if name.startswith("tests")]
        (sdist,) = released[0].glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        assert {"pyproject.toml", "README.md", "LICENSE", "mkdocs.yml", "docs/index.md", "nix/default.nix"} <= names

    def test_what_is_installed_works(self, released: tuple[Path, Path], tmp_path: Path, kgen: Kgen) -> None:
        """From a folder, into an environment that borrows the dependencies of this one."""
        (wheel,) = released[0].glob("*.whl")
        assert run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv").returncode == 0
        uv = BIN / "uv"
        python = tmp_path / "venv/bin/python"
        done = run(uv, "pip", "install", "--no-deps", "--offline", "--python", python, wheel)
        assert done.returncode == 0, done.stderr
        (site,) = (tmp_path / "venv/lib").glob("python*/site-packages")
        (there,) = Path(sys.executable).parents[1].glob("lib/python*/site-packages")
        (site / "borrowed.pth").write_text(f"{there}\n")
        done = run(tmp_path / "venv/bin/kgen", "solve", "jax", "--cpu", "--python", PYTHON, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("jax-cpu: ")
        where = run(python, "-c", "import kgen; print(kgen.__file__)", cwd=tmp_path).stdout
        assert where.startswith(str(tmp_path)), where
        assert kgen("--version").stdout == run(tmp_path / "venv/bin/kgen", "--version", cwd=tmp_path).stdout

    def test_conda_builds_it(self, released: tuple[Path, Path], tmp_path: Path) -> None:
        """By conda-forge's builder, from the sdist, in a channel of what is installed here; then the recipe's tests."""
        (sdist,) = released[0].glob("*.tar.gz")
        source = unpacked(sdist, tmp_path / "source")
        recipe = source / "packaging/conda-forge/recipe.yaml"
        text = recipe.read_text(encoding="utf-8")
        assert 'python_min: "3.10"' in text  # the oldest that kgen runs on; here is one interpreter
        recipe.write_text(text.replace('python_min: "3.10"', f'python_min: "{MINOR}"'), encoding="utf-8")
        asked = yaml.safe_load(text)["requirements"]
        needed = {row.split()[0] for row in (*asked["host"], *asked["run"])} - {"python"}
        channel = Channel(folder=tmp_path / "channel")
        channel.add_python()
        channel.add_installed(sorted(needed))
        channel.index()
        with serving(channel.folder) as served:
            # a process of its own: while it builds, it keeps every other thread of an interpreter waiting
            words = (sys.executable, "-c", BUILD, str(recipe), str(tmp_path / "built"), served.url)
            home = {name: str(tmp_path / "home") for name in ("HOME", "XDG_CACHE_HOME", "RATTLER_CACHE_DIR")}
            done = run(*words, cwd=tmp_path, **home)
            asked_for = " ".join(served.asked)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "all tests passed!" in done.stdout
        assert f"kgen {__version__}" in done.stdout
        (built,) = (tmp_path / "built/noarch").glob("*.conda")
        assert built.name.startswith(f"keras-kgen-{__version__}-")
        assert all(f"/{name}-" in asked_for for name in needed)

    @pytest.mark.nix
    @pytest.mark.skipif(shutil.which("nix") is None, reason="there is no nix on PATH")
    def test_nixpkgs_builds_it(self, released: tuple[Path, Path], tmp_path: Path) -> None:
        """The package, from the sdist, by a Nix with as much of nixpkgs as it uses; then its program, without PATH."""
        (sdist,) = released[0].glob("*.tar.gz")
        source = unpacked(sdist, tmp_path / "source")
        package = source / "packaging/nixpkgs/package.nix"
        project = tomli.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
        needed = (*project["project"]["dependencies"], *project["build-system"]["requires"])
        links = {Requirement(text).name: linked(Requirement(text).name) for text in needed}
        uv = links.pop("uv")
        assert uv  # a program in nixpkgs, and no module
        (tmp_path / "distributions.json").write_text(json.dumps(links))
        expression = f"""
          let uv = pkgs.runCommand "uv" {{ }} "mkdir -p $out/bin; ln -s {BIN}/uv $out/bin/uv";
              python3Packages = import {NIXPKGS}/python-packages.nix {{
                inherit pkgs uv;
                distributions = builtins.fromJSON (builtins.readFile {tmp_path}/distributions.json);
              }};
          in import {package} {{
            inherit python3Packages uv;
            makeWrapper = {NIXPKGS}/make-wrapper.sh;
            lib = {{
              licenses.asl20 = "Apache-2.0"; platforms.linux = [ ];
              makeBinPath = packages: builtins.concatStringsSep ":" (map (one: "${{one}}/bin") packages);
            }};
          }}
        """
        nix = Nix.at(tmp_path / "nix")
        built = nix.build(expression)
        assert isinstance(built, Path)
        home = {"HOME": str(tmp_path / "home"), "KGEN_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/nowhere"}
        for words, said in (
            (("--version",), f"kgen {__version__}\n"),
            (("solve", "jax", "--cpu", "--python", PYTHON), "jax-cpu: "),
            (("--version", "--verbose"), "\nuv  "),  # which its wrapper puts on PATH
        ):
            done = subprocess.run(
                [built / "bin/kgen", *words], cwd=tmp_path, env=home, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert said in done.stdout
        # a dependency that the text forgets is not forgiven
        forgotten = package.read_text(encoding="utf-8").replace("    tomlkit\n", "")
        package.write_text(forgotten, encoding="utf-8")
        assert "tomlkit is not among the dependencies" in str(nix.build(expression, fails=True))

    def test_the_action_installs_it(self, released: tuple[Path, Path], tmp_path: Path) -> None:
        """By the step itself; pip's variables keep it from an index, and from the dependencies."""
        (wheel,) = released[0].glob("*.whl")
        (step,) = (one for one in loaded("action.yml")["runs"]["steps"] if one["name"] == "Install kgen")
        assert set(step["env"]) == {"VERSION"}
        path = tmp_path / "path"
        own = {"RUNNER_TEMP": str(tmp_path / "with space"), "GITHUB_PATH": str(path), "VERSION": str(wheel)}
        own |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
        done = run("bash", "-euo", "pipefail", "-c", step["run"], cwd=tmp_path, **own)
        assert done.returncode == 0, done.stderr
        assert (Path(path.read_text().strip()) / "kgen").is_file()

    def test_the_feature_installs_it(self, released: tuple[Path, Path], tmp_path: Path) -> None:
        """The feature of development containers, by its own script, with the root of an image in a folder."""
        (wheel,) = released[0].glob("*.whl")
        feature = ROOT / "packaging/devcontainer/src/kgen"
        root = tmp_path / "image"
        own = {"ROOT": str(root), "VERSION": str(wheel), "ENVIRONMENT": "jax", "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
        own["PATH"] = f"{BIN}:{os.environ['PATH']}"
        done = run("sh", "-eu", str(feature / "install.sh"), cwd=tmp_path, **own)
        assert done.returncode == 0, done.stderr
        asked = "from importlib.metadata import version; print(version('keras-kgen'))"
        assert run(str(root / "opt/kgen/bin/python"), "-c", asked, cwd=tmp_path).stdout == f"{__version__}\n"
        assert (root / "opt/kgen/bin/kgen").is_file()
        assert (root / "usr/local/bin/kgen").readlink() == Path("/opt/kgen/bin/kgen")
        assert os.access(root / "usr/local/share/kgen/post-create", os.X_OK)
