"""Heads of answers: status lines, what comes before the answer, headers."""

from typing import Any, Final

from monitoring.probes.states import Reason, State
from tests.integration.probes.serving import answer, repeats, replies, stays_silent_after
from tests.torture.case import CLOSED, NOT_HTTP, SHORT, STATUS, TIMEOUT, UP, Case, Ending, Setup
from tests.torture.serving import drips, floods, serves

OK: Final = b"HTTP/1.1 200 OK\r\n"
LENGTH: Final = b"Content-Length: 2\r\n"
END: Final = b"\r\n\r\n"
EXPECTED_304: Final = {"expected_status": ((304, 304),)}


def case(name: str, setup: Setup, ending: Ending, **more: Any) -> Case:
    return Case(group="HTTP head", name=name, setup=setup, ending=ending, **more)


def line(name: str, text: bytes, ending: Ending, **more: Any) -> Case:
    """Return a row for a status line, with an answer after it that is in order."""
    sent = text + b"\r\n" + LENGTH + b"\r\nok"
    return case(f"status line {name}", serves(stays_silent_after(sent)), ending, **more)


def header(name: str, text: bytes, ending: Ending, **more: Any) -> Case:
    """Return a row for headers, in an answer that is in order otherwise."""
    sent = OK + text + b"\r\n" + LENGTH + b"\r\nok"
    return case(f"header {name}", serves(stays_silent_after(sent)), ending, **more)


def early(name: str, text: bytes, ending: Ending, **more: Any) -> Case:
    """Return a row for what comes before an answer that is in order."""
    return case(name, serves(stays_silent_after(text + answer())), ending, **more)


SIZE_2: Final = {"status_code": 200, "bytes": 2}
NOTHING: Final = {"status_code": None, "bytes": None}
UNANSWERED: Final = frozenset({"connect", "wait"})
HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"

CASES = (
    case("answers", serves(stays_silent_after(answer())), UP, holds=SIZE_2,
         reached=frozenset({"connect", "wait", "download"})),
    case("answers in HTTP/1.1", serves(replies(answer())), UP, holds={"http_version": "1.1"}),
    case("answers in HTTP/1.0", serves(replies(b"HTTP/1.0 200 OK\r\n\r\nok")), UP,
         holds={"http_version": "1.0", "bytes": 2}),
    line("of HTTP/1.0", b"HTTP/1.0 200 OK", UP, holds=SIZE_2),
    # A higher minor version is to be read as the highest one known (RFC 9110, 2.5).
    line("of HTTP/1.9", b"HTTP/1.9 200 OK", UP, holds=SIZE_2),
    line("of HTTP/2.0 in text", b"HTTP/2.0 200 OK", NOT_HTTP, holds=NOTHING),
    line("of HTTP/3.0 in text", b"HTTP/3.0 200 OK", NOT_HTTP, holds=NOTHING),
    # The protocol's name is case-sensitive (RFC 9112, 2.3).
    line("in lower case", b"http/1.1 200 OK", NOT_HTTP, holds=NOTHING),
    line("without a reason", b"HTTP/1.1 200 ", UP, holds=SIZE_2),
    # Words may be parsed with the last space missing (RFC 9112, 4).
    line("without a reason and its space", b"HTTP/1.1 200", UP, holds=SIZE_2),
    line("with a reason beyond ASCII", b"HTTP/1.1 200 \xc3\xa9t\xc3\xa9 \xff", UP, holds=SIZE_2),
    line("of status 99", b"HTTP/1.1 99 Low", NOT_HTTP),
    # Three digits outside of 100 to 599 are to be taken as a 5xx (RFC 9110, 15).
    line("of status 099", b"HTTP/1.1 099 Low", STATUS),
    line("of status 600", b"HTTP/1.1 600 High", STATUS, holds={"status_code": 600}),
    line("of status 999", b"HTTP/1.1 999 Denied", STATUS, holds={"status_code": 999}),
    line("of status 1000", b"HTTP/1.1 1000 Higher", NOT_HTTP, holds=NOTHING),
    line("of status 2xx", b"HTTP/1.1 2xx OK", NOT_HTTP, holds=NOTHING),
    line("of a negative status", b"HTTP/1.1 -200 OK", NOT_HTTP, holds=NOTHING),
    line("without a status", b"HTTP/1.1 OK", NOT_HTTP, holds=NOTHING),
    line("without a version", b"200 OK", NOT_HTTP, holds=NOTHING),
    case("answers as HTTP/0.9", serves(replies(b"<html>hello</html>\n")), NOT_HTTP,
         holds=NOTHING),
    case("answers in another protocol", serves(replies(b"SSH-2.0-OpenSSH_9.2\r\n")), NOT_HTTP,
         holds=NOTHING),
    case("answers with noise", serves(replies(bytes(range(256)) * 4)), NOT_HTTP, holds=NOTHING),
    case("answers in HTTP/2 unasked",
         serves(replies(bytes.fromhex("00001204000000000000030000006400040000ffff000500004000"))),
         NOT_HTTP, holds=NOTHING),
    early("says 100 first", b"HTTP/1.1 100 Continue\r\n\r\n", UP, holds=SIZE_2),
    early("says 103 with headers first", HINTS, UP, holds=SIZE_2),
    early("says 102 and 199 first", b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 199 ?\r\n\r\n", UP,
          holds=SIZE_2),
    early("says 100 ten times first", b"HTTP/1.1 100 Continue\r\n\r\n" * 10, UP, holds=SIZE_2),
    # 1xx answers end with their head, whatever it says of a body (RFC 9112, 6.3).
    early("says 103 with a length first",
          b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", UP, holds=SIZE_2),
    # What comes before the answer is none: it is still waited for.
    case("says 103 and then nothing", serves(stays_silent_after(HINTS)), TIMEOUT, seconds=SHORT,
         holds={"status_code": None}, detail="but no answer within", reached=UNANSWERED),
    case("says 103 and hangs up", serves(replies(HINTS)), CLOSED, holds=NOTHING,
         reached=UNANSWERED),
    case("says 103 and then a part of a head", serves(stays_silent_after(HINTS + OK)), TIMEOUT,
         seconds=SHORT, detail="was not complete within", reached=UNANSWERED | {"download"}),
    case("says 100 without end", serves(floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n")), NOT_HTTP,
         holds=NOTHING),
    case("drips 100 without end", serves(repeats(
        b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.02)), TIMEOUT, seconds=SHORT),
    case("switches protocols unasked",
         serves(replies(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")), NOT_HTTP),
    case("gives a 204 a body", serves(replies(answer(204, b"hello"))), UP,
         holds={"status_code": 204, "bytes": 0}),
    case("gives a 304 a length", serves(stays_silent_after(
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")), UP, options=EXPECTED_304,
         holds={"status_code": 304, "bytes": 0}),
    case("gives a 304 a body", serves(replies(answer(304, b"hello"))), UP, options=EXPECTED_304,
         holds={"bytes": 0}),
    case("answers HEAD with a length", serves(stays_silent_after(
        OK + b"Content-Length: 5\r\n\r\n")), UP, options={"method": "HEAD"}, holds={"bytes": 0}),
    case("answers HEAD with a body", serves(replies(answer(200, b"hello"))), UP,
         options={"method": "HEAD"}, holds={"bytes": 0}),
    case("answers HEAD with chunks that do not come", serves(stays_silent_after(
        OK + b"Transfer-Encoding: chunked\r\n\r\n")), UP, options={"method": "HEAD"}),
    # A single LF may end a line (RFC 9112, 2.2).
    case("ends lines with LF alone", serves(stays_silent_after(
        b"HTTP/1.1 200 OK\nContent-Length: 2\nX: y\n\nok")), UP, holds=SIZE_2),
    # To be rejected, or replaced by SP (RFC 9110, 5.5; RFC 9112, 2.2): this probe rejects.
    header("with a CR within", b"X: a\rb", NOT_HTTP, holds=NOTHING),
    header("with a NUL within", b"X: a\0b", NOT_HTTP, holds=NOTHING),
    header("without a colon", b"no header", NOT_HTTP, holds=NOTHING),
    header("without a name", b": value", NOT_HTTP, holds=NOTHING),
    header("with a space before its colon", b"X : y", NOT_HTTP, holds=NOTHING),
    header("with a name that is no token", b"X@\xc3\xa9: y", NOT_HTTP, holds=NOTHING),
    header("without a value", b"X:", UP, holds=SIZE_2),
    header("with a value beyond ASCII", b"X: \xc3\xa9\xff", UP, holds=SIZE_2),
    # A user agent has to read a folded line as one with spaces (RFC 9112, 5.2).
    header("over two lines", b"X: a\r\n b", UP, holds=SIZE_2),
    header("over two lines, with a tab", b"X: a\r\n\tb", UP, holds=SIZE_2),
    # To be rejected, or not looked at (RFC 9112, 2.2): this probe does not look.
    case("begins its headers with a space", serves(stays_silent_after(
        OK + b" X: y\r\n" + LENGTH + b"\r\nok")), UP, holds=SIZE_2),
    header("times 200", b"\r\n".join(b"X-%d: y" % n for n in range(200)), UP, holds=SIZE_2),
    header("times 400", b"\r\n".join(b"X-%d: y" % n for n in range(400)), NOT_HTTP,
           detail="headers", holds=NOTHING),
    header("of 60 kB", b"X: " + b"y" * 60_000, UP, holds=SIZE_2),
    header("of 100 kB", b"X: " + b"y" * 100_000, NOT_HTTP, detail="65536 bytes", holds=NOTHING),
    header("with a name of 100 kB", b"X" * 100_000 + b": y", NOT_HTTP, holds=NOTHING),
    case("sends headers without end", serves(floods(OK, b"X-More: and more\r\n")), NOT_HTTP,
         holds=NOTHING),
    case("sends one header without end", serves(floods(OK + b"X: ", b"y")), NOT_HTTP,
         holds=NOTHING),
    case("sends a reason without end", serves(floods(b"HTTP/1.1 200 ", b"O")), NOT_HTTP,
         holds=NOTHING),
    case("sends blank lines without end", serves(floods(b"", b"\r\n")), NOT_HTTP, holds=NOTHING),
    case("drips its answer in time", serves(drips(answer(), pause=0.001)), UP, holds=SIZE_2),
    case("drips its status line", serves(drips(b"HTTP/1.1 200 OK", pause=0.05)), TIMEOUT,
         seconds=SHORT, holds=NOTHING),
    case("drips one header", serves(drips(b"y" * 99, before=OK + b"X: ", pause=0.05)), TIMEOUT,
         seconds=SHORT, holds=NOTHING),
    case("drips headers", serves(repeats(OK, b"X: y\r\n", pause=0.02)), TIMEOUT, seconds=SHORT,
         holds=NOTHING),
    *(
        case(f"says nothing after {where}", serves(stays_silent_after(sent)), TIMEOUT,
             seconds=SHORT, holds=NOTHING, detail="within 0.5 s",
             reached=frozenset({"connect", "wait", "download"}))
        for where, sent in (
            ("one byte", b"H"),
            ("half a status line", b"HTTP/1.1 20"),
            ("the status line", OK),
            ("half a header", OK + b"Content-Le"),
            ("the last header", OK + LENGTH),
        )
    ),
    case("hangs up within the status line", serves(replies(b"HTTP/1.1 20")),
         (State.DOWN, Reason.CLOSED), holds=NOTHING),
    case("hangs up within a header", serves(replies(OK + b"Content-Le")),
         (State.DOWN, Reason.CLOSED), holds=NOTHING),
    case("answers with a status that is not expected", serves(replies(answer(503))), STATUS,
         detail=r"^status 503, expected 200-299,401$", holds={"status_code": 503, "bytes": 2},
         options={"expected_status": ((200, 299), (401, 401))}),
    case("answers with an error that is expected", serves(replies(answer(404))), UP,
         options={"expected_status": ((400, 499),)}),
    case("answers slowly", serves(drips(answer(), pause=0.005)),
         (State.DEGRADED, Reason.SLOW), options={"degraded_after_us": 50_000},
         detail="0.05 s|50 ms"),
    case("answers fast enough", serves(replies(answer())), UP,
         options={"degraded_after_us": 4_000_000}),
)  # fmt: skip
