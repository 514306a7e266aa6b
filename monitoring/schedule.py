"""The schedule: which slots a domain is due at. Pure functions of (id, interval, since, time).

There is no ``next_run`` column and no counter: two processes, or one process twice, come
to the same slots. A schedule holds from an instant, ``since``, until it is changed. Its slots are

- the first tick at or after ``since``: whatever is new is seen at once, however long its
  interval is;
- the regular ones, at the domain's phase: the first of them within one interval after that.

So no gap is ever longer than the interval, and a change takes effect at the next tick.
Instants are aware datetimes; intervals are seconds.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

TICK_SECONDS: Final = 5
TICK: Final = timedelta(seconds=TICK_SECONDS)
CATCH_UP: Final = timedelta(minutes=10)
"""How late a tick is still run; an older one is recorded as missed in bulk."""

_GOLDEN: Final = 2_654_435_761  # the prime nearest to 2**32 divided by the golden ratio (Knuth)

PHASE_SQL: Final = f"""
    (((({{id}} * {_GOLDEN}) %% 4294967296) >> 8) %% ({{interval}} / {TICK_SECONDS}))
    * {TICK_SECONDS}
"""
"""``phase`` as a PostgreSQL expression over bigint columns, with ``%`` doubled for parameters."""


def phase(domain_id: int, interval: int) -> int:
    """Return a domain's offset within its interval, in seconds, a multiple of the tick.

    Multiplicative hashing spreads any run of ids evenly over the interval's ticks.
    ``domain_id`` is below 3.4e9, so that PostgreSQL's bigint does not overflow.
    """
    mixed = ((domain_id * _GOLDEN) % 2**32) >> 8
    return (mixed % (interval // TICK_SECONDS)) * TICK_SECONDS


def tick_at(now: datetime) -> datetime:
    """Return the latest tick at or before ``now``."""
    return datetime.fromtimestamp(now.timestamp() // TICK_SECONDS * TICK_SECONDS, UTC)


def first_tick(since: datetime) -> datetime:
    """Return the first tick at or after ``since``."""
    tick = tick_at(since)
    return tick if tick == since else tick + TICK


def is_due(domain_id: int, interval: int, since: datetime, tick: datetime) -> bool:
    """Return whether ``tick`` is a slot of the schedule that holds from ``since``."""
    first = first_tick(since)
    regular = int(tick.timestamp()) % interval == phase(domain_id, interval)
    return tick == first or (tick > first and regular)


def slots(
    domain_id: int, interval: int, since: datetime, *, start: datetime, end: datetime
) -> Iterator[datetime]:
    """Yield the slots in [start, end) of the schedule that holds from ``since``, in order."""
    first = first_tick(since)
    if start <= first < end:
        yield first
    after = max(start, first + TICK)
    offset = phase(domain_id, interval)
    regular = -(-(after.timestamp() - offset) // interval) * interval + offset
    step = timedelta(seconds=interval)
    slot = datetime.fromtimestamp(regular, UTC)
    while slot < end:
        yield slot
        slot += step


def count_slots(
    interval: int, offset: int, since: datetime, *, start: datetime, end: datetime
) -> int:
    """Return how many slots in [start, end) the schedule has, without naming them.

    Args:
        interval: seconds.
        offset: the domain's phase.
        since: from when the schedule holds.
        start: the first instant.
        end: the instant to stop before.
    """
    first = first_tick(since)
    after = max(start, first + TICK)
    begin = -(-(after.timestamp() - offset) // interval)
    stop = -(-(end.timestamp() - offset) // interval)
    return max(0, int(stop - begin)) + (start <= first < end)
