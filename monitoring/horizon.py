"""Up to which transaction nothing can be added any more to a table of this database.

Transactions are numbered by the server, over all of its databases. ``pg_snapshot_xmin``, the
oldest that is open, would be such a horizon, but a long transaction of a database that has
nothing to do with this one would hold it back for as long as it stays open.

So the horizon is the oldest open transaction that is not known to be of another database; with
none, it is the snapshot's end. Why that is right, with S the snapshot of the statement, H what it
returns, and T a transaction of this database with a number below H:

- H is no more than the end of S, so T's number is below it: T has begun before S was taken, and
  is among S's open ones or had ended. Were it open it would not be below H, unless it was taken
  for one of another database. It had ended, then: each later snapshot sees all that it wrote, or
  it was rolled back. No new transaction gets a number below the end of S.
- T cannot be taken for one of another database while it is open. A transaction is of the database
  of its session from its beginning to its end. ``pg_stat_activity`` is read after S was taken: a
  session's database and the number of its transaction, one after the other. T had its place
  before that, being in S; for its number to stand beside another database the place must have
  changed hands in between, and T have ended: before the next statement, which is enough.
- One that was prepared for a two-phase commit has no session any more, and may wait for weeks.
  ``pg_prepared_xacts`` has its number and its database, side by side, until it ends.
- What is not known holds the horizon back: transactions that have ended since S, are just being
  prepared, or are of sessions that are hidden from the role or have no database.
  It may thus be lower than one that was returned before; who goes on from that has nothing to
  read until it is reached again.
- S has the numbers of whole transactions, never of savepoints; so have ``backend_xid`` and what
  is stored as ``txid`` (``pg_current_xact_id``). 32 bits tell open transactions apart, as
  PostgreSQL itself relies on.
- The caller's own number is not in S: it is a limit of its own.

Both readings belong to one statement outside of a transaction: within one, ``pg_stat_activity``
may be as old as its first use there, and a session's place may have changed hands before S.
"""

from typing import Final

from django.db import connection

_HORIZON: Final = """
    SELECT system_identifier, least(
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
        pg_current_xact_id_if_assigned()::text::bigint,
        (SELECT min(open.xid::text::bigint)
         FROM pg_snapshot_xip(pg_current_snapshot()) AS open(xid)
         WHERE NOT EXISTS (
             SELECT FROM pg_stat_activity
             WHERE backend_xid = open.xid::xid AND datname <> current_database())
           AND NOT EXISTS (
             SELECT FROM pg_prepared_xacts
             WHERE transaction = open.xid::xid AND database <> current_database()))
    ) FROM pg_control_system()
"""


def horizon() -> tuple[int, int]:
    """Return which server this is, and the first transaction that may still add something.

    All below it, of this database, have ended before the next statement begins.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HORIZON)
        server, first = cursor.fetchone()
    return server, first
