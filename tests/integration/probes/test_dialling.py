"""Names, addresses and sockets: what keeps a check from a connection, and whose fault it is."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from monitoring.probes import vantage
from monitoring.probes.guard import Guard, parse_allowed_targets
from monitoring.probes.states import Reason
from tests.integration.probes.checking import UP, check, down, ending, internal
from tests.integration.probes.conftest import Serve
from tests.integration.probes.nameserver import (
    NODATA,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    SILENCE,
    NameServer,
    Says,
)
from tests.integration.probes.serving import Server, answer, replies

NOBODY = Guard()


@pytest.fixture
def server(serve: Serve) -> Server:
    """A server that answers."""
    return serve(replies(answer()))


@contextlib.contextmanager
def black_hole(host: str = "127.0.0.1") -> Iterator[int]:
    """A port whose queue of connections is full, so that one more is neither taken nor refused."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind((host, 0))
        listener.listen(0)
        for _ in range(3):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_name_is_resolved_and_its_address_told(server: Server) -> None:
    outcome = check(server.url(host="server.example"))

    assert (ending(outcome), outcome.ip) == (UP, "127.0.0.1")
    assert outcome.phases.dns_us is not None


def test_an_ipv6_address_is_dialled_as_it_is(serve: Serve, names: NameServer) -> None:
    server = serve(replies(answer()), host="::1")

    outcome = check(server.url(host="[::1]"))

    assert (ending(outcome), outcome.ip) == (UP, "::1")
    assert f"Host: [::1]:{server.port}".encode() in server.requests[0]
    assert names.asked == []


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (NXDOMAIN, "no such name (NXDOMAIN)"),
        (NODATA, "the name has no such address (NODATA)"),
        (SERVFAIL, "the name servers answered SERVFAIL (asked: {address})"),
        (REFUSED, "the name servers answered REFUSED (asked: {address})"),
    ],
)
def test_a_name_that_does_not_resolve_is_a_dns_error(
    names: NameServer, monkeypatch: pytest.MonkeyPatch, says: Says, words: str
) -> None:
    monkeypatch.setattr(vantage, "has_route", lambda: True)
    names.known["gone.example"] = says

    outcome = check("http://gone.example/?token=hunter2")

    assert ending(outcome) == down(Reason.DNS_ERROR)
    words = words.format(address=names.address)
    assert outcome.detail == f"no address for gone.example: {words}"
    assert (outcome.ip, outcome.phases.connect_us) == (None, None)
    assert outcome.phases.dns_us is not None


@pytest.mark.parametrize(
    "name", ["a" * 64 + ".example", "a..example", ".example", "xn--ls8h.example", "_a.example"]
)
def test_a_host_that_dns_cannot_hold_is_a_dns_error(name: str) -> None:
    outcome = check(f"http://{name}/")

    assert ending(outcome) == down(Reason.DNS_ERROR)
    assert name in outcome.detail


def test_a_resolver_without_an_answer_is_a_dns_timeout(names: NameServer) -> None:
    names.known["slow.example"] = SILENCE
    started = time.monotonic()

    outcome = check("http://slow.example/", seconds=1)

    assert ending(outcome) == down(Reason.DNS_TIMEOUT)
    assert outcome.detail == "no answer from DNS for slow.example within 1.0 s"
    assert outcome.phases.dns_us is not None
    assert 200_000 < outcome.phases.dns_us <= outcome.total_us
    assert time.monotonic() - started < 5


def test_without_a_network_a_name_server_s_failure_is_our_fault(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver of this machine itself answers without one, but only that it cannot."""
    monkeypatch.setattr(vantage, "has_route", lambda: False)
    names.known["some.example"] = SERVFAIL

    assert ending(check("http://some.example/")) == internal(Reason.NO_NETWORK)


def test_a_refused_connection_is_told_with_its_address(free_port: int) -> None:
    outcome = check(f"http://127.0.0.1:{free_port}/")

    assert ending(outcome) == down(Reason.CONNECT_REFUSED)
    assert outcome.detail == f"connection refused by 127.0.0.1 port {free_port}"
    assert outcome.phases.connect_us is not None
    assert outcome.phases.wait_us is None


def test_a_black_hole_is_a_connect_timeout_in_time() -> None:
    started = time.monotonic()
    with black_hole() as port:
        outcome = check(f"http://127.0.0.1:{port}/", seconds=1)

    assert ending(outcome) == down(Reason.CONNECT_TIMEOUT)
    assert outcome.detail == f"no connection to 127.0.0.1 port {port} within 1.0 s"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("name", ["127.0.0.1", "server.example"])
def test_a_forbidden_address_gets_no_connection(server: Server, name: str) -> None:
    outcome = check(server.url(host=name), guard=NOBODY)

    assert ending(outcome) == internal(Reason.FORBIDDEN_ADDRESS)
    assert "SENTINEL_ALLOWED_TARGETS" in outcome.detail
    assert "127.0.0.1" in outcome.detail
    assert (outcome.ip, outcome.phases.connect_us) == (None, None)
    assert server.connections == 0


@pytest.mark.parametrize("order", [1, -1])
def test_one_forbidden_address_refuses_the_name(
    serve: Serve, names: NameServer, order: int
) -> None:
    allowed = serve(replies(answer()), host="127.0.0.1")
    forbidden = serve(replies(answer()), host="127.0.0.2", port=allowed.port)
    names.known["both.example"] = ["127.0.0.1", "127.0.0.2"][::order]
    guard = Guard(parse_allowed_targets("127.0.0.1"))

    outcome = check(allowed.url(host="both.example"), guard=guard)

    assert ending(outcome) == internal(Reason.FORBIDDEN_ADDRESS)
    assert (allowed.connections, forbidden.connections) == (0, 0)


def test_a_name_that_changes_its_answer_is_judged_by_what_is_dialled(
    serve: Serve, names: NameServer
) -> None:
    """DNS rebinding: the second answer would be a forbidden address."""
    allowed = serve(replies(answer()), host="127.0.0.1")
    forbidden = serve(replies(answer()), host="127.0.0.2", port=allowed.port)
    names.known["rebound.example"] = [Says(["127.0.0.1"], ttl=0), Says(["127.0.0.2"], ttl=0)]
    guard = Guard(parse_allowed_targets("127.0.0.1"))

    first = check(allowed.url(host="rebound.example"), guard=guard)
    second = check(allowed.url(host="rebound.example"), guard=guard)

    assert (ending(first), first.ip) == (UP, "127.0.0.1")
    assert ending(second) == internal(Reason.FORBIDDEN_ADDRESS)
    assert forbidden.connections == 0


def test_the_next_address_is_tried_where_one_refuses(server: Server, names: NameServer) -> None:
    names.known["two.example"] = ["127.0.0.2", "127.0.0.1"]

    outcome = check(server.url(host="two.example"))

    assert (ending(outcome), outcome.ip) == (UP, "127.0.0.1")


def test_a_dead_address_does_not_hold_up_the_next(serve: Serve, names: NameServer) -> None:
    names.known["two.example"] = ["127.0.0.2", "127.0.0.1"]
    with black_hole("127.0.0.2") as port:
        server = serve(replies(answer()), port=port)
        outcome = check(server.url(host="two.example"), seconds=1.0)

    assert (ending(outcome), outcome.ip) == (UP, "127.0.0.1")
    assert outcome.phases.connect_us is not None
    assert 200_000 < outcome.phases.connect_us < 900_000


def test_several_dead_addresses_end_in_time(names: NameServer) -> None:
    names.known["dead.example"] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    started = time.monotonic()
    with contextlib.ExitStack() as holes:
        port = holes.enter_context(black_hole("127.0.0.2"))
        for host in ("127.0.0.3", "127.0.0.4"):
            listener = holes.enter_context(socket.socket())
            listener.bind((host, port))
            listener.listen(0)
            filler = holes.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((host, port))
        outcome = check(f"http://dead.example:{port}/", seconds=1)

    assert ending(outcome) == down(Reason.CONNECT_TIMEOUT)
    assert time.monotonic() - started < 5


def test_a_deadline_names_an_address_that_has_not_answered(names: NameServer) -> None:
    """Not the one that was dialled after it, and has refused."""
    names.known["two.example"] = ["127.0.0.1", "127.0.0.2"]
    with black_hole() as port:
        outcome = check(f"http://two.example:{port}/", seconds=1)

    assert ending(outcome) == down(Reason.CONNECT_TIMEOUT)
    assert outcome.detail == f"no connection to 127.0.0.1 port {port} within 1.0 s"
    assert outcome.ip == "127.0.0.1"
