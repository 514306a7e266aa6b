"""What waits for a lock in the test's database, and how that is waited for."""

import time
from collections.abc import Callable

import pytest
from django.db import connection


def waiting_for_locks() -> int:
    """Return how many sessions wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # one is kept to a transaction's end
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (number,) = cursor.fetchone()
        return int(number)


def until(look: Callable[[], object], what: str, seconds: float = 40) -> None:
    """Wait until what is seen is true."""
    end = time.monotonic() + seconds
    while not look():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.02)
