"""The schedule: which slots a domain is due at. Pure functions of (id, interval, time).

There is no ``next_run`` column and no counter: two processes, or one process twice, come
to the same slots. Instants are aware datetimes; intervals are seconds.
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


def is_due(domain_id: int, interval: int, tick: datetime) -> bool:
    """Return whether ``tick`` is a slot of the domain."""
    return (int(tick.timestamp()) - phase(domain_id, interval)) % interval == 0


def slots(domain_id: int, interval: int, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the domain's slots in [start, end), in order."""
    offset = phase(domain_id, interval)
    first = -(-(start.timestamp() - offset) // interval) * interval + offset
    step = timedelta(seconds=interval)
    slot = datetime.fromtimestamp(first, UTC)
    while slot < end:
        yield slot
        slot += step
