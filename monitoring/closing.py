"""Which hours and days can be rolled up, and which must be once more because of late rows.

An hour is begun when each of its ticks has run, so that its batches are there. The batches
that are not finished are marked by the statement that begins it, which sees ticks and batches
in one snapshot; the rows are read by later ones. So a row that was not seen belongs to a batch
that was marked, since a batch is finished after its rows are committed, and its domains are
rolled up again once it is. Rows that come without a batch are marked by ``note_late``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection

from monitoring.packing import Kind

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

PATIENCE: Final = timedelta(minutes=10)
"""How long after its end an hour is begun: most of its checks are finished by then."""

_LATE_MARKS: Final = 4

_DONE: Final = """
    EXISTS (SELECT FROM monitoring_rolled WHERE next_domain_id IS NULL
            AND (level = 'hour' AND start = {hour}
                 OR level = 'day' AND start = date_trunc('day', {hour}, 'UTC')))
"""
_BEGIN_HOUR: Final = f"""
    WITH waiting AS MATERIALIZED (
        SELECT hour FROM (SELECT min(instant) AS instant FROM monitoring_tick) AS first,
             generate_series(date_trunc('hour', first.instant, 'UTC'),
                             %(latest)s::timestamptz, interval '1 hour') AS hour
        WHERE NOT EXISTS (SELECT FROM monitoring_rolled WHERE level = 'hour' AND start = hour)
          AND NOT EXISTS (SELECT FROM monitoring_rolled
                          WHERE level = 'day' AND start = date_trunc('day', hour, 'UTC'))
    ), closed AS (
        SELECT hour FROM waiting
        WHERE EXISTS (SELECT FROM monitoring_tick WHERE instant >= hour + interval '1 hour')
          AND NOT EXISTS (SELECT FROM monitoring_tick WHERE expected IS NULL
                          AND instant >= hour AND instant < hour + interval '1 hour')
        ORDER BY hour LIMIT 1
    ), marked AS (
        INSERT INTO monitoring_lateslots (start, domain_ids, batch_id)
        SELECT hour, domain_ids, batch.id FROM closed JOIN monitoring_batch AS batch
            ON batch.slot >= hour AND batch.slot < hour + interval '1 hour'
           AND batch.finished_at IS NULL AND batch.kind = '{Kind.SCHEDULED.value}'
        ON CONFLICT DO NOTHING
    )
    INSERT INTO monitoring_rolled (level, start, next_domain_id) SELECT 'hour', hour, 0 FROM closed
"""
_BEGIN_DAY: Final = f"""
    INSERT INTO monitoring_rolled (level, start, next_domain_id)
    SELECT 'day', day, 0
    FROM (SELECT DISTINCT date_trunc('day', start, 'UTC') AS day FROM monitoring_rolled
          WHERE level = 'hour') AS begun
    WHERE day <= %(latest)s
      AND NOT EXISTS (SELECT FROM monitoring_rolled WHERE level = 'day' AND start = day)
      AND NOT EXISTS (
          SELECT FROM (SELECT min(instant) AS instant FROM monitoring_tick) AS first,
               generate_series(greatest(day, date_trunc('hour', first.instant, 'UTC')),
                               day + interval '23 hours', interval '1 hour') AS hour
          WHERE NOT {_DONE.format(hour="hour")})
    ORDER BY day LIMIT 1
"""
_LATE: Final = f"""
    SELECT id, start, domain_ids FROM monitoring_lateslots AS late
    WHERE {_DONE.format(hour="late.start")}
      AND NOT EXISTS (SELECT FROM monitoring_batch
                      WHERE id = late.batch_id AND finished_at IS NULL)
    ORDER BY start, id LIMIT {_LATE_MARKS}
"""


@dataclass(frozen=True, slots=True)
class Late:
    """Domains whose rows of one hour came after it was rolled up, and the marks that say so."""

    hour: datetime
    domain_ids: Sequence[int]
    marks: Sequence[int]


def note_late(places: Iterable[tuple[int, datetime]]) -> None:
    """Have the hours of rows that came late, and without a batch, rolled up again.

    To be called in the transaction that inserts them.

    Args:
        places: domain id and slot of each.
    """
    hours: dict[datetime, set[int]] = {}
    for domain_id, slot in places:
        hours.setdefault(
            slot.astimezone(UTC).replace(minute=0, second=0, microsecond=0), set()
        ).add(domain_id)
    with connection.cursor() as cursor:
        for hour, domain_ids in hours.items():
            cursor.execute(
                "INSERT INTO monitoring_lateslots (start, domain_ids) VALUES (%s, %s)",
                [hour, sorted(domain_ids)],
            )


def oldest_waiting() -> datetime | None:
    """Return the first hour that is not rolled up, or must be again; None where none waits."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT least(
                (SELECT min(hour)
                 FROM (SELECT min(instant) AS oldest, max(instant) AS latest
                       FROM monitoring_tick) AS tick,
                      generate_series(date_trunc('hour', tick.oldest, 'UTC'), tick.latest,
                                      interval '1 hour') AS hour
                 WHERE NOT {_DONE.format(hour="hour")}),
                (SELECT min(start) FROM monitoring_lateslots))
            """
        )
        (oldest,) = cursor.fetchone()
    return oldest.astimezone(UTC) if isinstance(oldest, datetime) else None


def late() -> Late | None:
    """Return marks of one hour that are due, the oldest; None where there are none."""
    with connection.cursor() as cursor:
        cursor.execute(_LATE)
        found = cursor.fetchall()
    if not found:
        return None
    hour = found[0][1]
    marks = [mark for mark, start, _ in found if start == hour]
    domain_ids = {each for _, start, domain_ids in found if start == hour for each in domain_ids}
    return Late(hour.astimezone(UTC), sorted(domain_ids), marks)


def forget(marks: Sequence[int]) -> None:
    """Delete the marks whose domains were rolled up again."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM monitoring_lateslots WHERE id = ANY(%s)", [list(marks)])


def forget_before(instant: datetime) -> None:
    """Delete the marks of hours that nothing is left of to roll up."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM monitoring_lateslots WHERE start < %s", [instant])


def begin(*, now: datetime) -> bool:
    """Begin the next day or hour whose time has come; return whether there was one."""
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN_DAY, {"latest": now - DAY - PATIENCE})
        if not cursor.rowcount:
            cursor.execute(_BEGIN_HOUR, {"latest": now - HOUR - PATIENCE})
        return bool(cursor.rowcount)


def begun() -> tuple[str, datetime, int] | None:
    """Return what is being rolled up: ``hour`` or ``day``, its start, the first id that waits."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT level, start, next_domain_id FROM monitoring_rolled "
            "WHERE next_domain_id IS NOT NULL ORDER BY start, level LIMIT 1"
        )
        found = cursor.fetchone()
    return None if found is None else (found[0], found[1].astimezone(UTC), found[2])


def move(level: str, start: datetime, *, upto: int | None) -> None:
    """Note from which domain on an hour or day still waits; None where it is done."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE monitoring_rolled SET next_domain_id = %s WHERE level = %s AND start = %s",
            [upto, level, start],
        )
        if level == "day" and upto is None:
            cursor.execute(
                "DELETE FROM monitoring_rolled WHERE level = 'hour' AND start >= %s AND start < %s",
                [start, start + DAY],
            )


def is_begun(day: datetime) -> bool:
    """Return whether a day is rolled up, if only in part."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM monitoring_rolled WHERE level = 'day' AND start = %s", [day])
        return cursor.fetchone() is not None
