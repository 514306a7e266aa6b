"""Domains by the thousand: copies of one that the API has registered.

Copied from its stored row, whatever columns there are, so they are as the API makes them. Only
their names, URLs and instants differ.
"""

from collections.abc import Callable

from psycopg import Connection, sql

TABLE = "domains_domain"


def seed(connection: Connection[object], url: Callable[[int], str], *, number: int) -> None:
    """Write domains 1 to ``number`` - 1 beside the one that is there, in one COPY.

    They are due from the second tick after now, as nothing would be if it were of the tick that
    is swept meanwhile.

    Args:
        connection: to the cluster's database.
        url: the URL of a domain by its number.
        number: how many domains there are to be.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s "
            "AND is_identity = 'NO' AND is_generated = 'NEVER' ORDER BY ordinal_position",
            [TABLE],
        )
        names = [str(name) for (name,) in cursor.fetchall()]  # type: ignore[misc]
        columns = sql.SQL(", ").join(sql.Identifier(name) for name in names)
        texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(n)) for n in names)
        table = sql.Identifier(TABLE)
        cursor.execute(sql.SQL("SELECT {} FROM {} ORDER BY id LIMIT 1").format(texts, table))
        row = cursor.fetchone()
        cursor.execute(
            "SELECT (to_timestamp(floor(extract(epoch FROM clock_timestamp()) / 5) * 5 + 10))::text"
        )
        instant = cursor.fetchone()
        stored = dict(zip(names, row, strict=True))  # type: ignore[arg-type]
        stored["scheduled_since"] = instant[0]  # type: ignore[index]
        copy = sql.SQL("COPY {} ({}) FROM STDIN").format(table, columns)
        with cursor.copy(copy) as rows:
            for one in range(1, number):
                stored["name"], stored["url"] = f"domain {one}", url(one)
                rows.write_row([stored[name] for name in names])
    connection.execute(sql.SQL("VACUUM ANALYZE {}").format(table))
