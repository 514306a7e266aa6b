"""Outcomes into the ledger, once; what went in moves the state of its domain."""

from collections.abc import Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models.functions import Now

from domains.models import Domain
from monitoring import ledger, partitions
from monitoring.ledger import Row
from monitoring.models import Batch, DomainState, Result, Transition
from monitoring.probes.outcome import State
from monitoring.verdict import next_state


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
            _fold([row for row in rows if (row.domain_id, row.location_id, row.slot) in inserted])
    except Exception:
        partitions.forget()
        raise
    return len(inserted)


def finish(batch_ids: Sequence[int]) -> None:
    """Note that every slot of these batches has its row."""
    Batch.objects.filter(pk__in=batch_ids, finished_at=None).update(finished_at=Now())


def _fold(rows: Sequence[Row]) -> None:
    """Move DomainState by rows that went in, in slot order per domain and location."""
    seen = [row for row in rows if row.outcome.state is not State.MISSED]
    if not seen:
        return
    domain_ids = sorted({row.domain_id for row in seen})
    _lock(domain_ids)
    states = {
        (state.domain_id, state.location_id): State(state.state)
        for state in DomainState.objects.filter(domain_id__in=domain_ids)
    }
    own_slots: dict[tuple[int, int], list[datetime]] = {}
    for row in seen:
        own_slots.setdefault((row.domain_id, row.location_id), []).append(row.slot)
    for row in sorted(seen, key=lambda row: (row.domain_id, row.location_id, row.slot)):
        key = (row.domain_id, row.location_id)
        before = states.get(key)
        after = next_state(before, row.outcome.state)
        if after is None or after is before or _overtaken(row, own_slots[key]):
            continue
        # A domain deleted meanwhile has no state; the lock keeps it from going under our feet.
        if Domain.objects.select_for_update(no_key=True).filter(pk=row.domain_id).exists():
            _change(row, before, after)
            states[key] = after


def _lock(domain_ids: Sequence[int]) -> None:
    """Let one transaction at a time fold a domain's rows.

    Advisory locks, because a row lock is a write, and an unchanged state should cost none.
    Taken in order of id, so that two chunks wait for each other instead of dead-locking.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(id) FROM unnest(%s::bigint[]) id", [list(domain_ids)]
        )


def _overtaken(row: Row, own_slots: Sequence[datetime]) -> bool:
    """Return whether something newer was folded before: then this row is only history."""
    return (
        Result.objects.filter(
            domain_id=row.domain_id, location_id=row.location_id, slot__gt=row.slot
        )
        .exclude(state=State.MISSED.value)
        .exclude(slot__in=own_slots)
        .exists()
    )


def _change(row: Row, before: State | None, after: State) -> None:
    DomainState.objects.update_or_create(
        domain_id=row.domain_id,
        location_id=row.location_id,
        defaults={
            "state": after.value,
            "since": row.started_at or row.slot,
            "slot": row.slot,
        },
    )
    Transition.objects.create(
        domain_id=row.domain_id,
        location_id=row.location_id,
        slot=row.slot,
        from_state=before.value if before else None,
        to_state=after.value,
        reason=row.outcome.reason.value if row.outcome.reason else None,
        detail=row.outcome.detail,
    )
