"""Sign receipts, and verify signed receipts. Signing is separate, so that a machine that validates needs no key."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kgen import files, lockfiles, storage
from kgen.errors import KgenError, NotLockedError, UsageError
from kgen.model import grammar
from kgen.model.trust import NOBODY, Trust
from kgen.validation import receipts, signing
from kgen.validation.signing import BadSignature, OtherPayload, Signer

_UNSIGNED = "it is not signed by anybody whose signature counts"


class SignOptions(NamedTuple):
    """How to sign: with a key, or with an identity through Sigstore.

    Attributes:
        key: a file with a private key; None for Sigstore.
        password: the password of the key.
        token: an identity token for Sigstore; None to detect one in the environment.
        config: a file that names the Sigstore instance; None for the public one.
    """

    key: Path | None = None
    password: str | None = None
    token: str | None = None
    config: Path | None = None


class Attested(NamedTuple):
    """A signed receipt.

    Attributes:
        receipt: the receipt's file.
        signature: the signature's file, beside the receipt.
        signer: the signer.
        verdict: the receipt's verdict: `passed` or `failed`.
    """

    receipt: Path
    signature: Path
    signer: Signer
    verdict: str


class VerifyOptions(NamedTuple):
    """The conditions that a receipt must meet.

    Attributes:
        trust: the keys and identities whose signatures count.
        lock: the lock file that receipts must be about; None for the one in the receipt's environment folder.
        days: the greatest age of a receipt in days; None for any age.
    """

    trust: Trust = NOBODY
    lock: Path | None = None
    days: int | None = None


class Verified(NamedTuple):
    """The result for one receipt.

    Attributes:
        receipt: the receipt's file.
        environment: the environment that the receipt is about.
        device: the device that ran the training step.
        verdict: the receipt's verdict: `passed` or `failed`.
        signers: the trusted signers.
        faults: why the receipt does not count; empty if it does.
        remedies: commands that correct the faults.
    """

    receipt: Path
    environment: str
    device: str
    verdict: str
    signers: tuple[Signer, ...]
    faults: tuple[str, ...]
    remedies: tuple[str, ...] = ()


def every_receipt(root: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The receipts that words name: files, or environments for all of theirs; without words, all of the project's.

    Raises:
        NotLockedError: there is no such receipt.
    """
    if not names:
        every = [found.path for one in lockfiles.environments(root) for found in receipts.find(one.folder)]
        if not every:
            raise NotLockedError(f"there is no receipt in {root}", hints=["kgen validate"])
        return tuple(every)
    paths: list[Path] = []
    for name in names:
        if files.is_file(Path(name)):
            paths.append(Path(name))
            continue
        try:
            chosen, form = lockfiles.choose_on_disk(root, name)
        except UsageError as error:
            raise NotLockedError(
                f"there is neither a receipt nor an environment {grammar.shown(name)}", hints=error.hints
            ) from None
        there = receipts.find(chosen.folder)
        mine = [one.path for one in there if form.is_default or one.environment == chosen.name + form.suffix]
        if not mine:
            raise NotLockedError(f"{name} has no receipt", hints=[f"kgen validate {name}"])
        paths += mine
    return tuple(dict.fromkeys(paths))


def attest(paths: Sequence[Path], options: SignOptions) -> tuple[Attested, ...]:
    """Sign receipts, each into a file beside the receipt.

    Raises:
        KgenError: a file is not a receipt, or cannot be signed. The receipts before it have been signed.
    """
    return tuple(_attest(path, options) for path in paths)


def _attest(path: Path, options: SignOptions) -> Attested:
    data = receipts.load(path, "")
    payload = signing.canonical(data)
    place = signing.place_of(path, signing.BY_IDENTITY if options.key is None else signing.BY_KEY)
    if options.key is None:
        content, signer = signing.sign_with_identity(payload, options.token, options.config)
    else:
        content, signer = signing.sign_with_key(payload, options.key, options.password, _content(place))
    storage.write_file(place, content)
    return Attested(path, place, signer, data["verdict"])


def verify(paths: Sequence[Path], options: VerifyOptions, today: dt.date) -> tuple[Verified, ...]:
    """Check receipts, their signatures and their locks, offline.

    Args:
        paths: the receipts' files.
        options: the conditions that they must meet.
        today: today's date.

    Raises:
        UsageError: neither a key nor an identity is given, or a key is invalid.
        KgenError: a file is not a receipt.
    """
    if not options.trust:
        raise UsageError(
            "no key and no identity says whose signatures count",
            hints=["kgen verify --key key.pub", "kgen verify --identity somebody@example.com --issuer URL"],
        )
    signing.require_keys(options.trust)
    return tuple(_verify(path, options, today) for path in paths)


def _verify(path: Path, options: VerifyOptions, today: dt.date) -> Verified:
    data = receipts.load(path, "")
    signers, unsigned = _signers(path, signing.canonical(data), options.trust)
    faults = list(_faults(path, data["lock"]["file"], options.lock))
    date = dt.date.fromisoformat(data["date"])
    ahead = receipts.date_fault(data["date"], today)
    faults += [] if ahead is None else [ahead]
    if options.days is not None and (today - date).days > options.days:
        faults.append(f"it has expired: it is of {data['date']}, more than {options.days} days ago")
    if data["verdict"] != "passed":
        faults.append("it says that training failed")
    device = data["device"]["name"] or data["device"]["kind"]
    # a signature that does not match is not signed again: the environment has to be validated anew
    missing = unsigned == [_UNSIGNED]
    remedies = [f"kgen validate {data['environment']}"] if faults or (unsigned and not missing) else []
    remedies += [f"kgen attest {shlex.quote(str(path))} --key key.pem"] if missing else []
    return Verified(
        path, data["environment"], device, data["verdict"], tuple(signers), (*unsigned, *faults), tuple(remedies)
    )


def _signers(path: Path, payload: bytes, trust: Trust) -> tuple[list[Signer], list[str]]:
    """The trusted signers of exactly this receipt, or why no signature counts."""
    signers: list[Signer] = []
    faults: list[str] = []
    for ending in signing.endings_of(trust):
        place = signing.place_of(path, ending)
        content = _content(place)
        if content is None:
            continue
        try:
            signers += signing.signers_of(content, ending, payload, trust)
        except OtherPayload:
            faults.append(f"{place.name} signs another receipt: this one was changed, or it was put beside it")
        except BadSignature as error:
            faults.append(f"{place.name} is not valid: {error}")
    if signers:
        return signers, []
    return signers, faults or [_UNSIGNED]


def _faults(path: Path, named: str, given: Path | None) -> Iterator[str]:
    """The faults of the lock that a receipt is about."""
    lock = given or path.parent.parent / named
    data = receipts.load(path, "")
    if not files.is_file(lock):
        yield f"there is no lock {lock} to compare with; name it: --lock FILE"
    elif lock.name != named or not receipts.is_current(data, lock.parent):
        yield f"it is about another lock than {lock}"
    elif given is None:
        try:
            receipts.load(path)
        except KgenError:
            yield f"it is about the environment {data['environment']}, and lies in the folder {path.parent.parent.name}"


def _content(path: Path) -> bytes | None:
    try:
        return files.read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.unreadable(path, error) from error
