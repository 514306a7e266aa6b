"""What Celery does when Redis fails: tries again after seconds, and goes on as it was before.

Celery has no setting for the first, and by its own waits two seconds longer after each attempt,
up to half a minute: too long for a worker of a five-second schedule, and for Beat.
"""

from functools import cache
from typing import Any, Final

from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.transport import redis

LONGEST_SECONDS: Final = 2.0


class SteadyQoS(redis.QoS):
    """What a consumer has in hand, without what it could not acknowledge.

    kombu 5.7 keeps a message in hand when its acknowledgement fails, and Celery does not try
    again: with nothing else to be taken before that is done, a worker of one process would
    never work again. Redis gives the message out once more after the visibility time-out.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; whether or not Redis hears of it, it is not in hand any more."""
        acknowledge: Any = super().ack
        try:
            acknowledge(delivery_tag)
        except Exception:
            self._quick_ack(delivery_tag)
            raise

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back; whether or not Redis hears of it, it is not in hand any more."""
        give_back: Any = super().reject
        try:
            give_back(delivery_tag, requeue=requeue)
        except Exception:
            self._quick_ack(delivery_tag)
            raise


@cache
def _steady(channel: type[redis.Channel]) -> type[redis.Channel]:
    return type(f"Steady{channel.__name__}", (channel,), {"QoS": SteadyQoS})


class SteadyConnection(Connection):
    """A connection whose attempts keep coming."""

    def ensure_connection(self, errback: Any = None, max_retries: Any = None, **kwargs: Any) -> Any:
        """Connect, however long that takes; who says how patiently is heard."""
        steady = {"interval_start": 1.0, "interval_step": 1.0, "interval_max": LONGEST_SECONDS}
        ensure: Any = super().ensure_connection
        return ensure(errback, max_retries, **{**steady, **kwargs})

    def create_transport(self) -> Any:
        """Return a new transport, whose channels forget what they cannot acknowledge."""
        create: Any = super().create_transport
        transport = create()
        transport.Channel = _steady(transport.Channel)
        return transport

    def _do_close_transport(self) -> None:
        """Let go of the transport, which goes on knowing where Redis is.

        kombu 5.7 takes that from it, too. A message that is still in hand then ends the worker
        when it is acknowledged or given back: both ask anew where to.
        """
        self._transport = None


class SteadyAMQP(AMQP):
    """What Celery makes its connections by."""

    Connection = SteadyConnection
