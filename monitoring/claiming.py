"""Taking a batch: the claim that keeps others off it, and the targets it holds."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import F, Q

from domains.expected_status import parse_expected_status
from domains.models import Domain
from monitoring.ledger import Row
from monitoring.models import Batch, Kind, Result
from monitoring.probes.guard import Guard
from monitoring.probes.outcome import Outcome, Reason, State, Target


@dataclass(slots=True)
class Work:
    """One claimed batch: its targets, and how many outcomes are still to be recorded.

    ``epoch`` is the monotonic instant that belongs to ``now``, the database's clock at
    the claim: instants of checks are reckoned from it, whatever this host's clock does.
    """

    batch_id: int
    location_id: int
    slot: datetime
    kind: Kind
    now: datetime
    epoch: float
    targets: dict[int, tuple[Target, int]]
    rows: list[Row] = field(default_factory=list)
    left: int = 0

    def row(self, domain_id: int, outcome: Outcome, started: float | None) -> Row:
        """Return the ledger's row for one of the batch's slots."""
        return Row(
            domain_id=domain_id,
            location_id=self.location_id,
            slot=self.slot,
            kind=self.kind,
            started_at=None
            if started is None
            else self.now + timedelta(seconds=started - self.epoch),
            outcome=outcome,
        )


def claim(batch_id: int, *, now: datetime, running_limit: timedelta, guard: Guard) -> Work | None:
    """Take a batch, unless it is finished, another worker has it, or it is too late.

    Args:
        batch_id: from the message.
        now: the database's clock.
        running_limit: how long another worker's claim is respected.
        guard: which addresses the targets may have.

    Returns:
        The work, or None where there is none for this message.
    """
    epoch = time.monotonic()
    free = Q(started_at=None) | Q(started_at__lte=now - running_limit)
    taken = Batch.objects.filter(free, pk=batch_id, finished_at=None, expires_at__gt=now).update(
        started_at=now, attempts=F("attempts") + 1
    )
    if not taken:
        return None
    batch = Batch.objects.get(pk=batch_id)
    done = set(
        Result.objects.filter(
            slot=batch.slot, location_id=batch.location_id, domain_id__in=batch.domain_ids
        ).values_list("domain_id", flat=True)
    )
    domains = Domain.objects.in_bulk([pk for pk in batch.domain_ids if pk not in done])
    work = Work(
        batch_id=batch_id,
        location_id=batch.location_id,
        slot=batch.slot,
        kind=Kind(batch.kind),
        now=now,
        epoch=epoch,
        targets={pk: (target_of(domain, guard), domain.timeout) for pk, domain in domains.items()},
    )
    gone = Outcome(
        state=State.MISSED,
        reason=Reason.NOT_DISPATCHED,
        detail="the domain was deleted before its check was run",
        total_us=0,
    )
    work.rows = [
        work.row(pk, gone, None) for pk in batch.domain_ids if pk not in done and pk not in domains
    ]
    work.left = len(work.targets) + len(work.rows)
    return work


def hand_back(batch_ids: Sequence[int]) -> None:
    """Give up claims, so that the next sweep sends these batches to another worker at once."""
    Batch.objects.filter(pk__in=batch_ids, finished_at=None).update(
        started_at=None, enqueued_at=None
    )


def target_of(domain: Domain, guard: Guard) -> Target:
    """Return what the probe may know of a domain."""
    return Target(
        url=domain.url,
        method=domain.method,
        expected_status=parse_expected_status(domain.expected_status),
        follow_redirects=domain.follow_redirects,
        verify_tls=domain.verify_tls,
        guard=guard,
    )
