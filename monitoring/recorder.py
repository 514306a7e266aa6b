"""The recorder of a worker process: what the loop hands over goes into the ledger.

In a thread of its own, so that a database that is slow or away holds up no check. Handed
over in chunks: waking a thread for each row costs more than recording it.
"""

import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from django.db import DataError, IntegrityError, close_old_connections, connection

from monitoring.ledger import Row
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import Reason, State
from monitoring.recording import record
from monitoring.settling import RENEW_SECONDS

log = structlog.get_logger(__name__)

MOST_ROWS: Final = 500
"""Chunks that wait are recorded together up to this: the more, the less a row costs."""

_RETRY_SECONDS: Final = 1.0
_REFUSALS: Final = (DataError, IntegrityError, ValueError, TypeError)
"""What a row itself can cause; any other error passes, or is waited for."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows to be recorded, and the ids of the batches that are whole with them."""

    rows: Sequence[Row]
    finished: Sequence[int]


class Recorder:
    """A thread that stores chunks in the order in which they came.

    Args:
        recorded: told the ids of batches that are recorded whole, and of how many rows are stored.
        renew: called every so often, in this thread: it has the connection to the database
            that leases are renewed by.
    """

    def __init__(
        self, recorded: Callable[[Sequence[int], int], None], renew: Callable[[], None]
    ) -> None:
        self._recorded = recorded
        self._renew = renew
        self._renewed = time.monotonic()
        self._chunks: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()

    def take(self, chunk: Chunk) -> None:
        """Keep a chunk until it is stored. Returns at once."""
        self._chunks.put(chunk)

    def end(self) -> None:
        """Let the thread end when all that it was given is stored."""
        self._chunks.put(None)

    def run(self) -> None:
        """Store what comes, until the end."""
        stopping = False
        while not stopping:
            self._renew_in_time()
            try:
                chunk = self._chunks.get(timeout=RENEW_SECONDS)
            except queue.Empty:
                continue
            if chunk is None:
                break
            rows, finished = list(chunk.rows), list(chunk.finished)
            while len(rows) < MOST_ROWS and not stopping:
                try:
                    chunk = self._chunks.get_nowait()
                except queue.Empty:
                    break
                if chunk is None:
                    stopping = True
                else:
                    rows += chunk.rows
                    finished += chunk.finished
            self._store(rows, finished)
            self._recorded(finished, len(rows))
        connection.close()

    def _renew_in_time(self) -> None:
        if time.monotonic() - self._renewed < RENEW_SECONDS:
            return
        self._renewed = time.monotonic()
        try:
            close_old_connections()
            self._renew()
        except Exception as error:  # noqa: BLE001 - the next one may succeed
            log.warning("leases are not renewed", error=_first_line(error))
            connection.close()

    def _store(self, rows: Sequence[Row], finished: Sequence[int]) -> bool:
        """Store rows, for as long as it takes: an executed check is not lost to a restart.

        Returns:
            Whether each slot has its row; one that was let go is ended by settling.
        """
        refusals = 0
        whole = True
        while True:
            try:
                close_old_connections()
                record(rows, finished=finished)
            except _REFUSALS as error:
                refusals += 1
                # Once more as it is, because a partition may have been missing; then each
                # row alone, because a row that the database refuses must not take its
                # neighbours with it; then a row that says so in its place, and if not even
                # that goes in, none: everything that comes after waits behind it.
                if refusals == 1:
                    continue
                log.warning("results refused", rows=len(rows), error=_first_line(error))
                if len(rows) > 1:
                    for row in rows:
                        whole = self._store([row], []) and whole
                        self._renew_in_time()
                    rows, finished = (), finished if whole else ()
                elif rows and refusals == 2:
                    rows = [_refused(rows[0], error)]
                elif rows:
                    log.exception("a result was let go", domain=rows[0].domain_id)
                    rows, finished, whole = (), (), False
                else:
                    time.sleep(_RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is, the results are kept
                log.warning("results wait", rows=len(rows), error=_first_line(error))
                connection.close()
                time.sleep(_RETRY_SECONDS)
            else:
                return whole


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
    return row._replace(started_at=None, outcome=outcome)
