"""The two ways a request carries its key. Both are in the schema, so Swagger's Authorize works."""

from typing import Any, Final

from django.http import HttpRequest
from ninja.security import APIKeyHeader, HttpBearer

from sentinel.access.keys import find_key, live_keys
from sentinel.access.models import ApiKey
from sentinel.access.scopes import Scope, allows, needed_by
from sentinel.throttling import shut_out


class KeysDiffer(Exception):  # noqa: N818 - a 401, not a fault
    """A request carries one key in each header: which of them acts cannot be known."""

    def __init__(self) -> None:
        super().__init__(
            "two different API keys were sent: send one, either as 'Authorization: Bearer KEY' "
            "or as 'X-API-Key: KEY'"
        )


class ScopeMissing(Exception):  # noqa: N818 - a 403, not a fault
    """The key is good, but not for this.

    Attributes:
        needed: the scope that the request needs.
    """

    def __init__(self, key: ApiKey, needed: Scope) -> None:
        self.needed = needed
        super().__init__(
            f"this needs a key with the scope {needed}; this key has {', '.join(key.scopes)}"
        )


class _Way:
    """What both ways share: whose key it is, and whether it has the scope."""

    def __init__(self, scope: Scope | None = None) -> None:
        """Open to keys of a scope; where none is given, of the scope that the method needs."""
        super().__init__()
        self._scope = scope

    def _holder(self, request: HttpRequest, text: str | None, other: str | None) -> ApiKey | None:
        if not text:
            return None
        if other and other != text:
            raise KeysDiffer
        if shut_out(request) and not live_keys.has(text):
            return None
        key = find_key(text)
        if key is None:
            return None
        # Also where it is refused: the request is this key's, and counts as such.
        request.auth = key  # type: ignore[attr-defined] # as Ninja does
        needed = self._scope or needed_by(request.method or "")
        if not allows(key.scopes, needed):
            raise ScopeMissing(key, needed)
        return key


class BearerKey(_Way, HttpBearer):
    """``Authorization: Bearer KEY``."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        """Return the live key, or None."""
        return self._holder(request, token, request.headers.get(HeaderKey.param_name))


class HeaderKey(_Way, APIKeyHeader):
    """``X-API-Key: KEY``."""

    param_name = "X-API-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        """Return the live key, or None."""
        if request.headers.get("Authorization") == f"Bearer {key}":
            return None  # looked up before, and refused
        # A bearer that differs was refused before; another kind of credential is a proxy's.
        return self._holder(request, key, None)


def ways(scope: Scope | None = None) -> list[BearerKey | HeaderKey]:
    """Return both ways, open to keys of a scope, or of the one that the method needs."""
    return [BearerKey(scope), HeaderKey(scope)]


ADMIN_ONLY: Final = ways(Scope.ADMIN)
