"""Names and their addresses: asked once, and kept for as long as they may be."""

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import uvloop

from monitoring.probes import resolving
from monitoring.probes.outcome import IPVersion
from monitoring.probes.resolving import Cause, Resolution, Unresolved
from tests.integration.probes.asking import BOTH, HERE, Asker, run
from tests.integration.probes.nameserver import (
    NameServer,
    Says,
)


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
