"""A task that hangs: it keeps nobody else's messages, and its process works again in time.

A real worker, whose sweep waits for a lock in PostgreSQL that is not given back.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from django.db import connection, transaction

from monitoring.models import Tick
from monitoring.queues import CONTROL, queue
from sentinel import embedded, processes
from sentinel.celery import app
from sentinel.environment import read_environment
from tests.integration.locks import until, waiting_for_locks

SOFT, HARD = 2, 4
"""Seconds, in place of the settings': those are for a database that is slow, not for a test."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Valkey of this test's own."""
    embedded.prepare_sockets(tmp_path)
    url = embedded.redis_url(tmp_path)
    monkeypatch.setenv("REDIS_URL", url)
    server = subprocess.Popen(embedded.valkey_argv(tmp_path), stdout=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    try:
        with redis.from_url(url, decode_responses=True) as client:
            until(answers, "Valkey answers")
            yield client
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def worker(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[subprocess.Popen[bytes]]:
    """A control worker of one process, on the test's own database."""
    named = f"/{connection.settings_dict['NAME']}?"
    monkeypatch.setenv("DATABASE_URL", os.environ["DATABASE_URL"].replace("/sentinel?", named))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = processes.control(read_environment())
    path = tmp_path / "log"
    with path.open("wb") as output:
        started = subprocess.Popen(program.argv, env=dict(os.environ), stdout=output, stderr=output)
    try:
        until(lambda: "ready." in path.read_text(), "the worker is ready")
        yield started
    finally:
        started.terminate()
        started.wait(30)
        print(path.read_text())


def children(worker: subprocess.Popen[bytes]) -> list[int]:
    listed = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    return [int(each) for each in listed.read_text().split()]


def send(name: str) -> None:
    prefixed = {"broker_transport_options": app.conf.broker_transport_options}
    sending = Celery(
        "sending", broker=f"redis+socket://{os.environ['REDIS_URL'].partition('://')[2]}",
        set_as_current=False, changes=prefixed,
    )  # fmt: skip
    sending.send_task(
        name, queue=queue(CONTROL), soft_time_limit=SOFT, time_limit=HARD, ignore_result=True
    )


def waiting(store: Any) -> int:
    """Return how many messages no worker has taken."""
    return int(store.llen(f"sentinel:{CONTROL}"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_task_that_hangs_is_ended_and_the_next_one_run(
    store: Any, worker: subprocess.Popen[bytes], *, frozen: bool
) -> None:
    """By itself at the soft limit; one that does not even notice is killed at the hard one."""
    (child,) = children(worker)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE monitoring_batch, monitoring_tick IN ACCESS EXCLUSIVE MODE")
        send("monitoring.sweep")
        until(waiting_for_locks, "the sweep waits for the lock")
        if frozen:
            os.kill(child, signal.SIGSTOP)
        send("monitoring.retain")
        looked = time.monotonic()
        while time.monotonic() < looked + SOFT / 2:
            assert waiting(store) == 1  # another worker, if there were one, could take it
        until(lambda: waiting(store) == 0, "the next one is taken")
    send("monitoring.sweep")
    until(Tick.objects.exists, "a sweep")
    assert (children(worker) == [child]) is not frozen
