"""Recording against a model of it: whatever comes how often, in which order, from where.

Chunks of rows, shuffled and repeated, are recorded by one connection and compared with a
model step by step; then by two connections at once, which come to the same. The model replays
all rows by slot, whenever they came.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domains.audit import OPERATOR
from domains.models import Domain
from domains.services import create_domain
from monitoring import partitions
from monitoring.ledger import Row
from monitoring.models import DomainState, Location, Transition
from monitoring.packing import Kind
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import Reason, State
from monitoring.recording import record
from monitoring.results import Result
from tests.conftest import NOW

OUTCOMES = {
    State.UP: Outcome(state=State.UP, total_us=1),
    State.DEGRADED: Outcome(state=State.DEGRADED, reason=Reason.SLOW, total_us=1),
    State.DOWN: Outcome(state=State.DOWN, reason=Reason.STATUS, total_us=1),
    State.INTERNAL: Outcome(state=State.INTERNAL, reason=Reason.NO_NETWORK, total_us=1),
    State.MISSED: Outcome(state=State.MISSED, reason=Reason.LATE, total_us=0),
}
DOMAINS = 3
SLOTS = 8
FOR_A_DATABASE = settings(
    deadline=None,
    max_examples=60,
    phases=[Phase.explicit, Phase.generate],  # shrinking what two threads did takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
Place = tuple[int, int]
Told = tuple[int, int, int, State]
"""A domain, a location, a slot, each by its number, and what was seen."""


@st.composite
def told(draw: st.DrawFn) -> list[list[Told]]:
    """Draw chunks: each row at least once, some again, in any order."""
    keys = draw(
        st.lists(
            st.tuples(st.integers(0, DOMAINS - 1), st.integers(0, 1), st.integers(0, SLOTS - 1)),
            min_size=1,
            max_size=24,
            unique=True,
        )
    )
    rows = [(*key, draw(st.sampled_from(State))) for key in keys]
    again = draw(st.lists(st.sampled_from(rows), max_size=12))
    mixed = draw(st.permutations([*rows, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(mixed)), max_size=6)) | {0, len(mixed)})
    return [list(mixed[a:b]) for a, b in pairwise(cuts)]


@dataclass
class Model:
    """What the tables must hold after the chunks so far, from one connection."""

    rows: dict[tuple[int, int, int], State] = field(default_factory=dict)
    states: dict[Place, tuple[State, int]] = field(default_factory=dict)
    transitions: set[tuple[int, int, int, State | None, State]] = field(default_factory=set)

    def record(self, chunk: Sequence[Told]) -> tuple[int, set[Place]]:
        """Return how many rows are new, and the places whose state or its beginning is another."""
        fresh: dict[tuple[int, int, int], State] = {}
        for *key, state in chunk:
            if tuple(key) not in self.rows:
                fresh.setdefault((key[0], key[1], key[2]), state)
        self.rows |= fresh
        before, self.states, self.transitions = self.states, {}, set()
        for (domain, place, slot), state in sorted(self.rows.items(), key=lambda item: item[0][2]):
            known = self.states.get((domain, place), (None, -1))[0]
            if state is not State.MISSED and state is not known:
                self.states[domain, place] = state, slot
                self.transitions.add((domain, place, slot, known, state))
        return len(fresh), {at for at, state in self.states.items() if state != before.get(at)}


@dataclass
class Tables:
    """Domains and locations of one example, and what is stored of them."""

    domains: list[Domain]
    places: list[Location]

    @classmethod
    def new(cls) -> "Tables":
        names = ("local", "paris")
        fields = {"name": "d", "url": "http://127.0.0.1:1/"}
        return cls(
            [create_domain(fields, by=OPERATOR, now=NOW) for _ in range(DOMAINS)],
            [Location.objects.get_or_create(name=name)[0] for name in names],
        )

    def chunk(self, chunk: Sequence[Told]) -> list[Row]:
        return [self._row(*one) for one in chunk]

    def _row(self, domain: int, place: int, slot: int, state: State) -> Row:
        return Row(
            domain_id=self.domains[domain].pk,
            location_id=self.places[place].pk,
            slot=self._slot(slot),
            kind=Kind.SCHEDULED,
            started_at=None if state is State.MISSED else self._slot(slot),
            outcome=OUTCOMES[state],
        )

    @staticmethod
    def _slot(number: int) -> datetime:
        # Over midnight, so that a domain's rows are in two partitions.
        return NOW + timedelta(hours=9 + number)

    def _known(self, model: Any) -> Any:
        return model.objects.filter(domain_id__in=[domain.pk for domain in self.domains])

    def _at(self, row: Any) -> tuple[int, int]:
        ids = [domain.pk for domain in self.domains], [place.pk for place in self.places]
        return ids[0].index(row.domain_id), ids[1].index(row.location_id)

    def _number(self, slot: datetime) -> int:
        return round((slot - self._slot(0)) / timedelta(hours=1))

    def rows(self) -> dict[tuple[int, int, int], State]:
        return {
            (*self._at(row), self._number(row.slot)): State(row.state)
            for row in self._known(Result)
        }

    def states(self) -> dict[Place, tuple[State, int]]:
        return {
            self._at(row): (State(row.state), self._number(row.slot))
            for row in self._known(DomainState)
        }

    def transitions(self) -> set[tuple[int, int, int, State | None, State]]:
        return {
            (
                *self._at(row),
                self._number(row.slot),
                row.from_state and State(row.from_state),
                State(row.to_state),
            )
            for row in self._known(Transition)
        }

    def versions(self) -> dict[Place, tuple[str, str]]:
        """Return which version of its row each state is: it changes with every write."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT domain_id, location_id, xmin::text, ctid::text "
                "FROM monitoring_domainstate WHERE domain_id = ANY(%s)",
                [[domain.pk for domain in self.domains]],
            )
            ids = [domain.pk for domain in self.domains], [place.pk for place in self.places]
            return {
                (ids[0].index(domain_id), ids[1].index(place)): (xmin, ctid)
                for domain_id, place, xmin, ctid in cursor.fetchall()
            }


@FOR_A_DATABASE
@given(chunks=told())
def test_one_connection_does_what_the_model_does(db: None, chunks: list[list[Told]]) -> None:
    partitions.forget()  # an example's partitions are rolled back with it
    tables, model = Tables.new(), Model()
    for chunk in chunks:
        before = tables.versions()
        number, moved = model.record(chunk)
        assert record(tables.chunk(chunk)) == number
        after = tables.versions()
        written = {place for place in after if after[place] != before.get(place)}
        assert written == moved, "an unchanged state writes nothing but the result"
    assert tables.rows() == model.rows
    assert tables.states() == model.states
    assert tables.transitions() == model.transitions


@pytest.fixture
def pair(transactional_db: None) -> Iterator[ThreadPoolExecutor]:
    """Two threads, each with a connection of its own."""
    with ThreadPoolExecutor(2) as threads:
        yield threads
        both = threading.Barrier(2)  # so that neither closes for the other

        def close() -> None:
            both.wait()
            connection.close()

        for closing in [threads.submit(close) for _ in range(2)]:
            closing.result()


@FOR_A_DATABASE
@given(chunks=told())
def test_two_connections_at_once_come_to_the_same(
    pair: ThreadPoolExecutor, chunks: list[list[Told]]
) -> None:
    tables, model = Tables.new(), Model()
    for chunk in chunks:
        model.record(chunk)
    # Both have every chunk, in opposite orders: each row is there twice at least.
    works = [
        pair.submit(lambda order: [record(tables.chunk(chunk)) for chunk in order], order)
        for order in (chunks, chunks[::-1])
    ]
    assert sum(number for work in works for number in work.result()) == len(model.rows)
    assert tables.rows() == model.rows

    assert tables.states() == model.states
    assert tables.transitions() == model.transitions
