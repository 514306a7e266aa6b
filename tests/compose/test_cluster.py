"""A user's first day with the containers, in order; each step stands on the one before."""

import logging
import time
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest

from tests.compose.cluster import (
    ONE_SHOT,
    SENTINELS,
    SERVICES,
    Cluster,
    instant,
    states,
    wait_until,
)

logger = logging.getLogger(__name__)

INTERVAL: Final = 5
ACCEPT_SECONDS: Final = 3
PUBLISHED: Final = {"api": {"8000/tcp"}, "flower": {"5555/tcp"}}
# What a service may take to stop, the client's own second or two included.
STOP_SECONDS: Final = {"api": 17, "worker": 30, "control": 17, "beat": 17, "flower": 17}


@pytest.fixture(scope="module")
def domain(cluster: Cluster) -> dict[str, Any]:
    """Give a registered domain that is served by a container of the test, on a private address."""
    url = cluster.start_target()
    created: dict[str, Any] = cluster.call(
        "POST",
        "/api/domains/",
        expected=201,
        json={"name": "target", "url": url, "interval": INTERVAL},
    )
    return created


def history(cluster: Cluster, domain: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the newest results, newest first."""
    answer = cluster.call("GET", f"/api/monitoring/{domain['id']}/history", expected=200)
    items: list[dict[str, Any]] = answer["items"]
    return items


def check_now(cluster: Cluster, domain: dict[str, Any]) -> dict[str, Any]:
    """Order a manual check and return its one result."""
    started = time.monotonic()
    run = cluster.call("POST", f"/api/monitoring/{domain['id']}/check", expected=202)
    took = time.monotonic() - started
    logger.info("the manual check is accepted: after %.1f s", took)
    # Longer means that the API does not reach Redis: the check would then wait for the next sweep.
    assert took < ACCEPT_SECONDS

    def look() -> dict[str, Any] | None:
        answer = cluster.call("GET", f"/api/monitoring/runs/{run['run_id']}", expected=200)
        return answer if answer["status"] == "finished" else None

    finished = wait_until("the manual check is finished", look, seconds=30)
    (result,) = finished["results"]
    found: dict[str, Any] = result
    return found


def wait_for_checks(cluster: Cluster, domain: dict[str, Any], *, after: float) -> None:
    """Wait for two scheduled results, both up, of slots after an instant."""

    def look() -> bool:
        items = [i for i in history(cluster, domain) if instant(i["slot"]) > after]
        return states(items, "scheduled")[:2] == ["up", "up"]

    wait_until("scheduled checks find the target up", look, seconds=60)


def test_every_service_becomes_healthy_without_any_setting(cluster: Cluster) -> None:
    cluster.wait_healthy(seconds=180)
    (migrate,) = cluster.containers(ONE_SHOT)
    assert (migrate["State"]["Status"], migrate["State"]["ExitCode"]) == ("exited", 0)


def test_containers_have_few_rights(cluster: Cluster) -> None:
    for service in (*SERVICES, ONE_SHOT):
        for container in cluster.containers(service):
            limits = container["HostConfig"]
            assert container["Config"]["User"] not in {"", "0", "root"}, service
            assert limits["ReadonlyRootfs"], service
            assert limits["CapDrop"] == ["ALL"], service
            assert limits["SecurityOpt"] == ["no-new-privileges:true"], service
            assert not limits["Privileged"], service
            assert limits["LogConfig"]["Config"]["max-size"], service
    for service in SERVICES:
        user = cluster.compose("exec", "-T", service, "id", "-u", seconds=60)
        assert int(user) > 0, service


def test_only_api_and_flower_are_published_and_on_loopback(cluster: Cluster) -> None:
    for service in SERVICES:
        for container in cluster.containers(service):
            ports = container["NetworkSettings"]["Ports"]
            published = {port: where for port, where in ports.items() if where}
            assert set(published) == PUBLISHED.get(service, set()), service
            assert {w["HostIp"] for where in published.values() for w in where} <= {"127.0.0.1"}
    assert cluster.network("backend")["Internal"]
    for service in ("db", "redis", "control", "beat"):
        (container,) = cluster.containers(service)
        assert list(container["NetworkSettings"]["Networks"]) == [f"{cluster.project}_backend"]


def test_nobody_comes_in_without_the_key(cluster: Cluster) -> None:
    for headers in ({}, {"Authorization": f"Bearer {'x' * 40}"}):
        answer = httpx.get(f"{cluster.api_url}/api/domains/", headers=headers, timeout=20)
        assert answer.status_code == 401
    for path in ("/livez", "/readyz"):
        assert httpx.get(cluster.api_url + path, timeout=20).status_code == 200
    cluster.key = cluster.read_key()
    assert cluster.key in cluster.compose("logs", "--no-color", ONE_SHOT, seconds=60)
    assert cluster.call("GET", "/api/domains/", expected=200)["items"] == []


def test_a_private_address_is_refused_until_it_is_allowed(
    cluster: Cluster, domain: dict[str, Any]
) -> None:
    refused = check_now(cluster, domain)
    assert (refused["state"], refused["reason"]) == ("internal", "forbidden_address")


def test_a_second_up_keeps_all_data_and_takes_a_new_setting(
    cluster: Cluster, domain: dict[str, Any]
) -> None:
    (subnet,) = cluster.network("outward")["IPAM"]["Config"]
    cluster.settings["SENTINEL_ALLOWED_TARGETS"] = subnet["Subnet"]
    cluster.compose("up", "--detach", seconds=300)
    cluster.wait_healthy(seconds=120)
    assert cluster.read_key() == cluster.key
    assert cluster.call("GET", f"/api/domains/{domain['id']}", expected=200)["name"] == "target"
    assert "internal" in states(history(cluster, domain), "manual")


def test_checks_run_on_schedule_and_on_demand(cluster: Cluster, domain: dict[str, Any]) -> None:
    wait_for_checks(cluster, domain, after=time.time())
    result = check_now(cluster, domain)
    assert (result["state"], result["reason"], result["status_code"]) == ("up", None, 200)
    assert states(history(cluster, domain), "manual")[0] == "up"


def test_flower_shows_the_work_to_who_has_the_key(cluster: Cluster) -> None:
    assert httpx.get(f"{cluster.flower_url}/healthcheck", timeout=20).status_code == 200
    for path in ("/", "/api/workers", "/api/tasks"):
        assert httpx.get(cluster.flower_url + path, timeout=20).status_code == 401, path
    wrong = httpx.get(f"{cluster.flower_url}/", auth=("sentinel", "wrong"), timeout=20)
    assert wrong.status_code == 401
    assert cluster.flower("/").status_code in {200, 302}
    wait_for_workers(cluster)

    def look() -> bool:
        tasks = cluster.flower("/api/tasks?limit=200").json().values()
        return any(task["state"] == "SUCCESS" for task in tasks)

    wait_until("Flower shows tasks that succeeded", look, seconds=60)


def wait_for_workers(cluster: Cluster) -> None:
    """Wait until Flower knows a worker for every worker container."""
    hosts = {each["Config"]["Hostname"] for each in cluster.containers("worker")}

    def look() -> bool:
        known = set(cluster.flower("/api/workers?refresh=1").json())
        return all(any(host in name for name in known) for host in hosts)

    wait_until(f"Flower shows {len(hosts)} workers", look, seconds=60)


def test_three_workers_share_the_work(cluster: Cluster, domain: dict[str, Any]) -> None:
    cluster.compose("up", "--detach", "--scale", "worker=3", seconds=300)
    cluster.wait_healthy(seconds=120, worker=3)
    wait_for_workers(cluster)
    wait_for_checks(cluster, domain, after=time.time())


def test_checks_go_on_after_restarts(cluster: Cluster, domain: dict[str, Any]) -> None:
    for service in ("worker", "redis", "db"):
        cluster.compose("restart", service, seconds=180)
        wait_for_checks(cluster, domain, after=time.time())
    cluster.wait_healthy(seconds=120, worker=3)
    assert "down" not in states(history(cluster, domain), "scheduled")


def test_services_stop_in_good_order(cluster: Cluster, domain: dict[str, Any]) -> None:
    for service in SENTINELS:
        started = time.monotonic()
        cluster.compose("stop", service, seconds=120)
        took = time.monotonic() - started
        logger.info("%s stopped within %.1f s", service, took)
        assert took < STOP_SECONDS[service], service
        codes = [each["State"]["ExitCode"] for each in cluster.containers(service)]
        # 137 would be the engine's kill after the time of grace.
        assert set(codes) <= {0, 143}, f"{service} ended with {codes}"
    cluster.compose("up", "--detach", "--scale", "worker=1", seconds=300)
    cluster.wait_healthy(seconds=120)
    wait_for_checks(cluster, domain, after=time.time())


def test_the_ledger_adds_up(cluster: Cluster, domain: dict[str, Any]) -> None:
    span = {"from": domain["created_at"], "to": datetime.now(UTC).isoformat()}

    def look() -> dict[str, int] | None:
        found: dict[str, int] = cluster.call(
            "GET", "/api/monitoring/ledger", expected=200, params=span
        )
        return found if not found["pending"] else None

    ledger = wait_until("no slot of the past is pending", look, seconds=60)
    logger.info("the ledger: %s", ledger)
    parts = ("up", "degraded", "down", "internal", "missed", "pending")
    assert ledger["expected"] == sum(ledger[part] for part in parts), ledger
    assert ledger["up"] > 0, ledger
    assert ledger["down"] == 0, ledger


def test_down_leaves_nothing(cluster: Cluster) -> None:
    cluster.down()
    assert cluster.leftovers() == []
