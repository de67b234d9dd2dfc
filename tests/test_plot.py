"""`kgen matrix plot`: the picture says what the matrix says."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from tests.command import Kgen, Result

from kgen.actions.plot import picture
from kgen.emitters import plot
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.solver.overlap import EVERY, SOME, Bar, Lane, Overlap

CUDA12 = Accelerator("cuda", (12,))
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("cuda", [11, 12, 13])
def test_every_cell_is_what_packaging_says(matrix: CompatibilityMatrix, cuda: int) -> None:
    """A column is whole if a build can use all of its releases, and a part if some."""
    found = picture(matrix, Accelerator("cuda", (cuda,)))
    library = matrix.library(f"nvidia-cudnn-cu{cuda}")
    assert library is not None
    bars = [bar for lane in found.lanes for bar in lane.bars]
    assert bars
    for bar in bars:
        allowed = SpecifierSet(bar.range)
        for column, cell in zip(found.columns, bar.cells, strict=True):
            versions = [one.version for one in library.releases if str(one.version).startswith(f"{column}.")]
            inside = [version for version in versions if allowed.contains(version, prereleases=True)]
            assert versions
            assert cell == (None if not inside else EVERY if len(inside) == len(versions) else SOME)
    assert all(any(bar.cells[position] for bar in bars) for position in range(len(found.columns)))


def test_every_release_with_a_build_is_in_it_once(matrix: CompatibilityMatrix) -> None:
    lanes = {lane.title: [one for bar in lane.bars for one in bar.releases] for lane in picture(matrix, CUDA12).lanes}
    torch = [
        str(release.version)
        for release in matrix.framework("torch").releases
        if any(build.accelerator.whole == CUDA12 and "linux-64" in build.platforms for build in release.builds)
        and not release.version.is_prerelease
    ]
    assert sorted(lanes["PyTorch"], key=Version) == sorted(torch, key=Version)
    assert len(lanes["PyTorch"]) == len(set(lanes["PyTorch"]))


def test_what_is_marked_works_together(matrix: CompatibilityMatrix) -> None:
    found = picture(matrix, CUDA12)
    assert found.cudnn == "9.10.2.21"
    assert found.chosen is not None
    assert found.columns[found.chosen] == "9.10"
    chosen = {lane.title: bar for lane in found.lanes for bar in lane.bars if bar.chosen}
    assert {title: bar.chosen for title, bar in chosen.items()} == {
        "TensorFlow": "2.20.0",
        "JAX": "0.12.0.1",
        "PyTorch": "2.10.0",
    }
    assert all(bar.cells[found.chosen] for bar in chosen.values())
    # what a CUDA has no build of is no part of its best set
    assert {lane.title: len(lane.bars) for lane in picture(matrix, Accelerator("cuda", (13,))).lanes}["TensorFlow"] == 0
    assert picture(matrix, Accelerator("cuda", (13,))).cudnn is not None


HOSTILE = Overlap(
    CUDA12,
    ("9.1", "9.10", "10.0"),
    (
        Lane("A<b>&", (Bar(("1.0", "1.1"), (EVERY, SOME, None), '>=9.1,<9.11"<x>', "1.1", "s<script>"),)),
        Lane("Empty", ()),
    ),
    1,
    "9.10.2",
)


def test_as_text_it_fits_a_terminal() -> None:
    assert plot.render_text([HOSTILE]).splitlines() == [
        "CUDA 12: together on cuDNN 9.10.2",
        "  cuDNN              1",
        "                   9 0",
        "                    1",
        "                   100",
        "A<b>&",
        '* 1.0 - 1.1 (1.1)  █▒·  >=9.1,<9.11"<x>',
        "Empty: no build for CUDA 12",
        "                    ^",
    ]


def test_as_a_drawing_nothing_in_it_is_markup_and_nothing_is_fetched() -> None:
    text = plot.render_svg(HOSTILE)
    root = ET.fromstring(text)  # noqa: S314 - our own
    assert [one.text for one in root.iter(f"{SVG}text")][-3:] == [
        "A<b>&",
        "1.0 - 1.1 (1.1) ★",
        "Empty: no build for CUDA 12",
    ]
    assert not list(root.iter(f"{SVG}script"))
    assert re.findall(r"(?:href|src|url)\s*[=(]", plot.render_page([HOSTILE])) == []
    rects = [one for one in root.iter(f"{SVG}rect") if one.get("fill") != "none"]
    assert len(rects) == 2


class TestCommand:
    def test_as_text_and_as_data(self, kgen: Kgen) -> None:
        result = kgen("matrix", "plot", "--cuda", "12")
        assert (result.status, result.stderr) == (0, "")
        assert result.stdout.startswith("CUDA 12: together on cuDNN 9.10.2.21\n")
        assert max(map(len, result.stdout.splitlines())) <= 100
        data = json.loads(kgen("matrix", "plot", "--json").stdout)["plots"]
        assert [one["cuda"] for one in data] == ["11", "12", "13"]
        assert data[1]["frameworks"]["PyTorch"][0]["chosen"] == "2.10.0"

    def test_as_files(self, kgen: Kgen, project: Path) -> None:
        assert kgen("matrix", "plot", "--cuda", "12", "-o", "plot.svg") == Result(0, "", "written to plot.svg\n")
        ET.parse(project / "plot.svg")  # noqa: S314 - our own
        assert kgen("matrix", "plot", "-o", "plot.html").status == 0
        assert (project / "plot.html").read_text().count("<svg ") == 3

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("-o", "plot.png"), "error: `-o plot.png`: a drawing is .svg or .html\n"),
            (("-o", "plot.svg"), "error: an SVG is of one CUDA\n"),
            (("--cuda", "99"), "error: CUDA `99` is not in the matrix\n"),
            (("--platform", "x"), "error: platform `x` is not in the matrix\n"),
        ],
    )
    def test_wrong_calls(self, kgen: Kgen, project: Path, words: tuple[str, ...], said: str) -> None:
        result = kgen("matrix", "plot", *words)
        assert (result.status, result.stdout) == (2, "")
        assert result.stderr.startswith(said)
        assert "\nhint: " in result.stderr
        assert list(project.iterdir()) == []
