"""What users may do on the admin's pages, by the scope that one of their groups names.

The permissions are Django's, as its admin asks for them; which scope has which stands here and
not in rows of the database, so that an upgrade that adds a page needs to change none.
"""

from typing import Any, Final

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User

from sentinel.access.scopes import SCOPES

_SEEN: Final = ("location", "tick", "batch", "domainstate", "transition", "workerpulse")
_READ: Final = frozenset({"domains.view_domain", *(f"monitoring.view_{name}" for name in _SEEN)})
_WRITE: Final = _READ | {f"domains.{action}_domain" for action in ("add", "change", "delete")}
_ADMIN: Final = _WRITE | {
    "domains.view_auditentry",
    *(f"access.{action}_apikey" for action in ("view", "add", "change")),
    *(f"auth.{action}_user" for action in ("view", "add", "change")),
}
PERMISSIONS: Final = {"read": _READ, "write": _WRITE, "admin": _ADMIN}


def scope_of(user: User) -> str | None:
    """Return the widest scope of a user's groups, None without any; of a superuser, admin.

    Asks nothing where the groups were read before.
    """
    if user.is_superuser:
        # Made by Django's own command: there is nothing that Django would not let them do.
        return SCOPES[-1]
    names = {group.name for group in user.groups.all()}
    return next((scope for scope in reversed(SCOPES) if scope in names), None)


class ScopeBackend(ModelBackend):
    """Django's backend of users and passwords, with permissions by scope: one query a request."""

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return none: a user has what the scope has."""
        return set()

    def get_group_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return the permissions of the user's scope."""
        if not user_obj.is_active or user_obj.is_anonymous or obj is not None:
            return set()
        scope = scope_of(user_obj)
        return set() if scope is None else set(PERMISSIONS[scope])
