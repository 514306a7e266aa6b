"""The shapes of results, runs, summaries and the ledger in the API. No I/O."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from ninja import Schema
from pydantic import ConfigDict, Field, JsonValue

from domains.schemas import State as PresentState
from monitoring.accounting import Account
from monitoring.results import Result
from monitoring.rollups import Span

_RESULT_EXAMPLE: Final[dict[str, JsonValue]] = {
    "domain_id": 1,
    "location": "local",
    "slot": "2026-11-23T12:00:35Z",
    "kind": "scheduled",
    "started_at": "2026-11-23T12:00:35.212345Z",
    "state": "up",
    "reason": None,
    "detail": "",
    "status_code": 200,
    "ip": "192.0.2.10",
    "dns_us": 1210,
    "connect_us": 10345,
    "tls_us": 21876,
    "wait_us": 14200,
    "download_us": 482,
    "total_us": 48213,
    "bytes": 1256,
    "redirects": 0,
    "http_version": "1.1",
    "hops": None,
}

ResultState = Literal["up", "degraded", "down", "internal", "missed"]


class HopOut(Schema):
    """One request of a check that followed redirects; the URL without its query."""

    url: str
    method: str
    status_code: int | None
    http_version: str | None
    ip: str | None
    dns_us: int | None
    connect_us: int | None
    tls_us: int | None
    wait_us: int | None
    download_us: int | None
    total_us: int
    bytes: int | None


class ResultOut(Schema):
    """One row of the ledger. Durations are integer microseconds, null where not reached."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RESULT_EXAMPLE]})

    domain_id: int
    location: str
    slot: datetime
    kind: Literal["scheduled", "manual"]
    started_at: datetime | None
    state: ResultState
    reason: str | None
    detail: str
    status_code: int | None
    ip: str | None
    dns_us: int | None
    connect_us: int | None
    tls_us: int | None
    wait_us: int | None
    download_us: int | None
    total_us: int | None
    bytes: int | None
    redirects: int | None
    http_version: Annotated[
        Literal["1.0", "1.1", "2"] | None, Field(description="Of the last answer.")
    ]
    hops: Annotated[
        list[HopOut] | None,
        Field(description="Each request, in order, where redirects were followed; else null."),
    ]


class ResultPage(Schema):
    """A page of results, newest first; ``next`` is the address of the page after it, or null."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_RESULT_EXAMPLE], "next": None}]}
    )

    items: list[ResultOut]
    next: str | None


class RunAccepted(Schema):
    """A manual check was written down and will run; poll ``status_url``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "run_id": "5f0c6a52-6f0e-4a55-9a53-3a6d7a1f2b7c",
                    "status_url": "http://127.0.0.1:8000/api/monitoring/runs/"
                    "5f0c6a52-6f0e-4a55-9a53-3a6d7a1f2b7c",
                }
            ]
        }
    )

    run_id: uuid.UUID
    status_url: str


class RunOut(Schema):
    """A manual check: its results as they come, one a location."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "run_id": "5f0c6a52-6f0e-4a55-9a53-3a6d7a1f2b7c",
                    "status": "finished",
                    "results": [{**_RESULT_EXAMPLE, "kind": "manual"}],
                }
            ]
        }
    )

    run_id: uuid.UUID
    status: Literal["pending", "finished"]
    results: list[ResultOut]


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


class Equation(Schema):
    """expected = up + degraded + down + internal + missed + pending + unaccounted.

    ``expected`` is counted from the schedule, the rest from the recorded rows and the batches
    still open. What ``unaccounted`` says is a fault of Sentinel's; ``balanced`` is that it is 0.
    """

    expected: int
    up: int
    degraded: int
    down: int
    internal: int
    missed: int
    pending: int
    unaccounted: int
    balanced: bool


class LedgerBucket(Equation):
    """The equation of a part of the span."""

    start: datetime
    end: datetime


class LedgerOut(Equation):
    """The equation of a span, and of its parts where ``step`` was given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "expected": 60,
                    "up": 58,
                    "degraded": 0,
                    "down": 1,
                    "internal": 0,
                    "missed": 0,
                    "pending": 1,
                    "unaccounted": 0,
                    "balanced": True,
                    "buckets": None,
                }
            ]
        }
    )

    buckets: list[LedgerBucket] | None


def result_out(result: Result) -> dict[str, Any]:
    """Return the fields of a ``ResultOut``."""
    fields = {name: getattr(result, name) for name in ResultOut.model_fields if name != "location"}
    return {**fields, "location": result.location.name}


def span_out(window: str, span: Span) -> dict[str, Any]:
    """Return the fields of a ``SpanOut``."""
    names = (name for name in SpanOut.model_fields if name != "window")
    return {"window": window, **{name: getattr(span, name) for name in names}}


def ledger_out(accounts: Sequence[Account], *, in_buckets: bool) -> dict[str, Any]:
    """Return the fields of a ``LedgerOut``: the sum of the accounts, and each of them."""
    buckets = [
        {name: getattr(account, name) for name in LedgerBucket.model_fields} for account in accounts
    ]
    sums = {
        name: sum(bucket[name] for bucket in buckets)
        for name in Equation.model_fields
        if name != "balanced"
    }
    return {
        **sums,
        "balanced": all(account.balanced for account in accounts),
        "buckets": buckets if in_buckets else None,
    }
