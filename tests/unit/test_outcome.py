"""Outcomes: only what section 6 of the design allows can be made."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.probes.outcome import MAX_DETAIL_CHARS, Outcome
from monitoring.probes.states import REASONS, Reason, State


@pytest.mark.parametrize(("state", "reason"), list(itertools.product(State, [None, *Reason])))
def test_a_state_stands_with_its_own_reasons_only(state: State, reason: Reason | None) -> None:
    allowed = reason is None if state is State.UP else reason in REASONS[state]

    if allowed:
        assert Outcome(state=state, reason=reason, total_us=1).reason is reason
    else:
        with pytest.raises(ValueError, match=f"state {state} with reason"):
            Outcome(state=state, reason=reason, total_us=1)


def test_every_state_has_its_list_and_every_reason_a_state() -> None:
    assert set(REASONS) == set(State)
    assert set().union(*REASONS.values()) == set(Reason)
    assert all(reasons for state, reasons in REASONS.items() if state is not State.UP)


def test_a_failing_assertion_is_the_one_reason_of_two_states() -> None:
    counts = {reason: sum(reason in reasons for reasons in REASONS.values()) for reason in Reason}

    assert {reason for reason, count in counts.items() if count > 1} == {Reason.ASSERTION}


@given(st.text(max_size=400))
def test_a_detail_is_always_storable(detail: str) -> None:
    outcome = Outcome(state=State.DOWN, reason=Reason.CLOSED, detail=detail, total_us=0)

    assert len(outcome.detail) <= MAX_DETAIL_CHARS
    assert "\x00" not in outcome.detail
    outcome.detail.encode()


def test_a_long_detail_is_cut_visibly() -> None:
    outcome = Outcome(state=State.DOWN, reason=Reason.CLOSED, detail="x" * 301, total_us=0)

    assert outcome.detail == "x" * 299 + "…"
