"""Roll-ups against real PostgreSQL: whole, once, with late rows, and read as what they are of."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from domains.audit import OPERATOR
from domains.services import delete_domain
from monitoring import (
    bereft,
    bucket_partitions,
    closing,
    partitions,
    retention,
    rolling,
    rollups,
    samples,
)
from monitoring.bucket_partitions import DAYS
from monitoring.buckets import DayBucket, FineBucket, HourBucket, LateSlots, Rolled
from monitoring.ledger import Row
from monitoring.models import Batch, Location, Tick
from monitoring.packing import Kind
from monitoring.probes.outcome import Outcome, Phases
from monitoring.probes.states import Reason, State
from monitoring.recording import record
from monitoring.results import Result
from monitoring.tallies import PHASES, Tally
from tests.conftest import NOW, MakeDomain

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MIDNIGHT = NOW.replace(hour=0)
SHARES = {"p50_us": 0.5, "p90_us": 0.9, "p95_us": 0.95, "p99_us": 0.99, "max_us": 1.0}


@pytest.fixture
def location(db: None) -> Location:
    return Location.objects.create(name="local")


def tick(start: datetime, end: datetime) -> None:
    """Have every tick of a span run, and the one at its end."""
    first = int(start.timestamp())
    Tick.objects.bulk_create(
        Tick(instant=datetime.fromtimestamp(seconds, UTC), swept_at=NOW, expected=0)
        for seconds in range(first, int(end.timestamp()) + 1, 300)
    )


def store(
    domain_id: int,
    location: Location,
    slots: Sequence[datetime],
    *,
    state: State = State.UP,
    reason: Reason | None = None,
    kind: Kind = Kind.SCHEDULED,
    us: Sequence[int | None] | None = None,
) -> None:
    """Record a result a slot; its phases and total are ``us``, or by chance."""
    chance = random.Random(domain_id)
    rows = []
    for slot in slots:
        *phases, total = us or [int(chance.lognormvariate(9, 1)) for _ in PHASES]
        outcome = Outcome(state=state, reason=reason, phases=Phases(*phases), total_us=total or 0)
        rows.append(
            Row(
                domain_id=domain_id,
                location_id=location.pk,
                slot=slot,
                kind=kind,
                started_at=None if state is State.MISSED else slot,
                outcome=outcome,
            )
        )
    for first in range(0, len(rows), 2000):
        record(rows[first : first + 2000])


def slots(start: datetime, end: datetime, step: timedelta = MINUTE) -> list[datetime]:
    return [start + number * step for number in range((end - start) // step)]


def roll(now: datetime) -> None:
    while rolling.roll_up(now=now, seconds=5):
        pass


def stored() -> list[Any]:
    return [
        list(model.objects.order_by("domain_id", "start", "location_id").values_list())
        for model in (FineBucket, HourBucket, DayBucket)
    ]


def truth(domain_id: int, start: datetime, end: datetime) -> list[Result]:
    return list(
        Result.objects.filter(
            domain_id=domain_id, slot__gte=start, slot__lt=end, kind="scheduled"
        ).order_by("slot")
    )


def assert_is(span: rollups.Span, rows: Sequence[Result]) -> None:
    """Compare a span with its raw rows: counts and sums exact, percentiles within 2 %."""
    states = Counter(row.state for row in rows)
    assert {name: getattr(span, name) for name in states} == dict(states)
    assert span.expected == len(rows)
    reasons = Counter((row.state, row.reason) for row in rows if row.reason)
    assert dict(span.reasons) == dict(reasons)
    reached = [row for row in rows if row.state in {"up", "degraded"}]
    for phase in PHASES:
        values = sorted(
            value for row in reached if (value := getattr(row, f"{phase}_us")) is not None
        )
        found = span.phases.get(phase)
        assert (found is None) == (not values), phase
        if found is None:
            continue
        total = span.sums[PHASES.index(phase)]
        assert (found["count"], total) == (len(values), sum(values))
        for name, share in SHARES.items():
            exact = values[ceil(share * len(values)) - 1]
            assert abs(dict(found)[name] - exact) * 100 <= 2 * exact, (phase, name)
            if phase == "total":
                assert abs(getattr(span, name) - exact) * 100 <= 2 * exact


def test_an_hour_is_rolled_up_once_it_is_closed(
    make_domain: MakeDomain, location: Location
) -> None:
    start = NOW - 2 * HOUR
    quiet, noisy, deaf = make_domain(), make_domain(), make_domain()
    store(quiet.pk, location, slots(start, start + HOUR))
    store(
        noisy.pk, location, slots(start, start + 30 * MINUTE), us=[None, 0, None, 5, 60_000_000, 9]
    )
    store(
        noisy.pk, location, slots(start + 30 * MINUTE, NOW), state=State.DOWN, reason=Reason.TIMEOUT
    )
    store(
        deaf.pk, location, slots(start, NOW), state=State.MISSED, reason=Reason.LATE, us=[None] * 6
    )
    store(deaf.pk, Location.objects.create(name="paris"), slots(start, NOW))
    tick(start, NOW)
    roll(start + HOUR + closing.PATIENCE - timedelta(microseconds=1))
    assert not HourBucket.objects.exists()
    roll(start + HOUR + closing.PATIENCE)
    assert set(HourBucket.objects.values_list("start", flat=True)) == {start}
    assert HourBucket.objects.count() == FineBucket.objects.count() == 4
    for domain in (quiet, noisy, deaf):
        Result.objects.filter(domain_id=domain.pk, slot__gte=start + HOUR).delete()
        rows = truth(domain.pk, start, start + HOUR)
        assert_is(rollups.span(domain.pk, start, start + HOUR), rows)
        for step in (5 * MINUTE, 15 * MINUTE, HOUR):
            buckets = rollups.series(domain.pk, start, start + HOUR, step)
            assert len(buckets) == HOUR // step
            for bucket in buckets:
                assert_is(bucket, truth(domain.pk, bucket.start, bucket.end))
    only = rollups.series(deaf.pk, start, start + HOUR, HOUR, location_ids=[location.pk])
    assert (only[0].missed, only[0].up) == (60, 0)


def test_rolling_up_again_changes_nothing(make_domain: MakeDomain, location: Location) -> None:
    for _ in range(3):
        store(make_domain().pk, location, slots(MIDNIGHT, MIDNIGHT + DAY, 20 * MINUTE))
    tick(MIDNIGHT, MIDNIGHT + DAY)
    now = MIDNIGHT + DAY + HOUR
    roll(now)
    before = stored()
    assert [len(rows) for rows in before] == [72, 72, 3]
    assert list(Rolled.objects.values_list("level", "next_domain_id")) == [("day", None)]
    roll(now)
    assert stored() == before
    Rolled.objects.all().delete()
    roll(now)
    assert stored() == before


def test_after_an_outage_every_hour_and_day_is_caught_up_with(
    make_domain: MakeDomain, location: Location
) -> None:
    domain = make_domain()
    begin, end = MIDNIGHT - 3 * DAY + 5 * HOUR, MIDNIGHT + 7 * HOUR + 20 * MINUTE
    store(domain.pk, location, slots(begin, end, 5 * MINUTE))
    tick(begin, end)
    roll(end)
    assert HourBucket.objects.count() == 3 * 24 + 2
    assert DayBucket.objects.count() == 3
    days = rollups.series(domain.pk, begin, end, DAY)
    assert [bucket.expected for bucket in days] == [19 * 12, 288, 288, 7 * 12 + 4]
    for bucket in days:
        assert_is(bucket, truth(domain.pk, bucket.start, bucket.end))


def test_a_tick_that_has_not_run_holds_its_hour_back_but_no_other(
    make_domain: MakeDomain, location: Location
) -> None:
    domain = make_domain()
    start = MIDNIGHT
    store(domain.pk, location, slots(start, start + 3 * HOUR))
    tick(start, start + 3 * HOUR)
    Tick.objects.filter(instant=start + HOUR).update(expected=None)
    roll(start + 4 * HOUR)
    done = [start, start + 2 * HOUR]
    assert list(HourBucket.objects.order_by("start").values_list("start", flat=True)) == done
    assert closing.oldest_waiting() == start + HOUR
    assert_is(
        rollups.span(domain.pk, start, start + 3 * HOUR),
        truth(domain.pk, start, start + 3 * HOUR),
    )
    Tick.objects.filter(instant=start + HOUR).update(expected=0)
    roll(start + 4 * HOUR)
    assert HourBucket.objects.count() == 3
    # The hour that has just ended still waits for its time.
    assert closing.oldest_waiting() == start + 3 * HOUR


def test_rows_of_a_batch_that_was_not_finished_are_added_later(
    make_domain: MakeDomain, location: Location
) -> None:
    domain, other = make_domain(), make_domain()
    store(domain.pk, location, slots(MIDNIGHT, MIDNIGHT + DAY - MINUTE))
    store(other.pk, location, slots(MIDNIGHT, MIDNIGHT + DAY))
    late = MIDNIGHT + DAY - MINUTE
    batch = Batch.objects.create(
        kind="scheduled", location=location, slot=late, expires_at=NOW + DAY, domain_ids=[domain.pk]
    )
    tick(MIDNIGHT, MIDNIGHT + DAY)
    roll(MIDNIGHT + DAY + HOUR)
    assert DayBucket.objects.get(domain=domain).up == 24 * 60 - 1
    store(domain.pk, location, [late], state=State.DOWN, reason=Reason.CLOSED)
    roll(MIDNIGHT + DAY + HOUR)
    assert DayBucket.objects.get(domain=domain).down == 0
    batch.finished_at = NOW
    batch.save()
    roll(MIDNIGHT + DAY + HOUR)
    assert (DayBucket.objects.get(domain=domain).down, LateSlots.objects.count()) == (1, 0)
    for step in (5 * MINUTE, HOUR, DAY):
        assert rollups.series(domain.pk, late, MIDNIGHT + DAY, step)[-1].down == 1


def test_rows_without_a_batch_are_added_when_they_are_announced(
    make_domain: MakeDomain, location: Location
) -> None:
    domain = make_domain()
    store(domain.pk, location, [MIDNIGHT])
    tick(MIDNIGHT, MIDNIGHT + HOUR)
    roll(MIDNIGHT + 2 * HOUR)
    with transaction.atomic():
        store(domain.pk, location, [MIDNIGHT + MINUTE])
        closing.note_late([(domain.pk, MIDNIGHT + MINUTE)])
    roll(MIDNIGHT + 2 * HOUR)
    assert HourBucket.objects.get().up == 2
    assert not LateSlots.objects.exists()


def test_nothing_is_replaced_where_the_raw_rows_are_gone(
    make_domain: MakeDomain, location: Location
) -> None:
    domain = make_domain()
    store(domain.pk, location, [MIDNIGHT])
    tick(MIDNIGHT, MIDNIGHT + HOUR)
    roll(MIDNIGHT + 2 * HOUR)
    before = stored()
    closing.note_late([(domain.pk, MIDNIGHT)])
    Result.objects.all().delete()
    roll(MIDNIGHT + 2 * HOUR)
    assert stored() == before
    assert rollups.span(domain.pk, MIDNIGHT, MIDNIGHT + HOUR).up == 1


def test_any_span_is_what_its_raw_rows_are(make_domain: MakeDomain, location: Location) -> None:
    """Days, hours, 5 minutes and raw rows at the edges: each slot counts once."""
    domain = make_domain()
    begin, end = MIDNIGHT - DAY, MIDNIGHT + 9 * HOUR
    store(domain.pk, location, slots(begin, end, 7 * MINUTE))
    tick(begin, end)
    roll(end)
    rows = truth(domain.pk, begin, end)
    chance = random.Random(4)
    for _ in range(40):
        start, stop = sorted(begin + timedelta(seconds=chance.randrange(33 * 3600)) for _ in "ab")
        within = [row for row in rows if start <= row.slot < stop]
        assert_is(rollups.span(domain.pk, start, stop), within)
    for step in (5 * MINUTE, 35 * MINUTE, HOUR, 6 * HOUR, DAY):
        for bucket in rollups.series(domain.pk, begin + 13 * MINUTE, end - 4 * MINUTE, step):
            assert_is(bucket, [row for row in rows if bucket.start <= row.slot < bucket.end])


def test_a_step_that_no_bucket_fits_is_refused(db: None) -> None:
    for step in (2 * MINUTE, 7 * MINUTE, timedelta(0), -HOUR):
        with pytest.raises(ValueError, match="multiple of 5 minutes"):
            rollups.series(1, NOW - DAY, NOW, step)
    with pytest.raises(ValueError, match="longer step"):
        rollups.series(1, NOW - 40 * DAY, NOW, 5 * MINUTE)
    assert rollups.series(1, NOW, NOW, HOUR) == []


def test_reading_asks_the_same_however_long_the_span(
    make_domain: MakeDomain, location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = make_domain()
    begin, end = MIDNIGHT - 5 * DAY, MIDNIGHT + 9 * HOUR + 22 * MINUTE
    store(domain.pk, location, slots(begin, end, 30 * MINUTE))
    tick(begin, end)
    roll(end)
    asked: list[Any] = []
    execute = psycopg.Cursor.execute

    def count(cursor: Any, statement: Any, *values: Any, **options: Any) -> Any:
        asked.append(statement)
        return execute(cursor, statement, *values, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", count)
    counts = set()
    for days in (2, 3, 4):
        asked.clear()
        rollups.span(domain.pk, end - days * DAY - 63 * MINUTE, end)
        counts.add(len(asked))
    # What is rolled up, buckets of all lengths at once, raw rows at either edge.
    assert counts == {4}


def test_raw_rows_are_read_by_their_key_in_their_partition(
    make_domain: MakeDomain, location: Location
) -> None:
    domain = make_domain()
    partitions.ensure([MIDNIGHT - DAY, MIDNIGHT, MIDNIGHT + DAY])
    for domain_id in range(domain.pk, domain.pk + 200):
        store(domain_id, location, slots(MIDNIGHT, MIDNIGHT + DAY, 2 * HOUR), us=[None] * 5 + [9])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        values: dict[str, Any] = {
            "domains": [domain.pk],
            "begins": [MIDNIGHT, MIDNIGHT + 50 * MINUTE],
            "ends": [MIDNIGHT + MINUTE, MIDNIGHT + HOUR],
            "first": MIDNIGHT,
            "last": MIDNIGHT + HOUR,
            "seconds": 300,
        }
        cursor.execute(f"EXPLAIN {samples._READ.format(number=samples._BY_SECONDS)}", values)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert not [line for line in plan.splitlines() if "Seq Scan" in line and "result" in line]
    assert f"{MIDNIGHT:%Y%m%d}_pkey" in plan
    assert f"{MIDNIGHT - DAY:%Y%m%d}" not in plan
    assert f"{MIDNIGHT + DAY:%Y%m%d}" not in plan


def test_manual_checks_are_not_counted(make_domain: MakeDomain, location: Location) -> None:
    domain = make_domain()
    store(domain.pk, location, [MIDNIGHT])
    manual = slots(MIDNIGHT + MINUTE, MIDNIGHT + HOUR)
    store(domain.pk, location, manual, kind=Kind.MANUAL)
    tick(MIDNIGHT, MIDNIGHT + HOUR)
    roll(MIDNIGHT + 2 * HOUR)
    assert HourBucket.objects.get().up == 1


def test_a_piece_is_bounded_and_the_next_goes_on(
    make_domain: MakeDomain, location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "PIECE_DOMAINS", 2)
    for _ in range(5):
        store(make_domain().pk, location, [MIDNIGHT])
    tick(MIDNIGHT, MIDNIGHT + HOUR)
    done = []
    while rolling.roll_up(now=MIDNIGHT + 2 * HOUR, seconds=0):
        done.append(HourBucket.objects.count())
    assert done == [0, 2, 4, 5, 5]


def test_days_of_a_deleted_domain_go_behind_its_deletion(
    make_domain: MakeDomain, location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PIECES", 1)
    going, staying = make_domain(), make_domain()
    for domain in (going, staying):
        store(domain.pk, location, slots(MIDNIGHT, MIDNIGHT + DAY, HOUR))
    tick(MIDNIGHT, MIDNIGHT + DAY)
    roll(MIDNIGHT + DAY + HOUR)
    with CaptureQueriesContext(connection) as queries:
        delete_domain(going.pk, by=OPERATOR, now=NOW)
    # Sweeps wait for it: of a year there are hundreds of rows for each of a thousand domains.
    assert not [query for query in queries if "monitoring_daybucket" in query["sql"]]
    closing.note_late([(going.pk, MIDNIGHT), (staying.pk, MIDNIGHT)])
    roll(MIDNIGHT + DAY + HOUR)
    retention.retain(now=NOW, keep=30 * DAY)
    assert list(DayBucket.objects.values_list("domain_id", flat=True)) == [staying.pk]


def test_days_of_deleted_domains_go_in_lots_whatever_year_they_are_of(
    make_domain: MakeDomain, location: Location
) -> None:
    staying = [make_domain().pk for _ in range(3)]
    gone = [staying[-1] + more for more in range(1, 40)]
    days = [MIDNIGHT + year * 366 * DAY + number * DAY for year in (0, 1) for number in range(5)]
    for day in days:
        bucket_partitions.ensure(DAYS, day)
        buckets = [rolling._Bucket(pk, location.pk, Tally()) for pk in (*gone, *staying)]
        rolling._store(DAYS, day, buckets)
    for piece in range(4):
        while deleted := bereft.forget_days(piece=piece, pieces=4, seconds=0):
            assert deleted == len(days)  # of one domain, then the time is over
    assert set(DayBucket.objects.values_list("domain_id", flat=True)) == set(staying)


def test_buckets_are_dropped_when_they_are_older_than_they_are_kept(
    make_domain: MakeDomain, location: Location
) -> None:
    domain = make_domain()
    old = datetime(2024, 10, 31, tzinfo=UTC)
    for start in (old, MIDNIGHT - 91 * DAY, MIDNIGHT - 90 * DAY, MIDNIGHT):
        store(domain.pk, location, [start])
        rolling._roll_hour([domain.pk], start)
        rolling._roll_day([domain.pk], start)
    closing.note_late([(domain.pk, MIDNIGHT - 40 * DAY), (domain.pk, MIDNIGHT)])
    rolling.retain(now=NOW, raw_kept=30 * DAY)
    assert FineBucket.objects.count() == 2
    assert HourBucket.objects.count() == 3
    assert DayBucket.objects.count() == 4
    assert LateSlots.objects.get().start == MIDNIGHT
    assert rollups.span(domain.pk, old, old + DAY).up == 1


def test_raw_rows_are_kept_until_they_are_rolled_up(
    make_domain: MakeDomain, location: Location
) -> None:
    keep = 30 * DAY
    assert rolling.raw_needed(now=NOW, keep=keep) == keep
    tick(MIDNIGHT - 32 * DAY + HOUR, MIDNIGHT - 32 * DAY + 3 * HOUR)
    assert rolling.raw_needed(now=NOW, keep=keep) == NOW - (MIDNIGHT - 32 * DAY)
    assert rolling.raw_needed(now=NOW + 9 * DAY, keep=keep) == keep + rolling.RAW_PATIENCE
