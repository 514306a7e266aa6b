"""The errors of the API as its schema shows them: one response a status, with an example."""

from typing import Any, Final

from sentinel.problem_types import BY_STATUS, TYPES, example
from sentinel.problems import CONTENT_TYPE

_HEADERS: Final = {
    401: ["WWW-Authenticate"],
    409: ["Retry-After"],
    429: ["Retry-After"],
    503: ["Retry-After"],
}


def response_name(status: int) -> str:
    """Return the name under which the response of a status stands in the components."""
    return "".join(word.capitalize() for word in BY_STATUS[status].name.split("-"))


def responses(statuses: list[int]) -> dict[str, Any]:
    """Return the responses of errors, by name."""
    return {response_name(status): _response(status) for status in statuses}


def _response(status: int) -> dict[str, Any]:
    kinds = [kind for kind in TYPES if kind.status == status]
    headers = ["X-Request-Id", *_HEADERS.get(status, [])]
    return {
        "description": " ".join(f"{kind.title} (`{kind.name}`)." for kind in kinds),
        "headers": {header: {"$ref": f"#/components/headers/{header}"} for header in headers},
        "content": {
            CONTENT_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {
                    kind.name: {"summary": kind.title, "value": example(kind)} for kind in kinds
                },
            }
        },
    }
