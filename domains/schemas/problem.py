"""What an error of the API says, as RFC 9457 has it."""

from typing import Annotated

from ninja import Schema
from pydantic import ConfigDict, Field


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
        Field(
            default_factory=list,
            description="The fields and parameters that are wrong: the first 100, where there are "
            "more.",
        ),
    ]


def problems(*statuses: int) -> dict[int, type[Problem]]:
    """Return the error responses of an operation: the given ones and those every one has."""
    return dict.fromkeys(sorted({401, 403, 422, 500, 503, *statuses}), Problem)
