"""The Django app."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """API keys."""

    name = "sentinel.access"
    label = "access"
