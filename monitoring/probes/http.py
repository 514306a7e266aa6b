"""The HTTP probe: one GET or other request, redirects followed by us, every ending mapped once."""

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin

import httpcore
import httpx
import structlog

from monitoring.probes.guard import ForbiddenAddress
from monitoring.probes.outcome import Failure, Outcome, Phases, Reason, State, Target
from monitoring.probes.transport import GuardedTransport, Stopwatch

log = structlog.get_logger(__name__)

USER_AGENT: Final = "Sentinel/0.1 (synthetic monitoring)"
REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})

# X509_V_ERR_* of OpenSSL's <openssl/x509_vfy.h>.
_EXPIRED: Final = frozenset({9, 10})
_WRONG_NAME: Final = frozenset({62, 64})

_DEADLINE_REASONS: Final = {
    "dns": (Reason.DNS_TIMEOUT, "no answer from DNS for {host} within {seconds:.1f} s"),
    "connect": (Reason.CONNECT_TIMEOUT, "no connection to {peer} within {seconds:.1f} s"),
    "tls": (Reason.TLS_TIMEOUT, "no TLS session with {peer} within {seconds:.1f} s"),
    "wait": (Reason.TIMEOUT, "connected to {peer}, but no answer within {seconds:.1f} s"),
    "download": (Reason.TIMEOUT, "the answer from {peer} was not complete within {seconds:.1f} s"),
}
_RESOURCE_ERRORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_NETWORK_ERRORS: Final = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_RESET_ERRORS: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})


async def probe(target: Target, deadline: float) -> Outcome:
    """Check one URL: resolve, connect, send, read the whole answer, follow redirects, judge.

    Args:
        target: what to check; its URL is http or https.
        deadline: the instant on the loop's clock, in seconds, that ends everything.

    Returns:
        What was seen. A target that fails is data; this raises only when cancelled.
    """
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    allowed = deadline - loop.time()
    check = _Check(target, deadline)
    failure: Failure | None = None
    try:
        async with asyncio.timeout_at(deadline):
            await check.run()
    except Failure as stop:
        failure = stop
    except Exception as error:  # noqa: BLE001 - the one map has a row for everything
        failure = reason_of(error, check, allowed)
    check.watch.leave()
    watch = check.watch
    return Outcome(
        state=State.UP if failure is None else failure.state,
        reason=None if failure is None else failure.reason,
        detail="" if failure is None else failure.detail,
        status_code=check.status_code,
        ip=watch.ip,
        phases=Phases(
            dns_us=watch.micros("dns"),
            connect_us=watch.micros("connect"),
            tls_us=watch.micros("tls"),
            wait_us=watch.micros("wait"),
            download_us=watch.micros("download"),
        ),
        total_us=round((time.perf_counter() - started) * 1_000_000),
        bytes=check.body_bytes,
        redirects=check.redirects,
    )


class _Check:
    """The state of one check while it runs."""

    def __init__(self, target: Target, deadline: float) -> None:
        self.target = target
        self.deadline = deadline
        self.watch = Stopwatch()
        self.status_code: int | None = None
        self.body_bytes: int | None = None
        self.redirects = 0
        self.url = httpx.URL(target.url)

    async def run(self) -> None:
        """Follow the hops to the last answer and judge its status.

        Raises:
            Failure: the check ended other than up.
        """
        method = self.target.method
        seen = {(method, self.url)}
        while (location := await self._hop(method)) is not None:
            if self.redirects >= self.target.max_redirects:
                raise Failure(
                    State.DOWN,
                    Reason.REDIRECT_LOOP,
                    f"more than {self.target.max_redirects} redirects",
                )
            self.redirects += 1
            method = _next_method(method, self.status_code)
            self.url = self._next_url(location)
            if (method, self.url) in seen:
                raise Failure(
                    State.DOWN, Reason.REDIRECT_LOOP, f"redirected back to {_shown(self.url)}"
                )
            seen.add((method, self.url))
        assert self.status_code is not None
        if not any(low <= self.status_code <= high for low, high in self.target.expected_status):
            expected = ",".join(
                str(low) if low == high else f"{low}-{high}"
                for low, high in self.target.expected_status
            )
            raise Failure(
                State.DOWN, Reason.STATUS, f"status {self.status_code}, expected {expected}"
            )

    async def _hop(self, method: str) -> str | None:
        """Make one request and read its answer; return where it redirects to, if anywhere."""
        transport = GuardedTransport(
            guard=self.target.guard,
            watch=self.watch,
            deadline=self.deadline,
            verify=self.target.verify_tls,
        )
        self.status_code = None
        self.body_bytes = None
        # The body is not decoded: its size is counted as it comes, a bomb stays packed.
        request = httpx.Request(
            method,
            self.url,
            headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"},
        )
        response = await transport.handle_async_request(request)
        try:
            self.status_code = response.status_code
            self.body_bytes = 0
            async for part in response.aiter_raw():
                self.body_bytes += len(part)
                if self.body_bytes > self.target.max_body_bytes:
                    raise Failure(
                        State.DOWN,
                        Reason.TOO_LARGE,
                        f"the body is larger than {self.target.max_body_bytes} bytes",
                    )
        finally:
            await response.aclose()
        self.watch.leave()
        location = response.headers.get("location")
        if (
            self.target.follow_redirects
            and location is not None
            and response.status_code in REDIRECT_STATUSES
        ):
            return str(location)
        return None

    def _next_url(self, location: str) -> httpx.URL:
        try:
            url = httpx.URL(urljoin(str(self.url), location))
            valid = url.scheme in ("http", "https") and bool(url.host)
        except (httpx.InvalidURL, ValueError):
            valid = False
        if not valid:
            raise Failure(
                State.DOWN,
                Reason.REDIRECT_INVALID,
                f"status {self.status_code} leads to {location[:120]!r}, "
                "which is not an http or https address",
            )
        # Neither the fragment nor user info belongs into a request (RFC 9110, 4.2).
        return url.copy_with(fragment=None, userinfo=b"")

    @property
    def peer(self) -> str:
        """The address dialled last, in words."""
        return f"{self.watch.ip} port {self.watch.port}"


def _next_method(method: str, status: int | None) -> str:
    """Return the method after a redirect (RFC 9110, 15.4; 301 and 302 as browsers do)."""
    if status == 303 and method != "HEAD":
        return "GET"
    if status in (301, 302) and method == "POST":
        return "GET"
    return method


def _shown(url: httpx.URL) -> str:
    """Return an address without its query, which may hold a secret."""
    return str(url.copy_with(query=None))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it, members of groups included, outermost first."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            pending.extend(current.exceptions)
        pending.extend((current.__context__, current.__cause__))


def reason_of(error: Exception, check: "_Check", allowed: float) -> Failure:
    """Map a library's error to a reason: the only place that does, most specific first."""
    if isinstance(error, TimeoutError) and check.watch.current is not None:
        reason, words = _DEADLINE_REASONS[check.watch.current]
        return Failure(
            State.DOWN,
            reason,
            words.format(host=check.url.host, peer=check.peer, seconds=allowed),
        )
    for cause in _chain(error):
        failure = _mapped(cause, check)
        if failure is not None:
            return failure
    log.error("unmapped probe error", url=_shown(check.url), error=repr(error), exc_info=error)
    return Failure(
        State.INTERNAL, Reason.PROBE_ERROR, f"an error inside Sentinel: {type(error).__name__}"
    )


def _mapped(error: BaseException, check: "_Check") -> Failure | None:  # noqa: PLR0911 - a table
    down = State.DOWN
    match error:
        case ForbiddenAddress():
            return Failure(State.INTERNAL, Reason.FORBIDDEN_ADDRESS, str(error))
        case socket.gaierror():
            words = str(error.strerror or "no answer").lower()
            return Failure(down, Reason.DNS_ERROR, f"no address for {check.url.host}: {words}")
        case UnicodeError():  # the idna codec of getaddrinfo, on labels that DNS cannot hold
            return Failure(
                down, Reason.DNS_ERROR, f"no address for {check.url.host}: not a DNS name"
            )
        case ssl.SSLCertVerificationError():
            return _certificate(error, check)
        case ssl.SSLError():
            words = (error.reason or str(error)).replace("_", " ").lower()
            return Failure(down, Reason.TLS_ERROR, f"TLS with {check.peer} failed: {words}")
        case OSError(errno=code) if code in _RESOURCE_ERRORS:
            return Failure(
                State.INTERNAL,
                Reason.RESOURCE_LIMIT,
                f"the worker is out of resources: {error.strerror}",
            )
        case ConnectionRefusedError():
            return Failure(down, Reason.CONNECT_REFUSED, f"connection refused by {check.peer}")
        case OSError(errno=code) if code in _NETWORK_ERRORS:
            return Failure(
                State.INTERNAL, Reason.NO_NETWORK, f"this worker has no route to {check.peer}"
            )
        case OSError(errno=code) if code in _RESET_ERRORS:
            return Failure(down, _hung_up(check), f"connection reset by {check.peer}")
        case OSError(errno=code) if code is not None:
            return Failure(
                down,
                Reason.CONNECT_ERROR,
                f"no connection to {check.peer}: {error.strerror}".lower(),
            )
        case httpcore.RemoteProtocolError():
            words = str(error)
            if "disconnected" in words or "closed connection" in words:
                return Failure(
                    down, Reason.CLOSED, f"{check.peer} hung up before a complete answer"
                )
            return Failure(
                down, Reason.PROTOCOL_ERROR, f"{check.peer} does not speak HTTP: {words}"
            )
    return _by_phase(error, check)


def _by_phase(error: BaseException, check: "_Check") -> Failure | None:
    """Map what the network layer says without an errno: the peer is gone."""
    if isinstance(error, httpcore.NetworkError) and error.__cause__ is None:
        return Failure(
            State.DOWN, _hung_up(check), f"{check.peer} hung up before a complete answer"
        )
    name = type(error).__module__.partition(".")[0], type(error).__name__
    if name in {("anyio", "EndOfStream"), ("anyio", "BrokenResourceError")} and not error.__cause__:
        return Failure(
            State.DOWN, _hung_up(check), f"{check.peer} hung up before a complete answer"
        )
    return None


def _hung_up(check: "_Check") -> Reason:
    return {"connect": Reason.CONNECT_ERROR, "tls": Reason.TLS_ERROR}.get(
        check.watch.current or "", Reason.CLOSED
    )


def _certificate(error: ssl.SSLCertVerificationError, check: "_Check") -> Failure:
    words = error.verify_message
    if error.verify_code in _EXPIRED:
        return Failure(State.DOWN, Reason.TLS_EXPIRED, f"certificate of {check.url.host}: {words}")
    if error.verify_code in _WRONG_NAME:
        return Failure(
            State.DOWN,
            Reason.TLS_HOSTNAME,
            f"the certificate of {check.peer} is not for {check.url.host}",
        )
    return Failure(State.DOWN, Reason.TLS_UNTRUSTED, f"certificate of {check.url.host}: {words}")
