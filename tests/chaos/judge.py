"""The ledger held against the schedule: what each domain was due at, and what it has.

Read through the API alone, and reckoned by the pure schedule: what the cluster itself
counted as due is no witness here.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from monitoring.schedule import TICK, phase, tick_at
from tests.acceptance.cluster import Cluster

BOUND_INTERVALS: Final = 3
"""R1: within so many intervals every due slot has its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A domain as the judge knows it.

    Attributes:
        interval: in seconds.
        since: when it was registered; it is judged from the tick after the first.
        healthy: whether its target answers always, so that ``down`` would be a lie.
    """

    id: int
    interval: int
    since: datetime
    healthy: bool = True
    location: str = "local"


@dataclass(slots=True, kw_only=True)
class Account:
    """What a span of the ledger came to.

    Attributes:
        gaps: due slots without a row, as (domain, slot).
        duplicates: rows beyond the first of a slot.
        invented: rows of slots at which nothing was due.
        lies: rows that are ``down`` though the target was well.
        delays: from the slot to the start of the check, in seconds, sorted; of healthy ones.
        rows: of the healthy domains, by domain.
    """

    expected: int = 0
    gaps: list[tuple[int, datetime]] = field(default_factory=list)
    duplicates: int = 0
    invented: int = 0
    lies: list[dict[str, Any]] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)
    rows: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether every slot has exactly one row, and no other row is there."""
        return not (self.gaps or self.duplicates or self.invented)

    def delay(self, share: float) -> float:
        """Return the delay that this share of the checks did not exceed, in seconds."""
        if not self.delays:
            return 0.0
        return self.delays[min(len(self.delays) - 1, int(len(self.delays) * share))]

    def words(self) -> str:
        """Return it in one line."""
        parts = [f"{self.expected} slots", f"gaps {len(self.gaps)}"]
        parts += [f"duplicates {self.duplicates}", f"false down {len(self.lies)}"]
        if self.invented:
            parts.append(f"invented {self.invented}")
        reasons = [f"{reason} {count}" for reason, count in sorted(self.reasons.items())]
        return ", ".join([*parts, *reasons])


def account(
    cluster: Cluster, domains: Sequence[Watched], start: datetime, end: datetime
) -> Account:
    """Hold the rows of start <= slot < end against what was due then."""
    with ThreadPoolExecutor(4) as pool:
        histories = list(pool.map(lambda each: _history(cluster, each.id, start, end), domains))
    whole = Account()
    for domain, rows in zip(domains, histories, strict=True):
        first = max(start, domain.since + 2 * TICK)
        due = set(_due(domain, first, end))
        times = [datetime.fromisoformat(row["slot"]) for row in rows]
        found = Counter(slot for slot in times if slot >= first)
        whole.expected += len(due)
        whole.gaps += [(domain.id, slot) for slot in sorted(due - found.keys())]
        whole.duplicates += sum(found.values()) - len(found)
        whole.invented += len(found.keys() - due)
        whole.rows[domain.id] = rows
        for row in rows:
            _count(whole, domain, row)
    whole.delays.sort()
    return whole


def _due(domain: Watched, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the slots of start <= slot < end: one an interval, at the domain's phase."""
    offset = phase(domain.id, domain.interval)
    slot = tick_at(start - TICK)
    while slot < end:
        if slot >= start and int(slot.timestamp()) % domain.interval == offset:
            yield slot
        slot += TICK


def settled(
    cluster: Cluster,
    domains: Sequence[Watched],
    start: datetime,
    end: datetime,
    *,
    seconds: float,
) -> tuple[Account, float]:
    """Wait until every slot due before ``end`` has its row, or the bound has passed.

    Args:
        cluster: that answers.
        domains: whose slots.
        start, end: the span.
        seconds: the bound, counted from ``end``.

    Returns:
        The account, and how many seconds after ``end`` it was whole, or was given up.
    """
    span = {"from": start.isoformat(), "to": end.isoformat()}
    while True:
        since = (datetime.now(UTC) - end).total_seconds()
        if since > seconds or (since > 0 and _is_quiet(cluster, span)):
            found = account(cluster, domains, start, end)
            if found.is_whole or since > seconds:
                return found, max(since, 0.0)
        time.sleep(0.5)


def bound(domains: Sequence[Watched]) -> float:
    """Return the seconds within which every slot must have its row, and one look more."""
    return BOUND_INTERVALS * max(each.interval for each in domains) + 1.0


def _is_quiet(cluster: Cluster, span: Mapping[str, str]) -> bool:
    """Return whether the cluster itself says that nothing of a span is pending."""
    try:
        response = cluster.client.get("/api/monitoring/ledger", params=dict(span))
    except httpx.TransportError:
        return False
    return response.status_code == 200 and response.json()["pending"] == 0


def _history(
    cluster: Cluster, domain_id: int, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    params = {"from": start.isoformat(), "to": end.isoformat(), "limit": "1000"}
    path: str | None = f"/api/monitoring/{domain_id}/history"
    while path is not None:
        body = _patiently(cluster, path, params)
        rows += [row for row in body["items"] if row["kind"] == "scheduled"]
        path, params = body["next"], {}
    return rows


def _patiently(cluster: Cluster, path: str, params: Mapping[str, str]) -> Any:
    """Return the body of an answer, also when the API was killed in the middle of it."""
    for attempt in range(20):
        try:
            response = cluster.client.get(path, params=dict(params) or None)
        except httpx.TransportError:
            if attempt == 19:
                raise
        else:
            if response.status_code == 200:
                return response.json()
            if response.status_code != 503:
                raise AssertionError(response.text)
        time.sleep(0.5)
    raise AssertionError(f"no answer from {path}")


def _count(whole: Account, domain: Watched, row: dict[str, Any]) -> None:
    whole.states[row["state"]] += 1
    if row["reason"] is not None and (domain.healthy or row["state"] in ("internal", "missed")):
        whole.reasons[f"{row['state']}({row['reason']})"] += 1
    if not domain.healthy:
        return
    if row["state"] == "down":
        whole.lies.append(row)
    if row["started_at"] is not None:
        started, slot = (datetime.fromisoformat(row[name]) for name in ("started_at", "slot"))
        whole.delays.append((started - slot) / timedelta(seconds=1))
