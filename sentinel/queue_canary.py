"""Whether a worker consumes, seen from inside it: a message to itself, through the same door.

A worker that answers pings may consume nothing: its children hang, or it lost its consumer when
Redis came back. So each sends a canary every few seconds to a queue of its own, which it reads
by the very command that reads its other queues; and whatever it runs, canary or check, shows in
its ``pulse``. In a queue that several workers share, Redis gives a message to whoever waits
longest, which by the timing of their waits may be the same one for ever: there canaries would
say that somebody consumes, but not who does not.

Nothing of it needs Beat, a sweep or the database, whose absence is not the worker's fault.
"""

from typing import Any, Final

from celery import Celery, bootsteps, signals
from kombu.entity import Queue

from sentinel.pulse import Pulse

SEND_SECONDS: Final = 3.0

_MOST: Final = 2
"""Canaries that wait. Who consumes nothing is sent no more of them."""

_EXPIRES_SECONDS: Final = 60.0
"""After so long without a new message Redis drops the queue: its worker is gone. Not a message's
expiry, which the clock of whoever consumes it would judge."""

TASK: Final = "sentinel.queue_canary"

_pulse: Pulse | None = None


class QueueCanary(bootsteps.StartStopStep):
    """The part of a worker's main process that sends the canaries."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Begin to send, now and every few seconds; after each reconnect anew."""
        self._send(consumer)
        self._timer = consumer.timer.call_repeatedly(SEND_SECONDS, self._send, (consumer,))

    def stop(self, consumer: Any) -> None:
        """Send no more."""
        if self._timer is not None:
            consumer.timer.cancel(self._timer)
            self._timer = None

    @staticmethod
    def _send(consumer: Any) -> None:
        # An error of the connection is let through: the consumer then makes a new one.
        queues = consumer.app.amqp.queues.consume_from
        if not all(consumer.task_consumer.consuming_from(name) for name in queues):
            return
        channel = consumer.connection.default_channel
        queue = _own_queue(consumer.hostname)
        if queue(channel).queue_declare().message_count >= _MOST:
            return
        with consumer.app.amqp.Producer(channel, auto_declare=False) as producer:
            consumer.app.send_task(
                TASK, queue=queue, declare=(), priority=0, retry=False, producer=producer
            )


def install(app: Celery) -> None:
    """Give the workers of an application their canaries and their pulses."""
    app.steps["consumer"].add(QueueCanary)
    # Not among the events: Flower would list little else.
    app.task(name=TASK, send_events=False, ignore_result=True)(_consumed)
    signals.celeryd_init.connect(_open_pulse)
    signals.celeryd_after_setup.connect(_consume_own_queue)
    signals.worker_process_init.connect(_leave_lock)
    signals.task_prerun.connect(_beat)
    signals.worker_shutdown.connect(_end)


def _own_queue(node: str) -> Queue:
    return Queue(
        f"canary.{node}", exchange="", routing_key=f"canary.{node}", expires=_EXPIRES_SECONDS
    )


def _consumed() -> None:
    """Do nothing: that it is run is what counts."""


def _open_pulse(*, sender: str, **_: Any) -> None:
    global _pulse  # noqa: PLW0603 - one a process is the point
    # The first word of a worker's name is its role.
    _pulse = Pulse(sender.partition("-")[0], sender)


def _consume_own_queue(*, sender: str, instance: Any, **_: Any) -> None:
    instance.app.amqp.queues.select_add(_own_queue(sender))


def _leave_lock(**_: Any) -> None:
    if _pulse is not None:
        _pulse.leave_lock()


def _beat(**_: Any) -> None:
    if _pulse is not None:
        _pulse.beat()


def _end(**_: Any) -> None:
    if _pulse is not None:
        _pulse.end()
