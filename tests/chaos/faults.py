"""What is done to a cluster: each breaks something for real, and says how often it did."""

import ast
import contextlib
import json
import random
import resource
import signal
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

from tests.acceptance.cluster import until
from tests.chaos.proxy import Fault
from tests.chaos.world import World, role_of, signal_one


def random_kills(
    world: World, *, seconds: float, every: float, chance: random.Random
) -> Counter[str]:
    """SIGKILL one process of the cluster, any, again and again; return how often of which part."""
    killed: Counter[str] = Counter()
    until_when = time.monotonic() + seconds
    while time.monotonic() < until_when:
        pid = chance.choice(world.pids())
        killed[role_of(pid)] += 1
        signal_one(pid, signal.SIGKILL)
        time.sleep(every)
    return killed


def restart(world: World, role: str, *, seconds: float = 40) -> None:
    """SIGTERM one part, as an upgrade would, and wait until it runs again."""
    (old, *_) = world.pids(role)
    signal_one(old, signal.SIGTERM)
    until(lambda: [pid for pid in world.pids(role)[:1] if pid != old], f"another {role}", seconds)


@contextlib.contextmanager
def redis_faults(world: World) -> Iterator[dict[str, Callable[[float], None]]]:
    """Yield the ways in which Redis fails, by name; each lasts so many seconds, and heals."""

    def proxied(fault: Fault) -> Callable[[float], None]:
        def fail(seconds: float) -> None:
            world.queue.fail(fault)
            time.sleep(seconds)
            world.queue.heal()

        return fail

    def away(seconds: float) -> None:
        world.valkey.kill()
        time.sleep(seconds)
        world.valkey.start()

    def flushed(_: float) -> None:
        world.flush()

    def reset(_: float) -> None:
        world.queue.reset_all()

    def cut(seconds: float) -> None:
        world.queue.fail(cut_after=2000)
        time.sleep(seconds)
        world.queue.heal()

    def slow(seconds: float) -> None:
        world.queue.fail(delay=0.3)
        time.sleep(seconds)
        world.queue.heal()

    try:
        yield {
            "flushed": flushed,
            "reset": reset,
            "restarted": lambda _: away(0.0),
            "half-open": proxied(Fault.STALL),
            "refused": proxied(Fault.REFUSE),
            "reset at once": proxied(Fault.RESET),
            "cut in an answer": cut,
            "slow": slow,
            "away": away,
        }
    finally:
        world.queue.heal()
        world.valkey.start()


@contextlib.contextmanager
def without_descriptors(world: World) -> Iterator[int]:
    """Let the worker's processes open no file more; yield how many processes that are."""
    pids = world.pids("worker")
    kept = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            held = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            kept[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (held, kept[pid][1]))
    try:
        yield len(kept)
    finally:
        for pid, limits in kept.items():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


class Tripled:
    """Every message on the queues comes twice more, later, and in another order.

    Seen by MONITOR as they are sent; the copies carry tags of their own, as redelivered
    ones do.
    """

    def __init__(self, port: int, chance: random.Random) -> None:
        self.copies = 0
        self._port, self._chance = port, chance
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._later: list[tuple[float, bytes, bytes]] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=run, daemon=True) for run in (self._watch, self._send)
        ]

    def __enter__(self) -> "Tripled":
        self._socket.sendall(b"MONITOR\r\n")
        self._socket.settimeout(None)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _watch(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                with contextlib.suppress(ValueError, SyntaxError, KeyError):
                    self._see(line)

    def _see(self, line: bytes) -> None:
        """Keep copies of a message: ``+17.1 [0 host:port] "LPUSH" "key" "message"``."""
        words = line.decode("latin-1").partition("] ")[2].strip()
        if not words.upper().startswith('"LPUSH" '):
            return
        # Valkey writes what is not printable as Python does in bytes.
        _, key, *messages = ast.literal_eval(
            "[" + words.replace('" "', '", b"').replace('"', 'b"', 1) + "]"
        )
        for text in messages:
            message: dict[str, Any] = json.loads(text)
            if message["headers"].get("copy"):
                continue
            message["headers"]["copy"] = True
            for _ in range(2):
                message["properties"]["delivery_tag"] = str(uuid.uuid4())
                when = time.monotonic() + self._chance.uniform(0, 6)
                with self._lock:
                    self._later.append((when, key, json.dumps(message).encode()))

    def _send(self) -> None:
        with redis.Redis(port=self._port) as client:
            while not self._stopping.wait(0.05):
                now = time.monotonic()
                with self._lock:
                    due = [each for each in self._later if each[0] <= now]
                    self._later = [each for each in self._later if each[0] > now]
                self._chance.shuffle(due)
                for _, key, message in due:
                    with contextlib.suppress(redis.RedisError):
                        client.lpush(key, message)
                        self.copies += 1
