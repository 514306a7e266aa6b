"""Overdue batches: enqueued again while there is time, else their slots recorded as missed."""

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from monitoring import ledger, partitions
from monitoring.models import Batch
from monitoring.probes.outcome import Reason

RESEND_AFTER: Final = timedelta(seconds=20)
"""How long a message may wait for a worker before another one is sent after it."""

MOST_AT_ONCE: Final = 1000
"""Batches that one call settles or enqueues again."""


def overdue(*, now: datetime, running_limit: timedelta) -> list[Batch]:
    """Return open batches whose message or worker seems lost and that may still be started.

    Args:
        now: the database's clock.
        running_limit: how long a started batch is left alone.
    """
    lost_message = Q(started_at=None, enqueued_at__lte=now - RESEND_AFTER)
    lost_worker = Q(started_at__lte=now - running_limit)
    batches = (
        Batch.objects.filter(lost_message | lost_worker, finished_at=None, expires_at__gt=now)
        .select_related("location")
        .order_by("slot", "pk")[:MOST_AT_ONCE]
    )
    return [
        batch
        for batch in batches
        # Each wait for a worker is twice as long as the one before: a location without any
        # must not fill the queue with messages about the same batches.
        if batch.started_at is not None
        or batch.enqueued_at is None
        or now - batch.enqueued_at >= batch.enqueued_at - batch.slot
    ]


def settle(*, now: datetime, running_limit: timedelta) -> int:
    """End the batches that can no longer be run: what has no row is missed, with the reason why.

    A batch that was started in time is left alone until its worker must have ended.

    Args:
        now: the database's clock.
        running_limit: how long a started batch may take.

    Returns:
        How many slots were recorded as missed.
    """
    not_running = Q(started_at=None) | Q(started_at__lte=now - running_limit)
    later_start = Batch.objects.filter(
        location=OuterRef("location"), started_at__gt=OuterRef("enqueued_at")
    )
    with transaction.atomic():
        batches = list(
            Batch.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(not_running, finished_at=None, expires_at__lte=now)
            .annotate(others_started=Exists(later_start))
            .order_by("slot", "pk")[:MOST_AT_ONCE]
        )
        partitions.ensure(batch.slot for batch in batches)
        missed = 0
        for batch in batches:
            reason, detail = _why(batch, others_started=batch.others_started)
            missed += ledger.insert_missed_of_batch(batch.pk, reason=reason, detail=detail)
        Batch.objects.filter(pk__in=[batch.pk for batch in batches]).update(finished_at=now)
    return missed


def _why(batch: Batch, *, others_started: bool) -> tuple[Reason, str]:
    if batch.started_at is not None:
        return Reason.WORKER_LOST, "a worker took the check and did not finish it"
    if batch.enqueued_at is None:
        return Reason.NOT_DISPATCHED, "the check was not on the queue when its time was over"
    if others_started:
        return Reason.OVERLOAD, "the workers were busy with other checks"
    return Reason.WORKER_LOST, "no worker took the check"
