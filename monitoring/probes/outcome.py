"""The values a probe takes and gives: Target, Outcome, and the closed lists they draw on."""

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from monitoring.probes.guard import Guard

MAX_DETAIL_CHARS: Final = 300


class State(StrEnum):
    """What a check can end as."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    INTERNAL = "internal"
    MISSED = "missed"


class Reason(StrEnum):
    """Why a check is not ``up``."""

    SLOW = "slow"
    ASSERTION = "assertion"

    DNS_ERROR = "dns_error"
    DNS_TIMEOUT = "dns_timeout"
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    CONNECT_ERROR = "connect_error"
    TLS_EXPIRED = "tls_expired"
    TLS_HOSTNAME = "tls_hostname"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_ERROR = "tls_error"
    TLS_TIMEOUT = "tls_timeout"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    PROTOCOL_ERROR = "protocol_error"
    REDIRECT_LOOP = "redirect_loop"
    REDIRECT_INVALID = "redirect_invalid"
    STATUS = "status"
    TOO_LARGE = "too_large"

    FORBIDDEN_ADDRESS = "forbidden_address"
    NO_NETWORK = "no_network"
    RESOURCE_LIMIT = "resource_limit"
    PROBE_ERROR = "probe_error"

    NOT_DISPATCHED = "not_dispatched"
    WORKER_LOST = "worker_lost"
    OVERLOAD = "overload"
    LATE = "late"
    STORAGE = "storage"


REASONS: Final = MappingProxyType(
    {
        State.UP: frozenset[Reason](),
        State.DEGRADED: frozenset({Reason.SLOW, Reason.ASSERTION}),
        State.DOWN: frozenset(
            {
                Reason.DNS_ERROR,
                Reason.DNS_TIMEOUT,
                Reason.CONNECT_REFUSED,
                Reason.CONNECT_TIMEOUT,
                Reason.CONNECT_ERROR,
                Reason.TLS_EXPIRED,
                Reason.TLS_HOSTNAME,
                Reason.TLS_UNTRUSTED,
                Reason.TLS_ERROR,
                Reason.TLS_TIMEOUT,
                Reason.TIMEOUT,
                Reason.CLOSED,
                Reason.PROTOCOL_ERROR,
                Reason.REDIRECT_LOOP,
                Reason.REDIRECT_INVALID,
                Reason.STATUS,
                Reason.ASSERTION,
                Reason.TOO_LARGE,
            }
        ),
        State.INTERNAL: frozenset(
            {
                Reason.FORBIDDEN_ADDRESS,
                Reason.NO_NETWORK,
                Reason.RESOURCE_LIMIT,
                Reason.PROBE_ERROR,
            }
        ),
        State.MISSED: frozenset(
            {
                Reason.NOT_DISPATCHED,
                Reason.WORKER_LOST,
                Reason.OVERLOAD,
                Reason.LATE,
                Reason.STORAGE,
            }
        ),
    }
)
"""Which reasons may stand with which state; the database repeats it as a check constraint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """All that a probe may know.

    Attributes:
        url: an absolute http or https URL, normalised, without user info.
        method: the HTTP method of the first request.
        expected_status: inclusive ranges of status codes that count as up.
        follow_redirects: whether a 3xx answer with a Location is followed.
        verify_tls: whether the certificate must be valid for the host.
        guard: which addresses may be dialled.
        max_body_bytes: how much of a body is read before the check ends as ``too_large``.
        max_redirects: how many redirects are followed.
    """

    url: str
    method: str = "GET"
    expected_status: tuple[tuple[int, int], ...] = ((200, 299),)
    follow_redirects: bool = True
    verify_tls: bool = True
    guard: Guard = field(default_factory=Guard)
    max_body_bytes: int = 10 * 1024 * 1024
    max_redirects: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Where the time went, in integer microseconds, summed over redirect hops.

    A phase that was not reached is None, never 0. ``wait`` runs from the request sent to
    the first byte of the answer (TTFB); ``download`` from there to the last byte.
    """

    dns_us: int | None = None
    connect_us: int | None = None
    tls_us: int | None = None
    wait_us: int | None = None
    download_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one check saw.

    Attributes:
        state: never ``missed``: what was not run has no outcome.
        reason: None if and only if ``state`` is up.
        detail: one line in words for a person, without secrets.
        status_code: of the last answer, None where none came.
        ip: the address that was dialled last.
        phases: where the time went.
        total_us: from the first phase's beginning to the last one's end, in microseconds.
        bytes: body bytes received from the last hop, None where no body was reached.
        redirects: how many redirects were followed.
    """

    state: State
    total_us: int
    reason: Reason | None = None
    detail: str = ""
    status_code: int | None = None
    ip: str | None = None
    phases: Phases = Phases()
    bytes: int | None = None
    redirects: int = 0

    def __post_init__(self) -> None:
        """Refuse a reason that the state does not allow; make the detail storable and short."""
        if (self.reason is None) != (self.state is State.UP):
            raise ValueError(f"state {self.state} with reason {self.reason}")
        if self.reason is not None and self.reason not in REASONS[self.state]:
            raise ValueError(f"state {self.state} with reason {self.reason}")
        # A server's words may hold what PostgreSQL's text cannot: NUL, and lone surrogates.
        detail = self.detail.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        if len(detail) > MAX_DETAIL_CHARS:
            detail = detail[: MAX_DETAIL_CHARS - 1] + "…"
        object.__setattr__(self, "detail", detail)


class Failure(Exception):  # noqa: N818 - a failing target is data; this carries it to the one place
    """A check that ended early, as state and reason; never leaves the probe."""

    def __init__(self, state: State, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.state = state
        self.reason = reason
        self.detail = detail
