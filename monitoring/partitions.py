"""The daily partitions of the result table, in plain SQL.

Plain SQL rather than django-postgres-extra: what is needed is one CREATE and one DROP, and
a database backend of somebody else's under every query is a high price for two statements.
There is no DEFAULT partition: rows in it would block the making of the right one.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.db import connection, migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLE: Final = "monitoring_result"
_PREFIX: Final = f"{TABLE}_d"
_LOCK: Final = (
    -1
)  # one advisory lock: one process at a time makes or drops; positive keys are domains

_known: set[date] = set()


class CreateRangePartitionedModel(migrations.CreateModel):
    """Django's CreateModel for a table partitioned by ranges of its column ``slot``."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        """Create the table with Django's own columns, constraints and indexes."""
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = f"{plain} PARTITION BY RANGE (slot)"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = plain


def ensure(slots: Iterable[datetime]) -> None:
    """Make the partitions that rows of these slots need, if they are not there.

    A process asks the database once a day; what it knows is forgotten when a statement
    fails (see ``forget``). Makes its own transaction: a partition outlives the rows.
    """
    days = {slot.astimezone(UTC).date() for slot in slots} - _known
    if not days:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        # Only the making is serialised; a partition that is there costs a catalogue look-up.
        missing = days - existing()
        if missing:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            for day in sorted(missing - existing()):
                following = day + timedelta(days=1)
                cursor.execute(
                    f"CREATE TABLE {_name(day)} PARTITION OF {TABLE} "
                    f"FOR VALUES FROM ('{day}T00:00:00Z') TO ('{following}T00:00:00Z')"
                )
    if not connection.in_atomic_block:
        _known.update(days)


def forget() -> None:
    """Ask the database again at the next ``ensure``."""
    _known.clear()


def existing() -> set[date]:
    """Return the days that have a partition."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = to_regclass(%s)",
            [TABLE],
        )
        return {
            datetime.strptime(name.removeprefix(_PREFIX), "%Y%m%d").replace(tzinfo=UTC).date()
            for (name,) in cursor.fetchall()
        }


def drop(day: date) -> None:
    """Drop one day's partition and its rows. Waits at most 2 seconds for writers to let go."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '2s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute(f"DROP TABLE IF EXISTS {_name(day)}")
    _known.discard(day)


def _name(day: date) -> str:
    return f"{_PREFIX}{day:%Y%m%d}"
