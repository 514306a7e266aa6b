"""What this worker lacks, and what is broken in it, is never the target's fault."""

import errno
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitoring.probes import dialling, trust
from monitoring.probes.states import Reason, State
from monitoring.probes.wire import Wire
from tests.integration.probes.checking import check, down, ending, internal
from tests.integration.probes.conftest import Serve
from tests.integration.probes.nameserver import NameServer
from tests.integration.probes.serving import Server, answer, replies


@pytest.fixture
def server(serve: Serve) -> Server:
    """A server that answers."""
    return serve(replies(answer()))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENETUNREACH, internal(Reason.NO_NETWORK)),
        (errno.ENETDOWN, internal(Reason.NO_NETWORK)),
        (errno.EADDRNOTAVAIL, internal(Reason.NO_NETWORK)),
        (errno.EAFNOSUPPORT, internal(Reason.NO_NETWORK)),
        (errno.EPERM, internal(Reason.NO_NETWORK)),
        (errno.EMFILE, internal(Reason.RESOURCE_LIMIT)),
        (errno.ENFILE, internal(Reason.RESOURCE_LIMIT)),
        (errno.ENOBUFS, internal(Reason.RESOURCE_LIMIT)),
        (errno.EHOSTUNREACH, down(Reason.CONNECT_ERROR)),
        (errno.ETIMEDOUT, down(Reason.CONNECT_TIMEOUT)),
        (errno.ECONNREFUSED, down(Reason.CONNECT_REFUSED)),
        (errno.ECONNRESET, down(Reason.CLOSED)),
    ],
)
def test_what_the_kernel_says_at_the_connection_is_put_down_to_whom_it_concerns(
    kernel: dict[str, int], number: int, expected: tuple[State, Reason]
) -> None:
    kernel["127.0.0.1"] = number

    outcome = check("http://127.0.0.1:9/?token=hunter2")

    assert ending(outcome) == expected
    assert outcome.phases.connect_us is not None
    assert outcome.detail
    assert "hunter2" not in outcome.detail


@pytest.mark.parametrize(
    ("first", "second", "expected", "address"),
    [
        (errno.ECONNREFUSED, errno.ENETUNREACH, down(Reason.CONNECT_REFUSED), "127.0.0.1"),
        (errno.ENETUNREACH, errno.ECONNREFUSED, down(Reason.CONNECT_REFUSED), "127.0.0.2"),
        (errno.ETIMEDOUT, errno.ENETUNREACH, down(Reason.CONNECT_TIMEOUT), "127.0.0.1"),
        (errno.ENETUNREACH, errno.ENETUNREACH, internal(Reason.NO_NETWORK), "127.0.0.2"),
        (errno.EMFILE, errno.ECONNREFUSED, internal(Reason.RESOURCE_LIMIT), "127.0.0.1"),
        (errno.ECONNREFUSED, errno.EHOSTUNREACH, down(Reason.CONNECT_ERROR), "127.0.0.2"),
    ],
)
def test_of_several_addresses_the_most_telling_failure_counts(
    kernel: dict[str, int],
    names: NameServer,
    first: int,
    second: int,
    expected: tuple[State, Reason],
    address: str,
) -> None:
    """Without IPv6 here, an IPv6 address that cannot be tried says nothing about the host."""
    names.known["two.example"] = ["127.0.0.1", "127.0.0.2"]
    kernel |= {"127.0.0.1": first, "127.0.0.2": second}

    outcome = check("http://two.example:9/")

    assert (ending(outcome), outcome.ip) == (expected, address)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return a table of the errors with which connections to an address fail."""
    errors: dict[str, int] = {}

    async def attempt(address: str, *_: Any) -> Wire:
        raise OSError(errors[address], os.strerror(errors[address]))

    monkeypatch.setattr(dialling, "connect", attempt)
    return errors


_NO_DESCRIPTORS = """
    import asyncio, os, pathlib, resource, sys
    import uvloop
    from monitoring.probes import probe, resolving
    from monitoring.probes.guard import Guard, parse_allowed_targets
    from monitoring.probes.outcome import Target

    url, named, nameserver = sys.argv[1:]

    async def main():
        guard = Guard(parse_allowed_targets("127.0.0.0/8"))
        loop = asyncio.get_running_loop()
        async def check(url, nameserver=nameserver):
            target = Target(url=url, guard=guard, nameservers=(nameserver,))
            return await probe(target, loop.time() + 5)
        def files():
            return sum(1 for each in pathlib.Path("/proc/self/fd").iterdir())
        # What is made at the first check, modules and a resolver, needs files as well.
        outcomes = [await check(url), await check(named)]
        before = files()
        while True:
            await check(named)
            # The resolver's own thread closes its socket after that.
            await asyncio.sleep(0.05)
            if files() <= before:
                break
            before = files()
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        outcomes += [await check(url), await check(named), await check(named, "127.0.0.1")]
        for each in held:
            os.close(each)
        outcomes.append(await check(url))
        await resolving.close()
        for outcome in outcomes:
            print(outcome.state, outcome.reason)

    uvloop.run(main())
"""


def test_without_descriptors_it_is_our_fault_and_passes_with_them(
    server: Server, names: NameServer
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", textwrap.dedent(_NO_DESCRIPTORS)),
            *(server.url(), server.url(host="named.example"), names.address),
        ],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "up None",
        "down dns_error",
        "internal resource_limit",
        "internal resource_limit",
        "internal resource_limit",
        "up None",
    ]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a defect of ours"),
        AssertionError("cannot be"),
        TimeoutError("not the deadline's"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        UnicodeDecodeError("utf-8", b"", 0, 0, "no"),
    ],
)
def test_a_defect_of_ours_is_ours_and_logged(
    server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(**_: Any) -> None:
        # What was being handled must not be taken for the cause.
        try:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        except OSError:
            raise error  # noqa: B904 - its context is what is tested

    monkeypatch.setattr(trust, "client_context", fails)
    url = server.url("/?token=hunter2").replace("http:", "https:")

    with capture_logs() as logs:
        outcome = check(url)

    assert ending(outcome) == internal(Reason.PROBE_ERROR)
    assert outcome.detail == f"an error inside Sentinel: {type(error).__name__}"
    assert [entry["event"] for entry in logs] == ["unmapped probe error"]
    assert "hunter2" not in str(logs[0]["url"])


def test_a_url_that_is_none_is_our_defect_and_no_exception() -> None:
    with capture_logs() as logs:
        outcome = check("http://example.example:port/")

    assert ending(outcome) == internal(Reason.PROBE_ERROR)
    assert len(logs) == 1
