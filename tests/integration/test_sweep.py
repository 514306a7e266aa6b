"""The sweep against real PostgreSQL: every due slot once, whatever sweeps do."""

import threading
from datetime import datetime, timedelta

import pytest
from django.db import DataError, connection
from django.db.models import F
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django.fixtures import Settings
from structlog.testing import capture_logs

from domains.audit import OPERATOR
from domains.clock import database_now
from domains.models import Domain
from domains.services import change_domain, create_domain, delete_domain
from monitoring import dispatch, gauges, history, partitions, schedule, settling, tasks
from monitoring.models import Batch, Tick
from monitoring.results import Result
from monitoring.schedule import TICK
from tests.conftest import NOW, MakeDomain

RETENTION = timedelta(days=30)


def slots_of(domain: Domain) -> list[datetime]:
    """Every slot of a domain that is in a batch or already a row, with repetitions."""
    planned = list(
        Batch.objects.filter(domain_ids__contains=[domain.pk]).values_list("slot", flat=True)
    )
    missed = list(Result.objects.filter(domain_id=domain.pk).values_list("slot", flat=True))
    return sorted(planned + missed)


def slots(
    domain: Domain, since: datetime, until: datetime, interval: int | None = None
) -> list[datetime]:
    """What a domain is due at in a schedule that held from ``since`` until before ``until``."""
    every = domain.interval if interval is None else interval
    return list(schedule.slots(domain.pk, every, since, start=since, end=until))


def serve(now: datetime) -> None:
    """Be a worker for whom nothing is left to do."""
    Batch.objects.filter(finished_at=None).update(started_at=now, finished_at=now)


def sweep(now: datetime) -> int:
    return dispatch.sweep(now=now, retention=RETENTION)


@given(
    ids=st.lists(st.integers(1, 3_000_000_000), min_size=1, max_size=50),
    interval=st.integers(1, 17_280).map(lambda ticks: ticks * 5),
)
@examples(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_database_and_python_agree_on_the_phase(db: None, ids: list[int], interval: int) -> None:
    expression = schedule.PHASE_SQL.format(id="id", interval="%s::bigint")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {expression} FROM unnest(%s::bigint[]) WITH ORDINALITY AS t(id, n) ORDER BY n",
            [interval, ids],
        )
        found = [phase for (phase,) in cursor.fetchall()]
    assert found == [schedule.phase(domain_id, interval) for domain_id in ids]


def test_each_domain_is_due_once_an_interval(make_domain: MakeDomain) -> None:
    domains = [make_domain(interval=60) for _ in range(30)] + [make_domain(interval=15)]
    sweep(NOW)
    for number in range(1, 24):
        sweep(NOW + number * schedule.TICK)
    end = NOW + 24 * schedule.TICK
    for domain in domains:
        assert slots_of(domain) == slots(domain, NOW, end)


def test_a_batch_carries_its_slot_and_the_instant_after_which_it_is_too_late(
    make_domain: MakeDomain,
) -> None:
    domain = make_domain(interval=5)
    sweep(NOW + timedelta(seconds=1.3))
    batch = Batch.objects.get()
    assert (batch.slot, batch.expires_at) == (NOW, NOW + timedelta(seconds=5))
    assert batch.domain_ids == [domain.pk]


def test_many_domains_are_split_into_batches_of_bounded_size(
    make_domain: MakeDomain, settings: Settings
) -> None:
    size = settings.SENTINEL_BATCH_SIZE = 10
    domains = [make_domain(interval=5) for _ in range(2 * size + 1)]
    sweep(NOW)
    sizes = [len(batch.domain_ids) for batch in Batch.objects.order_by("pk")]
    assert sorted(sizes) == [1, size, size]
    planned = [pk for batch in Batch.objects.all() for pk in batch.domain_ids]
    assert sorted(planned) == [domain.pk for domain in domains]


def test_a_second_sweep_of_the_same_tick_does_nothing(make_domain: MakeDomain) -> None:
    make_domain(interval=5)
    assert sweep(NOW) >= 1
    assert sweep(NOW + timedelta(seconds=1)) == 0
    assert Batch.objects.count() == 1


def test_ticks_that_were_skipped_are_caught_up(make_domain: MakeDomain) -> None:
    domain = make_domain(interval=300)
    sweep(NOW)
    serve(NOW)
    late = NOW + timedelta(seconds=550)
    sweep(late)
    due = slots(domain, NOW, late + schedule.TICK)
    assert slots_of(domain) == due
    in_time = [slot for slot in due if slot + timedelta(seconds=300) > late or slot == NOW]
    assert sorted(batch.slot for batch in Batch.objects.all()) == in_time


def test_a_slot_that_is_caught_up_after_its_interval_is_missed(make_domain: MakeDomain) -> None:
    domain = make_domain(interval=5)
    sweep(NOW)
    serve(NOW)
    sweep(NOW + timedelta(seconds=60))
    missed = Result.objects.filter(domain_id=domain.pk)
    assert {row.slot for row in missed} == {NOW + n * schedule.TICK for n in range(1, 12)}
    assert {(row.state, row.reason) for row in missed} == {("missed", "not_dispatched")}
    assert sorted(batch.slot for batch in Batch.objects.all()) == [NOW, NOW + 12 * schedule.TICK]


@pytest.mark.parametrize("outage", [timedelta(minutes=11), timedelta(hours=2), timedelta(hours=30)])
def test_a_long_outage_becomes_missed_rows_and_the_ledger_adds_up(
    make_domain: MakeDomain, outage: timedelta
) -> None:
    domain = make_domain(interval=60, since=NOW)
    sweep(NOW)
    back = NOW + outage
    for number in range(40):
        sweep(back + number * schedule.TICK)
        if not Tick.objects.filter(expected=None).exists():
            break
    end = back + (number + 1) * schedule.TICK
    assert slots_of(domain) == slots(domain, NOW, end)
    ledger = history.ledger(NOW, end)
    assert ledger.balanced
    assert ledger.expected == len(slots_of(domain))
    assert ledger.missed >= (outage - timedelta(minutes=10)) // timedelta(minutes=1)


def test_slots_older_than_the_retention_are_not_made_up(make_domain: MakeDomain) -> None:
    make_domain(interval=86_400, since=NOW - timedelta(days=90))
    sweep(NOW - timedelta(days=90))
    dispatch.sweep(now=NOW, retention=timedelta(days=3))
    oldest = Tick.objects.filter(instant__gt=NOW - timedelta(days=89)).order_by("instant").first()
    assert oldest is not None
    assert oldest.instant == NOW - timedelta(days=3) + schedule.TICK


def test_a_disabled_domain_is_not_due(make_domain: MakeDomain) -> None:
    make_domain(interval=5, enabled=False)
    sweep(NOW)
    assert not Batch.objects.exists()


def test_slots_before_registration_or_a_new_schedule_are_not_due(make_domain: MakeDomain) -> None:
    domain = make_domain(interval=5, since=NOW + timedelta(seconds=7))
    sweep(NOW)
    sweep(NOW + timedelta(seconds=21))
    assert slots_of(domain) == [NOW + n * schedule.TICK for n in (2, 3, 4)]
    change = NOW + timedelta(seconds=32)
    change_domain(domain.pk, {"interval": 10}, by=OPERATOR, now=change)
    end = NOW + timedelta(seconds=51)
    sweep(end)
    before = [NOW + n * schedule.TICK for n in (2, 3, 4, 5, 6)]
    assert slots_of(domain) == before + slots(domain, change, end, 10)


def test_each_location_has_its_own_slot(make_domain: MakeDomain) -> None:
    make_domain(interval=5, locations=["local", "paris"])
    sweep(NOW)
    assert sorted(Batch.objects.values_list("location__name", flat=True)) == ["local", "paris"]
    assert history.ledger(NOW, NOW + schedule.TICK).expected == 2


def test_the_ledger_counts_pending_slots_until_they_have_a_row(make_domain: MakeDomain) -> None:
    for _ in range(3):
        make_domain(interval=5)
    sweep(NOW)
    ledger = history.ledger(NOW, NOW + schedule.TICK)
    assert (ledger.expected, ledger.pending, ledger.balanced) == (3, 3, True)


def test_a_slot_that_vanished_unbalances_the_ledger(make_domain: MakeDomain) -> None:
    make_domain(interval=5)
    sweep(NOW)
    Batch.objects.update(finished_at=F("slot"))
    assert not history.ledger(NOW, NOW + schedule.TICK).balanced


@pytest.mark.django_db(transaction=True)
def test_sweeps_at_once_plan_each_slot_once() -> None:
    ids = [
        create_domain(
            {"name": f"d{n}", "url": "http://127.0.0.1:1/", "interval": 5},
            by=OPERATOR,
            now=NOW - schedule.TICK,
        ).pk
        for n in range(20)
    ]
    start = threading.Barrier(4)
    ran: list[int] = []

    def one() -> None:
        try:
            start.wait()
            ran.extend(sweep(NOW + number * schedule.TICK) for number in range(12))
        finally:
            connection.close()

    sweep(NOW - schedule.TICK)
    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(ran) == 12
    for pk in ids:
        assert slots_of(Domain(pk=pk)) == [NOW + n * schedule.TICK for n in range(-1, 12)]


def test_what_was_due_before_a_change_stays_due_for_a_late_sweep(make_domain: MakeDomain) -> None:
    changed, paused, deleted = (make_domain(interval=10) for _ in range(3))
    deleted_id = deleted.pk
    sweep(NOW)
    change = NOW + timedelta(seconds=32)
    change_domain(changed.pk, {"interval": 15}, by=OPERATOR, now=change)
    change_domain(paused.pk, {"enabled": False}, by=OPERATOR, now=change)
    delete_domain(deleted_id, by=OPERATOR, now=change)
    end = NOW + timedelta(seconds=121)
    sweep(end)
    expected = {
        changed.pk: [
            *slots(changed, NOW, change, 10),
            *slots(changed, change, end, 15),
        ],
        paused.pk: list(slots(paused, NOW, change, 10)),
        deleted_id: list(slots(Domain(pk=deleted_id), NOW, change, 10)),
    }
    for domain_id, wanted in expected.items():
        assert slots_of(Domain(pk=domain_id)) == wanted
    assert history.ledger(NOW, end).expected == sum(map(len, expected.values()))


def test_a_domain_that_lived_between_two_sweeps_is_accounted_for(make_domain: MakeDomain) -> None:
    make_domain(interval=5)
    sweep(NOW)
    domain = make_domain(interval=5, since=NOW + timedelta(seconds=1), locations=["brief"])
    domain_id = domain.pk
    delete_domain(domain_id, by=OPERATOR, now=NOW + timedelta(seconds=11))
    sweep(NOW + timedelta(seconds=60))
    assert slots_of(Domain(pk=domain_id)) == [NOW + schedule.TICK, NOW + 2 * schedule.TICK]


@pytest.mark.django_db(transaction=True)
def test_the_ledger_balances_while_domains_come_and_go() -> None:
    stop = threading.Event()
    errors: list[Exception] = []

    def register_and_delete() -> None:
        try:
            while not stop.is_set():
                fields = {"name": "brief", "url": "http://127.0.0.1:1/", "interval": 5}
                brief = create_domain(fields, by=OPERATOR, now=NOW - schedule.TICK)
                delete_domain(brief.pk, by=OPERATOR, now=NOW + timedelta(hours=1))
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=register_and_delete) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(60):
            sweep(NOW + number * schedule.TICK)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    ledger = history.ledger(NOW, NOW + timedelta(minutes=5))
    assert ledger.balanced, ledger
    assert ledger.expected > 0


def test_a_change_under_a_clock_set_back_takes_no_slot_twice(make_domain: MakeDomain) -> None:
    domain = make_domain(interval=5)
    sweep(NOW)
    change_domain(domain.pk, {"interval": 10}, by=OPERATOR, now=NOW + timedelta(seconds=7))
    change_domain(domain.pk, {"interval": 5}, by=OPERATOR, now=NOW + timedelta(seconds=3))
    sweep(NOW + timedelta(seconds=20))
    assert slots_of(domain) == [NOW + n * schedule.TICK for n in range(5)]


def test_a_change_that_a_sweep_has_overtaken_begins_after_it(make_domain: MakeDomain) -> None:
    """Registered before the tick, stored after its sweep: the first check comes one tick later."""
    sweep(NOW)
    domain = make_domain(interval=86_400, since=NOW - timedelta(seconds=1))
    sweep(NOW + schedule.TICK)
    assert slots_of(domain) == [NOW + schedule.TICK]


def test_another_name_is_no_new_schedule(make_domain: MakeDomain) -> None:
    domain = make_domain(interval=86_400)
    sweep(NOW)
    change_domain(domain.pk, {"name": "another"}, by=OPERATOR, now=NOW + timedelta(seconds=6))
    sweep(NOW + timedelta(seconds=20))
    assert slots_of(domain) == [NOW]


def test_the_partition_of_today_is_made_by_the_sweep_itself(db: None) -> None:
    """After days off, and just after midnight: yesterday's and tomorrow's alone are no use."""
    midnight = NOW.replace(hour=0)
    create_domain(
        {"name": "d", "url": "http://127.0.0.1:1/", "interval": 5}, by=OPERATOR, now=midnight - TICK
    )
    sweep(midnight - TICK)
    after_days = midnight + timedelta(days=9, minutes=3)
    for partition in partitions.existing():
        partitions.drop(partition, patience=timedelta(seconds=1))
    sweep(after_days)
    assert Result.objects.filter(slot__gte=after_days - timedelta(minutes=3)).exists()


def test_a_database_clock_that_was_put_back_is_told_of(make_domain: MakeDomain) -> None:
    make_domain()
    sweep(NOW + timedelta(hours=1))
    with capture_logs() as logs:
        sweep(NOW)
    assert [each["until"] for each in logs] == [NOW + timedelta(hours=1)]
    assert gauges.seconds_since_tick(now=NOW) == 3600


def test_locations_are_given_numbers_as_long_as_results_have_room_for_them(
    make_domain: MakeDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "MOST_LOCATIONS", 1)
    make_domain(interval=5)
    sweep(NOW)
    make_domain(interval=5, locations=["paris"])
    with capture_logs() as logs:
        sweep(NOW + TICK)
    assert [each["locations"] for each in logs] == [["paris"]]
    assert Batch.objects.filter(slot=NOW + TICK).count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_settled_keeps_nobody_from_being_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*, now: datetime) -> int:
        raise DataError("smallint out of range")

    monkeypatch.setattr(settling, "settle", refuse)
    domain = create_domain(
        {"name": "d", "url": "http://127.0.0.1:1/", "interval": 5},
        by=OPERATOR,
        now=database_now() - timedelta(seconds=30),
    )
    with capture_logs() as logs:
        tasks.sweep()
    assert Batch.objects.filter(domain_ids__contains=[domain.pk]).exists()
    assert "what is overdue cannot be settled" in [each["event"] for each in logs]
