"""One check, run as the worker runs it: on uvloop."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import uvloop

from monitoring.probes import probe
from monitoring.probes.guard import Guard, parse_allowed_targets
from monitoring.probes.outcome import Outcome, Reason, State, Target

LOOPBACK: Final = Guard(parse_allowed_targets("127.0.0.0/8,::1/128"))

UP: Final = (State.UP, None)


def down(reason: Reason) -> tuple[State, Reason]:
    """Return the ending that is the target's fault."""
    return State.DOWN, reason


def internal(reason: Reason) -> tuple[State, Reason]:
    """Return the ending that is our fault or our policy."""
    return State.INTERNAL, reason


def ending(outcome: Outcome) -> tuple[State, Reason | None]:
    """Return what a check ended as."""
    return outcome.state, outcome.reason


def check(
    url: str, *, seconds: float = 5.0, after: Callable[[], None] = lambda: None, **fields: Any
) -> Outcome:
    """Check a URL once.

    Args:
        url: what to check.
        seconds: the total deadline.
        after: called before the loop is closed, which waits for the resolver's threads.
        fields: of the Target.
    """

    async def run() -> Outcome:
        target = Target(url=url, **{"guard": LOOPBACK, **fields})
        try:
            return await probe(target, asyncio.get_running_loop().time() + seconds)
        finally:
            after()

    return uvloop.run(run())
