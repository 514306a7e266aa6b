"""The Celery application: its settings come from Django's, Beat's schedule stands here."""

import os
import time
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from celery import Celery
from celery.beat import Scheduler, SchedulingError
from celery.schedules import schedstate, schedule
from celery.signals import setup_logging
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sentinel.settings")


from monitoring.schedule import TICK_SECONDS
from sentinel import queue_canary
from sentinel.pulse import Pulse
from sentinel.reconnecting import SteadyAMQP

log = structlog.get_logger(__name__)

_CLOCK_STEP_SECONDS: Final = 1.0
"""A clock that moved by more than this since the last look was put, and did not drift."""


class EveryTick(schedule):
    """Due at the instants that are multiples of the period on the wall clock.

    Celery's own ``schedule`` counts from Beat's start, which would delay every slot by
    the same random part of a tick.
    """

    def __init__(self, seconds: int = TICK_SECONDS, **kwargs: Any) -> None:
        super().__init__(run_every=seconds, **kwargs)

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Return whether a multiple has passed since the last run, and the seconds to the next."""
        now = self.maybe_make_aware(self.now())
        last = self.maybe_make_aware(last_run_at)
        period = self.run_every.total_seconds()
        # Another multiple, not only a later one: a clock may be put back.
        passed = now.timestamp() // period != last.timestamp() // period
        # A little past the instant: the database's clock decides, and may be behind ours.
        return schedstate(is_due=passed, next=period - now.timestamp() % period + 0.01)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Return the time to the next multiple."""
        return timedelta(seconds=self.is_due(last_run_at).next)

    def __reduce__(self) -> Any:
        return self.__class__, (int(self.run_every.total_seconds()),)


def _clock_offset() -> float:
    """Return how far the wall clock is from one that only goes on, in seconds."""
    return time.time() - time.monotonic()


class PulsingScheduler(Scheduler):
    """Beat's in-memory scheduler, which also shows that what it publishes arrives.

    Nothing is kept in a file: the tick rows in PostgreSQL say what has run.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._clock_offset = _clock_offset()
        self._pulse: Pulse | None = None
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Run what is due; return the seconds until the next look."""
        offset = _clock_offset()
        if abs(offset - self._clock_offset) > _CLOCK_STEP_SECONDS:
            # Celery keeps what comes next by the wall clock's instants, and would wait for one
            # that a clock which was put back reaches an hour late. None makes it plan anew.
            self._heap = None
        self._clock_offset = offset
        return super().tick(*args, **kwargs)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send what is due. A queue that is away is one line of the log at each tick."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            log.warning("queue is away", task=entry.task, error=str(error).partition("\n")[0])

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        """Publish an entry's message; only one that was accepted is a sign of life."""
        published = super().apply_async(*args, **kwargs)
        if self._pulse is None:
            self._pulse = Pulse("beat", f"beat-{os.getpid()}")
        self._pulse.beat()
        return published


app = Celery("sentinel", amqp=SteadyAMQP)
# Its own settings alone: whatever Celery knows, Flower shows, and it masks by names it thinks of.
app.config_from_object(
    {name: getattr(settings, name) for name in dir(settings) if name.startswith("CELERY_")},
    namespace="CELERY",
)
app.autodiscover_tasks(["monitoring", "sentinel.idempotency"])
# Celery closes the database connection around every task unless told to keep it, and making
# one costs both sides more than a batch does. What has become unusable is let go of by the
# tasks themselves (``monitoring.tasks``). Read under this very name by Celery's Django fix-up.
app.conf["CELERY_DB_REUSE_MAX"] = 1_000_000
queue_canary.install(app)
app.conf.beat_scheduler = PulsingScheduler
app.conf.beat_max_loop_interval = TICK_SECONDS
app.conf.beat_schedule = {
    # None expires: that would be judged by another host's clock, and one that is a minute wrong
    # would drop every sweep. One too many finds its ticks run, and does nothing.
    "sweep": {
        "task": "monitoring.sweep",
        "schedule": EveryTick(),
        "options": {"queue": "control", "priority": 0},
    },
    # A bounded piece a tick: a tenth of a core while there is something to catch up with.
    "roll-up": {
        "task": "monitoring.roll_up",
        "schedule": EveryTick(),
        "options": {"queue": "control"},
    },
    "retain": {
        "task": "monitoring.retain",
        "schedule": EveryTick(seconds=300),
        "options": {"queue": "control"},
    },
    "forget-answers": {
        "task": "idempotency.forget",
        "schedule": EveryTick(seconds=300),
        "options": {"queue": "control"},
    },
}


@setup_logging.connect
def _keep_django_logging(**_: Any) -> None:
    """Leave logging as Django's settings made it: Celery steps back when this is connected."""
