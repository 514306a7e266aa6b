"""HTTP/2, where a domain asks for it and the server agrees."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded

from monitoring.probes.outcome import Outcome
from monitoring.probes.states import Reason
from tests.integration.probes.checking import UP, check, down, ending
from tests.integration.probes.conftest import Serve
from tests.integration.probes.serving import Behaviour, Server, Visit, answer, replies
from tests.integration.probes.test_tls import context

OK = [(":status", "200"), ("content-type", "text/plain")]
Answers = Callable[[H2Connection, int], None]


class Conversation:
    """What the server heard."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.body = b""


def speaks_http2(answers: Answers, heard: Conversation | None = None) -> Behaviour:
    """Answer each request, when it is whole, by a function of the connection and the stream."""

    async def behave(visit: Visit) -> None:
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        h2.initiate_connection()
        await visit.send(h2.data_to_send())
        while data := await visit.reader.read(65536):
            for event in h2.receive_data(data):
                take(h2, event)
            await visit.send(h2.data_to_send())

    def take(h2: H2Connection, event: Event) -> None:
        match event:
            case RequestReceived() if heard is not None:
                heard.headers = dict(event.headers)
            case DataReceived():
                h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if heard is not None:
                    heard.body += event.data
            case StreamEnded():
                answers(h2, event.stream_id)

    return behave


def says_ok(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, OK)
    h2.send_data(stream, b"hello", end_stream=True)


@pytest.fixture
def secure(serve: Serve, authority: trustme.CA, trust: trustme.CA) -> Callable[..., Server]:
    """Return a function that starts a server which speaks HTTP/2 by ALPN."""

    def start(behaviour: Behaviour, *protocols: str) -> Server:
        tls = context(authority, "127.0.0.1")
        tls.set_alpn_protocols(list(protocols or ("h2",)))
        return serve(behaviour, tls=tls)

    return start


def check2(url: str, **fields: Any) -> Outcome:
    return check(url, http2=True, **fields)


def test_an_answer_in_http2_has_the_same_phases(secure: Callable[..., Server]) -> None:
    heard = Conversation()

    outcome = check2(secure(speaks_http2(says_ok, heard)).url("/a?b=c"))

    assert ending(outcome) == UP
    assert (outcome.status_code, outcome.http_version, outcome.bytes) == (200, "2", 5)
    assert None not in (
        outcome.phases.connect_us,
        outcome.phases.tls_us,
        outcome.phases.wait_us,
        outcome.phases.download_us,
    )
    assert heard.headers[b":path"] == b"/a?b=c"
    assert heard.headers[b":authority"].startswith(b"127.0.0.1:")
    assert b"connection" not in heard.headers
    assert b"host" not in heard.headers


def test_a_domain_that_does_not_ask_for_it_does_not_get_it(secure: Callable[..., Server]) -> None:
    server = secure(replies(answer()), "h2", "http/1.1")

    assert check(server.url()).http_version == "1.1"


def test_a_server_may_choose_http_1_1(secure: Callable[..., Server]) -> None:
    outcome = check2(secure(replies(answer()), "http/1.1").url())

    assert (ending(outcome), outcome.http_version) == (UP, "1.1")


def test_plain_http_is_http_1_1(serve: Serve) -> None:
    assert check2(serve(replies(answer())).url()).http_version == "1.1"


def test_a_body_larger_than_the_server_s_window_is_sent_as_it_opens(
    secure: Callable[..., Server],
) -> None:
    heard = Conversation()
    body = bytes(range(256)) * 400

    outcome = check2(
        secure(speaks_http2(says_ok, heard)).url(),
        method="POST",
        body=body,
        headers=(("X-Key", "value"),),
    )

    assert ending(outcome) == UP
    assert heard.body == body
    assert heard.headers[b"x-key"] == b"value"
    assert heard.headers[b"content-length"] == b"102400"


def test_the_wait_ends_at_the_answer_and_not_at_the_server_s_greeting(
    secure: Callable[..., Server],
) -> None:
    async def slowly(visit: Visit) -> None:
        h2 = H2Connection(H2Configuration(client_side=False))
        h2.initiate_connection()
        await visit.send(h2.data_to_send())
        stream = 0
        while not stream:
            events = h2.receive_data(await visit.reader.read(65536))
            stream = next((e.stream_id for e in events if isinstance(e, StreamEnded)), 0)
        await visit.send(h2.data_to_send())
        await asyncio.sleep(0.2)
        says_ok(h2, stream)
        await visit.send(h2.data_to_send())

    outcome = check2(secure(slowly).url())

    assert ending(outcome) == UP
    assert outcome.phases.wait_us is not None
    assert outcome.phases.wait_us >= 190_000


def resets(h2: H2Connection, stream: int) -> None:
    h2.reset_stream(stream, 2)


def goes_away(h2: H2Connection, stream: int) -> None:
    h2.close_connection(last_stream_id=0)


def goes_away_after_answering(h2: H2Connection, stream: int) -> None:
    says_ok(h2, stream)
    h2.close_connection(last_stream_id=stream)


def has_trailers(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, OK)
    h2.send_data(stream, b"hello")
    h2.send_headers(stream, [("x-checksum", "1")], end_stream=True)


def has_hints(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, [(":status", "103"), ("link", "</a>")])
    says_ok(h2, stream)


def has_many_headers(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, [*OK, *((f"x-{n}", "y") for n in range(300))], end_stream=True)


def says(status: str) -> Answers:
    def answers(h2: H2Connection, stream: int) -> None:
        h2.send_headers(stream, [(":status", status)], end_stream=True)

    return answers


def says_500(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, [(":status", "500")], end_stream=True)


@pytest.mark.parametrize(
    ("answers", "expected", "words"),
    [
        (resets, down(Reason.CLOSED), "reset"),
        (goes_away, down(Reason.CLOSED), "GOAWAY"),
        (goes_away_after_answering, UP, ""),
        (has_trailers, UP, ""),
        (has_hints, UP, ""),
        (has_many_headers, down(Reason.PROTOCOL_ERROR), "headers"),
        (says_500, down(Reason.STATUS), "500"),
        *(
            (says(status), down(Reason.PROTOCOL_ERROR), "three digits")
            for status in ("99999", "20", "000", "9" * 5000)
        ),
    ],
)
def test_each_ending_of_a_stream_is_told_apart(
    secure: Callable[..., Server], answers: Answers, expected: object, words: str
) -> None:
    outcome = check2(secure(speaks_http2(answers)).url(), seconds=3)

    assert ending(outcome) == expected
    assert words in outcome.detail


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", id="settings"),
        pytest.param(b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"x" * 8, id="pings"),
        pytest.param(b"\x00\x00\x01\xaa\x00\x00\x00\x00\x00x", id="unknown frames"),
    ],
)
def test_what_never_comes_to_an_answer_is_ended(
    secure: Callable[..., Server], flood: bytes
) -> None:
    async def floods(visit: Visit) -> None:
        h2 = H2Connection(H2Configuration(client_side=False))
        h2.initiate_connection()
        await visit.send(h2.data_to_send())

        async def hear() -> None:
            while await visit.reader.read(65536):
                pass

        hearing = asyncio.ensure_future(hear())
        try:
            while True:
                await visit.send(flood * 1000)
                await asyncio.sleep(0)  # to a closed connection nothing blocks: let it be noticed
        finally:
            hearing.cancel()

    outcome = check2(secure(floods).url(), seconds=20)

    assert ending(outcome) == down(Reason.PROTOCOL_ERROR)
    assert "frames beside the body" in outcome.detail


def test_what_is_not_http2_is_a_protocol_error(secure: Callable[..., Server]) -> None:
    outcome = check2(secure(replies_raw(answer())).url(), seconds=3)

    assert ending(outcome) == down(Reason.PROTOCOL_ERROR)
    assert "HTTP/2" in outcome.detail


def replies_raw(data: bytes) -> Behaviour:
    async def behave(visit: Visit) -> None:
        await visit.reader.read(65536)
        await visit.send(data)
        await visit.reader.read()

    return behave


def test_a_reset_amid_the_request_s_body_is_told_as_one(secure: Callable[..., Server]) -> None:
    async def opens_and_resets(visit: Visit) -> None:
        h2 = H2Connection(H2Configuration(client_side=False))
        h2.initiate_connection()
        await visit.send(h2.data_to_send())
        while data := await visit.reader.read(65536):
            for event in h2.receive_data(data):
                if isinstance(event, RequestReceived):
                    h2.increment_flow_control_window(100_000, event.stream_id)
                    h2.increment_flow_control_window(100_000)
                    h2.reset_stream(event.stream_id, 2)
            await visit.send(h2.data_to_send())

    outcome = check2(secure(opens_and_resets).url(), method="POST", body=b"x" * 65_536, seconds=3)

    assert ending(outcome) == down(Reason.CLOSED)
    assert "reset stream" in outcome.detail
