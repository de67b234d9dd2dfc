"""kgen's own network requests: every response has limits, and redirects cannot lead to forbidden places.

A server may be slow or malicious. A response that arrives in drops is aborted even if each drop is in time; one that
decompresses to far more than was sent is refused; and no redirect may lead to places that only this machine can reach.
"""

from __future__ import annotations

import functools
import http.client
import io
import ipaddress
import socket
import threading
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from typing import Any, final

import requests
import requests.adapters
import urllib3
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions

_PACE = 10_000
"""Bytes per second at which a response must arrive after its time limit."""

_CHUNK = 64 * 1024

_SMALL = 4 * 1024 * 1024
"""Bytes up to which a response is not inspected, and any number of them may be in flight."""

_RATIO = 100
"""A response that decompresses to more than this multiple of its size is not a page: text shrinks fiftyfold at best."""

_LARGE_AT_ONCE = 2
"""The number of larger responses that are received concurrently."""

_HTTP = ("http", "https")


class Refused(requests.RequestException):
    """A response that kgen refuses; the message says why, and is safe to print."""


# -- an end to every answer --------------------------------------------------------------------------------------------


@final
class _Paced(io.RawIOBase):
    """The data from a socket, while it arrives fast enough. Counts only the time spent waiting for the server."""

    def __init__(self, raw: io.RawIOBase, patience: float) -> None:
        self._raw = raw
        self._patience = patience
        self._waited = 0.0
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - as in typeshed
        begun = time.monotonic()
        count = self._raw.readinto(buffer)
        self._waited += time.monotonic() - begun
        self._count += count or 0
        if count and self._waited > self._patience + self._count / _PACE:
            raise TimeoutError("the answer comes too slowly")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _paced(patience: float) -> type[http.client.HTTPResponse]:
    class Paced(http.client.HTTPResponse):
        """An answer that has an end: also its head, which comes in lines of any number."""

        def __init__(self, *words: Any, **named: Any) -> None:  # noqa: ANN401 - as in http.client
            super().__init__(*words, **named)
            self.fp = io.BufferedReader(_Paced(self.fp.detach(), patience))

    return Paced


class Adapter(requests.adapters.HTTPAdapter):
    """Connections whose responses have limits.

    Args:
        patience: seconds that a response may take, whatever its size.
    """

    def __init__(self, patience: float) -> None:
        answer = _paced(patience)

        class Plain(urllib3.connection.HTTPConnection):
            response_class = answer

        class Secure(urllib3.connection.HTTPSConnection):
            response_class = answer

        class PlainPool(urllib3.connectionpool.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
            ConnectionCls = Secure

        self._pools = {"http": PlainPool, "https": SecurePool}
        super().__init__()

    def close(self) -> None:
        """Close all connections; those in use close when their responses end.

        urllib3 alone only forgets its pools, and leaves their connections open until Python collects them as garbage.
        """
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - it cannot be iterated over otherwise
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def init_poolmanager(self, *words: Any, **named: Any) -> None:  # noqa: ANN401 - as in requests
        """Create the manager of connections."""
        super().init_poolmanager(*words, **named)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *words: Any, **named: Any) -> Any:  # noqa: ANN401 - as in requests
        """The manager of connections through a proxy."""
        manager = super().proxy_manager_for(*words, **named)
        if not isinstance(manager, urllib3.ProxyManager):
            return manager  # one of SOCKS makes its own
        manager.pool_classes_by_scheme = self._pools
        return manager


# -- no more than it was worth -----------------------------------------------------------------------------------------

_large = threading.BoundedSemaphore(_LARGE_AT_ONCE)


def content(response: requests.Response) -> Iterator[bytes]:
    """The decompressed content of a response, in limited pieces; large responses of all threads wait for each other.

    Raises:
        Refused: its compression was not requested, is damaged, or expands to far more than was sent.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
        raise Refused(f"the answer is packed as `{encoding[:20]}`, which was not asked for")
    packed = encoding not in {"identity", ""}
    pieces = _unpacked(response.raw) if packed else ((one, 0) for one in response.raw.stream(_CHUNK, False))  # noqa: FBT003 - as in urllib3
    given = 0
    held = False
    try:
        for piece, received in pieces:
            given += len(piece)
            if given > _SMALL and not held:
                _large.acquire()
                held = True
            if packed and given > _SMALL and given > received * _RATIO:
                raise Refused(f"the answer unpacks to more than {_RATIO} times what was sent")
            yield piece
    except urllib3.exceptions.ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from error
    except urllib3.exceptions.SSLError as error:
        raise requests.exceptions.SSLError(error) from error
    finally:
        if held:
            _large.release()


def _unpacked(raw: Any) -> Iterator[tuple[bytes, int]]:  # noqa: ANN401 - urllib3's
    """Decompressed pieces, none of them large, with the number of bytes received so far."""
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
    received = 0
    try:
        for chunk in raw.stream(_CHUNK, decode_content=False):
            received += len(chunk)
            rest = chunk
            while rest and not unpack.eof:
                yield unpack.decompress(rest, _CHUNK), received
                rest = unpack.unconsumed_tail
    except zlib.error:
        raise Refused("the answer is packed, and damaged") from None
    if received and not unpack.eof:
        raise Refused("the answer is packed, and damaged")


# -- where one may be led ----------------------------------------------------------------------------------------------


def why_not(origin: str, target: str, *, downgrade: bool = False) -> str | None:
    """Why a request to one URL may not lead to another; None if it may.

    A page on the network must not lead to files of this machine, or to what only this machine or its link can reach,
    such as the service that gives a cloud machine its keys. That is allowed if the origin itself is such a place.

    Args:
        origin: the requested URL.
        target: the URL that it leads to.
        downgrade: whether it may lead from an encrypted to an unencrypted connection, which is safe for what is
            compared with a digest.
    """
    before, after = urllib.parse.urlsplit(origin), urllib.parse.urlsplit(target)
    if after.scheme not in _HTTP:
        return f"leads to `{after.scheme[:20]}:`, which is not of the network"
    if not downgrade and before.scheme == "https" and after.scheme != "https":
        return "leads from an encrypted connection to one that is not"
    try:
        there, here = after.hostname, before.hostname
    except ValueError:
        return "leads to an address that makes no sense"
    if not there:
        return "leads to an address without a host"
    inner = _inner(there)
    if inner is None or (here is not None and _inner(here) == inner):
        return None
    return f"leads to {there}, which is {inner}"


@functools.lru_cache(1024)
def _inner(host: str) -> str | None:
    """Why only this machine or its neighbours can reach a host; None if others can."""
    for text in _addresses(host):
        address = ipaddress.ip_address(text.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if address.is_loopback or address.is_unspecified:
            return "this machine itself"
        if address.is_link_local:
            return "an address of this machine's own link"
        if address.is_multicast:
            return "an address of no single machine"
    return None


def _addresses(host: str) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    if host == "localhost" or host.endswith(".localhost"):
        return ["127.0.0.1"]
    try:
        # also numbers in the forms that the system takes for addresses
        return sorted({str(row[4][0]) for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
    except (OSError, UnicodeError):
        return []  # a proxy may know it; if nobody does, there is no danger


class Session(requests.Session):
    """A session that follows no forbidden redirects."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """The URL that a response redirects to; None if it does not redirect.

        Raises:
            Refused: it may not lead there.
        """
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        first = resp.history[0].url if resp.history else resp.url
        reason = why_not(first, urllib.parse.urljoin(resp.url, target))
        if reason is not None:
            resp.close()
            raise Refused(f"{urllib.parse.urlsplit(resp.url).netloc.rpartition('@')[2]} {reason}")
        return target
