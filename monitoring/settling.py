"""Overdue batches: enqueued again while there is time, else their slots recorded as missed."""

import json
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction

from monitoring import partitions
from monitoring.dispatch import Hint
from monitoring.packing import MISSED_COLUMNS, Kind, missed
from monitoring.probes.states import Reason

LEASE: Final = timedelta(seconds=15)
"""How long a batch is left to the worker that took it; living workers ask for more in time."""

RENEW_SECONDS: Final = 5.0
"""How often a worker renews its leases: two that fail cost it nothing."""

OVERTAKEN_AFTER: Final = timedelta(seconds=10)
"""A queue is first in, first out: a message that a later one has passed for so long is lost."""

RESEND_AFTER: Final = timedelta(seconds=20)
"""How long a message may wait where nothing is taken before another one is sent after it."""

MOST_AT_ONCE: Final = 1000
"""Batches that one call settles or enqueues again."""

LOST: Final = "coalesce(lease_until, started_at + interval '75 seconds') <= %(now)s"
"""Whether the lease of a started batch has run out; workers of older versions write none."""

_WATCHED: Final = """
    EXISTS (SELECT FROM monitoring_tick
            WHERE instant > %(now)s - interval '30 seconds' AND instant <= %(now)s
              AND swept_at <= %(now)s - interval '10 seconds')
"""
"""Whether a sweep ran a while ago. If not, the database or we were away, leases could not be
renewed, and what workers have in hand is not lost yet: they get the time to say so."""

_RENEW: Final = """
    UPDATE monitoring_batch SET lease_until = %s
    WHERE id = ANY(%s) AND finished_at IS NULL AND started_at IS NOT NULL
"""
_RELEASE: Final = f"""
    UPDATE monitoring_batch SET started_at = NULL, lease_until = NULL, enqueued_at = NULL
    WHERE finished_at IS NULL AND started_at IS NOT NULL AND expires_at > %(now)s
      AND {LOST} AND {_WATCHED}
"""
_OVERDUE: Final = """
    WITH active AS (
        SELECT location_id, slow, kind,
               max(enqueued_at) AS reached, max(started_at) AS last_start
        FROM monitoring_batch
        WHERE started_at IS NOT NULL
          AND (finished_at IS NULL OR finished_at > %(now)s - interval '2 minutes')
        GROUP BY location_id, slow, kind
    )
    SELECT batch.id, location.name, batch.kind, batch.slow
    FROM monitoring_batch AS batch
    JOIN monitoring_location AS location ON location.id = batch.location_id
    LEFT JOIN active ON active.location_id = batch.location_id
                    AND active.slow = batch.slow AND active.kind = batch.kind
    WHERE batch.finished_at IS NULL AND batch.started_at IS NULL AND batch.expires_at > %(now)s
      AND (batch.enqueued_at <= %(overtaken)s AND active.reached > batch.enqueued_at
           OR batch.enqueued_at <= %(resend)s
              AND coalesce(active.last_start <= %(resend)s, true)
              -- Each wait is twice as long as the one before: a location without workers
              -- must not fill the queue with messages about the same batches.
              AND %(now)s - batch.enqueued_at >= batch.enqueued_at - batch.slot)
    ORDER BY batch.slot, batch.id LIMIT %(most)s
"""
_ENDED: Final = f"""
    SELECT id, slot FROM monitoring_batch
    WHERE finished_at IS NULL AND expires_at <= %(now)s
      AND (started_at IS NULL OR {LOST} AND {_WATCHED})
    ORDER BY slot, id LIMIT %(most)s FOR UPDATE SKIP LOCKED
"""
_REASON: Final = "%(reasons)s::jsonb -> cause ->> 0"
_DETAIL: Final = "%(reasons)s::jsonb -> cause ->> 1"
_SETTLE: Final = f"""
    WITH active AS (
        SELECT location_id, max(started_at) AS last_start,
               bool_or(finished_at IS NULL AND lease_until > %(now)s) AS held
        FROM monitoring_batch
        WHERE finished_at IS NULL OR finished_at > %(now)s - interval '2 minutes'
        GROUP BY location_id
    ),
    why AS (
        SELECT id, CASE WHEN attempts > 0 THEN 'unfinished'
                        WHEN active.last_start > enqueued_at OR active.held THEN 'busy'
                        WHEN enqueued_at IS NULL THEN 'unsent'
                        ELSE 'untaken' END AS cause
        FROM monitoring_batch LEFT JOIN active USING (location_id)
        WHERE id = ANY(%(ids)s)
    ),
    missed AS (
        INSERT INTO {partitions.TABLE} ({MISSED_COLUMNS})
        SELECT {missed(kind="kind", reason=_REASON, detail=_DETAIL)}
        FROM monitoring_batch JOIN why USING (id) CROSS JOIN unnest(domain_ids) AS domain_id
        ORDER BY domain_id, location_id, slot  -- as ledger.insert: a worker may be at the same
        ON CONFLICT DO NOTHING RETURNING 1
    ),
    closed AS (
        UPDATE monitoring_batch SET finished_at = %(now)s WHERE id = ANY(%(ids)s)
    )
    SELECT count(*) FROM missed
"""
_WHY: Final = {
    "unfinished": (Reason.WORKER_LOST, "a worker took the check and did not finish it"),
    "unsent": (Reason.NOT_DISPATCHED, "the check was not on the queue when its time was over"),
    "busy": (Reason.OVERLOAD, "the workers were busy with other checks"),
    "untaken": (Reason.WORKER_LOST, "no worker took the check"),
}


def renew(batch_ids: Collection[int], *, now: datetime) -> None:
    """Keep batches for the worker that runs them, for another ``LEASE`` from now.

    To be called every ``RENEW_SECONDS`` with all that a process has in hand: one statement.
    """
    if batch_ids:
        with connection.cursor() as cursor:
            cursor.execute(_RENEW, [now + LEASE, list(batch_ids)])


def release(*, now: datetime) -> int:
    """Take batches that can still be run from workers that died; return how many.

    They are as if never sent, so ``dispatch.unsent`` names them.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE, {"now": now})
        return int(cursor.rowcount)


def overdue(*, now: datetime) -> list[Hint]:
    """Return the hints of batches whose messages seem lost and that may still be started."""
    with connection.cursor() as cursor:
        cursor.execute(
            _OVERDUE,
            {
                "now": now,
                "overtaken": now - OVERTAKEN_AFTER,
                "resend": now - RESEND_AFTER,
                "most": MOST_AT_ONCE,
            },
        )
        return [
            Hint(batch_id, location, manual=kind == Kind.MANUAL.value, slow=slow)
            for batch_id, location, kind, slow in cursor.fetchall()
        ]


def settle(*, now: datetime) -> int:
    """End the batches that can no longer be run: what has no row is missed, with the reason why.

    A batch that was started in time is left alone while its worker lives.

    Returns:
        How many slots were recorded as missed.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ENDED, {"now": now, "most": MOST_AT_ONCE})
        ended = cursor.fetchall()
        if not ended:
            return 0
        partitions.ensure(slot for _, slot in ended)
        cursor.execute(
            _SETTLE,
            {
                "now": now,
                "ids": [batch_id for batch_id, _ in ended],
                "reasons": json.dumps(_WHY),
            },
        )
        (missed,) = cursor.fetchone()
        return int(missed)
