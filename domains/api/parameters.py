"""What the routes take in their addresses and headers, and whom they act for."""

import re
from dataclasses import replace
from typing import Annotated, Any, Final

from django.http import HttpRequest
from ninja import Header, Path, Query
from pydantic import BeforeValidator

from domains.audit import Actor
from domains.paging import MAX_LIMIT

_NUMBER: Final = re.compile(r"0|-?[1-9][0-9]*")


def _as_it_is_shown(text: Any) -> Any:
    # Pydantic reads 1.0, 1_0 and +1 too: what stands before the API, and whoever reads its log,
    # would take one thing for several, or for another.
    if isinstance(text, str) and not _NUMBER.fullmatch(text):
        raise ValueError("it must be a whole number, as the API shows it")
    return text


AsShown: Final = BeforeValidator(_as_it_is_shown)
"""Of a number in an address: in decimal digits and nothing else, so each has one address."""

DomainId = Annotated[int, AsShown, Path(ge=1, le=2**63 - 1, description="The id of the domain.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at the most.")]
Cursor = Annotated[
    str | None, Query(max_length=500, description="From the `next` link of the page before.")
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=8000,
        description="Carried out only while the ETag is one of these, else 412; `*`: any at all.",
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        max_length=8000,
        description="`*`: carried out only where there is no such domain yet, else 412.",
    ),
]


def next_link(request: HttpRequest, cursor: str | None) -> str | None:
    """Return the address of the page after this one: the same query with another cursor."""
    if cursor is None:
        return None
    query = request.GET.copy()
    query["cursor"] = cursor
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


def origin_of(request: HttpRequest) -> str:
    """Return what the addresses in an answer begin with, such as ``https://sentinel.example``."""
    return request.build_absolute_uri("/").rstrip("/")


def actor_of(request: HttpRequest) -> Actor:
    """Return who does what a request asks for, with the request's id."""
    actor: Actor = request.auth.actor  # type: ignore[attr-defined] # Ninja's
    return replace(actor, request_id=getattr(request, "id", ""))
