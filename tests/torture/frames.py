"""HTTP/2 by hand: a server's side that greets as it should, then sends any frame (RFC 9113)."""

from collections.abc import Awaitable, Callable
from typing import Final

import h2.config
import h2.connection
import h2.events
import hpack

from tests.integration.probes.serving import Behaviour, Visit

DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 1
END_HEADERS: Final = 4
ACK: Final = 1

Fields = list[tuple[str, str]]


def frame(kind: int, body: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """Return a frame (RFC 9113, 4.1)."""
    return len(body).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + body


def setting(*pairs: tuple[int, int]) -> bytes:
    """Return SETTINGS (RFC 9113, 6.5)."""
    return frame(SETTINGS, b"".join(name.to_bytes(2) + value.to_bytes(4) for name, value in pairs))


def number(value: int) -> bytes:
    """Return four bytes, as error codes, window sizes and stream numbers are written."""
    return value.to_bytes(4)


class Exchange:
    """One connection, up to the request and from there on.

    Args:
        visit: a connection on which HTTP/2 was agreed on.
    """

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.stream = 0
        self._machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._packer = hpack.Encoder()

    async def greet(self) -> None:
        """Send SETTINGS, acknowledge the client's."""
        self._machine.initiate_connection()
        await self.visit.send(self._machine.data_to_send())

    async def read_request(self) -> None:
        """Read until the request's headers are there."""
        while not self.stream:
            await self._listen()

    async def _listen(self) -> None:
        data = await self.visit.reader.read(65536)
        if not data:
            raise ConnectionResetError("the client is gone")
        for event in self._machine.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.stream = event.stream_id
        await self.visit.send(self._machine.data_to_send())

    def packed(self, fields: Fields) -> bytes:
        """Return a header block."""
        return self._packer.encode(fields)

    def head(self, fields: Fields, *, end: bool = False) -> bytes:
        """Return HEADERS of the request's stream."""
        flags = END_HEADERS | (END_STREAM if end else 0)
        return frame(HEADERS, self.packed(fields), flags=flags, stream=self.stream)

    def data(self, body: bytes, *, end: bool = False) -> bytes:
        """Return DATA of the request's stream."""
        return frame(DATA, body, flags=END_STREAM if end else 0, stream=self.stream)

    async def pour(self, part: bytes) -> None:
        """Send DATA without end, as fast as the client lets it be sent."""
        self._machine.send_headers(self.stream, [(":status", "200")])
        await self.visit.send(self._machine.data_to_send())
        while True:
            room = self._machine.local_flow_control_window(self.stream)
            if room:
                self._machine.send_data(self.stream, part[:room])
                await self.visit.send(self._machine.data_to_send())
            else:
                await self._listen()

    async def wait(self) -> None:
        """Wait until the client is gone."""
        while await self.visit.reader.read(65536):
            pass


Act = Callable[[Exchange], Awaitable[None]]


def greets(act: Act) -> Behaviour:
    """Agree on HTTP/2, read the request's head, then act, and stay until the client goes."""

    async def behave(visit: Visit) -> None:
        exchange = Exchange(visit)
        await exchange.greet()
        await exchange.read_request()
        await act(exchange)
        await exchange.wait()

    return behave
