"""The shapes of results and of manual runs. No I/O."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from ninja import Schema
from pydantic import ConfigDict, Field, JsonValue, WithJsonSchema

from domains.observations import Kind, ResultState
from monitoring.probes.states import Reason
from monitoring.results import Result

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

# Which words there are is kept by the database: it is not looked at again for each row.
ReasonOut = Annotated[
    str, WithJsonSchema({"type": "string", "enum": [reason.value for reason in Reason]})
]


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
    kind: Kind
    started_at: datetime | None
    state: ResultState
    reason: ReasonOut | None
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


def _partial(schema: dict[str, Any]) -> None:
    schema.pop("required", None)
    schema["minProperties"] = 1
    schema["examples"] = [{"slot": "2026-11-23T12:00:35Z", "state": "up", "total_us": 48213}]


class SlimResult(ResultOut):
    """Of a result those fields that ``fields`` asked for, and no others."""

    model_config = ConfigDict(json_schema_extra=_partial)


class SlimResultPage(Schema):
    """A page of results with the fields that were asked for; ``next`` as of a ``ResultPage``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"items": [{"slot": "2026-11-23T12:00:35Z", "total_us": 48213}], "next": None}
            ]
        }
    )

    items: list[SlimResult]
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
    """A manual check: its results as they come, one a domain and location.

    ``next`` is the address of the page after this one, or null.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "run_id": "5f0c6a52-6f0e-4a55-9a53-3a6d7a1f2b7c",
                    "status": "finished",
                    "results": [{**_RESULT_EXAMPLE, "kind": "manual"}],
                    "next": None,
                }
            ]
        }
    )

    run_id: uuid.UUID
    status: Literal["pending", "finished"]
    results: list[ResultOut]
    next: str | None


def result_out(result: Result) -> dict[str, Any]:
    """Return the fields of a ``ResultOut``."""
    fields = {name: getattr(result, name) for name in ResultOut.model_fields if name != "location"}
    return {**fields, "location": result.location.name}
