"""What the processes of workers say of themselves: one row each, written as leases are renewed."""

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection

from monitoring.models import WorkerPulse

PRESENT: Final = timedelta(seconds=30)
"""Who said nothing for longer is not counted: it ended, or cannot reach the database."""

KEPT: Final = timedelta(days=1)

_SAY: Final = """
    INSERT INTO monitoring_workerpulse
        (process, location, seen_at, in_flight, unrecorded, lag_us)
    VALUES (%s, %s, clock_timestamp(), %s, %s, %s)
    ON CONFLICT (process) DO UPDATE SET
        location = excluded.location, seen_at = excluded.seen_at,
        in_flight = excluded.in_flight, unrecorded = excluded.unrecorded, lag_us = excluded.lag_us
"""


@dataclass(frozen=True, slots=True)
class Crew:
    """The processes of one location: sums, and the longest turn of a loop in seconds."""

    location: str
    processes: int
    in_flight: int
    unrecorded: int
    lag: float


def say(*, in_flight: int, unrecorded: int, lag: float) -> None:
    """Write this process's figures, by the database's clock.

    Args:
        in_flight: checks begun and not handed over.
        unrecorded: batches in hand.
        lag: seconds of the loop's last turn.
    """
    process = f"{socket.gethostname()}/{os.getpid()}"
    location = settings.SENTINEL_LOCATION
    with connection.cursor() as cursor:
        cursor.execute(_SAY, [process, location, in_flight, unrecorded, round(lag * 1_000_000)])


def crews(*, now: datetime) -> list[Crew]:
    """Return the locations whose processes said something lately."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT location, count(*), sum(in_flight), sum(unrecorded), max(lag_us) "
            "FROM monitoring_workerpulse WHERE seen_at > %s GROUP BY location ORDER BY location",
            [now - PRESENT],
        )
        return [
            Crew(location, processes, in_flight, unrecorded, lag_us / 1_000_000)
            for location, processes, in_flight, unrecorded, lag_us in cursor.fetchall()
        ]


def forget(*, now: datetime) -> None:
    """Delete the rows of processes that ended long ago."""
    WorkerPulse.objects.filter(seen_at__lt=now - KEPT).delete()
