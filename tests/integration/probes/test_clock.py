"""The clock is the target's: a loop that is late reports its lateness as nobody's time."""

import asyncio
import time

import pytest
import trustme
import uvloop

from monitoring.probes import probe
from monitoring.probes.outcome import Outcome, Target
from monitoring.probes.states import Reason, State
from tests.integration.probes.checking import LOOPBACK, UP, ending
from tests.integration.probes.conftest import Serve
from tests.integration.probes.serving import Behaviour, Visit, answer, replies, says_nothing
from tests.integration.probes.test_tls import context

DELAY = 0.1
BLOCKED = 0.8
"""Seconds for which the loop does something else; what it is late by shows as this."""
MUCH_LESS = 500_000


def answers_after(delay: float) -> Behaviour:
    """Answer with a delay."""

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        await asyncio.sleep(delay)
        await visit.send(answer())

    return behave


def check_beside_a_busy_loop(url: str, *, seconds: float = 5.0) -> Outcome:
    """Check a URL in a loop that is blocked as soon as the check has begun to wait."""

    async def run() -> Outcome:
        loop = asyncio.get_running_loop()
        target = Target(url=url, guard=LOOPBACK)
        task = loop.create_task(probe(target, loop.time() + seconds))
        await asyncio.sleep(0.03)  # the request is on its way, the answer is not
        time.sleep(BLOCKED)  # noqa: ASYNC251 - a loop that does not turn is what is tested
        return await task

    return uvloop.run(run())


def test_an_answer_that_lay_unread_is_timed_by_its_arrival(serve: Serve) -> None:
    outcome = check_beside_a_busy_loop(serve(answers_after(DELAY)).url())

    assert ending(outcome) == UP
    assert outcome.phases.wait_us is not None
    assert DELAY * 1_000_000 <= outcome.phases.wait_us < MUCH_LESS
    assert outcome.total_us < MUCH_LESS


@pytest.mark.usefixtures("trust")
def test_a_handshake_that_lay_unread_is_timed_by_its_arrival(
    serve: Serve, authority: trustme.CA
) -> None:
    tls = context(authority, "127.0.0.1")
    server = serve(replies(answer()), tls=tls)

    async def run() -> Outcome:
        loop = asyncio.get_running_loop()
        target = Target(url=server.url(), guard=LOOPBACK)
        task = loop.create_task(probe(target, loop.time() + 5))
        while not server.connections and not task.done():
            await asyncio.sleep(0)
            time.sleep(0.05)  # noqa: ASYNC251 - every turn is late, those of the handshake too
        return await task

    outcome = uvloop.run(run())

    assert ending(outcome) == UP
    assert outcome.phases.connect_us is not None
    assert outcome.phases.connect_us < 40_000


def test_the_rest_of_an_answer_is_timed_by_its_arrival_too(serve: Serve) -> None:
    async def in_two(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe")
        await asyncio.sleep(DELAY)
        await visit.send(b"re")

    outcome = check_beside_a_busy_loop(serve(in_two).url())

    assert ending(outcome) == UP
    assert outcome.total_us < MUCH_LESS
    assert outcome.phases.download_us is not None
    assert outcome.phases.download_us >= DELAY * 1_000_000 / 2


def test_a_deadline_that_struck_late_is_our_fault(serve: Serve) -> None:
    """The answer may be there; who did not look in time cannot say that it is not."""
    outcome = check_beside_a_busy_loop(serve(says_nothing).url(), seconds=0.2)

    assert ending(outcome) == (State.INTERNAL, Reason.RESOURCE_LIMIT)
    assert "too busy" in outcome.detail


def test_the_phases_add_up_to_the_total(serve: Serve) -> None:
    server = serve(answers_after(0.01))

    outcome = check_beside_a_busy_loop(server.url())

    phases = outcome.phases
    parts = (phases.dns_us, phases.connect_us, phases.tls_us, phases.wait_us, phases.download_us)
    assert outcome.total_us == sum(part for part in parts if part is not None)
    assert [hop.phases for hop in outcome.hops] == [phases]
