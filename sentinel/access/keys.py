"""Storing and checking API keys. The caller passes the time."""

import hashlib
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q

from sentinel.access.models import ApiKey
from sentinel.access.scopes import Scope

BOOTSTRAP: Final = "bootstrap"
PREFIX_CHARS: Final = 8
_LAST_USED_PRECISION: Final = timedelta(seconds=60)


def digest_of(key: str) -> bytes:
    """Return what is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def store_bootstrap_key(key: str, *, now: datetime) -> None:
    """Make ``key`` the one live bootstrap key; the one before it, if another, is revoked."""
    digest = digest_of(key)
    with transaction.atomic():
        ApiKey.objects.filter(name=BOOTSTRAP, revoked_at=None).exclude(digest=digest).update(
            revoked_at=now
        )
        ApiKey.objects.update_or_create(
            digest=digest,
            defaults={
                "name": BOOTSTRAP,
                "prefix": key[:PREFIX_CHARS],
                "scopes": [Scope.ADMIN],
                "revoked_at": None,
            },
        )


def find_key(key: str, *, now: datetime) -> ApiKey | None:
    """Return the live key of that text, or None; its last use is noted to the minute."""
    found = ApiKey.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now), digest=digest_of(key), revoked_at=None
    ).first()
    if found is not None and (
        found.last_used_at is None or found.last_used_at < now - _LAST_USED_PRECISION
    ):
        ApiKey.objects.filter(pk=found.pk).update(last_used_at=now)
    return found
