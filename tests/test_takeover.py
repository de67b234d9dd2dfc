"""`kgen init --from`: an existing project of another tool, as settings of kgen; what has no place there is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli
from tests.command import CUTOFF, Kgen

from kgen.actions.takeover import take_over
from kgen.actions.takeover.builder import Takeover
from kgen.errors import SettingsError, UsageError
from kgen.matrix.compatibility import CompatibilityMatrix

ENVIRONMENT = """\
name: train   # how conda calls it
channels:
  - conda-forge
  - nvidia
dependencies:
  - python=3.11
  - pytorch::pytorch>=2.4,<2.6
  - 'jax=0.5'
  - numpy=1.26.*=py311_0
  - scikit-learn 1.5.*
  - cuda-version=12.6
  - pip
  - pip:
      - keras-hub>=0.20
      - -r more.txt
      - git+https://example.org/x.git
variables:
  MODE: fast
"""
POETRY = """\
[tool.poetry]
name = "lib"
version = "0"
[tool.poetry.dependencies]
python = "^3.11"
tensorflow = "~2.18"
keras = "^3.5"
rich = "*"
pillow = "10.4"
mine = { path = "../mine" }
jinja2 = { version = "^3.1", extras = ["i18n"] }
[tool.poetry.group.test.dependencies]
pytest = "^8"
[tool.poetry.group.docs]
optional = true
[tool.poetry.group.docs.dependencies]
sphinx = "*"
[[tool.poetry.source]]
name = "inner"
url = "https://example.org/simple"
"""
PIXI = """\
[workspace]
name = "lib"
platforms = ["linux-64", "osx-arm64", "linux-riscv64"]
[dependencies]
python = ">=3.11,<3.13"
pytorch = ">=2.4"
opt_einsum = "*"
[pypi-dependencies]
lib = { path = ".", editable = true }
keras = ">=3.5"
einops = { version = ">=0.8", extras = ["x"] }
[tasks]
train = "python train.py"
[system-requirements]
cuda = "12"
"""
UV = """\
[project]
name = "lib"
version = "0"
requires-python = ">=3.11,<3.13"
dependencies = ["torch>=2.4,<2.6", "numpy<2"]
[dependency-groups]
dev = ["pytest"]
docs = ["sphinx"]
[tool.uv]
dev-dependencies = ["ruff"]
[tool.uv.sources]
torch = { index = "own" }
mine = { git = "https://example.org/mine" }
"""


def taken(folder: Path, matrix: CompatibilityMatrix, source: str, text: str, file: str | None = None) -> Takeover:
    (folder / (file or source)).write_text(text, encoding="utf-8")
    return take_over(folder, source if file else str(folder / source), matrix)


def lists(of: Takeover) -> dict[str, set[str]]:
    return {entry.key: set(entry.values) for entry in of.entries}


def test_an_environment_of_conda(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    found = taken(tmp_path, matrix, "environment.yml", ENVIRONMENT)
    assert found.backends == ("torch", "jax")
    assert found.python is not None
    assert found.python.minors == ("3.11",)
    assert lists(found) == {
        "require": {"torch<2.6,>=2.4", "jax==0.5.*"},
        "dependencies": {"numpy==1.26.*", "scikit-learn==1.5.*", "keras-hub>=0.20"},
        "channels": {"conda-forge", "nvidia"},
    }
    assert [one.partition(":")[0] for one in found.left] == [
        "cuda-version =12.6",
        "pip",
        "pip's `-r more.txt`",
        "`git+https",
        "variables",
    ]


@pytest.mark.parametrize(
    ("channels", "taken_over", "left"),
    [
        ("[conda-forge, nodefaults]", None, []),
        ("[bioconda, conda-forge/, bioconda/, conda-forge]", ("bioconda", "conda-forge"), []),
        ("[conda-forge/linux-64]", None, ["channel conda-forge/linux-64: `conda-forge/linux-64` is the folder of one"]),
        ("[defaults, conda-forge]", None, ["channel defaults: `defaults` is not one channel"]),
        ("['https://u:p@x.example/c', nvidia]", ("nvidia",), ["channel https"]),
    ],
)
def test_channels(
    tmp_path: Path, matrix: CompatibilityMatrix, channels: str, taken_over: tuple[str, ...] | None, left: list[str]
) -> None:
    found = taken(tmp_path, matrix, "environment.yml", f"channels: {channels}\ndependencies:\n  - numpy\n")
    assert {one.key: one.values for one in found.entries}.get("channels") == taken_over
    assert len(found.left) == len(left)
    assert all(one.startswith(begin) for one, begin in zip(found.left, left, strict=True))


@pytest.mark.parametrize(
    ("spec", "left"),
    [
        ("pytorch-cuda=12.1", "pytorch-cuda =12.1: kgen chooses CUDA; `kgen lock --cuda 12.1` asks for it"),
        ("cuda-version>=12.6,<13", "cuda-version >=12.6,<13: kgen chooses CUDA; `kgen lock --cuda 12.6` asks for it"),
        ("cudatoolkit", "cudatoolkit: kgen chooses CUDA"),
        ("cudnn=9.1.0.70", "cudnn =9.1.0.70: kgen chooses it, with CUDA"),
        (
            "cpuonly=2.0=0",
            "cpuonly =2.0=0: it says which build is meant; `kgen lock --cpu` or `--cuda` says that to kgen",
        ),
        (
            "_libgcc_mutex=0.1=conda_forge",
            "_libgcc_mutex =0.1=conda_forge: it is not a Python package; the system has it, or wheels bring it along",
        ),
        ("openssl=3.0.*|3.1.*", "openssl =3.0.*|3.1.*: it is not a Python package; the system has it, or wheels bring"),
    ],
)
def test_what_only_conda_has(tmp_path: Path, matrix: CompatibilityMatrix, spec: str, left: str) -> None:
    """The index has nothing by that name, or something else: it would be refused, or be a stranger's."""
    found = taken(tmp_path, matrix, "environment.yml", f"dependencies:\n  - {spec}\n  - scipy=1.14.1=py312h62794b6_1\n")
    assert lists(found) == {"dependencies": {"scipy==1.14.1.*"}}
    (said,) = found.left
    assert said.startswith(left)


@pytest.mark.parametrize(
    "text",
    [
        "dependencies: [\"rich>=13,<15\", einops, 'jax']\n",
        "%YAML 1.2\n---\ndependencies: [rich >=13,<15 , einops,  # both\n  jax,\n]\n".replace(
            "rich >=13,<15", "'rich >=13,<15'"
        ),
        "dependencies:\n  - jax\n  - {pip: ['rich>=13,<15', einops]}\nname: x\nprefix: /opt/x\n...\n",
        "dependencies:\n- jax\n- pip: [einops]\n- rich[version='>=13,<15',build=*_0]\n",
        "dependencies:\n- jax=*=*cuda*\n- rich >=13,<15 py_0\n- einops *\n",
        "name: &rows [jax, 'rich>=13,<15', einops]\ndependencies: *rows\n",
        "dependencies:\n  - &one jax\n  - pip: &two\n    - >-\n      rich>=13,<15\n    - einops\nprefix: *two\n",
        (
            "name: &base {dependencies: [rich, pip: [keras]]}\n<<: *base\ndependencies:\n- jax\n- ? pip\n"
            "  : ['rich>=13,<15']\n- |\n  einops\n"
        ),
    ],
)
def test_the_forms_of_an_environment_of_conda(tmp_path: Path, matrix: CompatibilityMatrix, text: str) -> None:
    found = taken(tmp_path, matrix, "environment.yml", text)
    assert found.backends == ("jax",)
    assert lists(found) == {"dependencies": {"rich<15,>=13", "einops"}}
    assert found.left == ()


def test_the_keys_and_selectors_of_conda_lock(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    text = (
        "category: dev\nplatforms:\n  - linux-64\n  - osx-arm64\ndependencies:\n  - rich  # [linux64]\n"
        "  - colorama  # [win]\n  - einops  # [py<310]\n  - jax  # the framework [of ours]\n"
    )
    found = taken(tmp_path, matrix, "environment.yml", text)
    assert found.platforms == ("linux-64", "osx-arm64")
    assert lists(found) == {
        "dependencies": {
            'rich; sys_platform == "linux" and platform_machine == "x86_64"',
            'colorama; sys_platform == "win32"',
        }
    }
    assert found.left[0] == "category: kgen has no such thing"
    assert found.left[1].startswith("einops  # [py<310]: kgen knows the selectors ")


@pytest.mark.parametrize(
    ("spec", "backends", "dependencies"),
    [
        ("tensorflow-gpu>=2.15", ("tensorflow",), set()),
        ("pytorch-gpu=2.4=cuda120*", ("torch",), set()),
        ("python-lmdb", (), {"lmdb"}),
        ("py-xgboost-gpu", (), {"xgboost"}),
        ("libcst", (), {"libcst"}),
        ("xorg-libx11=1.8.9", (), set()),
        ("torchtriton=2.1.0", (), set()),
        ("libcublas-dev=12.1.0.26", (), set()),
    ],
)
def test_what_conda_calls_otherwise(
    tmp_path: Path, matrix: CompatibilityMatrix, spec: str, backends: tuple[str, ...], dependencies: set[str]
) -> None:
    found = taken(tmp_path, matrix, "environment.yml", f"dependencies:\n  - {spec}\n  - rich\n")
    assert found.backends == backends
    assert lists(found)["dependencies"] == {*dependencies, "rich"}


def test_what_pip_installs_from_places(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    text = "dependencies:\n  - pip:\n    - git+https://example.org/x.git@main#egg=my_lib\n    - -e ./lib\n    - rich\n"
    found = taken(tmp_path, matrix, "environment.yml", text)
    assert lists(found) == {"dependencies": {"my-lib @ git+https://example.org/x.git@main", "rich"}}
    (said,) = found.left
    assert "another folder as mylib @ ./libs/mylib" in said


def test_channels_of_pixi(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    text = '[workspace]\nchannels = [{ channel = "nvidia", priority = 1 }, "conda-forge"]\n'
    found = taken(tmp_path, matrix, "pixi.toml", text)
    assert {one.key: one.values for one in found.entries} == {"channels": ("nvidia", "conda-forge")}


def test_what_pixi_has_for_platforms_and_for_itself(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    text = (
        '[dependencies]\nnumpy = 3\n[host-dependencies]\nrust = "*"\n[activation.env]\nA = "b"\n'
        '[target.linux-64.dependencies]\nmkl = "*"\nrich = ">=13"\n[target.win.pypi-dependencies]\ncolorama = "*"\n'
        '[target.osx.dependencies]\neinops = "*"\n[pypi-options]\nindex-url = "https://a.example"\n'
    )
    found = taken(tmp_path, matrix, "pixi.toml", text)
    assert lists(found) == {
        "dependencies": {
            'rich>=13; sys_platform == "linux" and platform_machine == "x86_64"',
            'einops; sys_platform == "darwin"',
        }
    }
    assert found.left == (
        "numpy: its version should be text, is a whole number; put quotes around it",
        "mkl: it is not a Python package; the system has it, or wheels bring it along",
        "target.win of pixi.toml (pypi-dependencies): kgen has no such thing",
        "activation of pixi.toml (env): kgen has no such thing",
        "host-dependencies of pixi.toml (rust): kgen has no such thing",
        "options of pip's index of pixi.toml (index-url): kgen has no such thing",
    )


@pytest.mark.parametrize(
    ("source", "file", "text", "said"),
    [
        ("pixi", "pixi.toml", "workspace = 3\n", "pixi.toml, workspace: should be a table, is a whole number"),
        ("pixi", "pixi.toml", "dependencies = ['jax']\n", "pixi.toml, dependencies: should be a table, is an array"),
        ("pixi", "pixi.toml", "[project]\nchannels = 'x'\n", "pixi.toml, channels: should be an array, is text"),
        ("pixi", "pixi.toml", "feature = 1\n", "pixi.toml, feature: should be a table, is a whole number"),
        ("pixi", "pixi.toml", "target = 1\n", "pixi.toml, target: should be a table, is a whole number"),
        ("uv", "pyproject.toml", "tool = 3\n", "pyproject.toml, tool: should be a table, is a whole number"),
        ("uv", "pyproject.toml", "[tool.uv]\nsources = []\n", "pyproject.toml, sources: should be a table"),
        ("poetry", "pyproject.toml", "[tool]\npoetry = ''\n", "pyproject.toml, poetry: should be a table, is text"),
        ("poetry", "pyproject.toml", "[tool.poetry.group]\na = 1\n", "pyproject.toml, a: should be a table"),
    ],
)
def test_what_is_of_another_kind(  # noqa: PLR0917 - parameters
    tmp_path: Path, matrix: CompatibilityMatrix, source: str, file: str, text: str, said: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        taken(tmp_path, matrix, source, text, file)
    assert raised.value.message.startswith(said)


def test_channels_of_pixi_without_a_name(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    text = '[workspace]\nchannels = [{ name = "x" }, "nvidia"]\n'
    found = taken(tmp_path, matrix, "pixi.toml", text)
    assert {one.key: one.values for one in found.entries} == {"channels": ("nvidia",)}


def test_what_is_optional_in_poetry(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    text = '[tool.poetry.dependencies]\nrich = "*"\neinops = { version = "^0.8", optional = true }\n'
    found = taken(tmp_path, matrix, "poetry", text, "pyproject.toml")
    assert lists(found) == {"dependencies": {"rich"}}
    assert found.left == ("einops: it is optional, for an extra of Poetry; `kgen add einops` takes it",)


def test_files_that_an_environment_names(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    (tmp_path / "more.txt").write_text("einops\njax>=0.4\n")
    text = "dependencies:\n  - pip:\n      - -r more.txt\n      - --requirement absent.txt\n      - rich\n"
    found = taken(tmp_path, matrix, "environment.yml", f"\ufeff{text}")
    assert found.backends == ("jax",)
    assert lists(found) == {"requirements": {"more.txt"}, "dependencies": {"rich"}}
    assert [one.partition(":")[0] for one in found.left] == ["pip's `--requirement absent.txt`"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "environment.yml has no `dependencies`"),
        ("name: x\nchannels: [conda-forge]\n", "environment.yml has no `dependencies`"),
        ("dependencies: [\n", "environment.yml, line 1: not as environment.yml has it: dependencies: ["),
        ("dependencies: [numpy,\n  rich\n", "environment.yml, line 2: not as environment.yml has it: rich"),
        ("dependencies: numpy\n", "environment.yml, line 1: not as environment.yml has it: dependencies: numpy"),
        (
            "channels: x\ndependencies:\n  - numpy\n",
            "environment.yml, line 1: not as environment.yml has it: channels: x",
        ),
        ("dependencies: *x\n", "environment.yml, line 1: not as environment.yml has it: dependencies: *x"),
        ("- numpy\n", "environment.yml, line 1: not as environment.yml has it: - numpy"),
        ("dependencies:\n  - [numpy]\n", "environment.yml, line 2: not as environment.yml has it: - [numpy]"),
        ("dependencies:\n  - pip: rich\n", "environment.yml, line 2: not as environment.yml has it: - pip: rich"),
        ("dependencies:\n  - rich\n---\nname: x\n", "environment.yml, line 3: not as environment.yml has it: ---"),
        ("a: &a {<<: *a}\n<<: *a\ndependencies: []\n", "environment.yml, line 1: not as environment.yml has it: "),
        ("name: x\ndependencies: {numpy: 1}\n", "environment.yml, line 2: not as environment.yml has it: "),
        ("dependencies:\n  numpy: 1\n", "environment.yml, line 2: not as environment.yml has it: numpy: 1"),
    ],
)
def test_what_is_no_environment_of_conda(tmp_path: Path, matrix: CompatibilityMatrix, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        taken(tmp_path, matrix, "environment.yml", text)
    assert said in raised.value.message


def test_poetry(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    found = taken(tmp_path, matrix, "poetry", POETRY, "pyproject.toml")
    assert found.backends == ("tensorflow",)
    assert found.python is not None
    assert found.python.text == ">=3.11,<4"
    assert lists(found) == {
        "require": {"tensorflow<2.19,>=2.18", "keras<4,>=3.5"},
        "dependencies": {"mine @ ../mine", "rich", "pillow==10.4", "jinja2[i18n]<4,>=3.1", "pytest<9,>=8"},
    }
    assert found.left == (
        "group docs of Poetry: it is optional; `kgen add` takes what is in it",
        "[[tool.poetry.source]]: uv asks its own indexes; name them as `[[index]]` in uv.toml",
    )


@pytest.mark.parametrize("file", ["pixi.toml", "pyproject.toml"])
def test_pixi(tmp_path: Path, matrix: CompatibilityMatrix, file: str) -> None:
    text = (
        PIXI
        if file == "pixi.toml"
        else PIXI.replace("\n[", "\n[tool.pixi.").replace("[workspace", "[tool.pixi.workspace", 1)
    )
    found = taken(tmp_path, matrix, "pixi", text, file)
    assert found.backends == ("torch",)
    assert found.platforms == ("linux-64", "osx-arm64")
    assert found.python is not None
    assert found.python.minors == ("3.11", "3.12")
    assert lists(found) == {"require": {"torch>=2.4", "keras>=3.5"}, "dependencies": {"opt-einsum", "einops[x]>=0.8"}}
    assert [one.partition(" ")[0] for one in found.left] == ["platform", "tasks", "system-requirements"]


def test_uv(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    found = taken(tmp_path, matrix, "uv", UV, "pyproject.toml")
    # what [project] has, kgen reads by itself
    assert (found.backends, found.platforms) == (("torch",), ())
    assert lists(found) == {"groups": {"dev"}, "dependencies": {"ruff"}}
    assert found.left == ()


@pytest.mark.parametrize(
    ("text", "entries", "left"),
    [
        ("torch>=2.4\nrich\n", ["requirements"], 0),
        ("--index-url https://example.org/simple\njax\n", ["requirements"], 1),
        ("torch>=2.4\nrich @ https://example.org/rich-1.tar.bz2\nh5py\n", ["dependencies", "require"], 1),
    ],
)
def test_a_file_of_requirements(
    tmp_path: Path, matrix: CompatibilityMatrix, text: str, entries: list[str], left: int
) -> None:
    found = taken(tmp_path, matrix, "requirements.txt", text)
    assert [entry.key for entry in found.entries] == entries
    assert len(found.left) == left
    assert len(found.backends) == 1


def test_a_script(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    block = "# /// script\n# requires-python = '>=3.11,<3.13'\n# dependencies = ['jax>=0.5', 'rich'{}]\n# ///\n"
    found = taken(tmp_path, matrix, "train.py", block.format(""))
    assert found.backends == ("jax",)
    assert found.python is not None
    assert found.python.minors == ("3.11", "3.12")
    assert lists(found) == {"requirements": {"train.py"}}
    # what cannot be read each time is written down
    text = block.format(", 'a b'").replace("# ///\n", "# [tool.uv]\n# ///\n")
    found = taken(tmp_path, matrix, "train.py", text)
    assert lists(found) == {"require": {"jax>=0.5"}, "dependencies": {"rich"}}
    assert found.left[0] == "[tool.uv] in train.py: uv reads its settings from uv.toml"
    assert len(found.left) == 2


@pytest.mark.parametrize(
    ("source", "text", "error", "said"),
    [
        ("train.py", "import keras\n", SettingsError, "one block `# /// script`, and this one has none"),
        ("absent.py", None, UsageError, "is not there"),
        ("absent.yml", None, UsageError, "is not there"),
        ("environment.yml", "dependencies: &a\n  {b: c}\n", SettingsError, "line 1: not as environment.yml has it"),
        ("pixi.toml", "[", SettingsError, "is not valid TOML"),
        ("poetri", None, UsageError, "is not what kgen can take over"),
        ("environment.yml", "\x00: [\n", SettingsError, "line 1"),
        ("packages.txt", "# platform: linux-64\nnumpy=2.3.0=py312_0\n", UsageError, "lists what is installed"),
        ("packages.txt", "@EXPLICIT\nhttps://a.example/linux-64/x-1-0.conda\n", UsageError, "lists what is installed"),
    ],
)
def test_what_cannot_be_taken(
    tmp_path: Path, matrix: CompatibilityMatrix, *, source: str, text: str | None, error: type[Exception], said: str
) -> None:
    path = tmp_path / source if "." in source else Path(source)
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=said):
        take_over(tmp_path, str(path), matrix)


@pytest.mark.parametrize(
    ("poetrys", "standard"),
    [
        ("^1.2.3", ">=1.2.3,<2"),
        ("^0.2.3", ">=0.2.3,<0.3"),
        ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("^0", ">=0,<1"),
        ("~1.2.3", ">=1.2.3,<1.3"),
        ("~1", ">=1,<2"),
        (">=1,<2", "<2,>=1"),
        ("1.2", "==1.2"),
        ("*", ""),
    ],
)
def test_the_ranges_of_poetry(tmp_path: Path, matrix: CompatibilityMatrix, poetrys: str, standard: str) -> None:
    text = f'[tool.poetry.dependencies]\nrich = "{poetrys}"\n'
    (values,) = lists(taken(tmp_path, matrix, "poetry", text, "pyproject.toml")).values()
    expected = {f"rich{standard}"}
    assert {",".join(sorted(one.removeprefix("rich").split(","))) for one in values} == {
        ",".join(sorted(one.removeprefix("rich").split(","))) for one in expected
    }


@pytest.mark.parametrize(
    ("spec", "python", "left"),
    [
        ("python>=3.10,<3.12", "3.11", ()),
        ("python=2.7", "3.13", ("python ==2.7.*: the matrix knows no such Python",)),
        ("python=3.12", "3.12", ()),
    ],
)
def test_pythons_on_which_nothing_fits(
    kgen: Kgen, project: Path, spec: str, python: str, left: tuple[str, ...]
) -> None:
    """What the file says of Python is not lost: later, nothing else says it."""
    text = f"dependencies:\n  - {spec}\n  - pip:\n    - torch==2.1.0+cu118\n"
    (project / "environment.yml").write_text(text)
    done = kgen("init", "--from", "environment.yml")
    assert done.status == 0, done.stderr
    assert settings_of(project).get("python", "3.13") == python
    assert [one for one in done.stderr.splitlines() if "python" in one] == [f"note: left out: {one}" for one in left]


def settings_of(project: Path) -> dict[str, Any]:
    own = project / "kgen.toml"
    if own.exists():
        return tomli.loads(own.read_text(encoding="utf-8"))
    table: dict[str, Any] = tomli.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["kgen"]
    return table


@pytest.mark.parametrize(
    ("source", "file", "text"),
    [
        ("environment.yml", "environment.yml", "dependencies:\n  - python=3.11\n  - jax\n  - rich>=0.1\n"),
        ("requirements.txt", "requirements.txt", "jax\nrich>=0.1\n"),
        (
            "uv",
            "pyproject.toml",
            '[project]\nname = "a"\nversion = "0"\nrequires-python = "==3.11.*"\ndependencies = ["jax"]\n',
        ),
        ("poetry", "pyproject.toml", '[tool.poetry.dependencies]\npython = "~3.11"\njax = "*"\nrich = "^0.1"\n'),
        ("pixi", "pixi.toml", '[workspace]\nplatforms = ["linux-64"]\n[dependencies]\npython = "3.11.*"\njax = "*"\n'),
    ],
)
def test_the_settings_lock(kgen: Kgen, project: Path, source: str, file: str, text: str) -> None:
    (project / file).write_text(text, encoding="utf-8")
    done = kgen("init", "--from", source, "--cpu")
    assert done.status == 0, done.stderr
    assert settings_of(project)["backends"] == ["jax"]
    locked = kgen("lock", "--python", "3.11", "--platform", "linux-64", "--exclude-newer", CUTOFF)
    assert locked.status == 0, locked.stderr
    assert "ignores" not in locked.stderr  # what was taken over
    assert [path.name for path in (project / "locks").glob("[!.]*")] == ["jax-cpu"]


def test_what_is_left_out_is_named(kgen: Kgen, project: Path) -> None:
    (project / "environment.yml").write_text(ENVIRONMENT, encoding="utf-8")
    done = kgen("init", "--from", "environment.yml", "--cpu")
    assert done.status == 0
    assert '# Taken over from environment.yml.\nchannels = ["conda-forge", "nvidia"]\n' in done.stdout
    assert "note: left out: pip's `-r more.txt`: " in done.stderr
    assert "# The backends; each gets an environment of its own. The project requires them." in done.stdout
    (project / "kgen.toml").unlink()
    named = kgen("init", "jax", "--from", "environment.yml", "--cpu")
    assert "# The backends; each gets an environment of its own. They were named to kgen\n# init.\n" in named.stdout
    assert 'python = "3.11"' in done.stdout
