"""The routes of transitions: of one domain, and of all."""

from datetime import datetime
from typing import Annotated, Any, Final

from django.http import HttpRequest
from ninja import Query, Router

from domains.api import Cursor, DomainId, Limit, next_link
from domains.observations import State
from domains.paging import DEFAULT_LIMIT
from domains.schemas import problems
from domains.services import get_domain
from monitoring import transitions
from monitoring.api.parameters import EmptySpan, From, To, known_locations
from monitoring.probes.states import Reason
from monitoring.schemas.transitions import Order, TransitionPage, transition_out
from monitoring.transitions import Wanted

router = Router(tags=["monitoring"])

Locations = Annotated[
    list[str],
    Query(max_length=100, alias="location", description="Seen from these only; may be repeated."),
]
States = Annotated[
    list[State], Query(max_length=10, alias="state", description="Entered; may be repeated.")
]
Reasons = Annotated[
    list[Reason],
    Query(max_length=100, alias="reason", description="Why it was entered; may be repeated."),
]
Ordered = Annotated[
    Order,
    Query(description="`newest` first by slot, or `oldest` first as a feed to follow."),
]

FEED: Final = """
With `order=newest` they are sorted by slot and `next` is null on the last page. Filters that
leave out thousands in a row make short pages, even empty ones: go on for as long as there is a
`next`.

`order=oldest` is a feed to follow: they come in the order in which they became visible, and
`next` is never null. Ask for it again and again, for as long as you like: each transition comes
exactly once, also those that were recorded late. Where `more` is true, ask for the next page at
once, however few this one has; else nothing more is there yet: wait a few seconds. A check that
ended after a later one puts its changes where its slot is; where it was the first to find what
that one found, the change of the later slot is taken back, and the earlier one comes. Keep the
filters as they are. A cursor of a database that was restored elsewhere is refused (422): begin
anew, with `from`.
"""


@router.get(
    "/transitions",
    response={200: TransitionPage, **problems()},
    operation_id="listAllTransitions",
    summary="List the changes of state of all domains",
    description=f"List when domains changed their state, and why.\n{FEED}",
)
def list_all(
    request: HttpRequest,
    start: From = None,
    end: To = None,
    location: Locations = [],  # noqa: B006 - Ninja makes one a request
    state: States = [],  # noqa: B006
    reason: Reasons = [],  # noqa: B006
    order: Ordered = "newest",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Any:
    """List the transitions of all domains."""
    wanted = _wanted(None, start, end, location, state, reason)
    return _page(request, wanted, order=order, cursor=cursor, limit=limit)


@router.get(
    "/{domain_id}/transitions",
    response={200: TransitionPage, **problems(404)},
    operation_id="listTransitions",
    summary="List a domain's changes of state",
    description=f"List when a domain changed its state, and why.\n{FEED}",
)
def list_of_one(
    request: HttpRequest,
    domain_id: DomainId,
    start: From = None,
    end: To = None,
    location: Locations = [],  # noqa: B006 - Ninja makes one a request
    state: States = [],  # noqa: B006
    reason: Reasons = [],  # noqa: B006
    order: Ordered = "newest",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Any:
    """List the transitions of one domain."""
    get_domain(domain_id)
    wanted = _wanted(domain_id, start, end, location, state, reason)
    return _page(request, wanted, order=order, cursor=cursor, limit=limit)


def _wanted(
    domain_id: int | None,
    start: datetime | None,
    end: datetime | None,
    location: list[str],
    state: list[State],
    reason: list[Reason],
) -> Wanted:
    if start and end and end <= start:
        raise EmptySpan
    return Wanted(
        domain_id=domain_id,
        start=start,
        end=end,
        locations=[place.pk for place in known_locations(location)] if location else [],
        states=state,
        reasons=reason,
    )


def _page(
    request: HttpRequest, wanted: Wanted, *, order: Order, cursor: str | None, limit: int
) -> dict[str, Any]:
    read = transitions.newest if order == "newest" else transitions.feed
    page = read(wanted, cursor=cursor, limit=limit)
    return {
        "items": list(map(transition_out, page.changes)),
        "next": next_link(request, page.after),
        "more": page.more,
    }
