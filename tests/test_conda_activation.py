"""The hooks in `etc/conda` of a prefix, sourced as conda, mamba and micromamba source them; and kgen's own ways in.

None of the three can be had where these tests run: what they do on `activate` and `deactivate` is in :class:`Conda`.
But conda-lock brings conda 24.7.1 along, with what activates: :class:`TestByCondaItself` has that do it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rattler.shell import ActivationVariables, Shell, activate
from tests.test_hooks import HOSTILE_TEXTS

from kgen.emitters.activation import render_activation
from kgen.emitters.hooks import render_hooks
from kgen.formats.conda import FORMAT
from kgen.shells import recognised

pytestmark = pytest.mark.shells

SHELLS = ("dash", "bash", "zsh", "fish", "tcsh")
STRICT = {"dash": "set -eu\n", "bash": "set -euo pipefail\n", "zsh": "setopt err_exit no_unset warn_create_global\n"}
REPORT = f"""{sys.executable} -c "import json, os; print(json.dumps(dict(os.environ)))"\n"""


def prefix(tmp_path: Path, name: str, variables: Mapping[str, str], *, folder: str = "envs") -> Path:
    """A prefix with the files that kgen puts into one, and the scripts of two packages."""
    place = tmp_path / folder / f"{name}-conda"
    hooks = render_hooks(name, variables, in_locks=False)
    files = render_activation(
        f"{name}-conda", prefix=place, python="3.12", variables=variables, hooks=hooks, scripts=FORMAT.scripts
    )
    for suffix, value in (
        ("sh", 'export ORDER="${{ORDER-}}{}"'),
        ("fish", 'set -gx ORDER "$ORDER"{}'),
        ("csh", "if (! $?ORDER) setenv ORDER ''\nsetenv ORDER ${{ORDER}}{}"),
    ):
        for script in ("a-first", "theirs"):
            for phase, sign in (("activate", "+"), ("deactivate", "-")):
                files[f"etc/conda/{phase}.d/{script}.{suffix}"] = value.format(f"{sign}{name[0]}{script[0]}") + "\n"
    for path, text in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text, encoding="utf-8")
    (place / "bin").mkdir()
    (place / "conda-meta").mkdir()
    return place


FLAGS = {"fish": ("--no-config",), "zsh": ("-f",), "tcsh": ("-f", "-e")}


def sourced(shell: str, path: Path) -> str:
    """What has a shell read a script."""
    return f"{'source' if shell in {'fish', 'tcsh'} else '.'} {recognised(shell).quote(str(path))}"


@dataclass
class Conda:
    """What conda (since 4.6), mamba and micromamba print for a shell to evaluate.

    Activation runs the scripts of `activate.d` by name; before that, unless stacked, those in `deactivate.d` of what
    was active, backwards. Deactivation runs these, and the `activate.d` of what was active before: of what is below a
    stacked environment too, although that was never deactivated (`build_deactivate` in conda's activate.py, and
    `build_deactivate` in libmamba's activation.cpp). Activating what is active already is both, one after the other.
    Variables are set before scripts are run, but for those of deactivation.
    """

    shell: str
    active: list[Path] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    @property
    def suffix(self) -> str:
        return recognised(self.shell).suffix

    def scripts(self, place: Path, phase: str) -> None:
        found = sorted((place / f"etc/conda/{phase}.d").glob(f"*.{self.suffix}"))
        for path in found if phase == "activate" else reversed(found):
            self.text.append(sourced(self.shell, path))

    def variables(self) -> None:
        values: dict[str, str | None] = {"CONDA_PREFIX": None, "CONDA_SHLVL": str(len(self.active))}
        if self.active:
            values["CONDA_PREFIX"] = str(self.active[-1])
        for name, value in values.items():
            if self.shell == "fish":
                self.text.append(
                    f"set -e {name}" if value is None else f"set -gx {name} {recognised('fish').quote(value)}"
                )
            elif self.shell == "tcsh":
                quoted = recognised("tcsh").quote(value or "")
                self.text.append(f"unsetenv {name}" if value is None else f"setenv {name} {quoted}")
            else:
                self.text.append(f"unset {name}" if value is None else f"export {name}={recognised('sh').quote(value)}")

    def activate(self, place: Path, *, stack: bool = False) -> None:
        if self.active and self.active[-1] == place:
            self.scripts(place, "deactivate")
            self.scripts(place, "activate")
            return
        if self.active and not stack:
            self.scripts(self.active[-1], "deactivate")
        self.active.append(place)
        self.variables()
        self.scripts(place, "activate")

    def deactivate(self) -> None:
        place = self.active.pop()
        self.scripts(place, "deactivate")
        self.variables()
        if self.active:
            self.scripts(self.active[-1], "activate")

    def report(self) -> None:
        self.text.append(REPORT)

    def run(self, folder: Path, **environment: str) -> list[dict[str, str]]:
        """The environment at each report, in as strict a shell as there is."""
        return run(self.shell, STRICT.get(self.shell, "") + "\n".join(self.text), folder, **environment)


def run(shell: str, text: str, folder: Path, **environment: str) -> list[dict[str, str]]:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = folder / "script"
    script.write_text(text, encoding="utf-8")
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **environment}
    words = [shell, *FLAGS.get(shell, ()), str(script)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=clean, cwd=folder)
    assert (done.returncode, done.stderr) == (0, ""), done
    return [json.loads(line) for line in done.stdout.splitlines()]


def seen(reports: list[dict[str, str]]) -> list[tuple[str | None, str | None]]:
    return [(one.get("KERAS_BACKEND"), one.get("KGEN_ENVIRONMENT")) for one in reports]


def left(report: Mapping[str, str]) -> set[str]:
    """What nobody but kgen sets."""
    return {name for name in report if "KGEN" in name}


JAX, TORCH = ("jax", "jax-cuda12"), ("torch", "torch-cuda12")


@pytest.mark.parametrize("shell", SHELLS)
class TestByConda:
    @pytest.fixture(name="conda")
    @staticmethod
    def _conda(shell: str) -> Conda:
        return Conda(shell)

    @pytest.fixture(name="jax")
    @staticmethod
    def _jax(tmp_path: Path) -> Path:
        return prefix(tmp_path, "jax-cuda12", {"KERAS_BACKEND": "jax"}, folder='my "own" envs')

    @pytest.fixture(name="torch")
    @staticmethod
    def _torch(tmp_path: Path) -> Path:
        return prefix(tmp_path, "torch-cuda12", {"KERAS_BACKEND": "torch"}, folder="it's $(touch pwned) `x` \\ here")

    @pytest.mark.parametrize("before", [None, "mine", ""])
    def test_there_and_back(self, conda: Conda, jax: Path, tmp_path: Path, before: str | None) -> None:
        conda.activate(jax)
        conda.report()
        conda.deactivate()
        conda.report()
        found = conda.run(tmp_path, **({} if before is None else {"KERAS_BACKEND": before}))
        assert seen(found) == [JAX, (before, None)]
        assert left(found[-1]) == set()
        assert found[-1]["ORDER"] == "+ja+jt-jt-ja"

    def test_nested(self, conda: Conda, jax: Path, torch: Path, tmp_path: Path) -> None:
        """`conda activate` in an active environment leaves that first, and `conda deactivate` enters it again."""
        conda.activate(jax)
        conda.activate(torch)
        conda.report()
        conda.deactivate()
        conda.report()
        conda.deactivate()
        conda.report()
        found = conda.run(tmp_path, KERAS_BACKEND="mine")
        assert seen(found) == [TORCH, JAX, ("mine", None)]
        assert left(found[-1]) == set()
        assert not list(tmp_path.rglob("pwned"))

    def test_stacked(self, conda: Conda, jax: Path, torch: Path, tmp_path: Path) -> None:
        conda.activate(jax)
        conda.activate(torch, stack=True)
        conda.report()
        conda.deactivate()
        conda.report()
        conda.deactivate()
        conda.report()
        found = conda.run(tmp_path, KERAS_BACKEND="mine")
        assert seen(found) == [TORCH, JAX, ("mine", None)]
        assert left(found[-1]) == set()

    def test_stacked_deeply(self, conda: Conda, jax: Path, torch: Path, tmp_path: Path) -> None:
        """The same environment twice in a stack, and one that is not stacked on top of it."""
        conda.activate(jax)
        conda.activate(torch, stack=True)
        conda.activate(jax, stack=True)
        conda.activate(torch)
        for _ in range(4):
            conda.report()
            conda.deactivate()
        conda.report()
        found = conda.run(tmp_path, KERAS_BACKEND="mine")
        assert seen(found) == [TORCH, JAX, TORCH, JAX, ("mine", None)]
        assert left(found[-1]) == set()

    def test_a_variable_that_is_new_when_it_is_activated_again(self, conda: Conda, tmp_path: Path) -> None:
        """What a synced environment sets besides goes as well."""
        jax = prefix(tmp_path, "jax-cuda12", {"KERAS_BACKEND": "jax"}, folder="old")
        torch = prefix(tmp_path, "torch-cuda12", {"KERAS_BACKEND": "torch"})
        newer = prefix(tmp_path, "jax-cuda12", {"KERAS_BACKEND": "jax", "NEW": "n", "HELD": "n"}, folder="new")
        conda.activate(jax)
        conda.activate(torch, stack=True)
        conda.active[0] = newer
        conda.deactivate()
        conda.report()
        conda.deactivate()
        conda.report()
        inside, outside = conda.run(tmp_path, HELD="mine")
        assert (inside["KERAS_BACKEND"], inside["NEW"], inside["HELD"]) == ("jax", "n", "n")
        assert ("KERAS_BACKEND" in outside, "NEW" in outside, outside["HELD"]) == (False, False, "mine")
        assert left(outside) == set()

    def test_one_after_the_other(self, conda: Conda, jax: Path, torch: Path, tmp_path: Path) -> None:
        for place in (jax, torch, jax):
            conda.activate(place)
            conda.report()
            conda.deactivate()
            conda.report()
        found = conda.run(tmp_path, KERAS_BACKEND="mine")
        assert seen(found) == [JAX, ("mine", None), TORCH, ("mine", None), JAX, ("mine", None)]
        assert left(found[-1]) == set()

    def test_twice(self, conda: Conda, jax: Path, tmp_path: Path) -> None:
        conda.activate(jax)
        conda.activate(jax)
        conda.report()
        conda.deactivate()
        conda.report()
        found = conda.run(tmp_path, KERAS_BACKEND="mine")
        assert seen(found) == [JAX, ("mine", None)]
        assert left(found[-1]) == set()

    def test_back_down_to_the_one_before(self, conda: Conda, jax: Path, torch: Path, tmp_path: Path) -> None:
        """A script that runs `activate` alone of both, as older conda's `source activate` did, is undone in the end."""
        conda.scripts(jax, "activate")
        conda.scripts(torch, "activate")
        conda.scripts(jax, "deactivate")
        conda.report()
        conda.scripts(torch, "deactivate")
        conda.report()
        found = conda.run(tmp_path, KERAS_BACKEND="mine")
        assert seen(found) == [TORCH, ("mine", None)]
        assert left(found[-1]) == set()

    @pytest.mark.parametrize("value", HOSTILE_TEXTS)
    def test_no_value_runs(self, conda: Conda, tmp_path: Path, value: str) -> None:
        place = prefix(tmp_path, "jax-cuda12", {"KERAS_BACKEND": value, "OTHER": value})
        conda.activate(place)
        conda.report()
        conda.deactivate()
        conda.report()
        first, last = conda.run(tmp_path, KERAS_BACKEND=value[::-1])
        assert (first["KERAS_BACKEND"], first["OTHER"]) == (value, value)
        assert (last["KERAS_BACKEND"], "OTHER" in last) == (value[::-1], False)
        assert not list(tmp_path.rglob("pwned"))

    def test_kgen_inside_conda(self, conda: Conda, jax: Path, torch: Path, tmp_path: Path) -> None:
        """`kgen activate` in an environment that conda has entered, and all the way back."""
        script = torch / f"share/kgen/activate.{conda.suffix}"
        quoted = recognised(conda.shell).quote(str(script))
        conda.activate(jax)
        conda.text.append(f"{'source' if conda.shell in {'fish', 'tcsh'} else '.'} {quoted}")
        conda.report()
        conda.text.append("deactivate")
        conda.report()
        conda.deactivate()
        conda.report()
        found = conda.run(tmp_path, KERAS_BACKEND="mine")
        assert seen(found) == [TORCH, JAX, ("mine", None)]
        assert [one.get("CONDA_PREFIX") for one in found] == [str(torch), str(jax), None]
        assert left(found[-1]) == set()
        assert found[1]["ORDER"] == "+ja+jt+ta+tt-tt-ta"

    def test_conda_inside_kgen(self, conda: Conda, jax: Path, torch: Path, tmp_path: Path) -> None:
        script = torch / f"share/kgen/activate.{conda.suffix}"
        quoted = recognised(conda.shell).quote(str(script))
        conda.text.append(f"{'source' if conda.shell in {'fish', 'tcsh'} else '.'} {quoted}")
        conda.report()
        conda.activate(jax)
        conda.report()
        conda.deactivate()
        conda.report()
        conda.text.append("deactivate")
        conda.report()
        found = conda.run(tmp_path)
        assert seen(found) == [TORCH, JAX, TORCH, (None, None)]
        assert left(found[-1]) == set()


def with_variables(place: Path, packages: Mapping[str, object], state: object = None) -> Path:
    """The prefix with what packages and `conda env config vars set` have put there, and an interpreter to read it."""
    (place / "bin/python").symlink_to(os.path.realpath(sys.executable))
    folder = place / "etc/conda/env_vars.d"
    folder.mkdir()
    for name, content in packages.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    if state is not None:
        text = state if isinstance(state, str) else json.dumps({"version": 1, "env_vars": state})
        (place / "conda-meta/state").write_text(text, encoding="utf-8")
    return place


@pytest.mark.parametrize("shell", SHELLS)
class TestVariables:
    """`etc/conda/env_vars.d` and `conda-meta/state` on kgen's own ways in; what conda does was read in its source."""

    @staticmethod
    def there_and_back(shell: str, place: Path, folder: Path, **environment: str) -> list[dict[str, str]]:
        word = sourced(shell, place / f"share/kgen/activate.{recognised(shell).suffix}")
        text = "\n".join([STRICT.get(shell, ""), word, REPORT, "deactivate", REPORT])
        return run(shell, text, folder, **environment)

    @pytest.fixture(name="place")
    @staticmethod
    def _place(tmp_path: Path) -> Path:
        return prefix(tmp_path, "jax-cuda12", {"KERAS_BACKEND": "jax"}, folder="it's $(touch pwned) `x` \\ here")

    def test_there_and_back(self, shell: str, place: Path, tmp_path: Path) -> None:
        """By name of the files, the user's over the packages'; what is marked is left as it is, `null` is unset."""
        packages = {
            "b.json": {"FIRST": "b", "SECOND": "b", "small": "b", "DROPPED": "b"},
            "a.json": {"FIRST": "a", "NUMBER": 3, "GONE": None},
        }
        with_variables(place, packages, {"SECOND": "user", "DROPPED": "***unset***", "LEFT": "***unset***", "NEW": ""})
        before = {"FIRST": "mine", "GONE": "mine", "LEFT": "mine", "NEW": "", "KERAS_BACKEND": "mine"}
        inside, outside = self.there_and_back(shell, place, tmp_path, **before)
        names = ("FIRST", "SECOND", "SMALL", "small", "NUMBER", "GONE", "DROPPED", "LEFT", "NEW", "KERAS_BACKEND")
        assert [inside.get(name) for name in names] == [
            "b", "user", "b", None, "3", None, None, "mine", "", "jax"
        ]  # fmt: skip
        assert {name: outside[name] for name in names if name in outside} == before
        assert left(outside) == set()
        assert outside["ORDER"] == "+ja+jt-jt-ja"

    def test_scripts_of_packages_see_them(self, shell: str, place: Path, tmp_path: Path) -> None:
        """Set before the first script of `activate.d`, put back after the last of `deactivate.d`."""
        with_variables(place, {"a.json": {"ROOT": "r"}})
        for phase in ("activate", "deactivate"):
            (place / f"etc/conda/{phase}.d/a-first.sh").write_text('export ORDER="${ORDER-}${ROOT-}"\n')
            (place / f"etc/conda/{phase}.d/a-first.fish").write_text('set -gx ORDER "$ORDER$ROOT"\n')
            (place / f"etc/conda/{phase}.d/a-first.csh").write_text(
                "if (! $?ORDER) setenv ORDER ''\nsetenv ORDER ${ORDER}${ROOT}\n"
            )
        inside, outside = self.there_and_back(shell, place, tmp_path)
        assert (inside["ORDER"], outside["ORDER"]) == ("r+jt", "r+jt-jtr")
        assert "ROOT" not in outside

    @pytest.mark.parametrize("value", HOSTILE_TEXTS)
    def test_no_value_runs(self, shell: str, place: Path, tmp_path: Path, value: str) -> None:
        with_variables(place, {"a.json": {"ONE": value}}, {"TWO": value})
        inside, outside = self.there_and_back(shell, place, tmp_path, ONE=value[::-1])
        assert (inside["ONE"], inside["TWO"]) == (value, value)
        assert (outside["ONE"], "TWO" in outside) == (value[::-1], False)
        assert not list(tmp_path.rglob("pwned"))

    @pytest.mark.parametrize("name", ["A; touch pwned; B", "$(touch pwned)", "A B", "", "PATH", "_KGEN_SCRIPT"])
    def test_no_name_runs(self, shell: str, place: Path, tmp_path: Path, name: str) -> None:
        with_variables(place, {"a.json": {name: "x", "GOOD": "x", "HOLDS": "a\0b", "HALF": "\ud800"}})
        word = sourced(shell, place / f"share/kgen/activate.{recognised(shell).suffix}")
        (tmp_path / "hushed").write_text(f"{word} {'>&' if shell == 'tcsh' else '2>'} {tmp_path}/told\n")
        inside, _ = run(shell, f"{sourced(shell, tmp_path / 'hushed')}\n{REPORT}\ndeactivate\n{REPORT}", tmp_path)
        assert (inside["GOOD"], "HOLDS" in inside, "HALF" in inside) == ("x", False, False)
        assert "/share/kgen/" not in inside.get("PATH", "")
        told = (tmp_path / "told").read_text()
        assert "is not a name of a variable that an environment can set\n" in told
        assert told.count("holds what no variable can\n") == 2
        assert not list(tmp_path.rglob("pwned"))

    @pytest.mark.parametrize("content", ["{", "[]", '"x"', '{"env_vars": [1]}'])
    def test_a_damaged_file_takes_nothing_with_it(self, shell: str, place: Path, tmp_path: Path, content: str) -> None:
        with_variables(place, {"a.json": "{", "b.json": {"GOOD": "x"}}, content)
        word = sourced(shell, place / f"share/kgen/activate.{recognised(shell).suffix}")
        inside, outside = run(
            shell,
            f"{word} {'>&' if shell == 'tcsh' else '2>'} {tmp_path}/told\n{REPORT}\ndeactivate\n{REPORT}",
            tmp_path,
        )
        assert (inside["GOOD"], inside["KERAS_BACKEND"], "GOOD" in outside) == ("x", "jax", False)
        lines = (tmp_path / "told").read_text().splitlines()
        assert [line.partition(": its variables are not set")[0].rpartition("/")[2] for line in lines] == [
            "a.json", "state"
        ]  # fmt: skip


_CONDA = """\
import importlib.util, sys, types, warnings
warnings.simplefilter("ignore")
# the conda that conda-lock has in it, without what conda-lock itself imports: that takes six times as long as conda
package = types.ModuleType("conda_lock")
package.__path__ = importlib.util.find_spec("conda_lock").submodule_search_locations
sys.modules["conda_lock"] = package
from conda_lock._vendor.conda.cli.main import main
sys.exit(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("shell", SHELLS)
class TestByCondaItself:
    """`conda activate` and `conda deactivate`, whose shell function evaluates what conda prints."""

    @pytest.fixture(name="conda")
    @staticmethod
    def _conda(shell: str, tmp_path: Path) -> str:
        """The function of this name, for the start of a script."""
        (tmp_path / "conda.py").write_text(_CONDA)
        call = f"{sys.executable} {tmp_path}/conda.py shell.{ {'fish': 'fish', 'tcsh': 'csh'}.get(shell, 'posix') }"
        if shell == "tcsh":
            return f"alias conda 'eval \"`{call} \\!*`\"'\n"
        if shell == "fish":
            return f"function conda; {call} $argv | source; end\n"
        return f'{STRICT[shell]}conda() {{ eval "$({call} "$@")"; }}\n'

    def test_nested(self, shell: str, conda: str, tmp_path: Path) -> None:
        jax = prefix(tmp_path, "jax-cuda12", {"KERAS_BACKEND": "jax"}, folder="my envs")
        torch = prefix(tmp_path, "torch-cuda12", {"KERAS_BACKEND": "torch"}, folder="my envs")
        lines = [f"conda activate '{jax}'", REPORT, f"conda activate '{torch}'", REPORT]
        lines += ["conda deactivate", REPORT, "conda deactivate", REPORT]
        found = run(shell, conda + "\n".join(lines), tmp_path, KERAS_BACKEND="mine")
        assert seen(found) == [JAX, TORCH, JAX, ("mine", None)]
        assert [one.get("CONDA_PREFIX") for one in found] == [str(jax), str(torch), str(jax), None]
        assert left(found[-1]) == set()

    @pytest.mark.parametrize("how", ["", " --stack", " --no-stack"])
    @pytest.mark.parametrize("again", [False, True])
    def test_stacked(self, shell: str, conda: str, tmp_path: Path, how: str, *, again: bool) -> None:
        """Three deep, activated again or not, left in a shell that was started inside."""
        jax = prefix(tmp_path, "jax-cuda12", {"KERAS_BACKEND": "jax"}, folder="my envs")
        torch = prefix(tmp_path, "torch-cuda12", {"KERAS_BACKEND": "torch"}, folder="my envs")
        twice = "conda reactivate\n" if again else ""
        lines = [f"conda activate '{jax}'", REPORT, f"conda activate{how} '{torch}'", twice, REPORT]
        lines += [f"conda activate{how} '{jax}'", REPORT]
        inner = ["conda deactivate", twice, REPORT, "conda deactivate", REPORT, "conda deactivate", REPORT]
        child = tmp_path / "child"
        child.write_text(conda + "\n".join(inner))
        started = " ".join([shell, *FLAGS.get(shell, ())])
        found = run(shell, conda + "\n".join([*lines, f"{started} '{child}'"]), tmp_path, KERAS_BACKEND="mine")
        assert seen(found) == [JAX, TORCH, JAX, TORCH, JAX, ("mine", None)]
        assert left(found[-1]) == set()

    def test_kgen_sets_the_same(self, shell: str, conda: str, tmp_path: Path) -> None:
        """Of packages and of the user, on every way in."""
        place = prefix(tmp_path, "jax-cuda12", {"KERAS_BACKEND": "jax"}, folder="my envs")
        packages = {"b.json": {"A": "b", "B": "b", "small": "b"}, "a.json": {"A": "a", "SPACED": "a b", "DROPPED": "a"}}
        with_variables(place, packages, {"C": "user", "A": "user", "DROPPED": "***unset***", "LEFT": "***unset***"})
        before = {"A": "mine", "LEFT": "mine"}
        # its warnings; tcsh has no way to turn away what goes to stderr alone
        (tmp_path / "conda.py").write_text("import os; os.dup2(os.open(os.devnull, os.O_WRONLY), 2)\n" + _CONDA)
        words = [f"conda activate '{place}'", REPORT, "conda deactivate", REPORT]
        theirs, after = run(shell, conda + "\n".join(words), tmp_path, **before)
        inside, outside = TestVariables.there_and_back(shell, place, tmp_path, **before)
        names = ("A", "B", "C", "SMALL", "small", "SPACED", "DROPPED", "LEFT", "KERAS_BACKEND", "KGEN_ENVIRONMENT")
        assert [inside.get(name) for name in names] == [theirs.get(name) for name in names]
        assert inside["A"] == "user"
        # conda forgets to take out those in small letters, and takes out what it has left alone
        same = [name for name in names if name not in {"SMALL", "LEFT"}]
        assert [outside.get(name) for name in same] == [after.get(name) for name in same]
        assert ("SMALL" in outside, outside["LEFT"]) == (False, "mine")


_XONSH = """\
def _conda(words):
    __xonsh__.execer.exec($(PYTHON SCRIPT shell.xonsh @(words)), glbs=__xonsh__.ctx, filename="conda")

aliases["conda"] = _conda
$XONSH_SUBPROC_CMD_RAISE_ERROR = True
"""
"""What conda's `conda.xsh` does on `activate`, `deactivate` and `reactivate`."""


@pytest.mark.skipif(importlib.util.find_spec("xonsh") is None, reason="there is no xonsh for this Python")
class TestByCondaInXonsh:
    """conda has xonsh run the hooks for sh, in a bash of its own, and take over what that bash has exported."""

    @pytest.mark.parametrize(("how", "before"), [("", "mine"), (" --stack", None), (" --stack", "mine")])
    def test_there_and_back(self, tmp_path: Path, how: str, before: str | None) -> None:
        jax = prefix(tmp_path, "jax-cuda12", {"KERAS_BACKEND": "jax"}, folder="my envs")
        torch = prefix(tmp_path, "torch-cuda12", {"KERAS_BACKEND": "torch"}, folder="my envs")
        (tmp_path / "conda.py").write_text(_CONDA)
        function = _XONSH.replace("PYTHON", sys.executable).replace("SCRIPT", str(tmp_path / "conda.py"))
        lines = [f"conda activate '{jax}'", REPORT, f"conda activate{how} '{torch}'", REPORT, "conda reactivate"]
        lines += [REPORT, "conda deactivate", REPORT, "conda reactivate", REPORT, "conda deactivate", REPORT]
        script = tmp_path / "script.xsh"
        script.write_text(function + "\n".join(lines) + "\n")
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
        if before is not None:
            environment["KERAS_BACKEND"] = before
        words = [sys.executable, "-m", "xonsh", "--no-rc", str(script)]
        done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        found = [json.loads(line) for line in done.stdout.splitlines() if line]
        assert seen(found) == [JAX, TORCH, TORCH, JAX, JAX, (before, None)]
        assert left(found[-1]) == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_by_rattlers_own_activation(shell: str, tmp_path: Path) -> None:
    """What pixi and rattler print: nested, the hooks of the environment that is left are run."""
    jax = prefix(tmp_path, "jax-cuda12", {"KERAS_BACKEND": "jax"}, folder="my envs")
    torch = prefix(tmp_path, "torch-cuda12", {"KERAS_BACKEND": "torch"}, folder="my envs")
    kind: Any = getattr(Shell, shell)
    path = os.environ["PATH"].split(":")
    first = activate(jax, ActivationVariables(None, path), kind).script
    second = activate(torch, ActivationVariables(jax, path), kind).script
    found = run(shell, f"{first}\n{REPORT}\n{second}\n{REPORT}", tmp_path, KERAS_BACKEND="mine")
    assert seen(found) == [JAX, TORCH]


def test_a_command_in_it(tmp_path: Path) -> None:
    """`run.sh`, by which `kgen run` and Jupyter's kernel enter: scripts of packages first, then the backend."""
    torch = prefix(tmp_path, "torch-cuda12", {"KERAS_BACKEND": "torch"}, folder="it's $(touch pwned) `x` \\ here")
    with_variables(torch, {"a.json": {"ROOT": "r", "OVER": "a"}}, {"OVER": "$(touch pwned)"})
    words = ["/bin/sh", str(torch / "share/kgen/run.sh"), *shlex.split(REPORT)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (found["KERAS_BACKEND"], found["ORDER"]) == ("torch", "+ta+tt")
    assert (found["ROOT"], found["OVER"]) == ("r", "$(touch pwned)")
    assert not list(tmp_path.rglob("pwned"))
