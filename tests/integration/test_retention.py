"""Partitions of the result table: made ahead, made on the spot, dropped behind."""

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection

from monitoring import dispatch, ledger, partitions, retention
from monitoring.ledger import Row
from monitoring.models import Batch, Kind, Location, Result, Tick
from monitoring.probes.outcome import Outcome, State
from monitoring.recording import record
from tests.conftest import NOW, MakeDomain

DAY = timedelta(days=1)
UP = Outcome(state=State.UP, total_us=1)


def rows(domain_id: int, location: Location, *days: int) -> list[Row]:
    return [
        Row(
            domain_id=domain_id,
            location_id=location.pk,
            slot=NOW + day * DAY,
            kind=Kind.SCHEDULED,
            started_at=NOW + day * DAY,
            outcome=UP,
        )
        for day in days
    ]


def test_a_missing_partition_is_made_on_the_spot(make_domain: MakeDomain) -> None:
    location = Location.objects.create(name="local")
    assert record(rows(make_domain().pk, location, -40, 0, 400)) == 3


def test_there_is_no_default_partition(make_domain: MakeDomain) -> None:
    partitions.ensure([NOW])
    location = Location.objects.create(name="local")
    with pytest.raises(IntegrityError, match="no partition"):
        ledger.insert(rows(make_domain().pk, location, 9))


def test_old_partitions_and_ticks_are_dropped_and_coming_days_made(
    make_domain: MakeDomain,
) -> None:
    location = Location.objects.create(name="local")
    domain = make_domain()
    record(rows(domain.pk, location, -3, -2, -1, 0))
    for day in (-3, -2, 0):
        Tick.objects.create(instant=NOW + day * DAY, swept_at=NOW, expected=1)
    retention.retain(now=NOW, keep=2 * DAY)
    days = [partition.start.date() for partition in partitions.existing()]
    assert days == [(NOW + n * DAY).date() for n in range(-2, 3)]
    assert Result.objects.filter(domain_id=domain.pk).count() == 3
    assert Tick.objects.count() == 2


def test_finished_batches_are_kept_for_a_day(make_domain: MakeDomain) -> None:
    for _ in range(2):
        dispatch.request_check(make_domain(), now=NOW)
    first, second = Batch.objects.order_by("pk")
    Batch.objects.filter(pk=first.pk).update(finished_at=NOW)
    retention.retain(now=NOW + DAY, keep=30 * DAY)
    assert Batch.objects.count() == 2
    retention.retain(now=NOW + DAY + timedelta(seconds=1), keep=30 * DAY)
    assert Batch.objects.get() == second


@pytest.mark.django_db(transaction=True)
def test_processes_that_need_the_same_partition_at_once_both_get_it() -> None:
    errors: list[Exception] = []
    start = threading.Barrier(4)

    def one() -> None:
        try:
            start.wait()
            partitions.forget()
            partitions.ensure([NOW + 50 * DAY, NOW + 51 * DAY])
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for partition in partitions.existing():
        if partition.start > NOW + 49 * DAY:
            partitions.drop(partition, patience=retention.PATIENCE)
