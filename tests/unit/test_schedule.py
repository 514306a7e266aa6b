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
    is_due,
    phase,
    slots,
    tick_at,
)

IDS = st.integers(1, 3_000_000_000)
INTERVALS = st.integers(1, 86_400 // TICK_SECONDS).map(lambda ticks: ticks * TICK_SECONDS)
SHORT_INTERVALS = st.integers(1, 120).map(lambda ticks: ticks * TICK_SECONDS)
INSTANTS = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - the strategy adds it
    datetime(2100, 1, 1),  # noqa: DTZ001 - the strategy adds it
    timezones=st.just(UTC),
)


@given(IDS, INTERVALS)
def test_a_phase_is_a_tick_within_the_interval(domain_id: int, interval: int) -> None:
    assert phase(domain_id, interval) in range(0, interval, TICK_SECONDS)


@given(IDS, SHORT_INTERVALS, INSTANTS)
def test_every_domain_is_due_once_in_every_interval(
    domain_id: int, interval: int, now: datetime
) -> None:
    first = tick_at(now)
    ticks = [first + n * TICK for n in range(interval // TICK_SECONDS)]

    assert sum(is_due(domain_id, interval, tick) for tick in ticks) == 1


@given(IDS, SHORT_INTERVALS, INSTANTS, st.integers(0, 3 * 86_400))
def test_slots_are_the_ticks_at_which_a_domain_is_due(
    domain_id: int, interval: int, start: datetime, seconds: int
) -> None:
    end = start + timedelta(seconds=min(seconds, 5 * interval))
    first = tick_at(start)
    ticks = (first + n * TICK for n in range(int((end - first) / TICK) + 2))

    assert list(slots(domain_id, interval, start, end)) == [
        tick for tick in ticks if start <= tick < end and is_due(domain_id, interval, tick)
    ]


@given(IDS, INTERVALS, INSTANTS, INSTANTS, INSTANTS)
def test_a_span_has_the_slots_of_its_parts(
    domain_id: int, interval: int, one: datetime, two: datetime, three: datetime
) -> None:
    start = min(one, two, three)
    middle = min(start + timedelta(days=1), max(one, two))
    end = min(middle + timedelta(days=1), max(one, two, three))

    parts = [*slots(domain_id, interval, start, middle), *slots(domain_id, interval, middle, end)]

    assert parts == list(slots(domain_id, interval, start, end))


@given(IDS, INTERVALS, INSTANTS)
def test_slots_are_one_interval_apart(domain_id: int, interval: int, start: datetime) -> None:
    found = list(slots(domain_id, interval, start, start + timedelta(seconds=4 * interval)))

    assert len(found) == 4
    assert {b - a for a, b in pairwise(found)} == {timedelta(seconds=interval)}
    assert all(slot.tzinfo is UTC and slot == tick_at(slot) for slot in found)


def test_a_span_includes_its_start_and_not_its_end() -> None:
    slot = next(slots(7, 60, datetime(2026, 11, 23, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)))
    minute = timedelta(minutes=1)

    assert list(slots(7, 60, slot, slot + minute)) == [slot]
    assert list(slots(7, 60, slot - minute, slot)) == [slot - minute]
    assert list(slots(7, 60, slot, slot)) == []
    assert list(slots(7, 60, slot + minute, slot)) == []


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
