"""Receipts as attestations and as a collection: Statements, migration, signatures, many at once."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jsonschema
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from kgen.actions import receipts as action
from kgen.cli.main import run
from kgen.errors import KgenError, SettingsError, UsageError
from kgen.validation import program, receipts, signing
from kgen.validation.receipts import DETAIL

LOCKS = Path(__file__).resolve().parents[1] / "locks"
SCHEMA = json.loads((program.STEP.parent / "receipt.schema.json").read_text(encoding="utf-8"))


class Said(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two locks and their receipts."""
    root = tmp_path / "project"
    (root / ".git").mkdir(parents=True)
    for name in ("numpy-cpu", "openvino-cpu"):
        shutil.copytree(LOCKS / name, root / "locks" / name)
    monkeypatch.chdir(root)
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "cache"))
    return root


@pytest.fixture
def receipt(project: Path) -> Path:
    return project / "locks/numpy-cpu/receipts/cpu.json"


@pytest.fixture
def kgen(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*words: str) -> Said:
        status = run(words)
        said = capfd.readouterr()
        return Said(int(status), said.out, said.err)

    return call


class Key(NamedTuple):
    private: Path
    public: Path


def key(folder: Path, name: str = "key", made: PrivateKeyTypes | None = None, password: bytes | None = None) -> Key:
    """A pair of keys in PEM, as openssl writes them."""
    private = ed25519.Ed25519PrivateKey.generate() if made is None else made
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    found = Key(folder / f"{name}.pem", folder / f"{name}.pub")
    found.private.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    found.public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return found


def parsed(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def bare(path: Path) -> dict[str, Any]:
    """A receipt in the form that kgen wrote before receipts were Statements."""
    data = {**receipts.load(path), "schema": 1}
    data.pop("step_program", None)
    return data


# -- the form ----------------------------------------------------------------------------------------------------------


def test_the_committed_receipts_are_statements() -> None:
    paths = sorted(LOCKS.glob("*/receipts/*.json"))
    assert paths
    for path in paths:
        data = parsed(path)
        jsonschema.validate(data, SCHEMA)
        assert receipts.render(receipts.load(path)) == path.read_bytes()
        assert [row["name"] for row in data["subject"]] == ["pylock.linux-64.toml", "install-set"]


def test_another_lock_that_installs_the_same_keeps_its_proof(receipt: Path) -> None:
    """The install set's digest is of content alone: another kgen or matrix changes the file and not that."""
    lock = receipt.parents[1] / "pylock.linux-64.toml"
    data = copy.deepcopy(dict(receipts.load(receipt)))
    lock.write_bytes(b"# another kgen wrote this line\n" + lock.read_bytes())
    assert receipts.is_current(data, lock.parent)
    del data["lock"]["content"]
    assert not receipts.is_current(data, lock.parent)


def test_the_step_program_has_a_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = receipts.step_digest()
    copied = tmp_path / "step"
    shutil.copytree(program.STEP, copied)
    monkeypatch.setattr(program, "STEP", copied)
    assert receipts.step_digest() == before
    (copied / "kgen_step/task.py").write_text("changed = True\n")
    assert receipts.step_digest() != before


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another statement": (lambda data: data.update(_type="https://in-toto.io/Statement/v9"), "_type: is "),
    "another predicate": (
        lambda data: data.update(predicateType="https://slsa.dev/provenance/v1"),
        "predicateType: is ",
    ),
    "no subject": (lambda data: data.update(subject=[]), "subject: names 0 lock files"),
    "two locks": (lambda data: data["subject"].append({**data["subject"][0], "name": "b.toml"}), "names 2 lock files"),
    "twice": (lambda data: data["subject"].append(data["subject"][0]), "is there twice"),
    "no digest": (lambda data: data["subject"][0]["digest"].clear(), "digest.sha256: is missing"),
    "a short digest": (lambda data: data["subject"][0]["digest"].update(sha256="ab"), "digest.sha256: "),
    "a path": (lambda data: data["subject"][0].update(name="../a"), "name: "),
    "a skip": (lambda data: data["predicate"].update(result="SKIPPED"), "result: is neither PASSED nor FAILED"),
    "a warning": (lambda data: data["predicate"].update(result="WARNED"), "result: is neither PASSED nor FAILED"),
    "a failure called success": (
        lambda data: data["predicate"][DETAIL]["steps"][0].update(verdict="failed"),
        "result: is not what the steps say",
    ),
    "a success called failure": (lambda data: data["predicate"].update(result="FAILED"), "is not what the steps say"),
    "a test that was none": (lambda data: data["predicate"].update(passedTests=["x"]), "passedTests: is not what"),
    "no detail": (lambda data: data["predicate"].pop(DETAIL), "is missing"),
    "a future schema": (lambda data: data["predicate"][DETAIL].update(schema=3), "is 3, and this kgen reads 2"),
    "steps that are none": (lambda data: data["predicate"][DETAIL].update(steps=7), "steps: should be an array"),
    "rows that are none": (lambda data: data["predicate"][DETAIL].update(steps=[7]), "steps"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_receipt(receipt: Path, name: str) -> None:
    change, words = CHANGES[name]
    data = parsed(receipt)
    change(data)
    receipt.write_text(json.dumps(data))
    with pytest.raises(SettingsError) as caught:
        receipts.load(receipt)
    assert words in caught.value.message


def test_a_statement_may_say_more(receipt: Path) -> None:
    """As in-toto has it: what is unknown is ignored."""
    data = parsed(receipt)
    data["predicate"]["url"] = "https://example.com/run/1"
    data["subject"][0]["annotations"] = {"a": 1}
    receipt.write_text(json.dumps(data))
    assert receipts.load(receipt)["verdict"] == "passed"


# -- migration ---------------------------------------------------------------------------------------------------------


def test_receipts_of_old_are_read_and_migrated(receipt: Path, kgen: Callable[..., Said]) -> None:
    statement = receipt.read_bytes()
    receipt.write_text(json.dumps(bare(receipt)))
    assert receipts.load(receipt)["schema"] == 1
    assert [one.verdict for one in receipts.find(receipt.parents[1])] == ["passed"]
    done = kgen("receipts", "migrate")
    assert (done.status, done.out) == (0, f"{receipt}: migrated\n")
    assert receipt.read_bytes() == statement
    assert kgen("receipts", "migrate") == Said(0, "", "nothing to migrate: 2 receipts are current\n")


def test_a_receipt_of_old_without_content_keeps_one_subject(receipt: Path) -> None:
    data = bare(receipt)
    del data["lock"]["content"]
    receipt.write_text(json.dumps(data))
    action.migrate(receipt.parents[3], [receipt])
    assert [row["name"] for row in parsed(receipt)["subject"]] == ["pylock.linux-64.toml"]
    jsonschema.validate(parsed(receipt), SCHEMA)


def test_migrating_what_is_no_receipt(receipt: Path, kgen: Callable[..., Said]) -> None:
    receipt.write_text('{"schema": 1}')
    done = kgen("receipts", "migrate", str(receipt))
    assert done.status == 2
    assert "environment: is missing" in done.err
    assert receipt.read_text() == '{"schema": 1}'


# -- signatures --------------------------------------------------------------------------------------------------------

KINDS: dict[str, Callable[[], PrivateKeyTypes]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("kind", KINDS)
def test_sign_and_verify(kgen: Callable[..., Said], tmp_path: Path, kind: str) -> None:
    mine = key(tmp_path, made=KINDS[kind]())
    signed = kgen("attest", "--key", str(mine.private))
    assert signed.status == 0, signed.err
    assert signed.out.count("signed by key sha256:") == 2
    done = kgen("verify", "--key", str(mine.public))
    assert done.status == 0, done.err
    assert [line.split()[-1] for line in done.out.splitlines()] == ["verified", "yes", "yes"]
    assert "it does not prove on which machine it was made" in done.err
    data = json.loads(kgen("verify", "--json", "--key", str(mine.public), "numpy-cpu").out)
    (one,) = data["receipts"]
    assert one["faults"] == []
    assert [signer["kind"] for signer in one["signers"]] == ["key"]


def test_an_envelope_is_what_other_tools_read(receipt: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    """DSSE with in-toto's payload type, over canonical JSON: checked without the library that made it."""
    private = ed25519.Ed25519PrivateKey.generate()
    kgen("attest", "numpy-cpu", "--key", str(key(tmp_path, made=private).private))
    envelope = json.loads(receipt.with_suffix(".dsse").read_text())
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    assert kind == "application/vnd.in-toto+json"
    assert json.loads(payload) == parsed(receipt)
    assert payload == rfc8785.dumps(json.loads(payload))
    said = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    private.public_key().verify(base64.b64decode(envelope["signatures"][0]["sig"]), said)


def test_two_people_sign_one_receipt(receipt: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    one, two = key(tmp_path, "one"), key(tmp_path, "two")
    for mine in (one, two, one):
        assert kgen("attest", str(receipt), "--key", str(mine.private)).status == 0
    assert len(json.loads(receipt.with_suffix(".dsse").read_text())["signatures"]) == 2
    for mine in (one, two):
        assert kgen("verify", str(receipt), "--key", str(mine.public)).status == 0
    both = kgen("verify", str(receipt), "--key", str(one.public), "--key", str(two.public), "--json")
    assert len(json.loads(both.out)["receipts"][0]["signers"]) == 2


def test_white_space_changes_no_signature(receipt: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    mine = key(tmp_path)
    kgen("attest", str(receipt), "--key", str(mine.private))
    receipt.write_text(json.dumps(dict(reversed(parsed(receipt).items()))))
    assert kgen("verify", str(receipt), "--key", str(mine.public)).status == 0


def forged(receipt: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = parsed(receipt)
    change(data)
    receipt.write_text(json.dumps(data))


def tampered_receipt(receipt: Path) -> None:
    forged(receipt, lambda data: data["predicate"][DETAIL].update(date="2026-11-22"))


def tampered_payload(receipt: Path) -> None:
    path = receipt.with_suffix(".dsse")
    envelope = json.loads(path.read_text())
    data = json.loads(base64.b64decode(envelope["payload"]))
    data["predicate"][DETAIL]["date"] = "2026-11-22"
    receipt.write_text(json.dumps(data))
    envelope["payload"] = base64.b64encode(signing.canonical(receipts.load(receipt))).decode()
    path.write_text(json.dumps(envelope))


def another_payload_type(receipt: Path) -> None:
    path = receipt.with_suffix(".dsse")
    path.write_text(path.read_text().replace("vnd.in-toto+json", "json"))


def no_envelope(receipt: Path) -> None:
    receipt.with_suffix(".dsse").write_text("[]")


def no_signature(receipt: Path) -> None:
    receipt.with_suffix(".dsse").unlink()


def empty_signatures(receipt: Path) -> None:
    path = receipt.with_suffix(".dsse")
    path.write_text(json.dumps({**json.loads(path.read_text()), "signatures": []}))


def another_lock(receipt: Path) -> None:
    """The lock installs something else since: its install set and its bytes are others."""
    lock = receipt.parents[1] / "pylock.linux-64.toml"
    lock.write_text(re.sub(r"[0-9a-f]{64}", "0" * 64, lock.read_text()))


def no_lock(receipt: Path) -> None:
    (receipt.parents[1] / "pylock.linux-64.toml").unlink()


def beside_another(receipt: Path) -> None:
    """The signature of one receipt beside another that is not signed."""
    other = receipt.parents[2] / "openvino-cpu/receipts/cpu.dsse"
    other.replace(receipt.with_suffix(".dsse"))


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (tampered_receipt, "cpu.dsse signs another receipt: this one was changed"),
        (tampered_payload, "cpu.dsse is not valid: no signature in it is by the given key"),
        (another_payload_type, "cpu.dsse is not valid: no signature in it is by the given key"),
        (no_envelope, "cpu.dsse is not valid: it is not a DSSE envelope"),
        (no_signature, "it is not signed by anybody whose signature counts"),
        (empty_signatures, "no signature in it is by the given key"),
        (another_lock, "it is about another lock than "),
        (no_lock, "there is no lock "),
        (beside_another, "cpu.dsse signs another receipt"),
    ],
)
def test_what_does_not_verify(
    receipt: Path, kgen: Callable[..., Said], tmp_path: Path, attack: Callable[[Path], None], words: str
) -> None:
    mine = key(tmp_path)
    kgen("attest", "--key", str(mine.private))
    assert kgen("verify", str(receipt), "--key", str(mine.public)).status == 0
    attack(receipt)
    done = kgen("verify", str(receipt), "--key", str(mine.public))
    assert done.status == 1
    assert words in done.err
    assert done.out.splitlines()[1].endswith("no")
    remedy = f"attest {receipt} --key key.pem" if attack is no_signature else "validate numpy-cpu"
    assert done.err.endswith(f"\n\nhint: kgen {remedy}\n")


@pytest.mark.parametrize(
    "words",
    [("verify", "numpy-cpu"), ("proven",), ("report",), ("solve", "numpy", "--cpu", "--proven")],
    ids=lambda words: words[0],
)
def test_a_key_that_is_not_there_is_no_key_that_signed_nothing(
    receipt: Path, kgen: Callable[..., Said], words: tuple[str, ...]
) -> None:
    assert receipt.is_file()
    done = kgen(*words, "--key", "gone.pub")
    assert (done.status, done.out) == (4, "")
    assert done.err.startswith("error: gone.pub cannot be read: No such file or directory\n")


def test_a_receipt_from_tomorrow_counts_for_nothing(
    project: Path, receipt: Path, kgen: Callable[..., Said], tmp_path: Path
) -> None:
    """It would be the newest for years; the date is that of the node, whose clock was wrong."""
    far = tmp_path / "nodes/far.json"
    far.parent.mkdir()
    far.write_bytes(receipt.read_bytes())
    ahead = (dt.datetime.now(dt.timezone.utc).date() + dt.timedelta(days=3)).isoformat()
    forged(far, lambda data: data["predicate"][DETAIL].update(date=ahead))
    found = action.collect(project, [str(far.parent), str(receipt)])
    assert [one.source for one in found.entries] == [str(receipt)]
    said = f"error: {far} does not count: it is dated {ahead}, in the future: a clock was wrong\n"
    for words in (("receipts", "list"), ("proven",)):
        done = kgen(*words, str(far.parent))
        assert done.status == 1
        assert said in done.err
    done = kgen("solve", "numpy", "--cpu", "--proven", "--proven-by", str(far.parent))
    assert f"note: {said.removeprefix('error: ')}" in done.err
    assert "no receipt saw it train on the CPU; solved without `--proven`\n" in done.err


def test_a_receipt_replayed_for_another_environment(project: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    """Receipt and signature are genuine, and moved to another lock; its own lock beside it does not help."""
    mine = key(tmp_path)
    lock = project / "locks/numpy-cpu/pylock.linux-64.toml"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    path = lock.parent / "receipts/cpu.json"
    forged(path, lambda data: data["subject"][0].update(digest={"sha256": digest}))
    kgen("attest", "numpy-cpu", "--key", str(mine.private))
    here, there = project / "locks/numpy-cpu", project / "locks/openvino-cpu"
    for name in ("cpu.json", "cpu.dsse"):
        shutil.copy(here / "receipts" / name, there / "receipts" / name)
    path = there / "receipts/cpu.json"
    done = kgen("verify", str(path), "--key", str(mine.public))
    assert done.status == 1
    assert f"it is about another lock than {there / 'pylock.linux-64.toml'}" in done.err
    shutil.copy(here / "pylock.linux-64.toml", there / "pylock.linux-64.toml")
    done = kgen("verify", str(path), "--key", str(mine.public))
    assert done.status == 1
    assert "it is about the environment numpy-cpu, and lies in the folder openvino-cpu" in done.err


def test_a_receipt_is_verified_against_a_lock_that_is_named(
    receipt: Path, kgen: Callable[..., Said], tmp_path: Path, project: Path
) -> None:
    mine = key(tmp_path)
    kgen("attest", str(receipt), "--key", str(mine.private))
    away = tmp_path / "away"
    away.mkdir()
    for name in ("cpu.json", "cpu.dsse"):
        shutil.copy(receipt.with_name(name), away / name)
    words = ("verify", str(away / "cpu.json"), "--key", str(mine.public))
    assert "name it: --lock FILE" in kgen(*words).err
    assert kgen(*words, "--lock", str(receipt.parents[1] / "pylock.linux-64.toml")).status == 0
    other = project / "locks/openvino-cpu/pylock.linux-64.toml"
    assert f"it is about another lock than {other}" in kgen(*words, "--lock", str(other)).err


def test_a_signature_by_somebody_else(receipt: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    mine, other = key(tmp_path), key(tmp_path, "other")
    kgen("attest", str(receipt), "--key", str(mine.private))
    done = kgen("verify", str(receipt), "--key", str(other.public))
    assert done.status == 1
    assert "no signature in it is by the given key: it was changed, or another key signed it" in done.err


def dated(receipt: Path, date: dt.date, mine: Key, kgen: Callable[..., Said]) -> None:
    forged(receipt, lambda data: data["predicate"][DETAIL].update(date=date.isoformat()))
    assert kgen("attest", str(receipt), "--key", str(mine.private)).status == 0


def test_a_receipt_expires_where_that_is_asked_for(receipt: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    mine = key(tmp_path)
    today = dt.datetime.now(dt.timezone.utc).date()
    words = ("verify", str(receipt), "--key", str(mine.public))
    dated(receipt, today - dt.timedelta(days=31), mine, kgen)
    assert kgen(*words).status == 0
    assert kgen(*words, "--max-age", "32").status == 0
    done = kgen(*words, "--max-age", "30")
    assert done.status == 1
    assert "it has expired: " in done.err
    assert kgen(*words, "--max-age", "soon").status == 2


def test_a_receipt_of_the_future_is_of_a_wrong_clock(receipt: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    mine = key(tmp_path)
    today = dt.datetime.now(dt.timezone.utc).date()
    words = ("verify", str(receipt), "--key", str(mine.public))
    dated(receipt, today + dt.timedelta(days=1), mine, kgen)
    assert kgen(*words).status == 0
    dated(receipt, today + dt.timedelta(days=3), mine, kgen)
    assert "in the future: a clock was wrong" in kgen(*words).err


def failed(data: dict[str, Any]) -> None:
    predicate = data["predicate"]
    predicate.update(result="FAILED", passedTests=[], failedTests=predicate["passedTests"])
    predicate[DETAIL]["steps"][0].update(verdict="failed", fault="will not import")


def test_a_genuine_failure_is_no_proof(receipt: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    mine = key(tmp_path)
    forged(receipt, failed)
    jsonschema.validate(parsed(receipt), SCHEMA)
    kgen("attest", str(receipt), "--key", str(mine.private))
    done = kgen("verify", str(receipt), "--key", str(mine.public))
    assert done.status == 1
    assert "it says that training failed" in done.err
    assert "key sha256:" in done.out


def test_an_encrypted_key(
    receipt: Path, kgen: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = key(tmp_path, password=b"open sesame")
    words = ("attest", str(receipt), "--key", str(mine.private))
    assert "is encrypted, and no password is given" in kgen(*words).err
    monkeypatch.setenv("KGEN_KEY_PASSWORD", "open barley")
    assert kgen(*words).status == 2
    monkeypatch.setenv("KGEN_KEY_PASSWORD", "open sesame")
    assert kgen(*words).status == 0
    assert kgen("verify", str(receipt), "--key", str(mine.public)).status == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("attest",), "`kgen attest` signs by a key or by Sigstore"),
        (("attest", "--key", "a", "--sigstore"), "not by both"),
        (("attest", "--key", "gone.pem"), "gone.pem cannot be read"),
        (("attest", "--key", "locks/numpy-cpu/receipts/cpu.json"), "is not a private key that can sign"),
        (("attest", "nothing", "--key", "a"), "there is neither a receipt nor an environment nothing"),
        (("attest", "--key", "a", "--identity-token", "t"), "`--identity-token` is for Sigstore"),
        (("attest", "--sigstore", "--identity-token", "no.token"), "the identity to sign with is not accepted"),
        (
            ("attest", "--sigstore", "--trust-config", "locks/numpy-cpu/receipts/cpu.json"),
            "is not a trust configuration",
        ),
        (("verify",), "no key and no identity says whose signatures count"),
        (("verify", "--issuer", "x"), "are for an identity"),
        (("verify", "--key", "locks/numpy-cpu/receipts/cpu.json"), "is not a public key in PEM"),
        (("receipts",), "`kgen receipts` needs an action: list, merge, export, migrate"),
        (("receipts", "merge"), "needs a folder to put them into"),
        (("receipts", "list", "gone"), "there is no folder or file gone"),
        (("proven", "numpy"), "hint: kgen validate numpy --list   # what is proven of an environment\n"),
        (("receipts", "list", "git:gone"), "there is no revision `gone`"),
        (("receipts", "list", "git:--help"), "there is no revision `--help`"),
    ],
)
def test_what_cannot_be_done_is_told(
    project: Path, kgen: Callable[..., Said], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    signature = project / "locks/numpy-cpu/receipts/cpu.dsse"
    if words[0] == "verify":
        kgen("attest", "--key", str(key(tmp_path).private))
        assert signature.exists()
    if "--sigstore" in words and "--identity-token" in words:
        words = (*words, "--trust-config", str(trust_config(tmp_path)))
    done = kgen(*words)
    assert done.status in {2, 4}
    assert said in done.err
    assert "\n\nhint: " in done.err
    assert "Traceback" not in done.err


def trust_config(folder: Path) -> Path:
    """A trust configuration of a Sigstore that has no services; enough for what fails before they are asked."""
    path = folder / "trust.json"
    path.write_text(
        json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
                "trustedRoot": {
                    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                    "tlogs": [],
                    "certificateAuthorities": [],
                    "ctlogs": [],
                    "timestampAuthorities": [],
                },
                "signingConfig": {
                    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                    "caUrls": [],
                    "oidcUrls": [],
                    "rekorTlogUrls": [],
                    "rekorTlogConfig": {"selector": "ANY"},
                    "tsaUrls": [],
                    "tsaConfig": {"selector": "ANY"},
                },
            }
        )
    )
    return path


def test_verifying_needs_a_public_key(receipt: Path, kgen: Callable[..., Said], tmp_path: Path) -> None:
    mine = key(tmp_path)
    kgen("attest", str(receipt), "--key", str(mine.private))
    done = kgen("verify", str(receipt), "--key", str(mine.private))
    assert done.status == 2
    assert "is a private key; `--key` needs that of the signer" in done.err
    assert f"hint: openssl pkey -in {mine.private} -pubout -out key.pub\n" in done.err


def test_without_the_extra_it_is_named(receipt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc8785", None)
    with pytest.raises(UsageError) as caught:
        signing.canonical(receipts.load(receipt))
    assert caught.value.hints == ("pip install 'keras-kgen[sign]'",)


# -- many --------------------------------------------------------------------------------------------------------------


def many(folder: Path, receipt: Path, count: int) -> None:
    """So many receipts that differ, as nodes leave them."""
    data = parsed(receipt)
    for number in range(count):
        one = copy.deepcopy(data)
        one["predicate"][DETAIL]["steps"][0]["seconds"]["step"] = number / 1000
        path = folder / f"node{number // 100}" / f"{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(one))


def test_thousands_of_receipts_are_read_once(
    receipt: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "many"
    many(folder, receipt, 3000)
    first = action.collect(project, [str(folder)])
    assert len(first.entries) == 3000

    def parse(*_: object) -> NoReturn:
        raise AssertionError("the index has it")

    monkeypatch.setattr(receipts, "parse", parse)
    assert action.collect(project, [str(folder)]) == first


def test_the_index_is_a_cache(receipt: Path, project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    many(folder, receipt, 20)
    index = tmp_path / "cache/receipts.sqlite"
    before = action.collect(project, [str(folder)])
    assert index.is_file()
    assert action.collect(project, [str(folder)]) == before
    for damage in (index.unlink, lambda: index.write_bytes(b"no data base at all" * 100)):
        damage()
        assert action.collect(project, [str(folder)]) == before
        assert action.collect(project, [str(folder)]) == before
    # a file that changes is read again, and one that goes is gone
    path = folder / "node0/7.json"
    forged(path, lambda data: data["predicate"][DETAIL].update(date="2026-11-20"))
    after = action.collect(project, [str(folder)])
    assert [one.date for one in after.entries].count("2026-11-20") == 1
    path.unlink()
    assert len(action.collect(project, [str(folder)]).entries) == 19


def test_without_a_place_for_the_index(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KGEN_CACHE_DIR", str(tmp_path / "file" / "cache"))
    told: list[str] = []
    found = action.collect(project, report=told.append)
    assert [one.environment for one in found.entries] == ["numpy-cpu", "openvino-cpu"]
    assert "the receipts are read without it" in told[0]


def test_list_tells_what_is_none(receipt: Path, project: Path, kgen: Callable[..., Said]) -> None:
    forged(receipt, lambda data: data["predicate"][DETAIL].update(schema=9))
    (project / "locks/other.json").write_text('{"not": "a receipt"}')
    done = kgen("receipts", "list")
    assert done.status == 1
    assert [line.split()[0] for line in done.out.splitlines()] == ["environment", "openvino-cpu"]
    assert "schema: is 9, and this kgen reads 2" in done.err
    assert "other.json" not in done.err
    data = json.loads(kgen("receipts", "list", "--json").out)
    assert [one["verdict"] for one in data["receipts"]] == ["passed"]
    assert len(data["skipped"]) == 1


def test_merge_is_idempotent_and_keeps_every_receipt(
    receipt: Path, project: Path, tmp_path: Path, kgen: Callable[..., Said]
) -> None:
    many(tmp_path / "many", receipt, 5)
    target = tmp_path / "collected"
    words = ("receipts", "merge", "locks", str(tmp_path / "many"), "-o", str(target))
    assert kgen(*words).out == f"{target}: 7 new, 0 there already\n"
    assert kgen(*words).out == f"{target}: 0 new, 7 there already\n"
    assert len(list((target / "numpy-cpu").glob("cpu-*.json"))) == 6
    sources = [str(project / "locks"), str(tmp_path / "many"), str(target)]
    assert len(action.collect(project, sources).entries) == 7


@pytest.mark.usefixtures("project")
def test_export_is_lines_of_statements(kgen: Callable[..., Said]) -> None:
    lines = [json.loads(line) for line in kgen("receipts", "export").out.splitlines()]
    assert len(lines) == 2
    for line in lines:
        jsonschema.validate(line, SCHEMA)


def test_receipts_of_a_revision(receipt: Path, project: Path, tmp_path: Path) -> None:
    shutil.rmtree(project / ".git")

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=project, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-qm", "one")
    before = action.collect(project)
    receipt.unlink()
    found = action.collect(project, ["git:HEAD"])
    assert [one.digest for one in found.entries] == [one.digest for one in before.entries]
    assert action.collect(project, ["git:HEAD"]) == found  # from the index
    assert found.entries[0].source == "HEAD:locks/numpy-cpu/receipts/cpu.json"
    # a blob that is not text does not move those behind it
    (receipt.parent / "a.json").write_bytes(b'{"schema": 1, "as_locked": "\xff"}')
    git("add", ".")
    git("-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-qm", "two")
    (tmp_path / "cache/receipts.sqlite").unlink()
    found = action.collect(project, ["git:HEAD", "git:HEAD~1"])
    assert len(found.entries) == 2
    assert len(found.skipped) == 1


def test_a_folder_that_cannot_be_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(KgenError) as caught:
        action.collect(project)
    assert caught.value.message.endswith("cannot be read: Permission denied")


# -- the page about them -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("project")
def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    """In the order in which they stand there, in a project with two locks."""
    text = (Path(__file__).resolve().parents[1] / "docs/reference/receipts.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eu", "-c", "".join(blocks)],
        env={**os.environ, "PATH": path, "KGEN_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "numpy-cpu" in done.stdout


def test_the_page_says_what_is_in_the_code() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs/reference/receipts.md").read_text(encoding="utf-8")
    for said in (receipts.STATEMENT, receipts.PREDICATE, DETAIL, receipts.INSTALL_SET, receipts.STEP_PROGRAM):
        assert said in text
