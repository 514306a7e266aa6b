"""The schedule: pure functions of id, interval and time."""

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.schedule import (
    TICK,
    TICK_SECONDS,
    count_slots,
    first_tick,
    is_due,
    phase,
    slots,
    tick_at,
)

IDS = st.integers(1, 3_000_000_000)
INTERVALS = st.integers(1, 86_400 // TICK_SECONDS).map(lambda ticks: ticks * TICK_SECONDS)
SHORT_INTERVALS = st.integers(1, 120).map(lambda ticks: ticks * TICK_SECONDS)
DAY = timedelta(days=1)
MIDDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
INSTANTS = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - the strategy adds it
    datetime(2100, 1, 1),  # noqa: DTZ001 - the strategy adds it
    timezones=st.just(UTC),
)


@given(IDS, INTERVALS)
def test_a_phase_is_a_tick_within_the_interval(domain_id: int, interval: int) -> None:
    assert phase(domain_id, interval) in range(0, interval, TICK_SECONDS)


@given(IDS, SHORT_INTERVALS, INSTANTS, st.integers(1, 1000))
def test_after_its_start_a_domain_is_due_once_in_every_interval(
    domain_id: int, interval: int, since: datetime, later: int
) -> None:
    first = first_tick(since) + later * TICK
    ticks = [first + n * TICK for n in range(interval // TICK_SECONDS)]

    assert sum(is_due(domain_id, interval, since, tick) for tick in ticks) == 1


@given(IDS, INTERVALS, INSTANTS)
def test_what_is_new_is_due_at_the_next_tick_and_never_before(
    domain_id: int, interval: int, since: datetime
) -> None:
    first = next(slots(domain_id, interval, since, start=since - DAY, end=since + DAY))

    assert timedelta(0) <= first - since < TICK
    assert not is_due(domain_id, interval, since, first - timedelta(seconds=interval))


@given(IDS, SHORT_INTERVALS, INSTANTS, st.integers(-600, 600), st.integers(0, 3600))
def test_slots_are_the_ticks_at_which_a_domain_is_due(
    domain_id: int, interval: int, since: datetime, ahead: int, seconds: int
) -> None:
    start = since + timedelta(seconds=ahead)
    end = start + timedelta(seconds=seconds)
    first = tick_at(start)
    ticks = (first + n * TICK for n in range(int((end - first) / TICK) + 2))

    assert list(slots(domain_id, interval, since, start=start, end=end)) == [
        tick for tick in ticks if start <= tick < end and is_due(domain_id, interval, since, tick)
    ]


@given(IDS, INTERVALS, INSTANTS, st.lists(st.floats(-1e5, 2e5), min_size=3, max_size=3))
def test_a_span_has_the_slots_of_its_parts(
    domain_id: int, interval: int, since: datetime, offsets: list[float]
) -> None:
    start, middle, end = (since + timedelta(seconds=each) for each in sorted(offsets))

    parts = [
        *slots(domain_id, interval, since, start=start, end=middle),
        *slots(domain_id, interval, since, start=middle, end=end),
    ]

    assert parts == list(slots(domain_id, interval, since, start=start, end=end))


@given(IDS, INTERVALS, INSTANTS)
def test_slots_are_one_interval_apart_and_the_first_two_no_more(
    domain_id: int, interval: int, since: datetime
) -> None:
    step = timedelta(seconds=interval)
    first, second, *rest = slots(domain_id, interval, since, start=since, end=since + 5 * step)

    assert TICK <= second - first <= step
    assert {b - a for a, b in pairwise([second, *rest])} == {step}
    assert all(slot.tzinfo is UTC and slot == tick_at(slot) for slot in [first, second, *rest])


@given(IDS, INSTANTS, st.lists(st.tuples(SHORT_INTERVALS, st.integers(1, 10**9)), min_size=1))
def test_schedules_that_follow_each_other_share_no_slot_and_leave_no_gap(
    domain_id: int, since: datetime, changes: list[tuple[int, int]]
) -> None:
    """Whatever is changed how often: a tick is a slot once, and a new interval counts at once."""
    found = []
    for interval, microseconds in changes:
        until = since + timedelta(microseconds=microseconds)
        of_this = list(slots(domain_id, interval, since, start=since, end=until))
        assert bool(of_this) == (first_tick(since) < until)
        edges = [*of_this, until]
        assert all(b - a <= timedelta(seconds=interval) for a, b in pairwise(edges))
        found += of_this
        since = until
    assert len(set(found)) == len(found)
    assert found == sorted(found)


def test_a_span_includes_its_start_and_not_its_end() -> None:
    since = datetime(2026, 11, 23, tzinfo=UTC)
    *_, slot = slots(7, 60, since, start=since, end=since + DAY)
    minute = timedelta(minutes=1)

    def found(start: datetime, end: datetime) -> list[datetime]:
        return list(slots(7, 60, since, start=start, end=end))

    assert found(slot, slot + minute) == [slot]
    assert found(slot - minute, slot) == [slot - minute]
    assert found(slot, slot) == []
    assert found(slot + minute, slot) == []


@given(INSTANTS, st.integers(-23, 23))
def test_the_tick_of_an_instant_is_the_latest_one(now: datetime, hours: int) -> None:
    tick = tick_at(now.astimezone(timezone(timedelta(hours=hours))))

    assert tick.tzinfo is UTC
    assert timedelta(0) <= now - tick < TICK
    assert tick.timestamp() % TICK_SECONDS == 0
    assert tick_at(tick) == tick


@pytest.mark.parametrize("first", [1, 5000, 123_456_789])
@pytest.mark.parametrize(("interval", "tolerance"), [(5, 0), (60, 0.05), (300, 0.15)])
def test_ids_in_a_row_fill_the_ticks_evenly(first: int, interval: int, tolerance: float) -> None:
    counts = Counter(phase(domain_id, interval) for domain_id in range(first, first + 10_000))
    even = 10_000 / (interval // TICK_SECONDS)

    assert len(counts) == interval // TICK_SECONDS
    assert max(abs(count - even) for count in counts.values()) <= tolerance * even


@pytest.mark.parametrize("step", [2, 3, 7, 10, 12, 16, 60, 64, 100, 256, 1000])
def test_ids_with_a_step_between_them_are_spread_too(step: int) -> None:
    """Deleted neighbours or several importers leave ids that share a factor."""
    counts = Counter(phase(domain_id, 60) for domain_id in range(1, 10_000 * step, step))

    assert len(counts) == 12
    assert max(counts.values()) < 1.25 * 10_000 / 12


def test_the_phase_of_an_id_never_changes() -> None:
    """Stored slots were reckoned with it: another hash would shift every domain."""
    assert [phase(domain_id, 60) for domain_id in (1, 2, 3, 1000, 3_000_000_000)] == [
        5,
        55,
        5,
        55,
        50,
    ]


@given(IDS, INTERVALS, st.integers(-4000, 4000), st.integers(-4000, 4000), st.integers(0, 9000))
def test_slots_are_counted_as_they_are_named(
    domain_id: int, interval: int, since: int, start: int, length: int
) -> None:
    moment = MIDDAY + timedelta(seconds=since, microseconds=since % 3)
    begin = MIDDAY + timedelta(seconds=start)
    end = begin + timedelta(seconds=length)
    named = list(slots(domain_id, interval, moment, start=begin, end=end))
    assert count_slots(interval, phase(domain_id, interval), moment, start=begin, end=end) == len(
        named
    )
