"""The queues by name: each has an exchange of its own, so a message reaches one queue only."""

from functools import cache
from typing import Final

from kombu.entity import Exchange, Queue
from kombu.transport.virtual import Channel

CONTROL: Final = "control"
"""The queue of the sweeps."""


@cache
def queue(name: str) -> Queue:
    """Return a queue, to consume from or to publish to; also one of a location elsewhere.

    Celery gives every queue without an exchange the same one and the same routing key,
    and a message to one of them then arrives in all.
    """
    return Queue(name, Exchange(name, type="direct"), routing_key=name)


def probe_queue(location: str, *, slow: bool = False) -> str:
    """Return the name of a queue that a location's workers consume, one a lane."""
    return f"probe.{location}.slow" if slow else f"probe.{location}"


def bound(channel: Channel, name: str, *, most: int) -> bool:
    """Empty a queue that holds more than ``most`` messages; return whether it did.

    Where nobody consumes, messages about batches that have long been settled would stay for
    ever. All are hints: what is still open is sent again.
    """
    # Not passively: kombu 5.7 looks for the list without its prefix then, and finds none.
    if channel.queue_declare(name).message_count <= most:
        return False
    channel.queue_purge(name)
    return True
