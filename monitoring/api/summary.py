"""The route of a domain's summary."""

from datetime import timedelta
from typing import Any, Final

from django.http import HttpRequest
from ninja import Router

from domains.api import DomainId
from domains.clock import database_now
from domains.schemas import problems
from domains.services import get_domain
from monitoring import history, rollups
from monitoring.schemas.summary import SummaryOut, span_out

router = Router(tags=["monitoring"])

WINDOWS: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
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
