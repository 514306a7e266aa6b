"""PostgreSQL and Redis away: servers of the tests' own, by DATABASE_URL and REDIS_URL."""

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from sentinel import embedded
from tests.acceptance.cluster import Cluster, running, until
from tests.acceptance.misbehaving import MisbehavingServer


class Server:
    """A PostgreSQL or Valkey that a test stops and starts."""

    def __init__(self, argv: list[str], user: Any, answers: Any) -> None:
        self._argv, self._user, self._answers = argv, user, answers

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._argv,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            user=self._user.pw_uid if self._user else None,
            group=self._user.pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
        )
        until(self._answers, "the server answers")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)


@pytest.fixture(scope="module")
def postgres(folder: Path) -> Iterator[Server]:
    folder.chmod(0o755)
    user = embedded.prepare(folder)
    url = embedded.database_url(folder).replace("/sentinel?", "/postgres?")

    def answers() -> bool:
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
                if not connection.execute(
                    "SELECT FROM pg_database WHERE datname='sentinel'"
                ).rowcount:
                    connection.execute("CREATE DATABASE sentinel")
        except psycopg.OperationalError:
            return False
        return True

    server = Server([*embedded.postgres_argv(folder), "-c", "fsync=off"], user, answers)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def valkey(folder: Path, postgres: Server) -> Iterator[Server]:
    def answers() -> bool:
        try:
            with redis.from_url(embedded.redis_url(folder)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    server = Server(embedded.valkey_argv(folder), None, answers)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cluster(folder: Path, postgres: Server, valkey: Server) -> Iterator[Cluster]:
    """A cluster that was given its servers; it starts none itself."""
    with running(
        folder / "cluster",
        DATABASE_URL=embedded.database_url(folder),
        REDIS_URL=embedded.redis_url(folder),
    ) as cluster:
        yield cluster


def test_given_servers_are_used_and_none_is_started(cluster: Cluster) -> None:
    assert not any(" postgres " in line or " valkey " in line for line in cluster.lines)


def test_without_redis_domains_are_registered_and_checks_accepted_and_run_later(
    cluster: Cluster, valkey: Server, target: MisbehavingServer
) -> None:
    watched = cluster.register(f"{target.url}/watched", interval=5)
    until(lambda: cluster.history(watched), "a result")
    valkey.stop()
    try:
        domain_id = cluster.register(f"{target.url}/registered-without-redis", interval=5)
        accepted = cluster.check(domain_id, timeout=4)  # without waiting for the queue
        run = cluster.get(accepted["status_url"])
        assert run["status"] == "pending"
        assert cluster.client.get("/readyz").status_code == 200
    finally:
        valkey.start()
    result = cluster.run_result(accepted, 60)
    assert result["state"] == "up"
    until(lambda: cluster.history(domain_id, "scheduled"), "a scheduled result", 60)
    states = {item["state"] for item in cluster.history(watched)}
    assert "down" not in states
    ledger = cluster.get("/api/monitoring/ledger")
    assert ledger["balanced"], ledger


def test_a_flushed_redis_loses_no_slot(
    cluster: Cluster, target: MisbehavingServer, folder: Path
) -> None:
    domain_id = cluster.register(f"{target.url}/flushed", interval=5)
    with redis.from_url(embedded.redis_url(folder)) as client:
        client.flushall()
    flushed = datetime.now(UTC)
    until(
        lambda: any(
            datetime.fromisoformat(item["slot"]) > flushed and item["state"] == "up"
            for item in cluster.history(domain_id)
        ),
        "a result after the flush",
        60,
    )
    ledger = cluster.get("/api/monitoring/ledger")
    assert ledger["balanced"], ledger


def test_without_postgresql_the_api_says_so_and_recovers(
    cluster: Cluster, postgres: Server, target: MisbehavingServer
) -> None:
    domain_id = cluster.register(f"{target.url}/outage", interval=5)
    until(lambda: cluster.history(domain_id), "a result")
    postgres.stop()
    try:
        body = {"name": str(uuid.uuid4()), "url": target.url}
        for response in (
            cluster.client.post("/api/domains/", json=body),
            cluster.client.get(f"/api/monitoring/{domain_id}/history"),
        ):
            assert response.status_code == 503
            assert response.headers["Content-Type"] == "application/problem+json"
            assert int(response.headers["Retry-After"]) > 0
        assert cluster.client.get("/readyz").status_code == 503
        assert cluster.client.get("/livez").status_code == 200
    finally:
        postgres.start()
    back = datetime.now(UTC)
    until(lambda: cluster.client.get("/readyz").status_code == 200, "ready again")
    until(
        lambda: any(
            datetime.fromisoformat(item["slot"]) > back and item["state"] == "up"
            for item in cluster.history(domain_id)
        ),
        "a result after the outage",
        60,
    )
    assert "down" not in {item["state"] for item in cluster.history(domain_id)}
    ledger = cluster.get("/api/monitoring/ledger")
    assert ledger["balanced"], ledger


def test_a_flood_of_duplicate_messages_changes_nothing(
    cluster: Cluster, target: MisbehavingServer
) -> None:
    """Each batch of the last minutes again, three times, as a redelivery would."""
    domain_id = cluster.register(f"{target.url}/duplicates", interval=5)
    until(lambda: len(cluster.history(domain_id)) >= 2, "two results")
    code = (
        "import django; django.setup()\n"
        "from monitoring import dispatch, tasks\n"
        "from monitoring.models import Batch\n"
        "batches = Batch.objects.exclude(finished_at=None).select_related('location')[:200]\n"
        "hints = dispatch.hints(batches)\n"
        "print(sum(tasks.publish(hints) for _ in range(3)))\n"
    )
    before = {item["slot"]: item for item in cluster.history(domain_id)}
    seen = target.seen.copy()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**cluster.environment, "DJANGO_SETTINGS_MODULE": "sentinel.settings"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert int(done.stdout) > 0
    accepted = cluster.check(domain_id)
    cluster.run_result(accepted)
    slots = [item["slot"] for item in cluster.history(domain_id, "scheduled")]
    assert len(slots) == len(set(slots))
    after = {item["slot"]: item for item in cluster.history(domain_id)}
    assert {slot: after[slot] for slot in before} == before
    new = len(after) - len(before)
    assert target.seen["/duplicates"] - seen["/duplicates"] <= new + 1
