"""The shapes of domains and of errors in the API. No I/O."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from ninja import Schema
from pydantic import ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_core import ErrorDetails

from domains import models
from domains.assertions import Assertions
from domains.fields import (
    ExpectedStatus,
    ExternalId,
    Flag,
    Group,
    Interval,
    Locations,
    Method,
    Name,
    Tags,
    Timeout,
    Url,
)
from domains.observations import CertificateOut, LastResult, Observation, State
from domains.pointers import located
from domains.request import MASK
from domains.request_fields import Auth, Body, DegradedAfter, Headers, Http2, IPVersion


class ErrorItem(Schema):
    """One thing that is wrong with a request."""

    detail: Annotated[str, Field(description="What is wrong with it, and the cure.")]
    pointer: Annotated[
        str, Field(description="A JSON pointer into the body, where it is of the body.")
    ] = ""
    parameter: Annotated[
        str, Field(description="The parameter's name, where it is one of the address.")
    ] = ""
    header: Annotated[str, Field(description="The header's name, where it is one.")] = ""


class Problem(Schema):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "/api/problems/validation",
                    "title": "Fields or parameters are not valid",
                    "status": 422,
                    "detail": "1 field is not valid",
                    "instance": "/api/domains/",
                    "request_id": "0f6bd3e8c1f94a47a6d0b6a3a5e1c2d4",
                    "errors": [{"pointer": "#/interval", "detail": "must be a multiple of 5"}],
                }
            ]
        }
    )

    type: Annotated[str, Field(description="The address of the page that explains it.")]
    title: str
    status: int
    detail: Annotated[str, Field(description="What is wrong, and the cure.")]
    instance: Annotated[
        str, Field(description="The path of the request, where it could be read.")
    ] = ""
    request_id: Annotated[str, Field(description="Under which the log has it.")] = ""
    errors: Annotated[
        list[ErrorItem],
        Field(default_factory=list, description="Each field or parameter that is wrong."),
    ]


def problems(*statuses: int) -> dict[int, type[Problem]]:
    """Return the error responses of an operation: the given ones and those every one has."""
    return dict.fromkeys(sorted({401, 403, 422, 500, 503, *statuses}), Problem)


READ_ONLY: Final = frozenset(
    {"id", "version", "created_at", "updated_at", "links", *Observation.model_fields}
)
"""What answers have of a domain, and requests may not."""


class _Written(Schema):
    """What people send of a domain."""

    @model_validator(mode="wrap")
    @classmethod
    def _say_what_is_read_only(cls, value: Any, check: Callable[[Any], Any]) -> Any:
        try:
            return check(value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            if not any(map(_is_read_only, found)):
                raise
            raise located(
                error.title,
                [
                    ("read_only", each["loc"], "this field is read-only: leave it out")
                    if _is_read_only(each)
                    else (each["type"], each["loc"], each["msg"])
                    for each in found
                ],
            ) from None


def _is_read_only(error: ErrorDetails) -> bool:
    where = error["loc"]
    return error["type"] == "extra_forbidden" and len(where) == 1 and where[0] in READ_ONLY


class DomainIn(_Written):
    """What registers a domain: ``name`` and ``url`` are enough."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {"name": "Example", "url": "https://example.org/"},
                {
                    "name": "Orders",
                    "url": "https://api.example.org/orders",
                    "method": "POST",
                    "headers": {"X-Api-Key": "3Ks9bTqWm2"},
                    "body": {"dry_run": True},
                    "degraded_after": 0.5,
                },
            ]
        },
    )

    external_id: ExternalId | None = None
    name: Name
    url: Url
    method: Method = "GET"
    headers: Headers = Field(default_factory=dict)
    body: Body = None
    auth: Auth = None
    http2: Http2 = False
    ip_version: IPVersion = "both"
    interval: Interval = 60
    timeout: Timeout = 10
    expected_status: ExpectedStatus = "200-299"
    degraded_after: DegradedAfter = None
    assertions: Assertions = Field(default_factory=list)
    follow_redirects: Flag = True
    verify_tls: Flag = True
    locations: Locations = Field(default_factory=models.default_locations)
    group: Group | None = None
    tags: Tags = Field(default_factory=list)
    enabled: Flag = True


def _as_a_patch(schema: dict[str, Any]) -> None:
    schema["examples"] = [{"interval": 300, "tags": ["shop"]}]
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class DomainPatch(_Written):
    """The fields to change; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid", hide_input_in_errors=True, json_schema_extra=_as_a_patch
    )

    # The defaults are never used (only fields that were sent are), and null is refused.
    external_id: ExternalId | None = Field(default=None)
    name: Name = Field(default="")
    url: Url = Field(default="")
    method: Method = Field(default="GET")
    headers: Headers = Field(default_factory=dict)
    body: Body = Field(default=None)
    auth: Auth = Field(default=None)
    http2: Http2 = Field(default=False)
    ip_version: IPVersion = Field(default="both")
    interval: Interval = Field(default=60)
    timeout: Timeout = Field(default=10)
    expected_status: ExpectedStatus = Field(default="")
    degraded_after: DegradedAfter = Field(default=None)
    assertions: Assertions = Field(default_factory=list)
    follow_redirects: Flag = Field(default=True)
    verify_tls: Flag = Field(default=True)
    locations: Locations = Field(default_factory=list)
    group: Group | None = Field(default=None)
    tags: Tags = Field(default_factory=list)
    enabled: Flag = Field(default=True)


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
    since: datetime | None
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
