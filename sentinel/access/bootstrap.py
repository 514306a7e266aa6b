"""The key that the environment brings, with which everything begins."""

from datetime import datetime

from django.db import transaction

from domains.audit import OPERATOR
from sentinel.access.keys import digest_of, prefix_of
from sentinel.access.models import ApiKey
from sentinel.access.scopes import Scope, allows
from sentinel.access.services import BOOTSTRAP, alone, insert, update


def store_bootstrap_key(key: str, *, now: datetime) -> ApiKey:
    """Make ``key`` the one bootstrap key, with the scope admin; one before it expires at once.

    What people did to it stays done: a key that was revoked, rotated or made to expire is not
    brought back by a start, though one that only another bootstrap key took the place of is.

    Returns:
        The key as it is stored: its ``state`` and ``scopes`` say whether it opens everything.
    """
    with transaction.atomic():
        alone()
        stored = ApiKey.objects.filter(digest=digest_of(key)).first()
        if stored is not None and stored.prefix != prefix_of(key):
            # It was the beginning of the key. Not recorded: the audit would show that for good.
            stored.prefix = prefix_of(key)
            stored.save(update_fields=["prefix"])
        if stored is not None and not _may_open(stored, now=now):
            return stored
        others = ApiKey.objects.filter(name=BOOTSTRAP, revoked_at=None, rotated_at=None)
        for other in others.exclude(digest=digest_of(key)):
            ended = {"rotated_at": now, "expires_at": min(now, other.expires_at or now)}
            update(other, "key.rotated", ended, by=OPERATOR, now=now)
        if stored is None:
            return insert(key, name=BOOTSTRAP, scopes=[Scope.ADMIN], by=OPERATOR, now=now)
        if stored.rotated_at is not None:
            back = {"name": BOOTSTRAP, "rotated_at": None, "expires_at": None}
            update(stored, "key.changed", back, by=OPERATOR, now=now)
    return stored


def _may_open(key: ApiKey, *, now: datetime) -> bool:
    """Return whether a key is an admin's, and live but for another key of the environment."""
    if key.revoked_at is not None or not allows(key.scopes, Scope.ADMIN):
        return False
    if key.rotated_at is not None:
        return not ApiKey.objects.filter(replaces=key).exists()
    return key.state(now=now) == "live"
