"""A Sigstore of the tests' own: an authority like Fulcio, its certificate log, and a log like Rekor.

What it makes is what Sigstore's own verifier takes for a bundle, given the trust configuration that it writes.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.loopback import Handler, Server, running

_SCTS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_LIFE = dt.timedelta(minutes=10)
PAYLOAD_TYPE = "application/vnd.in-toto+json"
ISSUER = "https://issuer.example.com"


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


class _Key:
    """A key on P-256, and what names it."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.name = hashlib.sha256(self.public).digest()

    def sign(self, content: bytes) -> bytes:
        return self.private.sign(content, ec.ECDSA(hashes.SHA256()))

    def instance(self) -> dict[str, Any]:
        """The key as that of a log in a trusted root."""
        return {
            "baseUrl": "https://log.example.com",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": _b64(self.public),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": "2020-01-01T00:00:00Z"},
            },
            "logId": {"keyId": _b64(self.name)},
        }


class Authority:
    """Certifies whoever asks, and logs what they sign."""

    def __init__(self) -> None:
        self._root, self._certificates, self._log = _Key(), _Key(), _Key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of the tests")])
        usage = x509.KeyUsage(*(at == 5 for at in range(9)))
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._root.private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc))
            .not_valid_after(dt.datetime(2099, 1, 1, tzinfo=dt.timezone.utc))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._root.private.public_key()), critical=False)
            .sign(self._root.private, hashes.SHA256())
        )

    def write_config(self, path: Path, url: str | None = None) -> Path:
        """Writes the trust configuration that believes this authority.

        Args:
            path: where.
            url: where its services are; None if there are none.
        """
        root = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self._log.instance()],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "tests", "commonName": "authority of the tests"},
                    "uri": "https://authority.example.com",
                    "certChain": {"certificates": [{"rawBytes": _b64(self._certificate.public_bytes(Encoding.DER))}]},
                    "validFor": {"start": "2020-01-01T00:00:00Z"},
                }
            ],
            "ctlogs": [self._certificates.instance()],
            "timestampAuthorities": [],
        }
        services = {
            "url": url,
            "majorApiVersion": 1,
            "operator": "tests",
            "validFor": {"start": "2020-01-01T00:00:00Z"},
        }
        signing = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [services] if url else [],
            "oidcUrls": [],
            "rekorTlogUrls": [services] if url else [],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": [],
            "tsaConfig": {"selector": "ANY"},
        }
        kind = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
        path.write_text(json.dumps({"mediaType": kind, "trustedRoot": root, "signingConfig": signing}))
        return path

    def bundle(
        self, payload: bytes, identity: str, *, issuer: str = ISSUER, late: dt.timedelta = dt.timedelta()
    ) -> dict[str, Any]:
        """A bundle in which an identity signs a payload.

        Args:
            payload: what is signed.
            identity: an address.
            issuer: who knows the address.
            late: how long after the certificate was given out it was logged.
        """
        now = dt.datetime(2026, 11, 21, 12, tzinfo=dt.timezone.utc)
        key = _Key()
        certificate = self._certified(key.private.public_key(), identity, issuer, now)
        said = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload
        signature = key.sign(said)
        envelope = {"payload": _b64(payload), "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": _b64(signature)}]}
        verifier = _b64(certificate.public_bytes(Encoding.PEM))
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": _b64(certificate.public_bytes(Encoding.DER))},
                "tlogEntries": [self._logged(payload, envelope, _b64(signature), verifier, now + late)],
            },
            "dsseEnvelope": envelope,
        }

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """The services on loopback, which believe every token; gives their address."""
        authority = self

        class Services(Handler):
            def do_POST(self) -> None:  # noqa: N802 - as the server calls it
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.endswith("signingCert"):
                    claims = self.headers["Authorization"].removeprefix("Bearer ").split(".")[1]
                    answer = authority.answer_request(asked, json.loads(base64.urlsafe_b64decode(claims + "==")))
                else:
                    answer = authority.answer_entry(asked)
                self.send(201, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        with running(Server(Services)) as server:
            yield server.root

    def answer_request(self, asked: Any, claims: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """What Fulcio answers to a request for a certificate."""
        request = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"]))
        key = request.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
        leaf = self._certified(key, claims["sub"], claims["iss"], now)
        chain = [one.public_bytes(Encoding.PEM).decode() for one in (leaf, self._certificate)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def answer_entry(self, asked: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """What Rekor answers to an entry that is proposed."""
        content = asked["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        payload = base64.b64decode(envelope["payload"])
        now = dt.datetime.now(dt.timezone.utc)
        entry = self._logged(payload, envelope, envelope["signatures"][0]["sig"], content["verifiers"][0], now)
        proof = entry["inclusionProof"]
        return {
            "0" * 80: {
                "body": entry["canonicalizedBody"],
                "integratedTime": int(entry["integratedTime"]),
                "logID": self._log.name.hex(),
                "logIndex": 0,
                "verification": {
                    "signedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
                    "inclusionProof": {
                        "checkpoint": proof["checkpoint"]["envelope"],
                        "hashes": [],
                        "logIndex": 0,
                        "rootHash": base64.b64decode(proof["rootHash"]).hex(),
                        "treeSize": 1,
                    },
                },
            }
        }

    def _certified(
        self, key: ec.EllipticCurvePublicKey, identity: str, issuer: str, now: dt.datetime
    ) -> x509.Certificate:
        serial = x509.random_serial_number()

        def certificate(scts: bytes) -> x509.Certificate:
            return (
                x509.CertificateBuilder()
                .subject_name(x509.Name([]))
                .issuer_name(self._certificate.subject)
                .public_key(key)
                .serial_number(serial)
                .not_valid_before(now)
                .not_valid_after(now + _LIFE)
                .add_extension(x509.KeyUsage(*(at == 0 for at in range(9))), critical=True)
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
                .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(identity)]), critical=True)
                .add_extension(
                    x509.AuthorityKeyIdentifier.from_issuer_public_key(self._root.private.public_key()), critical=False
                )
                .add_extension(x509.UnrecognizedExtension(_ISSUER, issuer.encode()), critical=False)
                .add_extension(x509.UnrecognizedExtension(_SCTS, scts), critical=False)
                .sign(self._root.private, hashes.SHA256())
            )

        # the log signs the certificate without what it says about it
        body = certificate(self._scts(now, b"\0" * 70)).tbs_precertificate_bytes
        at = int(now.timestamp() * 1000)
        signed = struct.pack("!BBQH", 0, 0, at, 1) + self._root.name + len(body).to_bytes(3, "big") + body + b"\0\0"
        return certificate(self._scts(now, self._certificates.sign(signed)))

    def _scts(self, now: dt.datetime, signature: bytes) -> bytes:
        one = struct.pack(
            "!B32sQHBBH", 0, self._certificates.name, int(now.timestamp() * 1000), 0, 4, 3, len(signature)
        )
        one += signature
        listed = struct.pack("!HH", len(one) + 2, len(one)) + one
        assert len(listed) < 128, "or its length is written otherwise"
        return b"\x04" + bytes([len(listed)]) + listed

    def _logged(
        self, payload: bytes, envelope: dict[str, Any], signature: str, verifier: str, at: dt.datetime
    ) -> dict[str, Any]:
        def digest(content: bytes) -> dict[str, str]:
            return {"algorithm": "sha256", "value": hashlib.sha256(content).hexdigest()}

        spec: Any = {
            "envelopeHash": digest(json.dumps(envelope).encode()),
            "payloadHash": digest(payload),
            "signatures": [{"signature": signature, "verifier": verifier}],
        }
        body = rfc8785.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        root = hashlib.sha256(b"\0" + body).digest()
        seconds = int(at.timestamp())
        promise: Any = {"body": _b64(body), "integratedTime": seconds, "logID": self._log.name.hex(), "logIndex": 0}
        note = f"log.example.com - 1\n1\n{_b64(root)}\n"
        signed = _b64(self._log.name[:4] + self._log.sign(note.encode()))
        return {
            "logIndex": "0",
            "logId": {"keyId": _b64(self._log.name)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(seconds),
            "inclusionPromise": {"signedEntryTimestamp": _b64(self._log.sign(rfc8785.dumps(promise)))},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": _b64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\u2014 log.example.com {signed}\n"},
            },
            "canonicalizedBody": _b64(body),
        }
