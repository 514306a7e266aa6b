"""Finding the key that a request carries. The caller passes the time."""

import hashlib
import re
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import Q

from sentinel.access.models import ApiKey

log = structlog.get_logger(__name__)

PREFIX_CHARS: Final = 8
_LAST_USED_PRECISION: Final = timedelta(seconds=60)
_FORM: Final = re.compile(r"[!-~]{1,200}")


def digest_of(key: str) -> bytes:
    """Return what is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def find_key(key: str, *, now: datetime) -> ApiKey | None:
    """Return the live key of that text, or None; its last use is noted to the minute.

    It is looked up by its digest: how long that takes says nothing about the keys there are.
    """
    if not _FORM.fullmatch(key):
        return None
    found = ApiKey.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now), digest=digest_of(key), revoked_at=None
    ).first()
    if found is not None and _is_old(found.last_used_at, now=now):
        _note_use(found, now=now)
    return found


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
