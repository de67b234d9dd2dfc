"""The project itself in its environments: built with what the lock pins, editable, with its programs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
from tests.command import CUTOFF, PYTHON, Kgen
from tests.index import serving
from tests.wheelhouse import Wheel, Wheelhouse

from kgen import editable
from kgen.actions.requirements import with_project
from kgen.formats.wheels import builder
from kgen.settings import Settings

BACKEND = b"""\
import base64, os, shutil, sys, zipfile
import tiny_helper

def get_requires_for_build_editable(config_settings=None):
    return [line for line in open("wants.txt").read().split() if line] if os.path.exists("wants.txt") else []

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    if shutil.which("python") != os.path.join(sys.prefix, "bin", "python"):
        raise SystemExit("programs of what builds it are not found")
    if os.path.exists("compile"):
        print("x.c:1: error: no such thing\\n\\n  1 | int", file=sys.stderr)
        raise RuntimeError("command 'cc' failed")
    if os.path.exists("advise"):
        raise SystemExit("error: two packages\\n\\n" + "\\n".join("advice %d" % number for number in range(12)))
    if os.path.exists("fail"):
        raise SystemExit("no compiler")
    version = open("version.txt").read().strip()
    name = "my_lib-%s-py3-none-any.whl" % version
    info = "my_lib-%s.dist-info" % version
    files = {
        "my_lib.pth": os.path.abspath("src") + "\\n",
        info + "/METADATA": "Metadata-Version: 2.1\\nName: my-lib\\nVersion: %s\\n" % version,
        info + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        info + "/entry_points.txt": "[console_scripts]\\nmy-tool = my_lib:main\\n",
    }
    record = "".join("%s,,\\n" % file for file in files) + info + "/RECORD,,\\n"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for file, text in {**files, info + "/RECORD": record}.items():
            wheel.writestr(file, text)
    return name
"""
PYPROJECT = f"""\
[build-system]
requires = ["tiny-build>=1"]
build-backend = "tiny_build"
[project]
name = "My.Lib"
version = "1.0"
[tool.kgen]
backends = ["numpy"]
cpu = true
python = "{PYTHON}"
platforms = ["linux-64"]
exclude-newer = "{CUTOFF}"
"""


@pytest.fixture(name="package")
def _package(kgen: Kgen, wheelhouse: Wheelhouse) -> Iterator[Kgen]:
    """A project that is a package, and an index that has what builds it."""
    house = wheelhouse.copy()
    house.put(
        Wheel(name="tiny-build", version="1.2", requires=("tiny-helper",), files={"tiny_build.py": BACKEND}),
        Wheel(name="tiny-helper", version="2.0"),
    )
    (kgen.folder / "pyproject.toml").write_text(PYPROJECT)
    (kgen.folder / "version.txt").write_text("1.0")
    (kgen.folder / "src").mkdir()
    code(kgen, "one")
    with serving(house) as index:
        yield kgen.at(index.url)


def code(kgen: Kgen, text: str) -> None:
    (kgen.folder / "src/my_lib.py").write_text(f"def main():\n    print({text!r})\n")


def test_editable_with_its_programs(package: Kgen) -> None:
    assert package("lock").status == 0
    data = tomli.loads((package.folder / "locks/numpy-cpu/pylock.linux-64.toml").read_text())["tool"]["kgen"]
    assert data["build-requires"] == ["tiny-build>=1"]
    assert [(one["name"], one["version"]) for one in data["build"]] == [("tiny-build", "1.2"), ("tiny-helper", "2.0")]
    assert all(one["wheels"][0]["hashes"]["sha256"] for one in data["build"])
    assert package("check").status == 0
    done = package("sync", "numpy")
    assert done.status == 0, done.stderr
    assert "by hand" not in done.stderr
    assert package("run", "numpy", "--", "my-tool").stdout == "one\n"
    # what builds it is not in the environment, and the code is that of the folder
    assert package("run", "numpy", "--", "python", "-c", "import tiny_build").status == 1
    code(package, "two")
    again = package("run", "numpy", "--", "my-tool")
    assert (again.stdout, again.stderr) == ("two\n", "")
    assert "nothing to do" in package("sync", "numpy").stderr
    assert package("check", "--installed").status == 0

    # its metadata changed: it is installed again, and nothing else is
    (package.folder / "version.txt").write_text("1.1")
    (package.folder / "pyproject.toml").write_text(PYPROJECT.replace('"1.0"', '"1.1"'))
    changed = package("run", "numpy", "--", "my-tool")
    assert changed.stdout == "two\n"
    assert "numpy-cpu: the project installed in " in changed.stderr
    names = {
        one.name for one in (package.folder / ".kgen/envs/numpy-cpu").glob("lib/*/site-packages/my_lib*.dist-info")
    }
    assert names == {"my_lib-1.1.dist-info"}


def test_left_out(package: Kgen) -> None:
    assert package("lock").status == 0
    assert package("sync", "numpy", "--no-project").status == 0
    missing = package("run", "numpy", "--", "my-tool")
    assert (missing.status, "there is no program `my-tool`" in missing.stderr) == (127, True)
    assert package("sync", "numpy").status == 0
    assert package("run", "numpy", "--", "my-tool").stdout == "one\n"
    assert package("sync", "numpy", "--no-project", "--reinstall").status == 0
    (package.folder / "pyproject.toml").write_text(PYPROJECT.replace("[tool.kgen]", "[tool.kgen]\nproject = false"))
    assert package("sync", "numpy").status == 0
    assert package("run", "numpy", "--", "my-tool").status == 127


def test_what_cannot_be_built(package: Kgen) -> None:
    assert package("lock").status == 0
    (package.folder / "fail").touch()
    done = package("sync", "numpy")
    assert done.status == 4
    assert "error: My.Lib could not be built: " in done.stderr
    assert "no compiler" in done.stderr
    (package.folder / "compile").touch()
    assert package("sync", "numpy").stderr.startswith(
        "error: My.Lib could not be built:\n  x.c:1: error: no such thing\n  1 | int\n"
        "  RuntimeError: command 'cc' failed\n\n"
    )
    (package.folder / "compile").unlink()
    # what is wrong comes before advice of many lines
    (package.folder / "advise").touch()
    assert package("sync", "numpy").stderr.startswith(
        "error: My.Lib could not be built:\n  error: two packages\n  advice 0\n  advice 1\n"
    )
    (package.folder / "advise").unlink()
    assert done.stderr.endswith("hint: kgen sync numpy-cpu --no-project   # everything but the project itself\n")
    (package.folder / "fail").unlink()
    (package.folder / "wants.txt").write_text("tiny-helper other-tool>=2")
    done = package("sync", "numpy")
    assert done.status == 4
    assert "My.Lib cannot be built: tiny_build also needs other-tool>=2, which no lock pins\n" in done.stderr
    (package.folder / "wants.txt").unlink()
    assert package("sync", "numpy").status == 0


def test_a_lock_that_does_not_build_it(package: Kgen) -> None:
    (package.folder / "pyproject.toml").write_text(PYPROJECT.replace("[build-system]", "[no-system]"))
    assert package("lock").status == 0
    (package.folder / "pyproject.toml").write_text(PYPROJECT)
    assert "is without tiny-build>=1, which the project is built with" in package("check").stdout
    done = package("sync", "numpy")
    assert done.status == 0
    assert "My.Lib itself is left out: the lock does not pin tiny-build, which builds it" in done.stderr
    assert package("run", "numpy", "--", "python", "-c", "pass").status == 0
    assert package("lock").status == 0
    assert package("run", "numpy", "--", "my-tool").stdout == "one\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('requires = "x"', "pyproject.toml: build-system.requires: should be an array of texts"),
        ('requires = ["x y"]', "pyproject.toml: build-system.requires: `x y` is not a requirement"),
        ("requires = []\nbuild-backend = 1", "pyproject.toml: build-system: `build-backend` should be text"),
    ],
)
def test_faults(kgen: Kgen, text: str, message: str) -> None:
    (kgen.folder / "pyproject.toml").write_text(f'[project]\nname = "x"\nversion = "0"\n[build-system]\n{text}\n')
    done = kgen("lock", "numpy", "--cpu")
    assert done.status == 2
    assert message in done.stderr


def test_what_a_backend_needs_besides() -> None:
    data = {"project": {"name": "x"}, "build-system": {"requires": ["hatchling"], "build-backend": "hatchling.build"}}
    build = editable.project_build(data)
    assert build is not None
    assert build.requires == ("hatchling", "editables")
    assert editable.project_build({"project": {"name": "x"}}) is None


SYSTEM = {"requires": ["tiny-build"], "build-backend": "tiny_build"}
POETRY = {"tool": {"poetry": {"name": "Of.Poetry"}}}
SETUP_CFG = "[metadata]\nname = of-cfg\n[options]\npy_modules = x\n"


@pytest.mark.parametrize(
    ("data", "files", "name", "requires"),
    [
        ({"build-system": SYSTEM, **POETRY}, {}, "Of.Poetry", ("tiny-build",)),
        (POETRY, {}, None, ()),
        ({"build-system": SYSTEM}, {}, None, ()),
        ({"build-system": SYSTEM}, {"setup.cfg": SETUP_CFG}, "of-cfg", ("tiny-build",)),
        ({}, {"setup.cfg": SETUP_CFG}, "of-cfg", editable.LEGACY),
        ({}, {"setup.cfg": SETUP_CFG, "setup.py": ""}, "of-cfg", editable.LEGACY),
        ({}, {"setup.py": "raise SystemExit"}, "the-folder", editable.LEGACY),
        ({}, {"setup.cfg": "[flake8]\nmax-line-length = 100%\n"}, None, ()),
        ({}, {"setup.cfg": "no section\n"}, None, ()),
        ({}, {"setup.cfg": "\ufeff[metadata]\r\nname = 100%\r\n"}, "100%", editable.LEGACY),
        ({"project": {"name": "x"}}, {"setup.py": ""}, "x", editable.LEGACY),
        ({"project": {"name": "x"}}, {"setup.cfg": "[flake8]\n"}, None, ()),
    ],
)
def test_projects_that_say_it_otherwise(
    tmp_path: Path, data: dict[str, object], files: dict[str, str], name: str | None, requires: tuple[str, ...]
) -> None:
    root = tmp_path / "the-folder"
    root.mkdir()
    for path, text in files.items():
        (root / path).write_bytes(text.encode())
    build = editable.project_build(data, root)
    assert (build and build.name, build.requires if build else ()) == (name, requires)


def test_a_project_without_the_standards_table(package: Kgen) -> None:
    text = PYPROJECT.replace('[project]\nname = "My.Lib"\nversion = "1.0"\n', "")
    (package.folder / "pyproject.toml").write_text(text)
    (package.folder / "setup.cfg").write_text("[metadata]\nname = My.Lib\n[options]\ninstall_requires = numpy>=1\n")
    locked = package("lock")
    assert locked.status == 0
    said = "note: setup.cfg requires more, which is locked too: 1 of dependencies; `project = false` leaves it out\n"
    assert said in locked.stderr
    assert package("sync", "numpy").status == 0
    assert package("run", "numpy", "--", "my-tool").stdout == "one\n"
    assert package("check", "--installed").status == 0
    # without a `pyproject.toml` of its own setuptools builds it, which this lock does not pin
    (package.folder / "setup.cfg").unlink()
    assert package("sync", "numpy").status == 0
    (package.folder / "setup.py").touch()
    (package.folder / "pyproject.toml").write_text(text.replace("[build-system]", "[no-system]"))
    assert "itself is left out: the lock does not pin setuptools, wheel, which" in package("sync", "numpy").stderr


def test_a_record_of_another_folder_is_not_its_own(tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    (prefix / "share/kgen").mkdir(parents=True)
    (prefix / "lib/python3.11/site-packages/x-1.dist-info").mkdir(parents=True)
    (prefix / editable.RECORD).write_bytes(editable.record("x-1", tmp_path / "one"))
    assert editable.is_installed(prefix, tmp_path / "one", ".dist-info")
    assert not editable.is_installed(prefix, tmp_path / "two", ".dist-info")


def test_what_was_built_is_taken_again_and_never_in_the_place_of_something_else(package: Kgen) -> None:
    assert package("lock").status == 0
    assert package("sync", "numpy").status == 0
    (package.folder / "fail").touch()  # whoever builds now fails
    assert package("sync", "numpy", "--no-project").status == 0
    assert package("sync", "numpy").status == 0
    assert package("run", "numpy", "--", "my-tool").stdout == "one\n"
    # another module, or being asked to, has it built again
    (package.folder / "src/other.py").touch()
    assert package("sync", "numpy", "--no-project").status == 0
    assert "My.Lib could not be built" in package("sync", "numpy").stderr
    (package.folder / "src/other.py").unlink()
    assert "My.Lib could not be built" in package("sync", "numpy", "--reinstall").stderr


FLAT = (
    '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n[project]\nname = "My.Lib"\n'
)


@pytest.mark.parametrize("layout", ["my_lib/__init__.py", "my_lib.py"])
def test_setuptools_takes_no_lock_for_a_package(tmp_path: Path, layout: str) -> None:
    """It refuses to find two packages by itself, and takes any folder for one; and a module is left out beside one."""
    root, wheels = tmp_path / "root", tmp_path / "wheels"
    (root / "locks/numpy-cpu").mkdir(parents=True)
    wheels.mkdir()
    (root / "pyproject.toml").write_text(f'{FLAT}version = "1"\n')
    (root / layout).parent.mkdir(exist_ok=True)
    (root / layout).write_text("")
    program = Path(builder.__file__).with_name("pep517.py")
    words = [sys.executable, str(program), "setuptools.build_meta", "", str(wheels), "wheel"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if ".dist-info" not in name] == [layout]


@pytest.mark.parametrize(
    ("more", "file", "said"),
    [
        ("", "my_lib/__init__.py", 'packages.find.include = ["my_lib*"]'),
        ("", "other/__init__.py", 'packages.find.include = ["PACKAGE*"]'),
        ("", "my_lib.py", 'py-modules = ["my_lib"]'),
        ("", "src/my_lib.py", None),
        ("", "setup.py", None),
        ('[tool.setuptools]\npackages.find.include = ["my_lib*"]\n', "my_lib/__init__.py", None),
        ('[tool.setuptools]\npy-modules = ["my_lib"]\n', "my_lib.py", None),
    ],
)
def test_what_setuptools_would_take_for_a_package_is_said(
    tmp_path: Path, more: str, file: str, said: str | None
) -> None:
    (tmp_path / "pyproject.toml").write_text(FLAT + more)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    notes = [one for one in with_project(Settings(root=tmp_path)).required.notes if "takes locks/ for one" in one]
    assert [one.split("`")[1] for one in notes] == ([] if said is None else [said])
