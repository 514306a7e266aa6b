"""The shapes of keys and of the audit in the API. No I/O."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from ninja import Schema
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)

from domains.audit import AuditEntry
from domains.fields import Name as PlainName
from sentinel.access import models

State = Literal["live", "expired", "revoked"]
Word = Literal["read", "write", "admin"]
_LAST_YEAR: Final = 2200
MAX_OVERLAP_SECONDS: Final = 30 * 86_400
DEFAULT_OVERLAP_SECONDS: Final = 86_400


_NUMBER: Final = re.compile(r"\s*[+-]?[0-9.]+(e[+-]?[0-9]+)?\s*", re.IGNORECASE)


def _written_out(value: Any) -> Any:
    # Pydantic takes it for seconds since 1970, and from some size on for milliseconds.
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise ValueError(
            "it is a number: give a date and time by RFC 3339, such as 2027-11-23T12:00:00Z, or "
            "null for never"
        )
    return value


def _in_calendar(instant: datetime) -> datetime:
    # The end of datetime overflows when it changes its time zone.
    if instant.year >= _LAST_YEAR:
        raise ValueError(f"it must lie before the year {_LAST_YEAR}, or be null for never")
    # The past is refused where the clock is read.
    return instant.astimezone(UTC) if instant.year > 1 else datetime(2, 1, 1, tzinfo=UTC)


def _distinct(scopes: list[Any]) -> list[Any]:
    if len(set(scopes)) != len(scopes):
        raise ValueError("it names a scope twice: remove the repetition")
    return scopes


def _least() -> list[Word]:
    return ["read"]


Name = Annotated[PlainName, StringConstraints(max_length=models.MAX_NAME_CHARS)]
Scopes = Annotated[
    list[Word],
    Field(
        min_length=1,
        max_length=3,
        description="What it may do: `write` holds `read`, and `admin` both.",
        json_schema_extra={"uniqueItems": True},
    ),
    AfterValidator(_distinct),
]
ExpiresAt = Annotated[
    Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_calendar)] | None,
    Field(description="When it opens nothing any more, RFC 3339; null for never."),
]


class KeyIn(Schema):
    """What makes a key: a name is enough, for a key that reads."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {"name": "deploy", "scopes": ["write"], "expires_at": "2027-11-23T12:00:00Z"}
            ]
        },
    )

    name: Name
    scopes: Scopes = Field(default_factory=_least)
    expires_at: ExpiresAt = None


def _as_a_patch(schema: dict[str, Any]) -> None:
    schema["examples"] = [{"scopes": ["read"]}]
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class KeyPatch(Schema):
    """The fields to change; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid", hide_input_in_errors=True, json_schema_extra=_as_a_patch
    )

    # The defaults are never used: only fields that were sent are.
    name: Name = Field(default="")
    scopes: Scopes = Field(default_factory=list)
    expires_at: ExpiresAt = None


class RotationIn(Schema):
    """How a key is rotated; an empty object gives the key that was a day more."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"overlap": 3600}]},
    )

    overlap: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=MAX_OVERLAP_SECONDS,
            description="For how many seconds the key that was opens the API beside the new one.",
        ),
    ] = DEFAULT_OVERLAP_SECONDS


_KEY_EXAMPLE: Final[dict[str, JsonValue]] = {
    "id": 2,
    "name": "deploy",
    "prefix": "5f0c6a52",
    "scopes": ["write"],
    "state": "live",
    "created_at": "2026-11-23T12:00:00Z",
    "expires_at": "2027-11-23T12:00:00Z",
    "revoked_at": None,
    "rotated_at": None,
    "replaces": None,
    "last_used_at": "2026-11-23T12:34:00Z",
}
_MADE_EXAMPLE: Final[dict[str, JsonValue]] = {
    **_KEY_EXAMPLE,
    "last_used_at": None,
    "key": "5f0c6a52.a-secret-of-43-characters-shown-here-and-once",
}


class KeyOut(Schema):
    """A key, without what it consists of: that is known to who made it, and to nobody else."""

    model_config = ConfigDict(json_schema_extra={"examples": [_KEY_EXAMPLE]})

    id: int
    name: str
    prefix: Annotated[
        str,
        Field(
            description="What it is told by: the public beginning of a key that was made here, of "
            "one that was given by `SENTINEL_API_KEY` that of its SHA-256."
        ),
    ]
    scopes: list[Word]
    state: Annotated[State, Field(description="Whether it opens the API, or why not.")]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    rotated_at: Annotated[
        datetime | None,
        Field(description="When another key took its place; it lives on until `expires_at`."),
    ]
    replaces: Annotated[int | None, Field(description="The id of the key whose place it took.")]
    last_used_at: Annotated[datetime | None, Field(description="To the minute.")]


class KeyMade(KeyOut):
    """A key that was made just now, with all of it: `key` is never shown again."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MADE_EXAMPLE]})

    key: Annotated[str, Field(description="What opens the API. Keep it now: it is not stored.")]


class KeyPage(Schema):
    """A page of keys by id; ``next`` is the address of the page after it, null on the last."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_KEY_EXAMPLE], "next": None}]}
    )

    items: list[KeyOut]
    next: str | None


def key_out(key: models.ApiKey, *, now: datetime) -> dict[str, Any]:
    """Return the fields of a ``KeyOut``."""
    given = {"state": key.state(now=now), "replaces": key.replaces_id}
    return {
        name: given[name] if name in given else getattr(key, name) for name in KeyOut.model_fields
    }


class ActorOut(Schema):
    """Who did something: a key, a user of the web pages, or a command where Sentinel runs."""

    kind: Literal["key", "user", "command"]
    id: Annotated[int | None, Field(description="Of the key or the user; null for a command.")]
    name: Annotated[str, Field(description="As it was then.")]


_ENTRY_EXAMPLE: Final[dict[str, JsonValue]] = {
    "id": 812,
    "at": "2026-11-23T12:00:00Z",
    "actor": {"kind": "key", "id": 2, "name": "deploy"},
    "action": "domain.changed",
    "object_kind": "domain",
    "object_id": 1,
    "before": {"interval": 60},
    "after": {"interval": 300},
    "request_id": "018f2c6e5d3b7c41",
}


class EntryOut(Schema):
    """One change; ``before`` is null for what was made, ``after`` for what was deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ENTRY_EXAMPLE]})

    id: int
    at: datetime
    actor: ActorOut
    action: str
    object_kind: str
    object_id: int
    before: Annotated[
        Mapping[str, JsonValue] | None,
        Field(description="The fields that changed, as they were; secrets are masked."),
    ]
    after: Annotated[
        Mapping[str, JsonValue] | None, Field(description="The same fields as they are now.")
    ]
    request_id: Annotated[str, Field(description="Of the request that did it; may be empty.")]


class EntryPage(Schema):
    """A page of the audit, newest first; ``next`` is the address of the page after it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_ENTRY_EXAMPLE], "next": None}]}
    )

    items: list[EntryOut]
    next: str | None


def entry_out(entry: AuditEntry) -> dict[str, Any]:
    """Return the fields of an ``EntryOut``."""
    actor = {"kind": entry.actor_kind, "id": entry.actor_id, "name": entry.actor_name}
    return {
        name: actor if name == "actor" else getattr(entry, name) for name in EntryOut.model_fields
    }
