"""The shape of a summary. No I/O."""

from datetime import datetime
from typing import Any, Literal

from ninja import Schema
from pydantic import ConfigDict

from domains.schemas import State as PresentState
from monitoring.rollups import Span


class SpanOut(Schema):
    """A window of a summary; only scheduled checks count.

    ``uptime`` = (up + degraded) / (up + degraded + down), ``coverage`` = (up + degraded +
    down) / expected: what was missed or failed inside Sentinel counts against coverage,
    never for or against uptime. Both are null where there is nothing to divide by.
    """

    window: Literal["1h", "24h", "7d", "30d"]
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
    p50_us: int | None
    p90_us: int | None
    p95_us: int | None
    p99_us: int | None


class SummaryOut(Schema):
    """How a domain is doing now and did lately."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "domain_id": 1,
                    "state": "up",
                    "since": "2026-11-23T12:00:35.212345Z",
                    "windows": [
                        {
                            "window": "1h",
                            "start": "2026-11-23T12:00:00Z",
                            "end": "2026-11-23T13:00:00Z",
                            "expected": 60,
                            "up": 57,
                            "degraded": 0,
                            "down": 1,
                            "internal": 0,
                            "missed": 2,
                            "uptime": 0.9827586206896551,
                            "coverage": 0.9666666666666667,
                            "p50_us": 48213,
                            "p90_us": 61044,
                            "p95_us": 70310,
                            "p99_us": 112087,
                        }
                    ],
                }
            ]
        }
    )

    domain_id: int
    state: PresentState | None
    since: datetime | None
    windows: list[SpanOut]


def span_out(window: str, span: Span) -> dict[str, Any]:
    """Return the fields of a ``SpanOut``."""
    names = (name for name in SpanOut.model_fields if name != "window")
    return {"window": window, **{name: getattr(span, name) for name in names}}
