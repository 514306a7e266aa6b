"""Bodies of answers: lengths, chunks, ends, sizes, encodings."""

import gzip
import itertools
import zlib
from typing import Any, Final

from monitoring.probes.assertions import Assertion
from monitoring.probes.states import Reason, State
from tests.integration.probes.serving import Visit, answer, repeats, replies, stays_silent_after
from tests.torture.case import CLOSED, NOT_HTTP, SHORT, TIMEOUT, TOO_LARGE, UP, Case, Ending, Setup
from tests.torture.serving import drips, floods, serves

OK: Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SMALL: Final = {"max_body_bytes": 200_000}
NOTHING: Final = {"status_code": None, "bytes": None}
ASSERTION: Final = (State.DOWN, Reason.ASSERTION)
LOOKS_INSIDE: Final = (Assertion(kind="body", operator="contains", expected="needle"),)


def case(name: str, setup: Setup, ending: Ending, **more: Any) -> Case:
    return Case(group="HTTP body", name=name, setup=setup, ending=ending, **more)


def length(name: str, text: bytes, ending: Ending, **more: Any) -> Case:
    """Return a row for headers that say how long the body is; five bytes come."""
    sent = OK + text + b"\r\n\r\nhello"
    return case(f"length {name}", serves(stays_silent_after(sent)), ending, **more)


def chunks(name: str, text: bytes, ending: Ending, **more: Any) -> Case:
    """Return a row for a chunked body; the server stays connected."""
    return case(f"chunks {name}", serves(stays_silent_after(CHUNKED + text)), ending, **more)


def packed(body: bytes, encoding: str = "gzip") -> bytes:
    return answer(200, body, f"Content-Encoding: {encoding}")


def bomb(size: int) -> bytes:
    """Return so many bytes, packed about a thousandfold, without ever holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"\0" * 1_000_000
    return b"".join(packer.compress(zeros) for _ in range(size // 1_000_000)) + packer.flush()


async def packs_without_end(visit: Visit) -> None:
    """Send gzip that never ends, of which every part is valid."""
    await visit.read_request()
    await visit.send(OK + b"Content-Encoding: gzip\r\n\r\n")
    packer = zlib.compressobj(0, zlib.DEFLATED, 31)
    for number in itertools.count():
        part = packer.compress(b"%08d" % number * 4096) + packer.flush(zlib.Z_SYNC_FLUSH)
        await visit.send(part)


SIZE_5: Final = {"status_code": 200, "bytes": 5}
LAST: Final = b"0\r\n\r\n"
HELLO: Final = b"5\r\nhello\r\n"
BOMB: Final = bomb(50_000_000)

CASES = (
    length("of the body", b"Content-Length: 5", UP, holds=SIZE_5),
    length("of less than the body", b"Content-Length: 3", UP, holds={"bytes": 3}),
    length("of more than the body", b"Content-Length: 9", TIMEOUT, seconds=SHORT,
           holds={"status_code": 200, "bytes": 5}),
    case("length of more than the body, and hangs up", serves(replies(
        OK + b"Content-Length: 9\r\n\r\nhello")), CLOSED, holds=SIZE_5),
    length("0, and a body", b"Content-Length: 0", UP, holds={"bytes": 0}),
    length("with zeros in front", b"Content-Length: 00000000000000000005", UP, holds=SIZE_5),
    length("twice, different", b"Content-Length: 5\r\nContent-Length: 4", NOT_HTTP,
           holds=NOTHING),
    # Equal values are to be rejected, or processed as one (RFC 9110, 8.6): this probe rejects.
    length("twice, the same", b"Content-Length: 5\r\nContent-Length: 5", NOT_HTTP,
           holds=NOTHING),
    length("as a list of the same", b"Content-Length: 5, 5", NOT_HTTP, holds=NOTHING),
    length("as a list of two", b"Content-Length: 5, 4", NOT_HTTP, holds=NOTHING),
    length("negative", b"Content-Length: -5", NOT_HTTP, holds=NOTHING),
    length("with a plus sign", b"Content-Length: +5", NOT_HTTP, holds=NOTHING),
    length("in hexadecimal", b"Content-Length: 0x5", NOT_HTTP, holds=NOTHING),
    length("with a fraction", b"Content-Length: 5.0", NOT_HTTP, holds=NOTHING),
    length("of two words", b"Content-Length: 5 5", NOT_HTTP, holds=NOTHING),
    length("empty", b"Content-Length:", NOT_HTTP, holds=NOTHING),
    length("beyond 64 bits", b"Content-Length: 18446744073709551621", NOT_HTTP, holds=NOTHING),
    length("of an exabyte that does not come", b"Content-Length: 1152921504606846976", TIMEOUT,
           seconds=SHORT, holds=SIZE_5),
    # Ought to be handled as an error (RFC 9112, 6.3, rule 3).
    length("beside chunks", b"Content-Length: 5\r\nTransfer-Encoding: chunked", NOT_HTTP,
           holds=NOTHING),
    # Where chunked is not the last coding, the end of the connection is the body's (rule 4).
    *(
        case(f"transfer coding {coding}", serves(replies(
            OK + b"Transfer-Encoding: " + coding.encode() + b"\r\n\r\nhello")), UP, holds=SIZE_5)
        for coding in ("identity", "chunked, gzip", "xchunked")
    ),
    case("transfer coding gzip, chunked", serves(stays_silent_after(
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + HELLO + LAST)), UP, holds=SIZE_5),
    case("transfer coding CHUNKED", serves(stays_silent_after(
        OK + b"Transfer-Encoding: CHUNKED\r\n\r\n" + HELLO + LAST)), UP, holds=SIZE_5),
    chunks("in order", HELLO + LAST, UP, holds=SIZE_5),
    chunks("and trailers", HELLO + b"0\r\nX-Sum: 5\r\nX-More: y\r\n\r\n", UP, holds=SIZE_5),
    chunks("and a trailer that is no header", HELLO + b"0\r\nno trailer\r\n\r\n", NOT_HTTP),
    chunks("with extensions", b'5;a=b;c="d;e"\r\nhello\r\n0;z\r\n\r\n', UP, holds=SIZE_5),
    chunks("with an extension of 10 kB", b"5;a=" + b"b" * 10_000 + b"\r\nhello\r\n" + LAST, UP,
           holds=SIZE_5),
    chunks("with a size with zeros in front", b"0000000005\r\nhello\r\n" + LAST, UP,
           holds=SIZE_5),
    chunks("with a size in capitals", b"A\r\nhellohello\r\n" + LAST, UP, holds={"bytes": 10}),
    chunks("with a bad size", b"zz\r\nno\r\n", NOT_HTTP, holds={"status_code": 200}),
    chunks("with a negative size", b"-5\r\nhello\r\n", NOT_HTTP),
    chunks("with a plus sign", b"+5\r\nhello\r\n", NOT_HTTP),
    chunks("with a prefix 0x", b"0x5\r\nhello\r\n", NOT_HTTP),
    chunks("without a size", b"\r\nhello\r\n", NOT_HTTP),
    chunks("with a size of 2^64", b"10000000000000000\r\nhello\r\n", NOT_HTTP),
    chunks("with a size of 2^64 and five", b"10000000000000005\r\nhello\r\n" + LAST, NOT_HTTP),
    chunks("longer than they say", b"5\r\nhello!!\r\n" + LAST, NOT_HTTP),
    chunks("without their line end", b"5\r\nhello5\r\nhello\r\n" + LAST, NOT_HTTP),
    case("chunks without a last one", serves(replies(CHUNKED + HELLO)), CLOSED, holds=SIZE_5),
    case("chunks cut within one", serves(replies(CHUNKED + b"9\r\nhello")), CLOSED,
         holds=SIZE_5),
    case("chunks cut before the trailers end", serves(replies(CHUNKED + HELLO + b"0\r\n")),
         CLOSED, holds=SIZE_5),
    case("chunks with an extension without end", serves(floods(CHUNKED + b"5;", b"a")), NOT_HTTP,
         seconds=1.0),
    case("chunks and trailers without end", serves(floods(
        CHUNKED + HELLO + b"0\r\n", b"X-More: and more\r\n")), NOT_HTTP, seconds=1.0),
    case("chunks and trailers that drip", serves(repeats(
        CHUNKED + HELLO + b"0\r\n", b"X: y\r\n", pause=0.02)), TIMEOUT, seconds=SHORT),
    case("chunks without end", serves(floods(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n")),
         TOO_LARGE, options=SMALL, holds={"status_code": 200}),
    case("chunks of one byte without end", serves(floods(CHUNKED, b"1\r\nx\r\n")), TOO_LARGE,
         options=SMALL),
    case("chunks that drip", serves(repeats(CHUNKED, b"1\r\nx\r\n", pause=0.02)), TIMEOUT,
         seconds=SHORT, detail="not complete|within 0.5 s"),
    *(
        case(f"says nothing {where}", serves(stays_silent_after(sent)), TIMEOUT, seconds=SHORT,
             holds={"status_code": 200, "bytes": size}, detail="within 0.5 s",
             reached=frozenset({"connect", "wait", "download"}))
        for where, sent, size in (
            ("after the head", OK + b"Content-Length: 5\r\n\r\n", 0),
            ("within the body", OK + b"Content-Length: 5\r\n\r\nhel", 3),
            ("within a body of any length", OK + b"\r\nhello", 5),
            ("before the first chunk", CHUNKED, 0),
            ("within a chunk's size", CHUNKED + HELLO + b"1", 5),
            ("within a chunk", CHUNKED + b"9\r\nhello", 5),
            ("before the last chunk", CHUNKED + HELLO, 5),
            ("within the last chunk", CHUNKED + HELLO + b"0", 5),
            ("within the trailers", CHUNKED + HELLO + b"0\r\nX-Sum: 5\r\n", 5),
        )
    ),
    case("lets the end of the connection end the body", serves(replies(OK + b"\r\nhello")), UP,
         holds=SIZE_5),
    case("sends no body and hangs up", serves(replies(OK + b"\r\n")), UP, holds={"bytes": 0}),
    case("says keep-alive and stays", serves(stays_silent_after(
        answer(200, b"hello", "Connection: keep-alive", "Keep-Alive: timeout=600"))), UP,
         holds=SIZE_5),
    case("says keep-alive in HTTP/1.0 and stays", serves(stays_silent_after(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello")), UP,
         holds=SIZE_5),
    # What comes after the answer is nobody's (RFC 9112, 6.3).
    case("sends a second answer after the first", serves(stays_silent_after(
        answer(200, b"hello") + answer(500, b"no"))), UP, holds=SIZE_5),
    case("sends noise after the answer", serves(floods(answer(200, b"hello"), b"\0\xff")), UP,
         holds=SIZE_5),
    case("drips the body in time", serves(drips(
        b"hello", before=OK + b"Content-Length: 5\r\n\r\n", pause=0.02)), UP, holds=SIZE_5),
    case("drips the body", serves(repeats(OK + b"Content-Length: 9999\r\n\r\n", b".",
         pause=0.02)), TIMEOUT, seconds=SHORT),
    case("sends a body without end", serves(floods(OK + b"\r\n", b"x")), TOO_LARGE,
         options=SMALL, holds={"status_code": 200}),
    case("sends a body of the limit", serves(replies(answer(200, b"x" * 200_000))), UP,
         options=SMALL, holds={"bytes": 200_000}),
    case("sends a body of one byte more than the limit", serves(replies(
        answer(200, b"x" * 200_001))), TOO_LARGE, options=SMALL,
         detail="^the body is larger than 200000 bytes"),
    case("sends a large body at once", serves(replies(answer(200, b"x" * 5_000_000))), TOO_LARGE,
         options=SMALL),
    # Nobody asked what is inside: the bytes are counted as they come.
    case("packs a bomb", serves(replies(packed(BOMB))), UP, options=SMALL,
         holds={"bytes": len(BOMB)}),
    case("packs a bomb in a bomb", serves(replies(packed(gzip.compress(BOMB), "gzip, gzip"))),
         UP, options=SMALL),
    case("packs without end", serves(packs_without_end), TOO_LARGE, options=SMALL),
    case("says gzip, and it is none", serves(replies(packed(b"hello"))), UP, holds=SIZE_5),
    case("says br", serves(replies(packed(b"hello", "br"))), UP, holds=SIZE_5),
    case("packs a bomb, and somebody looks inside", serves(replies(packed(BOMB))), TOO_LARGE,
         options={**SMALL, "assertions": LOOKS_INSIDE}),
    case("packs without end, and somebody looks inside", serves(packs_without_end), TOO_LARGE,
         options={**SMALL, "assertions": LOOKS_INSIDE}),
    case("packs what was asked for", serves(replies(packed(gzip.compress(b"a needle here")))),
         UP, options={"assertions": LOOKS_INSIDE}),
    case("says gzip, and somebody looks inside", serves(replies(packed(b"hello"))), ASSERTION,
         options={"assertions": LOOKS_INSIDE}, detail="gzip|unpack"),
    case("cuts its gzip, and somebody looks inside", serves(replies(
        packed(gzip.compress(b"a needle here" * 99)[:-12]))), ASSERTION,
         options={"assertions": LOOKS_INSIDE}, detail="."),
    case("says br, and somebody looks inside", serves(replies(packed(b"hello", "br"))),
         ASSERTION, options={"assertions": LOOKS_INSIDE}, detail="br"),
)  # fmt: skip
