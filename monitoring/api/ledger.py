"""The route of the ledger."""

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import AfterValidator, WithJsonSchema

from domains.clock import database_now
from domains.schemas import problems
from monitoring import accounting
from monitoring.api.parameters import Ahead, BadParameter, EmptySpan, From, To, known_location
from monitoring.schedule import TICK
from monitoring.schemas.ledger import LedgerOut, ledger_out

router = Router(tags=["monitoring"])

MOST_BUCKETS: Final = 1500
"""More parts of a ledger than that are no answer to read."""

_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_STEP: Final = re.compile(r"[1-9][0-9]{0,4}[smhd]")


def _step(text: str) -> str:
    if not _STEP.fullmatch(text):
        raise ValueError("give a number with its unit, s, m, h or d, such as 5m, 1h or 1d")
    return text


Step = Annotated[
    str, AfterValidator(_step), WithJsonSchema({"type": "string", "pattern": f"^{_STEP.pattern}$"})
]


@router.get(
    "/ledger",
    response={200: LedgerOut, **problems()},
    operation_id="getLedger",
    summary="Read the ledger of a span",
)
def read_ledger(
    request: HttpRequest,
    start: From = None,
    end: To = None,
    location: Annotated[str | None, Query(max_length=32, description="Of this location.")] = None,
    domain_id: Annotated[
        int | None,
        Query(ge=1, le=2**31 - 1, description="Of this domain; it may have been deleted."),
    ] = None,
    step: Annotated[
        Step | None,
        Query(
            description="Account for each part of this length too, such as 1m, 5m, 1h or 1d.",
        ),
    ] = None,
) -> Any:
    """Account for every slot that was due; without `from` and `to`, of the last 24 hours."""
    now = database_now()
    if end is None and start is not None and start >= now:
        raise Ahead
    end = end or now
    start = start or end - timedelta(days=1)
    if end <= start:
        raise EmptySpan
    length = None if step is None else _length(step)
    if length is not None and (length % TICK or (end - start) / length > MOST_BUCKETS):
        raise BadParameter(
            "step",
            f"give a multiple of 5 seconds that cuts the span into {MOST_BUCKETS} parts or fewer, "
            f"such as {_shortest(end - start)}",
        )
    place = None if location is None else known_location(location)
    accounts = accounting.accounts(
        start,
        end,
        step=length,
        domain_id=domain_id,
        location_id=None if place is None else place.pk,
    )
    return ledger_out(accounts, in_buckets=step is not None)


def _shortest(span: timedelta) -> str:
    """Return the shortest usual step that cuts a span into few enough parts."""
    usual = ("5s", "1m", "5m", "1h", "1d")
    return next((each for each in usual if span <= MOST_BUCKETS * _length(each)), "30d")


def _length(step: str) -> timedelta:
    return int(step[:-1]) * _UNITS[step[-1]]
