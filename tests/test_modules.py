"""`docs/how-to/slurm.md`: the modulefile of the page, in Environment Modules where they are here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.command import LOCK, Kgen
from tests.index import Index

PAGE = (Path(__file__).parents[1] / "docs/how-to/slurm.md").read_text(encoding="utf-8")
PLACES = ("/usr/lib/*/modulecmd.tcl", "/usr/lib/modulecmd.tcl", "/usr/share/[Mm]odules/libexec/modulecmd.tcl")


def modulecmd() -> Path | None:
    """The program behind `module`, which sets MODULES_CMD in the shells that have it."""
    named = [Path(os.environ["MODULES_CMD"])] if os.environ.get("MODULES_CMD") else []
    found = [*named, *(path for place in PLACES for path in Path("/").glob(place[1:]))]
    return next((path for path in found if path.is_file()), None)


def modulefile(environment: Path) -> str:
    (text,) = re.findall(r"^```tcl\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(text).replace("/shared/envs/jax-cuda12", str(environment))


def test_load_and_unload(healthy: Index, project: Path, kgen_alone: Kgen, tmp_path: Path) -> None:
    program, tclsh = modulecmd(), shutil.which("tclsh")
    if program is None or tclsh is None:
        pytest.skip("no Environment Modules here, nor does MODULES_CMD name their modulecmd.tcl")
    kgen = kgen_alone.at(healthy.url)
    assert kgen(*LOCK, "numpy", "jax").status == 0
    assert kgen("sync", "--all").status == 0
    folder = tmp_path / "modules/keras"
    folder.mkdir(parents=True)
    for name in ("numpy-cpu", "jax-cpu"):
        (folder / name).write_text(modulefile(project / ".kgen/envs" / name), encoding="utf-8")
    script = f"""
        module() {{ eval "$('{tclsh}' '{program}' bash "$@")"; }}
        before=$(env | sort)
        module load keras/numpy-cpu
        echo "$KERAS_BACKEND $VIRTUAL_ENV $(command -v python)"
        module load keras/jax-cpu 2> refused
        echo "$KERAS_BACKEND $(grep --quiet --ignore-case conflict refused && echo stays)"
        module unload keras/numpy-cpu
        echo "${{KERAS_BACKEND-gone}} ${{VIRTUAL_ENV-gone}}"
        diff <(echo "$before") <(env | sort) && echo as before
        module load keras/jax-cpu
        echo "$KERAS_BACKEND"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**kgen.env(), "MODULEPATH": str(folder.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    place = project / ".kgen/envs/numpy-cpu"
    assert done.stdout.splitlines() == [
        f"numpy {place} {place}/bin/python",
        "numpy stays",
        "gone gone",
        "as before",
        "jax",
    ], done.stderr


def test_what_it_sources_is_what_a_sync_writes(healthy: Index, project: Path, kgen_alone: Kgen) -> None:
    kgen = kgen_alone.at(healthy.url)
    assert kgen(*LOCK, "numpy").status == 0
    assert kgen("sync", "numpy").status == 0
    (sourced,) = re.findall(r"^source-sh bash (\S+)$", modulefile(project / ".kgen/envs/numpy-cpu"), re.MULTILINE)
    assert Path(sourced).is_file()
