"""Looks at a cluster every second, from a thread beside it."""

import contextlib
import re
import socket
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import redis

from tests.benchmarks.scale import questions
from tests.benchmarks.scale.processes import Processes

_PREFIX: Final = "sentinel:"
_PRIORITY: Final = "\x06\x16"
"""What kombu puts between a queue's name and a priority in the key of its list."""

_EXCHANGES_A_LOOK: Final = 3


@dataclass(slots=True)
class Seen:
    """What was seen, a number a look; all series are as long.

    Attributes:
        queues: messages by queue, and those that a worker took and has not acknowledged.
        open_batches: not finished, by their rows.
        open_checks: domains in those.
        oldest_seconds: how long ago the oldest of their slots was.
        target_us: what an exchange with the target took a plain socket.
    """

    queues: dict[str, list[int]] = field(default_factory=dict)
    open_batches: list[int] = field(default_factory=list)
    open_checks: list[int] = field(default_factory=list)
    oldest_seconds: list[float] = field(default_factory=list)
    target_us: list[int] = field(default_factory=list)


class Watch:
    """What is looked at.

    Args:
        database_url, redis_url: the cluster's.
        url: of a domain, asked as the cluster asks it.
        authority: the file of the certificate authority that the target's is of.
        processes: told to look, too.
    """

    def __init__(
        self, *, database_url: str, redis_url: str, url: str, authority: str, processes: Processes
    ) -> None:
        self._database_url, self._redis_url = database_url, redis_url
        self._url = url
        self._tls = None
        if url.startswith("https"):
            self._tls = ssl.create_default_context(cafile=authority)
        self._processes = processes

    @contextlib.contextmanager
    def looking(self, *, every: float = 1.0) -> Iterator[Seen]:
        """Look until the block ends.

        Raises:
            psycopg.Error, redis.RedisError, OSError: what made looking end, when the block does.
        """
        seen = Seen()
        over = threading.Event()
        failures: list[Exception] = []

        def look() -> None:
            try:
                with (
                    psycopg.connect(self._database_url, autocommit=True) as database,
                    redis.from_url(self._redis_url) as queues,
                ):
                    while not over.wait(every):
                        self._look(seen, database, queues)
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()
        for failure in failures:
            raise failure

    def _look(self, seen: Seen, database: psycopg.Connection[Any], queues: Any) -> None:
        self._processes.look()
        opened = questions.open_batches(database)
        seen.open_batches.append(opened.batches)
        seen.open_checks.append(opened.checks)
        seen.oldest_seconds.append(round(opened.seconds, 1))
        depths = depths_of(queues)
        for name in depths.keys() | seen.queues.keys():
            # A list that is empty is not there: zero then, and in all looks before its first.
            series = seen.queues.setdefault(name, [])
            series += [0] * (len(seen.open_batches) - 1 - len(series))
            series.append(depths.get(name, 0))
        seen.target_us += [self._exchange() for _ in range(_EXCHANGES_A_LOOK)]

    def _exchange(self) -> int:
        parts = urlsplit(self._url)
        assert parts.hostname is not None
        started = time.perf_counter()
        with contextlib.ExitStack() as stack:
            peer = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
            stack.enter_context(peer)
            if self._tls is not None:
                peer = self._tls.wrap_socket(peer, server_hostname=parts.hostname)
                stack.enter_context(peer)
            request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
            peer.sendall(f"{request}\r\n".encode())
            while peer.recv(65536):
                pass
        return round((time.perf_counter() - started) * 1e6)


def depths_of(queues: Any) -> dict[str, int]:
    """Return how many messages each queue holds, over its priorities, and ``taken`` ones."""
    found: dict[str, int] = defaultdict(int)
    for key in queues.scan_iter(match=f"{_PREFIX}*", count=1000):
        name = re.split(_PRIORITY, key.decode())[0].removeprefix(_PREFIX)
        kind = queues.type(key)
        if kind == b"list" and "reply" not in name:
            found[name] += queues.llen(key)
        elif kind == b"hash" and name == "unacked":
            found["taken"] += queues.hlen(key)
    return dict(found)
