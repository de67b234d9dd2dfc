"""Asks servers for files over the network. Slow to import, so only who has to ask does it.

Credentials come from the configured indexes or ~/.netrc, proxies from the environment. A fault that may be a passing
one is asked about again; the client raises what goes wrong as :class:`kgen.errors.OutsideError`, without any password.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar, final

import requests
import requests.auth
import urllib3.exceptions
import urllib3.util.ssl_
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from kgen import files, host, logins, transport
from kgen.errors import WITH_A_NETWORK, OfflineError, OutsideError
from kgen.served.file import WHOLE, Answer, Limit, Page, ServedFile

T = TypeVar("T")

_TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and between two pieces of the answer."""

_PAUSES = (0.3, 1.0)
"""Seconds before the second and the third attempt."""

_NO_SUCH_RANGE = frozenset(
    {
        requests.codes.requested_range_not_satisfiable,
        requests.codes.bad_request,
        requests.codes.not_implemented,
    }
)
"""What indexes answer that know ranges, but not from the end, or not beyond the beginning."""


class PassingError(Exception):
    """An error that may not occur again at the next attempt."""

    def __init__(self, error: OutsideError) -> None:
        super().__init__(error.message)
        self.error = error


class _Trust:
    """The trusted certificates, loaded once for each place that contains some: loading takes longer than a request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts: dict[tuple[str | None, str | None], ssl.SSLContext] = {}

    def context(self, file: str | None, folder: str | None) -> ssl.SSLContext:
        """The SSL context that trusts the certificates in a file, or in a folder."""
        with self._lock:
            context = self._contexts.get((file, folder))
            if context is None:
                context = urllib3.util.ssl_.create_urllib3_context()
                try:
                    context.load_verify_locations(file, folder)
                except OSError as error:
                    raise requests.exceptions.SSLError(error) from error
                self._contexts[file, folder] = context
            return context


class _Adapter(transport.Adapter):
    """The connections of one session, which share trusted certificates with all others."""

    def __init__(self, trust: _Trust, patience: float) -> None:
        self._trust = trust
        super().__init__(patience)

    def build_connection_pool_key_attributes(self, *words: Any, **named: Any) -> Any:  # noqa: ANN401 - as in requests
        """The key of a pool of connections; here that of one whose certificates are loaded."""
        host, pool = super().build_connection_pool_key_attributes(*words, **named)
        # nothing of this where a certificate is not to be checked, or one is shown: requests does it then
        if host["scheme"] == "https" and pool["cert_reqs"] == "CERT_REQUIRED" and "cert_file" not in pool:
            options: dict[str, Any] = {**pool}
            file, folder = options.pop("ca_certs", None), options.pop("ca_cert_dir", None)
            file = DEFAULT_CA_BUNDLE_PATH if file is None and folder is None else file
            return host, {**options, "ssl_context": self._trust.context(file, folder)}
        return host, pool

    def cert_verify(self, conn: Any, *words: Any, **named: Any) -> None:  # noqa: ANN401 - as in requests
        """Tell a connection what to trust; one that knows already is left alone."""
        if conn.conn_kw.get("ssl_context") is None:
            super().cert_verify(conn, *words, **named)  # type: ignore[no-untyped-call]


@final
class Client:
    """Sends requests to servers; safe to use from many threads at once.

    Args:
        limit: when to stop.
        indexes: the URLs of the configured indexes, with their credentials.
        certificates: the value of SSL_CERT_FILE or SSL_CERT_DIR, which requests does not read. As with uv, a missing
            file is ignored. REQUESTS_CA_BUNDLE, which requests reads itself, takes precedence.
        patience: seconds that a response may take, whatever its size.
    """

    def __init__(self, limit: Limit, *, indexes: logins.Logins, certificates: str | None, patience: float) -> None:
        self._limit = limit
        self._logins = indexes
        self._patience = patience
        self._certificates = certificates if certificates and files.exists(Path(certificates)) else None
        self._local = threading.local()
        self._trust = _Trust()
        self._lock = threading.Lock()
        self._sessions: list[requests.Session] = []

    def close(self) -> None:
        """Close all connections; threads that are still running close their own."""
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()

    def page(self, url: str, *, name: str, headers: Mapping[str, str], absent: Collection[int]) -> Page:
        """The response to a GET request for a page.

        Args:
            url: http(s).
            name: what messages call the page.
            headers: additional request headers.
            absent: the statuses that mean that the page does not exist.

        Raises:
            OutsideError: the page cannot be fetched whole, or the status is neither 200, 304 nor one of `absent`.
            Cancelled: `cancel` was set.
        """
        url = self._logins.add(url)
        asked = ServedFile(url=url, filename=name, sha256="")

        def once() -> Page:
            try:
                with self._get(url, {"Accept-Encoding": "gzip", **headers}) as response:
                    if response.status_code not in {requests.codes.not_modified, *absent}:
                        self._refuse_status(response, asked, asked_for_range=False)
                    body = self._body(response, asked, None) if response.status_code == requests.codes.ok else b""
                    if body is None:
                        raise asked.fault(f"{asked.host} sends more than {WHOLE // 1024**2} MB")
                    return Page(
                        url=response.url,
                        status=response.status_code,
                        kind=response.headers.get("Content-Type", "").lower(),
                        body=body,
                        tag=response.headers.get("ETag"),
                        modified=response.headers.get("Last-Modified"),
                    )
            except requests.RequestException as error:
                _refuse(error, asked)
            except (urllib3.exceptions.HTTPError, UnicodeError) as error:
                raise asked.fault(f"{asked.shown} cannot be asked for: {type(error).__name__}") from error

        return self._again(asked, once)

    def save_rest(self, wheel: ServedFile, part: Path, report: Callable[[int], None]) -> None:
        """Append the missing part of a file to `part`; start again if the server has another file now.

        Args:
            wheel: the file.
            part: contains its beginning, or does not exist yet.
            report: called with the number of bytes added; negative when kgen discards some.

        Raises:
            OutsideError: the rest cannot be fetched.
            Cancelled: no request waits for it any more.
        """
        self._again(wheel, lambda: self._save_rest(wheel, part, report))

    def _save_rest(self, wheel: ServedFile, part: Path, report: Callable[[int], None]) -> None:
        have = part.stat().st_size if files.exists(part) else 0
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        self._limit.refuse_if_over(wheel)
        try:
            with self._get(wheel.url, headers) as response:
                self._refuse_status(response, wheel, asked_for_range=bool(have))
                goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
                if have and not (response.status_code == requests.codes.partial_content and goes_on):
                    # the server ignores ranges, or has another file now: start again
                    report(-have)
                    part.unlink()
                    if response.status_code != requests.codes.ok:
                        raise PassingError(wheel.fault(f"{wheel.host} does not send the rest of it"))
                length = response.headers.get("Content-Length", "")
                before = part.stat().st_size if files.exists(part) else 0
                with part.open("ab") as file:
                    for chunk in transport.content(response):
                        self._limit.refuse_if_over(wheel)
                        file.write(chunk)
                        report(len(chunk))
                    got = file.tell() - before
                if length.isdecimal() and got != int(length):
                    raise PassingError(wheel.fault(f"{wheel.host} broke off after {got} of {length} bytes"))
        except requests.RequestException as error:
            _refuse(error, wheel)
        except (urllib3.exceptions.HTTPError, UnicodeError) as error:
            raise wheel.fault(f"{wheel.shown} cannot be asked for: {type(error).__name__}") from error

    def ask(self, wheel: ServedFile, span: str | None, *, end: int | None = None) -> Answer:
        """The response to a request, which is repeated while the error may be temporary.

        Args:
            wheel: the file.
            span: the value of the Range header.
            end: where the range must end, if that is not the end of the file.
        """
        return self._again(wheel, lambda: self._ask_once(wheel, span, end))

    def _again(self, wheel: ServedFile, ask: Callable[[], T]) -> T:
        """The result of `ask`, which is repeated while the error may be temporary."""
        for pause in _PAUSES:
            self._limit.refuse_if_over(wheel)
            with contextlib.suppress(PassingError):
                return ask()
            self._limit.cancel.wait(pause)
        self._limit.refuse_if_over(wheel)
        try:
            return ask()
        except PassingError as fault:
            raise fault.error from fault.__cause__

    def _ask_once(self, wheel: ServedFile, span: str | None, end: int | None) -> Answer:
        self._limit.refuse_if_over(wheel)
        # With compression on the way, ranges and sizes would not be those of the wheel.
        headers = {"Accept-Encoding": "identity"}
        if span is not None:
            headers["Range"] = span
        try:
            with self._get(wheel.url, headers) as response:
                self._refuse_status(response, wheel, asked_for_range=span is not None)
                return self._answer(response, wheel, end)
        except requests.RequestException as error:
            _refuse(error, wheel)
        except (urllib3.exceptions.HTTPError, UnicodeError) as error:
            # Raised for invalid URLs that requests does not check.
            raise wheel.fault(f"{wheel.shown} cannot be asked for: {type(error).__name__}") from error

    def _answer(self, response: requests.Response, wheel: ServedFile, end: int | None) -> Answer:
        kind = response.headers.get("Content-Type", "").lower()
        encoded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
        if response.status_code == requests.codes.ok:
            length = response.headers.get("Content-Length", "")
            size = int(length) if length.isdecimal() and not encoded else None
            body = None if size is not None and size > WHOLE else self._body(response, wheel, size)
            return Answer(
                size=len(body) if body is not None else size,
                body=body,
                # A server that answers a range request with the whole file cannot send ranges, whatever it claims.
                ranges="bytes" in response.headers.get("Accept-Ranges", "").lower()
                and "Range" not in response.request.headers,
                kind=kind,
            )
        match = re.fullmatch(r"bytes\s+(?:(\d+)-(\d+)|\*)/(\d+)", response.headers.get("Content-Range", "").strip())
        if match is None or encoded or response.status_code not in {206, 416}:
            return Answer(size=None)
        start, last, size = (None if number is None else int(number) for number in match.groups())
        if start is None or last is None or last + 1 != (end or size):
            # The beginning, from a server that reads -131072 as 0-131072; or only the size, with status 416.
            return Answer(size=size, ranges=True)
        if last + 1 - start > WHOLE:
            return Answer(size=size)
        return Answer(size=size, start=start, body=self._body(response, wheel, last + 1 - start), kind=kind)

    def _body(self, response: requests.Response, wheel: ServedFile, expected: int | None) -> bytes | None:
        """The content of the response; None if it is endless."""
        body = bytearray()
        for chunk in transport.content(response):
            self._limit.refuse_if_over(wheel)
            body += chunk
            if len(body) > WHOLE:
                return None
        if expected is not None and len(body) != expected:
            raise PassingError(
                wheel.fault(f"{wheel.host} broke off after {len(body)} of {expected} bytes"),
            )
        return bytes(body)

    @contextlib.contextmanager
    def _get(self, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """Start a request, with the credentials of the index, or else those in netrc for its server."""
        plain, own = logins.apart(url)
        if host.is_offline():
            asked = ServedFile(url=plain, filename=plain.rstrip("/").rpartition("/")[2], sha256="")
            raise OfflineError(
                f"{asked.filename} of {asked.host} is not on this machine, and `--offline` keeps kgen from fetching it",
                hints=[WITH_A_NETWORK],
            )
        login = own or self._logins.of(plain)
        session = self._session()
        try:
            with session.get(
                plain,
                headers=dict(headers),
                stream=True,
                timeout=_TIMEOUT,
                auth=None if login is None else _auth(login),
            ) as response:
                yield response
        finally:
            if self._limit.closed.is_set():
                session.close()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = transport.Session()
            session.headers["User-Agent"] = "kgen"
            if self._certificates is not None:
                session.verify = self._certificates
            session.mount("https://", _Adapter(self._trust, self._patience))
            session.mount("http://", _Adapter(self._trust, self._patience))
            self._local.session = session
            with self._lock:
                self._sessions.append(session)
        return session

    def _refuse_status(self, response: requests.Response, wheel: ServedFile, *, asked_for_range: bool) -> None:
        """Raise an error if the status is that of one."""
        status = response.status_code
        codes = requests.codes
        if status in {codes.ok, codes.partial_content} or (asked_for_range and status in _NO_SUCH_RANGE):
            return
        host = urllib.parse.urlsplit(response.url).netloc.rpartition("@")[2]
        what = f"{host} answered {status} {response.reason or ''}".rstrip()
        if status == codes.proxy_authentication_required:
            raise wheel.fault(what, "put the proxy's credentials into its URL: env | grep --ignore-case proxy")
        if status in {codes.unauthorized, codes.forbidden} and self._logins.configured(response.url):
            # do not suggest a login for a server that only another server named
            raise wheel.fault(what, f"put the credentials into ~/.netrc: machine {host} login NAME password WORD")
        error = wheel.fault(what)
        if status == codes.too_many_requests or status >= codes.server_error:
            raise PassingError(error)
        raise error


def _auth(login: logins.Login) -> requests.auth.HTTPBasicAuth:
    # requests would encode characters outside Latin-1 differently from uv
    return requests.auth.HTTPBasicAuth(login.name.encode(), login.password.encode())


def _refuse(error: requests.RequestException, wheel: ServedFile) -> NoReturn:
    """Raise what an error of requests means; its own text may contain the URL's password, and is not printed."""
    if isinstance(error, transport.Refused):
        raise wheel.fault(str(error)) from error
    causes = list(_causes(error))
    # During the body, requests reports a timeout as a broken connection.
    late = (requests.Timeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)
    if any(isinstance(cause, late) for cause in causes):
        connect, read = _TIMEOUT
        raise wheel.fault(
            f"{wheel.host} did not answer in time ({connect:g} s to connect, {read:g} s to send)"
        ) from error
    if isinstance(error, requests.exceptions.SSLError):
        reason = next((str(cause) for cause in causes if isinstance(cause, OSError) and cause.strerror), "")
        raise wheel.fault(
            f"the certificate of {wheel.host} was not accepted: {reason or type(error).__name__}",
            "if it is your organisation's: export SSL_CERT_FILE=/path/to/its-bundle.pem",
        ) from error
    if isinstance(error, requests.exceptions.ProxyError):
        raise wheel.fault(
            f"the proxy on the way to {wheel.host} cannot be reached", "env | grep --ignore-case proxy"
        ) from error
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        system = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
        what = f"cannot be reached: {system}" if system else "broke the connection off"
        raise PassingError(wheel.fault(f"{wheel.host} {what}")) from error
    raise wheel.fault(f"{wheel.shown} cannot be asked for: {type(error).__name__}") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, which requests and urllib3 put into arguments, reasons and contexts."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        found = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        waiting.extend(item for item in found if isinstance(item, BaseException))
