"""Outcomes into the ledger, once; what went in moves the state of its domain."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now

from monitoring import ledger, partitions
from monitoring.folding import fold
from monitoring.ledger import Row
from monitoring.models import Batch


def record(rows: Sequence[Row]) -> int:
    """Store a chunk of rows in one transaction and fold the new ones into states.

    Returns:
        How many rows went in; the others were there already.

    Raises:
        django.db.DatabaseError: nothing was stored; the chunk can be given again.
    """
    partitions.ensure(row.slot for row in rows)
    try:
        with transaction.atomic():
            inserted = ledger.insert(rows)
            fold([row for row in rows if (row.domain_id, row.location_id, row.slot) in inserted])
    except Exception:
        partitions.forget()
        raise
    return len(inserted)


def finish(batch_ids: Sequence[int]) -> None:
    """Note that every slot of these batches has its row."""
    if batch_ids:
        Batch.objects.filter(pk__in=batch_ids, finished_at=None).update(finished_at=Now())
