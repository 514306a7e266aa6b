"""Fill the database up to now: domains, raw rows, ticks, transitions, states, roll-ups.

Can be broken off and called again: each day is one transaction, which also notes how far it is.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction

from domains.models import Domain
from monitoring import bucket_partitions, partitions, rolling
from monitoring.bucket_partitions import DAYS, FINE, HOURS
from monitoring.models import Location
from monitoring.packing import VERDICTS
from monitoring.partitions import DAY, Partition
from tests.benchmarks.history import sql
from tests.benchmarks.history.episodes import MINUTES, episodes, gaps

RAW_DAYS: Final = 30
"""Before today."""

ROLLED_DAYS: Final = 90
_MINUTE: Final = timedelta(minutes=1)
_PERIOD: Final = MINUTES * _MINUTE
_SECOND_PLACE_SHARE: Final = 10
"""One domain in so many is checked from two places."""

_UPTO: Final = "SELECT max(upto) FROM benchmark.filled"

Say = Callable[[str], None]


def fill(*, rows: int, now: datetime, say: Say) -> None:
    """Fill the database up to now; begin with as many domains as give ``rows`` raw rows.

    Args:
        rows: how many there are to be; of a database that has some already, ignored.
        now: the end, rounded down to a minute.
        say: told of each step.
    """
    end = now.astimezone(UTC).replace(second=0, microsecond=0)
    today = end.replace(hour=0, minute=0)
    _execute(sql.TABLES)
    at = _upto()
    if at is None:
        at = today - RAW_DAYS * DAY
        _register(math.ceil(rows / ((end - at) / _MINUTE)), since=today - ROLLED_DAYS * DAY)
        _change(today - ROLLED_DAYS * DAY, at, first=True)
        # These are copied: the product would take a quarter of an hour longer.
        for number in range(int(_PERIOD / DAY), ROLLED_DAYS + 1):
            _execute(
                "INSERT INTO monitoring_rolled (level, start) VALUES ('day', %s)",
                [today - (number + 1) * DAY],
            )
    while at < end:
        upto = min(at.replace(hour=0, minute=0) + DAY, end)
        _day(at, upto, say)
        say(f"{at:%Y-%m-%d}: {stored():,} rows")
        at = upto
    for table in ("monitoring_tick", "monitoring_transition", "monitoring_domainstate"):
        _execute(f"VACUUM (ANALYZE) {table}")
    _copy_earlier(today, say)


def sizes() -> dict[str, tuple[int, int]]:
    """Return the bytes of the largest tables, their partitions together, and of their indexes."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SIZES)
        return {name: (table, indexes) for name, table, indexes in cursor.fetchall()}


def _register(pairs: int, *, since: datetime) -> None:
    places = [Location.objects.get_or_create(name=name)[0] for name in ("local", "elsewhere")]
    domains: list[Domain] = []
    while pairs > 0:
        number = len(domains)
        both = number % _SECOND_PLACE_SHARE == _SECOND_PLACE_SHARE - 1 and pairs > 1
        pairs -= 2 if both else 1
        scheme = "http" if number % 5 == 0 else "https"
        domains.append(
            Domain(
                name=f"domain {number}",
                url=f"{scheme}://host-{number}.example.com/",
                locations=["local", "elsewhere"] if both else ["local"],
                tags=[f"team-{number % 20}"],
                scheduled_since=since,
            )
        )
    Domain.objects.bulk_create(domains, batch_size=1000)
    _execute("VACUUM (ANALYZE) domains_domain")
    with transaction.atomic():
        _execute(sql.PLACES, {})
        with connection.cursor() as cursor:
            cursor.execute("SELECT domain_id, location_id FROM benchmark.place")
            found = cursor.fetchall()
            stretches = [
                (domain, place, each) for domain, place in found for each in episodes(domain, place)
            ]
            with cursor.copy("COPY benchmark.episode FROM STDIN") as copy:
                for domain, place, each in stretches:
                    copy.write_row((domain, place, each.first, each.last, each.code))
            with cursor.copy("COPY benchmark.gap FROM STDIN") as copy:
                for gap in gaps():
                    copy.write_row((gap.first, gap.last, gap.code))
    assert places
    for table in ("place", "episode", "gap"):
        _execute(f"ANALYZE benchmark.{table}")


def _day(start: datetime, end: datetime, say: Say) -> None:
    """Write what belongs to a day, or to a part of it, and roll up what has come to its end."""
    day = Partition(start.replace(hour=0, minute=0), start.replace(hour=0, minute=0) + DAY)
    first = int(start.timestamp()) // 60 % MINUTES
    span = {"start": start, "end": end, "period": MINUTES, "details": _details()}
    with transaction.atomic():
        if day not in partitions.existing():
            # In the transaction that fills it: what goes in need not be logged.
            partitions.make(day)
        for name, value in (("jit", "off"), ("enable_mergejoin", "off"), ("work_mem", "64MB")):
            _execute(f"SET LOCAL {name} = '{value}'")
        last = first + (end - start) // _MINUTE - 1
        _execute(sql.WRONG, {"first": first, "last": last})
        _execute("CREATE UNIQUE INDEX ON wrong (minute, domain_id, location_id) INCLUDE (code)")
        _execute("ANALYZE wrong")
        _execute(sql.ROWS, span)
        _execute(sql.TICKS, {"start": start, "end": end})
        _change(start, end, first=False)
        _execute(sql.STATES, {"end": end})
        _execute("INSERT INTO benchmark.filled VALUES (%s)", [end])
    _execute(f"VACUUM (ANALYZE) {day.name}")
    say(f"{start:%Y-%m-%d}: raw rows written")
    if end == day.end:
        partitions.tighten(day, patience=timedelta(minutes=30))
    rolling.roll_up(now=end, seconds=math.inf)


def _change(start: datetime, end: datetime, *, first: bool) -> None:
    """Write the transitions of a span; in the first one every domain begins."""
    period_start = datetime.fromtimestamp(
        start.timestamp() // _PERIOD.total_seconds() * _PERIOD.total_seconds(), UTC
    )
    verdicts = list(VERDICTS)
    _execute(
        sql.TRANSITIONS,
        {
            "start": start,
            "end": end,
            "first": first,
            "period": MINUTES,
            "period_start": period_start,
            "details": _details(),
            "states": [state.value for state, _ in verdicts],
            "reasons": [reason and reason.value for _, reason in verdicts],
        },
    )


def _details() -> list[str]:
    """Return the note of each verdict: what a check says of itself where it is not up."""
    return [
        "" if reason is None else f'{{"detail":"what was seen of it: {reason.value}"}}'
        for _, reason in VERDICTS
    ]


def _copy_earlier(today: datetime, say: Say) -> None:
    """Copy the roll-ups of one period, which the product made, to the days before it, once.

    The states of those days are the same; the latencies were drawn alike.
    """
    first = today - ROLLED_DAYS * DAY
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT min(start) FROM {DAYS}")
        oldest = cursor.fetchone()[0].astimezone(UTC)
    if oldest <= first:
        return
    day = oldest - DAY
    while day >= first:
        source = oldest + (day - oldest) % _PERIOD
        with transaction.atomic():
            bucket_partitions.lock()
            for table in (FINE, HOURS, DAYS):
                _shift(table, source, source - day)
        day -= DAY
    say(f"roll-ups from {first:%Y-%m-%d} to {oldest:%Y-%m-%d} copied")
    for table in (FINE, HOURS, DAYS, "monitoring_rolled"):
        _execute(f"VACUUM (ANALYZE) {table}")


def _shift(table: str, day: datetime, back: timedelta) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")
        columns = [column.name for column in cursor.description]
    chosen = ["start - %(back)s" if name == "start" else name for name in columns]
    bucket_partitions.ensure(table, day.astimezone(UTC) - back)
    _execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(chosen)} FROM {table} "
        "WHERE start >= %(day)s AND start < %(end)s ORDER BY start, domain_id",
        {"back": back, "day": day, "end": day + DAY},
    )


def _upto() -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute(_UPTO)
        (upto,) = cursor.fetchone()
    return upto.astimezone(UTC) if isinstance(upto, datetime) else None


def stored() -> int:
    """Return how many raw rows there are, as VACUUM has counted them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(greatest(reltuples, 0))::bigint FROM pg_inherits "
            "JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = to_regclass(%s)",
            [partitions.TABLE],
        )
        return int(cursor.fetchone()[0] or 0)


def _execute(statement: str, values: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
