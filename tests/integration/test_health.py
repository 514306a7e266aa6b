"""A worker's readiness: that it consumes, not that it answers.

A real worker, whose Redis is its own and stands behind a proxy that stalls.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from monitoring.queues import queue
from sentinel import embedded, processes, pulse
from sentinel.celery import app
from sentinel.environment import read_environment
from sentinel.queue_canary import TASK
from tests.chaos.proxy import Fault, Proxy

SOON = 5.0
"""More than a canary takes, less than a worker may be silent."""


@dataclass
class Place:
    """A worker, and the way to its Redis."""

    proxy: Proxy
    direct: Any
    process: subprocess.Popen[bytes]
    url: str

    def pings(self) -> list[str]:
        asking = Celery("asking", broker=self.url, set_as_current=False)
        asking.conf.broker_transport_options = app.conf.broker_transport_options
        replies = asking.control.ping(timeout=5, limit=1)
        return [reply["ok"] for each in replies for reply in each.values()]

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def readers(self) -> list[int]:
        """The ports of the connections that wait for messages; not those long forgotten."""
        return [
            int(each["addr"].rpartition(":")[2])
            for each in self.direct.client_list()
            if each["cmd"] == "brpop" and int(each["idle"]) <= 1
        ]

    def send(self, count: int) -> None:
        """Send messages that do nothing to the queue that the worker shares with others."""
        prefixed = {"broker_transport_options": app.conf.broker_transport_options}
        sending = Celery("sending", broker=self.url, set_as_current=False, changes=prefixed)
        for _ in range(count):
            sending.send_task(TASK, queue=queue("probe.health"), priority=9, ignore_result=True)

    def waiting(self) -> int:
        """How many of them no worker has taken."""
        return int(self.direct.llen("sentinel:probe.health\x06\x169"))

    def canaries(self) -> int:
        keys = list(self.direct.scan_iter("sentinel:canary.*"))
        return sum(self.direct.llen(key) for key in keys)


def until(look: Callable[[], Any], what: str, seconds: float = 40) -> float:
    """Wait until what is seen is true; return how long that took."""
    began = time.monotonic()
    while not look():
        if time.monotonic() - began > seconds:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("health")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("SENTINEL_LOCATION", "health")
        patch.setenv("SENTINEL_WORKER_PROCESSES", "2")
        embedded.prepare_sockets(folder)
        with Proxy(("127.0.0.1", 0)) as spare:
            port = spare.port  # free once it is closed
        argv = [*embedded.valkey_argv(folder), "--port", str(port), "--bind", "127.0.0.1"]
        valkey = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        direct = redis.Redis(port=port, decode_responses=True)
        with Proxy(("127.0.0.1", port)) as proxy:
            worker = None
            try:
                until(lambda: _answers(direct), "Valkey answers")
                patch.setenv("REDIS_URL", f"redis://127.0.0.1:{proxy.port}/0")
                program = processes.worker(read_environment())
                with (folder / "log").open("wb") as output:
                    worker = subprocess.Popen(
                        program.argv, env=dict(os.environ), stdout=output, stderr=output
                    )
                until(lambda: pulse.complaint("worker") is None, "the worker is ready")
                yield Place(proxy, direct, worker, os.environ["REDIS_URL"])
            finally:
                if worker is not None:
                    worker.terminate()
                    try:
                        worker.wait(15)
                    except subprocess.TimeoutExpired:
                        worker.kill()
                        worker.wait()
                    print((folder / "log").read_text())
                direct.close()
                valkey.terminate()
                valkey.wait(10)


def _answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge after seconds what is judged after a longer time."""
    monkeypatch.setitem(pulse.FRESH_SECONDS, "worker", SOON)


def _is_ready() -> bool:
    return pulse.complaint("worker") is None


def test_the_health_check_says_what_is_wrong(place: Place) -> None:
    def check(role: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-X", "importtime", "-m", "sentinel.pulse", role]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    done = check("worker")
    assert (done.returncode, done.stdout) == (0, "")
    assert not any(name in done.stderr for name in ("celery", "django", "kombu", "structlog"))
    assert (check("beat").returncode, check("beat").stdout) == (1, "no beat is running\n")
    assert check("nobody").returncode == 2


@pytest.mark.usefixtures("_soon")
def test_a_worker_that_answers_pings_and_consumes_nothing_is_not_ready(place: Place) -> None:
    until(_is_ready, "ready")
    children = place.children()
    assert len(children) == 2
    for child in children:
        os.kill(child, signal.SIGSTOP)
    try:
        place.send(12)
        until(lambda: not _is_ready(), "no longer ready", 20)
        complaint = pulse.complaint("worker")
        assert complaint
        assert "has consumed nothing for" in complaint
        assert place.pings() == ["pong"]
        # Where the prefetch multiplier is Celery's own, eight of them would wait in this worker.
        assert place.waiting() >= 12 - len(children)
        assert place.canaries() <= 2
    finally:
        for child in children:
            os.kill(child, signal.SIGCONT)
    until(_is_ready, "ready again")


@pytest.mark.usefixtures("_soon")
def test_all_connections_half_open_are_left_and_the_worker_consumes_again(place: Place) -> None:
    """What ``socket_timeout`` is there for: without it this ends never."""
    until(_is_ready, "ready")
    place.proxy.fail(Fault.STALL)
    place.proxy.heal()  # what was open stays stalled
    until(lambda: not _is_ready(), "no longer ready", 20)
    until(_is_ready, "ready again")
    assert place.canaries() <= 2


@pytest.mark.usefixtures("_soon")
def test_the_connection_it_reads_by_half_open_alone_is_left(place: Place) -> None:
    """What ``health_check_interval`` is there for: by kombu's own it takes up to 51 seconds."""
    until(_is_ready, "ready")
    until(lambda: len(place.readers()) == 1, "it reads by one connection")
    place.proxy.stall_one(*place.readers())
    until(lambda: not _is_ready(), "no longer ready", 20)
    print("consuming again after", until(_is_ready, "ready again", 60))
    assert place.canaries() <= 2
