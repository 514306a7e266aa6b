"""Where the time went, and that nothing stays behind."""

import asyncio
import contextlib
import gc
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
import uvloop

from monitoring.probes import probe, resolving
from monitoring.probes.outcome import Outcome, Phases
from monitoring.probes.poller import poller
from monitoring.probes.states import Reason
from tests.integration.probes.checking import UP, check, down, ending, target
from tests.integration.probes.conftest import Serve
from tests.integration.probes.nameserver import SILENCE, NameServer
from tests.integration.probes.serving import (
    Behaviour,
    Visit,
    answer,
    hangs_up,
    redirects,
    repeats,
    replies,
    resets_after,
    says_nothing,
    stays_silent_after,
)
from tests.integration.probes.test_tls import context

DELAY = 0.15
NEAR_NOTHING = 100_000


def sum_of(phases: Phases) -> int:
    """Return the time of all phases that were reached."""
    return sum(part for part in phases if part is not None)


def waits(*parts: bytes) -> Behaviour:
    """Answer with a delay before each part."""

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        for part in parts:
            await asyncio.sleep(DELAY)
            await visit.send(part)

    return behave


def test_a_plain_check_has_no_phase_that_it_did_not_reach(serve: Serve) -> None:
    phases = check(serve(replies(answer())).url()).phases

    # An address needs no DNS, and plain HTTP no TLS.
    assert (phases.dns_us, phases.tls_us) == (None, None)
    assert phases.connect_us is not None
    assert phases.wait_us is not None
    assert phases.download_us is not None


@pytest.mark.usefixtures("trust")
def test_a_check_of_a_name_over_tls_has_all_phases(serve: Serve, authority: trustme.CA) -> None:
    server = serve(replies(answer()), tls=context(authority, "server.example"))

    outcome = check(server.url(host="server.example"))

    assert ending(outcome) == UP
    assert None not in outcome.phases
    assert outcome.total_us >= sum_of(outcome.phases) > 0


@pytest.mark.parametrize(
    ("behaviour", "reason", "reached"),
    [
        (says_nothing, Reason.TIMEOUT, {"connect_us", "wait_us"}),
        (
            stays_silent_after(b"HTTP/1.1 2"),
            Reason.TIMEOUT,
            {"connect_us", "wait_us", "download_us"},
        ),
        (hangs_up, Reason.CLOSED, {"connect_us", "wait_us"}),
    ],
)
def test_the_phase_in_which_a_check_ended_is_the_last_it_has(
    serve: Serve, behaviour: Behaviour, reason: Reason, reached: set[str]
) -> None:
    outcome = check(serve(behaviour).url(), seconds=1)

    assert ending(outcome) == down(reason)
    assert {name for name in Phases._fields if getattr(outcome.phases, name) is not None} == reached
    assert outcome.total_us >= sum_of(outcome.phases)


def test_a_slow_first_byte_is_wait_and_a_slow_rest_is_download(
    serve: Serve,
) -> None:
    slow_start = check(serve(waits(answer())).url())
    slow_rest = check(serve(waits(b"HTTP/1.1 200 OK\r\n", b"\r\n", b"body")).url())

    for outcome, slow, quick in (
        (slow_start, slow_start.phases.wait_us, slow_start.phases.download_us),
        (slow_rest, slow_rest.phases.download_us, slow_rest.phases.wait_us),
    ):
        assert slow is not None
        assert quick is not None
        assert slow > quick
        assert slow >= 0.8 * DELAY * 1e6
        assert outcome.total_us >= sum_of(outcome.phases)
        assert outcome.total_us - sum_of(outcome.phases) < NEAR_NOTHING


def test_phases_are_summed_over_redirects(serve: Serve) -> None:
    end = serve(waits(answer()))
    start = serve(waits(redirects(end.url())))

    outcome = check(start.url())

    assert (ending(outcome), outcome.redirects) == (UP, 1)
    assert outcome.phases.wait_us is not None
    assert outcome.phases.wait_us >= 0.8 * 2 * DELAY * 1e6
    assert outcome.total_us >= sum_of(outcome.phases)


def test_silent_names_do_not_hold_up_another(serve: Serve, names: NameServer) -> None:
    server = serve(replies(answer()))
    silent = [f"silent{n}.example" for n in range(50)]
    names.known |= dict.fromkeys(silent, SILENCE)

    async def run() -> list[Outcome]:
        deadline = asyncio.get_running_loop().time() + 3.0
        urls = [*(f"http://{name}/" for name in silent), server.url(host="server.example")]
        try:
            return await asyncio.gather(*(probe(target(url), deadline) for url in urls))
        finally:
            await resolving.close()

    *held, last = uvloop.run(run())

    assert ending(last) == UP
    assert {ending(outcome) for outcome in held} == {down(Reason.DNS_TIMEOUT)}


def descriptors() -> int:
    """Return how many files this process has open, without the one that libuv keeps in reserve."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += each.readlink() != Path(os.devnull)
    return count


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what has no event: a count of this process."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells when a file is closed
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("trust")
def test_a_hundred_hostile_servers_leave_nothing_behind(
    serve: Serve, authority: trustme.CA, names: NameServer
) -> None:
    names.known["two.example"] = ["127.0.0.2", "127.0.0.1"]
    tls = context(authority, "elsewhere.example")
    good = context(authority, "127.0.0.1")
    head = b"HTTP/1.1 200 OK\r\n"
    endless = repeats(head + b"\r\n", b"x" * 65536)
    servers = [
        serve(says_nothing),
        serve(hangs_up),
        serve(resets_after(head)),
        serve(repeats(head, b"X: y\r\n", pause=0.01)),
        serve(repeats(head + b"\r\n", b".", pause=0.01)),
        serve(repeats(head, b"X: y\r\n" * 100)),
        serve(endless),
        serve(endless, tls=good),
        serve(says_nothing, scheme="https"),
        serve(hangs_up, scheme="https"),
        serve(replies(answer()), tls=tls),
        serve(stays_silent_after(head + b"\r\nx"), tls=good),
    ]
    urls = [server.url() for server in servers]
    urls += ["http://gone.example/", servers[1].url(host="two.example"), "http://127.0.0.1:9/"]

    async def one_round() -> list[Outcome]:
        deadline = asyncio.get_running_loop().time() + 0.4
        return await asyncio.gather(
            *(probe(target(url, max_body_bytes=10**6), deadline) for url in urls * 7)
        )

    async def run() -> list[Outcome]:
        poller(asyncio.get_running_loop())  # has a descriptor of its own, one a loop
        before = descriptors()
        outcomes = await one_round()
        await resolving.close()
        # The servers are in this process too, and have to notice that it is over.
        await until(lambda: descriptors() <= before)
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
        return outcomes

    outcomes = uvloop.run(run())

    assert len(outcomes) == 105
    assert not [outcome for outcome in outcomes if ending(outcome) == UP]


def test_a_check_that_is_given_up_closes_its_connection(serve: Serve) -> None:
    """A worker that stops cancels its checks: that is no outcome, and no leak."""
    url = serve(says_nothing).url()

    async def run() -> int:
        loop = asyncio.get_running_loop()
        poller(loop)  # has a descriptor of its own, one a loop
        before = descriptors()
        task = loop.create_task(probe(target(url), loop.time() + 30))
        await until(lambda: descriptors() == before + 2)  # both ends are in this process
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: descriptors() == before)
        return len(asyncio.all_tasks())

    assert uvloop.run(run()) == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(repeats(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000), id="headers"),
        pytest.param(repeats(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536), id="body"),
        pytest.param(repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), id="hints"),
    ],
)
def test_what_has_no_end_is_not_kept_in_memory(serve: Serve, behaviour: Behaviour) -> None:
    url = serve(behaviour).url()
    check(url, seconds=1)
    gc.collect()
    tracemalloc.start()
    try:
        check(url, seconds=1.0, max_body_bytes=10**9)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    # A full receive buffer of the kernel's is read at once, and kept until it is looked at.
    assert peak < 20_000_000
