"""From results to the present state."""

import itertools

import pytest

from monitoring.probes.outcome import State
from monitoring.verdict import WORST_FIRST, next_state, worst

PRESENT = [None, *WORST_FIRST]


@pytest.mark.parametrize("present", PRESENT)
def test_a_missed_slot_changes_nothing(present: State | None) -> None:
    assert next_state(present, State.MISSED) is present


@pytest.mark.parametrize(("present", "observed"), list(itertools.product(PRESENT, WORST_FIRST)))
def test_what_was_seen_is_what_is(present: State | None, observed: State) -> None:
    assert next_state(present, observed) is observed


def test_every_state_that_can_be_present_has_its_place() -> None:
    assert set(WORST_FIRST) == set(State) - {State.MISSED}


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([], None),
        ([State.UP], State.UP),
        ([State.UP, State.INTERNAL], State.INTERNAL),
        ([State.INTERNAL, State.DEGRADED, State.UP], State.DEGRADED),
        ([State.UP, State.DOWN, State.INTERNAL], State.DOWN),
    ],
)
def test_the_worst_location_speaks_for_all(states: list[State], state: State | None) -> None:
    assert worst(states) is state
