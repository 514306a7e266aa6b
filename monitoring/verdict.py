"""From one result to the present state of a domain at a location: a pure function."""

from typing import Final

from monitoring.probes.outcome import Outcome
from monitoring.probes.states import State

SLOW_US: Final = 2_000_000
"""A check that took so long, in microseconds, sends the next ones to the slow lane."""

QUICK_US: Final = 1_000_000
"""One that took less brings them back. Between the two nothing changes, and nothing is written."""

WORST_FIRST = (State.DOWN, State.DEGRADED, State.INTERNAL, State.UP)
"""The order in which states of several locations make one: what the target did outranks our own."""


def next_state(present: State | None, observed: State) -> State | None:
    """Return the state after a result.

    ``missed`` saw nothing, so it moves nothing: an outage of ours is a gap in the ledger,
    not a change of the target. Everything else is what the domain is now.
    """
    return present if observed is State.MISSED else observed


def worst(states: list[State]) -> State | None:
    """Return one state for several locations, None where nothing has been seen yet."""
    return min(states, key=WORST_FIRST.index, default=None)


def is_slow(outcome: Outcome, *, before: bool) -> bool:
    """Return whether the next checks of a domain belong into the slow lane.

    Where the target was not waited for, because the fault is ours, nothing is learned.
    """
    if outcome.state in (State.INTERNAL, State.MISSED):
        return before
    return outcome.total_us >= (QUICK_US if before else SLOW_US)
