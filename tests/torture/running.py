"""Running rows: the servers in a process of their own, the checks in this one."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monitoring.probes import probe
from monitoring.probes.outcome import Outcome, Target
from tests.integration.probes.checking import LOOPBACK
from tests.torture.case import Case
from tests.torture.noise import Noise

TOGETHER: Final = 6
"""How many checks run at a time: most of them wait, some fill a core."""

TRIES: Final = 5
"""How often a row is checked that the machine has spoilt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One check of a row.

    Attributes:
        key: of the row.
        outcome: its state, with its reason in brackets.
        detail: in words, as the probe says it.
        seconds: how long the check took.
        faults: what is wrong with it; empty: nothing.
    """

    key: str
    outcome: str
    detail: str
    seconds: float
    faults: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What has been started.

    Attributes:
        urls: to check, by the row's key.
        names: the name servers to ask; empty: the system's.
    """

    urls: Mapping[str, str]
    names: tuple[str, ...]


@contextlib.contextmanager
def served(cases: Sequence[Case]) -> Iterator[Served]:
    """Start the servers of some rows in another process, and trust their authority.

    OpenSSL reads ``SSL_CERT_FILE`` when a context is made: this has to come before the
    process' first check, and is for processes that do nothing else.

    Yields:
        where they are.
    """
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        os.environ["SSL_CERT_FILE"] = str(Path(folder) / "trust.pem")
        os.environ["SSL_CERT_DIR"] = folder
        with subprocess.Popen(
            [sys.executable, "-m", "tests.torture.servers", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([each.key for each in cases]) + "\n")
            process.stdin.flush()
            try:
                told = json.loads(process.stdout.readline())
                names = (told["names"],) if told["names"] else ()
                yield Served(urls=told["urls"], names=names)
            finally:
                process.stdin.close()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


async def check(case: Case, place: Served) -> tuple[Outcome, float]:
    """Check what a row serves; return the outcome, and how long it took in seconds."""
    given = {"guard": LOOPBACK, "nameservers": place.names, **case.options}
    target = Target(url=place.urls[case.key], **given)
    started = time.monotonic()
    outcome = await probe(target, asyncio.get_running_loop().time() + case.seconds)
    return outcome, time.monotonic() - started


async def verdict_of(case: Case, place: Served, noise: Noise) -> Verdict:
    """Check a row and judge it; again, if the machine and not the probe was slow."""
    for _ in range(TRIES):
        started = time.monotonic()
        outcome, seconds = await check(case, place)
        faults = case.faults(outcome, seconds)
        if not faults or not noise.since(started):
            break
    return Verdict(
        key=case.key,
        outcome=str(outcome.state) + (f"({outcome.reason})" if outcome.reason else ""),
        detail=outcome.detail,
        seconds=round(seconds, 3),
        faults=faults,
    )


async def verdicts(cases: Sequence[Case], place: Served) -> list[Verdict]:
    """Check rows and judge them, several at a time; in the order of the rows."""
    turn = asyncio.Semaphore(TOGETHER)
    found: dict[str, Verdict] = {}

    async def one(case: Case) -> None:
        async with turn:
            found[case.key] = await verdict_of(case, place, noise)

    with Noise() as noise:
        await asyncio.gather(*(one(case) for case in cases))
    return [found[case.key] for case in cases]
