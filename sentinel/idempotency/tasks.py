"""The door that upkeep comes in by."""

from typing import Final

from celery import shared_task

from domains.clock import database_now
from monitoring.tasks import OUTAGE, outage_in_one_line
from sentinel.idempotency.keeping import forget

_SECONDS: Final = 2.0
"""The sweeps come by the same process: what is left waits for the next call."""


@shared_task(name="idempotency.forget", throws=OUTAGE)
@outage_in_one_line
def forget_answers() -> None:
    """Delete the stored answers that are old or too many."""
    forget(now=database_now(), seconds=_SECONDS)
