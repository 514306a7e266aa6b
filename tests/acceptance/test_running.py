"""``sentinel up`` itself: stopping, starting again, and what is in its way."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.acceptance.cluster import Cluster, free_port, until
from tests.acceptance.misbehaving import MisbehavingServer


def refusal(**environment: str) -> str:
    """Run ``sentinel up`` that must not start; return all that it says."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SENTINEL_", "FLOWER_"))}
    done = subprocess.run(
        [sys.executable, "-m", "sentinel", "up"],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    return done.stdout + done.stderr


def test_it_stops_whole_and_finds_its_data_again(
    own_folder: Path, target: MisbehavingServer
) -> None:
    cluster = Cluster(own_folder).start()
    domain_id = cluster.register(f"{target.url}/kept", interval=5)
    hanging = cluster.register(f"{target.url}/hang", interval=5, timeout=60)
    before = until(lambda: cluster.history(domain_id), "a result")
    until(lambda: target.seen["/hang"], "a check is under way")
    assert cluster.stop(signal.SIGINT) < 15
    assert cluster.left_over == set()
    assert cluster.process.returncode == 0
    again = Cluster(own_folder).start()
    assert again.key == cluster.key
    assert again.history(domain_id)[-1] == before[-1]
    assert again.get(f"/api/domains/{hanging}")["url"].endswith("/hang")
    ledger = again.get("/api/monitoring/ledger")
    assert ledger["balanced"], ledger
    assert again.stop(signal.SIGTERM) < 15
    assert again.left_over == set()
    assert again.process.returncode == 0


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refusal(SENTINEL_DATA_DIR=str(tmp_path), SENTINEL_PORT=port)
        assert said.count("\n") == 1
        assert port in said
        assert "SENTINEL_PORT" in said
        said = refusal(
            SENTINEL_DATA_DIR=str(tmp_path), SENTINEL_PORT=str(free_port()), FLOWER_PORT=port
        )
        assert said.count("\n") == 1
        assert "FLOWER_PORT" in said


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refusal(SENTINEL_DATA_DIR=str(tmp_path / "file" / "folder"))
    assert said.count("\n") == 1
    assert "SENTINEL_DATA_DIR" in said


def test_a_second_start_on_the_same_folder_is_one_sentence(cluster: Cluster, folder: Path) -> None:
    said = refusal(SENTINEL_DATA_DIR=str(folder), SENTINEL_PORT=str(free_port()))
    assert said.count("\n") == 1
    assert "in use" in said
    assert cluster.client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "word", ["sentinel.wsgi", "control", "beat", "flower", "postgres", "valkey-server"]
)
def test_a_part_that_dies_is_started_again(cluster: Cluster, word: str) -> None:
    pid = cluster.pid_of(word)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: cluster.pid_of(word) not in (None, pid), f"{word} runs again")
    until(lambda: answers(cluster), "the API answers")


def answers(cluster: Cluster) -> bool:
    try:
        return cluster.client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
