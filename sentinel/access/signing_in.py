"""Signing in with a user's name and password, and how often that may be tried."""

import ipaddress
import math
import time
import unicodedata
from functools import lru_cache
from typing import Any, Final

import structlog
from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils.crypto import salted_hmac
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import RedisError

from domains.clock import database_now
from sentinel import broker
from sentinel.access import users

log = structlog.get_logger(__name__)

PER_NAME: Final = RateLimitItemPerMinute(5, 5, namespace="sign-in")
"""Attempts for one name from one address. Nobody can lock a user out from somewhere else."""

PER_ADDRESS: Final = RateLimitItemPerMinute(20, 5, namespace="sign-in")
"""Attempts from one address, whatever the names."""

_REDIS_SECONDS: Final = 1.0


class SignInForm(AdminAuthenticationForm):
    """Name and password; ``retry_after`` says in how many seconds, where it was tried too often."""

    retry_after: int | None = None

    def clean(self) -> dict[str, Any]:
        """Check the password, unless there were too many attempts."""
        name = self.cleaned_data.get("username") or ""
        assert self.request is not None
        address = self.request.META.get("REMOTE_ADDR", "")
        self.retry_after = login_allowed(address, name)
        if self.retry_after is not None:
            minutes = math.ceil(self.retry_after / 60)
            raise ValidationError(
                f"Too many attempts to sign in: try again in {minutes} min.", code="throttled"
            )
        cleaned = super().clean()
        forget_attempts(address, name)
        return cleaned


class OwnPasswordForm(AdminPasswordChangeForm):
    """The page on which users change their own password; the audit has it."""

    def save(self, commit: bool = True) -> User:
        """Store the new password."""
        user = self.user
        assert isinstance(user, User)
        users.set_password(
            user, self.cleaned_data["new_password1"], by=users.actor_of(user), now=database_now()
        )
        return user


def login_allowed(address: str, name: str) -> int | None:
    """Count an attempt to sign in; return None if it may be made, else the seconds to wait.

    Counted before the password is looked at, so that attempts made at once count too. Where
    Redis does not answer, every attempt may be made.
    """
    try:
        limiter = _limiter()
        for limit, identity in _counters(address, name):
            if not limiter.hit(limit, *identity):
                reset = limiter.get_window_stats(limit, *identity).reset_time
                return max(1, math.ceil(reset - time.time()))
    except (RedisError, OSError) as error:
        log.warning("attempts to sign in are not counted: Redis is away", error=str(error))
    return None


def forget_attempts(address: str, name: str) -> None:
    """Let whoever has signed in start anew."""
    try:
        limit, identity = _counters(address, name)[0]
        _limiter().clear(limit, *identity)
    except (RedisError, OSError) as error:
        log.warning("attempts to sign in are not counted: Redis is away", error=str(error))


def _counters(
    address: str, name: str
) -> tuple[tuple[RateLimitItemPerMinute, tuple[str, ...]], ...]:
    place = _network(address)
    # Not the name itself: it may be a password, typed into the wrong field.
    person = salted_hmac("sentinel.sign-in", unicodedata.normalize("NFKC", name).casefold())
    return (PER_NAME, (place, person.hexdigest())), (PER_ADDRESS, (place,))


def _network(address: str) -> str:
    """Return what one party has: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.ip_network((parsed, 64), strict=False))


@lru_cache(maxsize=1)
def _limiter() -> FixedWindowRateLimiter:
    client = broker.client(settings.SENTINEL_REDIS_URL, seconds=_REDIS_SECONDS)
    # The address is the pool's: of the URL, only the scheme counts here.
    storage = RedisStorage(
        "redis://", connection_pool=client.connection_pool, key_prefix="sentinel:limits"
    )
    return FixedWindowRateLimiter(storage)
