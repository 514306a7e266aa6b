"""What a check can end as: the closed list of states, and of the reasons for each."""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


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
