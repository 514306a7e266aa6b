"""HTTP/2: agreed on by ALPN, then everything that a server can do with frames."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

from tests.integration.probes.serving import Behaviour, Visit, answer, replies
from tests.torture.case import CLOSED, NOT_HTTP, SHORT, STATUS, TIMEOUT, TOO_LARGE, UP, Case, Ending
from tests.torture.certificates import Authority
from tests.torture.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Exchange,
    Fields,
    frame,
    greets,
    number,
    setting,
)
from tests.torture.serving import serves

OK: Final[Fields] = [(":status", "200")]
FIVE: Final = {"status_code": 200, "bytes": 5, "http_version": "2"}
PREFACE: Final = setting()

Frames = Callable[[Exchange], bytes]


def speaks(*protocols: str) -> Any:
    def context(authority: Authority) -> ssl.SSLContext:
        made = authority.context()
        if protocols:
            made.set_alpn_protocols(protocols)
        return made

    return context


def case(
    name: str,
    behaviour: Behaviour,
    ending: Ending,
    *,
    protocols: tuple[str, ...] = ("h2", "http/1.1"),
    options: dict[str, Any] | None = None,
    **more: Any,
) -> Case:
    return Case(
        group="HTTP/2",
        name=name,
        setup=serves(behaviour, tls=speaks(*protocols)),
        ending=ending,
        options={"http2": True, **(options or {})},
        **more,
    )


def sends(make: Frames) -> Behaviour:
    """Answer the request with these frames, and stay connected."""

    async def act(exchange: Exchange) -> None:
        await exchange.visit.send(make(exchange))

    return greets(act)


def hangs_up_after(make: Frames) -> Behaviour:
    """Answer the request with these frames, and close."""

    async def behave(visit: Visit) -> None:
        exchange = Exchange(visit)
        await exchange.greet()
        await exchange.read_request()
        await visit.send(make(exchange))

    return behave


def floods(begin: Frames, part: Callable[[Exchange], bytes]) -> Behaviour:
    """Answer with these frames, then the same part without end."""

    async def act(exchange: Exchange) -> None:
        await exchange.visit.send(begin(exchange))
        many = part(exchange) * 500
        while not exchange.visit.writer.transport.is_closing():
            await exchange.visit.send(many)
            await asyncio.sleep(0)

    return greets(act)


def says_first(*parts: bytes) -> Behaviour:
    """Send these bytes in place of the server's preface, and stay."""

    async def behave(visit: Visit) -> None:
        await visit.send(*parts)
        while await visit.reader.read(65536):
            pass

    return behave


def whole(exchange: Exchange) -> bytes:
    return exchange.head(OK) + exchange.data(b"hello", end=True)


def headers(*fields: tuple[str, str]) -> Frames:
    """Return an answer with these fields."""
    return lambda x: x.head([*fields]) + x.data(b"hello", end=True)


def nothing(_: Exchange) -> bytes:
    return b""


async def keeps_its_window_shut(visit: Visit) -> None:
    """Let no body in: the first window is 0, and no other follows."""
    await visit.send(setting((4, 0)) + frame(SETTINGS, flags=ACK))
    while await visit.reader.read(65536):
        pass


async def pours(exchange: Exchange) -> None:
    await exchange.pour(b"x" * 16_384)


def bomb(exchange: Exchange) -> bytes:
    """Return a small block that stands for many megabytes: one entry, named again and again."""
    stored = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"x" * 4000  # literal, 4,000 bytes, to be indexed
    return frame(
        HEADERS,
        b"\x88" + stored + b"\xbe" * 12_000,
        flags=END_HEADERS | END_STREAM,
        stream=exchange.stream,
    )


def large(size: int) -> Frames:
    """Return an answer whose header list has about so many bytes, in frames of 16 kB."""

    def make(exchange: Exchange) -> bytes:
        fields = [(f"x-{n}", "~" * 1000) for n in range(size // 1000)]
        block = exchange.packed([*OK, *fields])
        parts = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
        made = frame(HEADERS, parts[0], stream=exchange.stream)
        made += b"".join(frame(CONTINUATION, each, stream=exchange.stream) for each in parts[1:])
        return (
            made
            + frame(CONTINUATION, flags=END_HEADERS, stream=exchange.stream)
            + (exchange.data(b"hello", end=True))
        )

    return make


def reset(code: int) -> Frames:
    return lambda x: frame(RST_STREAM, number(code), stream=x.stream)


CASES = (
    case("answers", sends(whole), UP, holds=FIVE,
         reached=frozenset({"connect", "tls", "wait", "download"})),
    case("answers without a body", sends(lambda x: x.head([(":status", "204")], end=True)), UP,
         holds={"status_code": 204, "bytes": 0}),
    case("answers with a status that is not expected", sends(headers((":status", "503"))), STATUS),
    case("chooses http/1.1", replies(answer()), UP, protocols=("http/1.1",),
         holds={"http_version": "1.1"}),
    case("knows no ALPN", replies(answer()), UP, protocols=(), holds={"http_version": "1.1"}),
    case("says 103 first", sends(lambda x: x.head([(":status", "103"), ("link", "</a>")]) +
                                 whole(x)), UP, holds=FIVE),
    case("says 103 and then nothing", sends(lambda x: x.head([(":status", "103")])), TIMEOUT,
         seconds=SHORT, detail="but no answer within",
         reached=frozenset({"connect", "tls", "wait"})),
    case("sends trailers", sends(lambda x: x.head(OK) + x.data(b"hello") +
                                 x.head([("x-sum", "5")], end=True)), UP, holds=FIVE),
    case("sends a frame of no known kind", sends(lambda x: frame(99, b"??", stream=x.stream) +
                                                 whole(x)), UP, holds=FIVE),
    case("pings before it answers", sends(lambda x: frame(PING, b"12345678") + whole(x)), UP,
         holds=FIVE),
    case("says goodbye, and answers", sends(lambda x: frame(
        GOAWAY, number(x.stream) + number(0)) + whole(x)), UP, holds=FIVE),
    # After the whole answer it only says that no more of the request is needed (8.1).
    case("resets without an error after the answer", sends(lambda x: whole(x) + reset(0)(x)), UP,
         holds=FIVE),
    case("says goodbye to the request", hangs_up_after(lambda _: frame(
        GOAWAY, number(0) + number(0))), CLOSED),
    case("says goodbye with an error", hangs_up_after(lambda _: frame(
        GOAWAY, number(0) + number(2))), CLOSED),
    *(
        case(f"resets the stream: {words}", sends(reset(code)), CLOSED)
        for words, code in (("internal error", 2), ("refused", 7), ("cancelled", 8))
    ),
    case("resets the stream within the body", sends(lambda x: x.head(OK) + x.data(b"hello") +
                                                    reset(2)(x)), CLOSED, holds=FIVE),
    case("hangs up on the request", hangs_up_after(nothing), CLOSED),
    case("hangs up within the body", hangs_up_after(lambda x: x.head(OK) + x.data(b"hello")),
         CLOSED, holds=FIVE),
    case("says nothing to the request", sends(nothing), TIMEOUT, seconds=SHORT),
    case("says nothing at all", says_first(), TIMEOUT, seconds=SHORT),
    case("says nothing after the head", sends(lambda x: x.head(OK)), TIMEOUT, seconds=SHORT,
         holds={"status_code": 200, "bytes": 0}),
    case("says nothing within the body", sends(lambda x: x.head(OK) + x.data(b"hello")), TIMEOUT,
         seconds=SHORT, holds=FIVE),
    case("says nothing within the head", sends(lambda x: frame(
        HEADERS, x.packed(OK), stream=x.stream)), TIMEOUT, seconds=SHORT),
    case("speaks HTTP/1.1 where it agreed on HTTP/2", says_first(answer()), NOT_HTTP),
    case("begins with another frame than SETTINGS", says_first(frame(PING, b"12345678")),
         NOT_HTTP),
    case("sends a setting out of range", says_first(setting((4, 2**32 - 1))), NOT_HTTP),
    case("sends a frame of more than 16 kB", sends(lambda x: x.head(OK) + x.data(b"x" * 20_000)),
         NOT_HTTP),
    case("sends data before headers", sends(lambda x: x.data(b"hello", end=True)), NOT_HTTP),
    case("sends data to the connection", sends(lambda _: frame(DATA, b"hello")), NOT_HTTP),
    case("answers on a stream that nobody opened", sends(lambda x: frame(
        HEADERS, x.packed(OK), flags=END_HEADERS, stream=x.stream + 2)), NOT_HTTP),
    case("sends headers that cannot be unpacked", sends(lambda x: frame(
        HEADERS, b"\xff\xff\xff\xff\xff\xff", flags=END_HEADERS, stream=x.stream)), NOT_HTTP),
    case("breaks its headers with a ping", sends(lambda x: frame(
        HEADERS, x.packed(OK), stream=x.stream) + frame(PING, b"12345678")), NOT_HTTP),
    case("sends no status", sends(headers(("x", "y"))), NOT_HTTP),
    case("sends a status in letters", sends(headers((":status", "ok"))), NOT_HTTP),
    case("sends status 101", sends(headers((":status", "101"))), NOT_HTTP),
    case("sends a header in capitals", sends(headers(*OK, ("X-A", "b"))), NOT_HTTP),
    case("sends a header of the connection", sends(headers(*OK, ("connection", "close"))),
         NOT_HTTP),
    case("says another length than it sends", sends(headers(*OK, ("content-length", "4"))),
         NOT_HTTP),
    case("opens the window beyond its limit", sends(lambda x: frame(
        WINDOW_UPDATE, number(2**31 - 1), stream=x.stream)), NOT_HTTP),
    # The probe has said that it wants none (6.6, 8.4).
    case("pushes", sends(lambda x: frame(PUSH_PROMISE, number(2) + x.packed(
        [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")]),
        flags=END_HEADERS, stream=x.stream) + whole(x)), NOT_HTTP),
    case("packs a bomb into its headers", sends(bomb), NOT_HTTP),
    case("sends 50 kB of headers", sends(large(50_000)), UP, holds=FIVE),
    case("sends 200 kB of headers", sends(large(200_000)), NOT_HTTP),
    case("continues its headers without end", floods(
        lambda x: frame(HEADERS, x.packed(OK), stream=x.stream),
        lambda x: frame(CONTINUATION, stream=x.stream)), NOT_HTTP),
    case("says 103 without end", floods(nothing, lambda x: frame(
        HEADERS, b"\x08\x03103", flags=END_HEADERS, stream=x.stream)), NOT_HTTP),
    case("changes its settings without end", floods(nothing, lambda _: setting((3, 100))),
         NOT_HTTP),
    case("pings without end", floods(nothing, lambda _: frame(PING, b"12345678")), NOT_HTTP),
    case("sends empty data without end", floods(lambda x: x.head(OK), lambda x: x.data(b"")),
         NOT_HTTP),
    case("sends data without end", greets(pours), TOO_LARGE, options={"max_body_bytes": 200_000}),
    case("keeps its window shut", keeps_its_window_shut, TIMEOUT, seconds=SHORT,
         options={"method": "POST", "body": b"x" * 1000}),
)  # fmt: skip
