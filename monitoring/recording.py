"""Outcomes into the ledger, once; what went in moves the state of its domain."""

from collections.abc import Sequence
from typing import Final

from django.db import connection, transaction

from monitoring import ledger, partitions
from monitoring.arrays import array_literal
from monitoring.folding import fold
from monitoring.ledger import Row

_FINISH: Final = """
    UPDATE monitoring_batch SET finished_at = clock_timestamp()
    WHERE id = ANY(%s::bigint[]) AND finished_at IS NULL
"""


def record(rows: Sequence[Row], *, finished: Sequence[int] = ()) -> int:
    """Store a chunk of rows in one transaction and fold the new ones into states.

    Args:
        rows: of any batches, in any order.
        finished: the ids of batches every slot of which has its row with these.

    Returns:
        How many rows went in; the others were there already.

    Raises:
        django.db.DatabaseError: nothing was stored; the chunk can be given again.
    """
    partitions.ensure(row.slot for row in rows)
    try:
        with transaction.atomic():
            # Batches, then rows, then states: settling takes them in this order too, so that
            # two who write the same wait for each other, and never in a circle.
            finish(finished)
            inserted = ledger.insert(rows)
            fold([row for row in rows if (row.domain_id, row.location_id, row.slot) in inserted])
    except Exception:
        partitions.forget()
        raise
    return len(inserted)


def finish(batch_ids: Sequence[int]) -> None:
    """Note that every slot of these batches has its row."""
    if batch_ids:
        with connection.cursor() as cursor:
            cursor.execute(_FINISH, [array_literal(batch_ids)])
