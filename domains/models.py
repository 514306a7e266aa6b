"""What is watched, as people wrote it. Workers never write here."""

from typing import Any, ClassVar, Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F
from django.db.models.functions import Mod, Now
from django.db.models.lookups import Exact

from domains import audit  # noqa: F401 - its table, which Django looks for here
from domains.request import BODILESS_METHODS, MASK

METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
MIN_INTERVAL: Final = 5
MAX_INTERVAL: Final = 86_400
INTERVAL_STEP: Final = 5
MIN_TIMEOUT: Final = 1
MAX_TIMEOUT: Final = 60
MIN_DEGRADED_AFTER: Final = 0.001
PHASE_FACTOR: Final = 2_654_435_761
"""Knuth's multiplicative hash: spreads ids that follow each other over the interval."""
IP_VERSIONS: Final = ("both", "ipv4", "ipv6")


def default_locations() -> list[str]:
    """Return where a domain is checked from unless it says otherwise."""
    return [settings.SENTINEL_LOCATION]


class Domain(models.Model):
    """A watched web service: name, URL and how to check it.

    ``interval`` and ``timeout`` are seconds. ``scheduled_since`` is the instant from which
    the present schedule holds: slots before it are not due. ``phase`` is the offset of the
    regular slots within the interval, in seconds: stored, so that a tick finds by an index
    what is due at it (``monitoring.schedule`` says the same in Python). ``external_id`` is what
    another system calls it; ``version`` counts the changes.

    What is named ``sealed_…`` is encrypted (``domains.secrets``): ``sealed_headers`` a list
    of [name, sealed value], ``sealed_credential`` the password or token of ``auth_type``.
    The properties show them as people may see them, with a mask in place of each secret.
    """

    external_id = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null is "none"
    name = models.CharField(max_length=200)
    url = models.CharField(max_length=2048)
    method = models.CharField(max_length=7, default="GET")
    interval = models.PositiveIntegerField(default=60)
    timeout = models.PositiveSmallIntegerField(default=10)
    expected_status = models.CharField(max_length=200, default="200-299")
    follow_redirects = models.BooleanField(default=True)
    verify_tls = models.BooleanField(default=True)
    # Defaults in the database too: an API of the version before goes on while this one starts.
    http2 = models.BooleanField(default=False, db_default=False)
    ip_version = models.CharField(max_length=4, default="both", db_default="both")
    sealed_headers = models.JSONField(default=list, db_default=[])
    sealed_body = models.TextField(null=True)  # noqa: DJ001 - null is "none", as in the API
    body_is_json = models.BooleanField(default=False, db_default=False)
    auth_type = models.CharField(max_length=6, null=True)  # noqa: DJ001 - null is "none"
    auth_username = models.CharField(max_length=200, null=True)  # noqa: DJ001 - a bearer has none
    sealed_credential = models.TextField(null=True)  # noqa: DJ001 - null is "none"
    degraded_after_us = models.PositiveIntegerField(null=True)
    assertions = models.JSONField(default=list, db_default=[])
    locations = ArrayField(models.CharField(max_length=32), default=default_locations)
    group = models.CharField(max_length=100, null=True)  # noqa: DJ001 - null is "none"
    tags = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    enabled = models.BooleanField(default=True)
    scheduled_since = models.DateTimeField()
    phase = models.GeneratedField(
        expression=(F("id") * PHASE_FACTOR % 2**32).bitrightshift(8)
        % (F("interval") / INTERVAL_STEP)
        * INTERVAL_STEP,
        output_field=models.IntegerField(),
        db_persist=True,
    )
    version = models.PositiveIntegerField(default=1, db_default=1)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[models.Manager["Domain"]] = models.Manager()

    class Meta:
        """The database says what is true; the indexes find what is due at a tick, and lists.

        Text in the middle of names and URLs has no index: 100,000 domains are read through in a
        tenth of a second, and one of trigrams needs an extension that not every database has.
        """

        indexes: ClassVar[list[Any]] = [
            # With all that a tick asks for, so that it need not read the domains themselves.
            models.Index(
                name="domain_due",
                fields=["interval", "phase"],
                include=["id", "locations", "scheduled_since"],
                condition=models.Q(enabled=True),
            ),
            models.Index(
                name="domain_new", fields=["scheduled_since"], condition=models.Q(enabled=True)
            ),
            # What lists are sorted by, each with the last key that makes it unique.
            models.Index(name="domain_by_name", fields=["name", "id"]),
            models.Index(name="domain_by_url", fields=["url", "id"]),
            models.Index(name="domain_by_interval", fields=["interval", "id"]),
            models.Index(name="domain_by_creation", fields=["created_at", "id"]),
            models.Index(name="domain_by_change", fields=["updated_at", "id"]),
            models.Index(
                name="domain_of_group",
                fields=["group", "id"],
                condition=models.Q(group__isnull=False),
            ),
            # Of the few: what is not paused need not be in it.
            models.Index(name="domain_paused", fields=["id"], condition=models.Q(enabled=False)),
            GinIndex(name="domain_tags_locations", fields=["tags", "locations"]),
        ]
        constraints: ClassVar[list[Any]] = [
            # Of those that have one: a key that rows could refer to would be locked by a rename,
            # and recording would wait for it.
            models.UniqueConstraint(
                name="domain_external_id_unique",
                fields=["external_id"],
                condition=models.Q(external_id__isnull=False),
            ),
            models.CheckConstraint(
                name="domain_external_id_not_empty", condition=~models.Q(external_id="")
            ),
            models.CheckConstraint(name="domain_group_not_empty", condition=~models.Q(group="")),
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
            models.CheckConstraint(
                name="domain_ip_version_known", condition=models.Q(ip_version__in=IP_VERSIONS)
            ),
            models.CheckConstraint(
                name="domain_body_fits_method",
                condition=models.Q(sealed_body=None) | ~models.Q(method__in=BODILESS_METHODS),
            ),
            models.CheckConstraint(
                name="domain_body_is_json_of_a_body",
                condition=models.Q(sealed_body__isnull=False) | models.Q(body_is_json=False),
            ),
            models.CheckConstraint(
                name="domain_auth_whole",
                # A check constraint passes on NULL, so "not null" has to be said.
                condition=models.Q(auth_type=None, auth_username=None, sealed_credential=None)
                | models.Q(
                    auth_type__isnull=False,
                    auth_type="basic",
                    auth_username__isnull=False,
                    sealed_credential__isnull=False,
                )
                | models.Q(
                    auth_type__isnull=False,
                    auth_type="bearer",
                    auth_username=None,
                    sealed_credential__isnull=False,
                ),
            ),
            models.CheckConstraint(
                name="domain_degraded_after_range",
                condition=models.Q(
                    degraded_after_us__gte=1000,
                    degraded_after_us__lt=models.F("timeout") * models.Value(1_000_000),
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.url}>"

    @property
    def headers(self) -> dict[str, str]:
        """The names of the header fields that are sent, each with the mask."""
        return {name: MASK for name, _ in self.sealed_headers}

    @property
    def body(self) -> str | None:
        """The mask, where a body is sent."""
        return None if self.sealed_body is None else MASK

    @property
    def auth(self) -> dict[str, str] | None:
        """How the request is authenticated, the secret masked."""
        match self.auth_type:
            case "basic":
                return {"type": "basic", "username": self.auth_username or "", "password": MASK}
            case "bearer":
                return {"type": "bearer", "token": MASK}
        return None

    @property
    def degraded_after(self) -> float | None:
        """Seconds past which up is degraded."""
        return None if self.degraded_after_us is None else self.degraded_after_us / 1_000_000


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
        """Sweeps ask for those that ended lately, incidents for those of a domain."""

        indexes: ClassVar[list[Any]] = [
            models.Index(name="pastschedule_until", fields=["until"]),
            models.Index(name="pastschedule_domain", fields=["domain_id", "since"]),
        ]

    def __str__(self) -> str:
        return f"{self.domain_id}: every {self.interval} s from {self.since} to {self.until}"


class Horizon(models.Model):
    """Up to which instant schedules have been taken: one row, which each sweep moves on.

    A change begins after it, never at a slot that a sweep has counted already.
    """

    instant = models.DateTimeField()

    objects: ClassVar[models.Manager["Horizon"]] = models.Manager()

    def __str__(self) -> str:
        return f"schedules are taken up to {self.instant}"
