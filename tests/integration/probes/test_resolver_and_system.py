"""What the resolver takes from the system, and what it leaves behind there."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from monitoring.probes import resolving
from monitoring.probes.outcome import IPVersion
from monitoring.probes.resolving import Cause
from tests.integration.probes.asking import HERE, Asker, run
from tests.integration.probes.nameserver import (
    SILENCE,
    NameServer,
    Says,
)


def test_localhost_is_known_without_asking(names: NameServer, asker: Asker) -> None:
    """RFC 6761, 6.3: it never leaves the machine."""
    found = run(lambda: asker.ask("localhost"))

    assert set(found.addresses) == {"127.0.0.1", "::1"}
    assert found.waited is None
    assert names.questions == []


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
    """Return how many of both this process has, without what others left to be collected."""
    gc.collect()
    return len([*Path("/proc/self/fd").iterdir()]), len([*Path("/proc/self/task").iterdir()])


async def all_gone(before: tuple[int, int]) -> None:
    """Wait until there are as many as before: a thread of another test's may open a file."""
    deadline = time.monotonic() + 10
    while files_and_threads() != before:
        assert time.monotonic() < deadline, (files_and_threads(), before)
        await asyncio.sleep(0.02)


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
        await all_gone(before)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert asker.cached("some.example") is None
        assert (await asker.ask("some.example")).addresses == ("127.0.0.1",)
        await resolving.close()
        await resolving.close()
        await all_gone(before)

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
