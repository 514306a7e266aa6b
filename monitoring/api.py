"""The routes of checks, results and the ledger."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query, Router, Status
from pydantic import AfterValidator, AwareDatetime

from domains.api import Cursor, DomainId, Limit, next_link
from domains.clock import database_now
from domains.paging import DEFAULT_LIMIT
from domains.schemas import CertificateOut, LastResult, Observation, problems
from domains.services import get_domain
from monitoring import accounting, dispatch, history, rollups, tasks
from monitoring.models import Location
from monitoring.schedule import TICK
from monitoring.schemas import (
    LedgerOut,
    ResultPage,
    RunAccepted,
    RunOut,
    SummaryOut,
    ledger_out,
    result_out,
    span_out,
)

router = Router(tags=["monitoring"])

WINDOWS: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
MOST_BUCKETS: Final = 1500
"""More parts of a ledger than that are no answer to read."""

_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2200


class RunNotFound(LookupError):  # noqa: N818 - a 404, not a fault
    """There is no manual run of that id, or it is so old that it was forgotten."""

    def __init__(self, run_id: uuid.UUID) -> None:
        super().__init__(f"there is no run {run_id}")


class EmptySpan(ValueError):  # noqa: N818 - bad input, answered as such
    """``to`` is not after ``from``."""


class BadParameter(ValueError):  # noqa: N818 - bad input, answered as such
    """A parameter of the address that makes no sense with what there is."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name


def _in_calendar(instant: datetime) -> datetime:
    # The ends of datetime and of PostgreSQL overflow when they change time zone.
    if not _FIRST_YEAR <= instant.year < _LAST_YEAR:
        raise ValueError(f"it must lie between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    return instant.astimezone(UTC)  # PostgreSQL knows no zone more than 16 hours away


Instant = Annotated[AwareDatetime, AfterValidator(_in_calendar)]
From = Annotated[
    Instant | None,
    Query(alias="from", description="The first instant, RFC 3339, such as 2026-11-23T12:00:00Z."),
]
To = Annotated[Instant | None, Query(alias="to", description="The instant to stop before.")]


def observe(domain_ids: Sequence[int]) -> Mapping[int, Observation]:
    """Return what has been seen of domains, for the answers of ``/domains``."""
    return {
        domain_id: Observation(
            state=known.state.value if known.state else None,  # type: ignore[arg-type] # a State but never missed
            since=known.since,
            last_result=LastResult(
                location=known.last_result.location.name,
                **{
                    name: getattr(known.last_result, name)
                    for name in LastResult.model_fields
                    if name != "location"
                },
            )
            if known.last_result
            else None,
            tls_expires_at=known.tls_expires_at,
            certificate=CertificateOut(**known.certificate) if known.certificate else None,
        )
        for domain_id, known in history.present(domain_ids).items()
    }


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
        str | None,
        Query(
            pattern=r"^[1-9][0-9]{0,4}[smhd]$",
            description="Account for each part of this length too, such as 1m, 5m, 1h or 1d.",
        ),
    ] = None,
) -> Any:
    """Account for every slot that was due; without `from` and `to`, of the last 24 hours."""
    end = end or database_now()
    start = start or end - timedelta(days=1)
    if end <= start:
        raise EmptySpan
    length = None if step is None else int(step[:-1]) * _UNITS[step[-1]]
    if length is not None and (length % TICK or (end - start) / length > MOST_BUCKETS):
        raise BadParameter(
            "step",
            f"give a multiple of 5 seconds that cuts the span into {MOST_BUCKETS} parts or fewer",
        )
    place = None
    if location is not None:
        known = Location.objects.filter(name=location)
        place = None if "\0" in location else known.first()  # no text of PostgreSQL's has a NUL
        if place is None:
            raise BadParameter("location", "no domain has ever named it")
    accounts = accounting.accounts(
        start,
        end,
        step=length,
        domain_id=domain_id,
        location_id=None if place is None else place.pk,
    )
    return ledger_out(accounts, in_buckets=step is not None)


@router.get(
    "/runs/{run_id}",
    response={200: RunOut, **problems(404)},
    operation_id="getRun",
    summary="Read a manual check",
)
def read_run(
    request: HttpRequest,
    run_id: Annotated[uuid.UUID, Path(description="From the answer that accepted the check.")],
) -> Any:
    """Poll a manual check: `pending` until each location has its result. Kept for a day."""
    found = history.results_of_run(run_id)
    if found is None:
        raise RunNotFound(run_id)
    finished, results = found
    return {
        "run_id": run_id,
        "status": "finished" if finished else "pending",
        "results": [result_out(result) for result in results],
    }


@router.post(
    "/{domain_id}/check",
    response={202: RunAccepted, **problems(404)},
    operation_id="checkDomain",
    summary="Check a domain now",
)
def check(request: HttpRequest, response: HttpResponse, domain_id: DomainId) -> Any:
    """Ask for a check ahead of the queue. It is durable when this answers, also without Redis."""
    domain = get_domain(domain_id)
    run_id = dispatch.request_check(domain, now=database_now())
    tasks.publish(dispatch.unsent(run_id=run_id))
    status_url = request.build_absolute_uri(f"/api/monitoring/runs/{run_id}")
    response["Location"] = status_url
    return Status(202, {"run_id": run_id, "status_url": status_url})


@router.get(
    "/{domain_id}/history",
    response={200: ResultPage, **problems(404)},
    operation_id="listResults",
    summary="List a domain's results",
)
def list_results(
    request: HttpRequest,
    domain_id: DomainId,
    start: From = None,
    end: To = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Any:
    """List a domain's results, newest first."""
    if start and end and end <= start:
        raise EmptySpan
    get_domain(domain_id)
    results, after = history.page_of_results(
        domain_id, start=start, end=end, cursor=cursor, limit=limit
    )
    return {
        "items": [result_out(result) for result in results],
        "next": next_link(request, after),
    }


@router.get(
    "/{domain_id}/summary",
    response={200: SummaryOut, **problems(404)},
    operation_id="getSummary",
    summary="Summarise a domain",
)
def summary(request: HttpRequest, domain_id: DomainId) -> Any:
    """Say how a domain is now, and its uptime, coverage and percentiles up to 30 days back."""
    get_domain(domain_id)
    now = database_now()
    known = history.present([domain_id]).get(domain_id)
    return {
        "domain_id": domain_id,
        "state": known.state if known else None,
        "since": known.since if known else None,
        "windows": [
            span_out(name, rollups.span(domain_id, now - length, now))
            for name, length in WINDOWS.items()
        ],
    }
