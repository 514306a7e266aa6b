"""Errors in a union's member, located at its field.

Pydantic's own way to a field of a discriminated union leads past the tag:
``("assertions", 2, "header", "value")``. A client's JSON has no such step.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

Located = tuple[str, tuple[int | str, ...], str]
"""The type of an error, the way to its field, and the words."""


def pointed(value: Any, check: Callable[[Any], Any]) -> Any:
    """Validate a member of a union of flat objects, tagged by ``type``; for ``WrapValidator``.

    Raises:
        ValidationError: with ways of one step, the field's name, or none.
    """
    try:
        return check(value)
    except ValidationError as error:
        raise located(error.title, [_located(each) for each in error.errors()]) from None


def located(title: str, errors: Sequence[Located]) -> ValidationError:
    """Return an error that pydantic takes over, way and all, where a validator raises it."""
    return ValidationError.from_exception_data(
        title,
        [
            InitErrorDetails(
                # The words are no template themselves: what they quote may have braces.
                type=PydanticCustomError(kind, "{words}", {"words": words}),
                loc=where,
                input=None,
            )
            for kind, where, words in errors
        ],
    )


def _located(error: ErrorDetails) -> Located:
    match kind := error["type"]:
        case "union_tag_not_found":
            return "missing", ("type",), "this field is required"
        case "union_tag_invalid":
            return kind, ("type",), f"it must be one of {error['ctx']['expected_tags']}"
        case "model_attributes_type":
            return kind, (), "it must be an object"
        case "recursion_depth_exceeded" | "recursion_loop":
            return kind, error["loc"][1:2], "it is nested too deeply"
    return kind, error["loc"][1:2], error["msg"].removeprefix("Value error, ")
