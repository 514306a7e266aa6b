"""How the cluster is doing, as numbers that cost little to ask for.

The last hour of the ledger is kept minute by minute: a minute in which every slot has its
row never changes again, so only what came since is counted. The rest is a statement over
open batches and one over ticks.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from monitoring.accounting import Account, accounts
from monitoring.schedule import TICK

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)

_QUEUES: Final = """
    SELECT place.name, lane.slow,
           count(batch.id) FILTER (WHERE batch.started_at IS NULL),
           count(batch.id) FILTER (WHERE batch.started_at IS NOT NULL),
           coalesce(sum(cardinality(batch.domain_ids)) FILTER (WHERE batch.started_at IS NULL), 0),
           extract(epoch FROM %s - min(batch.slot) FILTER (WHERE batch.started_at IS NULL))
    FROM monitoring_location AS place
    CROSS JOIN (VALUES (false), (true)) AS lane(slow)
    LEFT JOIN monitoring_batch AS batch
      ON batch.location_id = place.id AND batch.slow = lane.slow AND batch.finished_at IS NULL
    GROUP BY place.name, lane.slow ORDER BY place.name, lane.slow
"""


@dataclass(frozen=True, slots=True)
class Queue:
    """The open batches of one location and lane.

    ``oldest`` is how many seconds the oldest that waits is past its slot, 0 where none waits.
    """

    location: str
    slow: bool
    waiting: int
    running: int
    waiting_slots: int
    oldest: float


class LastHour:
    """The accounts of the last sixty minutes, remembered by this process."""

    def __init__(self) -> None:
        self._final: dict[datetime, Account] = {}
        self._lock = threading.Lock()

    def accounts(self, *, now: datetime) -> Sequence[Account]:
        """Return an account a minute, oldest first; the minute under way is not among them."""
        end = now.replace(second=0, microsecond=0)
        start = end - HOUR
        with self._lock:
            known = {minute: one for minute, one in self._final.items() if minute >= start}
        begin = start
        while begin in known:
            begin += MINUTE
        fresh = accounts(begin, end, step=MINUTE) if begin < end else []
        known |= {one.start: one for one in fresh}
        # A sweep may be late by a few ticks: a minute is not over before they were run.
        settled = end - MINUTE - TICK
        with self._lock:
            self._final = {
                minute: one
                for minute, one in known.items()
                if one.balanced and not one.pending and minute < settled
            }
        return [known[minute] for minute in sorted(known)]


def queues(*, now: datetime) -> list[Queue]:
    """Return each location's lanes."""
    with connection.cursor() as cursor:
        cursor.execute(_QUEUES, [now])
        return [
            Queue(location, slow, waiting, running, slots, max(0.0, float(oldest or 0)))
            for location, slow, waiting, running, slots, oldest in cursor.fetchall()
        ]


def seconds_since_tick(*, now: datetime) -> float | None:
    """Return how far from now the newest tick is that a sweep ran; None before the first.

    Where the database's clock was ahead and was put back, it is to come, and until then
    nothing is due: as bad as one that is long past.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM %s - max(instant)) FROM monitoring_tick", [now])
        (seconds,) = cursor.fetchone()
    return None if seconds is None else abs(float(seconds))
