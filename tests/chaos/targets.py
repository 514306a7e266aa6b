"""What is watched: a web server that answers at once, hangs, drips, or takes no connection.

In a thread of the test by default, so that its hits can be read. Where a test is not, in a
network of its own, ``python -m tests.chaos.targets HOST PORT DNS_PORT`` runs it and a name server.
"""

import asyncio
import contextlib
import socket
import sys
import threading
import time
from typing import Final

from tests.chaos.names import Answers

_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_DRIP: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


class _Request(asyncio.Protocol):
    def __init__(self, hits: list[tuple[float, str]], held: set[asyncio.Transport]) -> None:
        self._hits, self._held = hits, held
        self._data = b""
        self._drips: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._held.add(transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if b"\r\n\r\n" not in self._data:
            return
        path = self._data.split(b" ", 2)[1].decode()
        self._data = b""
        self._hits.append((time.time(), path))
        if path.startswith("/hang"):
            return
        if path.startswith("/drip"):
            self._transport.write(_DRIP)
            self._drip()
            return
        self._transport.write(_OK)
        self._transport.close()

    def _drip(self) -> None:
        self._transport.write(b".")
        self._drips = asyncio.get_running_loop().call_later(0.5, self._drip)

    def connection_lost(self, exc: Exception | None) -> None:
        self._held.discard(self._transport)
        if self._drips is not None:
            self._drips.cancel()


class Targets:
    """The server in a thread.

    Attributes:
        hits: instant by this machine's clock, and path, of each request.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.hits: list[tuple[float, str]] = []
        self._host = host
        self._open: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        # Its queue of one is full with two that nobody accepts: what comes after is dropped.
        self._hole = socket.socket()
        self._plugs = [socket.socket() for _ in range(3)]

    def __enter__(self) -> "Targets":
        self._thread.start()
        serving = self._loop.create_server(
            lambda: _Request(self.hits, self._open), self._host, 0, backlog=2048
        )
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(5)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._hole.bind((self._host, 0))
        self._hole.listen(0)
        self.hole_port: int = self._hole.getsockname()[1]
        for plug in self._plugs:
            plug.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                plug.connect((self._host, self.hole_port))
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._hole, *self._plugs):
            each.close()
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for each in list(self._open):
            each.abort()
        await asyncio.sleep(0)  # their sockets are closed in the next turn

    def url(self, path: str, host: str | None = None) -> str:
        """Return the address of what behaves as its path says; ``/hole`` takes no connection."""
        port = self.hole_port if path.startswith("/hole") else self.port
        return f"http://{host or self._host}:{port}{path}"


async def _serve(host: str, port: int, dns_port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Request([], set()), host, port)
    await loop.create_datagram_endpoint(lambda: Answers(host), local_addr=(host, dns_port))
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
