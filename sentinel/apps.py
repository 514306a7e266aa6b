"""The Django app of the composition root."""

from django.apps import AppConfig


class SentinelConfig(AppConfig):
    """Makes Sentinel's Celery application the current one in every Django process."""

    name = "sentinel"

    def ready(self) -> None:
        """Import it: tasks bind to whatever application is current when they are first used."""
        from sentinel import celery  # noqa: F401, PLC0415 - it needs the settings
