"""What is kept how long: partitions made ahead and dropped behind, spent rows deleted."""

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import OperationalError

from domains.services import forget_schedules
from monitoring import partitions
from monitoring.models import Batch, Tick

log = structlog.get_logger(__name__)

DAYS_AHEAD: Final = 3
BATCHES_KEPT: Final = timedelta(days=1)
"""Finished batches are kept a day: long enough to poll a manual run and to look into a fault."""


def retain(*, now: datetime, keep: timedelta) -> None:
    """Make the partitions of the coming days and drop those wholly older than ``keep``.

    Args:
        now: the database's clock.
        keep: how long raw results are kept.
    """
    partitions.ensure(now + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1))
    oldest = (now - keep).date()
    for day in sorted(partitions.existing()):
        if day < oldest:
            try:
                partitions.drop(day)
            except OperationalError as error:
                # A long read holds it: writers must not queue behind us, so try again later.
                log.warning("partition is in use", day=str(day), error=str(error))
    forget_schedules(before=now - keep)
    Batch.objects.filter(finished_at__lt=now - BATCHES_KEPT).delete()
    Tick.objects.filter(
        instant__lt=datetime.combine(oldest, datetime.min.time(), now.tzinfo)
    ).delete()
