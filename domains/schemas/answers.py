"""What people are shown of a domain: its configuration, and what has been seen of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from ninja import Schema
from pydantic import ConfigDict, Field, JsonValue

from domains import models
from domains.observations import CertificateOut, LastResult, Observation, State
from domains.request import MASK
from domains.request_fields import Auth, DegradedAfter, Headers, Http2, IPVersion

_DOMAIN_EXAMPLE: Final[dict[str, JsonValue]] = {
    "id": 1,
    "external_id": "cmdb/4711",
    "name": "Example",
    "url": "https://example.org/",
    "method": "GET",
    "headers": {"X-Api-Key": MASK},
    "body": None,
    "auth": None,
    "http2": False,
    "ip_version": "both",
    "interval": 60,
    "timeout": 10,
    "expected_status": "200-299",
    "degraded_after": 0.5,
    "assertions": [],
    "follow_redirects": True,
    "verify_tls": True,
    "locations": ["local"],
    "group": "Shop",
    "tags": [],
    "enabled": True,
    "version": 1,
    "created_at": "2026-11-23T12:00:00Z",
    "updated_at": "2026-11-23T12:00:00Z",
    "state": "up",
    "since": "2026-11-23T12:00:35Z",
    "last_result": {
        "slot": "2026-11-23T12:00:35Z",
        "location": "local",
        "kind": "scheduled",
        "state": "up",
        "reason": None,
        "detail": "",
        "status_code": 200,
        "total_us": 48213,
    },
    "tls_expires_at": "2027-02-01T08:00:00Z",
    "certificate": {
        "subject": "example.org",
        "issuer": "Example Trust R1",
        "not_before": "2026-11-03T08:00:00Z",
        "not_after": "2027-02-01T08:00:00Z",
        "problem": None,
    },
    "links": {
        "self": "http://127.0.0.1:8000/api/domains/1",
        "history": "http://127.0.0.1:8000/api/monitoring/1/history",
        "summary": "http://127.0.0.1:8000/api/monitoring/1/summary",
        "transitions": "http://127.0.0.1:8000/api/monitoring/1/transitions",
        "check": "http://127.0.0.1:8000/api/monitoring/1/check",
    },
}


class Links(Schema):
    """Where the rest of a domain is; ``check`` takes a POST."""

    self: str
    history: str
    summary: str
    transitions: str
    check: str


class DomainOut(Schema):
    """A domain, and what is known of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DOMAIN_EXAMPLE]})

    id: int
    external_id: str | None
    name: str
    url: str
    method: str
    headers: Headers
    body: Annotated[str | None, Field(description="The mask, where a body is sent.")]
    auth: Auth
    http2: Http2
    ip_version: IPVersion
    interval: int
    timeout: int
    expected_status: str
    degraded_after: DegradedAfter
    assertions: list[dict[str, Any]]
    follow_redirects: bool
    verify_tls: bool
    locations: list[str]
    group: str | None
    tags: list[str]
    enabled: bool
    version: Annotated[
        int, Field(description="Counts the changes of all above; the ETag says the same.")
    ]
    created_at: datetime
    updated_at: datetime
    state: State | None
    since: Annotated[
        datetime | None,
        Field(
            description="When the last of its locations found it up; where it is worse, since when "
            "one that finds it so has done so without a break."
        ),
    ]
    last_result: LastResult | None
    tls_expires_at: Annotated[
        datetime | None,
        Field(description="When the target's certificate ends; the soonest over its locations."),
    ]
    certificate: CertificateOut | None
    links: Links


class DomainPage(Schema):
    """A page of domains; ``next`` is the address of the page after it, null on the last."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_DOMAIN_EXAMPLE], "next": None}]}
    )

    items: list[DomainOut]
    next: str | None


_STORED: Final = [
    name
    for name in DomainOut.model_fields
    if name not in Observation.model_fields and name != "links"
]


def domain_out(
    domain: models.Domain, seen: Mapping[int, Observation], *, origin: str
) -> dict[str, Any]:
    """Return the fields of a ``DomainOut``.

    Args:
        domain: as it is stored.
        seen: what has been seen of it, by id.
        origin: what the addresses in it begin with.
    """
    observation = seen.get(domain.pk, Observation())
    return {
        **{name: getattr(domain, name) for name in _STORED},
        **{name: getattr(observation, name) for name in Observation.model_fields},
        "links": {
            "self": f"{origin}/api/domains/{domain.pk}",
            **{
                name: f"{origin}/api/monitoring/{domain.pk}/{name}"
                for name in ("history", "summary", "transitions", "check")
            },
        },
    }
