"""TLS by hand: a server's session over memory, so that every byte of it can be held back."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from tests.integration.probes.serving import Behaviour, Visit
from tests.torture.case import Setup
from tests.torture.serving import Context
from tests.torture.stage import Stage

ALERT: Final = 21
"""The content type of an alert (RFC 8446, 5.1)."""


def record(kind: int, body: bytes, *, version: int = 0x0303) -> bytes:
    """Return a record in plain text (RFC 8446, 5.1)."""
    return bytes([kind]) + version.to_bytes(2) + len(body).to_bytes(2) + body


def alert(number: int, *, fatal: bool = True) -> bytes:
    """Return an alert in plain text (RFC 8446, 6)."""
    return record(ALERT, bytes([2 if fatal else 1, number]))


class Session:
    """The server's side of TLS on a visit.

    Args:
        visit: a connection that carries bytes as they are.
        context: the server's.
    """

    def __init__(self, visit: Visit, context: ssl.SSLContext) -> None:
        self.visit = visit
        self.client_random = b""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def pending(self) -> bytes:
        """Take what TLS wants to send."""
        return self._outgoing.read()

    async def flush(self) -> None:
        """Send what TLS wants to send."""
        await self.visit.send(self.pending())

    async def _feed(self) -> None:
        data = await self.visit.reader.read(65536)
        self.client_random = self.client_random or data[11:43]
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def hello(self) -> bytes:
        """Read the client's first flight, and return the server's, not yet sent."""
        while not self._outgoing.pending:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                if not self._outgoing.pending:
                    await self._feed()
        return self.pending()

    async def handshake(self) -> bytes:
        """Shake hands, and return the last flight, not yet sent: tickets, or TLS 1.2's end."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush()
                await self._feed()
            except ssl.SSLError:
                await self.flush()  # the alert that says why not
                raise
            else:
                return self.pending()

    async def read_request(self) -> bytes:
        """Read a request's head."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            try:
                part = self.tls.read(65536)
                if not part:
                    raise ConnectionResetError("the client has said goodbye")
                head += part
            except ssl.SSLWantReadError:
                await self.flush()
                await self._feed()
        return head

    def sealed(self, data: bytes) -> bytes:
        """Return data in records, not yet sent."""
        self.tls.write(data)
        return self.pending()

    def goodbye(self) -> bytes:
        """Return close_notify, not yet sent."""
        # The peer's own has not come, and nobody waits for it.
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        return self.pending()

    async def wait(self) -> None:
        """Wait until the client is gone."""
        while await self.visit.reader.read(65536):
            pass


Act = Callable[[Session], Awaitable[None]]


def plays(act: Act, *, tls: Context, called: str = "127.0.0.1") -> Setup:
    """Return a set-up of a server that does its TLS by hand."""

    async def setup(stage: Stage) -> str:
        context = tls(stage.authority)

        async def behave(visit: Visit) -> None:
            session = Session(visit, context)
            try:
                await act(session)
            except ssl.SSLError:
                # No session: whose fault that is, the row says. A reset could overtake the alert.
                await session.wait()

        return (await stage.serve(behave, scheme="https")).url(host=called)

    return setup


def after_hello(*parts: bytes, stays: bool = True) -> Behaviour:
    """Read what a client says first, answer with these bytes, and stay until it goes."""

    async def behave(visit: Visit) -> None:
        await visit.reader.read(65536)
        await visit.send(*parts)
        while stays and await visit.reader.read(65536):
            pass

    return behave


def says(*parts: bytes, farewell: bool, stays: bool = False, asked: bool = True) -> Act:
    """Shake hands, read the request, send these bytes, then end or stay.

    Args:
        parts: of an answer.
        farewell: whether close_notify is sent (RFC 8446, 6.1).
        stays: whether the connection is kept after it.
        asked: whether the request is waited for.
    """

    async def act(session: Session) -> None:
        await session.visit.send(await session.handshake())
        if asked:
            await session.read_request()
        for part in parts:
            await session.visit.send(session.sealed(part))
        if farewell:
            await session.visit.send(session.goodbye())
        if stays:
            await session.wait()

    return act


def breaks_with(answer: bytes, raw: bytes) -> Act:
    """Shake hands, read the request, send part of an answer, then bytes in no record of ours."""

    async def act(session: Session) -> None:
        await session.visit.send(await session.handshake())
        await session.read_request()
        await session.visit.send(session.sealed(answer), raw)
        await session.wait()

    return act


def drips_its_hello(pause: float) -> Act:
    """Send the server's first flight a byte at a time, then answer."""

    async def act(session: Session) -> None:
        for byte in await session.hello():
            await session.visit.send(bytes([byte]))
            await asyncio.sleep(pause)
        await says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", farewell=True)(session)

    return act
