"""The cluster as it stands on several hosts: PgBouncer, Redis Sentinel, two of each process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.acceptance.cluster import Cluster, free_port, running, until
from tests.acceptance.misbehaving import MisbehavingServer
from tests.acceptance.servers import BOUNCER, Failover, bouncer, database

KEYS = {
    "SENTINEL_ENCRYPTION_KEYS": "k" * 43 + "=",
    "SENTINEL_SECRET_KEY": "s" * 32,
    "SENTINEL_WORKER_PROCESSES": "1",
}
Row = dict[str, Any]
LONG_AGO = datetime.min.replace(tzinfo=UTC)
TEN_SECONDS = timedelta(seconds=10)

# What the cluster does by itself only now and then: partitions, roll-ups, the whole ledger.
SELDOM = """
import sys, threading
import django; django.setup()
from datetime import timedelta
from django.core.management import call_command
from django.db import OperationalError, connection
from domains.clock import database_now
from monitoring import partitions, retention, rolling, samples, tasks

now = database_now()
for hours in range(1, 9):
    tasks.retain()
    rolling.roll_up(now=now + timedelta(hours=hours))
    list(samples.read([int(sys.argv[1])], [(now, now)]))
call_command("verify_ledger")

far = now + timedelta(days=9)
partitions.ensure([far])
for one in partitions.existing():
    if one.start <= now < one.end:
        partitions.tighten(one, patience=timedelta(seconds=20))
    if one.start <= far < one.end:
        partitions.drop(one, patience=retention.PATIENCE)
        dropped = one
assert dropped not in partitions.existing()

with connection.cursor() as cursor:
    for _ in range(8):
        cursor.execute("SHOW timezone")
        assert cursor.fetchone() == ("UTC",)
    threading.Timer(0.2, connection.connection.cancel).start()
    try:
        cursor.execute("SELECT pg_sleep(20)")
        raise SystemExit("it was not cancelled")
    except OperationalError:
        pass
"""


@pytest.fixture(scope="module")
def redis(folder: Path) -> Iterator[Failover]:
    with ExitStack() as servers:
        yield Failover(folder, servers)


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """The database itself, not through PgBouncer."""
    with database() as url:
        yield url


@pytest.fixture(scope="module")
def cluster(folder: Path, redis: Failover, database_url: str) -> Iterator[Cluster]:
    """One host with everything; PgBouncer is between where it is installed."""
    folder.chmod(0o755)
    with ExitStack() as servers:
        url = servers.enter_context(bouncer(database_url, folder)) if BOUNCER else database_url
        given = {"DATABASE_URL": url, "REDIS_URL": redis.url, **KEYS}
        yield servers.enter_context(running(folder / "first", **given))


class Host:
    """Another host: processes of the same cluster, with a data folder of their own."""

    def __init__(self, cluster: Cluster, folder: Path, processes: ExitStack) -> None:
        folder.mkdir()
        self._folder, self._processes = folder, processes
        self._environment = cluster.environment | {
            "SENTINEL_DATA_DIR": str(folder),
            "TMPDIR": str(folder),  # for its signs of life
            "SENTINEL_PORT": str(free_port()),
        }
        self.api = f"http://127.0.0.1:{self._environment['SENTINEL_PORT']}"
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, role: str, **environment: str) -> None:
        """Start one process."""
        log = self._processes.enter_context((self._folder / f"{role}.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "sentinel", role],
            env=self._environment | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._processes.callback(process.wait)
        self._processes.callback(_kill, process)
        self._running.append(process)

    def is_ready(self, role: str) -> bool:
        """Return whether a worker consumes, or Beat's loop turns."""
        if role != "beat":
            return b" ready." in (self._folder / f"{role}.log").read_bytes()
        asked = subprocess.run(
            [sys.executable, "-m", "sentinel.pulse", role], env=self._environment, check=False
        )
        return asked.returncode == 0

    def die(self) -> None:
        """End all of it at once, without a word."""
        for process in self._running:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def host(cluster: Cluster, folder: Path) -> Iterator[Host]:
    with ExitStack() as processes:
        yield Host(cluster, folder, processes)


def slot(row: Row) -> datetime:
    return datetime.fromisoformat(row["slot"])


def is_checked_after(
    cluster: Cluster, domain_ids: list[int], locations: set[str], instant: datetime
) -> bool:
    """Return whether each has been checked from everywhere for a slot after an instant."""
    return all(
        locations
        <= {
            row["location"]
            for row in cluster.history(domain_id, "scheduled")
            if slot(row) > instant and row["state"] == "up"
        }
        for domain_id in domain_ids
    )


@pytest.mark.skipif(BOUNCER is None, reason="pgbouncer is not installed")
def test_the_database_may_be_behind_pgbouncer_in_transaction_mode(
    cluster: Cluster, database_url: str, target: MisbehavingServer
) -> None:
    domain_id = cluster.register(f"{target.url}/pooled", interval=5, headers={"X-Secret": "s"})
    accepted = cluster.check(domain_id)
    assert cluster.run_result(accepted)["state"] == "up"

    subprocess.run(
        [sys.executable, "-c", SELDOM, str(domain_id)],
        env={**cluster.environment, "DJANGO_SETTINGS_MODULE": "sentinel.settings"},
        check=True,
        timeout=60,
    )
    with psycopg.connect(database_url) as server:
        sessions = server.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert sessions is not None
    assert 0 < sessions[0] <= 4  # all of the cluster through PgBouncer's four
    problems = [line for line in cluster.lines if "rror" in line and "flower" not in line]
    assert problems == []


def test_two_locations_and_a_host_that_is_lost(
    cluster: Cluster, own_folder: Path, target: MisbehavingServer
) -> None:
    places = {"local", "paris"}
    with host(cluster, own_folder / "second") as second, host(cluster, own_folder / "far") as far:
        for role in ("api", "control", "beat"):
            second.start(role)
        far.start("worker", SENTINEL_LOCATION="paris")
        domains = [
            cluster.register(f"{target.url}/{number}", interval=10, locations=sorted(places))
            for number in range(12)
        ]
        # Its own API is what the first host keeps off; to the far one it is a web server.
        seen_apart = cluster.register(
            f"http://127.0.0.1:{cluster.port}/livez", interval=10, locations=sorted(places)
        )
        headers = {"Authorization": f"Bearer {cluster.key}"}
        with httpx.Client(base_url=second.api, headers=headers, trust_env=False) as api:
            until(lambda: _is_ready(api), "the second API answers")
            known = api.get("/api/domains/", params={"limit": 1000}).json()["items"]
            assert set(domains) <= {domain["id"] for domain in known}
        until(lambda: second.is_ready("control"), "the second control runs")
        until(lambda: second.is_ready("beat"), "the second Beat runs")
        until(lambda: is_checked_after(cluster, domains, places, LONG_AGO), "first results")
        until(lambda: places <= set(_views(cluster, seen_apart)), "both have looked at the API")
        assert _views(cluster, seen_apart) == {"local": "forbidden_address", "paris": None}

        lost = datetime.now(UTC)
        second.die()

        until(lambda: is_checked_after(cluster, domains, places, lost), "results after it")
        for domain_id in domains:
            rows = cluster.history(domain_id, "scheduled")
            assert {row["state"] for row in rows if slot(row) > lost} == {"up"}
            for place in places:
                slots = sorted(slot(row) for row in rows if row["location"] == place)
                assert len(slots) == len(set(slots))
                after = [lost, *(each for each in slots if each > lost)]
                assert all(late - early <= TEN_SECONDS for early, late in pairwise(after))
        for domain_id in (*domains, seen_apart):
            assert cluster.client.delete(f"/api/domains/{domain_id}").status_code == 204


def _views(cluster: Cluster, domain_id: int) -> dict[str, str | None]:
    """Return the reasons of a domain's results by location."""
    return {row["location"]: row["reason"] for row in cluster.history(domain_id)}


def _is_ready(api: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return api.get("/readyz").status_code == 200
    return False


def test_checks_go_on_with_another_master_of_redis(
    cluster: Cluster, redis: Failover, target: MisbehavingServer
) -> None:
    """The master dies with a sentinel, as when a host is lost."""
    domains = [cluster.register(f"{target.url}/{number}", interval=30) for number in range(30)]
    often = cluster.register(f"{target.url}/often", interval=5)
    redis.sentinels[0].kill()
    redis.master.kill()
    killed = datetime.now(UTC)

    domains.append(cluster.register(f"{target.url}/registered-without-redis", interval=30))
    accepted = cluster.check(often)  # accepted without waiting for the queue
    until(lambda: redis.master_port() == redis.ports[1], "another master")
    until(lambda: is_checked_after(cluster, [often], {"local"}, killed), "a slot of after it")
    assert cluster.run_result(accepted)["state"] == "up"
    until(lambda: cluster.get("/api/monitoring/ledger")["pending"] == 0, "nothing is waiting")
    assert {row["state"] for each in domains for row in cluster.history(each)} == {"up"}
    assert {row["state"] for row in cluster.history(often)} <= {"up", "missed"}
    assert cluster.get("/api/monitoring/ledger")["balanced"]
