"""What people do to domains. The only writer of the table."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction

from domains.audit import Actor, Change, record
from domains.models import Domain, Horizon, PastSchedule
from domains.paging import decode_cursor, encode_cursor
from domains.rules import refuse_contradictions, refuse_moved_secrets, secrets_of
from domains.sealing import columns_of
from domains.shown import fields_of, shown

SCHEDULE_FIELDS: Final = frozenset({"interval", "enabled", "locations"})
"""A change of these begins a new schedule; slots before it are not due under it."""

_SCHEDULES: Final = (7, 0)
"""The advisory lock between those who change schedules (shared) and who takes them (alone)."""

_NOTHING_TAKEN: Final = datetime(1970, 1, 1, tzinfo=UTC)


class DomainNotFound(LookupError):  # noqa: N818 - a 404, not a fault
    """There is no domain of that id."""

    def __init__(self, domain_id: int) -> None:
        super().__init__(f"there is no domain {domain_id}")


def create_domain(fields: Mapping[str, Any], *, by: Actor, now: datetime) -> Domain:
    """Register a domain, due from the next tick on; ``fields`` are valid each by itself.

    Raises:
        FieldsRefused: they do not go together.
    """
    columns = columns_of(fields, None)
    domain = Domain(**columns, scheduled_since=now, created_at=now, updated_at=now)
    refuse_contradictions(domain, sent=fields.keys())
    with transaction.atomic():
        domain.scheduled_since = _begin(now)
        domain.save(force_insert=True)
        _record("domain.created", domain.pk, None, shown(domain), by=by, now=now)
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


def change_domain(domain_id: int, fields: Mapping[str, Any], *, by: Actor, now: datetime) -> Domain:
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
            domain.scheduled_since = _end_schedule(domain, now=now)
        url, secrets = domain.url, secrets_of(domain)
        before = shown(domain, fields_of(changed))
        for name in changed:
            setattr(domain, name, columns[name])
        refuse_contradictions(domain, sent=fields.keys())
        refuse_moved_secrets(domain, url=url, secrets=secrets)
        domain.updated_at = now
        domain.save(update_fields=[*changed, "updated_at", "scheduled_since"])
        # A secret that changed looks the same: that it did is recorded, what it was is not.
        after = shown(domain, fields_of(changed))
        _record("domain.changed", domain.pk, before, after, by=by, now=now)
    return domain


def delete_domain(domain_id: int, *, by: Actor, now: datetime) -> None:
    """Delete a domain and its present state; what was due before stays due.

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
        _record("domain.deleted", domain_id, shown(domain), None, by=by, now=now)


def _record(
    action: str,
    domain_id: int,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    by: Actor,
    now: datetime,
) -> None:
    change = Change(
        action=action, object_kind="domain", object_id=domain_id, before=before, after=after
    )
    record([change], by=by, now=now)


def forget_schedules(*, before: datetime) -> None:
    """Delete the past schedules that ended before an instant whose slots nobody asks for."""
    PastSchedule.objects.filter(until__lt=before).delete()


def take_schedules(*, until: datetime) -> datetime:
    """Keep schedules from changing at or before ``until``, now and for good.

    Waits for the changes under way, and lets none begin before the caller's transaction ends:
    what is read in it is what holds, for every slot up to ``until``.

    Returns:
        The instant up to which they had been taken before.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _SCHEDULES)
        before = _horizon()
        cursor.execute(
            "INSERT INTO domains_horizon (id, instant) VALUES (1, %s) ON CONFLICT (id) "
            "DO UPDATE SET instant = greatest(domains_horizon.instant, excluded.instant)",
            [until],
        )
    return before


def _begin(now: datetime) -> datetime:
    """Return the instant at which a change of the open transaction takes effect.

    That is now, unless a sweep has taken the schedules up to a later instant, because it came
    between or because the clock was set back: what it has counted is not changed any more.
    """
    with connection.cursor() as cursor:
        # Sweeps wait for this transaction: it must not outlast a process that hangs.
        cursor.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', '10s', true), "
            "pg_advisory_xact_lock_shared(%s, %s)",
            _SCHEDULES,
        )
    # A statement of its own: one that waited would see what was before.
    return max(now, _horizon() + timedelta(microseconds=1))


def _horizon() -> datetime:
    taken = Horizon.objects.filter(pk=1).values_list("instant", flat=True).first()
    return _NOTHING_TAKEN if taken is None else taken


def _end_schedule(domain: Domain, *, now: datetime) -> datetime:
    """Keep what the domain was due at, for a sweep that has not seen it yet.

    Returns:
        The instant at which it ended: the next one begins there.
    """
    end = max(_begin(now), domain.scheduled_since)
    if domain.enabled and domain.scheduled_since < end:
        PastSchedule.objects.create(
            domain_id=domain.pk,
            interval=domain.interval,
            locations=domain.locations,
            since=domain.scheduled_since,
            until=end,
        )
    return end


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
