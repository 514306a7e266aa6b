"""The statements that write the ledger: a slot's row goes in once, whoever comes first.

The primary key (domain, location, slot) and ``ON CONFLICT DO NOTHING`` make redelivery,
two workers with one batch and a retry after a crash harmless. What went in is returned,
so that only it moves anything else.

Rows are stored packed (``monitoring.packing``) and read through the view ``RAW``; nothing
else knows how. A statement that records slots as missed selects ``packing.missed`` into
``packing.MISSED_COLUMNS``.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, NamedTuple

from django.db import connection

from monitoring import partitions
from monitoring.arrays import array_literal
from monitoring.packing import COLUMNS, Kind, codes_of, pack
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import State


class Row(NamedTuple):
    """What became of one slot: an outcome, or a reason why nothing was run."""

    domain_id: int
    location_id: int
    slot: datetime
    kind: Kind
    started_at: datetime | None
    outcome: Outcome


Key = tuple[int, int, datetime]

_INSERT: Final = (
    f"INSERT INTO {partitions.TABLE} ({', '.join(name for name, _ in COLUMNS)}) "
    f"SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for _, kind in COLUMNS)}) "
    "ON CONFLICT DO NOTHING RETURNING domain_id, location_id, slot"
)

RAW: Final = "monitoring_result"
"""The view to read rows from: domain_id, location_id, slot, kind, verdict, state, reason,
started_at, detail, status_code, ip, dns_us, connect_us, tls_us, wait_us, download_us,
total_us, bytes, redirects, http_version, hops. Texts, integers and null, as in the API;
``verdict`` is the code of state and reason (``packing.VERDICTS``), the cheapest to count by.
``domain_id``, ``location_id`` and ``slot`` are plain columns: give the bounds of ``slot`` as
constants, so that only the partitions concerned are opened."""

PLACES: Final = "unnest(ARRAY(SELECT id FROM monitoring_location)) AS place(id)"
"""All locations, to go down the key place by place. The table itself has too few rows to be
analysed ever: a plan takes it for 700, and its cost for one that is worth compiling (JIT)."""

COUNTS_BY_STATE: Final = ", ".join(
    f"count(*) FILTER (WHERE verdict IN ({', '.join(map(str, codes_of([state])))}))"
    for state in State
)
"""Select list over ``RAW``: the rows that are up, degraded, down, internal, missed; in the
order of State."""


def insert(rows: Sequence[Row]) -> set[Key]:
    """Insert rows, in one statement; return the keys of those that were not there before.

    They go in in the order of their keys: others who insert the same rows wait at the first.
    The caller has a transaction open and has called ``partitions.ensure`` before it.
    """
    if not rows:
        return set()
    columns = zip(*(_packed(row) for row in sorted(rows, key=_key)), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [array_literal(column) for column in columns])
        if cursor.rowcount == len(rows):  # nearly always; reading the keys back costs more
            return {_key(row) for row in rows}
        return set(cursor.fetchall())


_key: Final[Callable[[Row], Key]] = itemgetter(0, 1, 2)


def _packed(row: Row) -> tuple[Any, ...]:
    return pack(
        domain_id=row.domain_id,
        location_id=row.location_id,
        slot=row.slot,
        kind=row.kind,
        started_at=row.started_at,
        outcome=row.outcome,
    )
