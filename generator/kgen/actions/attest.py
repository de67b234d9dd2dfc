"""Sign receipts, and verify what was signed: two actions, so that a machine that validates needs no key."""

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
    """Who signs; a key or Sigstore.

    Attributes:
        key: a file with a private key; None for Sigstore.
        password: what the key is encrypted with.
        token: an identity token for Sigstore; None for the one of the surroundings.
        config: which authority Sigstore is; None for the public one.
    """

    key: Path | None = None
    password: str | None = None
    token: str | None = None
    config: Path | None = None


class Attested(NamedTuple):
    """A receipt that was signed.

    Attributes:
        receipt: the receipt.
        signature: the file beside it.
        signer: who signed.
        verdict: what was signed: `passed` or `failed`.
    """

    receipt: Path
    signature: Path
    signer: Signer
    verdict: str


class VerifyOptions(NamedTuple):
    """What a receipt must be to prove something.

    Attributes:
        trust: whose signatures count.
        lock: the lock file that receipts must be about; None for that of the folder where they lie.
        days: how old a receipt may be; None for any age.
    """

    trust: Trust = NOBODY
    lock: Path | None = None
    days: int | None = None


class Verified(NamedTuple):
    """What is to be said of a receipt.

    Attributes:
        receipt: the receipt.
        environment: whose it is.
        device: what it was proven on.
        verdict: what it says: `passed` or `failed`.
        signers: who signed it, of those that are to be believed.
        faults: why it proves nothing; none if it does.
        remedies: the commands that mend it.
    """

    receipt: Path
    environment: str
    device: str
    verdict: str
    signers: tuple[Signer, ...]
    faults: tuple[str, ...]
    remedies: tuple[str, ...] = ()


def every_receipt(root: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The receipts that words name: a file, or an environment for all of its receipts; none for all of the project.

    Raises:
        UsageError: there is none.
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
    """Sign receipts; each signature is a file beside its receipt.

    Raises:
        KgenError: one is not a receipt, or cannot be signed; those before it are.
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
    """Look at receipts, their signatures and the locks that they are about, offline.

    Args:
        paths: the receipts.
        options: what they must be.
        today: the day.

    Raises:
        UsageError: neither a key nor an identity is given, or a key is invalid.
        KgenError: one is not a receipt.
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
    # a signature of something else is no remedy's business: what it was about is to be proven again
    missing = unsigned == [_UNSIGNED]
    remedies = [f"kgen validate {data['environment']}"] if faults or (unsigned and not missing) else []
    remedies += [f"kgen attest {shlex.quote(str(path))} --key key.pem"] if missing else []
    return Verified(
        path, data["environment"], device, data["verdict"], tuple(signers), (*unsigned, *faults), tuple(remedies)
    )


def _signers(path: Path, payload: bytes, trust: Trust) -> tuple[list[Signer], list[str]]:
    """Who signed exactly this receipt; or why no signature counts."""
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
    """What is wrong about the lock that a receipt is about."""
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
