"""From time to work: due slots become Batch rows, and the rows become hints for the queue.

Nothing here knows Celery: what is returned is published by ``monitoring.tasks`` after the
commit. A hint that is lost costs nothing, because ``monitoring.settling`` looks at the rows.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction

from domains.models import Domain
from monitoring import partitions
from monitoring.models import Batch, Kind, Location
from monitoring.packing import MISSED_COLUMNS, missed
from monitoring.probes.outcome import Reason
from monitoring.schedule import CATCH_UP, PHASE_SQL, TICK, TICK_SECONDS, tick_at

BATCH_SIZE: Final = 250
"""Domains in a batch: enough that a message costs little, few enough to spread over processes."""

MANUAL_PATIENCE: Final = timedelta(minutes=10)
"""How long a manual check waits for a worker before it is recorded as missed."""

_MISSED_BUDGET: Final = 50_000
"""Rows of long-gone slots that one sweep records, so that it is not late itself."""

_DUE: Final = f"""
    SELECT domain_id, location.id AS location_id, tick.instant AS slot,
           tick.instant + make_interval(secs => schedule.interval) AS expires_at
    FROM unnest(%(ticks)s::timestamptz[]) AS tick(instant)
    JOIN (SELECT id AS domain_id, interval, locations, scheduled_since AS since,
                 'infinity'::timestamptz AS until
          FROM domains_domain WHERE enabled
          UNION ALL
          SELECT domain_id, interval, locations, since, until FROM domains_pastschedule
          WHERE until > (SELECT min(instant) FROM unnest(%(ticks)s::timestamptz[]) instant)
         ) AS schedule
      ON schedule.since <= tick.instant AND tick.instant < schedule.until
     AND (extract(epoch FROM tick.instant)::bigint
          - {PHASE_SQL.format(id="domain_id", interval="schedule.interval")})
         %% schedule.interval = 0
    CROSS JOIN LATERAL unnest(schedule.locations) AS place(name)
    JOIN monitoring_location location ON location.name = place.name
"""
"""Every due slot of the given ticks, as (domain_id, location_id, slot, expires_at)."""

_RUN_TICKS: Final = f"""
    WITH due AS MATERIALIZED ({_DUE}),
    counted AS (
        UPDATE monitoring_tick SET expected =
            (SELECT count(*) FROM due WHERE due.slot = monitoring_tick.instant)
        WHERE instant = ANY(%(ticks)s)
    ),
    missed AS (
        INSERT INTO {partitions.TABLE} ({MISSED_COLUMNS})
        SELECT {missed(kind="'scheduled'", reason="%(reason)s", detail="%(detail)s")}
        FROM due WHERE expires_at <= %(now)s
        ON CONFLICT DO NOTHING
    ),
    numbered AS (
        SELECT *, (row_number() OVER (PARTITION BY location_id, slot, expires_at
                                      ORDER BY domain_id) - 1) / %(size)s AS number
        FROM due WHERE expires_at > %(now)s
    )
    INSERT INTO monitoring_batch (kind, location_id, slot, expires_at, domain_ids, attempts)
    SELECT 'scheduled', location_id, slot, expires_at, array_agg(domain_id ORDER BY domain_id), 0
    FROM numbered GROUP BY location_id, slot, expires_at, number
"""
"""Counts, batches and missed rows of ticks, in one statement.

One statement sees one snapshot: a domain that is deleted meanwhile is either in all three or
in none, and the ledger's two sides stay equal.
"""


@dataclass(frozen=True, slots=True)
class Hint:
    """What a message says: there is a batch, at this location."""

    batch_id: int
    location: str
    manual: bool


def sweep(*, now: datetime, retention: timedelta) -> int:
    """Run every tick that has not run: write its batches, and what is too late as missed.

    Two sweeps at once share the ticks: inserting a tick's row decides which of them runs it.

    Args:
        now: the database's clock, read once.
        retention: how far back slots are still recorded after an outage.

    Returns:
        How many ticks this sweep ran.
    """
    _add_locations()
    current = tick_at(now)
    partitions.ensure((current - CATCH_UP, current + timedelta(days=1)))
    with transaction.atomic():
        ticks = _claim_ticks(now, current, retention)
        if ticks:
            _run_ticks(ticks, now=now, detail="no sweep ran at this slot until it was too late")
    _settle_old_ticks(now)
    return len(ticks)


def request_check(domain: Domain, *, now: datetime) -> uuid.UUID:
    """Write the batches of one manual check, one a location; the request's time is the slot."""
    run_id = uuid.uuid4()
    # Scheduled slots are on whole seconds: a manual one must not take the key of one.
    slot = now if now.microsecond else now + timedelta(microseconds=1)
    _add_locations(domain.locations)
    Batch.objects.bulk_create(
        Batch(
            kind=Kind.MANUAL,
            location=location,
            slot=slot,
            expires_at=slot + MANUAL_PATIENCE,
            domain_ids=[domain.pk],
            run_id=run_id,
        )
        for location in Location.objects.filter(name__in=domain.locations)
    )
    return run_id


def unsent(*, run_id: uuid.UUID | None = None) -> list[Hint]:
    """Return the hints of open batches that were never put on a queue, oldest first."""
    batches = Batch.objects.filter(finished_at=None, enqueued_at=None).select_related("location")
    if run_id is not None:
        batches = batches.filter(run_id=run_id)
    return hints(batches.order_by("slot", "pk"))


def hints(batches: Iterable[Batch]) -> list[Hint]:
    """Return the message of each batch."""
    return [
        Hint(batch.pk, batch.location.name, batch.kind == Kind.MANUAL.value) for batch in batches
    ]


def mark_enqueued(batch_ids: Sequence[int], *, now: datetime) -> None:
    """Note that the messages of these batches were accepted by the queue."""
    Batch.objects.filter(pk__in=batch_ids).update(enqueued_at=now)


def _add_locations(names: Sequence[str] | None = None) -> None:
    """Make a row for each location that a domain names."""
    if names is None:
        source = (
            "SELECT unnest(locations) FROM domains_domain WHERE enabled "
            "UNION SELECT unnest(locations) FROM domains_pastschedule"
        )
    else:
        source = "SELECT DISTINCT unnest(%s::text[])"
    with connection.cursor() as cursor:
        # Asked first: an insert that conflicts still takes a number from the sequence.
        cursor.execute(
            f"SELECT name FROM ({source}) AS wanted(name) "
            "WHERE NOT EXISTS (SELECT FROM monitoring_location WHERE name = wanted.name)",
            None if names is None else [list(names)],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(
                "INSERT INTO monitoring_location (name) VALUES (%s) ON CONFLICT DO NOTHING",
                [name],
            )


def _claim_ticks(now: datetime, current: datetime, retention: timedelta) -> list[datetime]:
    """Insert the rows of the ticks since the last one; return those this sweep is to run.

    Older ones than ``CATCH_UP`` are inserted without a count: a claim to be settled in bulk.
    """
    oldest = current - CATCH_UP
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(instant), max(instant) FROM monitoring_tick")
        begin, last = cursor.fetchone()
        if last is None:
            # The first sweep of all: the ledger begins with the first schedule.
            cursor.execute(
                "SELECT least((SELECT min(scheduled_since) FROM domains_domain WHERE enabled), "
                "(SELECT min(since) FROM domains_pastschedule))"
            )
            (since,) = cursor.fetchone()
            first = min(current, tick_at(since) if since else current)
        elif last < oldest:
            first = last + TICK
        else:
            first = max(oldest, begin)
        cursor.execute(
            "INSERT INTO monitoring_tick (instant, swept_at) "
            "SELECT instant, %s FROM generate_series(%s, %s, make_interval(secs => %s)) instant "
            "ON CONFLICT DO NOTHING RETURNING instant",
            [now, max(first, tick_at(now - retention) + TICK), current, TICK_SECONDS],
        )
        claimed = [instant for (instant,) in cursor.fetchall()]
    return [instant for instant in claimed if instant >= oldest]


def _run_ticks(ticks: Sequence[datetime], *, now: datetime, detail: str) -> None:
    """Count what is due at ``ticks``; what is in time at ``now`` becomes batches, the rest rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            _RUN_TICKS,
            {
                "ticks": list(ticks),
                "now": now,
                "size": BATCH_SIZE,
                "reason": Reason.NOT_DISPATCHED.value,
                "detail": detail,
            },
        )


def _settle_old_ticks(now: datetime) -> None:
    """Record as missed the slots of ticks that nobody ran for longer than ``CATCH_UP``."""
    domains = Domain.objects.filter(enabled=True).count()
    share = max(1, domains // 12)  # of a tick: most domains are due once in twelve ticks
    limit = max(1, min(720, _MISSED_BUDGET // share))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT instant FROM monitoring_tick WHERE expected IS NULL "
            "ORDER BY instant DESC LIMIT %s FOR UPDATE SKIP LOCKED",
            [limit],
        )
        ticks = [instant for (instant,) in cursor.fetchall()]
        if not ticks:
            return
        partitions.ensure(ticks)
        # An interval may be longer than the outage was old, but such a check would still
        # start later than the catch-up allows: none of them is in time.
        _run_ticks(ticks, now=now + timedelta(days=2), detail="no sweep ran at this slot")
