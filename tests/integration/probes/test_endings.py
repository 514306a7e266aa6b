"""What a server does, and what the check ends as."""

import gzip

import pytest

from monitoring.probes.states import Reason, State
from tests.integration.probes.checking import UP, check, down, ending
from tests.integration.probes.conftest import Serve
from tests.integration.probes.serving import (
    Behaviour,
    answer,
    hangs_up,
    repeats,
    replies,
    resets,
    resets_after,
    says_nothing,
    stays_silent_after,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
Ending = tuple[State, Reason | None]


@pytest.mark.parametrize(
    ("behaviour", "expected", "status", "size"),
    [
        pytest.param(replies(answer()), UP, 200, 2, id="200"),
        pytest.param(replies(answer(204, b"")), UP, 204, 0, id="204"),
        pytest.param(replies(OK + b"\r\nold"), UP, 200, 3, id="ends with the connection"),
        pytest.param(
            replies(b"HTTP/1.0 200 OK\r\n\r\nolder"), UP, 200, 5, id="HTTP/1.0 without a length"
        ),
        pytest.param(
            replies(CHUNKED + b"2\r\nok\r\n3\r\nyes\r\n0\r\nX-Sum: 5\r\n\r\n"),
            UP,
            200,
            5,
            id="chunks and trailers",
        ),
        pytest.param(
            replies(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", answer()),
            UP,
            200,
            2,
            id="hints before the answer",
        ),
        pytest.param(stays_silent_after(answer()), UP, 200, 2, id="keeps the connection open"),
        pytest.param(replies(answer(404)), down(Reason.STATUS), 404, 2, id="404"),
        pytest.param(replies(answer(500)), down(Reason.STATUS), 500, 2, id="500"),
        pytest.param(replies(answer(999)), down(Reason.STATUS), 999, 2, id="999"),
        pytest.param(hangs_up, down(Reason.CLOSED), None, None, id="hangs up at once"),
        pytest.param(replies(), down(Reason.CLOSED), None, None, id="hangs up on the request"),
        pytest.param(resets, down(Reason.CLOSED), None, None, id="resets at once"),
        pytest.param(resets_after(), down(Reason.CLOSED), None, None, id="resets the request"),
        pytest.param(
            replies(OK + b"Content-Le"), down(Reason.CLOSED), None, None, id="half a header"
        ),
        pytest.param(
            replies(OK + b"Content-Length: 9\r\n\r\nhalf"),
            down(Reason.CLOSED),
            200,
            4,
            id="a short body",
        ),
        pytest.param(
            replies(CHUNKED + b"9\r\nhalf"), down(Reason.CLOSED), 200, 4, id="half a chunk"
        ),
        pytest.param(
            replies(CHUNKED + b"2\r\nok\r\n"), down(Reason.CLOSED), 200, 2, id="no last chunk"
        ),
        pytest.param(
            resets_after(OK + b"Content-Length: 9\r\n\r\n"),
            down(Reason.CLOSED),
            200,
            0,
            id="resets within the body",
        ),
        pytest.param(
            replies(CHUNKED + b"zz\r\nno\r\n"),
            down(Reason.PROTOCOL_ERROR),
            200,
            0,
            id="broken chunks",
        ),
        pytest.param(
            replies(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
            down(Reason.PROTOCOL_ERROR),
            None,
            None,
            id="another protocol",
        ),
        pytest.param(
            replies(bytes(range(256)) * 4), down(Reason.PROTOCOL_ERROR), None, None, id="noise"
        ),
        pytest.param(
            replies(OK + b"bad header\r\n\r\n"),
            down(Reason.PROTOCOL_ERROR),
            None,
            None,
            id="a header without a colon",
        ),
        pytest.param(
            replies(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
            down(Reason.PROTOCOL_ERROR),
            None,
            None,
            id="two lengths",
        ),
        pytest.param(
            replies(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
            down(Reason.PROTOCOL_ERROR),
            None,
            None,
            id="switches protocols unasked",
        ),
        pytest.param(
            repeats(OK, b"X-More: and more\r\n"),
            down(Reason.PROTOCOL_ERROR),
            None,
            None,
            id="headers without end",
        ),
        pytest.param(
            repeats(OK + b"X: ", b"y" * 4096),
            down(Reason.PROTOCOL_ERROR),
            None,
            None,
            id="one header without end",
        ),
        pytest.param(
            repeats(OK + b"\r\n", b"x" * 65536),
            down(Reason.TOO_LARGE),
            200,
            None,
            id="a body without end",
        ),
        pytest.param(
            repeats(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"),
            down(Reason.TOO_LARGE),
            200,
            None,
            id="chunks without end",
        ),
    ],
)
def test_what_the_server_does_is_what_the_check_says(
    serve: Serve,
    behaviour: Behaviour,
    expected: Ending,
    status: int | None,
    size: int | None,
) -> None:
    outcome = check(serve(behaviour).url())

    assert ending(outcome) == expected
    assert outcome.status_code == status
    if outcome.reason is not Reason.TOO_LARGE:
        assert outcome.bytes == size
    assert outcome.ip == "127.0.0.1"
    assert bool(outcome.detail) == (outcome.state is not State.UP)
    assert outcome.detail.isprintable()


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(says_nothing, id="after the connection"),
        pytest.param(stays_silent_after(), id="after the request"),
        pytest.param(stays_silent_after(OK), id="within the head"),
        pytest.param(
            stays_silent_after(OK + b"Content-Length: 9\r\n\r\nhalf"), id="within the body"
        ),
        pytest.param(repeats(OK, b"X: y\r\n", pause=0.01), id="dripping headers"),
        pytest.param(
            repeats(OK + b"Content-Length: 99999\r\n\r\n", b".", pause=0.01), id="dripping"
        ),
        pytest.param(repeats(CHUNKED, b"1\r\n.\r\n", pause=0.01), id="dripping chunks"),
        pytest.param(repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.01), id="only hints"),
    ],
)
def test_a_server_that_takes_for_ever_is_a_timeout_in_time(
    serve: Serve, behaviour: Behaviour
) -> None:
    url = serve(behaviour).url()

    # Long enough to connect on a busy machine.
    outcome = check(url, seconds=1)

    assert ending(outcome) == down(Reason.TIMEOUT)
    # The deadline counts from the call, the time from the first phase: a busy machine is between.
    assert 0 < outcome.total_us < 10_000_000
    assert "within 1.0 s" in outcome.detail


@pytest.mark.parametrize(
    ("status", "expected_status", "expected"),
    [
        (404, ((200, 299),), down(Reason.STATUS)),
        (404, ((200, 299), (404, 404)), UP),
        (404, ((400, 499),), UP),
        (200, ((400, 499),), down(Reason.STATUS)),
        (299, ((200, 299),), UP),
        (300, ((200, 299),), down(Reason.STATUS)),
        (500, ((500, 500),), UP),
    ],
)
def test_the_accepted_statuses_are_those_of_the_domain(
    serve: Serve,
    status: int,
    expected_status: tuple[tuple[int, int], ...],
    expected: Ending,
) -> None:
    outcome = check(serve(replies(answer(status))).url(), expected_status=expected_status)

    assert ending(outcome) == expected
    assert outcome.status_code == status


def test_an_unexpected_status_is_told_with_what_was_expected(serve: Serve) -> None:
    outcome = check(serve(replies(answer(503))).url(), expected_status=((200, 299), (401, 401)))

    assert outcome.detail == "status 503, expected 200-299,401"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
def test_the_method_of_the_domain_is_the_one_sent(serve: Serve, method: str) -> None:
    body = b"" if method == "HEAD" else b"ok"
    head = answer(200, b"ok").removesuffix(b"ok")
    server = serve(replies(head + body))

    outcome = check(server.url("/a?b=c"), method=method)

    assert ending(outcome) == UP
    assert outcome.bytes == len(body)
    lines = server.requests[0].decode().splitlines()
    assert lines[0] == f"{method} /a?b=c HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}" in lines
    assert "Connection: close" in lines


def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(
    serve: Serve,
) -> None:
    url = serve(replies(answer(200, b"x" * 1000))).url()

    assert ending(check(url, max_body_bytes=1000)) == UP
    assert ending(check(url, max_body_bytes=999)) == down(Reason.TOO_LARGE)


def test_a_compressed_bomb_stays_packed(serve: Serve) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    server = serve(replies(answer(200, bomb, "Content-Encoding: gzip")))

    outcome = check(server.url(), max_body_bytes=1_000_000)

    assert ending(outcome) == UP
    assert outcome.bytes == len(bomb)
    assert b"accept-encoding" not in server.requests[0].lower()


def test_a_check_that_comes_too_late_is_our_fault_and_connects_to_nobody(
    serve: Serve,
) -> None:
    server = serve(replies(answer()))

    outcome = check(server.url(), seconds=-0.1)

    assert ending(outcome) == (State.INTERNAL, Reason.RESOURCE_LIMIT)
    assert outcome.detail.endswith("the time of the check was over before it began")
    assert server.connections == 0
