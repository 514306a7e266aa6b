"""What is watched, as people wrote it. Workers never write here."""

from typing import Any, ClassVar, Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Mod, Now
from django.db.models.lookups import Exact

METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
MIN_INTERVAL: Final = 5
MAX_INTERVAL: Final = 86_400
INTERVAL_STEP: Final = 5
MIN_TIMEOUT: Final = 1
MAX_TIMEOUT: Final = 60


def default_locations() -> list[str]:
    """Return where a domain is checked from unless it says otherwise."""
    return [settings.SENTINEL_LOCATION]


class Domain(models.Model):
    """A watched web service: name, URL and how to check it.

    ``interval`` and ``timeout`` are seconds. ``scheduled_since`` is the instant from which
    the present schedule holds: slots before it are not due.
    """

    name = models.CharField(max_length=200)
    url = models.CharField(max_length=2048)
    method = models.CharField(max_length=7, default="GET")
    interval = models.PositiveIntegerField(default=60)
    timeout = models.PositiveSmallIntegerField(default=10)
    expected_status = models.CharField(max_length=200, default="200-299")
    follow_redirects = models.BooleanField(default=True)
    verify_tls = models.BooleanField(default=True)
    locations = ArrayField(models.CharField(max_length=32), default=default_locations)
    tags = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    enabled = models.BooleanField(default=True)
    scheduled_since = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[models.Manager["Domain"]] = models.Manager()

    class Meta:
        """The database says what is true."""

        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(name="domain_name_not_empty", condition=~models.Q(name="")),
            models.CheckConstraint(
                name="domain_url_http", condition=models.Q(url__regex=r"^https?://[^/?#@]+/")
            ),
            models.CheckConstraint(
                name="domain_method_known", condition=models.Q(method__in=METHODS)
            ),
            models.CheckConstraint(
                name="domain_interval_range",
                condition=models.Q(interval__range=(MIN_INTERVAL, MAX_INTERVAL)),
            ),
            models.CheckConstraint(
                name="domain_interval_on_tick",
                condition=models.Q(Exact(Mod("interval", INTERVAL_STEP), 0)),
            ),
            models.CheckConstraint(
                name="domain_timeout_range",
                condition=models.Q(timeout__range=(MIN_TIMEOUT, MAX_TIMEOUT)),
            ),
            models.CheckConstraint(
                name="domain_locations_not_empty",
                condition=models.Q(locations__len__gte=1),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.url}>"


class PastSchedule(models.Model):
    """A schedule that held from ``since`` until before ``until``, and was then changed or ended.

    A sweep that is late finds here what was due before the change. There is no foreign
    key: the slots of a deleted domain are accounted for as well.
    """

    domain_id = models.BigIntegerField()
    interval = models.PositiveIntegerField()
    locations = ArrayField(models.CharField(max_length=32))
    since = models.DateTimeField()
    until = models.DateTimeField()

    objects: ClassVar[models.Manager["PastSchedule"]] = models.Manager()

    class Meta:
        """Sweeps ask for those that ended lately."""

        indexes: ClassVar[list[Any]] = [
            models.Index(name="pastschedule_until", fields=["until"]),
        ]

    def __str__(self) -> str:
        return f"{self.domain_id}: every {self.interval} s from {self.since} to {self.until}"
