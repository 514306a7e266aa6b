"""The list of domains: filtered, sorted, in pages that stay right while domains come and go."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from django.db.models import F, Func, Lookup, Q, TextField, Value
from django.db.models.lookups import GreaterThan, LessThan

from domains.models import Domain
from domains.paging import BadCursor, decode_cursor, encode_cursor

SORTS: Final = MappingProxyType(
    {
        "id": int,
        "name": str,
        "url": str,
        "interval": int,
        "created_at": datetime,
        "updated_at": datetime,
    }
)
"""What may be sorted by, and what it is; the id is always the last key, so that none is equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a domain must have to be listed; None and nothing ask for nothing.

    ``tags`` must all be there, ``states`` may be any of them; ``q`` is looked for in name and URL.
    """

    tags: Sequence[str] = ()
    group: str | None = None
    states: Sequence[str] = ()
    q: str | None = None
    enabled: bool | None = None
    location: str | None = None
    external_id: str | None = None

    def condition(self) -> Q:
        """Return all of it but ``states``, which domains know nothing of."""
        wanted = Q()
        if self.tags:
            wanted &= Q(tags__contains=list(self.tags))
        if self.group is not None:
            wanted &= Q(group=self.group)
        if self.q:
            wanted &= Q(name__icontains=self.q) | Q(url__icontains=self.q)
        if self.enabled is not None:
            wanted &= Q(enabled=self.enabled)
        if self.location is not None:
            wanted &= Q(locations__contains=[self.location])
        if self.external_id is not None:
            wanted &= Q(external_id=self.external_id)
        return wanted


def page_of_domains(
    *, cursor: str | None, limit: int, sort: str, filters: Filters, of_states: Q
) -> tuple[list[Domain], str | None]:
    """Return a page of domains, and the cursor of the next, None on the last.

    Args:
        cursor: from the page before; it names the last domain there by its sort keys.
        limit: how many at the most.
        sort: one of ``SORTS``, with a hyphen before it from the last to the first.
        filters: which of them.
        of_states: what the states in ``filters`` ask of a domain.

    Raises:
        BadCursor: the cursor is not of this list, sorted and filtered like this.
    """
    name = sort.removeprefix("-")
    backwards = "-" if sort.startswith("-") else ""
    order = [backwards + "pk"] if name == "id" else [backwards + name, backwards + "pk"]
    query = _fingerprint(sort, filters)
    domains = Domain.objects.filter(filters.condition(), of_states).order_by(*order)
    if cursor is not None:
        domains = domains.filter(_after(cursor, query, name, "lt" if backwards else "gt"))
    page = list(domains[: limit + 1])
    if len(page) <= limit:
        return page, None
    last = page[limit - 1]
    return page[:limit], encode_cursor(query, *_key(last, name), last.pk)


def _fingerprint(sort: str, filters: Filters) -> str:
    """Return what tells the cursors of one list from those of another."""
    asked = {name: value for name, value in asdict(filters).items() if value not in ((), [], None)}
    text = json.dumps([sort, asked], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _key(domain: Domain, name: str) -> list[str | int]:
    if name == "id":
        return []
    value: Any = getattr(domain, name)
    return [value.isoformat() if isinstance(value, datetime) else value]


def _after(cursor: str, query: str, name: str, beyond: str) -> "Q | Lookup[bool]":
    """Return the condition for what comes after a cursor's row in a list."""
    kind = SORTS[name]
    kinds = [] if name == "id" else [str if kind is datetime else kind]
    made_for, *key, last = decode_cursor(cursor, str, *kinds, int)
    if made_for != query:
        raise BadCursor
    if not key:
        return Q(**{f"pk__{beyond}": last})
    (value,) = key
    if kind is datetime:
        value = _instant(value)
    # As one row: an index goes straight to it, past all that are equal in the first key.
    compare = GreaterThan if beyond == "gt" else LessThan
    row = partial(Func, function="ROW", output_field=TextField())
    return compare(row(F(name), F("pk")), row(Value(value), Value(last)))


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise BadCursor
        return instant.astimezone(UTC)  # PostgreSQL knows fewer offsets
    except (ValueError, OverflowError) as error:
        raise BadCursor from error
