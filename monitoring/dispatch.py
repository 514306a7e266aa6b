"""From time to work: due slots become Batch rows, and the rows become hints for the queue.

Nothing here knows Celery: what is returned is published by ``monitoring.tasks`` after the
commit. A hint that is lost costs nothing, because ``monitoring.settling`` looks at the rows.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from domains.models import Domain
from domains.schedules import take_schedules
from monitoring import partitions
from monitoring.due import PATIENCE_SECONDS, RUN_TICKS, SERVED_SECONDS, WAITING_SECONDS
from monitoring.models import Batch, DomainState, Location, Tick
from monitoring.packing import Kind
from monitoring.probes.states import Reason
from monitoring.schedule import CATCH_UP, TICK, TICK_SECONDS, tick_at

log = structlog.get_logger(__name__)

MOST_LOCATIONS: Final = 10_000
"""Names of locations that are ever given a number; a result has room for three times as many."""

_AHEAD: Final = timedelta(minutes=1)
"""No sweep runs ticks to come; one that is farther ahead was run by another clock."""

MANUAL_PATIENCE: Final = timedelta(minutes=10)
"""How long a manual check waits for a worker before it is recorded as missed."""

_MISSED_BUDGET: Final = 50_000
"""Rows of long-gone slots that one sweep records, so that it is not late itself."""

_SHED: Final = {
    Reason.OVERLOAD: "the workers of this location are behind, and this check was not queued",
    Reason.WORKER_LOST: "no worker of this location takes checks, and this one was not queued",
    Reason.NOT_DISPATCHED: "checks do not reach the queue, and this one was not kept for later",
}

_LOCATIONS: Final = """
    SELECT name FROM (
        SELECT unnest(locations) FROM domains_domain
        WHERE enabled AND scheduled_since > %(since)s
        UNION SELECT unnest(locations) FROM domains_pastschedule WHERE until > %(since)s
    ) AS wanted(name)
"""


@dataclass(frozen=True, slots=True)
class Hint:
    """What a message says: there is a batch, at this location, in this lane."""

    batch_id: int
    location: str
    manual: bool
    slow: bool


def sweep(*, now: datetime, retention: timedelta) -> int:
    """Run every tick that has not run: write its batches, and what is too late as missed.

    Two sweeps at once share the ticks: inserting a tick's row decides which of them runs it.

    Args:
        now: the database's clock, read once.
        retention: how far back slots are still recorded after an outage.

    Returns:
        How many ticks this sweep ran.
    """
    current = tick_at(now)
    partitions.ensure((current - CATCH_UP, current, current + timedelta(days=1)))
    with transaction.atomic():
        before = take_schedules(until=current)
        # Whatever names a location for the first time begins after the last sweep's horizon.
        _add_locations(_LOCATIONS, {"since": before})
        ticks = _claim_ticks(now, current, retention)
        if ticks:
            _run_ticks(ticks, now=now, detail="no sweep ran at this slot until it was too late")
    _settle_old_ticks(now)
    return len(ticks)


def request_check(domain: Domain, *, now: datetime) -> uuid.UUID:
    """Write the batches of one manual check, one a location; the request's time is the slot."""
    return request_checks([domain], now=now)


def request_checks(domains: Sequence[Domain], *, now: datetime) -> uuid.UUID:
    """Write the batches of one run over several domains; the request's time is the slot.

    As few as there are locations, unless they would be larger than a sweep's. Domains that are
    known to be slow travel together, where they keep no others waiting; one alone does not.
    """
    run_id = uuid.uuid4()
    # Scheduled slots are on whole seconds: a manual one must not take the key of one.
    slot = now if now.microsecond else now + timedelta(microseconds=1)
    names = sorted({name for domain in domains for name in domain.locations})
    _add_locations("SELECT unnest(%(names)s::text[]) AS name", {"names": names})
    slow: set[tuple[int, int]] = set()
    if len(domains) > 1:
        ids = [domain.pk for domain in domains]
        states = DomainState.objects.filter(slow=True, domain_id__in=ids)
        slow = set(states.values_list("domain_id", "location_id"))
    size = settings.SENTINEL_BATCH_SIZE
    batches = []
    for location in Location.objects.filter(name__in=names).order_by("name"):
        lanes: dict[bool, list[int]] = {False: [], True: []}
        for domain in domains:
            if location.name in domain.locations:
                lanes[(domain.pk, location.pk) in slow].append(domain.pk)
        for is_slow, ids in lanes.items():
            batches += [
                Batch(
                    kind=Kind.MANUAL,
                    location=location,
                    slot=slot,
                    expires_at=slot + MANUAL_PATIENCE,
                    domain_ids=ids[first : first + size],
                    slow=is_slow,
                    run_id=run_id,
                )
                for first in range(0, len(ids), size)
            ]
    Batch.objects.bulk_create(batches)
    return run_id


def unsent(*, run_id: uuid.UUID | None = None) -> list[Hint]:
    """Return the hints of open batches that were never put on a queue, oldest first."""
    batches = Batch.objects.filter(finished_at=None, enqueued_at=None)
    if run_id is not None:
        batches = batches.filter(run_id=run_id)
    return hints(batches.order_by("slot", "pk"))


def hints(batches: QuerySet[Batch]) -> list[Hint]:
    """Return the message of each batch."""
    return [
        Hint(batch_id, location, manual=kind == Kind.MANUAL.value, slow=slow)
        for batch_id, location, kind, slow in batches.values_list(
            "pk", "location__name", "kind", "slow"
        )
    ]


def mark_enqueued(batch_ids: Sequence[int], *, now: datetime) -> None:
    """Note that the messages of these batches were accepted by the queue."""
    Batch.objects.filter(pk__in=batch_ids).update(enqueued_at=now)


def take_back(batch_ids: Sequence[int]) -> None:
    """Note that these batches are on no queue: the next sweep sends them again."""
    Batch.objects.filter(pk__in=batch_ids, finished_at=None, started_at=None).update(
        enqueued_at=None
    )


def outstanding() -> list[tuple[str, bool, int]]:
    """Return for each location and lane how many batches wait there on a queue."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT location.name, lane.slow, count(batch.id) FROM monitoring_location AS location "
            "CROSS JOIN (VALUES (false), (true)) AS lane(slow) "
            "LEFT JOIN monitoring_batch AS batch ON batch.location_id = location.id "
            "AND batch.slow = lane.slow AND batch.finished_at IS NULL "
            "AND batch.started_at IS NULL AND batch.enqueued_at IS NOT NULL "
            "GROUP BY location.name, lane.slow ORDER BY location.name, lane.slow"
        )
        found: list[tuple[str, bool, int]] = cursor.fetchall()
    return found


def forget_sent(location: str, *, slow: bool) -> None:
    """Note that the messages on a queue are gone: the next sweep sends those that matter."""
    Batch.objects.filter(
        location__name=location, slow=slow, finished_at=None, started_at=None
    ).update(enqueued_at=None)


def add_locations() -> None:
    """Make a row for each location that any domain names, however it came into the table."""
    _add_locations("SELECT DISTINCT unnest(locations) AS name FROM domains_domain", {})


def _add_locations(names: str, parameters: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        # Asked first: an insert that conflicts still takes a number from the sequence.
        cursor.execute(
            f"SELECT name FROM ({names}) AS wanted EXCEPT SELECT name FROM monitoring_location",
            parameters,
        )
        # In one order, whoever does it: two that take the same names in two would end each other.
        wanted = sorted(name for (name,) in cursor.fetchall())
        if wanted and Location.objects.count() + len(wanted) > MOST_LOCATIONS:
            log.error("too many locations: nothing is checked from these", locations=wanted[:20])
            return
        for name in wanted:
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
        # Compiling the statement that follows would cost many times what it takes to run it.
        cursor.execute(
            "SELECT min(instant), max(instant), set_config('jit', 'off', true) FROM monitoring_tick"
        )
        begin, last, _ = cursor.fetchone()
        if last is not None and last > now + _AHEAD:
            log.error("the database's clock was put back: nothing is due before", until=last)
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
            RUN_TICKS,
            {
                "ticks": list(ticks),
                "now": now,
                "size": settings.SENTINEL_BATCH_SIZE,
                "late": detail,
                "details": json.dumps(_SHED),
                "young": now - timedelta(seconds=WAITING_SECONDS),
                "patient": now - timedelta(seconds=PATIENCE_SECONDS),
                "often": now + CATCH_UP,
                "served_since": now - timedelta(seconds=SERVED_SECONDS),
            },
        )


def _settle_old_ticks(now: datetime) -> None:
    """Record as missed the slots of ticks that nobody ran for longer than ``CATCH_UP``."""
    if not Tick.objects.filter(expected=None).exists():
        return
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
