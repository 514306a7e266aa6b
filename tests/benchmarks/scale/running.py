"""One run: a fresh cluster, domains in it, and a span that is watched."""

import os
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from sentinel import embedded
from tests.acceptance.cluster import Cluster, running
from tests.benchmarks.measure import Failed
from tests.benchmarks.scale import questions
from tests.benchmarks.scale.figures import Run
from tests.benchmarks.scale.processes import TARGET, Processes, machine_seconds, memory
from tests.benchmarks.scale.seeding import seed
from tests.benchmarks.scale.watching import Watch
from tests.benchmarks.target import Target

_DRAIN_SECONDS: Final = 30
"""Beyond an interval, after which what is due has a row or never will."""

_LONG_BUSY: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What each run is to be.

    Attributes:
        seconds: of the span that is watched, a multiple of the tick.
        interval: of each domain, in seconds.
        warm: seconds before the span, in which every domain has its first check and its state.
        processes: of the worker; None leaves it to the product.
        settings: of PostgreSQL, beside the product's own.
        statements: whether PostgreSQL's are counted.
    """

    seconds: int
    interval: int
    warm: int
    scheme: str
    processes: int | None = None
    settings: Sequence[str] = ()
    statements: bool = False


def run(folder: Path, target: Target, plan: Plan, *, domains: int) -> Run:
    """Run a cluster with so many domains and return what it did.

    Args:
        folder: empty or not there; another user may pass through what is above. It is removed.
        target: what is checked.
        plan: the rest.
        domains: how many there are.

    Raises:
        Failed: the cluster did not start, answer or stop.
    """
    environment = {"SSL_CERT_FILE": str(target.authority)}
    if plan.processes is not None:
        environment["SENTINEL_WORKER_PROCESSES"] = str(plan.processes)
    try:
        _prepare(folder, plan)
        with ExitStack() as stack:
            cluster = stack.enter_context(running(folder, **environment))
            database = stack.enter_context(
                psycopg.connect(embedded.database_url(folder), autocommit=True)
            )
            return _watched(cluster, database, target, plan, folder=folder, domains=domains)
    except pytest.fail.Exception as failure:  # how the tests' cluster says what went wrong
        raise Failed(str(failure)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path, plan: Plan) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    settings = list(plan.settings)
    if plan.statements:
        settings.append("shared_preload_libraries=pg_stat_statements")
    if settings:
        embedded.prepare(folder)
        with (embedded.postgres_dir(folder) / "postgresql.conf").open("a") as configuration:
            for name, _, value in (setting.partition("=") for setting in settings):
                configuration.write(f"{name} = '{value}'\n")


def _watched(
    cluster: Cluster,
    database: psycopg.Connection[Any],
    target: Target,
    plan: Plan,
    *,
    folder: Path,
    domains: int,
) -> Run:
    def url(number: int) -> str:
        return target.url(plan.scheme, number)

    cluster.register(url(0), interval=plan.interval)
    seed(database, url, number=domains, interval=plan.interval)
    time.sleep(plan.warm)
    start = questions.next_tick(questions.now(database))
    end = start + timedelta(seconds=plan.seconds)
    _sleep_until(start, database)
    if plan.statements:
        questions.count_statements(database)
    processes = Processes({cluster.process.pid: None, target.pid: TARGET})
    watch = Watch(
        database_url=embedded.database_url(folder),
        redis_url=embedded.redis_url(folder),
        url=url(0),
        authority=str(target.authority),
        processes=processes,
    )
    before, machine_before = questions.server(database), machine_seconds()
    with watch.looking() as seen:
        _sleep_until(end, database)
    processes.look()
    cpu, machine = processes.cpu(), machine_seconds() - machine_before
    after = questions.server(database)
    statements = questions.statements(database) if plan.statements else []
    held = {role: memory(pids) for role, pids in processes.living().items()}
    drained = _drain(database, end, seconds=plan.interval + _DRAIN_SECONDS)
    return Run(
        domains=domains,
        interval=plan.interval,
        scheme=plan.scheme,
        seconds=plan.seconds,
        ledger=_ledger(cluster, start.isoformat(), end.isoformat()),
        by_reason=questions.by_reason(database, start, end),
        delay=questions.delays(database, start, end),
        reported=questions.times(database, start, end),
        cpu=cpu,
        machine=machine,
        cores=len(os.sched_getaffinity(0)),
        memory=held,
        sizes=questions.sizes(database),
        relations=questions.relations(database),
        server={name: value - before[name] for name, value in after.items()},
        seen=seen,
        drained=drained,
        statements=statements,
    )


def _ledger(cluster: Cluster, start: str, end: str) -> dict[str, int]:
    # More patient than the cluster's own client: the machine may be full.
    parameters = {"from": start, "to": end}
    answer = cluster.client.get("/api/monitoring/ledger", params=parameters, timeout=_LONG_BUSY)
    if answer.status_code != 200:
        raise Failed(f"the ledger is not told: {answer.text[:300]}")
    return {name: number for name, number in answer.json().items() if isinstance(number, int)}


def _drain(database: psycopg.Connection[Any], end: datetime, *, seconds: float) -> float:
    """Wait until what was due before ``end`` has its row; return how long after it that was."""
    while True:
        late = (questions.now(database) - end).total_seconds()
        if not questions.still_open(database, end) or late > seconds:
            return round(max(0.0, late), 1)
        time.sleep(0.5)  # nothing tells of the last batch's end


def _sleep_until(instant: datetime, database: psycopg.Connection[Any]) -> None:
    time.sleep(max(0.0, (instant - questions.now(database)).total_seconds()))


def settings_of(words: Sequence[str]) -> list[str]:
    """Return PostgreSQL's settings as they were given.

    Raises:
        ValueError: one is not of the form NAME=VALUE, or would have no effect.
    """
    for word in words:
        if word.partition("=")[0] in embedded.POSTGRES_SETTINGS:
            raise ValueError(f"the cluster itself sets {word}: change sentinel/embedded.py")
        if not re.fullmatch(r"[a-z_.]+=[^'\n]*", word):
            raise ValueError(f"{word!r} is not of the form NAME=VALUE")
    return list(words)
