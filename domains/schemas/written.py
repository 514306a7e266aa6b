"""What people send of a domain: to register it, and to change it."""

from collections.abc import Callable
from typing import Any, Final

from ninja import Schema
from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from domains import models
from domains.assertions import Assertions
from domains.fields import (
    Enabled,
    ExpectedStatus,
    ExternalId,
    FollowRedirects,
    Group,
    Interval,
    Locations,
    Method,
    Name,
    Tags,
    Timeout,
    Url,
    VerifyTls,
)
from domains.observations import Observation
from domains.pointers import located
from domains.request_fields import Auth, Body, DegradedAfter, Headers, Http2, IPVersion

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
    follow_redirects: FollowRedirects = True
    verify_tls: VerifyTls = True
    locations: Locations = Field(default_factory=models.default_locations)
    group: Group | None = None
    tags: Tags = Field(default_factory=list)
    enabled: Enabled = True


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
    follow_redirects: FollowRedirects = Field(default=True)
    verify_tls: VerifyTls = Field(default=True)
    locations: Locations = Field(default_factory=list)
    group: Group | None = Field(default=None)
    tags: Tags = Field(default_factory=list)
    enabled: Enabled = Field(default=True)
