"""One check, run as the worker runs it: on uvloop."""

import asyncio
from typing import Any, Final

import uvloop

from monitoring.probes import probe, resolving
from monitoring.probes.guard import Guard, parse_allowed_targets
from monitoring.probes.outcome import Outcome, Target
from monitoring.probes.states import Reason, State

LOOPBACK: Final = Guard(parse_allowed_targets("127.0.0.0/8,::1/128"))

DEFAULTS: Final[dict[str, Any]] = {"guard": LOOPBACK}
"""Fields of every Target that is not told otherwise; the tests' name server is added to them."""

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


def target(url: str, **fields: Any) -> Target:
    """Return a target that may be on loopback, and whose name our name server is asked for."""
    return Target(url=url, **{**DEFAULTS, **fields})


def check(url: str, *, seconds: float = 5.0, **fields: Any) -> Outcome:
    """Check a URL once.

    Args:
        url: what to check.
        seconds: the total deadline.
        fields: of the Target.
    """

    async def run() -> Outcome:
        try:
            deadline = asyncio.get_running_loop().time() + seconds
            return await probe(target(url, **fields), deadline)
        finally:
            await resolving.close()

    return uvloop.run(run())
