"""What consumes the queues in a worker: Celery's own consumer, but for its patience."""

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer


class SteadyConsumer(Consumer):
    """Looks for a lost Redis every second.

    Celery's own waits two seconds longer after each attempt, up to thirty: after an outage of
    minutes checks would rest for as long again.
    """

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection, as soon as there is one."""
        conn.ensure_connection = partial(
            conn.ensure_connection, interval_start=1, interval_step=0, interval_max=1
        )
        return super().ensure_connected(conn)
