"""The routes of domains. What has been observed of them is asked of whoever knows it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query, Router, Status

from domains import services
from domains.audit import Actor
from domains.clock import database_now
from domains.paging import DEFAULT_LIMIT, MAX_LIMIT
from domains.schemas import (
    DomainIn,
    DomainOut,
    DomainPage,
    DomainPatch,
    Observation,
    domain_out,
    problems,
)

Observe = Callable[[Sequence[int]], Mapping[int, Observation]]
"""From domain ids to what has been seen of them; ids that nothing is known of are left out."""

DomainId = Annotated[int, Path(ge=1, le=2**63 - 1, description="The id of the domain.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at the most.")]
Cursor = Annotated[
    str | None, Query(max_length=500, description="From the `next` link of the page before.")
]


def next_link(request: HttpRequest, cursor: str | None) -> str | None:
    """Return the address of the page after this one: the same query with another cursor."""
    if cursor is None:
        return None
    query = request.GET.copy()
    query["cursor"] = cursor
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


def actor_of(request: HttpRequest) -> Actor:
    """Return who does what a request asks for, with the request's id."""
    actor: Actor = request.auth.actor  # type: ignore[attr-defined] # Ninja's
    return replace(actor, request_id=getattr(request, "id", ""))


def domains_router(observe: Observe) -> Router:
    """Return the router of ``/domains``.

    Args:
        observe: what the answers say beside the configuration.
    """
    router = Router(tags=["domains"])

    @router.post(
        "/",
        response={201: DomainOut, **problems(400)},
        operation_id="createDomain",
        summary="Register a domain",
    )
    def create(request: HttpRequest, response: HttpResponse, payload: DomainIn) -> Any:
        """Register a URL to be checked; `name` and `url` are enough. Durable when this answers."""
        domain = services.create_domain(payload.dict(), by=actor_of(request), now=database_now())
        response["Location"] = f"{request.path}{domain.pk}"
        return Status(201, domain_out(domain, {}))

    @router.get(
        "/",
        response={200: DomainPage, **problems()},
        operation_id="listDomains",
        summary="List the domains",
    )
    def page(request: HttpRequest, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Any:
        """List the domains in the order of their registration, with their present state."""
        domains, after = services.page_of_domains(cursor=cursor, limit=limit)
        seen = observe([domain.pk for domain in domains])
        return {
            "items": [domain_out(domain, seen) for domain in domains],
            "next": next_link(request, after),
        }

    @router.get(
        "/{domain_id}",
        response={200: DomainOut, **problems(404)},
        operation_id="getDomain",
        summary="Read a domain",
    )
    def read(request: HttpRequest, domain_id: DomainId) -> Any:
        """Read one domain with its present state and newest result."""
        domain = services.get_domain(domain_id)
        return domain_out(domain, observe([domain.pk]))

    @router.patch(
        "/{domain_id}",
        response={200: DomainOut, **problems(400, 404)},
        operation_id="changeDomain",
        summary="Change a domain",
    )
    def change(request: HttpRequest, domain_id: DomainId, payload: DomainPatch) -> Any:
        """Change the fields that are sent; a new schedule holds from the next tick on."""
        domain = services.change_domain(
            domain_id,
            payload.dict(exclude_unset=True),
            by=actor_of(request),
            now=database_now(),
        )
        return domain_out(domain, observe([domain.pk]))

    @router.delete(
        "/{domain_id}",
        response={204: None, **problems(404)},
        operation_id="deleteDomain",
        summary="Delete a domain",
    )
    def delete(request: HttpRequest, domain_id: DomainId) -> Any:
        """Delete a domain; it is not checked any more, and its history can no longer be read."""
        services.delete_domain(domain_id, by=actor_of(request), now=database_now())
        return Status(204, None)

    return router
