"""How soon Redis's return is noticed: after seconds, however long it was away.

Celery has no setting for it, and by its own waits two seconds longer after each attempt, up to
half a minute: too long for a worker of a five-second schedule, and for Beat.
"""

from typing import Any, Final

import structlog
from celery.app.amqp import AMQP
from kombu.connection import Connection

log = structlog.get_logger(__name__)

LONGEST_SECONDS: Final = 2.0


class SteadyConnection(Connection):
    """A connection whose attempts keep coming."""

    def ensure_connection(self, errback: Any = None, max_retries: Any = None, **kwargs: Any) -> Any:
        """Connect, however long that takes; who says how patiently is heard."""
        steady = {"interval_start": 1.0, "interval_step": 1.0, "interval_max": LONGEST_SECONDS}
        ensure: Any = super().ensure_connection
        return ensure(errback, max_retries, **{**steady, **kwargs})

    def maybe_close_channel(self, channel: Any) -> None:
        """Close a channel; what it had in hand is sent again by a sweep.

        kombu 5.7 gives that back as it closes, and trips over a connection that has gone
        already: the error ended the worker.
        """
        close: Any = super().maybe_close_channel
        try:
            close(channel)
        except AttributeError as error:
            log.warning("a channel was not closed in order", error=str(error))


class SteadyAMQP(AMQP):
    """What Celery makes its connections by."""

    Connection = SteadyConnection
