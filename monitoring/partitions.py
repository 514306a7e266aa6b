"""The partitions of the result table, by day or by hour, in plain SQL.

Plain SQL rather than django-postgres-extra: what is needed is a handful of statements, and
a database backend of somebody else's under every query is a high price for them. There is
no DEFAULT partition: rows in it would block the making of the right one.

Hours and days may stand side by side, so the setting can be changed at any time: what is
made next follows it, and what is there stays until it is dropped.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from monitoring.partitioned import CreatePartitionedModel, parts_of

TABLE: Final = "monitoring_packedresult"

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
_FORMS: Final = {"d": ("%Y%m%d", DAY), "h": ("%Y%m%d%H", HOUR)}

_LOCK: Final = -1
"""One advisory lock: one process at a time makes or drops. Positive keys are of folding."""

_TIGHT: Final = "built anew after its end"
"""The comment on an index that is as small as it can be."""

_known: set[datetime] = set()
"""The hours that this process knows to have a partition."""


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """A table with the rows of start <= slot < end."""

    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        """The table's name, which says its span."""
        letter = "h" if self.end - self.start == HOUR else "d"
        return f"{TABLE}_{letter}{self.start:{_FORMS[letter][0]}}"

    @classmethod
    def named(cls, name: str) -> "Partition":
        """Return the partition of that name."""
        mark = name.removeprefix(f"{TABLE}_")
        # By hand: strptime takes four times as long, and each page of a history reads all names.
        start = datetime(
            int(mark[1:5]), int(mark[5:7]), int(mark[7:9]), int(mark[9:] or "0"), tzinfo=UTC
        )
        return cls(start, start + _FORMS[mark[0]][1])


class CreateRangePartitionedModel(CreatePartitionedModel):
    """Django's CreateModel for a table partitioned by ranges of its column ``slot``."""

    column = "slot"


def ensure(slots: Iterable[datetime]) -> None:
    """Make the partitions that rows of these slots need, if they are not there.

    A process asks the database once an hour; what it knows is forgotten when a statement
    fails (see ``forget``). Makes its own transaction: a partition outlives the rows.
    """
    hours = {_hour(slot) for slot in set(slots)} - _known
    if not hours:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        # Only the making is serialised; a partition that is there costs a catalogue look-up.
        if _uncovered(hours, existing()):
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            there = existing()
            for hour in sorted(_uncovered(hours, there)):
                if not _uncovered({hour}, there):
                    continue  # in the day that was just made
                partition = _new(hour, there)
                make(partition)
                there.append(partition)
    if not connection.in_atomic_block:
        _known.update(hours)


def forget() -> None:
    """Ask the database again at the next ``ensure``."""
    _known.clear()


def existing() -> list[Partition]:
    """Return the partitions, oldest first."""
    return sorted(map(Partition.named, parts_of(TABLE)))


def spans(
    start: datetime | None, end: datetime | None, *, most: int = 32, first: int | None = None
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the parts of [start, end) in which there can be rows, newest first.

    Each lies in at most ``most`` partitions; where ``first`` is given, the newest in so many, the
    next in twice as many, and so on: whoever stops early has planned for few. A statement that
    reads rows has the bounds of one as constants: without them it would plan for, and lock,
    every partition there is.
    """
    there = [
        one
        for one in existing()
        if (end is None or one.start < end) and (start is None or start < one.end)
    ]
    last, size = len(there), first or most
    while last > 0:
        part = there[max(0, last - size) : last]
        begin, final = part[0].start, part[-1].end
        yield (
            begin if start is None else max(start, begin),
            final if end is None else min(end, final),
        )
        last, size = last - size, min(most, 2 * size)


def drop(partition: Partition, *, patience: timedelta) -> None:
    """Drop a partition and its rows.

    The whole table is locked for it, some milliseconds, and writers queue behind whoever
    waits for a lock: so the wait for those who hold one is no longer than ``patience``.
    DETACH CONCURRENTLY would wait for as long as they like, and no session behind
    PgBouncer can limit it.

    Raises:
        django.db.OperationalError: somebody reads or writes for longer; try again later.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, true)",
            [f"{round(patience.total_seconds() * 1000)}ms"],
        )
        cursor.execute(f"DROP TABLE IF EXISTS {partition.name}")
    forget()


def loose(*, before: datetime, most_bytes: int) -> list[Partition]:
    """Return the partitions that ended before an instant and whose key was never built anew.

    Args:
        before: the end of what is asked for.
        most_bytes: a larger index is left as it is.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "JOIN pg_class key ON key.oid = to_regclass(child.relname || '_pkey') "
            "WHERE inhparent = to_regclass(%s) AND pg_relation_size(key.oid) <= %s "
            "AND obj_description(key.oid, 'pg_class') IS DISTINCT FROM %s",
            [TABLE, most_bytes, _TIGHT],
        )
        found = sorted(Partition.named(name) for (name,) in cursor.fetchall())
    return [partition for partition in found if partition.end <= before]


def tighten(partition: Partition, *, patience: timedelta) -> None:
    """Build a partition's key anew, its pages full, while others read and write.

    The rows of a domain come one by one into the middle of the index, whose pages are split
    in halves: built in one go it takes half to three quarters of the room. To be called
    outside a transaction.

    Raises:
        django.db.OperationalError: it took longer than ``patience``, mostly because of
            somebody's long transaction; try again later.
    """
    key = f"{partition.name}_pkey"
    with connection.cursor() as cursor:
        # Cancelled from here: no session behind PgBouncer can have a limit of its own.
        timer = threading.Timer(patience.total_seconds(), connection.connection.cancel)
        timer.start()
        try:
            # What an attempt that was broken off has left: the new index, or the old one.
            cursor.execute(
                "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
                "WHERE indrelid = to_regclass(%s) AND NOT indisvalid AND relname LIKE %s",
                [partition.name, f"{key}_cc%"],
            )
            for (left,) in cursor.fetchall():
                cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {left}")
            cursor.execute(f"REINDEX INDEX CONCURRENTLY {key}")
        finally:
            timer.cancel()
        cursor.execute(f"COMMENT ON INDEX {key} IS %s", [_TIGHT])


def _hour(slot: datetime) -> datetime:
    return slot.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _uncovered(hours: Iterable[datetime], partitions: Iterable[Partition]) -> set[datetime]:
    spans = list(partitions)
    return {hour for hour in hours if not any(one.start <= hour < one.end for one in spans)}


def _new(hour: datetime, there: Iterable[Partition]) -> Partition:
    """Return the partition to make for an hour: a day only where none of its hours has one."""
    day = hour.replace(hour=0)
    if settings.SENTINEL_PARTITION == "daily" and not any(
        day <= one.start < day + DAY for one in there
    ):
        return Partition(day, day + DAY)
    return Partition(hour, hour + HOUR)


def make(partition: Partition) -> None:
    """Make a table and attach it: unlike PARTITION OF, that keeps nobody from writing."""
    name, start, end = partition.name, partition.start, partition.end
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL)")
        # Rows never change, so a page of the index that is built anew can be full.
        cursor.execute(f"ALTER INDEX {name}_pkey SET (fillfactor = 100)")
        cursor.execute(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
        )
