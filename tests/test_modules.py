"""`kgen export lmod` and `modulefile`, loaded and unloaded by Lmod and by Environment Modules where they are here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen
from tests.index import Index
from tests.test_export_recipes import lock

from kgen.emitters import recipes

PAGE = (Path(__file__).parents[1] / "docs/how-to/slurm.md").read_text(encoding="utf-8")
_TCL = ("/usr/lib/*/modulecmd.tcl", "/usr/lib/modulecmd.tcl", "/usr/share/[Mm]odules/libexec/modulecmd.tcl")
_LUA = ("/usr/share/lmod/*/libexec/lmod", "/opt/apps/lmod/*/libexec/lmod")


def _first(places: tuple[str, ...], variable: str) -> Path | None:
    """The program behind `module`: a variable names it in shells that have it, and where it lies elsewhere."""
    named = [Path(os.environ[variable])] if os.environ.get(variable) else []
    found = [*named, *(path for place in places for path in sorted(Path("/").glob(place[1:])))]
    return next((path for path in found if path.is_file()), None)


def _environment_modules() -> str | None:
    program, tclsh = _first(_TCL, "MODULES_CMD"), shutil.which("tclsh")
    return None if program is None or tclsh is None else f"'{tclsh}' '{program}' bash"


def _lmod() -> str | None:
    program = _first(_LUA, "LMOD_CMD")
    return None if program is None else f"'{program}' bash"


TOOLS = {"Environment Modules": _environment_modules, "Lmod": _lmod}


def module(kgen: Kgen, form: str, name: str) -> str:
    exported = kgen("export", form, name)
    assert exported.status == 0, exported.stderr
    return exported.stdout.replace("[TEMP]", str(kgen.temporary))


@pytest.mark.parametrize(
    "case",
    [("Environment Modules", "modulefile", ""), ("Lmod", "lmod", ".lua")],
    ids=" ".join,
)
def test_load_and_unload(
    healthy: Index, project: Path, kgen_alone: Kgen, tmp_path: Path, case: tuple[str, str, str]
) -> None:
    tool, form, ending = case
    assert f"\nkgen export {form} jax-cuda12 > /shared/modules/keras/jax-cuda12{ending}\n" in PAGE
    command = TOOLS[tool]()
    if command is None:
        pytest.skip(f"no {tool} here")
    kgen = kgen_alone.at(healthy.url)
    assert kgen(*LOCK, "numpy", "jax").status == 0
    assert kgen("sync", "--all").status == 0
    folder = tmp_path / "modules/keras"
    folder.mkdir(parents=True)
    for name in ("numpy-cpu", "jax-cpu"):
        (folder / f"{name}{ending}").write_text(module(kgen, form, name), encoding="utf-8")
    script = f"""
        module() {{ eval "$({command} "$@")"; }}
        module load keras/numpy-cpu
        echo "$KERAS_BACKEND $VIRTUAL_ENV $(command -v python)"
        module load keras/jax-cpu 2> refused
        echo "$KERAS_BACKEND"
        module unload keras/numpy-cpu keras/jax-cpu
        echo "${{KERAS_BACKEND-gone}} ${{VIRTUAL_ENV-gone}}"
        module load keras/jax-cpu
        echo "$KERAS_BACKEND"
    """
    outside = {name: value for name, value in kgen.env().items() if not name.startswith(("LMOD", "MODULE", "LOADED"))}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**outside, "MODULEPATH": str(folder.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    place = project / ".kgen/envs/numpy-cpu"
    # Lmod puts one of a family in the place of another, Environment Modules refuses the second
    second = "jax" if tool == "Lmod" else "numpy"
    assert done.stdout.splitlines() == [
        f"numpy {place} {place}/bin/python",
        second,
        "gone gone",
        "jax",
    ], done.stderr
    if second == "numpy":
        assert "conflict" in (tmp_path / "refused").read_text(encoding="utf-8").lower()


def test_what_it_sources_is_what_a_sync_writes(healthy: Index, kgen_alone: Kgen) -> None:
    kgen = kgen_alone.at(healthy.url)
    assert kgen(*LOCK, "numpy").status == 0
    assert kgen("sync", "numpy").status == 0
    for form in ("lmod", "modulefile"):
        *_, last = module(kgen, form, "numpy").splitlines()
        assert Path(last.split('"')[-2]).is_file()


@pytest.mark.parametrize(
    ("form", "command", "programs", "told"),
    [
        (
            recipes.ENVIRONMENT_MODULES,
            "source-sh",
            ("tclsh",),
            "proc source-sh {shell path} { puts -nonewline $path }",
        ),
        (recipes.LMOD, "source_sh", ("lua5.3", "lua"), "function source_sh(shell, path) io.write(path) end"),
    ],
    ids=["Tcl", "Lua"],
)
def test_a_hostile_path_stays_a_path(
    tmp_path: Path, form: recipes.ModuleForm, command: str, programs: tuple[str, ...], told: str
) -> None:
    hostile = 'a"]] [exec touch x] $(touch x) {\\'
    text = recipes.render_module(lock(), form, script=hostile)
    (line,) = [line for line in text.splitlines() if line.startswith(command)]
    program = next(filter(None, map(shutil.which, programs)), None)
    if program is None:
        pytest.skip(f"no {programs[0]} here")
    (tmp_path / "program").write_text(f"{told}\n{line}\n", encoding="utf-8")
    said = subprocess.run([program, "program"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert said.stdout == hostile
    assert [path.name for path in tmp_path.iterdir()] == ["program"]
