"""Who changed what, and when: an append-only record of what people do.

A row is written in the transaction of the change, so that neither is ever without the other.
Triggers of the database refuse to change or delete one, and to empty the table, whoever asks. Only
who owns the table can take them away.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: an API key, a user of the web pages, or a command of the operator's.

    ``id`` is the key's or the user's, null for a command; ``name`` is how people know it;
    ``request_id`` that of the request by which it is done, if any.
    """

    kind: str
    id: int | None
    name: str
    request_id: str = ""


OPERATOR: Final = Actor("command", None, "operator")
"""Whoever runs commands where Sentinel runs."""

ACTOR_KINDS: Final = ("key", "user", "command")


class AuditEntry(models.Model):
    """One change: by whom, of what, and its fields before and after.

    ``before`` and ``after`` hold the fields that changed, as the API shows them: secrets are
    masked. ``before`` is null for what was created, ``after`` for what was deleted.
    """

    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=7)
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=150)
    action = models.CharField(max_length=32)
    object_kind = models.CharField(max_length=16)
    object_id = models.BigIntegerField()
    before = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    request_id = models.CharField(max_length=128, default="")

    objects: ClassVar[models.Manager["AuditEntry"]] = models.Manager()

    class Meta:
        """Read newest first, of all or of one object."""

        indexes: ClassVar[list[Any]] = [
            models.Index(name="auditentry_at", fields=["at", "id"]),
            models.Index(name="auditentry_object", fields=["object_kind", "object_id", "id"]),
        ]
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(
                name="auditentry_actor_known", condition=models.Q(actor_kind__in=ACTOR_KINDS)
            ),
            models.CheckConstraint(
                name="auditentry_says_something",
                condition=models.Q(before__isnull=False) | models.Q(after__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_name}: {self.action}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be recorded of one change; see ``AuditEntry``."""

    action: str
    object_kind: str
    object_id: int
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def record(changes: Iterable[Change], *, by: Actor, now: datetime) -> None:
    """Write changes into the open transaction; in one statement however many they are."""
    AuditEntry.objects.bulk_create(
        AuditEntry(
            at=now,
            actor_kind=by.kind,
            actor_id=by.id,
            actor_name=by.name,
            action=change.action,
            object_kind=change.object_kind,
            object_id=change.object_id,
            before=change.before,
            after=change.after,
            request_id=by.request_id,
        )
        for change in changes
    )


def difference(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields that differ, as they were and as they are."""
    names = [name for name in after if name not in before or before[name] != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}
