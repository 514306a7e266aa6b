"""Redis, as ``REDIS_URL`` names it: one server, or several with Redis Sentinel.

A *sentinel* is here a process of Redis Sentinel, which says where the master is. Each library
has another way of being told of them; this module knows all of those.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

FORM: Final = "sentinel://:password@host1:26379,host2:26379/0?master=name"

_SCHEME: Final = "sentinel://"
_PORT: Final = 26379
_PARAMETERS: Final = ("master", "sentinel_username", "sentinel_password")

_SENTINEL_SECONDS: Final = 1.0
"""How long one sentinel is waited for: the others are asked after it, within one connect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failover:
    """What a URL of the scheme ``sentinel`` says."""

    sentinels: tuple[tuple[str, int], ...]
    master: str
    database: int
    username: str | None
    password: str | None
    sentinel_username: str | None
    sentinel_password: str | None

    def asking(self, seconds: float = _SENTINEL_SECONDS) -> "_Asking":
        """Return how the sentinels are connected to."""
        options = {
            "socket_connect_timeout": seconds,
            "socket_timeout": seconds,
            # redis-py would try a dead one three times, seconds apart, before it asks the next.
            "retry": Retry(NoBackoff(), 0),
            "username": self.sentinel_username,
            "password": self.sentinel_password,
        }
        return _Asking({name: value for name, value in options.items() if value is not None})


class _Asking(Mapping[str, Any]):
    """Options that say no more than their names where Celery shows those of its transport.

    A worker sends them to whoever asks it for its statistics, Flower for one: as JSON, which
    has no word for a ``Retry``, and with the password.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    def __getitem__(self, name: str) -> Any:
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"

    def __json__(self) -> list[str]:
        """Return what kombu sends instead."""
        return list(self)


def check(url: str) -> None:
    """Judge the form of a ``REDIS_URL``. Nothing is connected to.

    Raises:
        ValueError: with words that say how to write it, and repeat none of it.
    """
    if url.startswith(_SCHEME):
        _parse(url)
        return
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError(
            "write it as redis://host:6379/0, rediss://…, unix:///path/to/socket, "
            f"or for Redis Sentinel {FORM}"
        )
    try:
        Redis.from_url(url).connection_pool.make_connection()  # made, not connected
    except (ValueError, TypeError) as error:
        # Its words may quote a part of the password.
        raise ValueError("write it as redis://:password@host:6379/0, percent-encoded") from error


def celery_url(url: str) -> str:
    """Return what Celery takes for it: each sentinel is a URL, with what is for the master."""
    if url.startswith(_SCHEME):
        failover = _parse(url)
        user = quote(failover.username or "", safe="")
        password = "" if failover.password is None else f":{quote(failover.password, safe='')}"
        credentials = f"{user}{password}@" if user or password else ""
        return ";".join(
            f"{_SCHEME}{credentials}{_bracketed(host)}:{port}/{failover.database}"
            for host, port in failover.sentinels
        )
    return url.replace("unix://", "redis+socket://", 1) if url.startswith("unix://") else url


def celery_options(url: str) -> dict[str, Any]:
    """Return what Celery takes for it among its transport's options."""
    if not url.startswith(_SCHEME):
        return {}
    failover = _parse(url)
    return {"master_name": failover.master, "sentinel_kwargs": failover.asking()}


def client(url: str, *, seconds: float) -> Redis:
    """Return a client of the server, or of the master.

    Args:
        url: checked already.
        seconds: how long it waits for a connection, and for each answer.
    """
    limits = {"socket_connect_timeout": seconds, "socket_timeout": seconds}
    if not url.startswith(_SCHEME):
        return Redis.from_url(url, **limits)
    return _master(_parse(url), limits, asking_seconds=_SENTINEL_SECONDS)


def impatient_client(url: str, *, seconds: float) -> Redis:
    """Return a client that tries once: an error comes when its limits are over, not later.

    Args:
        url: checked already.
        seconds: how long it waits for a connection, for each answer, and for each sentinel.
    """
    limits = {"socket_connect_timeout": seconds, "socket_timeout": seconds}
    if not url.startswith(_SCHEME):
        # redis-py would try three times, seconds apart.
        return Redis.from_url(url, **limits, retry=Retry(NoBackoff(), 0))
    return _master(_parse(url), limits, asking_seconds=seconds)


def _master(failover: _Failover, limits: dict[str, float], *, asking_seconds: float) -> Redis:
    sentinels = Sentinel(
        failover.sentinels,
        sentinel_kwargs=failover.asking(asking_seconds),
        db=failover.database,
        username=failover.username,
        password=failover.password,
        retry=Retry(NoBackoff(), 0),
        **limits,
    )
    master: Redis = sentinels.master_for(failover.master)
    return master


def listening(url: str) -> tuple[tuple[str, int], ...]:
    """Return the hosts and ports that the URL names: of Redis Sentinel, the sentinels'."""
    if url.startswith(_SCHEME):
        return _parse(url).sentinels
    options = ConnectionPool.from_url(url).connection_kwargs
    if "path" in options:
        return ()
    return ((str(options.get("host", "localhost")), int(options.get("port", 6379))),)


def _parse(url: str) -> _Failover:
    # By hand: urllib refuses several hosts where one is an IPv6 address.
    rest, _, query = url.removeprefix(_SCHEME).partition("?")
    authority, _, database = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    username, colon, password = credentials.partition(":")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if not set(parameters) <= set(_PARAMETERS):
        raise ValueError(f"of parameters it takes {', '.join(_PARAMETERS)}: write it as {FORM}")
    if not parameters.get("master"):
        raise ValueError(f"it does not say which master Redis Sentinel watches: write it as {FORM}")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError(f"its database is not a number: write it as {FORM}, percent-encoded")
    return _Failover(
        sentinels=tuple(_address(host) for host in hosts.split(",")),
        master=parameters["master"],
        database=int(database or "0"),
        username=unquote(username) or None,
        password=unquote(password) if at and colon else None,
        sentinel_username=parameters.get("sentinel_username"),
        sentinel_password=parameters.get("sentinel_password"),
    )


def _address(text: str) -> tuple[str, int]:
    """Return host and port of ``host``, ``host:port``, ``[IPv6]`` or ``[IPv6]:port``."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        is_whole = bool(bracket) and port[:1] in ("", ":")
        port = port[1:]
    else:
        host, _, port = text.partition(":")
        is_whole = True
    number = int(port) if port.isascii() and port.isdigit() else 0 if port else _PORT
    if not (is_whole and host and 0 < number < 65_536):
        raise ValueError(
            f"a sentinel is not written as host:port, each after a comma: write it as {FORM}, "
            "percent-encoded"
        )
    return host, number


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
