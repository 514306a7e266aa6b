"""Running batches: probe the targets together, hand the outcomes to recording.

One ``Checker`` a worker process: an event loop in a thread of its own probes, a second
thread records. So a slow target holds back neither its neighbours' results nor the next
batch, and the task's own thread is free as soon as the checks are under way.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
import uvloop
from django.conf import settings

from domains.clock import database_now
from monitoring import crew, probes, settling
from monitoring.admission import Admission
from monitoring.claiming import Work
from monitoring.ledger import Row
from monitoring.packing import Kind
from monitoring.probes import Probe
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import Reason, State
from monitoring.recorder import Chunk, Recorder

log = structlog.get_logger(__name__)

IN_FLIGHT_LIMIT: Final = 2000
"""Checks under way in one process; a batch that would pass it waits its turn."""

SLOW_LIMIT: Final = 1500
"""Of these, checks of the slow lane: targets that hang leave room for those that answer."""

UNRECORDED_LIMIT: Final = 10_000
"""Rows that wait to be stored. Beyond it nothing more is claimed: a database that stores less than
is probed would be left behind further and further, unseen by those who shed what is too much."""

CHUNK_ROWS: Final = 250
CHUNK_SECONDS: Final = 1.0
"""What has ended is handed to the recorder when it is so much, or has waited for so long, or
when nothing else is under way."""

_MANUAL: Final = Kind.MANUAL
_LATE: Final = Outcome(
    state=State.MISSED,
    reason=Reason.LATE,
    detail="the worker that took the check came to it when its time was over",
    total_us=0,
)


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
        self._slow_in_flight = 0
        self._unrecorded = 0
        self._open: dict[int, Work] = {}
        self._admission = Admission(self._loop, self._check)
        self._rows: list[Row] = []
        self._slow_rows = 0
        self._finished: list[int] = []
        self._due: asyncio.TimerHandle | None = None
        self._under_way = 0
        self._recorder = Recorder(self._recorded, self._renew)
        self._threads = [
            threading.Thread(target=_or_die, args=(run,), name=name, daemon=True)
            for run, name in ((self._run_loop, "probes"), (self._recorder.run, "recorder"))
        ]
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
            self._capacity.wait_for(self._has_room)
        # A process runs one task at a time, so nobody else takes the room meanwhile; and
        # the lock is not held over a query, because the loop needs it to end a check.
        work = claim_work()
        if work is None:
            return False
        with self._capacity:
            self._in_flight += work.left
            if work.slow:
                self._slow_in_flight += work.left
        self._open[work.batch_id] = work
        if not work.left:
            self._recorder.take(Chunk((), (work.batch_id,)))
        self._loop.call_soon_threadsafe(self._start, work)
        return True

    def _has_room(self) -> bool:
        return self._in_flight < IN_FLIGHT_LIMIT and self._unrecorded < UNRECORDED_LIMIT

    def has_room_for_slow(self) -> bool:
        """Return whether a batch of the slow lane may be begun here, however large it is."""
        return self._slow_in_flight + settings.SENTINEL_BATCH_SIZE <= SLOW_LIMIT

    @property
    def unrecorded(self) -> int:
        """How many rows wait to be stored."""
        return self._unrecorded

    def drain(self, seconds: float) -> bool:
        """Let what is under way end and be recorded; return whether it did within ``seconds``."""
        deadline = time.monotonic() + seconds
        with self._capacity:
            self._capacity.wait_for(lambda: self._in_flight == 0, seconds)
            idle = self._in_flight == 0
        self._recorder.end()
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
        closing = self._loop.create_task(probes.close())
        closing.add_done_callback(lambda _: self._loop.stop())

    def _start(self, work: Work) -> None:
        self._under_way += work.left
        for row in work.rows:
            self._keep_row(work, row)
        self._admission.admit((work, domain_id) for domain_id in work.targets)

    async def _check(self, item: tuple[Work, int]) -> None:
        work, domain_id = item
        target, timeout = work.targets[domain_id]
        started = time.monotonic()
        if started > work.latest:
            self._keep_row(work, work.row(domain_id, _LATE, None))
            return
        try:
            outcome = await self._probe(target, self._loop.time() + timeout)
        except (Exception, asyncio.CancelledError) as error:  # no one else cancels it
            log.exception("probe raised", domain_id=domain_id)
            outcome = Outcome(
                state=State.INTERNAL,
                reason=Reason.PROBE_ERROR,
                detail=f"an error inside Sentinel: {type(error).__name__}",
                total_us=round((time.monotonic() - started) * 1_000_000),
            )
        self._keep_row(work, work.row(domain_id, outcome, started))

    def _keep_row(self, work: Work, row: Row) -> None:
        self._rows.append(row)
        self._under_way -= 1
        if work.slow:
            self._slow_rows += 1
        work.left -= 1
        if work.left == 0:
            self._finished.append(work.batch_id)
        # Somebody waits for what was asked for by hand.
        asked_for = work.left == 0 and work.kind is _MANUAL
        if len(self._rows) >= CHUNK_ROWS or not self._under_way or asked_for:
            self._hand_over()
        elif self._due is None:
            self._due = self._loop.call_later(CHUNK_SECONDS, self._hand_over)

    def _hand_over(self) -> None:
        """Give what has ended to the recorder, and its room to other checks."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        rows, self._rows = self._rows, []
        finished, self._finished = self._finished, []
        with self._capacity:
            self._unrecorded += len(rows)
        self._recorder.take(Chunk(rows, finished))
        with self._capacity:
            self._in_flight -= len(rows)
            self._slow_in_flight -= self._slow_rows
            self._capacity.notify_all()
        self._slow_rows = 0

    def _renew(self) -> None:
        # What is probed has its time; what is stored takes as long as the database is away.
        until = time.monotonic() - settings.SENTINEL_BATCH_SECONDS
        known = list(self._open.items())  # others come and go meanwhile
        stuck = [pk for pk, work in known if work.left and work.latest <= until]
        held = [pk for pk, _ in known if pk not in stuck]
        if held:
            settling.renew(held, now=database_now())
        if stuck:
            log.error("checks do not end", batches=stuck)
        crew.say(in_flight=self._in_flight, unrecorded=len(self._open), lag=self._admission.lag)

    def _recorded(self, batch_ids: Sequence[int], rows: int) -> None:
        for batch_id in batch_ids:
            self._open.pop(batch_id, None)
        with self._capacity:
            self._unrecorded -= rows
            self._capacity.notify_all()


def _or_die(run: Callable[[], None]) -> None:
    """Run a thread that the process is nothing without: Celery makes a new one in its place."""
    try:
        run()
    except BaseException:
        log.exception("a thread of the checker died, and the process with it")
        os._exit(70)
