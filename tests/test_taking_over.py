"""`kgen lock --from`: a lock of kgen that begins with the versions of another tool's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rattler
from tests.channel import ChannelServer
from tests.command import CUTOFF, LOCK, PYTHON, Kgen
from tests.conda_packages import MINOR
from tests.index import Index
from tests.test_journeys import typed
from tests.test_lock import versions
from tests.wheelhouse import Wheel

from kgen.actions.foreign import versions_in
from kgen.errors import KgenError
from kgen.formats.conda.importer import packages_in
from kgen.matrix.compatibility import CompatibilityMatrix

JAX = (*LOCK, "jax", "--cpu", "--dependency", "plain")
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(autouse=True)
def _wheels(index: Index) -> None:
    index.wheelhouse.put(*(Wheel(name="plain", version=version) for version in ("1.0", "2.0", "3.0")))


def take(kgen: Kgen, project: Path, name: str, text: str) -> str:
    (project / name).write_text(text, encoding="utf-8")
    done = kgen(*JAX, "--from", name)
    assert done.status == 0, done.stderr
    return done.stderr


def test_of_uv(kgen_alone: Kgen, project: Path, interpreter: str) -> None:
    """A real one: kgen keeps what uv has locked, and would have taken newer versions by itself."""
    (project / "pyproject.toml").write_text(
        f'[project]\nname = "x"\nversion = "0"\nrequires-python = "=={PYTHON}.*"\n'
        'dependencies = ["jax<0.10", "plain<3"]\n'
        f'[tool.uv]\nexclude-newer = "{CUTOFF}"\n[tool.kgen]\nproject = false\n',
        encoding="utf-8",
    )
    words = [str(UV), "lock", "--python", interpreter]
    done = subprocess.run(words, cwd=project, env=kgen_alone.env(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = typed("docs/how-to/migrate.md", "--from")
    assert line == "kgen lock --from uv.lock"
    done_too = kgen_alone(*JAX, *line.split()[2:])
    assert done_too.status == 0, done_too.stderr
    found = versions(project, "jax-cpu")
    assert found["plain"] == "2.0"
    assert found["jax"].startswith("0.9.")
    assert "versions of uv.lock" in done_too.stderr
    again = kgen_alone(*JAX)
    assert versions(project, "jax-cpu") == found, again.stderr


def test_what_does_not_fit_is_named(kgen_alone: Kgen, project: Path) -> None:
    said = take(kgen_alone, project, "requirements.txt", "plain==2.0 \\\n  --hash=sha256:00\nkeras==1.0.0\n# six==1\n")
    assert versions(project, "jax-cpu")["plain"] == "2.0"
    assert "note: jax-cpu: 1 versions of requirements.txt; otherwise: keras " in said
    assert " (it has 1.0.0)\n" in said


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("poetry.lock", '[[package]]\nname = "Plain"\nversion = "1.0"\noptional = false\n'),
        ("pdm.lock", '[metadata]\nlock_version = "4.5.0"\n[[package]]\nname = "plain"\nversion = "1.0"\n'),
        ("pylock.toml", 'lock-version = "1.0"\n[[packages]]\nname = "plain"\nversion = "1.0"\n'),
        (
            "conda-lock.yml",
            (
                "version: 1\npackage:\n- {name: plain, version: '1.0', manager: pip, platform: linux-64}\n"
                "- {name: plain, version: '3.0', manager: pip, platform: osx-arm64}\n"
            ),
        ),
        (
            "pixi.lock",
            (
                "version: 6\nenvironments:\n  default:\n    packages:\n      linux-64:\n"
                "      - conda: https://a.example/linux-64/plain-1.0-h1_0.conda\n"
                "packages:\n- conda: https://a.example/linux-64/plain-1.0-h1_0.conda\n"
            ),
        ),
    ],
)
def test_of_others(kgen_alone: Kgen, project: Path, name: str, text: str) -> None:
    said = take(kgen_alone, project, name, text)
    assert versions(project, "jax-cpu")["plain"] == "1.0"
    assert f"note: jax-cpu: 1 versions of {name}\n" in said


def printed(kgen: Kgen, *words: str) -> str:
    """What a command prints, with nothing made up in it."""
    done = subprocess.run(
        kgen.words(*words), check=True, capture_output=True, text=True, env=kgen.env(), cwd=kgen.folder
    )
    return done.stdout


def test_of_kgens_own_conda_locks(
    kgen: Kgen, project: Path, served: ChannelServer, matrix: CompatibilityMatrix
) -> None:
    """What kgen writes for conda-lock and for pixi holds the same versions, under the names of the index."""
    words = (LOCK[0], "--python", MINOR, *LOCK[3:], "numpy", "--cpu", "--conda", "--channel", served.url)
    done = kgen(*words)
    assert done.status == 0, done.stderr
    (project / "pixi.lock").write_text(printed(kgen, "export", "rattler-lock", "numpy", "--platform", "linux-64"))
    conda = versions_in(project / "locks/numpy-cpu/conda-lock.yml", "linux-64", matrix)
    assert versions_in(project / "pixi.lock", "linux-64", matrix) == conda
    # and the newest form, as rattler writes it itself
    rattler.LockFile.from_path(project / "pixi.lock").to_path(project / "pixi.lock")
    assert (project / "pixi.lock").read_text().startswith("version: 7\n")
    assert versions_in(project / "pixi.lock", "linux-64", matrix) == conda
    assert {"numpy", "keras"} <= conda.keys()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("cargo.lock", "", "kgen knows no lock of this name"),
        ("environment.yml", "dependencies: [plain]\n", "kgen knows no lock of this name"),
        ("pixi.lock", "version: 6\nenvironments: {}\n", "is not a lock that kgen understands .*: it has no 'packages'"),
        ("list.txt", "# platform: osx-arm64\nplain=1.0=h1_0\n", "has no versions for linux-64"),
        ("conda-osx-arm64.lock", "@EXPLICIT\nhttps://a.example/osx-arm64/x-1-0.conda\n", "no versions for linux-64"),
        ("uv.lock", "[[package]\n", "is not a lock that kgen understands"),
        ("uv.lock", "package = 3\n", "is not a lock that kgen understands"),
        ("uv.lock", "", "has no versions for linux-64"),
        ("pixi.lock", "- 1\n", "is not a lock that kgen understands"),
        ("pixi.lock", "a: [", "is not a lock that kgen understands"),
        ("conda-lock.yml", "package:\n- {name: x}\n", "is not a lock that kgen understands"),
        ("nothing.txt", None, "cannot be read: No such file"),
    ],
)
def test_what_is_none(tmp_path: Path, matrix: CompatibilityMatrix, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(KgenError, match=said):
        versions_in(tmp_path / name, "linux-64", matrix)


PIXI_5 = """\
version: 5
environments:
  test:
    packages:
      linux-64:
      - conda: https://a.example/linux-64/plain-3.0-h1_0.conda
      - conda: https://a.example/noarch/more-7-h1_0.tar.bz2
  default:
    packages:
      linux-64:
      - conda: https://a.example/linux-64/plain-1.0-h1_0.conda
      - pypi: https://a.example/w.whl
      - pypi: ./lib
packages:
- kind: conda
  name: plain
  url: https://a.example/linux-64/plain-1.0-h1_0.conda
- kind: pypi
  name: Some_Wheel
  version: 2.5
  url: https://a.example/w.whl
- kind: pypi
  name: lib
  path: ./lib
"""
PIXI_3 = """\
version: 3
package:
- {name: plain, version: 1.0, manager: conda, platform: linux-64, url: https://a.example/linux-64/plain-1.0-h1_0.conda}
- {name: some-wheel, version: 2.5, manager: pip, platform: linux-64}
- {name: more, version: 7, manager: conda, platform: linux-64, url: https://a.example/noarch/more-7-h1_0.tar.bz2}
- {name: plain, version: 9.0, manager: conda, platform: osx-arm64}
"""
EXPLICIT = """\
# platform: linux-64
@EXPLICIT
https://a.example/linux-64/plain-1.0-h1_0.conda#d41d8cd98f00b204e9800998ecf8427e
https://a.example/linux-64/_libgcc_mutex-0.1-conda_forge.tar.bz2
https://a.example/noarch/more-7-h1_0.tar.bz2
https://a.example/osx-arm64/plain-9.0-h1_0.conda
# pip some-wheel @ https://a.example/some_wheel-2.5-py3-none-any.whl#sha256=00
"""
EXPORTED = """\
# This file may be used to create an environment using:
# $ conda create --name <env> --file <this file>
# platform: linux-64
# created-by: conda 26.7.1
_libgcc_mutex=0.1=conda_forge
plain=1.0=h1_0
some-wheel=2.5=pypi_0
more=7=h1_0
"""
LISTED = """\
# packages in environment at /opt/conda/envs/ours:
#
# Name                    Version                   Build  Channel
plain                     1.0                        h1_0    conda-forge
some-wheel                2.5                      pypi_0    pypi
more                      7                          h1_0
"""
PIXI_7 = """\
version: 7
platforms:
- name: cluster
  subdir: linux-64
  virtual-packages:
  - __cuda=12
- name: linux-64
- name: osx-arm64
environments:
  default:
    channels:
    - url: https://a.example/
    packages:
      cluster:
      - conda: https://a.example/linux-64/plain-1.0-h1_0.conda
      - conda_source: ours[00000000] @ ./ours
      - pypi: https://a.example/w.whl
      linux-64:
      - conda: packages/more-7-h1_0.tar.bz2
      osx-arm64:
      - conda: https://a.example/osx-arm64/plain-9.0-h1_0.conda
packages:
- conda: https://a.example/linux-64/plain-1.0-h1_0.conda
- conda: packages/more-7-h1_0.tar.bz2
- conda: https://a.example/osx-arm64/plain-9.0-h1_0.conda
- conda_source: ours[00000000] @ ./ours
- pypi: https://a.example/w.whl
  name: some-wheel
  version: '2.5'
"""
PIXI_6 = PIXI_5.replace("- kind: pypi\n  name: Some_Wheel", "- pypi: https://a.example/w.whl\n  name: Some_Wheel")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pixi.lock", PIXI_7),
        ("pixi.lock", PIXI_5),
        ("pixi.lock", PIXI_6),
        ("pixi.lock", PIXI_3),
        ("ours.conda-lock.yml", PIXI_3),
        ("conda-linux-64.lock", EXPLICIT),
        ("explicit.txt", EXPLICIT),
        # people give these any name
        ("spec-file.txt", EXPLICIT.replace("\n", "\r\n")),
        ("environment.lock", EXPLICIT),
        ("requirements.txt", EXPORTED),
        ("package-list", EXPORTED.replace("\n", "\r\n")),
        ("conda-list.txt", EXPORTED.partition("26.7.1\n")[2]),
        ("packages.txt", LISTED),
    ],
)
def test_the_forms_of_conda(tmp_path: Path, matrix: CompatibilityMatrix, name: str, text: str) -> None:
    """Of several environments of pixi, the default one counts, and others for what only they have."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = versions_in(tmp_path / name, "linux-64", matrix)
    assert found == {"plain": "1.0", "some-wheel": "2.5", "more": "7"}
    builds = {one["name"]: (one["version"], one["build"]) for one in packages_in(tmp_path / name, "linux-64")}
    assert builds.pop("_libgcc_mutex", ("0.1", "conda_forge")) == ("0.1", "conda_forge")
    assert builds == {"plain": ("1.0", "h1_0"), "more": ("7", "h1_0")}


def test_several_versions_of_one_project_are_left_to_kgen(tmp_path: Path, matrix: CompatibilityMatrix) -> None:
    (tmp_path / "uv.lock").write_text(
        "".join(f'[[package]]\nname = "{name}"\nversion = "{version}"\n' for name, version in
                (("a", "1"), ("a", "2"), ("b", "1"))), encoding="utf-8"
    )  # fmt: skip
    assert versions_in(tmp_path / "uv.lock", "linux-64", matrix) == {"b": "1"}


def test_a_package_that_is_several_projects(tmp_path: Path, shipped_matrix: CompatibilityMatrix) -> None:
    """Of conda's one package any of the projects may be asked for."""
    rows = ("py-opencv=4.12.0=py311_0", "psycopg2=2.9=py311_0", "msgpack-python=1.1=py311_0")
    (tmp_path / "packages.txt").write_text("\n".join(rows), encoding="utf-8")
    found = versions_in(tmp_path / "packages.txt", "linux-64", shipped_matrix)
    assert {one: found[one] for one in ("opencv-python", "opencv-python-headless", "msgpack")} == {
        "opencv-python": "4.12.0", "opencv-python-headless": "4.12.0", "msgpack": "1.1",
    }  # fmt: skip
    assert (found["psycopg2"], found["psycopg2-binary"]) == ("2.9", "2.9")
