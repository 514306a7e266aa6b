"""The errors of the API as its schema shows them: one response a status, with an example."""

from typing import Any, Final

from sentinel.problems import CONTENT_TYPE

# Status: the name of its type, its title, a detail as it may stand in an answer.
BY_STATUS: Final[dict[int, tuple[str, str, str]]] = {
    400: (
        "bad-request",
        "The request cannot be read",
        "the body is not JSON: expecting ',' delimiter at line 1, column 18",
    ),
    401: (
        "unauthenticated",
        "A valid API key is needed",
        "a valid API key is needed: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
    ),
    403: ("forbidden", "The key does not allow this", "this needs a key of the scope write"),
    404: ("not-found", "There is nothing here", "there is no domain 1"),
    406: (
        "not-acceptable",
        "No form of the answer is acceptable",
        "this can be answered as application/json, application/x-ndjson or text/csv",
    ),
    409: (
        "conflict",
        "It conflicts with what is there",
        "a request with this Idempotency-Key is under way: try again in a second",
    ),
    411: (
        "length-required",
        "The body's length is needed",
        "send the body with a Content-Length, not in chunks",
    ),
    412: (
        "precondition-failed",
        "It was changed meanwhile",
        "the domain was changed since this ETag was read",
    ),
    413: ("body-too-large", "The body is too large", "the request's body is larger than 1 MiB"),
    415: (
        "unsupported-media-type",
        "The body is of a type that is not read",
        "send the body as JSON, with Content-Type application/json",
    ),
    422: ("validation", "Fields or parameters are not valid", "1 field is not valid"),
    429: (
        "rate-limited",
        "Too many requests",
        "this key has sent 12000 requests within a minute: try again in 4 s",
    ),
    500: (
        "unexpected",
        "An error inside Sentinel",
        "an error inside Sentinel; the log has it under the request id",
    ),
    503: (
        "unavailable",
        "The database does not answer",
        "the database does not answer; nothing was changed, try again in a few seconds",
    ),
}

_HEADERS: Final = {
    401: ["WWW-Authenticate"],
    409: ["Retry-After"],
    429: ["Retry-After"],
    503: ["Retry-After"],
}


def response_name(status: int) -> str:
    """Return the name under which the response of a status stands in the components."""
    return "".join(word.capitalize() for word in BY_STATUS[status][0].split("-"))


def responses(statuses: list[int]) -> dict[str, Any]:
    """Return the responses of errors, by name."""
    return {response_name(status): _response(status) for status in statuses}


def _response(status: int) -> dict[str, Any]:
    name, title, _ = BY_STATUS[status]
    headers = ["X-Request-Id", *_HEADERS.get(status, [])]
    return {
        "description": f"{title} (`{name}`).",
        "headers": {header: {"$ref": f"#/components/headers/{header}"} for header in headers},
        "content": {
            CONTENT_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": example(status),
            }
        },
    }


def example(status: int) -> dict[str, Any]:
    """Return a problem document as an answer of that status may have it."""
    name, title, detail = BY_STATUS[status]
    document: dict[str, Any] = {
        "type": f"/api/problems/{name}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": "/api/domains/1",
        "request_id": "0f6bd3e8c1f94a47a6d0b6a3a5e1c2d4",
    }
    if status == 422:
        document["errors"] = [{"pointer": "#/interval", "detail": "must be a multiple of 5"}]
    return document
