"""Redis and PostgreSQL fail: promises R3, R4 and R5."""

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from tests.acceptance.cluster import until
from tests.chaos import faults
from tests.chaos.judge import Account, Watched, bound
from tests.chaos.verdicts import Span, Verdict, is_kept, is_ready, seconds_from, wait_for_check
from tests.chaos.world import World, now

REDIS_SECONDS: Final = 15.0
DRAIN_SECONDS: Final = 60.0
FIRST_CHECK_SECONDS: Final = 10.0


def flushed_with_the_api_killed(
    world: World, *, times: int, interval: int, patience: float | None = None
) -> Verdict:
    """R3: a domain is registered, Redis loses everything, and the API is killed."""
    span = Span(world)
    delays = []
    for number in range(times):
        began = now()
        domain_id = world.cluster.register(world.targets.url(f"/ok/r3-{number}"), interval=interval)
        world.flush()
        world.kill("api")
        until(lambda: is_ready(world), "the API answers again", 60)
        find = partial(world.cluster.history, domain_id, "scheduled")
        row = until(find, "its first check", interval + 60)[-1]
        delays.append(seconds_from(row["started_at"], began) if row["started_at"] else float("inf"))
    limit = interval + FIRST_CHECK_SECONDS
    verdict = Verdict(
        code="R3",
        fault="POST, then FLUSHALL and SIGKILL of the API",
        expected=f"first check within {limit:.0f} s",
        faults=2 * times,
        figures={"first_check_s": [round(each, 1) for each in delays]},
    )
    span.end(verdict, patience=patience)
    verdict.holds = is_kept(verdict) and max(delays) <= limit
    verdict.got = f"first check after {max(delays):.1f} s; {verdict.account.words()}"
    return verdict


def redis_failing(
    world: World, *, hold: float, only: Sequence[str] = (), patience: float | None = None
) -> Verdict:
    """R4: Redis restarts, is flushed, resets, hangs half-open, goes away for long."""
    span = Span(world)
    again: dict[str, float] = {}
    pids = world.pids("worker")[:1]
    with faults.redis_faults(world) as ways:
        for name in only or ways:
            ways[name](hold)
            again[name] = round(wait_for_check(world, name), 1)
    verdict = Verdict(
        code="R4",
        fault=f"Redis {', '.join(again)}",
        expected="checks again within 15 s, nobody restarts a worker, 0 down",
        faults=len(again),
        figures={"again_s": again},
    )
    span.end(verdict, patience=patience)
    same = world.pids("worker")[:1] == pids
    verdict.holds = is_kept(verdict) and same and max(again.values()) <= REDIS_SECONDS
    slowest = max(again, key=lambda name: again[name])
    verdict.got = f"again after {again[slowest]} s ({slowest}); {verdict.account.words()}"
    return verdict


def database_away(world: World, *, hold: float, patience: float = DRAIN_SECONDS) -> Verdict:
    """R5: PostgreSQL is killed and stays away under load, and connections to it hang."""
    span = Span(world)
    hits = len(world.targets.hits)
    world.postgres.kill()
    body = {"name": "r5", "url": world.targets.url("/ok/r5")}
    answers = {
        world.cluster.client.post("/api/domains/", json=body).status_code,
        world.cluster.client.get("/readyz").status_code,
    }
    time.sleep(hold)
    answers.add(world.cluster.client.get("/api/monitoring/ledger").status_code)
    world.postgres.start()
    back = now()
    until(lambda: is_ready(world), "ready again", 60)
    time.sleep(2)
    verdict = Verdict(
        code="R5",
        fault=f"PostgreSQL killed, away for {hold:.0f} s under load",
        expected="no executed check lost, 503, drained within 60 s",
        faults=1,
    )
    span.end(verdict, patience=max(patience, bound(span.domains)))
    drained = (now() - back).total_seconds()
    lost = _lost(verdict.account, world.targets.hits[hits:], span.domains, world)
    verdict.figures |= {"answers": sorted(answers), "lost": lost, "drained_s": round(drained, 1)}
    verdict.holds = is_kept(verdict) and answers == {503} and lost == 0 and drained <= DRAIN_SECONDS
    verdict.got = (
        f"lost {lost}, answers {sorted(answers)}, drained in {drained:.0f} s; "
        f"{verdict.account.words()}"
    )
    return verdict


def disk_full(world: World, *, hold: float, patience: float = DRAIN_SECONDS) -> Verdict:
    """R5 again: the disk of the database is full for a while."""
    verdict = Verdict(
        code="R5", fault=f"database's disk full for {hold:.0f} s", expected="no executed check lost"
    )
    if world.disk.why_not:
        verdict.skipped = world.disk.why_not
        return verdict
    span = Span(world)
    hits = len(world.targets.hits)
    world.disk.fill()
    time.sleep(hold)
    world.disk.empty()
    world.postgres.start()  # where it ended over it
    until(lambda: is_ready(world), "ready again", 60)
    time.sleep(2)
    verdict.faults = 1
    span.end(verdict, patience=max(patience, bound(span.domains)))
    lost = _lost(verdict.account, world.targets.hits[hits:], span.domains, world)
    verdict.figures["lost"] = lost
    verdict.holds = is_kept(verdict) and lost == 0
    verdict.got = f"lost {lost}; {verdict.account.words()}"
    return verdict


def _lost(
    account: Account,
    hits: Sequence[tuple[float, str]],
    domains: Sequence[Watched],
    world: World,
) -> int:
    """Return how many checks were executed of which the ledger says that nothing was run.

    A hit at a target whose slot is ``missed`` is one, unless it was that of another slot.
    """
    known = world.paths
    by_path: dict[str, list[float]] = {}
    for at, path in hits:
        by_path.setdefault(path, []).append(at)
    lost = 0
    for domain in domains:
        times = by_path.get(known.get(domain.id, ""), [])
        rows = account.rows.get(domain.id, [])
        started = [
            datetime.fromisoformat(row["started_at"]).timestamp()
            for row in rows
            if row["started_at"] is not None
        ]
        for row in rows:
            if row["state"] != "missed":
                continue
            slot = datetime.fromisoformat(row["slot"]).timestamp()
            own = [at for at in times if slot <= at < slot + domain.interval]
            lost += any(all(abs(at - other) > 2 for other in started) for at in own)
    return lost
