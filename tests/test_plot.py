"""`kgen matrix plot`: the picture says what the matrix says."""

from __future__ import annotations

import json
import re
import shlex
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
    # what a CUDA has no build of is not part of its best set
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


def test_where_it_is_narrow_labels_stand_above_their_bars() -> None:
    lines = plot.render_text([HOSTILE], room=38).splitlines()
    assert lines == [
        "CUDA 12: together on cuDNN 9.10.2",
        "  cuDNN",
        "    1",
        "  9 0",
        "   1",
        "  100",
        "A<b>&",
        '* 1.0 - 1.1 (1.1)  >=9.1,<9.11"<x>',
        "  █▒·",
        "Empty: no build for CUDA 12",
        "   ^",
    ]
    assert plot.render_text([HOSTILE], room=39) == plot.render_text([HOSTILE])


def test_as_a_drawing_nothing_in_it_is_markup_and_nothing_is_fetched() -> None:
    text = plot.render_svg(HOSTILE)
    root = ET.fromstring(text)  # noqa: S314 - our own
    shown = {one.get("class"): one.text for one in root.iter(f"{SVG}text")}
    assert shown["label best"] == "1.0 - 1.1 (1.1) ★"
    assert shown["lane"] == "A<b>&"
    assert shown["note"] == "No build for CUDA 12: Empty"
    assert not list(root.iter(f"{SVG}script"))
    assert re.findall(r"(?:href|src)\s*=|url\((?!#)", plot.render_page([HOSTILE])) == []
    cells = [one.get("class", "").split()[1:] for one in root.iter(f"{SVG}rect")]
    # what is shared is the strongest mark, also where a build takes only a part of the column
    assert [one for one in cells if one and one[0] == "chosen"] == [["chosen", "every"], ["chosen", "decisive"]]


def test_only_what_concerns_the_question(matrix: CompatibilityMatrix, kgen: Kgen) -> None:
    """What older generations of Keras have no build of is no question; backends that are named alone are drawn."""
    for major in (11, 12, 13):
        lanes = picture(matrix, Accelerator("cuda", (major,))).lanes
        assert {lane.title for lane in lanes if not lane.bars} <= {"TensorFlow", "JAX", "PyTorch"}
    named = picture(matrix, CUDA12, backends=["jax", "tensorflow"])
    assert [lane.title for lane in named.lanes] == ["JAX", "TensorFlow"]
    assert named.cudnn == "9.28.0.42"
    for word, what in (("numpy", "runs on no accelerator"), ("nonesuch", "is not in the matrix")):
        result = kgen("matrix", "plot", word)
        assert (result.status, result.stdout) == (2, "")
        assert result.stderr.startswith(f"error: backend `{word}` {what}\n\nhint: the backends are tensorflow, ")


class TestPlan:
    @pytest.fixture(autouse=True)
    def _settings(self, project: Path) -> None:
        (project / "kgen.toml").write_text('backends = ["tensorflow", "jax"]\ncuda = "12"\npython = "3.12"\n')

    def test_the_move_stands_below_the_picture(self, kgen: Kgen, project: Path) -> None:
        result = kgen("matrix", "plot", "--plan", "--cuda", "13")
        assert (result.status, result.stderr) == (0, "")
        lines = result.stdout.splitlines()
        assert [line for line in lines if line.startswith("CUDA 1")][0::2] == [
            "CUDA 12: together on cuDNN 9.10.2.21",
            "CUDA 12 -> CUDA 13: 1 of 2 environments can move",
        ]
        assert lines[-2].startswith("… tensorflow-cuda12 -> tensorflow-cuda13: waits for TensorFlow: 2.21.0 is for")
        assert lines[-1] == (
            "✓ jax-cuda12 -> jax-cuda13: driver 525.60.13 -> 580.65.06 or newer; gains Jetson T5000 (11.0)"
        )
        data = json.loads(kgen("matrix", "plot", "--plan", "--cuda", "13", "--json").stdout)["plots"]
        assert [one["cuda"] for one in data] == ["12", "13"]
        assert data[1]["notes"] == lines[-3:]
        assert kgen("matrix", "plot", "--plan", "--cuda", "13", "-o", "plan.svg").status == 0
        drawn = ET.parse(project / "plan.svg").getroot()  # noqa: S314 - our own
        notes = [one.text or "" for one in drawn.iter(f"{SVG}text") if one.get("class") == "note"]
        assert " ".join(" ".join(notes).split()) == " ".join(["No build for CUDA 13: TensorFlow", *lines[-3:]])

    def test_as_the_plan_itself_says(self, kgen: Kgen) -> None:
        planned = json.loads(kgen("plan", "--cuda", "13", "--json").stdout)["environments"]
        notes = json.loads(kgen("matrix", "plot", "--plan", "--cuda", "13", "--json").stdout)["plots"][1]["notes"]
        can = {one["environment"]: one["command"] is not None for one in planned}
        assert {note.split()[1]: note.startswith("✓") for note in notes[1:]} == can

    def test_it_needs_one_version(self, kgen: Kgen) -> None:
        for words in ((), ("--cuda", "12", "--cuda", "13")):
            result = kgen("matrix", "plot", "--plan", *words)
            assert (result.status, result.stdout) == (2, "")
            assert result.stderr == (
                "error: --plan needs the one CUDA to move to: `--cuda V`\n\nhint: kgen matrix plot --plan --cuda 13\n"
            )


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
        assert (project / "plot.html").read_text().count('<div class="broad"') == 3

    def test_a_hint_repeats_the_call_and_works(self, kgen: Kgen, project: Path) -> None:
        refused = kgen("matrix", "plot", "jax", "--platform", "linux-64", "-o", "a b.svg")
        assert refused.status == 2
        found = [line.removeprefix("hint: ") for line in refused.stderr.splitlines() if line.startswith("hint: ")]
        assert found == [
            "kgen matrix plot jax --platform linux-64 --cuda 12 -o 'a b.svg'",
            "kgen matrix plot jax --platform linux-64 -o 'a b.html'   # a page of all",
        ]
        for hint in found:
            assert kgen(*shlex.split(hint, comments=True)[1:]).status == 0
        assert sorted(path.name for path in project.iterdir()) == ["a b.html", "a b.svg"]

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
