"""The statements that write the ledger: a slot's row goes in once, whoever comes first.

The primary key (domain, location, slot) and ``ON CONFLICT DO NOTHING`` make redelivery,
two workers with one batch and a retry after a crash harmless. What went in is returned,
so that only it moves anything else.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import connection

from monitoring import partitions
from monitoring.arrays import array_literal
from monitoring.models import Kind
from monitoring.probes.outcome import Hop, Outcome, Reason, State


class Row(NamedTuple):
    """What became of one slot: an outcome, or a reason why nothing was run."""

    domain_id: int
    location_id: int
    slot: datetime
    kind: Kind
    started_at: datetime | None
    outcome: Outcome


Key = tuple[int, int, datetime]

_COLUMNS: Final[tuple[tuple[str, str], ...]] = (
    ("domain_id", "bigint"),
    ("location_id", "integer"),
    ("slot", "timestamptz"),
    ("kind", "text"),
    ("started_at", "timestamptz"),
    ("state", "text"),
    ("reason", "text"),
    ("detail", "text"),
    ("status_code", "smallint"),
    ("ip", "inet"),
    ("dns_us", "integer"),
    ("connect_us", "integer"),
    ("tls_us", "integer"),
    ("wait_us", "integer"),
    ("download_us", "integer"),
    ("total_us", "integer"),
    ("bytes", "bigint"),
    ("redirects", "smallint"),
    ("http_version", "text"),
    ("hops", "jsonb"),
)
_INSERT: Final = (
    f"INSERT INTO {partitions.TABLE} ({', '.join(name for name, _ in _COLUMNS)}) "
    f"SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for _, kind in _COLUMNS)}) "
    "ON CONFLICT DO NOTHING RETURNING domain_id, location_id, slot"
)

COUNTS_BY_STATE: Final = ", ".join(f"count(*) FILTER (WHERE state = '{state}')" for state in State)
"""Select list: the rows that are up, degraded, down, internal, missed; in the order of State."""

MISSED_COLUMNS: Final = "domain_id, location_id, slot, kind, state, reason, detail"
"""The columns of a row of which nothing was run; the others are null."""


def insert(rows: Sequence[Row]) -> set[Key]:
    """Insert rows, in one statement; return the keys of those that were not there before.

    The caller has a transaction open and has called ``partitions.ensure`` before it.
    """
    if not rows:
        return set()
    columns = zip(*(_values(row) for row in rows), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [array_literal(column) for column in columns])
        if cursor.rowcount == len(rows):  # nearly always; reading the keys back costs more
            return {(row.domain_id, row.location_id, row.slot) for row in rows}
        return set(cursor.fetchall())


def insert_missed_of_batch(batch_id: int, *, reason: Reason, detail: str) -> int:
    """Record as missed what a batch has not recorded; return how many slots that was."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {partitions.TABLE} ({MISSED_COLUMNS}) "
            "SELECT domain_id, location_id, slot, kind, 'missed', %s, %s "
            "FROM monitoring_batch, unnest(domain_ids) domain_id "
            "WHERE monitoring_batch.id = %s ON CONFLICT DO NOTHING",
            [reason.value, detail, batch_id],
        )
        return int(cursor.rowcount)


def _values(row: Row) -> tuple[Any, ...]:
    outcome = row.outcome
    phases = outcome.phases
    return (
        row.domain_id,
        row.location_id,
        row.slot,
        row.kind.value,
        row.started_at,
        outcome.state.value,
        outcome.reason.value if outcome.reason else None,
        outcome.detail,
        outcome.status_code,
        outcome.ip,
        phases.dns_us,
        phases.connect_us,
        phases.tls_us,
        phases.wait_us,
        phases.download_us,
        outcome.total_us,
        outcome.bytes,
        outcome.redirects,
        outcome.http_version,
        json.dumps([_hop(hop) for hop in outcome.hops]) if outcome.redirects else None,
    )


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
