"""Where counts over a span are read from: whole buckets, and raw rows where none fits.

Of what is rolled up the coarsest buckets that fit are taken. Instants are microseconds since
1970 here: a quarter has two thousand hours, and as integers they cost little to tell apart.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import psycopg
from django.db import connection

from monitoring import samples
from monitoring.bucket_partitions import DAYS, FINE, HOURS
from monitoring.columns import Columns, Ints
from monitoring.fine import FIVE_MINUTES, PER_HOUR, Checks

SECOND: Final = 1_000_000
FIVE: Final = FIVE_MINUTES * SECOND
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT: Final = timedelta(microseconds=1)


def micros_of(column: str) -> str:
    """Return the SQL of a column of instants as microseconds since 1970, quick to be read."""
    return f"(date_part('epoch', {column}) * 1000000)::bigint"


_READ: Final = f"""
    SELECT {{number}}, {micros_of("start")}, packed
    FROM unnest(%(begins{{number}})s::timestamptz[], %(ends{{number}})s::timestamptz[])
         AS stretch(begins, ends)
    CROSS JOIN LATERAL (
        SELECT start, packed FROM {{table}}
        WHERE domain_id = %(domain)s AND start >= begins AND start < ends
          AND start >= %(first{{number}})s AND start < %(last{{number}})s {{places}}
    ) AS bucket
"""
"""Stretch by stretch down the primary key; the outermost bounds choose the partitions."""

_RAW: Final = "raw"
_FAR: Final = MappingProxyType({_RAW: 6 * HOUR, FINE: 2 * DAY, HOURS: 2 * DAY, DAYS: 1000 * DAY})
"""Between two stretches: a statement for both would open more partitions, or read more rows in
between, than another statement costs. Raw rows may have a partition an hour."""

Stretches = list[tuple[int, int]]
"""Spans in microseconds since 1970, each with its end, in order."""


@dataclass(slots=True)
class Sources:
    """What a span is read from: stretches of days, of hours, of 5 minutes and of raw rows."""

    days: Stretches = field(default_factory=list)
    hours: Stretches = field(default_factory=list)
    fives: Stretches = field(default_factory=list)
    raw: Stretches = field(default_factory=list)

    def add(self, later: "Sources") -> None:
        """Read what a later span is read from, too."""
        for mine, others in (
            (self.days, later.days),
            (self.hours, later.hours),
            (self.fives, later.fives),
            (self.raw, later.raw),
        ):
            for start, end in others:
                _add(mine, start, end)

    @property
    def is_raw(self) -> bool:
        """Whether no bucket is read."""
        return not (self.days or self.hours or self.fives)


def micros(instant: datetime) -> int:
    """Return an instant as microseconds since 1970."""
    return (instant - _EPOCH) // _MOMENT


def moment(number: int) -> datetime:
    """Return the instant of microseconds since 1970, in UTC."""
    return _EPOCH + number * _MOMENT


def sources(
    start: int, end: int, *, coarsest: int, rolled: Set[tuple[str, int]] | None = None
) -> Sources:
    """Return what a span is read from.

    Args:
        start: the first instant.
        end: the instant to stop before.
        coarsest: how long a bucket may be: DAY, HOUR or FIVE; less for raw rows only.
        rolled: what ``rolled_up`` said of a span that has this one in it; None: it is asked.
    """
    found = Sources()
    if coarsest < FIVE:
        _add(found.raw, start, end)
        return found
    if rolled is None:
        rolled = rolled_up(start, end)
    at = start
    while at < end:
        day, hour, five = (at // length * length for length in (DAY, HOUR, FIVE))
        of_day = ("day", day) in rolled
        if not of_day and ("hour", hour) not in rolled:
            stretches, upto = found.raw, min(hour + HOUR, end)
        elif of_day and at == day and coarsest >= DAY and day + DAY <= end:
            stretches, upto = found.days, day + DAY
        elif at == hour and coarsest >= HOUR and hour + HOUR <= end:
            # Of a day that is rolled up all hours are.
            upto = min(day + DAY if of_day else hour + HOUR, end // HOUR * HOUR)
            stretches = found.hours
        elif at == five and five + FIVE <= end:
            upto = min(hour + HOUR, end // FIVE * FIVE)
            stretches = found.fives
        else:
            stretches, upto = found.raw, min(five + FIVE, end)
        _add(stretches, at, upto)
        at = upto
    return found


def _add(stretches: Stretches, start: int, end: int) -> None:
    """Add a stretch; where it begins as the last one ends, lengthen that one."""
    if stretches and stretches[-1][1] == start:
        stretches[-1] = (stretches[-1][0], end)
    elif start < end:
        stretches.append((start, end))


def rolled_up(start: int, end: int) -> set[tuple[str, int]]:
    """Return the hours and days of a span that are rolled up: level and start."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT level, {micros_of('start')} FROM monitoring_rolled "
            "WHERE next_domain_id IS NULL AND start >= %s AND start < %s",
            [moment(start - DAY), moment(end)],
        )
        return set(cursor.fetchall())


def count_buckets(
    into: Columns,
    group: Callable[[Ints], Ints],
    domain_id: int,
    found: Sources,
    location_ids: Collection[int] | None,
) -> None:
    """Count the buckets of a domain.

    Args:
        into: what counts them.
        group: returns the groups of buckets by when they begin, microseconds since 1970.
        domain_id: whose.
        found: what to read.
        location_ids: of these locations; None for all.
    """
    hours: Stretches = []
    for begin, end in found.fives:
        first = begin // HOUR * HOUR  # one row holds an hour; two stretches may share it
        _add(hours, max(first, hours[-1][1]) if hours else first, -(-end // HOUR) * HOUR)
    wanted = {DAYS: found.days, HOURS: found.hours, FINE: hours}
    read = _packed(domain_id, wanted, location_ids)
    for table in (DAYS, HOURS):
        starts, packed = read[table]
        into.add_tallies(group(starts), packed)
    if not hours:
        return
    starts, packed = read[FINE]
    fives = starts[:, None] + np.arange(PER_HOUR) * FIVE
    stretch = np.searchsorted([begin for begin, _ in found.fives], fives, side="right") - 1
    inside = (stretch >= 0) & (fives < np.array([end for _, end in found.fives])[stretch])
    into.add_hours(np.where(inside, group(fives), -1), packed)


def _packed(
    domain_id: int, wanted: Mapping[str, Stretches], location_ids: Collection[int] | None
) -> dict[str, tuple[Ints, list[bytes]]]:
    """Return of each table when buckets begin, and their bytes: all in one statement."""
    parts = [(table, near) for table, all_of in wanted.items() for near in _near(table, all_of)]
    found: dict[str, list[tuple[int, bytes]]] = {table: [] for table in wanted}
    values: dict[str, Any] = {"domain": domain_id}
    places = ""
    if location_ids is not None:
        places = "AND location_id = ANY(%(places)s::integer[])"
        values["places"] = list(location_ids)
    for number, (_, near) in enumerate(parts):
        values |= {
            f"begins{number}": [moment(begin) for begin, _ in near],
            f"ends{number}": [moment(end) for _, end in near],
            f"first{number}": moment(near[0][0]),
            f"last{number}": moment(near[-1][1]),
        }
    if parts:
        statement = " UNION ALL ".join(
            _READ.format(number=number, table=table, places=places)
            for number, (table, _) in enumerate(parts)
        )
        plain = connection.cursor()  # connects, and is told of what breaks
        plain.close()
        # In binary: as text each byte would be two.
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(statement, values, binary=True)
            for number, start, packed in cursor.fetchall():
                found[parts[number][0]].append((start, packed))
    return {
        table: (np.array([start for start, _ in rows], np.int64), [packed for _, packed in rows])
        for table, rows in found.items()
    }


def _near(table: str, stretches: Stretches) -> Iterator[Stretches]:
    """Yield stretches in groups with little between: a statement opens all from first to last."""
    group: Stretches = []
    for stretch in stretches:
        if group and stretch[0] - group[-1][1] > _FAR[table]:
            yield group
            group = []
        group.append(stretch)
    if group:
        yield group


def raw(
    domain_id: int,
    found: Sources,
    location_ids: Collection[int] | None,
    *,
    seconds: int = FIVE_MINUTES,
    edges: Sequence[datetime] | None = None,
) -> Iterator[Checks]:
    """Yield the checks that are read from raw rows, numbered as ``samples.read`` says."""
    for near in _near(_RAW, found.raw):
        spans = [(moment(start), moment(end)) for start, end in near]
        for _, place, checks in samples.read([domain_id], spans, seconds=seconds, edges=edges):
            if location_ids is None or place in location_ids:
                yield checks
