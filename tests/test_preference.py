"""`--proven`: what receipts saw train is preferred, where it fits."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli
from tests.command import LOCK, SOLVE, Kgen, new_cache
from tests.sigstore_authority import ISSUER, Authority
from tests.test_receipts import LOCKS, Key, key, parsed

from kgen.validation import receipts, signing
from kgen.validation.receipts import DETAIL


def seen(folder: Path, number: int, *, backend: str = "jax", versions: Mapping[str, str], **changes: Any) -> Path:  # noqa: ANN401 - any of the detail
    """A receipt of the project: so many versions trained, on the CPU."""
    data = parsed(LOCKS / "numpy-cpu/receipts/cpu.json")
    detail = data["predicate"][DETAIL]
    detail["steps"][0].update(backend=backend, versions=dict(versions))
    detail.update(environment=f"{backend}-cpu", date=f"2026-11-{number:02}", **changes)
    data["predicate"]["passedTests"] = [backend]
    path = folder / f"locks/elsewhere/receipts/{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if changes.get("verdict") == "failed":
        data["predicate"].update(result="FAILED", passedTests=[], failedTests=[backend])
        detail["steps"][0]["verdict"] = "failed"
    path.write_text(json.dumps(data))
    return path


def solved(kgen: Kgen, *words: str) -> tuple[dict[str, str], str]:
    done = kgen(*SOLVE, "jax", "--cpu", *words, "--json")
    assert done.status == 0, done.stderr
    packages = json.loads(done.stdout)["solution"]["packages"]
    said = kgen(*SOLVE, "jax", "--cpu", *words).stderr
    return {name: one["version"] if isinstance(one, dict) else one for name, one in packages.items()}, said


@pytest.fixture
def alone(kgen: Kgen, tmp_path: Path) -> Kgen:
    cache = new_cache(tmp_path / "cache")
    return dataclasses.replace(kgen, environment={**kgen.environment, "KGEN_CACHE_DIR": str(cache)})


def older(kgen: Kgen) -> dict[str, str]:
    """Versions that fit and are not the newest."""
    newest, _ = solved(kgen)
    found = kgen(*SOLVE, "jax", "--cpu", "--require", f"jax<{newest['jax']}", "--json")
    packages = json.loads(found.stdout)["solution"]["packages"]
    return {
        name: packages[name]["version"] if isinstance(packages[name], dict) else packages[name]
        for name in ("jax", "keras")
    }


def test_what_was_seen_to_train_is_preferred(alone: Kgen, project: Path) -> None:
    newest, _ = solved(alone)
    versions = older(alone)
    assert versions["jax"] != newest["jax"]
    seen(project, 1, versions=versions)
    found, said = solved(alone, "--proven")
    assert found["jax"] == versions["jax"]
    assert f"note: jax-cpu: 1 receipt saw jax {versions['jax']}, keras {versions['keras']} train on cpu\n" in said
    assert solved(alone)[0] == newest


GPU = {"kind": "gpu", "accelerator": "cuda", "name": "NVIDIA H200", "capability": "9.0", "driver": "570.1"}


def on_gpu(number: int, driver: str, name: str = "NVIDIA H200") -> dict[str, Any]:
    """What a receipt says that is of one kind of device and driver; its day tells it from others."""
    return {"number": number, "device": {**GPU, "name": name, "driver": driver}}


CUDA = (*SOLVE, "jax", "--cuda", "12")


def older_for_cuda(kgen: Kgen) -> tuple[dict[str, str], dict[str, str]]:
    """The newest versions for CUDA 12, and older ones that fit."""

    def versions(*words: str) -> dict[str, str]:
        packages = json.loads(kgen(*CUDA, *words, "--json").stdout)["solution"]["packages"]
        return {name: packages[name] for name in ("jax", "keras")}

    newest = versions()
    return newest, versions("--require", f"jax<{newest['jax']}")


def taken(kgen: Kgen, *words: str) -> tuple[str, str]:
    """The JAX that is taken, and the notes."""
    done = kgen(*CUDA, *words, "--json")
    assert done.status == 0, done.stderr
    jax: str = json.loads(done.stdout)["solution"]["packages"]["jax"]
    return jax, kgen(*CUDA, *words).stderr


def test_unsigned_receipts_of_one_device_and_driver_are_one(alone: Kgen, project: Path) -> None:
    """A receipt holds no user, host or serial number: ten of the same node are no ten independent ones."""
    newest, versions = older_for_cuda(alone)
    for number in (1, 2, 3):
        seen(project, versions=versions, **on_gpu(number, "570.1"))
    found, said = taken(alone, "--proven", "2")
    assert found == newest["jax"]
    assert (
        "note: jax-cuda12: no 2 independent receipts saw it train on an NVIDIA GPU (3 receipts, 1 independent, did);"
        " solved without `--proven`\n" in said
    )
    found, said = taken(alone, "--proven")
    assert found == versions["jax"]
    assert f"note: jax-cuda12: 3 receipts, 1 independent, saw jax {versions['jax']}, keras" in said
    seen(project, versions=versions, **on_gpu(4, "595.2"))
    assert taken(alone, "--proven", "2")[0] == versions["jax"]
    # a failure is no witness
    assert taken(alone, "--proven", "3")[0] == newest["jax"]
    seen(project, versions=versions, **on_gpu(5, "600.1"), verdict="failed")
    assert taken(alone, "--proven", "3")[0] == newest["jax"]
    seen(project, versions=versions, **on_gpu(6, "595.2", "NVIDIA L4"))
    assert taken(alone, "--proven", "3")[0] == versions["jax"]


def test_signed_receipts_count_by_who_signed_them(alone: Kgen, project: Path, tmp_path: Path) -> None:
    newest, versions = older_for_cuda(alone)
    one, two, stranger = (key(tmp_path, name) for name in ("one", "two", "stranger"))
    places = [seen(project, versions=versions, **on_gpu(number, f"57{number}.1")) for number in (1, 2, 3)]
    both = ("--key", str(one.public), "--key", str(two.public))

    def sign(place: Path, by: Key) -> None:
        done = alone("attest", str(place), "--key", str(by.private))
        assert done.status == 0, done.stderr

    # three drivers, and nobody who counts has signed
    sign(places[0], stranger)
    found, said = taken(alone, "--proven", *both)
    assert found == newest["jax"]
    assert (
        "note: jax-cuda12: no receipt signed by a trusted key or identity saw it train on an NVIDIA GPU; solved" in said
    )
    # two receipts by one signer are of one
    sign(places[0], one)
    sign(places[1], one)
    assert taken(alone, "--proven", *both)[0] == versions["jax"]
    found, said = taken(alone, "--proven", "2", *both)
    assert found == newest["jax"]
    assert "(2 receipts, 1 independent, did)" in said
    # one receipt by two signers is of both
    sign(places[1], two)
    assert taken(alone, "--proven", "2", *both)[0] == versions["jax"]
    assert taken(alone, "--proven", "2", "--key", str(two.public))[0] == newest["jax"]
    refused = alone(*CUDA, "--only-proven", "--proven", "3", *both)
    assert refused.status == 2
    assert (
        "no 3 independent receipts signed by a trusted key or identity saw it train on an NVIDIA GPU" in refused.stderr
    )


def test_identities_count_as_signers_too(alone: Kgen, project: Path, tmp_path: Path) -> None:
    newest, versions = older_for_cuda(alone)
    authority = Authority()
    config = str(authority.write_config(tmp_path / "trust.json"))
    for number, who in enumerate(("ada@example.com", "bob@example.com"), 1):
        place = seen(project, versions=versions, **on_gpu(number, "570.1"))
        bundle = authority.bundle(signing.canonical(receipts.load(place, "")), who)
        place.with_suffix(".sigstore").write_text(json.dumps(bundle))
    ada, bob = ("--identity", "ada@example.com"), ("--identity", "bob@example.com")
    words = ("--proven", "2", "--issuer", ISSUER, "--trust-config", config)
    assert taken(alone, *words, *ada, *bob)[0] == versions["jax"]
    assert taken(alone, *words, *ada)[0] == newest["jax"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--key", "k.pub"), "`--key` is for `--proven` and `--only-proven`"),
        (("--proven-by", "x"), "`--proven-by` is for `--proven` and `--only-proven`"),
        (("--identity", "a@b.c"), "`--identity` is for `--proven` and `--only-proven`"),
        (("--proven", "--issuer", "x"), "`--issuer` and `--trust-config` are for an identity"),
        (("--proven", "--proven-by", "nowhere"), "there is no folder or file nowhere"),
    ],
)
def test_what_makes_no_sense_with_receipts(alone: Kgen, words: tuple[str, ...], said: str) -> None:
    done = alone(*SOLVE, "jax", "--cpu", *words)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")


# -- the reason --------------------------------------------------------------------------------------------------------


def reasons(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["subject"].partition(" ")[0]: row for row in rows}


def test_receipts_that_decide_are_the_reason(alone: Kgen, project: Path) -> None:
    newest, versions = older_for_cuda(alone)
    for number, driver in ((1, "570.1"), (2, "595.2"), (3, "595.2")):
        seen(project, versions=versions, **on_gpu(number, driver))
    (why,) = [
        row
        for row in json.loads(alone(*CUDA, "--proven", "2", "--json").stdout)["solution"]["why"]
        if row["kind"] == "proven"
    ]
    on = ["NVIDIA H200 (driver 570.1)", "NVIDIA H200 (driver 595.2)"]
    rule = f"2 independent receipts saw it train on {' and '.join(on)}; otherwise it would be {newest['jax']}"
    assert why == {
        "kind": "proven",
        "subject": f"jax {versions['jax']}",
        "rule": rule,
        "source": "; ".join(f"locks/elsewhere/receipts/{number}.json" for number in (1, 2, 3)),
        "receipts": 2,
        "devices": on,
    }
    lines = [line.split(maxsplit=2) for line in alone(*CUDA, "--proven", "2").stdout.splitlines()]
    assert ["jax", versions["jax"], rule] in lines


def test_receipts_that_change_nothing_are_no_reason(alone: Kgen, project: Path) -> None:
    newest, _ = older_for_cuda(alone)
    plain = json.loads(alone(*CUDA, "--json").stdout)["solution"]["why"]
    seen(project, versions=newest, **on_gpu(1, "570.1"))
    done = alone(*CUDA, "--proven", "--json")
    assert json.loads(done.stdout)["solution"]["why"] == plain
    # that they confirm it is a remark
    assert "1 receipt saw jax " in alone(*CUDA, "--proven").stderr


def test_the_reason_stays_in_the_lock(alone: Kgen, project: Path) -> None:
    """`kgen explain` gives it, and a lock that is made again with the same versions keeps it, to the byte."""
    newest, _ = solved(alone)
    versions = older(alone)
    seen(project, 1, versions=versions)
    made = alone(*LOCK, "jax", "--cpu", "--proven")
    assert made.status == 0
    assert "keeps jax" not in made.stderr, "it was taken for what receipts saw, and not kept of a lock"
    path = project / "locks/jax-cpu/pylock.linux-64.toml"
    written = path.read_bytes()
    row = reasons(tomli.loads(written.decode())["tool"]["kgen"]["why"])["jax"]
    rule = f"1 receipt saw it train on cpu; otherwise it would be {newest['jax']}"
    assert row == {
        "subject": f"jax {versions['jax']}",
        "rule": rule,
        "source": "locks/elsewhere/receipts/1.json",
        "receipts": 1,
        "devices": ["cpu"],
    }
    assert f"\n    {rule}\n" in alone("explain", "jax-cpu").stdout
    explained = json.loads(alone("explain", "jax-cpu", "--json").stdout)
    (version,) = [one for one in explained["environments"][0]["versions"] if one["package"] == "jax"]
    assert [one["kind"] for one in version["reasons"]] == ["proven"]
    assert alone("check").status == 0
    shutil.rmtree(project / "locks/elsewhere")
    again = alone(*LOCK, "jax", "--cpu", "--json")  # which solves anew
    assert again.status == 0, again.stderr
    assert "proven" in [one["kind"] for one in json.loads(again.stdout)["environments"][0]["why"]]
    assert path.read_bytes() == written
    # nor does it go where two sides are merged
    sides = [project / name for name in ("base", "ours", "theirs")]
    for side in sides:
        side.write_bytes(written)
    merged = alone("merge-driver", *map(str, sides), "locks/jax-cpu/pylock.linux-64.toml")
    assert merged.status == 0, merged.stderr
    assert reasons(tomli.loads(sides[1].read_text())["tool"]["kgen"]["why"])["jax"] == row
    head, tail = written.split(b"\n", 1)
    path.write_bytes(b"<<<<<<< ours\n" + head + b"\n=======\n# theirs\n>>>>>>> theirs\n" + tail)
    merged = alone(*LOCK, "jax", "--cpu", "--merge")
    assert merged.status == 0, merged.stderr
    assert path.read_bytes() == written
    # whoever upgrades keeps neither
    assert alone(*LOCK, "jax", "--cpu", "--upgrade").status == 0
    assert "receipts" not in reasons(tomli.loads(path.read_text())["tool"]["kgen"]["why"])["jax"]


def test_a_reason_that_somebody_wrote_is_no_lock(alone: Kgen, project: Path) -> None:
    seen(project, 1, versions=older(alone))
    assert alone(*LOCK, "jax", "--cpu", "--proven").status == 0
    path = project / "locks/jax-cpu/pylock.linux-64.toml"
    text = path.read_text()
    for before, after in (("receipts = 1", 'receipts = "1"'), ('devices = ["cpu"]', "devices = [1]")):
        path.write_text(text.replace(before, after))
        done = alone("explain", "jax-cpu")
        assert done.status == 2, done.stdout
        assert "tool.kgen.why[" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("source", ["collected", "git:HEAD"])
def test_receipts_from_elsewhere(alone: Kgen, project: Path, source: str) -> None:
    _, versions = older_for_cuda(alone)
    seen(project, versions=versions, **on_gpu(1, "570.1"))
    if source == "collected":
        (project / "locks/elsewhere").rename(project / "collected")
        where = "collected/receipts/1.json"
    else:
        for words in (
            ("init", "-q"),
            ("add", "."),
            ("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x"),
        ):
            subprocess.run(["git", *words], cwd=project, check=True)
        shutil.rmtree(project / "locks")
        where = "git:HEAD:locks/elsewhere/receipts/1.json"
    why = json.loads(alone(*CUDA, "--proven", "--proven-by", source, "--json").stdout)["solution"]["why"]
    assert reasons(why)["jax"]["source"] == where


@pytest.mark.parametrize(
    "changes",
    [{"backend": "torch"}, {"device": GPU}, {"platform": "linux-aarch64"}],
    ids=["another backend", "another device", "another platform"],
)
def test_what_saw_something_else_does_not_count(alone: Kgen, project: Path, changes: dict[str, Any]) -> None:
    versions = older(alone)
    seen(project, 1, versions=versions, **changes)
    found, said = solved(alone, "--proven")
    assert found["jax"] != versions["jax"]
    assert "no receipt saw it train on the CPU" in said


def test_what_cannot_be_had_is_told(alone: Kgen, project: Path) -> None:
    newest, _ = solved(alone)
    seen(project, 1, versions={"jax": "0.0.1", "keras": newest["keras"]})
    found, said = solved(alone, "--proven")
    assert found == newest
    assert "; jax cannot be had as it was\n" in said


def test_a_lock_takes_it_in_the_place_of_what_was_locked(alone: Kgen, project: Path) -> None:
    versions = older(alone)
    assert alone(*LOCK, "jax", "--cpu").status == 0
    path = project / "locks/jax-cpu/pylock.linux-64.toml"
    before = tomli.loads(path.read_text())["tool"]["kgen"]["packages"]["jax"]
    seen(project, 1, versions=versions)
    done = alone(*LOCK, "jax", "--cpu", "--proven")
    assert done.status == 0, done.stderr
    assert "1 receipt saw jax " in done.stderr
    after = tomli.loads(path.read_text())["tool"]["kgen"]["packages"]["jax"]
    assert (before != versions["jax"], after) == (True, versions["jax"])
    # from then on it is what is locked, and kept without being asked for
    assert alone("check").status == 0


@pytest.mark.parametrize("value", ["0", "x", "-1", "1.5"])
def test_what_is_no_number(alone: Kgen, value: str) -> None:
    done = alone(*SOLVE, "jax", f"--proven={value}")
    assert done.status == 2
    assert "`--proven` is not a number of receipts" in done.stderr


def test_only_what_was_seen_to_train(alone: Kgen, project: Path) -> None:
    done = alone(*LOCK, "jax", "--cpu", "--only-proven")
    assert (done.status, done.stdout) == (2, "")
    assert (
        done.stderr
        == "error: jax-cpu: no receipt saw it train on the CPU\n\nhint: kgen proven\nhint: leave out `--only-proven`\n"
    )
    assert not (project / "locks").exists()
    versions = older(alone)
    seen(project, 1, versions=versions)
    found, _ = solved(alone, "--only-proven")
    assert found["jax"] == versions["jax"]
    assert alone(*SOLVE, "jax", "--cpu", "--proven", "2", "--only-proven").status == 2
    # what was seen contradicts what is asked
    newer = alone(*SOLVE, "jax", "--cpu", "--only-proven", "--require", f"jax>{versions['jax']}")
    assert newer.status == 2
    assert "cannot be had as it was" in newer.stderr


def test_without_locks_nothing_is_proven(alone: Kgen, project: Path) -> None:
    done = alone(*LOCK, "jax", "--cpu", "--proven")
    assert done.status == 0, done.stderr
    assert "note: jax-cpu: no receipt saw it train on the CPU; solved without `--proven`\n" in done.stderr
    assert (project / "locks/jax-cpu").is_dir()


def test_a_receipt_of_another_gpu_does_not_count(alone: Kgen, project: Path) -> None:
    newest = alone(*SOLVE, "jax", "--cuda", "12", "--json")
    assert newest.status == 0, newest.stderr
    packages = json.loads(newest.stdout)["solution"]["packages"]
    versions = {
        name: packages[name]["version"] if isinstance(packages[name], dict) else packages[name]
        for name in ("jax", "keras")
    }
    gpu = {"kind": "gpu", "accelerator": "cuda", "name": "H100", "capability": "9.0", "driver": "580.65.06"}
    seen(project, 1, versions=versions, device=gpu)
    words = (*SOLVE, "jax", "--cuda", "12", "--proven")
    assert "1 receipt saw jax " in alone(*words).stderr
    assert "1 receipt saw jax " in alone(*words, "--gpu", "9.0").stderr
    other = alone(*words, "--gpu", "8.0").stderr
    assert "no receipt saw it train on an NVIDIA GPU (compute capability 8.0); solved without `--proven`\n" in other
