"""What the cluster writes beside results and roll-ups: Location, Batch, DomainState and more."""

from typing import Any, ClassVar, Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Func
from django.db.models.functions import Now

from domains.models import Domain
from monitoring import buckets, results  # noqa: F401 - their tables, which Django looks for here
from monitoring.packing import KIND_CHOICES, Kind
from monitoring.probes.outcome import MAX_DETAIL_CHARS
from monitoring.probes.states import State

STATES: Final = [state.value for state in State]


class Location(models.Model):
    """Where checks run from; its workers consume the queue ``probe.<name>``."""

    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=32)

    objects: ClassVar[models.Manager["Location"]] = models.Manager()

    class Meta:
        """A name is one place."""

        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(name="location_name_unique", fields=["name"])
        ]

    def __str__(self) -> str:
        return self.name


class Tick(models.Model):
    """An instant at which the sweep runs; the insert decides which of several sweeps does.

    ``expected`` is how many slots were due at it, the independent side of the ledger's
    equation; null while an old tick waits to have its slots recorded as missed.
    """

    instant = models.DateTimeField(primary_key=True)
    swept_at = models.DateTimeField()
    expected = models.PositiveIntegerField(null=True)

    objects: ClassVar[models.Manager["Tick"]] = models.Manager()

    class Meta:
        """The index finds the ticks that wait for their missed rows."""

        indexes: ClassVar[list[Any]] = [
            models.Index(
                name="tick_unsettled", fields=["instant"], condition=models.Q(expected=None)
            )
        ]

    def __str__(self) -> str:
        return self.instant.isoformat()


class Batch(models.Model):
    """A durable list of domains to check at one slot from one location.

    The row is the truth, the Redis message a hint that carries its id. A check of it is
    not started after ``expires_at``. ``slow`` is its lane: domains whose last check took long
    travel together. Until ``lease_until``, which its worker moves on while it lives, a batch
    that was started is left to it.
    """

    kind = models.CharField(max_length=9, choices=KIND_CHOICES)
    location = models.ForeignKey(Location, on_delete=models.PROTECT)
    slot = models.DateTimeField()
    expires_at = models.DateTimeField()
    domain_ids = ArrayField(models.BigIntegerField())
    # Defaults in the database too: a sweep of the version before goes on while this one starts.
    slow = models.BooleanField(default=False, db_default=False)
    run_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    enqueued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    objects: ClassVar[models.Manager["Batch"]] = models.Manager()

    class Meta:
        """Indexes: what is open, and the batches of one manual run."""

        indexes: ClassVar[list[Any]] = [
            models.Index(name="batch_open", fields=["slot"], condition=models.Q(finished_at=None)),
            models.Index(
                name="batch_run", fields=["run_id"], condition=models.Q(run_id__isnull=False)
            ),
            models.Index(name="batch_finished", fields=["finished_at"]),
        ]
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(
                name="batch_kind_known", condition=models.Q(kind__in=list(Kind))
            ),
            models.CheckConstraint(
                name="batch_not_empty", condition=models.Q(domain_ids__len__gte=1)
            ),
            models.CheckConstraint(
                name="batch_manual_has_run",
                condition=models.Q(kind=Kind.MANUAL, run_id__isnull=False)
                | models.Q(kind=Kind.SCHEDULED, run_id=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} batch {self.pk}: {len(self.domain_ids)} domains at {self.slot}"


class DomainState(models.Model):
    """The present state of a domain as seen from one location. Written by recording only.

    ``tls_expires_at`` and ``certificate`` are what the target last showed of itself, null
    where it never did; they change without the state. So does ``slow``: its last check took
    so long that the next ones go in the slow lane.
    """

    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="states")
    location = models.ForeignKey(Location, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8)
    since = models.DateTimeField()
    slot = models.DateTimeField()
    tls_expires_at = models.DateTimeField(null=True)
    certificate = models.JSONField(null=True)
    slow = models.BooleanField(default=False, db_default=False)

    objects: ClassVar[models.Manager["DomainState"]] = models.Manager()

    class Meta:
        """One state a domain and location; the indexes find the slow ones, and who is not up."""

        indexes: ClassVar[list[Any]] = [
            models.Index(
                name="domainstate_slow",
                fields=["domain", "location"],
                condition=models.Q(slow=True),
            ),
            # Of the few: what is up, which is most, need not be in it.
            models.Index(
                name="domainstate_not_up",
                fields=["state", "domain"],
                condition=~models.Q(state=State.UP.value),
            ),
        ]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                name="domainstate_domain_location_unique", fields=["domain", "location"]
            ),
            models.CheckConstraint(
                name="domainstate_state_known",
                condition=models.Q(state__in=[s for s in STATES if s != State.MISSED.value]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.domain_id}: {self.state} since {self.since}"


class Transition(models.Model):
    """One change of what a location saw of a domain, by slot.

    They are what a replay of the rows gives: one that comes late adds its own, and may correct or
    take back the one after it (``monitoring.hindsight``).

    The domain is no foreign key in the database: who deletes one waits for no million rows, which
    retention deletes in pieces. ``txid`` is the transaction that wrote the row, 0 where that is
    not known: ``monitoring.transitions`` says what it is for.
    """

    domain = models.ForeignKey(
        Domain, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    location = models.ForeignKey(
        Location, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    slot = models.DateTimeField()
    from_state = models.CharField(max_length=8, null=True)  # noqa: DJ001 - null before the first result
    to_state = models.CharField(max_length=8)
    reason = models.CharField(max_length=20, null=True)  # noqa: DJ001 - null is "none", as in the API
    detail = models.CharField(max_length=MAX_DETAIL_CHARS, default="")
    txid = models.BigIntegerField(
        db_default=Func(
            template="pg_current_xact_id()::text::bigint", output_field=models.BigIntegerField()
        )
    )

    objects: ClassVar[models.Manager["Transition"]] = models.Manager()

    class Meta:
        """A slot changes a state at most once; the indexes are the orders of the lists."""

        indexes: ClassVar[list[Any]] = [
            models.Index(name="transition_by_slot", fields=["slot", "id"]),
            models.Index(name="transition_feed", fields=["txid", "id"]),
            models.Index(name="transition_domain_feed", fields=["domain", "txid", "id"]),
        ]

        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                name="transition_domain_location_slot_unique",
                fields=["domain", "location", "slot"],
            ),
            models.CheckConstraint(
                name="transition_states_known",
                condition=models.Q(to_state__in=STATES)
                & (models.Q(from_state=None) | models.Q(from_state__in=STATES)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.domain_id}: {self.from_state} -> {self.to_state} at {self.slot}"


class WorkerPulse(models.Model):
    """What a process of a worker last said of itself, every few seconds while it lives.

    ``lag_us`` is how long the last turn of its loop took while checks waited to begin;
    ``in_flight`` counts checks begun and not yet handed over, ``unrecorded`` batches not whole.
    """

    process = models.CharField(max_length=300, primary_key=True)
    location = models.CharField(max_length=32)
    seen_at = models.DateTimeField()
    in_flight = models.PositiveIntegerField()
    unrecorded = models.PositiveIntegerField()
    lag_us = models.PositiveBigIntegerField()

    objects: ClassVar[models.Manager["WorkerPulse"]] = models.Manager()

    def __str__(self) -> str:
        return self.process
