"""The one map from errors to reasons, where a server on loopback cannot bring them about."""

import errno
import os
import socket
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from OpenSSL import SSL
from structlog.testing import capture_logs

from monitoring.probes import reasons, vantage
from monitoring.probes.faults import Disbelieved, HungUp, NotHTTP
from monitoring.probes.guard import ForbiddenAddress
from monitoring.probes.nameservers import Cause, Unresolved
from monitoring.probes.outcome import Failure
from monitoring.probes.reasons import Scene, reason_of
from monitoring.probes.states import REASONS, Reason, State
from monitoring.probes.stopwatch import Phase
from monitoring.probes.trace import Trace, shown

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def scene(phase: Phase | None) -> Scene:
    """Return the scene of a check in a phase."""
    trace = Trace("GET", httpx.URL("https://example.org/path?token=hunter2"))
    trace.ip, trace.port = "192.0.2.7", 443
    trace.watch.current = phase
    return Scene(trace, 10.0, NOW)


def os_error(number: int) -> OSError:
    """Return the system's error of a number."""
    return OSError(number, os.strerror(number))


def ending(error: Exception, phase: Phase | None) -> tuple[State, Reason]:
    """Return what an error in a phase is mapped to."""
    failure = reason_of(error, scene(phase), expired=False)
    assert failure.reason in REASONS[failure.state]
    assert failure.detail
    assert "hunter2" not in failure.detail
    return failure.state, failure.reason


@pytest.mark.parametrize(
    ("phase", "state", "reason", "detail"),
    [
        ("dns", State.DOWN, Reason.DNS_TIMEOUT, "no answer from DNS for example.org"),
        ("connect", State.DOWN, Reason.CONNECT_TIMEOUT, "no connection to 192.0.2.7 port 443"),
        ("tls", State.DOWN, Reason.TLS_TIMEOUT, "no answer to the TLS hello from 192.0.2.7"),
        ("wait", State.DOWN, Reason.TIMEOUT, "connected to 192.0.2.7 port 443, but no answer"),
        ("download", State.DOWN, Reason.TIMEOUT, "the answer from 192.0.2.7 port 443 was not"),
        (None, State.INTERNAL, Reason.RESOURCE_LIMIT, "the worker was too busy"),
    ],
)
@pytest.mark.parametrize("error", [TimeoutError(), HungUp(), OSError(9, "closed")])
def test_the_deadline_is_put_down_to_the_phase_that_it_struck(
    error: Exception, phase: Phase | None, state: State, reason: Reason, detail: str
) -> None:
    failure = reason_of(error, scene(phase), expired=True)

    assert (failure.state, failure.reason) == (state, reason)
    assert failure.detail.startswith(detail)
    assert failure.detail.endswith(" within 10.0 s")


@pytest.mark.parametrize(
    ("phase", "number", "reason"),
    [
        ("connect", errno.ECONNREFUSED, Reason.CONNECT_REFUSED),
        ("connect", errno.EHOSTUNREACH, Reason.CONNECT_ERROR),
        ("connect", errno.ETIMEDOUT, Reason.CONNECT_TIMEOUT),
        ("tls", errno.ECONNRESET, Reason.TLS_ERROR),
        ("tls", errno.ETIMEDOUT, Reason.TLS_TIMEOUT),
        ("wait", errno.ECONNRESET, Reason.CLOSED),
        ("wait", errno.EPIPE, Reason.CLOSED),
        ("wait", errno.EHOSTUNREACH, Reason.CLOSED),
        ("download", errno.ETIMEDOUT, Reason.TIMEOUT),
    ],
)
def test_an_error_of_the_system_has_its_meaning_in_each_phase(
    phase: Phase, number: int, reason: Reason
) -> None:
    assert ending(os_error(number), phase) == (State.DOWN, reason)


@pytest.mark.parametrize("phase", ["dns", "connect", "tls", "wait", "download", None])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_what_this_worker_lacks_is_its_own_fault_in_every_phase(
    phase: Phase | None, number: int
) -> None:
    own = State.INTERNAL, Reason.RESOURCE_LIMIT

    assert ending(os_error(number), phase) == own
    assert ending(MemoryError(), phase) == own


@pytest.mark.parametrize("phase", ["connect", "wait", "download"])
@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.ENETDOWN, errno.EACCES])
def test_a_network_that_is_not_there_is_our_own_fault(phase: Phase, number: int) -> None:
    assert ending(os_error(number), phase) == (State.INTERNAL, Reason.NO_NETWORK)


@pytest.mark.parametrize(
    "error",
    [
        os_error(errno.ENOENT),
        os_error(errno.ECONNREFUSED),
        TimeoutError(),
        SSL.Error([("SSL routines", "", "no such file")]),
        UnicodeError(),
        HungUp(),
        ValueError(),
    ],
)
def test_before_anything_was_asked_of_the_target_an_error_is_ours(error: Exception) -> None:
    with capture_logs() as logs:
        assert ending(error, None) == (State.INTERNAL, Reason.PROBE_ERROR)

    assert logs[0]["url"] == "https://example.org/path"


@pytest.mark.parametrize("phase", ["connect", "tls", "wait", "download"])
@pytest.mark.parametrize("error", [UnicodeError(), ValueError(), AssertionError(), KeyError("x")])
def test_a_defect_of_ours_is_never_the_target_s(phase: Phase, error: Exception) -> None:
    error.__cause__ = os_error(errno.ECONNREFUSED)

    with capture_logs():
        assert ending(error, phase) == (State.INTERNAL, Reason.PROBE_ERROR)


@pytest.mark.parametrize(
    ("phase", "reason"),
    [
        ("connect", Reason.CONNECT_ERROR),
        ("tls", Reason.TLS_ERROR),
        ("wait", Reason.CLOSED),
        ("download", Reason.CLOSED),
    ],
)
def test_a_stream_that_just_ends_has_hung_up(phase: Phase, reason: Reason) -> None:
    assert ending(HungUp(), phase) == (State.DOWN, reason)


def test_a_forbidden_address_is_our_policy() -> None:
    error = ForbiddenAddress("10.0.0.1 is a private address")

    failure = reason_of(error, scene(None), expired=False)

    assert (failure.state, failure.reason) == (State.INTERNAL, Reason.FORBIDDEN_ADDRESS)
    assert failure.detail == str(error)


def test_what_is_not_http_says_why() -> None:
    failure = reason_of(NotHTTP("more than 256 headers"), scene("download"), expired=False)

    assert failure.reason is Reason.PROTOCOL_ERROR
    assert failure.detail == (
        "the answer from 192.0.2.7 port 443 is not HTTP: more than 256 headers"
    )


@pytest.mark.parametrize(
    ("cause", "route", "expected"),
    [
        (Cause.NO_SUCH_NAME, True, (State.DOWN, Reason.DNS_ERROR)),
        (Cause.NO_SUCH_NAME, False, (State.DOWN, Reason.DNS_ERROR)),
        (Cause.NO_ADDRESS, False, (State.DOWN, Reason.DNS_ERROR)),
        (Cause.NOT_A_NAME, False, (State.DOWN, Reason.DNS_ERROR)),
        (Cause.SERVER_FAILURE, True, (State.DOWN, Reason.DNS_ERROR)),
        (Cause.SERVER_FAILURE, False, (State.INTERNAL, Reason.NO_NETWORK)),
        (Cause.TIMED_OUT, True, (State.DOWN, Reason.DNS_TIMEOUT)),
        (Cause.TIMED_OUT, False, (State.INTERNAL, Reason.NO_NETWORK)),
        (Cause.UNREACHABLE, True, (State.DOWN, Reason.DNS_ERROR)),
        (Cause.UNREACHABLE, False, (State.INTERNAL, Reason.NO_NETWORK)),
        (Cause.RESOURCES, True, (State.INTERNAL, Reason.RESOURCE_LIMIT)),
        (Cause.RESOURCES, False, (State.INTERNAL, Reason.RESOURCE_LIMIT)),
    ],
)
@pytest.mark.parametrize("phase", ["dns", None])
def test_a_name_s_failure_is_the_target_s_only_if_this_worker_lacks_nothing(
    monkeypatch: pytest.MonkeyPatch,
    cause: Cause,
    route: bool,
    expected: tuple[State, Reason],
    phase: Phase | None,
) -> None:
    monkeypatch.setattr(vantage, "has_route", lambda: route)

    assert ending(Unresolved(cause, "some words"), phase) == expected


def test_a_trust_store_that_cannot_be_opened_is_not_the_certificate_s_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = Disbelieved(20, "unable to get local issuer certificate")

    assert ending(error, "tls") == (State.DOWN, Reason.TLS_UNTRUSTED)
    monkeypatch.setattr(vantage, "out_of_descriptors", lambda: True)
    assert ending(error, "tls") == (State.INTERNAL, Reason.RESOURCE_LIMIT)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["tlsv1 alert internal error"], "tlsv1 alert internal error"),
        (["bad record type", "record layer failure"], "bad record type"),
        (["nested asn1 error", "ASN1 lib"], "asn1 lib"),
        (["record layer failure"], "alert 90"),
        ([""], "alert 90"),
        ([], "alert 90"),
    ],
)
def test_what_openssl_says_of_a_session_is_told_where_it_says_something(
    said: list[str], words: str
) -> None:
    of_a_session = scene("tls")
    of_a_session.trace.alert = "alert 90"
    error = SSL.Error([("SSL routines", "", each) for each in said])

    failure = reason_of(error, of_a_session, expired=False)

    assert (failure.state, failure.reason) == (State.DOWN, Reason.TLS_ERROR)
    assert failure.detail == f"TLS with 192.0.2.7 port 443 failed: {words}"


def test_an_end_that_openssl_met_is_a_hang_up() -> None:
    error = SSL.SysCallError(-1, "Unexpected EOF")

    assert ending(error, "tls") == (State.DOWN, Reason.TLS_ERROR)
    assert ending(error, "wait") == (State.DOWN, Reason.CLOSED)


class _Socket(socket.socket):
    """A datagram socket without a route, of which nothing leaves."""

    asked: list[Any]

    def connect(self, address: Any) -> None:
        self.asked.append((self.type, address))
        raise os_error(errno.ENETUNREACH)


def test_a_route_is_looked_for_without_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    _Socket.asked = []
    monkeypatch.setattr(socket, "socket", _Socket)

    assert not vantage.has_route()
    assert {kind for kind, _ in _Socket.asked} == {socket.SOCK_DGRAM}

    monkeypatch.setattr(_Socket, "connect", lambda *_: None)
    assert vantage.has_route()


def test_there_are_descriptors_left() -> None:
    assert not vantage.out_of_descriptors()


def test_an_address_is_shown_without_its_secrets() -> None:
    assert shown(httpx.URL("https://me:hunter2@a.example:1/b?c=hunter2#d")) == (
        "https://a.example:1/b"
    )


def test_every_time_out_of_the_map_is_a_failure_of_the_target() -> None:
    for reason, words in reasons._TIMEOUTS.values():
        Failure(State.DOWN, reason, words)
        assert reason in REASONS[State.DOWN]
