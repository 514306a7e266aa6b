"""The partitions of the roll-ups' tables, in plain SQL, as of the results.

By time rather than DELETE: a day of 100,000 domains is 2.4 million rows of 5-minute buckets,
whose deletion would be written to the log and vacuumed, row by row; a DROP costs nothing.
Rows of one time also fill an index of their own, which stays small enough to be kept in memory.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from django.db import connection, transaction

from monitoring.partitioned import CreatePartitionedModel, parts_of

FINE: Final = "monitoring_finebucket"
HOURS: Final = "monitoring_hourbucket"
DAYS: Final = "monitoring_daybucket"

_LOCK: Final = -2
"""One advisory lock: one process at a time makes, drops or fills. Positive keys are of folding."""

_NAMES: Final[Mapping[str, str]] = MappingProxyType({FINE: "%Y%m%d", HOURS: "%Y%m", DAYS: "%Y"})
"""How a partition is called after the day, month or year that it holds."""


class CreateBucketModel(CreatePartitionedModel):
    """Django's CreateModel for a table partitioned by ranges of its column ``start``."""

    column = "start"


def lock() -> bool:
    """Take the lock for the rest of the transaction; return whether it was free."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def ensure(table: str, start: datetime) -> None:
    """Make the partition that rows of ``start`` need. The caller has the lock."""
    if start.strftime(_NAMES[table]) in _existing(table):
        return
    first, end = _period(table, start)
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {table}_{first.strftime(_NAMES[table])} PARTITION OF {table} "
            f"FOR VALUES FROM ('{first.isoformat()}') TO ('{end.isoformat()}')"
        )


def drop(table: str, *, before: datetime) -> int:
    """Drop the partitions that end at or before an instant; return how many.

    Each in a transaction of its own that waits at most 2 seconds for readers to let go.

    Raises:
        OperationalError: they did not; what was dropped before stays dropped.
    """
    dropped = 0
    for name in sorted(_existing(table)):
        first = datetime.strptime(name, _NAMES[table]).replace(tzinfo=before.tzinfo)
        if _period(table, first)[1] > before:
            break
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            cursor.execute(f"DROP TABLE IF EXISTS {table}_{name}")
        dropped += 1
    return dropped


def _period(table: str, instant: datetime) -> tuple[datetime, datetime]:
    """Return the first instant of the partition of an instant in UTC, and that after its last."""
    first = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    if table == FINE:
        return first, first + timedelta(days=1)
    first = first.replace(day=1)
    if table == HOURS:
        return first, (first + timedelta(days=31)).replace(day=1)
    first = first.replace(month=1)
    return first, first.replace(year=first.year + 1)


def _existing(table: str) -> set[str]:
    """Return the names of the partitions there are, without the table's."""
    return {name.removeprefix(f"{table}_") for name in parts_of(table)}
