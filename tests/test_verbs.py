"""`kgen add`, `remove`, `update`, `list` and `status`: the settings are edited around what people wrote, and locked."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import tomli
from tests.command import CUTOFF, LOCK, PYTHON, Kgen, tree

from kgen.actions import requirement_settings
from kgen.actions.requirement_settings import Place
from kgen.matrix.compatibility import CompatibilityMatrix

HEAD = f"""\
# what we compute on
backends = ["numpy"]  # alone
cpu = true
python = "{PYTHON}"
platforms = ["linux-64"]
exclude-newer = "{CUTOFF}"
"""


@pytest.fixture(name="prepared")
def _prepared(kgen: Kgen) -> Kgen:
    (kgen.folder / "kgen.toml").write_text(HEAD)
    return kgen


def settings(kgen: Kgen, name: str = "kgen.toml") -> str:
    return (kgen.folder / name).read_text()


def locked(kgen: Kgen, environment: str = "numpy-cpu") -> dict[str, str]:
    data = tomli.loads((kgen.folder / f"locks/{environment}/pylock.linux-64.toml").read_text())
    return {one["name"]: one["version"] for one in data["packages"]}


def test_add_and_remove(prepared: Kgen) -> None:
    done = prepared("add", "h5py<999")
    assert done.status == 0, done.stderr
    requires, blank, following = done.stderr.splitlines()[-3:]
    assert (requires, blank) == ("kgen.toml requires h5py<999", "")
    assert following.startswith("next: commit locks/")
    assert settings(prepared) == f'{HEAD}dependencies = ["h5py<999"]\n'
    assert tomli.loads((prepared.folder / "locks/numpy-cpu/pylock.linux-64.toml").read_text())["tool"]["kgen"][
        "dependencies"
    ] == ["h5py<999"]
    assert prepared("check").status == 0
    gone = prepared("remove", "H5Py")
    assert gone.status == 0, gone.stderr
    assert "no longer asked for" not in gone.stderr  # the user has just said so
    assert settings(prepared) == f"{HEAD}dependencies = []\n"
    assert prepared("check").status == 0


def test_add_and_remove_as_data(prepared: Kgen) -> None:
    done = prepared("add", "six", "--json")
    assert done.status == 0, done.stderr
    (row,) = json.loads(done.stdout)["environments"]
    assert (row["environment"], row["changed"], "six" in locked(prepared)) == ("numpy-cpu", True, True)
    assert "kgen.toml requires six\n" in done.stderr
    gone = prepared("remove", "six", "--no-lock", "--json")
    assert (gone.status, json.loads(gone.stdout)["environments"]) == (0, [])
    assert gone.stderr == "kgen.toml no longer requires six\n"


OF_FOLDER = "a path begins at {}, the project's folder"


@pytest.mark.parametrize(
    ("words", "said", "meant"),
    [
        (("rich@latest", "six"), "no such folder; what follows `@` is a place, and no version", "kgen add rich six"),
        (("rich @ 13.9",), "no such folder; what follows `@` is a place, and no version", "kgen add rich==13.9"),
        (("x[a]@v1.2rc1", "--backend", "numpy"), "and no version", "kgen add 'x[a]==1.2rc1' --backend numpy"),
        (("own@libs/own",), "libs/own, and there is no such folder\n", OF_FOLDER),
        (("own@own-1-py3-none-any.whl",), "own-1-py3-none-any.whl, and there is no such file\n", OF_FOLDER),
        (("rich@latest", "own@own"), "and no version", OF_FOLDER),
    ],
)
def test_a_place_that_is_not_there(prepared: Kgen, words: tuple[str, ...], said: str, meant: str) -> None:
    for more in ((), ("--no-lock",)):
        done = prepared("add", *words, *more)
        assert done.status == 2
        assert said in done.stderr
        assert done.stderr.endswith(f"\n\nhint: {meant.format('[TEMP]/project')}\n")
        assert settings(prepared) == HEAD


def test_a_folder_called_like_a_version(prepared: Kgen) -> None:
    (prepared.folder / "13.9").mkdir()
    assert prepared("add", "rich@13.9", "--no-lock").status == 0
    assert settings(prepared) == f'{HEAD}dependencies = ["rich @ 13.9"]\n'


def test_a_version_in_the_place_of_a_place(kgen: Kgen) -> None:
    done = kgen(*LOCK, "numpy", "--cpu", "--dependency", "rich@13.9")
    assert done.status == 2
    assert "and there is no such folder; a version of the index is `rich==13.9`\n" in done.stderr


@pytest.mark.parametrize(("mark", "newline"), [(b"", b"\r\n"), (b"\xef\xbb\xbf", b"\n"), (b"\xef\xbb\xbf", b"\r\n")])
def test_the_file_stays_as_its_editor_writes_it(
    tmp_path: Path, matrix: CompatibilityMatrix, mark: bytes, newline: bytes
) -> None:
    before = mark + (HEAD + 'dependencies = [\n  "six",  # for that\n]\n').encode().replace(b"\n", newline)
    (tmp_path / "kgen.toml").write_bytes(before)
    for place in (Place(), Place(backend="numpy")):
        requirement_settings.add(tmp_path, matrix, ["rich"], place).write()
    after = (tmp_path / "kgen.toml").read_bytes()
    own = b'  "rich",\n]\n\n[backend.numpy]\ndependencies = ["rich"]\n'
    assert after == before.removesuffix(b"]" + newline) + own.replace(b"\n", newline)


class TestLockedByFlags:
    """There are locks, which flags have asked for, and no settings."""

    BY_FLAGS = (*LOCK, "jax", "numpy", "--cpu", "--dependency", "six", "--require", "numpy<3")

    def test_settings_ask_for_what_is_locked(self, kgen: Kgen) -> None:
        assert kgen(*self.BY_FLAGS).status == 0
        before = tree(kgen.folder / "locks")
        assert kgen("init").status == 0
        found = tomli.loads(settings(kgen))
        found.pop("nix", None)  # where Nix is installed
        assert found == {
            "backends": ["jax", "numpy"],
            "cpu": True,
            "platforms": ["linux-64"],
            "python": PYTHON,
            "require": ["numpy<3"],
            "dependencies": ["six"],
            "exclude-newer": CUTOFF,
        }
        assert kgen("lock").status == 0
        assert tree(kgen.folder / "locks") == before

    def test_one_that_computes_on_the_cpu_alone_is_beside_others(self, kgen: Kgen) -> None:
        asked = (*LOCK, "jax", "numpy", "--cuda", "12", "--driver", "550")
        assert kgen(*asked).status == 0
        assert kgen("init").status == 0
        found = tomli.loads(settings(kgen))
        assert (found["backends"], found["cuda"], found["driver"]) == (["jax", "numpy"], "12", "550")
        before = tree(kgen.folder / "locks")
        assert kgen("lock").status == 0
        assert tree(kgen.folder / "locks") == before

    def test_add(self, kgen: Kgen) -> None:
        assert kgen(*self.BY_FLAGS).status == 0
        done = kgen("add", "h5py")
        assert done.status == 0, done.stderr
        assert "there were no settings; kgen.toml has those that ask for what is locked\n" in done.stderr
        assert {"six", "h5py"} <= locked(kgen).keys()
        assert {one.name for one in (kgen.folder / "locks").iterdir() if not one.name.startswith(".")} == {
            "jax-cpu",
            "numpy-cpu",
        }

    def test_what_the_project_requires_is_no_setting(self, kgen: Kgen) -> None:
        (kgen.folder / "pyproject.toml").write_text('[project]\nname = "own"\nversion = "1"\ndependencies = ["h5py"]\n')
        assert kgen(*LOCK, "numpy", "--cpu", "--dependency", "six").status == 0
        assert kgen("init").status == 0
        assert tomli.loads(settings(kgen, "pyproject.toml"))["tool"]["kgen"]["dependencies"] == ["six"]

    @pytest.mark.parametrize("verb", [("update",), ("update", "numpy"), ("add", "h5py")], ids=" ".join)
    def test_asked_for_in_several_ways(self, kgen: Kgen, verb: tuple[str, ...]) -> None:
        assert kgen(*LOCK, "numpy", "--cpu").status == 0
        assert kgen(*LOCK, "jax", "--cpu", "--dependency", "six").status == 0
        before = tree(kgen.folder)
        done = kgen(*verb)
        assert done.status == 2
        assert done.stderr.startswith("error: no settings say what is to be locked")
        assert tree(kgen.folder) == before
        *calls, init = [line.removeprefix("hint: ") for line in done.stderr.splitlines() if line.startswith("hint: ")]
        assert init == "kgen init   # writes settings"
        for call in calls:
            assert kgen(*shlex.split(call)[1:]).status == 0
        assert "six" in locked(kgen, "jax-cpu")
        assert verb != ("add", "h5py") or all("h5py" in locked(kgen, name) for name in ("numpy-cpu", "jax-cpu"))


def test_one_that_is_there_is_replaced(prepared: Kgen) -> None:
    path = prepared.folder / "kgen.toml"
    path.write_text(HEAD + 'dependencies = [\n    "rich",  # tables\n    "H5py>=3",  # files\n]\n')
    assert prepared("add", "h5py>=3.1", "--no-lock").status == 0
    assert settings(prepared) == HEAD + 'dependencies = [\n    "rich",  # tables\n    "h5py>=3.1",  # files\n]\n'


def test_places(prepared: Kgen) -> None:
    path = prepared.folder / "kgen.toml"
    path.write_text(HEAD + '[environment.two]\nbackends = ["jax", "numpy"]\n')
    assert prepared("add", "optax", "--backend", "jax", "--no-lock").status == 0
    assert prepared("add", "rich", "--env", "two", "--no-lock").status == 0
    found = tomli.loads(settings(prepared))
    assert found["backend"] == {"jax": {"dependencies": ["optax"]}}
    assert found["environment"]["two"]["dependencies"] == ["rich"]
    for words, hint in (("optax", "optax --backend jax"), ("rich --backend jax", "rich --env two")):
        wrong = prepared("remove", *words.split())
        assert wrong.stderr.endswith(f"\n\nhint: kgen remove {hint}\n"), wrong.stderr
    wrong = prepared("remove", "optx", "--backend", "jax")
    message = (
        "error: the settings do not require `optx` there; they require optax\n\nhint: kgen remove optax --backend jax\n"
    )
    assert (wrong.status, wrong.stderr) == (2, message)


def test_a_framework_that_was_added_is_removed_and_a_backend_is_not(prepared: Kgen) -> None:
    path = prepared.folder / "kgen.toml"
    before = path.read_text()
    assert prepared("add", "jax>=0.4", "--no-lock").status == 0
    assert prepared("remove", "jax", "--no-lock").status == 0
    assert tomli.loads(settings(prepared)).get("dependencies", []) == []
    path.write_text(before)
    refused = prepared("remove", "numpy")
    assert refused.status == 2
    assert "hint: take numpy out of `backends` in " in refused.stderr


@pytest.mark.parametrize(
    ("typed", "call"),
    [
        (("add", "rich,attrs", "--backend", "jax"), "kgen add rich attrs --backend jax"),
        (("remove", "rich attrs"), "kgen remove rich attrs"),
        (("add", "./libs/my_lib"), "kgen add 'my-lib @ ./libs/my_lib'"),
        (("remove", "nope"), "kgen list"),
    ],
)
def test_what_is_meant_is_a_whole_call(prepared: Kgen, typed: tuple[str, ...], call: str) -> None:
    path = prepared.folder / "kgen.toml"
    path.write_text(HEAD + 'dependencies = ["einops"]\n')
    refused = prepared(*typed)
    assert refused.status == 2
    assert refused.stderr.endswith(f"\n\nhint: {call}\n")


def test_a_file_that_is_named_as_no_wheel_is(prepared: Kgen) -> None:
    refused = prepared("add", "rich @ https://host.example/files/rich.whl")
    assert refused.status == 2
    assert "`rich.whl` is not the name of a wheel, which is NAME-VERSION-" in refused.stderr


def test_a_bound_is_no_name(prepared: Kgen) -> None:
    refused = prepared("update", "rich<14")
    assert refused.status == 2
    assert refused.stderr.startswith("error: `rich<14` bounds a package, and `kgen update` takes names")
    assert refused.stderr.endswith(
        "\n\nhint: kgen add 'rich<14'\nhint: kgen update rich   # the newest that is allowed\n"
    )


def test_a_marker_that_holds_nowhere(prepared: Kgen) -> None:
    refused = prepared("add", "rich>=13; extra == 'x'")
    assert refused.status == 2
    assert "is never installed: a marker on `extra` holds for what a package offers alone\n" in refused.stderr
    assert refused.stderr.endswith("\n\nhint: kgen add 'rich>=13'\n")


def test_what_is_added_for_a_backend_that_is_not_asked_for(prepared: Kgen) -> None:
    path = prepared.folder / "kgen.toml"
    path.write_text('backends = ["numpy"]\n')
    said = (
        "note: `backends` in kgen.toml leave jax out, so that nothing is locked with it; `kgen lock jax` locks that\n"
    )
    assert said in prepared("add", "optax", "--backend", "jax", "--no-lock").stderr
    path.write_text('backends = ["numpy"]\n[environment.two]\nbackends = ["jax", "numpy"]\n')
    assert "note: " not in prepared("add", "optax", "--backend", "jax", "--no-lock").stderr


def test_what_is_required_elsewhere_is_not_removed(prepared: Kgen) -> None:
    (prepared.folder / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "0"\ndependencies = ["rich"]\n')
    done = prepared("remove", "Rich")
    assert done.stderr.endswith("require nothing\n\nhint: edit pyproject.toml: it is required there\n")
    assert prepared("remove", "h5py").stderr.endswith("require nothing\n\nhint: kgen list\n")


def test_in_pyproject(kgen: Kgen) -> None:
    text = '[project]\nname = "x"  # mine\nversion = "0"\n\n[tool.kgen]\ncpu = true\n\n[tool.other]\na = 1\n'
    path = kgen.folder / "pyproject.toml"
    path.write_text(text)
    assert kgen("add", "rich", "--no-lock").status == 0
    expected = tomli.loads(text)
    expected["tool"]["kgen"]["dependencies"] = ["rich"]
    assert tomli.loads(settings(kgen, "pyproject.toml")) == expected
    assert '[project]\nname = "x"  # mine\nversion = "0"\n' in settings(kgen, "pyproject.toml")


def test_without_settings_they_are_made(kgen: Kgen) -> None:
    done = kgen("add", "rich", "--no-lock")
    assert done.status == 0, done.stderr
    assert "there were no settings; kgen.toml has those that suit this machine\n" in done.stderr
    assert tomli.loads(settings(kgen))["dependencies"] == ["rich"]


@pytest.mark.parametrize("words", [("torch",), ("rich", "--env", "all"), ("rich", "--backend", "jaxx")], ids=" ".join)
@pytest.mark.parametrize("pyproject", [None, '[project]\nname = "own"\nversion = "1"\n'])
def test_what_is_refused_leaves_no_settings_behind(kgen: Kgen, words: tuple[str, ...], pyproject: str | None) -> None:
    if pyproject is not None:
        (kgen.folder / "pyproject.toml").write_text(pyproject)
    before = tree(kgen.folder)
    done = kgen("add", *words)
    assert done.status == 2
    assert done.stderr.startswith("error: ")  # and not with what was made meanwhile
    assert tree(kgen.folder) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add", "a b"), "`a b` names several packages"),
        (("add", "lib @ https://x.example/lib"), "`https://x.example/lib` is neither a wheel nor"),
        (("add", "torch"), "`torch` is a backend, and kgen chooses its release for each environment"),
        (("add", "rich", "--env", "all"), "the settings have no joint environment `all`; they have none"),
        (
            ("add", "rich", "--env", "jax-cpu"),
            "the settings have no joint environment `jax-cpu`; they have none\n\nhint: did you mean `--backend jax`?\n",
        ),
        (("add", "rich", "--backend", "jaxx"), "--backend: unknown backend `jaxx`; did you mean `jax`?"),
        (("remove", "rich"), "the settings do not require `rich` there; they require nothing"),
    ],
)
def test_faults_change_nothing(prepared: Kgen, words: tuple[str, ...], message: str) -> None:
    done = prepared(*words)
    assert done.status == 2
    assert f"error: {message}" in done.stderr
    assert settings(prepared) == HEAD


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("add", "rich", "attrs=1.26"), "kgen add rich 'attrs==1.26.*'"),
        (("add", "python=3.11"), "kgen lock --python 3.11"),
        (("add", "rich", "cudatoolkit=11.8"), "kgen lock --cuda 11.8"),
        (("add", "jax[cuda12]"), "kgen lock jax --cuda 12"),
        (("add", "tensorflow[and-cuda]"), "kgen lock tensorflow --cuda auto"),
        (("add", "torch"), "kgen lock torch"),
    ],
)
def test_what_is_to_be_typed_in_place_of_a_package(kgen: Kgen, words: tuple[str, ...], hint: str) -> None:
    refused = kgen(*words)
    assert refused.status == 2
    assert refused.stderr.endswith(f"\n\nhint: {hint}\n")


def test_what_cannot_be_locked_is_put_back(prepared: Kgen) -> None:
    done = prepared("add", "numpy<1")
    assert done.status == 3
    assert done.stderr.endswith("kgen.toml is as it was, and so are the locks\n")
    assert settings(prepared) == HEAD
    assert not (prepared.folder / "locks/numpy-cpu").exists()


def test_what_one_environment_cannot_have_changes_no_lock(kgen: Kgen) -> None:
    """No index of the test has PyTorch for the CPU; what NumPy's lock could have is not in the settings any more."""
    (kgen.folder / "kgen.toml").write_text(HEAD.replace('["numpy"]', '["torch", "numpy"]'))
    assert kgen("lock", "numpy").status == 0
    before = tree(kgen.folder)
    done = kgen("add", "h5py<999")
    assert done.status == 4
    assert "error: torch-cpu: PyTorch for the CPU on linux-64 needs a CPU build" in done.stderr
    assert done.stderr.endswith("kgen.toml is as it was, and so are the locks\n")
    assert tree(kgen.folder) == before


def test_update_list_and_status(prepared: Kgen) -> None:
    assert prepared("lock").status == 0
    versions = locked(prepared)
    assert prepared("update").status == 0
    assert prepared("update", "numpy").status == 0
    for package, hint in {"nothing": "kgen list numpy-cpu", "numpi": "did you mean `numpy`?"}.items():
        refused = prepared("update", package)
        assert (refused.status, "holds no such package" in refused.stderr) == (2, True)
        assert refused.stderr.endswith(f"\n\nhint: {hint}\n")
    assert json.loads(prepared("list", "--json").stdout) == {"environments": {"numpy-cpu": versions}}
    listed = prepared("list", "numpy").stdout.splitlines()
    assert listed[0].split() == ["package", "numpy-cpu"]
    assert [line.split() for line in listed[1:]] == [[name, versions[name]] for name in sorted(versions)]
    assert prepared("status").stdout.splitlines()[1].split("  ")[0] == "numpy-cpu"
    (one,) = json.loads(prepared("status", "--json").stdout)["environments"]
    assert (one["environment"], one["lock"], one["on_disk"], one["proven"]) == ("numpy-cpu", "in order", "no", {})
    (prepared.folder / "kgen.toml").write_text(
        HEAD.replace('"numpy"', '"numpy", "jax"') + 'dependencies = ["rich<0.1"]\n'
    )
    rows = json.loads(prepared("status", "--json").stdout)["environments"]
    found = {one["environment"]: one["lock"] for one in rows}
    assert found == {"numpy-cpu": "out of order", "jax-cpu": "missing"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ("--extra", "dev"),
            (
                'colorama; sys_platform == "win32", h5py, six; `extras = ["dev"]` in the settings, or `--extra dev`,'
                " keeps what is of it"
            ),
        ),
        (("--group", "test"), 'six; `groups = ["test"]` in the settings, or `--group test`, keeps what is of it'),
        (
            ("--extra", "dev", "--dependency", "rich<999"),
            (
                'colorama; sys_platform == "win32", h5py, rich<999, six; `extras = ["dev"]` in the settings, or'
                " `--extra dev`, keeps what is of it; `kgen add 'rich<999'` keeps it"
            ),
        ),
        (("--dependency", "h5py"), "h5py; `kgen add h5py` keeps it"),
    ],
    ids=" ".join,
)
def test_the_extra_that_is_no_longer_asked_for_is_named(prepared: Kgen, flags: tuple[str, ...], said: str) -> None:
    (prepared.folder / "pyproject.toml").write_text(
        '[project]\nname = "own"\nversion = "1"\ndependencies = ["absl-py"]\n'
        "[project.optional-dependencies]\n"
        'dev = ["six", "h5py", "colorama; sys_platform == \'win32\'"]\n'
        'more = ["six", "h5py", "pytest"]\n'
        '[dependency-groups]\ntest = ["six"]\n'
    )
    assert prepared("lock", *flags).status == 0
    assert f"note: numpy-cpu: no longer asked for: {said}\n" in prepared("lock", "--dry-run").stderr


def test_what_a_flag_asked_for_is_not_dropped_in_silence(kgen: Kgen) -> None:
    assert kgen(*LOCK, "numpy", "--cpu", "--dependency", "h5py", "--dependency", "absl-py<99").status == 0
    said = "note: numpy-cpu: no longer asked for: absl-py<99, h5py; `kgen add 'absl-py<99' h5py` keeps them\n"
    assert said in kgen(*LOCK, "numpy", "--cpu", "--dry-run").stderr
    assert said in kgen(*LOCK, "numpy", "--cpu", "--upgrade").stderr
    assert "no longer asked for" not in kgen(*LOCK, "numpy", "--cpu").stderr


def test_locks_of_what_the_settings_name_no_longer(prepared: Kgen) -> None:
    assert prepared("lock").status == 0
    (prepared.folder / "kgen.toml").write_text(HEAD.replace('["numpy"]', '["jax"]'))
    note = "note: the settings do not name numpy-cpu: `rm -r locks/numpy-cpu` removes the locks\n"
    for words in ((), (), ("--upgrade",)):  # made, standing, and made again
        done = prepared("lock", *words)
        assert done.status == 0, done.stderr
        assert note in done.stderr
    # who names an environment, or asks by flags, asks for a part
    assert note not in prepared("lock", "jax").stderr
    assert note not in prepared("lock", "--dependency", "six").stderr
    (prepared.folder / "kgen.toml").write_text(HEAD.replace('["numpy"]', '["jax", "numpy"]'))
    assert note not in prepared("lock").stderr
