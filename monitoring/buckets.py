"""The tables of roll-ups, and what is known of how far they are.

Raw rows become 5-minute and hourly buckets an hour at a time, hourly ones become daily ones.
``FineBucket`` holds an hour's twelve 5-minute buckets in one row: as rows of their own they
would be thirty million a day with 100,000 domains, each with more around it than in it.
"""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from domains.models import Domain


class _Rolled(models.Model):
    """What became of a domain's slots from one location, from ``start`` on, in UTC.

    As with results, the domain is no foreign key in the database.
    """

    pk = models.CompositePrimaryKey("domain_id", "start", "location_id")
    domain = models.ForeignKey(
        Domain, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    location = models.ForeignKey(
        "monitoring.Location",
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    start = models.DateTimeField()
    packed = models.BinaryField()

    class Meta:
        """Its tables are ``FineBucket``, ``HourBucket`` and ``DayBucket``."""

        abstract = True

    def __str__(self) -> str:
        return f"{self.domain_id} from {self.start}"


class FineBucket(_Rolled):
    """The 5-minute buckets of an hour (``monitoring.fine``). Partitioned by day; kept 90 days."""

    objects: ClassVar[models.Manager["FineBucket"]] = models.Manager()


class _Bucket(_Rolled):
    """``packed`` is a ``monitoring.tallies.Tally``; SQL sums the counts by state in columns."""

    up = models.PositiveIntegerField()
    degraded = models.PositiveIntegerField()
    down = models.PositiveIntegerField()
    internal = models.PositiveIntegerField()
    missed = models.PositiveIntegerField()

    class Meta:
        """Its tables are ``HourBucket`` and ``DayBucket``."""

        abstract = True


class HourBucket(_Bucket):
    """An hour. Partitioned by month; kept two years."""

    objects: ClassVar[models.Manager["HourBucket"]] = models.Manager()


class DayBucket(_Bucket):
    """A day in UTC. Partitioned by year; kept for good, or until its domain has been deleted.

    Nobody waits for that: who deletes domains holds up the sweeps, so it is done behind them
    (``monitoring.bereft``).
    """

    objects: ClassVar[models.Manager["DayBucket"]] = models.Manager()


class Rolled(models.Model):
    """An hour or a day that is being rolled up, or was: then ``next_domain_id`` is null.

    Domains are taken in the order of their ids; ``next_domain_id`` is the first that waits.
    The hours of a day that is done have no row: they are done as well.
    """

    pk = models.CompositePrimaryKey("level", "start")
    level = models.CharField(max_length=4, choices=[("hour", "Hour"), ("day", "Day")])
    start = models.DateTimeField()
    next_domain_id = models.BigIntegerField(null=True)

    objects: ClassVar[models.Manager["Rolled"]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.level} {self.start}: {self.next_domain_id or 'done'}"


class LateSlots(models.Model):
    """Slots of an hour whose rows may come after it was rolled up: to be rolled up again.

    Due at once, or where a batch is named, as soon as that is finished.
    """

    start = models.DateTimeField()
    domain_ids = ArrayField(models.BigIntegerField())
    batch_id = models.BigIntegerField(null=True)

    objects: ClassVar[models.Manager["LateSlots"]] = models.Manager()

    class Meta:
        """One mark a batch."""

        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(name="lateslots_batch_unique", fields=["batch_id"])
        ]

    def __str__(self) -> str:
        return f"{len(self.domain_ids)} domains in the hour from {self.start}"
