"""API keys. The key itself is never stored, only its digest."""

from datetime import datetime
from typing import Any, ClassVar, Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Length, Now
from django.db.models.lookups import Exact

from domains.audit import Actor
from sentinel.access.scopes import SCOPES

MAX_NAME_CHARS: Final = 100
DIGEST_BYTES: Final = 32


class ApiKey(models.Model):
    """A key that opens the API until it expires or is revoked.

    ``prefix`` is by what people tell keys apart, and is no secret. ``digest`` is the
    SHA-256 of the whole key: a key is random and long, so a slow hash would add nothing.
    ``rotated_at`` is when another key took its name, which ends it soon: ``replaces`` of that
    one names it, unless the environment brought it. Revoked is for good.
    """

    name = models.CharField(max_length=MAX_NAME_CHARS)
    prefix = models.CharField(max_length=12)
    digest = models.BinaryField(max_length=DIGEST_BYTES)
    scopes = ArrayField(models.CharField(max_length=5))
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    rotated_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    replaces = models.OneToOneField(
        "self", null=True, on_delete=models.RESTRICT, related_name="replacement"
    )

    objects: ClassVar[models.Manager["ApiKey"]] = models.Manager()

    class Meta:
        """One row a key, looked up by digest; one key a name, but for those on their way out."""

        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(name="apikey_digest_unique", fields=["digest"]),
            models.UniqueConstraint(
                name="apikey_present_name_unique",
                fields=["name"],
                condition=models.Q(revoked_at=None, rotated_at=None),
            ),
            models.CheckConstraint(name="apikey_name_not_empty", condition=~models.Q(name="")),
            models.CheckConstraint(
                name="apikey_digest_whole", condition=Exact(Length("digest"), DIGEST_BYTES)
            ),
            models.CheckConstraint(
                name="apikey_scopes_known",
                condition=models.Q(scopes__len__gte=1, scopes__contained_by=list(SCOPES)),
            ),
            models.CheckConstraint(
                name="apikey_rotated_expires",
                condition=models.Q(rotated_at=None) | models.Q(expires_at__isnull=False),
            ),
            models.CheckConstraint(
                name="apikey_replaces_another",
                condition=models.Q(replaces=None) | ~models.Q(replaces=models.F("id")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def actor(self) -> Actor:
        """Who acts by this key."""
        return Actor("key", self.pk, self.name)

    def state(self, *, now: datetime) -> str:
        """Return ``live``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "live"
