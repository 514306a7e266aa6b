"""Processes die, are doubled, are restarted, and have wrong clocks: R1, R2, R6, T5, T7."""

import random
import time
from typing import Final

from tests.acceptance.cluster import until
from tests.chaos import faults
from tests.chaos.verdicts import Span, Verdict, is_kept, is_ready, wait_for_check
from tests.chaos.world import World

_A_START_SECONDS: Final = 10


def killed_at_random(
    world: World, *, seconds: float, chance: random.Random, patience: float | None = None
) -> Verdict:
    """R1: any one process is killed every five seconds."""
    span = Span(world)
    killed = faults.random_kills(world, seconds=seconds, every=5.0, chance=chance)
    verdict = Verdict(
        code="R1",
        fault="SIGKILL of any one process every 5 s",
        expected="each slot one row within 3 intervals",
        faults=killed.total(),
        figures={"killed": dict(killed)},
    )
    span.end(verdict, patience=patience)
    verdict.holds = is_kept(verdict)
    verdict.got = verdict.account.words()
    return verdict


def tripled(
    world: World, *, seconds: float, chance: random.Random, patience: float | None = None
) -> Verdict:
    """R2: every message three times and out of order, and three Beats."""
    hits = len(world.targets.hits)
    with faults.Tripled(world.valkey.port, chance) as copies, world.beats(2):
        span = Span(world)
        time.sleep(seconds)
        verdict = Verdict(
            code="R2",
            fault="every message three times, out of order; three Beats",
            expected="nothing twice",
        )
        span.end(verdict, patience=patience)
        verdict.faults = copies.copies
    checks = sum(verdict.account.states.values())
    # What the last slots before the span still ask for, and the first after it.
    most = checks + len(span.domains) * 2
    asked = len(world.targets.hits) - hits
    verdict.figures |= {"requests": asked, "rows": checks, "most_requests": most}
    verdict.holds = is_kept(verdict) and copies.copies > 0 and asked <= most
    verdict.got = f"{verdict.account.words()}; {asked} requests for {checks} rows"
    return verdict


def worker_killed(world: World, *, times: int, patience: float | None = None) -> Verdict:
    """R6: the worker is killed in the middle of batches."""
    span = Span(world)
    killed = 0
    for _ in range(times):
        # A tarpit was asked: its batch is under way.
        wait_for_check(world, "the last kill", path="/hang")
        killed += world.kill("worker")
        until(lambda: world.pids("worker"), "another worker", 60)
        wait_for_check(world, "the kill")
    verdict = Verdict(
        code="R6",
        fault="SIGKILL of the worker and its children, mid-batch",
        expected="its slots have rows within 1 interval",
        faults=killed,
    )
    span.end(verdict, patience=patience)
    # An interval from the slot, and the sweep that sees it over.
    limit = max(each.interval for each in span.domains) + 5.0
    took = verdict.figures["whole_after_s"]
    verdict.holds = is_kept(verdict) and took <= limit
    verdict.got = f"whole after {took} s; {verdict.account.words()}"
    return verdict


def a_beat_killed(world: World, *, seconds: float) -> Verdict:
    """T5: two Beats run; the cluster's own is killed, then the other."""
    with world.beats(1) as (other,):
        time.sleep(5)
        span = Span(world)
        world.kill("beat")
        time.sleep(seconds / 2)
        other.kill()
        time.sleep(seconds / 2)
        verdict = Verdict(
            code="T5", fault="each of two Beats killed", expected="0 missed", faults=2
        )
        span.end(verdict)
    missed = verdict.account.states["missed"]
    verdict.holds = is_kept(verdict) and missed == 0
    verdict.got = f"missed {missed}; {verdict.account.words()}"
    return verdict


def rolling_restart(world: World) -> Verdict:
    """T7: each process is asked to end, in turn.

    Of those who are not due more often than a part takes to start again: where there is one
    process of a part, those miss a slot of it.
    """
    span = Span(world, [each for each in world.watched if each.interval > _A_START_SECONDS])
    roles = world.roles()
    for role in roles:
        faults.restart(world, role)
        until(lambda: is_ready(world), "the API answers", 60)
        wait_for_check(world, f"the restart of {role}")
    verdict = Verdict(
        code="T7", fault="SIGTERM of each process in turn", expected="0 missed", faults=len(roles)
    )
    span.end(verdict)
    missed = verdict.account.states["missed"]
    verdict.holds = is_kept(verdict) and missed == 0
    verdict.got = f"missed {missed}; {verdict.account.words()}"
    return verdict


def clock_stepped(
    world: World, *, hold: float, role: str, seconds: float, patience: float | None = None
) -> Verdict:
    """R1 again: the wall clock of a part's host jumps, and jumps back."""
    span = Span(world)
    world.step_clock(seconds, role)
    time.sleep(hold)
    world.step_clock(0, role)
    time.sleep(6)
    verdict = Verdict(
        code="R1",
        fault=f"clock of the {role}'s host steps by {seconds:+.0f} s for {hold:.0f} s",
        expected="each slot one row, 0 missed",
        faults=2,
    )
    span.end(verdict, patience=patience)
    missed = verdict.account.states["missed"]
    verdict.holds = is_kept(verdict) and missed == 0
    verdict.got = f"missed {missed}; {verdict.account.words()}"
    return verdict
