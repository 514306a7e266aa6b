"""A model of the schedule against real PostgreSQL: whatever happens, each slot is due once.

People register, change, pause, resume and delete; sweeps come late, twice, not at all, from
hosts side by side; the clock is set forward and back. What the ledger then has of each domain
is what the pure function says, slot by slot.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domains.audit import OPERATOR
from domains.models import Domain
from domains.services import change_domain, create_domain, delete_domain
from monitoring import dispatch, history, settling
from monitoring.models import Batch
from monitoring.results import Result
from monitoring.schedule import TICK, slots, tick_at
from tests.conftest import NOW

RETENTION = timedelta(days=30)
PLACES = (["local"], ["local", "paris"], ["paris", "tokyo"])


@dataclass
class Known:
    """What the model knows of one domain: the schedules it had, as (interval, places, since)."""

    pk: int
    present: tuple[int, tuple[str, ...], datetime] | None
    past: list[tuple[int, tuple[str, ...], datetime, datetime]] = field(default_factory=list)

    def end(self, now: datetime) -> None:
        if self.present is not None:
            self.past.append((*self.present, now))
            self.present = None

    def due(self, until: datetime) -> list[tuple[str, datetime]]:
        spans = list(self.past)
        if self.present is not None:
            spans.append((*self.present, until))
        return [
            (place, slot)
            for interval, places, since, end in spans
            for slot in slots(self.pk, interval, since, start=since, end=min(end, until))
            for place in places
        ]


class World:
    """Domains and sweeps under one clock, and what should be of them."""

    def __init__(self) -> None:
        self.now = NOW
        self.taken = NOW - TICK
        self.domains: list[Known] = []
        dispatch.sweep(now=self.taken, retention=RETENTION)

    def begins(self, least: datetime | None = None) -> datetime:
        """When a change takes effect: now, but never at what sweeps have taken."""
        return max(self.now, self.taken + timedelta(microseconds=1), least or self.now)

    def register(self, interval: int, places: int) -> None:
        fields = {
            "name": "d",
            "url": "http://127.0.0.1:1/",
            "interval": interval,
            "locations": PLACES[places],
        }
        domain = create_domain(fields, by=OPERATOR, now=self.now)
        present = (interval, tuple(PLACES[places]), self.begins())
        self.domains.append(Known(domain.pk, present))

    def change(self, which: int, fields: dict[str, object]) -> None:
        known = self.domains[which % len(self.domains)]
        domain = Domain.objects.filter(pk=known.pk).first()
        if domain is None:
            return
        begins = self.begins(domain.scheduled_since)
        after = change_domain(known.pk, fields, by=OPERATOR, now=self.now)
        before = (domain.interval, domain.enabled, domain.locations)
        if before != (after.interval, after.enabled, after.locations):
            known.end(begins)
            if after.enabled:
                known.present = (after.interval, tuple(after.locations), begins)

    def delete(self, which: int) -> None:
        known = self.domains[which % len(self.domains)]
        domain = Domain.objects.filter(pk=known.pk).first()
        if domain is not None:
            known.end(self.begins(domain.scheduled_since))
            delete_domain(known.pk, by=OPERATOR, now=self.now)

    def sweep(self, times: int) -> None:
        for _ in range(times):
            dispatch.sweep(now=self.now, retention=RETENTION)
            settling.settle(now=self.now)
        self.taken = max(self.taken, tick_at(self.now))


STEPS = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.1, 12)),
    st.tuples(st.just("wait"), st.sampled_from([5.0, 30.0, 61.0, 400.0])),
    st.tuples(st.just("wait"), st.floats(-40, -0.1)),
    st.tuples(st.just("sweep"), st.integers(1, 2)),
    st.tuples(
        st.just("register"), st.sampled_from([5, 10, 15, 60, 300, 86_400]), st.integers(0, 2)
    ),
    st.tuples(
        st.just("change"),
        st.integers(0, 9),
        st.sampled_from(
            [
                {"interval": 5},
                {"interval": 20},
                {"interval": 3600},
                {"enabled": False},
                {"enabled": True},
                {"locations": ["tokyo"]},
                {"name": "another"},
                {"timeout": 3},
            ]
        ),
    ),
    st.tuples(st.just("delete"), st.integers(0, 9)),
)


@given(st.lists(STEPS, min_size=8, max_size=20))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_each_slot_is_due_exactly_once(db: None, steps: list[Any]) -> None:
    with transaction.atomic():
        run(steps)
        transaction.set_rollback(True)


def run(steps: list[Any]) -> None:
    world = World()
    world.register(10, 0)
    for step in steps:
        match step:
            case ("wait", float(seconds)):
                world.now += timedelta(seconds=seconds)
            case ("sweep", int(times)):
                world.sweep(times)
            case ("register", int(interval), int(places)):
                world.register(interval, places)
            case ("change", int(which), dict(fields)):
                world.change(which, fields)
            case ("delete", int(which)):
                world.delete(which)
    world.now = max(world.now, world.taken) + 2 * TICK
    world.sweep(1)
    until = world.taken + timedelta(microseconds=1)
    expected = Counter(
        (known.pk, place, slot) for known in world.domains for place, slot in known.due(until)
    )
    found = Counter(
        (pk, place, slot)
        for pks, place, slot in Batch.objects.filter(finished_at=None).values_list(
            "domain_ids", "location__name", "slot"
        )
        for pk in pks
    )
    found.update(Result.objects.values_list("domain_id", "location__name", "slot"))
    assert found == expected
    assert max(expected.values(), default=1) == 1
    ledger = history.ledger(NOW - timedelta(days=1), until)
    assert ledger.balanced, ledger
    assert ledger.expected == sum(expected.values())
