"""What a project requires by itself: its `pyproject.toml`, its files of requirements and constraints."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import tomli
from tests.command import CUTOFF, LOCK, PYTHON, SOLVE, Kgen
from tests.index import serving
from tests.wheelhouse import Wheelhouse

from kgen import parsers, settings
from kgen.actions import plan, pythons
from kgen.actions.request_flags import RequestFlags
from kgen.actions.requirements import with_project
from kgen.errors import KgenError, OutsideError, SettingsError, UsageError
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.requirement import Requirement
from kgen.settings import Settings

PROJECT = """\
[project]
name = "My.Lib"
version = "0"
requires-python = ">=3.10"
dependencies = ["torch[extra]>=2.4,<2.6", "numpy<3", "rich"]
[project.optional-dependencies]
plot = ["ml-dtypes"]
all = ["my-lib[plot]", "absl-py"]
[dependency-groups]
test = ["h5py", { include-group = "Base_Group" }]
base-group = ["optree"]
"""


def required(folder: Path, text: str, **fields: Any) -> Settings:  # noqa: ANN401 - as Settings has them
    (folder / "pyproject.toml").write_text(text)
    return with_project(Settings(root=folder, **fields))


def names(folder: Path, text: str = PROJECT, **fields: Any) -> list[str]:  # noqa: ANN401 - as Settings has them
    return [str(one) for one in required(folder, text, **fields).required.dependencies]


OWN = ["torch[extra]<2.6,>=2.4", "numpy<3", "rich"]


def test_dependencies(tmp_path: Path) -> None:
    assert sorted(names(tmp_path)) == sorted(map(str, map(Requirement, OWN)))


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ({"extras": ("plot",)}, ["ml-dtypes"]),
        ({"extras": ("all",)}, ["absl-py", "ml-dtypes"]),
        ({"groups": ("test",)}, ["h5py", "optree"]),
        ({"groups": ("base-group",)}, ["optree"]),
    ],
)
def test_extras_and_groups(tmp_path: Path, fields: dict[str, Any], more: list[str]) -> None:
    assert names(tmp_path, **fields)[3:] == more


def test_an_extra_that_names_itself_ends(tmp_path: Path) -> None:
    text = PROJECT.replace('plot = ["ml-dtypes"]', 'plot = ["ml-dtypes", "my_lib[all]"]')
    assert names(tmp_path, text, extras=("all",))[3:] == ["absl-py", "ml-dtypes"]


def test_project_false_reads_nothing_and_says_so(tmp_path: Path) -> None:
    found = required(tmp_path, PROJECT, project=False).required
    assert found.dependencies == ()
    assert found.notes == ("what pyproject.toml requires is left out: `project = false`",)


def test_one_line_says_what_is_read(tmp_path: Path) -> None:
    (note,) = required(tmp_path, PROJECT, extras=("plot",), groups=("test",)).required.notes
    assert note == (
        "pyproject.toml requires more, which is locked too: 3 of dependencies, 1 of extra plot, 2 of group test;"
        " `project = false` leaves it out"
    )


@pytest.mark.parametrize(
    ("text", "fields", "error", "message"),
    [
        (PROJECT, {"extras": ("plott",)}, UsageError, "pyproject.toml has no extra `plott`; there are all, plot"),
        (PROJECT, {"groups": ("x",)}, UsageError, "no dependency group `x`; there are base-group, test"),
        (PROJECT, {"groups": ("test",), "project": False}, UsageError, "`--group` names a part of pyproject.toml"),
        (
            PROJECT.replace('"rich"', '"lib @ file:///nowhere/lib"'),
            {},
            SettingsError,
            "`lib` is to come from /nowhere/lib, and there is no such folder",
        ),
        (PROJECT.replace('"rich"', "3"), {}, SettingsError, "project.dependencies: should be text, is a whole number"),
        ('[project]\nname = "x"\ndependencies = "rich"\n', {}, SettingsError, "dependencies: should be an array"),
        (
            PROJECT.replace("Base_Group", "test"),
            {"groups": ("test",)},
            SettingsError,
            "pyproject.toml: dependency-groups.test: Cyclic",
        ),
        (
            PROJECT.replace("Base_Group", "nothing"),
            {"groups": ("test",)},
            SettingsError,
            "pyproject.toml: dependency-groups.test: ",
        ),
    ],
)
def test_faults(tmp_path: Path, text: str, fields: dict[str, Any], error: type[KgenError], message: str) -> None:
    with pytest.raises(error) as raised:
        required(tmp_path, text, **fields)
    assert message in raised.value.message


@pytest.mark.parametrize("flag", ["--extra", "--group"])
def test_a_part_of_a_project_that_is_not_there(kgen: Kgen, flag: str) -> None:
    done = kgen("solve", "jax", flag, "x", "--cpu")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: there is no pyproject.toml in [TEMP]/project, which `{flag} x` names a part of\n\n"
        "hint: kgen solve jax --cpu\n"
    )


def test_all_faults_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        required(tmp_path, '[project]\nname = "x"\ndependencies = ["a b", "rich", "c @ hg+https://c.example/c"]\n')
    assert raised.value.message.splitlines() == [
        "pyproject.toml: project.dependencies: `a b` is not a requirement such as scikit-learn>=1.5",
        (
            "pyproject.toml: project.dependencies: `hg+https://c.example/c` is a repository of another kind than git,"
            " and kgen locks commits of git only"
        ),
    ]


class TestForeignTables:
    """Poetry's and pixi's: read where they say it as the standard does, else named."""

    def test_poetry(self, tmp_path: Path) -> None:
        text = '[tool.poetry.dependencies]\npython = "^3.11"\nrich = "*"\nh5py = ">=3,<4"\nscipy = "^1.2"\n'
        found = required(tmp_path, text).required
        assert [str(one) for one in found.dependencies] == ["rich", "h5py<4,>=3"]
        assert found.notes[0] == (
            "kgen ignores scipy in [tool.poetry.dependencies] of pyproject.toml, which only Poetry reads;"
            " `uvx migrate-to-uv` converts it"
        )

    def test_pixi(self, tmp_path: Path) -> None:
        text = '[tool.pixi.dependencies]\nscipy = "1.2.*"\n[tool.pixi.pypi-dependencies]\nrich = "==13"\n'
        found = required(tmp_path, text).required
        assert [str(one) for one in found.dependencies] == ["rich==13"]
        assert found.notes[0] == (
            "kgen ignores scipy in [tool.pixi.dependencies] of pyproject.toml, which only pixi reads;"
            " `kgen add PACKAGE` converts it"
        )

    def test_the_standard_wins(self, tmp_path: Path) -> None:
        text = '[project]\nname = "x"\n[tool.poetry.dependencies]\nrich = "*"\n'
        found = required(tmp_path, text).required
        assert found.dependencies == ()
        assert found.notes[0].startswith("kgen ignores rich in [tool.poetry.dependencies] of pyproject.toml, which ")

    def test_what_enriches_the_standard_is_not_ignored(self, tmp_path: Path) -> None:
        text = (
            '[project]\nname = "x"\ndependencies = ["Rich (>=13,<14)"]\n'
            '[tool.poetry.dependencies]\npython = ">=3.11"\nrich = { source = "ours" }\n'
        )
        found = required(tmp_path, text).required
        assert [str(one) for one in found.dependencies] == ["rich<14,>=13"]
        assert not [note for note in found.notes if "ignores" in note]

    def test_groups_of_poetry(self, tmp_path: Path) -> None:
        text = (
            '[project]\nname = "x"\ndependencies = []\n[tool.poetry.group.dev.dependencies]\npytest = "^8"\n'
            '[tool.poetry.dev-dependencies]\nmypy = "*"\n'
        )
        converts = "of pyproject.toml, which only Poetry reads; `uvx migrate-to-uv` converts it"
        assert required(tmp_path, text).required.notes == (
            f"kgen ignores pytest in [tool.poetry.group.dev.dependencies] {converts}",
            f"kgen ignores mypy in [tool.poetry.dev-dependencies] {converts}",
        )
        # `kgen init --from poetry` has put them into the settings
        taken = tuple(map(parsers.parse_dependency, ("pytest>=8,<9", "mypy")))
        assert with_project(Settings(root=tmp_path, dependencies=taken)).required.notes == ()

    @pytest.mark.parametrize("group", ["3", "[]", '"dev"', "{ dev = 1 }", "{ dev = { dependencies = [] } }"])
    def test_groups_that_are_none(self, tmp_path: Path, group: str) -> None:
        assert required(tmp_path, f"[tool.poetry]\ngroup = {group}\n").required.notes == ()

    @pytest.mark.parametrize(("value", "named"), [('"^3.10 || ^3.12"', 1), ('"^3.10"', 0), ('["3.11"]', 1)])
    def test_a_range_of_pythons_that_only_poetry_reads(self, tmp_path: Path, value: str, named: int) -> None:
        notes = required(tmp_path, f"[tool.poetry.dependencies]\npython = {value}\n").required.notes
        assert len([note for note in notes if note.startswith("kgen ignores python in")]) == named

    def test_the_python_of_pixi(self, tmp_path: Path) -> None:
        text = '[tool.pixi.dependencies]\npython = "3.12.*"\n'
        (note,) = required(tmp_path, text).required.notes
        assert note.startswith("kgen ignores python in [tool.pixi.dependencies] of pyproject.toml, which only pixi")
        assert with_project(Settings(root=tmp_path, python="3.12")).required.notes == ()

    def test_the_file_of_pixi(self, tmp_path: Path) -> None:
        (tmp_path / "pixi.toml").write_text('[dependencies]\nnumpy = "*"\n')
        assert with_project(Settings(root=tmp_path)).required.notes == (
            "kgen ignores pixi.toml, which only pixi reads; `kgen init --from pixi` takes it over",
        )
        own = Settings(root=tmp_path, file=tmp_path / "kgen.toml")
        assert with_project(own).required.notes == ()


class TestFiles:
    """`-r` and `-c`."""

    def test_requirements(self, tmp_path: Path) -> None:
        (tmp_path / "more.txt").write_text("optree>=0.1\n")
        (tmp_path / "r.txt").write_text(
            "--index-url http://127.0.0.1:9/x\n# a comment\nRich<14 ; python_version >= '3.9'  # another\n-r more.txt\n"
            "h5py==3.1 \\\n    --hash=sha256:" + "a" * 64 + "\n"
        )
        found = with_project(Settings(root=tmp_path, requirement_files=("r.txt",))).required
        assert [one.name for one in found.dependencies] == ["h5py", "optree", "rich"]
        assert found.notes[-1] == "3 requirements of r.txt"

    @pytest.mark.parametrize(
        "text",
        [
            *("a b\n", "lib @ https://x.example/lib\n", "./lib\n", "-e ./lib\n", "-e lib\n", "--editable=./lib\n"),
            *(
                "-e file:lib\n",
                "-e './lib'\n",
                "-e \\\n./lib # x\n",
                "-e ${PWD}/lib\n",
                "-r inner/base.txt\n",
                "../lib\n",
            ),
        ],
    )
    def test_what_cannot_be_locked(self, tmp_path: Path, text: str) -> None:
        """The last of them are folders whose name only their code tells, which uv would run."""
        tmp_path = tmp_path / "root"
        (tmp_path / "lib").mkdir(parents=True)
        (tmp_path.parent / "lib").symlink_to(tmp_path / "lib")
        (tmp_path / "inner").mkdir()
        (tmp_path / "inner/base.txt").write_text("rich\n-e ./lib[x]\n")
        # it is what builds itself: uv needs nothing from an index to run it
        (tmp_path / "lib/pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "builds"\nbackend-path = ["."]\n'
        )
        (tmp_path / "lib/builds.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        (tmp_path / "r.txt").write_text(text)
        with pytest.raises((SettingsError, OutsideError), match=r"(r|base)\.txt"):
            with_project(Settings(root=tmp_path, requirement_files=("r.txt",)))
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(("name", "said"), [("gone.txt", "is not there"), ("folder", "is a folder, not a file")])
    def test_a_file_that_is_not_there(self, tmp_path: Path, name: str, said: str) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(OutsideError, match=f"{name} {said}"):
            with_project(Settings(root=tmp_path, requirement_files=(name,)))

    def test_what_uv_says_of_one_is_said_without_its_chatter(self, tmp_path: Path) -> None:
        (tmp_path / "r.txt").write_text("rich\n-r absent.txt\n")
        with pytest.raises(OutsideError) as raised:
            with_project(Settings(root=tmp_path, requirement_files=("r.txt",)))
        assert raised.value.message.startswith(f"{tmp_path}/r.txt cannot be read as requirements: Error parsing ")
        assert "Using CPython" not in raised.value.message
        assert "No such file or directory" in raised.value.message

    def test_the_project_itself(self, tmp_path: Path) -> None:
        """`-e .[plot]` is what pip is told for what `kgen sync` does by itself."""
        (tmp_path / "pyproject.toml").write_text(
            '[project]\nname = "Of.Mine"\nversion = "0"\n[project.optional-dependencies]\nplot = ["h5py"]\n'
            '[build-system]\nrequires = ["setuptools"]\n'
        )
        (tmp_path / "r.txt").write_text("-e .\nrich\n-e .[plot]\n")
        asked = Settings(root=tmp_path, requirement_files=("r.txt",))
        found = with_project(asked).required
        assert [str(one) for one in found.dependencies] == ["h5py", "rich"]
        assert found.notes[-1] == "1 requirement of r.txt"
        (tmp_path / "r.txt").write_text("-e .[absent]\n")
        with pytest.raises(UsageError, match="has no extra `absent`"):
            with_project(asked)
        # where `kgen sync` does not install it, nothing may stand for it
        (tmp_path / "r.txt").write_text("-e .\n")
        with pytest.raises(SettingsError, match="is the project itself"):
            with_project(asked._replace(project=False))

    @pytest.mark.parametrize("line", ["-e .", ".", "-e .[plot]", "--editable=file:.", "-r inner/base.txt"])
    def test_the_project_itself_whose_name_only_its_code_tells(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "setup.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom setuptools import setup\nsetup(name='mine')\n"
        )
        (tmp_path / "inner").mkdir()
        (tmp_path / "inner/base.txt").write_text("-e .\n-r ../more.txt\n")
        (tmp_path / "more.txt").write_text("optree\n")
        (tmp_path / "r.txt").write_text(f"{line}\nrich<14; python_version > '3'  # why\n-r more.txt\n")
        asked = Settings(root=tmp_path, requirement_files=("r.txt",))
        if "[" in line:
            with pytest.raises(UsageError, match="--extra plot"):
                with_project(asked)
        else:
            assert [one.name for one in with_project(asked).required.dependencies] == ["optree", "rich"]
        with pytest.raises(SettingsError, match="`this-project` is the project itself"):
            with_project(asked._replace(project=False))
        assert not (tmp_path / "ran").exists()

    def test_what_is_not_heeded_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "r.txt").write_text(
            "--index-url https://x.example/simple  # --pre\n-f https://y.example/\n# --no-binary :all:\n"
            "rich==13.9 \\\n    --hash=sha256:" + "0" * 64 + "\nh5py<4\n"
        )
        found = with_project(Settings(root=tmp_path, requirement_files=("r.txt",))).required
        assert found.notes == (
            (
                "kgen ignores --hash, --index-url, -f in r.txt: the lock has hashes of its own, and uv is"
                " configured for indexes in uv.toml"
            ),
            "2 requirements of r.txt",
        )

    def test_constraints_that_a_file_of_requirements_names(self, tmp_path: Path) -> None:
        """pip heeds them wherever they stand, below `-r` too, relative to the file that names them."""
        (tmp_path / "more/inner").mkdir(parents=True)
        (tmp_path / "r.txt").write_text("-r more/base.txt\n--constraint=c.txt\n# -c absent.txt\n")
        (tmp_path / "c.txt").write_text("rich<14\n")
        (tmp_path / "more/base.txt").write_text(
            "rich\n--extra-index-url https://x.example/\n-c inner/c.txt\n-r ../r.txt\n"
        )
        (tmp_path / "more/inner/c.txt").write_text("h5py<3.12\n")
        found = with_project(Settings(root=tmp_path, requirement_files=("r.txt",)))
        assert [str(one) for one in found.required.dependencies] == ["rich"]
        assert [str(one) for one in found.constraints] == ["rich<14", "h5py<3.12"]
        assert found.required.notes == (
            (
                "kgen ignores --extra-index-url in more/base.txt: the lock has hashes of its own, and uv is configured"
                " for indexes in uv.toml"
            ),
            "1 requirement of r.txt",
            "1 constraint of c.txt",
            "1 constraint of more/inner/c.txt",
        )
        (tmp_path / "more/inner/c.txt").unlink()
        with pytest.raises(OutsideError, match=r"more/inner/c\.txt"):
            with_project(Settings(root=tmp_path, requirement_files=("r.txt",)))

    def test_the_project_itself_without_anything_that_builds_it(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "0"\n')
        (tmp_path / "r.txt").write_text("-e .\n")
        with pytest.raises(SettingsError) as raised:
            with_project(Settings(root=tmp_path, requirement_files=("r.txt",)))
        assert raised.value.message == (
            "`mine` is the project itself, and no `build-system` in pyproject.toml says what builds it"
        )

    def test_a_repository_without_a_name(self, tmp_path: Path) -> None:
        (tmp_path / "r.txt").write_text("git+https://x.invalid/y.git\n")
        with pytest.raises(OutsideError) as raised:
            with_project(Settings(root=tmp_path, requirement_files=("r.txt",)))
        assert raised.value.hints[-1].startswith("write a repository as PACKAGE @ git+URL: ")

    def test_what_can_be_read_once_only(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "r.txt")
        with pytest.raises(OutsideError, match="is not a regular file, and what it gives could be read once only"):
            with_project(Settings(root=tmp_path, requirement_files=("r.txt",)))

    def test_a_link_to_itself(self, tmp_path: Path) -> None:
        (tmp_path / "r.txt").symlink_to("r.txt")
        with pytest.raises(OutsideError, match="is not there"):
            with_project(Settings(root=tmp_path, requirement_files=("r.txt",)))

    @pytest.mark.parametrize("start", ["", "#!/usr/bin/env python\n\n", "\ufeff", "import os\r\n"])
    def test_a_script_says_what_it_needs(self, tmp_path: Path, start: str) -> None:
        lines = (
            "/// script",
            "requires-python = '>=3.11'",
            "dependencies = [",
            "  'rich<14',",
            "",
            "  'h5py',",
            "]",
            "///",
        )
        block = "".join(f"# {line}".rstrip() + "\n" for line in lines)
        (tmp_path / "s.py").write_bytes((start + block + "print(1)\n").encode())
        found = with_project(Settings(root=tmp_path, requirement_files=("s.py",))).required
        assert [str(one) for one in found.dependencies] == ["rich<14", "h5py"]
        assert found.notes == ("2 requirements of s.py",)

    def test_a_script_says_which_python(self, tmp_path: Path, matrix: CompatibilityMatrix) -> None:
        asked = Settings(root=tmp_path, requirement_files=("s.py",))
        (tmp_path / "s.py").write_bytes(b"# /// script\r\n# requires-python = '>=3.11,<3.13'\r\n# ///")
        found = pythons.allowed_by(asked, matrix)
        assert found == pythons.RequiresPython(">=3.11,<3.13", ("3.11", "3.12"), "s.py")
        # beside the project's own
        (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '1'\nrequires-python = '>=3.12'\n")
        found = pythons.allowed_by(asked, matrix)
        assert found == pythons.RequiresPython(">=3.12,>=3.11,<3.13", ("3.12",), "pyproject.toml and s.py")
        assert pythons.allowed_by(asked._replace(project=False), matrix) == pythons.RequiresPython(
            ">=3.11,<3.13", ("3.11", "3.12"), "s.py"
        )
        (tmp_path / "s.py").write_text("# /// script\n# requires-python = '^3'\n# ///\n")
        with pytest.raises(SettingsError, match=r"s\.py: requires-python: `\^3` is not a range of versions"):
            pythons.allowed_by(asked, matrix)
        (tmp_path / "s.py").write_text("# /// script\n# ///\n")
        assert pythons.allowed_by(asked._replace(project=False), matrix) is None

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("print(1)\n", "s.py: a script names its requirements in one block `# /// script`, and this one has none"),
            ("# /// script\n# dependencies = [\n# ///\n", "s.py: its block `# /// script` is not valid TOML: "),
            ("# /// script\n# dependencies = 'x'\n# ///\n", "dependencies: should be an array of texts"),
            ("# /// script\n# dependencies = ['a b']\n# ///\n", "s.py: `a b` is not a requirement"),
            (
                "# /// script\n# requires-python = 3\n# ///\n",
                "`# /// script`: requires-python: should be text",
            ),
            ("# /// script\n# a = 1\n# ///\n\n# /// script\n# a = 1\n# ///\n", "and this one has 2 of them"),
        ],
    )
    def test_a_script_that_does_not_say_it(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "s.py").write_text(text)
        with pytest.raises(SettingsError) as raised:
            with_project(Settings(root=tmp_path, requirement_files=("s.py",)))
        assert said in raised.value.message
        assert raised.value.hints == ("edit s.py",)

    def test_constraints_bring_no_extra(self, tmp_path: Path) -> None:
        (tmp_path / "c.txt").write_text("rich[jupyter]<14\n")
        with pytest.raises(SettingsError, match="a constraint brings nothing in, and so no extra"):
            with_project(Settings(root=tmp_path, constraint_files=("c.txt",)))

    def test_a_flag_is_relative_to_where_it_is_typed(self, tmp_path: Path, matrix: CompatibilityMatrix) -> None:
        (tmp_path / "kgen.toml").write_text("cpu = true\n")
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub/c.txt").write_text("h5py<3.12\n")
        asked = RequestFlags(names=("numpy",), flags={"constraint_files": ["c.txt"]})
        made = plan.make(asked, matrix, tmp_path / "sub")
        assert [str(one) for one in made.requests[0].constraints] == ["h5py<3.12"]
        assert made.form["constraint_files"] == ("sub/c.txt",)


def test_a_framework_is_a_requirement_on_it(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    torch, jax = plan.make(RequestFlags(names=("torch", "jax"), flags={"cpu": True}), matrix, tmp_path).requests
    assert [one.name for one in torch.requirements] == ["torch"]
    assert not torch.requirements[0].extras
    assert [one.name for one in torch.dependencies] == ["numpy", "rich"]
    assert "torch" in [one.name for one in jax.dependencies]


ALONE = (
    "note: for {} alone, as the project requires no other framework; `backends` in the settings chooses others, and so"
    " do names behind `kgen {}`\n"
)


@pytest.mark.parametrize(
    ("text", "words", "solved", "said"),
    [
        ('dependencies = ["tensorflow>=2.18"]', (), ["tensorflow-cpu"], "tensorflow"),
        ('dependencies = ["numpy", "torch", "JAX[cuda12]>=0.4"]', (), ["jax-cpu", "torch-cpu"], "jax and torch"),
        ('dependencies = ["numpy", "keras", "rich"]', (), ["tensorflow-cpu", "jax-cpu", "torch-cpu", "numpy-cpu"], ""),
        ('optional-dependencies = {gpu = ["jax"]}', ("--extra", "gpu"), ["jax-cpu"], "jax"),
        ('dependencies = ["tensorflow-cpu"]', (), ["tensorflow-cpu"], "tensorflow"),
        ('dependencies = ["jaxlib", "flax"]', (), ["jax-cpu"], "jax"),
        ('dependencies = ["tensorflow"]', ("torch",), ["torch-cpu"], ""),
        ('dependencies = ["torch"]\n[tool.kgen]\ncpu = true', (), ["torch-cpu"], "torch"),
        ('dependencies = ["torch"]\n[tool.kgen]\nbackends = ["jax"]', (), ["jax-cpu"], ""),
        (
            'dependencies = ["torch"]\n[tool.kgen]\nproject = false',
            (),
            ["tensorflow-cpu", "jax-cpu", "torch-cpu", "numpy-cpu"],
            "",
        ),
        ('dependencies = ["torch<2.11"]', ("--together", "all"), ["all-cpu"], ""),
        ('dependencies = ["keras-core", "torch"]', (), ["keras-core-torch-cpu"], "torch"),
    ],
)
def test_the_frameworks_that_a_project_requires_are_its_backends(
    kgen: Kgen, text: str, words: tuple[str, ...], solved: list[str], said: str
) -> None:
    """Only where nothing names backends."""
    (kgen.folder / "pyproject.toml").write_text(f'[project]\nname = "x"\nversion = "0"\n{text}\n')
    done = kgen("solve", "--cpu", *words)
    assert done.status == 0, done.stderr
    assert re.findall(r"^(\S+): Python", done.stdout, re.MULTILINE) == solved
    assert ("alone, as the project" in done.stderr) == bool(said)
    assert ALONE.format(said, "solve") in done.stderr or not said


def test_lock_then_check(kgen: Kgen) -> None:
    """A project with bounds of its own, locked without any settings."""
    path = kgen.folder / "pyproject.toml"
    path.write_text('[project]\nname = "x"\nversion = "0"\nrequires-python = ">=3.10"\ndependencies = ["numpy<2.4"]\n')
    (kgen.folder / "c.txt").write_text("h5py<999\nnever-there==1\n")
    done = kgen(*LOCK, "numpy", "-c", "c.txt")
    assert done.status == 0, done.stderr
    assert (
        "note: pyproject.toml requires more, which is locked too: 1 of dependencies; `project = false` leaves it out\n"
        in done.stderr
    )
    lock = tomli.loads((kgen.folder / "locks/numpy-cpu/pylock.linux-64.toml").read_text())
    versions = {one["name"]: one["version"] for one in lock["packages"]}
    assert versions["numpy"].startswith("2.3")
    assert "never-there" not in versions
    assert lock["tool"]["kgen"]["constraints"] == ["h5py<999", "never-there==1"]
    assert lock["tool"]["kgen"]["requirements"] == ["numpy<2.4"]
    assert kgen("check").status == 0
    path.write_text(path.read_text().replace("numpy<2.4", "numpy<2.2"))
    stale = kgen("check")
    assert stale.status == 1
    assert "numpy<2.2 is required" in stale.stdout
    ignored = kgen(*LOCK, "numpy", "--no-project", "--dry-run")
    assert "note: what pyproject.toml requires is left out: `project = false`\n" in ignored.stderr


def test_a_lock_that_its_constraints_exclude_is_stale(kgen: Kgen) -> None:
    head = (
        f'backends = ["numpy"]\ncpu = true\npython = "{PYTHON}"\nplatforms = ["linux-64"]\nexclude-newer = "{CUTOFF}"\n'
    )
    (kgen.folder / "kgen.toml").write_text(head)
    assert kgen("lock").status == 0
    (kgen.folder / "c.txt").write_text("numpy<2.4\n")
    (kgen.folder / "kgen.toml").write_text(head + 'constraints = ["c.txt"]\n')
    done = kgen("check")
    assert done.status == 1
    assert "and numpy<2.4 is the constraint" in done.stdout
    assert kgen("lock").status == 0
    assert kgen("check").status == 0


class TestPythons:
    """`pythons = […]` and a repeated `--python`: every environment for each."""

    def test_names(self, tmp_path: Path, matrix: CompatibilityMatrix) -> None:
        (tmp_path / "kgen.toml").write_text('backends = ["jax", "numpy"]\ncpu = true\npythons = ["3.11", "3.12"]\n')
        made = plan.make(RequestFlags(), matrix, tmp_path)
        assert [(one.environment, one.python) for one in made.requests] == [
            ("jax-cpu-py311", "3.11"),
            ("jax-cpu-py312", "3.12"),
            ("numpy-cpu-py311", "3.11"),
            ("numpy-cpu-py312", "3.12"),
        ]

    def test_flags_win(self, tmp_path: Path, matrix: CompatibilityMatrix) -> None:
        (tmp_path / "kgen.toml").write_text('backends = ["numpy"]\ncpu = true\npythons = ["3.11", "3.12"]\n')

        def asked(*pythons: str) -> list[str]:
            flags = RequestFlags(flags={"python": list(pythons)})
            return [one.environment for one in plan.make(flags, matrix, tmp_path).requests]

        assert asked("3.13") == asked("3.13", "3.13") == ["numpy-cpu"]
        assert asked("3.13", "3.12") == ["numpy-cpu-py313", "numpy-cpu-py312"]

    def test_one_or_several(self, tmp_path: Path, matrix: CompatibilityMatrix) -> None:
        (tmp_path / "kgen.toml").write_text('python = "3.11"\npythons = ["3.11"]\n')
        with pytest.raises(SettingsError, match="pythons: contradicts `python`; keep one of the two"):
            settings.read(tmp_path, matrix)

    @pytest.mark.parametrize(
        ("flag", "values"),
        [("--keras", (">=3", ">=3.1")), ("--cuda", ("12", "13")), ("--exclude-newer", ("2026-01-01", "2026-02-01"))],
    )
    def test_no_other_flag_is_dropped(self, kgen: Kgen, flag: str, values: tuple[str, str]) -> None:
        done = kgen("solve", "jax", flag, values[0], flag, values[1])
        assert done.status == 2
        assert f"error: `{flag}` takes one value, and is given 2: {values[0]}, {values[1]}\n" in done.stderr
        assert f"hint: give one of them, such as {flag} " in done.stderr

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ("sync jax --envs a --envs b", "`--envs` takes one value, and is given 2: a, b\n\nhint: give one of them"),
            ("validate --device cpu --device=gpu", "`--device` takes one value, and is given 2: cpu, gpu\n"),
            ("bundle -o a.tar --output b.tar", "`--output` takes one value, and is given 2: a.tar, b.tar\n"),
            ("bundle --platform linux-64 --platform osx-arm64", "`--platform` takes one value, and is given 2: "),
            ("add rich --backend jax --backend numpy", "`--backend` takes one value, and is given 2: jax, numpy\n"),
        ],
    )
    def test_no_flag_of_another_command_is_dropped(self, kgen: Kgen, typed: str, said: str) -> None:
        done = kgen(*typed.split())
        assert (done.status, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {said}")

    def test_a_program_has_its_own_flags(self, kgen: Kgen) -> None:
        for words in (("run", "jax", "--", "x", "--envs", "a", "--envs", "b"), ("run", "jax", "--envs=a", "--envs=b")):
            assert "takes one value" not in kgen(*words).stderr
        assert "takes one value" not in kgen("sync", "jax", "--envs", "a", "--envs", "a").stderr

    def test_lock_check_and_names_of_commands(self, kgen: Kgen, matrix: CompatibilityMatrix) -> None:
        with serving(Wheelhouse(matrix, [PYTHON, "3.12"])) as index:
            self.lock_and_check(kgen.at(index.url))

    def lock_and_check(self, kgen: Kgen) -> None:
        path = kgen.folder / "kgen.toml"
        head = f'backends = ["numpy"]\ncpu = true\nplatforms = ["linux-64"]\nexclude-newer = "{CUTOFF}"\n'
        other = "3.12"
        path.write_text(f'{head}pythons = ["{PYTHON}", "{other}"]\n')
        done = kgen("lock")
        assert done.status == 0, done.stderr
        folders = sorted(one.name for one in (kgen.folder / "locks").glob("[!.]*"))
        assert folders == ["numpy-cpu-py311", "numpy-cpu-py312"]
        data = tomli.loads((kgen.folder / "locks/numpy-cpu-py312/pylock.linux-64.toml").read_text())
        assert (data["tool"]["kgen"]["python"], data["tool"]["kgen"]["environment"]) == (other, "numpy-cpu-py312")
        assert kgen("check").status == 0
        assert kgen("check", "numpy-cpu-py312").status == 0
        several = kgen("sync", "numpy-cpu")
        assert several.status == 2
        assert "`numpy-cpu` is locked more than once: numpy-cpu-py311, numpy-cpu-py312" in several.stderr
        path.write_text(f'{head}pythons = ["{PYTHON}", "3.13"]\n')
        found = kgen("check")
        assert "numpy-cpu-py313" in found.stdout
        assert f"is for Python {other}, and kgen.toml names {PYTHON}, 3.13" in found.stdout
        exported = kgen("export", "github-actions")
        assert exported.status == 0
        assert "numpy-cpu-py311" in exported.stdout
        assert "numpy-cpu-py312" in exported.stdout


class TestAllowedPythons:
    """What stands for `requires-python`, and what it must be."""

    MINORS = ("3.11", "3.12")

    def allowed(self, folder: Path, matrix: CompatibilityMatrix) -> tuple[str, list[str], str] | None:
        found = pythons.required(folder, matrix)
        return found and (found.text, [one for one in found.minors if one in self.MINORS], found.file)

    @pytest.mark.parametrize(
        ("text", "range_", "minors"),
        [
            ('[project]\nrequires-python = "~=3.11.2"\n', "~=3.11.2", ["3.11"]),
            ('[project]\nrequires-python = "!=3.12.*,>=3.11"\n', "!=3.12.*,>=3.11", ["3.11"]),
            ('\ufeff[project]\nrequires-python = "==3.12.*"\n', "==3.12.*", ["3.12"]),
            ('[tool.poetry.dependencies]\npython = "^3.12"\n', ">=3.12,<4", ["3.12"]),
            ('[project]\nname = "x"\n[tool.poetry.dependencies]\npython = "~3.11"\n', ">=3.11,<3.12", ["3.11"]),
            (
                '[project]\nrequires-python = ">=3.12"\n[tool.poetry.dependencies]\npython = "^3.8"\n',
                ">=3.12",
                ["3.12"],
            ),
        ],
    )
    def test_in_pyproject(
        self, tmp_path: Path, matrix: CompatibilityMatrix, text: str, range_: str, minors: list[str]
    ) -> None:
        (tmp_path / "pyproject.toml").write_text(text)
        assert self.allowed(tmp_path, matrix) == (range_, minors, "pyproject.toml")

    @pytest.mark.parametrize(
        "text",
        ["", '[project]\nrequires-python = ""\n', '[tool.poetry.dependencies]\npython = "*"\n', "[tool.poetry]\n"],
    )
    def test_nothing_is_said(self, tmp_path: Path, matrix: CompatibilityMatrix, text: str) -> None:
        (tmp_path / "pyproject.toml").write_text(text)
        assert self.allowed(tmp_path, matrix) is None

    def test_in_setup_cfg(self, tmp_path: Path, matrix: CompatibilityMatrix) -> None:
        (tmp_path / "setup.cfg").write_text("[options]\npython_requires = >=3.10, <3.12\n")
        assert self.allowed(tmp_path, matrix) == (">=3.10, <3.12", ["3.11"], "setup.cfg")
        # which setuptools does not read where the standard's table is
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
        assert self.allowed(tmp_path, matrix) is None

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ('"banana"', "`banana`"),
            ('"^3.11"', "`^3.11`"),
            ("3.11", "should be text, is a number; put quotes around it"),
            (r'">=3.11\u001b[2J"', "is not one printable line"),
        ],
    )
    def test_no_range(self, tmp_path: Path, matrix: CompatibilityMatrix, value: str, said: str) -> None:
        (tmp_path / "pyproject.toml").write_text(f"[project]\nrequires-python = {value}\n")
        with pytest.raises(SettingsError) as raised:
            pythons.required(tmp_path, matrix)
        assert raised.value.message.startswith("pyproject.toml: project.requires-python: ")
        assert said in raised.value.message
        assert "\x1b" not in raised.value.message
        assert raised.value.hints == ("edit pyproject.toml", "kgen lock --no-project")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--extra", "old", "--extra", "new"), "error: extra old and extra New exclude each other, as `conflicts` of"),
        (("--extra", "all"), "error: extra old and extra New exclude each other, as `conflicts` of"),
        (("--extra", "old", "--group", "dev"), "error: extra old and group dev exclude each other, as `conflicts` of"),
        (("--extra", "new"), None),
    ],
)
def test_extras_that_the_project_says_exclude_each_other(
    kgen: Kgen, project: Path, asked: tuple[str, ...], said: str | None
) -> None:
    (project / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\n[project.optional-dependencies]\nold = ["rich<14"]\n'
        'New = ["rich>=14"]\nall = ["x[old,new]"]\n[dependency-groups]\ndev = ["rich>14"]\n[tool.uv]\n'
        'conflicts = [[{ extra = "old" }, { extra = "New" }], [{ extra = "old" }, { group = "dev" }]]\n'
    )
    done = kgen(*SOLVE, "numpy", "--cpu", *asked)
    assert (done.status, done.stderr.startswith(said or "")) == (0 if said is None else 2, True), done.stderr


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ('extras = ["gone"]', "edit pyproject.toml, or leave `gone` out: `--extra`, or `extras` in the settings, asks"),
        ('groups = ["dve"]', "did you mean `dev`? `--group`, or `groups` in the settings, asks for it"),
    ],
)
def test_a_part_that_only_the_settings_name_is_not_told_as_a_flag(
    kgen: Kgen, project: Path, setting: str, hint: str
) -> None:
    (project / "pyproject.toml").write_text(
        f'[project]\nname = "x"\nversion = "1"\n[dependency-groups]\ndev = []\n[tool.kgen]\n{setting}\n'
    )
    refused = kgen(*SOLVE, "numpy", "--cpu")
    assert refused.status == 2
    assert f"\nhint: {hint}" in refused.stderr
