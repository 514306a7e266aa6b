"""The Django app."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """Checks, results, history."""

    name = "monitoring"

    def ready(self) -> None:
        """Register the checks on relations between settings."""
        from monitoring import checks  # noqa: F401, PLC0415 - Django's way to register checks
