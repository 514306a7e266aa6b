"""Raw rows become 5-minute and hourly buckets, hourly ones become daily ones; each in pieces.

A bucket is always made anew from what is below it, so doing it twice changes nothing. One
transaction at a time rolls up, wherever it runs: none writes what it read before another did.
Which hours are due, and what makes sure that no late row is left out, is in
``monitoring.closing``.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import OperationalError, connection, transaction

from monitoring import bucket_partitions, closing, samples
from monitoring.bucket_partitions import DAYS, FINE, HOURS
from monitoring.closing import DAY, HOUR
from monitoring.fine import FIVE_MINUTES, pack_hour
from monitoring.probes.states import State
from monitoring.tallies import Tally

log = structlog.get_logger(__name__)

FINE_KEPT: Final = timedelta(days=90)
HOURS_KEPT: Final = timedelta(days=731)

RAW_PATIENCE: Final = timedelta(days=7)
"""How long raw rows that are not rolled up outlive their retention."""

PIECE_DOMAINS: Final = 500
PIECE_CHECKS: Final = 40_000
"""A piece ends with the domain that brings it to either: some 0.2 s."""

_NEXT: Final = """
    SELECT id, cardinality(locations) * (3600 / interval + 1) FROM domains_domain
    WHERE id >= %s ORDER BY id LIMIT %s
"""
_HOURS_OF_DAY: Final = f"""
    SELECT bucket.domain_id, location_id, array_agg(packed)
    FROM {HOURS} AS bucket JOIN domains_domain ON domains_domain.id = bucket.domain_id
    WHERE bucket.domain_id = ANY(%s::bigint[]) AND start >= %s AND start < %s
    GROUP BY bucket.domain_id, location_id
"""
_KEY: Final = ("domain_id", "start", "location_id")
_KEY_TYPES: Final = ("int8", "timestamptz", "int4")
_STATES: Final = tuple(state.value for state in State)


@dataclass(frozen=True, slots=True)
class _Bucket:
    domain_id: int
    location_id: int
    tally: Tally
    fine: bytes = b""


def roll_up(*, now: datetime, seconds: float = 0.5) -> bool:
    """Roll up what is due, piece by piece, each in its own transaction.

    Args:
        now: the database's clock.
        seconds: after how long no further piece is begun.

    Returns:
        Whether more may be waiting.
    """
    began = time.monotonic()
    while _piece(now):
        if time.monotonic() - began >= seconds:
            return True
    return False


def raw_needed(*, now: datetime, keep: timedelta) -> timedelta:
    """Return how long raw rows are to be kept: ``keep``, or until they are rolled up.

    Not for ever: after RAW_PATIENCE more, a disk that fills is worse than a gap in a chart.
    """
    oldest = closing.oldest_waiting()
    if oldest is None:
        return keep
    return max(keep, min(now - oldest.replace(hour=0), keep + RAW_PATIENCE))


def retain(*, now: datetime, raw_kept: timedelta) -> None:
    """Drop the 5-minute and hourly buckets that are older than they are kept."""
    closing.forget_before(now - raw_kept - RAW_PATIENCE)
    for table, kept in ((FINE, FINE_KEPT), (HOURS, HOURS_KEPT)):
        try:
            bucket_partitions.drop(table, before=now - kept)
        except OperationalError as error:
            # A long read holds it: others must not queue behind us, so try again later.
            log.warning("partition is in use", table=table, error=str(error))


def _piece(now: datetime) -> bool:
    """Do one piece of what is due; return whether there was any."""
    with transaction.atomic():
        if not bucket_partitions.lock():
            return False  # somebody else is at it
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL jit = off")  # a compiler has no time to pay off
            # Making a partition waits for who reads the table, and new readers wait for us.
            cursor.execute("SET LOCAL lock_timeout = '2s'")
        return _late() or _continue(now)


def _late() -> bool:
    late = closing.late()
    if late is None:
        return False
    _roll_hour(late.domain_ids, late.hour)
    day = late.hour.replace(hour=0)
    if closing.is_begun(day):
        _roll_day(late.domain_ids, day)
    closing.forget(late.marks)
    return True


def _continue(now: datetime) -> bool:
    """Take the next domains of what was begun; without any, begin the next day or hour."""
    begun = closing.begun()
    if begun is None:
        return closing.begin(now=now)
    level, start, first = begun
    domain_ids = _next(first)
    if domain_ids:
        (_roll_hour if level == "hour" else _roll_day)(domain_ids, start)
    closing.move(level, start, upto=domain_ids[-1] + 1 if domain_ids else None)
    return True


def _next(first: int) -> list[int]:
    """Return the ids of the domains of a piece, from ``first`` on.

    Of those that are there: nobody can ask for the roll-ups of one that was deleted.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, [first, PIECE_DOMAINS])
        found = cursor.fetchall()
    domain_ids: list[int] = []
    checks = 0
    for domain_id, hourly in found:
        domain_ids.append(domain_id)
        checks += hourly
        if checks >= PIECE_CHECKS:
            break
    return domain_ids


def _roll_hour(domain_ids: Sequence[int], hour: datetime) -> None:
    bucket_partitions.ensure(FINE, hour)
    bucket_partitions.ensure(HOURS, hour)
    number = int(hour.timestamp()) // FIVE_MINUTES
    buckets = [
        _Bucket(domain_id, location_id, *pack_hour(checks, first=number))
        for domain_id, location_id, checks in samples.read(domain_ids, [(hour, hour + HOUR)])
    ]
    _store(HOURS, hour, buckets)
    _replace(
        FINE,
        hour,
        [*_KEY, "packed"],
        [*_KEY_TYPES, "bytea"],
        [(each.domain_id, hour, each.location_id, each.fine) for each in buckets],
    )


def _roll_day(domain_ids: Sequence[int], day: datetime) -> None:
    bucket_partitions.ensure(DAYS, day)
    with connection.cursor() as cursor:
        cursor.execute(_HOURS_OF_DAY, [list(domain_ids), day, day + DAY])
        found = cursor.fetchall()
    buckets = []
    for domain_id, location_id, hours in found:
        tally = Tally()
        for packed in hours:
            tally.add(Tally.unpack(packed))
        buckets.append(_Bucket(domain_id, location_id, tally))
    _store(DAYS, day, buckets)


def _store(table: str, start: datetime, buckets: Sequence[_Bucket]) -> None:
    rows = []
    for each in buckets:
        states = each.tally.states()
        counts = (states[state] for state in State)
        rows.append((each.domain_id, start, each.location_id, *counts, each.tally.pack()))
    _replace(
        table,
        start,
        [*_KEY, *_STATES, "packed"],
        [*_KEY_TYPES, *("int4" for _ in _STATES), "bytea"],
        rows,
    )


def _replace(
    table: str,
    start: datetime,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Put buckets in the place of those there are of the same domains and start.

    Where nothing was read nothing is replaced: the raw rows may be gone.
    """
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE domain_id = ANY(%s::bigint[]) AND start = %s",
            [[row[0] for row in rows], start],
        )
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
        with cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
