"""Certificates and handshakes: each fault has its own reason."""

import asyncio
import datetime as dt
import ssl
import time
from pathlib import Path

import pytest
import trustme

from monitoring.probes.states import Reason, State
from monitoring.probes.trust import client_context
from tests.integration.probes.checking import UP, check, down, ending, internal
from tests.integration.probes.conftest import Serve
from tests.integration.probes.nameserver import NameServer
from tests.integration.probes.serving import (
    Behaviour,
    Server,
    Visit,
    answer,
    hangs_up,
    redirects,
    replies,
    resets,
    says_nothing,
)

INTERNATIONAL = "xn--mnchen-3ya.example"
YEAR = dt.timedelta(days=365)


def context(
    authority: trustme.CA,
    *names: str,
    not_before: dt.datetime | None = None,
    not_after: dt.datetime | None = None,
) -> ssl.SSLContext:
    """Return a server's side with a certificate for these names."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert(*names, not_before=not_before, not_after=not_after)
    certificate.configure_cert(made)
    return made


@pytest.fixture
def secure(serve: Serve, authority: trustme.CA) -> Server:
    """A server with a certificate for what it is called here."""
    names = ("127.0.0.1", "server.example", "::1", INTERNATIONAL)
    return serve(replies(answer()), tls=context(authority, *names))


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize("name", ["127.0.0.1", "server.example", "server.example.", INTERNATIONAL])
def test_a_trusted_certificate_is_up(secure: Server, names: NameServer, name: str) -> None:
    names.known[INTERNATIONAL] = ["127.0.0.1"]

    outcome = check(secure.url(host=name))

    assert ending(outcome) == UP
    assert outcome.phases.tls_us
    assert outcome.phases.tls_us > 0


@pytest.mark.usefixtures("trust")
def test_a_name_that_idna_2008_has_not_is_verified_too(
    serve: Serve, authority: trustme.CA, names: NameServer
) -> None:
    """Emoji have no place in IDNA 2008, yet there are such domains, with certificates."""
    names.known["xn--ls8h.emoji.example"] = ["127.0.0.1"]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # trustme encodes names itself, and refuses this one: a wildcard stands for it.
    authority.issue_cert("*.emoji.example").configure_cert(tls)
    server = serve(replies(answer()), tls=tls)

    outcome = check(server.url(host="xn--ls8h.emoji.example"))

    assert ending(outcome) == UP
    assert f"Host: xn--ls8h.emoji.example:{server.port}".encode() in server.requests[0]


@pytest.mark.usefixtures("trust")
def test_a_certificate_for_an_ipv6_address_is_up(serve: Serve, authority: trustme.CA) -> None:
    server = serve(replies(answer()), tls=context(authority, "::1"), host="::1")

    outcome = check(server.url(host="[::1]"))

    assert ending(outcome) == UP
    assert outcome.ip == "::1"


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize(
    ("hosts", "dates", "reason", "words"),
    [
        pytest.param(("127.0.0.1",), (-2, -1), Reason.TLS_EXPIRED, ", 365 days ago", id="expired"),
        pytest.param(
            ("127.0.0.1",), (1, 2), Reason.TLS_EXPIRED, "not yet valid", id="not yet valid"
        ),
        pytest.param(
            ("other.example",),
            (-1, 1),
            Reason.TLS_HOSTNAME,
            "is not for 127.0.0.1",
            id="wrong name",
        ),
        pytest.param(
            ("127.0.0.2",), (-1, 1), Reason.TLS_HOSTNAME, "is not for 127.0.0.1", id="wrong address"
        ),
    ],
)
def test_a_certificate_that_does_not_hold_is_told_by_its_fault(
    serve: Serve,
    authority: trustme.CA,
    hosts: tuple[str, ...],
    dates: tuple[int, int],
    reason: Reason,
    words: str,
) -> None:
    now = dt.datetime.now(dt.UTC)
    begin, end = (now + years * YEAR for years in dates)
    server = serve(
        replies(answer()), tls=context(authority, *hosts, not_before=begin, not_after=end)
    )

    outcome = check(server.url())

    assert ending(outcome) == down(reason)
    assert words in outcome.detail
    assert outcome.phases.wait_us is None
    assert ending(check(server.url(), verify_tls=False)) == UP


@pytest.mark.usefixtures("trust")
def test_a_stranger_s_certificate_is_untrusted_unless_nobody_asks(
    serve: Serve,
) -> None:
    server = serve(replies(answer()), tls=context(trustme.CA(), "127.0.0.1"))

    assert ending(check(server.url())) == down(Reason.TLS_UNTRUSTED)
    assert ending(check(server.url(), verify_tls=False)) == UP


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize(
    ("behaviour", "reasons"),
    [
        pytest.param(hangs_up, {Reason.TLS_ERROR}, id="hangs up at once"),
        # Where the reset overtakes the handshake, it is noticed at the connection.
        pytest.param(resets, {Reason.TLS_ERROR, Reason.CLOSED}, id="resets at once"),
        pytest.param(replies(), {Reason.TLS_TIMEOUT}, id="waits for a plain request"),
        pytest.param(says_nothing, {Reason.TLS_TIMEOUT}, id="silent"),
    ],
)
def test_a_plain_server_at_a_tls_address_has_no_tls(
    serve: Serve, behaviour: Behaviour, reasons: set[Reason]
) -> None:
    server = serve(behaviour, scheme="https")
    started = time.monotonic()

    outcome = check(server.url(), seconds=1)

    assert outcome.state is State.DOWN
    assert outcome.reason in reasons
    assert outcome.phases.wait_us is None
    assert time.monotonic() - started < 5


@pytest.mark.usefixtures("trust")
def test_an_answer_in_plain_text_to_a_handshake_is_a_tls_error(
    serve: Serve,
) -> None:
    async def answers_anything(visit: Visit) -> None:
        await visit.reader.read(1)
        await visit.send(answer(400))

    outcome = check(serve(answers_anything, scheme="https").url())

    assert ending(outcome) == down(Reason.TLS_ERROR)
    assert "wrong version number" in outcome.detail


def test_a_plain_request_to_a_tls_port_is_no_answer(serve: Serve, authority: trustme.CA) -> None:
    server = serve(replies(answer()), tls=context(authority, "127.0.0.1"), scheme="http")

    outcome = check(server.url())

    assert outcome.state is State.DOWN
    assert outcome.reason in {Reason.CLOSED, Reason.PROTOCOL_ERROR}


@pytest.mark.usefixtures("trust")
def test_a_tls_server_that_hangs_up_within_the_body_has_closed(
    serve: Serve, authority: trustme.CA
) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    server = serve(replies(half), tls=context(authority, "127.0.0.1"))

    outcome = check(server.url())

    assert (ending(outcome), outcome.bytes) == (down(Reason.CLOSED), 4)


@pytest.mark.usefixtures("trust")
def test_too_old_a_protocol_is_a_tls_error(serve: Serve, authority: trustme.CA) -> None:
    tls = context(authority, "127.0.0.1")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        tls.maximum_version = ssl.TLSVersion.TLSv1_1

    assert ending(check(serve(replies(answer()), tls=tls).url())) == down(Reason.TLS_ERROR)


@pytest.mark.usefixtures("trust")
def test_a_redirect_into_tls_is_timed_and_verified(serve: Serve, secure: Server) -> None:
    outcome = check(serve(replies(redirects(secure.url()))).url())

    assert ending(outcome) == UP
    assert outcome.redirects == 1
    assert outcome.phases.tls_us


def test_a_worker_that_trusts_nobody_blames_itself(
    secure: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    client_context.cache_clear()

    outcome = check(secure.url())

    assert ending(outcome) == internal(Reason.PROBE_ERROR)
    assert "SSL_CERT_FILE" in outcome.detail
    assert ending(check(secure.url(), verify_tls=False)) == UP


@pytest.mark.usefixtures("trust")
def test_an_answer_before_the_request_was_read_is_taken_over_tls_too(
    serve: Serve, authority: trustme.CA
) -> None:
    async def refuses_unread(visit: Visit) -> None:
        await visit.reader.read(10)
        await visit.send(answer(413, b"too much"))
        await asyncio.Event().wait()  # reads no more, and stays

    server = serve(refuses_unread, tls=context(authority, "127.0.0.1"))

    outcome = check(server.url(), method="POST", body=b"x" * 30_000_000, seconds=5)

    assert (ending(outcome), outcome.status_code) == (down(Reason.STATUS), 413)


@pytest.mark.usefixtures("trust")
def test_who_is_not_believed_is_shown_as_it_was_and_sent_nothing(
    serve: Serve, authority: trustme.CA
) -> None:
    """Behind one address there may be several servers: what is told is of the one that was met."""
    now = dt.datetime.now(dt.UTC)
    expired = context(authority, "127.0.0.1", not_before=now - 2 * YEAR, not_after=now - YEAR)
    server = serve(replies(answer()), tls=expired)

    outcome = check(server.url())

    assert ending(outcome) == down(Reason.TLS_EXPIRED)
    assert outcome.certificate is not None
    assert outcome.certificate.problem == "certificate has expired"
    assert outcome.certificate.not_after == (now - YEAR).replace(microsecond=0)
    assert (server.connections, server.requests) == (0, [])
