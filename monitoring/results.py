"""The ledger's rows: ``PackedResult`` as they are stored, ``Result`` as they are read."""

from typing import Any, ClassVar, Final

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast
from django.db.models.lookups import Exact, In, LessThan

from domains.models import Domain
from monitoring.packing import KIND_CHOICES, MANUAL, NOT_UP, VERDICT, VERDICTS, codes_of, stored
from monitoring.probes.outcome import MAX_DETAIL_CHARS
from monitoring.probes.states import State

_VERDICT: Final = F("tls_download").bitrightshift(58).bitand(63)
_START_US: Final = F("start_dns").bitrightshift(26)
_NOTE_TYPE: Final = models.Func(
    Cast("note", models.JSONField()), function="jsonb_typeof", output_field=models.TextField()
)


class PackedResult(models.Model):
    """One row of the ledger as it is stored, append-only: what became of one slot.

    What the words hold is said in ``monitoring.packing``; ``Result`` reads them. The table
    is partitioned by ``slot`` (see ``monitoring.partitions``). The domain is not a foreign
    key: a domain's rows outlive it until retention drops their partition, so the ledger of
    the past still adds up. The columns stand in an order that leaves no gaps.
    """

    pk = models.CompositePrimaryKey("domain_id", "location_id", "slot")
    slot = models.DateTimeField()
    connect_wait = models.BigIntegerField()
    tls_download = models.BigIntegerField()
    start_dns = models.BigIntegerField()
    domain_id = models.IntegerField()
    bytes = models.IntegerField()
    location_id = models.SmallIntegerField()
    ip = models.BinaryField()
    note = models.TextField()

    objects: ClassVar[models.Manager["PackedResult"]] = models.Manager()

    class Meta:
        """The primary key, in this order, serves history; the block ranges serve the ledger."""

        indexes: ClassVar[list[Any]] = [
            # Rows come nearly in the order of their slots: a few bytes for a block range.
            BrinIndex(
                name="packedresult_slot", fields=["slot"], autosummarize=True, pages_per_range=32
            ),
            # Few, wherever most is well. What they are asked for is in the index: a row that is
            # not wanted is not read, and each is on another page of the table.
            models.Index(
                "domain_id",
                "location_id",
                "slot",
                RawSQL(VERDICT, [], models.IntegerField()),  # noqa: S611 - no input
                name="packedresult_by_verdict",
                condition=models.Q(RawSQL(stored(NOT_UP), [], models.BooleanField())),  # noqa: S611
            ),
            models.Index(
                name="packedresult_manual",
                fields=["domain_id", "location_id", "slot"],
                condition=models.Q(RawSQL(stored(MANUAL), [], models.BooleanField())),  # noqa: S611
            ),
        ]
        constraints: ClassVar[list[Any]] = [
            models.CheckConstraint(
                name="packedresult_verdict_known",
                condition=models.Q(LessThan(_VERDICT, len(VERDICTS))),
            ),
            models.CheckConstraint(
                name="packedresult_missed_not_started",
                condition=~models.Q(In(_VERDICT, codes_of([State.MISSED])))
                | models.Q(Exact(_START_US, 0)),
            ),
            models.CheckConstraint(
                name="packedresult_bytes_known", condition=models.Q(bytes__gte=-1)
            ),
            models.CheckConstraint(
                name="packedresult_note_is_json",
                condition=models.Q(note="") | models.Q(Exact(_NOTE_TYPE, "object")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.domain_id} at {self.slot}"


class Result(models.Model):
    """One row of the ledger as it is read: a view of ``PackedResult``.

    All ``*_us`` are integer microseconds, null where a phase was not reached. ``verdict``
    is the stored code of ``state`` and ``reason`` (``packing.VERDICTS``), to count by.
    ``hops`` has one object a request where redirects were followed, and is null where the
    row itself says it all.
    """

    pk = models.CompositePrimaryKey("domain_id", "location_id", "slot")
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
    slot = models.DateTimeField()
    kind = models.CharField(max_length=9, choices=KIND_CHOICES)
    verdict = models.IntegerField()
    started_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=8)
    reason = models.CharField(max_length=20, null=True)  # noqa: DJ001 - null is "none", as in the API
    detail = models.CharField(max_length=MAX_DETAIL_CHARS, default="")
    status_code = models.PositiveSmallIntegerField(null=True)
    ip = models.GenericIPAddressField(null=True)
    dns_us = models.IntegerField(null=True)
    connect_us = models.IntegerField(null=True)
    tls_us = models.IntegerField(null=True)
    wait_us = models.IntegerField(null=True)
    download_us = models.IntegerField(null=True)
    total_us = models.IntegerField(null=True)
    bytes = models.BigIntegerField(null=True)
    redirects = models.PositiveSmallIntegerField(null=True)
    http_version = models.CharField(max_length=3, null=True)  # noqa: DJ001 - null is "no answer"
    hops = models.JSONField(null=True)

    objects: ClassVar[models.Manager["Result"]] = models.Manager()

    class Meta:
        """A view: written through ``monitoring.ledger`` only."""

        managed = False

    def __str__(self) -> str:
        return f"{self.domain_id} at {self.slot}: {self.state}"
