"""The fields of a domain that say what its check sends. No I/O."""

from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from domains import models, request

_WRITE_ONLY: Final = (
    f"Write-only: encrypted at rest, answered as `{request.MASK}`; sending that mask back keeps "
    "the stored value."
)


def _an_object(headers: Any) -> Any:
    if not isinstance(headers, dict):
        raise ValueError("it must be an object of header names and values")  # noqa: TRY004 - as pydantic has it
    return headers


def _headers(headers: dict[str, str]) -> dict[str, str]:
    problems = request.header_problems(headers)
    if problems:
        # One error for each name, where a ValueError would point at the whole object only.
        raise ValidationError.from_exception_data(
            "headers",
            [
                InitErrorDetails(
                    type=PydanticCustomError("header", "{words}", {"words": words}),
                    loc=() if name is None else (name,),
                    input=None,
                )
                for name, words in problems
            ],
            hide_input=True,
        )
    return headers


def _body(body: Any) -> Any:
    if body is None:
        return None
    request.encode_body(body)
    return body or None if isinstance(body, str) else body


def _not_a_flag(value: Any) -> Any:
    # To Python true is the number 1.
    if isinstance(value, bool):
        raise ValueError("it must be a number of seconds, or null")  # noqa: TRY004 - as pydantic has it
    return value


Headers = Annotated[
    dict[str, str],
    BeforeValidator(_an_object),
    AfterValidator(_headers),
    Field(
        description=(
            "Header fields that are sent, by name; PATCH replaces all of them. They come before "
            "the probe's own `User-Agent`, `Accept` and `Accept-Encoding`. `Host` is a host or "
            "host:port, for a virtual host that the URL does not name. Not sent to another origin "
            "that a redirect leads to. At most "
            f"{request.MAX_HEADERS} of them and {request.MAX_HEADERS_CHARS} characters in all; "
            "what frames the message or speaks of the connection is the probe's own. "
            f"Names are visible, values are not. {_WRITE_ONLY}"
        ),
        examples=[{"X-Api-Key": "3Ks9bTqWm2", "Accept": "application/json"}],
        json_schema_extra={"maxProperties": request.MAX_HEADERS},
        repr=False,
    ),
]
Body = Annotated[
    Any,
    AfterValidator(_body),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": request.MAX_BODY_BYTES},
                {"type": "object", "additionalProperties": True},
                {"type": "array", "items": {}},
                {"type": "null"},
            ]
        }
    ),
    Field(
        description=(
            "The request's body: a text, sent as UTF-8 with `Content-Type: "
            f"{request.TEXT_TYPE}`; or a JSON object or array, sent in compact form with "
            f"`Content-Type: {request.JSON_TYPE}`; `headers` may say otherwise. Null or an empty "
            f"text sends none. At most {request.MAX_BODY_BYTES // 1024} KiB, and not with GET or "
            f"HEAD. {_WRITE_ONLY}"
        ),
        examples=[{"query": "{ ping }"}, "ping=1", None],
        repr=False,
    ),
]
Http2 = Annotated[
    bool,
    Field(
        strict=True,
        description="Whether HTTP/2 is offered to a server that speaks TLS.",
        examples=[False],
    ),
]
IPVersion = Annotated[
    Literal["both", "ipv4", "ipv6"],
    Field(description="Which of the host's addresses may be dialled.", examples=["both"]),
]
DegradedAfter = Annotated[
    Annotated[
        float,
        # In this order: behind the validator, the schema would have bounds of no meaning.
        Field(
            strict=True, ge=models.MIN_DEGRADED_AFTER, lt=models.MAX_TIMEOUT, allow_inf_nan=False
        ),
        BeforeValidator(_not_a_flag),
    ]
    | None,
    Field(
        description=(
            "Seconds past which an answer that is up counts as degraded, such as 0.5; less than "
            "`timeout`; kept to the microsecond. Null: never."
        ),
        examples=[0.5],
    ),
]


class BasicAuth(BaseModel):
    """Basic authentication (RFC 7617), sent in UTF-8."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    type: Literal["basic"]
    username: Annotated[
        str,
        StringConstraints(max_length=request.MAX_USERNAME_CHARS),
        AfterValidator(request.check_username),
        Field(description="The user name, without a colon; visible.", examples=["monitor"]),
    ]
    password: Annotated[
        str,
        StringConstraints(max_length=request.MAX_SECRET_CHARS),
        AfterValidator(request.check_password),
        Field(description=f"The password. {_WRITE_ONLY}", examples=[request.MASK], repr=False),
    ]


class BearerAuth(BaseModel):
    """A bearer token (RFC 6750)."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    type: Literal["bearer"]
    token: Annotated[
        str,
        StringConstraints(max_length=request.MAX_SECRET_CHARS),
        AfterValidator(request.check_token),
        Field(description=f"The token. {_WRITE_ONLY}", examples=[request.MASK], repr=False),
    ]


Auth = Annotated[
    Annotated[BasicAuth | BearerAuth, Field(discriminator="type")] | None,
    Field(
        description=(
            "How the request is authenticated; null: not at all. Sent as the header "
            "`Authorization`, which `headers` may not have beside it, and not to another origin "
            "that a redirect leads to."
        ),
        examples=[{"type": "basic", "username": "monitor", "password": request.MASK}],
    ),
]
