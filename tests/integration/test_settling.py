"""Overdue batches against real PostgreSQL: again while there is time, else missed."""

from datetime import datetime, timedelta
from random import Random
from threading import Thread

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from domains.audit import OPERATOR
from domains.models import Domain
from domains.services import create_domain
from monitoring import dispatch, history, ledger, partitions, settling
from monitoring.claiming import claim, hand_back
from monitoring.ledger import Row
from monitoring.models import Batch, Location, Tick
from monitoring.packing import Kind
from monitoring.probes.guard import Guard
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import State
from monitoring.results import Result
from monitoring.schedule import TICK, tick_at
from tests.conftest import NOW, MakeDomain

RUNNING = settling.LEASE


@pytest.fixture
def domain(make_domain: MakeDomain) -> Domain:
    return make_domain(interval=60)


@pytest.fixture
def batch(domain: Domain) -> Batch:
    dispatch.sweep(now=NOW, retention=timedelta(days=30))
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
    settling.settle(now=now)
    return list(Result.objects.values_list("state", "reason"))


def overdue(now: datetime) -> list[int]:
    return [hint.batch_id for hint in settling.overdue(now=now)]


def watch(now: datetime) -> None:
    """Be the sweeps of the half minute before."""
    for back in (0, 5, 10, 15, 20):
        ago = now - timedelta(seconds=back)
        Tick.objects.get_or_create(instant=tick_at(ago), defaults={"swept_at": ago})


def take(batch: Batch, now: datetime) -> bool:
    return claim(batch.pk, now=now, lease=RUNNING, guard=Guard()) is not None


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


def test_a_running_batch_is_left_alone_while_its_worker_lives(batch: Batch) -> None:
    started = batch.expires_at - timedelta(seconds=5)
    assert take(batch, started)
    for seconds in (5, 10, 15, 20, 25):
        now = started + timedelta(seconds=seconds)
        watch(now)
        settling.renew([batch.pk], now=now)
        assert settling.release(now=now) == 0
        assert settle(now + settling.LEASE - timedelta(seconds=1)) == []
    watch(now + settling.LEASE)
    assert settle(now + settling.LEASE) == [("missed", "worker_lost")]


def test_a_lease_that_could_not_be_renewed_is_not_lost(batch: Batch) -> None:
    """The database was away: the worker gets the time to say that it lives, and to store."""
    assert take(batch, batch.slot)
    back = batch.expires_at + timedelta(seconds=60)
    Tick.objects.create(instant=tick_at(back), swept_at=back)
    assert settle(back) == []
    settling.renew([batch.pk], now=back + timedelta(seconds=4))
    later = back + timedelta(seconds=12)
    assert settle(later) == []
    settling.renew([batch.pk], now=later)
    lost = later + settling.LEASE
    watch(lost)
    assert settle(lost) == [("missed", "worker_lost")]


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
    assert settling.release(now=later) == 0  # no sweep has run: nobody could see it alive
    watch(later)
    assert settling.release(now=later) == 1
    assert [hint.batch_id for hint in dispatch.unsent()] == [slow.pk]
    work = claim(slow.pk, now=later, lease=RUNNING, guard=Guard())
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


def test_a_message_that_was_overtaken_is_lost(batch: Batch, make_domain: MakeDomain) -> None:
    dispatch.mark_enqueued([batch.pk], now=batch.slot)
    later = batch.slot + TICK
    other = Batch.objects.create(
        kind="scheduled",
        location=batch.location,
        slot=later,
        expires_at=later + timedelta(hours=1),
        domain_ids=[make_domain().pk],
        enqueued_at=later,
        started_at=later + TICK,
    )
    assert overdue(batch.slot + timedelta(seconds=9)) == []
    assert overdue(batch.slot + timedelta(seconds=10)) == [batch.pk]
    Batch.objects.filter(pk=other.pk).update(slow=True)
    assert overdue(batch.slot + timedelta(seconds=10)) == []


def test_what_waits_behind_others_is_not_sent_twice(batch: Batch, make_domain: MakeDomain) -> None:
    """The queue is long and moves: the message is on its way."""
    dispatch.mark_enqueued([batch.pk], now=batch.slot)
    Batch.objects.create(
        kind="scheduled",
        location=batch.location,
        slot=batch.slot - TICK,
        expires_at=batch.slot + timedelta(hours=1),
        domain_ids=[make_domain().pk],
        enqueued_at=batch.slot - TICK,
        started_at=batch.slot + timedelta(seconds=35),
    )
    assert overdue(batch.slot + timedelta(seconds=40)) == []


def test_settling_costs_as_many_statements_however_much_has_ended(domain: Domain) -> None:
    place = Location.objects.create(name="local")
    partitions.ensure([NOW])

    def statements(ended: int) -> int:
        start = NOW + Batch.objects.count() * timedelta(microseconds=1)
        Batch.objects.bulk_create(
            Batch(
                kind="scheduled",
                location=place,
                slot=start + number * timedelta(microseconds=1),
                expires_at=NOW + TICK,
                domain_ids=[domain.pk],
            )
            for number in range(ended)
        )
        with CaptureQueriesContext(connection) as captured:
            assert settling.settle(now=NOW + TICK) == ended
        return len(captured)

    one = statements(1)
    assert statements(200) == one
    assert statements(0) < one


@pytest.mark.django_db(transaction=True)
def test_messages_three_times_out_of_order_start_each_batch_once() -> None:
    domain = create_domain({"name": "d", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=NOW)
    dispatch.add_locations()
    batches = Batch.objects.bulk_create(
        Batch(
            kind="scheduled",
            location=Location.objects.get(),
            slot=NOW + number * TICK,
            expires_at=NOW + timedelta(hours=1),
            domain_ids=[domain.pk],
        )
        for number in range(20)
    )
    messages = [batch.pk for batch in batches] * 3
    Random(7).shuffle(messages)
    started: list[int] = []

    def work(mine: list[int]) -> None:
        try:
            started.extend(
                pk
                for pk in mine
                if claim(pk, now=NOW + TICK, lease=RUNNING, guard=Guard()) is not None
            )
        finally:
            connection.close()

    threads = [Thread(target=work, args=(messages[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(started) == sorted(batch.pk for batch in batches)


def test_a_message_that_comes_too_late_starts_nothing(batch: Batch) -> None:
    assert not take(batch, batch.expires_at)
    assert settle(batch.expires_at) == [("missed", "not_dispatched")]
