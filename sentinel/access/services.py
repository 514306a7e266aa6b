"""What people do to keys. The only writer of the table, but for when a key was last used.

Whoever changes keys does so alone: a name is free, or another admin key is there, for as long
as it takes to write what follows from it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from domains.audit import Actor, Change, difference, record
from domains.paging import decode_cursor, encode_cursor
from domains.rules import FieldsRefused
from sentinel.access.conflicts import KeyEnded, KeyNotFound, LastAdminKey, NameTaken
from sentinel.access.keys import digest_of, prefix_of
from sentinel.access.models import ApiKey
from sentinel.access.scopes import Scope, allows, in_order
from sentinel.key_files import new_key

_KEYS: Final = (8, 0)
"""The advisory lock of those who change keys."""

BOOTSTRAP: Final = "bootstrap"
"""The name of the key that the environment brings. No other has it: a start ends who does."""

_SHOWN: Final = (
    *("name", "prefix", "scopes", "expires_at", "revoked_at", "rotated_at", "replaces_id"),
)
"""What the audit shows of a key: nothing that opens anything."""


def create_key(
    *, name: str, scopes: Iterable[str], expires_at: datetime | None, by: Actor, now: datetime
) -> tuple[ApiKey, str]:
    """Make a key; return it and its text, which cannot be had again.

    Raises:
        FieldsRefused: it would have expired already, or the name is the environment's.
        NameTaken: another key has the name.
    """
    _refuse_past(expires_at, now=now)
    if name == BOOTSTRAP:
        raise _of_the_environment()
    with transaction.atomic():
        alone()
        _refuse_taken(name)
        return _insert(name=name, scopes=scopes, expires_at=expires_at, by=by, now=now)


def get_key(key_id: int) -> ApiKey:
    """Return a key.

    Raises:
        KeyNotFound: there is none.
    """
    key = ApiKey.objects.filter(pk=key_id).first()
    if key is None:
        raise KeyNotFound(key_id)
    return key


def change_key(key_id: int, fields: Mapping[str, Any], *, by: Actor, now: datetime) -> ApiKey:
    """Change the given ones of ``name``, ``scopes`` and ``expires_at``.

    Raises:
        KeyNotFound: there is none.
        KeyEnded: it was revoked.
        FieldsRefused: it would have expired already, a rotated key would last longer, or the
            name is the environment's, or was.
        NameTaken: another key has the name.
        LastAdminKey: no other admin key lasts as long as it did.
    """
    with transaction.atomic():
        alone()
        key = get_key(key_id)
        if key.revoked_at is not None:
            raise KeyEnded.revoked(key)
        new = dict(fields)
        if "scopes" in new:
            new["scopes"] = in_order(new["scopes"])
        new = {name: value for name, value in new.items() if getattr(key, name) != value}
        if not new:
            return key
        if "expires_at" in new:
            _refuse_past(new["expires_at"], now=now)
            _refuse_longer(key, new["expires_at"])
        if "name" in new:
            if BOOTSTRAP in (new["name"], key.name):
                raise _of_the_environment()
            if key.rotated_at is None:
                _refuse_taken(new["name"])
        stays = allows(new.get("scopes", key.scopes), Scope.ADMIN)
        if not stays or _is_sooner(new.get("expires_at"), key.expires_at):
            _refuse_last_admin(key, now=now)
        update(key, "key.changed", new, by=by, now=now)
    return key


def rotate_key(
    key_id: int, *, overlap: timedelta, by: Actor, now: datetime
) -> tuple[ApiKey, ApiKey, str]:
    """Make a key of the same name and scopes, and let the present one expire after ``overlap``.

    A key that expires is replaced by one that lives for as long as it was to live.

    Returns:
        The key that was, the new one, and the text of that, which cannot be had again.

    Raises:
        KeyNotFound: there is none.
        KeyEnded: it was revoked or rotated, or has expired.
    """
    with transaction.atomic():
        alone()
        old = get_key(key_id)
        if old.revoked_at is not None:
            raise KeyEnded.revoked(old)
        if old.rotated_at is not None:
            raise KeyEnded(old, "was rotated before", "rotate the key that took its place")
        if old.state(now=now) == "expired":
            raise KeyEnded(old, "has expired", "make another, or first let this one last longer")
        lifetime = None if old.expires_at is None else old.expires_at - old.created_at
        end = now + overlap
        if old.expires_at is not None:
            end = min(end, old.expires_at)
        update(old, "key.rotated", {"rotated_at": now, "expires_at": end}, by=by, now=now)
        new, text = _insert(
            name=old.name,
            scopes=old.scopes,
            expires_at=None if lifetime is None else now + lifetime,
            replaces=old,
            by=by,
            now=now,
        )
    return old, new, text


def revoke_key(key_id: int, *, by: Actor, now: datetime, spare_admin: bool = True) -> ApiKey:
    """Let a key open nothing from now on, for good. Its row stays; revoked twice is once.

    Raises:
        KeyNotFound: there is none.
        LastAdminKey: no other admin key lasts as long, and ``spare_admin``.
    """
    with transaction.atomic():
        alone()
        key = get_key(key_id)
        if key.revoked_at is None:
            if spare_admin:
                _refuse_last_admin(key, now=now)
            update(key, "key.revoked", {"revoked_at": now}, by=by, now=now)
    return key


def page_of_keys(
    *, state: str | None, cursor: str | None, limit: int, now: datetime
) -> tuple[list[ApiKey], str | None]:
    """Return keys by id, and the cursor of the next page, None on the last.

    Raises:
        BadCursor: the cursor is not of this list.
    """
    keys = ApiKey.objects.order_by("pk")
    if state is not None:
        keys = keys.filter(_in_state(state, now=now))
    if cursor is not None:
        (last,) = decode_cursor(cursor, int)
        keys = keys.filter(pk__gt=last)
    page = list(keys[: limit + 1])
    if len(page) <= limit:
        return page, None
    return page[:limit], encode_cursor(page[limit - 1].pk)


def _in_state(state: str, *, now: datetime) -> Q:
    if state == "revoked":
        return Q(revoked_at__isnull=False)
    expired = Q(revoked_at=None, expires_at__lte=now)
    return expired if state == "expired" else Q(revoked_at=None) & ~expired


def admin_keys(*, until: datetime | None) -> QuerySet[ApiKey]:
    """Return the admin keys that last until an instant or longer, but for those on their way out.

    Args:
        until: that instant; None for those that never expire.
    """
    lasting = Q(expires_at=None)
    if until is not None:
        lasting |= Q(expires_at__gte=until)
    return ApiKey.objects.filter(
        lasting, scopes__contains=[Scope.ADMIN], revoked_at=None, rotated_at=None
    )


def alone() -> None:
    """Wait for the others who change keys, and keep them waiting until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _KEYS)


def insert(text: str, *, by: Actor, now: datetime, **fields: Any) -> ApiKey:
    """Write a key into the open transaction, and that it was made."""
    key = ApiKey.objects.create(
        prefix=prefix_of(text), digest=digest_of(text), created_at=now, **fields
    )
    change = Change(
        action="key.created",
        object_kind="key",
        object_id=key.pk,
        before=None,
        after=_shown(key),
    )
    record([change], by=by, now=now)
    return key


def update(
    key: ApiKey, action: str, fields: Mapping[str, Any], *, by: Actor, now: datetime
) -> None:
    """Change a key's row in the open transaction, and write down that it was."""
    before = _shown(key)
    for name, value in fields.items():
        setattr(key, name, value)
    key.save(update_fields=[*fields])
    was, is_now = difference(before, _shown(key))
    change = Change(action=action, object_kind="key", object_id=key.pk, before=was, after=is_now)
    record([change], by=by, now=now)


def _insert(
    *, by: Actor, now: datetime, scopes: Iterable[str], **fields: Any
) -> tuple[ApiKey, str]:
    text = new_key()
    return insert(text, by=by, now=now, scopes=in_order(scopes), **fields), text


def _shown(key: ApiKey) -> dict[str, Any]:
    return {name.removesuffix("_id"): getattr(key, name) for name in _SHOWN}


def _refuse_past(expires_at: datetime | None, *, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise FieldsRefused([("#/expires_at", "it must lie in the future, or be null for never")])


def _refuse_longer(key: ApiKey, expires_at: datetime | None) -> None:
    if key.rotated_at is not None and not _is_sooner(expires_at, key.expires_at):
        words = "this key was rotated: it may end sooner than it does, but not later"
        raise FieldsRefused([("#/expires_at", words)])


def _refuse_taken(name: str) -> None:
    other = ApiKey.objects.filter(name=name, revoked_at=None, rotated_at=None).first()
    if other is not None:
        raise NameTaken(other)


def _of_the_environment() -> FieldsRefused:
    words = (
        f"{BOOTSTRAP} is the name of the key that the environment brings, and of no other, since a "
        "start with another key ends it: choose another name, or leave that key its own"
    )
    return FieldsRefused([("#/name", words)])


def _refuse_last_admin(key: ApiKey, *, now: datetime) -> None:
    """Refuse to end an admin key while no other is there for as long as it was to be."""
    opens = key.state(now=now) == "live" and allows(key.scopes, Scope.ADMIN)
    if opens and not admin_keys(until=key.expires_at).exclude(pk=key.pk).exists():
        raise LastAdminKey(key)


def _is_sooner(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one < other)
