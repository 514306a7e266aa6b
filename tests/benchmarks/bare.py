"""Clients with nothing around them: uvloop and llhttp, and OpenSSL alone."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, cast
from urllib.parse import urlsplit

from httptools import HttpResponseParser

from tests.benchmarks.measure import Failed

_TLS_RECORDS: Final = 65_536


class _Answer(asyncio.Protocol):
    """One connection; each answer that is complete wakes who waits for it."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[bytes] | None = None
        self._parser = HttpResponseParser(self)
        self._body: list[bytes] = []

    async def ask(self, request: bytes) -> bytes:
        """Send a request; return the body of its answer, which has to be of status 200."""
        self._waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._waiter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error or Failed("closed before the answer was complete"))

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        body, self._body = b"".join(self._body), []
        if self._waiter is None or self._waiter.done():
            return
        if (status := self._parser.get_status_code()) == 200:
            self._waiter.set_result(body)
        else:
            self._waiter.set_exception(Failed(f"status {status}"))


def prototype(url: str) -> Callable[[], Awaitable[None]]:
    """Return a check of ``url`` on a connection of its own, verified where it is HTTPS."""
    host, port = _address(url)
    context = ssl.create_default_context() if url.startswith("https:") else None
    request = _request(url, "close")
    loop = asyncio.get_running_loop()

    async def check() -> None:
        _, answer = await loop.create_connection(
            _Answer, host, port, ssl=context, server_hostname=host if context else None
        )
        try:
            await answer.ask(request)
        finally:
            answer.transport.abort()

    return check


def asking(url: str) -> Callable[[], Awaitable[None]]:
    """Return a check by an exporter, asked over connections that are kept, as Prometheus does."""
    host, port = _address(url)
    request = _request(url, "keep-alive")
    loop = asyncio.get_running_loop()
    idle: deque[_Answer] = deque()

    async def check() -> None:
        if idle:
            answer = idle.popleft()
        else:
            _, answer = await loop.create_connection(_Answer, host, port)
        metrics = await answer.ask(request)
        if b"\nprobe_success 1\n" not in metrics:
            raise Failed("the exporter says that the check did not succeed")
        idle.append(answer)

    return check


def handshake(url: str) -> Callable[[], None]:
    """Return a TLS handshake by OpenSSL over a blocking socket, then closed: no HTTP, no loop."""
    host, port = _address(url)
    context = ssl.create_default_context()

    def check() -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_hostname=host)
        with socket.create_connection((host, port)) as connection:
            while True:
                try:
                    session.do_handshake()
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(_TLS_RECORDS))
                else:
                    connection.sendall(outgoing.read())
                    return

    return check


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def _request(url: str, connection: str) -> bytes:
    parts = urlsplit(url)
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    return (
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: prototype\r\n"
        f"Accept: */*\r\nConnection: {connection}\r\n\r\n"
    ).encode("ascii")
