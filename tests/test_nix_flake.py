"""The flakes: this project's, the one that `kgen lock` writes, and one that a user wrote beside other shells."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import urllib.parse
import zipfile
from pathlib import Path

import pytest
import tomli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests import lock_nix
from tests.command import CUTOFF, Kgen
from tests.index import Index
from tests.nix import MINOR, ROOT, SYSTEM, File, Nix, copy_of_repository, image_of, lock_text, write_environment
from tests.wheelhouse import Wheel

from kgen import accelerators, lockfiles
from kgen.actions import flake
from kgen.emitters.nix import PLATFORMS, render_flake
from kgen.formats.wheels import repack
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.validation import reference

pytestmark = [pytest.mark.nix, pytest.mark.skipif(shutil.which("nix") is None, reason="there is no nix on PATH")]

HOSTILE = "${builtins.abort \"run\"} $(touch pwned) `touch pwned` ' \" \\ \n''${x}''"
KERAS = {
    "keras/__init__.py": b"import os\n__version__ = '3'\nfrom keras import backend\n",
    "keras/backend.py": b"import os\ndef backend(): return os.environ['KERAS_BACKEND']\n",
}
"""A Keras that knows what it was told and nothing else."""
OWN_WORK = """
{
  inputs.kgen.url = "path:REPOSITORY";
  inputs.kgen.inputs.nixpkgs.follows = "nixpkgs";
  outputs = { self, nixpkgs, kgen }: let pkgs = nixpkgs.legacyPackages.SYSTEM; in {
    devShells.SYSTEM = {
      plain = pkgs.mkShellNoCC { };
      training = kgen.lib.mkKerasShell {
        inherit pkgs;
        lock = ./locks/torch-cpu;
        packages = [ pkgs.ffmpeg ];
        env.MINE = "a $(touch pwned) ' \\" b";
        shellHook = "echo hooked on $KERAS_BACKEND";
      };
      around = pkgs.mkShellNoCC {
        inputsFrom = [ (kgen.lib.mkKerasShell { inherit pkgs; lock = ./locks/torch-cpu; }) ];
        packages = [ pkgs.ffmpeg ];
        shellHook = "echo around $KERAS_BACKEND";
      };
    };
  };
}
"""
BUNDLER = """
{
  outputs = _: {
    bundlers.SYSTEM.default = program: derivation {
      name = "bundled";
      system = "SYSTEM";
      builder = "/bin/sh";
      args = [ "-c" ''
        { echo '#!/bin/sh'; echo "exec $program" '"$@"'; } > $out
        /bin/chmod +x $out
        exit
      '' ];
      program = "${program}/bin/${program.meta.mainProgram}";
    };
  };
}
"""
"""A bundler that bundles nothing: a script that starts the program."""
MAKER = b"""
import os, zipfile

def build_editable(folder, settings, metadata):
    name = "made-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("made.pth", os.getcwd() + "\\n")
        if os.path.exists("odd"):
            wheel.writestr("odd.bin", os.getcwd())
        wheel.writestr("made-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: made\\nVersion: 1\\n")
        wheel.writestr("made-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("made-1.dist-info/RECORD", "")
    return name
"""
"""A build backend whose editable wheels are the project's folder on the path."""
SAY = "import keras; print(keras.backend.backend())"


@pytest.fixture(scope="module", name="nix")
def _nix(tmp_path_factory: pytest.TempPathFactory) -> Nix:
    return Nix.at(tmp_path_factory.mktemp("nix"))


@pytest.fixture(scope="module", name="repository")
def _repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture(name="own")
def _own(nix: Nix, repository: Path, project: Path, tmp_path: Path) -> Path:
    """A project with two environments of a Keras of its own, for this platform, and one for another."""
    keras = File.of(Wheel(name="keras", version="3.0", files=KERAS))
    nix.seed([keras.written(tmp_path / "wheels")])
    for backend in ("jax", "torch"):
        text = lock_text(f"{backend}-cpu", [keras], variables={"KERAS_BACKEND": backend, "QUOTED": "it's {x} \"\\"})
        write_environment(project / "locks", f"{backend}-cpu", text, {"KERAS_BACKEND": backend, "HOSTILE": HOSTILE})
    lock = write_environment(project / "locks", "numpy-cpu", "")
    text = lock_text("numpy-cpu", [keras]).replace('"linux-64"', '"osx-arm64"')
    lock.rename(lock.with_name("pylock.osx-arm64.toml")).write_text(text)
    (project / "flake.nix").write_text(render_flake(flake=f"path:{repository}", default=None))
    return project


class TestOwnFlake:
    """`flake.nix` of this repository, with the reference locks."""

    def test_what_it_offers(self, nix: Nix, repository: Path) -> None:
        shown = json.loads(nix.flake("flake", "show", "--json", f"path:{repository}"))
        environments = {path.name for path in (ROOT / "locks").iterdir()}
        backends = {"tensorflow", "jax", "torch", "numpy", "openvino", "all"}
        assert set(shown["devShells"]) == {SYSTEM}
        assert set(shown["devShells"][SYSTEM]) == environments | backends | {"default"}
        assert shown["devShells"][SYSTEM]["jax"]["name"] == "jax-cuda12"
        images = {f"{name}-image" for name in environments | backends}
        assert set(shown["packages"][SYSTEM]) == environments | backends | images | {"default", "kgen"}
        for system in ("aarch64-linux", "aarch64-darwin"):
            assert set(shown["packages"][system]) == {"default", "kgen"}
        assert shown["packages"][SYSTEM]["default"]["name"].startswith("keras-kgen-")
        assert set(shown["checks"][SYSTEM]) == {"locks", "numpy-cpu", "openvino-cpu"}
        assert set(shown["formatter"]) == {SYSTEM, "aarch64-linux", "aarch64-darwin"}
        assert shown["overlays"]["default"]["type"] == "nixpkgs-overlay"
        assert shown["templates"]["default"]["type"] == "template"

    def test_check(self, nix: Nix, repository: Path) -> None:
        """Every output is evaluated down to its derivations; the reference locks can be read."""
        nix.flake("flake", "check", "--no-build", f"path:{repository}")
        locks = nix.flake("build", "--no-link", "--json", f"path:{repository}#checks.{SYSTEM}.locks")
        built = Path(json.loads(locks)[0]["outputs"]["out"])
        assert built.read_text().split() == sorted(path.name for path in (ROOT / "locks").iterdir())

    def test_the_pin_is_of_the_input(self) -> None:
        lock = json.loads((ROOT / "flake.lock").read_text())
        assert (lock["root"], lock["nodes"]["root"]) == ("root", {"inputs": {"nixpkgs": "nixpkgs"}})
        pin = lock["nodes"]["nixpkgs"]
        url = "github:{owner}/{repo}/{ref}".format(**pin["original"])
        assert f'inputs.nixpkgs.url = "{url}";' in (ROOT / "flake.nix").read_text()
        assert len(pin["locked"]["rev"]) == 40
        assert pin["locked"]["narHash"].startswith("sha256-")

    def test_the_template_is_what_kgen_would_write(self, kgen: Kgen) -> None:
        assert (ROOT / "nix" / "template" / "flake.nix").read_text() == kgen("export", "nix").stdout

    @pytest.mark.parametrize("kind", ["run", "build"])
    def test_what_kgen_is_made_of(self, kind: str) -> None:
        """The lock of its package has what pyproject.toml requires, for every system and every CPython."""
        data = json.loads((ROOT / "nix" / "kgen-lock.json").read_text())
        project = tomli.loads((ROOT / "pyproject.toml").read_text())
        wanted = project["project"]["dependencies"] if kind == "run" else project["build-system"]["requires"]
        assert set(data["targets"]) == set(PLATFORMS)
        for platform, minors in data["targets"].items():
            assert set(minors) == set(lock_nix.MINORS)
            for minor, kinds in minors.items():
                rows = {data["files"][name]["name"]: data["files"][name] for name in kinds[kind]}
                for requirement in map(Requirement, wanted):
                    version = rows[requirement.name]["version"]
                    assert requirement.specifier.contains(version), f"python -m tests.lock_nix: {requirement}"
                assert all(len(row["sha256"]) == 64 and row["size"] > 0 for row in rows.values())
                # its program is linked with nothing
                uv = next((name for name in kinds[kind] if name.startswith("uv-")), None)
                assert (uv is not None) == (kind == "run")
                assert uv is None or ("musllinux" in uv) == platform.startswith("linux"), (platform, minor)

    def test_kgen_itself(self, nix: Nix) -> None:
        """It takes nixpkgs' own CPython where it is locked for that, else the newest that there is, or says so."""
        made = "kgen.mkKgen { pkgs = %s; }"
        assert nix.evaluate(f"({made % 'pkgs'}).pname") == "keras-kgen"
        assert nix.evaluate(f"({made % 'pkgs'}).python.pythonVersion") == MINOR
        other = '(pkgs // { python3 = pkgs.python310; python314 = throw "it was removed"; })'
        assert nix.evaluate(f"({made % other}).python.pythonVersion") == "3.13"
        names = " ".join(f'"python{minor.replace(".", "")}"' for minor in lock_nix.MINORS)
        none = f"(removeAttrs (pkgs // {{ python3 = pkgs.python310; }}) [ {names} ])"
        said = str(nix.evaluate(f"({made % none}).python.pythonVersion", fails=True))
        assert f"kgen: it is locked for Python {', '.join(lock_nix.MINORS)}, and this nixpkgs has none of them" in said

    def test_the_overlay(self, nix: Nix, repository: Path) -> None:
        expression = (
            f'let flake = builtins.getFlake "path:{repository}"; in (flake.overlays.default pkgs pkgs).mkKerasShell'
            f" {{ lock = {ROOT}/locks/numpy-cpu; }}"
        )
        words = ("nix", "eval", "--impure", "--raw", "--expr", nix._bound(f"({expression}).name"))
        # getFlake takes no override: the pin is never fetched, as nothing of it is asked for
        assert nix.run(*words).stdout == "numpy-cpu"
        command = f'(builtins.getFlake "path:{repository}").overlays.default pkgs pkgs'
        words = ("nix", "eval", "--impure", "--raw", "--expr", nix._bound(f"({command}).kgen.pname"))
        assert nix.run(*words).stdout == "keras-kgen"

    def test_the_module_for_flake_parts(self, nix: Nix, repository: Path) -> None:
        """Its options are the arguments of mkOutputs, and each system gets what that gives for its own packages."""
        module = f"""
            let
              flake = builtins.getFlake "path:{repository}";
              typed = {{ path = null; str = null; bool = null; }} // combined;
              combined = {{ nullOr = one: one; listOf = one: one; either = one: _: one; }};
              lib = {{ types = typed; mkOption = one: one; mkIf = when: what: if when then what else {{ }}; }};
              made = settings: import {ROOT}/nix/flake-module.nix {{ inherit (kgen) mkOutputs; }} {{
                inherit lib;
                config.kgen = builtins.mapAttrs (_: one: one.default) (made settings).options.kgen // settings;
              }};
              of = settings: (made settings).config.perSystem {{ inherit pkgs; system = "{SYSTEM}"; }};
              names = builtins.mapAttrs (_: one: builtins.attrNames one);
            in {{
              offered = builtins.isFunction flake.flakeModules.default;
              options = builtins.attrNames (made {{ }}).options.kgen;
              arguments = builtins.attrNames (builtins.functionArgs kgen.mkOutputs);
              nothing = (made {{ }}).config;
              outputs = names (of {{ locks = {ROOT}/locks; preferred = [ "jax-cuda13" ]; }});
              jax = (of {{ locks = {ROOT}/locks; preferred = [ "jax-cuda13" ]; }}).packages.jax.name;
            }}"""
        found = nix.evaluate(f"({module})")
        assert isinstance(found, dict)
        assert found["offered"]
        assert [*found["options"], "nixpkgs"] == sorted(found["arguments"], key=lambda name: (name == "nixpkgs", name))
        assert found["nothing"] == {}
        assert set(found["outputs"]) == {"checks", "devShells", "legacyPackages", "packages"}
        assert set(found["outputs"]["checks"]) == {"locks", "numpy-cpu", "openvino-cpu"}
        assert {"jax", "jax-cuda12", "jax-cuda13", "numpy", "torch-cuda12"} <= set(found["outputs"]["devShells"])
        assert "torch" in found["outputs"]["legacyPackages"]
        assert found["jax"] == "jax-cuda13"


class TestShell:
    def develop(self, nix: Nix, project: Path, shell: str, script: str, **environment: str) -> list[str]:
        words = ("develop", f"path:{project}#{shell}", "-c", "bash", "-euc", script)
        return nix.flake(*words, variables=environment).splitlines()

    @pytest.mark.parametrize("shell", ["jax", "jax-cpu", "torch"])
    def test_keras_is_on_the_backend_of_its_name(self, nix: Nix, own: Path, shell: str) -> None:
        assert self.develop(nix, own, shell, f"python -c '{SAY}'") == [shell.partition("-")[0]]

    def test_outside_of_the_shell(self, nix: Nix, own: Path, tmp_path: Path) -> None:
        """`nix shell`, `nix run` and a link to the environment select the backend too, unless it is set."""
        installable = f"path:{own}#jax"
        code = f"{SAY}; import os; print(os.environ['QUOTED'])"
        nix.flake("build", "--out-link", str(tmp_path / "result"), installable)
        for words in (
            ("shell", installable, "-c", "python", "-c", code),
            ("run", installable, "--", "-c", code),
            ("shell", installable, "-c", str(tmp_path / "result/bin/python"), "-c", code),
        ):
            assert nix.flake(*words).splitlines() == ["jax", "it's {x} \"\\"]
            assert nix.flake(*words, variables={"KERAS_BACKEND": "torch"}).splitlines()[0] == "torch"

    def test_what_is_set_and_what_is_not(self, nix: Nix, own: Path) -> None:
        script = 'echo "$HOSTILE"; echo "$KGEN_ENVIRONMENT"; env | cut -d= -f1; type -P python'
        environment = {"PYTHONPATH": "/elsewhere", "PYTHONHOME": "/elsewhere", "KERAS_BACKEND": "tensorflow"}
        lines = self.develop(nix, own, "jax", script, **environment)
        assert "\n".join(lines).startswith(f"{HOSTILE}\njax-cpu\n")
        assert not {"PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"} & set(lines)
        assert lines[-1].startswith(f"{nix.folder}/store/")
        assert lines[-1].endswith("-jax-cpu/bin/python")
        assert not list(own.rglob("pwned"))

    def test_leaving_it_puts_back_what_was_there(self, nix: Nix, own: Path, tmp_path: Path) -> None:
        """In the shell that it was started from, in one that reads its variables (as direnv does), and inside of it."""
        hook = own / "locks" / "jax-cpu" / "deactivate.d" / "kgen.sh"
        script = f'echo "$KERAS_BACKEND"; . {hook}; echo "$KERAS_BACKEND ${{KGEN_ENVIRONMENT-none}}"'
        assert self.develop(nix, own, "jax", script, KERAS_BACKEND="mine") == ["jax", "mine none"]

        read = tmp_path / "environment.sh"
        read.write_text(nix.flake("print-dev-env", f"path:{own}#jax"))
        words = ["bash", "-c", f". {read}; {script}; env | grep -c ^_KGEN_ || true"]
        done = subprocess.run(
            words, env={**nix.environment, "KERAS_BACKEND": "mine"}, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == ["jax", "mine none", "0"]

        nested = f"nix develop path:{own}#torch --override-input nixpkgs path:{nix.nixpkgs} --no-write-lock-file -c"
        inner = f"{nested} bash -c 'echo $KERAS_BACKEND $KGEN_SHLVL'; echo $KERAS_BACKEND $KGEN_SHLVL"
        assert self.develop(nix, own, "jax", inner) == ["torch 2", "jax 1"]

    @pytest.mark.skipif(shutil.which("direnv") is None, reason="there is no direnv on PATH")
    def test_direnv(self, nix: Nix, own: Path) -> None:
        """Going in sets, going out puts back."""
        override = f"--override-input nixpkgs path:{nix.nixpkgs} --no-write-lock-file"
        (own / ".envrc").write_text(f"use flake path:{own}#jax {override}\n")
        environment = {"KERAS_BACKEND": "mine", "PATH": os.environ["PATH"]}
        nix.run("direnv", "allow", own, variables=environment)
        script = (
            f'cd {own}; eval "$(direnv export bash)"; echo "$KERAS_BACKEND"; python -c \'{SAY}\';'
            ' cd /; eval "$(direnv export bash)"; echo "$KERAS_BACKEND ${KGEN_ENVIRONMENT-none}"'
        )
        assert nix.run("bash", "-c", script, variables=environment).stdout.splitlines() == ["jax", "jax", "mine none"]

    def test_packages_variables_and_hook_of_the_users_own(self, nix: Nix, own: Path, repository: Path) -> None:
        """`mkKerasShell` beside other shells in a flake that is the user's own work."""
        (own / "flake.nix").write_text(OWN_WORK.replace("REPOSITORY", str(repository)).replace("SYSTEM", SYSTEM))
        lines = self.develop(nix, own, "training", f'echo "$MINE"; echo "$PATH"; python -c "{SAY}"')
        assert lines[:2] == ["hooked on torch", "a $(touch pwned) ' \" b"]
        assert "-torch-cpu/bin:" in lines[2]
        assert "-ffmpeg/bin:" in lines[2]
        assert lines[3] == "torch"
        assert self.develop(nix, own, "plain", 'echo "${KERAS_BACKEND-none}"') == ["none"]
        # a shell of theirs that has one of kgen's in it
        lines = self.develop(nix, own, "around", f'echo "$PATH"; python -c "{SAY}"')
        assert (lines[0], lines[2]) == ("around torch", "torch")
        assert "-ffmpeg/bin:" in lines[1]

    def test_an_environment_without_its_hook(self, nix: Nix, own: Path) -> None:
        shutil.rmtree(own / "locks" / "jax-cpu" / "activate.d")
        said = nix.flake("develop", f"path:{own}#jax", "-c", "true", fails=True)
        assert "locks/jax-cpu/activate.d/kgen.sh is not there; `kgen lock` writes it" in said
        assert self.develop(nix, own, "torch", "echo well") == ["well"]


class TestPackages:
    """What else can be made of an environment."""

    def test_image(self, nix: Nix, own: Path, tmp_path: Path) -> None:
        """Its program is the environment's Python, on the backend that is locked; it has a shell and certificates."""
        nix.flake("build", "--out-link", str(tmp_path / "stream"), f"path:{own}#jax-image")
        tags, config = image_of(tmp_path / "stream")
        venv = nix.flake("eval", "--raw", f"path:{own}#jax.outPath")
        assert tags == ["jax-cpu:latest"]
        assert config["Entrypoint"] == [f"{venv}/bin/python"]
        variables = dict(one.split("=", 1) for one in config["Env"])
        assert variables["KERAS_BACKEND"] == "jax"
        assert variables["PATH"] == f"{venv}/bin:/bin"
        assert Path(variables["SSL_CERT_FILE"]).exists()
        assert not {"NVIDIA_VISIBLE_DEVICES"} & set(variables)
        # the image is made of what it refers to
        stream = (tmp_path / "stream").resolve()
        assert venv in nix.run("nix-store", "--query", "--requisites", str(stream)).stdout.split()

    @pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
    def test_image_starts(self, nix: Nix, own: Path, tmp_path: Path) -> None:
        """In a container with what the image is made of, its variables, a user whom no file names, and no network."""
        nix.flake("build", "--out-link", str(tmp_path / "stream"), f"path:{own}#jax-image")
        stream = (tmp_path / "stream").resolve()
        _, config = image_of(stream)
        closure = nix.run("nix-store", "--query", "--requisites", str(stream)).stdout.split()
        # the Python and the shell of the small nixpkgs are this machine's
        machine = [sys.base_prefix, "/usr", "/lib", "/lib64", "/bin"]
        shown = [word for path in (*closure, *machine) if Path(path).exists() for word in ("--ro-bind", path, path)]
        variables = [word for one in config["Env"] for word in ("--setenv", *one.split("=", 1))]
        code = "import getpass, os, keras; print(keras.backend.backend(), getpass.getuser(), os.getuid())"
        place = config["WorkingDir"]
        words = ["bwrap", "--unshare-all", "--uid", "12345", "--clearenv", "--tmpfs", place, *shown, *variables]
        done = subprocess.run(
            [*words, "--chdir", place, *config["Entrypoint"], "-c", code],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("jax keras 12345\n", "")

    @pytest.mark.skipif(
        not all(map(shutil.which, ("skopeo", "umoci", "bwrap"))), reason="skopeo, umoci or bubblewrap is not installed"
    )
    def test_image_by_tools_for_containers(self, nix: Nix, own: Path, tmp_path: Path) -> None:
        """skopeo makes an OCI image of it, umoci unpacks it, and what that says to run runs in it."""
        nix.flake("build", "--out-link", str(tmp_path / "stream"), f"path:{own}#jax-image")
        stream, layout, bundle = tmp_path / "stream", tmp_path / "layout", tmp_path / "bundle"
        (tmp_path / "image.tar").write_bytes(subprocess.run([stream], capture_output=True, check=True).stdout)
        copy = ["skopeo", "copy", "--quiet", "--insecure-policy", f"docker-archive:{tmp_path / 'image.tar'}"]
        subprocess.run([*copy, f"oci:{layout}:jax"], check=True)
        rootless = [] if os.getuid() == 0 else ["--rootless"]
        subprocess.run(["umoci", "unpack", *rootless, "--image", f"{layout}:jax", bundle], check=True)
        process = json.loads((bundle / "config.json").read_text())["process"]
        _, config = image_of(stream)
        assert (process["args"], process["cwd"]) == (config["Entrypoint"], config["WorkingDir"])
        assert set(config["Env"]) <= set(process["env"])
        # the Python and the shell of the small nixpkgs are this machine's
        machine = [path for path in (sys.base_prefix, "/usr", "/lib", "/lib64") if Path(path).exists()]
        shown = [word for path in machine for word in ("--ro-bind", path, path)]
        variables = [word for one in process["env"] for word in ("--setenv", *one.split("=", 1))]
        words = ["bwrap", "--unshare-all", "--clearenv", "--bind", bundle / "rootfs", "/", *shown, *variables]
        code = "import os, keras; print(keras.backend.backend(), os.stat('/tmp').st_mode & 0o7777 == 0o1777)"
        done = subprocess.run(
            [*words, "--chdir", process["cwd"], *process["args"], "-c", code],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("jax True\n", "")

    def test_image_for_cuda(self, nix: Nix, tmp_path: Path) -> None:
        """A container runtime lends the driver to a container that asks for it."""
        one = File.of(Wheel(name="one", version="1"))
        lock = write_environment(tmp_path / "locks", "jax-cuda12", lock_text("jax-cuda12", [one], cuda="12.8"))
        made = f"kgen.mkImage {{ inherit pkgs; venv = kgen.mkVenv {{ inherit pkgs; lock = {lock}; }}; }}"
        told = nix.evaluate(f"builtins.fromJSON (builtins.unsafeDiscardStringContext ({made}).image.image)")
        assert isinstance(told, dict)
        assert "NVIDIA_VISIBLE_DEVICES=all" in told["config"]["Env"]
        assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in told["config"]["Env"]

    def test_no_image_where_there_are_no_containers(self, nix: Nix, own: Path) -> None:
        shown = json.loads(nix.flake("flake", "show", "--json", f"path:{own}"))
        assert set(shown["packages"]["aarch64-darwin"]) == {"numpy", "numpy-cpu"}

    def test_bundle(self, nix: Nix, own: Path, tmp_path: Path) -> None:
        """`nix bundle` finds the program of an environment."""
        bundler = tmp_path / "bundler"
        bundler.mkdir()
        (bundler / "flake.nix").write_text(BUNDLER.replace("SYSTEM", SYSTEM))
        words = ("bundle", "--bundler", f"path:{bundler}", "--out-link", str(tmp_path / "bundled"), f"path:{own}#torch")
        nix.run("nix", *words, "--override-input", "nixpkgs", f"path:{nix.nixpkgs}", "--no-write-lock-file")
        done = subprocess.run([tmp_path / "bundled", "-c", SAY], capture_output=True, text=True, check=True, env={})
        assert done.stdout == "torch\n"


class TestChecks:
    def test_a_backend_that_is_not_the_locks(self, nix: Nix, own: Path, tmp_path: Path) -> None:
        """`nix flake check` runs kgen's step in each small environment for the CPU, and says how it failed."""
        other = b"def backend(): return 'torch'\n"
        wheels = (
            Wheel(name="keras", version="3.1", files={**KERAS, "keras/backend.py": other}),
            Wheel(name="numpy", version="2", files={"numpy/__init__.py": b"floating = ndarray = float\n"}),
        )
        files = [File.of(wheel) for wheel in wheels]
        nix.seed(file.written(tmp_path / "wheels") for file in files)
        for name in ("jax-cpu", "torch-cpu", "numpy-cpu"):
            shutil.rmtree(own / "locks" / name)
        text = lock_text("numpy-cpu", files, variables={"KERAS_BACKEND": "numpy"})
        write_environment(own / "locks", "numpy-cpu", text)
        said = nix.flake("flake", "check", f"path:{own}", "--print-build-logs", fails=True)
        assert "kgen: numpy-cpu: numpy failed in the stage `import` with status 1" in said
        assert "torch" in said.partition("numpy failed in the stage")[2]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (None, "trained as the reference does: Distance(losses=0.0, weights=0.0"),
            ("losses", "kgen: some-cpu: jax is too far from the reference: "),
            ("weights", "kgen: some-cpu: jax is too far from the reference: "),
            ("result", "kgen: some-cpu: jax failed in the stage `start` with status 3"),
        ],
    )
    def test_what_the_step_reports_is_compared(self, tmp_path: Path, change: str | None, said: str) -> None:
        """By numbers of a program that trains nothing and tells those of the reference."""
        told = {"event": "result", **json.loads(json.dumps(dict(reference.load())))}
        told.pop("outputs")
        if change == "losses":
            told["losses"][-1] *= 1.001
        if change == "weights":
            next(iter(told["weights"].values()))[0] += 1e-3
        (tmp_path / "told.json").write_text(json.dumps(told) + "\n")
        python = tmp_path / "python"
        copy = "exit 3" if change == "result" else f'cp {tmp_path}/told.json "$4"'
        python.write_text(f'#!/bin/sh\ntest "$KERAS_BACKEND" = jax || exit 9\n{copy}\n')
        python.chmod(0o755)
        step = {"backend": "jax", "step": "jax", "import": "keras"}
        given = {"steps": json.dumps([step]), "variables": '{"KERAS_BACKEND": "numpy"}', "environment": "some-cpu"}
        program = ROOT / "nix" / "builders" / "check_step.py"
        words: list[str | Path] = [sys.executable, program, python, ROOT / "generator" / "kgen" / "validation"]
        done = subprocess.run(words, env={**os.environ, **given}, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (change is None)
        assert said in done.stdout + done.stderr
        assert "Traceback" not in done.stderr

    def test_what_the_step_is_given(self, nix: Nix, matrix: CompatibilityMatrix) -> None:
        """Of each backend of the matrix what `kgen validate` gives it."""
        steps = nix.evaluate(
            f"let matrix = import {ROOT}/nix/matrix.nix; in builtins.listToAttrs (map (name: {{ inherit name; "
            f"value = matrix.stepOf name; }}) [ {' '.join(f'{chr(34)}{name}{chr(34)}' for name in matrix.backends)} ])"
        )
        assert steps == {
            name: {
                "backend": row.selected,
                "step": row.step,
                "import": matrix.generations[row.generation].module,
            }
            for name, row in matrix.backends.items()
        }
        assert nix.evaluate(f'(import {ROOT}/nix/matrix.nix).stepOf "none"') is None

    def test_the_kinds_are_those_of_the_matrix(self, nix: Nix) -> None:
        assert nix.evaluate(f"(import {ROOT}/nix/matrix.nix).kinds") == sorted(
            accelerators.names(), key=lambda n: (n != "cpu", n)
        )
        rows = nix.evaluate(f"builtins.attrNames (import {ROOT}/nix/drivers.nix)")
        assert isinstance(rows, list)
        assert set(rows) <= set(accelerators.names())

    def test_a_lock_in_the_folder_of_another(self, nix: Nix, own: Path) -> None:
        locks = own / "locks"
        shutil.copy(locks / "torch-cpu" / "pylock.linux-64.toml", locks / "jax-cpu")
        said = nix.flake("flake", "check", "--no-build", f"path:{own}", fails=True)
        assert "is one of torch-cpu, and lies in the folder of jax-cpu" in said

    def test_a_tampered_lock(self, nix: Nix, own: Path) -> None:
        """Another hash, and the file of that hash is nowhere; nothing of what is there is taken for it."""
        lock = own / "locks" / "jax-cpu" / "pylock.linux-64.toml"
        text = lock.read_text()
        digest = text.partition('sha256 = "')[2][:64]
        lock.write_text(text.replace(digest, digest[::-1]))
        said = nix.flake("develop", f"path:{own}#jax", "-c", "true", fails=True)
        assert "keras-3.0-py3-none-any.whl" in said
        assert "jax-cpu" in said


class TestNames:
    def outputs(self, tmp_path: Path, names: list[str], arguments: str) -> str:
        for name in names:
            write_environment(tmp_path / "locks", name, lock_text(name, [File.of(Wheel(name="one", version="1"))]))
        nixpkgs = f"{{ legacyPackages.{SYSTEM} = pkgs; }}"
        return (
            f"builtins.mapAttrs (_: one: one.lock.environment) (kgen.mkOutputs {{ nixpkgs = {nixpkgs};"
            f" locks = {tmp_path}/locks; {arguments} }}).devShells.{SYSTEM}"
        )

    def test_short_names(self, nix: Nix, tmp_path: Path) -> None:
        """One environment has it by itself, of several the preferred one; `default` is what was said."""
        names = ["jax-cpu", "jax-cuda12", "torch-cpu", "torch-cuda12", "numpy-cpu", "my-own-cuda13"]
        own = {name: name for name in names}
        made = self.outputs(tmp_path, names, 'preferred = [ "torch-cpu" ]; default = "jax-cpu";')
        assert nix.evaluate(made) == {
            **own,
            "torch": "torch-cpu",
            "numpy": "numpy-cpu",
            "my-own": "my-own-cuda13",
            "default": "jax-cpu",
        }

    def test_a_short_name_of_several(self, nix: Nix, tmp_path: Path) -> None:
        """Where Nix looks last for a name stands why there is none, and which there are."""
        self.outputs(tmp_path, ["jax-cpu", "jax-cuda12", "torch-cpu"], "")
        listed = self.offered(tmp_path, "legacyPackages")
        assert (
            "kgen: `jax` may be jax-cpu or jax-cuda12: name one of them, or choose the one that it stands for:"
            in str(nix.evaluate(f"{listed}.jax", fails=True))
        )

    @pytest.mark.parametrize(
        ("system", "name", "said"),
        [
            (SYSTEM, "torch", "`torch` is not locked for {system}; there are jax-cpu, numpy-cpu in "),
            (SYSTEM, "jax-cuda12", "`jax-cuda12` is not locked for {system}; there are jax-cpu, numpy-cpu in "),
            (SYSTEM, "tensorflow-tpu", "`tensorflow-tpu` is not locked for {system}; there are jax-cpu"),
            ("aarch64-linux", "jax", "`jax` is not locked for aarch64-linux; there are jax-cpu, numpy-cpu in "),
            (
                "aarch64-darwin",
                "jax-cpu",
                "`jax-cpu` is not locked for aarch64-darwin; it is for linux-64, and `kgen lock --platform osx-arm64`",
            ),
        ],
    )
    def test_what_is_not_locked(self, nix: Nix, tmp_path: Path, *, system: str, name: str, said: str) -> None:
        """Where Nix looks last, it finds which environments there are."""
        self.outputs(tmp_path, ["jax-cpu", "numpy-cpu"], "")
        listed = self.offered(tmp_path, "legacyPackages", system)
        assert f"kgen: {said.format(system=system)}" in str(nix.evaluate(f"{listed}.{name}", fails=True))
        known = nix.evaluate(f"builtins.attrNames {self.offered(tmp_path, 'legacyPackages')}")
        assert isinstance(known, list)
        assert not {"jax", "jax-cpu", "numpy"} & {*known}

    def offered(self, tmp_path: Path, output: str, system: str = SYSTEM) -> str:
        nixpkgs = f"{{ legacyPackages.{SYSTEM} = pkgs; }}"
        return f"(kgen.mkOutputs {{ nixpkgs = {nixpkgs}; locks = {tmp_path}/locks; }}).{output}.{system}"

    def test_an_environment_that_nix_cannot_serve(self, nix: Nix, tmp_path: Path) -> None:
        """A package without a wheel takes no other environment with it, and whoever asks is told."""
        one = File.of(Wheel(name="one", version="1"))
        for name in ("jax-cpu", "keras2-theano-cpu"):
            write_environment(tmp_path / "locks", name, lock_text(name, [one]))
        lock = tmp_path / "locks/keras2-theano-cpu/pylock.linux-64.toml"
        row = f'sdist = {{ path = "theano-1.0.5.tar.gz", size = 3, hashes = {{ sha256 = "{"0" * 64}" }} }}'
        package = f'[[packages]]\nname = "theano"\nversion = "1.0.5"\n{row}\n\n'
        lock.write_text(lock.read_text().replace("[tool.kgen]", f"{package}[tool.kgen]", 1))
        for output in ("packages", "devShells"):
            names = nix.evaluate(f"builtins.attrNames {self.offered(tmp_path, output)}")
            assert isinstance(names, list)
            assert [name for name in names if not name.endswith("-image")] == ["jax", "jax-cpu"]
        checks = nix.evaluate(f"builtins.mapAttrs (_: one: one.name) {self.offered(tmp_path, 'checks')}")
        assert checks == {"jax-cpu": "jax-cpu-trains", "locks": "kgen-locks"}
        said = str(nix.evaluate(f"{self.offered(tmp_path, 'legacyPackages')}.keras2-theano-cpu", fails=True))
        assert (
            "has a source distribution of theano, and not what that is built with; `kgen lock` writes it again" in said
        )

    def test_a_python_that_nixpkgs_has_not(self, nix: Nix, tmp_path: Path) -> None:
        """An old one takes no other environment with it, whether it is missing or says that it was removed."""
        one = File.of(Wheel(name="one", version="1"))
        write_environment(tmp_path / "locks", "jax-cpu", lock_text("jax-cpu", [one]))
        write_environment(tmp_path / "locks", "jax-cpu-py36", lock_text("jax-cpu-py36", [one], python="3.6"))
        for pkgs in ("pkgs", '(pkgs // { python36 = throw "python36 was removed"; })'):
            made = f"(kgen.mkOutputs {{ nixpkgs.legacyPackages.{SYSTEM} = {pkgs}; locks = {tmp_path}/locks; }})"
            for output in ("packages", "devShells", "checks"):
                names = nix.evaluate(f"builtins.attrNames {made}.{output}.{SYSTEM}")
                assert isinstance(names, list)
                assert "jax-cpu" in names
                assert not any("py36" in name for name in names)
            said = str(nix.evaluate(f"{made}.legacyPackages.{SYSTEM}.jax-cpu-py36.name", fails=True))
            assert "python36" in said

    def test_several_pythons(self, nix: Nix, tmp_path: Path) -> None:
        """By the names that kgen takes: `jax-cpu-py311`, and without the Python where that is the only one."""
        names = ["jax-cpu-py311", "jax-cpu-py312", "torch-cuda12-py312", "keras2-theano-cpu", "keras-core-jax-cpu"]
        made = self.outputs(tmp_path, names, 'preferred = [ "jax-cpu-py312" ];')
        assert nix.evaluate(made) == {
            **{name: name for name in names},
            "jax": "jax-cpu-py312",
            "jax-cpu": "jax-cpu-py312",
            "torch": "torch-cuda12-py312",
            "torch-cuda12": "torch-cuda12-py312",
            "keras2-theano": "keras2-theano-cpu",
            "theano": "keras2-theano-cpu",
            "keras-core-jax": "keras-core-jax-cpu",
        }
        found = {short: tuple(one.name for one in lockfiles.called(tmp_path, short)) for short in ("jax", "jax-cpu")}
        assert found == dict.fromkeys(found, ("jax-cpu-py311", "jax-cpu-py312"))
        for short in ("torch", "torch-cuda12", "keras2-theano", "keras-core-jax"):
            assert lockfiles.choose(tmp_path, short).name == nix.evaluate(f'({made})."{short}"')

    def test_locks_that_git_does_not_know(self, nix: Nix, tmp_path: Path) -> None:
        said = str(nix.evaluate(f"kgen.locksIn {tmp_path}/locks", fails=True))
        assert (
            f"kgen: there is no folder of locks at {tmp_path}/locks; `kgen lock` writes it, and a flake sees it" in said
        )
        assert "once it is added to git: `git add locks`" in said

    def test_a_default_that_went_leaves_the_others(self, nix: Nix, tmp_path: Path) -> None:
        made = self.outputs(tmp_path, ["jax-cpu"], 'default = "torch-cpu";')
        assert nix.evaluate(f"({made}).jax") == "jax-cpu"
        assert "`default` names torch-cpu; there are jax-cpu in" in str(nix.evaluate(f"({made}).default", fails=True))

    def test_a_preference_for_nothing(self, nix: Nix, tmp_path: Path) -> None:
        made = self.outputs(tmp_path, ["jax-cpu"], 'preferred = [ "jx-cpu" ];')
        assert "`preferred` names jx-cpu; there are jax-cpu in" in str(nix.evaluate(made, fails=True))


PYPROJECT = """\
[build-system]
requires = ["BACKEND"]
build-backend = "HOOKS"
[project]
name = "my-lib"
version = "1.5"
scripts = { my-tool = "my_lib:main" }
[project.entry-points.my_group]
thing = "my_lib:main"
"""


@functools.cache
def installed_wheels(name: str) -> tuple[File, ...]:
    """Wheels of a project that is installed here, and of what it needs."""
    files = []
    for distribution in repack.closure(name):
        filename, content = repack.wheel_of(distribution)
        project = canonicalize_name(distribution.metadata["Name"])
        files.append(File(name=project, version=distribution.version, filename=filename, content=content))
    return tuple(files)


class TestEditableProject:
    """The project itself in its shells: its programs, its metadata, and the code of the folder, as it is now."""

    @pytest.fixture(name="package", params=["hatchling", "setuptools", "setuptools with a finder"])
    @staticmethod
    def _package(request: pytest.FixtureRequest, nix: Nix, own: Path, tmp_path: Path) -> Path:
        backend, _, finder = request.param.partition(" ")
        hooks = {"hatchling": "hatchling.build", "setuptools": "setuptools.build_meta"}[backend]
        build = [*installed_wheels(backend), *(installed_wheels("editables") if backend == "hatchling" else ())]
        keras = File.of(Wheel(name="keras", version="3.0", files=KERAS))
        nix.seed(file.written(tmp_path / "wheels") for file in build)
        shutil.rmtree(own / "locks")
        for name in ("jax", "torch"):
            variables = {"KERAS_BACKEND": name}
            text = lock_text(f"{name}-cpu", [keras], variables=variables, build=build, builds_project=True)
            write_environment(own / "locks", f"{name}-cpu", text, variables)
        place = own / ("code/deep/library" if finder else "src/my_lib")
        place.mkdir(parents=True)
        (place / "__init__.py").write_text("def main(): print('one')\n")
        text = PYPROJECT.replace("BACKEND", backend).replace("HOOKS", hooks)
        if finder:
            text += '[tool.setuptools]\npackages = ["my_lib"]\npackage-dir = { my_lib = "code/deep/library" }\n'
        (own / "pyproject.toml").write_text(text)
        (own / "README.txt").write_text("see")
        return own

    def develop(self, nix: Nix, project: Path, script: str, *, cwd: Path | None = None) -> str:
        words = ("develop", f"path:{project}#jax", "-c", "bash", "-euc", script)
        return nix.flake(*words, cwd=cwd or project)

    def test_programs_and_code(self, nix: Nix, package: Path) -> None:
        code = (
            "import importlib.metadata as m, my_lib; my_lib.main(); print(m.version('my-lib'), my_lib.__file__,"
            " [one.name for one in m.entry_points(group='my_group')])"
        )
        (module,) = package.rglob("__init__.py")
        # longer, not only different: Python compares a module's second and size with those of what it compiled
        change = f"echo \"def main(): print('the second')\" > {module}"
        script = f'my-tool; python -c "{code}"; {change}; my-tool; cd /; my-tool; echo "${{PYTHONPATH-none}}"'
        lines = self.develop(nix, package, script).splitlines()
        assert lines == ["one", "one", f"1.5 {module} ['thing']", "the second", "the second", "none"]
        # in a folder of it
        assert self.develop(nix, package, "my-tool", cwd=module.parent) == "the second\n"

    def test_the_environment_is_none_of_it(self, nix: Nix, package: Path) -> None:
        """Edits of the project build the environment no second time, nor is anything of it there outside of a shell."""
        before = nix.flake("eval", "--raw", f"path:{package}#packages.{SYSTEM}.jax.outPath")
        (package / "new.txt").write_text("new")
        assert nix.flake("eval", "--raw", f"path:{package}#packages.{SYSTEM}.jax.outPath") == before
        code = "import importlib.util; print(importlib.util.find_spec('my_lib'))"
        assert nix.flake("run", f"path:{package}#jax", "--", "-c", code) == "None\n"


class TestEditableProjectElsewhere:
    """What becomes of a project that is not a package, or of a shell in another folder."""

    def shell(self, nix: Nix, own: Path, tmp_path: Path, pyproject: str, *, builds: bool = True) -> None:
        build = [File.of(Wheel(name="maker", version="1", files={"maker.py": MAKER}))]
        nix.seed(file.written(tmp_path / "wheels") for file in build)
        keras = File.of(Wheel(name="keras", version="3.0", files=KERAS))
        shutil.rmtree(own / "locks" / "jax-cpu")
        text = lock_text("jax-cpu", [keras], build=build if builds else (), builds_project=builds)
        write_environment(own / "locks", "jax-cpu", text, {"KERAS_BACKEND": "jax"})
        (own / "pyproject.toml").write_text(pyproject)

    @pytest.mark.parametrize("builds", [True, False])
    def test_no_package(self, nix: Nix, own: Path, tmp_path: Path, *, builds: bool) -> None:
        system = "" if builds else '[build-system]\nrequires = ["maker"]\nbuild-backend = "maker"\n'
        self.shell(nix, own, tmp_path, f'{system}[project]\nname = "x"\n', builds=builds)
        said = nix.flake("develop", f"path:{own}#jax", "-c", "bash", "-c", 'echo "${KGEN_PROJECT-none}"')
        assert said == "none\n"

    def test_in_another_folder(self, nix: Nix, own: Path, tmp_path: Path) -> None:
        """The code is that of the store, and that is said."""
        self.shell(nix, own, tmp_path, '[build-system]\nrequires = ["maker"]\nbuild-backend = "maker"\n')
        (own / "made.py").write_text("WHERE = __file__\n")
        words = ("nix", "develop", f"path:{own}#jax", "--override-input", "nixpkgs", f"path:{nix.nixpkgs}")
        run = ("--no-write-lock-file", "-c", "python", "-c", "import made; print(made.WHERE)")
        done = nix.run(*words, *run, cwd=tmp_path)
        assert done.stdout.startswith(f"{nix.folder}/store/")
        assert "kgen: this is not the project's folder: its code is that of" in done.stderr
        assert nix.run(*words, *run, cwd=own).stdout == f"{own}/made.py\n"

    @pytest.mark.parametrize("folder", ["my.sub_project", 'a/it\'s "one" $HOME'])
    def test_in_the_repository_of_a_flake_in_a_folder(self, nix: Nix, own: Path, tmp_path: Path, folder: str) -> None:
        """It is the folder's code, wherever in the repository the shell is entered."""
        self.shell(nix, own, tmp_path, '[build-system]\nrequires = ["maker"]\nbuild-backend = "maker"\n')
        (own / "made.py").write_text("WHERE = __file__\n")
        repository = tmp_path / "monorepo"
        (repository / "docs/deep").mkdir(parents=True)
        (repository / folder).parent.mkdir(exist_ok=True)
        own = own.rename(repository / folder)
        subprocess.run(["git", "init", "--quiet", repository], check=True)
        subprocess.run(["git", "-C", repository, "add", "."], check=True)
        flake = f"git+file://{repository}?dir={urllib.parse.quote(folder)}"
        words = ("develop", f"{flake}#jax", "-c", "python", "-c", "import made; print(made.WHERE)")
        # in a folder with an apostrophe in its name this Nix fails by itself
        for place in (repository, repository / "docs/deep", *([own] if "'" not in folder else [])):
            assert nix.flake(*words, cwd=place) == f"{own}/made.py\n"

    def test_what_cannot_be_moved(self, nix: Nix, own: Path, tmp_path: Path) -> None:
        self.shell(nix, own, tmp_path, '[build-system]\nrequires = ["maker"]\nbuild-backend = "maker"\n')
        (own / "odd").touch()
        said = nix.flake("develop", f"path:{own}#jax", "-c", "true", fails=True)
        assert "cannot be moved: odd.bin names the folder in which it was built" in said


class TestUsersProject:
    """From `kgen lock` to the shell, with the index that kgen locked from, in a git repository."""

    @pytest.fixture(name="index_with_keras")
    @staticmethod
    def _index_with_keras(index: Index) -> Index:
        version = index.wheelhouse.wheels("keras")[-1].version
        index.wheelhouse.put(Wheel(name="keras", version=version, files=KERAS))
        return index

    def kgen(self, project: Path, nix: Nix, index: Index) -> Kgen:
        caches = {
            "UV_CACHE_DIR": str(project.parent / "uv-cache"),
            "KGEN_CACHE_DIR": str(project.parent / "kgen-cache"),
        }
        environment = {**nix.environment, "UV_DEFAULT_INDEX": index.url, **caches}
        return Kgen(folder=project, temporary=project.parent, environment=environment)

    @pytest.mark.parametrize("portable", [True, False], ids=["portable", "urls"])
    def test_lock_then_develop(self, nix: Nix, project: Path, index_with_keras: Index, *, portable: bool) -> None:
        kgen = self.kgen(project, nix, index_with_keras)
        lock = ("lock", "numpy", "--cpu", "--python", MINOR, "--platform", "linux-64", "--exclude-newer", CUTOFF)
        done = kgen(*lock, *(["--portable"] if portable else []))
        assert done.status == 0, done.stderr
        assert "\nnext: commit locks/ and flake.nix (for `nix develop`); `kgen shell numpy-cpu`" in done.stderr
        if portable:
            flake = project / "flake.nix"
            flake.write_text(
                flake.read_text().replace("locks = ./locks;", f'locks = ./locks; index = "{index_with_keras.url}";')
            )
        git = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        nix.run("git", "init", "-q", ".", cwd=project, variables=git)
        nix.run("git", "add", "flake.nix", "locks", cwd=project, variables=git)
        said = nix.flake("develop", "-c", "python", "-c", SAY, cwd=project)
        assert said == "numpy\n"

    def test_kgen_from_an_index(self, nix: Nix, project: Path, tmp_path: Path, index_with_keras: Index) -> None:
        """Of its wheel nothing says where a flake of kgen's may be: a clone of the project has what its own needs."""
        package = tmp_path / "package"
        built = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"],
            cwd=copy_of_repository(tmp_path / "sources"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert built.returncode == 0, built.stderr
        with zipfile.ZipFile(next((tmp_path / "dist").iterdir())) as wheel:
            wheel.extractall(package)
        kgen = self.kgen(project, nix, index_with_keras)
        kgen = dataclasses.replace(kgen, environment={**kgen.environment, "PYTHONPATH": str(package)})
        lock = ("lock", "numpy", "--cpu", "--python", MINOR, "--platform", "linux-64", "--exclude-newer", CUTOFF)
        done = kgen(*lock)
        assert done.status == 0, done.stderr
        git = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        nix.run("git", "init", "-q", ".", cwd=project, variables=git)
        nix.run("git", "add", "flake.nix", "locks", cwd=project, variables=git)
        nix.run(
            "git",
            *["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "locks"],
            cwd=project,
            variables=git,
        )
        nix.run("git", "clone", "-q", project, tmp_path / "clone", variables=git)
        shutil.rmtree(package)
        assert nix.flake("develop", "-c", "python", "-c", SAY, cwd=tmp_path / "clone") == "numpy\n"
        # everything that is evaluated and built of it, the training step among it
        shown = json.loads(nix.flake("flake", "show", "--json", cwd=tmp_path / "clone"))
        assert set(shown["checks"][SYSTEM]) == {"locks", "numpy-cpu"}
        said = nix.flake("flake", "check", cwd=tmp_path / "clone", fails=True)
        assert "kgen: numpy-cpu: numpy failed in the stage" in said  # this Keras can do nothing

    def test_another_kgen(self, nix: Nix, project: Path, index_with_keras: Index) -> None:
        """What a project carries is this kgen's whenever it locks, where Nix is, and its flake imports it."""
        kgen = self.kgen(project, nix, index_with_keras)
        lock = ("lock", "numpy", "--cpu", "--python", MINOR, "--platform", "linux-64", "--exclude-newer", CUTOFF)
        assert kgen(*lock).status == 0
        carried = project / "locks" / ".nix"

        def content() -> dict[str, bytes]:
            return {str(path.relative_to(carried)): path.read_bytes() for path in carried.rglob("*") if path.is_file()}

        own = content()
        assert own["mk-outputs.nix"] == (ROOT / "nix/mk-outputs.nix").read_bytes()
        (carried / "VERSION").write_text("0.0.1\n")
        (carried / "mk-outputs.nix").write_text("{ }")
        (carried / "went.nix").write_text("{ }")
        assert kgen(*lock).status == 0
        assert content() == own
        # without Nix it is of no use, but for who asks
        shutil.rmtree(carried)
        assert (kgen(*lock, PATH=str(project)).status, carried.exists()) == (0, False)
        assert (kgen(*lock, "--no-nix").status, carried.exists()) == (0, False)
        assert (kgen(*lock, "--nix", PATH=str(project)).status, content()) == (0, own)
        # a flake of the user's own
        shutil.rmtree(carried)
        (project / "flake.nix").write_text("{ outputs = _: { }; } # import ./locks/.nix\n")
        assert (kgen(*lock, "--nix").status, carried.exists()) == (0, False)

    def test_from_the_template(self, nix: Nix, repository: Path, own: Path) -> None:
        (own / "flake.nix").unlink()
        nix.run("nix", "flake", "init", "-t", f"path:{repository}", cwd=own)
        assert (own / "flake.nix").read_text() == (ROOT / "nix" / "template" / "flake.nix").read_text()
        # what the welcome says comes first
        shell = f"path:{own}#torch"
        said = nix.flake("develop", shell, "-c", "true", fails=True)
        assert "kgen: there is no locks/.nix; `kgen lock --nix` writes it" in said
        flake.carry(own)
        assert nix.flake("develop", shell, "-c", "python", "-c", SAY) == "torch\n"

    def test_a_flake_that_is_there_stays(self, nix: Nix, project: Path, index_with_keras: Index) -> None:
        (project / "flake.nix").write_text("{ mine = true; }\n")
        kgen = self.kgen(project, nix, index_with_keras)
        done = kgen("lock", "numpy", "--cpu", "--python", MINOR, "--platform", "linux-64")
        assert (done.status, "flake.nix" in done.stderr) == (0, False)
        assert (project / "flake.nix").read_text() == "{ mine = true; }\n"

    def test_hostile_settings_in_the_flake(self, nix: Nix, project: Path, kgen: Kgen) -> None:
        """Whatever passes as a flake's URL arrives as that; it runs nothing."""
        for url in ("x:${builtins.abort''}", 'x:";}abort', "x:\\", "x:''${y}", "x:$${y}"):
            (project / "kgen.toml").write_text(f"flake = {json.dumps(url)}\n")
            (project / "out.nix").write_text(dataclasses.replace(kgen, folder=project)("export", "nix").stdout)
            assert nix.evaluate(f"(import {project}/out.nix).inputs.kgen.url") == url
