"""Name servers that fail, lie, lose and are silent: each failure by its name."""

import asyncio
import socket
import time

import pytest

from monitoring.probes import nameservers, resolving
from monitoring.probes.outcome import IPVersion
from monitoring.probes.resolving import Cause
from tests.integration.probes.asking import HERE, Asker, run
from tests.integration.probes.nameserver import (
    NODATA,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    SILENCE,
    Entry,
    NameServer,
    Says,
)
from tests.integration.probes.serving import Host


@pytest.mark.parametrize(
    ("says", "cause", "words"),
    [
        (NXDOMAIN, Cause.NO_SUCH_NAME, "no such name (NXDOMAIN)"),
        (NODATA, Cause.NO_ADDRESS, "the name has no such address (NODATA)"),
        (Says(ungrounded=True), Cause.NO_ADDRESS, "the name has no such address (NODATA)"),
        (
            Says(aliases=[("nowhere.example", 60)]),
            Cause.NO_ADDRESS,
            "the name has no such address (NODATA)",
        ),
        (SERVFAIL, Cause.SERVER_FAILURE, "the name servers answered SERVFAIL (asked: {address})"),
        (REFUSED, Cause.SERVER_FAILURE, "the name servers answered REFUSED (asked: {address})"),
        (
            Says(rcode="NOTIMP"),
            Cause.SERVER_FAILURE,
            "the name servers answered NOTIMP (asked: {address})",
        ),
        (
            Says(rcode="FORMERR"),
            Cause.SERVER_FAILURE,
            "the name servers answered FORMERR (asked: {address})",
        ),
        (
            Says(garbage=b"\x00not DNS"),
            Cause.SERVER_FAILURE,
            "the name servers' answer is broken (asked: {address})",
        ),
    ],
)
def test_each_failure_of_a_name_server_is_told_by_its_name(
    names: NameServer, asker: Asker, says: Says, cause: Cause, words: str
) -> None:
    names.known["gone.example"] = says

    failure = run(lambda: asker.fail("gone.example"))

    assert failure.cause is cause
    assert str(failure) == words.format(address=names.address)
    assert failure.waited is not None
    assert failure.waited > 0


def test_a_name_without_an_address_of_the_family_that_is_wanted(
    names: NameServer, asker: Asker
) -> None:
    names.known["four.example"] = HERE

    assert run(lambda: asker.fail("four.example", IPVersion.IPV6)).cause is Cause.NO_ADDRESS


@pytest.mark.parametrize("broken", [SERVFAIL, NODATA])
def test_one_family_s_failure_is_not_the_other_s(
    names: NameServer, asker: Asker, broken: Says
) -> None:
    names.known["half.example"] = {"A": broken, "AAAA": Says(["::1"])}

    assert run(lambda: asker.ask("half.example")).addresses == ("::1",)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([NXDOMAIN], id="NXDOMAIN"),
        pytest.param([NODATA], id="NODATA"),
        pytest.param([Says(ungrounded=True)], id="NODATA without SOA"),
        pytest.param([SERVFAIL] * 3, id="SERVFAIL"),
        pytest.param([REFUSED] * 3, id="REFUSED"),
    ],
)
def test_a_failure_is_not_remembered(names: NameServer, asker: Asker, before: list[Says]) -> None:
    """A monitor has to see the recovery at the next check."""
    names.known["back.example"] = [*before, HERE]

    async def work() -> None:
        await asker.fail("back.example")
        assert (await asker.ask("back.example")).addresses == ("127.0.0.1",)

    run(work)


def test_a_name_server_that_nobody_runs_is_out_of_reach() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

    failure = run(lambda: Asker(f"127.0.0.1:{port}").fail("some.example"))

    assert failure.cause is Cause.UNREACHABLE
    assert str(failure) == f"no name server can be reached (asked: 127.0.0.1:{port})"


def test_silence_ends_as_a_time_out(
    names: NameServer, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "PATIENCE_SECONDS", 1.5)
    monkeypatch.setattr(nameservers, "_TRIES", 1)
    names.known["silent.example"] = SILENCE

    failure = run(lambda: asker.fail("silent.example"))

    assert failure.cause is Cause.TIMED_OUT
    assert str(failure) == f"the name servers did not answer in time (asked: {names.address})"
    # One try, and one more because patience was not over after it.
    assert names.count("silent.example") == 2


@pytest.mark.parametrize(
    "turns",
    [
        pytest.param([SILENCE, HERE], id="lost once"),
        pytest.param([SILENCE, SILENCE, HERE], id="lost twice"),
    ],
)
def test_a_lost_packet_costs_a_second_or_two(
    names: NameServer, asker: Asker, turns: list[Says]
) -> None:
    names.known["lossy.example"] = list(turns)

    found = run(lambda: asker.ask("lossy.example", IPVersion.IPV4))

    assert found.addresses == ("127.0.0.1",)
    assert found.waited is not None
    assert 0.9 < found.waited < 2.2 * (len(turns) - 1)


def test_a_lost_packet_costs_no_more_where_answers_are_slow(
    names: NameServer, asker: Asker
) -> None:
    """From slow answers c-ares concludes that it should wait for long."""
    slow = [f"slow{n}.example" for n in range(5)]
    names.known |= dict.fromkeys(slow, Says(["127.0.0.1"], after=0.8))
    names.known["lossy.example"] = [SILENCE, HERE]

    async def work() -> float | None:
        await asyncio.gather(*(asker.ask(name, IPVersion.IPV4) for name in slow))
        return (await asker.ask("lossy.example", IPVersion.IPV4)).waited

    waited = run(work)

    assert waited is not None
    assert 1.5 < waited < 3.2


def test_a_dead_name_server_gives_way_to_the_next(names: NameServer, another: NameServer) -> None:
    hosts = [f"n{n}.example" for n in range(10)]
    another.known |= dict.fromkeys(hosts, SILENCE)
    names.known |= dict.fromkeys(hosts, HERE)
    asker = Asker(another.address, names.address)

    async def work() -> list[float]:
        return [(await asker.ask(host)).waited or 0.0 for host in hosts]

    first, *others = run(work)

    assert 0.9 < first < 2.5
    assert max(others) < 0.9


def test_a_name_server_that_fails_gives_way_to_the_next_at_once(
    names: NameServer, another: NameServer
) -> None:
    another.known["some.example"] = REFUSED
    names.known["some.example"] = HERE

    found = run(lambda: Asker(another.address, names.address).ask("some.example"))

    assert found.waited is not None
    assert found.waited < 0.9


def test_a_truncated_answer_is_fetched_over_tcp(names: NameServer, asker: Asker) -> None:
    names.known["long.example"] = Says([f"127.0.{n}.1" for n in range(60)], truncated=True)

    found = run(lambda: asker.ask("long.example", IPVersion.IPV4))

    assert len(found.addresses) == 60
    assert [transport for _, _, transport in names.questions] == ["udp", "tcp"]


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(Says(["127.0.0.1"], lying=["127.6.6.6"]), id="answers to other questions"),
        pytest.param([Says(garbage=b"\xff" * 40), HERE], id="garbage"),
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(
    names: NameServer, asker: Asker, entry: Entry
) -> None:
    names.known["true.example"] = entry

    found = run(lambda: asker.ask("true.example", IPVersion.IPV4))

    assert found.addresses == ("127.0.0.1",)


def test_a_dead_name_server_delays_nothing_that_is_known(names: NameServer, asker: Asker) -> None:
    silent = [f"silent{n}.example" for n in range(100)]
    names.known |= {"known.example": HERE, **dict.fromkeys(silent, SILENCE)}

    async def work() -> float:
        await asker.ask("known.example")
        tasks = [asyncio.ensure_future(asker.ask(name)) for name in silent]
        await asyncio.sleep(0.05)
        started = time.perf_counter()
        for _ in range(1000):
            assert asker.cached("known.example") == ("127.0.0.1",)
            assert asker.cached("127.0.0.1") == ("127.0.0.1",)
        took = time.perf_counter() - started
        for task in tasks:
            task.cancel()
        return took

    assert run(work) < 0.5


def test_a_name_server_is_asked_over_ipv6_too(host: Host) -> None:
    server = NameServer()
    host.call(server.open("::1"))
    server.known["some.example"] = ["127.0.0.1"]
    try:
        found = run(lambda: Asker(server.address).ask("some.example"))
    finally:
        host.call(server.close())

    assert found.addresses == ("127.0.0.1",)
