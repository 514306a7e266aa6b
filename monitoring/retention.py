"""What is kept how long: partitions made ahead and dropped behind, spent rows deleted."""

import time
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import OperationalError

from domains.services import forget_schedules
from monitoring import crew, partitions
from monitoring.models import Batch, Tick

log = structlog.get_logger(__name__)

AHEAD: Final = timedelta(days=2)
"""How far ahead there are partitions, though nobody may be there to make them."""

PATIENCE: Final = timedelta(milliseconds=200)
"""How long dropping a partition may hold up who records; it is tried again at the next call."""

LATE: Final = timedelta(hours=1)
"""How long after its end a partition may still be written to."""

TIGHTENING: Final = timedelta(seconds=45)
"""How long one call builds indexes anew: well within the limits of a task."""

MOST_BYTES: Final = 1_500_000_000
"""A larger index would not be built in that time: partitions by the hour keep below it."""

BATCHES_KEPT: Final = timedelta(days=1)
"""Finished batches are kept a day: long enough to poll a manual run and to look into a fault."""


def retain(*, now: datetime, keep: timedelta) -> None:
    """Make the partitions of the coming days and drop those wholly older than ``keep``.

    Args:
        now: the database's clock.
        keep: how long raw results are kept.
    """
    hours = int(AHEAD / partitions.HOUR)
    partitions.ensure(now + ahead * partitions.HOUR for ahead in range(hours + 1))
    oldest = now - keep
    for partition in partitions.existing():
        if partition.end <= oldest:
            try:
                partitions.drop(partition, patience=PATIENCE)
            except OperationalError as error:
                # A long read holds it: writers must not queue behind us, so try again later.
                log.warning("partition is in use", name=partition.name, error=str(error))
    _tighten(now)
    forget_schedules(before=oldest)
    Batch.objects.filter(finished_at__lt=now - BATCHES_KEPT).delete()
    crew.forget(now=now)
    # The expectations of a day are kept as long as its rows may be.
    day = datetime.combine(oldest.date(), datetime.min.time(), oldest.tzinfo)
    Tick.objects.filter(instant__lt=day).delete()


def _tighten(now: datetime) -> None:
    """Give the partitions that are over the smallest key, oldest first."""
    until = time.monotonic() + TIGHTENING.total_seconds()
    for partition in partitions.loose(before=now - LATE, most_bytes=MOST_BYTES):
        left = until - time.monotonic()
        if left <= 0:
            return
        try:
            partitions.tighten(partition, patience=timedelta(seconds=left))
        except OperationalError as error:
            log.warning("index not built anew", name=partition.name, error=str(error))
            return
