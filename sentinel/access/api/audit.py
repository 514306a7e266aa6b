"""The route of the audit."""

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router

from domains.api import Cursor, Limit, next_link
from domains.paging import DEFAULT_LIMIT
from domains.schemas import problems
from monitoring.api.parameters import EmptySpan, From, To
from sentinel.access.audit import page_of_audit
from sentinel.access.authentication import ADMIN_ONLY
from sentinel.access.schemas import EntryPage, entry_out

router = Router(tags=["access"], auth=ADMIN_ONLY)

_WORD = r"^[a-z][a-z_]*$"

ByActor = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=150,
        pattern=r"^[^\x00]+$",
        description="Who did it: `key:ID`, `user:ID`, or the name that they had then.",
    ),
]
OfAction = Annotated[
    str | None,
    Query(max_length=32, pattern=r"^[a-z_]+\.[a-z_]+$", description="Such as `domain.created`."),
]
OfKind = Annotated[
    str | None, Query(max_length=16, pattern=_WORD, description="Such as `domain` or `key`.")
]
OfObject = Annotated[
    int | None, Query(ge=1, le=2**63 - 1, description="The id of what was changed.")
]


@router.get(
    "/",
    response={200: EntryPage, **problems()},
    operation_id="listAuditEntries",
    summary="Read the audit",
)
def page(
    request: HttpRequest,
    start: From = None,
    end: To = None,
    actor: ByActor = None,
    action: OfAction = None,
    object_kind: OfKind = None,
    object_id: OfObject = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Any:
    """Read who changed what, when, and how it was before; newest first. Secrets are masked."""
    if start and end and end <= start:
        raise EmptySpan
    entries, after = page_of_audit(
        start=start,
        end=end,
        actor=actor,
        action=action,
        object_kind=object_kind,
        object_id=object_id,
        cursor=cursor,
        limit=limit,
    )
    return {"items": [entry_out(entry) for entry in entries], "next": next_link(request, after)}
