"""Raw rows as the roll-ups see them: the one place that knows how a result is stored."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import psycopg
from django.db import connection

from monitoring.fine import FIVE_MINUTES, Checks
from monitoring.ledger import PLACES, RAW
from monitoring.packing import Kind
from monitoring.tallies import PHASES

_READ: Final = f"""
    SELECT wanted.domain_id, place.id, checks.*
    FROM unnest(%(domains)s::bigint[]) AS wanted(domain_id)
    CROSS JOIN {PLACES}
    CROSS JOIN unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS span(begins, ends)
    CROSS JOIN LATERAL (
        SELECT array_agg(number) AS numbers, array_agg(code),
               {", ".join(f"array_agg({phase})" for phase in PHASES)}
        FROM (SELECT {{number}} AS number,
                     verdict::smallint AS code,
                     {", ".join(f"coalesce({phase}_us, -1) AS {phase}" for phase in PHASES)}
              FROM {RAW}
              WHERE domain_id = wanted.domain_id AND location_id = place.id
                AND slot >= begins AND slot < ends
                AND slot >= %(first)s AND slot < %(last)s
                AND kind = '{Kind.SCHEDULED.value}') AS raw
    ) AS checks
    WHERE numbers IS NOT NULL
"""
"""A row a domain, location and span: its scheduled checks as arrays in one order, whichever.

The outermost bounds choose the partitions. Place by place down the primary key, which is cheap
however long the day's partition is.
"""


_BY_SECONDS: Final = "floor(date_part('epoch', slot) / %(seconds)s::int)::int"
_BY_EDGES: Final = "width_bucket(slot, %(edges)s::timestamptz[]) - 1"


def read(
    domain_ids: Sequence[int],
    spans: Sequence[tuple[datetime, datetime]],
    *,
    seconds: int = FIVE_MINUTES,
    edges: Sequence[datetime] | None = None,
) -> Iterator[tuple[int, int, Checks]]:
    """Yield scheduled checks: domain id, location id, those of one of the spans.

    In one statement, so in one snapshot.

    Args:
        domain_ids: whose.
        spans: in order, each its first instant and the one to stop before; near each other, for
            the partitions from the first to the last are opened.
        seconds: checks are numbered by so many seconds since 1970.
        edges: where given, by these instants in order instead: 0 from the first one on.
    """
    plain = connection.cursor()  # connects, and is told of what breaks
    plain.close()
    # Arrays in binary: as text they cost more to write and read than the rows they came from.
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(
            _READ.format(number=_BY_SECONDS if edges is None else _BY_EDGES),
            {
                "domains": list(domain_ids),
                "begins": [start for start, _ in spans],
                "ends": [end for _, end in spans],
                "first": spans[0][0],
                "last": spans[-1][1],
                "seconds": seconds,
                "edges": edges,
            },
            binary=True,
        )
        rows = cursor.fetchall()
    for domain_id, location_id, numbers, codes, *phases in rows:
        checks = Checks(numbers, codes, phases)
        yield domain_id, location_id, checks if sorted(numbers) == numbers else checks.in_order()
