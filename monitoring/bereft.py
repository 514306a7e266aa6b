"""Daily buckets whose domain was deleted: they go one domain at a time, and nobody waits for them.

The other roll-ups and the results go with their partitions; days are kept for good. A piece of
rolling up that read a domain before it was deleted may write one after: it is found as well.
"""

import time
from typing import Final

from django.db import connection

from monitoring.bucket_partitions import DAYS

_GONE: Final = f"""
    WITH RECURSIVE ends AS (
        SELECT min(domain_id) AS first, max(domain_id) + 1 AS stop FROM {DAYS}
    ),
    piece AS (
        SELECT first + (stop - first) * %(piece)s / %(pieces)s AS first,
               first + (stop - first) * (%(piece)s + 1) / %(pieces)s AS stop FROM ends
    ),
    bucket(domain_id) AS (
        SELECT (SELECT min(domain_id) FROM {DAYS} WHERE domain_id >= first AND domain_id < stop)
        FROM piece
        UNION ALL
        SELECT (SELECT min(domain_id) FROM {DAYS}
                WHERE domain_id > bucket.domain_id AND domain_id < stop) FROM bucket, piece
        WHERE bucket.domain_id IS NOT NULL
    )
    SELECT domain_id FROM bucket WHERE domain_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM domains_domain WHERE domains_domain.id = domain_id)
"""
"""The deleted domains of a piece, one step down the keys for each that has a bucket."""


def forget_days(*, piece: int, pieces: int, seconds: float) -> int:
    """Delete daily buckets of domains that are no more; return how many.

    Args:
        piece: which part of the domains to look at, from 0.
        pieces: in how many parts they are.
        seconds: after how long nothing more is begun.
    """
    until = time.monotonic() + seconds
    deleted = 0
    with connection.cursor() as cursor:
        cursor.execute(_GONE, {"piece": piece, "pieces": pieces})
        for gone in cursor.fetchall():
            # Years of one domain are some thousands of rows: a statement each is short.
            cursor.execute(f"DELETE FROM {DAYS} WHERE domain_id = %s", gone)
            deleted += cursor.rowcount
            if time.monotonic() >= until:
                break
    return deleted
