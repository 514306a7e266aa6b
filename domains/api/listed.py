"""The route of the list of domains."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from django.db.models import Q
from django.http import HttpRequest
from ninja import Query, Router
from pydantic import AfterValidator

from domains import listing
from domains.api.parameters import Limit, next_link, origin_of
from domains.api.single import Observe
from domains.fields import storable
from domains.listing import Filters
from domains.paging import DEFAULT_LIMIT
from domains.schemas import DomainPage, domain_out, problems

OfStates = Callable[[Sequence[str]], Q]
"""From states (or "unknown") to what is asked of a ``Domain`` that is in any of them."""

Text = Annotated[str, AfterValidator(storable)]
Tag = Annotated[
    list[Text], Query(max_length=50, description="Has this tag; given repeatedly: all of them.")
]
Group = Annotated[Text | None, Query(max_length=100, description="Is of this group.")]
InState = Annotated[
    list[Literal["up", "degraded", "down", "internal", "unknown"]],
    Query(
        max_length=5,
        description=(
            "Is in this state, the worst over its locations; `unknown` was not checked yet. "
            "Given repeatedly: in any of them."
        ),
    ),
]
Words = Annotated[
    Text | None,
    Query(max_length=200, description="Has this text in its name or URL, in any case of letters."),
]
Enabled = Annotated[bool | None, Query(description="Is enabled, or is not.")]
AtLocation = Annotated[
    Text | None, Query(max_length=32, description="Is checked from this location.")
]
ExternalId = Annotated[Text | None, Query(max_length=200, description="Has this external_id.")]
Sort = Annotated[
    Literal[
        "id", "name", "url", "interval", "created_at", "updated_at",
        "-id", "-name", "-url", "-interval", "-created_at", "-updated_at",
    ],
    Query(description="The order; with a hyphen from the last to the first."),
]  # fmt: skip
ListCursor = Annotated[
    str | None,
    # The last URL of a page may be in it.
    Query(
        max_length=3500,
        description="From the `next` link of the page before; it holds for the same query only.",
    ),
]


def add_list(router: Router, observe: Observe, of_states: OfStates) -> None:
    """Add the route to a router."""

    @router.get(
        "/",
        response={200: DomainPage, **problems()},
        operation_id="listDomains",
        summary="List the domains",
    )
    def page(
        request: HttpRequest,
        tag: Tag = [],  # noqa: B006 - Ninja copies it
        group: Group = None,
        state: InState = [],  # noqa: B006 - Ninja copies it
        q: Words = None,
        enabled: Enabled = None,
        location: AtLocation = None,
        external_id: ExternalId = None,
        sort: Sort = "id",
        limit: Limit = DEFAULT_LIMIT,
        cursor: ListCursor = None,
    ) -> Any:
        """List the domains that all filters hold for, with their present state."""
        domains, after = listing.page_of_domains(
            cursor=cursor,
            limit=limit,
            sort=sort,
            filters=Filters(
                tags=tag,
                group=group,
                states=sorted(set(state)),
                q=q,
                enabled=enabled,
                location=location,
                external_id=external_id,
            ),
            of_states=of_states(sorted(set(state))) if state else Q(),
        )
        seen = observe([domain.pk for domain in domains])
        origin = origin_of(request)
        return {
            "items": [domain_out(domain, seen, origin=origin) for domain in domains],
            "next": next_link(request, after),
        }
