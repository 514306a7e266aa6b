"""The HTTPX transport: resolve, guard, connect, TLS, send, receive, each timed.

One connection per request, never kept: a pool would share state between checks (a
cancelled request poisons httpcore's, encode/httpcore#1093) and hide the connect time.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpcore
import httpx

from monitoring.probes.guard import Guard
from monitoring.probes.reasons import NoTrustStore, most_telling
from monitoring.probes.stopwatch import Stopwatch

# AnyIO loads it in the middle of the first check, whose time that would be: 20 ms and more.
import_module("anyio._backends._asyncio")


@lru_cache(maxsize=8)
def ssl_context(*, verify: bool) -> ssl.SSLContext:
    """Return the shared context: the system's trust store, or OpenSSL's SSL_CERT_FILE.

    Building one costs tens of milliseconds, so there is one per combination of options.

    Raises:
        NoTrustStore: there is nothing to verify against; every target would look untrusted.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if verify and not context.cert_store_stats()["x509"] and not _trust_folder():
        raise NoTrustStore(
            "this worker trusts no certificate authority: install ca-certificates, or let "
            "SSL_CERT_FILE name a file of them"
        )
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trust_folder() -> bool:
    """Return whether OpenSSL has a folder of certificates, which it reads as it needs them."""
    folder = ssl.get_default_verify_paths().capath
    return bool(folder) and next(Path(folder).iterdir(), None) is not None


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
        if self._watch.current != "wait":
            self._watch.enter("wait")
        await self._stream.write(buffer, timeout)
        # The last write leaves the clock of `wait` at the request sent.
        self._watch.restart()

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        self._watch.enter("tls")
        if server_hostname is not None:
            # A name is sent, and is certified, without the root's dot (RFC 6066, 3).
            server_hostname = server_hostname.removesuffix(".")
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
        addresses = await self._resolve(host, port)
        self._guard.judge_all(addresses, port)
        self._watch.enter("connect")
        errors: list[httpcore.ConnectError | httpcore.ConnectTimeout] = []
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            self._watch.ip, self._watch.port = address, port
            share = max(0.0, self._deadline - loop.time()) / left
            try:
                # Only the last address may use up the deadline: its time-out is the check's.
                stream = await self._sockets.connect_tcp(
                    address, port, timeout=share if left > 1 else None
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                errors.append(error)
            else:
                self._watch.leave()
                return _Stream(stream, self._watch)
        worst = most_telling(errors)
        self._watch.ip = addresses[worst]
        raise errors[worst]

    async def _resolve(self, host: str, port: int) -> list[str]:
        """Return a host's addresses, each once, in the resolver's order."""
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        # In the loop's executor, not in the loop's own threads: uvloop's are four, of which
        # two may resolve at a time, so two names without an answer would hold up all others.
        answers = await asyncio.get_running_loop().run_in_executor(None, self._look_up, host, port)
        self._watch.leave()
        return list(dict.fromkeys(str(answer[4][0]) for answer in answers))

    def _look_up(self, host: str, port: int) -> list[Any]:
        # Entered here, in the thread: the wait for one is ours and not the name server's.
        self._watch.enter("dns")
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


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
    reasons is in ``monitoring.probes.reasons``.
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
