"""The Django app."""

from django.apps import AppConfig


class IdempotencyConfig(AppConfig):
    """Requests that may be sent again."""

    name = "sentinel.idempotency"
    label = "idempotency"
