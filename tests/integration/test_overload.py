"""Overload and lanes against real PostgreSQL: what cannot be run in time is shed, and said so."""

from collections import Counter
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from domains.audit import OPERATOR
from domains.models import Domain
from domains.services import create_domain
from monitoring import dispatch, history, settling
from monitoring.due import TRICKLE_SLOTS
from monitoring.ledger import Row
from monitoring.models import Batch, DomainState, Location, Tick
from monitoring.packing import Kind
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import State
from monitoring.recording import record
from monitoring.results import Result
from monitoring.schedule import TICK, tick_at
from tests.conftest import NOW, MakeDomain

RETENTION = timedelta(days=30)
SIZE = 10
UP = Outcome(state=State.UP, total_us=0)


@pytest.fixture(autouse=True)
def _small_batches(settings: Settings) -> None:
    settings.SENTINEL_BATCH_SIZE = SIZE


def register(count: int, *, interval: int, locations: tuple[str, ...] = ("local",)) -> list[int]:
    """Write domains whose first slots are past and recorded: only the regular ones are due."""
    since = NOW - timedelta(hours=1)
    before = {"swept_at": NOW - TICK, "expected": 0}
    Tick.objects.get_or_create(instant=NOW - TICK, defaults=before)
    made = Domain.objects.bulk_create(
        Domain(
            name=f"{number}",
            url="http://127.0.0.1:1/",
            interval=interval,
            locations=list(locations),
            scheduled_since=since,
        )
        for number in range(count)
    )
    dispatch.add_locations()
    return sorted(domain.pk for domain in made)


class Workers:
    """A location's workers, who take so many domains a second, first in, first out."""

    def __init__(self, rate: float, location: str = "local") -> None:
        self.rate, self.location, self.budget = rate, location, 0.0

    def work(self, now: datetime, seconds: int, *, only: list[int] | None = None) -> list[float]:
        """Work until ``now``; return how long each batch had waited for it, in seconds.

        Args:
            only: the batches whose messages arrive; None: all.
        """
        self.budget = min(self.budget + self.rate * seconds, self.rate * seconds + SIZE)
        waited = []
        there = Batch.objects.filter(
            location__name=self.location, started_at=None, finished_at=None, expires_at__gt=now
        )
        for batch in (there if only is None else there.filter(pk__in=only)).order_by("slot", "pk"):
            if self.budget < len(batch.domain_ids):
                break
            self.budget -= len(batch.domain_ids)
            waited.append((now - batch.slot).total_seconds())
            Batch.objects.filter(pk=batch.pk).update(started_at=now, finished_at=now)
            record(
                [
                    Row(
                        domain_id=domain_id,
                        location_id=batch.location_id,
                        slot=batch.slot,
                        kind=Kind.SCHEDULED,
                        started_at=now,
                        outcome=UP,
                    )
                    for domain_id in batch.domain_ids
                ]
            )
        return waited


def sweep(now: datetime, *, sent: bool = True) -> list[int]:
    """Do what a sweep does; return the batches whose messages are put on the queue."""
    settling.settle(now=now)
    settling.release(now=now)
    dispatch.sweep(now=now, retention=RETENTION)
    hints = [hint.batch_id for hint in [*dispatch.unsent(), *settling.overdue(now=now)]]
    if sent:
        dispatch.mark_enqueued(hints, now=now)
    return hints


def run(
    workers: Workers, ticks: int, *, first: int = 0, sent: bool = True
) -> tuple[list[float], int]:
    """Sweep and work for so many ticks; return the waits, and the most batches that waited."""
    waited: list[float] = []
    most = 0
    for number in range(first, first + ticks):
        now = NOW + number * TICK + timedelta(milliseconds=20)
        sweep(now, sent=sent)
        most = max(most, Batch.objects.filter(started_at=None, finished_at=None).count())
        waited += workers.work(now + TICK - timedelta(milliseconds=30), 5)
    return waited, most


def reasons() -> Counter[str | None]:
    return Counter(Result.objects.filter(state="missed").values_list("reason", flat=True))


def test_three_times_what_workers_can_do_is_shed_and_what_is_run_is_run_soon(db: None) -> None:
    register(360, interval=60)  # 6 a second
    waited, most = run(Workers(rate=2), 36)
    assert max(waited) < 60
    assert most * SIZE < 60 * 2 * 2  # never more than workers take in the time of a message
    assert set(reasons()) == {"overload"}
    done = Result.objects.filter(state="up").count()
    assert done > 0.9 * 2 * 180  # nothing is shed that could have been run
    ledger = history.ledger(NOW - TICK, NOW + 36 * TICK)
    assert ledger.balanced, ledger
    assert ledger.expected == 36 * 30


def test_another_part_of_the_domains_is_shed_each_time(db: None) -> None:
    register(60, interval=5)
    run(Workers(rate=4), 30)
    shed = Counter(Result.objects.filter(reason="overload").values_list("domain_id", flat=True))
    assert len(shed) == 60
    assert max(shed.values()) < 28


@pytest.mark.parametrize("rate", [10, 7])
def test_workers_that_keep_up_lose_nothing(db: None, rate: int) -> None:
    register(360, interval=60)
    waited, _ = run(Workers(rate=rate), 24)
    assert not reasons()
    assert max(waited) < 15


@pytest.mark.parametrize("pause", [2, 5])
def test_a_pause_that_can_be_made_up_for_sheds_nothing(db: None, pause: int) -> None:
    """A restart of workers or Redis, seconds long."""
    register(360, interval=60)
    workers = Workers(rate=9)
    run(workers, 14)
    workers.rate = 0
    run(workers, pause, first=14)
    workers.rate = 9
    run(workers, 14, first=14 + pause)
    assert not reasons()


def test_a_place_without_workers_keeps_little_and_names_the_reason(db: None) -> None:
    register(600, interval=60, locations=("nowhere",))  # 50 a tick
    register(120, interval=60)
    run(Workers(rate=10), 30)
    nowhere = Location.objects.get(name="nowhere")
    assert {row.reason for row in Result.objects.filter(state="missed")} == {"worker_lost"}
    assert not Result.objects.exclude(location=nowhere).filter(state="missed").exists()
    kept = Batch.objects.filter(location=nowhere, finished_at=None)
    waiting = sum(len(batch.domain_ids) for batch in kept)
    assert waiting <= (30 / 5 + 1) * 50 + 6 * 2 * TRICKLE_SLOTS


def test_what_comes_back_is_seen_at_once_and_what_was_lost_is_run(db: None) -> None:
    """A queue that took every message and gave out none, for longer than anything is kept."""
    register(600, interval=60)
    workers = Workers(rate=100)
    run(workers, 6)
    for number in range(6, 15):  # sent, again and again, and lost
        sweep(NOW + number * TICK)
    shed = [Result.objects.filter(state="missed").count()]
    assert shed[0]
    for number in range(15, 18):
        now = NOW + number * TICK
        workers.work(now + TICK / 2, 5, only=sweep(now))
        shed.append(Result.objects.filter(state="missed").count())
        assert Result.objects.filter(slot=now, state="up").exists()
    assert shed[-1] == shed[-2]
    assert not Batch.objects.filter(finished_at=None).exists()


def test_a_queue_that_is_away_is_named_as_the_reason(db: None) -> None:
    register(120, interval=60)
    run(Workers(rate=0), 20, sent=False)
    assert set(reasons()) == {"not_dispatched"}


def test_a_check_that_is_seldom_due_waits_rather_than_being_shed(db: None) -> None:
    register(360, interval=60)
    workers = Workers(rate=1)
    run(workers, 24)
    daily = create_domain(
        {"name": "daily", "url": "http://127.0.0.1:1/", "interval": 86_400},
        by=OPERATOR,
        now=NOW + 24 * TICK - timedelta(seconds=1),
    )
    run(workers, 1, first=24)
    (batch,) = Batch.objects.filter(domain_ids__contains=[daily.pk])
    assert Result.objects.filter(slot=batch.slot, reason="overload").count() > 1
    assert not Result.objects.filter(domain_id=daily.pk, state="missed").exists()


def test_slow_domains_travel_in_batches_of_their_own(db: None) -> None:
    ids = register(35, interval=5)
    local = Location.objects.get(name="local")
    slow = ids[::3]
    DomainState.objects.bulk_create(
        DomainState(
            domain_id=pk, location=local, state="down", since=NOW, slot=NOW, slow=pk in slow
        )
        for pk in ids[:30]
    )
    dispatch.sweep(now=NOW, retention=RETENTION)
    batches = list(Batch.objects.all())
    assert sorted(pk for b in batches if b.slow for pk in b.domain_ids) == sorted(
        pk for pk in slow if pk in ids[:30]
    )
    assert sorted(pk for b in batches for pk in b.domain_ids) == ids
    assert {hint.batch_id: hint.slow for hint in dispatch.unsent()} == {
        b.pk: b.slow for b in batches
    }


def test_a_lane_that_is_behind_sheds_nothing_of_the_other(db: None) -> None:
    ids = register(120, interval=60)
    local = Location.objects.get(name="local")
    DomainState.objects.bulk_create(
        DomainState(
            domain_id=pk, location=local, state="down", since=NOW, slot=NOW, slow=pk % 2 == 0
        )
        for pk in ids
    )
    for number in range(24):
        now = NOW + number * TICK
        settling.settle(now=now)
        dispatch.sweep(now=now, retention=RETENTION)
        dispatch.mark_enqueued([hint.batch_id for hint in dispatch.unsent()], now=now)
        Batch.objects.filter(slow=False, finished_at=None).update(started_at=now, finished_at=now)
    shed = set(Result.objects.filter(state="missed").values_list("domain_id", flat=True))
    assert shed
    assert all(pk % 2 == 0 for pk in shed)


def test_a_sweep_costs_as_many_statements_whatever_is_due(make_domain: MakeDomain) -> None:
    make_domain(interval=5)
    dispatch.sweep(now=NOW, retention=RETENTION)

    def statements(now: datetime) -> int:
        with CaptureQueriesContext(connection) as captured:
            settling.settle(now=now)
            settling.release(now=now)
            dispatch.sweep(now=now, retention=RETENTION)
            hints = [*dispatch.unsent(), *settling.overdue(now=now)]
            dispatch.mark_enqueued([hint.batch_id for hint in hints], now=now)
        return len(captured)

    one = statements(NOW + TICK)
    register(200, interval=5, locations=("local", "paris", "tokyo"))
    assert statements(NOW + 2 * TICK) <= one
    assert tick_at(NOW) == NOW
    assert one <= 26


def test_workers_that_hold_what_hangs_are_busy_and_not_lost(db: None) -> None:
    register(120, interval=30)
    run(Workers(rate=100), 1)
    held = Batch.objects.order_by("pk").first()
    assert held is not None
    Batch.objects.filter(pk=held.pk).update(finished_at=None, lease_until=NOW + 100 * TICK)
    run(Workers(rate=0), 30, first=1)
    assert set(reasons()) == {"overload"}
