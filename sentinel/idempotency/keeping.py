"""How long answers are kept, and how many: a day, but not more than a caller may take of the disk.

Who sends more than that in a day has the oldest forgotten: a request that is sent again after
so many others would have its effect again.
"""

import time
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

KEPT: Final = timedelta(days=1)

MOST_ANSWERS: Final = 100_000
"""Of one caller."""

MOST_BYTES: Final = 256 * 2**20
"""Of one caller's answers, as they are stored: some four thousand of a bulk of 1,000."""

MOST_AT_ONCE: Final = 1_000
"""How many one statement deletes, so that none is long."""

_OLD: Final = """
    SELECT id FROM idempotency_idempotentrequest WHERE created_at < %(before)s
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""
_TOO_MANY: Final = """
    SELECT id FROM (
        SELECT id, row_number() OVER newest AS place,
               sum(coalesce(octet_length(sealed_body), 0)) OVER newest AS bytes
        FROM idempotency_idempotentrequest
        WINDOW newest AS (
            PARTITION BY caller ORDER BY created_at DESC, id DESC ROWS UNBOUNDED PRECEDING
        )
    ) AS answer WHERE place > %(answers)s OR bytes > %(bytes)s LIMIT %(limit)s
"""


def forget(*, now: datetime, seconds: float) -> int:
    """Delete the answers that are older than a day, and what a caller has too many of.

    Args:
        now: the database's clock.
        seconds: after how long no further lot is begun.

    Returns:
        How many are gone.
    """
    until = time.monotonic() + seconds
    values: dict[str, Any] = {
        "before": now - KEPT,
        "answers": MOST_ANSWERS,
        "bytes": MOST_BYTES,
        "limit": MOST_AT_ONCE,
    }
    deleted = 0
    with connection.cursor() as cursor:
        for which in (_OLD, _TOO_MANY):
            while True:
                cursor.execute(
                    f"DELETE FROM idempotency_idempotentrequest WHERE id = ANY(ARRAY({which}))",
                    values,
                )
                found = int(cursor.rowcount)
                deleted += found
                if time.monotonic() >= until:
                    return deleted
                if found < MOST_AT_ONCE:
                    break
    return deleted
