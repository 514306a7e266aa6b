"""Names and their addresses: asked once, kept as long as they may be, each failure by its name."""

import asyncio
import gc
import os
import socket
import subprocess
import sys
import textwrap
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import pytest
import uvloop

from monitoring.probes import nameservers, resolving
from monitoring.probes.outcome import IPVersion
from monitoring.probes.resolving import Cause, Resolution, Unresolved
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

T = TypeVar("T")

BOTH = IPVersion.BOTH
HERE = Says(["127.0.0.1"])


def run(work: Callable[[], Awaitable[T]], runner: Callable[..., T] = uvloop.run) -> T:
    """Run a test's work on a loop, and leave nothing behind there."""

    async def whole() -> T:
        try:
            return await work()
        finally:
            await resolving.close()

    return runner(whole())


class Asker:
    """Asks the tests' name server."""

    def __init__(self, *addresses: str) -> None:
        self.nameservers = addresses

    async def ask(self, host: str, ip_version: IPVersion = BOTH) -> Resolution:
        """Ask for a name."""
        return await resolving.ask(host, ip_version=ip_version, nameservers=self.nameservers)

    def cached(self, host: str, ip_version: IPVersion = BOTH) -> tuple[str, ...] | None:
        """Return what is known."""
        return resolving.cached(host, ip_version=ip_version, nameservers=self.nameservers)

    async def fail(self, host: str, ip_version: IPVersion = BOTH) -> Unresolved:
        """Ask for a name that has no addresses."""
        with pytest.raises(Unresolved) as failure:
            await self.ask(host, ip_version)
        return failure.value


@pytest.fixture
def asker(names: NameServer) -> Asker:
    """Return one who asks our name server."""
    return Asker(names.address)


@pytest.fixture
def another(host: Host) -> Iterator[NameServer]:
    """A second name server."""
    server = NameServer()
    host.call(server.open())
    yield server
    host.call(server.close())


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that lets time pass."""
    passed = 0.0

    def pass_time(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    clock = SimpleNamespace(perf_counter=lambda: time.perf_counter() + passed)
    monkeypatch.setattr(resolving, "time", clock)
    return pass_time


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_a_name_is_asked_for_and_then_known(
    names: NameServer, asker: Asker, runner: Callable[..., None]
) -> None:
    names.known["two.example"] = ["127.0.0.2", "127.0.0.1", "127.0.0.2", "::1"]

    async def work() -> None:
        assert asker.cached("two.example") is None
        found = await asker.ask("two.example")
        assert sorted(found.addresses) == ["127.0.0.1", "127.0.0.2", "::1"]
        assert found.waited is not None
        assert 0 < found.waited < 1
        assert asker.cached("two.example") == found.addresses

    run(work, runner)
    assert sorted(names.questions) == [("two.example", kind, "udp") for kind in ("A", "AAAA")]


@pytest.mark.parametrize(
    ("ip_version", "addresses", "kinds"),
    [
        (IPVersion.BOTH, {"127.0.0.1", "::1"}, ["A", "AAAA"]),
        (IPVersion.IPV4, {"127.0.0.1"}, ["A"]),
        (IPVersion.IPV6, {"::1"}, ["AAAA"]),
    ],
)
def test_only_the_family_that_is_wanted_is_asked_for(
    names: NameServer, asker: Asker, ip_version: IPVersion, addresses: set[str], kinds: list[str]
) -> None:
    names.known["both.example"] = ["127.0.0.1", "::1"]

    async def work() -> None:
        assert set((await asker.ask("both.example", ip_version)).addresses) == addresses
        known = {each: asker.cached("both.example", each) for each in IPVersion}
        assert {each for each in known if known[each]} == {ip_version}

    run(work)
    assert sorted(kind for _, kind, _ in names.questions) == kinds


def test_the_addresses_of_one_name_server_are_not_another_s(
    names: NameServer, another: NameServer
) -> None:
    names.known["split.example"] = ["127.0.0.1"]
    another.known["split.example"] = ["127.0.0.2"]

    async def work() -> None:
        inside, outside = Asker(names.address), Asker(another.address)
        assert (await inside.ask("split.example")).addresses == ("127.0.0.1",)
        assert outside.cached("split.example") is None
        assert (await outside.ask("split.example")).addresses == ("127.0.0.2",)
        assert inside.cached("split.example") == ("127.0.0.1",)

    run(work)


def test_a_name_server_is_asked_over_ipv6_too(host: Host) -> None:
    server = NameServer()
    host.call(server.open("::1"))
    server.known["some.example"] = ["127.0.0.1"]
    try:
        found = run(lambda: Asker(server.address).ask("some.example"))
    finally:
        host.call(server.close())

    assert found.addresses == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::FFFF:127.0.0.1", "::ffff:7f00:1"),
        ("2001:DB8::A", "2001:db8::a"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_an_address_is_its_own_answer(
    names: NameServer, asker: Asker, name: str, address: str
) -> None:
    async def work() -> None:
        family, other = IPVersion.IPV6, IPVersion.IPV4
        if ":" not in address:
            family, other = other, family
        for wanted in (BOTH, family):
            assert asker.cached(name, wanted) == (address,)
            assert await asker.ask(name, wanted) == Resolution((address,), None)
        with pytest.raises(Unresolved) as failure:
            asker.cached(name, other)
        assert failure.value.cause is Cause.NO_ADDRESS
        assert str(failure.value) == (
            f"it is an IPv{str(family)[-1]} address, and the check is of {other} only"
        )

    run(work)
    assert names.questions == []


def test_localhost_is_known_without_asking(names: NameServer, asker: Asker) -> None:
    """RFC 6761, 6.3: it never leaves the machine."""
    found = run(lambda: asker.ask("localhost"))

    assert set(found.addresses) == {"127.0.0.1", "::1"}
    assert found.waited is None
    assert names.questions == []


@pytest.mark.parametrize(
    ("says", "seconds"),
    [
        (Says(["127.0.0.1"], ttl=30), 30),
        (Says(["127.0.0.1", "::1"], ttl=1), 1),
        (Says(["127.0.0.1"], ttl=600, aliases=[("a.example", 900), ("b.example", 20)]), 20),
        (Says(["127.0.0.1"], ttl=10, aliases=[("a.example", 900)]), 10),
        (Says(["127.0.0.1"], ttl=86_400), 3600),
        (Says(["127.0.0.1"], ttl=2**31 - 1), 3600),
    ],
)
def test_an_answer_is_kept_for_the_shortest_life_in_it_and_an_hour_at_most(
    names: NameServer, asker: Asker, later: Callable[[float], None], says: Says, seconds: int
) -> None:
    names.known["kept.example"] = says

    async def work() -> None:
        found = await asker.ask("kept.example")
        later(seconds - 0.9)
        assert asker.cached("kept.example") == found.addresses
        later(1.0)
        assert asker.cached("kept.example") is None
        # It is forgotten here, and must not be remembered elsewhere either.
        await asker.ask("kept.example")

    run(work)
    assert names.count("kept.example") == 2


@pytest.mark.parametrize(
    "says", [Says(["127.0.0.1"], ttl=0), Says(["127.0.0.1"], aliases=[("a.example", 0)])]
)
def test_an_answer_without_a_life_is_good_for_those_who_wait_only(
    names: NameServer, asker: Asker, says: Says
) -> None:
    names.known["fleeting.example"] = says

    async def work() -> None:
        await asyncio.gather(*(asker.ask("fleeting.example") for _ in range(10)))
        assert names.count("fleeting.example") == 1
        assert asker.cached("fleeting.example") is None
        await asker.ask("fleeting.example")

    run(work)
    assert names.count("fleeting.example") == 2


def test_the_name_not_used_for_longest_is_forgotten_first(
    names: NameServer, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "CACHED_NAMES", 2)
    hosts = ["first.example", "second.example", "third.example"]
    names.known |= dict.fromkeys(hosts, HERE)

    async def work() -> None:
        await asker.ask(hosts[0])
        await asker.ask(hosts[1])
        assert asker.cached(hosts[0])
        await asker.ask(hosts[2])
        assert [bool(asker.cached(host)) for host in hosts] == [True, False, True]

    run(work)


def test_an_endless_list_of_addresses_is_used_and_not_kept(names: NameServer, asker: Asker) -> None:
    names.known["many.example"] = [f"127.0.{n}.1" for n in range(65)]

    async def work() -> None:
        assert len((await asker.ask("many.example")).addresses) == 65
        assert asker.cached("many.example") is None

    run(work)


@pytest.mark.parametrize(
    "says", [Says(["127.0.0.1"], after=0.2), Says(rcode="NXDOMAIN", after=0.2)]
)
def test_all_who_ask_at_once_share_one_question(
    names: NameServer, asker: Asker, says: Says
) -> None:
    names.known["busy.example"] = says

    async def work() -> list[Resolution | BaseException]:
        return await asyncio.gather(
            *(asker.ask("busy.example") for _ in range(50)), return_exceptions=True
        )

    answers = run(work)

    assert names.count("busy.example") == 1
    if says.addresses:
        assert {each.addresses for each in answers if isinstance(each, Resolution)} == {
            ("127.0.0.1",)
        }
    else:
        # Each has an exception of its own: a shared one would gather their tracebacks.
        assert len(set(map(id, answers))) == 50
        assert {each.cause for each in answers if isinstance(each, Unresolved)} == {
            Cause.NO_SUCH_NAME
        }


@pytest.mark.parametrize("given_up", [[0], [1], [0, 1, 2]])
def test_one_who_gives_up_takes_the_answer_from_nobody(
    names: NameServer, asker: Asker, given_up: list[int]
) -> None:
    names.known["busy.example"] = Says(["127.0.0.1"], after=0.2)

    async def work() -> None:
        tasks = [asyncio.ensure_future(asker.ask("busy.example")) for _ in range(3)]
        await asyncio.sleep(0)
        for index in given_up:
            tasks[index].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for index, each in enumerate(answers):
            assert isinstance(each, asyncio.CancelledError if index in given_up else Resolution)
        async with asyncio.timeout(5):
            while asker.cached("busy.example") is None:  # noqa: ASYNC110 - an answer to nobody
                await asyncio.sleep(0.01)

    run(work)
    assert names.count("busy.example") == 1


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
    "name",
    [
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "a..example",
        ".example",
        "..",
        "",
        "m\u00fcnchen.example",
        "server.example\x00.elsewhere.example",
        "server\\.example",
        "server .example",
        "server.example\n",
    ],
)
def test_what_is_no_name_is_not_asked_for(names: NameServer, asker: Asker, name: str) -> None:
    failure = run(lambda: asker.fail(name))

    assert (failure.cause, str(failure), failure.waited) == (
        Cause.NOT_A_NAME,
        "not a DNS name",
        None,
    )
    assert names.questions == []


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


def test_the_wait_ends_when_the_answer_arrives_and_not_when_the_loop_has_time(
    names: NameServer, asker: Asker
) -> None:
    names.known["quick.example"] = HERE

    async def work() -> float | None:
        task = asyncio.ensure_future(asker.ask("quick.example"))
        await asyncio.sleep(0)
        time.sleep(0.6)  # noqa: ASYNC251 - the loop is busy
        return (await task).waited

    waited = run(work)

    assert waited is not None
    assert waited < 0.5


def test_one_who_joins_a_question_has_waited_since_then_only(
    names: NameServer, asker: Asker
) -> None:
    names.known["slow.example"] = Says(["127.0.0.1"], after=0.6)

    async def work() -> tuple[Resolution, Resolution]:
        first = asyncio.ensure_future(asker.ask("slow.example"))
        await asyncio.sleep(0.3)
        return await asyncio.gather(first, asker.ask("slow.example"))

    first, second = run(work)

    assert first.waited is not None
    assert second.waited is not None
    assert 0.2 < first.waited - second.waited < 0.6


def test_search_domains_and_ndots_count(
    names: NameServer, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From resolv.conf, or LOCALDOMAIN and RES_OPTIONS in place of what stands there."""
    names.known |= {"short.search.example": HERE, "a.b.search.example": HERE}

    assert run(lambda: asker.ask("short", IPVersion.IPV4)).addresses == ("127.0.0.1",)
    assert run(lambda: asker.fail("short.", IPVersion.IPV4)).cause is Cause.NO_SUCH_NAME
    assert run(lambda: asker.ask("a.b", IPVersion.IPV4)).addresses == ("127.0.0.1",)
    monkeypatch.setenv("RES_OPTIONS", "ndots:2")
    assert run(lambda: asker.ask("a.b", IPVersion.IPV4)).addresses == ("127.0.0.1",)

    assert names.asked == ["short.search.example", "short", "a.b", *["a.b.search.example"] * 2]


def files_and_threads() -> tuple[int, int]:
    """Return how many of both this process has."""
    return len([*Path("/proc/self/fd").iterdir()]), len([*Path("/proc/self/task").iterdir()])


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_closing_leaves_nothing_behind(
    names: NameServer, asker: Asker, runner: Callable[..., None]
) -> None:
    names.known |= {"some.example": HERE, "silent.example": SILENCE}

    async def work() -> None:
        await resolving.close()
        before = files_and_threads()
        await asker.ask("some.example")
        waiting = asyncio.ensure_future(asker.ask("silent.example"))
        await asyncio.sleep(0)
        assert files_and_threads() > before
        await resolving.close()
        assert files_and_threads() == before
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert asker.cached("some.example") is None
        assert (await asker.ask("some.example")).addresses == ("127.0.0.1",)
        await resolving.close()
        await resolving.close()
        assert files_and_threads() == before

    run(lambda: asker.ask("some.example"))  # what lasts: modules, and pycares' own thread
    run(work, runner)


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_a_loop_that_ends_without_closing_is_forgotten(
    names: NameServer, asker: Asker, capfd: pytest.CaptureFixture[str], runner: Callable[..., None]
) -> None:
    """Its answers may still come: nobody hears of them."""
    names.known["slow.example"] = Says(["127.0.0.1"], after=0.3)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def work() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asker.ask("slow.example"), 0.05)

    run(lambda: asker.ask("server.example"))
    before = files_and_threads()
    runner(work())
    deadline = time.monotonic() + 10
    while files_and_threads() != before or loops[0]() is not None:
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.02)

    assert capfd.readouterr() == ("", "")


_IN_A_NAMESPACE = """
    import asyncio, fcntl, os, socket, struct, sys
    from pathlib import Path
    import uvloop
    from monitoring.probes import probe, resolving
    from monitoring.probes.guard import Guard, parse_allowed_targets
    from monitoring.probes.outcome import IPVersion, Target
    from tests.integration.probes.nameserver import NameServer, Says
    from tests.integration.probes.serving import Host

    hosts, configuration = map(Path, sys.argv[1:])

    async def ask(name):
        found = await resolving.ask(name, ip_version=IPVersion.IPV4, nameservers=())
        print(name, *found.addresses, "asked" if found.waited is not None else "read")

    async def ask_until(name, address):
        async with asyncio.timeout(10):
            while (
                await resolving.ask(name, ip_version=IPVersion.IPV4, nameservers=())
            ).addresses != (address,):
                await asyncio.sleep(0.1)
        print(name, address, "after all")

    async def main():
        target = Target(url="http://server.example/", guard=Guard(parse_allowed_targets("::1")))
        outcome = await probe(target, asyncio.get_running_loop().time() + 5)
        print(outcome.state, outcome.reason)
        with socket.socket() as control:
            up = struct.pack("16sh", b"lo", 0x1 | 0x40)
            fcntl.ioctl(control, 0x8914, up)  # SIOCSIFFLAGS
        host, first, second = Host(), NameServer(), NameServer()
        host.call(first.open("127.0.0.1", 53))
        host.call(second.open("127.0.0.2", 53))
        try:
            first.known["server.example"] = Says(["192.0.2.1"], ttl=0)
            second.known["server.example"] = Says(["192.0.2.2"], ttl=0)
            first.known["short.lan.example"] = Says(["192.0.2.3"])
            await ask("server.example")
            await ask("short")
            await ask("pinned.example")
            hosts.write_text("192.0.2.5 pinned.example\\n192.0.2.6 server.example\\n")
            later = hosts.stat().st_mtime + 2
            os.utime(hosts, (later, later))
            await ask("pinned.example")
            await ask("server.example")
            hosts.write_text("")
            os.utime(hosts, (later + 2, later + 2))
            await ask("server.example")
            configuration.write_text("nameserver 127.0.0.2\\n")
            await ask_until("server.example", "192.0.2.2")
            print(*sorted({name for name in first.asked + second.asked}))
        finally:
            await resolving.close()
            host.call(first.close())
            host.call(second.close())
            host.stop()

    uvloop.run(main())
"""


def test_the_system_s_files_count_and_their_changes_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a network and with files of its own, to which no other process has access."""
    apart = ["unshare", "--map-root-user", "--mount", "--net"]
    if subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("namespaces cannot be made here")
    monkeypatch.delenv("LOCALDOMAIN")
    hosts, configuration = tmp_path / "hosts", tmp_path / "resolv.conf"
    hosts.write_text("192.0.2.4 pinned.example\n")
    configuration.write_text("nameserver 127.0.0.1\nsearch lan.example\n")
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(_IN_A_NAMESPACE))
    mounts = f"mount --bind {hosts} /etc/hosts && mount --bind {configuration} /etc/resolv.conf"
    command = f'{mounts} && exec "$@"'

    done = subprocess.run(
        [
            *(*apart, "sh", "-c", command, "sh"),
            *(sys.executable, "-W", "error", script, hosts, configuration),
        ],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "internal no_network",
        "server.example 192.0.2.1 asked",
        "short 192.0.2.3 asked",
        "pinned.example 192.0.2.4 read",
        "pinned.example 192.0.2.5 read",
        "server.example 192.0.2.6 read",
        "server.example 192.0.2.1 asked",
        "server.example 192.0.2.2 after all",
        "server.example short.lan.example",
    ]
