"""Requests that carried an ``Idempotency-Key``, with their answers."""

from typing import Any, ClassVar

from django.db import models


class IdempotentRequest(models.Model):
    """A request that had its effect, and the answer that the same one gets again.

    ``fingerprint`` is the SHA-256 of what was asked. ``sealed_body`` is encrypted
    (``domains.secrets``), since an answer may hold a new API key. The answer is null only
    inside the transaction of the request itself.
    """

    caller = models.CharField(max_length=40)
    key = models.CharField(max_length=200)
    fingerprint = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(null=True)
    sealed_body = models.TextField(null=True)  # noqa: DJ001 - null is "not answered yet"

    objects: ClassVar[models.Manager["IdempotentRequest"]] = models.Manager()

    class Meta:
        """A key is one request of its caller; the index finds those to forget."""

        indexes: ClassVar[list[Any]] = [
            models.Index(name="idempotentrequest_created", fields=["created_at"]),
        ]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                name="idempotentrequest_caller_key_unique", fields=["caller", "key"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.caller}: {self.status} at {self.created_at}"
