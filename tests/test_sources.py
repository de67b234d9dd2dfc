"""Source distributions in an environment of Keras 3: built where somebody vouches for them, and by name."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli
from tests.command import CUTOFF, LOCK, PYTHON, Kgen, Result
from tests.index import Index, serving
from tests.test_hints import hints_of
from tests.test_lock import versions
from tests.wheelhouse import SourceDistribution, Wheel, Wheelhouse

from kgen import host
from kgen.formats.wheels.remedies import _built_by_hand
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import CPU
from kgen.model.request import EnvironmentRequest

SETTINGS = f"""backends = ["numpy"]
cpu = true
python = "{PYTHON}"
platforms = ["linux-64"]
exclude-newer = {CUTOFF}
nix = false
"""


@pytest.fixture(autouse=True)
def _tools(index: Index) -> None:
    index.wheelhouse.put(Wheel(name="setuptools", version="69.5.1"), Wheel(name="wheel", version="0.43.0"))


def asking(project: Path, *dependencies: str, build: tuple[str, ...] = ()) -> None:
    text = f"dependencies = {list(dependencies)}\n"
    text += f"build = {list(build)}\n" if build else ""
    (project / "kgen.toml").write_text(SETTINGS + text, encoding="utf-8")


def in_lock(project: Path) -> dict[str, Any]:
    text = (project / "locks/numpy-cpu/pylock.linux-64.toml").read_text(encoding="utf-8")
    return tomli.loads(text)


def files_of(project: Path, name: str) -> tuple[str, ...]:
    (package,) = [one for one in in_lock(project)["packages"] if one["name"] == name]
    return tuple(sorted({"sdist", "wheels"} & {*package}))


def test_one_that_the_matrix_knows(kgen_alone: Kgen, project: Path, index: Index) -> None:
    """What tensorflow-datasets needs."""
    index.wheelhouse.put(
        Wheel(name="data-sets", version="4.9", requires=("promise",)),
        SourceDistribution(name="promise", version="2.3", requires=("six",)),
    )
    asking(project, "data-sets")
    result = kgen_alone("lock")
    assert result.status == 0, result.stderr
    assert files_of(project, "promise") == ("sdist",)
    assert "six" in versions(project, "numpy-cpu")
    tools = {one["name"]: one["version"] for one in in_lock(project)["tool"]["kgen"]["build"]}
    assert tools == {"setuptools": "69.5.1", "wheel": "0.43.0"}
    assert kgen_alone("check") == Result(0, "", "numpy-cpu: in order\n")


class TestNamed:
    """One that the matrix does not know, and the user names."""

    @pytest.fixture(autouse=True)
    @staticmethod
    def _there(index: Index) -> None:
        index.wheelhouse.put(
            SourceDistribution(name="old-one", version="1.0"),
            SourceDistribution(name="old-one", version="2.0", requires=("six", "mdurl>=0.1")),
            Wheel(name="outer", version="1.0", requires=("old-one",)),
        )

    def test_without_a_word_it_is_not_built(self, kgen_alone: Kgen, project: Path) -> None:
        asking(project, "outer")
        result = kgen_alone("lock")
        assert result.status == 4
        assert not (project / "locks").exists()
        again, allowed = hints_of(result.stderr)
        assert again.endswith(" --build old-one   # builds old-one from source")
        assert allowed == "or let the settings allow it: kgen add --build old-one"
        assert kgen_alone(*shlex.split(allowed.partition(": ")[2])[1:]).status == 0
        assert tomli.loads((project / "kgen.toml").read_text())["build"] == ["old-one"]
        assert kgen_alone("check").status == 0

    def test_a_flag_allows_it_for_a_lock_and_the_settings_for_an_environment(
        self, kgen_alone: Kgen, project: Path
    ) -> None:
        asked = (*LOCK, "numpy", "--cpu", "--no-nix", "--dependency", "outer", "--build", "Old.One")
        done = kgen_alone(*asked)
        assert done.status == 0, done.stderr
        note = "note: `kgen sync` builds old-one only where the settings name it: `kgen add --build old-one`\n"
        assert note in done.stderr
        assert in_lock(project)["tool"]["kgen"]["build-asked"] == ["old-one"]
        again = kgen_alone(*asked)
        assert (again.status, note in again.stderr) == (0, True)
        for refused, status in ((kgen_alone("check"), 1), (kgen_alone("sync", "numpy"), 2)):
            assert refused.status == status
            assert hints_of(refused.stderr)[0].split("   #")[0] == "kgen add --build old-one"
        # a lock alone says nothing of what the user wants
        assert kgen_alone("add", "six").status == 4
        assert not (project / "kgen.toml").exists()
        assert kgen_alone("add", "--build", "old-one").status == 0
        assert kgen_alone("check").status == 0
        # what builds it here is made up
        assert "could not be built" in kgen_alone("sync", "numpy").stderr

    def test_packages_are_added_with_what_may_be_built(self, kgen_alone: Kgen, project: Path) -> None:
        asking(project)
        assert hints_of(kgen_alone("add", "outer").stderr)[1].endswith("kgen add --build old-one")
        done = kgen_alone("add", "outer", "--build", "old-one")
        assert done.status == 0, done.stderr
        assert "kgen.toml requires outer and allows old-one to be built from source\n" in done.stderr
        nothing = kgen_alone("add")
        assert nothing.status == 2
        assert nothing.stderr.startswith("error: `kgen add` needs PKG: a requirement, such as optax>=0.2\n")
        wrong = kgen_alone("add", "--build", "a b")
        assert (wrong.status, wrong.stderr.partition("\n")[0][:16]) == (2, "error: --build: ")

    def test_one_that_is_only_seen_behind_another_is_named_too(
        self, kgen_alone: Kgen, project: Path, index: Index
    ) -> None:
        index.wheelhouse.put(
            SourceDistribution(name="first", version="1.0", requires=("second",)),
            SourceDistribution(name="second", version="1.0", requires=("old-one",)),
        )
        asking(project, "first")
        refused = kgen_alone("lock")
        assert refused.status == 4
        named = re.findall("--build ([a-z-]+)", hints_of(refused.stderr)[1])
        assert named == ["first", "second", "old-one"]
        asking(project, "first", build=tuple(named))
        assert kgen_alone("lock").status == 0

    def test_it_is_built_with_what_is_pinned(self, kgen_alone: Kgen, project: Path) -> None:
        asking(project, "outer", build=("Old_One",))
        result = kgen_alone("lock")
        assert result.status == 0, result.stderr
        assert files_of(project, "old-one") == ("sdist",)
        locked = versions(project, "numpy-cpu")
        assert locked["old-one"] == "2.0"
        assert {"six", "mdurl"} <= {*locked}
        table = in_lock(project)["tool"]["kgen"]
        assert table["build-asked"] == ["old-one"]
        assert {one["name"] for one in table["build"]} == {"setuptools", "wheel"}
        assert kgen_alone("check").status == 0

    def test_a_lock_vouches_for_nothing(self, kgen_alone: Kgen, project: Path) -> None:
        """Whoever has a lock from somebody else runs nothing that they have not allowed themselves."""
        asking(project, "outer", build=("old-one",))
        assert kgen_alone("lock").status == 0
        asking(project, "outer")
        said = "has old_one-2.0.tar.gz: building it runs its code, and neither the matrix nor `build` in the settings"
        assert said in kgen_alone("check").stdout
        self.refused(kgen_alone("sync", "numpy"), said)
        (project / "kgen.toml").unlink()
        assert said in kgen_alone("check").stdout
        self.refused(kgen_alone("sync", "numpy"), said)

    @staticmethod
    def refused(result: Result, said: str) -> None:
        assert result.status == 2
        assert said in result.stderr

    def test_what_needs_a_compiler_is_refused(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        index.wheelhouse.put(SourceDistribution(name="fast", version="1.0", files={"src/fast.c": b"int main;"}))
        asking(project, "fast", build=("fast",))
        result = kgen_alone("lock")
        assert result.status == 4
        assert "fast-1.0.tar.gz is not pure Python (src/fast.c): what compiles it cannot be pinned" in result.stderr
        command = f"python{PYTHON} -m pip wheel --no-deps -w wheels fast==1.0"
        assert f"hint: {command}   # then: export UV_FIND_LINKS=wheels, and require it by its name\n" in result.stderr

    def test_what_is_only_there_as_source_is_built_by_hand(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        """The command does what it says, here with the interpreter and the build tools of the tests."""
        index.wheelhouse.put(
            SourceDistribution(name="fast", version="1.0"),
            SourceDistribution(name="fast", version="1.5", files={"fast.c": b"int main;"}),
            Wheel(name="fast", version="2.0"),
        )
        asking(project, "fast<2")
        result = kgen_alone("lock")
        assert result.status == 4
        command = f"python{PYTHON} -m pip wheel --no-deps -w wheels fast==1.5"
        assert f"no index has one that fits; `{command}` builds one from source\n" in result.stderr
        words = [sys.executable, *command.split()[1:], "--no-build-isolation", "--index-url", index.url]
        subprocess.run(words, cwd=project, check=True, capture_output=True)
        result = kgen_alone("lock", UV_FIND_LINKS="wheels")
        assert result.status == 0, result.stderr
        assert files_of(project, "fast") == ("wheels",)

    def test_a_wheel_is_taken_where_there_is_one(self, kgen_alone: Kgen, project: Path, index: Index) -> None:
        index.wheelhouse.put(Wheel(name="old-one", version="2.0"))
        asking(project, "outer", build=("old-one",))
        result = kgen_alone("lock")
        assert result.status == 0, result.stderr
        assert files_of(project, "old-one") == ("wheels",)


OTHER = "3.12"


def test_another_python_once_a_wheel_was_made_for_it(
    kgen_alone: Kgen, project: Path, matrix: CompatibilityMatrix
) -> None:
    """What is asked for has a wheel there, and needs one that there is only as source; what is named can be done."""
    house = Wheelhouse(matrix, [PYTHON, OTHER])
    house.put(
        Wheel(name="data", version="1.0", tag="cp312-cp312-manylinux_2_17_x86_64", requires=("farm<2",)),
        SourceDistribution(name="farm", version="1.5", files={"farm.c": b"int main;"}),
    )
    with serving(house) as index:
        kgen = kgen_alone.at(index.url)
        refused = kgen(*LOCK, "numpy", "--dependency", "data")
        assert refused.status == 4
        asked = f"numpy --cpu --python {OTHER} --platform linux-64 --dependency data --exclude-newer {CUTOFF}"
        made = f"python{OTHER} -m pip wheel --no-deps -w wheels farm==1.5"
        assert hints_of(refused.stderr)[-1] == (
            f"for Python {OTHER} there is a wheel of data, and none of farm; `{made}` builds one from source, and then:"
            f" UV_FIND_LINKS=wheels kgen lock {asked}"
        )
        (project / "wheels").mkdir()
        (project / "wheels/farm-1.5-py3-none-any.whl").write_bytes(Wheel(name="farm", version="1.5").content)
        assert kgen("lock", *shlex.split(asked), UV_FIND_LINKS="wheels").status == 0


def test_what_may_be_built_and_cannot_be(kgen_alone: Kgen, index: Index) -> None:
    """The hint is about that, and not about what excludes the frameworks."""
    index.wheelhouse.put(
        Wheel(name="data", version="1.0", requires=("farm<2",)),
        SourceDistribution(name="farm", version="1.5", files={"farm.c": b"int main;"}),
        Wheel(name="farm", version="2.0"),
    )
    refused = kgen_alone(*LOCK, "numpy", "--dependency", "data", "--build", "farm")
    assert refused.status == 4
    hint = hints_of(refused.stderr)[0]
    assert hint.startswith("name a folder with a wheel of farm for linux-64 ")
    assert hint.endswith(" farm==1.5` builds one from source")


def test_a_dependency_whose_old_releases_have_no_wheels(kgen_alone: Kgen, index: Index) -> None:
    """Of what has a wheel that fits no other is asked for, whatever uv says of its old releases."""
    index.wheelhouse.put(
        SourceDistribution(name="data", version="0.1"),
        Wheel(name="data", version="1.0", requires=("numpy<1.20",)),
    )
    refused = kgen_alone(*LOCK, "numpy", "--dependency", "data")
    assert refused.status == 4, refused.stderr
    assert "UV_FIND_LINKS" not in refused.stderr
    assert "hint: look at " in refused.stderr


def test_uvs_no_binary_builds_nothing_that_nobody_vouches_for(kgen_alone: Kgen, project: Path, index: Index) -> None:
    index.wheelhouse.put(Wheel(name="plain", version="1.0"), SourceDistribution(name="plain", version="1.0"))
    (project / "uv.toml").write_text('no-binary-package = ["plain"]\n')
    result = kgen_alone(*LOCK, "numpy", "--dependency", "plain")
    assert result.status == 2
    assert "uv is configured with `no-binary-package` (plain) in uv.toml: kgen locks wheels" in result.stderr
    assert not (project / "locks").exists()


def test_who_builds_for_other_machines_is_told_of_no_command_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "subdir", lambda: "linux-64")
    request = EnvironmentRequest(
        name="jax-cpu", backends=("jax",), accelerator=CPU, python="3.12", platform="linux-64", gpus=()
    )
    sources: dict[str, str | None] = {"fast": "1.5", "slow": None}
    told = "; `python3.12 -m pip wheel --no-deps -w wheels {}` builds {} from source"
    assert _built_by_hand(request, sources, ["fast"]) == told.format("fast==1.5", "one")
    assert _built_by_hand(request, sources, ["slow", "fast"]) == told.format("slow fast==1.5", "them")
    assert _built_by_hand(request, sources, ["fast", "of-wheels"]) == ""
    assert _built_by_hand(request._replace(platform="linux-aarch64"), sources, ["fast"]) == ""
