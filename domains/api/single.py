"""The routes of one domain."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Router, Status

from domains import services
from domains.api.parameters import DomainId, IfMatch, IfNoneMatch, actor_of, origin_of
from domains.clock import database_now
from domains.fields import ExternalId
from domains.models import Domain
from domains.observations import Observation
from domains.preconditions import entity_tag, precondition
from domains.rules import FieldsRefused, pointer
from domains.schemas import DomainIn, DomainOut, DomainPatch, domain_out, problems

Observe = Callable[[Sequence[int]], Mapping[int, Observation]]
"""From domain ids to what has been seen of them; ids that nothing is known of are left out."""

Named = Annotated[
    ExternalId,
    Path(description="What another system calls it, percent-encoded; slashes may stand as such."),
]


def add_single(router: Router, observe: Observe) -> None:
    """Add the routes to a router, those of fixed words first."""

    def answer(
        request: HttpRequest, response: HttpResponse, domain: Domain, *, new: bool = False
    ) -> dict[str, Any]:
        # The tag is of the configuration, and no answer is a 304: the state in it moves on.
        response["ETag"] = entity_tag(domain)
        if new:
            response["Location"] = f"/api/domains/{domain.pk}"
        return domain_out(domain, {} if new else observe([domain.pk]), origin=origin_of(request))

    @router.post(
        "/",
        response={201: DomainOut, **problems(400, 409)},
        operation_id="createDomain",
        summary="Register a domain",
    )
    def create(request: HttpRequest, response: HttpResponse, payload: DomainIn) -> Any:
        """Register a URL to be checked; `name` and `url` are enough. Durable when this answers."""
        domain = services.create_domain(payload.dict(), by=actor_of(request), now=database_now())
        return Status(201, answer(request, response, domain, new=True))

    @router.get(
        "/by-external-id/{path:external_id}",
        response={200: DomainOut, **problems(404)},
        operation_id="getDomainByExternalId",
        summary="Read the domain of an external_id",
    )
    def read_named(request: HttpRequest, response: HttpResponse, external_id: Named) -> Any:
        """Read the domain that another system calls by this name."""
        return answer(request, response, services.get_domain(external_id))

    @router.put(
        "/by-external-id/{path:external_id}",
        response={200: DomainOut, 201: DomainOut, **problems(400, 412)},
        operation_id="putDomainByExternalId",
        summary="Register or replace the domain of an external_id",
    )
    def put(
        request: HttpRequest,
        response: HttpResponse,
        external_id: Named,
        payload: DomainIn,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
    ) -> Any:
        """Make a domain be what is sent, which may be sent again and again.

        Fields left out take their defaults. The mask keeps a stored secret; one sent in plain
        counts as a change. Where nothing differs, nothing is changed: not the version either.
        """
        if payload.external_id not in (None, external_id):
            words = "it must be the one in the address: leave it out"
            raise FieldsRefused([(pointer("external_id"), words)])
        domain, new = services.put_domain(
            external_id,
            payload.dict(),
            by=actor_of(request),
            now=database_now(),
            only=precondition(if_match, if_none_match),
        )
        return Status(201 if new else 200, answer(request, response, domain, new=new))

    @router.get(
        "/{domain_id}",
        response={200: DomainOut, **problems(404)},
        operation_id="getDomain",
        summary="Read a domain",
    )
    def read(request: HttpRequest, response: HttpResponse, domain_id: DomainId) -> Any:
        """Read one domain with its present state and newest result."""
        return answer(request, response, services.get_domain(domain_id))

    @router.patch(
        "/{domain_id}",
        response={200: DomainOut, **problems(400, 404, 409, 412)},
        operation_id="changeDomain",
        summary="Change a domain",
    )
    def change(
        request: HttpRequest,
        response: HttpResponse,
        domain_id: DomainId,
        payload: DomainPatch,
        if_match: IfMatch = None,
    ) -> Any:
        """Change the fields that are sent; a new schedule holds from the next tick on."""
        domain = services.change_domain(
            domain_id,
            payload.dict(exclude_unset=True),
            by=actor_of(request),
            now=database_now(),
            only=precondition(if_match),
        )
        return answer(request, response, domain)

    @router.delete(
        "/{domain_id}",
        response={204: None, **problems(404, 412)},
        operation_id="deleteDomain",
        summary="Delete a domain",
    )
    def delete(request: HttpRequest, domain_id: DomainId, if_match: IfMatch = None) -> Any:
        """Delete a domain; it is not checked any more, and its history can no longer be read."""
        services.delete_domain(
            domain_id, by=actor_of(request), now=database_now(), only=precondition(if_match)
        )
        return Status(204, None)
