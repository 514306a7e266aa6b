"""Overdue batches against real PostgreSQL: again while there is time, else missed."""

from datetime import datetime, timedelta

import pytest

from domains.models import Domain
from monitoring import dispatch, history, ledger, partitions, settling
from monitoring.claiming import claim, hand_back
from monitoring.ledger import Row
from monitoring.models import Batch, Kind, Location, Result
from monitoring.probes.guard import Guard
from monitoring.probes.outcome import Outcome, State
from monitoring.schedule import TICK
from tests.conftest import NOW, MakeDomain

RUNNING = timedelta(seconds=75)


@pytest.fixture
def domain(make_domain: MakeDomain) -> Domain:
    return make_domain(interval=60)


@pytest.fixture
def batch(domain: Domain) -> Batch:
    for number in range(12):
        dispatch.sweep(now=NOW + number * TICK, retention=timedelta(days=30))
    return Batch.objects.get()


def up(domain: Domain, batch: Batch) -> Row:
    return Row(
        domain_id=domain.pk,
        location_id=batch.location_id,
        slot=batch.slot,
        kind=Kind.SCHEDULED,
        started_at=batch.slot,
        outcome=Outcome(state=State.UP, total_us=1),
    )


def settle(now: datetime) -> list[tuple[str, str | None]]:
    settling.settle(now=now, running_limit=RUNNING)
    return list(Result.objects.values_list("state", "reason"))


def overdue(now: datetime) -> list[int]:
    return [batch.pk for batch in settling.overdue(now=now, running_limit=RUNNING)]


def take(batch: Batch, now: datetime) -> bool:
    return claim(batch.pk, now=now, running_limit=RUNNING, guard=Guard()) is not None


def test_a_batch_that_was_never_sent_is_offered_for_sending(batch: Batch) -> None:
    assert [hint.batch_id for hint in dispatch.unsent()] == [batch.pk]
    dispatch.mark_enqueued([batch.pk], now=batch.slot)
    assert dispatch.unsent() == []


def test_a_lost_message_is_sent_again_while_there_is_time(batch: Batch) -> None:
    dispatch.mark_enqueued([batch.pk], now=batch.slot)
    assert overdue(batch.slot + timedelta(seconds=19)) == []
    assert overdue(batch.slot + timedelta(seconds=21)) == [batch.pk]
    assert overdue(batch.expires_at) == []


def test_a_location_without_workers_is_sent_fewer_and_fewer_messages(
    domain: Domain,
) -> None:
    batch = Batch.objects.create(
        kind="scheduled",
        location=Location.objects.create(name="nowhere"),
        slot=NOW,
        expires_at=NOW + timedelta(days=1),
        domain_ids=[domain.pk],
        enqueued_at=NOW,
    )
    sent = []
    for number in range(200):
        now = NOW + number * TICK
        if overdue(now):
            sent.append(number * 5)
            dispatch.mark_enqueued([batch.pk], now=now)
    assert sent == [20, 40, 80, 160, 320, 640]


@pytest.mark.parametrize("sent", [True, False])
def test_a_batch_that_nobody_took_is_missed(batch: Batch, *, sent: bool) -> None:
    if sent:
        dispatch.mark_enqueued([batch.pk], now=batch.slot)
    assert settle(batch.expires_at - timedelta(seconds=1)) == []
    reason = "worker_lost" if sent else "not_dispatched"
    assert settle(batch.expires_at) == [("missed", reason)]
    ledger = history.ledger(batch.slot, batch.slot + TICK)
    assert (ledger.missed, ledger.pending, ledger.balanced) == (1, 0, True)


def test_busy_workers_are_named_as_the_reason(batch: Batch, make_domain: MakeDomain) -> None:
    dispatch.mark_enqueued([batch.pk], now=batch.slot)
    other = Batch.objects.create(
        kind="scheduled",
        location=batch.location,
        slot=batch.slot,
        expires_at=batch.expires_at + timedelta(hours=1),
        domain_ids=[make_domain().pk],
        started_at=batch.slot + timedelta(seconds=30),
    )
    assert settle(batch.expires_at) == [("missed", "overload")]
    other.refresh_from_db()
    assert other.finished_at is None


def test_a_running_batch_is_left_alone_until_its_worker_must_have_ended(batch: Batch) -> None:
    started = batch.slot + timedelta(seconds=50)
    assert take(batch, started)
    assert settle(started + timedelta(seconds=74)) == []
    assert overdue(started + timedelta(seconds=5)) == []
    assert settle(started + timedelta(seconds=75)) == [("missed", "worker_lost")]


def test_only_what_has_no_row_is_missed(make_domain: MakeDomain) -> None:
    domains = [make_domain(interval=5) for _ in range(3)]
    dispatch.sweep(now=NOW, retention=timedelta(days=30))
    batch = Batch.objects.get()
    ledger.insert([up(domains[1], batch)])
    settle(batch.expires_at)
    found = Result.objects.order_by("domain_id").values_list("domain_id", "state")
    assert list(found) == [
        (d.pk, s) for d, s in zip(domains, ["missed", "up", "missed"], strict=True)
    ]


def test_two_workers_never_have_the_same_batch(batch: Batch) -> None:
    assert take(batch, batch.slot)
    assert not take(batch, batch.slot + timedelta(seconds=1))


def test_a_dead_workers_batch_is_taken_again(domain: Domain, make_domain: MakeDomain) -> None:
    slow = Batch.objects.create(
        kind="scheduled",
        location=Location.objects.create(name="local"),
        slot=NOW,
        expires_at=NOW + timedelta(hours=1),
        domain_ids=[domain.pk, make_domain().pk],
    )
    assert take(slow, NOW)
    partitions.ensure([NOW])
    ledger.insert([up(domain, slow)])
    later = NOW + RUNNING
    assert overdue(later) == [slow.pk]
    work = claim(slow.pk, now=later, running_limit=RUNNING, guard=Guard())
    assert work is not None
    assert list(work.targets) == [pk for pk in slow.domain_ids if pk != domain.pk]
    slow.refresh_from_db()
    assert slow.attempts == 2


def test_a_batch_handed_back_is_sent_at_once(batch: Batch) -> None:
    dispatch.mark_enqueued([batch.pk], now=batch.slot)
    assert take(batch, batch.slot)
    hand_back([batch.pk])
    assert [hint.batch_id for hint in dispatch.unsent()] == [batch.pk]
    assert take(batch, batch.slot + timedelta(seconds=1))


def test_a_message_that_comes_too_late_starts_nothing(batch: Batch) -> None:
    assert not take(batch, batch.expires_at)
    assert settle(batch.expires_at) == [("missed", "not_dispatched")]
