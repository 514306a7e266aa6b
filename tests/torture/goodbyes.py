"""TLS after the handshake: how a connection ends, and what comes between the data."""

from typing import Any, Final

from tests.integration.probes.serving import answer
from tests.torture.case import (
    CLOSED,
    NOT_HTTP,
    SHORT,
    TIMEOUT,
    TLS_ERROR,
    TOO_LARGE,
    UP,
    Case,
    Ending,
    phases,
)
from tests.torture.certificates import Authority
from tests.torture.handshakes import TLS_1_2, TLS_1_3
from tests.torture.records import (
    DATA,
    HANDSHAKE,
    HELLO_REQUEST,
    KEY_UPDATE,
    KEY_UPDATE_ASKED,
    Direction,
    logged,
    sends,
)
from tests.torture.session import ALERT, Act, Session, alert, breaks_with, plays, says

OK: Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
HALF: Final = OK + b"Content-Length: 9\r\n\r\nhello"
OPEN: Final = OK + b"\r\nhello"
WAITED: Final = phases("connect tls wait")
LOADED: Final = WAITED | {"download"}


def case(name: str, act: Act, ending: Ending, *, versions: Any = TLS_1_3, **more: Any) -> Case:
    def context(authority: Authority) -> Any:
        return authority.context(versions=versions)

    return Case(
        group="TLS session", name=name, setup=plays(act, tls=context), ending=ending, **more
    )


def sealed(name: str, act: Act, ending: Ending, **more: Any) -> Case:
    """Return a row for records made by hand."""
    return Case(group="TLS session", name=name, setup=plays(act, tls=logged), ending=ending, **more)


async def resets_within(session: Session) -> None:
    await session.visit.send(await session.handshake())
    await session.read_request()
    await session.visit.send(session.sealed(HALF))
    session.visit.reset()


async def answers_before_it_is_asked(session: Session) -> None:
    """Send an answer in one piece with the last of the handshake."""
    last = await session.handshake()
    await session.visit.send(last + session.sealed(answer(200, b"hello")))
    await session.wait()


def updates_its_keys(direction: Direction) -> list[bytes]:
    return [
        direction.seal(DATA, OK + b"Content-Length: 15\r\n\r\nhello"),
        direction.update(),
        direction.seal(DATA, b"hello"),
        direction.update(KEY_UPDATE_ASKED),
        direction.seal(DATA, b"hello"),
    ]


def updates_without_end(direction: Direction) -> list[bytes]:
    return [direction.update() for _ in range(200)] + [direction.seal(DATA, answer(200, b"hello"))]


def within_a_body(*records: tuple[int, bytes]) -> Any:
    """Return half an answer, some records of other kinds, and its other half."""

    def make(direction: Direction) -> list[bytes]:
        begin = direction.seal(DATA, OK + b"Content-Length: 5\r\n\r\nhe")
        between = [direction.seal(kind, body) for kind, body in records]
        return [begin, *between, direction.seal(DATA, b"llo")]

    return make


def a_byte_a_record(direction: Direction) -> list[bytes]:
    return [direction.seal(DATA, bytes([byte])) for byte in answer(200, b"hello")]


def damaged(direction: Direction) -> list[bytes]:
    spoilt = bytearray(direction.seal(DATA, b"hello"))
    spoilt[-1] ^= 1
    return [direction.seal(DATA, HALF), bytes(spoilt)]


def repeated(direction: Direction) -> list[bytes]:
    once = direction.seal(DATA, b"hell")
    return [direction.seal(DATA, HALF[:-5]), once, once]


FIVE: Final = {"status_code": 200, "bytes": 5}

CASES = (
    case("hangs up after the handshake", says(farewell=False, asked=False), CLOSED),
    case("says goodbye after the handshake", says(farewell=True, asked=False, stays=True),
         CLOSED),
    case("hangs up on the request", says(farewell=False), CLOSED, reached=WAITED),
    case("says goodbye to the request", says(farewell=True, stays=True), CLOSED, reached=WAITED),
    case("says nothing to the request", says(farewell=False, stays=True), TIMEOUT, seconds=SHORT,
         reached=WAITED),
    *(
        case(f"{does} {where}", says(sent, farewell=farewell, stays=farewell), ending,
             reached=LOADED, holds={"bytes": size})
        for where, sent, size, complete in (
            ("within the head", OK + b"Content-Le", None, False),
            ("within the body", HALF, 5, False),
            ("within the chunks", CHUNKED, 5, False),
            ("after the whole body", answer(200, b"hello"), 5, True),
            ("after the last chunk", CHUNKED + b"0\r\n\r\n", 5, True),
        )
        for does, farewell in (("hangs up", False), ("says goodbye", True))
        for ending in (UP if complete else CLOSED,)
    ),
    case("lets its goodbye end the body", says(OPEN, farewell=True), UP, holds=FIVE),
    case("lets its goodbye end the body, and stays connected", says(
        OPEN, farewell=True, stays=True), UP, holds=FIVE),
    # An incomplete close leaves such an answer incomplete (RFC 9112, 8 and 9.8).
    # A body that may be cut (RFC 9112, 9.8). Browsers and Go's client take it at the end of a
    # record, because popular servers close so, and an alarm for what everybody sees is false.
    case("lets the end of the connection end the body, without goodbye", says(
        OPEN, farewell=False), UP, holds=FIVE),
    case("lets the end of the connection end the body, without goodbye, in TLS 1.2", says(
        OPEN, farewell=False), UP, holds=FIVE, versions=TLS_1_2),
    case("says nothing within the body", says(HALF, farewell=False, stays=True), TIMEOUT,
         seconds=SHORT, holds=FIVE),
    case("resets within the body", resets_within, CLOSED, holds={"status_code": 200}),
    case("goes on in plain text", breaks_with(HALF, b"HTTP/1.1 200 OK\r\n"),
         TLS_ERROR),
    case("goes on with a plain alert", breaks_with(HALF, alert(80)), TLS_ERROR),
    case("is plain within TLS, and no HTTP", says(b"SSH-2.0-OpenSSH_9.2\r\n", farewell=True),
         NOT_HTTP, reached=LOADED),
    # Data that nobody asked for is no answer (RFC 9112, 9.2).
    case("answers before it is asked", answers_before_it_is_asked, NOT_HTTP, versions=TLS_1_2),
    case("sends a body larger than the limit", says(answer(200, b"x" * 300_000), farewell=True),
         TOO_LARGE, options={"max_body_bytes": 200_000}),
    sealed("sends an answer sealed by hand", sends(lambda d: [d.seal(DATA, answer())]), UP),
    sealed("sends a byte a record", sends(a_byte_a_record), UP, holds=FIVE),
    sealed("updates its keys within the body", sends(updates_its_keys), UP,
           holds={"bytes": 15}),
    sealed("updates its keys 200 times", sends(updates_without_end), UP, holds=FIVE),
    sealed("sends an empty record within the body", sends(within_a_body((DATA, b""))), UP,
           holds=FIVE),
    sealed("asks to renegotiate in TLS 1.3", sends(within_a_body((HANDSHAKE, HELLO_REQUEST))),
           TLS_ERROR),
    sealed("says that it cancels, then goodbye", sends(lambda d: [
        d.seal(DATA, OPEN), d.seal(ALERT, b"\x01\x5a"), d.seal(ALERT, b"\x01\x00")]), UP,
           holds=FIVE),
    sealed("alerts within the body", sends(within_a_body((ALERT, b"\x02\x50"))), TLS_ERROR,
           detail="internal error"),
    sealed("sends a record of no known kind", sends(within_a_body((99, b"hello"))), TLS_ERROR),
    sealed("sends half of a key update, then data", sends(within_a_body(
        (HANDSHAKE, KEY_UPDATE[:3]))), TLS_ERROR),
    sealed("sends a damaged record", sends(damaged), TLS_ERROR),
    sealed("sends a record twice", sends(repeated), TLS_ERROR),
    sealed("sends a record of more than 16 kB", sends(lambda d: [
        d.seal(DATA, answer(200, b"x" * 20_000))]), TLS_ERROR),
)  # fmt: skip
