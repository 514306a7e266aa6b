"""From addresses to a connection: raced as RFC 8305 describes."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from monitoring.probes.reasons import most_telling
from monitoring.probes.trace import Trace
from monitoring.probes.wire import Wire, connect

ATTEMPT_DELAY: Final = 0.25
"""Seconds before the next address is tried beside one that has not answered (RFC 8305, 5)."""


async def dial(addresses: Sequence[str], port: int, trace: Trace) -> Wire:
    """Return a connection to the first of the addresses that gives one.

    Args:
        addresses: already judged; in the resolver's order.
        port: the TCP port.
        trace: is told the address; its ``connect`` is entered here, and left at the instant
            at which the connection stood.

    Raises:
        OSError: no address could be connected to; of several errors the most telling.
    """
    loop = asyncio.get_running_loop()
    trace.ip, trace.port = addresses[0], port
    trace.watch.enter("connect")
    if len(addresses) == 1:
        wire = await connect(addresses[0], port, loop)
    else:
        wire = await _race(_interleaved(addresses), port, trace, loop)
    trace.watch.leave(wire.arrived)
    return wire


def _interleaved(addresses: Sequence[str]) -> list[str]:
    """Return the addresses with their families taking turns, the first one's first."""
    first = ip_address(addresses[0]).version
    same = [each for each in addresses if ip_address(each).version == first]
    other = [each for each in addresses if ip_address(each).version != first]
    turns: list[str] = []
    while same or other:
        turns += same[:1] + other[:1]
        same, other = same[1:], other[1:]
    return turns


async def _race(
    addresses: Sequence[str], port: int, trace: Trace, loop: asyncio.AbstractEventLoop
) -> Wire:
    running: dict[asyncio.Task[Wire], str] = {}
    errors: list[tuple[str, OSError]] = []
    left = list(addresses)
    try:
        while left or running:
            if left:
                trace.ip = left.pop(0)
                running[asyncio.create_task(connect(trace.ip, port, loop))] = trace.ip
            done, _ = await asyncio.wait(
                running,
                timeout=ATTEMPT_DELAY if left else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                address = running.pop(task)
                error = task.exception()
                if error is None:
                    trace.ip = address
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                errors.append((address, error))
            if running:
                trace.ip = next(reversed(running.values()))  # whom a deadline finds unanswered
    finally:
        for task in running:
            task.add_done_callback(_discard)
            task.cancel()
    worst = most_telling([error for _, error in errors])
    trace.ip = errors[worst][0]
    raise errors[worst][1]


def _discard(task: asyncio.Task[Wire]) -> None:
    """Close the connection of an attempt that came second."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
