"""Finding the key that a request carries."""

import hashlib
import re
import threading
import time
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import DatabaseError, connection, transaction

from sentinel.access.models import ApiKey

log = structlog.get_logger(__name__)

_PREFIX_CHARS: Final = 8
_LAST_USED_PRECISION: Final = timedelta(seconds=60)
_FRESH_SECONDS: Final = 1.0
_FORM: Final = re.compile(r"[!-~]{1,200}")
_MADE_HERE: Final = re.compile(r"[0-9a-f]{8}\.[A-Za-z0-9_-]{43}")

_COLUMNS: Final = tuple(
    field.attname for field in ApiKey._meta.concrete_fields if field.attname != "digest"
)
# Written out: it is asked for each request, and building it takes longer than running it.
_FIND: Final = (
    f"SELECT {', '.join(_COLUMNS)}, instant FROM access_apikey, "
    "(SELECT coalesce(%s::timestamptz, clock_timestamp()) AS instant) AS asked "
    "WHERE digest = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > instant)"
)
_LIVE: Final = (
    "SELECT digest FROM access_apikey "
    "WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())"
)
_LINE: Final = """
    WITH RECURSIVE line (id, replaces_id) AS (
        SELECT id, replaces_id FROM access_apikey WHERE id = %s
        UNION ALL SELECT older.id, older.replaces_id
        FROM access_apikey AS older JOIN line ON older.id = line.replaces_id
    ) SELECT id FROM line WHERE replaces_id IS NULL
"""


def digest_of(key: str) -> bytes:
    """Return what is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def prefix_of(key: str) -> str:
    """Return by what people tell a key from others: it is shown and logged, and opens nothing.

    Of a key that was made here that is its public beginning. One that somebody else thought up has
    no part that may be seen, so there it is the beginning of its digest.
    """
    made_here = _MADE_HERE.fullmatch(key)
    return (key if made_here else digest_of(key).hex())[:_PREFIX_CHARS]


def find_key(key: str, *, now: datetime | None = None) -> ApiKey | None:
    """Return the live key of that text, or None; its last use is noted to the minute.

    It is looked up by its digest: how long that takes says nothing about the keys there are.
    One query, and no more than its text: each request waits for it.

    Args:
        key: as a request carries it.
        now: the instant that counts; without it, the database's own, read on the way.
    """
    if not _FORM.fullmatch(key):
        return None
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [now, digest_of(key)])
        row = cursor.fetchone()
    if row is None:
        return None
    *values, instant = row
    found = ApiKey.from_db(connection.alias, _COLUMNS, values)
    if _is_old(found.last_used_at, now=instant):
        _note_use(found, now=instant)
    return found


def first_of_line(key: ApiKey) -> int:
    """Return the id of the key that this one is by rotations, its own where there was none."""
    if key.replaces_id is None:
        return key.pk
    with connection.cursor() as cursor:
        cursor.execute(_LINE, [key.pk])
        (first,) = cursor.fetchone()
    return int(first)


class LiveKeys:
    """The digests of the keys that were live a second ago at the most: one query a second.

    So a flood of wrong keys is told from the key of a neighbour without asking the database for
    each. What is among them still has to be found: it may have been revoked since.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0
        self._digests: frozenset[bytes] = frozenset()

    def has(self, key: str) -> bool:
        """Return whether that text was a live key; who comes while they are read waits for it."""
        with self._lock:
            if time.monotonic() >= self._until:
                with connection.cursor() as cursor:
                    cursor.execute(_LIVE)
                    self._digests = frozenset(bytes(digest) for (digest,) in cursor)
                self._until = time.monotonic() + _FRESH_SECONDS
            return digest_of(key) in self._digests


live_keys: Final = LiveKeys()
"""Those that this process knows."""


def _is_old(last_used_at: datetime | None, *, now: datetime) -> bool:
    return last_used_at is None or last_used_at < now - _LAST_USED_PRECISION


def _note_use(key: ApiKey, *, now: datetime) -> None:
    """Write that a key is in use, unless somebody has its row; no request fails for it."""
    try:
        # Where a transaction is open, what fails in it must not fail the rest.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE access_apikey SET last_used_at = %s WHERE id = ("
                "SELECT id FROM access_apikey WHERE id = %s "
                "AND (last_used_at IS NULL OR last_used_at < %s) FOR NO KEY UPDATE SKIP LOCKED)",
                [now, key.pk, now - _LAST_USED_PRECISION],
            )
    except DatabaseError as error:
        log.warning("a key's last use was not noted", key_id=key.pk, error=type(error).__name__)
    else:
        key.last_used_at = now
