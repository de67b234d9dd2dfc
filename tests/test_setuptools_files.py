"""What setuptools' own files require: `setup.cfg`, the files that `pyproject.toml` names for it, and `setup.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.command import Kgen

from kgen.actions import pythons
from kgen.actions.requirements import with_project
from kgen.errors import KgenError, SettingsError, UsageError
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.settings import Settings

CFG = """\
[metadata]
name = My.Legacy
[options]
python_requires = >=3.10
install_requires =
    rich>=13  # for tables
    # and nothing else
    tomli; python_version < "3.11"
[options.extras_require]
Plot = ml-dtypes; optree
all =
    my-legacy[plot]
    absl-py
"""
SETUP_PY = "from setuptools import setup\nsetup()\n"
DYNAMIC = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "x"
dynamic = ["dependencies", "optional-dependencies"]
"""
UNREAD = "what setup.py requires is not read, as it is a program; `--dependency` names it"


def required(folder: Path, there: Mapping[str, str], **fields: Any) -> Settings:  # noqa: ANN401 - as Settings has them
    for name, text in there.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode())
    return with_project(Settings(root=folder, **fields))


@pytest.mark.parametrize(
    ("there", "fields", "wanted"),
    [
        ({"setup.cfg": CFG}, {}, ["rich>=13", 'tomli; python_version < "3.11"']),
        ({"setup.cfg": "\ufeff" + CFG.replace("\n", "\r\n")}, {}, ["rich>=13", 'tomli; python_version < "3.11"']),
        ({"setup.cfg": CFG, "setup.py": SETUP_PY}, {"extras": ("plot",)}, ["rich>=13", "ml-dtypes", "optree"]),
        ({"setup.cfg": CFG}, {"extras": ("all",)}, ["rich>=13", "absl-py", "ml-dtypes", "optree"]),
        ({"setup.cfg": "[options]\ninstall_requires = rich; h5py\n"}, {}, ["rich", "h5py"]),
        (
            {"setup.cfg": "[options]\ninstall_requires = file: a.txt, b/c.txt\n", "a.txt": "rich\n", "b/c.txt": "h5py"},
            {},
            ["rich", "h5py"],
        ),
        ({"setup.cfg": "[options]\npackages = find:\n"}, {}, []),
        ({"setup.cfg": "[flake8]\ninstall_requires = rich\n"}, {}, []),
        ({"setup.cfg": "[options\ninstall_requires = rich\n"}, {}, []),
        # the standard's table wins, unless it leaves them to others
        ({"setup.cfg": CFG, "pyproject.toml": '[project]\nname = "x"\ndependencies = ["h5py"]\n'}, {}, ["h5py"]),
        ({"setup.cfg": CFG, "pyproject.toml": DYNAMIC}, {"extras": ("plot",)}, ["rich>=13", "ml-dtypes", "optree"]),
        ({"setup.cfg": CFG, "pyproject.toml": DYNAMIC.replace("setuptools", "hatchling")}, {}, []),
        (
            {
                "setup.cfg": CFG,
                "pyproject.toml": DYNAMIC + '[tool.setuptools.dynamic]\ndependencies = { file = "in.txt" }\n'
                '[tool.setuptools.dynamic.optional-dependencies.Test]\nfile = ["in.txt", "test.txt"]\n',
                "in.txt": "# all\nh5py\n",
                "test.txt": "absl-py # too\n",
            },
            {"extras": ("test",)},
            ["h5py", "absl-py"],
        ),
        (
            {"pyproject.toml": '[tool.kgen]\n[build-system]\nrequires = ["setuptools"]\n', "setup.cfg": CFG},
            {"extras": ("plot",)},
            ["rich>=13", "ml-dtypes", "optree"],
        ),
    ],
)
def test_what_is_read(tmp_path: Path, there: Mapping[str, str], fields: dict[str, Any], wanted: list[str]) -> None:
    found = [str(one) for one in required(tmp_path, there, **fields).required.dependencies]
    assert [one for one in found if fields == {} or not one.startswith("tomli")] == wanted


@pytest.mark.parametrize(
    ("there", "notes"),
    [
        (
            {"setup.cfg": CFG},
            ["setup.cfg requires more, which is locked too: 2 of dependencies; `project = false` leaves it out"],
        ),
        ({"setup.py": SETUP_PY}, []),
        ({"setup.py": "setup(install_requires=read())"}, [UNREAD]),
        ({"setup.py": "setup(name='x',\n  **config)"}, [UNREAD]),
        ({"setup.py": "setup(cmdclass={})\nprint(2 ** 3)"}, []),
        ({"setup.py": "setup(\udcff)".encode("utf-8", "surrogateescape").decode("latin-1")}, []),
        ({"setup.py": "install_requires", "pyproject.toml": DYNAMIC}, [UNREAD]),
        ({"setup.py": "install_requires", "pyproject.toml": '[project]\nname = "x"\n'}, []),
        (
            {"pyproject.toml": DYNAMIC},
            ["the dependencies of pyproject.toml are dynamic, and not read; `--dependency` names them"],
        ),
    ],
)
def test_what_is_said(tmp_path: Path, there: Mapping[str, str], notes: list[str]) -> None:
    found = [one for one in required(tmp_path, there).required.notes if not one.startswith("setuptools finds")]
    assert found == notes


@pytest.mark.parametrize(
    ("there", "fields", "error", "message"),
    [
        (
            {"setup.cfg": CFG.replace("rich>=13", "rich=>13")},
            {},
            SettingsError,
            "setup.cfg: options.install_requires: `rich=>13`",
        ),
        (
            {"setup.cfg": "[options]\ninstall_requires = file: none.txt\n"},
            {},
            SettingsError,
            "setup.cfg: options.install_requires: none.txt cannot be read: No such file or directory",
        ),
        (
            {"setup.cfg": "[options]\ninstall_requires = file: ../in.txt\n"},
            {},
            SettingsError,
            "setup.cfg: options.install_requires: ../in.txt is outside of the project",
        ),
        ({"setup.cfg": CFG}, {"extras": ("plott",)}, UsageError, "setup.cfg has no extra `plott`; there are all, plot"),
        (
            {"pyproject.toml": DYNAMIC + "[tool.setuptools.dynamic]\ndependencies = { file = 3 }\n"},
            {},
            SettingsError,
            "pyproject.toml: tool.setuptools.dynamic.dependencies.file: should be a file",
        ),
    ],
)
def test_faults(
    tmp_path: Path, there: Mapping[str, str], fields: dict[str, Any], error: type[KgenError], message: str
) -> None:
    with pytest.raises(error) as raised:
        required(tmp_path, there, **fields)
    assert raised.value.message.startswith(message)
    assert f"edit {message.partition(' ')[0].rstrip(':')}" in raised.value.hints[0] or error is UsageError


def test_left_out(tmp_path: Path) -> None:
    found = required(tmp_path, {"setup.cfg": CFG}, project=False)
    assert found.required.dependencies == ()
    assert found.required.notes == ("what setup.cfg requires is left out: `project = false`",)


def test_the_range_of_pythons_where_the_standard_leaves_it_to_others(
    tmp_path: Path, matrix: CompatibilityMatrix
) -> None:
    (tmp_path / "setup.cfg").write_text("[options]\npython_requires = ==3.11.*\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\ndynamic = ["requires-python"]\n')
    found = pythons.required(tmp_path, matrix)
    assert found is not None
    assert (found.minors, found.file) == (("3.11",), "setup.cfg")


def test_remove_says_where_it_is_required(kgen: Kgen) -> None:
    (kgen.folder / "kgen.toml").write_text('backends = ["numpy"]\ncpu = true\n')
    (kgen.folder / "setup.cfg").write_text("[options]\ninstall_requires = rich\n")
    refused = kgen("remove", "rich")
    assert refused.status == 2
    assert "hint: edit setup.cfg: it is required there\n" in refused.stderr
