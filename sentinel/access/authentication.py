"""The two ways a request carries its key. Both are in the schema, so Swagger's Authorize works."""

from typing import Any

from django.http import HttpRequest
from ninja.security import APIKeyHeader, HttpBearer

from domains.clock import database_now
from sentinel.access.keys import find_key


class BearerKey(HttpBearer):
    """``Authorization: Bearer KEY``."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        """Return the live key, or None."""
        return find_key(token, now=database_now()) if token else None


class HeaderKey(APIKeyHeader):
    """``X-API-Key: KEY``."""

    param_name = "X-API-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        """Return the live key, or None."""
        return find_key(key, now=database_now()) if key else None
