"""The ledger's equation: what was due on one side, what became of it on the other.

``expected`` never looks at rows. Over all domains it is what the ticks counted when they
ran; by domain or location it is counted anew from the schedules, present and past. The
other side are the recorded rows and what open batches still hold. Where they differ, the
difference is shown.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from django.db import connection

from monitoring import partitions
from monitoring.ledger import COUNTS_BY_STATE, RAW
from monitoring.packing import Kind
from monitoring.schedule import TICK, count_slots, phase

_BUCKET: Final = "floor(extract(epoch FROM {0} - %(origin)s) / %(step)s)::integer"
_SPAN: Final = "{0} >= %(start)s AND {0} < %(end)s"
_PLACE: Final = (
    "(%(location)s::integer IS NULL OR {0}location_id = %(location)s::integer) "
    "AND (%(domain)s::bigint IS NULL OR {1} = %(domain)s::bigint)"
)
_SIDES: Final = f"""
    WITH due AS (
        SELECT {_BUCKET.format("instant")} AS number, sum(expected) AS expected
        FROM monitoring_tick WHERE {_SPAN.format("instant")} GROUP BY number
    ),
    waiting AS (
        SELECT {_BUCKET.format("batch.slot")} AS number, count(*) AS pending
        FROM monitoring_batch AS batch CROSS JOIN unnest(batch.domain_ids) AS wanted(id)
        WHERE batch.kind = '{Kind.SCHEDULED.value}' AND batch.finished_at IS NULL
          AND {_SPAN.format("batch.slot")} AND {_PLACE.format("batch.", "wanted.id")}
          AND NOT EXISTS (
            SELECT FROM {RAW} AS result
            WHERE result.domain_id = wanted.id AND result.location_id = batch.location_id
              AND result.slot = batch.slot AND {_SPAN.format("result.slot")})
        GROUP BY number
    ),
    recorded AS (
        SELECT {_BUCKET.format("slot")} AS number, ARRAY[{COUNTS_BY_STATE}] AS states
        FROM {RAW}
        WHERE kind = '{Kind.SCHEDULED.value}' AND {_SPAN.format("slot")} AND {{place}}
        GROUP BY number
    )
    SELECT number, coalesce(expected, 0), coalesce(pending, 0),
           coalesce(states, '{{{{0,0,0,0,0}}}}'::bigint[])
    FROM due FULL JOIN waiting USING (number) FULL JOIN recorded USING (number)
"""
"""Both sides by bucket, in one statement, so in one snapshot."""

_SCHEDULES: Final = """
    SELECT schedule.*, places.count FROM (
        SELECT id, interval, scheduled_since AS since, NULL::timestamptz AS until, locations
        FROM domains_domain WHERE enabled
        UNION ALL
        SELECT domain_id, interval, since, until, locations FROM domains_pastschedule
        WHERE until > %(start)s
    ) AS schedule
    CROSS JOIN LATERAL (
        SELECT count(*) FROM monitoring_location AS place
        WHERE place.name = ANY(schedule.locations)
          AND (%(location)s::integer IS NULL OR place.id = %(location)s::integer)
    ) AS places
    WHERE since < %(end)s AND places.count > 0
      AND (%(domain)s::bigint IS NULL OR schedule.id = %(domain)s::bigint)
"""
_TICKS: Final = """
    SELECT (SELECT min(instant) FROM monitoring_tick), (SELECT max(instant) FROM monitoring_tick),
           ARRAY(SELECT instant FROM monitoring_tick WHERE expected IS NULL
                 AND instant >= %s AND instant < %s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The equation of the scheduled slots with start <= slot < end.

    expected = up + degraded + down + internal + missed + pending + unaccounted. Slots of
    ticks that no sweep has run yet are on neither side.
    """

    start: datetime
    end: datetime
    expected: int
    up: int
    degraded: int
    down: int
    internal: int
    missed: int
    pending: int

    @property
    def unaccounted(self) -> int:
        """How many slots ended as nothing; negative where there are rows that were not due."""
        known = self.up + self.degraded + self.down + self.internal + self.missed
        return self.expected - known - self.pending

    @property
    def balanced(self) -> bool:
        """Whether the two sides, which are counted apart, agree."""
        return self.unaccounted == 0


def accounts(
    start: datetime,
    end: datetime,
    *,
    step: timedelta | None = None,
    domain_id: int | None = None,
    location_id: int | None = None,
) -> list[Account]:
    """Return the equation of a span, cut into buckets of ``step`` from its start.

    Args:
        start: the first instant.
        end: the instant to stop before.
        step: the length of a bucket; without it the span is one.
        domain_id: of this domain only, deleted or not.
        location_id: of this location only.
    """
    step = step or end - start
    edges = [start + number * step for number in range(math.ceil((end - start) / step))] + [end]
    sides = [[0, 0, 0, 0, 0, 0, 0] for _ in edges[1:]]
    values = {
        "origin": start,
        "step": step.total_seconds(),
        "domain": domain_id,
        "location": location_id,
    }
    for first, last in _parts(start, end):
        for number, *side in _sides({**values, "start": first, "end": last}):
            sides[number] = [a + b for a, b in zip(sides[number], side, strict=True)]
    if domain_id is not None or location_id is not None:
        due = _from_schedules(edges, domain_id=domain_id, location_id=location_id)
        sides = [[one, *side[1:]] for one, side in zip(due, sides, strict=True)]
    return [
        Account(
            start=first,
            end=last,
            expected=expected,
            pending=pending,
            up=up,
            degraded=degraded,
            down=down,
            internal=internal,
            missed=missed,
        )
        for (first, last), (expected, pending, up, degraded, down, internal, missed) in zip(
            pairwise(edges), sides, strict=True
        )
    ]


def _parts(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut a span so that no statement opens more partitions than it should."""
    cuts = sorted(first for first, _ in partitions.spans(start, end) if first > start)
    return pairwise([start, *cuts, end])


def _sides(values: dict[str, Any]) -> Iterator[tuple[int, ...]]:
    # What was not asked for is not in the statement: it would hide an index.
    place = " AND ".join(
        condition
        for name, condition in (
            ("domain", "domain_id = %(domain)s"),
            ("location", "location_id = %(location)s"),
        )
        if values[name] is not None
    )
    with connection.cursor() as cursor:
        cursor.execute(_SIDES.format(place=place or "true"), values)
        for number, expected, pending, states in cursor.fetchall():
            yield number, int(expected), pending, *states


def _from_schedules(
    edges: Sequence[datetime], *, domain_id: int | None, location_id: int | None
) -> list[int]:
    """Return how many slots were due in each bucket, by the schedules.

    Schedules that are alike in all that matters are counted as one: old ones differ by
    interval and phase alone, so it is the same work for a hundred thousand domains.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TICKS, [edges[0], edges[-1]])
        earliest, latest, uncounted = cursor.fetchone()
        if latest is None:
            return [0 for _ in edges[1:]]
        start, end = max(edges[0], earliest), min(edges[-1], latest + TICK)
        values = {"start": start, "end": end, "domain": domain_id, "location": location_id}
        cursor.execute(_SCHEDULES, values)
        alike: Counter[tuple[int, int, datetime, datetime]] = Counter()
        for one, interval, since, until, _, places in cursor.fetchall():
            began = max(since, start - TICK)  # its first tick is before the span: it is as good
            ended = end if until is None else min(until, end)
            alike[interval, phase(one, interval), began, ended] += places

    def due(first: datetime, last: datetime) -> int:
        return sum(
            number
            * count_slots(interval, offset, since, start=max(first, start), end=min(last, until))
            for (interval, offset, since, until), number in alike.items()
        )

    counts = [due(first, last) for first, last in pairwise(edges)]
    for tick in uncounted:  # claimed, and still to be recorded as missed in bulk
        number = next(n for n, (a, b) in enumerate(pairwise(edges)) if a <= tick < b)
        counts[number] -= due(tick, tick + TICK)
    return counts
