"""The checker of a worker process, with real PostgreSQL and, but for the probe, all real."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DataError, InternalError, connection
from pytest_django.fixtures import Settings
from structlog.testing import capture_logs

from domains.audit import OPERATOR
from domains.clock import database_now
from domains.models import Domain
from domains.services import create_domain, delete_domain
from monitoring import checking, dispatch, recorder, settling
from monitoring.checking import Checker
from monitoring.claiming import Work, claim
from monitoring.ledger import Row
from monitoring.models import Batch, Tick
from monitoring.probes import Probe, resolving
from monitoring.probes.guard import Guard
from monitoring.probes.outcome import IPVersion, Outcome, Target
from monitoring.probes.states import State
from monitoring.recording import record
from monitoring.results import Result
from monitoring.runs import RunPage, read_run

pytestmark = pytest.mark.django_db(transaction=True)

UP = Outcome(state=State.UP, total_us=1000)
RUNNING = timedelta(seconds=75)

MakeChecker = Callable[[Probe], Checker]


@pytest.fixture
def make_checker() -> Iterator[MakeChecker]:
    made: list[Checker] = []

    def make(probe: Probe) -> Checker:
        made.append(Checker(probe))
        return made[-1]

    yield make
    for checker in made:
        checker.drain(5)


def plan(count: int) -> tuple[list[Domain], Batch]:
    """Register domains and ask for them in one batch, as of now."""
    domains = [
        create_domain(
            {"name": f"d{n}", "url": f"http://127.0.0.1:1/{n}"}, by=OPERATOR, now=database_now()
        )
        for n in range(count)
    ]
    run_id = dispatch.request_check(domains[0], now=database_now())
    batch = Batch.objects.get(run_id=run_id)
    batch.domain_ids = [domain.pk for domain in domains]
    batch.save()
    return domains, batch


def take(batch: Batch) -> Work | None:
    return claim(batch.pk, now=database_now(), lease=RUNNING, guard=Guard())


async def never(target: Target, deadline: float) -> Outcome:
    raise AssertionError("it is not to be run")


async def up(target: Target, deadline: float) -> Outcome:
    return UP


def test_every_target_is_probed_and_the_batch_is_finished(make_checker: MakeChecker) -> None:
    domains, batch = plan(250)
    checker = make_checker(up)
    assert checker.run(lambda: take(batch))
    assert checker.drain(10)
    batch.refresh_from_db()
    assert batch.finished_at is not None
    assert sorted(Result.objects.values_list("domain_id", flat=True)) == [d.pk for d in domains]


def test_the_resolvers_of_the_checks_end_with_them(make_checker: MakeChecker) -> None:
    _, batch = plan(1)
    before = len(list(Path("/proc/self/task").iterdir()))

    async def probe(target: Target, deadline: float) -> Outcome:
        # Known without asking, and yet a resolver with a thread of its own is made.
        await resolving.ask("localhost", ip_version=IPVersion.BOTH, nameservers=("127.0.0.1",))
        return UP

    checker = make_checker(probe)
    checker.run(lambda: take(batch))
    assert checker.drain(10)
    deadline = time.monotonic() + 10
    # pycares keeps one thread for good, and the checker's own ends a moment later.
    while len(list(Path("/proc/self/task").iterdir())) > before + 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_exception_in_one_probe_leaves_its_neighbours_alone(make_checker: MakeChecker) -> None:
    _, batch = plan(3)

    async def probe(target: Target, deadline: float) -> Outcome:
        if target.url.endswith("/1"):
            raise RuntimeError("a defect")
        return UP

    checker = make_checker(probe)
    checker.run(lambda: take(batch))
    assert checker.drain(10)
    found = Result.objects.order_by("domain_id").values_list("state", "reason", "detail")
    assert list(found) == [
        ("up", None, ""),
        ("internal", "probe_error", "an error inside Sentinel: RuntimeError"),
        ("up", None, ""),
    ]


def test_a_slow_target_holds_back_neither_results_nor_the_next_batch(
    make_checker: MakeChecker,
) -> None:
    release = threading.Event()

    async def probe(target: Target, deadline: float) -> Outcome:
        if target.url.endswith("/0"):
            await asyncio.to_thread(release.wait, 30)
        return UP

    checker = make_checker(probe)
    _, first = plan(3)
    checker.run(lambda: take(first))
    second_domains, second = plan(2)
    second.domain_ids = [second_domains[1].pk]
    second.save()
    checker.run(lambda: take(second))
    wait_until(lambda: Result.objects.count() == 3)
    second.refresh_from_db()
    first.refresh_from_db()
    assert (first.finished_at, second.finished_at is None) == (None, False)
    release.set()
    assert checker.drain(10)
    first.refresh_from_db()
    assert first.finished_at is not None


def test_a_domain_deleted_under_the_batch_has_a_row_all_the_same(
    make_checker: MakeChecker,
) -> None:
    domains, batch = plan(2)
    gone = domains[1].pk
    delete_domain(gone, by=OPERATOR, now=database_now())
    checker = make_checker(up)
    checker.run(lambda: take(batch))
    assert checker.drain(10)
    row = Result.objects.get(domain_id=gone)
    assert (row.state, row.reason) == ("missed", "not_dispatched")
    batch.refresh_from_db()
    assert batch.finished_at is not None


def test_a_row_that_the_database_refuses_does_not_take_its_neighbours_with_it(
    make_checker: MakeChecker,
) -> None:
    _, batch = plan(3)

    async def probe(target: Target, deadline: float) -> Outcome:
        status = 99_999 if target.url.endswith("/1") else 200  # beyond a smallint
        return Outcome(state=State.UP, total_us=1, status_code=status)

    checker = make_checker(probe)
    checker.run(lambda: take(batch))
    assert checker.drain(10)
    found = Result.objects.order_by("domain_id").values_list("state", "reason")
    assert list(found) == [("up", None), ("missed", "storage"), ("up", None)]


def test_results_wait_for_the_database_and_none_is_lost(make_checker: MakeChecker) -> None:
    domains, batch = plan(5)
    answered = threading.Event()

    async def probe(target: Target, deadline: float) -> Outcome:
        await asyncio.to_thread(answered.wait, 30)
        return UP

    checker = make_checker(probe)
    checker.run(lambda: take(batch))
    with connection.cursor() as cursor:
        # Whoever is connected is cut off, as by a restart, just before the results come.
        answered.set()
        for _ in range(5):
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND backend_type = 'client backend'"
            )
    assert checker.drain(20)
    assert Result.objects.count() == len(domains)


def test_a_database_that_takes_no_writes_is_waited_for(
    make_checker: MakeChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a standby after a failover: an error, but neither an outage nor the row's fault."""
    _, batch = plan(3)
    refusals = iter([InternalError("read-only"), InternalError("read-only"), RuntimeError("odd")])

    def refusing(rows: Sequence[Row], *, finished: Sequence[int]) -> int:
        if (error := next(refusals, None)) is not None:
            raise error
        return record(rows, finished=finished)

    monkeypatch.setattr(recorder, "record", refusing)
    checker = make_checker(up)
    checker.run(lambda: take(batch))
    assert checker.drain(20)
    assert set(Result.objects.values_list("state", flat=True)) == {"up"}


def test_started_instants_are_on_the_databases_clock(make_checker: MakeChecker) -> None:
    _, batch = plan(1)
    before = database_now()
    checker = make_checker(up)
    checker.run(lambda: take(batch))
    assert checker.drain(10)
    row = Result.objects.get()
    assert row.started_at is not None
    assert before <= row.started_at <= database_now()


def test_a_manual_run_is_pending_until_its_results_are_there(make_checker: MakeChecker) -> None:
    _, batch = plan(1)
    assert batch.run_id is not None
    before = read_run(batch.run_id, cursor=None, limit=9)
    assert before == RunPage(finished=False, results=[], after=None)
    checker = make_checker(up)
    checker.run(lambda: take(batch))
    assert checker.drain(10)
    page = read_run(batch.run_id, cursor=None, limit=9)
    assert page
    assert page.finished
    assert [(row.kind, row.slot) for row in page.results] == [("manual", batch.slot)]


def test_what_a_worker_comes_to_too_late_is_not_run(make_checker: MakeChecker) -> None:
    _, batch = plan(2)
    work = take(batch)
    assert work is not None
    work.latest = time.monotonic() - 1.0
    checker = make_checker(never)
    checker.run(lambda: work)
    assert checker.drain(10)
    found = Result.objects.values_list("state", "reason", "started_at")
    assert set(found) == {("missed", "late", None)}


def test_a_worker_keeps_its_lease_while_it_lives(
    make_checker: MakeChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "RENEW_SECONDS", 0.05)
    _, batch = plan(1)
    release = threading.Event()

    async def probe(target: Target, deadline: float) -> Outcome:
        await asyncio.to_thread(release.wait, 30)
        return UP

    checker = make_checker(probe)
    checker.run(lambda: take(batch))

    def lease() -> Any:
        batch.refresh_from_db()
        return batch.lease_until

    first = lease()
    wait_until(lambda: lease() != first)
    release.set()
    assert checker.drain(10)


def test_a_check_that_does_not_end_is_given_up(
    make_checker: MakeChecker, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """Its slot would be pending for as long as the process lives."""
    monkeypatch.setattr(recorder, "RENEW_SECONDS", 0.05)
    _, batch = plan(1)
    release = threading.Event()

    async def probe(target: Target, deadline: float) -> Outcome:
        await asyncio.to_thread(release.wait, 30)
        return UP

    def lease() -> Any:
        batch.refresh_from_db()
        return batch.lease_until

    checker = make_checker(probe)
    checker.run(lambda: take(batch))
    first = lease()
    wait_until(lambda: lease() != first)
    settings.SENTINEL_BATCH_SECONDS = -86_400
    with capture_logs() as logs:
        wait_until(lambda: any(each["event"] == "checks do not end" for each in logs))
        last = lease()
        seen = len(logs)
        wait_until(lambda: len(logs) > seen + 3)
        assert lease() == last
    release.set()
    assert checker.drain(10)


def test_a_batch_that_comes_while_leases_are_renewed_is_not_called_stuck(
    make_checker: MakeChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "RENEW_SECONDS", 0.05)
    renewing, go_on, release = threading.Event(), threading.Event(), threading.Event()

    async def probe(target: Target, deadline: float) -> Outcome:
        await asyncio.to_thread(release.wait, 30)
        return UP

    def now() -> datetime:
        renewing.set()
        go_on.wait(30)
        return database_now()

    monkeypatch.setattr(checking, "database_now", now)
    checker = make_checker(probe)
    _, first = plan(1)
    with capture_logs() as logs:
        checker.run(lambda: take(first))
        assert renewing.wait(30)
        _, second = plan(1)
        checker.run(lambda: take(second))
        go_on.set()
        release.set()
        assert checker.drain(10)
    assert "checks do not end" not in [each["event"] for each in logs]


def test_a_probe_that_was_cancelled_has_a_row_all_the_same(make_checker: MakeChecker) -> None:
    _, batch = plan(2)

    async def probe(target: Target, deadline: float) -> Outcome:
        if target.url.endswith("/1"):
            raise asyncio.CancelledError
        return UP

    checker = make_checker(probe)
    checker.run(lambda: take(batch))
    assert checker.drain(10)
    found = Result.objects.values_list("state", "reason")
    assert sorted(found) == [("internal", "probe_error"), ("up", None)]


def test_nothing_more_is_claimed_than_can_be_recorded(
    make_checker: MakeChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "UNRECORDED_LIMIT", 2)
    storing, claimed = threading.Event(), threading.Event()

    def waiting(rows: Sequence[Row], *, finished: Sequence[int]) -> int:
        storing.wait(30)
        return record(rows, finished=finished)

    monkeypatch.setattr(recorder, "record", waiting)
    checker = make_checker(up)
    _, first = plan(2)
    checker.run(lambda: take(first))
    wait_until(lambda: checker.unrecorded == 2)
    _, second = plan(1)

    def claim_second() -> Work | None:
        claimed.set()
        return take(second)

    def run_second() -> None:
        checker.run(claim_second)
        connection.close()

    other = threading.Thread(target=run_second)
    other.start()
    assert not claimed.wait(0.5)
    storing.set()
    other.join(20)
    assert claimed.is_set()
    assert checker.drain(10)
    assert Result.objects.count() == 3


def test_a_row_that_cannot_even_be_missed_is_left_to_settling(
    make_checker: MakeChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after it would wait behind it, for ever."""
    domains, batch = plan(3)
    refused = domains[1].pk

    def refusing(rows: Sequence[Row], *, finished: Sequence[int]) -> int:
        if any(row.domain_id == refused for row in rows):
            raise DataError("no room for it")
        return record(rows, finished=finished)

    monkeypatch.setattr(recorder, "record", refusing)
    checker = make_checker(up)
    checker.run(lambda: take(batch))
    assert checker.drain(10)
    assert Result.objects.count() == 2
    batch.refresh_from_db()
    assert batch.finished_at is None
    later = batch.expires_at + timedelta(hours=1)
    ago = later - timedelta(seconds=15)
    Tick.objects.create(instant=ago, swept_at=ago)  # sweeps run: nobody is waited for
    settling.settle(now=later)
    assert Result.objects.get(domain_id=refused).reason == "worker_lost"


def test_slow_checks_leave_room_for_quick_ones(
    make_checker: MakeChecker, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(checking, "SLOW_LIMIT", 2)
    settings.SENTINEL_BATCH_SIZE = 2
    release = threading.Event()

    async def probe(target: Target, deadline: float) -> Outcome:
        await asyncio.to_thread(release.wait, 30)
        return UP

    checker = make_checker(probe)
    _, quick = plan(2)
    checker.run(lambda: take(quick))
    assert checker.has_room_for_slow()
    _, slow = plan(2)
    Batch.objects.filter(pk=slow.pk).update(slow=True)
    checker.run(lambda: take(slow))
    assert not checker.has_room_for_slow()
    release.set()
    wait_until(checker.has_room_for_slow)
    assert checker.drain(10)


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until a condition on the database holds."""
    pause = threading.Event()
    for _ in range(int(seconds * 20)):
        if condition():
            return
        pause.wait(0.05)
    pytest.fail("the condition did not come true")
