"""Counts and percentiles over spans, computed from the raw rows."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from monitoring.ledger import COUNTS_BY_STATE
from monitoring.models import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What became of a domain's scheduled slots with start <= slot < end.

    Percentiles are of ``total_us`` over the checks that found the target up or degraded,
    in microseconds, null where there were none.
    """

    start: datetime
    end: datetime
    up: int
    degraded: int
    down: int
    internal: int
    missed: int
    p50_us: int | None
    p90_us: int | None
    p95_us: int | None
    p99_us: int | None

    @property
    def expected(self) -> int:
        """How many slots have their row."""
        return self.up + self.degraded + self.down + self.internal + self.missed

    @property
    def observed(self) -> int:
        """How many checks saw the target."""
        return self.up + self.degraded + self.down

    @property
    def uptime(self) -> float | None:
        """The share of the observed checks that found it up or degraded; null if none did look."""
        return (self.up + self.degraded) / self.observed if self.observed else None

    @property
    def coverage(self) -> float | None:
        """The share of the expected slots that were observed; null if none was due."""
        return self.observed / self.expected if self.expected else None


def span(domain_id: int, start: datetime, end: datetime) -> Span:
    """Return the counts and percentiles of one domain over a span, all locations together."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT {COUNTS_BY_STATE},
                   percentile_disc(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY total_us)
                       FILTER (WHERE state IN ('up', 'degraded'))
            FROM monitoring_result
            WHERE domain_id = %s AND kind = %s AND slot >= %s AND slot < %s
            """,
            [domain_id, Kind.SCHEDULED.value, start, end],
        )
        up, degraded, down, internal, missed, percentiles = cursor.fetchone()
    p50, p90, p95, p99 = percentiles or (None, None, None, None)
    return Span(
        start=start,
        end=end,
        up=up,
        degraded=degraded,
        down=down,
        internal=internal,
        missed=missed,
        p50_us=p50,
        p90_us=p90,
        p95_us=p95,
        p99_us=p99,
    )
