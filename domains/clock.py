"""The one clock of the cluster: the database's. Read at the edges, passed down as ``now``."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """Return the instant at the database, aware, in UTC.

    Hosts may disagree about the time; slots, deadlines and keys may not.

    Raises:
        django.db.OperationalError: the database does not answer.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (instant,) = cursor.fetchone()
    assert isinstance(instant, datetime)
    return instant
