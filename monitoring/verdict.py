"""From one result to the present state of a domain at a location: a pure function."""

from monitoring.probes.outcome import State

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
