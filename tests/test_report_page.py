"""`kgen report`: one page, read by a real browser."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from tests.browser import BROWSER, drawn, photographed
from tests.command import LOCK, Kgen, Result

from kgen.templates import render


def element(page: str, name: str) -> str:
    """An environment's part of the page."""
    found = re.search(rf'<article id="{re.escape(name)}".*?</article>', page, re.DOTALL)
    assert found is not None
    return found[0]


@pytest.fixture(scope="module", name="reported")
def _reported(tmp_path_factory: pytest.TempPathFactory, healthy: object) -> Kgen:
    folder = tmp_path_factory.mktemp("reported")
    kgen = Kgen(folder=folder, temporary=folder).at(healthy.url)  # type: ignore[attr-defined]
    assert kgen(*LOCK, "numpy", "torch", "--cuda", "12").status == 0
    receipts = folder / "locks/numpy-cpu/receipts"
    receipts.mkdir()
    committed = Path(__file__).parents[1] / "locks/numpy-cpu/receipts/cpu.json"
    (receipts / "cpu.json").write_text(committed.read_text(encoding="utf-8"), encoding="utf-8")
    assert kgen("report") == Result(0, "", "report.html: 2 locked environments\n")
    return kgen


@pytest.fixture(scope="module", name="page")
def _page(reported: Kgen) -> str:
    return (reported.folder / "report.html").read_text(encoding="utf-8")


class TestContent:
    def test_each_environment_with_its_reasons_and_its_proof(self, page: str) -> None:
        torch = html.unescape(element(page, "torch-cuda12.linux-64"))
        for text in (
            "torch 2.10.0, keras 3.15.1",
            "12.8, 9.10.2.21; driver 525.60.13 or newer",
            "newest build for CUDA 12: 2.11.0 is built for CUDA 13.0",
            '<th scope="row">torch 2.15.0</th><td class="all">torch 2.15.0: CUDA 13.2</td>',
            "<code>--cuda 13</code>",
            "nowhere yet: <code>kgen validate torch-cuda12</code>",
        ):
            assert text in torch
        numpy = element(page, "numpy-cpu.linux-64")
        # its lock is not the one that the receipt is about
        assert "passed, of a lock that has changed since" in numpy
        # NumPy's newest is for newer Pythons
        assert "<code>--python 3.1" in numpy

    def test_every_package_of_the_lock(self, reported: Kgen, page: str) -> None:
        bill = json.loads(reported("export", "cyclonedx", "torch").stdout)
        rows = set(
            re.findall(
                r'<th scope="row">([^<]+)</th><td data-label="version">([^<]+)</td>',
                element(page, "torch-cuda12.linux-64"),
            )
        )
        assert {(one["name"], one["version"]) for one in bill["components"]} <= rows

    def test_the_picture_is_of_what_is_locked(self, page: str) -> None:
        assert set(re.findall(r'class="lane">(CUDA \d+): together', page)) == {"CUDA 12"}

    def test_nothing_is_fetched_and_nothing_could_be(self, page: str) -> None:
        assert re.findall(r'(?:src|href)="(?!#)[^"]*"|url\((?!#)|@import|fetch\(', page) == []
        assert "default-src 'none'" in page

    def test_what_a_lock_holds_is_text(self) -> None:
        evil = '"><script>alert(1)</script>'
        one = {
            **dict.fromkeys(
                ("id", "name", "platform", "accelerator", "python", "kind", "runtime", "cudnn", "driver", "size"), evil
            ),
            "frameworks": [evil],
            "why": [{"subject": evil, "rule": evil, "sources": [evil]}],
            "newer": [{"package": evil, "newest": evil, "causes": [evil], "ways": [evil]}],
            "faults": [evil],
            "receipts": [{"device": evil, "driver": evil, "verdict": evil, "date": evil, "stale": False}],
            "packages": [{"name": evil, "version": evil, "size": evil, "licence": evil}],
            "backends": [evil],
            "licences": [(evil, 1)],
            "undeclared": 1,
        }
        proof = {
            **dict.fromkeys(("environment", "platform", "device", "driver", "verdict", "suite", "date", "step"), evil),
            "receipts": 1,
            "signers": 1,
            "older": False,
            "command": evil,
        }
        text = render(
            "report/page.html.j2",
            title=evil, version=evil, revision=evil, environments=[one], accelerators=[evil], pictures=[],
            backends=[evil], verdict=[{"kind": evil, "lead": evil, "text": evil, "command": evil}], shared=[evil],
            proofs=[proof, {**proof, "verdict": None}], unknown=[evil], signed=True,
        )  # fmt: skip
        assert text.count("<script>") == 1
        assert evil not in text

    def test_nothing_locked(self, kgen: Kgen, project: Path) -> None:
        assert kgen("report") == Result(2, "", "error: nothing is locked in [TEMP]/project\n\nhint: kgen lock\n")
        assert list(project.iterdir()) == []


@pytest.mark.skipif(BROWSER is None, reason="no browser here")
class TestBrowser:
    def shown(self, page: Path, tmp_path: Path, fragment: str = "") -> str:
        """The page as the browser has it once it is drawn."""
        return drawn(page.as_uri() + fragment, tmp_path)

    def hidden(self, dom: str) -> dict[str, bool]:
        found = re.findall(r'<article id="([^"]+)"([^>]*)>', dom)
        return {name: "hidden" in rest for name, rest in found}

    def test_all_is_there_and_can_be_searched(self, reported: Kgen, tmp_path: Path) -> None:
        dom = self.shown(reported.folder / "report.html", tmp_path)
        assert '<form id="controls" role="search" aria-label="Filter the environments">' in dom
        assert ">2 of 2</output>" in dom
        assert set(self.hidden(dom).values()) == {False}

    def test_a_search_in_the_address(self, reported: Kgen, tmp_path: Path) -> None:
        dom = self.shown(reported.folder / "report.html", tmp_path, "#search=cudnn+9.10")
        assert ">1 of 2</output>" in dom
        assert self.hidden(dom) == {"numpy-cpu.linux-64": True, "torch-cuda12.linux-64": False}
        row = re.search(r'<tr data-accelerator="cpu"[^>]*>', dom)
        assert row is not None
        assert "hidden" in row[0]

    def test_one_backend_alone(self, reported: Kgen, tmp_path: Path) -> None:
        page = reported.folder / "report.html"
        assert re.findall("<option[^>]*>([^<]*)<", page.read_text()) == ["any", "torch", "numpy"]
        dom = self.shown(page, tmp_path, "#backend=numpy")
        assert ">1 of 2</output>" in dom
        assert self.hidden(dom) == {"numpy-cpu.linux-64": False, "torch-cuda12.linux-64": True}
        # with a search both have to fit
        assert ">0 of 2</output>" in self.shown(page, tmp_path, "#backend=numpy&search=cuda12")

    def test_without_javascript_all_is_readable(self, reported: Kgen, tmp_path: Path) -> None:
        text, count = re.subn(
            r"<script>.*?</script>", "", (reported.folder / "report.html").read_text(), flags=re.DOTALL
        )
        assert count == 1
        plain = tmp_path / "plain.html"
        plain.write_text(text)
        dom = self.shown(plain, tmp_path)
        assert "hidden" in re.findall(r'<form id="controls"[^>]*>', dom)[0]
        assert set(self.hidden(dom).values()) == {False}
        assert " of 2</output>" not in dom

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_light_and_dark(self, reported: Kgen, tmp_path: Path, scheme: str) -> None:
        """The paper is dark in the dark, and light in the light: one pixel of the picture says it."""
        flags = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
        address = (reported.folder / "report.html").as_uri()
        _, _, picture = photographed(address, tmp_path, 300, 200, *flags)
        assert (sum(picture[:3]) // 3 < 60) == (scheme == "dark")
