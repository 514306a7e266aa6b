"""The HTTPX transport: resolve, guard, connect, TLS, send, receive, each timed.

One connection per request, never kept: a pool would share state between checks (a
cancelled request poisons httpcore's, encode/httpcore#1093) and hide the connect time.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import httpcore
import httpx

from monitoring.probes.guard import Guard

Phase = str
PHASES: Final = ("dns", "connect", "tls", "wait", "download")


@dataclass(slots=True)
class Stopwatch:
    """The phases of one check, summed over its hops.

    On ``time.perf_counter``: uvloop's own clock has a grain of a millisecond.

    ``current`` is the phase under way: what a deadline that strikes now has interrupted.
    """

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    wait: float | None = None
    download: float | None = None
    current: Phase | None = None
    ip: str | None = None
    port: int | None = None
    _since: float = 0.0

    def enter(self, phase: Phase) -> None:
        """End the phase under way and begin another."""
        self.leave()
        self.current = phase
        self._since = time.perf_counter()

    def leave(self) -> None:
        """End the phase under way and add its time."""
        if self.current is not None:
            elapsed = time.perf_counter() - self._since
            setattr(self, self.current, (getattr(self, self.current) or 0.0) + elapsed)
            self.current = None

    def micros(self, phase: Phase) -> int | None:
        """Return a phase's sum in integer microseconds, None where it was not reached."""
        seconds = getattr(self, phase)
        return None if seconds is None else round(seconds * 1_000_000)


@lru_cache(maxsize=8)
def ssl_context(*, verify: bool) -> ssl.SSLContext:
    """Return the shared context: the system's trust store, or OpenSSL's SSL_CERT_FILE.

    Building one costs tens of milliseconds, so there is one per combination of options.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Stream(httpcore.AsyncNetworkStream):
    """A stream that tells the stopwatch when TLS begins and when the answer's first byte comes."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, watch: Stopwatch) -> None:
        self._stream = stream
        self._watch = watch

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        received = await self._stream.read(max_bytes, timeout)
        if received and self._watch.current == "wait":
            self._watch.enter("download")
        return received

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        await self._stream.write(buffer, timeout)
        # The last write of the request leaves the clock of `wait` at the request sent.
        self._watch.current = None
        self._watch.enter("wait")

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        self._watch.enter("tls")
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except asyncio.CancelledError:
            # httpcore closes the socket on errors, but not when the deadline strikes.
            await self._stream.aclose()
            raise
        self._watch.leave()
        return _Stream(stream, self._watch)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.AsyncNetworkBackend):
    """Where sockets are opened: names are resolved and judged here, then dialled as addresses."""

    def __init__(self, guard: Guard, watch: Stopwatch, deadline: float) -> None:
        self._guard = guard
        self._watch = watch
        self._deadline = deadline
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        self._watch.enter("dns")
        answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._watch.leave()
        addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        self._guard.judge_all(addresses, port)
        self._watch.enter("connect")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            self._watch.ip, self._watch.port = address, port
            share = max(0.0, self._deadline - loop.time()) / left
            try:
                # Only the last address may use up the deadline: its time-out is the check's.
                stream = await self._sockets.connect_tcp(
                    address, port, timeout=share if left > 1 else None
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if left == 1:
                    raise
            else:
                self._watch.leave()
                return _Stream(stream, self._watch)
        raise AssertionError("getaddrinfo gave no address and no error")


class _Body(httpx.AsyncByteStream):
    """The answer's body; closing it closes the connection."""

    def __init__(
        self, parts: AsyncIterator[bytes], connection: httpcore.AsyncHTTPConnection
    ) -> None:
        self._parts = parts
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            yield part

    async def aclose(self) -> None:
        await self._connection.aclose()


class GuardedTransport(httpx.AsyncBaseTransport):
    """One request, one connection, guarded and timed.

    Args:
        guard: which addresses may be dialled.
        watch: filled with the phases and the address dialled.
        deadline: the loop's time by which a connection must stand.
        verify: whether certificates are verified.

    Errors are those of httpcore, ssl and the socket layer, unmapped: the one map to
    reasons is in ``monitoring.probes.http``.
    """

    def __init__(self, *, guard: Guard, watch: Stopwatch, deadline: float, verify: bool) -> None:
        self._backend = _Backend(guard, watch, deadline)
        self._verify = verify

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request on a connection of its own."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        connection = httpcore.AsyncHTTPConnection(
            origin=url.origin,
            ssl_context=ssl_context(verify=self._verify) if url.scheme == b"https" else None,
            network_backend=self._backend,
        )
        try:
            answer = await connection.handle_async_request(
                httpcore.Request(
                    method=request.method, url=url, headers=request.headers.raw, content=b""
                )
            )
        except BaseException:
            await connection.aclose()
            raise
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.aiter_stream(), connection),
            extensions=answer.extensions,
        )
