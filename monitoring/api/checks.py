"""The routes of manual checks."""

import uuid
from typing import Annotated, Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Path, Router, Status

from domains.api import Cursor, DomainId, Limit, next_link
from domains.bulk import Finder, each, find_domains, valid
from domains.bulk_schemas import Selection
from domains.clock import database_now
from domains.models import Domain
from domains.paging import MAX_LIMIT
from domains.schemas import problems
from domains.services import get_domain
from monitoring import dispatch, runs, tasks
from monitoring.schemas.checks import BulkCheckOut, check_out
from monitoring.schemas.results import RunAccepted, RunOut, result_out

router = Router(tags=["monitoring"])


class RunNotFound(LookupError):  # noqa: N818 - a 404, not a fault
    """There is no manual run of that id, or it is so old that it was forgotten."""

    def __init__(self, run_id: uuid.UUID) -> None:
        super().__init__(f"there is no run {run_id}")


@router.get(
    "/runs/{run_id}",
    response={200: RunOut, **problems(404)},
    operation_id="getRun",
    summary="Read a manual check",
)
def read_run(
    request: HttpRequest,
    run_id: Annotated[uuid.UUID, Path(description="From the answer that accepted the check.")],
    limit: Limit = MAX_LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Poll a manual check: `pending` until each location has its result. Kept for a day.

    One of more than `limit` checks comes in pages: once it is finished, go on with `next`.
    """
    page = runs.read_run(run_id, cursor=cursor, limit=limit)
    if page is None:
        raise RunNotFound(run_id)
    return {
        "run_id": run_id,
        "status": "finished" if page.finished else "pending",
        "results": [result_out(result) for result in page.results],
        "next": next_link(request, page.after),
    }


@router.post(
    "/check",
    response={200: BulkCheckOut, **problems(400)},
    operation_id="bulkCheckDomains",
    summary="Check many domains now",
)
def check_many(request: HttpRequest, payload: Selection) -> Any:
    """Ask for checks of up to 1,000 domains, as one run: 202 each, or why not."""
    references = payload.references()
    find = Finder(find_domains(valid(references)))
    results = each(references, find)
    domains = [domain for domain in results if isinstance(domain, Domain)]
    run_id = None
    if domains and not payload.dry_run:
        with transaction.atomic():
            run_id = dispatch.request_checks(domains, now=database_now())
            _publish(run_id)
    return {
        "dry_run": payload.dry_run,
        "run_id": run_id,
        "status_url": None if run_id is None else _status_url(request, run_id),
        "succeeded": len(domains),
        "failed": len(results) - len(domains),
        "results": [check_out(index, result) for index, result in enumerate(results)],
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
    with transaction.atomic():
        run_id = dispatch.request_check(domain, now=database_now())
        _publish(run_id)
    response["Location"] = status_url = _status_url(request, run_id)
    return Status(202, {"run_id": run_id, "status_url": status_url})


def _publish(run_id: uuid.UUID) -> None:
    """Put a run on the queue once it is durable; what is not put there, the next sweep puts."""
    transaction.on_commit(lambda: tasks.publish_run(run_id), robust=True)


def _status_url(request: HttpRequest, run_id: uuid.UUID) -> str:
    return request.build_absolute_uri(f"/api/monitoring/runs/{run_id}")
