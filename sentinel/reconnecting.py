"""How soon Redis's return is noticed: after seconds, however long it was away.

Celery has no setting for it, and by its own waits two seconds longer after each attempt, up to
half a minute: too long for a worker of a five-second schedule, and for Beat.
"""

from typing import Any, Final

from celery.app.amqp import AMQP
from kombu.connection import Connection

LONGEST_SECONDS: Final = 2.0


class SteadyConnection(Connection):
    """A connection whose attempts keep coming."""

    def ensure_connection(self, errback: Any = None, max_retries: Any = None, **kwargs: Any) -> Any:
        """Connect, however long that takes; who says how patiently is heard."""
        steady = {"interval_start": 1.0, "interval_step": 1.0, "interval_max": LONGEST_SECONDS}
        ensure: Any = super().ensure_connection
        return ensure(errback, max_retries, **{**steady, **kwargs})

    def _do_close_transport(self) -> None:
        """Let go of the transport, which goes on knowing where Redis is.

        kombu 5.7 takes that from it, too. A message that is still in hand then ends the worker
        when it is acknowledged or given back: both ask anew where to.
        """
        self._transport = None


class SteadyAMQP(AMQP):
    """What Celery makes its connections by."""

    Connection = SteadyConnection
