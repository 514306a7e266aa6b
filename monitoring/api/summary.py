"""The routes of a domain's summary and of its incidents."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from django.http import HttpRequest
from ninja import Query, Router

from domains.api import Cursor, DomainId, Limit, next_link
from domains.clock import database_now
from domains.paging import DEFAULT_LIMIT
from domains.schemas import problems
from domains.services import get_domain
from monitoring import downtimes, history, rollups
from monitoring.api.parameters import Ahead, BadParameter, EmptySpan, From, To, known_location
from monitoring.incidents import reliability
from monitoring.schemas.summary import (
    COUNTING,
    IncidentPage,
    SummaryOut,
    incident_out,
    span_out,
)

router = Router(tags=["monitoring"])

WINDOWS: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
_WHOLE_HOURS: Final = frozenset({"7d", "30d", "90d"})
"""What begins at a whole hour: for each edge in the middle of one, two statements more are read."""
LONGEST: Final = timedelta(days=731)
"""The longest span: as long as hourly buckets and transitions are kept."""

At = Annotated[
    str | None, Query(alias="location", max_length=32, description="As seen from here only.")
]


@router.get(
    "/{domain_id}/summary",
    response={200: SummaryOut, **problems(404)},
    operation_id="getSummary",
    summary="Summarise a domain",
)
def summary(
    request: HttpRequest,
    domain_id: DomainId,
    start: From = None,
    end: To = None,
    location: At = None,
) -> Any:
    """Say how a domain is now, and its uptime, coverage, percentiles and incidents lately.

    Over 1 hour, 24 hours, 7, 30 and 90 days up to now, the days from a whole hour on; or with
    `from`, and `to` if it is not to be now, over that one span, named `span`, of two years at
    the most. `counting` says how each
    state counts. `state`, `since` and the certificate are the present ones over all locations.
    """
    domain = get_domain(domain_id)
    place = None if location is None else known_location(location).pk
    now = database_now()
    if start is None and end is not None:
        raise BadParameter("from", "it is needed beside `to`")
    if start is None:
        windows = {name: (_first(name, now), now) for name in WINDOWS}
    else:
        if end is not None and end <= start:
            raise EmptySpan
        if start >= now:
            raise Ahead
        last = min(end or now, now)
        if last - start > LONGEST:
            raise BadParameter("from", "the span is longer than 731 days: choose a later instant")
        windows = {"span": (start, last)}
    known = history.present([domain_id], results=False).get(domain_id)
    spans = rollups.spans(domain_id, list(windows.values()), location_id=place)
    found = downtimes.timeline(
        domain,
        min(first for first, _ in windows.values()),
        max(last for _, last in windows.values()),
        location_id=place,
    )
    expiry = known.tls_expires_at if known else None
    return {
        "domain_id": domain_id,
        "state": known.state if known else None,
        "since": known.since if known else None,
        "tls_expires_at": expiry,
        "tls_days_left": (expiry - now) // timedelta(days=1) if expiry else None,
        "certificate": known.certificate if known else None,
        "counting": dict(COUNTING),
        "windows": [
            span_out(
                name,
                span,
                reliability(found.parts, start=span.start, end=span.end)
                if found.start <= span.start
                else None,
            )
            for name, span in zip(windows, spans, strict=True)
        ],
    }


def _first(window: str, now: datetime) -> datetime:
    """Return the first instant of a window up to now."""
    first = now - WINDOWS[window]
    if window in _WHOLE_HOURS:
        return first.replace(minute=0, second=0, microsecond=0)
    return first


@router.get(
    "/{domain_id}/incidents",
    response={200: IncidentPage, **problems(404)},
    operation_id="listIncidents",
    summary="List a domain's incidents",
)
def incidents(
    request: HttpRequest,
    domain_id: DomainId,
    location: At = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Any:
    """List the times in which a domain was down, newest first.

    One begins at the first slot found down and ends at the first found up or degraded, over all
    locations; what `internal` and pauses do to it stands in the summary's `counting`. Where tens
    of thousands of changes lie between, a page is short, even empty: go on for as long as there
    is a `next`.
    """
    domain = get_domain(domain_id)
    place = None if location is None else known_location(location).pk
    now = database_now()
    found, after = downtimes.page_of_incidents(
        domain, now=now, cursor=cursor, limit=limit, location_id=place
    )
    return {
        "items": [incident_out(each, now) for each in found],
        "next": next_link(request, after),
    }
