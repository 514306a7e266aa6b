"""Whose fault silence is: the target's, or that of the network it is looked at from."""

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
import uvloop

from monitoring.probes import canaries, reachability
from monitoring.probes.canaries import Canaries, parse_canaries
from monitoring.probes.outcome import Outcome, Phases, Target
from monitoring.probes.reachability import Endpoint
from monitoring.probes.states import Reason, State
from tests.integration.probes.nameserver import NODATA, REFUSED, SILENCE, NameServer

FAR = "203.0.113.7"  # RFC 5737: nobody's, and nothing is sent there


def run(work: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(work, 20))


def silent(reason: Reason = Reason.CONNECT_TIMEOUT, ip: str | None = FAR) -> Outcome:
    return Outcome(state=State.DOWN, reason=reason, detail="no connection", total_us=1, ip=ip)


def answered(ip: str = FAR, dns_us: int | None = None) -> Outcome:
    return Outcome(state=State.UP, total_us=1, ip=ip, phases=Phases(dns_us=dns_us, connect_us=1))


async def ending(judge: Canaries, outcome: Outcome, started: float | None = None) -> Reason | None:
    assert not judge.clears(outcome)
    began = time.monotonic() if started is None else started
    return (await judge.judge(outcome, started=began)).reason


async def an_end(judge: Canaries) -> bool:
    """Wait for the rounds under way; return whether there is no silence any more."""
    while judge._next is not None:
        await asyncio.shield(judge._next)
    if judge._running is not None:
        await asyncio.wait({judge._running})
    return math.inf not in judge._dark.values()


@contextlib.asynccontextmanager
async def canary() -> AsyncIterator[Endpoint]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


@contextlib.contextmanager
def hole() -> Any:
    """A port that takes no connection: its queue is full with what nobody accepts."""
    with socket.socket() as listener, contextlib.ExitStack() as plugs:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            plug = plugs.enter_context(socket.socket())
            plug.setblocking(False)
            plug.connect_ex(listener.getsockname())
        yield listener.getsockname()


@contextlib.asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    server = NameServer()
    server.known["."] = NODATA
    await server.open()
    try:
        yield server
    finally:
        await server.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "NAMES_PATIENCE", 0.5)
    monkeypatch.setattr(reachability, "WAY_PATIENCE", 0.5)


def none() -> list[Endpoint]:
    return []


@pytest.mark.parametrize("reason", sorted(canaries._SUSPECT))
def test_a_target_is_blamed_where_a_canary_answers(reason: Reason) -> None:
    async def work() -> None:
        async with canary() as address, name_server() as names:
            judge = Canaries([address], lambda: [("127.0.0.1", names.port)])
            assert await ending(judge, silent(reason)) is reason

    run(work())


def test_a_refusal_is_an_answer() -> None:
    async def work() -> None:
        async with canary() as address:
            pass
        assert await ending(Canaries([address], none), silent()) is Reason.CONNECT_TIMEOUT

    run(work())


def test_the_network_is_blamed_where_no_canary_answers() -> None:
    async def work() -> None:
        with hole() as address:
            judge = Canaries([address], none)
            outcome = await judge.judge(silent(), started=time.monotonic())
        assert (outcome.state, outcome.reason) == (State.INTERNAL, Reason.NO_NETWORK)
        assert outcome.detail.endswith("no connection")
        assert outcome.ip == FAR

    run(work())


def test_one_canary_of_several_is_enough() -> None:
    async def work() -> None:
        with hole() as silence:
            async with canary() as address:
                judge = Canaries([silence, address], none)
                assert await ending(judge, silent()) is Reason.CONNECT_TIMEOUT

    run(work())


def test_without_canaries_name_servers_tell_once_they_have_shown_that_they_can() -> None:
    async def work() -> None:
        async with name_server() as names:
            judge = Canaries([], lambda: [("127.0.0.1", names.port)])
            assert await ending(judge, silent()) is Reason.CONNECT_TIMEOUT
            assert await ending(judge, silent(Reason.DNS_TIMEOUT, None)) is Reason.DNS_TIMEOUT
            for lost in (SILENCE, REFUSED):
                names.known["."] = lost
                assert await ending(judge, silent()) is Reason.NO_NETWORK
                assert await ending(judge, silent(Reason.DNS_TIMEOUT, None)) is Reason.NO_NETWORK
            names.known["."] = NODATA
            assert await ending(judge, silent()) is Reason.NO_NETWORK
            assert await an_end(judge)
            assert await ending(judge, silent()) is Reason.CONNECT_TIMEOUT

    run(work())


def test_dead_name_servers_alone_are_no_cut_network() -> None:
    async def work() -> None:
        async with name_server() as names:
            judge = Canaries([], lambda: [("127.0.0.1", names.port)])
            assert await ending(judge, silent()) is Reason.CONNECT_TIMEOUT
            names.known["."] = SILENCE
            soon = asyncio.get_running_loop().call_later(0.4, judge.clears, answered())
            assert await ending(judge, silent()) is Reason.CONNECT_TIMEOUT
            assert soon.when() < asyncio.get_running_loop().time()
            assert await ending(judge, silent(Reason.DNS_TIMEOUT, None)) is Reason.NO_NETWORK

    run(work())


@pytest.mark.parametrize("says", [SILENCE, REFUSED])
def test_a_name_server_here_that_never_showed_it_tells_nothing(says: Any) -> None:
    async def work() -> None:
        async with name_server() as names:
            names.known["."] = says
            judge = Canaries([], lambda: [("127.0.0.1", names.port)])
            assert await ending(judge, silent()) is Reason.CONNECT_TIMEOUT
            # But who says nothing at all looks up no name.
            unnamed = Reason.NO_NETWORK if says is SILENCE else Reason.DNS_TIMEOUT
            assert await ending(judge, silent(Reason.DNS_TIMEOUT, None)) is unnamed

    run(work())


def test_it_is_shown_while_names_are_resolved() -> None:
    async def work() -> None:
        async with name_server() as names:
            judge = Canaries([], lambda: [("127.0.0.1", names.port)])
            assert judge.clears(answered("127.0.0.1", dns_us=5))
            assert judge._next is not None
            await judge._next
            assert names.asked == ["."]
            names.known["."] = SILENCE
            later = time.monotonic() + 1  # what was resolved just now is no evidence for it
            assert await ending(judge, silent(Reason.DNS_TIMEOUT, None), later) is Reason.NO_NETWORK

    run(work())


def test_with_nobody_to_ask_the_target_is_blamed() -> None:
    async def work() -> None:
        assert await ending(Canaries([], none), silent()) is Reason.CONNECT_TIMEOUT

    run(work())


def test_a_target_on_this_machine_needs_no_network() -> None:
    async def work() -> None:
        with hole() as address:
            judge = Canaries([address], none)
            assert await ending(judge, silent(ip="127.0.0.1")) is Reason.CONNECT_TIMEOUT
            assert await ending(judge, silent(ip="::1")) is Reason.CONNECT_TIMEOUT

    run(work())


def test_who_was_answered_meanwhile_needs_no_canary_to_be_asked() -> None:
    async def work() -> None:
        with hole() as address:
            judge = Canaries([address], none)
            began = time.monotonic() - 10
            assert judge.clears(answered())
            assert await ending(judge, silent(), began) is Reason.CONNECT_TIMEOUT
            assert judge.clears(answered("127.0.0.1"))  # which proves nothing of the network
            judge._heard["way"] = began + 1  # long before the end: it may have gone since
            assert await ending(judge, silent(), began) is Reason.NO_NETWORK

    run(work())


def test_a_check_that_saw_the_cut_is_no_witness_when_it_is_mended() -> None:
    async def work() -> None:
        began = time.monotonic()
        async with canary() as address:
            judge = Canaries([address], none)
            with hole() as silence:
                judge._addresses = [silence]
                assert await ending(judge, silent()) is Reason.NO_NETWORK
            judge._addresses = [address]
            assert await ending(judge, silent(), began) is Reason.NO_NETWORK
            assert await an_end(judge)
            assert await ending(judge, silent(), began) is Reason.NO_NETWORK
            assert await ending(judge, silent()) is Reason.CONNECT_TIMEOUT

    run(work())


def test_between_the_last_silence_and_the_first_answer_nobody_is_blamed() -> None:
    async def work() -> None:
        async with canary() as address:
            with hole() as silence:
                judge = Canaries([silence], none)
                assert await ending(judge, silent()) is Reason.NO_NETWORK
            # Fails at once, as without a route, and the network is back before anybody is asked.
            failed = time.monotonic()
            judge._addresses = [address]
            assert await ending(judge, silent(Reason.CONNECT_ERROR), failed) is Reason.NO_NETWORK
            assert await an_end(judge)
            assert await ending(judge, silent(Reason.CONNECT_ERROR)) is Reason.CONNECT_ERROR

    run(work())


def test_an_answer_of_others_ends_the_silence() -> None:
    async def work() -> None:
        with hole() as silence:
            judge = Canaries([silence], none)
            assert await ending(judge, silent()) is Reason.NO_NETWORK
            began = time.monotonic()
            assert judge.clears(answered("127.0.0.1"))
            assert judge._dark["way"] == math.inf
            assert judge.clears(answered())
            assert began < judge._dark["way"] < math.inf
            began = time.monotonic()
            assert judge.clears(answered())
            assert await ending(judge, silent(), began) is Reason.CONNECT_TIMEOUT

    run(work())


def test_a_cut_that_takes_a_packet_and_its_repetition_is_known_of() -> None:
    async def work() -> None:
        async with canary() as address:
            with hole() as silence:
                judge = Canaries([silence], none)

                async def waits(*_: Any) -> Outcome:
                    await asyncio.sleep(0.95)  # the packet is sent again after a second
                    judge._addresses = [address]
                    await asyncio.sleep(1.5)
                    return silent()

                far = Target(url=f"http://{FAR}/")
                assert (await judge.watching(waits)(far, 0)).reason is Reason.NO_NETWORK

    run(work())


def test_silence_is_watched_to_its_end_though_no_check_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(canaries, "SOON", 0.1)
    monkeypatch.setattr(canaries, "SLOW", 0.1)

    async def work() -> None:
        async with canary() as address:
            with hole() as silence:
                judge = Canaries([silence], none)

                async def fails(*_: Any) -> Outcome:
                    return silent(Reason.CONNECT_ERROR)

                far = Target(url=f"http://{FAR}/")
                assert (await judge.watching(fails)(far, 0)).reason is Reason.NO_NETWORK
            judge._addresses = [address]
            async with asyncio.timeout(10):
                while judge._dark["way"] == math.inf:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
            assert (await judge.watching(fails)(far, 0)).reason is Reason.CONNECT_ERROR

    run(work())


def test_a_cut_that_is_mended_before_the_check_ends_is_known_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(canaries, "SOON", 0.1)
    monkeypatch.setattr(canaries, "SLOW", 0.1)

    async def work() -> None:
        async with canary() as address:
            with hole() as silence:
                judge = Canaries([silence], none)

                async def waits(*_: Any) -> Outcome:
                    await asyncio.sleep(1)
                    judge._addresses = [address]
                    await asyncio.sleep(1)
                    return silent()

                far = await judge.watching(waits)(Target(url=f"http://{FAR}/"), 0)
                assert far.reason is Reason.NO_NETWORK
            judge = Canaries([address], none)
            asked = 0

            async def count() -> bool:
                nonlocal asked
                asked += 1
                return True

            monkeypatch.setattr(judge, "_ask_addresses", count)
            await judge.watching(waits)(Target(url="http://127.0.0.1/"), 0)
            assert asked == 1  # for its end, which is of elsewhere; not while it waits

    run(work())


def test_who_was_found_silent_while_the_check_ended_counts() -> None:
    async def work() -> None:
        began = time.monotonic()
        async with canary() as address:
            with hole() as silence:
                judge = Canaries([silence], none)
                judge._next = asyncio.get_running_loop().create_task(judge._round())
                await asyncio.sleep(0.1)
                judge._addresses = [address]
                assert await ending(judge, silent(), began) is Reason.NO_NETWORK

    run(work())


def test_who_is_asked_when_a_check_ends_is_heard_out() -> None:
    """The network comes back just before: what answers then says nothing of the time before."""

    async def work() -> None:
        with hole() as silence:
            judge = Canaries([silence], none)
            started = time.monotonic()
            asking = asyncio.create_task(ending(judge, silent(), started))
            await asyncio.sleep(0.1)  # the canary has been asked, and will not answer
            assert judge.clears(answered())
            assert await ending(judge, silent(), started) is Reason.NO_NETWORK
            await asking

    run(work())


def test_many_doubts_are_one_question() -> None:
    async def work() -> None:
        connections = 0

        def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            writer.close()

        async with await asyncio.start_server(count, "127.0.0.1", 0) as server:
            judge = Canaries([server.sockets[0].getsockname()], none)
            reasons = await asyncio.gather(*(ending(judge, silent()) for _ in range(500)))
            assert set(reasons) == {Reason.CONNECT_TIMEOUT}
        assert 1 <= connections <= 2

    run(work())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("192.0.2.1:443", (("192.0.2.1", 443),)),
        ("192.0.2.1:443, [2001:db8::1]:53", (("192.0.2.1", 443), ("2001:db8::1", 53))),
    ],
)
def test_canaries_are_addresses_with_ports(text: str, expected: tuple[Endpoint, ...]) -> None:
    assert parse_canaries(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("example.org:443", "192.0.2.1", "192.0.2.1:0", "192.0.2.1:65536", "[192.0.2.1]:1"),
        *("2001:db8::1:443", "[2001:db8::1]", "0.0.0.0:443", "192.0.2.1:x", ":443"),
    ],
)
def test_anything_else_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(ValueError, match="write an IP address and a TCP port") as caught:
        parse_canaries(text)
    assert text in str(caught.value)
