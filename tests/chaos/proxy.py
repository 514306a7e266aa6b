"""A TCP proxy on loopback that fails as it is told, while it runs."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, Final

_CHUNK: Final = 65_536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: RST, not FIN


class Fault(StrEnum):
    """What the proxy does with connections, those that are open included."""

    NONE = "none"
    REFUSE = "refuse"  # nobody listens: what is open is reset, what is new is refused
    RESET = "reset"  # what is open is reset, what is new is accepted and reset
    STALL = "stall"  # half-open: taken in and never answered, and never heard of again


class Proxy:
    """Forwards connections to one address, from a thread of its own.

    Args:
        upstream: host and port of the server behind it.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._fault = Fault.NONE
        self._delay = 0.0
        self._cut_after: int | None = None
        self._open: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0
        self.accepted = 0

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def fail(
        self, fault: Fault = Fault.NONE, *, delay: float = 0.0, cut_after: int | None = None
    ) -> None:
        """Fail like this from now on; nothing given heals it.

        Args:
            fault: what is done with connections.
            delay: seconds that each piece is held back, in both directions.
            cut_after: bytes of the server after which a connection is reset.
        """

        async def change() -> None:
            self._fault, self._delay, self._cut_after = fault, delay, cut_after
            if fault is Fault.REFUSE:
                await self._deafen()
            elif self._server is None:
                await self._listen()
            if fault in (Fault.REFUSE, Fault.RESET):
                self._reset()
            elif fault is Fault.STALL:
                for each in self._open:
                    each.is_stalled = True

        self._call(change())

    def heal(self) -> None:
        """Forward again. What was stalled stays so: its peer has long forgotten it."""
        self.fail()

    def reset_all(self) -> None:
        """Reset every open connection, once."""

        async def reset() -> None:
            self._reset()

        self._call(reset())

    def stall_one(self, port: int) -> None:
        """Stall the one connection that comes to the server from this port, and no other."""

        async def stall() -> None:
            for each in self._open:
                if each.writers[-1].get_extra_info("sockname")[1] == port:
                    each.is_stalled = True

        self._call(stall())

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=_CHUNK, backlog=512
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _deafen(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _reset(self) -> None:
        for each in list(self._open):
            each.reset()

    async def _close(self) -> None:
        await self._deafen()
        self._reset()
        others = asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = _Connection(writer, is_stalled=self._fault is Fault.STALL)
        self._open.add(connection)
        try:
            if self._fault is Fault.RESET:
                return
            if connection.is_stalled:
                while await reader.read(_CHUNK):
                    pass
                return
            upstream, upwriter = await asyncio.open_connection(*self._upstream, limit=_CHUNK)
            connection.writers.append(upwriter)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(connection, reader, upwriter))
                both.create_task(self._pump(connection, upstream, writer, counted=True))
        except (OSError, ExceptionGroup):
            pass
        finally:
            connection.reset()
            self._open.discard(connection)

    async def _pump(
        self,
        connection: "_Connection",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        counted: bool = False,
    ) -> None:
        while data := await reader.read(_CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            if connection.is_stalled:
                continue
            if counted and self._cut_after is not None:
                left = self._cut_after - connection.answered
                data = data[: max(left, 0)]
            connection.answered += len(data) if counted else 0
            writer.write(data)
            await writer.drain()
            if counted and self._cut_after is not None and connection.answered >= self._cut_after:
                raise ConnectionResetError
        with contextlib.suppress(OSError):
            if not connection.is_stalled:
                writer.write_eof()


class _Connection:
    """Both sides of one connection."""

    def __init__(self, writer: asyncio.StreamWriter, *, is_stalled: bool) -> None:
        self.writers = [writer]
        self.is_stalled = is_stalled
        self.answered = 0

    def reset(self) -> None:
        for writer in self.writers:
            connection = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()
