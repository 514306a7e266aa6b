"""One request and its answer on one connection, parsed as the bytes arrive.

HTTP/1.1 as llhttp reads it (through httptools). The instants of the phases are taken in
the protocol's callbacks, where the bytes are, and not where a coroutine gets to see them.
"""

import asyncio
from collections import deque
from typing import Final, cast

from httptools import HttpParserError, HttpResponseParser

from monitoring.probes.stopwatch import Stopwatch

MAX_HEAD_BYTES: Final = 65_536
MAX_HEADERS: Final = 256
_BUFFERED: Final = 262_144
"""Bytes of a body that wait for their reader before the socket is no longer read."""


class HungUp(Exception):  # noqa: N818 - a failing target, turned into an Outcome
    """The peer ended the connection before the answer was complete."""


class NotHTTP(Exception):  # noqa: N818 - a failing target, turned into an Outcome
    """What the peer sent is not HTTP, or more head than is read. The words are ours."""


class Exchange(asyncio.Protocol):
    """The client's side of one request and answer.

    Args:
        watch: told when the request is sent, the first byte comes, and the last.
        bodiless: whether the answer has no body whatever its headers say (HEAD).
    """

    def __init__(self, watch: Stopwatch, *, bodiless: bool) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._watch = watch
        self._bodiless = bodiless
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
        self._head_bytes = 0
        self._head_done = False
        self._informational = False
        self._framed = False
        self._complete = False
        self._error: Exception | None = None
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None

    # What the one who asks calls.

    def send(self, request: bytes) -> None:
        """Send the whole request; `wait` begins."""
        self._watch.enter("wait")
        self.transport.write(request)
        self._watch.restart()

    async def head(self) -> None:
        """Wait until ``status`` and ``headers`` are there.

        Raises:
            HungUp, NotHTTP, OSError: the connection ended without them.
        """
        while not self._head_done:
            await self._more()

    async def chunk(self) -> bytes | None:
        """Return the next part of the body, None after its end.

        Raises:
            HungUp, NotHTTP, OSError: the connection ended before the body did.
        """
        while not self._chunks:
            if self._complete:
                return None
            await self._more()
        part = self._chunks.popleft()
        if self._buffered >= _BUFFERED > self._buffered - len(part) and self._transport:
            self._transport.resume_reading()
        self._buffered -= len(part)
        return part

    @property
    def transport(self) -> asyncio.Transport:
        """The connection."""
        assert self._transport is not None
        return self._transport

    @property
    def ended(self) -> bool:
        """Whether the connection is gone or going."""
        return self._error is not None or self.transport.is_closing()

    def use(self, transport: asyncio.Transport) -> None:
        """Go on over another transport: TLS on top of the first one."""
        self._transport = transport

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None and not self._complete:
            self._error = error
        self.abort()
        self._wake()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection."""
        # Not asserted: uvloop's transports are of a class of their own.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        if self._watch.current == "wait":
            self._watch.enter("download")
        if self._complete or self._error is not None:
            return
        if not self._head_done:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            # llhttp's words are a fixed list; its own callbacks' errors are ours.
            cause = error.__context__ if isinstance(error.__context__, NotHTTP) else None
            self._fail(cause or NotHTTP(str(error).lower() or "a broken answer"))
            return
        if not self._head_done and self._head_bytes > MAX_HEAD_BYTES:
            self._fail(NotHTTP(f"a head of more than {MAX_HEAD_BYTES} bytes"))

    def eof_received(self) -> bool:
        """Close when the peer does."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """End the answer: whole, if only the end of the connection bounds it."""
        if error is None and self._head_done and not self._framed and not self._complete:
            self._end()
        elif not self._complete:
            self._fail(error or HungUp())
        self._wake()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are not kept."""
        if self._head_done:
            return
        if len(self.headers) >= MAX_HEADERS:
            raise NotHTTP(f"more than {MAX_HEADERS} headers")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the head, unless it is one of those before the answer (1xx)."""
        status = self._parser.get_status_code()
        if status == 101:
            raise NotHTTP("it switches protocols, which was not asked for")
        self._informational = 100 <= status < 200
        if self._informational:
            self.headers.clear()
            return
        self.status = status
        self._head_done = True
        names = {name.lower(): value for name, value in self.headers}
        coding = names.get(b"transfer-encoding")
        self._framed = (
            b"content-length" in names if coding is None else b"chunked" in coding.lower()
        )
        if self._bodiless:
            self._end()
        self._wake()

    def on_body(self, part: bytes) -> None:
        """Hand a part of the body on, and stop reading while nobody takes it."""
        if self._complete:
            return
        self._chunks.append(part)
        self._buffered += len(part)
        if self._buffered >= _BUFFERED > self._buffered - len(part) and self._transport:
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        """End the answer at the last byte of its body."""
        if not self._informational:
            self._end()

    def _end(self) -> None:
        if not self._complete:
            self._complete = True
            self._watch.leave()
        self._wake()
