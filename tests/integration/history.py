"""A history to read: results of many endings, and their roll-ups."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import Client

from monitoring import rolling
from monitoring.ledger import Row
from monitoring.models import Location, Tick
from monitoring.packing import VERDICTS, Kind
from monitoring.probes.outcome import Outcome, Phases
from monitoring.probes.states import State
from monitoring.recording import record

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def slots(start: datetime, count: int, step: timedelta = MINUTE) -> list[datetime]:
    return [start + number * step for number in range(count)]


def store(
    domain_id: int, location: Location, when: Sequence[datetime], *, seed: int = 1, **given: Any
) -> None:
    """Record a result a slot, each ending as chance has it, or as it is given."""
    chance = random.Random(seed)
    rows = []
    for slot in when:
        state, reason = given.get("ending") or chance.choice(list(VERDICTS))
        us = [chance.choice([None, chance.randrange(10**6)]) for _ in range(5)]
        outcome = Outcome(
            state=state,
            reason=reason,
            phases=Phases(*([None] * 5 if state is State.MISSED else us)),
            total_us=0 if state is State.MISSED else sum(each or 0 for each in us),
            detail=given.get("detail") or chance.choice(["", "", '=cmd|"x", and\r\nmore', "ü"]),
        )
        kind = given.get("kind") or chance.choice(list(Kind))
        started_at = None if state is State.MISSED else slot
        rows.append(Row(domain_id, location.pk, slot, kind, started_at, outcome))
    for first in range(0, len(rows), 2000):
        record(rows[first : first + 2000])


def roll(start: datetime, end: datetime) -> None:
    """Have every tick of a span run, and roll it up."""
    Tick.objects.bulk_create(
        Tick(instant=datetime.fromtimestamp(seconds, UTC), swept_at=end, expected=0)
        for seconds in range(int(start.timestamp()), int(end.timestamp()) + 1, 300)
    )
    while rolling.roll_up(now=end + HOUR, seconds=5):
        pass


def read(client: Client, path: str, query: Any = None) -> list[dict[str, Any]]:
    """Return the items of all pages from an address on."""
    items: list[dict[str, Any]] = []
    answer = client.get(path, query).json()
    for _ in range(1000):
        items += answer["items"]
        if answer["next"] is None:
            return items
        answer = client.get(answer["next"].removeprefix("http://testserver")).json()
    raise AssertionError("there is always a next page")
