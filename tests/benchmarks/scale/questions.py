"""What the database knows of a run. All SQL that names the product's tables stands here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

from psycopg import Connection

RESULTS: Final[LiteralString] = "monitoring_result"
_SPAN: Final[LiteralString] = (
    f"FROM {RESULTS} WHERE kind = 'scheduled' AND slot >= %(start)s AND slot < %(end)s"
)
_DELAY_US: Final[LiteralString] = "extract(epoch FROM started_at - slot) * 1e6"
_BY_REASON: Final[LiteralString] = (
    f"SELECT coalesce(state || ' ' || reason, state), count(*) {_SPAN} GROUP BY 1 ORDER BY 2 DESC"
)
_DELAYS: Final[LiteralString] = (
    f"SELECT percentile_disc(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (ORDER BY ({_DELAY_US})::bigint) "
    f"{_SPAN} AND started_at IS NOT NULL"
)
_TIMES: Final[LiteralString] = (
    "SELECT percentile_disc(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (ORDER BY total_us::bigint) "
    f"{_SPAN} AND state IN ('up', 'degraded')"
)
_OPEN: Final[LiteralString] = (
    "SELECT count(*), coalesce(sum(cardinality(domain_ids)), 0)::bigint, "
    "coalesce(extract(epoch FROM clock_timestamp() - min(slot)), 0)::float8 "
    "FROM monitoring_batch WHERE finished_at IS NULL"
)
_OPEN_UNTIL: Final[LiteralString] = (
    "SELECT EXISTS (SELECT FROM monitoring_batch WHERE finished_at IS NULL AND slot < %s)"
)
_SIZES: Final[LiteralString] = f"""
    SELECT coalesce(sum(pg_table_size(relid)), 0)::bigint,
           coalesce(sum(pg_indexes_size(relid)), 0)::bigint,
           (SELECT count(*) FROM {RESULTS})
    FROM pg_class parent, pg_partition_tree(parent.oid)
    WHERE parent.relkind = 'p' AND parent.relname ~ '^monitoring_[a-z]*result$' AND isleaf
"""
"""Whether rows are read from the partitioned table itself or through a view of it."""
_RELATIONS: Final[LiteralString] = """
    SELECT relname, pg_total_relation_size(oid) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
    ORDER BY 2 DESC LIMIT 12
"""
_SERVER: Final[LiteralString] = """
    SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS wal_bytes, wal_records,
           wal_fpi AS wal_page_images, wal_buffers_full,
           num_timed + num_requested AS checkpoints, num_requested AS checkpoints_requested,
           write_time AS checkpoint_write_ms, sync_time AS checkpoint_sync_ms,
           xact_commit AS commits, blks_read AS blocks_read, temp_bytes,
           (SELECT sum(autovacuum_count) FROM pg_stat_all_tables) AS autovacuums,
           (SELECT sum(autoanalyze_count) FROM pg_stat_all_tables) AS autoanalyzes
    FROM pg_stat_wal, pg_stat_checkpointer, pg_stat_database WHERE datname = current_database()
"""
_STATEMENTS: Final[LiteralString] = """
    SELECT calls, total_exec_time + total_plan_time, rows, wal_bytes,
           regexp_replace(left(query, 300), '\\s+', ' ', 'g')
    FROM pg_stat_statements ORDER BY 2 DESC LIMIT 25
"""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of microseconds; None where there was nothing."""

    p50: int | None
    p99: int | None
    most: int | None


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the results' tables, the indexes apart, and how many rows these are."""

    heap: int
    indexes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Open:
    """The batches that are not finished, the checks in them, and the age of the oldest slot."""

    batches: int
    checks: int
    seconds: float


def now(connection: Connection[Any]) -> datetime:
    """Return the database's clock."""
    (instant,) = _row(connection, "SELECT clock_timestamp()")
    assert isinstance(instant, datetime)
    return instant


def next_tick(instant: datetime) -> datetime:
    """Return the first multiple of five seconds that is not before an instant."""
    return instant + timedelta(seconds=-instant.timestamp() % 5)


def by_reason(connection: Connection[Any], start: datetime, end: datetime) -> dict[str, int]:
    """Return how many rows ended as what: the state, and the reason where there is one."""
    rows = connection.execute(_BY_REASON, {"start": start, "end": end}).fetchall()
    return dict(rows)


def delays(connection: Connection[Any], start: datetime, end: datetime) -> Percentiles:
    """Return how long after their slots checks were started."""
    return _percentiles(connection, _DELAYS, start, end)


def times(connection: Connection[Any], start: datetime, end: datetime) -> Percentiles:
    """Return how long the target took, as it is stored."""
    return _percentiles(connection, _TIMES, start, end)


def still_open(connection: Connection[Any], end: datetime) -> bool:
    """Return whether a batch of a slot before ``end`` is not finished."""
    return bool(_row(connection, _OPEN_UNTIL, [end])[0])


def open_batches(connection: Connection[Any]) -> Open:
    """Return what is open now."""
    return Open(*_row(connection, _OPEN))


def sizes(connection: Connection[Any]) -> Sizes:
    """Return what all stored results take."""
    return Sizes(*_row(connection, _SIZES))


def relations(connection: Connection[Any]) -> dict[str, int]:
    """Return the bytes of the largest tables, with their indexes."""
    return dict(connection.execute(_RELATIONS).fetchall())


def server(connection: Connection[Any]) -> dict[str, float]:
    """Return PostgreSQL's own counters."""
    cursor = connection.execute(_SERVER)
    row = cursor.fetchone()
    assert row is not None
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    return {name: float(value or 0) for name, value in zip(names, row, strict=True)}


def count_statements(connection: Connection[Any]) -> None:
    """Begin to count what each statement takes; the server has the library loaded."""
    connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    connection.execute("SELECT pg_stat_statements_reset()")


def statements(connection: Connection[Any]) -> list[Mapping[str, Any]]:
    """Return the statements that took longest since they are counted."""
    names = ("calls", "ms", "rows", "wal_bytes", "statement")
    rows = connection.execute(_STATEMENTS).fetchall()
    return [
        dict(zip(names, (int(calls), round(ms), int(n), int(wal), text), strict=True))
        for calls, ms, n, wal, text in rows
    ]


def _percentiles(
    connection: Connection[Any], statement: LiteralString, start: datetime, end: datetime
) -> Percentiles:
    (found,) = _row(connection, statement, {"start": start, "end": end})
    return Percentiles(*(found or (None, None, None)))


def _row(connection: Connection[Any], statement: LiteralString, values: Any = None) -> Any:
    row = connection.execute(statement, values).fetchone()
    assert row is not None
    return row
