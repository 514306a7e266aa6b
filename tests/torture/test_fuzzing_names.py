"""Whatever a name server answers, a check ends as one of the mapped outcomes."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any, Final

import pytest
import uvloop
from hypothesis import event, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitoring.probes import probe
from monitoring.probes.outcome import Outcome, Target
from monitoring.probes.states import Reason, State
from tests.integration.probes.checking import LOOPBACK
from tests.integration.probes.serving import Host, Server, answer, replies
from tests.torture.test_fuzzing import SECONDS, examples

ADDRESS: Final = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x7f\x00\x00\x01"
"""127.0.0.1, for the name of the question, for no time (RFC 1035, 4.1)."""
OF_DNS: Final = {Reason.DNS_ERROR, Reason.DNS_TIMEOUT}


class Liar(asyncio.DatagramProtocol):
    """A name server whose answers belong to their questions, and are spoilt from there on."""

    def __init__(self) -> None:
        self.changes: list[tuple[int, int]] = []
        self.rest: bytes | None = None
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.port = self._transport.get_extra_info("sockname")[1]

    async def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        question = data[12 : data.index(b"\0", 12) + 5]
        is_for_ipv4 = question[-4:-2] == b"\0\x01"
        body = bytearray(b"\x81\x80\0\x01" + bytes([0, is_for_ipv4]) + bytes(4) + question) + (
            ADDRESS if is_for_ipv4 else b""
        )
        for place, value in self.changes:
            body[place % len(body)] = value
        self._transport.sendto(data[:2] + (body if self.rest is None else self.rest), addr)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """Run the servers' thread."""
    host = Host()
    yield host
    host.stop()


@pytest.fixture(scope="module")
def server(host: Host) -> Iterator[Server]:
    """A server that answers."""
    server = host.serve(replies(answer()))
    yield server
    host.call(server.close())


@pytest.fixture(scope="module")
def liar(host: Host) -> Iterator[Liar]:
    liar = Liar()
    host.call(liar.open())
    yield liar
    host.call(liar.close())


@pytest.fixture(autouse=True)
def _no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no look-up leave the machine, whoever is asked."""

    def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def checked(server: Server, liar: Liar) -> Outcome:
    """Check by name, and hold the outcome to what is true of every one of these."""

    async def run() -> Outcome:
        target = Target(
            url=server.url(host="name.torture.example"),
            guard=LOOPBACK,
            nameservers=(f"127.0.0.1:{liar.port}",),
        )
        return await probe(target, asyncio.get_running_loop().time() + SECONDS)

    with capture_logs() as logs:
        outcome = uvloop.run(run())
    event(f"{outcome.state} {outcome.reason}")
    assert logs == []
    assert outcome.state in (State.UP, State.DOWN) or outcome.reason in (
        # A spoilt answer may well be a right one, of another address than ours.
        Reason.FORBIDDEN_ADDRESS,
        Reason.RESOURCE_LIMIT,
    )
    return outcome


@settings(examples, max_examples=50)  # a spoilt answer is often waited beyond
@given(changes=st.lists(st.tuples(st.integers(0, 45), st.integers(0, 255)), max_size=3))
def test_an_answer_with_bytes_changed_is_a_mapped_outcome(
    server: Server, liar: Liar, changes: list[tuple[int, int]]
) -> None:
    # The address itself is left as it is: nothing is dialled but what is here.
    liar.changes, liar.rest = changes, None

    outcome = checked(server, liar)

    assert outcome.ip in (None, "127.0.0.1")


@settings(examples, max_examples=50)
@given(rest=st.binary(max_size=120))
def test_any_bytes_in_answer_to_a_question_are_a_mapped_outcome(
    server: Server, liar: Liar, rest: bytes
) -> None:
    liar.changes, liar.rest = [], rest

    outcome = checked(server, liar)

    assert outcome.reason in OF_DNS
