"""Signatures of receipts: DSSE envelopes by a key, and Sigstore bundles. Only this module makes and verifies them.

kgen signs the receipt's Statement as canonical JSON (RFC 8785), so white space and the order of keys in the file do not
matter. Signatures are files beside the receipt: `cpu.dsse`, `cpu.sigstore`. The libraries come with kgen's extra
`sign`; only this module imports them.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from kgen import files
from kgen.errors import KgenError, MissingExtraError, UnreachableError, UsageError
from kgen.model.grammar import shown
from kgen.model.trust import Trust
from kgen.validation import receipts

INSTALL = "pip install 'keras-kgen[sign]'"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BY_KEY, BY_IDENTITY = ".dsse", ".sigstore"

_KEY_HINTS = ("openssl genpkey -algorithm ed25519 -out key.pem", "openssl pkey -in key.pem -pubout -out key.pub")


class BadSignature(Exception):  # noqa: N818 - it is a finding, which a command reports among others
    """An invalid signature; the text says why."""


class OtherPayload(BadSignature):
    """A valid signature of something else."""


class Signer(NamedTuple):
    """A signer.

    Attributes:
        kind: `key` or `identity`.
        name: the digest of the key, or the identity.
    """

    kind: str
    name: str


def canonical(data: Mapping[str, Any]) -> bytes:
    """The bytes of a receipt that are signed.

    Raises:
        UsageError: the library is missing, or a number cannot be written canonically.
    """
    import_of("rfc8785")
    import rfc8785  # noqa: PLC0415 - of the extra

    try:
        return rfc8785.dumps(receipts.statement(data))
    except rfc8785.CanonicalizationError as error:
        raise UsageError(f"the receipt cannot be signed: {error}", hints=["kgen validate"]) from None


def place_of(receipt: Path, ending: str) -> Path:
    """The path of a receipt's signature."""
    return receipt.with_suffix(ending)


def import_of(name: str) -> ModuleType:
    """Import a module of the extra `sign`.

    Raises:
        MissingExtraError: it cannot be imported.
    """
    import importlib  # noqa: PLC0415 - only here

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"signing needs {name}, which cannot be imported: {error}", hints=[INSTALL]) from None


def endings_of(trust: Trust) -> tuple[str, ...]:
    """The endings of the signature files that can count."""
    return (*((BY_KEY,) if trust.keys else ()), *((BY_IDENTITY,) if trust.identities else ()))


def require_keys(trust: Trust) -> None:
    """Check that every key file exists and has a public key, as a missing key would go unnoticed.

    Raises:
        UsageError: a file has no public key, or a library is missing.
        OutsideError: a file cannot be read.
    """
    for path in trust.keys:
        _public_key(path)


def signers_of(content: bytes, ending: str, payload: bytes, trust: Trust) -> tuple[Signer, ...]:
    """The trusted signers of a payload.

    Args:
        content: the content of a signature file.
        ending: the ending of its name: :data:`BY_KEY` or :data:`BY_IDENTITY`.
        payload: the bytes that must have been signed.
        trust: the keys and identities whose signatures count.

    Raises:
        OtherPayload: they signed something else.
        BadSignature: none of them signed, or the file is not a signature file.
        UsageError: a key file has no public key, or a library is missing.
        OutsideError: a key, or Sigstore's own keys, cannot be read.
    """
    if ending == BY_KEY:
        signed, found = verify_with_keys(content, trust.keys)
    else:
        signed, found = _verify_with_identities(content, trust)
    if signed != payload:
        raise OtherPayload("it signs another receipt")
    return found


def _verify_with_identities(content: bytes, trust: Trust) -> tuple[bytes, tuple[Signer, ...]]:
    """The payload of a bundle, and the identity that signed it; a bundle has one signer."""
    fault = BadSignature("no identity is given")
    for identity in trust.identities:
        try:
            signed = verify_with_identity(content, identity, trust.issuer, trust.config)
        except BadSignature as error:
            fault = error
        else:
            return signed, (Signer("identity", identity),)
    raise fault


# -- by key ------------------------------------------------------------------------------------------------------------


def sign_with_key(payload: bytes, key: Path, password: str | None, before: bytes | None) -> tuple[bytes, Signer]:
    """Sign with a private key, into an envelope.

    Args:
        payload: the bytes to sign.
        key: a file with the key, in PEM.
        password: the password of the key; None if it has none.
        before: an existing envelope, whose signatures stay if it has the same payload.

    Raises:
        UsageError: the file has no private key that can sign, or a library is missing.
        OutsideError: the file cannot be read.
    """
    import_of("securesystemslib")
    serialization = import_of("cryptography.hazmat.primitives.serialization")
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - of the extra
    from securesystemslib.signer import CryptoSigner  # noqa: PLC0415 - as above

    content = _read(key)
    try:
        private = serialization.load_pem_private_key(content, None if password is None else password.encode())
        signer = CryptoSigner(private)
    except TypeError:
        needs = "is encrypted, and no password is given" if password is None else "is not encrypted, and a password is"
        raise UsageError(f"{key} {needs}", hints=["set or unset KGEN_KEY_PASSWORD"]) from None
    except ValueError:
        raise UsageError(f"{key} is not a private key that can sign, in PEM", hints=_KEY_HINTS) from None
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    if before is not None:
        try:
            old = _envelope(before)
        except BadSignature:
            old = envelope
        if (old.payload, old.payload_type) == (payload, PAYLOAD_TYPE):
            envelope = old
    envelope.sign(signer)
    text = json.dumps(envelope.to_dict(), indent=2, sort_keys=True) + "\n"
    return text.encode(), Signer("key", _key_name(private.public_key()))


def verify_with_keys(envelope: bytes, keys: Sequence[Path]) -> tuple[bytes, tuple[Signer, ...]]:
    """The payload of an envelope, and which of these keys signed it.

    Raises:
        BadSignature: none of the keys signed it, or it is not an envelope.
        UsageError: a file has no public key, or a library is missing.
        OutsideError: a file cannot be read.
    """
    import_of("securesystemslib")
    from securesystemslib.exceptions import UnverifiedSignatureError  # noqa: PLC0415 - of the extra
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415 - as above

    found = _envelope(envelope)
    signed = []
    for path in keys:
        public = _public_key(path)
        try:
            key = SSlibKey.from_crypto(public)
        except ValueError:
            raise UsageError(f"{path}: kgen cannot verify with a key of this kind", hints=_KEY_HINTS) from None
        # the name of a key in an envelope is only a hint, so each signature is tried
        for signature in found.signatures.values():
            try:
                key.verify_signature(_named(signature, key.keyid), found.pae())
            except UnverifiedSignatureError:
                continue
            signed.append(Signer("key", _key_name(public)))
            break
    if not signed:
        raise BadSignature("no signature in it is by the given key: it was changed, or another key signed it")
    if found.payload_type != PAYLOAD_TYPE:
        raise BadSignature(f"it holds `{shown(found.payload_type)}`, and a receipt is `{PAYLOAD_TYPE}`")
    payload: bytes = found.payload
    return payload, tuple(dict.fromkeys(signed))


def joined(envelopes: Sequence[bytes]) -> bytes:
    """The first envelope, with the signatures of all that have the same payload. It verifies none of them."""
    try:
        found = [json.loads(one) for one in envelopes]
        first = found[0]
        rows = [row for one in found if one["payload"] == first["payload"] for row in one["signatures"]]
        distinct = {(row.get("keyid"), row["sig"]): row for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return envelopes[0]
    if list(distinct.values()) == first["signatures"]:
        return envelopes[0]
    return (json.dumps({**first, "signatures": list(distinct.values())}, indent=2, sort_keys=True) + "\n").encode()


def _named(signature: Any, keyid: str) -> Any:  # noqa: ANN401 - the library has no types
    from securesystemslib.signer import Signature  # noqa: PLC0415 - of the extra

    return Signature(keyid, signature.signature)


def _envelope(content: bytes) -> Any:  # noqa: ANN401 - the library has no types
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - of the extra
    from securesystemslib.exceptions import Error  # noqa: PLC0415 - as above

    try:
        found = Envelope.from_dict(json.loads(content))
        found.pae()  # fails if the payload type is not text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Error):
        raise BadSignature("it is not a DSSE envelope") from None
    return found


def _public_key(path: Path) -> Any:  # noqa: ANN401 - of one of several libraries' kinds
    serialization = import_of("cryptography.hazmat.primitives.serialization")
    content = _read(path)
    try:
        return serialization.load_pem_public_key(content)
    except ValueError:
        private = b"PRIVATE KEY-----" in content
        quoted = shlex.quote(str(path))
        raise UsageError(
            f"{path} is {'a private key' if private else 'not a public key in PEM'}; `--key` needs that of the signer",
            hints=[f"openssl pkey -in {quoted} -pubout -out key.pub" if private else _KEY_HINTS[1]],
        ) from None


def _key_name(public: Any) -> str:  # noqa: ANN401 - as above
    serialization = import_of("cryptography.hazmat.primitives.serialization")
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(serialization.Encoding.DER, info)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return files.read(path, files.SMALL)
    except OSError as error:
        raise files.unreadable(path, error) from error


# -- by identity -------------------------------------------------------------------------------------------------------


def sign_with_identity(payload: bytes, token: str | None, config: Path | None) -> tuple[bytes, Signer]:
    """Sign with an identity through Sigstore, into a bundle that says who signed, and when.

    Args:
        payload: the bytes to sign.
        token: an OpenID Connect token; None for the one in the environment, as in CI, or else a login in a browser.
        config: a file that names authority, log and keys; None for Sigstore's public instance.

    Raises:
        UsageError: the token is not accepted, or a library is missing.
        OutsideError: the authority or the log refused, or does not answer.
    """
    import_of("sigstore")
    from sigstore.dsse import Statement  # noqa: PLC0415 - of the extra
    from sigstore.oidc import ExpiredIdentity, IdentityError, IdentityToken, Issuer, IssuerError, detect_credential  # noqa: PLC0415 - as above  # noqa: PLC0415 - as above
    from sigstore.sign import SigningContext  # noqa: PLC0415 - as above

    try:
        trust = _trust(config, offline=False)
        raw = token or detect_credential()
        identity = IdentityToken(raw) if raw else Issuer(trust.signing_config.get_oidc_url()).identity_token()
        with SigningContext.from_trust_config(trust).signer(identity) as signer:
            bundle = signer.sign_dsse(Statement(payload))
    except (IdentityError, IssuerError, ExpiredIdentity) as error:
        said = " ".join(str(error).split()) or "it has expired"
        raise UsageError(
            f"the identity to sign with is not accepted: {shown(said)}", hints=["kgen attest --identity-token TOKEN"]
        ) from None
    except KgenError:
        raise
    except Exception as error:  # noqa: BLE001 - the library does not document the exceptions of its clients
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnreachableError(
            f"Sigstore did not sign: {shown(said)}", hints=["sign with a key: kgen attest --key FILE"]
        ) from None
    return (bundle.to_json() + "\n").encode(), Signer("identity", identity.identity)


def verify_with_identity(bundle: bytes, identity: str, issuer: str | None, config: Path | None) -> bytes:
    """The payload of a bundle, if this identity signed it. It works offline.

    Raises:
        BadSignature: the identity did not sign it, or not while its certificate was valid.
        UsageError: the trust configuration is invalid, or a library is missing.
        OutsideError: Sigstore's own keys are not on this machine.
    """
    import_of("sigstore")
    from sigstore.errors import Error  # noqa: PLC0415 - of the extra
    from sigstore.models import Bundle  # noqa: PLC0415 - as above
    from sigstore.verify import Verifier  # noqa: PLC0415 - as above
    from sigstore.verify.policy import Identity  # noqa: PLC0415 - as above

    try:
        found = Bundle.from_json(bundle)
    except (ValueError, Error) as error:
        raise BadSignature(f"it is not a bundle of Sigstore: {_first_line(error)}") from None
    try:
        trust = _trust(config, offline=True)
    except Error as error:
        raise UnreachableError(
            f"Sigstore's keys cannot be read: {_first_line(error)}",
            hints=["kgen verify --trust-config FILE, with the keys of your authority"],
        ) from None
    try:
        kind, payload = Verifier(trusted_root=trust.trusted_root).verify_dsse(
            found, Identity(identity=identity, issuer=issuer)
        )
    except (ValueError, Error) as error:
        raise BadSignature(_first_line(error)) from None
    if kind != PAYLOAD_TYPE:
        raise BadSignature(f"it holds `{shown(kind)}`, and a receipt is `{PAYLOAD_TYPE}`")
    return payload


def _trust(config: Path | None, *, offline: bool) -> Any:  # noqa: ANN401 - of the extra
    from sigstore.models import ClientTrustConfig  # noqa: PLC0415 - of the extra

    if config is None:
        return ClientTrustConfig.production(offline=offline)
    content = _read(config)
    try:
        return ClientTrustConfig.from_json(content.decode())
    except ValueError as error:
        raise UsageError(
            f"{config} is not a trust configuration of Sigstore: {_first_line(error)}",
            hints=["leave `--trust-config` out for Sigstore's public authority"],
        ) from None


def _first_line(error: Exception) -> str:
    return shown(next(iter(str(error).splitlines()), type(error).__name__))
