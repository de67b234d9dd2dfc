"""The facts that a wheel has about itself: its METADATA, and a module that states what it was built for."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.metadata import parse_email
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from kgen.errors import HashMismatchError, MalformedAnswerError
from kgen.index import IndexFile, shown
from kgen.refresh.binaries import HOLDS
from kgen.refresh.recipes import Compiled
from kgen.served.cache import keep, kept
from kgen.wheels import WheelReader, is_metadata

PARSING = threading.Lock()
"""The lock for parsing Python code, requirements or markers: CPython 3.11 sometimes fails when two threads parse at
once ("AST constructor recursion depth mismatch"), and `packaging` parses with it."""

_HEADER = "kgen-wheel-facts 1"
_METADATA = "METADATA"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFacts:
    """Facts from a wheel.

    Attributes:
        requires: its Requires-Dist fields, unchanged.
        values: the values that the requested module assigns or lists, by name; empty without such a module.
        has_module: whether the wheel has that module.
    """

    requires: tuple[str, ...]
    values: Mapping[str, Any]
    has_module: bool


class FactReader:
    """Reads facts of wheels, each wheel once across runs, as the content behind a sha256 never changes.

    Args:
        reader: reads pages and parts of wheels.
        cache: the cache folder; None for no cache.
        count: called with each wheel that kgen asks the network for.
    """

    def __init__(self, reader: WheelReader, *, cache: Path | None, count: Callable[[IndexFile], None]) -> None:
        self._reader = reader
        self._cache = cache
        self._count = count

    def read(self, file: IndexFile, module: str | None) -> WheelFacts | None:
        """The facts of a wheel; None if its server has no range requests and the wheel is too large to download.

        Raises:
            OutsideError: the wheel cannot be fetched, or contradicts its file name.
        """
        texts = self._load(file, module)
        if texts is None:
            self._count(file)
            texts = self._sidecar(file) if module is None else None
            if texts is None:
                texts = self._ranges(file, module)
            if texts is None:
                return None
            self._check(file, texts[_METADATA])
            self._store(file, module, texts)
        raw, _ = parse_email(texts[_METADATA])
        values = literals(texts[module], file) if module is not None and module in texts else {}
        return WheelFacts(
            requires=tuple(raw.get("requires_dist", ())),
            values=values,
            has_module=module is not None and module in texts,
        )

    def compiled(self, file: IndexFile, compiled: Compiled, toolkits: Collection[Version]) -> tuple[str, ...] | None:
        """The facts in a compiled file of a wheel; empty if the file is absent or has none.

        Args:
            file: the wheel.
            compiled: the file, with the CUDA major in its path.
            toolkits: the toolkits of that major.

        Returns:
            The facts; None if the server has no range requests and the wheel is too large to download.

        Raises:
            OutsideError: the wheel cannot be fetched, or contradicts its file name.
        """
        key = f"{compiled.holds} {compiled.path} {' '.join(map(str, toolkits))}"
        place = self._place(file, None)
        place = (
            None if place is None else place.with_name(f"{place.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}")
        )
        if place is not None:
            with contextlib.suppress(OSError, ValueError, TypeError):
                body = kept(place, _HEADER)
                if body is not None:
                    return tuple(map(str, json.loads(body)))
        self._count(file)
        streams = self._reader.stream(
            file.url, filename=file.filename, sha256=file.sha256, wanted=lambda path: path == compiled.path
        )
        if streams is None:
            return None
        found: list[str] = []
        for _, pieces in streams:
            found = HOLDS[compiled.holds](pieces, toolkits)
        if place is not None:
            with contextlib.suppress(OSError):
                keep(place, _HEADER, json.dumps(found).encode())
        return tuple(found)

    def paths(self, file: IndexFile) -> tuple[str, ...] | None:
        """The paths of a wheel's files; None if its server has no range requests and the wheel is too large to fetch.

        Raises:
            OutsideError: the wheel cannot be fetched, or contradicts its file name.
        """
        self._count(file)
        listing = self._reader.read(file.url, filename=file.filename, sha256=file.sha256)
        return tuple(listing.entries) if listing.complete else None

    def member(self, file: IndexFile, path: str, limit: int) -> bytes | None:
        """A file in a wheel; None if it is absent, or if the server has no range requests and the wheel is large.

        Args:
            file: the wheel.
            path: the path in the wheel.
            limit: the greatest size of the file in bytes.

        Raises:
            OutsideError: the wheel cannot be fetched, or the file is larger.
        """
        self._count(file)
        streams = self._reader.stream(
            file.url, filename=file.filename, sha256=file.sha256, wanted=lambda one: one == path
        )
        for _, pieces in streams or ():
            content = bytearray()
            for piece in pieces:
                content += piece
                if len(content) > limit:
                    raise MalformedAnswerError(f"{path} of {file.filename} has more than {limit} bytes")
            return bytes(content)
        return None

    def _sidecar(self, file: IndexFile) -> dict[str, str] | None:
        """The METADATA that the index serves beside the wheel; None if it has none."""
        if file.sidecar is None:
            return None
        page = self._reader.page(f"{file.url}.metadata", name=f"the METADATA of {file.filename}", headers={})
        if page.status != 200:  # noqa: PLR2004 - as in HTTP
            return None
        digest = hashlib.sha256(page.body).hexdigest()
        if file.sidecar and digest != file.sidecar:
            raise HashMismatchError(
                f"the METADATA of {file.filename} is not what the index names: sha256 {digest},"
                f" expected {file.sidecar}",
                hints=[f"curl --location {shown(file.url)}.metadata | sha256sum"],
            )
        return {_METADATA: _text(page.body, file)}

    def _ranges(self, file: IndexFile, module: str | None) -> dict[str, str] | None:
        found = self._reader.members(
            file.url,
            filename=file.filename,
            sha256=file.sha256,
            wanted=lambda path: path == module or is_metadata(path),
        )
        if found is None:
            return None
        texts = {(_METADATA if is_metadata(path) else path): _text(content, file) for path, content in found.items()}
        if _METADATA not in texts:
            raise MalformedAnswerError(
                f"{file.filename}: there is no METADATA in it", hints=[f"curl --head {shown(file.url)}"]
            )
        return texts

    def _check(self, file: IndexFile, metadata: str) -> None:
        raw, _ = parse_email(metadata)
        name, version = raw.get("name", ""), raw.get("version", "")
        own = file.filename.partition("-")[0]
        try:
            same = canonicalize_name(name) == canonicalize_name(own) and Version(version) == Version(file.version)
        except InvalidVersion:
            same = False
        if not same:
            raise MalformedAnswerError(
                f"{file.filename} says in its METADATA that it is {name or 'nothing'} {version}: the index, or the"
                " wheel, is not to be trusted",
                hints=[f"curl --head {shown(file.url)}"],
            )

    def _place(self, file: IndexFile, module: str | None) -> Path | None:
        if self._cache is None or not file.sha256:
            return None
        return self._cache / f"{file.sha256}{'' if module is None else '-module'}"

    def _load(self, file: IndexFile, module: str | None) -> dict[str, str] | None:
        place = self._place(file, module)
        if place is None:
            return None
        try:
            body = kept(place, _HEADER)
            if body is None:
                return None
            texts = {str(name): str(text) for name, text in json.loads(body).items()}
        except (OSError, ValueError, AttributeError):
            return None
        return texts if _METADATA in texts else None

    def _store(self, file: IndexFile, module: str | None, texts: Mapping[str, str]) -> None:
        place = self._place(file, module)
        if place is not None:
            # the description is long, and not needed here
            short = {**texts, _METADATA: texts[_METADATA].partition("\n\n")[0] + "\n"}
            with contextlib.suppress(OSError):
                keep(place, _HEADER, json.dumps(short).encode())


def _text(content: bytes, file: IndexFile) -> str:
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise MalformedAnswerError(f"{file.filename}: what is in it is not UTF-8 text") from None


def literals(source: str, file: IndexFile) -> dict[str, Any]:
    """The literal values that a module assigns to names, and those under text keys in what it builds.

    kgen does not run the module: it reads `cuda = '13.0'` and `OrderedDict([('cuda_version', '12.5.1')])` from the
    source.

    Raises:
        OutsideError: the source is not valid Python.
    """
    try:
        with PARSING:
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise MalformedAnswerError(f"{file.filename}: a module in it is no Python: {error}") from None
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr | None, ast.expr | None]] = []
        if isinstance(node, ast.Assign):
            pairs = [(ast.Constant(target.id), node.value) for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            pairs = [(ast.Constant(node.target.id), node.value)]
        elif isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:  # noqa: PLR2004 - a pair
            pairs = [(node.elts[0], node.elts[1])]
        for name, value in pairs:
            if isinstance(name, ast.Constant) and isinstance(name.value, str) and value is not None:
                # a node, so that nothing is parsed again
                with contextlib.suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                    found[name.value] = ast.literal_eval(value)
    return found
