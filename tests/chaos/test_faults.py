"""The short form: every fault for seconds, all in one cluster; `make chaos` is the long one.

A promise's ledger is asserted here, and what it says beside it; times only where the machine's
own slowness cannot break them.
"""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from monitoring.schedule import TICK
from tests.acceptance.cluster import until
from tests.chaos import outages, processes, vantage
from tests.chaos.network import ALLOWED
from tests.chaos.proxy import Fault
from tests.chaos.verdicts import Verdict
from tests.chaos.world import World, far_worker, now, running_world

pytestmark = pytest.mark.timeout(300)

PATIENCE = 100.0
"""Seconds until every slot has its row; what takes longer is lost, not slow."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A cluster that watches what is well, what is named, and tarpits."""
    with running_world(allow=[ALLOWED]) as world, far_worker(world):
        world.register(30, interval=5)
        world.register(6, interval=5, kind="named")
        world.register(6, interval=5, kind="tarpit")
        if not world.network.why_not:
            world.register(4, interval=5, kind="cut")
        # What was registered just now is not judged yet, and a worker begins by looking around.
        until(lambda: now() > world.watched[-1].since + 3 * TICK, "the first slots", 30)
        yield world


@pytest.fixture
def chance() -> random.Random:
    """The same accidents every time."""
    return random.Random(4)


def check(verdict: Verdict) -> None:
    if verdict.skipped:
        pytest.skip(verdict.skipped)
    account = verdict.account
    assert account.expected
    assert account.gaps == []
    assert account.duplicates == 0
    assert account.invented == 0
    assert account.lies == [], verdict.got


def test_given_servers_are_used_and_none_is_started(world: World) -> None:
    assert not any(" postgres " in line or " valkey " in line for line in world.cluster.lines)


def test_without_redis_what_is_asked_for_is_accepted_and_done_later(world: World) -> None:
    cluster = world.cluster
    world.queue.fail(Fault.REFUSE)
    try:
        domain_id = cluster.register(world.targets.url("/ok/without-redis"), interval=5)
        accepted = cluster.check(domain_id, timeout=4)  # without waiting for the queue
        assert cluster.get(accepted["status_url"])["status"] == "pending"
        assert cluster.client.get("/readyz").status_code == 200
    finally:
        world.queue.heal()
    assert cluster.run_result(accepted, 60)["state"] == "up"
    until(lambda: cluster.history(domain_id, "scheduled"), "a scheduled result", 60)


def test_redis_is_flushed_and_the_api_killed(world: World) -> None:
    check(outages.flushed_with_the_api_killed(world, times=1, interval=5))


def test_redis_resets_hangs_and_goes_away(world: World) -> None:
    ways = ("reset", "half-open", "away")
    check(outages.redis_failing(world, hold=2, only=ways, patience=PATIENCE))


def test_postgresql_goes_away(world: World) -> None:
    verdict = outages.database_away(world, hold=4, patience=PATIENCE)
    check(verdict)
    assert verdict.figures["answers"] == [503]
    assert verdict.figures["lost"] == 0


def test_the_disk_of_postgresql_is_full(world: World) -> None:
    verdict = outages.disk_full(world, hold=4, patience=PATIENCE)
    check(verdict)
    assert verdict.figures["lost"] == 0


def test_processes_are_killed(world: World, chance: random.Random) -> None:
    check(processes.killed_at_random(world, seconds=7, chance=chance, patience=PATIENCE))


def test_copies_silence_and_a_wrong_clock_together(world: World, chance: random.Random) -> None:
    """Each tells of itself: other targets, another worker, other figures."""
    step = processes.clock_stepped
    with ThreadPoolExecutor(4) as pool:
        cut, dead, clock, tripled = (
            pool.submit(vantage.network_cut, world, hold=7, ways=["hole"], patience=PATIENCE),
            pool.submit(vantage.resolver_dead, world, hold=7, patience=PATIENCE),
            pool.submit(step, world, hold=6, role="worker", seconds=-3600, patience=PATIENCE),
            pool.submit(processes.tripled, world, seconds=8, chance=chance, patience=PATIENCE),
        )
    for verdict in (dead.result(), clock.result(), tripled.result()):
        check(verdict)
    assert dead.result().account.reasons["internal(no_network)"]
    copies = tripled.result()
    assert copies.faults > 0
    assert copies.figures["requests"] <= copies.figures["most_requests"]
    check(cut.result())
    assert cut.result().account.reasons["internal(no_network)"]


def test_missing_descriptors_are_not_put_down_to_targets(world: World) -> None:
    verdict = vantage.no_descriptors(world, hold=6, patience=PATIENCE)
    check(verdict)
    assert verdict.account.reasons["internal(resource_limit)"]
