"""Those who write the ledger at the same time wait for each other, and never in a circle.

Each test holds a row that both writers come to in the midst of theirs, until both wait, so
that each has a part of what the other wants: in the wrong order PostgreSQL would end one.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction

from domains.audit import OPERATOR
from domains.models import Domain
from domains.services import create_domain
from monitoring import dispatch, ledger, partitions, settling
from monitoring.ledger import Row
from monitoring.models import Batch, Location, Tick
from monitoring.packing import Kind
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import State
from monitoring.recording import record
from monitoring.results import Result
from monitoring.schedule import TICK
from tests.conftest import NOW
from tests.integration.locks import until, waiting_for_locks

pytestmark = pytest.mark.django_db(transaction=True)

UP = Outcome(state=State.UP, total_us=1)


@pytest.fixture
def location() -> Location:
    return Location.objects.create(name="local")


def row(domain_id: int, location: Location, *, tick: int = 0) -> Row:
    slot = NOW + tick * TICK
    return Row(domain_id, location.pk, slot, Kind.SCHEDULED, slot, UP)


def domains(count: int) -> list[int]:
    return [
        create_domain({"name": f"{number}", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=NOW).pk
        for number in range(count)
    ]


@contextmanager
def held(row: Row) -> Iterator[None]:
    """Have a row inserted and not committed; it is gone at the end."""
    partitions.ensure([row.slot])
    with transaction.atomic():
        ledger.insert([row])
        yield
        transaction.set_rollback(True)


def begin(threads: ThreadPoolExecutor, *works: Callable[[], int]) -> list[Future[int]]:
    """Start each work, on a connection of its own, when the one before waits or has ended."""
    begun: list[Future[int]] = []

    def run(work: Callable[[], int]) -> int:
        try:
            return work()
        finally:
            connection.close()

    for work in works:
        begun.append(threads.submit(run, work))
        until(
            lambda: sum(one.done() for one in begun) + waiting_for_locks() >= len(begun),
            "it waits or has ended",
        )
    return begun


def test_two_chunks_with_the_same_rows_in_opposite_orders(location: Location) -> None:
    rows = [row(domain_id, location) for domain_id in domains(3)]
    with ThreadPoolExecutor(2) as threads:
        with held(rows[1]):
            works = begin(threads, lambda: record(rows), lambda: record(rows[::-1]))
        assert sorted(work.result() for work in works) == [0, 3]


def test_a_batch_that_is_settled_while_its_last_chunk_is_recorded(location: Location) -> None:
    ids = domains(2)
    batch = overdue(location, ids, tick=0)
    rows = [row(domain_id, location) for domain_id in ids]
    with ThreadPoolExecutor(2) as threads:
        with held(rows[1]):
            works = begin(
                threads,
                lambda: record(rows, finished=[batch.pk]),
                lambda: settling.settle(now=NOW + timedelta(hours=1)),
            )
        assert [work.result() for work in works] == [2, 0]
    batch.refresh_from_db()
    assert batch.finished_at is not None
    assert set(Result.objects.values_list("state", flat=True)) == {"up"}


@pytest.mark.parametrize("other", ["sweep", "request"])
def test_two_that_name_locations_for_the_first_time(other: str) -> None:
    """The database gives the names of each in an order of its own."""
    names = [f"place-{number}" for number in range(12)]
    watched = create_domain(
        {"name": "a", "url": "http://127.0.0.1:1/", "locations": names}, by=OPERATOR, now=NOW
    )
    more = Domain(pk=watched.pk, locations=[*names[::-1], *(f"more-{n}" for n in range(400))])

    def request(domain: Domain) -> int:
        with transaction.atomic():
            dispatch.request_check(domain, now=NOW)
        return 0

    def sweep() -> int:
        dispatch.sweep(now=NOW + TICK, retention=timedelta(days=1))
        return 0

    writers = {"sweep": sweep, "request": lambda: request(watched)}
    with ThreadPoolExecutor(2) as threads:
        with transaction.atomic():
            Location.objects.create(name="place-3")
            works = begin(threads, lambda: request(more), writers[other])
            transaction.set_rollback(True)
        for work in works:
            work.result()
    assert Location.objects.count() == 412


@pytest.mark.parametrize("lone", [0, 1])
def test_batches_that_are_settled_while_chunks_of_theirs_are_recorded(
    location: Location, lone: int
) -> None:
    first, middle, last = domains(3)
    batches = [[first, middle]]
    batches.insert(lone, [last])
    for tick, ids in enumerate(batches):
        overdue(location, ids, tick=tick)
    rows = [
        row(domain_id, location, tick=tick)
        for domain_id, tick in [(last, lone), (first, 1 - lone), (middle, 1 - lone)]
    ]
    with ThreadPoolExecutor(2) as threads:
        with held(rows[2]):
            works = begin(
                threads,
                lambda: record(rows),
                lambda: settling.settle(now=NOW + timedelta(hours=1)),
            )
        assert [work.result() for work in works] == [3, 0]


def overdue(location: Location, ids: list[int], *, tick: int) -> Batch:
    """Return a batch whose time is over, and whose worker is not known to live."""
    slot = NOW + tick * TICK
    Tick.objects.create(instant=slot, swept_at=slot, expected=len(ids))
    dispatch.add_locations()
    return Batch.objects.create(
        kind="scheduled",
        location=location,
        slot=slot,
        expires_at=NOW + timedelta(minutes=1),
        domain_ids=ids,
    )
