"""How a result is stored: forty-eight bytes of columns, and the view that reads them.

A row of the table ``monitoring_packedresult`` has three words of 64 bits that hold the
phases and the small fields, in place of twelve columns and the null bitmap that they need:

====================  ===============  =====================  ===================
word                  bits 52 to 63    bits 26 to 51          bits 0 to 25
====================  ===============  =====================  ===================
``connect_wait``      kind, status     ``connect_us``         ``wait_us``
``tls_download``      verdict,         ``tls_us``             ``download_us``
                      redirects, HTTP
``start_dns``         (from bit 26, signed) the start         ``dns_us``
                      after the slot, in microseconds
====================  ===============  =====================  ===================

All phase bits set mean that it was not reached. A verdict is a state with its reason, so
a reason that its state does not allow cannot be stored. What is rare (a detail, hops, a
total that is not the sum of the phases, a huge body) is in ``note``, a JSON object.

The view ``monitoring_result`` shows the columns that the API has, as text, integers and
null; the model ``Result`` and every statement read that. Only ``monitoring.ledger`` writes.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Final

from monitoring.probes.outcome import Hop, Outcome
from monitoring.probes.states import Reason, State


class Kind(StrEnum):
    """Why a check was run."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"


KIND_CHOICES: Final = [(kind.value, kind.value.title()) for kind in Kind]
"""What a model's field of kinds may hold, with a label each."""

VERDICTS: Final = MappingProxyType(
    {
        (State.UP, None): 0,
        (State.DEGRADED, Reason.SLOW): 1,
        (State.DEGRADED, Reason.ASSERTION): 2,
        (State.DOWN, Reason.DNS_ERROR): 3,
        (State.DOWN, Reason.DNS_TIMEOUT): 4,
        (State.DOWN, Reason.CONNECT_REFUSED): 5,
        (State.DOWN, Reason.CONNECT_TIMEOUT): 6,
        (State.DOWN, Reason.CONNECT_ERROR): 7,
        (State.DOWN, Reason.TLS_EXPIRED): 8,
        (State.DOWN, Reason.TLS_HOSTNAME): 9,
        (State.DOWN, Reason.TLS_UNTRUSTED): 10,
        (State.DOWN, Reason.TLS_ERROR): 11,
        (State.DOWN, Reason.TLS_TIMEOUT): 12,
        (State.DOWN, Reason.TIMEOUT): 13,
        (State.DOWN, Reason.CLOSED): 14,
        (State.DOWN, Reason.PROTOCOL_ERROR): 15,
        (State.DOWN, Reason.REDIRECT_LOOP): 16,
        (State.DOWN, Reason.REDIRECT_INVALID): 17,
        (State.DOWN, Reason.STATUS): 18,
        (State.DOWN, Reason.ASSERTION): 19,
        (State.DOWN, Reason.TOO_LARGE): 20,
        (State.INTERNAL, Reason.FORBIDDEN_ADDRESS): 21,
        (State.INTERNAL, Reason.NO_NETWORK): 22,
        (State.INTERNAL, Reason.RESOURCE_LIMIT): 23,
        (State.INTERNAL, Reason.PROBE_ERROR): 24,
        (State.MISSED, Reason.NOT_DISPATCHED): 25,
        (State.MISSED, Reason.WORKER_LOST): 26,
        (State.MISSED, Reason.OVERLOAD): 27,
        (State.MISSED, Reason.LATE): 28,
        (State.MISSED, Reason.STORAGE): 29,
    }
)
"""The stored code of each state and reason: rows have them, so none is ever given another
meaning. A new pair takes the next number, up to 63, and a migration renews the view."""

HTTP_VERSIONS: Final = (None, "1.0", "1.1", "2")

_MISSED: Final = State.MISSED  # by its class an enumeration's member takes a microsecond to look up
_NONE: Final = 2**26 - 1
_MOST: Final = _NONE - 1  # a minute and seven seconds; no check takes longer than 60.5 s
_FARTHEST: Final = 2**37  # a day and a half; no check starts later than a day
_TOP: Final = 52
_MOST_BYTES: Final = 2**31 - 1
_NOT_REACHED: Final = _NONE << 26 | _NONE
_HTTP_CODES: Final = {version: code for code, version in enumerate(HTTP_VERSIONS)}
_KIND_CODES: Final = {kind: code << 10 for code, kind in enumerate(Kind)}


def _signed(code: int) -> int:
    """Return a verdict's six bits as the topmost of a signed word."""
    return code - 64 if code >= 32 else code


_VERDICT_BITS: Final = {pair: _signed(code) << 58 for pair, code in VERDICTS.items()}

COLUMNS: Final[tuple[tuple[str, str], ...]] = (
    ("slot", "timestamptz"),
    ("connect_wait", "bigint"),
    ("tls_download", "bigint"),
    ("start_dns", "bigint"),
    ("domain_id", "integer"),
    ("bytes", "integer"),
    ("location_id", "smallint"),
    ("ip", "bytea"),
    ("note", "text"),
)
"""The stored columns with their types, in the order of the table, as ``pack`` gives them."""


def codes_of(states: Iterable[State]) -> list[int]:
    """Return the codes of the verdicts with one of these states."""
    wanted = set(states)
    return [code for (state, _), code in VERDICTS.items() if state in wanted]


def pack(
    *,
    domain_id: int,
    location_id: int,
    slot: datetime,
    kind: Kind,
    started_at: datetime | None,
    outcome: Outcome,
) -> tuple[Any, ...]:
    """Return the stored columns of one result; ``ip`` as the text of a bytea.

    Raises:
        ValueError: a check that was run has no start, or one that was not has one; or a
            field has a value that there is no room for.
    """
    if (started_at is None) != (outcome.state is _MISSED):
        raise ValueError(f"state {outcome.state} with the start {started_at}")
    status, redirects = outcome.status_code or 0, outcome.redirects
    http = _HTTP_CODES.get(outcome.http_version)
    if http is None or not 0 <= status <= 999 or not 0 <= redirects <= 15:
        raise ValueError(f"HTTP/{outcome.http_version} {status} after {redirects} redirects")
    dns, connect, tls, wait, download = outcome.phases
    start = 0
    if started_at is not None:
        late = started_at - slot
        start = (late.days * 86_400 + late.seconds) * 1_000_000 + late.microseconds
        if not -_FARTHEST <= start < _FARTHEST:
            raise ValueError(f"a start at {started_at} of the slot {slot}")
    size = outcome.bytes
    return (
        slot,
        (_KIND_CODES[kind] | status) << _TOP
        | (_NONE if connect is None else min(connect, _MOST)) << 26
        | (_NONE if wait is None else min(wait, _MOST)),
        _VERDICT_BITS[outcome.state, outcome.reason]
        | redirects << 54
        | http << _TOP
        | (_NONE if tls is None else min(tls, _MOST)) << 26
        | (_NONE if download is None else min(download, _MOST)),
        start << 26 | (_NONE if dns is None else min(dns, _MOST)),
        domain_id,
        -1 if size is None else min(size, _MOST_BYTES),
        location_id,
        "" if outcome.ip is None else _address(outcome.ip),
        _note(outcome),
    )


def _note(outcome: Outcome) -> str:
    """Return what does not fit elsewhere: nothing, of nearly every check."""
    plain = outcome.total_us == outcome.phases.total_us or outcome.state is State.MISSED
    small = outcome.bytes is None or outcome.bytes <= _MOST_BYTES
    if plain and small and not outcome.detail and not outcome.redirects:
        return ""
    note: dict[str, Any] = {}
    if outcome.detail:
        note["detail"] = outcome.detail
    if outcome.redirects:
        note["hops"] = [_hop(hop) for hop in outcome.hops]
    if not plain:
        note["total_us"] = outcome.total_us
    if not small:
        note["bytes"] = outcome.bytes
    return json.dumps(note, ensure_ascii=False, separators=(",", ":"))


def _hop(hop: Hop) -> dict[str, Any]:
    """Return what is kept of a hop; its certificate, if any, is kept with the state."""
    return {
        "url": hop.url,
        "method": hop.method,
        "status_code": hop.status_code,
        "http_version": hop.http_version,
        "ip": hop.ip,
        "dns_us": hop.phases.dns_us,
        "connect_us": hop.phases.connect_us,
        "tls_us": hop.phases.tls_us,
        "wait_us": hop.phases.wait_us,
        "download_us": hop.phases.download_us,
        "total_us": hop.phases.total_us,
        "bytes": hop.bytes,
    }


@lru_cache(maxsize=65_536)
def _address(ip: str) -> str:
    return f"\\x{ip_address(ip).packed.hex()}"


# --- The same in SQL ---------------------------------------------------------------------

MISSED_COLUMNS: Final = (
    "domain_id, location_id, slot, connect_wait, tls_download, start_dns, bytes, ip, note"
)
"""The columns of a row of which nothing was run, as ``missed`` selects them."""


def missed(*, kind: str, reason: str, detail: str) -> str:
    """Return the select list of rows of which nothing was run, for ``MISSED_COLUMNS``.

    The statement has ``domain_id``, ``location_id`` and ``slot`` in reach. A reason that is
    none of ``missed`` violates a constraint.

    Args:
        kind: an SQL expression of text; ``manual`` or ``scheduled``.
        reason: one that is the value of a Reason.
        detail: one in words.
    """
    first = VERDICTS[State.MISSED, Reason.NOT_DISPATCHED]
    reasons = _texts(reason.value for state, reason in VERDICTS if state is State.MISSED and reason)
    code = f"array_position({reasons}, ({reason})::text) - 1 + {first}"
    return (
        f"domain_id, location_id, slot, "
        f"(CASE ({kind})::text WHEN 'manual' THEN {1 << 62} ELSE 0 END)::bigint | {_NOT_REACHED}, "
        f"({code})::bigint << 58 | {_NOT_REACHED}, {_NONE}, -1, ''::bytea, "
        f"CASE ({detail})::text WHEN '' THEN '' "
        f"ELSE json_build_object('detail', ({detail})::text)::text END"
    )


def _texts(values: Iterable[str | None]) -> str:
    return f"'{{{','.join('NULL' if value is None else value for value in values)}}}'::text[]"


VERDICT: Final = "((tls_download >> 58) & 63)::integer"
KIND: Final = f"({_texts(Kind)})[1 + ((connect_wait >> 62) & 1)]"
"""The view's columns of that name, for the indexes that look into the words."""

NOT_UP: Final = f"verdict <> {VERDICTS[State.UP, None]}"
MANUAL: Final = f"kind = '{Kind.MANUAL.value}'"
"""Conditions on the view, each with an index: they have to stand in a statement as they are here,
and not as parameters."""


def stored(condition: str) -> str:
    """Return one of those conditions on the table, as its index has it."""
    return condition.replace("verdict", VERDICT).replace("kind", KIND)


def view() -> str:
    """Return the query of the view ``monitoring_result``."""
    by_code = sorted(VERDICTS, key=lambda pair: VERDICTS[pair])
    states = _texts(state.value for state, _ in by_code)
    reasons = _texts(reason and reason.value for _, reason in by_code)
    was_missed = f"{VERDICT} IN ({', '.join(map(str, codes_of([State.MISSED])))})"

    def phase(word: str, shift: int) -> str:
        return f"nullif(({word} >> {shift}) & {_NONE}, {_NONE})::integer"

    def noted(name: str, otherwise: str) -> str:
        field = f"coalesce((note::json ->> '{name}')::bigint, {otherwise})"
        return f"CASE note WHEN '' THEN {otherwise} ELSE {field} END"

    phases = {
        "dns_us": phase("start_dns", 0),
        "connect_us": phase("connect_wait", 26),
        "tls_us": phase("tls_download", 26),
        "wait_us": phase("connect_wait", 0),
        "download_us": phase("tls_download", 0),
    }
    total = " + ".join(f"coalesce({each}, 0)" for each in phases.values())
    # Nothing casts hex to an address; but integers can be added to one, and colons to text.
    ipv4 = "'0.0.0.0'::inet + ('x' || encode(ip, 'hex'))::bit(32)::bigint"
    ipv6 = "rtrim(regexp_replace(encode(ip, 'hex'), '(....)', '\\1:', 'g'), ':')::inet"
    columns = {
        "domain_id": "domain_id",
        "location_id": "location_id",
        "slot": "slot",
        "kind": KIND,
        "verdict": VERDICT,
        "state": f"({states})[1 + {VERDICT}]",
        "reason": f"({reasons})[1 + {VERDICT}]",
        "started_at": f"CASE WHEN NOT {was_missed} "
        "THEN slot + (start_dns >> 26) * interval '1 microsecond' END",
        "detail": "CASE note WHEN '' THEN '' ELSE coalesce(note::json ->> 'detail', '') END",
        "status_code": "nullif((connect_wait >> 52) & 1023, 0)::smallint",
        "ip": f"CASE length(ip) WHEN 4 THEN {ipv4} WHEN 16 THEN {ipv6} END",
        **phases,
        "total_us": f"CASE WHEN NOT {was_missed} THEN {noted('total_us', total)}::integer END",
        "bytes": noted("bytes", "nullif(bytes, -1)::bigint"),
        "redirects": f"CASE WHEN NOT {was_missed} THEN ((tls_download >> 54) & 15)::smallint END",
        "http_version": f"({_texts(HTTP_VERSIONS)})[1 + ((tls_download >> 52) & 3)]",
        "hops": "CASE note WHEN '' THEN NULL ELSE (note::json -> 'hops')::jsonb END",
    }
    return ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
