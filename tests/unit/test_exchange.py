"""The response path: whatever bytes come, in whatever pieces, it ends as one of three things."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.probes.exchange import MAX_HEAD_BYTES, MAX_HEADERS, Exchange, HungUp, NotHTTP
from monitoring.probes.stopwatch import Stopwatch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


class Wire(asyncio.Transport):
    """A connection that only remembers what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.aborted = self.paused = False

    def write(self, data: Any) -> None:
        self.sent += data

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False


def answered(*pieces: bytes, method: str = "GET", closed: bool = True) -> tuple[Exchange, Wire]:
    """Return the exchange after these pieces came in, and the end of the connection."""
    wire = Wire()
    exchange = Exchange(Stopwatch(), bodiless=method == "HEAD")
    exchange.connection_made(wire)
    exchange.send(b"GET / HTTP/1.1\r\n\r\n")
    for piece in pieces:
        exchange.data_received(piece)
    if closed:
        exchange.connection_lost(None)
    return exchange, wire


def read(exchange: Exchange) -> bytes:
    """Return the whole body."""

    async def run() -> bytes:
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
    try:
        read(exchange)
    except (HungUp, NotHTTP):
        assert exchange.ended


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
    exchange, wire = answered(*cut(data, places))
    assert (read(exchange), exchange.status) == (b"body", 200)
    assert not wire.aborted


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
        (b"HTTP/1.1 200 OK\r\na: " + b"b" * MAX_HEAD_BYTES, "bytes"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, "bytes"),
    ],
)
def test_what_is_not_http_ends_at_once(data: bytes, words: str) -> None:
    exchange, wire = answered(data, closed=False)
    with pytest.raises(NotHTTP) as raised:
        read(exchange)
    assert words in str(raised.value)
    assert wire.aborted


def test_lines_may_end_without_a_carriage_return() -> None:
    exchange, _ = answered(b"HTTP/1.1 200 OK\nContent-Length: 4\n\nbody")
    assert read(exchange) == b"body"


def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    exchange, _ = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", method="HEAD")
    assert read(exchange) == b""


def test_a_body_that_nobody_reads_stops_the_socket() -> None:
    exchange, wire = answered(b"HTTP/1.1 200 OK\r\n\r\n", closed=False)
    part = b"x" * 65_536
    sent = 0
    while not wire.paused:
        exchange.data_received(part)
        sent += 1
        assert sent < 10

    async def run() -> None:
        for _ in range(sent):
            assert await exchange.chunk() == part

    asyncio.run(run())
    assert not wire.paused
