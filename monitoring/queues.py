"""The queues by name: each has an exchange of its own, so a message reaches one queue only."""

from kombu.entity import Exchange, Queue


def queue(name: str) -> Queue:
    """Return a queue, to consume from or to publish to; also one of a location elsewhere.

    Celery gives every queue without an exchange the same one and the same routing key,
    and a message to one of them then arrives in all.
    """
    return Queue(name, Exchange(name, type="direct"), routing_key=name)


def probe_queue(location: str) -> str:
    """Return the name of the queue that a location's workers consume."""
    return f"probe.{location}"
