"""Servers on loopback that behave as told, in a thread and a loop of their own."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Visit:
    """One connection, as the server sees it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[bytes]
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.seen = seen

    async def read_request(self) -> bytes:
        """Read a request's head."""
        self.seen.append(await self.reader.readuntil(b"\r\n\r\n"))
        return self.seen[-1]

    async def send(self, *parts: bytes) -> None:
        """Send bytes as they are."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    def reset(self) -> None:
        """Close with a reset in place of an orderly end."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Visit], Awaitable[None]]


class Server:
    """A listening server, and what it has seen."""

    def __init__(self, behaviour: Behaviour, *, scheme: str) -> None:
        self._behaviour = behaviour
        self._scheme = scheme
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0

    def url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        """Return an address of the server."""
        return f"{self._scheme}://{host}:{self.port}{path}"

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._meet, host, port, ssl=tls, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and end what hangs."""
        assert self._server is not None
        self._server.close()
        for task in self._visits:
            task.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        self.connections += 1
        visit = Visit(reader, writer, self.requests)
        try:
            # A probe that has seen enough goes away in the middle: that is no news here.
            gone = OSError, asyncio.IncompleteReadError, asyncio.CancelledError
            with contextlib.suppress(*gone):
                await self._behaviour(visit)
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()
            self._visits.discard(task)


class Host:
    """The thread and the loop in which servers run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers")
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the servers' loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def serve(
        self,
        behaviour: Behaviour,
        *,
        tls: ssl.SSLContext | None = None,
        scheme: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> Server:
        """Start a server on a free port of loopback."""
        server = Server(behaviour, scheme=scheme or ("https" if tls else "http"))
        self.call(server.open(host, port, tls))
        return server

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def answer(status: int = 200, body: bytes = b"ok", *headers: str) -> bytes:
    """Return a whole answer with its length."""
    lines = [f"HTTP/1.1 {status} Words", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def replies(*parts: bytes) -> Behaviour:
    """Read the request, send these bytes, close."""

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(*parts)

    return behave


def stays_silent_after(*parts: bytes) -> Behaviour:
    """Read the request, send these bytes, then nothing more, and stay connected."""

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(*parts)
        await visit.reader.read()

    return behave


def repeats(head: bytes, part: bytes, *, pause: float = 0.0) -> Behaviour:
    """Read the request, send the head, then one part again and again without end."""

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(head)
        while True:
            await visit.send(part)
            await asyncio.sleep(pause)

    return behave


def resets_after(*parts: bytes) -> Behaviour:
    """Read the request, send these bytes, then reset the connection."""

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(*parts)
        visit.reset()

    return behave


def routes(table: dict[str, bytes]) -> Behaviour:
    """Answer by the path of the request."""

    async def behave(visit: Visit) -> None:
        head = await visit.read_request()
        await visit.send(table[head.split(b" ")[1].decode()])

    return behave


def redirects(location: str, status: int = 302) -> bytes:
    """Return a redirect."""
    return answer(status, b"moved", f"Location: {location}")


async def hangs_up(visit: Visit) -> None:
    """Close at once."""


async def says_nothing(visit: Visit) -> None:
    """Accept, and never write."""
    while await visit.reader.read(65536):
        pass


async def resets(visit: Visit) -> None:
    """Reset at once."""
    visit.reset()
