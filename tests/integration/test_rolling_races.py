"""Rolling up while rows go in: whatever commits when, in the end each row counts once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domains.audit import OPERATOR
from domains.clock import database_now
from domains.services import create_domain
from monitoring import bucket_partitions, ledger, partitions, rolling, tasks
from monitoring.buckets import DayBucket, HourBucket, LateSlots, Rolled
from monitoring.ledger import Row
from monitoring.models import Batch, Location, Tick
from monitoring.packing import Kind
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import State
from monitoring.recording import record
from monitoring.results import Result
from tests.conftest import NOW

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MIDNIGHT = NOW.replace(hour=0)
BEGIN = MIDNIGHT + 22 * HOUR
"""When the ledger of these tests begins: its first day has two hours."""
BATCHES = 3


def row(domain_id: int, location: Location, slot: datetime) -> Row:
    return Row(
        domain_id=domain_id,
        location_id=location.pk,
        slot=slot,
        kind=Kind.SCHEDULED,
        started_at=slot,
        outcome=Outcome(state=State.UP, total_us=7),
    )


class Writer:
    """A worker with one batch: inserts its rows, commits them, and later finishes the batch.

    In a thread of its own, which has a connection of its own.
    """

    def __init__(self, thread: ThreadPoolExecutor, location: Location, domain_id: int) -> None:
        slot = BEGIN + timedelta(minutes=domain_id % 60)
        self._thread = thread
        self._row = row(domain_id, location, slot)
        self._batch = Batch.objects.create(
            kind="scheduled",
            location=location,
            slot=slot,
            expires_at=slot + DAY,
            domain_ids=[domain_id],
        ).pk
        self._steps = [self._insert, self._commit, self._finish, self._commit]

    def step(self) -> bool:
        """Do what comes next; return whether there was anything."""
        if self._steps:
            self._thread.submit(self._steps.pop(0)).result()
            return True
        return False

    def _insert(self) -> None:
        transaction.set_autocommit(False)
        assert ledger.insert([self._row])

    def _finish(self) -> None:
        transaction.set_autocommit(False)
        Batch.objects.filter(pk=self._batch).update(finished_at=NOW)

    def _commit(self) -> None:
        transaction.commit()
        transaction.set_autocommit(True)


@pytest.fixture
def others(transactional_db: None) -> Iterator[list[ThreadPoolExecutor]]:
    with ExitStack() as stack:
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in range(BATCHES)]
        yield threads
        for thread in threads:
            thread.submit(_hang_up).result()


def _hang_up() -> None:
    connection.close()


def clear() -> None:
    for model in (Result, Tick, Batch, LateSlots, Rolled, HourBucket, DayBucket):
        model._default_manager.all().delete()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.one_of(st.none(), st.integers(0, BATCHES - 1), st.integers(0, BATCHES - 1)), max_size=60
    ),
    st.sampled_from([HOUR, 2 * HOUR]),
)
def test_a_row_counts_once_whenever_it_commits(
    others: list[ThreadPoolExecutor], plan: list[int | None], age: timedelta
) -> None:
    """Between any two statements of a roll-up, any of three workers goes a step further.

    Args:
        others: the workers' threads.
        plan: what happens next: None is nothing, a number a step of that worker.
        age: how old the hour is when it is rolled up: the day may be over too.
    """
    clear()
    partitions.ensure([MIDNIGHT])
    location, _ = Location.objects.get_or_create(name="local")
    domains = [
        create_domain({"name": "d", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=MIDNIGHT).pk
        for _ in range(BATCHES)
    ]
    writers = [
        Writer(other, location, domain) for other, domain in zip(others, domains, strict=True)
    ]
    Tick.objects.bulk_create(
        Tick(instant=BEGIN + hours * HOUR, swept_at=NOW, expected=0) for hours in range(4)
    )
    now = BEGIN + age + HOUR / 2
    steps = iter(plan)

    def between(execute: Callable[..., Any], *args: Any) -> Any:
        step = next(steps, None)
        if step is not None:
            writers[step].step()
        return execute(*args)

    with connection.execute_wrapper(between):
        for _ in range(3):
            rolling.roll_up(now=now, seconds=2)
    for writer in writers:
        while writer.step():
            pass
    while rolling.roll_up(now=now, seconds=5):
        pass
    assert Result.objects.count() == BATCHES
    for domain in domains:
        assert HourBucket.objects.get(domain_id=domain).up == 1
        assert DayBucket.objects.filter(domain_id=domain).count() == (age > HOUR)
    assert sum(bucket.up for bucket in DayBucket.objects.all()) == BATCHES * (age > HOUR)
    assert not LateSlots.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_only_one_rolls_up_at_a_time() -> None:
    Tick.objects.create(instant=MIDNIGHT, swept_at=NOW, expected=0)
    Tick.objects.create(instant=NOW, swept_at=NOW, expected=0)
    found: list[bool] = []

    def other() -> None:
        try:
            found.append(rolling.roll_up(now=NOW, seconds=0))
        finally:
            connection.close()

    with transaction.atomic():
        assert bucket_partitions.lock()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found == [False]
    assert not Rolled.objects.exists()
    assert rolling.roll_up(now=NOW, seconds=0)


@pytest.mark.django_db(transaction=True)
def test_several_that_roll_up_at_once_make_each_bucket_once() -> None:
    location = Location.objects.create(name="local")
    partitions.ensure([MIDNIGHT])
    for _ in range(6):
        domain = create_domain(
            {"name": "d", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=MIDNIGHT
        )
        record(
            [
                row(domain.pk, location, MIDNIGHT + number * timedelta(minutes=10))
                for number in range(30)
            ]
        )
    Tick.objects.create(instant=MIDNIGHT, swept_at=NOW, expected=0)
    Tick.objects.create(instant=NOW, swept_at=NOW, expected=0)
    errors: list[Exception] = []
    start = threading.Barrier(3)

    def one() -> None:
        try:
            start.wait()
            while Rolled.objects.filter(level="hour", next_domain_id=None).count() < 11:
                rolling.roll_up(now=NOW, seconds=0)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(HourBucket.objects.values_list("up", flat=True)) == 180


@pytest.mark.django_db(transaction=True)
def test_the_door_rolls_up_what_is_due() -> None:
    start = database_now().replace(minute=0, second=0, microsecond=0) - 2 * HOUR
    domain = create_domain({"name": "d", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=start)
    record([row(domain.pk, Location.objects.create(name="local"), start)])
    for hours in range(3):
        Tick.objects.create(instant=start + hours * HOUR, swept_at=start, expected=0)
    while Rolled.objects.filter(level="hour", next_domain_id=None).count() == 0:
        tasks.roll_up()
    assert HourBucket.objects.get().start == start
