"""`kgen proven`: what is proven where, and what is not; signatures that come along when receipts are merged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.command import Kgen
from tests.sigstore_authority import Authority
from tests.test_receipts import Said, forged, key, kgen, many, project, receipt

from kgen.actions.proven import proven
from kgen.actions.receipts import collect
from kgen.host import Host
from kgen.model.trust import NOBODY, Trust
from kgen.validation import receipts, signing
from kgen.validation.receipts import DETAIL

__all__ = ["kgen", "project", "receipt"]


def machine() -> Host:
    """A machine without any device."""
    return Host(platform="linux-64", glibc=None, devices=MappingProxyType({}))


def on_gpu(path: Path, source: Path, *, day: str = "2026-11-21", **values: str | None) -> None:
    """A receipt as one that was made on a GPU."""
    data: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    device = {"kind": "gpu", "accelerator": "cuda", "name": "NVIDIA H200", "capability": "9.0", "driver": "570.1"}
    data["predicate"][DETAIL].update(device={**device, **values}, date=day)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def test_what_is_proven_and_what_is_not(project: Path, kgen: Callable[..., Said]) -> None:
    (project / "locks/openvino-cpu/receipts/cpu.json").unlink()
    done = kgen("proven")
    assert done.status == 0
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[1][:7] == ["numpy-cpu", "linux-64", "cpu", "-", "basic", "passed", "2026-11-21"]
    assert rows[2][:7] == ["openvino-cpu", "linux-64", "cpu", "-", "-", "not", "proven"]
    assert done.err == ("\n1 gap; on a machine with that device:\n\nhint: kgen validate openvino-cpu --device cpu\n")
    data = json.loads(kgen("proven", "--json").out)
    assert [one["verdict"] for one in data["proofs"]] == ["passed", None]
    assert data["proofs"][0]["step"] == pytest.approx(0.005476)


def test_each_driver_is_a_row_and_the_newest_counts(project: Path, receipt: Path, tmp_path: Path) -> None:
    for number, drivers in enumerate(("570.1", "570.1", "595.2")):
        on_gpu(tmp_path / f"nodes/{number}.json", receipt, day=f"2026-11-2{number}", driver=drivers)
    found = proven(project, collect(project, [str(tmp_path / "nodes")]), machine())
    rows = {(one.place.device, one.place.driver): one for one in found.proofs if one.environment == "numpy-cpu"}
    assert rows["NVIDIA H200", "570.1"].receipts == 2
    assert rows["NVIDIA H200", "570.1"].independent == 1, "nothing tells them apart"
    assert rows["NVIDIA H200", "570.1"].signers is None
    assert rows["cpu", None].independent == 0
    assert rows["NVIDIA H200", "570.1"].date == "2026-11-21"
    assert rows["NVIDIA H200", "595.2"].receipts == 1
    assert rows["cpu", None].verdict is None


def test_another_suite_is_another_proof(project: Path, receipt: Path, tmp_path: Path) -> None:
    """The receipts here are from before there were two, and of the basic one; one of the full suite fills gaps too."""
    on_gpu(tmp_path / "nodes/basic.json", receipt)
    on_gpu(tmp_path / "nodes/full.json", receipt, day="2026-11-23")
    forged(tmp_path / "nodes/full.json", lambda data: data["predicate"][DETAIL].update(suite="full"))
    receipt.unlink()
    found = proven(project, collect(project, [str(tmp_path / "nodes")]), machine())
    rows = [one for one in found.proofs if one.environment == "numpy-cpu" and one.place.device == "NVIDIA H200"]
    assert [(one.suite, one.date, one.receipts) for one in rows] == [
        ("basic", "2026-11-21", 1),
        ("full", "2026-11-23", 1),
    ]
    (entry,) = [one for one in collect(project, [str(tmp_path / "nodes")]).entries if one.suite == "full"]
    assert entry.slug == "nvidia-h200-full"
    forged(tmp_path / "nodes/full.json", lambda data: data["predicate"][DETAIL].update(suite="whole"))
    (skipped,) = collect(project, [str(tmp_path / "nodes")]).skipped
    assert "is none of basic, full" in skipped.why


def test_a_receipt_of_the_lock_before_is_no_proof(project: Path, receipt: Path) -> None:
    forged(receipt, lambda data: data["subject"][1].update(digest={"sha256": "0" * 64}))
    found = proven(project, collect(project), machine())
    (one,) = found.gaps
    assert (one.environment, one.older, one.command) == ("numpy-cpu", True, "kgen validate numpy-cpu --device cpu")


def test_receipts_of_what_is_not_locked_are_told(project: Path, receipt: Path, kgen: Callable[..., Said]) -> None:
    source = project / "elsewhere/a.json"
    on_gpu(source, receipt)
    forged(source, lambda data: data["predicate"][DETAIL].update(environment="jax-cuda12"))
    done = kgen("proven", "locks", "elsewhere")
    assert "note: there are receipts of jax-cuda12, which is not locked here\n" in done.err


def test_signers_are_counted_once_and_only_those_that_are_believed(
    receipt: Path, kgen: Callable[..., Said], tmp_path: Path
) -> None:
    one, two, stranger = (key(tmp_path, name) for name in ("one", "two", "stranger"))
    for mine in (one, two, stranger):
        kgen("attest", "numpy-cpu", "--key", str(mine.private))

    def signers(*keys: Path) -> list[int]:
        words = [word for path in keys for word in ("--key", str(path))]
        return [row["signers"] for row in json.loads(kgen("proven", "--json", *words).out)["proofs"]]

    assert signers(one.public, two.public) == [2, 0]
    assert signers(one.public, one.public) == [1, 0]
    forged(receipt, lambda data: data["predicate"][DETAIL].update(date="2026-11-22"))
    assert signers(one.public, two.public) == [0, 0]


def test_a_failure_has_no_witness(project: Path, receipt: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    mine = key(tmp_path)

    def fail(data: dict[str, Any]) -> None:
        data["predicate"].update(result="FAILED", passedTests=[], failedTests=["numpy"])
        data["predicate"][DETAIL]["steps"][0]["verdict"] = "failed"

    forged(receipt, fail)
    assert kgen("attest", str(receipt), "--key", str(mine.private)).status == 0
    collected = collect(project)
    for trust in (NOBODY, Trust(keys=(mine.public,))):
        (row,) = [one for one in proven(project, collected, machine(), trust).proofs if one.environment == "numpy-cpu"]
        assert (row.verdict, row.receipts, row.independent) == ("failed", 1, 0)


def test_identities_are_signers(receipt: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    """By a key and as two identities: three signers, of whom each counts where it is named."""
    authority = Authority()
    config = ("--trust-config", str(authority.write_config(tmp_path / "trust.json")))
    place = tmp_path / "nodes"
    for number, who in enumerate(("ada@example.com", "bob@example.com")):
        on_gpu(place / f"{number}.json", receipt, day=f"2026-11-2{number}")
        bundle = authority.bundle(signing.canonical(receipts.load(place / f"{number}.json", "")), who)
        (place / f"{number}.sigstore").write_text(json.dumps(bundle))
    mine = key(tmp_path)
    assert kgen("attest", str(place / "0.json"), "--key", str(mine.private)).status == 0

    def signers(*words: str) -> int:
        rows = json.loads(kgen("proven", str(place), "--json", *words).out)["proofs"]
        found: int = next(row["signers"] for row in rows if row["place"]["driver"] == "570.1")
        return found

    ada, bob = ("--identity", "ada@example.com"), ("--identity", "bob@example.com")
    assert signers(*ada, *config) == 1
    assert signers(*ada, *bob, *config) == 2
    assert signers(*ada, *bob, *config, "--key", str(mine.public)) == 3
    assert signers(*ada, "--issuer", "https://other.example.com", *config) == 0
    page = tmp_path / "map.html"
    assert kgen("report", str(place), *ada, *bob, *config, "-o", str(page)).status == 0
    text = page.read_text(encoding="utf-8")
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr[^>]*data-proof.*?</tr>", text)]
    assert any("NVIDIA H200" in row and row[-1] == "2" for row in cells), cells


def test_the_report_has_the_map(project: Path, receipt: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    """Environment, device, driver, verdict, day, step, signers; a gap stands out with the command that fills it."""
    mine = key(tmp_path)
    on_gpu(tmp_path / "nodes/h200.json", receipt)
    (project / "locks/openvino-cpu/receipts/cpu.json").unlink()
    kgen("attest", str(tmp_path / "nodes/h200.json"), "--key", str(mine.private))
    words = ("report", "locks", str(tmp_path / "nodes"), "--key", str(mine.public), "-o", str(tmp_path / "map.html"))
    assert kgen(*words).status == 0
    text = (tmp_path / "map.html").read_text(encoding="utf-8")
    rows = [re.sub(r"<[^>]+>", "|", row) for row in re.findall(r"<tr[^>]*data-proof.*?</tr>", text)]
    cells = [[cell for cell in row.split("|") if cell] for row in rows]
    on_h200 = ["numpy-cpu", "linux-64", "NVIDIA H200", "570.1", "passed", "basic", "2026-11-21", "5.48 ms", "1", "1"]
    gap = ["openvino-cpu", "linux-64", "cpu", "-", "not proven", ": ", "kgen validate openvino-cpu --device cpu"]
    assert on_h200 in cells
    assert gap in cells
    assert re.findall(r'<tr class="gap" data-proof="([^"]+)"', text) == ["openvino-cpu.linux-64"]
    assert "proven as locked:</span> 1 of 2 environments (numpy-cpu)" in text
    assert "proven nowhere:</span> 1 of 2 environments (openvino-cpu)" in text


def test_the_report_says_what_is_no_receipt(project: Path, receipt: Path, kgen: Callable[..., Said]) -> None:
    on_gpu(project / "nodes/broken.json", receipt)
    forged(project / "nodes/broken.json", lambda data: data["predicate"][DETAIL].update(suite="whole"))
    done = kgen("report", "locks", "nodes")
    assert done.status == 1
    assert "broken.json is not a receipt of this version of kgen: " in done.err
    assert (project / "report.html").is_file()


def test_merging_keeps_the_signatures_of_every_place(
    project: Path, receipt: Path, kgen: Callable[..., Said], tmp_path: Path
) -> None:
    one, two = key(tmp_path, "one"), key(tmp_path, "two")
    for name, mine in (("here", one), ("there", two)):
        place = tmp_path / name / "cpu.json"
        place.parent.mkdir()
        place.write_bytes(receipt.read_bytes())
        kgen("attest", str(place), "--key", str(mine.private))
    target = tmp_path / "collected"
    words = ("receipts", "merge", str(tmp_path / "here"), str(tmp_path / "there"), "-o", str(target))
    assert kgen(*words).out == f"{target}: 1 new, 0 there already\n"
    (merged,) = target.rglob("*.json")
    before = merged.with_suffix(".dsse").read_bytes()
    assert kgen(*words).out == f"{target}: 0 new, 1 there already\n"
    assert merged.with_suffix(".dsse").read_bytes() == before
    lock = str(project / "locks/numpy-cpu/pylock.linux-64.toml")
    for mine in (one, two):
        assert kgen("verify", str(merged), "--lock", lock, "--key", str(mine.public)).status == 0


def test_thousands_of_receipts_make_a_map(project: Path, receipt: Path, tmp_path: Path) -> None:
    many(tmp_path / "many", receipt, 300)
    found = proven(project, collect(project, [str(tmp_path / "many")]), machine())
    assert found.proofs[0].receipts == 300


def test_nothing_is_locked(project: Path, kgen: Callable[..., Said]) -> None:
    for path in (project / "locks").glob("[!.]*"):
        path.rename(project / path.name)
    assert kgen("proven").err == "nothing is locked\n\nhint: kgen lock\n"


@pytest.mark.parametrize("words", [("proven",), ("receipts", "list")])
def test_without_locks(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = Kgen(folder=tmp_path, temporary=tmp_path)(*words)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr == "error: nothing is locked in [TEMP], and so nothing is proven\n\nhint: kgen lock\n"
