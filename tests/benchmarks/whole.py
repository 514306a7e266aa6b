"""The whole way: a Celery worker as ``sentinel worker`` starts it, from its queue to the ledger.

PostgreSQL and Valkey are those that ``sentinel up`` brings, started the same way, in a folder
of the run. Beat and API are not started: batches are written and put on the queue by
this process, with the product's own ``publish``, as a sweep does.
"""

import importlib
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Final

import psycopg
import redis

from sentinel import embedded, processes
from sentinel.environment import read_environment
from tests.acceptance.cluster import descendants
from tests.benchmarks.measure import Bounds, Failed, Sample, cpu_seconds, open_files
from tests.benchmarks.target import Target, stop

_START_SECONDS: Final = 60.0
_WAVE_SECONDS: Final = 60.0
"""How long the checks that are due at once may take: their batches expire then."""

SINGLES: Final = 100
"""Checks queued at once where each has a batch of its own: a chunk of the recorder."""

_POLL_SECONDS: Final = 0.02
"""How often the database is asked whether a wave is stored: some microseconds a check."""

_LOOK_SECONDS: Final = 0.01
_OPEN: Final = "SELECT 1 FROM monitoring_batch WHERE finished_at IS NULL LIMIT 1"


class Whole:
    """The cluster's part that is measured.

    Args:
        target: what is checked.
        worker, postgres, valkey: the processes.
        domains: how many are registered for each scheme.
    """

    def __init__(
        self, target: Target, *, worker: int, postgres: int, valkey: int, domains: int
    ) -> None:
        self._pids = {"worker": worker, "PostgreSQL": postgres, "Valkey": valkey}
        self._ids = {scheme: _register(url, domains) for scheme, url in target.urls.items()}
        self._poll = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        for ids in self._ids.values():
            self._wave(ids)  # every domain has a state from now on, as in a cluster that runs

    def close(self) -> None:
        """Let go of the database."""
        from django.db import connection

        self._poll.close()
        connection.close()

    def sample(self, scheme: str, in_flight: int, bounds: Bounds) -> Sample:
        """Let ``in_flight`` domains fall due at once, and again when those are stored.

        Raises:
            Failed: a slot has no row in time, or one that is not ``up``.
        """
        ids = self._ids[scheme][: max(in_flight, SINGLES if in_flight == 1 else 0)]
        slots: list[datetime] = []
        started = time.monotonic()
        before = self._cpu()
        with _watching(self._pids["worker"]) as seen:
            more = bounds.from_now()
            while more(len(slots) * len(ids)):
                slots.append(self._wave(ids, singly=in_flight == 1))
        wall = time.monotonic() - started
        spent = {name: cpu - before[name] for name, cpu in self._cpu().items()}
        self._verify(slots, len(ids))
        return Sample(
            part="whole",
            scheme=scheme,
            in_flight=in_flight,
            checks=len(slots) * len(ids),
            cpu_s=spent.pop("worker"),
            wall_s=wall,
            beside=spent,
            seen=round(statistics.median(seen)) if seen else None,
        )

    def _wave(self, ids: Sequence[int], *, singly: bool = False) -> datetime:
        """Write the batches of a slot that is now, queue them, and wait until all are stored."""
        from django.conf import settings

        from domains.clock import database_now
        from monitoring import dispatch, tasks
        from monitoring.models import Batch, Location
        from monitoring.packing import Kind

        size = 1 if singly else settings.SENTINEL_BATCH_SIZE
        slot = database_now()
        location = Location.objects.get()
        Batch.objects.bulk_create(
            Batch(
                kind=Kind.SCHEDULED,
                location=location,
                slot=slot,
                expires_at=slot + timedelta(seconds=_WAVE_SECONDS),
                domain_ids=ids[start : start + size],
            )
            for start in range(0, len(ids), size)
        )
        tasks.publish(dispatch.unsent())
        deadline = time.monotonic() + _WAVE_SECONDS
        while self._poll.execute(_OPEN, prepare=True).fetchone():
            if time.monotonic() > deadline:
                raise Failed(f"the worker did not store {len(ids)} checks in {_WAVE_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        return slot

    def _cpu(self) -> dict[str, float]:
        return {name: cpu_seconds([pid]) for name, pid in self._pids.items()}

    def _verify(self, slots: Sequence[datetime], each: int) -> None:
        from django.db.models import Count

        from monitoring.results import Result

        rows = Result.objects.filter(slot__in=slots)
        found = dict(rows.values_list("state").annotate(rows=Count("*")).order_by("state"))
        if found != {"up": len(slots) * each}:
            odd = rows.exclude(state="up").values_list("reason", "detail").first()
            raise Failed(f"of {len(slots) * each} checks the ledger has {found}: {odd}")


def _register(url: str, number: int) -> list[int]:
    """Write as many domains in one statement; return their ids."""
    from domains.clock import database_now
    from domains.models import Domain

    now = database_now()
    made = Domain.objects.bulk_create(
        Domain(name=f"{url}{one}", url=f"{url}{one}", timeout=60, scheduled_since=now)
        for one in range(number)
    )
    return sorted(domain.pk for domain in made)


@contextmanager
def _watching(worker: int) -> Iterator[list[int]]:
    """Sample how many more descriptors a worker has open than when it idled: its connections."""
    pids = [worker, *descendants(worker)]
    idle = open_files(pids)
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            if (more := open_files(pids) - idle) > 0:
                seen.append(more)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@contextmanager
def running(folder: Path, target: Target, *, domains: int) -> Iterator[Whole]:
    """Run PostgreSQL, Valkey and a worker of one process that may dial loopback.

    Args:
        folder: where their files go; another user may pass through it.
        target: what is checked; its authority is trusted.
        domains: how many are registered for each scheme.

    Raises:
        Failed: one of them does not start.
    """
    _set_environment(folder, target)
    with ExitStack() as stack:
        log = stack.enter_context((folder / "cluster.log").open("ab"))
        user = embedded.prepare(folder)
        postgres = subprocess.Popen(
            embedded.postgres_argv(folder),
            stdout=log,
            stderr=log,
            cwd="/",
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )
        stack.callback(stop, postgres, signal.SIGINT)
        valkey = subprocess.Popen(embedded.valkey_argv(folder), stdout=log, stderr=log)
        stack.callback(stop, valkey)
        _wait_for("PostgreSQL", _database_exists, log)
        _wait_for("Valkey", _redis_answers, log)
        subprocess.run([sys.executable, "-m", "sentinel", "init"], stdout=log, check=True)
        worker = subprocess.Popen(processes.worker(read_environment()).argv, stdout=log, stderr=log)
        stack.callback(stop, worker)
        _set_up_django()
        whole = Whole(
            target, worker=worker.pid, postgres=postgres.pid, valkey=valkey.pid, domains=domains
        )
        stack.callback(whole.close)
        yield whole


def _set_environment(folder: Path, target: Target) -> None:
    """Point this process and its children at the servers of the run, whatever the shell says."""
    for name in list(os.environ):
        if name.startswith(("SENTINEL_", "FLOWER_", "DATABASE_", "REDIS_", "DJANGO_", "PG")):
            del os.environ[name]
    os.environ.update(
        SENTINEL_DATA_DIR=str(folder),
        DATABASE_URL=embedded.database_url(folder),
        REDIS_URL=embedded.redis_url(folder),
        SENTINEL_ALLOWED_TARGETS="127.0.0.0/8",
        SENTINEL_WORKER_PROCESSES="1",
        SSL_CERT_FILE=str(target.authority),
    )


def _set_up_django() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "sentinel.settings"
    import django

    django.setup()
    importlib.import_module("sentinel.celery")  # makes its app the current one
    from monitoring.models import Location

    Location.objects.get_or_create(name="local")


def _wait_for(name: str, answers: Callable[[], bool], log: IO[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not answers():
        if time.monotonic() > deadline:
            raise Failed(f"{name} does not start: {Path(log.name).read_text()[-1000:]}")
        time.sleep(0.1)  # a server that is starting offers nothing to wait on


def _database_exists() -> bool:
    url = os.environ["DATABASE_URL"].replace("/sentinel?", "/postgres?", 1)
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
            connection.execute("CREATE DATABASE sentinel")
    except psycopg.OperationalError:
        return False
    return True


def _redis_answers() -> bool:
    try:
        with redis.from_url(os.environ["REDIS_URL"]) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
