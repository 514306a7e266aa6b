"""What the worker itself lacks is never put down to a target: promise A1."""

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from tests.acceptance.cluster import until
from tests.chaos import faults
from tests.chaos.judge import Watched
from tests.chaos.network import LOCATION, WAYS
from tests.chaos.verdicts import Span, Verdict, is_kept, wait_for_check
from tests.chaos.world import World, now


def network_cut(
    world: World, *, hold: float, ways: Sequence[str] = WAYS, patience: float | None = None
) -> Verdict:
    """A1: the worker's network is cut, in several ways, in the middle of checks."""
    verdict = Verdict(
        code="A1", fault=f"network cut: {', '.join(ways)}", expected="0 down, internal(no_network)"
    )
    far = [each for each in world.watched if each.location == LOCATION]
    if world.network.why_not:
        verdict.skipped = world.network.why_not
        return verdict
    span = Span(world, far)
    for way in ways:
        world.network.cut(way)
        time.sleep(hold)
        world.network.mend(way)
        verdict.faults += 1
        until(partial(_up_after, world, far, now()), f"up again after {way}", 60)
    span.end(verdict, patience=patience)
    told = verdict.account.reasons["internal(no_network)"]
    verdict.holds = is_kept(verdict) and told > 0
    verdict.got = verdict.account.words()
    return verdict


def resolver_dead(world: World, *, hold: float, patience: float | None = None) -> Verdict:
    """A1: the name servers fall silent."""
    span = Span(world)
    world.names.fall_silent()
    time.sleep(hold)
    world.names.speak()
    time.sleep(3)
    verdict = Verdict(
        code="A1",
        fault="no name server answers",
        expected="0 down, internal(no_network)",
        faults=1,
    )
    span.end(verdict, patience=patience)
    told = verdict.account.reasons["internal(no_network)"]
    verdict.holds = is_kept(verdict) and told > 0
    verdict.got = verdict.account.words()
    return verdict


def no_descriptors(world: World, *, hold: float, patience: float | None = None) -> Verdict:
    """A1: the worker can open no file and no socket more."""
    span = Span(world)
    with faults.without_descriptors(world) as count:
        time.sleep(hold)
    wait_for_check(world, "descriptors are back")
    verdict = Verdict(
        code="A1",
        fault="no file descriptors in the worker",
        expected="0 down, internal(resource_limit)",
        faults=count,
    )
    span.end(verdict, patience=patience)
    told = verdict.account.reasons["internal(resource_limit)"]
    verdict.holds = is_kept(verdict) and told > 0
    verdict.got = verdict.account.words()
    return verdict


def _up_after(world: World, domains: Sequence[Watched], since: datetime) -> bool:
    return all(
        any(
            row["state"] == "up" and datetime.fromisoformat(row["slot"]) > since
            for row in world.cluster.history(each.id)
        )
        for each in domains
    )
