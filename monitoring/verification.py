"""Whether the ledger holds, slot by slot: everything that was due has its row, nothing else has.

In parts of ten minutes, each one statement that joins what was due with what is recorded,
so it takes the same memory for an hour as for a month.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction

from monitoring.due import DUE
from monitoring.ledger import RAW
from monitoring.packing import Kind
from monitoring.schedule import TICK_SECONDS

PART: Final = timedelta(minutes=10)

_TICKS: Final = f"""
    SELECT ideal.instant, tick.instant IS NOT NULL, tick.expected
    FROM generate_series(%s::timestamptz, %s::timestamptz, '{TICK_SECONDS} seconds')
         AS ideal(instant)
    LEFT JOIN monitoring_tick AS tick ON tick.instant = ideal.instant
    WHERE ideal.instant >= (SELECT min(instant) FROM monitoring_tick)
      AND ideal.instant <= (SELECT max(instant) FROM monitoring_tick)
    ORDER BY ideal.instant
"""
# A full join can only be made by hash or merge: no wrong guess turns it into nested loops.
_COMPARE: Final = f"""
    WITH RECURSIVE {DUE},
    recorded AS MATERIALIZED (
        SELECT domain_id::bigint, location_id::integer, slot FROM {RAW}
        WHERE kind = '{Kind.SCHEDULED.value}' AND slot >= %(start)s AND slot < %(end)s
    ),
    waiting AS (
        SELECT wanted.id AS domain_id, batch.location_id, batch.slot
        FROM monitoring_batch AS batch CROSS JOIN unnest(batch.domain_ids) AS wanted(id)
        WHERE batch.kind = '{Kind.SCHEDULED.value}' AND batch.finished_at IS NULL
          AND batch.slot >= %(start)s AND batch.slot < %(end)s
    ),
    counted AS (
        SELECT tick.instant, count(due.slot) AS number
        FROM tick LEFT JOIN due ON due.slot = tick.instant GROUP BY tick.instant
    ),
    violation AS (
        SELECT due.domain_id, due.location_id, due.slot, 'due, and without a row' AS what
        FROM due FULL JOIN recorded USING (domain_id, location_id, slot)
        WHERE recorded.slot IS NULL
          AND (due.domain_id, due.location_id, due.slot)
              NOT IN (SELECT domain_id, location_id, slot FROM waiting)
        UNION ALL
        SELECT recorded.domain_id, recorded.location_id, recorded.slot, 'recorded, but not due'
        FROM due FULL JOIN recorded USING (domain_id, location_id, slot)
        WHERE due.slot IS NULL
        UNION ALL
        SELECT NULL, NULL, tick.instant,
               'the tick counted ' || tick.expected || ' slots, the schedules have '
               || counted.number
        FROM monitoring_tick AS tick JOIN counted USING (instant)
        WHERE tick.expected <> counted.number
          AND %(location)s::integer IS NULL
    )
    SELECT violation.domain_id, place.name, violation.slot, violation.what
    FROM violation LEFT JOIN monitoring_location AS place ON place.id = violation.location_id
    WHERE %(location)s::integer IS NULL OR violation.location_id = %(location)s::integer
    ORDER BY violation.slot, violation.domain_id, violation.location_id LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Violation:
    """Where the ledger does not hold. Domain and location are null where a tick is wrong."""

    slot: datetime
    domain_id: int | None
    location: str | None
    what: str

    def __str__(self) -> str:
        who = "" if self.domain_id is None else f"domain {self.domain_id}, {self.location}, "
        return f"{who}slot {self.slot.isoformat()}: {self.what}"


@dataclass(frozen=True, slots=True)
class Progress:
    """What one part of a span came to; ``due`` is how many slots its ticks counted."""

    end: datetime
    due: int
    violation: Violation | None


def verify(start: datetime, end: datetime, *, location_id: int | None = None) -> Iterator[Progress]:
    """Compare what was due with what is recorded, part by part, until the first violation.

    Slots of ticks that no sweep has run are not due yet; slots that open batches hold are
    not missing. Rows are looked for at every slot in [start, end).

    Args:
        start: the first instant.
        end: the instant to stop before.
        location_id: of this location only.
    """
    while start < end:
        stop = min(start + PART, end)
        progress = _part(start, stop, location_id)
        yield progress
        if progress.violation is not None:
            return
        start = stop


def _part(start: datetime, end: datetime, location_id: int | None) -> Progress:
    first = datetime.fromtimestamp(
        -(-start.timestamp() // TICK_SECONDS) * TICK_SECONDS, start.tzinfo
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('jit', 'off', true)")
        cursor.execute(_TICKS, [first, end - timedelta(microseconds=1)])
        ticks = cursor.fetchall()
        for instant, there, _ in ticks:
            if not there:
                return Progress(end, 0, Violation(instant, None, None, "no sweep ran this tick"))
        counted = [instant for instant, _, expected in ticks if expected is not None]
        due = sum(expected for _, _, expected in ticks if expected is not None)
        cursor.execute(
            _COMPARE, {"ticks": counted, "start": start, "end": end, "location": location_id}
        )
        found = cursor.fetchone()
    if found is None:
        return Progress(end, due, None)
    domain_id, location, slot, what = found
    return Progress(end, due, Violation(slot, domain_id, location, what))
