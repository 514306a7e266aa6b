"""When a request is all there: the same however its bytes come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.web_arrivals import LARGEST_BODY, Arrival

REQUEST = b"POST /x HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:\t5 \r\nX: y\r\n\r\n12345"
FOLLOWING = b"GET /y HTTP/1.1\r\n\r\n"


def arrived(*parts: bytes) -> Arrival:
    arrival = Arrival(0.0)
    for part in parts:
        arrival.add(part)
    return arrival


@given(st.lists(st.integers(0, len(REQUEST)), max_size=8))
def test_a_request_is_ready_with_its_last_byte_and_not_before(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(REQUEST)})
    arrival = Arrival(0.0)
    for start, end in pairwise(places):
        assert not arrival.is_ready
        arrival.add(REQUEST[start:end])
    assert arrival.is_ready
    assert arrival.is_whole
    assert arrival.bytes == REQUEST


@pytest.mark.parametrize(
    ("sent", "whole"),
    [
        (FOLLOWING, True),
        (b"\r\n" + FOLLOWING, True),
        (REQUEST + FOLLOWING, True),
        (REQUEST.replace(b"5 ", b"x "), True),  # gunicorn refuses it: nothing to wait for
        (REQUEST.replace(b"5 ", b"%d " % (LARGEST_BODY + 1)), False),
        (REQUEST.replace(b"X: y", b"Content-Length: 9"), False),
        (REQUEST.replace(b"X: y", b"Transfer-Encoding: chunked"), False),
        (b"GET / HTTP/1.1\n", False),
        (b"GET / HTTP/1.1\r\nA: b\n", False),
        (b"GET /" + b"x" * 5000, False),
        (b"GET / HTTP/1.1\r\n" + b"x" * 1_000_000, False),
    ],
)
def test_what_is_ready_is_whole_or_will_be_refused(sent: bytes, whole: bool) -> None:
    arrival = arrived(sent)
    assert (arrival.is_ready, arrival.is_whole or not whole) == (True, True)
    bytewise = Arrival(0.0)
    for byte in sent:
        bytewise.add(bytes([byte]))
        if bytewise.is_ready:
            break
    assert bytewise.is_ready


@pytest.mark.parametrize(
    "sent", [b"", b"\r\n", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\nA: b\r\n", REQUEST[:-1]]
)
def test_what_may_still_become_a_request_is_waited_for(sent: bytes) -> None:
    assert not arrived(sent).is_ready


def test_leave_is_awaited_only_by_who_says_so() -> None:
    expecting = REQUEST.replace(b"X: y", b"expect: 100-Continue")
    assert arrived(expecting[:-1]).awaits_leave
    assert not arrived(REQUEST[:-1]).awaits_leave
