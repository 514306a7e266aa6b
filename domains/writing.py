"""The only writer of the table of domains: one change or a thousand, in as many statements.

Changes are thought through in memory, one after another, as if each were made before the next;
then they are written by set. Nothing is written of one that is refused. What holds up the sweeps
comes last: when the schedules begin.
"""

from collections.abc import Collection, Iterable, Mapping
from copy import copy
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Q

from domains.audit import Actor, Change, record
from domains.conflicts import ExternalIdTaken
from domains.endings import at_the_end
from domains.models import Domain
from domains.rules import refuse_contradictions, refuse_moved_secrets, secrets_of
from domains.schedules import SCHEDULE_FIELDS, Turn
from domains.sealing import columns_of
from domains.shown import FIELDS, fields_of, shown

_NAMES: Final = (7, 1)
"""The advisory lock of whoever gives an external_id: that one is free is seen and kept so."""

_MOMENT: Final = timedelta(microseconds=1)


class Writing:
    """Changes of one transaction, which the caller has open, and ends with ``save``.

    Locks are taken in one order, by everyone: ``names``, ``lock``, and the schedules' own.
    """

    def __init__(self, *, by: Actor, now: datetime, dry_run: bool = False) -> None:
        """Begin.

        Args:
            by: who does it.
            now: when.
            dry_run: whether ``save`` writes nothing.
        """
        self._by = by
        self._dry_run = dry_run
        self._now = now
        self._owners: dict[str, int] = {}  # 0: one that is new
        self._turn = Turn(now=now)
        self._created: list[Domain] = []
        self._changed: list[Domain] = []
        self._columns: set[str] = {"version", "updated_at"}
        self._renamed: list[Domain] = []
        self._deleted: list[int] = []
        self._changes: list[tuple[str, Domain, Any, Any]] = []

    def names(self, external_ids: Iterable[str | None]) -> None:
        """Learn who has these external_ids, and keep others from giving any meanwhile."""
        wanted = {external_id for external_id in external_ids if external_id is not None}
        if not wanted:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _NAMES)
        owners = Domain.objects.filter(external_id__in=wanted).values_list("external_id", "pk")
        self._owners |= {name: pk for name, pk in owners if name is not None}

    def lock(
        self, ids: Collection[int], external_ids: Collection[str] = (), *, to_delete: bool = False
    ) -> list[Domain]:
        """Lock those domains that there are; in order of id, as recording and rotation do."""
        rows = Domain.objects.select_for_update(no_key=not to_delete)
        wanted = Q(pk__in=ids) if ids else Q()
        if external_ids:
            wanted |= Q(external_id__in=external_ids)
        locked = list(rows.filter(wanted).order_by("pk")) if wanted else []
        # Whoever had one of these names may have been deleted or renamed while this waited.
        for name in set(external_ids) - {domain.external_id for domain in locked}:
            self._owners.pop(name, None)
        return locked

    def create(self, fields: Mapping[str, Any]) -> Domain:
        """Register a domain, due from the next tick on; ``fields`` are valid each by itself.

        Raises:
            FieldsRefused: they do not go together.
            ExternalIdTaken: another has its external_id.
        """
        columns = columns_of(fields, None)
        now = self._now
        domain = Domain(**columns, scheduled_since=now, created_at=now, updated_at=now)
        refuse_contradictions(domain, sent=fields.keys())
        self._name(None, domain.external_id)
        self._created.append(domain)
        self._changes.append(("domain.created", domain, None, shown(domain)))
        return domain

    def change(self, domain: Domain, fields: Mapping[str, Any]) -> bool:
        """Change the given fields of a locked domain; return whether any of them did change.

        A secret that is sent in plain always does: that it is the stored one is told to nobody.

        Raises:
            FieldsRefused: they do not go together, or not with what is stored.
            ExternalIdTaken: another has its external_id.
        """
        columns = columns_of(fields, domain)
        columns = {name: new for name, new in columns.items() if getattr(domain, name) != new}
        if not columns:
            return False
        after = copy(domain)
        for name, value in columns.items():
            setattr(after, name, value)
        refuse_contradictions(after, sent=fields.keys())
        refuse_moved_secrets(after, url=domain.url, secrets=secrets_of(domain))
        if "external_id" in columns:
            self._name(domain.external_id, after.external_id, domain.pk)
            self._renamed.append(domain)
        if columns.keys() & SCHEDULE_FIELDS:
            self._turn.end(domain)
            columns["scheduled_since"] = max(self._now, domain.scheduled_since)
        fields_changed = fields_of(columns.keys()) & set(FIELDS)
        before = shown(domain, fields_changed)
        for name, value in columns.items():
            setattr(domain, name, value)
        if "scheduled_since" in columns:
            self._turn.begin(domain)
        domain.version += 1
        # Who waited for another's change has the earlier time: versions and times go one way.
        domain.updated_at = max(self._now, domain.updated_at + _MOMENT)
        self._changed.append(domain)
        self._columns |= columns.keys()
        # A secret that changed looks the same: that it did is recorded, what it was is not.
        self._changes.append(("domain.changed", domain, before, shown(domain, fields_changed)))
        return True

    def delete(self, domain: Domain) -> None:
        """Delete a locked domain and its present state; what was due before stays due."""
        self._turn.end(domain)
        self._deleted.append(domain.pk)
        self._changes.append(("domain.deleted", domain, shown(domain), None))

    def save(self) -> None:
        """Write everything down, and who did it."""
        if self._dry_run:
            return
        Domain.objects.bulk_create(self._created)
        for domain in self._created:
            self._turn.begin(domain)
        self._save_changed()
        if self._deleted:
            Domain.objects.filter(pk__in=self._deleted).delete()
        record(
            [
                Change(
                    action=action,
                    object_kind="domain",
                    object_id=domain.pk,
                    before=before,
                    after=after,
                )
                for action, domain, before, after in self._changes
            ],
            by=self._by,
            now=self._now,
        )
        self._turn.write()
        if self._turn:
            at_the_end(self._turn.take)

    def _save_changed(self) -> None:
        if len(self._changed) == 1:
            self._changed[0].save(update_fields=self._columns)
        elif self._changed:
            if self._renamed:
                # Names may go in a circle; row by row the first would meet its next one's.
                renamed = [domain.pk for domain in self._renamed]
                Domain.objects.filter(pk__in=renamed).update(external_id=None)
            # All are locked, so none is inserted: it is the update by set that Django has.
            Domain.objects.bulk_create(
                self._changed,
                update_conflicts=True,
                unique_fields=["pk"],
                update_fields=sorted(self._columns),
            )

    def _name(self, before: str | None, after: str | None, domain_id: int = 0) -> None:
        if after is not None and self._owners.get(after, domain_id or None) != (domain_id or None):
            raise ExternalIdTaken(after)
        if before is not None:
            self._owners.pop(before, None)
        if after is not None:
            self._owners[after] = domain_id
