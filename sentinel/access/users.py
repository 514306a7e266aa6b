"""People who sign in: made, given a scope, shut out. The only writer of users; all is audited."""

from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from domains.audit import Actor, Change, difference, record
from domains.request import MASK
from sentinel.access.permissions import scope_of
from sentinel.access.scopes import SCOPES

OBJECT: Final = "user"

_NAMES: Final = (8, 1)
"""The advisory lock of those who make users: that a name is free is seen and kept so."""


class UserRefused(ValueError):  # noqa: N818 - bad input, answered as such
    """What was given makes no user; ``field`` is the one at fault, the message the cure."""

    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.field = field


def actor_of(user: User, *, request_id: str = "") -> Actor:
    """Return who acts, where a user does."""
    return Actor("user", user.pk, user.get_username(), request_id)


def create_user(name: str, *, scope: str, password: str, by: Actor, now: datetime) -> User:
    """Make a user who can sign in.

    Raises:
        UserRefused: the name is taken or none, the scope is not known, or the password is weak.
    """
    user = User(username=User.normalize_username(name), is_staff=True)
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        raise UserRefused("name", " ".join(error.messages)) from None
    _refuse_taken(user)
    group = _group(scope)
    _check_password(password, user)
    user.set_password(password)
    with transaction.atomic():
        # Asked again, alone: hashing takes long enough for another to take the name.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _NAMES)
        _refuse_taken(user)
        user.save(force_insert=True)
        user.groups.set([group])
        record([_change("user.created", user, before=None, after=_shown(user))], by=by, now=now)
    return user


def change_user(
    user: User, *, scope: str | None = None, enabled: bool | None = None, by: Actor, now: datetime
) -> None:
    """Give a user another scope, or shut out or let in again; open sessions follow at once.

    Raises:
        UserRefused: the scope is not known, or users would shut out or demote themselves.
    """
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        before = _shown(user)
        if scope is not None and scope != before["scope"]:
            user.groups.set([_group(scope)])
            if user.is_superuser:
                # Else it would hold more than the scope that it is given.
                user.is_superuser = False
                user.save(update_fields=["is_superuser"])
        if enabled is not None and enabled != user.is_active:
            user.is_active = enabled
            user.save(update_fields=["is_active"])
        was, became = difference(before, _shown(user))
        if not became:
            return
        if by.kind == "user" and by.id == user.pk:
            # Whoever does this was the last to be able to, sooner or later.
            raise UserRefused(next(iter(became)), "nobody changes that of themselves: ask another")
        record([_change("user.changed", user, before=was, after=became)], by=by, now=now)


def set_password(user: User, password: str, *, by: Actor, now: datetime) -> None:
    """Give a user another password; sessions opened with the one before end.

    Raises:
        UserRefused: it is weak.
    """
    _check_password(password, user)
    user.set_password(password)
    masked = {"password": MASK}
    with transaction.atomic():
        user.save(update_fields=["password"])
        record([_change("user.changed", user, before=masked, after=masked)], by=by, now=now)


def find_user(name: str) -> User:
    """Return the user of that name.

    Raises:
        UserRefused: there is none.
    """
    user = User.objects.filter(username=User.normalize_username(name)).first()
    if user is None:
        raise UserRefused("name", f"there is no user {name}")
    return user


def _refuse_taken(user: User) -> None:
    if User.objects.filter(username__iexact=user.username).exists():
        raise UserRefused("name", f"there is a user {user.username} already: choose another name")


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise UserRefused("password", " ".join(error.messages)) from None


def _group(scope: str) -> Group:
    if scope not in SCOPES:
        raise UserRefused("scope", f"there is no such scope: give one of {', '.join(SCOPES)}")
    return Group.objects.get_or_create(name=scope)[0]


def _shown(user: User) -> dict[str, Any]:
    return {"name": user.username, "scope": scope_of(user), "enabled": user.is_active}


def _change(action: str, user: User, *, before: Any, after: Any) -> Change:
    return Change(action=action, object_kind=OBJECT, object_id=user.pk, before=before, after=after)
