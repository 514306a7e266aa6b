"""Time under load: promises T1, T2, T3 and T4b."""

import contextlib
import subprocess
import sys
import time
from datetime import datetime
from typing import Final

import redis

from tests.chaos.verdicts import Span, Verdict, is_kept
from tests.chaos.world import World

OVERLOAD: Final = 3
_UNDER_WAY: Final = 2000  # checks of one process, as ``monitoring.checking`` limits them
_INTERVAL: Final = 5
_TIMEOUT: Final = 30


def punctual(world: World, *, seconds: float) -> Verdict:
    """T1: nothing is broken, and checks start when they are due."""
    span = Span(world)
    time.sleep(seconds)
    verdict = Verdict(code="T1", fault="none", expected="start delay p50 < 1 s, p99 < 6 s")
    span.end(verdict)
    p50, p99 = verdict.account.delay(0.5), verdict.account.delay(0.99)
    verdict.figures |= {"p50_s": round(p50, 3), "p99_s": round(p99, 3)}
    verdict.holds = is_kept(verdict) and p50 < 1 and p99 < 6
    verdict.got = f"p50 {p50:.2f} s, p99 {p99:.2f} s; {verdict.account.words()}"
    return verdict


def tarpits(world: World, *, seconds: float, interval: int) -> Verdict:
    """T3: a fifth of the targets begins to hang, to drip, to take no connection."""
    well = list(world.watched)
    before = Span(world, well)
    time.sleep(seconds)
    calm = before.end(Verdict(code="T3", fault="", expected="")).account
    bad = world.register(max(3, len(well) // 4), interval=interval, kind="tarpit")
    time.sleep(interval)
    span = Span(world, well)
    time.sleep(seconds)
    verdict = Verdict(
        code="T3",
        fault=f"{len(bad)} of {len(well) + len(bad)} targets hang, drip, take no connection",
        expected="p99 delay of the others + < 1 s; bad checks end within timeout + 0.5 s",
        faults=len(bad),
    )
    span.end(verdict)
    more = verdict.account.delay(0.99) - calm.delay(0.99)
    rows = [row for each in bad for row in world.cluster.history(each.id, "scheduled")]
    longest = max((row["total_us"] / 1e6 for row in rows if row["state"] == "down"), default=0.0)
    for each in bad:
        world.cluster.client.patch(f"/api/domains/{each.id}", json={"enabled": False})
        world.watched.remove(each)
    verdict.figures |= {"p99_more_s": round(more, 3), "longest_s": round(longest, 2)}
    verdict.holds = is_kept(verdict) and more < 1 and 0 < longest <= 3.5
    verdict.got = (
        f"p99 {more:+.2f} s, longest bad check {longest:.2f} s of 3; {verdict.account.words()}"
    )
    return verdict


def overloaded(world: World, *, seconds: float) -> Verdict:
    """T2: three times as many checks as the worker can have under way.

    Each hangs until its time is over, so that the limit is the worker's and not that of a
    machine which others use too.
    """
    count = OVERLOAD * _UNDER_WAY * _INTERVAL // _TIMEOUT
    world.register(count, interval=_INTERVAL, kind="hang", timeout=_TIMEOUT)
    time.sleep(_TIMEOUT)
    span = Span(world)
    lengths, memory = [], []
    with redis.Redis(port=world.valkey.port) as client:
        until_when = time.monotonic() + seconds
        while time.monotonic() < until_when:
            lengths.append(_messages(client))
            memory.append(client.info("memory")["used_memory"] / 1e6)
            time.sleep(1)
    verdict = Verdict(
        code="T2",
        fault=f"{OVERLOAD} times the checks that the worker can have under way",
        expected="none starts later than 60 s, Redis flat, the rest missed(overload)",
        faults=count,
    )
    span.end(verdict, patience=120)
    account = verdict.account
    delays = [
        (datetime.fromisoformat(row["started_at"]) - datetime.fromisoformat(row["slot"]))
        for rows in account.rows.values()
        for row in rows
        if row["started_at"] is not None
    ]
    oldest = max((each.total_seconds() for each in delays), default=0.0)
    shed = account.reasons["missed(overload)"]
    half = len(memory) // 2
    more = max(memory[half:]) - max(memory[:half])
    verdict.figures |= {
        "oldest_s": round(oldest, 1),
        "most_messages": max(lengths),
        "redis_more_mb": round(more, 2),
        "shed": shed,
    }
    verdict.holds = (
        account.is_whole and oldest < 60 and more < 1 and 0 < shed == account.states["missed"]
    )
    verdict.got = (
        f"oldest {oldest:.0f} s, at most {max(lengths)} messages, Redis {more:+.1f} MB, "
        f"shed {shed} of {account.states['missed']} missed; {account.words()}"
    )
    return verdict


def _messages(client: "redis.Redis") -> int:
    total = 0
    for key in client.scan_iter("sentinel:*", count=1000):
        with contextlib.suppress(redis.ResponseError):  # not a list
            total += int(client.llen(key))
    return total


def clock_of_the_target() -> Verdict:
    """T4b: what is reported of a target is its own time, the loop at its limit."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.clock"], check=True, capture_output=True, text=True
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Sentinel")]
    words = line.split()
    p50, p99 = (float(words[words.index(name) + 1]) for name in ("p50", "p99"))
    return Verdict(
        code="T4b",
        fault="the loop at its limit, a target of known latency",
        expected="error p50 ≤ 2 ms, p99 ≤ 15 ms",
        holds=p50 <= 2 and p99 <= 15,
        got=f"p50 {p50} ms, p99 {p99} ms",
        seconds=time.monotonic() - began,
        figures={"p50_ms": p50, "p99_ms": p99},
    )
