"""API keys. The key itself is never stored, only its digest."""

from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now

from domains.audit import Actor


class ApiKey(models.Model):
    """A key that opens the API until it expires or is revoked.

    ``prefix`` is the public beginning by which people tell keys apart. ``digest`` is the
    SHA-256 of the whole key: a key is random and long, so a slow hash would add nothing.
    """

    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12)
    digest = models.BinaryField(max_length=32)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager["ApiKey"]] = models.Manager()

    class Meta:
        """One row a key; looked up by digest."""

        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(name="apikey_digest_unique", fields=["digest"]),
            models.UniqueConstraint(
                name="apikey_live_name_unique",
                fields=["name"],
                condition=models.Q(revoked_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def actor(self) -> Actor:
        """Who acts by this key."""
        return Actor("key", self.pk, self.name)
