"""Counts and percentiles over spans, from the coarsest buckets that fit and raw rows at the edges.

Percentiles come of merged sketches: at most 2 % off, however long the span. Only where all of
it is read from raw rows are they exact. An edge that cuts a bucket whose finer ones are no
longer kept is left out: the least that remains is whole hours after 90 days, and whole days
after two years.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Final

from monitoring import sources
from monitoring.fine import FIVE_MINUTES, five_minutes
from monitoring.probes.states import State
from monitoring.sketches import quantiles
from monitoring.sources import micros, moment
from monitoring.tallies import PHASES, Tally

MINUTE: Final = timedelta(minutes=1)
_FIVE: Final = timedelta(seconds=FIVE_MINUTES)
_MOMENT: Final = timedelta(microseconds=1)
_NOTHING: Final = Tally()
_SHARES: Final = (0.5, 0.9, 0.95, 0.99, 1.0)

MOST_BUCKETS: Final = 10_000
"""How many buckets one series has at most."""


@dataclass(slots=True)  # frozen it would take three times as long to make
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


def span(domain_id: int, start: datetime, end: datetime, *, location_id: int | None = None) -> Span:
    """Return the counts and percentiles of one domain over a span.

    Args:
        domain_id: whose.
        start: the first instant.
        end: the instant to stop before.
        location_id: None for all locations together.
    """
    found = sources.sources(micros(start), micros(end), coarsest=sources.DAY)
    places = None if location_id is None else {location_id}
    whole = Tally()
    totals: list[int] = []
    for _, tally in sources.buckets(domain_id, found, places):
        whole.add(tally)
    for checks in sources.raw(domain_id, found, places):
        totals += checks.totals()
        for _, tally in five_minutes(checks):
            whole.add(tally)
    return _span(start, end, whole, sorted(totals) if found.is_raw else None)


def spans(
    domain_id: int,
    windows: Sequence[tuple[datetime, datetime]],
    *,
    location_id: int | None = None,
) -> list[Span]:
    """Return the counts and percentiles of several spans, in their order, as ``span`` does each.

    What they share is read once: they are cut at each other's edges, and put together again.
    """
    edges = sorted({micros(edge) for window in windows for edge in window})
    if not edges:
        return []
    places = None if location_id is None else {location_id}
    wanted = [(micros(start), micros(end)) for start, end in windows]
    rolled = sources.rolled_up(edges[0], edges[-1])
    merged = sources.Sources()
    tallies = [Tally() for _ in edges]
    totals: list[list[int]] = [[] for _ in edges]
    exact = [True for _ in edges]
    for place, (first, last) in enumerate(pairwise(edges)):
        if not any(start <= first and last <= end for start, end in wanted):
            continue
        part = sources.sources(first, last, coarsest=sources.DAY, rolled=rolled)
        exact[place] = part.is_raw
        merged.days += part.days
        merged.hours += part.hours
        merged.fives += part.fives
        for checks in sources.raw(domain_id, part, places):
            totals[place] += checks.totals()
            for _, tally in five_minutes(checks):
                tallies[place].add(tally)
    for at, tally in sources.buckets(domain_id, merged, places):
        tallies[bisect_right(edges, at) - 1].add(tally)
    found = []
    for (start, end), (first, last) in zip(windows, wanted, strict=True):
        whole, plain, is_exact = Tally(), list[int](), True
        for place in range(bisect_left(edges, first), bisect_left(edges, last)):
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
    location_ids: Collection[int] | None = None,
) -> list[Span]:
    """Return a domain's buckets over a span, oldest first, those without any slot included.

    Args:
        domain_id: whose.
        start: the first instant, which is rounded down to a multiple of ``step`` since 1970.
        end: the instant to stop before, which is rounded up.
        step: how long a bucket is: a multiple of 5 minutes; or a minute, read from raw rows.
        location_ids: of these locations; None for all together.

    Raises:
        ValueError: ``step`` is no such multiple, or there would be more than MOST_BUCKETS.
    """
    if step != MINUTE and (step < _FIVE or step % _FIVE):
        raise ValueError("step must be a minute, or a multiple of 5 minutes")
    start, end = rounded(start, end, step)
    size = (end - start) // step
    if size > MOST_BUCKETS:
        raise ValueError(f"{size} buckets are more than {MOST_BUCKETS}: choose a longer step")
    length, first = step // _MOMENT, micros(start)
    levels = (sources.DAY, sources.HOUR, sources.FIVE)
    coarsest = next((level for level in levels if not length % level), length)
    found = sources.sources(first, micros(end), coarsest=coarsest)
    tallies: list[Tally | None] = [None] * size

    def count(at: int, tally: Tally) -> None:
        place = (at - first) // length
        there = tallies[place]
        if there is None:  # mostly a bucket is one that is stored
            tallies[place] = tally
        else:
            there.add(tally)

    for at, tally in sources.buckets(domain_id, found, location_ids):
        count(at, tally)
    seconds = min(coarsest, sources.FIVE) // sources.SECOND
    for checks in sources.raw(domain_id, found, location_ids, seconds=seconds):
        for number, tally in five_minutes(checks):
            count(number * seconds * sources.SECOND, tally)
    return [
        _span(start + place * step, start + (place + 1) * step, tally or _NOTHING, None)
        for place, tally in enumerate(tallies)
    ]


def rounded(start: datetime, end: datetime, step: timedelta) -> tuple[datetime, datetime]:
    """Return the span of the whole buckets in which a span lies."""
    length = step // _MOMENT
    return (
        moment(micros(start) // length * length),
        moment(-(-micros(end) // length) * length),
    )


def _span(start: datetime, end: datetime, tally: Tally, totals: Sequence[int] | None) -> Span:
    states = tally.states()
    found = {
        phase: latency
        for place, phase in enumerate(PHASES)
        if (latency := _latency(tally, place)) is not None
    }
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


def _latency(tally: Tally, place: int) -> Latency | None:
    counts = tally.sketches[place]
    values = quantiles(counts, _SHARES)
    if values is None:
        return None
    return Latency(sum(counts.values()), tally.sums[place], *values)
