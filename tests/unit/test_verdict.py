"""From results to the present state."""

import itertools

import pytest

from monitoring.probes.outcome import Outcome
from monitoring.probes.states import Reason, State
from monitoring.verdict import QUICK_US, SLOW_US, WORST_FIRST, is_slow, next_state, worst

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


@pytest.mark.parametrize(
    ("total_us", "before", "after"),
    [
        (SLOW_US - 1, False, False),
        (SLOW_US, False, True),
        (QUICK_US, True, True),
        (QUICK_US - 1, True, False),
    ],
)
def test_the_last_check_decides_on_the_lane_of_the_next(
    total_us: int, *, before: bool, after: bool
) -> None:
    assert is_slow(Outcome(state=State.UP, total_us=total_us), before=before) is after


@pytest.mark.parametrize("before", [True, False])
def test_our_own_fault_says_nothing_about_the_lane(*, before: bool) -> None:
    ours = Outcome(state=State.INTERNAL, reason=Reason.PROBE_ERROR, total_us=10 * SLOW_US)
    assert is_slow(ours, before=before) is before
