"""Domains by the thousand: copies of one that the API has registered.

Copied from its stored row, whatever columns there are, so they are as the API makes them. Only
their names, URLs and the instant from which they are due differ.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from psycopg import Connection, sql

TABLE: Final = "domains_domain"
_COLUMNS: Final = (
    "SELECT column_name FROM information_schema.columns WHERE table_name = %s "
    "AND is_identity = 'NO' AND is_generated = 'NEVER' ORDER BY ordinal_position"
)
_SOON: Final = """
    SELECT to_timestamp(floor(extract(epoch FROM clock_timestamp()) / 5) * 5 + 10)
"""
"""The second tick from now on: the next may be swept before the rows are there."""


def seed(
    connection: Connection[Any], url: Callable[[int], str], *, number: int, interval: int
) -> None:
    """Write domains 1 to ``number`` - 1 beside the one that is there, in one COPY.

    They begin one after another within an interval: a new domain is checked at once, and a
    hundred thousand at once are not what is to be measured.

    Args:
        connection: to the cluster's database.
        url: the URL of a domain by its number.
        number: how many domains there are to be.
        interval: of the one that is there, in seconds.
    """
    table = sql.Identifier(TABLE)
    names = [name for (name,) in connection.execute(_COLUMNS, [TABLE]).fetchall()]
    columns = [sql.Identifier(name) for name in names]
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(column) for column in columns)
    first = connection.execute(
        sql.SQL("SELECT {}, ({}) FROM {} ORDER BY id LIMIT 1").format(texts, sql.SQL(_SOON), table)
    ).fetchone()
    assert first is not None
    *stored, soon = first
    row = dict(zip(names, stored, strict=True))
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(table, sql.SQL(", ").join(columns))
    with connection.cursor() as cursor, cursor.copy(into) as rows:
        for one in range(1, number):
            since = soon + timedelta(seconds=one * 5 % interval)
            row |= {"name": f"domain {one}", "url": url(one), "scheduled_since": since}
            rows.write_row(list(row.values()))
    # As autovacuum would within a minute: without it, all plans are made for an empty table.
    connection.execute(sql.SQL("ANALYZE {}").format(table))
