"""One request and its answer in HTTP/1.1, as llhttp reads it (through httptools)."""

from abc import ABC, abstractmethod
from collections import deque
from typing import Final, NamedTuple, Protocol

import httpx
from httptools import HttpParserError, HttpResponseParser

from monitoring.probes.faults import HungUp, NotHTTP
from monitoring.probes.stopwatch import Stopwatch

MAX_HEAD_BYTES: Final = 65_536
MAX_HEADERS: Final = 256
_LENGTH: Final = len("Content-Length")
_CODING: Final = len("Transfer-Encoding")
_NOTHING: Final = memoryview(b"")
_REFUSALS: Final = 400
"""From this status on the rest of a request need not be sent."""
_SLACK: Final = 4096
"""Room for status lines, and for the answers before the answer (1xx)."""
_FRAMING_PER_BYTE: Final = 16
"""Bytes of chunk sizes, extensions and trailers that a byte of body may cost."""


class Stream(Protocol):
    """What carries bytes: a Wire, or a Session of TLS on one."""

    @property
    def arrived(self) -> float:
        """When the last bytes received had come in, on ``time.perf_counter``."""

    def has_spoken(self) -> bool:
        """Return whether bytes have come that nobody asked for."""

    async def send(self, data: bytes | memoryview) -> memoryview:
        """Send bytes, all of them unless something comes first; return what is left."""

    async def receive(self) -> bytes:
        """Return what has come, nothing at the end."""

    def close(self) -> None:
        """Close at once."""


class Asked(NamedTuple):
    """A request, without its body: what of ``httpx.Request`` goes over the wire.

    ``headers`` go as they are, in their order.
    """

    method: str
    url: httpx.URL
    headers: list[tuple[bytes, bytes]]


class Asking(ABC):
    """The client's side of one request and answer, whatever it is written in.

    Args:
        stream: the connection; nothing else reads from it.
        watch: told when the request is sent, the first byte comes, and the last.
    """

    http_version: str

    def __init__(self, stream: Stream, watch: Stopwatch) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._stream = stream
        self._watch = watch
        self._head_done = False
        self._complete = False
        self._error: HungUp | NotHTTP | None = None
        """What came after what is still to be handed on."""
        self._chunks: deque[bytes] = deque()

    @abstractmethod
    async def ask(self, request: Asked, body: bytes) -> None:
        """Send the request; ``wait`` begins.

        Raises:
            HungUp, NotHTTP, OSError: there is no connection any more, and no answer either.
        """

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
        return self._chunks.popleft()

    def close(self) -> None:
        """Close the connection at once."""
        self._stream.close()

    @abstractmethod
    async def _more(self) -> None:
        """Receive something and take it in, or raise what ended the answer."""


class Exchange(Asking):
    """A request and its answer in HTTP/1.1.

    Args:
        stream, watch: as for ``Asking``.
        bodiless: whether the answer has no body whatever its headers say (HEAD).
    """

    def __init__(self, stream: Stream, watch: Stopwatch, *, bodiless: bool) -> None:
        super().__init__(stream, watch)
        self.http_version = ""
        self._bodiless = bodiless
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_version=True, lenient_headers=True
        )
        self._head_bytes = 0
        self._received = 0
        self._body_bytes = 0
        self._informational = False
        self._framed = False
        self._unsent = _NOTHING

    async def ask(self, request: Asked, body: bytes) -> None:
        """Send the request; ``wait`` begins."""
        self._watch.enter("wait")
        if self._stream.has_spoken():
            raise NotHTTP("it answered before it was asked (RFC 9112, 9.2)")
        self._unsent = memoryview(_bytes_of(request, body))
        await self._send_on()

    async def _send_on(self) -> None:
        """Send what is left of the request, until something comes."""
        try:
            self._unsent = await self._stream.send(self._unsent)
        except ConnectionError:
            # Who refuses a request before all of it was sent may have said why.
            self._unsent = _NOTHING

    def close(self) -> None:
        """Close the connection at once."""
        super().close()
        # The parser knows us and we know it: apart, nobody has to look for the circle.
        self._parser = None

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        if self._unsent and self.status < _REFUSALS:
            await self._send_on()  # what came was not the end: a hint, or an early beginning
        data = await self._stream.receive()
        if data:
            self._feed(data)
        elif self._head_done and not self._framed:
            self._end()  # only the end of the connection bounds it
        else:
            raise HungUp

    def _feed(self, data: bytes) -> None:
        assert self._parser is not None
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            # llhttp's words are a fixed list; its own callbacks' errors are ours.
            cause = error.__context__ if isinstance(error.__context__, NotHTTP) else None
            self._error = cause or NotHTTP(str(error).lower() or "a broken answer")
        else:
            # llhttp keeps a header, a trailer and a chunk's extension until they end.
            if not self._head_done and len(self.headers) > MAX_HEADERS:
                self._error = NotHTTP(f"more than {MAX_HEADERS} headers")
            elif self._received > _SLACK + MAX_HEAD_BYTES + _FRAMING_PER_BYTE * self._body_bytes:
                part = "chunk sizes and trailers" if self._head_done else "a head"
                self._error = NotHTTP(f"{part} of more than {MAX_HEAD_BYTES} bytes")

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Note when the first byte of an answer came."""
        if self._watch.current == "wait":
            self._watch.enter("download", self._stream.arrived)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are not kept."""
        if not self._head_done:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the head, unless it is one of those before the answer (1xx)."""
        if self._head_done:
            return  # another answer, which nobody asked for
        assert self._parser is not None
        self._look_at_headers()
        status = self._parser.get_status_code()
        if status == 101:
            raise NotHTTP("it switches protocols, which was not asked for")
        self._informational = 100 <= status < 200
        if self._informational:
            self.headers.clear()
            self._watch.call("wait")  # the answer itself is still to come
            return
        self.status = status
        self.http_version = self._parser.get_http_version()
        if not self.http_version.startswith("1."):
            raise NotHTTP(f"it calls itself HTTP/{self.http_version}, where 1.0 or 1.1 was due")
        if self.http_version != "1.0":
            self.http_version = "1.1"  # a later minor version is read as ours (RFC 9110, 2.5)
        self._head_done = True
        if self._bodiless:
            self._end()

    def _look_at_headers(self) -> None:
        """Hold the headers to their limits, and see what bounds the body."""
        if len(self.headers) > MAX_HEADERS:
            raise NotHTTP(f"more than {MAX_HEADERS} headers")
        chunked = None
        for name, value in self.headers:
            self._head_bytes += len(name) + len(value) + 4
            # Leniency to folded headers lets these through too (RFC 9110, 5.5; RFC 9112, 5.1).
            if b"\0" in value or name != name.strip():
                raise NotHTTP("a header with a NUL, or with space around its name")
            if len(name) == _LENGTH and name.lower() == b"content-length":
                self._framed = True
            elif len(name) == _CODING and chunked is None and name.lower() == b"transfer-encoding":
                # RFC 9112, 6.3: chunks bound a body only if they are its last coding.
                chunked = value.lower().rpartition(b",")[2].strip() == b"chunked"
        if chunked is not None:
            self._framed = chunked
        if self._head_bytes > MAX_HEAD_BYTES:
            raise NotHTTP(f"a head of more than {MAX_HEAD_BYTES} bytes")

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body until it is asked for."""
        if not self._complete:
            self._body_bytes += len(part)
            self._chunks.append(part)

    def on_message_complete(self) -> None:
        """End the answer at the last byte of its body."""
        if not self._informational:
            self._end()

    def _end(self) -> None:
        if not self._complete:
            self._complete = True
            self._watch.leave(self._stream.arrived)


def _bytes_of(request: Asked, body: bytes) -> bytes:
    head = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    head += [b"%s: %s" % header for header in request.headers]
    head += [b"", body]
    return b"\r\n".join(head)
