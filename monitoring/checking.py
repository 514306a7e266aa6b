"""Running batches: probe the targets together, hand the outcomes to recording.

One ``Checker`` a worker process: an event loop in a thread of its own probes, a second
thread records. So a slow target holds back neither its neighbours' results nor the next
batch, and the task's own thread is free as soon as the checks are under way.
"""

import asyncio
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Final

import structlog
import uvloop
from django.db import DataError, IntegrityError, close_old_connections, connection

from monitoring.claiming import Work
from monitoring.ledger import Row
from monitoring.probes import Probe, resolving
from monitoring.probes.outcome import Outcome, Reason, State
from monitoring.recording import finish, record

log = structlog.get_logger(__name__)

IN_FLIGHT_LIMIT: Final = 2000
"""Checks under way in one process; a batch that would pass it waits its turn."""

STARTS_A_TURN: Final = 4
"""Checks begun in one turn of the loop. So few that what has arrived is read soon after."""

LONG_TURN_SECONDS: Final = 0.005
"""After a turn of the loop that took longer none is begun: first the loop catches up."""

CHUNK_ROWS: Final = 100
CHUNK_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 1.0
_REFUSALS: Final = (DataError, IntegrityError, ValueError, TypeError)
"""What a row itself can cause; any other error passes, or is waited for."""


class Checker:
    """The probing loop and the recorder of one worker process.

    Args:
        probe: the function that performs one check.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._loop = uvloop.new_event_loop()
        self._capacity = threading.Condition()
        self._in_flight = 0
        self._open: dict[int, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[Work, int]] = deque()
        self.lag = 0.0
        """How long the loop's last turn took in seconds, while checks waited to begin."""
        self._outcomes: queue.SimpleQueue[tuple[Work, Row] | Work | None] = queue.SimpleQueue()
        self._threads = (
            threading.Thread(target=_or_die, args=(self._run_loop,), name="probes", daemon=True),
            threading.Thread(
                target=_or_die, args=(self._run_recorder,), name="recorder", daemon=True
            ),
        )
        for thread in self._threads:
            thread.start()

    def run(self, claim_work: Callable[[], Work | None]) -> bool:
        """Claim a batch when there is room for it, and start its checks. Returns at once after.

        Args:
            claim_work: called when this process has room, so that a claim is never held idle.

        Returns:
            Whether there was work.
        """
        with self._capacity:
            self._capacity.wait_for(lambda: self._in_flight < IN_FLIGHT_LIMIT)
        # A process runs one task at a time, so nobody else takes the room meanwhile; and
        # the lock is not held over a query, because the loop needs it to end a check.
        work = claim_work()
        if work is None:
            return False
        with self._capacity:
            self._in_flight += len(work.targets)
        self._open[work.batch_id] = work
        for row in work.rows:
            self._outcomes.put((work, row))
        if not work.left:
            self._outcomes.put(work)
        self._loop.call_soon_threadsafe(self._start, work)
        return True

    def drain(self, seconds: float) -> bool:
        """Let what is under way end and be recorded; return whether it did within ``seconds``."""
        deadline = time.monotonic() + seconds
        with self._capacity:
            self._capacity.wait_for(lambda: self._in_flight == 0, seconds)
            idle = self._in_flight == 0
        self._outcomes.put(None)
        recorder = self._threads[1]
        recorder.join(max(0.0, deadline - time.monotonic()))
        self._loop.call_soon_threadsafe(self._stop)
        return idle and not recorder.is_alive()

    def unfinished(self) -> list[int]:
        """Return the ids of the batches that are not recorded whole."""
        return sorted(self._open)

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _stop(self) -> None:
        closing = self._loop.create_task(resolving.close())
        closing.add_done_callback(lambda _: self._loop.stop())

    def _start(self, work: Work) -> None:
        idle = not self._waiting
        self._waiting.extend((work, domain_id) for domain_id in work.targets)
        if idle and self._waiting:
            self._keep(self._admit())

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    async def _admit(self) -> None:
        """Begin the checks that wait, as fast as the loop keeps up and no faster.

        A thousand begun at once would all be answered at once, and the last answer would
        be read a thousand answers late: deadlines would strike for answers that are there.
        """
        while self._waiting:
            if self.lag <= LONG_TURN_SECONDS:
                for _ in range(min(STARTS_A_TURN, len(self._waiting))):
                    self._keep(self._check(*self._waiting.popleft()))
            before = time.perf_counter()
            await asyncio.sleep(0)
            self.lag = time.perf_counter() - before
        self.lag = 0.0

    async def _check(self, work: Work, domain_id: int) -> None:
        target, timeout = work.targets[domain_id]
        started = time.monotonic()
        try:
            outcome = await self._probe(target, self._loop.time() + timeout)
        except Exception as error:
            log.exception("probe raised", domain_id=domain_id)
            outcome = Outcome(
                state=State.INTERNAL,
                reason=Reason.PROBE_ERROR,
                detail=f"an error inside Sentinel: {type(error).__name__}",
                total_us=round((time.monotonic() - started) * 1_000_000),
            )
        self._outcomes.put((work, work.row(domain_id, outcome, started)))
        with self._capacity:
            self._in_flight -= 1
            self._capacity.notify_all()

    def _run_recorder(self) -> None:
        stopping = False
        while not stopping:
            chunk: list[Row] = []
            works: list[Work] = []
            stopping = self._collect(chunk, works)
            if chunk or works:
                self._store(chunk, works)
        connection.close()

    def _collect(self, chunk: list[Row], works: list[Work]) -> bool:
        """Gather outcomes until the chunk is full or old; return whether to stop after it."""
        deadline: float | None = None
        while len(chunk) < CHUNK_ROWS:
            try:
                item = self._outcomes.get(
                    timeout=None if deadline is None else max(0.0, deadline - time.monotonic())
                )
            except queue.Empty:
                return False
            if item is None:
                return True
            if deadline is None:
                deadline = time.monotonic() + CHUNK_SECONDS
            if isinstance(item, Work):
                works.append(item)
                continue
            work, row = item
            chunk.append(row)
            work.left -= 1
            if work.left == 0:
                works.append(work)
        return False

    def _store(self, chunk: Sequence[Row], works: Sequence[Work]) -> None:
        """Store a chunk, for as long as it takes: an executed check is not lost to a restart."""
        refusals = 0
        while True:
            try:
                close_old_connections()
                record(chunk)
                finish([work.batch_id for work in works])
            except _REFUSALS as error:
                refusals += 1
                # Once more as it is, because a partition may have been missing; then each
                # row alone, because a row that the database refuses must not take its
                # neighbours with it; then a row that says so in its place.
                if refusals == 1:
                    continue
                log.warning("results refused", rows=len(chunk), error=_first_line(error))
                if len(chunk) > 1:
                    for row in chunk:
                        self._store([row], [])
                    chunk = ()
                elif chunk and refusals == 2:
                    chunk = [_refused(chunk[0], error)]
                else:
                    time.sleep(_RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is, the results are kept
                log.warning("results wait", rows=len(chunk), error=_first_line(error))
                connection.close()
                time.sleep(_RETRY_SECONDS)
            else:
                for work in works:
                    self._open.pop(work.batch_id, None)
                return


def _or_die(run: Callable[[], None]) -> None:
    """Run a thread that the process is nothing without: Celery makes a new one in its place."""
    try:
        run()
    except BaseException:
        log.exception("a thread of the checker died, and the process with it")
        os._exit(70)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _refused(row: Row, error: Exception) -> Row:
    """Return the row to store instead of one that cannot be: the slot has an end all the same."""
    outcome = Outcome(
        state=State.MISSED,
        reason=Reason.STORAGE,
        detail=f"the result could not be stored: {type(error).__name__}",
        total_us=0,
    )
    return replace(row, started_at=None, outcome=outcome)
