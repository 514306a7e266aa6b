"""The shape of a domain's history in buckets. No I/O."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from ninja import Schema
from pydantic import ConfigDict, Field, JsonValue

from monitoring.rollups import Latency, Span
from monitoring.tallies import PHASES

COUNTING: Final[Mapping[str, str]] = {
    "expected": "up + degraded + down + internal + missed: the scheduled slots that have their "
    "row; manual checks are not counted",
    "up": "counts for uptime and for coverage",
    "degraded": "up, but slow or with an assertion that failed: counts for uptime and for coverage",
    "down": "counts against uptime, and for coverage",
    "internal": "a fault or a policy of Sentinel's: counts against coverage, and not in uptime",
    "missed": "not run in time: counts against coverage, and not in uptime",
    "uptime": "(up + degraded) / (up + degraded + down); null where nothing was observed",
    "coverage": "(up + degraded + down) / expected; null where nothing was expected",
    "latency": "of the checks that found the target up or degraded, where the phase was reached; "
    "percentiles are at most 2 % off",
}
"""How each count enters uptime and coverage, as every series says."""

_LATENCY: Final[dict[str, JsonValue]] = {
    "count": 12,
    "p50_us": 48213,
    "p90_us": 61044,
    "p95_us": 70310,
    "p99_us": 112087,
    "max_us": 112087,
}


class CountingOut(Schema):
    """How each count of a bucket enters its uptime and coverage, in words."""

    expected: str
    up: str
    degraded: str
    down: str
    internal: str
    missed: str
    uptime: str
    coverage: str
    latency: str


class PhaseLatencyOut(Schema):
    """How long one phase took in microseconds, of the ``count`` checks that reached it."""

    count: int
    p50_us: int
    p90_us: int
    p95_us: int
    p99_us: int
    max_us: int


class PhasesOut(Schema):
    """The whole check and its phases; null where no check reached it."""

    total: PhaseLatencyOut | None
    dns: PhaseLatencyOut | None
    connect: PhaseLatencyOut | None
    tls: PhaseLatencyOut | None
    wait: PhaseLatencyOut | None
    download: PhaseLatencyOut | None


class BucketOut(Schema):
    """What became of the scheduled slots with start <= slot < end.

    ``uptime`` = (up + degraded) / (up + degraded + down), ``coverage`` = (up + degraded +
    down) / expected: what was missed or failed inside Sentinel counts against coverage,
    never for or against uptime. A bucket in which no slot has its row has ``expected`` 0, and
    both are null: a gap.
    """

    start: datetime
    end: datetime
    expected: int
    up: int
    degraded: int
    down: int
    internal: int
    missed: int
    uptime: float | None
    coverage: float | None
    reasons: Annotated[
        dict[str, dict[str, int]],
        Field(description="How many checks ended for each reason, by their state."),
    ]
    latency: PhasesOut


class SeriesOut(Schema):
    """A domain's history in buckets, oldest first; the last may still be filling.

    Buckets lie on multiples of ``step`` since 1970 in UTC: ``from`` was rounded down to one, and
    ``to`` up. ``counting`` says how each state counts.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "domain_id": 1,
                    "step": "5m",
                    "from": "2026-11-23T12:00:00Z",
                    "to": "2026-11-23T12:05:00Z",
                    "counting": dict(COUNTING),
                    "buckets": [
                        {
                            "start": "2026-11-23T12:00:00Z",
                            "end": "2026-11-23T12:05:00Z",
                            "expected": 5,
                            "up": 3,
                            "degraded": 0,
                            "down": 1,
                            "internal": 0,
                            "missed": 1,
                            "uptime": 0.75,
                            "coverage": 0.8,
                            "reasons": {"down": {"timeout": 1}, "missed": {"late": 1}},
                            "latency": {
                                "total": {**_LATENCY, "count": 3},
                                "dns": None,
                                "connect": None,
                                "tls": None,
                                "wait": None,
                                "download": None,
                            },
                        }
                    ],
                }
            ]
        }
    )

    domain_id: int
    step: Literal["1m", "5m", "1h", "1d"]
    start: Annotated[datetime, Field(alias="from")]
    end: Annotated[datetime, Field(alias="to")]
    counting: CountingOut
    buckets: list[BucketOut]


LATENCIES: Final = tuple(PhasesOut.model_fields)
MEASURES: Final = tuple(PhaseLatencyOut.model_fields)
BUCKET_COLUMNS: Final = (
    *(name for name in BucketOut.model_fields if name != "latency"),
    *(f"{phase}_{measure}" for phase in LATENCIES for measure in MEASURES),
)
"""The columns of a bucket as a line: its latencies side by side."""

assert set(LATENCIES) == set(PHASES)
assert tuple(Latency.__annotations__) == MEASURES


def bucket_out(span: Span) -> dict[str, Any]:
    """Return the fields of a ``BucketOut``."""
    reasons: dict[str, dict[str, int]] = {}
    for (state, reason), count in span.reasons.items():
        reasons.setdefault(state, {})[reason] = count
    return {
        "start": span.start,
        "end": span.end,
        "expected": span.expected,
        "up": span.up,
        "degraded": span.degraded,
        "down": span.down,
        "internal": span.internal,
        "missed": span.missed,
        "uptime": span.uptime,
        "coverage": span.coverage,
        "reasons": reasons,
        "latency": {phase: span.phases.get(phase) for phase in LATENCIES},
    }


def bucket_line(bucket: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bucket as one line: BUCKET_COLUMNS, in their order."""
    line = {name: value for name, value in bucket.items() if name != "latency"}
    for phase in LATENCIES:
        found = bucket["latency"][phase] or dict.fromkeys(MEASURES)
        line |= {f"{phase}_{measure}": found[measure] for measure in MEASURES}
    return line
