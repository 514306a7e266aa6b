"""The shapes of transitions. No I/O."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from ninja import Schema
from pydantic import ConfigDict, Field, JsonValue

from domains.observations import State
from monitoring.schemas.results import ReasonOut
from monitoring.transitions import Change

_EXAMPLE: Final[dict[str, JsonValue]] = {
    "id": 4711,
    "domain_id": 1,
    "location": "local",
    "slot": "2026-11-23T12:04:35Z",
    "from_state": "up",
    "to_state": "down",
    "reason": "connect_refused",
    "detail": "192.0.2.10 refused the connection",
}

Order = Literal["newest", "oldest"]


class TransitionOut(Schema):
    """One change of a domain's state as seen from one location."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: Annotated[int, Field(description="Unique; in no order that means anything.")]
    domain_id: int
    location: str
    slot: Annotated[datetime, Field(description="The first slot that was found so.")]
    from_state: Annotated[State | None, Field(description="Null before the first result.")]
    to_state: State
    reason: ReasonOut | None
    detail: str


class TransitionPage(Schema):
    """A page of transitions; ``next`` is the address to go on with.

    With ``order=newest`` it is null on the last page; with ``order=oldest`` it is never null.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_EXAMPLE], "next": None, "more": False}]}
    )

    items: list[TransitionOut]
    next: str | None
    more: Annotated[bool, Field(description="Whether the next page can be asked for at once.")]


def transition_out(change: Change) -> dict[str, Any]:
    """Return the fields of a ``TransitionOut``."""
    return {name: getattr(change, name) for name in TransitionOut.model_fields}
