"""How often a key may ask, and how often an address may come without one.

Counted in Redis by ``limits``, whose scripts are atomic there: a window that slides by weighing
the minute before, so a key takes two numbers however high its limit is. Answers say what is left
as draft-ietf-httpapi-ratelimit-headers-10 ("RateLimit header fields for HTTP") has it.

Throttling is a courtesy of Redis, never a condition: where it is away everybody who has a key is
let in. Attempts to sign in are counted by each process then: a password can be guessed.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import RedisError

from sentinel import broker
from sentinel.client_address import network_of
from sentinel.limit_storage import OneTripStorage
from sentinel.problems import problem, unauthenticated
from sentinel.tracebacks import words_of

log = structlog.get_logger(__name__)

WINDOW_SECONDS: Final = 60
FAILURES: Final = "failures"
"""The policy of addresses without a valid key."""

PATIENCE_SECONDS: Final = 0.05
"""How long Redis is waited for, for a connection and for each answer."""

PAUSE_SECONDS: Final = 2.0
"""How long it is left alone once it did not answer."""

_MOST_OVER: Final = 10_000
"""Who is remembered to have come too often; of more, those are forgotten that may come again."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a limit leaves: of ``quota`` in a minute ``left``, more after ``seconds``."""

    policy: str
    quota: int
    left: int
    seconds: int
    allowed: bool

    def mark(self, response: HttpResponseBase) -> None:
        """Say it in an answer's headers."""
        response["RateLimit-Policy"] = f'"{self.policy}";q={self.quota};w={WINDOW_SECONDS}'
        response["RateLimit"] = f'"{self.policy}";r={self.left};t={self.seconds}'


class Throttle:
    """Counts in one Redis, which may be away.

    Args:
        url: as ``REDIS_URL`` has it.
        prefix: of the names of its entries.
    """

    def __init__(self, url: str, *, prefix: str = "sentinel:limit") -> None:
        self._client = broker.impatient_client(url, seconds=PATIENCE_SECONDS)
        # The URL says no more than which library: the pool knows the way, by Redis Sentinel too.
        storage = OneTripStorage(
            "redis://", connection_pool=self._client.connection_pool, key_prefix=prefix
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._lock = threading.Lock()
        self._away = False
        self._near: SlidingWindowCounterRateLimiter | None = None
        self._over: dict[tuple[str, str], float] = {}

    @property
    def is_away(self) -> bool:
        """Whether Redis is left alone just now."""
        return self._away

    def take(self, policy: str, who: str, quota: int) -> Allowance | None:
        """Take one of a minute's ``quota``; None where that is 0, or Redis is away."""
        if not quota or self._away:
            return None
        try:
            return self._hit(self._limiter, policy, who, quota)
        except (RedisError, OSError) as error:
            self._leave(error)
            return None

    def take_surely(self, policy: str, who: str, quota: int) -> Allowance | None:
        """Take one of a minute's ``quota``; where Redis is away, of this process's own."""
        allowance = self.take(policy, who, quota)
        if allowance is not None or not quota:
            return allowance
        with self._lock:
            # Made when it is needed: it starts threads, which a fork would lose.
            self._near = self._near or SlidingWindowCounterRateLimiter(MemoryStorage())
            return self._hit(self._near, policy, who, quota)

    def is_over(self, policy: str, who: str) -> bool:
        """Return whether this process has told them to come later, and later it is not."""
        return time.monotonic() < self._over.get((policy, who), 0.0)

    @property
    def has_over(self) -> bool:
        """Whether there is anybody of whom that may hold."""
        return bool(self._over)

    def _hit(
        self, limiter: SlidingWindowCounterRateLimiter, policy: str, who: str, quota: int
    ) -> Allowance:
        item = RateLimitItemPerMinute(quota, namespace=policy)
        allowed = limiter.hit(item, who)
        stats = limiter.get_window_stats(item, who)
        seconds = max(1, math.ceil(stats.reset_time - time.time()))
        if not allowed:
            self._remember((policy, who), seconds)
        left = min(quota, stats.remaining) if allowed else 0
        return Allowance(policy, quota, left, seconds, allowed)

    def _remember(self, who: tuple[str, str], seconds: int) -> None:
        now = time.monotonic()
        if len(self._over) >= _MOST_OVER:
            # A new one, put in place whole: other threads look into the one that there is.
            self._over = {each: end for each, end in [*self._over.items()] if end > now}
        if len(self._over) < _MOST_OVER:
            self._over[who] = now + seconds

    def _leave(self, error: Exception) -> None:
        with self._lock:
            if self._away:
                return
            self._away = True
        log.warning("Redis does not answer: no key is throttled", error=words_of(error))
        threading.Thread(target=self._come_back, name="throttle", daemon=True).start()

    def _come_back(self) -> None:
        # In a thread of its own: the name of a host that is gone can take seconds to look up.
        while True:
            time.sleep(PAUSE_SECONDS)
            try:
                # What is open may be half-open: each of them would be found out by a request.
                self._client.connection_pool.disconnect(inuse_connections=False)
                self._client.ping()
            except (RedisError, OSError):
                continue
            break
        self._away = False
        log.info("Redis answers again: throttling goes on")


@lru_cache(maxsize=1)
def throttle() -> Throttle:
    """Return the throttle of this process."""
    return Throttle(settings.REDIS_URL)


def over_quota(request: HttpRequest) -> HttpResponse | None:
    """Count a request by its key; answer where that asks too often, else None.

    A request whose key lacks the scope for it counts as well: it costs as much to refuse.
    """
    actor = getattr(getattr(request, "auth", None), "actor", None)
    if actor is None:
        return None
    # By its number: no text of a key is ever in Redis.
    quota = settings.SENTINEL_RATE_LIMIT
    allowance = throttle().take("key", f"{actor.kind}:{actor.id}", quota)
    if allowance is None:
        return None
    if not allowance.allowed:
        return too_many(request, allowance)
    request.allowance = allowance  # type: ignore[attr-defined] # a middleware tells of it
    return None


def shut_out(request: HttpRequest) -> bool:
    """Return whether this process has told the address that it came too often without a key."""
    known = throttle()
    return known.has_over and known.is_over(FAILURES, network_of(request))


def too_many(request: HttpRequest, allowance: Allowance) -> HttpResponse:
    """Answer that it was too often, and when to come again."""
    whose = "this key has" if allowance.policy == "key" else "this address has, without a key,"
    response = problem(
        request,
        429,
        f"{whose} sent {allowance.quota} requests within a minute: "
        f"try again in {allowance.seconds} s",
        headers={"Retry-After": str(allowance.seconds)},
    )
    allowance.mark(response)
    return response


def stranger(request: HttpRequest, detail: str | None = None) -> HttpResponse:
    """Answer who has no valid key: 401, or 429 where its address comes too often.

    A valid key is never asked where it comes from: it is not shut out by its neighbours.
    """
    allowance = throttle().take(
        FAILURES, network_of(request), settings.SENTINEL_RATE_LIMIT_FAILURES
    )
    if allowance is not None and not allowance.allowed:
        return too_many(request, allowance)
    response = unauthenticated(request, detail)
    if allowance is not None:
        allowance.mark(response)
    return response


class AllowanceMiddleware:
    """Tells whoever was let in what is left, whatever came of the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        response = self._get_response(request)
        allowance = getattr(request, "allowance", None)
        if allowance is not None:
            allowance.mark(response)
        return response
