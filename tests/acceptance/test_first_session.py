"""What a newcomer sees: register, wait, check, look; every component real."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.acceptance.cluster import Cluster, until
from tests.acceptance.misbehaving import MisbehavingServer


def first_result(cluster: Cluster, domain_id: int, seconds: float = 30) -> dict[str, Any]:
    results = until(lambda: cluster.history(domain_id), "a scheduled result", seconds)
    assert isinstance(results, list)
    result = results[-1]
    assert isinstance(result, dict)
    return result


def test_the_ready_line_names_addresses_and_key(cluster: Cluster) -> None:
    assert f"http://127.0.0.1:{cluster.port}/api/docs" in cluster.ready_line
    assert f"http://127.0.0.1:{cluster.flower_port}" in cluster.ready_line
    assert cluster.client.get("/readyz").status_code == 200


def test_a_registered_domain_is_checked_on_schedule(
    cluster: Cluster, target: MisbehavingServer
) -> None:
    domain_id = cluster.register(f"{target.url}/fine", interval=5)
    results = until(
        lambda: (found := cluster.history(domain_id)) and len(found) >= 3 and found,
        "three results",
    )
    slots = [datetime.fromisoformat(item["slot"]) for item in results]
    assert {(a - b).total_seconds() for a, b in pairwise(slots)} == {5.0}
    newest = results[0]
    assert (newest["state"], newest["status_code"], newest["kind"]) == ("up", 200, "scheduled")
    assert (newest["ip"], newest["bytes"], newest["tls_us"]) == ("127.0.0.1", 2, None)
    assert 0 < newest["wait_us"] < newest["total_us"]
    started = datetime.fromisoformat(newest["started_at"])
    assert 0 <= (started - slots[0]).total_seconds() < 5
    domain = cluster.get(f"/api/domains/{domain_id}")
    assert domain["state"] == "up"
    assert domain["last_result"]["state"] == "up"


def test_an_interval_of_a_minute_has_its_result_within_seventy_seconds(
    cluster: Cluster, target: MisbehavingServer
) -> None:
    domain_id = cluster.register(f"{target.url}/minute")
    assert first_result(cluster, domain_id, 70)["state"] == "up"
    assert len(cluster.history(domain_id)) == 1


@pytest.mark.parametrize(
    ("path", "state", "reason"),
    [
        ("/status/204", "up", None),
        ("/status/503", "down", "status"),
        ("/hang", "down", "timeout"),
        ("/drip", "down", "timeout"),
        ("/close", "down", "closed"),
        ("/redirect/fine", "up", None),
        ("/redirect/status/404", "down", "status"),
    ],
)
def test_a_manual_check_tells_what_is_wrong(
    cluster: Cluster, target: MisbehavingServer, path: str, state: str, reason: str | None
) -> None:
    domain_id = cluster.register(f"{target.url}{path}", enabled=False, timeout=1)
    result = cluster.run_result(cluster.check(domain_id))
    assert (result["kind"], result["state"], result["reason"]) == ("manual", state, reason)
    assert result["total_us"] < 1_500_000
    assert cluster.history(domain_id) == [result]


def test_an_address_that_was_not_allowed_is_never_dialled(
    cluster: Cluster, target: MisbehavingServer
) -> None:
    # The cluster may reach 127.0.0.0/8, and nothing else of loopback.
    port = target.server_address[1]
    domain_id = cluster.register(f"http://[::1]:{port}/", enabled=False)
    result = cluster.run_result(cluster.check(domain_id))
    assert (result["state"], result["reason"]) == ("internal", "forbidden_address")
    assert "SENTINEL_ALLOWED_TARGETS" in result["detail"]
    assert result["connect_us"] is None


def test_our_own_services_are_not_checked_by_accident(cluster: Cluster) -> None:
    # The cluster may reach all of 127.0.0.0/8, but these must be named one by one.
    for port, words in (
        (cluster.port, "Sentinel's own API"),
        (cluster.flower_port, "Sentinel's own Flower"),
    ):
        domain_id = cluster.register(f"http://127.0.0.1:{port}/livez", enabled=False)
        result = cluster.run_result(cluster.check(domain_id))
        assert (result["state"], result["reason"]) == ("internal", "forbidden_address")
        assert words in result["detail"]
        assert f"must name 127.0.0.1/32:{port} to allow it" in result["detail"]


def test_the_ledger_adds_up(cluster: Cluster, target: MisbehavingServer) -> None:
    cluster.register(f"{target.url}/ledger", interval=5)
    since = datetime.now(UTC).isoformat()

    def counted() -> Any:
        ledger = cluster.get("/api/monitoring/ledger", **{"from": since})
        assert ledger["balanced"], ledger
        return ledger["up"] >= 2 and ledger

    ledger = until(counted, "two more slots in the ledger")
    assert ledger["missed"] == 0

    def verified(*options: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "sentinel", "verify-ledger", *options]
        done = subprocess.run(
            command,
            env=cluster.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    status, words = verified()
    assert status == 0, words
    assert words.startswith("The ledger holds from ")
    status, words = verified("--location", "nowhere")
    assert (status, words) == (2, "Sentinel: there is no location nowhere\n")


def test_flower_shows_the_worker_its_queues_and_its_tasks(
    cluster: Cluster, target: MisbehavingServer
) -> None:
    cluster.register(f"{target.url}/flower", interval=5)
    flower = httpx.Client(
        base_url=f"http://127.0.0.1:{cluster.flower_port}", timeout=15, trust_env=False
    )
    with flower:

        def tasks() -> Any:
            page = flower.get("/metrics").text
            done = [line for line in page.splitlines() if "task-succeeded" in line]
            return any("monitoring.check" in line for line in done) and done

        assert until(tasks, "Flower counts finished tasks")
        page = flower.get("/").text
        assert "worker-local-" in page
        assert "control-" in page
        broker = flower.get("/broker").text
        assert "control" in broker
        assert "probe.local" in broker
        assert "probe.local.slow" in broker


def test_the_documentation_is_served_from_here_alone(cluster: Cluster) -> None:
    page = cluster.client.get("/", follow_redirects=True)
    assert page.url.path == "/api/docs"
    assert "://" not in page.text.replace("http://www.w3.org", "")
    for path in ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-init.js"):
        assert f"/static/ninja/{path}" in page.text
        assert cluster.client.get(f"/static/ninja/{path}").status_code == 200


def test_a_killed_worker_comes_back_and_the_ledger_still_adds_up(
    cluster: Cluster, target: MisbehavingServer
) -> None:
    domain_id = cluster.register(f"{target.url}/killed", interval=5)
    first_result(cluster, domain_id)
    since = datetime.now(UTC).isoformat()
    pid = cluster.pid_of("worker")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    killed = datetime.now(UTC)

    def again() -> Any:
        newest = cluster.history(domain_id)[0]
        return (
            newest["state"] == "up" and datetime.fromisoformat(newest["slot"]) > killed and newest
        )

    until(again, "checks go on", 60)
    ledger = cluster.get("/api/monitoring/ledger", **{"from": since})
    assert ledger["balanced"], ledger
    assert any("worker ended (SIGKILL)" in line for line in cluster.lines)
