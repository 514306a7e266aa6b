"""The shapes of a summary and of incidents. No I/O."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from ninja import Schema
from pydantic import ConfigDict, Field, JsonValue

from domains.observations import CertificateOut
from domains.observations import State as PresentState
from monitoring.downtimes import Downtime
from monitoring.incidents import Reliability
from monitoring.rollups import Span
from monitoring.schemas.results import ReasonOut
from monitoring.tallies import PHASES

COUNTING: Final[Mapping[str, str]] = MappingProxyType(
    {
        "up": "for uptime and coverage",
        "degraded": "for uptime and coverage: slower or less than wished for, but there",
        "down": "against uptime, for coverage",
        "internal": "our fault or policy: against coverage, neither for nor against uptime",
        "missed": "not run in time: against coverage, neither for nor against uptime",
        "uptime": "(up + degraded) / (up + degraded + down), of scheduled checks",
        "coverage": "(up + degraded + down) / expected, which are the scheduled slots with a row",
        "latency": "of the checks that found the target up or degraded, where the phase was "
        "reached; percentiles and maximum of more than the last hours are at most 2 % off",
        "incidents": "one begins at the first slot found down and ends at the first found up or "
        "degraded, over all locations: while any that found it down has not found it otherwise. "
        "The truth may lie up to one interval before either end. Internal neither begins nor "
        "ends one; while nobody sees, or the domain is paused, time counts as unseen_us and not "
        "as downtime_us. Missed slots change nothing: time is as it was found before. What a "
        "manual check finds counts for incidents as what a scheduled one does, and not for uptime",
        "time_to_repair": "the mean length of the incidents that ended in the window, from their "
        "beginning on, which may lie before it",
        "time_between_failures": "the time seen up or degraded, by the incidents begun",
    }
)
"""How each state counts, in the answer itself."""

_INCIDENT: Final[dict[str, JsonValue]] = {
    "start": "2026-11-23T12:04:35Z",
    "end": "2026-11-23T12:09:35Z",
    "duration_us": 300000000,
    "downtime_us": 300000000,
    "unseen_us": 0,
    "reason": "connect_refused",
    "detail": "192.0.2.10 refused the connection",
    "locations": ["local"],
    "failed_checks": 5,
}
_LATENCY: Final[dict[str, JsonValue]] = {
    "count": 57,
    "mean_us": 51019,
    "p50_us": 48213,
    "p90_us": 61044,
    "p95_us": 70310,
    "p99_us": 112087,
    "max_us": 131072,
}


class LatencyOut(Schema):
    """How long a phase took where it was reached, of the checks that were up or degraded."""

    count: int
    mean_us: int
    p50_us: int
    p90_us: int
    p95_us: int
    p99_us: int
    max_us: int


class LongestOut(Schema):
    """The longest incident that touches a window; its duration is up to the window's end."""

    start: datetime
    end: datetime | None
    duration_us: int


class SpanOut(Schema):
    """A window of a summary; only scheduled checks count.

    ``uptime`` = (up + degraded) / (up + degraded + down), ``coverage`` = (up + degraded +
    down) / expected: what was missed or failed inside Sentinel counts against coverage,
    never for or against uptime. Both are null where there is nothing to divide by.

    What is of incidents is null where the domain changed too often to read all its changes; so are
    ``time_to_repair_us`` and ``longest_incident`` where an incident began too many changes ago.
    """

    window: Literal["1h", "24h", "7d", "30d", "90d", "span"]
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
    max_us: int | None
    phases: dict[str, LatencyOut]
    incidents: Annotated[int | None, Field(description="How many touch the window.")]
    incidents_begun: Annotated[int | None, Field(description="How many of them began in it.")]
    downtime_us: Annotated[int | None, Field(description="How long it was seen down.")]
    unseen_us: Annotated[
        int | None, Field(description="How long nobody saw whether it was down or not.")
    ]
    time_to_repair_us: Annotated[
        int | None,
        Field(description="Mean length of the incidents that ended in the window (MTTR)."),
    ]
    time_between_failures_us: Annotated[
        int | None,
        Field(
            description="Time seen up or degraded / incidents that began in the window (MTBF);"
            " null without any."
        ),
    ]
    longest_incident: LongestOut | None


class SummaryOut(Schema):
    """How a domain is doing now and did lately."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "domain_id": 1,
                    "state": "up",
                    "since": "2026-11-23T12:09:35.212345Z",
                    "tls_expires_at": "2027-02-01T08:00:00Z",
                    "tls_days_left": 69,
                    "certificate": {
                        "subject": "example.org",
                        "issuer": "Example Trust R1",
                        "not_before": "2026-11-03T08:00:00Z",
                        "not_after": "2027-02-01T08:00:00Z",
                        "problem": None,
                    },
                    "counting": dict(COUNTING),
                    "windows": [
                        {
                            "window": "1h",
                            "start": "2026-11-23T12:00:00Z",
                            "end": "2026-11-23T13:00:00Z",
                            "expected": 60,
                            "up": 52,
                            "degraded": 0,
                            "down": 5,
                            "internal": 1,
                            "missed": 2,
                            "uptime": 0.9122807017543859,
                            "coverage": 0.95,
                            "p50_us": 48213,
                            "p90_us": 61044,
                            "p95_us": 70310,
                            "p99_us": 112087,
                            "max_us": 131072,
                            "phases": {"wait": _LATENCY, "total": _LATENCY},
                            "incidents": 1,
                            "incidents_begun": 1,
                            "downtime_us": 300000000,
                            "unseen_us": 60000000,
                            "time_to_repair_us": 300000000,
                            "time_between_failures_us": 3240000000,
                            "longest_incident": {
                                "start": "2026-11-23T12:04:35Z",
                                "end": "2026-11-23T12:09:35Z",
                                "duration_us": 300000000,
                            },
                        }
                    ],
                }
            ]
        }
    )

    domain_id: int
    state: PresentState | None
    since: Annotated[
        datetime | None,
        Field(
            description="When the last of its locations found it up; where it is worse, since when "
            "one that finds it so has done so without a break."
        ),
    ]
    tls_expires_at: Annotated[
        datetime | None,
        Field(description="When the target's certificate ends; the soonest over its locations."),
    ]
    tls_days_left: Annotated[
        int | None, Field(description="Whole days until then, negative where it is over.")
    ]
    certificate: CertificateOut | None
    counting: Annotated[dict[str, str], Field(description="How each state counts.")]
    windows: list[SpanOut]


class IncidentOut(Schema):
    """A time in which a domain was down."""

    model_config = ConfigDict(json_schema_extra={"examples": [_INCIDENT]})

    start: Annotated[datetime, Field(description="The first slot found down.")]
    end: Annotated[
        datetime | None,
        Field(description="The first slot found up or degraded; null while it lasts."),
    ]
    duration_us: Annotated[int, Field(description="Up to now while it lasts.")]
    downtime_us: Annotated[int, Field(description="How much of it was seen down.")]
    unseen_us: Annotated[int, Field(description="How much of it nobody could see.")]
    reason: Annotated[ReasonOut | None, Field(description="Of the check that began it.")]
    detail: str
    locations: Annotated[list[str], Field(description="Those that found it down.")]
    failed_checks: Annotated[
        int | None, Field(description="Null where their results are no longer kept.")
    ]


class IncidentPage(Schema):
    """A page of incidents, newest first; ``next`` is the address of the next page, or null."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_INCIDENT], "next": None}]}
    )

    items: list[IncidentOut]
    next: str | None


def span_out(window: str, span: Span, found: Reliability | None) -> dict[str, Any]:
    """Return the fields of a ``SpanOut``."""
    taken = {
        name: getattr(span, name)
        for name in SpanOut.model_fields
        if name != "phases" and hasattr(span, name)
    }
    sums = dict(zip(PHASES, span.sums, strict=True))
    phases = {
        name: {**each, "mean_us": round(sums[name] / each["count"])}
        for name, each in span.phases.items()
    }
    return {"window": window, **taken, "phases": phases, **_reliability(found)}


def _reliability(found: Reliability | None) -> dict[str, Any]:
    if found is None:
        return dict.fromkeys(
            (
                "incidents",
                "incidents_begun",
                "downtime_us",
                "unseen_us",
                "time_to_repair_us",
                "time_between_failures_us",
                "longest_incident",
            )
        )
    longest = None
    if found.longest is not None:
        incident, length = found.longest
        longest = {"start": incident.start, "end": incident.end, "duration_us": _us(length)}
    return {
        "incidents": found.incidents,
        "incidents_begun": found.began,
        "downtime_us": _us(found.downtime),
        "unseen_us": _us(found.unseen),
        "time_to_repair_us": _us(found.time_to_repair),
        "time_between_failures_us": _us(found.time_between_failures),
        "longest_incident": longest,
    }


def incident_out(downtime: Downtime, now: datetime) -> dict[str, Any]:
    """Return the fields of an ``IncidentOut``."""
    incident = downtime.incident
    return {
        "start": incident.start,
        "end": incident.end,
        "duration_us": _us((incident.end or now) - incident.start),
        "downtime_us": _us(incident.downtime),
        "unseen_us": _us(incident.unseen),
        "reason": incident.reason,
        "detail": incident.detail,
        "locations": downtime.locations,
        "failed_checks": downtime.failed_checks,
    }


def _us(length: timedelta | None) -> int | None:
    return None if length is None else length // timedelta(microseconds=1)
