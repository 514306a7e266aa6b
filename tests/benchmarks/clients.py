"""The parts that are clients in a process of their own, which counts its own CPU time.

Run as ``python -m tests.benchmarks.clients PART …`` by ``run``; the figures come back as one line
of JSON. SSL_CERT_FILE names the authority to trust.
"""

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import resource
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvloop

from tests.benchmarks import bare
from tests.benchmarks.measure import Bounds, Failed, Sample, cpu_seconds

Check = Callable[[], Awaitable[None]]

AT_ANY_NUMBER: Final = ("probe", "httpx", "prototype")
"""The parts that keep as many checks under way as they are told; ``handshake`` has one."""

_DEADLINE_SECONDS: Final = 60.0
_WARM_UP: Final = 100
"""Checks before the ones that count."""

_FULL_TURNS: Final = 2
"""Of each place in flight at least so many checks, or the filling and emptying is all there is."""

_LIMIT_SECONDS: Final = 90.0
_PROFILE_LINES: Final = 25


def run(
    part: str,
    *,
    scheme: str,
    url: str,
    authority: Path,
    in_flight: int | None,
    bounds: Bounds,
    count_pid: int | None = None,
    profile: bool = False,
) -> Sample:
    """Run one part in a process of its own.

    Args:
        part: of those in the package's docstring; ``blackbox`` asks an exporter at ``url``.
        scheme: noted in the sample.
        url: what is asked for.
        authority: the file of the certificate authority.
        in_flight: how many checks are under way.
        bounds: how long it is counted.
        count_pid: the process whose CPU time is counted, if not the client's.
        profile: print where the time went.

    Raises:
        Failed: a check did not end well.
    """
    argv = [sys.executable, "-m", "tests.benchmarks.clients", part, url]
    argv += ["--in-flight", str(in_flight or 1), "--seconds", str(bounds.seconds)]
    argv += ["--checks", str(bounds.checks or 0), "--count-pid", str(count_pid or 0)]
    what = f"{part}, {scheme}, {in_flight or 1} in flight"
    try:
        done = subprocess.run(
            [*argv, *(["--profile"] if profile else [])],
            env={**os.environ, "SSL_CERT_FILE": str(authority)},
            stdout=subprocess.PIPE,
            stderr=None if profile else subprocess.PIPE,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{what}: not over within {_LIMIT_SECONDS:.0f} s") from None
    if done.returncode:
        words = (done.stderr or b"").decode().strip().splitlines()[-1:]
        raise Failed(f"{what}: a check did not end well: {''.join(words)}")
    return Sample(
        part=part, scheme=scheme, in_flight=in_flight, **json.loads(done.stdout.splitlines()[-1])
    )


class _Load:
    """So many checks under way, each in a task of its own, the next begun when one ends."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, *, in_flight: int, more: Callable[[int], bool]) -> int:
        """Keep ``in_flight`` checks under way while ``more(begun)``; return how many ended."""
        self._loop = asyncio.get_running_loop()
        self._begun = 0
        self._more = more
        self._over = self._loop.create_future()
        for _ in range(in_flight):
            if not more(self._begun):
                break
            self._begin()
        await self._over
        return self._begun

    def _begin(self) -> None:
        self._begun += 1
        task = self._loop.create_task(self._one())
        self._tasks.add(task)
        task.add_done_callback(self._end)

    async def _one(self) -> None:
        await self._check()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if self._over.done():
            return
        if error is not None:
            self._over.set_exception(error)
        elif self._more(self._begun):
            self._begin()
        elif not self._tasks:
            self._over.set_result(None)


def _probe(url: str) -> Check:
    from monitoring.probes import probe
    from monitoring.probes.guard import Guard, parse_allowed_targets
    from monitoring.probes.outcome import Target
    from monitoring.probes.states import State

    loop = asyncio.get_running_loop()
    target = Target(url=url, guard=Guard(parse_allowed_targets("127.0.0.0/8")))

    async def check() -> None:
        outcome = await probe(target, loop.time() + _DEADLINE_SECONDS)
        if outcome.state is not State.UP:
            raise Failed(f"{outcome.state}: {outcome.reason}: {outcome.detail}")

    return check


def _httpx(url: str) -> Check:
    import httpx

    client = httpx.AsyncClient(
        verify=ssl.create_default_context(),
        timeout=_DEADLINE_SECONDS,
        trust_env=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
    )

    async def check() -> None:
        answer = await client.get(url)
        if answer.status_code != 200:
            raise Failed(f"status {answer.status_code}")

    return check


def _check_of(part: str, url: str) -> Check:
    if part == "probe":
        return _probe(url)
    if part == "httpx":
        return _httpx(url)
    if part == "prototype":
        return bare.prototype(url)
    return bare.asking(url)


class _Meter:
    """Seconds of CPU and of the clock since it was made."""

    def __init__(self, count_pid: int) -> None:
        self._pid = count_pid
        self._wall = time.monotonic()
        self._cpu = self._cpu_now()

    def figures(self, checks: int) -> dict[str, float]:
        """Return what a Sample wants to know."""
        return {
            "checks": checks,
            "cpu_s": self._cpu_now() - self._cpu,
            "wall_s": time.monotonic() - self._wall,
        }

    def _cpu_now(self) -> float:
        if self._pid:
            return cpu_seconds([self._pid])
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime


async def _under_way(options: argparse.Namespace) -> dict[str, float]:
    load = _Load(_check_of(options.part, options.url))
    await load.run(in_flight=options.in_flight, more=lambda begun: begun < _WARM_UP)
    with _profiled(show=options.profile):
        meter = _Meter(options.count_pid)
        more = _bounds(options).from_now(least=options.in_flight * _FULL_TURNS)
        checks = await load.run(in_flight=options.in_flight, more=more)
        return meter.figures(checks)


def _one_after_another(options: argparse.Namespace) -> dict[str, float]:
    check = bare.handshake(options.url)
    for _ in range(_WARM_UP):
        check()
    with _profiled(show=options.profile):
        meter = _Meter(options.count_pid)
        more = _bounds(options).from_now()
        checks = 0
        while more(checks):
            check()
            checks += 1
        return meter.figures(checks)


def _bounds(options: argparse.Namespace) -> Bounds:
    return Bounds(options.seconds, options.checks or None)


@contextmanager
def _profiled(*, show: bool) -> Iterator[None]:
    if not show:
        yield
        return
    with cProfile.Profile() as profile:
        yield
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(_PROFILE_LINES)


def main() -> None:
    """Run what the command line says, and print its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=[*AT_ANY_NUMBER, "handshake", "blackbox"])
    parser.add_argument("url")
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--checks", type=int, default=0)
    parser.add_argument("--count-pid", type=int, default=0)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    try:
        if options.part == "handshake":
            figures = _one_after_another(options)
        else:
            figures = uvloop.run(_under_way(options))
    except Failed as failure:
        raise SystemExit(str(failure)) from None
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
