"""Partitions of the result table: made ahead, made on the spot, dropped behind, made tight."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test import override_settings

from domains.audit import OPERATOR
from domains.clock import database_now
from domains.models import PastSchedule
from domains.services import change_domain, delete_domain
from monitoring import dispatch, downtimes, ledger, partitions, retention, tasks
from monitoring.accounting import accounts
from monitoring.incidents import reliability
from monitoring.ledger import Row
from monitoring.models import Batch, Location, Tick, Transition
from monitoring.packing import Kind
from monitoring.partitions import Partition
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import State
from monitoring.recording import record
from monitoring.results import Result
from tests.conftest import NOW, MakeDomain

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
UP = Outcome(state=State.UP, total_us=1)
HOURLY = override_settings(SENTINEL_PARTITION="hourly")


def rows(domain_id: int, location: Location, *slots: datetime) -> list[Row]:
    return [
        Row(
            domain_id=domain_id,
            location_id=location.pk,
            slot=slot,
            kind=Kind.SCHEDULED,
            started_at=slot,
            outcome=UP,
        )
        for slot in slots
    ]


def drop_all() -> None:
    for partition in partitions.existing():
        partitions.drop(partition, patience=DAY)


@pytest.fixture
def bare(transactional_db: None) -> Iterator[Location]:
    """Leave no partition to the tests that come after, nor find one."""
    drop_all()
    yield Location.objects.create(name="local")
    drop_all()


def at_once(*works: Callable[[], object]) -> list[Exception]:
    """Run each in a thread and connection of its own; return what they raised."""
    errors: list[Exception] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        try:
            start.wait()
            work()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def another_session() -> psycopg.Connection:
    parameters = connection.get_connection_params()
    return psycopg.connect(
        **{name: parameters[name] for name in ("dbname", "user", "host") if parameters.get(name)}
    )


def test_a_missing_partition_is_made_on_the_spot(make_domain: MakeDomain) -> None:
    location = Location.objects.create(name="local")
    slots = [NOW - 40 * DAY, NOW, NOW + 400 * DAY]
    assert record(rows(make_domain().pk, location, *slots)) == 3


def test_there_is_no_default_partition(make_domain: MakeDomain) -> None:
    partitions.ensure([NOW])
    location = Location.objects.create(name="local")
    with pytest.raises(IntegrityError, match="no partition"):
        ledger.insert(rows(make_domain().pk, location, NOW + 9 * DAY))


def test_old_partitions_and_ticks_are_dropped_and_coming_days_made(bare: Location) -> None:
    record(rows(1, bare, *(NOW + day * DAY for day in (-3, -2, -1, 0))))
    for day in (-3, -2, 0):
        Tick.objects.create(instant=NOW + day * DAY, swept_at=NOW, expected=1)
    retention.make_ahead(now=NOW)
    retention.retain(now=NOW, keep=2 * DAY)
    days = [(partition.start, partition.end) for partition in partitions.existing()]
    assert days == [(MIDNIGHT + n * DAY, MIDNIGHT + (n + 1) * DAY) for n in range(-2, 3)]
    assert Result.objects.filter(domain_id=1).count() == 3
    assert Tick.objects.count() == 2


def test_by_the_hour_it_is_hours_that_are_made_and_dropped(bare: Location) -> None:
    with HOURLY:
        record(rows(1, bare, NOW - DAY - HOUR, NOW - DAY, NOW))
        retention.make_ahead(now=NOW)
        retention.retain(now=NOW, keep=DAY)
    there = partitions.existing()
    assert {partition.end - partition.start for partition in there} == {HOUR}
    assert [there[0].start, there[-1].start] == [NOW - DAY, NOW + retention.AHEAD]
    assert Result.objects.count() == 2


def test_the_setting_can_change_while_there_are_partitions(bare: Location) -> None:
    record(rows(1, bare, MIDNIGHT))
    with HOURLY:
        record(rows(1, bare, NOW, MIDNIGHT + DAY, MIDNIGHT + DAY + 3 * HOUR))
    record(rows(1, bare, MIDNIGHT + DAY + 4 * HOUR, MIDNIGHT + 2 * DAY))
    there = [
        (partition.start, partition.end - partition.start) for partition in partitions.existing()
    ]
    tomorrow = MIDNIGHT + DAY
    assert there == [
        (MIDNIGHT, DAY),
        (tomorrow, HOUR),
        (tomorrow + 3 * HOUR, HOUR),
        (tomorrow + 4 * HOUR, HOUR),
        (tomorrow + DAY, DAY),
    ]
    assert Result.objects.count() == 6


def test_finished_batches_are_kept_for_a_day(bare: Location, make_domain: MakeDomain) -> None:
    for _ in range(2):
        dispatch.request_check(make_domain(), now=NOW)
    first, second = Batch.objects.order_by("pk")
    Batch.objects.filter(pk=first.pk).update(finished_at=NOW)
    retention.retain(now=NOW + DAY, keep=30 * DAY)
    assert Batch.objects.count() == 2
    retention.retain(now=NOW + DAY + timedelta(seconds=1), keep=30 * DAY)
    assert Batch.objects.get() == second


@pytest.mark.parametrize("setting", ["daily", "hourly"])
def test_eight_writers_at_midnight_lose_nothing(bare: Location, setting: str) -> None:
    def write(domain_id: int) -> Callable[[], object]:
        slots = [MIDNIGHT + n * timedelta(seconds=5) for n in range(-3, 3)]
        return lambda: [record(rows(domain_id, bare, slot)) for slot in slots]

    with override_settings(SENTINEL_PARTITION=setting):
        assert at_once(*(write(domain_id) for domain_id in range(1, 9))) == []
    assert Result.objects.count() == 8 * 6
    assert len(partitions.existing()) == 2


def test_a_writer_is_not_blocked_by_the_making_of_a_partition(bare: Location) -> None:
    record(rows(1, bare, NOW))
    with another_session() as reader:
        # A transaction that has read, and one that has written, stay open meanwhile.
        reader.execute("SELECT count(*) FROM monitoring_result")
        with transaction.atomic():
            ledger.insert(rows(2, bare, NOW))
            assert at_once(lambda: record(rows(3, bare, NOW + DAY))) == []
    assert Result.objects.count() == 3


def test_a_drop_gives_way_to_who_reads_and_writers_go_on(bare: Location) -> None:
    record(rows(1, bare, NOW - 9 * DAY, NOW))
    old = partitions.existing()[0]
    waited: list[float] = []

    def write() -> None:
        for number in range(2, 12):
            began = time.monotonic()
            record(rows(number, bare, NOW))
            waited.append(time.monotonic() - began)

    def drop() -> None:
        for _ in range(3):
            with pytest.raises(OperationalError):
                partitions.drop(old, patience=retention.PATIENCE)

    with another_session() as reader:
        reader.execute("SELECT count(*) FROM monitoring_result")
        assert at_once(write, drop) == []
        assert old in partitions.existing()
    # Ten writes beside three attempts, each of which holds up who comes for 200 ms at the most.
    assert Result.objects.filter(slot=NOW).count() == 11
    assert sum(waited) < 5
    partitions.drop(old, patience=retention.PATIENCE)
    assert old not in partitions.existing()


def test_a_partition_that_is_over_gets_the_smallest_key(bare: Location) -> None:
    start = MIDNIGHT - DAY
    for minute in range(60):
        slot = start + minute * timedelta(minutes=1)
        ledger_rows = [one for pk in range(1, 101) for one in rows(pk, bare, slot)]
        record(ledger_rows)
    record(rows(1, bare, NOW))
    old, current = partitions.existing()
    before = size(old)
    retention.tighten(now=NOW)
    assert size(old) < 0.8 * before
    assert partitions.loose(before=NOW + 9 * DAY, most_bytes=2**40)[0] == current
    record(rows(1, bare, start))  # a late row, and one that is there already
    record(rows(101, bare, start))
    assert Result.objects.count() == 6002


def test_after_an_attempt_that_failed_indexes_are_left_alone_for_a_while(
    bare: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump of hours would have each attempt wait, and leave an index to be dropped."""
    monkeypatch.setattr(retention, "TIGHTENING", timedelta(milliseconds=300))
    monkeypatch.setattr(retention, "_resting_until", 0.0)
    record(rows(1, bare, NOW - 2 * DAY))
    with another_session() as reader:
        reader.execute("SELECT count(*) FROM monitoring_result")
        retention.tighten(now=NOW)
    loose = partitions.loose(before=NOW, most_bytes=2**40)
    assert loose
    retention.tighten(now=NOW)
    assert partitions.loose(before=NOW, most_bytes=2**40) == loose
    monkeypatch.setattr(retention, "_resting_until", 0.0)
    monkeypatch.setattr(retention, "TIGHTENING", timedelta(seconds=30))
    retention.tighten(now=NOW)
    assert partitions.loose(before=NOW, most_bytes=2**40) == []


def test_the_sweeps_do_not_wait_for_an_index_that_is_built_anew(
    bare: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come by the same process, one at a time."""
    monkeypatch.setattr(retention, "_resting_until", 0.0)
    record(rows(1, bare, database_now() - 2 * DAY))
    with another_session() as reader:
        reader.execute("SELECT count(*) FROM monitoring_result")
        tasks.retain()
        (upkeep,) = [each for each in threading.enumerate() if each.name == "upkeep"]
        assert upkeep.is_alive()
    upkeep.join(30)
    assert partitions.loose(before=database_now(), most_bytes=2**40) == []


def test_what_is_left_of_an_attempt_is_waited_for_no_longer_than_allowed(bare: Location) -> None:
    record(rows(1, bare, NOW))
    (partition,) = partitions.existing()
    with another_session() as reader:
        reader.execute("SELECT count(*) FROM monitoring_result")
        for _ in range(2):  # the second comes to what the first has left, and cannot drop it
            began = time.monotonic()
            with pytest.raises(OperationalError):
                partitions.tighten(partition, patience=timedelta(milliseconds=300))
            assert time.monotonic() - began < 20


@pytest.mark.parametrize("jump", [timedelta(days=40), timedelta(days=2)])
def test_nothing_is_dropped_by_a_clock_that_jumped(
    bare: Location, make_domain: MakeDomain, jump: timedelta
) -> None:
    make_domain(interval=86_400)
    for hour in range(-48, 1, 6):
        dispatch.sweep(now=NOW + hour * HOUR, retention=30 * DAY)
    assert retention.is_believed(now=NOW)
    later = NOW + jump
    dispatch.sweep(now=later, retention=30 * DAY)  # which makes up for the ticks in between
    assert not retention.is_believed(now=later)
    dispatch.sweep(now=later + DAY, retention=30 * DAY)
    assert retention.is_believed(now=later + DAY)


def test_ticks_are_kept_as_long_as_the_rows_of_their_day_and_schedules_as_transitions(
    bare: Location, make_domain: MakeDomain
) -> None:
    domain = make_domain(interval=60)
    dispatch.sweep(now=NOW, retention=30 * DAY)
    delete_domain(domain.pk, by=OPERATOR, now=NOW + timedelta(hours=3))
    retention.retain(now=NOW + 30 * DAY + timedelta(hours=5), keep=30 * DAY)
    assert Tick.objects.exists()
    assert PastSchedule.objects.exists()
    retention.retain(now=MIDNIGHT + 32 * DAY, keep=30 * DAY)
    assert not Tick.objects.exists()
    assert PastSchedule.objects.exists()
    retention.retain(now=NOW + retention.TRANSITIONS_KEPT + 4 * HOUR, keep=30 * DAY)
    assert not PastSchedule.objects.exists()


def test_the_ledger_is_balanced_where_a_day_is_dropped_hour_by_hour(bare: Location) -> None:
    kept = [NOW - DAY, NOW]
    for slot in [NOW - DAY - HOUR, *kept]:
        Tick.objects.create(instant=slot, swept_at=NOW, expected=1)
    with HOURLY:
        record(rows(1, bare, NOW - DAY - HOUR, *kept))
    retention.retain(now=NOW + 30 * timedelta(minutes=1), keep=DAY)
    (account,) = accounts(NOW - 2 * DAY, NOW + HOUR)
    assert (account.expected, account.up, account.balanced) == (2, 2, True)


def test_a_pause_is_known_for_as_long_as_anybody_may_ask_for_its_time(
    bare: Location, make_domain: MakeDomain
) -> None:
    domain = make_domain(interval=60)
    down = {"slot": NOW, "to_state": "down", "reason": "timeout"}
    Transition.objects.create(domain=domain, location=bare, **down)

    def change(days: int, **fields: Any) -> None:
        change_domain(domain.pk, fields, by=OPERATOR, now=NOW + days * DAY)

    change(1, enabled=False)
    change(200, locations=["local", "paris"])
    change(900, enabled=True)
    change(950, interval=300)
    now = NOW + 1000 * DAY
    retention.retain(now=now, keep=30 * DAY)
    domain.refresh_from_db()
    found = downtimes.timeline(domain, now - 365 * DAY, now)
    times = reliability(found.parts, start=now - 365 * DAY, end=now)
    assert (times.downtime, times.unseen) == (100 * DAY, 265 * DAY)
    retention.retain(now=NOW + 899 * DAY + retention.TRANSITIONS_KEPT, keep=30 * DAY)
    assert PastSchedule.objects.count() == 2
    retention.retain(now=NOW + 901 * DAY + retention.TRANSITIONS_KEPT, keep=30 * DAY)
    assert PastSchedule.objects.count() == 1
    retention.retain(now=NOW + 960 * DAY + retention.TRANSITIONS_KEPT, keep=30 * DAY)
    assert not PastSchedule.objects.exists()


def test_an_index_that_is_in_somebodys_way_is_left_for_later(bare: Location) -> None:
    record(rows(1, bare, NOW))
    (partition,) = partitions.existing()
    with another_session() as reader:
        reader.execute("SELECT count(*) FROM monitoring_result")
        with pytest.raises(OperationalError):
            partitions.tighten(partition, patience=timedelta(milliseconds=200))
        assert at_once(lambda: record(rows(2, bare, NOW))) == []
    partitions.tighten(partition, patience=timedelta(seconds=30))
    assert partitions.loose(before=NOW + 9 * DAY, most_bytes=2**40) == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
        assert cursor.fetchall() == []


def size(partition: Partition) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(%s)", [f"{partition.name}_pkey"])
        (number,) = cursor.fetchone()
    return int(number)
