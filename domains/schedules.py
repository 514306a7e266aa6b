"""When a change of a schedule takes effect, and what was due before it. See ``PastSchedule``."""

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection
from django.db.models import Exists, OuterRef, Value
from django.db.models.functions import Greatest

from domains.models import Domain, Horizon, PastSchedule

SCHEDULE_FIELDS: Final = frozenset({"interval", "enabled", "locations"})
"""A change of these begins a new schedule; slots before it are not due under it."""

_SCHEDULES: Final = (7, 0)
"""The advisory lock between those who change schedules (shared) and who takes them (alone)."""

_NOTHING_TAKEN: Final = datetime(1970, 1, 1, tzinfo=UTC)


def forget_schedules(*, before: datetime) -> None:
    """Delete the past schedules that ended before an instant whose slots nobody asks for.

    The last of a domain stays where none had begun again by then: that it was paused is known by
    that alone, however long ago it was.
    """
    domain = Domain.objects.filter(pk=OuterRef("domain_id"))
    present = domain.filter(scheduled_since__gte=OuterRef("until"), scheduled_since__lte=before)
    later = PastSchedule.objects.filter(
        domain_id=OuterRef("domain_id"), since__gte=OuterRef("until"), since__lte=before
    )
    PastSchedule.objects.filter(
        Exists(later) | Exists(present) | ~Exists(domain), until__lt=before
    ).delete()


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


class Turn:
    """Schedules that end and begin in one transaction, at one instant.

    It is ``now``, and all is written as such, unless ``take`` finds that a sweep has come
    between. From there on sweeps wait until the transaction ends: so it comes last of all.
    """

    def __init__(self, *, now: datetime) -> None:
        """Begin with none; ``now`` is the earliest that the instant can be."""
        self._now = now
        self._ended: list[PastSchedule] = []
        self._begun: list[Domain] = []

    def __bool__(self) -> bool:
        """Return whether any schedule ends or begins."""
        return bool(self._ended or self._begun)

    def end(self, domain: Domain) -> None:
        """End the schedule that a locked domain has, for a sweep that has not seen it yet."""
        if domain.enabled:
            self._ended.append(
                PastSchedule(
                    domain_id=domain.pk,
                    interval=domain.interval,
                    locations=domain.locations,
                    since=domain.scheduled_since,
                    until=self._now,
                )
            )

    def begin(self, domain: Domain) -> None:
        """Have a schedule begin; the row is written with ``now``, or what it had if later."""
        self._begun.append(domain)

    def write(self) -> None:
        """Write down what was due under the schedules that end."""
        PastSchedule.objects.bulk_create(each for each in self._ended if each.since < each.until)

    def take(self) -> None:
        """Take the instant, and correct what is written where it is not ``now``.

        The caller's transaction has locked the rows or made them, and waits for nothing after
        this. A sweep waits for whoever holds this, and who comes after the sweep waits for it:
        to wait for a row here would be to wait in a circle.
        """
        instant = _instant_of_change(self._now)
        if instant == self._now:
            return
        for domain in self._begun:
            domain.scheduled_since = max(instant, domain.scheduled_since)
        Domain.objects.filter(pk__in=[domain.pk for domain in self._begun]).update(
            scheduled_since=Greatest("scheduled_since", Value(instant))
        )
        written = [past.pk for past in self._ended if past.since < self._now]
        PastSchedule.objects.filter(pk__in=written).update(until=instant)
        late = [past for past in self._ended if self._now <= past.since < instant]
        for past in late:
            past.until = instant
        PastSchedule.objects.bulk_create(late)


def _instant_of_change(now: datetime) -> datetime:
    """Return the instant at which changes of the open transaction take effect.

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
