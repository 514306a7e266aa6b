"""Handshakes: silent, slow, broken, of another age."""

import ssl
from typing import Any, Final

from monitoring.probes.states import Reason, State
from tests.integration.probes.serving import Visit, answer, replies, says_nothing
from tests.torture.case import CLOSED, NOT_HTTP, SHORT, TLS_ERROR, UP, Case, Ending, Setup, phases
from tests.torture.certificates import HERE, Authority, issue
from tests.torture.renegotiation import asks_anew
from tests.torture.serving import serves
from tests.torture.session import (
    Act,
    Session,
    after_hello,
    alert,
    drips_its_hello,
    plays,
    record,
    says,
)

TLS_TIMEOUT: Final = (State.DOWN, Reason.TLS_TIMEOUT)
HOSTNAME: Final = (State.DOWN, Reason.TLS_HOSTNAME)
TLS_1_2: Final = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
TLS_1_3: Final = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
OLD: Final = "ALL:@SECLEVEL=0"
WHOLE: Final = phases("connect tls wait download")
NO_SESSION: Final = phases("connect tls")
REPLY: Final = says(answer(), farewell=True, stays=True)


def case(name: str, setup: Setup, ending: Ending, **more: Any) -> Case:
    more.setdefault("reached", WHOLE if ending == UP else NO_SESSION)
    return Case(group="TLS handshake", name=name, setup=setup, ending=ending, **more)


def raw(name: str, *parts: bytes, stays: bool = True, **more: Any) -> Case:
    """Return a row for bytes in place of the server's hello: there is no session."""
    setup = serves(after_hello(*parts, stays=stays), scheme="https")
    return case(name, setup, TLS_ERROR, **more)


def part_of_the_flight(share: float, *, reset: bool = False) -> Act:
    """Send a part of the server's first flight, then end."""

    async def act(session: Session) -> None:
        flight = await session.hello()
        await session.visit.send(flight[: int(len(flight) * share)])
        if reset:
            session.visit.reset()

    return act


async def stays_within_the_flight(session: Session) -> None:
    """Send half of the server's first flight, then nothing more."""
    flight = await session.hello()
    await session.visit.send(flight[: len(flight) // 2])
    await session.wait()


async def resets_after_hello(visit: Visit) -> None:
    """Reset when the client's hello is there."""
    await visit.reader.read(65536)
    visit.reset()


def of_versions(lowest: ssl.TLSVersion, highest: ssl.TLSVersion) -> Any:
    return lambda authority: authority.context(versions=(lowest, highest), ciphers=OLD)


def with_curve(curve: str) -> Any:
    def context(authority: Authority) -> ssl.SSLContext:
        made = authority.context()
        made.set_ecdh_curve(curve)
        return made

    return context


def with_tickets(count: int) -> Any:
    def context(authority: Authority) -> ssl.SSLContext:
        made = authority.context(versions=TLS_1_3)
        made.num_tickets = count
        return made

    return context


def asks_for_a_certificate(mode: ssl.VerifyMode, versions: Any) -> Any:
    def context(authority: Authority) -> ssl.SSLContext:
        made = authority.context(versions=versions)
        made.verify_mode = mode
        made.load_verify_locations(cadata=authority.root.pem.decode())
        return made

    return context


def by_name(right: str) -> Any:
    """Return a context that shows the right certificate only to who says this name."""

    def context(authority: Authority) -> ssl.SSLContext:
        made = authority.context(authority.leaf("other.example"))
        good = authority.context()

        def choose(session: ssl.SSLObject, said: str | None, _: ssl.SSLContext) -> None:
            if said == right:
                session.context = good

        made.sni_callback = choose
        return made

    return context


def unless_named(authority: Authority) -> ssl.SSLContext:
    """Return a context that shows the right certificate only to who says no name."""
    made = authority.context()
    wrong = authority.context(authority.leaf("other.example"))

    def choose(session: ssl.SSLObject, said: str | None, _: ssl.SSLContext) -> None:
        if said is not None:
            session.context = wrong

    made.sni_callback = choose
    return made


def refuses_every_name(authority: Authority) -> ssl.SSLContext:
    """Return a context that knows no name (RFC 6066, 3)."""
    made = authority.context()
    made.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    return made


def with_names(count: int) -> Any:
    """Return a context whose certificate has so many names: about 25 bytes each."""

    def context(authority: Authority) -> ssl.SSLContext:
        many = [f"host-{n:06}.example" for n in range(count)]
        return authority.context(issue("many", by=authority.root, names=[*HERE, *many]))

    return context


def with_alpn(*protocols: str) -> Any:
    def context(authority: Authority) -> ssl.SSLContext:
        made = authority.context()
        made.set_alpn_protocols(protocols)
        return made

    return context


CASES = (
    case("says nothing to the hello", serves(says_nothing, scheme="https"), TLS_TIMEOUT,
         seconds=SHORT, detail=r"127\.0\.0\.1.* within 0\.5 s$"),
    case("says nothing after half of its hello", plays(stays_within_the_flight,
         tls=Authority.context), TLS_TIMEOUT, seconds=SHORT, detail=r" within 0\.5 s$"),
    case("drips its hello in time", plays(drips_its_hello(0.0002), tls=Authority.context), UP),
    case("drips its hello for too long", plays(drips_its_hello(0.02), tls=Authority.context),
         TLS_TIMEOUT, seconds=SHORT, detail=r" within 0\.5 s$"),
    raw("answers a hello in plain HTTP", answer(400), detail="wrong version number"),
    raw("answers a hello with noise", bytes(range(64, 256)) * 8),
    raw("answers a hello with zeros", bytes(4096)),
    raw("answers a hello with SSH", b"SSH-2.0-OpenSSH_9.2\r\n"),
    raw("answers a hello with a record of 64 kB", b"\x16\x03\x03\xff\xff" + b"x" * 65535),
    raw("answers a hello with the data of a session", record(23, b"x" * 64)),
    raw("hangs up on the hello", stays=False, detail="hung up during the TLS handshake$"),
    case("resets on the hello", serves(resets_after_hello, scheme="https"), TLS_ERROR,
         detail="reset the connection during the TLS handshake$"),
    *(
        raw(f"alerts: {words}", alert(number), detail=words)
        for words, number in (
            ("handshake failure", 40),
            ("internal error", 80),
            ("unrecognized name", 112),
        )
    ),
    # Which Python has no words for.
    raw("alerts: no application protocol", alert(120), detail="application protocol|alert 120"),
    raw("says close_notify to the hello", alert(0, fatal=False), stays=False),
    case("hangs up within its hello", plays(part_of_the_flight(0.5), tls=Authority.context),
         TLS_ERROR),
    case("resets within its hello", plays(part_of_the_flight(0.5, reset=True),
         tls=Authority.context), TLS_ERROR),
    case("hangs up before its last byte", plays(part_of_the_flight(0.999),
         tls=Authority.context), TLS_ERROR),
    case("speaks TLS 1.1 at most", plays(REPLY, tls=of_versions(
        ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)), TLS_ERROR, detail="protocol version"),
    case("speaks TLS 1.0 only", plays(REPLY, tls=of_versions(
        ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1)), TLS_ERROR, detail="protocol version"),
    case("speaks TLS 1.2 only", plays(REPLY, tls=of_versions(*TLS_1_2)), UP),
    case("speaks TLS 1.3 only", plays(REPLY, tls=of_versions(*TLS_1_3)), UP),
    case("asks for another handshake at once", asks_anew(at_once=True), UP),
    case("asks for another handshake when asked", asks_anew(at_once=False), UP),
    case("shares no cipher", plays(REPLY, tls=lambda authority: authority.context(
        ciphers="AECDH-AES128-SHA:@SECLEVEL=0", versions=TLS_1_2)), TLS_ERROR,
         detail="handshake failure"),
    case("asks for another key share", plays(REPLY, tls=with_curve("secp521r1")), UP),
    case("sends twenty tickets", plays(REPLY, tls=with_tickets(20)), UP),
    case("sends no ticket", plays(REPLY, tls=with_tickets(0)), UP),
    case("asks for a client's certificate", plays(REPLY, tls=asks_for_a_certificate(
        ssl.CERT_OPTIONAL, TLS_1_3)), UP),
    case("demands a client's certificate in TLS 1.2", plays(REPLY,
         tls=asks_for_a_certificate(ssl.CERT_REQUIRED, TLS_1_2)), TLS_ERROR),
    # In TLS 1.3 the handshake is over for the client when the server says so.
    case("demands a client's certificate in TLS 1.3", plays(REPLY,
         tls=asks_for_a_certificate(ssl.CERT_REQUIRED, TLS_1_3)), TLS_ERROR,
         detail="certificate required", reached=None),
    case("shows the right certificate by name", plays(REPLY, tls=by_name("localhost"),
         called="localhost"), UP, reached=None),
    # The dot at the end is no part of the name that is sent (RFC 6066, 3).
    case("shows the right certificate by name, asked with a dot", plays(REPLY,
         tls=by_name("localhost"), called="localhost."), UP, reached=None),
    case("shows the wrong certificate to whom it has no name of", plays(REPLY,
         tls=by_name("localhost")), HOSTNAME, detail="127.0.0.1"),
    # An address is not sent as a name (RFC 6066, 3).
    case("shows the right certificate to who says no name", plays(REPLY, tls=unless_named), UP),
    case("knows no such name", plays(REPLY, tls=refuses_every_name,
         called="localhost"), TLS_ERROR, detail="unrecognized name", reached=None),
    case("has a certificate of 50 kB", plays(REPLY, tls=with_names(2000)), UP),
    case("has a certificate of 200 kB", plays(REPLY, tls=with_names(8000)),
         TLS_ERROR),
    case("chooses http/1.1", plays(REPLY, tls=with_alpn("http/1.1")), UP),
    case("shares no application protocol, and does not mind", plays(REPLY, tls=with_alpn("x")),
         UP),
    Case(group="TLS handshake", name="takes a plain request for a hello, and alerts",
         setup=serves(after_hello(alert(70))), ending=NOT_HTTP,
         reached=phases("connect wait download")),
    Case(group="TLS handshake", name="takes a plain request for a hello, and hangs up",
         setup=serves(replies()), ending=CLOSED, reached=phases("connect wait")),
)  # fmt: skip
