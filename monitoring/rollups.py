"""Counts and percentiles over spans, from the coarsest buckets that fit and raw rows at the edges.

Percentiles come of merged sketches: at most 2 % off, however long the span. Only where all of
it is read from raw rows are they exact. An edge that cuts a bucket whose finer ones are no
longer kept is left out: the least that remains is whole hours after 90 days, and whole days
after two years.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, pairwise
from math import ceil
from typing import Final, TypedDict

import numpy as np

from monitoring import sources
from monitoring.columns import Columns
from monitoring.fine import FIVE_MINUTES
from monitoring.probes.states import State
from monitoring.sources import micros, moment
from monitoring.tallies import OUTCOMES, PHASES, REACHED

MINUTE: Final = timedelta(minutes=1)
_FIVE: Final = timedelta(seconds=FIVE_MINUTES)
_MOMENT: Final = timedelta(microseconds=1)

_SHARES: Final = (0.5, 0.9, 0.95, 0.99, 1.0)
_TOTAL: Final = PHASES.index("total")
_STATES: Final = (State.UP, State.DEGRADED, State.DOWN, State.INTERNAL, State.MISSED)
_OF_STATE: Final = np.array(
    [[state is each for each in _STATES] for state, _ in OUTCOMES], np.int64
)
_REASONS: Final = [
    (code, (state.value, reason.value)) for code, (state, reason) in enumerate(OUTCOMES) if reason
]

MOST_BUCKETS: Final = 10_000
"""How many buckets one series has at most."""


class Latency(TypedDict):
    """How long one phase took where it was reached, in microseconds.

    A dictionary, as it is answered: a quarter of hours has ten thousand of them.
    """

    count: int
    p50_us: int
    p90_us: int
    p95_us: int
    p99_us: int
    max_us: int


@dataclass(slots=True)
class Span:
    """What became of a domain's scheduled slots with start <= slot < end.

    Latencies are of the checks that found the target up or degraded, in microseconds;
    ``p50_us`` to ``max_us`` are of ``total_us``, null where there were none. ``phases`` has
    each phase that was reached, ``sums`` how long these took together, in the order of PHASES,
    and ``reasons`` each state and reason with its count.
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
    max_us: int | None
    reasons: Mapping[tuple[str, str], int]
    phases: Mapping[str, Latency]
    sums: Sequence[int]

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
    return spans(domain_id, [(start, end)], location_id=location_id)[0]


def spans(
    domain_id: int,
    windows: Sequence[tuple[datetime, datetime]],
    *,
    location_id: int | None = None,
) -> list[Span]:
    """Return the counts and percentiles of several spans, in their order.

    What they share is read once: they are cut at each other's edges, and put together again.
    """
    edges = sorted({micros(edge) for window in windows for edge in window})
    if not edges:
        return []
    places = None if location_id is None else {location_id}
    wanted = [(micros(start), micros(end)) for start, end in windows]
    rolled = sources.rolled_up(edges[0], edges[-1])
    merged = sources.Sources()
    parts = Columns(len(edges))
    exact = [True for _ in edges]
    for place, (first, last) in enumerate(pairwise(edges)):
        if any(start <= first and last <= end for start, end in wanted):
            part = sources.sources(first, last, coarsest=sources.DAY, rolled=rolled)
            exact[place] = part.is_raw
            merged.add(part)
    totals: list[list[int]] = [[] for _ in edges]
    for checks in sources.raw(domain_id, merged, places, edges=[moment(edge) for edge in edges]):
        parts.add_checks(np.asarray(checks.numbers, np.int64), checks)
        for place, code, total in zip(
            checks.numbers, checks.codes, checks.phases[_TOTAL], strict=True
        ):
            if exact[place] and code in REACHED and total >= 0:
                totals[place].append(total)
    sources.count_buckets(
        parts,
        lambda starts: np.searchsorted(edges, starts, side="right") - 1,
        domain_id,
        merged,
        places,
    )
    cuts = [(bisect_left(edges, first), bisect_left(edges, last)) for first, last in wanted]
    found = _spans(windows, parts.regrouped(cuts))
    for number, (first, last) in enumerate(cuts):
        if all(exact[first:last]) and (plain := sorted(chain.from_iterable(totals[first:last]))):
            exactly = [plain[ceil(share * len(plain)) - 1] for share in _SHARES]
            each = found[number]
            each.p50_us, each.p90_us, each.p95_us, each.p99_us, each.max_us = exactly
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
    counted = Columns(size)
    sources.count_buckets(
        counted, lambda starts: (starts - first) // length, domain_id, found, location_ids
    )
    seconds = min(coarsest, sources.FIVE) // sources.SECOND
    for checks in sources.raw(domain_id, found, location_ids, seconds=seconds):
        begins = np.asarray(checks.numbers, np.int64) * (seconds * sources.SECOND)
        counted.add_checks((begins - first) // length, checks)
    return _spans([(start + n * step, start + (n + 1) * step) for n in range(size)], counted)


def rounded(start: datetime, end: datetime, step: timedelta) -> tuple[datetime, datetime]:
    """Return the span of the whole buckets in which a span lies."""
    length = step // _MOMENT
    return (
        moment(micros(start) // length * length),
        moment(-(-micros(end) // length) * length),
    )


def _spans(windows: Sequence[tuple[datetime, datetime]], columns: Columns) -> list[Span]:
    """Return the counts and percentiles of windows, which are the groups of some columns."""
    counted = columns.counted(_SHARES)
    # Flat, as lists of lists the collector of garbage would look through again and again.
    counts, sums = counted.counts.ravel().tolist(), counted.sums.ravel().tolist()
    quantiles = counted.quantiles.ravel().tolist()
    states = (counted.outcomes @ _OF_STATE).ravel().tolist()
    size, shares = len(PHASES), len(_SHARES)
    found = []
    for number, (start, end) in enumerate(windows):
        cell = number * size
        phases: dict[str, Latency] = {}
        for place, phase in enumerate(PHASES, cell):
            if counts[place]:
                at = place * shares
                phases[phase] = {
                    "count": counts[place],
                    "p50_us": quantiles[at],
                    "p90_us": quantiles[at + 1],
                    "p95_us": quantiles[at + 2],
                    "p99_us": quantiles[at + 3],
                    "max_us": quantiles[at + 4],
                }
        up, degraded, down, internal, missed = states[number * 5 : number * 5 + 5]
        total = phases.get("total")
        reasons = {}
        if degraded or down or internal or missed:  # what is up has no reason
            outcomes = counted.outcomes[number].tolist()
            reasons = {pair: outcomes[code] for code, pair in _REASONS if outcomes[code]}
        found.append(
            Span(
                start,
                end,
                up,
                degraded,
                down,
                internal,
                missed,
                total["p50_us"] if total else None,
                total["p90_us"] if total else None,
                total["p95_us"] if total else None,
                total["p99_us"] if total else None,
                total["max_us"] if total else None,
                reasons,
                phases,
                sums[cell : cell + size],
            )
        )
    return found
