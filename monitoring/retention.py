"""What is kept how long: partitions made ahead and dropped behind, spent rows deleted."""

import time
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import OperationalError

from domains.schedules import forget_schedules
from monitoring import bereft, crew, partitions, transitions
from monitoring.models import Batch, Tick

log = structlog.get_logger(__name__)

AHEAD: Final = timedelta(days=2)
"""How far ahead there are partitions, though nobody may be there to make them."""

PATIENCE: Final = timedelta(milliseconds=200)
"""How long dropping a partition may hold up who records; it is tried again at the next call."""

LATE: Final = timedelta(hours=1)
"""How long after its end a partition may still be written to."""

TIGHTENING: Final = timedelta(seconds=45)
"""How long one call builds indexes anew."""

REST_SECONDS: Final = 3600.0
"""How long nothing is built anew after an attempt that failed."""

MOST_BYTES: Final = 1_500_000_000
"""A larger index would not be built in that time: partitions by the hour keep below it."""

BATCHES_KEPT: Final = timedelta(days=1)
"""Finished batches are kept a day: long enough to poll a manual run and to look into a fault."""

TRANSITIONS_KEPT: Final = timedelta(days=731)
"""Transitions are kept as long as the hourly buckets: two years."""

PIECES: Final = 288
"""In how many parts the domains are whose old transitions, and whose days if they are gone, are
deleted: a call looks at one, so each has its turn once a day."""

PIECE_SECONDS: Final = 2.0
"""After how long one call deletes no more of either."""

_CALL: Final = timedelta(minutes=5)

BELIEVED_AFTER: Final = timedelta(days=1)
"""How long ago a sweep must have seen the clock about where it is, to drop things by it."""

_resting_until = 0.0


def make_ahead(*, now: datetime) -> None:
    """Make the partitions of the coming days."""
    hours = int(AHEAD / partitions.HOUR)
    partitions.ensure(now + ahead * partitions.HOUR for ahead in range(hours + 1))


def is_believed(*, now: datetime) -> bool:
    """Return whether the clock has been about where it is for long enough to drop things by it.

    One that was put ahead by mistake would drop all there is, for good: a sweep must have seen
    it a day ago.
    """
    ago = now - BELIEVED_AFTER
    # By when it was run: after a jump the ticks in between are made up for.
    of_then = Tick.objects.filter(instant__gt=ago - BELIEVED_AFTER, instant__lte=ago)
    seen = of_then.filter(swept_at__lte=ago).exists()
    if not seen and Tick.objects.filter(instant__lte=ago).exists():
        log.warning("nothing is dropped: no sweep ran a day ago", now=now)
    return seen


def retain(*, now: datetime, keep: timedelta) -> None:
    """Drop the partitions wholly older than ``keep``, and what else is spent.

    Args:
        now: the database's clock.
        keep: how long raw results are kept.
    """
    oldest = now - keep
    for partition in partitions.existing():
        if partition.end <= oldest:
            try:
                partitions.drop(partition, patience=PATIENCE)
            except OperationalError as error:
                # A long read holds it: writers must not queue behind us, so try again later.
                log.warning("partition is in use", name=partition.name, error=str(error))
    transitions.forget_foreign()
    piece = int(now.timestamp() // _CALL.total_seconds()) % PIECES
    transitions.forget(
        before=now - TRANSITIONS_KEPT, piece=piece, pieces=PIECES, seconds=PIECE_SECONDS
    )
    bereft.forget_days(piece=piece, pieces=PIECES, seconds=PIECE_SECONDS)
    Batch.objects.filter(finished_at__lt=now - BATCHES_KEPT).delete()
    crew.forget(now=now)
    # What was expected is kept exactly as long as the rows of it, and by which schedules as long
    # as transitions: that nobody looked is part of what these say.
    day = datetime.combine(oldest.date(), datetime.min.time(), oldest.tzinfo)
    forget_schedules(before=min(day, now - TRANSITIONS_KEPT))
    first = next((each.start for each in partitions.existing() if each.start <= oldest), day)
    Tick.objects.filter(instant__lt=first).delete()


def tighten(*, now: datetime) -> None:
    """Give the partitions that are over the smallest key, oldest first; it may take long.

    Where somebody's long transaction is in the way, nothing is tried again for an hour: each
    attempt leaves an index behind that is to be dropped before the next.

    Args:
        now: the database's clock.
    """
    global _resting_until  # noqa: PLW0603 - one a process, as the indexes are one a database
    if time.monotonic() < _resting_until:
        return
    until = time.monotonic() + TIGHTENING.total_seconds()
    for partition in partitions.loose(before=now - LATE, most_bytes=MOST_BYTES):
        left = until - time.monotonic()
        if left <= 0:
            return
        try:
            partitions.tighten(partition, patience=timedelta(seconds=left))
        except OperationalError as error:
            log.warning("index not built anew", name=partition.name, error=str(error))
            _resting_until = time.monotonic() + REST_SECONDS
            return
