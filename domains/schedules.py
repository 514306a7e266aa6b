"""When a change of a schedule takes effect, and what was due before it. See ``PastSchedule``."""

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection

from domains.models import Domain, Horizon, PastSchedule

SCHEDULE_FIELDS: Final = frozenset({"interval", "enabled", "locations"})
"""A change of these begins a new schedule; slots before it are not due under it."""

_SCHEDULES: Final = (7, 0)
"""The advisory lock between those who change schedules (shared) and who takes them (alone)."""

_NOTHING_TAKEN: Final = datetime(1970, 1, 1, tzinfo=UTC)


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


def begin(now: datetime) -> datetime:
    """Return the instant at which changes of the open transaction take effect.

    That is now, unless a sweep has taken the schedules up to a later instant, because it came
    between or because the clock was set back: what it has counted is not changed any more.

    The caller has locked the rows that it changes. A sweep waits for whoever holds this, and
    who comes after the sweep waits for it: to wait for a row here would be to wait in a circle.
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


def ended(domain: Domain, end: datetime) -> PastSchedule | None:
    """Return what a domain was due at until ``end``, for a sweep that has not seen it yet."""
    if not domain.enabled or domain.scheduled_since >= end:
        return None
    return PastSchedule(
        domain_id=domain.pk,
        interval=domain.interval,
        locations=domain.locations,
        since=domain.scheduled_since,
        until=end,
    )
