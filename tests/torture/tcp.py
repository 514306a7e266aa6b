"""Connections: refused, full, closed, reset, silent."""

import asyncio
import socket
from typing import Any

from monitoring.probes.states import Reason, State
from tests.integration.probes.serving import (
    Visit,
    answer,
    hangs_up,
    replies,
    resets,
    resets_after,
    says_nothing,
    stays_silent_after,
)
from tests.torture.case import CLOSED, SHORT, TIMEOUT, UP, Case, Ending, Setup, phases
from tests.torture.serving import serves
from tests.torture.stage import Stage

OK = b"HTTP/1.1 200 OK\r\n"
MEGABYTES = b"x" * (8 * 1024 * 1024)


async def refuses(stage: Stage) -> str:
    """Hold a port on which nobody listens."""
    held = stage.hold(socket.socket())
    held.bind(("127.0.0.1", 0))
    return f"http://127.0.0.1:{held.getsockname()[1]}/"


async def is_full(stage: Stage) -> str:
    """Fill a port's queue of connections, so that one more is neither taken nor refused."""
    listener = stage.hold(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(3):
        filler = stage.hold(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def half_closes_after(*parts: bytes) -> Any:
    """Read the request, send these bytes, end one's own direction, and stay connected."""

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(*parts)
        visit.writer.write_eof()
        await visit.reader.read()

    return behave


async def half_closes_first(visit: Visit) -> None:
    """End one's own direction before the request has come."""
    visit.writer.write_eof()
    while await visit.reader.read(65536):
        pass


async def sends_urgently(visit: Visit) -> None:
    """Answer with an urgent byte in between, which is not part of the stream."""
    await visit.read_request()
    await visit.send(OK + b"Content-Length: 4\r\n\r\nok")
    connection = visit.writer.get_extra_info("socket")
    # asyncio's wrapper of a socket does not send.
    with socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as raw:
        raw.send(b"!", socket.MSG_OOB)
    await visit.send(b"ok")
    await visit.reader.read()


async def never_reads(visit: Visit) -> None:
    """Let the request pile up in the kernel."""
    visit.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.Event().wait()


async def refuses_the_body(visit: Visit) -> None:
    """Answer as soon as the head is there, and read no more (RFC 9112, 9.5)."""
    await visit.read_request()
    visit.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await visit.send(answer(413, b"too much"))
    await asyncio.Event().wait()


def case(name: str, setup: Setup, ending: Ending, reached: str, **more: Any) -> Case:
    """Return a row; no phases: the kernel decides whether the end is noticed at the connection."""
    more["reached"] = phases(reached) or None
    return Case(group="TCP", name=name, setup=setup, ending=ending, **more)


BIG_POST = {"method": "POST", "body": MEGABYTES}

CASES = (
    case(
        "refuses the connection",
        refuses,
        (State.DOWN, Reason.CONNECT_REFUSED),
        "connect",
        detail=r"^connection refused by 127\.0\.0\.1 port \d+$",
        holds={"status_code": None, "bytes": None, "ip": "127.0.0.1"},
    ),
    case(
        "lets the connection wait: its queue is full",
        is_full,
        (State.DOWN, Reason.CONNECT_TIMEOUT),
        "connect",
        detail=r"^no connection to 127\.0\.0\.1 port \d+ within 0\.5 s$",
        seconds=SHORT,
    ),
    case("accepts and closes", serves(hangs_up), CLOSED, ""),
    case("closes when it has read the request", serves(replies()), CLOSED, "connect wait",
         detail="hung up before a complete answer"),
    case("resets at once", serves(resets), CLOSED, ""),
    case("resets when it has read the request", serves(resets_after()), CLOSED, "connect wait",
         detail="reset the connection"),
    case("says nothing", serves(says_nothing), TIMEOUT, "connect wait", seconds=SHORT,
         detail="but no answer within"),
    case("says nothing after the request", serves(stays_silent_after()), TIMEOUT, "connect wait",
         seconds=SHORT),
    case("ends its direction before the request", serves(half_closes_first), CLOSED,
         "connect wait"),
    case("ends its direction after half an answer",
         serves(half_closes_after(OK + b"Content-Length: 9\r\n\r\nhalf")), CLOSED,
         "connect wait download", holds={"bytes": 4}),
    case("ends its direction, not the connection, after the answer",
         serves(half_closes_after(OK + b"\r\nbody")), UP, "connect wait download",
         holds={"bytes": 4}),
    case("resets after the whole answer", serves(resets_after(answer())), UP,
         "connect wait download", holds={"bytes": 2}),
    case("resets where only the end of the connection bounds the body",
         serves(resets_after(OK + b"\r\nbody")), CLOSED, "connect wait download"),
    case("resets within the body", serves(resets_after(OK + b"Content-Length: 9\r\n\r\nhalf")),
         CLOSED, "connect wait download"),
    case("sends an urgent byte in between", serves(sends_urgently), UP, "connect wait download",
         holds={"bytes": 4}),
    case("never reads a large request", serves(never_reads), TIMEOUT, "connect wait",
         seconds=SHORT, options=BIG_POST),
    case("answers a large request without reading it", serves(refuses_the_body), UP,
         "connect wait download", options={**BIG_POST, "expected_status": ((413, 413),)},
         holds={"status_code": 413, "bytes": 8}),
)  # fmt: skip
