"""The values a probe takes and gives: Target and Outcome, and what they are made of."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple, Self

from monitoring.probes.assertions import Assertion
from monitoring.probes.guard import Guard
from monitoring.probes.states import REASONS, Reason, State

MAX_DETAIL_CHARS: Final = 300


class IPVersion(StrEnum):
    """Which of a host's addresses may be dialled."""

    BOTH = "both"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Target(NamedTuple):
    """All that a probe may know.

    A tuple, as all that is made for every check: in a third of a dataclass's time.

    Attributes:
        url: an absolute http or https URL, normalised, without user info.
        method: the HTTP method of the first request.
        headers: names and values that go with it beside the probe's own, or in place of them;
            dropped when a redirect leads to another origin. May hold secrets.
        body: the request's body, with its Content-Type among ``headers``. May hold secrets.
        expected_status: inclusive ranges of status codes that count as up.
        follow_redirects: whether a 3xx answer with a Location is followed.
        verify_tls: whether the certificate must be valid for the host.
        http2: whether HTTP/2 is offered to a server that speaks TLS.
        ip_version: which of the host's addresses may be dialled.
        assertions: what else must hold of the last answer.
        degraded_after_us: a total time in microseconds past which up is degraded, or None.
        nameservers: addresses, with or without port, of the name servers to ask; empty:
            the system's.
        guard: which addresses may be dialled.
        max_body_bytes: how much of a body, packed or unpacked, is read before the check
            ends as ``too_large``.
        max_redirects: how many redirects are followed.
    """

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    expected_status: tuple[tuple[int, int], ...] = ((200, 299),)
    follow_redirects: bool = True
    verify_tls: bool = True
    http2: bool = False
    ip_version: IPVersion = IPVersion.BOTH
    assertions: tuple[Assertion, ...] = ()
    degraded_after_us: int | None = None
    nameservers: tuple[str, ...] = ()
    guard: Guard = Guard()
    max_body_bytes: int = 10 * 1024 * 1024
    max_redirects: int = 10

    def __repr__(self) -> str:
        """Show what it is without what may be secret."""
        shown = self._asdict()
        del shown["headers"], shown["body"]
        return f"Target({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class Phases(NamedTuple):
    """Where the time went, in integer microseconds.

    A phase that was not reached is None, never 0. ``dns`` is None too where nobody had to
    be asked: the host is an address, or its addresses were known. ``wait`` runs from the
    request sent to the first byte of the answer (TTFB); ``download`` from there to the
    last byte. What passes between two phases is ours, and belongs to none of them.
    """

    dns_us: int | None = None
    connect_us: int | None = None
    tls_us: int | None = None
    wait_us: int | None = None
    download_us: int | None = None

    @property
    def total_us(self) -> int:
        """The sum of what was reached."""
        return (
            (self.dns_us or 0)
            + (self.connect_us or 0)
            + (self.tls_us or 0)
            + (self.wait_us or 0)
            + (self.download_us or 0)
        )


NO_PHASES: Final = Phases()


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a server showed of itself, whether it was believed or not.

    Attributes:
        subject: its common name, else the first name it is for, else the whole subject.
        issuer: the organisation and common name of who signed it.
        not_before, not_after: when it holds, in UTC.
        problem: what verification found wrong with it or with its chain; None where it
            holds or nobody asked.
    """

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    problem: str | None = None


class Hop(NamedTuple):
    """One request of a check, and what came of it.

    Attributes:
        url: without user info, query and fragment, which may hold secrets; cut where it is endless.
        method: of this request.
        status_code: None where no answer came.
        http_version: ``1.0``, ``1.1`` or ``2``; None where no answer came.
        addresses: what the host resolved to, in the order of the resolver.
        ip: the address that was dialled last.
        port: the TCP port.
        tls_version: such as ``TLSv1.3``; None without a session.
        certificate: None without TLS, or where none was shown.
        phases: where the time of this hop went.
        bytes: body bytes received, packed as they came; None where no body was reached.
    """

    url: str
    method: str
    status_code: int | None = None
    http_version: str | None = None
    addresses: tuple[str, ...] = ()
    ip: str | None = None
    port: int | None = None
    tls_version: str | None = None
    certificate: Certificate | None = None
    phases: Phases = Phases()
    bytes: int | None = None


_UP: Final = State.UP  # by its class an enumeration's member takes a microsecond to look up


class _Seen(NamedTuple):
    state: State
    total_us: int
    reason: Reason | None
    detail: str
    status_code: int | None
    http_version: str | None
    ip: str | None
    phases: Phases
    bytes: int | None
    redirects: int
    certificate: Certificate | None
    hops: tuple[Hop, ...]


class Outcome(_Seen):
    """What one check saw.

    Attributes:
        state: never ``missed``: what was not run has no outcome.
        total_us: the sum of the phases, in microseconds.
        reason: None if and only if ``state`` is up.
        detail: one line in words for a person, without secrets.
        status_code: of the last answer, None where none came.
        http_version: of the last answer: ``1.0``, ``1.1`` or ``2``.
        ip: the address that was dialled last.
        phases: where the time went, summed over the hops.
        bytes: body bytes received from the last hop, None where no body was reached.
        redirects: how many redirects were followed.
        certificate: the first hop's, which is the one of the target itself.
        hops: every request of the check, in order.
    """

    __slots__ = ()

    def __new__(
        cls,
        *,
        state: State,
        total_us: int,
        reason: Reason | None = None,
        detail: str = "",
        status_code: int | None = None,
        http_version: str | None = None,
        ip: str | None = None,
        phases: Phases = NO_PHASES,
        bytes: int | None = None,  # noqa: A002 - the field's name, as it is stored and told
        redirects: int = 0,
        certificate: Certificate | None = None,
        hops: tuple[Hop, ...] = (),
    ) -> Self:
        """Refuse a reason that the state does not allow; make the detail storable and short."""
        if reason is None:
            if state is not _UP:
                raise ValueError(f"state {state} with reason None")
        elif reason not in REASONS[state]:
            raise ValueError(f"state {state} with reason {reason}")
        return tuple.__new__(
            cls,
            (
                state,
                total_us,
                reason,
                storable(detail) if detail else "",
                status_code,
                http_version,
                ip,
                phases,
                bytes,
                redirects,
                certificate,
                hops,
            ),
        )


def storable(detail: str) -> str:
    """Return a detail as it can be kept: of a sane length, and of what PostgreSQL's text holds."""
    # A server's words may have NUL and lone surrogates in them.
    detail = detail.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return detail if len(detail) <= MAX_DETAIL_CHARS else detail[: MAX_DETAIL_CHARS - 1] + "…"


class Failure(Exception):  # noqa: N818 - a failing target is data; this carries it to the one place
    """A check that ended early, as state and reason; never leaves the probe."""

    def __init__(self, state: State, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.state = state
        self.reason = reason
        self.detail = detail
