"""How the pages look: in a real browser, on a phone and on a desk, in light and dark, and to who does not see them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.browser import AXE, BROWSER, looked_at, photographed
from tests.recorded import REFERENCE

from kgen.actions.plot import picture
from kgen.actions.report import page
from kgen.emitters import comparison, plot
from kgen.host import Host
from kgen.matrix.compatibility import CompatibilityMatrix
from kgen.model.accelerator import Accelerator
from kgen.validation.receipts import DETAIL

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser here")

GOLDEN = Path(__file__).parent / "golden" / "looks"
CUDA12 = Accelerator("cuda", (12,))
PHONE, DESK = 390, 1200
_VERDICTS = (("passed", "passed"), ("failed", "failed"), ("stale", "passed, of a lock that has changed since"))
_REGEN = os.environ.get("KGEN_REGEN")
_RECEIPT = Path(__file__).parents[1] / "locks/numpy-cpu/receipts/cpu.json"


@pytest.fixture(scope="module", name="pages")
def _pages(tmp_path_factory: pytest.TempPathFactory, matrix: CompatibilityMatrix) -> Mapping[str, str]:
    """The three kinds of pages: a report with proofs, gaps and a stale receipt; pictures; a comparison."""
    root = tmp_path_factory.mktemp("looks") / "project"
    shutil.copytree(REFERENCE, root)
    for name in ("numpy-cpu", "openvino-cpu"):
        shutil.copytree(_RECEIPT.parents[2] / name / "receipts", root / "locks" / name / "receipts", dirs_exist_ok=True)
    # one that failed, and one of what a lock installed before
    failed = root / "locks/openvino-cpu/receipts/cpu.json"
    data = json.loads(failed.read_text(encoding="utf-8"))
    data["predicate"].update(result="FAILED", passedTests=[], failedTests=["openvino"])
    for step in data["predicate"][DETAIL]["steps"]:
        step["verdict"] = "failed"
    failed.write_text(json.dumps(data), encoding="utf-8")
    stale = root / "locks/jax-cuda12/receipts/cpu.json"
    stale.parent.mkdir()
    stale.write_text(_RECEIPT.read_text(encoding="utf-8").replace('"numpy-cpu"', '"jax-cuda12"'), encoding="utf-8")
    machine = Host(platform="linux-64", glibc=None, devices=MappingProxyType({}))
    bars = [
        comparison.Bar(name, time, time * 0.8, time * 1.1, f"{time} s")
        for name, time in (("jax-cuda12", 0.004), ("torch-cuda12", 0.006))
    ]
    compared = comparison.render_page(
        title="train.py", command="python train.py", version="0", repeat=2, verdict=["2 trajectories agree"],
        headings=["environment", "step", "loss"], rows=[["jax-cuda12", "4 ms", "0.1"], ["torch-cuda12", "6 ms", "0.1"]],
        bars=bars, lines=[comparison.Line(bar.name, [2.0, 1.0, 0.5]) for bar in bars],
        failures=[comparison.Failure("tensorflow-cuda12", "failed", ["no GPU"], ["CUDA_ERROR"])],
    )  # fmt: skip
    return {
        "report": page(root, matrix, machine=machine).text,
        "plot": plot.render_page([picture(matrix, Accelerator("cuda", (major,))) for major in (12, 13)]),
        "compare": compared,
    }


PAGES = ("report", "plot", "compare")


@pytest.mark.skipif(AXE is None, reason="KGEN_AXE names no axe.min.js")
@pytest.mark.parametrize(("name", "width", "scheme"), [
    ("report", PHONE, "dark"), ("report", DESK, "light"), ("report", DESK, "dark"), ("plot", PHONE, "dark"),
    ("plot", DESK, "light"), ("compare", PHONE, "light"), ("compare", DESK, "dark"),
])  # fmt: skip
def test_axe_finds_nothing(pages: Mapping[str, str], tmp_path: Path, name: str, width: int, scheme: str) -> None:
    """Contrast AA, headings, names of regions and controls, tables: what axe-core knows of WCAG and good practice."""
    program = """
    for (const one of document.querySelectorAll("details")) one.open = true;
    const found = await axe.run(document, {resultTypes: ["violations"]});
    return {dark: matchMedia("(prefers-color-scheme: dark)").matches, width: innerWidth, passes: found.passes.length,
            faults: found.violations.map(one => [one.id, one.nodes.map(node => node.html.slice(0, 200))])};
    """
    assert AXE is not None
    brought = Path(AXE).read_text(encoding="utf-8")
    found = looked_at(pages[name], program, tmp_path, width=width, scheme=scheme, brought=brought)
    assert (found["width"], found["dark"]) == (width, scheme == "dark")
    assert found["passes"] > 10
    assert found["faults"] == []


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_leaves_the_page_and_no_column_is_hidden(
    pages: Mapping[str, str], tmp_path: Path, name: str, width: int
) -> None:
    """What is wider than the screen is in a region that scrolls, shows its bar and is reached by the keyboard."""
    program = """
    for (const one of document.querySelectorAll("details")) one.open = true;
    const outside = [], hidden = [];
    const scrolls = one => one.closest(".wide, .broad, .narrow");
    for (const one of document.body.querySelectorAll("*")) {
      const box = one.getBoundingClientRect();
      if (box.width && box.right > innerWidth + 1 && !scrolls(one)) outside.push(one.outerHTML.slice(0, 100));
      if (one.matches("td, tbody th") && !one.closest("[hidden]") && !box.width) hidden.push(one.outerHTML);
    }
    const regions = [...document.querySelectorAll(".wide, .broad, .narrow")].filter(one => one.clientWidth);
    return {outside, hidden, page: document.documentElement.scrollWidth,
            unreachable: regions.filter(one => one.scrollWidth > one.clientWidth && one.tabIndex !== 0).length,
            narrow: [...document.querySelectorAll(".narrow svg")].filter(one => one.clientWidth).length};
    """
    found = looked_at(pages[name], program, tmp_path, width=width)
    assert found["outside"] == []
    assert found["hidden"] == []
    assert found["page"] <= width
    assert found["unreachable"] == 0
    # labels stand above bars where there is no room beside them
    assert found["narrow"] == (0 if width == DESK or name == "compare" else 2)


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_what_matters_comes_first(pages: Mapping[str, str], tmp_path: Path, width: int) -> None:
    """The verdict and the shared cuDNN are on the first screen; licences are folded away."""
    program = """
    const top = name => document.getElementById(name).getBoundingClientRect().top;
    const said = [...document.querySelectorAll(".verdict li")].map(one => one.textContent.trim());
    const licences = document.querySelector(".licences");
    return {said, bottom: document.querySelector(".verdict").getBoundingClientRect().bottom,
            order: ["verdict", "locked", "proven", "environments"].map(top),
            folded: !licences.checkVisibility(), scopes: document.querySelectorAll("th:not([scope])").length,
            live: document.getElementById("count").getAttribute("aria-live")};
    """
    found = looked_at(pages["report"], program, tmp_path, width=width)
    assert found["bottom"] < 900
    assert found["order"] == sorted(found["order"])
    assert found["folded"] is True
    assert found["scopes"] == 0
    assert found["live"] == "polite"
    assert all(f'class="{kind}">{word}' in pages["report"] for kind, word in _VERDICTS)
    gpu = ("all-cuda12", "jax-cuda12", "jax-cuda13", "tensorflow-cuda12", "torch-cuda12", "torch-cuda13")
    assert found["said"] == [
        "failed: 1 of 8 environments (openvino-cpu)",
        "proven as locked: 1 of 8 environments (numpy-cpu)",
        f"proven nowhere: 6 of 8 environments ({', '.join(gpu)}) kgen validate",
        "CUDA 12: all-cuda12, jax-cuda12, tensorflow-cuda12, torch-cuda12 share cuDNN 9.10.2.21.",
        "CUDA 13: jax-cuda13, torch-cuda13 share cuDNN 9.26.0.51.",
    ]


def test_columns_of_reasons_are_aligned_from_card_to_card(pages: Mapping[str, str], tmp_path: Path) -> None:
    program = """
    const left = one => Math.round(one.getBoundingClientRect().left);
    const lefts = [...document.querySelectorAll(".reasons td")].map(left);
    return {lefts: [...new Set(lefts)], count: lefts.length};
    """
    found = looked_at(pages["report"], program, tmp_path, width=DESK)
    assert found["count"] > 20
    assert len(found["lefts"]) == 1


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_labels_of_the_axis_do_not_collide(pages: Mapping[str, str], tmp_path: Path, width: int) -> None:
    program = """
    return [...document.querySelectorAll("svg")].filter(one => one.clientWidth).map(svg => {
      const boxes = [...svg.querySelectorAll(".axis, .axis-name")].map(one => one.getBoundingClientRect());
      const beside = (a, b) => a.left < b.right - 1 && b.left < a.right - 1;
      const meets = (a, b) => beside(a, b) && a.top < b.bottom - 1 && b.top < a.bottom - 1;
      const right = one => one.getBoundingClientRect().right;
      const outside = [...svg.querySelectorAll("text")].filter(one => right(one) > right(svg));
      return {labels: boxes.length, outside: outside.map(one => one.textContent),
              collisions: boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => meets(a, b))).length};
    });
    """
    found = looked_at(pages["plot"], program, tmp_path, width=width)
    assert len(found) == 2
    assert all(one["labels"] > 10 for one in found)
    assert [one["collisions"] for one in found] == [0, 0]
    assert [one["outside"] for one in found] == [[], []]


def test_a_comparison_is_read_without_colours(pages: Mapping[str, str], tmp_path: Path) -> None:
    """Times stand beyond what is drawn for them, and lines that lie on each other differ in their dashes."""
    program = """
    const box = one => one.getBoundingClientRect();
    const drawn = [...document.querySelectorAll(".spread")].map(one => box(one).right);
    const times = [...document.querySelectorAll(".bar ~ text")].filter(one => / s$/.test(one.textContent));
    const lines = [...document.querySelectorAll("polyline")].map(one => getComputedStyle(one).strokeDasharray);
    return {beyond: times.map((one, at) => box(one).left > drawn[at]), lines};
    """
    found = looked_at(pages["compare"], program, tmp_path, width=DESK)
    assert found["beyond"] == [True, True]
    assert len(set(found["lines"])) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_drawing_as_a_picture(matrix: CompatibilityMatrix, tmp_path: Path, scheme: str) -> None:
    """Pixel for pixel but for its words, whose shapes are the machine's; `KGEN_REGEN=1` takes the picture again."""
    drawing = plot.render_svg(picture(matrix, CUDA12)).replace("<style>", "<style>text { visibility: hidden; }", 1)
    scheme_of = f'<meta name="color-scheme" content="{scheme}">'
    shown = tmp_path / "plot.html"
    shown.write_text(f"<!doctype html>{scheme_of}<style>body {{ margin: 0 }}</style>{drawing}")
    flags = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    width, height, taken = photographed(shown.as_uri(), tmp_path, 1022, 540, *flags)
    small = thinned(width, height, taken)
    golden = GOLDEN / f"plot-{scheme}.txt"
    if _REGEN:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(small)
    expected = golden.read_text().splitlines()
    lines = small.splitlines()
    assert len(lines) == len(expected)
    different = sum(
        apart(a, b) for one, other in zip(lines, expected, strict=True) for a, b in zip(one, other, strict=True)
    )
    assert different < len(lines) * len(lines[0]) * 0.005


_SHADES = "0123456789abcdef"
_STEP = 6


def thinned(width: int, height: int, taken: bytes) -> str:
    """Every sixth pixel as the brightness of its three colours, a digit each: small enough to be kept and compared."""
    rows = []
    for y in range(0, height, _STEP):
        row = (taken[(y * width + x) * 3 : (y * width + x) * 3 + 3] for x in range(0, width, _STEP))
        rows.append("".join(_SHADES[byte >> 4] for pixel in row for byte in pixel))
    return "\n".join(rows) + "\n"


def apart(one: str, other: str) -> bool:
    """Whether two shades are those of different colours, and not of one that was rounded otherwise."""
    return abs(_SHADES.index(one) - _SHADES.index(other)) > 1


def test_paper_covers_an_environment_in_print(pages: Mapping[str, str], tmp_path: Path) -> None:
    """On paper the controls are gone, what is folded is open, and colours are those of light."""
    program = """
    const rules = [...document.styleSheets].flatMap(sheet => [...sheet.cssRules]);
    const print = rules.filter(rule => rule.media && rule.media.mediaText === "print");
    const sheet = document.createElement("style");
    sheet.textContent = print.flatMap(rule => [...rule.cssRules]).map(rule => rule.cssText).join("\\n");
    document.body.append(sheet);
    const body = getComputedStyle(document.body);
    return {controls: document.getElementById("controls").checkVisibility(), paper: body.backgroundColor,
            licences: document.querySelector(".licences").getBoundingClientRect().height > 0};
    """
    found = looked_at(pages["report"], program, tmp_path, width=DESK, scheme="dark")
    assert found == {"controls": False, "paper": "rgb(255, 255, 255)", "licences": True}
