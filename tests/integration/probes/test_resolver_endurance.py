"""The resolver over many questions: what it holds, what it leaves, and who waits how long."""

import asyncio
import gc
import os
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from monitoring.probes import resolving
from monitoring.probes.outcome import IPVersion
from monitoring.probes.resolving import Cause, Resolution, Unresolved
from tests.integration.probes.nameserver import SILENCE, NameServer, Says
from tests.integration.probes.serving import Host

HERE = Says(["127.0.0.1"])


def run(work: Callable[[], Awaitable[None]]) -> list[dict[str, Any]]:
    """Run on a loop of its own, and return what the loop had to complain of."""
    complaints: list[dict[str, Any]] = []

    async def whole() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        try:
            await work()
        finally:
            await resolving.close()
            gc.collect()

    uvloop.run(whole())
    return complaints


async def ask(server: NameServer, host: str, ip_version: IPVersion = IPVersion.BOTH) -> Resolution:
    """Ask for a name."""
    return await resolving.ask(host, ip_version=ip_version, nameservers=(server.address,))


async def failure(
    server: NameServer, host: str, ip_version: IPVersion = IPVersion.BOTH
) -> Unresolved:
    """Ask for a name that has no address."""
    with pytest.raises(Unresolved) as error:
        await ask(server, host, ip_version)
    return error.value


def held() -> tuple[int, int]:
    """Return how many descriptors and threads this process has."""
    own = Path("/proc/self")
    return len(list((own / "fd").iterdir())), len(list((own / "task").iterdir()))


async def reaches(wanted: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not wanted():  # noqa: ASYNC110 - what changes is another thread's
            await asyncio.sleep(0.01)


class Ports(NameServer):
    """Notes from which ports it is asked over UDP."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: set[int] = set()

    def hear(self, data: bytes, address: tuple[str, int]) -> None:
        """Answer a datagram."""
        self.ports.add(address[1])
        super().hear(data, address)


def test_a_thousand_questions_come_from_many_ports_and_leave_nothing_open(host: Host) -> None:
    server = Ports()
    hosts = [f"gone-{each}.example" for each in range(400)]
    # So late that they are all under way at the same time: one port would do.
    server.known = dict.fromkeys(hosts, Says(rcode="NXDOMAIN", after=0.5))
    host.call(server.open())

    async def work() -> None:
        await failure(server, "gone.example")
        fds, threads = held()
        server.ports.clear()
        await asyncio.gather(*(failure(server, each) for each in hosts))
        # A name is four questions here: two families, and a search domain after the name.
        assert 20 < len(server.ports) < 200
        await reaches(lambda: held()[0] <= fds + 1)
        assert held()[1] == threads

    assert run(work) == []
    host.call(server.close())


def test_one_who_joins_late_is_patient_on_his_own_account(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The silence before he came is not his: the next datagram may be answered."""
    monkeypatch.setattr(resolving, "PATIENCE_SECONDS", 2.5)
    names.known["late.example"] = SILENCE

    async def work() -> None:
        first = asyncio.ensure_future(failure(names, "late.example"))
        await reaches(lambda: names.count("late.example") >= 3)  # and no further repeat
        second = asyncio.ensure_future(ask(names, "late.example"))
        assert (await first).cause is Cause.TIMED_OUT
        names.known["late.example"] = HERE
        assert (await second).addresses == ("127.0.0.1",)

    assert run(work) == []


def test_a_server_that_has_gone_was_asked_all_the_same(host: Host) -> None:
    """Sending the second question shows that nobody took the first, which ends it there."""
    gone = NameServer()
    host.call(gone.open())
    host.call(gone.close())

    async def work() -> None:
        ends = await asyncio.gather(
            *(failure(gone, f"{each}.example", IPVersion.IPV4) for each in range(20))
        )
        assert {end.cause for end in ends} == {Cause.UNREACHABLE}
        assert ends[0].waited is not None

    assert run(work) == []


def test_who_gives_up_or_is_closed_upon_leaves_no_complaint(names: NameServer) -> None:
    names.known["late.example"] = Says(rcode="SERVFAIL", after=0.1)
    names.known["mute.example"] = SILENCE

    async def work() -> None:
        tired = [asyncio.ensure_future(ask(names, "late.example")) for _ in range(3)]
        closed = [asyncio.ensure_future(ask(names, "mute.example")) for _ in range(3)]
        await reaches(lambda: {"late.example", "mute.example"} <= set(names.asked))
        for task in tired:
            task.cancel()
        await asyncio.sleep(0.3)  # the failure arrives, and nobody wants it
        await resolving.close()
        ends = await asyncio.gather(*tired, *closed, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        await failure(names, "late.example")  # and the next question has a channel anew

    assert run(work) == []


def test_a_child_asks_for_itself(names: NameServer) -> None:
    """Celery forks its workers: a channel's thread stays behind, and its socket goes along."""
    names.known["slow.example"] = Says(["127.0.0.1"], after=0.5)
    names.known["child.example"] = HERE
    loop = asyncio.new_event_loop()

    async def begin() -> asyncio.Task[Resolution]:
        task = asyncio.ensure_future(ask(names, "slow.example"))
        await reaches(lambda: "slow.example" in names.asked)
        return task

    async def end(task: asyncio.Task[Resolution]) -> None:
        assert (await task).addresses == ("127.0.0.1",)
        await resolving.close()

    async def child() -> None:
        async with asyncio.timeout(5):
            await ask(names, "child.example")
            await ask(names, "slow.example")
            await resolving.close()

    task = loop.run_until_complete(begin())
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            asyncio.run(child())
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    loop.run_until_complete(end(task))
    loop.close()


def test_two_loops_do_not_wait_for_each_other(names: NameServer) -> None:
    """A worker has one; a test or a command may have another in the same process."""
    names.known["slow.example"] = Says(["127.0.0.1"], after=0.2)

    async def work() -> None:
        own = asyncio.ensure_future(ask(names, "slow.example"))
        other = await asyncio.to_thread(run, lambda: reached(names))
        assert (await own).addresses == ("127.0.0.1",)
        assert other == []

    async def reached(server: NameServer) -> None:
        assert (await ask(server, "slow.example")).addresses == ("127.0.0.1",)

    assert run(work) == []
    assert names.count("slow.example") == 2


def test_a_question_does_not_keep_a_closed_loop_alive(names: NameServer) -> None:
    names.known["slow.example"] = Says(["127.0.0.1"], after=0.3)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def work() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(names, "slow.example"), 0.05)

    def gone() -> bool:
        gc.collect()
        return loops[0]() is None

    uvloop.run(work())
    asyncio.run(reaches(gone))
