"""What the history can be asked for beside a span: which results, what of them, in which step."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from ninja import Query
from pydantic import BeforeValidator, WithJsonSchema

from monitoring.packing import VERDICTS, Kind
from monitoring.pages import FIELDS
from monitoring.probes.states import Reason, State
from monitoring.steps import STEPS

_STATES: Final = tuple(state.value for state in State)
_REASONS: Final = tuple(reason.value for reason in Reason)
_STEPS: Final = ("raw", *STEPS, "auto")


def _one_of(known: Sequence[str], noun: str) -> BeforeValidator:
    def check(sent: Any) -> Any:
        if sent not in known:
            raise ValueError(f"there is no such {noun}: give one of {', '.join(known)}")
        return sent

    return BeforeValidator(check)


def _names(sent: Any) -> Any:
    if not set(str(sent).split(",")) <= set(FIELDS):
        raise ValueError(f"there is no such field: known are {', '.join(FIELDS)}")
    return sent


def _enum(known: Sequence[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(known)})


# Each item has its validator, not the list: Ninja takes only a plain list as one.
States = Annotated[
    list[Annotated[str, _one_of(_STATES, "state"), _enum(_STATES)]],
    Query(description="Only in this state; repeat it for several."),
]
Reasons = Annotated[
    list[Annotated[str, _one_of(_REASONS, "reason"), _enum(_REASONS)]],
    Query(description="Only for this reason; repeat it for several."),
]
Fields = Annotated[
    list[Annotated[str, BeforeValidator(_names), _enum(FIELDS)]],
    Query(description="What items are to have: names with commas between them, or repeated."),
]
Kinds = Annotated[
    Annotated[Literal["scheduled", "manual"], _one_of([kind.value for kind in Kind], "kind")]
    | None,
    Query(description="Only scheduled or only manual checks."),
]
Step = Annotated[
    Annotated[Literal["raw", "1m", "5m", "1h", "1d", "auto"], _one_of(_STEPS, "step")] | None,
    Query(description="Results (`raw`, also where it is left out), or how long buckets are."),
]


def named(fields: Sequence[str]) -> tuple[str, ...]:
    """Return the fields that were named, in the order in which a result has them; or all."""
    names = {name for text in fields for name in text.split(",")}
    return tuple(name for name in FIELDS if name in names) or FIELDS


def verdicts(states: Sequence[str], reasons: Sequence[str]) -> list[int] | None:
    """Return the stored codes of any of these states that have any of these reasons.

    None stands for all: neither was named.
    """
    if not states and not reasons:
        return None
    return [
        code
        for (state, reason), code in VERDICTS.items()
        if (not states or state in states) and (not reasons or (reason and reason in reasons))
    ]
