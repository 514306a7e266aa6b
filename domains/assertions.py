"""The shapes of assertions in the API: what must hold of an answer beside its status. No I/O.

Every one is ``type``, ``operator``, ``value`` and ``severity``, with the ``name`` of a header
or the ``path`` into JSON where there is one. What the API took is what is stored and what it
shows again. Two that say the same are refused: the second is most likely a slip.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    WrapValidator,
    field_validator,
)

from domains.expected_status import normalise_expected_status
from domains.expressions import MAX_PATH_CHARS, MAX_PATTERN_CHARS, compile_path, compile_pattern
from domains.pointers import located, pointed

MAX_ASSERTIONS: Final = 20
MAX_TEXT_CHARS: Final = 1000
MAX_JSON_CHARS: Final = 1000
MAX_JSON_DEPTH: Final = 10
MAX_BYTES: Final = 10 * 1024 * 1024

# What PostgreSQL's text cannot hold.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_TEXT_OR_PATTERN: Final = (
    "A text; with `matches` and `not_matches` a regular expression of RE2's syntax, looked for "
    f"anywhere and of at most {MAX_PATTERN_CHARS} characters."
)
_CERTIFICATE_EXAMPLE: Final[dict[str, JsonValue]] = {
    "type": "certificate_days",
    "operator": "at_least",
    "value": 14,
    "severity": "degraded",
}
_NUMBERS: Final = ("below", "at_most", "above", "at_least")

Severity = Annotated[
    Literal["down", "degraded"],
    Field(description="What the check ends as where the assertion does not hold."),
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARS)]


def _storable(text: str) -> str:
    if _UNSTORABLE.search(text):
        raise ValueError("it contains NUL or half a character: remove it")
    return text


def _path(text: str) -> str:
    compile_path(_storable(text))
    return text


def _examples(*examples: dict[str, JsonValue]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


def _bounded(value: JsonValue) -> JsonValue:
    """Refuse what is no JSON value, or so large or deep that nobody would expect it."""
    stack: list[tuple[Any, int]] = [(value, 1)]
    while stack:
        part, depth = stack.pop()
        if depth > MAX_JSON_DEPTH:
            raise ValueError(f"it is nested too deeply: expect at most {MAX_JSON_DEPTH} levels")
        if isinstance(part, str):
            _storable(part)
        elif isinstance(part, float) and not math.isfinite(part):
            raise ValueError("it is too large a number: expect one of at most 1.7e308")
        elif isinstance(part, list):
            stack += [(each, depth + 1) for each in part]
        elif isinstance(part, dict):
            stack += [(each, depth + 1) for pair in part.items() for each in pair]
    if len(json.dumps(value)) > MAX_JSON_CHARS:
        raise ValueError(f"it is too long: expect at most {MAX_JSON_CHARS} characters of JSON")
    return value


def _header_name(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError("it is not the name of a header: write one such as Content-Type")
    return text


def _header_text(text: str) -> str:
    if match := _CONTROL.search(text):
        raise ValueError(f"no header has the control character {match[0]!r} in it: remove it")
    return text


class _Assertion(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _TextAssertion(_Assertion):
    """An assertion whose value is a pattern under some operators."""

    @field_validator("value", check_fields=False)
    @classmethod
    def _compiles(cls, value: str, info: ValidationInfo) -> str:
        _storable(value)
        if info.data.get("operator") in ("matches", "not_matches"):
            compile_pattern(value)
        return value


class StatusAssertion(_Assertion):
    """The status of the answer is one of some codes and ranges."""

    model_config = _examples(
        {"type": "status", "operator": "in", "value": "200-299,401", "severity": "down"}
    )

    type: Literal["status"]
    operator: Literal["in"]
    value: Annotated[
        str,
        StringConstraints(max_length=200),
        AfterValidator(normalise_expected_status),
        Field(description="Codes and ranges separated by commas, such as 200-299,401."),
    ]
    severity: Severity = "down"


class HeaderAssertion(_TextAssertion):
    """A header of the answer is, contains or matches a text.

    Names are of any case; several values of one name are joined by a comma and a space. A
    header that is missing fails all but `not_contains` and `not_matches`.
    """

    model_config = _examples(
        {"type": "header", "name": "Content-Type", "operator": "contains", "value": "json"}
    )

    type: Literal["header"]
    name: Annotated[
        str,
        StringConstraints(max_length=100),
        AfterValidator(_header_name),
        Field(description="The header's name.", examples=["Content-Type"]),
    ]
    operator: Literal["equals", "contains", "not_contains", "matches", "not_matches"]
    value: Annotated[Text, AfterValidator(_header_text), Field(description=_TEXT_OR_PATTERN)]
    severity: Severity = "down"


class BodyAssertion(_TextAssertion):
    """The body of the answer, as text, contains or matches a text."""

    model_config = _examples(
        {"type": "body", "operator": "contains", "value": "Welcome", "severity": "down"},
        {"type": "body", "operator": "not_matches", "value": "(?i)fatal error|exception"},
    )

    type: Literal["body"]
    operator: Literal["contains", "not_contains", "matches", "not_matches"]
    value: Annotated[Text, Field(description=_TEXT_OR_PATTERN)]
    severity: Severity = "down"


class JsonAssertion(_Assertion):
    """What a JSON path (RFC 9535) leads to in the body exists, equals a value, or compares to it.

    Where the path leads to several values, all of them must hold. Filters may use `length`,
    `count` and `value`, not `match` and `search`.
    """

    model_config = _examples(
        {"type": "json", "path": "$.status", "operator": "equals", "value": "ok"},
        {"type": "json", "path": "$.queue.waiting", "operator": "below", "value": 100},
        {"type": "json", "path": "$.jobs[?@.failed > 3]", "operator": "exists", "value": False},
    )

    type: Literal["json"]
    path: Annotated[
        str,
        StringConstraints(max_length=MAX_PATH_CHARS),
        AfterValidator(_path),
        Field(description="A JSON path (RFC 9535).", examples=["$.checks[0].status"]),
    ]
    operator: Literal["equals", "not_equals", "exists", "below", "at_most", "above", "at_least"]
    value: Annotated[
        JsonValue,
        AfterValidator(_bounded),
        Field(
            description="Any JSON value for `equals` and `not_equals`; true or false for "
            "`exists`; a number for the others."
        ),
    ]
    severity: Severity = "down"

    @field_validator("value")
    @classmethod
    def _suits(cls, value: JsonValue, info: ValidationInfo) -> JsonValue:
        operator = info.data.get("operator")
        if operator == "exists" and not isinstance(value, bool):
            raise ValueError("with the operator exists it must be true or false")
        if operator in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"with the operator {operator} it must be a number")
        return value


class ResponseTimeAssertion(_Assertion):
    """The whole check, DNS and all of the body included, takes less than some milliseconds."""

    model_config = _examples(
        {"type": "response_time_ms", "operator": "below", "value": 500, "severity": "degraded"}
    )

    type: Literal["response_time_ms"]
    operator: Literal["below"]
    value: Annotated[int, Field(strict=True, ge=1, le=60_000, description="Milliseconds.")]
    severity: Severity = "down"


class CertificateAssertion(_Assertion):
    """The certificate of the registered address is valid for at least some more days."""

    model_config = _examples(_CERTIFICATE_EXAMPLE)

    type: Literal["certificate_days"]
    operator: Literal["at_least"]
    value: Annotated[int, Field(strict=True, ge=1, le=3650, description="Days.")]
    severity: Severity = "down"


class BodySizeAssertion(_Assertion):
    """The body, packed as it came, has at most or at least some bytes."""

    model_config = _examples({"type": "body_bytes", "operator": "at_most", "value": 1_000_000})

    type: Literal["body_bytes"]
    operator: Literal["at_most", "at_least"]
    value: Annotated[int, Field(strict=True, ge=0, le=MAX_BYTES, description="Bytes.")]
    severity: Severity = "down"


_Union = (
    StatusAssertion
    | HeaderAssertion
    | BodyAssertion
    | JsonAssertion
    | ResponseTimeAssertion
    | CertificateAssertion
    | BodySizeAssertion
)


def _distinct(items: list[Any]) -> list[Any]:
    seen: dict[str, int] = {}
    for index, item in enumerate(items):
        text = json.dumps(item.model_dump(), sort_keys=True)
        if text in seen:
            words = f"it says the same as assertion {seen[text]}: remove it"
            raise located("Assertion", [("repeated", (index,), words)])
        seen[text] = index
    return items


AssertionIn = Annotated[_Union, Field(discriminator="type"), WrapValidator(pointed)]
Assertions = Annotated[
    list[AssertionIn],
    Field(
        max_length=MAX_ASSERTIONS,
        description="What must hold of the last answer beside its status. All are judged: the "
        "first that fails and is of severity `down` counts, else the first that fails.",
        examples=[
            [
                {"type": "json", "path": "$.status", "operator": "equals", "value": "ok"},
                _CERTIFICATE_EXAMPLE,
            ]
        ],
    ),
    AfterValidator(_distinct),
]


def stored_form(assertions: Sequence[Mapping[str, Any]]) -> str:
    """Return the one line of JSON that is stored: what was sent, defaults filled in.

    Args:
        assertions: the dumped field, as ``payload.dict()["assertions"]`` gives it.
    """
    return json.dumps(list(assertions), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
