"""``/metrics``: the cluster's own health in Prometheus's text format.

Asked of the database, so any API process says the same; kept for some seconds, so that
however many scrape, the database is asked once.
"""

import threading
import time
from collections.abc import Iterator
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from domains.clock import database_now
from monitoring import crew, gauges
from sentinel.access.authentication import KeysDiffer, ways
from sentinel.access.scopes import Scope
from sentinel.throttling import over_quota, stranger

FRESH_SECONDS: Final = 10.0

_STATES: Final = (
    *("expected", "up", "degraded", "down", "internal", "missed", "pending", "unaccounted"),
)


class Cluster(Collector):
    """What is asked of the database at a scrape."""

    def __init__(self) -> None:
        self._hour = gauges.LastHour()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each metric with its samples."""
        now = database_now()
        hour = self._hour.accounts(now=now)
        sums = {state: sum(getattr(minute, state) for minute in hour) for state in _STATES}
        slots = GaugeMetricFamily(
            "sentinel_ledger_slots",
            "Slots of the last 60 whole minutes by what became of them.",
            labels=["state"],
        )
        for state, number in sums.items():
            slots.add_metric([state], number)
        yield slots
        yield GaugeMetricFamily(
            "sentinel_ledger_violations",
            "Slots of the last hour without a row, and rows without a slot. Alert above 0.",
            value=sum(abs(minute.unaccounted) for minute in hour),
        )
        ended = sums["expected"] - sums["pending"]
        if ended:
            yield GaugeMetricFamily(
                "sentinel_ledger_coverage_ratio",
                "The share of the last hour's slots, less the pending, that were observed.",
                value=(sums["up"] + sums["degraded"] + sums["down"]) / ended,
            )
        yield from self._queues(gauges.queues(now=now))
        yield from self._crews(crew.crews(now=now))
        since = gauges.seconds_since_tick(now=now)
        if since is not None:
            yield GaugeMetricFamily(
                "sentinel_last_tick_age_seconds",
                "How far from now the newest tick is that a sweep ran. Alert above 30.",
                value=since,
            )

    @staticmethod
    def _crews(crews: list[crew.Crew]) -> Iterator[GaugeMetricFamily]:
        processes = GaugeMetricFamily(
            "sentinel_worker_processes",
            "Processes that have run a batch and said something in the last 30 s.",
            labels=["location"],
        )
        in_flight = GaugeMetricFamily(
            "sentinel_checks_in_flight", "Checks that workers have in hand.", labels=["location"]
        )
        unrecorded = GaugeMetricFamily(
            "sentinel_unrecorded_batches",
            "Batches that workers have in hand and not recorded whole.",
            labels=["location"],
        )
        lag = GaugeMetricFamily(
            "sentinel_loop_lag_seconds",
            "The longest last turn of a worker's loop while checks waited to begin.",
            labels=["location"],
        )
        for each in crews:
            processes.add_metric([each.location], each.processes)
            in_flight.add_metric([each.location], each.in_flight)
            unrecorded.add_metric([each.location], each.unrecorded)
            lag.add_metric([each.location], each.lag)
        yield from (processes, in_flight, unrecorded, lag)

    @staticmethod
    def _queues(queues: list[gauges.Queue]) -> Iterator[GaugeMetricFamily]:
        labels = ["location", "lane"]
        batches = GaugeMetricFamily(
            "sentinel_open_batches", "Batches not recorded whole.", labels=[*labels, "status"]
        )
        slots = GaugeMetricFamily(
            "sentinel_waiting_slots", "Slots of batches that no worker has taken.", labels=labels
        )
        oldest = GaugeMetricFamily(
            "sentinel_oldest_waiting_batch_seconds",
            "How far the oldest batch that no worker has taken is past its slot.",
            labels=labels,
        )
        for queue in queues:
            place = [queue.location, "slow" if queue.slow else "usual"]
            batches.add_metric([*place, "waiting"], queue.waiting)
            batches.add_metric([*place, "running"], queue.running)
            slots.add_metric(place, queue.waiting_slots)
            oldest.add_metric(place, queue.oldest)
        yield from (batches, slots, oldest)


class Kept:
    """The text of a registry, made anew when it is older than some seconds."""

    def __init__(self, collector: Collector) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)
        self._lock = threading.Lock()
        self._until = 0.0
        self._text = b""

    def text(self) -> bytes:
        """Return the exposition; who comes while it is made waits for it."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._text = generate_latest(self._registry)
                self._until = time.monotonic() + FRESH_SECONDS
            return self._text


_kept: Final = Kept(Cluster())
_ways: Final = ways(Scope.READ)  # which every key has


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape that carries a key, or any where the operator opened it."""
    try:
        if not settings.SENTINEL_METRICS_OPEN and not any(way(request) for way in _ways):
            return stranger(request)
    except KeysDiffer as error:
        return stranger(request, str(error))
    refused = over_quota(request)
    if refused is not None:
        return refused
    return HttpResponse(_kept.text(), content_type=CONTENT_TYPE_LATEST)
