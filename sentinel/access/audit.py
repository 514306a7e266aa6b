"""Reading the audit: newest first, page by page."""

import re
from datetime import datetime
from typing import Final

from domains.audit import AuditEntry
from domains.paging import BadCursor, decode_cursor, encode_cursor

_BY_ID: Final = re.compile(r"(key|user):([0-9]{1,18})")


def page_of_audit(
    *,
    start: datetime | None,
    end: datetime | None,
    actor: str | None,
    action: str | None,
    object_kind: str | None,
    object_id: int | None,
    cursor: str | None,
    limit: int,
) -> tuple[list[AuditEntry], str | None]:
    """Return entries, newest first, and the cursor of the next page, None on the last.

    Args:
        start: the first instant.
        end: the instant to stop before.
        actor: ``key:ID``, ``user:ID``, or the name that an actor had.
        action: such as ``domain.created``.
        object_kind: such as ``domain``.
        object_id: of the object.
        cursor: from the page before.
        limit: how many at the most.

    Raises:
        BadCursor: the cursor is not of this list.
    """
    given = {
        "at__gte": start,
        "at__lt": end,
        "action": action,
        "object_kind": object_kind,
        "object_id": object_id,
        **_of_actor(actor),
    }
    entries = AuditEntry.objects.filter(
        **{name: value for name, value in given.items() if value is not None}
    )
    if cursor is not None:
        entries = entries.extra(where=["(at, id) < (%s, %s)"], params=_place(cursor))
    page = list(entries.order_by("-at", "-id")[: limit + 1])
    if len(page) <= limit:
        return page, None
    last = page[limit - 1]
    return page[:limit], encode_cursor(last.at.isoformat(), last.pk)


def _of_actor(actor: str | None) -> dict[str, str | int | None]:
    if actor is None:
        return {}
    if found := _BY_ID.fullmatch(actor):
        return {"actor_kind": found[1], "actor_id": int(found[2])}
    return {"actor_name": actor}


def _place(cursor: str) -> list[datetime | int]:
    at, last = decode_cursor(cursor, str, int)
    try:
        instant = datetime.fromisoformat(at)
    except ValueError as error:
        raise BadCursor from error
    # PostgreSQL knows no zone far away, and ours are all UTC.
    if instant.utcoffset() or instant.tzinfo is None:
        raise BadCursor
    return [instant, last]
