"""Counts and percentiles over spans, from the coarsest buckets that fit and raw rows at the edges.

Percentiles come of merged sketches: at most 2 % off, however long the span. Only where all of
it is read from raw rows are they exact. An edge that cuts a bucket whose finer ones are no
longer kept is left out: the least that remains is whole hours after 90 days, and whole days
after two years.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Final

from django.db import connection

from monitoring import samples
from monitoring.bucket_partitions import DAYS, FINE, HOURS
from monitoring.fine import FIVE_MINUTES, Checks, five_minutes, unpack_hour
from monitoring.probes.states import State
from monitoring.tallies import PHASES, Tally

_FIVE: Final = timedelta(seconds=FIVE_MINUTES)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_SHARES: Final = (0.5, 0.9, 0.95, 0.99, 1.0)

MOST_BUCKETS: Final = 10_000
"""How many buckets one series has at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long one phase took where it was reached, in microseconds."""

    count: int
    sum_us: int
    p50_us: int
    p90_us: int
    p95_us: int
    p99_us: int
    max_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What became of a domain's scheduled slots with start <= slot < end.

    Latencies are of the checks that found the target up or degraded, in microseconds;
    ``p50_us`` to ``max_us`` are of ``total_us``, null where there were none. ``phases`` has
    each phase that was reached, ``reasons`` each state and reason with its count.
    """

    start: datetime
    end: datetime
    up: int
    degraded: int
    down: int
    internal: int
    missed: int
    p50_us: int | None
    p90_us: int | None
    p95_us: int | None
    p99_us: int | None
    max_us: int | None = None
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)
    phases: Mapping[str, Latency] = field(default_factory=dict)

    @property
    def expected(self) -> int:
        """How many slots have their row."""
        return self.up + self.degraded + self.down + self.internal + self.missed

    @property
    def observed(self) -> int:
        """How many checks saw the target."""
        return self.up + self.degraded + self.down

    @property
    def uptime(self) -> float | None:
        """The share of the observed checks that found it up or degraded; null if none did look."""
        return (self.up + self.degraded) / self.observed if self.observed else None

    @property
    def coverage(self) -> float | None:
        """The share of the expected slots that were observed; null if none was due."""
        return self.observed / self.expected if self.expected else None


@dataclass(slots=True)
class _Sources:
    """Where a span is read from: the starts of whole buckets, and stretches of raw rows."""

    days: list[datetime] = field(default_factory=list)
    hours: list[datetime] = field(default_factory=list)
    fives: set[datetime] = field(default_factory=set)
    raw: list[tuple[datetime, datetime]] = field(default_factory=list)


def span(domain_id: int, start: datetime, end: datetime, *, location_id: int | None = None) -> Span:
    """Return the counts and percentiles of one domain over a span.

    Args:
        domain_id: whose.
        start: the first instant.
        end: the instant to stop before.
        location_id: None for all locations together.
    """
    sources = _sources(start, end, coarsest=_DAY)
    whole = Tally()
    totals: list[int] = []
    for _, tally in _buckets(domain_id, sources, location_id):
        whole.add(tally)
    for checks in _raw(domain_id, sources, location_id):
        totals += checks.totals()
        for _, tally in five_minutes(checks):
            whole.add(tally)
    exact = not (sources.days or sources.hours or sources.fives)
    return _span(start, end, whole, sorted(totals) if exact else None)


def spans(
    domain_id: int,
    windows: Sequence[tuple[datetime, datetime]],
    *,
    location_id: int | None = None,
) -> list[Span]:
    """Return the counts and percentiles of several spans, in their order, as ``span`` does each.

    What they share is read once: they are cut at each other's edges, and put together again.
    """
    edges = sorted({edge.astimezone(UTC) for window in windows for edge in window})
    if not edges:
        return []
    rolled = _rolled(edges[0], edges[-1])
    merged = _Sources()
    tallies = [Tally() for _ in edges]
    totals: list[list[int]] = [[] for _ in edges]
    exact = [True for _ in edges]
    for place, (first, last) in enumerate(pairwise(edges)):
        if not any(start <= first and last <= end for start, end in windows):
            continue
        part = _sources(first, last, coarsest=_DAY, rolled=rolled)
        exact[place] = not (part.days or part.hours or part.fives)
        merged.days += part.days
        merged.hours += part.hours
        merged.fives |= part.fives
        merged.raw += part.raw
    for at, tally in _buckets(domain_id, merged, location_id):
        tallies[bisect_right(edges, at) - 1].add(tally)
    for start, end in merged.raw:
        place = bisect_right(edges, start) - 1
        for checks in _raw(domain_id, _Sources(raw=[(start, end)]), location_id):
            totals[place] += checks.totals()
            for _, tally in five_minutes(checks):
                tallies[place].add(tally)
    found = []
    for start, end in windows:
        whole, plain, is_exact = Tally(), list[int](), True
        for place in range(bisect_left(edges, start), bisect_left(edges, end)):
            whole.add(tallies[place])
            plain += totals[place]
            is_exact &= exact[place]
        found.append(_span(start, end, whole, sorted(plain) if is_exact else None))
    return found


def series(
    domain_id: int,
    start: datetime,
    end: datetime,
    step: timedelta,
    *,
    location_id: int | None = None,
) -> list[Span]:
    """Return a domain's buckets over a span, oldest first, those without any slot included.

    Args:
        domain_id: whose.
        start: the first instant, which is rounded down to a multiple of ``step`` since 1970.
        end: the instant to stop before, which is rounded up.
        step: how long a bucket is: a multiple of 5 minutes.
        location_id: None for all locations together.

    Raises:
        ValueError: ``step`` is no such multiple, or there would be more than MOST_BUCKETS.
    """
    if step < _FIVE or step % _FIVE:
        raise ValueError("step must be a multiple of 5 minutes")
    seconds = int(step.total_seconds())
    first = int(start.timestamp() // seconds)
    size = int(-(-end.timestamp() // seconds)) - first
    if size > MOST_BUCKETS:
        raise ValueError(f"{size} buckets are more than {MOST_BUCKETS}: choose a longer step")
    start = datetime.fromtimestamp(first * seconds, UTC)
    coarsest = next(level for level in (_DAY, _HOUR, _FIVE) if not step % level)
    sources = _sources(start, start + size * step, coarsest=coarsest)
    tallies = [Tally() for _ in range(size)]
    for at, tally in _buckets(domain_id, sources, location_id):
        tallies[(at - start) // step].add(tally)
    for checks in _raw(domain_id, sources, location_id):
        for number, tally in five_minutes(checks):
            tallies[number * FIVE_MINUTES // seconds - first].add(tally)
    return [
        _span(start + place * step, start + (place + 1) * step, tally, None)
        for place, tally in enumerate(tallies)
    ]


def _rolled(start: datetime, end: datetime) -> set[tuple[str, datetime]]:
    """Return the hours and days of a span that are rolled up: level and start."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT level, start FROM monitoring_rolled "
            "WHERE next_domain_id IS NULL AND start >= %s AND start < %s",
            [start - _DAY, end],
        )
        return set(cursor.fetchall())


def _sources(
    start: datetime,
    end: datetime,
    *,
    coarsest: timedelta,
    rolled: Set[tuple[str, datetime]] | None = None,
) -> _Sources:
    """Return what a span is read from: of what is rolled up, the coarsest buckets that fit."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if rolled is None:
        rolled = _rolled(start, end)
    sources = _Sources()
    at = start
    while at < end:
        day = at.replace(hour=0, minute=0, second=0, microsecond=0)
        hour = at.replace(minute=0, second=0, microsecond=0)
        five = hour + (at - hour) // _FIVE * _FIVE
        if ("day", day) not in rolled and ("hour", hour) not in rolled:
            upto = min(hour + _HOUR, end)
            sources.raw.append((at, upto))
        elif at == day and coarsest >= _DAY and day + _DAY <= end and ("day", day) in rolled:
            upto = day + _DAY
            sources.days.append(day)
        elif at == hour and coarsest >= _HOUR and hour + _HOUR <= end:
            upto = hour + _HOUR
            sources.hours.append(hour)
        elif at == five and five + _FIVE <= end:
            upto = five + _FIVE
            sources.fives.add(five)
        else:
            upto = min(five + _FIVE, end)
            sources.raw.append((at, upto))
        at = upto
    sources.raw = _joined(sources.raw)
    return sources


def _joined(stretches: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    joined: list[tuple[datetime, datetime]] = []
    for start, end in stretches:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _buckets(
    domain_id: int, sources: _Sources, location_id: int | None
) -> Iterator[tuple[datetime, Tally]]:
    """Yield the buckets of a domain: when each begins, and its tally."""
    for table, starts in ((DAYS, sources.days), (HOURS, sources.hours)):
        for start, packed in _packed(table, domain_id, starts, location_id):
            yield start, Tally.unpack(packed)
    hours = sorted({five.replace(minute=0) for five in sources.fives})
    for hour, packed in _packed(FINE, domain_id, hours, location_id):
        for place, tally in unpack_hour(packed):
            start = hour + place * _FIVE
            if start in sources.fives:
                yield start, tally


def _packed(
    table: str, domain_id: int, starts: Sequence[datetime], location_id: int | None
) -> list[tuple[datetime, bytes]]:
    if not starts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT start, packed FROM {table} WHERE domain_id = %s AND start = ANY(%s) "
            "AND start >= %s AND start <= %s AND (%s::int IS NULL OR location_id = %s)",
            [domain_id, list(starts), starts[0], starts[-1], location_id, location_id],
        )
        return [(start.astimezone(UTC), bytes(packed)) for start, packed in cursor.fetchall()]


def _raw(domain_id: int, sources: _Sources, location_id: int | None) -> Iterator[Checks]:
    for start, end in sources.raw:
        for _, place, checks in samples.read([domain_id], start, end):
            if location_id in {None, place}:
                yield checks


def _span(start: datetime, end: datetime, tally: Tally, totals: Sequence[int] | None) -> Span:
    states = tally.states()
    found = {phase: latency for phase in PHASES if (latency := _latency(tally, phase))}
    total = found.get("total")
    values: Sequence[int | None] = [None] * len(_SHARES)
    if totals:
        values = [totals[ceil(share * len(totals)) - 1] for share in _SHARES]
    elif total:
        values = [total.p50_us, total.p90_us, total.p95_us, total.p99_us, total.max_us]
    p50, p90, p95, p99, most = values
    return Span(
        start=start,
        end=end,
        up=states[State.UP],
        degraded=states[State.DEGRADED],
        down=states[State.DOWN],
        internal=states[State.INTERNAL],
        missed=states[State.MISSED],
        p50_us=p50,
        p90_us=p90,
        p95_us=p95,
        p99_us=p99,
        max_us=most,
        reasons={
            (state.value, reason.value): count for (state, reason), count in tally.reasons().items()
        },
        phases=found,
    )


def _latency(tally: Tally, phase: str) -> Latency | None:
    values = tally.quantiles(_SHARES, phase)
    if values is None:
        return None
    p50, p90, p95, p99, most = values
    place = PHASES.index(phase)
    return Latency(
        count=sum(tally.sketches[place].values()),
        sum_us=tally.sums[place],
        p50_us=p50,
        p90_us=p90,
        p95_us=p95,
        p99_us=p99,
        max_us=most,
    )
