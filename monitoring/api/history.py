"""The route of a domain's results."""

from typing import Any

from django.http import HttpRequest
from ninja import Router

from domains.api import Cursor, DomainId, Limit, next_link
from domains.paging import DEFAULT_LIMIT
from domains.schemas import problems
from domains.services import get_domain
from monitoring import history
from monitoring.api.parameters import EmptySpan, From, To
from monitoring.schemas.results import ResultPage, result_out

router = Router(tags=["monitoring"])


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
