"""Whose time is reported: checks of a target of known latency, in a loop at its limit.

``python -m tests.benchmarks.clock`` runs a target in a process of its own, which answers
after 50 ms and says in a header how long it really took. Thousands of checks are begun as
the worker begins them, so that the loop is busy throughout. What the probe reports as
``wait`` less what the target says is the error: promise T4b wants its median within 2 ms
and its 99th percentile within 15 ms. Beside it, in the same run, a stock ``httpx`` client
with as many requests at once, timed around its call as users do.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing.connection import Connection
from typing import Final

import httpx
import uvloop

from monitoring.admission import Admission
from monitoring.probes import probe
from monitoring.probes.guard import Guard, parse_allowed_targets
from monitoring.probes.outcome import Target
from monitoring.probes.trace import Trace
from monitoring.probes.transport import TRACE, GuardedTransport

DELAY_SECONDS: Final = 0.05
_GUARD: Final = Guard(parse_allowed_targets("127.0.0.1/32"))


class _Slow(asyncio.Protocol):
    """Answers after the delay, with the microseconds that it really took."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(DELAY_SECONDS, self._answer, time.perf_counter())

    def _answer(self, since: float) -> None:
        took = int((time.perf_counter() - since) * 1_000_000)
        transport = self._transport
        assert hasattr(transport, "write")
        transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Took: %d\r\nConnection: close\r\n\r\nok"
            % took
        )
        transport.close()


def _serve(told: Connection) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Slow, "127.0.0.1", 0, backlog=4096)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


async def _ours(url: str, checks: int) -> list[int]:
    """Return the errors of our own transport, in microseconds."""
    errors: list[int] = []
    done = asyncio.Event()
    transport = GuardedTransport(guard=_GUARD)

    async def check(_: int) -> None:
        request = httpx.Request("GET", url, headers={"Connection": "close"})
        trace = Trace("GET", request.url)
        request.extensions[TRACE] = trace
        response = await transport.handle_async_request(request)
        await response.aread()
        errors.append((trace.watch.phases().wait_us or 0) - int(response.headers["x-took"]))
        if len(errors) == checks:
            done.set()

    assert (await probe(Target(url=url, guard=_GUARD), asyncio.get_running_loop().time() + 5)).ip
    Admission(asyncio.get_running_loop(), check).admit(range(checks))
    await done.wait()
    return errors


async def _stock(url: str, checks: int) -> list[int]:
    """Return the errors of a stock client, timed around its call."""
    errors: list[int] = []
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, timeout=30, trust_env=False) as client:

        async def check() -> None:
            started = time.perf_counter()
            response = await client.get(url)
            took = int((time.perf_counter() - started) * 1_000_000)
            errors.append(took - int(response.headers["x-took"]))

        await asyncio.gather(*(check() for _ in range(checks)))
    return errors


def _told(name: str, errors: Sequence[int]) -> str:
    ordered = sorted(errors)
    p99 = ordered[int(len(ordered) * 0.99)]
    return (
        f"{name:<9}{len(errors):>7,} checks   error of the reported wait: "
        f"p50 {statistics.median(ordered) / 1000:8.2f} ms   p99 {p99 / 1000:8.2f} ms   "
        f"max {ordered[-1] / 1000:8.2f} ms"
    )


def main() -> None:
    """Run both and print what they report beyond the target's own time."""
    parser = argparse.ArgumentParser(description="Whose time is reported")
    parser.add_argument("--checks", type=int, default=4000)
    checks = parser.parse_args().checks
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{here.recv()}/"
        kinds: list[tuple[str, Callable[[str, int], Awaitable[list[int]]], int]] = [
            ("Sentinel", _ours, checks),
            ("httpx", _stock, min(checks, 1000)),
        ]
        for name, run, count in kinds:
            print(_told(name, uvloop.run(run(url, count))))  # type: ignore[arg-type] # a coroutine
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
