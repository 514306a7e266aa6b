"""The Django app."""

from django.apps import AppConfig


class DomainsConfig(AppConfig):
    """What is watched."""

    name = "domains"
