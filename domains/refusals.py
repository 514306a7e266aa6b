"""What pydantic says of a body, in words that name the cure and places that the client knows."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from pydantic_core import ErrorDetails

from domains.rules import FieldsRefused, pointer

CURES: Final = MappingProxyType(
    {
        "extra_forbidden": "there is no such field: remove it, or look up its name at /api/docs",
        "missing": "this field is required",
        "model_attributes_type": "it must be a JSON object",
        # Pydantic's own words repeat what was sent.
        "union_tag_invalid": "there is no such type: look the types up at /api/docs",
        "union_tag_not_found": "its type is missing: look the types up at /api/docs",
    }
)


def words(error: Mapping[str, Any]) -> str:
    """Return what is wrong, and the cure."""
    return CURES.get(error["type"], error["msg"].removeprefix("Value error, "))


def sent(place: Any, path: Sequence[str | int], kind: str) -> list[str | int]:
    """Return the parts of a path that the client knows.

    Pydantic puts names of its own among them: the type that it took for one of several,
    and "[key]" where it means the name of a field.

    Args:
        place: what was sent.
        path: where in it pydantic found an error.
        kind: the error's type; what is missing is not in what was sent.
    """
    known: list[str | int] = []
    for number, part in enumerate(path, start=1):
        try:
            place = place[part]
        except (LookupError, TypeError):
            if kind != "missing" or number < len(path):
                continue
        known.append(part)
    return known


def refusal(value: Any, errors: Sequence[ErrorDetails]) -> FieldsRefused:
    """Return what is wrong with one value, by pointers into it."""
    return FieldsRefused(
        (pointer(*sent(value, error["loc"], error["type"])), words(error)) for error in errors
    )
