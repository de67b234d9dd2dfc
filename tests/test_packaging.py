"""What other repositories are offered: a feature of containers, recipes, an entry; and what bots and editors get."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from tests.schemas import assert_taken

from kgen import __version__

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"
FEATURE = PACKAGING / "devcontainer/src/kgen"
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def block(page: str, language: str, holding: str) -> str:
    """The one block of a page in a language that holds a text."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (found,) = [str(body) for kind, body in _BLOCK.findall(text) if kind == language and holding in body]
    return found


def wanted() -> dict[str, SpecifierSet]:
    """What kgen needs, by name."""
    return {one.name: one.specifier for one in map(Requirement, PROJECT["dependencies"])}


class TestFeature:
    @pytest.fixture(name="called")
    @staticmethod
    def _called(tmp_path: Path) -> Path:
        """A file with what a `python3` was called with that makes no environment, in `bin`."""
        called, programs = tmp_path / "called", tmp_path / "bin"
        programs.mkdir()
        python = programs / "python3"
        python.write_text(
            f'#!/bin/sh\nif [ "$1" = -c ]; then exec {sys.executable} "$@"; fi\necho "$@" >> {called}\n'
            f'[ "$2" != venv ] || {{ mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; }}\n'
        )
        python.chmod(0o755)
        return called

    def installed(self, called: Path, **options: str) -> Path:
        """The root of an image into which the feature was installed."""
        root = called.parent / "root"
        environment = {"PATH": f"{called.parent / 'bin'}:{os.environ['PATH']}", "ROOT": str(root), **options}
        subprocess.run(["sh", FEATURE / "install.sh"], env=environment, check=True)
        return root

    def test_its_declaration(self) -> None:
        data = json.loads((FEATURE / "devcontainer-feature.json").read_text(encoding="utf-8"))
        assert data["id"] == FEATURE.name
        assert data["version"] == __version__
        read = set(re.findall(r"\$\{(VERSION|ENVIRONMENT)\b", (FEATURE / "install.sh").read_text(encoding="utf-8")))
        assert {name.upper() for name in data["options"]} == read
        assert all(one["type"] == "string" and one["description"] for one in data["options"].values())

    def test_it_installs_what_is_asked_for(self, called: Path) -> None:
        root = self.installed(called, VERSION="keras-kgen==0.1.0")
        assert called.read_text().splitlines() == [
            f"-m venv {root}/opt/kgen",
            "-m pip install --quiet --no-cache-dir --disable-pip-version-check keras-kgen==0.1.0",
        ]
        assert (root / "usr/local/bin/kgen").readlink() == Path("/opt/kgen/bin/kgen")

    @pytest.mark.parametrize("environment", ["", "jax", "it's; touch pwned", "$(touch pwned)"])
    def test_it_makes_the_environment_once_the_container_is_there(self, called: Path, environment: str) -> None:
        """Whatever the option says is one word."""
        root = self.installed(called, ENVIRONMENT=environment)
        kgen = called.parent / "bin/kgen"
        kgen.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {called}\n')
        kgen.chmod(0o755)
        declared = json.loads((FEATURE / "devcontainer-feature.json").read_text(encoding="utf-8"))
        script = f"{root}{declared['postCreateCommand']}"
        path = f"{kgen.parent}:{os.environ['PATH']}"
        subprocess.run([script], env={"PATH": path}, cwd=called.parent, check=True)
        assert called.read_text().splitlines()[2:] == ([f"sync|{environment}|"] if environment else [])
        assert not (called.parent / "pwned").exists()

    def test_an_image_without_python(self, called: Path) -> None:
        python = called.parent / "bin/python3"
        python.write_text("#!/bin/sh\nexit 127\n")
        done = subprocess.run(
            ["sh", FEATURE / "install.sh"],
            env={"PATH": f"{python.parent}:{os.environ['PATH']}", "ROOT": str(called.parent / "root")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("kgen needs Python 3.10 or newer: ")

    @pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck here")
    def test_the_script_is_sound(self) -> None:
        done = subprocess.run(["shellcheck", FEATURE / "install.sh"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout

    @pytest.mark.skipif(shutil.which("devcontainer") is None, reason="no devcontainers CLI here")
    def test_the_reference_implementation_packs_it(self, tmp_path: Path) -> None:
        source = PACKAGING / "devcontainer/src"
        words = ["devcontainer", "features", "package", str(source), "--output-folder", str(tmp_path / "out")]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        (row,) = json.loads((tmp_path / "out/devcontainer-collection.json").read_text())["features"]
        assert row["id"] == "kgen"
        assert (tmp_path / "out/devcontainer-feature-kgen.tgz").is_file()


class TestRecipe:
    @pytest.fixture(name="recipe")
    @staticmethod
    def _recipe() -> Any:  # noqa: ANN401 - whatever is in the file
        return yaml.safe_load((PACKAGING / "conda-forge/recipe.yaml").read_text(encoding="utf-8"))

    def test_it_is_of_this_version(self, recipe: Any) -> None:  # noqa: ANN401 - as above
        assert recipe["context"]["version"] == __version__
        assert recipe["package"]["name"] == PROJECT["name"]
        assert recipe["about"]["license"] == PROJECT["license"]
        assert (ROOT / recipe["about"]["license_file"]).is_file()
        assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={recipe['context']['python_min']}")
        (entry,) = recipe["build"]["python"]["entry_points"]
        assert entry.split(" = ") == list(*PROJECT["scripts"].items())

    def test_it_needs_what_kgen_needs(self, recipe: Any) -> None:  # noqa: ANN401 - as above
        """conda-forge has each of them by the name of the Python index."""
        listed = dict(text.split(maxsplit=1) for text in recipe["requirements"]["run"])
        assert listed.pop("python") == ">=${{ python_min }}"
        assert {name: SpecifierSet(text) for name, text in listed.items()} == wanted()
        build = dict(text.partition(" ")[::2] for text in recipe["requirements"]["host"])
        assert f"hatchling{build['hatchling']}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


class TestNixpkgs:
    TEXT = (PACKAGING / "nixpkgs/package.nix").read_text(encoding="utf-8")

    def test_it_needs_what_kgen_needs(self) -> None:
        (listed,) = re.findall(r"dependencies = with python3Packages; \[(.*?)\]", self.TEXT, re.DOTALL)
        removed = set(re.findall(r'"([\w-]+)"', re.findall(r"pythonRemoveDeps = \[(.*?)\]", self.TEXT)[0]))
        assert {*listed.split(), *removed} == set(wanted())
        assert f'version = "{__version__}"' in self.TEXT

    @pytest.mark.nix
    @pytest.mark.skipif(shutil.which("nix-instantiate") is None, reason="no nix here")
    def test_it_is_nix(self, tmp_path: Path) -> None:
        """It is parsed, and makes what it says of a nixpkgs that only looks."""
        environment = {**os.environ, **{f"NIX_{name}_DIR": str(tmp_path / name) for name in ("STORE", "STATE", "LOG")}}
        packages = " ".join(f'"{name}"' for name in (*wanted(), "hatchling"))
        expression = f"""
          let names = builtins.listToAttrs (map (name: {{ inherit name; value = name; }}) [ {packages} ]);
              seen = import {PACKAGING}/nixpkgs/package.nix {{
                lib = {{ licenses.asl20 = "Apache-2.0"; platforms.linux = []; makeBinPath = toString; }};
                python3Packages = names // {{ buildPythonApplication = given: given; }};
                uv = "uv"; makeWrapper = "makeWrapper";
              }};
          in {{ inherit (seen) pname version dependencies; inherit (seen.meta) mainProgram license; }}
        """
        words = ["nix-instantiate", "--eval", "--strict", "--json", "--expr", expression]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        assert (made["pname"], made["version"], made["mainProgram"]) == (PROJECT["name"], __version__, "kgen")
        assert set(made["dependencies"]) == set(wanted()) - {"uv"}


class TestEditors:
    def test_the_entry_of_schemastore(self) -> None:
        entry = json.loads((PACKAGING / "schemastore/catalog.json").read_text(encoding="utf-8"))
        assert set(entry) == {"name", "description", "fileMatch", "url"}
        assert entry["fileMatch"] == ["kgen.toml"]
        schema = json.loads((ROOT / "docs/kgen.schema.json").read_text(encoding="utf-8"))
        jsonschema.Draft7Validator.check_schema(schema)
        assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"

    def test_associations_are_of_the_file_of_the_settings(self) -> None:
        page = "how-to/editors-and-notebooks.md"
        (rule,) = tomli.loads(block(page, "ini", "[[rule]]"))["rule"]
        settings = json.loads(block(page, "json", "evenBetterToml"))
        ((pattern, schema),) = settings["evenBetterToml.schema.associations"].items()
        assert rule["include"] == ["**/kgen.toml"]
        assert re.fullmatch(pattern, "/home/me/project/kgen.toml")
        assert not re.fullmatch(pattern, "/home/me/project/kgen-toml")
        assert {schema, rule["schema"]["path"]} == {"./kgen.schema.json"}
        assert block(page, "toml", "#:schema").startswith("#:schema ./kgen.schema.json\n")


@pytest.mark.parametrize("way", ["first line", "rule"])
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('backends = ["jax", "torch"]\ncuda = "12"\n', None),
        ("cuda = 12\n", '12 is not of type "string"'),
        ("frobnicate = true\n", "'frobnicate' was unexpected"),
    ],
)
def test_taplo_judges_settings_as_the_page_says(tmp_path: Path, way: str, text: str, fault: str | None) -> None:
    """It is what the editors of the page run; by the line in the settings, or by the rule beside them."""
    page = "how-to/editors-and-notebooks.md"
    shutil.copy(ROOT / "docs/kgen.schema.json", tmp_path)
    head = block(page, "toml", "#:schema").partition("\n")[0] if way == "first line" else "# settings"
    (tmp_path / "kgen.toml").write_text(f"{head}\n{text}", encoding="utf-8")
    if way == "rule":
        (tmp_path / ".taplo.toml").write_text(block(page, "ini", "[[rule]]"), encoding="utf-8")
    words = [str(Path(sys.executable).with_name("taplo")), "check", "kgen.toml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if fault is None else 1), done.stderr
    assert fault is None or fault in done.stderr


def test_hooks_of_the_page_are_offered() -> None:
    """Those that a configuration names are those of this repository, and `rev` is a branch of it."""
    (repo,) = yaml.safe_load(block("how-to/merges-and-bots.md", "yaml", "kgen-check"))["repos"]
    offered = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert [hook["id"] for hook in repo["hooks"]] == [hook["id"] for hook in offered]
    assert repo["rev"] == "main"


@pytest.mark.parametrize(("language", "holding", "schema"), [
    ("json", "packageRules", "vendor.renovate"), ("yaml", "package-ecosystem", "vendor.dependabot"),
])  # fmt: skip
def test_bots_are_told_in_their_own_form(tmp_path: Path, language: str, holding: str, schema: str) -> None:
    told = tmp_path / f"told.{language}"
    told.write_text(block("how-to/merges-and-bots.md", language, holding), encoding="utf-8")
    assert_taken(schema, told)


def test_bots_leave_every_framework_to_kgen(shipped_matrix: Any) -> None:  # noqa: ANN401 - the matrix
    """Those of the default generation of Keras, whose versions belong together."""
    (rule,) = json.loads(block("how-to/merges-and-bots.md", "json", "packageRules"))["packageRules"]
    listed = yaml.safe_load(block("how-to/merges-and-bots.md", "yaml", "package-ecosystem"))["updates"][0]["ignore"]
    names = {one["dependency-name"] for one in listed}
    current = next(iter(shipped_matrix.generations))
    rows = [row for row in shipped_matrix.backends.values() if row.generation == current and row.framework != "numpy"]
    assert {row.framework for row in rows} | {"keras"} <= set(rule["matchPackageNames"])
    assert {row.framework for row in rows} | {"keras"} <= {name.removesuffix("*") for name in names}
