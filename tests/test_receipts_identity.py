"""Receipts that somebody signed as an identity of Sigstore, verified offline against an authority of the tests' own."""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.sigstore_authority import ISSUER, Authority
from tests.test_receipts import Said, forged, kgen, project, receipt

from kgen.validation import receipts, signing
from kgen.validation.receipts import DETAIL

__all__ = ["kgen", "project", "receipt"]

WHO = "ada@example.com"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def config(authority: Authority, tmp_path: Path) -> str:
    return str(authority.write_config(tmp_path / "trust.json"))


@pytest.fixture
def signed(authority: Authority, receipt: Path) -> dict[str, Any]:
    bundle = authority.bundle(signing.canonical(receipts.load(receipt)), WHO)
    place(receipt, bundle)
    return bundle


def place(path: Path, bundle: dict[str, Any]) -> None:
    path.with_suffix(".sigstore").write_text(json.dumps(bundle))


@pytest.mark.usefixtures("signed")
def test_an_identity_is_verified(receipt: Path, kgen: Callable[..., Said], config: str) -> None:
    words = ("verify", str(receipt), "--trust-config", config)
    for who in (("--identity", WHO), ("--identity", WHO, "--issuer", ISSUER)):
        done = kgen(*words, *who)
        assert done.status == 0, done.err
        assert f"  {WHO}  " in done.out
    assert kgen(*words, "--identity", "eve@example.com").status == 1
    other = kgen(*words, "--identity", WHO, "--issuer", "https://other.example.com")
    assert other.status == 1
    assert "cpu.sigstore is not valid: " in other.err


@pytest.mark.usefixtures("signed")
def test_a_receipt_that_was_changed(receipt: Path, kgen: Callable[..., Said], config: str) -> None:
    forged(receipt, lambda data: data["predicate"][DETAIL].update(date="2026-11-22"))
    done = kgen("verify", str(receipt), "--identity", WHO, "--trust-config", config)
    assert done.status == 1
    assert "cpu.sigstore signs another receipt: this one was changed" in done.err


def another_payload(bundle: dict[str, Any]) -> None:
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(b"{}").decode()


def another_signature(bundle: dict[str, Any]) -> None:
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(b"x" * 70).decode()


def another_time(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = "1795262461"


def not_logged(bundle: dict[str, Any]) -> None:
    del bundle["verificationMaterial"]["tlogEntries"][0]


def another_log(bundle: dict[str, Any]) -> None:
    proof = bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
    proof["rootHash"] = base64.b64encode(b"x" * 32).decode()


@pytest.mark.parametrize("change", [another_payload, another_signature, another_time, not_logged, another_log])
def test_a_bundle_that_was_changed(
    receipt: Path, kgen: Callable[..., Said], config: str, signed: dict[str, Any], change: Callable[..., None]
) -> None:
    change(signed)
    place(receipt, signed)
    done = kgen("verify", str(receipt), "--identity", WHO, "--trust-config", config)
    assert done.status == 1
    assert "error: " in done.err
    assert "cpu.sigstore is not valid: " in done.err


def test_a_certificate_that_had_expired(
    receipt: Path, kgen: Callable[..., Said], config: str, authority: Authority
) -> None:
    payload = signing.canonical(receipts.load(receipt))
    words = ("verify", str(receipt), "--identity", WHO, "--trust-config", config)
    place(receipt, authority.bundle(payload, WHO, late=dt.timedelta(minutes=9)))
    assert kgen(*words).status == 0
    place(receipt, authority.bundle(payload, WHO, late=dt.timedelta(minutes=11)))
    done = kgen(*words)
    assert done.status == 1
    assert "cpu.sigstore is not valid: " in done.err


def test_another_authority_counts_for_nothing(receipt: Path, kgen: Callable[..., Said], config: str) -> None:
    place(receipt, Authority().bundle(signing.canonical(receipts.load(receipt)), WHO))
    assert kgen("verify", str(receipt), "--identity", WHO, "--trust-config", config).status == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"mediaType": 7}', "\x00"])
def test_what_is_no_bundle(receipt: Path, kgen: Callable[..., Said], config: str, text: str) -> None:
    receipt.with_suffix(".sigstore").write_text(text)
    done = kgen("verify", str(receipt), "--identity", WHO, "--trust-config", config)
    assert done.status == 1
    assert "cpu.sigstore is not valid: it is not a bundle of Sigstore" in done.err


def test_an_identity_replayed_for_another_lock(
    receipt: Path, kgen: Callable[..., Said], config: str, signed: dict[str, Any]
) -> None:
    other = receipt.parents[2] / "openvino-cpu/receipts/cpu.json"
    place(other, signed)
    done = kgen("verify", str(other), "--identity", WHO, "--trust-config", config)
    assert done.status == 1
    assert "cpu.sigstore signs another receipt" in done.err


def token(who: str, *, until: float) -> str:
    """A token as OpenID Connect has it; signed by nobody, as the services of the tests look at no signature."""
    claims = {"aud": "sigstore", "sub": who, "iss": ISSUER, "iat": int(time.time()), "exp": int(until)}
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts]
    return ".".join([*encoded, base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")])


def test_signing_and_verifying(receipt: Path, kgen: Callable[..., Said], authority: Authority, tmp_path: Path) -> None:
    with authority.serving() as url:
        config = str(authority.write_config(tmp_path / "trust.json", url))
        mine = token(WHO, until=time.time() + 60)
        done = kgen("attest", str(receipt), "--sigstore", "--identity-token", mine, "--trust-config", config)
        assert done.status == 0, done.err
        assert done.out == f"{receipt.with_suffix('.sigstore')}: signed by {WHO}\n"
        assert mine not in receipt.with_suffix(".sigstore").read_text()
    # the services are gone, and nobody is asked
    verified = kgen("verify", str(receipt), "--identity", WHO, "--issuer", ISSUER, "--trust-config", config)
    assert verified.status == 0, verified.err
    # the receipt itself did not change
    assert receipts.render(receipts.load(receipt)) == receipt.read_bytes()


def test_an_identity_that_has_expired_signs_nothing(
    receipt: Path, kgen: Callable[..., Said], authority: Authority, tmp_path: Path
) -> None:
    config = str(authority.write_config(tmp_path / "trust.json", "http://127.0.0.1:9"))
    words = ("attest", str(receipt), "--sigstore", "--trust-config", config, "--identity-token")
    done = kgen(*words, token(WHO, until=time.time() - 60))
    assert done.status == 2
    assert "the identity to sign with is not accepted: " in done.err
    assert not receipt.with_suffix(".sigstore").exists()


def test_services_that_are_not_there_or_refuse(
    receipt: Path, kgen: Callable[..., Said], authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt(url: str) -> Said:
        config = str(authority.write_config(tmp_path / "trust.json", url))
        mine = token(WHO, until=time.time() + 60)
        return kgen("attest", str(receipt), "--sigstore", "--trust-config", config, "--identity-token", mine)

    def refuse(*_: object) -> dict[str, Any]:
        return {"message": "no"}

    gone = attempt("http://127.0.0.1:9")
    with authority.serving() as url:
        monkeypatch.setattr(authority, "answer_entry", refuse)
        refused = attempt(url)
        monkeypatch.setattr(authority, "answer_request", refuse)
        uncertified = attempt(url)
    for done in (gone, refused, uncertified):
        assert done.status == 4, done.err
        assert "error: Sigstore did not sign: " in done.err
        assert done.err.endswith("\n\nhint: sign with a key: kgen attest --key FILE\n")
    assert not receipt.with_suffix(".sigstore").exists()
