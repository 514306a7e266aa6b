"""What the cluster is doing: batches, ticks, locations, the processes of workers."""

from typing import Any

from django.contrib import admin
from django.db.models import IntegerField
from django.db.models.functions import Cast
from django.http import HttpRequest

from domains.admin import ReadOnlyAdmin
from monitoring.admin.filters import LocationOfRow
from monitoring.models import Batch, Location, Tick, WorkerPulse
from monitoring.packing import Kind

# Said here and not in the model: words of the pages are not worth a migration.
Batch._meta.verbose_name_plural = "batches"


class _Progress(admin.SimpleListFilter):
    title = parameter_name = "progress"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return what can be told by an index."""
        return [("open", "open"), ("finished", "finished")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep what is open, or what is not."""
        value = self.value()
        return queryset if value is None else queryset.filter(finished_at__isnull=value == "open")


class _KindOfBatch(admin.SimpleListFilter):
    title = parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the kinds."""
        return [(kind.value, kind.value) for kind in Kind]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep those of a kind: manual ones have a run, and an index finds them by it."""
        value = self.value()
        if value is None:
            return queryset
        return queryset.filter(run_id__isnull=value != Kind.MANUAL.value)


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    """Batches, newest first."""

    ordering = ("-pk",)
    list_display = (
        *("id", "kind", "location", "slot", "slow", "size", "attempts"),
        *("enqueued_at", "started_at", "lease_until", "finished_at"),
    )
    list_select_related = ("location",)
    list_filter = (_Progress, _KindOfBatch, LocationOfRow)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return batches; the numbers of their domains stay where they are, but for one batch."""
        batches = super().get_queryset(request)
        match = request.resolver_match
        if match is None or not str(match.url_name).endswith("_changelist"):
            return batches
        return batches.defer("domain_ids").annotate(domains=Cast("domain_ids__len", IntegerField()))

    @admin.display(description="domains")
    def size(self, batch: Any) -> int:
        """Return how many domains it has."""
        return int(batch.domains)


@admin.register(Tick)
class TickAdmin(ReadOnlyAdmin):
    """The instants at which the sweep ran."""

    ordering = ("-instant",)
    list_display = ("instant", "swept_at", "expected")


@admin.register(Location)
class LocationAdmin(ReadOnlyAdmin):
    """Where checks run from."""

    ordering = ("name",)
    list_display = ("name", "id")
    search_fields = ("name__startswith",)


@admin.register(WorkerPulse)
class WorkerPulseAdmin(ReadOnlyAdmin):
    """What the processes of workers last said."""

    ordering = ("-seen_at", "process")
    list_display = ("process", "location", "seen_at", "in_flight", "unrecorded", "lag_us")
