"""What people do to domains. The only writer of the table."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from domains.models import Domain, PastSchedule
from domains.paging import decode_cursor, encode_cursor
from domains.rules import refuse_contradictions, refuse_moved_secrets, secrets_of
from domains.sealing import columns_of

SCHEDULE_FIELDS: Final = frozenset({"interval", "enabled", "locations"})
"""A change of these begins a new schedule; slots before it are not due under it."""


class DomainNotFound(LookupError):  # noqa: N818 - a 404, not a fault
    """There is no domain of that id."""

    def __init__(self, domain_id: int) -> None:
        super().__init__(f"there is no domain {domain_id}")


def create_domain(fields: Mapping[str, Any], *, now: datetime) -> Domain:
    """Register a domain, due from ``now`` on; ``fields`` are valid each by itself.

    Raises:
        FieldsRefused: they do not go together.
    """
    columns = columns_of(fields, None)
    domain = Domain(**columns, scheduled_since=now, created_at=now, updated_at=now)
    refuse_contradictions(domain, sent=fields.keys())
    domain.save(force_insert=True)
    return domain


def get_domain(domain_id: int) -> Domain:
    """Return a domain.

    Raises:
        DomainNotFound: there is none.
    """
    domain = Domain.objects.filter(pk=domain_id).first()
    if domain is None:
        raise DomainNotFound(domain_id)
    return domain


def change_domain(domain_id: int, fields: Mapping[str, Any], *, now: datetime) -> Domain:
    """Change the given fields and no others; ``fields`` are valid each by itself.

    Raises:
        DomainNotFound: there is none.
        FieldsRefused: they do not go together, or not with what is stored.
    """
    with transaction.atomic():
        domain = Domain.objects.select_for_update().filter(pk=domain_id).first()
        if domain is None:
            raise DomainNotFound(domain_id)
        columns = columns_of(fields, domain)
        changed = {name for name, value in columns.items() if getattr(domain, name) != value}
        if not changed:
            return domain
        if changed & SCHEDULE_FIELDS:
            _end_schedule(domain, now=now)
            domain.scheduled_since = now
        url, secrets = domain.url, secrets_of(domain)
        for name in changed:
            setattr(domain, name, columns[name])
        refuse_contradictions(domain, sent=fields.keys())
        refuse_moved_secrets(domain, url=url, secrets=secrets)
        domain.updated_at = now
        domain.save(update_fields=[*changed, "updated_at", "scheduled_since"])
    return domain


def delete_domain(domain_id: int, *, now: datetime) -> None:
    """Delete a domain and its present state; what was due before ``now`` stays due.

    Raises:
        DomainNotFound: there is none.
    """
    with transaction.atomic():
        # The domain first, as recording does: in the other order each would wait for the
        # other, or a state would be written under a domain that is going.
        domain = Domain.objects.select_for_update().filter(pk=domain_id).first()
        if domain is None:
            raise DomainNotFound(domain_id)
        _end_schedule(domain, now=now)
        domain.delete()


def forget_schedules(*, before: datetime) -> None:
    """Delete the past schedules that ended before an instant whose slots nobody asks for."""
    PastSchedule.objects.filter(until__lt=before).delete()


def _end_schedule(domain: Domain, *, now: datetime) -> None:
    """Keep what the domain was due at until now, for a sweep that has not seen it yet."""
    if domain.enabled and domain.scheduled_since < now:
        PastSchedule.objects.create(
            domain_id=domain.pk,
            interval=domain.interval,
            locations=domain.locations,
            since=domain.scheduled_since,
            until=now,
        )


def page_of_domains(*, cursor: str | None, limit: int) -> tuple[list[Domain], str | None]:
    """Return domains by id, and the cursor of the next page, None on the last.

    Raises:
        BadCursor: the cursor is not of this list.
    """
    domains = Domain.objects.order_by("pk")
    if cursor is not None:
        (last,) = decode_cursor(cursor, int)
        domains = domains.filter(pk__gt=last)
    page = list(domains[: limit + 1])
    if len(page) <= limit:
        return page, None
    return page[:limit], encode_cursor(page[limit - 1].pk)
