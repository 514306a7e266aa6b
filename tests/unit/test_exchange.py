"""The response path: whatever bytes come, in whatever pieces, it ends as one of three things."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.probes.exchange import MAX_HEAD_BYTES, MAX_HEADERS, Asked, Exchange
from monitoring.probes.faults import HungUp, NotHTTP
from monitoring.probes.stopwatch import Stopwatch

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


class Wire:
    """A connection on which given pieces come in, and then its end, or nothing more."""

    def __init__(self, pieces: Sequence[bytes], *, closed: bool) -> None:
        self.pieces = deque(piece for piece in pieces if piece)
        self.closed = closed
        self.sent = b""
        self.aborted = False
        self.arrived = 0.0

    def has_spoken(self) -> bool:
        return False

    async def send(self, data: bytes | memoryview) -> memoryview:
        self.sent += data
        return memoryview(b"")

    async def receive(self) -> bytes:
        if self.pieces:
            return self.pieces.popleft()
        assert self.closed, "it asks for more than there is"
        return b""

    def close(self) -> None:
        self.aborted = True


def answered(*pieces: bytes, method: str = "GET", closed: bool = True) -> tuple[Exchange, Wire]:
    """Return an exchange on which these pieces will come in, and the end of the connection."""
    wire = Wire(pieces, closed=closed)
    return Exchange(wire, Stopwatch(), bodiless=method == "HEAD"), wire


def read(exchange: Exchange) -> bytes:
    """Return the whole body."""

    async def run() -> bytes:
        await exchange.ask(
            Asked("GET", httpx.URL("http://example.org/"), [(b"Host", b"example.org")]), b""
        )
        await exchange.head()
        body = b""
        while (part := await exchange.chunk()) is not None:
            body += part
        return body

    return asyncio.run(asyncio.wait_for(run(), 5))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return the data in pieces."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(st.lists(st.binary(max_size=200), max_size=10), st.sampled_from(["GET", "HEAD"]))
def test_arbitrary_bytes_end_as_a_body_or_as_one_of_two_errors(
    pieces: list[bytes], method: str
) -> None:
    exchange, _ = answered(*pieces, method=method)
    with contextlib.suppress(HungUp, NotHTTP):
        read(exchange)


MUTABLE = (
    OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nbody",
)


@given(
    st.sampled_from(MUTABLE),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_broken_answers_in_arbitrary_pieces_raise_nothing_else(
    data: bytes, changes: list[tuple[int, int]], places: list[int]
) -> None:
    broken = bytearray(data)
    for place, value in changes:
        broken[place % len(broken)] = value
    exchange, _ = answered(*cut(bytes(broken), places))
    words = ""
    try:
        read(exchange)
    except (HungUp, NotHTTP) as error:
        words = str(error)
    assert words.isascii()  # ours: the server's own are not quoted


@given(st.sampled_from(MUTABLE), st.lists(st.integers(0, 200), max_size=20))
def test_the_pieces_make_no_difference(data: bytes, places: list[int]) -> None:
    exchange, _ = answered(*cut(data, places))
    assert (read(exchange), exchange.status) == (b"body", 200)


def test_the_answer_is_whole_at_its_last_byte_and_not_at_the_close() -> None:
    exchange, _ = answered(OK, closed=False)
    assert read(exchange) == b"body"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    ],
)
def test_an_answer_that_stops_early_has_hung_up(data: bytes) -> None:
    exchange, _ = answered(data)
    with pytest.raises(HungUp):
        read(exchange)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", "content-length"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
            "transfer-encoding",
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "not asked for"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n", "headers"),
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * 2 * MAX_HEAD_BYTES, "bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, "bytes"),
        (CHUNKED + b"0\r\na: " + b"b" * 2 * MAX_HEAD_BYTES, "trailers"),
        (CHUNKED + b"1;" + b"x" * 2 * MAX_HEAD_BYTES, "chunk sizes"),
    ],
)
def test_what_is_not_http_ends_at_once(data: bytes, words: str) -> None:
    exchange, _ = answered(data, closed=False)
    with pytest.raises(NotHTTP) as raised:
        read(exchange)
    assert words in str(raised.value)


def test_lines_may_end_without_a_carriage_return() -> None:
    exchange, _ = answered(b"HTTP/1.1 200 OK\nContent-Length: 4\n\nbody")
    assert read(exchange) == b"body"


def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    exchange, _ = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", method="HEAD")
    assert read(exchange) == b""


def test_a_body_that_nobody_asks_for_is_not_received() -> None:
    exchange, wire = answered(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65_536] * 5)

    async def run() -> None:
        await exchange.head()
        assert await exchange.chunk() == b"x" * 65_536

    asyncio.run(run())
    assert len(wire.pieces) == 4


def test_an_answer_before_the_request_was_sent_is_taken() -> None:
    """A server may refuse a long request without reading it to its end."""

    class Deaf(Wire):
        async def send(self, data: bytes | memoryview) -> memoryview:
            raise BrokenPipeError

    exchange = Exchange(Deaf([OK], closed=True), Stopwatch(), bodiless=False)
    assert (read(exchange), exchange.status) == (b"body", 200)


class Narrow(Wire):
    """A connection that takes ten bytes at a time, and hears something after each."""

    async def send(self, data: bytes | memoryview) -> memoryview:
        self.sent += bytes(data[:10])
        return memoryview(data)[10:]


HINT = b"HTTP/1.1 103 Early Hints\r\n\r\n"
LONG = b"0123456789" * 10


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        pytest.param([HINT] * 30 + [OK], True, id="hints while it is being sent"),
        pytest.param([OK[:-4], b"b", b"ody"], False, id="an early answer"),
        pytest.param([b"HTTP/1.1 413 Too much\r\nContent-Length: 0\r\n\r\n"], False, id="refused"),
    ],
)
def test_what_comes_while_the_request_is_sent_does_not_end_the_sending(
    answer: list[bytes], whole: bool
) -> None:
    wire = Narrow(answer, closed=False)
    exchange = Exchange(wire, Stopwatch(), bodiless=False)

    async def run() -> None:
        await exchange.ask(Asked("POST", httpx.URL("http://example.org/"), []), LONG)
        await exchange.head()
        while await exchange.chunk() is not None:
            pass

    asyncio.run(asyncio.wait_for(run(), 5))
    assert wire.sent.endswith(LONG) is whole
    assert not wire.pieces
