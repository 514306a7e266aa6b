"""One configuration of the API beside a cluster, and what it did under one load."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.acceptance.cluster import Cluster, descendants, free_port
from tests.benchmarks.api import wrk
from tests.benchmarks.measure import Failed, cpu_seconds
from tests.benchmarks.scale.processes import memory

KINDS: Final = ("domain", "list", "history", "summary", "mixed", "register", "change")
_START_SECONDS: Final = 30.0
_MANY: Final = 400
"""Requests of a kind that differ from each other, sent round after round."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """How an API is started."""

    workers: int
    threads: int
    pool: int

    def __str__(self) -> str:
        pool = f", a pool of {self.pool}" if self.pool else ""
        return f"{self.workers} x {self.threads}{pool}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What an API did under one load; latencies in milliseconds, CPU in seconds."""

    configuration: str
    by: str
    kind: str
    rate: float | None
    requests: int
    failed: int
    a_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_api_s: float
    cpu_database_s: float
    memory_mb: float
    connections: int

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU a request, the API's and PostgreSQL's."""
        return (self.cpu_api_s + self.cpu_database_s) / max(1, self.requests) * 1000


@dataclass(frozen=True, slots=True)
class _Load:
    """What came of the requests: counts, and latencies in milliseconds."""

    good: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float


@contextlib.contextmanager
def serving(cluster: Cluster, configuration: Configuration) -> Iterator[tuple[int, int]]:
    """Run another API on the cluster's database; yield its port and the id of its process."""
    port = free_port()
    environment = {
        **cluster.environment,
        "SENTINEL_PORT": str(port),
        "SENTINEL_API_WORKERS": str(configuration.workers),
        "SENTINEL_API_THREADS": str(configuration.threads),
        "SENTINEL_API_POOL": str(configuration.pool),
        "SENTINEL_RATE_LIMIT": "0",
    }
    process = subprocess.Popen([sys.executable, "-m", "sentinel", "api"], env=environment)
    try:
        end = time.monotonic() + _START_SECONDS
        while not _ready(port):
            if time.monotonic() > end or process.poll() is not None:
                raise Failed(f"the API did not start with {configuration}")
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _ready(port: int) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
    return False


def requests_of(kind: str, domains: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return requests of a kind: method, path, and a body where there is one."""
    chosen = random.Random(7).choices(domains, k=_MANY)
    match kind:
        case "domain":
            asked: list[tuple[Any, ...]] = [("GET", f"/api/domains/{one}") for one in chosen]
        case "list":
            asked = [("GET", "/api/domains/?limit=100")]
        case "history":
            asked = [("GET", f"/api/monitoring/{one}/history?limit=100") for one in chosen]
        case "summary":
            asked = [("GET", f"/api/monitoring/{one}/summary") for one in chosen]
        case "register":
            body = {"name": "load", "url": "http://127.0.0.1:1/", "enabled": False}
            asked = [("POST", "/api/domains/", body)]
        case "change":
            asked = [
                ("PATCH", f"/api/domains/{one}", {"tags": [f"t{number}"]})
                for number, one in enumerate(chosen)
            ]
        case _:
            asked = [_mixed(number, domains) for number in range(_MANY)]
    return asked


def _mixed(number: int, domains: Sequence[int]) -> tuple[Any, ...]:
    reads = ("domain", "domain", "domain", "history", "history", "summary", "summary", "list")
    several = requests_of("change" if number % 10 == 9 else reads[number % len(reads)], domains)
    return several[number % len(several)]


def measure(
    cluster: Cluster,
    configuration: Configuration,
    api: tuple[int, int],
    *,
    by: str,
    kind: str,
    domains: Sequence[int],
    rate: float | None,
    connections: int,
    seconds: float,
) -> Figure:
    """Put one load on an API; where ``rate`` is None, as much as so many connections can.

    Args:
        cluster: whose database it is.
        configuration: of the API.
        api: its port and the id of its process.
        by: ``wrk``, or ``load`` for the program of that name.
        kind: of requests, one of KINDS.
        domains: the ids that are asked for.
        rate: requests a second; only ``load`` can send at one.
        connections: how many, where there is no rate.
        seconds: for how long.

    Raises:
        Failed: the load could not be sent.
    """
    port, pid = api
    requests = requests_of(kind, domains)
    database = cluster.pid_of("postgres")
    assert database is not None
    before = cpu_seconds([pid]), cpu_seconds([database])
    if by == "wrk":
        load = _by_wrk(port, cluster.key, requests, connections, seconds)
    else:
        plan = {
            "port": port,
            "key": cluster.key,
            "requests": requests,
            "rate": rate,
            "connections": connections,
            "seconds": seconds,
        }
        load = _by_load(plan)
    held = memory([pid, *descendants(pid)])
    return Figure(
        configuration=str(configuration),
        by=by,
        kind=kind,
        rate=rate,
        requests=load.good,
        failed=load.failed,
        a_second=load.good / load.seconds,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        max_ms=load.max_ms,
        cpu_api_s=cpu_seconds([pid]) - before[0],
        cpu_database_s=cpu_seconds([database]) - before[1],
        memory_mb=held.pss / 1e6,
        connections=connections,
    )


def _by_wrk(
    port: int, key: str, requests: Sequence[Any], connections: int, seconds: float
) -> _Load:
    found = wrk.closed(port, key, requests, connections=connections, seconds=seconds)
    return _Load(
        good=found["requests"] - found["status"],
        failed=found["status"] + found["broken"],
        seconds=seconds,
        p50_ms=found["p50"] / 1000,
        p99_ms=found["p99"] / 1000,
        max_ms=found["max"] / 1000,
    )


def _by_load(plan: Mapping[str, Any]) -> _Load:
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.api.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ),
    ) as load:
        output, _ = load.communicate(json.dumps(plan).encode(), timeout=plan["seconds"] + 60)
    took = time.monotonic() - began
    if load.returncode:
        raise Failed(f"the load ended with {load.returncode}")
    seen = json.loads(output)
    latencies = sorted(seen["latencies"])
    good = sum(count for status, count in seen["statuses"].items() if 200 <= int(status) < 300)
    return _Load(
        good=good,
        failed=len(latencies) - good,
        seconds=plan["seconds"] if plan["rate"] is None else took,
        p50_ms=latencies[len(latencies) // 2] * 1000,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1000,
        max_ms=latencies[-1] * 1000,
    )
