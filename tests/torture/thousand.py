"""A thousand hostile checks, and what this process holds before and after them."""

import asyncio
import contextlib
import ctypes
import gc
import itertools
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from tests.torture.case import Case
from tests.torture.running import Served, check

CHECKS: Final = 1000
IN_FLIGHT: Final = 64
SETTLED: Final = 5.0
"""Seconds after which what is still open counts as left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What this process holds.

    Attributes:
        descriptors: open files by kind: socket, pipe, anon_inode (epoll, eventfd), file.
        tasks: of the running loop, this one included.
        threads: of the interpreter.
        memory: resident, in bytes.
    """

    descriptors: Mapping[str, int]
    tasks: int
    threads: int
    memory: int

    def grown_since(self, before: Self) -> dict[str, int]:
        """Return of what there is more than before, and how much more; memory aside.

        Less is no leak: a resolver closes a socket that it has not needed for a while.
        """
        now = {**self.descriptors, "tasks": self.tasks, "threads": self.threads}
        then = {**before.descriptors, "tasks": before.tasks, "threads": before.threads}
        more = {kind: count - then.get(kind, 0) for kind, count in now.items()}
        return {kind: count for kind, count in more.items() if count > 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thousand:
    """A thousand checks.

    Attributes:
        before: after as many checks of the same kind, which load and fill what is kept.
        after: after the thousand.
        seconds: how long the thousand took.
        endings: how many of them ended as what.
        late: the most by which a check overran its deadline, in seconds.
        left: of what there is more after them than before, and how much more.
    """

    before: Held
    after: Held
    seconds: float
    endings: Mapping[str, int]
    late: float
    left: Mapping[str, int]


def held() -> Held:
    """Count what this process holds now."""
    kinds: Counter[str] = Counter()
    for each in Path("/proc/self/fd").iterdir():
        # The folder itself is open while it is read, and libuv keeps one file in reserve.
        target = str(each.readlink()) if each.is_symlink() else ""
        if target and target != os.devnull and not target.endswith("/fd"):
            kinds[match[0] if (match := re.match(r"[a-z_]+(?=:)", target)) else "file"] += 1
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Held(
        descriptors=dict(kinds),
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        memory=pages * os.sysconf("SC_PAGE_SIZE"),
    )


def drawn(cases: Sequence[Case]) -> list[Case]:
    """Return a thousand rows: every row as often as any other, in an order fixed by a seed."""
    rows = list(itertools.islice(itertools.cycle(cases), CHECKS))
    random.Random(2026).shuffle(rows)
    return rows


async def thousand(cases: Sequence[Case], place: Served) -> Thousand:
    """Run a thousand checks to warm up, and a thousand that count."""
    loop = asyncio.get_running_loop()
    # The loop's pool of threads grows to its full size when it is first needed, and stays.
    await asyncio.gather(*(loop.run_in_executor(None, time.sleep, 0.05) for _ in range(64)))
    rows = drawn(cases)
    await _run(rows, place)
    before = await _settled(None)
    started = time.monotonic()
    endings, late = await _run(rows, place)
    seconds = time.monotonic() - started
    after = await _settled(before)
    return Thousand(
        before=before,
        after=after,
        seconds=round(seconds, 2),
        endings=endings,
        late=round(late, 3),
        left=after.grown_since(before),
    )


async def _run(rows: Sequence[Case], place: Served) -> tuple[Mapping[str, int], float]:
    waiting = iter(rows)
    endings: Counter[str] = Counter()
    late = 0.0

    async def take() -> None:
        nonlocal late
        for case in waiting:
            outcome, seconds = await check(case, place)
            endings[f"{outcome.state}({outcome.reason})" if outcome.reason else outcome.state] += 1
            late = max(late, seconds - case.seconds)

    await asyncio.gather(*(take() for _ in range(IN_FLIGHT)))
    return dict(endings.most_common()), late


async def _settled(before: Held | None) -> Held:
    """Return what is held once it is no more than before, or once it no longer changes."""
    deadline = time.monotonic() + SETTLED
    last = held()
    while time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        now = held()
        if not now.grown_since(before or last) and (before or not last.grown_since(now)):
            break
        last = now
    # Before the collector has closed what was left behind.
    counted = held()
    gc.collect()
    _return_memory()
    return replace(counted, memory=held().memory)


def _return_memory() -> None:
    """Let the allocator give back what it only keeps for the next time: some 10 MB, by chance."""
    with contextlib.suppress(AttributeError):  # glibc has it
        ctypes.CDLL(None).malloc_trim(0)
