"""The doors that messages come in by. Each has a name and one call behind it.

Their queues are in the settings (``CELERY_TASK_ROUTES``); a check names its location's.
"""

import gc
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial, wraps
from typing import Any, Final, ParamSpec

import structlog
from celery import current_app, shared_task
from celery.signals import worker_process_shutdown
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.db import OperationalError as DatabaseOutage
from kombu.connection import Connection
from kombu.exceptions import BatchPublishError
from kombu.exceptions import OperationalError as QueueOutage

from domains.clock import database_now
from monitoring import dispatch, probes, retention, rolling, settling
from monitoring.checking import Checker
from monitoring.claiming import claim, hand_back
from monitoring.dispatch import Hint
from monitoring.own_addresses import OwnAddresses
from monitoring.probes.canaries import Canaries
from monitoring.probes.nameservers import in_use
from monitoring.queues import CONTROL, bound, probe_queue, queue
from monitoring.schedule import TICK_SECONDS

log = structlog.get_logger(__name__)
_P = ParamSpec("_P")

DRAIN_SECONDS: Final = 8.0
"""How long a stopping process lets its checks end: a container is killed after its grace."""

_SPARE_MESSAGES: Final = 100
"""Messages that a queue may hold beside two for each batch that waits."""

_REQUEST_SECONDS: Final = 0.5
"""How long a request waits for the queue, for a connection and for each answer."""

OUTAGE: Final = (DatabaseOutage, InterfaceError)
"""What a database that is away raises: a failed task, but no defect, so no traceback."""


def outage_in_one_line(task: Callable[_P, None]) -> Callable[_P, None]:
    """Wrap a task so that a database that is away is one line of the log, and raised again."""

    @wraps(task)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> None:
        close_old_connections()  # a connection is kept from task to task, as long as it is good
        try:
            task(*args, **kwargs)
        except OUTAGE as error:
            log.warning("database is away", task=task.__name__, error=str(error).partition("\n")[0])
            raise

    return wrapped


_own_addresses: Final = OwnAddresses(
    settings.SENTINEL_ALLOWED_TARGETS, settings.SENTINEL_OWN_ADDRESSES
)
_checker: Checker | None = None
_checker_lock = threading.Lock()
_upkeep: threading.Thread | None = None
_left_alone_until = 0.0


@shared_task(name="monitoring.sweep", throws=OUTAGE)
@outage_in_one_line
def sweep() -> None:
    """Run the ticks that are due, settle what is overdue, and publish both."""
    now = database_now()
    # First what is over: what a dead worker held is no longer in the way of what is due.
    try:
        settling.settle(now=now)
        settling.release(now=now)
    except OUTAGE:
        raise
    except DatabaseError:
        log.exception("what is overdue cannot be settled")  # which keeps nothing else from its turn
    dispatch.sweep(now=now, retention=timedelta(days=settings.SENTINEL_RAW_RETENTION_DAYS))
    publish([*dispatch.unsent(), *settling.overdue(now=now)])


@shared_task(name="monitoring.retain", throws=OUTAGE)
@outage_in_one_line
def retain() -> None:
    """Make the partitions of the days ahead, drop what is old: results and messages."""
    dispatch.add_locations()
    now = database_now()
    keep = timedelta(days=settings.SENTINEL_RAW_RETENTION_DAYS)
    retention.make_ahead(now=now)
    if retention.is_believed(now=now):
        retention.retain(now=now, keep=rolling.raw_needed(now=now, keep=keep))
        rolling.retain(now=now, raw_kept=keep)
    bound_queues()
    _beside_the_sweeps(partial(retention.tighten, now=now))


@shared_task(name="monitoring.roll_up", throws=OUTAGE)
@outage_in_one_line
def roll_up() -> None:
    """Roll up what is due, for half a second at most: what is left waits for the next tick."""
    rolling.roll_up(now=database_now())


@shared_task(name="monitoring.check", throws=OUTAGE)
@outage_in_one_line
def check(*, batch_id: int, slow: bool = False) -> None:
    """Start the checks of one batch in this process.

    Args:
        batch_id: its row says the rest.
        slow: whether it came by the slow lane.
    """
    if slow and not checker().has_room_for_slow():
        # Not waited for here, where quick ones would wait behind it.
        dispatch.take_back([batch_id])
        return
    checker().run(
        lambda: claim(
            batch_id,
            guard=_own_addresses.guard(),  # first: it may wait, and the clock is to be of now
            now=database_now(),
            lease=settling.LEASE,
        )
    )


def _beside_the_sweeps(work: Callable[[], None]) -> None:
    """Do what may take long in a thread: the sweeps come by this very process."""
    global _upkeep  # noqa: PLW0603 - one at a time is the point
    if _upkeep is not None and _upkeep.is_alive():
        return

    def run() -> None:
        try:
            work()
        except OUTAGE as error:
            log.warning("database is away", error=str(error).partition("\n")[0])
        except Exception:
            log.exception("upkeep failed")
        finally:
            connection.close()

    _upkeep = threading.Thread(target=run, name="upkeep", daemon=True)
    _upkeep.start()


def publish_run(run_id: uuid.UUID) -> None:
    """Put a manual run on its queues from a request, which does not wait for them for long.

    Where they did not answer they are left alone for a tick, whose sweep sends what is unsent: a
    Redis that hangs would hold each request, and with them the threads that others need.
    """
    global _left_alone_until  # noqa: PLW0603 - known to all threads of a process is the point
    if time.monotonic() < _left_alone_until:
        return
    hints = dispatch.unsent(run_id=run_id)
    if hints and not publish(hints, seconds=_REQUEST_SECONDS):
        _left_alone_until = time.monotonic() + TICK_SECONDS


def publish(hints: Iterable[Hint], *, seconds: float | None = None) -> int:
    """Put batches on their queues, in one pipeline; return how many were accepted.

    A queue that is away is no error: the rows stay unsent, and the next sweep sends them.

    Args:
        hints: which.
        seconds: how long the queue is waited for, for a connection and for each answer; without
            it as long as a worker waits, and twice.
    """
    waiting = list(hints)
    if not waiting:
        return 0
    with _queue_connection(seconds) as connection:
        if connection is None:
            return 0
        # Before they are sent: who takes one may have to give it back at once.
        batch_ids = [hint.batch_id for hint in waiting]
        dispatch.mark_enqueued(batch_ids, now=database_now())
        accepted = False
        with current_app.amqp.Producer(connection, auto_declare=False) as producer:
            try:
                with producer.batch():
                    for hint in waiting:
                        check.apply_async(
                            kwargs={"batch_id": hint.batch_id, "slow": hint.slow},
                            # A queue object: a location of other hosts is not declared here.
                            queue=queue(probe_queue(hint.location, slow=hint.slow)),
                            declare=(),  # a list in Redis is there when something is in it
                            priority=0 if hint.manual else 9,
                            retry=False,
                            producer=producer,
                        )
                accepted = True
            except (*connection.connection_errors, QueueOutage, BatchPublishError) as error:
                # Some may have arrived: they are sent again, and started once all the same.
                log.warning("queue is away", error=str(error))
            finally:
                if not accepted:
                    dispatch.take_back(batch_ids)
    return len(waiting) if accepted else 0


def bound_queues() -> None:
    """Keep queues that nobody consumes from growing."""
    with _queue_connection() as connection:
        if connection is None:
            return
        channel = connection.default_channel
        bound(channel, CONTROL, most=_SPARE_MESSAGES)
        for location, slow, open_batches in dispatch.outstanding():
            name = probe_queue(location, slow=slow)
            if bound(channel, name, most=2 * open_batches + _SPARE_MESSAGES):
                log.warning("purged a queue of old messages", queue=name)
                dispatch.forget_sent(location, slow=slow)


@contextmanager
def _queue_connection(seconds: float | None = None) -> Iterator[Connection | None]:
    """Give a connection to the queue, or None where it is away.

    One of its own: a connection from the pool may be a dead one, and would first be retried
    for seconds in a request that needs no queue to be answered.
    """
    options = {} if seconds is None else {"socket_timeout": seconds}
    with current_app.connection_for_write(transport_options=options) as connection:
        try:
            connection.ensure_connection(
                max_retries=1 if seconds is None else 0, interval_start=0, interval_step=0
            )
        except QueueOutage as error:
            log.warning("queue is away", error=str(error))
            yield None
        else:
            yield connection


def checker() -> Checker:
    """Return this process's checker, made at its first batch: threads do not survive a fork."""
    global _checker  # noqa: PLW0603 - one a process is the point
    with _checker_lock:
        if _checker is None:
            _spare_the_collector()
            canaries = Canaries(
                settings.SENTINEL_CANARIES, lambda: in_use(settings.SENTINEL_NAMESERVERS)
            )
            _checker = Checker(canaries.watching(probes.probe))
        return _checker


def _spare_the_collector() -> None:
    """Keep the garbage collector from what stays for ever, and from looking too often.

    Its full passes go through every module that is loaded, and checks make few circles: it
    took a sixth of their time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@worker_process_shutdown.connect
def _drain(**_: Any) -> None:
    """Let checks end before the process does; what does not end in time goes to another worker."""
    if _checker is None or _checker.drain(DRAIN_SECONDS):
        return
    batch_ids = _checker.unfinished()
    log.warning("handing back unfinished batches", batches=batch_ids)
    try:
        hand_back(batch_ids)
    except DatabaseError as error:
        # Their slots are settled once the claim has run out.
        log.warning("could not hand back", error=str(error))
