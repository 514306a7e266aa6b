"""Whatever bytes a server sends, in whatever pieces, a check ends as one of the mapped outcomes.

The servers are real, the bytes pass the kernel, the probe is the whole probe.
"""

import asyncio
import contextlib
import itertools
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitoring.probes import probe
from monitoring.probes.outcome import MAX_DETAIL_CHARS, Outcome, Target
from monitoring.probes.states import Reason, State
from tests.integration.probes.checking import LOOPBACK
from tests.integration.probes.serving import Host, Server, Visit
from tests.torture.certificates import Authority
from tests.torture.session import Session

SECONDS: Final = 0.3
GRACE: Final = 5.0
"""Far more than a check may overrun: hundreds of examples, and a machine that others use."""
MAX_BODY: Final = 2000
BEYOND: Final = 300_000
"""What may have come in one read beyond the limit: the buffers of the kernel and of the loop."""

VALID: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\nhello",
    b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
)
TOKENS: Final = (
    b"HTTP/1.1 ", b"HTTP/1.0 200\r\n", b"200 OK", b"\r\n", b"\n", b"\r", b"\0", b": ", b" ", b"\t",
    b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Location: ", b"Connection: close\r\n",
    b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1", b"//", b"http://[", b"http://127.0.0.1:1/", b"%",
    b"\xff", b"\xc3\xa9", b"Content-Encoding: br\r\n", b"X" * 5000, b"1\r\nx\r\n", b"HTTP/2.0 101 ",
)  # fmt: skip


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Return data in pieces."""
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if b > a]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid answer with a few things cut, doubled, replaced or put in."""
    data = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.integers(0, 12)))
        middle = draw(
            st.one_of(
                st.just(b""),
                st.just(data[begin:end] * 2),
                st.sampled_from(TOKENS),
                st.binary(min_size=1, max_size=8),
            )
        )
        data = data[:begin] + middle + data[end:]
    return data


answers = st.one_of(
    mutated(),
    st.binary(max_size=400),
    st.lists(st.sampled_from(TOKENS), max_size=24).map(b"".join),
    st.lists(st.sampled_from(VALID), min_size=2, max_size=3).map(b"".join),
)
places = st.lists(st.integers(0, 1000), max_size=5)
examples = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


NOBODY: Final = ("127.0.0.1:9",)
"""A name server that is none."""


@pytest.fixture(autouse=True)
def _no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no look-up leave the machine: a redirect made of noise may lead to any name."""

    def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


class Script:
    """What the server does at the next visits."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.stays = False


async def play(script: Script, send: Callable[[bytes], Awaitable[None]]) -> None:
    """Send the pieces, each on its own."""
    for piece in script.pieces:
        await send(piece)
        await asyncio.sleep(0)  # one write of the loop each


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """Run the servers' thread."""
    host = Host()
    yield host
    host.stop()


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


@contextlib.contextmanager
def serving(host: Host, behave: Any, scheme: str) -> Iterator[Server]:
    server = host.serve(behave, scheme=scheme)
    try:
        yield server
    finally:
        host.call(server.close())


@pytest.fixture(scope="module")
def plain(host: Host, script: Script) -> Iterator[Server]:
    """A server that plays the script to a plain request."""

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        await play(script, visit.send)
        if script.stays:
            await visit.reader.read()

    with serving(host, behave, "http") as server:
        yield server


@pytest.fixture(scope="module")
def inside_tls(
    host: Host, script: Script, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that plays the script inside of a session."""
    context = Authority(Path(tmp_path_factory.mktemp("tls"))).context()

    async def behave(visit: Visit) -> None:
        session = Session(visit, context)
        with contextlib.suppress(ssl.SSLError):
            await visit.send(await session.handshake())
            await session.read_request()
            await play(script, lambda piece: visit.send(session.sealed(piece)))
            if script.stays:
                await session.wait()
            else:
                await visit.send(session.goodbye())

    with serving(host, behave, "https") as server:
        yield server


@pytest.fixture(scope="module")
def at_tls(
    host: Host, script: Script, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that plays the script, with its own flight in it, in place of a session."""
    context = Authority(Path(tmp_path_factory.mktemp("tls"))).context()

    async def behave(visit: Visit) -> None:
        flight = await Session(visit, context).hello()
        script.pieces = [piece.replace(FLIGHT, flight) for piece in script.pieces]
        await play(script, visit.send)
        while script.stays and await visit.reader.read(65536):
            pass

    with serving(host, behave, "https") as server:
        yield server


FLIGHT: Final = b"<flight>"


def checked(url: str) -> Outcome:
    """Check, and hold the outcome to what is true of every outcome."""

    async def run() -> Outcome:
        target = Target(
            url=url,
            guard=LOOPBACK,
            nameservers=NOBODY,
            verify_tls=False,
            max_body_bytes=MAX_BODY,
        )
        return await probe(target, asyncio.get_running_loop().time() + SECONDS)

    started = time.monotonic()
    with capture_logs() as logs:
        outcome = uvloop.run(run())
    event(f"{outcome.state} {outcome.reason}")
    assert logs == []
    assert outcome.reason is not Reason.PROBE_ERROR
    # A busy machine may use the time up before anything was asked of the target, and a
    # redirect may lead to a name that nobody can be asked for.
    assert outcome.state in (State.UP, State.DOWN) or outcome.reason in (
        Reason.FORBIDDEN_ADDRESS, Reason.RESOURCE_LIMIT,
    )  # fmt: skip
    assert bool(outcome.detail) == (outcome.state is not State.UP)
    assert len(outcome.detail) <= MAX_DETAIL_CHARS
    assert outcome.redirects <= 10
    assert outcome.bytes is None or outcome.bytes <= MAX_BODY + BEYOND
    if outcome.state is State.UP:
        assert outcome.status_code is not None
        assert outcome.bytes is not None
        assert outcome.bytes <= MAX_BODY
    assert time.monotonic() - started < SECONDS + GRACE
    return outcome


@examples
@example(data=VALID[0] + VALID[0], places=[])
@example(data=b"HTTP/1.1 302 \r\nLocation: \xff\0\r\n\r\n", places=[])
@given(data=answers, places=places)
def test_any_bytes_over_plain_tcp_are_a_mapped_outcome(
    plain: Server, script: Script, data: bytes, places: list[int]
) -> None:
    script.pieces, script.stays = cut(data, places), False

    checked(plain.url())


@examples
@given(data=answers, places=places)
def test_any_bytes_inside_of_tls_are_a_mapped_outcome(
    inside_tls: Server, script: Script, data: bytes, places: list[int]
) -> None:
    script.pieces, script.stays = cut(data, places), False

    checked(inside_tls.url())


@settings(examples, max_examples=25)
@given(data=answers, places=places)
def test_any_bytes_and_then_nothing_are_a_mapped_outcome(
    plain: Server, script: Script, data: bytes, places: list[int]
) -> None:
    script.pieces, script.stays = cut(data, places), True

    outcome = checked(plain.url())

    assert outcome.reason is not Reason.CLOSED


@examples
@given(
    before=st.binary(max_size=40),
    kind=st.integers(0, 255),
    body=st.binary(max_size=80),
    flight=st.booleans(),
    after=st.binary(max_size=40),
    places=places,
)
def test_any_bytes_in_place_of_tls_are_a_mapped_outcome(
    at_tls: Server,
    script: Script,
    before: bytes,
    kind: int,
    body: bytes,
    flight: bool,
    after: bytes,
    places: list[int],
) -> None:
    sent = before + bytes([kind]) + b"\x03\x03" + len(body).to_bytes(2) + body
    script.pieces, script.stays = [*cut(sent, places), after], False
    if flight:
        script.pieces.insert(0, FLIGHT)

    outcome = checked(at_tls.url())

    assert outcome.state is State.DOWN
    assert outcome.status_code is None


@examples
@given(place=st.integers(0, 5000), change=st.integers(1, 255))
def test_a_flight_with_one_byte_changed_is_a_mapped_outcome(
    flipping: Server, script: Script, place: int, change: int
) -> None:
    script.pieces = [place.to_bytes(2), bytes([change])]

    outcome = checked(flipping.url())

    assert outcome.state is State.DOWN
    # A record's version is to be ignored (RFC 8446, 5.1): then there is a session. A busy
    # machine may use the time up before there is a connection.
    assert outcome.reason in {
        Reason.TLS_ERROR, Reason.TLS_TIMEOUT, Reason.CLOSED, Reason.CONNECT_TIMEOUT,
    }  # fmt: skip


@pytest.fixture(scope="module")
def flipping(
    host: Host, script: Script, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose first flight has one byte changed: which, and how, the script says."""
    context = Authority(Path(tmp_path_factory.mktemp("tls"))).context()

    async def behave(visit: Visit) -> None:
        flight = bytearray(await Session(visit, context).hello())
        place, (change,) = int.from_bytes(script.pieces[0]), script.pieces[1]
        flight[place % len(flight)] ^= change
        await visit.send(bytes(flight))
        await visit.reader.read(65536)

    with serving(host, behave, "https") as server:
        yield server
